//! Our own card: on its topic, in the DHT, and on request.

use super::super::Cards;
use super::*;
use crate::card::{card_key, tag_key};
use crate::kad::{Error, Kad, Record, Request as Dht, Response as Answer};

/// A lab whose peer 5 is connected and wants our announcements.
fn heard(mut lab: Lab) -> Lab {
    let topic = lab.world.topic_of(0);
    assert_eq!(lab.connect(5, false), []);
    assert_eq!(lab.frame(5, wanted(topic, true)), []);
    lab
}

fn announce(lab: &mut Lab, tags: &[&str]) -> Outbox {
    lab.command(Command::Announce(card(9, 99, tags)))
}

/// Our message number `n` with this text.
fn ours(lab: &Lab, n: u32, d: &str) -> Output<Note> {
    send(5, Frame::Message(announcement(&lab.world, 1000 + n, 0, d)))
}

fn put(d: &str) -> Dht<u32> {
    Dht::PutValue(Record { key: card_key(&id(0)), value: envelope(d), ttl: None })
}

fn provide(tag: &str) -> Dht<u32> {
    Dht::AddProvider { key: tag_key(tag), providers: vec![0] }
}

#[test]
fn a_card_goes_out_on_its_topic_and_heartbeats_follow() {
    let mut lab = heard(Lab::new());
    let ours_now = card(0, 1000, &["tag"]);
    let first = ours(&lab, 0, &text(&ours_now));
    assert_eq!(announce(&mut lab, &["tag"]), [first], "with our id and a seq from the clock");
    assert_eq!(announce(&mut lab, &["tag"]), [], "no change");
    for n in 1..=2 {
        lab.now = lab.peer.poll_timeout().expect("heartbeats") - Duration::from_nanos(1);
        assert_eq!(lab.pass(Duration::ZERO), []);
        let heartbeat = ours(&lab, n, &beat(&ours_now));
        assert_eq!(lab.pass(Duration::from_nanos(1)), [heartbeat]);
        assert_eq!(lab.pass(Duration::ZERO), []);
    }
    let moved = card(0, 1000 + lab.now.since(Instant::ZERO).as_millis(), &["other"]);
    let second = ours(&lab, 3, &text(&moved));
    assert_eq!(announce(&mut lab, &["other"]), [second]);
    assert_eq!(lab.counts(), []);
}

#[test]
fn a_card_beyond_a_bound_is_not_announced() {
    let mut lab = heard(Lab::new());
    let refused = Card { geo: Some(String::new()), ..card(0, 0, &[]) };
    assert_eq!(lab.command(Command::Announce(refused)), []);
    assert_eq!((lab.counts(), lab.peer.poll_timeout()), (vec![("card_malformed", 1)], None));
}

#[test]
fn a_driver_that_knows_no_identities_has_no_cards() {
    let mut lab = Lab::new();
    lab.world.identities = false;
    assert_eq!(announce(&mut lab, &[]), []);
    assert_eq!(lab.command(Command::Follow(id(3))), []);
    assert_eq!(lab.command(Command::Unfollow(id(3))), []);
    assert_eq!(lab.counts(), [("unsupported", 2)]);
    assert!(lab.peer.cards().is_none());
}

#[test]
fn in_a_network_with_dht_a_card_is_put_and_its_tags_are_provided() {
    let mut lab = heard(Lab::with_dht(quiet(), &[1]));
    let ours_now = text(&card(0, 1000, &["b", "A"]));
    let (message, find) = (ours(&lab, 0, &ours_now), |key: Key| Dht::FindNode(key));
    // One lookup after the other.
    let look = ask(1, 0, find(card_key(&id(0))));
    assert_eq!(announce(&mut lab, &["b", "A"]), [message, look]);
    assert_eq!(lab.nobody(1, 0), [ask(1, 1, put(&ours_now))]);
    let mut tags = ["a", "b"];
    tags.sort_by_key(|tag| KadKey::of_peer(&id(0)).distance(tag_key(tag).place()));
    let [first, second] = tags;
    let stored = Response::Dht(Answer::Stored);
    assert_eq!(lab.respond(1, 1, stored.clone()), [ask(1, 2, find(tag_key(first)))]);
    assert_eq!(lab.nobody(1, 2), [ask(1, 3, provide(first)), ask(1, 4, find(tag_key(second)))]);
    assert_eq!(lab.nobody(1, 4), [ask(1, 5, provide(second))]);
    // Of the next card's tags one is new and one is gone.
    lab.now += seconds(2);
    let ours_now = text(&card(0, 3000, &["a", "c"]));
    let message = ours(&lab, 1, &ours_now);
    let look = ask(1, 6, find(card_key(&id(0))));
    assert_eq!(announce(&mut lab, &["a", "c"]), [message, look]);
    assert_eq!(lab.nobody(1, 6), [ask(1, 7, put(&ours_now))]);
    let out = lab.respond(1, 7, stored);
    assert!(matches!(&out[..], [Output::Request { to: 1, id: RequestId(8), .. }]), "{out:?}");
    assert_eq!(lab.nobody(1, 8).len(), 2);
    assert_eq!(lab.nobody(1, 10).len(), 1);
    for (tag, providers) in [("a", vec![0]), ("b", vec![]), ("c", vec![0])] {
        let here = Response::Dht(Answer::Providers { providers, closer: vec![] });
        let get = Request::Dht(Dht::GetProviders(tag_key(tag)));
        assert_eq!(lab.request(1, 7, get), [answer(1, 7, here)], "{tag}");
    }
    assert_eq!((lab.tokens(), lab.counts()), (0, vec![]));
}

