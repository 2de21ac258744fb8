//! Requests of others.

use super::context::{Contact, Context, Count};
use super::message::{Output, Record, Request, RequestId, Response};
use super::providers::Added;
use super::records::Put;
use super::{Kad, Key};

impl<C: Contact> Kad<C> {
    /// A request came in. The work and the answer are bounded by `k` contacts, one value and
    /// [`Config::providers_per_key_max`](super::Config::providers_per_key_max) providers. A value that is not stored is
    /// not answered, as stock peers do; the driver ends its stream.
    pub fn on_request(&mut self, cx: &mut Context<'_, C>, from: C, id: RequestId, request: Request<C>) {
        // A sign of life of one we know; others prove nothing by asking, they may be clients.
        if self.table.contains(&cx.own_key(), from, cx.services) {
            self.seen(cx, from);
        }
        let response = match request {
            Request::FindNode(key) => Some(Response::Nodes { closer: self.closest_for(cx, from, &key) }),
            Request::GetValue(key) => {
                let record = self.local_value(cx, &key);
                Some(Response::Value { record, closer: self.closest_for(cx, from, &key) })
            }
            Request::PutValue(record) => self.take_value(cx, record).then_some(Response::Stored),
            Request::GetProviders(key) => {
                let providers = self.local_providers(cx, &key);
                Some(Response::Providers { providers, closer: self.closest_for(cx, from, &key) })
            }
            Request::AddProvider { key, providers } => {
                self.take_provider(cx, from, &key, &providers);
                None
            }
        };
        if let Some(response) = response {
            cx.out.push(Output::Respond { to: from, id, response });
        }
        self.settle(cx);
    }

    fn closest_for(&self, cx: &Context<'_, C>, from: C, key: &Key) -> Vec<C> {
        self.table.closest(&cx.own_key(), key.place(), cx.config.k, Some(from), false, cx.services)
    }

    /// The value under a key that we have ourselves, of our own first.
    pub(super) fn local_value(&self, cx: &Context<'_, C>, key: &Key) -> Option<Record> {
        let (own, store) = (cx.own_key(), self.store.as_ref()?);
        let mine = store.values.get(&own.distance(key.place())).map(|v| v.item.clone());
        mine.or_else(|| store.records.get(&own, key, cx.now))
    }

    /// Who provides a key as far as we know ourselves; we first if we do.
    pub(super) fn local_providers(&self, cx: &Context<'_, C>, key: &Key) -> Vec<C> {
        let (own, Some(store)) = (cx.own_key(), self.store.as_ref()) else { return Vec::new() };
        let mine = store.provided.contains_key(&own.distance(key.place())).then_some(cx.own);
        mine.into_iter().chain(store.providers.of(&own, key, cx.now)).collect()
    }

    /// Stores a value unless something speaks against it.
    fn take_value(&mut self, cx: &mut Context<'_, C>, record: Record) -> bool {
        if record.value.len() > cx.config.value_bytes_max || !cx.services.valid(&record.key, &record.value) {
            cx.count(Count::RecordInvalid);
            return false;
        }
        if let Some(old) = self.local_value(cx, &record.key)
            && old.value != record.value
            && !cx.services.better(&record.key, &old.value, &record.value)
        {
            cx.count(Count::RecordOld);
            return false;
        }
        let own = cx.own_key();
        let store = self.store_mut();
        let put = store.records.put(&own, record, cx.now, cx.config, cx.rng);
        match put {
            Put::Stored { evicted } => {
                store.wake_after_put(cx.now, cx.config);
                cx.counters.add_many(Count::RecordEvicted, evicted as u64);
            }
            Put::TooLong => cx.count(Count::RecordInvalid),
            Put::TooFar => cx.count(Count::RecordRefused),
        }
        matches!(put, Put::Stored { .. })
    }

    /// "All providerPeers that match the RPC sender's PeerID are recorded as providers" (libp2p/specs kad-dht).
    fn take_provider(&mut self, cx: &mut Context<'_, C>, from: C, key: &Key, providers: &[C]) {
        let forged = providers.iter().filter(|p| **p != from).count();
        cx.counters.add_many(Count::ProviderForged, forged as u64);
        if forged == providers.len() {
            return;
        }
        let (own, place) = (cx.own_key(), cx.services.key(from));
        let store = self.store_mut();
        match store.providers.add(&own, key, from, place, cx.now, cx.config) {
            Added::Stored { evicted } => cx.counters.add_many(Count::ProviderEvicted, evicted as u64),
            Added::KeyFull => cx.count(Count::ProviderSurplus),
            Added::ProviderFull => cx.count(Count::ProviderFlood),
            Added::TooFar => cx.count(Count::ProviderRefused),
        }
        store.wake_after_put(cx.now, cx.config);
    }
}
