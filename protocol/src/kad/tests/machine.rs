//! What the machine does, by whole outboxes.

use super::super::testing::{Lab, quiet};
use super::super::*;
use crate::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key() -> Key {
    Key::new(b"some key")
}

/// A lookup that asks two at once for three contacts.
fn small() -> Config {
    Config { k: 3, alpha: 2, alpha_stalled: 2, beta: 3, waiting_max: 0, ..quiet(Config::rust()) }
}

fn send(to: u32, id: u32, request: Request<u32>) -> Output<u32> {
    Output::Send { to, id: RequestId(id), request }
}

fn nodes(closer: &[u32]) -> Response<u32> {
    Response::Nodes { closer: closer.into() }
}

fn value(byte: u8) -> Record {
    Record { key: key(), value: [0, byte].as_slice().into(), ttl: None }
}

/// The peers of a lab but its own, closest to the key first.
fn by_distance(lab: &Lab) -> Vec<u32> {
    lab.peers.closest(key().place(), 99, 0)
}

#[test]
fn an_idle_machine_wants_nothing_and_owns_nothing() {
    let mut lab = Lab::new(2, Config::spec());
    assert_eq!(lab.kad.poll_timeout(), None);
    lab.run(|k, cx| k.start(cx));
    let phase = lab.kad.poll_timeout().expect("a refresh").since(Instant::ZERO);
    assert!(phase < seconds(600));
    assert_eq!((lab.kad.table().heap(), lab.kad.queries(), lab.kad.requests()), (0, 0, 0));
    assert!(lab.kad.records().is_none() && lab.kad.work.is_none());
    assert!(size_of::<Kad<u32>>() <= 80, "{}", size_of::<Kad<u32>>());
}

#[test]
fn a_lookup_asks_the_closest_and_ends_with_the_closest() {
    let mut lab = Lab::with_contacts(5, small());
    let p = by_distance(&lab);
    // p[0] and p[1] are heard of on the way only.
    for unknown in [p[0], p[1]] {
        lab.kad.table.failed(&lab.peers.key(0), unknown, &lab.config, &lab.peers);
    }
    let (id, out) = lab.run(|k, cx| k.find_node(cx, key()));
    let id = id.expect("not busy");
    let ask = || Request::FindNode(key());
    assert_eq!(out, [send(p[2], 0, ask()), send(p[3], 1, ask())]);
    lab.now = Instant::ZERO + seconds(1);
    assert_eq!(lab.respond(p[3], 1, nodes(&[p[1]])), [send(p[1], 2, ask())]);
    assert_eq!(lab.respond(p[2], 0, nodes(&[p[3], p[0]])), [send(p[0], 3, ask())]);
    assert_eq!(lab.respond(p[0], 3, nodes(&[])), []);
    let stats = QueryStats { requests: 4, failures: 0, hops: 2, elapsed: seconds(1), complete: true };
    let outcome = Outcome::Nodes(vec![p[0], p[1], p[2]]);
    assert_eq!(lab.respond(p[1], 2, nodes(&[])), [Output::QueryDone { id, outcome, stats }]);
    // Who answered is in the table from now on.
    assert!(lab.kad.table.contains(&lab.peers.key(0), p[0], &lab.peers));
    assert_eq!((lab.kad.queries(), lab.kad.requests(), lab.kad.work.is_none()), (0, 0, true));
    // But for p[1], whose bucket had three by then.
    assert_eq!(lab.counts(), [("kad_bucket_full", 1)]);
}

/// "A node that crashes mid-lookup": its requests run out, it loses its place, the lookup goes on without it.
#[test]
fn a_peer_that_crashes_mid_lookup_costs_its_timeout_and_its_place() {
    let mut lab = Lab::with_contacts(5, small());
    let p = by_distance(&lab);
    let (id, _) = lab.run(|k, cx| k.find_node(cx, key()));
    let id = id.expect("not busy");
    assert_eq!(lab.respond(p[1], 1, nodes(&[])), [send(p[2], 2, Request::FindNode(key()))]);
    assert_eq!(lab.respond(p[2], 2, nodes(&[])), []);
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + seconds(10)));
    assert_eq!(lab.pass(seconds(9)), []);
    // p[3] was no seed, since only the k closest are.
    let stats = QueryStats { requests: 3, failures: 1, hops: 1, elapsed: seconds(10), complete: true };
    let outcome = Outcome::Nodes(vec![p[1], p[2]]);
    assert_eq!(lab.pass(seconds(1)), [Output::QueryDone { id, outcome, stats }]);
    assert!(!lab.kad.table.contains(&lab.peers.key(0), p[0], &lab.peers));
    assert_eq!(lab.counts(), [("kad_request_timeout", 1)]);
    // It comes back too late.
    assert_eq!(lab.respond(p[0], 0, nodes(&[])), []);
    assert_eq!(lab.count(Count::Unasked), 1);
}

