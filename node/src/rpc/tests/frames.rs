//! Messages and their replies.

use super::*;

#[tokio::test]
async fn frames_are_answered_as_json_rpc_wants() {
    let rig = rig(|_| ());
    let mut ws = rig.connect_with("/any/path?v=1", &[]).await.unwrap();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":6,"method":"echo","params":{{"a":{}}}}}"#,
        "[".repeat(70) + &"]".repeat(70)
    );
    for (frame, reply) in [
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"echo"}"#, r#"{"jsonrpc":"2.0","id":1.0,"result":null}"#),
        (
            r#"{"jsonrpc":"2.0","id":"1","method":"echo","params":{"b":1}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":{"b":1}}"#,
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"echo"}"#, r#"{"jsonrpc":"2.0","id":null,"result":null}"#),
        (r#"{"jsonrpc":"2.0","id":2,"method":"none"}"#, r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601"#),
        (r#"{"jsonrpc":"2.0","id":3,"method":"fail"}"#, r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32001"#),
        (r#"{"jsonrpc":"2.0","id":4,"method":"panic"}"#, r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32603"#),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"echo","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32602"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"echo","params":{"a":1e999}}"#,
            r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32602"#,
        ),
        (r#"{"id":6}"#, r#"{"jsonrpc":"2.0","id":6,"error":{"code":-32600"#),
        (&deep, r#"{"jsonrpc":"2.0","id":6,"error":{"code":-32600"#),
        ("nonsense", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700"#),
        ("[]", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#),
        ("[1]", r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#),
        // Dropped without a word, so that what comes next is answered first.
        (
            "{\"jsonrpc\":\"2.0\",\"id\":\"srv-1\",\"result\":1}\0{\"jsonrpc\":\"2.0\",\"method\":\"fail\"}\0\
             [{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}]\0{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"echo\"}",
            r#"{"jsonrpc":"2.0","id":7,"result":null}"#,
        ),
    ] {
        for frame in frame.split('\0') {
            ws.send(frame).await;
        }
        let got = ws.text().await;
        assert!(got.starts_with(reply), "{frame}: {got}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_by_one_array() {
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    ws.send(
        r#"[{"jsonrpc":"2.0","id":1,"method":"slow"},{"jsonrpc":"2.0","method":"count"},7,
            {"jsonrpc":"2.0","id":"b","method":"echo","params":{}},{"jsonrpc":"2.0","id":3,"method":"panic"}]"#,
    )
    .await;
    ws.call(4, "echo", "{}").await;
    // The batch waits for its slowest, others do not wait for the batch.
    assert_eq!(ws.json().await["id"], 4);
    rig.backend.gate.add_permits(1);
    let replies = ws.json().await;
    let ids = replies.as_array().unwrap().iter().map(|reply| reply["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids, [json!(1), json!(null), json!("b"), json!(3)]);
    assert_eq!(*rig.backend.counted.borrow(), 1);
    let of = |n: usize| format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#; n].join(","));
    ws.send(of(100)).await;
    assert_eq!(ws.json().await.as_array().unwrap().len(), 100);
    ws.send(of(101)).await;
    assert_eq!(ws.error().await, (Value::Null, -32600));
}

#[tokio::test]
async fn binary_frames_are_taken_if_they_are_text() {
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":"é"}}"#;
    ws.0.send(Message::binary(request)).await.unwrap();
    assert_eq!(ws.json().await["result"]["a"], "é");
    ws.0.send(Message::binary(vec![b'{', 0xff])).await.unwrap();
    assert_eq!(ws.error().await, (Value::Null, -32700));
    assert_eq!(ws.ask("echo", "{}").await, json!({}));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let rig = rig(|config| config.limits.frame_bytes = 1_000);
    let mut ws = rig.connect().await;
    let request = |n: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{{"a":"{}"}}}}"#, "x".repeat(n))
    };
    let least = request(0).len();
    ws.send(request(1_000 - least)).await;
    assert_eq!(ws.json().await["id"], 1);
    ws.send(request(1_001 - least)).await;
    assert_eq!(ws.error().await, (Value::Null, -32600));
    assert_eq!(ws.closed().await, 1009);
    // What we say is not lost, although most of what came was never read.
    let mut ws = rig.connect().await;
    ws.send(request(1_000_000)).await;
    assert_eq!(ws.error().await, (Value::Null, -32600));
    rig.until_gone(2).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection() {
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    let frame = Frame::message(vec![0xc0u8, 0x80], OpCode::Data(Data::Text), true);
    ws.0.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(ws.error().await, (Value::Null, -32700));
    assert_eq!(ws.closed().await, 1007);
}

#[tokio::test]
async fn answers_come_as_calls_end() {
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    ws.call(1, "slow", "{}").await;
    ws.call(2, "echo", "{}").await;
    assert_eq!(ws.json().await["id"], 2);
    rig.backend.gate.add_permits(1);
    assert_eq!(ws.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": "done" }));
}

#[tokio::test]
async fn notifications_are_carried_out_though_the_client_goes() {
    let rig = rig(|config| config.limits.in_flight = 2);
    let mut ws = rig.connect().await;
    for _ in 0..2 {
        ws.send(r#"{"jsonrpc":"2.0","method":"slow"}"#).await;
    }
    rig.until_running(2).await;
    ws.send(r#"{"jsonrpc":"2.0","method":"count"}"#).await;
    ws.0.close(None).await.unwrap();
    assert!(matches!(ws.closed().await, 1000..=1006));
    // What was read goes on: it may register a tool, and its client is gone only after that.
    assert!(rig.backend.gone.borrow().is_empty());
    rig.backend.gate.add_permits(2);
    soon(rig.backend.counted.subscribe().wait_for(|n| *n == 1)).await.unwrap();
    rig.until_gone(1).await;
    assert_eq!(*rig.backend.counted_when_gone.borrow(), [1]);
}

#[tokio::test]
async fn at_the_end_calls_may_finish_and_clients_learn_why() {
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    ws.call(1, "slow", "{}").await;
    rig.until_running(1).await;
    let backend = rig.backend.clone();
    let (_, ()) = tokio::join!(rig.stop(), async {
        // New calls are not begun; what is asked before the close is not answered.
        ws.call(2, "echo", "{}").await;
        backend.gate.add_permits(1);
        let mut ids = vec![ws.json().await["id"].clone()];
        if ids == [2] {
            ids = vec![ws.json().await["id"].clone()];
        }
        assert_eq!(ids, [1]);
        assert_eq!(ws.closed().await, 1001);
    });
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let rig = rig(|config| config.limits.shutdown = Duration::from_millis(20));
    let mut ws = rig.connect().await;
    ws.call(1, "slow", "{}").await;
    rig.until_running(1).await;
    let (_, code) = tokio::join!(rig.stop(), ws.closed());
    assert_eq!(code, 1001);
}
