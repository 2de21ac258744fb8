//! The receiver: whole outboxes.

use super::*;

/// A tracker that follows the peers 1 to `n`, the first ones least recently; the outbox is gone.
fn following(rig: &mut Rig, n: u32) -> Tracker {
    let mut tracker = Tracker::default();
    for i in 1..=n {
        tracker.follow(&mut rig.cx(), peer(i));
    }
    rig.out.clear();
    tracker
}

fn hear(tracker: &mut Tracker, rig: &mut Rig, card: &Arc<Published>) {
    tracker.on_card(&mut rig.cx(), card.peer_id, Arc::clone(card), Duration::ZERO);
}

fn fetch(card: &Published) -> Output {
    Output::FetchCard { peer: card.peer_id, hash: card.hash() }
}

#[test]
fn a_heartbeat_for_an_unknown_card_fetches_it_and_one_for_a_known_card_keeps_it() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 1);
    let first = published(1, 1);
    tracker.on_heartbeat(&mut rig.cx(), peer(1), &beat(&first));
    assert_eq!((rig.take(), tracker.poll_timeout()), (vec![fetch(&first)], None));
    rig.now = at(1);
    hear(&mut tracker, &mut rig, &first);
    assert_eq!((rig.take(), tracker.poll_timeout()), (vec![Output::Updated(peer(1))], Some(at(301))));
    tracker.on_heartbeat(&mut rig.at(at(31)), peer(1), &beat(&first));
    hear(&mut tracker, &mut rig, &first);
    assert_eq!(rig.take(), []);
    // The timer was set before the heartbeat came, so it runs and goes on.
    tracker.handle_timeout(&mut rig.at(at(301)));
    assert_eq!((rig.take(), tracker.poll_timeout()), (vec![], Some(at(331))));
    let just_before = at(331) - Duration::from_nanos(1);
    assert_eq!(tracker.store().fresh(just_before).collect::<Vec<_>>(), [&first]);
    assert_eq!(tracker.store().fresh(at(331)).count(), 0, "even if the timer is late");
    tracker.handle_timeout(&mut rig.at(just_before));
    assert_eq!(rig.take(), []);
    tracker.handle_timeout(&mut rig.at(at(331)));
    assert_eq!((rig.take(), tracker.poll_timeout()), (vec![Output::Expired(peer(1))], None));
    assert!(tracker.store().is_followed(&peer(1)));
    assert_eq!(rig.counted(), [(Count::Expired, 1)]);
}

#[test]
fn a_newer_card_takes_the_place_of_the_old_one_and_never_the_other_way_round() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 1);
    let (old, new) = (published(1, 1), published(1, 2));
    hear(&mut tracker, &mut rig, &old);
    // Its heartbeat came first: the old card is served until the new one comes, and ages.
    tracker.on_heartbeat(&mut rig.at(at(100)), peer(1), &beat(&new));
    assert_eq!(rig.take(), [Output::Updated(peer(1)), fetch(&new)]);
    assert_eq!(tracker.store().get(&peer(1), at(100)).map(|e| (e.card.seq, e.expires)), Some((1, at(300))));
    hear(&mut tracker, &mut rig, &new);
    assert_eq!(rig.take(), [Output::Updated(peer(1))]);
    rig.now = at(200);
    hear(&mut tracker, &mut rig, &old);
    tracker.on_heartbeat(&mut rig.cx(), peer(1), &beat(&old));
    assert_eq!((rig.take(), rig.counted()), (vec![], vec![(Count::Old, 2)]));
    let entry = tracker.store().get(&peer(1), at(200)).expect("fresh");
    assert_eq!((&entry.card, entry.expires), (&new, at(400)));
}

#[test]
fn a_card_that_cannot_be_had_is_asked_for_now_and_then() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 2);
    for seq in 1..=1000 {
        let unknown = published(1, seq);
        tracker.on_heartbeat(&mut rig.cx(), peer(1), &beat(&unknown));
    }
    let other = published(2, 1);
    tracker.on_heartbeat(&mut rig.cx(), peer(2), &beat(&other));
    assert_eq!(rig.take(), [fetch(&published(1, 1)), fetch(&other)]);
    assert_eq!(rig.counted(), [(Count::FetchHeld, 999)]);
    let newest = published(1, 1000);
    tracker.on_heartbeat(&mut rig.at(at(10) - Duration::from_nanos(1)), peer(1), &beat(&newest));
    assert_eq!(rig.take(), []);
    tracker.on_heartbeat(&mut rig.at(at(10)), peer(1), &beat(&newest));
    assert_eq!(rig.take(), [fetch(&newest)]);
}

