//! What a run found out, as plain numbers in the shape of the JSON that `hyperlab run --json` prints.
//!
//! Everything here is a function of scenario, seed and version: wall time and memory are added by whoever measures them.

use hyperspace_protocol::machine::Count;
use serde::Serialize;

use crate::tally::NET_COUNTS;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Digest of the whole run, 16 hex digits: the same for any engine and thread count.
    pub digest: String,
    /// Peers in the world.
    pub peers: u64,
    /// Virtual seconds simulated.
    pub virtual_s: f64,
    /// Frames delivered, timers run and messages published.
    pub events: u64,
    /// How the messages of the workloads arrived at the honest peers.
    pub delivery: Delivery,
    /// Longest path of a first delivery, in hops.
    pub hops_max: u64,
    /// Mean path of first deliveries, in hops.
    pub hops_mean: f64,
    /// Copies beyond the first per first delivery over the network.
    pub duplicates_mean: f64,
    /// Relative message redundancy, m / (n - 1) - 1 (Leitao 2007), mean over messages.
    pub rmr: f64,
    /// Frames sent, by kind.
    pub gossip: FrameCounts,
    /// Bytes sent as libp2p protobuf, by kind.
    pub bytes: FrameCounts,
    /// Mesh links of honest peers at the end.
    pub mesh: Mesh,
    /// Scores that honest peers give at the end.
    pub scores: Scores,
    /// Drops and penalties by name: what machines dropped since the warmup, and under `net_*` what the network did in the
    /// whole run.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// Sum over honest peers and messages of the first-arrival time in microseconds (publishers included): the check
    /// value of the cross-simulator workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum_t: Option<u64>,
    /// First deliveries by latency, cumulative curve for plots: (milliseconds, share of expected deliveries).
    pub curve: Vec<(f64, f64)>,
    /// First deliveries over the network in bins of 10 ms; the last one holds everything from 10 s on.
    #[serde(skip)]
    pub latency_bins: Vec<u64>,
}

/// The names under [`Report::counts`].
pub(crate) fn count_names() -> Vec<&'static str> {
    let machine = Count::NAMES.iter().map(|(_, name)| *name);
    let network = NET_COUNTS.iter().map(|(_, name)| *name);
    machine.chain(network).chain([VERIFIED]).collect()
}

/// How often an envelope was verified in the whole run.
pub(crate) const VERIFIED: &str = "envelopes_verified";

impl Report {
    /// First deliveries over the network with a latency from `low_ms` up to, not including, `high_ms`; both rounded down
    /// to 10 ms.
    pub fn latency_count(&self, low_ms: u64, high_ms: u64) -> u64 {
        let bin = |ms: u64| ((ms / 10) as usize).min(self.latency_bins.len());
        let (low, high) = (bin(low_ms), bin(high_ms));
        self.latency_bins[low.min(high)..high].iter().sum()
    }
}

/// Delivery of the measured messages to the honest peers that were up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delivery {
    /// Measured messages.
    pub messages: u64,
    /// First deliveries, the publisher's own included.
    pub delivered: u64,
    /// How many there should have been.
    pub expected: u64,
    /// `delivered / expected`; 1 if nothing was expected.
    pub ratio: f64,
    /// Latency of first deliveries over the network in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
    /// Mean.
    pub mean_ms: f64,
}

/// One number per kind of frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrameCounts {
    /// Published messages, forwarded or answered to IWANT.
    pub message: u64,
    /// GRAFT.
    pub graft: u64,
    /// PRUNE.
    pub prune: u64,
    /// IHAVE.
    pub ihave: u64,
    /// IWANT.
    pub iwant: u64,
    /// IDONTWANT.
    pub idontwant: u64,
    /// Subscription changes.
    pub subscribe: u64,
}

/// Mesh degree of honest peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Mesh {
    /// Mean degree per peer and topic.
    pub degree_mean: f64,
    /// Smallest.
    pub degree_min: u64,
    /// Largest.
    pub degree_max: u64,
    /// Share of the honest peers' mesh links that lead to peers of other behaviour.
    pub sybil_share: f64,
}

/// Distribution of the scores that honest peers give.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Of honest neighbours.
    pub honest: Distribution,
    /// Of the others.
    pub sybil: Distribution,
}

/// Five numbers of a distribution; all zero when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// 10th percentile.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// Largest.
    pub max: f64,
}
