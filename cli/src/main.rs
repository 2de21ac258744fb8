//! `hyperlab`: the command line of the laboratory. Each verb has a file; they parse, call the library and print.
//!
//! Results go to stdout, progress and diagnostics to stderr. Exit codes: 0 ok, 1 an expectation failed, 2 bad input,
//! 3 nondeterminism, 4 an invariant broke, 5 internal error.

#[cfg(not(feature = "sim"))]
compile_error!("hyperlab has no verb without the feature `sim`");

mod args;
mod bench;
#[cfg(feature = "node")]
mod call;
mod failure;
mod folder;
mod measure;
#[cfg(feature = "node")]
mod node;
mod output;
mod progress;
mod rerun;
mod run;
mod scenarios;
mod sim_args;
mod table;
mod trace;
mod verify;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = catch_unwind(AssertUnwindSafe(|| match &args.verb {
        Verb::Run(args) => run::run(args),
        Verb::Verify(args) => verify::verify(args),
        Verb::Rerun(args) => rerun::rerun(args),
        Verb::Bench(args) => bench::bench(args),
        Verb::Scenarios { what } => scenarios::scenarios(what),
        #[cfg(feature = "node")]
        Verb::Node(args) => node::node(args),
        #[cfg(feature = "node")]
        Verb::Call(args) => call::call(args),
    }));
    let failure = match done {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(failure)) => failure,
        // The panic itself is already on stderr.
        Err(_) => {
            Failure::Internal(anyhow::anyhow!("a bug in hyperlab\nreproduce: {}", output::this_command()))
        }
    };
    output::note(&failure.to_string());
    ExitCode::from(failure.code())
}
