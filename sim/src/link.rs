//! Links: what they are, and how what is sent over them fares: latency, jitter, loss, partitions, and the bandwidth of each
//! peer's own line.

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Message, PeerRef};
use hyperspace_protocol::rng::{philox, unit};
use hyperspace_protocol::time::{Duration, Instant};

use crate::event::{Event, Payload};
use crate::host::Subject;
use crate::lane::{Lane, Sink};
use crate::message::SimMessage;
use crate::scenario::LinkKind;
use crate::shared::Shared;
use crate::tally::{NetCount, kind_of};

/// What an end of a link is for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// For nothing: the slot can be used again.
    Closed,
    /// Asked for by this end.
    Dialling,
    /// For frames.
    Open,
}

/// One end of a link, kept by the peer at that end.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) state: LinkState,
    /// Whether this end dialled.
    pub(crate) outbound: bool,
    /// The peer at the other end.
    pub(crate) peer: u32,
    /// How often this slot was used before.
    pub(crate) generation: u16,
    /// The slot and generation at the other end.
    pub(crate) back: (u16, u16),
    /// Frames sent since the link was cut by a partition.
    held: u16,
    /// Base latency in nanoseconds.
    latency: u32,
    /// The relay it goes over, or [`NO_RELAY`].
    relay: u32,
    /// On stream links nothing overtakes: when the last frame sent arrives.
    last_arrival: u64,
}

/// Stands for no relay.
const NO_RELAY: u32 = u32::MAX;

/// How one peer reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// One-way base latency.
    pub(crate) latency: Duration,
    /// Over which relay, if not directly.
    pub(crate) relay: Option<u32>,
}

impl Link {
    pub(crate) fn is_current(&self, generation: u16) -> bool {
        self.state == LinkState::Open && self.generation == generation
    }

    /// Makes the slot free; frames under way to it become stale.
    pub(crate) fn close(&mut self) {
        self.state = LinkState::Closed;
        self.generation = self.generation.wrapping_add(1);
    }
}

/// From whom to whom a packet goes, and what else its fate depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) src: u32,
    pub(crate) dst: u32,
    /// Base latency in nanoseconds.
    pub(crate) latency: u64,
    /// The packet's number.
    pub(crate) seq: u32,
}

/// How a packet fares.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Arrives(u64),
    Lost,
    /// On a stream link too many losses in a row: the connection breaks at this time.
    Breaks(u64),
}

impl<P: Subject> Lane<P> {
    /// A slot for a new link, closed ones first.
    pub(crate) fn allocate(&mut self, local: usize, peer: u32, path: Path, outbound: bool) -> Option<u16> {
        let links = &mut self.hosts[local].links;
        let latency = u32::try_from(path.latency.as_nanos()).expect("latencies are checked to fit");
        let state = if outbound { LinkState::Dialling } else { LinkState::Open };
        let relay = path.relay.unwrap_or(NO_RELAY);
        let (generation, back) = (0, (0, 0));
        let mut link =
            Link { state, outbound, peer, generation, back, held: 0, latency, relay, last_arrival: 0 };
        let slot = match links.iter().position(|l| l.state == LinkState::Closed) {
            Some(slot) => {
                link.generation = links[slot].generation;
                links[slot] = link;
                slot
            }
            None => {
                if links.len() == links.capacity() {
                    // Doubling would waste memory among many peers.
                    links.reserve_exact((links.len() / 4).max(4));
                }
                links.push(link);
                links.len() - 1
            }
        };
        // Slots have 16 bits: a peer with more links than that refuses further ones.
        u16::try_from(slot).ok().or_else(|| {
            self.hosts[local].links.pop();
            None
        })
    }

