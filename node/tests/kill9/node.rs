//! A whole node that is killed while clients write: what it answered is there when it comes back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures::{SinkExt, StreamExt};
use hyperspace_node::serve::serve;
use hyperspace_node::settings::Settings;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{DIR, RUNS, alone, random};

/// Requests that are under way at once, so that many are in one commit.
const UNDER_WAY: u64 = 8;
/// State goes round among that many keys.
const KEYS: u64 = 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut settings = Settings::load(PathBuf::from(dir), None).expect("settings");
    settings.rpc.addr = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let node = serve(settings, std::future::pending(), |started| println!("serves {}", started.rpc));
    runtime.block_on(node).expect("it is killed, and does not end");
}

/// A node in a process of its own.
struct Killable {
    child: Child,
    socket: Socket,
}

impl Killable {
    async fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "node::child", "--nocapture"])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let url = lines
            .find_map(|line| Some(line.expect("text").rsplit_once("serves ")?.1.to_owned()))
            .expect("it opens after a crash, and serves");
        let (socket, _) = connect_async(url).await.expect("connected");
        Self { child, socket }
    }

    async fn send(&mut self, id: u64, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.socket.send(Message::text(request.to_string())).await.expect("sent");
    }

    /// The next answer, unless the node is gone.
    async fn answer(&mut self) -> Option<(u64, Value)> {
        loop {
            let Message::Text(text) = self.socket.next().await?.ok()? else { continue };
            let mut answer: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(answer.get("error"), None, "{answer}");
            return Some((answer["id"].as_u64().expect("ours"), answer["result"].take()));
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(0, method, &params).await;
        self.answer().await.expect("it runs").1
    }
}

/// What was asked of the node and what it answered.
#[derive(Default)]
struct Ledger {
    session: Value,
    sent: u64,
    /// The greatest value that was acknowledged for each key.
    state: BTreeMap<u64, u64>,
    /// Contents of acknowledged memories that were not looked for yet, by id.
    memories: BTreeMap<String, String>,
    /// Payments out of the budget: sent, acknowledged.
    payments: (u64, u64),
}

impl Ledger {
    fn request(&mut self) -> (u64, &'static str, Value) {
        self.sent += 1;
        let (n, session) = (self.sent, &self.session);
        match n % 3 {
            0 => (n, "memory.store", json!({"content": format!("memory {n}")})),
            1 => (
                n,
                "state.setState",
                json!({"sessionId": session, "key": (n % KEYS).to_string(), "value": n}),
            ),
            _ => {
                self.payments.0 += 1;
                (
                    n,
                    "guard.consumeBudget",
                    json!({"sessionId": session, "amount": 0.00001, "description": "x"}),
                )
            }
        }
    }

    fn acknowledged(&mut self, n: u64, result: &Value) {
        match n % 3 {
            0 => {
                let id = result["id"].as_str().expect("an id").to_owned();
                self.memories.insert(id, format!("memory {n}"));
            }
            1 => {
                let greatest = self.state.entry(n % KEYS).or_default();
                *greatest = n.max(*greatest);
            }
            _ => self.payments.1 += 1,
        }
    }

    /// Compares the node with what it answered.
    async fn check(&mut self, node: &mut Killable) {
        for (key, greatest) in &self.state {
            let params = json!({"sessionId": self.session, "key": key.to_string()});
            let value = node.call("state.getState", params).await["value"].as_u64().expect("a number");
            assert!((*greatest..=self.sent).contains(&value), "{key}: {value} after {greatest}");
        }
        for (id, content) in std::mem::take(&mut self.memories) {
            let memory = node.call("memory.get", json!({"id": id})).await;
            assert_eq!(memory["content"], content);
        }
        let status = node.call("guard.getBudgetStatus", json!({"sessionId": self.session})).await;
        let consumed = (status["consumed"].as_f64().expect("a number") * 1e5).round() as u64;
        assert!((self.payments.1..=self.payments.0).contains(&consumed), "{consumed} of {:?}", self.payments);
        // What was under way when it was killed is done now, or never.
        self.payments = (consumed, consumed);
    }
}

#[test]
fn what_a_node_answered_survives_its_being_killed() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(kill_again_and_again());
}

async fn kill_again_and_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::default();
    for _ in 0..RUNS {
        let mut node = Killable::start(dir.path()).await;
        if ledger.session.is_null() {
            ledger.session = node.call("state.createSession", json!({})).await["sessionId"].take();
        }
        ledger.check(&mut node).await;
        let mut left = 1 + random(30);
        for _ in 0..UNDER_WAY {
            let (id, method, params) = ledger.request();
            node.send(id, method, &params).await;
        }
        while let Some((id, result)) = node.answer().await {
            ledger.acknowledged(id, &result);
            left = left.saturating_sub(1);
            if left > 0 {
                let (id, method, params) = ledger.request();
                node.send(id, method, &params).await;
            } else {
                // Answers may be on their way, and count.
                node.child.kill().expect("it runs");
            }
        }
        assert!(!node.child.wait().expect("it is ours").success(), "the node ended by itself");
    }
    let mut node = Killable::start(dir.path()).await;
    ledger.check(&mut node).await;
    assert!(ledger.payments.1 > 0, "nothing was acknowledged");
    node.child.kill().expect("it runs");
    node.child.wait().expect("it is ours");
}
