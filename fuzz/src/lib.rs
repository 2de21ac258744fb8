//! What every parser of the project must keep for any input: one function per kind of input. Each panics if something
//! is violated, and says whether the input was accepted.
//!
//! `cargo test -p hyperspace-fuzz` runs the seeds in `corpus/` and some thousand mutants of them. `libfuzzer/` has an
//! entry point per function for cargo-fuzz; new finds go to its own corpus:
//!
//! ```text
//! mkdir -p fuzz/libfuzzer/corpus/rpc
//! cargo +nightly fuzz run --fuzz-dir fuzz/libfuzzer rpc fuzz/libfuzzer/corpus/rpc fuzz/corpus/rpc
//! ```

use core::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use hyperspace_protocol::card::{CARD_BYTES_MAX, CardError, Payload, Published, SEQ_MAX};
use hyperspace_protocol::envelope::dialect::{
    Dialect, FromForm, InnerHash, JsonForm, MessageForm, NonceForm, Placement,
};
use hyperspace_protocol::envelope::sign::{EMIT_MAX, sign_as_is};
use hyperspace_protocol::envelope::{Check, Limits, SignedEnvelope, inspect, sign};
use hyperspace_protocol::gossip::cache::SeenIds;
use hyperspace_protocol::gossip::{Config, codec as gossip};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::kad::codec as dht;
use hyperspace_protocol::machine::{Message, TopicRef};
use hyperspace_protocol::time::UnixMillis;
use hyperspace_protocol::topic::Topic;
use hyperspace_protocol::wire::trace::TraceEvent;
use hyperspace_protocol::wire::{kad as kad_wire, pubsub};
use hyperspace_sim::churn::Trace;
use hyperspace_sim::net::RegionTable;
use hyperspace_sim::scenario::{
    GmlNetwork, GroupChurn, Latency, Overrides, Scenario, csv_table, interop_overlay, load, resolved,
};

/// The topic that all envelopes come in on.
const TOPIC: &str = "hyperspace/trajectories/web-research";

/// A signed envelope, after three characters that choose one of the 1,056 readings of the signature formula (`030` is
/// the default). An accepted one is accepted again when put together from its members, in another order and with another
/// text of key and signature.
pub fn envelope(bytes: &[u8]) -> bool {
    let Some((&[a, b, c], bytes)) = bytes.split_first_chunk() else { return false };
    let dialect = dialect([a, b, c].map(|digit| usize::from(digit.wrapping_sub(b'0'))));
    let verdict = inspect(TOPIC, bytes, &dialect, &Limits::default());
    let Ok(read) = SignedEnvelope::parse(bytes) else {
        assert!(verdict.is_err(), "accepted, but unreadable");
        return false;
    };
    if let Ok(id) = read.peer_id() {
        assert_eq!(id.to_string(), read.from);
    }
    let holds = read.signature_holds(TOPIC, &dialect);
    let Ok(inspected) = verdict else { return false };
    assert_eq!(holds, Ok(true));
    assert_eq!((&inspected.nonce, inspected.d, inspected.ts), (&read.nonce, read.d, read.time()));
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let nonce = serde_json::to_string(&read.nonce).expect("a string");
    let (d, sig, pk, from, ts) = (read.d, hex(&read.sig), hex(&read.pk), &read.from, read.ts);
    let again = format!(
        r#"{{"d":{d}, "sig":"ed25519:{sig}","pk":"{pk}","from":"{from}","nonce":{nonce},"ts":{ts},"_v":2}}"#
    );
    // What was short enough may no longer be.
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    assert_eq!(inspect(TOPIC, again.as_bytes(), &dialect, &limits), Ok(inspected));
    true
}

fn dialect([texts, placement, forms]: [usize; 3]) -> Dialect {
    Dialect {
        json: JsonForm::ALL[texts % 4],
        nonce: NonceForm::ALL[texts / 4 % 3],
        placement: Placement::ALL[placement % Placement::ALL.len()],
        from: [FromForm::Base58Utf8, FromForm::Multihash][forms % 2],
        inner: [InnerHash::Raw, InnerHash::LowerHex][forms / 2 % 2],
        message: [MessageForm::Digest, MessageForm::LowerHexDigest][forms / 4 % 2],
        ..Dialect::default()
    }
}

