//! What others try: each is bounded and counted.

use proptest::prelude::*;

use super::super::testing::{Lab, quiet};
use super::super::*;

fn key(n: u8) -> Key {
    Key::new(&[n])
}

fn record(n: u8, value: &[u8]) -> Record {
    Record { key: key(n), value: value.into(), ttl: None }
}

fn nodes(closer: Vec<u32>) -> Response<u32> {
    Response::Nodes { closer }
}

#[test]
fn sybils_take_no_place_from_contacts_that_answer() {
    let config = Config { waiting_max: 4, ..quiet(Config::spec()) };
    let mut lab = Lab::new(20_000, config);
    for honest in 1..1000 {
        lab.seen(honest);
    }
    let own = lab.peers.key(0);
    let honest =
        |lab: &Lab| lab.kad.table().buckets().flat_map(|b| b.contacts).filter(|c| **c < 1000).count();
    let (before, mut probes) = (honest(&lab), 0);
    for sybil in 1000..20_000 {
        for output in lab.seen(sybil) {
            let Output::Send { to, id, .. } = output else { panic!("{output:?}") };
            probes += 1;
            lab.respond(to, id.0, nodes(Vec::new()));
        }
    }
    assert_eq!(honest(&lab), before);
    // One probe per bucket, since no minute has passed.
    assert!(probes <= lab.kad.table().buckets().count());
    for bucket in lab.kad.table().buckets() {
        assert!(bucket.contacts.len() <= 20 && bucket.waiting.len() <= 4, "{bucket:?}");
        assert!(bucket.contacts.iter().all(|c| lab.peers.key(*c).shared_bits(&own) == bucket.depth));
    }
    assert!(lab.count(Count::BucketFull) > 18_000);
    assert!(lab.kad.table().heap() < 6_000, "{}", lab.kad.table().heap());
}

/// Sybils that are there first hold the table, unless their address group may not.
#[test]
fn a_table_filled_by_one_subnet_holds_as_many_of_it_as_allowed() {
    let config = Config { group_bucket_max: 2, group_table_max: 10, ..quiet(Config::spec()) };
    let mut lab = Lab::new(2_000, config);
    lab.peers.group_size = 1_000;
    for sybil in 1..1_000 {
        lab.seen(sybil);
    }
    assert_eq!(lab.kad.table().len(), 10);
    assert!(lab.kad.table().buckets().all(|b| b.contacts.len() <= 2));
    assert_eq!(lab.count(Count::GroupFull), 989);
    // Those of other groups still find room.
    lab.peers.group_size = 1;
    for honest in 1_000..2_000 {
        lab.seen(honest);
    }
    assert!(lab.kad.table().len() > 100);
}

#[test]
fn responses_are_taken_only_from_those_who_were_asked_once_and_of_the_right_kind() {
    let config = Config { k: 3, alpha: 3, beta: 3, ..quiet(Config::rust()) };
    let mut lab = Lab::with_contacts(4, config);
    let p = lab.peers.closest(key(1).place(), 3, 0);
    lab.run(|k, cx| k.find_node(cx, key(1))).0.expect("not busy");
    assert_eq!(lab.respond(p[1], 0, nodes(vec![9])), [], "that was p[0]'s");
    assert_eq!(lab.respond(p[0], 99, nodes(vec![9])), []);
    assert_eq!(lab.count(Count::Unasked), 2);
    assert_eq!(lab.respond(p[0], 0, nodes(vec![])), []);
    assert_eq!(lab.respond(p[0], 0, nodes(vec![])), []);
    assert_eq!(lab.count(Count::Unasked), 3);
    // A wrong kind is as good as none.
    assert_eq!(lab.respond(p[1], 1, Response::Stored), []);
    assert_eq!(lab.count(Count::WrongKind), 1);
    assert!(!lab.kad.table().contains(&lab.peers.key(0), p[1], &lab.peers));
    let out = lab.respond(p[2], 2, nodes(vec![]));
    assert!(
        matches!(&out[..], [Output::QueryDone { outcome: Outcome::Nodes(found), .. }] if *found == [p[0], p[2]])
    );
}

