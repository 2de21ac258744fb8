//! One run with the clock and the memory of the real machine around it.

use std::time::Instant;

use anyhow::Context;
use cpu_time::ProcessTime;
use hyperspace_sim::scenario::Scenario;
use hyperspace_sim::trace::Trace;
use hyperspace_sim::{Outcome, Progress, RunError, RunOptions, Simulation, estimate_bytes};

use crate::failure::Failure;

/// A run's outcome and what it cost.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// Wall seconds until the world stood.
    pub(crate) setup_s: f64,
    /// Wall seconds of the run without set-up.
    pub(crate) wall_s: f64,
    /// CPU seconds of all threads in the same time.
    pub(crate) cpu_s: f64,
    /// Largest resident size of the process while the run was set up and running; none where it cannot be had.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// `peak_rss_bytes` beyond the size before set-up, per peer. A later run of the same process can reuse memory of an
    /// earlier one and then shows less than it needs.
    pub(crate) bytes_per_peer: Option<u64>,
}

/// Runs a scenario. `reproduce` is the command line that does so again.
pub(crate) fn measured(
    scenario: &Scenario,
    options: &RunOptions,
    reproduce: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Measured, Failure> {
    let run = |simulation: Simulation| Ok((simulation.run(progress)?, ()));
    Ok(timed(scenario, options, reproduce, run)?.0)
}

/// As [`measured`], with the trace that the options ask for.
pub(crate) fn traced(
    scenario: &Scenario,
    options: &RunOptions,
    reproduce: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Measured, Trace), Failure> {
    timed(scenario, options, reproduce, |simulation| simulation.run_traced(progress))
}

fn timed<T>(
    scenario: &Scenario,
    options: &RunOptions,
    reproduce: &str,
    run: impl FnOnce(Simulation) -> Result<(Outcome, T), RunError>,
) -> Result<(Measured, T), Failure> {
    guard_memory(scenario)?;
    let failed = |error: RunError| match error {
        RunError::Invalid(message) => Failure::Input(message),
        RunError::Invariant { .. } => Failure::Invariant(format!("{error}\nreproduce: {reproduce}")),
    };
    let before = status("VmRSS");
    // Resets the peak that VmHWM shows. Where that is not possible the peak is that of the process so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let start = Instant::now();
    let simulation = Simulation::new(scenario, options).map_err(failed)?;
    let setup_s = start.elapsed().as_secs_f64();
    let cpu = ProcessTime::try_now().context("cannot read the CPU time of this process")?;
    let start = Instant::now();
    let (outcome, more) = run(simulation).map_err(failed)?;
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = cpu.try_elapsed().context("cannot read the CPU time of this process")?.as_secs_f64();
    let peak = status("VmHWM");
    let growth = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before));
    let peers = outcome.report.peers.max(1);
    let bytes_per_peer = growth.map(|bytes| bytes / peers);
    Ok((Measured { outcome, setup_s, wall_s, cpu_s, peak_rss_bytes: peak, bytes_per_peer }, more))
}

impl Measured {
    /// Events per wall second.
    pub(crate) fn events_per_s(&self) -> f64 {
        self.outcome.report.events as f64 / self.wall_s.max(1e-9)
    }
}

/// Refuses a world that does not fit into the memory that is free now.
fn guard_memory(scenario: &Scenario) -> Result<(), Failure> {
    let needed = estimate_bytes(scenario);
    match proc_bytes("/proc/meminfo", "MemAvailable") {
        Some(available) if needed > available => Err(Failure::Input(format!(
            "the scenario `{}` needs about {} of memory, but this machine has only {} available: use fewer peers or \
             messages",
            scenario.name,
            human_bytes(needed),
            human_bytes(available)
        ))),
        Some(_) | None => Ok(()),
    }
}

/// A size for people.
pub(crate) fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn status(key: &str) -> Option<u64> {
    proc_bytes("/proc/self/status", key)
}

/// The value of a `Key:   123 kB` line; none on systems without such files.
fn proc_bytes(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
