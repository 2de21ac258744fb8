//! Turns counters into a report.

use std::collections::BTreeMap;
use std::ops::Range;

use hyperspace_protocol::machine::Count;
use hyperspace_protocol::time::{Duration, Instant};

use crate::digest::Digests;
use crate::lane::{Actor, Lane, Subject};
use crate::report::{Delivery, Distribution, FrameCounts, Mesh, Report, Scores, VERIFIED};
use crate::shared::Shared;
use crate::tally::{BIN, BINS, KINDS, NET_COUNTS, Tally};

/// Honest peers' meshes and scores at one instant.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Mesh degree of every honest peer and topic.
    degrees: Vec<u32>,
    hostile_links: u64,
    honest_scores: Vec<f64>,
    hostile_scores: Vec<f64>,
}

impl Snapshot {
    pub(crate) fn look<P: Subject>(&mut self, shared: &Shared, lane: &Lane<P>) {
        for host in &lane.hosts {
            let Actor::Honest(machine) = &host.actor else { continue };
            if !host.is_up() {
                continue;
            }
            let is_honest = |slot: u32| shared.facts[host.links[slot as usize].peer as usize].honest;
            for topic in shared.topics() {
                let mesh = machine.mesh(topic);
                self.degrees.push(mesh.len() as u32);
                self.hostile_links += mesh.iter().filter(|p| !is_honest(p.0)).count() as u64;
            }
            machine.scores(&shared.config, &mut |peer, score| {
                if is_honest(peer.0) {
                    self.honest_scores.push(score);
                } else {
                    self.hostile_scores.push(score);
                }
            });
        }
    }

    fn mesh(&self) -> Mesh {
        let links: u64 = self.degrees.iter().map(|d| u64::from(*d)).sum();
        Mesh {
            degree_mean: ratio(links, self.degrees.len() as u64),
            degree_min: self.degrees.iter().min().copied().unwrap_or(0).into(),
            degree_max: self.degrees.iter().max().copied().unwrap_or(0).into(),
            sybil_share: ratio(self.hostile_links, links),
        }
    }
}

/// `a / b`, or 0 when there is nothing to divide by.
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

fn distribution(values: &[f64]) -> Distribution {
    if values.is_empty() {
        return Distribution::default();
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
    Distribution {
        count: sorted.len() as u64,
        min: sorted[0],
        p10: at(10),
        p50: at(50),
        p90: at(90),
        max: sorted[sorted.len() - 1],
    }
}

fn frame_counts(n: &[u64; KINDS]) -> FrameCounts {
    let [message, graft, prune, ihave, iwant, idontwant, subscribe] = *n;
    FrameCounts { message, graft, prune, ihave, iwant, idontwant, subscribe }
}

/// Honest peers that are up at `at`.
fn honest_up(shared: &Shared, groups: &[(Instant, Range<u32>)], at: Instant) -> u64 {
    let honest = |range: &Range<u32>| shared.facts[range.start as usize].honest;
    let up = groups.iter().filter(|(start, range)| *start <= at && honest(range));
    up.map(|(_, range)| u64::from(range.end - range.start)).sum()
}

pub(crate) fn summarise(
    shared: &Shared,
    groups: &[(Instant, Range<u32>)],
    tally: &Tally,
    snapshot: &Snapshot,
    digests: &Digests,
    now: Instant,
) -> Report {
    let delivery = delivery(shared, groups, tally, now);
    let honest = honest_up(shared, groups, Instant::FAR_FUTURE);
    let per_broadcast = ratio(tally.arrivals, delivery.messages);
    let rmr =
        if honest > 1 && delivery.messages > 0 { per_broadcast / (honest - 1) as f64 - 1.0 } else { 0.0 };
    let machine = Count::NAMES.iter().map(|(what, name)| (*name, tally.counters.get(*what)));
    let network = NET_COUNTS.iter().map(|(what, name)| (*name, tally.network[*what as usize]));
    let verified = [(VERIFIED, u64::from(shared.messages.verified()))];
    let counts: BTreeMap<_, _> = machine.chain(network).chain(verified).collect();
    Report {
        digest: format!("{:016x}", digests.run),
        peers: shared.peers().into(),
        virtual_s: now.since(Instant::ZERO).as_secs_f64(),
        events: tally.events,
        hops_max: tally.hops_max,
        hops_mean: ratio(tally.hops_sum, tally.carried),
        duplicates_mean: ratio(tally.arrivals.saturating_sub(tally.carried), tally.carried),
        rmr,
        gossip: frame_counts(&tally.frames),
        bytes: frame_counts(&tally.bytes),
        mesh: snapshot.mesh(),
        scores: Scores {
            honest: distribution(&snapshot.honest_scores),
            sybil: distribution(&snapshot.hostile_scores),
        },
        counts,
        sum_t: shared.schedule.is_g8.then_some(tally.sum_t),
        curve: curve(tally, &delivery),
        latency_bins: tally.bins.clone(),
        delivery,
    }
}

fn delivery(shared: &Shared, groups: &[(Instant, Range<u32>)], tally: &Tally, now: Instant) -> Delivery {
    let measured = |at: Instant| at < now && shared.schedule.is_measured(at);
    let published = shared.schedule.publishes.iter().filter(|p| measured(p.at));
    let up_at_publish =
        |peer: u32, at: Instant| groups.iter().any(|(start, range)| range.contains(&peer) && *start <= at);
    let (mut messages, mut expected) = (0, 0);
    for publish in published.filter(|p| up_at_publish(p.peer, p.at)) {
        messages += 1;
        expected += honest_up(shared, groups, publish.at);
    }
    let delivered: u64 = tally.delivered.iter().map(|n| u64::from(*n)).sum();
    let ms = |percent| tally.latency.percentile(percent) / 1_000.0;
    Delivery {
        messages,
        delivered,
        expected,
        ratio: if expected == 0 { 1.0 } else { ratio(delivered, expected) },
        p50_ms: ms(50),
        p90_ms: ms(90),
        p99_ms: ms(99),
        max_ms: Duration::from_nanos(tally.latency_max_ns).as_millis_f64(),
        mean_ms: if tally.carried == 0 {
            0.0
        } else {
            (tally.latency_sum_ns / u128::from(tally.carried)) as f64 / 1e6
        },
    }
}

/// The share of expected deliveries that had arrived by the end of a bin, for bins that add half a percent or more since
/// the last point, and for the last: at most 200 points.
fn curve(tally: &Tally, delivery: &Delivery) -> Vec<(f64, f64)> {
    let own = delivery.delivered - tally.carried.min(delivery.delivered);
    let mut sum = own;
    let mut points: Vec<(f64, f64)> = Vec::new();
    let last = tally.bins[..BINS - 1].iter().rposition(|n| *n > 0).map_or(0, |i| i + 1);
    for (bin, count) in tally.bins[..last].iter().enumerate() {
        sum += count;
        let end = BIN.saturating_mul(bin as u64 + 1).as_millis_f64();
        let share = ratio(sum, delivery.expected);
        let before = points.last().map_or(0.0, |(_, share)| *share);
        if share - before >= 0.005 || bin + 1 == last {
            points.push((end, share));
        }
    }
    points
}
