//! The child of the peer that runs the primitives: calls come in, questions to other peers and to the outside go out, and
//! what comes back finds its way to the primitive that waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::call::{
    Answer, Arrange, Call, CallId, Caller, ClientId, Execute, Executed, Fetch, Fetched, Source,
};
use super::env::{Env, Serving};
use super::error::{Code, Error};
use super::records::Table;
use super::{guard, improving, learning, memory, methods, micropayments, tool};
use crate::identity::PeerId;
use crate::request::{Protocol, Query, RequestId};
use crate::time::{Duration, Instant};
use crate::topic::{Family, Topic};

/// How long a peer has to answer: our choice, the default of libp2p's request-response.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client's tool, a model or another service outside the network has (our choice).
const OUTSIDE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most questions under way, to peers and to the outside each; one more fails at once.
const UNDER_WAY_MAX: usize = 4096;

/// Everything the primitives keep in memory. What matters is in [`Records`](super::Records); this is what is under way, and
/// what can be had from the records again.
#[derive(Debug, Default)]
pub struct Agent {
    pub(super) guard: guard::Live,
    pub(super) tool: tool::Live,
    pub(super) memory: memory::Live,
    pub(super) learning: learning::Live,
    pub(super) improving: improving::Live,
    pub(super) micropayments: micropayments::Live,
    /// Questions to peers, by number: to whom, and who waits.
    asked: BTreeMap<RequestId, (PeerId, Protocol, Instant)>,
    /// Questions to the outside.
    outside: BTreeMap<CallId, (Waiting, Instant)>,
    /// Queries of the DHT.
    queries: BTreeMap<u64, Waiting>,
    /// When the questions above are given up.
    deadlines: BTreeSet<(Instant, Deadline)>,
    /// Calls that are not answered yet, while the agent does not run; then the [`Net`](super::Net) has them.
    pub(crate) open: BTreeSet<CallId>,
    next: u32,
    started: bool,
}

/// What a deadline ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deadline {
    Asked(RequestId),
    Outside(CallId),
}

/// Which primitive waits for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    Guard,
    Tool,
    Memory,
    Learning,
}

/// What a query of the DHT came to.
#[derive(Clone, PartialEq, Debug)]
pub enum QueryEnd {
    /// These peers provide it.
    Providers(Vec<PeerId>),
    /// This is stored under the key.
    Value(Option<Arc<[u8]>>),
    /// Whatever else was asked for is done.
    Done,
}

impl Agent {
    /// The process is up, or the agent is used for the first time: takes up what the records say.
    pub fn start(&mut self, env: &mut Env<'_>) {
        if !core::mem::replace(&mut self.started, true) {
            self.start_tool(env);
            self.start_memory(env);
            self.start_improving(env);
            self.start_micropayments(env);
        }
    }

    /// After a restart: what was under way is nobody's any more, only the numbers go on.
    pub(crate) fn restarted(&self) -> Self {
        Self { next: self.next, ..Self::default() }
    }

    /// Takes a call, and answers it at once or later through [`Net::answer`](super::Net::answer).
    pub fn call(&mut self, env: &mut Env<'_>, call: Call) {
        match self.try_call(env, &call.method, call.id, &call.caller, call.params.as_deref()) {
            Some(result) => env.net.answer(Answer { id: call.id, result: result.map(Into::into) }),
            None => env.net.later(call.id),
        }
    }

    /// Arranges something that no method can.
    pub fn arrange(&mut self, env: &mut Env<'_>, id: CallId, what: Arrange) {
        let result = match what {
            Arrange::Budget { session, limit, consumed } => env.set_budget(&session, limit, consumed),
            Arrange::Reset => {
                self.reset(env);
                Ok(())
            }
            Arrange::FailReplication(on) => {
                self.memory.failing = on;
                Ok(())
            }
        };
        env.net.answer(Answer { id, result: result.map(|()| "{}".into()) });
    }

    /// Erases all records and forgets what is under way, leaving nobody waiting and nothing subscribed to or announced that
    /// a new agent would not.
    fn reset(&mut self, env: &mut Env<'_>) {
        env.net.abandon(&Error::new(Code::Internal, "the node was reset"));
        self.reset_tool(env);
        self.reset_improving(env);
        self.reset_micropayments(env);
        for (table, _) in Table::NAMES {
            env.records.delete_all(table, b"");
        }
        *self = self.restarted();
        self.start(env);
    }

