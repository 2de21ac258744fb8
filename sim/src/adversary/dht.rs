//! What adversaries of the DHT have in common: they connect as DHT servers, which is all that it takes to get into
//! routing tables, ask something of everybody they are connected with from time to time, and answer lookups as they like.
//! They store nothing, and leave PUT_VALUE unanswered.

use std::sync::Arc;

use hyperspace_protocol::kad::{Key, Request as Ask, RequestId, Response as Answer};
use hyperspace_protocol::machine::{Context, Input, Machine, Output, PeerRef};
use hyperspace_protocol::request::{Request, Response};
use hyperspace_protocol::time::{Duration, Instant};

use crate::dht::Places;
use crate::message::SimMessage;

/// One way to attack.
pub trait Attack: Send {
    /// Time between two requests to everybody, the first at a random time within it after the first connection.
    const EVERY: Duration;
    /// What to send.
    fn request(cx: &mut Context<'_, SimMessage>) -> Ask<u32>;
    /// Whom to name to somebody who looks for a key, among the servers of the own group nearest to it.
    fn referrals(cx: &Context<'_, SimMessage>, nearest: &mut dyn Iterator<Item = u32>) -> Vec<u32>;
}

/// See the module's text.
#[derive(Debug)]
pub struct DhtAdversary<A> {
    /// The servers of its group, which it leaves alone.
    crew: Arc<Places>,
    /// DHT servers that it is connected with: at most as many as it has links.
    victims: Vec<(PeerRef, u32)>,
    /// When to send next, if there is anybody to send to.
    next: Instant,
    sent: u32,
    attack: core::marker::PhantomData<A>,
}

impl<A: Attack> DhtAdversary<A> {
    pub(crate) fn new(crew: &Arc<Places>) -> Self {
        let (crew, attack) = (Arc::clone(crew), core::marker::PhantomData);
        Self { crew, victims: Vec::new(), next: Instant::ZERO, sent: 0, attack }
    }

    fn on_connected(&mut self, cx: &mut Context<'_, SimMessage>, peer: PeerRef, server: Option<u32>) {
        let Some(server) = server.filter(|server| !self.crew.serves(*server)) else { return };
        if self.victims.is_empty() {
            self.next = cx.now + Duration::from_nanos(1 + cx.rng.below(A::EVERY.as_nanos()));
        }
        self.victims.push((peer, server));
    }

    /// Answers a request for what is stored or who is near with no record, and no other request.
    fn answer(&self, cx: &mut Context<'_, SimMessage>, to: u32, id: RequestId, request: &Request<u32>) {
        let own = cx.own;
        let closer =
            |key: &Key| A::referrals(cx, &mut self.crew.nearest(key.place()).filter(|peer| *peer != own));
        let response = match request {
            Request::Dht(Ask::FindNode(key)) => Answer::Nodes { closer: closer(key) },
            Request::Dht(Ask::GetValue(key)) => Answer::Value { record: None, closer: closer(key) },
            Request::Dht(Ask::GetProviders(key)) => {
                Answer::Providers { providers: Vec::new(), closer: closer(key) }
            }
            Request::Dht(Ask::PutValue(_) | Ask::AddProvider { .. })
            | Request::Card
            | Request::Agent { .. } => return,
        };
        cx.out.push(Output::Respond { to, id, response: Box::new(Response::Dht(response)) });
    }
}

impl<A: Attack> Machine for DhtAdversary<A> {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match input {
            Input::Connected { peer, server, .. } => self.on_connected(cx, peer, server),
            Input::Disconnected { peer } => self.victims.retain(|(open, _)| *open != peer),
            Input::Request { from, id, request, .. } => self.answer(cx, from, id, &request),
            Input::Start
            | Input::Frame { .. }
            | Input::Publish(_)
            | Input::Subscribe(_)
            | Input::Unsubscribe(_)
            | Input::Response { .. }
            | Input::RequestFailed { .. }
            | Input::Discovered(_)
            | Input::Command(_)
            | Input::Agent(_) => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        if cx.now < self.next || self.victims.is_empty() {
            return;
        }
        self.next = cx.now + A::EVERY;
        let request = A::request(cx);
        for (_, to) in &self.victims {
            let id = RequestId(self.sent);
            self.sent = self.sent.wrapping_add(1);
            let request = Box::new(Request::Dht(request.clone()));
            cx.out.push(Output::Request { to: *to, id, request });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!self.victims.is_empty()).then_some(self.next)
    }
}
