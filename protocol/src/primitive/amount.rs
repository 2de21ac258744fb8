//! Money and budgets: whole atomic units, read from and written as decimal text, never as floats (decision M10).

use core::fmt;
use core::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Digits after the point of a session's budget: a millionth, as USDC has.
pub const BUDGET_DIGITS: u32 = 6;

/// Longest number read, in characters: more than 2^128 has, with sign, point and exponent.
const TEXT_MAX: usize = 64;

/// Why a number is no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    /// Not a JSON number.
    #[error("must be a number")]
    NotANumber,
    /// Below zero.
    #[error("must not be negative")]
    Negative,
    /// More digits after the point than the currency has.
    #[error("has more than {0} digits after the point")]
    TooPrecise(u32),
    /// 2^127 atomic units or more, so that sums of two fit.
    #[error("is too large")]
    TooLarge,
}

/// A number as it was written: what it is worth depends on the currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// How many atomic units of `10^-digits` it is.
    ///
    /// # Errors
    /// Why it is not a whole number of them; see [`AmountError`].
    pub fn units(&self, digits: u32) -> Result<u128, AmountError> {
        let (negative, text) = match self.0.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, &self.0[..]),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
                (mantissa, i64::from_str(exponent).map_err(|_| AmountError::TooLarge)?)
            }
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut units = 0u128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = (digit as char).to_digit(10).ok_or(AmountError::NotANumber)?;
            units = units
                .checked_mul(10)
                .and_then(|u| u.checked_add(digit.into()))
                .ok_or(AmountError::TooLarge)?;
        }
        if units == 0 {
            return Ok(0);
        }
        if negative {
            return Err(AmountError::Negative);
        }
        // The number is `units * 10^shift` atomic units.
        let mut shift = exponent.saturating_add(i64::from(digits)).saturating_sub(fraction.len() as i64);
        while shift < 0 && units.is_multiple_of(10) {
            units /= 10;
            shift += 1;
        }
        if shift < 0 {
            return Err(AmountError::TooPrecise(digits));
        }
        let scale = u32::try_from(shift).ok().and_then(|shift| 10u128.checked_pow(shift));
        let units = scale.and_then(|scale| units.checked_mul(scale)).ok_or(AmountError::TooLarge)?;
        if units >> 127 != 0 { Err(AmountError::TooLarge) } else { Ok(units) }
    }

    /// The number as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a JSON number.
    ///
    /// # Errors
    /// [`AmountError::NotANumber`], also for text of more than 64 characters.
    pub fn new(text: &str) -> Result<Self, AmountError> {
        let is_number = text.len() <= TEXT_MAX
            && text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len());
        if is_number { Ok(Self(text.into())) } else { Err(AmountError::NotANumber) }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::new(raw.get()).map_err(D::Error::custom)
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

/// Atomic units of `10^-DIGITS`. Reads and writes as a JSON number, exactly; writes the shortest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Amount<const DIGITS: u32>(pub u128);

/// What a session's budget is counted in.
pub type Budget = Amount<BUDGET_DIGITS>;

impl<const DIGITS: u32> fmt::Display for Amount<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.0, DIGITS))
    }
}

impl<const DIGITS: u32> Serialize for Amount<DIGITS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = RawValue::from_string(self.to_string()).expect("a decimal is JSON");
        text.serialize(serializer)
    }
}

impl<'de, const DIGITS: u32> Deserialize<'de> for Amount<DIGITS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Decimal::deserialize(deserializer)?.units(DIGITS).map(Self).map_err(D::Error::custom)
    }
}

impl<const DIGITS: u32> JsonSchema for Amount<DIGITS> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Decimal::json_schema(generator)
    }
}

/// `units` of `10^-digits` as the shortest exact decimal number.
pub fn decimal(units: u128, digits: u32) -> String {
    let scale = 10u128.pow(digits);
    let (whole, fraction) = (units / scale, units % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0width$}", width = digits as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Result<u128, AmountError> {
        Decimal::new(text).and_then(|decimal| decimal.units(6))
    }

    #[test]
    fn reads_exactly() {
        assert_eq!(units("0.003"), Ok(3_000));
        assert_eq!(units("5.0"), Ok(5_000_000));
        assert_eq!(units("1.000000000000"), Ok(1_000_000));
        assert_eq!(units("25e-4"), Ok(2_500));
        assert_eq!(units("1E+2"), Ok(100_000_000));
        assert_eq!(units("-0.0"), Ok(0));
        assert_eq!(units("0e999999999999"), Err(AmountError::TooLarge).or(Ok(0)));
        assert_eq!(units("0.0000001"), Err(AmountError::TooPrecise(6)));
        assert_eq!(units("1.00000000000000000001"), Err(AmountError::TooPrecise(6)));
        assert_eq!(units("-1"), Err(AmountError::Negative));
        assert_eq!(units("1e40"), Err(AmountError::TooLarge));
        assert_eq!(units("1e9999999999999999999"), Err(AmountError::TooLarge));
        for wrong in ["", " 1", "NaN", "\"1\"", "1,0", "01", "null", "+1", "1.", "0x1", "[1]"] {
            assert_eq!(units(wrong), Err(AmountError::NotANumber), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(units in 0u128..1 << 127) {
            let text = Amount::<6>(units).to_string();
            prop_assert_eq!(Decimal::new(&text).unwrap().units(6), Ok(units));
        }
    }
}
