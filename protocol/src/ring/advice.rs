//! What a placement can be expected to do with a number of peers, from the parameters alone.
//!
//! Variation, idle peers and keys moved are expectations for ideal hashes. The largest load is an estimate, within a
//! fifth of the mean of measured rings of 5 to 2,000 peers, and mostly within a twentieth.

use core::fmt;

use super::Vnodes;

/// Above this ratio of the largest load to the mean, [`advice()`] speaks up. A guess: one peer does the work of two.
const UNEVEN: f64 = 2.0;

/// What to expect of a ring.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Forecast {
    /// Coefficient of variation of the share of the ring that a peer owns as the primary. sqrt((n-1)/(n v+1)) for v
    /// tokens per peer.
    pub cv: f64,
    /// The share of the peer that owns most over the mean share.
    pub max_over_mean: f64,
    /// Share of the peers that own nothing, in [0, 1].
    pub idle: f64,
    /// Share of the keys whose primary changes when one more peer joins, in [0, 1].
    pub moved_on_join: f64,
}

impl Forecast {
    /// The forecast for `peers` members; all 0 but `moved_on_join` if there are none.
    pub fn new(vnodes: Vnodes, peers: usize) -> Self {
        let n = peers as f64;
        let minimum = 1.0 / (n + 1.0);
        if peers == 0 {
            return Self { cv: 0.0, max_over_mean: 0.0, idle: 0.0, moved_on_join: minimum };
        }
        match vnodes {
            Vnodes::PerPeer(tokens) => {
                let cv = ((n - 1.0) / (n * f64::from(tokens.get()) + 1.0)).sqrt();
                Self { cv, max_over_mean: largest_of_arcs(n, cv), idle: 0.0, moved_on_join: minimum }
            }
            Vnodes::TotalRendezvous(total) => {
                let total = f64::from(total.get());
                let cv = ((n - 1.0) / total).sqrt();
                // Cornish-Fisher: about Poisson, whose skewness is its cv.
                let z = largest_normal(n);
                let largest = 1.0 + cv * (z + cv * (z * z - 1.0) / 6.0);
                Self {
                    cv,
                    max_over_mean: if n < 2.0 { 1.0 } else { largest.max(n / total).min(n) },
                    idle: power(1.0 - 1.0 / n, total as u32),
                    moved_on_join: minimum,
                }
            }
            Vnodes::TotalFloor(total) => Self::floor(f64::from(total.get()), n),
        }
    }

    /// A member with k of the t tokens owns a Beta(k, t - k) share.
    fn floor(total: f64, n: f64) -> Self {
        let (each, rest) = ((total / n).floor(), total % n);
        let second_moments = rest * (each + 1.0) * (each + 2.0) + (n - rest) * each * (each + 1.0);
        let cv = (n * second_moments / (total * (total + 1.0)) - 1.0).max(0.0).sqrt();
        let max_over_mean = if n > total {
            n / total * largest_of_arcs(total, ((total - 1.0) / (total + 1.0)).sqrt())
        } else {
            largest_of_arcs(n, cv)
        };
        // The newcomer gets `new` tokens and as many are taken from others. A key stays if the next token clockwise
        // stays, or goes but the next other one is of the same owner.
        let new = total / (n + 1.0);
        let stay = (total - new) / (total + new) + new / (total + new) * (1.0 - new / total) / n;
        Self { cv, max_over_mean, idle: (1.0 - total / n).max(0.0), moved_on_join: 1.0 - stay }
    }
}

