//! Tells a lane's log of trace events what happens at its sampled peers, as the tracer of go-libp2p-pubsub (41b11d5)
//! would be told there. Other peers pay a branch in `Lane::input`, `Lane::timeout` and `Lane::send`.
//!
//! A machine does not say what it does inside, so it is looked at before and after each call: its topics and meshes, what
//! it counts, how many messages it has made. What came in, what became of it and what goes out follow each other as in
//! go. As there, a connection that is gone takes its mesh links with it without a PRUNE; so it is when a session ends,
//! whether its peer leaves or crashes. An adversary's machine cannot be looked into: of it there are frames, connections
//! and what its application publishes.

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Context, Count, Input, Output, PeerRef, TopicRef};
use hyperspace_protocol::time::Instant;
use smallvec::SmallVec;

use crate::event::Payload;
use crate::host::{Actor, Subject};
use crate::lane::{Lane, Sink};
use crate::link::{Link, LinkState};
use crate::message::SimMessage;
use crate::shared::Shared;
use crate::trace::{Reason, Traced};

/// What a call brings to a machine, as far as the trace says more of it.
#[derive(Clone, Copy)]
enum Cause {
    /// A message, and from whom.
    Message { message: u32, from: u32 },
    /// The last connection with this peer is gone.
    Gone(u32),
    /// Anything else.
    Other,
}

/// What can be seen of a machine between two calls.
struct View {
    topics: SmallVec<[TopicRef; 4]>,
    mesh: SmallVec<[(TopicRef, u32); 16]>,
    /// Duplicates, rejected and ignored messages of the whole lane so far.
    counts: [u64; 3],
    /// The host's count of its own messages.
    made: (u32, u32),
}

impl<P: Subject> Lane<P> {
    /// [`Lane::input`] for a sampled peer.
    #[cold]
    #[inline(never)]
    pub(crate) fn input_traced(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        input: Input<SimMessage>,
        sink: &mut impl Sink,
    ) {
        let peer = self.base + local as u32;
        let (what, cause) = match &input {
            Input::Frame { from, frame } => {
                let from = self.other_end(local, *from);
                let cause = match frame {
                    Frame::Message(message) => Cause::Message { message: message.index(), from },
                    Frame::Subscriptions(_)
                    | Frame::Graft(_)
                    | Frame::Prune(_)
                    | Frame::Ihave(_)
                    | Frame::Iwant(_)
                    | Frame::Idontwant(_) => Cause::Other,
                };
                (Some(Traced::RecvRpc { from, frame: frame.clone() }), cause)
            }
            Input::Connected { peer, .. } => {
                let other = self.only_end(local, peer.0 as usize);
                (other.map(Traced::AddPeer), Cause::Other)
            }
            Input::Disconnected { peer } => {
                let other = self.only_end(local, peer.0 as usize);
                (other.map(Traced::RemovePeer), other.map_or(Cause::Other, Cause::Gone))
            }
            Input::Publish(message) => (Some(Traced::Publish(message.index())), Cause::Other),
            Input::Start
            | Input::Subscribe(_)
            | Input::Unsubscribe(_)
            | Input::Request { .. }
            | Input::Response { .. }
            | Input::RequestFailed { .. }
            | Input::Discovered(_)
            | Input::Command(_)
            | Input::Agent(_) => (None, Cause::Other),
        };
        if let Some(what) = what {
            self.trace.push(now, peer, what);
        }
        self.call_traced(shared, local, now, cause, sink, |actor, cx| actor.handle_input(cx, input));
    }

    /// [`Lane::timeout`] for a sampled peer.
    #[cold]
    #[inline(never)]
    pub(crate) fn timeout_traced(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        sink: &mut impl Sink,
    ) {
        let run = |actor: &mut Actor<P>, cx: &mut Context<'_, SimMessage>| actor.machine().handle_timeout(cx);
        self.call_traced(shared, local, now, Cause::Other, sink, run);
    }

    /// The end of [`Lane::send`] for a sampled peer.
    #[cold]
    #[inline(never)]
    pub(crate) fn send_traced(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        slot: u16,
        frame: Frame<SimMessage>,
        sink: &mut impl Sink,
    ) {
        let to = self.other_end(local, PeerRef(slot.into()));
        let sent = self.transmit(shared, local, now, slot, Payload::Frame(frame.clone()), sink);
        let what = if sent { Traced::SendRpc { to, frame } } else { Traced::DropRpc { to, frame } };
        self.trace.push(now, self.base + local as u32, what);
    }

    /// A peer's session ends, and with it the connection in `slot`, if there was one.
    pub(crate) fn trace_end(&mut self, local: usize, now: Instant, slot: usize) {
        let open = self.hosts[local].links[slot].state == LinkState::Open;
        if let Some(other) = self.only_end(local, slot).filter(|_| open) {
            self.trace.push(now, self.base + local as u32, Traced::RemovePeer(other));
        }
    }

