//! Capability cards: what a peer offers, and who is there to offer it (spec 2.4, 4.3 `tool.discover` and 7.4).
//!
//! Two machines, children of a peer, and some pure functions. Both machines take plain calls, put what they want done
//! into [`Context::out`] and have `poll_timeout` and `handle_timeout`; calling the latter early or twice does nothing.
//!
//! * [`Announcer`] is the publisher: a heartbeat every 30 s, the full card on change and on request (decision T7).
//! * [`Tracker`] is the receiver: it follows at most 64 peers, has unknown cards fetched and forgets a card 5 min after
//!   it was last heard of. What it knows is a [`Store`], the CRDT of spec 7.4.
//! * [`discover()`] ranks the tools of cards for `tool.discover` (decisions T8 and T10).
//! * [`card_key`] and [`tag_key`] are where cards and their tags lie in the DHT (decision T9).
//! * [`Payload::parse`] reads the `d` of an envelope on `hyperspace/capabilities/{peerId}`.
//!
//! A driver checks the envelope first ([`envelope`](crate::envelope)) and hands in its signer as `from`, after it saw
//! that this is the topic's peer (decision T3). Nothing a remote does makes a machine grow past its bounds; what is
//! dropped is counted in [`Counters`].

mod announcer;
mod context;
mod discover;
mod payload;
mod published;
mod store;
mod tags;
#[cfg(test)]
mod tests;
mod tracker;

pub use announcer::{Announcer, CLOCK_MAX, SetError};
pub use context::{Config, Context, Count, Counters, Output};
pub use discover::{DEFAULT_LIMIT, Local, Query, Ranked, Ranking, discover};
pub use payload::{
    CARD_BYTES_MAX, Card, CardError, DESCRIPTION_MAX, GEO_MAX, Heartbeat, Json, LATENCY_MAX, NAME_MAX,
    NESTING_MAX, Payload, SEQ_MAX, TAG_MAX, TAGS_MAX, TASK_TYPES_MAX, TOOLS_MAX, Tool,
};
pub use published::{CardHash, Published, Version};
pub use store::{Beat, Entry, Followed, Heard, Store};
pub use tags::{card_key, normal_tag, tag_key, tag_keys};
pub use tracker::{Tracker, age};
