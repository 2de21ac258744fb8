//! What the server counts. Every label has a fixed set of values, so nothing that a client sends makes this grow.

use hyperspace_protocol::primitive::{Code, Error};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Backend;
use super::auth::Refusal;

type Labelled<V> = Family<[(&'static str, V); 1], Counter>;

/// Counters of one server.
pub(super) struct Metrics {
    registry: Registry,
    /// Sorted.
    methods: Vec<&'static str>,
    connections: Gauge,
    connected: Counter,
    requests: Labelled<&'static str>,
    errors: Labelled<i64>,
    refusals: Labelled<&'static str>,
    bytes: Labelled<&'static str>,
    closed: Labelled<&'static str>,
    seconds: Histogram,
}

impl Metrics {
    pub(super) fn new(methods: &[&'static str]) -> Self {
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        let mut metrics = Self {
            registry: Registry::default(),
            methods,
            connections: Gauge::default(),
            connected: Counter::default(),
            requests: Family::default(),
            errors: Family::default(),
            refusals: Family::default(),
            bytes: Family::default(),
            closed: Family::default(),
            // 0.1 ms to 26 s.
            seconds: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
        };
        let all = metrics.registry.sub_registry_with_prefix("hyperspace_rpc");
        all.register("connections", "Clients connected now", metrics.connections.clone());
        all.register("connected", "Clients that connected", metrics.connected.clone());
        all.register("requests", "Requests by method, notifications included", metrics.requests.clone());
        all.register("errors", "Errors sent, by code", metrics.errors.clone());
        all.register("refused", "HTTP requests turned away, by reason", metrics.refusals.clone());
        all.register("bytes", "Bytes of messages, by direction", metrics.bytes.clone());
        all.register("closed", "Connections that the server closed, by reason", metrics.closed.clone());
        all.register("call_seconds", "How long calls took", metrics.seconds.clone());
        metrics
    }

    /// A client came. It is counted as connected until the guard is dropped.
    pub(super) fn connected(&self) -> impl Drop + use<> {
        struct Connected(Gauge);
        impl Drop for Connected {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.connected.inc();
        self.connections.inc();
        Connected(self.connections.clone())
    }

    pub(super) fn called(&self, method: &str, seconds: f64) {
        let known = self.methods.binary_search(&method).map_or("unknown", |at| self.methods[at]);
        self.requests.get_or_create(&[("method", known)]).inc();
        self.seconds.observe(seconds);
    }

    pub(super) fn error(&self, error: &Error) {
        self.errors.get_or_create(&[("code", Code::number(error.code).into())]).inc();
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        let (_, reason, _) = refusal.answer();
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes.get_or_create(&[("direction", "in")]).inc_by(bytes as u64);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.get_or_create(&[("direction", "out")]).inc_by(bytes as u64);
    }

    /// Everything as OpenMetrics text, the backend's part behind ours.
    pub(super) fn text(&self, backend: &impl Backend) -> String {
        let mut out = String::new();
        encode_registry(&mut out, &self.registry).expect("writing to a string cannot fail");
        let theirs = backend.metrics();
        let theirs = theirs.trim_end();
        let theirs = theirs.strip_suffix("# EOF").unwrap_or(theirs).trim_end();
        if !theirs.is_empty() {
            out.push_str(theirs);
            out.push('\n');
        }
        out.push_str("# EOF\n");
        out
    }
}
