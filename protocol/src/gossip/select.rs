//! Random choice among peers that does not depend on the order in which the driver numbered them.
//!
//! One draw gives every candidate a random rank, a mix of the draw and its peer id; the lowest ranks win. So a choice
//! costs one draw however many candidates there are, and a candidate more or less leaves the ranks of the others alone.

use crate::machine::PeerRef;
use crate::rng::Stream;

/// A peer to choose from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Candidate {
    pub(super) peer: PeerRef,
    /// From the peer id, see `Neighbours::key`.
    pub(super) key: u64,
    pub(super) score: f64,
}

/// The finalizer of MurmurHash3: a bijection that flips every output bit with probability one half.
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Puts `candidates` in random order.
pub(super) fn shuffle(rng: &mut Stream, candidates: &mut [Candidate]) {
    let draw = rng.next_u64();
    candidates.sort_unstable_by_key(|c| (mix(draw ^ c.key), c.key));
}

/// Puts the highest scores first, equal ones in random order.
pub(super) fn rank_by_score(rng: &mut Stream, candidates: &mut [Candidate]) {
    shuffle(rng, candidates);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// Keeps `n` of the candidates, chosen at random.
pub(super) fn choose(rng: &mut Stream, candidates: &mut Vec<Candidate>, n: usize) {
    if n == 0 || candidates.is_empty() {
        candidates.clear();
        return;
    }
    shuffle(rng, candidates);
    candidates.truncate(n);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::purpose_key;

    fn candidate(n: u32) -> Candidate {
        Candidate { peer: PeerRef(n), key: mix(u64::from(n) + 1), score: 0.0 }
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_candidates() {
        let mut forward: Vec<_> = (0..50).map(candidate).collect();
        let mut backward: Vec<_> = (0..50).rev().map(candidate).collect();
        choose(&mut Stream::new(3, 4), &mut forward, 8);
        choose(&mut Stream::new(3, 4), &mut backward, 8);
        assert_eq!(forward, backward);
    }

    #[test]
    fn every_candidate_is_chosen_equally_often() {
        let mut rng = Stream::new(purpose_key(1, "test"), 7);
        let mut counts = [0i64; 20];
        for _ in 0..20_000 {
            let mut candidates: Vec<_> = (0..20).map(candidate).collect();
            choose(&mut rng, &mut candidates, 5);
            for c in candidates {
                counts[c.peer.0 as usize] += 1;
            }
        }
        // Binomial(20_000, 1/4): sd 61.
        assert!(counts.iter().all(|&n| (n - 5_000).abs() < 4 * 61), "{counts:?}");
    }
}
