//! What can come of a check, and what the process says about all of them.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// As it should be.
    #[serde(rename = "PASS")]
    Pass,
    /// What the text leaves open: a reading is recorded.
    #[serde(rename = "INFO")]
    Info,
    /// The target does not claim the profile, or what the requirement is about does not apply to it.
    #[serde(rename = "N/A")]
    NotApplicable,
    /// It failed, as the baseline expects.
    #[serde(rename = "XFAIL")]
    ExpectedFail,
    /// It could not be made: what it needs is not there.
    #[serde(rename = "UNTESTABLE")]
    Untestable,
    /// A `should` is broken.
    #[serde(rename = "WARN")]
    Warn,
    /// It passed although the baseline expects a failure.
    #[serde(rename = "XPASS")]
    UnexpectedPass,
    /// It came out differently when it was repeated.
    #[serde(rename = "FLAKY")]
    Flaky,
    /// A `must` is broken.
    #[serde(rename = "FAIL")]
    Fail,
    /// The judge itself went wrong.
    #[serde(rename = "ERROR")]
    Error,
}

impl Verdict {
    /// All, mildest first.
    pub const ALL: [Self; 10] = [
        Self::Pass,
        Self::Info,
        Self::NotApplicable,
        Self::ExpectedFail,
        Self::Untestable,
        Self::Warn,
        Self::UnexpectedPass,
        Self::Flaky,
        Self::Fail,
        Self::Error,
    ];

    /// As in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Info => "INFO",
            Self::NotApplicable => "N/A",
            Self::ExpectedFail => "XFAIL",
            Self::Untestable => "UNTESTABLE",
            Self::Warn => "WARN",
            Self::UnexpectedPass => "XPASS",
            Self::Flaky => "FLAKY",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
        }
    }

    /// Did the check see what the target does?
    #[must_use]
    pub fn is_executed(self) -> bool {
        !matches!(self, Self::NotApplicable | Self::Untestable | Self::Error)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// No unexpected failure, and at least one `must` was checked.
    Conformant,
    /// A `must` is broken, a profile is claimed and not served, or a check is flaky.
    Fail,
    /// Arguments or files that cannot be used.
    Usage,
    /// The target could not be reached, or died before the first case.
    Unreachable,
    /// The baseline expects failures that do not happen, or has expired.
    StaleBaseline,
    /// The judge itself went wrong.
    Harness,
    /// Nothing was selected, or no `must` could be checked.
    NothingExecuted,
    /// With `--strict`: a warning, or a `must` that could not be checked.
    Strict,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Conformant => 0,
            Self::Fail => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::StaleBaseline => 4,
            Self::Harness => 5,
            Self::NothingExecuted => 6,
            Self::Strict => 7,
        }
    }
}
