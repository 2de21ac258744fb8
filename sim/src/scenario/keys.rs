//! Every key of a scenario file: one table that the reader checks against and the JSON Schema is made from.

use serde_json::{Map, Value, json};

use super::gossip::GOSSIP;
use super::groups::CHURN;
use super::metrics::METRICS;
use super::model::{Behaviour, LinkKind, Op, Stat};
use super::network::{CARDS, DHT};
use super::reader::Setting;
use super::workloads::WORKLOAD;

/// One key.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// What it means, and its default with the origin of that.
    pub(super) doc: &'static str,
}

/// What a key's value looks like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Count,
    /// A number, or a percentage as text.
    Number,
    Text,
    Duration,
    /// A number of milliseconds above 0.
    Milliseconds,
    Size,
    Rate,
    /// Bits per second as text, or 0.
    Bandwidth,
    Choice(&'static [&'static str]),
    /// `k-out:20` and so on, or the edges themselves.
    Topology,
    Table(&'static [Field]),
    /// An array of plain values, or of arrays of them.
    Array(&'static Self),
    /// Text, or an array of it.
    TextOrTexts,
    /// Tables by a free name.
    Named(&'static [Field]),
    /// An array of tables.
    List(&'static [Field]),
    /// Changes to the rest of the file, by a free name.
    Arms,
}

/// A table row.
pub(super) const fn field(key: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { key, kind, doc }
}

pub(super) static ROOT: &[Field] = &[
    field("version", Kind::Count, "Version of this format. Required; always 1."),
    field("name", Kind::Text, "Name of the scenario: letters, digits, `-`, `_`, `.`. Required."),
    field("arm", Kind::Text, "Set in resolved files only: which arm of a larger scenario this file is."),
    field("run", Kind::Table(RUN), "Seed and times."),
    field("network", Kind::Table(NETWORK), "Links between peers, and who is connected to whom."),
    field("gossip", Kind::Table(GOSSIP), "GossipSub settings: a profile and changes to it."),
    field("dht", Kind::Table(DHT), "A Kademlia DHT among the peers. Without this table there is none."),
    field("cards", Kind::Table(CARDS), "Times and bounds of capability cards."),
    field("cost", Kind::Table(COST), "Virtual CPU time per operation."),
    field("group", Kind::Named(GROUP), "Peers, by group. At least one group is honest."),
    field("workload", Kind::List(WORKLOAD), "What is published, looked up, announced or placed."),
    field("at", Kind::List(AT), "What happens at a fixed time."),
    field("arms", Kind::Arms, "Each arm is the same run, on the same random numbers, with these changes."),
    field("expect", Kind::List(EXPECT), "What must hold at the end."),
];

pub(super) static RUN: &[Field] = &[
    field("seed", Kind::Count, "Seed of every random number. Default 1."),
    field("duration", Kind::Duration, "Virtual time to simulate. Default \"60s\" (our choice)."),
    field(
        "warmup",
        Kind::Duration,
        "Frames, bytes, drops and messages count from here on; events and what the network did (net_*) from the start. Default \"0s\".",
    ),
    field(
        "drain",
        Kind::Duration,
        "Messages of the last `drain` of the run do not count: they had no time to arrive. Default \"5s\", or half of the time after the warmup if that is less (our choice).",
    ),
    field(
        "until_idle",
        Kind::Flag,
        "End as soon as nothing is in flight or scheduled but heartbeats. Default false.",
    ),
    field(
        "stay",
        Kind::Duration,
        "Where peers come and go, a message counts for those that are up from its publication until so much later. Default \"10s\" (our choice).",
    ),
    field(
        "graph",
        Kind::Flag,
        "Describe the graph of open links between honest peers at the end: pieces, diameter, peers and links whose loss splits it. Default false.",
    ),
];

pub(super) static NETWORK: &[Field] = &[
    field(
        "latency",
        Kind::Text,
        "One-way base latency of a link: \"constant:20ms\", \"uniform:10ms..150ms\", or by region: \"aws-2019\", \"simblock-2019\", \"bootstrap-6\" (the sites of Hyperspace's bootstrap nodes, modelled by distance), \"csv:FILE\" (a matrix in ms), \"gml:FILE\" (a network graph of the simulator Shadow), \"table\" (the matrix in [network.table]); or \"topology\" (g8 only). Default \"table\" if there is [network.table], else \"uniform:10ms..150ms\", as in the g8 workload.",
    ),
    field("table", Kind::Table(TABLE), "Regions and the latency between them, used by latency = \"table\"."),
    field(
        "jitter",
        Kind::Number,
        "Each frame takes longer by a uniform share of the base in [0, jitter]. Default 0.",
    ),
    field(
        "link",
        LinkKind::KIND,
        "\"stream\": in order, a loss becomes delay, then a disconnect; \"datagram\": a loss is a loss. Default \"stream\", as GossipSub runs over streams.",
    ),
    field("loss", Kind::Number, "Probability that a packet is lost, in [0, 1). Default 0."),
    field(
        "latency_min",
        Kind::Duration,
        "No latency is below this. Default: the smallest latency of the model, for tables no more than \"1ms\"; \"1ms\" where that is 0 (our choice).",
    ),
    field(
        "retransmit",
        Kind::Duration,
        "Stream links: time until a lost packet is sent again; doubles with each loss of the same packet. Default \"200ms\", the least of Linux TCP.",
    ),
    field(
        "stream_timeout",
        Kind::Duration,
        "Stream links: a connection that got nothing through for this long is closed. Default \"10s\", the write timeout of Yamux in Go.",
    ),
    field(
        "redial",
        Kind::Duration,
        "After a close the dialling side tries again after a uniform time up to this. Default \"5s\" (our choice).",
    ),
    field(
        "queue_max",
        Kind::Count,
        "Frames that wait in one direction of a cut stream link. Default 5000, the handler queue of rust-libp2p.",
    ),
    field(
        "topology",
        Kind::Topology,
        "Who is connected at the start: \"k-out:20\" (each dials 20 at random), \"ring:2\" (each dials the next 2), \"small-world:4:10%\" (a ring with a tenth of its links led astray), \"scale-free:5\" (each dials 5 by their degree), \"none\", \"g8\", \"file:PATH\" with a line `a b` or `a,b` per edge, or an array of [a, b]. Default \"k-out:10\" (our choice).",
    ),
    field("duplicate", Kind::Number, "Datagram links: share of frames that arrive twice. Default 0."),
    field(
        "reorder",
        Kind::Number,
        "Datagram links: share of frames held back by their base latency once more, so that later ones overtake them. Default 0.",
    ),
    field(
        "line_queue",
        Kind::Size,
        "Bytes that wait for a peer's own line, each way, where `upload` or `download` limits it; what finds more is dropped. Default \"4MiB\", about the largest socket buffer of Linux.",
    ),
    field(
        "hole_punching",
        Kind::Number,
        "Share of pairs in which a peer behind a NAT is reached directly after all (DCUtR). Default 0.",
    ),
    field(
        "relay_reservations",
        Kind::Count,
        "Peers behind NATs that one relay serves; others cannot be reached. Default 128, as in libp2p's circuit relay v2.",
    ),
];

pub(super) static TABLE: &[Field] = &[
    field(
        "regions",
        Kind::Array(&Kind::Text),
        "Names of the regions, 1 to 255; `regions` of a group and `region:NAME` speak of them. Required.",
    ),
    field(
        "one_way_ms",
        Kind::Array(&Kind::Array(&Kind::Milliseconds)),
        "One-way base latency in ms: a row per region, a number per region in each, the same both ways. Required.",
    ),
    field(
        "shares",
        Kind::Array(&Kind::Number),
        "The share of peers in each region, for groups with regions = \"table\"; they add up to 1. Default: even.",
    ),
    field(
        "bandwidth_up_bps",
        Kind::Array(&Kind::Count),
        "What a peer of each region can send, in bits per second, if its group has no `upload`. With `bandwidth_down_bps`. Default: no limit.",
    ),
    field(
        "bandwidth_down_bps",
        Kind::Array(&Kind::Count),
        "What a peer of each region can receive, in bits per second, if its group has no `download`. With `bandwidth_up_bps`. Default: no limit.",
    ),
    field(
        "loss",
        Kind::Array(&Kind::Array(&Kind::Number)),
        "Probability that a packet between two regions is lost, in [0, 1], in the shape of `one_way_ms`. On top of `loss`. Default: none.",
    ),
];

pub(super) static COST: &[Field] = &[
    field("frame", Kind::Duration, "Per frame of any kind. Default \"0s\"."),
    field("verify", Kind::Duration, "Per envelope verified, once per message and peer. Default \"0s\"."),
];

pub(super) static GROUP: &[Field] = &[
    field("count", Kind::Count, "How many peers. Required."),
    field(
        "behaviour",
        Behaviour::KIND,
        "\"sybil-flood\" takes mesh places and forwards nothing; \"dht-sybil\" takes places in routing tables, and names only its own group to whoever looks something up; \"provider-flood\" sends 50 provider records a second to every DHT server that it is connected with. Default \"honest\".",
    ),
    field("start", Kind::Duration, "When they come up. Default \"0s\"."),
    field(
        "dials",
        Kind::Count,
        "Links each dials at its start to peers of groups without `dials`. Default 0: the group takes part in the topology.",
    ),
    field("ips", Kind::Count, "Addresses that the group shares, at most. Default 0: one each."),
    field(
        "regions",
        Kind::Text,
        "\"even\", \"table\" (the shares of the latency table), or a region like \"eu-central-1\". Default \"even\".",
    ),
    field(
        "churn",
        Kind::Table(CHURN),
        "Its peers come and go. Without this table they are up from `start` on.",
    ),
    field("nat", Kind::Flag, "Nobody can dial its peers but over a relay; they serve no DHT. Default false."),
    field("relay", Kind::Flag, "Its peers relay for peers behind NATs. Default false."),
    field(
        "upload",
        Kind::Bandwidth,
        "Bandwidth from each peer to the network. Default: that of its region, else no limit (0).",
    ),
    field(
        "download",
        Kind::Bandwidth,
        "Bandwidth from the network to each peer. Default: that of its region, else no limit (0).",
    ),
    field(
        "clock_skew",
        Kind::Duration,
        "Each peer's wall clock is off by a uniform time up to this, either way. Default \"0s\".",
    ),
    field(
        "clock_drift",
        Kind::Number,
        "And gains or loses a uniform share of the time up to this: 0.0001 is 100 ppm. Default 0.",
    ),
];

pub(super) static AT: &[Field] = &[
    field("t", Kind::Duration, "When. Required."),
    field(
        "do",
        Kind::Choice(&["partition"]),
        "\"partition\": no packet passes between `a` and `b`. Required.",
    ),
    field(
        "a",
        Kind::Text,
        "One side: \"region:NAME\", \"share:50%\" (the first half of every group), or a group. Required.",
    ),
    field("b", Kind::Text, "The other side: the same, or \"rest\". Default \"rest\"."),
    field("for", Kind::Duration, "How long. Required."),
    field("one_way", Kind::Flag, "Only what goes from `a` to `b` is stopped. Default false."),
];

pub(super) static EXPECT: &[Field] = &[
    field("arm", Kind::Text, "Which arm must meet this. Default: each."),
    field(
        "metric",
        Kind::Text,
        "A number of the report: one of the examples, `counts.NAME` with a name under `counts` in `run --json`, or `latency.count(A..B)`, first deliveries that took A to below B ms. Required.",
    ),
    field(
        "group",
        Kind::Choice(&["honest"]),
        "Whose metric: measurements are of honest peers, so only \"honest\" is valid.",
    ),
    field("op", Op::KIND, "Required."),
    field("value", Kind::Number, "Compared with this number. This or `of`."),
    field("of", Kind::Text, "Compared with the same metric of this other arm; needs `arm`."),
    field("factor", Kind::Number, "With `of`: multiplies the other arm's value. Default 1."),
    field("stat", Stat::KIND, "Over the seeds of a run. Default \"mean\"."),
    field(
        "peers",
        Kind::Count,
        "Holds only in a world of this many peers, for check values known for some sizes. Default: any.",
    ),
];

/// The JSON Schema (2020-12) of scenario files, for editors.
pub fn schema() -> Value {
    let mut root = table(ROOT);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("hyperlab scenario");
    root["required"] = json!(["version", "name", "group"]);
    root["properties"]["expect"]["items"]["properties"]["metric"]["examples"] = json!(METRICS);
    root["properties"]["version"] = json!({ "const": 1, "description": ROOT[0].doc });
    root
}

fn table(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = schema_of(field.kind);
            schema["description"] = json!(field.doc);
            (field.key.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn schema_of(kind: Kind) -> Value {
    let quantity =
        |units: &str| json!({ "type": "string", "pattern": format!(r"^\s*\d+(\.\d+)?\s*({units})$") });
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Number => json!({ "type": ["number", "string"], "pattern": r"^\s*-?\d+(\.\d+)?\s*%\s*$" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Duration => quantity("ns|us|µs|ms|s|m|h"),
        Kind::Milliseconds => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Kind::Size => json!({ "anyOf": [quantity("B|KB|KiB|MB|MiB"), { "type": "integer", "minimum": 0 }] }),
        Kind::Rate => quantity(r"/\s*(ns|us|µs|ms|s|m|h)"),
        Kind::Bandwidth => json!({ "anyOf": [quantity("(k|M|G)?bit/s"), { "const": 0 }] }),
        Kind::Choice(names) => json!({ "enum": names }),
        Kind::Topology => json!({ "type": ["string", "array"], "items": {
            "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 2, "maxItems": 2
        } }),
        Kind::Table(fields) => table(fields),
        Kind::TextOrTexts => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Kind::Array(items) => json!({ "type": "array", "items": schema_of(*items) }),
        Kind::Named(fields) => json!({ "type": "object", "additionalProperties": table(fields) }),
        Kind::List(fields) => json!({ "type": "array", "items": table(fields) }),
        Kind::Arms => json!({ "type": "object", "additionalProperties": { "type": "object" } }),
    }
}
