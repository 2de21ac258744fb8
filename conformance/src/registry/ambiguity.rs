//! Where the text can be read in more than one way: `ambiguities.toml`.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::DataError;

/// A question that the text leaves open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Ambiguity {
    /// `A-01` and so on. Never used again for something else.
    pub id: String,
    /// The clause in which the question comes up.
    pub clause: String,
    /// What the text does not settle.
    pub question: String,
    /// The answers that we can think of.
    pub readings: Vec<String>,
    /// The one that is tried first and that our own node keeps; one of `readings`.
    pub default: String,
    /// The requirements whose cases show which reading a node took.
    pub reveals: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ambiguity: Vec<Ambiguity>,
}

/// Reads a file of ambiguities.
///
/// # Errors
/// It is not TOML of this form.
pub fn parse_ambiguities(text: &str) -> Result<Vec<Ambiguity>, DataError> {
    Ok(toml::from_str::<File>(text)?.ambiguity)
}

static AMBIGUITIES: LazyLock<Vec<Ambiguity>> = LazyLock::new(|| {
    parse_ambiguities(include_str!("../../ambiguities.toml"))
        .unwrap_or_else(|error| panic!("the embedded ambiguities.toml: {error}"))
});

/// All ambiguities, in the order of their ids.
#[must_use]
pub fn ambiguities() -> &'static [Ambiguity] {
    &AMBIGUITIES
}
