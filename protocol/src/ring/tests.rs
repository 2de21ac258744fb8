//! The ring against a model that scans all tokens, golden vectors, and the edges.

use core::cmp::Reverse;
use core::num::NonZeroU16;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::identity::{Keypair, PeerId};

fn count(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("not zero")
}

/// A member with few distinct tokens, so that ties, also with itself, are the rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Coarse(u32);

impl Member for Coarse {
    fn label(&self, out: &mut Vec<u8>) {
        self.0.label(out);
    }

    fn token(label: &[u8], index: u16) -> u64 {
        u32::token(label, index) & (3 << 62 | 1)
    }
}

/// All holders of `key` in order, by looking at every token (or partition) there is. `members` is ascending.
fn naive_holders<K: Member>(vnodes: Vnodes, members: &[K], key: Position) -> Vec<K> {
    let token = |member: &K, index| K::token(&member::label(member), index);
    let mut clockwise: Vec<(u64, K)> = Vec::new();
    let mut give = |member: &K, tokens: u16| {
        clockwise.extend((0..tokens).map(|i| (token(member, i).wrapping_sub(key.0), member.clone())));
    };
    match vnodes {
        Vnodes::PerPeer(each) => members.iter().for_each(|member| give(member, each.get())),
        Vnodes::TotalFloor(total) => {
            let mut left = total.get();
            for (place, member) in members.iter().enumerate() {
                let tokens = left.div_ceil((members.len() - place) as u16);
                left -= tokens;
                give(member, tokens);
            }
        }
        Vnodes::TotalRendezvous(total) => {
            let total = u64::from(total.get());
            let first = ((u128::from(key.0) * u128::from(total)) >> 64) as u64;
            for step in 0..total {
                let partition = ((first + step) % total) as u16;
                let owner = members.iter().max_by_key(|member| (token(member, partition), Reverse(*member)));
                clockwise.extend(owner.map(|owner| (step, owner.clone())));
            }
        }
    }
    clockwise.sort();
    let mut holders: Vec<K> = Vec::new();
    for (_, member) in clockwise {
        if !holders.contains(&member) {
            holders.push(member);
        }
    }
    holders
}

/// Where something could go wrong: around the end of every range, and of the ring.
fn probes<K: Member>(ring: &Ring<K>) -> BTreeSet<Position> {
    let around = |position: u64| [position.wrapping_sub(1), position, position.wrapping_add(1)].map(Position);
    ring.ranges().flat_map(|(range, _)| around(range.upto.0)).chain(around(0)).collect()
}

/// Every answer of `ring` about where keys are is that of the model.
fn check_lookups<K: Member + fmt::Debug>(ring: &Ring<K>, members: &[K], replicas: usize) {
    for key in probes(ring) {
        let holders = naive_holders(ring.vnodes(), members, key);
        let expected: Vec<&K> = holders.iter().take(replicas).collect();
        assert_eq!(ring.replicas(key, replicas)[..], expected, "{key} {ring:?}");
        assert_eq!(ring.owner(key), holders.first());
        let owners: Vec<&K> =
            ring.ranges().filter(|(range, _)| range.contains(key)).map(|(_, owner)| owner).collect();
        assert_eq!(owners, Vec::from_iter(holders.first()));
    }
    let owners = naive_holders(ring.vnodes(), members, Position(0)).len();
    let load: u128 = ring.load(replicas).iter().map(|(_, width)| width).sum();
    assert_eq!(load, POSITIONS * replicas.min(owners) as u128);
    let covered: u128 = ring.ranges().map(|(range, _)| range.width()).sum();
    assert_eq!(covered, POSITIONS * owners.min(1) as u128);
}

/// `moved` says of every key exactly who lost it and who gained it.
fn check_moves<K: Member + fmt::Debug>(
    before: &Ring<K>,
    after: &Ring<K>,
    moved: &[Moved<K>],
    replicas: usize,
) {
    for key in probes(before).union(&probes(after)) {
        let was: BTreeSet<&K> = before.replicas(*key, replicas).into_iter().collect();
        let is: BTreeSet<&K> = after.replicas(*key, replicas).into_iter().collect();
        let here = || moved.iter().filter(|moved| moved.range.contains(*key));
        let mut from: Vec<&K> = here().filter_map(|moved| moved.from.as_ref()).collect();
        let mut to: Vec<&K> = here().filter_map(|moved| moved.to.as_ref()).collect();
        from.sort();
        to.sort();
        assert_eq!(from, was.difference(&is).copied().collect::<Vec<_>>(), "{key} {before:?} {moved:?}");
        assert_eq!(to, is.difference(&was).copied().collect::<Vec<_>>(), "{key} {before:?} {moved:?}");
    }
}

