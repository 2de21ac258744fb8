//! Messages in the simulator: interned handles, one table of contents, and compact sets of what a peer has seen.
//!
//! A message's bytes exist once, however many peers hold it, and its envelope is checked once: the verdict depends on the
//! bytes alone ([`Services::inspect`](hyperspace_protocol::machine::Services::inspect)). Handles never order anything and never enter a digest; contents do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hyperspace_protocol::card::{CardError, Payload};
use hyperspace_protocol::envelope::{self, Dialect};
use hyperspace_protocol::gossip::cache::{GENERATIONS, generation};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::{Inspection, Message, SeenCache, TopicRef};
use hyperspace_protocol::time::{Duration, Instant};
use sha2::{Digest, Sha256};

/// A message as simulated peers hold it: 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimMessage {
    index: u32,
    topic: TopicRef,
    /// Size in the upper 24 bits, hops travelled in the lower 8.
    size_hops: u32,
}

impl SimMessage {
    /// Largest payload in bytes.
    pub const SIZE_MAX: usize = (1 << 24) - 1;

    const fn new(index: u32, topic: TopicRef, size: usize) -> Self {
        Self { index, topic, size_hops: (size as u32) << 8 }
    }

    /// Its place in the table.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Links it has crossed, up to 255.
    pub const fn hops(self) -> u8 {
        self.size_hops as u8
    }

    /// The same message one link further.
    #[must_use]
    pub const fn one_hop_on(self) -> Self {
        Self { size_hops: if self.hops() == u8::MAX { self.size_hops } else { self.size_hops + 1 }, ..self }
    }

    /// The same message with the hops of another copy: they are not part of what goes over the wire.
    #[must_use]
    pub const fn with_hops_of(self, other: Self) -> Self {
        Self { size_hops: self.size_hops & !0xff | other.size_hops & 0xff, ..self }
    }
}

impl Message for SimMessage {
    type Id = u32;
    type Nonce = u32;
    type Seen = SeenRow;
    type Nonces = SeenRow;
    type Contact = u32;

    fn id(&self) -> u32 {
        self.index
    }
    fn topic(&self) -> TopicRef {
        self.topic
    }
    fn size(&self) -> usize {
        (self.size_hops >> 8) as usize
    }
}

/// A set of table indices with a time to live, four bits a message: the generation of its first sight modulo 15, plus 1.
///
/// Exact, not approximate: `swept` is the generation at which every entry was last known to be alive.
#[derive(Debug, Default, Clone)]
pub struct SeenRow {
    /// Index of the first nibble, even.
    base: u32,
    swept: u64,
    nibbles: Vec<u8>,
}

const MODULUS: u64 = 15;

impl SeenRow {
    fn nibble(&self, index: u32) -> u8 {
        let Some(offset) = index.checked_sub(self.base) else { return 0 };
        match self.nibbles.get(offset as usize / 2) {
            Some(byte) => byte >> (4 * (offset % 2)) & 0xf,
            None => 0,
        }
    }

    /// The age in generations of an entry, at the last sweep.
    fn age_at_sweep(&self, nibble: u8) -> u64 {
        (self.swept + MODULUS - (u64::from(nibble) - 1)) % MODULUS
    }

    fn is_alive(&self, nibble: u8, current: u64) -> bool {
        nibble != 0 && self.age_at_sweep(nibble) + (current - self.swept) <= GENERATIONS
    }

    fn sweep(&mut self, current: u64) {
        if !self.nibbles.is_empty() {
            for at in 0..self.nibbles.len() {
                let byte = self.nibbles[at];
                let mut kept = 0;
                for (nibble, shift) in [(byte & 0xf, 0), (byte >> 4, 4)] {
                    if self.is_alive(nibble, current) {
                        kept |= nibble << shift;
                    }
                }
                self.nibbles[at] = kept;
            }
            let dead = self.nibbles.iter().take_while(|b| **b == 0).count();
            if dead == self.nibbles.len() {
                self.nibbles.clear();
            } else if dead > 64 && dead * 2 > self.nibbles.len() {
                self.nibbles.drain(..dead);
                self.base += 2 * dead as u32;
            }
        }
        self.swept = current;
    }

