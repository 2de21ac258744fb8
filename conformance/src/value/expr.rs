//! Expressions over JSON: `remaining + consumed ~= limit`, `len($IDS) == 25 && sum(bySection) == total`.
//!
//! A plain name is a member of the value at hand, `$NAME` a variable; both may be followed by `.member` or `.0`. Numbers are
//! exact decimals. `==` and `!=` compare any two values, `~=` numbers as near as sums of doubles come. `len` counts items,
//! members or characters; `sum`, `min` and `max` take an array or an object of numbers.

use core::cmp::Ordering;

use crate::json::{Decimal, Json, Number};

use super::{Scope, follow, is_variable};

/// Longest expression, in bytes.
const LENGTH_MAX: usize = 1024;
/// Deepest nesting of an expression.
const DEPTH_MAX: usize = 32;

/// Why an expression has no value or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExprError(pub String);

/// An expression that was read.
#[derive(Clone, Debug)]
pub struct Expr {
    text: String,
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Value(Json),
    Path { variable: Option<String>, path: Vec<String> },
    Call(Function, Box<Self>),
    Minus(Box<Self>),
    Not(Box<Self>),
    Two(Operator, Box<Self>, Box<Self>),
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Len,
    Sum,
    Min,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Near,
    AtMost,
    AtLeast,
    Below,
    Above,
    Plus,
    Minus,
    Times,
    Over,
}

/// By precedence, loosest first; longer signs before those they begin with.
const OPERATORS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("~=", Operator::Near),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Below),
        (">", Operator::Above),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Over)],
];

fn fail<T>(problem: impl Into<String>) -> Result<T, ExprError> {
    Err(ExprError(problem.into()))
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        if text.len() > LENGTH_MAX {
            return fail(format!("the expression is longer than {LENGTH_MAX} bytes"));
        }
        let mut reader = Reader { rest: text };
        let root = reader.level(0, 0)?;
        reader.space();
        if !reader.rest.is_empty() {
            return fail(format!("in the expression '{text}', '{}' does not belong", reader.rest));
        }
        Ok(Self { text: text.to_owned(), root })
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value, with `here` as what plain names are members of.
    ///
    /// # Errors
    /// A name that is unknown, a value of the wrong kind, or a number beyond arithmetic.
    pub fn value(&self, scope: &Scope, here: &Json) -> Result<Json, ExprError> {
        self.root.value(scope, here)
    }

    /// The variables it uses.
    pub fn variables(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.root.variables(&mut found);
        found
    }
}

impl Node {
    fn variables<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Value(_) => {}
            Self::Path { variable, .. } => found.extend(variable.as_deref()),
            Self::Call(_, inner) | Self::Minus(inner) | Self::Not(inner) => inner.variables(found),
            Self::Two(_, a, b) => {
                a.variables(found);
                b.variables(found);
            }
        }
    }

    fn value(&self, scope: &Scope, here: &Json) -> Result<Json, ExprError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path { variable, path } => {
                let missing = |what: String| ExprError(format!("there is no {what}"));
                let root = match variable {
                    Some(name) => scope.get(name).ok_or_else(|| missing(format!("${name} yet")))?,
                    None => here,
                };
                follow(root, path).cloned().ok_or_else(|| missing(format!("'{}'", path.join("."))))
            }
            Self::Call(function, inner) => call(*function, &inner.value(scope, here)?),
            Self::Minus(inner) => {
                let value = decimal(&inner.value(scope, here)?)?;
                let zero = Decimal::ONE.minus(Decimal::ONE);
                number(zero.and_then(|zero| zero.minus(value)))
            }
            Self::Not(inner) => Ok(Json::Bool(!truth(&inner.value(scope, here)?)?)),
            Self::Two(operator, a, b) => two(*operator, a, b, scope, here),
        }
    }
}

