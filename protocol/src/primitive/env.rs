//! What the parent lends to a primitive for the length of one call.

use super::call::{Answer, CallId, Caller, Execute, Fetch};
use super::config::Config;
use super::error::Error;
use super::records::{Records, Table};
use crate::identity::PeerId;
use crate::request::{Protocol, Query, RequestId};
use crate::rng::Stream;
use crate::time::{Instant, UnixMillis};
use crate::topic::Topic;

/// See the module's text.
pub struct Env<'a> {
    /// This peer.
    pub own: PeerId,
    /// The driver's clock.
    pub now: Instant,
    /// The wall clock.
    pub unix: UnixMillis,
    /// Settings.
    pub config: &'a Config,
    /// Random numbers.
    pub rng: &'a mut Stream,
    /// What survives the process.
    pub records: &'a mut dyn Records,
    /// The rest of the peer, and through it the network.
    pub net: &'a mut dyn Net,
}

impl Env<'_> {
    /// `bytes` random bytes in hex.
    pub fn random_hex(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes * 2);
        while text.len() < bytes * 2 {
            text.push_str(&format!("{:016x}", self.rng.next_u64()));
        }
        text.truncate(bytes * 2);
        text
    }

    /// An id that no record of the table has: `prefix` and at least `bytes` random bytes in hex (decision P1).
    pub fn fresh_id(&mut self, table: Table, prefix: &str, bytes: usize) -> String {
        loop {
            let id = format!("{prefix}{}", self.random_hex(bytes));
            if self.records.get(table, id.as_bytes()).is_none() {
                return id;
            }
        }
    }
}

/// The rest of the peer, as a primitive sees it.
pub trait Net {
    /// Publishes a payload on a topic, in an envelope. Returns to how many peers it was handed; `None` if the driver takes
    /// no message now.
    fn publish(&mut self, topic: &Topic, d: &str) -> Option<usize>;
    /// Wants a topic's messages. False if the driver takes no more topics.
    fn subscribe(&mut self, topic: &Topic) -> bool;
    /// No longer wants them.
    fn unsubscribe(&mut self, topic: &Topic);
    /// The connected peers that subscribe to a topic, in order of their ids.
    fn subscribers(&self, topic: &Topic) -> Vec<PeerId>;
    /// Asks a peer something, as JSON. False if there is no way to reach it. The answer comes to the agent with the same
    /// number; a question that is never answered is the asker's to give up.
    fn ask(&mut self, to: &PeerId, id: RequestId, protocol: Protocol, body: String) -> bool;
    /// Answers what a peer asked.
    fn tell(&mut self, to: &PeerId, id: RequestId, body: String);
    /// Starts a query in the DHT; its end comes to the agent with the same token, after this call. False if it was not
    /// started.
    fn query(&mut self, token: u64, query: Query) -> bool;
    /// Announces this card from now on.
    fn announce(&mut self, card: crate::card::Card);
    /// Keeps the card of a peer whose tools were found or used.
    fn follow(&mut self, peer: &PeerId);
    /// The cards of followed peers that are still valid, in order of the peers' ids.
    fn cards(&self) -> Vec<std::sync::Arc<crate::card::Published>>;
    /// Has a client of this node carry out a tool that it registered. The reply comes to the agent.
    fn execute(&mut self, execute: Execute);
    /// Has the driver fetch something from outside the network. The reply comes to the agent.
    fn fetch(&mut self, fetch: Fetch);
    /// A call is not answered at once.
    fn later(&mut self, call: CallId);
    /// Ends a call, at once or later.
    fn answer(&mut self, answer: Answer);
    /// Ends every call that is not answered yet.
    fn abandon(&mut self, error: &Error);
}

/// What a method has to say: its result, or that the answer comes later.
#[derive(Debug)]
pub enum Reply<R> {
    /// Here it is.
    Now(R),
    /// It comes through [`Net::answer`], with the number of the call.
    Later,
}

impl<R> From<R> for Reply<R> {
    fn from(result: R) -> Self {
        Self::Now(result)
    }
}

/// The call that a method serves.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    /// Its number.
    pub id: CallId,
    /// Who calls.
    pub caller: &'a Caller,
}
