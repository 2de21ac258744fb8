//! What a machine knows about each connected peer, and what it remembers of those that left.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::score::{PeerStats, TopicStats};
use super::score_params::ScoreParams;
use crate::identity::PeerId;
use crate::machine::{Message, PeerInfo, PeerRef, TopicRef};
use crate::time::{Duration, Instant};

/// Disconnected peers remembered for their faults and backoffs; beyond this the one that expires first is forgotten. Our
/// choice: ten times the connections of a busy node.
pub(super) const DEPARTED_MAX: usize = 2_000;

/// The longest backoff remembered of a departed peer, who may have named any: one with a backoff of years must not outlive
/// all others' faults here. Our choice: sixty times the usual backoff.
const DEPARTED_BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// One connected peer.
#[derive(Debug)]
pub(super) struct Neighbour<M: Message> {
    pub(super) info: PeerInfo,
    /// From the peer id: orders random choices.
    pub(super) key: u64,
    /// Topics it subscribes to.
    pub(super) topics: SmallVec<[TopicRef; 2]>,
    pub(super) topic_stats: SmallVec<[TopicStats; 1]>,
    pub(super) stats: PeerStats,
    /// Neighbours with the same address, itself included.
    pub(super) ip_peers: u32,
    /// IHAVE frames since the last heartbeat.
    pub(super) ihave_frames: u32,
    /// Ids asked for since the last heartbeat.
    pub(super) asked: u32,
    /// IDONTWANT ids since the last heartbeat.
    pub(super) idontwants: u32,
    /// Ids it does not want, with the heartbeat at which that lapses.
    pub(super) unwanted: Vec<(M::Id, u64)>,
    /// How often it got a message by IWANT, with the heartbeat at which that is forgotten.
    pub(super) served: Vec<(M::Id, u64, u32)>,
}

impl<M: Message> Neighbour<M> {
    fn new(info: PeerInfo) -> Self {
        let key = u64::from_be_bytes(info.id.as_bytes()[..8].try_into().expect("a peer id has 32 bytes"));
        Self {
            info,
            key,
            topics: SmallVec::new(),
            topic_stats: SmallVec::new(),
            stats: PeerStats::default(),
            ip_peers: 1,
            ihave_frames: 0,
            asked: 0,
            idontwants: 0,
            unwanted: Vec::new(),
            served: Vec::new(),
        }
    }

    pub(super) fn topic_stats(&self, topic: TopicRef) -> Option<&TopicStats> {
        self.topic_stats.iter().find(|s| s.topic == topic)
    }

    pub(super) fn topic_stats_mut(&mut self, topic: TopicRef) -> &mut TopicStats {
        let at = match self.topic_stats.iter().position(|s| s.topic == topic) {
            Some(at) => at,
            None => {
                self.topic_stats.push(TopicStats::new(topic));
                self.topic_stats.len() - 1
            }
        };
        &mut self.topic_stats[at]
    }

    pub(super) fn score(&self, params: &ScoreParams) -> f64 {
        let topics = self.topic_stats.iter().map(|s| s.score(&params.topic)).sum();
        self.stats.total(topics, self.ip_peers, params)
    }

    pub(super) fn backoff_until(&self, topic: TopicRef) -> Instant {
        self.topic_stats(topic).map_or(Instant::ZERO, |s| s.backoff_until)
    }

    pub(super) fn does_not_want(&self, id: &M::Id) -> bool {
        self.unwanted.iter().any(|(unwanted, _)| unwanted == id)
    }
}

/// What is kept of a peer that left.
#[derive(Debug, Clone)]
struct Departed {
    topic_stats: SmallVec<[TopicStats; 1]>,
    stats: PeerStats,
    /// Until then its faults count if it comes back.
    forgiven: Instant,
    /// Until then something is left to remember, be it only a backoff.
    expires: Instant,
}

/// All neighbours by handle, and the memory of departed ones.
#[derive(Debug)]
pub(super) struct Neighbours<M: Message> {
    slots: Vec<Option<Neighbour<M>>>,
    departed: BTreeMap<PeerId, Departed>,
}

