//! `inproc:reference`: our own primitives and our own JSON-RPC texts behind the judge's [`Target`], in virtual time.
//!
//! It decides what our node decides: who is let in, what a batch is answered with, how many requests a connection may make,
//! and what the control hook can arrange. There is no socket, so there are no frames. Time passes when somebody waits, and
//! a little with each message; a run is a pure function of its seed and of what it is sent.

mod client;
mod control;
mod node;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hyperspace_conformance::json::Json;
use hyperspace_conformance::target::{
    Abilities, ConnectionId, End, Identity, Incoming, Key, Outgoing, Target, TargetError,
};
use hyperspace_protocol::primitive::{Call, CallId, Caller, ClientId, Code, Error, Executed, Tier, token};
use hyperspace_protocol::rpc::{self, Id, Item, Limits, Response};
use serde_json::json;

use client::Client;
use node::Node;

/// The operator's API key.
pub const KEY: &str = "reference-operator-key";

/// Longest message in bytes, as our node has it.
const FRAME_BYTES: usize = 1 << 20;

/// Calls of tools that one client is asked at once, as our node has it.
const EXECUTES: usize = 64;

/// What a message takes to arrive.
const LATENCY: Duration = Duration::from_micros(50);

/// A message whose requests are being carried out.
#[derive(Debug)]
struct Frame {
    connection: u64,
    batch: bool,
    replies: Vec<Option<String>>,
    /// Calls without an answer.
    left: usize,
}

/// Where the answer of a call belongs: in which frame, at which place, under which id.
type Place = (u64, usize, Option<Id>);

/// See the module's text.
#[derive(Debug)]
pub struct Reference {
    node: Node,
    /// API keys that are let in.
    keys: BTreeSet<String>,
    clients: BTreeMap<u64, Client>,
    frames: BTreeMap<u64, Frame>,
    calls: BTreeMap<CallId, Place>,
    inbox: VecDeque<(ConnectionId, Incoming)>,
    /// The last number given to a connection, frame, call or order to a client.
    last: u64,
    /// Whether everybody is let in and nothing can be arranged.
    bare: bool,
}

impl Reference {
    /// A node with nothing in it. The same seed and the same messages give the same answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            node: Node::new(seed),
            keys: BTreeSet::from([KEY.to_owned()]),
            clients: BTreeMap::new(),
            frames: BTreeMap::new(),
            calls: BTreeMap::new(),
            inbox: VecDeque::new(),
            last: 0,
            bare: false,
        }
    }

    /// The same without a key, a control hook and restarts: a node that only serves.
    #[must_use]
    pub fn bare(seed: u64) -> Self {
        Self { bare: true, ..Self::new(seed) }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// By what right somebody comes, and with which key: as our node decides it.
    fn tier(&self, key: &Key) -> Result<(Tier, u64), TargetError> {
        let shown = match key {
            Key::Given => KEY,
            Key::None if self.bare => return Ok((Tier::Operator, 0)),
            Key::None => return Err(TargetError::Refused("HTTP 401: an API key is needed".to_owned())),
            Key::Text(text) => text,
        };
        if self.keys.contains(shown) {
            let place = self.keys.iter().position(|key| key == shown).unwrap_or_default();
            return Ok((Tier::Operator, place as u64 + 1));
        }
        match token::session(self.node.token_key(), shown) {
            Some(session) => Ok((Tier::Session(session.into()), 0)),
            None => Err(TargetError::Refused("HTTP 401: neither a key nor a session's token".to_owned())),
        }
    }

    fn push(&mut self, connection: u64, text: String) {
        if self.clients.contains_key(&connection) {
            self.inbox.push_back((ConnectionId(connection), Incoming::Text(text)));
        }
    }

    fn take_text(&mut self, connection: u64, text: &str) {
        if text.len() > FRAME_BYTES {
            let problem = format!("the message is longer than {FRAME_BYTES} bytes");
            self.push(connection, rpc::reply(&Id::null(), &Err(Error::new(Code::InvalidRequest, problem))));
            self.leave(connection);
            let end = End { code: Some(1009), reason: "message too long".to_owned(), fault: false };
            self.inbox.push_back((ConnectionId(connection), Incoming::Closed(end)));
            return;
        }
        let (batch, items) = match rpc::parse(text, &Limits::default()) {
            rpc::Incoming::One(item) => (false, vec![item]),
            rpc::Incoming::Batch(items) => (true, items),
        };
        let mut frame = Frame { connection, batch, replies: Vec::new(), left: 0 };
        let number = self.number();
        let mut calls = Vec::new();
        for item in items {
            let Some((reply, request)) = self.consider(connection, item) else { continue };
            if let Some(request) = request {
                frame.left += 1;
                calls.push((frame.replies.len(), request));
            }
            frame.replies.push(reply);
        }
        self.frames.insert(number, frame);
        for (place, request) in calls {
            self.call(connection, (number, place), request);
        }
        self.flush(number);
    }

    /// What is to be done about one object of a message: a reply that is known already, or a call.
    fn consider(&mut self, connection: u64, item: Item) -> Option<(Option<String>, Option<rpc::Request>)> {
        let now = self.node.now();
        let client = self.clients.get_mut(&connection)?;
        match item {
            Item::Response(response) => {
                self.executed(connection, response);
                None
            }
            Item::Ignored => {
                let _ = client.admit(now);
                None
            }
            Item::Refused(id, error) => {
                let _ = client.admit(now);
                Some((Some(rpc::reply(&id, &Err(error))), None))
            }
            Item::Request(request) => match (client.admit(now), &request.id) {
                (Ok(()), _) => Some((None, Some(request))),
                (Err(_), None) => None,
                (Err(wait), Some(id)) => {
                    let error = Error::new(Code::RateLimited, "too many requests on this connection")
                        .with(json!({ "retryAfterMs": wait.as_millis() as u64 + 1 }));
                    Some((Some(rpc::reply(id, &Err(error))), None))
                }
            },
        }
    }

    fn call(&mut self, connection: u64, (frame, place): (u64, usize), request: rpc::Request) {
        let Some(client) = self.clients.get(&connection) else { return };
        let caller = Caller { client: ClientId(connection), tier: client.tier.clone(), key: client.key };
        let rpc::Request { id, method, params } = request;
        let number = CallId(self.number());
        self.calls.insert(number, (frame, place, id));
        let call = Call { id: number, caller, method: method.into(), params };
        self.node.run(|agent, env| agent.call(env, call));
        self.deliver();
    }

    /// Carries out what the node wants of its clients.
    fn deliver(&mut self) {
        loop {
            let (answers, executes) = self.node.take();
            if answers.is_empty() && executes.is_empty() {
                return;
            }
            for answer in answers {
                let Some((number, place, id)) = self.calls.remove(&answer.id) else { continue };
                let Some(frame) = self.frames.get_mut(&number) else { continue };
                frame.left -= 1;
                frame.replies[place] = id.map(|id| rpc::reply(&id, &answer.result));
                self.flush(number);
            }
            for execute in executes {
                let number = self.number();
                let connection = execute.client.0;
                match self.clients.get_mut(&connection) {
                    Some(client) if client.executes.len() < EXECUTES => {
                        client.executes.insert(number, execute.id);
                        self.push(
                            connection,
                            rpc::request(&Id::own(number), "tool.execute", &execute.params),
                        );
                    }
                    Some(_) | None => {
                        self.node.run(|agent, env| agent.on_executed(env, execute.id, Executed::Unavailable));
                    }
                }
            }
        }
    }

    /// Answers a message all of whose calls have ended.
    fn flush(&mut self, number: u64) {
        if self.frames.get(&number).is_some_and(|frame| frame.left == 0)
            && let Some(frame) = self.frames.remove(&number)
        {
            let mut replies = frame.replies.into_iter().flatten();
            if let Some(reply) = if frame.batch { rpc::batch(replies) } else { replies.next() } {
                self.push(frame.connection, reply);
            }
        }
    }

    /// A client says what came of a tool.
    fn executed(&mut self, connection: u64, response: Response) {
        let Some(client) = self.clients.get_mut(&connection) else { return };
        let Some(id) = response.id.own_number().and_then(|number| client.executes.remove(&number)) else {
            return;
        };
        let executed = response.result.map_or_else(Executed::Failed, Executed::Result);
        self.node.run(|agent, env| agent.on_executed(env, id, executed));
        self.deliver();
    }

    /// A client is gone, and its tools with it.
    fn leave(&mut self, connection: u64) {
        let Some(client) = self.clients.remove(&connection) else { return };
        for id in client.executes.into_values() {
            self.node.run(|agent, env| agent.on_executed(env, id, Executed::Unavailable));
        }
        self.node.run(|agent, env| agent.on_client_gone(env, ClientId(connection)));
        self.deliver();
    }

    /// Lets time pass until something is there to be received, or to the end. Whether there is.
    fn wait(&mut self, until: Duration) -> bool {
        while self.inbox.is_empty() {
            if !self.node.pass(until) {
                return false;
            }
            self.deliver();
        }
        true
    }
}

