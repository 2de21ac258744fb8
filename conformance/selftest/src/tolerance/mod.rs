//! Legal variants: nodes that do otherwise what the text leaves open. A judge that fails one of them is wrong.

mod write;

use core::time::Duration;

use hyperspace_conformance::json::Json;
use hyperspace_conformance::target::Target;

use crate::edit::{Change, double, inner, set};
use crate::reference::Reference;
use crate::rule::{Act, Memory, Rule, Ruled, When, code, fail, json, on, refusal, succeed};
use crate::seam::{Delivery, Exchange, Fate, Seam};

/// A node that is right in another way.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub id: String,
    /// What it does, in a sentence.
    pub says: String,
    rules: Vec<Rule>,
    bare: bool,
}

impl Variant {
    fn new(id: &str, says: &str, rules: Vec<Rule>) -> Self {
        Self { id: format!("tolerance/{id}"), says: says.to_owned(), rules, bare: false }
    }

    /// A fresh one.
    #[must_use]
    pub fn target(&self, seed: u64) -> Box<dyn Target> {
        let reference = if self.bare { Reference::bare(seed) } else { Reference::new(seed) };
        Box::new(Seam::new(reference, self.id.clone(), Box::new(Ruled::new(self.rules.clone()))))
    }
}

const PRIMITIVES: [&str; 8] =
    ["state", "guard", "tool", "memory", "recursive", "learning", "improving", "micropayments"];

/// Before every id that is given out, by the variant `longer-ids`.
const MARK: &str = "urn:node:é:";

const IDS: [&str; 7] = ["sessionId", "toolId", "id", "bulletId", "trajectoryId", "channelId", "episodeId"];

fn mark(value: &mut Json) {
    if let Json::Array(items) = value {
        items.iter_mut().for_each(mark);
    } else if let Json::Object(members) = value {
        for (name, inner) in members {
            match inner {
                Json::String(text) if IDS.contains(&name.as_str()) => text.insert_str(0, MARK),
                Json::Array(items) if name == "prunedBullets" || name == "removed" => {
                    for item in items {
                        if let Json::String(text) = item {
                            text.insert_str(0, MARK);
                        }
                    }
                }
                // What is stored comes back as it is.
                _ if matches!(
                    name.as_str(),
                    "value" | "content" | "metadata" | "input" | "output" | "steps" | "schema"
                ) => {}
                Json::Null
                | Json::Bool(_)
                | Json::Number(_)
                | Json::String(_)
                | Json::Array(_)
                | Json::Object(_) => {
                    mark(inner);
                }
            }
        }
    }
}

fn unmark(_: &mut Memory, exchange: &mut Exchange) -> Fate {
    if let Some(Json::Object(members)) = inner(&mut exchange.request, "params") {
        for (_, value) in members {
            if let Json::String(text) = value
                && let Some(own) = text.strip_prefix(MARK)
            {
                *text = own.to_owned();
            }
        }
    }
    Fate::Forward
}

