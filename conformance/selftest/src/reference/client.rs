//! One connection of the reference.

use core::time::Duration;
use std::collections::BTreeMap;

use hyperspace_protocol::primitive::{CallId, Tier};

/// One request in so much time in the long run: 2,000 a second, as our node has it.
const EACH: Duration = Duration::from_micros(500);

/// Requests at once after a pause: 4,000, as our node has it.
const BURST: u32 = 4_000;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) tier: Tier,
    /// The fingerprint of its key.
    pub(super) key: u64,
    /// Tools that it carries out, by the number of the order.
    pub(super) executes: BTreeMap<u64, CallId>,
    /// Up to when its requests have used up what it may make.
    used: Duration,
}

impl Client {
    pub(super) const fn new(tier: Tier, key: u64, now: Duration) -> Self {
        Self { tier, key, executes: BTreeMap::new(), used: now }
    }

    /// Takes one request, or says how long to wait.
    pub(super) fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        let used = self.used.max(now) + EACH;
        let most = now + EACH * BURST;
        if used > most {
            return Err(used - most);
        }
        self.used = used;
        Ok(())
    }
}
