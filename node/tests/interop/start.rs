//! How a node starts, or says why not, and the application's own protocols.

use std::net::TcpListener;
use std::sync::Arc;

use futures::FutureExt;
use hyperspace_node::driver::{CallError, Event, Node, Served, StartError};
use hyperspace_node::net::AskError;

use crate::dials::closed_port;
use crate::support::*;

async fn refused(change: impl FnOnce(&mut hyperspace_node::driver::Config)) -> String {
    let mut config = config(1);
    change(&mut config);
    let error: StartError = Node::start(config).await.map(drop).expect_err("it cannot start");
    error.to_string()
}

#[tokio::test]
async fn what_keeps_a_node_from_starting_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().expect("bound").port());
    let text = refused(|config| config.listen = vec![address.clone()]).await;
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
    let text = refused(|config| config.listen = vec!["127.0.0.1:4001".to_owned()]).await;
    assert!(text.starts_with("127.0.0.1:4001: not a multiaddr"), "{text}");
    let text = refused(|config| config.bootstrap = vec!["/ip4/1.2.3/tcp/1".to_owned()]).await;
    assert!(text.starts_with("/ip4/1.2.3/tcp/1: not a multiaddr"), "{text}");
    let text = refused(|config| config.listen = vec!["/ip4/127.0.0.1/udp/1".to_owned()]).await;
    assert!(text.starts_with("cannot listen on /ip4/127.0.0.1/udp/1"), "{text}");
    let text = refused(|config| config.net.kad_protocol = "kad".to_owned()).await;
    assert!(text.starts_with("kad: "), "{text}");
    let text = refused(|config| config.protocol.gossip.mesh_degree = 0).await;
    assert!(text.contains("mesh_degree"), "{text}");
    let text = refused(|config| config.net.queue_bytes = 1000).await;
    assert!(text.contains("queue_bytes"), "{text}");
    // Two nodes of one user could share a port if libp2p had its way.
    let first = Ours::start(1).await;
    let text = refused(|config| config.listen = vec![first.address.to_string()]).await;
    assert!(text.contains("in use"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_peers_are_found_by_name_and_their_absence_is_told() {
    let first = Ours::start(1).await;
    let port = first.address.to_string().rsplit('/').next().expect("a port").to_owned();
    let mut with_name = config(2);
    with_name.bootstrap = vec![format!("/dns4/localhost/tcp/{port}/p2p/{}", id_of(1))];
    let second = Ours::with(with_name).await;
    until("the bootstrap peer", &second.handle, |s| s.peer(&id_of(1)).is_some_and(|p| p.gossip.is_some()))
        .await;

    let (_closed, closed) = closed_port();
    let closed = format!("/ip4/127.0.0.1/tcp/{closed}");
    let mut lonely = config(3);
    // The second is somebody else than it should be.
    lonely.bootstrap = vec![closed.clone(), format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", id_of(9))];
    let mut lonely = Ours::with(lonely).await;
    let failed = within("the bad news", async {
        loop {
            if let Event::BootstrapFailed(failed) = lonely.events.recv().await.expect("it runs") {
                return failed;
            }
        }
    })
    .await;
    assert_eq!(failed.len(), 2);
    let refused = failed.iter().find(|(address, _)| address.to_string() == closed).expect("listed");
    assert!(refused.1.contains("refused"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_s_own_protocol_is_data() {
    let echo = Served {
        name: "/example/echo/1".to_owned(),
        serve: Some(Arc::new(|peer, body: Vec<u8>| {
            async move { (body != b"no").then(|| [peer.to_string().as_bytes(), &body].concat()) }.boxed()
        })),
    };
    let asks = Served { name: "/example/echo/1".to_owned(), serve: None };
    let (mut server, mut client) = (config(1), config(2));
    server.protocols = vec![echo];
    client.protocols = vec![asks];
    let (server, client) = (Ours::with(server).await, Ours::with(client).await);
    let ask = |body: &[u8]| client.handle.ask(id_of(1), "/example/echo/1", body.to_vec());
    let error = ask(b"x").await.expect_err("not connected, and no address known");
    assert!(matches!(error, CallError::Ask(AskError::Unreachable)), "{error}");
    client.handle.connect(server.address.clone()).await.expect("connected");
    let answer = within("an answer", ask(b" asks")).await.expect("answered");
    assert_eq!(answer, format!("{} asks", id_of(2)).into_bytes());
    let long = vec![b'x'; 900_000];
    assert_eq!(within("an answer", ask(&long)).await.expect("answered").len(), 900_052);
    let error = within("an answer", ask(b"no")).await.expect_err("refused");
    assert!(matches!(error, CallError::Ask(AskError::Refused)), "{error}");
    let error = server.handle.ask(id_of(2), "/example/echo/1", vec![]).await.expect_err("asked only");
    assert!(matches!(error, CallError::Ask(AskError::Unsupported)), "{error}");
    let error = client.handle.ask(id_of(1), "/hyperspace/none/1", vec![]).await.expect_err("unknown");
    assert!(matches!(error, CallError::UnknownProtocol), "{error}");
}
