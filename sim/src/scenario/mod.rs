//! Scenario files: what to simulate, and what must come out.
//!
//! [`load_file`] reads a TOML file, lays arms and overrides over it and gives one checked [`Scenario`] per arm. Later
//! layers win: file, then arm, then `--set`, then `--seed`. `hyperlab scenarios schema` lists every key with its default.
//! A mistake is a [`ScenarioError`], which shows the line.
//!
//! The way through the files: `tree` (TOML with places and layers) → `reader` and `units` (typed values; `keys` lists
//! what there is) → `parse` with `gossip`, `latency` and `topology` (names and defaults) → `check` (what values mean
//! together). Other files that a scenario names are read by `csv`, `gml` with `shadow`, `interop` and `topology`.

mod calls;
mod check;
mod csv;
mod discovery;
mod error;
mod gml;
mod gossip;
mod groups;
mod interop;
mod keys;
mod latency;
mod metrics;
mod model;
mod network;
mod parse;
mod reader;
mod resolved;
mod settings;
mod shadow;
mod shipped;
mod topology;
mod tree;
pub(crate) mod units;
mod workloads;

use std::path::Path;

pub use calls::Calls;
pub use csv::table as csv_table;
pub use discovery::*;
pub use error::{ScenarioError, TextError};
pub use interop::overlay as interop_overlay;
pub use keys::schema;
pub use metrics::{METRICS, Verdict, metric};
pub use model::*;
pub use resolved::resolved;
pub use shadow::{GmlEdge, GmlNetwork, GmlNode};
pub use shipped::{SHIPPED, shipped};

use error::{Fault, Sources, nearest};
use parse::Arms;
use tree::{Node, parse_override};

/// Changes from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Replaces `run.seed`.
    pub seed: Option<u64>,
    /// `PATH=VALUE` each: `group.honest.count=2000`, `run.duration=60s`, `workload.0.rate=20/s`. The value is TOML if it
    /// parses as such, else text. The groups, arms and array items that a path names must exist.
    pub set: Vec<String>,
}

/// Reads a scenario from a file: one [`Scenario`] per arm in the order of the file, or one if it has no arms.
///
/// # Errors
/// If the file cannot be read, or for any mistake in it.
pub fn load_file(path: &Path, overrides: &Overrides) -> Result<Vec<Scenario>, ScenarioError> {
    let name = path.display().to_string();
    let text = topology::read_text(path).map_err(|message| ScenarioError::whole(&name, message))?;
    load(&name, &text, path.parent().unwrap_or(Path::new("")), overrides)
}

/// An override changes groups and arms that the file has: a misspelt name must not make a new one.
fn known_names(document: &Node, layer: &Node) -> Result<(), Fault> {
    for (table, what) in [("group", "group"), ("arms", "arm")] {
        let Some(changed) = layer.entry(table) else { continue };
        let names: Vec<&str> = document.entry(table).map_or(Vec::new(), |entry| entry.node.keys());
        for entry in changed.node.entries() {
            if !names.contains(&entry.key.as_str()) {
                let message = format!("the file has no {what} `{}`", entry.key);
                return Err(Fault::new(entry.key_at, message).help(nearest(&entry.key, &names)));
            }
        }
    }
    Ok(())
}

/// Reads a scenario from text. Messages call it `source_name`; `base` is the folder that `file:PATH` starts from.
///
/// # Errors
/// For any mistake in the text or the overrides.
pub fn load(
    source_name: &str,
    text: &str,
    base: &Path,
    overrides: &Overrides,
) -> Result<Vec<Scenario>, ScenarioError> {
    let mut sources = Sources::new(source_name, text);
    load_layers(&mut sources, text, base, overrides).map_err(|fault| sources.locate(fault))
}

fn load_layers(
    sources: &mut Sources,
    text: &str,
    base: &Path,
    overrides: &Overrides,
) -> Result<Vec<Scenario>, Fault> {
    let mut document = Node::parse(text, 0)?;
    let mut layers = Vec::new();
    for set in &overrides.set {
        let source = sources.add("--set", set);
        let layer = parse_override(set, source)?;
        known_names(&document, &layer)?;
        layers.push(layer);
    }
    if let Some(seed) = overrides.seed {
        let set = format!("run.seed={seed}");
        let source = sources.add("--seed", &set);
        layers.push(parse_override(&set, source)?);
    }
    // Once before the arms, so that an override may change an arm, and once after them, so that it wins.
    for layer in &layers {
        document.merge(layer)?;
    }
    let Some(arms) = document.take("arms") else { return Ok(vec![one(&document, &[], None, base)?]) };
    if let Some(arm) = document.entry("arm") {
        return Err(Fault::new(arm.key_at, "a file with [arms] is not itself one `arm`"));
    }
    let names = parse::arm_names(&arms.node)?;
    if names.is_empty() {
        return Err(Fault::new(arms.key_at, "[arms] is empty")
            .help("write [arms.NAME] with changes, or leave it out"));
    }
    let mut scenarios = Vec::new();
    for name in &names {
        let mut tree = document.clone();
        if let Some(entry) = arms.node.entry(name) {
            tree.merge(&entry.node)?;
        }
        for layer in &layers {
            tree.merge(layer)?;
        }
        tree.take("arms");
        scenarios.push(one(&tree, &names, Some(name), base)?);
    }
    Ok(scenarios)
}

/// Reads and checks one arm.
fn one(tree: &Node, names: &[String], arm: Option<&str>, base: &Path) -> Result<Scenario, Fault> {
    let scenario = parse::scenario(tree, &Arms { this: arm, all: names }, base)?;
    scenario.problem().map_err(|problem| {
        // A message about [gossip] names its settings: blame the first that is written.
        let words = problem.message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let paths = ["gossip.", "gossip.score.", "gossip.score.topic."];
        let blamed = (problem.path == "gossip")
            .then(|| {
                words
                    .flat_map(|word| paths.map(|path| format!("{path}{word}")))
                    .chain(["gossip.interop".to_owned()])
                    .find(|path| tree.has(path))
            })
            .flatten();
        let message = match arm {
            Some(arm) => format!("{} (arm `{arm}`)", problem.message),
            None => problem.message.clone(),
        };
        Fault::new(tree.place(blamed.as_ref().unwrap_or(&problem.path)), message)
    })?;
    Ok(scenario)
}
