//! Holding a value against a matcher.

use core::cmp::Ordering;
use core::fmt::Write as _;
use std::collections::BTreeSet;

use crate::json::{Json, Number};
use crate::value::{Scope, Template, follow};

use super::{Cite, Kind, Matcher, Place, Range, Type, format};

/// Findings of one check, at most: a flood of mismatches says no more than the first few.
const FINDINGS_MAX: usize = 32;
/// Characters of a value shown in a finding, at most.
const SHOWN: usize = 300;

/// What a finding does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A reading of what the text leaves open; recorded.
    Info,
    /// At most a warning.
    Should,
    /// As grave as the requirement's level.
    Mismatch,
}

/// Something that a check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where in the message, such as `$.result.tools[0].id`.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub actual: String,
    /// What it does to the verdict.
    pub weight: Weight,
    /// The requirements it is about, if not those of the step.
    pub about: Vec<Cite>,
}

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What it saw. Nothing if everything fits.
    pub findings: Vec<Finding>,
    /// The requirements of parts (`$about`) that were there to be looked at.
    pub seen: Vec<Cite>,
}

impl Checked {
    /// Does it fit, warnings aside?
    #[must_use]
    pub fn fits(&self) -> bool {
        self.findings.iter().all(|finding| finding.weight != Weight::Mismatch)
    }
}

impl Matcher {
    /// Holds `actual` against this; `scope` gets what is bound.
    #[must_use]
    pub fn check(&self, actual: &Json, scope: &mut Scope) -> Checked {
        let mut check = Check { scope, done: Checked::default(), weight: Weight::Mismatch, about: &[] };
        check.value(self, actual, &mut Path::default());
        check.done
    }
}

/// A path that grows and shrinks in place.
#[derive(Default)]
struct Path(String);

impl Path {
    fn inside<T>(&mut self, part: core::fmt::Arguments<'_>, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.0.len();
        let _ = self.0.write_fmt(part);
        let done = work(self);
        self.0.truncate(length);
        done
    }
}

struct Check<'a> {
    scope: &'a mut Scope,
    done: Checked,
    weight: Weight,
    about: &'a [Cite],
}

/// A member name as part of a path.
struct Member<'a>(&'a str);

impl core::fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let short = (1..=60).contains(&self.0.len());
        let plain = short && self.0.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if plain { write!(f, ".{}", self.0) } else { write!(f, "[{}]", Json::string(self.0).brief(60)) }
    }
}

impl<'a> Check<'a> {
    fn miss(&mut self, path: &Path, expected: impl Into<String>, actual: impl Into<String>) {
        self.report(path, expected.into(), actual.into(), self.weight);
    }

    fn report(&mut self, path: &Path, expected: String, actual: String, weight: Weight) {
        if self.done.findings.len() < FINDINGS_MAX {
            let path = format!("${}", path.0);
            self.done.findings.push(Finding { path, expected, actual, weight, about: self.about.to_vec() });
        }
    }

    fn unlike(&mut self, path: &Path, expected: impl Into<String>, actual: &Json) {
        let actual = match actual {
            Json::Null | Json::Bool(_) | Json::Number(_) => actual.brief(SHOWN),
            _ => format!("{} ({})", actual.brief(SHOWN), actual.kind()),
        };
        self.miss(path, expected, actual);
    }

    /// Does it fit, without leaving findings or bindings behind?
    fn would_fit(&mut self, matcher: &Matcher, actual: &Json) -> bool {
        matcher.check(actual, &mut self.scope.clone()).fits()
    }

    fn with(&mut self, weight: Weight, about: &'a [Cite], work: impl FnOnce(&mut Self)) {
        let before = (self.weight, self.about);
        self.weight = self.weight.min(weight);
        if !about.is_empty() {
            self.about = about;
            for cite in about {
                if !self.done.seen.contains(cite) {
                    self.done.seen.push(cite.clone());
                }
            }
        }
        work(self);
        (self.weight, self.about) = before;
    }