    /// Sends a protocol frame over an open link.
    #[inline]
    pub(crate) fn send(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        to: PeerRef,
        frame: Frame<SimMessage>,
        sink: &mut impl Sink,
    ) {
        if self.hosts[local].links.get(to.0 as usize).is_none_or(|l| l.state != LinkState::Open) {
            // Closed by an earlier output of the same call.
            self.tally.net(NetCount::Stale);
            return;
        }
        if now >= shared.warmup {
            let kind = kind_of(&frame);
            self.tally.frames[kind] += 1;
            self.tally.bytes[kind] += crate::wire::length(shared, &frame) as u64;
            if let (Frame::Message(message), Some(cards)) = (&frame, &shared.schedule.card_topics) {
                self.tally.card_messages += u64::from(cards.holds(message.topic()));
            }
        }
        let frame =
            if let Frame::Message(message) = frame { Frame::Message(message.one_hop_on()) } else { frame };
        let frame = if shared.wire {
            match crate::wire::round_trip(shared, &frame) {
                Ok(same) => same,
                Err(what) => {
                    let peer = self.base + local as u32;
                    self.fail(now, peer, format!("{frame:?} does not survive encoding: {what}"));
                    frame
                }
            }
        } else {
            frame
        };
        let slot = to.0 as u16;
        if self.trace.records(self.base + local as u32) {
            return self.send_traced(shared, local, now, slot, frame, sink);
        }
        self.transmit(shared, local, now, slot, Payload::Frame(frame), sink);
    }

    /// Puts a payload on the link in `slot`. Returns false if so much waits there already that it is dropped.
    #[inline]
    pub(crate) fn transmit(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        slot: u16,
        payload: Payload,
        sink: &mut impl Sink,
    ) -> bool {
        let link = &self.hosts[local].links[slot as usize];
        let (dst, (back_slot, back_generation)) = (link.peer, link.back);
        let copy = self.copy_of(shared, local, &payload);
        let event = self.event_from(local, now, dst, back_slot, back_generation, payload);
        let fate = self.fate(shared, local, now, slot, &event);
        match fate {
            Some(Fate::Arrives(at)) => sink.push(Event { at, ..event }),
            Some(Fate::Lost) | None => self.tally.net(NetCount::Lost),
            Some(Fate::Breaks(at)) => {
                self.tally.net(NetCount::Lost);
                self.break_link(shared, local, now, Instant::from_nanos(at), slot, sink);
            }
        }
        if let Some(payload) = copy {
            let event = self.event_from(local, now, dst, back_slot, back_generation, payload);
            match self.fate(shared, local, now, slot, &event) {
                Some(Fate::Arrives(at)) => {
                    self.tally.net(NetCount::Duplicated);
                    sink.push(Event { at, ..event });
                }
                Some(Fate::Lost | Fate::Breaks(_)) | None => self.tally.net(NetCount::Lost),
            }
        }
        fate.is_some()
    }

    /// A second copy of a frame, for the share of datagrams that the network duplicates.
    #[inline]
    fn copy_of(&self, shared: &Shared, local: usize, payload: &Payload) -> Option<Payload> {
        if shared.duplicate == 0.0 || shared.link == LinkKind::Stream {
            return None;
        }
        let Payload::Frame(frame) = payload else { return None };
        let place = [u64::from(self.base) + local as u64, u64::from(self.hosts[local].numbered()) | 1 << 63];
        (unit(philox(place, shared.keys.link)[0]) < shared.duplicate).then(|| Payload::Frame(frame.clone()))
    }

    /// Both ends learn at `at` that their connection is gone.
    fn break_link(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        at: Instant,
        slot: u16,
        sink: &mut impl Sink,
    ) {
        let src = self.base + local as u32;
        let link = &self.hosts[local].links[slot as usize];
        let (generation, latency) = (link.generation, Duration::from_nanos(link.latency.into()));
        let (dst, (back_slot, back_generation)) = (link.peer, link.back);
        let mut own = self.event_from(local, at, src, slot, generation, Payload::Close);
        // The world tells this end: an own event may not come sooner than one from elsewhere could.
        own.at = own.at.max((now + shared.lookahead).as_nanos());
        sink.push(own);
        let far = self.event_from(local, at + latency, dst, back_slot, back_generation, Payload::Close);
        sink.push(far);
    }

