//! Who provides which keys, as far as this peer stores it because it is close to them.
//!
//! Policy: a key has a fixed number of places, and whoever has one keeps it while it renews its record (as in
//! rust-libp2p: a flood of invented providers does not displace those that were there). One provider may have a fixed
//! number of keys. When there are too many keys the one farthest from our own goes first, be it the new one.

use std::collections::BTreeMap;

use super::config::Config;
use super::key::{Distance, KadKey, Key};
use crate::time::Instant;

#[derive(Clone, Debug)]
struct Provider<C> {
    contact: C,
    /// Where it lies; the handle has no order.
    place: KadKey,
    expires: Instant,
}

/// What became of a provider record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It is stored, and so many records of a farther key are not any more.
    Stored {
        /// How many had to go.
        evicted: usize,
    },
    /// The key has all the providers it may have.
    KeyFull,
    /// The provider has all the keys it may have.
    ProviderFull,
    /// The key is farther away than all that fill the store.
    TooFar,
}

/// The store. Nearest key first.
#[derive(Clone, Debug)]
pub struct Providers<C> {
    by_distance: BTreeMap<Distance, Vec<Provider<C>>>,
    /// Keys of each provider.
    keys_of: BTreeMap<KadKey, u32>,
}

impl<C> Default for Providers<C> {
    fn default() -> Self {
        Self { by_distance: BTreeMap::new(), keys_of: BTreeMap::new() }
    }
}

impl<C: Copy + Eq> Providers<C> {
    /// Stores that `contact`, which lies at `place`, provides a key.
    pub fn add(
        &mut self,
        own: &KadKey,
        key: &Key,
        contact: C,
        place: KadKey,
        now: Instant,
        config: &Config,
    ) -> Added {
        let distance = own.distance(key.place());
        let expires = now + config.provider_ttl;
        let mut of_key = self.by_distance.get_mut(&distance);
        if let Some(known) = of_key.iter_mut().flat_map(|p| p.iter_mut()).find(|p| p.contact == contact) {
            known.expires = expires;
            return Added::Stored { evicted: 0 };
        }
        if self.keys_of.get(&place).is_some_and(|n| *n as usize >= config.keys_per_provider_max) {
            return Added::ProviderFull;
        }
        if let Some(providers) = of_key
            && providers.len() >= config.providers_per_key_max
        {
            let Some(expired) = providers.iter().position(|p| p.expires <= now) else {
                return Added::KeyFull;
            };
            let gone = providers.remove(expired);
            self.forget(&gone);
        }
        let mut evicted = 0;
        if !self.by_distance.contains_key(&distance) && self.by_distance.len() >= config.provider_keys_max {
            match self.by_distance.last_entry() {
                Some(farthest) if *farthest.key() > distance => {
                    let gone = farthest.remove();
                    evicted = gone.len();
                    gone.iter().for_each(|p| self.forget(p));
                }
                Some(_) | None => return Added::TooFar,
            }
        }
        self.by_distance.entry(distance).or_default().push(Provider { contact, place, expires });
        *self.keys_of.entry(place).or_default() += 1;
        Added::Stored { evicted }
    }

    /// Who provides a key, in the order in which they first said so.
    pub fn of(&self, own: &KadKey, key: &Key, now: Instant) -> impl Iterator<Item = C> {
        let all = self.by_distance.get(&own.distance(key.place())).map_or(&[][..], |p| &p[..]);
        all.iter().filter(move |p| now < p.expires).map(|p| p.contact)
    }

    /// Throws away what has expired.
    pub fn sweep(&mut self, now: Instant) {
        let mut gone = Vec::new();
        self.by_distance.retain(|_, providers| {
            gone.extend(providers.extract_if(.., |p| p.expires <= now));
            !providers.is_empty()
        });
        gone.iter().for_each(|p| self.forget(p));
    }

    fn forget(&mut self, provider: &Provider<C>) {
        let left = self.keys_of.get_mut(&provider.place).expect("every record is counted");
        *left -= 1;
        if *left == 0 {
            self.keys_of.remove(&provider.place);
        }
    }

