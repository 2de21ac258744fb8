//! A whole run: what the target claims, the cases that apply to it, what came of every check, and how the process ends.
//!
//! Whatever the target does, a run ends: every step has a deadline, a target that is dead or silent after a case is restarted if
//! it can be, else the run is over, and the whole run has a limit of time.

mod ask;
mod order;
mod profiles;
mod tally;
mod verdicts;

use core::time::Duration;
use std::collections::BTreeMap;

use crate::baseline::Baseline;
use crate::case::{Case, Need};
use crate::events::{CaseEvent, CheckEvent, Event, FORMAT, Header, ProfileStatus, Sink, StepEvent};
use crate::json::Number;
use crate::level::Level;
use crate::registry;
use crate::runner::{CaseRun, Checked, Outcome, Report, Settings, Stop, drive};
use crate::spec;
use crate::target::{Identity, Target, TargetError};
use crate::verdict::Verdict;

use profiles::Found;
use tally::Tally;

pub use order::glob;
pub use tally::Summary;

/// What to run, and how.
#[derive(Debug)]
pub struct Plan {
    /// The profiles to judge. None: those that the target serves.
    pub profiles: Vec<String>,
    /// Patterns of ids of cases. None: all.
    pub globs: Vec<String>,
    /// The seed of the order; 0 is the order of ids.
    pub seed: u64,
    /// How often each case runs; a check that comes out differently is flaky.
    pub repeat: u32,
    /// Whether warnings and untestable `must`s count.
    pub strict: bool,
    /// How long to wait for an answer.
    pub patience: Duration,
    /// How long the whole run may take.
    pub time: Duration,
    /// A session that the operator promises.
    pub given_session: Option<String>,
    /// The budget's limit of a fresh session that the operator promises.
    pub given_budget: Option<Number>,
    /// Known failures.
    pub baseline: Baseline,
    /// How to run this again, without the choice of a case.
    pub command: String,
    /// When the run begins, in milliseconds of Unix time, if that is to be in the report.
    pub unix_ms: Option<u64>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            globs: Vec::new(),
            seed: 0,
            repeat: 1,
            strict: false,
            patience: Duration::from_secs(5),
            time: Duration::from_secs(600),
            given_session: None,
            given_budget: None,
            baseline: Baseline::default(),
            command: "hyperlab conform".to_owned(),
            unix_ms: None,
        }
    }
}

/// How often a target that is just not there is asked again before it counts as dead.
const RETRIES: u32 = 3;
/// How often a target is started again in one run.
const RESTARTS_MAX: u32 = 50;

/// Runs cases against a target.
pub fn run(cases: &[Case], plan: &Plan, target: &mut dyn Target, sink: &mut dyn Sink) -> Summary {
    let begin = target.now();
    let found = profiles::detect(target, &plan.profiles, plan.patience);
    let header = header(plan, target.identity(), found.as_ref().ok());
    sink.event(&Event::Header(header));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let death = target.death().map(|death| format!("; {death}")).unwrap_or_default();
            let elapsed = target.now().saturating_sub(begin);
            return Tally::default().unreachable(&format!("{error}{death}"), elapsed, sink);
        }
    };
    let settings = Settings {
        patience: plan.patience,
        abilities: target.abilities(),
        sessions: found.serves("state.createSession"),
        given_session: plan.given_session.clone(),
        given_budget: plan.given_budget.clone(),
        ..Settings::default()
    };
    let selected = order::select(cases, &plan.globs, plan.seed);
    let mut suite = Suite {
        plan,
        found,
        settings,
        limit: begin + plan.time,
        tally: Tally::default(),
        gone: None,
        restarts: 0,
    };
    for event in core::mem::take(&mut suite.found.checks) {
        suite.emit(event, sink);
    }
    for case in &selected {
        suite.case(case, target, sink);
    }
    for event in suite.tally.watched() {
        suite.emit(event, sink);
    }
    let exists =
        |id: &str| cases.iter().any(|case| case.id == id) || !id.contains('/') || id.starts_with("profiles/");
    let stale = plan.baseline.stale(&exists);
    suite.tally.finish(
        plan,
        selected.len(),
        suite.gone.as_deref(),
        stale,
        target.now().saturating_sub(begin),
        sink,
    )
}

