//! What the simulator sees of tables, stores and cards when it looks: now and then while it runs, and at the end.

use hyperspace_protocol::kad::Kad;
use hyperspace_protocol::time::{Duration, Instant};

use crate::host::{Host, Subject};
use crate::lane::Lane;
use crate::link::LinkState;
use crate::shared::Shared;

/// Time between two looks. Our choice.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// Most peers looked at each time, evenly spread over all: enough for a share within 1 %, and little against the run.
const PEERS: u32 = 2_000;

/// Depths of buckets that are reported.
const DEPTHS: usize = 16;

/// Tables, stores, cards and links of honest peers at the end.
#[derive(Debug, Default)]
pub(crate) struct EndView {
    pub(crate) peers: u64,
    pub(crate) contacts: u64,
    pub(crate) contacts_max: u64,
    pub(crate) hostile: u64,
    pub(crate) by_depth: [u64; DEPTHS],
    pub(crate) records_max: u64,
    pub(crate) records_bytes_max: u64,
    pub(crate) providers_max: u64,
    /// Queries of applications on their way.
    pub(crate) queries: u64,
    /// Topics of capability cards that peers follow, and how many peers follow any.
    pub(crate) card_topics: u64,
    pub(crate) card_peers: u64,
    /// Open links between honest peers that are up, once each.
    pub(crate) links: Vec<(u32, u32)>,
}

impl EndView {
    pub(crate) fn look<P: Subject>(&mut self, shared: &Shared, lane: &Lane<P>) {
        for (local, host) in lane.hosts.iter().enumerate() {
            let (own, Some(machine)) = (lane.base + local as u32, host.actor.honest()) else { continue };
            if !host.is_up() {
                continue;
            }
            self.queries += machine.queries() as u64;
            if let Some(kad) = machine.dht() {
                self.look_at(shared, kad);
            }
            if let Some(cards) = machine.cards().filter(|cards| cards.topics() > 0) {
                self.card_peers += 1;
                self.card_topics += cards.topics() as u64;
            }
            if shared.graph {
                self.links.extend(links(shared, own, host));
            }
        }
    }

    fn look_at(&mut self, shared: &Shared, kad: &Kad<u32>) {
        self.peers += 1;
        let table = kad.table();
        self.contacts += table.len() as u64;
        self.contacts_max = self.contacts_max.max(table.len() as u64);
        for bucket in table.buckets() {
            let hostile = bucket.contacts.iter().filter(|c| !shared.facts[**c as usize].honest);
            self.hostile += hostile.count() as u64;
            if let Some(sum) = self.by_depth.get_mut(bucket.depth) {
                *sum += bucket.contacts.len() as u64;
            }
        }
        if let Some(records) = kad.records() {
            self.records_max = self.records_max.max(records.len() as u64);
            self.records_bytes_max = self.records_bytes_max.max(records.bytes() as u64);
        }
        if let Some(providers) = kad.providers() {
            self.providers_max = self.providers_max.max(providers.len() as u64);
        }
    }

    /// Mean contacts by depth, up to the deepest that anybody has.
    pub(crate) fn occupancy(&self) -> Vec<f64> {
        let used = self.by_depth.iter().rposition(|sum| *sum > 0).map_or(0, |last| last + 1);
        self.by_depth[..used].iter().map(|sum| *sum as f64 / self.peers.max(1) as f64).collect()
    }
}

/// The links of a peer to honest peers with a greater number.
fn links<P: Subject>(shared: &Shared, own: u32, host: &Host<P>) -> Vec<(u32, u32)> {
    let open = host.links.iter().filter(|l| l.state == LinkState::Open && own < l.peer);
    open.filter(|l| shared.facts[l.peer as usize].honest).map(|l| (own, l.peer)).collect()
}

impl<P: Subject> Lane<P> {
    /// Looks at some of the honest peers of this lane.
    pub(crate) fn sample(&mut self, shared: &Shared, now: Instant) {
        let step = shared.peers().div_ceil(PEERS);
        for local in 0..self.hosts.len() {
            let own = self.base + local as u32;
            let host = &self.hosts[local];
            let Some(machine) = host.actor.honest().filter(|_| own.is_multiple_of(step)) else { continue };
            let sums = &mut self.tally.samples;
            sums.peers += 1;
            if !host.is_up() {
                continue;
            }
            sums.up += 1;
            if let Some(kad) = machine.dht() {
                for contact in kad.table().buckets().flat_map(|bucket| bucket.contacts) {
                    sums.contacts += 1;
                    sums.contacts_down += u64::from(!shared.is_up(*contact, now));
                }
            }
            let Some((cards, up_since)) = machine.cards().zip(host.up_since) else { continue };
            let store = cards.tracker().store();
            sums.followers += u64::from(store.followed().next().is_some());
            let settled = shared.config.cards.heartbeat_interval.saturating_mul(2);
            for id in store.followed() {
                let Some(peer) = shared.find(id) else { continue };
                let (held, up) = (store.get(id, now).is_some(), shared.is_up(peer, now));
                sums.cards += u64::from(held);
                sums.cards_stale += u64::from(held && !up);
                let known = now.since(up_since) >= settled && shared.was_up_for(peer, settled, now);
                sums.followed_up += u64::from(known);
                sums.cards_missing += u64::from(known && !held);
            }
        }
    }
}
