//! What goes wrong with JSON-RPC and with who is let in.

use hyperspace_conformance::json::Json;
use hyperspace_conformance::registry::{method, methods};
use hyperspace_conformance::target::Key;

use super::mutants;
use crate::edit::{Change, double, inner, set};
use crate::rule::{Act, When, code, fail, json, on, refusal, succeed};
use crate::seam::{Delivery, Exchange, Fate};

fn params(exchange: &Exchange) -> Option<&Json> {
    exchange.request.get("params")
}

fn is_batch(text: &str) -> bool {
    text.trim_start().starts_with('[') && Json::parse(text).is_ok()
}

fn is_empty_batch(text: &str) -> bool {
    Json::parse(text).is_ok_and(|json| json.items().is_some_and(<[Json]>::is_empty))
}

fn is_object_without_method(text: &str) -> bool {
    Json::parse(text).is_ok_and(|json| {
        json.members().is_some() && json.get("method").is_none() && json.get("result").is_none()
    })
}

fn has_odd_method(text: &str) -> bool {
    Json::parse(text).is_ok_and(|json| json.get("method").is_some_and(|method| method.as_str().is_none()))
}

fn is_garbage(text: &str) -> bool {
    Json::parse(text).is_err()
}

fn has_version(exchange: &Exchange) -> bool {
    exchange.request.get("jsonrpc").and_then(Json::as_str) == Some("2.0")
}

fn odd_id(exchange: &Exchange) -> bool {
    exchange.id.as_ref().is_some_and(|id| id.as_str().is_none() && id.as_number().is_none())
}

/// A known method behind another way to write it.
fn respelt(exchange: &Exchange) -> Option<String> {
    let name = exchange.method.to_lowercase();
    let found = methods().iter().find(|method| method.name.to_lowercase() == name)?;
    (found.name != exchange.method).then(|| found.name.clone())
}

