//! Traces in the format of go-libp2p-pubsub, of a sample of the peers: see [`hyperspace_protocol::wire::trace`].
//!
//! A lane has a [`TraceLog`] and tells it what happens at its peers, in handles; [`write()`] merges the logs, looks up
//! what the handles stand for and writes the file. Events are ordered by time, then peer, then as they were recorded,
//! so the file is the same for any engine and number of threads: what a peer does is recorded in its own order
//! everywhere.
//!
//! Message ids are those of frames on the wire, author and sequence number. A message that is not of a workload's
//! schedule has an index that varies from run to run; in a trace its sequence number goes by where the trace first
//! mentions it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::time::Instant;
use hyperspace_protocol::wire::trace::{
    AddPeer, ControlMeta, DeliverMessage, DuplicateMessage, GraftMeta, IdsMeta, IhaveMeta, Join, Leave,
    MeshChange, MessageMeta, PeerRpc, PruneMeta, RejectMessage, RemovePeer, RpcMeta, SubMeta, TraceEvent,
    What,
};

use crate::message::{MessageTable, SimMessage};
use crate::shared::EPOCH;

/// Entries of all logs of a run together, about 400 MB; the sampled peers share them equally. An event is one entry,
/// and as many more as its frame has ids, topics or peers. What happens at a peer whose share is used up is dropped and
/// counted, so that of every peer the beginning is there, without gaps. Our choice.
pub const ENTRIES_MAX: u32 = 1 << 23;

/// Something that happened at a peer, in the simulator's handles: peers are places in the world, messages places in the
/// message table.
#[derive(Clone, Debug, PartialEq)]
pub enum Traced {
    /// It publishes a message.
    Publish(u32),
    /// It drops a message that is not valid.
    Reject {
        /// The message.
        message: u32,
        /// Who sent it.
        from: u32,
        /// Why.
        reason: Reason,
    },
    /// It gets a message once more.
    Duplicate {
        /// The message.
        message: u32,
        /// Who sent it.
        from: u32,
    },
    /// It hands a message to the application.
    Deliver {
        /// The message.
        message: u32,
        /// Who sent it; of an own message, the peer itself.
        from: u32,
    },
    /// It is connected to a peer.
    AddPeer(u32),
    /// It no longer is.
    RemovePeer(u32),
    /// It gets a frame.
    RecvRpc {
        /// From whom.
        from: u32,
        /// The frame.
        frame: Frame<SimMessage>,
    },
    /// It sends a frame.
    SendRpc {
        /// To whom.
        to: u32,
        /// The frame.
        frame: Frame<SimMessage>,
    },
    /// It drops a frame instead of sending it.
    DropRpc {
        /// To whom.
        to: u32,
        /// The frame.
        frame: Frame<SimMessage>,
    },
    /// It subscribes to a topic.
    Join(TopicRef),
    /// It unsubscribes.
    Leave(TopicRef),
    /// It takes a peer into its mesh.
    Graft {
        /// The peer.
        peer: u32,
        /// Which mesh.
        topic: TopicRef,
    },
    /// It puts a peer out of its mesh.
    Prune {
        /// The peer.
        peer: u32,
        /// Which mesh.
        topic: TopicRef,
    },
}

/// Why a message is not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is invalid, and its sender to blame.
    Failed,
    /// It is too old, too new or replayed, and nobody to blame.
    Ignored,
}

impl Traced {
    fn entries(&self) -> u32 {
        let listed = match self {
            Self::RecvRpc { frame, .. } | Self::SendRpc { frame, .. } | Self::DropRpc { frame, .. } => {
                match frame {
                    Frame::Subscriptions(changes) => changes.len(),
                    Frame::Prune(prune) => prune.px.len(),
                    Frame::Ihave(ihave) => ihave.ids.len(),
                    Frame::Iwant(ids) => ids.len(),
                    Frame::Message(_) | Frame::Graft(_) | Frame::Idontwant(_) => 0,
                }
            }
            Self::Publish(_)
            | Self::Reject { .. }
            | Self::Duplicate { .. }
            | Self::Deliver { .. }
            | Self::AddPeer(_)
            | Self::RemovePeer(_)
            | Self::Join(_)
            | Self::Leave(_)
            | Self::Graft { .. }
            | Self::Prune { .. } => 0,
        };
        u32::try_from(listed).map_or(u32::MAX, |listed| listed.saturating_add(1))
    }
}

/// Whose events are recorded; by default nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// In ascending order, each once.
    peers: Vec<u32>,
}

impl Sample {
    /// These peers of a world of `world`, numbers beyond it are left out.
    pub fn of(mut peers: Vec<u32>, world: u32) -> Self {
        peers.retain(|peer| *peer < world);
        peers.sort_unstable();
        peers.dedup();
        Self { peers }
    }

