//! Kademlia as one sans-IO machine: libp2p's DHT (libp2p/specs kad-dht), with S/Kademlia's disjoint paths.
//!
//! [`Kad`] is a child of [`Peer`](crate::peer::Peer): plain calls in, requests, responses and results out through
//! the [`Context`]. A driver
//!
//! 1. calls [`Kad::start`] once, and [`Kad::on_seen`] for each authenticated contact that serves the DHT (libp2p's
//!    server mode, known from identify); one that cannot be reached is [`Kad::on_unreachable`];
//! 2. hands in requests with [`Kad::on_request`] and answers with [`Kad::on_response`] or [`Kad::on_failure`];
//! 3. after each call carries out everything in [`Context::out`], in order;
//! 4. calls [`Kad::handle_timeout`] when the clock reaches [`Kad::poll_timeout`]. Early or twice does nothing.
//!
//! Addresses are the driver's: it keeps those that come with contacts, and dials whom a request is to go to.
//!
//! One file per concern: `key` (places and distances), `bucket` and `table` (who is known), `query` (one lookup path),
//! `paths` (disjoint ones), `client` and `answer` (our own queries), `serve` (requests of others), `records` and `providers` (what
//! is stored for others), `refresh` (what is done from time to time), [`codec`] (to and from protobuf).
//!
//! A machine that never met anybody owns no heap. Nothing a remote does makes it grow past the bounds in [`Config`]
//! ([`CANDIDATES_PER_K`] for lookups); what is dropped is counted in [`Counters`].

mod answer;
mod bucket;
mod client;
pub mod codec;
mod config;
mod context;
mod key;
mod message;
mod paths;
mod providers;
mod query;
mod records;
mod refresh;
mod serve;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bucket::Seen;
pub use client::Error;
pub use config::Config;
pub use context::{Contact, Context, Count, Counters, Services};
pub use key::{Distance, KadKey, Key};
pub use message::{Outcome, Output, QueryId, QueryStats, Record, Request, RequestId, Response};
pub use paths::Lookup;
pub use providers::{Added, Providers};
pub use query::{CANDIDATES_PER_K, ClosestPeers, Found, Limits, Step};
pub use records::{Put, Records};
pub use table::{BucketView, Table};

use std::collections::BTreeMap;

use crate::time::{Duration, Instant};
use client::{Pending, Purpose, Query};
use refresh::{Refresh, Store};

/// One peer's DHT state.
#[derive(Debug)]
pub struct Kad<C> {
    table: Table<C>,
    refresh: Refresh,
    /// See [`Kad::poll_timeout`].
    due: Instant,
    next_query: u32,
    next_request: u32,
    /// Only while there is some.
    work: Option<Box<Work<C>>>,
    /// From the first thing stored.
    store: Option<Box<Store<C>>>,
}

/// Queries and requests on their way.
#[derive(Debug)]
struct Work<C> {
    queries: BTreeMap<QueryId, Query<C>>,
    requests: BTreeMap<RequestId, Pending<C>>,
}

impl<C> Default for Work<C> {
    fn default() -> Self {
        Self { queries: BTreeMap::new(), requests: BTreeMap::new() }
    }
}

impl<C> Default for Kad<C> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            refresh: Refresh::default(),
            due: Instant::FAR_FUTURE,
            next_query: 0,
            next_request: 0,
            work: None,
            store: None,
        }
    }
}

impl<C: Contact> Kad<C> {
    /// The machine is up: sets the first refresh, at a random phase. The bootstrap need not wait for it: it comes soon
    /// after the first contact is seen.
    pub fn start(&mut self, cx: &mut Context<'_, C>) {
        let interval = cx.config.refresh_interval;
        if !interval.is_zero() {
            self.refresh.next = cx.now + Duration::from_nanos(cx.rng.below(interval.as_nanos()));
        }
        self.settle(cx);
    }

    /// A contact that serves the DHT authenticated itself.
    pub fn on_seen(&mut self, cx: &mut Context<'_, C>, contact: C) {
        self.seen(cx, contact);
        self.settle(cx);
    }