/// Extra members in a result and in all objects below it that are of the protocol and not of a user.
fn extra(_: &mut Memory, _: &Exchange, answer: &mut Json) {
    set(answer, "x-node", json(r#"{"version":"9.9"}"#));
    if let Some(result) = inner(answer, "result")
        && result.members().is_some()
    {
        set(result, "xExtra", json(r#"[1,{"two":null}]"#));
        set(result, "_", Json::Bool(true));
        for name in ["tools", "memories", "bullets", "newBullets", "exemplars", "topContributors"] {
            if let Some(Json::Array(items)) = inner(result, name) {
                items.iter_mut().for_each(|item| set(item, "xExtra", Json::string("more")));
            }
        }
    }
    if let Some(error) = inner(answer, "error") {
        set(error, "xExtra", Json::Null);
    }
}

/// Members the other way round, at every depth of what is the protocol's.
fn shuffled(_: &mut Memory, _: &Exchange, answer: &mut Json) {
    fn turn(value: &mut Json) {
        if let Json::Array(items) = value {
            items.iter_mut().for_each(turn);
        } else if let Json::Object(members) = value {
            members.reverse();
            members.iter_mut().for_each(|(_, inner)| turn(inner));
        }
    }
    turn(answer);
}

/// Every string of a result that is a time is written otherwise.
fn times(answer: &mut Json, write: impl Fn(&str) -> String) {
    fn walk(value: &mut Json, write: &dyn Fn(&str) -> String) {
        if let Json::Array(items) = value {
            items.iter_mut().for_each(|item| walk(item, write));
        } else if let Json::Object(members) = value {
            for (name, inner) in members {
                match inner {
                    Json::String(text) if matches!(name.as_str(), "createdAt" | "resetAt" | "openedAt") => {
                        *text = write(text);
                    }
                    Json::Null
                    | Json::Bool(_)
                    | Json::Number(_)
                    | Json::String(_)
                    | Json::Array(_)
                    | Json::Object(_) => {
                        walk(inner, write);
                    }
                }
            }
        }
    }
    if let Some(result) = inner(answer, "result") {
        walk(result, &write);
    }
}

fn forms() -> Vec<Variant> {
    vec![
        Variant::new(
            "extra-members",
            "results, errors and answers have members that the text does not know",
            vec![on("*").answer(extra)],
        ),
        Variant::new("member-order", "members come in another order", vec![on("*").answer(shuffled)]),
        Variant::new(
            "whole-as-decimal",
            "whole numbers are written as 1.0",
            vec![on("*").act(Act::Write(write::decimals))],
        ),
        Variant::new(
            "exponents",
            "numbers are written with an exponent",
            vec![on("*").act(Act::Write(write::exponents))],
        ),
        Variant::new(
            "pretty",
            "answers are written over many lines",
            vec![on("*").act(Act::Write(write::pretty))],
        ),
        Variant::new(
            "white-space",
            "answers have white space around them",
            vec![on("*").act(Act::Write(|answer| format!("\r\n\t {answer} \n")))],
        ),
        Variant::new(
            "escapes",
            "letters outside ASCII and slashes are escaped",
            vec![on("*").act(Act::Write(write::escaped))],
        ),
        Variant::new(
            "long-ids",
            "ids are long and have letters outside ASCII",
            vec![
                on("*").request(unmark),
                on("*").answer(|_, _, answer| {
                    if let Some(result) = inner(answer, "result") {
                        mark(result);
                    }
                }),
            ],
        ),
        Variant::new(
            "microseconds",
            "times have microseconds",
            vec![on("*").answer(|_, _, answer| times(answer, |text| text.replace('Z', "123Z")))],
        ),
        Variant::new(
            "no-fraction",
            "times have whole seconds",
            vec![on("*").answer(|_, _, answer| {
                times(answer, |text| text.split('.').next().unwrap_or_default().to_owned() + "Z")
            })],
        ),
        Variant::new(
            "zero-offset",
            "times end in +00:00",
            vec![on("*").answer(|_, _, answer| times(answer, |text| text.replace('Z', "+00:00")))],
        ),
        Variant::new("silent-errors", "errors have no data", vec![on("*").error("data", Change::Drop)]),
        Variant::new(
            "telling-errors",
            "errors have data of their own",
            vec![on("*").answer(|_, _, answer| {
                if let Some(error) = inner(answer, "error") {
                    if error.get("data").is_none() {
                        set(error, "data", json(r#"["why",1]"#));
                    }
                    if let Some(data) = inner(error, "data") {
                        set(data, "traceId", Json::string("abc"));
                    }
                }
            })],
        ),
        Variant::new(
            "other-messages",
            "messages of errors are other words",
            vec![on("*").error("message", Change::Set(Json::string("Das ging nicht. é")))],
        ),
        Variant::new(
            "empty-messages",
            "messages of errors are empty",
            vec![on("*").error("message", Change::Set(Json::string("")))],
        ),
        Variant::new(
            "optional-absent",
            "what the signatures do not have is absent",
            vec![
                on("guard.*").result("reason", Change::Drop),
                on("recursive.analyze").result("iterations", Change::Drop),
                on("recursive.analyze").result("depth", Change::Drop),
                on("improving.getExemplars").result("exemplars/*/output", Change::Drop),
                on("state.createSession").result("sessionToken", Change::Drop),
                on("micropayments.channel.pay").result("voucher", Change::Drop),
                on("memory.search").result("partial", Change::Drop),
                on("guard.checkSafety").result("flags", Change::Drop),
            ],
        ),
    ]
}

fn manners() -> Vec<Variant> {
    vec![
        Variant::new("out-of-order", "of answers at once the last comes first", vec![on("*").act(Act::Deliver(Delivery::Last))]),
        Variant::new("slow", "every answer takes 200 ms", vec![on("*").act(Act::Deliver(Delivery::After(Duration::from_millis(200))))]),
        Variant::new("very-slow", "every answer takes two seconds", vec![on("*").act(Act::Deliver(Delivery::After(Duration::from_secs(2))))]),
        Variant::new("some-slow", "the answers of one primitive overtake those of others", vec![on("state.* memory.* improving.*").act(Act::Deliver(Delivery::After(Duration::from_millis(70))))]),
        Variant::new("missing-is-32600", "a missing parameter is refused with -32600", vec![on("*").answer(|_, exchange, answer| {
            let lacks = hyperspace_conformance::registry::method(&exchange.method).is_some_and(|method| {
                method.params.iter().any(|field| field.required && exchange.param(&field.name).is_none())
            });
            if lacks && code(answer) == Some(-32602) { fail(answer, -32600); }
        })]),
        Variant::new("params-32600", "params that are no object are refused with -32600", vec![on("*").given(|e| e.request.get("params").is_some_and(|p| p.members().is_none())).refuse(-32600)]),
        Variant::new("id-demanded", "a request without an id is refused", vec![on("*").given(|e| e.id.is_none()).refuse(-32600)]),
        Variant::new("null-id-refused", "a request with the id null is refused", vec![on("*").given(|e| matches!(e.id, Some(Json::Null))).refuse(-32600)]),
        Variant::new("no-batches", "a batch is refused", vec![on("*").act(Act::Text(|text| text.trim_start().starts_with('[').then(|| if Json::parse(text).is_ok() { Fate::Answer(refusal(-32600)) } else { Fate::Forward })))]),
        Variant::new("end-again-false", "a second end of a session answers ended false", vec![on("state.endSession").given(|e| e.param("sessionId").and_then(Json::as_str).is_some()).answer(|memory, exchange, answer| {
            let name = exchange.param("sessionId").map(ToString::to_string).unwrap_or_default();
            if code(answer) == Some(-32001) && memory.get(&name).is_some() { succeed(answer, json(r#"{"ended":false,"duration":0}"#)); }
            memory.put(&name, Json::Bool(true));
        })]),
        Variant::new("seconds", "durations are in seconds", vec![on("state.endSession tool.invoke").result("duration", Change::Times(0.001))]),
        Variant::new("rate-by-error", "a rate limit that is reached is -32003", vec![on("guard.checkRateLimit").answer(|_, _, answer| {
            if answer.get("result").and_then(|result| result.get("allowed")) == Some(&Json::Bool(false)) { fail(answer, -32003); }
        })]),
        Variant::new("reset-as-number", "resetAt is in milliseconds of Unix time", vec![on("guard.checkRateLimit").answer(|_, _, answer| {
            if let Some(reset) = inner(answer, "result").and_then(|result| inner(result, "resetAt"))
                && let Some(unix) = reset.as_str().and_then(write::unix_ms)
            {
                *reset = double(unix);
            }
        })]),
        Variant::new("denied-without-reason", "a denied check has no reason", vec![on("guard.checkBudget").result("reason", Change::Drop)]),
        Variant::new("errors-empty", "valid data have an empty list of errors", vec![on("guard.validate").answer(|_, _, answer| if let Some(result) = inner(answer, "result") && result.get("errors").is_none() { set(result, "errors", json("[]")); })]),
        Variant::new("not-found-32010", "what does not exist, sessions apart, is a code of its own", vec![on("tool.invoke tool.getAnalytics memory.get memory.delete memory.archive learning.feedback improving.augment micropayments.channel.pay micropayments.channel.close").answer(|_, _, answer| {
            let reason = answer.get("error").and_then(|error| error.get("data")).and_then(|data| data.get("reason"));
            if reason.and_then(Json::as_str) == Some("not_found") { fail(answer, -32010); }
        })]),
        Variant::new("absent-key-is-error", "a key that was never written is an error", vec![on("state.getState").answer(|_, _, answer| {
            let value = answer.get("result").and_then(|result| result.get("value"));
            if answer.get("result").is_some() && value.is_none() { fail(answer, -32010); }
        })]),
        Variant::new("delete-again-error", "a second delete is an error", vec![on("memory.delete").answer(|_, _, answer| {
            if answer.get("result").and_then(|result| result.get("deleted")) == Some(&Json::Bool(false)) { fail(answer, -32602); }
        })]),
        Variant::new("too-deep-is-false", "too great a depth is tracked false", vec![on("recursive.track").answer(|_, exchange, answer| {
            if code(answer) == Some(-32005) {
                let depth = exchange.param("depth").cloned().unwrap_or(Json::Null);
                succeed(answer, Json::object([("tracked", Json::Bool(false)), ("depth", depth)]));
            }
        })]),
        Variant::new("loop-words", "recommendations are other words", vec![on("recursive.analyze").answer(|_, _, answer| if let Some(Json::String(word)) = inner(answer, "result").and_then(|result| inner(result, "recommendation")) { *word = format!("please {word}"); })]),
        Variant::new("pattern-rotated", "the pattern of a loop begins elsewhere", vec![on("recursive.analyze").answer(|_, _, answer| if let Some(Json::String(text)) = inner(answer, "result").and_then(|result| inner(result, "pattern")) {
            let mut steps: Vec<&str> = text.split(" -> ").collect();
            steps.rotate_left(1);
            *text = steps.join(" -> ");
        })]),
        Variant::new("difficulty-words", "recommendations about difficulty are other words", vec![on("improving.assessDifficulty").gives("recommendation", r#""do as you like""#)]),
        Variant::new("channel-id-named-id", "the id of a channel is its id", vec![on("micropayments.channel.open").result("channelId", Change::Rename("id".to_owned()))]),
        Variant::new("bullet-ids-free", "bullets have ids of another form", vec![
            on("learning.*").request(unmark),
            on("learning.*").answer(|_, _, answer| if let Some(result) = inner(answer, "result") { mark(result); }),
        ]),
        Variant::new("invalid-trajectory-32602", "an invalid trajectory is refused as a wrong parameter", vec![on("improving.recordTrajectory").act(Act::Code(-32008, -32602))]),
        Variant::new("later-parse-id-absent", "a parse error has no id", vec![on("*").act(Act::Text(|text| Json::parse(text).is_err().then_some(Fate::Forward))), on("*").act(Act::Write(|answer| {
            let mut answer = answer.clone();
            if code(&answer) == Some(-32700) { crate::edit::Edit::new("id", Change::Drop).apply(&mut answer); }
            answer.to_string()
        }))]),
        Variant::new("reputation-high", "own tools have a good reputation", vec![on("tool.discover").when(When::Lacks("minReputation")).gives("tools/*/reputation", "0.94")]),
    ]
}

/// All variants, each id once.
#[must_use]
pub fn all() -> Vec<Variant> {
    let mut out = forms();
    out.extend(manners());
    for only in PRIMITIVES {
        let others = PRIMITIVES.iter().filter(|other| **other != only).map(|other| format!("{other}.*"));
        let others = others.collect::<Vec<_>>().join(" ");
        let says = format!("only the primitive {only} is served");
        out.push(Variant::new(&format!("only-{only}"), &says, vec![on(&others).refuse(-32601)]));
    }
    let two = "tool.* memory.* recursive.* learning.* improving.* micropayments.*";
    out.push(Variant::new("only-state-and-guard", "two primitives are served", vec![on(two).refuse(-32601)]));
    let mut bare = Variant::new("bare", "there is no key, no control hook and no restart", Vec::new());
    bare.bare = true;
    out.push(bare);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_enough_and_each_is_there_once() {
        let ids: BTreeSet<String> = all().into_iter().map(|variant| variant.id).collect();
        assert_eq!(ids.len(), all().len());
        assert!(ids.len() >= 40, "{}", ids.len());
    }
}
