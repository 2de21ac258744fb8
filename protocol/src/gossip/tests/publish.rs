//! Publishing: the mesh, flood publishing and the fanout.

use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, Output, TopicRef};

fn to_each(peers: impl IntoIterator<Item = u32>, m: Text) -> Vec<Output<Text>> {
    peers.into_iter().map(|p| send(p, Frame::Message(m))).collect()
}

#[test]
fn own_messages_go_to_the_whole_topic_where_flood_publishing_is_on_and_to_the_mesh_elsewhere() {
    let mut flooding = Vec::new();
    for (name, config) in profiles() {
        let flood = config.flood_publish;
        let mut lab = Lab::with_peers(config, 9);
        lab.connect(9, true);
        lab.frame(2, graft());
        lab.frame(1, graft());
        let m = message(1, 0);
        let mut expected = if flood { to_each(0..9, m) } else { to_each([2, 1], m) };
        expected.push(deliver(m));
        assert_eq!(lab.publish(m), expected, "{name}");
        flooding.push(flood);
    }
    assert_eq!(flooding, [true, false, true, false, true, true]);
}

#[test]
fn v1_0_does_not_flood() {
    let mut lab = Lab::with_peers(Config { flood_publish: true, ..plain(Version::V1_0) }, 3);
    lab.frame(2, graft());
    let m = message(1, 0);
    assert_eq!(lab.publish(m), [send(2, Frame::Message(m)), deliver(m)]);
}

#[test]
fn only_own_messages_are_flooded() {
    let mut lab = Lab::with_peers(plain(Version::V1_1), 9);
    lab.frame(2, graft());
    let m = message(1, 0);
    assert_eq!(lab.frame(5, Frame::Message(m)), [send(2, Frame::Message(m)), deliver(m)]);
}

#[test]
fn flooding_leaves_out_peers_below_the_publish_threshold() {
    let mut lab = Lab::with_peers(scored(), 3);
    lab.app_score(0, -5000.5);
    lab.app_score(1, -5000.0);
    let m = message(1, 0);
    assert_eq!(lab.publish(m), [to_each([1, 2], m), vec![deliver(m)]].concat());
}

#[test]
fn flooding_needs_no_subscription_and_makes_no_fanout() {
    let mut lab = outsider(plain(Version::V1_1), 12);
    let m = message(1, 0);
    assert_eq!(lab.publish(m), to_each(0..12, m));
    assert!(lab.gossip.fanout.is_empty());
}

#[test]
fn a_message_is_published_once() {
    for flood_publish in [false, true] {
        let mut lab = Lab::meshed(Config { flood_publish, ..plain(Version::V1_1) }, 2);
        let m = message(1, 0);
        assert_eq!(lab.publish(m).len(), 3);
        assert_eq!(lab.publish(m), []);
        assert_eq!(lab.count(Count::Duplicate), 1);
        assert_eq!(lab.frame(0, Frame::Message(m)), [], "nor is it taken back");
    }
}

#[test]
fn a_lonely_publisher_still_gets_its_own_message() {
    let mut lab = Lab::with_peers(plain(Version::V1_1), 0);
    assert_eq!(lab.publish(message(1, 0)), [deliver(message(1, 0))]);
}

fn fanout_config(version: Version) -> Config {
    Config { flood_publish: false, ..plain(version) }
}

#[test]
fn without_subscription_a_fanout_of_d_peers_is_chosen_and_kept() {
    for version in VERSIONS {
        let mut lab = outsider(fanout_config(version), 20);
        lab.connect(20, true);
        let first = all_get(&lab.publish(message(1, 0)), &Frame::Message(message(1, 0)));
        assert_eq!(first.len(), 8);
        assert!(!first.contains(&20));
        let second = all_get(&lab.publish(message(2, 0)), &Frame::Message(message(2, 0)));
        assert_eq!(second, first);
    }
}

#[test]
fn each_topic_has_its_own_fanout() {
    let mut lab = outsider(fanout_config(Version::V1_1), 2);
    lab.frame(1, subscribe(1));
    assert_eq!(all_get(&lab.publish(message(1, 0)), &Frame::Message(message(1, 0))), [0, 1]);
    assert_eq!(all_get(&lab.publish(message(2, 1)), &Frame::Message(message(2, 1))), [1]);
    assert_eq!(lab.gossip.fanout.len(), 2);
}

#[test]
fn the_fanout_holds_no_peer_below_the_publish_threshold() {
    let mut lab = outsider(Config { flood_publish: false, ..scored() }, 3);
    lab.app_score(0, -5000.5);
    lab.app_score(1, -5000.0);
    let m = message(1, 0);
    assert_eq!(all_get(&lab.publish(m), &Frame::Message(m)), [1, 2]);
}

#[test]
fn the_fanout_is_forgotten_a_minute_after_the_last_publish() {
    let mut lab = outsider(fanout_config(Version::V1_1), 3);
    lab.publish(message(1, 0));
    lab.beat(30);
    lab.publish(message(2, 0));
    let published = lab.now;
    lab.beat(59);
    assert_eq!(lab.gossip.fanout.len(), 1);
    lab.now = published + Duration::from_secs(60);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert!(lab.gossip.fanout.is_empty());
}

#[test]
fn the_heartbeat_replaces_fanout_peers_that_left_or_fell_below_the_threshold() {
    let mut lab = outsider(Config { flood_publish: false, ..scored() }, 8);
    lab.publish(message(1, 0));
    for peer in 8..20 {
        lab.connect(peer, false);
        lab.frame(peer, subscribe(0));
    }
    lab.disconnect(0);
    lab.frame(1, unsubscribe(0));
    lab.app_score(2, -5001.0);
    assert_eq!(lab.gossip.fanout[0].peers.len(), 6, "those two are out at once");
    lab.beat(1);
    let fanout = all_get(&lab.publish(message(2, 0)), &Frame::Message(message(2, 0)));
    assert_eq!(fanout.len(), 8);
    assert_eq!(fanout[..5], [3, 4, 5, 6, 7]);
    assert!(fanout[5..].iter().all(|p| *p >= 8));
}

#[test]
fn an_empty_fanout_is_chosen_anew_at_the_next_publish() {
    let mut lab = outsider(fanout_config(Version::V1_1), 0);
    assert_eq!(lab.publish(message(1, 0)), []);
    lab.connect(0, false);
    lab.frame(0, subscribe(0));
    assert_eq!(lab.publish(message(2, 0)), to_each([0], message(2, 0)));
    assert_eq!(lab.gossip.mesh_peers(TopicRef(0)), None);
}
