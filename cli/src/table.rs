//! The tables and JSON lines of runs.

use hyperspace_sim::report::Report;
use hyperspace_sim::scenario::{Expectation, METRICS, Scenario, Stat, Value, Verdict, metric};
use serde::Serialize;
use serde_json::{Map, json};

use crate::measure::Measured;

/// One run of one arm, as JSON and in the output folder.
#[derive(Debug, Serialize)]
pub(crate) struct RunLine<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) arm: Option<&'a str>,
    pub(crate) seed: u64,
    pub(crate) engine: &'a str,
    pub(crate) wire: bool,
    pub(crate) threads: usize,
    #[serde(flatten)]
    pub(crate) report: &'a Report,
    pub(crate) setup_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) events_per_s: f64,
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) bytes_per_peer: Option<u64>,
    pub(crate) expectations: Vec<Judged<'a>>,
    /// The command that gives this line again.
    pub(crate) reproduce: &'a str,
    /// Files of the output folder that belong to this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<&'a crate::folder::Files>,
}

/// An expectation and how it came out.
#[derive(Debug, Serialize)]
pub(crate) struct Judged<'a> {
    pub(crate) metric: &'a str,
    pub(crate) op: &'a str,
    /// The right-hand side as a number; null if the other arm has none.
    pub(crate) value: Option<f64>,
    /// The other arm, if it is compared with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<&'a str>,
    pub(crate) stat: &'a str,
    /// Null if the run does not have this metric.
    pub(crate) actual: Option<f64>,
    pub(crate) ok: bool,
}

impl<'a> Judged<'a> {
    pub(crate) fn new(expectation: &'a Expectation, verdict: &Verdict) -> Self {
        Self {
            metric: &expectation.metric,
            op: expectation.op.symbol(),
            value: verdict.value,
            of: match &expectation.value {
                Value::Arm { of, .. } => Some(of),
                Value::Number(_) => None,
            },
            stat: expectation.stat.name(),
            actual: verdict.actual,
            ok: verdict.ok,
        }
    }

    /// For people.
    pub(crate) fn text(&self, arm: Option<&str>, several: bool) -> String {
        let number = |value: Option<f64>| value.map_or("nothing".to_owned(), plain);
        let of = self.of.map_or(String::new(), |of| format!(" (of {of})"));
        let stat = if several { format!(" {}", self.stat) } else { String::new() };
        let arm = arm.map_or(String::new(), |arm| format!("{arm}: "));
        format!(
            "{}  {arm}{}{stat} {} {}{of}, measured {}",
            if self.ok { "ok  " } else { "FAIL" },
            self.metric,
            self.op,
            number(self.value),
            number(self.actual)
        )
    }
}

/// Everything about the runs of one arm over its seeds.
pub(crate) struct Column<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) runs: Vec<&'a Measured>,
}

