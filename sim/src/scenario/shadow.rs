//! `latency = "gml:FILE"`: a network graph of the simulator Shadow, as its network graph specification has it
//! (shadow/shadow@f1b2cac, `docs/network_graph_spec.md`). gossipsub-interop of libp2p/test-plans writes such files.
//!
//! A node is a place that hosts are attached to, here a region: it is called by its `label`, else `node-ID`. Read are
//! `directed` of the graph; `id`, `label`, `host_bandwidth_up` and `host_bandwidth_down` of nodes; `source`, `target`,
//! `latency` and `packet_loss` of edges. All other keys are ignored, as Shadow does.
//!
//! The latency between two nodes is that of the shortest path, even where there is an edge between them (Shadow's
//! `use_shortest_path`, on by default); of equal paths the one that loses less. Within a node it is that of the node's
//! one edge to itself, which is required. A path loses a packet if any of its edges does. Here a latency is the same both
//! ways, so where a directed graph has two ways of different length the table has their mean, which keeps the round trip.

use std::collections::BTreeMap;

use hyperspace_protocol::time::Duration;

use super::error::TextError;
use super::gml::{self, Item, Value};
use super::units::{Decimal, split};
use crate::net::RegionTable;

/// Shadow's units of time in nanoseconds.
const TIME: [(&[&str], u64); 6] = [
    (&["ns", "nanosecond", "nanoseconds"], 1),
    (&["us", "μs", "µs", "microsecond", "microseconds"], 1_000),
    (&["ms", "millisecond", "milliseconds"], 1_000_000),
    (&["", "s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000_000_000),
];

/// Shadow's prefixes of `bit` or `bits`, both of which may be left out.
const BITS: [(&[&str], u64); 9] = [
    (&[""], 1),
    (&["K", "kilo"], 1_000),
    (&["Ki", "kibi"], 1 << 10),
    (&["M", "mega"], 1_000_000),
    (&["Mi", "mebi"], 1 << 20),
    (&["G", "giga"], 1_000_000_000),
    (&["Gi", "gibi"], 1 << 30),
    (&["T", "tera"], 1_000_000_000_000),
    (&["Ti", "tebi"], 1 << 40),
];

/// A network graph as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct GmlNetwork {
    /// Whether an edge leads one way only.
    pub directed: bool,
    /// In the order of the file, no two with the same id.
    pub nodes: Vec<GmlNode>,
    /// In the order of the file.
    pub edges: Vec<GmlEdge>,
    line: usize,
}

/// A place that hosts are attached to.
#[derive(Clone, Debug, PartialEq)]
pub struct GmlNode {
    /// Its number in the file.
    pub id: u32,
    /// Its name, if it has one.
    pub label: Option<String>,
    /// What a host here can send, in bits per second.
    pub host_bandwidth_up: Option<u64>,
    /// What a host here can receive, in bits per second.
    pub host_bandwidth_down: Option<u64>,
    line: usize,
}

/// A way between two places, or within one.
#[derive(Clone, Debug, PartialEq)]
pub struct GmlEdge {
    /// Index of the node it begins at.
    pub source: usize,
    /// Index of the node it ends at.
    pub target: usize,
    /// How long a packet takes, above 0.
    pub latency: Duration,
    /// Probability that a packet is lost, in [0, 1].
    pub packet_loss: f64,
}

impl GmlNetwork {
    /// Parses the text of a graph.
    ///
    /// # Errors
    /// If it is not GML, has not exactly one `graph`, or a key that is read is missing, twice there, or of a wrong value.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let items = gml::parse(text)?;
        let mut graphs = items.iter().filter(|item| item.key == "graph");
        let Some(graph) = graphs.next() else {
            return Err(TextError::new(1, "there is no `graph [ ... ]` in this file"));
        };
        if let Some(second) = graphs.next() {
            return Err(TextError::new(second.line, "a second `graph`: a file has one"));
        }
        let fields = Fields::of(graph)?;
        let directed = match fields.number::<u32>("directed", "0 or 1")? {
            None | Some((0, _)) => false,
            Some((1, _)) => true,
            Some((_, line)) => return Err(TextError::new(line, "`directed` is 0 or 1")),
        };
        let mut nodes: Vec<GmlNode> = Vec::new();
        let mut indices = BTreeMap::new();
        for item in fields.items.iter().filter(|item| item.key == "node") {
            let node = node(&Fields::of(item)?)?;
            if indices.insert(node.id, nodes.len()).is_some() {
                return Err(TextError::new(item.line, format!("there are two nodes with id {}", node.id)));
            }
            nodes.push(node);
        }
        let edges = fields.items.iter().filter(|item| item.key == "edge");
        let edges = edges.map(|item| edge(&Fields::of(item)?, &indices)).collect::<Result<_, _>>()?;
        Ok(Self { directed, nodes, edges, line: graph.line })
    }

    /// The table of the graph's shortest paths, with bandwidths if nodes have them and losses if edges have any.
    ///
    /// # Errors
    /// If there are no nodes or more than [`RegionTable::REGIONS_MAX`], if a name cannot be that of a region or is there
    /// twice, if a node has not exactly one edge to itself, if there is no path between two nodes or it takes longer than
    /// a link can, or if some nodes have bandwidths and some do not.
    pub fn table(&self) -> Result<RegionTable, TextError> {
        let whole = |message: String| TextError::new(self.line, message);
        let n = self.nodes.len();
        if n > RegionTable::REGIONS_MAX {
            let message = format!("{n} nodes are more than the {} of a table", RegionTable::REGIONS_MAX);
            return Err(whole(message));
        }
        let names: Vec<String> = self.nodes.iter().map(GmlNode::name).collect();
        for (node, name) in self.nodes.iter().zip(&names) {
            RegionTable::check_name(name).map_err(|message| TextError::new(node.line, message))?;
        }
        RegionTable::check_regions(&names).map_err(whole)?;
        let paths = self.paths()?;
        let both = |a: usize, b: usize| (paths[a * n + b], paths[b * n + a]);
        let latency = |a, b| {
            let (there, back) = both(a, b);
            // As a + (b - a) / 2, whose sum cannot overflow.
            let (low, high) = (there.nanos.min(back.nanos), there.nanos.max(back.nanos));
            Duration::from_nanos(low + (high - low) / 2)
        };
        let mut table = RegionTable::new(names, &rows(n, latency)).map_err(whole)?;
        if paths.iter().any(|path| path.loss > 0.0) {
            let loss = |a, b| {
                let (there, back) = both(a, b);
                (there.loss + back.loss) / 2.0
            };
            table = table.with_loss(&rows(n, loss)).map_err(whole)?;
        }
        match self.bandwidth()? {
            Some(bandwidth) => table.with_bandwidth(bandwidth).map_err(whole),
            None => Ok(table),
        }
    }

    /// Of every node or of none.
    fn bandwidth(&self) -> Result<Option<Vec<(u64, u64)>>, TextError> {
        let given = |node: &GmlNode| node.host_bandwidth_up.zip(node.host_bandwidth_down);
        let none = |node: &GmlNode| node.host_bandwidth_up.is_none() && node.host_bandwidth_down.is_none();
        if self.nodes.iter().all(none) {
            return Ok(None);
        }
        let all = self.nodes.iter().map(|node| {
            given(node).ok_or_else(|| {
                let message = "give host_bandwidth_up and host_bandwidth_down to every node or to none";
                TextError::new(node.line, format!("`{}` has no bandwidth: {message}", node.name()))
            })
        });
        all.collect::<Result<_, _>>().map(Some)
    }

    /// The shortest path from each node to each, by Floyd's algorithm, and within a node its own edge. Row by row.
    fn paths(&self) -> Result<Vec<Path>, TextError> {
        let n = self.nodes.len();
        let mut paths: Vec<Option<Path>> = vec![None; n * n];
        for edge in &self.edges {
            if edge.source.max(edge.target) >= n {
                return Err(TextError::new(self.line, "an edge has an end that is no node"));
            }
            let path = Path { nanos: edge.latency.as_nanos(), loss: edge.packet_loss };
            let (a, b) = (edge.source, edge.target);
            if a == b {
                if paths[a * n + a].replace(path).is_some() {
                    let message = format!("`{}` has more than one edge to itself", self.nodes[a].name());
                    return Err(TextError::new(self.nodes[a].line, message));
                }
                continue;
            }
            Path::shorten(&mut paths[a * n + b], path);
            if !self.directed {
                Path::shorten(&mut paths[b * n + a], path);
            }
        }
        for via in 0..n {
            for a in (0..n).filter(|a| *a != via) {
                let Some(first) = paths[a * n + via] else { continue };
                for b in (0..n).filter(|b| *b != a && *b != via) {
                    if let Some(second) = paths[via * n + b] {
                        Path::shorten(&mut paths[a * n + b], first.then(second));
                    }
                }
            }
        }
        let known = paths.into_iter().enumerate().map(|(at, path)| {
            path.ok_or_else(|| {
                let (from, to) = (&self.nodes[at / n], &self.nodes[at % n]);
                let message = if at / n == at % n {
                    format!(
                        "`{}` has no edge to itself, which says how far apart two of its hosts are: add edge [ source {id} target {id} latency \"1 ms\" ]",
                        from.name(),
                        id = from.id
                    )
                } else {
                    format!("there is no path from `{}` to `{}`", from.name(), to.name())
                };
                TextError::new(from.line, message)
            })
        });
        known.collect()
    }
}

