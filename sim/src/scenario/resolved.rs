//! Writes a scenario out in full, defaults and overrides included, so that a result can be rerun without its origin.

use super::model::{Action, Expectation, Group, Network, Scenario, Side, Topology, Value};
use super::reader::{Setting, Size};
use super::{gossip, groups, latency, network as tables, workloads};

/// The TOML text of one arm. It loads back to an equal [`Scenario`].
pub fn resolved(scenario: &Scenario) -> String {
    let mut out = String::from("version = 1\n");
    let regions = scenario.network.latency.region_names();
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
    line(&mut out, "stay", &run.stay);
    line(&mut out, "graph", &run.graph);
    network(&scenario.network, &mut out);
    gossip::write(&scenario.gossip, scenario.envelopes, &mut out);
    tables::write(scenario.dht.as_ref(), &scenario.cards, &mut out);
    out.push_str("\n[cost]\n");
    line(&mut out, "frame", &scenario.cost.frame);
    line(&mut out, "verify", &scenario.cost.verify);
    for entry in &scenario.groups {
        out.push_str(&format!("\n[group.{}]\n", entry.name));
        groups::write(entry, regions, &mut out);
    }
    for entry in &scenario.workloads {
        out.push_str("\n[[workload]]\n");
        workloads::write(entry, &scenario.groups, &mut out);
    }
    for Action::Partition { at, length, a, b, one_way } in &scenario.timeline {
        out.push_str("\n[[at]]\n");
        line(&mut out, "t", at);
        out.push_str("do = \"partition\"\n");
        line(&mut out, "a", &side(a, &scenario.groups, regions));
        line(&mut out, "b", &side(b, &scenario.groups, regions));
        line(&mut out, "for", length);
        line(&mut out, "one_way", one_way);
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
    line(out, "latency", &latency::name(&network.latency));
    line(out, "jitter", &network.jitter);
    line(out, "link", &network.link);
    line(out, "loss", &network.loss);
    line(out, "latency_min", &network.latency_min);
    line(out, "retransmit", &network.retransmit);
    line(out, "stream_timeout", &network.stream_timeout);
    line(out, "redial", &network.redial);
    line(out, "queue_max", &network.queue_max);
    line(out, "duplicate", &network.duplicate);
    line(out, "reorder", &network.reorder);
    line(out, "line_queue", &Size(network.line_queue));
    line(out, "hole_punching", &network.hole_punching);
    line(out, "relay_reservations", &network.relay_reservations);
    match &network.topology {
        Topology::None => line(out, "topology", &"none".to_owned()),
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
    latency::write_table(&network.latency, out);
}

fn side(side: &Side, groups: &[Group], regions: &[String]) -> String {
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