/// Something about a ring that its user should know before using it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Advice {
    /// Every key has fewer copies than wanted.
    FewerPeersThanReplicas {
        /// Peers on the ring.
        peers: usize,
        /// Copies wanted.
        replicas: usize,
    },
    /// A total of virtual nodes is smaller than the number of peers: the rest can own nothing, however lucky.
    MorePeersThanVnodes {
        /// Virtual nodes in all.
        total: u16,
        /// Peers on the ring.
        peers: usize,
    },
    /// Some peers are expected to own nothing, more than [`Advice::MorePeersThanVnodes`] makes certain.
    IdlePeers {
        /// Peers on the ring.
        peers: usize,
        /// Expected share of them, in [0, 1].
        share: f64,
    },
    /// The peer that owns most is expected to own more than twice the mean.
    Uneven {
        /// Its share over the mean share.
        max_over_mean: f64,
        /// Coefficient of variation of all shares.
        cv: f64,
    },
    /// A join or leave moves more keys than it has to.
    Reshuffles {
        /// Expected share of the keys that the next join moves, in [0, 1].
        moved: f64,
        /// The least that must move: 1/(n+1).
        minimum: f64,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FewerPeersThanReplicas { peers, replicas } => {
                write!(f, "{peers} peers cannot hold {replicas} copies of a key, only {peers}")
            }
            Self::MorePeersThanVnodes { total, peers } => {
                write!(
                    f,
                    "{total} virtual nodes in all cannot serve {peers} peers: \
                     at least {} own nothing; give each peer virtual nodes of its own",
                    peers.saturating_sub(total.into())
                )
            }
            Self::IdlePeers { peers, share } => {
                let idle = share * peers as f64;
                write!(f, "about {idle:.0} of {peers} peers ({:.1} %) own nothing", share * 100.0)
            }
            Self::Uneven { max_over_mean, cv } => write!(
                f,
                "the fullest peer owns about {max_over_mean:.1} times the mean (variation {:.0} %)",
                cv * 100.0
            ),
            Self::Reshuffles { moved, minimum } => write!(
                f,
                "a join moves about {:.2} % of the keys where {:.2} % would do, because the peers that were there \
                 change their numbers of virtual nodes",
                moved * 100.0,
                minimum * 100.0
            ),
        }
    }
}

/// What a ring of `peers` members cannot do well, worst first; empty if there is nothing to say. `replicas` are the
/// wanted holders of a key.
pub fn advice(vnodes: Vnodes, peers: usize, replicas: usize) -> Vec<Advice> {
    let forecast = Forecast::new(vnodes, peers);
    let minimum = 1.0 / (peers as f64 + 1.0);
    let mut all = Vec::new();
    let surplus = match vnodes {
        Vnodes::TotalRendezvous(total) | Vnodes::TotalFloor(total) => {
            let surplus = peers.saturating_sub(total.get().into());
            if surplus > 0 {
                all.push(Advice::MorePeersThanVnodes { total: total.get(), peers });
            }
            surplus
        }
        Vnodes::PerPeer(_) => 0,
    };
    if peers < replicas {
        all.push(Advice::FewerPeersThanReplicas { peers, replicas });
    }
    // Half a peer rounds to one. Those too many for the total are mentioned already.
    if forecast.idle * peers as f64 - surplus as f64 >= 0.5 {
        all.push(Advice::IdlePeers { peers, share: forecast.idle });
    }
    if forecast.max_over_mean > UNEVEN {
        all.push(Advice::Uneven { max_over_mean: forecast.max_over_mean, cv: forecast.cv });
    }
    if peers > 0 && forecast.moved_on_join > minimum {
        all.push(Advice::Reshuffles { moved: forecast.moved_on_join, minimum });
    }
    all
}

/// The largest of `n` shares with this variation over their mean, where a share is a sum of random arcs and so about
/// gamma distributed: the Wilson-Hilferty approximation.
fn largest_of_arcs(n: f64, cv: f64) -> f64 {
    if n < 2.0 {
        return 1.0;
    }
    let spread = cv / 3.0;
    let root = 1.0 - spread * spread + spread * largest_normal(n);
    (root * root * root).min(n)
}

