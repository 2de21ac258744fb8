//! Requests and responses to and from libp2p's protobuf ([`crate::wire::kad`]).
//!
//! A driver resolves its own handles through [`Names`]. Addresses pass through it as they are: the machine knows none.

use super::key::Key;
use super::message::{Record, Request, Response};
use crate::identity::PeerId;
use crate::time::Duration;
use crate::wire::kad::{self, Message, MessageType, Peer};
use crate::wire::{field, varint};

/// What a driver's handles stand for on the wire.
pub trait Names<C> {
    /// A contact's id.
    fn id(&self, contact: C) -> PeerId;
    /// Its multiaddresses, binary, to be told to others.
    fn addresses(&self, _contact: C) -> Vec<Vec<u8>> {
        Vec::new()
    }
    /// How many bytes those take in a message, each of them a [`field`]. By default they are made to be counted.
    fn addresses_len(&self, contact: C) -> usize {
        self.addresses(contact).iter().map(|address| field(address.len())).sum()
    }
    /// The contact of an id that a peer named with these addresses; `None` for one that this driver does not take up.
    /// It sees at most [`Limits::peers`](crate::wire::kad::Limits::peers) of them per message, and has to bound what it
    /// remembers of those that come to nothing.
    fn find(&self, id: &PeerId, addresses: &[Vec<u8>]) -> Option<C>;
}

/// A request as it is sent.
pub fn encode_request<C: Copy>(request: &Request<C>, names: &impl Names<C>) -> Message {
    let (kind, key) = match request {
        Request::FindNode(key) => (MessageType::FindNode, key),
        Request::GetValue(key) => (MessageType::GetValue, key),
        Request::GetProviders(key) => (MessageType::GetProviders, key),
        Request::AddProvider { key, .. } => (MessageType::AddProvider, key),
        Request::PutValue(record) => (MessageType::PutValue, &record.key),
    };
    let mut message = typed(kind);
    message.key = Some(key.bytes().to_vec());
    match request {
        Request::FindNode(_) | Request::GetValue(_) | Request::GetProviders(_) => {}
        Request::AddProvider { providers, .. } => message.provider_peers = peers(providers, names),
        Request::PutValue(record) => message.record = Some(stored(record)),
    }
    message
}

/// How long [`encode_request`]'s message is, without making it.
pub fn request_len<C: Copy>(request: &Request<C>, names: &impl Names<C>) -> usize {
    let about = |key: &Key| KIND_LEN + field(key.bytes().len());
    match request {
        Request::FindNode(key) | Request::GetValue(key) | Request::GetProviders(key) => about(key),
        Request::AddProvider { key, providers } => about(key) + peers_len(providers, names),
        Request::PutValue(record) => about(&record.key) + stored_len(record),
    }
}

/// The request in a message; `None` for a PING and for what lacks a field it needs or contradicts itself.
pub fn decode_request<C>(message: &Message, names: &impl Names<C>) -> Option<Request<C>> {
    let key = || Some(Key::new(message.key.as_deref()?));
    Some(match kind(message)? {
        MessageType::FindNode => Request::FindNode(key()?),
        MessageType::GetValue => Request::GetValue(key()?),
        MessageType::GetProviders => Request::GetProviders(key()?),
        MessageType::AddProvider => {
            Request::AddProvider { key: key()?, providers: contacts(&message.provider_peers, names) }
        }
        MessageType::PutValue => {
            let record = record(message)?;
            Request::PutValue((Some(record.key.bytes()) == message.key.as_deref()).then_some(record)?)
        }
        MessageType::Ping => return None,
    })
}

/// A response as it is sent. `request` is the message that it answers: a stored value is confirmed by its echo.
pub fn encode_response<C: Copy>(request: &Message, response: &Response<C>, names: &impl Names<C>) -> Message {
    let (kind, closer) = match response {
        Response::Stored => return request.clone(),
        Response::Nodes { closer } => (MessageType::FindNode, closer),
        Response::Value { closer, .. } => (MessageType::GetValue, closer),
        Response::Providers { closer, .. } => (MessageType::GetProviders, closer),
    };
    let mut message = typed(kind);
    message.closer_peers = peers(closer, names);
    match response {
        Response::Value { record, .. } => message.record = record.as_ref().map(stored),
        Response::Providers { providers, .. } => message.provider_peers = peers(providers, names),
        Response::Nodes { .. } | Response::Stored => {}
    }
    message
}

/// How long [`encode_response`]'s message is, without making it. `request` is the length of the message that it
/// answers, and counts only for [`Response::Stored`], its echo.
pub fn response_len<C: Copy>(request: usize, response: &Response<C>, names: &impl Names<C>) -> usize {
    match response {
        Response::Stored => request,
        Response::Nodes { closer } => KIND_LEN + peers_len(closer, names),
        Response::Value { record, closer } => {
            KIND_LEN + record.as_ref().map_or(0, stored_len) + peers_len(closer, names)
        }
        Response::Providers { providers, closer } => {
            KIND_LEN + peers_len(providers, names) + peers_len(closer, names)
        }
    }
}

