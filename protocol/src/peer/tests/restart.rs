//! A process that dies and starts again, with its disk and without.

use super::*;
use crate::card::card_key;
use crate::kad::{Kad, Record, Request as Dht, Response as Answer};

fn key() -> Key {
    Key::new(b"some key")
}

/// A peer that knows peer 1, stores a value and a provider for others, provides and has put something itself,
/// announces a card, follows peer 3, and has two requests to peer 1 on their way: numbers 8 and 9.
fn busy(config: kad::Config) -> Lab {
    let mut lab = Lab::with_dht(config, &[1]);
    let record = Record { key: Key::new(b"theirs"), value: [1].as_slice().into(), ttl: None };
    lab.request(1, 0, Request::Dht(Dht::PutValue(record)));
    let add = Dht::AddProvider { key: Key::new(b"theirs"), providers: vec![1] };
    lab.request(1, 0, Request::Dht(add));
    lab.query(1, Query::PutValue(key(), [5].as_slice().into()));
    lab.nobody(1, 0);
    lab.respond(1, 1, Response::Dht(Answer::Stored));
    lab.query(2, Query::Provide(key()));
    lab.nobody(1, 2);
    lab.command(Command::Announce(card(0, 0, &["tag"])));
    lab.nobody(1, 4);
    lab.respond(1, 5, Response::Dht(Answer::Stored));
    lab.nobody(1, 6);
    lab.connect(3, false);
    lab.command(Command::Follow(id(3)));
    let find = || ask(1, 8, Dht::FindNode(Key::new(b"x")));
    assert_eq!(lab.query(3, Query::FindNode(Key::new(b"x"))), [find()]);
    assert_eq!(lab.query(4, Query::GetValue(Key::new(b"y"))).len(), 1);
    let heartbeat = announcement(&lab.world, 1, 3, &beat(&card(3, 1, &[])));
    assert_eq!(lab.frame(3, Frame::Message(heartbeat)).pop(), Some(ask_card(3, 0)));
    assert_eq!((lab.tokens(), lab.counts()), (2, vec![]));
    lab
}

fn late_answers(lab: &mut Lab) {
    assert_eq!(lab.nobody(1, 8), []);
    let value = Answer::Value { record: None, closer: vec![2] };
    assert_eq!(lab.respond(1, 9, Response::Dht(value)), []);
    assert_eq!(lab.respond(3, 0, Response::Card(Some(published(&card(3, 1, &[]))))), []);
}

#[test]
fn without_a_disk_nothing_is_left() {
    let mut lab = busy(quiet());
    lab.peer.restart(false);
    assert_eq!(lab.peer.poll_timeout(), None);
    lab.now += seconds(3);
    assert_eq!(lab.feed(Input::Start), []);
    assert_eq!((lab.pass(seconds(9999)), lab.peer.poll_timeout()), (vec![], None));
    let kad = lab.peer.dht().expect("its numbers go on");
    assert!(kad.table().is_empty() && kad.records().is_none() && kad.providers().is_none());
    assert_eq!((kad.queries(), kad.requests(), lab.tokens()), (0, 0, 0));
    assert!(lab.peer.cards().is_none());
    assert_eq!(lab.request(7, 7, Request::Card), [answer(7, 7, Response::Card(None))]);
    let get = Request::Dht(Dht::GetValue(key()));
    let nothing = Response::Dht(Answer::Value { record: None, closer: vec![] });
    assert_eq!(lab.request(7, 7, get), [answer(7, 7, nothing)]);
    late_answers(&mut lab);
    assert_eq!(lab.counts(), [("kad_unasked", 2), ("card_unasked", 1)]);
    assert!(lab.peer.cards().is_none());
    // The same questions to the same peer are others than before.
    lab.feed(Input::Discovered(1));
    assert_eq!(lab.query(5, Query::FindNode(Key::new(b"z"))), [ask(1, 10, Dht::FindNode(Key::new(b"z")))]);
    assert_eq!(lab.nobody(1, 8), []);
    assert_eq!(lab.nobody(1, 10).len(), 1);
}

