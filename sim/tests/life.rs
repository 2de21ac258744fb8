//! Peers that come and go, their lines, NATs and clocks: small worlds whose outcome is known beforehand.

use std::sync::Arc;

use hyperspace_protocol::time::Duration;
use hyperspace_sim::churn::Trace;
use hyperspace_sim::scenario::{
    Action, CardTopics, CardsWorkload, Group, GroupChurn, Latency, LinkKind, Scenario, Side, Topology,
    Workload,
};
use hyperspace_sim::{Report, RunOptions, Simulation};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const SECOND: Duration = Duration::from_secs(1);

fn run(scenario: &Scenario) -> Report {
    let simulation = Simulation::new(scenario, &RunOptions::default()).expect("a valid scenario");
    simulation.run(&mut |_| {}).expect("no invariant breaks").report
}

/// `publishers` and `others`, all linked with each other, 20 ms apart; a bare message of 10,000 bytes every second.
fn world(publishers: u32, others: u32) -> Scenario {
    let mut s = Scenario::example();
    s.run.duration = SECOND.saturating_mul(20);
    (s.run.warmup, s.run.drain) = (Duration::ZERO, SECOND.saturating_mul(2));
    s.network.latency = Latency::Constant(ms(20));
    s.network.jitter = 0.0;
    let n = publishers + others;
    s.network.topology = Topology::Edges((0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect());
    s.gossip.scores = false;
    s.gossip.idontwant_size_min = usize::MAX;
    s.envelopes = false;
    s.groups = vec![Group::new("honest", publishers)];
    if others > 0 {
        s.groups.push(Group::new("others", others));
    }
    let Workload::Publish { interval, size, start, stop, .. } = &mut s.workloads[0] else {
        panic!("publishes")
    };
    (*interval, *size) = (SECOND, 10_000);
    (*start, *stop) = (SECOND.saturating_mul(5), SECOND.saturating_mul(15));
    s
}

fn frame_bytes(report: &Report) -> f64 {
    report.bytes.message as f64 / report.gossip.message as f64
}

#[test]
fn a_line_takes_its_time_each_way() {
    let mut s = world(1, 1);
    s.groups[0].upload = 1_000_000;
    let up = run(&s);
    let expected = 20.0 + frame_bytes(&up) * 8.0 / 1e6 * 1e3;
    assert!((up.delivery.max_ms - expected).abs() < 0.01, "{} {expected}", up.delivery.max_ms);
    s.groups[1].download = 2_000_000;
    let both = run(&s);
    let expected = expected + frame_bytes(&both) * 8.0 / 2e6 * 1e3;
    assert!((both.delivery.max_ms - expected).abs() < 0.01, "{} {expected}", both.delivery.max_ms);
    assert_eq!(both.counts["net_queue_overflow"], 0);
}

#[test]
fn what_finds_a_full_line_is_dropped_and_counted() {
    let mut s = world(1, 8);
    // Eight copies of 10 kB a second are 640 kbit: half of them fit, and the queue holds the rest of six.
    s.groups[0].upload = 320_000;
    s.network.line_queue = 65_536;
    let report = run(&s);
    assert!(report.counts["net_queue_overflow"] > 10, "{:?}", report.counts);
    // The longest wait is that of a full queue.
    assert!(report.delivery.max_ms < 20.0 + (65_536.0 + 11_000.0) * 8.0 / 320.0 + 2_000.0);
}

#[test]
fn a_cut_in_one_direction_stops_that_direction_alone() {
    let cut = |from: u32| {
        let mut s = world(1, 1);
        s.network.link = LinkKind::Datagram;
        s.timeline = vec![Action::Partition {
            at: SECOND,
            length: SECOND.saturating_mul(18),
            a: Side::Group(from),
            b: Side::Rest,
            one_way: true,
        }];
        run(&s).delivery
    };
    let (there, back) = (cut(0), cut(1));
    assert_eq!((there.messages, there.delivered), (10, 10), "nobody but the publisher");
    assert_eq!((back.messages, back.delivered), (10, 20));
}

#[test]
fn a_duplicated_datagram_is_a_duplicate_and_a_reordered_one_is_late() {
    let mut s = world(1, 1);
    s.network.link = LinkKind::Datagram;
    let plain = run(&s);
    assert_eq!((plain.counts["duplicate"], plain.delivery.max_ms), (0, 20.0));
    s.network.duplicate = 1.0;
    let twice = run(&s);
    assert_eq!((twice.counts["duplicate"], twice.delivery.ratio), (10, 1.0));
    assert!(twice.counts["net_duplicated"] >= 10);
    (s.network.duplicate, s.network.reorder) = (0.0, 1.0);
    let late = run(&s);
    assert_eq!((late.delivery.max_ms, late.delivery.ratio), (40.0, 1.0));
}

/// A publisher, somebody behind a NAT whom it dials, and a relay, without a link between those two.
fn hidden() -> Scenario {
    let mut s = world(1, 1);
    s.network.topology = Topology::Edges(vec![(0, 1)]);
    s.groups[1].nat = true;
    s.groups.push(Group { relay: true, ..Group::new("relay", 1) });
    s
}

#[test]
fn behind_a_nat_a_relay_is_the_way_and_hole_punching_a_shorter_one() {
    let relayed = run(&hidden());
    assert_eq!((relayed.delivery.max_ms, relayed.delivery.delivered), (40.0, 20));
    let punched = run(&Scenario { network: punching(hidden()), ..hidden() });
    assert_eq!((punched.delivery.max_ms, punched.delivery.delivered), (20.0, 20));
    let mut none = hidden();
    none.network.relay_reservations = 0;
    none.network.redial = Duration::ZERO;
    let none = run(&none);
    assert_eq!(none.delivery.delivered, 10, "nobody but the publisher");
    assert!(none.counts["net_unreachable"] > 0);
}

fn punching(mut s: Scenario) -> hyperspace_sim::scenario::Network {
    s.network.hole_punching = 1.0;
    s.network
}

#[test]
fn a_relay_that_goes_takes_its_connections_with_it() {
    let mut s = hidden();
    s.network.stream_timeout = SECOND;
    s.groups[2].churn = Some(sessions("0,0,8.5,true"));
    let report = run(&s);
    // Published at 5 s to 14 s: those from 5 to 8 s arrive.
    assert_eq!((report.delivery.messages, report.delivery.delivered), (10, 14));
    assert!(report.counts["net_disconnected"] >= 2);
}

fn sessions(lines: &str) -> GroupChurn {
    let trace = Trace::parse(&lines.replace(' ', "\n")).expect("a trace");
    GroupChurn::Trace { trace: Arc::new(trace), keeps_state: false }
}

#[test]
fn a_message_counts_for_those_who_are_there_and_stay() {
    let mut s = world(1, 3);
    s.run.stay = SECOND.saturating_mul(2);
    // Whoever is called in vain is given up soon, and somebody else called.
    (s.network.stream_timeout, s.network.redial) = (ms(200), ms(100));
    // Peer 1 stays, peer 2 goes at 8.5 s and comes back at 11.5 s, peer 3 comes at 9.5 s and crashes at 13.5 s.
    s.groups[1].churn = Some(sessions("0,0,1000 1,0,8.5,false 1,11.5,1000 2,9.5,13.5,true"));
    let report = run(&s);
    // Published at 5, 6, ..., 14 s. Peer 2 counts for 5, 6, 12, 13, 14; peer 3 for 10, 11.
    assert_eq!((report.delivery.messages, report.delivery.expected), (10, 10 + 10 + 5 + 2));
    assert_eq!(report.delivery.ratio, 1.0);
    let churn = report.churn.expect("there is some");
    assert_eq!((churn.joined, churn.left, churn.crashed), (2, 1, 1));
}

#[test]
fn a_goodbye_is_heard_at_once_and_a_crash_after_the_timeout() {
    let disconnected = |crash: bool, duration: u64| {
        let mut s = world(1, 1);
        s.network.stream_timeout = SECOND.saturating_mul(4);
        s.network.redial = Duration::ZERO;
        s.run.duration = Duration::from_millis(duration);
        (s.run.warmup, s.run.drain) = (Duration::ZERO, Duration::ZERO);
        let Workload::Publish { start, stop, .. } = &mut s.workloads[0] else { panic!("publishes") };
        (*start, *stop) = (ms(100), ms(200));
        s.groups[1].churn = Some(sessions(&format!("0,0,5,{crash}")));
        run(&s).counts["net_disconnected"]
    };
    // The one that goes counts at once, the other when it learns.
    assert_eq!([5_010, 5_030].map(|at| disconnected(false, at)), [1, 2]);
    assert_eq!([5_030, 9_010, 9_100].map(|at| disconnected(true, at)), [1, 1, 2]);
}

#[test]
fn clocks_that_are_off_make_fresh_envelopes_look_old() {
    let mut s = world(20, 0);
    s.envelopes = true;
    s.groups[0].clock_skew = SECOND.saturating_mul(30);
    let little = run(&s);
    assert_eq!((little.delivery.ratio, little.counts["ignored"]), (1.0, 0));
    // The window is 300 s back and 60 s ahead.
    s.groups[0].clock_skew = SECOND.saturating_mul(3_600);
    let much = run(&s);
    assert!(much.delivery.ratio < 0.5 && much.counts["ignored"] > 50, "{:?}", much.delivery);
    // A drift alone is as harmless as it is small.
    (s.groups[0].clock_skew, s.groups[0].clock_drift) = (Duration::ZERO, 0.001);
    assert_eq!(run(&s).delivery.ratio, 1.0);
}

#[test]
fn following_others_disturbs_no_link_that_is_there_at_the_start() {
    let mut s = Scenario::example();
    s.groups[0].count = 60;
    s.network.topology = Topology::KOut(4);
    s.workloads.push(Workload::Cards(CardsWorkload {
        group: 0,
        followers: 0,
        follow: 20,
        topics: CardTopics::PerPeer,
    }));
    let report = run(&s);
    // Nothing closes here, so nothing comes too late, and everybody gets everything.
    assert_eq!((report.delivery.ratio, report.counts["net_stale"]), (1.0, 0));
    assert!(report.mesh.degree_min > 0);
}
