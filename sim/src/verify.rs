//! Finds the first event in which two runs that should be equal are not.
//!
//! Runs carry digests by epoch and block of peers, nothing finer, because finer ones would not fit. So the search reruns
//! both sides twice: once for the digests of every peer of the differing block, once for the events of the differing
//! peer. A nondeterminism need not strike twice at the same place: each rerun is compared anew, and the search follows
//! the differences it sees, a few times, before it gives up.

use hyperspace_protocol::time::Duration;

use crate::{Digests, Probe, Probed};

/// How often the search starts again when a rerun does not differ where it looked.
const ATTEMPTS: u32 = 3;

/// One of the two runs that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The one taken as right.
    Left,
    /// The one held against it.
    Right,
}

/// The first difference of two runs, as far as it could be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The epoch whose digests differ; none if only the states at the end do.
    pub epoch: Option<u64>,
    /// The block of peers.
    pub block: u32,
    /// Virtual time from the start of the run to the start of the epoch.
    pub from: Duration,
    /// ... and to its end.
    pub to: Duration,
    /// The first differing peer of the block; none if no rerun differed in one epoch and block.
    pub peer: Option<u32>,
    /// The first differing event of that peer; none if no rerun with that peer's events differed.
    pub event: Option<EventPair>,
}

/// The same place in the event lists of both runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPair {
    /// How many equal events of that peer and epoch come before.
    pub index: usize,
    /// The left run's event; none if its list ends here.
    pub left: Option<String>,
    /// The right run's event.
    pub right: Option<String>,
}

/// The first epoch and, in it, block whose digests differ. The states at the end count as the epoch after the last.
pub fn first_difference(left: &Digests, right: &Digests) -> Option<(u64, u32)> {
    let rows = |digests: &Digests| -> Vec<Vec<u64>> {
        digests.epochs.iter().cloned().chain([digests.finals.clone()]).collect()
    };
    let (left, right) = (rows(left), rows(right));
    for epoch in 0..left.len().max(right.len()) {
        let empty = Vec::new();
        let (a, b) = (left.get(epoch).unwrap_or(&empty), right.get(epoch).unwrap_or(&empty));
        let block = (0..a.len().max(b.len())).find(|&block| a.get(block) != b.get(block));
        if let Some(block) = block {
            return Some((epoch as u64, block as u32));
        }
    }
    None
}

/// Where two runs with these digests part, or none if the digests are equal. `rerun` runs one of the two again.
///
/// # Errors
/// What `rerun` gives.
pub fn locate<E>(
    left: &Digests,
    right: &Digests,
    mut rerun: impl FnMut(Variant, Probe) -> Result<(Digests, Probed), E>,
) -> Result<Option<Divergence>, E> {
    let Some((epoch, block)) = first_difference(left, right) else { return Ok(None) };
    let epochs = left.epochs.len().min(right.epochs.len()) as u64;
    let mut found = describe(left, epoch, block, epochs);
    for _ in 0..ATTEMPTS {
        let Some(epoch) = found.epoch else { break };
        let probe = Probe::Peers { epoch, block: found.block };
        let (a, b) = (rerun(Variant::Left, probe)?, rerun(Variant::Right, probe)?);
        let Some(peer) = first_peer(&a.1.peers, &b.1.peers) else {
            // It struck elsewhere this time: look there, if it struck at all.
            if let Some((epoch, block)) = first_difference(&a.0, &b.0) {
                found = describe(&a.0, epoch, block, epochs);
            }
            continue;
        };
        found.peer = Some(peer);
        let probe = Probe::Events { epoch, peer };
        let (a, b) = (rerun(Variant::Left, probe)?, rerun(Variant::Right, probe)?);
        found.event = first_event(&a.1.events, &b.1.events);
        if found.event.is_some() {
            break;
        }
    }
    Ok(Some(found))
}

fn describe(digests: &Digests, epoch: u64, block: u32, epochs: u64) -> Divergence {
    let from = digests.epoch_length.saturating_mul(epoch.min(epochs));
    Divergence {
        epoch: (epoch < epochs).then_some(epoch),
        block,
        from,
        to: if epoch < epochs { from + digests.epoch_length } else { from },
        peer: None,
        event: None,
    }
}

fn first_peer(left: &[(u32, u64)], right: &[(u32, u64)]) -> Option<u32> {
    let (mut left, mut right) = (left.to_vec(), right.to_vec());
    left.sort_unstable();
    right.sort_unstable();
    let only = |a: &[(u32, u64)], b: &[(u32, u64)]| {
        a.iter().find(|entry| b.binary_search(entry).is_err()).map(|(peer, _)| *peer)
    };
    only(&left, &right).into_iter().chain(only(&right, &left)).min()
}

