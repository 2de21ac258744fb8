//! The DHT as a child of the peer.

use std::collections::{BTreeMap, VecDeque};

use super::Peer;
use super::agent::{agent_token, query_end};
use crate::kad::{self, Contact, Kad, Output as KadOutput, QueryId};
use crate::machine::{Context, Message, Output};
use crate::primitive::QueryEnd;
use crate::request::{Event, Query, Request, RequestId, Response};

/// The machine, and whose queries are on their way.
#[derive(Debug)]
pub(super) struct Dht<C> {
    pub(super) kad: Kad<C>,
    /// The application's number of each of its queries; as many as the machine lets it have.
    pub(super) tokens: BTreeMap<QueryId, u64>,
    /// Whether it lived before the process started, and shall look around at once.
    restarted: bool,
    /// Where our card's tags lie, which we provide.
    tags: Vec<kad::Key>,
    /// Ends of queries of the agent that it has not been told of.
    pub(super) agent_ends: VecDeque<(u64, QueryEnd)>,
}

impl<C> Default for Dht<C> {
    fn default() -> Self {
        Self {
            kad: Kad::default(),
            tokens: BTreeMap::new(),
            restarted: false,
            tags: Vec::new(),
            agent_ends: VecDeque::new(),
        }
    }
}

impl<C: Contact> Dht<C> {
    /// The application's queries on their way.
    pub(super) fn queries(&self) -> usize {
        self.tokens.values().filter(|token| agent_token(**token).is_none()).count()
    }

    /// After a restart: what was on its way is nobody's any more.
    pub(super) fn restarted(self, keeps_state: bool) -> Self {
        if keeps_state {
            Self { kad: self.kad.restarted(), restarted: true, tags: self.tags, ..Self::default() }
        } else {
            Self { kad: self.kad.forgotten(), ..Self::default() }
        }
    }
}

