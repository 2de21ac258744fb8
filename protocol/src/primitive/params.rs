//! The kinds of values that parameters are made of: each knows its bounds, so a parameter that parses is valid, and its
//! JSON Schema says the same bounds.

use core::fmt;
use core::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::{Code, Error};

/// Parses the parameters of a method; none is the same as `{}` (decision J4). Unknown members are ignored (J5).
///
/// # Errors
/// [`Code::InvalidParams`], naming the parameter (decision J14).
pub(crate) fn parse<T: DeserializeOwned>(params: Option<&str>) -> Result<T, Error> {
    let params = params.unwrap_or("{}");
    // An array would fill the members in their order (decision J4).
    if params.trim_start().starts_with('[') {
        return Err(Error::new(Code::InvalidParams, "params: must be an object"));
    }
    let mut json = serde_json::Deserializer::from_str(params);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let text = error.inner().to_string();
        let text = text.rsplit_once(" at line ").map_or(&text[..], |(text, _)| text);
        let mut path = error.path().to_string();
        if let Some((_, rest)) = text.split_once("missing field `") {
            let name = rest.split('`').next().unwrap_or_default();
            path = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
        }
        if path == "." {
            return Error::new(Code::InvalidParams, format!("params: {text}"));
        }
        Error::param(&path, text)
    })
}

/// Text of `MIN` to `MAX` bytes of UTF-8. JSON Schema counts characters, so its `maxLength` is no bound on these: the schema
/// has `x-maxBytes` instead, and `minLength` only where there must be something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Text<const MIN: usize, const MAX: usize>(Box<str>);

/// Most bytes of an id, a key or another name. Ids are opaque (decision P1); ours are far shorter.
pub(super) const NAME_MAX: usize = 256;

/// An id, a key or another name that may not be empty.
pub type Name = Text<1, NAME_MAX>;
/// A description or the like.
pub type Note = Text<0, 4096>;

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Takes `text` if its length is in range.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, String> {
        let text = text.into();
        match text.len() {
            0 if MIN > 0 => Err("must not be empty".to_owned()),
            len if len < MIN => Err(format!("has {len} bytes, must have at least {MIN}")),
            len if len > MAX => Err(format!("has {len} bytes, must have at most {MAX}")),
            _ => Ok(Self(text)),
        }
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Text<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Box::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<const MIN: usize, const MAX: usize> JsonSchema for Text<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Text{MIN}To{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let least = MIN.min(1);
        json_schema!({ "type": "string", "minLength": least, "x-maxBytes": MAX })
    }
}

/// A whole number from `MIN` to `MAX`; `5.0` is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Takes `number` if it is in range.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(number: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(format!("is {number}, must be a whole number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Whole<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(Number)?;
        // Below 2^53 every whole float is exact.
        if number.fract() != 0.0 || !(0.0..=9_007_199_254_740_991.0).contains(&number) {
            return Err(D::Error::custom(format!("is {number}, must be a whole number from {MIN} to {MAX}")));
        }
        Self::new(number as u64).map_err(D::Error::custom)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Whole{MIN}To{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Real<const MIN: i64, const MAX: i64>(f64);

/// A reward: from -1 (worst) to 1 (best) (spec 4.1).
pub type Reward = Real<-1, 1>;
/// A share, a reputation or a similarity.
pub type Share = Real<0, 1>;

impl<const MIN: i64, const MAX: i64> Real<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Takes `number` if it is in range.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(number: f64) -> Result<Self, String> {
        if (MIN as f64..=MAX as f64).contains(&number) {
            return Ok(Self(number));
        }
        Err(format!("is {number}, must be from {MIN} to {MAX}"))
    }
}

impl<const MIN: i64, const MAX: i64> Serialize for Real<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Real<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(deserializer.deserialize_any(Number)?).map_err(D::Error::custom)
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Real<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Real{MIN}To{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": MIN, "maximum": MAX })
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }
    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }
    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }
}

/// Any JSON value, kept as it was written. What has the grammar of JSON but cannot be read (numbers beyond a double, halves of
/// surrogate pairs, more than 127 values in each other) is refused, so that nothing passes for less than it is.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str::<serde_json::Value>(raw.get()) {
            Ok(_) => Ok(Self(raw)),
            Err(error) => Err(D::Error::custom(format!("cannot be read: {error}"))),
        }
    }
}

impl Json {
    /// Writes `value` as JSON.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("plain data"))
    }

    /// Its text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value, with numbers as serde_json reads them.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(self.get()).expect("it was read before")
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::from(true)
    }
}

/// A JSON object, kept as it was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(Json);

impl Object {
    /// Its text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Its members.
    pub fn members(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(self.get()).expect("it was read before")
    }

    /// One of its members, if that is a string.
    pub fn text(&self, member: &str) -> Option<String> {
        Some(self.members().get(member)?.as_str()?.to_owned())
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        if json.get().starts_with('{') {
            return Ok(Self(json));
        }
        Err(D::Error::custom("must be an object"))
    }
}

impl JsonSchema for Object {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Object".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
