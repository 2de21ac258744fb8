//! Cases made from the table of methods (`methods.toml`), so that each of the 44 is asked the same questions. For a method M:
//!
//! * `methods/M/result`: it takes what the table says, with and without what is optional, and its result has the members of its
//!   signature. It is the twin of the others.
//! * `methods/M/missing`: without any one required parameter it is refused with -32602 or -32600 (HSP-4.1-21).
//! * `methods/M/wrong-type`: with a parameter of another type it is refused with -32602 (HSP-8-04). Where only its name tells the
//!   type, what happens is recorded.
//! * `methods/M/unknown-session`: for an unknown session it answers -32001 (HSP-8-05; HSP-8-15 where a session is optional).
//!
//! They are written as text and then read, so that they can be shown as any other.

use core::fmt::Write;

use serde_json::{Value, json};

use crate::case::{Case, ParseError};
use crate::registry::{Basis, Field, Kind, Method, Profile, SessionUse, methods};

/// A name that only this run of this case uses ([`crate::case::UNIQUE`]).
const OWN: &str = "$UNIQUE";
/// A session that nobody has.
const NO_SESSION: &str = "hyperlab-no-such-session";

/// The generated cases.
///
/// # Errors
/// The table has something that cannot stand in a case; a test sees to it that it has not.
pub fn generated() -> Result<Vec<Case>, ParseError> {
    let read =
        |(id, text): (String, String)| Case::parse(&id, &format!("generated from methods.toml: {id}"), &text);
    texts().into_iter().map(read).collect()
}

/// Id and text of each generated case.
#[must_use]
pub fn texts() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for method in methods() {
        let id = |what: &str| format!("methods/{}/{what}", method.name);
        out.push((id("result"), result(method)));
        let cases = [
            ("missing", missing(method)),
            ("wrong-type", wrong_type(method)),
            ("unknown-session", unknown_session(method)),
        ];
        out.extend(cases.into_iter().filter_map(|(what, text)| Some((id(what), text?))));
    }
    out
}

/// Title, profile, requirements, twin.
fn header(method: &Method, title: &str, requires: &str, twin: bool) -> String {
    let mut text = format!(
        "title: {} {title}\nprofile: {}\nrequires: {requires}\n",
        method.name,
        method.primitive.name()
    );
    if twin {
        let _ = writeln!(text, "twin: methods/{}/result", method.name);
    }
    text.push('\n');
    text
}

/// The steps that make what the parameters refer to, with the names that they get.
fn fixtures(method: &Method) -> String {
    let mut text = String::new();
    for field in &method.params {
        let Some(what) = field.refers.as_deref() else { continue };
        let (call, bind) = match what {
            "session" => {
                text.push_str("@session SESSION\n");
                continue;
            }
            // Playbooks begin with their first bullet; there is no method that makes one.
            "playbook" if matches!(method.name.as_str(), "learning.addBullet" | "learning.reflect") => {
                continue;
            }
            "playbook" => (bullet(), json!({"bulletId": "$bind BULLET $nonempty"})),
            "bullet" => continue,
            "tool" => (tool(), json!({"toolId": "$bind TOOL $nonempty"})),
            "memory" => (
                json!({"method": "memory.store", "params": {"content": OWN}}),
                json!({"id": "$bind MEMORY $nonempty"}),
            ),
            "trajectory" => (trajectory(), json!({"trajectoryId": "$bind TRAJECTORY $nonempty"})),
            // How an opened channel names itself is not said; the method that pays calls it channelId.
            _ => (
                channel(),
                json!({"$any_of": [{"channelId": "$bind CHANNEL $nonempty"}, {"id": "$bind CHANNEL $nonempty"}]}),
            ),
        };
        let _ = writeln!(text, ">> rpc {call}\n<< rpc setup {}", json!({"result": bind}));
    }
    if method.name == "tool.invoke" {
        text.push_str("@answer A tool.execute {\"results\": []}\n");
    }
    text
}

fn bullet() -> Value {
    let params = json!({"playbookId": OWN, "section": "str", "content": "Check the unit before the sum."});
    json!({"method": "learning.addBullet", "params": params})
}

fn tool() -> Value {
    let schema = json!({"input": {"type": "object"}, "output": {"type": "object"}});
    let params =
        json!({"name": OWN, "description": "for a check", "schema": schema, "capabilities": ["search"]});
    json!({"method": "tool.register", "params": params})
}

fn trajectory() -> Value {
    let steps = json!([{"action": "search", "tool": "web-search", "duration": 310}]);
    let params = json!({
        "taskType": OWN, "input": {"query": "text"}, "output": {"summary": "text"}, "steps": steps, "reward": 0.88
    });
    json!({"method": "improving.recordTrajectory", "params": params})
}

fn channel() -> Value {
    let payee = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    json!({"method": "micropayments.channel.open", "params": {"payee": payee, "budget": 5.0, "currency": "USDC"}})
}

/// A value that the method takes for a parameter.
fn valid(field: &Field) -> Value {
    match field.refers.as_deref() {
        None => field.valid().unwrap_or(Value::Null),
        Some("playbook") => json!(OWN),
        Some(what) => json!(format!("${}", what.to_uppercase())),
    }
}

fn call(method: &Method, takes: impl Fn(&Field) -> Option<Value>) -> String {
    let params: serde_json::Map<String, Value> =
        method.params.iter().filter_map(|field| Some((field.name.clone(), takes(field)?))).collect();
    format!(">> rpc {}\n", json!({"method": method.name, "params": params}))
}

