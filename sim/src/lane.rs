//! A lane: a block of consecutive peers with everything that only they touch. Engines decide when a lane runs; what an
//! event does is decided here, once for all engines.

use std::cell::Cell;

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::{
    Context, Input, Inspection, Machine, Output, PeerInfo, PeerRef, Services, TopicRef,
};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::rng::Stream;
use hyperspace_protocol::time::{Duration, Instant};

use crate::digest::{DigestLog, TIMER};
use crate::event::{Event, Payload, WORLD};
use crate::link::{Link, LinkState};
use crate::message::{MessageTable, SimMessage};
use crate::shared::Shared;
use crate::tally::{NetCount, Tally};
use crate::workload::Schedule;

/// Peers per lane: also the block of a digest, so not a matter of tuning alone.
pub(crate) const LANE: u32 = 1024;

/// A machine that the simulator can look into.
///
/// Everything has a default, so any [`Machine`] over [`SimMessage`] becomes a subject with an empty `impl`.
pub trait Subject: Machine<Message = SimMessage> + Send {
    /// The mesh links of a topic.
    fn mesh(&self, _topic: TopicRef) -> &[PeerRef] {
        &[]
    }
    /// Reads words of what the next frame will need, first of its own memory (`None`), then of what that points to, for a
    /// frame from `from`. Engines call this for several peers at once, so that the processor fetches them early, and throw
    /// the sum away.
    fn warm(&self, _from: Option<PeerRef>) -> usize {
        0
    }
    /// Calls `each` with every neighbour's score.
    fn scores(&self, _config: &hyperspace_protocol::config::Config, _each: &mut dyn FnMut(PeerRef, f64)) {}
}

impl Subject for Peer<SimMessage> {
    fn mesh(&self, topic: TopicRef) -> &[PeerRef] {
        self.gossip.mesh_peers(topic).unwrap_or_default()
    }
    #[inline]
    fn warm(&self, from: Option<PeerRef>) -> usize {
        self.gossip.warm(from)
    }
    fn scores(&self, config: &hyperspace_protocol::config::Config, each: &mut dyn FnMut(PeerRef, f64)) {
        for (peer, score) in self.gossip.scores(config) {
            each(peer, score);
        }
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
    fn machine(&mut self) -> &mut dyn Machine<Message = SimMessage> {
        match self {
            Self::Honest(machine) => machine,
            Self::Adversary(machine) => machine.as_mut(),
        }
    }

    #[inline]
    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match self {
            Self::Honest(machine) => machine.handle_input(cx, input),
            Self::Adversary(machine) => machine.handle_input(cx, input),
        }
    }

    #[inline]
    fn warm(&self, from: Option<PeerRef>) -> usize {
        match self {
            Self::Honest(machine) => machine.warm(from),
            Self::Adversary(_) => 0,
        }
    }

    #[inline]
    fn poll_timeout(&self) -> u64 {
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
    /// When it came up, if it is.
    pub(crate) up_since: Option<Instant>,
    /// Events sent so far.
    seq: u32,
    /// Protocol random numbers drawn so far.
    draws: u64,
    /// Until when its processor is occupied.
    busy: u64,
}

impl<P> Host<P> {
    pub(crate) fn new(actor: Actor<P>) -> Self {
        Self { actor, links: Vec::new(), up_since: None, seq: 0, draws: 0, busy: 0 }
    }

    /// What of a host's state no measurement shows, for the digest of the end.
    pub(crate) const fn fingerprint(&self) -> u64 {
        self.draws << 32 ^ self.seq as u64
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    /// Events that it has numbered.
    pub(crate) const fn numbered(&self) -> u32 {
        self.seq
    }

    fn next_seq(&mut self) -> u32 {
        let seq = self.seq;
        self.seq = seq.checked_add(1).expect("a peer sends fewer than 2^32 events in a run");
        seq
    }
}

/// Where new events go.
pub(crate) trait Sink {
    fn push(&mut self, event: Event);
}

impl Sink for Vec<Event> {
    fn push(&mut self, event: Event) {
        Self::push(self, event);
    }
}

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: Instant,
    pub(crate) peer: u32,
    pub(crate) what: String,
}

/// Message checks that count how often they were asked, to charge the peer's processor.
struct Metered<'a> {
    messages: &'a MessageTable,
    inspected: Cell<u32>,
}

impl Services<SimMessage> for Metered<'_> {
    fn inspect(&self, message: &SimMessage) -> Inspection<u32> {
        self.inspected.set(self.inspected.get() + 1);
        self.messages.inspect(message)
    }
    fn author(&self, message: &SimMessage) -> Option<PeerId> {
        self.messages.author(message)
    }
}

