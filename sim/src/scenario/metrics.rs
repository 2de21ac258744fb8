//! The numbers of a report by name, and whether they meet what a scenario expects.

use serde_json::Value as Json;

use super::error::nearest;
use super::model::{Expectation, Op, Stat, Value};
use crate::report::Report;

/// Every metric with a fixed name: the path of a number in the JSON of a [`Report`]. Besides these there are
/// `counts.NAME`, a counter of the machines or the network, and `latency.count(A..B)`, first deliveries over the network
/// that took from A to below B milliseconds
/// (multiples of 10).
pub const METRICS: &[&str] = &[
    "peers",
    "virtual_s",
    "events",
    "delivery.messages",
    "delivery.delivered",
    "delivery.expected",
    "delivery.ratio",
    "delivery.p50_ms",
    "delivery.p90_ms",
    "delivery.p99_ms",
    "delivery.max_ms",
    "delivery.mean_ms",
    "hops_max",
    "hops_mean",
    "duplicates_mean",
    "rmr",
    "gossip.message",
    "gossip.graft",
    "gossip.prune",
    "gossip.ihave",
    "gossip.iwant",
    "gossip.idontwant",
    "gossip.subscribe",
    "bytes.message",
    "bytes.graft",
    "bytes.prune",
    "bytes.ihave",
    "bytes.iwant",
    "bytes.idontwant",
    "bytes.subscribe",
    "mesh.degree_mean",
    "mesh.degree_min",
    "mesh.degree_max",
    "mesh.sybil_share",
    "scores.honest.count",
    "scores.honest.min",
    "scores.honest.p10",
    "scores.honest.p50",
    "scores.honest.p90",
    "scores.honest.max",
    "scores.sybil.count",
    "scores.sybil.min",
    "scores.sybil.p10",
    "scores.sybil.p50",
    "scores.sybil.p90",
    "scores.sybil.max",
    "sum_t",
    "churn.online",
    "churn.joined",
    "churn.left",
    "churn.crashed",
    "dht.queries",
    "dht.skipped",
    "dht.refused",
    "dht.lost",
    "dht.unfinished",
    "dht.looked",
    "dht.success",
    "dht.moot",
    "dht.hops_mean",
    "dht.hops_max",
    "dht.requests_mean",
    "dht.failures_mean",
    "dht.cut_short",
    "dht.p50_ms",
    "dht.p90_ms",
    "dht.p99_ms",
    "dht.stores",
    "dht.copies_mean",
    "dht.messages.find_node",
    "dht.messages.get_value",
    "dht.messages.put_value",
    "dht.messages.get_providers",
    "dht.messages.add_provider",
    "dht.messages.card",
    "dht.messages.agent",
    "dht.messages.response",
    "dht.bytes",
    "dht.contacts_mean",
    "dht.contacts_max",
    "dht.stale_share",
    "dht.sybil_share",
    "dht.records_max",
    "dht.records_bytes_max",
    "dht.providers_max",
    "ring.members",
    "ring.tokens",
    "ring.changes",
    "ring.moved",
    "ring.needless",
    "ring.moved_over_minimum",
    "ring.idle",
    "ring.share_cv",
    "ring.share_max_over_mean",
    "ring.keys_cv",
    "ring.keys_max_over_mean",
    "cards.held_mean",
    "cards.stale_share",
    "cards.missing_share",
    "cards.topics_mean",
    "cards.messages_per_s",
    "calls.made",
    "calls.skipped",
    "calls.answered",
    "calls.errors",
    "calls.unfinished",
    "calls.requests",
    "calls.p50_ms",
    "calls.p90_ms",
    "calls.p99_ms",
    "graph.vertices",
    "graph.links",
    "graph.degree_mean",
    "graph.components",
    "graph.largest_share",
    "graph.diameter",
    "graph.cut_peers",
    "graph.cut_links",
];

/// Whether a metric of that name can exist.
pub(super) fn check_name(path: &str) -> Result<(), String> {
    if let Some(name) = path.strip_prefix("counts.") {
        let names = crate::report::count_names();
        let known = names.contains(&name);
        return if known {
            Ok(())
        } else {
            Err(format!("unknown counter `{name}`; {}", nearest(name, &names)))
        };
    }
    if METRICS.contains(&path) || latency_range(path).is_some() {
        return Ok(());
    }
    Err(format!("unknown metric `{path}`; {}", nearest(path, METRICS)))
}

/// The number at `path`; none if this run does not have it (`sum_t` outside g8, a counter that does not exist).
pub fn metric(report: &Report, path: &str) -> Option<f64> {
    if let Some((low, high)) = latency_range(path) {
        return Some(report.latency_count(low, high) as f64);
    }
    let json = serde_json::to_value(report).ok()?;
    let mut node: &Json = &json;
    // A counter's own name may contain dots.
    if let Some(name) = path.strip_prefix("counts.") {
        return node.get("counts")?.get(name)?.as_f64();
    }
    for key in path.split('.') {
        node = node.get(key)?;
    }
    node.as_f64()
}

/// The bounds of `latency.count(A..B)`, multiples of the 10 ms that a report resolves.
fn latency_range(path: &str) -> Option<(u64, u64)> {
    let (low, high) = path.strip_prefix("latency.count(")?.strip_suffix(')')?.split_once("..")?;
    let (low, high): (u64, u64) = (low.parse().ok()?, high.parse().ok()?);
    (low < high && low.is_multiple_of(10) && high.is_multiple_of(10)).then_some((low, high))
}

/// An expectation held against the runs of its arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it is compared with, the other arm's number worked in; none if that could not be measured.
    pub value: Option<f64>,
    /// What was measured; none if the metric does not exist in these runs.
    pub actual: Option<f64>,
    /// Whether it holds. Something that could not be measured does not.
    pub ok: bool,
}

