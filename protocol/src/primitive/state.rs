//! `state.*`: sessions, the values kept in them, and episodes for reinforcement learning (spec 4.1).
//!
//! A session that has ended is erased with all that only it could read, and every later call on it says that there is no
//! such session (decision P9).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::amount::{Amount, BUDGET_DIGITS, Budget, Decimal};
use super::env::{Env, Reply, Serving};
use super::error::Error;
use super::method::{Access, Entry, Method, entry};
use super::params::{Json, Name, Note, Object, Reward};
use super::records::Table;
use super::sessions::{Session, under};
use super::{Agent, iso, token};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<CreateSession>(),
    entry::<GetSession>(),
    entry::<SetState>(),
    entry::<GetState>(),
    entry::<EndSession>(),
    entry::<RecordEpisode>(),
];

/// Settings of `state.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What a session may spend unless it says otherwise.
    pub budget: Budget,
    /// Most sessions alive at once; one more is refused.
    pub sessions_max: u64,
    /// Most values in one session; one more is refused.
    pub values_max: u64,
    /// Most bytes of all values in one session.
    pub bytes_max: u64,
    /// Most episodes of one session; of more, the oldest are forgotten.
    pub episodes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Both budgets in the spec's examples have this limit (decision P2).
            budget: Amount(1_000_000),
            // Our choice: a session is about a kilobyte.
            sessions_max: 100_000,
            // Our choice.
            values_max: 10_000,
            bytes_max: 16 << 20,
            episodes_max: 10_000,
        }
    }
}

/// Begins a session of an agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateSession {
    /// What the agent is called.
    pub agent_name: Option<Note>,
    /// What kind of agent it is, such as `autonomous`.
    pub agent_type: Option<Note>,
    /// Its peer id, if it has one of its own.
    pub peer_id: Option<Note>,
    /// The model it runs on.
    pub model: Option<Note>,
    /// Anything else. `subject` names whose data the session holds; `budget` is read if there is no parameter of that
    /// name.
    pub metadata: Option<Object>,
    /// What it may spend: an extension (decision P2).
    pub budget: Option<BudgetLimit>,
}

/// What a session may spend.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct BudgetLimit {
    /// The limit, with at most six digits after the point.
    pub max: Budget,
}

/// A new session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Its id.
    pub session_id: String,
    /// When it was created.
    pub created_at: String,
    /// For connections that shall have access to this session alone: an extension (decision J10).
    pub session_token: String,
}

impl CreateSession {
    /// The parameter, else `metadata.budget` as a number or as `{max}`, else the setting (decision P2).
    fn limit(&self, config: &Config) -> Result<Budget, Error> {
        if let Some(budget) = &self.budget {
            return Ok(budget.max);
        }
        #[derive(Deserialize)]
        struct WithBudget {
            budget: Option<Json>,
        }
        let metadata =
            self.metadata.as_ref().map(|metadata| serde_json::from_str::<WithBudget>(metadata.get()));
        let Some(Ok(WithBudget { budget: Some(budget) })) = metadata else { return Ok(config.budget) };
        let limit = match serde_json::from_str::<BudgetLimit>(budget.get()) {
            Ok(limit) => return Ok(limit.max),
            Err(_) => Decimal::new(budget.get()).and_then(|decimal| decimal.units(BUDGET_DIGITS)),
        };
        limit.map(Amount).map_err(|problem| Error::param("metadata.budget", problem))
    }
}

impl Method for CreateSession {
    const NAME: &'static str = "state.createSession";
    const CLAUSE: &'static str = "4.1; P1, P2, J10";
    const ACCESS: Access = Access::Operator;
    type Result = Created;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Created>, Error> {
        let config = &env.config.state;
        let limit = self.limit(config)?;
        if env.records.count(Table::Session) >= config.sessions_max {
            let text = format!("{} sessions are alive: end some first", config.sessions_max);
            return Err(Error::full(text));
        }
        let id = env.fresh_id(Table::Session, "sess-", 8);
        let text = |text: Option<Note>| text.map(|text| text.to_string());
        env.save_session(&Session {
            id: id.clone(),
            created: env.unix.0,
            agent_name: text(self.agent_name),
            agent_type: text(self.agent_type),
            peer_id: text(self.peer_id),
            model: text(self.model),
            metadata: self.metadata,
            limit,
            consumed: Amount(0),
            values: 0,
            bytes: 0,
            episodes: 0,
            steps: 0,
            deepest: 0,
            max_depth: None,
            looping: false,
        });
        let session_token = token::issue(&env.config.token_key, &id);
        Ok(Created { session_id: id, created_at: iso(env.unix), session_token }.into())
    }
}

/// Tells what is known of a session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetSession {
    /// Which.
    pub session_id: Name,
}

/// A session (decision P9): what it was created with, and how it stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its id.
    pub session_id: String,
    /// When it was created.
    pub created_at: String,
    /// `active`: one that has ended is not found.
    pub status: &'static str,
    /// What it was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// What it was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// What it was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// What it was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
    /// Its budget.
    pub budget: BudgetInfo,
    /// Episodes recorded in it.
    pub episodes: u64,
}

/// How a budget stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BudgetInfo {
    /// What may still be spent.
    pub remaining: Budget,
    /// What was spent.
    pub consumed: Budget,
    /// What may be spent in all.
    pub limit: Budget,
}