    fn set(&mut self, index: u32, nibble: u8) {
        if self.nibbles.is_empty() {
            self.base = index & !1;
        } else if index < self.base {
            let more = (self.base - (index & !1)) as usize / 2;
            self.nibbles.splice(0..0, std::iter::repeat_n(0, more));
            self.base = index & !1;
        }
        let offset = (index - self.base) as usize;
        if self.nibbles.len() <= offset / 2 {
            self.nibbles.resize(offset / 2 + 1, 0);
        }
        let shift = 4 * (offset % 2);
        let byte = &mut self.nibbles[offset / 2];
        *byte = *byte & !(0xf << shift) | nibble << shift;
    }
}

impl SeenCache<u32> for SeenRow {
    fn insert(&mut self, now: Instant, ttl: Duration, key: &u32) -> bool {
        let current = generation(now, ttl);
        if current > self.swept {
            self.sweep(current);
        }
        if self.nibble(*key) != 0 {
            return false;
        }
        self.set(*key, 1 + (current % MODULUS) as u8);
        true
    }

    fn warm(&self) -> usize {
        self.nibbles.first().map_or(0, |byte| usize::from(*byte))
    }

    fn contains(&self, now: Instant, ttl: Duration, key: &u32) -> bool {
        self.is_alive(self.nibble(*key), generation(now, ttl).max(self.swept))
    }
}

/// One message's contents.
#[derive(Debug)]
pub struct Stored {
    /// Its topic.
    pub topic: TopicRef,
    /// Index of the publishing peer.
    pub author: u32,
    /// When it was published.
    pub published: Instant,
    /// The payload.
    pub bytes: Box<[u8]>,
    /// Hash of author, topic and payload: stands for the message in digests.
    pub key: u64,
    /// Index of the first message with the same `from` and `nonce`.
    nonce: u32,
    verdict: OnceLock<Inspection<u32>>,
    /// What it says, if it is about a capability card.
    card: OnceLock<Box<Result<Payload, CardError>>>,
    /// Its payload, if primitives read it.
    said: OnceLock<Option<Arc<str>>>,
}

const CHUNK: usize = 1024;
const CHUNKS: usize = 16_384;

type Chunk = Box<[OnceLock<Stored>]>;

/// All messages of a run. Entries are written once and read by all threads.
#[derive(Debug)]
pub struct MessageTable {
    chunks: Box<[OnceLock<Chunk>]>,
    /// First index not reserved by the workloads' schedule.
    next: AtomicU32,
    /// Replay keys of envelopes, to the first message that has them.
    nonces: Mutex<BTreeMap<u64, u32>>,
    ids: Vec<PeerId>,
    topics: Vec<String>,
    topic_refs: BTreeMap<String, TopicRef>,
    envelopes: bool,
    /// Whether verdicts are remembered; a test shows that this makes no difference.
    memo: bool,
    verified: AtomicU32,
}

impl MessageTable {
    /// Most messages of a run.
    pub(crate) const CAPACITY: u32 = (CHUNK * CHUNKS) as u32;

    /// A table whose first `reserved` entries belong to the schedule.
    pub(crate) fn new(
        reserved: u32,
        ids: Vec<PeerId>,
        topics: Vec<String>,
        envelopes: bool,
        memo: bool,
    ) -> Self {
        let refs = topics.iter().enumerate().map(|(place, name)| (name.clone(), TopicRef(place as u32)));
        Self {
            topic_refs: refs.collect(),
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            next: AtomicU32::new(reserved),
            nonces: Mutex::default(),
            ids,
            topics,
            envelopes,
            memo,
            verified: AtomicU32::new(0),
        }
    }

