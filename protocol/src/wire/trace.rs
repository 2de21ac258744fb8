//! The trace events of go-libp2p-pubsub (`pb/trace.proto` at 41b11d5), so that what is made for its traces can read
//! ours.
//!
//! A file of them, as its `PBTracer` writes, is one [`TraceEvent::emit_delimited`] after another; `tracestat` and
//! `trace2json` want it compressed with gzip. [`TraceEvent::parse_delimited`] reads one back. Of the 13 events of the
//! schema, each with a field of its own, an event has one, so they are an enum here: [`What`].

use prost::Message as _;

use super::fields::WireError;

/// Something that happened at a peer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TraceEvent {
    /// The number of the event in the schema's enum, from 0 (`PUBLISH_MESSAGE`) to 12 (`PRUNE`).
    #[prost(int32, optional, tag = "1")]
    pub kind: Option<i32>,
    /// The peer, binary.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub peer_id: Option<Vec<u8>>,
    /// When, in nanoseconds since 1970.
    #[prost(int64, optional, tag = "3")]
    pub timestamp: Option<i64>,
    /// What.
    #[prost(oneof = "What", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    pub what: Option<What>,
}

/// What can happen at a peer. The tags are 4 above the event's number in the schema's enum.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum What {
    /// It publishes a message.
    #[prost(message, tag = "4")]
    PublishMessage(MessageMeta),
    /// It drops a message that is not valid.
    #[prost(message, tag = "5")]
    RejectMessage(RejectMessage),
    /// It gets a message once more.
    #[prost(message, tag = "6")]
    DuplicateMessage(DuplicateMessage),
    /// It hands a message to the application; its own as well.
    #[prost(message, tag = "7")]
    DeliverMessage(DeliverMessage),
    /// It can send to another peer. Called `OnNewOutboundStream` since April 2026.
    #[prost(message, tag = "8")]
    AddPeer(AddPeer),
    /// It no longer can. Called `OnClosedOutboundStream` since April 2026.
    #[prost(message, tag = "9")]
    RemovePeer(RemovePeer),
    /// It gets an RPC.
    #[prost(message, tag = "10")]
    RecvRpc(PeerRpc),
    /// It sends an RPC.
    #[prost(message, tag = "11")]
    SendRpc(PeerRpc),
    /// It drops an RPC that it should send.
    #[prost(message, tag = "12")]
    DropRpc(PeerRpc),
    /// It subscribes to a topic.
    #[prost(message, tag = "13")]
    Join(Join),
    /// It unsubscribes.
    #[prost(message, tag = "14")]
    Leave(Leave),
    /// It takes a peer into its mesh.
    #[prost(message, tag = "15")]
    Graft(MeshChange),
    /// It puts a peer out of its mesh.
    #[prost(message, tag = "16")]
    Prune(MeshChange),
}

/// A message: `PublishMessage` and `MessageMeta`, which are alike. The topic was a list before October 2020.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MessageMeta {
    /// Its id.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub message_id: Option<Vec<u8>>,
    /// Its topic.
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

/// A message that is not valid.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RejectMessage {
    /// Its id.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub message_id: Option<Vec<u8>>,
    /// Who sent it, binary.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub received_from: Option<Vec<u8>>,
    /// Why, in the words of go-libp2p-pubsub's `tracer.go`.
    #[prost(string, optional, tag = "3")]
    pub reason: Option<String>,
    /// Its topic.
    #[prost(string, optional, tag = "4")]
    pub topic: Option<String>,
}

/// A message that came again.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DuplicateMessage {
    /// Its id.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub message_id: Option<Vec<u8>>,
    /// Who sent it, binary.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub received_from: Option<Vec<u8>>,
    /// Its topic.
    #[prost(string, optional, tag = "3")]
    pub topic: Option<String>,
}

