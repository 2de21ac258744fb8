//! Scores as a machine keeps them: decay, colocation, retention. The formula itself is tested next to it.

use std::net::{IpAddr, Ipv4Addr};

use super::super::Verdict;
use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::PeerInfo;
use crate::time::Instant;

fn reject(lab: &mut Lab, from: u32, numbers: core::ops::Range<u32>) {
    for number in numbers {
        lab.frame_judged(from, Frame::Message(message(number, 0)), Verdict::Reject);
    }
}

fn reconnect(lab: &mut Lab, peer: u32) {
    lab.connect(peer, true);
    lab.frame(peer, subscribe(0));
}

#[test]
fn counters_decay_once_per_interval_at_heartbeats_and_catch_up() {
    let mut config = Config { heartbeat_delay: Duration::ZERO, ..scored() };
    config.score.decay_interval = Duration::from_secs(2);
    config.score.topic.first_deliveries_decay = 0.5;
    let mut lab = Lab::meshed(config, 1);
    (0..16).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    // At 10 s, late by six seconds, three decays at once.
    let scores = [1, 2, 3, 4, 10].map(|second| {
        lab.now = Instant::from_nanos(second * 1_000_000_000);
        lab.run(|g, cx| g.handle_timeout(cx));
        lab.score(0)
    });
    assert_eq!(scores, [16.0, 8.0, 8.0, 4.0, 0.5]);
}

#[test]
fn time_in_mesh_counts_from_the_graft_and_ends_with_the_prune() {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.topic.time_in_mesh_weight = 1.0;
    let mut lab = Lab::meshed(config, 1);
    lab.now = Instant::from_nanos(10_000_000_000);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert_eq!(lab.score(0), 10.0);
    lab.frame(0, prune(Some(1)));
    assert_eq!(lab.score(0), 0.0);
    lab.wait(Duration::from_secs(1));
    assert_eq!(lab.frame(0, graft()), []);
    assert_eq!(lab.score(0), 0.0, "it starts anew");
}

#[test]
fn a_delivery_deficit_at_the_prune_stays_as_mesh_failure() {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.topic.mesh_failure_weight = -1.0;
    config.score.topic.mesh_deliveries_threshold = 3.0;
    config.score.topic.mesh_deliveries_activation = Duration::from_secs(1);
    for (active, score) in [(true, -9.0), (false, 0.0)] {
        let mut lab = Lab::meshed(config.clone(), 1);
        if active {
            lab.beat(3);
        }
        lab.frame(0, prune(Some(60)));
        assert_eq!(lab.score(0), score);
    }
}

#[test]
fn peers_on_one_address_lower_each_other_s_score_as_long_as_they_are_connected() {
    let mut config = scored();
    (config.score.ip_weight, config.score.ip_threshold) = (-10.0, 1);
    let mut lab = Lab::new(config);
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for peer in 0..3 {
        lab.connect_as(peer, PeerInfo { id: peer_id(peer), outbound: true, explicit: false, ip });
    }
    lab.connect(3, true);
    let scores = |lab: &Lab| [0, 1, 2, 3].map(|p| lab.score(p));
    assert_eq!(scores(&lab), [-40.0, -40.0, -40.0, 0.0]);
    lab.disconnect(1);
    assert_eq!(scores(&lab), [-10.0, 0.0, -10.0, 0.0]);
    lab.disconnect(0);
    assert_eq!(scores(&lab), [0.0; 4]);
}

#[test]
fn the_application_s_score_is_weighted() {
    let mut config = scored();
    config.score.app_weight = 3.0;
    let mut lab = Lab::with_peers(config, 1);
    lab.app_score(0, -2.0);
    assert_eq!(lab.score(0), -6.0);
}

#[test]
fn the_sum_over_topics_is_capped_before_the_rest_is_added() {
    let mut config = scored();
    config.score.topic_cap = 3.0;
    let mut lab = Lab::with_peers(config, 1);
    (0..9).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    lab.app_score(0, 1.5);
    assert_eq!(lab.score(0), 4.5);
}