    fn try_call(
        &mut self,
        env: &mut Env<'_>,
        name: &str,
        id: CallId,
        caller: &Caller,
        params: Option<&str>,
    ) -> Option<Result<String, Error>> {
        let Some(entry) = methods().find(|entry| entry.name == name) else {
            return Some(Err(Error::new(Code::MethodNotFound, "there is no such method")));
        };
        (entry.run)(self, env, Serving { id, caller }, params).transpose()
    }

    /// Asks a peer something over one of the agent's protocols; the answer, or that there is none, comes to
    /// `on_told` of the primitive whose protocol it is. `None` if the peer cannot be reached, or too much is under way.
    pub(super) fn ask(
        &mut self,
        env: &mut Env<'_>,
        to: PeerId,
        protocol: Protocol,
        body: String,
    ) -> Option<RequestId> {
        if self.asked.len() >= UNDER_WAY_MAX {
            return None;
        }
        let id = RequestId(self.next);
        self.next = self.next.wrapping_add(1);
        if !env.net.ask(&to, id, protocol, body) {
            return None;
        }
        let deadline = env.now + ASK_TIMEOUT;
        self.asked.insert(id, (to, protocol, deadline));
        self.deadlines.insert((deadline, Deadline::Asked(id)));
        Some(id)
    }

    /// Has the driver fetch something; the reply comes to `on_fetched` of the primitive that waits. `None` if too much is
    /// under way.
    pub(super) fn fetch(
        &mut self,
        env: &mut Env<'_>,
        waiting: Waiting,
        from: Source,
        body: String,
    ) -> Option<CallId> {
        let id = self.outside(env, waiting)?;
        env.net.fetch(Fetch { id, from, body: body.into() });
        Some(id)
    }

    /// Has a client carry out its tool; the reply comes to `on_executed`. `None` if too much is under way.
    pub(super) fn execute(&mut self, env: &mut Env<'_>, client: ClientId, params: String) -> Option<CallId> {
        let id = self.outside(env, Waiting::Tool)?;
        env.net.execute(Execute { id, client, params: params.into() });
        Some(id)
    }

    /// Starts a query of the DHT; its end comes to `on_query` of the primitive that waits. `None` if it was not started.
    pub(super) fn query(&mut self, env: &mut Env<'_>, waiting: Waiting, query: Query) -> Option<u64> {
        let token = u64::from(self.next);
        self.next = self.next.wrapping_add(1);
        if !env.net.query(token, query) {
            return None;
        }
        self.queries.insert(token, waiting);
        Some(token)
    }

    /// Too much is asked of the outside, or too much of some kind: an error that says when the first of it ends at the latest.
    pub(super) fn busy(&self, env: &Env<'_>, text: &str, of: impl Fn(CallId) -> bool) -> Error {
        let theirs = self.outside.iter().filter(|(id, _)| of(**id));
        let first = theirs.map(|(_, (_, deadline))| *deadline).min();
        Error::busy(text, first.map_or(Duration::ZERO, |first| first.since(env.now)))
    }

    fn outside(&mut self, env: &Env<'_>, waiting: Waiting) -> Option<CallId> {
        if self.outside.len() >= UNDER_WAY_MAX {
            return None;
        }
        let id = CallId(self.next.into());
        self.next = self.next.wrapping_add(1);
        let deadline = env.now + OUTSIDE_TIMEOUT;
        self.outside.insert(id, (waiting, deadline));
        self.deadlines.insert((deadline, Deadline::Outside(id)));
        Some(id)
    }

    /// A peer asks something. The driver has authenticated who it is.
    pub fn on_asked(
        &mut self,
        env: &mut Env<'_>,
        from: PeerId,
        id: RequestId,
        protocol: Protocol,
        body: &str,
    ) {
        match protocol {
            Protocol::Tool => self.tool_asked(env, from, id, body),
            Protocol::Memory => self.memory_asked(env, from, id, body),
            Protocol::Trajectory => self.trajectory_asked(env, from, id, body),
            Protocol::Dht | Protocol::Card => {}
        }
    }