/// A message for the application. Unlike in [`DuplicateMessage`], the topic comes first.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeliverMessage {
    /// Its id.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub message_id: Option<Vec<u8>>,
    /// Its topic.
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
    /// Who sent it, binary; of an own message this peer.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub received_from: Option<Vec<u8>>,
}

/// A peer that can be sent to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AddPeer {
    /// The peer, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub peer_id: Option<Vec<u8>>,
    /// The protocol it speaks, such as `/meshsub/1.2.0`.
    #[prost(string, optional, tag = "2")]
    pub proto: Option<String>,
}

/// A peer that can no longer be sent to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RemovePeer {
    /// The peer, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub peer_id: Option<Vec<u8>>,
}

/// An RPC: `RecvRPC`, `SendRPC` and `DropRPC`, which are alike.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PeerRpc {
    /// From or to whom, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub peer_id: Option<Vec<u8>>,
    /// What it says.
    #[prost(message, optional, tag = "2")]
    pub meta: Option<RpcMeta>,
}

/// A topic subscribed to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Join {
    /// The topic.
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
}

/// A topic no longer subscribed to. Unlike in [`Join`], it is field 2.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Leave {
    /// The topic.
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

/// A mesh link: `Graft` and `Prune`, which are alike.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MeshChange {
    /// The peer, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub peer_id: Option<Vec<u8>>,
    /// The topic.
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

/// An RPC without payloads.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RpcMeta {
    /// Its messages.
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<MessageMeta>,
    /// Its subscription changes.
    #[prost(message, repeated, tag = "2")]
    pub subscription: Vec<SubMeta>,
    /// Its control messages.
    #[prost(message, optional, tag = "3")]
    pub control: Option<ControlMeta>,
}

/// A subscription change.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubMeta {
    /// Whether the topic is now wanted.
    #[prost(bool, optional, tag = "1")]
    pub subscribe: Option<bool>,
    /// The topic.
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

/// Control messages.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ControlMeta {
    /// IHAVE.
    #[prost(message, repeated, tag = "1")]
    pub ihave: Vec<IhaveMeta>,
    /// IWANT.
    #[prost(message, repeated, tag = "2")]
    pub iwant: Vec<IdsMeta>,
    /// GRAFT.
    #[prost(message, repeated, tag = "3")]
    pub graft: Vec<GraftMeta>,
    /// PRUNE.
    #[prost(message, repeated, tag = "4")]
    pub prune: Vec<PruneMeta>,
    /// IDONTWANT.
    #[prost(message, repeated, tag = "5")]
    pub idontwant: Vec<IdsMeta>,
}

/// IHAVE.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IhaveMeta {
    /// The topic of the messages.
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
    /// Their ids.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub message_ids: Vec<Vec<u8>>,
}

/// IWANT and IDONTWANT, which are alike.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IdsMeta {
    /// The messages' ids.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub message_ids: Vec<Vec<u8>>,
}

/// GRAFT.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GraftMeta {
    /// Which mesh.
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
}

/// PRUNE.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PruneMeta {
    /// Which mesh.
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
    /// Peers offered for exchange, binary.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub peers: Vec<Vec<u8>>,
}

/// Several events at once, as a `RemoteTracer` sends them: delimited like single ones, on a stream compressed with
/// gzip.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TraceEventBatch {
    /// The events.
    #[prost(message, repeated, tag = "1")]
    pub batch: Vec<TraceEvent>,
}

impl TraceEvent {
    /// An event at a peer, with its number set to match. `timestamp` is in nanoseconds since 1970.
    pub fn new(peer_id: Vec<u8>, timestamp: i64, what: What) -> Self {
        let kind = Some(what.kind());
        Self { kind, peer_id: Some(peer_id), timestamp: Some(timestamp), what: Some(what) }
    }

    /// Appends the event's bytes to `out`, with their number before them as a varint.
    pub fn emit_delimited(&self, out: &mut Vec<u8>) {
        self.encode_length_delimited(out).expect("a vector grows as needed");
    }

