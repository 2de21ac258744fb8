//! The 44 methods, as the text gives them: `methods.toml`.
//!
//! The judge's own table, from which cases about parameters and mutants of results are made. A lint compares every row with
//! its signature in the text ([`super::lint::methods`]).

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Basis, DataError, Profile};

/// A JSON type.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A string.
    String,
    /// A number.
    Number,
    /// A number without a fraction, however it is written: `1.0` is one.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
    /// Anything, or the text does not say.
    Json,
}

impl Kind {
    /// Whether a value is of this type.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|v| v % 1.0 == 0.0)
            }
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Json => true,
        }
    }

    /// A value that is plainly of another type: not a number where a lenient node may read a text, nor the other way round.
    /// `None` where every value will do.
    #[must_use]
    pub fn ill_typed(self) -> Option<Value> {
        match self {
            Self::String | Self::Array => Some(json!({"not": "this type"})),
            Self::Number | Self::Integer | Self::Boolean => Some(json!([])),
            Self::Object => Some(json!(["not this type"])),
            Self::Json => None,
        }
    }
}

/// A parameter, or a member of a result.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// How its type is known: stated, by an example, or implied by its name.
    pub basis: Basis,
    /// The only values that it takes, if the text lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The least number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The type of an array's items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Kind>,
    /// The members of an array's items, where the items are objects and an example shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Self>,
    /// Whether it is in an example and not in the signature.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub extra: bool,
    /// What a parameter is the id of: session, tool, memory, playbook, bullet, trajectory or channel. A call needs one that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers: Option<String>,
    /// A value that a method accepts, where the type alone does not give one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Value>,
}

impl Field {
    /// A value that a method accepts here, if it is no id.
    #[must_use]
    pub fn valid(&self) -> Option<Value> {
        if self.refers.is_some() {
            return None;
        }
        Some(match (&self.sample, self.values.first(), self.kind) {
            (Some(sample), _, _) => sample.clone(),
            (None, Some(value), _) => json!(value),
            (None, None, Kind::String | Kind::Json) => json!("text"),
            (None, None, Kind::Number | Kind::Integer) => json!(1),
            (None, None, Kind::Boolean) => json!(true),
            (None, None, Kind::Object) => json!({}),
            (None, None, Kind::Array) => json!([]),
        })
    }

    /// Whether a value is of its type, one of its values and within its range; an array's items too.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        let in_values =
            self.values.is_empty() || value.as_str().is_some_and(|v| self.values.iter().any(|w| w == v));
        let in_range =
            value.as_f64().is_none_or(|v| self.min.is_none_or(|m| v >= m) && self.max.is_none_or(|m| v <= m));
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let items_fit = items.iter().all(|item| {
            self.item.is_none_or(|kind| kind.accepts(item))
                && self
                    .items
                    .iter()
                    .all(|field| item.get(&field.name).map_or(!field.required, |v| field.accepts(v)))
        });
        self.kind.accepts(value) && in_values && in_range && items_fit
    }
}

/// Whether a method's parameters name a session.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum SessionUse {
    /// They must.
    Required,
    /// They may.
    Optional,
    /// They do not.
    None,
}

/// A method of the text.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its whole name.
    pub name: String,
    /// The primitive that it belongs to, which is also the profile to claim.
    pub primitive: Profile,
    /// Where its signature stands.
    pub clause: String,
    /// The line of the text.
    pub signature: String,
    /// Whether its parameters name a session.
    pub session: SessionUse,
    /// The requirement that says what its result looks like.
    pub shape: String,
    /// Its parameters, in the order of the signature.
    pub params: Vec<Field>,
    /// The members of its result; empty if the text only names the result.
    pub result: Vec<Field>,
    /// The name that the text gives to a result without saying what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
}

impl Method {
    /// The parameter of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Field> {
        self.params.iter().find(|field| field.name == name)
    }

    /// The member of its result of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Field> {
        self.result.iter().find(|field| field.name == name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    method: Vec<Method>,
}

/// Reads a table of methods. What it claims about the text is not checked: see [`super::lint::methods`].
///
/// # Errors
/// It is not TOML of this form.
pub fn parse_methods(text: &str) -> Result<Vec<Method>, DataError> {
    Ok(toml::from_str::<File>(text)?.method)
}

static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    parse_methods(include_str!("../../methods.toml"))
        .unwrap_or_else(|error| panic!("the embedded methods.toml: {error}"))
});

/// All methods, in the order of the text.
#[must_use]
pub fn methods() -> &'static [Method] {
    &METHODS
}

/// The method of this name.
#[must_use]
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_44_methods_of_eight_primitives() {
        let count = |p| methods().iter().filter(|m| m.primitive == p).count();
        assert_eq!(Profile::ALL.map(count), [6, 6, 5, 6, 4, 6, 6, 5, 0, 0, 0, 0, 0]);
        let sessions = |session| methods().iter().filter(|m| m.session == session).count();
        assert_eq!((sessions(SessionUse::Required), sessions(SessionUse::Optional)), (13, 3));
        assert_eq!(method("memory.archive").unwrap().member("tier").unwrap().values, ["archival"]);
        assert!(method("memory.Archive").is_none());
    }

    #[test]
    fn every_field_takes_its_valid_value_and_not_an_ill_typed_one() {
        for method in methods() {
            for field in &method.params {
                let place = format!("{}({})", method.name, field.name);
                assert_eq!(field.valid().is_none(), field.refers.is_some(), "{place}");
                assert!(field.valid().is_none_or(|value| field.accepts(&value)), "{place}");
                assert!(field.kind.ill_typed().is_none_or(|value| !field.accepts(&value)), "{place}");
            }
        }
    }

    #[test]
    fn fields_look_at_values_ranges_and_items() {
        let reward = method("state.recordEpisode").unwrap().param("reward").unwrap();
        assert!(reward.accepts(&json!(-1)) && reward.accepts(&json!(1.0)) && !reward.accepts(&json!(1.01)));
        let section = method("learning.addBullet").unwrap().param("section").unwrap();
        assert!(section.accepts(&json!("mis")) && !section.accepts(&json!("mistake")));
        let tools = method("tool.discover").unwrap().member("tools").unwrap();
        assert!(
            tools.accepts(&json!([]))
                && !tools.accepts(&json!([{"id": "t"}]))
                && !tools.accepts(&json!(["t"]))
        );
        assert!(Kind::Integer.accepts(&json!(3.0)) && !Kind::Integer.accepts(&json!(3.5)));
    }
}
