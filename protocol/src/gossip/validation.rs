//! Messages: publishing, first receipt, the verdict on them, and forwarding.

use smallvec::SmallVec;

use super::Gossip;
use super::frame::Frame;
use crate::machine::{Context, Count, Message, Output, PeerRef, SeenCache};
use crate::time::{Duration, Instant};

/// What the application says of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Valid: deliver and forward it.
    Accept,
    /// Invalid: drop it, and whoever sends it is to blame (P4).
    Reject,
    /// Neither: drop it and blame nobody.
    Ignore,
}

/// A message accepted a short while ago: mesh peers that send it within the window have delivered it too (P3).
#[derive(Debug)]
struct Recent<M: Message> {
    id: M::Id,
    accepted: Instant,
    credited: SmallVec<[PeerRef; 8]>,
}

/// Messages accepted within P3's window, at most [`RecentlyAccepted::MAX`]; the oldest goes first.
#[derive(Debug)]
pub(super) struct RecentlyAccepted<M: Message> {
    messages: Vec<Recent<M>>,
    /// When the last one came: nearly all duplicates come too late for any credit, and this settles them.
    latest: Instant,
}

impl<M: Message> Default for RecentlyAccepted<M> {
    fn default() -> Self {
        Self { messages: Vec::new(), latest: Instant::ZERO }
    }
}

impl<M: Message> RecentlyAccepted<M> {
    /// Our choice: more than a window of 2 s at 100 messages per second.
    pub(super) const MAX: usize = 256;

    fn add(&mut self, now: Instant, window: Duration, id: M::Id, from: PeerRef) {
        self.latest = now;
        self.messages.retain(|r| now <= r.accepted + window);
        if self.messages.len() >= Self::MAX {
            self.messages.remove(0);
        }
        self.messages.push(Recent { id, accepted: now, credited: SmallVec::from_slice(&[from]) });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether `from` earns a delivery for sending `id` at `now`; at most once per message.
    fn credit(&mut self, now: Instant, window: Duration, id: &M::Id, from: PeerRef) -> bool {
        if now > self.latest + window {
            return false;
        }
        let Some(recent) = self.messages.iter_mut().find(|r| r.id == *id) else { return false };
        let earned = now <= recent.accepted + window && !recent.credited.contains(&from);
        if earned {
            recent.credited.push(from);
        }
        earned
    }
}

impl<M: Message> Gossip<M> {
    /// Publishes an own message: to all good peers of the topic with flood publishing, else to the mesh or the fanout.
    /// Returns to how many.
    pub fn publish(&mut self, cx: &mut Context<'_, M>, message: M) -> usize {
        let config = &cx.config.gossip;
        if !self.seen.insert(cx.now, config.seen_ttl, &message.id()) {
            cx.counters.add(Count::Duplicate);
            return 0;
        }
        self.history.put(message.clone());
        let topic = message.topic();
        let subscribed = self.mesh(topic).is_some();
        let mut targets: SmallVec<[PeerRef; 16]> = SmallVec::new();
        if config.flood_publish && config.hardened() && !config.static_mesh {
            let threshold = config.score.publish_threshold;
            let all = self.candidates(cx.config, |_, n, score| {
                n.topics.contains(&topic) && (n.info.explicit || score >= threshold)
            });
            targets.extend(all.iter().map(|c| c.peer));
        } else {
            match self.mesh(topic) {
                Some(mesh) => targets.extend_from_slice(&mesh.peers),
                None => targets.extend(self.fanout_for_publish(cx, topic)),
            }
            self.add_explicit(&message, &mut targets);
        }
        let count = targets.len();
        for peer in targets {
            cx.send(peer, Frame::Message(message.clone()));
        }
        if subscribed {
            cx.out.push(Output::Deliver { message });
        }
        count
    }

