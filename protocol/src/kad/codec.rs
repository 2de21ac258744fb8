//! Requests and responses to and from libp2p's protobuf ([`crate::wire::kad`]).
//!
//! A driver resolves its own handles through [`Names`]. Addresses pass through it as they are: the machine knows none.

use super::key::Key;
use super::message::{Record, Request, Response};
use crate::identity::PeerId;
use crate::time::Duration;
use crate::wire::kad::{self, Message, MessageType, Peer};

/// What a driver's handles stand for on the wire.
pub trait Names<C> {
    /// A contact's id.
    fn id(&self, contact: C) -> PeerId;
    /// Its multiaddresses, binary, to be told to others.
    fn addresses(&self, _contact: C) -> Vec<Vec<u8>> {
        Vec::new()
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

/// Ids of other key types than Ed25519 are left out (decision E7).
fn contacts<C>(peers: &[Peer], names: &impl Names<C>) -> Vec<C> {
    let contact = |p: &Peer| names.find(&PeerId::from_multihash(p.id.as_deref()?).ok()?, &p.addrs);
    peers.iter().filter_map(contact).collect()
}

fn stored(record: &Record) -> kad::Record {
    // In whole seconds, rounded up: zero would be no limit.
    let seconds =
        |ttl: Duration| u32::try_from(ttl.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1);
    kad::Record {
        key: Some(record.key.bytes().to_vec()),
        value: Some(record.value.to_vec()),
        ttl: record.ttl.map(seconds),
        ..kad::Record::default()
    }
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
}
