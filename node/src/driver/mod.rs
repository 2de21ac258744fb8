//! The driver of a node's machine: one task owns it, tells it what happens, and carries out what it wants done.
//!
//! [`Node::start`] makes a node of a [`Config`]; an application holds its [`Handle`]. All inputs pass through
//! `actor::Actor::run`, one at a time, in batches. Between a batch and what comes of it stands the store ([`Durable`]): nothing
//! leaves the node, no frame and no answer, before the store has what the batch asks to be kept.
//!
//! Channels, all bounded: the network's inbox (full: streams are read no further), calls (full: callers wait), orders to
//! the network (full: the driver waits; the network always takes them), a queue per connection
//! ([`crate::net::queue`]), events to the application (full: the oldest is lost, and the listener told).

mod actor;
mod asks;
pub mod handle;
mod incoming;
mod outgoing;
mod peers;
pub mod record;

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc as inbox;
use futures::future::BoxFuture;
use hyperspace_protocol::config::Config as ProtocolConfig;
use hyperspace_protocol::envelope::{Dialect, ReplayConfig};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::primitive::{self, Execute, Executed, Fetch, Fetched, MemoryRecords};
use hyperspace_protocol::{card, gossip, kad};
use libp2p::{Multiaddr, StreamProtocol};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use handle::{Call, CallError, Event, Handle, PeerStatus, Status};
pub use record::{Beginning, Driven, Durable, Recorder};

use crate::net::book::Book;
use crate::net::swarm::{Net, NetError};
use crate::net::{self, Settings, Shared, Spec};
use crate::services::{NodeServices, SharedTopics};
use crate::store::StoreError;

/// Orders that may wait for the network's task.
const ORDERS: usize = 256;

/// How long a listener may take to tell its address. Our choice.
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);

/// Answers a request of a peer on a protocol of the application; `None` refuses it. Runs in a task of its own, at most
/// [`Settings::streams_max`] of them per connection.
pub type Serve = Arc<dyn Fn(PeerId, Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// A request-response protocol of the application: one JSON frame each way.
#[derive(Clone)]
pub struct Served {
    /// Its id, such as `/hyperspace/tool/1`.
    pub name: String,
    /// Who answers; without it the node only asks.
    pub serve: Option<Serve>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Served({}, {})", self.name, if self.serve.is_some() { "answered" } else { "asked only" })
    }
}

/// What the primitives want beyond the network. Each runs in a task of its own; the machine has as many under way as it
/// bounds.
pub trait Effects: Send + Sync {
    /// Has a client carry out a tool that it registered.
    fn execute(&self, execute: Execute) -> BoxFuture<'static, Executed>;
    /// Fetches something over HTTP.
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Fetched>;
}

/// For nodes without clients and services.
#[derive(Clone, Copy, Debug)]
pub struct NoEffects;

impl Effects for NoEffects {
    fn execute(&self, _: Execute) -> BoxFuture<'static, Executed> {
        Box::pin(std::future::ready(Executed::Unavailable))
    }
    fn fetch(&self, _: Fetch) -> BoxFuture<'static, Fetched> {
        Box::pin(std::future::ready(Err("this node asks nobody outside the network".into())))
    }
}

/// All that a node is started with.
pub struct Config {
    /// The secret of its key (see [`crate::identity`]).
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen, as multiaddrs such as `/ip4/0.0.0.0/tcp/4001`. None: connections go out only.
    pub listen: Vec<String>,
    /// Peers to connect to at the start, as multiaddrs with or without the peer's id at the end.
    pub bootstrap: Vec<String>,
    /// Peers with which messages are always exchanged directly (GossipSub's explicit peers).
    pub explicit: BTreeSet<PeerId>,
    /// Settings of the machine.
    pub protocol: ProtocolConfig,
    /// How envelopes are read.
    pub dialect: Dialect,
    /// Bounds and times of the network.
    pub net: Settings,
    /// Request-response protocols beside those of the machine.
    pub protocols: Vec<Served>,
    /// Sees all calls of the machine.
    pub recorder: Option<Box<dyn Recorder>>,
    /// Keeps what has to outlive the process.
    pub store: Box<dyn Durable>,
    /// Carries out what the primitives want of clients and from outside the network.
    pub effects: Arc<dyn Effects>,
}

impl Config {
    /// The settings of a node with this key: it listens on a free TCP port of all IPv4 addresses.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            listen: vec!["/ip4/0.0.0.0/tcp/0".to_owned()],
            bootstrap: Vec::new(),
            explicit: BTreeSet::new(),
            protocol: protocol_config(),
            dialect: Dialect::default(),
            net: Settings::default(),
            protocols: Vec::new(),
            recorder: None,
            store: Box::<MemoryRecords>::default(),
            effects: Arc::new(NoEffects),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}

