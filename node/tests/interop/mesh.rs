//! Three whole nodes on loopback, used by their clients as the README shows.

#![allow(unreachable_pub, reason = "what the tests share is all in this binary")]

use std::net::SocketAddr;
use std::path::Path;

use futures::{SinkExt, StreamExt};
use hyperspace_node::client::{self, CallError, Target};
use hyperspace_node::serve::{ServeError, Started, serve};
use hyperspace_node::settings::Settings;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::*;

/// A node with its data in a folder, and how to stop it.
pub struct Whole {
    at: Started,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Whole {
    pub async fn start(data: &Path, bootstrap: &[&Self]) -> Self {
        let mut settings = Settings::load(data.to_owned(), None).expect("the defaults hold");
        settings.rpc.addr = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        settings.bootstrap = bootstrap.iter().map(|node| node.at.addresses[0].clone()).collect();
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = oneshot::channel();
        let ended = tokio::spawn(serve(
            settings,
            async move {
                // Dropped is as good as told.
                let _ = stopped.await;
            },
            move |at| ready.send(at.clone()).expect("waited for"),
        ));
        let at = within("the start", started).await.expect("it starts");
        Self { at, stop, ended }
    }

    pub async fn stop(self) {
        self.stop.send(()).expect("it runs");
        within("the end", self.ended).await.expect("no panic").expect("a good end");
    }

    pub async fn try_call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        client::call(&Target::new(&self.at.rpc[..]), method, params).await
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls until the result is as wanted.
    async fn until(&self, method: &str, params: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        within(method, async {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
            loop {
                tick.tick().await;
                if let Ok(result) = self.try_call(method, params.clone()).await
                    && wanted(&result)
                {
                    return result;
                }
            }
        })
        .await
    }

    pub fn id(&self) -> String {
        self.at.peer.to_string()
    }
}

/// Three nodes, each knowing those before.
async fn three(folder: &Path) -> [Whole; 3] {
    let a = Whole::start(&folder.join("a"), &[]).await;
    let b = Whole::start(&folder.join("b"), &[&a]).await;
    let c = Whole::start(&folder.join("c"), &[&a, &b]).await;
    [a, b, c]
}

fn trajectory() -> Value {
    json!({
        "taskType": "web-research",
        "input": {"query": "solid-state battery breakthroughs 2026", "asked by": "ada@example.org"},
        "output": {"summary": "...", "confidence": 0.91},
        "steps": [
            {"action": "search", "tool": "web-search", "params": {"q": "secret"}, "duration": 195},
            {"action": "synthesize", "tool": "summarizer", "result": {"tokens": 1200}, "duration": 720},
        ],
        "reward": 0.91,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_learns_the_others_can_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = three(folder.path()).await;
    let wanted = json!({"taskType": "web-research", "minReward": 0.8});
    // Who asks for a task type hears of it from then on.
    let nothing = b.call("improving.getExemplars", wanted.clone()).await;
    assert_eq!(nothing["exemplars"], json!([]));
    let recorded = within("a peer that listens", async {
        loop {
            let recorded = a.call("improving.recordTrajectory", trajectory()).await;
            if recorded["gossipedTo"].as_u64() > Some(0) {
                return recorded;
            }
        }
    })
    .await;
    assert_eq!(recorded["state"], "SUCCESS");
    let found = b.until("improving.getExemplars", &wanted, |found| found["exemplars"] != json!([])).await;
    let exemplar = &found["exemplars"][0];
    assert_eq!(exemplar["peerId"], a.id(), "{found:#}");
    assert_eq!(exemplar["reward"], 0.91);
    let text = exemplar.to_string();
    assert!(
        !text.contains("secret") && !text.contains("1200"),
        "step params and results stay at home: {text}"
    );
    assert!(!text.contains("ada@example.org"), "addresses of people do too: {text}");
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// A client that stays, and carries out the tool that it registered.
pub struct Toolsmith(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Toolsmith {
    pub async fn register(node: &Whole, name: &str) -> (Self, String) {
        let (mut socket, _) = connect_async(&node.at.rpc).await.expect("connected");
        let params = json!({
            "name": name,
            "description": "Full-text web search with snippet extraction",
            "capabilities": ["search", "scrape"],
            "schema": {
                "input": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
                "output": {"type": "object", "properties": {"results": {"type": "array"}}},
            },
        });
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tool.register", "params": params});
        socket.send(Message::text(request.to_string())).await.expect("sent");
        let answer = Self::next(&mut socket).await;
        let id = answer["result"]["toolId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (Self(socket), id)
    }

    async fn next(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Value {
        loop {
            match within("the node", socket.next()).await.expect("open").expect("sound") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
    }

    /// Answers one request to carry the tool out.
    pub async fn serve_once(&mut self) -> Value {
        let asked = Self::next(&mut self.0).await;
        assert_eq!(asked["method"], "tool.execute");
        let result = json!({"results": [{"title": asked["params"]["params"]["query"]}]});
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
        self.0.send(Message::text(answer.to_string())).await.expect("sent");
        asked
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_of_one_is_found_and_used_from_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = three(folder.path()).await;
    let (mut smith, tool) = Toolsmith::register(&a, "web-search").await;
    let query = json!({"query": "web search", "capabilities": ["search"], "minReputation": 0.1});
    let found = c.until("tool.discover", &query, |found| found["tools"] != json!([])).await;
    assert_eq!(found["tools"][0]["id"], tool);
    assert_eq!(found["tools"][0]["peerId"], a.id());
    assert_eq!(found["tools"][0]["schema"]["input"]["required"], json!(["query"]));
    let session = c.call("state.createSession", json!({})).await["sessionId"].clone();
    let invoke = json!({"toolId": tool, "params": {"query": "batteries"}, "sessionId": session});
    let (invoked, asked) = tokio::join!(c.call("tool.invoke", invoke.clone()), smith.serve_once());
    assert_eq!(invoked["result"]["results"][0]["title"], "batteries");
    assert_eq!(invoked["peerId"], a.id());
    assert_eq!(asked["params"]["caller"], c.id());
    let wrong = c.try_call("tool.invoke", json!({"toolId": tool, "params": {}})).await;
    assert!(matches!(wrong, Err(CallError::Reply { code: -32602, .. })), "{wrong:?}");
    drop(smith);
    // A node that has heard of it no longer offers the tool; one that has not is told by the tool's own.
    let gone = c.try_call("tool.invoke", invoke).await;
    assert!(matches!(gone, Err(CallError::Reply { code: -32006 | -32602, .. })), "{gone:?}");
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_outlives_the_node_that_stored_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = three(folder.path()).await;
    let content = "Exponential backoff with jitter prevents thundering herd on 429 responses";
    // All three hold it, once all three know each other.
    let stored = within("three replicas", async {
        loop {
            let stored =
                b.call("memory.store", json!({"content": content, "metadata": {"tags": ["api"]}})).await;
            if stored["replicas"] == 3 {
                return stored;
            }
            b.call("memory.delete", json!({"id": stored["id"]})).await;
        }
    })
    .await;
    b.stop().await;
    let query = json!({"query": "backoff on 429 responses", "limit": 5, "threshold": 0.1, "tier": "working"});
    let found = c.until("memory.search", &query, |found| found["memories"] != json!([])).await;
    assert_eq!(found["memories"][0]["id"], stored["id"]);
    assert_eq!(found["memories"][0]["content"], content);
    c.call("memory.delete", json!({"id": stored["id"]})).await;
    a.until("memory.search", &query, |found| found["memories"] == json!([])).await;
    a.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Whole::start(folder.path(), &[]).await;
    let (peer, session) = (node.id(), node.call("state.createSession", json!({})).await);
    let id = session["sessionId"].clone();
    node.call("state.setState", json!({"sessionId": id, "key": "k", "value": {"a": 1.5}})).await;
    node.call("guard.consumeBudget", json!({"sessionId": id, "amount": 0.25})).await;
    node.stop().await;
    let node = Whole::start(folder.path(), &[]).await;
    assert_eq!(node.id(), peer);
    let value = node.call("state.getState", json!({"sessionId": id, "key": "k"})).await;
    assert_eq!(value, json!({"value": {"a": 1.5}}));
    let status = node.call("guard.getBudgetStatus", json!({"sessionId": id})).await;
    assert_eq!(status, json!({"remaining": 0.75, "consumed": 0.25, "limit": 1}));
    let mut target = Target::new(&node.at.rpc[..]);
    target.key = session["sessionToken"].as_str().map(str::to_owned);
    let allowed = client::call(&target, "state.getSession", json!({"sessionId": id})).await;
    assert!(allowed.is_ok(), "{allowed:?}");
    let refused = client::call(&target, "state.createSession", json!({})).await;
    assert!(matches!(refused, Err(CallError::Reply { code: -32050, .. })), "{refused:?}");
    // With its session a token ends: it does not even open a connection.
    node.call("state.endSession", json!({"sessionId": id})).await;
    let ended = client::call(&target, "state.getSession", json!({"sessionId": id})).await;
    assert!(matches!(ended, Err(CallError::Refused { status: 401, .. })), "{ended:?}");
    node.stop().await;
}