    /// A peer answers (`Some`), or cannot be reached. What was not asked of that peer is nothing.
    pub fn on_told(&mut self, env: &mut Env<'_>, from: Option<PeerId>, id: RequestId, body: Option<&str>) {
        let Some((to, protocol, deadline)) = self.asked.get(&id).copied() else { return };
        if from.is_some_and(|from| from != to) {
            return;
        }
        self.asked.remove(&id);
        self.deadlines.remove(&(deadline, Deadline::Asked(id)));
        match protocol {
            Protocol::Tool => self.tool_told(env, to, id, body),
            Protocol::Memory => self.memory_told(env, to, id, body),
            Protocol::Trajectory => self.trajectory_told(env, to, id, body),
            Protocol::Dht | Protocol::Card => {}
        }
    }

    /// A client carried out its tool, or did not.
    pub fn on_executed(&mut self, env: &mut Env<'_>, id: CallId, executed: Executed) {
        if self.outside_ends(id) == Some(Waiting::Tool) {
            self.tool_executed(env, id, executed);
        }
    }

    /// The driver fetched something, or could not.
    pub fn on_fetched(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        let Some(waiting) = self.outside_ends(id) else { return };
        self.fetched(env, waiting, id, fetched);
    }

    fn fetched(&mut self, env: &mut Env<'_>, waiting: Waiting, id: CallId, fetched: Fetched) {
        match waiting {
            Waiting::Guard => self.guard_fetched(env, id, fetched),
            Waiting::Tool => self.tool_fetched(env, id, fetched),
            Waiting::Memory => self.memory_fetched(env, id, fetched),
            Waiting::Learning => self.learning_fetched(env, id, fetched),
        }
    }

    pub(super) fn outside_ends(&mut self, id: CallId) -> Option<Waiting> {
        let (waiting, deadline) = self.outside.remove(&id)?;
        self.deadlines.remove(&(deadline, Deadline::Outside(id)));
        Some(waiting)
    }

    /// A query of the DHT has ended.
    pub fn on_query(&mut self, env: &mut Env<'_>, token: u64, end: QueryEnd) {
        match self.queries.remove(&token) {
            Some(Waiting::Tool) => self.tool_query(env, token, end),
            Some(Waiting::Memory | Waiting::Guard | Waiting::Learning) | None => {}
        }
    }

    /// A valid message on a topic of the primitives. `author` has signed it.
    pub fn on_message(&mut self, env: &mut Env<'_>, author: PeerId, topic: &Topic, d: &str) {
        match topic.family() {
            Family::Trajectories(task) => self.trajectory_message(env, author, task.as_str(), d),
            Family::Reputation(subject) => self.reputation_message(env, author, *subject, d),
            Family::CrdtSyncMemory => self.memory_message(env, author, d),
            Family::Settlements(round) => self.settlement_message(env, author, *round, d),
            Family::Capabilities(_) | Family::Tasks(_) | Family::Other { .. } => {}
        }
    }

    /// A connection to a peer is there, or gone.
    pub fn on_peer(&mut self, env: &mut Env<'_>, peer: PeerId, connected: bool) {
        self.memory_peer(env, peer, connected);
    }

    /// A client has gone: nothing of it is waited for any more.
    pub fn on_client_gone(&mut self, env: &mut Env<'_>, client: ClientId) {
        self.tool_client_gone(env, client);
    }

    /// Runs every timer due.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        while let Some(&(due, what)) = self.deadlines.first() {
            if due > env.now {
                break;
            }
            match what {
                Deadline::Asked(id) => self.on_told(env, None, id, None),
                Deadline::Outside(id) => match self.outside_ends(id) {
                    Some(Waiting::Tool) => self.tool_executed(env, id, Executed::Unavailable),
                    Some(waiting) => self.fetched(env, waiting, id, Err("it did not answer in time".into())),
                    None => {}
                },
            }
        }
        self.tool_timeout(env);
        self.memory_timeout(env);
        self.improving_timeout(env);
        self.micropayments_timeout(env);
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.deadlines.first().map(|(due, _)| *due);
        let own = [self.tool.due(), self.memory.due(), self.improving.due(), self.micropayments.due()];
        own.into_iter().chain([asked]).flatten().min()
    }
}