#[test]
fn a_long_list_of_closer_peers_is_cut_and_we_are_not_among_them() {
    let config = Config { k: 3, alpha: 1, alpha_stalled: 1, beta: 3, ..quiet(Config::rust()) };
    let mut lab = Lab::new(50, config);
    lab.seen(1);
    lab.run(|k, cx| k.find_node(cx, key(1))).0.expect("not busy");
    let named = [0, 2, 3].into_iter().chain(4..50).collect();
    assert_eq!(lab.respond(1, 0, nodes(named)).len(), 1);
    assert_eq!(lab.counts(), [("kad_surplus", 46), ("kad_own_referral", 1)]);
    let lookup = lab.kad.work.as_ref().and_then(|w| w.queries.values().next()).expect("on its way");
    assert_eq!(format!("{lookup:?}").matches("contact:").count(), 3);
}

/// Everybody lies about ever closer peers: the query ends at its limit of requests, and is said to be incomplete.
#[test]
fn a_query_that_is_led_on_ends_and_is_counted() {
    let config = Config { k: 3, requests_max: 40, waiting_max: 0, ..quiet(Config::spec()) };
    let mut lab = Lab::new(2_000, Config { beta: 3, ..config });
    lab.seen(1);
    // By falling distance, so that each names the next ones.
    let order = lab.peers.closest(key(1).place(), 2_000, 0);
    let mut out = lab.run(|k, cx| k.find_node(cx, key(1))).1;
    let mut asked = 0;
    while let Some(output) = out.pop() {
        match output {
            Output::Send { to, id, .. } => {
                asked += 1;
                let at = order.iter().position(|p| *p == to).expect("one of them");
                let named = order[..at].iter().rev().take(3).copied().collect();
                out.extend(lab.respond(to, id.0, nodes(named)));
            }
            Output::QueryDone { stats, .. } => assert!(!stats.complete && stats.requests == 40),
            Output::Respond { .. } => panic!("{output:?}"),
        }
    }
    assert_eq!((asked, lab.count(Count::QueryExhausted)), (40, 1));
}

#[test]
fn a_full_record_store_keeps_the_nearest_and_refuses_what_is_bad() {
    let config = Config { records_max: 10, value_bytes_max: 8, ..quiet(Config::spec()) };
    let mut lab = Lab::new(2, config);
    for n in 0..200 {
        lab.request(1, Request::PutValue(record(n, &[0, 5])));
    }
    let own = lab.peers.key(0);
    let mut nearest: Vec<u8> = (0..200).collect();
    nearest.sort_by_key(|n| own.distance(key(*n).place()));
    assert_eq!(lab.kad.records().map(Records::len), Some(10));
    let (refused, evicted) = (lab.count(Count::RecordRefused), lab.count(Count::RecordEvicted));
    assert_eq!(refused + evicted, 190);
    for (i, n) in nearest.iter().enumerate() {
        let held =
            matches!(lab.ask(1, Request::GetValue(key(*n))), Some(Response::Value { record: Some(_), .. }));
        assert_eq!(held, i < 10);
    }
    let put = |lab: &mut Lab, value: &[u8]| lab.ask(1, Request::PutValue(record(nearest[0], value)));
    assert_eq!(put(&mut lab, &[0; 9]), None);
    assert_eq!(put(&mut lab, &[255]), None);
    assert_eq!(put(&mut lab, &[0, 4]), None);
    assert_eq!(put(&mut lab, &[0, 6]), Some(Response::Stored));
    assert_eq!((lab.count(Count::RecordInvalid), lab.count(Count::RecordOld)), (2, 1));
}

#[test]
fn a_value_of_another_key_or_one_that_is_not_valid_is_no_answer() {
    let mut lab = Lab::with_contacts(4, Config { k: 3, alpha: 3, beta: 3, ..quiet(Config::spec()) });
    let p = lab.peers.closest(key(1).place(), 3, 0);
    lab.run(|k, cx| k.get_value(cx, key(1))).0.expect("not busy");
    let found = |record| Response::Value { record: Some(record), closer: vec![] };
    assert_eq!(lab.respond(p[0], 0, found(record(2, &[0, 1]))), []);
    assert_eq!(lab.respond(p[1], 1, found(record(1, &[255]))), []);
    let out = lab.respond(p[2], 2, found(record(1, &vec![0; 70_000])));
    assert!(matches!(&out[..], [Output::QueryDone { outcome: Outcome::Value(None), .. }]), "{out:?}");
    assert_eq!(lab.counts(), [("kad_record_invalid", 3)]);
}

