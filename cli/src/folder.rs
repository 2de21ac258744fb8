//! The output folder of `run --out`: everything needed to run again and compare, and nothing outside it.
//!
//! * `build.json`: which program wrote it, and how many runs there are to be.
//! * `scenario.toml`, or `scenario-ARM.toml` for each arm: the scenario in full, defaults and overrides included.
//! * `runs.jsonl`: one line per run, as `run --json` prints it, with the names of its files.
//! * `digests/`: per run the digest of every epoch and block.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hyperspace_protocol::time::Duration;
use hyperspace_sim::Digests;
use hyperspace_sim::scenario::{Scenario, resolved};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::this_command;
use crate::table::RunLine;

const BUILD: &str = "build.json";
const RUNS: &str = "runs.jsonl";
const DIGESTS: &str = "digests";
/// Says that a folder is one of ours.
const MADE_BY: &str = "hyperlab run --out";

/// `build.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    made_by: String,
    pub(crate) version: String,
    /// A hash of the program file: two builds with the same one are the same program.
    pub(crate) build: String,
    rustc: String,
    target: String,
    profile: String,
    /// The command that wrote the folder.
    pub(crate) command: String,
    /// Runs that the folder holds when it is complete.
    pub(crate) runs: u64,
}

impl Build {
    /// This program.
    pub(crate) fn current(runs: u64) -> Result<Self, Failure> {
        let exe = std::env::current_exe().and_then(fs::read).context("cannot read the running program")?;
        // FNV-1a: enough to tell builds apart.
        let hash = exe.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Ok(Self {
            made_by: MADE_BY.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            build: format!("{hash:016x}"),
            rustc: env!("HYPERLAB_RUSTC").into(),
            target: env!("HYPERLAB_TARGET").into(),
            profile: env!("HYPERLAB_PROFILE").into(),
            command: this_command(),
            runs,
        })
    }
}

/// Files of one run, relative to the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) scenario: String,
    pub(crate) digests: String,
}

/// A run's digests; numbers as 16 hex digits.
#[derive(Debug, Serialize, Deserialize)]
struct DigestFile {
    run: String,
    epoch_length_ns: u64,
    epochs: Vec<Vec<String>>,
    finals: Vec<String>,
}

/// The part of a line of `runs.jsonl` that a rerun needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) scenario: String,
    pub(crate) arm: Option<String>,
    pub(crate) seed: u64,
    pub(crate) wire: bool,
    pub(crate) digest: String,
    pub(crate) files: Files,
}

/// A folder being written.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    several: bool,
}

impl Folder {
    /// Makes the folder, or empties it if it is one of ours, and writes `build.json` and the scenarios. `several` says
    /// whether they come from several files.
    pub(crate) fn create(dir: &Path, arms: &[&Scenario], several: bool, seeds: u64) -> Result<Self, Failure> {
        let folder = Self { dir: dir.into(), several };
        let mut names = Vec::new();
        for scenario in arms {
            let name = folder.scenario_file(scenario);
            if names.contains(&name) {
                return Err(Failure::Input(format!(
                    "two of the files are scenarios called `{}`: --out needs different names",
                    scenario.name
                )));
            }
            names.push(name);
        }
        claim(dir)?;
        // First what makes the folder ours: whatever stops us after that, it can be used again.
        let build = Build::current(seeds * arms.len() as u64)?;
        folder
            .write(BUILD, &format!("{:#}\n", serde_json::to_value(&build).context("cannot write JSON")?))?;
        folder.write(RUNS, "")?;
        fs::create_dir_all(dir.join(DIGESTS)).with_context(|| format!("cannot create {}", dir.display()))?;
        for (scenario, name) in arms.iter().zip(&names) {
            folder.write(name, &resolved(scenario))?;
        }
        Ok(folder)
    }

    fn stem(&self, scenario: &Scenario) -> String {
        let file = if self.several { format!("-{}", scenario.name) } else { String::new() };
        let arm = scenario.arm.as_ref().map(|arm| format!("-{arm}")).unwrap_or_default();
        format!("{file}{arm}")
    }

    fn scenario_file(&self, scenario: &Scenario) -> String {
        format!("scenario{}.toml", self.stem(scenario))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        Ok(fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?)
    }

