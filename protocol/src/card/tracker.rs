//! The receiver's side of spec 7.4: follows peers, has unknown cards fetched and lets silent ones expire.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Context, Count, Output};
use super::payload::{CardError, Heartbeat, Payload};
use super::published::Published;
use super::store::{Beat, Followed, Heard, Store};
use crate::identity::PeerId;
use crate::time::{Duration, Instant, UnixMillis};

/// How long ago an envelope was signed, for [`Tracker::on_card`]. Zero if its `ts` lies ahead of our clock, whichever of
/// the two is wrong: how far ahead one may lie is for the envelope's check.
pub const fn age(unix: UnixMillis, ts: UnixMillis) -> Duration {
    Duration::from_millis(unix.0.saturating_sub(ts.0))
}

/// Follows the cards of other peers.
///
/// Only [`Tracker::follow`] makes room for a peer, so a flood of cards of peers nobody asked about changes nothing.
#[derive(Clone, Debug)]
pub struct Tracker {
    store: Store,
    /// When the card of a followed peer was last asked for.
    asked: BTreeMap<PeerId, Instant>,
    /// No card expires before this.
    due: Instant,
}

impl Default for Tracker {
    fn default() -> Self {
        Self { store: Store::default(), asked: BTreeMap::new(), due: Instant::FAR_FUTURE }
    }
}

impl Tracker {
    /// A tool of this peer was resolved or used: follows the peer, or marks it as used. The least recently used peer may
    /// have to go for it. Call it before [`Tracker::on_card`] for a card that a lookup found.
    pub fn follow(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.expire(cx);
        let followed = self.store.follow(cx.now, peer, cx.config.followed_max);
        if followed == Followed::Known {
            return;
        }
        // First of all, lest a topic that the two share is left and joined again.
        cx.out.push(Output::Subscribe(peer));
        if let Followed::Replaced(evicted) = followed {
            self.asked.remove(&evicted);
            cx.count(Count::Evicted);
            cx.out.push(Output::Unsubscribe(evicted));
        }
    }

    /// No more of this peer.
    pub fn unfollow(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.expire(cx);
        if self.store.unfollow(&peer) {
            self.asked.remove(&peer);
            cx.out.push(Output::Unsubscribe(peer));
        }
    }

    /// The `d` of an envelope that `from` signed just now on its topic.
    pub fn on_text(&mut self, cx: &mut Context<'_>, from: PeerId, d: &str) {
        // What nobody asked for is not worth parsing.
        if self.store.is_followed(&from) {
            self.on_payload(cx, from, Payload::parse(d));
        } else {
            cx.count(Count::NotFollowed);
        }
    }

    /// The same, for a driver that parses a message once for many peers.
    pub fn on_payload(&mut self, cx: &mut Context<'_>, from: PeerId, payload: Result<Payload, CardError>) {
        if !self.store.is_followed(&from) {
            cx.count(Count::NotFollowed);
            return;
        }
        match payload {
            Ok(Payload::Heartbeat(heartbeat)) => self.on_heartbeat(cx, from, &heartbeat),
            Ok(Payload::Card(card)) => self.on_card(cx, from, card, Duration::ZERO),
            Err(_) => cx.count(Count::Malformed),
        }
    }

    /// A heartbeat that `from` signed just now. One for an unknown card has that card fetched, at most one per
    /// [`Config::fetch_interval`](super::Config::fetch_interval); until it comes the old card stays and ages.
    pub fn on_heartbeat(&mut self, cx: &mut Context<'_>, from: PeerId, heartbeat: &Heartbeat) {
        self.expire(cx);
        let version = heartbeat.version();
        let expires = cx.now + heartbeat.ttl().min(cx.config.ttl);
        match self.store.refresh(cx.now, &from, version, expires) {
            Beat::Refreshed => {}
            Beat::NotFollowed => cx.count(Count::NotFollowed),
            Beat::Old => {
                cx.count(Count::Old);
                self.note_conflict(cx, &from, version.seq);
            }
            Beat::Unknown => {
                self.note_conflict(cx, &from, version.seq);
                self.fetch(cx, from, heartbeat);
            }
        }
    }

    /// A card that `from` signed, `age` ago: zero for one that came by gossip or straight from its peer, the [`age`] of
    /// its envelope for one out of the DHT, where cards of the dead lie for days. Such a card lives that much shorter.
    pub fn on_card(&mut self, cx: &mut Context<'_>, from: PeerId, card: Arc<Published>, age: Duration) {
        self.expire(cx);
        if card.peer_id != from {
            cx.count(Count::Forged);
            return;
        }
        if age >= cx.config.ttl {
            cx.count(Count::Stale);
            return;
        }
        let (expires, version) = (cx.now + cx.config.ttl.saturating_sub(age), card.version());
        let held = self.store.get(&from, cx.now).map(|entry| entry.card.version());
        if held.is_some_and(|held| held.seq == version.seq && held.hash != version.hash) {
            cx.count(Count::Conflict);
        }
        match self.store.hear(cx.now, card, expires) {
            Heard::Taken => {
                self.due = self.due.min(expires);
                cx.out.push(Output::Updated(from));
            }
            Heard::Refreshed => {}
            Heard::Old => cx.count(Count::Old),
            Heard::NotFollowed => cx.count(Count::NotFollowed),
        }
    }

    /// Drops the cards that are due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.expire(cx);
    }

    /// When to call [`Tracker::handle_timeout`] next; may change after any other call. It may turn out that all cards
    /// were heard of again since.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.due != Instant::FAR_FUTURE).then_some(self.due)
    }

    /// What is known.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    fn note_conflict(&self, cx: &mut Context<'_>, peer: &PeerId, seq: u64) {
        if self.store.get(peer, cx.now).is_some_and(|entry| entry.card.seq == seq) {
            cx.count(Count::Conflict);
        }
    }

    fn fetch(&mut self, cx: &mut Context<'_>, peer: PeerId, heartbeat: &Heartbeat) {
        if self.asked.get(&peer).is_some_and(|asked| cx.now < *asked + cx.config.fetch_interval) {
            cx.count(Count::FetchHeld);
            return;
        }
        self.asked.insert(peer, cx.now);
        cx.out.push(Output::FetchCard { peer, hash: heartbeat.card_hash });
    }

    fn expire(&mut self, cx: &mut Context<'_>) {
        if cx.now < self.due {
            return;
        }
        for peer in self.store.expire(cx.now) {
            cx.count(Count::Expired);
            cx.out.push(Output::Expired(peer));
        }
        self.due = self.store.next_expiry().unwrap_or(Instant::FAR_FUTURE);
    }
}
