//! `hyperlab`: the command line of the laboratory. Each verb has a file; they parse, call the library and print.
//!
//! Results go to stdout, progress and diagnostics to stderr. Exit codes: 0 ok, 1 an expectation failed, 2 bad input,
//! 3 nondeterminism, 4 an invariant broke, 5 internal error.

#[cfg(not(any(feature = "conform", feature = "node", feature = "sim")))]
compile_error!("hyperlab has no verb without one of the features `conform`, `node` and `sim`");

mod args;
#[cfg(feature = "sim")]
mod bench;
#[cfg(feature = "node")]
mod call;
#[cfg(feature = "conform")]
mod conform;
mod failure;
#[cfg(feature = "sim")]
mod folder;
#[cfg(feature = "sim")]
mod measure;
#[cfg(feature = "node")]
mod node;
mod output;
#[cfg(feature = "sim")]
mod progress;
#[cfg(feature = "sim")]
mod rerun;
#[cfg(feature = "sim")]
mod run;
#[cfg(feature = "sim")]
mod scenarios;
#[cfg(feature = "sim")]
mod sim_args;
#[cfg(feature = "sim")]
mod table;
#[cfg(feature = "sim")]
mod trace;
#[cfg(feature = "sim")]
mod verify;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = catch_unwind(AssertUnwindSafe(|| match &args.verb {
        #[cfg(feature = "sim")]
        Verb::Run(args) => run::run(args),
        #[cfg(feature = "sim")]
        Verb::Verify(args) => verify::verify(args),
        #[cfg(feature = "sim")]
        Verb::Rerun(args) => rerun::rerun(args),
        #[cfg(feature = "sim")]
        Verb::Bench(args) => bench::bench(args),
        #[cfg(feature = "sim")]
        Verb::Scenarios { what } => scenarios::scenarios(what),
        #[cfg(feature = "node")]
        Verb::Node(args) => node::node(args),
        #[cfg(feature = "node")]
        Verb::Call(args) => call::call(args),
        #[cfg(feature = "conform")]
        Verb::Conform(args) => conform::conform(args),
    }));
    let failure = match done {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(failure)) => failure,
        // The panic itself is already on stderr.
        Err(_) => {
            Failure::Internal(anyhow::anyhow!("a bug in hyperlab\nreproduce: {}", output::this_command()))
        }
    };
    let text = failure.to_string();
    if !text.is_empty() {
        output::note(&text);
    }
    ExitCode::from(failure.code())
}
