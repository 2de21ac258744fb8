//! `hyperlab node`: a real node, and what can be done with its data folder.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyperspace_node::serve::{ServeError, Started, serve};
use hyperspace_node::settings::{Settings, SettingsError, passphrase};
use hyperspace_node::store::{self, Store, StoreError, Unlock};
use hyperspace_node::{identity, rpc};
use hyperspace_protocol::identity::Keypair;
use hyperspace_protocol::primitive::openrpc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::output::{self, Stdout};

/// What can be typed after `node`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    what: Option<NodeVerb>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum NodeVerb {
    /// Run a node (the same as no verb)
    Run(RunArgs),
    /// Print the peer id; makes a key if there is none
    Id {
        #[command(flatten)]
        data: Data,
    },
    /// Print the OpenRPC document of all methods
    Openrpc,
    /// Write a backup of the store to stdout: ciphertext only, of use beside this folder's key files alone
    Export {
        #[command(flatten)]
        folder: Folder,
    },
    /// Take records from a backup: those whose keys were not erased since
    Import {
        #[command(flatten)]
        folder: Folder,
        /// The backup
        file: PathBuf,
    },
    /// Read every record and say what is damaged
    Check {
        #[command(flatten)]
        folder: Folder,
        /// Move damaged records to a file beside the store, so that a node can run without them
        #[arg(long)]
        repair: bool,
    },
    /// Erase everything of one subject: `metadata.subject` of what was stored, else its session
    Erase {
        #[command(flatten)]
        folder: Folder,
        /// Whose data
        #[arg(long, value_name = "S")]
        subject: String,
    },
}

/// Which data folder.
#[derive(Debug, Args)]
struct Data {
    /// The data folder: key, store. Default ~/.hyperlab
    #[arg(long = "data", value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Data {
    fn path(&self) -> Result<PathBuf, Failure> {
        let home = || std::env::home_dir().map(|home| home.join(".hyperlab"));
        let none = || Failure::Input("this user has no home folder: give --data DIR".to_owned());
        self.path.clone().or_else(home).ok_or_else(none)
    }
}

/// A data folder whose store is opened.
#[derive(Debug, Args)]
struct Folder {
    #[command(flatten)]
    data: Data,
    /// A file whose first line is the store's passphrase, if it has one
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Folder {
    /// Where it is, and how to open it. A folder without a store is a mistake here, not a new store.
    fn open(&self) -> Result<(PathBuf, Unlock), Failure> {
        let path = self.data.path()?;
        if !path.join("master.key").exists() {
            return Err(Failure::Input(format!("{} is not the data folder of a node", path.display())));
        }
        let unlock = self.passphrase_file.as_deref().map(passphrase).transpose().map_err(bad_settings)?;
        Ok((path, unlock.unwrap_or(Unlock::KeyFile)))
    }
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    data: Data,
    /// Where to serve JSON-RPC. Default 127.0.0.1:3100 (spec 2.2)
    #[arg(long, value_name = "ADDR")]
    rpc: Option<SocketAddr>,
    /// Where to listen for peers; may be repeated. Default /ip4/0.0.0.0/tcp/3101
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// A peer to connect to at the start; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    bootstrap: Vec<String>,
    /// Find peers on the local network by mDNS, and be found (a build with --features mdns)
    #[arg(long)]
    mdns: bool,
    /// A file with one API key per line: clients need one of them
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Serve JSON-RPC beyond this host without an API key: whoever reaches it is the operator
    #[arg(long)]
    allow_public: bool,
    /// A file whose first line is the store's passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A settings file (node.toml); what is given here wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Open the control hook for tests: unix:PATH
    #[arg(long, value_name = "unix:PATH")]
    control: Option<String>,
    /// What to log, as tracing's filters: info, debug, hyperspace_node=trace
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// Log one JSON object a line
    #[arg(long)]
    log_json: bool,
}

/// Carries out what follows `node`.
pub(crate) fn node(args: &NodeArgs) -> Result<(), Failure> {
    match args.what.as_ref() {
        None => run(&args.run),
        Some(NodeVerb::Run(args)) => run(args),
        Some(NodeVerb::Id { data }) => {
            let seed = identity::load_or_create(&data.path()?).map_err(|error| served(error.into()))?;
            line(&Keypair::from_seed(*seed).peer_id().to_string())
        }
        Some(NodeVerb::Openrpc) => line(&format!("{:#}", openrpc())),
        Some(NodeVerb::Export { folder }) => {
            let (path, unlock) = folder.open()?;
            let store = Store::open(&path, &unlock).map_err(stored)?;
            let records = store::export(&store, stdout().lock()).map_err(stored)?;
            output::note(&format!("{records} records"));
            Ok(())
        }
        Some(NodeVerb::Import { folder, file }) => import(folder, file),
        Some(NodeVerb::Check { folder, repair }) => check(folder, *repair),
        Some(NodeVerb::Erase { folder, subject }) => {
            let (path, unlock) = folder.open()?;
            let mut store = Store::open(&path, &unlock).map_err(stored)?;
            let erased = store::erase(&mut store, subject).map_err(stored)?;
            line(&format!("erased {erased} records of {subject}"))
        }
    }
}

fn import(folder: &Folder, file: &PathBuf) -> Result<(), Failure> {
    let (path, unlock) = folder.open()?;
    let from = File::open(file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    let imported = store::import(&path, &unlock, BufReader::new(from)).map_err(stored)?;
    line(&format!(
        "{} records restored, {} were there, {} have no key any more",
        imported.restored, imported.present, imported.unreadable
    ))
}

fn check(folder: &Folder, repair: bool) -> Result<(), Failure> {
    let (path, unlock) = folder.open()?;
    let report = if repair {
        let repaired = store::repair(&path, &unlock).map_err(stored)?;
        damaged(&repaired.before)?;
        if let Some(file) = &repaired.moved_to {
            line(&format!("moved {} records to {}", repaired.before.damaged.len(), file.display()))?;
        }
        repaired.after
    } else {
        store::check(&path, &unlock).map_err(stored)?
    };
    line(&format!("{} records", report.records))?;
    if report.sound() {
        return line("sound");
    }
    damaged(&report)?;
    let text = format!(
        "{} is damaged (check --repair moves out what cannot be read): {} records cannot be read, {} are filed under a wrong subject, {} keys belong to none{}",
        path.display(),
        report.damaged.len(),
        report.misplaced,
        report.stray,
        if report.database { "" } else { ", and the database's own check fails" },
    );
    Err(Failure::Node(5, text))
}

fn damaged(report: &store::Report) -> Result<(), Failure> {
    for (table, key) in &report.damaged {
        line(&format!("damaged: {} {}", table.name(), String::from_utf8_lossy(key).escape_debug()))?;
    }
    Ok(())
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    log(args)?;
    let settings = settings(args)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve(settings, stop, print_started).await.map_err(served)
    })
}

