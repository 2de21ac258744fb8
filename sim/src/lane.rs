//! A lane: a block of consecutive peers with everything that only they touch. Engines decide when a lane runs; what an
//! event does is decided here, once for all engines.

use std::cell::Cell;

use hyperspace_protocol::machine::{Context, Input, Output, PeerInfo, PeerRef};
use hyperspace_protocol::rng::Stream;
use hyperspace_protocol::time::{Duration, Instant};

use crate::digest::{DigestLog, TIMER};
use crate::event::{Event, Payload, WORLD};
use crate::host::{Actor, Host, Subject};
use crate::message::SimMessage;
use crate::services::Lent;
use crate::shared::Shared;
use crate::tally::{NetCount, Tally};
use crate::trace::TraceLog;
use crate::workload::Schedule;

/// Peers per lane: also the block of a digest, so not a matter of tuning alone.
pub(crate) const LANE: u32 = 1024;

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

/// See the module's text.
pub(crate) struct Lane<P> {
    pub(crate) base: u32,
    pub(crate) hosts: Vec<Host<P>>,
    /// When each host's timer is due.
    pub(crate) deadlines: Vec<u64>,
    pub(crate) tally: Tally,
    pub(crate) digests: DigestLog,
    /// What happens at sampled peers: see [`crate::tracing`].
    pub(crate) trace: TraceLog,
    pub(crate) broken: Option<Broken>,
    /// Who has got each measured message, one bit per host: kept apart from what the machines remember themselves.
    arrived: Vec<Option<Box<[u64; LANE as usize / 64]>>>,
    /// Lent to the machines; empty between calls.
    pub(crate) outbox: Vec<Output<SimMessage>>,
}

