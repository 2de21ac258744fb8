//! The DHT as a child: when it is made, and what becomes of requests, queries and timers.

use super::*;
use crate::kad::{Error, Kad, Outcome, QueryStats, Record, Request as Dht, Response as Answer};

fn key() -> Key {
    Key::new(b"some key")
}

fn find() -> Dht<u32> {
    Dht::FindNode(key())
}

/// A query that ended by itself, on the way to contacts it knew.
fn stats(requests: u32) -> QueryStats {
    QueryStats { requests, hops: requests.min(1), complete: true, ..QueryStats::default() }
}

fn done(token: u64, outcome: Outcome<u32>, stats: QueryStats) -> Output<Note> {
    told(Event::QueryDone { token, outcome, stats })
}

fn refused(token: u64, error: Option<Error>) -> Output<Note> {
    told(Event::QueryRefused { token, error })
}

#[test]
fn without_a_dht_what_asks_for_one_is_refused_and_counted() {
    let mut lab = Lab::new();
    assert_eq!(lab.connect(1, true), []);
    assert_eq!(lab.feed(Input::Discovered(2)), []);
    assert_eq!(lab.counts(), [], "to be one that serves the DHT is no fault");
    assert_eq!(lab.request(1, 5, Request::Dht(find())), []);
    assert_eq!(lab.nobody(1, 5), []);
    let protocol = crate::request::Protocol::Dht;
    assert_eq!(lab.feed(Input::RequestFailed { protocol, id: RequestId(0) }), []);
    assert_eq!(lab.query(7, Query::FindNode(key())), [refused(7, None)]);
    assert_eq!(lab.counts(), [("unsupported", 3)]);
    assert!(lab.peer.dht.is_none() && lab.peer.poll_timeout().is_none());
}

#[test]
fn the_dht_is_made_when_it_is_first_needed() {
    type Act = fn(&mut Lab) -> Outbox;
    let idle: [Act; 6] = [
        |lab| lab.connect(1, false),
        |lab| lab.feed(Input::Subscribe(TopicRef(1))),
        |lab| lab.nobody(1, 0),
        |lab| {
            let protocol = crate::request::Protocol::Dht;
            lab.feed(Input::RequestFailed { protocol, id: RequestId(0) })
        },
        |lab| lab.pass(seconds(999)),
        |lab| lab.command(Command::Announce(card(0, 0, &["tag"]))),
    ];
    let mut lab = Lab::with_dht(kad::Config::rust(), &[]);
    for act in &idle[..5] {
        act(&mut lab);
        assert!(lab.peer.dht().is_none() && lab.peer.poll_timeout().is_none());
    }
    assert_eq!(lab.counts(), [("kad_unasked", 1)]);
    let uses: [Act; 5] = [
        |lab| lab.connect(1, true),
        |lab| lab.feed(Input::Discovered(1)),
        |lab| lab.request(1, 0, Request::Dht(find())),
        |lab| lab.query(1, Query::FindNode(key())),
        idle[5],
    ];
    for act in uses {
        let mut lab = Lab::with_dht(kad::Config::rust(), &[]);
        act(&mut lab);
        assert!(lab.peer.dht().is_some());
        let refresh = lab.peer.poll_timeout().expect("started");
        assert!(refresh < Instant::ZERO + lab.config.dht.as_ref().expect("on").refresh_interval);
    }
}

#[test]
fn requests_are_answered_under_the_asker_s_number() {
    let mut lab = Lab::with_dht(quiet(), &[1, 2]);
    let p = by_distance(&key(), &[1, 2]);
    let nodes = Response::Dht(Answer::Nodes { closer: p });
    assert_eq!(lab.request(5, 77, Request::Dht(find())), [answer(5, 77, nodes)]);
    let put =
        |length| Request::Dht(Dht::PutValue(Record { key: key(), value: vec![1; length].into(), ttl: None }));
    assert_eq!(lab.request(5, 78, put(3)), [answer(5, 78, Response::Dht(Answer::Stored))]);
    assert_eq!(lab.request(5, 79, put(1 << 20)), []);
    let provide = Dht::AddProvider { key: key(), providers: vec![5] };
    assert_eq!(lab.request(5, 80, Request::Dht(provide)), []);
    assert_eq!(lab.counts(), [("kad_record_invalid", 1)]);
    let kad = lab.peer.dht().expect("made");
    assert_eq!(
        (kad.records().map(kad::Records::len), kad.providers().map(kad::Providers::len)),
        (Some(1), Some(1))
    );
}

