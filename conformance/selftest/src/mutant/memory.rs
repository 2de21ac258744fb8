//! What goes wrong with memories.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::same;
use crate::edit::{Change, Edit, inner, set};
use crate::rule::{When, fail, json, on, refusal, succeed};
use crate::seam::{Exchange, Fate};

fn id(exchange: &Exchange) -> String {
    exchange.param("id").map(ToString::to_string).unwrap_or_default()
}

fn offset(exchange: &Exchange) -> f64 {
    exchange.param("offset").and_then(Json::as_number).map_or(0.0, Number::to_f64)
}

fn memories(answer: &mut Json, change: impl FnOnce(&mut Vec<Json>)) {
    if let Some(Json::Array(found)) = inner(answer, "result").and_then(|result| inner(result, "memories")) {
        change(found);
    }
}

mutants! { "memory";
    "id-empty", "memory ids are empty", "HSP-4.4-01" => [on("memory.store").gives("id", r#""""#)];
    "id-same", "every memory gets the id of the first", "HSP-4.4-01 HSP-4.4-02" => [on("memory.store").answer(same)];
    "store-forgets", "what is stored is forgotten", "HSP-4.4-02 HSP-4.4-04 HSP-4.4-12" => [on("memory.store").say(r#"{"id":"mem-000000000000","peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","replicas":1}"#)];
    "get-short", "content is cut after 16 letters", "HSP-4.4-02" => [on("memory.get").answer(|_, _, answer| {
        if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "content")) { *text = text.chars().take(16).collect(); }
    })];
    "get-ascii", "content loses letters outside ASCII", "HSP-4.4-02" => [on("memory.get").result("content", Change::Ascii)];
    "get-lower", "content is lower case", "HSP-4.4-02" => [on("memory.get").answer(|_, _, answer| {
        if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "content")) { *text = text.to_lowercase(); }
    })];
    "get-trimmed", "content loses white space at its ends", "HSP-4.4-02" => [on("memory.get").answer(|_, _, answer| {
        if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "content")) { *text = text.trim().to_owned(); }
    })];
    "get-of-another", "get answers another memory", "HSP-4.4-02" => [on("memory.get").answer(same)];
    "metadata-lost", "metadata are lost", "HSP-4.4-02" => [on("memory.get").gives("metadata", "{}")];
    "metadata-partial", "metadata lose arrays", "HSP-4.4-02" => [on("memory.get").answer(|_, _, answer| {
        if let Some(Json::Object(members)) = inner(answer, "result").and_then(|result| inner(result, "metadata")) { members.retain(|(_, value)| value.items().is_none()); }
    })];
    "metadata-ascii", "metadata lose letters outside ASCII", "HSP-4.4-02" => [on("memory.get").result("metadata", Change::Ascii)];
    "metadata-refused", "a memory with metadata is refused", "HSP-4.4-01 HSP-4.4-02" => [on("memory.store").when(When::Has("metadata")).refuse(-32602)];
    "metadata-needed", "a memory without metadata is refused", "HSP-4.4-01" => [on("memory.store").when(When::Lacks("metadata")).refuse(-32602)];
    "session-needed", "a memory without a session is refused", "HSP-4.4-01" => [on("memory.store").when(When::Lacks("sessionId")).refuse(-32602)];
    "get-unknown", "a memory that does not exist is empty", "HSP-4.4-03" => [on("memory.get").recover(&[], r#"{"content":"","metadata":{},"peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}"#)];
    "get-unknown-null", "a memory that does not exist is null", "HSP-4.4-03" => [on("memory.get").recover(&[], "null")];
    "search-nothing", "a search finds nothing", "HSP-4.4-04 HSP-4.4-09" => [on("memory.search").gives("memories", "[]")];
    "search-any", "a search ignores the threshold", "HSP-4.4-05" => [on("memory.search").params("threshold", Change::Drop)];
    "search-below", "a search answers similarities below the threshold", "HSP-4.4-05" => [on("memory.search").when(When::Has("threshold")).gives("memories/*/similarity", "0.001")];
    "search-all", "a search ignores the limit", "HSP-4.4-06" => [on("memory.search").params("limit", Change::Drop)];
    "search-one-more", "a search finds one more than the limit", "HSP-4.4-06" => [on("memory.search").params("limit", Change::Add(1.0))];
    "search-reversed", "a search gives the least similar memory first", "HSP-4.4-07" => [on("memory.search").result("memories", Change::Reverse)];
    "search-percent", "similarities are in percent", "HSP-4.4-08" => [on("memory.search").result("memories/*/similarity", Change::Times(100.0))];
    "search-negative", "similarities are below -1", "HSP-4.4-08 HSP-4.4-05" => [on("memory.search").result("memories/*/similarity", Change::Add(-3.0))];
    "search-misses", "a search misses the best memory", "HSP-4.4-09" => [on("memory.search").result("memories", Change::Behead)];
    "search-otherwise", "a search looks for something else", "HSP-4.4-09" => [on("memory.search").params("query", Change::Set(Json::string("zymurgy")))];
    "search-any-tier", "a search ignores the tier", "HSP-4.4-10" => [on("memory.search").params("tier", Change::Drop)];
    "search-any-session", "a search ignores the session", "HSP-4.4-11" => [on("memory.search").params("sessionId", Change::Drop)];
    "search-negative-time", "searchTime is negative", "HSP-4.4-04" => [on("memory.search").gives("searchTime", "-1")];
    "search-time-unset", "searchTime is null", "HSP-4.4-04" => [on("memory.search").gives("searchTime", "null")];
    "search-created-unix", "createdAt of a found memory is a number", "HSP-4.4-04" => [on("memory.search").gives("memories/*/createdAt", "1773835200000")];
    "search-content-short", "a search answers the beginning of contents", "HSP-4.4-04 HSP-4.4-09" => [on("memory.search").answer(|_, _, answer| memories(answer, |found| for memory in found {
        if let Some(Json::String(text)) = inner(memory, "content") { *text = text.chars().take(8).collect(); }
    }))];
    "search-same-id", "found memories have one id", "HSP-4.4-04" => [on("memory.search").gives("memories/*/id", r#""mem-1""#)];
    "search-twice", "a search finds the best memory twice", "HSP-4.4-06 HSP-4.4-04" => [on("memory.search").result("memories", Change::Stutter)];
    "threshold-refused", "a search with a threshold is refused", "HSP-4.4-05 HSP-4.4-04" => [on("memory.search").when(When::Has("threshold")).refuse(-32602)];
    "tier-refused", "a search with a tier is refused", "HSP-4.4-10 HSP-4.4-04" => [on("memory.search").when(When::Has("tier")).refuse(-32602)];
    "limit-refused", "a search with a limit is refused", "HSP-4.4-06 HSP-4.4-04" => [on("memory.search").when(When::Has("limit")).refuse(-32602)];
    "list-total-off", "total is one too many", "HSP-4.4-12" => [on("memory.list").result("total", Change::Add(1.0))];
    "list-total-of-page", "total is the length of the page", "HSP-4.4-12" => [on("memory.list").answer(|_, _, answer| {
        let length = answer.get("result").and_then(|result| result.get("memories")).and_then(Json::items).map_or(0, <[Json]>::len);
        if let Some(result) = inner(answer, "result") { set(result, "total", Json::integer(length as i64)); }
    })];
    "list-no-offset", "list ignores offset", "HSP-4.4-12" => [on("memory.list").params("offset", Change::Drop)];
    "list-offset-from-one", "list counts offset from 1", "HSP-4.4-12" => [on("memory.list").given(|e| offset(e) > 0.0).params("offset", Change::Add(-1.0))];
    "list-offset-skips", "list skips one memory between pages", "HSP-4.4-12" => [on("memory.list").given(|e| offset(e) > 0.0).params("offset", Change::Add(1.0))];
    "list-no-limit", "list ignores limit", "HSP-4.4-12" => [on("memory.list").params("limit", Change::Drop)];
    "list-one-more", "list gives one more than limit", "HSP-4.4-12" => [on("memory.list").params("limit", Change::Add(1.0))];
    "list-short", "list lacks a memory", "HSP-4.4-12" => [on("memory.list").result("memories", Change::Behead)];
    "list-twice", "list has a memory twice", "HSP-4.4-12" => [on("memory.list").result("memories", Change::Stutter)];
    "list-empty", "list is empty", "HSP-4.4-12" => [on("memory.list").gives("memories", "[]")];
    "list-total-shrinks", "total is what is left after offset", "HSP-4.4-12" => [on("memory.list").answer(|_, exchange, answer| {
        if let Some(result) = inner(answer, "result") { Edit::new("total", Change::Add(-offset(exchange))).apply(result); }
    })];
    "list-limit-needed", "list needs limit", "HSP-4.4-12" => [on("memory.list").when(When::Lacks("limit")).refuse(-32602)];
    "delete-says-false", "delete answers deleted false", "HSP-4.4-13" => [on("memory.delete").gives("deleted", "false")];
    "delete-does-nothing", "a deleted memory is still there", "HSP-4.4-13 HSP-4.4-14" => [on("memory.delete").say(r#"{"deleted":true}"#)];
    "delete-still-got", "a deleted memory can still be got", "HSP-4.4-13" => [
        on("memory.delete").answer(|memory, exchange, _| memory.put(&id(exchange), Json::Bool(true))),
        on("memory.get").answer(|memory, exchange, answer| if memory.get(&id(exchange)).is_some() {
            succeed(answer, json(r#"{"content":"gone","metadata":{},"peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}"#));
        }),
    ];
    "delete-still-found", "a deleted memory can still be found", "HSP-4.4-13" => [
        on("memory.search").answer(|memory, exchange, answer| {
            let query = exchange.param("query").map(ToString::to_string).unwrap_or_default();
            let found = answer.get("result").cloned().unwrap_or(Json::Null);
            if let Some(old) = memory.get(&query).cloned()
                && old.get("memories").and_then(Json::items).map_or(0, <[Json]>::len) > found.get("memories").and_then(Json::items).map_or(0, <[Json]>::len)
            {
                set(answer, "result", old);
            } else {
                memory.put(&query, found);
            }
        }),
    ];
    "delete-twice", "a second delete says deleted true again", "HSP-4.4-14" => [on("memory.delete").answer(|_, _, answer| succeed(answer, json(r#"{"deleted":true}"#)))];
    "delete-all", "a delete takes other memories along", "HSP-4.4-13 HSP-4.4-02" => [
        on("memory.delete").answer(|memory, _, _| memory.put("all", Json::Bool(true))),
        on("memory.get").request(|memory, _| if memory.get("all").is_some() { Fate::Answer(refusal(-32602)) } else { Fate::Forward }),
    ];
    "archive-says-false", "archive answers archived false", "HSP-4.4-15" => [on("memory.archive").gives("archived", "false")];
    "archive-cold", "archive answers the tier cold", "HSP-4.4-15" => [on("memory.archive").gives("tier", r#""cold""#)];
    "archive-working", "archive answers the tier working", "HSP-4.4-15" => [on("memory.archive").gives("tier", r#""working""#)];
    "archive-does-nothing", "an archived memory stays in working", "HSP-4.4-16" => [on("memory.archive").say(r#"{"archived":true,"tier":"archival"}"#)];
    "archive-hides", "an archived memory cannot be got", "HSP-4.4-16" => [
        on("memory.archive").answer(|memory, exchange, _| memory.put(&id(exchange), Json::Bool(true))),
        on("memory.get").answer(|memory, exchange, answer| if memory.get(&id(exchange)).is_some() { fail(answer, -32602); }),
    ];
    "archive-not-found", "archived memories are not found", "HSP-4.4-16" => [on("memory.search").given(|e| e.param("tier").and_then(Json::as_str) == Some("archival")).gives("memories", "[]")];
    "parallel-lost", "a memory stored while other requests are under way is lost", "HSP-4.4-12 HSP-4.4-02 HSP-2.2-15" => [on("memory.store").when(When::Busy).say(r#"{"id":"mem-000000000000","peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","replicas":1}"#)];
    "replication-unnoticed", "a write that too few took succeeds", "HSP-8-11 HSP-4.4-18" => [on("memory.store").recover(&[-32007], r#"{"id":"mem-000000000000","peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","replicas":1}"#)];
    "policy-unnoticed", "content that violates the policy is stored", "HSP-8-08" => [on("memory.store").recover(&[-32004], r#"{"id":"mem-000000000000","peerId":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","replicas":1}"#)];
}
