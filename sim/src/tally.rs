//! What is measured while the simulation runs: integers only, one set per lane, added up at the end in any order.

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::kad::{self, QueryStats};
use hyperspace_protocol::machine::Counted;
use hyperspace_protocol::request::{Request, Response};
use hyperspace_protocol::time::Duration;

use crate::calls::CallTally;
use crate::message::SimMessage;
use crate::rpc::Packet;

/// Kinds of frames, as indices into [`Tally::frames`].
pub(crate) const KINDS: usize = 7;

/// The kind of a frame: message, graft, prune, ihave, iwant, idontwant, subscribe.
#[inline]
pub(crate) const fn kind_of(frame: &Frame<SimMessage>) -> usize {
    match frame {
        Frame::Message(_) => 0,
        Frame::Graft(_) => 1,
        Frame::Prune(_) => 2,
        Frame::Ihave(_) => 3,
        Frame::Iwant(_) => 4,
        Frame::Idontwant(_) => 5,
        Frame::Subscriptions(_) => 6,
    }
}

/// What the network did, as indices into [`Tally::network`].
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum NetCount {
    Lost,
    Retransmitted,
    QueueOverflow,
    Disconnected,
    Stale,
    Dialled,
    Refused,
    Redelivered,
    Unreachable,
    Unanswered,
    Duplicated,
    Reordered,
    Joined,
    Left,
    Crashed,
}

/// Their names in reports.
pub(crate) const NET_COUNTS: [(NetCount, &str); 15] = [
    (NetCount::Lost, "net_lost"),
    (NetCount::Retransmitted, "net_retransmitted"),
    (NetCount::QueueOverflow, "net_queue_overflow"),
    (NetCount::Disconnected, "net_disconnected"),
    (NetCount::Stale, "net_stale"),
    (NetCount::Dialled, "net_dialled"),
    (NetCount::Refused, "net_refused"),
    // A peer that has forgotten a message takes it for new.
    (NetCount::Redelivered, "redelivered"),
    // Nobody can dial that peer: it is behind a NAT, without a relay that is up.
    (NetCount::Unreachable, "net_unreachable"),
    // A request or response that reached a peer that was down.
    (NetCount::Unanswered, "net_unanswered"),
    (NetCount::Duplicated, "net_duplicated"),
    (NetCount::Reordered, "net_reordered"),
    (NetCount::Joined, "churn_joined"),
    (NetCount::Left, "churn_left"),
    (NetCount::Crashed, "churn_crashed"),
];

/// Kinds of requests and responses, as indices into [`Tally::rpcs`].
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum RpcKind {
    FindNode,
    GetValue,
    PutValue,
    GetProviders,
    AddProvider,
    Card,
    Agent,
    Response,
}

impl RpcKind {
    pub(crate) const KINDS: usize = 8;

    pub(crate) const fn of(packet: &Packet) -> Self {
        match packet {
            Packet::Request { request: Request::Dht(request), .. } => match request {
                kad::Request::FindNode(_) => Self::FindNode,
                kad::Request::GetValue(_) => Self::GetValue,
                kad::Request::PutValue(_) => Self::PutValue,
                kad::Request::GetProviders(_) => Self::GetProviders,
                kad::Request::AddProvider { .. } => Self::AddProvider,
            },
            Packet::Request { request: Request::Card, .. } => Self::Card,
            Packet::Request { request: Request::Agent { .. }, .. } => Self::Agent,
            Packet::Response {
                response: Response::Dht(_) | Response::Card(_) | Response::Agent(_), ..
            }
            | Packet::Failed { .. } => Self::Response,
        }
    }
}

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryEnd {
    /// It found what there was to find.
    Right,
    /// It did not.
    Wrong,
    /// There was nothing to find.
    Moot,
    /// So many copies of a record were stored.
    Stored(u64),
    /// The machine did not start it.
    Refused,
}

impl QueryEnd {
    pub(crate) const fn judged(right: bool) -> Self {
        if right { Self::Right } else { Self::Wrong }
    }
}

/// What came of the queries of honest peers.
#[derive(Debug, Default)]
pub(crate) struct QueryTally {
    pub(crate) asked: u64,
    pub(crate) skipped: u64,
    pub(crate) refused: u64,
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) moot: u64,
    pub(crate) stores: u64,
    pub(crate) copies: u64,
    /// Of those that looked for something, from here on.
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) cut_short: u64,
    pub(crate) hops_sum: u64,
    pub(crate) hops_max: u64,
    /// In microseconds.
    pub(crate) latency: Histogram,
}

impl QueryTally {
    /// A peer was asked.
    pub(crate) fn asked(&mut self) {
        self.asked += 1;
    }

