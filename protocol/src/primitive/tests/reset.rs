//! `Arrange::Reset`: nobody is left waiting, and nothing is left outside.

use serde_json::json;

use super::*;
use crate::payment::Key;

fn subscriptions(did: &[Did]) -> BTreeSet<Topic> {
    let mut topics = BTreeSet::new();
    for did in did {
        if let Did::Subscribed(topic) = did {
            topics.insert(topic.clone());
        }
        if let Did::Unsubscribed(topic) = did {
            topics.remove(topic);
        }
    }
    topics
}

fn last_card(did: &[Did]) -> Card {
    let card = |did: &Did| if let Did::Announced(card) = did { Some(card.clone()) } else { None };
    did.iter().rev().find_map(card).expect("one was announced")
}

/// A bench with something of everything under way, and the calls that wait.
fn busy() -> (Bench, Vec<CallId>) {
    let mut bench = Bench::default();
    bench.config.learning.model = true;
    bench.config.guard.classifier = true;
    bench.config.memory.embedder = crate::primitive::memory::Embedder::External;
    bench.config.micropayments.key = Key::from_secret(&[2; 32]);
    let schema = json!({"input": {}, "output": {}});
    let tool = json!({"name": "t", "description": "", "capabilities": ["search"], "schema": schema});
    let tool = bench.ok("tool.register", tool)["toolId"].clone();
    bench.ok("improving.getExemplars", json!({"taskType": "web-research"}));
    let open = json!({"payee": "p", "budget": 1, "currency": "USDC"});
    bench.ok("micropayments.channel.open", open);
    bench.session();
    let mut card = last_card(&bench.net.did);
    (card.peer_id, card.tools[0].id) = (peer(2), "theirs".to_owned());
    bench.net.cards = vec![Arc::new(Published::new(&card).unwrap())];
    let execution = json!({"input": 1, "output": 1, "steps": [], "outcome": "success", "reward": 1});
    let waiting = [
        ("tool.invoke", json!({"toolId": tool, "params": {}})),
        ("tool.invoke", json!({"toolId": "theirs", "params": {}})),
        ("tool.discover", json!({"query": "web"})),
        ("guard.checkSafety", json!({"content": "x"})),
        ("learning.reflect", json!({"playbookId": "p", "execution": execution})),
        ("memory.store", json!({"content": "x"})),
    ]
    .map(|(method, params)| bench.start(method, params));
    let ask = json!({"toolId": tool, "params": {}}).to_string();
    bench.run(|agent, env| agent.on_asked(env, peer(3), RequestId(7), Protocol::Tool, &ask));
    (bench, waiting.to_vec())
}

#[test]
fn a_reset_leaves_nobody_waiting_and_nothing_outside() {
    let (mut bench, waiting) = busy();
    for call in &waiting {
        assert_eq!(bench.answer(*call), None, "{call:?}");
    }
    let before = subscriptions(&bench.net.did);
    assert_eq!(before.len(), 4, "three rounds and a task type: {before:?}");
    bench.run(|agent, env| agent.arrange(env, CallId(99), Arrange::Reset));
    for call in waiting {
        let error = bench.answer(call).expect("it is answered").unwrap_err();
        assert_eq!((error.code, &error.message[..]), (Code::Internal, "the node was reset"));
    }
    assert_eq!(bench.answer(CallId(99)), Some(Ok(json!({}))));
    let new = BTreeSet::from([Topic::crdt_sync_memory()]);
    assert_eq!(subscriptions(&bench.net.did), new, "what a new agent subscribes to");
    assert_eq!(last_card(&bench.net.did).tools, []);
    let told = |did: &Did| matches!(did, Did::Told(to, RequestId(7), told) if *to == peer(3) && told["error"]["code"] == -32603);
    assert!(bench.net.did.iter().any(told), "a peer that waits is told too");
    assert_eq!(bench.records, MemoryRecords::default());
    let quiet = bench.net.did.len();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.net.did.len(), quiet, "nothing of it comes back");
}

#[test]
fn what_was_under_way_before_a_reset_is_nothing_after_it() {
    let (mut bench, _) = busy();
    let asked: Vec<Did> = bench.net.did.clone();
    bench.run(|agent, env| agent.arrange(env, CallId(99), Arrange::Reset));
    bench.net.did.clear();
    for did in asked {
        bench.run(|agent, env| {
            if let Did::Asked(to, id, ..) = did {
                agent.on_told(env, Some(to), id, Some("{}"));
            } else if let Did::Executed(it) = did {
                agent.on_executed(env, it.id, Executed::Unavailable);
            } else if let Did::Fetched(it) = did {
                agent.on_fetched(env, it.id, Ok("{}".into()));
            } else if let Did::Queried(token, _) = did {
                agent.on_query(env, token, QueryEnd::Done);
            }
        });
    }
    assert_eq!(bench.net.did, []);
    assert_eq!(bench.records, MemoryRecords::default());
}
