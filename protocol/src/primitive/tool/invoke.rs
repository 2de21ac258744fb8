//! `tool.invoke`, here and on behalf of other peers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::analytics::{self, used};
use super::register::{self, Tool};
use super::schema;
use crate::identity::PeerId;
use crate::primitive::agent::{Agent, Waiting};
use crate::primitive::call::{Answer, CallId, ClientId, Executed, Fetched, Source};
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::{Code, Error};
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Json, Name, Object};
use crate::primitive::token;
use crate::request::{Protocol, RequestId};
use crate::time::{Duration, Instant};

/// Most bytes of parameters and of a result: half of the frame that carries them to another peer (our choice).
const BYTES_MAX: usize = 512 * 1024;
/// Most bytes of an error of another peer's that are passed on (our choice).
const ERROR_MAX: usize = 4096;

/// How long after a tool's latency has changed the card says so: the time between two heartbeats (spec 7.4).
const LATENCY_NEWS: Duration = Duration::from_secs(30);

/// An execution of a tool registered here.
#[derive(Debug)]
pub(super) struct Running {
    waiter: Waiter,
    tool: String,
    /// Who carries it out; `None` for an endpoint.
    pub(super) client: Option<ClientId>,
    began: Instant,
}

/// Who waits for an execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiter {
    Call(CallId),
    Peer(PeerId, RequestId),
}

/// An invocation of another peer's tool.
#[derive(Debug)]
pub(super) struct Asked {
    call: CallId,
    tool: String,
    began: Instant,
}

/// What came of an execution: the output, or why there is none.
type Outcome = Result<Json, Error>;

/// Has a tool carried out, wherever it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invoke {
    /// Which, as `tool.discover` or `tool.register` says.
    pub tool_id: Name,
    /// What it is given; must fit its `schema.input`.
    pub params: Object,
    /// On behalf of which session.
    pub session_id: Option<Name>,
    /// Whose tool, if two peers use one id: an extension. Else the one that served us before comes first, then the one with
    /// the higher reputation.
    pub peer_id: Option<Name>,
}

/// What a tool gave.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invoked {
    /// Its output, as it was given (decision P30).
    pub result: Json,
    /// How long that took as seen from this peer, in milliseconds.
    pub duration: u64,
    /// Who carried it out.
    pub peer_id: String,
}

/// The question over `/hyperspace/tool/1`, and the parameters of `tool.execute`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    tool_id: Name,
    params: Object,
    /// From another peer it is an alias, see [`token::alias`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<Name>,
    /// Who asks. From another peer it is not believed: the connection says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<Name>,
}

/// The answer to an [`Ask`].
#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ToldError>,
}

/// An error as it comes from another peer.
#[derive(Serialize, Deserialize)]
struct ToldError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
}

impl Method for Invoke {
    const NAME: &'static str = "tool.invoke";
    const CLAUSE: &'static str = "4.3; J11, P25, P30, P31";
    const ACCESS: Access = Access::Session;
    type Result = Invoked;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Invoked>, Error> {
        if let Some(session) = &self.session_id
            && env.live_session(session)?.looping
        {
            return Err(Error::new(Code::LoopDetected, "the session is in a loop that was to be aborted"));
        }
        if self.params.get().len() > BYTES_MAX {
            return Err(Error::param("params", format!("must have at most {BYTES_MAX} bytes")));
        }
        let own = self.peer_id.as_ref().is_none_or(|peer| **peer == env.own.to_string());
        let waiter = Waiter::Call(serving.id);
        if own && let Some(tool) = register::load(env, &self.tool_id) {
            agent.begin(env, &tool, self.params, self.session_id, waiter)?;
            return Ok(Reply::Later);
        }
        let peer = provider(env, &self.tool_id, self.peer_id.as_deref())?;
        env.refuse_unsafe(&self.params.members().into())?;
        let caller = Name::new(env.own.to_string()).ok();
        let session_id = self.session_id.map(|session| token::alias(&env.config.token_key, &session, &peer));
        let session_id = session_id.and_then(|alias| Name::new(alias).ok());
        let ask = Ask { tool_id: self.tool_id, params: self.params, session_id, caller };
        let body = serde_json::to_string(&ask).expect("plain data");
        // To use a peer's tool is to be interested in its card.
        env.net.follow(&peer);
        let id = agent.ask(env, peer, Protocol::Tool, body).ok_or_else(|| unavailable(&peer))?;
        let asked = Asked { call: serving.id, tool: ask.tool_id.to_string(), began: env.now };
        agent.tool.asked.insert(id, asked);
        Ok(Reply::Later)
    }
}

