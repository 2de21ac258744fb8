//! The file of `run --trace-events`: opened before the run, so that a mistake shows at once, and written after it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::anyhow;
use hyperspace_sim::scenario::Scenario;
use hyperspace_sim::trace::{Trace, Written};

use crate::failure::Failure;
use crate::output::note;
use crate::sim_args::RunArgs;

/// Peers that are traced if `--trace-every` does not say otherwise. Our choice.
const PEERS: u32 = 10;

/// Where the trace of a run goes.
#[derive(Debug)]
pub(crate) struct TraceFile<'a> {
    path: &'a Path,
    file: File,
    /// Every how-manieth peer is traced.
    pub(crate) every: u32,
    peers: u32,
    written: Option<io::Result<Written>>,
}

/// Makes sure that there is one run to trace and that the trace can replace what is at `path`. Changes nothing.
pub(crate) fn check(path: &Path, files: usize, arms: &[&Scenario], seeds: u64) -> Result<(), Failure> {
    let refuse = |what: String| Err(Failure::Input(format!("--trace-events is for one run, {what}")));
    if files > 1 {
        return refuse(format!("not for {files} files: give one of them"));
    }
    if arms.len() > 1 {
        let names: Vec<&str> = arms.iter().filter_map(|arm| arm.arm.as_deref()).collect();
        return refuse(format!(
            "and `{}` has the arms {}: leave one in a copy of the file, or run scenario-ARM.toml of a folder that --out wrote",
            arms[0].name,
            names.join(", ")
        ));
    }
    if seeds > 1 {
        return refuse(format!("not for {seeds} seeds: give one with --seed"));
    }
    let shown = path.display();
    if path == Path::new("-") {
        return Err(Failure::Input("--trace-events needs a file: stdout is for the results".into()));
    }
    if path.is_dir() {
        return Err(Failure::Input(format!("cannot write the trace to {shown}: it is a directory")));
    }
    match may_replace(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Input(format!("{shown} exists and is no trace: choose another file"))),
        Err(error) => Err(Failure::Input(format!("cannot write the trace to {shown}: {error}"))),
    }
}

/// Whether there is nothing of value at `path`: no file, none that keeps what is written, an empty one or an earlier
/// trace. A trace begins with the length of its first event, as a varint, and the tag of the event's number.
fn may_replace(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    }
    let mut head = Vec::new();
    File::open(path)?.take(11).read_to_end(&mut head)?;
    let tag = head.iter().position(|byte| byte & 0x80 == 0).and_then(|last| head.get(last + 1));
    Ok(head.is_empty() || tag == Some(&0x08))
}

impl<'a> TraceFile<'a> {
    /// Opens the file for a run of this scenario.
    pub(crate) fn create(path: &'a Path, args: &RunArgs, scenario: &Scenario) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::Input(format!("cannot write the trace to {}: {error}", path.display()))
        })?;
        let all = scenario.peers();
        let every = args.trace_every.unwrap_or(all.div_ceil(PEERS).max(1));
        Ok(Self { path, file, every, peers: all.div_ceil(every), written: None })
    }

    /// Writes the trace. How that went shows at the end: the results come first.
    pub(crate) fn write(&mut self, trace: Trace) {
        self.written = Some(trace.write(&mut self.file));
    }

    /// Says how much was written.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let shown = self.path.display();
        match self.written {
            Some(Ok(Written { events, dropped })) => {
                let peers = self.peers;
                note(&format!("{shown}: {events} trace events, {dropped} dropped, peers traced: {peers}"));
                if dropped > 0 {
                    note("trace fewer peers to keep more of each: --trace-every N");
                }
                Ok(())
            }
            Some(Err(error)) => {
                Err(anyhow!(error).context(format!("cannot write the trace to {shown}")).into())
            }
            None => Ok(()),
        }
    }
}
