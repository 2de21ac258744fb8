//! When heartbeats happen.

use super::super::testing::*;
use super::*;
use crate::time::Instant;

#[test]
fn the_first_heartbeat_comes_within_one_interval_after_the_profile_s_delay() {
    let mut delays = Vec::new();
    for (name, config) in profiles() {
        let (delay, interval) = (config.heartbeat_delay, config.heartbeat_interval);
        let mut lab = Lab::new(config);
        let first = lab.gossip.poll_timeout().expect("heartbeats are on");
        assert!(
            Instant::ZERO + delay <= first && first < Instant::ZERO + delay + interval,
            "{name}: {first}"
        );
        delays.push((delay.as_millis(), interval.as_millis()));
        lab.beat(1);
        assert_eq!(lab.gossip.poll_timeout(), Some(first + interval), "{name}");
    }
    assert_eq!(delays, [(0, 1000), (100, 1000), (5000, 1000), (100, 700), (100, 1000), (100, 1000)]);
}

#[test]
fn a_machine_that_was_not_started_has_no_timer() {
    let gossip = super::super::Gossip::<Text>::default();
    assert_eq!(gossip.poll_timeout(), None);
}

#[test]
fn an_interval_of_zero_switches_heartbeats_off() {
    let mut lab = Lab::with_peers(Config { heartbeat_interval: Duration::ZERO, ..Config::hyperspace() }, 3);
    assert_eq!(lab.gossip.poll_timeout(), None);
    lab.now = Instant::FAR_FUTURE;
    assert_eq!(lab.run(|g, cx| g.handle_timeout(cx)), []);
    assert!(lab.mesh().is_empty());
}

#[test]
fn an_early_or_second_call_does_nothing() {
    let mut lab = Lab::with_peers(Config::hyperspace(), 3);
    assert_eq!(lab.run(|g, cx| g.handle_timeout(cx)), []);
    assert_eq!(all_get(&lab.beat(1), &graft()), [0, 1, 2]);
    let next = lab.gossip.poll_timeout();
    lab.frame(0, unsubscribe(0));
    lab.frame(0, subscribe(0));
    assert_eq!(lab.run(|g, cx| g.handle_timeout(cx)), []);
    assert_eq!(lab.gossip.poll_timeout(), next);
}

#[test]
fn late_heartbeats_are_skipped_and_not_run_in_a_burst() {
    let mut lab = Lab::meshed(Config::hyperspace(), 6);
    lab.connect(7, false);
    lab.frame(7, subscribe(0));
    let phase = lab.gossip.poll_timeout().expect("heartbeats are on");
    lab.publish(message(1, 0));
    lab.now = phase + Duration::from_millis(10_500);
    // One IHAVE of the three that the message is worth, and the next ones in time.
    assert_eq!(lab.run(|g, cx| g.handle_timeout(cx)), [send(7, ihave(&[1]))]);
    assert_eq!(lab.gossip.poll_timeout(), Some(phase + Duration::from_secs(11)));
    assert_eq!(lab.run(|g, cx| g.handle_timeout(cx)), []);
    assert_eq!(lab.beat(1), [send(7, ihave(&[1]))]);
}

#[test]
fn a_heartbeat_exactly_in_time_is_followed_by_the_next_one() {
    let mut lab = Lab::new(Config::hyperspace());
    let phase = lab.gossip.poll_timeout().expect("heartbeats are on");
    lab.now = phase + Duration::from_secs(3);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert_eq!(lab.gossip.poll_timeout(), Some(phase + Duration::from_secs(4)));
}

#[test]
fn a_clock_at_its_end_does_not_hang_the_machine() {
    let mut lab = Lab::with_peers(plain(Version::V1_2), 3);
    lab.now = Instant::FAR_FUTURE;
    assert_eq!(all_get(&lab.run(|g, cx| g.handle_timeout(cx)), &graft()), [0, 1, 2]);
    assert_eq!(lab.gossip.poll_timeout(), None);
}
