//! Gossip messages as a node holds them: the bytes of libp2p's pubsub message exist once, however many queues they are in.
//!
//! A message's id is libp2p's default, author and sequence number, and it carries the author's own signature over them
//! ("StrictSign"), beside the one inside the envelope. Stacks spell the id in two ways: [`IdForm`].

use core::fmt;
use core::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use hyperspace_protocol::gossip::cache::SeenIds;
use hyperspace_protocol::identity::{Keypair, PeerId, verify_strict};
use hyperspace_protocol::machine::{Inspection, Message, TopicRef};
use hyperspace_protocol::wire::pubsub;
use sha2::{Digest, Sha256};

/// What libp2p puts before the bytes that it signs (libp2p/specs pubsub, "Message signing").
const SIGNED_PREFIX: &[u8] = b"libp2p-pubsub:";

/// Bytes of a key as libp2p spells it: protobuf of key type and key.
const KEY_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// How a message id is spelled on the wire. Stock stacks differ in their defaults; see [`MessageId::parse`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IdForm {
    /// The author's binary id and the eight bytes of the number: go-libp2p-pubsub and js-libp2p.
    #[default]
    Binary,
    /// The author's id in base58 and the number in decimal: rust-libp2p.
    Text,
}

/// A message id: author and sequence number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    source: PeerId,
    seqno: u64,
    /// Not zero for a message whose pubsub signature does not hold: it must not take the place of the true one.
    forged: u64,
}

impl MessageId {
    /// The id of an author's message of this number.
    pub const fn new(source: PeerId, seqno: u64) -> Self {
        Self { source, seqno, forged: 0 }
    }

    /// Who is said to have published it.
    pub const fn source(&self) -> PeerId {
        self.source
    }

    /// Its number.
    pub const fn seqno(&self) -> u64 {
        self.seqno
    }

    /// Whether the message had no valid signature. Such an id is never told to anybody.
    pub const fn is_forged(&self) -> bool {
        self.forged != 0
    }

    /// The id as it is spelled on the wire.
    pub fn emit(&self, form: IdForm) -> Vec<u8> {
        match form {
            IdForm::Binary => [&self.source.to_multihash()[..], &self.seqno.to_be_bytes()].concat(),
            IdForm::Text => format!("{}{}", self.source, self.seqno).into_bytes(),
        }
    }

    /// Reads an id in either form: they cannot be mistaken for each other, as a binary one starts with a zero byte.
    pub fn parse(bytes: &[u8]) -> Option<(Self, IdForm)> {
        if let Some((source, seqno)) = bytes.split_at_checked(PeerId::MULTIHASH_LEN)
            && let (Ok(source), Ok(seqno)) = (PeerId::from_multihash(source), <[u8; 8]>::try_from(seqno))
        {
            return Some((Self::new(source, u64::from_be_bytes(seqno)), IdForm::Binary));
        }
        let (source, seqno) = std::str::from_utf8(bytes).ok()?.split_at_checked(PeerId::TEXT_LEN)?;
        let number: u64 = seqno.parse().ok()?;
        // One number has one spelling: no sign, no leading zeros.
        (number.to_string() == seqno).then_some((Self::new(source.parse().ok()?, number), IdForm::Text))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}{}", self.source, self.seqno, if self.is_forged() { " (forged)" } else { "" })
    }
}

/// The replay key of an envelope, `from` and `nonce` (decision E14), shortened to half a SHA-256: who makes two of the
/// same harms only a message of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// The key of this sender's nonce.
    pub fn new(from: &PeerId, nonce: &str) -> Self {
        let digest = Sha256::new().chain_update(from.as_bytes()).chain_update(nonce).finalize();
        Self(digest[..16].try_into().expect("a SHA-256 digest has 32 bytes"))
    }
}

/// A gossip message. Cheap to clone.
#[derive(Clone)]
pub struct NodeMessage(Arc<Inner>);

struct Inner {
    id: MessageId,
    topic: TopicRef,
    name: Arc<str>,
    /// The RPC that holds nothing but this message, with the length before it: what is written to a stream.
    frame: Box<[u8]>,
    data: Range<usize>,
    verdict: OnceLock<Inspection<Nonce>>,
    live: Option<Live>,
}

/// Why a pubsub message is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// No author, no sequence number of eight bytes, no signature of 64, or a key that is not the author's.
    Malformed,
    /// The author's id is of another key type than Ed25519 (decision E7). Whoever sent it is not to blame.
    ForeignAuthor,
}

