//! Keys on the hash ring of those who are up (specification 4.4): how evenly they lie, and how many copies move when
//! somebody comes or goes.
//!
//! Worked out from the sessions alone, once a run is over: every peer is taken to know who is up, so no packet is sent.

use std::ops::Range;

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::ring::{KeyRange, Moved, Position, Ring, Spread, advice};
use hyperspace_protocol::time::Instant;

use crate::churn::{Change, Sessions};
use crate::report::RingReport;
use crate::scenario::{RingWorkload, Scenario, Workload};

/// What moved so far.
#[derive(Debug, Default)]
pub(crate) struct RingTally {
    changes: u64,
    /// Copies that went to a new holder.
    moved: u64,
    /// Of these, copies that neither came to who joined nor from who left.
    needless: u64,
    /// The least that had to move, on average over where tokens may lie.
    minimum: f64,
}

/// The ring workload of a scenario, of which there is at most one, as it went until `now`.
pub(crate) fn ring(
    scenario: &RingWorkload,
    peers: Range<u32>,
    ids: &[PeerId],
    sessions: Option<&Sessions>,
    now: Instant,
) -> RingReport {
    let workload = scenario;
    let id = |peer: u32| ids[peer as usize];
    let mut positions: Vec<Position> =
        (0..workload.keys).map(|key| Position::of(format!("mem-{key:08}"))).collect();
    positions.sort_unstable();
    let replicas = workload.replicas as usize;
    let changes = sessions.map(Sessions::changes).unwrap_or_default();
    let mine = changes.into_iter().filter(|(at, peer, _)| peers.contains(peer) && *at <= now);
    // Those who are up from the first instant on make the ring that the rest joins.
    let (first, later): (Vec<_>, Vec<_>) = mine.partition(|(at, _, _)| *at == Instant::ZERO);
    let start: Vec<u32> = match sessions {
        Some(_) => first.into_iter().map(|(_, peer, _)| peer).collect(),
        None => peers.clone().collect(),
    };
    let mut ring = Ring::build(workload.vnodes, start.iter().map(|peer| id(*peer))).expect("peers differ");
    let mut tally = RingTally::default();
    for (_, peer, change) in later {
        let member = id(peer);
        let (moved, size) = match change {
            Change::Up => (ring.join_moving(member, replicas), ring.len()),
            Change::Leave | Change::Crash => {
                let size = ring.len();
                (ring.leave_moving(&member, replicas), size)
            }
        };
        tally.count(&moved.expect("sessions of a peer do not overlap"), &member, &positions);
        tally.minimum += positions.len() as f64 * replicas.min(size) as f64 / size.max(1) as f64;
    }
    tally.report(workload, &ring, &positions)
}

impl RingTally {
    fn count(&mut self, moved: &[Moved<PeerId>], member: &PeerId, positions: &[Position]) {
        self.changes += 1;
        for change in moved.iter().filter(|change| change.to.is_some()) {
            let keys = keys_in(positions, change.range);
            self.moved += keys;
            if change.to != Some(*member) && change.from != Some(*member) {
                self.needless += keys;
            }
        }
    }

    fn report(&self, workload: &RingWorkload, ring: &Ring<PeerId>, positions: &[Position]) -> RingReport {
        let mut held: std::collections::BTreeMap<&PeerId, u128> = ring.members().map(|m| (m, 0)).collect();
        for position in positions {
            for holder in ring.replicas(*position, workload.replicas as usize) {
                *held.get_mut(holder).expect("a holder is a member") += 1;
            }
        }
        let keys = Spread::of(held.into_values());
        let shares = Spread::of(ring.load(1).into_iter().map(|(_, width)| width));
        RingReport {
            members: ring.len() as u64,
            tokens: ring.tokens() as u64,
            changes: self.changes,
            moved: self.moved,
            needless: self.needless,
            moved_over_minimum: if self.minimum > 0.0 { self.moved as f64 / self.minimum } else { 0.0 },
            idle: shares.idle as u64,
            share_cv: shares.cv,
            share_max_over_mean: shares.max_over_mean,
            keys_cv: keys.cv,
            keys_max_over_mean: keys.max_over_mean,
        }
    }
}

fn keys_in(positions: &[Position], range: KeyRange) -> u64 {
    let upto = |end: Position| positions.partition_point(|p| *p <= end) as u64;
    let (after, upto, all) = (upto(range.after), upto(range.upto), positions.len() as u64);
    match range.after < range.upto {
        true => upto - after,
        // Around the end of the ring, or all of it.
        false => all - after + upto,
    }
}

/// What is to be said about a scenario's ring before it runs, from its settings alone.
pub fn ring_advice(scenario: &Scenario) -> Vec<String> {
    let of = |workload: &Workload| match workload {
        Workload::Ring(ring) => {
            let peers = scenario.peers_of(ring.group).len();
            let said = advice(ring.vnodes, peers, ring.replicas as usize);
            said.into_iter().map(|advice| advice.to_string()).collect()
        }
        Workload::Publish { .. }
        | Workload::G8 { .. }
        | Workload::Lookups(_)
        | Workload::Records(_)
        | Workload::Cards(_)
        | Workload::Call(_) => Vec::new(),
    };
    scenario.workloads.iter().flat_map(of).collect()
}