    /// Every `n`-th peer of a world of `world`, from the first on; nobody if `n` is 0.
    pub fn every(n: u32, world: u32) -> Self {
        Self { peers: (0..world).filter(|peer| peer.checked_rem(n) == Some(0)).collect() }
    }
}

/// What happened at the sampled ones of a block of consecutive peers. The default records nothing.
#[derive(Debug, Default)]
pub struct TraceLog {
    base: u32,
    /// How many more entries each peer may have, if it is sampled; empty if none is.
    left: Vec<Option<u32>>,
    events: Vec<Recorded>,
    dropped: u64,
}

#[derive(Debug)]
struct Recorded {
    at: Instant,
    peer: u32,
    what: Traced,
}

impl TraceLog {
    /// The log of the `count` peers from `base` on. Every peer must be in one log only.
    pub fn new(sample: &Sample, base: u32, count: u32) -> Self {
        let place = |peer: u32| sample.peers.partition_point(|p| *p < peer);
        let here = &sample.peers[place(base)..place(base.saturating_add(count))];
        let share = ENTRIES_MAX / (sample.peers.len() as u32).max(1);
        let mut left = vec![None; if here.is_empty() { 0 } else { count as usize }];
        for peer in here {
            left[(peer - base) as usize] = Some(share);
        }
        Self { base, left, ..Self::default() }
    }

    /// Whether to [`push`](Self::push) what happens at this peer.
    #[inline]
    pub fn records(&self, peer: u32) -> bool {
        matches!(self.left.get(peer.wrapping_sub(self.base) as usize), Some(Some(_)))
    }

    /// Records what happens at a peer at `at`, in virtual time, if it is sampled and its share of [`ENTRIES_MAX`] not
    /// used up.
    pub fn push(&mut self, at: Instant, peer: u32, what: Traced) {
        let Some(Some(left)) = self.left.get_mut(peer.wrapping_sub(self.base) as usize) else { return };
        match left.checked_sub(what.entries()) {
            Some(rest) => {
                *left = rest;
                self.events.push(Recorded { at, peer, what });
            }
            None => {
                *left = 0;
                self.dropped += 1;
            }
        }
    }
}

/// What was recorded in a run, ready to be written.
#[derive(Debug)]
pub struct Trace {
    pub(crate) logs: Vec<TraceLog>,
    pub(crate) messages: Arc<MessageTable>,
    pub(crate) scheduled: u32,
}

impl Trace {
    /// Writes it all, see [`write()`].
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(self, out: &mut impl io::Write) -> io::Result<Written> {
        write(self.logs, &self.messages, self.scheduled, out)
    }
}

/// What became of the recorded events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events in the file.
    pub events: u64,
    /// Events that were dropped because of [`ENTRIES_MAX`].
    pub dropped: u64,
}

