//! The members of a ring, each in a numbered slot, so that a token needs four bytes to name its owner.

use core::cmp::Ordering;
use std::collections::BTreeMap;

/// Members by slot and by order. A slot is reused once its member left.
#[derive(Clone)]
pub(super) struct Roster<K> {
    slots: Vec<Option<K>>,
    free: Vec<u32>,
    ordered: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Roster<K> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ordered: BTreeMap::new() }
    }

    /// The slot of the new `member`; none if it is in already.
    pub(super) fn insert(&mut self, member: K) -> Option<u32> {
        if self.ordered.contains_key(&member) {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 members fit in memory")
        });
        self.slots[slot as usize] = Some(member.clone());
        self.ordered.insert(member, slot);
        Some(slot)
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(member) = self.slots[slot as usize].take() {
            self.ordered.remove(&member);
            self.free.push(slot);
        }
    }

    pub(super) fn slot(&self, member: &K) -> Option<u32> {
        self.ordered.get(member).copied()
    }

    /// The member in `slot`, which must be taken.
    pub(super) fn member(&self, slot: u32) -> &K {
        self.slots[slot as usize].as_ref().expect("only slots of present members are in use")
    }

    /// Which of two slots comes first when their tokens are equal.
    pub(super) fn rank(&self, left: u32, right: u32) -> Ordering {
        self.member(left).cmp(self.member(right))
    }

    /// All members in ascending order, with their slots.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&K, u32)> {
        self.ordered.iter().map(|(member, &slot)| (member, slot))
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.ordered.len()
    }

    /// One more than the highest slot ever used.
    pub(super) const fn slots(&self) -> usize {
        self.slots.len()
    }
}
