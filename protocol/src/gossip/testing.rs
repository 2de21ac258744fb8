//! What unit tests of this module share: a plain message type, and a machine with its driver in one struct.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::cache::SeenIds;
use super::codec::Names;
use super::frame::{Frame, Ihave, Prune};
use super::{Config, Gossip, Verdict};
use crate::card;
use crate::config::Config as PeerConfig;
use crate::envelope::ReplayConfig;
use crate::identity::PeerId;
use crate::kad::{self, KadKey, Key};
use crate::machine::{
    Context, Count, Counted, Inspection, Message, Output, PeerInfo, PeerRef, Services, TopicRef,
};
use crate::rng::Stream;
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::pubsub;

/// A message that is its number, topic, size and author.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Text {
    pub(super) number: u32,
    pub(super) topic: u32,
    pub(super) size: usize,
    pub(super) author: u8,
}

impl Message for Text {
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
        self.size
    }
}

/// A small message of an unknown author.
pub(super) fn message(number: u32, topic: u32) -> Text {
    Text { number, topic, size: 100, author: 255 }
}

struct Authors;

impl kad::Services<u32> for Authors {
    fn key(&self, contact: u32) -> KadKey {
        KadKey::of_peer(&peer_id(contact))
    }
    fn id(&self, contact: u32) -> Key {
        Key::of_peer(&peer_id(contact))
    }
}

impl Services<Text> for Authors {
    fn inspect(&self, _: &Text) -> Inspection<u32> {
        Inspection::Bare
    }
    fn author(&self, message: &Text) -> Option<PeerId> {
        Some(peer_id(message.author.into()))
    }
}

/// The identity of the peer behind a handle.
pub(super) fn peer_id(n: u32) -> PeerId {
    let mut bytes = [n as u8; 32];
    bytes[0] = (n as u8).wrapping_mul(37);
    PeerId::from_public_key(bytes)
}

/// A machine with everything its driver lends.
pub(super) struct Lab {
    pub(super) gossip: Gossip<Text>,
    pub(super) config: PeerConfig,
    pub(super) now: Instant,
    rng: Stream,
    counters: Counted,
}

impl Lab {
    /// A started machine.
    pub(super) fn new(gossip: Config) -> Self {
        let config = PeerConfig {
            gossip,
            replay: ReplayConfig::default(),
            dht: None,
            cards: card::Config::default(),
            primitives: Default::default(),
        };
        let (rng, counters) = (Stream::new(1, 1), Counted::default());
        let mut lab = Self { gossip: Gossip::default(), config, now: Instant::ZERO, rng, counters };
        lab.run(|g, cx| g.start(cx));
        lab
    }

    /// A machine subscribed to topic 0, with `n` connected peers 0..n that are subscribed too; even ones are outbound.
    pub(super) fn with_peers(gossip: Config, n: u32) -> Self {
        let mut lab = Self::new(gossip);
        lab.run(|g, cx| g.subscribe(cx, TopicRef(0)));
        for peer in 0..n {
            lab.connect(peer, peer.is_multiple_of(2));
            lab.frame(peer, subscribe(0));
        }
        lab
    }

    /// Like [`Lab::with_peers`], with all peers in the mesh by their own GRAFT, in their order.
    pub(super) fn meshed(gossip: Config, n: u32) -> Self {
        let mut lab = Self::with_peers(gossip, n);
        for peer in 0..n {
            assert_eq!(lab.frame(peer, graft()), []);
        }
        assert_eq!(lab.mesh(), (0..n).collect::<Vec<_>>());
        lab
    }

