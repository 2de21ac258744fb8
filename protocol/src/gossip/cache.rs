//! The message cache behind IHAVE and IWANT, and the set of ids seen as a node keeps it.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use crate::machine::{Message, SeenCache, TopicRef};
use crate::time::{Duration, Instant};

/// Messages kept for IWANT at once; the oldest goes first when there are more. Our choice: five heartbeats of 13,000
/// messages per second. Without heartbeats, which would empty it, this is the only bound.
pub(super) const HISTORY_MAX: usize = 1 << 16;

/// Messages of the last heartbeats (`mcache` of the specification).
#[derive(Debug)]
pub(super) struct History<M> {
    /// Oldest first.
    messages: VecDeque<M>,
    /// How many of them came in each heartbeat's window, oldest first; the last one is open.
    windows: SmallVec<[u32; 8]>,
}

impl<M: Message> Default for History<M> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), windows: SmallVec::from_slice(&[0]) }
    }
}

impl<M: Message> History<M> {
    pub(super) fn put(&mut self, message: M) {
        if self.messages.len() >= HISTORY_MAX {
            self.messages.pop_front();
            let oldest = self.windows.iter_mut().find(|w| **w > 0);
            *oldest.expect("the windows count the messages") -= 1;
        }
        self.messages.push_back(message);
        *self.windows.last_mut().expect("one window is always open") += 1;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn get(&self, id: &M::Id) -> Option<&M> {
        self.messages.iter().rev().find(|m| m.id() == *id)
    }

    /// Ids of the topic's messages in the last `windows` windows, the open one included, oldest first.
    pub(super) fn ids(&self, topic: TopicRef, windows: usize) -> Vec<M::Id> {
        let recent: u32 = self.windows.iter().rev().take(windows).sum();
        let skip = self.messages.len() - recent as usize;
        self.messages.range(skip..).filter(|m| m.topic() == topic).map(Message::id).collect()
    }

    /// Opens a new window and forgets all but the last `length`.
    pub(super) fn shift(&mut self, length: usize) {
        self.windows.push(0);
        while self.windows.len() > length {
            let gone = self.windows.remove(0);
            self.messages.drain(..gone as usize);
        }
    }
}

/// Generations that a time to live is divided into, see [`SeenCache`].
pub const GENERATIONS: u64 = 8;

/// The generation of the cache's clock at `now`, for a time to live of `ttl`.
pub fn generation(now: Instant, ttl: Duration) -> u64 {
    now.as_nanos() / (ttl.as_nanos() / GENERATIONS).max(1)
}

/// Ids a node remembers at once; the oldest generation goes first when there are more. At 64 bytes an id this is about
/// 100 MB, and 120 s of 8,000 messages per second. Our choice.
pub const SEEN_MAX: usize = 1 << 20;

/// The set of ids seen, as a real node keeps it: full ids in an ordered map.
#[derive(Debug)]
pub struct SeenIds<K> {
    generations: BTreeMap<K, u64>,
    swept: u64,
}

impl<K> Default for SeenIds<K> {
    fn default() -> Self {
        Self { generations: BTreeMap::new(), swept: 0 }
    }
}

impl<K: Ord + Clone + core::fmt::Debug> SeenCache<K> for SeenIds<K> {
    fn insert(&mut self, now: Instant, ttl: Duration, key: &K) -> bool {
        let current = generation(now, ttl);
        if current > self.swept {
            self.swept = current;
            self.generations.retain(|_, born| *born + GENERATIONS >= current);
        }
        if self.generations.contains_key(key) {
            return false;
        }
        if self.generations.len() >= SEEN_MAX {
            let oldest = self.generations.values().min().copied().unwrap_or(current);
            self.generations.retain(|_, born| *born > oldest);
        }
        self.generations.insert(key.clone(), current);
        true
    }

    fn contains(&self, now: Instant, ttl: Duration, key: &K) -> bool {
        self.generations.get(key).is_some_and(|born| born + GENERATIONS >= generation(now, ttl))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Text, message};
    use super::*;

    fn ids(history: &History<Text>, windows: usize) -> Vec<u32> {
        history.ids(TopicRef(0), windows)
    }

    #[test]
    fn messages_are_advertised_for_some_windows_and_served_for_more() {
        let mut history = History::default();
        for n in 0..6 {
            history.put(message(n, 0));
            history.shift(5);
        }
        // Window 5 is closed and empty window 6 open: the last three are 4, 5 and the open one.
        assert_eq!(ids(&history, 3), [4, 5]);
        assert!(history.get(&1).is_none());
        assert!(history.get(&2).is_some());
        history.put(message(9, 1));
        assert_eq!(history.ids(TopicRef(1), 1), [9]);
        assert_eq!(ids(&history, 3), [4, 5]);
    }

    #[test]
    fn an_id_is_forgotten_between_one_and_nine_eighths_of_its_time_to_live() {
        let ttl = Duration::from_secs(8);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut seen = SeenIds::default();
        assert!(seen.insert(at(999), ttl, &1));
        assert!(!seen.insert(at(8_999), ttl, &1));
        assert!(seen.contains(at(8_999), ttl, &1));
        assert!(!seen.contains(at(9_000), ttl, &1));
        assert!(seen.insert(at(9_000), ttl, &1));
    }
}
