//! The report for people: clause by clause, requirement by requirement, and for what failed the words of the specification, what
//! was expected, what came, and the command that shows it again.

use core::fmt::{self, Write};
use std::collections::BTreeMap;

use crate::events::{CheckEvent, Event, Footer, Header, ProfileStatus, StepEvent};
use crate::registry;
use crate::spec;
use crate::verdict::Verdict;

/// Characters of a line of transcript that are shown.
const LINE_MAX: usize = 240;

/// Writes the report. `events` are of a whole run; what is missing is left out.
#[must_use]
pub fn console(events: &[Event]) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = Report::of(events).write(&mut out);
    super::printable(&out)
}

struct Report<'e> {
    header: Option<&'e Header>,
    footer: Option<&'e Footer>,
    checks: Vec<&'e CheckEvent>,
    steps: BTreeMap<&'e str, Vec<&'e StepEvent>>,
}

impl<'e> Report<'e> {
    fn of(events: &'e [Event]) -> Self {
        let mut report = Self { header: None, footer: None, checks: Vec::new(), steps: BTreeMap::new() };
        for event in events {
            match event {
                Event::Header(header) => report.header = Some(header),
                Event::Case(case) => {
                    // Of several rounds the last is shown.
                    report.steps.insert(&case.id, Vec::new());
                }
                Event::Step(step) => report.steps.entry(&step.case).or_default().push(step),
                Event::Check(check) => report.checks.push(check),
                Event::Footer(footer) => report.footer = Some(footer),
            }
        }
        report
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        if let Some(header) = self.header {
            writeln!(out, "{}", header.target.name)?;
            let profiles = profiles(header);
            if !profiles.is_empty() {
                writeln!(out, "{profiles}")?;
            }
        }
        let mut clause = String::new();
        for (requirement, checks) in self.by_requirement() {
            let row = registry::requirement(requirement);
            let place = row.map_or("", |row| row.clause.as_str());
            if place != clause {
                place.clone_into(&mut clause);
                let title = spec::clause(place).map_or("", |clause| clause.title.as_str());
                writeln!(out, "\n{place} {title}")?;
            }
            self.requirement(out, requirement, row.map_or("", |row| row.text.as_str()), &checks)?;
        }
        if let Some(footer) = self.footer {
            self.end(out, footer)?;
        }
        Ok(())
    }

    /// Checks by requirement, in the order of the registry; those of profiles that the target does not serve are left out.
    fn by_requirement(&self) -> Vec<(&'e str, Vec<&'e CheckEvent>)> {
        let place =
            |id: &str| registry::requirements().iter().position(|row| row.id == id).unwrap_or(usize::MAX);
        let mut groups: BTreeMap<(usize, &str), Vec<&CheckEvent>> = BTreeMap::new();
        let serves = |profile: &str| {
            let profiles = self.header.map(|header| &header.profiles).into_iter().flatten();
            let served = [ProfileStatus::Claimed, ProfileStatus::Partial];
            profiles.into_iter().any(|one| one.name == profile && served.contains(&one.status))
        };
        let shown = |check: &&&CheckEvent| check.verdict != Verdict::NotApplicable || serves(&check.profile);
        for check in self.checks.iter().filter(shown) {
            let key = (place(&check.requirement), check.requirement.as_str());
            groups.entry(key).or_default().push(check);
        }
        groups.into_iter().map(|((_, id), checks)| (id, checks)).collect()
    }

    fn requirement(&self, out: &mut String, id: &str, text: &str, checks: &[&CheckEvent]) -> fmt::Result {
        let worst = checks.iter().map(|check| check.verdict).max_by_key(|verdict| rank(*verdict));
        let worst = worst.unwrap_or(Verdict::Pass);
        let count = match checks.len() {
            1 => String::new(),
            _ => {
                let same = checks.iter().filter(|check| check.verdict == worst).count();
                format!("  ({same} of {})", checks.len())
            }
        };
        writeln!(out, "  {worst:<10}  {id}  {text}{count}")?;
        let mut said: Vec<String> = Vec::new();
        // What was recorded is shown whatever else there is.
        for check in checks.iter().filter(|check| [worst, Verdict::Info].contains(&check.verdict)) {
            match check.verdict {
                Verdict::Fail | Verdict::Flaky | Verdict::Warn | Verdict::UnexpectedPass | Verdict::Error => {
                    self.detail(out, check)?;
                }
                Verdict::Untestable | Verdict::ExpectedFail | Verdict::Info | Verdict::NotApplicable => {
                    let brief = brief(check);
                    if !brief.is_empty() && !said.contains(&brief) {
                        writeln!(out, "      {brief}")?;
                        said.push(brief);
                    }
                }
                Verdict::Pass => {}
            }
        }
        Ok(())
    }