    /// Whether payloads are signed envelopes.
    pub fn signs(&self) -> bool {
        self.envelopes
    }

    /// How often an envelope was verified.
    pub fn verified(&self) -> u32 {
        self.verified.load(Ordering::Relaxed)
    }

    /// The identities of all peers, by index.
    pub fn ids(&self) -> &[PeerId] {
        &self.ids
    }

    /// The name of a topic.
    pub fn topic_name(&self, topic: TopicRef) -> &str {
        &self.topics[topic.0 as usize]
    }

    /// The handle of a topic, if any workload uses it.
    pub fn topic(&self, name: &str) -> Option<TopicRef> {
        self.topic_refs.get(name).copied()
    }

    /// The contents behind a handle.
    pub fn get(&self, index: u32) -> &Stored {
        self.find(index).expect("a handle exists only after its message was stored")
    }

    /// The contents at an index, if there is such a message.
    pub fn find(&self, index: u32) -> Option<&Stored> {
        self.chunks.get(index as usize / CHUNK)?.get()?[index as usize % CHUNK].get()
    }

    /// The handle of a stored message, with no hops.
    pub(crate) fn handle(&self, index: u32) -> SimMessage {
        let stored = self.get(index);
        SimMessage::new(index, stored.topic, stored.bytes.len())
    }

    /// Stores a message that was not scheduled. Under several threads the index varies from run to run, which nothing may
    /// depend on.
    ///
    /// # Panics
    /// If the table is full (16 million messages) or the payload is 16 MiB or more.
    pub fn store(&self, author: u32, topic: TopicRef, published: Instant, bytes: Box<[u8]>) -> SimMessage {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        self.store_at(index, author, topic, published, bytes)
    }

    /// Stores a scheduled message in its reserved place.
    pub(crate) fn store_at(
        &self,
        index: u32,
        author: u32,
        topic: TopicRef,
        published: Instant,
        bytes: Box<[u8]>,
    ) -> SimMessage {
        assert!(bytes.len() <= SimMessage::SIZE_MAX, "payload of {} bytes", bytes.len());
        let message = SimMessage::new(index, topic, bytes.len());
        let key = self.key(author, topic, &bytes);
        let nonce = if self.envelopes { self.nonce(index, topic, &bytes) } else { index };
        let stored = Stored {
            topic,
            author,
            published,
            bytes,
            key,
            nonce,
            verdict: OnceLock::new(),
            card: OnceLock::new(),
            said: OnceLock::new(),
        };
        let chunk = self.chunks.get(index as usize / CHUNK).expect("the message table is full");
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        assert!(chunk[index as usize % CHUNK].set(stored).is_ok(), "message {index} stored twice");
        message
    }

    fn key(&self, author: u32, topic: TopicRef, bytes: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(author.to_be_bytes());
        hash.update(self.topic_name(topic));
        hash.update([0]);
        hash.update(bytes);
        u64::from_be_bytes(hash.finalize()[..8].try_into().expect("32 bytes"))
    }

    /// Interns the replay key of an envelope; one that does not parse gets a key of its own.
    fn nonce(&self, index: u32, topic: TopicRef, bytes: &[u8]) -> u32 {
        let Ok(inspected) = envelope::inspect(
            self.topic_name(topic),
            bytes,
            &Dialect::default(),
            &envelope::Limits::default(),
        ) else {
            return index;
        };
        let mut hash = Sha256::new();
        hash.update(inspected.from.as_bytes());
        hash.update(inspected.nonce.as_bytes());
        let key = u64::from_be_bytes(hash.finalize()[..8].try_into().expect("32 bytes"));
        let mut nonces = self.nonces.lock().expect("no thread panics while it holds this lock");
        *nonces.entry(key).or_insert(index)
    }

