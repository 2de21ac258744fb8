//! Keeping replicas alike: comparisons by digest, memories that move as peers come and go, and hints.
//!
//! Two peers compare what both of them should hold. Each publishes a digest of that for every other now and then; one that
//! has another digest says what it holds, gets what it lacks and is asked for what the other lacks. Digests and deletions
//! are all that is gossiped.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::held::{Merged, held, known};
use super::record::{Entry, Stamp, Tombstone};
use super::wire::{Ask, Tell, Window, gifts};
use super::{Live, What, place};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::env::Env;
use crate::primitive::params::Name;
use crate::primitive::records::Table;
use crate::time::Instant;

/// Most memories that one round moves, or one comparison asks for (our choice).
pub(super) const MOVED_MAX: usize = 256;
/// Most questions that carry what one comparison has found to be lacking elsewhere (our choice: 3 MB).
const GIFTS_MAX: usize = 8;
/// Most ids in one comparison (our choice: 110 bytes each).
const WINDOW_MAX: usize = 2048;
/// Most peers that one message has digests for (our choice: 110 bytes each, in 60 KiB).
const DIGESTS_MAX: usize = 256;
/// Most deletions that one message tells of (our choice).
pub(super) const TOMBSTONES_MAX: usize = 256;

/// A memory that moves to its replicas.
#[derive(Debug)]
pub(super) struct Move {
    id: Name,
    stamp: Stamp,
    /// How many have yet to confirm it.
    left: usize,
}

impl Move {
    pub(super) fn told(&mut self, told: Option<Tell>) {
        if told.is_some_and(|told| told.error.is_none()) {
            self.left -= 1;
        }
    }
}

/// What is gossiped.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Gossip {
    /// For each peer: the digest of what both the author and that peer should hold, as the author holds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<Range>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tombstones: Vec<Tombstone>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Range {
    /// The memories whose replicas the author and this peer both are.
    range: String,
    digest: String,
}

/// A digest as it grows: over ids and stamps in the order of the ids.
#[derive(Default)]
struct Sum(Sha256);

impl Sum {
    fn add(&mut self, id: &str, stamp: &Stamp) {
        self.0.update(id);
        self.0.update(serde_json::to_vec(stamp).expect("plain data"));
    }

    fn text(self) -> String {
        self.0.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Live {
    /// Whether there is anything to look after.
    pub(super) fn holds_something(&self, env: &Env<'_>) -> bool {
        !self.index.shapes.is_empty()
            || env.records.count(Table::Hint) > 0
            || env.records.count(Table::Tombstone) > 0
    }

    pub(super) fn stamp(&mut self, env: &Env<'_>) -> Stamp {
        Stamp::new(self.clock.next(env.unix), env.own)
    }

    /// Whether a peer may make us walk through all we hold: not again and again.
    fn walks(&mut self, env: &Env<'_>, peer: PeerId, asked: bool) -> bool {
        let settle = env.config.memory.settle;
        self.walked.retain(|_, last| env.now.since(*last) < settle);
        self.walked.insert((peer, asked), env.now).is_none()
    }

    /// What is held here of what both this peer and another should hold, in the order of the ids.
    fn shared<'a>(&'a self, own: PeerId, other: &'a PeerId) -> impl Iterator<Item = (&'a str, &'a Stamp)> {
        let shapes = self.index.shapes.iter().filter(move |(_, shape)| {
            let replicas = self.place.replicas_now(shape.at);
            replicas.contains(&own) && replicas.contains(other)
        });
        shapes.map(|(id, shape)| (&**id, &shape.stamp))
    }
}

impl Agent {
    /// The storage peers have changed: compares soon.
    pub(super) fn round_soon(&mut self, env: &Env<'_>) {
        let soon = env.now + env.config.memory.settle;
        self.memory.round = Some(self.memory.round.map_or(soon, |round| round.min(soon)));
    }

    /// Something is there to compare from now on.
    pub(super) fn round_soon_if_none(&mut self, env: &Env<'_>) {
        if self.memory.round.is_none() {
            self.memory.round = Some(env.now + env.config.memory.sync_interval);
        }
    }

