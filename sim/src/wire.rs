//! Simulated frames on the wire: what they would weigh, and the round trip through libp2p's protobuf that `--wire` adds.
//!
//! A message id is libp2p's default, author and sequence number; the sequence number is the place in the message table.
//! The 64 bytes of libp2p's own message signature are zero: inside the simulator nobody forges a frame's author.

use hyperspace_protocol::card::Published;
use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::gossip::codec::{self, Names, field};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad;
use hyperspace_protocol::machine::{Message, TopicRef};
use hyperspace_protocol::request::{Request, Response};
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::wire::kad::{Limits, Message as KadMessage};
use hyperspace_protocol::wire::pubsub::{self, Rpc, RpcLimits};

use crate::event::Payload;
use crate::message::{MessageTable, SimMessage};
use crate::rpc::Packet;
use crate::shared::Shared;

const SEQNO_LEN: usize = 8;
const SIGNATURE_LEN: usize = 64;
const ID_LEN: usize = PeerId::MULTIHASH_LEN + SEQNO_LEN;

impl Names<SimMessage> for MessageTable {
    fn topic(&self, topic: TopicRef) -> &str {
        self.topic_name(topic)
    }
    fn find_topic(&self, name: &str) -> Option<TopicRef> {
        Self::topic(self, name)
    }
    fn id(&self, id: &u32) -> Vec<u8> {
        let author = self.ids()[self.get(*id).author as usize];
        [&author.to_multihash()[..], &u64::from(*id).to_be_bytes()].concat()
    }
    fn id_len(&self, _: &u32) -> usize {
        ID_LEN
    }
    fn find_id(&self, bytes: &[u8]) -> Option<u32> {
        let (author, seqno) = bytes.split_at_checked(PeerId::MULTIHASH_LEN)?;
        let index = u32::try_from(u64::from_be_bytes(seqno.try_into().ok()?)).ok()?;
        let stored = self.find(index)?;
        (self.ids()[stored.author as usize].to_multihash() == author).then_some(index)
    }
    fn message(&self, message: &SimMessage) -> pubsub::Message {
        let stored = self.get(message.index());
        pubsub::Message {
            from: Some(self.ids()[stored.author as usize].to_multihash().to_vec()),
            data: Some(stored.bytes.to_vec()),
            seqno: Some(u64::from(message.index()).to_be_bytes().to_vec()),
            topic: Some(self.topic_name(stored.topic).to_owned()),
            signature: Some(vec![0; SIGNATURE_LEN]),
            key: None,
        }
    }
    fn message_len(&self, message: &SimMessage) -> usize {
        field(PeerId::MULTIHASH_LEN)
            + field(message.size())
            + field(SEQNO_LEN)
            + field(self.topic_name(message.topic()).len())
            + field(SIGNATURE_LEN)
    }
    fn take_message(&self, message: pubsub::Message) -> Option<SimMessage> {
        let id = [message.from?, message.seqno?].concat();
        let index = self.find_id(&id)?;
        let stored = self.find(index)?;
        let same = *stored.bytes == *message.data? && self.topic_name(stored.topic) == message.topic?;
        same.then(|| self.handle(index))
    }
}

/// Bytes of a frame as libp2p protobuf.
pub(crate) fn length(shared: &Shared, frame: &Frame<SimMessage>) -> usize {
    codec::encoded_len(frame, &*shared.messages)
}

/// Encodes a frame and parses it again.
///
/// # Errors
/// What did not come back as it went.
pub(crate) fn round_trip(shared: &Shared, frame: &Frame<SimMessage>) -> Result<Frame<SimMessage>, String> {
    let bytes = codec::encode(frame, &*shared.messages).emit();
    if bytes.len() != length(shared, frame) {
        return Err(format!("{} bytes instead of {}", bytes.len(), length(shared, frame)));
    }
    let limits = RpcLimits { bytes: usize::MAX, ..RpcLimits::default() };
    let rpc = Rpc::parse(&bytes, &limits).map_err(|e| e.to_string())?;
    let mut frames = codec::decode(rpc, &*shared.messages);
    let Some(parsed) = frames.pop().filter(|_| frames.is_empty()) else {
        return Err("not one frame".into());
    };
    let parsed = match (parsed, frame) {
        (Frame::Message(parsed), Frame::Message(sent)) => Frame::Message(parsed.with_hops_of(*sent)),
        (parsed, _) => parsed,
    };
    if parsed == *frame { Ok(parsed) } else { Err(format!("came back as {parsed:?}")) }
}

