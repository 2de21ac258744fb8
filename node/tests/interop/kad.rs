//! The DHT and identify with stock peers, and cards between nodes.

use std::sync::Arc;

use hyperspace_node::driver::Event;
use hyperspace_node::net::to_libp2p;
use hyperspace_protocol::card::{Card, card_key};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{Key, Outcome};
use hyperspace_protocol::request::{self, Command, Query};
use libp2p::identify;
use libp2p::kad::{self, QueryResult, Quorum, Record, RecordKey};
use libp2p::swarm::SwarmEvent;

use crate::support::*;

/// A node, a stock peer that it knows, and a second one that only the first one knows.
async fn row() -> (Ours, Stock, Stock) {
    let (ours, near, far) = (Ours::start(1).await, Stock::start(2).await, Stock::start(3).await);
    far.dial(&near.address).await;
    within("the far peer in the table", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            let known =
                near.run(|s| s.behaviour_mut().kad.kbuckets().map(|b| b.num_entries()).sum::<usize>());
            if known.await > 0 {
                return;
            }
            tick.tick().await;
        }
    })
    .await;
    ours.handle.connect(near.address.clone()).await.expect("connected");
    until("the near peer in the table", &ours.handle, |s| s.contacts > 0).await;
    (ours, near, far)
}

async fn query(ours: &Ours, query: Query) -> Outcome<PeerId> {
    within("a query", ours.handle.query(query)).await.expect("started").0
}