/// The response in a message; `None` for a kind that has none.
pub fn decode_response<C>(message: &Message, names: &impl Names<C>) -> Option<Response<C>> {
    let closer = || contacts(&message.closer_peers, names);
    Some(match kind(message)? {
        MessageType::FindNode => Response::Nodes { closer: closer() },
        MessageType::GetValue => Response::Value { record: record(message), closer: closer() },
        MessageType::GetProviders => {
            Response::Providers { providers: contacts(&message.provider_peers, names), closer: closer() }
        }
        MessageType::PutValue => Response::Stored,
        MessageType::AddProvider | MessageType::Ping => return None,
    })
}

fn typed(kind: MessageType) -> Message {
    Message { r#type: Some(kind.into()), ..Message::default() }
}

/// Bytes of a message's kind: tag and number.
const KIND_LEN: usize = 2;

/// As in proto3 an absent kind is the first one.
fn kind(message: &Message) -> Option<MessageType> {
    MessageType::try_from(message.r#type.unwrap_or_default()).ok()
}

fn peers<C: Copy>(contacts: &[C], names: &impl Names<C>) -> Vec<Peer> {
    let peer = |c: &C| Peer {
        id: Some(names.id(*c).to_multihash().to_vec()),
        addrs: names.addresses(*c),
        connection: None,
    };
    contacts.iter().map(peer).collect()
}

fn peers_len<C: Copy>(contacts: &[C], names: &impl Names<C>) -> usize {
    contacts.iter().map(|c| field(field(PeerId::MULTIHASH_LEN) + names.addresses_len(*c))).sum()
}

/// Ids of other key types than Ed25519 are left out (decision E7).
fn contacts<C>(peers: &[Peer], names: &impl Names<C>) -> Vec<C> {
    let contact = |p: &Peer| names.find(&PeerId::from_multihash(p.id.as_deref()?).ok()?, &p.addrs);
    peers.iter().filter_map(contact).collect()
}

fn stored(record: &Record) -> kad::Record {
    kad::Record {
        key: Some(record.key.bytes().to_vec()),
        value: Some(record.value.to_vec()),
        ttl: record.ttl.map(in_seconds),
        ..kad::Record::default()
    }
}

fn stored_len(record: &Record) -> usize {
    // The tag of `ttl`, 777, takes two bytes.
    let ttl = record.ttl.map_or(0, |ttl| 2 + varint(in_seconds(ttl).into()));
    field(field(record.key.bytes().len()) + field(record.value.len()) + ttl)
}

/// In whole seconds, rounded up: zero would be no limit.
fn in_seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1)
}

