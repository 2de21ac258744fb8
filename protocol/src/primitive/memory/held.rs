//! What this peer holds: records, and beside them in memory what a search looks at.

use std::collections::BTreeMap;

use super::embed::Vector;
use super::record::{Entry, Memory, Stamp, Tombstone};
use super::{Config, Live};
use crate::identity::PeerId;
use crate::primitive::env::Env;
use crate::primitive::records::Table;
use crate::ring::Position;

/// What a search and a reconciliation look at.
#[derive(Debug)]
pub(super) struct Shape {
    vector: Vector,
    session: Option<String>,
    tier: String,
    author: PeerId,
    pub(super) stamp: Stamp,
    pub(super) created: u64,
    pub(super) at: Position,
    bytes: usize,
}

/// All memories held here, by id.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) shapes: BTreeMap<String, Shape>,
    bytes: usize,
}

/// What a search asks for.
pub(super) struct Wanted<'a> {
    pub(super) vector: &'a Vector,
    pub(super) session: Option<&'a str>,
    pub(super) tier: Option<&'a str>,
    pub(super) threshold: f64,
    pub(super) limit: usize,
}

impl Index {
    fn insert(&mut self, memory: &Memory) {
        self.remove(&memory.id);
        let Some(vector) = memory.vector() else { return };
        let shape = Shape {
            vector,
            session: memory.session_id.as_ref().map(ToString::to_string),
            tier: memory.tier.to_string(),
            author: memory.author(),
            stamp: memory.stamp.clone(),
            created: memory.created,
            at: Position::of(memory.id.as_bytes()),
            bytes: memory.bytes(),
        };
        self.bytes += shape.bytes;
        self.shapes.insert(memory.id.to_string(), shape);
    }

    fn remove(&mut self, id: &str) {
        if let Some(shape) = self.shapes.remove(id) {
            self.bytes -= shape.bytes;
        }
    }

    fn takes(&self, memory: &Memory, config: &Config) -> bool {
        let before = self.shapes.get(&*memory.id).map(|shape| shape.bytes);
        self.shapes.len() + usize::from(before.is_none()) <= config.held_max
            && self.bytes - before.unwrap_or(0) + memory.bytes() <= config.bytes_max
    }

    /// The ids that fit best of those that may be shown, most similar first and then by id.
    pub(super) fn search(&self, wanted: &Wanted<'_>, shows: impl Fn(&Shape) -> bool) -> Vec<(f64, &str)> {
        let mut found = Vec::new();
        for (id, shape) in &self.shapes {
            let visible = shape.session.as_deref().is_none_or(|session| wanted.session == Some(session));
            // A search on behalf of a session is about what is its own.
            let own = wanted.session.is_none() || shape.session.is_some();
            if visible && own && wanted.tier.is_none_or(|tier| tier == shape.tier) {
                let similarity = wanted.vector.similarity(&shape.vector);
                if similarity >= wanted.threshold && shows(shape) {
                    found.push((similarity, &**id));
                }
            }
        }
        found.sort_by(|(left, id), (right, other)| right.total_cmp(left).then(id.cmp(other)));
        found.truncate(wanted.limit);
        found
    }

    /// The memories of a session.
    pub(super) fn of_session(&self, session: &str) -> impl Iterator<Item = (&str, &Shape)> {
        let own = self.shapes.iter().filter(move |(_, shape)| shape.session.as_deref() == Some(session));
        own.map(|(id, shape)| (&**id, shape))
    }
}

/// What became of an entry that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Merged {
    /// It is held now, or something at least as new was.
    Held,
    /// It was deleted, and stays so.
    Deleted,
    /// There is no room for it, or it is not believed of the peer that sent it.
    Refused,
}

/// What is known here of an id.
pub(super) fn known(env: &Env<'_>, id: &str) -> Option<Entry> {
    let tombstone = env.records.load::<Tombstone>(Table::Tombstone, id.as_bytes());
    tombstone.map(Entry::Tombstone).or_else(|| held(env, id).map(Entry::Memory))
}

/// A memory held here.
pub(super) fn held(env: &Env<'_>, id: &str) -> Option<Memory> {
    env.records.load(Table::Memory, id.as_bytes())
}

impl Live {
    /// Takes up what the records say.
    pub(super) fn load(&mut self, env: &mut Env<'_>) {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = env.records.load_all::<Memory>(Table::Memory, b"", after.as_deref(), 256);
            for (_, memory) in &page {
                self.clock.saw(env.unix, &memory.stamp);
                self.index.insert(memory);
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
        self.load_graves(env);
        self.load_hints(env);
    }

    /// Whether a memory held here may be shown to a peer: what belongs to a session only to its author, to its replicas and
    /// to whom the operator allows. The ring has to be up to date.
    pub(super) fn shows(&self, env: &Env<'_>, to: &PeerId, shape: &Shape) -> bool {
        shape.session.is_none()
            || shape.author == *to
            || env.config.memory.readers.contains(to)
            || self.place.replicas_now(shape.at).contains(to)
    }

    /// Whether `from` may bring an entry, given what is known of its id: see the module's text.
    fn may_bring(&mut self, env: &Env<'_>, from: PeerId, entry: &Entry, before: Option<&Entry>) -> bool {
        if from == env.own {
            return true;
        }
        let at = Position::of(entry.id().as_bytes());
        match (entry, before) {
            (Entry::Memory(new), None) => from == new.author() || self.place.near(env, at).contains(&from),
            (Entry::Memory(new), Some(Entry::Memory(old))) if new.author() != old.author() => false,
            (_, Some(Entry::Memory(old))) if from == old.author() => true,
            _ => self.place.replicas(env, at).contains(&from),
        }
    }

    /// Joins an entry that `from` brings with what is known of its id.
    pub(super) fn merge(&mut self, env: &mut Env<'_>, from: PeerId, entry: &Entry) -> Merged {
        if !entry.is_sound() || !self.clock.believes(env.unix, entry.stamp()) {
            return Merged::Refused;
        }
        let mut before = known(env, entry.id());
        if before.is_none() && matches!(entry, Entry::Tombstone(_)) {
            // Not held here, but kept for somebody.
            before = self.hinted(env, entry.id());
        }
        match (entry, &before) {
            (Entry::Memory(_), Some(Entry::Tombstone(_))) => return Merged::Deleted,
            (_, Some(before)) if !entry.order(before).is_gt() => return Merged::Held,
            _ => {}
        }
        if !self.may_bring(env, from, entry, before.as_ref()) {
            // Where there is nothing to delete, nothing is left of it.
            let nothing = matches!(entry, Entry::Tombstone(_)) && !matches!(before, Some(Entry::Memory(_)));
            return if nothing { Merged::Held } else { Merged::Refused };
        }
        self.clock.saw(env.unix, entry.stamp());
        match entry {
            Entry::Memory(memory) => {
                if !self.index.takes(memory, &env.config.memory) {
                    return Merged::Refused;
                }
                let subject = memory.subject();
                env.records.save(Table::Memory, memory.id.as_bytes(), subject.as_deref(), memory);
                self.index.insert(memory);
            }
            Entry::Tombstone(tombstone) => {
                self.bury(env, Some(from).filter(|from| *from != env.own), tombstone.clone());
            }
        }
        Merged::Held
    }

    /// No longer holds a memory: it was deleted, or belongs elsewhere.
    pub(super) fn drop_held(&mut self, env: &mut Env<'_>, id: &str) {
        env.records.delete(Table::Memory, id.as_bytes());
        self.index.remove(id);
    }
}