    fn detail(&self, out: &mut String, check: &CheckEvent) -> fmt::Result {
        if let Some(row) = registry::requirement(&check.requirement) {
            let clause = row.quoted_from().map_or(row.clause.as_str(), |clause| clause.id.as_str());
            writeln!(out, "      -> \"{}\" (section {clause})", row.quote)?;
        }
        if !check.reason.is_empty() {
            writeln!(out, "      {}", indented(&check.reason))?;
        }
        if !check.expected.is_empty() {
            let path = if check.path.is_empty() { String::new() } else { format!("{}  ", check.path) };
            writeln!(out, "      Expected  {path}{}", indented(&check.expected))?;
            writeln!(out, "      Actual    {}", indented(&check.actual))?;
        }
        for note in &check.notes {
            writeln!(out, "      note      {}", indented(note))?;
        }
        for step in self.exchange(check) {
            // A line of its own could pass for one of ours.
            let text =
                step.text.chars().take(LINE_MAX).map(|letter| if letter == '\n' { ' ' } else { letter });
            let text: String = text.collect();
            let connection =
                if step.connection == "A" { String::new() } else { format!("{} ", step.connection) };
            writeln!(out, "      {connection}{} {text}", step.direction)?;
        }
        let command = self.header.map_or("hyperlab conform", |header| header.command.as_str());
        if check.case.contains('/') && !check.case.starts_with("profiles/") {
            writeln!(
                out,
                "      {}, step {}; again: {command} --case {}",
                check.case, check.step, check.case
            )?;
        }
        Ok(())
    }

    /// The last thing sent up to a step, and what came at it.
    fn exchange(&self, check: &CheckEvent) -> Vec<&'e StepEvent> {
        let Some(steps) = self.steps.get(check.case.as_str()) else { return Vec::new() };
        let sent = steps.iter().rev().find(|step| step.direction == ">>" && step.step <= check.step);
        let came = steps.iter().rev().find(|step| step.direction == "<<" && step.step == check.step);
        sent.into_iter().chain(came).copied().collect()
    }

    fn end(&self, out: &mut String, footer: &Footer) -> fmt::Result {
        let counts = Verdict::ALL.iter().filter_map(|verdict| {
            let count = footer.counts.get(verdict.name())?;
            Some(format!("{count} {verdict}"))
        });
        let counts: Vec<String> = counts.collect();
        if !counts.is_empty() {
            writeln!(out, "\n{}", counts.join(", "))?;
        }
        for stale in &footer.stale {
            writeln!(out, "stale in the baseline: {stale}")?;
        }
        if let Some(header) = self.header {
            let served = self.conformant(header);
            if !served.is_empty() {
                writeln!(out, "conformant: {}", served.join(", "))?;
            }
        }
        writeln!(out, "{}", footer.message)
    }

    /// The claimed profiles in which nothing failed and something passed.
    fn conformant(&self, header: &'e Header) -> Vec<&'e str> {
        let bad = |check: &&&CheckEvent| {
            matches!(check.verdict, Verdict::Fail | Verdict::Flaky | Verdict::Error | Verdict::ExpectedFail)
        };
        let of =
            |name: &str| self.checks.iter().filter(move |check| check.profile == name).collect::<Vec<_>>();
        let everywhere =
            self.checks.iter().filter(|check| check.case == "every-answer").any(|check| bad(&check));
        let good = |name: &str| {
            let checks = of(name);
            !everywhere
                && checks.iter().filter(|check| bad(check)).count() == 0
                && checks.iter().any(|check| check.verdict == Verdict::Pass)
        };
        header
            .profiles
            .iter()
            .filter(|profile| profile.status == ProfileStatus::Claimed && good(&profile.name))
            .map(|profile| profile.name.as_str())
            .collect()
    }
}

/// What is said of a requirement with several checks: that some do not apply or only record says less than that others passed.
fn rank(verdict: Verdict) -> (u8, Verdict) {
    let group = match verdict {
        Verdict::NotApplicable => 0,
        Verdict::Info => 1,
        Verdict::Pass => 2,
        _ => 3,
    };
    (group, verdict)
}

/// A line for what needs no more.
fn brief(check: &CheckEvent) -> String {
    let mut said = Vec::new();
    if !check.reason.is_empty() {
        said.push(check.reason.clone());
    }
    if !check.expected.is_empty() {
        said.push(format!("at {} expected {}, got {}", check.path, check.expected, check.actual));
    }
    said.extend(check.notes.iter().cloned());
    if said.is_empty() {
        return String::new();
    }
    format!("{}: {}", check.case, indented(&said.join("; ")))
}

/// Further lines stand under the first.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n                ")
}

fn profiles(header: &Header) -> String {
    let mut lines = Vec::new();
    let words = [
        (ProfileStatus::Claimed, "serves"),
        (ProfileStatus::Partial, "serves a part of"),
        (ProfileStatus::FalseClaim, "claims and does not serve"),
        (ProfileStatus::NotClaimed, "does not serve, or not over this connection"),
        (ProfileStatus::NotSelected, "not judged"),
    ];
    for (status, word) in words {
        let names: Vec<&str> =
            header.profiles.iter().filter(|p| p.status == status).map(|p| p.name.as_str()).collect();
        if !names.is_empty() {
            lines.push(format!("{word}: {}", names.join(", ")));
        }
    }
    lines.join("\n")
}
