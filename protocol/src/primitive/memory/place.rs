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
/// At how many places of the ring, evenly spread, replicas are looked at to choose whom to ask (our choice).
const PLACES: usize = 512;

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
        self.near_now(at)
    }

    /// The same by the ring as it was last brought up to date.
    pub(super) fn near_now(&self, at: Position) -> Vec<PeerId> {
        self.first(at, 2 * REPLICAS + 2)
    }

    /// Other storage peers to ask about all memories, at most `wanted`, and whether none can be missed: whether each has a
    /// replica among them or here for certain.
    ///
    /// Of more peers than are asked, other ones each time: each is the one that is a replica at most of the places looked
    /// at that none so far is. There is nothing to tell near or idle peers by.
    pub(super) fn cover(&mut self, env: &mut Env<'_>, wanted: usize) -> (Vec<PeerId>, bool) {
        self.changed(env);
        let members = self.ring.iter().flat_map(Ring::members).copied();
        let mut members: Vec<PeerId> = members.filter(|peer| *peer != env.own).collect();
        if members.len() <= wanted {
            return (members, true);
        }
        let complete = members.len() - wanted < REPLICAS;
        let mut replica_at: BTreeMap<PeerId, Vec<usize>> = BTreeMap::new();
        let first = env.rng.next_u64();
        let step = u64::MAX / PLACES as u64;
        let mut open = vec![false; PLACES];
        for (place, open) in open.iter_mut().enumerate() {
            let replicas = self.first(Position(first.wrapping_add(step * place as u64)), REPLICAS);
            *open = !replicas.contains(&env.own);
            for peer in replicas.into_iter().filter(|peer| *peer != env.own) {
                replica_at.entry(peer).or_default().push(place);
            }
        }
        let mut asked = Vec::with_capacity(wanted);
        while asked.len() < wanted {
            let gains = replica_at
                .iter()
                .map(|(peer, places)| (places.iter().filter(|place| open[**place]).count(), *peer));
            let Some((_, best)) = gains.max().filter(|(gain, _)| *gain > 0) else { break };
            for place in replica_at.remove(&best).unwrap_or_default() {
                open[place] = false;
            }
            asked.push(best);
        }
        // All that was looked at is covered: whoever else.
        let turn = env.rng.below(members.len() as u64) as usize;
        members.rotate_left(turn);
        let others = members.into_iter().filter(|peer| !asked.contains(peer));
        let others: Vec<PeerId> = others.take(wanted - asked.len()).collect();
        asked.extend(others);
        (asked, complete)
    }
}