/// See the module's text.
pub(crate) struct Lane<P> {
    pub(crate) base: u32,
    pub(crate) hosts: Vec<Host<P>>,
    /// When each host's timer is due.
    pub(crate) deadlines: Vec<u64>,
    pub(crate) tally: Tally,
    pub(crate) digests: DigestLog,
    pub(crate) broken: Option<Broken>,
    /// Who has got each measured message, one bit per host: kept apart from what the machines remember themselves.
    arrived: Vec<Option<Box<[u64; LANE as usize / 64]>>>,
    /// Lent to the machines; empty between calls.
    outbox: Vec<Output<SimMessage>>,
}

impl<P: Subject> Lane<P> {
    pub(crate) fn new(base: u32, hosts: Vec<Host<P>>, schedule: &Schedule, digests: DigestLog) -> Self {
        let deadlines = vec![u64::MAX; hosts.len()];
        let tally = Tally::new(schedule.publishes.len());
        Self { base, hosts, deadlines, tally, digests, broken: None, arrived: Vec::new(), outbox: Vec::new() }
    }

    /// Touches what an event at a host will need: first the hosts of several events, then what they point to, so that
    /// the misses overlap instead of following each other.
    #[inline]
    pub(crate) fn warm(&self, upcoming: impl Iterator<Item = (usize, u16)> + Clone) {
        let near = upcoming.clone().map(|(local, _)| {
            let host = &self.hosts[local];
            (host.busy as usize).wrapping_add(host.links.len() + host.draws as usize + host.actor.warm(None))
        });
        std::hint::black_box(near.fold(0, usize::wrapping_add));
        let deep = upcoming.map(|(local, slot)| {
            let host = &self.hosts[local];
            let link = host.links.get(slot as usize).map_or(0, |l| l.generation as usize);
            link + host.actor.warm(Some(PeerRef(slot.into())))
        });
        std::hint::black_box(deep.fold(0, usize::wrapping_add));
    }

    pub(crate) fn local(&self, peer: u32) -> usize {
        (peer - self.base) as usize
    }

    /// Carries out one event at a peer of this lane.
    pub(crate) fn deliver(&mut self, shared: &Shared, event: Event, sink: &mut impl Sink) {
        let local = self.local(event.dst);
        self.tally.events += 1;
        self.digests.event(&event, &shared.messages);
        let at = self.start_at(local, event.at);
        match event.payload {
            Payload::Frame(frame) => {
                let link = self.hosts[local].links.get(event.slot as usize);
                if link.is_none_or(|l| !l.is_current(event.generation)) {
                    self.tally.net(NetCount::Stale);
                    return;
                }
                if let hyperspace_protocol::gossip::Frame::Message(message) = &frame {
                    self.count_arrival(shared, local, message);
                }
                let from = PeerRef(event.slot.into());
                self.input(shared, local, at, Input::Frame { from, frame }, sink);
            }
            Payload::Publish(index) => {
                if self.hosts[local].is_up() {
                    let message = shared.schedule.make(shared, index);
                    self.input(shared, local, at, Input::Publish(message), sink);
                }
            }
            Payload::Dial { slot, generation } => {
                self.on_dial(shared, local, at, (event.src, slot, generation), sink);
            }
            Payload::Accept { slot, generation } => {
                self.on_accept(shared, local, at, &event, (slot, generation), sink);
            }
            Payload::Refuse => {
                let link = self.hosts[local].links.get_mut(event.slot as usize);
                if let Some(link) = link.filter(|l| l.state == LinkState::Dialling) {
                    link.close();
                    self.tally.net(NetCount::Refused);
                }
            }
            Payload::Close => {
                let link = self.hosts[local].links.get(event.slot as usize);
                if link.is_some_and(|l| l.is_current(event.generation)) {
                    self.close(shared, local, at, event.slot, sink);
                }
            }
            Payload::DialOrder(peer) => self.dial(shared, local, at, peer, sink),
            Payload::Taken => unreachable!("an event is delivered once"),
        }
    }

    /// Runs a host's timer, due at `at`.
    pub(crate) fn timeout(&mut self, shared: &Shared, local: usize, at: u64, sink: &mut impl Sink) {
        let peer = self.base + local as u32;
        self.tally.events += 1;
        self.tally.timers += 1;
        self.digests.timer(at, peer, TIMER);
        let now = self.start_at(local, at);
        self.call(shared, local, now, sink, |actor, cx| actor.machine().handle_timeout(cx));
        if self.deadlines[local] <= at {
            self.fail(now, peer, "a machine's timer does not move on after it ran".into());
            self.deadlines[local] = u64::MAX;
        }
    }

