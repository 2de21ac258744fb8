//! Cases against the requirements that they cite.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Findings, Rule};
use crate::Level;
use crate::registry::Requirement;

/// What the lints need to know of a case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CaseFacts {
    /// Its id.
    pub id: String,
    /// The requirements that it cites, also in single steps, each with the level at which it judges them.
    pub requirements: Vec<(String, Level)>,
    /// The error codes that it demands: a check that takes any of several codes demands none of them.
    pub asserts_codes: Vec<i64>,
    /// Whether it shows that something is refused or does not happen.
    pub negative: bool,
    /// The positive case that differs from it in what is refused; a negative that holds its own twin names itself.
    pub twin: Option<String>,
}

/// Cases against requirements, both ways.
#[must_use]
pub fn cases(requirements: &[Requirement], cases: &[CaseFacts]) -> Vec<Finding> {
    let mut found = Findings::default();
    let by_id: BTreeMap<&str, &Requirement> = requirements.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut seen = BTreeSet::new();
    for case in cases {
        found.check(seen.insert(case.id.as_str()), Rule::Id, &case.id, || "stands twice".to_owned());
        check_citations(&mut found, case, &by_id);
        check_twin(&mut found, case, cases);
    }
    let mut citing: BTreeMap<&str, Vec<(&CaseFacts, Level)>> = BTreeMap::new();
    for case in cases {
        for (id, level) in &case.requirements {
            citing.entry(id).or_default().push((case, *level));
        }
    }
    for row in requirements {
        check_coverage(&mut found, row, citing.get(row.id.as_str()).map_or(&[], Vec::as_slice));
    }
    found.0
}

fn check_citations(found: &mut Findings, case: &CaseFacts, by_id: &BTreeMap<&str, &Requirement>) {
    let known = case.requirements.iter().any(|(id, _)| by_id.contains_key(id.as_str()));
    found.check(known, Rule::CitesSomething, &case.id, || "cites no requirement of the registry".to_owned());
    for (id, level) in &case.requirements {
        let Some(row) = by_id.get(id.as_str()) else {
            found.add(Rule::Reference, &case.id, format!("there is no requirement {id}"));
            continue;
        };
        // `info` and `may` are alike here: neither can fail anybody.
        let can_fail = *level >= Level::Should;
        found.check(!can_fail || *level <= row.level, Rule::NotStricter, &case.id, || {
            format!("judges {id} as {}, which is only {}", level.name(), row.level.name())
        });
    }
}

fn check_twin(found: &mut Findings, case: &CaseFacts, cases: &[CaseFacts]) {
    if !case.negative {
        return;
    }
    let Some(twin) = &case.twin else {
        let message = "is negative and has no twin: it would also pass where nothing works at all";
        found.add(Rule::NegativeHasTwin, &case.id, message);
        return;
    };
    if *twin == case.id {
        return;
    }
    match cases.iter().find(|other| other.id == *twin) {
        None => found.add(Rule::NegativeHasTwin, &case.id, format!("its twin {twin} is no case")),
        Some(other) if other.negative => {
            found.add(Rule::NegativeHasTwin, &case.id, format!("its twin {twin} is negative too"));
        }
        Some(_) => {}
    }
}

fn check_coverage(found: &mut Findings, row: &Requirement, citing: &[(&CaseFacts, Level)]) {
    if row.excluded.is_some() {
        if let Some((case, _)) = citing.first() {
            found.add(Rule::ExcludedHasCase, &row.id, format!("is excluded, yet {} cites it", case.id));
        }
        return;
    }
    if row.level == Level::Must {
        let judged = citing.iter().any(|(_, level)| *level == Level::Must);
        found.check(judged, Rule::MustHasCase, &row.id, || match citing {
            [] => "is a MUST without a case or a reason for having none".to_owned(),
            [(case, level), ..] => format!("is a MUST, and {} judges it as {} only", case.id, level.name()),
        });
    }
    if let Some(code) = row.code {
        let asserted = citing.iter().any(|(case, _)| case.asserts_codes.contains(&code));
        found.check(asserted, Rule::CodeIsAsserted, &row.id, || {
            format!("demands {code}, and no case of it asserts that")
        });
    }
}
