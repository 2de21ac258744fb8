//! The eight primitives of spec 4 to 6, sans-IO: 44 methods, and what they say to other peers.
//!
//! One file each. A method is a type: its fields are the parameters, its [`Method`] says the rest, and [`PRIMITIVES`] lists
//! them all. [`Agent`] is the child of [`Peer`](crate::peer::Peer) that runs them; it lends each call an [`Env`]. Primitives
//! share sessions (`sessions.rs`) and nothing else: what one does to a session the next one sees.
//!
//! A call is parsed and checked whole before anything changes, and what it changes is in [`Records`], so that a driver can
//! make it durable before it lets the answer go.

mod agent;
pub mod amount;
mod call;
mod config;
mod env;
mod error;
pub mod guard;
pub mod improving;
pub mod learning;
mod likeness;
pub mod memory;
mod method;
pub mod micropayments;
mod openrpc;
mod params;
mod records;
pub mod recursive;
pub mod redact;
mod sessions;
pub mod state;
#[cfg(test)]
mod tests;
pub mod token;
pub mod tool;

pub use agent::{Agent, QueryEnd};
pub use call::{
    AgentInput, AgentOutput, Answer, Arrange, Call, CallId, Caller, ClientId, Execute, Executed, Fetch,
    Fetched, Source, Tier,
};
pub use config::Config;
pub use env::{Env, Net, Reply, Serving};
pub use error::{Code, Error};
pub use method::{Access, Entry, Method};
pub use openrpc::openrpc;
pub use params::{Json, Name, Note, Object, Real, Reward, Share, Text, Whole};
pub use records::{MemoryRecords, NoRecords, Records, Table};
pub use sessions::Session;

use crate::time::UnixMillis;

/// The primitives in the order of spec 3, with their methods.
pub const PRIMITIVES: [(&str, &[Entry]); 8] = [
    ("state", state::METHODS),
    ("guard", guard::METHODS),
    ("tool", tool::METHODS),
    ("memory", memory::METHODS),
    ("recursive", recursive::METHODS),
    ("learning", learning::METHODS),
    ("improving", improving::METHODS),
    ("micropayments", micropayments::METHODS),
];

/// All methods.
pub fn methods() -> impl Iterator<Item = &'static Entry> {
    PRIMITIVES.iter().flat_map(|(_, methods)| methods.iter())
}

/// A time as ISO 8601 in UTC with milliseconds, as the spec's examples have it (decision J13).
pub fn iso(unix: UnixMillis) -> String {
    let (seconds, millis) = (unix.0 / 1000, unix.0 % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}
