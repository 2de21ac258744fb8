//! Explicit peering agreements (v1.1).

use super::super::frame::Frame;
use super::super::testing::*;
use super::*;
use crate::machine::{Count, Output, TopicRef};

/// Peers 0 and 1 in the mesh, and the explicit peer 9.
fn lab(config: Config) -> Lab {
    let mut lab = Lab::meshed(config, 2);
    lab.connect_explicit(9);
    lab
}

#[test]
fn an_explicit_peer_is_never_grafted() {
    let mut lab = lab(plain(Version::V1_1));
    assert_eq!(lab.beat(3), []);
    lab.run(|g, cx| g.unsubscribe(cx, TopicRef(0)));
    lab.wait(Duration::from_secs(60));
    let out = lab.run(|g, cx| g.subscribe(cx, TopicRef(0)));
    assert_eq!(receivers(&out, |f| *f == graft()), [0, 1]);
}

#[test]
fn v1_0_has_no_explicit_peers() {
    let mut lab = lab(Config { explicit_check_ticks: 1, ..plain(Version::V1_0) });
    let m = message(1, 0);
    assert_eq!(lab.frame(0, Frame::Message(m)), [send(1, Frame::Message(m)), deliver(m)]);
    assert_eq!(lab.beat(1), [send(9, graft())]);
    lab.disconnect(9);
    assert_eq!(lab.beat(1), []);
}

#[test]
fn a_graft_from_an_explicit_peer_is_an_error_answered_by_prune() {
    for config in [plain(Version::V1_1), scored()] {
        let mut lab = lab(Config { px_peers: 16, ..config });
        assert_eq!(lab.frame(9, graft()), [send(9, prune(Some(60)))]);
        assert_eq!(lab.frame(9, graft()), [send(9, prune(Some(60)))]);
        assert_eq!(lab.count(Count::GraftRefused), 2);
        assert_eq!(lab.mesh(), [0, 1]);
        assert_eq!(lab.score(9), 0.0);
    }
}

#[test]
fn every_message_of_the_topic_is_forwarded_to_explicit_peers() {
    let m = message(1, 0);
    let mut lab = lab(plain(Version::V1_1));
    assert_eq!(
        lab.frame(0, Frame::Message(m)),
        [send(1, Frame::Message(m)), send(9, Frame::Message(m)), deliver(m)]
    );
    // From there on to the mesh, but not back.
    let m = message(2, 0);
    assert_eq!(
        lab.frame(9, Frame::Message(m)),
        [send(0, Frame::Message(m)), send(1, Frame::Message(m)), deliver(m)]
    );
}

#[test]
fn own_messages_go_to_explicit_peers_of_the_topic_whatever_their_score() {
    for flood_publish in [false, true] {
        let mut lab = lab(Config { flood_publish, ..scored() });
        lab.app_score(9, -5001.0);
        let m = message(1, 0);
        let expected = [0, 1, 9].map(|p| send(p, Frame::Message(m)));
        assert_eq!(lab.publish(m), [&expected[..], &[deliver(m)]].concat(), "flood publish {flood_publish}");
        lab.frame(9, unsubscribe(0));
        let m = message(2, 0);
        let expected = [0, 1].map(|p| send(p, Frame::Message(m)));
        assert_eq!(lab.publish(m), [&expected[..], &[deliver(m)]].concat(), "flood publish {flood_publish}");
    }
}

#[test]
fn explicit_peers_are_no_fanout_but_get_the_message() {
    let mut lab = outsider(Config { flood_publish: false, mesh_degree: 8, ..plain(Version::V1_1) }, 8);
    lab.connect_explicit(9);
    let m = message(1, 0);
    assert_eq!(all_get(&lab.publish(m), &Frame::Message(m)), [0, 1, 2, 3, 4, 5, 6, 7, 9]);
    assert_eq!(lab.gossip.fanout[0].peers.len(), 8);
    assert!(!lab.gossip.fanout[0].peers.contains(&crate::machine::PeerRef(9)));
}

#[test]
fn explicit_peers_get_no_gossip() {
    let mut lab = lab(plain(Version::V1_1));
    lab.connect(2, false);
    lab.frame(2, subscribe(0));
    lab.frame(2, prune(Some(60)));
    lab.publish(message(1, 0));
    assert_eq!(lab.beat(1), [send(2, ihave(&[1]))]);
}

#[test]
fn everything_from_an_explicit_peer_is_accepted_even_below_the_graylist_threshold() {
    let mut lab = lab(scored());
    lab.app_score(9, -20_000.0);
    let m = message(1, 0);
    assert_eq!(
        lab.frame(9, Frame::Message(m)),
        [send(0, Frame::Message(m)), send(1, Frame::Message(m)), deliver(m)]
    );
    assert_eq!(lab.count(Count::Graylisted), 0);
}

#[test]
fn lost_explicit_peers_are_dialled_again_every_some_heartbeats() {
    let mut lab = lab(Config { explicit_check_ticks: 3, ..plain(Version::V1_1) });
    assert_eq!(lab.beat(3), []);
    lab.disconnect(9);
    lab.disconnect(1);
    assert_eq!(lab.beat(1), []);
    assert_eq!(lab.beat(1), []);
    assert_eq!(lab.beat(1), [Output::Connect { id: peer_id(9) }]);
    assert_eq!(lab.beat(2), []);
    assert_eq!(lab.beat(1), [Output::Connect { id: peer_id(9) }]);
    lab.connect_explicit(9);
    assert_eq!(lab.beat(3), []);
}
