//! Messages received: forwarding, duplicates and verdicts.

use super::super::Verdict;
use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, Output};

fn forwarded(peers: &[u32], m: Text) -> Vec<Output<Text>> {
    peers.iter().map(|p| send(*p, Frame::Message(m))).chain([deliver(m)]).collect()
}

#[test]
fn a_new_message_is_forwarded_to_the_mesh_except_its_source_and_delivered() {
    for version in VERSIONS {
        let mut lab = Lab::with_peers(plain(version), 5);
        for peer in [3, 0, 1] {
            lab.frame(peer, graft());
        }
        assert_eq!(lab.frame(0, Frame::Message(message(1, 0))), forwarded(&[3, 1], message(1, 0)));
        // From outside the mesh: to all of it.
        assert_eq!(lab.frame(4, Frame::Message(message(2, 0))), forwarded(&[3, 0, 1], message(2, 0)));
    }
}

#[test]
fn a_message_is_forwarded_to_its_author_only_if_that_is_set() {
    let m = Text { author: 2, ..message(1, 0) };
    for (forward_to_author, expected) in [(false, forwarded(&[1], m)), (true, forwarded(&[1, 2], m))] {
        for version in VERSIONS {
            let mut lab = Lab::meshed(Config { forward_to_author, ..plain(version) }, 3);
            assert_eq!(lab.frame(0, Frame::Message(m)), expected);
        }
    }
}

#[test]
fn a_duplicate_is_counted_and_dropped() {
    for version in VERSIONS {
        let mut lab = Lab::meshed(plain(version), 3);
        let m = message(1, 0);
        lab.frame(0, Frame::Message(m));
        assert_eq!(lab.frame(1, Frame::Message(m)), []);
        assert_eq!(lab.frame(0, Frame::Message(m)), []);
        assert_eq!(lab.count(Count::Duplicate), 2);
    }
}

#[test]
fn an_id_is_remembered_for_the_profile_s_time() {
    let mut lifetimes = Vec::new();
    for (name, config) in profiles() {
        let ttl = config.seen_ttl;
        let mut lab = Lab::meshed(config, 2);
        let m = message(1, 0);
        lab.frame(0, Frame::Message(m));
        lab.wait(ttl);
        assert_eq!(lab.frame(0, Frame::Message(m)), [], "{name}");
        lab.wait(Duration::from_nanos(ttl.as_nanos() / 8));
        assert_eq!(lab.frame(0, Frame::Message(m)), forwarded(&[1], m), "{name}");
        lifetimes.push(ttl.as_secs());
    }
    assert_eq!(lifetimes, [120, 120, 60, 385, 120, 120]);
}

#[test]
fn a_message_of_a_topic_not_subscribed_to_is_dropped_unseen() {
    let mut lab = Lab::meshed(plain(Version::V1_1), 2);
    let m = message(1, 1);
    assert_eq!(lab.frame(0, Frame::Message(m)), []);
    assert_eq!(lab.count(Count::UnknownTopic), 1);
    lab.run(|g, cx| g.subscribe(cx, crate::machine::TopicRef(1)));
    assert_eq!(lab.frame(0, Frame::Message(m)), [deliver(m)]);
}

#[test]
fn rejected_and_ignored_messages_go_nowhere() {
    for (verdict, count) in [(Verdict::Reject, Count::Rejected), (Verdict::Ignore, Count::Ignored)] {
        for version in VERSIONS {
            let mut lab = Lab::meshed(plain(version), 3);
            let m = Frame::Message(message(1, 0));
            assert_eq!(lab.frame_judged(0, m.clone(), verdict), []);
            assert_eq!(lab.count(count), 1);
            assert_eq!(lab.frame(1, m), [], "nor the next copy");
            assert_eq!(lab.frame(2, iwant(&[1])), []);
        }
    }
}

#[test]
fn the_first_to_bring_a_valid_message_is_credited_in_the_mesh_or_not() {
    let mut lab = Lab::with_peers(scored(), 3);
    lab.frame(0, graft());
    for (from, number) in [(0, 1), (1, 2), (1, 3)] {
        lab.frame(from, Frame::Message(message(number, 0)));
        lab.frame(2, Frame::Message(message(number, 0)));
    }
    assert_eq!([0, 1, 2].map(|p| lab.score(p)), [1.0, 2.0, 0.0]);
}

#[test]
fn whoever_sends_an_invalid_message_is_to_blame_and_so_are_those_that_send_it_after() {
    let mut lab = Lab::meshed(scored(), 3);
    let m = Frame::Message(message(1, 0));
    lab.frame_judged(0, m.clone(), Verdict::Reject);
    assert_eq!([0, 1, 2].map(|p| lab.score(p)), [-1.0, 0.0, 0.0]);
    lab.frame(1, m.clone());
    lab.frame(1, m.clone());
    assert_eq!([0, 1, 2].map(|p| lab.score(p)), [-1.0, -4.0, 0.0]);
    // As long as it is remembered.
    lab.wait(Duration::from_secs(120));
    lab.frame(2, m);
    assert_eq!(lab.score(2), -1.0);
}

