//! `memory.search`: every storage peer looks through what it holds, and the best of all are merged.

use std::collections::BTreeMap;

use super::embed::Vector;
use super::held::{Wanted, known};
use super::methods;
use super::record::{Entry, Memory};
use super::wire::{Ask, Like, Tell};
use super::{Op, What};
use crate::primitive::agent::Agent;
use crate::primitive::call::CallId;
use crate::primitive::env::Env;
use crate::primitive::params::{Name, Share, Text};
use crate::time::Instant;

/// What was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) session: Option<Name>,
    pub(super) tier: Option<Text<1, 64>>,
    pub(super) threshold: Share,
    pub(super) limit: usize,
    pub(super) began: Instant,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Searching {
    call: CallId,
    question: Question,
    vector: Vector,
    /// The best so far.
    found: BTreeMap<Name, (f64, Memory)>,
    /// Whether somebody who may alone hold something was not asked, or did not answer.
    partial: bool,
}

impl Searching {
    pub(super) fn told(&mut self, told: Option<Tell>) {
        let Some(told) = told.filter(|told| told.error.is_none()) else {
            self.partial = true;
            return;
        };
        for entry in told.entries.into_iter().take(self.question.limit).filter(Entry::is_sound) {
            if let Entry::Memory(memory) = entry {
                // How similar it is need not be believed: it can be seen.
                let similarity = memory.vector().map_or(0.0, |vector| self.vector.similarity(&vector));
                self.take(similarity, memory);
            }
        }
    }

    fn take(&mut self, similarity: f64, memory: Memory) {
        let question = &self.question;
        let session = question.session.as_deref();
        let own = session.is_none() || memory.session_id.is_some();
        let tier = question.tier.as_ref().is_none_or(|tier| *tier == memory.tier);
        if !(own && tier && memory.found_by(session) && similarity >= question.threshold.get()) {
            return;
        }
        let newer = |(_, held): &(f64, Memory)| held.stamp < memory.stamp;
        if self.found.get(&memory.id).is_none_or(newer) {
            self.found.insert(memory.id.clone(), (similarity, memory));
        }
    }
}

impl Agent {
    /// Searches for memories that are like `vector`.
    pub(super) fn search(&mut self, env: &mut Env<'_>, call: CallId, question: Question, vector: Vector) {
        let wanted = Wanted {
            vector: &vector,
            session: question.session.as_deref(),
            tier: question.tier.as_deref(),
            threshold: question.threshold.get(),
            limit: question.limit,
        };
        let own = self.matches(env, env.own, &wanted);
        let ask = Ask::Search(Like {
            vector: vector.text(),
            session_id: question.session.clone(),
            tier: question.tier.clone(),
            threshold: question.threshold,
            limit: question.limit,
        });
        let (others, complete) = self.memory.place.cover(env, env.config.memory.fan_out);
        // An outside embedder may have taken longer than this before anybody could be asked.
        let deadline = env.now + env.config.memory.search_wait;
        let mut searching = Searching { call, question, vector, found: BTreeMap::new(), partial: !complete };
        for (similarity, memory) in own {
            searching.take(similarity, memory);
        }
        let number = self.begin_op(env, What::Search(searching), &others, &ask);
        if self.memory.ops.contains_key(&number) {
            self.memory.deadlines.insert((deadline, number));
        }
    }

    /// All have answered, or time is up.
    pub(super) fn search_ends(&mut self, env: &mut Env<'_>, number: u64) {
        self.memory.deadlines.retain(|(_, waiting)| *waiting != number);
        let Some(Op { what: What::Search(searching), waiting }) = self.memory.ops.remove(&number) else {
            return;
        };
        let deleted = |id: &Name| matches!(known(env, id), Some(Entry::Tombstone(_)));
        let found = searching.found.into_iter().filter(|(id, _)| !deleted(id));
        let mut found: Vec<(f64, Memory)> = found.map(|(_, found)| found).collect();
        found.sort_by(|(left, a), (right, b)| right.total_cmp(left).then_with(|| a.id.cmp(&b.id)));
        found.truncate(searching.question.limit);
        let took = env.now.since(searching.question.began).as_millis();
        let partial = searching.partial || waiting > 0;
        methods::answer_search(env, searching.call, found, (took, partial), &mut self.memory.place);
    }
}
