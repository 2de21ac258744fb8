//! Between machine frames and what goes over a gossip stream.
//!
//! Reading runs in the connection's own task, signature checks included; a message that many neighbours send is checked
//! and kept once. Writing runs in the driver, which splits what is too long for stock peers.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use hyperspace_protocol::gossip::codec::{self, Names};
use hyperspace_protocol::gossip::{Frame, Ihave, Prune, Version};
use hyperspace_protocol::machine::{Message, Services, TopicRef};
use hyperspace_protocol::wire::pubsub::{self, Rpc, RpcLimits};
use sha2::{Digest, Sha256};

use super::Shared;
use super::counts::Count;
use super::frames::framed;
use super::link::Link;
use super::queue::{Bytes, Class};
use crate::message::{MessageId, NodeMessage, Unfit};

/// Bytes of ids or topics in one RPC: stock rust-libp2p takes 16 KiB of control messages.
const CONTROL_BYTES: usize = 15 * 1024;

/// Messages remembered to be recognised when they come again, and their bytes in all. Our choice: they come again within
/// a second or so.
const INTERNED_MAX: usize = 1024;
const INTERNED_BYTES_MAX: usize = 16 << 20;

/// An RPC as it came in, but for topics that the driver has yet to take up.
#[derive(Debug)]
pub struct Received {
    /// Topics and whether they are now wanted.
    pub subscriptions: Vec<(String, bool)>,
    /// All the rest.
    pub frames: Vec<Frame<NodeMessage>>,
}

/// Reads an RPC. What is right in it counts even if a message in it is an offence, which is returned beside it.
///
/// # Errors
/// Which offence it is as a whole.
pub fn decode(shared: &Shared, link: &Link, bytes: &[u8]) -> Result<(Received, Option<Count>), Count> {
    let limits = RpcLimits { bytes: usize::MAX, ..RpcLimits::default() };
    let mut rpc = Rpc::parse(bytes, &limits).map_err(|_| Count::Garbage)?;
    let changes = std::mem::take(&mut rpc.subscriptions);
    let subscriptions = changes.into_iter().filter_map(|s| Some((s.topicid?, s.subscribe?))).collect();
    let names = Reader { shared, link, offence: Cell::new(None) };
    let frames = codec::decode(rpc, &names);
    Ok((Received { subscriptions, frames }, names.offence.get()))
}

/// Resolves names in what came in.
struct Reader<'a> {
    shared: &'a Shared,
    link: &'a Link,
    offence: Cell<Option<Count>>,
}

impl Names<NodeMessage> for Reader<'_> {
    fn topic(&self, _: TopicRef) -> &str {
        ""
    }
    /// Of topics that are not ours nothing but subscriptions matters.
    fn find_topic(&self, name: &str) -> Option<TopicRef> {
        self.shared.services.topics().read(|topics| topics.find_own(name))
    }
    fn id(&self, id: &MessageId) -> Vec<u8> {
        id.emit(self.link.form())
    }
    fn id_len(&self, id: &MessageId) -> usize {
        self.id(id).len()
    }
    fn find_id(&self, bytes: &[u8]) -> Option<MessageId> {
        let (id, form) = MessageId::parse(bytes)?;
        self.link.learn_form(form);
        Some(id)
    }
    fn message(&self, message: &NodeMessage) -> pubsub::Message {
        message.to_wire()
    }
    fn message_len(&self, message: &NodeMessage) -> usize {
        message.frame().len()
    }
    fn take_message(&self, message: pubsub::Message) -> Option<NodeMessage> {
        let name = message.topic.as_deref().unwrap_or_default();
        let own = self.shared.services.topics().read(|topics| {
            let topic = topics.find_own(name)?;
            Some((topic, Arc::clone(&topics.get(topic)?.name)))
        });
        let Some((topic, name)) = own else {
            self.shared.counts.add(Count::UnknownTopic);
            return None;
        };
        let mut interned = self.shared.interned.lock().unwrap_or_else(PoisonError::into_inner);
        let key = fingerprint(&message);
        // A topic that was left and joined again has another handle.
        if let Some(known) = interned.get(&key).filter(|known| known.topic() == topic) {
            return Some(known);
        }
        drop(interned);
        if self.shared.live.bytes() > self.shared.settings.messages_bytes_max {
            self.shared.counts.add(Count::OverBudget);
            return None;
        }
        match NodeMessage::receive(&message, topic, name, self.shared.live.clone()) {
            Ok(taken) => {
                if taken.id().is_forged() {
                    self.offence.set(Some(Count::BadSignature));
                }
                // The verdict stays with the message: the driver, which is one task, need not work it out.
                self.shared.services.inspect(&taken);
                interned = self.shared.interned.lock().unwrap_or_else(PoisonError::into_inner);
                interned.put(key, &taken);
                Some(taken)
            }
            Err(Unfit::Malformed) => {
                self.offence.set(Some(Count::BadSignature));
                None
            }
            Err(Unfit::ForeignAuthor) => {
                self.shared.counts.add(Count::ForeignAuthor);
                None
            }
        }
    }
}

/// Recently received messages by a hash of all their bytes.
#[derive(Debug, Default)]
pub(super) struct Interned {
    messages: HashMap<[u8; 32], NodeMessage>,
    order: VecDeque<[u8; 32]>,
    bytes: usize,
}

