//! Clients that take up all they can.

use super::*;

#[tokio::test]
async fn calls_in_flight_are_bounded_and_the_rest_waits() {
    let rig = rig(|config| config.limits.in_flight = 3);
    let mut ws = rig.connect().await;
    for id in 0..40 {
        ws.call(id, "slow", "{}").await;
    }
    rig.until_running(3).await;
    rig.backend.gate.add_permits(40);
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(ws.json().await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..40).collect::<Vec<_>>());
    assert_eq!(*rig.backend.peak.borrow(), 3);
    // A batch counts for what is in it.
    ws.send(format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"slow"}"#; 20].join(","))).await;
    rig.backend.gate.add_permits(20);
    assert_eq!(ws.json().await.as_array().unwrap().len(), 20);
    assert_eq!(*rig.backend.peak.borrow(), 3);
}

#[tokio::test]
async fn a_flood_is_answered_with_when_to_come_back() {
    let rig = rig(|config| (config.limits.rate, config.limits.burst) = (1, 3));
    let mut ws = rig.connect().await;
    for id in 0..20 {
        ws.call(id, "echo", "{}").await;
    }
    let mut limited = 0;
    for _ in 0..20 {
        let reply = ws.json().await;
        if reply["error"]["code"] == -32003 {
            let wait = reply["error"]["data"]["retryAfterMs"].as_u64().unwrap();
            assert!((1..=1_001).contains(&wait), "{reply}");
            limited += 1;
        }
    }
    // More than three only if this took seconds.
    assert!((10..=17).contains(&limited), "{limited}");
    let mut other = rig.connect().await;
    assert_eq!(other.ask("echo", "{}").await, json!({}), "others are not held back");
}

#[tokio::test]
async fn who_does_not_read_is_closed() {
    let rig = rig(|config| {
        config.limits.outgoing_bytes = 64 * 1024;
        config.limits.slow_reader = Duration::from_millis(50);
    });
    let mut ws = rig.connect().await;
    for id in 0..10 {
        ws.call(id, "big", r#"{"n":4000000}"#).await;
    }
    rig.until_gone(1).await;
    let (_, metrics) = rig.http("GET /metrics", &[]).await;
    assert!(metrics.contains(r#"hyperspace_rpc_closed_total{reason="slow reader"} 1"#), "{metrics}");
    drop(ws);
    rig.stop().await;
}

#[tokio::test]
async fn who_reads_gets_answers_longer_than_the_outbox() {
    let rig = rig(|config| config.limits.outgoing_bytes = 1_000);
    let mut ws = rig.connect().await;
    for id in 0..10 {
        ws.call(id, "big", r#"{"n":100000}"#).await;
    }
    for _ in 0..10 {
        assert_eq!(ws.json().await["result"].as_str().unwrap().len(), 100_000);
    }
}

#[tokio::test]
async fn who_answers_no_pings_is_closed() {
    let rig = rig(|config| config.limits.ping = Duration::from_millis(20));
    let silent = rig.connect().await;
    rig.until_gone(1).await;
    drop(silent);
    // The library answers while it reads. Who is held up by a busy machine for longer than two pings tries again; were no
    // pong heard, nobody would see five pings.
    soon(async {
        loop {
            let mut reader = rig.connect().await;
            let mut pings = 0;
            while pings < 5 && matches!(reader.0.next().await, Some(Ok(Message::Ping(_)))) {
                pings += 1;
            }
            if pings == 5 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn connections_are_bounded_and_places_come_back() {
    let rig = rig(|config| config.limits.connections = 2);
    let mut first = rig.connect().await;
    let _second = rig.connect().await;
    assert_eq!(rig.connect_with("/", &[]).await.err(), Some(503));
    let (status, text) = rig.http("GET /healthz", &[]).await;
    assert!(status == 503 && text.contains("retry-after"), "{text}");
    first.0.close(None).await.unwrap();
    first.closed().await;
    soon(async { while rig.connect_with("/", &[]).await.is_err() {} }).await;
}

#[tokio::test]
async fn sixty_four_clients_are_served_at_once() {
    let rig = rig(|_| ());
    let clients = (0..64).map(async |n: u32| {
        let mut ws = rig.connect().await;
        for id in 0..5 {
            ws.call(id, "echo", &format!(r#"{{"n":{n}}}"#)).await;
        }
        for _ in 0..5 {
            assert_eq!(ws.json().await["result"]["n"], n);
        }
        ws
    });
    let clients = futures::future::join_all(clients).await;
    assert_eq!(rig.backend.clients.get().unwrap().len(), 64);
    drop(clients);
    rig.until_gone(64).await;
}

#[tokio::test]
async fn who_is_slow_to_ask_is_cut_off() {
    let rig = rig(|config| config.limits.handshake = Duration::from_millis(50));
    for head in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(tcp.read_to_end(&mut rest)).await;
    }
    // A WebSocket has deadlines of its own. Who does not become one in time on a busy machine tries again.
    let connected = async {
        loop {
            if let Ok((socket, _)) = connect_async(format!("ws://{}", rig.addr)).await {
                return Ws(socket);
            }
        }
    };
    let mut ws = soon(connected).await;
    let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
    let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
    assert_eq!(ws.ask("echo", "{}").await, json!({}));
}

#[tokio::test]
async fn heads_are_bounded() {
    let rig = rig(|config| config.limits.header_bytes = 1_000);
    assert_eq!(rig.http("GET /healthz", &[("x", &"y".repeat(2_000))]).await.0, 431);
    let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // Endless, and never a WebSocket: cut off long before it is worth anything.
    soon(async { while tcp.write_all(&[b'x'; 1_000]).await.is_ok() {} }).await;
}
