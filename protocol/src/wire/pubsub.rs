//! The protobuf messages of libp2p pubsub with GossipSub v1.0 to v1.2 control messages (libp2p/specs `pubsub.pb`; spec 2.1
//! names GossipSub as the transport).
//!
//! [`Rpc::parse`] takes one message without the varint length that frames it on a stream, [`Rpc::emit`] makes one. Every
//! field is optional, as in proto2: absent and empty differ, and what to make of an absent one is up to the machine.
//! Unknown fields (v1.3 and later) are skipped.

use core::fmt;

use prost::Message as _;

use super::fields::{Fields, WireError};

/// Bounds of an [`Rpc`]. Together they bound what parsing allocates: the input's size once more, and the in-memory size
/// of each counted element, which is under 200 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RpcLimits {
    /// Longest message in bytes.
    pub bytes: usize,
    /// Most subscription changes.
    pub subscriptions: usize,
    /// Most published messages.
    pub messages: usize,
    /// Most control messages, all five kinds together.
    pub control: usize,
    /// Most message ids, those of IHAVE, IWANT and IDONTWANT together.
    pub ids: usize,
    /// Most peers offered for exchange, all PRUNEs together.
    pub peers: usize,
}

/// 64 KiB as rust-libp2p's `max_transmit_size`. 5000 ids as go-libp2p-pubsub's `GossipSubMaxIHaveLength`; no stack has
/// finite defaults for the other counts, so they are the same, which no honest message of 64 KiB reaches.
impl Default for RpcLimits {
    fn default() -> Self {
        let most = 5000;
        Self { bytes: 64 * 1024, subscriptions: most, messages: most, control: most, ids: most, peers: most }
    }
}

/// Everything one peer tells another at once.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rpc {
    /// Topics now wanted or no longer wanted.
    #[prost(message, repeated, tag = "1")]
    pub subscriptions: Vec<SubOpts>,
    /// Messages published or forwarded.
    #[prost(message, repeated, tag = "2")]
    pub publish: Vec<Message>,
    /// GossipSub control messages.
    #[prost(message, optional, tag = "3")]
    pub control: Option<ControlMessage>,
}

/// A subscription change.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SubOpts {
    /// Whether the topic is now wanted.
    #[prost(bool, optional, tag = "1")]
    pub subscribe: Option<bool>,
    /// The topic.
    #[prost(string, optional, tag = "2")]
    pub topicid: Option<String>,
}

/// A published message.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct Message {
    /// The author's peer id, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub from: Option<Vec<u8>>,
    /// The payload.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub data: Option<Vec<u8>>,
    /// The author's sequence number, 8 bytes big endian.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub seqno: Option<Vec<u8>>,
    /// The topic. Required in proto2; whoever handles the message drops one without.
    #[prost(string, optional, tag = "4")]
    pub topic: Option<String>,
    /// The author's signature.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub signature: Option<Vec<u8>>,
    /// The author's key, for authors whose id does not hold it.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub key: Option<Vec<u8>>,
}

/// GossipSub control messages.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlMessage {
    /// "I have these messages."
    #[prost(message, repeated, tag = "1")]
    pub ihave: Vec<ControlIhave>,
    /// "Send me these messages."
    #[prost(message, repeated, tag = "2")]
    pub iwant: Vec<ControlIwant>,
    /// "You are in my mesh."
    #[prost(message, repeated, tag = "3")]
    pub graft: Vec<ControlGraft>,
    /// "You are no longer in my mesh."
    #[prost(message, repeated, tag = "4")]
    pub prune: Vec<ControlPrune>,
    /// "Do not send me these messages" (v1.2).
    #[prost(message, repeated, tag = "5")]
    pub idontwant: Vec<ControlIdontwant>,
}

/// IHAVE.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlIhave {
    /// The topic of all the messages.
    #[prost(string, optional, tag = "1")]
    pub topic_id: Option<String>,
    /// The messages' ids; bytes, although the schema once said text.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub message_ids: Vec<Vec<u8>>,
}

/// IWANT.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlIwant {
    /// The messages' ids.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub message_ids: Vec<Vec<u8>>,
}

/// GRAFT.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlGraft {
    /// Which mesh.
    #[prost(string, optional, tag = "1")]
    pub topic_id: Option<String>,
}

