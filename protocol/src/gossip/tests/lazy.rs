//! IHAVE, IWANT and the promises behind them.

use std::collections::BTreeSet;

use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, Output, TopicRef};

/// The mesh 0..6 stays as it is (D_lo to D_hi), and `n - 6` more peers of the topic are backed off from or, in v1.0,
/// simply not needed.
fn gossiping(config: Config, n: u32) -> Lab {
    let mut lab = Lab::with_peers(config, n);
    for peer in 0..6 {
        assert_eq!(lab.frame(peer, graft()), []);
    }
    lab
}

/// The ids of an IWANT that is the whole outbox.
fn wanted(out: &[Output<Text>]) -> Vec<u32> {
    match out {
        [Output::Send { frame: Frame::Iwant(ids), .. }] => ids.to_vec(),
        _ => panic!("not one IWANT: {out:?}"),
    }
}

#[test]
fn gossip_goes_to_the_larger_of_d_lazy_and_a_quarter_of_the_eligible() {
    for (name, config) in profiles() {
        for (eligible, expected) in
            [(3, 3), (20, config.mesh_degree_lazy.max(5)), (99, 24), (101, 25), (200, 50)]
        {
            let mut lab = gossiping(config.clone(), 6 + eligible);
            lab.publish(message(1, 0));
            let to = all_get(&lab.beat(1), &ihave(&[1]));
            assert_eq!(to.len(), expected, "{name}, {eligible} eligible");
            assert!(to[0] >= 6, "{name}: mesh links get none");
        }
    }
}

#[test]
fn v1_0_gossips_to_d_lazy_peers_however_many_there_are() {
    let mut lab = gossiping(plain(Version::V1_0), 206);
    lab.publish(message(1, 0));
    assert_eq!(all_get(&lab.beat(1), &ihave(&[1])).len(), 12);
}

/// The check value of the v1.1 text: 1 - 0.75³ = 0.578125.
#[test]
fn a_peer_outside_the_mesh_hears_of_a_message_within_three_heartbeats_with_probability_0_578() {
    const MESSAGES: u32 = 500;
    let mut lab = gossiping(plain(Version::V1_1), 206);
    let mut heard = 0;
    for number in 0..MESSAGES {
        lab.publish(message(number, 0));
        let mut told = BTreeSet::new();
        for _ in 0..3 {
            let to = all_get(&lab.beat(1), &ihave(&[number]));
            assert_eq!(to.len(), 50);
            told.extend(to);
        }
        heard += told.len();
    }
    let trials = f64::from(MESSAGES * 200);
    let sigma = (0.578_125 * (1.0 - 0.578_125) / trials).sqrt();
    let share = heard as f64 / trials;
    assert!((share - 0.578_125).abs() < 3.0 * sigma, "{share} is not 0.578125 within {}", 3.0 * sigma);
}

#[test]
fn gossip_skips_other_topics_and_peers_below_the_gossip_threshold() {
    let mut lab = gossiping(scored(), 9);
    lab.connect(9, true);
    lab.frame(9, subscribe(1));
    lab.app_score(6, -4000.5);
    lab.app_score(7, -4000.0);
    lab.publish(message(1, 0));
    assert_eq!(all_get(&lab.beat(1), &ihave(&[1])), [7, 8]);
}

#[test]
fn a_message_is_advertised_at_three_heartbeats_and_served_for_the_profile_s_history() {
    let mut lengths = Vec::new();
    for (name, config) in profiles() {
        let length = config.history_length as u32;
        let mut lab = gossiping(config, 7);
        let m = message(1, 0);
        lab.publish(m);
        for beat in 1..length {
            let expected = if beat <= 3 { vec![send(6, ihave(&[1]))] } else { vec![] };
            assert_eq!(lab.beat(1), expected, "{name}, heartbeat {beat}");
        }
        assert_eq!(lab.frame(6, iwant(&[1])), [send(6, Frame::Message(m))], "{name}");
        lab.beat(1);
        assert_eq!(lab.frame(6, iwant(&[1])), [], "{name}");
        lengths.push(length);
    }
    assert_eq!(lengths, [5, 5, 5, 6, 10, 5]);
}

