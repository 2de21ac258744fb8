//! Who is connected: the handles that the machine has of peers, their connections, and the topics they hold.
//!
//! The machine sees one link per peer, over however many connections: what comes in over any of them is that peer's, what
//! goes out takes the newest that is ready for gossip.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant as Clock;

use hyperspace_protocol::gossip::Version;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::{PeerRef, TopicRef};
use libp2p::swarm::ConnectionId;

use crate::net::link::Link;

/// A connection, and GossipSub's version there once it is ready.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) link: Arc<Link>,
    pub(super) version: Option<Version>,
}

/// A connected peer.
#[derive(Debug, Default)]
pub(super) struct Connected {
    /// The oldest first.
    pub(super) conns: Vec<Conn>,
    /// The machine's handle, once gossip is ready.
    pub(super) handle: Option<PeerRef>,
    pub(super) topics: BTreeSet<TopicRef>,
    pub(super) server: bool,
    pub(super) agent: String,
    /// When the first of its connections was made.
    pub(super) since: Option<Clock>,
}

impl Connected {
    /// The connection that gossip goes out over.
    pub(super) fn gossip(&self) -> Option<(&Arc<Link>, Version)> {
        self.conns.iter().rev().find_map(|conn| Some((&conn.link, conn.version?)))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Peers {
    all: BTreeMap<PeerId, Connected>,
    handles: Vec<Option<PeerId>>,
    free: Vec<u32>,
    /// Given back, but perhaps still spoken of by outputs that were not carried out yet.
    retired: Vec<u32>,
}

impl Peers {
    pub(super) fn get(&self, peer: &PeerId) -> Option<&Connected> {
        self.all.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Connected> {
        self.all.get_mut(peer)
    }

    pub(super) fn entry(&mut self, peer: PeerId) -> &mut Connected {
        self.all.entry(peer).or_default()
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Connected> {
        self.all.remove(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Connected)> {
        self.all.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether this connection is known, and not given up.
    pub(super) fn knows(&self, link: &Link) -> bool {
        self.all.get(&link.peer).is_some_and(|p| p.conns.iter().any(|conn| conn.link.conn == link.conn))
    }

    /// Takes a connection out.
    pub(super) fn drop_conn(&mut self, peer: &PeerId, conn: ConnectionId) -> bool {
        let Some(connected) = self.all.get_mut(peer) else { return false };
        let before = connected.conns.len();
        connected.conns.retain(|known| known.link.conn != conn);
        connected.conns.len() < before
    }

    /// The peer behind a handle.
    pub(super) fn of(&self, handle: PeerRef) -> Option<PeerId> {
        self.handles.get(handle.0 as usize).copied().flatten()
    }

    /// A handle for a peer.
    pub(super) fn allot(&mut self, peer: PeerId) -> PeerRef {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.handles.push(None);
                self.handles.len() as u32 - 1
            }
        };
        self.handles[place as usize] = Some(peer);
        PeerRef(place)
    }

    /// Takes a handle back. It stands for nobody until [`Peers::reuse`].
    pub(super) fn retire(&mut self, handle: PeerRef) {
        if let Some(place) = self.handles.get_mut(handle.0 as usize) {
            *place = None;
            self.retired.push(handle.0);
        }
    }

    /// All outputs are carried out: nothing speaks of retired handles any more.
    pub(super) fn reuse(&mut self) {
        self.free.append(&mut self.retired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_used_again_only_after_all_is_carried_out() {
        let mut peers = Peers::default();
        let ids = [1, 2, 3].map(|n| PeerId::from_public_key([n; 32]));
        let first = peers.allot(ids[0]);
        peers.retire(first);
        assert_eq!(peers.of(first), None);
        let second = peers.allot(ids[1]);
        assert_ne!(first, second);
        peers.reuse();
        assert_eq!(peers.allot(ids[2]), first);
        assert_eq!(peers.of(first), Some(ids[2]));
    }
}