#[test]
fn a_request_that_cannot_be_sent_fails_at_once() {
    let mut lab = Lab::with_contacts(3, small());
    let p = by_distance(&lab);
    let (id, _) = lab.run(|k, cx| k.find_node(cx, key()));
    assert_eq!(lab.run(|k, cx| k.on_failure(cx, RequestId(0))).1, []);
    assert_eq!(lab.run(|k, cx| k.on_failure(cx, RequestId(0))).1, []);
    let outcome = Outcome::Nodes(Vec::new());
    let stats = QueryStats { requests: 2, failures: 2, complete: true, ..QueryStats::default() };
    let done = Output::QueryDone { id: id.expect("not busy"), outcome, stats };
    assert_eq!(lab.run(|k, cx| k.on_failure(cx, RequestId(1))).1, [done]);
    assert_eq!(p.len(), 2);
    assert!(lab.kad.table().is_empty());
}

#[test]
fn a_query_ends_at_its_time_limit_with_what_it_has() {
    let config = Config { query_timeout: seconds(15), request_timeout: seconds(20), ..small() };
    let mut lab = Lab::with_contacts(4, config);
    let p = by_distance(&lab);
    let (id, _) = lab.run(|k, cx| k.find_node(cx, key()));
    lab.respond(p[0], 0, nodes(&[]));
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + seconds(15)));
    let stats = QueryStats { requests: 3, hops: 1, elapsed: seconds(15), ..QueryStats::default() };
    let done = Output::QueryDone { id: id.expect("not busy"), outcome: Outcome::Nodes(vec![p[0]]), stats };
    assert_eq!(lab.pass(seconds(15)), [done]);
    assert_eq!(lab.counts(), [("kad_query_timeout", 1)]);
    // What is still on its way tells who is there and who is not.
    assert_eq!(lab.respond(p[1], 1, nodes(&[])), []);
    assert_eq!(lab.pass(seconds(20)), []);
    let known = |peer| lab.kad.table.contains(&lab.peers.key(0), peer, &lab.peers);
    assert_eq!([p[0], p[1], p[2]].map(known), [true, true, false]);
    assert_eq!(lab.counts(), [("kad_request_timeout", 1), ("kad_query_timeout", 1)]);
    assert!(lab.kad.work.is_none());
}

#[test]
fn a_value_is_put_at_the_closest_that_answered_and_confirmations_are_counted() {
    let mut lab = Lab::with_contacts(4, small());
    let p = by_distance(&lab);
    let (id, out) = lab.run(|k, cx| k.put_value(cx, key(), &[0, 1]));
    assert_eq!(out.len(), 2);
    lab.respond(p[0], 0, nodes(&[]));
    lab.respond(p[1], 1, nodes(&[]));
    let put = || Request::PutValue(value(1));
    assert_eq!(
        lab.respond(p[2], 2, nodes(&[])),
        [send(p[0], 3, put()), send(p[1], 4, put()), send(p[2], 5, put())]
    );
    assert_eq!(lab.respond(p[0], 3, Response::Stored), []);
    assert_eq!(lab.run(|k, cx| k.on_failure(cx, RequestId(4))).1, []);
    let stats =
        QueryStats { requests: 3, hops: 1, elapsed: seconds(10), complete: true, ..Default::default() };
    let outcome = Outcome::Stored { sent: 3, confirmed: 1 };
    assert_eq!(lab.pass(seconds(10)), [Output::QueryDone { id: id.expect("not busy"), outcome, stats }]);
    // Who did not confirm may have no room, and keeps its place. We answer for the value too.
    let closer = vec![p[0], p[2]];
    assert_eq!(
        lab.ask(p[1], Request::GetValue(key())),
        Some(Response::Value { record: Some(value(1)), closer })
    );
}

