//! All of one participant: the parent machine that drains its children inside itself.
//!
//! So far the one child is [`Gossip`]; new messages pass the envelope's receiver checks (freshness, replay) here, after
//! the driver found the envelope itself in order.

use crate::envelope::ReplayWindow;
use crate::gossip::{Gossip, Verdict};
use crate::machine::{Context, Input, Inspection, Machine, Message};
use crate::time::Instant;

/// One participant's whole protocol state.
#[derive(Debug)]
pub struct Peer<M: Message> {
    /// GossipSub.
    pub gossip: Gossip<M>,
    replay: ReplayWindow<M::Nonces>,
}

impl<M: Message> Default for Peer<M> {
    fn default() -> Self {
        Self { gossip: Gossip::default(), replay: ReplayWindow::default() }
    }
}

impl<M: Message> Peer<M> {
    /// Spec 7.2 step 2: each peer validates the signed envelope. A replayed or stale one is nobody's fault in the mesh:
    /// honest peers may hand it on before their own clocks say so.
    fn check(&mut self, cx: &Context<'_, M>, message: &M) -> Verdict {
        match cx.services.inspect(message) {
            Inspection::Bare => Verdict::Accept,
            Inspection::Invalid => Verdict::Reject,
            Inspection::Valid { ts, nonce } => {
                match self.replay.admit(cx.now, cx.unix, ts, &nonce, &cx.config.replay) {
                    Ok(()) => Verdict::Accept,
                    Err(_) => Verdict::Ignore,
                }
            }
        }
    }
}

impl<M: Message> Machine for Peer<M> {
    type Message = M;

    fn handle_input(&mut self, cx: &mut Context<'_, M>, input: Input<M>) {
        match input {
            Input::Start => self.gossip.start(cx),
            Input::Connected { peer, info } => self.gossip.on_connected(cx, peer, info),
            Input::Disconnected { peer } => self.gossip.on_disconnected(cx, peer),
            Input::Frame { from, frame } => {
                if let Some(message) = self.gossip.on_frame(cx, from, frame) {
                    let verdict = self.check(cx, &message);
                    self.gossip.on_verdict(cx, from, message, verdict);
                }
            }
            Input::Publish(message) => self.gossip.publish(cx, message),
            Input::Subscribe(topic) => self.gossip.subscribe(cx, topic),
            Input::Unsubscribe(topic) => self.gossip.unsubscribe(cx, topic),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, M>) {
        self.gossip.handle_timeout(cx);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.gossip.poll_timeout()
    }
}
