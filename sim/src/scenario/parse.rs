//! From the tree to a [`Scenario`]: types, units, defaults and names. What the values mean together is judged by
//! [`check`](super::check).

use std::path::Path;

use hyperspace_protocol::time::Duration;

use super::error::{Fault, Origin};
use super::keys::{AT, COST, EXPECT, GROUP, NETWORK, ROOT, RUN};
use super::metrics;
use super::model::{
    Action, Cost, Expectation, Group, Latency, LinkKind, Network, Run, Scenario, Side, Stat, Topology, Value,
};
use super::reader::{Reader, Size, text, wrong};
use super::tree::{Node, Value as TreeValue};
use super::workloads::WORKLOAD;
use super::{gossip, groups, latency, network, topology, units, workloads};

/// Which arm is read, and which there are.
pub(super) struct Arms<'a> {
    /// The one being read, if the file has any.
    pub(super) this: Option<&'a str>,
    /// All of the file.
    pub(super) all: &'a [String],
}

/// Reads one arm of a file; `base` is where its files are.
pub(super) fn scenario(tree: &Node, arms: &Arms<'_>, base: &Path) -> Result<Scenario, Fault> {
    let root = Reader::new(tree, tree.at, "the file".into(), ROOT)?;
    let version: u64 = root.required("version")?;
    if version != 1 {
        return Err(Fault::new(tree.place("version"), format!("version {version} is unknown"))
            .help("this is version = 1"));
    }
    let name: String = root.required("name")?;
    let resolved_arm: Option<String> = root.read("arm")?;
    let run = run(&root.table("run", RUN)?)?;
    let network_table = links(&root.table("network", NETWORK)?, base)?;
    let (gossip, envelopes) = gossip::read(&root.table("gossip", gossip::GOSSIP)?, base)?;
    let dht = root.get("dht").map(|_| network::dht(&root.table("dht", network::DHT)?)).transpose()?;
    let cards = network::cards(&root.table("cards", network::CARDS)?)?;
    let cost = root.table("cost", COST)?;
    let cost = Cost { frame: cost.or("frame", Duration::ZERO)?, verify: cost.or("verify", Duration::ZERO)? };
    let regions: Vec<&str> = network_table.latency.region_names().iter().map(String::as_str).collect();
    let groups: Vec<Group> = root
        .named("group", GROUP)?
        .into_iter()
        .map(|(entry, reader)| groups::read(&entry.key, &reader, &regions, base))
        .collect::<Result<_, _>>()?;
    if groups.is_empty() {
        return Err(Fault::new(tree.place("group"), "there is no group of peers")
            .help("add [group.honest] with a count"));
    }
    let workloads = root
        .list("workload", WORKLOAD)?
        .iter()
        .map(|w| workloads::read(w, &run, &groups))
        .collect::<Result<_, _>>()?;
    let timeline =
        root.list("at", AT)?.iter().map(|a| action(a, &groups, &regions)).collect::<Result<_, _>>()?;
    let mut expectations = Vec::new();
    for reader in root.list("expect", EXPECT)? {
        let resolved = resolved_arm.is_some();
        expectations.extend(expectation(&reader, arms, resolved)?);
    }
    let arm = arms.this.map(str::to_owned).or(resolved_arm);
    Ok(Scenario {
        name,
        arm,
        run,
        network: network_table,
        gossip,
        envelopes,
        dht,
        cards,
        cost,
        groups,
        workloads,
        timeline,
        expectations,
    })
}

fn run(reader: &Reader<'_>) -> Result<Run, Fault> {
    let duration = reader.or("duration", Duration::from_secs(60))?;
    let warmup = reader.or("warmup", Duration::ZERO)?;
    let half = Duration::from_nanos(duration.saturating_sub(warmup).as_nanos() / 2);
    Ok(Run {
        seed: reader.or("seed", 1)?,
        duration,
        warmup,
        drain: reader.or("drain", half.min(Duration::from_secs(5)))?,
        until_idle: reader.or("until_idle", false)?,
        stay: reader.or("stay", Duration::from_secs(10))?,
        graph: reader.or("graph", false)?,
    })
}

fn links(reader: &Reader<'_>, base: &Path) -> Result<Network, Fault> {
    let latency = latency::read(reader, base)?;
    let floor = match &latency {
        Latency::Constant(least) | Latency::Uniform(least, _) if !least.is_zero() => *least,
        // The g8 workload's links take 10 ms or more.
        Latency::Topology => Duration::from_millis(10),
        Latency::Regions(table) => table.shortest().min(Duration::from_millis(1)),
        Latency::Constant(_) | Latency::Uniform(..) => Duration::from_millis(1),
    };
    Ok(Network {
        jitter: reader.or("jitter", 0.0)?,
        link: reader.or("link", LinkKind::Stream)?,
        loss: reader.or("loss", 0.0)?,
        latency_min: reader.or("latency_min", floor)?,
        retransmit: reader.or("retransmit", Duration::from_millis(200))?,
        stream_timeout: reader.or("stream_timeout", Duration::from_secs(10))?,
        redial: reader.or("redial", Duration::from_secs(5))?,
        queue_max: reader.or("queue_max", 5000)?,
        topology: reader.get("topology").map_or(Ok(Topology::KOut(10)), |node| topology::read(node, base))?,
        duplicate: reader.or("duplicate", 0.0)?,
        reorder: reader.or("reorder", 0.0)?,
        line_queue: reader.or("line_queue", Size(4 << 20))?.0,
        hole_punching: reader.or("hole_punching", 0.0)?,
        relay_reservations: reader.or("relay_reservations", 128)?,
        latency,
    })
}

