//! Values that are made while a case runs: variables, amounts scaled to the limit of the node under test, arithmetic, and
//! texts too long for a file. A [`Template`] is JSON in which some strings and one-member objects stand for such values.

mod expr;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::json::{Decimal, Json};

pub use expr::{Expr, ExprError};
pub use template::{Template, TemplateError};

/// What a case has learned so far.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    // Shared, because trying whether something fits copies what is known.
    vars: BTreeMap<String, Arc<Json>>,
    scale: Option<Decimal>,
}

impl Scope {
    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.vars.get(name).map(Arc::as_ref)
    }

    /// Gives a variable a value; an earlier one is replaced.
    pub fn set(&mut self, name: impl Into<String>, value: Json) {
        self.vars.insert(name.into(), Arc::new(value));
    }

    /// Appends to a variable that is an array, or begins one.
    pub fn append(&mut self, name: &str, value: Json) {
        match self.vars.get_mut(name).map(Arc::make_mut) {
            Some(Json::Array(items)) => items.push(value),
            _ => self.set(name, Json::Array(vec![value])),
        }
    }

    /// What one unit of a scaled amount is worth here: `{"$L": 0.88}` is 0.88 times this. None until a budget is arranged.
    #[must_use]
    pub fn scale(&self) -> Option<Decimal> {
        self.scale
    }

    /// Sets the worth of one unit of scaled amounts.
    pub fn set_scale(&mut self, scale: Decimal) {
        self.scale = Some(scale);
    }
}

/// Is this the name of a variable: a capital letter, then letters, digits and underscores?
#[must_use]
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Follows member names and array indices.
#[must_use]
pub fn follow<'a>(value: &'a Json, path: &[String]) -> Option<&'a Json> {
    path.iter().try_fold(value, |value, name| match value {
        Json::Array(_) => value.at(name.parse().ok()?),
        _ => value.get(name),
    })
}

/// Gives a type that is compiled from JSON the serde traits and a schema: in a file it is the JSON that it was written as.
macro_rules! as_written {
    ($type:ty, $name:literal, $about:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self.source(), serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let json = <crate::json::Json as serde::Deserialize>::deserialize(deserializer)?;
                Self::compile(&json).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "description": $about })
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.source() == other.source()
            }
        }
    };
}
pub(crate) use as_written;

as_written!(
    Template,
    "Template",
    "JSON to send; strings and one-member objects that begin with $ are filled in"
);
