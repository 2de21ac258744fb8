//! JOIN, LEAVE, GRAFT and PRUNE.

use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, Output, TopicRef};

fn join(lab: &mut Lab) -> Vec<Output<Text>> {
    lab.run(|g, cx| g.subscribe(cx, TopicRef(0)))
}

fn leave(lab: &mut Lab) -> Vec<Output<Text>> {
    lab.run(|g, cx| g.unsubscribe(cx, TopicRef(0)))
}

#[test]
fn join_announces_the_topic_to_all_and_grafts_d_of_its_peers() {
    for (name, config) in profiles() {
        let degree = config.mesh_degree;
        let mut lab = outsider(config, 20);
        lab.connect(20, true);
        let mut out = join(&mut lab);
        let grafts = out.split_off(21);
        assert_eq!(out, (0..21).map(|p| send(p, subscribe(0))).collect::<Vec<_>>(), "{name}");
        let grafted = all_get(&grafts, &graft());
        assert_eq!(grafted.len(), degree, "{name}");
        assert!(!grafted.contains(&20), "{name}: not in the topic");
        assert_eq!(lab.mesh(), grafted, "{name}");
    }
}

#[test]
fn join_takes_all_there_are_if_they_are_fewer_than_d() {
    let mut lab = outsider(Config::hyperspace(), 3);
    let mut out = join(&mut lab);
    let grafts = out.split_off(3);
    assert_eq!(all_get(&grafts, &graft()), [0, 1, 2]);
}

#[test]
fn join_twice_does_nothing_more() {
    let mut lab = outsider(Config::hyperspace(), 3);
    join(&mut lab);
    assert_eq!(join(&mut lab), []);
    assert_eq!(lab.mesh(), [0, 1, 2]);
}

#[test]
fn join_takes_the_fanout_first_and_fills_up_to_d() {
    for version in VERSIONS {
        let mut lab = outsider(Config { flood_publish: false, ..plain(version) }, 3);
        let fanout = all_get(&lab.publish(message(1, 0)), &Frame::Message(message(1, 0)));
        assert_eq!(fanout, [0, 1, 2]);
        for peer in 3..20 {
            lab.connect(peer, false);
            lab.frame(peer, subscribe(0));
        }
        let out = join(&mut lab);
        let grafts = &out[20..];
        assert_eq!(all_get(&grafts[..3], &graft()), fanout);
        assert_eq!(all_get(grafts, &graft()).len(), 8);
        assert_eq!(lab.mesh(), all_get(grafts, &graft()));
        assert!(lab.gossip.fanout.is_empty());
    }
}

#[test]
fn join_grafts_no_fanout_peer_of_negative_score() {
    let mut lab = outsider(Config { flood_publish: false, ..scored() }, 3);
    lab.app_score(1, -1.0);
    // Above the publish threshold: good enough for the fanout.
    assert_eq!(lab.publish(message(1, 0)).len(), 3);
    let out = join(&mut lab);
    assert_eq!(all_get(&out[3..], &graft()), [0, 2]);
}

#[test]
fn leave_prunes_the_mesh_with_the_unsubscribe_backoff_and_tells_all() {
    let cases = [(Version::V1_0, None), (Version::V1_1, Some(10)), (Version::V1_2, Some(10))];
    for (version, backoff) in cases {
        let mut lab = Lab::with_peers(plain(version), 4);
        lab.frame(3, graft());
        lab.frame(1, graft());
        let mut expected = vec![send(3, prune(backoff)), send(1, prune(backoff))];
        expected.extend((0..4).map(|p| send(p, unsubscribe(0))));
        assert_eq!(leave(&mut lab), expected);
        assert_eq!(lab.gossip.mesh_peers(TopicRef(0)), None);
        assert_eq!(leave(&mut lab), []);
    }
}

#[test]
fn a_topic_rejoined_within_the_unsubscribe_backoff_grafts_nobody_from_before() {
    let config = Config { unsubscribe_backoff: Duration::from_secs(10), ..plain(Version::V1_1) };
    let mut lab = Lab::meshed(config, 1);
    leave(&mut lab);
    lab.wait(Duration::from_millis(10_999));
    assert_eq!(join(&mut lab), [send(0, subscribe(0))]);
    leave(&mut lab);
    lab.wait(Duration::from_millis(1));
    assert_eq!(join(&mut lab), [send(0, subscribe(0)), send(0, graft())]);
}

