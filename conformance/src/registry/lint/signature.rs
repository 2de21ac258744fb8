//! The table of methods against the signatures of the text.

use super::{Finding, Findings, Rule};
use crate::registry::{Field, Kind, Method, Observe, Requirement, SessionUse};
use crate::spec;

/// A parameter or a member of a result, as a signature writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Written<'a> {
    name: &'a str,
    optional: bool,
    array: bool,
    /// What stands after a colon: a type, or the only value in quotes.
    kind: Option<&'a str>,
}

/// A line like `memory.archive(id) → { archived: boolean, tier: "archival" }`.
#[derive(PartialEq, Eq, Debug)]
struct Signature<'a> {
    name: &'a str,
    params: Vec<Written<'a>>,
    /// The members of the result, or the name of its type.
    result: Result<Vec<Written<'a>>, &'a str>,
}

fn written(text: &str) -> Written<'_> {
    let (name, kind) = match text.split_once(':') {
        Some((name, kind)) => (name.trim(), Some(kind.trim())),
        None => (text.trim(), None),
    };
    let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
    let (name, array) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    Written { name, optional, array, kind }
}

fn list(text: &str) -> Vec<Written<'_>> {
    text.split(',').filter(|part| !part.trim().is_empty()).map(written).collect()
}

fn parse(line: &str) -> Option<Signature<'_>> {
    let (call, result) = line.split_once(" → ")?;
    let (name, params) = call.strip_suffix(')')?.split_once('(')?;
    let result = match result.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(members) => Ok(list(members)),
        None => Err(result),
    };
    Some(Signature { name, params: list(params), result })
}

/// The table against the text: the same methods in the same order, and for each the names, `?`, `[]` and types that its
/// signature has; and the table against itself and the requirements.
#[must_use]
pub fn methods(rows: &[Method], requirements: &[Requirement]) -> Vec<Finding> {
    let mut found = Findings::default();
    let lines = spec::signatures();
    for (index, (clause, line)) in lines.iter().enumerate() {
        let row = rows.get(index);
        found.check(row.is_some_and(|row| row.signature == *line), Rule::Signature, line, || {
            format!("number {} of the text; the table has {:?} there", index + 1, row.map(|row| &row.name))
        });
        if let Some(row) = row {
            found.check(row.clause == *clause, Rule::Clause, &row.name, || {
                format!("stands in clause {clause}")
            });
        }
    }
    for row in rows.iter().skip(lines.len()) {
        found.add(Rule::Signature, &row.name, "the text has no such method");
    }
    for row in rows {
        check_signature(&mut found, row);
        check_row(&mut found, row, requirements);
        for field in row.params.iter().chain(&row.result) {
            check_field(&mut found, row, field);
        }
    }
    found.0
}

fn check_signature(found: &mut Findings, row: &Method) {
    let Some(signature) = parse(&row.signature) else {
        found.add(Rule::Signature, &row.name, format!("\"{}\" is no signature", row.signature));
        return;
    };
    found.check(signature.name == row.name, Rule::Signature, &row.name, || {
        format!("its signature is that of {}", signature.name)
    });
    compare(found, row, "parameters", &row.params, &signature.params);
    match signature.result {
        Ok(members) => {
            found.check(row.returns.is_none(), Rule::Signature, &row.name, || {
                "its result has no name".to_owned()
            });
            compare(found, row, "members of the result", &row.result, &members);
        }
        Err(name) => {
            found.check(row.returns.as_deref() == Some(name), Rule::Signature, &row.name, || {
                format!("its result is called {name}")
            });
            compare(found, row, "members of the result", &row.result, &[]);
        }
    }
}

fn compare(found: &mut Findings, row: &Method, what: &str, fields: &[Field], wanted: &[Written<'_>]) {
    let fields: Vec<_> = fields.iter().filter(|field| !field.extra).collect();
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    let wanted_names: Vec<_> = wanted.iter().map(|written| written.name).collect();
    if names != wanted_names {
        let message = format!("its {what} are {}, not {}", wanted_names.join(", "), names.join(", "));
        found.add(Rule::Signature, &row.name, message);
        return;
    }
    for (field, wanted) in fields.into_iter().zip(wanted) {
        found.check(field.required != wanted.optional, Rule::Signature, &row.name, || {
            format!("{} is {}", field.name, if wanted.optional { "optional" } else { "required" })
        });
        found.check(!wanted.array || field.kind == Kind::Array, Rule::Signature, &row.name, || {
            format!("{} is an array", field.name)
        });
        let fits = match wanted.kind {
            None => true,
            Some("boolean") => field.kind == Kind::Boolean,
            Some("number") => field.kind == Kind::Number,
            Some("any") => field.kind == Kind::Json,
            Some(value) => field.kind == Kind::String && field.values == [value.trim_matches('"')],
        };
        found.check(fits, Rule::Signature, &row.name, || {
            format!("{} is written \"{}\"", field.name, wanted.kind.unwrap_or_default())
        });
    }
}

fn check_row(found: &mut Findings, row: &Method, requirements: &[Requirement]) {
    let primitive = row.name.split('.').next();
    found.check(primitive == Some(row.primitive.name()), Rule::Row, &row.name, || {
        format!("is of another primitive than {}", row.primitive.name())
    });
    let session = match row.param("sessionId") {
        None => SessionUse::None,
        Some(field) if field.required => SessionUse::Required,
        Some(_) => SessionUse::Optional,
    };
    found.check(row.session == session, Rule::Row, &row.name, || format!("`session` should be {session:?}"));
    let shape = requirements.iter().find(|requirement| requirement.id == row.shape);
    found.check(
        shape.is_some_and(|r| r.profile == row.primitive && r.observe.contains(&Observe::Rpc)),
        Rule::Reference,
        &row.name,
        || format!("{} is no requirement about what it answers", row.shape),
    );
}

fn check_field(found: &mut Findings, row: &Method, field: &Field) {
    let mut check = |holds: bool, message: &str| {
        found.check(holds, Rule::Row, &row.name, || format!("{} {message}", field.name));
    };
    check(field.values.is_empty() || field.kind == Kind::String, "has values and is no string");
    let is_number = matches!(field.kind, Kind::Number | Kind::Integer);
    check(is_number || (field.min.is_none() && field.max.is_none()), "has a range and is no number");
    check(field.min.zip(field.max).is_none_or(|(min, max)| min < max), "has an empty range");
    check(field.item.is_none() || field.kind == Kind::Array, "has a type of items and is no array");
    check(
        field.items.is_empty() || field.item == Some(Kind::Object),
        "has members of items that are no objects",
    );
    check(!field.extra || !field.required, "is in an example alone and required");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let signature = parse("m.a(x, y?, z[]) → { ok: boolean, list[], one?, tier: \"t\" }").unwrap();
        let of = |name, optional, array, kind| Written { name, optional, array, kind };
        assert_eq!(signature.name, "m.a");
        assert_eq!(
            signature.params,
            [of("x", false, false, None), of("y", true, false, None), of("z", false, true, None)]
        );
        let result = [
            of("ok", false, false, Some("boolean")),
            of("list", false, true, None),
            of("one", true, false, None),
            of("tier", false, false, Some("\"t\"")),
        ];
        assert_eq!(signature.result.unwrap(), result);
        assert_eq!(
            parse("m.a() → Info").unwrap(),
            Signature { name: "m.a", params: vec![], result: Err("Info") }
        );
        assert!(parse("m.a()").is_none() && parse("m.a → Info").is_none());
    }
}
