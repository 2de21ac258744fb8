//! What an application holds of a running node.

use std::sync::{Arc, Mutex, PoisonError};

use hyperspace_protocol::card::Card;
use hyperspace_protocol::gossip::Version;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{self, Outcome, QueryStats};
use hyperspace_protocol::primitive::{self, AgentInput, Arrange, Caller, ClientId, Code};
use hyperspace_protocol::request::{self, Command, Query};
use hyperspace_protocol::topic::TopicError;
use libp2p::Multiaddr;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::message::{MessageId, NodeMessage};
use crate::net::AskError;
use crate::services::SealError;

/// Events that a slow listener may lag behind; then it loses the oldest and is told how many
/// ([`broadcast::error::RecvError::Lagged`]).
pub const EVENTS: usize = 1024;

/// Calls that may wait for the driver; a further caller waits for its turn.
pub const CALLS: usize = 256;

/// What a node tells its application.
#[derive(Clone, Debug)]
pub enum Event {
    /// A valid message on a subscribed topic; its own messages too.
    Message(NodeMessage),
    /// A peer is there for gossip.
    PeerConnected(PeerId),
    /// It is gone.
    PeerDisconnected(PeerId),
    /// Something of cards, or of a query that was not made through [`Handle::query`].
    Protocol(Box<request::Event<PeerId>>),
    /// No bootstrap peer could be reached: each with the reason. It is tried again.
    BootstrapFailed(Vec<(Multiaddr, String)>),
    /// Where the node listens now.
    Listening(Vec<Multiaddr>),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
    /// The topic is none.
    #[error("the topic: {0}")]
    Topic(#[from] TopicError),
    /// Too many topics are in use.
    #[error("too many topics are in use")]
    TooManyTopics,
    /// The payload cannot be published.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The message is longer than peers take.
    #[error("the message is {0} bytes long with its envelope, peers take {1}")]
    TooLong(usize, usize),
    /// The query was not started: too many are on their way, or there is no DHT (`None`).
    #[error("the query was refused: {}", .0.map_or("this network has no DHT".to_owned(), |e| e.to_string()))]
    Refused(Option<kad::Error>),
    /// A request of our own protocols failed.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The protocol is not in the node's list.
    #[error("the node does not speak this protocol")]
    UnknownProtocol,
    /// The address could not be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// A peer, as the node sees it.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub id: PeerId,
    /// How many connections there are.
    pub connections: usize,
    /// GossipSub's version, once gossip is ready.
    pub gossip: Option<Version>,
    /// Whether it serves the DHT.
    pub server: bool,
    /// The name of its program.
    pub agent: String,
    /// Topics it subscribes to.
    pub topics: Vec<String>,
    /// Topics in whose mesh it is.
    pub mesh: Vec<String>,
    /// Bytes that wait to be sent to it.
    pub waiting: usize,
}

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// This peer.
    pub own: PeerId,
    /// Where it listens.
    pub listening: Vec<Multiaddr>,
    /// Connected peers, in the order of their ids.
    pub peers: Vec<PeerStatus>,
    /// Subscribed topics.
    pub topics: Vec<String>,
    /// Contacts in the DHT's table.
    pub contacts: usize,
    /// Everything counted, by name.
    pub counts: Vec<(&'static str, u64)>,
}

impl Status {
    /// A peer, if it is connected.
    pub fn peer(&self, id: &PeerId) -> Option<&PeerStatus> {
        self.peers.iter().find(|peer| peer.id == *id)
    }

    /// A count by its name; 0 for one that there is not.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, n)| *n)
    }
}

/// Where a call's result goes.
pub type Answer<T> = oneshot::Sender<Result<T, CallError>>;

/// The end of a call of a method: the result as JSON, or the error.
pub type MethodResult = Result<Box<str>, primitive::Error>;

/// What a node has counted, by name.
pub type Snapshot = Arc<Mutex<Vec<(&'static str, u64)>>>;

/// One call of the application. Each ends with an answer, after the store has what it brought about.
#[derive(Debug)]
pub enum Call {
    /// See [`Handle::publish`].
    Publish {
        /// The topic.
        topic: String,
        /// The payload, JSON.
        d: String,
        /// The message's id.
        answer: Answer<MessageId>,
    },
    /// See [`Handle::subscribe`] and [`Handle::unsubscribe`].
    Subscribe {
        /// The topic.
        topic: String,
        /// Whether it is wanted.
        wanted: bool,
        /// Done.
        answer: Answer<()>,
    },
    /// See [`Handle::command`].
    Command {
        /// What.
        command: Box<Command>,
        /// Done.
        answer: Answer<()>,
    },
    /// See [`Handle::query`].
    Query {
        /// What.
        query: Query,
        /// What came out.
        answer: Answer<(Outcome<PeerId>, QueryStats)>,
    },
    /// See [`Handle::ask`].
    Ask {
        /// Whom.
        peer: PeerId,
        /// The protocol's id.
        protocol: String,
        /// What.
        body: Vec<u8>,
        /// The peer's answer.
        answer: Answer<Vec<u8>>,
    },
    /// See [`Handle::connect`].
    Connect {
        /// Where.
        address: Multiaddr,
        /// Who is there.
        answer: Answer<PeerId>,
    },
    /// See [`Handle::disconnect`].
    Disconnect {
        /// Whom.
        peer: PeerId,
        /// Done.
        answer: Answer<()>,
    },
    /// See [`Handle::status`].
    Status {
        /// The state of things.
        answer: Answer<Status>,
    },
    /// See [`Handle::method`].
    Method {
        /// Who calls.
        caller: Caller,
        /// Which method.
        method: Box<str>,
        /// Its parameters, JSON.
        params: Option<Box<str>>,
        /// The end of it.
        answer: oneshot::Sender<MethodResult>,
    },
    /// See [`Handle::arrange`].
    Arrange {
        /// What.
        what: Arrange,
        /// Done.
        answer: oneshot::Sender<MethodResult>,
    },
    /// Something for the primitives that is not a call.
    Agent(AgentInput),
    /// See [`Handle::set_clock`].
    SetClock {
        /// Milliseconds to add to the wall clock.
        offset: i64,
    },
    /// See [`Handle::shutdown`].
    Shutdown,
}

/// A running node. Cheap to clone; when the last one is dropped, the node stops.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) own: PeerId,
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) counts: Snapshot,
    /// Has all that happened since the start, for the first that asks.
    pub(super) first: Arc<Mutex<Option<broadcast::Receiver<Event>>>>,
}

