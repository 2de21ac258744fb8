//! All of one participant: the parent machine that drains its children inside itself.
//!
//! The children are [`Gossip`], and, from their first use on, [`Kad`] (`dht`), the two card machines (`cards`) and the
//! primitives (`agent`), so that a peer pays only for what it uses. New messages pass the envelope's receiver checks
//! (freshness, replay) here, after the driver found the envelope itself in order.

mod agent;
mod cards;
mod dht;
#[cfg(test)]
mod tests;

pub use cards::Cards;

use crate::envelope::ReplayWindow;
use crate::gossip::{Gossip, Verdict};
use crate::kad::Kad;
use crate::machine::{Context, Count, Input, Inspection, Machine, Message};
use crate::primitive::Agent;
use crate::request::{Command, Protocol, Request, Response};
use crate::time::Instant;

/// One participant's whole protocol state.
#[derive(Debug)]
pub struct Peer<M: Message> {
    /// GossipSub.
    pub gossip: Gossip<M>,
    replay: ReplayWindow<M::Nonces>,
    dht: Option<Box<dht::Dht<M::Contact>>>,
    cards: Option<Box<Cards<M::Contact>>>,
    agent: Option<Box<Agent>>,
}

impl<M: Message> Default for Peer<M> {
    fn default() -> Self {
        Self {
            gossip: Gossip::default(),
            replay: ReplayWindow::default(),
            dht: None,
            cards: None,
            agent: None,
        }
    }
}

impl<M: Message> Peer<M> {
    /// The DHT machine, once it was used.
    pub fn dht(&self) -> Option<&Kad<M::Contact>> {
        self.dht.as_ref().map(|dht| &dht.kad)
    }

    /// The DHT machine, made if need be: for drivers that start from a given network, before [`Input::Start`].
    pub fn dht_mut(&mut self) -> &mut Kad<M::Contact> {
        &mut self.dht.get_or_insert_default().kad
    }

    /// The application's queries on their way.
    pub fn queries(&self) -> usize {
        self.dht.as_ref().map_or(0, |dht| dht.queries())
    }

    /// The card machines, once they were used.
    pub fn cards(&self) -> Option<&Cards<M::Contact>> {
        self.cards.as_deref()
    }

    /// The process has died and starts again: feed [`Input::Start`] next. What was in memory alone is gone: neighbours,
    /// message caches, queries. With `keeps_state`, what a node writes to its disk is still there: the routing table,
    /// stored records, its own card and what it provides; what it was following is asked for anew by the application.
    /// Without, only the numbers of its requests go on, lest a late response to one of before passes for one of now. What
    /// the primitives keep is in the driver's records either way.
    pub fn restart(&mut self, keeps_state: bool) {
        let (dht, cards, agent) = (self.dht.take(), self.cards.take(), self.agent.take());
        *self = Self::default();
        self.agent = agent.map(|agent| Box::new(agent.restarted()));
        self.dht = dht.map(|dht| Box::new(dht.restarted(keeps_state)));
        if keeps_state {
            self.cards = cards.map(|cards| Box::new(cards.restarted()));
        }
    }

    /// Spec 7.2 step 2: each peer validates the signed envelope. A replayed or stale one is nobody's fault in the mesh:
    /// honest peers may hand it on before their own clocks say so. A card on somebody else's topic is (decision T3).
    fn check(&mut self, cx: &Context<'_, M>, message: &M) -> Verdict {
        let inspection = cx.services.inspect(message);
        if let Some(owner) = cx.services.owner(message.topic())
            && cx.services.author(message) != Some(owner)
        {
            return Verdict::Reject;
        }
        match inspection {
            Inspection::Bare => Verdict::Accept,
            Inspection::Invalid => Verdict::Reject,
            Inspection::Valid { ts, nonce } => {
                match self.replay.admit(cx.now, cx.unix, ts, &nonce, &cx.config.replay) {
                    Ok(()) => Verdict::Accept,
                    Err(_) => Verdict::Ignore,
                }
            }
        }
    }

