//! What is judged: a [`Target`] opens connections, sends, and gives back what comes, each within a deadline. One trait fits a
//! socket, a process that speaks JSON lines, and an implementation that runs in this process in virtual time.
//!
//! Time is what [`Target::now`] says. A target in virtual time lets it pass in [`Target::receive`], so that waiting costs
//! nothing. Nothing here may block beyond its deadline, panic on what the target does, or keep more than a bounded amount.

mod address;
mod control;
mod lines;
mod process;
mod socket;
mod stdio;
mod wire;

use core::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};

use crate::case::RawFrame;
use crate::json::Json;

pub use address::{Address, ControlAddress, DEFAULT_PORT, KeyPlace, TargetOptions, words};
pub use stdio::StdioTarget;
pub use wire::WebSocketTarget;

/// Opens the target at an address: starts it if it is a command.
///
/// # Errors
/// It cannot be started, or its control hook is not there.
pub fn open(address: &Address, options: TargetOptions) -> Result<Box<dyn Target>, TargetError> {
    Ok(match address {
        Address::Url(_) | Address::Command(_) => Box::new(WebSocketTarget::new(address, options)?),
        Address::Lines(words) => Box::new(StdioTarget::new(words, options)?),
    })
}

/// An event loop on this thread: a target needs no other.
fn runtime() -> Result<Runtime, TargetError> {
    let failed = |error| TargetError::Unreachable(format!("this machine gives us no event loop: {error}"));
    Builder::new_current_thread().enable_all().build().map_err(failed)
}

/// Runs the event loop until `work` is done, or `deadline`.
fn within<T>(runtime: &Runtime, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    // The timer must be made inside the event loop.
    runtime.block_on(async { timeout_at(deadline, work).await.ok() })
}

/// A connection of a target, numbered by it; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// One text message.
    Text(String),
    /// WebSocket frames as they stand, right or wrong. Only where [`Abilities::frames`].
    Frames(Vec<RawFrame>),
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A frame that is not text: binary, ping, pong.
    Frame(RawFrame),
    /// The connection is over.
    Closed(End),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The status code of the close frame, if there was one.
    pub code: Option<u16>,
    /// In words: the reason given, or what the target did wrong.
    pub reason: String,
    /// Did the target break the rules of the transport: a malformed frame, text that is not UTF-8, a message that is too long,
    /// an end in the middle of a frame?
    pub fault: bool,
}

/// With which key to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The operator's, if there is one.
    Given,
    /// None.
    None,
    /// This one.
    Text(String),
}

/// What a target can do beyond requests and answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It takes WebSocket frames.
    pub frames: bool,
    /// It can be restarted.
    pub restart: bool,
    /// Time passes when [`Target::advance`] says so.
    pub virtual_time: bool,
    /// There is an API key.
    pub key: bool,
    /// Verbs of its control hook.
    pub controls: Vec<String>,
}

/// What a target is, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// As the operator named it: `ws://127.0.0.1:3100`.
    pub name: String,
    /// How it is reached: `websocket`, `lines`, `in process`.
    pub transport: String,
}

/// Why a target could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nobody is there, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// It is there and says no to this connection.
    #[error("{0}")]
    Refused(String),
    /// The connection is over.
    #[error("{0}")]
    Closed(String),
    /// It does not take what we send, or does not answer a control order, in time.
    #[error("{0}")]
    Timeout(String),
    /// It says that it cannot: a control order.
    #[error("{0}")]
    Declined(String),
    /// This kind of target has no such thing.
    #[error("{0}")]
    Unsupported(String),
}

/// An implementation under test.
pub trait Target {
    /// What it is.
    fn identity(&self) -> Identity;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// The time since some beginning; never goes back.
    fn now(&self) -> Duration;

    /// Opens a connection.
    ///
    /// # Errors
    /// [`TargetError::Unreachable`], [`TargetError::Refused`].
    fn connect(&mut self, key: &Key, deadline: Duration) -> Result<ConnectionId, TargetError>;

    /// Sends on a connection.
    ///
    /// # Errors
    /// [`TargetError::Closed`], [`TargetError::Timeout`], [`TargetError::Unsupported`].
    fn send(
        &mut self,
        connection: ConnectionId,
        what: &Outgoing,
        deadline: Duration,
    ) -> Result<(), TargetError>;

    /// The next thing that comes on any connection, or nothing by the deadline. [`Incoming::Closed`] is the last of its connection.
    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)>;

    /// Closes a connection; nothing more comes from it.
    fn close(&mut self, connection: ConnectionId);

    /// Gives an order to the control hook: an object with a member `do`. The answer is its object.
    ///
    /// # Errors
    /// [`TargetError::Unsupported`], [`TargetError::Declined`], [`TargetError::Timeout`].
    fn control(&mut self, order: &Json, deadline: Duration) -> Result<Json, TargetError> {
        let _ = (order, deadline);
        Err(TargetError::Unsupported("this target has no control hook: give --control".to_owned()))
    }

    /// Lets virtual time pass. Nothing happens unless [`Abilities::virtual_time`].
    fn advance(&mut self, by: Duration) {
        let _ = by;
    }

    /// Ends it as a crash would, and starts it again with what it keeps. All connections are over.
    ///
    /// # Errors
    /// [`TargetError::Unsupported`], [`TargetError::Unreachable`].
    fn restart(&mut self, deadline: Duration) -> Result<(), TargetError> {
        let _ = deadline;
        Err(TargetError::Unsupported(
            "this target cannot be restarted from here: start it with cmd: to let the judge do so".to_owned(),
        ))
    }

    /// How it died, if it is a process that did.
    fn death(&mut self) -> Option<String> {
        None
    }
}
