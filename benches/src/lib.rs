//! What is timed, once for both timers: `cargo bench -p hyperspace-benches` (criterion, with statistics) and
//! `hyperlab bench` (a short table).
//!
//! A [`Case`] is one thing to time: it is made when it is first needed and then runs as often as it is told. Many cases
//! name a floor: earlier cases of the same list that together are the work nothing can save, so that the ratio says
//! what our code adds to it.
//!
//! All inputs are fixed, so two runs do the same work. No time is ever judged here: times depend on the machine.

pub mod envelope;
pub mod gossip;
pub mod kad;
pub mod measure;
pub mod ring;

use std::fmt;
use std::time::{Duration, Instant};

pub use measure::{Row, measure};

/// What can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whole simulations of GossipSub, see [`gossip`].
    Gossip,
    /// The consistent hash ring, see [`ring`].
    Ring,
    /// Kademlia, see [`kad`].
    Kad,
    /// The signed envelope, see [`envelope`].
    Envelope,
}

impl Subject {
    /// All, the quickest first.
    pub const ALL: [Self; 4] = [Self::Envelope, Self::Ring, Self::Kad, Self::Gossip];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gossip => "gossip",
            Self::Ring => "ring",
            Self::Kad => "kad",
            Self::Envelope => "envelope",
        }
    }

    /// What [`Case::n`] counts.
    pub const fn counts(self) -> &'static str {
        match self {
            Self::Gossip | Self::Ring | Self::Kad => "peers",
            Self::Envelope => "bytes",
        }
    }

    /// The unit that its rows are usually shown in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Gossip => Unit::EventsPerSecond,
            Self::Ring | Self::Kad | Self::Envelope => Unit::NanosPerOp,
        }
    }

    /// Its cases.
    pub fn cases(self, effort: Effort) -> Vec<Case> {
        match self {
            Self::Gossip => gossip::cases(effort),
            Self::Ring => ring::cases(effort),
            Self::Kad => kad::cases(effort),
            Self::Envelope => envelope::cases(effort),
        }
    }
}

/// How a time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds per operation.
    NanosPerOp,
    /// Simulated events per second.
    EventsPerSecond,
}

impl Unit {
    /// A time per operation in this unit.
    pub fn of(self, ns_per_op: f64) -> f64 {
        match self {
            Self::NanosPerOp => ns_per_op,
            Self::EventsPerSecond => 1e9 / ns_per_op,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NanosPerOp => "ns/op",
            Self::EventsPerSecond => "events/s",
        })
    }
}

/// How large the cases are and how long they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Just enough to see that everything runs.
    Quick,
    /// Sizes and times whose numbers mean something.
    Full,
}

impl Effort {
    /// Members of rings and networks.
    pub(crate) const fn peers(self) -> &'static [u32] {
        match self {
            Self::Quick => &[10, 100],
            Self::Full => &[10, 100, 1_000, 10_000],
        }
    }
}

/// Operations done and the time they took, without what had to be prepared for them.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// How many.
    pub ops: u64,
    /// How long.
    pub time: Duration,
}

/// Does its work so many times.
pub type Run = Box<dyn FnMut(u64) -> Timed>;

/// One thing to time.
pub struct Case {
    /// What is done.
    pub what: String,
    /// On how much, in [`Subject::counts`]; none if that means nothing here.
    pub n: Option<u64>,
    /// Earlier cases of the list and how often each is part of this one's floor; empty for none.
    pub floor: Vec<(usize, u64)>,
    make: Box<dyn Fn() -> Run>,
}

impl Case {
    /// A case without a floor. `make` prepares it, untimed.
    pub fn new<R>(what: &str, n: Option<u64>, make: impl Fn() -> R + 'static) -> Self
    where
        R: FnMut(u64) -> Timed + 'static,
    {
        let make = Box::new(move || -> Run { Box::new(make()) });
        Self { what: what.to_owned(), n, floor: Vec::new(), make }
    }

    /// The same with this floor.
    #[must_use]
    pub fn over(self, floor: impl Into<Vec<(usize, u64)>>) -> Self {
        Self { floor: floor.into(), ..self }
    }

    /// Prepares it.
    pub fn make(&self) -> Run {
        (self.make)()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({}, {:?})", self.what, self.n)
    }
}

/// Times `op` in one piece.
pub fn looped(mut op: impl FnMut()) -> impl FnMut(u64) -> Timed {
    move |times| {
        let start = Instant::now();
        for _ in 0..times {
            op();
        }
        Timed { ops: times, time: start.elapsed() }
    }
}

/// Adds up the times that `op` takes of itself, for operations that leave something to be cleared away.
pub fn clocked(mut op: impl FnMut() -> Duration) -> impl FnMut(u64) -> Timed {
    move |times| Timed { ops: times, time: (0..times).map(|_| op()).sum() }
}

/// `op` on one input after the other, round and round.
pub fn in_turns<'a, T: 'a>(inputs: Vec<T>, mut op: impl FnMut(&T) + 'a) -> impl FnMut() + 'a {
    let mut next = 0;
    move || {
        op(&inputs[next]);
        next += 1;
        if next == inputs.len() {
            next = 0;
        }
    }
}

/// Puts a case on a list; returns its place, for the floors of later ones.
fn add(cases: &mut Vec<Case>, case: Case) -> usize {
    cases.push(case);
    cases.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_and_floors_come_before_what_stands_on_them() {
        for subject in Subject::ALL {
            let cases = subject.cases(Effort::Quick);
            for (place, case) in cases.iter().enumerate() {
                assert!(case.floor.iter().all(|(at, times)| *at < place && *times > 0), "{case:?}");
                assert!(case.make()(2).ops >= 2, "{case:?}");
            }
        }
    }

    #[test]
    fn inputs_come_in_turns() {
        let mut seen = Vec::new();
        let mut op = in_turns(vec![1, 2, 3], |input| seen.push(*input));
        (0..5).for_each(|_| op());
        drop(op);
        assert_eq!(seen, [1, 2, 3, 1, 2]);
    }
}