/// PRUNE.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlPrune {
    /// Which mesh.
    #[prost(string, optional, tag = "1")]
    pub topic_id: Option<String>,
    /// Other peers of the topic (peer exchange, v1.1).
    #[prost(message, repeated, tag = "2")]
    pub peers: Vec<PeerInfo>,
    /// Seconds before a new GRAFT is welcome (v1.1).
    #[prost(uint64, optional, tag = "3")]
    pub backoff: Option<u64>,
}

/// A peer offered for exchange.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PeerInfo {
    /// Its id, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub peer_id: Option<Vec<u8>>,
    /// A libp2p envelope with its addresses.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub signed_peer_record: Option<Vec<u8>>,
}

/// IDONTWANT (v1.2).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlIdontwant {
    /// The messages' ids.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub message_ids: Vec<Vec<u8>>,
}

impl Rpc {
    /// Reads one message. Counts first, without allocating, then decodes.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn parse(bytes: &[u8], limits: &RpcLimits) -> Result<Self, WireError> {
        if bytes.len() > limits.bytes {
            return Err(WireError::TooLong(bytes.len()));
        }
        let mut counts = Counts::default();
        counts.add(Level::Rpc, bytes)?;
        counts.check(limits)?;
        Self::decode(bytes).map_err(WireError::Schema)
    }

    /// The message's bytes.
    pub fn emit(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// How many bytes [`Rpc::emit`] makes.
    pub fn emitted_len(&self) -> usize {
        self.encoded_len()
    }
}

/// Payloads print as their size only.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("seqno", &self.seqno)
            .field("data", &format_args!("<{}b>", bytes(&self.data)))
            .finish_non_exhaustive()
    }
}

/// How many elements of each kind a message has, found by walking its field headers.
#[derive(Default)]
struct Counts {
    subscriptions: usize,
    messages: usize,
    control: usize,
    ids: usize,
    peers: usize,
}

/// Which message type a piece of the input is.
#[derive(Clone, Copy)]
enum Level {
    Rpc,
    Control,
    Ihave,
    Prune,
    /// IWANT and IDONTWANT look alike.
    Ids,
}

impl Counts {
    /// Recurses as deep as the schema: three levels.
    fn add(&mut self, level: Level, bytes: &[u8]) -> Result<(), WireError> {
        let mut fields = Fields::of(bytes);
        while let Some((tag, body)) = fields.next()? {
            match (level, tag) {
                (Level::Rpc, 1) => self.subscriptions += 1,
                (Level::Rpc, 2) => self.messages += 1,
                (Level::Rpc, 3) => self.add(Level::Control, body)?,
                (Level::Control, 1..=5) => {
                    self.control += 1;
                    match tag {
                        1 => self.add(Level::Ihave, body)?,
                        4 => self.add(Level::Prune, body)?,
                        2 | 5 => self.add(Level::Ids, body)?,
                        _ => {}
                    }
                }
                (Level::Ihave, 2) | (Level::Ids, 1) => self.ids += 1,
                (Level::Prune, 2) => self.peers += 1,
                (Level::Rpc | Level::Control | Level::Ihave | Level::Prune | Level::Ids, _) => {}
            }
        }
        Ok(())
    }