    /// Provider records stored, expired ones included.
    pub fn len(&self) -> usize {
        self.by_distance.values().map(Vec::len).sum()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.by_distance.is_empty()
    }

    /// Keys with providers stored.
    pub fn keys(&self) -> usize {
        self.by_distance.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Duration;

    fn own() -> KadKey {
        KadKey::from_bytes([0; 32])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn small() -> Config {
        Config {
            provider_keys_max: 4,
            providers_per_key_max: 2,
            keys_per_provider_max: 3,
            provider_ttl: Duration::from_secs(100),
            ..Config::spec()
        }
    }

    fn add(store: &mut Providers<u8>, key: u8, contact: u8, now: u64) -> Added {
        let place = KadKey::hash_of(&[contact]);
        store.add(&own(), &Key::new(&[key]), contact, place, at(now), &small())
    }

    fn of(store: &Providers<u8>, key: u8, now: u64) -> Vec<u8> {
        store.of(&own(), &Key::new(&[key]), at(now)).collect()
    }

    /// Numbers 0 to 9 by the distance of their keys.
    fn nearest() -> Vec<u8> {
        let mut numbers: Vec<u8> = (0..10).collect();
        numbers.sort_by_key(|n| own().distance(Key::new(&[*n]).place()));
        numbers
    }

    #[test]
    fn a_provider_keeps_its_place_while_it_renews_it() {
        let mut store = Providers::default();
        assert_eq!(add(&mut store, 1, 7, 0), Added::Stored { evicted: 0 });
        assert_eq!(add(&mut store, 1, 8, 10), Added::Stored { evicted: 0 });
        assert_eq!(add(&mut store, 1, 9, 20), Added::KeyFull);
        assert_eq!(add(&mut store, 1, 7, 90), Added::Stored { evicted: 0 });
        assert_eq!(of(&store, 1, 109), [7, 8]);
        assert_eq!(of(&store, 1, 110), [7]);
        assert_eq!(add(&mut store, 1, 9, 110), Added::Stored { evicted: 0 });
        assert_eq!(of(&store, 1, 189), [7, 9]);
        store.sweep(at(190));
        assert_eq!((of(&store, 1, 190), store.len(), store.keys()), (vec![9], 1, 1));
        store.sweep(at(999));
        assert!(store.is_empty() && store.keys_of.is_empty());
    }

    #[test]
    fn one_provider_has_so_many_keys_and_the_farthest_key_makes_room() {
        let (mut store, keys) = (Providers::default(), nearest());
        for key in &keys[5..8] {
            assert_eq!(add(&mut store, *key, 1, 0), Added::Stored { evicted: 0 });
        }
        assert_eq!(add(&mut store, keys[0], 1, 0), Added::ProviderFull);
        assert_eq!(add(&mut store, keys[0], 2, 0), Added::Stored { evicted: 0 });
        assert_eq!(add(&mut store, keys[9], 2, 0), Added::TooFar);
        assert_eq!(add(&mut store, keys[7], 3, 0), Added::Stored { evicted: 0 });
        assert_eq!(add(&mut store, keys[1], 2, 0), Added::Stored { evicted: 2 });
        assert!(of(&store, keys[7], 0).is_empty());
        assert_eq!(add(&mut store, keys[4], 1, 0), Added::Stored { evicted: 1 }, "one of its keys is gone");
    }

    proptest! {
        #[test]
        fn no_flood_breaks_a_bound(
            steps in proptest::collection::vec((any::<u8>(), 0u8..6, 0u64..50, any::<bool>()), 0..200),
        ) {
            let (mut store, mut now) = (Providers::default(), 0);
            for (key, contact, pause, sweep) in steps {
                now += pause;
                add(&mut store, key, contact, now);
                if sweep {
                    store.sweep(at(now));
                }
                prop_assert!(store.keys() <= 4);
                prop_assert!(store.by_distance.values().all(|p| (1..=2).contains(&p.len())));
                prop_assert!(store.keys_of.values().all(|n| (1..=3).contains(n)));
                prop_assert_eq!(store.keys_of.values().sum::<u32>() as usize, store.len());
            }
        }
    }
}
