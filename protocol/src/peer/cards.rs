//! The capability cards as children of the peer: our own announcer, and the tracker of those we follow.
//!
//! Following a peer means a connection to it and a subscription to its topic: GossipSub carries a topic's messages only
//! between connected subscribers, and hardly anybody else subscribes to one peer's topic (decision T3).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Peer;
use crate::card::{
    self, Announcer, Card, CardError, Output as CardOutput, Payload, Published, Tracker, card_key, tag_keys,
};
use crate::identity::PeerId;
use crate::kad::Contact;
use crate::machine::{Context, Message, Output, TopicRef};
use crate::request::{Event, Request, RequestId, Response};
use crate::time::{Duration, Instant};

/// Both machines, and what is on its way between them and the rest of the peer.
#[derive(Debug)]
pub struct Cards<C> {
    announcer: Announcer,
    tracker: Tracker,
    /// Cards asked for, one per followed peer at most, by whose they are.
    pub(super) fetches: BTreeMap<PeerId, (RequestId, C)>,
    next_request: u32,
    /// When to look whom of the followed peers nothing is heard of.
    reach_out: Instant,
    /// Topics subscribed to because followed peers announce there.
    pub(super) topics: BTreeMap<TopicRef, Wanted>,
}

/// Who wants a topic that followed peers announce on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// How many followed peers announce there: several, if topics are shared.
    pub(super) peers: u32,
    /// Whether the application has subscribed to it too.
    pub(super) application: bool,
}

impl<C: Contact> Cards<C> {
    fn new(own: PeerId) -> Self {
        Self {
            announcer: Announcer::new(own, 0),
            tracker: Tracker::default(),
            fetches: BTreeMap::new(),
            next_request: 0,
            reach_out: Instant::FAR_FUTURE,
            topics: BTreeMap::new(),
        }
    }

    /// After a restart: our card is on disk, cards of others were in memory.
    pub(super) fn restarted(self) -> Self {
        Self {
            announcer: self.announcer,
            tracker: Tracker::default(),
            fetches: BTreeMap::new(),
            reach_out: Instant::FAR_FUTURE,
            topics: BTreeMap::new(),
            ..self
        }
    }

    /// Our own card's machine.
    pub const fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    /// How many topics are subscribed to for the sake of cards.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// The cards of others.
    pub const fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let reach_out = (self.reach_out != Instant::FAR_FUTURE).then_some(self.reach_out);
        [self.announcer.poll_timeout(), self.tracker.poll_timeout(), reach_out].into_iter().flatten().min()
    }

    /// The followed peers of which nothing was heard for two heartbeats.
    fn silent(&self, now: Instant, config: &card::Config) -> Vec<PeerId> {
        let store = self.tracker.store();
        let fresh = now + config.ttl.saturating_sub(config.heartbeat_interval.saturating_mul(2));
        let silent = |peer: &&PeerId| store.get(peer, now).is_none_or(|entry| entry.expires < fresh);
        store.followed().filter(silent).copied().collect()
    }
}