#[test]
fn a_heartbeat_may_ask_for_a_shorter_life_but_not_for_a_longer_one() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 1);
    let card = published(1, 1);
    hear(&mut tracker, &mut rig, &card);
    let mut expires_after = |now: u64, ttl_ms: u64| {
        tracker.on_heartbeat(&mut rig.at(at(now)), peer(1), &Heartbeat { ttl_ms, ..beat(&card) });
        tracker.store().get(&peer(1), at(now)).map(|entry| entry.expires)
    };
    assert_eq!(expires_after(100, 250_000), Some(at(350)));
    assert_eq!(expires_after(110, 0), Some(at(350)), "what was granted stays");
    assert_eq!(expires_after(120, u64::MAX), Some(at(420)));
}

#[test]
fn a_card_out_of_the_dht_is_as_old_as_its_signature() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 2);
    let old = published(1, 1);
    for (signed, unix, expected) in [(1000, 101_000, 100), (101_000, 100_500, 0), (5, 5, 0)] {
        assert_eq!(age(UnixMillis(unix), UnixMillis(signed)), Duration::from_secs(expected));
    }
    tracker.on_card(&mut rig.cx(), peer(1), Arc::clone(&old), Duration::from_secs(100));
    assert_eq!((rig.take(), tracker.poll_timeout()), (vec![Output::Updated(peer(1))], Some(at(200))));
    tracker.on_card(&mut rig.cx(), peer(2), published(2, 1), Duration::from_secs(300));
    assert_eq!((rig.take(), rig.counted()), (vec![], vec![(Count::Stale, 1)]));
    tracker.handle_timeout(&mut rig.at(at(200)));
    assert_eq!(rig.take(), [Output::Expired(peer(1))]);
}

#[test]
fn the_least_recently_used_peer_goes_first() {
    let mut rig = Rig::new();
    rig.config.followed_max = 3;
    let mut tracker = Tracker::default();
    for n in 1..=3 {
        tracker.follow(&mut rig.at(at(u64::from(n))), peer(n));
    }
    assert_eq!(rig.take(), [1, 2, 3].map(|n| Output::Subscribe(peer(n))));
    hear(&mut tracker, &mut rig, &published(2, 1));
    tracker.follow(&mut rig.at(at(4)), peer(1));
    assert_eq!(rig.take(), [Output::Updated(peer(2))]);
    // To be heard of is not to be used.
    tracker.follow(&mut rig.at(at(5)), peer(4));
    assert_eq!(rig.take(), [Output::Subscribe(peer(4)), Output::Unsubscribe(peer(2))]);
    assert_eq!(tracker.store().followed().collect::<Vec<_>>(), [&peer(1), &peer(3), &peer(4)]);
    assert_eq!(tracker.store().fresh(at(5)).count(), 0);
    assert_eq!(rig.counted(), [(Count::Evicted, 1)]);
    tracker.unfollow(&mut rig.cx(), peer(1));
    tracker.unfollow(&mut rig.cx(), peer(1));
    assert_eq!(rig.take(), [Output::Unsubscribe(peer(1))]);
    tracker.follow(&mut rig.cx(), peer(5));
    assert_eq!(rig.take(), [Output::Subscribe(peer(5))]);
    assert_eq!(rig.counted(), [(Count::Evicted, 1)]);
}

#[test]
fn two_cards_of_one_seq_are_told_apart_by_their_hash_and_counted() {
    let (a, b) = (published(1, 5), rival(1, 5));
    let (less, greater) = if a.hash() < b.hash() { (a, b) } else { (b, a) };
    for order in [[&less, &greater], [&greater, &less]] {
        let mut rig = Rig::new();
        let mut tracker = following(&mut rig, 1);
        for card in order {
            hear(&mut tracker, &mut rig, card);
        }
        assert_eq!(tracker.store().get(&peer(1), at(0)).map(|entry| &entry.card), Some(&greater));
        assert_eq!(rig.counters.get(Count::Conflict), 1);
        tracker.on_heartbeat(&mut rig.cx(), peer(1), &beat(&less));
        assert_eq!(rig.counters.get(Count::Conflict), 2);
    }
}

#[test]
fn an_envelope_s_text_is_taken_by_its_kind() {
    let mut rig = Rig::new();
    let mut tracker = following(&mut rig, 1);
    let known = published(1, 1);
    let texts = [
        serde_json::to_string(&beat(&known)).expect("JSON"),
        serde_json::to_string(known.card()).expect("JSON"),
        "{}".to_owned(),
    ];
    for text in &texts {
        tracker.on_text(&mut rig.cx(), peer(1), text);
        tracker.on_text(&mut rig.cx(), peer(2), text);
    }
    assert_eq!(rig.take(), [fetch(&known), Output::Updated(peer(1))]);
    assert_eq!(rig.counted(), [(Count::Malformed, 1), (Count::NotFollowed, 3)]);
}
