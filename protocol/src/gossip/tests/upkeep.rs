//! What a heartbeat does to the mesh: D_lo, D_hi, D_out, D_score, negative scores, opportunistic grafts.

use super::super::testing::*;
use super::*;
use crate::machine::Output;

fn grafted(out: &[Output<Text>]) -> Vec<u32> {
    all_get(out, &graft())
}

#[test]
fn below_d_lo_the_heartbeat_grafts_up_to_d() {
    for (name, config) in profiles() {
        let (low, degree) = (config.mesh_degree_min as u32, config.mesh_degree);
        for version in VERSIONS {
            let mut lab = Lab::with_peers(Config { version, ..config.clone() }, 20);
            for peer in 0..low - 1 {
                lab.frame(peer, graft());
            }
            let out = lab.beat(1);
            assert_eq!(grafted(&out).len(), degree + 1 - low as usize, "{name}");
            assert_eq!(lab.mesh().len(), degree, "{name}");
            assert!(grafted(&out).iter().all(|p| *p >= low - 1 && lab.mesh().contains(p)), "{name}");
        }
    }
}

#[test]
fn between_d_lo_and_d_hi_the_heartbeat_leaves_the_mesh_alone() {
    for (name, config) in profiles() {
        for size in [config.mesh_degree_min as u32, config.mesh_degree_max as u32] {
            for version in VERSIONS {
                let mut lab = Lab::with_peers(Config { version, ..config.clone() }, 20);
                (0..size).for_each(|p| assert_eq!(lab.frame(p, graft()), []));
                assert_eq!(lab.beat(1), [], "{name} {version:?} {size}");
            }
        }
    }
}

#[test]
fn above_d_hi_the_heartbeat_prunes_down_to_d() {
    for (name, config) in profiles() {
        let (degree, over) = (config.mesh_degree, config.mesh_degree_max as u32 + 1);
        for version in VERSIONS {
            let mut lab = Lab::meshed(Config { version, px_peers: 0, ..config.clone() }, over);
            let backoff = (version > Version::V1_0).then_some(60);
            let pruned = all_get(&lab.beat(1), &prune(backoff));
            assert_eq!(pruned.len(), over as usize - degree, "{name}");
            let kept: Vec<u32> = (0..over).filter(|p| !pruned.contains(p)).collect();
            assert_eq!(lab.mesh(), kept, "{name}");
        }
    }
}

#[test]
fn only_peers_of_the_topic_that_are_not_negative_are_grafted() {
    let mut lab = Lab::with_peers(scored(), 4);
    lab.connect(4, true);
    lab.app_score(2, -0.1);
    lab.frame(3, prune(Some(60)));
    assert_eq!(grafted(&lab.beat(1)), [0, 1]);
}

#[test]
fn every_heartbeat_drops_negative_peers_and_takes_others_for_them() {
    let mut lab = Lab::meshed(scored(), 6);
    for peer in [1, 4] {
        lab.app_score(peer, -1.0);
    }
    for peer in 6..8 {
        lab.connect(peer, true);
        lab.frame(peer, subscribe(0));
    }
    let out = lab.beat(1);
    assert_eq!(out[..2], [send(1, prune(Some(60))), send(4, prune(Some(60)))]);
    assert_eq!(grafted(&out[2..]), [6, 7]);
    assert_eq!(lab.mesh(), [0, 2, 3, 5, 6, 7]);
}

#[test]
fn without_scores_nobody_is_negative() {
    for config in [Config { scores: false, ..scored() }, Config { version: Version::V1_0, ..scored() }] {
        let mut lab = Lab::meshed(config, 6);
        lab.app_score(1, -1.0);
        assert_eq!(lab.score(1), 0.0);
        assert_eq!(lab.beat(1), []);
    }
}

/// A mesh of the inbound peers 0..12 and the outbound ones 12..18.
fn oversubscribed(config: Config, reroll: usize) -> Lab {
    let mut lab = Lab::with_peers(config, 0);
    for peer in 0..18 {
        lab.connect(peer, peer >= 12);
        lab.frame(peer, subscribe(0));
        assert_eq!(lab.frame(peer, graft()), []);
    }
    lab.reroll(reroll);
    lab
}

/// Who is in the mesh after pruning, for many draws.
fn survivors(config: &Config, prepare: impl Fn(&mut Lab)) -> Vec<Vec<u32>> {
    let survivors = |n| {
        let mut lab = oversubscribed(config.clone(), n);
        prepare(&mut lab);
        let out = lab.beat(1);
        let kept = lab.mesh();
        let pruned: Vec<u32> = (0..18).filter(|p| !kept.contains(p)).collect();
        assert_eq!(all_get(&out, &prune(config.hardened().then_some(60))), pruned);
        assert_eq!(kept.len(), 8);
        kept
    };
    (0..50).map(survivors).collect()
}

