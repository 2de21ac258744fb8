//! Digests: one number per epoch of virtual time and block of peers, so that two runs can be compared and the first
//! difference located.
//!
//! A block's number for an epoch is the sum of the hashes of the events its peers took in that epoch. Each hash covers
//! time, both ends, sequence number and contents, so the sum does not depend on the order in which peers were served, but
//! on everything that happened to them.

use hyperspace_protocol::time::{Duration, Instant};

use crate::event::{Event, mix};
use crate::message::MessageTable;

/// Length of an epoch. Fixed, not the engine's window, so that all engines have the same.
pub const EPOCH_LENGTH: Duration = Duration::from_millis(100);

/// What to look at more closely in a rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Per-peer digests of one epoch and block.
    Peers {
        /// Which epoch.
        epoch: u64,
        /// Which block.
        block: u32,
    },
    /// Every event that one peer takes in one epoch, as text.
    Events {
        /// Which epoch.
        epoch: u64,
        /// Which peer.
        peer: u32,
    },
}

/// What a probe saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Peer and digest, in the order of peers.
    pub peers: Vec<(u32, u64)>,
    /// One line per event, in the order in which the peer took them.
    pub events: Vec<String>,
}

/// All digests of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the whole run.
    pub run: u64,
    /// Virtual time per epoch.
    pub epoch_length: Duration,
    /// By epoch, then block.
    pub epochs: Vec<Vec<u64>>,
    /// Of each block's state at the end.
    pub finals: Vec<u64>,
}

impl Digests {
    pub(crate) fn new(epochs: Vec<Vec<u64>>, finals: Vec<u64>) -> Self {
        let all = epochs.iter().flatten().chain(&finals);
        let run = all.fold(epochs.len() as u64, |run, part| mix(run.rotate_left(1) ^ part));
        Self { run, epoch_length: EPOCH_LENGTH, epochs, finals }
    }
}

/// Marks a timer among the events of a digest.
pub(crate) const TIMER: u64 = 7 << 60;

/// One lane's digests while it runs.
#[derive(Debug, Default)]
pub(crate) struct DigestLog {
    pub(crate) epochs: Vec<u64>,
    block: u32,
    base: u32,
    probe: Option<Probe>,
    pub(crate) probed: Probed,
}

impl DigestLog {
    pub(crate) fn new(block: u32, base: u32, probe: Option<Probe>) -> Self {
        Self { epochs: Vec::new(), block, base, probe, probed: Probed::default() }
    }

    #[inline]
    pub(crate) fn event(&mut self, event: &Event, messages: &MessageTable) {
        let digest = event.digest(messages);
        self.add(event.at, event.dst, digest, || {
            format!("{} <- {}#{} {:?}", event.dst, event.src, event.seq, event.payload)
        });
    }

    #[inline]
    pub(crate) fn timer(&mut self, at: u64, peer: u32, kind: u64) {
        let digest = mix(mix(at ^ kind) ^ u64::from(peer));
        self.add(at, peer, digest, || format!("{peer} timer"));
    }

    #[inline]
    fn add(&mut self, at: u64, peer: u32, digest: u64, line: impl FnOnce() -> String) {
        let epoch = at / EPOCH_LENGTH.as_nanos();
        if self.epochs.len() <= epoch as usize {
            self.epochs.resize(epoch as usize + 1, 0);
        }
        let sum = &mut self.epochs[epoch as usize];
        *sum = sum.wrapping_add(digest);
        if let Some(probe) = self.probe {
            self.look(probe, epoch, at, peer, digest, line);
        }
    }

    #[cold]
    fn look(
        &mut self,
        probe: Probe,
        epoch: u64,
        at: u64,
        peer: u32,
        digest: u64,
        line: impl FnOnce() -> String,
    ) {
        match probe {
            Probe::Peers { epoch: e, block } if e == epoch && block == self.block => {
                let local = (peer - self.base) as usize;
                let seen = &mut self.probed.peers;
                for i in seen.len()..=local {
                    seen.push((self.base + i as u32, 0));
                }
                seen[local].1 = seen[local].1.wrapping_add(digest);
            }
            Probe::Events { epoch: e, peer: p } if e == epoch && p == peer => {
                self.probed.events.push(format!("{} {}", Instant::from_nanos(at), line()));
            }
            Probe::Peers { .. } | Probe::Events { .. } => {}
        }
    }
}