    /// Reads one event and takes it off `bytes`; nothing if they are empty.
    ///
    /// # Errors
    /// [`WireError::Schema`] if `bytes` do not begin with a whole event. They are then as good as lost.
    pub fn parse_delimited(bytes: &mut &[u8]) -> Result<Option<Self>, WireError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        Self::decode_length_delimited(bytes).map(Some).map_err(WireError::Schema)
    }
}

impl TraceEventBatch {
    /// Appends the batch's bytes to `out`, with their number before them as a varint.
    pub fn emit_delimited(&self, out: &mut Vec<u8>) {
        self.encode_length_delimited(out).expect("a vector grows as needed");
    }
}

impl What {
    /// The event's number in the schema's enum.
    pub const fn kind(&self) -> i32 {
        match self {
            Self::PublishMessage(_) => 0,
            Self::RejectMessage(_) => 1,
            Self::DuplicateMessage(_) => 2,
            Self::DeliverMessage(_) => 3,
            Self::AddPeer(_) => 4,
            Self::RemovePeer(_) => 5,
            Self::RecvRpc(_) => 6,
            Self::SendRpc(_) => 7,
            Self::DropRpc(_) => 8,
            Self::Join(_) => 9,
            Self::Leave(_) => 10,
            Self::Graft(_) => 11,
            Self::Prune(_) => 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Option<String> {
        Some(s.into())
    }

    /// Written by hand from the schema, as all bytes here.
    #[test]
    fn an_event_has_number_peer_and_time_before_what_happened() {
        let join = What::Join(Join { topic: text("t") });
        let event = TraceEvent::new(vec![7, 8], 1_773_835_200_000_000_001, join);
        #[rustfmt::skip]
        let bytes = [
            21,
                0x08, 9,
                0x12, 2, 7, 8,
                0x18, 0x81, 0x80, 0xd6, 0xd0, 0xf5, 0xb6, 0xfb, 0xce, 0x18,
                0x6a, 3, 0x0a, 1, b't',
        ];
        let mut emitted = Vec::new();
        event.emit_delimited(&mut emitted);
        assert_eq!(emitted, bytes);
        let mut batch = Vec::new();
        TraceEventBatch { batch: vec![event] }.emit_delimited(&mut batch);
        assert_eq!(batch, [&[23, 0x0a], &bytes[..]].concat());
    }

    #[test]
    fn every_event_has_the_bytes_of_the_schema() {
        let peer_id = || Some(vec![7]);
        let (message_id, received_from, topic) = (Some(vec![9]), peer_id(), text("t"));
        let message = MessageMeta { message_id: message_id.clone(), topic: topic.clone() };
        let rpc = PeerRpc { peer_id: peer_id(), meta: Some(RpcMeta::default()) };
        let mesh = MeshChange { peer_id: peer_id(), topic: topic.clone() };
        let reject = RejectMessage {
            message_id: message_id.clone(),
            received_from: received_from.clone(),
            reason: text("r"),
            topic: topic.clone(),
        };
        let duplicate = DuplicateMessage {
            message_id: message_id.clone(),
            received_from: received_from.clone(),
            topic: topic.clone(),
        };
        let deliver = DeliverMessage { message_id, topic: topic.clone(), received_from };
        let add = AddPeer { peer_id: peer_id(), proto: text("p") };
        #[rustfmt::skip]
        let expected: [(What, &[u8]); 13] = [
            (What::PublishMessage(message), &[0x22, 6, 0x0a, 1, 9, 0x12, 1, b't']),
            (What::RejectMessage(reject), &[0x2a, 12, 0x0a, 1, 9, 0x12, 1, 7, 0x1a, 1, b'r', 0x22, 1, b't']),
            (What::DuplicateMessage(duplicate), &[0x32, 9, 0x0a, 1, 9, 0x12, 1, 7, 0x1a, 1, b't']),
            (What::DeliverMessage(deliver), &[0x3a, 9, 0x0a, 1, 9, 0x12, 1, b't', 0x1a, 1, 7]),
            (What::AddPeer(add), &[0x42, 6, 0x0a, 1, 7, 0x12, 1, b'p']),
            (What::RemovePeer(RemovePeer { peer_id: peer_id() }), &[0x4a, 3, 0x0a, 1, 7]),
            (What::RecvRpc(rpc.clone()), &[0x52, 5, 0x0a, 1, 7, 0x12, 0]),
            (What::SendRpc(rpc.clone()), &[0x5a, 5, 0x0a, 1, 7, 0x12, 0]),
            (What::DropRpc(rpc), &[0x62, 5, 0x0a, 1, 7, 0x12, 0]),
            (What::Join(Join { topic: topic.clone() }), &[0x6a, 3, 0x0a, 1, b't']),
            (What::Leave(Leave { topic }), &[0x72, 3, 0x12, 1, b't']),
            (What::Graft(mesh.clone()), &[0x7a, 6, 0x0a, 1, 7, 0x12, 1, b't']),
            (What::Prune(mesh), &[0x82, 0x01, 6, 0x0a, 1, 7, 0x12, 1, b't']),
        ];
        let (mut all, mut events) = (Vec::new(), Vec::new());
        for (number, (what, body)) in expected.into_iter().enumerate() {
            let event = TraceEvent { peer_id: None, timestamp: None, ..TraceEvent::new(vec![], 0, what) };
            let mut bytes = Vec::new();
            event.emit_delimited(&mut bytes);
            assert_eq!(bytes, [&[body.len() as u8 + 2, 0x08, number as u8], body].concat(), "{event:?}");
            all.extend(bytes);
            events.push(event);
        }
        let mut rest = &all[..];
        for event in events {
            assert_eq!(TraceEvent::parse_delimited(&mut rest), Ok(Some(event)));
        }
        assert_eq!(TraceEvent::parse_delimited(&mut rest), Ok(None));
    }

    #[test]
    fn an_rpc_has_the_bytes_of_the_schema() {
        let ids = || vec![vec![7], vec![8]];
        let meta = RpcMeta {
            messages: vec![MessageMeta { message_id: Some(vec![9]), topic: text("t") }],
            subscription: vec![SubMeta { subscribe: Some(false), topic: text("t") }],
            control: Some(ControlMeta {
                ihave: vec![IhaveMeta { topic: text("t"), message_ids: ids() }],
                iwant: vec![IdsMeta { message_ids: ids() }],
                graft: vec![GraftMeta { topic: text("t") }],
                prune: vec![PruneMeta { topic: text("t"), peers: ids() }],
                idontwant: vec![IdsMeta { message_ids: vec![vec![6]] }],
            }),
        };
        #[rustfmt::skip]
        let bytes = [
            0x0a, 6, 0x0a, 1, 9, 0x12, 1, b't',
            0x12, 5, 0x08, 0, 0x12, 1, b't',
            0x1a, 40,
                0x0a, 9, 0x0a, 1, b't', 0x12, 1, 7, 0x12, 1, 8,
                0x12, 6, 0x0a, 1, 7, 0x0a, 1, 8,
                0x1a, 3, 0x0a, 1, b't',
                0x22, 9, 0x0a, 1, b't', 0x12, 1, 7, 0x12, 1, 8,
                0x2a, 3, 0x0a, 1, 6,
        ];
        assert_eq!(meta.encode_to_vec(), bytes);
        assert_eq!(RpcMeta::decode(&bytes[..]), Ok(meta));
    }

    #[test]
    fn what_is_no_whole_event_is_an_error() {
        let torn: [&[u8]; 4] = [&[2, 0x08], &[0x80], &[3, 0x6a, 3, 0x0a], &[2, 0x12, 0xff]];
        for mut bytes in torn {
            let read = TraceEvent::parse_delimited(&mut bytes);
            assert!(matches!(read, Err(WireError::Schema(_))), "{read:?}");
        }
    }
}
