//! One peer in the simulator: its machine, its ends of links, and what only it counts.

use hyperspace_protocol::config::Config;
use hyperspace_protocol::kad::Kad;
use hyperspace_protocol::machine::{Context, Input, Machine, PeerRef, TopicRef};
use hyperspace_protocol::peer::{Cards, Peer};
use hyperspace_protocol::time::Instant;

use crate::link::Link;
use crate::message::SimMessage;
use crate::records::HostRecords;

/// A machine that the simulator can look into.
///
/// Everything has a default, so any [`Machine`] over [`SimMessage`] becomes a subject with an empty `impl`.
pub trait Subject: Machine<Message = SimMessage> + Send {
    /// The mesh links of a topic.
    fn mesh(&self, _topic: TopicRef) -> &[PeerRef] {
        &[]
    }
    /// Calls `each` with every topic that it subscribes to and the mesh links there, for traces.
    fn meshes(&self, _each: &mut dyn FnMut(TopicRef, &[PeerRef])) {}
    /// Reads words of what the next frame will need, first of its own memory (`None`), then of what that points to, for a
    /// frame from `from`. Engines call this for several peers at once, so that the processor fetches them early, and throw
    /// the sum away.
    fn warm(&self, _from: Option<PeerRef>) -> usize {
        0
    }
    /// Calls `each` with every neighbour's score.
    fn scores(&self, _config: &Config, _each: &mut dyn FnMut(PeerRef, f64)) {}
    /// The DHT machine, if there is one.
    fn dht(&self) -> Option<&Kad<u32>> {
        None
    }
    /// The DHT machine, to be filled with what a network at rest knows; `None` for machines that have none.
    fn dht_mut(&mut self) -> Option<&mut Kad<u32>> {
        None
    }
    /// Queries of the application on their way.
    fn queries(&self) -> usize {
        0
    }
    /// The card machines, if there are any.
    fn cards(&self) -> Option<&Cards<u32>> {
        None
    }
    /// The process has died: what was in memory alone is gone, and with `keeps_state` what a node has on its disk is still
    /// there. [`Input::Start`] comes next. A machine that is to live through churn has to do something here.
    fn restart(&mut self, _keeps_state: bool) {}
}

impl Subject for Peer<SimMessage> {
    fn mesh(&self, topic: TopicRef) -> &[PeerRef] {
        self.gossip.mesh_peers(topic).unwrap_or_default()
    }
    fn meshes(&self, each: &mut dyn FnMut(TopicRef, &[PeerRef])) {
        for (topic, peers) in self.gossip.meshes() {
            each(topic, peers);
        }
    }
    #[inline]
    fn warm(&self, from: Option<PeerRef>) -> usize {
        self.gossip.warm(from)
    }
    fn scores(&self, config: &Config, each: &mut dyn FnMut(PeerRef, f64)) {
        for (peer, score) in self.gossip.scores(config) {
            each(peer, score);
        }
    }
    fn dht(&self) -> Option<&Kad<u32>> {
        Self::dht(self)
    }
    fn dht_mut(&mut self) -> Option<&mut Kad<u32>> {
        Some(Self::dht_mut(self))
    }
    fn queries(&self) -> usize {
        Self::queries(self)
    }
    fn cards(&self) -> Option<&Cards<u32>> {
        Self::cards(self)
    }
    fn restart(&mut self, keeps_state: bool) {
        Self::restart(self, keeps_state);
    }
}

/// An adversary: any machine, behind a pointer, so that honest peers stay statically dispatched.
pub type Adversary = Box<dyn Machine<Message = SimMessage> + Send>;

/// Who runs at a peer.
pub(crate) enum Actor<P> {
    Honest(P),
    Adversary(Adversary),
}

impl<P: Subject> Actor<P> {
    pub(crate) fn machine(&mut self) -> &mut dyn Machine<Message = SimMessage> {
        match self {
            Self::Honest(machine) => machine,
            Self::Adversary(machine) => machine.as_mut(),
        }
    }

    /// The machine of an honest peer.
    pub(crate) const fn honest(&self) -> Option<&P> {
        match self {
            Self::Honest(machine) => Some(machine),
            Self::Adversary(_) => None,
        }
    }

    #[inline]
    pub(crate) fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match self {
            Self::Honest(machine) => machine.handle_input(cx, input),
            Self::Adversary(machine) => machine.handle_input(cx, input),
        }
    }

    #[inline]
    pub(crate) fn warm(&self, from: Option<PeerRef>) -> usize {
        match self {
            Self::Honest(machine) => machine.warm(from),
            Self::Adversary(_) => 0,
        }
    }

    #[inline]
    pub(crate) fn poll_timeout(&self) -> u64 {
        let at = match self {
            Self::Honest(machine) => machine.poll_timeout(),
            Self::Adversary(machine) => machine.poll_timeout(),
        };
        at.map_or(u64::MAX, Instant::as_nanos)
    }
}

/// One peer and its ends of links.
pub(crate) struct Host<P> {
    pub(crate) actor: Actor<P>,
    pub(crate) links: Vec<Link>,
    /// What its primitives keep.
    pub(crate) records: HostRecords,
    /// When it came up, if it is.
    pub(crate) up_since: Option<Instant>,
    /// Events sent so far.
    seq: u32,
    /// Own messages made in an interval, and which interval that is: see [`Shared::own_index`](crate::shared::Shared::own_index).
    pub(crate) made: (u32, u32),
    /// Protocol random numbers drawn so far.
    pub(crate) draws: u64,
    /// Until when its processor, or the line to it, is occupied.
    pub(crate) busy: u64,
    /// Until when the line from it is occupied.
    pub(crate) line: u64,
}

impl<P> Host<P> {
    pub(crate) const fn new(actor: Actor<P>) -> Self {
        Self {
            actor,
            links: Vec::new(),
            records: HostRecords::new(),
            up_since: None,
            seq: 0,
            made: (0, 0),
            draws: 0,
            busy: 0,
            line: 0,
        }
    }

    /// What of a host's state no measurement shows, for the digest of the end.
    pub(crate) const fn fingerprint(&self) -> u64 {
        self.draws << 32 ^ self.seq as u64
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    pub(crate) const fn is_honest(&self) -> bool {
        matches!(self.actor, Actor::Honest(_))
    }

    /// Events that it has numbered.
    pub(crate) const fn numbered(&self) -> u32 {
        self.seq
    }

    pub(crate) fn next_seq(&mut self) -> u32 {
        let seq = self.seq;
        self.seq = seq.checked_add(1).expect("a peer sends fewer than 2^32 events in a run");
        seq
    }
}
