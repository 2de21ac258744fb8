//! Reading a matcher: every mistake is found here, before anything runs.

use crate::json::Json;
use crate::level::Level;
use crate::value::{Expr, Template, is_variable};

use super::{Cite, Kind, Matcher, Place, Range, Type};

/// Why some JSON is no matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct MatcherError {
    /// Where, such as `$.result.sessionId`.
    pub path: String,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// Words that need no argument.
const TYPES: [(&str, Type); 11] = [
    ("any", Type::Any),
    ("null", Type::Null),
    ("bool", Type::Bool),
    ("number", Type::Number),
    ("int", Type::Int),
    ("string", Type::String),
    ("nonempty", Type::Nonempty),
    ("opaque", Type::Opaque),
    ("array", Type::Array),
    ("object", Type::Object),
    ("peerid", Type::PeerId),
];

const WORDS: &str = "$string $nonempty $opaque $int $number $num $near $approx $bool $null $array $object $any $absent $enum $iso8601 \
    $peerid $each $keys $len $contains $somewhere $starts $ends $superset $sorted $unique $count $opt $any_of $all_of $not $closed $should $info \
    $about $bind $append $is $L $expr";

impl Matcher {
    /// Reads a matcher.
    ///
    /// # Errors
    /// The first mistake, with the path to it.
    pub fn compile(json: &Json) -> Result<Self, MatcherError> {
        compile(json, "$")
    }
}

fn fail<T>(path: &str, problem: impl Into<String>) -> Result<T, MatcherError> {
    Err(MatcherError { path: path.to_owned(), problem: problem.into() })
}

fn compile(json: &Json, path: &str) -> Result<Matcher, MatcherError> {
    let kind = match json {
        Json::String(text) => string(text, path)?,
        Json::Array(items) => Kind::Array(many(items, path)?),
        Json::Object(members) => match members.as_slice() {
            [(word, argument)] if word.starts_with('$') && !word.starts_with("$$") => {
                special(word, argument, path)?
            }
            _ => Kind::Object { members: named(members, path)?, closed: false },
        },
        other => Kind::Literal(other.clone()),
    };
    Ok(Matcher { kind, source: json.clone() })
}

fn many(items: &[Json], path: &str) -> Result<Vec<Matcher>, MatcherError> {
    items.iter().enumerate().map(|(index, item)| compile(item, &format!("{path}[{index}]"))).collect()
}

fn named(members: &[(String, Json)], path: &str) -> Result<Vec<(String, Matcher)>, MatcherError> {
    let mut out: Vec<(String, Matcher)> = Vec::new();
    for (name, value) in members {
        let literal = name.strip_prefix('$').filter(|name| name.starts_with('$')).unwrap_or(name);
        if name.starts_with('$') && !name.starts_with("$$") {
            return fail(
                path,
                format!("'{name}' stands beside other members: a word is the only member of its object"),
            );
        }
        if out.iter().any(|(other, _)| other == literal) {
            return fail(path, format!("'{literal}' is there twice"));
        }
        out.push((literal.to_owned(), compile(value, &format!("{path}.{literal}"))?));
    }
    Ok(out)
}

fn boxed(json: &Json, path: &str) -> Result<Box<Matcher>, MatcherError> {
    compile(json, path).map(Box::new)
}

fn template(json: &Json, path: &str) -> Result<Template, MatcherError> {
    Template::compile(json).or_else(|error| fail(path, error.problem))
}

fn string(text: &str, path: &str) -> Result<Kind, MatcherError> {
    let Some(rest) = text.strip_prefix('$') else { return Ok(Kind::Literal(Json::string(text))) };
    if rest.starts_with('$') {
        return Ok(Kind::Literal(Json::string(rest)));
    }
    if is_variable(rest.split('.').next().unwrap_or_default()) {
        return Ok(Kind::Value(template(&Json::string(text), path)?));
    }
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == rest) {
        return Ok(Kind::Type(*kind));
    }
    let mut words = rest.split_whitespace();
    match words.next() {
        Some("absent") if rest == "absent" => Ok(Kind::Absent),
        Some("iso8601") if rest == "iso8601" => Ok(Kind::Time { utc: false, ms: false }),
        Some("num") if rest == "num" => Ok(Kind::Type(Type::Number)),
        Some(word @ ("bind" | "append")) => {
            let (Some(name), is, None) = (words.next(), words.next(), words.next()) else {
                return fail(path, format!("write \"${word} NAME\" or \"${word} NAME $nonempty\""));
            };
            bind(word == "append", name, &Json::string(is.unwrap_or("$any")), path)
        }
        _ => fail(path, unknown(text)),
    }
}