/// The expected largest of `n` >= 2 standard normal numbers: Blom's quantile, by formula 26.2.23 of Abramowitz and
/// Stegun (error below 4.5e-4).
fn largest_normal(n: f64) -> f64 {
    let tail = 0.625 / (n + 0.25);
    let t = (2.0 * natural_log(1.0 / tail)).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// ln(x) for finite x >= 1, from operations that round alike everywhere (clippy.toml): x = m 2^k with m in [1, 2), and
/// ln m = 2 artanh((m - 1)/(m + 1)).
fn natural_log(mut x: f64) -> f64 {
    let mut log = 0.0;
    while x >= 2.0 {
        x /= 2.0;
        log += core::f64::consts::LN_2;
    }
    let y = (x - 1.0) / (x + 1.0);
    let (mut power, mut sum) = (y, 0.0);
    for odd in (1u8..=21).step_by(2) {
        sum += power / f64::from(odd);
        power *= y * y;
    }
    log + 2.0 * sum
}

/// `base` to the power of `exponent`, by squaring.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result *= base;
        }
        base *= base;
        exponent /= 2;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64, error: f64) {
        assert!((value - expected).abs() <= error, "{value} is not {expected} +- {error}");
    }

    #[test]
    fn the_functions_without_a_library_are_right() {
        close(natural_log(1.0), 0.0, 0.0);
        close(natural_log(10.0), core::f64::consts::LN_10, 1e-11);
        close(natural_log(1e6), 13.815_510_557_964_274, 1e-10);
        close(power(0.999, 750), 0.472_189_330_356_904_75, 1e-12);
        // Published expected maxima of 2, 10, 100 and 1000 normals; Blom is an approximation.
        for (n, expected) in [(2.0, 0.5642), (10.0, 1.5388), (100.0, 2.5076), (1000.0, 3.2414)] {
            close(largest_normal(n), expected, 0.03);
        }
    }

    fn said(vnodes: Vnodes, peers: usize) -> Vec<String> {
        advice(vnodes, peers, 3).iter().map(Advice::to_string).collect()
    }

    #[test]
    fn the_default_needs_no_advice_from_three_peers_on() {
        for peers in [3, 5, 50, 2000, 1_000_000] {
            assert_eq!(advice(Vnodes::default(), peers, 3), [], "{peers}");
        }
        assert_eq!(said(Vnodes::default(), 2), ["2 peers cannot hold 3 copies of a key, only 2"]);
        assert_eq!(
            advice(Vnodes::default(), 0, 3),
            [Advice::FewerPeersThanReplicas { peers: 0, replicas: 3 }]
        );
    }

    #[test]
    fn a_literal_total_serves_few_peers_well_and_many_not_at_all() {
        assert_eq!(advice(Vnodes::SPEC_LITERAL, 5, 3), []);
        assert_eq!(
            said(Vnodes::SPEC_LITERAL, 500),
            [
                "about 111 of 500 peers (22.3 %) own nothing",
                "the fullest peer owns about 4.4 times the mean (variation 82 %)",
            ]
        );
        assert_eq!(
            said(Vnodes::SPEC_LITERAL, 2000),
            [
                "750 virtual nodes in all cannot serve 2000 peers: at least 1250 own nothing; \
                 give each peer virtual nodes of its own",
                "about 1374 of 2000 peers (68.7 %) own nothing",
                "the fullest peer owns about 11.3 times the mean (variation 163 %)",
            ]
        );
        let last = advice(Vnodes::SPEC_LITERAL, 750, 3);
        assert!(!last.contains(&Advice::MorePeersThanVnodes { total: 750, peers: 750 }), "{last:?}");
        let first = advice(Vnodes::SPEC_LITERAL, 751, 3);
        assert_eq!(first[0], Advice::MorePeersThanVnodes { total: 750, peers: 751 });
    }

    #[test]
    fn a_total_by_floor_reshuffles() {
        let floor = Vnodes::TotalFloor(core::num::NonZeroU16::new(750).expect("not zero"));
        assert_eq!(
            said(floor, 5),
            [
                "a join moves about 26.19 % of the keys where 16.67 % would do, because the peers that were there \
              change their numbers of virtual nodes"
            ]
        );
        let many = advice(floor, 2000, 3);
        assert_eq!(many[0], Advice::MorePeersThanVnodes { total: 750, peers: 2000 });
        assert!(matches!(many[1..], [Advice::Uneven { .. }, Advice::Reshuffles { .. }]), "{many:?}");
    }

    /// Whatever the parameters, the numbers are numbers and in range.
    #[test]
    fn forecasts_stay_in_range() {
        for n in [1, 2, 750, u16::MAX] {
            let n = core::num::NonZeroU16::new(n).expect("not zero");
            for vnodes in [Vnodes::PerPeer(n), Vnodes::TotalRendezvous(n), Vnodes::TotalFloor(n)] {
                for peers in [0, 1, 2, 3, 749, 750, 751, 1_000_000, usize::MAX] {
                    let forecast = Forecast::new(vnodes, peers);
                    let ratio = forecast.max_over_mean;
                    assert!((0.0..=peers.max(1) as f64).contains(&ratio), "{vnodes} {peers} {forecast:?}");
                    assert!(peers == 0 || ratio >= 1.0, "{vnodes} {peers} {forecast:?}");
                    assert!(forecast.cv >= 0.0 && forecast.cv.is_finite());
                    assert!((0.0..=1.0).contains(&forecast.idle), "{vnodes} {peers} {forecast:?}");
                    assert!((0.0..=1.0).contains(&forecast.moved_on_join), "{vnodes} {peers} {forecast:?}");
                }
            }
        }
    }
}
