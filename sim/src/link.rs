//! Links: connecting, sending with latency, jitter, loss and partitions, and closing.

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Input, PeerRef};
use hyperspace_protocol::rng::philox;
use hyperspace_protocol::time::{Duration, Instant};

use crate::event::Payload;
use crate::lane::{Lane, Sink, Subject};
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
    /// On stream links nothing overtakes: when the last frame sent arrives.
    last_arrival: u64,
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

/// How a packet fares.
enum Fate {
    Arrives(u64),
    Lost,
    /// On a stream link too many losses in a row: the connection breaks at this time.
    Breaks(u64),
}

impl<P: Subject> Lane<P> {
    /// A slot for a new link, closed ones first.
    pub(crate) fn allocate(
        &mut self,
        local: usize,
        peer: u32,
        latency: Duration,
        outbound: bool,
    ) -> Option<u16> {
        let links = &mut self.hosts[local].links;
        let latency = u32::try_from(latency.as_nanos()).expect("latencies are checked to be below 4.29 s");
        let state = if outbound { LinkState::Dialling } else { LinkState::Open };
        let mut link =
            Link { state, outbound, peer, generation: 0, back: (0, 0), held: 0, latency, last_arrival: 0 };
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
        self.transmit(shared, local, now, slot, Payload::Frame(frame), sink);
    }

    /// Puts a payload on the link in `slot`.
    #[inline]
    fn transmit(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        slot: u16,
        payload: Payload,
        sink: &mut impl Sink,
    ) {
        let src = self.base + local as u32;
        let link = &self.hosts[local].links[slot as usize];
        let (dst, (back_slot, back_generation)) = (link.peer, link.back);
        let event = self.event_from(local, now, dst, back_slot, back_generation, payload);
        match self.fate(shared, src, local, now, slot, event.seq) {
            Fate::Arrives(at) => sink.push(crate::event::Event { at, ..event }),
            Fate::Lost => self.tally.net(NetCount::Lost),
            Fate::Breaks(at) => {
                self.tally.net(NetCount::Lost);
                let at = Instant::from_nanos(at);
                let generation = self.hosts[local].links[slot as usize].generation;
                let mut own = self.event_from(local, at, src, slot, generation, Payload::Close);
                // The world tells this end: an own event may not come sooner than one from elsewhere could.
                own.at = own.at.max((now + shared.lookahead).as_nanos());
                sink.push(own);
                let latency = Duration::from_nanos(self.hosts[local].links[slot as usize].latency.into());
                let far =
                    self.event_from(local, at + latency, dst, back_slot, back_generation, Payload::Close);
                sink.push(far);
            }
        }
    }

    #[inline]
    fn fate(&mut self, shared: &Shared, src: u32, local: usize, now: Instant, slot: u16, seq: u32) -> Fate {
        let link = &mut self.hosts[local].links[slot as usize];
        let stream = shared.link == LinkKind::Stream;
        let mut leaves = now;
        match shared.partitions.cut_until(now, src, link.peer) {
            None => link.held = 0,
            Some(_) if !stream => return Fate::Lost,
            Some(_) if link.held >= shared.queue_max => {
                self.tally.net(NetCount::QueueOverflow);
                return Fate::Lost;
            }
            Some(_) => {
                link.held += 1;
                while let Some(until) = shared.partitions.cut_until(leaves, src, link.peer) {
                    leaves = until;
                }
            }
        }
        let ends = u64::from(src) << 32 | u64::from(link.peer);
        if shared.loss > 0.0 {
            let mut attempt = 0;
            let mut backoff = shared.retransmit;
            // 53 random bits against the loss probability, a fresh draw per attempt.
            while unit(philox([ends, u64::from(seq) | (1 + attempt) << 32], shared.keys.link)[0])
                < shared.loss
            {
                if !stream {
                    return Fate::Lost;
                }
                self.tally.network[NetCount::Retransmitted as usize] += 1;
                leaves += backoff;
                if leaves.since(now) > shared.stream_timeout {
                    return Fate::Breaks((now + shared.stream_timeout).as_nanos());
                }
                backoff = backoff + backoff;
                attempt += 1;
            }
        }
        let base = u64::from(link.latency);
        let jitter = if shared.jitter > 0.0 {
            let draw = unit(philox([ends, u64::from(seq)], shared.keys.link)[1]);
            (base as f64 * (shared.jitter * draw)) as u64
        } else {
            0
        };
        let mut at = leaves.as_nanos() + base + jitter;
        #[cfg(feature = "planted-nondeterminism")]
        if shared.planted {
            at += crate::plant::delay(src, now);
        }
        if stream {
            at = at.max(link.last_arrival);
            link.last_arrival = at;
        }
        Fate::Arrives(at)
    }