fn result(method: &Method) -> String {
    let mut text =
        header(method, "takes what its signature says and answers what it says", &method.shape, false);
    text.push_str(&fixtures(method));
    let wanted = wanted(method);
    text.push_str(&call(method, |field| field.required.then(|| valid(field))));
    let _ = writeln!(text, "<< rpc {wanted}");
    // What an optional parameter takes has to be known, or refusing it is the target's right.
    let known = |field: &Field| field.required || matches!(field.basis, Basis::Stated | Basis::Example);
    if method.params.iter().any(|field| !field.required && known(field)) {
        text.push_str(&call(method, |field| known(field).then(|| valid(field))));
        let _ = writeln!(text, "<< rpc {wanted}");
    }
    text
}

/// What the answer to a valid call looks like.
fn wanted(method: &Method) -> Value {
    let members: serde_json::Map<String, Value> =
        method.result.iter().map(|field| (field.name.clone(), member(field))).collect();
    let result = if method.returns.is_some() { json!("$object") } else { Value::Object(members) };
    let answer = json!({ "result": result });
    // No credential is valid for everybody: that one is refused is as good an answer.
    if method.name == "micropayments.verify" {
        return json!({"$any_of": [{"result": {"accepted": "$bool"}}, {"error": {"code": {"$not": {"$enum": [-32601, -32600]}}}}]});
    }
    answer
}

/// A member of a result: there if it must be, of its type if that is known.
fn member(field: &Field) -> Value {
    let kind = kind(field);
    let known = match field.basis {
        Basis::Stated | Basis::Example => kind,
        Basis::Implied | Basis::Inherited => json!({"$all_of": ["$any", {"$should": kind}]}),
    };
    match (field.extra, field.required) {
        (true, _) => json!({"$opt": {"$should": known}}),
        (false, false) => json!({"$opt": known}),
        (false, true) => known,
    }
}

fn kind(field: &Field) -> Value {
    if !field.values.is_empty() {
        return json!({"$enum": field.values});
    }
    let range = |whole: bool| {
        let mut range = serde_json::Map::new();
        let bounds = [("min", field.min), ("max", field.max)];
        range.extend(bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?)))));
        if whole {
            range.insert("whole".to_owned(), json!(true));
        }
        json!({ "$num": range })
    };
    match field.kind {
        Kind::String => json!("$string"),
        Kind::Number => range(false),
        Kind::Integer => range(true),
        Kind::Boolean => json!("$bool"),
        Kind::Object => json!("$object"),
        Kind::Json => json!("$any"),
        Kind::Array => {
            let members: serde_json::Map<String, Value> =
                field.items.iter().map(|item| (item.name.clone(), of_item(item))).collect();
            match (field.items.is_empty(), field.item) {
                (false, _) => json!({"$each": members}),
                (true, Some(item)) => json!({"$each": word(item)}),
                (true, None) => json!("$array"),
            }
        }
    }
}

/// A member of an item. What was given without something may show that as null: the examples only show what was given.
fn of_item(field: &Field) -> Value {
    match (field.kind, field.required) {
        (Kind::Object, true) => json!({"$any_of": [member(field), "$null"]}),
        _ => member(field),
    }
}

fn word(kind: Kind) -> Value {
    json!(match kind {
        Kind::String => "$string",
        Kind::Number => "$number",
        Kind::Integer => "$int",
        Kind::Boolean => "$bool",
        Kind::Object => "$object",
        Kind::Array => "$array",
        Kind::Json => "$any",
    })
}

fn missing(method: &Method) -> Option<String> {
    let mut text = header(method, "is refused without a required parameter", "HSP-4.1-21", true);
    text.push_str(&fixtures(method));
    let required: Vec<&Field> = method.params.iter().filter(|field| field.required).collect();
    for absent in &required {
        let _ = writeln!(text, "# {}", absent.name);
        text.push_str(&call(method, |field| {
            (field.required && field.name != absent.name).then(|| valid(field))
        }));
        text.push_str("<< rpc {\"error\": {\"code\": {\"$enum\": [-32602, -32600]}}}\n");
    }
    (!required.is_empty()).then_some(text)
}

fn wrong_type(method: &Method) -> Option<String> {
    let mut text = header(method, "is refused with a parameter of another type", "HSP-8-04", true);
    text.push_str(&fixtures(method));
    let mut any = false;
    for wrong in &method.params {
        let Some(value) = wrong.kind.ill_typed() else { continue };
        any = true;
        let _ = writeln!(text, "# {}", wrong.name);
        text.push_str(&call(method, |field| match field.name == wrong.name {
            true => Some(value.clone()),
            false => field.required.then(|| valid(field)),
        }));
        // What is no text at all is an invalid session id too (section 8).
        let codes = if wrong.refers.as_deref() == Some("session") {
            "{\"$enum\": [-32602, -32001]}"
        } else {
            "-32602"
        };
        let cite = if matches!(wrong.basis, Basis::Stated | Basis::Example) { "" } else { "info HSP-8-04 " };
        let _ = writeln!(text, "<< rpc {cite}{{\"error\": {{\"code\": {codes}}}}}");
    }
    any.then_some(text)
}

fn unknown_session(method: &Method) -> Option<String> {
    let requires = match (method.session, method.primitive) {
        (SessionUse::None, _) => return None,
        (SessionUse::Optional, _) => "HSP-8-15",
        (SessionUse::Required, Profile::Recursive) => "HSP-8-05 HSP-4.5-13",
        (SessionUse::Required, _) => "HSP-8-05",
    };
    let mut text = header(method, "does not know a session that nobody made", requires, true);
    if method.session == SessionUse::Optional {
        text.push_str(&fixtures(method));
    }
    text.push_str(&call(method, |field| match field.refers.as_deref() {
        Some("session") => Some(json!(NO_SESSION)),
        _ => field.required.then(|| valid(field)),
    }));
    text.push_str("<< rpc {\"error\": {\"code\": -32001}}\n");
    Some(text)
}
