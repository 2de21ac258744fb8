//! The mesh: joining and leaving topics, GRAFT, PRUNE, backoff and peer exchange.

use smallvec::SmallVec;

use super::Gossip;
use super::frame::{Frame, Prune};
use super::neighbour::Neighbour;
use super::select::{Candidate, choose};
use crate::config::Config;
use crate::identity::PeerId;
use crate::machine::{Context, Count, Message, Output, PeerRef, TopicRef};
use crate::time::Duration;

/// A subscribed topic and its mesh.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) topic: TopicRef,
    pub(super) peers: SmallVec<[PeerRef; 12]>,
}

impl<M: Message> Gossip<M> {
    /// The application wants a topic: announces it and takes the mesh from the fanout, then from any peers of the topic.
    pub fn subscribe(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        if self.mesh(topic).is_some() {
            return;
        }
        self.topics.push(Mesh { topic, peers: SmallVec::new() });
        let config = &cx.config.gossip;
        if config.static_mesh {
            let all = self.neighbours.iter().map(|(peer, _)| peer).collect();
            self.mesh_mut(topic).expect("just pushed").peers = all;
            return;
        }
        self.announce(cx, topic, true);
        let mut first: Vec<Candidate> = {
            let fanout = self.take_fanout(topic);
            self.candidates(cx.config, |peer, n, score| {
                fanout.contains(&peer) && self.may_graft(cx, n, topic, score)
            })
        };
        choose(cx.rng, &mut first, config.mesh_degree);
        let mut rest = self.graft_candidates(cx, topic);
        rest.retain(|c| !first.iter().any(|f| f.peer == c.peer));
        choose(cx.rng, &mut rest, config.mesh_degree - first.len());
        for candidate in first.iter().chain(&rest) {
            self.graft(cx, topic, candidate.peer);
        }
    }

    /// The application no longer wants a topic: tells everyone, and prunes the mesh.
    pub fn unsubscribe(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        let Some(at) = self.topics.iter().position(|m| m.topic == topic) else { return };
        if cx.config.gossip.static_mesh {
            self.topics.remove(at);
            return;
        }
        let mesh = self.topics[at].peers.clone();
        let backoff = cx.config.gossip.unsubscribe_backoff;
        for peer in mesh {
            self.prune(cx, topic, peer, backoff, false);
        }
        self.topics.remove(at);
        self.announce(cx, topic, false);
    }

    /// Peers that may become links of the topic's mesh now, by our own choice.
    pub(super) fn graft_candidates(&self, cx: &Context<'_, M>, topic: TopicRef) -> Vec<Candidate> {
        let mesh = self.mesh(topic).map_or(&[][..], |m| &m.peers[..]);
        self.candidates(cx.config, |peer, n, score| {
            !mesh.contains(&peer) && self.may_graft(cx, n, topic, score)
        })
    }

    fn may_graft(&self, cx: &Context<'_, M>, n: &Neighbour, topic: TopicRef, score: f64) -> bool {
        let config = &cx.config.gossip;
        let backed_off = n.backoff_until(topic);
        n.topics.contains(&topic)
            && !n.info.explicit
            && score >= 0.0
            && (!config.hardened()
                || backed_off == crate::time::Instant::ZERO
                || backed_off + config.backoff_slack <= cx.now)
    }

    /// All neighbours that `keep` lets through, with their scores.
    pub(super) fn candidates(
        &self,
        config: &Config,
        mut keep: impl FnMut(PeerRef, &Neighbour, f64) -> bool,
    ) -> Vec<Candidate> {
        self.neighbours
            .iter()
            .filter_map(|(peer, n)| {
                let score = self.score(config, peer);
                keep(peer, n, score).then(|| Candidate { peer, key: self.neighbours.key(peer), score })
            })
            .collect()
    }

    /// Makes a peer a mesh link and tells it.
    pub(super) fn graft(&mut self, cx: &mut Context<'_, M>, topic: TopicRef, peer: PeerRef) {
        self.add_to_mesh(cx, topic, peer);
        cx.send(peer, Frame::Graft(topic));
    }

    fn add_to_mesh(&mut self, cx: &Context<'_, M>, topic: TopicRef, peer: PeerRef) {
        if let Some(mesh) = self.mesh_mut(topic) {
            mesh.peers.push(peer);
        }
        if let Some(n) = self.neighbours.get_mut(peer) {
            n.topic_stats_mut(topic).grafted(cx.now);
        }
    }

    /// Takes a peer out of a mesh without a word. Returns whether it was in.
    pub(super) fn remove_from_mesh(&mut self, cx: &Context<'_, M>, topic: TopicRef, peer: PeerRef) -> bool {
        let Some(mesh) = self.mesh_mut(topic) else { return false };
        let Some(at) = mesh.peers.iter().position(|p| *p == peer) else { return false };
        mesh.peers.remove(at);
        if let Some(n) = self.neighbours.get_mut(peer) {
            n.topic_stats_mut(topic).pruned(&cx.config.gossip.score.topic);
        }
        true
    }

    /// Takes a peer out of a mesh (if it is in), tells it, and backs off from it.
    pub(super) fn prune(
        &mut self,
        cx: &mut Context<'_, M>,
        topic: TopicRef,
        peer: PeerRef,
        backoff: Duration,
        exchange: bool,
    ) {
        self.remove_from_mesh(cx, topic, peer);
        self.refuse(cx, topic, peer, backoff, exchange);
    }

