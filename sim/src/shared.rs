//! What all peers of a run share and none changes: settings, identities, messages, the network's rules.

use std::sync::Arc;

use hyperspace_protocol::config::Config;
use hyperspace_protocol::envelope::{self, ReplayConfig};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::kad;
use hyperspace_protocol::machine::Unsealed;
use hyperspace_protocol::primitive;
use hyperspace_protocol::rng::{Stream, philox, purpose_key, unit};
use hyperspace_protocol::time::{Duration, Instant, UnixMillis};

use crate::RunOptions;
use crate::churn::{Session, Sessions};
use crate::dht::Places;
use crate::link::Path;
use crate::message::{MessageTable, SimMessage};
use crate::net::{Edge, LATENCY_MAX, LatencyModel, Partitions, RegionTable};
use crate::scenario::{Cost, Latency, LinkKind, Scenario};
use crate::tally::QueryEnd;
use crate::workload::Schedule;
use crate::world::{Facts, Lines, OutEdges, facts, relays, sessions};

/// Virtual time zero on the wall clock: 2026-03-18T12:00:00Z, an arbitrary date after the specification's.
pub(crate) const EPOCH: UnixMillis = UnixMillis(1_773_835_200_000);

/// Philox keys, one per purpose.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) protocol: u64,
    pub(crate) tie: u64,
    pub(crate) link: u64,
    pub(crate) redial: u64,
    pub(crate) bootstrap: u64,
    clock: u64,
    punching: u64,
    identity: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) messages: Arc<MessageTable>,
    pub(crate) schedule: Schedule,
    pub(crate) facts: Vec<Facts>,
    /// When each peer is up, if any comes and goes.
    pub(crate) sessions: Option<Sessions>,
    /// Whether each group's peers keep what was on their disks, by group.
    keeps_state: Vec<bool>,
    /// Which relay each peer behind a NAT has, if there are any such peers.
    relays: Vec<Option<u32>>,
    hole_punching: f64,
    /// Whom each peer dials, where it may have to dial again.
    pub(crate) out_edges: OutEdges,
    pub(crate) dht: Places,
    bootstrap_peers: u32,
    pub(crate) dial_round_trips: u32,
    /// Whether any peer's line has a bandwidth.
    pub(crate) has_lines: bool,
    lines: Vec<Lines>,
    /// Bytes that wait for a line.
    pub(crate) line_queue: usize,
    /// By group: how far clocks are off, and by which share of time they gain. Empty if all are right.
    clocks: Vec<(Duration, f64)>,
    stay: Duration,
    /// Whether the report describes the graph of links.
    pub(crate) graph: bool,
    /// Peers in the order of their identities.
    by_id: Vec<u32>,
    pub(crate) latency: LatencyModel,
    pub(crate) partitions: Partitions,
    pub(crate) keys: Keys,
    pub(crate) link: LinkKind,
    pub(crate) jitter: f64,
    pub(crate) loss: f64,
    /// The table of regions, if it says what is lost between them.
    regional_loss: Option<Arc<RegionTable>>,
    pub(crate) duplicate: f64,
    pub(crate) reorder: f64,
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
    pub(crate) fn new(scenario: &Scenario, options: &RunOptions, topology: &[Edge]) -> Self {
        let seed = scenario.run.seed;
        let keys = Keys {
            protocol: purpose_key(seed, "protocol"),
            tie: purpose_key(seed, "tie"),
            link: purpose_key(seed, "link"),
            redial: purpose_key(seed, "redial"),
            bootstrap: purpose_key(seed, "bootstrap"),
            clock: purpose_key(seed, "clock"),
            punching: purpose_key(seed, "hole punching"),
            identity: purpose_key(seed, "identity"),
        };
        let latency = LatencyModel::new(&scenario.network, seed);
        let lookahead = latency.lower_bound();
        let sessions = sessions(scenario, lookahead);
        let facts = facts(scenario);
        let ids: Vec<PeerId> =
            (0..scenario.peers()).map(|p| identity(keys.identity, p, scenario.envelopes)).collect();
        let schedule = Schedule::new(scenario, sessions.as_ref(), &ids);
        let mut by_id: Vec<u32> = (0..scenario.peers()).collect();
        by_id.sort_by_key(|peer| ids[*peer as usize]);
        let dht = match scenario.dht {
            Some(_) => Places::new(&ids, |peer| facts[peer as usize].reachable),
            None => Places::default(),
        };
        let reserved = schedule.reserved();
        let topics = schedule.topic_names.clone();
        let messages = MessageTable::new(reserved, ids, topics, scenario.envelopes, options.memo);
        let network = &scenario.network;
        let moves = sessions.is_some() || scenario.groups.iter().any(|g| g.nat);
        let lines: Vec<Lines> = (0..scenario.peers()).map(|p| Lines::of(scenario, p, &facts)).collect();
        let has_lines = lines.iter().any(|l| *l != Lines::default());
        Self {
            config: Config {
                gossip: scenario.gossip.clone(),
                replay: ReplayConfig::default(),
                dht: scenario.dht.as_ref().map(|dht| dht.config.clone()),
                cards: scenario.cards.clone(),
                primitives: primitive::Config::default(),
            },
            messages: Arc::new(messages),
            schedule,
            keeps_state: scenario
                .groups
                .iter()
                .map(|g| g.churn.as_ref().is_some_and(crate::scenario::GroupChurn::keeps_state))
                .collect(),
            relays: relays(scenario, &facts),
            hole_punching: network.hole_punching,
            out_edges: if moves { OutEdges::new(scenario, topology) } else { OutEdges::default() },
            dht,
            bootstrap_peers: scenario.dht.as_ref().map_or(0, |dht| dht.bootstrap),
            dial_round_trips: scenario.dht.as_ref().map_or(0, |dht| dht.dial_round_trips),
            has_lines,
            lines: if has_lines { lines } else { Vec::new() },
            line_queue: network.line_queue as usize,
            clocks: if scenario.groups.iter().all(|g| g.clock_skew.is_zero() && g.clock_drift == 0.0) {
                Vec::new()
            } else {
                scenario.groups.iter().map(|g| (g.clock_skew, g.clock_drift)).collect()
            },
            stay: scenario.run.stay,
            graph: scenario.run.graph,
            facts,
            sessions,
            by_id,
            partitions: Partitions::new(scenario),
            keys,
            link: network.link,
            jitter: network.jitter,
            loss: network.loss,
            regional_loss: match &network.latency {
                Latency::Regions(table) if table.loss(0, 0).is_some() => Some(Arc::clone(table)),
                Latency::Regions(_) | Latency::Constant(_) | Latency::Uniform(..) | Latency::Topology => None,
            },
            duplicate: network.duplicate,
            reorder: network.reorder,
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
            lookahead,
            latency,
        }
    }

    /// The true wall clock.
    pub(crate) fn unix(&self, now: Instant) -> UnixMillis {
        EPOCH.plus(now.since(Instant::ZERO))
    }

    /// A peer's own wall clock, which may be off.
    #[inline]
    pub(crate) fn unix_of(&self, peer: u32, now: Instant) -> UnixMillis {
        if self.clocks.is_empty() {
            return self.unix(now);
        }
        let (skew, drift) = self.clocks[usize::from(self.facts[peer as usize].group)];
        let [a, b] = philox([peer.into(), 0], self.keys.clock);
        // Uniform in [-1, 1).
        let sides = |word: u64| 2.0 * unit(word) - 1.0;
        let passed = now.since(Instant::ZERO).as_nanos() as f64;
        let off = sides(a) * skew.as_nanos() as f64 + sides(b) * drift * passed;
        UnixMillis(self.unix(now).0.saturating_add_signed((off / 1e6) as i64))
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

    /// The probability that a packet is lost on its way: everywhere, or between the two regions.
    #[inline]
    pub(crate) fn loss_between(&self, a: u32, b: u32) -> f64 {
        let Some(table) = &self.regional_loss else { return self.loss };
        let region = |p: u32| usize::from(self.facts[p as usize].region);
        let between = table.loss(region(a), region(b)).unwrap_or(0.0);
        1.0 - (1.0 - self.loss) * (1.0 - between)
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

    /// Whether a peer is up.
    pub(crate) fn is_up(&self, peer: u32, now: Instant) -> bool {
        match &self.sessions {
            Some(sessions) => sessions.is_up(peer, now),
            None => self.facts[peer as usize].start <= now,
        }
    }

    /// Whether a peer has been up for so long.
    pub(crate) fn was_up_for(&self, peer: u32, time: Duration, now: Instant) -> bool {
        let from = Instant::from_nanos(now.as_nanos().saturating_sub(time.as_nanos()));
        match &self.sessions {
            Some(sessions) => sessions.is_up_throughout(peer, from, now),
            None => self.facts[peer as usize].start <= from,
        }
    }

    /// Whether a peer that is up at `published` stays long enough that a message counts for it.
    #[inline]
    pub(crate) fn stays_after(&self, peer: u32, published: Instant) -> bool {
        let Some(sessions) = &self.sessions else { return true };
        sessions.is_up_throughout(peer, published, published + self.stay)
    }

    /// The last session that has begun, of a peer with churn, and the one after it.
    pub(crate) fn sessions_at(&self, peer: u32, now: Instant) -> (Option<Session>, Option<Session>) {
        let Some(sessions) = &self.sessions else { return (None, None) };
        let sessions = sessions.of(peer);
        let (begun, to_come) = sessions.split_at(sessions.partition_point(|session| session.up <= now));
        (begun.last().copied(), to_come.first().copied())
    }

    /// Whether a peer that comes back still has what was on its disk.
    pub(crate) fn keeps_state(&self, peer: u32) -> bool {
        self.keeps_state[usize::from(self.facts[peer as usize].group)]
    }

    /// A peer's own line to the network.
    #[inline]
    pub(crate) fn lines(&self, peer: u32) -> Lines {
        self.lines.get(peer as usize).copied().unwrap_or_default()
    }

    /// How `from` reaches `to` by calling it; `None` if it cannot. What `to` answers takes the same way back.
    #[inline]
    pub(crate) fn path(&self, from: u32, to: u32, now: Instant) -> Option<Path> {
        let direct = Path { latency: self.latency_between(from, to), relay: None };
        if self.facts[to as usize].reachable {
            return Some(direct);
        }
        let relay = self.relays[to as usize].filter(|relay| self.is_up(*relay, now))?;
        let pair = u64::from(from.min(to)) << 32 | u64::from(from.max(to));
        if unit(philox([pair, 0], self.keys.punching)[0]) < self.hole_punching {
            return Some(direct);
        }
        let around = self.latency_between(from, relay) + self.latency_between(relay, to);
        Some(Path { latency: around.min(LATENCY_MAX), relay: Some(relay) })
    }

    /// Some honest servers of the DHT that are up, for a peer that comes up: whoever keeps such a list is honest.
    pub(crate) fn some_servers(&self, draws: &mut Stream, own: u32, now: Instant) -> Vec<u32> {
        let servers = self.dht.servers();
        let mut chosen = Vec::new();
        // In vain when hardly anybody is up: then there is hardly a network to join.
        for _ in 0..20 * self.bootstrap_peers {
            if chosen.len() >= self.bootstrap_peers as usize || servers.is_empty() {
                break;
            }
            let server = servers[draws.below(servers.len() as u64) as usize];
            let fit = self.facts[server as usize].honest && self.is_up(server, now);
            if fit && server != own && !chosen.contains(&server) {
                chosen.push(server);
            }
        }
        chosen
    }

    /// Whether what came out of a query that ended now after `took` is right.
    pub(crate) fn judge(
        &self,
        own: u32,
        token: u32,
        outcome: &kad::Outcome<u32>,
        now: Instant,
        took: Duration,
    ) -> QueryEnd {
        let there = |peer: u32| self.was_up_for(peer, took, now);
        match outcome {
            kad::Outcome::Nodes(found) => {
                let key = self.schedule.queries.key(token);
                let honest = |peer: &u32| self.facts[*peer as usize].honest;
                let mut nearest = self.dht.nearest(key.place()).filter(honest);
                match nearest.find(|peer| *peer != own && there(*peer)) {
                    Some(best) => QueryEnd::judged(found.contains(&best)),
                    None => QueryEnd::Moot,
                }
            }
            kad::Outcome::Providers(found) => {
                let providers = self.schedule.queries.providers(token);
                match providers.iter().any(|peer| there(*peer)) {
                    true => QueryEnd::judged(providers.iter().any(|p| found.contains(p) && there(*p))),
                    false => QueryEnd::Moot,
                }
            }
            kad::Outcome::Value(found) => QueryEnd::judged(found.is_some()),
            kad::Outcome::Stored { confirmed, .. } => QueryEnd::Stored(*confirmed as u64),
            kad::Outcome::Provided { sent } => QueryEnd::Stored(*sent as u64),
        }
    }

    /// Where in the message table the `made`-th message goes that a peer makes by itself in an interval of heartbeats.
    pub(crate) fn own_index(&self, peer: u32, interval: u32, made: u32) -> Option<u32> {
        self.schedule.own_index(peer, interval, made)
    }

    /// Files a message that a machine made; `None` if it is too long or nested too deep for an envelope.
    pub(crate) fn seal(&self, index: u32, unsealed: &Unsealed<'_, u32>) -> Option<SimMessage> {
        let bytes = if self.messages.signs() {
            let d: serde_json::Value = serde_json::from_str(unsealed.d).ok()?;
            let topic = self.messages.topic_name(unsealed.topic);
            let keypair = self.keypair(unsealed.own);
            let dialect = envelope::Dialect::default();
            envelope::sign(&keypair, topic, unsealed.unix, unsealed.nonce, &d, &dialect).ok()?
        } else {
            unsealed.d.as_bytes().to_vec()
        };
        let bytes = bytes.into_boxed_slice();
        Some(self.messages.store_at(index, unsealed.own, unsealed.topic, unsealed.now, bytes))
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