fn two(operator: Operator, a: &Node, b: &Node, scope: &Scope, here: &Json) -> Result<Json, ExprError> {
    let a = a.value(scope, here)?;
    match operator {
        Operator::Or if truth(&a)? => return Ok(Json::Bool(true)),
        Operator::And if !truth(&a)? => return Ok(Json::Bool(false)),
        _ => {}
    }
    let b = b.value(scope, here)?;
    let order = || match (&a, &b) {
        (Json::Number(a), Json::Number(b)) => Ok(a.cmp(b)),
        (Json::String(a), Json::String(b)) => Ok(a.cmp(b)),
        _ => fail(format!("{} and {} have no order", a.kind(), b.kind())),
    };
    let truth_of = |truth| Ok(Json::Bool(truth));
    match operator {
        Operator::Or | Operator::And => truth_of(truth(&b)?),
        Operator::Equal => truth_of(a == b),
        Operator::Unequal => truth_of(a != b),
        Operator::Near => truth_of(decimal(&a)?.near(decimal(&b)?)),
        Operator::AtMost => truth_of(order()? != Ordering::Greater),
        Operator::AtLeast => truth_of(order()? != Ordering::Less),
        Operator::Below => truth_of(order()? == Ordering::Less),
        Operator::Above => truth_of(order()? == Ordering::Greater),
        Operator::Plus => number(decimal(&a)?.plus(decimal(&b)?)),
        Operator::Minus => number(decimal(&a)?.minus(decimal(&b)?)),
        Operator::Times => number(decimal(&a)?.times(decimal(&b)?)),
        Operator::Over => number(decimal(&a)?.over(decimal(&b)?)),
    }
}

fn truth(value: &Json) -> Result<bool, ExprError> {
    value.as_bool().map_or_else(|| fail(format!("{} is neither true nor false", value.kind())), Ok)
}

fn decimal(value: &Json) -> Result<Decimal, ExprError> {
    let Some(number) = value.as_number() else { return fail(format!("{} is not a number", value.brief(40))) };
    number.decimal().map_or_else(|| fail(format!("{} is too long for arithmetic", value.brief(40))), Ok)
}

fn number(value: Option<Decimal>) -> Result<Json, ExprError> {
    let too_long = || ExprError("the result is too long for arithmetic, or divided by zero".to_owned());
    value.map(|value| Json::Number(value.number())).ok_or_else(too_long)
}

