//! The network under the driver: libp2p connections, streams and protocols, and the bounds on all that remotes can do.
//!
//! libp2p supplies transports, encryption, multiplexing, identify and ping. GossipSub, Kademlia and our request-response
//! protocols are spoken by [`handler`], one per connection, straight between its streams and the driver: what comes in goes
//! into the driver's one bounded inbox, what goes out into a bounded queue per connection. The task of [`swarm`] makes and
//! ends connections.

pub mod behaviour;
pub mod book;
pub mod counts;
pub mod frames;
pub mod gossip;
pub mod handler;
pub mod link;
pub mod muxer;
pub mod offences;
pub mod queue;
pub mod resolve;
pub mod swarm;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use hyperspace_protocol::gossip::Version;
use hyperspace_protocol::identity::PeerId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, StreamProtocol};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::message::Live;
use crate::services::{CARD_PROTOCOL, NodeServices};
use crate::settings::period;
use counts::{Count, Counts};
use frames::{Budget, Held};
use gossip::Interned;
use link::Link;
use offences::Offences;

/// Bounds and times of the network. All defaults are our choice unless they say otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections with one peer. Two, because two peers that dial each other at the same moment have two, and each
    /// closing one of them could close both.
    pub connections_per_peer: usize,
    /// Connections with one IPv4 address, or with one /64 of IPv6, loopback apart.
    pub connections_per_ip: usize,
    /// Handshakes of incoming connections at once. Each ends after 10 s at most.
    pub handshakes_max: usize,
    /// Longest pubsub message; stock stacks take 64 KiB.
    pub transmit_max: usize,
    /// Frames of each kind that may wait for one connection.
    pub queue_frames: usize,
    /// Bytes that may wait for one connection.
    pub queue_bytes: usize,
    /// How long a peer may read nothing while something waits for it.
    #[serde(deserialize_with = "period::read")]
    pub stall: Duration,
    /// Request streams of one connection, and as many the other way. 32, as rust-libp2p.
    pub streams_max: usize,
    /// Offences that ban a peer.
    pub offences_max: u32,
    /// How long a ban lasts; offences further apart do not add up.
    #[serde(deserialize_with = "period::read")]
    pub ban: Duration,
    /// Bytes of messages of others held at once, in the machine's history, in queues, everywhere.
    pub messages_bytes_max: usize,
    /// Bytes of requests and replies of peers held at once, from the first byte that came in until the reply is written. Who
    /// would need more has its stream closed.
    pub bodies_bytes_max: usize,
    /// How long a connection without gossip may lie idle.
    #[serde(deserialize_with = "period::read")]
    pub idle: Duration,
    /// Time between two pings of a connection.
    #[serde(deserialize_with = "period::read")]
    pub ping_interval: Duration,
    /// Whether peers on the local network are found by mDNS. Has an effect only in a build with the feature `mdns`.
    #[serde(skip)]
    pub mdns: bool,
    /// The id of the Kademlia protocol. A name of our own: libp2p's would join the public network.
    pub kad_protocol: String,
    /// Whether this node serves the DHT to others (libp2p's server mode).
    pub kad_server: bool,
    /// Longest Kademlia message. It has to hold a card in its envelope; stock rust-libp2p takes 16 KiB.
    pub kad_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_peer: 2,
            connections_per_ip: 32,
            handshakes_max: 128,
            transmit_max: 64 * 1024,
            queue_frames: 4096,
            queue_bytes: 4 << 20,
            stall: Duration::from_secs(10),
            streams_max: 32,
            offences_max: 5,
            ban: Duration::from_secs(300),
            messages_bytes_max: 256 << 20,
            bodies_bytes_max: 64 << 20,
            idle: Duration::from_secs(60),
            ping_interval: Duration::from_secs(15),
            mdns: false,
            kad_protocol: "/hyperspace/kad/1.0.0".to_owned(),
            kad_server: true,
            kad_bytes_max: 128 * 1024,
        }
    }
}

