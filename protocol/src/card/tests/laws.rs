//! The laws of a CRDT: merging is commutative, associative and idempotent, at every instant and with expired cards.

use proptest::prelude::*;

use super::*;

/// Above any number of peers below.
const ROOMY: usize = 64;

/// Few peers, versions and times, so that all kinds of ties come up.
fn any_store() -> impl Strategy<Value = Store> {
    let event = (0..5u32, 1..4u64, any::<bool>(), 0..6u64, 1..6u64, 0..6u64);
    prop::collection::vec(event, 0..8).prop_map(|events| {
        let mut store = Store::default();
        for (n, seq, twin, now, life, used) in events {
            store.follow(at(used), peer(n), ROOMY);
            let card = if twin { rival(n, seq) } else { published(n, seq) };
            store.hear(at(now), card, at(now + life));
        }
        store
    })
}

fn merged(mut a: Store, b: &Store, now: u64, max: usize) -> Store {
    a.merge(b, at(now), max);
    a
}

fn followed(store: &Store) -> Vec<PeerId> {
    store.followed().copied().collect()
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_store(), b in any_store(), c in any_store(), now in 0..12u64,
    ) {
        let ab = merged(a.clone(), &b, now, ROOMY);
        prop_assert_eq!(&ab, &merged(b.clone(), &a, now, ROOMY));
        prop_assert_eq!(&merged(ab.clone(), &b, now, ROOMY), &ab);
        prop_assert_eq!(&merged(ab.clone(), &ab, now, ROOMY), &ab);
        let bc = merged(b, &c, now, ROOMY);
        prop_assert_eq!(merged(ab, &c, now, ROOMY), merged(a, &bc, now, ROOMY));
    }

    #[test]
    fn beyond_the_bound_who_is_followed_depends_on_no_order(
        a in any_store(), b in any_store(), c in any_store(), now in 0..12u64, max in 1..5usize,
    ) {
        let ab = merged(a.clone(), &b, now, max);
        prop_assert!(ab.len() <= max);
        prop_assert_eq!(&ab, &merged(b.clone(), &a, now, max));
        prop_assert_eq!(&merged(ab.clone(), &ab, now, max), &ab);
        let bc = merged(b, &c, now, max);
        prop_assert_eq!(followed(&merged(ab, &c, now, max)), followed(&merged(a, &bc, now, max)));
    }

    /// The highest version of what is fresh wins, with the latest expiry anyone knows for that very version.
    #[test]
    fn a_merge_is_the_greatest_of_what_is_fresh(a in any_store(), b in any_store(), now in 0..12u64) {
        let ab = merged(a.clone(), &b, now, ROOMY);
        for n in 0..5 {
            let of = |store: &Store| {
                store.get(&peer(n), at(now)).map(|entry| (entry.card.version(), entry.expires))
            };
            prop_assert_eq!(of(&ab), of(&a).max(of(&b)));
        }
    }

    /// Messages in any order give one state, as long as none expires on the way.
    #[test]
    fn the_order_of_cards_does_not_matter(
        cards in prop::collection::vec((0..3u32, 1..4u64, any::<bool>(), 10..20u64), 0..8), seed: u64,
    ) {
        let hear = |order: &[usize]| {
            let mut store = Store::default();
            for n in 0..3 {
                store.follow(at(0), peer(n), ROOMY);
            }
            for &i in order {
                let (n, seq, twin, expires) = cards[i];
                let card = if twin { rival(n, seq) } else { published(n, seq) };
                store.hear(at(1), Arc::clone(&card), at(expires));
                store.refresh(at(1), &peer(n), card.version(), at(expires));
            }
            store
        };
        let mut order: Vec<usize> = (0..cards.len()).collect();
        let before = hear(&order);
        Stream::new(seed, 0).shuffle(&mut order);
        prop_assert_eq!(hear(&order), before);
    }
}

#[test]
fn an_expired_card_with_a_higher_seq_gives_way_to_a_fresh_one() {
    let (mut old, mut new) = (Store::default(), Store::default());
    old.follow(at(0), peer(1), ROOMY);
    old.hear(at(0), published(1, 9), at(300));
    new.follow(at(0), peer(1), ROOMY);
    new.hear(at(400), published(1, 1), at(700));
    for store in [merged(old.clone(), &new, 400, ROOMY), merged(new.clone(), &old, 400, ROOMY)] {
        assert_eq!(store, new);
    }
    assert_eq!(old.hear(at(300), published(1, 2), at(500)), Heard::Taken);
    assert_eq!(old.fresh(at(300)).map(|card| card.seq).collect::<Vec<_>>(), [2]);
}
