//! What goes wrong with sessions and what is kept in them.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use crate::edit::{Change, double, has_unicode, inner, set};
use crate::rule::{Memory, When, fail, on, refusal};
use crate::seam::{Exchange, Fate};

const ACCESS: &str = "state.setState state.getState";
const SESSION: &str = "state.getSession state.setState state.getState state.endSession state.recordEpisode";

/// Gives the result of the first call to all later ones.
pub(super) fn same(memory: &mut Memory, exchange: &Exchange, answer: &mut Json) {
    if let Some(result) = inner(answer, "result") {
        *result = memory.first(&exchange.method, result);
    }
}

/// Lets calls of all sessions go to the first one that was named.
pub(super) fn one_session(memory: &mut Memory, exchange: &mut Exchange) -> Fate {
    if let Some(session) =
        inner(&mut exchange.request, "params").and_then(|params| inner(params, "sessionId"))
        && session.as_str().is_some()
    {
        *session = memory.first("session", session);
    }
    Fate::Forward
}

/// Answers a getter with what it said first about the same thing.
pub(super) fn stale(memory: &mut Memory, exchange: &Exchange, answer: &mut Json) {
    let about = format!("{} {}", exchange.method, exchange.request.get("params").unwrap_or(&Json::Null));
    if let Some(result) = inner(answer, "result") {
        *result = memory.first(&about, result);
    }
}

fn value(answer: &mut Json, change: impl Fn(&mut Json)) {
    if let Some(value) = inner(answer, "result").and_then(|result| inner(result, "value")) {
        change(value);
    }
}

fn each(value: &mut Json, change: &impl Fn(&mut Json)) {
    if let Json::Array(items) = value {
        items.iter_mut().for_each(|item| each(item, change));
    } else if let Json::Object(members) = value {
        members.iter_mut().for_each(|(_, inner)| each(inner, change));
    } else {
        change(value);
    }
}

fn depth(value: &mut Json, left: usize) {
    if let Json::Array(items) = value {
        if left == 0 {
            items.clear();
        }
        items.iter_mut().for_each(|item| depth(item, left.saturating_sub(1)));
    } else if let Json::Object(members) = value {
        if left == 0 {
            members.clear();
        }
        members.iter_mut().for_each(|(_, inner)| depth(inner, left.saturating_sub(1)));
    }
}

fn number(exchange: &Exchange, name: &str) -> Option<f64> {
    exchange.param(name).and_then(Json::as_number).map(Number::to_f64)
}

fn written(exchange: &Exchange) -> String {
    let name = |name| exchange.param(name).map(ToString::to_string).unwrap_or_default();
    format!("{} {}", name("sessionId"), name("key"))
}

fn ended(exchange: &Exchange) -> String {
    format!("ended {}", exchange.param("sessionId").map(ToString::to_string).unwrap_or_default())
}

