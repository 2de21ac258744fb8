//! Promises: a peer that advertised a message and was asked for it has to send it in time (v1.1, P7).

use crate::machine::{Message, PeerRef};
use crate::time::Instant;

/// One tracked id of one IWANT.
#[derive(Debug)]
struct Promise<M: Message> {
    id: M::Id,
    peer: PeerRef,
    due: Instant,
}

/// All open promises: at most one per IHAVE answered, so bounded by the cap on those.
#[derive(Debug)]
pub(super) struct Promises<M: Message>(Vec<Promise<M>>);

impl<M: Message> Default for Promises<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Message> Promises<M> {
    /// Tracks that `peer` has to send `id` by `due`.
    pub(super) fn add(&mut self, id: M::Id, peer: PeerRef, due: Instant) {
        if !self.0.iter().any(|p| p.id == id && p.peer == peer) {
            self.0.push(Promise { id, peer, due });
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The message came, from whomever: nobody owes it any more.
    pub(super) fn fulfil(&mut self, id: &M::Id) {
        if !self.0.is_empty() {
            self.0.retain(|p| p.id != *id);
        }
    }

    /// The connection is gone, and with it what was owed over it.
    pub(super) fn forget(&mut self, peer: PeerRef) {
        self.0.retain(|p| p.peer != peer);
    }

    /// Takes out the promises overdue at `now`; calls `broken` once for each.
    pub(super) fn expire(&mut self, now: Instant, mut broken: impl FnMut(PeerRef)) {
        self.0.retain(|p| {
            let kept = now <= p.due;
            if !kept {
                broken(p.peer);
            }
            kept
        });
    }
}
