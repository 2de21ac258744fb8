//! Lazy push: IHAVE, IWANT and IDONTWANT.

use std::sync::Arc;

use super::Gossip;
use super::frame::{Frame, Ihave};
use super::select::choose;
use crate::machine::{Context, Count, Message, PeerRef, SeenCache, TopicRef};

impl<M: Message> Gossip<M> {
    /// Heartbeat: advertises the topic's recent messages to some of its peers outside `mesh`.
    pub(super) fn advertise(&self, cx: &mut Context<'_, M>, topic: TopicRef, mesh: &[PeerRef]) {
        let config = &cx.config.gossip;
        let mut ids = self.history.ids(topic, config.history_gossip);
        if ids.is_empty() {
            return;
        }
        if ids.len() > config.ihave_ids_max {
            cx.rng.shuffle(&mut ids);
            ids.truncate(config.ihave_ids_max);
        }
        let mut candidates = self.candidates(cx.config, |peer, n, score| {
            n.topics.contains(&topic)
                && !n.info.explicit
                && !mesh.contains(&peer)
                && score >= config.score.gossip_threshold
        });
        let share = if config.hardened() { config.gossip_factor * candidates.len() as f64 } else { 0.0 };
        let targets = config.mesh_degree_lazy.max(share as usize);
        choose(cx.rng, &mut candidates, targets);
        let ihave = Arc::new(Ihave { topic, ids });
        for candidate in candidates {
            cx.send(candidate.peer, Frame::Ihave(Arc::clone(&ihave)));
        }
    }

    pub(super) fn on_ihave(&mut self, cx: &mut Context<'_, M>, from: PeerRef, ihave: &Ihave<M>) {
        let config = &cx.config.gossip;
        if self.score(cx.config, from) < config.score.gossip_threshold {
            return;
        }
        if self.mesh(ihave.topic).is_none() {
            cx.counters.add(Count::UnknownTopic);
            return;
        }
        let Some(n) = self.neighbours.get_mut(from) else { return };
        if n.ihave_frames >= config.ihave_messages_max || n.asked as usize >= config.ihave_ids_max {
            cx.counters.add(Count::IhaveCap);
            return;
        }
        n.ihave_frames += 1;
        let unseen = |id: &&M::Id| !self.seen.contains(cx.now, config.seen_ttl, id);
        let mut wanted: Vec<M::Id> =
            ihave.ids.iter().take(config.ihave_ids_max).filter(unseen).cloned().collect();
        if wanted.is_empty() {
            return;
        }
        let room = config.ihave_ids_max - n.asked as usize;
        if wanted.len() > room {
            cx.counters.add(Count::IhaveCap);
            cx.rng.shuffle(&mut wanted);
            wanted.truncate(room);
        }
        n.asked += wanted.len() as u32;
        if config.hardened() {
            let tracked = wanted[cx.rng.below(wanted.len() as u64) as usize].clone();
            self.promises.add(tracked, from, cx.now + config.iwant_followup);
        }
        cx.send(from, Frame::Iwant(Arc::new(wanted)));
    }

    pub(super) fn on_iwant(&mut self, cx: &mut Context<'_, M>, from: PeerRef, ids: &[M::Id]) {
        let config = &cx.config.gossip;
        if self.score(cx.config, from) < config.score.gossip_threshold {
            return;
        }
        let forget_at = self.ticks + config.history_length as u64;
        for id in ids.iter().take(config.ihave_ids_max) {
            // Looked up first because it is quick: the history is searched from end to end.
            if !self.seen.contains(cx.now, config.seen_ttl, id) {
                continue;
            }
            let Some(message) = self.history.get(id) else { continue };
            // Who said IDONTWANT has taken its wish back (v1.2).
            if self.unwanted.by(id).is_some_and(|by| by.contains(from)) {
                cx.counters.add(Count::Suppressed);
            } else if self.served.admit(id.clone(), from, config.iwant_retransmissions, forget_at) {
                cx.send(from, Frame::Message(message.clone()));
            } else {
                cx.counters.add(Count::IwantCap);
            }
        }
    }

    /// First receipt of a large message: spares the mesh from sending it again (v1.2).
    pub(super) fn refuse_copies(&self, cx: &mut Context<'_, M>, from: PeerRef, message: &M) {
        let config = &cx.config.gossip;
        if config.version < super::Version::V1_2 || message.size() < config.idontwant_size_min {
            return;
        }
        let Some(mesh) = self.mesh(message.topic()) else { return };
        for &peer in mesh.peers.iter().filter(|p| **p != from) {
            cx.send(peer, Frame::Idontwant(message.id()));
        }
    }

    pub(super) fn on_idontwant(&mut self, cx: &mut Context<'_, M>, from: PeerRef, id: M::Id) {
        let config = &cx.config.gossip;
        if config.version < super::Version::V1_2 {
            return;
        }
        let lapses = self.ticks + config.idontwant_ttl;
        let admitted = self.neighbours.admit_idontwant(from, config.idontwant_max);
        if !(admitted && self.unwanted.insert(id, from, lapses)) {
            cx.counters.add(Count::IdontwantCap);
        }
    }
}
