//! Tests of the primitives, a file each, over one peer with a recorded surrounding.

mod contract;
mod guard;
mod improving;
mod learning;
mod memory;
mod mesh;
mod micropayments;
mod recursive;
mod redact;
mod reset;
mod state;
mod tool;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::card::{Card, Published};
use crate::identity::{Keypair, PeerId};
use crate::request::{Protocol, Query, RequestId};
use crate::rng::Stream;
use crate::time::{Duration, Instant};
use crate::topic::Topic;

/// What the agent wanted done, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Did {
    Published(Topic, Value),
    Subscribed(Topic),
    Unsubscribed(Topic),
    Asked(PeerId, RequestId, Protocol, Value),
    Told(PeerId, RequestId, Value),
    Queried(u64, Query),
    Announced(Card),
    Followed(PeerId),
    Executed(Execute),
    Fetched(Fetch),
    Answered(CallId, Result<Value, Error>),
}

/// A network that records.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) did: Vec<Did>,
    pub(super) subscribers: BTreeMap<Topic, Vec<PeerId>>,
    pub(super) cards: Vec<Arc<Published>>,
    /// Peers that cannot be reached.
    pub(super) unreachable: Vec<PeerId>,
    /// Whether there is no DHT.
    pub(super) no_dht: bool,
    /// Calls that are not answered yet.
    pub(super) open: BTreeSet<CallId>,
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the agent writes JSON")
}

impl Net for Around {
    fn publish(&mut self, topic: &Topic, d: &str) -> Option<usize> {
        self.did.push(Did::Published(topic.clone(), json(d)));
        Some(self.subscribers.get(topic).map_or(0, Vec::len))
    }
    fn subscribe(&mut self, topic: &Topic) -> bool {
        self.did.push(Did::Subscribed(topic.clone()));
        true
    }
    fn unsubscribe(&mut self, topic: &Topic) {
        self.did.push(Did::Unsubscribed(topic.clone()));
    }
    fn subscribers(&self, topic: &Topic) -> Vec<PeerId> {
        self.subscribers.get(topic).cloned().unwrap_or_default()
    }
    fn ask(&mut self, to: &PeerId, id: RequestId, protocol: Protocol, body: String) -> bool {
        if self.unreachable.contains(to) {
            return false;
        }
        self.did.push(Did::Asked(*to, id, protocol, json(&body)));
        true
    }
    fn tell(&mut self, to: &PeerId, id: RequestId, body: String) {
        self.did.push(Did::Told(*to, id, json(&body)));
    }
    fn query(&mut self, token: u64, query: Query) -> bool {
        if !self.no_dht {
            self.did.push(Did::Queried(token, query));
        }
        !self.no_dht
    }
    fn announce(&mut self, card: Card) {
        self.did.push(Did::Announced(card));
    }
    fn follow(&mut self, peer: &PeerId) {
        self.did.push(Did::Followed(*peer));
    }
    fn cards(&self) -> Vec<Arc<Published>> {
        self.cards.clone()
    }
    fn execute(&mut self, execute: Execute) {
        self.did.push(Did::Executed(execute));
    }
    fn fetch(&mut self, fetch: Fetch) {
        self.did.push(Did::Fetched(fetch));
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
        self.did.push(Did::Answered(answer.id, answer.result.map(|text| json(&text))));
    }
}

/// One agent with all that its parent lends.
pub(super) struct Bench {
    pub(super) own: PeerId,
    pub(super) agent: Agent,
    pub(super) records: MemoryRecords,
    pub(super) config: Config,
    pub(super) net: Around,
    pub(super) now: Instant,
    pub(super) unix: UnixMillis,
    pub(super) caller: Caller,
    rng: Stream,
    calls: u64,
}

/// The peer id of a test's peer.
pub(super) fn peer(number: u8) -> PeerId {
    Keypair::from_seed([number; 32]).peer_id()
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            own: peer(1),
            agent: Agent::default(),
            records: MemoryRecords::default(),
            config: Config::default(),
            net: Around::default(),
            now: Instant::ZERO + Duration::from_secs(1),
            unix: UnixMillis(1_773_835_200_000),
            caller: Caller { client: ClientId(1), tier: Tier::Operator, key: 0 },
            rng: Stream::new(1, 1),
            calls: 0,
        }
    }
}

impl Bench {
    /// Runs the agent with everything lent.
    pub(super) fn run<R>(&mut self, run: impl FnOnce(&mut Agent, &mut Env<'_>) -> R) -> R {
        let mut env = Env {
            own: self.own,
            now: self.now,
            unix: self.unix,
            config: &self.config,
            rng: &mut self.rng,
            records: &mut self.records,
            net: &mut self.net,
        };
        self.agent.start(&mut env);
        // Every agent that stores memories does this at its start, whatever a test is about.
        let memory = Topic::parse("hyperspace/crdt/sync/memory").expect("a topic");
        self.net.did.retain(|did| *did != Did::Subscribed(memory.clone()));
        let mut env = Env {
            own: self.own,
            now: self.now,
            unix: self.unix,
            config: &self.config,
            rng: &mut self.rng,
            records: &mut self.records,
            net: &mut self.net,
        };
        run(&mut self.agent, &mut env)
    }

    /// Starts a call and returns its number.
    pub(super) fn start(&mut self, method: &str, params: Value) -> CallId {
        self.start_text(method, &params.to_string())
    }

    /// Starts a call with parameters as text.
    pub(super) fn start_text(&mut self, method: &str, params: &str) -> CallId {
        self.calls += 1;
        let id = CallId(self.calls);
        let call =
            Call { id, caller: self.caller.clone(), method: method.into(), params: Some(params.into()) };
        self.run(|agent, env| agent.call(env, call));
        id
    }

    /// The answer of a call, taken out of what was done; `None` if there is none yet.
    pub(super) fn answer(&mut self, id: CallId) -> Option<Result<Value, Error>> {
        let place =
            self.net.did.iter().position(|did| matches!(did, Did::Answered(call, _) if *call == id))?;
        let Did::Answered(_, result) = self.net.did.remove(place) else { return None };
        Some(result)
    }

    /// Calls a method that answers at once.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Result<Value, Error> {
        let id = self.start(method, params);
        self.answer(id).expect("answered at once")
    }

    /// Calls a method that answers at once, with its result.
    pub(super) fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Calls a method that fails at once; returns the code and message.
    pub(super) fn fails(&mut self, method: &str, params: Value) -> (Code, String) {
        let error = self.call(method, params).expect_err("it fails");
        (error.code, error.message)
    }

    /// A new session's id.
    pub(super) fn session(&mut self) -> String {
        self.ok("state.createSession", serde_json::json!({}))["sessionId"].as_str().unwrap().to_owned()
    }

    /// Lets time pass; runs every timer that becomes due.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.agent.poll_timeout().filter(|due| *due <= until) {
            self.unix = UnixMillis(self.unix.0 + due.since(self.now).as_millis());
            self.now = self.now.max(due);
            self.run(|agent, env| agent.handle_timeout(env));
        }
        self.unix = UnixMillis(self.unix.0 + until.since(self.now).as_millis());
        self.now = until;
    }
}

#[test]
fn times_read_as_in_the_spec() {
    assert_eq!(iso(UnixMillis(1_773_835_200_000)), "2026-03-18T12:00:00.000Z");
    assert_eq!(iso(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(iso(UnixMillis(951_782_399_999)), "2000-02-28T23:59:59.999Z");
    assert_eq!(iso(UnixMillis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    assert_eq!(iso(UnixMillis(4_107_542_400_000)), "2100-03-01T00:00:00.000Z");
}
