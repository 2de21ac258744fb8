//! From what a check saw to its verdict.

use crate::case::{Action, Case, Role};
use crate::events::CheckEvent;
use crate::level::Level;
use crate::matcher::{Finding, Matcher, Weight};
use crate::runner::{Checked, Outcome};
use crate::verdict::Verdict;

use super::{check_of, level_of};

pub(super) fn finding(expected: &str, actual: &str) -> Finding {
    Finding {
        path: "$".to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
        weight: Weight::Mismatch,
        about: Vec::new(),
    }
}

/// The verdict of one round.
pub(super) fn event(case: &Case, checked: &Checked) -> CheckEvent {
    let level = level_of(&checked.requirement, checked.level);
    let (verdict, findings, reason) = match &checked.outcome {
        Outcome::NotApplicable(why) => (Verdict::NotApplicable, &[][..], why.as_str()),
        Outcome::Untestable(why) => (Verdict::Untestable, &[][..], why.as_str()),
        Outcome::Fits(findings) => (fits(level, findings), findings.as_slice(), ""),
        Outcome::Differs(findings) => (differs(level), findings.as_slice(), ""),
    };
    let mut event = check_of(&checked.requirement, &case.id, checked.step, &case.profile, level, verdict);
    event.reason = reason.to_owned();
    // The gravest is shown, the others are notes.
    let first = findings.iter().enumerate().max_by_key(|(at, finding)| (finding.weight, usize::MAX - at));
    for (at, one) in findings.iter().enumerate() {
        if first.is_some_and(|(first, finding)| at == first && finding.weight > Weight::Info) {
            event.path.clone_from(&one.path);
            event.expected.clone_from(&one.expected);
            event.actual.clone_from(&one.actual);
        } else {
            let kind = match one.weight {
                Weight::Info => "seen",
                Weight::Should => "should be",
                Weight::Mismatch => "expected",
            };
            event.notes.push(match one.weight {
                Weight::Info if one.expected == "recorded" => {
                    format!("{kind} at {}: {}", one.path, one.actual)
                }
                _ => format!("at {} {kind} {}, got {}", one.path, one.expected, one.actual),
            });
        }
    }
    event
}

fn differs(level: Level) -> Verdict {
    match level {
        Level::Must => Verdict::Fail,
        Level::Should => Verdict::Warn,
        Level::May | Level::Info => Verdict::Info,
    }
}

fn fits(level: Level, findings: &[Finding]) -> Verdict {
    let warned = findings.iter().any(|finding| finding.weight == Weight::Should);
    match (level, warned) {
        (Level::Info, _) => Verdict::Info,
        (Level::May, true) => Verdict::Info,
        (Level::Must | Level::Should, true) => Verdict::Warn,
        (Level::Must | Level::Should | Level::May, false) => Verdict::Pass,
    }
}

/// The same outcome for every check of a case.
pub(super) fn of_all(case: &Case, outcome: &Outcome) -> Vec<CheckEvent> {
    let mut events: Vec<CheckEvent> = Vec::new();
    case.each_step(&mut |step| {
        let (role, matcher) = match &step.action {
            Action::Expect(expect) => (&expect.role, expect.is.as_ref()),
            Action::Check { role, is, .. } => (role, Some(is)),
            _ => return,
        };
        let own = match role {
            Role::Case => case.requires.as_slice(),
            Role::About(cites) => cites,
            Role::Setup => &[],
        };
        for cite in own.iter().chain(matcher.map(Matcher::cites).unwrap_or_default()) {
            let checked = Checked {
                requirement: cite.id.clone(),
                level: cite.level,
                step: step.number,
                outcome: outcome.clone(),
            };
            let event = event(case, &checked);
            if !events.iter().any(|there| there.id == event.id) {
                events.push(event);
            }
        }
    });
    events
}

/// One verdict for each id over all rounds: the same every time, or flaky.
pub(super) fn merge(rounds: Vec<Vec<CheckEvent>>) -> Vec<CheckEvent> {
    let mut merged: Vec<CheckEvent> = Vec::new();
    let mut seen: Vec<Vec<Verdict>> = Vec::new();
    for event in rounds.into_iter().flatten() {
        match merged.iter().position(|there| there.id == event.id) {
            None => {
                seen.push(vec![event.verdict]);
                merged.push(event);
            }
            Some(at) => {
                seen[at].push(event.verdict);
                if event.verdict > merged[at].verdict {
                    merged[at] = event;
                }
            }
        }
    }
    for (event, verdicts) in merged.iter_mut().zip(seen) {
        let first = verdicts[0];
        if verdicts.iter().any(|verdict| *verdict != first) {
            let all: Vec<&str> = verdicts.iter().map(|verdict| verdict.name()).collect();
            event.reason = format!("it came out differently: {}", all.join(", "));
            event.verdict = Verdict::Flaky;
        }
    }
    merged
}