impl Handle {
    /// This peer.
    pub const fn own(&self) -> PeerId {
        self.own
    }

    /// Everything that happens from now on; the first time also what happened since the start.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    /// Publishes a payload, given as JSON, in an envelope on a topic.
    ///
    /// # Errors
    /// If the topic is none, or the payload no JSON or too long.
    pub async fn publish(&self, topic: &str, d: &str) -> Result<MessageId, CallError> {
        let (topic, d) = (topic.to_owned(), d.to_owned());
        self.call(|answer| Call::Publish { topic, d, answer }).await
    }

    /// Wants the messages of a topic.
    ///
    /// # Errors
    /// If the topic is none, or too many are in use.
    pub async fn subscribe(&self, topic: &str) -> Result<(), CallError> {
        let topic = topic.to_owned();
        self.call(|answer| Call::Subscribe { topic, wanted: true, answer }).await
    }

    /// No longer wants them.
    ///
    /// # Errors
    /// If the topic is none.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), CallError> {
        let topic = topic.to_owned();
        self.call(|answer| Call::Subscribe { topic, wanted: false, answer }).await
    }

    /// Hands a command to the machine; what comes of it is an [`Event::Protocol`].
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn command(&self, command: Command) -> Result<(), CallError> {
        self.call(|answer| Call::Command { command: Box::new(command), answer }).await
    }

    /// Announces this card from now on.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn announce(&self, card: Card) -> Result<(), CallError> {
        self.command(Command::Announce(card)).await
    }

    /// Asks the DHT, and waits for what comes out.
    ///
    /// # Errors
    /// If the query was not started.
    pub async fn query(&self, query: Query) -> Result<(Outcome<PeerId>, QueryStats), CallError> {
        self.call(|answer| Call::Query { query, answer }).await
    }

    /// Sends a request over one of the node's protocols, and waits for the answer. The caller signs and reads the bodies.
    ///
    /// # Errors
    /// If there is no such protocol, or no answer.
    pub async fn ask(&self, peer: PeerId, protocol: &str, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let protocol = protocol.to_owned();
        self.call(|answer| Call::Ask { peer, protocol, body, answer }).await
    }

    /// Connects to an address, and tells who is there.
    ///
    /// # Errors
    /// Why not.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId, CallError> {
        self.call(|answer| Call::Connect { address, answer }).await
    }

    /// Closes all connections with a peer.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), CallError> {
        self.call(|answer| Call::Disconnect { peer, answer }).await
    }

    /// The state of things.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn status(&self) -> Result<Status, CallError> {
        self.call(|answer| Call::Status { answer }).await
    }

    /// Calls a method of the primitives.
    ///
    /// # Errors
    /// Those of the method; -32603 if the node has stopped.
    pub async fn method(&self, caller: Caller, method: &str, params: Option<Box<str>>) -> MethodResult {
        let (answer, result) = oneshot::channel();
        let call = Call::Method { caller, method: method.into(), params, answer };
        let stopped = |_| primitive::Error::new(Code::Internal, "the node has stopped");
        self.calls.send(call).await.map_err(|_| ()).map_err(stopped)?;
        result.await.map_err(|_| ()).map_err(stopped)?
    }

    /// Arranges something that no method can: for tests of a node from outside.
    ///
    /// # Errors
    /// If there is no such session, or the node has stopped.
    pub async fn arrange(&self, what: Arrange) -> Result<(), primitive::Error> {
        let (answer, result) = oneshot::channel();
        let stopped = |_| primitive::Error::new(Code::Internal, "the node has stopped");
        self.calls.send(Call::Arrange { what, answer }).await.map_err(|_| ()).map_err(stopped)?;
        result.await.map_err(|_| ()).map_err(stopped)?.map(drop)
    }

    /// Tells the primitives that a client is gone. Waits for nothing.
    pub fn client_gone(&self, client: ClientId) {
        let calls = self.calls.clone();
        tokio::spawn(async move {
            // A node that has stopped has forgotten the client already.
            let _ = calls.send(Call::Agent(AgentInput::ClientGone(client))).await;
        });
    }

    /// Adds `offset` milliseconds to the wall clock that the machine sees: for tests of a node from outside.
    pub async fn set_clock(&self, offset: i64) {
        // A node that has stopped needs no clock.
        let _ = self.calls.send(Call::SetClock { offset }).await;
    }

    /// Everything counted, by name, as of some seconds ago.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the node has stopped.
    pub fn is_stopped(&self) -> bool {
        self.calls.is_closed()
    }

    /// Stops the node; await [`Running`](super::Running) for the end of it.
    pub async fn shutdown(&self) {
        // Gone already is as good.
        let _ = self.calls.send(Call::Shutdown).await;
    }

    async fn call<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, CallError> {
        let (answer, result) = oneshot::channel();
        self.calls.send(call(answer)).await.map_err(|_| CallError::Stopped)?;
        result.await.map_err(|_| CallError::Stopped)?
    }
}
