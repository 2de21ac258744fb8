//! What waits to be written to one connection's gossip stream: control frames first, then messages, then gossip about
//! messages. Bounded in frames and bytes.
//!
//! When it is full, gossip (IHAVE, IWANT) goes first, then messages are not taken. A peer to which nothing could be written
//! for a while although its queue is full is too slow, and so is one whose control frames pile up: to drop a GRAFT or
//! PRUNE would leave two peers with different ideas of their mesh.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::message::NodeMessage;

/// What a frame is, and with it what may happen to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Subscriptions, GRAFT, PRUNE, IDONTWANT.
    Control,
    /// A message.
    Message,
    /// IHAVE and IWANT.
    Gossip,
}

/// A frame as it is written, length and all.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// Its own bytes.
    Own(Box<[u8]>),
    /// Those of a message, shared with all other queues that hold it.
    Shared(NodeMessage),
}

impl Bytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(message) => message.frame(),
        }
    }
}

/// What came of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    /// It will be written.
    Queued,
    /// It was dropped.
    Dropped,
    /// It was dropped, and the peer is too slow to go on with.
    Slow,
}

/// Bounds of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Frames, of each class.
    pub frames: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// How long nothing may be written while the queue is full.
    pub stall: Duration,
}

/// The queue; see the module's text. The driver puts in, the connection's task takes out.
#[derive(Debug)]
pub struct SendQueue {
    bounds: Bounds,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    control: VecDeque<Bytes>,
    messages: VecDeque<Bytes>,
    gossip: VecDeque<Bytes>,
    bytes: usize,
    progress: Instant,
}

impl State {
    fn drop_gossip(&mut self) -> usize {
        let freed: usize = self.gossip.iter().map(|frame| frame.as_slice().len()).sum();
        self.bytes -= freed;
        let count = self.gossip.len();
        self.gossip.clear();
        count
    }

    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.messages.is_empty() && self.gossip.is_empty()
    }
}

impl SendQueue {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        let state = State {
            control: VecDeque::new(),
            messages: VecDeque::new(),
            gossip: VecDeque::new(),
            bytes: 0,
            progress: Instant::now(),
        };
        Self { bounds, state: Mutex::new(state), filled: Notify::new() }
    }

    /// Puts a frame in. Returns what came of it, and how many frames of gossip it pushed out.
    pub fn push(&self, class: Class, frame: Bytes) -> (Pushed, usize) {
        let mut state = self.state();
        let length = frame.as_slice().len();
        if state.is_empty() {
            // Nothing was due to be written until now.
            state.progress = Instant::now();
        }
        let fits = |s: &State| {
            let queue = match class {
                Class::Control => &s.control,
                Class::Message => &s.messages,
                Class::Gossip => &s.gossip,
            };
            queue.len() < self.bounds.frames && s.bytes + length <= self.bounds.bytes
        };
        let mut pushed_out = 0;
        if !fits(&state) && class != Class::Gossip {
            pushed_out = state.drop_gossip();
        }
        if !fits(&state) {
            let stalled = state.progress.elapsed() >= self.bounds.stall;
            let slow = class == Class::Control || (class == Class::Message && stalled);
            return (if slow { Pushed::Slow } else { Pushed::Dropped }, pushed_out);
        }
        state.bytes += length;
        match class {
            Class::Control => state.control.push_back(frame),
            Class::Message => state.messages.push_back(frame),
            Class::Gossip => state.gossip.push_back(frame),
        }
        drop(state);
        self.filled.notify_one();
        (Pushed::Queued, pushed_out)
    }

    /// Waits for a frame and takes it out. For one task only.
    pub async fn next(&self) -> Bytes {
        loop {
            if let Some(frame) = self.try_next() {
                return frame;
            }
            self.filled.notified().await;
        }
    }

    /// Takes out the next frame, if there is one.
    pub fn try_next(&self) -> Option<Bytes> {
        let mut state = self.state();
        let control = state.control.pop_front();
        let frame = control.or_else(|| state.messages.pop_front()).or_else(|| state.gossip.pop_front())?;
        state.bytes -= frame.as_slice().len();
        Some(frame)
    }

    /// A frame was written.
    pub fn progressed(&self) {
        self.state().progress = Instant::now();
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(bytes: &[u8]) -> Bytes {
        Bytes::Own(bytes.into())
    }

    fn queue(frames: usize, bytes: usize, stall: Duration) -> SendQueue {
        SendQueue::new(Bounds { frames, bytes, stall })
    }

    #[test]
    fn control_goes_before_messages_and_those_before_gossip() {
        let queue = queue(9, 99, Duration::MAX);
        for (class, byte) in
            [(Class::Gossip, 3), (Class::Message, 2), (Class::Control, 1), (Class::Control, 4)]
        {
            assert_eq!(queue.push(class, own(&[byte])), (Pushed::Queued, 0));
        }
        let order: Vec<u8> = std::iter::from_fn(|| queue.try_next()).map(|f| f.as_slice()[0]).collect();
        assert_eq!(order, [1, 4, 2, 3]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn gossip_makes_room_for_messages() {
        let queue = queue(2, 4, Duration::MAX);
        queue.push(Class::Gossip, own(&[1, 1]));
        queue.push(Class::Gossip, own(&[1, 1]));
        assert_eq!(queue.push(Class::Gossip, own(&[1])), (Pushed::Dropped, 0));
        assert_eq!(queue.push(Class::Message, own(&[2, 2, 2])), (Pushed::Queued, 2));
        assert_eq!(queue.push(Class::Message, own(&[2, 2])), (Pushed::Dropped, 0));
        assert_eq!(queue.bytes(), 3);
    }

    #[test]
    fn a_full_queue_without_progress_is_slow() {
        let patient = queue(1, 99, Duration::MAX);
        let strict = queue(1, 99, Duration::ZERO);
        for queue in [&patient, &strict] {
            queue.push(Class::Message, own(&[1]));
            queue.push(Class::Gossip, own(&[1]));
        }
        assert_eq!(patient.push(Class::Message, own(&[1])), (Pushed::Dropped, 1));
        assert_eq!(strict.push(Class::Message, own(&[1])), (Pushed::Slow, 1));
        // Control frames cannot be dropped at all.
        patient.push(Class::Control, own(&[1]));
        assert_eq!(patient.push(Class::Control, own(&[1])), (Pushed::Slow, 0));
    }
}