    /// Publishes digests, moves what belongs elsewhere, and forgets what is long past.
    pub(super) fn memory_round(&mut self, env: &mut Env<'_>) {
        self.memory.place.changed(env);
        self.memory.round = self.next_round(env);
        let mut sums: BTreeMap<PeerId, Sum> = BTreeMap::new();
        let mut leaving = Vec::new();
        for (id, shape) in &self.memory.index.shapes {
            let replicas = self.memory.place.replicas_now(shape.at);
            if replicas.contains(&env.own) {
                for peer in replicas.into_iter().filter(|peer| *peer != env.own) {
                    sums.entry(peer).or_default().add(id, &shape.stamp);
                }
            } else if leaving.len() < MOVED_MAX && !replicas.is_empty() {
                leaving.push((id.clone(), shape.stamp.clone(), replicas));
            }
        }
        let ranges =
            sums.into_iter().map(|(peer, sum)| Range { range: peer.to_string(), digest: sum.text() });
        let mut ranges: Vec<Range> = ranges.collect();
        if !ranges.is_empty() {
            // Of more than fit, other ones each time.
            let turn = env.rng.below(ranges.len() as u64) as usize;
            if ranges.len() > DIGESTS_MAX {
                ranges.rotate_left(turn);
                ranges.truncate(DIGESTS_MAX);
            }
            let gossip = Gossip { ranges, tombstones: Vec::new() };
            let d = serde_json::to_string(&gossip).expect("plain data");
            env.net.publish(&place::topic(), &d);
        }
        for (id, stamp, replicas) in leaving {
            self.leave(env, &id, stamp, &replicas);
        }
        self.deliver_hints(env, None);
        self.bury_elsewhere(env);
        self.memory.forget_graves(env);
    }

    fn next_round(&self, env: &mut Env<'_>) -> Option<Instant> {
        let interval = env.config.memory.sync_interval;
        // Not in step with the others.
        let jitter = crate::time::Duration::from_nanos(env.rng.below(interval.as_nanos() / 4 + 1));
        self.memory.holds_something(env).then(|| env.now + interval + jitter)
    }

    /// This peer is no replica of a memory any more: it keeps the copy until all that are have confirmed theirs.
    fn leave(&mut self, env: &mut Env<'_>, id: &str, stamp: Stamp, replicas: &[PeerId]) {
        let Some(memory) = held(env, id) else { return };
        let moving = Move { id: memory.id.clone(), stamp, left: replicas.len() };
        self.begin_op(env, What::Move(moving), replicas, &Ask::Store(Entry::Memory(memory)));
    }

    pub(super) fn move_ends(&mut self, env: &mut Env<'_>, moving: &Move) {
        let at =
            self.memory.index.shapes.get(&*moving.id).map(|shape| (shape.at, shape.stamp == moving.stamp));
        // It may have changed, or come back to us, meanwhile.
        if let Some((at, true)) = at
            && moving.left == 0
            && !self.memory.place.replicas(env, at).contains(&env.own)
        {
            self.memory.drop_held(env, &moving.id);
        }
    }

    /// Another storage peer says what it holds, or what was deleted.
    pub(super) fn sync_heard(&mut self, env: &mut Env<'_>, author: PeerId, d: &str) {
        if !env.config.memory.store || author == env.own {
            return;
        }
        let Ok(gossip) = serde_json::from_str::<Gossip>(d) else { return };
        self.memory.place.heard(env.now, author);
        if self.memory.place.changed(env) {
            self.round_soon(env);
        }
        for tombstone in gossip.tombstones.into_iter().take(TOMBSTONES_MAX) {
            self.memory.merge(env, author, &Entry::Tombstone(tombstone));
        }
        let own = env.own.to_string();
        let Some(range) = gossip.ranges.into_iter().find(|range| range.range == own) else { return };
        if !self.memory.walks(env, author, false) {
            return;
        }
        let mut sum = Sum::default();
        for (id, stamp) in self.memory.shared(env.own, &author) {
            sum.add(id, stamp);
        }
        if sum.text() != range.digest {
            self.compare(env, author);
        }
    }

