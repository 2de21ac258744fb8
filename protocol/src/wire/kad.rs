//! The protobuf message of libp2p's Kademlia DHT (libp2p/specs kad-dht, "RPC messages"; rust-libp2p's two extra
//! fields of a record, which others skip).
//!
//! [`Message::parse`] takes one message without the varint length that frames it on a stream, [`Message::emit`] makes
//! one. Every field is optional, so that absent and empty differ and bytes come back as they were; what to make of an
//! absent one is up to the machine. Unknown fields are skipped.

use core::fmt;

use prost::Message as _;

use super::fields::{Fields, WireError};

/// Bounds of a [`Message`]. Together they bound what parsing allocates: the input's size once more, and the in-memory
/// size of each counted element, which is under 100 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest message in bytes.
    pub bytes: usize,
    /// Most peers, closer ones and providers together.
    pub peers: usize,
    /// Most addresses, those of all peers together.
    pub addresses: usize,
}

/// 16 KiB as rust-libp2p's `DEFAULT_MAX_PACKET_SIZE` (go-libp2p takes 4 MiB). The counts are our choice: an honest
/// response names `k` = 20 closer peers and about as many providers, and few peers have more than ten addresses.
impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 * 1024, peers: 100, addresses: 1000 }
    }
}

/// What kind a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// Store a value; the response echoes the request.
    PutValue = 0,
    /// Look for a value.
    GetValue = 1,
    /// Announce a provider; there is no response.
    AddProvider = 2,
    /// Look for providers.
    GetProviders = 3,
    /// Look for peers.
    FindNode = 4,
    /// Deprecated.
    Ping = 5,
}

/// How the sender is connected to a peer it names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum ConnectionType {
    /// Not, and nothing else is known.
    NotConnected = 0,
    /// It is.
    Connected = 1,
    /// It was, not long ago.
    CanConnect = 2,
    /// It tried in vain.
    CannotConnect = 3,
}

/// A request or its response.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// A [`MessageType`]; absent is PUT_VALUE, whose number is zero.
    #[prost(enumeration = "MessageType", optional, tag = "1")]
    pub r#type: Option<i32>,
    /// What it is about: a peer id, a record's key or a multihash.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub key: Option<Vec<u8>>,
    /// A value.
    #[prost(message, optional, tag = "3")]
    pub record: Option<Record>,
    /// Peers closer to the key.
    #[prost(message, repeated, tag = "8")]
    pub closer_peers: Vec<Peer>,
    /// Peers that provide the key.
    #[prost(message, repeated, tag = "9")]
    pub provider_peers: Vec<Peer>,
    /// Not used.
    #[prost(int32, optional, tag = "10")]
    pub cluster_level_raw: Option<i32>,
}

/// A value and its key.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
#[prost(skip_debug)]
pub struct Record {
    /// The key.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub key: Option<Vec<u8>>,
    /// The value.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
    /// When its holder received it, in RFC 3339.
    #[prost(string, optional, tag = "5")]
    pub time_received: Option<String>,
    /// Who first put it: a peer id, binary (rust-libp2p).
    #[prost(bytes = "vec", optional, tag = "666")]
    pub publisher: Option<Vec<u8>>,
    /// Seconds that it still lives, 0 for no limit (rust-libp2p).
    #[prost(uint32, optional, tag = "777")]
    pub ttl: Option<u32>,
}

/// A peer that somebody names.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Peer {
    /// Its id, binary.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub id: Option<Vec<u8>>,
    /// Its multiaddresses, binary.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub addrs: Vec<Vec<u8>>,
    /// A [`ConnectionType`].
    #[prost(enumeration = "ConnectionType", optional, tag = "3")]
    pub connection: Option<i32>,
}

impl Message {
    /// Reads one message. Counts first, without allocating, then decodes.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, WireError> {
        if bytes.len() > limits.bytes {
            return Err(WireError::TooLong(bytes.len()));
        }
        let (mut peers, mut addresses) = (0, 0);
        let mut fields = Fields::of(bytes);
        while let Some((tag, body)) = fields.next()? {
            if let 8 | 9 = tag {
                peers += 1;
                let mut fields = Fields::of(body);
                while let Some((tag, _)) = fields.next()? {
                    addresses += usize::from(tag == 2);
                }
            }
        }
        let all = [("peers", peers, limits.peers), ("addresses", addresses, limits.addresses)];
        if let Some((what, count, _)) = all.into_iter().find(|(_, count, max)| count > max) {
            return Err(WireError::TooMany { what, count });
        }
        Self::decode(bytes).map_err(WireError::Schema)
    }

    /// The message's bytes.
    pub fn emit(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// How many bytes [`Message::emit`] makes.
    pub fn emitted_len(&self) -> usize {
        self.encoded_len()
    }
}

