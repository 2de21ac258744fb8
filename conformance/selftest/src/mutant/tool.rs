//! What goes wrong with tools.
//!
//! A node alone has tools of one reputation and no latency: filters and ranks that need others wait for other peers.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::same;
use crate::edit::{Change, inner, set};
use crate::rule::{When, fail, json, on};
use crate::seam::Exchange;

fn reputation(exchange: &Exchange) -> Option<f64> {
    exchange.param("minReputation").and_then(Json::as_number).map(Number::to_f64)
}

fn nothing_found(answer: &Json) -> bool {
    answer
        .get("result")
        .and_then(|result| result.get("tools"))
        .and_then(Json::items)
        .is_some_and(<[Json]>::is_empty)
}

mutants! { "tool";
    "id-empty", "tool ids are empty", "HSP-4.3-01" => [on("tool.register").gives("toolId", r#""""#)];
    "id-same", "every tool gets the id of the first", "HSP-4.3-01 HSP-4.3-02" => [on("tool.register").answer(same)];
    "register-forgets", "a registered tool is forgotten", "HSP-4.3-02 HSP-4.3-03" => [on("tool.register").say(r#"{"toolId":"tool-000000000000"}"#)];
    "list-empty", "listRegistered is empty", "HSP-4.3-02" => [on("tool.listRegistered").gives("tools", "[]")];
    "list-short", "listRegistered lacks a tool", "HSP-4.3-02" => [on("tool.listRegistered").result("tools", Change::Behead)];
    "list-one", "listRegistered has the last tool alone", "HSP-4.3-02" => [on("tool.listRegistered").answer(|_, _, answer| {
        if let Some(Json::Array(tools)) = inner(answer, "result").and_then(|result| inner(result, "tools")) {
            *tools = tools.pop().into_iter().collect();
        }
    })];
    "list-stranger", "listRegistered has a tool of somebody else", "HSP-4.3-02" => [on("tool.listRegistered").answer(|_, _, answer| {
        if let Some(Json::Array(tools)) = inner(answer, "result").and_then(|result| inner(result, "tools")) {
            let stranger = tools.first().cloned().map(|mut tool| {
                set(&mut tool, "id", Json::string("tool-of-a-stranger"));
                set(&mut tool, "toolId", Json::string("tool-of-a-stranger"));
                tool
            });
            tools.extend(stranger);
        }
    })];
    "list-stale", "listRegistered does not change", "HSP-4.3-02" => [on("tool.listRegistered").answer(same)];
    "discover-nothing", "discover finds nothing", "HSP-4.3-03" => [on("tool.discover").gives("tools", "[]")];
    "discover-unmatched", "discover finds tools that do not match", "HSP-4.3-09" => [on("tool.discover").params("query", Change::Set(Json::string(""))), on("tool.discover").params("capabilities", Change::Drop)];
    "discover-nothing-is-null", "discover answers null where nothing is found", "HSP-4.3-09 HSP-4.3-03" => [on("tool.discover").answer(|_, _, answer| {
        if nothing_found(answer) && let Some(result) = inner(answer, "result") { set(result, "tools", Json::Null); }
    })];
    "discover-nothing-is-error", "discover refuses where nothing is found", "HSP-4.3-09" => [on("tool.discover").answer(|_, _, answer| if nothing_found(answer) { fail(answer, -32603); })];
    "discover-any-capability", "discover ignores capabilities", "HSP-4.3-07" => [on("tool.discover").params("capabilities", Change::Drop)];
    "discover-one-capability", "discover looks at the first capability alone", "HSP-4.3-07" => [on("tool.discover").answer(|_, _, _| {}).request(|_, exchange| {
        if let Some(Json::Array(items)) = inner(&mut exchange.request, "params").and_then(|params| inner(params, "capabilities")) { items.truncate(1); }
        crate::seam::Fate::Forward
    })];
    "discover-ranks-otherwise", "discover puts a tool of bad reputation first", "HSP-4.3-08" => [on("tool.discover").answer(|_, _, answer| {
        if let Some(Json::Array(tools)) = inner(answer, "result").and_then(|result| inner(result, "tools"))
            && tools.len() > 1 && let Some(first) = tools.first_mut()
        {
            set(first, "reputation", json("0.01"));
        }
    })];
    "discover-low", "discover answers reputations below minReputation", "HSP-4.3-04 HSP-4.3-03" => [on("tool.discover").when(When::Has("minReputation")).gives("tools/*/reputation", "0.01")];
    "discover-slow", "discover answers latencies above maxLatency", "HSP-4.3-05" => [on("tool.discover").when(When::Has("maxLatency")).gives("tools/*/avgLatency", "999999")];
    "discover-incapable", "discovered tools have no capabilities", "HSP-4.3-07 HSP-4.3-03" => [on("tool.discover").gives("tools/*/capabilities", "[]")];
    "discover-misnamed", "discovered tools have another name", "HSP-4.3-03" => [on("tool.discover").gives("tools/*/name", r#""tool""#)];
    "discover-id-other", "discovered tools have an id that was never given out", "HSP-4.3-03 HSP-4.3-11" => [on("tool.discover").gives("tools/*/id", r#""tool-other""#)];
    "discover-plain-array", "discover answers the array itself", "HSP-4.3-03" => [on("tool.discover").answer(|_, _, answer| {
        if let Some(tools) = answer.get("result").and_then(|result| result.get("tools")).cloned() { set(answer, "result", tools); }
    })];
    "discover-flat-schema", "discovered tools have their schema as text", "HSP-4.3-03" => [on("tool.discover").answer(|_, _, answer| {
        if let Some(Json::Array(tools)) = inner(answer, "result").and_then(|result| inner(result, "tools")) {
            for tool in tools { let text = tool.get("schema").map(ToString::to_string).unwrap_or_default(); set(tool, "schema", Json::string(text)); }
        }
    })];
    "reputation-too-small-taken", "a minReputation below 0 is taken", "HSP-4.3-20" => [on("tool.discover").given(|e| reputation(e).is_some_and(|r| r < 0.0)).say(r#"{"tools":[]}"#)];
    "reputation-too-great-taken", "a minReputation above 1 is taken", "HSP-4.3-20" => [on("tool.discover").given(|e| reputation(e).is_some_and(|r| r > 1.0)).say(r#"{"tools":[]}"#)];
    "query-needed", "a search with capabilities alone is refused", "HSP-4.3-03 HSP-4.3-07" => [on("tool.discover").when(When::Has("capabilities")).refuse(-32602)];
    "filters-refused", "a search with minReputation is refused", "HSP-4.3-03 HSP-4.3-04" => [on("tool.discover").when(When::Has("minReputation")).refuse(-32602)];
    "latency-refused", "a search with maxLatency is refused", "HSP-4.3-05 HSP-4.3-03" => [on("tool.discover").when(When::Has("maxLatency")).refuse(-32602)];
    "geo-refused", "a search with geo is refused", "HSP-4.3-03 HSP-4.3-06" => [on("tool.discover").when(When::Has("geo")).refuse(-32602)];
    "invoke-flat", "invoke answers the tool's output itself", "HSP-4.3-11" => [on("tool.invoke").answer(|_, _, answer| {
        if let Some(output) = answer.get("result").and_then(|result| result.get("result")).cloned() { set(answer, "result", output); }
    })];
    "invoke-negative", "invoke took negative time", "HSP-4.3-11" => [on("tool.invoke").gives("duration", "-1")];
    "invoke-otherwise", "the tool's output is another one", "HSP-4.3-13" => [on("tool.invoke").gives("result", r#"{"output":"something"}"#)];
    "invoke-wrapped", "the tool's output comes in an object", "HSP-4.3-13" => [on("tool.invoke").answer(|_, _, answer| {
        if let Some(output) = inner(answer, "result").and_then(|result| inner(result, "result")) { *output = Json::object([("output", output.clone())]); }
    })];
    "invoke-ascii", "the tool's output loses letters outside ASCII", "HSP-4.3-13" => [on("tool.invoke").result("result", Change::Ascii)];
    "invoke-params-lost", "the provider gets no parameters", "HSP-4.3-13" => [on("*").act(crate::rule::Act::Order(|order| {
        if let Some(params) = inner(order, "params") { set(params, "params", json("{}")); }
    }))];
    "invoke-peer-other", "invoke names another peer than discovery", "HSP-4.3-12" => [on("tool.invoke").gives("peerId", r#""12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN""#)];
    "invoke-unknown", "invoking a tool that does not exist succeeds", "HSP-4.3-14" => [on("tool.invoke").recover(&[], r#"{"result":null,"duration":1,"peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}"#)];
    "invoke-unknown-null", "invoking a tool that does not exist answers null", "HSP-4.3-14" => [on("tool.invoke").recover(&[], "null")];
    "analytics-stale", "invocations are not counted", "HSP-4.3-17" => [on("tool.getAnalytics").gives("invocations", "0")];
    "analytics-double", "each invocation counts twice", "HSP-4.3-17" => [on("tool.getAnalytics").result("invocations", Change::Times(2.0))];
    "analytics-percent", "successRate is in percent", "HSP-4.3-17" => [on("tool.getAnalytics").gives("successRate", "100")];
    "analytics-negative-rate", "successRate is negative", "HSP-4.3-17" => [on("tool.getAnalytics").gives("successRate", "-0.5")];
    "analytics-negative", "avgLatency is negative", "HSP-4.3-17" => [on("tool.getAnalytics").gives("avgLatency", "-1")];
    "analytics-shared", "all tools have the analytics of the first", "HSP-4.3-17" => [on("tool.getAnalytics").answer(same)];
}
