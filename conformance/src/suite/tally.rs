//! Counting, and how the process ends.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::events::{CheckEvent, Event, Footer, Sink};
use crate::level::Level;
use crate::runner::{EVERY_ANSWER, Report, Stop, Violation};
use crate::verdict::{Exit, Verdict};

use super::{Counts, Plan, check_of, level_of};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How the process ends.
    pub exit: Exit,
    /// Why, in words.
    pub message: String,
    /// Checks by verdict.
    pub counts: BTreeMap<String, u64>,
    /// Requirements that failed, each once.
    pub failed: Vec<String>,
    /// Requirements with a warning.
    pub warned: Vec<String>,
    /// Entries of the baseline that are stale.
    pub stale: Vec<String>,
    /// How long it took, in milliseconds of the target's time.
    pub elapsed_ms: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    failed: Vec<String>,
    warned: Vec<String>,
    /// `must`s that were checked, and that could not be.
    musts: u64,
    untested_musts: u64,
    /// Cases that could not show anything because of a wrong answer where they only prepare, and the first reason.
    blocked: Option<String>,
    /// Whether all checks of a case passed.
    passed: BTreeMap<String, bool>,
    answers: u64,
    violations: Vec<(String, Violation)>,
}

/// What stands in the place of a case for what all answers show.
pub(super) const EVERY: &str = "every-answer";

/// Violations of one requirement that are shown.
const SHOWN: usize = 5;
/// Violations kept, at most.
const KEPT: usize = 1000;

impl Tally {
    pub(super) fn count(&mut self, event: &CheckEvent) {
        *self.counts.entry(event.verdict).or_default() += 1;
        let list = match event.verdict {
            Verdict::Fail | Verdict::Flaky => Some(&mut self.failed),
            Verdict::Warn => Some(&mut self.warned),
            _ => None,
        };
        if let Some(list) = list
            && !list.contains(&event.requirement)
        {
            list.push(event.requirement.clone());
        }
        // What is seen in passing does not make a run: a target that serves nothing is not conformant.
        let of_a_case = event.case != EVERY && !event.case.starts_with("profiles/");
        if event.level == Level::Must && of_a_case {
            self.musts += u64::from(event.verdict.is_executed());
            self.untested_musts += u64::from(event.verdict == Verdict::Untestable);
        }
    }

    /// Notes how a case came out, for those whose twin it is.
    pub(super) fn note_case(&mut self, id: &str, events: &[CheckEvent]) {
        let good = |verdict| matches!(verdict, Verdict::Pass | Verdict::Info | Verdict::Warn);
        let passed = !events.is_empty() && events.iter().all(|event| good(event.verdict));
        self.passed.insert(id.to_owned(), passed);
    }

    pub(super) fn passed(&self, id: &str) -> bool {
        self.passed.get(id).copied().unwrap_or(false)
    }

    pub(super) fn blocked(&mut self, report: &Report) {
        if let Some(Stop::Setup(why)) = &report.stopped {
            self.blocked.get_or_insert_with(|| why.clone());
        }
    }

    pub(super) fn watch(&mut self, case: &str, report: &Report) {
        self.answers += report.answers;
        let room = KEPT.saturating_sub(self.violations.len());
        let new = report.violations.iter().take(room).map(|violation| (case.to_owned(), violation.clone()));
        self.violations.extend(new);
    }

    /// What every answer of the run shows of the rules that all answers keep.
    pub(super) fn watched(&self) -> Vec<CheckEvent> {
        if self.answers == 0 && self.violations.is_empty() {
            return Vec::new();
        }
        let event = |requirement: &&str| {
            let level = level_of(requirement, None);
            let broken: Vec<_> =
                self.violations.iter().filter(|(_, one)| one.requirement == *requirement).collect();
            let verdict = match (broken.is_empty(), level) {
                (true, _) => Verdict::Pass,
                (false, Level::Must) => Verdict::Fail,
                (false, Level::Should) => Verdict::Warn,
                (false, Level::May | Level::Info) => Verdict::Info,
            };
            let mut event = check_of(requirement, EVERY, 0, "transport", level, verdict);
            if let Some((case, first)) = broken.first() {
                event.expected.clone_from(&first.expected);
                event.actual = format!("in {case}, step {}: {}", first.step, first.actual);
                let others = broken.iter().skip(1).take(SHOWN);
                event.notes = others
                    .map(|(case, one)| format!("in {case}, step {}: {}", one.step, one.actual))
                    .collect();
                event.notes.push(format!("{} times in {} answers", broken.len(), self.answers));
            }
            event
        };
        EVERY_ANSWER.iter().map(event).collect()
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.counts.contains_key(&verdict)
    }

    fn exit(&self, plan: &Plan, selected: usize, gone: Option<&str>, stale: &[String]) -> (Exit, String) {
        if self.has(Verdict::Error) {
            return (Exit::Harness, "the judge itself went wrong; please report this".to_owned());
        }
        if !self.failed.is_empty() {
            let list = self.failed.join(", ");
            return (Exit::Fail, format!("not conformant: {list}"));
        }
        if let Some(gone) = gone {
            return (Exit::Fail, format!("the run did not come to its end: {gone}"));
        }
        if let (Some(why), false) = (&self.blocked, self.has(Verdict::ExpectedFail)) {
            return (Exit::Fail, format!("nothing failed by itself, but cases could not be prepared: {why}"));
        }
        if !stale.is_empty() {
            return (Exit::StaleBaseline, format!("the baseline is stale: {}", stale.join("; ")));
        }
        if selected == 0 {
            return (Exit::NothingExecuted, "no case fits what was asked for".to_owned());
        }
        if self.musts == 0 {
            return (Exit::NothingExecuted, "no requirement could be checked".to_owned());
        }
        if plan.strict && (self.has(Verdict::Warn) || self.untested_musts > 0) {
            let text = format!(
                "with --strict: {} warnings, {} musts untestable",
                self.warned.len(),
                self.untested_musts
            );
            return (Exit::Strict, text);
        }
        let untested = match self.untested_musts {
            0 => String::new(),
            count => format!("; {count} checks of musts could not be made"),
        };
        (Exit::Conformant, format!("no failure{untested}"))
    }

    /// Writes the footer.
    pub(super) fn finish(
        self,
        plan: &Plan,
        selected: usize,
        gone: Option<&str>,
        stale: Vec<String>,
        elapsed: Duration,
        sink: &mut dyn Sink,
    ) -> Summary {
        let (exit, message) = self.exit(plan, selected, gone, &stale);
        self.close(exit, message, stale, elapsed, sink)
    }

    /// Writes the footer of a run that could not begin.
    pub(super) fn unreachable(self, why: &str, elapsed: Duration, sink: &mut dyn Sink) -> Summary {
        let message = format!("the target could not be judged: {why}");
        self.close(Exit::Unreachable, message, Vec::new(), elapsed, sink)
    }

    fn close(
        self,
        exit: Exit,
        message: String,
        stale: Vec<String>,
        elapsed: Duration,
        sink: &mut dyn Sink,
    ) -> Summary {
        let counts: BTreeMap<String, u64> =
            self.counts.iter().map(|(verdict, count)| (verdict.name().to_owned(), *count)).collect();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        sink.event(&Event::Footer(Footer {
            counts: counts.clone(),
            exit,
            message: message.clone(),
            stale: stale.clone(),
            elapsed_ms,
        }));
        Summary { exit, message, counts, failed: self.failed, warned: self.warned, stale, elapsed_ms }
    }
}