impl GmlNode {
    /// The name of its region.
    fn name(&self) -> String {
        match &self.label {
            Some(label) if !label.is_empty() => label.clone(),
            Some(_) | None => format!("node-{}", self.id),
        }
    }
}

fn rows<T>(n: usize, value: impl Fn(usize, usize) -> T) -> Vec<Vec<T>> {
    (0..n).map(|a| (0..n).map(|b| value(a, b)).collect()).collect()
}

#[derive(Clone, Copy)]
struct Path {
    nanos: u64,
    loss: f64,
}

impl Path {
    fn then(self, next: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(next.nanos),
            // Exact where one of the two loses nothing.
            loss: self.loss + next.loss * (1.0 - self.loss),
        }
    }

    /// Replaces `path` by a shorter one, or one as short that loses less.
    fn shorten(path: &mut Option<Self>, other: Self) {
        let better =
            |path: &Self| other.nanos < path.nanos || (other.nanos == path.nanos && other.loss < path.loss);
        if path.as_ref().is_none_or(better) {
            *path = Some(other);
        }
    }
}

/// The keys of a list.
struct Fields<'a> {
    items: &'a [Item<'a>],
    /// What messages call the list.
    name: &'a str,
    line: usize,
}

impl<'a> Fields<'a> {
    fn of(item: &'a Item<'a>) -> Result<Self, TextError> {
        match &item.value {
            Value::List(items) => Ok(Self { items, name: item.key, line: item.line }),
            Value::Number(_) | Value::Text(_) => {
                Err(TextError::new(item.line, format!("`{}` needs a list in [ ] after it", item.key)))
            }
        }
    }