impl Settings {
    /// What contradicts itself in these settings, if anything.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("connections_max", self.connections_max),
            ("connections_per_peer", self.connections_per_peer),
            ("connections_per_ip", self.connections_per_ip),
            ("handshakes_max", self.handshakes_max),
            ("queue_frames", self.queue_frames),
            ("streams_max", self.streams_max),
            ("offences_max", self.offences_max as usize),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        // An envelope alone may have 60 KiB, and a queue that has no room for a frame would never send it.
        let least = 64 * 1024;
        for (name, value) in [("transmit_max", self.transmit_max), ("kad_bytes_max", self.kad_bytes_max)] {
            if value < least || value > 1 << 24 {
                return Err(format!("{name} must be {least} to 16777216, got {value}"));
            }
        }
        if self.queue_bytes < self.frame_max() {
            return Err(format!(
                "queue_bytes must be at least {}, got {}",
                self.frame_max(),
                self.queue_bytes
            ));
        }
        // A request and its reply, of greatest length both.
        let least = 2 * JSON_BYTES_MAX.max(self.kad_bytes_max);
        if self.bodies_bytes_max < least {
            return Err(format!("bodies_bytes_max must be at least {least}, got {}", self.bodies_bytes_max));
        }
        if self.stall.is_zero() || self.ping_interval.is_zero() {
            return Err("stall and ping_interval must not be zero".to_owned());
        }
        Ok(())
    }

    /// Longest frame of gossip: a message and what is around it.
    pub const fn frame_max(&self) -> usize {
        self.transmit_max + 1024
    }
}

/// A request-response protocol: one frame each way on a stream of its own.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its id.
    pub name: StreamProtocol,
    /// Longest frame.
    pub bytes_max: usize,
    /// How long an exchange may take.
    pub timeout: Duration,
    /// Whether a stream may carry several requests in turn.
    pub repeats: bool,
    /// Whether requests of others are taken.
    pub serve: bool,
}

/// Place of Kademlia in the list of protocols.
pub const KAD: usize = 0;
/// Place of [`CARD_PROTOCOL`].
pub const CARD: usize = 1;
/// Place of [`TOOL_PROTOCOL`].
pub const TOOL: usize = 2;
/// Place of [`MEMORY_PROTOCOL`].
pub const MEMORY: usize = 3;
/// Place of [`TRAJECTORY_PROTOCOL`]; an application's own come after it.
pub const TRAJECTORY: usize = 4;

/// The protocol over which a tool is carried out.
pub const TOOL_PROTOCOL: &str = "/hyperspace/tool/1";
/// The protocol over which memories are stored, read, searched and compared.
pub const MEMORY_PROTOCOL: &str = "/hyperspace/memory/1";
/// The protocol over which long trajectories are fetched.
pub const TRAJECTORY_PROTOCOL: &str = "/hyperspace/trajectory/1";

/// The longest frame of a JSON protocol.
pub const JSON_BYTES_MAX: usize = 1 << 20;
/// How long an exchange may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

impl Spec {
    /// A protocol of JSON frames.
    pub const fn json(name: StreamProtocol, serve: bool) -> Self {
        Self { name, bytes_max: JSON_BYTES_MAX, timeout: REQUEST_TIMEOUT, repeats: false, serve }
    }

    /// Kademlia and the protocols of cards and primitives.
    ///
    /// # Errors
    /// If Kademlia's id is none: it has to start with a slash.
    pub fn standard(settings: &Settings) -> Result<Vec<Self>, libp2p::swarm::InvalidProtocol> {
        let kad = Self {
            name: StreamProtocol::try_from_owned(settings.kad_protocol.clone())?,
            bytes_max: settings.kad_bytes_max,
            timeout: REQUEST_TIMEOUT,
            repeats: true,
            serve: settings.kad_server,
        };
        let json = [CARD_PROTOCOL, TOOL_PROTOCOL, MEMORY_PROTOCOL, TRAJECTORY_PROTOCOL];
        let json = json.map(|name| Self::json(StreamProtocol::new(name), true));
        Ok([kad].into_iter().chain(json).collect())
    }
}

/// What came of a request that a peer made.
#[derive(Debug)]
pub enum Reply {
    /// This is the answer.
    Answer(Vec<u8>),
    /// No answer is due.
    Nothing,
}

/// Why a request of ours has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// Too many requests wait.
    #[error("too many requests are on their way")]
    Crowded,
    /// There is no connection and none could be made.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The stream or connection broke.
    #[error("the connection broke")]
    Broken,
    /// The peer closed the stream without an answer.
    #[error("the peer gave no answer")]
    Refused,
    /// The answer is not what the protocol says.
    #[error("the answer was garbage")]
    Garbage,
    /// There is no memory left for the answer.
    #[error("this node has no room for the answer")]
    NoRoom,
    /// The time is up.
    #[error("no answer in time")]
    Timeout,
}

