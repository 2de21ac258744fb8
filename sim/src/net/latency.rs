//! Base latency of a pair of peers.

use hyperspace_protocol::rng::{philox, purpose_key, scale};
use hyperspace_protocol::time::Duration;

use crate::scenario::{Latency, Network};

/// Longest one-way latency that the engine carries, just above 4 s: link tables keep nanoseconds in 32 bits.
pub(crate) const LATENCY_MAX: Duration = Duration::from_nanos(u32::MAX as u64);

/// The latency of every possible pair, drawn once per pair and the same both ways.
#[derive(Clone, Debug)]
pub struct LatencyModel {
    latency: Latency,
    minimum: Duration,
    key: u64,
}

impl LatencyModel {
    /// The model of a scenario's network under a seed.
    pub fn new(network: &Network, seed: u64) -> Self {
        Self {
            latency: network.latency.clone(),
            minimum: network.latency_min,
            key: purpose_key(seed, "latency"),
        }
    }

    /// One-way base latency between peers `a` and `b` of regions `region_a` and `region_b`, never below the floor. A
    /// pair under `Latency::Topology` has what its topology says, and the floor where that says nothing.
    pub fn between(&self, a: u32, b: u32, region_a: u8, region_b: u8) -> Duration {
        let drawn = match &self.latency {
            Latency::Constant(d) => *d,
            Latency::Uniform(low, high) => {
                let pair = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
                let [word, _] = philox([pair, 0], self.key);
                let span = high.as_nanos() - low.as_nanos() + 1;
                *low + Duration::from_nanos(scale(word, span))
            }
            Latency::Regions(table) => table.one_way(region_a.into(), region_b.into()),
            Latency::Topology => self.minimum,
        };
        drawn.max(self.minimum)
    }

    /// No pair is closer than this.
    pub fn lower_bound(&self) -> Duration {
        let smallest = match &self.latency {
            Latency::Constant(d) | Latency::Uniform(d, _) => *d,
            Latency::Regions(table) => table.shortest(),
            Latency::Topology => self.minimum,
        };
        smallest.max(self.minimum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn model(latency: Latency) -> LatencyModel {
        let network = Network { latency, ..Scenario::example().network };
        LatencyModel::new(&network, 1)
    }

    #[test]
    fn a_pair_has_one_latency_both_ways() {
        let m = model(Latency::Uniform(Duration::from_millis(10), Duration::from_millis(150)));
        let mut sum = 0;
        for i in 0..10_000 {
            let d = m.between(i, i + 1, 0, 0);
            assert_eq!(d, m.between(i + 1, i, 0, 0));
            assert!((10_000..=150_000).contains(&d.as_micros()));
            sum += d.as_micros();
        }
        // Mean 80 ms, standard deviation of the mean 0.4 ms.
        assert!((78_400..81_600).contains(&(sum / 10_000)), "{sum}");
        assert_eq!(m.lower_bound(), Duration::from_millis(10));
    }

    #[test]
    fn tables_give_their_entries_exactly_and_the_floor_holds() {
        let aws = model(Latency::aws_2019());
        assert_eq!(aws.between(7, 9, 0, 1), Duration::from_micros(40_500));
        assert_eq!(aws.lower_bound(), Duration::from_millis(1));
        let simblock = model(Latency::simblock_2019());
        assert_eq!(simblock.between(7, 9, 3, 4), Duration::from_millis(58));
        assert_eq!(simblock.lower_bound(), Duration::from_millis(11));
        let short = model(Latency::Constant(Duration::from_micros(3)));
        assert_eq!(short.between(0, 1, 0, 0), Duration::from_millis(1));
    }
}
