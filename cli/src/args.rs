//! What can be typed after `hyperlab`.

use clap::{Parser, Subcommand};

#[cfg(feature = "sim")]
use crate::sim_args::{BenchArgs, RerunArgs, RunArgs, Scenarios, VerifyArgs};

/// A laboratory for the Hyperspace Gossiping Agents Protocol: simulate it, run it, judge it.
#[derive(Debug, Parser)]
#[command(name = "hyperlab", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 an expectation failed, 2 bad input, 3 nondeterminism, 4 an invariant \
    broke, 5 internal error.\nResults go to stdout, progress and diagnostics to stderr.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Simulate scenarios and judge their expectations
    #[cfg(feature = "sim")]
    Run(RunArgs),
    /// Check that thread count, engine, wire format and repetition change nothing
    ///
    /// Runs each arm twice on 1 thread, on 2 and 4 threads, with the slow reference engine, and with every frame encoded and
    /// decoded, and compares the digests. On a difference it reruns both sides and shows epoch, peer and event.
    #[cfg(feature = "sim")]
    Verify(VerifyArgs),
    /// Run again what an output folder holds and compare the digests
    #[cfg(feature = "sim")]
    Rerun(RerunArgs),
    /// Time the parts of the protocol on this machine, beside the least that they can cost
    ///
    /// Takes under 20 seconds, one thread and no network. Each row is the fastest of several samples; its floor is the work
    /// that nothing can save, timed in the same run. `cargo bench -p hyperspace-benches` times the same with statistics.
    #[cfg(feature = "sim")]
    Bench(BenchArgs),
    /// The scenarios that come with hyperlab, and the schema of their format
    #[cfg(feature = "sim")]
    Scenarios {
        #[command(subcommand)]
        what: Scenarios,
    },
    /// Run a real node: the same machines over libp2p and JSON-RPC
    ///
    /// Without a verb of its own it runs until SIGINT or SIGTERM. Exit codes: 0 ok, 2 bad input or settings, 3 cannot listen
    /// or reach any bootstrap peer, 5 store or internal error.
    #[cfg(feature = "node")]
    Node(Box<crate::node::NodeArgs>),
    /// Call one method of a node over JSON-RPC
    ///
    /// Prints the result as JSON. Exit codes: 0 ok, 1 the node answered with an error, 2 bad input, 3 the node cannot be
    /// reached or does not let us in.
    #[cfg(feature = "node")]
    Call(crate::call::CallArgs),
    /// Judge a node: does it keep the specification?
    ///
    /// Needs nothing but its address. Says clause by clause what it keeps and, where it does not, the words of the
    /// specification, what was expected, what came, and how to see it again. Exit codes: 0 no failure and something checked,
    /// 1 not conformant, 2 bad input, 3 the target cannot be reached, 4 the baseline is stale, 5 internal error, 6 nothing
    /// could be checked, 7 with --strict: warnings, or musts that could not be checked.
    #[cfg(feature = "conform")]
    Conform(Box<crate::conform::ConformArgs>),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
