//! Whole runs, compared by digest: every engine, any number of threads, with and without encoding, remembering verdicts
//! or not, over random scenarios. Each case crosses lanes (1,024 peers) when threads matter.

use hyperspace_protocol::ring::Vnodes;
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::{card, gossip, kad};
use hyperspace_sim::churn::{Begin, Churn, Lifetime};
use hyperspace_sim::scenario::{
    Action, Behaviour, Calls, CardTopics, CardsWorkload, Cost, Dht, DhtStart, Group, GroupChurn, Latency,
    LinkKind, Lookups, RecordKind, Records, RingWorkload, Scenario, Side, Topology, Workload,
};
use hyperspace_sim::{EngineKind, Outcome, RunOptions, Simulation};
use proptest::prelude::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn run(scenario: &Scenario, options: RunOptions) -> Outcome {
    let simulation = Simulation::new(scenario, &options).expect("a valid scenario");
    simulation.run(&mut |_| {}).expect("no invariant breaks")
}

/// Runs under every option that must not matter; returns the common outcome.
fn all_agree(scenario: &Scenario) -> Outcome {
    let plain = RunOptions::default();
    let reference = run(scenario, RunOptions { engine: EngineKind::Oracle, ..plain });
    let variants = [
        ("one thread", plain),
        ("again", plain),
        ("two threads", RunOptions { threads: 2, ..plain }),
        ("three threads", RunOptions { threads: 3, ..plain }),
        ("wire", RunOptions { wire: true, ..plain }),
        ("oracle on the wire", RunOptions { engine: EngineKind::Oracle, wire: true, ..plain }),
    ];
    for (name, options) in variants {
        let outcome = run(scenario, options);
        assert_eq!(outcome.digests, reference.digests, "{name}");
        assert_eq!(outcome.report, reference.report, "{name}");
    }
    reference
}

fn group(name: &str, count: u32, behaviour: Behaviour) -> Group {
    Group { behaviour, ..Group::new(name, count) }
}

fn latency() -> impl Strategy<Value = Latency> {
    prop_oneof![
        (1u64..50).prop_map(|n| Latency::Constant(ms(n))),
        (1u64..50, 50u64..200).prop_map(|(a, b)| Latency::Uniform(ms(a), ms(b))),
        Just(Latency::aws_2019()),
        Just(Latency::simblock_2019()),
        Just(Latency::bootstrap_6()),
    ]
}

fn topology() -> impl Strategy<Value = Topology> {
    prop_oneof![
        (3u32..8).prop_map(Topology::KOut),
        (2u32..5).prop_map(Topology::Ring),
        (2u32..5, 0.0..1.0).prop_map(|(k, share)| Topology::SmallWorld(k, share)),
        (2u32..6).prop_map(Topology::ScaleFree),
    ]
}

prop_compose! {
    fn scenarios()(
        seed in any::<u64>(),
        honest in 12u32..60,
        late in 0u32..20,
        sybils in 0u32..30,
        (latency, topology) in (latency(), topology()),
        profile in prop::sample::select(gossip::Config::PROFILES.to_vec()),
        version in prop::sample::select(vec![gossip::Version::V1_0, gossip::Version::V1_1, gossip::Version::V1_2]),
        datagram in any::<bool>(),
        (loss, jitter) in (prop_oneof![Just(0.0), 0.0..0.4], prop_oneof![Just(0.0), 0.0..1.0]),
        (cut_at, cut_for) in (0u64..4_900, 100u64..6_000),
        (frame_us, verify_us) in (prop_oneof![Just(0u64), 1u64..200], prop_oneof![Just(0u64), 1u64..5_000]),
        envelopes in any::<bool>(),
        timeout in 500u64..3_000,
        one_way in any::<bool>(),
    ) -> Scenario {
        let mut s = Scenario::example();
        s.run.seed = seed;
        s.run.duration = Duration::from_secs(9);
        s.run.warmup = Duration::from_secs(1);
        s.run.drain = Duration::from_secs(1);
        s.network.latency = latency;
        s.network.topology = topology;
        s.network.link = if datagram { LinkKind::Datagram } else { LinkKind::Stream };
        s.network.loss = loss;
        s.network.jitter = jitter;
        s.network.stream_timeout = ms(timeout);
        s.network.redial = ms(700);
        s.network.queue_max = 5;
        s.gossip = gossip::Config { version, ..gossip::Config::profile(profile).expect("listed") };
        s.envelopes = envelopes;
        s.cost = Cost { frame: Duration::from_micros(frame_us), verify: Duration::from_micros(verify_us) };
        s.groups = vec![group("honest", honest, Behaviour::Honest)];
        if late > 0 {
            s.groups.push(Group { start: ms(1_717), ..group("late", late, Behaviour::Honest) });
        }
        if sybils > 0 {
            let sybil = group("sybil", sybils, Behaviour::SybilFlood);
            s.groups.push(Group { start: ms(2_500), dials: 6, ips: 1, ..sybil });
        }
        s.workloads = vec![Workload::Publish {
            group: 0,
            topic: "hyperspace/tasks/x".into(),
            interval: ms(170),
            size: 1_100,
            sources: 3,
            start: ms(1_000),
            stop: ms(8_000),
            messages: 0,
        }];
        s.timeline = vec![Action::Partition {
            at: ms(cut_at),
            length: ms(cut_for).min(ms(9_000 - cut_at)),
            a: Side::Share(0.5),
            b: Side::Rest,
            one_way,
        }];
        s
    }
}

