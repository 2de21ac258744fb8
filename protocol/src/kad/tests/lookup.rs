//! The lookup by itself: which contact it asks when, and when it ends.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::Step::{self, Ask, Done, Late, Wait};
use super::super::testing::Perfect;
use super::super::{CANDIDATES_PER_K, ClosestPeers, Config, KadKey, Limits, Lookup, Services};
use crate::rng::Stream;
use crate::time::{Duration, Instant};

/// A contact is its distance from the target, which lies at zero.
fn at(distance: u32) -> (u32, KadKey) {
    (distance, key(distance))
}

fn key(distance: u32) -> KadKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&distance.to_be_bytes());
    KadKey::from_bytes(bytes)
}

fn limits(k: usize, alpha: usize) -> Limits {
    let timeout = Duration::from_secs(10);
    Limits { k, alpha, alpha_stalled: alpha, beta: k, timeout, requests_max: 1000 }
}

fn lookup(limits: Limits, seeds: &[u32]) -> ClosestPeers<u32> {
    ClosestPeers::new(key(0), limits, seeds.iter().copied().map(at))
}

/// Everything it wants now.
fn steps(path: &mut ClosestPeers<u32>, seconds: u64) -> Vec<Step<u32>> {
    let mut steps = Vec::new();
    loop {
        let step = path.next(Instant::ZERO + Duration::from_secs(seconds));
        steps.push(step);
        if matches!(step, Wait | Done) {
            return steps;
        }
    }
}

fn answer(path: &mut ClosestPeers<u32>, from: u32, named: &[u32]) -> Vec<Step<u32>> {
    assert!(path.on_success(&key(from), named.iter().copied().map(at)));
    steps(path, 0)
}

fn closest(path: &ClosestPeers<u32>) -> Vec<(u32, u32)> {
    path.closest().map(|f| (f.contact, f.hops)).collect()
}

#[test]
fn it_asks_the_closest_alpha_at_once_and_ends_when_the_k_closest_answered() {
    let mut path = lookup(limits(3, 2), &[90, 50, 70, 60]);
    // Only the k closest seeds count.
    assert_eq!(path.len(), 3);
    assert_eq!(steps(&mut path, 0), [Ask(50), Ask(60), Wait]);
    assert_eq!(answer(&mut path, 60, &[40, 30, 50]), [Ask(30), Wait]);
    assert_eq!(answer(&mut path, 50, &[]), [Ask(40), Wait]);
    // 50 is the third of the three closest: 60 and 70 do not matter any more.
    assert_eq!(answer(&mut path, 30, &[60]), [Wait]);
    assert_eq!(answer(&mut path, 40, &[]), [Done]);
    assert_eq!(closest(&path), [(30, 2), (40, 2), (50, 1)]);
    assert!(path.is_done() && !path.is_exhausted());
    assert_eq!((path.hops_to(&key(70)), path.hops_to(&key(71))), (Some(1), None));
}

#[test]
fn answers_that_nobody_asked_for_and_second_ones_change_nothing() {
    let mut path = lookup(limits(2, 1), &[50, 60]);
    assert!(!path.on_success(&key(50), [at(1)]), "not asked yet");
    assert_eq!(steps(&mut path, 0), [Ask(50), Wait]);
    assert!(!path.on_success(&key(60), [at(1)]) && !path.on_success(&key(99), [at(1)]));
    assert!(!path.on_failure(&key(60)));
    assert_eq!(answer(&mut path, 50, &[]), [Ask(60), Wait]);
    assert!(!path.on_success(&key(50), [at(1)]) && !path.on_failure(&key(50)));
    assert_eq!(answer(&mut path, 60, &[]), [Done]);
    assert!(!path.on_success(&key(60), [at(1)]) && !path.on_failure(&key(60)), "it is over");
    assert_eq!(closest(&path), [(50, 1), (60, 1)]);
}

#[test]
fn one_that_is_late_no_longer_counts_but_may_still_answer() {
    let mut path = lookup(limits(2, 2), &[50, 60, 70]);
    let seeds = [at(70)];
    assert_eq!(steps(&mut path, 0), [Ask(50), Ask(60), Wait]);
    assert_eq!(path.poll_timeout(), Some(Instant::ZERO + Duration::from_secs(10)));
    assert!(path.on_success(&key(60), seeds));
    assert_eq!(steps(&mut path, 9), [Wait]);
    // In the place of the late one the next is asked.
    assert_eq!(steps(&mut path, 10), [Late(50), Ask(70), Wait]);
    assert_eq!(path.poll_timeout(), Some(Instant::ZERO + Duration::from_secs(20)));
    assert!(path.on_success(&key(50), [at(40)]));
    assert_eq!(steps(&mut path, 11), [Ask(40), Wait]);
    assert!(path.on_failure(&key(40)));
    assert_eq!(steps(&mut path, 11), [Done]);
    assert_eq!(closest(&path), [(50, 1), (60, 1)]);
    assert_eq!(path.poll_timeout(), None);
}