    /// Holds a member that may be missing against its matcher.
    fn member(&mut self, matcher: &'a Matcher, actual: Option<&Json>, path: &mut Path) {
        match (&matcher.kind, actual) {
            (Kind::Absent | Kind::Optional(_), None) => {}
            (Kind::Absent, Some(value)) => self.unlike(path, "no such member", value),
            (Kind::Should(is), actual) => {
                self.with(Weight::Should, &[], |check| check.member(is, actual, path))
            }
            (Kind::Info(is), None) => self.with(Weight::Info, &[], |check| {
                check.miss(path, "recorded", "absent");
                check.member(is, None, path);
            }),
            (Kind::About(cites, is), actual) => {
                self.with(Weight::Mismatch, cites, |check| check.member(is, actual, path));
            }
            (Kind::AnyOf(choices), None) if choices.iter().any(|choice| choice.takes_nothing()) => {}
            (Kind::AllOf(parts), None) => parts.iter().for_each(|part| self.member(part, None, path)),
            (_, None) => {
                let expected = matcher.describe(self.scope);
                self.miss(path, expected, "absent");
            }
            (_, Some(value)) => self.value(matcher, value, path),
        }
    }

    fn value(&mut self, matcher: &'a Matcher, actual: &Json, path: &mut Path) {
        match &matcher.kind {
            Kind::Object { members, closed } => self.object(members, *closed, actual, path),
            Kind::Array(items) => self.array(items, actual, path),
            Kind::Each(is) => self.each(is, actual, path),
            Kind::Keys(is) => match actual.members() {
                Some(members) => {
                    for (name, _) in members {
                        let name = Json::string(name.as_str());
                        path.inside(format_args!(" (a name)"), |path| self.value(is, &name, path));
                    }
                }
                None => self.unlike(path, "an object", actual),
            },
            Kind::Bind { name, append, is } => {
                let before = self.done.findings.len();
                self.value(is, actual, path);
                if self.done.findings[before..].iter().all(|finding| finding.weight != Weight::Mismatch) {
                    if *append {
                        self.scope.append(name, actual.clone());
                    } else {
                        self.scope.set(name.as_str(), actual.clone());
                    }
                }
            }
            Kind::AnyOf(choices) => {
                let fitting = choices.iter().find(|choice| self.would_fit(choice, actual));
                match fitting {
                    Some(choice) => self.value(choice, actual, path),
                    None => {
                        let expected = matcher.describe(self.scope);
                        self.unlike(path, expected, actual);
                    }
                }
            }
            Kind::AllOf(parts) => parts.iter().for_each(|part| self.value(part, actual, path)),
            Kind::Not(is) => {
                if self.would_fit(is, actual) {
                    let expected = matcher.describe(self.scope);
                    self.unlike(path, expected, actual);
                }
            }
            Kind::Optional(is) => self.value(is, actual, path),
            Kind::Should(is) => self.with(Weight::Should, &[], |check| check.value(is, actual, path)),
            Kind::Info(is) => self.with(Weight::Info, &[], |check| {
                check.miss(path, "recorded", actual.brief(SHOWN));
                check.value(is, actual, path);
            }),
            Kind::About(cites, is) => {
                self.with(Weight::Mismatch, cites, |check| check.value(is, actual, path))
            }
            Kind::Absent => self.unlike(path, "no such member", actual),
            _ => self.leaf(matcher, actual, path),
        }
    }

    /// Matchers that hold no other matcher, but for those that only count.
    fn leaf(&mut self, matcher: &Matcher, actual: &Json, path: &Path) {
        let fits = match &matcher.kind {
            Kind::Literal(wanted) => wanted == actual,
            Kind::Type(kind) => kind.has(actual),
            Kind::Enum(choices) => choices.contains(actual),
            Kind::Time { utc, ms } => actual.as_str().is_some_and(|text| format::is_time(text, *utc, *ms)),
            Kind::Text { part, place } => actual.as_str().is_some_and(|text| match place {
                Place::Start => text.starts_with(part.as_str()),
                Place::End => text.ends_with(part.as_str()),
                Place::Anywhere => text.contains(part.as_str()),
            }),
            Kind::Somewhere(is) => self.somewhere(is, actual),
            Kind::Contains(is) => match actual.items() {
                Some(items) => items.iter().any(|item| self.would_fit(is, item)),
                None => false,
            },
            Kind::Superset(wanted) => {
                actual.items().is_some_and(|items| wanted.iter().all(|item| items.contains(item)))
            }
            Kind::Value(template) => self.filled(template, path).is_none_or(|wanted| wanted == *actual),
            Kind::Near(template, within) => {
                self.filled(template, path).is_none_or(|wanted| near(&wanted, actual, within.as_ref()))
            }
            Kind::Num(range) => match actual.as_number() {
                Some(number) => self.in_range(range, number, path),
                None => false,
            },
            Kind::Len(range) => match length(actual) {
                Some(length) => self.in_range(range, &length, path),
                None => false,
            },
            Kind::Count { is, range } => match actual.items() {
                Some(items) => {
                    let fitting = items.iter().filter(|item| self.would_fit(is, item)).count();
                    self.in_range(range, &Number::integer(i64::try_from(fitting).unwrap_or(i64::MAX)), path)
                }
                None => false,
            },
            Kind::Sorted { by, descending } => sorted(actual, by, *descending),
            Kind::Unique { by } => unique(actual, by),
            Kind::Expr(expr) => match expr.value(self.scope, actual) {
                Ok(Json::Bool(true)) => true,
                Ok(_) => false,
                Err(error) => {
                    self.miss(path, expr.text(), error.0);
                    true
                }
            },
            _ => true,
        };
        if !fits {
            let expected = matcher.describe(self.scope);
            self.unlike(path, expected, actual);
        }
    }

