//! Which methods of the primitives are called, where and when.

use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::primitive::{Call, CallId, Caller, ClientId, Tier};
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::Instant;

use super::queries::{any, steps};
use crate::churn::Sessions;
use crate::scenario::{Calls, Scenario, Workload};

/// One call to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlannedCall {
    pub(crate) at: Instant,
    pub(crate) peer: u32,
    /// Index of the workload among those that call.
    workload: u16,
    /// The how-manieth of its workload.
    number: u32,
}

/// All calls of a run, in the order of their time, and the topics that they may lead to.
#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) planned: Vec<PlannedCall>,
    workloads: Vec<Calls>,
    /// A range of the run's topics.
    first: u32,
    count: u32,
}

impl CallPlan {
    /// Adds its topics to those that there are already. `None` if no workload calls anything.
    pub(super) fn new(
        scenario: &Scenario,
        sessions: Option<&Sessions>,
        names: &mut Vec<String>,
    ) -> Option<Self> {
        let workloads: Vec<Calls> = scenario.workloads.iter().filter_map(Workload::calls).cloned().collect();
        if workloads.is_empty() {
            return None;
        }
        let first = names.len() as u32;
        names.extend(scenario.agent_topics());
        let mut planned = Vec::new();
        for (index, calls) in workloads.iter().enumerate() {
            let span = scenario.peers_of(calls.group);
            let mut draws = Stream::new(purpose_key(scenario.run.seed, "calls"), index as u64);
            let times = steps(calls.start, calls.interval, calls.stop, calls.count);
            planned.extend(times.zip(0..).map(|(at, number)| {
                let peer = any(&span, sessions, at, &mut draws);
                PlannedCall { at, peer, workload: index as u16, number }
            }));
        }
        planned.sort_by_key(|call| call.at);
        Some(Self { planned, workloads, first, count: names.len() as u32 - first })
    }

    /// The call of this index, as the node's owner makes it.
    pub(crate) fn call(&self, index: u32) -> Call {
        let planned = &self.planned[index as usize];
        let calls = &self.workloads[usize::from(planned.workload)];
        Call {
            id: CallId(index.into()),
            caller: Caller { client: ClientId(0), tier: Tier::Operator, key: 0 },
            method: calls.method.as_str().into(),
            params: Some(calls.params_of(planned.number, planned.peer).into()),
        }
    }

    /// The topics that primitives may use.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicRef> + use<> {
        (self.first..self.first + self.count).map(TopicRef)
    }

    /// Whether primitives may use a topic.
    pub(crate) const fn holds(&self, topic: TopicRef) -> bool {
        self.first <= topic.0 && topic.0 < self.first + self.count
    }
}
