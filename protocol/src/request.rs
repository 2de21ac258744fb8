//! What one peer asks of another apart from gossip, and what an application asks of its own peer.
//!
//! Requests go to a contact, over a connection or not: how to reach it is the driver's affair. Each protocol numbers its
//! own requests.

use std::sync::Arc;

use crate::card::{Card, Published};
use crate::identity::PeerId;
use crate::kad;

pub use crate::kad::RequestId;

/// Which machine a request belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    /// Kademlia.
    Dht,
    /// `/hyperspace/card/1`.
    Card,
    /// `/hyperspace/tool/1`: carry out a tool.
    Tool,
    /// `/hyperspace/memory/1`: store, get, search, delete, sync.
    Memory,
    /// `/hyperspace/trajectory/1`: fetch by content hash.
    Trajectory,
}

/// What one peer asks of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<C> {
    /// Something of the DHT.
    Dht(kad::Request<C>),
    /// Your capability card.
    Card,
    /// Something of the primitives.
    Agent {
        /// Over which of their protocols.
        protocol: Protocol,
        /// What, as JSON.
        body: Arc<str>,
    },
}

impl<C> Request<C> {
    /// Which machine it belongs to.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Dht(_) => Protocol::Dht,
            Self::Card => Protocol::Card,
            Self::Agent { protocol, .. } => *protocol,
        }
    }
}

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Debug)]
pub enum Response<C> {
    /// Of the DHT.
    Dht(kad::Response<C>),
    /// The answering peer's own card, if it has one. The driver has seen that it is signed by that peer.
    Card(Option<Arc<Published>>),
    /// Of the primitives, as JSON.
    Agent(Arc<str>),
}

/// What an application asks of its peer.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Something of the DHT; ends with [`Event::QueryDone`] or [`Event::QueryRefused`].
    Query {
        /// The application's own number of it.
        token: u64,
        /// What.
        query: Query,
    },
    /// Announce this card from now on, in place of the one before.
    Announce(Card),
    /// Keep the card of this peer: it was resolved or used.
    Follow(PeerId),
    /// No longer keep it.
    Unfollow(PeerId),
}

/// What an application asks of the DHT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// Who is closest to this key?
    FindNode(kad::Key),
    /// Tell the peers closest to this key that we provide it, and keep doing so.
    Provide(kad::Key),
    /// Who provides this key?
    FindProviders(kad::Key),
    /// Store this value at the peers closest to the key, and keep doing so.
    PutValue(kad::Key, Arc<[u8]>),
    /// What is stored under this key?
    GetValue(kad::Key),
}

/// What a peer tells its application besides gossip messages.
#[derive(Clone, PartialEq, Debug)]
pub enum Event<C> {
    /// A query has come to its end.
    QueryDone {
        /// The application's number of it.
        token: u64,
        /// What came out.
        outcome: kad::Outcome<C>,
        /// What it took.
        stats: kad::QueryStats,
    },
    /// A query was not started: too many are on their way, or there is no DHT here (`None`).
    QueryRefused {
        /// The application's number of it.
        token: u64,
        /// Why.
        error: Option<kad::Error>,
    },
    /// A followed peer's card is new, or another than before.
    CardUpdated(PeerId),
    /// A followed peer was not heard of for too long; its card is gone.
    CardExpired(PeerId),
}
