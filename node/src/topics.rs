//! Topic names and their handles, both ways, in bounded memory.
//!
//! A topic is *ours* if this node has subscribed to it or published on it, and *foreign* if only remote peers named it in
//! a subscription. Remotes can name any number of topics, so a foreign one lives only while a connected peer holds it, and
//! there is a bound on all of them. A handle is never used for a second name: a machine may remember one for longer than
//! this table does.

use std::collections::HashMap;
use std::sync::Arc;

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::topic::{Family, TOPIC_MAX, Topic};

/// Most topics of our own. Our choice: forty times what stock peers take from one peer.
pub const OWN_MAX: usize = 4096;

/// Most foreign topics. Our choice: at their greatest length they take about 40 MB.
pub const FOREIGN_MAX: usize = 65_536;

/// The table; see the module's text.
#[derive(Debug, Default)]
pub struct Topics {
    refs: HashMap<Arc<str>, TopicRef>,
    entries: HashMap<TopicRef, Entry>,
    own: usize,
    next: u32,
}

/// One topic.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// The one peer that may publish there (decision T3).
    pub owner: Option<PeerId>,
    own: bool,
    /// Connected peers that named it.
    holders: u32,
}

impl Topics {
    /// The topic of our own with this name, taken up if there is room.
    pub fn own(&mut self, name: &str) -> Option<TopicRef> {
        let known = self.refs.get(name).copied();
        if let Some(topic) = known
            && self.entries.get(&topic).is_some_and(|entry| entry.own)
        {
            return known;
        }
        if self.own >= OWN_MAX || name.len() > TOPIC_MAX {
            return None;
        }
        let topic = match known {
            Some(topic) => topic,
            None => self.insert(name)?,
        };
        self.own += 1;
        self.entries.get_mut(&topic)?.own = true;
        Some(topic)
    }

    /// The topic of our own with this name, if it is one.
    pub fn find_own(&self, name: &str) -> Option<TopicRef> {
        let topic = self.refs.get(name)?;
        self.entries.get(topic)?.own.then_some(*topic)
    }

    /// The topic with this name.
    pub fn find(&self, name: &str) -> Option<TopicRef> {
        self.refs.get(name).copied()
    }

    /// A connected peer names a topic from now on; `None` if there is no room. End it with [`Topics::release`].
    pub fn hold(&mut self, name: &str) -> Option<TopicRef> {
        let topic = match self.find(name) {
            Some(topic) => topic,
            None if self.entries.len() - self.own >= FOREIGN_MAX || name.len() > TOPIC_MAX => return None,
            None => self.insert(name)?,
        };
        self.entries.get_mut(&topic)?.holders += 1;
        Some(topic)
    }

    /// A peer that held a topic no longer does.
    pub fn release(&mut self, topic: TopicRef) {
        if let Some(entry) = self.entries.get_mut(&topic) {
            entry.holders = entry.holders.saturating_sub(1);
        }
        self.forget_unused(topic);
    }

    /// Whether so many topics are ours that those no longer used should be given back.
    pub fn is_crowded(&self) -> bool {
        self.own > OWN_MAX / 2
    }

    /// Keeps only those topics of our own that are still in use.
    pub fn keep_own(&mut self, in_use: impl Fn(TopicRef) -> bool) {
        let mut done: Vec<TopicRef> = self
            .entries
            .iter()
            .filter(|(topic, e)| e.own && !in_use(**topic))
            .map(|(topic, _)| *topic)
            .collect();
        done.sort_unstable();
        for topic in done {
            if let Some(entry) = self.entries.get_mut(&topic) {
                entry.own = false;
                self.own -= 1;
            }
            self.forget_unused(topic);
        }
    }

    /// What is known of a topic.
    pub fn get(&self, topic: TopicRef) -> Option<&Entry> {
        self.entries.get(&topic)
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget_unused(&mut self, topic: TopicRef) {
        if self.entries.get(&topic).is_some_and(|entry| !entry.own && entry.holders == 0)
            && let Some(entry) = self.entries.remove(&topic)
        {
            self.refs.remove(&entry.name);
        }
    }

    fn insert(&mut self, name: &str) -> Option<TopicRef> {
        let topic = TopicRef(self.next);
        // After four billion names no further one is taken: centuries away at any rate that peers are admitted.
        self.next = self.next.checked_add(1)?;
        let owner = match Topic::parse(name).ok().as_ref().map(Topic::family) {
            Some(Family::Capabilities(peer)) => Some(*peer),
            Some(
                Family::Tasks(_)
                | Family::Trajectories(_)
                | Family::Reputation(_)
                | Family::CrdtSyncMemory
                | Family::Settlements(_)
                | Family::Other { .. },
            )
            | None => None,
        };
        let name: Arc<str> = name.into();
        self.refs.insert(Arc::clone(&name), topic);
        self.entries.insert(topic, Entry { name, owner, own: false, holders: 0 });
        Some(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_topic_lives_as_long_as_somebody_holds_it() {
        let mut topics = Topics::default();
        let first = topics.hold("a").expect("room");
        assert_eq!(topics.hold("a"), Some(first));
        topics.release(first);
        assert_eq!(topics.find("a"), Some(first));
        assert_eq!(topics.find_own("a"), None);
        topics.release(first);
        assert!(topics.is_empty());
        // Its handle is not used again.
        assert_ne!(topics.hold("a"), Some(first));
    }

    #[test]
    fn our_own_topics_stay_until_they_are_given_back() {
        let mut topics = Topics::default();
        let mine = topics.own("a").expect("room");
        assert_eq!(topics.hold("a"), Some(mine));
        topics.release(mine);
        assert_eq!(topics.find_own("a"), Some(mine));
        topics.keep_own(|_| false);
        assert!(topics.is_empty());
    }

    #[test]
    fn neither_kind_grows_without_bound() {
        let mut topics = Topics::default();
        for n in 0..OWN_MAX + 10 {
            topics.own(&format!("own-{n}"));
        }
        for n in 0..FOREIGN_MAX + 10 {
            topics.hold(&format!("foreign-{n}"));
        }
        assert_eq!(topics.len(), OWN_MAX + FOREIGN_MAX);
        assert!(topics.is_crowded());
        assert_eq!(topics.own("one more"), None);
        assert_eq!(topics.hold("one more"), None);
        // Room for one kind is none for the other, but what is there can be both.
        assert!(topics.hold("own-0").is_some());
        assert_eq!(topics.own("foreign-0"), None);
        assert_eq!(topics.hold(&"x".repeat(TOPIC_MAX + 1)), None);
    }

    #[test]
    fn only_a_capability_topic_has_an_owner() {
        let mut topics = Topics::default();
        let peer = PeerId::from_public_key([7; 32]);
        let card = topics.own(&format!("hyperspace/capabilities/{peer}")).expect("room");
        let task = topics.own("hyperspace/tasks/x").expect("room");
        assert_eq!(topics.get(card).and_then(|entry| entry.owner), Some(peer));
        assert_eq!(topics.get(task).and_then(|entry| entry.owner), None);
    }
}
