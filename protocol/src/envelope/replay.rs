//! The receiver's half of envelope verification: "timestamp + nonce prevent replay attacks" (spec 9.2).
//!
//! Call [`ReplayWindow::admit`] for an envelope that passed [`inspect`](super::inspect), and only then: were nonces
//! remembered before the signature is checked, anybody could use up a victim's (decision E14).
//!
//! Why nothing passes twice: an envelope that is admitted at two moments is at most `past` old at the second and was at
//! most `future` ahead at the first, so they lie at most `past + future` apart, and its nonce is remembered for longer.
//! That needs `unix` and `now` to advance together. A wall clock that is set back reopens the window by as much.

use super::verify::{CHECKS, Check, Rejection};
use crate::machine::SeenCache;
use crate::time::{Duration, Instant, UnixMillis};

/// How old and how early an envelope may be. The spec gives no numbers (decision E13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// Oldest `ts`, before the receiver's wall clock. Whole milliseconds count.
    pub past: Duration,
    /// Newest `ts`, after the receiver's wall clock. Whole milliseconds count.
    pub future: Duration,
}

/// 300 s back, as long as a capability card lives (spec 7.4); 60 s ahead, our guess at how wrong a clock may be.
impl Default for ReplayConfig {
    fn default() -> Self {
        Self { past: Duration::from_secs(300), future: Duration::from_secs(60) }
    }
}

impl ReplayConfig {
    /// How long a nonce is remembered: the whole window, and one millisecond because the wall clock has no finer unit.
    pub fn nonce_ttl(&self) -> Duration {
        self.past + self.future + Duration::from_millis(1)
    }
}

/// One receiver's memory of nonces. `C` remembers whatever stands for the pair of sender and nonce.
///
/// How much it holds is up to `C` and to what limits valid messages per sender before they get here: there is no bound
/// of its own, since it does not know whose nonce it is given.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow<C> {
    seen: C,
}

impl<C> ReplayWindow<C> {
    /// Whether to accept an envelope with this `ts` and `nonce` now. If so, the nonce is remembered.
    ///
    /// # Errors
    /// [`Rejection::Stale`] or [`Rejection::Future`], which leave no trace, or [`Rejection::Replayed`].
    pub fn admit<N>(
        &mut self,
        now: Instant,
        unix: UnixMillis,
        ts: UnixMillis,
        nonce: &N,
        config: &ReplayConfig,
    ) -> Result<(), Rejection>
    where
        C: SeenCache<N>,
    {
        self.admit_with(CHECKS, now, unix, ts, nonce, config)
    }

    /// Runs only those of [`Check::Freshness`] and [`Check::Replay`] that are among `checks`.
    ///
    /// # Errors
    /// As [`ReplayWindow::admit`].
    pub fn admit_with<N>(
        &mut self,
        checks: &[Check],
        now: Instant,
        unix: UnixMillis,
        ts: UnixMillis,
        nonce: &N,
        config: &ReplayConfig,
    ) -> Result<(), Rejection>
    where
        C: SeenCache<N>,
    {
        if checks.contains(&Check::Freshness) {
            fresh(unix, ts, config)?;
        }
        if checks.contains(&Check::Replay) && !self.seen.insert(now, config.nonce_ttl(), nonce) {
            return Err(Rejection::Replayed);
        }
        Ok(())
    }
}