/// Values print as their size only.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
        write!(f, "Record {{ key: <{}b>, value: <{}b>, .. }}", bytes(&self.key), bytes(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Message, WireError> {
        Message::parse(bytes, &Limits::default())
    }

    /// Written by hand from the schema: field numbers and wire types are what interoperation hangs on.
    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let peer = |id: u8, connection: ConnectionType| Peer {
            id: Some(vec![id]),
            addrs: vec![vec![4, 5], vec![6]],
            connection: Some(connection.into()),
        };
        let message = Message {
            r#type: Some(MessageType::FindNode.into()),
            key: Some(b"key".to_vec()),
            record: Some(Record {
                key: Some(vec![1]),
                value: Some(vec![2, 2]),
                time_received: Some("t".into()),
                publisher: Some(vec![3]),
                ttl: Some(300),
            }),
            closer_peers: vec![peer(7, ConnectionType::Connected)],
            provider_peers: vec![peer(8, ConnectionType::CannotConnect)],
            cluster_level_raw: Some(10),
        };
        #[rustfmt::skip]
        let bytes = [
            0x08, 4,
            0x12, 3, b'k', b'e', b'y',
            0x1a, 18, 0x0a, 1, 1, 0x12, 2, 2, 2, 0x2a, 1, b't', 0xd2, 0x29, 1, 3, 0xc8, 0x30, 0xac, 0x02,
            0x42, 12, 0x0a, 1, 7, 0x12, 2, 4, 5, 0x12, 1, 6, 0x18, 1,
            0x4a, 12, 0x0a, 1, 8, 0x12, 2, 4, 5, 0x12, 1, 6, 0x18, 3,
            0x50, 10,
        ];
        assert_eq!(message.emit(), bytes);
        assert_eq!(message.emitted_len(), bytes.len());
        assert_eq!(parse(&bytes), Ok(message));
    }

    #[test]
    fn the_numbers_of_kinds_are_those_of_the_schema() {
        use MessageType::{AddProvider, FindNode, GetProviders, GetValue, Ping, PutValue};
        let kinds = [PutValue, GetValue, AddProvider, GetProviders, FindNode, Ping];
        assert_eq!(kinds.map(i32::from), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Message::default().r#type(), PutValue);
        // A kind from the future is kept; the machine drops it.
        assert_eq!(parse(&[0x08, 99]).map(|m| m.r#type), Ok(Some(99)));
    }

    #[test]
    fn unknown_fields_are_skipped_and_payloads_not_printed() {
        let with_unknown =
            [0x22, 1, 7, 0x2d, 1, 2, 3, 4, 0x39, 9, 9, 9, 9, 9, 9, 9, 9, 0x58, 1, 0x1a, 3, 0x12, 1, 5];
        let record = Record { value: Some(vec![5]), ..Record::default() };
        assert_eq!(format!("{record:?}"), "Record { key: <0b>, value: <1b>, .. }");
        assert_eq!(parse(&with_unknown), Ok(Message { record: Some(record), ..Message::default() }));
        assert_eq!(parse(&[]), Ok(Message::default()));
    }

    #[test]
    fn torn_and_foreign_bytes_are_errors() {
        let torn: [&[u8]; 6] = [
            &[0x12],
            &[0x12, 5, 1],
            &[0x80],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x13, 0x14],
            &[0x42, 2, 0x0a, 1],
        ];
        for bytes in torn {
            assert_eq!(parse(bytes), Err(WireError::Torn), "{bytes:?}");
        }
        // A text that is not UTF-8, a length where a number belongs, field number zero.
        let foreign: [&[u8]; 3] = [&[0x1a, 3, 0x2a, 1, 0xff], &[0x0a, 0], &[0x02, 0]];
        for bytes in foreign {
            assert!(matches!(parse(bytes), Err(WireError::Schema(_))), "{bytes:?}");
        }
    }

    #[test]
    fn every_bound_is_enforced_at_its_value() {
        let peer = || Peer { addrs: vec![vec![1]], ..Peer::default() };
        let most = Message { closer_peers: vec![peer()], provider_peers: vec![peer()], ..Message::default() };
        let limits = Limits { bytes: most.emitted_len() + 4, peers: 2, addresses: 2 };
        let check = |message: &Message| Message::parse(&message.emit(), &limits).map(drop);
        assert_eq!(check(&most), Ok(()));
        for more in [8, 9] {
            let bytes = [&most.emit()[..], &[more << 3 | 2, 0]].concat();
            let too_many = WireError::TooMany { what: "peers", count: 3 };
            assert_eq!(Message::parse(&bytes, &limits), Err(too_many));
        }
        let mut addresses = most;
        addresses.provider_peers[0].addrs.push(Vec::new());
        assert_eq!(check(&addresses), Err(WireError::TooMany { what: "addresses", count: 3 }));
        let long = [0; 17];
        assert_eq!(Message::parse(&long, &Limits { bytes: 16, ..limits }), Err(WireError::TooLong(17)));
    }

    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        option::of(vec(any::<u8>(), 0..9))
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let record = (bytes(), bytes(), option::of(".{0,9}"), bytes(), any::<Option<u32>>()).prop_map(
            |(key, value, time_received, publisher, ttl)| Record {
                key,
                value,
                time_received,
                publisher,
                ttl,
            },
        );
        let peer = || {
            let addrs = vec(vec(any::<u8>(), 0..9), 0..3);
            let parts = (bytes(), addrs, any::<Option<i32>>());
            vec(parts.prop_map(|(id, addrs, connection)| Peer { id, addrs, connection }), 0..4)
        };
        (any::<Option<i32>>(), bytes(), option::of(record), peer(), peer(), any::<Option<i32>>()).prop_map(
            |(r#type, key, record, closer_peers, provider_peers, cluster_level_raw)| Message {
                r#type,
                key,
                record,
                closer_peers,
                provider_peers,
                cluster_level_raw,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(message in any_message()) {
            let bytes = message.emit();
            prop_assert_eq!(bytes.len(), message.emitted_len());
            prop_assert_eq!(parse(&bytes), Ok(message));
        }

        #[test]
        fn damaged_bytes_never_panic(
            message in any_message(), at: proptest::sample::Index, by: u8, cut: proptest::sample::Index,
        ) {
            let mut bytes = message.emit();
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
