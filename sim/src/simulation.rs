//! A whole run: set-up, the timeline, the checks that always run, and the report.

use std::collections::VecDeque;
use std::sync::Arc;

use hyperspace_protocol::machine::PeerRef;
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::{Duration, Instant};

use crate::adversary;
use crate::digest::{DigestLog, Digests, Probed};
use crate::engine::{Engine, Oracle, Windows};
use crate::event::{Event, Payload, mix};
use crate::host::{Actor, Host, Subject};
use crate::lane::{Broken, LANE, Lane};
use crate::link::{LinkState, Path};
use crate::look;
use crate::message::{MessageTable, SimMessage};
use crate::net::{Edge, edges, sample_distinct};
use crate::report::{Report, RingReport};
use crate::scenario::{DhtStart, Scenario, Workload};
use crate::services::Lent;
use crate::shared::Shared;
use crate::summary::{Snapshot, summarise};
use crate::tally::{NetCount, Tally};
use crate::trace::{Sample, Trace, TraceLog};
use crate::{EngineKind, RunOptions};

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time.
    pub now: Duration,
    /// Virtual time at which it ends.
    pub end: Duration,
    /// Events so far.
    pub events: u64,
    /// First deliveries over the network so far.
    pub delivered: u64,
}

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The measurements.
    pub report: Report,
    /// What to compare with another run.
    pub digests: Digests,
    /// What [`RunOptions::probe`] saw.
    pub probed: Probed,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The scenario or the options cannot be run.
    #[error("{0}")]
    Invalid(String),
    /// Something happened that never may: a bug in a machine or in the simulator.
    #[error("invariant broken at {} s{}: {what}", .at.as_secs_f64(), .peer.map_or(String::new(), |p| format!(", peer {p}")))]
    Invariant {
        /// Virtual time.
        at: Duration,
        /// Where, if at one peer.
        peer: Option<u32>,
        /// What.
        what: String,
    },
}

impl From<Broken> for RunError {
    fn from(broken: Broken) -> Self {
        Self::Invariant { at: broken.at.since(Instant::ZERO), peer: Some(broken.peer), what: broken.what }
    }
}

/// Something the world does at a fixed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WorldAction {
    /// The groups whose start this is come up.
    Start,
    /// Links cut for too long are closed.
    CloseCut,
    /// Tables and cards are looked at.
    Look,
}

/// A world that is set up and ready to run.
pub struct Simulation<P: Subject = Peer<SimMessage>> {
    shared: Shared,
    engine: Box<dyn Engine<P>>,
    groups: Vec<(Instant, std::ops::Range<u32>)>,
    actions: VecDeque<(Instant, WorldAction)>,
    topology: Vec<Edge>,
    dials: Vec<Edge>,
    scenario: Scenario,
    world_seq: u32,
}

impl Simulation {
    /// Builds the world of a scenario with the honest protocol.
    ///
    /// # Errors
    /// [`RunError::Invalid`] for a scenario that [`Scenario::check`] refuses.
    pub fn new(scenario: &Scenario, options: &RunOptions) -> Result<Self, RunError> {
        Self::with_machine(scenario, options, |_, _| Peer::default())
    }
}

