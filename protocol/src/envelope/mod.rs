//! The signed envelope v2 that wraps every gossip message (spec 2.1 and 9.2).
//!
//! * [`sign()`] makes one, as compact JSON bytes ready to publish.
//! * [`inspect`] checks one as far as its topic and bytes alone decide, so its verdict can be remembered per message.
//! * [`ReplayWindow::admit`] then checks what depends on the receiver: the age, and whether the nonce was seen before.
//!
//! The spec says what is hashed but not in which bytes. A [`Dialect`] is one reading of it, held as data; the default is
//! the project's. The single checks are data too: [`CHECKS`] lists them in order and [`inspect_with`] takes any list.
//!
//! Only `ts`, `nonce`, `from`, `d` and the topic are signed. Another text of the same key or signature (hex for base64),
//! another order of members, other white space around them and additional members give an envelope that verifies as
//! well. Its `nonce` stays the same, so the replay check stops it.

pub mod dialect;
pub(crate) mod encoding;
mod json;
pub mod parse;
pub mod replay;
pub mod sign;
pub mod verify;

pub use dialect::{Dialect, DialectError};
pub(crate) use json::nesting;
pub use parse::{Limits, SignedEnvelope};
pub use replay::{ReplayConfig, ReplayWindow};
pub use sign::{SignError, sign};
pub use verify::{CHECKS, Check, Inspected, Rejection, inspect, inspect_with};