    fn get(&self, key: &str) -> Result<Option<&'a Item<'a>>, TextError> {
        let mut found = self.items.iter().filter(|item| item.key == key);
        let first = found.next();
        match found.next() {
            Some(second) => Err(TextError::new(second.line, format!("`{key}` is there twice"))),
            None => Ok(first),
        }
    }

    /// A number with its line.
    fn number<T: std::str::FromStr>(&self, key: &str, wanted: &str) -> Result<Option<(T, usize)>, TextError> {
        let Some(item) = self.get(key)? else { return Ok(None) };
        let number = match &item.value {
            Value::Number(digits) => digits.parse().ok(),
            Value::Text(_) | Value::List(_) => None,
        };
        number
            .map(|number| Some((number, item.line)))
            .ok_or_else(|| TextError::new(item.line, format!("`{key}` needs {wanted}")))
    }

    /// A text and its line.
    fn text(&self, key: &str) -> Result<Option<(&'a str, usize)>, TextError> {
        let Some(item) = self.get(key)? else { return Ok(None) };
        match &item.value {
            Value::Text(text) => Ok(Some((text, item.line))),
            Value::Number(_) | Value::List(_) => {
                Err(TextError::new(item.line, format!("`{key}` needs a text in quotes")))
            }
        }
    }

