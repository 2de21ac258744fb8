//! Some benches as one mesh: what one asks, tells or publishes reaches the others, unless they are down or apart.

use super::*;
use crate::kad::Key;

/// Peers numbered from 0, all connected.
pub(super) struct Mesh {
    pub(super) peers: Vec<Bench>,
    /// Which group each is in; those of different groups do not hear each other. `None` for one that is down.
    pub(super) groups: Vec<Option<u8>>,
    /// How long every message takes.
    pub(super) latency: Duration,
    /// One that is connected, but neither hears nor says anything.
    pub(super) deaf: Option<usize>,
    cards: BTreeMap<PeerId, Arc<Published>>,
    follows: BTreeSet<(usize, PeerId)>,
    /// What is under way, by arrival and order.
    flying: BTreeMap<(Instant, u64), (usize, usize, Flying)>,
    sent: u64,
}

enum Flying {
    Ask(RequestId, Protocol, String),
    Tell(RequestId, String),
    Publish(Topic, String),
    Providers(u64, Vec<PeerId>),
}

impl Mesh {
    pub(super) fn new(count: u8) -> Self {
        let bench = |number: u8| Bench {
            own: peer(number + 1),
            rng: Stream::new(u64::from(number) + 1, 1),
            ..Bench::default()
        };
        let mut mesh = Self {
            peers: (0..count).map(bench).collect(),
            groups: vec![Some(0); usize::from(count)],
            latency: Duration::from_millis(10),
            deaf: None,
            cards: BTreeMap::new(),
            follows: BTreeSet::new(),
            flying: BTreeMap::new(),
            sent: 0,
        };
        mesh.connect();
        mesh
    }

    /// Puts peers in groups; `None` takes one down. Those that see each other anew are told, as are those that no longer do.
    pub(super) fn part(&mut self, groups: &[Option<u8>]) {
        self.groups = groups.to_vec();
        self.connect();
    }

    fn links(&self, from: usize, to: usize) -> bool {
        self.groups[from].is_some() && self.groups[from] == self.groups[to]
    }

    fn connect(&mut self) {
        let topic = Topic::crdt_sync_memory();
        let ids: Vec<PeerId> = self.peers.iter().map(|bench| bench.own).collect();
        for at in 0..self.peers.len() {
            let (mut near, mut far) = (Vec::new(), Vec::new());
            for (other, id) in ids.iter().enumerate().filter(|(other, _)| *other != at) {
                if self.links(at, other) { near.push(*id) } else { far.push(*id) }
            }
            near.sort_unstable();
            let before = self.peers[at].net.subscribers.insert(topic.clone(), near.clone());
            let before = before.unwrap_or_default();
            self.peers[at].net.unreachable = far;
            for (id, connected) in
                near.iter().map(|id| (*id, true)).chain(ids.iter().map(|id| (*id, false))).filter(
                    |(id, connected)| before.contains(id) != *connected && near.contains(id) == *connected,
                )
            {
                self.peers[at].run(|agent, env| agent.on_peer(env, id, connected));
            }
        }
        self.route();
    }

    /// Carries over what was done since.
    fn route(&mut self) {
        for from in 0..self.peers.len() {
            let did = core::mem::take(&mut self.peers[from].net.did);
            for did in did {
                match did {
                    Did::Asked(to, id, protocol, body) => {
                        self.send(from, &to, Flying::Ask(id, protocol, body.to_string()));
                    }
                    Did::Told(to, id, body) => self.send(from, &to, Flying::Tell(id, body.to_string())),
                    Did::Published(topic, d) => {
                        for to in 0..self.peers.len() {
                            if to != from {
                                let to = self.peers[to].own;
                                self.send(from, &to, Flying::Publish(topic.clone(), d.to_string()));
                            }
                        }
                    }
                    Did::Announced(card) => {
                        let card = Card { seq: self.sent, peer_id: self.peers[from].own, ..card };
                        self.cards.insert(card.peer_id, Arc::new(Published::new(&card).unwrap()));
                    }
                    Did::Followed(peer) => {
                        self.follows.insert((from, peer));
                    }
                    Did::Queried(token, Query::FindProviders(key)) => {
                        let providers = self.providers(&key);
                        let own = self.peers[from].own;
                        self.send(from, &own, Flying::Providers(token, providers));
                    }
                    other @ (Did::Answered(..) | Did::Executed(_) | Did::Fetched(_)) => {
                        self.peers[from].net.did.push(other);
                    }
                    Did::Queried(..) | Did::Subscribed(_) | Did::Unsubscribed(_) => {}
                }
            }
        }
    }

