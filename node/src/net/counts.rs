//! What the network dropped or punished. Remote misbehaviour is counted, never a panic nor a line of the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// One kind of thing counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// Bytes that are not what the protocol says: an offence.
    Garbage,
    /// A frame longer than allowed: an offence.
    Oversized,
    /// A pubsub message without what strict signing demands, or whose signature does not hold: an offence.
    BadSignature,
    /// A pubsub message whose author has another kind of key.
    ForeignAuthor,
    /// A message on a topic that is not ours.
    UnknownTopic,
    /// A subscription beyond the bounds on topics.
    TopicBound,
    /// A message dropped because those held take up all the memory they may.
    OverBudget,
    /// A peer banned.
    Banned,
    /// A connection refused: banned, or beyond a limit.
    Refused,
    /// A peer disconnected because it read too slowly.
    Slow,
    /// An IHAVE or IWANT not sent because the queue was full.
    GossipDropped,
    /// A message not sent because the queue was full.
    MessagesDropped,
    /// A request not sent: no room, or the peer cannot be reached.
    RequestsFailed,
    /// A request of others that was refused for want of room.
    RequestsRefused,
    /// A frame that could not be put on the wire.
    Unsendable,
}

impl Count {
    /// All kinds with the names they have in reports, in the order of [`Count`] as an index.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::Garbage, "net_garbage"),
        (Self::Oversized, "net_oversized"),
        (Self::BadSignature, "net_bad_signature"),
        (Self::ForeignAuthor, "net_foreign_author"),
        (Self::UnknownTopic, "net_unknown_topic"),
        (Self::TopicBound, "net_topic_bound"),
        (Self::OverBudget, "net_over_budget"),
        (Self::Banned, "net_banned"),
        (Self::Refused, "net_refused"),
        (Self::Slow, "net_slow"),
        (Self::GossipDropped, "net_gossip_dropped"),
        (Self::MessagesDropped, "net_messages_dropped"),
        (Self::RequestsFailed, "net_requests_failed"),
        (Self::RequestsRefused, "net_requests_refused"),
        (Self::Unsendable, "net_unsendable"),
    ];
}

/// How often each has happened; added to from any thread.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Count::NAMES.len()]);

impl Counts {
    /// Counts one more.
    pub fn add(&self, what: Count) {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has happened.
    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize].load(Ordering::Relaxed)
    }

    /// Every count with its name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Count::NAMES.iter().map(|(what, name)| (*name, self.get(*what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_the_kinds() {
        for (place, (what, name)) in Count::NAMES.iter().enumerate() {
            assert_eq!(*what as usize, place, "{name}");
        }
    }
}
