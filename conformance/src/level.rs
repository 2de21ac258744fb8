//! How binding a requirement is.

use serde::{Deserialize, Serialize};

/// How binding a requirement is. The text has no such words itself; each level is a judgement that the registry justifies.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What the text leaves open: a reading is recorded, nothing can fail.
    Info,
    /// Permitted: nothing can fail.
    May,
    /// A violation is a warning.
    Should,
    /// A violation is a failure.
    Must,
}

impl Level {
    /// The level of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::May, Self::Should, Self::Must].into_iter().find(|level| level.name() == text)
    }

    /// As in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::May => "may",
            Self::Should => "should",
            Self::Must => "must",
        }
    }
}
