//! The routing table: one bucket per number of leading bits shared with our own key, allocated when first used.
//!
//! Only contacts that proved themselves enter it (they answered us, or connected and serve the DHT), never hearsay; so
//! what a remote can make grow is bounded by the buckets: at most `256 * (k + waiting_max)` handles, and to reach a
//! bucket at depth `d` takes about `2^(d+1)` tries at making an identity. A cap per address group bounds what one
//! subnet can hold of it.

use super::bucket::{Bucket, Seen};
use super::config::Config;
use super::context::Services;
use super::key::{Distance, KadKey};
use crate::time::Instant;

/// One peer's contacts. It does not know its own key, nor anybody's: those are lent.
#[derive(Clone, Debug)]
pub struct Table<C> {
    /// By rising depth.
    buckets: Vec<Bucket<C>>,
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self { buckets: Vec::new() }
    }
}

/// What one bucket holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BucketView<'a, C> {
    /// Bits shared with our own key.
    pub depth: usize,
    /// Contacts in it, stale ones first, then the least recently seen.
    pub contacts: &'a [C],
    /// The last of them, which answered when last asked.
    pub live: &'a [C],
    /// Newcomers that wait for a place.
    pub waiting: &'a [C],
}

impl<C: Copy + Eq> Table<C> {
    /// A contact of this table's owner, whose key is `own`, gave a sign of life.
    pub fn seen(&mut self, own: &KadKey, contact: C, config: &Config, services: &dyn Services<C>) -> Seen {
        let depth = own.shared_bits(&services.key(contact));
        if depth == KadKey::BITS {
            return Seen::Own;
        }
        let at = self.find(depth);
        let known = at.is_ok_and(|at| self.buckets[at].members().contains(&contact));
        if !known && self.group_is_full(at, contact, config, services) {
            return Seen::GroupFull;
        }
        let at = at.unwrap_or_else(|at| {
            if self.buckets.len() == self.buckets.capacity() {
                self.buckets.reserve_exact(4);
            }
            self.buckets.insert(at, Bucket::new(depth as u8));
            at
        });
        self.buckets[at].seen(contact, config.k, config.waiting_max)
    }

    /// A contact did not answer. Returns whether it lost its place.
    pub fn failed(&mut self, own: &KadKey, contact: C, config: &Config, services: &dyn Services<C>) -> bool {
        let Ok(at) = self.find(own.shared_bits(&services.key(contact))) else { return false };
        let lost = self.buckets[at].failed(contact, config.keep_stale);
        if self.buckets[at].members().is_empty() {
            self.buckets.remove(at);
        }
        lost
    }

    /// Whether a contact is in a bucket or waits for a place in one.
    pub fn contains(&self, own: &KadKey, contact: C, services: &dyn Services<C>) -> bool {
        let at = self.find(own.shared_bits(&services.key(contact)));
        at.is_ok_and(|at| self.buckets[at].members().contains(&contact))
    }

    fn group_is_full(
        &self,
        bucket: Result<usize, usize>,
        contact: C,
        config: &Config,
        services: &dyn Services<C>,
    ) -> bool {
        if config.group_bucket_max == 0 && config.group_table_max == 0 {
            return false;
        }
        let Some(group) = services.group(contact) else { return false };
        let count = |b: &Bucket<C>| b.members().iter().filter(|c| services.group(**c) == Some(group)).count();
        let full = |max: usize, n: usize| max > 0 && n >= max;
        bucket.is_ok_and(|at| full(config.group_bucket_max, count(&self.buckets[at])))
            || full(config.group_table_max, self.buckets.iter().map(count).sum())
    }

    fn find(&self, depth: usize) -> Result<usize, usize> {
        self.buckets.binary_search_by_key(&depth, |b| b.depth.into())
    }

    /// The contact to probe because a newcomer wants its place, if the bucket of `contact` may probe now. It counts as
    /// being probed from then on, until [`Table::probed`].
    pub(super) fn start_probe(&mut self, depth: usize, now: Instant, config: &Config) -> Option<C> {
        let at = self.find(depth).ok()?;
        let bucket = &mut self.buckets[at];
        if bucket.probing || now < bucket.probe_after {
            return None;
        }
        let least_recent = *bucket.live().first()?;
        bucket.probing = true;
        bucket.probe_after = now + config.probe_interval;
        Some(least_recent)
    }

    /// The probe of a bucket came to an end.
    pub(super) fn probed(&mut self, depth: usize) {
        if let Ok(at) = self.find(depth) {
            self.buckets[at].probing = false;
        }
    }

    /// No probe is on its way any more.
    pub(super) fn forget_probes(&mut self) {
        self.buckets.iter_mut().for_each(|bucket| bucket.probing = false);
    }