#[test]
fn an_ignored_message_is_nobody_s_fault_and_nobody_s_merit() {
    let mut lab = Lab::meshed(scored(), 2);
    let m = Frame::Message(message(1, 0));
    lab.frame_judged(0, m.clone(), Verdict::Ignore);
    lab.frame(1, m);
    assert_eq!((lab.score(0), lab.score(1)), (0.0, 0.0));
}

/// Mesh peers whose score is their mesh deliveries short of ten, squared and negative, on top of 1000.
fn delivering() -> Lab {
    let mut config = scored();
    config.score.decay_interval = Duration::from_secs(1);
    config.score.behaviour_decay = 0.999_999_999_999;
    let topic = &mut config.score.topic;
    topic.first_deliveries_weight = 0.0;
    topic.mesh_deliveries_weight = -1.0;
    topic.mesh_deliveries_threshold = 10.0;
    topic.mesh_deliveries_decay = 0.999_999_999_999;
    topic.mesh_deliveries_activation = Duration::from_secs(1);
    topic.mesh_deliveries_window = Duration::from_millis(5);
    let mut lab = Lab::meshed(config, 6);
    (0..6).for_each(|p| lab.app_score(p, 1000.0));
    assert_eq!(lab.beat(3), []);
    lab
}

fn mesh_deliveries(lab: &Lab, peer: u32) -> f64 {
    let deliveries = 10.0 - (1000.0 - lab.score(peer)).sqrt();
    (deliveries * 1e6).round() / 1e6
}

#[test]
fn mesh_peers_are_credited_once_for_a_message_they_bring_first_or_within_the_window() {
    let mut lab = delivering();
    let m = Frame::Message(message(1, 0));
    lab.frame(0, m.clone());
    for from in [0, 1, 1] {
        lab.frame(from, m.clone());
    }
    lab.wait(Duration::from_millis(5));
    lab.frame(2, m.clone());
    lab.wait(Duration::from_nanos(1));
    lab.frame(3, m);
    assert_eq!([0, 1, 2, 3, 4].map(|p| mesh_deliveries(&lab, p)), [1.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn copies_of_ignored_and_rejected_messages_are_no_mesh_deliveries() {
    for verdict in [Verdict::Ignore, Verdict::Reject] {
        let mut lab = delivering();
        lab.config.gossip.score.topic.invalid_weight = 0.0;
        lab.frame_judged(0, Frame::Message(message(1, 0)), verdict);
        lab.frame(1, Frame::Message(message(1, 0)));
        assert_eq!([0, 1].map(|p| mesh_deliveries(&lab, p)), [0.0, 0.0]);
    }
}

#[test]
fn only_mesh_peers_have_mesh_deliveries() {
    let mut lab = delivering();
    lab.frame(5, prune(Some(60)));
    let before = lab.score(5);
    lab.frame(5, Frame::Message(message(1, 0)));
    lab.frame(0, Frame::Message(message(2, 0)));
    lab.frame(5, Frame::Message(message(2, 0)));
    assert_eq!(lab.score(5), before);
}

#[test]
fn below_the_graylist_threshold_everything_but_subscriptions_is_ignored() {
    let frames =
        [Frame::Message(message(1, 0)), graft(), prune(None), ihave(&[5]), iwant(&[9]), Frame::Idontwant(3)];
    let mut lab = Lab::with_peers(scored(), 1);
    lab.publish(message(9, 0));
    lab.app_score(0, -10_000.5);
    for (n, frame) in frames.into_iter().enumerate() {
        assert_eq!(lab.frame(0, frame), []);
        assert_eq!(lab.count(Count::Graylisted), n as u64 + 1);
    }
    assert!(lab.mesh().is_empty());
    // Subscriptions are said once: those of a peer that comes back must not be lost.
    lab.frame(0, unsubscribe(0));
    lab.frame(0, subscribe(0));
    assert_eq!(lab.count(Count::Graylisted), 6);
    lab.app_score(0, 0.0);
    assert_eq!(lab.beat(1), [send(0, graft()),]);
}

#[test]
fn at_the_graylist_threshold_and_without_scores_messages_are_taken() {
    for (config, score) in [(scored(), -10_000.0), (Config { scores: false, ..scored() }, -20_000.0)] {
        let mut lab = Lab::with_peers(config, 1);
        lab.app_score(0, score);
        assert_eq!(lab.frame(0, Frame::Message(message(1, 0))), [deliver(message(1, 0))]);
    }
}
