//! What the driver lends to the machines of this module for the length of one call, and what it gets back.

use std::sync::Arc;

use super::payload::Heartbeat;
use super::published::{CardHash, Published};
use crate::identity::PeerId;
use crate::rng::Stream;
use crate::time::{Duration, Instant, UnixMillis};

/// Settings shared by all card machines of a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Time between two heartbeats; not zero, shorter than `ttl`.
    pub heartbeat_interval: Duration,
    /// How long a card lives after it, or a heartbeat for it, was last heard. A heartbeat may ask for less, never for
    /// more.
    pub ttl: Duration,
    /// Shortest time between two full cards of one announcer: a burst of changes or requests costs one card.
    pub card_interval_min: Duration,
    /// Shortest time between two requests for the card of one peer.
    pub fetch_interval: Duration,
    /// Peers followed; the least recently used goes first. At least 1. Each costs a subscription (decision T3).
    pub followed_max: usize,
}

/// 30 s and 5 min: spec 7.4. 10 s: the time limit of a request (messages.md). 64: messages.md, so that all default
/// subscriptions stay under the 100 topics of rust-libp2p. One card a second: our guess, ample for a person's changes.
impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(30),
            ttl: Duration::from_secs(300),
            card_interval_min: Duration::from_secs(1),
            fetch_interval: Duration::from_secs(10),
            followed_max: 64,
        }
    }
}

impl Config {
    /// What contradicts itself in these settings, if anything.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), String> {
        if self.heartbeat_interval.is_zero() {
            return Err("heartbeat_interval must not be zero".to_owned());
        }
        if self.ttl <= self.heartbeat_interval {
            let interval = self.heartbeat_interval;
            return Err(format!("ttl must be longer than heartbeat_interval ({interval}), got {}", self.ttl));
        }
        if self.followed_max == 0 {
            return Err("followed_max must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// Something a card machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Write down the `seq` of our newest card, before anything after this in the outbox is carried out: the next run
    /// gives it to [`Announcer::new`](super::Announcer::new).
    Persist {
        /// The number, at most [`SEQ_MAX`](super::SEQ_MAX).
        seq: u64,
    },
    /// Publish a heartbeat on `hyperspace/capabilities/{own id}`.
    PublishHeartbeat(Heartbeat),
    /// Publish our full card there. A driver with a DHT also puts it under [`card_key`](super::card_key), in its
    /// envelope, and provides its [`tag_keys`](super::tag_keys).
    PublishCard(Arc<Published>),
    /// Subscribe to `hyperspace/capabilities/{peer}`.
    Subscribe(PeerId),
    /// Leave that topic.
    Unsubscribe(PeerId),
    /// Get a peer's card over `/hyperspace/card/1` and hand it to
    /// [`Tracker::on_card`](super::Tracker::on_card). Failing is harmless: its next heartbeat asks again.
    FetchCard {
        /// Whose card.
        peer: PeerId,
        /// The hash that its heartbeat named.
        hash: CardHash,
    },
    /// A peer's card is new or another than before.
    Updated(PeerId),
    /// A peer's card was not heard of for too long and is gone. The peer is still followed.
    Expired(PeerId),
}

/// Things the machines dropped, held back or gave up, counted by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// A payload that does not parse or is beyond a bound ([`CardError`](super::CardError)).
    Malformed,
    /// A card that names another peer than its signer.
    Forged,
    /// A card or heartbeat of a peer that is not followed.
    NotFollowed,
    /// A card or heartbeat of a version older than the one held.
    Old,
    /// Two cards of one peer with one `seq`: the peer lost its state, or says different things to different people.
    Conflict,
    /// A card signed so long ago that it has expired.
    Stale,
    /// A heartbeat for an unknown card soon after the last request for one.
    FetchHeld,
    /// A card that expired.
    Expired,
    /// A peer no longer followed to make room for another.
    Evicted,
    /// A change of our card, or a request for it, soon after it was published: the card waits.
    CardHeld,
    /// A peer's answer that was not asked for, came twice, too late, or from somebody else. The driver of the machines
    /// pairs answers with requests, and counts it.
    Unasked,
}

impl Count {
    /// How many kinds there are.
    pub const KINDS: usize = 11;
    /// All kinds with the name they have in reports, in the order of [`Count`] as an index.
    pub const NAMES: [(Self, &'static str); Self::KINDS] = [
        (Self::Malformed, "card_malformed"),
        (Self::Forged, "card_forged"),
        (Self::NotFollowed, "card_not_followed"),
        (Self::Old, "card_old"),
        (Self::Conflict, "card_conflict"),
        (Self::Stale, "card_stale"),
        (Self::FetchHeld, "card_fetch_held"),
        (Self::Expired, "card_expired"),
        (Self::Evicted, "card_evicted"),
        (Self::CardHeld, "card_held"),
        (Self::Unasked, "card_unasked"),
    ];
}

crate::counters::counters!();

/// What the driver lends for the length of one call.
#[derive(Debug)]
pub struct Context<'a> {
    /// The driver's clock; never goes backwards.
    pub now: Instant,
    /// The wall clock, which may. Only the first guess for a `seq` comes from it.
    pub unix: UnixMillis,
    /// Settings shared by all machines of this driver.
    pub config: &'a Config,
    /// This machine's own random numbers.
    pub rng: &'a mut Stream,
    /// Where drops are counted.
    pub counters: &'a mut Counters,
    /// Where the machine puts what it wants done, to be carried out in order.
    pub out: &'a mut Vec<Output>,
}

impl Context<'_> {
    pub(super) fn count(&mut self, what: Count) {
        self.counters.add(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_spec_and_contradictions_are_named() {
        let spec = Config::default();
        assert_eq!(spec.check(), Ok(()));
        assert_eq!((spec.heartbeat_interval.as_secs(), spec.ttl.as_secs(), spec.followed_max), (30, 300, 64));
        let cases = [
            (Config { heartbeat_interval: Duration::ZERO, ..spec.clone() }, "heartbeat_interval"),
            (Config { ttl: spec.heartbeat_interval, ..spec.clone() }, "ttl must be longer"),
            (Config { followed_max: 0, ..spec }, "followed_max"),
        ];
        for (config, start) in cases {
            let error = config.check().expect_err(start);
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn every_count_is_named_at_its_own_place() {
        for (i, (count, _)) in Count::NAMES.iter().enumerate() {
            assert_eq!(*count as usize, i);
        }
        let mut one = Counters::default();
        one.add(Count::CardHeld);
        let mut two = one.clone();
        two.merge(&one);
        assert_eq!((two.get(Count::CardHeld), two.get(Count::Old)), (2, 0));
    }
}