#[test]
fn a_flood_of_provider_records_is_bounded_per_key_per_provider_and_in_all() {
    let config = Config {
        provider_keys_max: 50,
        providers_per_key_max: 20,
        keys_per_provider_max: 30,
        ..quiet(Config::spec())
    };
    let mut lab = Lab::new(1_000, config);
    let add = |n: u8, providers: Vec<u32>| Request::AddProvider { key: key(n), providers };
    // One provider, many keys.
    for n in 0..200 {
        assert_eq!(lab.request(1, add(n, vec![1])), []);
    }
    assert_eq!(lab.kad.providers().map(Providers::len), Some(30));
    assert_eq!(lab.counts(), [("kad_provider_flood", 170)]);
    // Many providers, one key.
    for sybil in 2..1_000 {
        lab.request(sybil, add(0, vec![sybil]));
    }
    assert_eq!(lab.count(Count::ProviderSurplus), 998 - 19);
    // Many providers, many keys.
    for sybil in 2..1_000 {
        lab.request(sybil, add((sybil % 251) as u8, vec![sybil]));
    }
    let providers = lab.kad.providers().expect("some are stored");
    assert!(providers.keys() == 50 && providers.len() <= 50 * 20);
    assert!(lab.count(Count::ProviderRefused) > 0 && lab.count(Count::ProviderEvicted) > 0);
    // In the name of others.
    let before = providers.len();
    lab.request(5, add(0, vec![6, 7]));
    lab.request(5, add(0, vec![]));
    assert_eq!(lab.kad.providers().map(Providers::len), Some(before));
    assert_eq!(lab.count(Count::ProviderForged), 2);
}

#[test]
fn the_application_cannot_overfill_it_either() {
    let config = Config { queries_max: 2, own_max: 1, value_bytes_max: 8, ..quiet(Config::spec()) };
    let mut lab = Lab::with_contacts(3, config);
    assert_eq!(lab.run(|k, cx| k.put_value(cx, key(1), &[0; 9])).0, Err(Error::TooLong(9)));
    lab.run(|k, cx| k.put_value(cx, key(1), &[0; 8])).0.expect("the first");
    assert_eq!(lab.run(|k, cx| k.put_value(cx, key(2), &[0; 8])).0, Err(Error::TooMany(1)));
    lab.run(|k, cx| k.provide(cx, key(1))).0.expect("the first");
    assert_eq!(lab.run(|k, cx| k.find_node(cx, key(1))).0, Err(Error::Busy(2)));
    assert_eq!(lab.run(|k, cx| k.put_value(cx, key(1), &[1; 8])).0, Err(Error::Busy(2)));
}

#[derive(Clone, Debug)]
enum Event {
    Seen(u32),
    Unreachable(u32),
    Request(u32, Request<u32>),
    Response(u32, u32, Response<u32>),
    Failure(u32),
    Query(u8, u8),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let peer = || 0u32..60;
    let list = || proptest::collection::vec(0u32..60, 0..9);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let value = move || (0u8..9, bytes()).prop_map(|(n, value)| record(n, &value));
    let request = prop_oneof![
        (0u8..9).prop_map(|n| Request::FindNode(key(n))),
        (0u8..9).prop_map(|n| Request::GetValue(key(n))),
        (0u8..9).prop_map(|n| Request::GetProviders(key(n))),
        value().prop_map(Request::PutValue),
        (0u8..9, list()).prop_map(|(n, providers)| Request::AddProvider { key: key(n), providers }),
    ];
    let response = prop_oneof![
        list().prop_map(nodes),
        (proptest::option::of(value()), list())
            .prop_map(|(record, closer)| Response::Value { record, closer }),
        (list(), list()).prop_map(|(providers, closer)| Response::Providers { providers, closer }),
        Just(Response::Stored),
    ];
    prop_oneof![
        1 => peer().prop_map(Event::Seen),
        1 => peer().prop_map(Event::Unreachable),
        1 => (peer(), request).prop_map(|(from, request)| Event::Request(from, request)),
        4 => (peer(), 0u32..99, response).prop_map(|(from, id, response)| Event::Response(from, id, response)),
        1 => (0u32..99).prop_map(Event::Failure),
        1 => (0u8..5, 0u8..9).prop_map(|(what, n)| Event::Query(what, n)),
        1 => (0u64..5_000).prop_map(Event::Pass),
    ]
}

