//! Connections that are made while others with the same peer end, and ports that two listeners share or not.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use hyperspace_node::driver::{Node, Served, Status};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::support::*;

const ECHO: &str = "/example/echo/1";

fn echo() -> Served {
    let serve = Arc::new(|_, body: Vec<u8>| async move { Some(body) }.boxed());
    Served { name: ECHO.to_owned(), serve: Some(serve) }
}

async fn pair() -> (Ours, Ours) {
    let (mut server, mut client) = (config(1), config(2));
    server.protocols = vec![echo()];
    // Only the tests dial: the server has nowhere to, and the machines have nothing to ask.
    client.listen = Vec::new();
    for config in [&mut server, &mut client] {
        config.protocol.dht = None;
        config.protocol.primitives.memory.store = false;
    }
    client.protocols = vec![Served { name: ECHO.to_owned(), serve: None }];
    (Ours::with(server).await, Ours::with(client).await)
}

/// A port of loopback that nobody listens on and nobody else is given, as long as this is held.
pub(crate) fn closed_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let port = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("bound").port();
    (socket, port)
}

/// Asks, and waits until the server has seen the end of connections before this one: it takes two of one peer at most.
async fn asked_over_one(server: &Ours, client: &Ours, n: u8) {
    let asked = within("an answer", client.handle.ask(id_of(1), ECHO, vec![n])).await;
    assert_eq!(asked.expect("answered"), [n]);
    let one = |s: &Status| s.peer(&id_of(2)).is_some_and(|peer| peer.connections == 1);
    until("the old one's end", &server.handle, one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_while_the_connection_closes_goes_over_the_next() {
    let (server, client) = pair().await;
    client.handle.connect(server.address.clone()).await.expect("connected");
    for n in 0..20u8 {
        asked_over_one(&server, &client, n).await;
        client.handle.disconnect(id_of(1)).await.expect("told");
        asked_over_one(&server, &client, n).await;
        client.handle.disconnect(id_of(1)).await.expect("told");
        let address = server.address.clone().with(Protocol::P2p(hyperspace_node::net::to_libp2p(&id_of(1))));
        let connected = within("the dial", client.handle.connect(address)).await;
        assert_eq!(connected.expect("connected"), id_of(1));
    }
    client.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_during_a_dial_that_fails_goes_over_another() {
    let (server, client) = pair().await;
    client.handle.connect(server.address.clone()).await.expect("connected");
    client.handle.disconnect(id_of(1)).await.expect("told");
    until("the end", &server.handle, |s| s.peers.is_empty()).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = mute.local_addr().expect("bound").port();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("an address");
    let address = address.with(Protocol::P2p(hyperspace_node::net::to_libp2p(&id_of(1))));
    let dial = tokio::spawn({
        let handle = client.handle.clone();
        async move { handle.connect(address).await }
    });
    let (silent, _) = within("the dial", mute.accept()).await.expect("accepted");
    let handle = client.handle.clone();
    let mut ask = pin!(handle.ask(id_of(1), ECHO, b"x".to_vec()));
    // The driver and the network's task have both come past the request when what follows it has failed.
    tokio::select! {
        biased;
        asked = &mut ask => panic!("{asked:?} while another dial is under way"),
        failed = client.handle.connect("/ip4/127.0.0.1".parse().expect("an address")) => {
            failed.expect_err("no address");
        }
    }
    drop((silent, mute));
    within("the dial", dial).await.expect("no panic").expect_err("nobody speaks there");
    let asked = within("an answer", ask).await;
    assert_eq!(asked.expect("answered"), b"x");
    client.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_serves_ipv4_and_ipv6() {
    let first = Ours::start(1).await;
    let port = first.address.to_string().rsplit('/').next().expect("a port").to_owned();
    first.stop().await;
    let both = || {
        let mut config = config(2);
        config.listen = vec![format!("/ip4/0.0.0.0/tcp/{port}"), format!("/ip6/::/tcp/{port}")];
        config
    };
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A host without IPv6.
        return;
    }
    // Another test may have been given the port meanwhile, but then for one address only.
    let Ok((_handle, _running)) = Node::start(both()).await.inspect_err(|error| eprintln!("{error}")) else {
        return;
    };
    let error = Node::start(both()).await.map(drop).expect_err("taken now").to_string();
    assert!(error.contains("in use"), "{error}");
    let mut six = both();
    six.listen.remove(0);
    let error = Node::start(six).await.map(drop).expect_err("taken now").to_string();
    assert!(error.contains("in use"), "{error}");
}