fn fresh(unix: UnixMillis, ts: UnixMillis, config: &ReplayConfig) -> Result<(), Rejection> {
    let (age_ms, ahead_ms) = (unix.0.saturating_sub(ts.0), ts.0.saturating_sub(unix.0));
    if age_ms > config.past.as_millis() {
        Err(Rejection::Stale { age_ms })
    } else if ahead_ms > config.future.as_millis() {
        Err(Rejection::Future { ahead_ms })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_773_835_200_000;

    /// Forgets as early as [`SeenCache`] allows: exactly one time to live after the insertion.
    #[derive(Default, Debug, Clone)]
    struct Exact(BTreeMap<u32, Instant>);

    impl SeenCache<u32> for Exact {
        fn insert(&mut self, now: Instant, ttl: Duration, key: &u32) -> bool {
            let fresh = !self.contains(now, ttl, key);
            if fresh {
                self.0.insert(*key, now);
            }
            fresh
        }
        fn contains(&self, now: Instant, ttl: Duration, key: &u32) -> bool {
            self.0.get(key).is_some_and(|first| now.since(*first) < ttl)
        }
    }

    fn unix(now: Instant) -> UnixMillis {
        UnixMillis(START).plus(Duration::from_nanos(now.as_nanos()))
    }

    #[test]
    fn the_window_is_300_s_back_and_60_s_ahead_by_default() {
        let config = ReplayConfig::default();
        let verdict = |ts: u64| {
            ReplayWindow::<Exact>::default().admit(
                Instant::ZERO,
                UnixMillis(START),
                UnixMillis(ts),
                &1,
                &config,
            )
        };
        assert_eq!(verdict(START - 300_000), Ok(()));
        assert_eq!(verdict(START - 300_001), Err(Rejection::Stale { age_ms: 300_001 }));
        assert_eq!(verdict(START + 60_000), Ok(()));
        assert_eq!(verdict(START + 60_001), Err(Rejection::Future { ahead_ms: 60_001 }));
        assert_eq!(verdict(u64::MAX), Err(Rejection::Future { ahead_ms: u64::MAX - START }));
        assert_eq!(verdict(0), Err(Rejection::Stale { age_ms: START }));
        assert_eq!(config.nonce_ttl(), Duration::from_millis(360_001));
    }

    #[test]
    fn a_refused_envelope_does_not_use_up_its_nonce() {
        let (mut window, config) = (ReplayWindow::<Exact>::default(), ReplayConfig::default());
        let mut admit = |ts: u64| window.admit(Instant::ZERO, UnixMillis(START), UnixMillis(ts), &7, &config);
        assert_eq!(admit(START - 300_001), Err(Rejection::Stale { age_ms: 300_001 }));
        assert_eq!(admit(START), Ok(()));
        assert_eq!(admit(START + 1), Err(Rejection::Replayed));
    }

    #[test]
    fn each_receiver_check_is_needed() {
        let config = ReplayConfig::default();
        let mut window = ReplayWindow::<Exact>::default();
        let mut admit = |checks: &[Check], ts: u64| {
            window.admit_with(checks, Instant::ZERO, UnixMillis(START), UnixMillis(ts), &7, &config)
        };
        assert_eq!(admit(&[Check::Replay], 0), Ok(()));
        assert_eq!(admit(&[Check::Freshness], START), Ok(()));
        assert_eq!(admit(CHECKS, START), Err(Rejection::Replayed));
    }

    /// The tightest case: admitted as early and, in its last millisecond, offered again as late as possible.
    #[test]
    fn the_last_millisecond_of_the_window_is_covered() {
        let (mut window, config) = (ReplayWindow::<Exact>::default(), ReplayConfig::default());
        let ts = UnixMillis(START + 60_000);
        let last = Instant::ZERO + Duration::from_nanos(360_000_999_999);
        assert_eq!(window.admit(Instant::ZERO, unix(Instant::ZERO), ts, &1, &config), Ok(()));
        assert_eq!(unix(last), UnixMillis(ts.0 + 300_000));
        assert_eq!(window.admit(last, unix(last), ts, &1, &config), Err(Rejection::Replayed));
    }

    proptest! {
        /// Against a model that never forgets: an envelope (fixed `ts` and nonce) passes at most once, ever, and a first
        /// offer inside the window always passes.
        #[test]
        fn nothing_passes_twice_and_nothing_fresh_is_lost(
            past in 0u64..40,
            future in 0u64..40,
            offers in prop::collection::vec((0u64..5_000_000, 0usize..12), 1..80),
            stamps in prop::collection::vec(0u64..200, 12),
        ) {
            let config = ReplayConfig { past: Duration::from_millis(past), future: Duration::from_millis(future) };
            let mut window = ReplayWindow::<Exact>::default();
            let mut passed = BTreeSet::new();
            let mut now = Instant::ZERO;
            for (step, which) in offers {
                now += Duration::from_nanos(step);
                let ts = UnixMillis(START + stamps[which]);
                let inside = ts.0 + past >= unix(now).0 && ts.0 <= unix(now).0 + future;
                let verdict = window.admit(now, unix(now), ts, &(which as u32), &config);
                prop_assert_eq!(verdict.is_ok(), inside && passed.insert(which));
            }
        }
    }
}
