//! Writes a scenario out in full, defaults and overrides included, so that a result can be rerun without its origin.

use super::gossip;
use super::model::{
    Action, Expectation, Group, Latency, Network, Regions, Scenario, Side, Topology, Value, Workload,
};
use super::reader::{Setting, Size};
use crate::net::region_names;

/// The TOML text of one arm. It loads back to an equal [`Scenario`].
pub fn resolved(scenario: &Scenario) -> String {
    let mut out = String::from("version = 1\n");
    let regions = region_names(&scenario.network.latency);
    line(&mut out, "name", &scenario.name);
    if let Some(arm) = &scenario.arm {
        line(&mut out, "arm", arm);
    }
    let run = &scenario.run;
    out.push_str("\n[run]\n");
    line(&mut out, "seed", &run.seed);
    line(&mut out, "duration", &run.duration);
    line(&mut out, "warmup", &run.warmup);
    line(&mut out, "drain", &run.drain);
    line(&mut out, "until_idle", &run.until_idle);
    network(&scenario.network, &mut out);
    gossip::write(&scenario.gossip, scenario.envelopes, &mut out);
    out.push_str("\n[cost]\n");
    line(&mut out, "frame", &scenario.cost.frame);
    line(&mut out, "verify", &scenario.cost.verify);
    for entry in &scenario.groups {
        group(entry, regions, &mut out);
    }
    for entry in &scenario.workloads {
        workload(entry, &scenario.groups, &mut out);
    }
    for Action::Partition { at, length, a, b } in &scenario.timeline {
        out.push_str("\n[[at]]\n");
        line(&mut out, "t", at);
        out.push_str("do = \"partition\"\n");
        line(&mut out, "a", &side(a, &scenario.groups, regions));
        line(&mut out, "b", &side(b, &scenario.groups, regions));
        line(&mut out, "for", length);
    }
    for entry in &scenario.expectations {
        expectation(entry, scenario.arm.as_ref(), &mut out);
    }
    out
}

fn line(out: &mut String, key: &str, value: &impl Setting) {
    out.push_str(&format!("{key} = {}\n", value.write()));
}

fn network(network: &Network, out: &mut String) {
    out.push_str("\n[network]\n");
    let latency = match &network.latency {
        Latency::Constant(time) => format!("constant:{time}"),
        Latency::Uniform(low, high) => format!("uniform:{low}..{high}"),
        Latency::Aws2019 => "aws-2019".into(),
        Latency::Simblock2019 => "simblock-2019".into(),
        Latency::Topology => "topology".into(),
    };
    line(out, "latency", &latency);
    line(out, "jitter", &network.jitter);
    line(out, "link", &network.link);
    line(out, "loss", &network.loss);
    line(out, "latency_min", &network.latency_min);
    line(out, "retransmit", &network.retransmit);
    line(out, "stream_timeout", &network.stream_timeout);
    line(out, "redial", &network.redial);
    line(out, "queue_max", &network.queue_max);
    match &network.topology {
        Topology::KOut(k) => line(out, "topology", &format!("k-out:{k}")),
        Topology::Ring(k) => line(out, "topology", &format!("ring:{k}")),
        Topology::SmallWorld(k, share) => {
            line(out, "topology", &format!("small-world:{k}:{share:?}"));
        }
        Topology::ScaleFree(m) => line(out, "topology", &format!("scale-free:{m}")),
        Topology::G8 => line(out, "topology", &"g8".to_owned()),
        Topology::Edges(edges) => {
            out.push_str("topology = [\n");
            for (a, b) in edges {
                out.push_str(&format!("[{a},{b}],\n"));
            }
            out.push_str("]\n");
        }
    }
}

fn group(group: &Group, regions: &[&str], out: &mut String) {
    out.push_str(&format!("\n[group.{}]\n", group.name));
    line(out, "count", &group.count);
    line(out, "behaviour", &group.behaviour);
    line(out, "start", &group.start);
    line(out, "dials", &group.dials);
    line(out, "ips", &group.ips);
    let place = match group.regions {
        Regions::Even => "even",
        Regions::Table => "table",
        Regions::One(index) => regions[index as usize],
    };
    line(out, "regions", &place.to_owned());
}

fn workload(workload: &Workload, groups: &[Group], out: &mut String) {
    out.push_str("\n[[workload]]\n");
    match workload {
        Workload::Publish { group, topic, interval, size, sources, start, stop, messages } => {
            out.push_str("kind = \"publish\"\n");
            line(out, "from", &groups[*group as usize].name);
            line(out, "topic", topic);
            line(out, "interval", interval);
            line(out, "size", &Size(*size));
            line(out, "sources", sources);
            line(out, "start", start);
            line(out, "stop", stop);
            line(out, "messages", messages);
        }
        Workload::G8 { messages, size } => {
            out.push_str("kind = \"g8\"\n");
            line(out, "messages", messages);
            line(out, "size", &Size(*size));
        }
    }
}

fn side(side: &Side, groups: &[Group], regions: &[&str]) -> String {
    match side {
        Side::Group(index) => groups[*index as usize].name.clone(),
        Side::Region(index) => format!("region:{}", regions[*index as usize]),
        Side::Share(share) => format!("share:{share:?}"),
        Side::Rest => "rest".into(),
    }
}

fn expectation(expectation: &Expectation, arm: Option<&String>, out: &mut String) {
    out.push_str("\n[[expect]]\n");
    if let Some(arm) = arm {
        line(out, "arm", arm);
    }
    line(out, "metric", &expectation.metric);
    line(out, "op", &expectation.op);
    match &expectation.value {
        Value::Number(number) => line(out, "value", number),
        Value::Arm { of, factor } => {
            line(out, "of", of);
            line(out, "factor", factor);
        }
    }
    line(out, "stat", &expectation.stat);
    if let Some(peers) = &expectation.peers {
        line(out, "peers", peers);
    }
}
