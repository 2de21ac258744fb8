//! What the simulator lends to a machine for the length of one call, besides time and random numbers.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use hyperspace_protocol::card::{CardError, Payload};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{self, KadKey, Key};
use hyperspace_protocol::machine::{Inspection, Message, Services, TopicRef, Unsealed};
use hyperspace_protocol::topic::Topic;
use sha2::{Digest, Sha256};

use crate::message::SimMessage;
use crate::shared::Shared;

/// See the module's text. Counts how often envelopes were checked, to charge the peer's processor.
pub(crate) struct Lent<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) inspected: Cell<u32>,
    /// The host's count of its own messages.
    pub(crate) made: Cell<(u32, u32)>,
}

impl<'a> Lent<'a> {
    /// For work outside any host.
    pub(crate) const fn new(shared: &'a Shared) -> Self {
        Self { shared, inspected: Cell::new(0), made: Cell::new((0, 0)) }
    }
}

impl kad::Services<u32> for Lent<'_> {
    fn key(&self, contact: u32) -> KadKey {
        self.shared.dht.key(contact)
    }
    fn id(&self, contact: u32) -> Key {
        Key::of_peer(&self.shared.messages.ids()[contact as usize])
    }
    /// The /16 of its address, as go-libp2p counts.
    fn group(&self, contact: u32) -> Option<u64> {
        match self.shared.facts[contact as usize].ip {
            IpAddr::V4(ip) => Some(u64::from(ip.to_bits() >> 16)),
            IpAddr::V6(_) => None,
        }
    }
    /// In the simulator a value is right for its key if it starts with the hash of it: see [`right_value`].
    fn valid(&self, key: &Key, value: &[u8]) -> bool {
        value.starts_with(b"{") || value.get(..32) == Some(&Sha256::digest(key.bytes())[..])
    }
}

/// A value of `size` bytes (at least 32) that passes for right under a key.
pub(crate) fn right_value(key: &Key, size: usize) -> Arc<[u8]> {
    let mut value = Sha256::digest(key.bytes()).to_vec();
    value.resize(size.max(32), 0);
    value.into()
}

impl Services<SimMessage> for Lent<'_> {
    fn inspect(&self, message: &SimMessage) -> Inspection<u32> {
        self.inspected.set(self.inspected.get() + 1);
        self.shared.messages.inspect(message)
    }
    fn author(&self, message: &SimMessage) -> Option<PeerId> {
        Some(self.shared.messages.author(message))
    }
    fn peer_id(&self, contact: u32) -> Option<PeerId> {
        self.shared.messages.ids().get(contact as usize).copied()
    }
    fn contact(&self, id: &PeerId) -> Option<u32> {
        self.shared.find(id)
    }
    fn card_topic(&self, peer: &PeerId) -> Option<TopicRef> {
        let peer = self.shared.find(peer)?;
        self.shared.schedule.card_topics.as_ref()?.of(peer)
    }
    fn owner(&self, topic: TopicRef) -> Option<PeerId> {
        let peer = self.shared.schedule.card_topics.as_ref()?.owner(topic)?;
        Some(self.shared.messages.ids()[peer as usize])
    }
    fn card(&self, message: &SimMessage) -> Option<Result<Payload, CardError>> {
        let topics = self.shared.schedule.card_topics.as_ref()?;
        topics.holds(message.topic()).then(|| self.shared.messages.card(message.index()))
    }
    fn seal(&self, unsealed: Unsealed<'_, u32>) -> Option<SimMessage> {
        let interval = self.shared.config.cards.heartbeat_interval.as_nanos();
        let epoch = (unsealed.now.as_nanos() / interval) as u32;
        let (last, made) = self.made.get();
        let made = if last == epoch { made } else { 0 };
        let index = self.shared.own_index(unsealed.own, epoch, made)?;
        let message = self.shared.seal(index, &unsealed)?;
        self.made.set((epoch, made + 1));
        Some(message)
    }
    fn topic(&self, topic: &Topic) -> Option<TopicRef> {
        let calls = self.shared.schedule.calls.as_ref()?;
        self.shared.messages.topic(&topic.to_string()).filter(|topic| calls.holds(*topic))
    }
    /// Nothing but machines' own messages is on these topics: no workload publishes there.
    fn gossiped(&self, message: &SimMessage) -> Option<(Topic, Arc<str>)> {
        let calls = self.shared.schedule.calls.as_ref()?;
        if !calls.holds(message.topic()) {
            return None;
        }
        let said = self.shared.messages.said(message.index())?;
        Some((Topic::parse(self.shared.messages.topic_name(message.topic())).ok()?, said))
    }
    fn bytes(&self, message: &SimMessage) -> Option<Arc<[u8]>> {
        Some(self.shared.messages.get(message.index()).bytes[..].into())
    }
}
