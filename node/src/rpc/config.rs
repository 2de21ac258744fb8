//! What a server of JSON-RPC is told: where to listen, who may come, and how much of everything.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::auth::{ApiKeys, KeysError};
use crate::settings::period;

/// How a node serves its clients (spec 2.2, 2.3).
#[derive(Clone, Debug)]
pub struct RpcConfig {
    /// Where to listen. Default 127.0.0.1:3100: the port is the specification's, loopback our choice, as in all nodes
    /// that hold money.
    pub addr: SocketAddr,
    /// The API keys that are let in. Default none, which lets everybody in and is taken on loopback only.
    pub keys: ApiKeys,
    /// Serve `wss://` instead of `ws://`. Default not.
    pub tls: Option<TlsFiles>,
    /// Take an address that is not loopback though there is no API key: everybody who reaches it is the operator.
    /// Default not.
    pub allow_public: bool,
    /// Origins of browser pages that may connect, as browsers write them: `https://example.org`. Default none, so that
    /// no web page can reach the node of whoever looks at it (decision J9). `null` cannot be listed: any page can have it.
    pub origins: Vec<String>,
    /// Names by which clients may call this host where no API key is set, besides `localhost` and IP addresses. Default
    /// none: a page of an attacker whose name resolves to loopback is not let in (DNS rebinding).
    pub hosts: Vec<String>,
    /// Bounds of what clients may take up.
    pub limits: RpcLimits,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 3100).into(),
            keys: ApiKeys::default(),
            tls: None,
            allow_public: false,
            origins: vec![],
            hosts: vec![],
            limits: RpcLimits::default(),
        }
    }
}

/// The files of a TLS server, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and those that lead to a root, in this order.
    pub certificates: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Bounds of what clients may take up. All are at least 1.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcLimits {
    /// Longest message of a client, in bytes. Default 1 MiB, as between peers.
    pub frame_bytes: usize,
    /// Deepest nesting of a request. Default 64 (`hyperspace_protocol::rpc::Limits`).
    pub depth: usize,
    /// Most requests in a batch. Default 100 (`hyperspace_protocol::rpc::Limits`).
    pub batch: usize,
    /// Requests of one connection that are carried out at once. Default 64, our choice. Beyond, messages are no longer
    /// read until one is answered.
    pub in_flight: usize,
    /// Connections at once. Default 1,024: common limits of open files with room for peers. Beyond, HTTP 503.
    pub connections: usize,
    /// Connections at once with the token of one session. Default 64, our choice: a few agents that share one. Beyond, HTTP
    /// 429.
    pub connections_per_session: usize,
    /// Requests that one connection may make per second in the long run. Default 2,000, our choice: an agent makes tens,
    /// and a node on two cores still serves others beside one that uses all of it. Beyond, -32003.
    pub rate: u32,
    /// Requests that one connection may make at once after a pause. Default 4,000: two seconds' worth.
    pub burst: u32,
    /// Bytes that wait to be sent on one connection. Default 4 MiB, our choice. Beyond, answers wait in their calls.
    pub outgoing_bytes: usize,
    /// How long an answer may wait for its room in `outgoing_bytes` before the connection is closed with 1013. Default
    /// 10 s, our choice.
    #[serde(deserialize_with = "period::read")]
    pub slow_reader: Duration,
    /// A ping is sent when nothing came for this long, and after twice that the connection is closed. Default 30 s
    /// (decision J8).
    #[serde(deserialize_with = "period::read")]
    pub ping: Duration,
    /// From accepting a connection to the end of its HTTP request and response, TLS included. Default 10 s, our choice.
    #[serde(deserialize_with = "period::read")]
    pub handshake: Duration,
    /// Longest head of an HTTP request, in bytes. Default 16 KiB: common servers take 8. Beyond, HTTP 431.
    pub header_bytes: usize,
    /// How long calls in flight may go on at shutdown. Default 5 s, our choice.
    #[serde(deserialize_with = "period::read")]
    pub shutdown: Duration,
    /// How long a client has to answer `tool.execute`. Default 30 s, our choice.
    #[serde(deserialize_with = "period::read")]
    pub execute: Duration,
    /// Calls of tools that one client is asked at once. Default 64, our choice. Beyond, its tools are unavailable.
    pub executes: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        let protocol = hyperspace_protocol::rpc::Limits::default();
        Self {
            frame_bytes: 1 << 20,
            depth: protocol.depth,
            batch: protocol.batch,
            in_flight: 64,
            connections: 1_024,
            connections_per_session: 64,
            rate: 2_000,
            burst: 4_000,
            outgoing_bytes: 4 << 20,
            slow_reader: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            shutdown: Duration::from_secs(5),
            execute: Duration::from_secs(30),
            executes: 64,
        }
    }
}

