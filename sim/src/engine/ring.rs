//! A lane's pending events: a ring of windows of virtual time, each an unsorted heap of events, and a map for those
//! beyond the ring. A calendar queue whose day is the lookahead, so it never resizes.
//!
//! Events lie in chunks that go back to a pool, so that memory follows the number of events under way and not the sum of
//! every window's busiest moment.

use std::collections::BTreeMap;

use crate::event::Event;

/// Windows in the ring at least and at most.
const SLOTS_MIN: u64 = 16;
const SLOTS_MAX: u64 = 1024;

/// Events per chunk: 2.5 KiB.
const CHUNK: usize = 64;

/// Unsorted events in chunks. The place of an event is its chunk and its place there, in one number.
#[derive(Debug, Default)]
pub(super) struct Heap {
    chunks: Vec<Vec<Event>>,
}

impl Heap {
    #[inline]
    fn push(&mut self, event: Event, pool: &mut Vec<Vec<Event>>) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(event),
            Some(_) | None => {
                let mut chunk = pool.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
                chunk.push(event);
                self.chunks.push(chunk);
            }
        }
    }

    fn append(&mut self, mut other: Self) {
        self.chunks.append(&mut other.chunks);
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// Every event with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Event)> {
        let place = |(chunk, events): (usize, &'_ Vec<Event>)| (chunk * CHUNK, events.len());
        let places = self.chunks.iter().enumerate().map(place);
        places.zip(&self.chunks).flat_map(|((first, _), events)| (first..).zip(events))
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> &Event {
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: usize) -> &mut Event {
        &mut self.chunks[place / CHUNK][place % CHUNK]
    }

    /// Takes out the events that `wanted` picks.
    pub(super) fn extract(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut out = Vec::new();
        for chunk in &mut self.chunks {
            out.extend(chunk.extract_if(.., |event| wanted(event)));
        }
        out
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Ring {
    /// Length of a window in nanoseconds.
    window: u64,
    /// A power of two of them.
    slots: Vec<Heap>,
    /// The first window that has not been taken.
    current: u64,
    far: BTreeMap<u64, Heap>,
    pending: usize,
    pool: Vec<Vec<Event>>,
}

impl Ring {
    /// A ring that holds events up to about `horizon` nanoseconds ahead.
    pub(super) fn new(window: u64, horizon: u64) -> Self {
        let slots = (horizon / window + 2).next_power_of_two().clamp(SLOTS_MIN, SLOTS_MAX);
        Self {
            window,
            slots: (0..slots).map(|_| Heap::default()).collect(),
            current: 0,
            far: BTreeMap::new(),
            pending: 0,
            pool: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, event: Event) {
        let window = event.at / self.window;
        debug_assert!(window >= self.current, "an event in the past");
        self.pending += 1;
        if window < self.current + self.slots.len() as u64 {
            let slot = self.slot(window);
            self.slots[slot].push(event, &mut self.pool);
        } else {
            self.far.entry(window).or_default().push(event, &mut self.pool);
        }
    }

    /// Takes the events of a window; those before it must have been taken. What is pushed into the window afterwards
    /// comes with the next call.
    pub(super) fn take(&mut self, window: u64) -> Heap {
        self.current = window;
        let slot = self.slot(window);
        let mut events = std::mem::take(&mut self.slots[slot]);
        if let Some(more) = self.far.remove(&window) {
            // A chunk that is not full may now lie in the middle: places stay unique all the same.
            events.append(more);
        }
        self.pending -= events.len();
        events
    }

    /// Takes back the chunks of a heap whose events are done with.
    pub(super) fn recycle(&mut self, events: Heap) {
        self.pool.extend(events.chunks.into_iter().map(|mut chunk| {
            chunk.clear();
            chunk
        }));
    }

    /// How many events lie in a window.
    pub(super) fn count(&self, window: u64) -> usize {
        self.slots[self.slot(window)].len() + self.far.get(&window).map_or(0, Heap::len)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    #[inline]
    fn slot(&self, window: u64) -> usize {
        window as usize & (self.slots.len() - 1)
    }
}