#[test]
fn it_ends_when_everybody_failed() {
    let mut path = lookup(limits(2, 2), &[50, 60]);
    assert_eq!(steps(&mut path, 0), [Ask(50), Ask(60), Wait]);
    assert_eq!(steps(&mut path, 10), [Late(50), Late(60), Done]);
    assert_eq!(closest(&path), []);
    assert_eq!(steps(&mut lookup(limits(2, 2), &[]), 0), [Done]);
}

/// rust-libp2p: "while the iterator is stalled, up to num_results parallel requests are allowed".
#[test]
fn it_asks_more_at_once_while_nothing_closer_is_found() {
    let limits = Limits { alpha_stalled: 4, ..limits(6, 2) };
    let mut path = lookup(limits, &[10, 20, 30, 40, 50, 60]);
    assert_eq!(steps(&mut path, 0), [Ask(10), Ask(20), Wait]);
    assert_eq!(answer(&mut path, 10, &[99]), [Ask(30), Wait]);
    assert_eq!(answer(&mut path, 20, &[]), [Ask(40), Ask(50), Ask(60), Wait]);
    assert_eq!(answer(&mut path, 30, &[5]), [Wait], "progress: four are more than two");
}

/// go-libp2p: when the beta closest have answered, the rest of the k closest are asked, and what they say is not taken.
#[test]
fn with_beta_it_asks_the_rest_at_once_and_takes_no_more_referrals() {
    let mut path = lookup(Limits { beta: 2, ..limits(4, 1) }, &[10, 20, 30, 40]);
    assert_eq!(steps(&mut path, 0), [Ask(10), Wait]);
    assert_eq!(answer(&mut path, 10, &[]), [Ask(20), Wait]);
    assert_eq!(answer(&mut path, 20, &[50]), [Ask(30), Ask(40), Wait]);
    assert_eq!(answer(&mut path, 30, &[5]), [Wait]);
    assert!(path.on_failure(&key(40)));
    assert_eq!(steps(&mut path, 0), [Ask(50), Wait], "instead of the one that failed");
    assert_eq!(answer(&mut path, 50, &[]), [Done]);
    assert_eq!(closest(&path), [(10, 1), (20, 1), (30, 1), (50, 2)]);
}

/// A liar that names ever closer peers, all of which name closer ones, leads it on for as many requests as it may make.
#[test]
fn a_lookup_that_is_led_on_forever_ends_at_its_limit_of_requests() {
    let mut path = lookup(Limits { requests_max: 50, ..limits(3, 1) }, &[u32::MAX]);
    let mut asked = 0;
    loop {
        match path.next(Instant::ZERO) {
            Ask(contact) => {
                asked += 1;
                let named = (1..=1000).map(|i| at(contact - 2 * i));
                assert!(path.on_success(&key(contact), named));
                assert!(path.len() <= asked + CANDIDATES_PER_K * 3, "{}", path.len());
            }
            Done => break,
            Wait | Late(_) => panic!("everybody answers at once"),
        }
    }
    assert_eq!(asked, 50);
    assert!(path.is_exhausted());
    assert_eq!(path.closest().count(), 3);
}

