//! Forged envelopes: different bytes, so checked on their own, rejected everywhere, and no way to poison the memory of
//! verdicts.

use std::sync::Arc;

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Context, Input, Machine, Message, PeerRef, TopicRef};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::time::Instant;
use hyperspace_sim::message::{MessageTable, SimMessage};
use hyperspace_sim::scenario::Scenario;
use hyperspace_sim::{Outcome, RunOptions, Simulation, Subject};

/// Takes part like anybody else, but sends on everything a second time with one byte of the payload changed, and a third
/// time with one character of the signature changed.
struct Forger {
    honest: Peer<SimMessage>,
    number: u32,
    messages: Arc<MessageTable>,
}

impl Forger {
    fn forgeries(&self, message: SimMessage) -> Vec<SimMessage> {
        let stored = self.messages.get(message.index());
        let forge = |place: &str, shift: usize| {
            let mut bytes = stored.bytes.clone();
            let at = stored.bytes.windows(place.len()).position(|w| w == place.as_bytes());
            let at = at.expect("an envelope has this member") + place.len() + shift;
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            self.messages.store(stored.author, message.topic(), stored.published, bytes)
        };
        vec![forge("\"filler\":\"", 3), forge("\"sig\":\"", 5)]
    }
}

/// A peer is honest or a forger.
enum Mixed {
    Honest(Peer<SimMessage>),
    Forger(Forger),
}

impl Mixed {
    fn peer(&mut self) -> &mut Peer<SimMessage> {
        match self {
            Self::Honest(peer) => peer,
            Self::Forger(forger) => &mut forger.honest,
        }
    }
}

impl Machine for Mixed {
    type Message = SimMessage;
    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        if let (Self::Forger(forger), Input::Frame { frame: Frame::Message(message), .. }) = (&*self, &input)
            && forger.messages.get(message.index()).author != forger.number
        {
            for forged in forger.forgeries(*message) {
                let mesh = forger.honest.gossip.mesh_peers(TopicRef(0)).unwrap_or_default().to_vec();
                mesh.into_iter().for_each(|peer| cx.send(peer, Frame::Message(forged)));
            }
        }
        self.peer().handle_input(cx, input);
    }
    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.peer().handle_timeout(cx);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Honest(peer) => peer.poll_timeout(),
            Self::Forger(forger) => forger.honest.poll_timeout(),
        }
    }
}

impl Subject for Mixed {
    fn mesh(&self, topic: TopicRef) -> &[PeerRef] {
        match self {
            Self::Honest(peer) => peer.mesh(topic),
            Self::Forger(forger) => forger.honest.mesh(topic),
        }
    }
}

fn run(forgers: u32, options: RunOptions) -> Outcome {
    let simulation = Simulation::with_machine(&Scenario::example(), &options, |number, messages| {
        if number < forgers {
            Mixed::Forger(Forger { honest: Peer::default(), number, messages: Arc::clone(messages) })
        } else {
            Mixed::Honest(Peer::default())
        }
    });
    simulation.expect("valid").run(&mut |_| {}).expect("no invariant breaks")
}

#[test]
fn forgeries_are_rejected_and_remembering_verdicts_changes_nothing() {
    let memo = run(3, RunOptions::default());
    let everywhere = run(3, RunOptions { memo: false, ..RunOptions::default() });
    let threads = run(3, RunOptions { threads: 2, ..RunOptions::default() });
    assert_eq!(memo.digests, everywhere.digests);
    assert_eq!(memo.digests, threads.digests);
    let count = |o: &Outcome, what| o.report.counts[what];
    // The three forgers are thrown out for what they sent (P4), so they miss messages; the other 97 do not.
    assert!(memo.report.delivery.ratio >= 0.97);
    assert!(memo.report.delivery.ratio < 1.0);
    assert!(count(&memo, "rejected") > 100);
    assert_eq!(count(&memo, "rejected"), count(&everywhere, "rejected"));
    assert!(count(&everywhere, "envelopes_verified") > 10 * count(&memo, "envelopes_verified"));
    assert_eq!(count(&run(0, RunOptions::default()), "rejected"), 0);
}