/// The machine's settings in a real network: go's profiles. Most peers of any libp2p network run go's numbers or ones
/// close to them; they remember ids for two minutes, which covers the whole freshness window's early half, start to beat
/// after 100 ms rather than rust's 5 s, and need no scores, whose parameters only a known network can give.
pub fn protocol_config() -> ProtocolConfig {
    ProtocolConfig {
        gossip: gossip::Config::go(),
        replay: ReplayConfig::default(),
        dht: Some(kad::Config::go()),
        cards: card::Config::default(),
        primitives: primitive::Config::default(),
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A text is no multiaddr.
    #[error("{text}: not a multiaddr such as /ip4/127.0.0.1/tcp/4001: {why}")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The settings contradict themselves.
    #[error("the settings: {0}")]
    Settings(String),
    /// A protocol's id is none.
    #[error("{0}: a protocol's id starts with a slash, and no two have the same")]
    Protocol(String),
    /// The network did not start.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// The node stopped before it had started.
    #[error("the node stopped while it started")]
    Stopped,
    /// A listener has not told its address.
    #[error("a listener has no address after {} s", LISTEN_PATIENCE.as_secs())]
    Silent,
}

/// Why a node stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// What has to be kept could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes for a nonce.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// One of its tasks panicked.
    #[error("a task of the node failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The end of a node: await it after [`Handle::shutdown`].
#[derive(Debug)]
pub struct Running {
    actor: JoinHandle<Result<(), NodeError>>,
    net: JoinHandle<()>,
}

impl IntoFuture for Running {
    type Output = Result<(), NodeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let ended = self.actor.await?;
            self.net.await?;
            ended
        })
    }
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Node;

impl Node {
    /// Starts a node in the current tokio runtime. When this returns it listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<(Handle, Running), StartError> {
        check(&config.protocol)?;
        config.net.check().map_err(StartError::Settings)?;
        let listen = addresses(&config.listen)?;
        let bootstrap = addresses(&config.bootstrap)?;
        let pair = Keypair::from_seed(*config.seed);
        let own = pair.peer_id();
        let book = Arc::new(Book::new(own));
        bootstrap.iter().for_each(|address| pin(&book, address));
        let services =
            NodeServices::new(pair, SharedTopics::default(), Arc::clone(&book), config.dialect.clone());
        let specs = specs(&config)?;
        let shared = Arc::new(Shared::new(config.net.clone(), specs, Arc::new(services), book));
        let (to_driver, inbox) = inbox::channel(net::INBOX);
        let (to_net, orders) = mpsc::channel(ORDERS);
        let (calls, from_handles) = mpsc::channel(handle::CALLS);
        let (events, mut news) = broadcast::channel(handle::EVENTS);
        let first = Arc::new(Mutex::new(Some(events.subscribe())));
        let swarm = Net::start(*config.seed, &listen, Arc::clone(&shared), to_driver, orders)?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(StartError::Random)?;
        let again = calls.downgrade();
        let ends = actor::Ends { inbox, calls: from_handles, again, orders: to_net, events: events.clone() };
        let beginning = Beginning { own, seed: u64::from_be_bytes(seed), config: config.protocol.clone() };
        let actor = actor::Actor::new(beginning, shared, ends, config, bootstrap);
        let counts = Arc::clone(&actor.snapshot);
        let running = Running { net: tokio::spawn(swarm.run()), actor: tokio::spawn(actor.run()) };
        let handle = Handle { own, calls, events, counts, first };
        let listening = tokio::time::timeout(LISTEN_PATIENCE, listens(&mut news, listen.len()));
        match listening.await {
            Ok(true) => Ok((handle, running)),
            Ok(false) => Err(StartError::Stopped),
            Err(_) => Err(StartError::Silent),
        }
    }
}

/// Keeps the address of a bootstrap peer whose id is told with it.
fn pin(book: &Book, address: &Multiaddr) {
    let mut address = address.clone();
    if let Some(libp2p::multiaddr::Protocol::P2p(id)) = address.pop()
        && let Some(peer) = net::from_libp2p(&id)
    {
        book.pin(peer, address);
    }
}

/// Waits until each listener has told at least one address.
async fn listens(news: &mut broadcast::Receiver<Event>, wanted: usize) -> bool {
    let mut known = 0;
    while known < wanted {
        match news.recv().await {
            Ok(Event::Listening(addresses)) => known = addresses.len(),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return false,
        }
    }
    true
}

fn check(config: &ProtocolConfig) -> Result<(), StartError> {
    let dht = config.dht.as_ref().map_or(Ok(()), kad::Config::check);
    config.gossip.check().and(dht).and(config.cards.check()).map_err(StartError::Settings)
}

fn addresses(texts: &[String]) -> Result<Vec<Multiaddr>, StartError> {
    let parse = |text: &String| {
        text.parse().map_err(|e: libp2p::multiaddr::Error| StartError::Address {
            text: text.clone(),
            why: e.to_string(),
        })
    };
    texts.iter().map(parse).collect()
}

fn specs(config: &Config) -> Result<Vec<Spec>, StartError> {
    let kad_name = || StartError::Protocol(config.net.kad_protocol.clone());
    let mut specs = Spec::standard(&config.net).map_err(|_| kad_name())?;
    // A network without DHT does not offer it.
    specs[net::KAD].serve &= config.protocol.dht.is_some();
    for served in &config.protocols {
        let wrong = || StartError::Protocol(served.name.clone());
        let name = StreamProtocol::try_from_owned(served.name.clone()).map_err(|_| wrong())?;
        if specs.iter().any(|spec| spec.name == name) {
            return Err(wrong());
        }
        specs.push(Spec::json(name, served.serve.is_some()));
    }
    Ok(specs)
}
