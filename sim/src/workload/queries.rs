//! What is asked of the DHT: random lookups, and records that are stored and then looked up.

use std::ops::Range;

use hyperspace_protocol::kad::Key;
use hyperspace_protocol::request::Query;
use hyperspace_protocol::rng::{Stream, philox, purpose_key};
use hyperspace_protocol::time::{Duration, Instant};

use super::someone_up;
use crate::churn::Sessions;
use crate::net::sample_distinct;
use crate::scenario::{Lookups, RecordKind, Records, Scenario, Workload};
use crate::services::right_value;

/// One question, or one record to store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) at: Instant,
    pub(crate) peer: u32,
    what: What,
    /// Index of the workload.
    workload: u16,
    /// Which key of the workload.
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Find,
    Store(RecordKind),
    Ask(RecordKind),
}

/// All of a run, in the order of their time.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    pub(crate) planned: Vec<Planned>,
    key: u64,
    /// By workload: bytes of a value, and who provides each key.
    records: Vec<(u32, Vec<Vec<u32>>)>,
}

impl Queries {
    pub(super) fn new(scenario: &Scenario, sessions: Option<&Sessions>) -> Self {
        let mut queries = Self { key: purpose_key(scenario.run.seed, "query"), ..Self::default() };
        for (index, workload) in scenario.workloads.iter().enumerate() {
            let (size, providers) = match workload {
                Workload::Lookups(lookups) => {
                    queries.lookups(scenario, index, lookups, sessions);
                    (0, Vec::new())
                }
                Workload::Records(records) => {
                    (records.size, queries.records(scenario, index, records, sessions))
                }
                Workload::Publish { .. }
                | Workload::G8 { .. }
                | Workload::Cards(_)
                | Workload::Ring(_)
                | Workload::Call(_) => (0, Vec::new()),
            };
            queries.records.push((size, providers));
        }
        queries.planned.sort_by_key(|planned| planned.at);
        queries
    }

    fn lookups(&mut self, scenario: &Scenario, index: usize, lookups: &Lookups, sessions: Option<&Sessions>) {
        let span = scenario.peers_of(lookups.group);
        let mut draws = Stream::new(purpose_key(scenario.run.seed, "lookups"), index as u64);
        let times = steps(lookups.start, lookups.interval, lookups.stop, lookups.count);
        for (number, at) in times.enumerate() {
            let peer = any(&span, sessions, at, &mut draws);
            self.plan(at, peer, What::Find, index, number as u32);
        }
    }

    /// Returns who stores each key.
    fn records(
        &mut self,
        scenario: &Scenario,
        index: usize,
        records: &Records,
        sessions: Option<&Sessions>,
    ) -> Vec<Vec<u32>> {
        let span = scenario.peers_of(records.group);
        let mut draws = Stream::new(purpose_key(scenario.run.seed, "records"), index as u64);
        let time = records.ask.saturating_sub(records.start).as_nanos();
        let mut providers = Vec::new();
        for number in 0..records.keys {
            let offset = (u128::from(time) * u128::from(number) / u128::from(records.keys.max(1))) as u64;
            let at = Instant::ZERO + records.start + Duration::from_nanos(offset);
            let mut chosen: Vec<u32> = match records.copies {
                1 => vec![any(&span, sessions, at, &mut draws)],
                n => {
                    let places = sample_distinct(&mut draws, span.end - span.start, n, None);
                    places.into_iter().map(|place| span.start + place).collect()
                }
            };
            chosen.sort_unstable();
            for peer in &chosen {
                self.plan(at, *peer, What::Store(records.kind), index, number);
            }
            providers.push(chosen);
        }
        for at in steps(records.ask, records.interval, records.stop, 0) {
            let peer = any(&span, sessions, at, &mut draws);
            let number = draws.below(u64::from(records.keys.max(1))) as u32;
            self.plan(at, peer, What::Ask(records.kind), index, number);
        }
        providers
    }

    fn plan(&mut self, at: Instant, peer: u32, what: What, workload: usize, number: u32) {
        self.planned.push(Planned { at, peer, what, workload: workload as u16, number });
    }

    /// What the query of this index is about.
    pub(crate) fn key(&self, index: u32) -> Key {
        let planned = &self.planned[index as usize];
        let place = u64::from(planned.workload) << 32 | u64::from(planned.number);
        let [a, b] = philox([place, 0], self.key);
        Key::new(&[a.to_be_bytes(), b.to_be_bytes()].concat())
    }

    /// The query of this index.
    pub(crate) fn query(&self, index: u32) -> Query {
        let (planned, key) = (&self.planned[index as usize], self.key(index));
        match planned.what {
            What::Find => Query::FindNode(key),
            What::Store(RecordKind::Providers) => Query::Provide(key),
            What::Ask(RecordKind::Providers) => Query::FindProviders(key),
            What::Store(RecordKind::Values) => {
                let value = right_value(&key, self.records[usize::from(planned.workload)].0 as usize);
                Query::PutValue(key, value)
            }
            What::Ask(RecordKind::Values) => Query::GetValue(key),
        }
    }

    /// Who provides what the query of this index is about.
    pub(crate) fn providers(&self, index: u32) -> &[u32] {
        let planned = &self.planned[index as usize];
        &self.records[usize::from(planned.workload)].1[planned.number as usize]
    }
}

pub(super) fn any(span: &Range<u32>, sessions: Option<&Sessions>, at: Instant, draws: &mut Stream) -> u32 {
    let count = u64::from(span.end - span.start);
    span.start + someone_up(sessions, span.start, at, || draws.below(count) as u32)
}

/// Times from `start` to before `stop`, at most `limit` of them unless that is 0.
pub(super) fn steps(
    start: Duration,
    interval: Duration,
    stop: Duration,
    limit: u32,
) -> impl Iterator<Item = Instant> {
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let mut at = start;
    std::iter::from_fn(move || {
        let now = at;
        at = at + interval;
        (now < stop).then_some(Instant::ZERO + now)
    })
    .take(limit)
}
