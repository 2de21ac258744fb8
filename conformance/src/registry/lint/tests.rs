//! The embedded files keep every rule, and every rule sees a mistake that is planted for it.

use super::*;
use crate::Level;
use crate::registry::{self, Ambiguity, Kind, Method, Observe, Profile, Requirement, Role, SessionUse};

fn none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(|finding| format!("{:?} {finding}", finding.rule)).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Exactly this rule is broken, by this subject, and the message has these words.
fn one(findings: &[Finding], rule: Rule, subject: &str, words: &str) {
    let fits = |f: &&Finding| f.rule == rule && f.subject == subject && f.message.contains(words);
    assert_eq!(
        findings.iter().filter(fits).count(),
        1,
        "no {rule:?} of {subject} with '{words}' in {findings:#?}"
    );
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn the_embedded_requirements_keep_the_rules() {
    none(&requirements(registry::requirements()));
}

#[test]
fn the_embedded_methods_keep_the_rules() {
    none(&methods(registry::methods(), registry::requirements()));
}

#[test]
fn the_embedded_ambiguities_keep_the_rules() {
    none(&ambiguities(registry::ambiguities(), registry::requirements()));
    assert_eq!(registry::ambiguities().len(), 33);
}

#[test]
fn every_clause_that_demands_something_has_a_requirement() {
    // Introductions, and sections whose subclauses say everything.
    let rests_on = |id: &str| {
        registry::requirements().iter().any(|row| row.quoted_from().is_some_and(|clause| clause.id == id))
    };
    let silent: Vec<_> =
        crate::spec::clauses().iter().map(|c| c.id.as_str()).filter(|id| !rests_on(id)).collect();
    assert_eq!(silent.join(" "), "1 1.1 1.2 2 4 5 6 7 9 10 11");
}

fn row(change: impl FnOnce(&mut Requirement)) -> Vec<Finding> {
    let mut row = registry::requirement("HSP-4.2-11").unwrap().clone();
    change(&mut row);
    requirements(&[row])
}

#[test]
fn planted_mistakes_in_ids_and_clauses_are_found() {
    let id = "HSP-4.2-11";
    let twice = registry::requirement(id).unwrap();
    one(&requirements(&[twice.clone(), twice.clone()]), Rule::Id, id, "twice");
    for bad in ["HSP-4.2", "4.2-11", "HSP-4.2-", "HSP-4.2-x1", "HSP-4.2-1234", "HSP-4.9-01"] {
        let findings = row(|r| r.id = bad.to_owned());
        assert!(findings.iter().any(|f| f.rule == Rule::Id), "{bad}: {findings:?}");
    }
    one(&row(|r| r.id = "HSP-4.3-11".to_owned()), Rule::Id, "HSP-4.3-11", "belongs to clause 4.2");
    one(&row(|r| r.clause = "4.2.1".to_owned()), Rule::Clause, id, "no clause 4.2.1");
}

#[test]
fn planted_mistakes_in_quotes_are_found() {
    let id = "HSP-4.2-11";
    one(
        &row(|r| r.quote = "-32002 Budget Exceeded Operation might exceed budget".to_owned()),
        Rule::Quote,
        id,
        "does not say",
    );
    one(&row(|r| r.also.push("Nobody said this ever".to_owned())), Rule::Quote, id, "does not say");
    one(&row(|r| r.quote = "Guard Primitive".to_owned()), Rule::Quote, id, "only a heading");
    one(&row(|r| r.quote = "8. Error Codes".to_owned()), Rule::Quote, id, "only a heading");
    one(&row(|r| r.quote = "Budget".to_owned()), Rule::Quote, id, "too little");
    one(&row(|r| r.also.push(r.quote.clone())), Rule::Quote, id, "twice");
    assert!(!row(|r| r.quote = String::new()).is_empty());
}

#[test]
fn planted_contradictions_in_rows_are_found() {
    let id = "HSP-4.2-11";
    one(&row(|r| r.text = "Too short".to_owned()), Rule::Row, id, "not a sentence");
    one(&row(|r| r.observe.clear()), Rule::Row, id, "how it is observed");
    one(&row(|r| r.observe = vec![Observe::None]), Rule::Row, id, "has to say in `excluded` why");
    one(&row(|r| r.excluded = Some("no".to_owned())), Rule::Row, id, "no reason");
    one(&row(|r| r.with = vec![Profile::Guard]), Rule::Row, id, "own profile");
    one(&row(|r| r.level = Level::May), Rule::Row, id, "can never fail");
    one(&row(|r| r.code = Some(-32099)), Rule::Row, id, "section 8 does not list");
    one(&row(|r| r.code = Some(-3200)), Rule::Row, id, "section 8 does not list");
    one(&row(|r| r.role = Role::Client), Rule::Row, id, "contradict");
    let quoted = row(|r| {
        r.quote = "The guard primitive protects sessions from overspending and unsafe content.".to_owned();
        r.text = r.quote.clone();
    });
    one(&quoted, Rule::Row, id, "other words");
}

#[test]
fn planted_mistakes_in_ambiguities_are_found() {
    let good = registry::ambiguities()[0].clone();
    let lint = |change: fn(&mut Ambiguity)| {
        let mut row = good.clone();
        change(&mut row);
        ambiguities(&[row], registry::requirements())
    };
    one(&lint(|a| a.id = "A-02".to_owned()), Rule::Id, "A-02", "A-01");
    one(&lint(|a| a.clause = "12".to_owned()), Rule::Clause, "A-01", "no clause 12");
    one(&lint(|a| a.question = "It is open.".to_owned()), Rule::Row, "A-01", "no question");
    one(&lint(|a| a.readings.truncate(1)), Rule::Row, "A-01", "one reading");
    one(&lint(|a| a.default = "another".to_owned()), Rule::Row, "A-01", "none of its readings");
    one(&lint(|a| a.reveals.clear()), Rule::Reference, "A-01", "no requirement");
    one(&lint(|a| a.reveals.push("HSP-2.1-99".to_owned())), Rule::Reference, "A-01", "HSP-2.1-99");
}

/// Findings after a change to the row of one method.
fn table(name: &str, change: impl FnOnce(&mut Method)) -> Vec<Finding> {
    let mut rows = registry::methods().to_vec();
    change(rows.iter_mut().find(|row| row.name == name).unwrap());
    methods(&rows, registry::requirements())
}

#[test]
fn planted_mistakes_in_methods_are_found() {
    let name = "memory.archive";
    one(
        &table(name, |m| m.params[0].name = "key".to_owned()),
        Rule::Signature,
        name,
        "parameters are id, not key",
    );
    one(&table(name, |m| m.params[0].required = false), Rule::Signature, name, "id is required");
    one(
        &table(name, |m| m.result[0].kind = Kind::String),
        Rule::Signature,
        name,
        "archived is written \"boolean\"",
    );
    one(&table(name, |m| m.result[1].values.clear()), Rule::Signature, name, "tier is written");
    one(&table(name, |m| m.result.truncate(1)), Rule::Signature, name, "archived, tier, not archived");
    one(&table(name, |m| m.returns = Some("Info".to_owned())), Rule::Signature, name, "has no name");
    one(&table(name, |m| m.clause = "4.3".to_owned()), Rule::Clause, name, "clause 4.4");
    let moved = table(name, |m| m.primitive = Profile::Tool);
    assert_eq!(moved.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::Row, Rule::Reference]);
    one(&table(name, |m| m.session = SessionUse::Required), Rule::Row, name, "should be None");
    one(&table(name, |m| m.shape = "HSP-4.4-99".to_owned()), Rule::Reference, name, "HSP-4.4-99");
    one(&table(name, |m| m.shape = "HSP-4.1-01".to_owned()), Rule::Reference, name, "HSP-4.1-01");
    one(
        &table("state.getSession", |m| m.returns = None),
        Rule::Signature,
        "state.getSession",
        "called SessionInfo",
    );
    one(
        &table("memory.list", |m| m.result[0].kind = Kind::Json),
        Rule::Signature,
        "memory.list",
        "is an array",
    );
    let renamed = table(name, |m| m.name = "memory.archives".to_owned());
    one(&renamed, Rule::Signature, "memory.archives", "that of memory.archive");
    let reward = "state.recordEpisode";
    one(&table(reward, |m| m.params[2].min = Some(2.0)), Rule::Row, reward, "empty range");
    one(&table(reward, |m| m.params[1].max = Some(2.0)), Rule::Row, reward, "is no number");
    one(&table(reward, |m| m.params[2].values = vec!["1".to_owned()]), Rule::Row, reward, "is no string");
    one(&table(reward, |m| m.params[1].item = Some(Kind::Json)), Rule::Row, reward, "is no array");
    one(&table("tool.discover", |m| m.result[0].item = None), Rule::Row, "tool.discover", "no objects");
    one(
        &table("recursive.analyze", |m| m.result[3].required = true),
        Rule::Row,
        "recursive.analyze",
        "alone and required",
    );
}

