//! Peers that lie, flood or break: bounded, counted, and gone after a while.

use super::*;

#[test]
fn a_flood_of_cards_of_sybils_changes_nothing() {
    let mut rig = Rig::new();
    let mut tracker = Tracker::default();
    tracker.follow(&mut rig.cx(), peer(0));
    tracker.on_card(&mut rig.cx(), peer(0), published(0, 1), Duration::ZERO);
    rig.out.clear();
    let before = tracker.store().clone();
    for n in 1..=5000 {
        let sybil = published(n, 1);
        tracker.on_card(&mut rig.cx(), peer(n), Arc::clone(&sybil), Duration::ZERO);
        tracker.on_heartbeat(&mut rig.cx(), peer(n), &beat(&sybil));
    }
    assert_eq!((rig.take(), tracker.store()), (vec![], &before));
    assert_eq!(rig.counted(), [(Count::NotFollowed, 10_000)]);
}

#[test]
fn sybils_that_a_lookup_resolves_fill_64_slots_and_no_more() {
    let mut rig = Rig::new();
    let mut tracker = Tracker::default();
    for n in 0..1000 {
        rig.now = at(u64::from(n));
        tracker.follow(&mut rig.cx(), peer(n));
        tracker.on_heartbeat(&mut rig.cx(), peer(n), &beat(&published(n, 1)));
        // The one in use is used again and again.
        tracker.follow(&mut rig.cx(), peer(0));
    }
    assert_eq!((tracker.store().len(), rig.counters.get(Count::Evicted)), (64, 1000 - 64));
    assert!(tracker.store().is_followed(&peer(0)));
    let unsubscribed = rig.out.iter().filter(|out| matches!(out, Output::Unsubscribe(_))).count();
    assert_eq!(unsubscribed, 1000 - 64);
}

#[test]
fn a_card_in_another_peer_s_name_is_refused() {
    let mut rig = Rig::new();
    let mut tracker = Tracker::default();
    for n in 1..=2 {
        tracker.follow(&mut rig.cx(), peer(n));
    }
    rig.out.clear();
    tracker.on_card(&mut rig.cx(), peer(2), published(1, 1), Duration::ZERO);
    assert_eq!((rig.take(), rig.counted()), (vec![], vec![(Count::Forged, 1)]));
    assert_eq!(tracker.store().fresh(at(0)).count(), 0);
}

/// Beyond 2^53 - 1 a seq is refused as malformed (see the tests of payloads). Up to there a peer may jump; having spent
/// its numbers it cannot change its card, but once it stops beating for the old one that expires and it starts anew.
#[test]
fn a_peer_that_jumped_to_the_last_seq_comes_back_after_five_minutes() {
    let mut rig = Rig::new();
    let mut tracker = Tracker::default();
    tracker.follow(&mut rig.cx(), peer(1));
    tracker.on_card(&mut rig.cx(), peer(1), published(1, SEQ_MAX), Duration::ZERO);
    rig.out.clear();
    let anew = published(1, 1);
    for n in 0..10 {
        tracker.on_heartbeat(&mut rig.at(at(30 * n)), peer(1), &beat(&anew));
    }
    assert_eq!((rig.take(), rig.counters.get(Count::Old)), (vec![], 10));
    tracker.on_heartbeat(&mut rig.at(at(300)), peer(1), &beat(&anew));
    let fetch = Output::FetchCard { peer: peer(1), hash: anew.hash() };
    assert_eq!(rig.take(), [Output::Expired(peer(1)), fetch]);
    tracker.on_card(&mut rig.cx(), peer(1), Arc::clone(&anew), Duration::ZERO);
    assert_eq!(tracker.store().get(&peer(1), at(300)).map(|entry| &entry.card), Some(&anew));
}

#[test]
fn seq_u64_max_and_huge_cards_are_malformed() {
    let mut rig = Rig::new();
    let mut tracker = Tracker::default();
    tracker.follow(&mut rig.cx(), peer(1));
    rig.out.clear();
    let text = serde_json::to_string(&card(1, 1)).expect("JSON");
    let huge = Json::new(&format!("\"{}\"", "x".repeat(CARD_BYTES_MAX))).expect("JSON");
    let huge = Card { metadata: Some(huge), ..card(1, 1) };
    assert!(matches!(Published::new(&huge), Err(CardError::TooLong(_))));
    let huge = serde_json::to_string(&huge).expect("JSON");
    for bad in [text.replace("\"seq\":1,", &format!("\"seq\":{},", u64::MAX)), huge] {
        tracker.on_text(&mut rig.cx(), peer(1), &bad);
    }
    assert_eq!((rig.take(), rig.counted()), (vec![], vec![(Count::Malformed, 2)]));
}