/// What the network tells the driver.
#[derive(Debug)]
pub enum NetEvent {
    /// A connection is there.
    Opened(Arc<Link>),
    /// A connection is ready for gossip.
    Ready {
        /// Which.
        link: Arc<Link>,
        /// GossipSub's version there.
        version: Version,
    },
    /// Gossip came in.
    Rpc {
        /// Over which connection.
        link: Arc<Link>,
        /// What.
        received: gossip::Received,
    },
    /// A peer asks.
    Asked {
        /// Over which connection.
        link: Arc<Link>,
        /// The protocol's place in the list.
        protocol: usize,
        /// The request.
        body: Vec<u8>,
        /// Where the answer goes; dropped, the stream is closed without one.
        reply: oneshot::Sender<Reply>,
    },
    /// A request of ours came to its end.
    Answered {
        /// The driver's number of it.
        ticket: u64,
        /// The answer.
        result: Result<Vec<u8>, AskError>,
        /// What the answer takes up until the driver has dealt with it.
        held: Held,
    },
    /// A connection is gone. Nothing comes of it after this.
    Closed {
        /// Which.
        conn: ConnectionId,
        /// The other end.
        peer: PeerId,
    },
    /// A peer on the local network announced this address of its own.
    Nearby(Multiaddr),
    /// A peer told of itself.
    Identified {
        /// Over which connection.
        conn: ConnectionId,
        /// Who.
        peer: PeerId,
        /// The name of its program.
        agent: String,
        /// The protocols that it takes requests on.
        protocols: Vec<StreamProtocol>,
    },
    /// A peer could not be reached.
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Why.
        error: String,
    },
    /// A dial by address, as the driver numbered it, came to its end.
    Dialled {
        /// The driver's number of it.
        number: u64,
        /// Who is there, or why nobody is.
        result: Result<PeerId, String>,
    },
    /// The addresses that this node listens on.
    Listening(Vec<Multiaddr>),
}

/// The driver's inbox. Bounded: who has no room waits, and reads nothing meanwhile.
pub type Inbox = mpsc::Sender<NetEvent>;

/// Places in the driver's inbox, beside one for each task that writes to it. With frames of greatest length in all of them
/// they take 16 MB.
pub const INBOX: usize = 256;

/// What the driver and all connections share.
#[derive(Debug)]
pub struct Shared {
    /// Bounds and times.
    pub settings: Settings,
    /// The request protocols.
    pub specs: Vec<Spec>,
    /// Checks and names.
    pub services: Arc<NodeServices>,
    /// Addresses.
    pub book: Arc<book::Book>,
    /// What was dropped and punished.
    pub counts: Counts,
    /// Bytes of messages held.
    pub live: Live,
    /// Bytes of requests and replies held.
    pub bodies: Budget,
    interned: Mutex<Interned>,
    offences: Mutex<Offences>,
}

impl Shared {
    /// What a node starts with.
    pub fn new(
        settings: Settings,
        specs: Vec<Spec>,
        services: Arc<NodeServices>,
        book: Arc<book::Book>,
    ) -> Self {
        let offences = Mutex::new(Offences::new(settings.offences_max, settings.ban));
        let bodies = Budget::new(settings.bodies_bytes_max);
        Self {
            settings,
            specs,
            services,
            book,
            counts: Counts::default(),
            live: Live::default(),
            bodies,
            interned: Mutex::default(),
            offences,
        }
    }

    /// Notes an offence. Returns whether it bans the peer: its connections are to be closed.
    pub fn offend(&self, peer: PeerId, what: Count) -> bool {
        self.counts.add(what);
        let banned = self.offences().note(Instant::now(), peer);
        if banned {
            self.counts.add(Count::Banned);
            tracing::debug!(%peer, offence = ?what, "a peer is banned for a while");
        }
        banned
    }

    /// Whether a peer is refused.
    pub fn is_banned(&self, peer: &PeerId) -> bool {
        self.offences().is_banned(Instant::now(), peer)
    }

    fn offences(&self) -> MutexGuard<'_, Offences> {
        self.offences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our id of a libp2p id; `None` for other kinds of keys (decision E7).
pub fn from_libp2p(id: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_multihash(&id.to_bytes()).ok()
}

/// The libp2p id of ours.
pub fn to_libp2p(id: &PeerId) -> libp2p::PeerId {
    libp2p::PeerId::from_bytes(&id.to_multihash()).expect("the multihash of a key is an id to libp2p too")
}
