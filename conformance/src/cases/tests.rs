//! What comes with the judge can be read and is about what there is.

use std::collections::BTreeSet;

use super::*;
use crate::case::{Action, Send};
use crate::json::Json;
use crate::registry::lint::{self, Finding, Rule};
use crate::registry::{self, Observe, Profile};

fn all() -> Vec<Case> {
    shipped().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_case_is_of_a_profile_and_about_requirements_that_there_are() {
    let cases = all();
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "an id is there twice");
    for case in &cases {
        assert!(Profile::parse(&case.profile).is_some(), "{}: no profile {}", case.id, case.profile);
        for cite in case.cites() {
            let row = registry::requirement(&cite.id);
            let level = row.unwrap_or_else(|| panic!("{}: no requirement {}", case.id, cite.id)).level;
            assert!(cite.level.is_none_or(|own| own <= level), "{}: stricter than {}", case.id, cite.id);
        }
        let twin = case.twin.as_deref().filter(|twin| *twin != "self");
        assert!(twin.is_none_or(|twin| ids.contains(twin)), "{}: no twin {twin:?}", case.id);
    }
}

#[test]
fn every_method_is_asked_the_same_questions() {
    let cases = generated().unwrap_or_else(|error| panic!("{error}"));
    let count = |what: &str| cases.iter().filter(|case| case.id.ends_with(what)).count();
    assert_eq!([count("/result"), count("/unknown-session")], [44, 16]);
    // Three have no required parameter; one has no parameter at all, and one takes anything.
    assert_eq!([count("/missing"), count("/wrong-type")], [41, 42]);
    for case in &cases {
        let own = case.id.split('/').nth(1).expect("a method");
        assert!(case.methods().iter().any(|method| method == own), "{}", case.id);
    }
}

#[test]
fn a_generated_case_reads_as_one_would_write_it() {
    let text =
        texts().into_iter().find(|(id, _)| id == "methods/state.recordEpisode/missing").expect("a case").1;
    let wanted = r#"title: state.recordEpisode is refused without a required parameter
profile: state
requires: HSP-4.1-21
twin: methods/state.recordEpisode/result

@session SESSION
# sessionId
>> rpc {"method":"state.recordEpisode","params":{"outcome":"success","reward":0.85}}
<< rpc {"error": {"code": {"$enum": [-32602, -32600]}}}
# outcome
>> rpc {"method":"state.recordEpisode","params":{"reward":0.85,"sessionId":"$SESSION"}}
<< rpc {"error": {"code": {"$enum": [-32602, -32600]}}}
# reward
>> rpc {"method":"state.recordEpisode","params":{"outcome":"success","sessionId":"$SESSION"}}
<< rpc {"error": {"code": {"$enum": [-32602, -32600]}}}
"#;
    assert_eq!(text, wanted);
}

#[test]
fn no_case_calls_a_method_of_the_text_by_a_wrong_name() {
    for case in all() {
        case.each_step(&mut |step| {
            let Action::Send { what: Send::Rpc(body), .. } = &step.action else { return };
            let method = body.source().get("method").and_then(Json::as_str).unwrap_or_default();
            // Cases about unknown methods are of the transport.
            let known = registry::method(method).is_some() || method.starts_with('$');
            assert!(known || case.profile == "transport", "{}: {method}", case.id);
        });
    }
}

/// Requirements that show over JSON-RPC alone and yet have no case, because they are judged before any case runs (`profiles/*`).
const WITHOUT: [&str; 1] = ["HSP-3-06"];

#[test]
fn cases_and_requirements_keep_the_lints() {
    let facts: Vec<_> = all().iter().map(facts).collect();
    let found = lint::cases(registry::requirements(), &facts);
    let of_coverage = |finding: &Finding| matches!(finding.rule, Rule::MustHasCase | Rule::CodeIsAsserted);
    // What shows between peers only has no cases yet.
    let over_rpc = |finding: &Finding| {
        let row = registry::requirement(&finding.subject).expect("a finding is about a row");
        row.observe.iter().all(|how| matches!(how, Observe::Rpc | Observe::Ws))
    };
    let (coverage, others): (Vec<_>, Vec<_>) = found.into_iter().partition(of_coverage);
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
    let without: BTreeSet<String> =
        coverage.into_iter().filter(over_rpc).map(|finding| finding.subject).collect();
    assert_eq!(without, WITHOUT.map(str::to_owned).into());
}
