//! The fast engine: conservative windows one lookahead long. Nothing that a peer does in a window can reach another peer
//! in the same window, so lanes run in any order, on any number of threads, peer by peer: each peer's state is touched
//! once per window. Events are sorted at the receiver, so their order of arrival in the queue does not matter.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use hyperspace_protocol::time::{Duration, Instant};

use super::ring::{Heap, Ring};
use super::{Engine, Tick};
use crate::event::{Event, Payload};
use crate::host::Subject;
use crate::lane::{LANE, Lane, Sink};
use crate::shared::Shared;

const POISONED: &str = "a panic while a lock is held ends the run";

/// See the module's text.
pub(crate) struct Windows<P> {
    lanes: Vec<Mutex<Lane<P>>>,
    rings: Vec<Mutex<Ring>>,
    window: u64,
    threads: usize,
    now: u64,
}

/// Events in a window up to which one worker does them alone, because waking the others costs more. Our choice.
const QUIET: usize = 500;

/// A worker's own buffers.
struct Worker {
    /// New events by lane, handed to the rings once per window.
    staged: Vec<Vec<Event>>,
    order: Vec<u64>,
}

impl Sink for Worker {
    #[inline]
    fn push(&mut self, event: Event) {
        self.staged[(event.dst / LANE) as usize].push(event);
    }
}

impl<P: Subject> Windows<P> {
    pub(crate) fn new(shared: &Shared, lanes: Vec<Lane<P>>, threads: usize, horizon: Duration) -> Self {
        let window = shared.lookahead.as_nanos();
        let rings = lanes.iter().map(|_| Mutex::new(Ring::new(window, horizon.as_nanos()))).collect();
        let threads = threads.min(lanes.len());
        Self { lanes: lanes.into_iter().map(Mutex::new).collect(), rings, window, threads, now: 0 }
    }

    fn worker(&self) -> Worker {
        Worker { staged: self.lanes.iter().map(|_| Vec::new()).collect(), order: Vec::new() }
    }

    /// Runs lanes until none is left for the window that begins at `start`.
    fn work(&self, shared: &Shared, worker: &mut Worker, next: &AtomicUsize, start: u64, until: u64) {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(lane) = self.lanes.get(index) else { break };
            let window = start / self.window;
            let mut events = self.rings[index].lock().expect(POISONED).take(window);
            let mut lane = lane.lock().expect(POISONED);
            if until < (window + 1) * self.window {
                set_aside(worker, &mut events, until);
            }
            sort(&mut worker.order, &events, window * self.window, lane.base, shared.keys.tie);
            run_lane(&mut lane, shared, worker, &mut events, until);
            let mut ring = self.rings[index].lock().expect(POISONED);
            ring.recycle(events);
        }
        for (index, staged) in worker.staged.iter_mut().enumerate() {
            if !staged.is_empty() {
                let mut ring = self.rings[index].lock().expect(POISONED);
                staged.drain(..).for_each(|event| ring.push(event));
            }
        }
    }

    fn advance_alone(&mut self, shared: &Shared, until: u64, tick: Tick<'_>) {
        let mut worker = self.worker();
        while self.now < until {
            let end = self.window_end(until);
            self.work(shared, &mut worker, &AtomicUsize::new(0), self.now, end);
            self.now = end;
            self.report(tick);
        }
    }

    fn advance_together(&mut self, shared: &Shared, until: u64, tick: Tick<'_>) {
        let (barrier, next) = (Barrier::new(self.threads), AtomicUsize::new(0));
        let (start, end) = (AtomicU64::new(self.now), AtomicU64::new(0));
        let (stop, panicked) = (AtomicBool::new(false), Mutex::new(None));
        let this = &*self;
        let run = |worker: &mut Worker| {
            let (from, to) = (start.load(Ordering::Acquire), end.load(Ordering::Acquire));
            let work = AssertUnwindSafe(|| this.work(shared, worker, &next, from, to));
            // A worker that panics must still reach the barrier, or the others would wait for ever.
            if let Err(panic) = catch_unwind(work) {
                panicked.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(panic);
            }
        };
        let mut now = self.now;
        std::thread::scope(|scope| {
            for _ in 1..this.threads {
                scope.spawn(|| {
                    let mut worker = this.worker();
                    loop {
                        barrier.wait();
                        if stop.load(Ordering::Acquire) {
                            return;
                        }
                        run(&mut worker);
                        barrier.wait();
                    }
                });
            }
            let mut worker = this.worker();
            while now < until {
                let to = ((now / this.window + 1) * this.window).min(until);
                if this.is_quiet(now / this.window) {
                    this.work(shared, &mut worker, &AtomicUsize::new(0), now, to);
                    now = to;
                    this.report_at(now, tick);
                    continue;
                }
                start.store(now, Ordering::Release);
                end.store(to, Ordering::Release);
                next.store(0, Ordering::Release);
                barrier.wait();
                run(&mut worker);
                barrier.wait();
                now = to;
                if panicked.lock().unwrap_or_else(|e| e.into_inner()).is_some() {
                    break;
                }
                this.report_at(now, tick);
            }
            stop.store(true, Ordering::Release);
            barrier.wait();
        });
        if let Some(panic) = panicked.into_inner().unwrap_or_else(|e| e.into_inner()) {
            resume_unwind(panic);
        }
        self.now = now;
    }

    /// Whether a window holds so little that waking the other workers would cost more than it saves.
    fn is_quiet(&self, window: u64) -> bool {
        let mut events = 0;
        for ring in &self.rings {
            events += ring.lock().expect(POISONED).count(window);
            if events > QUIET {
                return false;
            }
        }
        true
    }

    fn window_end(&self, until: u64) -> u64 {
        ((self.now / self.window + 1) * self.window).min(until)
    }

    fn report(&self, tick: Tick<'_>) {
        self.report_at(self.now, tick);
    }

    /// Adding up all lanes costs, so not after every window.
    fn report_at(&self, now: u64, tick: Tick<'_>) {
        const EVERY: u64 = 50_000_000;
        if now / EVERY == now.saturating_sub(self.window) / EVERY {
            return;
        }
        let totals = self.lanes.iter().map(|lane| {
            let lane = lane.lock().expect(POISONED);
            (lane.tally.events, lane.tally.carried)
        });
        let (events, delivered) = totals.fold((0, 0), |(e, d), (le, ld)| (e + le, d + ld));
        tick(Instant::from_nanos(now), events, delivered);
    }
}

