//! Row A16 of evidence.md: how long cards of the dead live, and how many of the fresh cards are theirs.

use core::f64::consts::LN_2;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// An exponential number of mean 1, by von Neumann's method (1951), which compares uniform numbers and needs no
/// logarithm: the length of the first descending run decides, an odd one accepts the first number, an even one adds 1
/// and tries again.
fn exponential(rng: &mut Stream) -> f64 {
    for whole in 0u32.. {
        let first = rng.unit();
        let (mut last, mut run) = (first, 1);
        loop {
            let next = rng.unit();
            if next >= last {
                break;
            }
            (last, run) = (next, run + 1);
        }
        if run % 2 == 1 {
            return f64::from(whole) + first;
        }
    }
    unreachable!("each try accepts with probability 1 - 1/e")
}

#[test]
fn the_sampler_is_exponential() {
    let mut rng = Stream::new(purpose_key(1, "exponential"), 0);
    let draws: Vec<f64> = (0..200_000).map(|_| exponential(&mut rng)).collect();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    // Four sigma of the mean, and of the shares above ln 2 and ln 8.
    assert!((mean - 1.0).abs() < 0.009, "{mean}");
    for (over, share) in [(LN_2, 0.5), (3.0 * LN_2, 0.125)] {
        let above = draws.iter().filter(|draw| **draw > over).count() as f64 / draws.len() as f64;
        assert!((above - share).abs() < 0.0045, "{above} above {over}");
    }
}

fn seconds(s: f64) -> Duration {
    Duration::from_nanos((s * 1e9) as u64)
}

/// One peer's session: its announcer until the crash.
struct Session {
    announcer: Announcer,
    crash: Instant,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Start,
    Beat(u32),
    Crash(u32),
    Sample,
}

/// A population of constant size before one tracker: whoever crashes, silently, is replaced by a new peer at once.
struct Population {
    rig: Rig,
    tracker: Tracker,
    sessions: Vec<Session>,
    events: BinaryHeap<Reverse<(Instant, Event)>>,
    mean: f64,
    lengths: Stream,
    /// How long each card lived on after the crash.
    lives: Vec<Duration>,
    fresh: u64,
    stale: u64,
}

impl Population {
    /// Runs `size` peers with sessions of `mean` seconds for `hours`.
    fn run(size: u32, mean: f64, hours: u64) -> Self {
        let mut rig = Rig::new();
        rig.config.followed_max = usize::MAX;
        let mut world = Self {
            rig,
            tracker: Tracker::default(),
            sessions: Vec::new(),
            events: (0..size).map(|_| Reverse((Instant::ZERO, Event::Start))).collect(),
            mean,
            lengths: Stream::new(purpose_key(1, "sessions"), 0),
            lives: Vec::new(),
            fresh: 0,
            stale: 0,
        };
        // From twice the longest life of a card on the number of stale ones is steady.
        world.events.extend((600..hours * 3600).step_by(20).map(|s| Reverse((at(s), Event::Sample))));
        while let Some(Reverse((now, event))) = world.events.pop() {
            if now > at(hours * 3600) {
                break;
            }
            world.expire_until(now);
            world.rig.now = now;
            world.handle(event);
        }
        world
    }

    fn handle(&mut self, event: Event) {
        let now = self.rig.now;
        match event {
            Event::Start => {
                let n = self.sessions.len() as u32;
                let crash = now + seconds(self.mean * exponential(&mut self.lengths));
                let mut announcer = Announcer::new(peer(n), 0);
                self.tracker.follow(&mut self.rig.cx(), peer(n));
                announcer.set_card(&mut self.rig.cx(), card(n, 0)).expect("within bounds");
                self.sessions.push(Session { announcer, crash });
                self.events.push(Reverse((crash, Event::Crash(n))));
                self.deliver(n);
            }
            Event::Beat(n) => {
                let session = &mut self.sessions[n as usize];
                if now < session.crash {
                    session.announcer.handle_timeout(&mut self.rig.cx());
                    self.deliver(n);
                }
            }
            Event::Crash(_) => self.events.push(Reverse((now, Event::Start))),
            Event::Sample => {
                self.fresh += self.tracker.store().fresh(now).count() as u64;
                let dead = self.tracker.store().fresh(now).filter(|card| self.crash_of(&card.peer_id) <= now);
                self.stale += dead.count() as u64;
            }
        }
    }

    /// Hands what a publisher says to the tracker, at once.
    fn deliver(&mut self, n: u32) {
        for output in self.rig.take() {
            match output {
                Output::PublishCard(card) => {
                    self.tracker.on_card(&mut self.rig.cx(), peer(n), card, Duration::ZERO);
                }
                Output::PublishHeartbeat(beat) => {
                    self.tracker.on_heartbeat(&mut self.rig.cx(), peer(n), &beat);
                }
                Output::Persist { .. } | Output::Subscribe(_) => {}
                Output::Unsubscribe(_)
                | Output::FetchCard { .. }
                | Output::Updated(_)
                | Output::Expired(_) => {
                    panic!("{output:?}")
                }
            }
        }
        self.rig.out.clear();
        let next = self.sessions[n as usize].announcer.poll_timeout().expect("heartbeats");
        self.events.push(Reverse((next, Event::Beat(n))));
    }

    fn expire_until(&mut self, now: Instant) {
        while let Some(due) = self.tracker.poll_timeout().filter(|due| *due <= now) {
            self.tracker.handle_timeout(&mut self.rig.at(due));
            for output in self.rig.take() {
                let Output::Expired(id) = output else { panic!("{output:?}") };
                self.lives.push(due.since(self.crash_of(&id)));
                self.tracker.unfollow(&mut self.rig.cx(), id);
            }
            self.rig.out.clear();
        }
    }

    fn crash_of(&self, id: &PeerId) -> Instant {
        let n = u32::from_be_bytes(id.as_bytes()[..4].try_into().expect("four bytes"));
        self.sessions[n as usize].crash
    }
}

/// 300 - U(0, 30) s after the crash, and the share 285 / (285 + E[session]) of all fresh cards.
#[test]
fn cards_of_the_dead_live_285_seconds_and_make_up_their_share() {
    for (mean, size, hours) in [(600.0, 300, 6), (3600.0, 700, 12)] {
        let world = Population::run(size, mean, hours);
        let lives: Vec<f64> = world.lives.iter().map(|life| life.as_secs_f64()).collect();
        assert!(lives.len() > 7000, "{}", lives.len());
        let average = lives.iter().sum::<f64>() / lives.len() as f64;
        assert!((average / 285.0 - 1.0).abs() < 0.03, "{mean}: lives {average}");
        assert!(lives.iter().all(|life| (270.0..=300.0).contains(life)), "{mean}");
        // Uniform: each third of the 30 s has a third of the lives, within 0.03 of the whole.
        for third in [270.0, 280.0, 290.0] {
            let share = lives.iter().filter(|life| (third..third + 10.0).contains(*life)).count() as f64;
            assert!((share / lives.len() as f64 - 1.0 / 3.0).abs() < 0.03, "{mean}: {third} has {share}");
        }
        let (share, expected) = (world.stale as f64 / world.fresh as f64, 285.0 / (285.0 + mean));
        assert!((share / expected - 1.0).abs() < 0.03, "{mean}: {share} instead of {expected}");
        assert!(world.rig.counted().iter().all(|(count, _)| *count == Count::Expired));
    }
}
