//! The units of scenario files: durations, sizes, rates and shares, parsed without rounding where the unit allows it.

use hyperspace_protocol::time::Duration;

/// Units of time and their nanoseconds.
const TIME: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of size and their bytes.
const SIZE: [(&str, u64); 5] =
    [("B", 1), ("KB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20)];
const BITS: [(&str, u64); 4] = [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

/// A decimal number as digits and how many of them stand behind the point.
pub(super) struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// Parses `12` or `0.5`, no sign, no exponent, at most 20 digits (the longest duration in nanoseconds) or 21 with a
    /// point.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() > 21 {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, places: u32::try_from(fraction.len()).ok()? })
    }

    /// This many times `unit`, if that is a whole number that fits.
    pub(super) fn times(&self, unit: u64) -> Option<u64> {
        let scaled = self.digits * u128::from(unit);
        let divisor = 10_u128.pow(self.places);
        scaled.is_multiple_of(divisor).then(|| u64::try_from(scaled / divisor).ok()).flatten()
    }
}

/// Splits `10ms` or `2 KiB` into number and unit.
pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let unit_at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    (&text[..unit_at], text[unit_at..].trim_start())
}

/// A number with one of `units`, as a multiple of the smallest.
fn quantity(text: &str, units: &[(&str, u64)], what: &str, example: &str) -> Result<u64, String> {
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let (number, unit) = split(text);
    let Some(decimal) = Decimal::parse(number) else {
        return Err(format!("`{text}` is not a {what}: write a number and a unit, like {example}"));
    };
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: one of {}, like {example}", names.join(", ")));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "`{text}` has the unknown unit `{unit}`: one of {}, like {example}",
            names.join(", ")
        ));
    };
    decimal.times(*scale).ok_or_else(|| format!("`{text}` is too large, or finer than 1{}", names[0]))
}

/// `90s`, `500ms`, `2m`, `1h`, `10us`, `0s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIME, "duration", "90s or 500ms").map(Duration::from_nanos)
}

/// `40.5`, a number of milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    let Some(decimal) = Decimal::parse(text.trim()) else {
        return Err(format!("`{text}` is not a number of milliseconds: write it like 40.5"));
    };
    let nanos = decimal.times(1_000_000);
    nanos.map(Duration::from_nanos).ok_or_else(|| format!("`{text}` ms is too large, or finer than 1ns"))
}

/// `2KiB`, `1 KiB`, `512B`, `1MiB`; KB and MB are decimal.
pub(super) fn size(text: &str) -> Result<u64, String> {
    quantity(text, &SIZE, "size", "2KiB or 512B")
}

/// `20Mbit/s`, in bits per second.
pub(super) fn bits(text: &str) -> Result<u64, String> {
    let Some(bits) = text.trim().strip_suffix("/s") else {
        return Err(format!("`{text}` is not a bandwidth: write it like 20Mbit/s"));
    };
    quantity(bits, &BITS, "bandwidth", "20Mbit/s")
}

/// `10/s`, `6/m` (per minute), `0.5/s`, as the time between two.
pub(super) fn rate(text: &str) -> Result<Duration, String> {
    let shape = || format!("`{text}` is not a rate: write a number per unit of time, like 10/s or 6/m");
    let (number, per) = text.split_once('/').ok_or_else(shape)?;
    let decimal = Decimal::parse(number.trim()).ok_or_else(shape)?;
    let (_, unit) = TIME.iter().find(|(name, _)| *name == per.trim()).ok_or_else(shape)?;
    if decimal.digits == 0 {
        return Err(format!("a rate of {text} publishes nothing: leave the workload out"));
    }
    let nanos = u128::from(*unit) * 10_u128.pow(decimal.places) / decimal.digits;
    match u64::try_from(nanos) {
        Ok(0) => Err(format!("`{text}` is more than one per nanosecond")),
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(format!("`{text}` is less than one in 500 years")),
    }
}

/// A share as a plain number or a percentage: `0.1`, `10%`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let text = text.trim();
    text.parse().map_or_else(|_| percent(text), Ok)
}

