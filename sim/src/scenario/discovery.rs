//! The model of what concerns discovery: `[dht]`, churn, and the workloads of the DHT, the hash ring and the cards.

use std::sync::Arc;

use hyperspace_protocol::kad;
use hyperspace_protocol::ring::Vnodes;
use hyperspace_protocol::time::Duration;

use crate::churn::{Churn, Trace};

/// `[dht]`. A network without this table has no DHT.
#[derive(Clone, Debug, PartialEq)]
pub struct Dht {
    /// The profile with the file's changes applied.
    pub config: kad::Config,
    /// What routing tables hold when the run starts.
    pub start: DhtStart,
    /// Servers that a peer learns of when it comes up, from the honest ones that are up then, as from a list of bootstrap
    /// peers.
    pub bootstrap: u32,
    /// Round trips before the request to a peer without a connection: those of TCP, Noise and the stream.
    pub dial_round_trips: u32,
}

/// What routing tables hold at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhtStart {
    /// Of each bucket `k` random servers that are up, or all: a network that has long been at rest.
    Perfect,
    /// The bootstrap peers, from which every peer finds its own way.
    Join,
}

/// `[group.NAME.churn]`.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupChurn {
    /// Sessions drawn from distributions.
    Drawn(Churn),
    /// Sessions as somebody saw them.
    Trace {
        /// Peer n of the group is peer n of the trace.
        trace: Arc<Trace>,
        /// See [`Churn::keeps_state`].
        keeps_state: bool,
    },
}

impl GroupChurn {
    /// Whether a peer that comes back still has what was on its disk.
    pub const fn keeps_state(&self) -> bool {
        match self {
            Self::Drawn(churn) => churn.keeps_state,
            Self::Trace { keeps_state, .. } => *keeps_state,
        }
    }
}

/// `kind = "lookup"`: random peers of a group look for the peers closest to random keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookups {
    /// Index of the asking group.
    pub group: u32,
    /// Time between two.
    pub interval: Duration,
    /// The first.
    pub start: Duration,
    /// None at or after this.
    pub stop: Duration,
    /// No more than this; 0 means no limit.
    pub count: u32,
}

/// What a records workload puts into the DHT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Provider records (ADD_PROVIDER, GET_PROVIDERS).
    Providers,
    /// Values (PUT_VALUE, GET_VALUE).
    Values,
}

/// `kind = "provide"` and `kind = "put"`: peers of a group store records, and afterwards random peers look them up.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// Which.
    pub kind: RecordKind,
    /// Index of the group that stores and asks.
    pub group: u32,
    /// How many keys, stored one after the other from `start` on in the time up to `ask`.
    pub keys: u32,
    /// How many peers provide each key; 1 for values.
    pub copies: u32,
    /// Bytes of a value.
    pub size: u32,
    /// When the first is stored.
    pub start: Duration,
    /// When the first is asked for.
    pub ask: Duration,
    /// Time between two questions.
    pub interval: Duration,
    /// No question at or after this.
    pub stop: Duration,
}

/// On which topics cards are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardTopics {
    /// `hyperspace/capabilities/{peerId}`, as the specification has it.
    PerPeer,
    /// So many topics that peers share, by a hash of their id.
    Buckets(u32),
}

/// `kind = "cards"`: every peer of a group announces a card and follows some others of the group.
#[derive(Clone, Debug, PartialEq)]
pub struct CardsWorkload {
    /// Index of the group that announces.
    pub group: u32,
    /// Index of the group whose peers follow.
    pub followers: u32,
    /// How many of those who announce each of them follows, drawn once.
    pub follow: u32,
    /// On which topics.
    pub topics: CardTopics,
}

/// `kind = "ring"`: keys placed on the hash ring of those peers of a group that are up (specification 4.4).
#[derive(Clone, Debug, PartialEq)]
pub struct RingWorkload {
    /// Index of the group.
    pub group: u32,
    /// Virtual nodes.
    pub vnodes: Vnodes,
    /// How many keys.
    pub keys: u32,
    /// Peers that hold each key.
    pub replicas: u32,
}
