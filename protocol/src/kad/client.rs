//! Our own queries: starting them, taking what comes back, and what follows when a lookup has converged.

use super::context::{Contact, Context, Count};
use super::message::{Outcome, Output, QueryId, QueryStats, Record, Request, RequestId};
use super::paths::Lookup;
use super::query::{Limits, Step};
use super::refresh::{Origin, after};
use super::{Config, Kad, KadKey, Key};
use crate::time::Instant;

/// Why a query was not started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// [`Config::queries_max`] are on their way.
    #[error("{0} queries are on their way already")]
    Busy(usize),
    /// The value is longer than [`Config::value_bytes_max`].
    #[error("a value of {0} bytes is too long")]
    TooLong(usize),
    /// [`Config::own_max`] own values or provided keys are kept already.
    #[error("{0} of our own are kept already")]
    TooMany(usize),
}

/// What a query is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    FindNode(Key),
    GetValue(Key),
    PutValue(Record),
    GetProviders(Key),
    Provide(Key),
}

impl Goal {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::FindNode(key) | Self::GetValue(key) | Self::GetProviders(key) | Self::Provide(key) => key,
            Self::PutValue(record) => &record.key,
        }
    }

    /// What its lookup asks for.
    fn request<C>(&self) -> Request<C> {
        let key = self.key().clone();
        match self {
            Self::GetValue(_) => Request::GetValue(key),
            Self::GetProviders(_) => Request::GetProviders(key),
            Self::FindNode(_) | Self::PutValue(_) | Self::Provide(_) => Request::FindNode(key),
        }
    }
}

/// A query on its way.
#[derive(Debug)]
pub(super) struct Query<C> {
    pub(super) goal: Goal,
    pub(super) origin: Origin,
    pub(super) lookup: Lookup<C>,
    pub(super) started: Instant,
    pub(super) requests: u32,
    pub(super) failures: u32,
    pub(super) best: Option<Record>,
    /// Who answered with a value: with the best one, and with another.
    pub(super) holders: Vec<C>,
    pub(super) outdated: Vec<C>,
    /// Answers with a value, our own included.
    pub(super) answers: usize,
    pub(super) providers: Vec<C>,
    /// Peers the value was sent to, how many of them confirmed it, and how many may still.
    pub(super) sent: usize,
    pub(super) confirmed: usize,
    pub(super) open: usize,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Pending<C> {
    pub(super) to: C,
    pub(super) purpose: Purpose,
    /// [`Instant::FAR_FUTURE`] for those of lookups, which have timers of their own.
    pub(super) deadline: Instant,
    /// Whether such a timer has run out.
    pub(super) late: bool,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A step of a query's lookup.
    Step(QueryId),
    /// A copy of a query's value.
    Store(QueryId),
    /// What was a step of a lookup that has ended since. Tells the table who is there.
    Stray,
    /// A copy for a peer that had no value, or an old one. Nobody waits for it.
    Correct,
    /// Whether the least recently seen contact of the bucket at this depth still answers.
    Probe(usize),
}

impl<C: Contact> Query<C> {
    /// When it has something to do although nobody answered.
    pub(super) fn due(&self, config: &Config) -> Instant {
        let end = self.started + config.query_timeout;
        self.lookup.poll_timeout().map_or(end, |at| at.min(end))
    }
}

impl<C: Contact> Kad<C> {
    /// Looks up the contacts closest to a key; ends with [`Outcome::Nodes`].
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn find_node(&mut self, cx: &mut Context<'_, C>, key: Key) -> Result<QueryId, Error> {
        self.query(cx, Goal::FindNode(key))
    }

    /// Looks up the value under a key; ends with [`Outcome::Value`]. Peers that had an older one, and those closest to
    /// the key that had none, get the best.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn get_value(&mut self, cx: &mut Context<'_, C>, key: Key) -> Result<QueryId, Error> {
        self.query(cx, Goal::GetValue(key))
    }

    /// Looks up who provides a key; ends with [`Outcome::Providers`].
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn get_providers(&mut self, cx: &mut Context<'_, C>, key: Key) -> Result<QueryId, Error> {
        self.query(cx, Goal::GetProviders(key))
    }

