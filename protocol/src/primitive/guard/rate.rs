//! `guard.checkRateLimit`: fixed windows, each beginning with the first hit in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::call::Tier;
use super::super::env::{Env, Reply, Serving};
use super::super::error::Error;
use super::super::method::{Access, Method};
use super::super::params::{Name, Whole};
use super::super::records::Table;
use super::super::{Agent, iso};
use crate::time::UnixMillis;

/// Longest window, in milliseconds: 366 days.
const WINDOW_MAX: u64 = 31_622_400_000;
/// Most windows that have ended which one call clears away.
const SWEEP: usize = 8;
/// Most windows of one session (our choice); of one more, the session's own that ends first is forgotten.
const OWN_MAX: usize = 256;

/// Counts a hit on a key, if the key has hits left in its window (decision P6).
///
/// A window begins with the first hit and lasts `window` milliseconds of the wall clock; the next begins with the first hit
/// after that. A refused hit is not counted. Which key it is counts, and how long the window is, but not the limit: the same
/// key with another window is counted by itself. Clients with the API key share their keys; one with a session's token has
/// keys of its own, up to 256 at a time, so that it cannot use up the others'. They go with the session.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CheckRateLimit {
    /// What is limited. Kept only as a hash.
    pub key: Name,
    /// Most hits in a window; 0 allows none.
    pub limit: Whole<0, 1_000_000_000>,
    /// How long a window is, in milliseconds (decision J13), up to 366 days.
    pub window: Whole<1, WINDOW_MAX>,
}

/// What came of a hit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Whether there was a hit left.
    pub allowed: bool,
    /// How many are left now.
    pub remaining: u64,
    /// When the window ends (decision J13); it is at most one window away.
    pub reset_at: String,
}

/// The record of a window.
#[derive(Serialize, Deserialize)]
struct Window {
    /// Unix milliseconds.
    start: u64,
    end: u64,
    hits: u64,
}

/// Windows are found by whose they are and what they count, and cleared away by when they end: two records each. A name is
/// half a hash of the owner, zeros for the clients with the API key, and half a hash of what is counted.
type WindowName = [u8; 32];

fn place(name: &[u8]) -> Vec<u8> {
    [b"w", name].concat()
}
fn ending(end: u64, name: &[u8]) -> Vec<u8> {
    [&b"e"[..], &end.to_be_bytes(), name].concat()
}

/// The half of the names of a session's windows that is the owner.
fn owner_part(session: &str) -> [u8; 16] {
    Sha256::digest(session)[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

fn name(owner: Option<&str>, key: &str, length: u64) -> WindowName {
    let mut name = [0; 32];
    name[..16].copy_from_slice(&owner.map_or([0; 16], owner_part));
    let counted = Sha256::new_with_prefix(length.to_be_bytes()).chain_update(key).finalize();
    name[16..].copy_from_slice(&counted[..16]);
    name
}

impl Method for CheckRateLimit {
    const NAME: &'static str = "guard.checkRateLimit";
    const CLAUSE: &'static str = "4.2; P6, J13";
    const ACCESS: Access = Access::Shared;
    type Result = Rate;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, serving: Serving<'_>) -> Result<Reply<Rate>, Error> {
        let (limit, length, now) = (self.limit.get(), self.window.get(), env.unix.0);
        let owner = match &serving.caller.tier {
            Tier::Operator => None,
            Tier::Session(session) => Some(&**session),
        };
        let name = name(owner, &self.key, length);
        let before: Option<Window> = env.records.load(Table::RateWindow, &place(&name));
        // A clock that was set back must not make a window longer than it is.
        let open = before.as_ref().filter(|window| (window.start..window.end).contains(&now));
        let (start, hits) = open.map_or((now, 0), |window| (window.start, window.hits));
        let window = Window { start, end: start.saturating_add(length), hits: hits + 1 };
        let reset_at = iso(UnixMillis(window.end));
        if hits >= limit {
            return Ok(Rate { allowed: false, remaining: 0, reset_at }.into());
        }
        if open.is_none() {
            if let Some(old) = before {
                env.forget_window(old.end, &name);
            }
            env.make_room(now, owner);
            env.records.save(Table::RateWindow, &ending(window.end, &name), owner, &());
        }
        env.records.save(Table::RateWindow, &place(&name), owner, &window);
        Ok(Rate { allowed: true, remaining: limit - window.hits, reset_at }.into())
    }
}

impl Env<'_> {
    fn forget_window(&mut self, end: u64, name: &[u8]) {
        self.records.delete(Table::RateWindow, &place(name));
        self.records.delete(Table::RateWindow, &ending(end, name));
    }

    /// The windows of a session: when they end, and their names.
    fn windows(&self, session: &str) -> Vec<(u64, Vec<u8>)> {
        let found = self.records.load_all::<Window>(
            Table::RateWindow,
            &place(&owner_part(session)),
            None,
            OWN_MAX + 1,
        );
        found.into_iter().map(|(key, window)| (window.end, key[1..].to_vec())).collect()
    }

    /// Clears windows away so that one more of this owner fits: some of those that have ended, and if there are still too
    /// many, one whose key then begins anew. Of a session that is its own that ends first, if it has any; else of all.
    fn make_room(&mut self, now: u64, owner: Option<&str>) {
        for (key, _) in self.records.scan(Table::RateWindow, b"e", None, SWEEP) {
            if let Some((end, name)) = read_ending(&key)
                && end <= now
            {
                self.forget_window(end, name);
            }
        }
        // A window is two records.
        let full = self.records.count(Table::RateWindow) / 2 >= self.config.guard.windows_max.max(1);
        let own = owner.map(|session| self.windows(session)).unwrap_or_default();
        if !full && own.len() < OWN_MAX {
            return;
        }
        match own.into_iter().min() {
            Some((end, name)) => self.forget_window(end, &name),
            None => {
                let first = self.records.scan(Table::RateWindow, b"e", None, 1);
                if let Some((end, name)) = first.first().and_then(|(key, _)| read_ending(key)) {
                    self.forget_window(end, name);
                }
            }
        }
    }

    /// A session has ended: its windows go with it.
    pub(in super::super) fn forget_windows(&mut self, session: &str) {
        for (end, name) in self.windows(session) {
            self.forget_window(end, &name);
        }
    }
}

/// The end and the name in the key that says when a window ends.
fn read_ending(key: &[u8]) -> Option<(u64, &[u8])> {
    let (end, name) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*end), name))
}
