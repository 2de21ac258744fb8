//! Matchers: what a body in a case expects of what the target sent.
//!
//! A matcher is JSON. A plain value expects an equal value: numbers by exact decimal value, members in any order, and
//! **objects are open**: members that the matcher does not name are fine, because the text's own examples have some that its
//! signatures lack. Strings that begin with `$` and objects with one member that does are words; `conformance/cases/README.md`
//! lists them. [`Matcher::compile`] finds every mistake before anything runs; [`Matcher::check`] never panics.

mod check;
mod compile;
mod format;

use crate::json::{Json, Number};
use crate::level::Level;
use crate::value::{Expr, Template};

pub use check::{Checked, Finding, Weight};
pub use compile::MatcherError;

/// What is expected of a value.
#[derive(Clone, Debug)]
pub struct Matcher {
    kind: Kind,
    /// As written, to be shown.
    source: Json,
}

/// A requirement that a part of a message is about, with a level if it is not the registry's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Cite {
    /// Its id, such as `HSP-4.2-11`.
    pub id: String,
    /// How binding, if the case says so. It may be weaker than the registry's, never stronger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Equal to this.
    Literal(Json),
    /// Equal to what this comes to.
    Value(Template),
    /// As near as sums of doubles come to what this comes to, or within so much.
    Near(Template, Option<Number>),
    Object {
        members: Vec<(String, Matcher)>,
        closed: bool,
    },
    Array(Vec<Matcher>),
    Bind {
        name: String,
        append: bool,
        is: Box<Matcher>,
    },
    Type(Type),
    Num(Range),
    Enum(Vec<Json>),
    Time {
        utc: bool,
        ms: bool,
    },
    Each(Box<Matcher>),
    Keys(Box<Matcher>),
    Len(Range),
    Contains(Box<Matcher>),
    /// The value itself or one within it, however deep.
    Somewhere(Box<Matcher>),
    Text {
        part: String,
        place: Place,
    },
    Superset(Vec<Json>),
    Sorted {
        by: Vec<String>,
        descending: bool,
    },
    Unique {
        by: Vec<String>,
    },
    Count {
        is: Box<Matcher>,
        range: Range,
    },
    Optional(Box<Matcher>),
    Absent,
    AnyOf(Vec<Matcher>),
    AllOf(Vec<Matcher>),
    Not(Box<Matcher>),
    Should(Box<Matcher>),
    Info(Box<Matcher>),
    About(Vec<Cite>, Box<Matcher>),
    Expr(Expr),
}

/// Where a text has to have a part.
#[derive(Clone, Copy, Debug)]
enum Place {
    Start,
    End,
    Anywhere,
}

/// Kinds of values that need no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Any,
    Null,
    Bool,
    Number,
    Int,
    String,
    Nonempty,
    Opaque,
    Array,
    Object,
    PeerId,
}

/// Bounds of a number or a length.
#[derive(Clone, Debug, Default)]
struct Range {
    min: Option<Template>,
    max: Option<Template>,
    above: Option<Template>,
    below: Option<Template>,
    whole: bool,
}

impl Matcher {
    /// As written.
    #[must_use]
    pub fn source(&self) -> &Json {
        &self.source
    }

    /// The requirements that parts of it are about (`$about`), in order, each once.
    #[must_use]
    pub fn cites(&self) -> Vec<&Cite> {
        let mut found: Vec<&Cite> = Vec::new();
        self.visit(&mut |matcher| {
            if let Kind::About(cites, _) = &matcher.kind {
                for cite in cites {
                    if !found.contains(&cite) {
                        found.push(cite);
                    }
                }
            }
        });
        found
    }

    /// The variables that it binds.
    #[must_use]
    pub fn binds(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(&mut |matcher| {
            if let Kind::Bind { name, .. } = &matcher.kind {
                found.push(name.as_str());
            }
        });
        found
    }

    /// The variables that it compares with.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(&mut |matcher| match &matcher.kind {
            Kind::Value(template) | Kind::Near(template, _) => found.extend(template.variables()),
            Kind::Expr(expr) => found.extend(expr.variables()),
            Kind::Num(range) | Kind::Len(range) | Kind::Count { range, .. } => {
                let bounds = [&range.min, &range.max, &range.above, &range.below];
                found.extend(bounds.into_iter().flatten().flat_map(Template::variables));
            }
            _ => {}
        });
        found
    }

    /// Does it compare with an amount in units of the arranged budget?
    #[must_use]
    pub fn is_scaled(&self) -> bool {
        let mut scaled = false;
        self.visit(&mut |matcher| match &matcher.kind {
            Kind::Value(template) | Kind::Near(template, _) => scaled |= template.is_scaled(),
            Kind::Num(range) | Kind::Len(range) | Kind::Count { range, .. } => {
                let bounds = [&range.min, &range.max, &range.above, &range.below];
                scaled |= bounds.into_iter().flatten().any(Template::is_scaled);
            }
            _ => {}
        });
        scaled
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match &self.kind {
            Kind::Object { members, .. } => members.iter().for_each(|(_, matcher)| matcher.visit(see)),
            Kind::Array(items) | Kind::AnyOf(items) | Kind::AllOf(items) => {
                items.iter().for_each(|matcher| matcher.visit(see));
            }
            Kind::Bind { is, .. }
            | Kind::Each(is)
            | Kind::Keys(is)
            | Kind::Contains(is)
            | Kind::Somewhere(is)
            | Kind::Count { is, .. }
            | Kind::Optional(is)
            | Kind::Not(is)
            | Kind::Should(is)
            | Kind::Info(is)
            | Kind::About(_, is) => is.visit(see),
            Kind::Literal(_)
            | Kind::Value(_)
            | Kind::Near(..)
            | Kind::Type(_)
            | Kind::Num(_)
            | Kind::Enum(_)
            | Kind::Time { .. }
            | Kind::Len(_)
            | Kind::Text { .. }
            | Kind::Superset(_)
            | Kind::Sorted { .. }
            | Kind::Unique { .. }
            | Kind::Absent
            | Kind::Expr(_) => {}
        }
    }
}

crate::value::as_written!(
    Matcher,
    "Matcher",
    "what is expected; strings and one-member objects that begin with $ are words"
);

#[cfg(test)]
mod tests;
