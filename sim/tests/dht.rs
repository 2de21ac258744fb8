//! The DHT in whole worlds, asserted on by their reports: a network at rest, crashes, stores at their bounds, and the
//! adversaries `dht-sybil` and `provider-flood`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperspace_protocol::kad::{Config, Kad};
use hyperspace_protocol::machine::{Context, Input, Machine, Output};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::request::{Command, Event};
use hyperspace_protocol::time::{Duration, Instant};
use hyperspace_sim::churn::{Begin, Churn, Lifetime};
use hyperspace_sim::message::SimMessage;
use hyperspace_sim::report::{DhtReport, Report};
use hyperspace_sim::scenario::{
    Behaviour, Dht, DhtStart, Group, GroupChurn, Lookups, RecordKind, Records, Scenario, Topology, Workload,
};
use hyperspace_sim::{EngineKind, Outcome, RunOptions, Simulation, Subject};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Honest peers without gossip, whose tables are as in a network at rest. 40 s, counted from second 5 on.
fn world(honest: u32, config: Config, workloads: Vec<Workload>) -> Scenario {
    let mut s = Scenario::example();
    s.run.duration = secs(40);
    s.run.warmup = secs(5);
    s.run.drain = secs(10);
    s.network.topology = Topology::None;
    s.envelopes = false;
    s.groups[0].count = honest;
    s.dht = Some(Dht { config, start: DhtStart::Perfect, bootstrap: 4, dial_round_trips: 4 });
    s.workloads = workloads;
    s
}

/// 20 lookups a second from second 20 to 30.
fn lookups() -> Workload {
    let interval = Duration::from_millis(50);
    Workload::Lookups(Lookups { group: 0, interval, start: secs(20), stop: secs(30), count: 0 })
}

/// So many records stored from second 5 to 15, and asked for 50 times a second until second 30.
fn records(kind: RecordKind, keys: u32, copies: u32) -> Workload {
    let interval = Duration::from_millis(20);
    Workload::Records(Records {
        kind,
        group: 0,
        keys,
        copies,
        size: 200,
        start: secs(5),
        ask: secs(15),
        interval,
        stop: secs(30),
    })
}

fn run(scenario: &Scenario) -> (DhtReport, Report) {
    let simulation = Simulation::new(scenario, &RunOptions::default()).expect("a valid scenario");
    let report = simulation.run(&mut |_| {}).expect("no invariant breaks").report;
    let dht = report.dht.clone().expect("there is a DHT");
    assert_eq!(dht.queries, dht.refused + dht.lost + dht.looked + dht.stores);
    (dht, report)
}

/// The path lengths of an idealised Kademlia among 1,000 peers, as for row A11 of the published results.
#[test]
fn a_network_at_rest_finds_everything_in_as_many_hops_as_published() {
    for (k, published) in [(20, 1.91), (8, 2.27)] {
        let config = Config { k, beta: k, alpha: 3, alpha_stalled: 3, ..Config::rust() };
        let (dht, _) = run(&world(1_000, config, vec![lookups()]));
        println!("k={k}: {:.3} hops, published {published}", dht.hops_mean);
        assert_eq!((dht.looked, dht.success, dht.failures_mean), (200, 1.0, 0.0));
        assert!((dht.hops_mean - published).abs() <= 0.25, "k={k}: {}", dht.hops_mean);
    }
}

/// What became of all queries, counted apart from the simulator.
#[derive(Debug, Default)]
struct Ledger {
    asked: AtomicU64,
    ended: AtomicU64,
    /// On their way when their peer went down, or when the run was over.
    cut_off: AtomicU64,
}

/// The protocol with somebody who keeps a ledger of its queries.
struct Watched {
    peer: Peer<SimMessage>,
    open: BTreeSet<u64>,
    ledger: Arc<Ledger>,
}

