//! The task that makes and ends connections: libp2p's swarm, what the driver wants of it, and what it tells the driver.
//!
//! It always takes orders, but polls libp2p only while the driver has room for what that may bring; so neither waits for
//! the other in a circle.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use hyperspace_protocol::identity::PeerId;
use libp2p::core::ConnectedPoint;
#[cfg(feature = "mdns")]
use libp2p::mdns;
use libp2p::multiaddr::Protocol;
#[cfg(feature = "mdns")]
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{CloseConnection, ConnectionId, DialError, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, identify, ping};
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

use super::behaviour::Behaviour;
use super::resolve::resolve;
use super::{Inbox, NetEvent, Shared, book, from_libp2p, muxer, to_libp2p};

/// What this node says it speaks (identify's protocol version). Our choice.
pub const PROTOCOL_VERSION: &str = "/hyperspace/1.0.0";

/// What this node says it is.
pub const AGENT: &str = concat!("hyperlab/", env!("CARGO_PKG_VERSION"));

/// Dials that may wait for a name server at once; further ones fail. Our choice.
const RESOLVING_MAX: usize = 64;

/// Dials that may wait for another connection with the same peer to end; further ones fail. Our choice.
const PUT_OFF_MAX: usize = 64;

/// What may wait for room in the driver's inbox before libp2p is no longer polled.
const PENDING_MAX: usize = 64;

/// Peers of one mDNS answer that are looked at; they announce themselves again. Our choice.
#[cfg(feature = "mdns")]
const NEARBY_MAX: usize = 16;

/// What the driver wants of connections.
#[derive(Debug)]
pub enum Order {
    /// Connect to a peer whose addresses are in the book. Ends with a connection or [`NetEvent::Unreachable`].
    Dial(PeerId),
    /// Connect to an address. Ends with [`NetEvent::Dialled`].
    DialAddress {
        /// The driver's number of it.
        number: u64,
        /// Where, with or without the peer's id at the end.
        address: Multiaddr,
    },
    /// Close all connections with a peer.
    Close(PeerId),
}

/// libp2p's behaviours beside our own.
#[derive(NetworkBehaviour)]
struct Behaviours {
    ours: Behaviour,
    identify: identify::Behaviour,
    #[cfg(feature = "mdns")]
    mdns: Toggle<mdns::tokio::Behaviour>,
    ping: ping::Behaviour,
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The secret is no key.
    #[error("the key: {0}")]
    Key(String),
    /// Encryption could not be set up.
    #[error("the transport: {0}")]
    Transport(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// Which.
        address: Multiaddr,
        /// Why.
        why: String,
    },
}

/// Who waits for a dial.
#[derive(Clone, Copy)]
enum Caller {
    Peer(PeerId),
    Number(u64),
}

type Resolved = (Caller, Option<libp2p::PeerId>, Vec<Multiaddr>, Vec<String>);

/// A dial that libp2p refused, because what stands in its way has not ended yet.
struct PutOff {
    peer: libp2p::PeerId,
    /// What was wanted.
    order: Order,
    /// Whether the connections with the peer are being closed; otherwise another dial of it is under way.
    closing: bool,
}

/// See the module's text.
pub struct Net {
    swarm: Swarm<Behaviours>,
    shared: Arc<Shared>,
    inbox: Inbox,
    orders: mpsc::Receiver<Order>,
    pending: VecDeque<NetEvent>,
    resolving: FuturesUnordered<BoxFuture<'static, Resolved>>,
    dials: HashMap<ConnectionId, (Caller, Vec<String>)>,
    put_off: Vec<PutOff>,
    listening: Vec<Multiaddr>,
}