impl<M: Message> Peer<M> {
    /// Runs the machine, made and started if need be, and carries over what it wants done. `None` in a network without
    /// DHT.
    fn with_dht<R>(
        &mut self,
        cx: &mut Context<'_, M>,
        run: impl FnOnce(&mut Dht<M::Contact>, &mut kad::Context<'_, M::Contact>) -> R,
    ) -> Option<R> {
        let config = cx.config.dht.as_ref()?;
        let mut out = Vec::new();
        let mut child = kad::Context {
            now: cx.now,
            own: cx.own,
            config,
            services: cx.services,
            rng: &mut *cx.rng,
            counters: &mut cx.counters.dht,
            out: &mut out,
        };
        let fresh = self.dht.is_none();
        let dht = self.dht.get_or_insert_default();
        if fresh {
            dht.kad.start(&mut child);
        }
        let result = run(dht, &mut child);
        for output in out {
            let output = match output {
                KadOutput::Send { to, id, request } => {
                    Output::Request { to, id, request: Box::new(Request::Dht(request)) }
                }
                KadOutput::Respond { to, id, response } => {
                    Output::Respond { to, id, response: Box::new(Response::Dht(response)) }
                }
                KadOutput::QueryDone { id, outcome, stats } => {
                    let Some(token) = dht.tokens.remove(&id) else { continue };
                    if let Some(token) = agent_token(token) {
                        dht.agent_ends.push_back((token, query_end(cx, outcome)));
                        continue;
                    }
                    Output::Event(Box::new(Event::QueryDone { token, outcome, stats }))
                }
            };
            cx.out.push(output);
        }
        Some(result)
    }

    /// The process starts: a machine that was there before goes on with what it kept.
    pub(super) fn start_dht(&mut self, cx: &mut Context<'_, M>) {
        if self.dht.is_some() {
            self.with_dht(cx, |dht, cx| {
                dht.kad.start(cx);
                if std::mem::take(&mut dht.restarted) {
                    dht.kad.bootstrap(cx);
                }
            });
        }
    }

    pub(super) fn dht_seen(&mut self, cx: &mut Context<'_, M>, contact: M::Contact) {
        self.with_dht(cx, |dht, cx| dht.kad.on_seen(cx, contact));
    }

    pub(super) fn dht_request(
        &mut self,
        cx: &mut Context<'_, M>,
        (from, server): (M::Contact, bool),
        id: RequestId,
        request: kad::Request<M::Contact>,
    ) {
        let taken = self.with_dht(cx, |dht, cx| {
            if server {
                dht.kad.on_seen(cx, from);
            }
            dht.kad.on_request(cx, from, id, request);
        });
        if taken.is_none() {
            cx.unsupported();
        }
    }

    pub(super) fn dht_response(
        &mut self,
        cx: &mut Context<'_, M>,
        from: M::Contact,
        id: RequestId,
        response: kad::Response<M::Contact>,
    ) {
        if self.dht.is_none() && cx.config.dht.is_some() {
            // Whoever never asked anything need not run the machine to know that.
            cx.counters.dht.add(kad::Count::Unasked);
        } else if self.with_dht(cx, |dht, cx| dht.kad.on_response(cx, from, id, response)).is_none() {
            cx.unsupported();
        }
        self.agent_queries(cx);
    }

    pub(super) fn dht_failed(&mut self, cx: &mut Context<'_, M>, id: RequestId) {
        if self.dht.is_some() {
            self.with_dht(cx, |dht, cx| dht.kad.on_failure(cx, id));
            self.agent_queries(cx);
        }
    }

    pub(super) fn dht_timeout(&mut self, cx: &mut Context<'_, M>) {
        if self.dht.as_ref().is_some_and(|dht| dht.kad.poll_timeout().is_some_and(|due| due <= cx.now)) {
            self.with_dht(cx, |dht, cx| dht.kad.handle_timeout(cx));
            self.agent_queries(cx);
        }
    }

    /// Starts a query of the application. One that ends at once is told of in the same outbox.
    pub(super) fn query(&mut self, cx: &mut Context<'_, M>, token: u64, query: Query) {
        if let Err(error) = self.start_query(cx, token, query) {
            cx.out.push(Output::Event(Box::new(Event::QueryRefused { token, error })));
        }
    }

    /// Starts a query under a token; without a reason in a network without DHT.
    pub(super) fn start_query(
        &mut self,
        cx: &mut Context<'_, M>,
        token: u64,
        query: Query,
    ) -> Result<(), Option<kad::Error>> {
        let started = self.with_dht(cx, |dht, cx| {
            // The machine numbers queries as it starts them, and may end one before it has told its number.
            let id = dht.kad.next_query();
            dht.tokens.insert(id, token);
            let result = match query {
                Query::FindNode(key) => dht.kad.find_node(cx, key),
                Query::Provide(key) => dht.kad.provide(cx, key),
                Query::FindProviders(key) => dht.kad.get_providers(cx, key),
                Query::PutValue(key, value) => dht.kad.put_value(cx, key, &value),
                Query::GetValue(key) => dht.kad.get_value(cx, key),
            };
            if result.is_err() {
                dht.tokens.remove(&id);
            }
            result.map(|_| ())
        });
        if started.is_none() {
            cx.unsupported();
        }
        started.map_or(Err(None), |started| started.map_err(Some))
    }

    /// Keeps our card and its tags in the DHT, in a network with one, and those of the card before no longer. Nobody
    /// waits for it, and the application's queries do not have to: a card may have more tags than queries may run.
    pub(super) fn store_card(
        &mut self,
        cx: &mut Context<'_, M>,
        key: kad::Key,
        envelope: &[u8],
        tags: Vec<kad::Key>,
    ) {
        self.with_dht(cx, |dht, cx| {
            for tag in dht.tags.iter().filter(|tag| !tags.contains(tag)) {
                dht.kad.stop_providing(cx, tag);
            }
            // Refused is only what the settings have no room for.
            let _ = dht.kad.keep_value(cx, key, envelope);
            for tag in &tags {
                let _ = dht.kad.keep_providing(cx, tag);
            }
            dht.tags = tags;
        });
    }
}