#[test]
fn a_card_with_many_tags_is_put_whole_and_holds_up_no_query() {
    let mut lab = heard(Lab::with_dht(kad::Config { queries_max: 1, ..quiet() }, &[1]));
    let tags: Vec<String> = (0..16).map(|n| format!("tag-{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    assert_eq!(announce(&mut lab, &tags).len(), 2);
    let key = Key::new(b"some key");
    assert_eq!(lab.query(1, Query::FindNode(key.clone())), [ask(1, 1, Dht::FindNode(key.clone()))]);
    let busy = Event::QueryRefused { token: 2, error: Some(Error::Busy(1)) };
    assert_eq!(lab.query(2, Query::FindNode(key)), [told(busy)]);
    assert_eq!(lab.nobody(1, 0).len(), 1);
    let mut out = lab.respond(1, 2, Response::Dht(Answer::Stored));
    let mut provided = 0;
    while let Some(Output::Request { id: RequestId(number), .. }) = out.pop() {
        let is_told = |output: &Output<Note>| {
            matches!(output, Output::Request { request, .. }
                if matches!(**request, Request::Dht(Dht::AddProvider { .. })))
        };
        let (told, next): (Outbox, Outbox) = lab.nobody(1, number).into_iter().partition(is_told);
        provided += told.len();
        out = next;
    }
    assert_eq!(provided, 16);
}

#[test]
fn a_card_waits_for_the_first_contact() {
    let mut lab = heard(Lab::with_dht(quiet(), &[]));
    let ours_now = text(&card(0, 1000, &[]));
    let message = ours(&lab, 0, &ours_now);
    assert_eq!(announce(&mut lab, &[]), [message]);
    let heartbeat = lab.peer.cards().and_then(Cards::poll_timeout);
    assert_eq!((lab.peer.poll_timeout(), lab.peer.dht().map(Kad::queries)), (heartbeat, Some(0)));
    assert_eq!(lab.feed(Input::Discovered(1)), [ask(1, 0, Dht::FindNode(card_key(&id(0))))]);
    assert_eq!(lab.nobody(1, 0), [ask(1, 1, put(&ours_now))]);
}

#[test]
fn what_the_driver_does_not_seal_is_not_published() {
    let mut lab = heard(Lab::with_dht(quiet(), &[1]));
    lab.world.seals = false;
    assert_eq!(announce(&mut lab, &["tag"]), []);
    lab.now = lab.peer.poll_timeout().expect("heartbeats");
    assert_eq!(lab.pass(Duration::ZERO), []);
    assert_eq!(lab.pass(seconds(29)), []);
    lab.world.seals = true;
    let heartbeat = ours(&lab, 0, &beat(&card(0, 1000, &["tag"])));
    assert_eq!(lab.pass(seconds(1)), [heartbeat]);
    assert_eq!(lab.counts(), []);
}

#[test]
fn a_stranger_gets_our_card_on_request() {
    let mut lab = Lab::new();
    let none = || answer(12, 3, Response::Card(None));
    assert_eq!(lab.request(12, 3, Request::Card), [none()]);
    assert!(lab.peer.cards().is_none());
    lab.command(Command::Follow(id(4)));
    assert_eq!(lab.request(12, 3, Request::Card), [none()]);
    assert_eq!(announce(&mut lab, &["tag"]), []);
    let ours_now = published(&card(0, 1000, &["tag"]));
    let own = answer(12, 4, Response::Card(Some(ours_now)));
    assert_eq!(lab.request(12, 4, Request::Card), [own]);
    assert_eq!(lab.counts(), []);
}