    /// A message came in. Returns it if it is new and wanted: the caller has it checked and calls
    /// [`Gossip::on_verdict`].
    pub(super) fn on_message(&mut self, cx: &mut Context<'_, M>, from: PeerRef, message: M) -> Option<M> {
        let config = &cx.config.gossip;
        if self.mesh(message.topic()).is_none() {
            cx.counters.add(Count::UnknownTopic);
            return None;
        }
        let id = message.id();
        if !self.seen.insert(cx.now, config.seen_ttl, &id) {
            cx.counters.add(Count::Duplicate);
            if config.scoring() {
                self.on_duplicate(cx, from, &message, &id);
            }
            return None;
        }
        self.promises.fulfil(&id);
        self.refuse_copies(cx, from, &message);
        Some(message)
    }

    fn on_duplicate(&mut self, cx: &mut Context<'_, M>, from: PeerRef, message: &M, id: &M::Id) {
        let config = &cx.config.gossip;
        let params = &config.score.topic;
        if self.rejected.as_ref().is_some_and(|r| r.contains(cx.now, config.seen_ttl, id)) {
            if let Some(n) = self.neighbours.get_mut(from) {
                n.topic_stats_mut(message.topic()).invalid_delivery();
            }
        } else if self.recent.credit(cx.now, params.mesh_deliveries_window, id, from)
            && let Some(n) = self.neighbours.get_mut(from)
        {
            n.topic_stats_mut(message.topic()).mesh_delivery(params);
        }
    }

    /// The verdict on a message that came from `from`.
    pub fn on_verdict(&mut self, cx: &mut Context<'_, M>, from: PeerRef, message: M, verdict: Verdict) {
        let config = &cx.config.gossip;
        let scoring = config.scoring();
        let params = &config.score.topic;
        match verdict {
            Verdict::Accept => {
                if scoring {
                    if let Some(n) = self.neighbours.get_mut(from) {
                        n.topic_stats_mut(message.topic()).first_delivery(params);
                    }
                    self.recent.add(cx.now, params.mesh_deliveries_window, message.id(), from);
                }
                self.history.put(message.clone());
                self.forward(cx, from, &message);
                cx.out.push(Output::Deliver { message });
            }
            Verdict::Reject => {
                cx.counters.add(Count::Rejected);
                if scoring {
                    if let Some(n) = self.neighbours.get_mut(from) {
                        n.topic_stats_mut(message.topic()).invalid_delivery();
                    }
                    let rejected = self.rejected.get_or_insert_default();
                    rejected.insert(cx.now, config.seen_ttl, &message.id());
                }
            }
            Verdict::Ignore => cx.counters.add(Count::Ignored),
        }
    }

    /// Sends a message on to the mesh and to explicit peers, but not back, not to its author, and not to whom it is
    /// unwelcome.
    fn forward(&mut self, cx: &mut Context<'_, M>, from: PeerRef, message: &M) {
        let config = &cx.config.gossip;
        let Some(mesh) = self.mesh(message.topic()) else { return };
        let mut targets: SmallVec<[PeerRef; 16]> = SmallVec::from_slice(&mesh.peers);
        self.add_explicit(message, &mut targets);
        let author = if config.forward_to_author { None } else { cx.services.author(message) };
        let unwanted_by = self.unwanted.by(&message.id());
        for peer in targets {
            if peer == from || author.is_some_and(|author| self.neighbours.is(peer, &author)) {
                continue;
            }
            if unwanted_by.is_some_and(|by| by.contains(peer)) {
                cx.counters.add(Count::Suppressed);
                continue;
            }
            cx.send(peer, Frame::Message(message.clone()));
        }
    }

    fn add_explicit(&self, message: &M, targets: &mut SmallVec<[PeerRef; 16]>) {
        if self.explicit.is_empty() {
            return;
        }
        for (peer, n) in self.neighbours.iter() {
            if n.info.explicit && n.topics.contains(&message.topic()) && !targets.contains(&peer) {
                targets.push(peer);
            }
        }
    }
}