prop_compose! {
    /// Peers that come and go, a DHT, cards, a ring, NATs, lines and clocks that are off, over the same worlds.
    fn discoveries()(
        mut s in scenarios(),
        (session, offline) in (200u64..9_000, 200u64..4_000),
        (crash, keeps_state, steady) in (0.0..1.0, any::<bool>(), any::<bool>()),
        churns in any::<bool>(),
        nats in 0u32..20,
        hole_punching in 0.0..1.0,
        profile in prop::sample::select(kad::Config::PROFILES.to_vec()),
        (paths, dial_round_trips) in (1usize..4, 0u32..4),
        perfect in any::<bool>(),
        buckets in prop_oneof![Just(None), (1u32..5).prop_map(Some)],
        kbits in prop_oneof![Just(0u64), 300u64..3_000],
        (skew, drift) in (prop_oneof![Just(0u64), 0u64..500], prop_oneof![Just(0.0), 0.0..0.01]),
        (duplicate, reorder) in (0.0..0.3, 0.0..0.3),
        kind in prop::sample::select(vec![RecordKind::Providers, RecordKind::Values]),
        hostile in prop::sample::select(vec![
            Behaviour::SybilFlood, Behaviour::DhtSybil, Behaviour::ProviderFlood,
        ]),
    ) -> Scenario {
        let config = kad::Config {
            paths,
            refresh_interval: ms(3_000),
            request_timeout: ms(1_500),
            replicate_interval: ms(2_500),
            republish_interval: ms(2_000),
            ..kad::Config::profile(profile).expect("listed")
        };
        let start = if perfect { DhtStart::Perfect } else { DhtStart::Join };
        s.dht = Some(Dht { config, start, bootstrap: 3, dial_round_trips });
        s.cards = card::Config { heartbeat_interval: ms(700), ttl: ms(2_100), ..card::Config::default() };
        s.run.graph = true;
        if s.network.link == LinkKind::Datagram {
            (s.network.duplicate, s.network.reorder) = (duplicate, reorder);
        }
        for group in s.groups.iter_mut().filter(|g| g.behaviour != Behaviour::Honest) {
            group.behaviour = hostile;
        }
        if nats > 0 {
            s.groups.push(Group { nat: true, ..group("nat", nats, Behaviour::Honest) });
            s.groups.push(Group { relay: true, ..group("relay", 2, Behaviour::Honest) });
            s.network.hole_punching = hole_punching;
            s.network.relay_reservations = 6;
        }
        for (index, group) in s.groups.iter_mut().enumerate().filter(|(_, g)| g.behaviour == Behaviour::Honest) {
            (group.upload, group.download) = (kbits * 1_000, kbits * 3_000);
            (group.clock_skew, group.clock_drift) = (ms(skew), drift);
            if churns && index != 1 {
                let lifetime = |mean| Lifetime::Exponential { mean: ms(mean) };
                let begin = if steady { Begin::Steady } else { Begin::Up };
                let (session, offline) = (lifetime(session), lifetime(offline));
                group.churn = Some(GroupChurn::Drawn(Churn { session, offline, crash, keeps_state, begin }));
            }
        }
        let (group, interval, start, stop) = (0, ms(130), ms(1_500), ms(8_000));
        let topics = buckets.map_or(CardTopics::PerPeer, CardTopics::Buckets);
        s.workloads.extend([
            Workload::Lookups(Lookups { group, interval, start, stop, count: 0 }),
            Workload::Records(Records {
                kind, group, keys: 10, copies: if kind == RecordKind::Values { 1 } else { 3 }, size: 300,
                start, ask: ms(4_000), interval, stop,
            }),
            Workload::Cards(CardsWorkload { group, followers: group, follow: 5, topics }),
            Workload::Ring(RingWorkload { group, vnodes: Vnodes::default(), keys: 500, replicas: 3 }),
        ]);
        s
    }
}