    fn providers(&self, key: &Key) -> Vec<PeerId> {
        let provides = |card: &&Arc<Published>| crate::card::tag_keys(card.card()).contains(key);
        self.cards.values().filter(provides).map(|card| card.card().peer_id).collect()
    }

    fn send(&mut self, from: usize, to: &PeerId, flying: Flying) {
        let Some(to) = self.peers.iter().position(|bench| bench.own == *to) else { return };
        self.sent += 1;
        let at = self.peers[from].now + self.latency;
        self.flying.insert((at, self.sent), (from, to, flying));
    }

    /// Lets time pass for all of them.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.peers[0].now + time;
        loop {
            self.route();
            let due = self.peers.iter().zip(&self.groups).filter(|(_, group)| group.is_some());
            let due = due.filter_map(|(bench, _)| bench.agent.poll_timeout()).min();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [due, arrival].into_iter().flatten().min().filter(|next| *next <= until) else {
                break;
            };
            self.advance(next);
            if let Some(((_, _), (from, to, flying))) = self
                .flying
                .first_key_value()
                .is_some_and(|((at, _), _)| *at <= next)
                .then(|| self.flying.pop_first())
                .flatten()
            {
                self.arrive(from, to, flying);
            }
            for at in 0..self.peers.len() {
                if self.groups[at].is_some() {
                    self.peers[at].run(|agent, env| agent.handle_timeout(env));
                }
            }
        }
        self.advance(until);
    }

    fn advance(&mut self, to: Instant) {
        for at in 0..self.peers.len() {
            let follows = self.follows.iter().filter(|(follower, _)| *follower == at);
            let cards: Vec<_> = follows.filter_map(|(_, peer)| self.cards.get(peer).cloned()).collect();
            let bench = &mut self.peers[at];
            bench.net.cards = cards;
            bench.unix = UnixMillis(bench.unix.0 + to.since(bench.now).as_millis());
            bench.now = bench.now.max(to);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, flying: Flying) {
        if !self.links(from, to) || self.deaf == Some(to) {
            return;
        }
        let author = self.peers[from].own;
        self.peers[to].run(|agent, env| match flying {
            Flying::Ask(id, protocol, body) => agent.on_asked(env, author, id, protocol, &body),
            Flying::Tell(id, body) => agent.on_told(env, Some(author), id, Some(&body)),
            Flying::Publish(topic, d) => agent.on_message(env, author, &topic, &d),
            Flying::Providers(token, providers) => agent.on_query(env, token, QueryEnd::Providers(providers)),
        });
    }

    /// Calls a method at a peer and waits for the answer, a minute at most.
    pub(super) fn call(&mut self, at: usize, method: &str, params: Value) -> Result<Value, Error> {
        let id = self.peers[at].start(method, params);
        for _ in 0..6000 {
            if let Some(answer) = self.peers[at].answer(id) {
                return answer;
            }
            self.pass(Duration::from_millis(10));
        }
        panic!("{method} is never answered");
    }

    pub(super) fn ok(&mut self, at: usize, method: &str, params: Value) -> Value {
        self.call(at, method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    pub(super) fn fails(&mut self, at: usize, method: &str, params: Value) -> Error {
        self.call(at, method, params).expect_err(method)
    }
}
