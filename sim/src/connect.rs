//! Connecting and closing: calls, how they are taken, and who is called when a connection is gone.

use hyperspace_protocol::machine::{Input, PeerRef};
use hyperspace_protocol::rng::{philox, scale};
use hyperspace_protocol::time::{Duration, Instant};

use crate::event::{Event, Payload};
use crate::host::Subject;
use crate::lane::{Lane, Sink};
use crate::link::{LinkState, Path};
use crate::shared::Shared;
use crate::tally::NetCount;

impl<P: Subject> Lane<P> {
    /// Dials as it was ordered to, or another peer where that makes no sense.
    pub(crate) fn dial_ordered(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        peer: u32,
        sink: &mut impl Sink,
    ) {
        let is_linked = self.base + local as u32 == peer || self.links_to(local, peer);
        if is_linked && self.hosts[local].is_up() {
            return self.dial_another(shared, local, now, sink);
        }
        self.dial(shared, local, now, peer, sink);
    }

    fn links_to(&self, local: usize, peer: u32) -> bool {
        self.hosts[local].links.iter().any(|l| l.state != LinkState::Closed && l.peer == peer)
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
        if own == peer || self.links_to(local, peer) || !self.hosts[local].is_up() {
            return;
        }
        let Some(path) = shared.path(own, peer, now) else {
            self.tally.net(NetCount::Unreachable);
            return self.dial_another(shared, local, now, sink);
        };
        let Some(slot) = self.allocate(local, peer, path, true) else { return };
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
        let path = shared.path(from, own, now).unwrap_or(Path { latency, relay: None });
        let up = self.hosts[local].is_up();
        let accepted = if taken || !up { None } else { self.allocate(local, from, path, false) };
        let Some(own_slot) = accepted else {
            // Where nobody is, nobody refuses: the other side gives up after a while.
            let wait = if up { Duration::ZERO } else { shared.stream_timeout };
            let refuse = Payload::Refuse { absent: !up };
            let refusal = self.event_from(local, now + path.latency + wait, from, slot, generation, refuse);
            sink.push(refusal);
            return;
        };
        let link = &mut self.hosts[local].links[own_slot as usize];
        link.back = (slot, generation);
        let own_generation = link.generation;
        let accept = Payload::Accept { slot: own_slot, generation: own_generation };
        self.transmit(shared, local, now, own_slot, accept, sink);
        let connected = Self::connected(shared, PeerRef(own_slot.into()), from, false);
        self.input(shared, local, now, connected, sink);
    }

    pub(crate) fn on_accept(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        event: &Event,
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
        let connected = Self::connected(shared, PeerRef(event.slot.into()), event.src, true);
        self.input(shared, local, now, connected, sink);
    }

    /// A call was not taken. Where nobody was, the caller tries somebody else.
    pub(crate) fn on_refuse(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        (slot, generation): (u16, u16),
        absent: bool,
        sink: &mut impl Sink,
    ) {
        let link = self.hosts[local].links.get_mut(slot as usize);
        let Some(link) = link.filter(|l| l.state == LinkState::Dialling && l.generation == generation) else {
            return;
        };
        link.close();
        self.tally.net(NetCount::Refused);
        if absent {
            self.dial_another(shared, local, now, sink);
        }
    }

    /// Orders a call to a random peer of the topology after a while, if this one has fewer links of its own making than
    /// the topology gave it.
    fn dial_another(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        let members = &shared.out_edges.members;
        let links = self.hosts[local].links.iter().filter(|l| l.state != LinkState::Closed);
        let (all, made) = links.fold((0, 0), |(all, made), l| (all + 1, made + usize::from(l.outbound)));
        let enough = made >= shared.out_edges.of(own).len() || all + 1 >= members.len();
        if enough || shared.redial.is_zero() {
            return;
        }
        let member = |word| members[scale(word, members.len() as u64) as usize];
        self.order_dial(shared, local, now, own, member, sink);
    }

    /// Orders this host to dial somebody at a random time after `from`. `subject` keys the draws; whom to dial may be one.
    fn order_dial(
        &mut self,
        shared: &Shared,
        local: usize,
        from: Instant,
        subject: u32,
        whom: impl FnOnce(u64) -> u32,
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        let order = self.event_from(local, from, own, 0, 0, Payload::DialOrder(subject));
        let ends = u64::from(own) << 32 | u64::from(subject);
        let [wait, pick] = philox([ends, u64::from(order.seq)], shared.keys.redial);
        let wait = scale(wait, shared.redial.as_nanos()).max(shared.lookahead.as_nanos());
        sink.push(Event { at: order.at + wait, payload: Payload::DialOrder(whom(pick)), ..order });
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
        self.order_dial(shared, local, from, peer, |_| peer, sink);
    }

    /// Closes this lane's ends of all links that a partition has cut for too long.
    pub(crate) fn close_cut(&mut self, shared: &Shared, now: Instant, sink: &mut impl Sink) {
        for local in 0..self.hosts.len() {
            let own = self.base + local as u32;
            for slot in 0..self.hosts[local].links.len() {
                let link = &self.hosts[local].links[slot];
                let cut = |a, b| shared.partitions.cut_until(now, a, b).is_some();
                // A stream needs acknowledgements: cut in one direction, it dies in both.
                if link.state == LinkState::Open && (cut(own, link.peer) || cut(link.peer, own)) {
                    self.close(shared, local, now, slot as u16, sink);
                }
            }
        }
    }
}