    /// How a packet on the link in `slot` fares. `None` if it does not even leave.
    #[inline]
    fn fate(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        slot: u16,
        event: &Event,
    ) -> Option<Fate> {
        let src = event.src;
        let link = &mut self.hosts[local].links[slot as usize];
        let stream = shared.link == LinkKind::Stream;
        let mut leaves = now;
        match shared.partitions.cut_until(now, src, link.peer) {
            None => link.held = 0,
            Some(_) if !stream => return Some(Fate::Lost),
            Some(_) if link.held >= shared.queue_max => {
                self.tally.net(NetCount::QueueOverflow);
                return None;
            }
            Some(_) => {
                link.held += 1;
                while let Some(until) = shared.partitions.cut_until(leaves, src, link.peer) {
                    leaves = until;
                }
            }
        }
        let (relay, way) =
            (link.relay, Way { src, dst: link.peer, latency: u64::from(link.latency), seq: event.seq });
        if relay != NO_RELAY && !shared.is_up(relay, now) {
            return Some(Fate::Breaks((now + shared.stream_timeout).as_nanos()));
        }
        if shared.has_lines {
            let size = crate::wire::payload_length(shared, &event.payload);
            leaves = self.line_out(shared, local, leaves, size)?;
        }
        let fate = self.fate_of(shared, way, leaves);
        let Fate::Arrives(at) = fate else { return Some(fate) };
        if !stream {
            return Some(fate);
        }
        let link = &mut self.hosts[local].links[slot as usize];
        link.last_arrival = link.last_arrival.max(at);
        Some(Fate::Arrives(link.last_arrival))
    }

    /// How a packet that leaves at `leaves` fares on its way: losses, and how long it takes.
    #[inline]
    pub(crate) fn fate_of(&mut self, shared: &Shared, way: Way, mut leaves: Instant) -> Fate {
        let stream = shared.link == LinkKind::Stream;
        let started = leaves;
        let ends = u64::from(way.src) << 32 | u64::from(way.dst);
        let seq = u64::from(way.seq);
        let loss = shared.loss_between(way.src, way.dst);
        if loss > 0.0 {
            let mut attempt = 0;
            let mut backoff = shared.retransmit;
            // 53 random bits against the loss probability, a fresh draw per attempt.
            while unit(philox([ends, seq | (1 + attempt) << 32], shared.keys.link)[0]) < loss {
                if !stream {
                    return Fate::Lost;
                }
                self.tally.net(NetCount::Retransmitted);
                leaves += backoff;
                if leaves.since(started) > shared.stream_timeout {
                    return Fate::Breaks((started + shared.stream_timeout).as_nanos());
                }
                backoff = backoff + backoff;
                attempt += 1;
            }
        }
        let jitter = if shared.jitter > 0.0 {
            let draw = unit(philox([ends, seq], shared.keys.link)[1]);
            (way.latency as f64 * (shared.jitter * draw)) as u64
        } else {
            0
        };
        let mut at = leaves.as_nanos() + way.latency + jitter;
        if !stream
            && shared.reorder > 0.0
            && unit(philox([ends, seq | 1 << 62], shared.keys.link)[1]) < shared.reorder
        {
            // Held back so long that those sent soon after it overtake it.
            self.tally.net(NetCount::Reordered);
            at += way.latency;
        }
        #[cfg(feature = "planted-nondeterminism")]
        if shared.planted {
            at += crate::plant::delay(way.src, started);
        }
        Fate::Arrives(at)
    }

    /// When something of `size` bytes that is handed over at `at` has left on a peer's own line; `None` if so much waits
    /// there already that it is dropped.
    pub(crate) fn line_out(
        &mut self,
        shared: &Shared,
        local: usize,
        at: Instant,
        size: usize,
    ) -> Option<Instant> {
        let rate = shared.lines(self.base + local as u32).up;
        if rate == 0 {
            return Some(at);
        }
        let line = &mut self.hosts[local].line;
        let free = Instant::from_nanos(*line).max(at);
        if free.since(at) > transmission(shared.line_queue, rate) {
            self.tally.net(NetCount::QueueOverflow);
            return None;
        }
        let sent = free + transmission(size, rate);
        *line = sent.as_nanos();
        Some(sent)
    }

    /// When something of `size` bytes that reaches a peer at `at` has come in over its own line; `None` if it is dropped.
    pub(crate) fn line_in(&mut self, shared: &Shared, local: usize, at: u64, size: usize) -> Option<u64> {
        let rate = shared.lines(self.base + local as u32).down;
        if rate == 0 {
            return Some(at);
        }
        let busy = &mut self.hosts[local].busy;
        let free = (*busy).max(at);
        if Duration::from_nanos(free - at) > transmission(shared.line_queue, rate) {
            self.tally.net(NetCount::QueueOverflow);
            return None;
        }
        *busy = free + transmission(size, rate).as_nanos();
        Some(*busy)
    }
}

/// How long a line of `rate` bits per second takes for `bytes`.
fn transmission(bytes: usize, rate: u64) -> Duration {
    let nanos = bytes as u128 * 8_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
