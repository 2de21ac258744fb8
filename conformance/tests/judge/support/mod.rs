//! A small node that serves `state`, right or wrong in one way, and two ways to reach it: in this process with a time of its
//! own, and over WebSocket.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hyperspace_conformance::case::Case;
use hyperspace_conformance::events::{CheckEvent, Event};
use hyperspace_conformance::suite::{self, Plan, Summary};
use hyperspace_conformance::target::{
    Abilities, ConnectionId, End, Identity, Incoming, Key, Outgoing, Target, TargetError,
};
use hyperspace_conformance::verdict::Verdict;
use serde_json::{Map, Value, json};

pub(crate) mod socket;

/// What the node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Unknown sessions are made when they are first used.
    ForgivesSessions,
    /// Wrong types are answered with -32600.
    WrongCode,
    /// Ids come back as texts.
    IdAsText,
    /// Answers have no `jsonrpc`.
    NoVersion,
    /// Every call is refused.
    RefusesAll,
    /// `state.recordEpisode` is unknown.
    NoEpisodes,
    /// Every other value is forgotten.
    Forgetful,
    /// Dies when an episode is recorded.
    Dies,
    /// Answers nothing after so many requests.
    SilentAfter(u32),
}

/// The node.
pub(crate) struct Node {
    fault: Fault,
    sessions: BTreeMap<String, Map<String, Value>>,
    made: u64,
    requests: u32,
    stored: u32,
    pub(crate) dead: bool,
}

type Answer = Result<Value, i64>;

impl Node {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, sessions: BTreeMap::new(), made: 0, requests: 0, stored: 0, dead: false }
    }

    /// What it answers to a text, if anything.
    pub(crate) fn answer(&mut self, text: &str) -> Option<String> {
        self.requests += 1;
        if matches!(self.fault, Fault::SilentAfter(count) if self.requests > count) {
            return None;
        }
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return Some(self.wrap(&Value::Null, Err(-32700)).to_string());
        };
        match request {
            Value::Array(items) if !items.is_empty() => {
                let answers: Vec<Value> = items.iter().filter_map(|item| self.request(item)).collect();
                (!answers.is_empty()).then(|| Value::Array(answers).to_string())
            }
            one => self.request(&one).map(|answer| answer.to_string()),
        }
    }

    fn wrap(&self, id: &Value, answer: Answer) -> Value {
        let id = match (self.fault, id) {
            (Fault::IdAsText, Value::Number(number)) => json!(number.to_string()),
            _ => id.clone(),
        };
        let mut out = match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
            Err(code) => json!({"jsonrpc": "2.0", "error": {"code": code, "message": "no"}, "id": id}),
        };
        if self.fault == Fault::NoVersion {
            out.as_object_mut().expect("an object").remove("jsonrpc");
        }
        out
    }

    fn request(&mut self, request: &Value) -> Option<Value> {
        let id = request.get("id").cloned();
        let scalar = matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_)));
        let (Some(method), true, true) = (
            request.get("method").and_then(Value::as_str),
            request.get("jsonrpc") == Some(&json!("2.0")),
            scalar,
        ) else {
            return Some(self.wrap(&id.filter(|_| scalar).unwrap_or(Value::Null), Err(-32600)));
        };
        let empty = json!({});
        let answer = match request.get("params").unwrap_or(&empty) {
            Value::Object(params) => self.call(method, params),
            _ => Err(-32602),
        };
        let answer = match (self.fault, answer) {
            (Fault::RefusesAll, _) => Err(-32602),
            (Fault::WrongCode, Err(-32602)) => Err(-32600),
            (_, answer) => answer,
        };
        id.map(|id| self.wrap(&id, answer))
    }

    fn session(&mut self, params: &Map<String, Value>) -> Result<&mut Map<String, Value>, i64> {
        let id = params.get("sessionId").and_then(Value::as_str).ok_or(-32602)?;
        if self.fault == Fault::ForgivesSessions {
            return Ok(self.sessions.entry(id.to_owned()).or_default());
        }
        self.sessions.get_mut(id).ok_or(-32001)
    }

    fn call(&mut self, method: &str, params: &Map<String, Value>) -> Answer {
        let text = |name: &str| params.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(-32602);
        match method {
            "state.createSession" => self.create(params),
            "state.getSession" => {
                self.session(params)?;
                Ok(json!({"sessionId": text("sessionId")?}))
            }
            "state.setState" => {
                let key = text("key")?;
                let value = params.get("value").cloned().ok_or(-32602)?;
                self.stored += 1;
                let forgets = self.fault == Fault::Forgetful && self.stored.is_multiple_of(2);
                let session = self.session(params)?;
                session.insert(key, if forgets { Value::Null } else { value });
                Ok(json!({"updated": true}))
            }
            "state.getState" => {
                let key = text("key")?;
                let value = self.session(params)?.get(&key).cloned().unwrap_or(Value::Null);
                Ok(json!({"value": value}))
            }
            "state.endSession" => {
                self.session(params)?;
                self.sessions.remove(&text("sessionId")?);
                Ok(json!({"ended": true, "duration": 5}))
            }
            "state.recordEpisode" if self.fault != Fault::NoEpisodes => {
                self.dead |= self.fault == Fault::Dies && params.contains_key("reward");
                text("outcome")?;
                let reward = params.get("reward").and_then(Value::as_f64).ok_or(-32602)?;
                self.session(params)?;
                if (-1.0..=1.0).contains(&reward) { Ok(json!({"episodeId": "e"})) } else { Err(-32602) }
            }
            _ => Err(-32601),
        }
    }

    fn create(&mut self, params: &Map<String, Value>) -> Answer {
        let texts = ["agentName", "agentType", "peerId", "model"];
        let fine = params.iter().all(|(name, value)| match name.as_str() {
            "metadata" => value.is_object(),
            name if texts.contains(&name) => value.is_string(),
            _ => true,
        });
        if !fine {
            return Err(-32602);
        }
        self.made += 1;
        let id = format!("session-{}", self.made);
        self.sessions.insert(id.clone(), Map::new());
        Ok(json!({"sessionId": id, "createdAt": "2026-03-18T12:00:00.000Z"}))
    }
}