#[test]
fn a_method_too_few_or_too_many_is_found() {
    let all = registry::methods();
    let last = &all[43].signature;
    one(&methods(&all[..43], registry::requirements()), Rule::Signature, last, "number 44");
    let mut more = all.to_vec();
    more.push(all[0].clone());
    one(&methods(&more, registry::requirements()), Rule::Signature, "state.createSession", "no such method");
    let mut swapped = all.to_vec();
    swapped.swap(0, 1);
    assert_eq!(methods(&swapped, registry::requirements()).len(), 2);
}

/// A small registry: a MUST with a code, a SHOULD, a MAY, an excluded MUST.
fn small() -> Vec<Requirement> {
    ["HSP-4.2-11", "HSP-4.1-24", "HSP-4.2-09", "HSP-6-01"]
        .map(|id| registry::requirement(id).unwrap().clone())
        .to_vec()
}

/// A case that covers it.
fn good() -> CaseFacts {
    let cites = [("HSP-4.2-11", Level::Must), ("HSP-4.1-24", Level::Should), ("HSP-4.2-09", Level::May)];
    CaseFacts {
        id: "hs/4.2/over".to_owned(),
        requirements: cites.map(|(id, level)| (id.to_owned(), level)).to_vec(),
        asserts_codes: vec![-32002],
        negative: false,
        twin: None,
    }
}

