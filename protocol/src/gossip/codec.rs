//! Frames to and from libp2p's protobuf, and how long they are there.
//!
//! A driver resolves its own handles through [`Names`]. One frame makes one RPC here; a driver that has several for one
//! peer may join the RPCs' lists, and [`decode`] splits what others have joined.

use std::sync::Arc;

use super::frame::{Frame, Ihave, Prune};
use crate::identity::PeerId;
use crate::machine::{Message, TopicRef};
use crate::time::Duration;
pub use crate::wire::field;
use crate::wire::pubsub::{
    self, ControlGraft, ControlIdontwant, ControlIhave, ControlIwant, ControlMessage, ControlPrune, PeerInfo,
    Rpc, SubOpts,
};
use crate::wire::varint;

/// What a driver's handles stand for on the wire.
pub trait Names<M: Message> {
    /// A topic's name.
    fn topic(&self, topic: TopicRef) -> &str;
    /// The topic of a name; `None` for one that this driver does not take up.
    fn find_topic(&self, name: &str) -> Option<TopicRef>;
    /// A message id's bytes.
    fn id(&self, id: &M::Id) -> Vec<u8>;
    /// How many bytes those are.
    fn id_len(&self, id: &M::Id) -> usize;
    /// The message id of these bytes; `None` for one that this driver does not take up.
    fn find_id(&self, bytes: &[u8]) -> Option<M::Id>;
    /// A message as it is published.
    fn message(&self, message: &M) -> pubsub::Message;
    /// How long [`Names::message`] is when encoded.
    fn message_len(&self, message: &M) -> usize;
    /// Takes up a message that came in; `None` drops it.
    fn take_message(&self, message: pubsub::Message) -> Option<M>;
}

/// The RPC of one frame.
pub fn encode<M: Message>(frame: &Frame<M>, names: &impl Names<M>) -> Rpc {
    let topic = |t: TopicRef| Some(names.topic(t).to_owned());
    let ids = |ids: &[M::Id]| ids.iter().map(|id| names.id(id)).collect();
    let mut control = ControlMessage::default();
    match frame {
        Frame::Message(message) => {
            return Rpc { publish: vec![names.message(message)], ..Rpc::default() };
        }
        Frame::Subscriptions(changes) => {
            let option =
                |(t, wanted): &(TopicRef, bool)| SubOpts { subscribe: Some(*wanted), topicid: topic(*t) };
            return Rpc { subscriptions: changes.iter().map(option).collect(), ..Rpc::default() };
        }
        Frame::Graft(t) => control.graft.push(ControlGraft { topic_id: topic(*t) }),
        Frame::Prune(prune) => control.prune.push(ControlPrune {
            topic_id: topic(prune.topic),
            peers: prune.px.iter().map(exchanged).collect(),
            backoff: prune.backoff.map(Duration::as_secs),
        }),
        Frame::Ihave(ihave) => {
            control.ihave.push(ControlIhave { topic_id: topic(ihave.topic), message_ids: ids(&ihave.ids) })
        }
        Frame::Iwant(wanted) => control.iwant.push(ControlIwant { message_ids: ids(wanted) }),
        Frame::Idontwant(id) => control.idontwant.push(ControlIdontwant { message_ids: vec![names.id(id)] }),
    }
    Rpc { control: Some(control), ..Rpc::default() }
}

fn exchanged(id: &PeerId) -> PeerInfo {
    PeerInfo { peer_id: Some(id.to_multihash().to_vec()), signed_peer_record: None }
}