impl Interned {
    fn get(&self, key: &[u8; 32]) -> Option<NodeMessage> {
        self.messages.get(key).cloned()
    }

    fn put(&mut self, key: [u8; 32], message: &NodeMessage) {
        if self.messages.insert(key, message.clone()).is_some() {
            return;
        }
        self.bytes += message.frame().len();
        self.order.push_back(key);
        while self.order.len() > INTERNED_MAX || self.bytes > INTERNED_BYTES_MAX {
            let Some(gone) = self.order.pop_front().and_then(|oldest| self.messages.remove(&oldest)) else {
                break;
            };
            self.bytes -= gone.frame().len();
        }
    }
}

/// Two messages have one fingerprint only if they are the same in every field.
fn fingerprint(message: &pubsub::Message) -> [u8; 32] {
    let mut hash = Sha256::new();
    let topic = message.topic.as_deref().map(str::as_bytes);
    let fields = [&message.from, &message.data, &message.seqno, &message.signature, &message.key];
    for field in fields.into_iter().map(Option::as_deref).chain([topic]) {
        hash.update([u8::from(field.is_some())]);
        hash.update((field.map_or(0, <[u8]>::len) as u64).to_be_bytes());
        hash.update(field.unwrap_or_default());
    }
    hash.finalize().into()
}

/// The frames on the wire that carry a machine's frame to a peer of this version; none if there is nothing to say to it.
pub fn encode(
    shared: &Shared,
    link: &Link,
    version: Version,
    frame: &Frame<NodeMessage>,
) -> Vec<(Class, Bytes)> {
    let per_frame = CONTROL_BYTES / 80;
    match frame {
        Frame::Message(message) => vec![(Class::Message, Bytes::Shared(message.clone()))],
        Frame::Subscriptions(changes) => {
            // 25 topics of greatest length fit.
            let parts = changes.chunks(25).map(|part| Frame::Subscriptions(Arc::new(part.to_vec())));
            parts.filter_map(|part| one(shared, link, Class::Control, &part)).collect()
        }
        Frame::Graft(_) => one(shared, link, Class::Control, frame).into_iter().collect(),
        Frame::Prune(prune) if version < Version::V1_1 => {
            let plain = Prune { topic: prune.topic, backoff: None, px: Vec::new() };
            one(shared, link, Class::Control, &Frame::Prune(Box::new(plain))).into_iter().collect()
        }
        Frame::Prune(_) => one(shared, link, Class::Control, frame).into_iter().collect(),
        Frame::Ihave(ihave) => {
            let part =
                |ids: &[MessageId]| Frame::Ihave(Arc::new(Ihave { topic: ihave.topic, ids: ids.to_vec() }));
            let parts = ihave.ids.chunks(per_frame).map(part);
            parts.filter_map(|part| one(shared, link, Class::Gossip, &part)).collect()
        }
        Frame::Iwant(ids) => {
            let parts = ids.chunks(per_frame).map(|ids| Frame::Iwant(Arc::new(ids.to_vec())));
            parts.filter_map(|part| one(shared, link, Class::Gossip, &part)).collect()
        }
        Frame::Idontwant(id) if version < Version::V1_2 || id.is_forged() => Vec::new(),
        Frame::Idontwant(_) => one(shared, link, Class::Control, frame).into_iter().collect(),
    }
}

fn one(shared: &Shared, link: &Link, class: Class, frame: &Frame<NodeMessage>) -> Option<(Class, Bytes)> {
    let rpc = shared.services.topics().read(|topics| {
        let names = Writer { topics, link, unknown: Cell::new(false) };
        let rpc = codec::encode(frame, &names);
        (!names.unknown.get()).then_some(rpc)
    });
    let Some(rpc) = rpc else {
        shared.counts.add(Count::Unsendable);
        return None;
    };
    Some((class, Bytes::Own(framed(&rpc.emit()).into())))
}

/// Resolves handles in what goes out.
struct Writer<'a> {
    topics: &'a crate::topics::Topics,
    link: &'a Link,
    /// Set when a topic's name has been given back although the machine still speaks of it.
    unknown: Cell<bool>,
}

impl Names<NodeMessage> for Writer<'_> {
    fn topic(&self, topic: TopicRef) -> &str {
        let name = self.topics.get(topic).map(|entry| &*entry.name);
        self.unknown.set(self.unknown.get() || name.is_none());
        name.unwrap_or_default()
    }
    fn find_topic(&self, _: &str) -> Option<TopicRef> {
        None
    }
    fn id(&self, id: &MessageId) -> Vec<u8> {
        id.emit(self.link.form())
    }
    fn id_len(&self, id: &MessageId) -> usize {
        self.id(id).len()
    }
    fn find_id(&self, _: &[u8]) -> Option<MessageId> {
        None
    }
    fn message(&self, message: &NodeMessage) -> pubsub::Message {
        message.to_wire()
    }
    fn message_len(&self, message: &NodeMessage) -> usize {
        message.frame().len()
    }
    fn take_message(&self, _: pubsub::Message) -> Option<NodeMessage> {
        None
    }
}