impl<P: Subject + 'static> Simulation<P> {
    /// Builds the world of a scenario with a machine of the caller's at every honest peer. `machine` gets the peer's
    /// number and the table of all messages, for machines that make messages of their own.
    ///
    /// # Errors
    /// [`RunError::Invalid`] for a scenario that [`Scenario::check`] refuses.
    pub fn with_machine(
        scenario: &Scenario,
        options: &RunOptions,
        mut machine: impl FnMut(u32, &Arc<MessageTable>) -> P,
    ) -> Result<Self, RunError> {
        scenario.check().map_err(RunError::Invalid)?;
        if options.threads == 0 {
            return Err(RunError::Invalid("a run needs at least 1 thread, got 0".into()));
        }
        if options.trace_every == Some(0) {
            return Err(RunError::Invalid("a trace is of every 1st peer or fewer, got every 0th".into()));
        }
        let (topology, dials) = connections(scenario);
        let shared = Shared::new(scenario, options, &topology);
        let crews = adversary::crews(scenario, &shared);
        let adversary = |peer: u32| {
            let group = usize::from(shared.facts[peer as usize].group);
            adversary::build(scenario.groups[group].behaviour, &crews[group])
        };
        let sample = options.trace_every.map_or_else(Sample::default, |n| Sample::every(n, shared.peers()));
        let mut lanes = Vec::new();
        for base in (0..shared.peers()).step_by(LANE as usize) {
            let peers = base..shared.peers().min(base + LANE);
            let hosts = peers.map(|p| {
                Host::new(match adversary(p) {
                    Some(adversary) => Actor::Adversary(adversary),
                    None => Actor::Honest(machine(p, &shared.messages)),
                })
            });
            let log = DigestLog::new(base / LANE, base, options.probe);
            let trace = TraceLog::new(&sample, base, LANE);
            lanes.push(Lane::new(base, hosts.collect(), &shared.schedule, log, trace));
        }
        let horizon = horizon(scenario, &topology);
        let engine: Box<dyn Engine<P>> = match options.engine {
            EngineKind::Window => Box::new(Windows::new(&shared, lanes, options.threads, horizon)),
            EngineKind::Oracle => Box::new(Oracle::new(&shared, lanes)),
        };
        let mut simulation = Self {
            world_seq: shared.schedule.events() as u32,
            groups: groups(scenario),
            actions: actions(scenario, &shared),
            shared,
            engine,
            topology,
            dials,
            scenario: scenario.clone(),
        };
        simulation.schedule_workloads();
        simulation.act_until(Instant::ZERO);
        Ok(simulation)
    }

    /// Runs to the end. `progress` is called now and then.
    ///
    /// # Errors
    /// [`RunError::Invariant`] if something happened that never may.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, RunError> {
        let now = self.advance(progress)?;
        self.finish(now)
    }

    /// As [`Self::run`], with what happened at the peers that [`RunOptions::trace_every`] picks.
    ///
    /// # Errors
    /// [`RunError::Invariant`] if something happened that never may.
    pub fn run_traced(mut self, progress: &mut dyn FnMut(Progress)) -> Result<(Outcome, Trace), RunError> {
        let now = self.advance(progress)?;
        let mut logs = Vec::new();
        self.engine.each_lane(&mut |lane, _| logs.push(std::mem::take(&mut lane.trace)));
        let scheduled = self.shared.schedule.reserved();
        let trace = Trace { logs, messages: Arc::clone(&self.shared.messages), scheduled };
        Ok((self.finish(now)?, trace))
    }

    /// Runs to the end and says when that was.
    fn advance(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Instant, RunError> {
        let end = self.shared.end;
        let mut tick = |now: Instant, events, delivered| {
            progress(Progress {
                now: now.since(Instant::ZERO),
                end: end.since(Instant::ZERO),
                events,
                delivered,
            });
        };
        // With `until_idle`, looks once per step whether anything is left.
        let step = if self.scenario.run.until_idle { Duration::from_millis(100) } else { Duration::MAX };
        let mut now = Instant::ZERO;
        while now < end {
            let action = self.actions.front().map_or(end, |(at, _)| *at);
            let next = action.min(end).min(now + step);
            self.engine.advance(&self.shared, next, &mut tick);
            now = next;
            self.act_until(now);
            if self.scenario.run.until_idle && self.actions.is_empty() && self.engine.pending() == 0 {
                break;
            }
            self.check_broken()?;
        }
        Ok(now)
    }

    fn check_broken(&mut self) -> Result<(), RunError> {
        let mut broken: Option<Broken> = None;
        self.engine.each_lane(&mut |lane, _| {
            if let Some(b) = &lane.broken
                && broken.as_ref().is_none_or(|first| (b.at, b.peer) < (first.at, first.peer))
            {
                broken = Some(b.clone());
            }
        });
        broken.map_or(Ok(()), |b| Err(b.into()))
    }

    fn finish(mut self, now: Instant) -> Result<Outcome, RunError> {
        self.check_broken()?;
        let mut tally = Tally::new(self.shared.schedule.publishes.len());
        let (mut logs, mut finals, mut snapshot) = (Vec::new(), Vec::new(), Snapshot::default());
        let mut numbered = u64::from(self.world_seq);
        let mut probed = Probed::default();
        let shared = &self.shared;
        self.engine.each_lane(&mut |lane, _| {
            tally.merge(&lane.tally);
            numbered += lane.hosts.iter().map(|host| u64::from(host.numbered())).sum::<u64>();
            finals.push(final_digest(shared, lane));
            snapshot.look(shared, lane);
            probed.peers.append(&mut lane.digests.probed.peers);
            probed.events.append(&mut lane.digests.probed.events);
            logs.push(std::mem::take(&mut lane.digests.epochs));
        });
        let length = logs.iter().map(Vec::len).max().unwrap_or(0);
        let block = |log: &Vec<u64>, epoch: usize| log.get(epoch).copied().unwrap_or(0);
        let epochs = (0..length).map(|e| logs.iter().map(|log| block(log, e)).collect()).collect();
        let ring = self.ring(now);
        if let (Some(ring), Some(first)) = (&ring, finals.first_mut()) {
            *first = first.wrapping_add(mix(ring.moved ^ ring.share_cv.to_bits() ^ ring.keys_cv.to_bits()));
        }
        let digests = Digests::new(epochs, finals);
        let report = summarise(&self.shared, &self.groups, &tally, &snapshot, &digests, ring, now);
        let broken = |what| Err(RunError::Invariant { at: now.since(Instant::ZERO), peer: None, what });
        let (delivered, expected) = (report.delivery.delivered, report.delivery.expected);
        if delivered > expected {
            return broken(format!("{delivered} first deliveries where {expected} were possible"));
        }
        // Within the time for which messages are remembered, no peer may take one for new twice.
        let redelivered = tally.network[NetCount::Redelivered as usize];
        if redelivered > 0 && now < Instant::ZERO + self.shared.config.gossip.seen_ttl {
            return broken(format!("{redelivered} messages were delivered twice to one peer"));
        }
        // Nothing appears from nowhere and nothing vanishes.
        let lost = tally.network[NetCount::Lost as usize];
        let found = tally.events - tally.timers + lost + self.engine.pending() as u64;
        if numbered != found {
            return broken(format!("{numbered} events were sent, {found} were taken, lost or under way"));
        }
        Ok(Outcome { report, digests, probed })
    }

    /// What became of the keys on the hash ring, if a workload places some.
    fn ring(&self, now: Instant) -> Option<RingReport> {
        let shared = &self.shared;
        let workload = self.scenario.workloads.iter().find_map(|workload| match workload {
            Workload::Ring(ring) => Some(ring),
            Workload::Publish { .. }
            | Workload::G8 { .. }
            | Workload::Lookups(_)
            | Workload::Records(_)
            | Workload::Cards(_)
            | Workload::Call(_) => None,
        })?;
        let peers = self.groups[workload.group as usize].1.clone();
        Some(crate::workload::ring(workload, peers, shared.messages.ids(), shared.sessions.as_ref(), now))
    }

    fn schedule_workloads(&mut self) {
        let schedule = &self.shared.schedule;
        let publishes = schedule.publishes.iter().enumerate();
        let publishes = publishes.map(|(index, p)| (p.at, p.peer, Payload::Publish(index as u32)));
        let queries = schedule.queries.planned.iter().enumerate();
        let queries = queries.map(|(index, q)| (q.at, q.peer, Payload::Query(index as u32)));
        let calls = schedule.calls.iter().flat_map(|calls| &calls.planned).enumerate();
        let calls = calls.map(|(index, c)| (c.at, c.peer, Payload::Call(index as u32)));
        let numbered = publishes.chain(queries).chain(calls).enumerate();
        let events = numbered
            .map(|(seq, (at, peer, payload))| Lane::<P>::world_event(at, peer, seq as u32, payload))
            .collect();
        self.engine.schedule(events);
    }

    /// Does what the world does up to and including `now`.
    fn act_until(&mut self, now: Instant) {
        while let Some(&(at, action)) = self.actions.front().filter(|(at, _)| *at <= now) {
            self.actions.pop_front();
            match action {
                WorldAction::Start => self.start(at),
                WorldAction::CloseCut => {
                    let shared = &self.shared;
                    self.engine.each_lane(&mut |lane, sink| lane.close_cut(shared, at, sink));
                }
                WorldAction::Look => {
                    let shared = &self.shared;
                    self.engine.each_lane(&mut |lane, _| lane.sample(shared, at));
                }
            }
        }
    }

    /// Everybody whose start this is comes up: machines start and subscribe, links among peers that start together are
    /// there at once, and links to peers that are up already are dialled.
    fn start(&mut self, at: Instant) {
        self.each_starting(at, |shared, lane, local, sink| {
            if shared.is_up(lane.base + local as u32, at) {
                lane.come_up(shared, local, at, sink);
            } else {
                lane.await_session(shared, local, at, sink);
            }
        });
        let shared = &self.shared;
        let starts = |peer: u32| shared.facts[peer as usize].start;
        let both = |e: &Edge| (starts(e.from), starts(e.to));
        // Whoever is down now dials for itself when it comes up.
        let there = |e: &Edge| shared.is_up(e.from, at);
        let reachable = |e: &Edge| shared.is_up(e.to, at) && shared.path(e.from, e.to, at).is_some();
        let now = |e: &&Edge| both(e) == (at, at) && there(e);
        let late = |e: &&Edge| both(e).0 != both(e).1 && both(e).0.max(both(e).1) == at && there(e);
        let (ready, missed): (Vec<Edge>, Vec<Edge>) =
            self.topology.iter().filter(now).copied().partition(reachable);
        let mut orders: Vec<Edge> = self.topology.iter().filter(late).copied().collect();
        orders.extend(missed);
        orders.extend(self.dials.iter().filter(|e| starts(e.from) == at));
        self.connect(at, &ready);
        self.order_dials(at, &orders);
        // Whoever follows somebody dials it, so only now that links have their slots.
        self.each_starting(at, |shared, lane, local, sink| {
            if lane.hosts[local].is_up() {
                lane.announce(shared, local, at, sink);
            }
        });
        self.start_dht(at);
    }

    /// Calls `each` for every peer whose group starts now.
    fn each_starting(
        &mut self,
        at: Instant,
        mut each: impl FnMut(&Shared, &mut Lane<P>, usize, &mut Vec<Event>),
    ) {
        let shared = &self.shared;
        self.engine.each_lane(&mut |lane, sink| {
            for local in 0..lane.hosts.len() {
                if shared.facts[lane.base as usize + local].start == at {
                    each(shared, lane, local, sink);
                }
            }
        });
    }

    /// The routing tables of those who came up now.
    fn start_dht(&mut self, at: Instant) {
        let Some(dht) = self.scenario.dht.clone() else { return };
        let perfect = dht.start == DhtStart::Perfect && at == Instant::ZERO;
        let shared = &self.shared;
        let places = perfect.then(|| shared.dht.only(|peer| shared.is_up(peer, at)));
        let key = purpose_key(self.scenario.run.seed, "tables");
        self.each_starting(at, |shared, lane, local, sink| {
            if !lane.hosts[local].is_up() {
                return;
            }
            let Some(places) = &places else {
                return lane.bootstrap(shared, local, at, sink);
            };
            let own = lane.base + local as u32;
            if let Actor::Honest(machine) = &mut lane.hosts[local].actor
                && let Some(kad) = machine.dht_mut()
            {
                let draws = &mut Stream::new(key, own.into());
                places.fill(own, kad.table_mut(), &dht.config, &Lent::new(shared), draws);
            }
        });
    }

    fn order_dials(&mut self, at: Instant, orders: &[Edge]) {
        let mut events = Vec::with_capacity(orders.len());
        for edge in orders {
            events.push(Lane::<P>::world_event(at, edge.from, self.world_seq, Payload::DialOrder(edge.to)));
            self.world_seq += 1;
        }
        self.engine.schedule(events);
    }

    /// Makes links between peers that have none yet, without a handshake.
    fn connect(&mut self, at: Instant, links: &[Edge]) {
        let mut ends: Vec<(u32, u32, bool, Path)> = Vec::with_capacity(2 * links.len());
        for edge in links {
            let path = match edge.latency {
                Some(latency) => Path { latency, relay: None },
                None => self.shared.path(edge.from, edge.to, at).expect("only reachable peers are linked"),
            };
            ends.push((edge.from, edge.to, true, path));
            ends.push((edge.to, edge.from, false, path));
        }
        // An end's slot is its place among its owner's ends, so both sides know both slots beforehand.
        ends.sort_by_key(|(owner, peer, ..)| (*owner, *peer));
        let mut first = vec![0; self.shared.peers() as usize + 1];
        for (owner, ..) in &ends {
            first[*owner as usize + 1] += 1;
        }
        for peer in 1..first.len() {
            first[peer] += first[peer - 1];
        }
        let ends_of = |owner: u32| &ends[first[owner as usize]..first[owner as usize + 1]];
        let shared = &self.shared;
        self.engine.each_lane(&mut |lane, _| {
            for local in 0..lane.hosts.len() {
                let own = lane.base + local as u32;
                for (place, (_, peer, outbound, path)) in ends_of(own).iter().enumerate() {
                    let slot = lane.allocate(local, *peer, *path, *outbound);
                    let slot = slot.expect("degrees are checked to fit 16 bits");
                    assert_eq!(usize::from(slot), place, "a peer has no links before its first");
                    let back = ends_of(*peer).binary_search_by_key(&own, |(_, p, ..)| *p);
                    let link = &mut lane.hosts[local].links[slot as usize];
                    link.state = LinkState::Open;
                    link.back = (back.expect("a link has two ends") as u16, 0);
                }
            }
        });
        self.engine.each_lane(&mut |lane, sink| {
            for local in 0..lane.hosts.len() {
                let own = lane.base + local as u32;
                for (slot, (_, peer, outbound, _)) in ends_of(own).iter().enumerate() {
                    let connected = Lane::<P>::connected(shared, PeerRef(slot as u32), *peer, *outbound);
                    lane.input(shared, local, at, connected, sink);
                }
            }
        });
    }
}

