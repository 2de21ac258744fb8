//! The primitives of one node without a network: what a driver lends them, and what comes of their wishes.
//!
//! Nobody else is there, so a message reaches no peer, a question cannot be sent, and a query of the DHT finds nothing.

use core::time::Duration as Span;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hyperspace_protocol::card::{Card, Published};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::payment::Key;
use hyperspace_protocol::primitive::{
    Agent, Answer, Arrange, CallId, Config, Env, Error, Execute, Fetch, MemoryRecords, Net, QueryEnd,
};
use hyperspace_protocol::request::{Protocol, Query, RequestId};
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::{Instant, UnixMillis};
use hyperspace_protocol::topic::Topic;
use sha2::{Digest, Sha256};

/// When every run begins: noon of the day of the text's examples.
const BEGINNING: u64 = 1_773_835_200_000;

/// What the primitives want done.
#[derive(Debug, Default)]
struct Wishes {
    /// Calls without an answer.
    open: BTreeSet<CallId>,
    answers: Vec<Answer>,
    executes: Vec<Execute>,
    fetches: VecDeque<CallId>,
    queries: VecDeque<(u64, QueryEnd)>,
}

impl Net for Wishes {
    fn publish(&mut self, _: &Topic, _: &str) -> Option<usize> {
        Some(0)
    }
    fn subscribe(&mut self, _: &Topic) -> bool {
        true
    }
    fn unsubscribe(&mut self, _: &Topic) {}
    fn subscribers(&self, _: &Topic) -> Vec<PeerId> {
        Vec::new()
    }
    fn ask(&mut self, _: &PeerId, _: RequestId, _: Protocol, _: String) -> bool {
        false
    }
    fn tell(&mut self, _: &PeerId, _: RequestId, _: String) {}
    fn query(&mut self, token: u64, query: Query) -> bool {
        let end = match query {
            Query::FindProviders(_) => QueryEnd::Providers(Vec::new()),
            Query::GetValue(_) => QueryEnd::Value(None),
            Query::FindNode(_) | Query::Provide(_) | Query::PutValue(..) => QueryEnd::Done,
        };
        self.queries.push_back((token, end));
        true
    }
    fn announce(&mut self, _: Card) {}
    fn follow(&mut self, _: &PeerId) {}
    fn cards(&self) -> Vec<Arc<Published>> {
        Vec::new()
    }
    fn execute(&mut self, execute: Execute) {
        self.executes.push(execute);
    }
    fn fetch(&mut self, fetch: Fetch) {
        self.fetches.push_back(fetch.id);
    }
    fn later(&mut self, call: CallId) {
        self.open.insert(call);
    }
    fn answer(&mut self, answer: Answer) {
        self.open.remove(&answer.id);
        self.answers.push(answer);
    }
    fn abandon(&mut self, error: &Error) {
        for id in core::mem::take(&mut self.open) {
            self.answer(Answer { id, result: Err(error.clone()) });
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Node {
    own: PeerId,
    agent: Agent,
    records: MemoryRecords,
    config: Config,
    rng: Stream,
    now: Instant,
    /// Milliseconds by which the wall clock is ahead.
    pub(super) clock_offset: i64,
    wishes: Wishes,
}

fn secret(seed: u64, purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"hyperlab/selftest/1\0");
    hash.update(seed.to_be_bytes());
    hash.update(purpose);
    hash.finalize().into()
}

impl Node {
    pub(super) fn new(seed: u64) -> Self {
        let mut config = Config { token_key: secret(seed, "session tokens"), ..Config::default() };
        config.micropayments.key = Key::from_secret(&secret(seed, "wallet"));
        Self {
            own: Keypair::from_seed(secret(seed, "identity")).peer_id(),
            agent: Agent::default(),
            records: MemoryRecords::default(),
            config,
            rng: Stream::new(purpose_key(seed, "reference"), 0),
            now: Instant::ZERO,
            clock_offset: 0,
            wishes: Wishes::default(),
        }
    }

    pub(super) const fn own(&self) -> PeerId {
        self.own
    }

    pub(super) const fn token_key(&self) -> &[u8; 32] {
        &self.config.token_key
    }

    pub(super) const fn now(&self) -> Span {
        Span::from_nanos(self.now.as_nanos())
    }

    /// Random bytes in hex.
    pub(super) fn random_hex(&mut self, words: usize) -> String {
        (0..words).map(|_| format!("{:016x}", self.rng.next_u64())).collect()
    }

    /// Lends the agent everything, and carries out what needs nobody else.
    pub(super) fn run(&mut self, run: impl FnOnce(&mut Agent, &mut Env<'_>)) {
        self.lend(|agent, env| {
            agent.start(env);
            run(agent, env);
        });
        loop {
            if let Some((token, end)) = self.wishes.queries.pop_front() {
                self.lend(|agent, env| agent.on_query(env, token, end));
            } else if let Some(id) = self.wishes.fetches.pop_front() {
                self.lend(|agent, env| agent.on_fetched(env, id, Err("there is no outside".into())));
            } else {
                return;
            }
        }
    }

    fn lend(&mut self, run: impl FnOnce(&mut Agent, &mut Env<'_>)) {
        let since = self.now.as_nanos() / 1_000_000;
        let mut rng = Stream::new(self.rng.next_u64(), 0);
        let mut env = Env {
            own: self.own,
            now: self.now,
            unix: UnixMillis((BEGINNING + since).saturating_add_signed(self.clock_offset)),
            config: &self.config,
            rng: &mut rng,
            records: &mut self.records,
            net: &mut self.wishes,
        };
        run(&mut self.agent, &mut env);
    }

    /// Arranges something; what is wrong with it, if anything.
    pub(super) fn arrange(&mut self, what: Arrange) -> Result<(), String> {
        let id = CallId(u64::MAX);
        self.run(|agent, env| agent.arrange(env, id, what));
        let place = self.wishes.answers.iter().position(|answer| answer.id == id);
        match place.map(|place| self.wishes.answers.remove(place).result) {
            Some(Err(error)) => Err(error.message),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// What was answered and what clients are to carry out, since the last call.
    pub(super) fn take(&mut self) -> (Vec<Answer>, Vec<Execute>) {
        (std::mem::take(&mut self.wishes.answers), std::mem::take(&mut self.wishes.executes))
    }

    /// Goes on to the next timer that is due by `until`, or to `until` itself. Whether a timer has run.
    pub(super) fn pass(&mut self, until: Span) -> bool {
        let until = Instant::from_nanos(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX)).max(self.now);
        match self.agent.poll_timeout().filter(|due| *due <= until) {
            Some(due) => {
                self.now = self.now.max(due);
                self.run(|agent, env| agent.handle_timeout(env));
                if self.agent.poll_timeout().is_some_and(|due| due <= self.now) {
                    // Nothing was done about it: time goes on all the same.
                    self.now = Instant::from_nanos(self.now.as_nanos() + 1_000_000);
                }
                true
            }
            None => {
                self.now = until;
                false
            }
        }
    }

    /// The process ends and begins again with its records.
    pub(super) fn restart(&mut self) {
        self.agent = Agent::default();
        self.wishes = Wishes::default();
        self.run(|_, _| {});
    }
}
