//! `tool.*`: tools found over the mesh and carried out by whoever registered them (spec 4.3).
//!
//! A tool is a record here and an entry of this peer's capability card. Whoever invokes it from elsewhere asks this peer
//! over `/hyperspace/tool/1`; this peer has the client that registered it carry it out, or posts to its endpoint.

mod analytics;
mod discover;
mod invoke;
mod register;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use super::Agent;
use super::QueryEnd;
use super::call::{CallId, ClientId, Executed, Fetched};
use super::env::Env;
use super::method::{Entry, entry};
use super::records::Table;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::{Duration, Instant};

pub use analytics::{Analytics, GetAnalytics};
pub use discover::{Discover, Found, FoundTools};
pub use invoke::{Invoke, Invoked};
pub use register::{ListRegistered, Register, Registered, RegisteredTool, RegisteredTools, Schemas};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<Discover>(),
    entry::<Register>(),
    entry::<Invoke>(),
    entry::<GetAnalytics>(),
    entry::<ListRegistered>(),
];

/// Settings of `tool.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The region of this peer's card, such as `us-east`; none if empty.
    pub geo: String,
    /// Task types of this peer's card.
    pub task_types: Vec<String>,
    /// Longest time that `tool.discover` waits for the DHT and for the cards of those it names.
    pub discover_wait: Duration,
    /// How often it looks in between whether all of them are there.
    pub discover_check: Duration,
    /// Most peers that one `tool.discover` begins to follow.
    pub discover_peers_max: usize,
    /// Most executions under way for one other peer; one more is refused.
    pub executions_per_peer_max: usize,
    /// How long after its client has gone a tool leaves the card: one that is back before then never left.
    pub leave_after: Duration,
    /// Most tools of other peers that analytics are kept of; of more, the least recently used are forgotten.
    pub used_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            geo: String::new(),
            task_types: Vec::new(),
            // Our choice: a lookup takes some ten round trips of at most 100 ms.
            discover_wait: Duration::from_secs(1),
            // Our choice, below what a person notices.
            discover_check: Duration::from_millis(50),
            // Half of the cards that are followed at all (our choice).
            discover_peers_max: 32,
            // Our choice: a quarter of the 64 that a client takes at once.
            executions_per_peer_max: 16,
            // The next heartbeat (spec 7.4).
            leave_after: Duration::from_secs(30),
            // Our choice: 64 cards of 16 tools.
            used_max: 1024,
        }
    }
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Which client carries out which tool; a tool without is unavailable unless it has an endpoint.
    clients: BTreeMap<String, ClientId>,
    /// When the card is announced anew: tools whose client is gone leave it, and latencies are brought up to date.
    announce: Option<Instant>,
    /// Executions of own tools, by the number of the question to the client or endpoint.
    running: BTreeMap<CallId, invoke::Running>,
    /// Invocations of other peers' tools.
    asked: BTreeMap<RequestId, invoke::Asked>,
    /// Searches for tools, by the call that waits.
    searches: BTreeMap<CallId, discover::Search>,
    /// When each search is looked at next.
    checks: BTreeSet<(Instant, CallId)>,
}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        let check = self.checks.first().map(|(due, _)| *due);
        [check, self.announce].into_iter().flatten().min()
    }

    /// Has the card announced anew after this time, if it is not to be before.
    fn announce_within(&mut self, now: Instant, time: Duration) {
        let due = now + time;
        self.announce = Some(self.announce.map_or(due, |before| before.min(due)));
    }
}

impl Agent {
    /// No client is there yet, so the card has the tools with endpoints alone.
    pub(super) fn start_tool(&mut self, env: &mut Env<'_>) {
        if !register::all(env).is_empty() {
            self.announce_tools(env);
        }
    }

    /// Other peers that wait are told that there is nothing to wait for, and the card has no tools any more.
    pub(super) fn reset_tool(&mut self, env: &mut Env<'_>) {
        self.tell_abandoned(env);
        let known = register::all(env);
        if !known.is_empty() {
            for tool in known {
                env.records.delete(Table::Tool, tool.id.as_bytes());
            }
            self.announce_tools(env);
        }
    }

    pub(super) fn tool_timeout(&mut self, env: &mut Env<'_>) {
        if self.tool.announce.is_some_and(|due| due <= env.now) {
            self.announce_tools(env);
        }
        while let Some(&(due, call)) = self.tool.checks.first() {
            if due > env.now {
                break;
            }
            self.tool.checks.pop_first();
            self.check_search(env, call);
        }
    }

    pub(super) fn tool_asked(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: &str) {
        self.invoke_asked(env, from, id, body);
    }

    pub(super) fn tool_told(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: Option<&str>) {
        self.invoke_told(env, from, id, body);
    }

    pub(super) fn tool_executed(&mut self, env: &mut Env<'_>, id: CallId, executed: Executed) {
        self.invoke_ends(env, id, invoke::outcome_of_client(executed));
    }

    pub(super) fn tool_fetched(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        self.invoke_ends(env, id, invoke::outcome_of_endpoint(fetched));
    }

    pub(super) fn tool_query(&mut self, env: &mut Env<'_>, token: u64, end: QueryEnd) {
        self.search_query(env, token, end);
    }

    pub(super) fn tool_client_gone(&mut self, env: &mut Env<'_>, client: ClientId) {
        let before = self.tool.clients.len();
        self.tool.clients.retain(|_, owner| *owner != client);
        if self.tool.clients.len() < before {
            self.tool.announce_within(env.now, env.config.tool.leave_after);
        }
        let ended = self.tool.running.iter().filter(|(_, running)| running.client == Some(client));
        let ended: Vec<CallId> = ended.map(|(id, _)| *id).collect();
        for id in ended {
            self.outside_ends(id);
            self.tool_executed(env, id, Executed::Unavailable);
        }
    }
}
