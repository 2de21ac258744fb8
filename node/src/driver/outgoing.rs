//! What a machine wants done, carried out.

use std::sync::Arc;
use std::time::Instant as Clock;

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{Key, codec};
use hyperspace_protocol::machine::{Input, Output, PeerRef};
use hyperspace_protocol::primitive::{AgentInput, AgentOutput};
use hyperspace_protocol::request::{self, Command, Protocol, Query, Request, RequestId, Response};

use super::actor::Actor;
use super::asks::{Asker, KadNames, is_answered};
use super::handle::{Call, CallError, Event};
use crate::message::NodeMessage;
use crate::net::counts::Count;
use crate::net::gossip::encode;
use crate::net::link::Ask;
use crate::net::queue::{Class, Pushed};
use crate::net::swarm::Order;
use crate::net::{AskError, CARD, KAD, MEMORY, Reply, TOOL, TRAJECTORY};

/// Lookups at once for peers to connect to. Our choice: a quarter of what the machine runs.
const FINDING_MAX: usize = 16;

impl Actor {
    pub(super) async fn carry_out(&mut self, output: Output<NodeMessage>) {
        match output {
            Output::Send { to, frame } => self.send(to, &frame).await,
            Output::Deliver { message } => self.tell(Event::Message(message)),
            Output::Connect { id } => self.connect(id).await,
            Output::Disconnect { peer } => {
                if let Some(peer) = self.peers.of(peer) {
                    self.give_up(peer).await;
                }
            }
            Output::Request { to, id, request } => self.send_request(to, id, &request).await,
            Output::Respond { id, response, .. } => self.respond(id, &response),
            Output::Event(event) => self.on_event(*event).await,
            Output::Agent(output) => self.carry_out_for_agent(*output),
        }
    }

    /// Connects to a peer. Where it is, is asked of the DHT if need be: peers offered for exchange and those whose cards
    /// are followed are known by their ids alone.
    async fn connect(&mut self, id: PeerId) {
        if self.peers.get(&id).is_some() || id == self.shared.services.own() {
            return;
        }
        if !self.shared.book.addresses(&id).is_empty() {
            return self.order(Order::Dial(id)).await;
        }
        let sought = self.finding.values().any(|sought| *sought == id);
        if self.driven.config().dht.is_some() && !sought && self.finding.len() < FINDING_MAX {
            let token = self.next_token;
            self.next_token += 1;
            self.finding.insert(token, id);
            let query = Query::FindNode(Key::of_peer(&id));
            self.again.push_back(Input::Command(Box::new(Command::Query { token, query })));
        }
    }

    async fn send(&mut self, to: PeerRef, frame: &Frame<NodeMessage>) {
        let Some(peer) = self.peers.of(to) else { return };
        let Some((link, version)) = self.peers.get(&peer).and_then(|connected| connected.gossip()) else {
            return;
        };
        let counts = &self.shared.counts;
        let mut slow = false;
        for (class, bytes) in encode(&self.shared, link, version, frame) {
            let (pushed, pushed_out) = link.queue.push(class, bytes);
            (0..pushed_out).for_each(|_| counts.add(Count::GossipDropped));
            if pushed != Pushed::Queued {
                counts.add(if class == Class::Gossip {
                    Count::GossipDropped
                } else {
                    Count::MessagesDropped
                });
            }
            slow |= pushed == Pushed::Slow;
        }
        if slow {
            counts.add(Count::Slow);
            self.give_up(peer).await;
        }
    }

    async fn send_request(&mut self, to: PeerId, id: RequestId, request: &Request<PeerId>) {
        let protocol = request.protocol();
        let (place, body, answer) = match request {
            Request::Dht(request) => {
                let message = codec::encode_request(request, &KadNames(&self.shared.book));
                (KAD, Some(message.emit()), is_answered(request))
            }
            Request::Card => (CARD, self.signed(CARD, "null"), true),
            Request::Agent { protocol, body } => {
                let place = match protocol {
                    Protocol::Tool => TOOL,
                    Protocol::Memory => MEMORY,
                    Protocol::Trajectory | Protocol::Dht | Protocol::Card => TRAJECTORY,
                };
                (place, self.signed(place, body), true)
            }
        };
        match body {
            Some(body) => self.ask(to, place, Asker::Machine(protocol, id), body, answer).await,
            None => self.again.push_back(Input::RequestFailed { protocol, id }),
        }
    }

