//! What the network does to frames, seen from the outside: cost, loss, partitions, late groups, Sybils.

use hyperspace_protocol::gossip::{Config, Version};
use hyperspace_protocol::time::Duration;
use hyperspace_sim::report::Report;
use hyperspace_sim::scenario::{
    Action, Behaviour, Cost, Group, Latency, LinkKind, Scenario, Side, Topology, Workload,
};
use hyperspace_sim::{RunOptions, Simulation};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Two peers 10 ms apart that flood 100 bare messages a second to each other from second 1 to 11, measured to second 15.
fn pair() -> Scenario {
    let mut s = Scenario::example();
    s.groups[0].count = 2;
    s.run.duration = Duration::from_secs(20);
    s.run.warmup = Duration::from_secs(1);
    s.network.topology = Topology::Ring(1);
    s.network.latency = Latency::Constant(ms(10));
    s.network.latency_min = ms(10);
    s.network.jitter = 0.0;
    s.envelopes = false;
    s.gossip = Config {
        static_mesh: true,
        heartbeat_interval: Duration::ZERO,
        version: Version::V1_0,
        ..Config::spec()
    };
    let Workload::Publish { interval, start, stop, .. } = &mut s.workloads[0] else { unreachable!() };
    (*interval, *start, *stop) = (ms(10), Duration::from_secs(1), Duration::from_secs(11));
    s
}

fn run(scenario: &Scenario) -> Report {
    let simulation = Simulation::new(scenario, &RunOptions::default()).expect("a valid scenario");
    simulation.run(&mut |_| {}).expect("no invariant breaks").report
}

fn cut(at: u64, length: u64) -> Action {
    Action::Partition { at: ms(at), length: ms(length), a: Side::Share(0.5), b: Side::Rest, one_way: false }
}

#[test]
fn a_quiet_link_takes_its_latency_and_nothing_else() {
    let report = run(&pair());
    assert_eq!((report.delivery.messages, report.delivery.delivered), (1_000, 2_000));
    assert_eq!((report.delivery.max_ms, report.delivery.mean_ms), (10.0, 10.0));
    assert_eq!((report.gossip.message, report.hops_max, report.duplicates_mean), (1_000, 1, 0.0));
}

#[test]
fn checking_costs_the_receiver_time_and_a_busy_receiver_queues() {
    let mut s = pair();
    s.envelopes = true;
    s.cost = Cost { frame: ms(1), verify: ms(4) };
    let report = run(&s);
    // Publishing costs nothing at the sender; the receiver takes the frame and checks it: 10 + 1 + 4.
    assert_eq!(report.delivery.ratio, 1.0);
    assert!((15.0..16.5).contains(&report.delivery.p50_ms), "{:?}", report.delivery);
    // 100 messages a second of 12 ms each are more than either peer can take.
    s.cost.verify = ms(24);
    let report = run(&s);
    assert!(report.delivery.max_ms > 1_000.0, "{:?}", report.delivery);
}

#[test]
fn a_loss_on_a_stream_is_a_delay_and_what_follows_waits_behind_it() {
    let mut s = pair();
    s.network.loss = 0.05;
    let report = run(&s);
    assert_eq!(report.delivery.ratio, 1.0);
    let lost = report.counts["net_retransmitted"];
    // Binomial(1,000, 5 %) and the retransmissions' own losses: mean 53, sd 7.
    assert!((32..74).contains(&lost), "{lost}");
    assert!(report.delivery.max_ms >= 210.0);
    // One loss in 20 holds up 20 messages for 200 ms: far more of them are late than were lost.
    assert!(report.latency_count(20, 10_000) > 4 * lost, "{}", report.latency_count(20, 10_000));
}

#[test]
fn a_loss_on_a_datagram_link_is_a_loss() {
    let mut s = pair();
    s.network.link = LinkKind::Datagram;
    s.network.loss = 0.3;
    let report = run(&s);
    let arrived = report.delivery.delivered - 1_000;
    assert_eq!(arrived + report.counts["net_lost"], 1_000);
    // Binomial(1,000, 70 %): sd 14.5.
    assert!((640..760).contains(&arrived), "{arrived}");
    assert_eq!(report.delivery.max_ms, 10.0);
}