#[test]
fn a_value_is_looked_up_until_the_quorum_and_the_others_are_corrected() {
    let mut lab = Lab::with_contacts(4, Config { quorum: 2, cache_peers: 1, ..small() });
    let p = by_distance(&lab);
    let (id, out) = lab.run(|k, cx| k.get_value(cx, key()));
    let ask = || Request::GetValue(key());
    assert_eq!(out, [send(p[0], 0, ask()), send(p[1], 1, ask())]);
    let found = |byte| Response::Value { record: Some(value(byte)), closer: Vec::new() };
    assert_eq!(lab.respond(p[1], 1, found(1)), [send(p[2], 2, ask())]);
    let nothing = Response::Value { record: None, closer: Vec::new() };
    assert_eq!(lab.respond(p[0], 0, nothing), []);
    let stats = QueryStats { requests: 3, hops: 1, complete: true, ..QueryStats::default() };
    assert_eq!(
        lab.respond(p[2], 2, found(2)),
        [
            send(p[1], 3, Request::PutValue(value(2))),
            send(p[0], 4, Request::PutValue(value(2))),
            Output::QueryDone { id: id.expect("not busy"), outcome: Outcome::Value(Some(value(2))), stats },
        ]
    );
    assert_eq!(lab.respond(p[1], 3, Response::Stored), []);
    // Nobody waits for the other, but it must not stay forever.
    assert_eq!((lab.pass(seconds(10)), lab.kad.work.is_none()), (Vec::new(), true));
}

#[test]
fn what_we_have_ourselves_needs_no_lookup() {
    let mut lab = Lab::with_contacts(4, Config { providers_enough: 1, ..small() });
    assert_eq!(lab.ask(3, Request::PutValue(value(1))), Some(Response::Stored));
    let (id, out) = lab.run(|k, cx| k.get_value(cx, key()));
    let ttl = Some(lab.config.record_ttl);
    let outcome = Outcome::Value(Some(Record { ttl, ..value(1) }));
    let stats = QueryStats { complete: true, ..QueryStats::default() };
    assert_eq!(out, [Output::QueryDone { id: id.expect("not busy"), outcome, stats }]);
    assert_eq!(lab.ask(3, Request::AddProvider { key: key(), providers: vec![3] }), None);
    let (id, out) = lab.run(|k, cx| k.get_providers(cx, key()));
    assert_eq!(
        out,
        [Output::QueryDone { id: id.expect("not busy"), outcome: Outcome::Providers(vec![3]), stats }]
    );
}

#[test]
fn providers_are_collected_and_announced() {
    let mut lab = Lab::with_contacts(3, Config { providers_enough: 3, ..small() });
    let p = by_distance(&lab);
    let (id, out) = lab.run(|k, cx| k.get_providers(cx, key()));
    let ask = || Request::GetProviders(key());
    assert_eq!(out, [send(p[0], 0, ask()), send(p[1], 1, ask())]);
    let found = |providers: &[u32]| Response::Providers { providers: providers.into(), closer: Vec::new() };
    assert_eq!(lab.respond(p[1], 1, found(&[7, 8])), []);
    let stats = QueryStats { requests: 2, hops: 1, complete: true, ..QueryStats::default() };
    let done =
        |id: Result<QueryId, Error>, outcome| Output::QueryDone { id: id.expect("not busy"), outcome, stats };
    assert_eq!(lab.respond(p[0], 0, found(&[8, 9])), [done(id, Outcome::Providers(vec![7, 8, 9]))]);

    let (id, _) = lab.run(|k, cx| k.provide(cx, key()));
    lab.respond(p[0], 2, nodes(&[]));
    let add = || Request::AddProvider { key: key(), providers: vec![0] };
    let told = done(id, Outcome::Provided { sent: 2 });
    assert_eq!(lab.respond(p[1], 3, nodes(&[])), [send(p[0], 4, add()), send(p[1], 5, add()), told]);
    assert!(lab.kad.work.is_none(), "there is no response");
    let providers = vec![0];
    assert_eq!(
        lab.ask(p[0], Request::GetProviders(key())),
        Some(Response::Providers { providers, closer: vec![p[1]] })
    );
    lab.run(|k, cx| k.stop_providing(cx, &key()));
    assert_eq!(
        lab.ask(p[0], Request::GetProviders(key())),
        Some(Response::Providers { providers: vec![], closer: vec![p[1]] })
    );
}

#[test]
fn a_request_is_answered_with_the_closest_but_the_asker_and_the_silent() {
    let mut lab = Lab::with_contacts(9, Config { keep_stale: true, ..small() });
    let p = by_distance(&lab);
    let find = || Request::FindNode(key());
    assert_eq!(lab.ask(p[1], find()), Some(nodes(&[p[0], p[2], p[3]])));
    lab.run(|k, cx| k.on_unreachable(cx, p[0]));
    assert_eq!(lab.ask(p[1], find()), Some(nodes(&[p[2], p[3], p[4]])));
    // We ourselves would still try it.
    let (_, out) = lab.run(|k, cx| k.find_node(cx, key()));
    assert_eq!(out, [send(p[0], 0, find()), send(p[1], 1, find())]);
}

