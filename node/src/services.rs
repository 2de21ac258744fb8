//! What the node lends to its machine for the length of a call, besides time and random numbers: checks, signatures, names.
//!
//! All of it is a pure function of the arguments and of the topic table, but for the numbers of our own messages, which go
//! on from one to the next ([`NodeServices::afresh`] starts them again, to replay a record).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hyperspace_protocol::card::{CardError, Payload, Published};
use hyperspace_protocol::envelope::{self, CHECKS, Check, Dialect, Inspected, Rejection};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::kad::{self, KadKey, Key};
use hyperspace_protocol::machine::{Inspection, Message, Services, TopicRef, Unsealed};
use hyperspace_protocol::time::UnixMillis;
use hyperspace_protocol::topic::Topic;
use serde_json::value::RawValue;

use crate::message::{NodeMessage, Nonce};
use crate::net::book::Book;
use crate::topics::Topics;

/// What a key of the DHT starts with under which a card lies (decision T9).
const CARD_KEY_PREFIX: &str = "/hyperspace/capabilities/";

/// The protocol over which a card is asked for; a signature of a request or response covers it in a topic's place.
pub const CARD_PROTOCOL: &str = "/hyperspace/card/1";

/// The topic table, shared by the machine's driver and the connections.
#[derive(Clone, Debug, Default)]
pub struct SharedTopics(Arc<RwLock<Topics>>);

