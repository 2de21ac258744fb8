//! What happens at one peer at one time, and the order in which a peer takes its events.
//!
//! The contract, which every engine keeps: a peer runs a timer due at `t` before events at `t`, and takes events in
//! ascending `(at, tie, src, seq)`. `tie` is a hash of the instant and the two ends, so that no peer is favoured and a
//! seed re-rolls the order, while frames of one sender at one instant stay in the order in which they were sent. Nothing
//! here depends on which thread or engine made the event, or when.

use hyperspace_protocol::gossip::Frame;

use crate::message::{MessageTable, SimMessage};
use crate::rpc::Packet;

/// The `src` of events that the world itself schedules.
pub(crate) const WORLD: u32 = u32::MAX;

/// One event: 40 bytes.
#[derive(Debug)]
pub(crate) struct Event {
    /// Nanoseconds since the start.
    pub(crate) at: u64,
    pub(crate) dst: u32,
    pub(crate) src: u32,
    /// The how-manieth event of `src`.
    pub(crate) seq: u32,
    /// The link at `dst` over which it comes.
    pub(crate) slot: u16,
    /// The use of that slot: slots are used again, late events of an earlier use are dropped.
    pub(crate) generation: u16,
    pub(crate) payload: Payload,
}

/// What the event is.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Moved out already.
    Taken,
    /// A protocol frame.
    Frame(Frame<SimMessage>),
    /// `src` wants a connection; the slot and generation are those of `src`.
    Dial { slot: u16, generation: u16 },
    /// `src` accepts the connection asked for; the slot and generation are those of `src`.
    Accept { slot: u16, generation: u16 },
    /// `src` does not; or nobody is there, which only time tells.
    Refuse { absent: bool },
    /// `src` has closed the connection.
    Close,
    /// The workload's message of this index is published here.
    Publish(u32),
    /// This peer shall dial that one.
    DialOrder(u32),
    /// A request or response, over any connection.
    Packet(Box<Packet>),
    /// The workload's query of this index is asked here.
    Query(u32),
    /// The workload's call of this index is made here.
    Call(u32),
    /// This peer's next session begins.
    Wake,
    /// This peer's session ends.
    Leave,
}

impl Event {
    /// The order among events of one peer at one instant.
    pub(crate) fn order(&self, key: u64) -> (u64, u32, u32, u32) {
        (self.at, self.tie(key), self.src, self.seq)
    }

    fn tie(&self, key: u64) -> u32 {
        let ends = u64::from(self.src) << 32 | u64::from(self.dst);
        (mix(mix(key ^ self.at) ^ ends) >> 32) as u32
    }

    /// A hash of when, between whom and what, for digests.
    pub(crate) fn digest(&self, messages: &MessageTable) -> u64 {
        let ends = u64::from(self.src) << 32 | u64::from(self.dst);
        mix(mix(self.at ^ self.payload.digest(messages)) ^ ends ^ u64::from(self.seq).rotate_left(17))
    }
}

impl Payload {
    fn digest(&self, messages: &MessageTable) -> u64 {
        match self {
            Self::Frame(frame) => frame_digest(frame, messages),
            Self::Taken => 0,
            Self::Dial { .. } => 1 << 60,
            Self::Accept { .. } => 2 << 60,
            Self::Refuse { absent } => 3 << 60 | u64::from(*absent),
            Self::Close => 4 << 60,
            Self::Publish(index) => 5 << 60 | u64::from(*index),
            Self::DialOrder(peer) => 6 << 60 | u64::from(*peer),
            Self::Packet(packet) => packet.digest(),
            Self::Query(index) => 8 << 60 | u64::from(*index),
            Self::Wake => 9 << 60,
            Self::Leave => 10 << 60,
            // 11 to 13 are packets.
            Self::Call(index) => 14 << 60 | u64::from(*index),
        }
    }
}

fn frame_digest(frame: &Frame<SimMessage>, messages: &MessageTable) -> u64 {
    let ids = |ids: &[u32], kind: u64| ids.iter().fold(kind, |h, id| mix(h ^ messages.get(*id).key));
    match frame {
        Frame::Message(m) => messages.get(m.index()).key ^ u64::from(m.hops()) << 48,
        Frame::Subscriptions(changes) => {
            changes.iter().fold(11, |h, (topic, on)| mix(h ^ u64::from(topic.0) << 1 ^ u64::from(*on)))
        }
        Frame::Graft(topic) => mix(12 ^ u64::from(topic.0) << 8),
        Frame::Prune(p) => {
            let backoff = p.backoff.map_or(0, |b| b.as_nanos() + 1);
            let px = p.px.iter().fold(0, |h, id| {
                mix(h ^ u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("32 bytes")))
            });
            mix(mix(13 ^ u64::from(p.topic.0) << 8) ^ backoff ^ px)
        }
        Frame::Ihave(i) => ids(&i.ids, mix(14 ^ u64::from(i.topic.0) << 8)),
        Frame::Iwant(i) => ids(i, 15),
        Frame::Idontwant(id) => ids(&[*id], 16),
    }
}

/// The finalizer of MurmurHash3, offset so that zero does not stay zero.
#[inline]
pub(crate) const fn mix(x: u64) -> u64 {
    let mut x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, src: u32, seq: u32) -> Event {
        Event { at, dst: 7, src, seq, slot: 0, generation: 0, payload: Payload::Refuse { absent: false } }
    }

    #[test]
    fn an_event_is_small() {
        assert_eq!(size_of::<Event>(), 40);
    }

    #[test]
    fn frames_of_one_sender_at_one_instant_keep_their_order() {
        for key in 0..100 {
            assert!(event(5, 3, 10).order(key) < event(5, 3, 11).order(key));
            assert!(event(4, 3, 11).order(key) < event(5, 3, 10).order(key));
        }
    }

    #[test]
    fn no_sender_is_always_first_at_one_instant() {
        let first = (0..1_000).filter(|at| event(*at, 1, 0).order(9) < event(*at, 2, 0).order(9)).count();
        assert!((400..600).contains(&first), "{first}");
    }
}
