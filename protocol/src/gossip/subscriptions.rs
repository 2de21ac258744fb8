//! Who subscribes to what: announcements, and the cap on topics per peer.

use std::sync::Arc;

use super::Gossip;
use super::frame::Frame;
use crate::machine::{Context, Count, Message, PeerRef, TopicRef};

impl<M: Message> Gossip<M> {
    /// Greets a new connection with all subscriptions.
    pub(super) fn greet(&self, cx: &mut Context<'_, M>, peer: PeerRef) {
        if !self.topics.is_empty() && !cx.config.gossip.static_mesh {
            let wanted = self.topics.iter().map(|t| (t.topic, true)).collect();
            cx.send(peer, Frame::Subscriptions(Arc::new(wanted)));
        }
    }

    /// Tells everyone that a topic is wanted from now on, or no longer.
    pub(super) fn announce(&self, cx: &mut Context<'_, M>, topic: TopicRef, wanted: bool) {
        if cx.config.gossip.static_mesh {
            return;
        }
        let changes = Arc::new(vec![(topic, wanted)]);
        for (peer, _) in self.neighbours.iter() {
            cx.send(peer, Frame::Subscriptions(Arc::clone(&changes)));
        }
    }

    pub(super) fn on_subscriptions(
        &mut self,
        cx: &mut Context<'_, M>,
        from: PeerRef,
        changes: &[(TopicRef, bool)],
    ) {
        if cx.config.gossip.static_mesh {
            return;
        }
        for &(topic, wanted) in changes {
            if wanted {
                self.note_topic(cx, from, topic);
                continue;
            }
            let Some(neighbour) = self.neighbours.get_mut(from) else { return };
            if let Some(at) = neighbour.topics.iter().position(|t| *t == topic) {
                neighbour.topics.remove(at);
                self.remove_from_mesh(cx, topic, from);
                self.remove_from_fanout(topic, from);
            }
        }
    }

    /// Notes that a peer wants a topic. Returns whether it is noted now; false if it has too many.
    pub(super) fn note_topic(&mut self, cx: &mut Context<'_, M>, peer: PeerRef, topic: TopicRef) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(peer) else { return false };
        if neighbour.topics.contains(&topic) {
            return true;
        }
        let room = neighbour.topics.len() < cx.config.gossip.topics_max;
        if room {
            neighbour.topics.push(topic);
        } else {
            cx.counters.add(Count::TopicCap);
        }
        room
    }
}
