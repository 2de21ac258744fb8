//! Parameters that are not looked at, made from the table of methods: required ones that may be missing, any type taken,
//! sessions that need not exist, members refused that a newer client may send.

use hyperspace_conformance::json::Json;
use hyperspace_conformance::registry::{Basis, Field, Kind, Method, SessionUse, method, methods};

use super::Mutant;
use crate::rule::{Act, Rule, code, on, succeed};
use crate::seam::Exchange;

/// A result that looks right.
fn plausible(method: &Method) -> Json {
    let value = |field: &Field| {
        let text = field.valid().map_or_else(|| "\"text\"".to_owned(), |value| value.to_string());
        Json::parse(&text).unwrap_or(Json::Null)
    };
    Json::object(
        method.result.iter().filter(|field| field.required).map(|field| (field.name.clone(), value(field))),
    )
}

fn value(json: &Json) -> serde_json::Value {
    serde_json::from_str(&json.to_string()).unwrap_or_default()
}

fn lacks(exchange: &Exchange, method: &Method) -> bool {
    method.params.iter().any(|field| field.required && exchange.param(&field.name).is_none())
}

fn ill_typed(exchange: &Exchange, method: &Method) -> bool {
    let wrong = |field: &Field| {
        field.basis != Basis::Implied
            && field.kind != Kind::Json
            && exchange.param(&field.name).is_some_and(|given| !field.kind.accepts(&value(given)))
    };
    method.params.iter().any(wrong)
}

fn recovered(exchange: &Exchange, answer: &mut Json, wrong: fn(&Exchange, &Method) -> bool) {
    if let Some(method) = method(&exchange.method)
        && matches!(code(answer), Some(-32602 | -32600))
        && wrong(exchange, method)
    {
        succeed(answer, plausible(method));
    }
}

fn of(method: &Method, out: &mut Vec<Mutant>) {
    let (primitive, name) = (method.primitive.name(), &method.name);
    let mut add = |kind: &str, says: String, violates: &str, rule: Rule| {
        out.push(Mutant::new(format!("{primitive}/{name}.{kind}"), says, violates, vec![rule]));
    };
    if method.params.iter().any(|field| field.required) {
        add(
            "incomplete",
            format!("{name} succeeds without a required parameter"),
            "HSP-4.1-21 HSP-4.3-18",
            on(name).answer(|_, exchange, answer| recovered(exchange, answer, lacks)),
        );
    }
    if method.params.iter().any(|field| field.basis != Basis::Implied && field.kind != Kind::Json) {
        add(
            "untyped",
            format!("{name} succeeds with a parameter of the wrong type"),
            "HSP-8-04 HSP-4.1-05 HSP-4.2-25 HSP-4.3-18",
            on(name).answer(|_, exchange, answer| recovered(exchange, answer, ill_typed)),
        );
        add(
            "typed-otherwise",
            format!("{name} refuses a parameter of the wrong type with -32603"),
            "HSP-8-04 HSP-4.1-05 HSP-4.2-25 HSP-4.3-18",
            on(name).act(Act::Code(-32602, -32603)),
        );
    }
    let session = match method.session {
        SessionUse::Required => "HSP-8-05",
        SessionUse::Optional => "HSP-8-15 HSP-4.3-16",
        SessionUse::None => return,
    };
    let own = match primitive {
        "state" => "HSP-4.1-07 HSP-4.1-13",
        "guard" => "HSP-4.2-18",
        "recursive" => "HSP-4.5-13",
        _ => "",
    };
    let violates = format!("{session} {own}");
    add(
        "any-session",
        format!("{name} succeeds for a session that does not exist"),
        &violates,
        on(name).act(Act::Recover(&[-32001], plausible(method))),
    );
    add(
        "session-otherwise",
        format!("{name} refuses a session that does not exist with -32602"),
        &violates,
        on(name).act(Act::Code(-32001, -32602)),
    );
}

/// See the module's text.
pub(super) fn all() -> Vec<Mutant> {
    let mut out = Vec::new();
    for method in methods() {
        of(method, &mut out);
    }
    out.push(Mutant::new(
        "transport/strict-params",
        "a parameter that a method does not know is refused with -32602",
        "HSP-2.2-22",
        vec![on("*").request(|_, exchange| {
            let unknown =
                |name: &str| method(&exchange.method).is_some_and(|method| method.param(name).is_none());
            let params = exchange.request.get("params").and_then(Json::members).unwrap_or_default();
            if params.iter().any(|(name, _)| unknown(name)) {
                return crate::seam::Fate::Answer(crate::rule::refusal(-32602));
            }
            crate::seam::Fate::Forward
        })],
    ));
    out
}
