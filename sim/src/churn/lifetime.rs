//! Distributions of a span of time, by the names and texts of scenario files.
//!
//! Sampling goes through `libm`, whose results do not depend on the platform. [`Lifetime::sample`] always takes two
//! draws, so another distribution shifts no draw after it.

use core::f64::consts::{LN_2, TAU};
use core::fmt;

use hyperspace_protocol::rng::Stream;
use hyperspace_protocol::time::Duration;

use crate::scenario::units::duration;

/// Shortest span that is drawn (our bound).
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// Longest span that is drawn and longest mean, 10 years: far beyond any run (our bound).
pub(super) const LONGEST: Duration = Duration::from_secs(10 * YEAR);
const YEAR: u64 = 365 * 24 * 3600;

/// Kinds and how one of each is written.
const KINDS: [(&str, &str); 4] = [
    ("constant", "constant:10m (the time)"),
    ("exponential", "exponential:10m (the mean)"),
    ("weibull", "weibull:0.5:5000s (shape and scale)"),
    ("lognormal", "lognormal:10m:1.2 (median and sigma)"),
];

/// Session lengths that others measured: name, shape and scale in seconds of a Weibull distribution.
///
/// * `kad`: OverSim's convention for KAD.
/// * `red-hat`, `debian`, `flatout`: Stutzbach and Rejaie, "Understanding churn in peer-to-peer networks" (IMC 2006),
///   BitTorrent swarms, scales of 21.3, 42.4 and 41.9. That these are minutes is our reading.
const NAMED: [(&str, f64, u64); 4] =
    [("kad", 0.5, 5_000), ("red-hat", 0.34, 1_278), ("debian", 0.38, 2_544), ("flatout", 0.59, 2_514)];

/// A distribution of a span of time. Parameters that are times lie from 1 ms to 1 year, the mean at most at 10 years;
/// [`Lifetime::check`] says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lifetime {
    /// Always the same.
    Constant(Duration),
    /// Without memory.
    Exponential {
        /// Its mean.
        mean: Duration,
    },
    /// Heavy-tailed for shapes below 1.
    Weibull {
        /// Exponent k, 0.1 to 10.
        shape: f64,
        /// Scale lambda, which 63 % stay below.
        scale: Duration,
    },
    /// The logarithm is normal.
    LogNormal {
        /// Half are shorter.
        median: Duration,
        /// Standard deviation of the natural logarithm, 0 to 5.
        sigma: f64,
    },
}

impl Lifetime {
    /// A published fit by its name: `kad`, `red-hat`, `debian` or `flatout`.
    pub fn named(name: &str) -> Option<Self> {
        let (_, shape, scale) = NAMED.into_iter().find(|(known, ..)| *known == name)?;
        Some(Self::Weibull { shape, scale: Duration::from_secs(scale) })
    }

