//! What all peers of a run share and none changes: settings, identities, messages, the network's rules.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hyperspace_protocol::config::Config;
use hyperspace_protocol::envelope::ReplayConfig;
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::rng::{philox, purpose_key};
use hyperspace_protocol::time::{Duration, Instant, UnixMillis};

use crate::RunOptions;
use crate::message::MessageTable;
use crate::net::{LatencyModel, Partitions, region_of};
use crate::scenario::{Behaviour, Cost, LinkKind, Scenario};
use crate::workload::Schedule;

/// Virtual time zero on the wall clock: 2026-03-18T12:00:00Z, an arbitrary date after the specification's.
pub(crate) const EPOCH: UnixMillis = UnixMillis(1_773_835_200_000);

/// Philox keys, one per purpose.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) protocol: u64,
    pub(crate) tie: u64,
    pub(crate) link: u64,
    pub(crate) redial: u64,
    identity: u64,
}

/// One peer's fixed facts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) honest: bool,
    pub(crate) region: u8,
    pub(crate) ip: IpAddr,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) messages: Arc<MessageTable>,
    pub(crate) schedule: Schedule,
    pub(crate) facts: Vec<Facts>,
    /// Peers in the order of their identities.
    by_id: Vec<u32>,
    pub(crate) latency: LatencyModel,
    pub(crate) partitions: Partitions,
    pub(crate) keys: Keys,
    pub(crate) link: LinkKind,
    pub(crate) jitter: f64,
    pub(crate) loss: f64,
    pub(crate) retransmit: Duration,
    pub(crate) stream_timeout: Duration,
    pub(crate) redial: Duration,
    pub(crate) queue_max: u16,
    pub(crate) cost: Cost,
    pub(crate) wire: bool,
    /// Traffic is counted from here on.
    pub(crate) warmup: Instant,
    pub(crate) end: Instant,
    /// Frames of one peer take longer in every other run of this process: see [`crate::plant`].
    #[cfg(feature = "planted-nondeterminism")]
    pub(crate) planted: bool,
    /// No event reaches another peer sooner than this after it was sent.
    pub(crate) lookahead: Duration,
}

impl Shared {
    pub(crate) fn new(scenario: &Scenario, options: &RunOptions) -> Self {
        let seed = scenario.run.seed;
        let keys = Keys {
            protocol: purpose_key(seed, "protocol"),
            tie: purpose_key(seed, "tie"),
            link: purpose_key(seed, "link"),
            redial: purpose_key(seed, "redial"),
            identity: purpose_key(seed, "identity"),
        };
        let schedule = Schedule::new(scenario);
        let ids: Vec<PeerId> =
            (0..scenario.peers()).map(|p| identity(keys.identity, p, scenario.envelopes)).collect();
        let mut by_id: Vec<u32> = (0..scenario.peers()).collect();
        by_id.sort_by_key(|peer| ids[*peer as usize]);
        let reserved = schedule.publishes.len() as u32;
        let topics = schedule.topics.clone();
        let messages = MessageTable::new(reserved, ids, topics, scenario.envelopes, options.memo);
        let latency = LatencyModel::new(&scenario.network, seed);
        let network = &scenario.network;
        Self {
            config: Config { gossip: scenario.gossip.clone(), replay: ReplayConfig::default() },
            messages: Arc::new(messages),
            schedule,
            facts: facts(scenario),
            by_id,
            partitions: Partitions::new(scenario),
            keys,
            link: network.link,
            jitter: network.jitter,
            loss: network.loss,
            retransmit: network.retransmit,
            stream_timeout: network.stream_timeout,
            redial: network.redial,
            queue_max: u16::try_from(network.queue_max).unwrap_or(u16::MAX),
            cost: scenario.cost,
            wire: options.wire,
            warmup: Instant::ZERO + scenario.run.warmup,
            end: Instant::ZERO + scenario.run.duration,
            #[cfg(feature = "planted-nondeterminism")]
            planted: crate::plant::is_this_run_planted(),
            lookahead: latency.lower_bound(),
            latency,
        }
    }

    pub(crate) fn unix(&self, now: Instant) -> UnixMillis {
        EPOCH.plus(now.since(Instant::ZERO))
    }

    /// Peers of the whole world.
    pub(crate) fn peers(&self) -> u32 {
        self.facts.len() as u32
    }

    /// The peer of that identity.
    pub(crate) fn find(&self, id: &PeerId) -> Option<u32> {
        let at = self.by_id.binary_search_by_key(&id, |peer| &self.messages.ids()[*peer as usize]).ok()?;
        Some(self.by_id[at])
    }

    /// The base latency of a pair.
    pub(crate) fn latency_between(&self, a: u32, b: u32) -> Duration {
        let region = |p: u32| self.facts[p as usize].region;
        self.latency.between(a, b, region(a), region(b))
    }

    /// The key pair of a peer, made anew each time: only publishers need it.
    pub(crate) fn keypair(&self, peer: u32) -> Keypair {
        keypair(self.keys.identity, peer)
    }

    /// The handle of a topic, if any workload uses it.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicRef> {
        (0..self.schedule.topics.len() as u32).map(TopicRef)
    }
}

fn keypair(key: u64, peer: u32) -> Keypair {
    let mut seed = [0; 32];
    for (i, part) in seed.chunks_exact_mut(16).enumerate() {
        let [a, b] = philox([u64::from(peer), i as u64], key);
        part[..8].copy_from_slice(&a.to_be_bytes());
        part[8..].copy_from_slice(&b.to_be_bytes());
    }
    Keypair::from_seed(seed)
}

/// A peer's identity. Without envelopes nobody signs, so random bytes do and a million of them cost nothing.
fn identity(key: u64, peer: u32, signs: bool) -> PeerId {
    if signs {
        return keypair(key, peer).peer_id();
    }
    let mut bytes = [0; 32];
    for (i, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&philox([u64::from(peer), i as u64], key)[0].to_be_bytes());
    }
    PeerId::from_public_key(bytes)
}

fn facts(scenario: &Scenario) -> Vec<Facts> {
    let mut facts = Vec::with_capacity(scenario.peers() as usize);
    let mut next_ip = 0;
    for group in &scenario.groups {
        let addresses = if group.ips == 0 { group.count } else { group.ips };
        for i in 0..group.count {
            facts.push(Facts {
                honest: group.behaviour == Behaviour::Honest,
                region: region_of(scenario, group, i),
                // 10.0.0.0/8: 16 million addresses, as many as peers.
                ip: IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | ((next_ip + i % addresses) & 0xff_ffff))),
            });
        }
        next_ip += addresses;
    }
    facts
}
