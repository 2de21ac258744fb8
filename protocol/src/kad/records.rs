//! Values of others that this peer stores because it is close to their keys.
//!
//! Policy: what does not fit goes by distance. When the store is full the value whose key is farthest from our own goes
//! first, be it the new one: it is the one that the fewest look for here, and to crowd out a victim's value one has to
//! make keys closer to us than it. Expired values are not served, and thrown away when the store is swept.

use std::collections::BTreeMap;

use super::config::Config;
use super::key::{Distance, KadKey, Key};
use super::message::Record;
use crate::rng::Stream;
use crate::time::{Duration, Instant};

#[derive(Clone, Debug)]
struct Stored {
    record: Record,
    expires: Instant,
    /// When to put it to the closest peers again.
    replicate: Instant,
}

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is stored, and so many farther ones are not any more.
    Stored {
        /// How many had to go.
        evicted: usize,
    },
    /// It is longer than [`Config::value_bytes_max`].
    TooLong,
    /// It is farther away than all that fill the store.
    TooFar,
}

/// The store. Nearest key first.
#[derive(Clone, Debug, Default)]
pub struct Records {
    by_distance: BTreeMap<Distance, Stored>,
    bytes: usize,
}

impl Records {
    /// Stores a value that came in, in place of what was under its key.
    pub fn put(
        &mut self,
        own: &KadKey,
        record: Record,
        now: Instant,
        config: &Config,
        rng: &mut Stream,
    ) -> Put {
        if record.value.len() > config.value_bytes_max {
            return Put::TooLong;
        }
        let distance = own.distance(record.key.place());
        // What the new value displaces, worked out before anything is touched.
        let bytes = |d: &Distance| self.by_distance.get(d).map_or(0, |s| s.record.len());
        let mut count = self.by_distance.len() + usize::from(!self.by_distance.contains_key(&distance));
        let mut total = self.bytes + record.len() - bytes(&distance);
        let mut evicted = Vec::new();
        let mut farthest = self.by_distance.keys().rev().filter(|d| **d != distance);
        while count > config.records_max || total > config.records_bytes_max {
            match farthest.next() {
                Some(other) if *other > distance => {
                    total -= bytes(other);
                    evicted.push(*other);
                    count -= 1;
                }
                Some(_) | None => return Put::TooFar,
            }
        }
        for other in &evicted {
            self.by_distance.remove(other);
        }
        self.bytes = total;
        let ttl = record.ttl.map_or(config.record_ttl, |ttl| ttl.min(config.record_ttl));
        let replicate = next_replication(now, config, rng);
        self.by_distance.insert(distance, Stored { record, expires: now + ttl, replicate });
        Put::Stored { evicted: evicted.len() }
    }

    /// The value under a key, with the time that it still lives.
    pub fn get(&self, own: &KadKey, key: &Key, now: Instant) -> Option<Record> {
        let stored = self.by_distance.get(&own.distance(key.place()))?;
        (now < stored.expires).then(|| stored.copy(now))
    }

    /// Throws away what has expired.
    pub fn sweep(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.by_distance.retain(|_, s| {
            let keep = now < s.expires;
            *bytes -= if keep { 0 } else { s.record.len() };
            keep
        });
    }

    /// A value to be put to the closest peers again, the nearest of those due. It will be due again an interval later.
    pub(super) fn take_due(&mut self, now: Instant, config: &Config, rng: &mut Stream) -> Option<Record> {
        let due = self.by_distance.values_mut().find(|s| s.replicate <= now && now < s.expires)?;
        due.replicate = next_replication(now, config, rng);
        Some(due.copy(now))
    }