    /// Asks another peer for a connection, unless there is one or one is being made.
    pub(crate) fn dial(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        peer: u32,
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        let known = self.hosts[local].links.iter().any(|l| l.state != LinkState::Closed && l.peer == peer);
        if own == peer || known || !self.hosts[local].is_up() {
            return;
        }
        let latency = shared.latency_between(own, peer);
        let Some(slot) = self.allocate(local, peer, latency, true) else { return };
        self.tally.net(NetCount::Dialled);
        let generation = self.hosts[local].links[slot as usize].generation;
        self.transmit(shared, local, now, slot, Payload::Dial { slot, generation }, sink);
    }

    pub(crate) fn on_dial(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        (from, slot, generation): (u32, u16, u16),
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        // Two peers that dial each other at once keep the call of the lower identity.
        let taken = self.hosts[local].links.iter().any(|l| {
            l.peer == from
                && match l.state {
                    LinkState::Open => true,
                    LinkState::Dialling => {
                        shared.messages.ids()[own as usize] < shared.messages.ids()[from as usize]
                    }
                    LinkState::Closed => false,
                }
        });
        let latency = shared.latency_between(own, from);
        let accepted = if taken || !self.hosts[local].is_up() {
            None
        } else {
            self.allocate(local, from, latency, false)
        };
        let Some(own_slot) = accepted else {
            let at = now + latency;
            let refusal = self.event_from(local, at, from, slot, generation, Payload::Refuse);
            sink.push(refusal);
            return;
        };
        let link = &mut self.hosts[local].links[own_slot as usize];
        link.back = (slot, generation);
        let own_generation = link.generation;
        let accept = Payload::Accept { slot: own_slot, generation: own_generation };
        self.transmit(shared, local, now, own_slot, accept, sink);
        let info = Self::info(shared, from, false);
        self.input(shared, local, now, Input::Connected { peer: PeerRef(own_slot.into()), info }, sink);
    }

    pub(crate) fn on_accept(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        event: &crate::event::Event,
        back: (u16, u16),
        sink: &mut impl Sink,
    ) {
        let link = self.hosts[local].links.get_mut(event.slot as usize);
        let Some(link) = link.filter(|l| l.state == LinkState::Dialling && l.generation == event.generation)
        else {
            // Given up meanwhile: the other end must not keep half a connection.
            let at = now + shared.latency_between(self.base + local as u32, event.src);
            let close = self.event_from(local, at, event.src, back.0, back.1, Payload::Close);
            sink.push(close);
            return;
        };
        link.state = LinkState::Open;
        link.back = back;
        let info = Self::info(shared, event.src, true);
        self.input(shared, local, now, Input::Connected { peer: PeerRef(event.slot.into()), info }, sink);
    }

    /// This host closes a connection.
    pub(crate) fn hang_up(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        peer: PeerRef,
        sink: &mut impl Sink,
    ) {
        let slot = peer.0 as u16;
        if self.hosts[local].links.get(slot as usize).is_some_and(|l| l.state == LinkState::Open) {
            self.transmit(shared, local, now, slot, Payload::Close, sink);
            self.close(shared, local, now, slot, sink);
        }
    }

    /// A connection is gone at this end. The side that dialled tries again after a random time.
    pub(crate) fn close(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        slot: u16,
        sink: &mut impl Sink,
    ) {
        let link = &mut self.hosts[local].links[slot as usize];
        let (peer, outbound) = (link.peer, link.outbound);
        link.close();
        self.tally.net(NetCount::Disconnected);
        self.input(shared, local, now, Input::Disconnected { peer: PeerRef(slot.into()) }, sink);
        if !outbound || shared.redial.is_zero() {
            return;
        }
        let own = self.base + local as u32;
        let mut from = now;
        while let Some(until) = shared.partitions.cut_until(from, own, peer) {
            from = until;
        }
        let again = self.event_from(local, from, own, 0, 0, Payload::DialOrder(peer));
        let [word, _] =
            philox([u64::from(own) << 32 | u64::from(peer), u64::from(again.seq)], shared.keys.redial);
        let wait = ((u128::from(word) * u128::from(shared.redial.as_nanos())) >> 64) as u64;
        let wait = wait.max(shared.lookahead.as_nanos());
        sink.push(crate::event::Event { at: again.at + wait, ..again });
    }

    /// Closes this lane's ends of all links that a partition has cut for too long.
    pub(crate) fn close_cut(&mut self, shared: &Shared, now: Instant, sink: &mut impl Sink) {
        for local in 0..self.hosts.len() {
            let own = self.base + local as u32;
            for slot in 0..self.hosts[local].links.len() {
                let link = &self.hosts[local].links[slot];
                if link.state == LinkState::Open && shared.partitions.cut_until(now, own, link.peer).is_some()
                {
                    self.close(shared, local, now, slot as u16, sink);
                }
            }
        }
    }
}

/// A float in [0, 1) from random bits.
#[inline]
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}
