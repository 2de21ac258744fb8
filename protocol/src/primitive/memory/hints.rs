//! Hints: entries kept for replicas that did not answer, until they are back.
//!
//! They are kept where a write has counted although a replica missed it: with the quorums `majority` and `one`, and for
//! deletions. With `all`, one replica that is missed fails the call and what was written is undone, so there is nothing to
//! keep. Of more than there is room for, the newest are not kept: comparisons between the replicas have to do. What is
//! deleted goes from the hints as well.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Entry;
use super::sync::MOVED_MAX;
use super::wire::{Ask, Tell};
use super::{Live, What};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::env::Env;
use crate::primitive::records::Table;

/// What is kept, and how far it was gone through.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// For whom there is something, by id.
    of: BTreeMap<String, BTreeSet<PeerId>>,
    /// The last key looked at; the next round goes on after it.
    cursor: Option<Vec<u8>>,
}

fn key_of(peer: &PeerId, id: &str) -> Vec<u8> {
    format!("{peer}/{id}").into_bytes()
}

fn parts(key: &[u8]) -> Option<(PeerId, &str)> {
    let (peer, id) = str::from_utf8(key).ok()?.split_once('/')?;
    Some((peer.parse().ok()?, id))
}

impl Live {
    pub(super) fn load_hints(&mut self, env: &Env<'_>) {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = env.records.scan(Table::Hint, b"", after.as_deref(), 256);
            for (peer, id) in page.iter().filter_map(|(key, _)| parts(key)) {
                self.hints.of.entry(id.to_owned()).or_default().insert(peer);
            }
            match page.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return,
            }
        }
    }

    /// Keeps an entry for a replica that is away.
    pub(super) fn keep_hint(&mut self, env: &mut Env<'_>, peer: PeerId, entry: &Entry) {
        if env.records.count(Table::Hint) < env.config.memory.hints_max {
            let subject = match entry {
                Entry::Memory(memory) => memory.subject(),
                Entry::Tombstone(_) => None,
            };
            let id = entry.id().to_string();
            env.records.save(Table::Hint, &key_of(&peer, &id), subject.as_deref(), entry);
            self.hints.of.entry(id).or_default().insert(peer);
        }
    }

    /// What is kept of an id for somebody.
    pub(super) fn hinted(&self, env: &Env<'_>, id: &str) -> Option<Entry> {
        let peer = self.hints.of.get(id)?.first()?;
        env.records.load(Table::Hint, &key_of(peer, id))
    }

    /// Drops what is kept of an id, for whomever.
    pub(super) fn drop_hints(&mut self, env: &mut Env<'_>, id: &str) {
        for peer in self.hints.of.remove(id).unwrap_or_default() {
            env.records.delete(Table::Hint, &key_of(&peer, id));
        }
    }

    fn drop_hint(&mut self, env: &mut Env<'_>, key: &[u8]) {
        env.records.delete(Table::Hint, key);
        if let Some((peer, id)) = parts(key)
            && let Some(peers) = self.hints.of.get_mut(id)
        {
            peers.remove(&peer);
            if peers.is_empty() {
                self.hints.of.remove(id);
            }
        }
    }
}

impl Agent {
    /// What is kept for a replica has arrived, or not. One that refuses it would do so again.
    pub(super) fn hint_told(&mut self, env: &mut Env<'_>, key: &[u8], told: Option<Tell>) {
        if told.is_some() {
            self.memory.drop_hint(env, key);
        }
    }

    /// Brings what is kept for replicas to them, a part each time, or to the one that is back. What is kept for too long
    /// is dropped.
    pub(super) fn deliver_hints(&mut self, env: &mut Env<'_>, to: Option<&PeerId>) {
        let prefix = to.map_or_else(String::new, |peer| format!("{peer}/"));
        let after = if to.is_none() { self.memory.hints.cursor.take() } else { None };
        let found = env.records.scan(Table::Hint, prefix.as_bytes(), after.as_deref(), MOVED_MAX);
        if to.is_none() && found.len() == MOVED_MAX {
            self.memory.hints.cursor = found.last().map(|(key, _)| key.clone());
        }
        let under_way = self.memory.ops.values();
        let under_way =
            under_way.filter_map(|op| if let What::Hint(key) = &op.what { Some(key) } else { None });
        let under_way: BTreeSet<Vec<u8>> = under_way.cloned().collect();
        let life = env.config.memory.hint_life.as_millis();
        for (key, value) in found {
            let entry = serde_json::from_slice::<Entry>(&value).ok();
            let entry = entry.filter(|entry| entry.stamp().unix().saturating_add(life) >= env.unix.0);
            match (parts(&key), entry) {
                (Some((peer, _)), Some(entry)) if !under_way.contains(&key) => {
                    self.begin_op(env, What::Hint(key), &[peer], &Ask::Store(entry));
                }
                (Some(_), Some(_)) => {}
                (None, _) | (_, None) => self.memory.drop_hint(env, &key),
            }
        }
    }
}