    /// Tells another replica what is held here of what both should hold: a window at a time.
    fn compare(&mut self, env: &mut Env<'_>, with: PeerId) {
        let after = self.memory.cursors.remove(&with);
        let rest = self.memory.shared(env.own, &with);
        let rest = rest.skip_while(|(id, _)| after.as_deref().is_some_and(|after| *id <= after));
        let held: Vec<(String, Stamp)> =
            rest.take(WINDOW_MAX).map(|(id, stamp)| (id.to_owned(), stamp.clone())).collect();
        let upto = (held.len() == WINDOW_MAX).then(|| held.last().map(|(id, _)| id.clone())).flatten();
        if let Some(upto) = &upto {
            self.memory.cursors.insert(with, upto.clone());
        }
        self.begin_op(env, What::Sync, &[with], &Ask::Sync(Window { after, upto, held }));
    }

    /// Another replica says what it holds: it gets what it lacks, and is asked for what is lacking here.
    pub(super) fn serve_sync(&mut self, env: &mut Env<'_>, from: PeerId, window: &Window) -> Tell {
        self.memory.place.changed(env);
        if !self.memory.walks(env, from, true) {
            return Tell::refused("too soon");
        }
        let theirs: BTreeMap<&str, &Stamp> =
            window.held.iter().take(WINDOW_MAX).map(|(id, stamp)| (&**id, stamp)).collect();
        let (mut tell, mut room) = (Tell::default(), Tell::room());
        let inside = |id: &str| {
            window.after.as_deref().is_none_or(|after| id > after)
                && window.upto.as_deref().is_none_or(|upto| id <= upto)
        };
        let shared = self.memory.shared(env.own, &from).filter(|(id, _)| inside(id));
        let ahead = shared.filter(|(id, stamp)| theirs.get(id).is_none_or(|theirs| theirs < stamp));
        let ahead: Vec<String> = ahead.take(MOVED_MAX).map(|(id, _)| id.to_owned()).collect();
        for id in ahead {
            if let Some(memory) = held(env, &id)
                && !tell.add(&mut room, Entry::Memory(memory))
            {
                break;
            }
        }
        for (id, stamp) in theirs {
            match known(env, id) {
                Some(tombstone @ Entry::Tombstone(_)) => {
                    tell.add(&mut room, tombstone);
                }
                Some(Entry::Memory(memory)) if memory.stamp >= *stamp => {}
                Some(Entry::Memory(_)) | None if tell.want.len() < MOVED_MAX => {
                    tell.want.extend(Name::new(id).ok());
                }
                Some(Entry::Memory(_)) | None => {}
            }
        }
        tell
    }

    /// What another replica sent is taken in; what it wants, and what it does not know to be deleted, is given to it in a few
    /// questions at most. The next comparison does the rest.
    pub(super) fn sync_told(&mut self, env: &mut Env<'_>, from: PeerId, told: Option<Tell>) {
        let Some(told) = told else { return };
        let mut deleted = BTreeSet::new();
        for entry in told.entries.into_iter().take(MOVED_MAX + WINDOW_MAX) {
            if deleted.len() < MOVED_MAX && self.memory.merge(env, from, &entry) == Merged::Deleted {
                deleted.insert(entry.id().clone());
            }
        }
        // Whoever asks for it should hold it: else any peer could have our memories by wanting them.
        self.memory.place.changed(env);
        let shares = |id: &Name| {
            let shape = self.memory.index.shapes.get(&**id);
            shape.is_some_and(|shape| self.memory.place.replicas_now(shape.at).contains(&from))
        };
        let wanted: BTreeSet<Name> = told.want.into_iter().take(MOVED_MAX).filter(shares).collect();
        let deleted = deleted.iter().filter_map(|id| known(env, id));
        let wanted = wanted.iter().filter_map(|id| held(env, id).map(Entry::Memory));
        for gift in gifts(deleted.chain(wanted), GIFTS_MAX) {
            self.begin_op(env, What::Sync, &[from], &gift);
        }
    }
}