#[test]
fn an_oversubscription_prune_keeps_the_d_score_best_and_chooses_the_rest() {
    let config = Config { mesh_degree_outbound: 0, ..scored() };
    let all = survivors(&config, |lab| {
        // The others have different scores too, but that must not matter.
        (0..18).for_each(|p| lab.app_score(p, f64::from(p) / 10.0));
        for (rank, peer) in [3, 5, 7, 9, 11, 13].into_iter().enumerate() {
            lab.app_score(peer, 10.0 + rank as f64);
        }
    });
    let mut rest = std::collections::BTreeSet::new();
    for kept in all {
        let others: Vec<u32> = kept.into_iter().filter(|p| ![3, 5, 7, 9, 11, 13].contains(p)).collect();
        assert_eq!(others.len(), 2);
        rest.extend(others);
    }
    assert_eq!(rest.len(), 12, "any of the others can stay: {rest:?}");
}

#[test]
fn an_oversubscription_prune_keeps_d_out_outbound_links() {
    for config in [scored(), plain(Version::V1_1)] {
        let mut outbound: Vec<usize> = survivors(&config, |_| {})
            .into_iter()
            .map(|kept| kept.into_iter().filter(|p| *p >= 12).count())
            .collect();
        outbound.sort_unstable();
        assert_eq!(outbound.first(), Some(&3));
        assert!(outbound.last() > Some(&3), "it is no upper bound: {outbound:?}");
    }
}

#[test]
fn outbound_links_displace_the_chosen_ones_first_and_the_weakest_of_the_best_last() {
    let all = survivors(&scored(), |lab| {
        for peer in 0..6 {
            lab.app_score(peer, 100.0 + f64::from(peer));
        }
    });
    for kept in all {
        // D_score is 6 and D 8: two seats at random, and one of the best must go for the third outbound link.
        assert_eq!(kept[..5], [1, 2, 3, 4, 5]);
        assert!(kept[5..].iter().all(|p| *p >= 12), "{kept:?}");
    }
}

#[test]
fn v1_0_prunes_at_random_whatever_the_direction() {
    let all = survivors(&plain(Version::V1_0), |_| {});
    assert!(all.iter().any(|kept| kept.iter().filter(|p| **p >= 12).count() < 3));
    let ever: std::collections::BTreeSet<u32> = all.into_iter().flatten().collect();
    assert_eq!(ever.len(), 18);
}

#[test]
fn from_d_lo_on_missing_outbound_links_are_grafted() {
    // D_out is 3, D_lo 6.
    for (mesh_outbound, expected) in [(0, 3), (2, 1), (3, 0)] {
        for version in VERSIONS {
            let mut lab = Lab::with_peers(plain(version), 0);
            for peer in 0..12 {
                lab.connect(peer, peer < mesh_outbound || peer >= 8);
                lab.frame(peer, subscribe(0));
                if peer < 6 {
                    lab.frame(peer, graft());
                }
            }
            let grafts = grafted(&lab.beat(1));
            let expected = if version == Version::V1_0 { 0 } else { expected };
            assert_eq!(grafts.len(), expected, "{version:?}");
            assert!(grafts.iter().all(|p| *p >= 8), "outbound ones only: {grafts:?}");
        }
    }
}

/// Six links with scores 0 to 5 (their median is 3), and outside peers 6 to 9 of scores 2, 3, 4 and 5.
fn poor_mesh(threshold: f64) -> Lab {
    let mut config = Config { opportunistic_graft_ticks: 3, opportunistic_graft_peers: 2, ..scored() };
    config.score.opportunistic_graft_threshold = threshold;
    let mut lab = Lab::meshed(config, 6);
    for peer in 6..10 {
        lab.connect(peer, true);
        lab.frame(peer, subscribe(0));
        lab.app_score(peer, f64::from(peer) - 4.0);
    }
    (0..6).for_each(|p| lab.app_score(p, f64::from(p)));
    lab
}

#[test]
fn a_mesh_of_poor_median_grafts_better_peers_every_some_heartbeats() {
    let mut lab = poor_mesh(3.1);
    lab.config.gossip.opportunistic_graft_peers = 4;
    assert_eq!(lab.beat(1), []);
    assert_eq!(lab.beat(1), []);
    assert_eq!(grafted(&lab.beat(1)), [8, 9], "only those above the median");
    assert_eq!(lab.beat(3), [], "the median is 4 now");
}

#[test]
fn a_mesh_whose_median_reaches_the_threshold_is_good_enough() {
    assert_eq!(poor_mesh(3.0).beat(3), []);
}

#[test]
fn opportunistic_grafts_are_limited() {
    let mut lab = poor_mesh(3.1);
    for peer in 6..10 {
        lab.app_score(peer, 50.0);
    }
    assert_eq!(grafted(&lab.beat(3)).len(), 2);
}

#[test]
fn opportunistic_grafts_can_be_switched_off() {
    let mut lab = poor_mesh(3.1);
    lab.config.gossip.opportunistic_graft_ticks = 0;
    assert_eq!(lab.beat(3), []);
}

#[test]
fn a_single_link_has_no_median() {
    let mut lab = Lab::with_peers(
        Config { mesh_degree_min: 1, mesh_degree_outbound: 0, opportunistic_graft_ticks: 1, ..scored() },
        2,
    );
    lab.config.gossip.score.opportunistic_graft_threshold = 5.0;
    lab.frame(0, graft());
    lab.app_score(1, 10.0);
    assert_eq!(lab.beat(1), []);
}
