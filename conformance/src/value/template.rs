//! Templates: JSON to send, with places to fill in.
//!
//! `"$S"`, `"$S.tools.0.id"` is a variable; `{"$L": 0.88}` an amount in units of the arranged budget; `{"$expr": "$N + 1"}` a
//! computed value; `{"$fill": ["ab", 1000]}` a text repeated; `{"$nest": 100}` arrays in arrays; `{"$join": ["a", "$S"]}` texts
//! put together. A literal string that begins with `$` is written `$$`.

use crate::json::{Json, Number};

use super::{Expr, ExprError, Scope, follow, is_variable};

/// Longest generated text, in bytes: what one message may hold.
const FILL_MAX: u64 = 8 << 20;
/// Most generated nesting: what our own reader takes. Deeper text is written with `>> string` and `$fill`.
const NEST_MAX: u64 = 200;

/// Why some JSON is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TemplateError {
    /// What is wrong, and what to write.
    pub problem: String,
}

fn fail<T>(problem: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError { problem: problem.into() })
}

/// JSON with places to fill in.
#[derive(Clone, Debug)]
pub struct Template {
    kind: Kind,
    source: Json,
}

#[derive(Clone, Debug)]
enum Kind {
    /// As it stands.
    Literal(Json),
    /// A variable, or a part of it.
    Variable { name: String, path: Vec<String> },
    /// So many units of the arranged budget.
    Scaled(Number),
    /// Computed.
    Computed(Expr),
    /// A text so many times.
    Fill(String, u64),
    /// So many arrays within each other.
    Nest(u64),
    /// Texts put together.
    Join(Vec<Self>),
    /// An array with places to fill in.
    Array(Vec<Self>),
    /// An object with places to fill in.
    Object(Vec<(String, Self)>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A `$` word that there is not, or one with a wrong argument.
    pub fn compile(json: &Json) -> Result<Self, TemplateError> {
        Ok(Self { kind: Kind::compile(json)?, source: json.clone() })
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &Json {
        &self.source
    }

    /// The value now.
    ///
    /// # Errors
    /// A variable that has no value, an amount before a budget is arranged, arithmetic that fails.
    pub fn fill(&self, scope: &Scope) -> Result<Json, ExprError> {
        self.kind.fill(scope)
    }

    /// The variables that it needs.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        self.kind.variables()
    }

    /// Does it have an amount in units of the arranged budget?
    #[must_use]
    pub fn is_scaled(&self) -> bool {
        self.kind.is_scaled()
    }
}

impl Kind {
    fn compile(json: &Json) -> Result<Self, TemplateError> {
        match json {
            Json::String(text) => string(text),
            Json::Array(items) => Ok(Self::Array(items.iter().map(Self::compile).collect::<Result<_, _>>()?)),
            Json::Object(members) => match members.as_slice() {
                [(word, argument)] if word.starts_with('$') && !word.starts_with("$$") => {
                    special(word, argument)
                }
                _ => {
                    let members = members.iter().map(|(name, value)| {
                        let name =
                            name.strip_prefix('$').filter(|name| name.starts_with('$')).unwrap_or(name);
                        Ok((name.to_owned(), Self::compile(value)?))
                    });
                    Ok(Self::Object(members.collect::<Result<_, _>>()?))
                }
            },
            other => Ok(Self::Literal(other.clone())),
        }
    }

    fn fill(&self, scope: &Scope) -> Result<Json, ExprError> {
        match self {
            Self::Literal(json) => Ok(json.clone()),
            Self::Variable { name, path } => {
                let Some(value) = scope.get(name) else {
                    return Err(ExprError(format!("there is no ${name} yet")));
                };
                let missing = || ExprError(format!("${name} has no '{}'", path.join(".")));
                follow(value, path).cloned().ok_or_else(missing)
            }
            Self::Scaled(number) => {
                let Some(scale) = scope.scale() else {
                    return Err(ExprError("no budget is arranged, so $L means nothing".to_owned()));
                };
                let too_long = || ExprError(format!("{number} of the limit is too long for arithmetic"));
                let product = number.decimal().and_then(|number| number.times(scale));
                product.map(|product| Json::Number(product.number())).ok_or_else(too_long)
            }
            Self::Computed(expr) => expr.value(scope, &Json::Null),
            Self::Fill(text, times) => Ok(Json::String(text.repeat(usize::try_from(*times).unwrap_or(0)))),
            Self::Nest(depth) => {
                Ok((0..*depth).fold(Json::Array(Vec::new()), |inner, _| Json::Array(vec![inner])))
            }
            Self::Join(parts) => {
                let mut out = String::new();
                for part in parts {
                    match part.fill(scope)? {
                        Json::String(text) => out.push_str(&text),
                        other => out.push_str(&other.to_string()),
                    }
                }
                Ok(Json::String(out))
            }
            Self::Array(items) => {
                Ok(Json::Array(items.iter().map(|item| item.fill(scope)).collect::<Result<_, _>>()?))
            }
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| Ok((name.clone(), value.fill(scope)?)));
                Ok(Json::Object(members.collect::<Result<_, ExprError>>()?))
            }
        }
    }

    fn variables(&self) -> Vec<&str> {
        match self {
            Self::Literal(_) | Self::Scaled(_) | Self::Fill(..) | Self::Nest(_) => Vec::new(),
            Self::Variable { name, .. } => vec![name],
            Self::Computed(expr) => expr.variables(),
            Self::Join(parts) | Self::Array(parts) => parts.iter().flat_map(Self::variables).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.variables()).collect(),
        }
    }

    fn is_scaled(&self) -> bool {
        match self {
            Self::Scaled(_) => true,
            Self::Join(parts) | Self::Array(parts) => parts.iter().any(Self::is_scaled),
            Self::Object(members) => members.iter().any(|(_, value)| value.is_scaled()),
            Self::Literal(_) | Self::Variable { .. } | Self::Computed(_) | Self::Fill(..) | Self::Nest(_) => {
                false
            }
        }
    }
}

