//! `hyperlab run`: simulates files, arms and seeds, prints what came out and judges the expectations.

use hyperspace_sim::report::Report;
use hyperspace_sim::scenario::Scenario;
use hyperspace_sim::{Progress, RunOptions, ring_advice};

use crate::failure::Failure;
use crate::folder::{Files, Folder};
use crate::measure::{Measured, measured, traced};
use crate::output::{Stdout, command, note};
use crate::progress::{Display, Style};
use crate::scenarios;
use crate::sim_args::{RunArgs, default_threads};
use crate::table::{Column, Judged, RunLine, table};
use crate::trace::{self, TraceFile};

/// One run of one arm.
struct Run {
    seed: u64,
    measured: Measured,
    reproduce: String,
    files: Option<Files>,
}

/// One scenario file with all its runs.
struct Job<'a> {
    file: &'a str,
    arms: Vec<Scenario>,
    /// By arm, then seed.
    runs: Vec<Vec<Run>>,
}

/// `hyperlab run`.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let overrides = args.changes.overrides();
    // All files are read before the first is run: a mistake in the last shows at once.
    let mut jobs = Vec::new();
    for file in &args.files {
        let arms = scenarios::read(file, &overrides)?;
        let runs = arms.iter().map(|_| Vec::new()).collect();
        jobs.push(Job { file, arms, runs });
    }
    let seeds = args.seeds.as_ref().map_or(1, |seeds| seeds.end() - seeds.start() + 1);
    let arms: Vec<&Scenario> = jobs.iter().flat_map(|job| &job.arms).collect();
    if let Some(path) = &args.trace_events {
        trace::check(path, jobs.len(), &arms, seeds)?;
    }
    let mut folder = match &args.out {
        None => None,
        Some(dir) => Some(Folder::create(dir, &arms, jobs.len() > 1, seeds)?),
    };
    // After the folder, in which it may lie.
    let mut trace = match &args.trace_events {
        None => None,
        Some(path) => Some(TraceFile::create(path, args, arms[0])?),
    };
    let mut out = Stdout::default();
    let mut failed = Vec::new();
    for job in &mut jobs {
        job.simulate(args, &mut out, folder.as_mut(), trace.as_mut())?;
        if !job.report(args, &mut out)? {
            failed.push(reproduce(args, job.file, job.only_seed()));
        }
    }
    if let Some(trace) = trace {
        trace.finish()?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Expectation(
        failed.iter().map(|line| format!("reproduce: {line}")).collect::<Vec<_>>().join("\n"),
    ))
}

