//! `hyperlab conform`: judge a node.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyperspace_conformance::baseline::{Baseline, date};
use hyperspace_conformance::events::{Event, Sink, Writer};
use hyperspace_conformance::json::Number;
use hyperspace_conformance::registry::Profile;
use hyperspace_conformance::suite::{self, Plan, Summary};
use hyperspace_conformance::target::{self, Address, ControlAddress, KeyPlace, TargetOptions};
use hyperspace_conformance::{cases, report};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Stdout, command};

/// What can be typed after `conform`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConformArgs {
    /// What to judge: ws://HOST:PORT, wss://HOST:PORT, cmd:COMMAND or stdio:COMMAND
    ///
    /// cmd: starts COMMAND, and again when it crashes; in it {port} is a free port of 127.0.0.1 on which it has to serve
    /// WebSocket, and {dir} a fresh folder. stdio: starts COMMAND and exchanges one JSON text a line with it.
    #[arg(value_name = "TARGET")]
    target: String,
    /// Judge this profile, and fail if it is not served; may be repeated [default: what is served]
    #[arg(long = "profile", value_name = "P")]
    profiles: Vec<String>,
    /// Only cases whose id fits, as guard/*; may be repeated
    #[arg(long = "case", value_name = "GLOB")]
    cases: Vec<String>,
    /// Exit with 7 if there are warnings, or musts that could not be checked
    #[arg(long)]
    strict: bool,
    /// A file of known failures, each with its reason
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write everything that happens to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Print one JSON object: counts by verdict, failed requirements, exit
    #[arg(long)]
    json: bool,
    /// Seed of the order of cases; 0 is the order of their ids
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run each case so often; what comes out differently is FLAKY
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// The API key
    #[arg(long, value_name = "KEY", conflicts_with = "api_key_file")]
    api_key: Option<String>,
    /// A file whose first line is the API key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Where the key goes: bearer, header:NAME, query:NAME or subprotocol
    #[arg(long, value_name = "PLACE", default_value = "bearer")]
    api_key_in: String,
    /// The node's control hook: unix:PATH or stdio:COMMAND
    #[arg(long, value_name = "C")]
    control: Option<String>,
    /// What the operator promises: session=ID, budget=LIMIT; may be repeated
    #[arg(long, value_name = "K=V")]
    given: Vec<String>,
    /// A PEM file of certificates to trust for wss://, in the place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// How long the whole run may take, in seconds
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time: u64,
}

/// Keeps all events for the reports, and writes them to a file as they come.
struct Tee {
    kept: Vec<Event>,
    file: Option<Writer<BufWriter<File>>>,
}

impl Sink for Tee {
    fn event(&mut self, event: &Event) {
        self.kept.push(event.clone());
        if let Some(file) = &mut self.file {
            file.event(event);
        }
    }
}

/// The object of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    target: &'a str,
    code: u8,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// Judges, and reports.
pub(crate) fn conform(args: &ConformArgs) -> Result<(), Failure> {
    let address = Address::parse(&args.target).map_err(Failure::Input)?;
    let options = options(args)?;
    let plan = plan(args)?;
    let cases = cases::shipped().map_err(|error| Failure::Internal(anyhow::anyhow!(error)))?;
    let events = args.events.as_deref().map(create).transpose()?;
    let junit = args.junit.as_deref().map(create).transpose()?;
    let mut sink = Tee { kept: Vec::new(), file: events.map(|file| Writer::new(BufWriter::new(file))) };
    let summary = match target::open(&address, options) {
        Ok(mut target) => suite::run(&cases, &plan, &mut *target, &mut sink),
        Err(error) => suite::unreachable(&plan, &args.target, &error, &mut sink),
    };
    if let Some(file) = sink.file {
        file.finish().map_err(|error| Failure::Input(format!("cannot write the events: {error}")))?;
    }
    if let Some(mut file) = junit {
        let text = report::junit(&sink.kept).map_err(anyhow::Error::from)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .map_err(|error| Failure::Input(format!("cannot write the JUnit report: {error}")))?;
    }
    let mut out = Stdout::default();
    let code = summary.exit.code();
    if args.json {
        out.json(&Line { target: &args.target, code, summary: &summary })?;
    } else {
        out.line(report::console(&sink.kept).trim_end())?;
    }
    match code {
        0 => Ok(()),
        // The report ends with the message; the object has it too, but nobody reads that.
        code if args.json => Err(Failure::Conform(code, report::printable(&summary.message))),
        code => Err(Failure::Conform(code, String::new())),
    }
}

fn create(path: &std::path::Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::Input(format!("cannot write {}: {error}", path.display())))
}

fn read(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))
}

fn options(args: &ConformArgs) -> Result<TargetOptions, Failure> {
    let from_file = args.api_key_file.as_deref().map(read).transpose()?;
    let from_file = from_file.map(|text| text.lines().next().unwrap_or_default().trim().to_owned());
    let control = args.control.as_deref().map(ControlAddress::parse).transpose().map_err(Failure::Input)?;
    Ok(TargetOptions {
        key: args.api_key.clone().or(from_file),
        key_place: KeyPlace::parse(&args.api_key_in).map_err(Failure::Input)?,
        control,
        ca: args.ca.clone(),
        ..TargetOptions::default()
    })
}

fn plan(args: &ConformArgs) -> Result<Plan, Failure> {
    for name in &args.profiles {
        if Profile::parse(name).is_none() {
            let known: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
            return Err(Failure::Input(format!("'{name}' is no profile; there are {}", known.join(", "))));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let baseline = match &args.baseline {
        None => Baseline::default(),
        Some(path) => Baseline::parse(&read(path)?, &date(now.as_secs()))
            .map_err(|error| Failure::Input(format!("{}: {error}", path.display())))?,
    };
    let mut plan = Plan {
        profiles: args.profiles.clone(),
        globs: args.cases.clone(),
        seed: args.seed,
        repeat: args.repeat,
        strict: args.strict,
        patience: Duration::from_secs(args.patience),
        time: Duration::from_secs(args.time),
        baseline,
        command: again(args),
        unix_ms: u64::try_from(now.as_millis()).ok(),
        ..Plan::default()
    };
    for given in &args.given {
        let usage = || Failure::Input(format!("--given {given}: write session=ID or budget=LIMIT"));
        match given.split_once('=').ok_or_else(usage)? {
            ("session", id) if !id.is_empty() => plan.given_session = Some(id.to_owned()),
            ("budget", limit) => plan.given_budget = Some(Number::parse(limit).ok_or_else(usage)?),
            _ => return Err(usage()),
        }
    }
    Ok(plan)
}

/// The command that judges the same target in the same way; a key stays out of it.
fn again(args: &ConformArgs) -> String {
    let mut parts = vec!["hyperlab".to_owned(), "conform".to_owned(), args.target.clone()];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.extend([name.to_owned(), value]);
        }
    };
    for profile in &args.profiles {
        add("--profile", Some(profile.clone()));
    }
    for given in &args.given {
        add("--given", Some(given.clone()));
    }
    let shown = |path: &PathBuf| path.display().to_string();
    add("--api-key", args.api_key.as_ref().map(|_| "KEY".to_owned()));
    add("--api-key-file", args.api_key_file.as_ref().map(shown));
    add("--api-key-in", Some(args.api_key_in.clone()).filter(|place| place != "bearer"));
    add("--control", args.control.clone());
    add("--ca", args.ca.as_ref().map(shown));
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    command(&parts)
}
