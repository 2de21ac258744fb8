//! Bringing an entry to its replicas: store, archive, delete.

use serde_json::json;

use super::held::Merged;
use super::record::{Entry, Tombstone};
use super::wire::{Ask, Tell};
use super::{Op, Quorum, What, methods, place, sync};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::call::CallId;
use crate::primitive::env::Env;
use crate::primitive::error::{Code, Error};
use crate::primitive::records::Table;
use crate::ring::Position;

/// A write under way.
#[derive(Debug)]
pub(super) struct Write {
    entry: Entry,
    kind: Kind,
    /// Who waits; `None` once it is answered.
    call: Option<CallId>,
    primary: Option<PeerId>,
    required: usize,
    achieved: usize,
    /// Which replicas do not hold it, though they may once they are back.
    missed: Vec<PeerId>,
    /// Whether it has failed.
    failed: bool,
}

/// What a write is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Store,
    Archive,
    Delete,
}

impl Write {
    pub(super) fn told(&mut self, from: PeerId, told: Option<Tell>) {
        match told {
            Some(Tell { error: None, deleted: false, .. }) => self.achieved += 1,
            // It is full: it would refuse again.
            Some(_) => {}
            None => self.missed.push(from),
        }
    }
}

/// How many of `replicas` have to hold a memory.
fn required(quorum: Quorum, replicas: usize) -> usize {
    match quorum {
        Quorum::All => replicas.max(1),
        Quorum::Majority => replicas / 2 + 1,
        Quorum::One => 1,
    }
}

fn failed(required: usize, achieved: usize) -> Error {
    let text = format!("{achieved} of {required} replicas hold it");
    Error::new(Code::ReplicationFailed, text).with(json!({ "required": required, "achieved": achieved }))
}

impl Agent {
    /// Brings an entry to where it belongs, and answers the call when enough hold it.
    pub(super) fn write(&mut self, env: &mut Env<'_>, call: CallId, kind: Kind, entry: Entry) {
        let at = Position::of(entry.id().as_bytes());
        let replicas = self.memory.place.replicas(env, at);
        if self.memory.failing && kind == Kind::Store {
            let required = required(env.config.memory.quorum, replicas.len());
            return methods::answer(env, call, Err(failed(required, 0)));
        }
        // A deletion goes wherever a copy may be.
        let targets = if kind == Kind::Delete { self.memory.place.near(env, at) } else { replicas.clone() };
        let mut write = Write {
            kind,
            call: Some(call),
            primary: replicas.first().copied(),
            required: required(env.config.memory.quorum, replicas.len()),
            achieved: 0,
            missed: Vec::new(),
            failed: false,
            entry,
        };
        let own = targets.contains(&env.own) || (kind == Kind::Delete && env.config.memory.store);
        if own && self.memory.merge(env, &write.entry) == Merged::Held {
            write.achieved += 1;
        }
        if let Entry::Tombstone(tombstone) = &write.entry {
            publish(env, tombstone);
        }
        self.round_soon_if_none(env);
        let others: Vec<PeerId> = targets.into_iter().filter(|peer| *peer != env.own).collect();
        let ask = Ask::Store(write.entry.clone());
        self.begin_op(env, What::Write(write), &others, &ask);
    }

    /// Answers when enough hold it, or when it is clear that they will not; at last keeps it for those that were away.
    pub(super) fn write_goes_on(&mut self, env: &mut Env<'_>, write: &mut Write, last: bool) {
        let enough = write.achieved >= write.required || (last && write.kind == Kind::Delete);
        if enough && let Some(call) = write.call.take() {
            methods::answer_write(env, call, write.kind, &write.entry, write.primary, write.achieved);
        }
        if !last {
            return;
        }
        if let Some(call) = write.call.take() {
            write.failed = true;
            methods::answer(env, call, Err(failed(write.required, write.achieved)));
            if write.kind == Kind::Store {
                self.undo(env, write);
            }
            return;
        }
        for peer in core::mem::take(&mut write.missed) {
            sync::keep_hint(env, &peer, &write.entry);
        }
    }

    /// A memory that was not stored must not be found: the copies that there are go again.
    fn undo(&mut self, env: &mut Env<'_>, write: &Write) {
        if write.achieved == 0 {
            return;
        }
        let stamp = self.memory.stamp(env);
        let tombstone = Tombstone { id: write.entry.id().clone(), stamp };
        publish(env, &tombstone);
        let entry = Entry::Tombstone(tombstone);
        if env.config.memory.store {
            self.memory.merge(env, &entry);
        }
        let replicas = self.memory.place.replicas(env, Position::of(entry.id().as_bytes()));
        let others: Vec<PeerId> = replicas.into_iter().filter(|peer| *peer != env.own).collect();
        self.begin_op(env, What::Sync, &others, &Ask::Store(entry));
    }

    /// What is kept for a replica has arrived, or not.
    pub(super) fn hint_told(&mut self, env: &mut Env<'_>, key: &[u8], told: Option<Tell>) {
        if told.is_some() {
            env.records.delete(Table::Hint, key);
        }
    }

    /// Brings what is kept for replicas to them, or to the one that is back.
    pub(super) fn deliver_hints(&mut self, env: &mut Env<'_>, to: Option<&PeerId>) {
        let prefix = to.map_or_else(String::new, |peer| format!("{peer}/"));
        let under_way = self.memory.ops.values().filter_map(|Op { what, .. }| match what {
            What::Hint(key) => Some(key.clone()),
            What::Find(_) | What::List(_) | What::Move(_) | What::Search(_) | What::Sync | What::Write(_) => {
                None
            }
        });
        let under_way: Vec<Vec<u8>> = under_way.collect();
        let hints = env.records.load_all::<Entry>(Table::Hint, prefix.as_bytes(), None, sync::MOVED_MAX);
        for (key, entry) in hints {
            let peer = str::from_utf8(&key).ok().and_then(|key| key.split_once('/')?.0.parse().ok());
            if let Some(peer) = peer
                && !under_way.contains(&key)
            {
                self.begin_op(env, What::Hint(key), &[peer], &Ask::Store(entry));
            }
        }
    }
}

/// Tells all storage peers of a deletion; the id says nothing of what was deleted.
fn publish(env: &mut Env<'_>, tombstone: &Tombstone) {
    let d = json!({ "tombstones": [tombstone] }).to_string();
    env.net.publish(&place::topic(), &d);
}
