//! The hash ring beside the crate `hashring`; see [`hyperspace_benches::ring`].
//!
//! `hashring` 0.3 has neither virtual nodes nor distinct replicas: each of its nodes here is one token of a peer, as its
//! documentation suggests, and its replicas are the next tokens, of whatever peer. It hashes with SipHash, which needs
//! no agreement between implementations; ours is bound to SHA-256. Its joins add all tokens in one batch, the fastest it
//! has.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use hashring::HashRing;
use hyperspace_benches::ring::{TOKENS, keys, member, members};
use hyperspace_benches::{Case, Subject, clocked, in_turns, looped};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::ring::REPLICAS;

mod shared;

type Token = (PeerId, u16);

fn ring(criterion: &mut Criterion) {
    let sizes = [10, 100, 1_000, 10_000];
    let others = [lookup, replicas, join, build].iter().flat_map(|what| sizes.map(what)).collect();
    shared::time(criterion, Subject::Ring, others);
}

fn tokens(peer: PeerId) -> impl Iterator<Item = Token> {
    (0..TOKENS).map(move |index| (peer, index))
}

fn laid(members: &[PeerId]) -> HashRing<Token> {
    let mut ring = HashRing::new();
    ring.batch_add(members.iter().copied().flat_map(tokens).collect());
    ring
}

fn other_ring(peers: u32) -> HashRing<Token> {
    laid(&members(peers))
}

fn lookup(peers: u32) -> Case {
    Case::new("hashring: lookup", Some(peers.into()), move || {
        let ring = other_ring(peers);
        looped(in_turns(keys(), move |key| {
            black_box(ring.get(key));
        }))
    })
}

fn replicas(peers: u32) -> Case {
    Case::new("hashring: replicas(3)", Some(peers.into()), move || {
        let ring = other_ring(peers);
        looped(in_turns(keys(), move |key| {
            // It counts the copies beside the primary.
            black_box(ring.get_with_replicas(key, REPLICAS - 1));
        }))
    })
}

fn join(peers: u32) -> Case {
    Case::new("hashring: join", Some(peers.into()), move || {
        let (mut ring, newcomer) = (other_ring(peers), member(peers));
        clocked(move || {
            let joining = tokens(newcomer).collect();
            let start = Instant::now();
            ring.batch_add(joining);
            let time = start.elapsed();
            for token in tokens(newcomer) {
                ring.remove(&token);
            }
            time
        })
    })
}

fn build(peers: u32) -> Case {
    Case::new("hashring: build", Some(peers.into()), move || {
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

criterion_group!(benches, ring);
criterion_main!(benches);
