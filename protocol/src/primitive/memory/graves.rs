//! Deletions: which are remembered here and for how long, and those that the store made while this machine did not run.
//!
//! A tombstone counts for the peer that brought it. Of more than a peer may have here, or than there is room for, the
//! oldest are forgotten first, so none can keep out what is deleted now. A deletion that is forgotten while a copy is still
//! somewhere can be undone by that copy; hence the bounds are wide.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::held::known;
use super::record::{Entry, Tombstone, peer_text};
use super::sync::TOMBSTONES_MAX;
use super::wire::{Ask, Tell};
use super::{Live, What};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::env::Env;
use crate::primitive::params::Name;
use crate::primitive::records::Table;
use crate::ring::{Position, REPLICAS};

/// Most deletions that one round forgets (our choice).
const FORGOTTEN_MAX: usize = 4096;
/// What the keys of facts about erased memories begin with.
const ERASED: &[u8] = b"memory/erased/";

/// The key of the empty [`Table::Fact`] that a store has to write, in the same commit, for a record that it erases while no
/// machine runs on it. When the machine starts it deletes the memory that the record was a copy of from its other replicas
/// too. `None` for a record of which there are no copies elsewhere.
pub fn erased(table: Table, key: &[u8]) -> Option<Vec<u8>> {
    let key = str::from_utf8(key).ok()?;
    let id = if table == Table::Hint { key.split_once('/')?.1 } else { key };
    let copied = [Table::Memory, Table::Hint].contains(&table);
    Short::of(id).filter(|_| copied).map(|_| [ERASED, id.as_bytes()].concat())
}

/// The 12 bytes of a memory's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Short([u8; 12]);

impl Short {
    fn of(id: &str) -> Option<Self> {
        let digits = id.strip_prefix("mem-").filter(|digits| digits.len() == 24)?;
        let mut short = [0; 12];
        for (byte, digits) in short.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(short))
    }

    fn id(self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("mem-{digits}")
    }
}

/// A deletion as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Buried {
    #[serde(flatten)]
    tombstone: Tombstone,
    /// Who brought it; absent for this peer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "peer_text")]
    from: Option<PeerId>,
}

/// All deletions remembered, the oldest of each peer first: some 30 bytes each.
#[derive(Debug, Default)]
pub(super) struct Graves {
    of: BTreeMap<Option<PeerId>, BTreeSet<(u64, Short)>>,
    count: u64,
}

impl Graves {
    fn insert(&mut self, buried: &Buried) {
        let Some(id) = Short::of(&buried.tombstone.id) else { return };
        let new = self.of.entry(buried.from).or_default().insert((buried.tombstone.stamp.clock, id));
        self.count += u64::from(new);
    }

    fn remove(&mut self, buried: &Buried) {
        if let Some(id) = Short::of(&buried.tombstone.id) {
            self.take(buried.from, (buried.tombstone.stamp.clock, id));
        }
    }

    fn take(&mut self, from: Option<PeerId>, grave: (u64, Short)) {
        let Some(graves) = self.of.get_mut(&from) else { return };
        self.count -= u64::from(graves.remove(&grave));
        if graves.is_empty() {
            self.of.remove(&from);
        }
    }

    /// Takes out the oldest of a peer that has more than `most`.
    fn above_of(&mut self, from: Option<PeerId>, most: u64) -> Option<String> {
        let graves = self.of.get(&from).filter(|graves| graves.len() as u64 > most)?;
        let oldest = *graves.first()?;
        self.take(from, oldest);
        Some(oldest.1.id())
    }

    /// Takes out the oldest of all, if its time in Unix milliseconds is such.
    fn oldest(&mut self, when: impl FnOnce(u64) -> bool) -> Option<String> {
        let firsts = self.of.iter().filter_map(|(from, graves)| Some((*graves.first()?, *from)));
        let (oldest, from) = firsts.min()?;
        if !when(oldest.0 >> 16) {
            return None;
        }
        self.take(from, oldest);
        Some(oldest.1.id())
    }
}

