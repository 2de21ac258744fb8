//! Peers that come and go: how long they are up and away, their sessions in one run, and traces of measured sessions.
//!
//! All of it is drawn or read before the run, so a run only looks up who is up. [`sessions()`] draws one peer's
//! sessions from its settings, [`Trace`] reads them from a file, and both fill one [`Sessions`] table:
//!
//! ```
//! use hyperspace_protocol::rng::{Stream, purpose_key};
//! use hyperspace_protocol::time::{Duration, Instant};
//! use hyperspace_sim::churn::{Begin, Churn, Lifetime, Sessions, sessions};
//!
//! let session = Lifetime::parse("kad")?;
//! let offline = Lifetime::parse("exponential:1h")?;
//! let churn = Churn { session, offline, crash: 0.5, keeps_state: true, begin: Begin::Steady };
//! churn.check()?;
//! let end = Instant::ZERO + Duration::from_secs(3600);
//! let mut table = Sessions::new(0);
//! for peer in 0..100 {
//!     let mut stream = Stream::new(purpose_key(1, "churn"), peer);
//!     table.push(&sessions(&churn, &mut stream, Instant::ZERO, end, Duration::from_millis(1)));
//! }
//! assert!((50..95).contains(&table.online(end))); // 10,000 s up for 3,600 s away: 74 %
//! # Ok::<(), String>(())
//! ```

mod lifetime;
mod sessions;
mod table;
mod trace;

pub use lifetime::Lifetime;
pub use sessions::{SESSIONS_MAX, sessions};
pub use table::{Change, Sessions};
pub use trace::Trace;

use hyperspace_protocol::time::{Duration, Instant};

/// How the peers of a group come and go. Each peer is an alternating renewal process: all its sessions are drawn from
/// one distribution, all times between them from another, independently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// Time up.
    pub session: Lifetime,
    /// Time between two sessions.
    pub offline: Lifetime,
    /// Share of departures that are crashes without a word, 0 to 1; the others take leave.
    pub crash: f64,
    /// Whether a peer that comes back still has what it knew.
    pub keeps_state: bool,
    /// Who is up at the group's start.
    pub begin: Begin,
}

/// What a group's start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Peers that have come and gone for ever: some are away, the others are in the middle of a session.
    Steady,
    /// All up, each at the start of a session.
    Up,
}

/// One time up, from `up` to before `down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Comes up.
    pub up: Instant,
    /// Goes down; [`Instant::FAR_FUTURE`] if not within the run.
    pub down: Instant,
    /// Goes down without a word.
    pub crash: bool,
}

impl Session {
    /// A session that no departure ends.
    pub const fn endless(up: Instant) -> Self {
        Self { up, down: Instant::FAR_FUTURE, crash: false }
    }
}

impl Churn {
    /// Whether every value is in its range.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.session.check().map_err(|wrong| format!("session: {wrong}"))?;
        self.offline.check().map_err(|wrong| format!("offline: {wrong}"))?;
        if (0.0..=1.0).contains(&self.crash) {
            return Ok(());
        }
        Err(format!("crash is a share from 0 to 1, like 0.5; got {}", self.crash))
    }

    /// Share of time that a peer is up in the steady state, 0 to 1, from [`Lifetime::mean`].
    pub fn availability(&self) -> f64 {
        self.session.mean() / (self.session.mean() + self.offline.mean())
    }

    /// How many sessions of one peer fall into `span` on average, in the steady state. Peers that are all up at the
    /// start have more at first if sessions are heavy-tailed.
    pub fn expected_sessions(&self, span: Duration) -> f64 {
        self.availability() + span.as_secs_f64() / (self.session.mean() + self.offline.mean())
    }
}