    fn check(&self, limits: &RpcLimits) -> Result<(), WireError> {
        let all = [
            ("subscriptions", self.subscriptions, limits.subscriptions),
            ("messages", self.messages, limits.messages),
            ("control messages", self.control, limits.control),
            ("message ids", self.ids, limits.ids),
            ("peers", self.peers, limits.peers),
        ];
        match all.into_iter().find(|(_, count, max)| count > max) {
            Some((what, count, _)) => Err(WireError::TooMany { what, count }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Rpc, WireError> {
        Rpc::parse(bytes, &RpcLimits::default())
    }

    /// Written by hand from the schema: field numbers and wire types are what interoperation hangs on.
    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let rpc = Rpc {
            subscriptions: vec![SubOpts { subscribe: Some(true), topicid: Some("t".into()) }],
            publish: vec![Message {
                from: Some(vec![1]),
                data: Some(vec![2, 2]),
                seqno: Some(vec![3]),
                topic: Some("t".into()),
                signature: Some(vec![5]),
                key: Some(vec![6]),
            }],
            control: Some(ControlMessage {
                ihave: vec![ControlIhave { topic_id: Some("t".into()), message_ids: vec![vec![7], vec![8]] }],
                iwant: vec![ControlIwant { message_ids: vec![vec![9]] }],
                graft: vec![ControlGraft { topic_id: Some("t".into()) }],
                prune: vec![ControlPrune {
                    topic_id: Some("t".into()),
                    peers: vec![PeerInfo { peer_id: Some(vec![10]), signed_peer_record: Some(vec![11]) }],
                    backoff: Some(300),
                }],
                idontwant: vec![ControlIdontwant { message_ids: vec![vec![12]] }],
            }),
        };
        #[rustfmt::skip]
        let bytes = [
            0x0a, 5, 0x08, 1, 0x12, 1, b't',
            0x12, 19, 0x0a, 1, 1, 0x12, 2, 2, 2, 0x1a, 1, 3, 0x22, 1, b't', 0x2a, 1, 5, 0x32, 1, 6,
            0x1a, 42,
                0x0a, 9, 0x0a, 1, b't', 0x12, 1, 7, 0x12, 1, 8,
                0x12, 3, 0x0a, 1, 9,
                0x1a, 3, 0x0a, 1, b't',
                0x22, 14, 0x0a, 1, b't', 0x12, 6, 0x0a, 1, 10, 0x12, 1, 11, 0x18, 0xac, 0x02,
                0x2a, 3, 0x0a, 1, 12,
        ];
        assert_eq!(rpc.emit(), bytes);
        assert_eq!(rpc.emitted_len(), bytes.len());
        assert_eq!(parse(&bytes), Ok(rpc));
    }

    #[test]
    fn absent_and_empty_differ() {
        assert_eq!(parse(&[]), Ok(Rpc::default()));
        let empty = Message { data: Some(Vec::new()), ..Message::default() };
        let rpc = Rpc { publish: vec![empty], ..Rpc::default() };
        assert_eq!(rpc.emit(), [0x12, 2, 0x12, 0]);
        assert_eq!(parse(&[0x12, 2, 0x12, 0]), Ok(rpc));
        assert_eq!(
            format!("{:?}", parse(&[0x12, 2, 0x12, 0]).expect("valid").publish[0]),
            "Message { topic: None, seqno: None, data: <0b>, .. }"
        );
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let with_unknown =
            [0x22, 1, 7, 0x2d, 1, 2, 3, 4, 0x30, 0x80, 1, 0x39, 9, 9, 9, 9, 9, 9, 9, 9, 0x0a, 2, 0x08, 0];
        let subscription = SubOpts { subscribe: Some(false), topicid: None };
        assert_eq!(parse(&with_unknown), Ok(Rpc { subscriptions: vec![subscription], ..Rpc::default() }));
    }

    #[test]
    fn torn_and_foreign_bytes_are_errors() {
        let torn: [&[u8]; 7] = [
            &[0x0a],
            &[0x0a, 5, 0x08],
            &[0x80],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x0b, 0x0c],
            &[0x1a, 2, 0x0a, 1],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ];
        for bytes in torn {
            assert_eq!(parse(bytes), Err(WireError::Torn), "{bytes:?}");
        }
        // A text that is not UTF-8, a number where a message belongs, field number zero.
        let foreign: [&[u8]; 3] = [&[0x0a, 3, 0x12, 1, 0xff], &[0x08, 1], &[0x00, 1]];
        for bytes in foreign {
            assert!(matches!(parse(bytes), Err(WireError::Schema(_))), "{bytes:?}");
        }
    }

    #[test]
    fn size_and_counts_are_bounded() {
        let limits = RpcLimits { bytes: 64, subscriptions: 1, messages: 1, control: 3, ids: 3, peers: 1 };
        let most = Rpc {
            subscriptions: vec![SubOpts::default(); 1],
            publish: vec![Message::default(); 1],
            control: Some(ControlMessage {
                ihave: vec![ControlIhave { topic_id: None, message_ids: vec![vec![]; 2] }],
                prune: vec![ControlPrune { peers: vec![PeerInfo::default()], ..ControlPrune::default() }],
                idontwant: vec![ControlIdontwant { message_ids: vec![vec![]] }],
                ..ControlMessage::default()
            }),
        };
        let check = |change: &dyn Fn(&mut Rpc, &mut ControlMessage)| {
            let mut rpc = most.clone();
            let mut control = rpc.control.take().expect("set");
            change(&mut rpc, &mut control);
            rpc.control = Some(control);
            Rpc::parse(&rpc.emit(), &limits).map(drop)
        };
        let too_many = |what, count| Err(WireError::TooMany { what, count });
        assert_eq!(check(&|_, _| ()), Ok(()));
        assert_eq!(check(&|rpc, _| rpc.subscriptions.push(SubOpts::default())), too_many("subscriptions", 2));
        assert_eq!(check(&|rpc, _| rpc.publish.push(Message::default())), too_many("messages", 2));
        assert_eq!(check(&|_, c| c.graft.push(ControlGraft::default())), too_many("control messages", 4));
        assert_eq!(check(&|_, c| c.ihave[0].message_ids.push(vec![])), too_many("message ids", 4));
        assert_eq!(check(&|_, c| c.idontwant[0].message_ids.push(vec![])), too_many("message ids", 4));
        assert_eq!(check(&|_, c| c.prune[0].peers.push(PeerInfo::default())), too_many("peers", 2));
        assert_eq!(Rpc::parse(&[0; 65], &limits), Err(WireError::TooLong(65)));
        // Two control messages count together, as protobuf merges them.
        let twice = [most.emit(), most.emit()].concat();
        assert!(matches!(Rpc::parse(&twice, &limits), Err(WireError::TooMany { .. })));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..9)
    }

