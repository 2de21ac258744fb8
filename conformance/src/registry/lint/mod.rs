//! Lints: what must hold between the registry, the pinned text and the cases. Each gives findings and never stops at the first.
//!
//! The tests of this crate run them over the embedded files; `coverage` runs them for people. [`cases()`] knows of a case only
//! what [`CaseFacts`] says, so that it depends neither on the form of case files nor on the runner.

mod cases;
mod signature;
mod text;

use core::fmt;

pub use cases::{CaseFacts, cases};
pub use signature::methods;
pub use text::{ambiguities, requirements};

/// What a finding breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// Ids have the form `HSP-clause-number` (or `A-number`), fit their clause and occur once.
    Id,
    /// A clause exists in the text.
    Clause,
    /// A quote occurs in the text and is more than a heading.
    Quote,
    /// A row says what it has to say, and nothing that contradicts it.
    Row,
    /// A method is what its signature in the text says.
    Signature,
    /// What is referred to exists.
    Reference,
    /// A case cites a requirement.
    CitesSomething,
    /// A MUST has a case that judges it as a MUST, or a reason for having none.
    MustHasCase,
    /// An excluded requirement has no case.
    ExcludedHasCase,
    /// A requirement with an error code has a case that asserts that code.
    CodeIsAsserted,
    /// A case never judges more strictly than the requirement: a MAY can never fail.
    NotStricter,
    /// A negative case has a twin: a positive case that differs from it in what is refused.
    NegativeHasTwin,
}

/// Something that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The id of the requirement, ambiguity or case, or the name of the method.
    pub subject: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

/// Findings as they are collected.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, subject: &str, message: impl Into<String>) {
        self.0.push(Finding { rule, subject: subject.to_owned(), message: message.into() });
    }

    /// Adds a finding unless `holds`.
    fn check(&mut self, holds: bool, rule: Rule, subject: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, subject, message());
        }
    }
}

#[cfg(test)]
mod tests;