    /// Up to `n` contacts closest to `target`, closest first, without `except`. Stale ones are left out unless
    /// `with_stale`.
    pub fn closest(
        &self,
        own: &KadKey,
        target: &KadKey,
        n: usize,
        except: Option<C>,
        with_stale: bool,
        services: &dyn Services<C>,
    ) -> Vec<C> {
        let way = own.distance(target);
        // A contact at depth i differs from us first in bit i. Where the target differs from us too it is closer to
        // the target than all deeper ones, the sooner the better; elsewhere it is farther than all deeper ones.
        let closer = self.buckets.iter().filter(|b| way.bit(b.depth.into()));
        let farther = self.buckets.iter().rev().filter(|b| !way.bit(b.depth.into()));
        let mut found = Vec::with_capacity(n.min(self.len()));
        let mut group: Vec<(Distance, C)> = Vec::new();
        for bucket in closer.chain(farther) {
            if found.len() >= n {
                break;
            }
            group.clear();
            let contacts = if with_stale { bucket.contacts() } else { bucket.live() };
            let others = contacts.iter().filter(|c| Some(**c) != except);
            group.extend(others.map(|c| (services.key(*c).distance(target), *c)));
            group.sort_unstable_by_key(|(distance, _)| *distance);
            found.extend(group.iter().take(n - found.len()).map(|(_, c)| *c));
        }
        found
    }

    /// Every bucket in use, by rising depth.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = BucketView<'_, C>> {
        self.buckets.iter().map(|b| BucketView {
            depth: b.depth.into(),
            contacts: b.contacts(),
            live: b.live(),
            waiting: b.waiting(),
        })
    }

    /// Contacts in all buckets, without those that wait.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|b| b.contacts().len()).sum()
    }

    /// Whether there is no contact at all.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Bytes allocated; none before the first contact.
    pub fn heap(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket<C>>()
            + self.buckets.iter().map(Bucket::heap).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Peers;
    use super::*;

    proptest! {
        /// The model is the plain list of all contacts, sorted and counted.
        #[test]
        fn a_table_is_a_list_sorted_by_distance_with_its_caps(
            steps in proptest::collection::vec((0u32..200, 0u8..6), 0..300),
            (k, waiting_max, keep_stale) in (1usize..6, 0usize..3, any::<bool>()),
            (bucket_cap, table_cap, salt) in (0usize..4, 0usize..9, any::<u64>()),
            (n, except) in (0usize..30, proptest::option::of(0u32..200)),
        ) {
            let config = Config {
                k, waiting_max, keep_stale, group_bucket_max: bucket_cap, group_table_max: table_cap,
                ..Config::spec()
            };
            let mut peers = Peers::new(200, salt);
            peers.group_size = 40;
            let (own, mut table) = (peers.key(0), Table::default());
            for (contact, what) in steps {
                let depth = own.shared_bits(&peers.key(contact));
                if what == 0 {
                    table.failed(&own, contact, &config, &peers);
                    continue;
                }
                let bucket = table.buckets().find(|b| b.depth == depth);
                let known = bucket.is_some_and(|b| b.contacts.contains(&contact) || b.waiting.contains(&contact));
                prop_assert_eq!(known, table.contains(&own, contact, &peers));
                let same = |b: BucketView<'_, u32>| {
                    b.contacts.iter().chain(b.waiting).filter(|c| peers.group(**c) == peers.group(contact)).count()
                };
                let (here, all) = (bucket.map_or(0, same), table.buckets().map(same).sum::<usize>());
                let capped = !known && (bucket_cap > 0 && here >= bucket_cap || table_cap > 0 && all >= table_cap);
                let seen = table.seen(&own, contact, &config, &peers);
                prop_assert_eq!(contact == 0, seen == Seen::Own);
                prop_assert_eq!(contact != 0 && capped, seen == Seen::GroupFull);
            }
            let mut all: Vec<u32> = table.buckets().flat_map(|b| b.contacts).copied().collect();
            prop_assert_eq!(all.len(), table.len());
            let mut live: Vec<u32> = table.buckets().flat_map(|b| b.live).copied().collect();
            for bucket in table.buckets() {
                let members = bucket.contacts.iter().chain(bucket.waiting);
                prop_assert!(members.clone().count() > 0 && bucket.contacts.len() <= k);
                prop_assert!(members.clone().all(|c| own.shared_bits(&peers.key(*c)) == bucket.depth));
            }
            let target = KadKey::hash_of(&salt.to_le_bytes());
            for (list, with_stale) in [(&mut all, true), (&mut live, false)] {
                list.retain(|c| Some(*c) != except);
                list.sort_by_key(|c| peers.key(*c).distance(&target));
                list.truncate(n);
                prop_assert_eq!(&table.closest(&own, &target, n, except, with_stale, &peers), list);
            }
        }
    }

    #[test]
    fn memory_goes_with_contacts_and_not_with_depth() {
        let (peers, config) = (Peers::new(10_000, 1), Config::rust());
        let mut table = Table::default();
        assert_eq!(table.heap(), 0);
        for contact in 0..10_000 {
            table.seen(&peers.key(0), contact, &config, &peers);
        }
        // About 200 contacts of 4 bytes in a dozen buckets of 40 bytes.
        assert!(table.len() > 180 && table.heap() < 2_000, "{} {}", table.len(), table.heap());
        assert_eq!(size_of::<Bucket<u32>>(), 40);
    }
}