impl NodeMessage {
    /// Takes up a message that came in on this topic, and checks the pubsub signature. One whose signature does not hold
    /// is still a message, so that the machine can blame its sender, but has an id of its own.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn receive(
        message: &pubsub::Message,
        topic: TopicRef,
        name: Arc<str>,
        live: Live,
    ) -> Result<Self, Unfit> {
        let from = message.from.as_deref().ok_or(Unfit::Malformed)?;
        let source = PeerId::from_multihash(from).map_err(|_| Unfit::ForeignAuthor)?;
        let seqno = message.seqno.as_deref().and_then(|s| s.try_into().ok()).ok_or(Unfit::Malformed)?;
        let signature: [u8; 64] =
            message.signature.as_deref().and_then(|s| s.try_into().ok()).ok_or(Unfit::Malformed)?;
        if let Some(key) = &message.key
            && key.strip_prefix(&KEY_PREFIX) != Some(source.as_bytes())
        {
            return Err(Unfit::Malformed);
        }
        let encoded = Encoded::new(message);
        let mut id = MessageId::new(source, u64::from_be_bytes(seqno));
        if !verify_strict(source.as_bytes(), &encoded.signed(), &signature) {
            let digest = Sha256::digest(&encoded.body);
            id.forged = u64::from_be_bytes(digest[..8].try_into().expect("32 bytes")) | 1;
        }
        Ok(Self::from_encoded(encoded, id, topic, name, Some(live)))
    }

    /// Publishes a payload: signs it as libp2p does.
    pub fn publish(keypair: &Keypair, topic: TopicRef, name: Arc<str>, seqno: u64, data: Vec<u8>) -> Self {
        let source = keypair.peer_id();
        let mut message = pubsub::Message {
            from: Some(source.to_multihash().to_vec()),
            data: Some(data),
            seqno: Some(seqno.to_be_bytes().to_vec()),
            topic: Some(name.as_ref().to_owned()),
            signature: None,
            key: None,
        };
        message.signature = Some(keypair.sign(&Encoded::new(&message).signed()).to_vec());
        Self::from_encoded(Encoded::new(&message), MessageId::new(source, seqno), topic, name, None)
    }

    fn from_encoded(
        encoded: Encoded,
        id: MessageId,
        topic: TopicRef,
        name: Arc<str>,
        live: Option<Live>,
    ) -> Self {
        let mut head = vec![0x12];
        put_varint(&mut head, encoded.body.len());
        let mut frame = Vec::with_capacity(encoded.body.len() + 10);
        put_varint(&mut frame, head.len() + encoded.body.len());
        frame.extend_from_slice(&head);
        let start = frame.len();
        frame.extend_from_slice(&encoded.body);
        let data = start + encoded.data.start..start + encoded.data.end;
        if let Some(live) = &live {
            live.0.fetch_add(frame.len(), Ordering::Relaxed);
        }
        Self(Arc::new(Inner { id, topic, name, frame: frame.into(), data, verdict: OnceLock::new(), live }))
    }

    /// The payload: the envelope's text.
    pub fn data(&self) -> &[u8] {
        &self.0.frame[self.0.data.clone()]
    }

    /// The name of the topic.
    pub fn topic_name(&self) -> &str {
        &self.0.name
    }

    /// What is written to a stream to send this message.
    pub fn frame(&self) -> &[u8] {
        &self.0.frame
    }

    /// What `inspect` says, asked once.
    pub fn verdict(&self, inspect: impl FnOnce() -> Inspection<Nonce>) -> Inspection<Nonce> {
        *self.0.verdict.get_or_init(inspect)
    }

    /// The message as protobuf, as [`Names`](hyperspace_protocol::gossip::codec::Names) wants it.
    pub fn to_wire(&self) -> pubsub::Message {
        let mut frame = &self.0.frame[..];
        let limits = pubsub::RpcLimits { bytes: usize::MAX, ..pubsub::RpcLimits::default() };
        let message = take_varint(&mut frame).and_then(|_| pubsub::Rpc::parse(frame, &limits).ok());
        message.and_then(|mut rpc| rpc.publish.pop()).expect("we made these bytes")
    }
}

impl Message for NodeMessage {
    type Id = MessageId;
    type Nonce = Nonce;
    type Seen = SeenIds<MessageId>;
    type Nonces = SeenIds<Nonce>;
    type Contact = PeerId;

    fn id(&self) -> MessageId {
        self.0.id
    }
    fn topic(&self) -> TopicRef {
        self.0.topic
    }
    fn size(&self) -> usize {
        self.0.data.len()
    }
}

impl PartialEq for NodeMessage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.id == other.0.id && self.0.topic == other.0.topic && self.0.frame == other.0.frame)
    }
}

impl fmt::Debug for NodeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {} <{}b>", self.0.id, self.0.name, self.0.data.len())
    }
}

/// Counts the bytes of all messages from others that are still held somewhere: the machine's history, queues, tasks.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<AtomicUsize>);

impl Live {
    /// How many bytes that is.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.0.fetch_sub(self.frame.len(), Ordering::Relaxed);
        }
    }
}