    fn ids() -> impl Strategy<Value = Vec<Vec<u8>>> {
        vec(bytes(), 0..4)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let b = || option::of(bytes());
        (b(), b(), b(), option::of(".{0,9}"), b(), b()).prop_map(
            |(from, data, seqno, topic, signature, key)| Message { from, data, seqno, topic, signature, key },
        )
    }

    fn any_control() -> impl Strategy<Value = ControlMessage> {
        let topic = || option::of(".{0,9}");
        let peer = (option::of(bytes()), option::of(bytes()))
            .prop_map(|(peer_id, signed_peer_record)| PeerInfo { peer_id, signed_peer_record });
        (
            vec(
                (topic(), ids()).prop_map(|(topic_id, message_ids)| ControlIhave { topic_id, message_ids }),
                0..3,
            ),
            vec(ids().prop_map(|message_ids| ControlIwant { message_ids }), 0..3),
            vec(topic().prop_map(|topic_id| ControlGraft { topic_id }), 0..3),
            vec(
                (topic(), vec(peer, 0..3), any::<Option<u64>>())
                    .prop_map(|(topic_id, peers, backoff)| ControlPrune { topic_id, peers, backoff }),
                0..3,
            ),
            vec(ids().prop_map(|message_ids| ControlIdontwant { message_ids }), 0..3),
        )
            .prop_map(|(ihave, iwant, graft, prune, idontwant)| ControlMessage {
                ihave,
                iwant,
                graft,
                prune,
                idontwant,
            })
    }

    fn any_rpc() -> impl Strategy<Value = Rpc> {
        let subscription = (any::<Option<bool>>(), option::of(".{0,9}"))
            .prop_map(|(subscribe, topicid)| SubOpts { subscribe, topicid });
        (vec(subscription, 0..4), vec(any_message(), 0..4), option::of(any_control()))
            .prop_map(|(subscriptions, publish, control)| Rpc { subscriptions, publish, control })
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(rpc in any_rpc()) {
            let bytes = rpc.emit();
            prop_assert_eq!(bytes.len(), rpc.emitted_len());
            prop_assert_eq!(parse(&bytes), Ok(rpc));
        }

        #[test]
        fn damaged_bytes_never_panic(rpc in any_rpc(), at: proptest::sample::Index, by: u8, cut: proptest::sample::Index) {
            let mut bytes = rpc.emit();
            if !bytes.is_empty() {
                *at.get_mut(&mut bytes) ^= by;
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            if let Ok(read) = parse(&bytes) {
                prop_assert_eq!(parse(&read.emit()), Ok(read));
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(read) = parse(&bytes) {
                prop_assert_eq!(parse(&read.emit()), Ok(read));
            }
        }
    }
}