    /// Reads `constant:10m`, `exponential:10m` (mean), `weibull:0.5:5000s` (shape, scale), `lognormal:10m:1.2` (median,
    /// sigma) or the name of a published fit, like `kad`.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(named) = Self::named(text) {
            return Ok(named);
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let parameters: Vec<&str> = rest.split(':').collect();
        let lifetime = match (kind, &parameters[..]) {
            ("constant", [span]) => Self::Constant(duration(span)?),
            ("exponential", [mean]) => Self::Exponential { mean: duration(mean)? },
            ("weibull", [shape, scale]) => Self::Weibull { shape: number(shape)?, scale: duration(scale)? },
            ("lognormal", [median, sigma]) => {
                Self::LogNormal { median: duration(median)?, sigma: number(sigma)? }
            }
            _ => return Err(unreadable(text, kind)),
        };
        lifetime.check().map(|()| lifetime)
    }

    /// Whether the parameters are in their ranges.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let (what, span) = match *self {
            Self::Constant(span) => ("time", span),
            Self::Exponential { mean } => ("mean", mean),
            Self::Weibull { shape, scale } => {
                within("shape", shape, 0.1, 10.0)?;
                ("scale", scale)
            }
            Self::LogNormal { median, sigma } => {
                within("sigma", sigma, 0.0, 5.0)?;
                ("median", median)
            }
        };
        if !(SHORTEST..=Duration::from_secs(YEAR)).contains(&span) {
            return Err(format!("`{self}`: the {what} must be from 1ms to 8760h (1 year), like 10m"));
        }
        if self.mean() > LONGEST.as_secs_f64() {
            let years = self.mean() / YEAR as f64;
            return Err(format!("`{self}` has a mean of {years:.1} years: 10 at most"));
        }
        Ok(())
    }

    /// Mean in seconds, in closed form: without the bounds of [`Self::sample`].
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant(span) => span.as_secs_f64(),
            Self::Exponential { mean } => mean.as_secs_f64(),
            Self::Weibull { shape, scale } => scale.as_secs_f64() * libm::tgamma(1.0 + 1.0 / shape),
            Self::LogNormal { median, sigma } => median.as_secs_f64() * libm::exp(sigma * sigma / 2.0),
        }
    }

    /// Median in seconds, in closed form.
    pub fn median(&self) -> f64 {
        match *self {
            Self::Constant(span) => span.as_secs_f64(),
            Self::Exponential { mean } => mean.as_secs_f64() * LN_2,
            Self::Weibull { shape, scale } => scale.as_secs_f64() * libm::pow(LN_2, 1.0 / shape),
            Self::LogNormal { median, .. } => median.as_secs_f64(),
        }
    }

    /// One span, from 1 ms to 10 years: what falls outside is set to the nearer bound. Always takes two draws.
    pub fn sample(&self, stream: &mut Stream) -> Duration {
        let draws = [stream.unit(), stream.unit()];
        let seconds = match *self {
            Self::Constant(span) => return span.clamp(SHORTEST, LONGEST),
            Self::Exponential { mean } => mean.as_secs_f64() * exponential(draws[0]),
            Self::Weibull { shape, scale } => {
                scale.as_secs_f64() * libm::pow(exponential(draws[0]), 1.0 / shape)
            }
            Self::LogNormal { median, sigma } => median.as_secs_f64() * libm::exp(sigma * normal(draws)),
        };
        span(seconds)
    }

    /// What is left of the span that a random time falls into, in seconds and without bounds: density
    /// P(span > x) / mean. Long spans are met more often than short ones, in proportion to their length; so this is a
    /// uniform share of a span drawn by length, for which each kind has a closed form. Takes any number of draws.
    pub fn residual(&self, stream: &mut Stream) -> f64 {
        let met = match *self {
            Self::Constant(span) => span.as_secs_f64(),
            Self::Exponential { mean } => mean.as_secs_f64() * gamma(2.0, stream),
            Self::Weibull { shape, scale } => {
                scale.as_secs_f64() * libm::pow(gamma(1.0 + 1.0 / shape, stream), 1.0 / shape)
            }
            Self::LogNormal { median, sigma } => {
                let draws = [stream.unit(), stream.unit()];
                median.as_secs_f64() * libm::exp(sigma * (sigma + normal(draws)))
            }
        };
        met * stream.unit()
    }
}

/// Reads back as an equal value.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(span) => write!(f, "constant:{span}"),
            Self::Exponential { mean } => write!(f, "exponential:{mean}"),
            Self::Weibull { shape, scale } => write!(f, "weibull:{shape}:{scale}"),
            Self::LogNormal { median, sigma } => write!(f, "lognormal:{median}:{sigma}"),
        }
    }
}

/// Seconds within the bounds; not a number is the shortest.
pub(super) fn span(seconds: f64) -> Duration {
    Duration::from_nanos((seconds * 1e9) as u64).clamp(SHORTEST, LONGEST)
}

/// Exponential with mean 1 by inversion. `1 - unit` is exact and never zero.
fn exponential(unit: f64) -> f64 {
    -libm::log(1.0 - unit)
}

/// Standard normal (Box and Muller).
fn normal([radius, angle]: [f64; 2]) -> f64 {
    (2.0 * exponential(radius)).sqrt() * libm::cos(TAU * angle)
}