/// Writes the events of all logs to `out` in pieces of 64 KiB, as go-libp2p-pubsub's `PBTracer` does. The first
/// `scheduled` messages of the table are those of the workloads' schedule.
///
/// # Errors
/// Those of `out`.
pub fn write(
    logs: Vec<TraceLog>,
    messages: &MessageTable,
    scheduled: u32,
    out: &mut impl io::Write,
) -> io::Result<Written> {
    let dropped = logs.iter().map(|log| log.dropped).sum();
    let mut events: Vec<Recorded> = logs.into_iter().flat_map(|log| log.events).collect();
    keep_order(&mut events);
    events.sort_by_key(|event| (event.at, event.peer));
    let mut names = Names { messages, scheduled, renamed: BTreeMap::new() };
    let mut buffer = Vec::new();
    for event in &events {
        TraceEvent::new(names.peer(event.peer), timestamp(event.at), names.what(&event.what))
            .emit_delimited(&mut buffer);
        if buffer.len() >= 1 << 16 {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)?;
    Ok(Written { events: events.len() as u64, dropped })
}

/// Lets time not go back at any peer. What a peer does takes until it is done, but that the world closes its links, or
/// its session ends, does not wait for that.
fn keep_order(events: &mut [Recorded]) {
    let mut clocks = BTreeMap::new();
    for event in events {
        let clock = clocks.entry(event.peer).or_insert(event.at);
        *clock = event.at.max(*clock);
        event.at = *clock;
    }
}

/// Virtual time on the wall clock, in nanoseconds since 1970; at most what fits, in the year 2262.
fn timestamp(at: Instant) -> i64 {
    let nanos = EPOCH.0.saturating_mul(1_000_000).saturating_add(at.as_nanos());
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// What handles stand for in a trace.
struct Names<'a> {
    messages: &'a MessageTable,
    scheduled: u32,
    /// Sequence numbers of messages that were not scheduled.
    renamed: BTreeMap<u32, u32>,
}

impl Names<'_> {
    fn peer(&self, peer: u32) -> Vec<u8> {
        self.messages.ids()[peer as usize].to_multihash().to_vec()
    }

    fn topic(&self, topic: TopicRef) -> Option<String> {
        Some(self.messages.topic_name(topic).to_owned())
    }

    fn topic_of(&self, message: u32) -> Option<String> {
        self.topic(self.messages.get(message).topic)
    }

    fn id(&mut self, message: u32) -> Vec<u8> {
        let number = if message < self.scheduled {
            message
        } else {
            let next = self.scheduled + self.renamed.len() as u32;
            *self.renamed.entry(message).or_insert(next)
        };
        let mut id = self.peer(self.messages.get(message).author);
        id.extend(u64::from(number).to_be_bytes());
        id
    }

    fn ids(&mut self, messages: &[u32]) -> Vec<Vec<u8>> {
        messages.iter().map(|message| self.id(*message)).collect()
    }

    fn message(&mut self, message: u32) -> MessageMeta {
        MessageMeta { message_id: Some(self.id(message)), topic: self.topic_of(message) }
    }

    fn what(&mut self, what: &Traced) -> What {
        match what {
            Traced::Publish(message) => What::PublishMessage(self.message(*message)),
            Traced::Reject { message, from, reason } => What::RejectMessage(RejectMessage {
                message_id: Some(self.id(*message)),
                received_from: Some(self.peer(*from)),
                reason: Some(reason.words().to_owned()),
                topic: self.topic_of(*message),
            }),
            Traced::Duplicate { message, from } => What::DuplicateMessage(DuplicateMessage {
                message_id: Some(self.id(*message)),
                received_from: Some(self.peer(*from)),
                topic: self.topic_of(*message),
            }),
            Traced::Deliver { message, from } => What::DeliverMessage(DeliverMessage {
                message_id: Some(self.id(*message)),
                topic: self.topic_of(*message),
                received_from: Some(self.peer(*from)),
            }),
            Traced::AddPeer(peer) => What::AddPeer(AddPeer { peer_id: Some(self.peer(*peer)), proto: None }),
            Traced::RemovePeer(peer) => What::RemovePeer(RemovePeer { peer_id: Some(self.peer(*peer)) }),
            Traced::RecvRpc { from, frame } => What::RecvRpc(self.rpc(*from, frame)),
            Traced::SendRpc { to, frame } => What::SendRpc(self.rpc(*to, frame)),
            Traced::DropRpc { to, frame } => What::DropRpc(self.rpc(*to, frame)),
            Traced::Join(topic) => What::Join(Join { topic: self.topic(*topic) }),
            Traced::Leave(topic) => What::Leave(Leave { topic: self.topic(*topic) }),
            Traced::Graft { peer, topic } => What::Graft(self.mesh_change(*peer, *topic)),
            Traced::Prune { peer, topic } => What::Prune(self.mesh_change(*peer, *topic)),
        }
    }

    fn mesh_change(&self, peer: u32, topic: TopicRef) -> MeshChange {
        MeshChange { peer_id: Some(self.peer(peer)), topic: self.topic(topic) }
    }

    fn rpc(&mut self, peer: u32, frame: &Frame<SimMessage>) -> PeerRpc {
        PeerRpc { peer_id: Some(self.peer(peer)), meta: Some(self.meta(frame)) }
    }

    /// One frame makes one RPC, as in [`hyperspace_protocol::gossip::codec`].
    fn meta(&mut self, frame: &Frame<SimMessage>) -> RpcMeta {
        let mut control = ControlMeta::default();
        match frame {
            Frame::Message(message) => {
                return RpcMeta { messages: vec![self.message(message.index())], ..RpcMeta::default() };
            }
            Frame::Subscriptions(changes) => {
                let change = |(topic, wanted): &(TopicRef, bool)| SubMeta {
                    subscribe: Some(*wanted),
                    topic: self.topic(*topic),
                };
                return RpcMeta { subscription: changes.iter().map(change).collect(), ..RpcMeta::default() };
            }
            Frame::Graft(topic) => control.graft.push(GraftMeta { topic: self.topic(*topic) }),
            Frame::Prune(prune) => {
                let peers = prune.px.iter().copied().map(PeerId::to_multihash).map(Vec::from).collect();
                control.prune.push(PruneMeta { topic: self.topic(prune.topic), peers });
            }
            Frame::Ihave(ihave) => {
                let message_ids = self.ids(&ihave.ids);
                control.ihave.push(IhaveMeta { topic: self.topic(ihave.topic), message_ids });
            }
            Frame::Iwant(ids) => control.iwant.push(IdsMeta { message_ids: self.ids(ids) }),
            Frame::Idontwant(id) => control.idontwant.push(IdsMeta { message_ids: vec![self.id(*id)] }),
        }
        RpcMeta { control: Some(control), ..RpcMeta::default() }
    }
}

impl Reason {
    /// As in go-libp2p-pubsub's `tracer.go`.
    const fn words(self) -> &'static str {
        match self {
            Self::Failed => "validation failed",
            Self::Ignored => "validation ignored",
        }
    }
}

#[cfg(test)]
mod tests;