    /// Runs `act` and returns the whole outbox.
    pub(super) fn run(
        &mut self,
        act: impl FnOnce(&mut Gossip<Text>, &mut Context<'_, Text>),
    ) -> Vec<Output<Text>> {
        let mut out = Vec::new();
        let mut cx = Context {
            own: u32::MAX,
            now: self.now,
            unix: UnixMillis(0),
            config: &self.config,
            rng: &mut self.rng,
            services: &Authors,
            counters: &mut self.counters,
            records: &mut crate::primitive::NoRecords,
            out: &mut out,
        };
        act(&mut self.gossip, &mut cx);
        out
    }

    pub(super) fn connect(&mut self, peer: u32, outbound: bool) -> Vec<Output<Text>> {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | peer));
        let info = PeerInfo { id: peer_id(peer), outbound, explicit: false, ip };
        self.connect_as(peer, info)
    }

    pub(super) fn connect_as(&mut self, peer: u32, info: PeerInfo) -> Vec<Output<Text>> {
        self.run(|g, cx| g.on_connected(cx, PeerRef(peer), info))
    }

    /// Connects an explicit peer that is subscribed to topic 0.
    pub(super) fn connect_explicit(&mut self, peer: u32) {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | peer));
        self.connect_as(peer, PeerInfo { id: peer_id(peer), outbound: true, explicit: true, ip });
        self.frame(peer, subscribe(0));
    }

    /// Draws and drops a number, so that what follows chooses others.
    pub(super) fn reroll(&mut self, times: usize) {
        for _ in 0..times {
            self.run(|_, cx| {
                cx.rng.next_u64();
            });
        }
    }

    /// Sets the application's score of a peer; with [`super::tests::scored`] settings that is added to its score.
    pub(super) fn app_score(&mut self, peer: u32, score: f64) {
        self.gossip.set_app_score(PeerRef(peer), score);
    }

    pub(super) fn disconnect(&mut self, peer: u32) -> Vec<Output<Text>> {
        self.run(|g, cx| g.on_disconnected(cx, PeerRef(peer)))
    }

    /// Feeds a frame; a message that is new gets the verdict "accept".
    pub(super) fn frame(&mut self, from: u32, frame: Frame<Text>) -> Vec<Output<Text>> {
        self.frame_judged(from, frame, Verdict::Accept)
    }

    pub(super) fn frame_judged(
        &mut self,
        from: u32,
        frame: Frame<Text>,
        verdict: Verdict,
    ) -> Vec<Output<Text>> {
        self.run(|g, cx| {
            if let Some(message) = g.on_frame(cx, PeerRef(from), frame) {
                g.on_verdict(cx, PeerRef(from), message, verdict);
            }
        })
    }

    pub(super) fn publish(&mut self, message: Text) -> Vec<Output<Text>> {
        self.run(|g, cx| _ = g.publish(cx, message))
    }

    /// Lets `n` heartbeats pass and returns the outbox of the last.
    pub(super) fn beat(&mut self, n: u32) -> Vec<Output<Text>> {
        let mut out = Vec::new();
        for _ in 0..n {
            self.now = self.gossip.poll_timeout().expect("heartbeats are on");
            out = self.run(|g, cx| g.handle_timeout(cx));
        }
        out
    }

    pub(super) fn wait(&mut self, d: Duration) {
        self.now += d;
    }

    pub(super) fn mesh(&self) -> Vec<u32> {
        let mut mesh: Vec<u32> =
            self.gossip.mesh_peers(TopicRef(0)).unwrap_or_default().iter().map(|p| p.0).collect();
        mesh.sort_unstable();
        mesh
    }

    pub(super) fn score(&self, peer: u32) -> f64 {
        self.gossip.score(&self.config, PeerRef(peer))
    }

    pub(super) fn count(&self, what: Count) -> u64 {
        self.counters.peer.get(what)
    }
}

pub(super) fn send(to: u32, frame: Frame<Text>) -> Output<Text> {
    Output::Send { to: PeerRef(to), frame }
}

pub(super) fn deliver(message: Text) -> Output<Text> {
    Output::Deliver { message }
}

pub(super) fn subscribe(topic: u32) -> Frame<Text> {
    Frame::Subscriptions(Arc::new(vec![(TopicRef(topic), true)]))
}

pub(super) fn graft() -> Frame<Text> {
    Frame::Graft(TopicRef(0))
}

