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

/// Counts a hit on a key, if the key has hits left in its window (decision P6).
///
/// A window begins with the first hit and lasts `window` milliseconds of the wall clock; the next begins with the first hit
/// after that. A refused hit is not counted. Which key it is counts, and how long the window is, but not the limit: the same
/// key with another window is counted by itself. Clients with the API key share their keys; one with a session's token has
/// keys of its own, so that it cannot use up the others'.
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

/// Windows are found by what they count, and cleared away by when they end: two records each.
fn place(hash: &[u8]) -> Vec<u8> {
    [b"w", hash].concat()
}
fn ending(end: u64, hash: &[u8]) -> Vec<u8> {
    [&b"e"[..], &end.to_be_bytes(), hash].concat()
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
        let mut hash = Sha256::new();
        // The length goes first and the key, which may hold any character, goes in as a hash.
        hash.update(length.to_be_bytes());
        hash.update(Sha256::digest(&*self.key));
        hash.update(owner.unwrap_or_default());
        let hash = hash.finalize();
        let before: Option<Window> = env.records.load(Table::RateWindow, &place(&hash));
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
                env.records.delete(Table::RateWindow, &ending(old.end, &hash));
                env.records.delete(Table::RateWindow, &place(&hash));
            }
            env.make_room(now);
            env.records.save(Table::RateWindow, &ending(window.end, &hash), owner, &());
        }
        env.records.save(Table::RateWindow, &place(&hash), owner, &window);
        Ok(Rate { allowed: true, remaining: limit - window.hits, reset_at }.into())
    }
}

impl Env<'_> {
    /// Clears windows away so that one more fits: some of those that have ended, and if there are still too many, those
    /// that end first, whose keys then begin anew.
    fn make_room(&mut self, now: u64) {
        let most = self.config.guard.windows_max.max(1);
        for (key, _) in self.records.scan(Table::RateWindow, b"e", None, SWEEP) {
            let (Some(end), Some(hash)) = (key.get(1..9), key.get(9..)) else { continue };
            let over = *end <= now.to_be_bytes()[..];
            // A window is two records.
            if !over && self.records.count(Table::RateWindow) / 2 < most {
                return;
            }
            self.records.delete(Table::RateWindow, &place(hash));
            self.records.delete(Table::RateWindow, &key);
        }
    }
}