    /// A body of one of our JSON protocols.
    fn signed(&self, protocol: usize, d: &str) -> Option<Vec<u8>> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).ok()?;
        let name = self.shared.specs[protocol].name.as_ref();
        self.shared.services.sign(name, self.unix(), d, nonce).ok()
    }

    /// Sends a request, over a connection that has to be made first if there is none.
    pub(super) async fn ask(
        &mut self,
        to: PeerId,
        protocol: usize,
        asker: Asker,
        body: Vec<u8>,
        answer: bool,
    ) {
        let ticket = self.asks.ticket(to, asker, answer);
        let ask = Ask { ticket, protocol, body, wants_answer: answer };
        if self.peers.get(&to).is_some_and(|connected| !connected.conns.is_empty()) {
            return self.send_ask(to, ask);
        }
        match self.asks.wait(Clock::now(), to, ask) {
            Ok(true) => self.order(Order::Dial(to)).await,
            Ok(false) => {}
            Err(ask) => self.fail(ask.ticket, AskError::Crowded),
        }
    }

    /// Sends a request to a connected peer, over the newest connection.
    pub(super) fn send_ask(&mut self, to: PeerId, ask: Ask) {
        let number = ask.ticket;
        let Some(conn) = self.peers.get(&to).and_then(|connected| connected.conns.last()) else {
            return self.fail(number, AskError::Unreachable);
        };
        if let Some(ticket) = self.asks.tickets.get_mut(&number) {
            ticket.conn = Some(conn.link.conn);
        }
        if conn.link.ask(ask).is_err() {
            self.fail(number, AskError::Crowded);
        }
    }

    /// A request of ours has no answer.
    pub(super) fn fail(&mut self, number: u64, error: AskError) {
        let Some(ticket) = self.asks.tickets.remove(&number) else { return };
        self.shared.counts.add(Count::RequestsFailed);
        match ticket.asker {
            Asker::Machine(protocol, id) => self.again.push_back(Input::RequestFailed { protocol, id }),
            Asker::Application(answer) => {
                self.releases.push(Box::new(move || drop(answer.send(Err(CallError::Ask(error))))));
            }
        }
    }

    fn respond(&mut self, id: RequestId, response: &Response<PeerId>) {
        let Some(pending) = self.asks.pending.remove(&id) else { return };
        let body = match response {
            Response::Dht(response) => {
                Some(codec::encode_response(&pending.echo, response, &KadNames(&self.shared.book)).emit())
            }
            Response::Card(None) => self.signed(CARD, "null"),
            Response::Card(Some(card)) => {
                serde_json::to_string(card.card()).ok().and_then(|text| self.signed(CARD, &text))
            }
            Response::Agent(body) => self.signed(pending.protocol, body),
        };
        if let Some(body) = body {
            // The stream may be gone.
            let _ = pending.reply.send(Reply::Answer(body));
        }
    }

    fn carry_out_for_agent(&mut self, output: AgentOutput) {
        let (effects, again) = (Arc::clone(&self.effects), self.ends.again.clone());
        let back = async move |input| {
            // A node that has stopped waits for nothing.
            if let Some(calls) = again.upgrade() {
                let _ = calls.send(Call::Agent(input)).await;
            }
        };
        match output {
            AgentOutput::Answer(answer) => {
                if let Some(caller) = self.methods.remove(&answer.id) {
                    // The caller may be gone.
                    let _ = caller.send(answer.result);
                }
            }
            AgentOutput::Execute(execute) => {
                let id = execute.id;
                let task = effects.execute(execute);
                tokio::spawn(async move { back(AgentInput::Executed(id, task.await)).await });
            }
            AgentOutput::Fetch(fetch) => {
                let id = fetch.id;
                let task = effects.fetch(fetch);
                tokio::spawn(async move { back(AgentInput::Fetched(id, task.await)).await });
            }
        }
    }

    async fn on_event(&mut self, event: request::Event<PeerId>) {
        if let request::Event::QueryDone { token, .. } | request::Event::QueryRefused { token, .. } = &event
            && let Some(id) = self.finding.remove(token)
        {
            // The lookup has filled the book, or it is as before and nothing can be done.
            if self.peers.get(&id).is_none() && !self.shared.book.addresses(&id).is_empty() {
                self.order(Order::Dial(id)).await;
            }
            return;
        }
        match event {
            request::Event::QueryDone { token, outcome, stats } => match self.queries.remove(&token) {
                Some(answer) => drop(answer.send(Ok((outcome, stats)))),
                None => {
                    self.tell(Event::Protocol(Box::new(request::Event::QueryDone { token, outcome, stats })));
                }
            },
            request::Event::QueryRefused { token, error } => match self.queries.remove(&token) {
                Some(answer) => drop(answer.send(Err(CallError::Refused(error)))),
                None => self.tell(Event::Protocol(Box::new(request::Event::QueryRefused { token, error }))),
            },
            other @ (request::Event::CardUpdated(_) | request::Event::CardExpired(_)) => {
                self.tell(Event::Protocol(Box::new(other)));
            }
        }
    }
}