    /// When the next value is due to be put again, live or not.
    pub(super) fn due(&self) -> Instant {
        self.by_distance.values().map(|s| s.replicate).min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// Values stored, expired ones included.
    pub fn len(&self) -> usize {
        self.by_distance.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.by_distance.is_empty()
    }

    /// Bytes of keys and values stored.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Stored {
    fn copy(&self, now: Instant) -> Record {
        Record { ttl: Some(self.expires.since(now)), ..self.record.clone() }
    }
}

fn next_replication(now: Instant, config: &Config, rng: &mut Stream) -> Instant {
    let interval = config.replicate_interval;
    if interval.is_zero() {
        return Instant::FAR_FUTURE;
    }
    now + interval + Duration::from_nanos(rng.below(interval.as_nanos() / 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: u8, length: usize) -> Record {
        Record { key: Key::new(&[number]), value: vec![number; length].into(), ttl: None }
    }

    fn own() -> KadKey {
        KadKey::from_bytes([0; 32])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn put(records: &mut Records, record: Record, now: Instant, config: &Config) -> Put {
        records.put(&own(), record, now, config, &mut Stream::new(1, 1))
    }

    #[test]
    fn a_value_lives_as_long_as_we_or_its_sender_say_whichever_is_less() {
        let config = Config { record_ttl: Duration::from_secs(100), ..Config::spec() };
        let mut records = Records::default();
        put(&mut records, record(1, 5), at(0), &config);
        put(&mut records, Record { ttl: Some(Duration::from_secs(10)), ..record(2, 5) }, at(0), &config);
        put(&mut records, Record { ttl: Some(Duration::from_secs(999)), ..record(3, 5) }, at(0), &config);
        let ttl = |records: &Records, n: u8, now| {
            records.get(&own(), &Key::new(&[n]), at(now)).map(|r| r.ttl.expect("always").as_secs())
        };
        assert_eq!([1, 2, 3, 4].map(|n| ttl(&records, n, 4)), [Some(96), Some(6), Some(96), None]);
        assert_eq!([1, 2, 3].map(|n| ttl(&records, n, 10)), [Some(90), None, Some(90)]);
        assert_eq!((records.len(), records.bytes()), (3, 18));
        records.sweep(at(10));
        assert_eq!((records.len(), records.bytes()), (2, 12));
        // Put again, it lives anew.
        put(&mut records, record(1, 7), at(60), &config);
        assert_eq!([1, 3].map(|n| ttl(&records, n, 150)), [Some(10), None]);
        assert_eq!(records.bytes(), 14);
    }

    #[test]
    fn a_value_is_due_once_per_interval_and_a_put_by_somebody_else_counts() {
        let config = Config { replicate_interval: Duration::from_secs(100), ..Config::spec() };
        let (mut records, mut rng) = (Records::default(), Stream::new(1, 1));
        put(&mut records, record(1, 5), at(0), &config);
        let due = records.due();
        assert!(at(100) <= due && due < at(125), "{due}");
        put(&mut records, record(1, 5), at(90), &config);
        assert_eq!(records.take_due(at(125), &config, &mut rng), None);
        let due = records.take_due(at(215), &config, &mut rng).expect("due");
        assert_eq!(due.ttl, Some(Duration::from_secs(48 * 3600 - 125)));
        assert_eq!(records.take_due(at(215), &config, &mut rng), None);
        let off = Config { replicate_interval: Duration::ZERO, ..config };
        put(&mut records, record(1, 5), at(90), &off);
        assert_eq!(records.due(), Instant::FAR_FUTURE);
    }

    proptest! {
        /// However it is flooded, the store holds the nearest values that fit.
        #[test]
        fn the_farthest_go_first_and_no_bound_is_ever_broken(
            puts in proptest::collection::vec((any::<u8>(), 0usize..40), 0..80),
            records_max in 0usize..12,
            bytes_max in 0usize..200,
        ) {
            let config = Config {
                records_max, records_bytes_max: bytes_max, value_bytes_max: 32, ..Config::spec()
            };
            let mut records = Records::default();
            let distance = |r: &Record| own().distance(r.key.place());
            for (number, length) in puts {
                let (new, before) = (record(number, length), records.clone());
                let put = put(&mut records, new.clone(), at(0), &config);
                match put {
                    Put::Stored { evicted } => {
                        prop_assert!(length <= 32);
                        prop_assert_eq!(
                            records.get(&own(), &new.key, at(0)).map(|r| r.value), Some(new.value.clone())
                        );
                        let was = usize::from(before.by_distance.contains_key(&distance(&new)));
                        prop_assert_eq!(records.len(), before.len() + 1 - was - evicted);
                        // Exactly the farthest of those that were there are gone.
                        let others = before.by_distance.keys().rev().filter(|d| **d != distance(&new));
                        let gone = |d: &&Distance| !records.by_distance.contains_key(d);
                        prop_assert_eq!(others.clone().filter(gone).count(), evicted);
                        prop_assert!(others.take(evicted).all(|d| gone(&d)));
                    }
                    Put::TooLong => prop_assert!(length > 32),
                    Put::TooFar => prop_assert_eq!(records.len(), before.len()),
                }
                let bytes: usize = records.by_distance.values().map(|s| s.record.len()).sum();
                prop_assert_eq!(bytes, records.bytes());
                prop_assert!(records.len() <= records_max && bytes <= bytes_max);
            }
        }
    }
}