impl From<&Session> for BudgetInfo {
    fn from(session: &Session) -> Self {
        Self { remaining: session.remaining(), consumed: session.consumed, limit: session.limit }
    }
}

impl Method for GetSession {
    const NAME: &'static str = "state.getSession";
    const CLAUSE: &'static str = "4.1; P9";
    const ACCESS: Access = Access::Session;
    type Result = SessionInfo;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<SessionInfo>, Error> {
        let session = env.live_session(&self.session_id)?;
        let budget = BudgetInfo::from(&session);
        let info = SessionInfo {
            created_at: iso(session.created()),
            session_id: session.id,
            status: "active",
            agent_name: session.agent_name,
            agent_type: session.agent_type,
            peer_id: session.peer_id,
            model: session.model,
            metadata: session.metadata,
            budget,
            episodes: session.episodes,
        };
        Ok(info.into())
    }
}

/// Keeps a value in a session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetState {
    /// Which session.
    pub session_id: Name,
    /// The value's name.
    pub key: Name,
    /// Any JSON; kept as it was written.
    pub value: Json,
}

/// Whether a value was kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Updated {
    /// True.
    pub updated: bool,
}

/// The record of a value. Names are secret as values are, so the record's key has only a hash.
#[derive(Serialize, Deserialize)]
struct Value {
    key: String,
    value: Json,
}

fn value_key(session: &str, key: &str) -> Vec<u8> {
    under(session, &Sha256::digest(key)[..])
}

impl Method for SetState {
    const NAME: &'static str = "state.setState";
    const CLAUSE: &'static str = "4.1";
    const ACCESS: Access = Access::Session;
    type Result = Updated;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Updated>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        let place = value_key(&self.session_id, &self.key);
        let before: Option<Value> = env.records.load(Table::SessionValue, &place);
        let size = |value: &Value| (value.key.len() + value.value.get().len()) as u64;
        let value = Value { key: self.key.to_string(), value: self.value };
        let values = session.values + u64::from(before.is_none());
        let bytes = session.bytes.saturating_sub(before.as_ref().map_or(0, size)) + size(&value);
        let config = &env.config.state;
        if values > config.values_max {
            return Err(Error::param("key", format!("a session keeps at most {} values", config.values_max)));
        }
        if bytes > config.bytes_max {
            let problem = format!("the values of a session may have at most {} bytes", config.bytes_max);
            return Err(Error::param("value", problem));
        }
        if (values, bytes) != (session.values, session.bytes) {
            (session.values, session.bytes) = (values, bytes);
            env.save_session(&session);
        }
        env.records.save(Table::SessionValue, &place, Some(&session.subject()), &value);
        Ok(Updated { updated: true }.into())
    }
}

/// Reads a value kept in a session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetState {
    /// Which session.
    pub session_id: Name,
    /// The value's name.
    pub key: Name,
}

/// A value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Got {
    /// As it was set; null if it never was (decision P9).
    pub value: Option<Json>,
}

impl Method for GetState {
    const NAME: &'static str = "state.getState";
    const CLAUSE: &'static str = "4.1; P9";
    const ACCESS: Access = Access::Session;
    type Result = Got;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Got>, Error> {
        env.live_session(&self.session_id)?;
        let place = value_key(&self.session_id, &self.key);
        let value = env.records.load::<Value>(Table::SessionValue, &place).map(|value| value.value);
        Ok(Got { value }.into())
    }
}

/// Ends a session and erases its values, episodes and trace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndSession {
    /// Which.
    pub session_id: Name,
}

/// A session that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ended {
    /// True.
    pub ended: bool,
    /// How long it lived, in milliseconds.
    pub duration: u64,
}

impl Method for EndSession {
    const NAME: &'static str = "state.endSession";
    const CLAUSE: &'static str = "4.1; P9";
    const ACCESS: Access = Access::Session;
    type Result = Ended;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Ended>, Error> {
        let session = env.live_session(&self.session_id)?;
        env.end_session(&session);
        Ok(Ended { ended: true, duration: env.unix.0.saturating_sub(session.created) }.into())
    }
}

/// Records an episode for reinforcement learning.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordEpisode {
    /// Of which session.
    pub session_id: Name,
    /// How it went: any text, such as `success`, `failure` or `partial` (decision P10).
    pub outcome: Name,
    /// How good that was.
    pub reward: Reward,
}

/// An episode recorded.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Its id.
    pub episode_id: String,
}

#[derive(Serialize, Deserialize)]
struct Episode {
    id: String,
    at: u64,
    outcome: String,
    reward: Reward,
}

impl Method for RecordEpisode {
    const NAME: &'static str = "state.recordEpisode";
    const CLAUSE: &'static str = "4.1; P10";
    const ACCESS: Access = Access::Session;
    type Result = Recorded;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Recorded>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        let id = format!("ep-{}", env.random_hex(8));
        let place = |number: u64| under(&session.id, &number.to_be_bytes());
        let episode = Episode { id, at: env.unix.0, outcome: self.outcome.to_string(), reward: self.reward };
        env.records.save(Table::Episode, &place(session.episodes), Some(&session.subject()), &episode);
        if let Some(oldest) = session.episodes.checked_sub(env.config.state.episodes_max) {
            env.records.delete(Table::Episode, &place(oldest));
        }
        session.episodes += 1;
        env.save_session(&session);
        Ok(Recorded { episode_id: episode.id }.into())
    }
}
