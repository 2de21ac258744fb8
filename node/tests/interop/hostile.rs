//! Peers that keep no rule: the node counts what they do, sends them away, and goes on.

use std::sync::Arc;

use futures::{AsyncWriteExt, FutureExt};
use hyperspace_node::driver::{Serve, Served, Status};
use hyperspace_node::net::frames::framed;
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::wire::pubsub::Rpc;

use crate::puppet::{Puppet, message, send, subscription};
use crate::support::*;

const MESH: &str = "/meshsub/1.1.0";

/// The node still takes in and hands on what good peers say.
async fn goes_on(ours: &mut Ours) {
    let mut good = Stock::start(99).await;
    good.subscribe(TOPIC).await;
    within("a place", async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
        // Where there is one place only, its last owner may not have left yet.
        while ours.handle.status().await.expect("it runs").peer(&good.id).is_none() {
            good.dial(&ours.address).await;
            tick.tick().await;
        }
    })
    .await;
    good.publish(TOPIC, "\"still here\"").await;
    assert_eq!(payload(&ours.message().await), "\"still here\"");
    ours.meshed(good.id).await;
    ours.handle.publish(TOPIC, "\"me too\"").await.expect("published");
    assert_eq!(payload_of(&good.message().await), "\"me too\"");
}

async fn node(change: impl FnOnce(&mut hyperspace_node::driver::Config)) -> Ours {
    let mut config = config(1);
    config.protocol.gossip.heartbeat_interval = Duration::from_millis(200);
    change(&mut config);
    let ours = Ours::with(config).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    ours
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_in_a_ban() {
    let mut ours = node(|config| config.net.offences_max = 3).await;
    let junk: [Vec<u8>; 3] = [
        // No protobuf; a length beyond all bounds; a length that never ends.
        framed(&[0xff; 100]),
        vec![0xff, 0xff, 0xff, 0x7f],
        vec![0xff; 10],
    ];
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[MESH, MESH, MESH]).await;
    let _from = puppet.taken().await;
    for bytes in junk {
        let mut to = puppet.opened().await;
        to.write_all(&bytes).await.expect("written");
        to.flush().await.expect("sent");
    }
    puppet.closed().await;
    let status = until("the ban", &ours.handle, |s| s.count("net_banned") == 1 && s.peers.is_empty()).await;
    assert_eq!((status.count("net_garbage"), status.count("net_oversized")), (2, 1));
    // It is not let in again.
    let mut again = Puppet::connect(3, &ours.address, &[MESH], &[MESH]).await;
    again.closed().await;
    until("the refusal", &ours.handle, |s| s.count("net_refused") >= 1).await;
    goes_on(&mut ours).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_requests_end_in_a_ban() {
    let mut ours = node(|config| config.net.offences_max = 2).await;
    let (kad, card) = ("/hyperspace/kad/1.0.0", "/hyperspace/card/1");
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[kad, card]).await;
    for _ in 0..2 {
        let mut to = puppet.opened().await;
        to.write_all(&framed(b"\xff\xff\xff")).await.expect("written");
        to.flush().await.expect("sent");
    }
    puppet.closed().await;
    until("the ban", &ours.handle, |s| s.count("net_garbage") == 2 && s.peers.is_empty()).await;
    goes_on(&mut ours).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_topics_is_bounded() {
    let mut ours = node(|config| config.protocol.gossip.topics_max = 50).await;
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[MESH]).await;
    let (_from, mut to) = (puppet.taken().await, puppet.opened().await);
    for n in 0..200 {
        send(&mut to, &subscription(&format!("hyperspace/tasks/{n}"))).await;
    }
    send(&mut to, &subscription(&"x".repeat(5000))).await;
    let over = |s: &Status| s.count("net_topic_bound") == 151;
    let status = until("the bound", &ours.handle, over).await;
    assert_eq!(status.peer(&puppet.id).expect("still there").topics.len(), 50);
    goes_on(&mut ours).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_sent_away() {
    let queue = 256 * 1024;
    let mut ours = node(|config| {
        config.net.queue_bytes = queue;
        config.net.connections_max = 1;
        config.net.stall = std::time::Duration::from_secs(1);
    })
    .await;
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[MESH]).await;
    // Held, never read.
    let (_from, mut to) = (puppet.taken().await, puppet.opened().await);
    send(&mut to, &subscription(TOPIC)).await;
    ours.meshed(puppet.id).await;
    let long = format!("\"{}\"", "x".repeat(50 * 1024));
    let mut worst = 0;
    within("the end of patience", async {
        loop {
            ours.handle.publish(TOPIC, &long).await.expect("published");
            let status = ours.handle.status().await.expect("it runs");
            match status.peer(&id_of(3)) {
                Some(peer) => worst = worst.max(peer.waiting),
                None => return,
            }
        }
    })
    .await;
    let status = ours.handle.status().await.expect("it runs");
    assert!(status.count("net_slow") >= 1);
    assert!(worst > 0 && worst <= queue, "{worst}");
    // Its place is free again, although it still does not read.
    while !Puppet::connect(4, &ours.address, &[MESH], &[]).await.is_let_in().await {}
    until("room", &ours.handle, |s| s.peers.is_empty()).await;
    ours.events = ours.handle.events();
    goes_on(&mut ours).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_others_take_up_no_more_memory_than_they_may() {
    let mut ours = node(|config| config.net.messages_bytes_max = 300 * 1024).await;
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[MESH]).await;
    let (_from, mut to) = (puppet.taken().await, puppet.opened().await);
    let long = format!("\"{}\"", "x".repeat(50 * 1024));
    for n in 0..20 {
        let message = message(&puppet.pair, TOPIC, n, sealed(3, TOPIC, &long));
        send(&mut to, &Rpc { publish: vec![message], ..Rpc::default() }).await;
    }
    until("the bound", &ours.handle, |s| s.count("net_over_budget") > 0).await;
    assert_eq!(payload(&ours.message().await), long);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_others_take_up_no_more_memory_than_they_may() {
    let card = "/hyperspace/card/1";
    let echo = |serve: bool| Served {
        name: "/example/echo/1".to_owned(),
        serve: serve.then(|| -> Serve { Arc::new(|_, body| async move { Some(body) }.boxed()) }),
    };
    let mut ours = node(|config| {
        config.net.bodies_bytes_max = 2 << 20;
        config.protocols = vec![echo(true)];
    })
    .await;
    let mut puppet = Puppet::connect(3, &ours.address, &[MESH], &[card, card, card]).await;
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        let mut to = puppet.opened().await;
        // All but the last byte; what the node does not read any more cannot be written.
        let bytes = framed(&[b' '; 900_000]);
        let _ = to.write_all(&bytes[..900_000]).await;
        let _ = to.flush().await;
        unfinished.push(to);
    }
    until("the bound", &ours.handle, |s| s.count("net_requests_refused") == 1).await;
    drop((unfinished, puppet));
    until("its end", &ours.handle, |s| s.peers.is_empty()).await;
    // All of it is there again: this takes nearly all of it twice over.
    let mut config = config(4);
    config.protocols = vec![echo(false)];
    let other = Ours::with(config).await;
    other.handle.connect(ours.address.clone()).await.expect("connected");
    for _ in 0..3 {
        let ask = other.handle.ask(id_of(1), "/example/echo/1", vec![7; 1_000_000]);
        assert_eq!(within("an answer", ask).await.expect("answered").len(), 1_000_000);
    }
    other.stop().await;
    goes_on(&mut ours).await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_more_connections_than_there_may_be() {
    let ours = node(|config| config.net.connections_max = 1).await;
    let mut first = Puppet::connect(3, &ours.address, &[MESH], &[]).await;
    let _from = first.taken().await;
    let mut second = Puppet::connect(4, &ours.address, &[MESH], &[]).await;
    second.closed().await;
    let status = until("the refusal", &ours.handle, |s| s.count("net_refused") == 1).await;
    assert_eq!(status.peers.len(), 1);
    drop(first);
    until("the first one's end", &ours.handle, |s| s.peers.is_empty()).await;
    let mut third = Puppet::connect(4, &ours.address, &[MESH], &[]).await;
    third.taken().await;
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_take_a_bounded_number_of_places() {
    let mut ours = node(|config| config.net.handshakes_max = 4).await;
    let port = ours.address.to_string().rsplit('/').next().expect("a port").parse::<u16>().expect("a number");
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("taken by the system"));
    }
    until("the refusals", &ours.handle, |s| s.count("net_refused") == 6).await;
    drop(sockets);
    while !Puppet::connect(4, &ours.address, &[MESH], &[]).await.is_let_in().await {}
    goes_on(&mut ours).await;
    ours.stop().await;
}
