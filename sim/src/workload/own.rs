//! Places in the message table for what machines publish by themselves: capability cards, and what primitives gossip.

use std::ops::Range;

use crate::scenario::{Scenario, Workload};

/// Messages about cards that one peer may make in one interval of heartbeats: a heartbeat, its card, and both once more
/// after a restart.
const CARDS: u32 = 4;

/// Messages of primitives that one peer may make in such an interval: about one a second at the default of 30 s. Enough for
/// an agent, and little in what peers remember of messages, where every place counts.
const AGENT: u32 = 32;

/// A fixed number of places for each peer and interval of heartbeats, so that a message's place does not depend on the
/// order in which peers run. What is beyond is not published.
#[derive(Debug)]
pub(super) struct OwnPlaces {
    peers: Range<u32>,
    each: u32,
    /// Intervals of heartbeats in the run.
    intervals: u32,
}

impl OwnPlaces {
    /// `None` if no machine publishes anything by itself.
    pub(super) fn new(scenario: &Scenario) -> Option<Self> {
        let cards = scenario.workloads.iter().find_map(|workload| match workload {
            Workload::Cards(cards) => Some(scenario.peers_of(cards.group)),
            Workload::Publish { .. }
            | Workload::G8 { .. }
            | Workload::Lookups(_)
            | Workload::Records(_)
            | Workload::Ring(_)
            | Workload::Call(_) => None,
        });
        let (peers, each) = match (calls(scenario), cards) {
            (false, None) => return None,
            (false, Some(peers)) => (peers, CARDS),
            // Any peer's primitives may answer what others gossip.
            (true, _) => (0..scenario.peers(), CARDS + AGENT),
        };
        Some(Self { peers, each, intervals: intervals(scenario) as u32 })
    }

    /// Places in all.
    pub(super) fn count(&self) -> u32 {
        let all = u64::from(self.intervals) * u64::from(self.each) * self.peers.len() as u64;
        u32::try_from(all).unwrap_or(u32::MAX / 2)
    }

    /// The place of a peer's `made`-th own message of an interval: rising with time, so that what peers remember of them
    /// lies together.
    pub(super) fn place(&self, peer: u32, interval: u32, made: u32) -> Option<u32> {
        if !self.peers.contains(&peer) || made >= self.each || interval >= self.intervals {
            return None;
        }
        let peers = self.peers.end - self.peers.start;
        Some((interval * peers + (peer - self.peers.start)) * self.each + made)
    }
}

fn calls(scenario: &Scenario) -> bool {
    scenario.workloads.iter().any(|workload| workload.calls().is_some())
}

fn intervals(scenario: &Scenario) -> u64 {
    scenario.run.duration.as_nanos() / scenario.cards.heartbeat_interval.as_nanos().max(1) + 1
}

/// How many places the primitives' messages take.
pub(crate) fn agent_places(scenario: &Scenario) -> u64 {
    let each = if calls(scenario) { u64::from(CARDS + AGENT) } else { 0 };
    u64::from(scenario.peers()).saturating_mul(intervals(scenario)).saturating_mul(each)
}