fn groups(scenario: &Scenario) -> Vec<(Instant, std::ops::Range<u32>)> {
    let groups = scenario.groups.iter().zip(0..);
    groups.map(|(group, index)| (Instant::ZERO + group.start, scenario.peers_of(index))).collect()
}

fn actions(scenario: &Scenario, shared: &Shared) -> VecDeque<(Instant, WorldAction)> {
    let mut actions: Vec<_> =
        scenario.groups.iter().map(|g| (Instant::ZERO + g.start, WorldAction::Start)).collect();
    if shared.link == crate::scenario::LinkKind::Stream {
        let cuts = shared.partitions.starts().map(|at| (at + shared.stream_timeout, WorldAction::CloseCut));
        actions.extend(cuts);
    }
    if scenario.groups.iter().any(|g| g.churn.is_some()) || shared.schedule.cards.is_some() {
        let (mut at, end) = (shared.warmup + look::EVERY, shared.end);
        while at < end {
            actions.push((at, WorldAction::Look));
            at += look::EVERY;
        }
    }
    actions.sort();
    actions.dedup();
    actions.into()
}

/// The links of the topology, among groups without `dials`, and those that the other groups dial.
fn connections(scenario: &Scenario) -> (Vec<Edge>, Vec<Edge>) {
    let members = scenario.members();
    let key = purpose_key(scenario.run.seed, "dials");
    let mut dials = Vec::new();
    for g in (0..scenario.groups.len()).filter(|g| scenario.groups[*g].dials > 0) {
        for peer in scenario.peers_of(g as u32) {
            let mut stream = Stream::new(key, peer.into());
            let targets = sample_distinct(&mut stream, members.len() as u32, scenario.groups[g].dials, None);
            let edge = |t: u32| Edge { from: peer, to: members[t as usize], latency: None };
            dials.extend(targets.into_iter().map(edge));
        }
    }
    (edges(&scenario.network.topology, &members, scenario.run.seed), dials)
}