/// The run of a target that could not even be made: its program cannot be started, its control hook is not there.
pub fn unreachable(plan: &Plan, name: &str, error: &TargetError, sink: &mut dyn Sink) -> Summary {
    let identity = Identity { name: name.to_owned(), transport: String::new() };
    sink.event(&Event::Header(header(plan, identity, None)));
    Tally::default().unreachable(&error.to_string(), Duration::ZERO, sink)
}

fn header(plan: &Plan, target: Identity, found: Option<&Found>) -> Header {
    Header {
        format: FORMAT,
        judge: env!("CARGO_PKG_VERSION").to_owned(),
        spec_sha256: spec::origin().sha256.clone(),
        target,
        unix_ms: plan.unix_ms,
        seed: plan.seed,
        repeat: plan.repeat.max(1),
        strict: plan.strict,
        profiles: found.map(|found| found.profiles.clone()).unwrap_or_default(),
        command: plan.command.clone(),
    }
}

struct Suite<'p> {
    plan: &'p Plan,
    found: Found,
    settings: Settings,
    limit: Duration,
    tally: Tally,
    /// Why nothing more can be run.
    gone: Option<String>,
    restarts: u32,
}

impl Suite<'_> {
    /// Puts a check under the baseline and writes it.
    fn emit(&mut self, mut event: CheckEvent, sink: &mut dyn Sink) {
        let (verdict, why) = self.plan.baseline.apply(&event.id, event.verdict);
        event.verdict = verdict;
        if let Some(why) = why {
            event.notes.push(why);
        }
        self.tally.count(&event);
        sink.event(&Event::Check(event));
    }

    fn case(&mut self, case: &Case, target: &mut dyn Target, sink: &mut dyn Sink) {
        if let Some(outcome) = self.excluded(case) {
            for event in verdicts::of_all(case, &outcome) {
                self.emit(event, sink);
            }
            return;
        }
        let mut rounds: Vec<Vec<CheckEvent>> = Vec::new();
        for round in 1..=self.plan.repeat.max(1) {
            if self.gone.is_some() {
                break;
            }
            sink.event(&Event::Case(CaseEvent {
                id: case.id.clone(),
                title: case.title.clone(),
                profile: case.profile.clone(),
                round,
            }));
            // Names of an earlier run are not used again, on targets that keep what they were told.
            let unique = format!("{:x}r{round}x", self.plan.unix_ms.unwrap_or(self.plan.seed));
            let mut run = CaseRun::new(case, Settings { unique, ..self.settings.clone() });
            let moved = drive(&mut run, target, self.limit);
            self.limit = self.limit.saturating_add(moved);
            let mut report = run.finish();
            self.settings.clock_ahead_ms = report.clock_ahead_ms;
            transcript(case, &report, sink);
            self.after(case, &mut report, target);
            self.tally.watch(&case.id, &report);
            self.tally.blocked(&report);
            rounds.push(report.checks.iter().map(|check| verdicts::event(case, check)).collect());
        }
        let twin = case.twin.as_deref().filter(|twin| *twin != "self");
        let twin = twin.filter(|twin| !self.tally.passed(twin));
        let events = verdicts::merge(rounds);
        self.tally.note_case(&case.id, &events);
        for mut event in events {
            if let (Some(twin), Verdict::Pass) = (twin, event.verdict) {
                event.verdict = Verdict::Untestable;
                event.reason =
                    format!("its positive twin {twin} did not pass, so refusing this shows nothing");
            }
            self.emit(event, sink);
        }
    }

    /// Why a case is not run, if it is not.
    fn excluded(&self, case: &Case) -> Option<Outcome> {
        match self.found.status(&case.profile) {
            ProfileStatus::Claimed | ProfileStatus::Partial => {}
            ProfileStatus::NotSelected => {
                return Some(Outcome::NotApplicable(format!("the profile {} was not chosen", case.profile)));
            }
            ProfileStatus::NotClaimed | ProfileStatus::FalseClaim => {
                return Some(Outcome::NotApplicable(format!(
                    "the target does not serve the profile {}",
                    case.profile
                )));
            }
        }
        if let Some(gone) = &self.gone {
            return Some(Outcome::Untestable(gone.clone()));
        }
        let missing = case.all_needs().into_iter().find_map(|need| match need {
            Need::Profile(name) => self.found.lacks(&name).then_some(name),
            _ => None,
        });
        if let Some(name) = missing {
            return Some(Outcome::NotApplicable(format!("the target does not serve the profile {name}")));
        }
        let own = format!("{}.", case.profile);
        let foreign =
            case.methods().into_iter().find(|method| !method.starts_with(&own) && !self.found.serves(method));
        foreign
            .map(|method| Outcome::Untestable(format!("it needs {method}, which the target does not serve")))
    }

    /// Sees to it that the target lives after a case: if not, the case fails and the target is started again, or the run is over.
    fn after(&mut self, case: &Case, report: &mut Report, target: &mut dyn Target) {
        if target.now() >= self.limit {
            self.gone = Some(format!(
                "the {} s for the whole run are over; give more with --time",
                self.plan.time.as_secs_f64()
            ));
            return;
        }
        let doubtful = matches!(report.stopped, Some(Stop::Silence(_) | Stop::Lost(_)));
        let death = target.death().or_else(|| if doubtful { self.dead(target) } else { None });
        let Some(death) = death else { return };
        let step = report.transcript.last().map_or(0, |said| said.step);
        fail(case, report, step, &death);
        if self.settings.abilities.restart && self.restarts < RESTARTS_MAX {
            self.restarts += 1;
            let deadline = target.now() + self.plan.patience * 4;
            match target.restart(deadline) {
                Ok(()) => {}
                Err(error) => {
                    self.gone = Some(format!("the target does not come back after {}: {error}", case.id))
                }
            }
        } else {
            self.gone = Some(format!("the target is gone since {}: {death}", case.id));
        }
    }

    /// Why the target counts as dead, if it does: it takes no connection or answers nothing.
    fn dead(&self, target: &mut dyn Target) -> Option<String> {
        let mut last = None;
        for _ in 0..RETRIES {
            match ask::probe(target, self.plan.patience) {
                Ok(_) => return None,
                // It listens and is silent: asking again costs as much and says no more.
                Err(error @ TargetError::Timeout(_)) => {
                    last = Some(error);
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        // A process that is dying takes a moment.
        let error = last?;
        Some(target.death().unwrap_or_else(|| format!("after this case: {error}")))
    }
}

/// The case after which a target is dead fails, whatever its checks say.
fn fail(case: &Case, report: &mut Report, step: u32, death: &str) {
    let finding = verdicts::finding("a target that lives on", death);
    let cites = if case.requires.is_empty() {
        case.cites().into_iter().take(1).cloned().collect()
    } else {
        case.requires.clone()
    };
    for cite in cites {
        let there = report
            .checks
            .iter_mut()
            .find(|check| check.requirement == cite.id && matches!(check.outcome, Outcome::Differs(_)));
        match there {
            Some(check) => {
                if let Outcome::Differs(findings) = &mut check.outcome {
                    findings.push(finding.clone());
                }
            }
            None => {
                report.checks.retain(|check| check.requirement != cite.id || check.step != step);
                let outcome = Outcome::Differs(vec![finding.clone()]);
                report.checks.push(Checked { requirement: cite.id, level: cite.level, step, outcome });
            }
        }
    }
}

fn transcript(case: &Case, report: &Report, sink: &mut dyn Sink) {
    for said in &report.transcript {
        sink.event(&Event::Step(StepEvent {
            case: case.id.clone(),
            step: said.step,
            direction: said.direction.to_owned(),
            connection: said.connection.clone(),
            at_us: u64::try_from(said.at.as_micros()).unwrap_or(u64::MAX),
            text: said.text.clone(),
        }));
    }
}

/// A check without anything to show.
fn check_of(
    requirement: &str,
    case: &str,
    step: u32,
    profile: &str,
    level: Level,
    verdict: Verdict,
) -> CheckEvent {
    CheckEvent {
        id: format!("{requirement}@{case}#{step}"),
        requirement: requirement.to_owned(),
        case: case.to_owned(),
        step,
        profile: profile.to_owned(),
        level,
        verdict,
        path: String::new(),
        expected: String::new(),
        actual: String::new(),
        reason: String::new(),
        notes: Vec::new(),
    }
}

/// The level of a requirement where a case gives it `level`: the weaker of that and the registry's.
fn level_of(requirement: &str, level: Option<Level>) -> Level {
    let registered = registry::requirement(requirement).map_or(Level::Must, |row| row.level);
    level.map_or(registered, |level| level.min(registered))
}

type Counts = BTreeMap<Verdict, u64>;