impl Target for Reference {
    fn identity(&self) -> Identity {
        Identity { name: "inproc:reference".to_owned(), transport: "in process".to_owned() }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            frames: false,
            restart: !self.bare,
            virtual_time: true,
            key: !self.bare,
            controls: if self.bare { Vec::new() } else { control::VERBS.map(str::to_owned).to_vec() },
        }
    }

    fn now(&self) -> Duration {
        self.node.now()
    }

    fn connect(&mut self, key: &Key, _: Duration) -> Result<ConnectionId, TargetError> {
        let (tier, key) = self.tier(key)?;
        let number = self.number();
        self.clients.insert(number, Client::new(tier, key, self.node.now()));
        Ok(ConnectionId(number))
    }

    fn send(&mut self, connection: ConnectionId, what: &Outgoing, _: Duration) -> Result<(), TargetError> {
        let Outgoing::Text(text) = what else {
            return Err(TargetError::Unsupported("this target takes text alone".to_owned()));
        };
        if !self.clients.contains_key(&connection.0) {
            return Err(TargetError::Closed("the connection is over".to_owned()));
        }
        let until = self.node.now() + LATENCY;
        while self.node.pass(until) {
            self.deliver();
        }
        self.take_text(connection.0, text);
        Ok(())
    }

    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)> {
        self.wait(deadline);
        self.inbox.pop_front()
    }

    fn close(&mut self, connection: ConnectionId) {
        self.leave(connection.0);
        self.inbox.retain(|(other, _)| *other != connection);
    }

    fn control(&mut self, order: &Json, _: Duration) -> Result<Json, TargetError> {
        if self.bare {
            return Err(TargetError::Unsupported("this target has no control hook".to_owned()));
        }
        control::obey(self, order)
    }

    fn advance(&mut self, by: Duration) {
        let until = self.node.now() + by;
        while self.node.pass(until) {
            self.deliver();
        }
    }

    fn restart(&mut self, _: Duration) -> Result<(), TargetError> {
        if self.bare {
            return Err(TargetError::Unsupported("this target cannot be restarted".to_owned()));
        }
        self.clients.clear();
        self.frames.clear();
        self.calls.clear();
        self.inbox.clear();
        self.keys = BTreeSet::from([KEY.to_owned()]);
        self.node.restart();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