fn unknown(word: &str) -> String {
    format!(
        "'{word}' is no word for matchers; there are {WORDS}; a variable is $NAME; for a literal dollar write $$"
    )
}

fn bind(append: bool, name: &str, is: &Json, path: &str) -> Result<Kind, MatcherError> {
    if !is_variable(name) || name == "L" {
        return fail(
            path,
            format!("'{name}' is no name for a variable: they begin with a capital letter, and L is taken"),
        );
    }
    Ok(Kind::Bind { name: name.to_owned(), append, is: boxed(is, path)? })
}

fn special(word: &str, argument: &Json, path: &str) -> Result<Kind, MatcherError> {
    let inner = |json: &Json| boxed(json, path);
    let kind = match (&word[1..], argument) {
        ("num", Json::Object(members)) => Kind::Num(range(members, path)?),
        ("len", Json::Object(members)) => Kind::Len(range(members, path)?),
        ("len", exact) => Kind::Len(exactly(exact, path)?),
        ("near" | "L", _) => {
            let whole =
                if word == "$L" { Json::object([("$L", argument.clone())]) } else { argument.clone() };
            Kind::Near(template(&whole, path)?, None)
        }
        ("approx", Json::Array(items)) => match items.as_slice() {
            [to, Json::Number(within)] => Kind::Near(template(to, path)?, Some(within.clone())),
            _ => return fail(path, "write {\"$approx\": [0.12, 1e-9]}: a value and the greatest distance"),
        },
        ("is", value) => Kind::Value(template(value, path)?),
        ("enum", Json::Array(items)) if !items.is_empty() => Kind::Enum(items.clone()),
        ("iso8601", Json::Object(members)) => time(members, path)?,
        ("each", is) => Kind::Each(inner(is)?),
        ("keys", is) => Kind::Keys(inner(is)?),
        ("contains", Json::String(part)) if !part.starts_with('$') => {
            Kind::Text { part: part.clone(), place: Place::Anywhere }
        }
        ("contains", is) => Kind::Contains(inner(is)?),
        ("somewhere", is) => Kind::Somewhere(inner(is)?),
        ("starts", Json::String(part)) => Kind::Text { part: part.clone(), place: Place::Start },
        ("ends", Json::String(part)) => Kind::Text { part: part.clone(), place: Place::End },
        ("superset", Json::Array(items)) => Kind::Superset(items.clone()),
        ("sorted", Json::Object(members)) => sorted(members, path)?,
        ("unique", Json::Bool(true)) => Kind::Unique { by: Vec::new() },
        ("unique", Json::Object(members)) => Kind::Unique { by: by(members, path)? },
        ("count", Json::Object(members)) => count(members, path)?,
        ("opt", is) => Kind::Optional(inner(is)?),
        ("any_of", Json::Array(items)) if !items.is_empty() => Kind::AnyOf(many(items, path)?),
        ("all_of", Json::Array(items)) => Kind::AllOf(many(items, path)?),
        ("not", is) => Kind::Not(inner(is)?),
        ("closed", Json::Object(members)) => Kind::Object { members: named(members, path)?, closed: true },
        ("should", is) => Kind::Should(inner(is)?),
        ("info", is) => Kind::Info(inner(is)?),
        ("about", Json::Object(members)) => about(members, path)?,
        ("bind" | "append", Json::Object(members)) => match members.as_slice() {
            [(a, Json::String(name)), (b, is)] if a == "as" && b == "is" => {
                bind(word == "$append", name, is, path)?
            }
            _ => return fail(path, format!("write {{\"{word}\": {{\"as\": \"NAME\", \"is\": ...}}}}")),
        },
        ("expr", Json::String(text)) => match Expr::parse(text) {
            Ok(expr) => Kind::Expr(expr),
            Err(error) => return fail(path, error.0),
        },
        _ => return fail(path, format!("with this argument, {}", unknown(word))),
    };
    Ok(kind)
}