#[test]
fn a_query_s_token_comes_back_with_its_end() {
    let mut lab = Lab::with_dht(quiet(), &[1, 2]);
    let p = by_distance(&key(), &[1, 2]);
    assert_eq!(lab.query(41, Query::FindNode(key())), [ask(p[0], 0, find()), ask(p[1], 1, find())]);
    let provided = Query::FindProviders(key());
    let get = || Dht::GetProviders(key());
    assert_eq!(lab.query(42, provided), [ask(p[0], 2, get()), ask(p[1], 3, get())]);
    assert_eq!(lab.tokens(), 2);
    let found = |provider| Response::Dht(Answer::Providers { providers: vec![provider], closer: vec![] });
    assert_eq!(lab.respond(p[0], 2, found(8)), []);
    assert_eq!(lab.nobody(p[1], 1), []);
    assert_eq!(lab.respond(p[1], 3, found(9)), [done(42, Outcome::Providers(vec![8, 9]), stats(2))]);
    let mut waited = stats(2);
    waited.elapsed = seconds(1);
    lab.now += seconds(1);
    assert_eq!(lab.nobody(p[0], 0), [done(41, Outcome::Nodes(p.clone()), waited)]);
    assert_eq!((lab.tokens(), lab.counts()), (0, vec![]));
    assert_eq!(lab.nobody(p[0], 0), []);
    assert_eq!(lab.counts(), [("kad_unasked", 1)]);
}

#[test]
fn values_and_providers_are_put_by_command() {
    let mut lab = Lab::with_dht(quiet(), &[1]);
    assert_eq!(lab.query(1, Query::PutValue(key(), [5].as_slice().into())), [ask(1, 0, find())]);
    let record = Record { key: key(), value: [5].as_slice().into(), ttl: None };
    assert_eq!(lab.nobody(1, 0), [ask(1, 1, Dht::PutValue(record.clone()))]);
    let stored = Outcome::Stored { sent: 1, confirmed: 1 };
    assert_eq!(lab.respond(1, 1, Response::Dht(Answer::Stored)), [done(1, stored, stats(1))]);
    assert_eq!(lab.query(2, Query::Provide(key())), [ask(1, 2, find())]);
    let add = Dht::AddProvider { key: key(), providers: vec![0] };
    let provided = done(2, Outcome::Provided { sent: 1 }, stats(1));
    assert_eq!(lab.nobody(1, 2), [ask(1, 3, add), provided]);
    // What we have ourselves needs no lookup: the end is in the outbox of the start.
    let value = done(3, Outcome::Value(Some(record)), stats(0));
    assert_eq!(lab.query(3, Query::GetValue(key())), [value]);
    assert_eq!(lab.tokens(), 0);
}

#[test]
fn a_query_that_nobody_can_be_asked_ends_at_once() {
    let mut lab = Lab::with_dht(quiet(), &[]);
    let cases = [
        (Query::FindNode(key()), Outcome::Nodes(vec![])),
        (Query::GetValue(key()), Outcome::Value(None)),
        (Query::FindProviders(key()), Outcome::Providers(vec![])),
        (Query::PutValue(key(), [1].as_slice().into()), Outcome::Stored { sent: 0, confirmed: 0 }),
        (Query::Provide(key()), Outcome::Provided { sent: 0 }),
    ];
    for (token, (query, outcome)) in cases.into_iter().enumerate() {
        assert_eq!(lab.query(token as u64, query), [done(token as u64, outcome, stats(0))]);
    }
    assert_eq!((lab.tokens(), lab.counts(), lab.peer.poll_timeout()), (0, vec![], None));
}

#[test]
fn a_query_that_is_refused_leaves_nothing_behind() {
    let config = kad::Config { queries_max: 1, own_max: 1, value_bytes_max: 9, ..quiet() };
    let mut lab = Lab::with_dht(config, &[1]);
    let put = |key: &[u8], length: usize| Query::PutValue(Key::new(key), vec![0; length].into());
    assert_eq!(lab.query(1, put(b"a", 10)), [refused(1, Some(Error::TooLong(10)))]);
    assert_eq!(lab.query(2, Query::FindNode(key())), [ask(1, 0, find())]);
    for (token, query) in [(3, Query::GetValue(key())), (4, put(b"a", 1)), (5, Query::Provide(key()))] {
        assert_eq!(lab.query(token, query), [refused(token, Some(Error::Busy(1)))]);
    }
    assert_eq!(lab.nobody(1, 0), [done(2, Outcome::Nodes(vec![1]), stats(1))]);
    assert_eq!(lab.query(6, put(b"b", 1)), [ask(1, 1, Dht::FindNode(Key::new(b"b")))]);
    lab.nobody(1, 1);
    let stored = done(6, Outcome::Stored { sent: 1, confirmed: 1 }, stats(1));
    assert_eq!(lab.respond(1, 2, Response::Dht(Answer::Stored)), [stored]);
    assert_eq!(lab.query(7, put(b"a", 1)), [refused(7, Some(Error::TooMany(1)))], "4 was not kept");
    assert_eq!((lab.tokens(), lab.counts()), (0, vec![]));
}

