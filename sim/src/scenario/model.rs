//! A scenario after parsing, defaults and overrides: everything the engine needs, every value checked.
//!
//! Built by [`load`](super::load) from a TOML file, or directly in Rust; [`Scenario::check`](super::Scenario::check)
//! holds for both.

use std::ops::Range;
use std::sync::Arc;

use hyperspace_protocol::time::Duration;
use hyperspace_protocol::{card, gossip};

use super::calls::Calls;
use super::discovery::{CardsWorkload, Dht, GroupChurn, Lookups, Records, RingWorkload};
use crate::net::RegionTable;

/// One run's description for one arm: all arms of a file share everything but their own changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The scenario's name; letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The arm this is, if the file has arms.
    pub arm: Option<String>,
    /// `[run]`.
    pub run: Run,
    /// `[network]`.
    pub network: Network,
    /// `[gossip]`: the profile with the file's changes applied.
    pub gossip: gossip::Config,
    /// Whether published payloads are signed envelopes (`[gossip] validation`, default) or bare bytes.
    pub envelopes: bool,
    /// `[dht]`, if the network has one.
    pub dht: Option<Dht>,
    /// `[cards]`: times and bounds of capability cards.
    pub cards: card::Config,
    /// `[cost]`: virtual CPU time per operation.
    pub cost: Cost,
    /// `[group.NAME]`, in the order of the file. Peers are numbered group by group.
    pub groups: Vec<Group>,
    /// `[[workload]]`.
    pub workloads: Vec<Workload>,
    /// `[[at]]`, in the order of the file.
    pub timeline: Vec<Action>,
    /// `[[expect]]` entries that speak of this arm (or of none).
    pub expectations: Vec<Expectation>,
}

impl Scenario {
    /// A small valid scenario to change in tests and examples: 100 honest peers that publish 10 messages of 1 KiB a second
    /// for 10 s, 10 to 150 ms apart.
    pub fn example() -> Self {
        let secs = Duration::from_secs;
        Self {
            name: "example".into(),
            arm: None,
            run: Run {
                seed: 1,
                duration: secs(20),
                warmup: secs(5),
                drain: secs(5),
                until_idle: false,
                stay: secs(10),
                graph: false,
            },
            network: Network {
                latency: Latency::Uniform(Duration::from_millis(10), Duration::from_millis(150)),
                jitter: 0.1,
                link: LinkKind::Stream,
                loss: 0.0,
                latency_min: Duration::from_millis(1),
                retransmit: Duration::from_millis(200),
                stream_timeout: secs(20),
                redial: secs(5),
                queue_max: 128,
                topology: Topology::KOut(10),
                duplicate: 0.0,
                reorder: 0.0,
                line_queue: 4 << 20,
                hole_punching: 0.0,
                relay_reservations: 128,
            },
            gossip: gossip::Config::hyperspace(),
            envelopes: true,
            dht: None,
            cards: card::Config::default(),
            cost: Cost::default(),
            groups: vec![Group::new("honest", 100)],
            workloads: vec![Workload::Publish {
                group: 0,
                topic: "hyperspace/trajectories/web-research".into(),
                interval: Duration::from_millis(100),
                size: 1024,
                sources: 0,
                start: secs(5),
                stop: secs(15),
                messages: 0,
            }],
            timeline: Vec::new(),
            expectations: Vec::new(),
        }
    }

    /// Peers of all groups together.
    pub fn peers(&self) -> u32 {
        self.groups.iter().map(|g| g.count).sum()
    }

    /// The number of a group's first peer.
    pub fn first_peer(&self, group: u32) -> u32 {
        self.groups[..group as usize].iter().map(|g| g.count).sum()
    }

    /// The peers of a group.
    pub fn peers_of(&self, group: u32) -> Range<u32> {
        let first = self.first_peer(group);
        first..first + self.groups[group as usize].count
    }

    /// The peers that take part in the topology: those of groups without `dials`.
    pub fn members(&self) -> Vec<u32> {
        let groups = (0..self.groups.len()).filter(|group| self.groups[*group].dials == 0);
        groups.flat_map(|group| self.peers_of(group as u32)).collect()
    }

    /// The expectations that apply to a world of this size.
    pub fn applicable_expectations(&self) -> impl Iterator<Item = &Expectation> {
        let peers = self.peers();
        self.expectations.iter().filter(move |e| e.peers.is_none_or(|n| n == peers))
    }

    /// A peer's group, as index and value, and its place in it.
    ///
    /// # Panics
    /// If there is no such peer.
    pub fn group_of(&self, peer: u32) -> (u32, &Group, u32) {
        let mut first = 0;
        for (index, group) in self.groups.iter().enumerate() {
            if peer - first < group.count {
                return (index as u32, group, peer - first);
            }
            first += group.count;
        }
        panic!("peer {peer} of {first}")
    }
}

