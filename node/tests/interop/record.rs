//! What a node's machine was told can be played again, with the same outcome.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use hyperspace_node::driver::record::Call;
use hyperspace_node::driver::{Beginning, CallError, Driven, Durable, Effects, NoEffects, Recorder};
use hyperspace_node::message::NodeMessage;
use hyperspace_node::services::NodeServices;
use hyperspace_node::store::StoreError;
use hyperspace_protocol::card::Card;
use hyperspace_protocol::kad::Key;
use hyperspace_protocol::machine::{Input, Output};
use hyperspace_protocol::primitive::{
    AgentInput, Arrange, Caller, ClientId, Code, Execute, Executed, Fetch, Fetched, MemoryRecords, Records,
    Table, Tier,
};
use hyperspace_protocol::request::{Command, Query, Request, Response};
use hyperspace_protocol::time::{Duration, Instant, UnixMillis};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::*;

type Taken = (Instant, UnixMillis, Option<Input<NodeMessage>>, Vec<Output<NodeMessage>>);

#[derive(Default)]
struct Tape {
    beginning: Option<(Beginning, Arc<NodeServices>)>,
    calls: Vec<Taken>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Tape>>);

impl Recorder for Shared {
    fn begin(&mut self, beginning: &Beginning, services: &Arc<NodeServices>) {
        self.0.lock().expect("whole").beginning = Some((beginning.clone(), Arc::clone(services)));
    }
    fn call(&mut self, call: &Call<'_>) {
        let taken = (call.now, call.unix, call.input.cloned(), call.outputs.to_vec());
        self.0.lock().expect("whole").calls.push(taken);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_plays_back_to_the_same_outputs() {
    let tape = Shared::default();
    let mut settings = config(1);
    settings.protocol.gossip.heartbeat_interval = Duration::from_millis(100);
    settings.protocol.cards.heartbeat_interval = Duration::from_millis(300);
    settings.recorder = Some(Box::new(tape.clone()));
    let mut ours = Ours::with(settings).await;
    let (mut stock, other) = (Stock::start(2).await, Ours::start(3).await);
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    ours.handle.connect(other.address.clone()).await.expect("connected");
    let own = ours.handle.own();
    let card = Card {
        seq: 0,
        peer_id: own,
        tools: vec![],
        task_types: vec![],
        reputation: None,
        geo: None,
        latency: None,
        metadata: None,
    };
    ours.handle.announce(card).await.expect("announced");
    ours.handle.command(Command::Follow(other.handle.own())).await.expect("followed");
    ours.meshed(stock.id).await;
    for n in 0..10 {
        ours.handle.publish(TOPIC, &n.to_string()).await.expect("published");
        stock.publish(TOPIC, &format!("[{n}]")).await;
        assert_eq!(payload_of(&stock.message().await), n.to_string());
    }
    until("a contact", &ours.handle, |s| s.contacts >= 2).await;
    ours.handle.query(Query::Provide(Key::new(b"x"))).await.expect("started");
    ours.handle.query(Query::FindProviders(Key::new(b"x"))).await.expect("started");
    ours.handle.disconnect(other.handle.own()).await.expect("told");
    while payload(&ours.message().await) != "[9]" {}
    until("some heartbeats", &ours.handle, |_| tape.beats() > 5).await;
    ours.stop().await;

    let seen = tape.replay();
    assert!(seen.timeouts > 5 && seen.frames > 10, "{seen:?}");
}

/// What a record has in it.
#[derive(Debug, Default)]
struct Seen {
    timeouts: u32,
    frames: u32,
    calls: u32,
    executed: u32,
    asked: u32,
    answered: u32,
}

impl Shared {
    /// Timeouts so far.
    fn beats(&self) -> usize {
        self.0.lock().expect("whole").calls.iter().filter(|call| call.2.is_none()).count()
    }

    /// Plays the record into a fresh machine, whose outputs must be the same.
    fn replay(&self) -> Seen {
        let tape = self.0.lock().expect("whole");
        let (beginning, services) = tape.beginning.as_ref().expect("begun");
        let services = services.afresh();
        let (mut replayed, mut records) = (Driven::new(beginning.clone()), MemoryRecords::default());
        let mut seen = Seen::default();
        for (place, (now, unix, input, outputs)) in tape.calls.iter().enumerate() {
            if let Some(Input::Publish(message)) = input {
                services.note(message);
            }
            seen.count(input.as_ref());
            let mut out = Vec::new();
            replayed.call(&services, &mut records, (*now, *unix), input.clone(), &mut out);
            assert_eq!(&out, outputs, "call {place}: {input:?}");
        }
        seen
    }
}

impl Seen {
    fn count(&mut self, input: Option<&Input<NodeMessage>>) {
        match input {
            None => self.timeouts += 1,
            Some(Input::Frame { .. }) => self.frames += 1,
            Some(Input::Request { request, .. }) => {
                self.asked += u32::from(matches!(**request, Request::Agent { .. }));
            }
            Some(Input::Response { response, .. }) => {
                self.answered += u32::from(matches!(**response, Response::Agent(_)));
            }
            Some(Input::Agent(input)) => match **input {
                AgentInput::Call(_) => self.calls += 1,
                AgentInput::Executed(..) => self.executed += 1,
                _ => {}
            },
            Some(_) => {}
        }
    }
}

/// A client that carries out every tool at once.
struct Smith;

impl Effects for Smith {
    fn execute(&self, _: Execute) -> BoxFuture<'static, Executed> {
        Box::pin(std::future::ready(Executed::Result(r#"{"results":["found"]}"#.into())))
    }
    fn fetch(&self, _: Fetch) -> BoxFuture<'static, Fetched> {
        Box::pin(std::future::ready(Err("nothing is outside".into())))
    }
}

async fn recorded(seed: u8, effects: Arc<dyn Effects>) -> (Ours, Shared) {
    let tape = Shared::default();
    let mut settings = config(seed);
    settings.protocol.gossip.heartbeat_interval = Duration::from_millis(100);
    settings.recorder = Some(Box::new(tape.clone()));
    settings.effects = effects;
    (Ours::with(settings).await, tape)
}

async fn call(node: &Ours, method: &str, params: &Value) -> Value {
    let caller = Caller { client: ClientId(1), tier: Tier::Operator, key: 0 };
    let answer = within(method, node.handle.method(caller, method, Some(params.to_string().into()))).await;
    let answer = answer.unwrap_or_else(|error| panic!("{method}: {error:?}"));
    serde_json::from_str(&answer).expect("JSON")
}

/// Calls until the result is as wanted.
async fn call_until(node: &Ours, method: &str, params: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    within(method, async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            tick.tick().await;
            let result = call(node, method, params).await;
            if wanted(&result) {
                return result;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_at_work_play_back_to_the_same_outputs() {
    let (a, tape_a) = recorded(1, Arc::new(Smith)).await;
    let (b, tape_b) = recorded(2, Arc::new(NoEffects)).await;
    let (c, tape_c) = recorded(3, Arc::new(NoEffects)).await;
    for (from, to) in [(&b, &a), (&c, &a), (&c, &b)] {
        from.handle.connect(to.address.clone()).await.expect("connected");
    }
    let tool = json!({
        "name": "web-search",
        "description": "Full-text web search",
        "capabilities": ["search"],
        "schema": {"input": {"type": "object"}, "output": {"type": "object"}},
    });
    let tool = call(&a, "tool.register", &tool).await["toolId"].clone();

    // A trajectory, from A to B.
    let wanted = json!({"taskType": "web-research", "minReward": 0.8});
    call(&b, "improving.getExemplars", &wanted).await;
    let trajectory = json!({
        "taskType": "web-research",
        "input": {"query": "solid-state batteries", "asked by": "ada@example.org"},
        "output": {"summary": "..."},
        "steps": [{"action": "search", "tool": "web-search", "duration": 195}],
        "reward": 0.91,
    });
    let heard = |result: &Value| result["gossipedTo"].as_u64() > Some(0);
    call_until(&a, "improving.recordTrajectory", &trajectory, heard).await;
    let some = |result: &Value| result["exemplars"] != json!([]);
    let found = call_until(&b, "improving.getExemplars", &wanted, some).await;
    assert_eq!(found["exemplars"][0]["peerId"], a.handle.own().to_string());

    // A tool of A, found and used from C.
    let query = json!({"query": "web search", "capabilities": ["search"]});
    let found = call_until(&c, "tool.discover", &query, |found| found["tools"] != json!([])).await;
    assert_eq!(found["tools"][0]["id"], tool);
    let session = call(&c, "state.createSession", &json!({})).await["sessionId"].clone();
    let invoke = json!({"toolId": tool, "params": {"query": "x"}, "sessionId": session});
    let invoked = call(&c, "tool.invoke", &invoke).await;
    assert_eq!(invoked["result"], json!({"results": ["found"]}));

    // A memory of B, found from C.
    let content = json!({"content": "Exponential backoff with jitter prevents thundering herd"});
    call_until(&b, "memory.store", &content, |stored| stored["replicas"] == 3).await;
    let query = json!({"query": "exponential backoff", "tier": "working", "threshold": 0.1});
    call_until(&c, "memory.search", &query, |found| found["memories"] != json!([])).await;

    for (node, tape) in [(a, &tape_a), (b, &tape_b), (c, &tape_c)] {
        until("a heartbeat", &node.handle, |_| tape.beats() > 0).await;
        node.stop().await;
    }
    let [a, b, c] = [tape_a, tape_b, tape_c].map(|tape| tape.replay());
    for seen in [&a, &b, &c] {
        assert!(seen.timeouts > 0 && seen.frames > 0 && seen.calls > 0, "{seen:?}");
    }
    assert!(a.executed == 1 && a.asked > 0 && b.answered > 0 && c.answered > 0, "{a:?} {b:?} {c:?}");
}

/// A client that is asked to carry out a tool and never answers.
struct Idle(mpsc::UnboundedSender<()>);

impl Effects for Idle {
    fn execute(&self, _: Execute) -> BoxFuture<'static, Executed> {
        self.0.send(()).expect("waited for");
        Box::pin(std::future::pending())
    }
    fn fetch(&self, _: Fetch) -> BoxFuture<'static, Fetched> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_leaves_no_caller_waiting() {
    let (tell, mut asked) = mpsc::unbounded_channel();
    let mut settings = config(1);
    settings.effects = Arc::new(Idle(tell));
    let node = Ours::with(settings).await;
    let tool = json!({
        "name": "web-search",
        "description": "Full-text web search",
        "capabilities": ["search"],
        "schema": {"input": {"type": "object"}, "output": {"type": "object"}},
    });
    let tool = call(&node, "tool.register", &tool).await["toolId"].clone();
    let session = call(&node, "state.createSession", &json!({})).await["sessionId"].clone();
    let invoke = json!({"toolId": tool, "params": {}, "sessionId": session}).to_string();
    let caller = Caller { client: ClientId(1), tier: Tier::Operator, key: 0 };
    let handle = node.handle.clone();
    let invoked =
        tokio::spawn(async move { handle.method(caller, "tool.invoke", Some(invoke.into())).await });
    within("the client", asked.recv()).await.expect("asked");
    node.handle.arrange(Arrange::Reset).await.expect("reset");
    within("the caller's answer", invoked).await.expect("no panic").expect_err("forgotten");
    node.stop().await;
}

/// Fails as soon as there is something to make durable.
struct Full(MemoryRecords);

impl Durable for Full {
    fn is_changed(&self) -> bool {
        self.0 != MemoryRecords::default()
    }
    fn commit(&mut self) -> Result<(), StoreError> {
        Err(StoreError::Poisoned)
    }
}

impl Records for Full {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(table, key)
    }
    fn put(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: Vec<u8>) {
        self.0.put(table, key, subject, value);
    }
    fn delete(&mut self, table: Table, key: &[u8]) {
        self.0.delete(table, key);
    }
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.scan(table, prefix, after, limit)
    }
    fn count(&self, table: Table) -> u64 {
        self.0.count(table)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_released_that_was_not_written_down() {
    let mut settings = config(1);
    settings.store = Box::new(Full(MemoryRecords::default()));
    let mut ours = Ours::with(settings).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    let caller = Caller { client: ClientId(1), tier: Tier::Operator, key: 0 };
    let (created, published) = tokio::join!(
        ours.handle.method(caller, "state.createSession", None),
        ours.handle.publish(TOPIC, "1"),
    );
    assert_eq!(created.expect_err("not kept").code, Code::Internal);
    assert!(matches!(published, Err(CallError::Stopped)), "{published:?}");
    let ended = within("the end", async { ours.running.await }).await;
    assert_eq!(ended.expect_err("the store failed").to_string(), StoreError::Poisoned.to_string());
    assert!(
        !std::iter::from_fn(|| ours.events.try_recv().ok())
            .any(|event| matches!(event, hyperspace_node::driver::Event::Message(_)))
    );
}