    /// Sends a PRUNE and backs off.
    fn refuse(
        &mut self,
        cx: &mut Context<'_, M>,
        topic: TopicRef,
        peer: PeerRef,
        backoff: Duration,
        exchange: bool,
    ) {
        let hardened = cx.config.gossip.hardened();
        let px = if exchange && hardened { self.exchange(cx, topic, peer) } else { Vec::new() };
        if hardened {
            self.back_off(cx, topic, peer, backoff);
        }
        let backoff = hardened.then_some(backoff);
        cx.send(peer, Frame::Prune(Box::new(Prune { topic, backoff, px })));
    }

    fn back_off(&mut self, cx: &Context<'_, M>, topic: TopicRef, peer: PeerRef, backoff: Duration) {
        if let Some(n) = self.neighbours.get_mut(peer) {
            let stats = n.topic_stats_mut(topic);
            stats.backoff_until = stats.backoff_until.max(cx.now + backoff);
        }
    }

    /// Peers of the topic that a pruned one may turn to. None for peers of negative score, none of negative score.
    fn exchange(&self, cx: &mut Context<'_, M>, topic: TopicRef, to: PeerRef) -> Vec<PeerId> {
        let config = &cx.config.gossip;
        let deserves = self.score(cx.config, to) >= 0.0;
        if config.px_peers == 0 || !deserves {
            return Vec::new();
        }
        let mut candidates =
            self.candidates(cx.config, |p, n, score| p != to && n.topics.contains(&topic) && score >= 0.0);
        choose(cx.rng, &mut candidates, config.px_peers);
        candidates.iter().filter_map(|c| Some(self.neighbours.get(c.peer)?.info.id)).collect()
    }

    pub(super) fn on_graft(&mut self, cx: &mut Context<'_, M>, from: PeerRef, topic: TopicRef) {
        let config = &cx.config.gossip;
        if config.static_mesh {
            return;
        }
        let Some(mesh) = self.mesh(topic) else {
            cx.counters.add(Count::UnknownTopic);
            if !config.hardened() {
                self.refuse(cx, topic, from, config.prune_backoff, false);
            }
            return;
        };
        if mesh.peers.contains(&from) {
            return;
        }
        // Whoever grafts is in the topic, whether it has said so yet or not (as in rust).
        if !self.note_topic(cx, from, topic) {
            cx.counters.add(Count::GraftRefused);
            self.refuse(cx, topic, from, config.prune_backoff, false);
            return;
        }
        if config.hardened() && !self.admits_graft(cx, from, topic) {
            return;
        }
        self.add_to_mesh(cx, topic, from);
    }

    /// Version 1.1's conditions for a GRAFT, in go's order. A refused peer has been answered when this returns.
    fn admits_graft(&mut self, cx: &mut Context<'_, M>, from: PeerRef, topic: TopicRef) -> bool {
        let config = &cx.config.gossip;
        let full = self.mesh(topic).is_some_and(|m| m.peers.len() >= config.mesh_degree_max);
        let Some(n) = self.neighbours.get_mut(from) else { return false };
        let backoff_until = n.backoff_until(topic);
        if n.info.explicit {
            cx.counters.add(Count::GraftRefused);
            self.refuse(cx, topic, from, config.prune_backoff, false);
            return false;
        }
        if cx.now < backoff_until {
            // Once for the backoff, once more if our PRUNE has hardly arrived.
            let pruned_at = backoff_until - config.prune_backoff;
            let flood = cx.now < pruned_at + config.graft_flood_threshold;
            n.stats.penalise(if flood { 2 } else { 1 });
            cx.counters.add(Count::GraftInBackoff);
            self.refuse(cx, topic, from, config.prune_backoff, false);
            return false;
        }
        let negative = self.score(cx.config, from) < 0.0;
        let outbound = self.neighbours.get(from).is_some_and(|n| n.info.outbound);
        if negative || (full && !outbound) {
            cx.counters.add(Count::GraftRefused);
            self.refuse(cx, topic, from, config.prune_backoff, !negative);
            return false;
        }
        true
    }

    pub(super) fn on_prune(&mut self, cx: &mut Context<'_, M>, from: PeerRef, prune: &Prune) {
        let config = &cx.config.gossip;
        if config.static_mesh || self.mesh(prune.topic).is_none() {
            return;
        }
        self.remove_from_mesh(cx, prune.topic, from);
        if !config.hardened() {
            return;
        }
        // No backoff and one of zero are the same on the wire of proto3 stacks, and to go.
        let backoff = prune.backoff.filter(|b| !b.is_zero()).unwrap_or(config.prune_backoff);
        self.back_off(cx, prune.topic, from, backoff);
        let trusted = !config.scoring() || self.score(cx.config, from) >= config.score.accept_px_threshold;
        if config.px_peers == 0 || !trusted {
            return;
        }
        for id in prune.px.iter().take(config.px_peers) {
            if !self.neighbours.iter().any(|(_, n)| n.info.id == *id) {
                cx.out.push(Output::Connect { id: *id });
            }
        }
    }
}
