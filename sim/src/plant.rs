//! A planted nondeterminism, so that a test can see that the checker finds one. Not part of any normal build.
//!
//! It is of the kind that real ones are: state that outlives a run. Every second run of a process delays what one peer
//! sends, from some time on, by a microsecond.

use std::sync::atomic::{AtomicBool, Ordering};

use hyperspace_protocol::time::{Duration, Instant};

/// The peer whose frames are late.
const PEER: u32 = 42;

/// From when on.
const FROM: Duration = Duration::from_millis(3_250);

static LAST: AtomicBool = AtomicBool::new(true);

/// Whether frames are late in the run that begins now.
pub(crate) fn is_this_run_planted() -> bool {
    !LAST.fetch_xor(true, Ordering::Relaxed)
}

/// How many nanoseconds a frame is late in a planted run.
pub(crate) fn delay(src: u32, now: Instant) -> u64 {
    if src == PEER && now.since(Instant::ZERO) >= FROM { 1_000 } else { 0 }
}