fn print_started(started: &Started) {
    let mut text = format!("peer    {}\nrpc     {}\n", started.peer, started.rpc);
    for address in &started.addresses {
        text.push_str(&format!("listen  {address}\n"));
    }
    if let Some(path) = &started.control {
        text.push_str(&format!("control unix:{}\n", path.display()));
    }
    // A node serves whether or not somebody reads where.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}

fn settings(args: &RunArgs) -> Result<Settings, Failure> {
    let data = args.data.path()?;
    if data.exists() && !data.is_dir() {
        return Err(Failure::Input(format!("--data {}: this is not a folder", data.display())));
    }
    let mut settings = Settings::load(data, args.config.as_deref()).map_err(bad_settings)?;
    if let Some(addr) = args.rpc {
        settings.rpc.addr = addr;
    }
    settings.rpc.allow_public |= args.allow_public;
    if let Some(path) = &args.api_key_file {
        settings
            .rpc
            .read_keys(path.clone())
            .map_err(|error: rpc::BindError| Failure::Input(error.to_string()))?;
    }
    if let Some(path) = &args.passphrase_file {
        settings.unlock = passphrase(path).map_err(bad_settings)?;
    }
    if !args.listen.is_empty() {
        settings.listen.clone_from(&args.listen);
    }
    settings.bootstrap.extend(args.bootstrap.iter().cloned());
    if args.mdns {
        settings.find_nearby().map_err(bad_settings)?;
    }
    if let Some(text) = &args.control {
        let path = text.strip_prefix("unix:").filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| Failure::Input(format!("--control {text}: write unix:PATH")))?;
        settings.control = Some(path.into());
    }
    Ok(settings)
}

fn log(args: &RunArgs) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| Failure::Input(format!("--log {}: {error}", args.log)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if args.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(stderr().is_terminal()).init();
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn bad_settings(error: SettingsError) -> Failure {
    Failure::Input(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn served(error: ServeError) -> Failure {
    Failure::Node(error.exit_code(), error.to_string())
}

fn stored(error: StoreError) -> Failure {
    served(error.into())
}

fn line(text: &str) -> Result<(), Failure> {
    Stdout::default().line(text)
}
