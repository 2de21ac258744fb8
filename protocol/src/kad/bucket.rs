//! One k-bucket: the contacts whose keys share the same number of leading bits with our own.
//!
//! The policy is that of the Kademlia paper (Maymounkov and Mazieres, IPTPS 2002, sections 2.2, 2.4 and 4.1):
//!
//! * Contacts are kept in the order in which they were last seen. One that answers is never displaced by a newcomer,
//!   so that nobody can flood a table by having many identities.
//! * A newcomer to a full bucket waits in a bounded replacement cache, whose oldest member goes when there are more.
//!   The least recently seen contact is then probed, one at a time and not too often; if it fails, the newest waiting
//!   one takes its place.
//! * A contact that fails while nobody waits becomes *stale*: others are no longer told of it, and the next newcomer
//!   takes its place, but an outage of our own network does not empty the table. A setting
//!   ([`keep_stale`](super::Config::keep_stale)) has it removed at once instead, as go-libp2p does.

use crate::time::Instant;

/// What became of a contact that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It was in the bucket, and is now the most recently seen.
    Known,
    /// It is new in the bucket, perhaps in the place of a stale one.
    Added,
    /// The bucket is full: it waits.
    Waiting,
    /// The bucket is full and nobody may wait.
    Full,
    /// Its address group has its share of the table already.
    GroupFull,
    /// It is this peer itself.
    Own,
}

/// A k-bucket. Bounds are lent: all of a driver's tables have the same.
#[derive(Clone, Debug)]
pub(super) struct Bucket<C> {
    /// Stale contacts, then live ones, each least recently seen first; then those that wait, oldest first.
    members: Vec<C>,
    /// No new probe before this.
    pub(super) probe_after: Instant,
    /// How many bits its contacts share with our own key.
    pub(super) depth: u8,
    /// How many of `members` are contacts; the others wait.
    entries: u8,
    /// How many of those are stale.
    stale: u8,
    /// Whether a probe is on its way.
    pub(super) probing: bool,
}

impl<C: Copy + Eq> Bucket<C> {
    pub(super) const fn new(depth: u8) -> Self {
        let members = Vec::new();
        Self { members, probe_after: Instant::ZERO, depth, entries: 0, stale: 0, probing: false }
    }

    /// A contact gave a sign of life. `waiting_max` newcomers may wait.
    pub(super) fn seen(&mut self, contact: C, k: usize, waiting_max: usize) -> Seen {
        let (entries, stale) = (usize::from(self.entries), usize::from(self.stale));
        if let Some(at) = self.position(contact) {
            self.members.remove(at);
            if at >= entries {
                self.members.push(contact);
                return Seen::Waiting;
            }
            self.stale -= u8::from(at < stale);
            self.members.insert(entries - 1, contact);
            return Seen::Known;
        }
        if entries < k {
            self.insert(entries, contact);
            self.entries += 1;
            return Seen::Added;
        }
        if stale > 0 {
            self.members.remove(0);
            self.stale -= 1;
            self.insert(entries - 1, contact);
            return Seen::Added;
        }
        if waiting_max == 0 {
            return Seen::Full;
        }
        if self.members.len() - entries >= waiting_max {
            self.members.remove(entries);
        }
        self.insert(self.members.len(), contact);
        Seen::Waiting
    }

    /// A contact did not answer. Returns whether it lost its place in the bucket.
    pub(super) fn failed(&mut self, contact: C, keep_stale: bool) -> bool {
        let (entries, stale) = (usize::from(self.entries), usize::from(self.stale));
        let Some(at) = self.position(contact) else { return false };
        if at >= entries {
            self.members.remove(at);
            return false;
        }
        if self.members.len() > entries {
            // Nobody waits while there is a stale one, so this one was live.
            let newest = self.members.pop().expect("somebody waits");
            self.members.remove(at);
            self.members.insert(entries - 1, newest);
            return true;
        }
        if keep_stale {
            if at >= stale {
                self.members.remove(at);
                self.members.insert(stale, contact);
                self.stale += 1;
            }
            return false;
        }
        self.members.remove(at);
        self.entries -= 1;
        self.stale -= u8::from(at < stale);
        true
    }

    /// Allocates in small steps: with a million tables the slack of doubling counts.
    fn insert(&mut self, at: usize, contact: C) {
        if self.members.len() == self.members.capacity() {
            self.members.reserve_exact(4);
        }
        self.members.insert(at, contact);
    }

    fn position(&self, contact: C) -> Option<usize> {
        self.members.iter().position(|c| *c == contact)
    }

    /// All contacts, stale ones first.
    pub(super) fn contacts(&self) -> &[C] {
        &self.members[..usize::from(self.entries)]
    }

    /// Those others may be told of, least recently seen first.
    pub(super) fn live(&self) -> &[C] {
        &self.members[usize::from(self.stale)..usize::from(self.entries)]
    }

    /// Those that wait for a place, oldest first.
    pub(super) fn waiting(&self) -> &[C] {
        &self.members[usize::from(self.entries)..]
    }

    /// All of them.
    pub(super) fn members(&self) -> &[C] {
        &self.members
    }

