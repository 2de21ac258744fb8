//! Settings a driver shares between all its machines.

use crate::{card, envelope, gossip, kad, primitive};

/// Everything a [`Peer`](crate::peer::Peer) can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// GossipSub.
    pub gossip: gossip::Config,
    /// Freshness window and replay cache of signed envelopes.
    pub replay: envelope::ReplayConfig,
    /// The DHT, in a network that has one.
    pub dht: Option<kad::Config>,
    /// Capability cards.
    pub cards: card::Config,
    /// The primitives.
    pub primitives: primitive::Config,
}
