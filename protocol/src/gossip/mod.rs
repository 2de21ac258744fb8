//! GossipSub v1.0, v1.1 and v1.2 as one sans-IO machine.
//!
//! [`Gossip`] is a child of [`Peer`](crate::peer::Peer): plain calls in, frames and deliveries out through the
//! [`Context`]. New messages are handed back to the caller, who has them checked and answers with
//! [`Gossip::on_verdict`], at once or later.
//!
//! One file per concern: `mesh` (join, leave, GRAFT, PRUNE, backoff, peer exchange), `heartbeat`, `lazy` (IHAVE, IWANT,
//! IDONTWANT), `fanout`, `validation` (publish, receive, forward), `promises`, `score`, `subscriptions`, `cache`, and
//! `select` for random choices. Rules are those of libp2p/specs pubsub/gossipsub v1.0 to v1.2; where the text leaves an
//! order open, go-libp2p-pubsub's is taken.

pub mod cache;
pub mod codec;
pub mod config;
mod fanout;
pub mod frame;
mod heartbeat;
mod lazy;
mod mesh;
mod neighbour;
mod promises;
mod score;
pub mod score_params;
mod select;
mod subscriptions;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unwanted;
mod validation;

pub use config::{Config, Version};
pub use frame::{Frame, Ihave, Prune};
pub use score_params::{ScoreParams, TopicScoreParams};
pub use validation::Verdict;

use crate::config::Config as PeerConfig;
use crate::identity::PeerId;
use crate::machine::{Context, Count, Message, PeerInfo, PeerRef, SeenCache, TopicRef};
use crate::time::{Duration, Instant};
use cache::History;
use fanout::Fanout;
use mesh::Mesh;
use neighbour::Neighbours;
use promises::Promises;
use smallvec::SmallVec;
use unwanted::{Served, Unwanted};
use validation::RecentlyAccepted;

/// One peer's GossipSub state.
#[derive(Debug)]
pub struct Gossip<M: Message> {
    /// Subscribed topics, in the order of subscription.
    topics: SmallVec<[Mesh; 1]>,
    seen: M::Seen,
    neighbours: Neighbours,
    next_heartbeat: Instant,
    ticks: u64,
    decayed: Instant,
    history: History<M>,
    recent: RecentlyAccepted<M>,
    promises: Promises<M>,
    unwanted: Unwanted<M::Id>,
    served: Served<M::Id>,
    fanout: Vec<Fanout>,
    rejected: Option<Box<M::Seen>>,
    /// Explicit peers met so far.
    explicit: Vec<PeerId>,
}

impl<M: Message> Default for Gossip<M> {
    fn default() -> Self {
        Self {
            topics: SmallVec::new(),
            seen: M::Seen::default(),
            neighbours: Neighbours::default(),
            next_heartbeat: Instant::FAR_FUTURE,
            ticks: 0,
            decayed: Instant::ZERO,
            history: History::default(),
            recent: RecentlyAccepted::default(),
            promises: Promises::default(),
            unwanted: Unwanted::default(),
            served: Served::default(),
            fanout: Vec::new(),
            rejected: None,
            explicit: Vec::new(),
        }
    }
}

impl<M: Message> Gossip<M> {
    /// Sets the first heartbeat, at a random phase.
    pub fn start(&mut self, cx: &mut Context<'_, M>) {
        let config = &cx.config.gossip;
        self.decayed = cx.now;
        let interval = config.heartbeat_interval;
        if interval.is_zero() {
            return;
        }
        let phase = Duration::from_nanos(cx.rng.below(interval.as_nanos()));
        self.next_heartbeat = cx.now + config.heartbeat_delay + phase;
    }

    /// A connection is ready.
    pub fn on_connected(&mut self, cx: &mut Context<'_, M>, peer: PeerRef, info: PeerInfo) {
        // Version 1.0 has no explicit peers: there they are like all others.
        let info = PeerInfo { explicit: info.explicit && cx.config.gossip.hardened(), ..info };
        self.neighbours.insert(cx.now, peer, info);
        if info.explicit && !self.explicit.contains(&info.id) {
            self.explicit.push(info.id);
        }
        if cx.config.gossip.static_mesh {
            for mesh in &mut self.topics {
                mesh.peers.push(peer);
            }
        }
        self.greet(cx, peer);
    }

    /// A connection is gone.
    pub fn on_disconnected(&mut self, cx: &mut Context<'_, M>, peer: PeerRef) {
        // First of all: whether its score is kept is up to what it is while still in the meshes (as in go).
        let config = &cx.config.gossip;
        self.neighbours.remove(cx.now, peer, &config.score, config.scoring());
        for mesh in &mut self.topics {
            mesh.peers.retain(|p| *p != peer);
        }
        for fanout in &mut self.fanout {
            fanout.peers.retain(|p| *p != peer);
        }
        self.promises.forget(peer);
        self.unwanted.forget(peer);
        self.served.forget(peer);
    }

