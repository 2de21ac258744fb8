//! Where peers lie in the DHT's key space, as only the world knows: who is closest to a key, and what the routing tables
//! of a network at rest hold.

use core::ops::Range;
use std::sync::Arc;

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{Config, KadKey, Services, Table};
use hyperspace_protocol::rng::Stream;

use crate::net::sample_distinct;

/// The places of all peers. Empty in a world without DHT.
#[derive(Debug, Default)]
pub(crate) struct Places {
    keys: Arc<[KadKey]>,
    /// Peers that serve the DHT, by rising key.
    order: Vec<u32>,
}

impl Places {
    pub(crate) fn new(ids: &[PeerId], serves: impl Fn(u32) -> bool) -> Self {
        let keys: Arc<[KadKey]> = ids.iter().map(KadKey::of_peer).collect();
        let mut order: Vec<u32> = (0..keys.len() as u32).filter(|peer| serves(*peer)).collect();
        order.sort_unstable_by_key(|peer| keys[*peer as usize]);
        Self { keys, order }
    }

    /// The same places with fewer servers.
    pub(crate) fn only(&self, serves: impl Fn(u32) -> bool) -> Self {
        let order = self.order.iter().copied().filter(|peer| serves(*peer)).collect();
        Self { keys: Arc::clone(&self.keys), order }
    }

    #[inline]
    pub(crate) fn key(&self, peer: u32) -> KadKey {
        self.keys[peer as usize]
    }

    /// Whether a peer serves the DHT.
    pub(crate) fn serves(&self, peer: u32) -> bool {
        let key = self.keys.get(peer as usize);
        key.is_some_and(|key| self.order.binary_search_by_key(key, |other| self.key(*other)).is_ok())
    }

    /// All that serve the DHT.
    pub(crate) fn servers(&self) -> &[u32] {
        &self.order
    }

    /// Servers by rising distance from a place.
    pub(crate) fn nearest<'a>(&'a self, to: &'a KadKey) -> impl Iterator<Item = u32> + 'a {
        let mut ranges = vec![(0..self.order.len(), 0)];
        std::iter::from_fn(move || {
            loop {
                let (range, depth) = ranges.pop()?;
                if range.len() < 2 {
                    match range.is_empty() {
                        true => continue,
                        false => return Some(self.order[range.start]),
                    }
                }
                let zeros = self.order[range.clone()].partition_point(|peer| !bit(&self.key(*peer), depth));
                let middle = range.start + zeros;
                let halves = [(range.start..middle, depth + 1), (middle..range.end, depth + 1)];
                // The nearer half is to be taken off first.
                let [zero, one] = halves;
                ranges.extend(if bit(to, depth) { [zero, one] } else { [one, zero] });
            }
        })
    }

    /// Fills a table with `k` servers at random in every bucket, or all that there are.
    pub(crate) fn fill(
        &self,
        own: u32,
        table: &mut Table<u32>,
        config: &Config,
        services: &dyn Services<u32>,
        draws: &mut Stream,
    ) {
        let key = self.key(own);
        let mut range = 0..self.order.len();
        for depth in 0..KadKey::BITS {
            if range.is_empty() || range.len() == 1 && self.order[range.start] == own {
                break;
            }
            let zeros = self.order[range.clone()].partition_point(|peer| !bit(&self.key(*peer), depth));
            let middle = range.start + zeros;
            let (near, far): (Range<usize>, Range<usize>) = match bit(&key, depth) {
                false => (range.start..middle, middle..range.end),
                true => (middle..range.end, range.start..middle),
            };
            for place in sample_distinct(draws, far.len() as u32, config.k as u32, None) {
                table.seen(&key, self.order[far.start + place as usize], config, services);
            }
            range = near;
        }
    }
}

fn bit(key: &KadKey, depth: usize) -> bool {
    key.as_bytes()[depth / 8] >> (7 - depth % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyperspace_protocol::kad::Key;

    struct Ids<'a>(&'a Places, &'a [PeerId]);

    impl Services<u32> for Ids<'_> {
        fn key(&self, contact: u32) -> KadKey {
            self.0.key(contact)
        }
        fn id(&self, contact: u32) -> Key {
            Key::of_peer(&self.1[contact as usize])
        }
    }

    fn ids(n: u32) -> Vec<PeerId> {
        let id = |i: u32| {
            let mut bytes = [7; 32];
            bytes[..4].copy_from_slice(&i.to_be_bytes());
            PeerId::from_public_key(bytes)
        };
        (0..n).map(id).collect()
    }

    #[test]
    fn nearest_is_the_list_sorted_by_distance() {
        let places = Places::new(&ids(300), |peer| peer % 3 != 0);
        for target in 0..50u32 {
            let to = KadKey::hash_of(&target.to_be_bytes());
            let mut sorted: Vec<u32> = (0..300).filter(|peer| peer % 3 != 0).collect();
            sorted.sort_by_key(|peer| places.key(*peer).distance(&to));
            assert_eq!(places.nearest(&to).collect::<Vec<_>>(), sorted);
        }
    }

    /// Row A10 of the published results: bucket i expects N / 2^(i+1) peers and holds k of them.
    #[test]
    fn buckets_of_a_network_at_rest_are_as_full_as_they_can_be() {
        const N: u32 = 2_000;
        let ids = ids(N);
        let places = Places::new(&ids, |_| true);
        let config = Config::spec();
        let mut sums = [0; 12];
        for own in 0..N {
            let mut table = Table::default();
            places.fill(own, &mut table, &config, &Ids(&places, &ids), &mut Stream::new(1, own.into()));
            for bucket in table.buckets().filter(|b| b.depth < 12) {
                let there = (0..N)
                    .filter(|p| *p != own && places.key(own).shared_bits(&places.key(*p)) == bucket.depth);
                if own % 50 == 0 {
                    assert_eq!(bucket.contacts.len(), there.count().min(config.k));
                }
                sums[bucket.depth] += bucket.contacts.len();
            }
        }
        // Where a bucket always overflows it is full; where it never does it holds N / 2^(i+1). Deeper ones hold too few for
        // a mean over these peers to be within 3 %.
        for (depth, sum) in sums.into_iter().enumerate() {
            let (mean, expected) = (sum as f64 / f64::from(N), f64::from(N) / f64::from(2u32 << depth));
            if (3.0..8.0).contains(&expected) || expected > 40.0 {
                let expected = expected.min(20.0);
                assert!((mean / expected - 1.0).abs() < 0.03, "{depth}: {mean} for {expected}");
            }
        }
    }
}