    /// Puts a value at the `k` closest peers, now and every [`Config::republish_interval`] until
    /// [`Kad::remove_value`]; ends (the first time) with [`Outcome::Stored`].
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::TooLong`] or [`Error::TooMany`].
    pub fn put_value(&mut self, cx: &mut Context<'_, C>, key: Key, value: &[u8]) -> Result<QueryId, Error> {
        let record = own_record(cx.config, key, value)?;
        self.has_room(cx.config)?;
        self.remember_value(cx, &record, after(cx.now, cx.config.republish_interval))?;
        self.query(cx, Goal::PutValue(record))
    }

    /// Puts a value as [`Kad::put_value`] does, but as part of the machine's own upkeep: one after the other, and as
    /// soon as there is anybody to put it at. Nobody is told of its end, and [`Config::queries_max`] is not touched.
    ///
    /// # Errors
    /// [`Error::TooLong`] or [`Error::TooMany`].
    pub fn keep_value(&mut self, cx: &mut Context<'_, C>, key: Key, value: &[u8]) -> Result<(), Error> {
        let record = own_record(cx.config, key, value)?;
        self.remember_value(cx, &record, cx.now)?;
        self.settle(cx);
        Ok(())
    }

    /// Tells the `k` closest peers that we provide a key, now and every [`Config::reprovide_interval`] until
    /// [`Kad::stop_providing`]; ends (the first time) with [`Outcome::Provided`].
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::TooMany`].
    pub fn provide(&mut self, cx: &mut Context<'_, C>, key: Key) -> Result<QueryId, Error> {
        self.has_room(cx.config)?;
        self.remember_provided(cx, &key, after(cx.now, cx.config.reprovide_interval))?;
        self.query(cx, Goal::Provide(key))
    }

    /// Provides a key as [`Kad::provide`] does, but as [`Kad::keep_value`] puts a value.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn keep_providing(&mut self, cx: &mut Context<'_, C>, key: &Key) -> Result<(), Error> {
        self.remember_provided(cx, key, cx.now)?;
        self.settle(cx);
        Ok(())
    }

    fn has_room(&self, config: &Config) -> Result<(), Error> {
        let queries = self.work.iter().flat_map(|w| w.queries.values());
        match queries.filter(|q| q.origin == Origin::Application).count() {
            n if n >= config.queries_max => Err(Error::Busy(n)),
            _ => Ok(()),
        }
    }

    fn query(&mut self, cx: &mut Context<'_, C>, goal: Goal) -> Result<QueryId, Error> {
        self.has_room(cx.config)?;
        let id = self.begin(cx, goal, Origin::Application);
        self.settle(cx);
        Ok(id)
    }

    /// Starts a query from the `k` closest contacts in the table.
    pub(super) fn begin(&mut self, cx: &mut Context<'_, C>, goal: Goal, origin: Origin) -> QueryId {
        let id = QueryId(self.next_query);
        self.next_query = self.next_query.wrapping_add(1);
        let target = *goal.key().place();
        let closest = self.table.closest(&cx.own_key(), &target, cx.config.k, None, true, cx.services);
        let seeds: Vec<(C, KadKey)> = closest.into_iter().map(|c| (c, cx.services.key(c))).collect();
        let lookup = Lookup::new(target, cx.config.paths, Limits::of(cx.config), &seeds);
        let mut query = Query {
            goal,
            origin,
            lookup,
            started: cx.now,
            requests: 0,
            failures: 0,
            best: None,
            holders: Vec::new(),
            outdated: Vec::new(),
            answers: 0,
            providers: Vec::new(),
            sent: 0,
            confirmed: 0,
            open: 0,
        };
        match &query.goal {
            Goal::GetValue(key) => {
                query.best = self.local_value(cx, key);
                query.answers = usize::from(query.best.is_some());
            }
            Goal::GetProviders(key) => {
                query.providers = self.local_providers(cx, key);
                query.providers.truncate(cx.config.providers_enough);
            }
            Goal::FindNode(_) | Goal::PutValue(_) | Goal::Provide(_) => {}
        }
        if query.has_enough(cx.config) {
            query.lookup.finish();
        }
        self.drive(cx, id, query);
        id
    }

    /// Takes a lookup as far as it goes without an answer.
    pub(super) fn drive(&mut self, cx: &mut Context<'_, C>, id: QueryId, mut query: Query<C>) {
        let services = cx.services;
        loop {
            match query.lookup.next(cx.now, |c| services.key(c)) {
                Step::Ask(contact) => {
                    query.requests += 1;
                    self.ask(cx, contact, query.goal.request(), Purpose::Step(id));
                }
                Step::Late(contact) => {
                    query.failures += 1;
                    cx.count(Count::RequestTimeout);
                    self.table.failed(&cx.own_key(), contact, cx.config, services);
                    let requests = self.work.iter_mut().flat_map(|w| w.requests.values_mut());
                    let step = |p: &&mut Pending<C>| p.purpose == Purpose::Step(id) && p.to == contact;
                    requests.filter(step).for_each(|p| p.late = true);
                }
                Step::Wait => {
                    self.work.get_or_insert_default().queries.insert(id, query);
                    return;
                }
                Step::Done => return self.converged(cx, id, query),
            }
        }
    }

    /// The lookup is over: stores what is to be stored, and ends the query unless somebody has yet to confirm that.
    fn converged(&mut self, cx: &mut Context<'_, C>, id: QueryId, mut query: Query<C>) {
        self.release(cx, id);
        let closest = query.lookup.closest();
        match &query.goal {
            Goal::PutValue(record) => {
                for found in &closest {
                    self.ask(cx, found.contact, Request::PutValue(record.clone()), Purpose::Store(id));
                }
                (query.sent, query.open) = (closest.len(), closest.len());
                if query.open > 0 {
                    self.work.get_or_insert_default().queries.insert(id, query);
                    return;
                }
            }
            Goal::Provide(key) => {
                for found in &closest {
                    let request = Request::AddProvider { key: key.clone(), providers: vec![cx.own] };
                    let id = self.next_request_id();
                    cx.send(found.contact, id, request);
                }
                query.sent = closest.len();
            }
            Goal::GetValue(_) => {
                if let Some(best) = &query.best {
                    let had = |c: &C| query.holders.contains(c) || query.outdated.contains(c);
                    let without = closest.iter().map(|f| f.contact).filter(|c| !had(c));
                    let without = without.take(cx.config.cache_peers);
                    for contact in query.outdated.iter().copied().chain(without) {
                        self.ask(cx, contact, Request::PutValue(best.clone()), Purpose::Correct);
                    }
                }
            }
            Goal::FindNode(_) | Goal::GetProviders(_) => {}
        }
        self.end(cx, id, query, false);
    }

    /// Ends a query that is no longer among those on their way.
    pub(super) fn end(&mut self, cx: &mut Context<'_, C>, id: QueryId, query: Query<C>, timed_out: bool) {
        self.release(cx, id);
        let exhausted = query.lookup.is_exhausted();
        if timed_out {
            cx.count(Count::QueryTimeout);
        } else if exhausted {
            cx.count(Count::QueryExhausted);
        }
        self.upkeep_done(query.origin);
        if query.origin != Origin::Application {
            return;
        }
        let closest = query.lookup.closest();
        let stats = QueryStats {
            requests: query.requests,
            failures: query.failures,
            hops: closest.first().map_or(0, |f| f.hops),
            elapsed: cx.now.since(query.started),
            complete: !timed_out && !exhausted,
        };
        let outcome = match query.goal {
            Goal::FindNode(_) => Outcome::Nodes(closest.into_iter().map(|f| f.contact).collect()),
            Goal::GetValue(_) => Outcome::Value(query.best),
            Goal::PutValue(_) => Outcome::Stored { sent: query.sent, confirmed: query.confirmed },
            Goal::GetProviders(_) => Outcome::Providers(query.providers),
            Goal::Provide(_) => Outcome::Provided { sent: query.sent },
        };
        cx.out.push(Output::QueryDone { id, outcome, stats });
    }

    /// A query's requests still on their way are nobody's any more.
    fn release(&mut self, cx: &Context<'_, C>, query: QueryId) {
        let Some(work) = &mut self.work else { return };
        work.requests.retain(|_, p| !(p.late && p.purpose == Purpose::Step(query)));
        for pending in work.requests.values_mut() {
            if pending.purpose == Purpose::Step(query) {
                (pending.purpose, pending.deadline) = (Purpose::Stray, cx.now + cx.config.request_timeout);
            } else if pending.purpose == Purpose::Store(query) {
                pending.purpose = Purpose::Correct;
            }
        }
    }

    /// Sends a request and remembers what it is for.
    pub(super) fn ask(&mut self, cx: &mut Context<'_, C>, to: C, request: Request<C>, purpose: Purpose) {
        let deadline = match purpose {
            Purpose::Step(_) => Instant::FAR_FUTURE,
            Purpose::Store(_) | Purpose::Stray | Purpose::Correct | Purpose::Probe(_) => {
                cx.now + cx.config.request_timeout
            }
        };
        let id = self.next_request_id();
        self.work.get_or_insert_default().requests.insert(id, Pending { to, purpose, deadline, late: false });
        cx.send(to, id, request);
    }

    fn next_request_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        id
    }
}

fn own_record(config: &Config, key: Key, value: &[u8]) -> Result<Record, Error> {
    if value.len() > config.value_bytes_max {
        return Err(Error::TooLong(value.len()));
    }
    Ok(Record { key, value: value.into(), ttl: None })
}
