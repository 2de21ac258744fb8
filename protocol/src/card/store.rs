//! What is known of other peers' cards: the CRDT of spec 7.4.
//!
//! Of each peer the card with the highest `seq` counts; of two with one `seq` the one with the greater hash, so that all
//! peers agree (the tie is our choice). A card lives until its [`Entry::expires`], and only what names its very version
//! makes it live longer. Nothing stays of an expired card, so a peer that comes back with a lower `seq` is taken up then.
//!
//! An entry is a (version, expiry) pair and two entries join to the greater pair. [`Store::merge`] joins what both stores
//! hold fresh at one instant: it is commutative, associative and idempotent. The bound is part of it in so far as which
//! peers stay followed does not depend on the order either; but what was known of a peer is lost when it is evicted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::published::{Published, Version};
use crate::identity::PeerId;
use crate::time::Instant;

/// One peer's card as it is known.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The card.
    pub card: Arc<Published>,
    /// From here on it counts no more.
    pub expires: Instant,
}

impl Entry {
    /// Takes the greater of two entries for one peer.
    fn join(&mut self, other: &Self) {
        if (self.card.version(), self.expires) < (other.card.version(), other.expires) {
            self.clone_from(other);
        }
    }
}

/// One followed peer.
#[derive(Clone, PartialEq, Debug)]
struct Slot {
    /// When its card was last used.
    used: Instant,
    entry: Option<Entry>,
}

/// What came of [`Store::follow`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Followed {
    /// It was followed already and now counts as used.
    Known,
    /// It is new, and there was room.
    Added,
    /// It is new, and this one had to go for it.
    Replaced(PeerId),
}

/// What came of [`Store::hear`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The card is now the peer's.
    Taken,
    /// It was so already, and lives on.
    Refreshed,
    /// A greater version is held.
    Old,
    /// The peer is not followed.
    NotFollowed,
}

/// What came of [`Store::refresh`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beat {
    /// The card lives on.
    Refreshed,
    /// A greater version is held; its life is not changed.
    Old,
    /// That version is not held and would be the peer's.
    Unknown,
    /// The peer is not followed.
    NotFollowed,
}

/// The followed peers and their cards.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Store {
    slots: BTreeMap<PeerId, Slot>,
}

impl Store {
    /// Follows a peer from now on, or marks it as used. Beyond `max` peers (at least 1) the least recently used goes; of
    /// several the one with the least id.
    pub fn follow(&mut self, now: Instant, peer: PeerId, max: usize) -> Followed {
        if let Some(slot) = self.slots.get_mut(&peer) {
            slot.used = slot.used.max(now);
            return Followed::Known;
        }
        let evicted = if self.slots.len() >= max { self.evict() } else { None };
        self.slots.insert(peer, Slot { used: now, entry: None });
        evicted.map_or(Followed::Added, Followed::Replaced)
    }

    /// Forgets a peer. Returns whether it was followed.
    pub fn unfollow(&mut self, peer: &PeerId) -> bool {
        self.slots.remove(peer).is_some()
    }

    /// Takes in a card that its peer signed.
    pub fn hear(&mut self, now: Instant, card: Arc<Published>, expires: Instant) -> Heard {
        let Some(slot) = self.slots.get_mut(&card.peer_id) else { return Heard::NotFollowed };
        let heard = match slot.fresh(now).map(|held| held.card.version().cmp(&card.version())) {
            Some(core::cmp::Ordering::Greater) => return Heard::Old,
            Some(core::cmp::Ordering::Equal) => Heard::Refreshed,
            Some(core::cmp::Ordering::Less) | None => Heard::Taken,
        };
        slot.join(&Entry { card, expires }, now);
        heard
    }

    /// Takes in a heartbeat that the peer signed for this version of its card.
    pub fn refresh(&mut self, now: Instant, peer: &PeerId, version: Version, expires: Instant) -> Beat {
        let Some(slot) = self.slots.get_mut(peer) else { return Beat::NotFollowed };
        let Some(held) = slot.entry.as_mut().filter(|held| now < held.expires) else { return Beat::Unknown };
        match held.card.version().cmp(&version) {
            core::cmp::Ordering::Greater => Beat::Old,
            core::cmp::Ordering::Less => Beat::Unknown,
            core::cmp::Ordering::Equal => {
                held.expires = held.expires.max(expires);
                Beat::Refreshed
            }
        }
    }

    /// Drops the cards that have expired and returns their peers, which stay followed, in the order of their ids.
    pub fn expire(&mut self, now: Instant) -> Vec<PeerId> {
        let mut gone = Vec::new();
        for (peer, slot) in &mut self.slots {
            if slot.entry.take_if(|entry| entry.expires <= now).is_some() {
                gone.push(*peer);
            }
        }
        gone
    }

    /// Joins what another store of the same driver holds fresh at `now` into this one, and drops what has expired.
    /// Beyond `max` peers the least recently used go; see the module's documentation for what that means for the order
    /// of merges.
    pub fn merge(&mut self, other: &Self, now: Instant, max: usize) {
        self.expire(now);
        for (peer, theirs) in &other.slots {
            let mine = self.slots.entry(*peer).or_insert(Slot { used: theirs.used, entry: None });
            mine.used = mine.used.max(theirs.used);
            if let Some(entry) = theirs.fresh(now) {
                mine.join(entry, now);
            }
        }
        while self.slots.len() > max {
            self.evict();
        }
    }

    /// The cards that are fresh at `now`, in the order of their peers' ids.
    pub fn fresh(&self, now: Instant) -> impl Iterator<Item = &Arc<Published>> {
        self.slots.values().filter_map(move |slot| slot.fresh(now)).map(|entry| &entry.card)
    }

    /// What is known of a peer, if fresh at `now`.
    pub fn get(&self, peer: &PeerId, now: Instant) -> Option<&Entry> {
        self.slots.get(peer)?.fresh(now)
    }

    /// Whether a peer is followed.
    pub fn is_followed(&self, peer: &PeerId) -> bool {
        self.slots.contains_key(peer)
    }

    /// The peers followed, in the order of their ids.
    pub fn followed(&self) -> impl Iterator<Item = &PeerId> {
        self.slots.keys()
    }

    /// How many peers are followed.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nobody is followed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the next card expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.slots.values().filter_map(|slot| slot.entry.as_ref()).map(|entry| entry.expires).min()
    }

    fn evict(&mut self) -> Option<PeerId> {
        let (_, oldest) = self.slots.iter().map(|(peer, slot)| (slot.used, *peer)).min()?;
        self.slots.remove(&oldest);
        Some(oldest)
    }
}

impl Slot {
    fn fresh(&self, now: Instant) -> Option<&Entry> {
        self.entry.as_ref().filter(|entry| now < entry.expires)
    }

    /// An expired entry gives way to anything.
    fn join(&mut self, entry: &Entry, now: Instant) {
        match &mut self.entry {
            Some(mine) if now < mine.expires => mine.join(entry),
            mine => *mine = Some(entry.clone()),
        }
    }
}