    /// A template's value; without one there is a finding already.
    fn filled(&mut self, template: &Template, path: &Path) -> Option<Json> {
        template.fill(self.scope).map_err(|error| self.miss(path, "a value to compare with", error.0)).ok()
    }

    fn in_range(&mut self, range: &Range, number: &Number, path: &Path) -> bool {
        let bounds = [
            (&range.min, [Ordering::Greater, Ordering::Equal]),
            (&range.max, [Ordering::Less, Ordering::Equal]),
            (&range.above, [Ordering::Greater; 2]),
            (&range.below, [Ordering::Less; 2]),
        ];
        let mut fits = !range.whole || number.is_whole();
        for (bound, wanted) in bounds {
            let Some(bound) = bound.as_ref().and_then(|bound| self.filled(bound, path)) else { continue };
            match bound.as_number() {
                Some(bound) => fits &= wanted.contains(&number.cmp(bound)),
                None => self.unlike(path, "a bound that is a number", &bound),
            }
        }
        fits
    }

    fn object(&mut self, members: &'a [(String, Matcher)], closed: bool, actual: &Json, path: &mut Path) {
        let Some(there) = actual.members() else {
            self.unlike(path, "an object", actual);
            return;
        };
        for (name, matcher) in members {
            let value = actual.get(name);
            path.inside(format_args!("{}", Member(name)), |path| self.member(matcher, value, path));
        }
        if closed {
            for (name, value) in there {
                if !members.iter().any(|(wanted, _)| wanted == name) {
                    path.inside(format_args!("{}", Member(name)), |path| {
                        self.unlike(path, "no such member", value)
                    });
                }
            }
        }
    }

    fn array(&mut self, wanted: &'a [Matcher], actual: &Json, path: &mut Path) {
        let Some(items) = actual.items() else {
            self.unlike(path, "an array", actual);
            return;
        };
        if items.len() != wanted.len() {
            self.miss(
                path,
                format!("{} items", wanted.len()),
                format!("{} items: {}", items.len(), actual.brief(SHOWN)),
            );
        }
        for (index, (matcher, item)) in wanted.iter().zip(items).enumerate() {
            path.inside(format_args!("[{index}]"), |path| self.value(matcher, item, path));
        }
    }

    /// Does the value or one within it fit? The reader has bounded how deep it is.
    fn somewhere(&mut self, is: &Matcher, actual: &Json) -> bool {
        self.would_fit(is, actual)
            || match actual {
                Json::Array(items) => items.iter().any(|item| self.somewhere(is, item)),
                Json::Object(members) => members.iter().any(|(_, value)| self.somewhere(is, value)),
                _ => false,
            }
    }

    fn each(&mut self, is: &'a Matcher, actual: &Json, path: &mut Path) {
        match actual {
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.inside(format_args!("[{index}]"), |path| self.value(is, item, path));
                }
            }
            Json::Object(members) => {
                for (name, value) in members {
                    path.inside(format_args!("{}", Member(name)), |path| self.value(is, value, path));
                }
            }
            _ => self.unlike(path, "an array", actual),
        }
    }
}

impl Matcher {
    fn takes_nothing(&self) -> bool {
        match &self.kind {
            Kind::Absent | Kind::Optional(_) => true,
            Kind::AnyOf(choices) => choices.iter().any(Self::takes_nothing),
            _ => false,
        }
    }

