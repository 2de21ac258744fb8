//! What a machine knows about each connected peer, and what it remembers of those that left.

use std::cell::Cell;
use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::score::{PeerStats, TopicStats};
use super::score_params::ScoreParams;
use crate::identity::PeerId;
use crate::machine::{PeerInfo, PeerRef, TopicRef};
use crate::time::{Duration, Instant};

/// Disconnected peers remembered for their faults and backoffs; beyond this the one that expires first is forgotten. Our
/// choice: ten times the connections of a busy node.
pub(super) const DEPARTED_MAX: usize = 2_000;

/// The longest backoff remembered of a departed peer, who may have named any: one with a backoff of years must not outlive
/// all others' faults here. Our choice: sixty times the usual backoff.
const DEPARTED_BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// One connected peer.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) info: PeerInfo,
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
}

impl Neighbour {
    fn new(info: PeerInfo) -> Self {
        Self {
            info,
            topics: SmallVec::new(),
            topic_stats: SmallVec::new(),
            stats: PeerStats::default(),
            ip_peers: 1,
            ihave_frames: 0,
            asked: 0,
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

    fn score(&self, params: &ScoreParams) -> f64 {
        let topics = self.topic_stats.iter().map(|s| s.score(&params.topic)).sum();
        self.stats.total(topics, self.ip_peers, params)
    }

    pub(super) fn backoff_until(&self, topic: TopicRef) -> Instant {
        self.topic_stats(topic).map_or(Instant::ZERO, |s| s.backoff_until)
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

/// What every frame asks about a neighbour, apart from the rest so that it stays close together in memory.
#[derive(Clone, Debug, Default)]
struct Hot {
    connected: bool,
    explicit: bool,
    /// Whether `score` is what the neighbour's counters come to.
    fresh: Cell<bool>,
    /// IDONTWANT ids since the last heartbeat.
    idontwants: u32,
    /// From the peer id: orders random choices.
    key: u64,
    score: Cell<f64>,
}

/// The first bytes of an identity: enough to order random choices and to tell most identities apart.
fn key_of(id: &PeerId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("a peer id has 32 bytes"))
}

/// All neighbours by handle, and the memory of departed ones.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    hot: Vec<Hot>,
    slots: Vec<Option<Neighbour>>,
    departed: BTreeMap<PeerId, Departed>,
}

impl Neighbours {
    /// Handles in use so far.
    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    pub(super) fn is_connected(&self, peer: PeerRef) -> bool {
        self.hot.get(peer.0 as usize).is_some_and(|hot| hot.connected)
    }

    pub(super) fn is_explicit(&self, peer: PeerRef) -> bool {
        self.hot.get(peer.0 as usize).is_some_and(|hot| hot.explicit)
    }

    /// Orders random choices; 0 for a handle that is not connected.
    pub(super) fn key(&self, peer: PeerRef) -> u64 {
        self.hot.get(peer.0 as usize).map_or(0, |hot| hot.key)
    }

    /// Whether the neighbour has this identity.
    pub(super) fn is(&self, peer: PeerRef, id: &PeerId) -> bool {
        // The key settles nearly every case without a look at the rest.
        self.key(peer) == key_of(id) && self.get(peer).is_some_and(|n| n.info.id == *id)
    }

    /// The score, worked out anew only if something has changed since the last time.
    #[inline]
    pub(super) fn score(&self, peer: PeerRef, params: &ScoreParams) -> f64 {
        let Some(hot) = self.hot.get(peer.0 as usize) else { return 0.0 };
        if !hot.fresh.get() {
            hot.score.set(self.get(peer).map_or(0.0, |n| n.score(params)));
            hot.fresh.set(true);
        }
        hot.score.get()
    }

    /// Counts an IDONTWANT; false if the neighbour has said `most` since the last heartbeat.
    pub(super) fn admit_idontwant(&mut self, peer: PeerRef, most: u32) -> bool {
        let Some(hot) = self.hot.get_mut(peer.0 as usize) else { return false };
        let admitted = hot.idontwants < most;
        hot.idontwants += u32::from(admitted);
        admitted
    }

    /// A heartbeat has come: counters start anew.
    pub(super) fn start_counting(&mut self) {
        self.hot.iter_mut().for_each(|hot| hot.idontwants = 0);
        for n in self.slots.iter_mut().flatten() {
            n.ihave_frames = 0;
            n.asked = 0;
        }
    }

    pub(super) fn get(&self, peer: PeerRef) -> Option<&Neighbour> {
        self.slots.get(peer.0 as usize)?.as_ref()
    }

    /// The neighbour to change: its score is worked out anew afterwards.
    pub(super) fn get_mut(&mut self, peer: PeerRef) -> Option<&mut Neighbour> {
        self.hot.get(peer.0 as usize)?.fresh.set(false);
        self.slots.get_mut(peer.0 as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerRef, &Neighbour)> {
        self.slots.iter().enumerate().filter_map(|(i, n)| Some((PeerRef(i as u32), n.as_ref()?)))
    }

    pub(super) fn insert(&mut self, now: Instant, peer: PeerRef, info: PeerInfo) {
        let slot = peer.0 as usize;
        if self.slots.len() <= slot {
            // Doubling would waste a third of all memory among many simulated peers.
            let more = (slot + 1 - self.slots.len()).max(self.slots.len() / 4).max(4);
            if self.slots.capacity() <= slot {
                self.slots.reserve_exact(more);
                self.hot.reserve_exact(more);
            }
            self.slots.resize_with(slot + 1, || None);
            self.hot.resize_with(slot + 1, Hot::default);
        }
        self.stale();
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
        self.hot[slot] =
            Hot { connected: true, explicit: info.explicit, key: key_of(&info.id), ..Hot::default() };
    }

    /// Something changed that all scores depend on.
    fn stale(&mut self) {
        self.hot.iter_mut().for_each(|hot| hot.fresh.set(false));
    }

    /// Forgets the connection but, for `retain`, not the peer's faults: v1.1 keeps scores that are not positive.
    pub(super) fn remove(&mut self, now: Instant, peer: PeerRef, params: &ScoreParams, scoring: bool) {
        let Some(mut left) = self.slots.get_mut(peer.0 as usize).and_then(Option::take) else {
            return;
        };
        self.hot[peer.0 as usize] = Hot::default();
        self.stale();
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
        self.stale();
        for neighbour in self.slots.iter_mut().flatten() {
            for stats in &mut neighbour.topic_stats {
                stats.decay(now, params);
            }
            neighbour.stats.decay(params);
        }
    }
}
