//! Where scenarios come from: files, or the ones that ship with the binary; and `hyperlab scenarios`.

use std::io::IsTerminal;
use std::path::Path;

use hyperspace_sim::scenario::{
    Overrides, SHIPPED, Scenario, ScenarioError, load, load_file, schema, shipped,
};

use crate::failure::Failure;
use crate::output::Stdout;
use crate::sim_args::Scenarios;

/// Reads a scenario file, or the shipped scenario of that name if there is no such file.
pub(crate) fn read(file: &str, overrides: &Overrides) -> Result<Vec<Scenario>, Failure> {
    let path = Path::new(file);
    let loaded = match shipped(file) {
        Some(text) if !path.exists() => load(file, text, Path::new(""), overrides),
        None if !path.exists() && !file.contains(['/', '.']) => {
            return Err(unknown("there is neither a file nor a shipped scenario called", file));
        }
        Some(_) | None => load_file(path, overrides),
    };
    loaded.map_err(failure)
}

/// A scenario error, in colour where that can be seen.
pub(crate) fn failure(error: ScenarioError) -> Failure {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Failure::Scenario(error.render(colour))
}

fn unknown(what: &str, name: &str) -> Failure {
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    Failure::Input(format!("{what} `{name}`; shipped: {}", names.join(", ")))
}

/// `hyperlab scenarios`.
pub(crate) fn scenarios(what: &Scenarios) -> Result<(), Failure> {
    let mut out = Stdout::default();
    match what {
        Scenarios::List => {
            let width = SHIPPED.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, text) in SHIPPED {
                out.line(&format!("{name:width$}  {}", question(text)))?;
            }
            Ok(())
        }
        Scenarios::Show { name } => {
            let text = shipped(name).ok_or_else(|| unknown("no shipped scenario is called", name))?;
            out.line(text.trim_end())
        }
        Scenarios::Schema => out.line(&format!("{:#}", schema())),
    }
}

/// The question that a scenario's first comment asks.
fn question(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("# "));
    let comment = lines.collect::<Vec<_>>().join(" ");
    let question = comment.strip_prefix("Question: ").unwrap_or(&comment);
    question.split_inclusive('?').next().unwrap_or(question).to_owned()
}