    /// What is expected, for people.
    fn describe(&self, scope: &Scope) -> String {
        let filled = |template: &Template| {
            let value = template.fill(scope).map_or_else(|error| error.0, |value| value.brief(SHOWN));
            let source = self.source.brief(120);
            if source == value { value } else { format!("{value}, which is {source}") }
        };
        match &self.kind {
            Kind::Type(kind) => kind.name().to_owned(),
            Kind::Value(template) => filled(template),
            Kind::Near(template, _) => format!("about {}", filled(template)),
            Kind::Enum(choices) => {
                let choices: Vec<String> = choices.iter().take(12).map(|choice| choice.brief(60)).collect();
                format!("one of {}", choices.join(", "))
            }
            Kind::Time { utc, ms } => format!(
                "an ISO 8601 time{}{}",
                if *utc { " in UTC, ending in Z" } else { "" },
                if *ms { " with three decimals" } else { "" }
            ),
            Kind::Num(range) => format!("a number{}", range.describe(scope)),
            Kind::Len(range) => format!("a length{}", range.describe(scope)),
            Kind::Count { is, range } => {
                format!("a count of items that are {}{}", is.describe(scope), range.describe(scope))
            }
            Kind::AnyOf(choices) => {
                let choices: Vec<String> = choices.iter().map(|choice| choice.describe(scope)).collect();
                choices.join(", or ")
            }
            Kind::Not(is) => format!("anything but {}", is.describe(scope)),
            Kind::Somewhere(is) => format!("{} somewhere in it", is.describe(scope)),
            Kind::Bind { is, .. }
            | Kind::Optional(is)
            | Kind::Should(is)
            | Kind::Info(is)
            | Kind::About(_, is) => is.describe(scope),
            Kind::Expr(expr) => format!("that {}", expr.text()),
            _ => self.source.brief(SHOWN),
        }
    }
}

impl Range {
    fn describe(&self, scope: &Scope) -> String {
        let bounds =
            [(&self.min, "at least"), (&self.max, "at most"), (&self.above, "above"), (&self.below, "below")];
        let mut parts: Vec<String> = Vec::new();
        if self.whole {
            parts.push("whole".to_owned());
        }
        for (bound, word) in bounds {
            if let Some(bound) = bound {
                let value = bound.fill(scope).map_or_else(|error| error.0, |value| value.brief(60));
                parts.push(format!("{word} {value}"));
            }
        }
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

impl Type {
    fn has(self, actual: &Json) -> bool {
        match self {
            Self::Any => true,
            Self::Null => matches!(actual, Json::Null),
            Self::Bool => matches!(actual, Json::Bool(_)),
            Self::Number => matches!(actual, Json::Number(_)),
            Self::Int => actual.as_number().is_some_and(Number::is_whole),
            Self::String => matches!(actual, Json::String(_)),
            Self::Nonempty | Self::Opaque => actual.as_str().is_some_and(|text| !text.is_empty()),
            Self::Array => matches!(actual, Json::Array(_)),
            Self::Object => matches!(actual, Json::Object(_)),
            Self::PeerId => actual.as_str().is_some_and(format::is_peer_id),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Int => "a whole number",
            Self::String => "a string",
            Self::Nonempty | Self::Opaque => "a string that is not empty",
            Self::Array => "an array",
            Self::Object => "an object",
            Self::PeerId => "the peer id of an Ed25519 key (12D3KooW...)",
        }
    }
}

fn near(wanted: &Json, actual: &Json, within: Option<&Number>) -> bool {
    let decimal = |json: &Json| json.as_number().and_then(Number::decimal);
    let (Some(a), Some(b)) = (decimal(wanted), decimal(actual)) else { return wanted == actual };
    match within.and_then(Number::decimal) {
        Some(within) => a.within(b, within),
        None => a.near(b),
    }
}

fn length(value: &Json) -> Option<Number> {
    let length = match value {
        Json::String(text) => text.chars().count(),
        Json::Array(items) => items.len(),
        Json::Object(members) => members.len(),
        Json::Null | Json::Bool(_) | Json::Number(_) => return None,
    };
    Some(Number::integer(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn sorted(actual: &Json, by: &[String], descending: bool) -> bool {
    let Some(items) = actual.items() else { return false };
    let order = |a: &Json, b: &Json| match (a, b) {
        (Json::Number(a), Json::Number(b)) => Some(a.cmp(b)),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    let wrong = if descending { Ordering::Less } else { Ordering::Greater };
    items.windows(2).all(|pair| {
        let keys = (follow(&pair[0], by), follow(&pair[1], by));
        matches!(keys, (Some(a), Some(b)) if order(a, b).is_some_and(|order| order != wrong))
    })
}

fn unique(actual: &Json, by: &[String]) -> bool {
    let Some(items) = actual.items() else { return false };
    let mut seen = BTreeSet::new();
    items.iter().all(|item| follow(item, by).is_some_and(|key| seen.insert(key.to_string())))
}
