//! A lookup over one path or over several disjoint ones (S/Kademlia: Baumgart and Mies, ICPADS 2007, section 4.4).
//!
//! With `d` paths the contacts we start from are dealt out among them, closest first, and no peer is asked by two: who
//! is led astray by one liar is so on one path only. What a peer names goes to the path that asked it; another path
//! that comes upon the same peer is told only that it answered, so that it can end (as in rust-libp2p).

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::key::{Distance, KadKey};
use super::query::{ClosestPeers, Found, Limits, Step};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Asked,
    Answered,
    Failed,
}

/// A lookup; driven like [`ClosestPeers`].
#[derive(Clone, Debug)]
pub struct Lookup<C> {
    target: KadKey,
    paths: SmallVec<[ClosestPeers<C>; 1]>,
    /// Who was asked, by which path, and what became of it. Not used with one path.
    asked: BTreeMap<Distance, (usize, Fate)>,
    /// The path to look at first.
    turn: usize,
}

impl<C: Copy> Lookup<C> {
    /// A lookup of `paths` paths from these contacts, closest first. Each path starts with up to `k` of them.
    pub fn new(target: KadKey, paths: usize, limits: Limits, seeds: &[(C, KadKey)]) -> Self {
        // A path without a single contact to start from is none.
        let paths = paths.min(seeds.len()).max(1);
        let share = |i: usize| seeds.iter().skip(i).step_by(paths).copied();
        let paths = (0..paths).map(|i| ClosestPeers::new(target, limits, share(i))).collect();
        Self { target, paths, asked: BTreeMap::new(), turn: 0 }
    }

    /// What to do next. [`Step::Done`] when every path is.
    pub fn next(&mut self, now: Instant, key: impl Fn(C) -> KadKey) -> Step<C> {
        if let [path] = &mut self.paths[..] {
            return path.next(now);
        }
        let mut done = true;
        for _ in 0..self.paths.len() {
            let at = self.turn;
            self.turn = (at + 1) % self.paths.len();
            loop {
                match self.paths[at].next(now) {
                    Step::Done => break,
                    Step::Wait => {
                        done = false;
                        break;
                    }
                    Step::Ask(contact) => {
                        if self.ask(at, &key(contact)) {
                            return Step::Ask(contact);
                        }
                    }
                    Step::Late(contact) => {
                        // Only the path that asked has a timer that means something.
                        if self
                            .asked
                            .get(&key(contact).distance(&self.target))
                            .is_some_and(|(by, _)| *by == at)
                        {
                            return Step::Late(contact);
                        }
                    }
                }
            }
        }
        if done { Step::Done } else { Step::Wait }
    }

    /// Whether the path may ask; if another one did, it learns what became of it.
    fn ask(&mut self, path: usize, contact: &KadKey) -> bool {
        let distance = contact.distance(&self.target);
        match self.asked.get(&distance).map(|(_, fate)| *fate) {
            None => {
                self.asked.insert(distance, (path, Fate::Asked));
                return true;
            }
            Some(Fate::Asked) => {}
            Some(Fate::Answered) => {
                self.paths[path].on_success(contact, []);
            }
            Some(Fate::Failed) => {
                self.paths[path].on_failure(contact);
            }
        }
        false
    }

    /// A contact answered; see [`ClosestPeers::on_success`].
    pub fn on_success(&mut self, from: &KadKey, named: impl IntoIterator<Item = (C, KadKey)>) -> bool {
        if let [path] = &mut self.paths[..] {
            return path.on_success(from, named);
        }
        let Some(by) = self.settle(from, Fate::Answered) else { return false };
        self.paths[by].on_success(from, named);
        for (i, path) in self.paths.iter_mut().enumerate() {
            if i != by {
                path.on_success(from, []);
            }
        }
        true
    }

    /// A contact will not answer; see [`ClosestPeers::on_failure`].
    pub fn on_failure(&mut self, from: &KadKey) -> bool {
        if let [path] = &mut self.paths[..] {
            return path.on_failure(from);
        }
        if self.settle(from, Fate::Failed).is_none() {
            return false;
        }
        for path in &mut self.paths {
            path.on_failure(from);
        }
        true
    }

    /// Notes what became of a contact that was asked; returns by which path.
    fn settle(&mut self, from: &KadKey, became: Fate) -> Option<usize> {
        if self.paths.iter().all(ClosestPeers::is_done) {
            return None;
        }
        let (by, fate) = self.asked.get_mut(&from.distance(&self.target))?;
        if *fate != Fate::Asked {
            return None;
        }
        *fate = became;
        Some(*by)
    }

    /// When [`Lookup::next`] has something new to say although nobody answered.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paths.iter().filter_map(ClosestPeers::poll_timeout).min()
    }

    /// Ends it at once.
    pub fn finish(&mut self) {
        self.paths.iter_mut().for_each(ClosestPeers::finish);
    }

    /// Whether a path is over because it made all the requests it may.
    pub fn is_exhausted(&self) -> bool {
        self.paths.iter().any(ClosestPeers::is_exhausted)
    }

    /// Contacts that answered, closest first: the `k` closest of each path, since an honest path cannot be told from
    /// one that was led astray.
    pub fn closest(&self) -> Vec<Found<C>> {
        let mut all: Vec<Found<C>> = self.paths.iter().flat_map(ClosestPeers::closest).collect();
        all.sort_unstable_by_key(|f| (f.distance, f.hops));
        all.dedup_by_key(|f| f.distance);
        all
    }

    /// The paths.
    pub fn paths(&self) -> &[ClosestPeers<C>] {
        &self.paths
    }

    /// Contacts remembered by all paths.
    pub fn len(&self) -> usize {
        self.paths.iter().map(ClosestPeers::len).sum()
    }

    /// Whether no contact was ever known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