/// Joins who is out and takes off who is in, comparing with the model and a fresh build after every step.
fn check_steps<K: Member + fmt::Debug>(vnodes: Vnodes, steps: &[K], replicas: usize) {
    let mut ring = Ring::new(vnodes);
    let mut members = BTreeSet::new();
    for member in steps {
        let before = ring.clone();
        let moved = if members.remove(member) {
            ring.leave_moving(member, replicas).expect("it is in")
        } else {
            members.insert(member.clone());
            ring.join_moving(member.clone(), replicas).expect("it is out")
        };
        let sorted: Vec<K> = members.iter().cloned().collect();
        assert_eq!(Ok(&ring), Ring::build(vnodes, sorted.iter().rev().cloned()).as_ref());
        check_lookups(&ring, &sorted, replicas);
        check_moves(&before, &ring, &moved, replicas);
        if !matches!(vnodes, Vnodes::TotalFloor(_)) {
            check_minimal(&before, &ring, member);
        }
    }
}

/// No key went from one member that stayed to another.
fn check_minimal<K: Member + fmt::Debug>(before: &Ring<K>, after: &Ring<K>, changed: &K) {
    for key in probes(before).union(&probes(after)) {
        let (was, is) = (before.owner(*key), after.owner(*key));
        assert!(was == is || was == Some(changed) || is == Some(changed), "{key}: {was:?} to {is:?}");
    }
}

fn any_vnodes() -> impl Strategy<Value = Vnodes> {
    prop_oneof![
        (1u16..6).prop_map(|n| Vnodes::PerPeer(count(n))),
        (1u16..20).prop_map(|n| Vnodes::TotalRendezvous(count(n))),
        (1u16..20).prop_map(|n| Vnodes::TotalFloor(count(n))),
    ]
}

proptest! {
    #[test]
    fn it_is_the_model_after_any_joins_and_leaves(
        vnodes in any_vnodes(),
        steps in proptest::collection::vec(0u32..10, 1..20),
        replicas in 0usize..6,
    ) {
        check_steps(vnodes, &steps, replicas);
    }

    #[test]
    fn it_is_the_model_when_tokens_collide(
        vnodes in any_vnodes(),
        steps in proptest::collection::vec((0u32..10).prop_map(Coarse), 1..20),
        replicas in 0usize..6,
    ) {
        check_steps(vnodes, &steps, replicas);
    }

    #[test]
    fn the_order_of_joins_leaves_no_trace(
        vnodes in any_vnodes(),
        members in Just((0..12).map(Coarse).collect::<Vec<_>>()).prop_shuffle(),
        gone in proptest::sample::subsequence((12..24).map(Coarse).collect::<Vec<_>>(), 0..12),
    ) {
        let built = Ring::build(vnodes, (0..12).map(Coarse)).expect("all differ");
        let mut joined = Ring::build(vnodes, gone.iter().copied()).expect("all differ");
        members.iter().for_each(|member| joined.join(*member).expect("all differ"));
        gone.iter().for_each(|member| joined.leave(member).expect("it is in"));
        prop_assert_eq!(&joined, &built);
        prop_assert!(joined.ranges().eq(built.ranges()));
    }
}

/// Made by an independent program (Python's hashlib and a scan of the sorted list of tokens):
///
/// ```python
/// h = lambda s: int.from_bytes(hashlib.sha256(s.encode()).digest()[:8], "big")
/// token = lambda member, i: h(f"{member}:{i}")
/// ```
#[test]
fn golden_positions_and_tokens() {
    let keys = ["mem-f29c1a", "", "mem-0"].map(|id| Position::of(id).0);
    assert_eq!(keys, [0x45b3_86cc_2992_8b6e, 0xe3b0_c442_98fc_1c14, 0x5b37_026b_a0a6_678d]);

    let peer = Keypair::from_seed([7; 32]).peer_id();
    let tokens = [0, 9, 10, 149, 65_535].map(|index| PeerId::token(&member::label(&peer), index));
    let expected = [
        0xaa8e_24de_4f02_6ff7,
        0x8c99_9b2d_45c8_6a0a,
        0x7fd5_ab0b_ac0f_2adf,
        0xb531_7b44_845f_72cc,
        0x129b_c26a_6b1c_fd07,
    ];
    assert_eq!(tokens, expected);
}

/// Made as the positions above; partition p of n ends at ceil((p + 1) 2^64 / n) - 1.
#[test]
fn golden_placements() {
    let cases = [
        (
            Vnodes::PerPeer(count(150)),
            ["ann bob eve", "dot eve ann", "cid eve bob", "ann dot eve", "ann eve dot", "cid ann eve"],
        ),
        (
            Vnodes::PerPeer(count(1)),
            ["ann bob eve", "eve cid dot", "bob eve cid", "dot ann bob", "dot ann bob", "ann bob eve"],
        ),
        (
            Vnodes::TotalRendezvous(count(750)),
            ["cid dot bob", "eve ann dot", "dot bob ann", "dot eve bob", "dot bob eve", "ann cid eve"],
        ),
        (
            Vnodes::TotalFloor(count(12)),
            ["ann bob cid", "eve cid dot", "bob cid ann", "dot eve ann", "dot eve ann", "ann bob cid"],
        ),
    ];
    for (vnodes, expected) in cases {
        let ring = Ring::build(vnodes, ["dot", "cid", "eve", "ann", "bob"]).expect("all differ");
        let placed = ["mem-f29c1a", "", "mem-0", "mem-1", "mem-2", "mem-3"].map(|id| {
            let holders = ring.replicas(Position::of(id), REPLICAS);
            holders.into_iter().copied().collect::<Vec<_>>().join(" ")
        });
        assert_eq!(placed, expected, "{vnodes}");
    }
}