/// The bucket of contacts that share no bit with us, full, and those left over.
fn full_bucket(config: Config) -> (Lab, Vec<u32>) {
    let mut lab = Lab::new(200, config);
    let far: Vec<u32> = (1..200).filter(|p| lab.peers.key(0).shared_bits(&lab.peers.key(*p)) == 0).collect();
    for contact in &far[..3] {
        assert_eq!(lab.seen(*contact), []);
    }
    (lab, far)
}

#[test]
fn a_newcomer_to_a_full_bucket_has_the_least_recently_seen_probed_once_a_minute() {
    let (mut lab, far) = full_bucket(Config { waiting_max: 1, ..small() });
    let probe = |lab: &Lab| Request::FindNode(lab.peers.id(0));
    assert_eq!(lab.seen(far[3]), [send(far[0], 0, probe(&lab))]);
    assert_eq!(lab.seen(far[4]), []);
    // It lives: it keeps its place and is now the most recently seen.
    assert_eq!(lab.respond(far[0], 0, nodes(&[5, 6])), []);
    let live = |lab: &Lab| lab.kad.table().buckets().next().expect("a bucket").live.to_vec();
    assert_eq!(live(&lab), [far[1], far[2], far[0]]);
    assert_eq!(lab.seen(far[3]), [], "not within a minute");
    lab.now = Instant::ZERO + seconds(60);
    assert_eq!(lab.seen(far[4]), [send(far[1], 1, probe(&lab))]);
    assert_eq!(lab.pass(seconds(10)), []);
    assert_eq!(live(&lab), [far[2], far[0], far[4]]);
    assert_eq!(lab.counts(), [("kad_bucket_full", 4), ("kad_request_timeout", 1)]);
}

#[test]
fn the_first_contact_sets_off_the_bootstrap() {
    let mut lab = Lab::new(40, Config { refresh_interval: seconds(600), ..small() });
    lab.run(|k, cx| k.start(cx));
    assert_eq!(lab.seen(1), []);
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + Duration::from_millis(500)));
    let own = Request::FindNode(lab.peers.id(0));
    assert_eq!(lab.pass(Duration::from_millis(500)), [send(1, 0, own)]);
    // Then one lookup for every bucket in use, for a key that falls into it.
    let mut out = lab.respond(1, 0, nodes(&[]));
    let depth = lab.peers.key(0).shared_bits(&lab.peers.key(1));
    match out.pop() {
        Some(Output::Send { to: 1, id: RequestId(1), request: Request::FindNode(key) }) => {
            assert_eq!(lab.peers.key(0).shared_bits(key.place()), depth);
            assert_eq!(key.bytes()[..2], [0x12, 0x20]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.respond(1, 1, nodes(&[])), []);
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + Duration::from_millis(600_500)));
    // By hand at any time.
    assert_eq!(lab.run(|k, cx| k.bootstrap(cx)).1.len(), 1);
}

#[test]
fn refresh_keys_fall_where_they_should() {
    let mut rng = crate::rng::Stream::new(1, 2);
    for own in 0..20u8 {
        let own = KadKey::hash_of(&[own]);
        for depth in 0..=refresh::REFRESH_DEPTH_MAX {
            assert_eq!(refresh::key_at_depth(&own, depth, &mut rng).place().shared_bits(&own), depth);
        }
    }
}

#[test]
fn values_and_provided_keys_are_put_again_until_they_are_taken_back() {
    let config = Config { republish_interval: seconds(100), reprovide_interval: seconds(150), ..small() };
    let mut lab = Lab::with_contacts(2, config);
    let (_, out) = lab.run(|k, cx| k.put_value(cx, key(), &[0, 1]));
    assert_eq!(out, [send(1, 0, Request::FindNode(key()))]);
    lab.respond(1, 0, nodes(&[]));
    lab.respond(1, 1, Response::Stored);
    lab.run(|k, cx| k.provide(cx, key())).0.expect("not busy");
    lab.respond(1, 2, nodes(&[]));
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + seconds(100)));
    assert_eq!(lab.pass(seconds(100)), [send(1, 4, Request::FindNode(key()))]);
    assert_eq!(lab.respond(1, 4, nodes(&[])), [send(1, 5, Request::PutValue(value(1)))]);
    assert_eq!(lab.respond(1, 5, Response::Stored), [], "the application did not start it");
    assert_eq!(lab.pass(seconds(50)), [send(1, 6, Request::FindNode(key()))]);
    let add = Request::AddProvider { key: key(), providers: vec![0] };
    assert_eq!(lab.respond(1, 6, nodes(&[])), [send(1, 7, add)]);
    lab.run(|k, cx| {
        k.remove_value(cx, &key());
        k.stop_providing(cx, &key());
    });
    assert_eq!(lab.pass(seconds(1000)), []);
    assert_eq!(lab.kad.poll_timeout(), None);
}