pub(super) fn region(at: Origin, name: &str, regions: &[&str]) -> Result<u32, Fault> {
    match regions.iter().position(|region| *region == name) {
        Some(index) => Ok(index as u32),
        None if regions.is_empty() => {
            Err(Fault::new(at, format!("region `{name}`, but this latency model has no regions"))
                .help("use one that has: aws-2019, simblock-2019, bootstrap-6, csv:FILE, gml:FILE or table"))
        }
        None => Err(Fault::unknown(at, "region", name, regions)),
    }
}

pub(super) fn group_index(at: Origin, name: &str, groups: &[Group]) -> Result<u32, Fault> {
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let index = names.iter().position(|group| *group == name);
    index.map(|index| index as u32).ok_or_else(|| Fault::unknown(at, "group", name, &names))
}

pub(super) fn both(reader: &Reader<'_>, one: &str, other: &str) -> Fault {
    let at = reader.get(one).map_or(reader.at, |node| node.at);
    Fault::new(at, format!("`{one}` and `{other}` say the same thing: give one of them"))
}

fn action(reader: &Reader<'_>, groups: &[Group], regions: &[&str]) -> Result<Action, Fault> {
    let verb = reader.get("do").ok_or_else(|| reader.missing("do"))?;
    match text(verb)? {
        "partition" => Ok(Action::Partition {
            at: reader.required("t")?,
            length: reader.required("for")?,
            a: side(reader.get("a").ok_or_else(|| reader.missing("a"))?, groups, regions)?,
            b: reader.get("b").map_or(Ok(Side::Rest), |node| side(node, groups, regions))?,
            one_way: reader.or("one_way", false)?,
        }),
        name => Err(Fault::unknown(verb.at, "action", name, &["partition"])),
    }
}

fn side(node: &Node, groups: &[Group], regions: &[&str]) -> Result<Side, Fault> {
    let shown = text(node)?;
    match shown.split_once(':') {
        Some(("region", name)) => region(node.at, name.trim(), regions).map(Side::Region),
        Some(("share", share)) => {
            units::share(share).map(Side::Share).map_err(|message| Fault::new(node.at, message))
        }
        Some((kind, _)) => Err(Fault::unknown(node.at, "side", kind, &["region", "share"])),
        None if shown == "rest" => Ok(Side::Rest),
        None => group_index(node.at, shown, groups).map(Side::Group),
    }
}

/// The expectation, if it speaks of the arm that is read.
fn expectation(reader: &Reader<'_>, arms: &Arms<'_>, resolved: bool) -> Result<Option<Expectation>, Fault> {
    let known = |node: &Node| -> Result<String, Fault> {
        let name = text(node)?;
        if !resolved && !arms.all.iter().any(|arm| arm == name) {
            let all: Vec<&str> = arms.all.iter().map(String::as_str).collect();
            return Err(Fault::unknown(node.at, "arm", name, &all));
        }
        Ok(name.into())
    };
    let arm = reader.get("arm").map(known).transpose()?;
    let node = reader.get("metric").ok_or_else(|| reader.missing("metric"))?;
    let metric: String = text(node)?.into();
    metrics::check_name(&metric).map_err(|message| Fault::new(node.at, message))?;
    if let Some(node) = reader.get("group")
        && text(node)? != "honest"
    {
        return Err(Fault::new(node.at, "measurements are of the honest peers")
            .help("write \"honest\", or leave it out"));
    }
    let value = match (reader.read("value")?, reader.get("of")) {
        (Some(number), None) => {
            if let Some(node) = reader.get("factor") {
                return Err(Fault::new(node.at, "`factor` has a meaning only with `of`"));
            }
            Value::Number(number)
        }
        (None, Some(node)) => {
            let of = known(node)?;
            if !resolved && arm.as_ref().is_none_or(|arm| *arm == of) {
                return Err(Fault::new(node.at, "an arm is compared with another one")
                    .help("name the arm that must meet this with `arm`"));
            }
            Value::Arm { of, factor: reader.or("factor", 1.0)? }
        }
        (None, None) => return Err(reader.missing("value").help("a number; or `of`, another arm")),
        (Some(_), Some(_)) => return Err(both(reader, "of", "value")),
    };
    let expectation = Expectation {
        metric,
        op: reader.required("op")?,
        value,
        stat: reader.or("stat", Stat::Mean)?,
        peers: reader.read("peers")?,
    };
    Ok((arm.is_none() || arm.as_deref() == arms.this || resolved).then_some(expectation))
}

/// Names the arms in a document's `[arms]`.
pub(super) fn arm_names(arms: &Node) -> Result<Vec<String>, Fault> {
    let TreeValue::Table(entries) = &arms.value else { return Err(wrong(arms, "the table [arms]")) };
    for entry in entries {
        if !matches!(entry.node.value, TreeValue::Table(_)) {
            return Err(wrong(&entry.node, &format!("the table [arms.{}]", entry.key)));
        }
        super::check::name("arm", &entry.key).map_err(|message| Fault::new(entry.key_at, message))?;
    }
    Ok(entries.iter().map(|entry| entry.key.clone()).collect())
}
