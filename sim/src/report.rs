//! What a run found out, as plain numbers in the shape of the JSON that `hyperlab run --json` prints.
//!
//! Everything here is a function of scenario, seed and version: wall time and memory are added by whoever measures them.

use hyperspace_protocol::machine::Counted;
use serde::Serialize;

use crate::graph::Graph;

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
    /// Who was up, in a world whose peers come and go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<ChurnReport>,
    /// The DHT, in a network that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dht: Option<DhtReport>,
    /// The hash ring, if a workload places keys on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingReport>,
    /// Capability cards, if a workload announces some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cards: Option<CardsReport>,
    /// Calls of the primitives, if a workload makes some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallsReport>,
    /// Open links between honest peers that are up, at the end, if the scenario asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Graph>,
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
    let counted = Counted::default();
    let machines = counted.named().map(|(name, _)| name);
    let network = NET_COUNTS.iter().map(|(_, name)| *name);
    machines.chain(network).chain([VERIFIED]).collect()
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

/// Who was up, of the peers of groups that come and go: means over the times at which the simulator looked, every 10 s
/// from the warmup on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChurnReport {
    /// Share of all honest peers that were up.
    pub online: f64,
    /// Sessions that began after the start of the run.
    pub joined: u64,
    /// Sessions that ended with a goodbye.
    pub left: u64,
    /// Sessions that ended without one.
    pub crashed: u64,
}

/// What came of the DHT's queries, and what its tables and stores hold. Honest peers only.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DhtReport {
    /// Queries of the workloads that were asked of a peer that was up.
    pub queries: u64,
    /// Queries that no peer was up for.
    pub skipped: u64,
    /// Queries that the peer refused, having too many on their way.
    pub refused: u64,
    /// Queries without an end, because the peer left or crashed before.
    pub lost: u64,
    /// Queries still on their way when the run was over. They count nowhere else: a run needs a drain longer than its
    /// slowest queries.
    pub unfinished: u64,
    /// Queries that looked for something and came to an end.
    pub looked: u64,
    /// Share of `looked`, without those for which there was nothing to find, that found it: of lookups, the honest server
    /// closest to the key of all that were up all the time; of records, a provider that is up, or the value.
    pub success: f64,
    /// Queries that looked for something of which nothing was there.
    pub moot: u64,
    /// Mean length of the chain of referrals to the closest contact that answered.
    pub hops_mean: f64,
    /// The longest.
    pub hops_max: u64,
    /// Mean requests per query that looked for something.
    pub requests_mean: f64,
    /// How many of them failed or were not answered in time.
    pub failures_mean: f64,
    /// Queries ended by their limit of time or of requests.
    pub cut_short: u64,
    /// Time from the start to the end of those queries in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Records that were to be stored, provider records and values together.
    pub stores: u64,
    /// Mean copies of each.
    pub copies_mean: f64,
    /// Requests and responses sent since the warmup, of all peers.
    pub messages: DhtMessages,
    /// Bytes of them as libp2p protobuf.
    pub bytes: u64,
    /// Mean contacts in a routing table at the end.
    pub contacts_mean: f64,
    /// Most in one.
    pub contacts_max: u64,
    /// Share of contacts that were down, mean over the times at which the simulator looked.
    pub stale_share: f64,
    /// Share of contacts at the end that are not honest.
    pub sybil_share: f64,
    /// Buckets of up to 16 depths at the end: the mean contacts in each, over all honest peers that are up.
    pub occupancy: Vec<f64>,
    /// Values stored for others: most at one peer.
    pub records_max: u64,
    /// Bytes of keys and values stored for others: most at one peer.
    pub records_bytes_max: u64,
    /// Provider records stored for others: most at one peer.
    pub providers_max: u64,
}

/// Requests and responses by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DhtMessages {
    /// FIND_NODE.
    pub find_node: u64,
    /// GET_VALUE.
    pub get_value: u64,
    /// PUT_VALUE.
    pub put_value: u64,
    /// GET_PROVIDERS.
    pub get_providers: u64,
    /// ADD_PROVIDER.
    pub add_provider: u64,
    /// Requests for a capability card.
    pub card: u64,
    /// Requests of the primitives.
    pub agent: u64,
    /// Responses of all kinds.
    pub response: u64,
}

/// Keys on the hash ring of those who are up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RingReport {
    /// Peers on the ring at the end.
    pub members: u64,
    /// Virtual nodes at the end.
    pub tokens: u64,
    /// Joins and leaves.
    pub changes: u64,
    /// Copies of keys that went to a new holder.
    pub moved: u64,
    /// Of these, copies that neither came to a peer that joined nor from one that left: a consistent ring has none.
    pub needless: u64,
    /// `moved` over the least that had to move if all shares were even: 1 is as it should be, up to chance.
    pub moved_over_minimum: f64,
    /// Peers that own nothing, at the end.
    pub idle: u64,
    /// Coefficient of variation of the shares of the ring that peers own.
    pub share_cv: f64,
    /// The largest such share over the mean.
    pub share_max_over_mean: f64,
    /// Coefficient of variation of the copies that peers hold.
    pub keys_cv: f64,
    /// Most copies at one peer over the mean.
    pub keys_max_over_mean: f64,
}

/// Capability cards, means over the times at which the simulator looked: every 10 s from the warmup on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CardsReport {
    /// Cards that a peer held of others, of the peers that follow any.
    pub held_mean: f64,
    /// Share of the held cards whose peer was down.
    pub stale_share: f64,
    /// Share of the followed peers that had been up for two heartbeats, whose card was not held.
    pub missing_share: f64,
    /// Topics a peer that follows any was subscribed to for it at the end, mean.
    pub topics_mean: f64,
    /// Messages about cards sent per second since the warmup, copies included, per peer that follows any.
    pub messages_per_s: f64,
}

/// What came of the calls of the primitives' methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallsReport {
    /// Calls made to a peer that was up.
    pub made: u64,
    /// Calls that no peer was up for.
    pub skipped: u64,
    /// Calls that came to an end, be it a result or an error.
    pub answered: u64,
    /// Of these, those that ended with an error.
    pub errors: u64,
    /// Calls without an end: their peer went down before, or the run was over.
    pub unfinished: u64,
    /// Requests of primitives to other peers sent since the warmup.
    pub requests: u64,
    /// Time from a call to its answer in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Errors by their code.
    pub by_code: Vec<(i32, u64)>,
}