/// A pubsub message's bytes, absent fields left out, with marks on them.
struct Encoded {
    body: Vec<u8>,
    data: Range<usize>,
    /// Fields up to here are signed.
    signed: usize,
}

impl Encoded {
    fn new(message: &pubsub::Message) -> Self {
        let mut body = Vec::with_capacity(message.data.as_ref().map_or(0, Vec::len) + 256);
        let mut put = |tag: u8, field: Option<&[u8]>| {
            if let Some(bytes) = field {
                body.push(tag << 3 | 2);
                put_varint(&mut body, bytes.len());
                body.extend_from_slice(bytes);
            }
            body.len()
        };
        put(1, message.from.as_deref());
        let end = put(2, message.data.as_deref());
        let data = end - message.data.as_ref().map_or(0, Vec::len)..end;
        put(3, message.seqno.as_deref());
        let signed = put(4, message.topic.as_deref().map(str::as_bytes));
        put(5, message.signature.as_deref());
        put(6, message.key.as_deref());
        Self { body, data, signed }
    }

    fn signed(&self) -> Vec<u8> {
        [SIGNED_PREFIX, &self.body[..self.signed]].concat()
    }
}

/// Appends an unsigned varint.
pub(crate) fn put_varint(to: &mut Vec<u8>, n: usize) {
    let mut n = n as u64;
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

/// Takes an unsigned varint off the front.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> NodeMessage {
        let pair = Keypair::from_seed([7; 32]);
        NodeMessage::publish(&pair, TopicRef(3), "t".into(), 0x0102, b"payload".to_vec())
    }

    fn receive(message: &pubsub::Message) -> Result<NodeMessage, Unfit> {
        NodeMessage::receive(message, TopicRef(3), "t".into(), Live::default())
    }

    #[test]
    fn what_is_published_is_received_as_it_was() {
        let message = published();
        assert_eq!(message.data(), b"payload");
        let wire = message.to_wire();
        assert_eq!((wire.topic.as_deref(), wire.key.as_deref()), (Some("t"), None));
        let received = receive(&wire).expect("fit");
        assert_eq!(received, message);
        assert_eq!(received.id(), message.id());
        assert!(!received.id().is_forged());
    }

    #[test]
    fn a_forged_message_does_not_take_the_place_of_the_true_one() {
        let message = published();
        for change in 0..4 {
            let mut wire = message.to_wire();
            match change {
                0 => wire.data = Some(b"another".to_vec()),
                1 => wire.topic = Some("u".into()),
                2 => wire.signature.as_mut().expect("signed")[0] ^= 1,
                _ => wire.data = None,
            }
            let forged = receive(&wire).expect("fit");
            assert!(forged.id().is_forged(), "{change}");
            assert_ne!(forged.id(), message.id());
        }
    }

    #[test]
    fn what_strict_signing_demands_must_be_there() {
        let wire = published().to_wire();
        let check = |change: &dyn Fn(&mut pubsub::Message)| {
            let mut wire = wire.clone();
            change(&mut wire);
            receive(&wire).err()
        };
        assert_eq!(check(&|m| m.from = None), Some(Unfit::Malformed));
        assert_eq!(check(&|m| m.seqno = Some(vec![1])), Some(Unfit::Malformed));
        assert_eq!(check(&|m| m.seqno = None), Some(Unfit::Malformed));
        assert_eq!(check(&|m| m.signature = None), Some(Unfit::Malformed));
        assert_eq!(check(&|m| m.key = Some(vec![1; 36])), Some(Unfit::Malformed));
        assert_eq!(check(&|m| m.from = Some(vec![0x12; 34])), Some(Unfit::ForeignAuthor));
        let key = [&KEY_PREFIX[..], &Keypair::from_seed([7; 32]).public_key()].concat();
        assert_eq!(check(&|m| m.key = Some(key.clone())), None);
    }

    #[test]
    fn ids_read_back_in_both_forms_and_nothing_else_does() {
        let id = published().id();
        for form in [IdForm::Binary, IdForm::Text] {
            assert_eq!(MessageId::parse(&id.emit(form)), Some((id, form)));
        }
        let text = String::from_utf8(id.emit(IdForm::Text)).expect("text");
        assert!(text.ends_with("258"));
        for bad in ["", "1", &text[..52], &format!("{text}x"), &text.replace("258", "+258")] {
            assert_eq!(MessageId::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(MessageId::parse(&[0; 46]), None);
        assert_eq!(MessageId::parse("é".repeat(40).as_bytes()), None);
    }

    #[test]
    fn bytes_from_others_are_counted_while_they_are_held() {
        let live = Live::default();
        let wire = published().to_wire();
        let message = NodeMessage::receive(&wire, TopicRef(0), "t".into(), live.clone()).expect("fit");
        let copy = message.clone();
        assert_eq!(live.bytes(), message.frame().len());
        drop((message, copy));
        assert_eq!(live.bytes(), 0);
    }
}
