//! The ring's load and the keys it moves, against theory (rows A8 and A9 of the evidence) and against the measurements
//! that the choice between the readings of "750 virtual nodes" rests on (decision P21).
//!
//! Members and keys are fixed, so every number here is the same on every run; tolerances are those of the claims.

use core::num::NonZeroU16;

use hyperspace_protocol::ring::{Forecast, POSITIONS, Position, Ring, Spread, Vnodes};

const TOTAL: Vnodes = Vnodes::SPEC_LITERAL;
const FLOOR: Vnodes = Vnodes::TotalFloor(NonZeroU16::new(750).unwrap());
/// Keys of the measurements behind decision P21.
const KEYS: u32 = 20_000;

fn per_peer(tokens: u16) -> Vnodes {
    Vnodes::PerPeer(NonZeroU16::new(tokens).expect("not zero"))
}

/// The `index`th ring of `peers` members; rings of other indices have other members.
fn ring(vnodes: Vnodes, index: u32, peers: u32) -> Ring<u32> {
    let first = 1000 + index * peers;
    Ring::build(vnodes, first..first + peers).expect("all differ")
}

/// A member of no [`ring`]: in turns one before and one after all others, as the order matters by floor.
fn stranger(index: u32) -> u32 {
    if index.is_multiple_of(2) { index } else { u32::MAX - index }
}

/// How evenly the ring itself is shared out.
fn arcs(ring: &Ring<u32>) -> Spread {
    Spread::of(ring.load(1).into_iter().map(|(_, width)| width))
}

/// Keys that each member of `ring` has as the primary, in member order.
fn keys_owned(ring: &Ring<u32>) -> Vec<u128> {
    let mut owners: Vec<u32> = keys(0).filter_map(|key| ring.owner(key).copied()).collect();
    owners.sort_unstable();
    let held = |member| {
        owners.partition_point(|owner| owner <= member) - owners.partition_point(|owner| owner < member)
    };
    ring.members().map(|member| held(member) as u128).collect()
}

fn keys(set: u32) -> impl Iterator<Item = Position> {
    (0..KEYS).map(move |i| Position::of(format!("memory {set} {i}")))
}

/// Row A8: CV = sqrt((n-1)/(n v+1)).
#[test]
fn the_variation_of_load_is_that_of_theory() {
    for (tokens, rings) in [(1, 400), (10, 100), (40, 60), (100, 60), (160, 40), (256, 30), (1000, 20)] {
        let squares = (0..rings).map(|index| {
            let cv = arcs(&ring(per_peer(tokens), index, 100)).cv;
            cv * cv
        });
        let measured = (squares.sum::<f64>() / f64::from(rings)).sqrt();
        let theory = (99.0 / (100.0 * f64::from(tokens) + 1.0)).sqrt();
        assert!((measured / theory - 1.0).abs() < 0.05, "{tokens} tokens: {measured}, not {theory}");
        assert_eq!(Forecast::new(per_peer(tokens), 100).cv, theory);
    }
}

