//! Gossip with stock rust-libp2p peers at their default settings: strict validation, signed messages.

use std::time::Duration as StdDuration;

use crate::puppet::{Puppet, control, message, prune, receive, send, subscription};
use crate::support::*;
use hyperspace_protocol::gossip::Config as Gossip;
use hyperspace_protocol::machine::Message as _;
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::wire::pubsub::{ControlGraft, ControlMessage, Rpc};
use libp2p::gossipsub;

/// A node with quick heartbeats.
async fn quick(seed: u8, change: impl FnOnce(&mut Gossip)) -> Ours {
    let mut config = config(seed);
    config.protocol.gossip.heartbeat_interval = Duration::from_millis(200);
    change(&mut config.protocol.gossip);
    let ours = Ours::with(config).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    ours
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways() {
    let mut ours = Ours::start(1).await;
    let mut stock = Stock::start(2).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    stock.publish(TOPIC, r#"{"from":"stock"}"#).await;
    let message = ours.message().await;
    assert_eq!(payload(&message), r#"{"from":"stock"}"#);
    assert_eq!(message.id().source(), stock.id);

    stock.meshed(ours.handle.own()).await;
    ours.meshed(stock.id).await;
    ours.handle.publish(TOPIC, r#"{"from":"ours"}"#).await.expect("published");
    let message = stock.message().await;
    assert_eq!(payload_of(&message), r#"{"from":"ours"}"#);
    assert_eq!(message.source, Some(hyperspace_node::net::to_libp2p(&ours.handle.own())));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_message_passes_and_longer_ones_are_refused_here() {
    let ours = quick(1, |_| ()).await;
    let mut stock = Stock::start(2).await;
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    ours.meshed(stock.id).await;
    let long = format!("\"{}\"", "x".repeat(59 * 1024));
    ours.handle.publish(TOPIC, &long).await.expect("published");
    assert_eq!(payload_of(&stock.message().await), long);
    let longer = format!("\"{}\"", "x".repeat(61 * 1024));
    assert!(ours.handle.publish(TOPIC, &longer).await.is_err());
    assert!(ours.handle.publish("no topic", "1").await.is_err());
    assert!(ours.handle.publish(TOPIC, "{").await.is_err());
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_peer_leaves_the_mesh_and_comes_back() {
    let mut ours = quick(1, |_| ()).await;
    let config = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(StdDuration::from_millis(200))
        .heartbeat_initial_delay(StdDuration::from_millis(100))
        .unsubscribe_backoff(StdDuration::from_secs(1))
        .build()
        .expect("sound");
    let stock = Stock::with(2, config).await;
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    ours.meshed(stock.id).await;
    let topic = gossipsub::IdentTopic::new(TOPIC);
    stock.run(move |swarm| swarm.behaviour_mut().gossip.unsubscribe(&topic)).await;
    let left = |s: &hyperspace_node::driver::Status| {
        s.peer(&id_of(2)).is_some_and(|p| p.topics.is_empty() && p.mesh.is_empty())
    };
    until("it leaves", &ours.handle, left).await;
    stock.subscribe(TOPIC).await;
    ours.meshed(stock.id).await;
    stock.meshed(ours.handle.own()).await;
    stock.publish(TOPIC, "\"again\"").await;
    assert_eq!(payload(&ours.message().await), "\"again\"");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grafts_and_prunes_keep_their_backoff() {
    let ours = quick(1, |gossip| gossip.backoff_slack = Duration::ZERO).await;
    let mut puppet = Puppet::connect(3, &ours.address, &["/meshsub/1.1.0"], &["/meshsub/1.1.0"]).await;
    let (mut from, mut to) = (puppet.taken().await, puppet.opened().await);
    let subscribed =
        |rpc: &Rpc| rpc.subscriptions.iter().any(|s| s.topicid.as_deref() == Some(TOPIC)).then_some(());
    receive(&mut from, "the greeting", subscribed).await;
    send(&mut to, &subscription(TOPIC)).await;
    let graft = |rpc: &Rpc| {
        let control = rpc.control.as_ref()?;
        control.graft.iter().any(|g| g.topic_id.as_deref() == Some(TOPIC)).then_some(())
    };
    receive(&mut from, "a GRAFT", graft).await;

    let pruned = std::time::Instant::now();
    send(&mut to, &prune(TOPIC, 2)).await;
    receive(&mut from, "a GRAFT after the backoff", graft).await;
    assert!(pruned.elapsed() >= StdDuration::from_secs(2), "after {:?}", pruned.elapsed());

    // Now it is their turn to be sent away: a GRAFT within the backoff is answered with a PRUNE.
    send(&mut to, &prune(TOPIC, 60)).await;
    until("the mesh is empty", &ours.handle, |s| s.peer(&id_of(3)).is_some_and(|p| p.mesh.is_empty())).await;
    let again = ControlMessage {
        graft: vec![ControlGraft { topic_id: Some(TOPIC.to_owned()) }],
        ..Default::default()
    };
    send(&mut to, &control(again)).await;
    let backoff = receive(&mut from, "a PRUNE", |rpc| {
        rpc.control.as_ref()?.prune.iter().find(|p| p.topic_id.as_deref() == Some(TOPIC))?.backoff
    })
    .await;
    assert_eq!(backoff, 60);
    assert!(ours.handle.status().await.expect("it runs").count("graft_in_backoff") > 0);
    ours.stop().await;
}

/// A mesh of one link: a second peer of the topic hears of messages by IHAVE alone.
fn one_link(gossip: &mut Gossip) {
    gossip.mesh_degree = 1;
    gossip.mesh_degree_min = 1;
    gossip.mesh_degree_max = 1;
    gossip.mesh_degree_score = 1;
    gossip.mesh_degree_outbound = 0;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_peers_outside_the_mesh_ask_for_what_they_missed() {
    let ours = quick(1, one_link).await;
    let mut first = Stock::start(2).await;
    first.subscribe(TOPIC).await;
    first.dial(&ours.address).await;
    ours.meshed(first.id).await;
    let mut second = Stock::start(3).await;
    second.subscribe(TOPIC).await;
    second.dial(&ours.address).await;
    let known = |s: &hyperspace_node::driver::Status| s.peer(&id_of(3)).is_some_and(|p| !p.topics.is_empty());
    until("the second one's subscription", &ours.handle, known).await;
    ours.handle.publish(TOPIC, "\"missed\"").await.expect("published");
    assert_eq!(payload_of(&first.message().await), "\"missed\"");
    assert_eq!(payload_of(&second.message().await), "\"missed\"");
    let status = ours.handle.status().await.expect("it runs");
    let links = status.peers.iter().filter(|p| !p.mesh.is_empty()).count();
    assert_eq!(links, 1, "the second one came by IWANT");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_outside_a_stock_peer_s_mesh_asks_for_what_it_missed() {
    let config = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(StdDuration::from_millis(200))
        .heartbeat_initial_delay(StdDuration::from_millis(100))
        .mesh_outbound_min(0)
        .mesh_n_low(1)
        .mesh_n(1)
        .mesh_n_high(1)
        .retain_scores(1)
        .build()
        .expect("sound");
    let hub = Stock::with(2, config).await;
    hub.subscribe(TOPIC).await;
    let author = Stock::start(3).await;
    author.subscribe(TOPIC).await;
    author.dial(&hub.address).await;
    hub.meshed(author.id).await;
    let mut ours = quick(1, |_| ()).await;
    ours.handle.connect(hub.address.clone()).await.expect("connected");
    let hash = gossipsub::IdentTopic::new(TOPIC).hash();
    within("our subscription at the hub", async {
        let mut tick = tokio::time::interval(StdDuration::from_millis(20));
        loop {
            let hash = hash.clone();
            let peers = hub
                .run(move |s| s.behaviour().gossip.all_peers().filter(|(_, t)| t.contains(&&hash)).count());
            if peers.await == 2 {
                return;
            }
            tick.tick().await;
        }
    })
    .await;
    author.publish(TOPIC, "\"missed\"").await;
    assert_eq!(payload(&ours.message().await), "\"missed\"");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_signatures_are_neither_taken_nor_handed_on_and_do_not_block_the_true_message() {
    let mut ours = quick(1, |_| ()).await;
    let mut stock = Stock::start(2).await;
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    ours.meshed(stock.id).await;
    let mut puppet = Puppet::connect(3, &ours.address, &["/meshsub/1.1.0"], &["/meshsub/1.1.0"]).await;
    let (_from, mut to) = (puppet.taken().await, puppet.opened().await);
    let good = message(&puppet.pair, TOPIC, 7, sealed(3, TOPIC, "\"true\""));
    let mut forged = good.clone();
    forged.data = Some(sealed(3, TOPIC, "\"forged\""));
    send(&mut to, &Rpc { publish: vec![forged], ..Rpc::default() }).await;
    let mut bare = good.clone();
    bare.signature = None;
    send(&mut to, &Rpc { publish: vec![bare, good], ..Rpc::default() }).await;
    assert_eq!(payload(&ours.message().await), "\"true\"");
    assert_eq!(payload_of(&stock.message().await), "\"true\"");
    let status = ours.handle.status().await.expect("it runs");
    assert_eq!(status.count("net_bad_signature"), 2);
    assert_eq!(status.count("rejected"), 1);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_envelopes_of_stock_peers_go_no_further() {
    let mut ours = quick(1, |_| ()).await;
    let (author, mut reader) = (Stock::start(2).await, Stock::start(3).await);
    for stock in [&author, &reader] {
        stock.subscribe(TOPIC).await;
        stock.dial(&ours.address).await;
    }
    author.meshed(ours.handle.own()).await;
    ours.meshed(reader.id).await;
    let bad = [
        b"not an envelope".to_vec(),
        sealed(9, TOPIC, "\"another's\""),
        sealed(2, "hyperspace/tasks/other", "\"of another topic\""),
    ];
    for data in bad {
        author.publish_raw(TOPIC, data).await.expect("published");
    }
    let replayed = sealed(2, TOPIC, "\"good\"");
    for _ in 0..2 {
        author.publish_raw(TOPIC, replayed.clone()).await.expect("published");
    }
    author.publish(TOPIC, "\"last\"").await;
    for expected in ["\"good\"", "\"last\""] {
        assert_eq!(payload(&ours.message().await), expected);
        assert_eq!(payload_of(&reader.message().await), expected);
    }
    let status = ours.handle.status().await.expect("it runs");
    assert_eq!((status.count("rejected"), status.count("ignored")), (3, 1));
    // A stock peer checks no envelopes: it is not banned for handing on what it does not understand.
    assert!(status.peer(&author.id).is_some());
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_in_a_row_hand_messages_on() {
    let (mut left, middle, mut right) =
        (quick(1, |_| ()).await, quick(2, |_| ()).await, quick(3, |_| ()).await);
    let found = left.handle.connect(middle.address.clone()).await.expect("connected");
    assert_eq!(found, middle.handle.own());
    right.handle.connect(middle.address.clone()).await.expect("connected");
    middle.meshed(left.handle.own()).await;
    middle.meshed(right.handle.own()).await;
    left.meshed(middle.handle.own()).await;
    right.meshed(middle.handle.own()).await;
    for n in 0..20 {
        left.handle.publish(TOPIC, &format!("[{n}]")).await.expect("published");
    }
    for n in 0..20 {
        assert_eq!(payload(&right.message().await), format!("[{n}]"));
    }
    // Its own messages come back to the application, too.
    assert_eq!(payload(&left.message().await), "[0]");
    right.handle.disconnect(middle.handle.own()).await.expect("told");
    until("the cut", &middle.handle, |s| s.peers.len() == 1).await;
    right.handle.connect(middle.address.clone()).await.expect("connected");
    middle.meshed(right.handle.own()).await;
    left.handle.publish(TOPIC, "\"after the cut\"").await.expect("published");
    assert_eq!(payload(&right.message().await), "\"after the cut\"");
    for node in [left, middle, right] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_dial_each_other_at_once_stay_together() {
    let (left, mut right) = (quick(1, |_| ()).await, quick(2, |_| ()).await);
    let both = futures::future::join(
        left.handle.connect(right.address.clone()),
        right.handle.connect(left.address.clone()),
    );
    let (to_right, to_left) = within("both dials", both).await;
    assert!(to_right.is_ok() || to_left.is_ok());
    left.meshed(right.handle.own()).await;
    right.meshed(left.handle.own()).await;
    left.handle.publish(TOPIC, "1").await.expect("published");
    assert_eq!(payload(&right.message().await), "1");
    left.stop().await;
    right.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_topics_than_a_stock_peer_takes_do_no_harm_to_the_first_ones() {
    let mut ours = quick(1, |_| ()).await;
    for n in 0..130 {
        ours.handle.subscribe(&format!("hyperspace/tasks/{n}")).await.expect("subscribed");
    }
    let mut stock = Stock::start(2).await;
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    ours.meshed(stock.id).await;
    stock.publish(TOPIC, "1").await;
    assert_eq!(payload(&ours.message().await), "1");
    ours.handle.publish(TOPIC, "2").await.expect("published");
    assert_eq!(payload_of(&stock.message().await), "2");
    ours.stop().await;
}
