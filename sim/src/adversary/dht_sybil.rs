//! Sybils that get into routing tables and lead lookups astray.
//!
//! The attack that S/Kademlia (Baumgart and Mies, ICPADS 2007) calls eclipse and adversarial routing. A Sybil connects
//! and serves the DHT, which is all that it takes to be put into a table, and asks honest peers something now and then,
//! so that it is not the first to lose its place. Whoever asks it for the peers closest to a key hears of the `k` Sybils
//! of its group closest to that key and of nobody else. It holds no record, and leaves PUT_VALUE unanswered. Its identity
//! is as random as anybody's: it does not choose where it lies.

use std::sync::Arc;

use hyperspace_protocol::kad::{Key, Request as Ask, RequestId};
use hyperspace_protocol::machine::{Context, Input, Machine, Output};
use hyperspace_protocol::request::Request;
use hyperspace_protocol::time::{Duration, Instant};

use super::Victims;
use crate::dht::Places;
use crate::message::SimMessage;

/// How often it asks everybody it is connected with something. Our choice: half of the time after which stock peers
/// probe the least recently seen contact of a full bucket again.
const INTRODUCE_EVERY: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug)]
pub struct DhtSybil {
    victims: Victims,
    /// When to ask next, if there is anybody to ask.
    next: Instant,
    asked: u32,
}

impl DhtSybil {
    pub(crate) fn new(crew: &Arc<Places>) -> Self {
        Self { victims: Victims::new(crew), next: Instant::ZERO, asked: 0 }
    }
}

impl Machine for DhtSybil {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match input {
            Input::Connected { peer, server, .. } => {
                if self.victims.connected(peer, server) {
                    let phase = Duration::from_nanos(1 + cx.rng.below(INTRODUCE_EVERY.as_nanos()));
                    self.next = cx.now + phase;
                }
            }
            Input::Disconnected { peer } => self.victims.disconnected(peer),
            Input::Request { from, id, request, .. } => {
                let (own, k) = (cx.own, cx.config.dht.as_ref().map_or(0, |dht| dht.k));
                let crew = &self.victims.crew;
                let others =
                    |key: &Key| crew.nearest(key.place()).filter(|peer| *peer != own).take(k).collect();
                super::answer(cx, from, id, &request, others);
            }
            Input::Start
            | Input::Frame { .. }
            | Input::Publish(_)
            | Input::Subscribe(_)
            | Input::Unsubscribe(_)
            | Input::Response { .. }
            | Input::RequestFailed { .. }
            | Input::Discovered(_)
            | Input::Command(_) => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        if cx.now < self.next || self.victims.is_empty() {
            return;
        }
        self.next = cx.now + INTRODUCE_EVERY;
        // For itself, as a peer does that joins.
        let key = cx.services.id(cx.own);
        for to in self.victims.iter() {
            let id = RequestId(self.asked);
            self.asked = self.asked.wrapping_add(1);
            let request = Box::new(Request::Dht(Ask::FindNode(key.clone())));
            cx.out.push(Output::Request { to, id, request });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!self.victims.is_empty()).then_some(self.next)
    }
}