fn exactly(json: &Json, path: &str) -> Result<Range, MatcherError> {
    let exact = template(json, path)?;
    Ok(Range { min: Some(exact.clone()), max: Some(exact), ..Range::default() })
}

fn range(members: &[(String, Json)], path: &str) -> Result<Range, MatcherError> {
    let mut range = Range::default();
    for (name, value) in members {
        let place = match name.as_str() {
            "min" => &mut range.min,
            "max" => &mut range.max,
            "above" => &mut range.above,
            "below" => &mut range.below,
            "whole" if value.as_bool().is_some() => {
                range.whole = value.as_bool() == Some(true);
                continue;
            }
            _ => {
                return fail(
                    path,
                    format!("'{name}' is no bound; there are min, max, above, below, and whole: true"),
                );
            }
        };
        *place = Some(template(value, path)?);
    }
    Ok(range)
}

fn time(members: &[(String, Json)], path: &str) -> Result<Kind, MatcherError> {
    let (mut utc, mut ms) = (false, false);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("utc", Json::Bool(on)) => utc = *on,
            ("ms", Json::Bool(on)) => ms = *on,
            _ => return fail(path, "$iso8601 takes utc and ms, each true or false"),
        }
    }
    Ok(Kind::Time { utc, ms })
}

fn split(text: &str) -> Vec<String> {
    text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn sorted(members: &[(String, Json)], path: &str) -> Result<Kind, MatcherError> {
    let (mut keys, mut descending) = (Vec::new(), false);
    for (name, value) in members {
        match (name.as_str(), value.as_str()) {
            ("by", Some(text)) => keys = split(text),
            ("order", Some(order @ ("asc" | "desc"))) => descending = order == "desc",
            _ => return fail(path, "$sorted takes by: \"member\" and order: \"asc\" or \"desc\""),
        }
    }
    Ok(Kind::Sorted { by: keys, descending })
}

fn by(members: &[(String, Json)], path: &str) -> Result<Vec<String>, MatcherError> {
    match members {
        [(name, Json::String(text))] if name == "by" => Ok(split(text)),
        _ => fail(path, "$unique takes true or {\"by\": \"member\"}"),
    }
}

fn count(members: &[(String, Json)], path: &str) -> Result<Kind, MatcherError> {
    let Some((_, is)) = members.iter().find(|(name, _)| name == "is") else {
        return fail(path, "$count takes is: a matcher, and min, max or exactly");
    };
    let rest: Vec<_> = members.iter().filter(|(name, _)| name != "is").cloned().collect();
    let range = match rest.as_slice() {
        [(name, exact)] if name == "exactly" => exactly(exact, path)?,
        rest => range(rest, path)?,
    };
    Ok(Kind::Count { is: boxed(is, path)?, range })
}

fn about(members: &[(String, Json)], path: &str) -> Result<Kind, MatcherError> {
    let usage = "write {\"$about\": {\"id\": \"HSP-4.2-12\", \"level\": \"should\", \"is\": ...}}; level may be left out, id may be a list";
    let (mut ids, mut level, mut is) = (Vec::new(), None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("id", Json::String(id)) => ids.push(id.clone()),
            ("id", Json::Array(list)) => ids.extend(list.iter().filter_map(Json::as_str).map(str::to_owned)),
            ("level", Json::String(text)) if Level::parse(text).is_some() => level = Level::parse(text),
            ("is", value) => is = Some(boxed(value, path)?),
            _ => return fail(path, usage),
        }
    }
    let (Some(is), false) = (is, ids.is_empty()) else { return fail(path, usage) };
    Ok(Kind::About(ids.into_iter().map(|id| Cite { id, level }).collect(), is))
}
