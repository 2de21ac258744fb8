//! What the parent adds to its children, by whole outboxes; and what these tests share: a small network as a driver
//! knows it, and one peer of it with everything its driver lends.

mod agent;
mod cards;
mod dht;
mod followed;
mod hostile;
mod restart;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Peer;
use crate::card::{self, Card, CardError, Payload, Published};
use crate::config::Config;
use crate::envelope::ReplayConfig;
use crate::gossip::cache::SeenIds;
use crate::gossip::{self, Frame};
use crate::identity::PeerId;
use crate::kad::{self, KadKey, Key};
use crate::machine::{
    Context, Counted, Input, Inspection, Machine, Message, Output, PeerInfo, PeerRef, Services, TopicRef,
    Unsealed,
};
use crate::request::{Command, Event, Query, Request, RequestId, Response};
use crate::rng::Stream;
use crate::time::{Duration, Instant, UnixMillis};

type Outbox = Vec<Output<Note>>;

/// Peers of the network: 0, which is the one under test, and so on.
const PEERS: u32 = 20;
/// Where capability topics begin.
const CARD_TOPICS: u32 = 100;

/// A message that is its number, topic and author, what its envelope is like, and what is in it.
#[derive(Clone, PartialEq, Debug)]
struct Note {
    number: u32,
    topic: u32,
    author: u32,
    envelope: Inspection<u32>,
    d: Arc<str>,
}

impl Message for Note {
    type Id = u32;
    type Nonce = u32;
    type Seen = SeenIds<u32>;
    type Nonces = SeenIds<u32>;
    type Contact = u32;
    fn id(&self) -> u32 {
        self.number
    }
    fn topic(&self) -> TopicRef {
        TopicRef(self.topic)
    }
    fn size(&self) -> usize {
        self.d.len()
    }
}

/// A message on an ordinary topic.
fn note(number: u32, topic: u32) -> Note {
    Note { number, topic, author: 9, envelope: Inspection::Bare, d: "".into() }
}

/// The identity of the peer behind a contact.
fn id(contact: u32) -> PeerId {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&contact.to_be_bytes());
    PeerId::from_public_key(bytes)
}

/// The network.
#[derive(Debug)]
struct World {
    /// Into how many shared topics capability cards go; 0 for one topic for each peer.
    buckets: u32,
    /// Whether the driver knows identities, and whether it seals messages.
    identities: bool,
    seals: bool,
    /// Messages sealed so far: their numbers go from 1000 on.
    sealed: Cell<u32>,
}

impl World {
    fn topic_of(&self, contact: u32) -> u32 {
        CARD_TOPICS + if self.buckets == 0 { contact } else { contact % self.buckets }
    }
}

impl kad::Services<u32> for World {
    fn key(&self, contact: u32) -> KadKey {
        KadKey::of_peer(&id(contact))
    }
    fn id(&self, contact: u32) -> Key {
        Key::of_peer(&id(contact))
    }
}

impl Services<Note> for World {
    fn inspect(&self, message: &Note) -> Inspection<u32> {
        message.envelope
    }
    fn author(&self, message: &Note) -> Option<PeerId> {
        Some(id(message.author))
    }
    fn peer_id(&self, contact: u32) -> Option<PeerId> {
        self.identities.then(|| id(contact))
    }
    fn contact(&self, peer: &PeerId) -> Option<u32> {
        (0..PEERS).find(|contact| id(*contact) == *peer)
    }
    fn card_topic(&self, peer: &PeerId) -> Option<TopicRef> {
        Some(TopicRef(self.topic_of(self.contact(peer)?)))
    }
    fn owner(&self, topic: TopicRef) -> Option<PeerId> {
        (self.buckets == 0 && topic.0 >= CARD_TOPICS).then(|| id(topic.0 - CARD_TOPICS))
    }
    fn card(&self, message: &Note) -> Option<Result<Payload, CardError>> {
        (message.topic >= CARD_TOPICS).then(|| Payload::parse(&message.d))
    }
    fn seal(&self, unsealed: Unsealed<'_, u32>) -> Option<Note> {
        let number = 1000 + self.sealed.get();
        self.seals.then(|| {
            self.sealed.set(self.sealed.get() + 1);
            Note { author: unsealed.own, d: unsealed.d.into(), ..note(number, unsealed.topic.0) }
        })
    }
    fn bytes(&self, message: &Note) -> Option<Arc<[u8]>> {
        Some(envelope(&message.d))
    }
}

/// What a sealed payload is like as bytes.
fn envelope(d: &str) -> Arc<[u8]> {
    format!("{{\"d\":{d}}}").into_bytes().into()
}

/// Peer 0 with everything its driver lends.
struct Lab {
    peer: Peer<Note>,
    world: World,
    config: Config,
    now: Instant,
    rng: Stream,
    counters: Counted,
}

impl Lab {
    /// A started peer without gossip heartbeats in a network without DHT.
    fn new() -> Self {
        let gossip = gossip::Config { heartbeat_interval: Duration::ZERO, ..gossip::Config::go() };
        let (replay, cards) = (ReplayConfig::default(), card::Config::default());
        let mut lab = Self {
            peer: Peer::default(),
            world: World { buckets: 0, identities: true, seals: true, sealed: Cell::new(0) },
            config: Config { gossip, replay, dht: None, cards, primitives: Default::default() },
            now: Instant::ZERO,
            rng: Stream::new(1, 1),
            counters: Counted::default(),
        };
        assert_eq!(lab.feed(Input::Start), []);
        lab
    }

    /// The same in a network with a DHT, whose peers `known` it knows of.
    fn with_dht(dht: kad::Config, known: &[u32]) -> Self {
        let mut lab = Self::new();
        lab.config.dht = Some(dht);
        for contact in known {
            assert_eq!(lab.feed(Input::Discovered(*contact)), []);
        }
        lab
    }

