//! What happens to a whole peer: it comes up, leaves or crashes, is asked something by its application and tells it what
//! came out.

use hyperspace_protocol::machine::Input;
use hyperspace_protocol::request::{Command, Event as Told};
use hyperspace_protocol::rng::Stream;
use hyperspace_protocol::time::Instant;

use crate::event::Payload;
use crate::host::{Actor, Subject};
use crate::lane::{Lane, Sink};
use crate::link::LinkState;
use crate::records::HostRecords;
use crate::shared::Shared;
use crate::tally::{NetCount, QueryEnd};

impl<P: Subject> Lane<P> {
    /// A peer's process starts: its machine starts and subscribes. Its links and [`Lane::announce`] come after.
    pub(crate) fn come_up(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        self.hosts[local].up_since = Some(now);
        self.input(shared, local, now, Input::Start, sink);
        if let Actor::Honest(_) = self.hosts[local].actor {
            for topic in shared.schedule.topics() {
                self.input(shared, local, now, Input::Subscribe(topic), sink);
            }
        }
        self.start_agent(shared, local, now, sink);
        self.session_end(shared, own, local, now, sink);
    }

    /// Sees to it that the session that begins now ends.
    fn session_end(&mut self, shared: &Shared, own: u32, local: usize, now: Instant, sink: &mut impl Sink) {
        let (session, _) = shared.sessions_at(own, now);
        if let Some(session) = session.filter(|session| session.down != Instant::FAR_FUTURE) {
            let leave = self.event_from(local, session.down, own, 0, 0, Payload::Leave);
            sink.push(leave);
        }
    }

    /// Sees to it that a peer that is down now comes up when its next session begins.
    pub(crate) fn await_session(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        if let (_, Some(next)) = shared.sessions_at(own, now) {
            let wake = self.event_from(local, next.up, own, 0, 0, Payload::Wake);
            sink.push(wake);
        }
    }

    /// A session begins: the peer finds its way back into the network.
    pub(crate) fn wake(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        self.tally.net(NetCount::Joined);
        self.come_up(shared, local, now, sink);
        for other in shared.out_edges.of(own) {
            self.dial(shared, local, now, *other, sink);
        }
        self.announce(shared, local, now, sink);
        self.bootstrap(shared, local, now, sink);
    }

    /// Tells a peer's DHT of some servers that are up, as a list of bootstrap peers would.
    pub(crate) fn bootstrap(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        if shared.config.dht.is_none() || !self.hosts[local].is_honest() {
            return;
        }
        let mut draws = Stream::new(shared.keys.bootstrap ^ now.as_nanos(), own.into());
        for server in shared.some_servers(&mut draws, own, now) {
            self.input(shared, local, now, Input::Discovered(server), sink);
        }
    }

    /// A session ends. A peer that leaves closes its connections; of one that crashes the others learn by themselves.
    pub(crate) fn leave(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        let crashes = shared.sessions_at(own, now).0.is_some_and(|session| session.crash);
        self.tally.net(if crashes { NetCount::Crashed } else { NetCount::Left });
        for slot in 0..self.hosts[local].links.len() {
            match self.hosts[local].links[slot].state {
                LinkState::Open if crashes => self.vanish(shared, local, now, slot as u16, sink),
                LinkState::Open => _ = self.transmit(shared, local, now, slot as u16, Payload::Close, sink),
                LinkState::Dialling | LinkState::Closed => {}
            }
            if self.hosts[local].links[slot].state != LinkState::Closed {
                self.trace_end(local, now, slot);
                self.hosts[local].links[slot].close();
                self.tally.net(NetCount::Disconnected);
            }
        }
        let host = &mut self.hosts[local];
        (host.up_since, host.busy, host.line) = (None, 0, 0);
        if let Actor::Honest(machine) = &mut host.actor {
            machine.restart(shared.keeps_state(own));
        }
        if !shared.keeps_state(own) {
            host.records = HostRecords::new();
        }
        self.deadlines[local] = u64::MAX;
        self.await_session(shared, local, now, sink);
    }

    /// The other end of a link waits in vain for a crashed peer, until its stream times out.
    fn vanish(&mut self, shared: &Shared, local: usize, now: Instant, slot: u16, sink: &mut impl Sink) {
        let link = &self.hosts[local].links[slot as usize];
        let (peer, (back, generation)) = (link.peer, link.back);
        let at = now + shared.stream_timeout + shared.lookahead;
        let close = self.event_from(local, at, peer, back, generation, Payload::Close);
        sink.push(close);
    }

    /// The workload's query of this index is asked here.
    pub(crate) fn ask(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        index: u32,
        sink: &mut impl Sink,
    ) {
        if !self.hosts[local].is_up() {
            return self.tally.queries.skip();
        }
        let query = shared.schedule.queries.query(index);
        self.tally.queries.asked();
        let command = Command::Query { token: index.into(), query };
        self.input(shared, local, now, Input::Command(Box::new(command)), sink);
    }

    /// A machine tells its application something.
    pub(crate) fn told(&mut self, shared: &Shared, local: usize, now: Instant, event: Told<u32>) {
        if !self.hosts[local].is_honest() {
            return;
        }
        match event {
            Told::QueryDone { token, outcome, stats } => {
                let own = self.base + local as u32;
                let end = shared.judge(own, token as u32, &outcome, now, stats.elapsed);
                self.tally.queries.done(end, &stats);
            }
            Told::QueryRefused { .. } => self.tally.queries.done(QueryEnd::Refused, &Default::default()),
            Told::CardUpdated(_) | Told::CardExpired(_) => {}
        }
    }

    /// What an honest peer's application wants of capability cards: to announce its own and follow others.
    pub(crate) fn announce(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        let own = self.base + local as u32;
        let Some(cards) = &shared.schedule.cards else { return };
        if !self.hosts[local].is_honest() {
            return;
        }
        if cards.takes_part(own) {
            let announce = Command::Announce(cards.card_of(own, shared));
            self.input(shared, local, now, Input::Command(Box::new(announce)), sink);
        }
        for followed in cards.followed_by(own) {
            let id = shared.messages.ids()[followed as usize];
            self.input(shared, local, now, Input::Command(Box::new(Command::Follow(id))), sink);
        }
    }
}