proptest! {
    /// Whatever comes in, in whatever order: no panic, every bound holds, every query ends exactly once, and the timer
    /// always lies ahead.
    #[test]
    fn nothing_that_comes_in_breaks_a_bound(
        events in proptest::collection::vec(event(), 0..150),
        paths in 1usize..4, keep_stale: bool,
    ) {
        let config = Config {
            k: 3, alpha: 2, alpha_stalled: 3, beta: 2, paths, keep_stale, waiting_max: 2, requests_max: 20,
            queries_max: 3, group_bucket_max: 2, records_max: 3, records_bytes_max: 40, value_bytes_max: 10,
            provider_keys_max: 3, providers_per_key_max: 2, keys_per_provider_max: 2, own_max: 2, quorum: 2,
            ..Config::spec()
        };
        let mut lab = Lab::new(60, config);
        lab.peers.group_size = 7;
        lab.run(|k, cx| k.start(cx));
        // Requests on their way, so that responses have a chance to fit.
        let mut open: Vec<(u32, u32)> = Vec::new();
        let (mut started, mut ended) = (0, 0);
        for event in events {
            let out = match event {
                Event::Seen(peer) => lab.seen(peer),
                Event::Unreachable(peer) => lab.run(|k, cx| k.on_unreachable(cx, peer)).1,
                Event::Request(from, request) => lab.request(from, request),
                Event::Response(from, id, response) => {
                    let fits = (id % 4 > 0).then(|| open.get(id as usize % open.len().max(1))).flatten();
                    let (from, id) = fits.copied().unwrap_or((from, id));
                    lab.respond(from, id, response)
                }
                Event::Failure(id) => lab.run(|k, cx| k.on_failure(cx, RequestId(id))).1,
                Event::Pass(millis) => lab.pass(Duration::from_millis(millis * millis / 100)),
                Event::Query(what, n) => {
                    let (id, out) = lab.run(|k, cx| match what {
                        0 => k.find_node(cx, key(n)),
                        1 => k.get_value(cx, key(n)),
                        2 => k.put_value(cx, key(n), &[n; 3]),
                        3 => k.get_providers(cx, key(n)),
                        _ => k.provide(cx, key(n)),
                    });
                    started += usize::from(id.is_ok());
                    out
                }
            };
            for output in out {
                match output {
                    Output::Send { to, id, .. } => {
                        prop_assert!(to != 0, "it asks itself");
                        open.push((to, id.0));
                    }
                    Output::QueryDone { .. } => ended += 1,
                    Output::Respond { .. } => {}
                }
            }
            prop_assert!(lab.kad.queries() <= 3 + 2);
            prop_assert!(lab.kad.poll_timeout().is_some_and(|at| at > lab.now || lab.now == Instant::ZERO));
            prop_assert!(lab.kad.table().buckets().all(|b| b.contacts.len() <= 3 && b.waiting.len() <= 2));
            prop_assert!(lab.kad.records().is_none_or(|r| r.len() <= 3 && r.bytes() <= 40));
            prop_assert!(lab.kad.providers().is_none_or(|p| p.keys() <= 3 && p.len() <= 6));
        }
        // Nobody answers any more.
        for _ in 0..30 {
            for output in lab.pass(Duration::from_secs(5)) {
                ended += usize::from(matches!(output, Output::QueryDone { .. }));
            }
        }
        prop_assert_eq!(started, ended);
    }
}