fn judge(change: impl FnOnce(&mut CaseFacts)) -> Vec<Finding> {
    let mut case = good();
    change(&mut case);
    cases(&small(), &[case])
}

#[test]
fn cases_that_keep_the_rules_give_no_findings() {
    none(&judge(|_| ()));
    none(&judge(|case| case.requirements[1].1 = Level::Info));
    none(&judge(|case| case.requirements[2].1 = Level::Info));
}

#[test]
fn a_must_needs_a_case_that_judges_it_as_one_or_a_reason() {
    let id = "HSP-4.2-11";
    let without = cases(&small(), &[]);
    assert_eq!(without.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::MustHasCase, Rule::CodeIsAsserted]);
    assert!(without.iter().all(|f| f.subject == id));
    one(&judge(|case| case.requirements[0].1 = Level::Should), Rule::MustHasCase, id, "as should only");
    let mut excluded = small();
    excluded[0].excluded = Some("a later milestone".to_owned());
    none(&cases(&excluded, &[]));
    one(&cases(&excluded, &[good()]), Rule::ExcludedHasCase, id, "hs/4.2/over cites it");
}

#[test]
fn a_code_has_to_be_asserted_by_a_case_of_its_requirement() {
    one(&judge(|case| case.asserts_codes.clear()), Rule::CodeIsAsserted, "HSP-4.2-11", "-32002");
    one(&judge(|case| case.asserts_codes = vec![-32003]), Rule::CodeIsAsserted, "HSP-4.2-11", "-32002");
    let mut with_code = good();
    with_code.id = "hs/elsewhere".to_owned();
    with_code.requirements.remove(0);
    let mut without_code = good();
    without_code.asserts_codes.clear();
    let findings = cases(&small(), &[with_code, without_code]);
    one(&findings, Rule::CodeIsAsserted, "HSP-4.2-11", "no case of it asserts that");
}

#[test]
fn no_case_is_stricter_than_its_requirement() {
    let id = "hs/4.2/over";
    one(
        &judge(|case| case.requirements[2].1 = Level::Must),
        Rule::NotStricter,
        id,
        "HSP-4.2-09 as must, which is only may",
    );
    one(
        &judge(|case| case.requirements[2].1 = Level::Should),
        Rule::NotStricter,
        id,
        "as should, which is only may",
    );
    one(&judge(|case| case.requirements[1].1 = Level::Must), Rule::NotStricter, id, "HSP-4.1-24 as must");
    let mut info = small();
    info[2].level = Level::Info;
    none(&cases(&info, &[good()]));
    let mut strict = good();
    strict.requirements[2].1 = Level::Should;
    one(&cases(&info, &[strict]), Rule::NotStricter, id, "which is only info");
}

#[test]
fn a_negative_needs_a_positive_twin() {
    let id = "hs/4.2/over";
    let rule = Rule::NegativeHasTwin;
    one(&judge(|case| case.negative = true), rule, id, "has no twin");
    let of = |twin: &str| {
        judge(|case| {
            case.negative = true;
            case.twin = Some(twin.to_owned());
        })
    };
    one(&of("hs/none"), rule, id, "is no case");
    none(&of(id));
    let mut pair = [good(), good()];
    pair[0].negative = true;
    pair[0].twin = Some("hs/4.2/under".to_owned());
    pair[1].id = "hs/4.2/under".to_owned();
    none(&cases(&small(), &pair));
    pair[1].negative = true;
    pair[1].twin = Some("hs/4.2/under".to_owned());
    one(&cases(&small(), &pair), rule, id, "negative too");
}

#[test]
fn a_case_cites_requirements_that_exist_and_stands_once() {
    let id = "hs/4.2/over";
    one(
        &judge(|case| case.requirements.push(("HSP-9.9-01".to_owned(), Level::Must))),
        Rule::Reference,
        id,
        "HSP-9.9-01",
    );
    let mut idle = good();
    idle.id = "hs/idle".to_owned();
    idle.requirements.clear();
    one(&cases(&small(), &[good(), idle.clone()]), Rule::CitesSomething, "hs/idle", "no requirement");
    idle.requirements.push(("HSP-9.9-01".to_owned(), Level::Must));
    assert_eq!(cases(&small(), &[good(), idle]).len(), 2);
    one(&cases(&small(), &[good(), good()]), Rule::Id, id, "twice");
}
