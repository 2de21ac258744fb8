//! Numbers by their exact decimal value: comparison of any two JSON numbers without rounding, and arithmetic on those of
//! everyday size.

use core::cmp::Ordering;
use core::fmt;

/// A JSON number, as written. Equality and order are by value: `1.0`, `1` and `10e-1` are equal.
#[derive(Clone)]
pub struct Number(String);

impl Number {
    /// A number, if `text` is one by the grammar of JSON.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (length(text.as_bytes()) == Some(text.len())).then(|| Self(text.to_owned()))
    }

    /// An integer.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        Self(value.to_string())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Its value, if it is an integer that fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        let decimal = self.decimal()?.normal();
        if decimal.exponent < 0 {
            return None;
        }
        let scale = 10_i128.checked_pow(u32::try_from(decimal.exponent).ok()?)?;
        i64::try_from(decimal.mantissa.checked_mul(scale)?).ok()
    }

    /// Is the value a whole number? `1.0` and `1e3` are.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let parts = Parts::of(&self.0);
        parts.digits.is_empty() || parts.exponent >= 0
    }

    /// For arithmetic, if it is of everyday size: at most 30 digits, an exponent within 60.
    #[must_use]
    pub fn decimal(&self) -> Option<Decimal> {
        let parts = Parts::of(&self.0);
        if parts.digits.len() > 30 {
            return None;
        }
        let mantissa: i128 = if parts.digits.is_empty() { 0 } else { parts.digits.parse().ok()? };
        let exponent = i32::try_from(parts.exponent).ok().filter(|exponent| exponent.abs() <= 60);
        let exponent = if mantissa == 0 { 0 } else { exponent? };
        Some(Decimal { mantissa: if parts.negative { -mantissa } else { mantissa }, exponent })
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (Parts::of(&self.0), Parts::of(&other.0));
        match (a.sign(), b.sign()) {
            (x, y) if x != y => x.cmp(&y),
            (0, _) => Ordering::Equal,
            (1, _) => a.size(&b),
            _ => b.size(&a),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number taken apart: significant digits without zeros at either end, times ten to the exponent.
struct Parts {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Parts {
    fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent that is too long for 64 bits is cut: such a value is as good as infinite, or zero.
        let exponent =
            exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -1 << 60 } else { 1 << 60 });
        let exponent =
            exponent.clamp(-(1 << 60), 1 << 60) - i64::try_from(fraction.len()).unwrap_or(i64::MAX / 4);
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - kept.len()).unwrap_or(0);
        Self { negative, digits: kept.to_owned(), exponent: exponent + zeros }
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Compares what is left without the sign; neither is zero.
    fn size(&self, other: &Self) -> Ordering {
        let magnitude =
            |parts: &Self| parts.exponent + i64::try_from(parts.digits.len()).unwrap_or(i64::MAX / 4);
        magnitude(self).cmp(&magnitude(other)).then_with(|| self.digits.cmp(&other.digits))
    }
}

/// How many bytes at the beginning are a JSON number.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = if at <= bytes.len() { digits(at) } else { 0 };
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// An exact decimal for arithmetic: `mantissa * 10^exponent`. What does not fit gives `None`, never a wrong digit.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// One.
    pub const ONE: Self = Self { mantissa: 1, exponent: 0 };

    fn normal(self) -> Self {
        let Self { mut mantissa, mut exponent } = self;
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Self { mantissa, exponent: if mantissa == 0 { 0 } else { exponent } }
    }

    /// Both with one exponent.
    fn aligned(self, other: Self) -> Option<(i128, i128, i32)> {
        let (a, b) = (self.normal(), other.normal());
        let exponent = a.exponent.min(b.exponent);
        let raise = |value: Self| {
            let steps = u32::try_from(value.exponent - exponent).ok()?;
            value.mantissa.checked_mul(10_i128.checked_pow(steps)?)
        };
        Some((raise(a)?, raise(b)?, exponent))
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = self.aligned(other)?;
        Some(Self { mantissa: a.checked_add(b)?, exponent })
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { mantissa: other.mantissa.checked_neg()?, ..other })
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let (a, b) = (self.normal(), other.normal());
        Some(Self {
            mantissa: a.mantissa.checked_mul(b.mantissa)?,
            exponent: a.exponent.checked_add(b.exponent)?,
        })
    }

    /// The quotient, to 20 digits.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        let (mut a, b) = (self.normal(), other.normal());
        let mut digits = 0;
        while a.mantissa % b.mantissa.max(1) != 0 && digits < 20 {
            a.mantissa = a.mantissa.checked_mul(10)?;
            a.exponent -= 1;
            digits += 1;
        }
        Some(Self { mantissa: a.mantissa.checked_div(b.mantissa)?, exponent: a.exponent - b.exponent })
    }

    /// Compares exactly.
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        self.number().cmp(&other.number())
    }

    /// Is it above zero?
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.mantissa > 0
    }

    /// The distance to `other` is at most `most`.
    #[must_use]
    pub fn within(self, other: Self, most: Self) -> bool {
        let Some(distance) = self.minus(other) else { return false };
        let distance = Self { mantissa: distance.mantissa.saturating_abs(), ..distance };
        distance.compare(most) != Ordering::Greater
    }

    /// Equal, or as near as sums of doubles come: one part in 10^9 of the greater one, or 10^-9.
    #[must_use]
    pub fn near(self, other: Self) -> bool {
        let tolerance = Self { mantissa: 1, exponent: -9 };
        let size = |value: Self| Self { mantissa: value.mantissa.saturating_abs(), ..value };
        let (a, b) = (size(self), size(other));
        let greater = if a.compare(b) == Ordering::Greater { a } else { b };
        let relative = greater.times(tolerance).unwrap_or(tolerance);
        self.within(
            other,
            if relative.compare(tolerance) == Ordering::Greater { relative } else { tolerance },
        )
    }

    /// As a JSON number, in plain notation where that is short.
    #[must_use]
    pub fn number(self) -> Number {
        let Self { mantissa, exponent } = self.normal();
        let digits = mantissa.unsigned_abs().to_string();
        let sign = if mantissa < 0 { "-" } else { "" };
        let text = match exponent {
            0..=20 => format!("{sign}{digits}{}", "0".repeat(exponent.unsigned_abs() as usize)),
            -40..0 => {
                let places = exponent.unsigned_abs() as usize;
                let padded = format!("{digits:0>width$}", width = places + 1);
                let (whole, fraction) = padded.split_at(padded.len() - places);
                format!("{sign}{whole}.{fraction}")
            }
            _ => format!("{sign}{digits}e{exponent}"),
        };
        Number(text)
    }
}

impl serde::Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::Json::Number(self.clone()).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match super::Json::deserialize(deserializer)? {
            super::Json::Number(number) => Ok(number),
            other => Err(serde::de::Error::custom(format!("{} where a number should be", other.kind()))),
        }
    }
}

impl schemars::JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExactNumber".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}
