//! Requirements and ambiguities against the pinned text.

use std::collections::BTreeSet;

use super::{Finding, Findings, Rule};
use crate::Level;
use crate::registry::{Ambiguity, Observe, Profile, Requirement, Role};
use crate::spec;

/// Characters of a quote, at least: a word alone says nothing.
const QUOTE_MIN: usize = 11;

/// Ids, clauses, quotes and what contradicts itself in requirements.
#[must_use]
pub fn requirements(rows: &[Requirement]) -> Vec<Finding> {
    let mut found = Findings::default();
    let mut seen = BTreeSet::new();
    for row in rows {
        let id = row.id.as_str();
        found.check(seen.insert(id), Rule::Id, id, || "stands twice: ids are never used again".to_owned());
        found.check(spec::clause(&row.clause).is_some(), Rule::Clause, id, || {
            format!("the text has no clause {}", row.clause)
        });
        check_id(&mut found, row);
        check_quotes(&mut found, row);
        check_row(&mut found, row);
    }
    found.0
}

/// `HSP-clause-number`, the clause being that of the row or one that it is inside of; `HSP-C-number` for clients.
fn check_id(found: &mut Findings, row: &Requirement) {
    let parts = row.id.strip_prefix("HSP-").and_then(|rest| rest.split_once('-'));
    let well_formed = parts.is_some_and(|(clause, number)| {
        (clause == "C" || spec::clause(clause).is_some())
            && matches!(number.len(), 1..=3)
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    found.check(well_formed, Rule::Id, &row.id, || "is not HSP-, a clause or C, -, a number".to_owned());
    let fits = parts.is_none_or(|(clause, _)| {
        clause == "C" || clause == row.clause || row.clause.starts_with(&format!("{clause}."))
    });
    found.check(fits, Rule::Id, &row.id, || format!("belongs to clause {}", row.clause));
}

fn check_quotes(found: &mut Findings, row: &Requirement) {
    let mut seen = BTreeSet::new();
    for quote in core::iter::once(&row.quote).chain(&row.also) {
        let words = spec::normalise(quote);
        found.check(spec::contains(&words), Rule::Quote, &row.id, || {
            format!("the text does not say \"{words}\"")
        });
        found.check(!spec::is_heading(&words), Rule::Quote, &row.id, || {
            format!("\"{words}\" is only a heading")
        });
        found.check(words.len() >= QUOTE_MIN && words.contains(' '), Rule::Quote, &row.id, || {
            format!("\"{words}\" is too little to rest on")
        });
        found.check(seen.insert(words.clone()), Rule::Quote, &row.id, || format!("quotes \"{words}\" twice"));
    }
}

fn check_row(found: &mut Findings, row: &Requirement) {
    let mut check = |holds: bool, message: &str| {
        found.check(holds, Rule::Row, &row.id, || message.to_owned());
    };
    check(row.text.ends_with('.') && row.text.len() > 10, "its text is not a sentence");
    check(
        spec::normalise(&row.text) != spec::normalise(&row.quote),
        "its text is the quote: say it in other words",
    );
    check(!row.observe.is_empty(), "does not say how it is observed");
    check(
        !row.observe.contains(&Observe::None) || row.excluded.is_some(),
        "cannot be observed: it has to say in `excluded` why",
    );
    check(row.excluded.as_ref().is_none_or(|reason| reason.len() > 10), "`excluded` is no reason");
    check(!row.with.contains(&row.profile), "names its own profile in `with`");
    check(row.code.is_none() || row.level >= Level::Should, "can never fail, so it can demand no code");
    check(
        row.code.is_none_or(|code| spec::TEXT.lines().any(|line| line.starts_with(&format!("{code} ")))),
        "demands a code that section 8 does not list",
    );
    check(
        (row.role == Role::Client) == (row.profile == Profile::Client),
        "its role and its profile contradict",
    );
}

/// Ids, clauses, readings and references of ambiguities.
#[must_use]
pub fn ambiguities(rows: &[Ambiguity], requirements: &[Requirement]) -> Vec<Finding> {
    let mut found = Findings::default();
    for (index, row) in rows.iter().enumerate() {
        let id = row.id.as_str();
        let wanted = format!("A-{:02}", index + 1);
        found.check(id == wanted, Rule::Id, id, || format!("should be {wanted}: they are numbered in order"));
        found.check(spec::clause(&row.clause).is_some(), Rule::Clause, id, || {
            format!("the text has no clause {}", row.clause)
        });
        found.check(row.question.ends_with('?'), Rule::Row, id, || "asks no question".to_owned());
        found.check(row.readings.len() > 1, Rule::Row, id, || {
            "has one reading: that is no ambiguity".to_owned()
        });
        found.check(row.readings.contains(&row.default), Rule::Row, id, || {
            format!("its default \"{}\" is none of its readings", row.default)
        });
        found.check(!row.reveals.is_empty(), Rule::Reference, id, || "no requirement reveals it".to_owned());
        for name in &row.reveals {
            found.check(requirements.iter().any(|r| r.id == *name), Rule::Reference, id, || {
                format!("there is no requirement {name}")
            });
        }
    }
    found.0
}
