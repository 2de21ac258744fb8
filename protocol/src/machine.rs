//! The sans-IO boundary: what a driver lends to a state machine, what it feeds in and what it gets back.
//!
//! A driver (the simulator, or a real node) owns time, randomness, message bytes, cryptography and the outbox, and lends
//! them through a [`Context`]. To drive a [`Machine`]:
//!
//! 1. feed [`Input::Start`] once, then every further [`Input`] as it happens, with [`Machine::handle_input`];
//! 2. after each call, carry out everything in [`Context::out`], in order;
//! 3. when the clock reaches [`Machine::poll_timeout`], call [`Machine::handle_timeout`]. Calling it early or twice does
//!    nothing.
//!
//! Time never goes backwards between two calls on one machine.

use core::fmt;
use core::hash::Hash;
use core::net::IpAddr;

use crate::card;
use crate::config::Config;
use crate::gossip::Frame;
use crate::identity::PeerId;
use crate::kad::{self, Contact};
use crate::primitive::{AgentInput, AgentOutput, Records};
use crate::request::{Command, Event, Protocol, Request, RequestId, Response};
use crate::rng::Stream;
use crate::time::{Duration, Instant, UnixMillis};
use crate::topic::Topic;

/// The driver's handle of one connection of one machine: a small dense number, used again only after
/// [`Input::Disconnected`]. No protocol decision depends on its value; ties are broken by [`PeerId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerRef(pub u32);

/// The driver's handle of a topic name. Like [`PeerRef`] it only identifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicRef(pub u32);

/// How a driver represents a gossip message: shared bytes in a node, an interned handle among a million simulated peers.
pub trait Message: Clone + fmt::Debug {
    /// The message id that IHAVE, IWANT and IDONTWANT name.
    type Id: Clone + Ord + Hash + fmt::Debug;
    /// The (`from`, `nonce`) pair of the message's envelope (spec 7.2, decision E14).
    type Nonce: Clone + Eq + fmt::Debug;
    /// Remembers message ids for a time to live.
    type Seen: SeenCache<Self::Id>;
    /// Remembers nonces for a time to live.
    type Nonces: SeenCache<Self::Nonce>;
    /// How the driver names any peer of the network, connected or not.
    type Contact: Contact;

    /// This message's id.
    fn id(&self) -> Self::Id;
    /// The topic it was published on.
    fn topic(&self) -> TopicRef;
    /// Bytes of its payload.
    fn size(&self) -> usize;
}

/// A set whose members are forgotten some time after they were put in.
///
/// A member lives at least `ttl` and at most `ttl * 9 / 8` after [`SeenCache::insert`]: expiry goes by generations of an
/// eighth of the time to live, counted from the member's own first sight, so that a node's set and the simulator's
/// compact rows forget at the same instant.
pub trait SeenCache<K>: Default + fmt::Debug {
    /// Puts `key` in. Returns false, changing nothing, if it is there already.
    fn insert(&mut self, now: Instant, ttl: Duration, key: &K) -> bool;
    /// Whether `key` is in.
    fn contains(&self, now: Instant, ttl: Duration, key: &K) -> bool;
    /// Reads a word of its memory, to have it fetched early. Sets for which that is no use return 0.
    fn warm(&self) -> usize {
        0
    }
}

/// What a driver knows about the other end of a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerInfo {
    /// The authenticated identity.
    pub id: PeerId,
    /// Whether this side dialled: GossipSub keeps a quota of such mesh links (v1.1, D_out).
    pub outbound: bool,
    /// Whether the operators agreed to always exchange messages directly (v1.1 explicit peering). Such a peer is never in
    /// a mesh.
    pub explicit: bool,
    /// The remote address, for the score's IP colocation term (P6).
    pub ip: IpAddr,
}

/// Something that happened to a machine.
#[derive(Clone, PartialEq, Debug)]
pub enum Input<M: Message> {
    /// The first input: the machine is up.
    Start,
    /// A connection is ready for frames.
    Connected {
        /// Its handle from now on.
        peer: PeerRef,
        /// The other end.
        info: PeerInfo,
        /// Its name in requests, if it serves the DHT (libp2p's server mode, known from identify).
        server: Option<M::Contact>,
    },
    /// A connection is gone; its handle may be used again after this.
    Disconnected {
        /// The handle.
        peer: PeerRef,
    },
    /// A frame came in.
    Frame {
        /// Over which connection.
        from: PeerRef,
        /// What it says.
        frame: Frame<M>,
    },
    /// The application publishes a message.
    Publish(M),
    /// The application wants a topic's messages.
    Subscribe(TopicRef),
    /// The application no longer wants them.
    Unsubscribe(TopicRef),
    /// A peer asks something. The driver has authenticated who it is.
    Request {
        /// Who asks.
        from: M::Contact,
        /// Whether that peer serves the DHT.
        server: bool,
        /// The asker's number of it, for the response.
        id: RequestId,
        /// What.
        request: Box<Request<M::Contact>>,
    },
    /// A peer answers a request of ours.
    Response {
        /// Who answers.
        from: M::Contact,
        /// Our number of the request.
        id: RequestId,
        /// With what.
        response: Box<Response<M::Contact>>,
    },
    /// A request of ours could not be sent, or its stream broke before the response.
    RequestFailed {
        /// The protocol of the request.
        protocol: Protocol,
        /// Our number of the request.
        id: RequestId,
    },
    /// A contact that serves the DHT became known by other means than a connection: from a list of bootstrap peers.
    Discovered(M::Contact),
    /// The application wants something of the DHT or of capability cards.
    Command(Box<Command>),
    /// Something for the primitives, of a client or from outside the network.
    Agent(Box<AgentInput>),
}

