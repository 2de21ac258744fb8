//! What primitives share: sessions, their budgets, and how deep they are in recursion.
//!
//! The record is read and written whole through [`Env`], so every primitive sees what another has just changed.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::amount::{Amount, Budget};
use super::env::Env;
use super::error::{Code, Error};
use super::params::Object;
use super::records::Table;
use crate::time::UnixMillis;

/// A live session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// When it was created, Unix milliseconds.
    pub created: u64,
    /// Parameters of `state.createSession`.
    pub agent_name: Option<String>,
    /// See `agent_name`.
    pub agent_type: Option<String>,
    /// See `agent_name`.
    pub peer_id: Option<String>,
    /// See `agent_name`.
    pub model: Option<String>,
    /// See `agent_name`.
    pub metadata: Option<Object>,
    /// What it may spend (decision P2).
    pub limit: Budget,
    /// What it has spent.
    pub consumed: Budget,
    /// Values kept by `state.setState`.
    pub values: u64,
    /// Bytes of those values.
    pub bytes: u64,
    /// Episodes recorded.
    pub episodes: u64,
    /// Calls of `recursive.track` (decision P26).
    pub steps: u64,
    /// The deepest of them.
    pub deepest: u32,
    /// `recursive.setMaxDepth`; `None` for the setting of the node.
    pub max_depth: Option<u32>,
    /// Whether `recursive.analyze` found a loop that is to be aborted (decision P25).
    pub looping: bool,
}

impl Session {
    /// What it may still spend.
    pub const fn remaining(&self) -> Budget {
        Amount(self.limit.0.saturating_sub(self.consumed.0))
    }

    /// Takes an amount from what it may still spend. The caller keeps the session.
    ///
    /// # Errors
    /// [`Code::BudgetExceeded`] with `{remaining, requested, limit}`; then nothing is taken (decision P5).
    pub fn spend(&mut self, amount: Budget) -> Result<(), Error> {
        let remaining = self.remaining();
        if amount > remaining {
            let data = json!({ "remaining": remaining, "requested": amount, "limit": self.limit });
            return Err(Error::new(Code::BudgetExceeded, Code::BudgetExceeded.name()).with(data));
        }
        self.consumed = Amount(self.consumed.0 + amount.0);
        Ok(())
    }

    /// Whose data it is, for erasure: `metadata.subject`, else the session itself.
    pub fn subject(&self) -> String {
        self.metadata
            .as_ref()
            .and_then(|metadata| metadata.text("subject"))
            .unwrap_or_else(|| self.id.clone())
    }

    /// When it was created.
    pub const fn created(&self) -> UnixMillis {
        UnixMillis(self.created)
    }
}

impl Env<'_> {
    /// A session that has not ended.
    ///
    /// # Errors
    /// [`Code::SessionNotFound`]: never begun, or over (decision P9).
    pub fn live_session(&self, id: &str) -> Result<Session, Error> {
        self.records.load(Table::Session, id.as_bytes()).ok_or_else(|| Error::session(id))
    }

    /// Keeps what was changed in a session.
    pub fn save_session(&mut self, session: &Session) {
        self.records.save(Table::Session, session.id.as_bytes(), Some(&session.subject()), session);
    }

    /// Sets what a session may spend and has spent, for whoever runs the node: a session cannot raise its own budget.
    ///
    /// # Errors
    /// No such session, or more is spent than the limit.
    pub fn set_budget(&mut self, id: &str, limit: Budget, consumed: Budget) -> Result<(), Error> {
        let mut session = self.live_session(id)?;
        if consumed > limit {
            return Err(Error::param(
                "consumed",
                format_args!("is {consumed}, must be at most the limit of {limit}"),
            ));
        }
        (session.limit, session.consumed) = (limit, consumed);
        self.save_session(&session);
        Ok(())
    }

    /// Ends a session and erases what only it could read: values, episodes, trace, rate windows.
    pub(super) fn end_session(&mut self, session: &Session) {
        self.records.delete(Table::Session, session.id.as_bytes());
        for table in [Table::SessionValue, Table::Episode, Table::Step] {
            self.records.delete_all(table, &under(&session.id, b""));
        }
        self.forget_windows(&session.id);
    }
}

/// The key of something that belongs to a session: the session's id, which may hold any character, ends with a zero byte.
pub(super) fn under(session: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = session.replace('\0', "\u{fffd}").into_bytes();
    key.push(0);
    key.extend_from_slice(rest);
    key
}
