//! Why a verb did not end well, and the exit code of that.

use std::fmt;

/// Every way a verb can end other than well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The verdict on a node that is judged, with its own exit code.
    #[cfg(feature = "conform")]
    Conform(u8, String),
    /// What to run again to see an expectation fail; the expectation itself is among the results.
    #[cfg(feature = "sim")]
    Expectation(String),
    /// Arguments or files that cannot be used.
    Input(String),
    /// A mistake in a scenario, shown with its line.
    #[cfg(feature = "sim")]
    Scenario(String),
    /// Runs that should be equal are not.
    #[cfg(feature = "sim")]
    Nondeterminism(String),
    /// A machine or the simulator broke one of its own rules.
    #[cfg(feature = "sim")]
    Invariant(String),
    /// A node that cannot run or be reached, with its own exit code.
    #[cfg(feature = "node")]
    Node(u8, String),
    /// Something that is neither the user's fault nor a result.
    Internal(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            #[cfg(feature = "sim")]
            Self::Expectation(_) => 1,
            Self::Input(_) => 2,
            #[cfg(feature = "sim")]
            Self::Scenario(_) => 2,
            #[cfg(feature = "sim")]
            Self::Nondeterminism(_) => 3,
            #[cfg(feature = "sim")]
            Self::Invariant(_) => 4,
            #[cfg(feature = "conform")]
            Self::Conform(code, _) => *code,
            #[cfg(feature = "node")]
            Self::Node(code, _) => *code,
            Self::Internal(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sim")]
            Self::Expectation(text) => write!(f, "an expectation failed\n{text}"),
            #[cfg(feature = "sim")]
            Self::Scenario(text) | Self::Invariant(text) => f.write_str(text),
            #[cfg(feature = "conform")]
            Self::Conform(_, text) => f.write_str(text),
            Self::Input(text) => write!(f, "error: {text}"),
            #[cfg(feature = "node")]
            Self::Node(_, text) => write!(f, "error: {text}"),
            #[cfg(feature = "sim")]
            Self::Nondeterminism(text) => write!(f, "nondeterminism: {text}"),
            Self::Internal(error) => write!(f, "internal error: {error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}
