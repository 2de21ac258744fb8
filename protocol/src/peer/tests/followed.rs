//! Cards of others: whom we follow, what comes in about them, and what does not count.

use super::*;
use crate::request::Protocol;

fn connect(peer: u32) -> Output<Note> {
    Output::Connect { id: id(peer) }
}

fn deliver(message: Note) -> Output<Note> {
    Output::Deliver { message }
}

fn updated(peer: u32) -> Output<Note> {
    told(Event::CardUpdated(id(peer)))
}

fn has(card: &Card) -> Response<u32> {
    Response::Card(Some(published(card)))
}

/// A lab that follows peers and is connected to all of them, and to peer 9.
fn following(lab: Lab, peers: &[u32]) -> Lab {
    let mut lab = lab;
    for peer in peers {
        lab.connect(*peer, false);
        lab.command(Command::Follow(id(*peer)));
    }
    lab.connect(9, false);
    lab
}

/// A message on the topic of its author comes in from it.
fn hear(lab: &mut Lab, number: u32, author: u32, d: &str) -> Outbox {
    let message = announcement(&lab.world, number, author, d);
    let mut out = lab.frame(author, Frame::Message(message.clone()));
    assert_eq!(out.remove(0), deliver(message));
    out
}

/// Whose card is held, with its seq.
fn known(lab: &Lab) -> Vec<(PeerId, u64)> {
    let store = lab.peer.cards().expect("used").tracker().store();
    store.fresh(lab.now).map(|card| (card.peer_id, card.seq)).collect()
}

fn fetches(lab: &Lab) -> usize {
    lab.peer.cards().map_or(0, |cards| cards.fetches.len())
}

fn topics(lab: &Lab) -> Vec<u32> {
    (0..200).filter(|topic| lab.peer.gossip.mesh_peers(TopicRef(*topic)).is_some()).collect()
}

fn shared(buckets: u32) -> Lab {
    let mut lab = Lab::new();
    lab.world.buckets = buckets;
    lab
}

#[test]
fn to_follow_is_to_connect_and_to_subscribe() {
    let mut lab = Lab::new();
    lab.connect(9, false);
    assert_eq!(lab.command(Command::Follow(id(3))), [connect(3), send(9, wanted(103, true))]);
    assert_eq!(lab.command(Command::Follow(id(3))), []);
    assert_eq!(lab.connect(3, false), [send(3, wanted(103, true)), ask_card(3, 0)]);
    let gone = |peer, topic| send(peer, wanted(topic, false));
    assert_eq!(lab.command(Command::Unfollow(id(3))), [gone(3, 103), gone(9, 103)]);
    assert_eq!(lab.command(Command::Unfollow(id(3))), []);
    // Somebody the driver has no topic for.
    assert_eq!(lab.command(Command::Follow(id(77))), [connect(77)]);
    assert_eq!(lab.command(Command::Unfollow(id(77))), []);
    assert_eq!((topics(&lab), lab.counts()), (vec![], vec![]));
}

#[test]
fn a_topic_that_followed_peers_share_is_left_with_the_last() {
    let mut lab = shared(2);
    lab.connect(9, false);
    assert_eq!(lab.command(Command::Follow(id(2))), [connect(2), send(9, wanted(100, true))]);
    assert_eq!(lab.command(Command::Follow(id(4))), [connect(4)]);
    assert_eq!(lab.command(Command::Follow(id(3))), [connect(3), send(9, wanted(101, true))]);
    assert_eq!(lab.command(Command::Unfollow(id(2))), []);
    assert_eq!(lab.command(Command::Unfollow(id(4))), [send(9, wanted(100, false))]);
    assert_eq!(topics(&lab), [101]);
}

#[test]
fn the_application_s_own_subscription_is_its_own() {
    let mut lab = shared(1);
    for (first, then) in [(true, false), (false, true)] {
        // Wanted by both, in either order; the first to go changes nothing.
        let subscribe = |lab: &mut Lab| lab.feed(Input::Subscribe(TopicRef(100)));
        if first {
            subscribe(&mut lab);
        }
        lab.command(Command::Follow(id(2)));
        if then {
            subscribe(&mut lab);
        }
        assert_eq!(lab.command(Command::Unfollow(id(2))), []);
        assert_eq!(topics(&lab), [100]);
        lab.command(Command::Follow(id(2)));
        assert_eq!(lab.feed(Input::Unsubscribe(TopicRef(100))), []);
        assert_eq!(topics(&lab), [100]);
        assert_eq!(lab.command(Command::Unfollow(id(2))), []);
        assert!(topics(&lab).is_empty());
    }
}