#[test]
fn a_short_cut_holds_back_what_a_stream_carries_and_loses_what_datagrams_do() {
    let mut s = pair();
    s.timeline = vec![cut(5_000, 500)];
    let stream = run(&s);
    assert_eq!(stream.delivery.ratio, 1.0);
    assert_eq!(stream.delivery.max_ms, 510.0);
    assert_eq!(stream.latency_count(20, 1_000), 50, "those sent from 5.00 s to 5.49 s");
    s.network.link = LinkKind::Datagram;
    let datagram = run(&s);
    assert_eq!(datagram.counts["net_lost"], 50);
    assert_eq!(datagram.delivery.delivered, 2_000 - 50);
}

#[test]
fn a_full_queue_drops_what_comes_on_top() {
    let mut s = pair();
    s.timeline = vec![cut(5_000, 500)];
    s.network.queue_max = 10;
    let report = run(&s);
    // Both directions have a queue of their own; 50 messages come in all.
    assert_eq!(report.counts["net_queue_overflow"], 50 - 20);
    assert_eq!(report.delivery.delivered, 2_000 - 30);
}

#[test]
fn a_long_cut_breaks_the_connection_and_the_dialler_comes_back_after_it() {
    let mut s = pair();
    s.network.stream_timeout = ms(1_000);
    s.network.redial = ms(500);
    s.timeline = vec![cut(5_000, 3_000)];
    let report = run(&s);
    assert_eq!(report.counts["net_disconnected"], 2, "one per end");
    assert_eq!(report.counts["net_dialled"], 1);
    let missed = 2_000 - report.delivery.delivered;
    // From 5 s to the redial, 8 s to 8.5 s and one round trip.
    assert!((300..=352).contains(&missed), "{missed}");
    assert_eq!(report.delivery.max_ms, 10.0, "what the broken connection held is gone");
}

#[test]
fn a_group_that_comes_late_is_connected_and_gets_what_is_published_from_then_on() {
    let mut s = Scenario::example();
    let late = Group { name: "late".into(), count: 30, start: Duration::from_secs(8), ..s.groups[0].clone() };
    s.groups.push(late);
    let report = run(&s);
    let Workload::Publish { start, stop, .. } = s.workloads[0] else { unreachable!() };
    assert_eq!((start, stop), (Duration::from_secs(5), Duration::from_secs(15)));
    // 30 messages before the late group is up, 70 after.
    assert_eq!(report.delivery.expected, 30 * 100 + 70 * 130);
    assert!(report.counts["net_dialled"] > 250, "ten links each, less those twice or within the group");
    assert!(report.delivery.ratio > 0.99, "{:?}", report.delivery);
}

#[test]
fn sybils_fill_the_places_they_are_offered_and_forward_nothing() {
    let mut s = Scenario::example();
    s.gossip.version = Version::V1_0;
    let sybil = Group {
        name: "sybil".into(),
        count: 200,
        behaviour: Behaviour::SybilFlood,
        dials: 20,
        ..s.groups[0].clone()
    };
    let clean = run(&s);
    s.groups.push(sybil);
    let report = run(&s);
    assert!(report.mesh.sybil_share > 0.5, "{:?}", report.mesh);
    assert_eq!(clean.mesh.sybil_share, 0.0);
    // Every copy that reaches an honest peer was sent by one.
    assert!(report.duplicates_mean < clean.duplicates_mean);
    assert!(report.delivery.p50_ms > 2.0 * clean.delivery.p50_ms);
}

/// A peer that has forgotten a message takes it for new again: counted, and no delivery counts twice.
#[test]
fn what_comes_again_after_the_seen_ttl_is_counted_but_not_as_a_delivery() {
    let mut s = Scenario::example();
    s.gossip.seen_ttl = ms(800);
    let report = run(&s);
    assert_eq!((report.delivery.ratio, report.delivery.delivered), (1.0, 10_000));
    assert!(report.counts["redelivered"] > 0);
    assert_eq!(run(&Scenario::example()).counts["redelivered"], 0);
}

/// Drops count from the warmup on, as frames do.
#[test]
fn what_machines_drop_counts_from_the_warmup_on() {
    let mut s = Scenario::example();
    s.groups[0].count = 300;
    let late = run(&s);
    s.run.warmup = Duration::ZERO;
    let whole = run(&s);
    assert!(whole.gossip.graft > late.gossip.graft);
    assert!(whole.counts["duplicate"] >= late.counts["duplicate"]);
    assert_eq!(late.counts["graft_refused"], 0);
    assert!(whole.counts["graft_refused"] > 0);
}