fn string(text: &str) -> Result<Kind, TemplateError> {
    let Some(rest) = text.strip_prefix('$') else { return Ok(Kind::Literal(Json::string(text))) };
    if rest.starts_with('$') {
        return Ok(Kind::Literal(Json::string(rest)));
    }
    let mut parts = rest.split('.').map(str::to_owned);
    let name = parts.next().unwrap_or_default();
    if !is_variable(&name) {
        return fail(format!(
            "'{text}' is no variable: they begin with a capital letter, as $S; for a literal dollar write $${rest}"
        ));
    }
    Ok(Kind::Variable { name, path: parts.collect() })
}

fn special(word: &str, argument: &Json) -> Result<Kind, TemplateError> {
    match (word, argument) {
        ("$L", Json::Number(number)) => Ok(Kind::Scaled(number.clone())),
        ("$L", _) => fail("$L takes a number: {\"$L\": 0.88}"),
        ("$expr", Json::String(text)) => match Expr::parse(text) {
            Ok(expr) => Ok(Kind::Computed(expr)),
            Err(error) => fail(error.0),
        },
        ("$expr", _) => fail("$expr takes a text: {\"$expr\": \"$N + 1\"}"),
        ("$fill", Json::Array(items)) => {
            let usage = "$fill takes a text and how often: {\"$fill\": [\"ab\", 1000]}";
            let [Json::String(text), Json::Number(times)] = items.as_slice() else { return fail(usage) };
            let times = times.to_i64().and_then(|times| u64::try_from(times).ok());
            let Some(times) = times else { return fail(usage) };
            if times.saturating_mul(text.len() as u64) > FILL_MAX {
                return fail(format!("$fill makes at most {FILL_MAX} bytes"));
            }
            Ok(Kind::Fill(text.clone(), times))
        }
        ("$nest", Json::Number(depth)) => match depth.to_i64().and_then(|depth| u64::try_from(depth).ok()) {
            Some(depth) if depth <= NEST_MAX => Ok(Kind::Nest(depth)),
            _ => fail(format!("$nest takes a number up to {NEST_MAX}")),
        },
        ("$join", Json::Array(items)) => {
            Ok(Kind::Join(items.iter().map(Kind::compile).collect::<Result<_, _>>()?))
        }
        _ => fail(format!(
            "'{word}' is no word for values with this argument; there are $L, $expr, $fill, $nest, $join, and $NAME as a string"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).expect("JSON")
    }

    #[test]
    fn places_are_filled_in() {
        let mut scope = Scope::default();
        scope.set("S", json(r#""sess-1""#));
        scope.set("R", json(r#"{"tools":[{"id":"t"}]}"#));
        scope.set_scale(Number::parse("2.5").and_then(|n| n.decimal()).expect("a number"));
        let template = Template::compile(&json(
            r#"{"a":"$S","b":"$R.tools.0.id","c":{"$L":0.88},"d":["$$x",1.50],"e":{"$fill":["ab",2]},
               "f":{"$join":["$S","/",1]},"g":{"$nest":2},"h":{"$expr":"1 + 1"}}"#,
        ));
        let wanted =
            r#"{"a":"sess-1","b":"t","c":2.2,"d":["$x",1.50],"e":"abab","f":"sess-1/1","g":[[[]]],"h":2}"#;
        let template = template.expect("a template");
        assert_eq!(template.fill(&scope).expect("filled"), json(wanted));
        assert_eq!(template.variables(), ["S", "R", "S"]);
        assert!(template.is_scaled());
        assert_eq!(template.fill(&Scope::default()), Err(ExprError("there is no $S yet".to_owned())));
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            r#""$s""#,
            r#"{"$l":1}"#,
            r#"{"$L":"1"}"#,
            r#"{"$fill":["a",9999999999]}"#,
            r#"{"$nest":-1}"#,
            r#"{"$expr":"1+"}"#,
        ] {
            assert!(Template::compile(&json(text)).is_err(), "{text}");
        }
    }
}