    fn on_message(&mut self, cx: &mut Context<'_, M>, from: crate::machine::PeerRef, message: M) {
        let verdict = self.check(cx, &message);
        let card = if verdict == Verdict::Accept { self.card_message(cx, &message) } else { None };
        let kept = (verdict == Verdict::Accept && self.agent.is_some()).then(|| message.clone());
        self.gossip.on_verdict(cx, from, message, verdict);
        // After the message has been handed on: what it brings about here can wait.
        if let Some((author, payload)) = card {
            self.on_card_message(cx, author, payload);
        }
        if let Some(message) = kept {
            self.agent_message(cx, &message);
        }
    }

    fn command(&mut self, cx: &mut Context<'_, M>, command: Command) {
        match command {
            Command::Query { token, query } => self.query(cx, token, query),
            Command::Announce(card) => self.announce(cx, card),
            Command::Follow(peer) => self.follow(cx, peer),
            Command::Unfollow(peer) => self.unfollow(cx, peer),
        }
    }
}

impl<M: Message> Peer<M> {
    /// Everything but frames.
    #[inline(never)]
    fn handle_other(&mut self, cx: &mut Context<'_, M>, input: Input<M>) {
        match input {
            Input::Start => {
                self.gossip.start(cx);
                self.start_dht(cx);
                self.start_cards(cx);
                self.start_agent(cx);
            }
            Input::Connected { peer, info, server } => {
                self.gossip.on_connected(cx, peer, info);
                if let Some(contact) = server {
                    self.dht_seen(cx, contact);
                }
                self.card_peer_connected(cx, info.id);
                self.agent_peer(cx, info.id, true);
            }
            Input::Disconnected { peer } => {
                let id = self.gossip.peer_id(peer);
                self.gossip.on_disconnected(cx, peer);
                if let Some(id) = id {
                    self.agent_peer(cx, id, false);
                }
            }
            Input::Frame { .. } => {}
            Input::Publish(message) => _ = self.gossip.publish(cx, message),
            Input::Subscribe(topic) => self.subscribe(cx, topic),
            Input::Unsubscribe(topic) => self.unsubscribe(cx, topic),
            Input::Request { from, server, id, request } => match *request {
                Request::Dht(request) => self.dht_request(cx, (from, server), id, request),
                Request::Card => self.card_request(cx, from, id),
                Request::Agent { protocol, body } => self.agent_asked(cx, from, id, (protocol, &body)),
            },
            Input::Response { from, id, response } => match *response {
                Response::Dht(response) => self.dht_response(cx, from, id, response),
                Response::Card(card) => self.card_response(cx, from, id, card),
                Response::Agent(body) => self.agent_told(cx, Some(from), id, Some(&body)),
            },
            Input::RequestFailed { protocol: Protocol::Dht, id } => self.dht_failed(cx, id),
            Input::RequestFailed { protocol: Protocol::Card, id } => self.card_failed(id),
            Input::RequestFailed { id, .. } => self.agent_told(cx, None, id, None),
            Input::Discovered(contact) => self.dht_seen(cx, contact),
            Input::Command(command) => self.command(cx, *command),
            Input::Agent(input) => self.agent_input(cx, *input),
        }
    }
}

impl<M: Message> Machine for Peer<M> {
    type Message = M;

    #[inline]
    fn handle_input(&mut self, cx: &mut Context<'_, M>, input: Input<M>) {
        // Nearly all that ever happens to a peer, so nothing else is in its way.
        if let Input::Frame { from, frame } = input {
            if let Some(message) = self.gossip.on_frame(cx, from, frame) {
                self.on_message(cx, from, message);
            }
        } else {
            self.handle_other(cx, input);
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, M>) {
        self.gossip.handle_timeout(cx);
        self.dht_timeout(cx);
        self.cards_timeout(cx);
        self.agent_timeout(cx);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Instant> {
        let gossip = self.gossip.poll_timeout();
        if self.dht.is_none() && self.cards.is_none() && self.agent.is_none() {
            return gossip;
        }
        let dht = self.dht.as_ref().and_then(|dht| dht.kad.poll_timeout());
        let cards = self.cards.as_ref().and_then(|cards| cards.poll_timeout());
        let agent = self.agent.as_ref().and_then(|agent| agent.poll_timeout());
        [gossip, dht, cards, agent].into_iter().flatten().min()
    }
}

impl<M: Message> Context<'_, M> {
    /// Something for a part of the protocol that this network does not run.
    fn unsupported(&mut self) {
        self.counters.add(Count::Unsupported);
    }
}
