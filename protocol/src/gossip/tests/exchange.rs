//! Peer exchange in PRUNE (v1.1).

use super::super::frame::{Frame, Prune};
use super::super::testing::*;
use super::*;
use crate::identity::PeerId;
use crate::machine::{Output, TopicRef};

fn connect_to(peer: u32) -> Output<Text> {
    Output::Connect { id: peer_id(peer) }
}

/// The PRUNEs of an outbox, which holds nothing else.
fn prunes(out: &[Output<Text>]) -> Vec<(u32, Prune)> {
    let prune = |o: &Output<Text>| {
        let Output::Send { to, frame: Frame::Prune(p) } = o else { panic!("not a PRUNE: {o:?}") };
        (to.0, (**p).clone())
    };
    out.iter().map(prune).collect()
}

/// A mesh of 13 (D_hi is 12), peer 12 being outbound, with 27 more peers outside.
fn crowded(config: Config) -> Lab {
    let mut lab = Lab::with_peers(config, 40);
    for peer in 0..13 {
        assert_eq!(lab.frame(peer, graft()), []);
    }
    lab
}

#[test]
fn an_oversubscription_prune_offers_other_peers_of_the_topic() {
    for (name, config) in profiles() {
        let (wanted, px) = (config.mesh_degree, config.px_peers);
        let mut lab = crowded(config);
        lab.connect(40, true);
        let pruned = prunes(&lab.beat(1));
        assert_eq!(pruned.len(), 13 - wanted, "{name}");
        for (to, prune) in pruned {
            assert_eq!((prune.topic, prune.backoff), (TopicRef(0), Some(Duration::from_secs(60))), "{name}");
            assert_eq!(prune.px.len(), px, "{name}");
            let distinct: std::collections::BTreeSet<PeerId> = prune.px.iter().copied().collect();
            assert_eq!(distinct.len(), px, "{name}");
            assert!(!distinct.contains(&peer_id(to)), "{name}: oneself");
            assert!(!distinct.contains(&peer_id(40)), "{name}: not in the topic");
        }
    }
}

#[test]
fn v1_0_prunes_carry_neither_backoff_nor_peers() {
    let mut lab = crowded(Config { px_peers: 16, ..plain(Version::V1_0) });
    assert_eq!(all_get(&lab.beat(1), &prune(None)).len(), 5);
}

#[test]
fn peers_of_negative_score_are_not_offered() {
    let mut lab = crowded(Config { px_peers: 100, ..scored() });
    for peer in 13..40 {
        lab.app_score(peer, if peer < 20 { 0.0 } else { -1.0 });
    }
    let pruned = prunes(&lab.beat(1));
    assert_eq!(pruned.len(), 5);
    for (to, prune) in pruned {
        let mut expected: Vec<PeerId> = (0..20).filter(|p| *p != to).map(peer_id).collect();
        let mut offered = prune.px;
        expected.sort_unstable();
        offered.sort_unstable();
        assert_eq!(offered, expected);
    }
}

#[test]
fn peers_of_negative_score_are_dropped_from_the_mesh_without_an_offer() {
    let mut lab = Lab::meshed(Config { px_peers: 16, ..scored() }, 10);
    lab.app_score(3, -1.0);
    assert_eq!(lab.beat(1), [send(3, prune(Some(60)))]);
}

#[test]
fn a_graft_refused_by_a_full_mesh_is_told_of_others() {
    let mut lab = crowded(Config { px_peers: 5, ..plain(Version::V1_1) });
    let pruned = prunes(&lab.frame(13, graft()));
    assert_eq!(pruned.len(), 1);
    assert_eq!((pruned[0].0, pruned[0].1.px.len()), (13, 5));
}

#[test]
fn offered_peers_are_dialled_unless_connected() {
    let mut lab = Lab::meshed(Config { px_peers: 16, ..plain(Version::V1_1) }, 3);
    assert_eq!(
        lab.frame(0, prune_offering(60, &[50, 1, 51, 2, 52])),
        [connect_to(50), connect_to(51), connect_to(52)]
    );
}

#[test]
fn no_more_offered_peers_are_dialled_than_one_would_offer() {
    let mut lab = Lab::meshed(Config { px_peers: 2, ..plain(Version::V1_1) }, 1);
    assert_eq!(lab.frame(0, prune_offering(60, &[50, 51, 52])), [connect_to(50), connect_to(51)]);
}

#[test]
fn offers_are_ignored_where_exchange_is_off_and_in_v1_0() {
    for config in
        [Config { px_peers: 0, ..plain(Version::V1_1) }, Config { px_peers: 16, ..plain(Version::V1_0) }]
    {
        let mut lab = Lab::meshed(config, 1);
        assert_eq!(lab.frame(0, prune_offering(60, &[50])), []);
    }
}

#[test]
fn offers_are_taken_from_the_accept_threshold_on() {
    for (score, expected) in [(9.9, vec![]), (10.0, vec![connect_to(50)])] {
        let mut config = Config { px_peers: 16, ..scored() };
        config.score.accept_px_threshold = 10.0;
        let mut lab = Lab::meshed(config, 1);
        lab.app_score(0, score);
        assert_eq!(lab.frame(0, prune_offering(60, &[50])), expected, "{score}");
    }
}

#[test]
fn without_scores_everyone_s_offers_are_taken() {
    let mut lab = Lab::meshed(Config { px_peers: 16, ..Config::rust() }, 1);
    assert!(lab.config.gossip.score.accept_px_threshold > 0.0);
    assert_eq!(lab.frame(0, prune_offering(60, &[50])), [connect_to(50)]);
}