/// A method with its parameters, called every so often.
fn calls((method, params): (&str, &str), group: u32, interval: Duration) -> Workload {
    Workload::Call(Calls {
        group,
        method: method.into(),
        params: params.into(),
        interval,
        start: ms(1_800),
        stop: ms(8_000),
        count: 0,
        topics: vec!["web-research".into(), "w2".into()],
    })
}

const METHODS: [(&str, &str); 6] = [
    ("improving.getExemplars", r#"{"taskType":"web-research"}"#),
    (
        "improving.recordTrajectory",
        r#"{"taskType":"web-research","input":"{n}","output":[{peer}],"steps":[{"action":"a"}],"reward":0.75}"#,
    ),
    ("memory.store", r#"{"content":"eel {n} of {peer}"}"#),
    ("memory.search", r#"{"query":"eel {n}"}"#),
    ("tool.discover", r#"{"query":"search"}"#),
    ("improving.recordTrajectory", r#"{"taskType":"w2","input":1,"output":2,"steps":[],"reward":0}"#),
];

/// Agents that call methods, over any of these worlds.
fn societies(worlds: impl Strategy<Value = Scenario>) -> impl Strategy<Value = Scenario> {
    let chosen = prop::sample::subsequence(METHODS.to_vec(), 1..=METHODS.len());
    (worlds, chosen, 60u64..700).prop_map(|(mut world, chosen, every)| {
        world.workloads.extend(chosen.into_iter().map(|method| calls(method, 0, ms(every))));
        world
    })
}

/// See [`all_agree`]; something was called.
fn all_agree_on_calls(scenario: &Scenario) {
    let calls = all_agree(scenario).report.calls.expect("a call workload");
    assert!(calls.made + calls.skipped > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_engine_comes_to_the_same_result(scenario in scenarios()) {
        all_agree(&scenario);
    }

    #[test]
    fn so_it_does_with_churn_and_discovery(scenario in discoveries()) {
        all_agree(&scenario);
    }
}

// A world of agents takes a second, so there are fewer of these, in two tests that run side by side.
proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_with_agents(scenario in societies(scenarios())) {
        all_agree_on_calls(&scenario);
    }

    #[test]
    fn so_it_does_with_agents_that_discover(scenario in societies(discoveries())) {
        all_agree_on_calls(&scenario);
    }
}

/// Three lanes, so that threads really share the work.
#[test]
fn a_run_over_several_lanes_does_not_depend_on_threads() {
    let mut s = Scenario::example();
    s.groups[0].count = 2_500;
    s.run.duration = Duration::from_secs(8);
    s.run.warmup = Duration::from_secs(2);
    s.run.drain = Duration::from_secs(1);
    s.network.loss = 0.02;
    let Workload::Publish { start, stop, .. } = &mut s.workloads[0] else { panic!("a publish workload") };
    (*start, *stop) = (Duration::from_secs(4), Duration::from_secs(7));
    let outcome = all_agree(&s);
    assert_eq!(outcome.report.delivery.ratio, 1.0);
}

#[test]
fn another_seed_is_another_run() {
    let s = Scenario::example();
    let mut other = s.clone();
    other.run.seed = 2;
    let plain = RunOptions::default();
    assert_ne!(run(&s, plain).digests.run, run(&other, plain).digests.run);
}

/// Envelopes are checked once per content; checking them at every peer gives the same result, only slower.
#[test]
fn remembering_verdicts_changes_nothing() {
    let s = Scenario::example();
    let memo = run(&s, RunOptions::default());
    let everywhere = run(&s, RunOptions { memo: false, ..RunOptions::default() });
    assert_eq!(memo.digests, everywhere.digests);
    let verified = |o: &Outcome| o.report.counts["envelopes_verified"];
    assert_eq!(verified(&memo), 100);
    // Every peer but the publisher checks every message.
    assert_eq!(verified(&everywhere), 100 * 99);
}