impl RpcConfig {
    /// Whether this can be served as it stands.
    ///
    /// # Errors
    /// What contradicts what, with the setting that would help.
    pub fn check(&self) -> Result<(), BindError> {
        if !self.addr.ip().to_canonical().is_loopback() && self.keys.is_empty() && !self.allow_public {
            return Err(BindError::Public(self.addr));
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(BindError::Origin(origin.clone()));
        }
        let l = &self.limits;
        let numbers = [
            ("frame_bytes", l.frame_bytes),
            ("in_flight", l.in_flight),
            ("connections", l.connections),
            ("connections_per_session", l.connections_per_session),
            ("rate", l.rate as usize),
            ("burst", l.burst as usize),
            ("outgoing_bytes", l.outgoing_bytes),
            ("header_bytes", l.header_bytes),
            ("executes", l.executes),
            ("ping", usize::from(!l.ping.is_zero())),
            ("handshake", usize::from(!l.handshake.is_zero())),
        ];
        // What semaphores can count, also where a `usize` has 32 bits.
        let countable = 1..=(u32::MAX >> 3) as usize;
        match numbers.iter().find(|(_, value)| !countable.contains(value)) {
            Some((name, value)) => Err(BindError::Limit(name, *value)),
            None => Ok(()),
        }
    }

    /// Takes the API keys from a file with one per line. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// If the file cannot be read or has no key, or a key is too short or not printable.
    pub fn read_keys(&mut self, path: PathBuf) -> Result<(), BindError> {
        let text = fs::read_to_string(&path).map_err(|source| BindError::File(path.clone(), source))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = ApiKeys::new(lines).map_err(|source| BindError::Keys(path.clone(), source))?;
        if keys.is_empty() {
            return Err(BindError::Keys(path, KeysError::None));
        }
        self.keys = keys;
        Ok(())
    }
}

/// `scheme://host[:port]` and nothing behind it.
fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*'])
    })
}

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It would be open to everybody.
    #[error(
        "{0} can be reached from other hosts and no API key is set: give --api-key-file FILE, listen on 127.0.0.1, or \
         say --allow-public to make everybody the operator of this node"
    )]
    Public(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {1}", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The file of API keys is not one.
    #[error("{path}: {1}", path = .0.display())]
    Keys(PathBuf, #[source] KeysError),
    /// Certificate or key cannot be used.
    #[error("cannot use {path} for TLS: {1}", path = .0.display())]
    Tls(PathBuf, String),
    /// Not an origin.
    #[error("'{0}' is not the origin of a page: write it like https://example.org, without a path")]
    Origin(String),
    /// A limit out of range.
    #[error("the limit {0} = {1} is out of range")]
    Limit(&'static str, usize),
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_open_to_everybody_must_be_asked_for() {
        let public = SocketAddr::from(([0, 0, 0, 0], 0));
        for (addr, keys, allow, fine) in [
            (public, "", false, false),
            (public, "", true, true),
            (public, "a-key-of-sixteen-characters", false, true),
            ("[::1]:0".parse().unwrap(), "", false, true),
            ("[::ffff:127.0.0.1]:0".parse().unwrap(), "", false, true),
            ("[::]:0".parse().unwrap(), "", false, false),
            ("127.9.9.9:0".parse().unwrap(), "", false, true),
        ] {
            let keys = ApiKeys::new(keys.split_whitespace()).unwrap();
            let config = RpcConfig { addr, keys, allow_public: allow, ..RpcConfig::default() };
            assert_eq!(config.check().is_ok(), fine, "{addr} {allow}");
        }
        let error = RpcConfig { addr: public, ..RpcConfig::default() }.check().unwrap_err().to_string();
        assert!(error.contains("--allow-public") && error.contains("--api-key-file"), "{error}");
    }

    #[test]
    fn origins_and_limits_are_checked() {
        for origin in ["null", "*", "https://", "https://a/", "a.org", "https://*.a.org"] {
            let config = RpcConfig { origins: vec![origin.into()], ..RpcConfig::default() };
            assert!(matches!(config.check(), Err(BindError::Origin(_))), "{origin}");
        }
        let fine = vec!["https://a.org:8443".into(), "chrome-extension://abc".into()];
        assert!(RpcConfig { origins: fine, ..RpcConfig::default() }.check().is_ok());
        let mut config = RpcConfig::default();
        config.limits.in_flight = 0;
        assert!(matches!(config.check(), Err(BindError::Limit("in_flight", 0))));
        config = RpcConfig::default();
        config.limits.outgoing_bytes = usize::MAX;
        assert!(config.check().is_err());
    }

    #[test]
    fn keys_come_from_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut config = RpcConfig::default();
        assert!(config.read_keys(file.path().into()).unwrap_err().to_string().contains("no key"));
        writeln!(file, "# ours\n\n  a-key-of-sixteen-characters  \r").unwrap();
        config.read_keys(file.path().into()).unwrap();
        assert!(config.keys.find("a-key-of-sixteen-characters").is_some());
        assert!(!format!("{config:?}").contains("sixteen"));
        writeln!(file, "short").unwrap();
        assert!(matches!(config.read_keys(file.path().into()), Err(BindError::Keys(..))));
        assert!(matches!(config.read_keys("/no/such/file".into()), Err(BindError::File(..))));
    }
}
