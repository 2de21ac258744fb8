//! Where memories lie: the ring of the peers that store memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::PeerId;
use crate::primitive::env::Env;
use crate::ring::{Position, REPLICAS, Ring, Vnodes};
use crate::time::{Duration, Instant};
use crate::topic::Topic;

/// How long a peer counts as one that stores memory after it was last heard: three comparisons and some (our choice).
const HEARD_LIFE: Duration = Duration::from_secs(200);
/// Most peers that are remembered for having been heard (our choice).
const HEARD_MAX: usize = 1024;

/// Where storage peers talk.
pub(super) const fn topic() -> Topic {
    Topic::crdt_sync_memory()
}

/// The ring as this peer sees it.
#[derive(Debug, Default)]
pub(super) struct Place {
    ring: Option<Ring<PeerId>>,
    /// Peers heard on the topic, which may be too far to be connected.
    heard: BTreeMap<PeerId, Instant>,
    /// Whether the members have changed since [`Place::take_moved`] was last asked.
    moved: bool,
}

impl Place {
    pub(super) fn heard(&mut self, now: Instant, peer: PeerId) {
        self.heard.retain(|_, last| now.since(*last) < HEARD_LIFE);
        if self.heard.len() < HEARD_MAX || self.heard.contains_key(&peer) {
            self.heard.insert(peer, now);
        }
    }

    /// A connection is there, or gone: a peer that was lost has to be heard again.
    pub(super) fn peer(&mut self, peer: PeerId, connected: bool) {
        if !connected {
            self.heard.remove(&peer);
        }
    }

    /// Brings the ring up to date; returns whether its members are others than before.
    pub(super) fn changed(&mut self, env: &Env<'_>) -> bool {
        let mut members: BTreeSet<PeerId> = env.net.subscribers(&topic()).into_iter().collect();
        let heard = self.heard.iter().filter(|(_, last)| env.now.since(**last) < HEARD_LIFE);
        members.extend(heard.map(|(peer, _)| *peer));
        members.remove(&env.own);
        if env.config.memory.store {
            members.insert(env.own);
        }
        if self.ring.as_ref().is_some_and(|ring| ring.members().eq(members.iter())) {
            return false;
        }
        let ring = Ring::build(Vnodes::default(), members).expect("a set has no member twice");
        self.moved |= self.ring.replace(ring).is_some();
        true
    }

    /// Whether memories may have to move since this was last asked.
    pub(super) const fn take_moved(&mut self) -> bool {
        core::mem::replace(&mut self.moved, false)
    }

    /// The first holders of a position, the primary first.
    fn first(&self, at: Position, wanted: usize) -> Vec<PeerId> {
        self.ring.iter().flat_map(|ring| ring.replicas(at, wanted)).copied().collect()
    }

    /// Who holds what lies there: the primary first.
    pub(super) fn replicas(&mut self, env: &Env<'_>, at: Position) -> Vec<PeerId> {
        self.changed(env);
        self.first(at, REPLICAS)
    }

    /// The same by the ring as it was last brought up to date, for walks over all memories.
    pub(super) fn replicas_now(&self, at: Position) -> Vec<PeerId> {
        self.first(at, REPLICAS)
    }

    /// Who may hold what lies there: the replicas, and those that were or will be ones when peers come and go.
    pub(super) fn near(&mut self, env: &Env<'_>, at: Position) -> Vec<PeerId> {
        self.changed(env);
        self.first(at, 2 * REPLICAS + 2)
    }

    /// The other storage peers, at most `wanted`. There is nothing yet to tell the near ones by.
    pub(super) fn others(&mut self, env: &Env<'_>, wanted: usize) -> Vec<PeerId> {
        self.changed(env);
        let members = self.ring.iter().flat_map(Ring::members).copied();
        members.filter(|peer| *peer != env.own).take(wanted).collect()
    }
}