/// The JSON text of an envelope's payload, which is also taken for a nonce. What is signed is read back as it was, and
/// refused only for its form; what [`sign()`] signs is accepted, also by a peer that canonicalises before it hashes.
pub fn payload(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let pair = Keypair::from_seed([7; 32]);
    let nonce = "0001020304050607";
    for json in 0..4 {
        let dialect = dialect([json, 3, 0]);
        let Ok(signed) = sign_as_is(&pair, TOPIC, 1, nonce, text, &dialect) else { continue };
        let read = SignedEnvelope::parse(&signed).expect("just signed");
        assert_eq!((read.ts, read.nonce.as_str(), read.pk), (1, nonce, pair.public_key()));
        assert_eq!((read.peer_id(), read.d), (Ok(pair.peer_id()), text.trim_ascii()));
        if let Err(refused) = inspect(TOPIC, &signed, &dialect, &Limits::default()) {
            let formal = [Check::Size, Check::Nesting, Check::Ambiguity];
            assert!(formal.contains(&refused.check()), "{refused}");
        }
    }
    let signed = sign_as_is(&pair, TOPIC, 1, text, "1", &Dialect::default()).expect("any nonce");
    assert_eq!(SignedEnvelope::parse(&signed).expect("just signed").nonce, text);

    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let Ok(signed) = sign(&pair, TOPIC, UnixMillis(1), [1; 16], &value, &Dialect::default()) else {
        return false;
    };
    assert!(signed.len() <= EMIT_MAX);
    for json in 0..2 {
        let read = inspect(TOPIC, &signed, &dialect([json, 3, 0]), &Limits::default()).expect("just signed");
        assert_eq!(serde_json_canonicalizer::pipe(read.d).expect("canonical"), read.d);
    }
    true
}

/// One RPC of pubsub. What is read is within the limits and emitted in no more bytes, which read the same; so do its
/// frames, whose lengths are what they are said to be.
pub fn rpc(bytes: &[u8]) -> bool {
    let limits = pubsub::RpcLimits::default();
    let Ok(read) = pubsub::Rpc::parse(bytes, &limits) else { return false };
    let emitted = read.emit();
    assert_eq!(emitted.len(), read.emitted_len());
    assert!(emitted.len() <= bytes.len(), "{} bytes became {}", bytes.len(), emitted.len());
    assert_eq!(pubsub::Rpc::parse(&emitted, &limits).as_ref(), Ok(&read));
    assert!(read.subscriptions.len() <= limits.subscriptions && read.publish.len() <= limits.messages);
    let topics: Vec<String> = read.subscriptions.iter().filter_map(|s| s.topicid.clone()).collect();
    for name in &topics {
        if let Ok(topic) = Topic::parse(name) {
            assert_eq!(topic.to_string(), *name);
        }
    }
    let topics = Topics(topics);
    for frame in gossip::decode::<Post>(read, &topics) {
        let once = gossip::encode(&frame, &topics);
        assert_eq!(once.emitted_len(), gossip::encoded_len(&frame, &topics), "{frame:?}");
        let twice: Vec<_> = gossip::decode::<Post>(once.clone(), &topics)
            .iter()
            .map(|f| gossip::encode(f, &topics))
            .collect();
        assert!(twice == [once], "{frame:?}");
    }
    true
}

/// A message with its topic's place among those subscribed to.
#[derive(Clone, PartialEq, Debug)]
struct Post(pubsub::Message, TopicRef);

impl Message for Post {
    type Id = Vec<u8>;
    type Nonce = Vec<u8>;
    type Seen = SeenIds<Vec<u8>>;
    type Nonces = SeenIds<Vec<u8>>;
    type Contact = u32;
    fn id(&self) -> Vec<u8> {
        self.0.seqno.clone().unwrap_or_default()
    }
    fn topic(&self) -> TopicRef {
        self.1
    }
    fn size(&self) -> usize {
        self.0.data.as_ref().map_or(0, Vec::len)
    }
}

struct Topics(Vec<String>);

