//! A deterministic discrete-event simulator for the Hyperspace protocol.
//!
//! A run is a pure function of (scenario, seed, version): the same digest comes out for any number of threads, from the
//! fast engine and the slow oracle, with messages handed over in memory or encoded and parsed again.
//!
//! ```
//! use hyperspace_sim::{scenario::Scenario, RunOptions, Simulation};
//!
//! let scenario = Scenario::example();
//! let outcome = Simulation::new(&scenario, &RunOptions::default())?.run(&mut |_| {})?;
//! assert_eq!(outcome.report.delivery.ratio, 1.0);
//! # Ok::<(), hyperspace_sim::RunError>(())
//! ```
//!
//! `examples/` shows how to assert on a world from a Rust test, and how to change the machine that runs at every peer.

pub mod adversary;
mod calls;
pub mod churn;
mod connect;
mod dht;
mod digest;
mod engine;
mod event;
pub mod graph;
mod host;
mod lane;
mod life;
mod link;
mod look;
pub mod message;
pub mod net;
#[cfg(feature = "planted-nondeterminism")]
mod plant;
mod records;
pub mod report;
mod rpc;
pub mod scenario;
mod services;
mod shared;
mod simulation;
mod summary;
mod tally;
pub mod trace;
mod tracing;
pub mod verify;
mod wire;
mod workload;
mod world;

pub use digest::{Digests, EPOCH_LENGTH, Probe, Probed};
pub use host::{Adversary, Subject};
pub use report::Report;
pub use simulation::{Outcome, Progress, RunError, Simulation};
pub use workload::ring_advice;

/// Which engine orders the events. No result depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// Windows of one lookahead, lanes on several threads.
    #[default]
    Window,
    /// One ordered queue, one thread: slow and obviously right.
    Oracle,
}

/// How to run; nothing here changes any result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Worker threads, at least 1. The oracle uses one.
    pub threads: usize,
    /// Which engine.
    pub engine: EngineKind,
    /// Encodes every frame as libp2p protobuf and parses it again, instead of handing it over in memory.
    pub wire: bool,
    /// Verifies each distinct envelope once and remembers the verdict, instead of at every peer.
    pub memo: bool,
    /// What to look at closely.
    pub probe: Option<Probe>,
    /// Traces every so-manieth peer from the first on, at least 1: see [`Simulation::run_traced`].
    pub trace_every: Option<u32>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            engine: EngineKind::Window,
            wire: false,
            memo: true,
            probe: None,
            trace_every: None,
        }
    }
}

/// About how many bytes a run of this scenario takes, to refuse what cannot fit: measured per peer, link, message, routing
/// table and heartbeat on runs of 1,000 to 100,000 peers.
pub fn estimate_bytes(scenario: &scenario::Scenario) -> u64 {
    let links = simulation::expected_links(scenario);
    let peers = u64::from(scenario.peers());
    let messages = workload::expected_messages(scenario);
    let tables = if scenario.dht.is_some() { peers * 5_000 } else { 0 };
    let heartbeats = workload::expected_heartbeats(scenario).saturating_mul(1_200);
    let epochs = scenario.run.duration.as_nanos() / EPOCH_LENGTH.as_nanos();
    let digests = epochs * u64::from(scenario.peers().div_ceil(lane::LANE)) * 16;
    let gossip = peers * 1_500 + links * 2 * 350 + peers * messages.min(5_000) / 2 + messages * 4_096;
    gossip.saturating_add(tables).saturating_add(heartbeats).saturating_add(digests)
}
