//! The reference by hand, as the judge's runner would use it.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn say(target: &mut Reference, at: ConnectionId, text: &str) {
    target.send(at, &Outgoing::Text(text.to_owned()), SECOND).expect("the connection is open");
}

fn hear(target: &mut Reference) -> (ConnectionId, Json) {
    let until = target.now() + SECOND;
    let Some((at, Incoming::Text(text))) = target.receive(until) else { panic!("an answer") };
    (at, Json::parse(&text).expect("JSON"))
}

fn ask(target: &mut Reference, at: ConnectionId, method: &str, params: &str) -> Json {
    say(target, at, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#));
    let (_, answer) = hear(target);
    answer.get("result").or(answer.get("error")).expect("an answer").clone()
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).expect("a string")
}

#[test]
fn sessions_have_budgets_and_survive_a_restart() {
    let mut target = Reference::new(1);
    let a = target.connect(&Key::Given, SECOND).unwrap();
    let session = ask(&mut target, a, "state.createSession", "{}");
    let id = text(&session, "sessionId").to_owned();
    let order = format!(r#"{{"do":"set_budget","session":"{id}","limit":1.00,"consumed":0.88}}"#);
    target.control(&Json::parse(&order).unwrap(), SECOND).unwrap();
    let status = ask(&mut target, a, "guard.getBudgetStatus", &format!(r#"{{"sessionId":"{id}"}}"#));
    assert_eq!(status.get("remaining"), Some(&Json::parse("0.12").unwrap()));
    target.restart(SECOND).unwrap();
    assert!(target.send(a, &Outgoing::Text(String::new()), SECOND).is_err());
    let b = target.connect(&Key::Given, SECOND).unwrap();
    let status = ask(&mut target, b, "guard.getBudgetStatus", &format!(r#"{{"sessionId":"{id}"}}"#));
    assert_eq!(status.get("consumed"), Some(&Json::parse("0.88").unwrap()));
    assert!(target.control(&Json::parse(r#"{"do":"dance"}"#).unwrap(), SECOND).is_err());
}

#[test]
fn keys_and_tokens_open_what_they_should() {
    let mut target = Reference::new(1);
    assert!(target.connect(&Key::None, SECOND).is_err());
    assert!(target.connect(&Key::Text("wrong".to_owned()), SECOND).is_err());
    let a = target.connect(&Key::Given, SECOND).unwrap();
    let session = ask(&mut target, a, "state.createSession", "{}");
    let other = ask(&mut target, a, "state.createSession", "{}");
    let b = target.connect(&Key::Text(text(&session, "sessionToken").to_owned()), SECOND).unwrap();
    let look = |id: &Json| format!(r#"{{"sessionId":"{}"}}"#, text(id, "sessionId"));
    assert!(ask(&mut target, b, "state.getSession", &look(&session)).get("code").is_none());
    assert!(ask(&mut target, b, "state.getSession", &look(&other)).get("code").is_some());
    let issued = target.control(&Json::parse(r#"{"do":"issue_key"}"#).unwrap(), SECOND).unwrap();
    assert!(target.connect(&Key::Text(text(&issued, "key").to_owned()), SECOND).is_ok());
}

#[test]
fn a_client_carries_out_its_tool_and_takes_it_along_when_it_goes() {
    let mut target = Reference::new(1);
    let a = target.connect(&Key::Given, SECOND).unwrap();
    let b = target.connect(&Key::Given, SECOND).unwrap();
    let params = r#"{"name":"echo","description":"says it again","schema":{"input":{},"output":{}},"capabilities":["echo"]}"#;
    let tool = text(&ask(&mut target, b, "tool.register", params), "toolId").to_owned();
    let invoke = format!(
        r#"{{"jsonrpc":"2.0","id":"x","method":"tool.invoke","params":{{"toolId":"{tool}","params":{{"a":1}}}}}}"#
    );
    say(&mut target, a, &invoke);
    let (at, order) = hear(&mut target);
    assert_eq!((at, text(&order, "method")), (b, "tool.execute"));
    say(
        &mut target,
        b,
        &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"said":1}}}}"#, order.get("id").unwrap()),
    );
    let (at, answer) = hear(&mut target);
    let result = answer.get("result").expect("a result");
    assert_eq!((at, result.get("result").unwrap().to_string()), (a, r#"{"said":1}"#.to_owned()));
    // Nobody answers: time passes.
    say(&mut target, a, &invoke);
    hear(&mut target);
    assert_eq!(target.receive(target.now() + SECOND), None);
    let Some((_, Incoming::Text(text))) = target.receive(target.now() + 60 * SECOND) else {
        panic!("an answer")
    };
    assert!(text.contains("-32006"), "{text}");
    target.close(b);
    say(&mut target, a, &invoke);
    assert!(hear(&mut target).1.to_string().contains("-32006"));
}

#[test]
fn batches_notifications_and_what_is_too_much() {
    let mut target = Reference::new(1);
    let a = target.connect(&Key::Given, SECOND).unwrap();
    say(
        &mut target,
        a,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tool.listRegistered"},{"jsonrpc":"2.0","method":"x"},1]"#,
    );
    assert_eq!(hear(&mut target).1.items().map(<[Json]>::len), Some(2));
    say(&mut target, a, r#"{"jsonrpc":"2.0","method":"state.createSession"}"#);
    assert_eq!(target.receive(target.now() + SECOND), None);
    let mut refused = 0;
    for _ in 0..5_000 {
        let answer = ask(&mut target, a, "tool.listRegistered", "{}");
        refused += usize::from(answer.to_string().contains("-32003"));
    }
    assert!((1..1_000).contains(&refused), "{refused}");
    say(&mut target, a, &" ".repeat(FRAME_BYTES + 1));
    assert!(target.receive(target.now() + SECOND).is_some());
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let first = |seed| {
        let mut target = Reference::new(seed);
        let a = target.connect(&Key::Given, SECOND).unwrap();
        ask(&mut target, a, "state.createSession", "{}")
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}