impl gossip::Names<Post> for Topics {
    fn topic(&self, topic: TopicRef) -> &str {
        &self.0[topic.0 as usize]
    }
    fn find_topic(&self, name: &str) -> Option<TopicRef> {
        self.0.iter().position(|topic| topic == name).map(|at| TopicRef(at as u32))
    }
    fn id(&self, id: &Vec<u8>) -> Vec<u8> {
        id.clone()
    }
    fn id_len(&self, id: &Vec<u8>) -> usize {
        id.len()
    }
    fn find_id(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
    fn message(&self, message: &Post) -> pubsub::Message {
        message.0.clone()
    }
    fn message_len(&self, message: &Post) -> usize {
        let m = &message.0;
        let parts = [&m.from, &m.data, &m.seqno, &m.signature, &m.key].into_iter().flatten().map(Vec::len);
        parts.chain(m.topic.as_ref().map(String::len)).map(gossip::field).sum()
    }
    fn take_message(&self, message: pubsub::Message) -> Option<Post> {
        let topic = self.find_topic(message.topic.as_ref()?)?;
        Some(Post(message, topic))
    }
}

/// One message of Kademlia. What is read is within the limits and emitted in bytes that read the same; so are its
/// request and its response, whose lengths are what they are said to be.
pub fn kad(bytes: &[u8]) -> bool {
    let limits = kad_wire::Limits::default();
    let Ok(read) = kad_wire::Message::parse(bytes, &limits) else { return false };
    // A negative number may have come in fewer bytes than it takes.
    let longer = kad_wire::Limits { bytes: usize::MAX, ..limits };
    let reread = |message: &kad_wire::Message| {
        let bytes = message.emit();
        assert_eq!(bytes.len(), message.emitted_len());
        let again = kad_wire::Message::parse(&bytes, &longer).expect("just emitted");
        assert_eq!(again, *message);
        again
    };
    reread(&read);
    let peers = || read.closer_peers.iter().chain(&read.provider_peers);
    assert!(peers().count() <= limits.peers);
    assert!(peers().map(|peer| peer.addrs.len()).sum::<usize>() <= limits.addresses);
    let contacts = Contacts::default();
    if let Some(request) = dht::decode_request(&read, &contacts) {
        let message = reread(&dht::encode_request(&request, &contacts));
        assert_eq!(message.emitted_len(), dht::request_len(&request, &contacts));
        assert_eq!(dht::decode_request(&message, &contacts), Some(request));
    }
    if let Some(response) = dht::decode_response(&read, &contacts) {
        let message = reread(&dht::encode_response(&read, &response, &contacts));
        assert_eq!(message.emitted_len(), dht::response_len(read.emitted_len(), &response, &contacts));
        assert_eq!(dht::decode_response(&message, &contacts), Some(response));
    }
    true
}

/// Takes up every peer that is named, under a number for each id with its addresses.
#[derive(Default)]
struct Contacts(RefCell<Vec<(PeerId, Vec<Vec<u8>>)>>);

impl dht::Names<usize> for Contacts {
    fn id(&self, contact: usize) -> PeerId {
        self.0.borrow()[contact].0
    }
    fn addresses(&self, contact: usize) -> Vec<Vec<u8>> {
        self.0.borrow()[contact].1.clone()
    }
    fn find(&self, id: &PeerId, addresses: &[Vec<u8>]) -> Option<usize> {
        let mut all = self.0.borrow_mut();
        let named = (*id, addresses.to_vec());
        let known = all.iter().position(|contact| *contact == named);
        Some(known.unwrap_or_else(|| {
            all.push(named);
            all.len() - 1
        }))
    }
}

/// A file of trace events. Each that is read is emitted in bytes that read the same.
pub fn events(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        match TraceEvent::parse_delimited(&mut rest) {
            Err(_) => return false,
            Ok(None) => return true,
            Ok(Some(event)) => {
                let mut emitted = Vec::new();
                event.emit_delimited(&mut emitted);
                let mut emitted = &emitted[..];
                assert_eq!(TraceEvent::parse_delimited(&mut emitted), Ok(Some(event)));
                assert!(emitted.is_empty());
            }
        }
    }
}