impl Live {
    /// Takes up what the records say of deletions, and makes up for what was erased behind this machine's back.
    pub(super) fn load_graves(&mut self, env: &mut Env<'_>) {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = env.records.load_all::<Buried>(Table::Tombstone, b"", after.as_deref(), 256);
            for (_, buried) in &page {
                self.clock.saw(env.unix, &buried.tombstone.stamp);
                self.graves.insert(buried);
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => break,
            }
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = env.records.scan(Table::Fact, ERASED, after.as_deref(), 256);
            let Some((last, _)) = page.last() else { return };
            after = Some(last.clone());
            for (key, _) in page {
                let id = str::from_utf8(&key[ERASED.len()..]).ok();
                let id = id.filter(|id| Short::of(id).is_some()).and_then(|id| Name::new(id).ok());
                let Some(id) = id else { continue };
                if !matches!(known(env, &id), Some(Entry::Tombstone(_))) {
                    let stamp = self.stamp(env);
                    self.bury(env, None, Tombstone { id: id.clone(), stamp });
                }
                self.erased.insert(id, BTreeSet::new());
            }
        }
    }

    /// Remembers a deletion that `from` brought, `None` for this peer, and forgets what was deleted.
    pub(super) fn bury(&mut self, env: &mut Env<'_>, from: Option<PeerId>, tombstone: Tombstone) {
        let key = tombstone.id.as_bytes();
        if let Some(before) = env.records.load::<Buried>(Table::Tombstone, key) {
            self.graves.remove(&before);
        }
        let id = tombstone.id.clone();
        let buried = Buried { tombstone, from };
        env.records.save(Table::Tombstone, id.as_bytes(), None, &buried);
        self.graves.insert(&buried);
        self.drop_held(env, &id);
        self.drop_hints(env, &id);
        let (all, of_one) = (env.config.memory.tombstones_max, env.config.memory.tombstones_per_peer_max);
        let above = from.and_then(|from| self.graves.above_of(Some(from), of_one));
        let full = self.graves.count > all;
        let above = above.or_else(|| if full { self.graves.oldest(|_| true) } else { None });
        if let Some(above) = above {
            self.forget(env, &above);
        }
    }

    fn forget(&mut self, env: &mut Env<'_>, id: &str) {
        env.records.delete(Table::Tombstone, id.as_bytes());
        if let Ok(id) = Name::new(id)
            && self.erased.remove(&id).is_some()
        {
            env.records.delete(Table::Fact, &[ERASED, id.as_bytes()].concat());
        }
    }

    /// Forgets deletions whose time is over.
    pub(super) fn forget_graves(&mut self, env: &mut Env<'_>) {
        let life = env.config.memory.tombstone_life.as_millis();
        let unix = env.unix.0;
        for _ in 0..FORGOTTEN_MAX {
            let Some(id) = self.graves.oldest(|stamped| stamped.saturating_add(life) < unix) else {
                return;
            };
            self.forget(env, &id);
        }
    }
}

impl Agent {
    /// Deletes elsewhere what was erased here behind this machine's back: one question to each peer that may have a copy.
    pub(super) fn bury_elsewhere(&mut self, env: &mut Env<'_>) {
        let mut due: BTreeMap<PeerId, Vec<Name>> = BTreeMap::new();
        for (id, confirmed) in &self.memory.erased {
            for peer in self.memory.place.near_now(Position::of(id.as_bytes())) {
                let ids = due.entry(peer).or_default();
                if peer != env.own && !confirmed.contains(&peer) && ids.len() < TOMBSTONES_MAX {
                    ids.push(id.clone());
                }
            }
        }
        for (peer, ids) in due.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let entries = ids.iter().filter_map(|id| known(env, id)).collect();
            self.begin_op(env, What::Bury(ids), &[peer], &Ask::Give(entries));
        }
    }

    /// A peer has forgotten what was erased, or not. It is done once all the other replicas have, as many as there should
    /// be; until then others are told as they come, for as long as the deletion is remembered.
    pub(super) fn bury_told(&mut self, env: &mut Env<'_>, ids: &[Name], from: PeerId, told: Option<Tell>) {
        let Some(told) = told.filter(|told| told.error.is_none()) else { return };
        let refused: BTreeSet<Name> = told.refused.into_iter().collect();
        for id in ids.iter().filter(|id| !refused.contains(id)) {
            let Some(confirmed) = self.memory.erased.get_mut(id) else { continue };
            confirmed.insert(from);
            let replicas = self.memory.place.replicas(env, Position::of(id.as_bytes()));
            let others = replicas.iter().filter(|peer| **peer != env.own);
            if others.clone().count() >= REPLICAS - 1 && others.clone().all(|peer| confirmed.contains(peer)) {
                self.memory.erased.remove(id);
                env.records.delete(Table::Fact, &[ERASED, id.as_bytes()].concat());
            }
        }
    }
}