/// Something a machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output<M: Message> {
    /// Send a frame.
    Send {
        /// Over which connection.
        to: PeerRef,
        /// What it says.
        frame: Frame<M>,
    },
    /// Hand a valid message to the application; at most once per message while it is remembered.
    Deliver {
        /// The message.
        message: M,
    },
    /// Connect to this peer if possible (peer exchange, GossipSub v1.1). A hint that may be ignored.
    Connect {
        /// Whom to find.
        id: PeerId,
    },
    /// Close the connection.
    Disconnect {
        /// Which one.
        peer: PeerRef,
    },
    /// Send a request to a peer, dialling it if need be. Answer with [`Input::Response`], or with
    /// [`Input::RequestFailed`] if it cannot be sent; a request that is never answered times out by itself.
    Request {
        /// To whom.
        to: M::Contact,
        /// The number that the response must carry.
        id: RequestId,
        /// What.
        request: Box<Request<M::Contact>>,
    },
    /// Answer a request.
    Respond {
        /// Whose.
        to: M::Contact,
        /// The asker's number.
        id: RequestId,
        /// With what.
        response: Box<Response<M::Contact>>,
    },
    /// Tell the application.
    Event(Box<Event<M::Contact>>),
    /// Something that the primitives want of a client, or from outside the network.
    Agent(Box<AgentOutput>),
}

/// What the driver found when it checked a message's envelope on its own, apart from any receiver's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inspection<N> {
    /// This network sends bare payloads: nothing to check.
    Bare,
    /// The envelope holds: signature, key binding, topic.
    Valid {
        /// Its `ts` in milliseconds.
        ts: UnixMillis,
        /// Its replay key.
        nonce: N,
    },
    /// The envelope fails a check; the sender is to blame (GossipSub v1.1 P4).
    Invalid,
}

/// A payload of our own that is to become a message.
#[derive(Clone, Copy, Debug)]
pub struct Unsealed<'a, C> {
    /// Who publishes it: this machine's peer.
    pub own: C,
    /// The driver's clock.
    pub now: Instant,
    /// The wall clock, for the envelope.
    pub unix: UnixMillis,
    /// The topic.
    pub topic: TopicRef,
    /// The payload as JSON.
    pub d: &'a str,
    /// For the envelope, random.
    pub nonce: [u8; 16],
}

/// What a driver does for its machines on demand: pure functions of the arguments, but for [`Services::seal`], which may
/// file the message it makes. The defaults are those of a driver without capability cards.
pub trait Services<M: Message>: kad::Services<M::Contact> {
    /// Checks the envelope of `message` as far as its bytes alone decide. May be answered from a memo: the verdict on
    /// given bytes never changes.
    fn inspect(&self, message: &M) -> Inspection<M::Nonce>;
    /// Who signed the pubsub message, if it says so.
    fn author(&self, message: &M) -> Option<PeerId>;
    /// The identity of a contact, if it is known.
    fn peer_id(&self, _contact: M::Contact) -> Option<PeerId> {
        None
    }
    /// The contact of an identity, if it can be reached.
    fn contact(&self, _id: &PeerId) -> Option<M::Contact> {
        None
    }
    /// The topic on which a peer announces its card, if it has one.
    fn card_topic(&self, _peer: &PeerId) -> Option<TopicRef> {
        None
    }
    /// The one peer that may publish on a topic (decision T3).
    fn owner(&self, _topic: TopicRef) -> Option<PeerId> {
        None
    }
    /// What a message on a capability topic says; `None` for a message on any other topic.
    fn card(&self, _message: &M) -> Option<Result<card::Payload, card::CardError>> {
        None
    }
    /// Signs a payload; `None` if the driver takes no further messages of this peer for now.
    fn seal(&self, _unsealed: Unsealed<'_, M::Contact>) -> Option<M> {
        None
    }
    /// The handle of a topic; `None` if the driver takes no further topics.
    fn topic(&self, _topic: &Topic) -> Option<TopicRef> {
        None
    }
    /// The topic and the payload of a message that primitives read; `None` for any other.
    fn gossiped(&self, _message: &M) -> Option<(Topic, std::sync::Arc<str>)> {
        None
    }
    /// The payload of a message as it went to the network: in an envelope, if this network has them.
    fn bytes(&self, _message: &M) -> Option<std::sync::Arc<[u8]>> {
        None
    }
}