#[test]
fn a_bad_score_outlives_the_connection_for_the_retention_time() {
    for (away, score) in [(29_999, -4.0), (30_000, 0.0)] {
        let mut lab = Lab::meshed(scored(), 1);
        reject(&mut lab, 0, 0..2);
        lab.disconnect(0);
        assert_eq!(lab.score(0), 0.0, "nobody there");
        lab.wait(Duration::from_millis(away));
        reconnect(&mut lab, 0);
        assert_eq!(lab.score(0), score, "{away} ms");
    }
}

#[test]
fn a_backoff_longer_than_the_retention_time_keeps_no_fault_alive() {
    let mut lab = Lab::meshed(scored(), 1);
    reject(&mut lab, 0, 0..2);
    lab.frame(0, prune(Some(60)));
    lab.disconnect(0);
    lab.wait(Duration::from_secs(30));
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), 0.0);
    assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
}

#[test]
fn misbehaviour_outlives_the_connection_too() {
    let mut lab = Lab::meshed(scored(), 1);
    lab.frame(0, prune(Some(60)));
    lab.frame(0, graft());
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), -4.0);
}

#[test]
fn first_deliveries_of_a_bad_peer_end_with_the_connection() {
    let mut lab = Lab::meshed(scored(), 1);
    lab.frame(0, Frame::Message(message(9, 0)));
    reject(&mut lab, 0, 0..2);
    assert_eq!(lab.score(0), -3.0);
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), -4.0);
}

#[test]
fn a_positive_score_is_not_kept_with_all_that_made_it_up() {
    let mut lab = Lab::meshed(scored(), 1);
    (0..5).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    reject(&mut lab, 0, 5..7);
    assert_eq!(lab.score(0), 1.0);
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), 0.0);
    assert_eq!(lab.gossip.neighbours.departed_len(), 0);
}

#[test]
fn a_score_of_zero_is_kept() {
    let mut lab = Lab::meshed(scored(), 1);
    lab.frame(0, Frame::Message(message(9, 0)));
    reject(&mut lab, 0, 0..1);
    assert_eq!(lab.score(0), 0.0);
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), -1.0);
}

#[test]
fn whether_a_score_is_kept_depends_on_what_it_was_while_still_in_the_mesh() {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.topic.time_in_mesh_weight = 1.0;
    let mut lab = Lab::meshed(config, 1);
    reject(&mut lab, 0, 0..1);
    lab.now = Instant::from_nanos(10_000_000_000);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert!(lab.score(0) > 0.0);
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), 0.0);
}

#[test]
fn leaving_with_a_delivery_deficit_is_a_mesh_failure() {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.topic.mesh_failure_weight = -1.0;
    config.score.topic.mesh_deliveries_weight = -1.0;
    config.score.topic.mesh_deliveries_threshold = 3.0;
    config.score.topic.mesh_deliveries_activation = Duration::from_secs(1);
    let mut lab = Lab::meshed(config, 1);
    lab.now = Instant::from_nanos(3_000_000_000);
    lab.run(|g, cx| g.refresh_scores(cx));
    assert_eq!(lab.score(0), -9.0);
    lab.disconnect(0);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), -18.0);
}

#[test]
fn what_is_kept_of_a_departed_peer_does_not_decay() {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.topic.invalid_decay = 0.5;
    let mut lab = Lab::meshed(config, 1);
    reject(&mut lab, 0, 0..2);
    lab.disconnect(0);
    lab.beat(10);
    reconnect(&mut lab, 0);
    assert_eq!(lab.score(0), -4.0);
}

#[test]
fn an_unblemished_peer_leaves_nothing_behind_and_without_scores_nobody_does() {
    for (config, left) in [(scored(), 1), (Config { scores: false, ..scored() }, 0)] {
        let mut lab = Lab::meshed(config, 3);
        lab.frame(2, ihave(&[7]));
        lab.beat(5);
        (0..3).for_each(|p| drop(lab.disconnect(p)));
        assert_eq!(lab.gossip.neighbours.departed_len(), left);
    }
}
