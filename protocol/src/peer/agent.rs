//! The primitives as a child of the peer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Peer;
use crate::card::{Card, Published};
use crate::identity::PeerId;
use crate::kad;
use crate::machine::{Context, Message, Output};
use crate::primitive::{
    Agent, AgentInput, AgentOutput, Answer, CallId, Env, Error, Execute, Fetch, Net, NoRecords, QueryEnd,
};
use crate::request::{Protocol, Query, Request, RequestId, Response};
use crate::rng::Stream;
use crate::topic::Topic;

/// Marks the agent's own queries among those of the application.
const AGENT_QUERY: u64 = 1 << 63;

impl<M: Message> Peer<M> {
    /// Runs the agent, made and started if need be, and carries over what it wants done.
    fn with_agent(&mut self, cx: &mut Context<'_, M>, run: impl FnOnce(&mut Agent, &mut Env<'_>)) {
        let Some(own) = cx.services.peer_id(cx.own) else { return cx.unsupported() };
        // While the agent runs, the rest of the peer is its network.
        let mut agent = self.agent.take().unwrap_or_default();
        let mut rng = Stream::new(cx.rng.next_u64(), 0);
        let mut none = NoRecords;
        let (now, unix, config) = (cx.now, cx.unix, &cx.config.primitives);
        let rest = Context {
            own: cx.own,
            now,
            unix,
            config: cx.config,
            rng: &mut *cx.rng,
            services: cx.services,
            counters: &mut *cx.counters,
            records: &mut none,
            out: &mut *cx.out,
        };
        let open = core::mem::take(&mut agent.open);
        let mut net = Around { peer: self, cx: rest, open };
        let records = &mut *cx.records;
        let mut env = Env { own, now, unix, config, rng: &mut rng, records, net: &mut net };
        agent.start(&mut env);
        run(&mut agent, &mut env);
        agent.open = net.open;
        self.agent = Some(agent);
        self.agent_queries(cx);
    }

    /// Hands the agent the ends of its queries.
    pub(super) fn agent_queries(&mut self, cx: &mut Context<'_, M>) {
        while let Some((token, end)) = self.dht.as_mut().and_then(|dht| dht.agent_ends.pop_front()) {
            self.with_agent(cx, |agent, env| agent.on_query(env, token, end));
        }
    }

    /// The process starts: an agent that was there before goes on with what it kept.
    pub(super) fn start_agent(&mut self, cx: &mut Context<'_, M>) {
        if self.agent.is_some() {
            self.with_agent(cx, |_, _| {});
        }
    }

    pub(super) fn agent_input(&mut self, cx: &mut Context<'_, M>, input: AgentInput) {
        match input {
            AgentInput::Start => self.with_agent(cx, |_, _| {}),
            AgentInput::Arrange(id, what) => self.with_agent(cx, |agent, env| agent.arrange(env, id, what)),
            AgentInput::Call(call) => self.with_agent(cx, |agent, env| agent.call(env, call)),
            // What no agent asked for is nothing.
            _ if self.agent.is_none() => {}
            AgentInput::Executed(id, executed) => {
                self.with_agent(cx, |agent, env| agent.on_executed(env, id, executed));
            }
            AgentInput::Fetched(id, fetched) => {
                self.with_agent(cx, |agent, env| agent.on_fetched(env, id, fetched));
            }
            AgentInput::ClientGone(client) => {
                self.with_agent(cx, |agent, env| agent.on_client_gone(env, client))
            }
        }
    }

    pub(super) fn agent_asked(
        &mut self,
        cx: &mut Context<'_, M>,
        from: M::Contact,
        id: RequestId,
        (protocol, body): (Protocol, &str),
    ) {
        match cx.services.peer_id(from) {
            Some(from) if self.agent.is_some() => {
                self.with_agent(cx, |agent, env| agent.on_asked(env, from, id, protocol, body));
            }
            _ => cx.unsupported(),
        }
    }

    pub(super) fn agent_told(
        &mut self,
        cx: &mut Context<'_, M>,
        from: Option<M::Contact>,
        id: RequestId,
        body: Option<&str>,
    ) {
        let from = from.and_then(|from| cx.services.peer_id(from));
        if self.agent.is_some() {
            self.with_agent(cx, |agent, env| agent.on_told(env, from, id, body));
        }
    }

    /// A message that was accepted and handed on.
    pub(super) fn agent_message(&mut self, cx: &mut Context<'_, M>, message: &M) {
        if self.agent.is_some()
            && let Some((topic, d)) = cx.services.gossiped(message)
            && let Some(author) = cx.services.author(message)
        {
            self.with_agent(cx, |agent, env| agent.on_message(env, author, &topic, &d));
        }
    }

    pub(super) fn agent_peer(&mut self, cx: &mut Context<'_, M>, peer: PeerId, connected: bool) {
        if self.agent.is_some() {
            self.with_agent(cx, |agent, env| agent.on_peer(env, peer, connected));
        }
    }

    pub(super) fn agent_timeout(&mut self, cx: &mut Context<'_, M>) {
        let due = self.agent.as_ref().and_then(|agent| agent.poll_timeout());
        if due.is_some_and(|due| due <= cx.now) {
            self.with_agent(cx, |agent, env| agent.handle_timeout(env));
        }
    }
}