#[test]
fn a_new_connection_is_greeted_with_all_topics_in_one_frame() {
    let mut lab = Lab::new(Config::hyperspace());
    assert_eq!(lab.connect(0, true), []);
    lab.run(|g, cx| g.subscribe(cx, TopicRef(4)));
    lab.run(|g, cx| g.subscribe(cx, TopicRef(2)));
    let both = Frame::Subscriptions(vec![(TopicRef(4), true), (TopicRef(2), true)].into());
    assert_eq!(lab.connect(1, true), [send(1, both)]);
}

#[test]
fn a_graft_is_taken_silently_and_once() {
    for version in VERSIONS {
        let mut lab = Lab::with_peers(plain(version), 2);
        assert_eq!(lab.frame(1, graft()), []);
        assert_eq!(lab.frame(1, graft()), []);
        assert_eq!(lab.mesh(), [1]);
        assert_eq!(lab.gossip.mesh_peers(TopicRef(0)).map(<[_]>::len), Some(1));
    }
}

#[test]
fn a_graft_for_a_topic_not_subscribed_to_is_pruned_in_v1_0_and_ignored_since() {
    let unknown = Frame::Graft(TopicRef(1));
    let answer =
        Frame::Prune(Box::new(super::super::Prune { topic: TopicRef(1), backoff: None, px: vec![] }));
    for (version, expected) in
        [(Version::V1_0, vec![send(0, answer)]), (Version::V1_1, vec![]), (Version::V1_2, vec![])]
    {
        let mut lab = Lab::with_peers(plain(version), 1);
        assert_eq!(lab.frame(0, unknown.clone()), expected);
        assert_eq!(lab.count(Count::UnknownTopic), 1);
        assert_eq!(lab.gossip.mesh_peers(TopicRef(1)), None);
    }
}

#[test]
fn a_graft_from_a_peer_of_negative_score_is_pruned_without_exchange() {
    let mut lab = Lab::with_peers(Config { px_peers: 16, ..scored() }, 4);
    lab.app_score(1, -0.5);
    assert_eq!(lab.frame(1, graft()), [send(1, prune(Some(60)))]);
    assert_eq!(lab.count(Count::GraftRefused), 1);
    assert!(lab.mesh().is_empty());
    // And backed off from.
    lab.app_score(1, 5.0);
    assert_eq!(lab.frame(1, graft()), [send(1, prune(Some(60)))]);
    assert_eq!(lab.count(Count::GraftInBackoff), 1);
}

#[test]
fn a_graft_from_a_peer_of_score_zero_is_taken() {
    let mut lab = Lab::with_peers(scored(), 1);
    assert_eq!(lab.frame(0, graft()), []);
    assert_eq!(lab.mesh(), [0]);
}

#[test]
fn a_full_mesh_takes_grafts_from_outbound_peers_only() {
    for (name, config) in profiles() {
        let full = config.mesh_degree_max as u32;
        let (inbound, outbound) = (full + 1, full + 2);
        assert!(outbound.is_multiple_of(2), "{name}: even peers are outbound");
        let mut lab = Lab::with_peers(Config { px_peers: 0, ..config }, full + 3);
        for peer in 0..full {
            assert_eq!(lab.frame(peer, graft()), [], "{name}");
        }
        assert_eq!(lab.frame(inbound, graft()), [send(inbound, prune(Some(60)))], "{name}");
        assert_eq!(lab.count(Count::GraftRefused), 1, "{name}");
        assert_eq!(lab.frame(outbound, graft()), [], "{name}");
        let mut mesh: Vec<u32> = (0..full).collect();
        mesh.push(outbound);
        assert_eq!(lab.mesh(), mesh, "{name}");
    }
}

#[test]
fn a_full_mesh_takes_any_graft_in_v1_0() {
    let mut lab = Lab::meshed(plain(Version::V1_0), 12);
    lab.connect(13, false);
    lab.frame(13, subscribe(0));
    assert_eq!(lab.frame(13, graft()), []);
    assert_eq!(lab.mesh().len(), 13);
}

#[test]
fn a_prune_is_obeyed_silently() {
    for version in VERSIONS {
        let mut lab = Lab::meshed(plain(version), 3);
        assert_eq!(lab.frame(1, prune(Some(60))), []);
        assert_eq!(lab.mesh(), [0, 2]);
        assert_eq!(lab.frame(1, prune(Some(60))), []);
        assert_eq!(lab.mesh(), [0, 2]);
    }
}