#[test]
fn received_messages_are_advertised_too_but_not_rejected_or_ignored_ones() {
    use super::super::Verdict;
    let mut lab = gossiping(plain(Version::V1_1), 7);
    lab.frame(0, Frame::Message(message(1, 0)));
    lab.frame_judged(0, Frame::Message(message(2, 0)), Verdict::Reject);
    lab.frame_judged(0, Frame::Message(message(3, 0)), Verdict::Ignore);
    assert_eq!(lab.beat(1), [send(6, ihave(&[1]))]);
    assert_eq!(lab.frame(6, iwant(&[2, 3])), []);
}

#[test]
fn an_ihave_names_no_more_ids_than_the_cap() {
    let mut lab = gossiping(Config { ihave_ids_max: 5, ..plain(Version::V1_1) }, 7);
    (0..8).for_each(|n| drop(lab.publish(message(n, 0))));
    let out = lab.beat(1);
    let [Output::Send { to, frame: Frame::Ihave(ihave) }] = &out[..] else { panic!("{out:?}") };
    let distinct: BTreeSet<u32> = ihave.ids.iter().copied().filter(|n| *n < 8).collect();
    assert_eq!((to.0, ihave.topic, distinct.len(), ihave.ids.len()), (6, TopicRef(0), 5, 5));
}

#[test]
fn an_ihave_is_answered_by_an_iwant_for_what_is_unseen() {
    for version in VERSIONS {
        let mut lab = Lab::with_peers(plain(version), 2);
        lab.frame(1, Frame::Message(message(2, 0)));
        assert_eq!(lab.frame(0, ihave(&[1, 2, 3])), [send(0, iwant(&[1, 3]))]);
        assert_eq!(lab.frame(0, ihave(&[2])), []);
        assert_eq!(lab.frame(0, ihave(&[])), []);
    }
}

#[test]
fn an_ihave_for_a_topic_not_subscribed_to_is_ignored() {
    let mut lab = outsider(plain(Version::V1_1), 1);
    assert_eq!(lab.frame(0, ihave(&[1])), []);
    assert_eq!(lab.count(Count::UnknownTopic), 1);
}

#[test]
fn below_the_gossip_threshold_neither_ihave_nor_iwant_is_answered() {
    let m = message(1, 0);
    for (score, answered) in [(-4000.0, true), (-4000.5, false)] {
        let mut lab = Lab::with_peers(scored(), 1);
        lab.publish(m);
        lab.app_score(0, score);
        let expected = if answered {
            vec![vec![send(0, iwant(&[7]))], vec![send(0, Frame::Message(m))]]
        } else {
            vec![vec![]; 2]
        };
        assert_eq!([lab.frame(0, ihave(&[7])), lab.frame(0, iwant(&[1]))].to_vec(), expected);
    }
}

#[test]
fn a_peer_has_ten_ihaves_per_heartbeat() {
    let mut lab = Lab::with_peers(plain(Version::V1_1), 2);
    for n in 0..10 {
        assert_eq!(lab.frame(0, ihave(&[n])), [send(0, iwant(&[n]))]);
    }
    assert_eq!(lab.frame(0, ihave(&[10])), []);
    assert_eq!(lab.count(Count::IhaveCap), 1);
    assert_eq!(lab.frame(1, ihave(&[10])), [send(1, iwant(&[10]))], "another peer has its own");
    lab.beat(1);
    assert_eq!(lab.frame(0, ihave(&[10])), [send(0, iwant(&[10]))]);
}

#[test]
fn a_peer_is_asked_for_so_many_ids_per_heartbeat() {
    let mut lab = Lab::with_peers(Config { ihave_ids_max: 5, ..plain(Version::V1_1) }, 1);
    assert_eq!(lab.frame(0, ihave(&[1, 2, 3])), [send(0, iwant(&[1, 2, 3]))]);
    let rest = wanted(&lab.frame(0, ihave(&[4, 5, 6, 7])));
    assert!(rest.len() == 2 && rest[0] != rest[1] && rest.iter().all(|n| (4..8).contains(n)), "{rest:?}");
    assert_eq!(lab.frame(0, ihave(&[8])), []);
    assert_eq!(lab.count(Count::IhaveCap), 2);
    lab.beat(1);
    // Of one frame no more ids than that are even looked at.
    assert_eq!(wanted(&lab.frame(0, ihave(&[10, 11, 12, 13, 14, 15, 16]))).len(), 5);
}