#[test]
fn upkeep_is_not_reported() {
    let mut lab = Lab::with_dht(kad::Config { refresh_interval: seconds(600), ..quiet() }, &[]);
    assert_eq!(lab.connect(1, true), []);
    assert_eq!(lab.peer.poll_timeout(), Some(Instant::ZERO + Duration::from_millis(500)));
    let own = Dht::FindNode(Key::of_peer(&id(0)));
    assert_eq!(lab.pass(Duration::from_millis(500)), [ask(1, 0, own)]);
    let out = lab.nobody(1, 0);
    assert!(matches!(&out[..], [Output::Request { to: 1, id: RequestId(1), .. }]), "the bucket: {out:?}");
    assert_eq!(lab.nobody(1, 1), []);
    assert_eq!((lab.tokens(), lab.peer.dht().map(Kad::queries)), (0, Some(0)));
    // Nor when the application has a query of its own on its way.
    let due = lab.peer.poll_timeout().expect("the next refresh");
    lab.now = due - seconds(1);
    assert_eq!(lab.query(9, Query::FindNode(key())), [ask(1, 2, find())]);
    assert_eq!(lab.pass(seconds(1)).len(), 1);
    assert_eq!(lab.nobody(1, 3).len(), 1);
    assert_eq!(lab.nobody(1, 4), []);
    let late = QueryStats { elapsed: seconds(1), ..stats(1) };
    assert_eq!(lab.nobody(1, 2), [done(9, Outcome::Nodes(vec![1]), late)]);
}

#[test]
fn a_query_ends_by_failure_or_by_time_too() {
    let mut lab = Lab::with_dht(kad::Config { keep_stale: true, ..quiet() }, &[1]);
    assert_eq!(lab.query(1, Query::FindNode(key())), [ask(1, 0, find())]);
    let failed = QueryStats { requests: 1, failures: 1, complete: true, ..QueryStats::default() };
    let protocol = crate::request::Protocol::Dht;
    let fail =
        |lab: &mut Lab, protocol, number| lab.feed(Input::RequestFailed { protocol, id: RequestId(number) });
    assert_eq!(fail(&mut lab, crate::request::Protocol::Card, 0), [], "cards have numbers of their own");
    assert_eq!(fail(&mut lab, protocol, 0), [done(1, Outcome::Nodes(vec![]), failed)]);
    assert_eq!(fail(&mut lab, protocol, 0), []);
    // No answer.
    assert_eq!(lab.query(2, Query::FindNode(key())), [ask(1, 1, find())]);
    assert_eq!(lab.peer.poll_timeout(), Some(Instant::ZERO + seconds(10)));
    assert_eq!(lab.pass(seconds(9)), []);
    let late = QueryStats { elapsed: seconds(10), ..failed };
    assert_eq!(lab.pass(seconds(1)), [done(2, Outcome::Nodes(vec![]), late)]);
    assert_eq!(lab.pass(Duration::ZERO), []);
    assert_eq!((lab.tokens(), lab.peer.poll_timeout()), (0, None));
    // No end.
    lab.config.dht = Some(kad::Config { query_timeout: seconds(5), ..lab.config.dht.take().expect("on") });
    assert_eq!(lab.query(3, Query::FindNode(key())), [ask(1, 2, find())]);
    let cut = QueryStats { requests: 1, elapsed: seconds(5), ..QueryStats::default() };
    assert_eq!(lab.pass(seconds(5)), [done(3, Outcome::Nodes(vec![]), cut)]);
    assert_eq!(lab.tokens(), 0);
    assert_eq!(lab.counts(), [("kad_request_timeout", 1), ("kad_query_timeout", 1)]);
}

#[test]
fn the_next_timer_is_the_first_of_all_children_s() {
    let mut lab = Lab::with_dht(quiet(), &[1]);
    lab.config.gossip.heartbeat_interval = seconds(20);
    lab.config.gossip.heartbeat_delay = Duration::ZERO;
    lab.feed(Input::Start);
    let heartbeat = lab.peer.gossip.poll_timeout().expect("on");
    assert_eq!(lab.peer.poll_timeout(), Some(heartbeat));
    lab.command(Command::Announce(card(0, 0, &[])));
    lab.query(1, Query::FindNode(key()));
    let dht = lab.peer.dht().and_then(Kad::poll_timeout).expect("a request is on its way");
    let cards = lab.peer.cards().and_then(super::super::Cards::poll_timeout).expect("a heartbeat");
    assert_eq!(lab.peer.poll_timeout(), [heartbeat, dht, cards].into_iter().min());
    // Each runs when it is due, and only then.
    let mut ran = Vec::new();
    for _ in 0..3 {
        let due = lab.peer.poll_timeout().expect("more to come");
        lab.now = due - Duration::from_nanos(1);
        assert_eq!(lab.pass(Duration::ZERO), []);
        lab.pass(Duration::from_nanos(1));
        let next = lab.peer.poll_timeout().expect("heartbeats go on");
        assert!(next > due);
        assert_eq!((lab.pass(Duration::ZERO), lab.peer.poll_timeout()), (vec![], Some(next)));
        ran.push(due);
    }
    let mut expected = vec![heartbeat, dht, cards];
    expected.sort_unstable();
    assert_eq!(ran, expected);
}