/// The frames of an RPC, in the order of the schema. What lacks a field it needs, or names what the driver does not take
/// up, is left out.
pub fn decode<M: Message>(rpc: Rpc, names: &impl Names<M>) -> Vec<Frame<M>> {
    let topic = |name: Option<String>| names.find_topic(&name?);
    let ids = |ids: Vec<Vec<u8>>| ids.iter().filter_map(|id| names.find_id(id)).collect::<Vec<_>>();
    let mut frames = Vec::new();
    let changes: Vec<_> =
        rpc.subscriptions.into_iter().filter_map(|s| Some((topic(s.topicid)?, s.subscribe?))).collect();
    if !changes.is_empty() {
        frames.push(Frame::Subscriptions(Arc::new(changes)));
    }
    frames.extend(rpc.publish.into_iter().filter_map(|m| names.take_message(m)).map(Frame::Message));
    let control = rpc.control.unwrap_or_default();
    for ihave in control.ihave {
        if let Some(topic) = topic(ihave.topic_id) {
            frames.push(Frame::Ihave(Arc::new(Ihave { topic, ids: ids(ihave.message_ids) })));
        }
    }
    let iwants = control.iwant.into_iter().map(|i| Frame::Iwant(Arc::new(ids(i.message_ids))));
    frames.extend(iwants);
    frames.extend(control.graft.into_iter().filter_map(|g| topic(g.topic_id)).map(Frame::Graft));
    for prune in control.prune {
        if let Some(topic) = topic(prune.topic_id) {
            let ids = prune.peers.iter().filter_map(|p| PeerId::from_multihash(p.peer_id.as_deref()?).ok());
            let px = ids.collect();
            let backoff = prune.backoff.map(Duration::from_secs);
            frames.push(Frame::Prune(Box::new(Prune { topic, backoff, px })));
        }
    }
    for idontwant in control.idontwant {
        frames.extend(ids(idontwant.message_ids).into_iter().map(Frame::Idontwant));
    }
    frames
}

/// How long [`encode`]'s RPC is, without making it.
pub fn encoded_len<M: Message>(frame: &Frame<M>, names: &impl Names<M>) -> usize {
    let topic = |t: TopicRef| field(names.topic(t).len());
    let ids = |ids: &[M::Id]| ids.iter().map(|id| field(names.id_len(id))).sum::<usize>();
    let control = |inner: usize| field(field(inner));
    match frame {
        Frame::Message(message) => field(names.message_len(message)),
        Frame::Subscriptions(changes) => changes.iter().map(|(t, _)| field(2 + topic(*t))).sum(),
        Frame::Graft(t) => control(topic(*t)),
        Frame::Prune(p) => {
            let backoff = p.backoff.map_or(0, |b| 1 + varint(b.as_secs()));
            control(topic(p.topic) + backoff + p.px.len() * field(field(PeerId::MULTIHASH_LEN)))
        }
        Frame::Ihave(i) => control(topic(i.topic) + ids(&i.ids)),
        Frame::Iwant(wanted) => control(ids(wanted)),
        Frame::Idontwant(id) => control(field(names.id_len(id))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestNames, all_frames};
    use super::*;

    #[test]
    fn every_frame_survives_the_wire_and_has_the_length_it_says() {
        for frame in all_frames() {
            let bytes = encode(&frame, &TestNames).emit();
            assert_eq!(bytes.len(), encoded_len(&frame, &TestNames), "{frame:?}");
            let rpc = Rpc::parse(&bytes, &pubsub::RpcLimits::default()).expect("just emitted");
            assert_eq!(decode(rpc, &TestNames), [frame]);
        }
    }

    #[test]
    fn what_lacks_a_field_is_left_out_and_the_rest_is_taken() {
        let rpc = Rpc {
            subscriptions: vec![SubOpts { subscribe: None, topicid: Some("topic-0".into()) }],
            publish: vec![pubsub::Message::default()],
            control: Some(ControlMessage {
                graft: vec![
                    ControlGraft { topic_id: None },
                    ControlGraft { topic_id: Some("unknown".into()) },
                    ControlGraft { topic_id: Some("topic-1".into()) },
                ],
                prune: vec![ControlPrune {
                    topic_id: Some("topic-0".into()),
                    peers: vec![PeerInfo { peer_id: Some(vec![1, 2, 3]), signed_peer_record: None }],
                    backoff: None,
                }],
                ..ControlMessage::default()
            }),
        };
        let prune = Prune { topic: TopicRef(0), backoff: None, px: vec![] };
        assert_eq!(decode(rpc, &TestNames), [Frame::Graft(TopicRef(1)), Frame::Prune(Box::new(prune))]);
    }
}