#[test]
fn disjoint_paths_deal_out_the_seeds_and_ask_nobody_twice() {
    let seeds: Vec<_> = [10, 20, 30, 40].map(at).into();
    let mut lookup = Lookup::new(key(0), 2, limits(2, 1), &seeds);
    let now = Instant::ZERO;
    let mut next = || lookup.next(now, key);
    assert_eq!([next(), next(), next()], [Ask(10), Ask(20), Wait]);
    // The first path is led to 5, the second to 5 as well: it hears the answer, but not what 5 named.
    assert!(lookup.on_success(&key(10), [at(5)]));
    assert_eq!(lookup.next(now, key), Ask(5));
    assert!(lookup.on_success(&key(20), [at(5), at(10)]));
    assert_eq!(lookup.next(now, key), Wait);
    assert!(lookup.on_success(&key(5), [at(1)]));
    assert!(!lookup.on_success(&key(5), [at(2)]));
    assert_eq!(lookup.next(now, key), Ask(1));
    assert!(lookup.on_failure(&key(1)));
    assert!(!lookup.on_failure(&key(1)));
    assert_eq!(lookup.next(now, key), Done);
    // Path one: 5 and 10. Path two: 5 and 10 too, though it asked neither.
    let found: Vec<_> = lookup.closest().iter().map(|f| f.contact).collect();
    assert_eq!(found, [5, 10]);
    assert!(lookup.paths().iter().all(|p| p.hops_to(&key(2)).is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The model is brute force over all keys.
    #[test]
    fn in_an_honest_network_at_rest_it_finds_exactly_the_k_closest(
        n in 2u32..300, k in 1usize..9, alpha in 1usize..5, paths in 1usize..5, salt: u64,
    ) {
        let config = Config { k, beta: k, alpha, alpha_stalled: alpha.max(k), waiting_max: 0, ..Config::spec() };
        let mut net = Perfect::new(n, salt, config);
        // Whoever asks is a client, so that it takes up no place in anybody's bucket.
        let mut rng = Stream::new(salt, 2);
        let from = rng.below(n.into()) as u32;
        net.stranger = Some(from);
        let to = KadKey::hash_of(&salt.to_be_bytes());
        let seeds = net.answer(from, &to, None);
        let mut lookup = Lookup::new(to, paths, Limits::of(&net.config), &seeds);
        let (mut open, mut asked) = (Vec::new(), BTreeSet::new());
        loop {
            match lookup.next(Instant::ZERO, |c| net.peers.key(c)) {
                Ask(contact) => {
                    prop_assert!(asked.insert(contact), "{contact} is asked twice");
                    open.push(contact);
                }
                Wait => {
                    // Answers come in any order.
                    let contact = open.swap_remove(rng.below(open.len() as u64) as usize);
                    lookup.on_success(&net.peers.key(contact), net.answer(contact, &to, Some(from)));
                }
                Late(_) => prop_assert!(false, "no time passes"),
                Done => break,
            }
        }
        let mut found: Vec<u32> = lookup.closest().iter().map(|f| f.contact).collect();
        if paths == 1 {
            prop_assert_eq!(found, net.peers.closest(&to, k, from));
        } else {
            // Each path has k results, and may have started where it could not reach everybody.
            prop_assert!(found.len() <= k * paths);
            prop_assert!(found.is_sorted_by_key(|p| net.peers.key(*p).distance(&to)));
            found.truncate(1);
            prop_assert_eq!(found, net.peers.closest(&to, 1, from));
        }
    }

    /// Whatever anybody says and in whatever order: it ends, within its bounds, and only with those that answered.
    #[test]
    fn no_input_makes_it_panic_or_go_on_forever(
        seeds in proptest::collection::vec(0u32..40, 0..30),
        events in proptest::collection::vec((0u32..40, 0u8..5, proptest::collection::vec(0u32..40, 0..9)), 0..200),
        (k, alpha, stalled, beta, paths) in (1usize..6, 1usize..4, 0usize..4, 1usize..6, 1usize..4),
    ) {
        let limits = Limits { alpha_stalled: alpha + stalled, beta: beta.min(k), requests_max: 30, ..limits(k, alpha) };
        let seeds: Vec<_> = seeds.into_iter().map(at).collect();
        let mut lookup = Lookup::new(key(0), paths, limits, &seeds);
        let (mut now, mut requests, mut answered) = (Instant::ZERO, 0, BTreeSet::new());
        let mut asked = BTreeSet::new();
        for (from, what, named) in events {
            match what {
                0 => now += Duration::from_secs(3),
                1 => { lookup.on_failure(&key(from)); }
                2 | 3 => if lookup.on_success(&key(from), named.into_iter().map(at)) {
                    prop_assert!(asked.contains(&from) && answered.insert(from));
                },
                _ => while let Ask(contact) = lookup.next(now, key) {
                    requests += 1;
                    prop_assert!(asked.insert(contact));
                },
            }
            prop_assert!(lookup.len() <= paths * (30 + CANDIDATES_PER_K * k));
        }
        // Silence from here on.
        for _ in 0..100 {
            now += Duration::from_secs(10);
            while let Ask(_) | Late(_) = lookup.next(now, key) {}
        }
        prop_assert_eq!(lookup.next(now, key), Done);
        prop_assert!(requests <= 30 * paths);
        let found = lookup.closest();
        prop_assert!(found.len() <= k * paths && found.iter().all(|f| answered.contains(&f.contact)));
        prop_assert!(found.is_sorted_by_key(|f| f.distance));
    }
}