impl<P: Subject> Engine<P> for Windows<P> {
    fn schedule(&mut self, events: Vec<Event>) {
        for event in events {
            let ring = &mut self.rings[(event.dst / LANE) as usize];
            ring.get_mut().expect(POISONED).push(event);
        }
    }

    fn advance(&mut self, shared: &Shared, until: Instant, tick: Tick<'_>) {
        if self.threads > 1 {
            self.advance_together(shared, until.as_nanos(), tick);
        } else {
            self.advance_alone(shared, until.as_nanos(), tick);
        }
    }

    fn pending(&mut self) -> usize {
        self.rings.iter_mut().map(|ring| ring.get_mut().expect(POISONED).pending()).sum()
    }

    fn each_lane(&mut self, each: &mut dyn FnMut(&mut Lane<P>, &mut Vec<Event>)) {
        let mut new = Vec::new();
        for lane in &mut self.lanes {
            each(lane.get_mut().expect(POISONED), &mut new);
        }
        self.schedule(new);
    }
}

/// Bits of a sort key: peer in the lane, offset in the window, place in the vector.
const PLACE_BITS: u32 = 22;
const OFFSET_BITS: u32 = 32;

/// How many events ahead memory is fetched. Measured: without it g8 at 100,000 peers runs a quarter slower; 8 or 16 make
/// little difference.
const AHEAD: usize = 16;

/// Carries out a lane's events, in the worker's order, and its timers before `until`, peer by peer.
fn run_lane<P: Subject>(
    lane: &mut Lane<P>,
    shared: &Shared,
    worker: &mut Worker,
    events: &mut Heap,
    until: u64,
) {
    let mut order = std::mem::take(&mut worker.order);
    let mut at = 0;
    for local in 0..lane.hosts.len() {
        let due = lane.deadlines[local] < until;
        let mine = at < order.len() && peer_of(order[at]) == local;
        if !due && !mine {
            continue;
        }
        while at < order.len() && peer_of(order[at]) == local {
            if at % AHEAD == 0 {
                let next = order[at..].iter().skip(AHEAD).take(AHEAD);
                lane.warm(next.map(|key| (peer_of(*key), events.get(place_of(*key)).slot)));
            }
            let event = events.get_mut(place_of(order[at]));
            run_timers(lane, shared, worker, local, event.at);
            let payload = std::mem::replace(&mut event.payload, Payload::Taken);
            let event = Event { payload, ..*event };
            lane.deliver(shared, event, worker);
            at += 1;
        }
        run_timers(lane, shared, worker, local, until - 1);
    }
    order.clear();
    worker.order = order;
}

/// Runs a host's timers due up to and including `last`.
#[inline]
fn run_timers<P: Subject>(lane: &mut Lane<P>, shared: &Shared, worker: &mut Worker, local: usize, last: u64) {
    while lane.deadlines[local] <= last {
        let due = lane.deadlines[local];
        lane.timeout(shared, local, due, worker);
    }
}

/// A window that an action of the world cuts short leaves its later events for the rest.
fn set_aside(worker: &mut Worker, events: &mut Heap, until: u64) {
    for event in events.extract(|event| event.at >= until) {
        worker.push(event);
    }
}

const fn peer_of(key: u64) -> usize {
    (key >> (OFFSET_BITS + PLACE_BITS)) as usize
}

const fn place_of(key: u64) -> usize {
    (key & ((1 << PLACE_BITS) - 1)) as usize
}

/// Fills `order` with one key per event of a window that begins at `start`, in the order of the contract.
fn sort(order: &mut Vec<u64>, events: &Heap, start: u64, base: u32, tie: u64) {
    assert!(events.len() < 1 << (PLACE_BITS - 1), "more than two million events in one window of one lane");
    order.extend(events.iter().map(|(place, e)| {
        let local = u64::from(e.dst - base);
        // A window is at most as long as the longest latency, which fits 32 bits.
        local << (OFFSET_BITS + PLACE_BITS) | (e.at - start) << PLACE_BITS | place as u64
    }));
    order.sort_unstable();
    let mut first = 0;
    while first < order.len() {
        let same = |key: u64| key >> PLACE_BITS == order[first] >> PLACE_BITS;
        let len = order[first..].iter().take_while(|key| same(**key)).count();
        if len > 1 {
            order[first..first + len].sort_unstable_by_key(|key| events.get(place_of(*key)).order(tie));
        }
        first += len;
    }
}
