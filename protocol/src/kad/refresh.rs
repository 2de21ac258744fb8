//! What is done from time to time without being asked: refreshing the table, putting values again, announcing again
//! what we provide, and throwing away what has expired.
//!
//! At most two queries of this kind are on their way at once, one for the table and one for the stores, so that it
//! takes the bandwidth of two lookups however much there is to do.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::client::{Error, Goal};
use super::context::{Contact, Context};
use super::key::{Distance, KadKey, Key};
use super::message::Record;
use super::providers::Providers;
use super::records::Records;
use super::{Config, Kad};
use crate::rng::Stream;
use crate::time::{Duration, Instant};

/// The deepest bucket refreshed by a lookup of its own (go-libp2p's `maxCplForRefresh`); the lookup of our own key sees
/// to deeper ones. A key for a bucket at depth `d` takes `2^(d+1)` tries to find, so up to here they are in a table.
pub(super) const REFRESH_DEPTH_MAX: usize = 15;

/// Who started a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    Application,
    Refresh,
    Store,
}

/// The refresh of the table.
#[derive(Debug)]
pub(super) struct Refresh {
    /// When the next round begins, unless one is under way.
    pub(super) next: Instant,
    /// What comes next in the round under way: 1 our own key, 2 and up the bucket at that depth less two; 0 with no
    /// round under way.
    stage: u8,
    /// Whether a lookup of it is on its way.
    running: bool,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { next: Instant::FAR_FUTURE, stage: 0, running: false }
    }
}

impl Refresh {
    /// Begins a round, unless one is under way.
    pub(super) fn begin(&mut self) {
        self.stage = self.stage.max(1);
    }
}

/// Something of our own and when to put it again.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) item: T,
    next: Instant,
}

/// What a peer stores, by distance from itself.
#[derive(Debug)]
pub(super) struct Store<C> {
    pub(super) records: Records,
    pub(super) providers: Providers<C>,
    /// Our own values.
    pub(super) values: BTreeMap<Distance, Kept<Record>>,
    /// What we provide.
    pub(super) provided: BTreeMap<Distance, Kept<Key>>,
    /// Nothing is due before this. Left behind while something is, so that the next thing follows at once.
    due: Instant,
    /// Whether a query for it is on its way.
    running: bool,
}

impl<C: Contact> Store<C> {
    /// Something was stored.
    pub(super) fn wake_after_put(&mut self, now: Instant, config: &Config) {
        let replicate = config.replicate_interval;
        let wait =
            if replicate.is_zero() { config.sweep_interval } else { replicate.min(config.sweep_interval) };
        self.due = self.due.min(now + wait);
    }

    /// The process started again: no query of ours is on its way, and something may be overdue.
    pub(super) fn wake(&mut self) {
        (self.due, self.running) = (Instant::ZERO, false);
    }

    /// What to do next, if anything; else sets when that will change. Alone it throws away what has expired and lets
    /// the rest wait for [`Kad::met_somebody`].
    fn next(&mut self, now: Instant, alone: bool, config: &Config, rng: &mut Stream) -> Option<Goal> {
        self.records.sweep(now);
        self.providers.sweep(now);
        let empty = self.records.is_empty() && self.providers.is_empty();
        let sweep = if empty { Instant::FAR_FUTURE } else { now + config.sweep_interval };
        if alone {
            self.due = sweep;
            return None;
        }
        if let Some(mine) = self.values.values_mut().find(|v| v.next <= now) {
            mine.next = after(now, config.republish_interval);
            return Some(Goal::PutValue(mine.item.clone()));
        }
        if let Some(mine) = self.provided.values_mut().find(|p| p.next <= now) {
            mine.next = after(now, config.reprovide_interval);
            return Some(Goal::Provide(mine.item.clone()));
        }
        if let Some(record) = self.records.take_due(now, config, rng) {
            return Some(Goal::PutValue(record));
        }
        let own = self.values.values().map(|v| v.next).chain(self.provided.values().map(|p| p.next)).min();
        self.due = own.unwrap_or(Instant::FAR_FUTURE).min(self.records.due()).min(sweep);
        None
    }
}

pub(super) fn after(now: Instant, interval: Duration) -> Instant {
    if interval.is_zero() { Instant::FAR_FUTURE } else { now + interval }
}

impl<C: Contact> Kad<C> {
    /// The next query the machine wants by itself, if one is due and its kind has none on its way.
    pub(super) fn next_upkeep(&mut self, cx: &mut Context<'_, C>) -> Option<(Goal, Origin)> {
        if !self.refresh.running
            && let Some(key) = self.next_refresh(cx)
        {
            self.refresh.running = true;
            return Some((Goal::FindNode(key), Origin::Refresh));
        }
        let store = self.store.as_mut()?;
        if store.running || cx.now < store.due {
            return None;
        }
        let goal = store.next(cx.now, self.table.is_empty(), cx.config, cx.rng)?;
        store.running = true;
        Some((goal, Origin::Store))
    }

