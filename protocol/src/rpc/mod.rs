//! JSON-RPC 2.0 as text (spec 2.2): what a frame of a WebSocket says, and what is said in reply. No clock and no IO; a
//! driver brings frames and runs the calls.
//!
//! ```
//! use hyperspace_protocol::rpc::{Incoming, Item, Limits, parse, reply};
//!
//! let frame = r#"{"jsonrpc":"2.0","method":"state.getSession","params":{},"id":1.0}"#;
//! let Incoming::One(Item::Request(request)) = parse(frame, &Limits::default()) else { panic!() };
//! let id = request.id.expect("not a notification");
//! assert_eq!(reply(&id, &Ok("{}".into())), r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#);
//! ```
//!
//! Where the texts leave something open:
//!
//! * A request without `id` is a notification: it is carried out and never answered (decision J1). `"id":null` is a
//!   request, and null is echoed. Any number is an id; all ids are echoed as they are written.
//! * An object that is no request is answered with -32600 under its id if that is readable, else under null, because
//!   nobody can tell whether it was meant as a notification.
//! * `params` must be structured (JSON-RPC 4.2), so a string, number, boolean or null makes the object no request:
//!   -32600. An array is structured, but the methods take theirs by name: -32602 (decision J4), and silence for a
//!   notification, which is never answered.
//! * Two members named `jsonrpc`, `id`, `method` or `params` mean that two parsers may read two different requests: -32600
//!   under the id null. Members of other names are ignored (decision J5); names inside `params` are the method's affair.
//! * A request nested too deeply is valid JSON, so -32600 and not -32700. The same for a batch that is too long; nothing
//!   of it is carried out.
//! * Responses are accepted only to requests of our own, whose ids begin with [`OWN_ID_PREFIX`]. Any other error
//!   response is dropped without a word, lest two peers send each other errors for ever.

mod parse;
#[cfg(test)]
mod tests;
mod write;

pub use parse::parse;
pub use write::{batch, reply, request};

use core::fmt;

use crate::primitive::Error;

/// How the ids of requests begin that a node sends to its client (`tool.execute`).
pub const OWN_ID_PREFIX: &str = "srv-";

/// Bounds of what is read. The length of a frame is for the transport to bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Deepest nesting of arrays and objects in one request, its own braces included. At least 2.
    pub depth: usize,
    /// Most requests in a batch. 0 refuses all batches.
    pub batch: usize,
}

/// 64 levels: half of what common parsers take, as for envelopes. 100 requests: our choice, the usual bound of public
/// JSON-RPC services.
impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, batch: 100 }
    }
}

/// The id of a request: the JSON text of a string, a number or null, exactly as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Id(Box<str>);

impl Id {
    /// The id of a reply to what has no readable id.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// An id of our own: the string [`OWN_ID_PREFIX`] and `number`.
    pub fn own(number: u64) -> Self {
        Self(format!("\"{OWN_ID_PREFIX}{number}\"").into())
    }

    /// The number, if this is an id that [`Id::own`] makes.
    pub fn own_number(&self) -> Option<u64> {
        let number =
            self.0.strip_prefix('"')?.strip_prefix(OWN_ID_PREFIX)?.strip_suffix('"')?.parse().ok()?;
        // Only one spelling: `+1` and `01` parse as well.
        (Self::own(number) == *self).then_some(number)
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `None` for a notification, which is carried out and not answered.
    pub id: Option<Id>,
    /// Any string, not checked against the methods there are.
    pub method: String,
    /// The JSON text of an object. Its grammar is checked; numbers may be beyond a double, strings may have half
    /// surrogate pairs, names may repeat.
    pub params: Option<Box<str>>,
}

/// One response to a request of ours, or to nothing that we asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Of which request.
    pub id: Id,
    /// The JSON text of `result`, or of `error`, which is an object.
    pub result: Result<Box<str>, Box<str>>,
}

/// One object of a frame.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// To be carried out.
    Request(Request),
    /// To be handed to whoever waits for it, or dropped.
    Response(Response),
    /// To be answered with this error.
    Refused(Id, Error),
    /// A notification that cannot be carried out: nothing is to be done.
    Ignored,
}

/// What a frame says.
#[derive(Clone, PartialEq, Debug)]
pub enum Incoming {
    /// A single object, or something unreadable, which gets a single reply.
    One(Item),
    /// A batch, answered by one array of the replies in any order, or not at all if there are none.
    Batch(Vec<Item>),
}