/// `[run]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The seed of every random number.
    pub seed: u64,
    /// Virtual time to simulate. With `until_idle` the run may end earlier.
    pub duration: Duration,
    /// Measurements start here: traffic counters begin, and only messages published from here on count for delivery.
    pub warmup: Duration,
    /// Messages published in the last `drain` of the run do not count for delivery: they had no time to arrive.
    pub drain: Duration,
    /// Stop as soon as nothing is in flight and nothing is scheduled but heartbeats.
    pub until_idle: bool,
    /// Under churn a message counts for the peers that are up from its publication until so much later.
    pub stay: Duration,
    /// Whether the report describes the graph of open links at the end.
    pub graph: bool,
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// One-way base latency of a link, drawn once per pair of peers, the same both ways.
    pub latency: Latency,
    /// Each frame's latency grows by a uniform share of the base in [0, jitter].
    pub jitter: f64,
    /// Stream or datagram links.
    pub link: LinkKind,
    /// Probability that a packet is lost, in [0, 1).
    pub loss: f64,
    /// No latency is below this: the engine's lookahead. Part of the scenario because clamping changes results.
    pub latency_min: Duration,
    /// On stream links: how long a lost packet takes to be sent again, at first; doubles with each further loss of the
    /// same packet.
    pub retransmit: Duration,
    /// On stream links: a connection that got nothing through for this long is closed.
    pub stream_timeout: Duration,
    /// After a close, the side that dialled tries again after a uniform time up to this.
    pub redial: Duration,
    /// Frames that wait in one direction of a cut stream link; more are dropped and counted.
    pub queue_max: u32,
    /// Which pairs are connected at the start, among the peers of groups without `dials`.
    pub topology: Topology,
    /// On datagram links: share of frames that arrive twice, in [0, 1].
    pub duplicate: f64,
    /// On datagram links: share of frames held back by their base latency once more, in [0, 1].
    pub reorder: f64,
    /// Bytes that wait for a peer's own line in one direction; a frame that finds more is dropped.
    pub line_queue: u32,
    /// Share of pairs in which a peer behind a NAT can be reached directly after all (DCUtR), in [0, 1].
    pub hole_punching: f64,
    /// Peers behind NATs that one relay serves; those in excess cannot be reached.
    pub relay_reservations: u32,
}

/// One-way latency models.
#[derive(Clone, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Uniform between the two.
    Uniform(Duration, Duration),
    /// By region.
    Regions(Arc<RegionTable>),
    /// Given by the topology (`g8`).
    Topology,
}

impl Latency {
    /// By region: AWS 2019, 11 regions.
    pub fn aws_2019() -> Self {
        Self::named("aws-2019")
    }

    /// By region: SimBlock 2019, 6 regions.
    pub fn simblock_2019() -> Self {
        Self::named("simblock-2019")
    }

    /// By region: the sites of Hyperspace's 6 bootstrap nodes, modelled by their distance.
    pub fn bootstrap_6() -> Self {
        Self::named("bootstrap-6")
    }

    fn named(name: &str) -> Self {
        Self::Regions(Arc::new(RegionTable::named(name).expect("one of RegionTable::NAMED")))
    }

    /// The table, if this model has regions.
    pub fn table(&self) -> Option<&RegionTable> {
        match self {
            Self::Regions(table) => Some(table),
            Self::Constant(_) | Self::Uniform(..) | Self::Topology => None,
        }
    }

    /// The names of the regions; none for models without regions.
    pub fn region_names(&self) -> &[String] {
        self.table().map_or(&[], RegionTable::regions)
    }
}

/// What a lost packet means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// In order; a loss becomes delay, then a disconnect.
    Stream,
    /// A loss is a loss; frames may overtake each other under jitter.
    Datagram,
}

/// Who is connected to whom at the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Topology {
    /// Nobody.
    None,
    /// Every peer dials k others at random; a pair that dialled each other has one link.
    KOut(u32),
    /// Peer i dials i + 1, ..., i + k (modulo the number of peers).
    Ring(u32),
    /// Watts and Strogatz (Nature 1998): the ring in which every peer dials the next k, each of whose links leads to a
    /// random peer instead with this probability.
    SmallWorld(u32, f64),
    /// Barabási and Albert (Science 1999): peers come one by one, and each dials m of those before it, chosen in
    /// proportion to their degree; the first m + 1 are all connected.
    ScaleFree(u32),
    /// The fixed random graph of the cross-simulator workload: four Hamiltonian cycles.
    G8,
    /// Undirected edges by peer number; the first of a pair dials. Read from a file of lines `a b` or `a,b`.
    Edges(Vec<(u32, u32)>),
}

/// `[cost]`: virtual CPU time that an operation occupies the receiving peer. All zero by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cost {
    /// Per frame of any kind.
    pub frame: Duration,
    /// Per envelope verified (once per message and peer).
    pub verify: Duration,
}