impl<M: Message> Default for Neighbours<M> {
    fn default() -> Self {
        Self { slots: Vec::new(), departed: BTreeMap::new() }
    }
}

impl<M: Message> Neighbours<M> {
    pub(super) fn get(&self, peer: PeerRef) -> Option<&Neighbour<M>> {
        self.slots.get(peer.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, peer: PeerRef) -> Option<&mut Neighbour<M>> {
        self.slots.get_mut(peer.0 as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerRef, &Neighbour<M>)> {
        self.slots.iter().enumerate().filter_map(|(i, n)| Some((PeerRef(i as u32), n.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerRef, &mut Neighbour<M>)> {
        self.slots.iter_mut().enumerate().filter_map(|(i, n)| Some((PeerRef(i as u32), n.as_mut()?)))
    }

    pub(super) fn insert(&mut self, now: Instant, peer: PeerRef, info: PeerInfo) {
        let slot = peer.0 as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        let mut neighbour = Neighbour::new(info);
        if let Some(mut departed) = self.departed.remove(&info.id)
            && departed.expires > now
        {
            if departed.forgiven <= now {
                departed.topic_stats.iter_mut().for_each(TopicStats::forgive);
                departed.stats = PeerStats::default();
            }
            neighbour.topic_stats = departed.topic_stats;
            neighbour.stats = departed.stats;
        }
        for other in self.slots.iter_mut().flatten().filter(|n| n.info.ip == info.ip) {
            other.ip_peers += 1;
            neighbour.ip_peers += 1;
        }
        self.slots[slot] = Some(neighbour);
    }

    /// Forgets the connection but, for `retain`, not the peer's faults: v1.1 keeps scores that are not positive.
    pub(super) fn remove(&mut self, now: Instant, peer: PeerRef, params: &ScoreParams, scoring: bool) {
        let Some(mut left) = self.slots.get_mut(peer.0 as usize).and_then(Option::take) else {
            return;
        };
        for other in self.slots.iter_mut().flatten().filter(|n| n.info.ip == left.info.ip) {
            other.ip_peers -= 1;
        }
        let good = !scoring || left.score(params) > 0.0;
        let forgiven = now + params.retain;
        let mut expires = forgiven;
        for stats in &mut left.topic_stats {
            if good {
                stats.forgive();
            } else {
                stats.disconnected(&params.topic);
            }
            stats.backoff_until = stats.backoff_until.min(now + DEPARTED_BACKOFF_MAX);
            expires = expires.max(stats.backoff_until);
        }
        if good {
            left.stats = PeerStats::default();
        }
        left.topic_stats.retain(|s| !s.is_blank(now));
        if left.topic_stats.is_empty() && left.stats == PeerStats::default() {
            return;
        }
        if self.departed.len() >= DEPARTED_MAX
            && let Some(first) =
                self.departed.iter().min_by_key(|(id, d)| (d.expires, **id)).map(|(id, _)| *id)
        {
            self.departed.remove(&first);
        }
        let departed = Departed { topic_stats: left.topic_stats, stats: left.stats, forgiven, expires };
        self.departed.insert(left.info.id, departed);
    }

    #[cfg(test)]
    pub(super) fn departed_len(&self) -> usize {
        self.departed.len()
    }

    /// Forgets departed peers whose time is up.
    pub(super) fn expire_departed(&mut self, now: Instant) {
        if !self.departed.is_empty() {
            self.departed.retain(|_, d| d.expires > now);
        }
    }

    /// One decay interval has passed. What is kept of departed peers does not decay, so that leaving and coming back is
    /// no way to lose a bad name early (as go does).
    pub(super) fn decay(&mut self, now: Instant, params: &ScoreParams) {
        for neighbour in self.slots.iter_mut().flatten() {
            for stats in &mut neighbour.topic_stats {
                stats.decay(now, params);
            }
            neighbour.stats.decay(params);
        }
    }
}
