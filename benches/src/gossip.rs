//! GossipSub in the simulator: events per second of whole runs on one thread, without the time to set them up.
//!
//! * `convergence`: signed messages of 1 KiB on a random overlay with heartbeats, with and without peer scores.
//! * `g8`: the cross-simulator workload, ten messages flooded over a fixed overlay without heartbeats: little but the
//!   engine. It is the floor of an event.

use std::time::{Duration as WallDuration, Instant};

use hyperspace_protocol::time::Duration;
use hyperspace_sim::scenario::{Overrides, Scenario, Workload, load, shipped};
use hyperspace_sim::{RunOptions, Simulation};

use crate::{Case, Effort, Timed, add};

/// All cases.
///
/// # Panics
/// If a scenario cannot be run.
pub fn cases(effort: Effort) -> Vec<Case> {
    let (peers, many) = match effort {
        Effort::Quick => (50, 100),
        Effort::Full => (1_000, 10_000),
    };
    let mut cases = Vec::new();
    let flood = add(&mut cases, case("g8", peers, g8(peers)));
    cases.push(case("g8", many, g8(many)).over([(flood, 1)]));
    cases.push(case("convergence, no scores", peers, convergence(peers, false)).over([(flood, 1)]));
    cases.push(case("convergence, scores", peers, convergence(peers, true)).over([(flood, 1)]));
    cases
}

/// One operation is one event.
fn case(what: &str, peers: u32, scenario: Scenario) -> Case {
    Case::new(what, Some(peers.into()), move || {
        let scenario = scenario.clone();
        move |times| {
            let runs = (0..times).map(|_| run(&scenario));
            runs.fold(Timed { ops: 0, time: WallDuration::ZERO }, |sum, one| Timed {
                ops: sum.ops + one.ops,
                time: sum.time + one.time,
            })
        }
    })
}

fn run(scenario: &Scenario) -> Timed {
    let simulation = Simulation::new(scenario, &RunOptions::default()).expect("the scenario can be run");
    let start = Instant::now();
    let outcome = simulation.run(&mut |_| {}).expect("no invariant breaks");
    Timed { ops: outcome.report.events, time: start.elapsed() }
}

fn g8(peers: u32) -> Scenario {
    let text = shipped("g8").expect("ships");
    let set = vec![format!("group.honest.count={peers}")];
    let arms = load("g8", text, "".as_ref(), &Overrides { set, ..Overrides::default() }).expect("is valid");
    arms.into_iter().next().expect("a file has an arm")
}

/// Publishes 40 messages in 4 s, when the mesh has formed.
fn convergence(peers: u32, scores: bool) -> Scenario {
    let mut scenario = Scenario::example();
    scenario.groups[0].count = peers;
    scenario.gossip.scores = scores;
    scenario.run.duration = Duration::from_secs(9);
    scenario.run.warmup = Duration::from_secs(3);
    scenario.run.drain = Duration::from_secs(2);
    if let Workload::Publish { start, stop, .. } = &mut scenario.workloads[0] {
        (*start, *stop) = (Duration::from_secs(3), Duration::from_secs(7));
    }
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_converge() {
        for (scenario, messages) in
            [(convergence(100, false), 40), (convergence(100, true), 40), (g8(100), 10)]
        {
            let simulation = Simulation::new(&scenario, &RunOptions::default()).expect("can be run");
            let delivery = simulation.run(&mut |_| {}).expect("no invariant breaks").report.delivery;
            assert_eq!((delivery.ratio, delivery.messages), (1.0, messages), "{}", scenario.name);
        }
    }
}
