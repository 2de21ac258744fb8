//! Bringing an entry to its replicas: store, archive, delete.

use serde_json::json;

use super::held::Merged;
use super::record::{Entry, Memory, Tombstone};
use super::wire::{Ask, Tell};
use super::{Quorum, What, methods, place};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::call::CallId;
use crate::primitive::env::Env;
use crate::primitive::error::{Code, Error};
use crate::ring::Position;

/// A write under way.
#[derive(Debug)]
pub(super) struct Write {
    entry: Entry,
    kind: Kind,
    /// What it replaces, for a memory that is archived.
    before: Option<Memory>,
    /// Who waits; `None` once it is answered.
    call: Option<CallId>,
    /// Where it belongs, the primary first.
    replicas: Vec<PeerId>,
    required: usize,
    achieved: usize,
    /// Which replicas do not hold it, though they may once they are back.
    missed: Vec<PeerId>,
    /// Whether a replica would not have it.
    refused: bool,
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
            // It would refuse again: it is full, or does not believe us.
            Some(_) => self.refused |= self.replicas.contains(&from),
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
    /// `before` is what an archived memory was.
    pub(super) fn write(
        &mut self,
        env: &mut Env<'_>,
        call: CallId,
        kind: Kind,
        entry: Entry,
        before: Option<Memory>,
    ) {
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
            before,
            call: Some(call),
            required: required(env.config.memory.quorum, replicas.len()),
            replicas,
            achieved: 0,
            missed: Vec::new(),
            refused: false,
            entry,
        };
        let own = targets.contains(&env.own) || (kind == Kind::Delete && env.config.memory.store);
        if own && self.memory.merge(env, env.own, &write.entry) == Merged::Held {
            write.achieved += 1;
        }
        if kind == Kind::Delete {
            self.memory.drop_hints(env, write.entry.id());
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
        // A deletion counts if no replica insists on the memory: those that are away get it later.
        let enough = match write.kind {
            Kind::Store | Kind::Archive => write.achieved >= write.required,
            Kind::Delete => last && !write.refused,
        };
        if enough && let Some(call) = write.call.take() {
            methods::answer_write(
                env,
                call,
                write.kind,
                &write.entry,
                write.replicas.first().copied(),
                write.achieved,
            );
        }
        if !last {
            return;
        }
        if let Some(call) = write.call.take() {
            methods::answer(env, call, Err(failed(write.required, write.achieved)));
            if write.kind != Kind::Delete {
                self.undo(env, write);
            }
            return;
        }
        for peer in core::mem::take(&mut write.missed) {
            self.memory.keep_hint(env, peer, &write.entry);
        }
    }

    /// What has failed must not be seen: a memory that was not stored goes again, one that was not archived is as before.
    fn undo(&mut self, env: &mut Env<'_>, write: &mut Write) {
        if write.achieved == 0 {
            return;
        }
        let stamp = self.memory.stamp(env);
        let entry = match write.before.take() {
            Some(memory) => {
                let tier = memory.tier.clone();
                Entry::Memory(memory.moved(tier, stamp))
            }
            None => Entry::Tombstone(Tombstone { id: write.entry.id().clone(), stamp }),
        };
        if let Entry::Tombstone(tombstone) = &entry {
            publish(env, tombstone);
        }
        let replicas = self.memory.place.replicas(env, Position::of(entry.id().as_bytes()));
        let deletes = matches!(entry, Entry::Tombstone(_)) && env.config.memory.store;
        if deletes || replicas.contains(&env.own) {
            self.memory.merge(env, env.own, &entry);
        }
        let others: Vec<PeerId> = replicas.into_iter().filter(|peer| *peer != env.own).collect();
        self.begin_op(env, What::Sync, &others, &Ask::Store(entry));
    }
}

/// Tells all storage peers of a deletion; the id says nothing of what was deleted.
fn publish(env: &mut Env<'_>, tombstone: &Tombstone) {
    let d = json!({ "tombstones": [tombstone] }).to_string();
    env.net.publish(&place::topic(), &d);
}
