//! JSON as a judge needs it: numbers keep the text they came in, so that `4.994` and `4.9940` are equal and
//! `4.994000000000000001` is not; members keep their order; a document that is too deep is an error, not a stack overflow.
//!
//! Read with [`Json::parse`], write with [`Display`](fmt::Display). Equality is by value: numbers by their exact decimal
//! value, objects without regard to order.

mod number;
mod read;

use core::fmt;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

pub use number::{Decimal, Number};
pub use read::{DEPTH_MAX, JsonError};

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object: members in the order in which they came. Of members with one name the last counts.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Reads one JSON document.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        read::document(text)
    }

    /// Reads the document at the beginning of `text`; gives its length in bytes too.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse_prefix(text: &str) -> Result<(Self, usize), JsonError> {
        read::prefix(text)
    }

    /// A string.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An integer.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        Self::Number(Number::integer(value))
    }

    /// An object of these members.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The member `name`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members()?.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The item at `index`, if this is an array that has it.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&Self> {
        self.items()?.get(index)
    }

    /// The members, if this is an object.
    #[must_use]
    pub fn members(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if this is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The truth, if this is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// What kind of value this is, with its article: `a string`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The text, cut after about `most` characters, for messages.
    #[must_use]
    pub fn brief(&self, most: usize) -> String {
        let mut brief = Brief { text: String::new(), left: most };
        if fmt::write(&mut brief, format_args!("{self}")).is_err() {
            brief.text.push_str("...");
        }
        brief.text
    }
}

/// Takes so many characters and no more, so that a huge value costs little to show.
struct Brief {
    text: String,
    left: usize,
}

impl fmt::Write for Brief {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for letter in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(letter);
        }
        Ok(())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => same_members(a, b),
            _ => false,
        }
    }
}

impl Eq for Json {}

/// Sorted by name, the last of equal names alone: two big objects are compared in reasonable time.
fn same_members(a: &[(String, Json)], b: &[(String, Json)]) -> bool {
    fn sorted(members: &[(String, Json)]) -> BTreeMap<&str, &Json> {
        members.iter().map(|(name, value)| (name.as_str(), value)).collect()
    }
    sorted(a) == sorted(b)
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => f.write_str(number.as_str()),
            Self::String(text) => quoted(f, text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    quoted(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if control < ' ' || control == '\u{7f}' => write!(f, "\\u{:04x}", u32::from(control))?,
            other => fmt::Write::write_char(f, other)?,
        }
    }
    f.write_str("\"")
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyJson".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!(true)
    }
}

#[cfg(test)]
pub(crate) mod tests;