    /// Writes a run's digests and says which files are the run's.
    pub(crate) fn digests(&mut self, scenario: &Scenario, digests: &Digests) -> Result<Files, Failure> {
        let name = format!("{DIGESTS}/digests{}-seed-{}.json", self.stem(scenario), scenario.run.seed);
        let hex = |row: &[u64]| row.iter().map(|digest| format!("{digest:016x}")).collect::<Vec<_>>();
        let file = DigestFile {
            run: format!("{:016x}", digests.run),
            epoch_length_ns: digests.epoch_length.as_nanos(),
            epochs: digests.epochs.iter().map(|row| hex(row)).collect(),
            finals: hex(&digests.finals),
        };
        self.write(&name, &serde_json::to_string(&file).context("cannot write JSON")?)?;
        Ok(Files { scenario: self.scenario_file(scenario), digests: name })
    }

    /// Appends a run.
    pub(crate) fn line(&mut self, line: &RunLine<'_>) -> Result<(), Failure> {
        let path = self.dir.join(RUNS);
        let text = serde_json::to_string(line).context("cannot write JSON")?;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(writeln!(file, "{text}").with_context(|| format!("cannot write {}", path.display()))?)
    }
}

/// Makes sure that `dir` is an empty folder, emptying it if it is one of ours.
fn claim(dir: &Path) -> Result<(), Failure> {
    let refuse =
        |error: std::io::Error| Failure::Input(format!("cannot use {} for --out: {error}", dir.display()));
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return fs::create_dir_all(dir).map_err(refuse),
        entries => entries.map_err(refuse)?,
    };
    if entries.count() == 0 {
        return Ok(());
    }
    let ours = fs::read_to_string(dir.join(BUILD)).ok();
    let ours = ours.and_then(|text| serde_json::from_str::<Build>(&text).ok());
    if ours.is_none_or(|build| build.made_by != MADE_BY) {
        return Err(Failure::Input(format!(
            "{} is not empty and was not written by `hyperlab run --out`: choose another folder",
            dir.display()
        )));
    }
    // Only what we write ourselves: whatever else was put there stays.
    for entry in
        fs::read_dir(dir).map_err(refuse)?.chain(fs::read_dir(dir.join(DIGESTS)).into_iter().flatten())
    {
        let path = entry.map_err(refuse)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let scenario = name.starts_with("scenario") && name.ends_with(".toml");
        let digests = name.starts_with("digests-") && name.ends_with(".json");
        if scenario || digests || name == RUNS || name == BUILD {
            fs::remove_file(&path).map_err(refuse)?;
        }
    }
    Ok(())
}

/// Reads a folder: the program that wrote it and its runs. Anything missing, cut short or changed is an error.
pub(crate) fn read(dir: &Path) -> Result<(Build, Vec<Recorded>), Failure> {
    if !dir.is_dir() {
        return Err(Failure::Input(format!("{} is not a folder", dir.display())));
    }
    if !dir.join(BUILD).exists() {
        let dir = dir.display();
        return Err(Failure::Input(format!(
            "{dir} was not written by `hyperlab run --out`: it has no {BUILD}"
        )));
    }
    let build: Build = parse(&dir.join(BUILD), &text(&dir.join(BUILD))?)?;
    if build.made_by != MADE_BY {
        return Err(Failure::Input(format!("{} was not written by `hyperlab run --out`", dir.display())));
    }
    let path = dir.join(RUNS);
    let mut runs: Vec<Recorded> = Vec::new();
    for (index, line) in text(&path)?.lines().enumerate() {
        runs.push(serde_json::from_str(line).map_err(|error| {
            Failure::Input(format!("{}:{}: not a run, or cut short: {error}", path.display(), index + 1))
        })?);
    }
    if runs.len() as u64 != build.runs {
        return Err(Failure::Input(format!(
            "{} is incomplete: it holds {} of {} runs",
            dir.display(),
            runs.len(),
            build.runs
        )));
    }
    Ok((build, runs))
}

/// Reads the digests of a recorded run and checks that they are the ones of its line.
pub(crate) fn read_digests(dir: &Path, run: &Recorded) -> Result<Digests, Failure> {
    let path = dir.join(&run.files.digests);
    let file: DigestFile = parse(&path, &text(&path)?)?;
    let corrupt = |what: &str| Failure::Input(format!("{} is corrupt: {what}", path.display()));
    let number =
        |hex: &String| u64::from_str_radix(hex, 16).map_err(|_| corrupt("a digest is not a hex number"));
    let row = |row: &Vec<String>| row.iter().map(number).collect::<Result<Vec<_>, _>>();
    if file.run != run.digest {
        return Err(corrupt("its digest is not the one in runs.jsonl"));
    }
    Ok(Digests {
        run: number(&file.run)?,
        epoch_length: Duration::from_nanos(file.epoch_length_ns),
        epochs: file.epochs.iter().map(row).collect::<Result<_, _>>()?,
        finals: row(&file.finals)?,
    })
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Input(format!("{} is corrupt or cut short: {error}", path.display())))
}