impl Expectation {
    /// Judges the runs of one arm; `other` gives the runs of another arm by name.
    pub fn judge<'a>(&self, runs: &[&Report], other: impl Fn(&str) -> Option<Vec<&'a Report>>) -> Verdict {
        let value = match &self.value {
            Value::Number(number) => Some(*number),
            Value::Arm { of, factor } => {
                other(of).and_then(|runs| self.measure(&runs)).map(|number| number * factor)
            }
        };
        let actual = self.measure(runs);
        let ok = actual.zip(value).is_some_and(|(actual, value)| self.op.holds(actual, value));
        Verdict { value, actual, ok }
    }

    fn measure(&self, runs: &[&Report]) -> Option<f64> {
        let values: Vec<f64> =
            runs.iter().map(|report| metric(report, &self.metric)).collect::<Option<_>>()?;
        self.stat.of(&values)
    }
}

impl Op {
    /// Whether `actual` compares with `value` this way.
    pub fn holds(self, actual: f64, value: f64) -> bool {
        match self {
            Self::Less => actual < value,
            Self::AtMost => actual <= value,
            Self::Equal => actual == value,
            Self::AtLeast => actual >= value,
            Self::Greater => actual > value,
        }
    }

    /// As scenario files write it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }
}

impl Stat {
    /// This statistic of `values`; none if there are none.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = match self {
            Self::Mean if sorted.is_empty() => return None,
            // Summed in ascending order: the same for any order of the seeds.
            Self::Mean => return Some(sorted.iter().sum::<f64>() / sorted.len() as f64),
            Self::Min => 1,
            Self::Max => sorted.len(),
            Self::P95 => (sorted.len() * 95).div_ceil(100),
        };
        sorted.get(rank.checked_sub(1)?).copied()
    }

    /// As scenario files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::P95 => "p95",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            digest: "0".repeat(16),
            peers: 3,
            virtual_s: 1.5,
            events: 9,
            delivery: crate::report::Delivery { ratio: 0.5, ..Default::default() },
            hops_max: 4,
            hops_mean: 2.5,
            duplicates_mean: 0.0,
            rmr: 0.0,
            gossip: Default::default(),
            bytes: Default::default(),
            mesh: Default::default(),
            scores: Default::default(),
            churn: Some(Default::default()),
            dht: Some(Default::default()),
            ring: Some(Default::default()),
            cards: Some(Default::default()),
            calls: Some(Default::default()),
            graph: Some(Default::default()),
            counts: [("drop.queue", 7)].into(),
            sum_t: Some(6_457_177_854),
            curve: Vec::new(),
            latency_bins: vec![1, 2, 4],
        }
    }

    #[test]
    fn metrics_are_exactly_the_numbers_of_a_report() {
        fn numbers(json: &Json, path: &str, out: &mut Vec<String>) {
            match json {
                Json::Number(_) => out.push(path.trim_start_matches('.').into()),
                Json::Object(fields) => {
                    for (key, value) in fields.iter().filter(|(key, _)| *key != "counts") {
                        numbers(value, &format!("{path}.{key}"), out);
                    }
                }
                Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) => {}
            }
        }
        let mut found = Vec::new();
        numbers(&serde_json::to_value(report()).expect("plain data"), "", &mut found);
        let mut listed: Vec<String> = METRICS.iter().map(|name| (*name).to_owned()).collect();
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn metrics_read_by_path() {
        let report = report();
        assert_eq!(metric(&report, "delivery.ratio"), Some(0.5));
        assert_eq!(metric(&report, "hops_max"), Some(4.0));
        assert_eq!(metric(&report, "sum_t"), Some(6_457_177_854.0));
        assert_eq!(metric(&report, "counts.drop.queue"), Some(7.0));
        assert_eq!(metric(&report, "counts.other"), None);
        assert_eq!(metric(&report, "latency.count(10..30)"), Some(6.0));
        assert_eq!(metric(&Report { sum_t: None, ..report }, "sum_t"), None);
        for wrong in [
            "delivery",
            "delivery.rate",
            "counts.",
            "latency.count(10..10)",
            "latency.count(0..15)",
            "latency.count(a..b)",
            "",
        ] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_name("delivery.ration").expect_err("typo").contains("delivery.ratio"));
        assert_eq!(check_name("latency.count(0..100)"), Ok(()));
    }

    #[test]
    fn statistics_over_seeds() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let stats = [Stat::Mean, Stat::Min, Stat::Max, Stat::P95].map(|stat| stat.of(&values));
        assert_eq!(stats, [Some(10.5), Some(1.0), Some(20.0), Some(19.0)]);
        assert_eq!(Stat::P95.of(&[3.0]), Some(3.0));
        assert_eq!([Stat::Mean, Stat::Min, Stat::Max, Stat::P95].map(|stat| stat.of(&[])), [None; 4]);
    }

    #[test]
    fn an_arm_is_judged_by_another() {
        let (low, high) = (report(), Report { hops_max: 10, ..report() });
        let expectation = Expectation {
            peers: None,
            metric: "hops_max".into(),
            op: Op::Less,
            value: Value::Arm { of: "high".into(), factor: 0.5 },
            stat: Stat::Mean,
        };
        let judge = |name: &str| expectation.judge(&[&low], |of| (of == name).then(|| vec![&high]));
        assert_eq!(judge("high"), Verdict { value: Some(5.0), actual: Some(4.0), ok: true });
        assert_eq!(judge("gone"), Verdict { value: None, actual: Some(4.0), ok: false });
    }
}
