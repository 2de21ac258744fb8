//! Backoff after a PRUNE: kept by both sides, for peers that left too, and GRAFT inside it (v1.1).

use super::super::testing::*;
use super::*;
use crate::machine::{Count, TopicRef};
use crate::time::Instant;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

/// Runs heartbeats until one sends the only candidate, peer 0, a GRAFT. Returns its time.
fn first_graft(lab: &mut Lab) -> Instant {
    for _ in 0..200 {
        let out = lab.beat(1);
        if !out.is_empty() {
            assert_eq!(out, [send(0, graft())]);
            return lab.now;
        }
    }
    panic!("no graft in 200 heartbeats");
}

#[test]
fn the_pruned_side_grafts_again_at_the_first_heartbeat_after_backoff_and_slack() {
    // A backoff named in the PRUNE is obeyed; none, and zero (as in go), stand for one's own.
    for (named, wait) in [(Some(5), 5), (Some(90), 90), (None, 60), (Some(0), 60)] {
        let mut lab = Lab::meshed(plain(Version::V1_1), 1);
        lab.now = at(1);
        assert_eq!(lab.frame(0, prune(named)), []);
        let grafted = first_graft(&mut lab);
        let free = at(1) + seconds(wait) + seconds(1);
        assert!(free <= grafted && grafted < free + seconds(1), "{named:?}: {grafted}");
    }
}

#[test]
fn the_slack_is_a_setting() {
    let mut lab = Lab::meshed(Config { backoff_slack: seconds(4), ..plain(Version::V1_2) }, 1);
    lab.frame(0, prune(Some(5)));
    let grafted = first_graft(&mut lab);
    assert!(at(9) <= grafted && grafted < at(10), "{grafted}");
}

#[test]
fn v1_0_knows_no_backoff() {
    let mut lab = Lab::meshed(plain(Version::V1_0), 1);
    lab.frame(0, prune(Some(60)));
    assert_eq!(lab.beat(1), [send(0, graft())]);
    lab.frame(0, prune(Some(60)));
    assert_eq!(lab.frame(0, graft()), []);
    assert_eq!(lab.mesh(), [0]);
}

#[test]
fn a_prune_from_outside_the_mesh_counts_as_well() {
    let mut lab = Lab::with_peers(plain(Version::V1_1), 1);
    lab.frame(0, prune(Some(60)));
    assert_eq!(lab.beat(1), []);
}

#[test]
fn a_shorter_backoff_does_not_cut_a_longer_one() {
    let mut lab = Lab::meshed(plain(Version::V1_1), 1);
    lab.frame(0, prune(Some(60)));
    lab.frame(0, prune(Some(1)));
    assert!(first_graft(&mut lab) >= at(61));
}

#[test]
fn a_backoff_holds_for_its_topic_only() {
    let mut lab = Lab::meshed(plain(Version::V1_1), 1);
    lab.run(|g, cx| g.subscribe(cx, TopicRef(1)));
    lab.frame(0, subscribe(1));
    lab.frame(0, prune(Some(60)));
    assert_eq!(lab.beat(1), [send(0, super::super::Frame::Graft(TopicRef(1)))]);
}

#[test]
fn a_graft_inside_the_backoff_is_pruned_again_and_extends_it_without_slack() {
    let mut lab = Lab::meshed(plain(Version::V1_1), 1);
    lab.frame(0, prune(Some(60)));
    lab.now = at(59);
    assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
    // Inside the second backoff, which began at 59 s.
    lab.wait(Duration::from_millis(59_999));
    assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
    assert_eq!(lab.count(Count::GraftInBackoff), 2);
    // At its end: the slack is for the own side.
    lab.wait(seconds(60));
    assert_eq!(lab.frame(0, graft()), []);
    assert_eq!(lab.mesh(), [0]);
    assert_eq!(lab.count(Count::GraftInBackoff), 2);
}

#[test]
fn a_graft_inside_the_backoff_costs_once_and_twice_when_it_floods() {
    // Scores are minus the square of the penalties; the flood threshold is 10 s from the PRUNE.
    for (after_ms, score) in [(0, -4.0), (9_999, -4.0), (10_000, -1.0), (59_999, -1.0), (60_000, 0.0)] {
        let mut lab = Lab::meshed(scored(), 1);
        lab.frame(0, prune(Some(60)));
        lab.wait(Duration::from_millis(after_ms));
        lab.frame(0, graft());
        assert_eq!(lab.score(0), score, "{after_ms} ms");
    }
}

#[test]
fn a_graft_inside_the_backoff_gets_no_peer_exchange() {
    let mut lab = Lab::meshed(Config { px_peers: 16, ..plain(Version::V1_1) }, 4);
    lab.frame(0, prune(Some(60)));
    assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
}

#[test]
fn the_pruning_side_keeps_the_backoff_too() {
    let mut lab = Lab::meshed(plain(Version::V1_1), 12);
    for peer in [14, 16, 18] {
        lab.connect(peer, true);
        lab.frame(peer, subscribe(0));
        lab.frame(peer, graft());
    }
    let pruned = receivers(&lab.beat(1), |f| *f == prune(Some(60)));
    assert_eq!(pruned.len(), 7);
    for peer in pruned {
        assert_eq!(lab.frame(peer, graft()), [send(peer, prune(Some(60)))]);
    }
    assert_eq!(lab.count(Count::GraftInBackoff), 7);
}

#[test]
fn a_backoff_outlives_the_connection() {
    for config in [plain(Version::V1_1), scored()] {
        let mut lab = Lab::meshed(config, 1);
        lab.frame(0, prune(Some(60)));
        lab.disconnect(0);
        lab.now = at(59);
        lab.connect(0, true);
        lab.frame(0, subscribe(0));
        assert_eq!(lab.beat(1), []);
        assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
    }
}

#[test]
fn a_backoff_of_a_departed_peer_is_forgotten_after_an_hour_at_most() {
    let years = 1 << 40;
    let mut lab = Lab::meshed(plain(Version::V1_1), 1);
    lab.frame(0, prune(Some(years)));
    lab.disconnect(0);
    assert_eq!(lab.gossip.neighbours.departed_len(), 1);
    lab.now = at(3599);
    lab.beat(1);
    lab.now = at(3601);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert_eq!(lab.gossip.neighbours.departed_len(), 0);
}
