//! What a node's machine was told can be played again, with the same outcome.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use hyperspace_node::driver::record::Call;
use hyperspace_node::driver::{Beginning, CallError, Driven, Recorder, Store, StoreError};
use hyperspace_node::message::NodeMessage;
use hyperspace_node::services::NodeServices;
use hyperspace_protocol::card::Card;
use hyperspace_protocol::kad::Key;
use hyperspace_protocol::machine::{Input, Output};
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
    until("a contact", &ours.handle, |s| s.contacts == 2).await;
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
    let mut replayed = Driven::new(beginning.clone());
    let (mut timeouts, mut frames) = (0, 0);
    for (place, (now, unix, input, outputs)) in tape.calls.iter().enumerate() {
        if let Some(Input::Publish(message)) = input {
            services.note(message);
        }
        timeouts += u32::from(input.is_none());
        frames += u32::from(matches!(input, Some(Input::Frame { .. })));
        let mut out = Vec::new();
        replayed.call(&services, (*now, *unix), input.clone(), &mut out);
        assert_eq!(&out, outputs, "call {place}: {input:?}");
    }
    assert!(timeouts > 5 && frames > 10, "{timeouts} timeouts, {frames} frames");
}

/// Fails when it is told to write down a publication.
struct Full;

impl Store for Full {
    fn commit<'a>(&'a mut self, outputs: &'a [Output<NodeMessage>]) -> BoxFuture<'a, Result<(), StoreError>> {
        let full = outputs.iter().any(|output| matches!(output, Output::Deliver { .. }));
        async move { if full { Err(StoreError("the disk is full".to_owned())) } else { Ok(()) } }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_released_that_was_not_written_down() {
    let mut settings = config(1);
    settings.store = Box::new(Full);
    let mut ours = Ours::with(settings).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    let published = ours.handle.publish(TOPIC, "1").await;
    assert!(matches!(published, Err(CallError::Stopped)), "{published:?}");
    let ended = within("the end", async { ours.running.await }).await;
    assert_eq!(ended.expect_err("the store failed").to_string(), "the store: the disk is full");
    assert!(
        !std::iter::from_fn(|| ours.events.try_recv().ok())
            .any(|event| matches!(event, hyperspace_node::driver::Event::Message(_)))
    );
}
