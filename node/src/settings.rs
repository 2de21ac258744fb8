//! What a node is told, from a file (`node.toml`) and the command line.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyperspace_protocol::config::Config as ProtocolConfig;
use hyperspace_protocol::primitive::amount::{Amount, AmountError, BUDGET_DIGITS, Decimal};
use hyperspace_protocol::{gossip, kad};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::driver::protocol_config;
use crate::outside::OutsideConfig;
use crate::rpc::{BindError, RpcConfig, TlsFiles};
use crate::store::Unlock;

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
    /// Whether peers on the local network are found by mDNS (see [`Settings::find_nearby`]).
    pub mdns: bool,
    /// The machine.
    pub protocol: ProtocolConfig,
    /// How the store is opened.
    pub unlock: Unlock,
    /// Whom it may ask outside the network.
    pub outside: OutsideConfig,
    /// The control hook's socket, if it is to have one.
    pub control: Option<PathBuf>,
}

/// A settings file. Every table and key may be left out; paths are relative to the file's folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    rpc: Rpc,
    p2p: P2p,
    store: Store,
    session: Session,
    sharing: Sharing,
    outside: OutsideConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rpc {
    listen: Option<SocketAddr>,
    api_key_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    allow_public: bool,
    origins: Vec<String>,
    hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct P2p {
    listen: Option<Vec<String>>,
    bootstrap: Vec<String>,
    gossip: Option<String>,
    dht: Option<String>,
    mdns: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Store {
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Session {
    budget: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sharing {
    trajectories: bool,
}

impl Default for Sharing {
    /// The spec's examples gossip unasked (decision T12).
    fn default() -> Self {
        Self { trajectories: true }
    }
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
        let mut protocol = file.p2p.protocol()?;
        protocol.primitives.improving.publish = file.sharing.trajectories;
        if let Some(budget) = file.session.budget {
            // As the file has it: a float prints as the shortest number that reads the same.
            let units = Decimal::new(&budget.to_string()).and_then(|budget| budget.units(BUDGET_DIGITS));
            protocol.primitives.state.budget = Amount(units.map_err(SettingsError::Budget)?);
        }
        let passphrase = file.store.passphrase_file.map(|path| passphrase(&base.join(path))).transpose()?;
        let mut settings = Self {
            data,
            rpc: file.rpc.config(&base)?,
            listen: file.p2p.listen.unwrap_or_else(|| vec![LISTEN.to_owned()]),
            bootstrap: file.p2p.bootstrap,
            mdns: false,
            protocol,
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
        self.mdns = true;
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

impl Rpc {
    fn config(self, base: &Path) -> Result<RpcConfig, SettingsError> {
        let mut config = RpcConfig { allow_public: self.allow_public, ..RpcConfig::default() };
        config.addr = self.listen.unwrap_or(config.addr);
        config.origins = self.origins;
        config.hosts = self.hosts;
        config.tls = match (self.certificate, self.key) {
            (Some(certificates), Some(key)) => {
                Some(TlsFiles { certificates: base.join(certificates), key: base.join(key) })
            }
            (None, None) => None,
            _ => return Err(SettingsError::Tls),
        };
        if let Some(path) = self.api_key_file {
            config.read_keys(base.join(path))?;
        }
        Ok(config)
    }
}

impl P2p {
    fn protocol(&self) -> Result<ProtocolConfig, SettingsError> {
        let mut config = protocol_config();
        if let Some(name) = &self.gossip {
            config.gossip = gossip::Config::profile(name).ok_or_else(|| SettingsError::Choice {
                key: "p2p.gossip",
                value: name.clone(),
                known: gossip::Config::PROFILES.join(", "),
            })?;
        }
        if let Some(name) = &self.dht {
            let known = || SettingsError::Choice {
                key: "p2p.dht",
                value: name.clone(),
                known: "spec, go, rust, off".to_owned(),
            };
            config.dht = match &name[..] {
                "off" => None,
                name => Some(kad::Config::profile(name).ok_or_else(known)?),
            };
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("keys"), "0123456789abcdef\n").unwrap();
        fs::write(folder.path().join("pass"), "open sesame\n").unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        Settings::load("data".into(), Some(&path)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_what_it_wants_otherwise() {
        let settings = load(
            r#"
            [rpc]
            listen = "0.0.0.0:4100"
            api_key_file = "keys"
            origins = ["https://example.org"]
            [p2p]
            listen = ["/ip4/127.0.0.1/tcp/0"]
            bootstrap = ["/ip4/127.0.0.1/tcp/1"]
            gossip = "rust"
            dht = "off"
            [store]
            passphrase_file = "pass"
            [session]
            budget = 2.5
            [sharing]
            trajectories = false
            [outside]
            tool_hosts = ["tools.example"]
            "#,
        )
        .unwrap();
        assert_eq!(settings.rpc.addr.to_string(), "0.0.0.0:4100");
        assert!(settings.rpc.keys.find("0123456789abcdef").is_some());
        assert_eq!(settings.listen, ["/ip4/127.0.0.1/tcp/0"]);
        assert_eq!(settings.protocol.gossip, gossip::Config::rust());
        assert_eq!(settings.protocol.dht, None);
        assert!(matches!(&settings.unlock, Unlock::Passphrase(text) if **text == "open sesame"));
        assert_eq!(settings.protocol.primitives.state.budget.0, 2_500_000);
        assert!(!settings.protocol.primitives.improving.publish);
        assert_eq!(settings.outside.tool_hosts, ["tools.example"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, what) in [
            ("[rpc]\nlisten = \"nowhere\"", "listen"),
            ("[rpc]\nlissten = \"127.0.0.1:1\"", "lissten"),
            ("[rcp]", "rcp"),
            ("[rpc]\ncertificate = \"c\"", "belong together"),
            ("[rpc]\napi_key_file = \"none\"", "none"),
            ("[p2p]\ngossip = \"best\"", "hyperspace"),
            ("[p2p]\ndht = \"best\"", "off"),
            #[cfg(not(feature = "mdns"))]
            ("[p2p]\nmdns = true", "--features mdns"),
            ("[session]\nbudget = -1", "negative"),
            ("[store]\npassphrase_file = \"empty\"", "no passphrase"),
            ("[store", "line 1"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
        let missing = Settings::load("data".into(), Some(Path::new("/none/node.toml"))).unwrap_err();
        assert!(missing.to_string().contains("/none/node.toml"));
    }
}