    fn next_refresh(&mut self, cx: &mut Context<'_, C>) -> Option<Key> {
        if self.refresh.stage == 0 && self.refresh.next <= cx.now {
            self.refresh.begin();
        }
        match self.refresh.stage {
            0 => None,
            1 => {
                self.refresh.stage = 2;
                self.refresh.next = after(cx.now, cx.config.refresh_interval);
                Some(cx.services.id(cx.own))
            }
            stage => {
                let from = usize::from(stage) - 2;
                let in_use = self.table.buckets().map(|b| b.depth).find(|depth| *depth >= from);
                let Some(depth) = in_use.filter(|depth| *depth <= REFRESH_DEPTH_MAX) else {
                    self.refresh.stage = 0;
                    // A round may take longer than the interval.
                    return (self.refresh.next <= cx.now).then(|| self.next_refresh(cx)).flatten();
                };
                self.refresh.stage = depth as u8 + 3;
                Some(key_at_depth(&cx.own_key(), depth, cx.rng))
            }
        }
    }

    /// The table has its first contact: the first refresh is near, and what is to be put has somebody to go to.
    pub(super) fn met_somebody(&mut self, cx: &Context<'_, C>) {
        if !cx.config.refresh_interval.is_zero() {
            self.refresh.next = self.refresh.next.min(cx.now + cx.config.bootstrap_delay);
        }
        if let Some(store) = &mut self.store {
            store.due = store.due.min(cx.now);
        }
    }

    /// A query of this origin has ended.
    pub(super) fn upkeep_done(&mut self, origin: Origin) {
        match origin {
            Origin::Application => {}
            Origin::Refresh => self.refresh.running = false,
            Origin::Store => {
                if let Some(store) = &mut self.store {
                    store.running = false;
                }
            }
        }
    }

    /// When [`Kad::next_upkeep`] has something to do.
    pub(super) fn upkeep_due(&self) -> Instant {
        // Both are up to date: whatever was due has been started.
        let refresh = if self.refresh.running { Instant::FAR_FUTURE } else { self.refresh.next };
        let store = self.store.as_ref().filter(|s| !s.running).map_or(Instant::FAR_FUTURE, |s| s.due);
        refresh.min(store)
    }

    pub(super) fn store_mut(&mut self) -> &mut Store<C> {
        self.store.get_or_insert_with(|| {
            Box::new(Store {
                records: Records::default(),
                providers: Providers::default(),
                values: BTreeMap::new(),
                provided: BTreeMap::new(),
                due: Instant::FAR_FUTURE,
                running: false,
            })
        })
    }

    /// Remembers a value of our own, to put it from `next` on.
    pub(super) fn remember_value(
        &mut self,
        cx: &Context<'_, C>,
        record: &Record,
        next: Instant,
    ) -> Result<(), Error> {
        let distance = cx.own_key().distance(record.key.place());
        let store = self.store_mut();
        if store.values.len() >= cx.config.own_max && !store.values.contains_key(&distance) {
            return Err(Error::TooMany(store.values.len()));
        }
        store.values.insert(distance, Kept { item: record.clone(), next });
        store.due = store.due.min(next);
        Ok(())
    }

    /// Remembers that we provide a key, to say so from `next` on.
    pub(super) fn remember_provided(
        &mut self,
        cx: &Context<'_, C>,
        key: &Key,
        next: Instant,
    ) -> Result<(), Error> {
        let distance = cx.own_key().distance(key.place());
        let store = self.store_mut();
        if store.provided.len() >= cx.config.own_max && !store.provided.contains_key(&distance) {
            return Err(Error::TooMany(store.provided.len()));
        }
        store.provided.insert(distance, Kept { item: key.clone(), next });
        store.due = store.due.min(next);
        Ok(())
    }

    /// No longer puts a value of our own again. The copies elsewhere live on until they expire.
    pub fn remove_value(&mut self, cx: &Context<'_, C>, key: &Key) {
        if let Some(store) = &mut self.store {
            store.values.remove(&cx.own_key().distance(key.place()));
        }
    }

    /// No longer announces that we provide a key. Records elsewhere live on until they expire.
    pub fn stop_providing(&mut self, cx: &Context<'_, C>, key: &Key) {
        if let Some(store) = &mut self.store {
            store.provided.remove(&cx.own_key().distance(key.place()));
        }
    }
}

/// A random key that falls into the bucket at `depth` (at most [`REFRESH_DEPTH_MAX`]) of a peer that lies at `own`.
pub(super) fn key_at_depth(own: &KadKey, depth: usize, rng: &mut Stream) -> Key {
    let low = 15 - depth;
    let random = rng.below(1 << low) as u16;
    let [first, second, ..] = *own.as_bytes();
    let prefix = (u16::from_be_bytes([first, second]) ^ 1 << low) >> low << low | random;
    let number = preimages()[usize::from(prefix)];
    Key::new(&refresh_bytes(number))
}

/// In the form of a SHA-256 multihash, which is what go-libp2p asks for.
fn refresh_bytes(number: u32) -> [u8; 34] {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    bytes[2..6].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// For each 16 leading bits the least number whose [`refresh_bytes`] lie there. Worked out once, by about 700,000
/// hashes.
fn preimages() -> &'static [u32] {
    static TABLE: OnceLock<Vec<u32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = vec![u32::MAX; 1 << 16];
        let mut missing = table.len();
        for number in 0.. {
            let [first, second, ..] = *KadKey::hash_of(&refresh_bytes(number)).as_bytes();
            let slot = &mut table[usize::from(u16::from_be_bytes([first, second]))];
            if *slot == u32::MAX {
                *slot = number;
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        table
    })
}