#[test]
fn a_stored_value_is_put_at_the_closest_every_hour_until_it_expires() {
    let config = Config { replicate_interval: seconds(3600), record_ttl: seconds(6000), ..small() };
    let mut lab = Lab::with_contacts(3, config);
    let p = by_distance(&lab);
    assert_eq!(lab.ask(1, Request::PutValue(value(1))), Some(Response::Stored));
    assert_eq!(lab.pass(seconds(3600)), []);
    let out = lab.pass(seconds(900));
    assert_eq!(out, [send(p[0], 0, Request::FindNode(key())), send(p[1], 1, Request::FindNode(key()))]);
    lab.respond(p[0], 0, nodes(&[]));
    // The copy lives no longer than ours.
    let copy = || Request::PutValue(Record { ttl: Some(seconds(1500)), ..value(1) });
    assert_eq!(lab.respond(p[1], 1, nodes(&[])), [send(p[0], 2, copy()), send(p[1], 3, copy())]);
    lab.respond(p[0], 2, Response::Stored);
    lab.respond(p[1], 3, Response::Stored);
    assert_eq!(lab.kad.records().map(Records::len), Some(1));
    assert_eq!(lab.pass(seconds(3600)), []);
    assert_eq!(lab.kad.records().map(Records::len), Some(0));
    assert_eq!(lab.kad.poll_timeout(), None);
}

/// Upkeep of our own making: one lookup at a time, and none that nobody can be asked.
#[test]
fn what_is_kept_is_put_by_and_by_once_there_is_somebody() {
    let mut lab = Lab::new(3, Config { republish_interval: seconds(100), queries_max: 1, ..small() });
    let foreign = Record { key: Key::new(b"foreign"), ttl: Some(seconds(50)), ..value(7) };
    assert_eq!(lab.ask(2, Request::PutValue(foreign)), Some(Response::Stored));
    let kept = lab.run(|k, cx| (k.keep_value(cx, key(), &[0, 1]), k.keep_providing(cx, &key())));
    assert_eq!(kept, ((Ok(()), Ok(())), vec![]));
    // Alone it sweeps, and that is all.
    assert_eq!(lab.kad.poll_timeout(), Some(Instant::ZERO + seconds(3600)));
    assert_eq!(lab.pass(seconds(3600)), []);
    assert_eq!((lab.kad.records().map(Records::len), lab.kad.poll_timeout()), (Some(0), None));
    let find = |id| send(1, id, Request::FindNode(key()));
    assert_eq!(lab.seen(1), [find(0)]);
    assert_eq!(lab.run(|k, cx| k.find_node(cx, key())).0, Ok(QueryId(1)), "none of the application's places");
    assert_eq!(lab.respond(1, 0, nodes(&[])), [send(1, 2, Request::PutValue(value(1)))]);
    assert_eq!(lab.respond(1, 2, Response::Stored), [find(3)]);
    let add = Request::AddProvider { key: key(), providers: vec![0] };
    assert_eq!(lab.respond(1, 3, nodes(&[])), [send(1, 4, add)]);
    assert_eq!(lab.respond(1, 1, nodes(&[])).len(), 1, "only this one's end is told");
    assert_eq!(lab.pass(seconds(100)), [find(5)]);
    let (refused, _) = lab.run(|k, cx| k.keep_value(cx, key(), &vec![0; 1 << 20]));
    assert_eq!(refused, Err(Error::TooLong(1 << 20)));
    // Of all this only the numbers outlive a crash without a disk.
    let forgotten = lab.kad.forgotten();
    assert_eq!((forgotten.next_query(), forgotten.next_request), (QueryId(4), 6));
    assert!(forgotten.table().is_empty() && forgotten.store.is_none() && forgotten.work.is_none());
}
