//! The orders of our node's control hook.

use hyperspace_conformance::json::Json;
use hyperspace_conformance::target::TargetError;
use hyperspace_protocol::primitive::Arrange;
use hyperspace_protocol::primitive::amount::Budget;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Reference;

/// What there is, as `hello` says it.
pub(super) const VERBS: [&str; 7] =
    ["hello", "set_budget", "set_clock", "reset", "issue_key", "fail_replication", "peers"];

/// An order with all that any of them has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    r#do: String,
    session: Option<String>,
    limit: Option<Budget>,
    consumed: Option<Budget>,
    offset_ms: Option<i64>,
    on: Option<bool>,
}

/// Carries out an order.
pub(super) fn obey(target: &mut Reference, order: &Json) -> Result<Json, TargetError> {
    let answer = serde_json::from_str(&order.to_string())
        .map_err(|error| error.to_string())
        .and_then(|order| carry_out(target, order))
        .map_err(|error| TargetError::Declined(format!("control: {error}")))?;
    target.deliver();
    Json::parse(&answer.to_string()).map_err(|error| TargetError::Declined(error.to_string()))
}

fn carry_out(target: &mut Reference, order: Order) -> Result<Value, String> {
    let Order { r#do: verb, session, limit, consumed, offset_ms, on } = order;
    let missing = |name: &str| format!("{verb} needs {name}");
    let mut answer = json!({ "ok": true });
    match verb.as_str() {
        "hello" => answer["can"] = json!(VERBS),
        "set_budget" => {
            let session = session.ok_or_else(|| missing("session"))?;
            let limit = limit.ok_or_else(|| missing("limit"))?;
            let consumed = consumed.ok_or_else(|| missing("consumed"))?;
            target.node.arrange(Arrange::Budget { session, limit, consumed })?;
        }
        "set_clock" => target.node.clock_offset = offset_ms.ok_or_else(|| missing("offset_ms"))?,
        "reset" => target.node.arrange(Arrange::Reset)?,
        "issue_key" => {
            let key = target.node.random_hex(3);
            target.keys.insert(key.clone());
            answer["key"] = json!(key);
        }
        "fail_replication" => {
            target.node.arrange(Arrange::FailReplication(on.ok_or_else(|| missing("on"))?))?;
        }
        "peers" => {
            answer["peerId"] = json!(target.node.own().to_string());
            answer["peers"] = json!([]);
        }
        _ => return Err(format!("there is no order '{verb}'")),
    }
    Ok(answer)
}