mutants! { "transport";
    "id-null", "answers have the id null", "HSP-2.2-05" => [on("*").whole("id", Change::Set(Json::Null))];
    "id-missing", "answers have no id", "HSP-2.2-05" => [on("*").whole("id", Change::Drop)];
    "id-as-text", "numbers come back as texts", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(id) = inner(answer, "id") && id.as_number().is_some() { *id = Json::string(id.to_string()); })];
    "id-as-number", "ids that look like numbers come back as numbers", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(id) = inner(answer, "id") && let Some(Ok(number)) = id.as_str().map(str::parse::<i64>) { *id = Json::integer(number); })];
    "id-text-refused", "ids that are texts are refused", "HSP-2.2-05" => [on("*").given(|e| e.id.as_ref().is_some_and(|id| id.as_str().is_some())).refuse(-32600)];
    "id-number-refused", "ids that are numbers are refused", "HSP-2.2-05" => [on("*").given(|e| e.id.as_ref().is_some_and(|id| id.as_number().is_some())).refuse(-32600)];
    "id-zero-lost", "the id 0 counts as none", "HSP-2.2-05" => [on("*").given(|e| e.id == Some(Json::integer(0))).act(Act::Hang)];
    "id-empty-lost", "an empty id counts as none", "HSP-2.2-05" => [on("*").given(|e| e.id.as_ref().and_then(Json::as_str) == Some("")).act(Act::Hang)];
    "id-negative-absolute", "negative ids come back positive", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(id) = inner(answer, "id") && let Some(number) = id.as_number().and_then(|n| n.to_i64()) && number < 0 { *id = Json::integer(-number); })];
    "id-single", "great ids lose digits", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(id) = inner(answer, "id") && let Some(number) = id.as_number() { *id = double(f64::from(number.to_f64() as f32)); })];
    "id-32-bits", "ids keep 32 bits", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(id) = inner(answer, "id") && let Some(number) = id.as_number().and_then(|n| n.to_i64()) { *id = Json::integer(i64::from(number as i32)); })];
    "id-ascii", "ids lose letters outside ASCII", "HSP-2.2-05" => [on("*").whole("id", Change::Ascii)];
    "id-short", "ids keep 16 letters", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if let Some(Json::String(id)) = inner(answer, "id") { *id = id.chars().take(16).collect(); })];
    "id-wrong-on-error", "errors have the id null", "HSP-2.2-05" => [on("*").answer(|_, _, answer| if answer.get("error").is_some() { set(answer, "id", Json::Null); })];
    "version-missing", "answers have no jsonrpc", "HSP-2.2-04" => [on("*").whole("jsonrpc", Change::Drop)];
    "version-one", "answers are of JSON-RPC 1.0", "HSP-2.2-04" => [on("*").whole("jsonrpc", Change::Set(Json::string("1.0")))];
    "version-number", "jsonrpc is a number", "HSP-2.2-04" => [on("*").whole("jsonrpc", Change::Set(double(2.0)))];
    "version-missing-on-error", "errors have no jsonrpc", "HSP-2.2-04" => [on("*").answer(|_, _, answer| if answer.get("error").is_some() { crate::edit::Edit::new("jsonrpc", Change::Drop).apply(answer); })];
    "both", "errors come with a result", "HSP-2.2-06" => [on("*").answer(|_, _, answer| if answer.get("error").is_some() { set(answer, "result", json("{}")); })];
    "both-null", "results come with an error of null", "HSP-2.2-06" => [on("*").answer(|_, _, answer| if answer.get("result").is_some() { set(answer, "error", Json::Null); })];
    "both-null-result", "errors come with a result of null", "HSP-2.2-06" => [on("*").answer(|_, _, answer| if answer.get("error").is_some() { set(answer, "result", Json::Null); })];
    "neither", "answers have neither result nor error", "HSP-2.2-06" => [on("*").whole("error", Change::Drop)];
    "code-text", "codes are texts", "HSP-2.2-16" => [on("*").error("code", Change::Retype)];
    "code-fraction", "codes have a fraction", "HSP-2.2-16" => [on("*").error("code", Change::Add(0.5))];
    "code-missing", "errors have no code", "HSP-2.2-16" => [on("*").error("code", Change::Drop)];
    "code-positive", "codes are positive", "HSP-8-13 HSP-8-04" => [on("*").error("code", Change::Times(-1.0))];
    "code-http", "codes are those of HTTP", "HSP-8-13 HSP-8-04 HSP-8-05" => [on("*").answer(|_, _, answer| if code(answer).is_some_and(|code| code > -32100) { set(inner(answer, "error").unwrap_or(&mut Json::Null), "code", Json::integer(404)); })];
    "code-own-range", "codes of the application are from elsewhere", "HSP-8-13 HSP-8-05" => [on("*").answer(|_, _, answer| if let Some(own) = code(answer).filter(|code| *code > -32100) { set(inner(answer, "error").unwrap_or(&mut Json::Null), "code", Json::integer(own - 10_000)); })];
    "message-missing", "errors have no message", "HSP-2.2-16" => [on("*").error("message", Change::Drop)];
    "message-number", "messages are numbers", "HSP-2.2-16" => [on("*").error("message", Change::Retype)];
    "message-null", "messages are null", "HSP-2.2-16" => [on("*").error("message", Change::Set(Json::Null))];
    "error-text", "errors are texts", "HSP-2.2-16" => [on("*").error("", Change::Set(Json::string("it failed")))];
    "notification-answered", "a request without an id is answered with a result", "HSP-2.2-12" => [on("*").given(|e| e.id.is_none()).say("{}")];
    "notification-closes", "a request without an id closes the connection", "HSP-2.2-12" => [on("*").given(|e| e.id.is_none()).act(Act::Close)];
    "garbage-ignored", "what is not JSON is not answered", "HSP-8-01" => [on("*").act(Act::Text(|text| is_garbage(text).then_some(Fate::Silence)))];
    "garbage-closes", "what is not JSON closes the connection", "HSP-8-01 HSP-2.2-18" => [on("*").act(Act::Text(|text| is_garbage(text).then_some(Fate::Close)))];
    "garbage-numbered", "what is not JSON is answered with the id 0", "HSP-2.2-17" => [on("*").act(Act::Text(|text| is_garbage(text).then(|| { let mut answer = refusal(-32700); set(&mut answer, "id", Json::integer(0)); Fate::Answer(answer) })))];
    "garbage-is-result", "what is not JSON has a result", "HSP-8-01" => [on("*").act(Act::Text(|text| is_garbage(text).then(|| Fate::Answer(json(r#"{"result":{}}"#)))))];
    "version-not-needed", "a request needs no jsonrpc", "HSP-2.2-07 HSP-8-02" => [on("*").given(|e| e.request.get("jsonrpc").is_none()).request(|_, exchange| { set(&mut exchange.request, "jsonrpc", Json::string("2.0")); Fate::Forward })];
    "any-version", "a request of any version is carried out", "HSP-2.2-07" => [on("*").given(|e| !has_version(e)).request(|_, exchange| { set(&mut exchange.request, "jsonrpc", Json::string("2.0")); Fate::Forward })];
    "version-ignored", "a request of another version is not answered", "HSP-2.2-07" => [on("*").given(|e| !has_version(e)).act(Act::Hang)];
    "version-otherwise", "a request of another version is refused with -32602", "HSP-2.2-07 HSP-8-02" => [on("*").given(|e| !has_version(e)).refuse(-32602)];
    "methodless-unknown", "a request without a method is refused with -32601", "HSP-2.2-08 HSP-8-02" => [on("*").act(Act::Text(|text| is_object_without_method(text).then(|| Fate::Answer(refusal(-32601)))))];
    "methodless-ignored", "a request without a method is not answered", "HSP-2.2-08 HSP-8-02" => [on("*").act(Act::Text(|text| is_object_without_method(text).then_some(Fate::Silence)))];
    "odd-method-unknown", "a method that is no text is refused with -32601", "HSP-2.2-09" => [on("*").act(Act::Text(|text| has_odd_method(text).then(|| Fate::Answer(refusal(-32601)))))];
    "odd-method-ignored", "a method that is no text is not answered", "HSP-2.2-09" => [on("*").act(Act::Text(|text| has_odd_method(text).then_some(Fate::Silence)))];
    "odd-method-closes", "a method that is no text closes the connection", "HSP-2.2-09" => [on("*").act(Act::Text(|text| has_odd_method(text).then_some(Fate::Close)))];
    "params-needed", "a request without params is refused", "HSP-2.2-10 HSP-4.1-04" => [on("*").given(|e| params(e).is_none()).refuse(-32602)];
    "params-any", "params that are no object count as none", "HSP-2.2-11" => [on("*").given(|e| params(e).is_some_and(|p| p.members().is_none())).request(|_, exchange| { set(&mut exchange.request, "params", json("{}")); Fate::Forward })];
    "params-otherwise", "params that are no object are an error of the node", "HSP-2.2-11" => [on("*").given(|e| params(e).is_some_and(|p| p.members().is_none())).refuse(-32603)];
    "params-ignored", "a request whose params are no object is not answered", "HSP-2.2-11" => [on("*").given(|e| params(e).is_some_and(|p| p.members().is_none())).act(Act::Hang)];
    "odd-id-closes", "an id that is neither text nor number closes the connection", "HSP-2.2-13" => [on("*").given(odd_id).act(Act::Close)];
    "batch-ignored", "a batch is not answered", "HSP-2.2-14" => [on("*").act(Act::Text(|text| is_batch(text).then_some(Fate::Silence)))];
    "batch-closes", "a batch closes the connection", "HSP-2.2-14" => [on("*").act(Act::Text(|text| is_batch(text).then_some(Fate::Close)))];
    "batch-is-text", "a batch is answered with a text", "HSP-2.2-14" => [on("*").act(Act::Text(|text| is_batch(text).then(|| Fate::Answer(json(r#"{"result":"batch"}"#)))))];
    "empty-batch-otherwise", "an empty batch is refused with -32603", "HSP-2.2-27" => [on("*").act(Act::Text(|text| is_empty_batch(text).then(|| Fate::Answer(refusal(-32603)))))];
    "empty-batch-ignored", "an empty batch is not answered", "HSP-2.2-27 HSP-2.2-14" => [on("*").act(Act::Text(|text| is_empty_batch(text).then_some(Fate::Silence)))];
    "deaf-after-error", "after an error nothing is answered", "HSP-2.2-18" => [
        on("*").answer(|memory, exchange, answer| if answer.get("error").is_some() { memory.put(&exchange.connection.0.to_string(), Json::Bool(true)); }),
        on("*").request(|memory, exchange| if memory.get(&exchange.connection.0.to_string()).is_some() { Fate::Silence } else { Fate::Forward }),
    ];
    "sulks-after-error", "after an error everything is refused", "HSP-2.2-18" => [
        on("*").answer(|memory, exchange, answer| if answer.get("error").is_some() { memory.put(&exchange.connection.0.to_string(), Json::Bool(true)); }),
        on("*").request(|memory, exchange| if memory.get(&exchange.connection.0.to_string()).is_some() { Fate::Answer(refusal(-32603)) } else { Fate::Forward }),
    ];
    "closes-on-refusal", "every refusal closes the connection", "HSP-2.2-18" => [on("*").given(|e| method(&e.method).is_none()).act(Act::Close)];
    "one-at-a-time", "a request while another is under way is refused", "HSP-2.2-15" => [on("*").when(When::Busy).refuse(-32603)];
    "busy-unanswered", "a request while another is under way is not answered", "HSP-2.2-15" => [on("*").when(When::Busy).act(Act::Hang)];
    "busy-swapped", "results of requests at once are swapped", "HSP-2.2-15" => [on("*").when(When::Busy).answer(|memory, exchange, answer| {
        if let Some(result) = inner(answer, "result") {
            let now = result.clone();
            *result = memory.get(&exchange.method).cloned().unwrap_or_else(|| now.clone());
            memory.put(&exchange.method, now);
        }
    })];
    "busy-few", "beyond eight requests under way nothing is answered", "HSP-2.2-15" => [on("*").given(|e| e.under_way > 8).act(Act::Hang)];
    "answers-twice", "every answer comes twice", "HSP-2.2-05 HSP-2.2-15" => [on("*").act(Act::Deliver(Delivery::Twice))];
    "second-client-unheard", "only the first connection is served", "HSP-2.2-23" => [on("*").request(|memory, exchange| {
        let first = memory.first(&format!("first of {}", exchange.connection.0 / 2), &Json::string(exchange.connection.0.to_string()));
        let busy = memory.get("last").is_some_and(|last| *last != Json::string(exchange.connection.0.to_string()));
        memory.put("last", Json::string(exchange.connection.0.to_string()));
        if busy && exchange.count > 3 && first.as_str() != Some("") { Fate::Silence } else { Fate::Forward }
    })];
    "unknown-ignored", "an unknown method is not answered", "HSP-8-03 HSP-3-01 HSP-3-02" => [on("*").given(|e| method(&e.method).is_none()).act(Act::Hang)];
    "unknown-is-null", "an unknown method answers null", "HSP-8-03 HSP-3-01 HSP-3-02" => [on("*").given(|e| method(&e.method).is_none()).say("null")];
    "unknown-action-is-null", "an unknown action of a known primitive answers an empty object", "HSP-3-02 HSP-8-03" => [on("state.* guard.* tool.* memory.* recursive.* learning.* improving.* micropayments.*").given(|e| method(&e.method).is_none()).say("{}")];
    "unknown-primitive-otherwise", "an unknown primitive is refused with -32600", "HSP-3-01 HSP-3-04" => [on("*").given(|e| !e.method.split('.').next().is_some_and(|p| methods().iter().any(|m| m.primitive.name() == p))).refuse(-32600)];
    "any-case", "upper and lower case do not matter in names of methods", "HSP-3-03" => [on("*").request(|_, exchange| {
        if let Some(name) = respelt(exchange) { exchange.method.clone_from(&name); set(&mut exchange.request, "method", Json::string(name)); }
        Fate::Forward
    })];
    "ninth-primitive", "selfImproving is a primitive", "HSP-3-04" => [on("*").request(|_, exchange| {
        if let Some(action) = exchange.method.strip_prefix("selfImproving.") { let name = format!("improving.{action}"); set(&mut exchange.request, "method", Json::string(name)); }
        Fate::Forward
    })];
    "nameless-space", "white space around names of methods does not matter", "HSP-3-02 HSP-8-03 HSP-3-01 HSP-3-03" => [on("*").request(|_, exchange| { let name = exchange.method.trim().to_owned(); set(&mut exchange.request, "method", Json::string(name)); Fate::Forward })];
    "unknown-disturbs", "an unknown method ends sessions", "HSP-3-07" => [
        on("*").request(|memory, exchange| { if method(&exchange.method).is_none() { memory.put(&exchange.connection.0.to_string(), Json::Bool(true)); } Fate::Forward }),
        on("state.* guard.*").answer(|memory, exchange, answer| if memory.get(&exchange.connection.0.to_string()).is_some() && exchange.param("sessionId").is_some() { fail(answer, -32001); }),
    ];
    "large-unanswered", "a request of 64 KiB is not answered", "HSP-2.2-21" => [on("*").given(|e| e.request.to_string().len() >= 64_000).act(Act::Hang)];
    "large-closes", "a request of 64 KiB closes the connection", "HSP-2.2-21" => [on("*").given(|e| e.request.to_string().len() >= 64_000).act(Act::Close)];
    "no-key-needed", "a client without a key is let in", "HSP-2.3-01" => [on("*").act(Act::LetIn(|key| *key == Key::None))];
    "any-key", "a client with a wrong key is let in", "HSP-2.3-02" => [on("*").act(Act::LetIn(|key| matches!(key, Key::Text(_))))];
    "any-session-of-token", "the token of one session reads others", "HSP-2.3-04" => [on("*").act(Act::Recover(&[-32050], json(r#"{"sessionId":"s","value":1,"updated":true,"remaining":1}"#)))];
    "token-after-end", "the token of an ended session still works", "HSP-2.3-03" => [on("state.getSession state.getState state.setState").when(When::From(2)).answer(|_, _, answer| if code(answer) == Some(-32001) { succeed(answer, json(r#"{"sessionId":"s","value":1,"updated":true}"#)); })];
    "refuses-all-32600", "every request is refused with -32600", "HSP-8-03 HSP-3-01 HSP-3-04 HSP-3-05 HSP-2.2-05 HSP-2.2-10 HSP-2.2-15 HSP-2.2-22 HSP-4.1-01" => [on("*").refuse(-32600)];
    "refuses-all-32601", "every method is unknown", "HSP-2.2-07 HSP-2.2-08 HSP-2.2-22 HSP-3-05 HSP-2.2-05 HSP-2.2-10 HSP-2.2-15 HSP-4.1-01" => [on("*").refuse(-32601)];
    "refuses-all-32602", "every request is refused with -32602", "HSP-3-05 HSP-8-03 HSP-3-01 HSP-2.2-10 HSP-4.1-01" => [on("*").refuse(-32602)];
    "refuses-all-32603", "every request fails", "HSP-3-05 HSP-8-03 HSP-3-01 HSP-2.2-10 HSP-4.1-01" => [on("*").refuse(-32603)];
    "answers-all", "every request succeeds with an empty object", "HSP-3-01 HSP-8-03 HSP-4.1-01 HSP-8-04" => [on("*").say("{}")];
    "answers-all-true", "every request answers true", "HSP-3-01 HSP-8-03 HSP-4.1-01" => [on("*").say("true")];
    "result-as-text", "results are JSON in a text", "HSP-4.1-01 HSP-2.2-10 HSP-4.1-06" => [on("*").answer(|_, _, answer| if let Some(result) = inner(answer, "result") { *result = Json::string(result.to_string()); })];
    "result-in-data", "results are in a member data", "HSP-4.1-01 HSP-2.2-10 HSP-4.1-08" => [on("*").answer(|_, _, answer| if let Some(result) = inner(answer, "result") { *result = Json::object([("data", result.clone())]); })];
    "snake-case", "names of members are in snake case", "HSP-4.1-01 HSP-2.2-10" => [on("*").answer(|_, _, answer| if let Some(Json::Object(members)) = inner(answer, "result") {
        for (name, _) in members {
            *name = name.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] }).collect();
        }
    })];
    "not-json", "answers are not JSON", "HSP-2.2-04 HSP-2.2-05 HSP-2.2-06 HSP-4.1-01" => [on("*").act(Act::Write(|answer| format!("answer: {answer}")))];
    "two-in-one", "answers end in a comma", "HSP-2.2-04 HSP-2.2-05 HSP-2.2-06 HSP-4.1-01" => [on("*").act(Act::Write(|answer| format!("{answer},")))];
    "in-array", "every answer is in an array", "HSP-2.2-04 HSP-2.2-05 HSP-2.2-06 HSP-4.1-01" => [on("*").act(Act::Write(|answer| format!("[{answer}]")))];
}
