//! Scenario files that are right: what they load as, what arms and overrides change, and that a resolved scenario says the
//! same as its origin.

use std::path::Path;

use hyperspace_protocol::gossip::{Config, Version};
use hyperspace_protocol::kad;
use hyperspace_protocol::ring::Vnodes;
use hyperspace_protocol::time::Duration;
use hyperspace_sim::churn::{Begin, Churn, Lifetime};
use hyperspace_sim::scenario::{
    Action, Behaviour, Calls, CardTopics, CardsWorkload, Dht, DhtStart, Expectation, GroupChurn, Latency,
    LinkKind, Lookups, Op, Overrides, RecordKind, Records, Regions, RingWorkload, SHIPPED, Scenario, Side,
    Stat, Topology, Value, Workload, load, load_file, resolved, shipped,
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

/// A file with a value for most keys that is not their default.
const EVERY_KEY: &str = r#"
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
"#;

#[test]
fn keys_of_run_and_network_arrive() {
    let s = load_one(EVERY_KEY);
    assert_eq!((s.run.seed, s.run.duration, s.run.until_idle), (u64::MAX, Duration::from_secs(120), true));
    assert_eq!((s.cost.frame, s.cost.verify), (Duration::from_micros(10), Duration::from_micros(60)));
    assert_eq!((&s.network.latency, s.network.link), (&Latency::simblock_2019(), LinkKind::Datagram));
    assert_eq!((s.network.jitter, s.network.loss, s.network.queue_max), (0.1, 0.02, 64));
    assert_eq!(s.network.topology, Topology::Ring(2));
}

#[test]
fn keys_of_gossip_arrive() {
    let s = load_one(EVERY_KEY);
    let mut gossip = Config::eth2();
    gossip.version = Version::V1_1;
    gossip.mesh_degree = 9;
    gossip.heartbeat_interval = Duration::from_secs(1);
    gossip.gossip_factor = 0.5;
    gossip.score.ip_weight = -7.0;
    gossip.score.topic.weight = 0.5;
    assert_eq!((s.gossip, s.envelopes), (gossip, false));
}

#[test]
fn keys_of_groups_arrive() {
    let s = load_one(EVERY_KEY);
    assert_eq!(s.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["honest", "sybil"]);
    assert_eq!((&s.groups[0].regions, &s.groups[1].regions), (&Regions::One(1), &Regions::Table));
    assert_eq!((s.groups[1].behaviour, s.groups[1].dials, s.groups[1].ips), (Behaviour::SybilFlood, 4, 2));
}

#[test]
fn keys_of_workloads_and_timeline_arrive() {
    let s = load_one(EVERY_KEY);
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
}

#[test]
fn keys_of_expectations_arrive() {
    let s = load_one(EVERY_KEY);
    let expected = Expectation {
        peers: None,
        metric: "delivery.ratio".into(),
        op: Op::AtLeast,
        value: Value::Number(0.99),
        stat: Stat::P95,
    };
    assert_eq!(s.expectations, [expected]);
}

/// The same of discovery, churn and lines.
const DISCOVERY: &str = r#"
version = 1
name = "discovery"
run = { duration = "5m", warmup = "1m", drain = "20s", stay = "7s", graph = true }
[network]
link = "datagram"
topology = "none"
duplicate = "1%"
reorder = 0.02
line_queue = "64KiB"
hole_punching = "70%"
relay_reservations = 5
[dht]
profile = "rust"
start = "perfect"
bootstrap = 3
dial_round_trips = 2
quorum = 1
refresh_interval = "3m"
[cards]
ttl = "2m"
followed_max = 9
[group.honest]
count = 20
upload = "1Mbit/s"
download = "8Mbit/s"
clock_skew = "50ms"
clock_drift = 0.00002
churn = { session = "weibull:0.5:500s", offline = "exponential:5m", crash = "80%", keeps_state = true, begin = "up" }
[group.relays]
count = 2
relay = true
[group.hidden]
count = 4
nat = true
churn = { sessions = ["0,0,10", "1,5,20,1"] }
[[workload]]
kind = "lookup"
from = "hidden"
rate = "2/s"
messages = 11
[[workload]]
kind = "provide"
keys = 7
copies = 2
rate = "1/s"
start = "70s"
ask = "90s"
stop = "200s"
[[workload]]
kind = "put"
size = "100B"
rate = "1/s"
[[workload]]
kind = "cards"
follow = 4
followers = "hidden"
topics = "buckets:8"
[[workload]]
kind = "ring"
vnodes = "total-floor:750"
keys = 50
replicas = 2
[[workload]]
kind = "call"
method = "state.createSession"
params = '{"agentName": "{peer}"}'
interval = "500ms"
topics = ["web-research"]
"#;

#[test]
fn keys_of_churn_lines_and_clocks_arrive() {
    let s = load_one(DISCOVERY);
    let (secs, network) = (Duration::from_secs, &s.network);
    assert_eq!((s.run.stay, s.run.graph), (secs(7), true));
    assert_eq!((network.duplicate, network.reorder, network.line_queue), (0.01, 0.02, 64 << 10));
    assert_eq!((network.hole_punching, network.relay_reservations), (0.7, 5));
    let [honest, relays, hidden] = &s.groups[..] else { panic!("three groups") };
    assert_eq!((honest.upload, honest.download), (1_000_000, 8_000_000));
    assert_eq!((honest.clock_skew, honest.clock_drift), (Duration::from_millis(50), 20e-6));
    assert_eq!((relays.relay, relays.nat, hidden.relay, hidden.nat), (true, false, false, true));
    let churn = Churn {
        session: Lifetime::Weibull { shape: 0.5, scale: secs(500) },
        offline: Lifetime::Exponential { mean: secs(300) },
        crash: 0.8,
        keeps_state: true,
        begin: Begin::Up,
    };
    assert_eq!(honest.churn, Some(GroupChurn::Drawn(churn)));
    assert!(matches!(hidden.churn, Some(GroupChurn::Trace { keeps_state: false, .. })), "{:?}", hidden.churn);
}

#[test]
fn keys_of_dht_and_cards_arrive() {
    let s = load_one(DISCOVERY);
    let dht = s.dht.expect("a table [dht]");
    let rust = kad::Config::rust();
    let config = kad::Config { quorum: 1, refresh_interval: Duration::from_secs(180), ..rust };
    assert_eq!(dht, Dht { config, start: DhtStart::Perfect, bootstrap: 3, dial_round_trips: 2 });
    assert_eq!((s.cards.ttl, s.cards.followed_max), (Duration::from_secs(120), 9));
}

#[test]
fn workloads_of_discovery_and_calls_arrive() {
    let s = load_one(DISCOVERY);
    let secs = Duration::from_secs;
    let (start, stop) = (secs(60), secs(280));
    let lookups = Lookups { group: 2, interval: Duration::from_millis(500), start, stop, count: 11 };
    let provide = Records {
        kind: RecordKind::Providers,
        group: 0,
        keys: 7,
        copies: 2,
        size: 1024,
        start: secs(70),
        ask: secs(90),
        interval: secs(1),
        stop: secs(200),
    };
    let put = Records {
        kind: RecordKind::Values,
        keys: 100,
        copies: 1,
        size: 100,
        start,
        ask: secs(170),
        stop,
        ..provide
    };
    let cards = CardsWorkload { group: 0, followers: 2, follow: 4, topics: CardTopics::Buckets(8) };
    let vnodes = Vnodes::TotalFloor(750.try_into().expect("not zero"));
    let ring = RingWorkload { group: 0, vnodes, keys: 50, replicas: 2 };
    let calls = Calls {
        group: 0,
        method: "state.createSession".into(),
        params: r#"{"agentName": "{peer}"}"#.into(),
        interval: Duration::from_millis(500),
        start,
        stop,
        count: 0,
        topics: vec!["web-research".into()],
    };
    let all = [
        Workload::Lookups(lookups),
        Workload::Records(provide),
        Workload::Records(put),
        Workload::Cards(cards),
        Workload::Ring(ring),
        Workload::Call(calls),
    ];
    assert_eq!(s.workloads, all);
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