impl SharedTopics {
    /// Looks something up. A thread that panicked while it held the lock left the table whole: every change is one call.
    pub fn read<R>(&self, look: impl FnOnce(&Topics) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something.
    pub fn write<R>(&self, change: impl FnOnce(&mut Topics) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The handle and the kept name of a topic of our own.
    pub fn own(&self, name: &str) -> Option<(TopicRef, Arc<str>)> {
        let known = self.read(|topics| {
            let topic = topics.find_own(name)?;
            Some((topic, Arc::clone(&topics.get(topic)?.name)))
        });
        known.or_else(|| {
            self.write(|topics| {
                let topic = topics.own(name)?;
                Some((topic, Arc::clone(&topics.get(topic)?.name)))
            })
        })
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct NodeServices {
    keypair: Keypair,
    own: PeerId,
    topics: SharedTopics,
    book: Arc<Book>,
    dialect: Dialect,
    /// The number of our last message.
    seqno: AtomicU64,
}

impl NodeServices {
    /// The services of the peer with this key.
    pub fn new(keypair: Keypair, topics: SharedTopics, book: Arc<Book>, dialect: Dialect) -> Self {
        let own = keypair.peer_id();
        Self { keypair, own, topics, book, dialect, seqno: AtomicU64::new(0) }
    }

    /// The same services as they were when the node started.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let (keypair, topics) = (self.keypair.clone(), self.topics.clone());
        Self::new(keypair, topics, Arc::clone(&self.book), self.dialect.clone())
    }

    /// This peer.
    pub const fn own(&self) -> PeerId {
        self.own
    }

    /// The topic table.
    pub const fn topics(&self) -> &SharedTopics {
        &self.topics
    }

    /// Notes the number of a message of our own that was sealed before, when a record is replayed.
    pub fn note(&self, message: &NodeMessage) {
        if message.id().source() == self.own {
            self.seqno.fetch_max(message.id().seqno(), Ordering::Relaxed);
        }
    }

    /// Numbers grow with time, so that those of before a restart do not come again, and by one within a millisecond.
    fn next_seqno(&self, unix: UnixMillis) -> u64 {
        let floor = unix.0 << 20;
        let next = |last: u64| last.saturating_add(1).max(floor);
        let before = self.seqno.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }

    /// Signs a payload for a topic and makes a message of it.
    ///
    /// # Errors
    /// Why it cannot be published: see [`SealError`].
    pub fn seal_message(
        &self,
        topic: (TopicRef, Arc<str>),
        unix: UnixMillis,
        d: &str,
        nonce: [u8; 16],
    ) -> Result<NodeMessage, SealError> {
        Topic::parse(&topic.1)?;
        let data = self.sign(&topic.1, unix, d, nonce)?;
        let seqno = self.next_seqno(unix);
        Ok(NodeMessage::publish(&self.keypair, topic.0, topic.1, seqno, data))
    }

    /// Signs a payload; `domain` is a topic, or the id of a protocol of requests.
    ///
    /// # Errors
    /// If the payload is no JSON or too long.
    pub fn sign(
        &self,
        domain: &str,
        unix: UnixMillis,
        d: &str,
        nonce: [u8; 16],
    ) -> Result<Vec<u8>, envelope::SignError> {
        let d: &RawValue =
            serde_json::from_str(d).map_err(|e| envelope::SignError::Payload(e.to_string()))?;
        // The raw text as it is would be signed in its own order of members, not in canonical form.
        let value: serde_json::Value =
            serde_json::from_str(d.get()).map_err(|e| envelope::SignError::Payload(e.to_string()))?;
        envelope::sign(&self.keypair, domain, unix, nonce, &value, &self.dialect)
    }

    /// Checks a signed request or response of a peer on one of our protocols: everything but its age and its topic, which
    /// is none.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn open<'a>(
        &self,
        protocol: &str,
        from: PeerId,
        bytes: &'a [u8],
    ) -> Result<Inspected<'a>, Rejection> {
        let checks: Vec<Check> = CHECKS.iter().copied().filter(|check| *check != Check::Topic).collect();
        let limits = envelope::Limits { bytes: usize::MAX, ..envelope::Limits::default() };
        let inspected = envelope::inspect_with(&checks, protocol, bytes, &self.dialect, &limits)?;
        if inspected.from == from { Ok(inspected) } else { Err(Rejection::Publisher) }
    }

    /// The card in a peer's answer on [`CARD_PROTOCOL`]; `Ok(None)` if it says that it has none.
    ///
    /// # Errors
    /// [`CardError`]; an envelope that does not hold is [`CardError::Json`].
    pub fn open_card(&self, from: PeerId, bytes: &[u8]) -> Result<Option<Published>, CardError> {
        let inspected = self.open(CARD_PROTOCOL, from, bytes).map_err(|_| CardError::Json)?;
        if inspected.d.trim() == "null" {
            return Ok(None);
        }
        Published::parse(inspected.d).map(Some)
    }

    fn inspect_envelope(&self, message: &NodeMessage) -> Inspection<Nonce> {
        let (id, limits) = (message.id(), envelope::Limits::default());
        if id.is_forged() {
            return Inspection::Invalid;
        }
        match envelope::inspect(message.topic_name(), message.data(), &self.dialect, &limits) {
            // Who signed the envelope and who signed the pubsub message must be one (decision E15).
            Ok(found) if found.from == id.source() => {
                Inspection::Valid { ts: found.ts, nonce: Nonce::new(&found.from, &found.nonce) }
            }
            Ok(_) | Err(_) => Inspection::Invalid,
        }
    }

    /// The version of the card in a value under a card's key, if it is one of that peer.
    fn card_value(&self, peer: &str, value: &[u8]) -> Option<Arc<Published>> {
        let peer: PeerId = peer.parse().ok()?;
        let topic = Topic::capabilities(peer).to_string();
        let limits = envelope::Limits::default();
        // On this topic the check of the topic lets nobody sign but the peer itself.
        let inspected = envelope::inspect(&topic, value, &self.dialect, &limits).ok()?;
        match Payload::parse(inspected.d).ok()? {
            Payload::Card(card) => (card.peer_id == peer).then_some(card),
            Payload::Heartbeat(_) => None,
        }
    }
}

/// Why a payload was not published.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The topic is none.
    #[error("the topic: {0}")]
    Topic(#[from] hyperspace_protocol::topic::TopicError),
    /// The envelope cannot be made.
    #[error(transparent)]
    Envelope(#[from] envelope::SignError),
}

/// Whose card lies under a key, if it is a card's key.
fn card_owner(key: &Key) -> Option<&str> {
    std::str::from_utf8(key.bytes()).ok()?.strip_prefix(CARD_KEY_PREFIX)
}

impl kad::Services<PeerId> for NodeServices {
    fn key(&self, contact: PeerId) -> KadKey {
        KadKey::of_peer(&contact)
    }
    fn id(&self, contact: PeerId) -> Key {
        Key::of_peer(&contact)
    }
    /// The /16 of a public IPv4 address, the /32 of an IPv6 one. Private networks are one group to everybody in them, so
    /// they count as none.
    fn group(&self, contact: PeerId) -> Option<u64> {
        match self.book.ip(&contact)? {
            IpAddr::V4(ip) if ip.is_private() || ip.is_loopback() || ip.is_link_local() => None,
            IpAddr::V4(ip) => Some(u64::from(ip.to_bits() >> 16)),
            IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() => None,
            // A bit above all of IPv4's groups.
            IpAddr::V6(ip) => Some(1 << 32 | (ip.to_bits() >> 96) as u64),
        }
    }
    fn valid(&self, key: &Key, value: &[u8]) -> bool {
        card_owner(key).is_none_or(|peer| self.card_value(peer, value).is_some())
    }
    fn better(&self, key: &Key, old: &[u8], new: &[u8]) -> bool {
        let Some(peer) = card_owner(key) else { return true };
        let version = |value| self.card_value(peer, value).map(|card| card.version());
        version(new) > version(old)
    }
}

impl Services<NodeMessage> for NodeServices {
    fn inspect(&self, message: &NodeMessage) -> Inspection<Nonce> {
        message.verdict(|| self.inspect_envelope(message))
    }
    fn author(&self, message: &NodeMessage) -> Option<PeerId> {
        Some(message.id().source())
    }
    fn peer_id(&self, contact: PeerId) -> Option<PeerId> {
        Some(contact)
    }
    fn contact(&self, id: &PeerId) -> Option<PeerId> {
        Some(*id)
    }
    fn card_topic(&self, peer: &PeerId) -> Option<TopicRef> {
        self.topics.own(&Topic::capabilities(*peer).to_string()).map(|(topic, _)| topic)
    }
    fn owner(&self, topic: TopicRef) -> Option<PeerId> {
        self.topics.read(|topics| topics.get(topic).and_then(|entry| entry.owner))
    }
    fn card(&self, message: &NodeMessage) -> Option<Result<Payload, CardError>> {
        self.owner(message.topic())?;
        let parsed = envelope::SignedEnvelope::parse(message.data());
        Some(parsed.map_err(|_| CardError::Json).and_then(|envelope| Payload::parse(envelope.d)))
    }
    fn seal(&self, unsealed: Unsealed<'_, PeerId>) -> Option<NodeMessage> {
        let name = self.topics.read(|topics| Some(Arc::clone(&topics.get(unsealed.topic)?.name)))?;
        self.seal_message((unsealed.topic, name), unsealed.unix, unsealed.d, unsealed.nonce).ok()
    }
    fn topic(&self, topic: &Topic) -> Option<TopicRef> {
        self.topics.own(&topic.to_string()).map(|(topic, _)| topic)
    }
    fn gossiped(&self, message: &NodeMessage) -> Option<(Topic, Arc<str>)> {
        let topic = Topic::parse(message.topic_name()).ok()?;
        let envelope = envelope::SignedEnvelope::parse(message.data()).ok()?;
        Some((topic, envelope.d.into()))
    }
    fn bytes(&self, message: &NodeMessage) -> Option<Arc<[u8]>> {
        Some(message.data().into())
    }
}

#[cfg(test)]
mod tests {
    use hyperspace_protocol::card::{Card, card_key};
    use hyperspace_protocol::kad::Services as _;

    use super::*;

    const UNIX: UnixMillis = UnixMillis(1_773_835_200_123);

    fn services(seed: u8) -> NodeServices {
        let book = Arc::new(Book::new(PeerId::from_public_key([seed; 32])));
        NodeServices::new(Keypair::from_seed([seed; 32]), SharedTopics::default(), book, Dialect::default())
    }

    fn seal(services: &NodeServices, topic: &str, d: &str) -> NodeMessage {
        let topic = services.topics.own(topic).expect("room");
        services.seal_message(topic, UNIX, d, [1; 16]).expect("signable")
    }

    fn card_value(services: &NodeServices, signer: &NodeServices, seq: u64) -> Vec<u8> {
        let card = Card {
            seq,
            peer_id: services.own(),
            tools: vec![],
            task_types: vec![],
            reputation: None,
            geo: None,
            latency: None,
            metadata: None,
        };
        let topic = Topic::capabilities(services.own()).to_string();
        let d = serde_json::to_string(&card).expect("plain data");
        signer.sign(&topic, UNIX, &d, [2; 16]).expect("signable")
    }

    #[test]
    fn an_own_message_passes_its_own_checks() {
        let services = services(7);
        let message = seal(&services, "hyperspace/tasks/x", r#"{"b":1,"a":2}"#);
        assert!(matches!(services.inspect(&message), Inspection::Valid { ts: UNIX, .. }));
        assert_eq!(services.author(&message), Some(services.own()));
        assert!(message.data().ends_with(br#""d":{"a":2,"b":1}}"#));
    }

    #[test]
    fn an_envelope_of_another_author_or_topic_is_invalid() {
        let (mine, other) = (services(7), services(8));
        let message = seal(&mine, "hyperspace/tasks/x", "1");
        let republish = |by: &NodeServices, topic: &str| {
            let (topic, name) = by.topics.own(topic).expect("room");
            NodeMessage::publish(&by.keypair, topic, name, 5, message.data().to_vec())
        };
        assert_eq!(other.inspect(&republish(&other, "hyperspace/tasks/x")), Inspection::Invalid);
        assert_eq!(mine.inspect(&republish(&mine, "hyperspace/tasks/y")), Inspection::Invalid);
        assert!(matches!(mine.inspect(&republish(&mine, "hyperspace/tasks/x")), Inspection::Valid { .. }));
    }

    #[test]
    fn numbers_grow_whatever_the_clock_does() {
        let services = services(7);
        let numbers = [UNIX, UNIX, UnixMillis(5), UnixMillis(UNIX.0 + 1)].map(|at| services.next_seqno(at));
        assert_eq!(numbers, [UNIX.0 << 20, (UNIX.0 << 20) + 1, (UNIX.0 << 20) + 2, (UNIX.0 + 1) << 20]);
        assert_eq!(services.afresh().next_seqno(UNIX), UNIX.0 << 20);
    }

    #[test]
    fn a_card_s_value_is_its_peer_s_and_the_newer_one_is_better() {
        let (mine, other) = (services(7), services(8));
        let key = card_key(&mine.own());
        let (first, second) = (card_value(&mine, &mine, 1), card_value(&mine, &mine, 2));
        assert!(mine.valid(&key, &first) && other.valid(&key, &second));
        assert!(!mine.valid(&key, &card_value(&mine, &other, 3)), "signed by another");
        assert!(!mine.valid(&card_key(&other.own()), &first), "under another's key");
        assert!(!mine.valid(&key, b"{}") && !mine.valid(&Key::new(b"/hyperspace/capabilities/x"), b"{}"));
        assert!(mine.better(&key, &first, &second) && !mine.better(&key, &second, &first));
        assert!(!mine.better(&key, &first, &first));
        assert!(mine.valid(&Key::new(b"anything"), b"else") && mine.better(&Key::new(b"x"), b"1", b"2"));
    }

    #[test]
    fn a_request_is_the_sender_s_own() {
        let (mine, other) = (services(7), services(8));
        let bytes = mine.sign(CARD_PROTOCOL, UNIX, "null", [1; 16]).expect("signable");
        assert_eq!(other.open_card(mine.own(), &bytes), Ok(None));
        assert!(other.open(CARD_PROTOCOL, other.own(), &bytes).is_err());
        assert!(other.open("/hyperspace/tool/1", mine.own(), &bytes).is_err());
    }
}