/// What a stock peer's query came to.
async fn result<R>(stock: &mut Stock, what: &str, mut wanted: impl FnMut(&QueryResult) -> Option<R>) -> R {
    stock
        .wait(what, |event| match event {
            SwarmEvent::Behaviour(StockBehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                result,
                ..
            })) => wanted(result),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_found_both_ways() {
    let (ours, near, far) = row().await;
    let Outcome::Nodes(found) = query(&ours, Query::FindNode(Key::of_peer(&far.id))).await else {
        panic!("nodes")
    };
    assert_eq!(
        found.first(),
        Some(&far.id),
        "the far peer was dialled by the address that the near one told"
    );
    assert!(found.contains(&near.id));

    // The other way round: a stranger learns of all of them from this node alone.
    let mut stranger = Stock::start(4).await;
    stranger.dial(&ours.address).await;
    until("the stranger", &ours.handle, |s| s.peer(&id_of(4)).is_some_and(|p| p.server)).await;
    within("our node in the stranger's table", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while stranger.run(|s| s.behaviour_mut().kad.kbuckets().count()).await == 0 {
            tick.tick().await;
        }
    })
    .await;
    let target = to_libp2p(&far.id);
    stranger.run(move |s| s.behaviour_mut().kad.get_closest_peers(target)).await;
    let found = result(&mut stranger, "closest peers", |result| match result {
        QueryResult::GetClosestPeers(Ok(ok)) => Some(ok.peers.iter().map(|p| p.peer_id).collect::<Vec<_>>()),
        _ => None,
    })
    .await;
    for peer in [far.id, near.id, ours.handle.own()] {
        assert!(found.contains(&to_libp2p(&peer)), "{peer}");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_found_both_ways() {
    let (ours, mut near, mut far) = row().await;
    let theirs = RecordKey::new(b"theirs");
    far.run(move |s| s.behaviour_mut().kad.start_providing(theirs)).await.expect("room");
    result(&mut far, "providing", |r| matches!(r, QueryResult::StartProviding(Ok(_))).then_some(())).await;
    let Outcome::Providers(found) = query(&ours, Query::FindProviders(Key::new(b"theirs"))).await else {
        panic!("providers")
    };
    assert_eq!(found, [far.id]);

    let Outcome::Provided { sent } = query(&ours, Query::Provide(Key::new(b"ours"))).await else {
        panic!("provided")
    };
    assert_eq!(sent, 2);
    let key = RecordKey::new(b"ours");
    let own = to_libp2p(&ours.handle.own());
    near.run(move |s| s.behaviour_mut().kad.get_providers(key)).await;
    result(&mut near, "our node as a provider", |r| match r {
        QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) => {
            providers.contains(&own).then_some(())
        }
        _ => None,
    })
    .await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_go_both_ways() {
    let (ours, mut near, mut far) = row().await;
    let value: Arc<[u8]> = b"from a node".as_slice().into();
    let put = query(&ours, Query::PutValue(Key::new(b"a"), value)).await;
    assert_eq!(put, Outcome::Stored { sent: 2, confirmed: 2 });
    far.run(|s| s.behaviour_mut().kad.get_record(RecordKey::new(b"a"))).await;
    let found = result(&mut far, "our value", |r| match r {
        QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => Some(found.record.value.clone()),
        _ => None,
    })
    .await;
    assert_eq!(found, b"from a node");

    let record = Record::new(RecordKey::new(b"b"), b"from stock".to_vec());
    near.run(move |s| s.behaviour_mut().kad.put_record(record, Quorum::One)).await.expect("room");
    result(&mut near, "putting", |r| matches!(r, QueryResult::PutRecord(Ok(_))).then_some(())).await;
    let Outcome::Value(Some(found)) = query(&ours, Query::GetValue(Key::new(b"b"))).await else {
        panic!("a value")
    };
    assert_eq!(&found.value[..], b"from stock");

    // Nobody can put anything else than a peer's own card under that peer's card key.
    let record = Record::new(RecordKey::new(&card_key(&near.id).bytes()), b"no card".to_vec());
    let to = to_libp2p(&ours.handle.own());
    near.run(move |s| s.behaviour_mut().kad.put_record_to(record, [to].into_iter(), Quorum::One)).await;
    until("the refusal", &ours.handle, |s| s.count("kad_record_invalid") == 1).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identify_tells_who_and_what_each_side_is() {
    let (ours, mut stock) = (Ours::start(1).await, Stock::start(2).await);
    stock.dial(&ours.address).await;
    let info = stock
        .wait("identify", |event| match event {
            SwarmEvent::Behaviour(StockBehaviourEvent::Identify(identify::Event::Received {
                info, ..
            })) => Some(info.clone()),
            _ => None,
        })
        .await;
    assert_eq!(info.protocol_version, "/hyperspace/1.0.0");
    assert_eq!(info.agent_version, format!("hyperlab/{}", env!("CARGO_PKG_VERSION")));
    let protocols: Vec<&str> = info.protocols.iter().map(AsRef::as_ref).collect();
    for name in
        ["/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/hyperspace/kad/1.0.0", "/hyperspace/card/1"]
    {
        assert!(protocols.contains(&name), "{name} in {protocols:?}");
    }
    assert!(info.listen_addrs.contains(&ours.address));
    let status = until("the stock peer", &ours.handle, |s| s.peer(&id_of(2)).is_some_and(|p| p.server)).await;
    assert!(status.peer(&id_of(2)).expect("there").agent.starts_with("rust-libp2p"));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_asks_but_does_not_serve() {
    let mut settings = config(1);
    settings.net.kad_server = false;
    let (client, server) = (Ours::with(settings).await, Ours::start(2).await);
    client.handle.connect(server.address.clone()).await.expect("connected");
    until("the server in the client's table", &client.handle, |s| s.contacts >= 1).await;
    let client_known =
        |s: &hyperspace_node::driver::Status| s.peer(&id_of(1)).is_some_and(|p| !p.agent.is_empty());
    let status = until("the client's name", &server.handle, client_known).await;
    assert_eq!(status.contacts, 0);
    let found = query(&client, Query::FindNode(Key::new(b"x"))).await;
    assert_eq!(found, Outcome::Nodes(vec![server.handle.own()]));
    assert!(server.handle.ask(id_of(1), "/hyperspace/kad/1.0.0", vec![]).await.is_err());
}

fn card(peer: PeerId) -> Card {
    Card {
        seq: 0,
        peer_id: peer,
        tools: vec![],
        task_types: vec!["web-research".to_owned()],
        reputation: None,
        geo: Some("eu-west".to_owned()),
        latency: None,
        metadata: None,
    }
}

/// Waits for the card of a followed peer.
async fn updated(ours: &mut Ours, peer: PeerId) {
    within("a card", async {
        loop {
            if let Event::Protocol(event) = ours.events.recv().await.expect("it runs")
                && *event == request::Event::CardUpdated(peer)
            {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_is_fetched_from_its_peer_and_from_the_dht() {
    let (maker, mut reader) = (Ours::start(1).await, Ours::start(2).await);
    let own = maker.handle.own();
    maker.handle.announce(card(own)).await.expect("announced");
    reader.handle.connect(maker.address.clone()).await.expect("connected");
    until("gossip", &reader.handle, |s| s.peer(&own).is_some_and(|p| p.gossip.is_some())).await;
    // Followed after the full card was published: it has to be asked for.
    reader.handle.command(Command::Follow(own)).await.expect("followed");
    reader.handle.disconnect(own).await.expect("told");
    reader.handle.connect(maker.address.clone()).await.expect("connected again");
    updated(&mut reader, own).await;

    // A card that changes while others are connected is stored with them, in its envelope.
    until("a server", &maker.handle, |s| s.contacts >= 1).await;
    maker.handle.announce(Card { geo: None, ..card(own) }).await.expect("announced");
    within("the card in the DHT", async {
        loop {
            let found = reader.handle.query(Query::GetValue(card_key(&own))).await.expect("started").0;
            if let Outcome::Value(Some(record)) = found {
                assert!(record.value.starts_with(b"{\"_v\":2"));
                return;
            }
        }
    })
    .await;
    maker.stop().await;
    reader.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_peer_is_found_by_its_id_alone() {
    let (maker, near, mut reader) = (Ours::start(1).await, Stock::start(2).await, Ours::start(3).await);
    maker.handle.announce(card(maker.handle.own())).await.expect("announced");
    for node in [&maker, &reader] {
        node.handle.connect(near.address.clone()).await.expect("connected");
        until("the near peer in the table", &node.handle, |s| s.contacts >= 1).await;
    }
    within("the maker in the near peer's table", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        let maker = to_libp2p(&maker.handle.own());
        while near.run(move |s| s.behaviour_mut().kad.kbucket(maker).map_or(0, |b| b.num_entries())).await
            == 0
        {
            tick.tick().await;
        }
    })
    .await;
    reader.handle.command(Command::Follow(maker.handle.own())).await.expect("followed");
    updated(&mut reader, maker.handle.own()).await;
    reader.stop().await;
}