impl Job<'_> {
    fn simulate(
        &mut self,
        args: &RunArgs,
        out: &mut Stdout,
        mut folder: Option<&mut Folder>,
        mut trace: Option<&mut TraceFile<'_>>,
    ) -> Result<(), Failure> {
        let threads = args.threads.unwrap_or_else(default_threads);
        let options = RunOptions {
            threads,
            engine: args.engine.kind(),
            wire: args.wire,
            trace_every: trace.as_ref().map(|file| file.every),
            ..Default::default()
        };
        let seeds: Vec<Option<u64>> = match &args.seeds {
            Some(seeds) => seeds.clone().map(Some).collect(),
            None => vec![None],
        };
        if !args.quiet {
            for arm in &self.arms {
                ring_advice(arm).iter().for_each(|advice| note(&format!("{}: ring: {advice}", label(arm))));
            }
        }
        for seed in seeds {
            for (arm, runs) in self.arms.iter_mut().zip(&mut self.runs) {
                arm.run.seed = seed.unwrap_or(arm.run.seed);
                let label = label(arm);
                let reproduce = reproduce(args, self.file, Some(arm.run.seed));
                let mut display = Display::new(label, style(args));
                let mut update = |progress: Progress| display.update(&progress);
                let measured = match trace.as_deref_mut() {
                    None => measured(arm, &options, &reproduce, &mut update)?,
                    Some(file) => {
                        let (measured, trace) = traced(arm, &options, &reproduce, &mut update)?;
                        file.write(trace);
                        measured
                    }
                };
                drop(display);
                let digests = &measured.outcome.digests;
                let files = folder.as_deref_mut().map(|folder| folder.digests(arm, digests)).transpose()?;
                runs.push(Run { seed: arm.run.seed, measured, reproduce, files });
            }
            // Arms are compared with each other, so the lines of a seed wait for all its arms.
            for arm in 0..self.arms.len() {
                let line = self.line(arm, args, threads);
                if let Some(folder) = folder.as_deref_mut() {
                    folder.line(&line)?;
                }
                if args.json {
                    out.json(&line)?;
                }
            }
        }
        Ok(())
    }

    /// The last run of an arm as a line.
    fn line<'a>(&'a self, arm: usize, args: &'a RunArgs, threads: usize) -> RunLine<'a> {
        let run = self.runs[arm].last().expect("called after a run");
        let scenario = &self.arms[arm];
        RunLine {
            scenario: &scenario.name,
            arm: scenario.arm.as_deref(),
            seed: run.seed,
            engine: args.engine.name(),
            wire: args.wire,
            threads,
            report: &run.measured.outcome.report,
            setup_s: run.measured.setup_s,
            wall_s: run.measured.wall_s,
            cpu_s: run.measured.cpu_s,
            events_per_s: run.measured.events_per_s(),
            peak_rss_bytes: run.measured.peak_rss_bytes,
            bytes_per_peer: run.measured.bytes_per_peer,
            expectations: self
                .judge(arm, |runs| runs.last().map(|run| &run.measured.outcome.report).into_iter().collect()),
            reproduce: &run.reproduce,
            files: run.files.as_ref(),
        }
    }

    /// Judges an arm by the reports that `pick` takes from the runs of an arm.
    fn judge(&self, arm: usize, pick: impl Fn(&[Run]) -> Vec<&Report>) -> Vec<Judged<'_>> {
        let other = |name: &str| {
            let index = self.arms.iter().position(|arm| arm.arm.as_deref() == Some(name))?;
            Some(pick(&self.runs[index]))
        };
        let expectations = self.arms[arm].applicable_expectations();
        expectations.map(|e| Judged::new(e, &e.judge(&pick(&self.runs[arm]), other))).collect()
    }

    /// Prints the results over all seeds; whether every expectation holds.
    fn report(&self, args: &RunArgs, out: &mut Stdout) -> Result<bool, Failure> {
        let several = self.runs.iter().any(|runs| runs.len() > 1);
        let column = |arm: usize| Column {
            scenario: &self.arms[arm],
            runs: self.runs[arm].iter().map(|run| &run.measured).collect(),
        };
        let all: Vec<usize> = (0..self.arms.len()).collect();
        if !args.json {
            let peers = self.runs[0].first().map_or(0, |run| run.measured.outcome.report.peers);
            out.line(&format!("{}: {peers} peers, {}", self.arms[0].name, self.seeds_text()))?;
            out.line(&table(&all.iter().map(|arm| column(*arm)).collect::<Vec<_>>()))?;
        }
        let mut ok = true;
        for arm in all {
            let judged =
                self.judge(arm, |runs| runs.iter().map(|run| &run.measured.outcome.report).collect());
            ok &= judged.iter().all(|judged| judged.ok);
            if !args.json {
                for judged in &judged {
                    out.line(&judged.text(self.arms[arm].arm.as_deref(), several))?;
                }
            } else if several {
                let seeds: Vec<u64> = self.runs[arm].iter().map(|run| run.seed).collect();
                out.json(&column(arm).aggregate(&seeds, &judged))?;
            }
            if args.json {
                for judged in judged.iter().filter(|judged| !judged.ok) {
                    note(&judged.text(self.arms[arm].arm.as_deref(), several));
                }
            }
        }
        Ok(ok)
    }

    /// The seed, if all runs have the same.
    fn only_seed(&self) -> Option<u64> {
        let mut seeds = self.runs.iter().flatten().map(|run| run.seed);
        let first = seeds.next()?;
        seeds.all(|seed| seed == first).then_some(first)
    }

    fn seeds_text(&self) -> String {
        match self.runs[0].as_slice() {
            [run] => format!("seed {}", run.seed),
            [first, .., last] => format!("seeds {} to {}: mean (min..max)", first.seed, last.seed),
            [] => String::new(),
        }
    }
}

/// What the progress line calls a run.
pub(crate) fn label(scenario: &Scenario) -> String {
    let arm = scenario.arm.as_ref().map_or(String::new(), |arm| format!(" {arm}"));
    format!("{}{arm} seed {}", scenario.name, scenario.run.seed)
}

fn style(args: &RunArgs) -> Style {
    match (args.quiet, args.watch) {
        (true, _) => Style::Quiet,
        (false, true) => Style::Watch,
        (false, false) => Style::Line,
    }
}

/// The command that runs a file again: with one seed, or as now.
fn reproduce(args: &RunArgs, file: &str, seed: Option<u64>) -> String {
    let seed = match (seed, &args.seeds, args.changes.seed) {
        (Some(seed), _, _) | (None, None, Some(seed)) => vec!["--seed".to_owned(), seed.to_string()],
        (None, Some(seeds), _) => vec!["--seeds".to_owned(), format!("{}..={}", seeds.start(), seeds.end())],
        (None, None, None) => Vec::new(),
    };
    let mut parts = vec!["hyperlab", "run", file];
    parts.extend(seed.iter().map(String::as_str));
    for set in &args.changes.set {
        parts.extend(["--set", set]);
    }
    let threads = args.threads.map(|threads| threads.to_string());
    if let Some(threads) = &threads {
        parts.extend(["--threads", threads]);
    }
    if args.engine.name() != "window" {
        parts.extend(["--engine", args.engine.name()]);
    }
    if args.wire {
        parts.push("--wire");
    }
    command(&parts)
}
