//! The hash ring with 150 tokens per peer, from 10 to 10,000 peers.
//!
//! The floor of a lookup is one SHA-256 of the key, that of a join one of each new token.

use std::hint::black_box;
use std::time::Instant;

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::ring::{Position, REPLICAS, Ring, Vnodes};
use sha2::{Digest, Sha256};

use crate::{Case, Effort, add, clocked, in_turns, looped};

/// Tokens of a peer under [`Vnodes::SPEC_PER_PEER`].
pub const TOKENS: u16 = 150;
/// Keys that are looked up in turns: more than a branch predictor remembers.
const KEYS: usize = 4_096;

/// The keys to look up, as long as ids of memories are.
pub fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("mem-{n:08x}")).collect()
}

/// The members.
pub fn members(peers: u32) -> Vec<PeerId> {
    (0..peers).map(member).collect()
}

/// Member number `n`.
pub fn member(n: u32) -> PeerId {
    PeerId::from_public_key(Sha256::digest(n.to_be_bytes()).into())
}

fn ring(peers: u32) -> Ring<PeerId> {
    laid(&members(peers))
}

fn laid(members: &[PeerId]) -> Ring<PeerId> {
    Ring::build(Vnodes::SPEC_PER_PEER, members.iter().copied()).expect("all differ")
}

/// All cases.
pub fn cases(effort: Effort) -> Vec<Case> {
    let mut cases = Vec::new();
    let key_hash = add(
        &mut cases,
        Case::new("SHA-256 of a key", None, || {
            looped(in_turns(keys(), |key| {
                black_box(Sha256::digest(key));
            }))
        }),
    );
    let token_hash = add(
        &mut cases,
        Case::new("SHA-256 of a token", None, || {
            let texts = (0..TOKENS).map(|index| format!("{}:{index}", member(0))).collect();
            looped(in_turns(texts, |text: &String| {
                black_box(Sha256::digest(text));
            }))
        }),
    );
    cases.extend(effort.peers().iter().map(|peers| placed(*peers)));
    for what in [lookup, replicas] {
        cases.extend(effort.peers().iter().map(|peers| what(*peers).over([(key_hash, 1)])));
    }
    cases.extend(effort.peers().iter().map(|peers| join(*peers).over([(token_hash, TOKENS.into())])));
    for peers in effort.peers() {
        cases.push(build(*peers).over([(token_hash, u64::from(*peers) * u64::from(TOKENS))]));
    }
    cases
}

/// What is left of a lookup when the hash is known.
fn placed(peers: u32) -> Case {
    Case::new("owner of a known position", Some(peers.into()), move || {
        let ring = ring(peers);
        let positions = keys().iter().map(Position::of).collect();
        looped(in_turns(positions, move |at| {
            black_box(ring.owner(*at));
        }))
    })
}

fn lookup(peers: u32) -> Case {
    Case::new("lookup", Some(peers.into()), move || {
        let ring = ring(peers);
        looped(in_turns(keys(), move |key| {
            black_box(ring.owner(Position::of(key)));
        }))
    })
}

fn replicas(peers: u32) -> Case {
    Case::new("replicas(3)", Some(peers.into()), move || {
        let ring = ring(peers);
        looped(in_turns(keys(), move |key| {
            black_box(ring.replicas(Position::of(key), REPLICAS));
        }))
    })
}

/// The leave that makes room for the next join is not timed.
fn join(peers: u32) -> Case {
    Case::new("join", Some(peers.into()), move || {
        let mut ring = ring(peers);
        let mut joined = peers;
        clocked(move || {
            joined = joined.wrapping_add(1).max(peers);
            let newcomer = member(joined);
            let start = Instant::now();
            ring.join(newcomer).expect("is no member");
            let time = start.elapsed();
            ring.leave(&newcomer).expect("has joined");
            time
        })
    })
}

fn build(peers: u32) -> Case {
    Case::new("build", Some(peers.into()), move || {
        let members = members(peers);
        clocked(move || {
            let start = Instant::now();
            let ring = laid(&members);
            let time = start.elapsed();
            drop(black_box(ring));
            time
        })
    })
}
