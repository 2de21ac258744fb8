//! Turns counters into a report.

use std::collections::BTreeMap;
use std::ops::Range;

use hyperspace_protocol::time::{Duration, Instant};

use crate::digest::Digests;
use crate::graph::Graph;
use crate::host::{Actor, Subject};
use crate::lane::Lane;
use crate::look::EndView;
use crate::report::{
    CallsReport, CardsReport, ChurnReport, Delivery, DhtMessages, DhtReport, Distribution, FrameCounts, Mesh,
    Report, RingReport, Scores, VERIFIED,
};
use crate::shared::Shared;
use crate::tally::{BIN, BINS, KINDS, NET_COUNTS, NetCount, RpcKind, Tally};

/// Honest peers' meshes and scores at one instant.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Mesh degree of every honest peer and topic.
    degrees: Vec<u32>,
    hostile_links: u64,
    honest_scores: Vec<f64>,
    hostile_scores: Vec<f64>,
    pub(crate) end: EndView,
}

impl Snapshot {
    pub(crate) fn look<P: Subject>(&mut self, shared: &Shared, lane: &Lane<P>) {
        self.end.look(shared, lane);
        for host in &lane.hosts {
            let Actor::Honest(machine) = &host.actor else { continue };
            if !host.is_up() {
                continue;
            }
            let is_honest = |slot: u32| shared.facts[host.links[slot as usize].peer as usize].honest;
            for topic in shared.schedule.topics() {
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

/// Honest peers that are up at `at` and, where peers come and go, stay long enough that a message counts for them.
fn honest_up(shared: &Shared, groups: &[(Instant, Range<u32>)], at: Instant) -> u64 {
    let honest = |range: &Range<u32>| shared.facts[range.start as usize].honest;
    let up = groups.iter().filter(|(start, range)| *start <= at && honest(range));
    let there = |range: Range<u32>| match &shared.sessions {
        Some(_) => range.filter(|peer| shared.stays_after(*peer, at)).count() as u64,
        None => u64::from(range.end - range.start),
    };
    up.map(|(_, range)| there(range.clone())).sum()
}

pub(crate) fn summarise(
    shared: &Shared,
    groups: &[(Instant, Range<u32>)],
    tally: &Tally,
    snapshot: &Snapshot,
    digests: &Digests,
    ring: Option<RingReport>,
    now: Instant,
) -> Report {
    let delivery = delivery(shared, groups, tally, now);
    let honest = shared.facts.iter().filter(|facts| facts.honest).count() as u64;
    let per_broadcast = ratio(tally.arrivals, delivery.messages);
    let rmr =
        if honest > 1 && delivery.messages > 0 { per_broadcast / (honest - 1) as f64 - 1.0 } else { 0.0 };
    let machine = tally.counters.named();
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
        churn: shared.sessions.as_ref().map(|_| churn(tally)),
        dht: shared.config.dht.as_ref().map(|_| dht(tally, &snapshot.end)),
        ring,
        cards: shared.schedule.cards.as_ref().map(|_| cards(shared, tally, snapshot, now)),
        calls: shared.schedule.calls.as_ref().map(|_| calls(tally)),
        graph: shared.graph.then(|| graph(shared, &snapshot.end, now)),
        counts,
        sum_t: shared.schedule.is_g8.then_some(tally.sum_t),
        curve: curve(tally, &delivery),
        latency_bins: tally.bins.clone(),
        delivery,
    }
}

fn graph(shared: &Shared, view: &EndView, now: Instant) -> Graph {
    let up = |peer: u32| shared.facts[peer as usize].honest && shared.is_up(peer, now);
    let up: Vec<bool> = (0..shared.peers()).map(up).collect();
    Graph::of(&up, &view.links)
}

fn churn(tally: &Tally) -> ChurnReport {
    let count = |what: NetCount| tally.network[what as usize];
    ChurnReport {
        online: ratio(tally.samples.up, tally.samples.peers),
        joined: count(NetCount::Joined),
        left: count(NetCount::Left),
        crashed: count(NetCount::Crashed),
    }
}

fn dht(tally: &Tally, view: &EndView) -> DhtReport {
    let (queries, samples) = (&tally.queries, &tally.samples);
    let looked = queries.looked();
    let sent = |kind: RpcKind| tally.rpcs[kind as usize];
    let ms = |percent| queries.latency.percentile(percent) / 1_000.0;
    DhtReport {
        queries: queries.asked,
        skipped: queries.skipped,
        refused: queries.refused,
        lost: queries.asked - queries.refused - looked - queries.stores - view.queries,
        unfinished: view.queries,
        looked,
        success: ratio(queries.right, queries.right + queries.wrong),
        moot: queries.moot,
        hops_mean: ratio(queries.hops_sum, looked),
        hops_max: queries.hops_max,
        requests_mean: ratio(queries.requests, looked),
        failures_mean: ratio(queries.failures, looked),
        cut_short: queries.cut_short,
        p50_ms: ms(50),
        p90_ms: ms(90),
        p99_ms: ms(99),
        stores: queries.stores,
        copies_mean: ratio(queries.copies, queries.stores),
        messages: DhtMessages {
            find_node: sent(RpcKind::FindNode),
            get_value: sent(RpcKind::GetValue),
            put_value: sent(RpcKind::PutValue),
            get_providers: sent(RpcKind::GetProviders),
            add_provider: sent(RpcKind::AddProvider),
            card: sent(RpcKind::Card),
            agent: sent(RpcKind::Agent),
            response: sent(RpcKind::Response),
        },
        bytes: tally.rpc_bytes,
        contacts_mean: ratio(view.contacts, view.peers),
        contacts_max: view.contacts_max,
        stale_share: ratio(samples.contacts_down, samples.contacts),
        sybil_share: ratio(view.hostile, view.contacts),
        occupancy: view.occupancy(),
        records_max: view.records_max,
        records_bytes_max: view.records_bytes_max,
        providers_max: view.providers_max,
    }
}

fn cards(shared: &Shared, tally: &Tally, snapshot: &Snapshot, now: Instant) -> CardsReport {
    let (samples, view) = (&tally.samples, &snapshot.end);
    let measured = now.since(shared.warmup).as_secs_f64() * view.card_peers as f64;
    CardsReport {
        held_mean: ratio(samples.cards, samples.followers),
        stale_share: ratio(samples.cards_stale, samples.cards),
        missing_share: ratio(samples.cards_missing, samples.followed_up),
        topics_mean: ratio(view.card_topics, view.card_peers),
        messages_per_s: if measured > 0.0 { tally.card_messages as f64 / measured } else { 0.0 },
    }
}

fn calls(tally: &Tally) -> CallsReport {
    let calls = &tally.calls;
    let ms = |percent| calls.latency.percentile(percent) / 1_000.0;
    CallsReport {
        made: calls.made,
        skipped: calls.skipped,
        answered: calls.answered,
        errors: calls.errors.values().sum(),
        unfinished: calls.made - calls.answered,
        requests: tally.rpcs[RpcKind::Agent as usize],
        p50_ms: ms(50),
        p90_ms: ms(90),
        p99_ms: ms(99),
        by_code: calls.errors.iter().map(|(code, count)| (*code, *count)).collect(),
    }
}

fn delivery(shared: &Shared, groups: &[(Instant, Range<u32>)], tally: &Tally, now: Instant) -> Delivery {
    let measured = |at: Instant| at < now && shared.schedule.is_measured(at);
    let published = shared.schedule.publishes.iter().filter(|p| measured(p.at));
    let up_at_publish = |peer: u32, at: Instant| shared.is_up(peer, at);
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
