//! Settings a driver shares between all its machines.

use crate::{envelope, gossip};

/// Everything a [`Peer`](crate::peer::Peer) can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// GossipSub.
    pub gossip: gossip::Config,
    /// Freshness window and replay cache of signed envelopes.
    pub replay: envelope::ReplayConfig,
}
