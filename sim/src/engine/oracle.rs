//! The slow, obviously right engine: one ordered map of all events, one ordered set of all timers, one thread.

use std::collections::{BTreeMap, BTreeSet};

use hyperspace_protocol::time::Instant;

use super::{Engine, Tick};
use crate::event::Event;
use crate::host::Subject;
use crate::lane::{LANE, Lane};
use crate::shared::Shared;

/// Time, tie, sender, sequence number, receiver.
type Key = (u64, u32, u32, u32, u32);

/// See the module's text.
pub(crate) struct Oracle<P> {
    lanes: Vec<Lane<P>>,
    events: BTreeMap<Key, Event>,
    timers: BTreeSet<(u64, u32)>,
    tie: u64,
}

impl<P: Subject> Oracle<P> {
    pub(crate) fn new(shared: &Shared, lanes: Vec<Lane<P>>) -> Self {
        let mut oracle =
            Self { lanes, events: BTreeMap::new(), timers: BTreeSet::new(), tie: shared.keys.tie };
        oracle.find_timers();
        oracle
    }

    fn find_timers(&mut self) {
        self.timers.clear();
        for lane in &self.lanes {
            for (local, at) in lane.deadlines.iter().enumerate() {
                self.timers.insert((*at, lane.base + local as u32));
            }
        }
    }

    fn insert(&mut self, event: Event) {
        let (at, tie, src, seq) = event.order(self.tie);
        let before = self.events.insert((at, tie, src, seq, event.dst), event);
        assert!(before.is_none(), "two events with one number");
    }

    /// Runs `act` on a peer's lane and files what came of it.
    fn on_lane(&mut self, peer: u32, act: impl FnOnce(&mut Lane<P>, usize, &mut Vec<Event>)) {
        let lane = &mut self.lanes[(peer / LANE) as usize];
        let local = lane.local(peer);
        let before = lane.deadlines[local];
        let mut new = Vec::new();
        act(lane, local, &mut new);
        let after = lane.deadlines[local];
        if after != before {
            self.timers.remove(&(before, peer));
            self.timers.insert((after, peer));
        }
        new.into_iter().for_each(|event| self.insert(event));
    }
}

impl<P: Subject> Engine<P> for Oracle<P> {
    fn schedule(&mut self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.insert(event));
    }

    fn advance(&mut self, shared: &Shared, until: Instant, tick: Tick<'_>) {
        let until = until.as_nanos();
        let mut steps = 0u64;
        loop {
            let timer = self.timers.first().copied().unwrap_or((u64::MAX, 0));
            let event_at = self.events.first_key_value().map_or(u64::MAX, |(key, _)| key.0);
            if timer.0.min(event_at) >= until {
                break;
            }
            if timer.0 <= event_at {
                let (at, peer) = timer;
                self.on_lane(peer, |lane, local, new| lane.timeout(shared, local, at, new));
            } else {
                let (_, event) = self.events.pop_first().expect("just seen");
                self.on_lane(event.dst, |lane, _, new| lane.deliver(shared, event, new));
            }
            steps += 1;
            if steps.is_multiple_of(1 << 16) {
                let (events, delivered) = totals(&self.lanes);
                tick(Instant::from_nanos(timer.0.min(event_at)), events, delivered);
            }
        }
    }

    fn pending(&mut self) -> usize {
        self.events.len()
    }

    fn each_lane(&mut self, each: &mut dyn FnMut(&mut Lane<P>, &mut Vec<Event>)) {
        let mut new = Vec::new();
        self.lanes.iter_mut().for_each(|lane| each(lane, &mut new));
        self.find_timers();
        self.schedule(new);
    }
}

/// Events and first deliveries of all lanes so far.
fn totals<P>(lanes: &[Lane<P>]) -> (u64, u64) {
    lanes.iter().fold((0, 0), |(e, d), lane| (e + lane.tally.events, d + lane.tally.carried))
}