/// The peer whose tool this is. Ids are a peer's own affair, so somebody may have taken another's to get its calls: whose
/// tool has served us before comes first.
pub(super) fn provider(env: &Env<'_>, tool: &str, peer: Option<&str>) -> Result<PeerId, Error> {
    let cards = env.net.cards();
    let cards = cards.iter().map(|card| card.card()).filter(|card| card.peer_id != env.own);
    let offers = cards.filter(|card| card.tools.iter().any(|offered| offered.id == tool));
    let named = offers.filter(|card| peer.is_none_or(|peer| card.peer_id.to_string() == peer));
    let experience = analytics::Experience(env);
    let rank = |peer: &PeerId| {
        let reputation = crate::card::Local::reputation(&experience, peer).unwrap_or_default();
        (used(env.records, peer, tool).served(), reputation)
    };
    let ranked = named.map(|card| (rank(&card.peer_id), card.peer_id));
    let best = ranked.max_by(|((used, reputation), peer), ((other, other_reputation), other_peer)| {
        used.cmp(other).then(reputation.total_cmp(other_reputation)).then(other_peer.cmp(peer))
    });
    best.map(|(_, peer)| peer).ok_or_else(|| Error::not_found("tool", tool))
}

fn unavailable(peer: &PeerId) -> Error {
    Error::new(Code::PeerUnavailable, "the tool's peer cannot be reached or does not answer")
        .with(json!({ "peerId": peer.to_string() }))
}

fn failed(message: &str, tool_error: serde_json::Value) -> Error {
    Error::new(Code::Internal, message).with(json!({ "toolError": tool_error }))
}

/// What a client says of an execution.
pub(super) fn outcome_of_client(executed: Executed) -> Outcome {
    match executed {
        Executed::Result(text) => output(&text),
        Executed::Failed(text) => {
            let error = serde_json::from_str(&text).unwrap_or_else(|_| json!(&*text));
            Err(failed("the tool failed", error))
        }
        Executed::Unavailable => {
            Err(Error::new(Code::PeerUnavailable, "the client that carries out the tool does not answer"))
        }
    }
}

/// What an endpoint says of an execution.
pub(super) fn outcome_of_endpoint(fetched: Fetched) -> Outcome {
    match fetched {
        Ok(text) => output(&text),
        Err(problem) => {
            let text = format!("the tool's endpoint gave no result: {problem}");
            Err(Error::new(Code::PeerUnavailable, text))
        }
    }
}

fn output(text: &str) -> Outcome {
    if text.len() > BYTES_MAX {
        return Err(failed("the tool's result is too long", json!({ "bytes": text.len() })));
    }
    serde_json::from_str(text).map_err(|_| failed("the tool's result is not JSON", json!(null)))
}

impl Agent {
    /// Has a tool registered here carried out.
    fn begin(
        &mut self,
        env: &mut Env<'_>,
        tool: &Tool,
        params: Object,
        session_id: Option<Name>,
        waiter: Waiter,
    ) -> Result<(), Error> {
        schema::validate(env, &tool.schema.input, &Json::of(&params))
            .map_err(|problem| Error::param("params", problem))?;
        env.refuse_unsafe(&params.members().into())?;
        let asking = match waiter {
            Waiter::Call(_) => env.own,
            Waiter::Peer(peer, _) => peer,
        };
        let tool_id = Name::new(&*tool.id).expect("ids of own tools are short");
        let ask = Ask { tool_id, params, session_id, caller: Name::new(asking.to_string()).ok() };
        let body = serde_json::to_string(&ask).expect("plain data");
        let client = self.tool.clients.get(&tool.id).copied();
        let (id, client) = match (&tool.endpoint, client) {
            (Some(url), _) => (self.fetch(env, Waiting::Tool, Source::Tool(url.as_str().into()), body), None),
            (None, Some(client)) => (self.execute(env, client, body), Some(client)),
            (None, None) => {
                let text = "the client that carries out the tool is gone";
                return Err(Error::new(Code::PeerUnavailable, text));
            }
        };
        let id = id.ok_or_else(|| self.busy(env, "too many calls are under way", |_| true))?;
        self.tool.running.insert(id, Running { waiter, tool: tool.id.clone(), client, began: env.now });
        Ok(())
    }

    /// An execution has ended: it is counted, its output held to the schema, and whoever waits is told.
    pub(super) fn invoke_ends(&mut self, env: &mut Env<'_>, id: CallId, outcome: Outcome) {
        let Some(running) = self.tool.running.remove(&id) else { return };
        let took = env.now.since(running.began);
        let outcome = match register::load(env, &running.tool) {
            Some(mut tool) => {
                let checked = outcome.and_then(|output| {
                    let fits = schema::validate(env, &tool.schema.output, &output);
                    fits.map(|()| output).map_err(|problem| {
                        failed("the tool's result does not fit its schema", json!(problem))
                    })
                });
                let before = tool.latency();
                tool.usage.add(env.unix.0, took, checked.is_ok());
                register::save(env, &tool);
                if tool.latency() != before {
                    self.tool.announce_within(env.now, LATENCY_NEWS);
                }
                checked
            }
            // It was dropped meanwhile.
            None => outcome,
        };
        match running.waiter {
            Waiter::Call(call) => {
                let result = outcome.map(|result| {
                    invoked(Invoked { result, duration: took.as_millis(), peer_id: env.own.to_string() })
                });
                env.net.answer(Answer { id: call, result });
            }
            Waiter::Peer(peer, request) => tell(env, &peer, request, outcome, took.as_millis()),
        }
    }

