//! What can be typed after the verbs of the simulator.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use hyperspace_benches::Subject;
use hyperspace_sim::EngineKind;
use hyperspace_sim::scenario::Overrides;

/// Which scenario, with which changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Changes {
    /// Change a value of the scenario: group.honest.count=2000, run.duration=60s, network.loss=2%, workload.0.rate=20/s
    ///
    /// Paths address tables by key, groups by name and array items by number. Wins over the file and its arms.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Seed of every random number, instead of the file's: 0 to 18446744073709551615
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}

impl Changes {
    /// As the scenario loader takes them.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { seed: self.seed, set: self.set.clone() }
    }
}

/// `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Scenario files, or names of shipped scenarios
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Run once per seed: 1..=20 includes 20, 1..20 does not. Expectations are then on the statistic over seeds
    #[arg(long, value_name = "A..=B", conflicts_with = "seed", value_parser = seeds)]
    pub(crate) seeds: Option<RangeInclusive<u64>>,
    /// Worker threads; results do not depend on it [default: one per core, at most 8]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// window: fast; oracle: slow and simple, for comparison
    #[arg(long, value_enum, default_value_t = EngineArg::Window)]
    pub(crate) engine: EngineArg,
    /// Encode and decode every frame as it would be on the wire
    #[arg(long)]
    pub(crate) wire: bool,
    /// Write scenarios, build, results and digests to this folder, for `rerun`; replaces an earlier result there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write what happens at some of the peers to this file, as go-libp2p-pubsub's PBTracer does. For one run only
    ///
    /// Each TraceEvent is a protobuf message with its length before it; tracestat and trace2json want the file compressed
    /// with gzip. The peers share about eight million events: of each the beginning is kept, the rest dropped and counted.
    /// Replaces an earlier trace.
    #[arg(long, value_name = "OUT")]
    pub(crate) trace_events: Option<PathBuf>,
    /// Trace every N-th peer, from the first on [default: a tenth of their number, rounded up: at most 10 are traced]
    #[arg(long, value_name = "N", requires = "trace_events", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trace_every: Option<u32>,
    /// One JSON object a line for each file, arm and seed; with several seeds an aggregate for each file and arm
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress line
    #[arg(long, conflicts_with = "watch")]
    pub(crate) quiet: bool,
    /// Show deliveries in the progress line; without a terminal, print it once a second
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Scenario file, or name of a shipped scenario
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// One JSON object a line for each arm and variant
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress line
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// `rerun`.
#[derive(Debug, clap::Args)]
pub(crate) struct RerunArgs {
    /// A folder written by `run --out`
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Worker threads [default: one per core, at most 8]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// No progress line
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// What to time [default: all]
    #[arg(value_enum, value_name = "SUBJECT")]
    pub(crate) subject: Option<SubjectArg>,
    /// One JSON object a line for each row
    #[arg(long)]
    pub(crate) json: bool,
    /// Small sizes, few repetitions: to see that it works, the numbers mean little
    #[arg(long)]
    pub(crate) quick: bool,
}

/// What `bench` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubjectArg {
    /// Simulated GossipSub networks: events per second
    Gossip,
    /// The consistent hash ring: lookup, replicas, join, build
    Ring,
    /// Kademlia: routing table and lookups
    Kad,
    /// The signed envelope: sign and inspect
    Envelope,
}

impl SubjectArg {
    /// As the library calls it.
    pub(crate) fn subject(self) -> Subject {
        match self {
            Self::Gossip => Subject::Gossip,
            Self::Ring => Subject::Ring,
            Self::Kad => Subject::Kad,
            Self::Envelope => Subject::Envelope,
        }
    }
}

/// `scenarios`.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenarios {
    /// Names and questions of the shipped scenarios
    List,
    /// The text of a shipped scenario, to copy and change
    Show {
        /// Its name
        name: String,
    },
    /// JSON Schema of scenario files, with every key and default
    Schema,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineArg {
    Window,
    Oracle,
}

impl EngineArg {
    /// As the library calls it.
    pub(crate) fn kind(self) -> EngineKind {
        match self {
            Self::Window => EngineKind::Window,
            Self::Oracle => EngineKind::Oracle,
        }
    }

    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Oracle => "oracle",
        }
    }
}

/// Most seeds of one command: far above any use, below any typing mistake.
const SEEDS_MAX: u64 = 1_000_000;
/// Most worker threads.
const THREADS_MAX: usize = 256;

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let shape = || "write A..=B with B, or A..B without, like 1..=20".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(shape)?;
    let (last, inclusive) = last.strip_prefix('=').map_or((last, false), |last| (last, true));
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| shape());
    let (first, last) = (number(first)?, number(last)?);
    let empty = || format!("the range {text} is empty");
    let last = if inclusive { last } else { last.checked_sub(1).ok_or_else(empty)? };
    if first > last {
        return Err(empty());
    }
    if last - first >= SEEDS_MAX {
        return Err(format!("more than {SEEDS_MAX} seeds"));
    }
    Ok(first..=last)
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=THREADS_MAX) => Ok(threads),
        Ok(_) | Err(_) => Err(format!("a run has 1 to {THREADS_MAX} threads")),
    }
}

/// The threads of a run that asks for none in particular.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_ranges_are_as_in_rust() {
        assert_eq!(seeds("1..=20"), Ok(1..=20));
        assert_eq!(seeds("1..20"), Ok(1..=19));
        assert_eq!(seeds("7..=7"), Ok(7..=7));
        for wrong in ["5..5", "5..=4", "0..0", "5", "a..b", "1..=", "0..=1000000", "-1..3"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