/// About how many links a scenario has.
pub(crate) fn expected_links(scenario: &Scenario) -> u64 {
    use crate::scenario::Topology;
    let members: u64 = scenario.groups.iter().filter(|g| g.dials == 0).map(|g| u64::from(g.count)).sum();
    let dialled: u64 = scenario.groups.iter().map(|g| u64::from(g.count) * u64::from(g.dials)).sum();
    dialled
        + match &scenario.network.topology {
            Topology::KOut(k) | Topology::Ring(k) | Topology::SmallWorld(k, _) | Topology::ScaleFree(k) => {
                members * u64::from(*k)
            }
            Topology::None => 0,
            Topology::G8 => members * 4,
            Topology::Edges(edges) => edges.len() as u64,
        }
}

/// How far ahead events usually lie: the longest latency with jitter.
fn horizon(scenario: &Scenario, topology: &[Edge]) -> Duration {
    use crate::scenario::Latency;
    let longest = match &scenario.network.latency {
        Latency::Constant(d) | Latency::Uniform(_, d) => *d,
        Latency::Regions(table) => table.longest(),
        Latency::Topology => topology.iter().filter_map(|e| e.latency).max().unwrap_or_default(),
    };
    longest + Duration::from_nanos((longest.as_nanos() as f64 * scenario.network.jitter) as u64)
}