    /// A peer was to be asked, but was down.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// A query came to its end.
    pub(crate) fn done(&mut self, end: QueryEnd, stats: &QueryStats) {
        match end {
            QueryEnd::Right => self.right += 1,
            QueryEnd::Wrong => self.wrong += 1,
            QueryEnd::Moot => self.moot += 1,
            QueryEnd::Refused => self.refused += 1,
            QueryEnd::Stored(copies) => {
                self.stores += 1;
                self.copies += copies;
            }
        }
        if let QueryEnd::Right | QueryEnd::Wrong | QueryEnd::Moot = end {
            self.requests += u64::from(stats.requests);
            self.failures += u64::from(stats.failures);
            self.cut_short += u64::from(!stats.complete);
            self.hops_sum += u64::from(stats.hops);
            self.hops_max = self.hops_max.max(u64::from(stats.hops));
            self.latency.add(stats.elapsed.as_micros());
        }
    }

    /// Queries that looked for something and came to an end.
    pub(crate) const fn looked(&self) -> u64 {
        self.right + self.wrong + self.moot
    }

    fn merge(&mut self, other: &Self) {
        let sums = [
            (&mut self.asked, other.asked),
            (&mut self.skipped, other.skipped),
            (&mut self.refused, other.refused),
            (&mut self.right, other.right),
            (&mut self.wrong, other.wrong),
            (&mut self.moot, other.moot),
            (&mut self.stores, other.stores),
            (&mut self.copies, other.copies),
            (&mut self.requests, other.requests),
            (&mut self.failures, other.failures),
            (&mut self.cut_short, other.cut_short),
            (&mut self.hops_sum, other.hops_sum),
        ];
        for (mine, theirs) in sums {
            *mine += theirs;
        }
        self.hops_max = self.hops_max.max(other.hops_max);
        self.latency.merge(&other.latency);
    }
}

/// What was seen of routing tables and followed cards, each time somebody looked.
#[derive(Debug, Default)]
pub(crate) struct SampleTally {
    /// Contacts in routing tables, and those of them that were down.
    pub(crate) contacts: u64,
    pub(crate) contacts_down: u64,
    /// Peers that follow somebody.
    pub(crate) followers: u64,
    /// Cards held of others, and those of peers that were down.
    pub(crate) cards: u64,
    pub(crate) cards_stale: u64,
    /// Followed peers that were up long enough to be known, and those whose card was not held.
    pub(crate) followed_up: u64,
    pub(crate) cards_missing: u64,
    /// Peers that were up, and peers in all.
    pub(crate) up: u64,
    pub(crate) peers: u64,
}

impl SampleTally {
    fn merge(&mut self, other: &Self) {
        let sums = [
            (&mut self.contacts, other.contacts),
            (&mut self.contacts_down, other.contacts_down),
            (&mut self.followers, other.followers),
            (&mut self.cards, other.cards),
            (&mut self.cards_stale, other.cards_stale),
            (&mut self.followed_up, other.followed_up),
            (&mut self.cards_missing, other.cards_missing),
            (&mut self.up, other.up),
            (&mut self.peers, other.peers),
        ];
        for (mine, theirs) in sums {
            *mine += theirs;
        }
    }
}

/// Width and number of the bins of the delivery curve: 10 ms up to 10 s, the last one open.
pub(crate) const BIN: Duration = Duration::from_millis(10);
pub(crate) const BINS: usize = 1_001;

/// Counters of one lane.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) counters: Counted,
    /// What machines counted before the warmup was over.
    pub(crate) early: Counted,
    /// Requests and responses sent, by kind, and their bytes.
    pub(crate) rpcs: [u64; RpcKind::KINDS],
    pub(crate) rpc_bytes: u64,
    /// Messages about capability cards sent, copies included.
    pub(crate) card_messages: u64,
    pub(crate) queries: QueryTally,
    pub(crate) calls: CallTally,
    pub(crate) samples: SampleTally,
    pub(crate) frames: [u64; KINDS],
    pub(crate) bytes: [u64; KINDS],
    pub(crate) network: [u64; NET_COUNTS.len()],
    pub(crate) events: u64,
    /// How many of them were timers.
    pub(crate) timers: u64,
    /// Copies of measured messages that reached honest peers.
    pub(crate) arrivals: u64,
    /// First deliveries of measured messages over the network.
    pub(crate) carried: u64,
    /// First deliveries of each scheduled message in this lane, publishers included.
    pub(crate) delivered: Vec<u32>,
    pub(crate) hops_sum: u64,
    pub(crate) hops_max: u64,
    pub(crate) latency_sum_ns: u128,
    pub(crate) latency_max_ns: u64,
    pub(crate) latency: Histogram,
    pub(crate) bins: Vec<u64>,
    /// Sum of first-arrival times in microseconds.
    pub(crate) sum_t: u64,
}

