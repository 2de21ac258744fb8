//! One thing one peer tells another: the unit that machines exchange and simulators schedule.
//!
//! A libp2p RPC carries many of these; [`crate::gossip::codec`] splits and joins them.

use core::fmt;
use std::sync::Arc;

use crate::identity::PeerId;
use crate::machine::{Message, TopicRef};
use crate::time::Duration;

/// One GossipSub frame.
#[derive(Clone, PartialEq)]
pub enum Frame<M: Message> {
    /// A message, published, forwarded or asked for.
    Message(M),
    /// Subscription changes: topic and whether it is now wanted.
    Subscriptions(Arc<Vec<(TopicRef, bool)>>),
    /// "You are in my mesh of this topic."
    Graft(TopicRef),
    /// "You are no longer in my mesh."
    Prune(Box<Prune>),
    /// "I have these messages of this topic."
    Ihave(Arc<Ihave<M>>),
    /// "Send me these."
    Iwant(Arc<Vec<M::Id>>),
    /// "Do not send me this one" (v1.2).
    Idontwant(M::Id),
}

/// The contents of a PRUNE.
#[derive(Clone, PartialEq, Debug)]
pub struct Prune {
    /// Which mesh.
    pub topic: TopicRef,
    /// How long not to graft again (v1.1), in whole seconds on the wire.
    pub backoff: Option<Duration>,
    /// Other peers of the topic (peer exchange).
    pub px: Vec<PeerId>,
}

/// The contents of an IHAVE.
#[derive(Clone, PartialEq, Debug)]
pub struct Ihave<M: Message> {
    /// The topic of all the messages.
    pub topic: TopicRef,
    /// Their ids.
    pub ids: Vec<M::Id>,
}

impl<M: Message> fmt::Debug for Frame<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(m) => write!(f, "MESSAGE {:?}", m.id()),
            Self::Subscriptions(changes) => write!(f, "SUBSCRIPTIONS {changes:?}"),
            Self::Graft(topic) => write!(f, "GRAFT {}", topic.0),
            Self::Prune(p) => write!(f, "PRUNE {} backoff {:?} px {}", p.topic.0, p.backoff, p.px.len()),
            Self::Ihave(i) => write!(f, "IHAVE {} {:?}", i.topic.0, i.ids),
            Self::Iwant(ids) => write!(f, "IWANT {ids:?}"),
            Self::Idontwant(id) => write!(f, "IDONTWANT {id:?}"),
        }
    }
}
