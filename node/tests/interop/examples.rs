//! The example exchanges of the specification, each on a fixture of its own: every documented member comes back.

use futures::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::mesh::{Toolsmith, Whole};

/// Checks that `actual` has all that `documented` has, of the same kinds; values may differ.
fn has_members(at: &str, documented: &Value, actual: &Value) {
    match (documented, actual) {
        (Value::Object(documented), Value::Object(actual)) => {
            for (name, value) in documented {
                let at = format!("{at}.{name}");
                has_members(
                    &at,
                    value,
                    actual.get(name).unwrap_or_else(|| panic!("{at} is missing in {actual:?}")),
                );
            }
        }
        (Value::Array(documented), Value::Array(actual)) => {
            if let (Some(documented), actual) = (documented.first(), actual.first()) {
                has_members(
                    &format!("{at}[0]"),
                    documented,
                    actual.unwrap_or_else(|| panic!("{at} is empty")),
                );
            }
        }
        (documented, actual) => {
            let same = std::mem::discriminant(documented) == std::mem::discriminant(actual);
            assert!(same, "{at} is {actual}, documented as {documented}");
        }
    }
}

async fn example(node: &Whole, method: &str, params: Value, documented: Value) -> Value {
    let result = node.call(method, params).await;
    has_members(method, &documented, &result);
    result
}

