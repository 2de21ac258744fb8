//! What becomes of our requests: answers, failures, and time running out.

use super::client::{Goal, Pending, Purpose, Query};
use super::context::{Contact, Context, Count};
use super::message::{QueryId, Record, RequestId, Response};
use super::{Config, Kad};

impl<C: Contact> Kad<C> {
    /// An answer to a request came in.
    pub fn on_response(&mut self, cx: &mut Context<'_, C>, from: C, id: RequestId, response: Response<C>) {
        let asked = self.work.as_ref().and_then(|w| w.requests.get(&id)).is_some_and(|p| p.to == from);
        let requests = self.work.as_mut().filter(|_| asked).map(|w| &mut w.requests);
        let Some(pending) = requests.and_then(|r| r.remove(&id)) else {
            return cx.count(Count::Unasked);
        };
        if !self.is_answer(&pending, &response) {
            cx.count(Count::WrongKind);
            self.failed(cx, &pending);
            return self.settle(cx);
        }
        self.seen(cx, from);
        match pending.purpose {
            Purpose::Step(id) => {
                if let Some(mut query) = self.take_query(id) {
                    query.take(cx, from, response);
                    self.drive(cx, id, query);
                }
            }
            Purpose::Store(id) => self.stored(cx, id, true),
            Purpose::Probe(depth) => self.table.probed(depth),
            Purpose::Correct | Purpose::Stray => {}
        }
        self.settle(cx);
    }

    /// A request could not be sent, or its stream broke.
    pub fn on_failure(&mut self, cx: &mut Context<'_, C>, id: RequestId) {
        self.fail(cx, id);
        self.settle(cx);
    }

    pub(super) fn fail(&mut self, cx: &mut Context<'_, C>, id: RequestId) {
        if let Some(pending) = self.work.as_mut().and_then(|w| w.requests.remove(&id)) {
            self.failed(cx, &pending);
        }
    }

    fn failed(&mut self, cx: &mut Context<'_, C>, pending: &Pending<C>) {
        // Who does not confirm a value may just not store it: that says nothing of whether it is there.
        if !matches!(pending.purpose, Purpose::Store(_) | Purpose::Correct) {
            self.table.failed(&cx.own_key(), pending.to, cx.config, cx.services);
        }
        match pending.purpose {
            Purpose::Step(id) => {
                if let Some(mut query) = self.take_query(id) {
                    let failed = query.lookup.on_failure(&cx.services.key(pending.to));
                    query.failures += u32::from(failed && !pending.late);
                    self.drive(cx, id, query);
                }
            }
            Purpose::Store(id) => self.stored(cx, id, false),
            Purpose::Probe(depth) => self.table.probed(depth),
            Purpose::Correct | Purpose::Stray => {}
        }
    }

    /// One of the peers that a value was sent to confirmed it, or did not.
    fn stored(&mut self, cx: &mut Context<'_, C>, id: QueryId, confirmed: bool) {
        let Some(mut query) = self.take_query(id) else { return };
        query.open -= 1;
        query.confirmed += usize::from(confirmed);
        if query.open == 0 {
            self.end(cx, id, query, false);
        } else {
            self.work.get_or_insert_default().queries.insert(id, query);
        }
    }

    /// A query's timers.
    pub(super) fn query_timeout(&mut self, cx: &mut Context<'_, C>, id: QueryId) {
        let Some(mut query) = self.take_query(id) else { return };
        if cx.now >= query.started + cx.config.query_timeout {
            query.lookup.finish();
            self.end(cx, id, query, true);
        } else if query.open > 0 {
            self.work.get_or_insert_default().queries.insert(id, query);
        } else {
            self.drive(cx, id, query);
        }
    }

    fn take_query(&mut self, id: QueryId) -> Option<Query<C>> {
        self.work.as_mut()?.queries.remove(&id)
    }

    fn is_answer(&self, pending: &Pending<C>, response: &Response<C>) -> bool {
        let goal = |id| Some(&self.work.as_ref()?.queries.get(id)?.goal);
        match (&pending.purpose, response) {
            (Purpose::Step(id), Response::Value { .. }) => matches!(goal(id), Some(Goal::GetValue(_))),
            (Purpose::Step(id), Response::Providers { .. }) => {
                matches!(goal(id), Some(Goal::GetProviders(_)))
            }
            (Purpose::Step(id), Response::Nodes { .. }) => {
                !matches!(goal(id), Some(Goal::GetValue(_) | Goal::GetProviders(_)))
            }
            (Purpose::Step(_) | Purpose::Stray, Response::Stored) => false,
            (Purpose::Stray, _) => true,
            (Purpose::Store(_) | Purpose::Correct, _) => *response == Response::Stored,
            (Purpose::Probe(_), _) => matches!(response, Response::Nodes { .. }),
        }
    }
}

impl<C: Contact> Query<C> {
    pub(super) fn has_enough(&self, config: &Config) -> bool {
        self.answers >= config.quorum || self.providers.len() >= config.providers_enough
    }

    /// Takes an answer of the right kind to a step of the lookup.
    fn take(&mut self, cx: &mut Context<'_, C>, from: C, response: Response<C>) {
        let closer = match response {
            Response::Nodes { closer } => closer,
            Response::Value { record, closer } => {
                if let Some(record) = record {
                    self.take_value(cx, from, record);
                }
                closer
            }
            Response::Providers { providers, closer } => {
                let room = cx.config.providers_enough;
                cx.counters.add_many(Count::Surplus, providers.len().saturating_sub(room) as u64);
                for provider in providers.into_iter().take(room) {
                    if self.providers.len() < room && !self.providers.contains(&provider) {
                        self.providers.push(provider);
                    }
                }
                closer
            }
            Response::Stored => Vec::new(),
        };
        let own = closer.iter().take(cx.config.k).filter(|c| **c == cx.own).count();
        cx.counters.add_many(Count::OwnReferral, own as u64);
        cx.counters.add_many(Count::Surplus, closer.len().saturating_sub(cx.config.k) as u64);
        let named = closer.into_iter().take(cx.config.k).filter(|c| *c != cx.own);
        let services = cx.services;
        self.lookup.on_success(&services.key(from), named.map(|c| (c, services.key(c))));
        if self.has_enough(cx.config) {
            self.lookup.finish();
        }
    }

    fn take_value(&mut self, cx: &mut Context<'_, C>, from: C, record: Record) {
        let key = self.goal.key();
        if record.key != *key
            || record.value.len() > cx.config.value_bytes_max
            || !cx.services.valid(key, &record.value)
        {
            return cx.count(Count::RecordInvalid);
        }
        self.answers += 1;
        match &self.best {
            Some(best) if best.value == record.value => self.holders.push(from),
            Some(best) if !cx.services.better(key, &best.value, &record.value) => self.outdated.push(from),
            Some(_) | None => {
                self.outdated.append(&mut self.holders);
                self.holders.push(from);
                self.best = Some(record);
            }
        }
    }
}
