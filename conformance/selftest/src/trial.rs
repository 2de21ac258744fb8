//! One judgement of one node: everything that the judge finds wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use hyperspace_conformance::case::Case;
use hyperspace_conformance::events::{Event, Sink};
use hyperspace_conformance::suite::{self, Plan};
use hyperspace_conformance::target::Target;
use hyperspace_conformance::verdict::{Exit, Verdict};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A check that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its id.
    pub check: String,
    /// The requirement.
    pub requirement: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was expected and seen, or why there is no verdict.
    pub why: String,
}

/// What the judge says of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// Checks that failed or warned.
    pub faults: Vec<Fault>,
    /// Checks that could not be made.
    pub untestable: Vec<Fault>,
    /// Checks by verdict.
    pub counts: BTreeMap<String, u64>,
    /// How the judge's process would end, and why.
    pub exit: Exit,
    /// Why, in words.
    pub message: String,
    /// A hash of all that was said and found.
    pub transcript: String,
}

impl Judgement {
    /// Checks of `must`s that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.verdict >= Verdict::Flaky)
    }
}

/// Keeps what a judgement needs of the stream, and a hash of all of it.
#[derive(Default)]
struct Keeper {
    faults: Vec<Fault>,
    untestable: Vec<Fault>,
    hash: Sha256,
}

impl Sink for Keeper {
    fn event(&mut self, event: &Event) {
        // The first line and the last one have names and counts, which are not what is said.
        if !matches!(event, Event::Header(_) | Event::Footer(_))
            && let Ok(line) = serde_json::to_vec(event)
        {
            self.hash.update(&line);
        }
        let Event::Check(check) = event else { return };
        let list = match check.verdict {
            Verdict::Warn | Verdict::Flaky | Verdict::Fail | Verdict::Error => &mut self.faults,
            Verdict::Untestable => &mut self.untestable,
            Verdict::Pass
            | Verdict::Info
            | Verdict::NotApplicable
            | Verdict::ExpectedFail
            | Verdict::UnexpectedPass => return,
        };
        let why = if check.reason.is_empty() {
            format!("{}: expected {}, got {}", check.path, check.expected, check.actual)
        } else {
            check.reason.clone()
        };
        list.push(Fault {
            check: check.id.clone(),
            requirement: check.requirement.clone(),
            verdict: check.verdict,
            why,
        });
    }
}

/// Judges a target by these cases. The same cases, target and seed give the same judgement.
pub fn judge(cases: &[Case], target: &mut dyn Target, seed: u64) -> Judgement {
    let plan = Plan { seed, time: core::time::Duration::from_secs(1_000_000), ..Plan::default() };
    let mut keeper = Keeper::default();
    let summary = suite::run(cases, &plan, target, &mut keeper);
    let transcript = keeper.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Judgement {
        faults: keeper.faults,
        untestable: keeper.untestable,
        counts: summary.counts,
        exit: summary.exit,
        message: summary.message,
        transcript,
    }
}

/// These cases, and those that must pass for them to mean anything.
#[must_use]
pub fn with_twins(cases: &[Case], wanted: impl Fn(&Case) -> bool) -> Vec<Case> {
    let mut ids: BTreeSet<&str> =
        cases.iter().filter(|case| wanted(case)).map(|case| case.id.as_str()).collect();
    loop {
        let twins = cases
            .iter()
            .filter(|case| ids.contains(case.id.as_str()))
            .filter_map(|case| case.twin.as_deref());
        let more: Vec<&str> = twins.filter(|twin| *twin != "self" && !ids.contains(twin)).collect();
        let before = ids.len();
        ids.extend(more);
        if ids.len() == before {
            return cases.iter().filter(|case| ids.contains(case.id.as_str())).cloned().collect();
        }
    }
}
