//! Peers that say of ever new keys that they provide them.
//!
//! Each draws a new key from time to time and sends ADD_PROVIDER for it to every DHT server that it is connected with,
//! wherever the key lies: storing it is up to the other side, whose bounds this is to reach. What it is asked it
//! answers with nothing, so that it is no dead weight in lookups: the attack is on stores alone.

use std::sync::Arc;

use hyperspace_protocol::kad::{Key, Request as Ask, RequestId};
use hyperspace_protocol::machine::{Context, Input, Machine, Output};
use hyperspace_protocol::request::Request;
use hyperspace_protocol::time::{Duration, Instant};

use super::Victims;
use crate::dht::Places;
use crate::message::SimMessage;

/// Time between two keys: 50 a second, each to every server that it is connected with. Our choice: eight of them offer
/// more keys in 3 s than a store holds by default (1,024).
const KEY_EVERY: Duration = Duration::from_millis(20);

/// See the module's text.
#[derive(Debug)]
pub struct ProviderFlood {
    victims: Victims,
    /// When to send the next key, if there is anybody to send it to.
    next: Instant,
    sent: u32,
}

impl ProviderFlood {
    pub(crate) fn new(crew: &Arc<Places>) -> Self {
        Self { victims: Victims::new(crew), next: Instant::ZERO, sent: 0 }
    }
}

impl Machine for ProviderFlood {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match input {
            Input::Connected { peer, server, .. } => {
                if self.victims.connected(peer, server) {
                    self.next = cx.now + Duration::from_nanos(1 + cx.rng.below(KEY_EVERY.as_nanos()));
                }
            }
            Input::Disconnected { peer } => self.victims.disconnected(peer),
            Input::Request { from, id, request, .. } => super::answer(cx, from, id, &request, |_| Vec::new()),
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
        self.next = cx.now + KEY_EVERY;
        let key = Key::new(&[cx.rng.next_u64(), cx.rng.next_u64()].map(u64::to_be_bytes).concat());
        for to in self.victims.iter() {
            let id = RequestId(self.sent);
            self.sent = self.sent.wrapping_add(1);
            let request = Request::Dht(Ask::AddProvider { key: key.clone(), providers: vec![cx.own] });
            cx.out.push(Output::Request { to, id, request: Box::new(request) });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!self.victims.is_empty()).then_some(self.next)
    }
}