/// A lane's state at the end: who is in whose mesh, at what score, what tables, stores, cards and records hold, how many
/// random numbers were drawn, and what calls came to.
fn final_digest<P: Subject>(shared: &Shared, lane: &Lane<P>) -> u64 {
    let mut sum = 0u64;
    for (local, host) in lane.hosts.iter().enumerate() {
        let mut digest = mix(u64::from(lane.base + local as u32) ^ host.fingerprint());
        if let Actor::Honest(machine) = &host.actor {
            for topic in shared.schedule.topics().chain(shared.schedule.agent_topics()) {
                for peer in machine.mesh(topic) {
                    digest = mix(digest ^ u64::from(host.links[peer.0 as usize].peer));
                }
            }
            machine.scores(&shared.config, &mut |peer, score| {
                digest = mix(digest ^ u64::from(peer.0) ^ score.to_bits());
            });
            if let Some(kad) = machine.dht() {
                let contacts = kad.table().buckets().flat_map(|bucket| bucket.contacts);
                digest = contacts.fold(digest, |h, contact| mix(h ^ u64::from(*contact)));
                digest = mix(digest ^ kad.records().map_or(0, |r| r.bytes() as u64) << 32);
                digest = mix(digest ^ kad.providers().map_or(0, |p| p.len() as u64) << 32);
            }
            if let Some(cards) = machine.cards() {
                digest = mix(digest ^ cards.tracker().store().len() as u64);
            }
        }
        sum = sum.wrapping_add(host.records.digest(digest));
    }
    let counts = lane.tally.counters.named().fold(0, |h, (_, n)| mix(h ^ n));
    let queries = mix(lane.tally.queries.hops_sum ^ lane.tally.queries.right << 32);
    sum.wrapping_add(counts)
        .wrapping_add(lane.tally.calls.answers)
        .wrapping_add(queries)
        .wrapping_add(mix(lane.tally.sum_t ^ lane.tally.arrivals << 32))
}