fn call(function: Function, value: &Json) -> Result<Json, ExprError> {
    let items: Vec<&Json> = match value {
        Json::Array(items) => items.iter().collect(),
        Json::Object(members) => members.iter().map(|(_, value)| value).collect(),
        Json::String(text) if matches!(function, Function::Len) => {
            return Ok(Json::integer(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)));
        }
        _ => return fail(format!("{} is neither an array nor an object", value.brief(40))),
    };
    if matches!(function, Function::Len) {
        return Ok(Json::integer(i64::try_from(items.len()).unwrap_or(i64::MAX)));
    }
    let numbers = items.into_iter().map(decimal).collect::<Result<Vec<_>, _>>()?;
    let pick =
        |wanted: Ordering| numbers.iter().copied().reduce(|a, b| if b.compare(a) == wanted { b } else { a });
    match function {
        Function::Min => number(pick(Ordering::Less)),
        Function::Max => number(pick(Ordering::Greater)),
        Function::Sum | Function::Len => {
            let zero = Decimal::ONE.minus(Decimal::ONE);
            number(numbers.iter().fold(zero, |sum, next| sum.and_then(|sum| sum.plus(*next))))
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: &str) -> bool {
        self.space();
        let there = self.rest.strip_prefix(sign);
        self.rest = there.unwrap_or(self.rest);
        there.is_some()
    }

    fn level(&mut self, level: usize, depth: usize) -> Result<Node, ExprError> {
        if depth > DEPTH_MAX {
            return fail("the expression is nested too deep");
        }
        let Some(operators) = OPERATORS.get(level) else { return self.single(depth) };
        let mut left = self.level(level + 1, depth)?;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.take(sign)) {
            let right = self.level(level + 1, depth)?;
            left = Node::Two(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn single(&mut self, depth: usize) -> Result<Node, ExprError> {
        if self.take("(") {
            let inner = self.level(0, depth + 1)?;
            return if self.take(")") { Ok(inner) } else { fail("a parenthesis is not closed") };
        }
        if depth > DEPTH_MAX {
            return fail("the expression is nested too deep");
        }
        if self.take("!") {
            return Ok(Node::Not(Box::new(self.single(depth + 1)?)));
        }
        if self.take("-") {
            return Ok(Node::Minus(Box::new(self.single(depth + 1)?)));
        }
        self.space();
        if self.rest.starts_with(|letter: char| letter == '"' || letter.is_ascii_digit()) {
            return self.literal();
        }
        self.name(depth)
    }

    fn literal(&mut self) -> Result<Node, ExprError> {
        if self.rest.starts_with('"') {
            let (value, end) =
                Json::parse_prefix(self.rest).map_err(|error| ExprError(format!("a string: {error}")))?;
            self.rest = &self.rest[end..];
            return Ok(Node::Value(value));
        }
        let length = self.rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (text, rest) = self.rest.split_at(length);
        let Some(number) = Number::parse(text) else { return fail(format!("'{text}' is not a number")) };
        self.rest = rest;
        Ok(Node::Value(Json::Number(number)))
    }

    fn name(&mut self, depth: usize) -> Result<Node, ExprError> {
        let length = self
            .rest
            .char_indices()
            .find(|(at, letter)| {
                !(letter.is_alphanumeric() || "_.".contains(*letter) || (*at == 0 && *letter == '$'))
            })
            .map_or(self.rest.len(), |(at, _)| at);
        let (text, rest) = self.rest.split_at(length);
        if text.is_empty() {
            return fail(match rest.chars().next() {
                Some(letter) => format!("'{letter}' where a value should be"),
                None => "the expression ends where a value should be".to_owned(),
            });
        }
        self.rest = rest;
        let functions =
            [("len", Function::Len), ("sum", Function::Sum), ("min", Function::Min), ("max", Function::Max)];
        if let Some((_, function)) = functions.iter().find(|(name, _)| *name == text)
            && self.take("(")
        {
            let inner = self.level(0, depth + 1)?;
            return if self.take(")") {
                Ok(Node::Call(*function, Box::new(inner)))
            } else {
                fail("a parenthesis is not closed")
            };
        }
        match text {
            "true" | "false" => return Ok(Node::Value(Json::Bool(text == "true"))),
            "null" => return Ok(Node::Value(Json::Null)),
            _ => {}
        }
        let (variable, path) = match text.strip_prefix('$') {
            Some(text) => {
                let (name, path) = text.split_once('.').unwrap_or((text, ""));
                if !is_variable(name) {
                    return fail(format!("'${name}' is no variable: they begin with a capital letter"));
                }
                (Some(name.to_owned()), path)
            }
            None => (None, text),
        };
        let path = path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Ok(Node::Path { variable, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Json, ExprError> {
        let mut scope = Scope::default();
        scope.set("S", Json::parse(r#"{"ids":["a","b"],"n":2}"#).expect("JSON"));
        let here = Json::parse(r#"{"remaining":0.12,"consumed":0.88,"limit":1.00,"by":{"a":1,"b":2.5}}"#);
        Expr::parse(text)?.value(&scope, &here.expect("JSON"))
    }

    #[test]
    fn expressions_have_their_values() {
        let truths = [
            "remaining + consumed == limit",
            "1 - 0.88 ~= remaining && !(limit < 1)",
            "len($S.ids) == 2 || nothing",
            "sum(by) == 3.5 && min(by) == 1 && max(by) == 2.5",
            "$S.ids.1 == \"b\" && $S.n * 3 / 2 == 3",
            "-$S.n < 0 && null == null && true != false",
            "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
        ];
        for text in truths {
            assert_eq!(value(text), Ok(Json::Bool(true)), "{text}");
        }
        assert_eq!(value("limit * 5"), Ok(Json::integer(5)));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("1 +", "the expression ends where a value should be"),
            ("(1", "a parenthesis is not closed"),
            ("1 1", "in the expression '1 1', '1' does not belong"),
            ("missing == 1", "there is no 'missing'"),
            ("$T == 1", "there is no $T yet"),
            ("$t == 1", "'$t' is no variable: they begin with a capital letter"),
            ("by + 1", "{\"a\":1,\"b\":2.5} is not a number"),
            ("1 && true", "a number is neither true nor false"),
            ("1 / 0", "the result is too long for arithmetic, or divided by zero"),
            ("by < 1", "an object and a number have no order"),
        ];
        for (text, problem) in cases {
            assert_eq!(value(text), fail(problem), "{text}");
        }
        assert!(Expr::parse(&"(".repeat(500)).is_err());
        assert!(Expr::parse(&"!".repeat(500)).is_err());
    }
}