impl<M: Message> Peer<M> {
    /// Runs the card machines, made if need be, and carries over what they want done.
    fn with_cards(
        &mut self,
        cx: &mut Context<'_, M>,
        run: impl FnOnce(&mut Cards<M::Contact>, &mut card::Context<'_>),
    ) {
        let Some(own) = cx.services.peer_id(cx.own) else { return cx.unsupported() };
        let mut out = Vec::new();
        let mut child = card::Context {
            now: cx.now,
            unix: cx.unix,
            config: &cx.config.cards,
            rng: &mut *cx.rng,
            counters: &mut cx.counters.cards,
            out: &mut out,
        };
        let cards = self.cards.get_or_insert_with(|| Box::new(Cards::new(own)));
        run(cards, &mut child);
        for output in out {
            self.card_output(cx, own, output);
        }
    }

    fn card_output(&mut self, cx: &mut Context<'_, M>, own: PeerId, output: CardOutput) {
        match output {
            // The one thing written to disk is the announcer itself, which `restart` keeps.
            CardOutput::Persist { .. } => {}
            CardOutput::PublishHeartbeat(heartbeat) => {
                let text = serde_json::to_string(&heartbeat).expect("plain data");
                self.publish_on_card_topic(cx, own, &text);
            }
            CardOutput::PublishCard(card) => self.publish_card(cx, own, &card),
            CardOutput::Subscribe(peer) => self.subscribe_to(cx, peer),
            CardOutput::Unsubscribe(peer) => self.unsubscribe_from(cx, peer),
            CardOutput::FetchCard { peer, .. } => self.fetch(cx, peer),
            CardOutput::Updated(peer) => cx.out.push(Output::Event(Box::new(Event::CardUpdated(peer)))),
            CardOutput::Expired(peer) => cx.out.push(Output::Event(Box::new(Event::CardExpired(peer)))),
        }
    }

    fn publish_on_card_topic(&mut self, cx: &mut Context<'_, M>, own: PeerId, d: &str) -> Option<M> {
        let topic = cx.services.card_topic(&own)?;
        let message = cx.seal(topic, d)?;
        self.gossip.publish(cx, message.clone());
        Some(message)
    }

    /// A new card goes out on the topic; in a network with a DHT also to the peers closest to its key, in its envelope,
    /// and to those closest to the keys of its tags (decision T9).
    fn publish_card(&mut self, cx: &mut Context<'_, M>, own: PeerId, card: &Arc<Published>) {
        let text = serde_json::to_string(card.card()).expect("plain data");
        let Some(message) = self.publish_on_card_topic(cx, own, &text) else { return };
        let Some(envelope) = cx.services.bytes(&message) else { return };
        self.store_card(cx, card_key(&own), &envelope, tag_keys(card));
    }

    fn subscribe_to(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        cx.out.push(Output::Connect { id: peer });
        if let Some(cards) = &mut self.cards {
            cards.reach_out = cards.reach_out.min(cx.now + cx.config.cards.heartbeat_interval);
        }
        let Some((topic, cards)) = cx.services.card_topic(&peer).zip(self.cards.as_mut()) else { return };
        let application = self.gossip.mesh_peers(topic).is_some();
        cards.topics.entry(topic).or_insert(Wanted { peers: 0, application }).peers += 1;
        self.gossip.subscribe(cx, topic);
    }

    fn unsubscribe_from(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        let Some(cards) = &mut self.cards else { return };
        cards.fetches.remove(&peer);
        let Some(topic) = cx.services.card_topic(&peer) else { return };
        let Some(wanted) = cards.topics.get_mut(&topic) else { return };
        wanted.peers -= 1;
        if wanted.peers == 0 {
            let wanted = cards.topics.remove(&topic);
            if !wanted.is_some_and(|wanted| wanted.application) {
                self.gossip.unsubscribe(cx, topic);
            }
        }
    }

    /// The application wants a topic.
    pub(super) fn subscribe(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        if let Some(wanted) = self.cards.as_mut().and_then(|cards| cards.topics.get_mut(&topic)) {
            wanted.application = true;
        }
        self.gossip.subscribe(cx, topic);
    }

    /// The application no longer wants a topic: it stays while followed peers announce there.
    pub(super) fn unsubscribe(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        match self.cards.as_mut().and_then(|cards| cards.topics.get_mut(&topic)) {
            Some(wanted) => wanted.application = false,
            None => self.gossip.unsubscribe(cx, topic),
        }
    }

    fn fetch(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        let Some((to, cards)) = cx.services.contact(&peer).zip(self.cards.as_mut()) else { return };
        let id = RequestId(cards.next_request);
        cards.next_request = cards.next_request.wrapping_add(1);
        cards.fetches.insert(peer, (id, to));
        cx.out.push(Output::Request { to, id, request: Box::new(Request::Card) });
    }

    /// The process starts. Our card is announced again, if it was kept, and a heartbeat that is overdue goes out.
    pub(super) fn start_cards(&mut self, cx: &mut Context<'_, M>) {
        if self.cards.is_some() {
            self.with_cards(cx, |cards, cx| {
                cards.announcer.on_request(cx);
                cards.announcer.handle_timeout(cx);
            });
        }
    }

    pub(super) fn announce(&mut self, cx: &mut Context<'_, M>, card: Card) {
        self.with_cards(cx, |cards, cx| {
            if cards.announcer.set_card(cx, card).is_err() {
                // A card of our own application that breaks a bound: the one before stays.
                cx.counters.add(card::Count::Malformed);
            }
        });
    }

    pub(super) fn follow(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        self.with_cards(cx, |cards, cx| cards.tracker.follow(cx, peer));
    }

    pub(super) fn unfollow(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        if self.cards.is_some() {
            self.with_cards(cx, |cards, cx| cards.tracker.unfollow(cx, peer));
        }
    }

    /// What a valid message on a capability topic says, and who says so. Nobody else's messages are cards.
    pub(super) fn card_message(
        &self,
        cx: &Context<'_, M>,
        message: &M,
    ) -> Option<(PeerId, Result<Payload, CardError>)> {
        self.cards.as_ref()?;
        let payload = cx.services.card(message)?;
        Some((cx.services.author(message)?, payload))
    }

    /// Takes in what [`Peer::card_message`] found.
    pub(super) fn on_card_message(
        &mut self,
        cx: &mut Context<'_, M>,
        from: PeerId,
        payload: Result<Payload, CardError>,
    ) {
        self.with_cards(cx, |cards, cx| cards.tracker.on_payload(cx, from, payload));
    }

    pub(super) fn card_request(&self, cx: &mut Context<'_, M>, from: M::Contact, id: RequestId) {
        let card = self.cards.as_ref().and_then(|cards| cards.announcer.card().cloned());
        cx.out.push(Output::Respond { to: from, id, response: Box::new(Response::Card(card)) });
    }

    pub(super) fn card_response(
        &mut self,
        cx: &mut Context<'_, M>,
        from: M::Contact,
        id: RequestId,
        card: Option<Arc<Published>>,
    ) {
        let asked = |cards: &Cards<M::Contact>| {
            cards.fetches.iter().find(|(_, asked)| **asked == (id, from)).map(|(peer, _)| *peer)
        };
        let Some(peer) = self.cards.as_deref().and_then(asked) else {
            return cx.counters.cards.add(card::Count::Unasked);
        };
        self.with_cards(cx, |cards, cx| {
            cards.fetches.remove(&peer);
            if let Some(card) = card {
                cards.tracker.on_card(cx, peer, card, Duration::ZERO);
            }
        });
    }

    /// The next heartbeat will ask again.
    pub(super) fn card_failed(&mut self, id: RequestId) {
        if let Some(cards) = &mut self.cards {
            cards.fetches.retain(|_, (asked, _)| *asked != id);
        }
    }

    /// A connection to a peer is there: asks for its card, if it is followed and its card is not known.
    pub(super) fn card_peer_connected(&mut self, cx: &mut Context<'_, M>, peer: PeerId) {
        let Some(cards) = &self.cards else { return };
        let store = cards.tracker.store();
        if store.is_followed(&peer) && store.get(&peer, cx.now).is_none() {
            self.fetch(cx, peer);
        }
    }

    /// Calls the followed peers that are silent: they, or we, may have been away (our choice).
    fn reach_out(&mut self, cx: &mut Context<'_, M>) {
        let Some(cards) = self.cards.as_mut().filter(|cards| cards.reach_out <= cx.now) else { return };
        let follows = cards.tracker.store().followed().next().is_some();
        cards.reach_out =
            if follows { cx.now + cx.config.cards.heartbeat_interval } else { Instant::FAR_FUTURE };
        for id in cards.silent(cx.now, &cx.config.cards) {
            cx.out.push(Output::Connect { id });
        }
    }

    pub(super) fn cards_timeout(&mut self, cx: &mut Context<'_, M>) {
        if self.cards.as_ref().is_some_and(|cards| cards.poll_timeout().is_some_and(|due| due <= cx.now)) {
            self.with_cards(cx, |cards, cx| {
                cards.announcer.handle_timeout(cx);
                cards.tracker.handle_timeout(cx);
            });
            self.reach_out(cx);
        }
    }
}
