//! The ranking of `tool.discover`.

use proptest::prelude::*;

use super::*;

/// A peer's card with one tool, claiming all the best about itself.
fn offer(n: u32, name: &str, tags: &[&str], latency: Option<f64>, geo: &str) -> Card {
    let tool = Tool { description: String::new(), ..tool(name, tags) };
    Card { tools: vec![tool], reputation: Some(1.0), geo: Some(geo.to_owned()), latency, ..card(n, 1) }
}

/// What experience says of peers 1 to 5; nothing of others.
fn known(id: &PeerId) -> Option<f64> {
    let table = [(1, 0.95), (2, 0.7), (3, 0.7), (4, 0.2), (5, 0.9)];
    table.iter().find(|(n, _)| peer(*n) == *id).map(|(_, reputation)| *reputation)
}

fn peers(query: &Query, ranking: &Ranking, cards: &[Card]) -> Vec<PeerId> {
    discover(query, ranking, cards, &known).iter().map(|found| found.peer).collect()
}

fn market() -> Vec<Card> {
    vec![
        offer(1, "web-search", &["search"], Some(500.0), "eu-west"),
        offer(2, "web-search", &["Search", "SCRAPE", "summarize"], Some(230.0), "us-east"),
        offer(3, "web-search", &["search", "scrape"], Some(100.0), "eu-west"),
        offer(4, "web-search", &["search", "scrape"], Some(10.0), "us-east"),
        offer(5, "translate", &["language"], None, "us"),
        offer(6, "web-search", &["search", "scrape"], Some(0.0), "us-east"),
    ]
}

#[test]
fn by_reputation_then_latency_then_id_and_a_claim_of_1_is_worth_a_newcomer() {
    let found = peers(&Query::default(), &Ranking::default(), &market());
    assert_eq!(found, [1, 5, 3, 2, 6, 4].map(peer));
    let query = Query::default();
    let none = |_: &PeerId| None::<f64>;
    let modest = Card { reputation: Some(0.3), ..card(8, 1) };
    let silent = Card { reputation: None, latency: None, ..card(9, 1) };
    let cards = [modest, silent, card(7, 1)];
    let found = discover(&query, &Ranking::default(), &cards, &none);
    let seen: Vec<_> = found.iter().map(|found| (found.peer, found.reputation)).collect();
    assert_eq!(seen, [(peer(7), 0.5), (peer(9), 0.5), (peer(8), 0.3)]);
    let trusting = Ranking { claim_max: 1.0, ..Ranking::default() };
    assert_eq!(discover(&query, &trusting, &cards, &none)[0].reputation, 1.0);
}

#[test]
fn every_capability_is_wanted_and_bounds_are_inclusive() {
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    let cases = [
        (Query { capabilities: tags(&["scrape", "SEARCH"]), ..Query::default() }, vec![3, 2, 6, 4]),
        (Query { capabilities: tags(&["scrape", "language"]), ..Query::default() }, vec![]),
        (Query { min_reputation: Some(0.7), ..Query::default() }, vec![1, 5, 3, 2]),
        (Query { min_reputation: Some(0.71), ..Query::default() }, vec![1, 5]),
        (Query { max_latency: Some(230.0), ..Query::default() }, vec![3, 2, 6, 4]),
        (Query { max_latency: Some(229.9), ..Query::default() }, vec![3, 6, 4]),
        (Query { text: "Web search".to_owned(), ..Query::default() }, vec![1, 3, 2, 6, 4]),
        (Query { text: "LANG".to_owned(), ..Query::default() }, vec![5]),
        (Query { text: "arch".to_owned(), ..Query::default() }, vec![]),
        (Query { text: "web submarine".to_owned(), ..Query::default() }, vec![]),
        (Query { limit: 2, ..Query::default() }, vec![1, 5]),
        (Query { limit: 0, ..Query::default() }, vec![]),
    ];
    for (query, expected) in cases {
        let expected: Vec<PeerId> = expected.into_iter().map(peer).collect();
        assert_eq!(peers(&query, &Ranking::default(), &market()), expected, "{query:?}");
    }
    let many: Vec<Card> = (10..40).map(|n| card(n, 1)).collect();
    assert_eq!(peers(&Query::default(), &Ranking::default(), &many).len(), DEFAULT_LIMIT);
}

#[test]
fn a_region_is_preferred_among_equals_and_by_a_boost_among_others() {
    let query = |geo: &str| Query { geo: Some(geo.to_owned()), ..Query::default() };
    let plain = Ranking::default();
    assert_eq!(peers(&query("US-EAST"), &plain, &market()), [1, 5, 2, 3, 6, 4].map(peer));
    let boost = Ranking { geo_boost: 0.1, ..plain };
    assert_eq!(peers(&query("us"), &boost, &market()), [5, 1, 2, 3, 6, 4].map(peer));
    let cards = market();
    let found = discover(&query("us"), &boost, &cards, &known);
    assert_eq!((found[0].reputation, found[0].in_region), (0.9, true), "shown without the boost");
    assert!(discover(&query("u"), &boost, &cards, &known).iter().all(|found| !found.in_region));
}

#[test]
fn a_tool_s_own_latency_and_what_was_measured_go_before_the_card_s() {
    struct Measured;
    impl Local for Measured {
        fn reputation(&self, _: &PeerId) -> Option<f64> {
            Some(f64::NAN)
        }
        fn latency(&self, id: &PeerId, _: &Tool) -> Option<f64> {
            (*id == peer(1)).then_some(900.0)
        }
    }
    let mut cards = [card(1, 1), card(2, 1)];
    cards[1].tools[0].avg_latency = Some(300.0);
    let found = discover(&Query::default(), &Ranking::default(), &cards, &Measured);
    let seen: Vec<_> = found.iter().map(|f| (f.peer, f.avg_latency, f.reputation)).collect();
    assert_eq!(seen, [(peer(2), Some(300.0), 0.5), (peer(1), Some(900.0), 0.5)]);
}

proptest! {
    #[test]
    fn the_order_of_the_cards_does_not_matter(seed: u64, ids in prop::collection::btree_set(0..40u32, 0..30)) {
        let mut cards: Vec<Card> = ids.into_iter().map(|n| card(n, 1)).collect();
        let before = peers(&Query::default(), &Ranking::default(), &cards);
        Stream::new(seed, 0).shuffle(&mut cards);
        prop_assert_eq!(peers(&Query::default(), &Ranking::default(), &cards), before);
    }
}