    /// Runs `act` and returns the whole outbox.
    fn run(&mut self, act: impl FnOnce(&mut Peer<Note>, &mut Context<'_, Note>)) -> Outbox {
        let mut out = Vec::new();
        let mut cx = Context {
            own: 0,
            now: self.now,
            unix: UnixMillis(1000 + self.now.since(Instant::ZERO).as_millis()),
            config: &self.config,
            rng: &mut self.rng,
            services: &self.world,
            counters: &mut self.counters,
            records: &mut crate::primitive::NoRecords,
            out: &mut out,
        };
        act(&mut self.peer, &mut cx);
        out
    }

    fn feed(&mut self, input: Input<Note>) -> Outbox {
        self.run(|peer, cx| peer.handle_input(cx, input))
    }

    /// Lets time pass and runs the timers.
    fn pass(&mut self, time: Duration) -> Outbox {
        self.now += time;
        self.run(Machine::handle_timeout)
    }

    /// Connects a peer under its number, which serves the DHT or not.
    fn connect(&mut self, peer: u32, serves: bool) -> Outbox {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | peer));
        let info = PeerInfo { id: id(peer), outbound: false, explicit: false, ip };
        self.feed(Input::Connected { peer: PeerRef(peer), info, server: serves.then_some(peer) })
    }

    fn frame(&mut self, from: u32, frame: Frame<Note>) -> Outbox {
        self.feed(Input::Frame { from: PeerRef(from), frame })
    }

    fn command(&mut self, command: Command) -> Outbox {
        self.feed(Input::Command(Box::new(command)))
    }

    fn query(&mut self, token: u64, query: Query) -> Outbox {
        self.command(Command::Query { token, query })
    }

    fn request(&mut self, from: u32, number: u32, request: Request<u32>) -> Outbox {
        self.feed(Input::Request { from, server: false, id: RequestId(number), request: Box::new(request) })
    }

    fn respond(&mut self, from: u32, number: u32, response: Response<u32>) -> Outbox {
        self.feed(Input::Response { from, id: RequestId(number), response: Box::new(response) })
    }

    /// The answer of `from` to a FIND_NODE that names nobody.
    fn nobody(&mut self, from: u32, number: u32) -> Outbox {
        self.respond(from, number, Response::Dht(kad::Response::Nodes { closer: Vec::new() }))
    }

    /// Every counter that is not zero.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counters.named().filter(|(_, n)| *n > 0).collect()
    }

    /// Queries of the application on their way.
    fn tokens(&self) -> usize {
        self.peer.dht.as_ref().map_or(0, |dht| dht.tokens.len())
    }
}

/// What a driver of a peer under test is to do.
fn send(to: u32, frame: Frame<Note>) -> Output<Note> {
    Output::Send { to: PeerRef(to), frame }
}

fn wanted(topic: u32, wanted: bool) -> Frame<Note> {
    Frame::Subscriptions(Arc::new(vec![(TopicRef(topic), wanted)]))
}

fn ask(to: u32, number: u32, request: kad::Request<u32>) -> Output<Note> {
    Output::Request { to, id: RequestId(number), request: Box::new(Request::Dht(request)) }
}

fn ask_card(to: u32, number: u32) -> Output<Note> {
    Output::Request { to, id: RequestId(number), request: Box::new(Request::Card) }
}

fn answer(to: u32, number: u32, response: Response<u32>) -> Output<Note> {
    Output::Respond { to, id: RequestId(number), response: Box::new(response) }
}

fn told(event: Event<u32>) -> Output<Note> {
    Output::Event(Box::new(event))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Lookups that ask two at once for three contacts, and no upkeep.
fn quiet() -> kad::Config {
    kad::Config {
        k: 3,
        alpha: 2,
        alpha_stalled: 2,
        beta: 3,
        refresh_interval: Duration::ZERO,
        replicate_interval: Duration::ZERO,
        republish_interval: Duration::ZERO,
        reprovide_interval: Duration::ZERO,
        ..kad::Config::rust()
    }
}

/// These contacts, the closest to a key first.
fn by_distance(key: &Key, contacts: &[u32]) -> Vec<u32> {
    let mut sorted = contacts.to_vec();
    sorted.sort_by_key(|contact| KadKey::of_peer(&id(*contact)).distance(key.place()));
    sorted
}

/// A peer's card with one tool, which has these tags.
fn card(owner: u32, seq: u64, tags: &[&str]) -> Card {
    let tool = card::Tool {
        id: "tool".to_owned(),
        name: "tool".to_owned(),
        description: String::new(),
        capabilities: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        avg_latency: None,
        schema: None,
    };
    Card {
        seq,
        peer_id: id(owner),
        tools: vec![tool],
        task_types: Vec::new(),
        reputation: None,
        geo: None,
        latency: None,
        metadata: None,
    }
}

fn published(card: &Card) -> Arc<Published> {
    Arc::new(Published::new(card).expect("within bounds"))
}

/// A card's text.
fn text(card: &Card) -> String {
    serde_json::to_string(card).expect("plain data")
}

/// The text of a heartbeat for a card.
fn beat(card: &Card) -> String {
    let card_hash = published(card).hash();
    let heartbeat = card::Heartbeat { seq: card.seq, card_hash, ttl_ms: 300_000 };
    serde_json::to_string(&heartbeat).expect("plain data")
}

/// A message on the capability topic of its author.
fn announcement(world: &World, number: u32, author: u32, d: &str) -> Note {
    Note { author, d: d.into(), ..note(number, world.topic_of(author)) }
}