impl Net {
    /// Sets up the transports and listens.
    ///
    /// # Errors
    /// See [`NetError`].
    pub fn start(
        mut seed: [u8; 32],
        listen: &[Multiaddr],
        shared: Arc<Shared>,
        inbox: Inbox,
        orders: mpsc::Receiver<Order>,
    ) -> Result<Self, NetError> {
        let pair = libp2p::identity::Keypair::ed25519_from_bytes(&mut seed)
            .map_err(|e| NetError::Key(e.to_string()))?;
        let mut swarm = build(pair, &shared, &inbox)?;
        for address in listen {
            let refused = |why: String| NetError::Listen { address: address.clone(), why };
            check_free(address).map_err(|e| refused(explain(&e)))?;
            swarm.listen_on(address.clone()).map_err(|e| refused(e.to_string()))?;
        }
        Ok(Self {
            swarm,
            shared,
            inbox,
            orders,
            pending: VecDeque::new(),
            resolving: FuturesUnordered::new(),
            dials: HashMap::new(),
            put_off: Vec::new(),
            listening: Vec::new(),
        })
    }

    /// Runs until the driver is gone.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                // Room in the inbox is asked for only when something is there to put in.
                room = std::future::poll_fn(|cx| self.inbox.poll_ready_unpin(cx)), if !self.pending.is_empty() => {
                    let Some(event) = self.pending.pop_front() else { continue };
                    if room.is_err() || self.inbox.start_send_unpin(event).is_err() {
                        return;
                    }
                }
                order = self.orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                Some(resolved) = self.resolving.next() => self.dial(resolved),
                event = self.swarm.select_next_some(), if self.pending.len() < PENDING_MAX => self.on_event(event),
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Dial(peer) => {
                let addresses = self.shared.book.addresses(&peer);
                self.resolve(Caller::Peer(peer), Some(to_libp2p(&peer)), addresses);
            }
            Order::DialAddress { number, mut address } => {
                let last = address.iter().last();
                let id = if let Some(Protocol::P2p(id)) = last { Some(id) } else { None };
                if id.is_some() {
                    address.pop();
                }
                self.resolve(Caller::Number(number), id, vec![address]);
            }
            Order::Close(peer) => {
                self.swarm.behaviour_mut().ours.close(to_libp2p(&peer), CloseConnection::All)
            }
        }
    }

    fn resolve(&mut self, caller: Caller, id: Option<libp2p::PeerId>, addresses: Vec<Multiaddr>) {
        if addresses.is_empty() {
            return self.fail(caller, "no address of it is known".to_owned());
        }
        if self.resolving.len() >= RESOLVING_MAX {
            return self.fail(caller, "too many connections are being made".to_owned());
        }
        let resolving = async move {
            let mut failures = Vec::new();
            let addresses = resolve(addresses, &mut failures).await;
            (caller, id, addresses, failures)
        };
        self.resolving.push(resolving.boxed());
    }

    fn dial(&mut self, (caller, id, addresses, failures): Resolved) {
        if addresses.is_empty() {
            return self.fail(caller, failures.join("; "));
        }
        let wanted = addresses.clone();
        // From a port of its own: two nodes that dial each other at once from their listening ports would open one TCP
        // connection with two diallers, and both handshakes fail.
        let options = match (id, addresses.first()) {
            (Some(id), _) => {
                let condition = match caller {
                    // A second connection is of no use to the driver.
                    Caller::Peer(_) => PeerCondition::DisconnectedAndNotDialing,
                    // Who is told the outcome of this very dial cannot be put off with another one's.
                    Caller::Number(_) => PeerCondition::Disconnected,
                };
                DialOpts::peer_id(id).condition(condition).addresses(addresses).allocate_new_port().build()
            }
            (None, Some(first)) => {
                DialOpts::unknown_peer_id().address(first.clone()).allocate_new_port().build()
            }
            (None, None) => return,
        };
        let conn = options.connection_id();
        self.dials.insert(conn, (caller, failures));
        match self.swarm.dial(options) {
            Ok(()) => {}
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.dials.remove(&conn);
                if let Some(id) = id {
                    self.already(caller, id, wanted);
                }
            }
            Err(error) => {
                self.dials.remove(&conn);
                self.fail(caller, text(&error));
            }
        }
    }

    /// A peer is connected or being dialled already. What that comes to serves this dial too, unless it comes to nothing.
    fn already(&mut self, caller: Caller, id: libp2p::PeerId, addresses: Vec<Multiaddr>) {
        let connected = self.swarm.is_connected(&id);
        let closing = connected && self.swarm.behaviour().ours.is_leaving(&id);
        let order = match caller {
            Caller::Number(number) if connected && !closing => {
                let result = from_libp2p(&id).ok_or_else(|| "not an Ed25519 key".to_owned());
                return self.pending.push_back(NetEvent::Dialled { number, result });
            }
            Caller::Number(number) => {
                let address = addresses.into_iter().next().unwrap_or_else(Multiaddr::empty);
                Order::DialAddress { number, address: address.with(Protocol::P2p(id)) }
            }
            // The connection is on its way to the driver.
            Caller::Peer(_) if connected && !closing => return,
            Caller::Peer(peer) => Order::Dial(peer),
        };
        if self.put_off.len() >= PUT_OFF_MAX {
            return self.fail(caller, "too many connections are being made".to_owned());
        }
        self.put_off.push(PutOff { peer: id, order, closing });
    }

    /// Dials again what waited for this peer's connections to close, or for a dial of it to end.
    fn dial_again(&mut self, peer: libp2p::PeerId, closing: bool) {
        let of_peer = |put_off: &mut PutOff| put_off.peer == peer && put_off.closing == closing;
        let again: Vec<_> = self.put_off.extract_if(.., of_peer).collect();
        for PutOff { order, .. } in again {
            self.take(order);
        }
    }

    fn fail(&mut self, caller: Caller, error: String) {
        self.pending.push_back(match caller {
            Caller::Peer(peer) => NetEvent::Unreachable { peer, error },
            Caller::Number(number) => NetEvent::Dialled { number, result: Err(error) },
        });
    }

    fn on_event(&mut self, event: SwarmEvent<BehavioursEvent>) {
        // Events that a later libp2p may add, and the many that only inform, need no answer.
        if let SwarmEvent::Behaviour(event) = event {
            self.on_behaviour_event(event);
        } else if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } = event {
            self.on_established(&peer_id, connection_id, &endpoint);
        } else if let SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } = event {
            if let Some(peer) = from_libp2p(&peer_id) {
                self.pending.push_back(NetEvent::Closed { conn: connection_id, peer });
            }
            if num_established == 0 {
                self.dial_again(peer_id, true);
            }
        } else if let SwarmEvent::OutgoingConnectionError { connection_id, error, peer_id } = event {
            let ended = self.dials.remove(&connection_id);
            if let (Some((Caller::Peer(_), _)), Some(peer)) = (&ended, peer_id) {
                // What waits for the peer hears of this dial's end.
                self.put_off.retain(|put_off| put_off.peer != peer || put_off.closing);
            }
            if let Some((caller, mut failures)) = ended {
                failures.push(text(&error));
                self.fail(caller, failures.join("; "));
            }
            if let Some(peer) = peer_id {
                self.dial_again(peer, false);
            }
        } else if let SwarmEvent::NewListenAddr { address, .. } = event {
            self.listening.push(address);
            self.on_listening();
        } else if let SwarmEvent::ExpiredListenAddr { address, .. } = event {
            self.listening.retain(|known| *known != address);
            self.on_listening();
        } else if let SwarmEvent::ListenerClosed { addresses, reason, .. } = event {
            tracing::warn!(?addresses, ?reason, "no longer listening");
        }
    }

    fn on_listening(&mut self) {
        self.shared.book.set_listening(self.listening.clone());
        self.pending.push_back(NetEvent::Listening(self.listening.clone()));
    }

    fn on_established(&mut self, peer_id: &libp2p::PeerId, conn: ConnectionId, endpoint: &ConnectedPoint) {
        // Who waited for another dial to fail need not any more.
        self.put_off.retain(|put_off| put_off.peer != *peer_id || put_off.closing);
        let Some(peer) = from_libp2p(peer_id) else { return };
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.shared.book.reached(peer, address);
        }
        if let Some((Caller::Number(number), _)) = self.dials.remove(&conn) {
            self.pending.push_back(NetEvent::Dialled { number, result: Ok(peer) });
        }
    }

    fn on_behaviour_event(&mut self, event: BehavioursEvent) {
        match event {
            BehavioursEvent::Identify(
                identify::Event::Received { connection_id, peer_id, info }
                | identify::Event::Pushed { connection_id, peer_id, info },
            ) => {
                let Some(peer) = from_libp2p(&peer_id) else { return };
                self.shared.book.identified(peer, &info.listen_addrs);
                let (agent, protocols) = (info.agent_version, info.protocols);
                self.pending.push_back(NetEvent::Identified { conn: connection_id, peer, agent, protocols });
            }
            BehavioursEvent::Ping(ping::Event { connection, result: Err(error), peer }) => {
                // A peer that does not speak the protocol is alive nevertheless.
                if !matches!(error, ping::Failure::Unsupported) {
                    self.swarm.behaviour_mut().ours.close(peer, CloseConnection::One(connection));
                }
            }
            BehavioursEvent::Identify(identify::Event::Sent { .. } | identify::Event::Error { .. })
            | BehavioursEvent::Ping(_) => {}
            #[cfg(feature = "mdns")]
            BehavioursEvent::Mdns(mdns::Event::Discovered(found)) => {
                let own = *self.swarm.local_peer_id();
                for (peer, address) in found.into_iter().filter(|(peer, _)| *peer != own).take(NEARBY_MAX) {
                    if let Ok(address) = address.with_p2p(peer) {
                        self.pending.push_back(NetEvent::Nearby(address));
                    }
                }
            }
            #[cfg(feature = "mdns")]
            BehavioursEvent::Mdns(mdns::Event::Expired(_)) => {}
            BehavioursEvent::Ours(never) => {
                let never: Infallible = never;
                match never {}
            }
        }
    }
}