/// Things a machine dropped or punished, counted by the driver. Remote misbehaviour is never a panic nor a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// A frame from a peer below the graylist threshold.
    Graylisted,
    /// A message, GRAFT or IHAVE for a topic this peer does not subscribe to.
    UnknownTopic,
    /// A message seen before.
    Duplicate,
    /// A message whose envelope fails a check.
    Rejected,
    /// A message whose envelope is too old, too new or replayed.
    Ignored,
    /// A subscription beyond the cap of topics per peer.
    TopicCap,
    /// A GRAFT inside the backoff (P7).
    GraftInBackoff,
    /// A GRAFT refused for any other reason.
    GraftRefused,
    /// An IHAVE beyond the cap per heartbeat, or ids beyond theirs.
    IhaveCap,
    /// An IWANT for the same message too many times.
    IwantCap,
    /// An IDONTWANT beyond the cap per heartbeat.
    IdontwantCap,
    /// A promise broken: advertised, asked for, never sent (P7).
    BrokenPromise,
    /// A message not forwarded because the other side said IDONTWANT.
    Suppressed,
    /// A request or command for a part that this network does not run.
    Unsupported,
}

impl Count {
    /// How many kinds there are.
    pub const KINDS: usize = 14;
    /// All kinds with the name they have in reports, in the order of [`Count`] as an index.
    pub const NAMES: [(Self, &'static str); Self::KINDS] = [
        (Self::Graylisted, "graylisted"),
        (Self::UnknownTopic, "unknown_topic"),
        (Self::Duplicate, "duplicate"),
        (Self::Rejected, "rejected"),
        (Self::Ignored, "ignored"),
        (Self::TopicCap, "topic_cap"),
        (Self::GraftInBackoff, "graft_in_backoff"),
        (Self::GraftRefused, "graft_refused"),
        (Self::IhaveCap, "ihave_cap"),
        (Self::IwantCap, "iwant_cap"),
        (Self::IdontwantCap, "idontwant_cap"),
        (Self::BrokenPromise, "broken_promise"),
        (Self::Suppressed, "suppressed"),
        (Self::Unsupported, "unsupported"),
    ];
}

crate::counters::counters!();

/// What a whole peer counts, by machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Gossip and the peer itself.
    pub peer: Counters,
    /// The DHT.
    pub dht: kad::Counters,
    /// Capability cards.
    pub cards: card::Counters,
}

impl Counted {
    /// Counts one more of the peer's own kinds.
    #[inline]
    pub fn add(&mut self, what: Count) {
        self.peer.add(what);
    }

    /// Adds another peer's counters to these.
    pub fn merge(&mut self, other: &Self) {
        self.peer.merge(&other.peer);
        self.dht.merge(&other.dht);
        self.cards.merge(&other.cards);
    }

    /// Every count with the name it has in reports.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let peer = Count::NAMES.iter().map(|(what, name)| (*name, self.peer.get(*what)));
        let dht = kad::Count::NAMES.iter().map(|(what, name)| (*name, self.dht.get(*what)));
        let cards = card::Count::NAMES.iter().map(|(what, name)| (*name, self.cards.get(*what)));
        peer.chain(dht).chain(cards)
    }
}

/// What the driver lends for the length of one call.
pub struct Context<'a, M: Message> {
    /// This peer itself.
    pub own: M::Contact,
    /// The driver's clock.
    pub now: Instant,
    /// The wall clock, for envelopes.
    pub unix: UnixMillis,
    /// Settings shared by all machines of this driver.
    pub config: &'a Config,
    /// This machine's own random numbers.
    pub rng: &'a mut Stream,
    /// Message checks.
    pub services: &'a dyn Services<M>,
    /// Where drops are counted.
    pub counters: &'a mut Counted,
    /// What survives the process; primitives alone use it.
    pub records: &'a mut dyn Records,
    /// Where the machine puts what it wants done.
    pub out: &'a mut Vec<Output<M>>,
}

impl<M: Message> Context<'_, M> {
    /// Wants `frame` sent to `to`.
    #[inline]
    pub fn send(&mut self, to: PeerRef, frame: Frame<M>) {
        self.out.push(Output::Send { to, frame });
    }

    /// Signs a payload of this peer's own; see [`Services::seal`].
    pub(crate) fn seal(&mut self, topic: TopicRef, d: &str) -> Option<M> {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        nonce[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        let &mut Self { own, now, unix, services, .. } = self;
        services.seal(Unsealed { own, now, unix, topic, d, nonce })
    }
}

/// A peer's whole protocol state, driven from outside. See the module's text for the contract.
pub trait Machine {
    /// How this machine's driver represents messages.
    type Message: Message;

    /// Takes one input. Everything the machine wants done is pushed to `cx.out`.
    fn handle_input(&mut self, cx: &mut Context<'_, Self::Message>, input: Input<Self::Message>);

    /// Runs every timer due at `cx.now`. Called early or twice it does nothing.
    fn handle_timeout(&mut self, cx: &mut Context<'_, Self::Message>);

    /// When to call [`Machine::handle_timeout`] next; may change after either call above.
    fn poll_timeout(&self) -> Option<Instant>;
}