#[test]
fn a_prune_of_a_topic_not_subscribed_to_is_ignored() {
    let mut lab = outsider(Config { px_peers: 4, ..Config::hyperspace() }, 1);
    assert_eq!(lab.frame(0, prune_offering(60, &[7])), []);
    let out = join(&mut lab);
    assert_eq!(out, [send(0, subscribe(0)), send(0, graft())]);
}

#[test]
fn a_peer_that_unsubscribes_leaves_the_mesh_without_a_word() {
    for version in VERSIONS {
        let mut lab = Lab::meshed(plain(version), 3);
        assert_eq!(lab.frame(1, unsubscribe(0)), []);
        assert_eq!(lab.mesh(), [0, 2]);
        assert_eq!(lab.beat(1), [], "nobody left to graft");
    }
}

#[test]
fn a_peer_that_unsubscribes_from_another_topic_stays() {
    let mut lab = Lab::meshed(Config::hyperspace(), 2);
    lab.frame(1, subscribe(1));
    assert_eq!(lab.frame(1, unsubscribe(1)), []);
    assert_eq!(lab.mesh(), [0, 1]);
}

#[test]
fn a_peer_whose_connection_is_gone_leaves_the_mesh() {
    for version in VERSIONS {
        let mut lab = Lab::meshed(plain(version), 3);
        assert_eq!(lab.disconnect(1), []);
        assert_eq!(lab.mesh(), [0, 2]);
    }
}

#[test]
fn whoever_grafts_is_in_the_topic_even_before_it_says_so() {
    let mut lab = Lab::with_peers(Config { flood_publish: true, ..Config::hyperspace() }, 1);
    lab.connect(1, false);
    assert_eq!(lab.frame(1, graft()), []);
    let m = message(1, 0);
    assert_eq!(
        lab.publish(m),
        [send(0, Frame::Message(m)), send(1, Frame::Message(m)), deliver(m)],
        "flood publishing reaches it"
    );
}

#[test]
fn a_graft_from_a_peer_with_too_many_topics_is_pruned() {
    let mut lab = Lab::with_peers(Config { topics_max: 2, ..Config::hyperspace() }, 0);
    lab.connect(0, false);
    lab.frame(0, subscribe(1));
    lab.frame(0, subscribe(2));
    assert_eq!(lab.frame(0, graft()), [send(0, prune(Some(60)))]);
    assert_eq!((lab.count(Count::TopicCap), lab.count(Count::GraftRefused)), (1, 1));
    assert!(lab.mesh().is_empty());
}

#[test]
fn subscriptions_beyond_the_cap_are_dropped_and_counted() {
    let mut lab = Lab::new(Config { topics_max: 2, flood_publish: true, ..plain(Version::V1_1) });
    lab.connect(0, false);
    for topic in [5, 6, 6, 0] {
        assert_eq!(lab.frame(0, subscribe(topic)), []);
    }
    assert_eq!(lab.count(Count::TopicCap), 1);
    assert_eq!(lab.publish(message(1, 0)), []);
    // One less makes room.
    lab.frame(0, unsubscribe(5));
    lab.frame(0, subscribe(0));
    assert_eq!(lab.publish(message(2, 0)), [send(0, Frame::Message(message(2, 0)))]);
    assert_eq!(lab.count(Count::TopicCap), 1);
}

#[test]
fn frames_from_no_connection_do_nothing() {
    for version in VERSIONS {
        let mut lab = Lab::with_peers(plain(version), 2);
        for frame in all_frames().into_iter().chain([Frame::Message(message(1, 0))]) {
            assert_eq!(lab.frame(7, frame.clone()), [], "{frame:?}");
        }
        assert!(lab.mesh().is_empty());
        assert_eq!(lab.disconnect(7), []);
    }
}

#[test]
fn a_static_mesh_is_every_connection_whatever_peers_say() {
    let mut lab = Lab::new(Config { static_mesh: true, ..Config::hyperspace() });
    assert_eq!(lab.connect(0, true), []);
    assert_eq!(join(&mut lab), []);
    assert_eq!(lab.connect(1, false), []);
    assert_eq!(lab.connect(2, false), []);
    for frame in [subscribe(0), graft(), prune_offering(60, &[9]), unsubscribe(0)] {
        assert_eq!(lab.frame(1, frame), []);
    }
    assert_eq!(lab.mesh(), [0, 1, 2]);
    let m = message(1, 0);
    assert_eq!(lab.publish(m)[..3], [0, 1, 2].map(|p| send(p, Frame::Message(m))));
    assert_eq!(lab.beat(3), []);
    assert_eq!(lab.disconnect(0), []);
    assert_eq!(leave(&mut lab), []);
}