/// Row A8: with 100 tokens per peer, 99 % of the peers own .76 to 1.28 times the mean.
#[test]
fn the_quantiles_of_load_are_the_published_ones() {
    let mean = POSITIONS as f64 / 100.0;
    let mut ratios: Vec<f64> = (0..100)
        .flat_map(|index| {
            let ring = ring(per_peer(100), index, 100);
            ring.load(1).into_iter().map(|(_, width)| width as f64 / mean).collect::<Vec<_>>()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[ratios.len() / 200], ratios[ratios.len() - 1 - ratios.len() / 200]);
    assert!((low - 0.76).abs() < 0.02 && (high - 1.28).abs() < 0.02, "{low} to {high}");
}

/// Row A9: a join moves K/(n+1) keys and a leave K/n, all to or from that one member; and so for every replica.
#[test]
fn a_join_or_leave_moves_the_minimum() {
    for (vnodes, peers) in [(per_peer(150), 10), (per_peer(150), 100), (TOTAL, 10), (TOTAL, 100)] {
        let (rings, keys_each) = (60, 500);
        let (mut joined, mut left, mut copies) = (0, 0, 0);
        for index in 0..rings {
            let before = ring(vnodes, index, peers);
            let newcomer = stranger(index);
            let mut after = before.clone();
            after.join(newcomer).expect("a stranger");
            let leaver = *before.members().nth(index as usize % peers as usize).expect("a place below len");
            let mut fewer = before.clone();
            fewer.leave(&leaver).expect("a member");
            for key in keys(index).take(keys_each) {
                let owner = before.owner(key);
                if after.owner(key) != owner {
                    assert_eq!(after.owner(key), Some(&newcomer));
                    joined += 1;
                }
                if fewer.owner(key) != owner {
                    assert_eq!(owner, Some(&leaver));
                    left += 1;
                }
                copies += u32::from(after.replicas(key, 3).contains(&&newcomer));
            }
        }
        let trials = f64::from(rings) * keys_each as f64;
        let what = format!("{vnodes}, {peers} peers");
        within_three_sigma(joined, trials, 1.0 / f64::from(peers + 1), &format!("join, {what}"));
        within_three_sigma(left, trials, 1.0 / f64::from(peers), &format!("leave, {what}"));
        within_three_sigma(copies, trials, 3.0 / f64::from(peers + 1), &format!("copies, {what}"));
    }
}

fn within_three_sigma(count: u32, trials: f64, p: f64, what: &str) {
    let (mean, sigma) = (trials * p, (trials * p * (1.0 - p)).sqrt());
    let off = (f64::from(count) - mean) / sigma;
    assert!(off.abs() <= 3.0, "{what}: {count}, not {mean} ({off:.1} sigma)");
}

/// Section 2.5 of the decisions: share of the keys moved by one join. Means over ten sets of peers and keys, so the
/// tolerance (a tenth) is narrower than one measurement's scatter.
#[test]
fn only_the_floor_reading_moves_more_than_it_has_to() {
    for (vnodes, peers, measured_there) in [
        (per_peer(150), 5, 0.164),
        (per_peer(150), 50, 0.015),
        (per_peer(150), 500, 0.0019),
        (FLOOR, 5, 0.293),
        (FLOOR, 50, 0.043),
        (TOTAL, 5, 0.163),
        (TOTAL, 50, 0.021),
    ] {
        let (mut moved, sets) = (0, 10);
        for set in 0..sets {
            let before = ring(vnodes, set, peers);
            let mut after = before.clone();
            after.join(stranger(set)).expect("a stranger");
            moved += keys(set).filter(|&key| before.owner(key) != after.owner(key)).count();
        }
        let moved = moved as f64 / f64::from(sets * KEYS);
        let expected = Forecast::new(vnodes, peers as usize).moved_on_join;
        assert!((moved / expected - 1.0).abs() < 0.12, "{vnodes}, {peers} peers: {moved}, not {expected}");
        assert!((moved / measured_there - 1.0).abs() < 0.36, "{vnodes}, {peers} peers: {moved}");
    }
}

/// Section 2.5 of the decisions: who owns any of the 20,000 keys, and the most keys over the mean. At 2,000 peers the
/// mean is ten keys, whose own scatter is most of the 2.3 there: of the ring itself the fullest peer has 1.3 times its
/// share.
#[test]
fn a_literal_total_leaves_peers_idle() {
    for (vnodes, peers, owners_there, fullest_there) in [
        (per_peer(150), 2000, 2000, 2.3),
        (FLOOR, 500, 490, 6.2),
        (FLOOR, 2000, 719, 21.8),
        (TOTAL, 500, 393, 5.3),
    ] {
        let (mut owners, mut fullest, sets) = (0, 0.0, 4);
        for set in 0..sets {
            let spread = Spread::of(keys_owned(&ring(vnodes, set, peers)));
            owners += spread.members - spread.idle;
            fullest += spread.max_over_mean / f64::from(sets);
        }
        let owners = owners as f64 / f64::from(sets);
        assert!(
            (owners - f64::from(owners_there)).abs() < 10.0,
            "{vnodes}, {peers} peers: {owners} own keys"
        );
        assert!((fullest / fullest_there - 1.0).abs() < 0.25, "{vnodes}, {peers} peers: {fullest}");
    }
}

/// The forecasts behind the advice are what rings of these parameters do on average.
#[test]
fn forecasts_come_true() {
    for vnodes in [per_peer(1), per_peer(10), per_peer(150), FLOOR, TOTAL] {
        for peers in [5, 50, 200, 500, 1000, 2000] {
            let rings = if peers < 500 { 40 } else { 4 };
            let forecast = Forecast::new(vnodes, peers as usize);
            let (mut square, mut fullest, mut idle) = (0.0, 0.0, 0);
            for index in 0..rings {
                let spread = arcs(&ring(vnodes, index, peers));
                square += spread.cv * spread.cv / f64::from(rings);
                fullest += spread.max_over_mean / f64::from(rings);
                idle += spread.idle;
            }
            let idle = idle as f64 / f64::from(rings * peers);
            let what = format!("{vnodes}, {peers} peers: {forecast:?}");
            assert!((square.sqrt() / forecast.cv - 1.0).abs() < 0.08, "{what}: cv {}", square.sqrt());
            assert!((fullest / forecast.max_over_mean - 1.0).abs() < 0.2, "{what}: fullest {fullest}");
            assert!((idle - forecast.idle).abs() < 0.01, "{what}: idle {idle}");
        }
    }
}
