//! Runs a changed machine: peers that serve no IWANT. Does the mesh alone reach everybody over lossy datagrams?
//!
//! `cargo run --release -p hyperspace-sim --example changed_machine`

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Context, Input, Machine};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::time::Instant;
use hyperspace_sim::message::SimMessage;
use hyperspace_sim::scenario::{LinkKind, Scenario};
use hyperspace_sim::{RunError, RunOptions, Simulation, Subject};

struct Deaf(Peer<SimMessage>);

impl Machine for Deaf {
    type Message = SimMessage;
    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        if !matches!(input, Input::Frame { frame: Frame::Iwant(_), .. }) {
            self.0.handle_input(cx, input);
        }
    }
    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.0.handle_timeout(cx);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

impl Subject for Deaf {}

fn main() -> Result<(), RunError> {
    let mut scenario = Scenario::example();
    scenario.network.link = LinkKind::Datagram;
    scenario.network.loss = 0.3;
    let options = RunOptions::default();
    let stock = Simulation::new(&scenario, &options)?.run(&mut |_| {})?.report.delivery;
    let deaf = Simulation::with_machine(&scenario, &options, |_, _| Deaf(Peer::default()))?;
    let deaf = deaf.run(&mut |_| {})?.report.delivery;
    println!("with IWANT {:.4} (p99 {:.0} ms)", stock.ratio, stock.p99_ms);
    println!("without    {:.4} (p99 {:.0} ms)", deaf.ratio, deaf.p99_ms);
    assert!(deaf.ratio <= stock.ratio);
    Ok(())
}