impl Column<'_> {
    fn values(&self, path: &str) -> Vec<f64> {
        self.runs.iter().filter_map(|run| metric(&run.outcome.report, path)).collect()
    }

    /// The aggregate over seeds: four statistics of every metric.
    pub(crate) fn aggregate(&self, seeds: &[u64], expectations: &[Judged<'_>]) -> serde_json::Value {
        let mut metrics = Map::new();
        let counters = self.counters();
        for path in METRICS.iter().copied().map(str::to_owned).chain(counters) {
            let values = self.values(&path);
            if values.len() == self.runs.len() {
                let stats = [Stat::Mean, Stat::Min, Stat::Max, Stat::P95];
                let stats: Map<_, _> =
                    stats.iter().map(|s| (s.name().to_owned(), json!(s.of(&values)))).collect();
                metrics.insert(path, stats.into());
            }
        }
        json!({
            "scenario": self.scenario.name,
            "arm": self.scenario.arm,
            "aggregate": true,
            "seeds": seeds,
            "wall_s": self.runs.iter().map(|run| run.wall_s).sum::<f64>(),
            "cpu_s": self.runs.iter().map(|run| run.cpu_s).sum::<f64>(),
            "metrics": metrics,
            "expectations": expectations,
        })
    }

    /// Paths of the counters that any run has above zero.
    fn counters(&self) -> Vec<String> {
        let counts = self.runs.iter().flat_map(|run| &run.outcome.report.counts);
        let mut names: Vec<String> =
            counts.filter(|(_, n)| **n > 0).map(|(name, _)| format!("counts.{name}")).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A row of the table for people: what it is called, its metric, and the decimals that are shown.
type Row = (&'static str, &'static str, usize);

/// Rows that mean something only where messages are published.
const DELIVERY: [Row; 8] = [
    ("delivery ratio", "delivery.ratio", 6),
    ("messages measured", "delivery.messages", 0),
    ("latency p50 ms", "delivery.p50_ms", 1),
    ("latency p99 ms", "delivery.p99_ms", 1),
    ("latency max ms", "delivery.max_ms", 1),
    ("hops mean", "hops_mean", 2),
    ("hops max", "hops_max", 0),
    ("duplicates per delivery", "duplicates_mean", 3),
];

/// Rows about the mesh of the topics that messages are published on.
const MESH: [Row; 4] = [
    ("mesh degree mean", "mesh.degree_mean", 2),
    ("mesh degree min", "mesh.degree_min", 0),
    ("mesh degree max", "mesh.degree_max", 0),
    ("sybil share of mesh", "mesh.sybil_share", 4),
];

/// Rows that mean something only where gossip is sent.
const GOSSIP: [Row; 6] = [
    ("frames: message", "gossip.message", 0),
    ("frames: graft", "gossip.graft", 0),
    ("frames: prune", "gossip.prune", 0),
    ("frames: ihave", "gossip.ihave", 0),
    ("frames: iwant", "gossip.iwant", 0),
    ("frames: idontwant", "gossip.idontwant", 0),
];

/// Rows that are left out where a run has no such metric.
const ROWS: [Row; 46] = [
    ("sum of first arrivals us", "sum_t", 0),
    ("peers online, share", "churn.online", 4),
    ("peers joined", "churn.joined", 0),
    ("peers left", "churn.left", 0),
    ("peers crashed", "churn.crashed", 0),
    ("DHT: queries", "dht.queries", 0),
    ("DHT: lost with their peer", "dht.lost", 0),
    ("DHT: unfinished at the end", "dht.unfinished", 0),
    ("DHT: success", "dht.success", 4),
    ("DHT: hops mean", "dht.hops_mean", 3),
    ("DHT: hops max", "dht.hops_max", 0),
    ("DHT: requests per query", "dht.requests_mean", 2),
    ("DHT: failures per query", "dht.failures_mean", 2),
    ("DHT: latency p50 ms", "dht.p50_ms", 1),
    ("DHT: latency p99 ms", "dht.p99_ms", 1),
    ("DHT: records stored", "dht.stores", 0),
    ("DHT: copies per record", "dht.copies_mean", 2),
    ("DHT: bytes sent", "dht.bytes", 0),
    ("DHT: contacts mean", "dht.contacts_mean", 1),
    ("DHT: stale share of contacts", "dht.stale_share", 4),
    ("DHT: sybil share of contacts", "dht.sybil_share", 4),
    ("DHT: most values at a peer", "dht.records_max", 0),
    ("DHT: most providers at a peer", "dht.providers_max", 0),
    ("ring: members", "ring.members", 0),
    ("ring: virtual nodes", "ring.tokens", 0),
    ("ring: joins and leaves", "ring.changes", 0),
    ("ring: copies moved", "ring.moved", 0),
    ("ring: moved without need", "ring.needless", 0),
    ("ring: moved over expected least", "ring.moved_over_minimum", 3),
    ("ring: peers that own nothing", "ring.idle", 0),
    ("ring: share, largest over mean", "ring.share_max_over_mean", 3),
    ("ring: share, variation", "ring.share_cv", 4),
    ("ring: keys, most over mean", "ring.keys_max_over_mean", 3),
    ("cards: held of others", "cards.held_mean", 2),
    ("cards: stale share", "cards.stale_share", 4),
    ("cards: missing share", "cards.missing_share", 4),
    ("cards: topics per peer", "cards.topics_mean", 2),
    ("cards: messages per peer and s", "cards.messages_per_s", 2),
    ("graph: peers", "graph.vertices", 0),
    ("graph: degree mean", "graph.degree_mean", 2),
    ("graph: pieces", "graph.components", 0),
    ("graph: diameter", "graph.diameter", 0),
    ("graph: cut peers", "graph.cut_peers", 0),
    ("graph: cut links", "graph.cut_links", 0),
    ("virtual seconds", "virtual_s", 1),
    ("events", "events", 0),
];

/// The table of one file: a row per metric, a column per arm; several seeds show as mean and range.
pub(crate) fn table(columns: &[Column<'_>]) -> String {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(columns.iter().map(|c| c.scenario.arm.clone().unwrap_or_else(|| c.scenario.name.clone())));
    let any = |path| columns.iter().any(|column| column.values(path).iter().any(|n| *n > 0.0));
    let delivery: &[Row] = if any("delivery.messages") { &DELIVERY } else { &[] };
    let gossip: &[Row] = if any("gossip.message") { &GOSSIP } else { &[] };
    let mesh: &[Row] = if any("delivery.messages") { &MESH } else { &[] };
    for &(label, path, decimals) in delivery.iter().chain(gossip).chain(mesh).chain(&ROWS) {
        let cells: Vec<String> =
            columns.iter().map(|column| spread(&column.values(path), decimals)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push([label.to_owned()].into_iter().chain(cells).collect());
        }
    }
    let mut counters: Vec<String> = columns.iter().flat_map(Column::counters).collect();
    counters.sort();
    counters.dedup();
    for path in counters {
        let cells = columns.iter().map(|column| spread(&column.values(&path), 0));
        rows.push([path.replacen("counts.", "count: ", 1)].into_iter().chain(cells).collect());
    }
    let own = |label: &str, decimals, value: &dyn Fn(&Measured) -> Option<f64>| {
        let cells = columns.iter().map(|column| {
            spread(&column.runs.iter().filter_map(|run| value(run)).collect::<Vec<_>>(), decimals)
        });
        [label.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    rows.push(own("events per second", 0, &|run| Some(run.events_per_s())));
    rows.push(own("wall seconds", 2, &|run| Some(run.wall_s)));
    rows.push(own("CPU seconds", 2, &|run| Some(run.cpu_s)));
    rows.push(own("peak memory MiB", 1, &|run| run.peak_rss_bytes.map(|bytes| bytes as f64 / 1_048_576.0)));
    if columns.iter().all(|column| column.runs.len() == 1) {
        let digests = columns.iter().map(|column| column.runs[0].outcome.report.digest.clone());
        rows.push(["digest".to_owned()].into_iter().chain(digests).collect());
    }
    align(&rows)
}

fn spread(values: &[f64], decimals: usize) -> String {
    let (Some(mean), Some(min), Some(max)) =
        (Stat::Mean.of(values), Stat::Min.of(values), Stat::Max.of(values))
    else {
        return String::new();
    };
    if values.len() == 1 {
        return format!("{mean:.decimals$}");
    }
    format!("{mean:.decimals$} ({min:.decimals$}..{max:.decimals$})")
}

/// A number without needless zeros.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value}") }
}

/// Lines up the columns: the first to the left, the others to the right.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            line.push_str(&if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") });
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tables_line_up() {
        assert_eq!([plain(70_529_541_049.0), plain(0.999), plain(-2.0)], ["70529541049", "0.999", "-2"]);
        assert_eq!(spread(&[1.0, 3.0], 1), "2.0 (1.0..3.0)");
        let rows = [vec!["".into(), "one".into(), "b".into()], vec!["label".into(), "1".into(), "22".into()]];
        assert_eq!(align(&rows), "       one   b\nlabel    1  22");
    }
}