    /// A frame came in. Returns a message that is new here and waits for [`Gossip::on_verdict`].
    pub fn on_frame(&mut self, cx: &mut Context<'_, M>, from: PeerRef, frame: Frame<M>) -> Option<M> {
        let config = &cx.config.gossip;
        // Still in flight when the connection went down.
        if !self.neighbours.is_connected(from) {
            return None;
        }
        // Both go and rust take subscriptions from everyone: they are announced only once. Of explicit peers everything
        // is accepted (v1.1).
        if let Frame::Subscriptions(changes) = &frame {
            self.on_subscriptions(cx, from, changes);
        } else if config.scoring()
            && self.score(cx.config, from) < config.score.graylist_threshold
            && !self.neighbours.is_explicit(from)
        {
            cx.counters.add(Count::Graylisted);
            return None;
        }
        match frame {
            Frame::Message(message) => return self.on_message(cx, from, message),
            Frame::Subscriptions(_) => {}
            Frame::Graft(topic) => self.on_graft(cx, from, topic),
            Frame::Prune(prune) => self.on_prune(cx, from, &prune),
            Frame::Ihave(ihave) => self.on_ihave(cx, from, &ihave),
            Frame::Iwant(ids) => self.on_iwant(cx, from, &ids),
            Frame::Idontwant(id) => self.on_idontwant(cx, from, id),
        }
        None
    }

    /// Runs the heartbeat if it is due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_, M>) {
        if cx.now < self.next_heartbeat || self.poll_timeout().is_none() {
            return;
        }
        let interval = cx.config.gossip.heartbeat_interval;
        // A driver that comes late skips beats instead of running them in a burst.
        let due = cx.now.since(self.next_heartbeat).as_nanos() / interval.as_nanos() + 1;
        self.next_heartbeat += interval.saturating_mul(due);
        self.heartbeat(cx);
    }

    /// When the next heartbeat is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.next_heartbeat != Instant::FAR_FUTURE).then_some(self.next_heartbeat)
    }

    /// The application's opinion of a peer (P5), any finite number.
    pub fn set_app_score(&mut self, peer: PeerRef, score: f64) {
        if let Some(n) = self.neighbours.get_mut(peer) {
            n.stats.app = score;
        }
    }

    /// Reads words of what the next frame will need, first of its own memory (`None`), then of what that points to, for a
    /// frame from `from`: a driver that serves many machines in turn can so have them fetched early.
    #[inline]
    pub fn warm(&self, from: Option<PeerRef>) -> usize {
        match from {
            None => self.topics.len() + self.promises.len() + self.explicit.len() + self.neighbours.len(),
            Some(from) => self.seen.warm() + usize::from(self.neighbours.is_connected(from)),
        }
    }

    /// The mesh links of a topic; none if it is not subscribed to.
    pub fn mesh_peers(&self, topic: TopicRef) -> Option<&[PeerRef]> {
        self.mesh(topic).map(|m| &m.peers[..])
    }

    /// Who is at the other end of a connection.
    pub fn peer_id(&self, peer: PeerRef) -> Option<PeerId> {
        self.neighbours.get(peer).map(|neighbour| neighbour.info.id)
    }

    /// The connected peers that subscribe to a topic.
    pub fn subscribers(&self, topic: TopicRef) -> Vec<PeerId> {
        let wants = self.neighbours.iter().filter(|(_, neighbour)| neighbour.topics.contains(&topic));
        wants.map(|(_, neighbour)| neighbour.info.id).collect()
    }

    /// Every subscribed topic with its mesh links, in the order of subscription.
    pub fn meshes(&self) -> impl Iterator<Item = (TopicRef, &[PeerRef])> {
        self.topics.iter().map(|m| (m.topic, &m.peers[..]))
    }

    /// Every neighbour with its score.
    pub fn scores<'a>(&'a self, config: &'a PeerConfig) -> impl Iterator<Item = (PeerRef, f64)> + 'a {
        self.neighbours.iter().map(|(peer, _)| (peer, self.score(config, peer)))
    }

    /// The score of a peer; 0 for one that is not connected or when peers are not scored.
    pub fn score(&self, config: &PeerConfig, peer: PeerRef) -> f64 {
        if config.gossip.scoring() { self.neighbours.score(peer, &config.gossip.score) } else { 0.0 }
    }

    fn mesh(&self, topic: TopicRef) -> Option<&Mesh> {
        self.topics.iter().find(|m| m.topic == topic)
    }

    fn mesh_mut(&mut self, topic: TopicRef) -> Option<&mut Mesh> {
        self.topics.iter_mut().find(|m| m.topic == topic)
    }
}