fn record(message: &Message) -> Option<Record> {
    let record = message.record.as_ref()?;
    Some(Record {
        key: Key::new(record.key.as_deref()?),
        value: record.value.as_deref().unwrap_or_default().into(),
        ttl: record.ttl.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::kad::Limits;

    /// Peers 0 to 9; others are not taken up.
    struct Ten;

    impl Names<u8> for Ten {
        fn id(&self, contact: u8) -> PeerId {
            PeerId::from_public_key([contact; 32])
        }
        fn addresses(&self, contact: u8) -> Vec<Vec<u8>> {
            vec![vec![4, contact]]
        }
        fn find(&self, id: &PeerId, addresses: &[Vec<u8>]) -> Option<u8> {
            let contact = id.as_bytes()[0];
            assert_eq!(addresses, [[4, contact]]);
            (contact < 10).then_some(contact)
        }
    }

    fn over_the_wire(message: &Message) -> Message {
        Message::parse(&message.emit(), &Limits::default()).expect("valid")
    }

    fn record(seconds: Option<u64>) -> Record {
        Record {
            key: Key::new(b"k"),
            value: b"value".as_slice().into(),
            ttl: seconds.map(Duration::from_secs),
        }
    }

    #[test]
    fn every_request_and_response_comes_back_as_it_was() {
        let key = || Key::new(b"key");
        let requests = [
            Request::FindNode(key()),
            Request::GetValue(key()),
            Request::GetProviders(key()),
            Request::AddProvider { key: key(), providers: vec![3, 4] },
            Request::PutValue(record(Some(9))),
        ];
        for request in requests {
            let message = over_the_wire(&encode_request(&request, &Ten));
            assert_eq!(decode_request(&message, &Ten), Some(request.clone()));
        }
        let put = encode_request(&Request::PutValue(record(None)), &Ten);
        let responses = [
            Response::Nodes { closer: vec![1, 2] },
            Response::Value { record: None, closer: vec![3] },
            Response::Value { record: Some(record(Some(77))), closer: Vec::new() },
            Response::Providers { providers: vec![4], closer: vec![5, 6] },
            Response::Stored,
        ];
        for response in responses {
            let message = over_the_wire(&encode_response(&put, &response, &Ten));
            assert_eq!(decode_response(&message, &Ten), Some(response.clone()));
        }
        // What rust-libp2p needs of a confirmation.
        assert_eq!(encode_response(&put, &Response::<u8>::Stored, &Ten), put);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let find = encode_response(&Message::default(), &Response::Nodes { closer: vec![1, 99, 2] }, &Ten);
        assert_eq!(decode_response(&find, &Ten), Some(Response::Nodes { closer: vec![1, 2] }));
        let mut put = encode_request(&Request::PutValue(record(None)), &Ten);
        put.key = Some(b"another".to_vec());
        let ping = typed(MessageType::Ping);
        let future = Message { r#type: Some(99), key: Some(Vec::new()), ..Message::default() };
        let keyless = typed(MessageType::FindNode);
        for message in [&put, &ping, &future, &keyless, &Message::default()] {
            assert_eq!(decode_request(message, &Ten), None, "{message:?}");
        }
        assert_eq!(decode_response(&ping, &Ten), None);
        assert_eq!(decode_response(&typed(MessageType::AddProvider), &Ten), None);
    }

    #[test]
    fn a_remaining_life_is_rounded_up_and_never_no_limit() {
        let seconds = |nanos| stored(&Record { ttl: Some(Duration::from_nanos(nanos)), ..record(None) }).ttl;
        assert_eq!([0, 1, 1_000_000_000, 1_000_000_001].map(seconds), [Some(1), Some(1), Some(1), Some(2)]);
        assert_eq!(seconds(u64::MAX), Some(u32::MAX));
        let unlimited = kad::Record { ttl: Some(0), ..stored(&record(Some(5))) };
        let message = Message { record: Some(unlimited), ..typed(MessageType::GetValue) };
        assert_eq!(
            decode_response::<u8>(&message, &Ten),
            Some(Response::Value { record: Some(record(None)), closer: Vec::new() })
        );
    }

    /// A contact `n` has `n` addresses of up to 200 bytes.
    struct Many;

    impl Names<u8> for Many {
        fn id(&self, contact: u8) -> PeerId {
            PeerId::from_public_key([contact; 32])
        }
        fn addresses(&self, contact: u8) -> Vec<Vec<u8>> {
            (0..contact).map(|i| vec![4; usize::from(i) * 67 % 201]).collect()
        }
        fn find(&self, _: &PeerId, _: &[Vec<u8>]) -> Option<u8> {
            None
        }
    }

    fn any_key() -> impl Strategy<Value = Key> {
        vec(any::<u8>(), 0..300).prop_map(|bytes| Key::new(&bytes))
    }

    /// Lengths on both sides of where a length's own length grows.
    fn any_record() -> impl Strategy<Value = Record> {
        let length = prop_oneof![0usize..300, 16_000usize..17_000];
        let ttl = prop_oneof![any::<u64>(), 0u64..1 << 40];
        (any_key(), length, prop::option::of(ttl)).prop_map(|(key, length, ttl)| Record {
            key,
            value: vec![0; length].into(),
            ttl: ttl.map(Duration::from_nanos),
        })
    }

    fn any_request() -> impl Strategy<Value = Request<u8>> {
        prop_oneof![
            any_key().prop_map(Request::FindNode),
            any_key().prop_map(Request::GetValue),
            any_key().prop_map(Request::GetProviders),
            any_record().prop_map(Request::PutValue),
            (any_key(), vec(0u8..5, 0..30))
                .prop_map(|(key, providers)| Request::AddProvider { key, providers }),
        ]
    }

    fn any_response() -> impl Strategy<Value = Response<u8>> {
        let peers = || vec(0u8..5, 0..30);
        prop_oneof![
            Just(Response::Stored),
            peers().prop_map(|closer| Response::Nodes { closer }),
            (prop::option::of(any_record()), peers())
                .prop_map(|(record, closer)| Response::Value { record, closer }),
            (peers(), peers()).prop_map(|(providers, closer)| Response::Providers { providers, closer }),
        ]
    }

    proptest! {
        #[test]
        fn messages_have_the_length_they_are_said_to_have(request in any_request(), response in any_response()) {
            let message = encode_request(&request, &Many);
            let length = request_len(&request, &Many);
            prop_assert_eq!(length, message.emit().len());
            let answer = encode_response(&message, &response, &Many);
            prop_assert_eq!(response_len(length, &response, &Many), answer.emit().len());
        }
    }
}
