//! What a node is told, from a file and the command line. `node.toml` in this package is a file with every key.

mod dialect;
pub(crate) mod period;
mod tables;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use hyperspace_protocol::config::Config as ProtocolConfig;
use hyperspace_protocol::envelope::Dialect;
use hyperspace_protocol::primitive::amount::AmountError;
use zeroize::Zeroizing;

use crate::net;
use crate::outside::OutsideConfig;
use crate::rpc::{BindError, RpcConfig};
use crate::store::Unlock;
use tables::File;

/// Where a node listens for peers unless told otherwise: the port after that of the spec's JSON-RPC (our choice).
pub const LISTEN: &str = "/ip4/0.0.0.0/tcp/3101";

/// Everything that `hyperlab node` can be told.
#[derive(Debug)]
pub struct Settings {
    /// The data folder: identity, store, keys.
    pub data: PathBuf,
    /// The JSON-RPC server.
    pub rpc: RpcConfig,
    /// Where to listen for peers, as multiaddrs.
    pub listen: Vec<String>,
    /// Peers to connect to at the start, as multiaddrs.
    pub bootstrap: Vec<String>,
    /// Bounds and times of the network, and whether peers on the local one are found (see [`Settings::find_nearby`]).
    pub net: net::Settings,
    /// The machine.
    pub protocol: ProtocolConfig,
    /// How envelopes are read and written.
    pub dialect: Dialect,
    /// How the store is opened.
    pub unlock: Unlock,
    /// Whom it may ask outside the network.
    pub outside: OutsideConfig,
    /// The control hook's socket, if it is to have one.
    pub control: Option<PathBuf>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The settings file has a mistake.
    #[error("{}: {error}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
    /// A value that is none of those there are.
    #[error("{key}: {value:?} is none of {known}")]
    Choice {
        /// Where.
        key: &'static str,
        /// What.
        value: String,
        /// Which there are.
        known: String,
    },
    /// The budget of sessions is none.
    #[error("session.budget: {0}")]
    Budget(AmountError),
    /// The guard's policy is none.
    #[error("guard.policy: {0}")]
    Policy(serde_json::Error),
    /// A task type that no topic can have.
    #[error(
        "tool.task_types: {0:?} is no task type: it is a part of a topic such as hyperspace/tasks/web-research"
    )]
    TaskType(String),
    /// mDNS in a build that has none.
    #[error("this build has no mDNS: build it with --features mdns, or leave p2p.mdns and --mdns out")]
    NoMdns,
    /// A certificate without its key, or the other way round.
    #[error("rpc.certificate and rpc.key belong together: give both or none")]
    Tls,
    /// The passphrase file has none.
    #[error("{} has no passphrase in its first line", path.display())]
    Passphrase {
        /// Which.
        path: PathBuf,
    },
    /// The JSON-RPC server's part.
    #[error(transparent)]
    Rpc(#[from] BindError),
}

impl Settings {
    /// The defaults with what a settings file says instead.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(data: PathBuf, file: Option<&Path>) -> Result<Self, SettingsError> {
        let (file, base) = match file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(at(path))?;
                let parsed = toml::from_str(&text);
                let parsed = parsed
                    .map_err(|error| SettingsError::Toml { path: path.to_owned(), error: Box::new(error) })?;
                (parsed, path.parent().unwrap_or(Path::new(".")).to_owned())
            }
            None => (File::default(), PathBuf::new()),
        };
        let protocol = file.protocol()?;
        let passphrase = file.store.passphrase_file.map(|path| passphrase(&base.join(path))).transpose()?;
        let mut settings = Self {
            data,
            rpc: file.rpc.config(&base)?,
            listen: file.p2p.listen.unwrap_or_else(|| vec![LISTEN.to_owned()]),
            bootstrap: file.p2p.bootstrap,
            net: file.p2p.network,
            protocol,
            dialect: file.envelope.dialect.dialect(),
            unlock: passphrase.unwrap_or(Unlock::KeyFile),
            outside: file.outside.under(&base),
            control: None,
        };
        if file.p2p.mdns {
            settings.find_nearby()?;
        }
        Ok(settings)
    }

    /// Lets peers on the local network find each other by mDNS: this node's addresses are announced there, and it connects to
    /// peers that announce theirs, as long as it has few.
    ///
    /// # Errors
    /// If the build has no mDNS (cargo feature `mdns`).
    pub fn find_nearby(&mut self) -> Result<(), SettingsError> {
        if !cfg!(feature = "mdns") {
            return Err(SettingsError::NoMdns);
        }
        self.net.mdns = true;
        Ok(())
    }
}

/// Reads the first line of a file as the store's passphrase.
///
/// # Errors
/// If it cannot be read, or is empty.
pub fn passphrase(path: &Path) -> Result<Unlock, SettingsError> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(at(path))?);
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Unlock::Passphrase(Zeroizing::new(line.to_owned()))),
        None => Err(SettingsError::Passphrase { path: path.to_owned() }),
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SettingsError {
    let path = path.to_owned();
    |error| SettingsError::File { path, error }
}