impl kad::codec::Names<u32> for Shared {
    fn id(&self, contact: u32) -> PeerId {
        self.messages.ids()[contact as usize]
    }
    fn find(&self, id: &PeerId, _: &[Vec<u8>]) -> Option<u32> {
        Self::find(self, id)
    }
}

/// Bytes of what an event carries; none for what is no packet.
pub(crate) fn payload_length(shared: &Shared, payload: &Payload) -> usize {
    match payload {
        Payload::Frame(frame) => length(shared, frame),
        Payload::Packet(packet) => packet_length(shared, packet),
        Payload::Taken
        | Payload::Dial { .. }
        | Payload::Accept { .. }
        | Payload::Refuse { .. }
        | Payload::Close
        | Payload::Publish(_)
        | Payload::DialOrder(_)
        | Payload::Query(_)
        | Payload::Call(_)
        | Payload::Wake
        | Payload::Leave => 0,
    }
}

/// Bytes of a request or response.
pub(crate) fn packet_length(shared: &Shared, packet: &Packet) -> usize {
    match packet {
        Packet::Request { request: Request::Dht(request), .. } => kad::codec::request_len(request, shared),
        // The echo of a stored value counts as nothing: who answers no longer has the request.
        Packet::Response { response: Response::Dht(response), .. } => {
            kad::codec::response_len(0, response, shared)
        }
        Packet::Response { response: Response::Card(card), .. } => {
            card.as_ref().map_or(0, |card| card.bytes())
        }
        Packet::Request { request: Request::Agent { body, .. }, .. }
        | Packet::Response { response: Response::Agent(body), .. } => body.len(),
        Packet::Request { request: Request::Card, .. } | Packet::Failed { .. } => 0,
    }
}

/// Encodes a request or response and parses it again.
///
/// # Errors
/// What did not come back as it went.
pub(crate) fn round_trip_packet(shared: &Shared, packet: &Packet) -> Result<(), String> {
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let over_the_wire = |message: &KadMessage| {
        let bytes = message.emit();
        match bytes.len() == packet_length(shared, packet) {
            true => KadMessage::parse(&bytes, &limits).map_err(|e| e.to_string()),
            false => Err(format!("{} bytes instead of {}", bytes.len(), packet_length(shared, packet))),
        }
    };
    let same = match packet {
        Packet::Request { request: Request::Dht(request), .. } => {
            let message = over_the_wire(&kad::codec::encode_request(request, shared))?;
            kad::codec::decode_request(&message, shared) == Some(in_whole_seconds(request))
        }
        // Its bytes are those of the request that it echoes.
        Packet::Response { response: Response::Dht(kad::Response::Stored), .. } => true,
        Packet::Response { response: Response::Dht(response), .. } => {
            let message =
                over_the_wire(&kad::codec::encode_response(&KadMessage::default(), response, shared))?;
            kad::codec::decode_response(&message, shared) == Some(response_in_whole_seconds(response))
        }
        Packet::Response { response: Response::Card(Some(card)), .. } => {
            let text = serde_json::to_string(card.card()).map_err(|e| e.to_string())?;
            Published::parse(&text).is_ok_and(|parsed| parsed == **card)
        }
        // JSON as it is.
        Packet::Request { request: Request::Card | Request::Agent { .. }, .. }
        | Packet::Response { response: Response::Card(None) | Response::Agent(_), .. }
        | Packet::Failed { .. } => true,
    };
    if same { Ok(()) } else { Err("came back otherwise".into()) }
}

/// The wire has whole seconds for how long a value lives, rounded up.
fn record(record: &kad::Record) -> kad::Record {
    let whole = |ttl: Duration| Duration::from_secs(ttl.as_nanos().div_ceil(1_000_000_000).max(1));
    kad::Record { ttl: record.ttl.map(whole), ..record.clone() }
}

fn in_whole_seconds(request: &kad::Request<u32>) -> kad::Request<u32> {
    if let kad::Request::PutValue(value) = request {
        return kad::Request::PutValue(record(value));
    }
    request.clone()
}

fn response_in_whole_seconds(response: &kad::Response<u32>) -> kad::Response<u32> {
    if let kad::Response::Value { record: value, closer } = response {
        return kad::Response::Value { record: value.as_ref().map(record), closer: closer.clone() };
    }
    response.clone()
}