#[test]
fn an_iwant_is_answered_from_the_history() {
    for version in VERSIONS {
        let mut lab = Lab::with_peers(plain(version), 2);
        let (a, b) = (message(1, 0), message(2, 0));
        lab.publish(a);
        lab.frame(1, Frame::Message(b));
        assert_eq!(lab.frame(0, iwant(&[2, 9, 1])), [send(0, Frame::Message(b)), send(0, Frame::Message(a))]);
        assert_eq!(lab.frame(0, iwant(&[])), []);
    }
}

#[test]
fn one_peer_gets_the_same_message_by_iwant_three_times() {
    let m = message(1, 0);
    let mut lab = Lab::with_peers(plain(Version::V1_1), 2);
    lab.publish(m);
    assert_eq!(lab.frame(0, iwant(&[1])), [send(0, Frame::Message(m))]);
    lab.beat(1);
    assert_eq!(lab.frame(0, iwant(&[1, 1, 1])), vec![send(0, Frame::Message(m)); 2]);
    lab.beat(3);
    assert_eq!(lab.frame(0, iwant(&[1])), []);
    assert_eq!(lab.count(Count::IwantCap), 2);
    assert_eq!(lab.frame(1, iwant(&[1])), [send(1, Frame::Message(m))], "another peer has its own");
    lab.beat(1);
    assert_eq!(lab.gossip.served.len(), 1, "peer 1's answer is younger");
    lab.beat(5);
    assert_eq!(lab.gossip.served.len(), 0, "forgotten with the message");
}

#[test]
fn a_promise_is_broken_when_the_message_has_not_come_in_time() {
    for (version, broken) in [(Version::V1_0, 0), (Version::V1_1, 1), (Version::V1_2, 1)] {
        let mut lab = Lab::meshed(Config { version, ..scored() }, 1);
        lab.beat(1);
        assert_eq!(lab.frame(0, ihave(&[1])), [send(0, iwant(&[1]))]);
        // Three seconds are exactly in time.
        lab.beat(3);
        assert_eq!((lab.count(Count::BrokenPromise), lab.score(0)), (0, 0.0));
        lab.beat(1);
        assert_eq!((lab.count(Count::BrokenPromise), lab.score(0)), (broken, -(broken as f64)));
        lab.beat(5);
        assert_eq!(lab.count(Count::BrokenPromise), broken, "once");
    }
}

#[test]
fn one_id_of_each_iwant_is_a_promise() {
    let mut lab = Lab::meshed(scored(), 2);
    lab.frame(0, ihave(&(0..100).collect::<Vec<_>>()));
    lab.frame(0, ihave(&(100..200).collect::<Vec<_>>()));
    lab.frame(1, ihave(&[7]));
    lab.frame(1, ihave(&[7]));
    lab.beat(5);
    assert_eq!(lab.count(Count::BrokenPromise), 3);
    assert_eq!((lab.score(0), lab.score(1)), (-4.0, -1.0));
}

#[test]
fn a_promise_is_kept_whoever_sends_the_message_and_whatever_it_is_worth() {
    use super::super::Verdict;
    for verdict in [Verdict::Accept, Verdict::Reject, Verdict::Ignore] {
        let mut lab = Lab::meshed(scored(), 2);
        lab.frame(0, ihave(&[1]));
        lab.frame_judged(1, Frame::Message(message(1, 0)), verdict);
        lab.beat(5);
        assert_eq!((lab.count(Count::BrokenPromise), lab.score(0)), (0, 0.0));
    }
}

#[test]
fn promises_end_with_the_connection() {
    let mut lab = Lab::meshed(scored(), 1);
    lab.frame(0, ihave(&[1]));
    lab.disconnect(0);
    assert_eq!(lab.gossip.promises.len(), 0);
    lab.connect(0, false);
    lab.beat(5);
    assert_eq!(lab.count(Count::BrokenPromise), 0);
}

#[test]
fn topics_without_subscription_are_gossiped_about_to_others_than_the_fanout() {
    for version in VERSIONS {
        let mut lab = outsider(Config { flood_publish: false, mesh_degree: 8, ..plain(version) }, 12);
        let fanout = receivers(&lab.publish(message(1, 0)), |_| true);
        let told = all_get(&lab.beat(1), &ihave(&[1]));
        assert_eq!(told, (0..12).filter(|p| !fanout.contains(p)).collect::<Vec<_>>());
    }
}