/// Whether the end of a query belongs to the agent, and under which of its numbers.
pub(super) const fn agent_token(token: u64) -> Option<u64> {
    if token & AGENT_QUERY != 0 { Some(token & !AGENT_QUERY) } else { None }
}

/// What the agent is told of the end of a query.
pub(super) fn query_end<M: Message>(cx: &Context<'_, M>, outcome: kad::Outcome<M::Contact>) -> QueryEnd {
    match outcome {
        kad::Outcome::Providers(found) => QueryEnd::Providers(
            found.into_iter().filter_map(|contact| cx.services.peer_id(contact)).collect(),
        ),
        kad::Outcome::Value(record) => QueryEnd::Value(record.map(|record| record.value)),
        kad::Outcome::Nodes(_) | kad::Outcome::Stored { .. } | kad::Outcome::Provided { .. } => {
            QueryEnd::Done
        }
    }
}

/// The rest of the peer, while the agent runs.
struct Around<'a, 'c, M: Message> {
    peer: &'a mut Peer<M>,
    cx: Context<'c, M>,
    /// Calls that are not answered yet.
    open: BTreeSet<CallId>,
}

impl<M: Message> Net for Around<'_, '_, M> {
    fn publish(&mut self, topic: &Topic, d: &str) -> Option<usize> {
        let topic = self.cx.services.topic(topic)?;
        let message = self.cx.seal(topic, d)?;
        Some(self.peer.gossip.publish(&mut self.cx, message))
    }

    fn subscribe(&mut self, topic: &Topic) -> bool {
        let Some(topic) = self.cx.services.topic(topic) else { return false };
        self.peer.subscribe(&mut self.cx, topic);
        true
    }

    fn unsubscribe(&mut self, topic: &Topic) {
        if let Some(topic) = self.cx.services.topic(topic) {
            self.peer.unsubscribe(&mut self.cx, topic);
        }
    }

    fn subscribers(&self, topic: &Topic) -> Vec<PeerId> {
        let Some(topic) = self.cx.services.topic(topic) else { return Vec::new() };
        let mut found = self.peer.gossip.subscribers(topic);
        found.sort_unstable();
        found
    }

    fn ask(&mut self, to: &PeerId, id: RequestId, protocol: Protocol, body: String) -> bool {
        let Some(to) = self.cx.services.contact(to) else { return false };
        let request = Box::new(Request::Agent { protocol, body: body.into() });
        self.cx.out.push(Output::Request { to, id, request });
        true
    }

    fn tell(&mut self, to: &PeerId, id: RequestId, body: String) {
        if let Some(to) = self.cx.services.contact(to) {
            self.cx.out.push(Output::Respond { to, id, response: Box::new(Response::Agent(body.into())) });
        }
    }

    fn query(&mut self, token: u64, query: Query) -> bool {
        self.peer.start_query(&mut self.cx, token | AGENT_QUERY, query).is_ok()
    }

    fn announce(&mut self, card: Card) {
        self.peer.announce(&mut self.cx, card);
    }

    fn follow(&mut self, peer: &PeerId) {
        self.peer.follow(&mut self.cx, *peer);
        // A peer that is connected already has no reason to send its card: its next heartbeat may be far off.
        self.peer.card_peer_connected(&mut self.cx, *peer);
    }

    fn cards(&self) -> Vec<Arc<Published>> {
        let Some(cards) = self.peer.cards() else { return Vec::new() };
        let mut cards: Vec<_> = cards.tracker().store().fresh(self.cx.now).cloned().collect();
        cards.sort_by_key(|card| card.card().peer_id);
        cards
    }

    fn execute(&mut self, execute: Execute) {
        self.cx.out.push(Output::Agent(Box::new(AgentOutput::Execute(execute))));
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.cx.out.push(Output::Agent(Box::new(AgentOutput::Fetch(fetch))));
    }

    fn later(&mut self, call: CallId) {
        self.open.insert(call);
    }

    fn abandon(&mut self, error: &Error) {
        for id in core::mem::take(&mut self.open) {
            self.answer(Answer { id, result: Err(error.clone()) });
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.open.remove(&answer.id);
        self.cx.out.push(Output::Agent(Box::new(AgentOutput::Answer(answer))));
    }
}