#[test]
fn with_its_disk_a_peer_goes_on_and_looks_around_at_once() {
    let mut lab = busy(quiet());
    lab.peer.restart(true);
    assert!(lab.peer.poll_timeout().is_some(), "heartbeats");
    lab.now += seconds(3);
    let envelope = envelope(&text(&card(0, 1000, &["tag"])));
    let start = lab.feed(Input::Start);
    let own = ask(1, 10, Dht::FindNode(Key::of_peer(&id(0))));
    assert_eq!(start, [own, ask(1, 11, Dht::FindNode(card_key(&id(0))))]);
    assert_eq!((lab.tokens(), lab.peer.dht().map(Kad::queries)), (0, Some(2)));
    late_answers(&mut lab);
    assert_eq!(lab.counts(), [("kad_unasked", 2), ("card_unasked", 1)]);
    // What it had, it has.
    let kad = lab.peer.dht().expect("kept");
    assert_eq!((kad.table().len(), kad.records().map(kad::Records::len)), (1, Some(1)));
    assert_eq!(kad.providers().map(kad::Providers::len), Some(1));
    let record = Record { key: card_key(&id(0)), value: envelope, ttl: None };
    assert_eq!(lab.nobody(1, 11), [ask(1, 12, Dht::PutValue(record))]);
    for (key, value) in [(key(), Some(5)), (Key::new(b"theirs"), Some(1)), (Key::new(b"y"), None)] {
        let out = lab.request(7, 7, Request::Dht(Dht::GetValue(key)));
        let [Output::Respond { response, .. }] = &out[..] else { panic!("{out:?}") };
        let Response::Dht(Answer::Value { record, .. }) = &**response else { panic!("{response:?}") };
        assert_eq!(record.as_ref().map(|record| record.value[0]), value);
    }
    let provided = Response::Dht(Answer::Providers { providers: vec![0], closer: vec![1] });
    assert_eq!(lab.request(7, 7, Request::Dht(Dht::GetProviders(key()))), [answer(7, 7, provided)]);
    let ours = Response::Card(Some(published(&card(0, 1000, &["tag"]))));
    assert_eq!(lab.request(7, 7, Request::Card), [answer(7, 7, ours)]);
    // Whom it followed is for the application to say, and what it asked for it may ask again.
    let cards = lab.peer.cards().expect("kept");
    assert!(cards.tracker().store().is_empty() && cards.fetches.is_empty() && cards.topics.is_empty());
    assert!(lab.peer.gossip.mesh_peers(TopicRef(103)).is_none());
    assert_eq!(lab.command(Command::Follow(id(3))), [Output::Connect { id: id(3) }]);
    assert_eq!(lab.connect(3, false).pop(), Some(ask_card(3, 1)));
}

#[test]
fn tokens_of_the_life_before_never_come_back() {
    for keeps_state in [false, true] {
        let mut lab = busy(kad::Config::rust());
        lab.peer.restart(keeps_state);
        let mut out = lab.feed(Input::Start);
        let mut passed = 0;
        while passed < 50 {
            assert!(!out.iter().any(|output| matches!(output, Output::Event(_))), "{out:?}");
            passed += 1;
            lab.now = lab.peer.poll_timeout().unwrap_or(lab.now).max(lab.now);
            out = lab.pass(Duration::ZERO);
        }
    }
}

#[test]
fn an_overdue_heartbeat_does_not_leave_a_timer_in_the_past() {
    let mut lab = Lab::new();
    lab.command(Command::Announce(card(0, 0, &[])));
    lab.peer.restart(true);
    lab.now += seconds(500);
    assert_eq!(lab.feed(Input::Start), [], "nobody is connected to hear of it");
    assert!(lab.peer.poll_timeout().is_some_and(|due| due > lab.now));
    // A card that went out just before is not announced again at once.
    lab.now += Duration::from_millis(100);
    lab.peer.restart(true);
    lab.feed(Input::Start);
    assert_eq!(lab.counts(), [("card_held", 1)]);
    assert!(lab.peer.poll_timeout().is_some_and(|due| due > lab.now && due <= lab.now + seconds(1)));
}