#[test]
fn the_least_recently_used_makes_room() {
    let mut lab = Lab::new();
    lab.config.cards.followed_max = 1;
    let mut lab = following(lab, &[2]);
    hear(&mut lab, 1, 2, &beat(&card(2, 1, &[])));
    assert_eq!(fetches(&lab), 1);
    let all = |topic, want| [2, 9].map(|peer| send(peer, wanted(topic, want)));
    let [first, second] = all(103, true);
    let [third, fourth] = all(102, false);
    assert_eq!(lab.command(Command::Follow(id(3))), [connect(3), first, second, third, fourth]);
    assert_eq!((topics(&lab), fetches(&lab)), (vec![103], 0));
    assert_eq!(lab.respond(2, 0, has(&card(2, 1, &[]))), []);
    assert_eq!(lab.counts(), [("card_evicted", 1), ("card_unasked", 1)]);
    // Nothing is remembered of it: followed again, it is asked again.
    lab.command(Command::Follow(id(2)));
    assert_eq!(hear(&mut lab, 2, 2, &beat(&card(2, 1, &[]))), [ask_card(2, 1)]);
    // A topic that both share is not left in between, which would cost the mesh.
    let mut lab = shared(1);
    lab.config.cards.followed_max = 1;
    let mut lab = following(lab, &[2]);
    assert_eq!(lab.command(Command::Follow(id(3))), [connect(3)]);
    assert_eq!(topics(&lab), [100]);
    assert_eq!(lab.command(Command::Unfollow(id(3))).len(), 2);
    assert!(topics(&lab).is_empty());
}

#[test]
fn a_heartbeat_for_an_unknown_card_has_it_asked_for() {
    let mut lab = following(Lab::new(), &[3]);
    lab.frame(9, wanted(103, true));
    lab.frame(9, Frame::Graft(TopicRef(103)));
    // Handed on first.
    let theirs = card(3, 5, &["tag"]);
    let message = announcement(&lab.world, 1, 3, &beat(&theirs));
    let frame = Frame::Message(message.clone());
    let out = [send(9, frame.clone()), deliver(message), ask_card(3, 0)];
    assert_eq!(lab.frame(3, frame), out);
    assert_eq!(lab.respond(3, 0, has(&theirs)), [updated(3)]);
    assert_eq!((known(&lab), fetches(&lab)), (vec![(id(3), 5)], 0));
    // Known by now; and a card that comes by gossip needs not be asked for.
    lab.now += seconds(30);
    let heard = announcement(&lab.world, 2, 3, &beat(&theirs));
    assert_eq!(lab.frame(9, Frame::Message(heard.clone())), [deliver(heard)]);
    let newer = announcement(&lab.world, 3, 3, &text(&card(3, 6, &["tag"])));
    assert_eq!(lab.frame(9, Frame::Message(newer.clone())), [deliver(newer), updated(3)]);
    assert_eq!((known(&lab), lab.counts()), (vec![(id(3), 6)], vec![]));
}

#[test]
fn only_the_peer_that_was_asked_can_answer_and_once() {
    let mut lab = following(Lab::new(), &[3, 4]);
    let theirs = card(3, 5, &[]);
    assert_eq!(lab.respond(3, 0, has(&theirs)), [], "nobody was asked");
    assert_eq!(hear(&mut lab, 1, 3, &beat(&theirs)), [ask_card(3, 0)]);
    assert_eq!(hear(&mut lab, 2, 4, &beat(&card(4, 1, &[]))), [ask_card(4, 1)]);
    assert_eq!(lab.respond(4, 0, has(&theirs)), []);
    assert_eq!(lab.respond(3, 1, has(&theirs)), []);
    assert_eq!(lab.respond(3, 2, has(&theirs)), []);
    assert_eq!((known(&lab), fetches(&lab)), (vec![], 2));
    assert_eq!(lab.respond(3, 0, has(&theirs)), [updated(3)]);
    assert_eq!(lab.respond(3, 0, has(&card(3, 6, &[]))), []);
    assert_eq!(lab.counts(), [("card_unasked", 5)]);
    // Of another peer, or none.
    assert_eq!(lab.respond(4, 1, has(&theirs)), []);
    lab.now += seconds(10);
    assert_eq!(hear(&mut lab, 3, 4, &beat(&card(4, 1, &[]))), [ask_card(4, 2)]);
    assert_eq!(lab.respond(4, 2, Response::Card(None)), []);
    assert_eq!(known(&lab), [(id(3), 5)]);
    assert_eq!((fetches(&lab), lab.counts()), (0, vec![("card_forged", 1), ("card_unasked", 5)]));
}