    fn required<T>(&self, key: &str, found: Option<T>) -> Result<T, TextError> {
        found.ok_or_else(|| TextError::new(self.line, format!("this {} needs the key `{key}`", self.name)))
    }

    /// A whole number that is required.
    fn id(&self, key: &str) -> Result<(u32, usize), TextError> {
        self.required(key, self.number(key, "a whole number from 0 on")?)
    }
}

fn node(fields: &Fields<'_>) -> Result<GmlNode, TextError> {
    let bandwidth = |key: &str| {
        fields
            .text(key)?
            .map(|(text, line)| {
                bits_per_second(text).map_err(|message| TextError::new(line, format!("`{key}`: {message}")))
            })
            .transpose()
    };
    Ok(GmlNode {
        id: fields.id("id")?.0,
        label: fields.text("label")?.map(|(label, _)| label.into()),
        host_bandwidth_up: bandwidth("host_bandwidth_up")?,
        host_bandwidth_down: bandwidth("host_bandwidth_down")?,
        line: fields.line,
    })
}

fn edge(fields: &Fields<'_>, indices: &BTreeMap<u32, usize>) -> Result<GmlEdge, TextError> {
    let end = |key: &str| {
        let (id, line) = fields.id(key)?;
        indices
            .get(&id)
            .copied()
            .ok_or_else(|| TextError::new(line, format!("there is no node with id {id}")))
    };
    let (source, target) = (end("source")?, end("target")?);
    let (latency, line) = fields.required("latency", fields.text("latency")?)?;
    let latency = time(latency).map_err(|message| TextError::new(line, format!("`latency`: {message}")))?;
    let packet_loss = match fields.number("packet_loss", "a number from 0 to 1")? {
        Some((loss, line)) => {
            RegionTable::check_loss(loss).map_err(|message| TextError::new(line, message))?;
            loss
        }
        None => 0.0,
    };
    Ok(GmlEdge { source, target, latency, packet_loss })
}

/// `10 ms`; seconds if there is no unit.
fn time(text: &str) -> Result<Duration, String> {
    let nanos = quantity(text, &TIME, &[], "a latency like \"10 ms\"")?;
    if nanos == 0 { Err("a latency must be above 0".into()) } else { Ok(Duration::from_nanos(nanos)) }
}

/// `100 Mbit`; bits if there is no unit.
fn bits_per_second(text: &str) -> Result<u64, String> {
    let bits = quantity(text, &BITS, &["bits", "bit"], "a bandwidth like \"100 Mbit\"")?;
    RegionTable::check_bandwidth(bits).map(|()| bits)
}

