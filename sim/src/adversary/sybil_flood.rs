//! Sybils that take places in the mesh and forward nothing.
//!
//! Modelled on the attacker of Protocol Labs' v1.1 evaluation (gossipsub-hardening `test/badboy.go`): it claims every
//! topic its neighbour subscribes to, grafts itself into the mesh at once, drops every message and gossips nothing; after
//! a PRUNE it grafts again when the backoff of 60 s is over, plus up to 15 s.

use std::sync::Arc;

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Context, Input, Machine, PeerRef, TopicRef};
use hyperspace_protocol::time::{Duration, Instant};

use crate::message::SimMessage;

const REGRAFT_AFTER: Duration = Duration::from_secs(60);
const REGRAFT_SPREAD: Duration = Duration::from_secs(15);

/// See the module's text.
#[derive(Debug, Default)]
pub struct SybilFlood {
    /// GRAFTs to send, by time.
    due: Vec<(Instant, PeerRef, TopicRef)>,
}

impl Machine for SybilFlood {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        match input {
            Input::Frame { from, frame: Frame::Subscriptions(changes) } => {
                for (topic, _) in changes.iter().filter(|(_, wanted)| *wanted) {
                    cx.send(from, Frame::Subscriptions(Arc::new(vec![(*topic, true)])));
                    cx.send(from, Frame::Graft(*topic));
                }
            }
            Input::Frame { from, frame: Frame::Prune(prune) } => {
                let spread = Duration::from_nanos(cx.rng.below(REGRAFT_SPREAD.as_nanos()));
                self.due.push((cx.now + REGRAFT_AFTER + spread, from, prune.topic));
            }
            Input::Disconnected { peer } => self.due.retain(|(_, p, _)| *p != peer),
            Input::Start
            | Input::Connected { .. }
            | Input::Frame { .. }
            | Input::Publish(_)
            | Input::Subscribe(_)
            | Input::Unsubscribe(_)
            | Input::Request { .. }
            | Input::Response { .. }
            | Input::RequestFailed { .. }
            | Input::Discovered(_)
            | Input::Command(_)
            | Input::Agent(_) => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        let now = cx.now;
        self.due.retain(|(at, peer, topic)| {
            let later = *at > now;
            if !later {
                cx.send(*peer, Frame::Graft(*topic));
            }
            later
        });
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due.iter().map(|(at, ..)| *at).min()
    }
}
