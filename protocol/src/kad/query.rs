//! One way through the key space: the iterative lookup of the contacts closest to a target, as a pure machine.
//!
//! Call [`ClosestPeers::next`] until it says [`Step::Wait`] or [`Step::Done`]; then again after each
//! [`ClosestPeers::on_success`] and [`ClosestPeers::on_failure`], and at [`ClosestPeers::poll_timeout`].
//!
//! It asks the closest contacts it knows of, at most `alpha` at once and never one beyond the `k` closest that have
//! not failed. It has converged when the `beta` closest that have not failed have answered: with `beta = k` that is "queried
//! and gotten responses from the k closest nodes it has seen" (libp2p/specs kad-dht), with less it is go-libp2p's rule,
//! which then asks the others of the k closest at once and takes no more referrals. After `alpha` answers in a row
//! without progress the parallelism rises to `alpha_stalled` (rust-libp2p). A contact that does not answer in time no
//! longer counts, but may still answer.
//!
//! Bounds: requests per lookup, and [`CANDIDATES_PER_K`] contacts not yet asked, of which the farthest go first.

use std::collections::BTreeMap;

use super::config::Config;
use super::key::{Distance, KadKey};
use crate::time::{Duration, Instant};

/// Contacts heard of but not yet asked that a lookup remembers, per `k` (our choice). A farther one would be asked only
/// if all of these failed.
pub const CANDIDATES_PER_K: usize = 8;

/// Settings of one lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Contacts wanted.
    pub k: usize,
    /// Requests on their way at once.
    pub alpha: usize,
    /// The same while nothing closer is found.
    pub alpha_stalled: usize,
    /// Closest contacts that must have answered.
    pub beta: usize,
    /// How long a contact has to answer.
    pub timeout: Duration,
    /// Requests in all.
    pub requests_max: usize,
}

