//! What the specification demands, as data: requirements, methods, ambiguities and examples, all embedded in the binary, and
//! the lints that hold them to the pinned text and to each other.
//!
//! The files are `requirements/hyperspace.toml`, `methods.toml`, `ambiguities.toml` and `examples/index.toml`; each begins with
//! what its keys mean. They are read once. A mistake in them is a mistake of ours, which the tests find, so reading them here
//! does not fail; `parse` functions read other files and do.

mod ambiguity;
mod example;
pub mod lint;
mod method;
mod requirement;

use core::fmt;

pub use ambiguity::{Ambiguity, ambiguities, parse_ambiguities};
pub use example::{Example, ExampleKind, example, examples, parse_examples};
pub use method::{Field, Kind, Method, SessionUse, method, methods, parse_methods};
pub use requirement::{
    Basis, Observe, Profile, Requirement, Role, by_profile, parse_requirements, requirement, requirements,
};

/// Why a registry file cannot be used: what is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataError(String);

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for DataError {}

impl From<toml::de::Error> for DataError {
    /// With the line that is wrong.
    fn from(error: toml::de::Error) -> Self {
        Self(error.to_string())
    }
}
