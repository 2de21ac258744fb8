//! Fanout: peers of topics that this peer publishes on without subscribing.

use smallvec::SmallVec;

use super::Gossip;
use super::select::choose;
use crate::machine::{Context, Message, PeerRef, TopicRef};
use crate::time::Instant;

/// The peers of one topic, and when it was last published on.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) topic: TopicRef,
    pub(super) peers: SmallVec<[PeerRef; 8]>,
    pub(super) last_publish: Instant,
}

impl<M: Message> Gossip<M> {
    /// The fanout peers of a topic, chosen now if there are none yet.
    pub(super) fn fanout_for_publish(
        &mut self,
        cx: &mut Context<'_, M>,
        topic: TopicRef,
    ) -> SmallVec<[PeerRef; 8]> {
        let config = &cx.config.gossip;
        let mut fanout = match self.fanout.iter().position(|f| f.topic == topic) {
            Some(at) => self.fanout.swap_remove(at),
            None => Fanout { topic, peers: SmallVec::new(), last_publish: cx.now },
        };
        fanout.last_publish = cx.now;
        if fanout.peers.is_empty() {
            self.fill_fanout(cx, &mut fanout, config.mesh_degree);
        }
        let peers = fanout.peers.clone();
        self.fanout.push(fanout);
        peers
    }

    /// Adds random peers of the topic above the publish threshold until there are `wanted`.
    fn fill_fanout(&self, cx: &mut Context<'_, M>, fanout: &mut Fanout, wanted: usize) {
        let threshold = cx.config.gossip.score.publish_threshold;
        let mut candidates = self.candidates(cx.config, |peer, n, score| {
            n.topics.contains(&fanout.topic)
                && !n.info.explicit
                && !fanout.peers.contains(&peer)
                && score >= threshold
        });
        choose(cx.rng, &mut candidates, wanted.saturating_sub(fanout.peers.len()));
        fanout.peers.extend(candidates.iter().map(|c| c.peer));
    }

    /// Heartbeat: forgets topics not published on for the time to live, and keeps the others at D good peers.
    pub(super) fn maintain_fanout(&mut self, cx: &mut Context<'_, M>) {
        let config = &cx.config.gossip;
        let mut fanouts = core::mem::take(&mut self.fanout);
        fanouts.retain(|f| cx.now < f.last_publish + config.fanout_ttl);
        for fanout in &mut fanouts {
            fanout.peers.retain(|peer| {
                self.neighbours.get(*peer).is_some_and(|n| {
                    n.topics.contains(&fanout.topic)
                        && self.score(cx.config, *peer) >= config.score.publish_threshold
                })
            });
            if fanout.peers.len() < config.mesh_degree {
                self.fill_fanout(cx, fanout, config.mesh_degree);
            }
            self.advertise(cx, fanout.topic, &fanout.peers);
        }
        self.fanout = fanouts;
    }

    pub(super) fn remove_from_fanout(&mut self, topic: TopicRef, peer: PeerRef) {
        for fanout in self.fanout.iter_mut().filter(|f| f.topic == topic) {
            fanout.peers.retain(|p| *p != peer);
        }
    }

    /// The fanout peers of a topic that is joined now: they are the first choice for its mesh.
    pub(super) fn take_fanout(&mut self, topic: TopicRef) -> SmallVec<[PeerRef; 8]> {
        match self.fanout.iter().position(|f| f.topic == topic) {
            Some(at) => self.fanout.swap_remove(at).peers,
            None => SmallVec::new(),
        }
    }
}