impl Tally {
    pub(crate) fn new(scheduled: usize) -> Self {
        Self {
            counters: Counted::default(),
            early: Counted::default(),
            rpcs: [0; RpcKind::KINDS],
            rpc_bytes: 0,
            card_messages: 0,
            queries: QueryTally::default(),
            calls: CallTally::default(),
            samples: SampleTally::default(),
            frames: [0; KINDS],
            bytes: [0; KINDS],
            network: [0; NET_COUNTS.len()],
            events: 0,
            timers: 0,
            arrivals: 0,
            carried: 0,
            delivered: vec![0; scheduled],
            hops_sum: 0,
            hops_max: 0,
            latency_sum_ns: 0,
            latency_max_ns: 0,
            latency: Histogram::default(),
            bins: vec![0; BINS],
            sum_t: 0,
        }
    }

    #[inline]
    pub(crate) fn net(&mut self, what: NetCount) {
        self.network[what as usize] += 1;
    }

    /// A request or response was sent.
    pub(crate) fn rpc(&mut self, kind: RpcKind, bytes: u64) {
        self.rpcs[kind as usize] += 1;
        self.rpc_bytes += bytes;
    }

    /// A measured message was delivered for the first time; `hops` is zero at its publisher.
    pub(crate) fn deliver(&mut self, index: u32, at_ns: u64, latency: Duration, hops: u8) {
        if let Some(count) = self.delivered.get_mut(index as usize) {
            *count += 1;
        }
        self.sum_t += at_ns / 1_000;
        if hops == 0 {
            return;
        }
        self.carried += 1;
        self.hops_sum += u64::from(hops);
        self.hops_max = self.hops_max.max(u64::from(hops));
        self.latency_sum_ns += u128::from(latency.as_nanos());
        self.latency_max_ns = self.latency_max_ns.max(latency.as_nanos());
        self.latency.add(latency.as_micros());
        let bin = (latency.as_nanos() / BIN.as_nanos()) as usize;
        self.bins[bin.min(BINS - 1)] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            for (m, t) in mine.iter_mut().zip(theirs) {
                *m += t;
            }
        };
        self.counters.merge(&other.counters);
        add(&mut self.rpcs, &other.rpcs);
        self.rpc_bytes += other.rpc_bytes;
        self.card_messages += other.card_messages;
        self.queries.merge(&other.queries);
        self.calls.merge(&other.calls);
        self.samples.merge(&other.samples);
        add(&mut self.frames, &other.frames);
        add(&mut self.bytes, &other.bytes);
        add(&mut self.network, &other.network);
        add(&mut self.bins, &other.bins);
        for (m, t) in self.delivered.iter_mut().zip(&other.delivered) {
            *m += t;
        }
        self.events += other.events;
        self.timers += other.timers;
        self.arrivals += other.arrivals;
        self.carried += other.carried;
        self.hops_sum += other.hops_sum;
        self.hops_max = self.hops_max.max(other.hops_max);
        self.latency_sum_ns += other.latency_sum_ns;
        self.latency_max_ns = self.latency_max_ns.max(other.latency_max_ns);
        self.latency.merge(&other.latency);
        self.sum_t += other.sum_t;
    }
}

/// Counts of microsecond values in log-linear buckets: exact below 256, then within 0.8 %.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

const SUB_BITS: u32 = 8;

impl Histogram {
    const fn bucket(value: u64) -> usize {
        if value < 1 << SUB_BITS {
            return value as usize;
        }
        let octave = value.ilog2() - SUB_BITS + 1;
        ((octave as usize) << (SUB_BITS - 1)) + (value >> octave) as usize
    }

    /// Smallest value of a bucket, and how many values it holds.
    const fn range(bucket: usize) -> (u64, u64) {
        if bucket < 1 << SUB_BITS {
            return (bucket as u64, 1);
        }
        let octave = (bucket >> (SUB_BITS - 1)) as u32 - 1;
        let mantissa = (bucket - ((octave as usize) << (SUB_BITS - 1))) as u64;
        (mantissa << octave, 1 << octave)
    }

    pub(crate) fn add(&mut self, value: u64) {
        let bucket = Self::bucket(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (m, t) in self.buckets.iter_mut().zip(&other.buckets) {
            *m += t;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The value at a quantile in percent (nearest rank), as the middle of its bucket, but no more than the largest there
    /// was; 0 when empty.
    pub(crate) fn percentile(&self, percent: u64) -> f64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && self.count > 0 {
                let (low, width) = Self::range(bucket);
                return (low as f64 + (width - 1) as f64 / 2.0).min(self.max as f64);
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_within_half_a_percent() {
        for value in (0..3_000).chain((0..50).map(|i| 1_234_567 * i)) {
            let (low, width) = Histogram::range(Histogram::bucket(value));
            assert!((low..low + width).contains(&value), "{value}: {low} + {width}");
            assert!(width == 1 || width as f64 / low as f64 <= 1.0 / 128.0);
        }
    }

    #[test]
    fn percentiles_go_by_nearest_rank() {
        let mut h = Histogram::default();
        (1..=100).for_each(|v| h.add(v));
        assert_eq!((h.percentile(50), h.percentile(99), h.percentile(100)), (50.0, 99.0, 100.0));
        assert_eq!(Histogram::default().percentile(50), 0.0);
    }
}
