//! Lengths of time in a settings file: a whole number and its unit, such as `"250ms"`, `"30s"`, `"5m"`, `"12h"`, `"8d"`.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Milliseconds of each unit. `m` after `ms`, which ends like `s`.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads one. For serde's `deserialize_with`.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is no length of time such as \"250ms\", \"30s\", \"5m\", \"12h\" or \"8d\""
        ))
    })
}

/// One of the protocol's, which has nanoseconds in 64 bits: up to 584 years.
pub(super) fn read_protocol<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<hyperspace_protocol::time::Duration, D::Error> {
    let nanos = u64::try_from(read(deserializer)?.as_nanos());
    nanos
        .map(hyperspace_protocol::time::Duration::from_nanos)
        .map_err(|_| D::Error::custom("this is too long"))
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("8d", 691_200_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "5min", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
