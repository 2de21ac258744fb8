//! Requests of the node to its clients.

use super::*;

async fn id_of(ws: &mut Ws) -> u64 {
    ws.ask("whoami", "{}").await["client"].as_u64().unwrap()
}

#[tokio::test]
async fn a_client_runs_its_tool_for_another() {
    let rig = rig(|_| ());
    let (mut owner, mut user) = (rig.connect().await, rig.connect().await);
    let invoke = format!(r#"{{"client":{}}}"#, id_of(&mut owner).await);
    for (member, wanted) in [
        (r#""result":{"a":1.50}"#, json!({ "output": r#"{"a":1.50}"# })),
        (r#""error":{"code":-1,"message":"no"}"#, json!({ "failed": r#"{"code":-1,"message":"no"}"# })),
    ] {
        user.call(1, "invoke", &invoke).await;
        let asked = owner.json().await;
        assert_eq!((&asked["method"], &asked["params"]), (&json!("tool.execute"), &json!({ "toolId": "t" })));
        let id = asked["id"].as_str().unwrap();
        assert!(id.starts_with("srv-"), "{id}");
        // Another client cannot answer in its place, and a wrong id answers nothing.
        user.send(format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":"forged"}}"#)).await;
        owner.send(r#"{"jsonrpc":"2.0","id":"srv-999","result":"wrong"}"#).await;
        assert_eq!(id_of(&mut owner).await.to_string(), invoke[10..invoke.len() - 1]);
        owner.send(format!(r#"{{"jsonrpc":"2.0","id":"{id}",{member}}}"#)).await;
        assert_eq!(user.json().await["result"], wanted);
    }
}

#[tokio::test]
async fn tools_of_who_is_gone_are_unavailable() {
    let rig = rig(|_| ());
    let (mut owner, mut user) = (rig.connect().await, rig.connect().await);
    let invoke = format!(r#"{{"client":{}}}"#, id_of(&mut owner).await);
    user.call(1, "invoke", &invoke).await;
    owner.text().await;
    drop(owner);
    assert_eq!(user.json().await["result"], "unavailable");
    rig.until_gone(1).await;
    assert_eq!(user.ask("invoke", &invoke).await, "unavailable");
    assert_eq!(user.ask("invoke", r#"{"client":77}"#).await, "unavailable");
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_unavailable() {
    let rig = rig(|config| config.limits.execute = Duration::from_millis(20));
    let mut ws = rig.connect().await;
    ws.call(1, "invoke", "{}").await;
    let asked = ws.json().await["id"].clone();
    assert_eq!(ws.json().await["result"], "unavailable");
    ws.send(format!(r#"{{"jsonrpc":"2.0","id":{asked},"result":"late"}}"#)).await;
    assert_eq!(ws.ask("echo", "{}").await, json!({}));
}

#[tokio::test]
async fn a_client_is_asked_so_much_at_once() {
    let rig = rig(|config| config.limits.executes = 2);
    let mut ws = rig.connect().await;
    for id in 1..=3 {
        ws.call(id, "invoke", "{}").await;
    }
    let mut asked = Vec::new();
    let mut refused = 0;
    for _ in 0..3 {
        let message = ws.json().await;
        match message["method"].as_str() {
            Some(_) => asked.push(message["id"].clone()),
            None => refused += usize::from(message["result"] == "unavailable"),
        }
    }
    assert_eq!((asked.len(), refused), (2, 1));
    // Answers may come in a batch.
    let answers =
        asked.iter().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#)).collect::<Vec<_>>();
    ws.send(format!("[{}]", answers.join(","))).await;
    for _ in 0..2 {
        assert_eq!(ws.json().await["result"], json!({ "output": "1" }));
    }
}

/// A client may have all its calls in flight wait for its own answers, and more requests sent before them.
#[tokio::test]
async fn answers_are_read_though_no_more_calls_are() {
    let rig = rig(|config| config.limits.in_flight = 2);
    let mut ws = rig.connect().await;
    for id in 1..=2 {
        ws.call(id, "invoke", "{}").await;
    }
    let asked = [ws.json().await["id"].clone(), ws.json().await["id"].clone()];
    ws.call(3, "echo", "{}").await;
    for id in asked {
        ws.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#)).await;
    }
    let mut ids = [0; 3];
    for id in &mut ids {
        *id = ws.json().await["id"].as_u64().unwrap();
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}