fn build(
    pair: libp2p::identity::Keypair,
    shared: &Arc<Shared>,
    inbox: &Inbox,
) -> Result<Swarm<Behaviours>, NetError> {
    let failed = |e: &dyn std::fmt::Display| NetError::Transport(e.to_string());
    let settings = &shared.settings;
    #[cfg(feature = "mdns")]
    let nearby = settings
        .mdns
        .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), pair.public().to_peer_id()))
        .transpose()
        .map_err(|e| failed(&e))?;
    let builder = SwarmBuilder::with_existing_identity(pair).with_tokio();
    #[cfg(feature = "quic")]
    let builder = builder.with_quic();
    let builder = builder.with_other_transport(muxer::transport).map_err(|e| failed(&e))?;
    let behaviours = |pair: &libp2p::identity::Keypair| {
        let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), pair.public())
            .with_agent_version(AGENT.to_owned())
            .with_push_listen_addr_updates(true)
            // The book is ours.
            .with_cache_size(0);
        Behaviours {
            ours: Behaviour::new(Arc::clone(shared), inbox.clone()),
            identify: identify::Behaviour::new(identify),
            #[cfg(feature = "mdns")]
            mdns: nearby.into(),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(settings.ping_interval)),
        }
    };
    let swarm = builder
        .with_behaviour(behaviours)
        .map_err(|e| failed(&e))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(settings.idle)
                .with_max_negotiating_inbound_streams(settings.streams_max)
        })
        .build();
    Ok(swarm)
}

/// Whether a TCP port is free. libp2p lets several sockets of one user share a port, so that a second node would start
/// without a word and get half of the first one's connections.
fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let (Some(ip), Some(Protocol::Tcp(port))) = (book::ip_of(address), parts.nth(1)) else { return Ok(()) };
    if port == 0 {
        return Ok(());
    }
    let socket = Socket::new(if ip.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 }, Type::STREAM, None)?;
    if ip.is_ipv6() {
        // As libp2p listens; the same port of IPv4 is another one.
        socket.set_only_v6(true)?;
    }
    // As the standard library does: connections of a node before that are still being closed do no harm.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    socket.listen(1)
}

fn explain(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return "the port is in use; is another node running?".to_owned();
    }
    error.to_string()
}

/// A dial's error in one line.
fn text(error: &DialError) -> String {
    if let DialError::Transport(all) = error {
        let each = all.iter().map(|(address, error)| {
            let mut reason = error.to_string();
            let mut inner: &dyn std::error::Error = error;
            // The last cause is the telling one: "connection refused".
            while let Some(source) = inner.source() {
                inner = source;
                reason = inner.to_string();
            }
            format!("{address}: {reason}")
        });
        return each.collect::<Vec<_>>().join("; ");
    }
    error.to_string()
}