    fn verify(&self, stored: &Stored) -> Inspection<u32> {
        if !self.envelopes {
            return Inspection::Bare;
        }
        self.verified.fetch_add(1, Ordering::Relaxed);
        let topic = self.topic_name(stored.topic);
        match envelope::inspect(topic, &stored.bytes, &Dialect::default(), &envelope::Limits::default()) {
            Ok(inspected) => Inspection::Valid { ts: inspected.ts, nonce: stored.nonce },
            Err(_) => Inspection::Invalid,
        }
    }

    /// What the envelope of a message comes to, on its bytes alone.
    pub(crate) fn inspect(&self, message: &SimMessage) -> Inspection<u32> {
        let stored = self.get(message.index);
        if self.memo { *stored.verdict.get_or_init(|| self.verify(stored)) } else { self.verify(stored) }
    }

    /// Who published a message.
    pub(crate) fn author(&self, message: &SimMessage) -> PeerId {
        self.ids[self.get(message.index).author as usize]
    }

    /// What a message says about a capability card; parsed once.
    pub(crate) fn card(&self, index: u32) -> Result<Payload, CardError> {
        let stored = self.get(index);
        (**stored.card.get_or_init(|| Box::new(self.parse_card(stored)))).clone()
    }

    /// The payload of a message, out of its envelope; taken out once.
    pub(crate) fn said(&self, index: u32) -> Option<Arc<str>> {
        let stored = self.get(index);
        let take_out = || {
            if !self.envelopes {
                return std::str::from_utf8(&stored.bytes).ok().map(Arc::from);
            }
            let (topic, limits) = (self.topic_name(stored.topic), envelope::Limits::default());
            let inspected = envelope::inspect(topic, &stored.bytes, &Dialect::default(), &limits);
            inspected.ok().map(|inspected| Arc::from(inspected.d))
        };
        stored.said.get_or_init(take_out).clone()
    }

    fn parse_card(&self, stored: &Stored) -> Result<Payload, CardError> {
        if !self.envelopes {
            return Payload::parse(std::str::from_utf8(&stored.bytes).map_err(|_| CardError::Json)?);
        }
        let limits = envelope::Limits::default();
        let inspected =
            envelope::inspect(self.topic_name(stored.topic), &stored.bytes, &Dialect::default(), &limits);
        Payload::parse(inspected.map_err(|_| CardError::Json)?.d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyperspace_protocol::gossip::cache::SeenIds;
    use proptest::prelude::*;

    proptest! {
        /// The compact row forgets at the same instant as a node's set of full ids, whatever the order of operations.
        #[test]
        fn a_row_and_a_set_of_ids_agree(
            steps in proptest::collection::vec((0u64..4_000, 0u32..300, any::<bool>()), 1..300)
        ) {
            let ttl = Duration::from_secs(8);
            let (mut row, mut set) = (SeenRow::default(), SeenIds::default());
            let mut now = Instant::ZERO;
            for (ms, key, insert) in steps {
                now += Duration::from_millis(ms);
                prop_assert_eq!(row.contains(now, ttl, &key), set.contains(now, ttl, &key));
                if insert {
                    prop_assert_eq!(row.insert(now, ttl, &key), set.insert(now, ttl, &key));
                }
            }
        }
    }

    #[test]
    fn a_row_gives_back_the_memory_of_what_it_forgot() {
        let ttl = Duration::from_secs(8);
        let mut row = SeenRow::default();
        for n in 0..100_000u32 {
            row.insert(Instant::from_nanos(u64::from(n) * 10_000_000), ttl, &n);
        }
        // 100 messages a second for at most 9 seconds, and as much again before a row is compacted.
        assert!(row.nibbles.len() < 1_000, "{}", row.nibbles.len());
    }

    #[test]
    fn a_handle_is_small() {
        assert_eq!(size_of::<SimMessage>(), 12);
        assert_eq!(size_of::<hyperspace_protocol::gossip::Frame<SimMessage>>(), 16);
    }
}