impl Watched {
    fn watch(&mut self, out: &[Output<SimMessage>]) {
        for output in out {
            let Output::Event(event) = output else { continue };
            let (Event::QueryDone { token, .. } | Event::QueryRefused { token, .. }) = **event else {
                continue;
            };
            assert!(self.open.remove(&token), "query {token} ended without being open");
            self.ledger.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cut_off(&mut self) {
        self.ledger.cut_off.fetch_add(self.open.len() as u64, Ordering::Relaxed);
        self.open.clear();
    }
}

impl Machine for Watched {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        if let Input::Command(command) = &input
            && let Command::Query { token, .. } = **command
        {
            assert!(self.open.insert(token), "query {token} is asked twice");
            self.ledger.asked.fetch_add(1, Ordering::Relaxed);
        }
        self.peer.handle_input(cx, input);
        self.watch(cx.out);
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.peer.handle_timeout(cx);
        self.watch(cx.out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

impl Subject for Watched {
    fn dht(&self) -> Option<&Kad<u32>> {
        self.peer.dht()
    }
    fn dht_mut(&mut self) -> Option<&mut Kad<u32>> {
        Some(self.peer.dht_mut())
    }
    fn restart(&mut self, keeps_state: bool) {
        self.peer.restart(keeps_state);
        self.cut_off();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.cut_off();
    }
}

fn watched(scenario: &Scenario, options: RunOptions) -> (Outcome, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let machine =
        |_, _: &_| Watched { peer: Peer::default(), open: BTreeSet::new(), ledger: Arc::clone(&ledger) };
    let simulation = Simulation::with_machine(scenario, &options, machine).expect("a valid scenario");
    let outcome = simulation.run(&mut |_| {}).expect("no invariant breaks");
    (outcome, ledger)
}

/// "A node that crashes mid-lookup."
#[test]
fn of_peers_that_crash_mid_lookup_every_query_is_accounted_for() {
    let config = Config { request_timeout: secs(2), ..Config::rust() };
    let mut s = world(200, config, vec![lookups(), records(RecordKind::Values, 100, 1)]);
    let lifetime = |mean| Lifetime::Exponential { mean: secs(mean) };
    let mut success = Vec::new();
    for keeps_state in [true, false] {
        s.groups[0].churn = Some(GroupChurn::Drawn(Churn {
            session: lifetime(40),
            offline: lifetime(10),
            crash: 1.0,
            keeps_state,
            begin: Begin::Up,
        }));
        let plain = RunOptions::default();
        let (outcome, ledger) = watched(&s, plain);
        for options in
            [RunOptions { threads: 2, ..plain }, RunOptions { engine: EngineKind::Oracle, ..plain }]
        {
            let (other, _) = watched(&s, options);
            assert_eq!((&other.digests, &other.report), (&outcome.digests, &outcome.report), "{options:?}");
        }
        let (dht, churn) = (outcome.report.dht.expect("a DHT"), outcome.report.churn.expect("churn"));
        println!("keeps_state {keeps_state}: {churn:?} {dht:?}");
        let [asked, ended, cut_off] =
            [&ledger.asked, &ledger.ended, &ledger.cut_off].map(|n| n.load(Ordering::Relaxed));
        assert_eq!((dht.queries, dht.lost), (asked, cut_off));
        assert_eq!((dht.refused + dht.looked + dht.stores, asked), (ended, ended + cut_off));
        assert!(dht.lost > 20 && churn.crashed > 100 && churn.left == 0, "{dht:?} {churn:?}");
        assert!(dht.failures_mean > 0.5, "{dht:?}");
        success.push(dht.success);
    }
    assert!(success[0] >= success[1] && success[1] > 0.8, "{success:?}");
}

/// "A record store at its bound": five times as many records as there are places.
#[test]
fn a_store_at_its_bound_keeps_what_is_near_and_most_is_still_found() {
    let roomy = Config::rust();
    let record = 16 + 200;
    let configs = [
        roomy.clone(),
        Config { records_max: 10, ..roomy.clone() },
        Config { records_bytes_max: 10 * record, ..roomy },
    ];
    let [free, counted, weighed] =
        configs.map(|config| run(&world(100, config, vec![records(RecordKind::Values, 400, 1)])));
    for (dht, report) in [&free, &counted, &weighed] {
        let dropped = report.counts["kad_record_evicted"] + report.counts["kad_record_refused"];
        println!("success {} dropped {dropped} {dht:?}", dht.success);
    }
    assert!(free.0.success > 0.99 && free.0.records_max > 50, "{:?}", free.0);
    assert_eq!(free.1.counts["kad_record_evicted"] + free.1.counts["kad_record_refused"], 0);
    for (dht, report) in [&counted, &weighed] {
        // 1,000 places for 400 records of 20 copies each.
        assert_eq!((dht.records_max, dht.records_bytes_max), (10, 10 * record as u64));
        assert!(report.counts["kad_record_evicted"] > 0 && report.counts["kad_record_refused"] > 1_000);
        assert!(dht.copies_mean < free.0.copies_mean / 2.0, "{dht:?}");
        assert!(dht.success > 0.85, "{dht:?}");
        // Who has no room does not confirm, but is not taken for dead.
        assert_eq!(dht.contacts_mean, free.0.contacts_mean);
    }
}

/// "A flood of provider records": as long as all that the flooders may store leaves room, nobody notices.
#[test]
fn a_flood_of_provider_records_stays_within_its_share() {
    const KEYS: u32 = 30;
    const COPIES: u32 = 3;
    let small = |keys_per_provider_max| Config {
        k: 8,
        beta: 8,
        provider_keys_max: 100,
        keys_per_provider_max,
        ..Config::rust()
    };
    let (capped, free) = (small(16), small(1_000));
    let flood = |flooders: u32, config: &Config| {
        let mut s = world(60, config.clone(), vec![records(RecordKind::Providers, KEYS, COPIES)]);
        if flooders > 0 {
            let group = Group::new("flood", flooders);
            s.groups.push(Group { behaviour: Behaviour::ProviderFlood, dials: 60, start: secs(1), ..group });
        }
        let (dht, report) = run(&s);
        let counts = ["kad_provider_flood", "kad_provider_refused", "kad_provider_evicted"];
        let counts = counts.map(|name| report.counts[name]);
        println!("{flooders} flooders: success {}, at most {}, {counts:?}", dht.success, dht.providers_max);
        // Of no provider more than its share, and of no more keys than there are places.
        let share = config.keys_per_provider_max as u64 * u64::from(flooders);
        assert!(dht.providers_max <= share + u64::from(KEYS * COPIES), "{dht:?}");
        let most_of_keys = config.provider_keys_max as u64 + u64::from(KEYS * (COPIES - 1));
        assert!(dht.providers_max <= most_of_keys, "{dht:?}");
        (dht.success, counts)
    };
    let (success, dropped) = flood(0, &capped);
    // The last record is asked for while it is being stored.
    assert!(success > 0.99 && dropped == [0, 0, 0], "{success} {dropped:?}");
    // Four shares of 16 keys and what is honest fit into 100 places: nothing is displaced.
    let (success, [refused_to_them, refused, evicted]) = flood(4, &capped);
    assert!(success > 0.99 && (refused, evicted) == (0, 0), "{success} {refused} {evicted}");
    assert!(refused_to_them > 100_000);
    // Without shares the same four take nearly everything but the keys closest to a store's own.
    let (success, [refused_to_them, refused, evicted]) = flood(4, &free);
    assert!(success < 0.95 && success > 0.3, "{success}");
    assert!(refused_to_them == 0 && refused > 100_000 && evicted > 1_000);
    // And so do eight with shares, which is more than there are places.
    let (success, [refused_to_them, refused, evicted]) = flood(8, &capped);
    assert!(success < 0.95 && success > 0.3, "{success}");
    assert!(refused_to_them > 0 && refused > 0 && evicted > 0);
}

/// A network of 100 into which 200 Sybils of one address dial when it is a second old.
fn sybils(config: Config) -> DhtReport {
    let (capped, paths, k) = (config.group_table_max > 0, config.paths, config.k);
    let mut s = world(100, config, vec![lookups()]);
    s.dht.as_mut().expect("set").start = DhtStart::Join;
    let group = Group::new("sybil", 200);
    s.groups.push(Group { behaviour: Behaviour::DhtSybil, dials: 100, ips: 1, start: secs(1), ..group });
    let (dht, report) = run(&s);
    println!("capped {capped}, k {k}, {paths} paths: success {}, share {}", dht.success, dht.sybil_share);
    assert_eq!(report.counts["kad_group_full"] > 0, capped);
    dht
}

/// "A routing table filled by one peer's Sybils." S/Kademlia's disjoint paths help who is told of liars, not whose own
/// table is full of them: all paths start from there.
#[test]
fn caps_per_address_keep_one_host_s_sybils_out_of_tables() {
    let with_paths = |paths, config| sybils(Config { paths, ..config });
    let (open, open_paths) = (with_paths(1, Config::spec()), with_paths(4, Config::spec()));
    let (capped, capped_paths) = (with_paths(1, Config::go()), with_paths(4, Config::go()));
    assert!(open.sybil_share > 0.7 && open.success < 0.75, "{open:?}");
    assert!(open_paths.sybil_share > 0.7 && open_paths.success < 0.75, "{open_paths:?}");
    // Three contacts of a table of more than 50.
    assert!(capped.sybil_share < 0.06 && capped.success > 0.85, "{capped:?}");
    assert!(capped_paths.success >= 0.99 && capped_paths.success > capped.success, "{capped_paths:?}");
}