/// `10%`, as 0.1.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let shape = || format!("`{text}` is not a share: write a number like 0.1, or a percentage like 10%");
    let number = text.trim().strip_suffix('%').ok_or_else(shape)?.trim_end();
    Decimal::parse(number.strip_prefix('-').unwrap_or(number)).ok_or_else(shape)?;
    // Shifting the exponent instead of dividing gives the same bits as the plain number would.
    format!("{number}e-2").parse().map_err(|_| shape())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        let nanos = |text| duration(text).map(Duration::as_nanos);
        assert_eq!(nanos("90s"), Ok(90_000_000_000));
        assert_eq!(nanos("0s"), Ok(0));
        assert_eq!(nanos("1.5 ms"), Ok(1_500_000));
        assert_eq!(nanos("2m"), Ok(120_000_000_000));
        assert_eq!(nanos("1h"), Ok(3_600_000_000_000));
        assert_eq!(nanos("10us"), nanos("10µs"));
        assert_eq!(nanos("1000000h"), Ok(3_600_000_000_000_000_000));
        assert_eq!(nanos("18446744073709551615ns"), Ok(u64::MAX));
        assert_eq!(nanos("18446744073.709551615s"), Ok(u64::MAX));
    }

    #[test]
    fn milliseconds_have_no_unit() {
        let nanos = |text| milliseconds(text).map(Duration::as_nanos);
        assert_eq!((nanos("40.5"), nanos(" 0 "), nanos("0.000001")), (Ok(40_500_000), Ok(0), Ok(1)));
        for (text, words) in
            [("5ms", "not a number"), ("-1", "not a number"), ("0.0000001", "finer than 1ns")]
        {
            assert!(milliseconds(text).expect_err(text).contains(words), "{text}");
        }
    }

    #[test]
    fn wrong_durations_say_what_is_wrong() {
        let wrong = |text| duration(text).expect_err(text);
        assert!(wrong("90").contains("no unit"));
        assert!(wrong("90 sec").contains("unknown unit `sec`"));
        assert!(wrong("").contains("not a duration"));
        assert!(wrong("-1s").contains("not a duration"));
        assert!(wrong("1.2.3s").contains("not a duration"));
        assert!(wrong("1.s").contains("not a duration") && wrong(".5s").contains("not a duration"));
        assert!(wrong("18446744073709551616ns").contains("too large"));
        assert!(wrong("0.5ns").contains("finer"));
        assert!(wrong("99999999999h").contains("too large"));
        assert!(wrong("9999999999999999999999999s").contains("not a duration"));
    }

    #[test]
    fn sizes_tell_binary_from_decimal() {
        let sizes =
            ["2KiB", "1 KiB", "512B", "1MiB", "1KB", "1.5KiB", "2MB"].map(|text| size(text).expect(text));
        assert_eq!(sizes, [2048, 1024, 512, 1_048_576, 1000, 1536, 2_000_000]);
        assert!(size("2k").expect_err("unit").contains("unknown unit `k`"));
    }

    #[test]
    fn rates_become_intervals() {
        let nanos = ["10/s", "6/m", "0.5/s", "3 / s"].map(|text| rate(text).expect(text).as_nanos());
        assert_eq!(nanos, [100_000_000, 10_000_000_000, 2_000_000_000, 333_333_333]);
        for (text, message) in
            [("0/s", "nothing"), ("10", "not a rate"), ("9/ns", "more than"), ("1/d", "not a rate")]
        {
            assert!(rate(text).expect_err(text).contains(message), "{text}");
        }
    }

    #[test]
    fn percentages_have_the_bits_of_the_plain_number() {
        assert_eq!(percent("10%"), Ok(0.1));
        assert_eq!(percent("0.1%"), Ok(0.001));
        assert_eq!(percent("-5 %"), Ok(-0.05));
        assert!(percent("%").is_err() && percent("1e3%").is_err() && percent("0.1").is_err());
    }
}
