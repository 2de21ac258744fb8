//! The error codes of spec 8, and what an error says besides.

use core::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::time::Duration;

/// A code of JSON-RPC 2.0 or of spec 8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(i32)]
pub enum Code {
    /// The text is not JSON.
    ParseError = -32700,
    /// The JSON is not a request.
    InvalidRequest = -32600,
    /// No such method.
    MethodNotFound = -32601,
    /// Missing or wrong parameters (decision J14); objects that are not there, apart from sessions (J11).
    InvalidParams = -32602,
    /// Something went wrong here, or in a tool (decisions J7, P31).
    Internal = -32603,
    /// No such session, or it has ended.
    SessionNotFound = -32001,
    /// The operation would exceed the budget.
    BudgetExceeded = -32002,
    /// Too many requests; `data.retryAfterMs` says in how many milliseconds to try again.
    RateLimited = -32003,
    /// The content breaks a policy.
    SafetyViolation = -32004,
    /// A loop, or a recursion too deep.
    LoopDetected = -32005,
    /// The peer cannot be reached or does not answer.
    PeerUnavailable = -32006,
    /// A memory reached too few replicas.
    ReplicationFailed = -32007,
    /// A trajectory failed validation.
    TrajectoryRejected = -32008,
    /// The credentials of the connection do not cover the call: our own code (decision J7).
    Forbidden = -32050,
    /// There are as many as there can be of what the call would add, until some are removed; waiting alone does not help:
    /// our own code (decision J7).
    Full = -32051,
}

impl Code {
    /// All of them with their names, as spec 8 writes them.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::ParseError, "Parse error"),
        (Self::InvalidRequest, "Invalid request"),
        (Self::MethodNotFound, "Method not found"),
        (Self::InvalidParams, "Invalid params"),
        (Self::Internal, "Internal error"),
        (Self::SessionNotFound, "Session not found"),
        (Self::BudgetExceeded, "Budget exceeded"),
        (Self::RateLimited, "Rate limited"),
        (Self::SafetyViolation, "Safety violation"),
        (Self::LoopDetected, "Loop detected"),
        (Self::PeerUnavailable, "Peer unavailable"),
        (Self::ReplicationFailed, "Replication failed"),
        (Self::TrajectoryRejected, "Trajectory rejected"),
        (Self::Forbidden, "Forbidden"),
        (Self::Full, "Full"),
    ];

    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(code, _)| *code == self).map_or("", |(_, name)| name)
    }
}

/// The error object of a response.
#[derive(Clone, PartialEq, Debug)]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// What happened, for people.
    pub message: String,
    /// What happened, for programs.
    pub data: Option<Value>,
}

impl Error {
    /// An error without data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same with data.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// A parameter that is missing or wrong; `name` is its path.
    pub fn param(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(Code::InvalidParams, format!("{name}: {problem}")).with(json!({ "param": name }))
    }

    /// Too much is asked for at once; there is room again after this time.
    pub fn busy(message: impl Into<String>, after: Duration) -> Self {
        // Rounded up: a caller that waits so long is not refused for the same reason.
        let millis = after.as_micros().div_ceil(1000).max(1);
        Self::new(Code::RateLimited, message).with(json!({ "retryAfterMs": millis }))
    }

    /// No more fit until some are removed.
    pub fn full(message: impl Into<String>) -> Self {
        Self::new(Code::Full, message)
    }

    /// An object other than a session that is not there (decision J11).
    pub fn not_found(kind: &str, id: &str) -> Self {
        let text = format!("no {kind} has the id {}", Shown(id));
        Self::new(Code::InvalidParams, text).with(json!({ "reason": "not_found", "kind": kind }))
    }

    /// A session that is not there, or has ended.
    pub fn session(id: &str) -> Self {
        let text = format!("no live session has the id {}", Shown(id));
        Self::new(Code::SessionNotFound, text).with(json!({ "sessionId": Shown(id).to_string() }))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            code: i32,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: &'a Option<Value>,
        }
        Wire { code: self.code.number(), message: &self.message, data: &self.data }.serialize(serializer)
    }
}

/// Text of a caller, cut to what fits in a message.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(64) {
            Some((end, _)) => write!(f, "{}...", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}