/// The `d` of an envelope on a capabilities topic: a card or a heartbeat. Its canonical form says the same, and what
/// was read can be published as our own.
pub fn card(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let read = Payload::parse(text);
    if text.len() <= CARD_BYTES_MAX
        && let Ok(canonical) = serde_json_canonicalizer::pipe(text)
    {
        assert_eq!(Payload::parse(&canonical), read);
    }
    match read {
        Err(_) => return false,
        Ok(Payload::Heartbeat(heartbeat)) => {
            assert!(heartbeat.seq <= SEQ_MAX);
            let again = serde_json::to_string(&heartbeat).expect("plain data");
            assert_eq!(Payload::parse(&again), Ok(Payload::Heartbeat(heartbeat)));
        }
        Ok(Payload::Card(card)) => {
            assert!(card.seq <= SEQ_MAX && card.bytes() <= CARD_BYTES_MAX);
            match Published::new(card.card()) {
                Ok(own) => {
                    assert_eq!((own.card(), Published::new(own.card())), (card.card(), Ok(own.clone())))
                }
                // Members with a default are written out.
                Err(error) => assert!(matches!(error, CardError::TooLong(_)), "{error}"),
            }
        }
    }
    true
}

/// A scenario file, and after a zero byte, if there is one, what `--set` says. Mistakes can be shown; what loads passes
/// the checks and resolves to text that loads to the same, where no other file is.
pub fn scenario(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let (text, set) = text.split_once('\0').unwrap_or((text, ""));
    let set = if set.is_empty() { vec![] } else { vec![set.to_owned()] };
    match load("fuzz.toml", text, Path::new(NOWHERE), &Overrides { seed: None, set }) {
        Ok(arms) => arms.iter().for_each(resolves_to_itself),
        Err(error) => {
            assert!(!error.render(true).is_empty());
            return false;
        }
    }
    true
}

/// A folder without files: there is none.
const NOWHERE: &str = "/no/such/folder";

fn resolves_to_itself(scenario: &Scenario) {
    assert_eq!(scenario.check(), Ok(()));
    let text = resolved(scenario);
    let again = load("resolved.toml", &text, Path::new(NOWHERE), &Overrides::default());
    match again.as_deref() {
        Ok([again]) => assert_eq!((again, resolved(again)), (scenario, text)),
        Ok(arms) => panic!("{} arms", arms.len()),
        Err(error) => panic!("{error}\n{text}"),
    }
    let _ = hyperspace_sim::estimate_bytes(scenario);
}

/// A matrix of latencies, `latency = "csv:FILE"`.
pub fn csv(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| csv_table(text).is_ok_and(in_a_scenario))
}

/// A network graph, `latency = "gml:FILE"`.
pub fn gml(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    GmlNetwork::parse(text).and_then(|network| network.table()).is_ok_and(in_a_scenario)
}

/// What a table's file says survives being written out.
fn in_a_scenario(table: RegionTable) -> bool {
    let mut scenario = Scenario::example();
    scenario.network.latency_min = table.shortest();
    scenario.network.latency = Latency::Regions(Arc::new(table));
    resolves_to_itself(&scenario);
    true
}

/// Sessions of peers, `trace = "FILE"` of a group's churn. They survive being written out.
pub fn trace(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(trace) = Trace::parse(text) else { return false };
    let mut scenario = Scenario::example();
    scenario.groups[0].count = scenario.groups[0].count.max(trace.peers());
    scenario.groups[0].churn = Some(GroupChurn::Trace { trace: Arc::new(trace), keeps_state: true });
    // A session may be too short for the engine; writing millions of peers takes long.
    if scenario.groups[0].count < 10_000 && scenario.check().is_ok() {
        resolves_to_itself(&scenario);
    }
    true
}

/// The parameters of a run of gossipsub-interop, `interop = "FILE"`. If they fit together they survive being written
/// out.
pub fn interop(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut scenario = Scenario { gossip: Config::go(), ..Scenario::example() };
    if interop_overlay(&mut scenario.gossip, text).is_err() {
        return false;
    }
    if scenario.check().is_ok() {
        resolves_to_itself(&scenario);
    }
    true
}