pub(super) fn prune(backoff: Option<u64>) -> Frame<Text> {
    let backoff = backoff.map(Duration::from_secs);
    Frame::Prune(Box::new(Prune { topic: TopicRef(0), backoff, px: vec![] }))
}

pub(super) fn prune_offering(backoff: u64, peers: &[u32]) -> Frame<Text> {
    let px = peers.iter().map(|p| peer_id(*p)).collect();
    Frame::Prune(Box::new(Prune { topic: TopicRef(0), backoff: Some(Duration::from_secs(backoff)), px }))
}

pub(super) fn unsubscribe(topic: u32) -> Frame<Text> {
    Frame::Subscriptions(Arc::new(vec![(TopicRef(topic), false)]))
}

pub(super) fn ihave(ids: &[u32]) -> Frame<Text> {
    Frame::Ihave(Arc::new(Ihave { topic: TopicRef(0), ids: ids.to_vec() }))
}

pub(super) fn iwant(ids: &[u32]) -> Frame<Text> {
    Frame::Iwant(Arc::new(ids.to_vec()))
}

/// Whom an outbox sends `frame` to, in ascending order; the outbox holds nothing else.
pub(super) fn all_get(out: &[Output<Text>], frame: &Frame<Text>) -> Vec<u32> {
    let to = receivers(out, |f| f == frame);
    assert_eq!(to.len(), out.len(), "not only {frame:?}: {out:?}");
    to
}

/// Whom an outbox sends frames to that `wanted` lets through, in ascending order.
pub(super) fn receivers(out: &[Output<Text>], wanted: impl Fn(&Frame<Text>) -> bool) -> Vec<u32> {
    let mut to: Vec<u32> = out
        .iter()
        .filter_map(|o| if let Output::Send { to, frame } = o { wanted(frame).then_some(to.0) } else { None })
        .collect();
    to.sort_unstable();
    to
}

/// One frame of each kind, and some at the edges.
pub(super) fn all_frames() -> Vec<Frame<Text>> {
    let px = vec![peer_id(1), peer_id(2)];
    vec![
        Frame::Message(Text { number: 7, topic: 1, size: 300, author: 3 }),
        Frame::Subscriptions(Arc::new(vec![(TopicRef(0), true), (TopicRef(1), false)])),
        graft(),
        prune(None),
        prune(Some(60)),
        prune(Some(0)),
        Frame::Prune(Box::new(Prune { topic: TopicRef(1), backoff: Some(Duration::from_secs(1 << 34)), px })),
        ihave(&[]),
        ihave(&(0..200).collect::<Vec<_>>()),
        iwant(&[1]),
        Frame::Idontwant(9),
    ]
}

/// Topics are `topic-N`, ids four bytes.
pub(super) struct TestNames;

impl Names<Text> for TestNames {
    fn topic(&self, topic: TopicRef) -> &str {
        ["topic-0", "topic-1"][topic.0 as usize]
    }
    fn find_topic(&self, name: &str) -> Option<TopicRef> {
        ["topic-0", "topic-1"].iter().position(|t| *t == name).map(|i| TopicRef(i as u32))
    }
    fn id(&self, id: &u32) -> Vec<u8> {
        id.to_be_bytes().to_vec()
    }
    fn id_len(&self, _: &u32) -> usize {
        4
    }
    fn find_id(&self, bytes: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
    fn message(&self, m: &Text) -> pubsub::Message {
        pubsub::Message {
            from: Some(vec![m.author]),
            data: Some(vec![0; m.size]),
            seqno: Some(m.number.to_be_bytes().to_vec()),
            topic: Some(self.topic(m.topic()).to_owned()),
            signature: None,
            key: None,
        }
    }
    fn message_len(&self, m: &Text) -> usize {
        use super::codec::field;
        field(1) + field(m.size) + field(4) + field(7)
    }
    fn take_message(&self, m: pubsub::Message) -> Option<Text> {
        Some(Text {
            number: self.find_id(&m.seqno?)?,
            topic: self.find_topic(&m.topic?)?.0,
            size: m.data?.len(),
            author: *m.from?.first()?,
        })
    }
}