#[test]
fn an_empty_ring_and_a_lonely_member() {
    for vnodes in [Vnodes::default(), Vnodes::SPEC_LITERAL, Vnodes::TotalFloor(count(750))] {
        let mut ring = Ring::new(vnodes);
        let key = Position::of("mem-f29c1a");
        assert_eq!((ring.owner(key), ring.replicas(key, 3).len(), ring.ranges().count()), (None, 0, 0));
        assert!(ring.is_empty() && ring.load(3).is_empty());
        assert_eq!(ring, Ring::build(vnodes, []).expect("nobody comes twice"));

        let moved = ring.join_moving("ann", 3).expect("it is out");
        assert!(moved.iter().all(|moved| (moved.from, moved.to) == (None, Some("ann"))));
        assert_eq!(moved.iter().map(|moved| moved.range.width()).sum::<u128>(), POSITIONS);
        assert_eq!(ring.owner(key), Some(&"ann"));
        assert_eq!(ring.replicas(key, 3)[..], [&"ann"]);
        assert_eq!(ring.load(3), [(&"ann", POSITIONS)]);
        assert_eq!(ring.leave(&"ann"), Ok(()));
        assert_eq!(ring, Ring::new(vnodes));
    }
}

#[test]
fn coming_twice_and_leaving_as_a_stranger_change_nothing() {
    for vnodes in [Vnodes::default(), Vnodes::SPEC_LITERAL, Vnodes::TotalFloor(count(750))] {
        assert_eq!(Ring::build(vnodes, [1u32, 2, 1]), Err(RingError::AlreadyMember));
        let ring = Ring::build(vnodes, [1u32, 2]).expect("all differ");
        let mut same = ring.clone();
        assert_eq!(same.join(2), Err(RingError::AlreadyMember));
        assert_eq!(same.join_moving(2, 3), Err(RingError::AlreadyMember));
        assert_eq!(same.leave(&3), Err(RingError::NotMember));
        assert_eq!(same.leave_moving(&3, 3), Err(RingError::NotMember));
        assert_eq!(same, ring);
        assert_eq!(ring.members().copied().collect::<Vec<_>>(), [1, 2]);
        assert!(ring.contains(&1) && !ring.contains(&3));
    }
}

#[test]
fn more_replicas_than_members_are_all_members_once() {
    let ring = Ring::build(Vnodes::PerPeer(count(3)), 0u32..40).expect("all differ");
    for wanted in [39, 40, 41, usize::MAX] {
        let holders = ring.replicas(Position(9), wanted);
        let distinct: BTreeSet<&u32> = holders.iter().copied().collect();
        assert_eq!((holders.len(), distinct.len()), (wanted.min(40), wanted.min(40)));
    }
}

/// With tokens per peer, who holds the second copy takes over: it has the data already.
#[test]
fn the_heir_of_the_primary_is_the_next_replica() {
    let mut ring = Ring::build(Vnodes::default(), 0u32..20).expect("all differ");
    let keys: Vec<Position> = (0..2000).map(|i| Position::of(format!("key {i}"))).collect();
    let heirs: Vec<(Position, u32)> = keys
        .iter()
        .filter(|key| ring.owner(**key) == Some(&7))
        .map(|key| (*key, *ring.replicas(*key, 3)[1]))
        .collect();
    assert!(heirs.len() > 50);
    ring.leave(&7).expect("it is in");
    assert!(heirs.iter().all(|(key, heir)| ring.owner(*key) == Some(heir)));
}

#[test]
fn churn_does_not_grow_the_ring() {
    let mut ring = Ring::build(Vnodes::PerPeer(count(3)), 0u32..10).expect("all differ");
    for newcomer in 10..1000 {
        ring.join(newcomer).expect("it is out");
        ring.leave(&(newcomer - 10)).expect("it is in");
    }
    assert_eq!((ring.len(), ring.tokens(), ring.roster.slots()), (10, 30, 11));
}

#[test]
fn texts_are_readable() {
    let ring = Ring::build(Vnodes::default(), ["ann", "bob"]).expect("all differ");
    assert_eq!(format!("{ring:?}"), "Ring(2 members, 300 tokens: 150 virtual nodes per peer)");
    let range = KeyRange { after: Position(0x10), upto: Position(u64::MAX) };
    assert_eq!(range.to_string(), "(0000000000000010, ffffffffffffffff]");
    assert_eq!(Vnodes::SPEC_LITERAL.to_string(), "750 virtual nodes in all, by rendezvous");
    assert_eq!(Vnodes::TotalFloor(count(9)).to_string(), "9 virtual nodes in all, by floor");
}
