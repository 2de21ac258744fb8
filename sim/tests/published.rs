//! Results that others published, reproduced. Row names are those of the calibration table in CONTRIBUTING.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperspace_protocol::gossip::{Config, Frame, Version};
use hyperspace_protocol::machine::{Context, Input, Machine, Output, PeerRef, TopicRef};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::time::{Duration, Instant};
use hyperspace_sim::message::SimMessage;
use hyperspace_sim::report::Report;
use hyperspace_sim::scenario::{Latency, Scenario, Topology, Workload};
use hyperspace_sim::{RunOptions, Simulation, Subject};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn fixed_mesh() -> Config {
    Config {
        static_mesh: true,
        heartbeat_interval: Duration::ZERO,
        forward_to_author: true,
        version: Version::V1_0,
        ..Config::spec()
    }
}

fn run(scenario: &Scenario) -> Report {
    let simulation = Simulation::new(scenario, &RunOptions::default()).expect("a valid scenario");
    simulation.run(&mut |_| {}).expect("no invariant breaks").report
}

/// A4: with immediate forwarding to all mesh peers but the source, a broadcast over E links costs 2E - (N - 1)
/// transmissions.
#[test]
fn a_broadcast_over_a_fixed_mesh_costs_two_e_minus_n_minus_one() {
    let mut s = Scenario::example();
    s.gossip = fixed_mesh();
    for topology in [Topology::KOut(4), Topology::Ring(1), Topology::Ring(3)] {
        s.network.topology = topology;
        let report = run(&s);
        let links = (report.mesh.degree_mean * 100.0 / 2.0).round() as u64;
        let messages = report.delivery.messages;
        assert_eq!(report.delivery.ratio, 1.0);
        assert_eq!(report.gossip.message, messages * (2 * links - 99), "{:?}", s.network.topology);
    }
}

/// Counts the ids that a peer is asked for, and the messages that reach it first from outside its mesh.
struct Counting(Peer<SimMessage>, Arc<[AtomicU64; 2]>);

impl Machine for Counting {
    type Message = SimMessage;
    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        let mut outside = false;
        if let Input::Frame { from, frame } = &input {
            if let Frame::Iwant(ids) = frame {
                self.1[0].fetch_add(ids.len() as u64, Ordering::Relaxed);
            }
            outside = !self.0.mesh(TopicRef(0)).contains(from);
        }
        self.0.handle_input(cx, input);
        if outside && cx.out.iter().any(|o| matches!(o, Output::Deliver { .. })) {
            self.1[1].fetch_add(1, Ordering::Relaxed);
        }
    }
    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.0.handle_timeout(cx);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

impl Subject for Counting {
    fn mesh(&self, topic: TopicRef) -> &[PeerRef] {
        self.0.mesh(topic)
    }
}

/// A4 with a mesh that the heartbeat made: the same, plus one transmission per message asked for by IWANT. The published
/// form leaves out that a peer whose first copy is such an answer has no mesh link to spare, so it sends one copy more.
#[test]
fn answers_to_iwant_come_on_top() {
    let mut s = Scenario::example();
    s.gossip = Config { forward_to_author: true, version: Version::V1_0, ..Config::spec() };
    s.network.topology = Topology::KOut(20);
    s.run.warmup = secs(8);
    let Workload::Publish { start, .. } = &mut s.workloads[0] else { panic!("a publish workload") };
    *start = secs(8);
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let simulation = Simulation::with_machine(&s, &RunOptions::default(), |_, _| {
        Counting(Peer::default(), Arc::clone(&counts))
    });
    let report = simulation.expect("valid").run(&mut |_| {}).expect("no invariant breaks").report;
    assert_eq!((report.gossip.graft, report.gossip.prune), (0, 0), "the mesh is settled");
    let links = (report.mesh.degree_mean * 100.0 / 2.0).round() as u64;
    let [asked, outside] = [0, 1].map(|i| counts[i].load(Ordering::Relaxed));
    assert!(asked > 0 && outside > 0 && outside <= asked);
    assert_eq!(report.gossip.message, report.delivery.messages * (2 * links - 99) + asked + outside);
}

/// A14: latencies are those of the model, and jitter adds its uniform share: here 100 ms and up to 10 %.
#[test]
fn jitter_is_uniform_over_its_share_of_the_base_latency() {
    let mut s = Scenario::example();
    s.groups[0].count = 2;
    s.network.topology = Topology::Ring(1);
    s.network.latency = Latency::Constant(Duration::from_millis(100));
    s.network.jitter = 0.1;
    s.network.link = hyperspace_sim::scenario::LinkKind::Datagram;
    s.envelopes = false;
    s.gossip = fixed_mesh();
    let Workload::Publish { interval, .. } = &mut s.workloads[0] else { panic!("a publish workload") };
    *interval = Duration::from_micros(500);
    let delivery = run(&s).delivery;
    assert_eq!(delivery.messages, 20_000);
    let within = |actual: f64, published: f64| {
        assert!((actual / published - 1.0).abs() < 0.02, "{actual} for {published}");
    };
    within(delivery.p50_ms, 105.0);
    within(delivery.p90_ms, 109.0);
    within(delivery.p99_ms, 109.9);
    within(delivery.mean_ms, 105.0);
    assert!(delivery.max_ms <= 110.0);
}