/// `[group.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many peers, at least 1.
    pub count: u32,
    /// What they do.
    pub behaviour: Behaviour,
    /// When they come up.
    pub start: Duration,
    /// Links they dial at their start to peers of groups that take part in the topology; 0 means that the group itself
    /// takes part in the topology.
    pub dials: u32,
    /// Addresses shared by the group; 0 means one address each.
    pub ips: u32,
    /// Where they are, when the latency model has regions.
    pub regions: Regions,
    /// Whether they come and go.
    pub churn: Option<GroupChurn>,
    /// Whether nobody can dial them but over a relay.
    pub nat: bool,
    /// Whether they relay for peers behind NATs.
    pub relay: bool,
    /// Bits per second of each peer's line to the network; 0 means no limit.
    pub upload: u64,
    /// Bits per second of each peer's line from the network; 0 means no limit.
    pub download: u64,
    /// Each peer's wall clock is off by a uniform time up to this, to either side.
    pub clock_skew: Duration,
    /// And gains or loses a uniform share of the time up to this.
    pub clock_drift: f64,
}

impl Group {
    /// Honest peers that are up from the start, with nothing special about them.
    pub fn new(name: &str, count: u32) -> Self {
        Self {
            name: name.into(),
            count,
            behaviour: Behaviour::Honest,
            start: Duration::ZERO,
            dials: 0,
            ips: 0,
            regions: Regions::Even,
            churn: None,
            nat: false,
            relay: false,
            upload: 0,
            download: 0,
            clock_skew: Duration::ZERO,
            clock_drift: 0.0,
        }
    }
}

/// What the peers of a group do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// The protocol.
    Honest,
    /// Takes mesh places, re-grafts after the backoff, forwards nothing.
    SybilFlood,
    /// Takes places in routing tables, names only its own group in lookups, stores nothing.
    DhtSybil,
    /// Announces itself as the provider of ever new keys to every DHT server that it is connected with.
    ProviderFlood,
}

/// Where the peers of a group are.
#[derive(Clone, Debug, PartialEq)]
pub enum Regions {
    /// Spread evenly, peer i in region i modulo the number of regions.
    Even,
    /// By the shares that come with the latency table (SimBlock), else evenly.
    Table,
    /// All in this region of the latency table (an index).
    One(u32),
}

/// `[[workload]]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Messages published at a steady rate, each by a random peer of a group.
    Publish {
        /// Index of the publishing group.
        group: u32,
        /// Topic name. Every honest peer subscribes to every topic published on.
        topic: String,
        /// Time between two messages.
        interval: Duration,
        /// Bytes of each payload; an envelope is filled up to this.
        size: u32,
        /// How many peers of the group publish (drawn once); 0 means all may.
        sources: u32,
        /// First message.
        start: Duration,
        /// No message at or after this.
        stop: Duration,
        /// No more messages than this; 0 means no limit.
        messages: u32,
    },
    /// The messages of the cross-simulator workload: drawn with the `g8` topology, message k at k * 100 ms.
    G8 {
        /// How many.
        messages: u32,
        /// Bytes of each.
        size: u32,
    },
    /// Lookups in the DHT.
    Lookups(Lookups),
    /// Records in the DHT.
    Records(Records),
    /// Capability cards.
    Cards(CardsWorkload),
    /// Placement on the hash ring.
    Ring(RingWorkload),
    /// Calls of the primitives.
    Call(Calls),
}

/// `[[at]]`: something the world does at a fixed time.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// No packet passes between the two sides for a while.
    Partition {
        /// When it starts.
        at: Duration,
        /// How long it lasts.
        length: Duration,
        /// One side.
        a: Side,
        /// The other side.
        b: Side,
        /// Whether only what goes from `a` to `b` is stopped.
        one_way: bool,
    },
}

/// Who is on one side of a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// A group, by index.
    Group(u32),
    /// A region, by index into the latency table.
    Region(u32),
    /// The first share of every group, in [0, 1] (`share:0.5`).
    Share(f64),
    /// Everybody who is not on the other side.
    Rest,
}

/// `[[expect]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Path of the metric, one of [`METRICS`](super::METRICS).
    pub metric: String,
    /// How the actual value compares with `value`.
    pub op: Op,
    /// What it is compared with.
    pub value: Value,
    /// Which statistic over the seeds of a run (the mean unless it says otherwise).
    pub stat: Stat,
    /// Only for worlds of this many peers, as a check value that is known for some sizes.
    pub peers: Option<u32>,
}

/// The right-hand side of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// The same metric in another arm, times `factor` (1 unless given).
    Arm {
        /// Which arm.
        of: String,
        /// Multiplies the other arm's value.
        factor: f64,
    },
}

/// Comparison of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

/// Statistic over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// Arithmetic mean.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// 95th percentile (nearest rank).
    P95,
}