/// Gamma with scale 1 and a shape of at least 1 (Marsaglia and Tsang, "A simple method for generating gamma variables",
/// 2000), which accepts more than 95 % of its trials. After 64 in vain, which is as good as never, it is the mode.
fn gamma(shape: f64, stream: &mut Stream) -> f64 {
    let d = shape - 1.0 / 3.0;
    for _ in 0..64 {
        let x = normal([stream.unit(), stream.unit()]);
        let unit = stream.unit();
        let t = 1.0 + x / (9.0 * d).sqrt();
        let v = t * t * t;
        if v > 0.0 && -exponential(unit) < x * x / 2.0 + d * (1.0 - v + libm::log(v)) {
            return d * v;
        }
    }
    shape - 1.0
}

fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a number, like 0.5"))
}

fn within(what: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    let fits = (low..=high).contains(&value);
    fits.then_some(())
        .ok_or_else(|| format!("the {what} must be from {low} to {high}, like 0.5; got {value}"))
}

fn unreadable(text: &str, kind: &str) -> String {
    match KINDS.iter().find(|(known, _)| *known == kind) {
        Some((_, example)) => format!("`{text}` has the wrong number of parameters: write {example}"),
        None => {
            let kinds = KINDS.map(|(_, example)| example).join(", ");
            let names = NAMED.map(|(name, ..)| name).join(", ");
            format!("unknown distribution `{text}`: write {kinds}, or a published fit: {names}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyperspace_protocol::rng::purpose_key;
    use proptest::prelude::*;

    fn stream() -> Stream {
        Stream::new(purpose_key(1, "churn"), 0)
    }

    fn close(got: f64, wanted: f64, share: f64) -> bool {
        (got / wanted - 1.0).abs() < share
    }

    /// Row A13: mean and median of the published fits (of the last three in minutes); below them, closed forms.
    #[test]
    fn a_million_samples_have_the_published_mean_and_median() {
        for (text, unit, mean, median) in [
            ("kad", 1.0, 10_000.0, 2_402.0),
            ("red-hat", 60.0, 118.8, 7.25),
            ("debian", 60.0, 163.4, 16.2),
            ("flatout", 60.0, 64.5, 22.5),
            ("exponential:10m", 60.0, 10.0, 6.931),
            ("lognormal:10m:1.2", 60.0, 20.544, 10.0),
            ("constant:10m", 60.0, 10.0, 10.0),
        ] {
            let lifetime = Lifetime::parse(text).expect(text);
            assert!(close(lifetime.mean() / unit, mean, 0.003), "{text} {}", lifetime.mean());
            assert!(close(lifetime.median() / unit, median, 0.003), "{text} {}", lifetime.median());
            let mut stream = stream();
            let mut all: Vec<Duration> = (0..1_000_000).map(|_| lifetime.sample(&mut stream)).collect();
            assert_eq!(stream.drawn(), 2_000_000);
            let sum: f64 = all.iter().map(|span| span.as_secs_f64()).sum();
            // The widest is Red Hat's: standard deviation of the mean 0.42 %.
            assert!(close(sum / 1e6 / unit, mean, 0.02), "{text} {sum}");
            let (_, middle, _) = all.select_nth_unstable(500_000);
            assert!(close(middle.as_secs_f64() / unit, median, 0.02), "{text} {middle}");
        }
    }

    /// The mean of what is left is E[X^2] / (2 E[X]).
    #[test]
    fn what_is_left_at_a_random_time_favours_long_spans() {
        for (text, mean) in [
            ("constant:10m", 300.0),
            ("exponential:10m", 600.0),
            (
                "weibull:0.7:10m",
                600.0 * libm::tgamma(1.0 + 2.0 / 0.7) / (2.0 * libm::tgamma(1.0 + 1.0 / 0.7)),
            ),
            ("weibull:4:10m", 600.0 * libm::tgamma(1.5) / (2.0 * libm::tgamma(1.25))),
            ("kad", 30_000.0),
            ("lognormal:10m:0.8", 300.0 * libm::exp(1.5 * 0.8 * 0.8)),
        ] {
            let (lifetime, mut stream) = (Lifetime::parse(text).expect(text), stream());
            let sum: f64 = (0..400_000).map(|_| lifetime.residual(&mut stream)).sum();
            // The widest is kad's: standard deviation of the mean 0.24 %.
            assert!(close(sum / 4e5, mean, 0.01), "{text}: {} for {mean}", sum / 4e5);
        }
    }

    /// A platform that computes otherwise shows here. The values agree with a program in Python, to the nanosecond.
    #[test]
    fn samples_are_what_they_were() {
        for (text, samples, left) in [
            ("constant:10m", [600_000_000_000; 3], 497_723_671_007),
            ("exponential:10m", [256_629_800_548, 342_923_971_749, 366_751_299_263], 796_363_413_095),
            ("kad", [914_706_312_914, 1_633_289_588_896, 1_868_146_048_765], 32_570_450_271_020),
            ("red-hat", [105_122_354_000, 246_582_365_614, 300_446_642_979], 56_419_897_056_258),
            ("lognormal:10m:1.2", [617_987_736_256, 173_163_911_956, 723_403_937_010], 20_136_442_036),
        ] {
            let (lifetime, mut stream) = (Lifetime::parse(text).expect(text), stream());
            assert_eq!([(); 3].map(|()| lifetime.sample(&mut stream).as_nanos()), samples, "{text}");
            assert_eq!((lifetime.residual(&mut stream) * 1e9) as u64, left, "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_is_right() {
        for (text, message) in [
            ("", "unknown distribution ``: write constant:10m (the time), exponential:10m (the mean)"),
            ("pareto:2", "weibull:0.5:5000s (shape and scale), lognormal:10m:1.2 (median and sigma), or a"),
            ("KAD", "a published fit: kad, red-hat, debian, flatout"),
            ("weibull:0.5", "wrong number of parameters: write weibull:0.5:5000s (shape and scale)"),
            ("constant:1m:1m", "wrong number of parameters"),
            ("constant", "`` is not a duration"),
            ("constant:0s", "the time must be from 1ms to 8760h"),
            ("exponential:8761h", "the mean must be"),
            ("weibull:x:5000s", "`x` is not a number, like 0.5"),
            ("weibull:nan:5000s", "the shape must be from 0.1 to 10, like 0.5; got NaN"),
            ("weibull:0.05:5000s", "the shape must be"),
            ("weibull:0.1:1h", "has a mean of 414.2 years: 10 at most"),
            ("lognormal:1h:inf", "the sigma must be from 0 to 5"),
            ("lognormal:0s:1", "the median must be"),
        ] {
            let wrong = Lifetime::parse(text).expect_err(text);
            assert!(wrong.contains(message), "{text}: {wrong}");
        }
    }

    fn any_lifetime() -> impl Strategy<Value = Lifetime> {
        let span = || (1_000_000..=YEAR * 1_000_000_000).prop_map(Duration::from_nanos);
        let any = prop_oneof![
            span().prop_map(Lifetime::Constant),
            span().prop_map(|mean| Lifetime::Exponential { mean }),
            (0.1..=10.0, span()).prop_map(|(shape, scale)| Lifetime::Weibull { shape, scale }),
            (span(), 0.0..=5.0).prop_map(|(median, sigma)| Lifetime::LogNormal { median, sigma }),
        ];
        any.prop_filter("a mean beyond 10 years", |lifetime| lifetime.check().is_ok())
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_and_samples_stay_in_bounds(lifetime in any_lifetime(), owner in any::<u64>()) {
            prop_assert_eq!(Lifetime::parse(&lifetime.to_string()), Ok(lifetime));
            let mut stream = Stream::new(7, owner);
            prop_assert!((SHORTEST..=LONGEST).contains(&lifetime.sample(&mut stream)));
        }

        #[test]
        fn no_text_panics(text in "(weibull|constant|lognormal)?[:0-9.a-zµ-]{0,20}|.*") {
            let _ = Lifetime::parse(&text);
        }
    }
}