impl Limits {
    /// The settings of one of `config.paths` paths, which share the parallelism and the requests.
    pub fn of(config: &Config) -> Self {
        let share = |n: usize| (n / config.paths.max(1)).max(1);
        Self {
            k: config.k,
            alpha: share(config.alpha),
            alpha_stalled: share(config.alpha_stalled),
            beta: config.beta,
            timeout: config.request_timeout,
            requests_max: share(config.requests_max),
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<C> {
    /// Ask this contact who is closest to the target.
    Ask(C),
    /// This contact did not answer in time. Said once.
    Late(C),
    /// Nothing, until an answer comes or the time is up.
    Wait,
    /// The lookup is over.
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Waiting(Instant),
    Late,
    Failed,
    Answered,
}

#[derive(Clone, Debug)]
struct Candidate<C> {
    contact: C,
    state: State,
    /// Referrals that led here: 1 for a contact we knew ourselves.
    hops: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Converging,
    /// The `beta` closest have answered; the others of the `k` closest are being asked.
    FollowUp,
    Done,
}

/// A contact that answered a lookup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<C> {
    /// The contact.
    pub contact: C,
    /// Its distance to the target.
    pub distance: Distance,
    /// Length of the chain of referrals to it; see [`QueryStats::hops`](super::QueryStats::hops).
    pub hops: u32,
}

/// The lookup. See the module's text.
#[derive(Clone, Debug)]
pub struct ClosestPeers<C> {
    target: KadKey,
    limits: Limits,
    candidates: BTreeMap<Distance, Candidate<C>>,
    phase: Phase,
    /// Answers in a row that brought nothing closer.
    no_progress: usize,
    waiting: usize,
    unasked: usize,
    requests: usize,
}

impl<C: Copy> ClosestPeers<C> {
    /// A lookup that starts from these contacts, of which it takes the `k` closest.
    pub fn new(target: KadKey, limits: Limits, seeds: impl IntoIterator<Item = (C, KadKey)>) -> Self {
        let candidates = BTreeMap::new();
        let (phase, no_progress) = (Phase::Converging, 0);
        let mut lookup =
            Self { target, limits, candidates, phase, no_progress, waiting: 0, unasked: 0, requests: 0 };
        for (contact, key) in seeds {
            lookup.add(contact, &key, 1);
        }
        lookup.trim(limits.k);
        lookup
    }

    /// The contact at `from` answered and named these. Returns false, changing nothing, if it was not asked or has
    /// answered already.
    pub fn on_success(&mut self, from: &KadKey, named: impl IntoIterator<Item = (C, KadKey)>) -> bool {
        let Some(hops) = self.settle(from, State::Answered) else { return false };
        let few = self.candidates.len() < self.limits.k;
        let range = self.candidates.keys().nth(self.limits.k - 1).copied().unwrap_or(Distance::MAX);
        let mut progress = few;
        if self.phase == Phase::Converging {
            for (contact, key) in named {
                let added = self.add(contact, &key, hops.saturating_add(1));
                progress |= added && key.distance(&self.target) < range;
            }
            self.trim(CANDIDATES_PER_K * self.limits.k);
        }
        self.no_progress = if progress { 0 } else { self.no_progress + 1 };
        true
    }

    /// The contact at `from` will not answer. Returns false, changing nothing, if it was not asked or has answered.
    pub fn on_failure(&mut self, from: &KadKey) -> bool {
        self.settle(from, State::Failed).is_some()
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step<C> {
        if self.phase == Phase::Done {
            return Step::Done;
        }
        let expired = |c: &&mut Candidate<C>| matches!(c.state, State::Waiting(until) if until <= now);
        if self.waiting > 0
            && let Some(late) = self.candidates.values_mut().find(expired)
        {
            late.state = State::Late;
            self.waiting -= 1;
            return Step::Late(late.contact);
        }
        if self.phase == Phase::Converging && self.has_answered(self.limits.beta) {
            self.phase = Phase::FollowUp;
        }
        if self.may_ask()
            && let Some(distance) = self.closest_unasked()
        {
            let candidate = self.candidates.get_mut(&distance).expect("just found");
            candidate.state = State::Waiting(now + self.limits.timeout);
            self.waiting += 1;
            self.unasked -= 1;
            self.requests += 1;
            return Step::Ask(candidate.contact);
        }
        let over = match self.phase {
            Phase::FollowUp => self.waiting == 0 || self.has_answered(self.limits.k),
            Phase::Converging | Phase::Done => self.waiting == 0,
        };
        if over {
            self.phase = Phase::Done;
            return Step::Done;
        }
        Step::Wait
    }

    /// When [`ClosestPeers::next`] has something new to say although nobody answered.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let until = |c: &Candidate<C>| match c.state {
            State::Waiting(until) => Some(until),
            State::New | State::Late | State::Failed | State::Answered => None,
        };
        if self.phase == Phase::Done { None } else { self.candidates.values().filter_map(until).min() }
    }

    /// Ends it at once.
    pub fn finish(&mut self) {
        self.phase = Phase::Done;
    }

    /// Whether it is over.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether it is over because it made all the requests it may, with contacts left to ask.
    pub fn is_exhausted(&self) -> bool {
        self.is_done() && self.requests >= self.limits.requests_max && self.closest_unasked().is_some()
    }

    /// The `k` closest contacts that answered, closest first.
    pub fn closest(&self) -> impl Iterator<Item = Found<C>> {
        let answered = self.candidates.iter().filter(|(_, c)| c.state == State::Answered);
        let found = |(d, c): (&Distance, &Candidate<C>)| Found {
            contact: c.contact,
            distance: *d,
            hops: c.hops.into(),
        };
        answered.take(self.limits.k).map(found)
    }

    /// Contacts remembered, asked or not.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether no contact was ever known.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The referrals that led to the contact at `key`, if it was heard of.
    pub fn hops_to(&self, key: &KadKey) -> Option<u32> {
        self.candidates.get(&key.distance(&self.target)).map(|c| c.hops.into())
    }

    fn settle(&mut self, from: &KadKey, state: State) -> Option<u16> {
        if self.phase == Phase::Done {
            return None;
        }
        let candidate = self.candidates.get_mut(&from.distance(&self.target))?;
        match candidate.state {
            State::Waiting(_) => self.waiting -= 1,
            State::Late => {}
            State::New | State::Failed | State::Answered => return None,
        }
        candidate.state = state;
        Some(candidate.hops)
    }

    fn add(&mut self, contact: C, key: &KadKey, hops: u16) -> bool {
        let mut added = false;
        self.candidates.entry(key.distance(&self.target)).or_insert_with(|| {
            added = true;
            Candidate { contact, state: State::New, hops }
        });
        self.unasked += usize::from(added);
        added
    }

    /// Forgets the farthest contacts not yet asked, down to `max` of them.
    fn trim(&mut self, max: usize) {
        while self.unasked > max {
            let new = |(_, c): &(&Distance, &Candidate<C>)| c.state == State::New;
            let farthest = self.candidates.iter().rev().find(new).map(|(d, _)| *d);
            self.candidates.remove(&farthest.expect("some are not asked"));
            self.unasked -= 1;
        }
    }

    /// The candidates that count, closest first.
    fn promising(&self) -> impl Iterator<Item = (&Distance, &Candidate<C>)> {
        self.candidates.iter().filter(|(_, c)| !matches!(c.state, State::Late | State::Failed))
    }

    /// Whether there are `n` promising candidates and the `n` closest have all answered.
    fn has_answered(&self, n: usize) -> bool {
        let answered = self.promising().take(n).take_while(|(_, c)| c.state == State::Answered);
        answered.count() == n
    }

    fn closest_unasked(&self) -> Option<Distance> {
        self.promising().take(self.limits.k).find(|(_, c)| c.state == State::New).map(|(d, _)| *d)
    }

    fn may_ask(&self) -> bool {
        let at_once = match self.phase {
            Phase::Converging if self.no_progress >= self.limits.alpha => self.limits.alpha_stalled,
            Phase::Converging => self.limits.alpha,
            Phase::FollowUp => self.limits.k,
            Phase::Done => 0,
        };
        self.waiting < at_once && self.requests < self.limits.requests_max
    }
}