    /// Feeds an input to a machine and carries out what it wants.
    pub(crate) fn input(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        input: Input<SimMessage>,
        sink: &mut impl Sink,
    ) {
        self.call(shared, local, now, sink, |actor, cx| actor.handle_input(cx, input));
    }

    /// When a host can begin with something that reaches it at `at`.
    fn start_at(&self, local: usize, at: u64) -> Instant {
        Instant::from_nanos(at.max(self.hosts[local].busy))
    }

    #[inline]
    fn call(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        sink: &mut impl Sink,
        run: impl FnOnce(&mut Actor<P>, &mut Context<'_, SimMessage>),
    ) {
        let peer = self.base + local as u32;
        let host = &mut self.hosts[local];
        let mut rng = Stream::resume(shared.keys.protocol, peer.into(), host.draws);
        let services = Metered { messages: &shared.messages, inspected: Cell::new(0) };
        let mut cx = Context {
            now,
            unix: shared.unix(now),
            config: &shared.config,
            rng: &mut rng,
            services: &services,
            counters: if now < shared.warmup { &mut self.tally.early } else { &mut self.tally.counters },
            out: &mut self.outbox,
        };
        run(&mut host.actor, &mut cx);
        host.draws = rng.drawn();
        let verified = u64::from(services.inspected.get());
        let spent = shared.cost.frame + shared.cost.verify.saturating_mul(verified);
        let done = now + spent;
        if spent > Duration::ZERO {
            host.busy = done.as_nanos();
        }
        self.deadlines[local] = host.actor.poll_timeout();
        if !self.outbox.is_empty() {
            self.carry_out(shared, local, done, sink);
        }
    }

    fn carry_out(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let mut outbox = std::mem::take(&mut self.outbox);
        for output in outbox.drain(..) {
            match output {
                Output::Send { to, frame } => self.send(shared, local, now, to, frame, sink),
                Output::Deliver { message } => self.delivered(shared, local, now, &message),
                Output::Disconnect { peer } => self.hang_up(shared, local, now, peer, sink),
                Output::Connect { id } => {
                    if let Some(to) = shared.find(&id) {
                        self.dial(shared, local, now, to, sink);
                    }
                }
            }
        }
        self.outbox = outbox;
    }

    fn count_arrival(&mut self, shared: &Shared, local: usize, message: &SimMessage) {
        let host = &self.hosts[local];
        let honest = matches!(host.actor, Actor::Honest(_));
        let scheduled = (message.index() as usize) < self.tally.delivered.len();
        if honest && scheduled && shared.schedule.is_measured(shared.messages.get(message.index()).published)
        {
            self.tally.arrivals += 1;
        }
    }

    fn delivered(&mut self, shared: &Shared, local: usize, now: Instant, message: &SimMessage) {
        let host = &self.hosts[local];
        if matches!(host.actor, Actor::Adversary(_)) {
            return;
        }
        let stored = shared.messages.get(message.index());
        // Nobody expects a message from before a peer came up, even if gossip still brings it.
        let expected = host.up_since.is_some_and(|up| up <= stored.published);
        if !expected || !shared.schedule.is_measured(stored.published) {
            return;
        }
        let index = message.index() as usize;
        if index >= self.arrived.len() {
            self.arrived.resize_with(index + 1, || None);
        }
        let arrived = self.arrived[index].get_or_insert_default();
        let (word, bit) = (local / 64, 1 << (local % 64));
        if arrived[word] & bit != 0 {
            self.tally.net(NetCount::Redelivered);
            return;
        }
        arrived[word] |= bit;
        let latency = now.since(stored.published);
        self.tally.deliver(message.index(), now.as_nanos(), latency, message.hops());
    }

    pub(crate) fn fail(&mut self, at: Instant, peer: u32, what: String) {
        self.broken.get_or_insert(Broken { at, peer, what });
    }

    /// What another peer learns about this one when they connect.
    pub(crate) fn info(shared: &Shared, other: u32, outbound: bool) -> PeerInfo {
        PeerInfo {
            id: shared.messages.ids()[other as usize],
            outbound,
            explicit: false,
            ip: shared.facts[other as usize].ip,
        }
    }

    /// An event of this host, numbered.
    pub(crate) fn event_from(
        &mut self,
        local: usize,
        at: Instant,
        dst: u32,
        slot: u16,
        generation: u16,
        payload: Payload,
    ) -> Event {
        let src = self.base + local as u32;
        let seq = self.hosts[local].next_seq();
        Event { at: at.as_nanos(), dst, src, seq, slot, generation, payload }
    }

    /// The event by which the world makes a peer publish or dial.
    pub(crate) const fn world_event(at: Instant, dst: u32, seq: u32, payload: Payload) -> Event {
        Event { at: at.as_nanos(), dst, src: WORLD, seq, slot: 0, generation: 0, payload }
    }
}
