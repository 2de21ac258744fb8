//! Runs one case, without input or output of its own: [`CaseRun::next`] says what to do, [`CaseRun::input`] takes what came of
//! it. [`drive()`] does both against a [`Target`](crate::target::Target); the same case therefore runs over sockets, in process and in virtual time.
//!
//! Everything has a deadline, and what a target sends is kept in bounded queues. When a check fails the case goes on as far as
//! its variables allow; when an expectation that only prepares fails, or nothing comes in time, the rest is untestable.

mod arrange;
mod connection;
mod drive;
mod expect;
mod judge;
mod program;
mod run;

use core::time::Duration;

use crate::json::{Json, Number};
use crate::level::Level;
use crate::matcher::Finding;
use crate::target::{Abilities, Incoming, Key, Outgoing, TargetError};

pub(crate) use connection::EVERY_ANSWER;
pub use connection::Violation;
pub use drive::drive;
pub use run::CaseRun;

/// What holds for every case of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long to wait for an answer, a connection, a control order.
    pub patience: Duration,
    /// Longest wait for real where a case lets time pass and the target has no clock to set.
    pub real_wait: Duration,
    /// What the target can do.
    pub abilities: Abilities,
    /// Whether `state.createSession` is served, as far as is known.
    pub sessions: bool,
    /// A session that the operator promises.
    pub given_session: Option<String>,
    /// The limit of a fresh session's budget that the operator promises.
    pub given_budget: Option<Number>,
    /// How far the target's clock is ahead already, in milliseconds: set by earlier cases.
    pub clock_ahead_ms: u64,
    /// Letters and digits that no other run against this target has: `$UNIQUE` of a case is made of them.
    pub unique: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            real_wait: Duration::from_secs(2),
            abilities: Abilities::default(),
            sessions: true,
            given_session: None,
            given_budget: None,
            clock_ahead_ms: 0,
            unique: String::new(),
        }
    }
}

/// What is to be done. Deadlines are points in time, as [`crate::target::Target::now`] counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a connection: answered by [`Input::Connected`].
    Connect {
        /// Its name in the case.
        connection: String,
        /// With which key.
        key: Key,
        /// By when.
        deadline: Duration,
    },
    /// Send: answered by [`Input::Sent`].
    Send {
        /// Where.
        connection: String,
        /// What.
        what: Outgoing,
        /// By when.
        deadline: Duration,
    },
    /// Close a connection: not answered.
    Close {
        /// Which.
        connection: String,
    },
    /// Wait for something to come: answered by [`Input::Received`] or [`Input::Elapsed`].
    Receive {
        /// Until when.
        deadline: Duration,
    },
    /// Give an order to the control hook: answered by [`Input::Answered`].
    Control {
        /// The order.
        order: Json,
        /// By when.
        deadline: Duration,
    },
    /// Let virtual time pass: not answered.
    Advance {
        /// How much.
        by: Duration,
    },
    /// Restart the target: answered by [`Input::Restarted`].
    Restart {
        /// By when.
        deadline: Duration,
    },
    /// The case is over.
    Done,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A connection was opened, or not.
    Connected(Result<(), TargetError>),
    /// Something was sent, or not.
    Sent(Result<(), TargetError>),
    /// Something came.
    Received {
        /// On which connection.
        connection: String,
        /// What.
        what: Incoming,
    },
    /// The deadline is reached.
    Elapsed,
    /// What the control hook says.
    Answered(Result<Json, TargetError>),
    /// The target was restarted, or not.
    Restarted(Result<(), TargetError>),
}

/// What came of a check in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fits; findings are warnings and what was recorded.
    Fits(Vec<Finding>),
    /// It does not fit.
    Differs(Vec<Finding>),
    /// It could not be made, and why.
    Untestable(String),
    /// What it is about does not apply to this target, and why.
    NotApplicable(String),
}

/// A check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The requirement.
    pub requirement: String,
    /// The level that the case gives it, if it does.
    pub level: Option<Level>,
    /// The step.
    pub step: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// Something that was said or done, for the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The number of the step.
    pub step: u32,
    /// `>>`, `<<` or `@`.
    pub direction: &'static str,
    /// The connection, if it is on one.
    pub connection: String,
    /// When, since the case began.
    pub at: Duration,
    /// What, cut if it is long.
    pub text: String,
}

/// Everything that came of a case.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The checks, in the order of steps; each id once.
    pub checks: Vec<Checked>,
    /// The transcript.
    pub transcript: Vec<Said>,
    /// What the target did wrong that every case watches for.
    pub violations: Vec<Violation>,
    /// How many answers were watched.
    pub answers: u64,
    /// Why the case did not come to its end, if it did not.
    pub stopped: Option<Stop>,
    /// How far the target's clock is ahead now, in milliseconds.
    pub clock_ahead_ms: u64,
}

/// Why a case did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What it needs is not there: a control verb, a finite budget, a profile.
    Missing(String),
    /// What it needs does not apply to this target.
    NotApplicable(String),
    /// The target answered wrongly where the case only prepares.
    Setup(String),
    /// A check failed that the rest builds on.
    Failed(String),
    /// Nothing came in time.
    Silence(String),
    /// The connection was lost or could not be opened.
    Lost(String),
}

impl Stop {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Missing(text)
            | Self::NotApplicable(text)
            | Self::Setup(text)
            | Self::Failed(text)
            | Self::Silence(text)
            | Self::Lost(text) => text,
        }
    }
}

#[cfg(test)]
mod tests;