#[test]
fn a_card_that_does_not_come_is_asked_for_again_by_a_later_heartbeat() {
    let mut lab = following(Lab::new(), &[3]);
    let theirs = card(3, 5, &[]);
    let fail = |lab: &mut Lab, protocol, n| lab.feed(Input::RequestFailed { protocol, id: RequestId(n) });
    assert_eq!(fail(&mut lab, Protocol::Card, 0), []);
    assert_eq!(hear(&mut lab, 1, 3, &beat(&theirs)), [ask_card(3, 0)]);
    assert_eq!(fail(&mut lab, Protocol::Dht, 0), []);
    assert_eq!(fail(&mut lab, Protocol::Card, 1), []);
    assert_eq!(fetches(&lab), 1);
    assert_eq!(fail(&mut lab, Protocol::Card, 0), []);
    assert_eq!(fetches(&lab), 0);
    assert_eq!(hear(&mut lab, 2, 3, &beat(&theirs)), [], "not so soon");
    lab.now += seconds(10);
    assert_eq!(hear(&mut lab, 3, 3, &beat(&theirs)), [ask_card(3, 1)]);
    // Never answered: the next one takes its place.
    lab.now += seconds(10);
    assert_eq!(hear(&mut lab, 4, 3, &beat(&theirs)), [ask_card(3, 2)]);
    assert_eq!(fetches(&lab), 1);
    assert_eq!(lab.respond(3, 1, has(&theirs)), []);
    lab.command(Command::Unfollow(id(3)));
    assert_eq!((lab.respond(3, 2, has(&theirs)), fetches(&lab)), (vec![], 0));
    assert_eq!(lab.counts(), [("card_fetch_held", 1), ("card_unasked", 2)]);
}

#[test]
fn a_card_expires_and_its_peer_stays_followed() {
    let mut lab = following(Lab::new(), &[3]);
    assert_eq!(hear(&mut lab, 1, 3, &text(&card(3, 5, &[]))), [updated(3)]);
    assert_eq!(lab.pass(seconds(299)), [connect(3)]);
    assert_eq!(lab.peer.poll_timeout(), Some(Instant::ZERO + seconds(300)));
    assert_eq!(lab.pass(seconds(1)), [told(Event::CardExpired(id(3)))]);
    assert_eq!(lab.pass(Duration::ZERO), []);
    assert_eq!((known(&lab), topics(&lab)), (vec![], vec![103]));
    assert_eq!(hear(&mut lab, 2, 3, &text(&card(3, 4, &[]))), [updated(3)]);
    assert_eq!(lab.counts(), [("card_expired", 1)]);
}

#[test]
fn those_of_whom_nothing_is_heard_are_called() {
    let mut lab = following(Lab::new(), &[3, 4]);
    let theirs = text(&card(3, 5, &[]));
    assert_eq!(hear(&mut lab, 1, 3, &theirs), [updated(3)]);
    // Peer 4 at every heartbeat's time, peer 3 once two of its own have not come.
    assert_eq!(lab.peer.poll_timeout(), Some(Instant::ZERO + seconds(30)));
    assert_eq!(lab.pass(seconds(29)), []);
    assert_eq!(lab.pass(seconds(1)), [connect(4)]);
    assert_eq!(lab.pass(seconds(30)), [connect(4)]);
    let mut both = lab.pass(seconds(30));
    both.sort_by_key(|output| *output == connect(4));
    assert_eq!(both, [connect(3), connect(4)]);
    let both_wanted = Frame::Subscriptions(Arc::new(vec![(TopicRef(103), true), (TopicRef(104), true)]));
    // A connection asks at once for a card that is not known, and leaves one that is known to its heartbeats.
    lab.feed(Input::Disconnected { peer: PeerRef(3) });
    lab.feed(Input::Disconnected { peer: PeerRef(4) });
    assert_eq!(lab.connect(3, false), [send(3, both_wanted)]);
    assert_eq!(lab.connect(4, false).pop(), Some(ask_card(4, 0)));
    for peer in [3, 4] {
        lab.command(Command::Unfollow(id(peer)));
    }
    assert_eq!(lab.pass(seconds(30)), []);
    assert_eq!(lab.pass(seconds(999)), [], "nobody is followed");
}

