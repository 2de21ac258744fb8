//! Keeps what came of each check, one entry for each id however often its step runs, and the transcript.

use core::time::Duration;

use crate::case::{Action, Case, Role};
use crate::matcher::{Checked as Matched, Cite, Finding, Matcher, Weight};

use super::{Checked, Outcome, Said, Stop};

/// Entries of a transcript, at most.
const TRANSCRIPT_MAX: usize = 5000;
/// Characters of them, at most.
const TRANSCRIPT_CHARS_MAX: usize = 1 << 20;
/// Characters of one entry, at most.
const ENTRY_CHARS_MAX: usize = 4000;

#[derive(Debug)]
pub(super) struct Judge<'c> {
    case: &'c Case,
    checks: Vec<Checked>,
    pub(super) transcript: Vec<Said>,
    chars_left: usize,
}

impl<'c> Judge<'c> {
    pub(super) fn new(case: &'c Case) -> Self {
        Self { case, checks: Vec::new(), transcript: Vec::new(), chars_left: TRANSCRIPT_CHARS_MAX }
    }

    pub(super) fn say(
        &mut self,
        step: u32,
        direction: &'static str,
        connection: &str,
        at: Duration,
        text: &str,
    ) {
        if self.transcript.len() >= TRANSCRIPT_MAX || self.chars_left == 0 {
            return;
        }
        let room = ENTRY_CHARS_MAX.min(self.chars_left);
        let mut kept: String = text.chars().take(room).collect();
        self.chars_left -= kept.chars().count();
        if kept.len() < text.len() {
            kept.push_str(&format!("... ({} bytes)", text.len()));
        }
        self.transcript.push(Said { step, direction, connection: connection.to_owned(), at, text: kept });
    }

    fn own<'a>(&'a self, role: &'a Role) -> &'a [Cite] {
        match role {
            Role::Case => &self.case.requires,
            Role::About(cites) => cites,
            Role::Setup => &[],
        }
    }

    /// Takes what a matcher saw.
    pub(super) fn matched(&mut self, step: u32, role: &Role, matcher: Option<&Matcher>, matched: &Matched) {
        let some = |fits: &dyn Fn(&Finding) -> bool| -> Vec<Finding> {
            matched.findings.iter().filter(|finding| fits(finding)).cloned().collect()
        };
        for cite in self.own(role).to_vec() {
            self.put(step, &cite, outcome(some(&|finding| finding.about.is_empty())));
        }
        for cite in matcher.map(Matcher::cites).unwrap_or_default() {
            let result = if matched.seen.contains(cite) {
                outcome(some(&|finding| finding.about.contains(cite)))
            } else {
                Outcome::Untestable("what it is about is not in the message".to_owned())
            };
            self.put(step, cite, result);
        }
    }

    /// Takes that nothing came that a matcher could look at, or the wrong thing.
    pub(super) fn missed(&mut self, step: u32, role: &Role, matcher: Option<&Matcher>, finding: &Finding) {
        for cite in self.own(role).to_vec() {
            self.put(step, &cite, Outcome::Differs(vec![finding.clone()]));
        }
        for cite in matcher.map(Matcher::cites).unwrap_or_default() {
            self.put(step, cite, Outcome::Untestable("there is no message to look at".to_owned()));
        }
    }

    /// Keeps the worst that comes of one id.
    fn put(&mut self, step: u32, cite: &Cite, outcome: Outcome) {
        let there = self.checks.iter_mut().find(|check| check.step == step && check.requirement == cite.id);
        match there {
            Some(check) if rank(&outcome) > rank(&check.outcome) => check.outcome = outcome,
            Some(_) => {}
            None => {
                self.checks.push(Checked { requirement: cite.id.clone(), level: cite.level, step, outcome });
            }
        }
    }

    /// All checks of the case; those that were not made are untestable.
    pub(super) fn finish(mut self, stop: Option<&Stop>) -> (Vec<Checked>, Vec<Said>) {
        let rest = match stop {
            Some(Stop::NotApplicable(why)) => Outcome::NotApplicable(why.clone()),
            Some(stop) => Outcome::Untestable(stop.text().to_owned()),
            None => Outcome::Untestable("the case did not come to this step".to_owned()),
        };
        let case = self.case;
        case.each_step(&mut |step| {
            let (role, matcher) = match &step.action {
                Action::Expect(expect) => (&expect.role, expect.is.as_ref()),
                Action::Check { role, is, .. } => (role, Some(is)),
                _ => return,
            };
            let inside = matcher.map(Matcher::cites).unwrap_or_default();
            let own = self.own(role).to_vec();
            for cite in own.iter().chain(inside) {
                if !self.checks.iter().any(|check| check.step == step.number && check.requirement == cite.id)
                {
                    self.put(step.number, cite, rest.clone());
                }
            }
        });
        self.checks.sort_by_key(|check| check.step);
        (self.checks, self.transcript)
    }
}

fn outcome(findings: Vec<Finding>) -> Outcome {
    if findings.iter().any(|finding| finding.weight == Weight::Mismatch) {
        Outcome::Differs(findings)
    } else {
        Outcome::Fits(findings)
    }
}

/// Worse is more. One round of many that could not be looked at does not hide that others could.
fn rank(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::NotApplicable(_) => 0,
        Outcome::Untestable(_) => 1,
        Outcome::Fits(findings) if findings.iter().all(|finding| finding.weight == Weight::Info) => 2,
        Outcome::Fits(_) => 3,
        Outcome::Differs(_) => 4,
    }
}