fn documented_tool() -> Value {
    json!({"tools": [{"id": "", "name": "web-search", "peerId": "", "description": "", "capabilities": ["search"],
        "reputation": 0.95, "avgLatency": 180.5,
        "schema": {"input": {"type": "object"}, "output": {"type": "object"}}}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Whole::start(folder.path(), &[]).await;
    let (mut smith, tool) = Toolsmith::register(&node, "web-search").await;
    let created = json!({"sessionId": "", "createdAt": ""});
    let params = json!({"agentName": "research-agent", "agentType": "autonomous", "model": "gemma-3-12b"});
    let session = example(&node, "state.createSession", params, created).await["sessionId"].clone();
    let query = json!({"query": "web search", "minReputation": 0.8});
    let found = example(&node, "tool.discover", query, documented_tool()).await;
    assert_eq!(found["tools"][0]["id"], tool);
    let query = json!({"query": "web search", "capabilities": ["search", "scrape"], "minReputation": 0.7,
        "maxLatency": 500, "geo": "us-east"});
    example(&node, "tool.discover", query, documented_tool()).await;
    let invoke = json!({"toolId": tool, "params": {"query": "solid-state battery breakthroughs 2026"}, "sessionId": session});
    let invoked = json!({"result": {"results": [{"title": ""}]}, "duration": 195, "peerId": ""});
    tokio::join!(example(&node, "tool.invoke", invoke, invoked), smith.serve_once());
    let trajectory = json!({"taskType": "web-research", "input": {"query": "solid-state battery breakthroughs 2026"},
        "output": {"summary": "...", "confidence": 0.91},
        "steps": [{"action": "discover", "tool": "tool.discover", "duration": 45},
                  {"action": "search", "tool": "web-search", "duration": 195},
                  {"action": "synthesize", "tool": "summarizer", "duration": 720}],
        "reward": 0.91});
    let recorded = json!({"trajectoryId": "", "state": "SUCCESS", "gossipedTo": 11});
    let recorded = example(&node, "improving.recordTrajectory", trajectory, recorded).await;
    assert_eq!(recorded["state"], "SUCCESS");
    let exemplars = json!({"exemplars": [{"trajectoryId": "", "input": {"query": ""}, "output": {"summary": ""},
        "steps": [{"action": "", "tool": "", "duration": 45}], "reward": 0.91, "utilityScore": 0.89, "usageCount": 3,
        "peerId": ""}], "librarySize": 178, "avgReward": 0.74});
    let wanted = json!({"taskType": "web-research", "limit": 3, "minReward": 0.8});
    example(&node, "improving.getExemplars", wanted, exemplars.clone()).await;
    let wanted =
        json!({"taskType": "web-research", "limit": 3, "strategy": "EXEMPLAR_LEVEL", "minReward": 0.7});
    example(&node, "improving.getExemplars", wanted, exemplars).await;
    let ended = json!({"ended": true, "duration": 3420});
    assert_eq!(example(&node, "state.endSession", json!({"sessionId": session}), ended).await["ended"], true);
    smith.0.send(Message::Close(None)).await.expect("sent");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_exceeded() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Whole::start(folder.path(), &[]).await;
    let session = node.call("state.createSession", json!({})).await["sessionId"].clone();
    node.call("guard.consumeBudget", json!({"sessionId": session, "amount": 0.02})).await;
    let check = node.call("guard.checkBudget", json!({"sessionId": session, "estimatedCost": 0.02})).await;
    assert_eq!(check, json!({"allowed": true, "remaining": 0.98, "consumed": 0.02, "limit": 1}));
    node.call("guard.consumeBudget", json!({"sessionId": session, "amount": 0.86})).await;
    let check = node.call("guard.checkBudget", json!({"sessionId": session, "estimatedCost": 5.00})).await;
    let reason = "Estimated cost ($5.00) exceeds remaining budget ($0.12)";
    assert_eq!(
        check,
        json!({"allowed": false, "remaining": 0.12, "consumed": 0.88, "limit": 1, "reason": reason})
    );
    let consume = json!({"sessionId": session, "amount": 5.00, "description": "large-model-inference"});
    let error = node.try_call("guard.consumeBudget", consume).await.expect_err("exceeded");
    let hyperspace_node::client::CallError::Reply { code, message, data } = error else { panic!("{error}") };
    assert_eq!((code, &message[..]), (-32002, "Budget exceeded"));
    assert_eq!(data["remaining"], 0.12);
    assert_eq!(data["requested"].as_f64(), Some(5.0));
    assert_eq!(data["limit"].as_f64(), Some(1.0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_exchanges() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Whole::start(folder.path(), &[]).await;
    let session = node.call("state.createSession", json!({})).await["sessionId"].clone();
    let episode = json!({"sessionId": session, "outcome": "success", "reward": 0.85});
    example(&node, "state.recordEpisode", episode, json!({"episodeId": ""})).await;
    let content =
        "Exponential backoff with jitter prevents thundering herd on 429 responses. Base delay 1s, max 60s.";
    let store = json!({"content": content, "metadata": {"source": "web-research-session", "tags": ["api"]}, "tier": "working"});
    example(&node, "memory.store", store, json!({"id": "", "peerId": "", "replicas": 1})).await;
    let search = json!({"query": content, "limit": 5, "threshold": 0.75, "tier": "working"});
    let memories = json!({"memories": [{"id": "", "content": "", "similarity": 0.91, "metadata": {"tags": ["api"]},
        "peerId": "", "createdAt": ""}], "searchTime": 142});
    example(&node, "memory.search", search, memories).await;
    let analyze = json!({"sessionId": session, "currentStep": "refine-search-query", "maxIterations": 10,
        "callStack": ["plan-research", "web-search", "analyze-results", "refine-search-query", "web-search",
                      "analyze-results", "refine-search-query"]});
    let analyzed = node.call("recursive.analyze", analyze).await;
    let pattern = "refine-search-query -> web-search -> analyze-results";
    let documented =
        json!({"isLooping": true, "pattern": pattern, "iterations": 3, "depth": 7, "recommendation": "warn"});
    assert_eq!(analyzed, documented);
    let reflect = json!({"playbookId": "web-research-v3", "execution": {
        "input": {"query": "quantum computing market size 2026"}, "output": {"summary": "...", "sources": 12},
        "steps": [{"action": "search", "tool": "web-search", "duration": 340},
                  {"action": "filter", "tool": "relevance-scorer", "duration": 120},
                  {"action": "synthesize", "tool": "summarizer", "duration": 890}],
        "outcome": "success", "reward": 0.92}});
    let reflected = json!({"newBullets": [{"id": "str-00042", "section": "str", "content": ""}], "prunedBullets": [],
        "playbookVersion": 47});
    example(&node, "learning.reflect", reflect, reflected).await;
    let open = json!({"payee": node.id(), "budget": 5.0, "currency": "USDC"});
    let channel = node.call("micropayments.channel.open", open).await["channelId"].clone();
    for nonce in 1..=2 {
        let pay = json!({"channelId": channel, "amount": 0.003, "memo": "42 tokens"});
        assert_eq!(node.call("micropayments.channel.pay", pay).await["nonce"], nonce);
    }
    let closed = node.call("micropayments.channel.close", json!({"channelId": channel})).await;
    assert_eq!((&closed["totalSpent"], &closed["refund"]), (&json!(0.006), &json!(4.994)));
    node.stop().await;
}