    /// Bytes allocated.
    pub(super) fn heap(&self) -> usize {
        self.members.capacity() * size_of::<C>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(k: u8, waiting: u8) -> Bucket<u8> {
        let mut bucket = Bucket::new(0);
        for contact in 0..k + waiting {
            bucket.seen(contact, k.into(), waiting.into());
        }
        bucket
    }

    #[test]
    fn a_contact_that_is_seen_goes_to_the_end() {
        let mut bucket = full(3, 0);
        assert_eq!(bucket.seen(0, 3, 0), Seen::Known);
        assert_eq!(bucket.live(), [1, 2, 0]);
        assert_eq!(bucket.seen(9, 3, 0), Seen::Full);
        assert_eq!(bucket.live(), [1, 2, 0]);
    }

    #[test]
    fn newcomers_to_a_full_bucket_wait_and_the_oldest_of_them_goes() {
        let mut bucket = full(3, 2);
        assert_eq!((bucket.live(), bucket.waiting()), (&[0, 1, 2][..], &[3, 4][..]));
        assert_eq!(bucket.seen(3, 3, 2), Seen::Waiting);
        assert_eq!(bucket.seen(5, 3, 2), Seen::Waiting);
        assert_eq!((bucket.live(), bucket.waiting()), (&[0, 1, 2][..], &[3, 5][..]));
    }

    #[test]
    fn the_newest_waiting_one_takes_the_place_of_one_that_failed() {
        let mut bucket = full(3, 2);
        assert!(bucket.failed(1, true));
        assert_eq!((bucket.live(), bucket.waiting()), (&[0, 2, 4][..], &[3][..]));
        assert!(!bucket.failed(3, true), "it only waited");
        assert_eq!((bucket.live(), bucket.waiting()), (&[0, 2, 4][..], &[][..]));
    }

    #[test]
    fn a_stale_contact_stays_until_somebody_wants_its_place() {
        let mut bucket = full(3, 0);
        assert!(!bucket.failed(1, true));
        assert!(!bucket.failed(1, true));
        assert_eq!((bucket.contacts(), bucket.live()), (&[1, 0, 2][..], &[0, 2][..]));
        assert!(!bucket.failed(0, true));
        assert_eq!(bucket.seen(1, 3, 2), Seen::Known, "it is back");
        assert_eq!((bucket.contacts(), bucket.live()), (&[0, 2, 1][..], &[2, 1][..]));
        assert_eq!(bucket.seen(7, 3, 2), Seen::Added);
        assert_eq!((bucket.contacts(), bucket.live()), (&[2, 1, 7][..], &[2, 1, 7][..]));
        assert!(bucket.failed(2, false));
        assert_eq!(bucket.contacts(), [1, 7]);
    }

    /// The same rules on three plain lists.
    #[derive(Default, Debug)]
    struct Model {
        stale: Vec<u8>,
        live: Vec<u8>,
        waiting: Vec<u8>,
    }

    impl Model {
        fn seen(&mut self, c: u8, k: usize, waiting_max: usize) {
            if self.waiting.contains(&c) {
                self.waiting.retain(|w| *w != c);
                self.waiting.push(c);
                return;
            }
            let known = self.stale.contains(&c) || self.live.contains(&c);
            self.stale.retain(|s| *s != c);
            self.live.retain(|l| *l != c);
            if known || self.stale.len() + self.live.len() < k {
                self.live.push(c);
            } else if !self.stale.is_empty() {
                self.stale.remove(0);
                self.live.push(c);
            } else {
                self.waiting.push(c);
                if self.waiting.len() > waiting_max {
                    self.waiting.remove(0);
                }
            }
        }

        fn failed(&mut self, c: u8, keep_stale: bool) {
            self.waiting.retain(|w| *w != c);
            if let Some(at) = self.live.iter().position(|l| *l == c) {
                self.live.remove(at);
                match self.waiting.pop() {
                    Some(newest) => self.live.push(newest),
                    None if keep_stale => self.stale.push(c),
                    None => {}
                }
            } else if !keep_stale {
                self.stale.retain(|s| *s != c);
            }
        }
    }

    proptest! {
        #[test]
        fn a_bucket_does_what_three_lists_do(
            k in 1usize..5,
            waiting in 0usize..4,
            steps in proptest::collection::vec((0u8..10, 0u8..4), 0..80),
        ) {
            let (mut bucket, mut model) = (Bucket::new(0), Model::default());
            for (contact, what) in steps {
                match what {
                    0 | 1 => {
                        bucket.seen(contact, k, waiting);
                        model.seen(contact, k, waiting);
                    }
                    2 => {
                        bucket.failed(contact, true);
                        model.failed(contact, true);
                    }
                    _ => {
                        bucket.failed(contact, false);
                        model.failed(contact, false);
                    }
                }
                prop_assert_eq!(bucket.live(), &model.live[..]);
                prop_assert_eq!(bucket.contacts(), [&model.stale[..], &model.live[..]].concat());
                prop_assert_eq!(bucket.waiting(), &model.waiting[..]);
                prop_assert!(bucket.contacts().len() <= k && bucket.waiting().len() <= waiting);
            }
        }
    }
}
