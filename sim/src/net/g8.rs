//! The overlay and publishers of the cross-simulator gossip workload, fixed to the last bit.
//!
//! Four random Hamiltonian cycles drawn with splitmix64; every edge has a latency of 10 to 150 ms in whole microseconds,
//! the same both ways. Where two cycles lay an edge between the same two peers it is one link at the smaller latency.
//! PeerSim, nexosim, ns-3 and SimPy programs of the same workload agree on its check value, the sum of first arrivals.

use std::collections::BTreeMap;

use hyperspace_protocol::time::Duration;

const CYCLES: usize = 4;

/// Vigna's splitmix64.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The drawn workload.
#[derive(Debug)]
pub struct G8 {
    /// Links: lower peer, higher peer, latency.
    pub links: Vec<(u32, u32, Duration)>,
    /// Publisher of message k.
    pub publishers: Vec<u32>,
}

impl G8 {
    /// Time between two messages.
    pub const INTERVAL: Duration = Duration::from_millis(100);

    /// Draws the workload for `peers` peers (at least 2) and `messages` messages.
    pub fn draw(seed: u64, peers: u32, messages: u32) -> Self {
        let mut rng = SplitMix64(seed);
        let mut links: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let n = peers as usize;
        for _ in 0..CYCLES {
            let mut order: Vec<u32> = (0..peers).collect();
            for i in (1..n).rev() {
                let j = rng.below(i as u64 + 1) as usize;
                order.swap(i, j);
            }
            for i in 0..n {
                let (a, b) = (order[i], order[(i + 1) % n]);
                let micros = 10_000 + rng.below(140_001);
                let link = links.entry((a.min(b), a.max(b))).or_insert(micros);
                *link = micros.min(*link);
            }
        }
        let publishers = (0..messages).map(|_| rng.below(u64::from(peers)) as u32).collect();
        let links = links.into_iter().map(|((a, b), us)| (a, b, Duration::from_micros(us))).collect();
        Self { links, publishers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of Vigna's reference program for seed 1234567.
    #[test]
    fn splitmix_matches_its_reference() {
        let mut rng = SplitMix64(1_234_567);
        let first = [rng.next(), rng.next(), rng.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn nearly_every_peer_has_eight_links() {
        let drawn = G8::draw(1, 1_000, 10);
        assert!((3_950..=4_000).contains(&drawn.links.len()), "{}", drawn.links.len());
        assert!(drawn.links.iter().all(|(a, b, l)| a < b && (10_000..=150_000).contains(&l.as_micros())));
        assert_eq!(drawn.publishers.len(), 10);
    }
}