mutants! { "state";
    "same-session", "every new session is the first one", "HSP-4.1-02 HSP-4.1-11 HSP-4.2-17" => [on("state.createSession").answer(same)];
    "empty-session-id", "session ids are empty", "HSP-4.1-02 HSP-4.1-01" => [on("state.createSession").gives("sessionId", r#""""#)];
    "session-repeats", "every second session has the id of the one before", "HSP-4.1-02" => [on("state.createSession").answer(|memory, exchange, answer| {
        if exchange.count % 2 == 0 && let Some(result) = inner(answer, "result") {
            *result = memory.get("last").cloned().unwrap_or(Json::Null);
        } else if let Some(result) = answer.get("result") {
            memory.put("last", result.clone());
        }
    })];
    "created-unix", "createdAt is a number of milliseconds as text", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""1773835200000""#)];
    "created-local", "createdAt has no zone", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""2026-03-18T12:00:00.000""#)];
    "created-space", "createdAt has a space for the T", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""2026-03-18 12:00:00""#)];
    "created-mail", "createdAt is a date as in mails", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""Wed, 18 Mar 2026 12:00:00 GMT""#)];
    "created-date", "createdAt is a day without a time", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""2026-03-18""#)];
    "created-month-13", "createdAt is in a month that no year has", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""2026-13-18T12:00:00.000Z""#)];
    "created-offset", "createdAt is not in UTC", "HSP-4.1-03" => [on("state.createSession").gives("createdAt", r#""2026-03-18T12:00:00.000+02:00""#)];
    "created-seconds", "createdAt has no milliseconds", "HSP-4.1-24" => [on("state.createSession").gives("createdAt", r#""2026-03-18T12:00:00Z""#)];
    "name-needed", "a session needs agentName", "HSP-4.1-04 HSP-2.2-10" => [on("state.createSession").when(When::Lacks("agentName")).refuse(-32602)];
    "type-needed", "a session needs agentType", "HSP-4.1-04" => [on("state.createSession").when(When::Lacks("agentType")).refuse(-32602)];
    "metadata-needed", "a session needs metadata", "HSP-4.1-04" => [on("state.createSession").when(When::Lacks("metadata")).refuse(-32602)];
    "params-needed", "a session needs params, if empty ones", "HSP-4.1-04 HSP-2.2-10" => [on("state.createSession").given(|e| e.request.get("params").is_none()).refuse(-32602)];
    "session-of-another", "getSession describes another session", "HSP-4.1-06" => [on("state.getSession").answer(same)];
    "set-says-false", "setState answers updated false", "HSP-4.1-08" => [on("state.setState").gives("updated", "false")];
    "set-forgets", "setState writes nothing", "HSP-4.1-09 HSP-4.1-10 HSP-4.1-26" => [on("state.setState").say(r#"{"updated":true}"#)];
    "first-write-wins", "a key keeps its first value", "HSP-4.1-10" => [on("state.setState").request(|memory, exchange| {
        if memory.count(&written(exchange)) > 1 {
            return Fate::Answer(Json::object([("result", Json::object([("updated", Json::Bool(true))]))]));
        }
        Fate::Forward
    })];
    "second-write-lost", "every second write is lost", "HSP-4.1-10 HSP-4.1-09" => [on("state.setState").request(|memory, _| {
        if memory.count("writes") % 2 == 0 {
            return Fate::Answer(Json::object([("result", Json::object([("updated", Json::Bool(true))]))]));
        }
        Fate::Forward
    })];
    "reads-stale", "a key reads as it did the first time", "HSP-4.1-10 HSP-4.1-11" => [on("state.getState").answer(stale)];
    "sessions-leak", "all sessions have the same keys", "HSP-4.1-11" => [on(ACCESS).request(one_session)];
    "keys-ignore-case", "keys differ by more than case or are the same", "HSP-4.1-11 HSP-4.1-09 HSP-4.1-10" => [on(ACCESS).request(|_, exchange| {
        if let Some(Json::String(key)) = inner(&mut exchange.request, "params").and_then(|params| inner(params, "key")) {
            *key = key.to_lowercase();
        }
        Fate::Forward
    })];
    "value-null-as-text", "null reads as text", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if matches!(value, Json::Null) { *value = Json::string("null"); }
    }))];
    "value-false-lost", "false reads as null", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if value.as_bool() == Some(false) { *value = Json::Null; }
    }))];
    "value-zero-lost", "0 reads as null", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if *value == Json::integer(0) { *value = Json::Null; }
    }))];
    "value-empty-lost", "an empty text reads as null", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if value.as_str() == Some("") { *value = Json::Null; }
    }))];
    "value-empty-array-lost", "an empty array reads as null", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if value.items().is_some_and(<[Json]>::is_empty) { *value = Json::Null; }
    }))];
    "value-empty-object-lost", "an empty object reads as null", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if value.members().is_some_and(<[_]>::is_empty) { *value = Json::Null; }
    }))];
    "value-numbers-as-text", "numbers read as text", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| each(value, &|leaf| {
        if let Some(number) = leaf.as_number() { *leaf = Json::string(number.as_str()); }
    })))];
    "value-single", "numbers keep seven digits", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| each(value, &|leaf| {
        if let Some(number) = leaf.as_number() { *leaf = double(f64::from(number.to_f64() as f32)); }
    })))];
    "value-whole", "numbers lose their fraction", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| each(value, &|leaf| {
        if let Some(number) = leaf.as_number() { *leaf = double(number.to_f64().trunc()); }
    })))];
    "value-shallow", "what is nested deeper than two levels is lost", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| depth(value, 2)))];
    "value-ascii", "letters outside ASCII are lost", "HSP-4.1-09" => [on("state.getState").result("value", Change::Ascii)];
    "value-unicode-mangled", "texts outside ASCII read as if they were Latin-1", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if has_unicode(value) {
            each(value, &|leaf| if let Json::String(text) = leaf { *text = text.bytes().map(char::from).collect(); });
        }
    }))];
    "value-trimmed", "texts lose white space at their ends", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| each(value, &|leaf| {
        if let Json::String(text) = leaf { *text = text.trim().to_owned(); }
    })))];
    "value-wrapped", "getState answers the stored value in an object", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        *value = Json::object([("value", value.clone())]);
    }))];
    "value-members-lower", "names of members are lower case when they come back", "HSP-4.1-09" => [on("state.getState").answer(|_, _, answer| value(answer, |value| {
        if let Json::Object(members) = value { members.iter_mut().for_each(|(name, _)| *name = name.to_lowercase()); }
    }))];
    "end-says-false", "endSession answers ended false", "HSP-4.1-14" => [on("state.endSession").gives("ended", "false")];
    "end-negative", "duration is negative", "HSP-4.1-14" => [on("state.endSession").gives("duration", "-5")];
    "end-constant", "duration is always the same", "HSP-4.1-15" => [on("state.endSession").gives("duration", "3420")];
    "end-shrinks", "duration is shorter the longer a session lived", "HSP-4.1-15" => [on("state.endSession").answer(|_, _, answer| {
        if let Some(duration) = inner(answer, "result").and_then(|result| inner(result, "duration"))
            && let Some(old) = duration.as_number().map(Number::to_f64)
        {
            *duration = double((1e9 - old).max(0.0));
        }
    })];
    "end-does-nothing", "a session lives on after its end", "HSP-4.1-16 HSP-4.1-17 HSP-2.3-03" => [on("state.endSession").say(r#"{"ended":true,"duration":5}"#)];
    "end-ends-all", "one session's end ends another", "HSP-4.1-16 HSP-4.1-11 HSP-4.1-08" => [
        on("state.endSession").answer(|memory, exchange, _| { memory.put(&ended(exchange), Json::Bool(true)); memory.put("any", Json::Bool(true)); }),
        on("state.setState state.getState").answer(|memory, _, answer| if memory.get("any").is_some() { fail(answer, -32001); }),
    ];
    "end-twice", "a second end says ended true again", "HSP-4.1-17" => [on("state.endSession").answer(|memory, exchange, answer| {
        if answer.get("error").is_some() && memory.get(&ended(exchange)).is_some() {
            crate::rule::succeed(answer, crate::rule::json(r#"{"ended":true,"duration":5}"#));
        }
        memory.put(&ended(exchange), Json::Bool(true));
    })];
    "end-still-writable", "an ended session takes writes", "HSP-4.1-16" => [
        on("state.endSession").answer(|memory, exchange, _| memory.put(&ended(exchange), Json::Bool(true))),
        on("state.setState").answer(|memory, exchange, answer| if memory.get(&ended(exchange)).is_some() {
            crate::rule::succeed(answer, crate::rule::json(r#"{"updated":true}"#));
        }),
    ];
    "end-still-records", "an ended session takes episodes", "HSP-4.1-16" => [
        on("state.endSession").answer(|memory, exchange, _| memory.put(&ended(exchange), Json::Bool(true))),
        on("state.recordEpisode").answer(|memory, exchange, answer| if memory.get(&ended(exchange)).is_some() {
            crate::rule::succeed(answer, crate::rule::json(r#"{"episodeId":"ep-1"}"#));
        }),
    ];
    "end-still-spends", "an ended session spends", "HSP-4.1-16" => [
        on("state.endSession").answer(|memory, exchange, _| memory.put(&ended(exchange), Json::Bool(true))),
        on("guard.consumeBudget").answer(|memory, exchange, answer| if memory.get(&ended(exchange)).is_some() {
            crate::rule::succeed(answer, crate::rule::json(r#"{"remaining":0.5}"#));
        }),
    ];
    "episode-id-empty", "episode ids are empty", "HSP-4.1-18" => [on("state.recordEpisode").gives("episodeId", r#""""#)];
    "reward-least-refused", "a reward of -1 is refused", "HSP-4.1-19" => [on("state.recordEpisode").given(|e| number(e, "reward") == Some(-1.0)).refuse(-32602)];
    "reward-most-refused", "a reward of 1 is refused", "HSP-4.1-19" => [on("state.recordEpisode").given(|e| number(e, "reward") == Some(1.0)).refuse(-32602)];
    "reward-none-refused", "a reward of 0 is refused", "HSP-4.1-19" => [on("state.recordEpisode").given(|e| number(e, "reward") == Some(0.0)).refuse(-32602)];
    "reward-above", "a reward above 1 is taken", "HSP-4.1-20" => [on("state.recordEpisode").given(|e| number(e, "reward").is_some_and(|r| r > 1.0)).say(r#"{"episodeId":"ep-1"}"#)];
    "reward-below", "a reward below -1 is taken", "HSP-4.1-20" => [on("state.recordEpisode").given(|e| number(e, "reward").is_some_and(|r| r < -1.0)).say(r#"{"episodeId":"ep-1"}"#)];
    "reward-slightly-above", "a reward slightly above 1 is taken", "HSP-4.1-20" => [on("state.recordEpisode").given(|e| number(e, "reward").is_some_and(|r| r > 1.0 && r < 1.05)).say(r#"{"episodeId":"ep-1"}"#)];
    "reward-negative-refused", "only positive rewards are taken", "HSP-4.1-19" => [on("state.recordEpisode").given(|e| number(e, "reward").is_some_and(|r| r < 0.0)).refuse(-32602)];
    "connection-bound", "a session dies with its connection", "HSP-4.1-22" => [
        on("state.createSession").answer(|memory, exchange, answer| {
            if let Some(id) = answer.get("result").and_then(|result| result.get("sessionId")) {
                memory.put(&id.to_string(), Json::string(exchange.connection.0.to_string()));
            }
        }),
        on(SESSION).request(|memory, exchange| {
            let home = exchange.param("sessionId").and_then(|id| memory.get(&id.to_string())).and_then(Json::as_str);
            if home.is_some_and(|home| *home != exchange.connection.0.to_string()) {
                return Fate::Answer(refusal(-32001));
            }
            Fate::Forward
        }),
    ];
    "values-connection-bound", "what a session keeps is seen only on the connection that wrote it", "HSP-4.1-22" => [on(ACCESS).request(|_, exchange| {
        let connection = exchange.connection.0;
        if let Some(Json::String(key)) = inner(&mut exchange.request, "params").and_then(|params| inner(params, "key")) {
            key.push_str(&connection.to_string());
        }
        Fate::Forward
    })];
    "restart-forgets", "a restart forgets everything", "HSP-4.1-23" => [on("*").act(crate::rule::Act::Forget)];
    "sessions-second-broken", "only the first session keeps values", "HSP-4.1-09 HSP-4.1-11" => [on("state.setState").request(|memory, exchange| {
        let session = exchange.param("sessionId").cloned().unwrap_or(Json::Null);
        if memory.first("session", &session) != session {
            return Fate::Answer(Json::object([("result", Json::object([("updated", Json::Bool(true))]))]));
        }
        Fate::Forward
    })];
    "unicode-keys-merge", "keys that differ outside ASCII are the same", "HSP-4.1-09 HSP-4.1-10 HSP-4.1-11" => [on(ACCESS).when(When::Unicode).params("key", Change::Ascii)];
    "parallel-writes-lost", "a write is lost while other requests are under way", "HSP-4.1-09 HSP-2.2-15" => [on("state.setState").when(When::Busy).say(r#"{"updated":true}"#)];
    "extra-null", "an unknown session reads as null", "HSP-4.1-07" => [on("state.getSession").answer(|_, _, answer| {
        if answer.get("error").is_some() { crate::rule::succeed(answer, Json::Null); }
    })];
    "error-in-result", "errors come as results", "HSP-4.1-07 HSP-4.1-13 HSP-8-05" => [on("state.*").answer(|_, _, answer| {
        if let Some(error) = answer.get("error").cloned() {
            let mut result = Json::object([("error", error)]);
            set(&mut result, "ok", Json::Bool(false));
            crate::rule::succeed(answer, result);
        }
    })];
}