fn first_event(left: &[String], right: &[String]) -> Option<EventPair> {
    let index = (0..left.len().max(right.len())).find(|&index| left.get(index) != right.get(index))?;
    Some(EventPair { index, left: left.get(index).cloned(), right: right.get(index).cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(epochs: &[&[u64]], finals: &[u64]) -> Digests {
        Digests {
            run: 0,
            epoch_length: Duration::from_millis(100),
            epochs: epochs.iter().map(|row| row.to_vec()).collect(),
            finals: finals.to_vec(),
        }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn equal_runs_have_no_divergence() {
        let run = digests(&[&[1, 2]], &[5]);
        let never = |_, _| -> Result<(Digests, Probed), ()> { panic!("nothing to rerun") };
        assert_eq!(locate(&run, &run, never), Ok(None));
    }

    #[test]
    fn the_search_narrows_epoch_block_peer_event() {
        let left = digests(&[&[1, 2], &[3, 4]], &[5, 6]);
        let right = digests(&[&[1, 2], &[3, 9]], &[5, 8]);
        let mut asked = Vec::new();
        let found = locate(&left, &right, |variant, probe| -> Result<_, ()> {
            asked.push((variant, probe));
            let is_left = variant == Variant::Left;
            let probed = match probe {
                Probe::Peers { .. } => {
                    Probed { peers: vec![(4096, 1), (4097, u64::from(is_left))], events: Vec::new() }
                }
                Probe::Events { .. } => Probed {
                    peers: Vec::new(),
                    events: lines(if is_left { &["a", "b"] } else { &["a", "c", "d"] }),
                },
            };
            Ok((if is_left { left.clone() } else { right.clone() }, probed))
        });
        let expected = Divergence {
            epoch: Some(1),
            block: 1,
            from: Duration::from_millis(100),
            to: Duration::from_millis(200),
            peer: Some(4097),
            event: Some(EventPair { index: 1, left: Some("b".into()), right: Some("c".into()) }),
        };
        assert_eq!(found, Ok(Some(expected)));
        let (peers, events) = (Probe::Peers { epoch: 1, block: 1 }, Probe::Events { epoch: 1, peer: 4097 });
        assert_eq!(
            asked,
            [
                (Variant::Left, peers),
                (Variant::Right, peers),
                (Variant::Left, events),
                (Variant::Right, events)
            ]
        );
    }

    #[test]
    fn a_difference_that_moves_is_followed() {
        let (left, right) = (digests(&[&[1], &[2]], &[3]), digests(&[&[9], &[2]], &[3]));
        let moved = digests(&[&[1], &[7]], &[3]);
        let found = locate(&left, &right, |variant, probe| -> Result<_, ()> {
            let is_left = variant == Variant::Left;
            let mut probed = Probed::default();
            match probe {
                Probe::Peers { epoch: 1, .. } => probed.peers = vec![(8, u64::from(is_left))],
                Probe::Events { epoch: 1, peer: 8 } => {
                    probed.events = lines(if is_left { &["x"] } else { &[] })
                }
                Probe::Peers { .. } | Probe::Events { .. } => {}
            }
            Ok((if is_left { left.clone() } else { moved.clone() }, probed))
        });
        let found = found.expect("no error").expect("differs");
        assert_eq!((found.epoch, found.peer), (Some(1), Some(8)));
        assert_eq!(found.event, Some(EventPair { index: 0, left: Some("x".into()), right: None }));
    }

    #[test]
    fn a_difference_that_does_not_come_back_is_reported_as_such() {
        let (left, right) = (digests(&[&[1]], &[3]), digests(&[&[2]], &[3]));
        let mut reruns = 0;
        let found = locate(&left, &right, |_, _| -> Result<_, ()> {
            reruns += 1;
            Ok((left.clone(), Probed::default()))
        });
        let found = found.expect("no error").expect("differed once");
        assert_eq!((found.epoch, found.peer, found.event), (Some(0), None, None));
        assert_eq!(reruns, 2 * ATTEMPTS);
    }

    #[test]
    fn states_at_the_end_and_missing_epochs_count() {
        let run = digests(&[&[1]], &[3, 4]);
        let no_rerun = |_, _| -> Result<(Digests, Probed), ()> { Ok((run.clone(), Probed::default())) };
        let found = locate(&run, &digests(&[&[1]], &[3, 5]), no_rerun).expect("no error").expect("differs");
        assert_eq!((found.epoch, found.block, found.to), (None, 1, Duration::from_millis(100)));
    }
}