/// The node in this process. Time passes only when somebody waits.
pub(crate) struct InProcess {
    pub(crate) node: Node,
    pub(crate) restartable: bool,
    pub(crate) restarts: u32,
    now: Duration,
    last: u64,
    queue: VecDeque<(ConnectionId, Incoming)>,
}

impl InProcess {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            node: Node::new(fault),
            restartable: false,
            restarts: 0,
            now: Duration::ZERO,
            last: 0,
            queue: VecDeque::new(),
        }
    }
}

impl Target for InProcess {
    fn identity(&self) -> Identity {
        Identity { name: "inproc:fake".into(), transport: "in process".into() }
    }

    fn abilities(&self) -> Abilities {
        Abilities { virtual_time: true, restart: self.restartable, ..Abilities::default() }
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn connect(&mut self, _: &Key, _: Duration) -> Result<ConnectionId, TargetError> {
        if self.node.dead {
            return Err(TargetError::Unreachable("nobody is there".into()));
        }
        self.last += 1;
        Ok(ConnectionId(self.last))
    }

    fn send(&mut self, connection: ConnectionId, what: &Outgoing, _: Duration) -> Result<(), TargetError> {
        let Outgoing::Text(text) = what else { return Err(TargetError::Unsupported("no frames".into())) };
        if self.node.dead {
            return Err(TargetError::Closed("it is dead".into()));
        }
        let answer = self.node.answer(text);
        if self.node.dead {
            let end = End { code: None, reason: "cut".into(), fault: false };
            self.queue.push_back((connection, Incoming::Closed(end)));
        } else if let Some(answer) = answer {
            self.queue.push_back((connection, Incoming::Text(answer)));
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.now = self.now.max(deadline);
        }
        next
    }

    fn close(&mut self, connection: ConnectionId) {
        self.queue.retain(|(id, _)| *id != connection);
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    fn restart(&mut self, _: Duration) -> Result<(), TargetError> {
        self.restarts += 1;
        self.node.dead = false;
        self.queue.clear();
        Ok(())
    }

    fn death(&mut self) -> Option<String> {
        self.node.dead.then(|| "'fake' ended with signal 6".to_owned())
    }
}

/// A case.
pub(crate) fn case(id: &str, text: &str) -> Case {
    Case::parse(id, id, text).unwrap_or_else(|error| panic!("{error}"))
}

/// The cases of some profiles that come with the judge.
pub(crate) fn shipped(profiles: &[&str]) -> Vec<Case> {
    let cases = hyperspace_conformance::cases::shipped().unwrap_or_else(|error| panic!("{error}"));
    cases.into_iter().filter(|case| profiles.contains(&case.profile.as_str())).collect()
}

/// A run, and everything that it wrote.
pub(crate) struct Run {
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
}

impl Run {
    pub(crate) fn of(cases: &[Case], plan: &Plan, target: &mut dyn Target) -> Self {
        let mut events = Vec::new();
        let summary = suite::run(cases, plan, target, &mut events);
        Self { summary, events }
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = &CheckEvent> {
        self.events.iter().filter_map(|event| match event {
            Event::Check(check) => Some(check),
            _ => None,
        })
    }

    /// `id` and what came of it, for all checks of this verdict.
    pub(crate) fn with(&self, verdict: Verdict) -> Vec<String> {
        let text = |check: &CheckEvent| match (check.expected.as_str(), check.reason.as_str()) {
            ("", reason) => format!("{}: {reason}", check.id),
            (expected, _) => format!("{}: {} {expected} / {}", check.id, check.path, check.actual),
        };
        self.checks().filter(|check| check.verdict == verdict).map(text).collect()
    }

    pub(crate) fn code(&self) -> u8 {
        self.summary.exit.code()
    }
}

/// A plan that does not wait long.
pub(crate) fn quick() -> Plan {
    Plan { patience: Duration::from_millis(300), ..Plan::default() }
}
