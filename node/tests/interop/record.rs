//! What a node's machine was told can be played again, with the same outcome.

use std::sync::{Arc, Mutex};

use hyperspace_node::driver::record::Call;
use hyperspace_node::driver::{Beginning, CallError, Driven, Durable, Recorder};
use hyperspace_node::message::NodeMessage;
use hyperspace_node::services::NodeServices;
use hyperspace_node::store::StoreError;
use hyperspace_protocol::card::Card;
use hyperspace_protocol::kad::Key;
use hyperspace_protocol::machine::{Input, Output};
use hyperspace_protocol::primitive::{Caller, ClientId, Code, MemoryRecords, Records, Table, Tier};
use hyperspace_protocol::request::{Command, Query};
use hyperspace_protocol::time::{Duration, Instant, UnixMillis};

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
    let beats = || tape.0.lock().expect("whole").calls.iter().filter(|call| call.2.is_none()).count();
    until("some heartbeats", &ours.handle, |_| beats() > 5).await;
    ours.stop().await;

    let tape = tape.0.lock().expect("whole");
    let (beginning, services) = tape.beginning.as_ref().expect("begun");
    let services = services.afresh();
    let (mut replayed, mut records) = (Driven::new(beginning.clone()), MemoryRecords::default());
    let (mut timeouts, mut frames) = (0, 0);
    for (place, (now, unix, input, outputs)) in tape.calls.iter().enumerate() {
        if let Some(Input::Publish(message)) = input {
            services.note(message);
        }
        timeouts += u32::from(input.is_none());
        frames += u32::from(matches!(input, Some(Input::Frame { .. })));
        let mut out = Vec::new();
        replayed.call(&services, &mut records, (*now, *unix), input.clone(), &mut out);
        assert_eq!(&out, outputs, "call {place}: {input:?}");
    }
    assert!(timeouts > 5 && frames > 10, "{timeouts} timeouts, {frames} frames");
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
