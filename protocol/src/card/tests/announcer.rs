//! The publisher: whole outboxes.

use super::*;

/// The machine after its first card at time zero, whose outbox is gone.
fn announcing(rig: &mut Rig) -> Announcer {
    let mut announcer = Announcer::new(peer(1), 0);
    assert_eq!(announcer.set_card(&mut rig.cx(), card(9, 99)), Ok(true));
    rig.out.clear();
    announcer
}

fn moved(geo: &str) -> Card {
    Card { geo: Some(geo.to_owned()), ..card(1, 0) }
}

#[test]
fn a_silent_announcer_says_nothing() {
    let mut rig = Rig::new();
    let mut announcer = Announcer::new(peer(1), 5);
    announcer.on_request(&mut rig.cx());
    announcer.handle_timeout(&mut rig.at(at(1000)));
    assert_eq!((rig.take(), announcer.poll_timeout(), announcer.card()), (vec![], None, None));
}

#[test]
fn the_first_card_goes_out_whole_and_heartbeats_follow_every_30_s_at_a_random_phase() {
    let mut rig = Rig::new();
    let mut announcer = Announcer::new(peer(1), 0);
    assert_eq!(announcer.set_card(&mut rig.cx(), card(9, 99)), Ok(true));
    let expected = published(1, 1000);
    assert_eq!(
        rig.take(),
        [Output::Persist { seq: 1000 }, Output::PublishCard(Arc::clone(&expected))],
        "its own id, and a seq from the clock"
    );
    let phase = announcer.poll_timeout().expect("heartbeats");
    assert!(phase < at(30));
    announcer.handle_timeout(&mut rig.at(phase - Duration::from_nanos(1)));
    assert_eq!(rig.take(), []);
    for n in 0..3 {
        let due = phase + Duration::from_secs(30 * n);
        assert_eq!(announcer.poll_timeout(), Some(due));
        announcer.handle_timeout(&mut rig.at(due));
        announcer.handle_timeout(&mut rig.cx());
        assert_eq!(rig.take(), [Output::PublishHeartbeat(beat(&expected))]);
    }
    // Late by two and a half intervals: one beat, then on at the old phase.
    announcer.handle_timeout(&mut rig.at(phase + Duration::from_secs(165)));
    assert_eq!(rig.take(), [Output::PublishHeartbeat(beat(&expected))]);
    assert_eq!(announcer.poll_timeout(), Some(phase + Duration::from_secs(180)));
}

#[test]
fn phases_are_spread_over_the_interval() {
    let mut quarters = [0; 4];
    let mut rig = Rig::new();
    for _ in 0..400 {
        let phase = announcing(&mut rig).poll_timeout().expect("heartbeats");
        quarters[(phase.as_nanos() / 7_500_000_000) as usize] += 1;
    }
    // Four sigma of 100.
    assert!(quarters.iter().all(|n| (65..=135).contains(n)), "{quarters:?}");
}

#[test]
fn a_change_publishes_the_card_and_the_same_again_nothing() {
    let mut rig = Rig::new();
    let mut announcer = announcing(&mut rig);
    let next = announcer.poll_timeout();
    assert_eq!(announcer.set_card(&mut rig.at(at(2)), card(1, 7)), Ok(false));
    assert_eq!(rig.take(), []);
    assert_eq!(announcer.set_card(&mut rig.cx(), moved("eu")), Ok(true));
    let expected = Arc::new(Published::new(&Card { seq: 1001, ..moved("eu") }).expect("within bounds"));
    assert_eq!(rig.take(), [Output::Persist { seq: 1001 }, Output::PublishCard(Arc::clone(&expected))]);
    assert_eq!(announcer.poll_timeout(), next, "the phase stays");
    announcer.handle_timeout(&mut rig.at(at(30)));
    assert_eq!(rig.take(), [Output::PublishHeartbeat(beat(&expected))]);
}

#[test]
fn requests_and_changes_in_a_burst_cost_one_card_a_second() {
    let mut rig = Rig::new();
    let mut announcer = announcing(&mut rig);
    announcer.on_request(&mut rig.at(at(1)));
    assert_eq!(rig.take(), [Output::PublishCard(published(1, 1000))]);
    for _ in 0..1000 {
        announcer.on_request(&mut rig.cx());
    }
    assert_eq!(announcer.set_card(&mut rig.cx(), moved("eu")), Ok(true));
    assert_eq!(announcer.set_card(&mut rig.cx(), moved("as")), Ok(true));
    assert_eq!(rig.take(), [Output::Persist { seq: 1001 }, Output::Persist { seq: 1002 }]);
    assert_eq!(rig.counted(), [(Count::CardHeld, 1002)]);
    assert_eq!(announcer.poll_timeout(), Some(at(2)));
    announcer.handle_timeout(&mut rig.at(at(2)));
    let last = Published::new(&Card { seq: 1002, ..moved("as") }).expect("within bounds");
    assert_eq!(rig.take(), [Output::PublishCard(Arc::new(last))]);
    announcer.handle_timeout(&mut rig.at(at(3)));
    assert_eq!(rig.take(), []);
}

#[test]
fn the_seq_only_ever_grows_whatever_the_clock_and_the_last_run_did() {
    let seq_after = |last: u64, unix: u64| {
        let mut rig = Rig { unix: UnixMillis(unix), ..Rig::new() };
        let mut announcer = Announcer::new(peer(1), last);
        announcer.set_card(&mut rig.cx(), card(1, 0)).map(|_| announcer.card().expect("set").seq)
    };
    assert_eq!(seq_after(0, 0), Ok(1));
    assert_eq!(seq_after(5000, 4990), Ok(5001), "the clock went back");
    assert_eq!(seq_after(0, 5000), Ok(5000), "the state was lost");
    assert_eq!(seq_after(7, CLOCK_MAX.0), Ok(CLOCK_MAX.0));
    assert_eq!(seq_after(7, CLOCK_MAX.0 + 1), Ok(8), "the clock is absurd");
    assert_eq!(seq_after(SEQ_MAX - 1, 0), Ok(SEQ_MAX));
    assert_eq!(seq_after(SEQ_MAX, 0), Err(SetError::Exhausted));
    assert_eq!(seq_after(u64::MAX, 0), Err(SetError::Exhausted));
    // Within one run.
    let mut rig = Rig { unix: UnixMillis(5000), ..Rig::new() };
    let mut announcer = announcing(&mut rig);
    rig.unix = UnixMillis(4000);
    assert_eq!(announcer.set_card(&mut rig.at(at(9)), moved("eu")), Ok(true));
    assert_eq!(rig.take()[0], Output::Persist { seq: 5001 });
}

#[test]
fn a_card_beyond_a_bound_is_refused_and_the_old_one_stays() {
    let mut rig = Rig::new();
    let mut announcer = announcing(&mut rig);
    let refused = announcer.set_card(&mut rig.cx(), moved(&"x".repeat(GEO_MAX + 1)));
    assert_eq!(refused, Err(CardError::Bound { what: "geo", max: GEO_MAX }.into()));
    assert_eq!(rig.take(), []);
    assert_eq!(announcer.card(), Some(&published(1, 1000)));
    assert_eq!(announcer.set_card(&mut rig.at(at(5)), moved("eu")), Ok(true));
    assert_eq!(rig.take()[0], Output::Persist { seq: 1001 }, "no seq was used up");
}
