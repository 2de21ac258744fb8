//! How evenly the ring is shared out.

use super::table::distinct;
use super::{Member, Ring};

impl<K: Member> Ring<K> {
    /// How many of the 2^64 positions each member holds as one of `replicas` holders (1: as the primary), exactly, in
    /// member order. Divided by [`POSITIONS`](super::POSITIONS) it is a share; the shares add up to the number of
    /// holders.
    pub fn load(&self, replicas: usize) -> Vec<(&K, u128)> {
        let wanted = replicas.min(self.len());
        let mut widths = vec![0; self.roster.slots()];
        for (range, _) in self.ranges() {
            for slot in distinct(self.table.clockwise(range.upto.0), wanted, self.roster.slots()) {
                widths[slot as usize] += range.width();
            }
        }
        self.roster.iter().map(|(member, slot)| (member, widths[slot as usize])).collect()
    }
}

/// Key figures of how evenly something is spread over members: widths of ranges, or counts of keys.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    /// How many members.
    pub members: usize,
    /// How many of them have nothing.
    pub idle: usize,
    /// The smallest load over the mean load.
    pub min_over_mean: f64,
    /// The largest load over the mean load.
    pub max_over_mean: f64,
    /// Coefficient of variation: the standard deviation (of the population) over the mean.
    pub cv: f64,
}

impl Spread {
    /// The spread of these loads, one per member. Ratios are 0 if there is no load at all.
    ///
    /// Exact up to the rounding of floats. The order of `loads` can change the last digits.
    pub fn of(loads: impl IntoIterator<Item = u128>) -> Self {
        let loads: Vec<u128> = loads.into_iter().collect();
        let members = loads.len();
        let idle = loads.iter().filter(|&&load| load == 0).count();
        if idle == members {
            return Self { members, idle, min_over_mean: 0.0, max_over_mean: 0.0, cv: 0.0 };
        }
        let mean = loads.iter().map(|&load| load as f64).sum::<f64>() / members as f64;
        let ratios = || loads.iter().map(|&load| load as f64 / mean);
        let variance = ratios().map(|ratio| (ratio - 1.0) * (ratio - 1.0)).sum::<f64>() / members as f64;
        Self {
            members,
            idle,
            min_over_mean: ratios().fold(f64::INFINITY, f64::min),
            max_over_mean: ratios().fold(0.0, f64::max),
            cv: variance.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_figures_of_a_small_case() {
        let spread = Spread::of([0, 2, 4, 2]);
        assert_eq!(
            spread,
            Spread { members: 4, idle: 1, min_over_mean: 0.0, max_over_mean: 2.0, cv: 0.5f64.sqrt() }
        );
        assert_eq!(Spread::of([1 << 64]).cv, 0.0);
    }

    #[test]
    fn nothing_to_share_is_no_division_by_zero() {
        let nothing = Spread { members: 0, idle: 0, min_over_mean: 0.0, max_over_mean: 0.0, cv: 0.0 };
        assert_eq!(Spread::of([]), nothing);
        assert_eq!(Spread::of([0, 0]), Spread { members: 2, idle: 2, ..nothing });
    }
}