impl<P: Subject> Lane<P> {
    pub(crate) fn new(
        base: u32,
        hosts: Vec<Host<P>>,
        schedule: &Schedule,
        digests: DigestLog,
        trace: TraceLog,
    ) -> Self {
        let deadlines = vec![u64::MAX; hosts.len()];
        let tally = Tally::new(schedule.publishes.len());
        let (arrived, outbox) = (Vec::new(), Vec::new());
        Self { base, hosts, deadlines, tally, digests, trace, broken: None, arrived, outbox }
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
        let Some(at) = self.come_in(shared, local, &event) else { return };
        match event.payload {
            Payload::Frame(frame) => {
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
            Payload::Refuse { absent } => {
                self.on_refuse(shared, local, at, (event.slot, event.generation), absent, sink);
            }
            Payload::Close => {
                let link = self.hosts[local].links.get(event.slot as usize);
                if link.is_some_and(|l| l.is_current(event.generation)) {
                    self.close(shared, local, at, event.slot, sink);
                }
            }
            Payload::DialOrder(peer) => self.dial_ordered(shared, local, at, peer, sink),
            Payload::Packet(packet) => self.on_packet(shared, local, at, event.src, *packet, sink),
            Payload::Query(index) => self.ask(shared, local, at, index, sink),
            Payload::Call(index) => self.call_method(shared, local, at, index, sink),
            Payload::Wake => self.wake(shared, local, at, sink),
            Payload::Leave => self.leave(shared, local, at, sink),
            Payload::Taken => unreachable!("an event is delivered once"),
        }
    }

    /// When a peer can begin with an event: once it has come in over the peer's own line, and the peer has nothing else to
    /// do. `None` for a frame that is dropped.
    #[inline]
    fn come_in(&mut self, shared: &Shared, local: usize, event: &Event) -> Option<Instant> {
        // Sessions begin and end when they do, whatever the peer is busy with.
        if let Payload::Wake | Payload::Leave = event.payload {
            return Some(Instant::from_nanos(event.at));
        }
        if let Payload::Frame(_) = &event.payload {
            let link = self.hosts[local].links.get(event.slot as usize);
            if link.is_none_or(|l| !l.is_current(event.generation)) {
                self.tally.net(NetCount::Stale);
                return None;
            }
        }
        let at = if shared.has_lines && matches!(event.payload, Payload::Frame(_) | Payload::Packet(_)) {
            let size = crate::wire::payload_length(shared, &event.payload);
            self.line_in(shared, local, event.at, size)?
        } else {
            event.at
        };
        Some(self.start_at(local, at))
    }

    /// Runs a host's timer, due at `at`.
    pub(crate) fn timeout(&mut self, shared: &Shared, local: usize, at: u64, sink: &mut impl Sink) {
        let peer = self.base + local as u32;
        self.tally.events += 1;
        self.tally.timers += 1;
        self.digests.timer(at, peer, TIMER);
        let now = self.start_at(local, at);
        if self.trace.records(peer) {
            self.timeout_traced(shared, local, now, sink);
        } else {
            self.call(shared, local, now, sink, |actor, cx| actor.machine().handle_timeout(cx));
        }
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
        if self.trace.records(self.base + local as u32) {
            return self.input_traced(shared, local, now, input, sink);
        }
        self.call(shared, local, now, sink, |actor, cx| actor.handle_input(cx, input));
    }

    /// When a host can begin with something that reaches it at `at`.
    pub(crate) fn start_at(&self, local: usize, at: u64) -> Instant {
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
        let done = self.run(shared, local, now, run);
        if !self.outbox.is_empty() {
            self.carry_out(shared, local, done, sink);
        }
    }

    /// Lets a machine run, and says when its peer is done with that. What it wants is then in the outbox.
    #[inline]
    pub(crate) fn run(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        run: impl FnOnce(&mut Actor<P>, &mut Context<'_, SimMessage>),
    ) -> Instant {
        let peer = self.base + local as u32;
        let host = &mut self.hosts[local];
        let mut rng = Stream::resume(shared.keys.protocol, peer.into(), host.draws);
        let services = Lent { shared, inspected: Cell::new(0), made: Cell::new(host.made) };
        let mut cx = Context {
            own: peer,
            now,
            unix: shared.unix_of(peer, now),
            config: &shared.config,
            rng: &mut rng,
            services: &services,
            counters: if now < shared.warmup { &mut self.tally.early } else { &mut self.tally.counters },
            records: &mut host.records,
            out: &mut self.outbox,
        };
        run(&mut host.actor, &mut cx);
        host.draws = rng.drawn();
        host.made = services.made.get();
        let verified = u64::from(services.inspected.get());
        let spent = shared.cost.frame + shared.cost.verify.saturating_mul(verified);
        let done = now + spent;
        if spent > Duration::ZERO {
            host.busy = done.as_nanos();
        }
        self.deadlines[local] = host.actor.poll_timeout();
        done
    }

    /// Carries out what a machine wants.
    pub(crate) fn carry_out(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let mut replies = Vec::new();
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
                Output::Request { to, id, request } => {
                    self.request(shared, local, now, to, (id, *request), sink);
                }
                Output::Respond { to, id, response } => {
                    self.respond(shared, local, now, to, (id, *response), sink);
                }
                Output::Event(event) => self.told(shared, local, now, *event),
                Output::Agent(output) => {
                    replies.extend(self.agent_says(shared, local, now, *output));
                }
            }
        }
        self.outbox = outbox;
        // Only now that the outbox is free again.
        for reply in replies {
            self.input(shared, local, now, Input::Agent(Box::new(reply)), sink);
        }
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
        let index = message.index() as usize;
        if !host.is_honest() || index >= shared.schedule.publishes.len() {
            return;
        }
        let stored = shared.messages.get(message.index());
        // Nobody expects a message from before a peer came up, even if gossip still brings it.
        let expected = host.up_since.is_some_and(|up| up <= stored.published)
            && shared.stays_after(self.base + local as u32, stored.published);
        if !expected || !shared.schedule.is_measured(stored.published) {
            return;
        }
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

    /// What a peer learns about another one when they connect.
    pub(crate) fn connected(shared: &Shared, peer: PeerRef, other: u32, outbound: bool) -> Input<SimMessage> {
        let facts = &shared.facts[other as usize];
        let id = shared.messages.ids()[other as usize];
        let info = PeerInfo { id, outbound, explicit: false, ip: facts.ip };
        let server = (shared.config.dht.is_some() && facts.reachable).then_some(other);
        Input::Connected { peer, info, server }
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
