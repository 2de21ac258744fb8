//! `hyperlab rerun`: runs an output folder again and compares the digests.

use hyperspace_sim::RunOptions;
use hyperspace_sim::verify::first_difference;

use hyperspace_sim::scenario::{Overrides, load_file};

use crate::failure::Failure;
use crate::folder::{self, Build};
use crate::measure::measured;
use crate::output::{Stdout, command, note};
use crate::progress::{Display, Style};
use crate::run::label;
use crate::scenarios;
use crate::sim_args::{RerunArgs, default_threads};

/// `hyperlab rerun`.
pub(crate) fn rerun(args: &RerunArgs) -> Result<(), Failure> {
    let (build, runs) = folder::read(&args.dir)?;
    // Everything is read before anything runs.
    let mut jobs = Vec::new();
    for run in runs {
        let overrides = Overrides { seed: Some(run.seed), set: Vec::new() };
        let path = args.dir.join(&run.files.scenario);
        let mut arms = load_file(&path, &overrides).map_err(scenarios::failure)?;
        let scenario = match (arms.pop(), arms.pop()) {
            (Some(scenario), None) if (&scenario.name, &scenario.arm) == (&run.scenario, &run.arm) => {
                scenario
            }
            _ => {
                let file = path.display();
                return Err(Failure::Input(format!("{file} is not the scenario that runs.jsonl says it is")));
            }
        };
        let digests = folder::read_digests(&args.dir, &run)?;
        jobs.push((run, scenario, digests));
    }
    let now = Build::current(0)?;
    if now.build != build.build {
        note(&format!("the folder was written by another build ({} {})", build.version, build.build));
    }
    let reproduce = command(&["hyperlab", "rerun", &args.dir.to_string_lossy()]);
    let threads = args.threads.unwrap_or_else(default_threads);
    let mut out = Stdout::default();
    for (run, scenario, recorded) in jobs {
        let options = RunOptions { threads, wire: run.wire, ..RunOptions::default() };
        let mut display = Display::new(label(&scenario), if args.quiet { Style::Quiet } else { Style::Line });
        let measured = measured(&scenario, &options, &reproduce, &mut |progress| display.update(&progress))?;
        drop(display);
        let digests = measured.outcome.digests;
        if digests.run != recorded.run {
            let place = first_difference(&recorded, &digests).map_or(String::new(), |(epoch, block)| {
                let from = recorded.epoch_length.saturating_mul(epoch).as_secs_f64();
                format!(", first in epoch {epoch} (from {from} s), block {block}")
            });
            return Err(Failure::Nondeterminism(format!(
                "{}: recorded digest {}, now {:016x}{place}\nunless another build or an edited scenario file is the reason\nreproduce: {reproduce}",
                label(&scenario),
                run.digest,
                digests.run
            )));
        }
        out.line(&format!("{}: digest {} as recorded", label(&scenario), run.digest))?;
    }
    Ok(())
}
