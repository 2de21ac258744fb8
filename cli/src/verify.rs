//! `hyperlab verify`: the same scenario in six ways that must give one digest; a difference is traced to its first event.

use std::fmt::Write;

use hyperspace_sim::scenario::Scenario;
use hyperspace_sim::verify::{Divergence, Variant, locate};
use hyperspace_sim::{Digests, EngineKind, RunOptions};
use serde_json::json;

use crate::failure::Failure;
use crate::measure::{Measured, measured};
use crate::output::{Stdout, command};
use crate::progress::{Display, Style, short};
use crate::run::label;
use crate::scenarios;
use crate::sim_args::VerifyArgs;
use crate::table::align;

/// The ways a scenario is run. The first is what the others are held against.
fn variants() -> [(&'static str, RunOptions); 6] {
    let base = RunOptions::default;
    [
        ("window, 1 thread", base()),
        ("window, 1 thread, again", base()),
        ("window, 2 threads", RunOptions { threads: 2, ..base() }),
        ("window, 4 threads", RunOptions { threads: 4, ..base() }),
        ("oracle", RunOptions { engine: EngineKind::Oracle, ..base() }),
        ("window, 1 thread, --wire", RunOptions { wire: true, ..base() }),
    ]
}

/// `hyperlab verify`.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let arms = scenarios::read(&args.file, &args.changes.overrides())?;
    let mut out = Stdout::default();
    for arm in &arms {
        verify_arm(args, arm, &mut out)?;
    }
    Ok(())
}

fn verify_arm(args: &VerifyArgs, scenario: &Scenario, out: &mut Stdout) -> Result<(), Failure> {
    let reproduce = reproduce(args, scenario.run.seed);
    let run = |name: &str, options: &RunOptions| -> Result<Measured, Failure> {
        let style = if args.quiet { Style::Quiet } else { Style::Line };
        let mut display = Display::new(format!("{}, {name}", label(scenario)), style);
        measured(scenario, options, &reproduce, &mut |progress| display.update(&progress))
    };
    let mut rows: Vec<Vec<String>> = vec![["", "digest", "events", "events/s"].map(str::to_owned).into()];
    let mut first: Option<(RunOptions, Digests)> = None;
    let mut differing = None;
    for (name, options) in variants() {
        let measured = run(name, &options)?;
        let report = &measured.outcome.report;
        let speed = measured.events_per_s();
        rows.push(vec![name.into(), report.digest.clone(), report.events.to_string(), short(speed)]);
        if args.json {
            out.json(&json!({
                "scenario": scenario.name, "arm": scenario.arm, "seed": scenario.run.seed, "variant": name,
                "digest": report.digest, "events": report.events, "wall_s": measured.wall_s, "events_per_s": speed,
            }))?;
        }
        let digests = measured.outcome.digests;
        let Some((_, expected)) = &first else {
            first = Some((options, digests));
            continue;
        };
        if digests.run != expected.run {
            differing = Some((name, options, digests));
            break;
        }
    }
    if !args.json {
        out.line(&label(scenario))?;
        out.line(&align(&rows))?;
    }
    let (Some(left), Some((name, right_options, right))) = (first, differing) else {
        return if args.json { Ok(()) } else { out.line("ok: one digest") };
    };
    let found = locate(&left.1, &right, |variant, probe| {
        let (name, options) = match variant {
            Variant::Left => (variants()[0].0, left.0),
            Variant::Right => (name, right_options),
        };
        let again = run(name, &RunOptions { probe: Some(probe), ..options })?;
        Ok::<_, Failure>((again.outcome.digests, again.outcome.probed))
    })?;
    Err(Failure::Nondeterminism(describe(name, found.as_ref(), &reproduce)))
}

/// The difference for people.
fn describe(name: &str, found: Option<&Divergence>, reproduce: &str) -> String {
    let left = variants()[0].0;
    let mut text = format!("`{left}` and `{name}` differ");
    let Some(found) = found else {
        return format!("{text}, but only in the digest of the run\nreproduce: {reproduce}");
    };
    // Writing to a String cannot fail.
    let _ = match found.epoch {
        Some(epoch) => write!(
            text,
            "\nepoch {epoch} (virtual time {} to {}), block {}",
            found.from, found.to, found.block
        ),
        None => write!(text, "\nonly in the states at the end, block {}", found.block),
    };
    match (found.peer, &found.event) {
        (None, _) if found.epoch.is_some() => {
            text.push_str("\nreruns of both did not differ again: the cause is not in the scenario")
        }
        (None, _) => {}
        (Some(peer), None) => {
            let _ = write!(text, "\npeer {peer}; reruns that list its events did not differ again");
        }
        (Some(peer), Some(event)) => {
            let side = |line: &Option<String>| line.clone().unwrap_or_else(|| "(no more events)".into());
            let rows = [(left, side(&event.left)), (name, side(&event.right))];
            let width = left.len().max(name.len());
            let _ = write!(text, "\npeer {peer}, its event {} of that epoch:", event.index);
            for (variant, line) in rows {
                let _ = write!(text, "\n  {variant:width$}  {line}");
            }
        }
    }
    format!("{text}\nreproduce: {reproduce}")
}

fn reproduce(args: &VerifyArgs, seed: u64) -> String {
    let seed = seed.to_string();
    let mut parts = vec!["hyperlab", "verify", &args.file, "--seed", &seed];
    for set in &args.changes.set {
        parts.extend(["--set", set]);
    }
    command(&parts)
}
