//! Builds a world, runs it and asserts on it, as a Rust test of a parameter would.
//!
//! `cargo run --release -p hyperspace-sim --example assert_on_a_world`

use hyperspace_protocol::time::Duration;
use hyperspace_sim::scenario::{Latency, Scenario, Topology};
use hyperspace_sim::{RunError, RunOptions, Simulation};

fn main() -> Result<(), RunError> {
    let mut scenario = Scenario::example();
    scenario.groups[0].count = 500;
    scenario.network.topology = Topology::KOut(12);
    scenario.network.latency = Latency::aws_2019();
    scenario.network.loss = 0.01;

    // Would a mesh of 4 instead of 8 still reach everybody? Same seed, so all other randomness is the same.
    for degree in [8, 4] {
        scenario.gossip.mesh_degree = degree;
        scenario.gossip.mesh_degree_min = degree - 1;
        scenario.gossip.mesh_degree_score = degree / 2;
        scenario.gossip.mesh_degree_outbound = degree / 4;
        let options = RunOptions { threads: 2, ..RunOptions::default() };
        let report = Simulation::new(&scenario, &options)?.run(&mut |_| {})?.report;
        println!(
            "degree {degree}: ratio {}, p99 {:.0} ms, {:.1} duplicates per delivery",
            report.delivery.ratio, report.delivery.p99_ms, report.duplicates_mean
        );
        assert_eq!(report.delivery.ratio, 1.0);
        assert!(report.delivery.p99_ms < Duration::from_secs(2).as_millis_f64());
    }
    Ok(())
}