    /// A contact could not be reached, apart from any request to it.
    pub fn on_unreachable(&mut self, cx: &mut Context<'_, C>, contact: C) {
        self.table.failed(&cx.own_key(), contact, cx.config, cx.services);
        self.settle(cx);
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_, C>) {
        if cx.now < self.due {
            return;
        }
        let expired: Vec<RequestId> = self
            .work
            .iter()
            .flat_map(|w| &w.requests)
            .filter(|(_, p)| p.deadline <= cx.now)
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            cx.count(Count::RequestTimeout);
            self.fail(cx, id);
        }
        let queries: Vec<QueryId> = self.work.iter().flat_map(|w| w.queries.keys()).copied().collect();
        for id in queries {
            self.query_timeout(cx, id);
        }
        self.settle(cx);
    }

    /// When to call [`Kad::handle_timeout`] next; may change after any other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.due != Instant::FAR_FUTURE).then_some(self.due)
    }

    /// Refreshes the table at once, as after a restart with contacts of old: looks up our own key, then one in every
    /// bucket in use.
    pub fn bootstrap(&mut self, cx: &mut Context<'_, C>) {
        self.refresh.begin();
        self.settle(cx);
    }

    /// The machine after a crash of its process: with its table and stores, without queries and requests. Start it
    /// again, and [`Kad::bootstrap`] it if it shall look around at once.
    pub fn restarted(mut self) -> Self {
        if let Some(store) = &mut self.store {
            store.wake();
        }
        self.table.forget_probes();
        Self { refresh: Refresh::default(), due: Instant::FAR_FUTURE, work: None, ..self }
    }

    /// The machine after a crash that left nothing. Only its numbers go on, so that no late response to its former self
    /// passes for one of now.
    pub fn forgotten(&self) -> Self {
        Self { next_query: self.next_query, next_request: self.next_request, ..Self::default() }
    }

    /// The number that the next query will have.
    pub fn next_query(&self) -> QueryId {
        QueryId(self.next_query)
    }

    /// The routing table.
    pub fn table(&self) -> &Table<C> {
        &self.table
    }

    /// Fills the table directly, without probes, counters or a bootstrap: for drivers that start from a given network.
    pub fn table_mut(&mut self) -> &mut Table<C> {
        &mut self.table
    }

    /// Values stored for others, if any ever were.
    pub fn records(&self) -> Option<&Records> {
        self.store.as_ref().map(|s| &s.records)
    }

    /// Provider records stored for others, if any ever were.
    pub fn providers(&self) -> Option<&Providers<C>> {
        self.store.as_ref().map(|s| &s.providers)
    }

    /// Queries on their way, those of the machine itself included.
    pub fn queries(&self) -> usize {
        self.work.as_ref().map_or(0, |w| w.queries.len())
    }

    /// Requests on their way.
    pub fn requests(&self) -> usize {
        self.work.as_ref().map_or(0, |w| w.requests.len())
    }

    /// Keeps the table, and has the least recently seen contact of a full bucket probed for the sake of a newcomer.
    fn seen(&mut self, cx: &mut Context<'_, C>, contact: C) {
        let (own, first) = (cx.own_key(), self.table.is_empty());
        match self.table.seen(&own, contact, cx.config, cx.services) {
            Seen::Added if first => self.met_somebody(cx),
            Seen::Known | Seen::Added | Seen::Own => {}
            Seen::GroupFull => cx.count(Count::GroupFull),
            Seen::Full => cx.count(Count::BucketFull),
            Seen::Waiting => {
                cx.count(Count::BucketFull);
                let depth = own.shared_bits(&cx.services.key(contact));
                if let Some(oldest) = self.table.start_probe(depth, cx.now, cx.config) {
                    let request = Request::FindNode(cx.services.id(cx.own));
                    self.ask(cx, oldest, request, Purpose::Probe(depth));
                }
            }
        }
    }

    /// Starts what is due, frees what is not needed and sets the next deadline. Every call from outside ends with it.
    fn settle(&mut self, cx: &mut Context<'_, C>) {
        while let Some((goal, origin)) = self.next_upkeep(cx) {
            self.begin(cx, goal, origin);
        }
        if self.work.as_ref().is_some_and(|w| w.queries.is_empty() && w.requests.is_empty()) {
            self.work = None;
        }
        let upkeep = self.upkeep_due();
        let requests = self.work.iter().flat_map(|w| w.requests.values()).map(|p| p.deadline);
        let queries = self.work.iter().flat_map(|w| w.queries.values()).map(|q| q.due(cx.config));
        self.due = requests.chain(queries).min().unwrap_or(Instant::FAR_FUTURE).min(upkeep);
    }
}
