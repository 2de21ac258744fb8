//! `memory.*`: memories placed on the hash ring, replicated and searched (spec 4.4).
//!
//! A memory lies at the peers that the ring names for its id: the primary and two replicas among the peers that store
//! memory, which are those that subscribe to `hyperspace/crdt/sync/memory`. Any peer takes calls; one that is none of the
//! three keeps nothing. Content goes from peer to peer over `/hyperspace/memory/1` and is never gossiped.
//!
//! An id says nothing about meaning, so a search asks every storage peer, up to a fan-out. Of more peers it asks others each
//! time, spread over the ring, and says that what it found is partial.
//!
//! # Trust
//!
//! Entries are not signed, so it matters who brings one. The author of a memory, the peer that stored it, stays the same for
//! good. This is believed, unless its stamp is more than five minutes ahead:
//!
//! * a memory of whose id nothing is known here, of its author, and of the eight peers nearest to its place on the ring: its
//!   replicas, and those among which copies move as peers come and go;
//! * a newer value or the deletion of a memory that is held here, of its author and of its replicas;
//! * the deletion of what is not held here, of its replicas.
//!
//! What belongs to a session is shown to its author, to its replicas and to [`Config::readers`], whoever knows the session's
//! id. So a method that changes a memory works at the node that stored it and at its replicas, and elsewhere not.
//!
//! What remains is that any peer may say that it stores memory. It is then a replica of its share of all memories, of every
//! one in a mesh of three, and of a given one if it tries peer ids for long enough; those it can read, change and delete. A
//! reader believes the peers that it asks, and anybody may store new memories until there is no more room.

mod embed;
mod find;
mod graves;
mod held;
mod hints;
mod methods;
mod place;
mod record;
mod search;
mod sync;
mod wire;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use super::Agent;
use super::call::{CallId, Fetched};
use super::env::Env;
use super::method::{Entry, entry};
use super::params::Name;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::{Duration, Instant};

pub use graves::erased;
pub use methods::{
    Archive, Archived, Delete, Deleted, Get, List, Listed, Search, SearchResult, Similar, Store, Stored, Told,
};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<Store>(),
    entry::<Search>(),
    entry::<Get>(),
    entry::<List>(),
    entry::<Delete>(),
    entry::<Archive>(),
];

/// How many of the replicas must hold a memory before it counts as stored (decision P18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quorum {
    /// All that there are, three at most. One that is connected but does not answer then fails every write that it is a
    /// replica of, and what was written is undone.
    All,
    /// More than half of them.
    Majority,
    /// Any.
    One,
}

/// Who makes vectors of texts (decision P20). All peers of a mesh have to use the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Embedder {
    /// The built-in one, see the module's text.
    Hashing,
    /// The driver's embedding service. If it fails, so does the call: vectors of two embedders do not compare.
    External,
}

/// Settings of `memory.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whether this peer stores memories, its own and others'.
    pub store: bool,
    /// When a memory counts as stored.
    pub quorum: Quorum,
    /// Who makes vectors.
    pub embedder: Embedder,
    /// Most memories held here; one more is refused.
    pub held_max: usize,
    /// Most bytes of their texts and metadata.
    pub bytes_max: usize,
    /// Who may read the memories of other peers' sessions besides those that hold them: the operators' choice.
    pub readers: BTreeSet<PeerId>,
    /// Most deletions remembered; of more, the oldest are forgotten.
    pub tombstones_max: u64,
    /// Most of them that one other peer brought; of more, its oldest are forgotten.
    pub tombstones_per_peer_max: u64,
    /// How long a deletion is remembered: longer than the longest partition that memories are to survive.
    pub tombstone_life: Duration,
    /// Most memories kept for replicas that are away; one more is not kept.
    pub hints_max: u64,
    /// How long after it was written one is kept: shorter than a deletion is remembered, so that none brings back what was
    /// deleted.
    pub hint_life: Duration,
    /// Most peers that a search or a list asks.
    pub fan_out: usize,
    /// How long a search waits for them, and a look-up for something newer than it has found.
    pub search_wait: Duration,
    /// Time between two comparisons with the other replicas.
    pub sync_interval: Duration,
    /// How soon after the storage peers have changed memories are compared and moved.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: true,
            // The spec's 3x replication, as far as there are peers.
            quorum: Quorum::All,
            embedder: Embedder::Hashing,
            // Our choice: some 400 bytes each in memory, and a scan of a few milliseconds.
            held_max: 100_000,
            bytes_max: 1 << 30,
            readers: BTreeSet::new(),
            // Our choice: 200 bytes each on disk, 30 in memory; a tenth of them from one peer.
            tombstones_max: 1_000_000,
            tombstones_per_peer_max: 100_000,
            // Our choice: a partition of a week, and a day.
            tombstone_life: Duration::from_secs(8 * 86_400),
            // Our choice.
            hints_max: 10_000,
            // Our choice: the partition of a week.
            hint_life: Duration::from_secs(7 * 86_400),
            fan_out: 32,
            // The upper end of the spec's 100 to 200 ms for a search.
            search_wait: Duration::from_millis(200),
            // Our choice.
            sync_interval: Duration::from_secs(60),
            settle: Duration::from_secs(1),
        }
    }
}

