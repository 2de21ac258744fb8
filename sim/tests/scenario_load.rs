//! Scenario files that are right: what they load as, what arms and overrides change, and that a resolved scenario says the
//! same as its origin.

use std::path::Path;

use hyperspace_protocol::gossip::{Config, Version};
use hyperspace_protocol::time::Duration;
use hyperspace_sim::scenario::{
    Action, Behaviour, Expectation, Latency, LinkKind, Op, Overrides, Regions, SHIPPED, Scenario, Side, Stat,
    Topology, Value, Workload, load, load_file, resolved, shipped,
};

fn load_with(text: &str, set: &[&str]) -> Vec<Scenario> {
    let overrides = Overrides { seed: None, set: set.iter().map(|s| (*s).to_owned()).collect() };
    load("test.toml", text, Path::new("."), &overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn load_one(text: &str) -> Scenario {
    let [scenario] = load_with(text, &[]).try_into().expect("one arm");
    scenario
}

const SMALL: &str = "version = 1\nname = \"small\"\n[group.honest]\ncount = 20\n";

#[test]
fn the_defaults_are_these() {
    let s = load_one(SMALL);
    let secs = Duration::from_secs;
    assert_eq!((s.name.as_str(), &s.arm, s.envelopes), ("small", &None, true));
    assert_eq!(
        (s.run.seed, s.run.duration, s.run.warmup, s.run.drain),
        (1, secs(60), Duration::ZERO, secs(5))
    );
    assert!(!s.run.until_idle);
    let ms = Duration::from_millis;
    assert_eq!(s.network.latency, Latency::Uniform(ms(10), ms(150)));
    assert_eq!((s.network.jitter, s.network.loss, s.network.link), (0.0, 0.0, LinkKind::Stream));
    assert_eq!((s.network.latency_min, s.network.retransmit), (ms(10), ms(200)));
    assert_eq!((s.network.stream_timeout, s.network.redial, s.network.queue_max), (secs(10), secs(5), 5000));
    assert_eq!(s.network.topology, Topology::KOut(10));
    assert_eq!(s.gossip, Config::hyperspace());
    assert_eq!((s.cost.frame, s.cost.verify), (Duration::ZERO, Duration::ZERO));
    let group = &s.groups[0];
    assert_eq!((group.count, group.behaviour, group.start), (20, Behaviour::Honest, Duration::ZERO));
    assert_eq!((group.dials, group.ips, &group.regions), (0, 0, &Regions::Even));
    assert!(s.workloads.is_empty() && s.timeline.is_empty() && s.expectations.is_empty());
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let s = load_one(
        r#"
        version = 1
        name = "all"
        run = { seed = 18446744073709551615, duration = "2m", warmup = "10s", drain = "20s", until_idle = true }
        cost = { frame = "10us", verify = "60us" }
        [network]
        latency = "simblock-2019"
        jitter = "10%"
        link = "datagram"
        loss = 0.02
        latency_min = "2ms"
        retransmit = "1s"
        stream_timeout = "15s"
        redial = "3s"
        queue_max = 64
        topology = "ring:2"
        [gossip]
        profile = "eth2"
        version = "1.1"
        mesh_degree = 9
        heartbeat_interval = "1s"
        gossip_factor = "50%"
        validation = "none"
        score.ip_weight = -7
        score.topic.weight = 0.5
        [group.honest]
        count = 20
        regions = "europe"
        [group.sybil]
        count = 8
        behaviour = "sybil-flood"
        dials = 4
        start = "5s"
        ips = 2
        regions = "table"
        [[workload]]
        kind = "publish"
        topic = "hyperspace/tasks/t"
        rate = "6/m"
        size = "2KiB"
        sources = 3
        start = "12s"
        stop = "90s"
        messages = 7
        [[at]]
        t = "30s"
        do = "partition"
        a = "region:japan"
        b = "sybil"
        for = "10s"
        [[at]]
        t = "50s"
        do = "partition"
        a = "share:25%"
        for = "1s"
        [[expect]]
        metric = "delivery.ratio"
        group = "honest"
        op = ">="
        value = "99%"
        stat = "p95"
        "#,
    );
    assert_eq!((s.run.seed, s.run.duration, s.run.until_idle), (u64::MAX, Duration::from_secs(120), true));
    assert_eq!((s.cost.frame, s.cost.verify), (Duration::from_micros(10), Duration::from_micros(60)));
    assert_eq!((&s.network.latency, s.network.link), (&Latency::simblock_2019(), LinkKind::Datagram));
    assert_eq!((s.network.jitter, s.network.loss, s.network.queue_max), (0.1, 0.02, 64));
    assert_eq!(s.network.topology, Topology::Ring(2));
    let mut gossip = Config::eth2();
    gossip.version = Version::V1_1;
    gossip.mesh_degree = 9;
    gossip.heartbeat_interval = Duration::from_secs(1);
    gossip.gossip_factor = 0.5;
    gossip.score.ip_weight = -7.0;
    gossip.score.topic.weight = 0.5;
    assert_eq!((s.gossip, s.envelopes), (gossip, false));
    assert_eq!(s.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["honest", "sybil"]);
    assert_eq!((&s.groups[0].regions, &s.groups[1].regions), (&Regions::One(1), &Regions::Table));
    assert_eq!((s.groups[1].behaviour, s.groups[1].dials, s.groups[1].ips), (Behaviour::SybilFlood, 4, 2));
    let publish = Workload::Publish {
        group: 0,
        topic: "hyperspace/tasks/t".into(),
        interval: Duration::from_secs(10),
        size: 2048,
        sources: 3,
        start: Duration::from_secs(12),
        stop: Duration::from_secs(90),
        messages: 7,
    };
    assert_eq!(s.workloads, [publish]);
    let partition = |at, length, a, b| Action::Partition {
        at: Duration::from_secs(at),
        length: Duration::from_secs(length),
        a,
        b,
        one_way: false,
    };
    assert_eq!(
        s.timeline,
        [partition(30, 10, Side::Region(4), Side::Group(1)), partition(50, 1, Side::Share(0.25), Side::Rest)]
    );
    let expected = Expectation {
        peers: None,
        metric: "delivery.ratio".into(),
        op: Op::AtLeast,
        value: Value::Number(0.99),
        stat: Stat::P95,
    };
    assert_eq!(s.expectations, [expected]);
}

#[test]
fn groups_keep_the_order_of_the_file() {
    let s = load_one("version = 1\nname = \"x\"\n[group.zeta]\ncount = 20\n[group.alpha]\ncount = 1\n");
    assert_eq!(s.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["zeta", "alpha"]);
}

#[test]
fn arms_change_their_own_run_only() {
    let text = format!(
        "{SMALL}[[workload]]\nkind = \"publish\"\nrate = \"1/s\"\n\
         [arms.zeta]\ngossip.scores = false\nworkload.0.rate = \"2/s\"\n[arms.alpha]\n\
         [[expect]]\nmetric = \"rmr\"\nop = \"<\"\nvalue = 5\n\
         [[expect]]\narm = \"alpha\"\nmetric = \"delivery.ratio\"\nop = \">\"\nof = \"zeta\"\nfactor = 2\n"
    );
    let [zeta, alpha] = load_with(&text, &[]).try_into().expect("two arms");
    assert_eq!((zeta.arm.as_deref(), alpha.arm.as_deref()), (Some("zeta"), Some("alpha")));
    assert_eq!((zeta.gossip.scores, alpha.gossip.scores), (false, true));
    let interval = |s: &Scenario| {
        let Workload::Publish { interval, .. } = &s.workloads[0] else { panic!("published") };
        interval.as_millis()
    };
    assert_eq!((interval(&zeta), interval(&alpha)), (500, 1000));
    assert_eq!((zeta.expectations.len(), alpha.expectations.len()), (1, 2));
    assert_eq!(alpha.expectations[1].value, Value::Arm { of: "zeta".into(), factor: 2.0 });
    // --set wins over an arm; a path into an arm changes that arm.
    let both = load_with(&text, &["gossip.scores=true", "arms.alpha.run.duration=30s"]);
    assert_eq!(
        both.iter().map(|s| (s.gossip.scores, s.run.duration.as_secs())).collect::<Vec<_>>(),
        [(true, 60), (true, 30)]
    );
}

#[test]
fn overrides_reach_every_kind_of_value() {
    let text = format!("{SMALL}[[workload]]\nkind = \"publish\"\nrate = \"1/s\"\n");
    let set = [
        "group.honest.count=2000",
        "run.duration=30s",
        "network.loss=2%",
        "gossip.scores=false",
        "workload.0.rate=20/s",
        "gossip.version=1.1",
        "name=\"7\"",
    ];
    let overrides = Overrides { seed: Some(u64::MAX), set: set.map(str::to_owned).into() };
    let s = load("test.toml", &text, Path::new("."), &overrides).expect("valid").remove(0);
    assert_eq!((s.groups.len(), s.groups[0].count, s.gossip.version), (1, 2000, Version::V1_1));
    assert_eq!((s.run.seed, s.run.duration, s.network.loss), (u64::MAX, Duration::from_secs(30), 0.02));
    assert_eq!((s.gossip.scores, s.name.as_str()), (false, "7"));
    assert!(
        matches!(s.workloads[0], Workload::Publish { interval, .. } if interval == Duration::from_millis(50))
    );
}

#[test]
fn every_topology_has_a_name_that_resolves_to_itself() {
    for (name, topology) in [
        ("k-out:3", Topology::KOut(3)),
        ("ring:2", Topology::Ring(2)),
        ("small-world:3:12.5%", Topology::SmallWorld(3, 0.125)),
        ("scale-free:2", Topology::ScaleFree(2)),
    ] {
        let s = load_with(SMALL, &[&format!("network.topology={name}")]).remove(0);
        assert_eq!(s.network.topology, topology);
        assert_eq!(load_one(&resolved(&s)), s);
    }
}

#[test]
fn an_override_makes_no_group_nor_arm() {
    let text = format!("{SMALL}[arms.a]\n[arms.b]\n");
    for (set, help) in [
        ("group.hones.count=5", "no group `hones`: did you mean `honest`?"),
        ("arms.c.run.seed=5", "no arm `c`"),
    ] {
        let overrides = Overrides { seed: None, set: vec![set.into()] };
        let error = load("test.toml", &text, Path::new("."), &overrides).expect_err("a new name");
        let words = error.render(false).replace('\n', " ");
        assert!(help.split(": ").all(|part| words.contains(part)), "{words}");
    }
}

#[test]
fn a_topology_file_is_found_next_to_its_scenario() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/from-file.toml");
    let s = load_file(&path, &Overrides::default()).expect("valid").remove(0);
    assert_eq!(s.network.topology, Topology::Edges(vec![(0, 1), (1, 2), (2, 0)]));
    assert_eq!(load_one(&resolved(&s)), s, "the edges are in the resolved file");
}

#[test]
fn every_shipped_scenario_loads_and_resolves_to_itself() {
    for (name, text) in SHIPPED {
        assert!(text.starts_with("# Question: "), "{name} asks its question first");
        assert_eq!(shipped(name), Some(*text));
        for scenario in load_with(text, &[]) {
            assert_eq!(&scenario.name, name);
            assert!(
                scenario.groups.iter().any(|g| g.name == "honest" && g.behaviour == Behaviour::Honest),
                "{name}"
            );
            assert!(!scenario.expectations.is_empty(), "{name}");
            assert_eq!(scenario.check(), Ok(()));
            let text = resolved(&scenario);
            assert_eq!(load_one(&text), scenario, "{name}:\n{text}");
        }
    }
    assert_eq!(shipped("g9"), None);
}

#[test]
fn scenarios_built_in_rust_are_checked_too() {
    let mut scenario = load_one(SMALL);
    scenario.network.loss = 1.0;
    assert!(scenario.check().expect_err("loss").starts_with("network.loss: "));
    scenario.network.loss = f64::NAN;
    assert!(scenario.check().is_err());
    let mut scenario = load_one(SMALL);
    scenario.groups.push(scenario.groups[0].clone());
    assert_eq!(scenario.check(), Err("group.honest: there are two groups named `honest`".into()));
}
