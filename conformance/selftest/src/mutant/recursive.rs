//! What goes wrong with loops and depths.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::one_session;
use crate::edit::{Change, inner, set};
use crate::rule::{When, code, fail, on};
use crate::seam::Exchange;

fn stack(exchange: &Exchange) -> usize {
    exchange.param("callStack").and_then(Json::items).map_or(0, <[Json]>::len)
}

fn loops(answer: &Json) -> bool {
    answer.get("result").and_then(|result| result.get("isLooping")) == Some(&Json::Bool(true))
}

fn at_least(exchange: &Exchange, name: &str) -> f64 {
    exchange.param(name).and_then(Json::as_number).map_or(f64::MAX, Number::to_f64)
}

const NO_LOOP: &str = r#"{"isLooping":false,"recommendation":"continue"}"#;

mutants! { "recursive";
    "looping-inverted", "analyze says the opposite", "HSP-4.5-02 HSP-4.5-03 HSP-4.5-08" => [on("recursive.analyze").result("isLooping", Change::Not)];
    "never-looping", "analyze never sees a loop", "HSP-4.5-02 HSP-4.5-08" => [on("recursive.analyze").say(NO_LOOP)];
    "always-looping", "analyze always sees a loop", "HSP-4.5-03 HSP-4.5-08" => [on("recursive.analyze").gives("isLooping", "true")];
    "loop-is-error", "a loop is an error", "HSP-4.5-02 HSP-4.5-01" => [on("recursive.analyze").answer(|_, _, answer| if loops(answer) { fail(answer, -32005); })];
    "long-not-seen", "loops in long stacks are not seen", "HSP-4.5-08" => [on("recursive.analyze").given(|e| stack(e) > 9).say(NO_LOOP)];
    "short-not-seen", "loops in short stacks are not seen", "HSP-4.5-08" => [on("recursive.analyze").given(|e| stack(e) < 6).say(NO_LOOP)];
    "long-is-loop", "a long stack is a loop", "HSP-4.5-03 HSP-4.5-08" => [on("recursive.analyze").given(|e| stack(e) > 4).gives("isLooping", "true")];
    "only-repetition-seen", "only one step twice in a row is a loop", "HSP-4.5-02 HSP-4.5-08" => [on("recursive.analyze").given(|e| {
        let stack = e.param("callStack").and_then(Json::items).unwrap_or_default();
        !stack.windows(2).any(|two| two[0] == two[1])
    }).say(NO_LOOP)];
    "pattern-lost", "a loop has no pattern", "HSP-4.5-04" => [on("recursive.analyze").result("pattern", Change::Drop)];
    "pattern-always", "what does not loop has a pattern", "HSP-4.5-03" => [on("recursive.analyze").answer(|_, _, answer| {
        if !loops(answer) && let Some(result) = inner(answer, "result") { set(result, "pattern", Json::string("a -> b")); }
    })];
    "pattern-commas", "the steps of a pattern have commas between", "HSP-4.5-04" => [on("recursive.analyze").answer(|_, _, answer| {
        if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "pattern")) { *text = text.replace(" -> ", ","); }
    })];
    "pattern-one-step", "a pattern has its first step alone", "HSP-4.5-04" => [on("recursive.analyze").answer(|_, _, answer| {
        if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "pattern")) { *text = text.split(" -> ").next().unwrap_or_default().to_owned(); }
    })];
    "pattern-array", "a pattern is an array", "HSP-4.5-04 HSP-4.5-01" => [on("recursive.analyze").answer(|_, _, answer| {
        if let Some(pattern) = inner(answer, "result").and_then(|result| inner(result, "pattern")) { *pattern = Json::Array(vec![pattern.clone()]); }
    })];
    "depth-off", "depth is one too many", "HSP-4.5-05" => [on("recursive.analyze").result("depth", Change::Add(1.0))];
    "iterations-unlimited", "maxIterations changes nothing", "HSP-4.5-07" => [on("recursive.analyze").params("maxIterations", Change::Drop)];
    "always-continue", "the recommendation is always to continue", "HSP-4.5-07" => [on("recursive.analyze").gives("recommendation", r#""continue""#)];
    "iterations-needed", "analyze needs maxIterations", "HSP-4.5-01 HSP-4.5-02" => [on("recursive.analyze").when(When::Lacks("maxIterations")).refuse(-32602)];
    "track-says-false", "track answers tracked false", "HSP-4.5-09" => [on("recursive.track").gives("tracked", "false")];
    "track-depth-off", "track answers a depth of one more", "HSP-4.5-09" => [on("recursive.track").result("depth", Change::Add(1.0))];
    "track-depth-one", "track answers depth 1", "HSP-4.5-09" => [on("recursive.track").gives("depth", "1")];
    "track-does-nothing", "what is tracked is forgotten", "HSP-4.5-12" => [on("recursive.track").say(r#"{"tracked":true,"depth":1}"#)];
    "track-too-deep", "track goes on above the maximum depth", "HSP-4.5-10 HSP-8-09" => [on("recursive.track").answer(|_, exchange, answer| {
        if code(answer) == Some(-32005) {
            crate::rule::succeed(answer, Json::object([("tracked", Json::Bool(true)), ("depth", exchange.param("depth").cloned().unwrap_or(Json::Null))]));
        }
    })];
    "track-stops-early", "the maximum depth itself is refused", "HSP-4.5-09 HSP-4.5-10" => [on("recursive.setMaxDepth").params("maxDepth", Change::Add(-1.0))];
    "track-allows-one-more", "one more than the maximum depth is taken", "HSP-4.5-10" => [on("recursive.setMaxDepth").params("maxDepth", Change::Add(1.0))];
    "trace-reversed", "getTrace has the last step first", "HSP-4.5-12" => [on("recursive.getTrace").result("steps", Change::Reverse)];
    "trace-short", "getTrace lacks the first step", "HSP-4.5-12" => [on("recursive.getTrace").result("steps", Change::Behead)];
    "trace-twice", "getTrace has the first step twice", "HSP-4.5-12" => [on("recursive.getTrace").result("steps", Change::Stutter)];
    "trace-empty", "getTrace has no steps", "HSP-4.5-12" => [on("recursive.getTrace").gives("steps", "[]")];
    "trace-depth-off", "maxDepth of a trace is one too many", "HSP-4.5-12" => [on("recursive.getTrace").result("maxDepth", Change::Add(1.0))];
    "trace-depth-length", "maxDepth of a trace is its length", "HSP-4.5-12" => [on("recursive.getTrace").answer(|_, _, answer| {
        let length = answer.get("result").and_then(|result| result.get("steps")).and_then(Json::items).map_or(0, <[Json]>::len);
        if let Some(result) = inner(answer, "result") { set(result, "maxDepth", Json::integer(length as i64)); }
    })];
    "trace-total-negative", "totalIterations is negative", "HSP-4.5-12" => [on("recursive.getTrace").gives("totalIterations", "-1")];
    "traces-shared", "all sessions have one trace", "HSP-4.5-12" => [on("recursive.track recursive.getTrace").request(one_session)];
    "max-says-false", "setMaxDepth answers updated false", "HSP-4.5-11" => [on("recursive.setMaxDepth").gives("updated", "false")];
    "max-does-nothing", "setMaxDepth changes nothing", "HSP-4.5-10 HSP-8-09" => [on("recursive.setMaxDepth").say(r#"{"updated":true}"#)];
    "max-zero-taken", "a maximum depth of 0 is taken", "HSP-4.5-14" => [on("recursive.setMaxDepth").given(|e| at_least(e, "maxDepth") == 0.0).say(r#"{"updated":true}"#)];
    "max-negative-taken", "a negative maximum depth is taken", "HSP-4.5-14" => [on("recursive.setMaxDepth").given(|e| at_least(e, "maxDepth") < 0.0).say(r#"{"updated":true}"#)];
}