/// A number with one of `units`, after which one of `suffixes` may stand, as a multiple of the smallest.
fn quantity(text: &str, units: &[(&[&str], u64)], suffixes: &[&str], wanted: &str) -> Result<u64, String> {
    let shown: String = text.chars().take(40).collect();
    let (number, unit) = split(text);
    let decimal = Decimal::parse(number).ok_or_else(|| format!("`{shown}` is not {wanted}"))?;
    let unit = suffixes.iter().find_map(|suffix| unit.strip_suffix(suffix)).unwrap_or(unit);
    let Some((_, scale)) = units.iter().find(|(names, _)| names.contains(&unit)) else {
        return Err(format!("`{shown}` has an unknown unit: write {wanted}"));
    };
    decimal.times(*scale).ok_or_else(|| format!("`{shown}` is too large or too fine"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As networkx writes a graph for Shadow: two sites and a relay between them, whose ways are the shorter ones.
    const GRAPH: &str = r#"Creator "a test"
graph [
  directed 0
  node [
    id 4
    label "lisbon"
    host_bandwidth_up "50 Mbit"
    host_bandwidth_down "100 Mbit"
  ]
  node [ id 7 host_bandwidth_up "1 Gibit" host_bandwidth_down "1024 megabits" ]
  node [ # a relay
    id 0
    label ""
    host_bandwidth_up "8"
    host_bandwidth_down "9 Kbit"
    graphics [ x 1.5 y -2 ]
  ]
  edge [ source 4 target 4 label "at home" latency "2 ms" jitter "0 ms" packet_loss 0.0 ]
  edge [ source 7 target 7 latency "300 us" ]
  edge [ source 0 target 0 latency "1 ms" packet_loss 0 ]
  edge [ source 4 target 7 latency "0.1" packet_loss 0.5 ]
  edge [ source 4 target 0 latency "30 ms" packet_loss 0.1 ]
  edge [ source 0 target 7 latency "40 ms" packet_loss 0.2 ]
  edge [ source 0 target 7 latency "40 ms" packet_loss 0.3 ]
]
"#;

    fn table(text: &str) -> Result<RegionTable, TextError> {
        GmlNetwork::parse(text)?.table()
    }

    #[test]
    fn a_graph_is_read_as_shadow_reads_it() {
        let network = GmlNetwork::parse(GRAPH).expect("valid");
        assert_eq!((network.directed, network.nodes.len(), network.edges.len()), (false, 3, 7));
        let node = &network.nodes[1];
        assert_eq!((node.id, &node.label, node.host_bandwidth_up), (7, &None, Some(1 << 30)));
        let edge = GmlEdge { source: 0, target: 1, latency: Duration::from_millis(100), packet_loss: 0.5 };
        assert_eq!(network.edges[3], edge);
        let table = network.table().expect("a table");
        assert_eq!(table.regions(), ["lisbon", "node-7", "node-0"]);
        let micros = |a, b| table.one_way(a, b).as_micros();
        assert_eq!((micros(0, 0), micros(1, 1), micros(2, 2)), (2_000, 300, 1_000));
        // 30 + 40 ms by the relay is less than the 100 ms of the edge.
        assert_eq!(
            (micros(0, 1), micros(1, 0), micros(0, 2), micros(2, 1)),
            (70_000, 70_000, 30_000, 40_000)
        );
        let loss = |a, b| table.loss(a, b).expect("some edges lose");
        assert!((loss(1, 0) - 0.28).abs() < 1e-12 && loss(0, 1) == loss(1, 0));
        assert_eq!((loss(0, 0), loss(1, 2)), (0.0, 0.2));
        let bandwidth = [(50_000_000, 100_000_000), (1 << 30, 1_024_000_000), (8, 9_000)];
        assert_eq!(table.bandwidth(), Some(&bandwidth[..]));
        let mut broken = network;
        broken.edges[0].target = 3;
        assert!(broken.table().expect_err("no such node").message.contains("no node"));
    }

    /// Shadow's own test of shortest paths, here without the ways within nodes.
    #[test]
    fn a_directed_graph_has_the_mean_of_both_ways() {
        let graph = |directed: u8| {
            let edge =
                |a: u32, b: u32, ns: u64| format!("edge [ source {a} target {b} latency \"{ns} ns\" ]\n");
            let ways = [(0, 1, 3), (1, 0, 5), (0, 2, 7), (2, 1, 11), (0, 0, 3), (1, 1, 5), (2, 2, 7)];
            let edges: String = ways.into_iter().map(|(a, b, ns)| edge(a, b, ns)).collect();
            format!("graph [ directed {directed} node [ id 0 ] node [ id 1 ] node [ id 2 ]\n{edges}]")
        };
        let nanos = |directed| {
            let table = table(&graph(directed)).expect("valid");
            assert_eq!((table.loss(0, 0), table.bandwidth()), (None, None));
            [(0, 1), (0, 2), (1, 2)].map(|(a, b)| table.one_way(a, b).as_nanos())
        };
        assert_eq!(nanos(0), [3, 7, 10]);
        // There 3 and back 5; there 7 and back 11 + 5; there 5 + 7 and back 11.
        assert_eq!(nanos(1), [4, 11, 11]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let two = |rest: &str| format!("graph [\nnode [ id 0 ]\nnode [ id 1 label \"b\" ]\n{rest}\n]");
        let node = |rest: &str| {
            format!("graph [\nnode [ id 0\n{rest} ]\nedge [ source 0 target 0 latency \"1 ms\" ] ]")
        };
        let edge = |rest: &str| format!("graph [ node [ id 0 ]\nedge [ source 0 target 0 {rest} ] ]");
        let crowd: String = (0..256).map(|id| format!("node [ id {id} ]\n")).collect();
        let loops = "edge [ source 0 target 0 latency \"1 ms\" ] edge [ source 1 target 1 latency \"1 ms\" ]";
        let cases = [
            (String::new(), 1, "there is no `graph [ ... ]`"),
            ("graph [ node [ id 0 ]".into(), 1, "has no `]`"),
            ("\ngraph 5".into(), 2, "`graph` needs a list"),
            ("graph [ ]\ngraph [ ]".into(), 2, "a second `graph`"),
            ("graph [ ]".into(), 1, "1 to 255 regions, got 0"),
            (format!("graph [ {crowd} ]"), 1, "256 nodes are more than the 255"),
            ("graph [ directed 2 ]".into(), 1, "`directed` is 0 or 1"),
            ("graph [ directed 0 directed 1 ]".into(), 1, "`directed` is there twice"),
            ("graph [ node [\n] ]".into(), 1, "this node needs the key `id`"),
            ("graph [ node [ id -1 ] ]".into(), 1, "`id` needs a whole number from 0 on"),
            ("graph [ node [ id \"0\" ] ]".into(), 1, "`id` needs a whole number from 0 on"),
            (two("node [ id 1 ]"), 4, "two nodes with id 1"),
            (two("node [ id 2 label \"b\" ]"), 1, "two regions are called `b`"),
            (node("label \"even\""), 2, "cannot be called `even`"),
            (node("label 5"), 3, "`label` needs a text in quotes"),
            (node("host_bandwidth_up \"1 mbit\""), 3, "`1 mbit` has an unknown unit"),
            (node("host_bandwidth_up \"fast\""), 3, "`fast` is not a bandwidth like \"100 Mbit\""),
            (node("host_bandwidth_up \"0 bit\""), 3, "a bandwidth is 1 to"),
            (node("host_bandwidth_up \"1 bit\""), 2, "`node-0` has no bandwidth"),
            (two(loops), 2, "there is no path from `node-0` to `b`"),
            (two("edge [ source 0 target 1 latency \"1 ms\" ]"), 2, "`node-0` has no edge to itself"),
            (two("edge [ source 0\ntarget 5 ]"), 5, "no node with id 5"),
            (edge(""), 2, "this edge needs the key `latency`"),
            (edge("latency 5"), 2, "`latency` needs a text in quotes"),
            (edge("latency \"0 ms\""), 2, "must be above 0"),
            (edge("latency \"-1 ms\""), 2, "`-1 ms` is not a latency like \"10 ms\""),
            (edge("latency \"1 day\""), 2, "`1 day` has an unknown unit"),
            (edge("latency \"5\""), 1, "a latency of 5s is above"),
            (edge("latency \"1 ms\" packet_loss 1.5"), 2, "from 0 to 1, got 1.5"),
            (
                edge("latency \"1 ms\" ]\nedge [ source 0 target 0 latency \"1 ms\""),
                1,
                "more than one edge to itself",
            ),
        ];
        for (text, line, words) in cases {
            let error = table(&text).expect_err(words);
            assert!(error.line == line && error.message.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_graph_makes_it_panic(
            nodes in prop::collection::vec((0u32..6, "[ab ]{0,2}"), 0..6),
            edges in prop::collection::vec((0u32..6, 0u32..6, "[0-9]{1,20} ?(ns|ms|s|h|)", 0.0..1.2), 0..30),
            directed in 0..3,
            cut in 0usize..2_000,
        ) {
            let mut text = format!("graph [ directed {directed}\n");
            for (id, label) in nodes {
                text.push_str(&format!("node [ id {id} label \"{label}\" ]\n"));
            }
            for (a, b, latency, loss) in edges {
                text.push_str(&format!("edge [ source {a} target {b} latency \"{latency}\" packet_loss {loss} ]\n"));
            }
            text.push(']');
            let _ = (table(&text), table(text.get(..cut).unwrap_or(&text)));
        }
    }
}
