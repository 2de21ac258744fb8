//! A lane's pending events: a ring of windows of virtual time, each an unsorted heap of events, and a map for those
//! beyond the ring. A calendar queue whose day is the lookahead, so it never resizes.

use std::collections::BTreeMap;

use crate::event::Event;

/// Windows in the ring at least and at most.
const SLOTS_MIN: u64 = 16;
const SLOTS_MAX: u64 = 1024;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Ring {
    /// Length of a window in nanoseconds.
    window: u64,
    slots: Vec<Vec<Event>>,
    /// The first window that has not been taken.
    current: u64,
    far: BTreeMap<u64, Vec<Event>>,
    pending: usize,
}

impl Ring {
    /// A ring that holds events up to about `horizon` nanoseconds ahead.
    pub(super) fn new(window: u64, horizon: u64) -> Self {
        let slots = (horizon / window + 2).next_power_of_two().clamp(SLOTS_MIN, SLOTS_MAX);
        Self {
            window,
            slots: (0..slots).map(|_| Vec::new()).collect(),
            current: 0,
            far: BTreeMap::new(),
            pending: 0,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        let window = event.at / self.window;
        debug_assert!(window >= self.current, "an event in the past");
        self.pending += 1;
        if window < self.current + self.slots.len() as u64 {
            let slot = (window % self.slots.len() as u64) as usize;
            self.slots[slot].push(event);
        } else {
            self.far.entry(window).or_default().push(event);
        }
    }

    /// Takes the events of a window; those before it must have been taken. What is pushed into the window afterwards
    /// comes with the next call.
    pub(super) fn take(&mut self, window: u64) -> Vec<Event> {
        self.current = window;
        let slot = (window % self.slots.len() as u64) as usize;
        let mut events = std::mem::take(&mut self.slots[slot]);
        if let Some(mut more) = self.far.remove(&window) {
            events.append(&mut more);
        }
        self.pending -= events.len();
        events
    }

    /// Gives back an emptied vector, so that its memory serves again.
    pub(super) fn recycle(&mut self, window: u64, events: Vec<Event>) {
        let slot = (window % self.slots.len() as u64) as usize;
        if self.slots[slot].is_empty() && self.slots[slot].capacity() < events.capacity() {
            self.slots[slot] = events;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending == 0
    }
}
