//! The tables of a settings file, and what they say to the rest of the node. `node.toml` beside this package shows every key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyperspace_protocol::config::Config as ProtocolConfig;
use hyperspace_protocol::envelope::ReplayConfig;
use hyperspace_protocol::payment::Address;
use hyperspace_protocol::primitive::amount::{Amount, BUDGET_DIGITS, Decimal};
use hyperspace_protocol::primitive::memory::Quorum;
use hyperspace_protocol::primitive::micropayments::Chain;
use hyperspace_protocol::topic::Topic;
use hyperspace_protocol::{gossip, kad};
use serde::Deserialize;

use super::{SettingsError, dialect, period};
use crate::driver::protocol_config;
use crate::net;
use crate::outside::OutsideConfig;
use crate::rpc::{RpcConfig, RpcLimits, TlsFiles};

/// A settings file. Every table and key may be left out; paths are relative to the file's folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) rpc: Rpc,
    pub(super) p2p: P2p,
    pub(super) envelope: Envelope,
    pub(super) store: Store,
    session: Session,
    sharing: Sharing,
    memory: Memory,
    tool: Tool,
    guard: Guard,
    payments: Payments,
    pub(super) outside: OutsideConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rpc {
    listen: Option<SocketAddr>,
    api_key_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    allow_public: bool,
    origins: Vec<String>,
    hosts: Vec<String>,
    limits: RpcLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct P2p {
    pub(super) listen: Option<Vec<String>>,
    pub(super) bootstrap: Vec<String>,
    gossip: Option<String>,
    dht: Option<String>,
    pub(super) mdns: bool,
    pub(super) network: net::Settings,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Envelope {
    #[serde(deserialize_with = "period::read_protocol")]
    past: hyperspace_protocol::time::Duration,
    #[serde(deserialize_with = "period::read_protocol")]
    future: hyperspace_protocol::time::Duration,
    pub(super) dialect: dialect::Form,
}

impl Default for Envelope {
    fn default() -> Self {
        let ReplayConfig { past, future } = protocol_config().replay;
        Self { past, future, dialect: dialect::Form::default() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    pub(super) passphrase_file: Option<PathBuf>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Memory {
    store: Option<bool>,
    quorum: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tool {
    geo: Option<String>,
    task_types: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Guard {
    policy: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Payments {
    chains: Option<Vec<ChainForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainForm {
    id: u64,
    x402_v1: String,
    token: Address,
    token_name: String,
    token_version: String,
}

impl File {
    /// The machine's settings.
    pub(super) fn protocol(&self) -> Result<ProtocolConfig, SettingsError> {
        let mut config = protocol_config();
        self.p2p.choose(&mut config)?;
        config.replay = ReplayConfig { past: self.envelope.past, future: self.envelope.future };
        let primitives = &mut config.primitives;
        primitives.improving.publish = self.sharing.trajectories;
        if let Some(budget) = &self.session.budget {
            // As the file has it: a float prints as the shortest number that reads the same.
            let units = Decimal::new(&budget.to_string()).and_then(|budget| budget.units(BUDGET_DIGITS));
            primitives.state.budget = Amount(units.map_err(SettingsError::Budget)?);
        }
        if let Some(store) = self.memory.store {
            primitives.memory.store = store;
        }
        if let Some(name) = &self.memory.quorum {
            primitives.memory.quorum = quorum(name)?;
        }
        if let Some(geo) = &self.tool.geo {
            primitives.tool.geo.clone_from(geo);
        }
        if let Some(types) = &self.tool.task_types {
            if let Some(wrong) =
                types.iter().find(|name| Topic::parse(&format!("hyperspace/tasks/{name}")).is_err())
            {
                return Err(SettingsError::TaskType(wrong.clone()));
            }
            primitives.tool.task_types.clone_from(types);
        }
        if let Some(policy) = &self.guard.policy {
            let json = serde_json::to_string(policy).map_err(SettingsError::Policy)?;
            primitives.guard.policy = serde_json::from_str(&json).map_err(SettingsError::Policy)?;
        }
        if let Some(chains) = &self.payments.chains {
            primitives.micropayments.chains = chains.iter().map(ChainForm::chain).collect();
        }
        Ok(config)
    }
}

impl ChainForm {
    fn chain(&self) -> Chain {
        Chain {
            id: self.id,
            x402_v1: self.x402_v1.clone(),
            token: self.token,
            token_name: self.token_name.clone(),
            token_version: self.token_version.clone(),
        }
    }
}

fn quorum(name: &str) -> Result<Quorum, SettingsError> {
    const KNOWN: [(&str, Quorum); 3] =
        [("all", Quorum::All), ("majority", Quorum::Majority), ("one", Quorum::One)];
    let found = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, quorum)| *quorum);
    found.ok_or_else(|| SettingsError::Choice {
        key: "memory.quorum",
        value: name.to_owned(),
        known: KNOWN.map(|(known, _)| known).join(", "),
    })
}

impl Rpc {
    /// The server's settings, with files taken from `base`.
    pub(super) fn config(self, base: &Path) -> Result<RpcConfig, SettingsError> {
        let mut config =
            RpcConfig { allow_public: self.allow_public, limits: self.limits, ..RpcConfig::default() };
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
    /// The profiles that it names.
    fn choose(&self, config: &mut ProtocolConfig) -> Result<(), SettingsError> {
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
        Ok(())
    }
}
