//! The heartbeat: scores, mesh upkeep, gossip emission, fanout and cache, in go's order.

use super::Gossip;
use super::select::{Candidate, choose, rank_by_score, shuffle};
use crate::machine::{Context, Count, Message, Output, PeerRef, TopicRef};

impl<M: Message> Gossip<M> {
    pub(super) fn heartbeat(&mut self, cx: &mut Context<'_, M>) {
        let config = &cx.config.gossip;
        self.ticks += 1;
        self.expire(cx);
        if config.scoring() {
            self.refresh_scores(cx);
        }
        if !config.static_mesh {
            for at in 0..self.topics.len() {
                let topic = self.topics[at].topic;
                if config.scoring() {
                    self.drop_negative(cx, topic);
                }
                self.keep_degree(cx, topic);
                if config.hardened() {
                    self.keep_outbound(cx, topic);
                }
                if config.scoring() {
                    self.graft_opportunistically(cx, topic);
                }
                self.advertise(cx, topic, &self.topics[at].peers);
            }
            self.maintain_fanout(cx);
            self.reconnect_explicit(cx);
        }
        self.history.shift(config.history_length);
    }

    /// Counters per heartbeat start anew, and what has lapsed is forgotten.
    fn expire(&mut self, cx: &mut Context<'_, M>) {
        self.neighbours.start_counting();
        self.unwanted.expire(self.ticks);
        self.served.expire(self.ticks);
        let (neighbours, counters) = (&mut self.neighbours, &mut *cx.counters);
        self.promises.expire(cx.now, |peer| {
            counters.add(Count::BrokenPromise);
            if let Some(n) = neighbours.get_mut(peer) {
                n.stats.penalise(1);
            }
        });
        self.neighbours.expire_departed(cx.now);
    }

    pub(super) fn refresh_scores(&mut self, cx: &Context<'_, M>) {
        let params = &cx.config.gossip.score;
        while self.decayed + params.decay_interval <= cx.now {
            self.decayed += params.decay_interval;
            self.neighbours.decay(cx.now, params);
        }
    }

    /// The topic's mesh with keys and scores.
    fn mesh_candidates(&self, cx: &Context<'_, M>, topic: TopicRef) -> Vec<Candidate> {
        let peers = self.mesh(topic).map_or(&[][..], |m| &m.peers[..]);
        let candidate = |&peer: &PeerRef| Candidate {
            peer,
            key: self.neighbours.key(peer),
            score: self.score(cx.config, peer),
        };
        peers.iter().map(candidate).collect()
    }

    fn drop_negative(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        let backoff = cx.config.gossip.prune_backoff;
        for c in self.mesh_candidates(cx, topic) {
            if c.score < 0.0 {
                self.prune(cx, topic, c.peer, backoff, false);
            }
        }
    }

    /// Grafts up to D when below D_lo, prunes down to D when above D_hi.
    fn keep_degree(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        let config = &cx.config.gossip;
        let degree = self.mesh(topic).map_or(0, |m| m.peers.len());
        if degree < config.mesh_degree_min {
            let mut candidates = self.graft_candidates(cx, topic);
            choose(cx.rng, &mut candidates, config.mesh_degree - degree);
            for c in candidates {
                self.graft(cx, topic, c.peer);
            }
        } else if degree > config.mesh_degree_max {
            let mut mesh = self.mesh_candidates(cx, topic);
            if config.hardened() {
                self.order_for_prune(cx, &mut mesh);
            } else {
                shuffle(cx.rng, &mut mesh);
            }
            for c in mesh.drain(config.mesh_degree..) {
                self.prune(cx, topic, c.peer, config.prune_backoff, true);
            }
        }
    }

    /// Puts first the D peers to keep: the D_score best, others at random, at least D_out of them outbound.
    fn order_for_prune(&self, cx: &mut Context<'_, M>, mesh: &mut [Candidate]) {
        let config = &cx.config.gossip;
        rank_by_score(cx.rng, mesh);
        shuffle(cx.rng, &mut mesh[config.mesh_degree_score..]);
        let outbound = |c: &Candidate| self.neighbours.get(c.peer).is_some_and(|n| n.info.outbound);
        let mut have = mesh[..config.mesh_degree].iter().filter(|c| outbound(c)).count();
        let mut weakest = config.mesh_degree;
        for at in config.mesh_degree..mesh.len() {
            if have >= config.mesh_degree_outbound {
                break;
            }
            if !outbound(&mesh[at]) {
                continue;
            }
            // The last inbound peer to be kept makes room, the best-scored ones last of all.
            let Some(evicted) = mesh[..weakest].iter().rposition(|c| !outbound(c)) else { break };
            mesh.swap(evicted, at);
            weakest = evicted;
            have += 1;
        }
    }

    /// Grafts outbound links until there are D_out, when the mesh is not below D_lo.
    fn keep_outbound(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        let config = &cx.config.gossip;
        let Some(mesh) = self.mesh(topic) else { return };
        if mesh.peers.len() < config.mesh_degree_min {
            return;
        }
        let is_outbound = |p: &PeerRef| self.neighbours.get(*p).is_some_and(|n| n.info.outbound);
        let have = mesh.peers.iter().filter(|p| is_outbound(p)).count();
        if have >= config.mesh_degree_outbound {
            return;
        }
        let mut candidates = self.graft_candidates(cx, topic);
        candidates.retain(|c| is_outbound(&c.peer));
        choose(cx.rng, &mut candidates, config.mesh_degree_outbound - have);
        for c in candidates {
            self.graft(cx, topic, c.peer);
        }
    }

    /// When the median score of the mesh is poor, grafts a few peers that are better than it.
    fn graft_opportunistically(&mut self, cx: &mut Context<'_, M>, topic: TopicRef) {
        let config = &cx.config.gossip;
        let due = config.opportunistic_graft_ticks > 0
            && self.ticks.is_multiple_of(config.opportunistic_graft_ticks);
        let mut mesh = if due { self.mesh_candidates(cx, topic) } else { Vec::new() };
        if mesh.len() < 2 {
            return;
        }
        mesh.sort_by(|a, b| a.score.total_cmp(&b.score));
        let median = mesh[mesh.len() / 2].score;
        if median >= config.score.opportunistic_graft_threshold {
            return;
        }
        let mut better = self.graft_candidates(cx, topic);
        better.retain(|c| c.score > median);
        choose(cx.rng, &mut better, config.opportunistic_graft_peers);
        for c in better {
            self.graft(cx, topic, c.peer);
        }
    }

    /// Asks now and then for a connection to explicit peers that are not connected.
    fn reconnect_explicit(&self, cx: &mut Context<'_, M>) {
        let every = cx.config.gossip.explicit_check_ticks;
        if every == 0 || !self.ticks.is_multiple_of(every) {
            return;
        }
        for id in &self.explicit {
            if !self.neighbours.iter().any(|(_, n)| n.info.id == *id) {
                cx.out.push(Output::Connect { id: *id });
            }
        }
    }
}