    /// Executions are given up: the peers that wait for one are told so. Calls are not answered.
    pub(super) fn tell_abandoned(&mut self, env: &mut Env<'_>) {
        for running in core::mem::take(&mut self.tool.running).into_values() {
            if let Waiter::Peer(peer, request) = running.waiter {
                tell(env, &peer, request, Err(Error::new(Code::Internal, "the node was reset")), 0);
            }
        }
    }

    /// Another peer invokes one of our tools.
    pub(super) fn invoke_asked(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: &str) {
        if let Err(error) = self.begin_for(env, from, id, body) {
            tell(env, &from, id, Err(error), 0);
        }
    }

    fn begin_for(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: &str) -> Result<(), Error> {
        let ask: Ask = crate::primitive::params::parse(Some(body))?;
        if ask.params.get().len() > BYTES_MAX {
            return Err(Error::param("params", format!("must have at most {BYTES_MAX} bytes")));
        }
        let running = &self.tool.running;
        let theirs = |running: &Running| matches!(running.waiter, Waiter::Peer(peer, _) if peer == from);
        if running.values().filter(|one| theirs(one)).count() >= env.config.tool.executions_per_peer_max {
            let text = "too many executions for this peer are under way";
            return Err(self.busy(env, text, |id| running.get(&id).is_some_and(theirs)));
        }
        let tool = register::load(env, &ask.tool_id).ok_or_else(|| Error::not_found("tool", &ask.tool_id))?;
        self.begin(env, &tool, ask.params, ask.session_id, Waiter::Peer(from, id))
    }

    /// Another peer carried out its tool for us, or did not (`None`).
    pub(super) fn invoke_told(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: Option<&str>) {
        let Some(asked) = self.tool.asked.remove(&id) else { return };
        let told = body.and_then(read);
        // A result is what the card promised, and no answer or an unreadable one is not. An error is neither: only the peer
        // says whose fault it was.
        match &told {
            Some(Ok(_)) => env.rate(&from, true),
            Some(Err(_)) => {}
            None => env.rate(&from, false),
        }
        let outcome = match (told, body) {
            (Some(told), _) => told.map_err(error_of_peer),
            (None, Some(_)) => Err(failed("the peer's answer is none", json!(null))),
            (None, None) => Err(unavailable(&from)),
        };
        let took = env.now.since(asked.began);
        analytics::note(env, &from, &asked.tool, took, outcome.is_ok());
        let duration = took.as_millis();
        let result = outcome.map(|result| invoked(Invoked { result, duration, peer_id: from.to_string() }));
        env.net.answer(Answer { id: asked.call, result });
    }
}

fn invoked(invoked: Invoked) -> Box<str> {
    serde_json::to_string(&invoked).expect("results are plain data").into()
}

/// Tells another peer what came of its question.
fn tell(env: &mut Env<'_>, to: &PeerId, id: RequestId, outcome: Outcome, duration: u64) {
    let told = match outcome {
        Ok(result) => Told { result: Some(result), duration: Some(duration), error: None },
        Err(error) => {
            let data = error.data.as_ref().map(Json::of);
            let code = error.code.number().into();
            Told {
                result: None,
                duration: None,
                error: Some(ToldError { code, message: error.message, data }),
            }
        }
    };
    env.net.tell(to, id, serde_json::to_string(&told).expect("plain data"));
}

/// The codes that another peer's word can give a call here: what they say is about the tool alone. Sessions and rights are
/// this peer's own affair.
const FOREIGN: [Code; 5] =
    [Code::InvalidParams, Code::Internal, Code::RateLimited, Code::SafetyViolation, Code::PeerUnavailable];

/// What another peer says of an execution; `None` if it cannot be read.
fn read(body: &str) -> Option<Result<Json, ToldError>> {
    let told: Told = serde_json::from_str(body).ok()?;
    match (told.result, told.error) {
        (Some(result), None) => Some(Ok(result)),
        (_, Some(error)) => Some(Err(error)),
        (None, None) => None,
    }
}

fn error_of_peer(error: ToldError) -> Error {
    let message: String = error.message.chars().take(ERROR_MAX / 4).collect();
    let data = error.data.filter(|data| data.get().len() <= ERROR_MAX).map(|data| data.value());
    match FOREIGN.iter().find(|code| i64::from(code.number()) == error.code) {
        Some(&code) => Error { code, message, data },
        None => failed("the peer refused", json!({ "code": error.code, "message": message })),
    }
}
