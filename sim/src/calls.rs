//! Calls of the primitives' methods: a workload's client calls, and what the primitives want of it and the world outside.

use std::collections::BTreeMap;

use hyperspace_protocol::machine::Input;
use hyperspace_protocol::primitive::{AgentInput, AgentOutput, Answer, Executed};
use hyperspace_protocol::time::Instant;

use crate::event::mix;
use crate::host::Subject;
use crate::lane::{Lane, Sink};
use crate::records::text;
use crate::shared::Shared;
use crate::tally::Histogram;

/// What came of the calls.
#[derive(Debug, Default)]
pub(crate) struct CallTally {
    pub(crate) made: u64,
    pub(crate) skipped: u64,
    pub(crate) answered: u64,
    /// Of these, errors by code.
    pub(crate) errors: BTreeMap<i32, u64>,
    /// In microseconds.
    pub(crate) latency: Histogram,
    /// Sum of the hashes of the answers, for the digest.
    pub(crate) answers: u64,
}

impl CallTally {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.made += other.made;
        self.skipped += other.skipped;
        self.answered += other.answered;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.answers = self.answers.wrapping_add(other.answers);
    }
}

impl<P: Subject> Lane<P> {
    /// The workload's call of this index is made here.
    pub(crate) fn call_method(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        index: u32,
        sink: &mut impl Sink,
    ) {
        let Some(calls) = &shared.schedule.calls else { return };
        if !self.hosts[local].is_up() {
            self.tally.calls.skipped += 1;
            return;
        }
        self.tally.calls.made += 1;
        let call = AgentInput::Call(calls.call(index));
        self.input(shared, local, now, Input::Agent(Box::new(call)), sink);
    }

    /// In a run whose workloads call methods, every honest peer has an agent from when it comes up, so that it takes part
    /// in what others call for.
    pub(crate) fn start_agent(&mut self, shared: &Shared, local: usize, now: Instant, sink: &mut impl Sink) {
        if shared.schedule.calls.is_some() && self.hosts[local].is_honest() {
            self.input(shared, local, now, Input::Agent(Box::new(AgentInput::Start)), sink);
        }
    }

    /// Takes what the primitives say, and gives back what the peer is to be told of it: there is neither a client that
    /// carries out tools nor anything outside the network.
    pub(crate) fn agent_says(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        output: AgentOutput,
    ) -> Option<AgentInput> {
        match output {
            AgentOutput::Answer(answer) => {
                if self.hosts[local].is_honest() {
                    self.count_answer(shared, now, &answer);
                }
                None
            }
            AgentOutput::Execute(execute) => Some(AgentInput::Executed(execute.id, Executed::Unavailable)),
            AgentOutput::Fetch(fetch) => {
                Some(AgentInput::Fetched(fetch.id, Err("a simulated peer has no outside".into())))
            }
        }
    }

    fn count_answer(&mut self, shared: &Shared, now: Instant, answer: &Answer) {
        let Some(calls) = &shared.schedule.calls else { return };
        let Some(planned) = calls.planned.get(answer.id.0 as usize) else { return };
        let tally = &mut self.tally.calls;
        tally.answered += 1;
        // From when the client called, so that what it waited for a busy peer counts.
        tally.latency.add(now.since(planned.at).as_micros());
        let what = match &answer.result {
            Ok(result) => text(result.as_bytes()),
            Err(error) => {
                *tally.errors.entry(error.code.number()).or_default() += 1;
                text(error.message.as_bytes()).rotate_left(1)
            }
        };
        tally.answers = tally.answers.wrapping_add(mix(mix(answer.id.0) ^ now.as_nanos() ^ what));
    }
}
