//! Who said IDONTWANT of what (v1.2), and who was served what by IWANT.
//!
//! Kept per message, not per neighbour: forwarding asks once per message for all its receivers.

use std::collections::BTreeMap;

use crate::machine::PeerRef;

/// A set of neighbours as bits, by handle: handles are small and dense.
#[derive(Debug, Default)]
pub(super) struct PeerSet {
    /// Handles below 64.
    low: u64,
    /// The others, if there are any.
    #[expect(
        clippy::box_collection,
        reason = "half the size where no handle is above 63, which is nearly everywhere"
    )]
    high: Option<Box<Vec<u64>>>,
}

impl PeerSet {
    /// Adds a neighbour.
    pub(super) fn insert(&mut self, peer: PeerRef) {
        let (word, bit) = (peer.0 as usize / 64, 1 << (peer.0 % 64));
        if word == 0 {
            self.low |= bit;
            return;
        }
        let high = self.high.get_or_insert_default();
        if high.len() < word {
            high.resize(word, 0);
        }
        high[word - 1] |= bit;
    }

    fn remove(&mut self, peer: PeerRef) {
        let (word, bit) = (peer.0 as usize / 64, 1_u64 << (peer.0 % 64));
        let high = self.high.as_mut();
        if word == 0 {
            self.low &= !bit;
        } else if let Some(bits) = high.and_then(|high| high.get_mut(word - 1)) {
            *bits &= !bit;
        }
    }

    /// Whether a neighbour is in.
    #[inline]
    pub(super) fn contains(&self, peer: PeerRef) -> bool {
        let bits = match peer.0 as usize / 64 {
            0 => self.low,
            word => self.high.as_ref().and_then(|high| high.get(word - 1)).copied().unwrap_or(0),
        };
        bits >> (peer.0 % 64) & 1 == 1
    }
}

/// Messages with refusals at once; refusals of further ones are not heeded. Our choice: three heartbeats of 1,300 large
/// messages per second.
pub(super) const UNWANTED_MAX: usize = 4_096;

/// One message's refusals.
#[derive(Debug)]
struct Refusals<K> {
    id: K,
    /// The heartbeat at which they are forgotten.
    lapses: u32,
    by: PeerSet,
}

/// The refusals of all neighbours, in the order of ids. A message's refusals lapse `idontwant_ttl` heartbeats after the
/// last of them.
#[derive(Debug)]
pub(super) struct Unwanted<K>(Vec<Refusals<K>>);

impl<K> Default for Unwanted<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord> Unwanted<K> {
    /// `peer` does not want `id` until heartbeat `lapses`. False if there is no room for it.
    pub(super) fn insert(&mut self, id: K, peer: PeerRef, lapses: u64) -> bool {
        let at = match self.0.binary_search_by(|r| r.id.cmp(&id)) {
            Ok(at) => at,
            Err(_) if self.0.len() >= UNWANTED_MAX => return false,
            Err(at) => {
                self.0.insert(at, Refusals { id, lapses: 0, by: PeerSet::default() });
                at
            }
        };
        self.0[at].by.insert(peer);
        self.0[at].lapses = u32::try_from(lapses).unwrap_or(u32::MAX);
        true
    }

    /// Who does not want `id`.
    pub(super) fn by(&self, id: &K) -> Option<&PeerSet> {
        self.0.binary_search_by(|r| r.id.cmp(id)).ok().map(|at| &self.0[at].by)
    }

    /// The handle may soon be another peer's.
    pub(super) fn forget(&mut self, peer: PeerRef) {
        self.0.iter_mut().for_each(|refusals| refusals.by.remove(peer));
    }

    /// Heartbeat `tick` has come.
    pub(super) fn expire(&mut self, tick: u64) {
        self.0.retain(|refusals| u64::from(refusals.lapses) > tick);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How often each neighbour got a message by IWANT. Bounded by the messages in the history times the neighbours.
#[derive(Debug)]
pub(super) struct Served<K>(BTreeMap<(K, PeerRef), Answers>);

/// How often, and the heartbeat at which that is forgotten.
#[derive(Debug)]
struct Answers {
    count: u32,
    lapses: u64,
}

impl<K> Default for Served<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Served<K> {
    /// Counts one more answer, unless there were `most`. Forgotten at heartbeat `lapses`, set by the first.
    pub(super) fn admit(&mut self, id: K, peer: PeerRef, most: u32, lapses: u64) -> bool {
        let entry = self.0.entry((id, peer)).or_insert(Answers { count: 0, lapses });
        let admitted = entry.count < most;
        entry.count += u32::from(admitted);
        admitted
    }

    /// The handle may soon be another peer's.
    pub(super) fn forget(&mut self, peer: PeerRef) {
        self.0.retain(|(_, served), _| *served != peer);
    }

    /// Heartbeat `tick` has come.
    pub(super) fn expire(&mut self, tick: u64) {
        if !self.0.is_empty() {
            self.0.retain(|_, entry| entry.lapses > tick);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_peers_holds_any_handle_and_forgets_one() {
        let mut unwanted = Unwanted::default();
        for peer in [0, 63, 64, 1_000] {
            assert!(unwanted.insert(7, PeerRef(peer), 3));
        }
        unwanted.forget(PeerRef(64));
        let by = unwanted.by(&7).expect("just said");
        assert_eq!(
            [0, 1, 63, 64, 65, 1_000, 5_000].map(|p| by.contains(PeerRef(p))),
            [true, false, true, false, false, true, false]
        );
        unwanted.expire(2);
        assert_eq!(unwanted.len(), 1);
        unwanted.expire(3);
        assert_eq!(unwanted.len(), 0);
    }

    #[test]
    fn refusals_beyond_the_bound_are_not_heeded() {
        let mut unwanted = Unwanted::default();
        assert!((0..UNWANTED_MAX).all(|id| unwanted.insert(id, PeerRef(0), 3)));
        assert!(!unwanted.insert(UNWANTED_MAX, PeerRef(0), 3));
        assert!(unwanted.insert(5, PeerRef(1), 3), "one more refusal of a known message");
        assert_eq!(unwanted.len(), UNWANTED_MAX);
    }
}