    fn call_traced(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        cause: Cause,
        sink: &mut impl Sink,
        run: impl FnOnce(&mut Actor<P>, &mut Context<'_, SimMessage>),
    ) {
        let before = self.view(shared, local, now);
        let done = self.run(shared, local, now, run);
        let after = self.view(shared, local, now);
        self.trace_own_messages(shared, local, now, (before.made, after.made));
        self.trace_meshes(local, now, cause, (&before, &after));
        self.trace_verdict(local, now, cause, (&before, &after));
        self.trace_deliveries(local, done, cause);
        if !self.outbox.is_empty() {
            self.carry_out(shared, local, done, sink);
        }
    }

    fn view(&self, shared: &Shared, local: usize, now: Instant) -> View {
        let host = &self.hosts[local];
        let (mut topics, mut mesh) = (SmallVec::new(), SmallVec::new());
        if let Some(machine) = host.actor.honest() {
            machine.meshes(&mut |topic, peers| {
                topics.push(topic);
                for link in peers.iter().map(|link| (topic, self.other_end(local, *link))) {
                    if !mesh.contains(&link) {
                        mesh.push(link);
                    }
                }
            });
        }
        let counters = if now < shared.warmup { &self.tally.early } else { &self.tally.counters };
        let counts = [Count::Duplicate, Count::Rejected, Count::Ignored].map(|what| counters.peer.get(what));
        View { topics, mesh, counts, made: host.made }
    }

    /// The messages that the machine made by itself, as its capability cards do.
    fn trace_own_messages(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        (before, after): ((u32, u32), (u32, u32)),
    ) {
        let peer = self.base + local as u32;
        let (interval, made) = after;
        let first = if before.0 == interval { before.1 } else { 0 };
        for message in (first..made).filter_map(|n| shared.own_index(peer, interval, n)) {
            self.trace.push(now, peer, Traced::Publish(message));
        }
    }

    fn trace_meshes(&mut self, local: usize, now: Instant, cause: Cause, (before, after): (&View, &View)) {
        let peer = self.base + local as u32;
        for topic in before.topics.iter().filter(|topic| !after.topics.contains(topic)) {
            self.trace.push(now, peer, Traced::Leave(*topic));
        }
        for topic in after.topics.iter().filter(|topic| !before.topics.contains(topic)) {
            self.trace.push(now, peer, Traced::Join(*topic));
        }
        for (topic, other) in before.mesh.iter().filter(|link| !after.mesh.contains(link)) {
            if !matches!(cause, Cause::Gone(gone) if gone == *other) {
                self.trace.push(now, peer, Traced::Prune { peer: *other, topic: *topic });
            }
        }
        for (topic, other) in after.mesh.iter().filter(|link| !before.mesh.contains(link)) {
            self.trace.push(now, peer, Traced::Graft { peer: *other, topic: *topic });
        }
    }

    /// What became of a message that is not delivered. One for a topic that the peer does not want, and all of a peer
    /// below the graylist threshold, are dropped without an event, as in go.
    fn trace_verdict(&mut self, local: usize, now: Instant, cause: Cause, (before, after): (&View, &View)) {
        let Cause::Message { message, from } = cause else { return };
        let [duplicate, rejected, ignored] = [0, 1, 2].map(|kind| after.counts[kind] > before.counts[kind]);
        let what = if duplicate {
            Traced::Duplicate { message, from }
        } else if rejected {
            Traced::Reject { message, from, reason: Reason::Failed }
        } else if ignored {
            Traced::Reject { message, from, reason: Reason::Ignored }
        } else {
            return;
        };
        self.trace.push(now, self.base + local as u32, what);
    }

    fn trace_deliveries(&mut self, local: usize, done: Instant, cause: Cause) {
        let peer = self.base + local as u32;
        for output in &self.outbox {
            let Output::Deliver { message } = output else { continue };
            let from = match cause {
                Cause::Message { message: received, from } if received == message.index() => from,
                Cause::Message { .. } | Cause::Gone(_) | Cause::Other => peer,
            };
            self.trace.push(done, peer, Traced::Deliver { message: message.index(), from });
        }
    }

    /// Who is at the other end of the connection in `slot`, unless it is also at that of another one: a late answer can
    /// bring about a second connection for a while. In go, too, a peer counts once.
    fn only_end(&self, local: usize, slot: usize) -> Option<u32> {
        let links = &self.hosts[local].links;
        let other = links[slot].peer;
        let open =
            |(at, link): (usize, &Link)| at != slot && link.state == LinkState::Open && link.peer == other;
        (!links.iter().enumerate().any(open)).then_some(other)
    }

    /// Who is at the other end of a connection.
    fn other_end(&self, local: usize, link: PeerRef) -> u32 {
        self.hosts[local].links[link.0 as usize].peer
    }
}
