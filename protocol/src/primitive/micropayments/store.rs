//! Records that expire: challenges, receipts, settlements of others, closed channels.
//!
//! Beside each record stands an empty one whose key begins with the time of expiry, so that the next to expire is the
//! first of a scan, and nothing of this has to be in memory.

use serde::Serialize;

use super::Live;
use crate::primitive::env::Env;
use crate::primitive::error::Error;
use crate::primitive::records::Table;
use crate::time::{Duration, UnixMillis};

/// What expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A challenge that can still be paid, or was.
    Challenge,
    /// A payment and the nonce that it used up.
    Receipt,
    /// A settlement that another peer told of.
    Heard,
    /// A channel that was closed.
    Closed,
}

const KINDS: [Kind; 4] = [Kind::Challenge, Kind::Receipt, Kind::Heard, Kind::Closed];
const PAGE: usize = 256;

/// Records of each kind.
pub(super) type Counts = [u64; KINDS.len()];

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Self::Challenge => b'c',
            Self::Receipt => b'r',
            Self::Heard => b'h',
            Self::Closed => b'k',
        }
    }

    /// Where a record is.
    fn place(self, id: &[u8]) -> (Table, Vec<u8>) {
        match self {
            Self::Closed => (Table::Channel, id.to_vec()),
            Self::Challenge | Self::Receipt | Self::Heard => {
                (Table::Receipt, [&[self.letter(), b'/'], id].concat())
            }
        }
    }

    /// Before the time in the key of what says when a record expires.
    const fn clock(self) -> [u8; 4] {
        [b'e', b'/', self.letter(), b'/']
    }

    fn clock_place(self, at: u64, id: &[u8]) -> Vec<u8> {
        [&self.clock()[..], &at.to_be_bytes(), id].concat()
    }
}

/// The time and id in the key of what says when a record expires.
fn read_clock(key: &[u8]) -> Option<(u64, &[u8])> {
    let (at, id) = key.get(4..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*at), id))
}

/// Counts what the records have.
pub(super) fn start(env: &Env<'_>) -> Live {
    let mut live = Live::default();
    for kind in KINDS {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let page = env.records.scan(Table::Receipt, &kind.clock(), last.as_deref(), PAGE);
            live.counts[kind as usize] += page.len() as u64;
            if page.len() < PAGE {
                break;
            }
            last = page.into_iter().next_back().map(|(key, _)| key);
        }
    }
    live.schedule(env);
    live
}

impl Live {
    pub(super) const fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// There is no room for another record of a kind: an error that says when the first of them expires.
    pub(super) fn busy(env: &Env<'_>, kind: Kind, text: String) -> Error {
        let first = env.records.scan(Table::Receipt, &kind.clock(), None, 1);
        let at = first.first().and_then(|(key, _)| read_clock(key)).map_or(0, |(at, _)| at);
        Error::busy(text, Duration::from_millis(at.saturating_sub(env.unix.0)))
    }

    /// Keeps a new record until `expires`.
    pub(super) fn keep(
        &mut self,
        env: &mut Env<'_>,
        kind: Kind,
        id: &[u8],
        expires: UnixMillis,
        value: &impl Serialize,
    ) {
        let (table, key) = kind.place(id);
        env.records.save(table, &key, None, value);
        env.records.put(Table::Receipt, &kind.clock_place(expires.0, id), None, Vec::new());
        self.counts[kind as usize] += 1;
        let due = env.now + Duration::from_millis(expires.0.saturating_sub(env.unix.0));
        self.expiry = Some(self.expiry.map_or(due, |earlier| earlier.min(due)));
    }

    /// Erases the record of a kind that expires first.
    pub(super) fn evict(&mut self, env: &mut Env<'_>, kind: Kind) {
        let first = env.records.scan(Table::Receipt, &kind.clock(), None, 1);
        if let Some((key, _)) = first.first() {
            self.forget(env, kind, key);
        }
    }

    fn forget(&mut self, env: &mut Env<'_>, kind: Kind, clock: &[u8]) {
        if let Some((_, id)) = read_clock(clock) {
            if kind == Kind::Challenge {
                super::challenge::forgotten(env, id);
            }
            let (table, key) = kind.place(id);
            env.records.delete(table, &key);
        }
        env.records.delete(Table::Receipt, clock);
        self.counts[kind as usize] = self.counts[kind as usize].saturating_sub(1);
    }

    /// Erases all that has expired.
    pub(super) fn sweep(&mut self, env: &mut Env<'_>) {
        for kind in KINDS {
            loop {
                let mut page = env.records.scan(Table::Receipt, &kind.clock(), None, PAGE);
                page.retain(|(key, _)| read_clock(key).is_none_or(|(at, _)| at <= env.unix.0));
                for (key, _) in &page {
                    self.forget(env, kind, key);
                }
                if page.len() < PAGE {
                    break;
                }
            }
        }
        self.schedule(env);
    }

    fn schedule(&mut self, env: &Env<'_>) {
        let firsts = KINDS.iter().filter_map(|kind| {
            let first = env.records.scan(Table::Receipt, &kind.clock(), None, 1);
            read_clock(&first.first()?.0).map(|(at, _)| at)
        });
        self.expiry = firsts.min().map(|at| env.now + Duration::from_millis(at.saturating_sub(env.unix.0)));
    }
}

/// A record that has not been erased.
pub(super) fn load<T: serde::de::DeserializeOwned>(env: &Env<'_>, kind: Kind, id: &[u8]) -> Option<T> {
    let (table, key) = kind.place(id);
    env.records.load(table, &key)
}

/// Writes a record again that [`Live::keep`] keeps.
pub(super) fn change(env: &mut Env<'_>, kind: Kind, id: &[u8], value: &impl Serialize) {
    let (table, key) = kind.place(id);
    env.records.save(table, &key, None, value);
}