#[test]
fn somebody_else_s_topic_is_not_to_be_published_on() {
    let mut lab = following(Lab::new(), &[3, 4]);
    let theirs = text(&card(4, 5, &[]));
    // Peer 4 is followed and tells of its own card, but not where it may.
    let intruder = Note { topic: 103, ..announcement(&lab.world, 1, 4, &theirs) };
    assert_eq!(lab.frame(4, Frame::Message(intruder)), []);
    let victim = Note { author: 4, ..announcement(&lab.world, 2, 3, &text(&card(3, 9, &[]))) };
    assert_eq!(lab.frame(4, Frame::Message(victim)), []);
    assert_eq!((known(&lab), lab.counts()), (vec![], vec![("rejected", 2)]));
    // The owner may, whoever brings it.
    let right = announcement(&lab.world, 3, 4, &theirs);
    assert_eq!(lab.frame(9, Frame::Message(right.clone())), [deliver(right), updated(4)]);
}

#[test]
fn on_a_shared_topic_only_the_followed_count_and_each_for_itself() {
    let mut lab = following(shared(1), &[3, 4]);
    assert_eq!(hear(&mut lab, 1, 9, &text(&card(9, 5, &[]))), []);
    assert_eq!(hear(&mut lab, 2, 4, &text(&card(3, 5, &[]))), []);
    assert_eq!(hear(&mut lab, 3, 4, "\"neither card nor heartbeat\""), []);
    assert_eq!(hear(&mut lab, 4, 4, &text(&card(4, 5, &[]))), [updated(4)]);
    assert_eq!(known(&lab), [(id(4), 5)]);
    assert_eq!(lab.counts(), [("card_malformed", 1), ("card_forged", 1), ("card_not_followed", 1)]);
}

#[test]
fn only_a_message_whose_envelope_is_good_is_a_card() {
    let mut lab = following(Lab::new(), &[3]);
    let valid = |ts, nonce| Inspection::Valid { ts: UnixMillis(ts), nonce };
    let mut frame = |number, seq, envelope| {
        let message = Note { envelope, ..announcement(&lab.world, number, 3, &text(&card(3, seq, &[]))) };
        lab.frame(3, Frame::Message(message)).len()
    };
    assert_eq!(frame(1, 9, Inspection::Invalid), 0);
    assert_eq!(frame(2, 8, valid(999_999, 1)), 0, "of tomorrow");
    assert_eq!(frame(3, 1, valid(1000, 2)), 2);
    assert_eq!(frame(4, 7, valid(1000, 2)), 0, "a replay");
    assert_eq!(frame(5, 2, valid(1000, 3)), 2);
    assert_eq!((known(&lab), lab.counts()), (vec![(id(3), 2)], vec![("rejected", 1), ("ignored", 2)]));
    // What nobody follows is handed on all the same, and makes no machine.
    let mut lab = Lab::new();
    lab.feed(Input::Subscribe(TopicRef(103)));
    lab.connect(3, false);
    assert_eq!(hear(&mut lab, 1, 3, &text(&card(3, 1, &[]))), []);
    assert!(lab.peer.cards().is_none() && lab.counts().is_empty());
}

/// Two peers, whose driver is this test.
#[test]
fn what_one_announces_another_gets_to_know() {
    let (mut one, mut other) = (Lab::new(), following(Lab::new(), &[0]));
    one.connect(5, false);
    one.frame(5, wanted(100, true));
    one.command(Command::Announce(card(0, 0, &["tag"])));
    // The card itself was lost.
    one.now = one.peer.poll_timeout().expect("heartbeats");
    let Some(Output::Send { frame, .. }) = one.pass(Duration::ZERO).pop() else { panic!("a heartbeat") };
    other.now = one.now;
    let asked = other.frame(0, frame).pop();
    assert_eq!(asked, Some(ask_card(0, 0)));
    let Some(Output::Respond { to: 5, id: number, response }) = one.request(5, 0, Request::Card).pop() else {
        panic!("an answer");
    };
    assert_eq!(other.respond(0, number.0, *response), [updated(0)]);
    assert_eq!(known(&other), [(id(0), 1000)]);
}