/// What is under way, and what a search looks at.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Whether replicas count as unable to take memories, for tests from outside.
    pub(super) failing: bool,
    clock: record::Clock,
    index: held::Index,
    place: place::Place,
    graves: graves::Graves,
    /// What was erased behind this machine's back, with the peers that have confirmed its deletion since.
    erased: BTreeMap<Name, BTreeSet<PeerId>>,
    hints: hints::Hints,
    /// Operations under way.
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    /// Questions to peers: to which operation each belongs.
    asks: BTreeMap<RequestId, u64>,
    /// Calls that wait for a vector.
    embedding: BTreeMap<CallId, methods::Embedding>,
    /// When searches end, and look-ups answer with what they have.
    deadlines: BTreeSet<(Instant, u64)>,
    /// When memories are next compared with other replicas.
    round: Option<Instant>,
    /// How far the comparison with each peer has come.
    cursors: BTreeMap<PeerId, String>,
    /// When a peer last made us walk through all we hold: by what it published, and by what it asked (true).
    walked: BTreeMap<(PeerId, bool), Instant>,
}

/// Something that waits for other peers.
#[derive(Debug)]
struct Op {
    what: What,
    /// How many of them have not answered yet.
    waiting: usize,
}

/// What an operation is.
#[derive(Debug)]
enum What {
    Bury(Vec<Name>),
    Find(find::Find),
    Hint(Vec<u8>),
    List(find::Listing),
    Move(sync::Move),
    Search(search::Searching),
    Sync,
    Write(write::Write),
}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        let search = self.deadlines.first().map(|(due, _)| *due);
        [search, self.round].into_iter().flatten().min()
    }
}

impl Agent {
    pub(super) fn start_memory(&mut self, env: &mut Env<'_>) {
        self.memory.load(env);
        if self.memory.holds_something(env) {
            self.round_soon(env);
        }
        if env.config.memory.store {
            env.net.subscribe(&place::topic());
        }
    }

    pub(super) fn memory_timeout(&mut self, env: &mut Env<'_>) {
        while let Some(&(due, op)) = self.memory.deadlines.first() {
            if due > env.now {
                break;
            }
            self.memory.deadlines.pop_first();
            match self.memory.ops.get(&op) {
                Some(Op { what: What::Find(_), .. }) => self.find_is_late(env, op),
                _ => self.search_ends(env, op),
            }
        }
        if self.memory.round.is_some_and(|round| round <= env.now) {
            self.memory_round(env);
        }
    }

    pub(super) fn memory_asked(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: &str) {
        let told = match serde_json::from_str::<wire::Ask>(body) {
            Ok(ask) => self.memory_serve(env, from, ask),
            Err(_) => wire::Tell::refused("not a question"),
        };
        env.net.tell(&from, id, serde_json::to_string(&told).expect("plain data"));
    }

    pub(super) fn memory_told(&mut self, env: &mut Env<'_>, from: PeerId, id: RequestId, body: Option<&str>) {
        let Some(number) = self.memory.asks.remove(&id) else { return };
        let told = body.and_then(|body| serde_json::from_str::<wire::Tell>(body).ok());
        // An operation that gave up waiting is gone.
        let Some(mut op) = self.memory.ops.remove(&number) else { return };
        op.waiting -= 1;
        self.op_told(env, &mut op.what, from, told);
        self.op_goes_on(env, number, op);
    }

    fn op_told(&mut self, env: &mut Env<'_>, what: &mut What, from: PeerId, told: Option<wire::Tell>) {
        match what {
            What::Bury(ids) => self.bury_told(env, ids, from, told),
            What::Find(find) => self.find_told(env, find, from, told),
            What::Hint(key) => self.hint_told(env, key, told),
            What::List(listing) => listing.told(from, told),
            What::Move(moving) => moving.told(told),
            What::Search(searching) => searching.told(told),
            What::Sync => self.sync_told(env, from, told),
            What::Write(write) => write.told(from, told),
        }
    }

    /// Keeps an operation that still waits, and ends any other.
    fn op_goes_on(&mut self, env: &mut Env<'_>, number: u64, mut op: Op) {
        let last = op.waiting == 0;
        match &mut op.what {
            What::Find(find) => self.find_goes_on(env, number, find, last),
            What::List(listing) if last => self.list_ends(env, listing),
            What::Move(moving) if last => self.move_ends(env, moving),
            What::Search(_) if last => {
                self.memory.ops.insert(number, op);
                return self.search_ends(env, number);
            }
            What::Write(write) => self.write_goes_on(env, write, last),
            What::Bury(_) | What::Hint(_) | What::List(_) | What::Move(_) | What::Search(_) | What::Sync => {}
        }
        if !last {
            self.memory.ops.insert(number, op);
        }
    }

    /// Asks some peers the same thing on behalf of an operation, which may end at once.
    fn begin_op(&mut self, env: &mut Env<'_>, mut what: What, to: &[PeerId], ask: &wire::Ask) -> u64 {
        // A peer can say that it stores memory long after it has connected.
        if self.memory.place.take_moved() && self.memory.holds_something(env) {
            self.round_soon(env);
        }
        let number = self.memory.next_op;
        self.memory.next_op += 1;
        let body =
            if to.is_empty() { String::new() } else { serde_json::to_string(ask).expect("plain data") };
        let mut waiting = 0;
        for peer in to {
            match self.ask(env, *peer, crate::request::Protocol::Memory, body.clone()) {
                Some(id) => {
                    waiting += 1;
                    self.memory.asks.insert(id, number);
                }
                None => self.op_told(env, &mut what, *peer, None),
            }
        }
        self.op_goes_on(env, number, Op { what, waiting });
        number
    }

    pub(super) fn memory_fetched(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        self.embedded(env, id, fetched);
    }

    pub(super) fn memory_message(&mut self, env: &mut Env<'_>, author: PeerId, d: &str) {
        self.sync_heard(env, author, d);
    }

    pub(super) fn memory_peer(&mut self, env: &mut Env<'_>, peer: PeerId, connected: bool) {
        self.memory.place.peer(peer, connected);
        if self.memory.place.changed(env) && self.memory.holds_something(env) {
            self.round_soon(env);
        }
        if connected {
            self.deliver_hints(env, Some(&peer));
        }
    }
}
