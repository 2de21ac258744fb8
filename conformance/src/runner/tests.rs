//! Cases run by hand: inputs in, outputs compared.

use super::*;
use crate::case::Case;
use crate::matcher::Weight;
use crate::target::End;

/// What a pretended target does with a text that it gets: texts to send back.
type Reply<'a> = &'a mut dyn FnMut(&str, &str) -> Vec<(String, Incoming)>;

fn case(body: &str) -> Case {
    let text = format!("title: t\nprofile: state\nrequires: HSP-4.1-01\n{body}");
    Case::parse("state/x", "x.case", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a case in a time of its own: whoever waits for nothing sees the deadline pass.
fn play(case: &Case, settings: Settings, reply: Reply<'_>) -> (Report, Vec<String>) {
    let mut run = CaseRun::new(case, settings);
    let (mut now, mut queue, mut log) = (Duration::ZERO, std::collections::VecDeque::new(), Vec::new());
    for _ in 0..10_000 {
        let input = match run.next(now) {
            Output::Done => return (run.finish(), log),
            Output::Connect { connection, key, .. } => {
                log.push(format!("connect {connection} {key:?}"));
                match reply(&connection, "connect").first() {
                    Some((_, Incoming::Text(why))) => {
                        Input::Connected(Err(TargetError::Refused(why.clone())))
                    }
                    _ => Input::Connected(Ok(())),
                }
            }
            Output::Send { connection, what, .. } => {
                let text = match what {
                    Outgoing::Text(text) => text,
                    Outgoing::Frames(frames) => format!("{frames:?}"),
                };
                log.push(format!("{connection} {text}"));
                queue.extend(reply(&connection, &text));
                Input::Sent(Ok(()))
            }
            Output::Receive { deadline } => match queue.pop_front() {
                Some((connection, what)) => Input::Received { connection, what },
                None => {
                    now = now.max(deadline);
                    Input::Elapsed
                }
            },
            Output::Control { order, .. } => {
                log.push(format!("control {order}"));
                let answers = reply("control", &order.to_string());
                match answers.into_iter().next() {
                    Some((_, Incoming::Text(text))) => Input::Answered(Ok(Json::parse(&text).expect("JSON"))),
                    _ => Input::Answered(Err(TargetError::Declined("no".into()))),
                }
            }
            Output::Restart { .. } => {
                log.push("restart".into());
                Input::Restarted(Ok(()))
            }
            Output::Close { connection } => {
                log.push(format!("close {connection}"));
                continue;
            }
            Output::Advance { by } => {
                log.push(format!("advance {by:?}"));
                now += by;
                continue;
            }
        };
        run.input(now, input);
    }
    panic!("the case does not end: {log:?}");
}

/// `id: outcome` of every check.
fn outcomes(report: &Report) -> Vec<String> {
    let found = |findings: &[Finding]| {
        let parts: Vec<String> = findings
            .iter()
            .map(|f| {
                format!(
                    "{}{} {} / {}",
                    if f.weight == Weight::Mismatch { "" } else { "~" },
                    f.path,
                    f.expected,
                    f.actual
                )
            })
            .collect();
        parts.join("; ")
    };
    let text = |outcome: &Outcome| match outcome {
        Outcome::Fits(findings) => format!("fits {}", found(findings)).trim_end().to_owned(),
        Outcome::Differs(findings) => format!("differs {}", found(findings)),
        Outcome::Untestable(why) => format!("untestable {why}"),
        Outcome::NotApplicable(why) => format!("n/a {why}"),
    };
    report
        .checks
        .iter()
        .map(|check| format!("{}#{} {}", check.requirement, check.step, text(&check.outcome)))
        .collect()
}

fn id(text: &str) -> Json {
    Json::parse(text).expect("JSON").get("id").cloned().unwrap_or(Json::Null)
}

fn result(connection: &str, request: &str, result: &str) -> (String, Incoming) {
    let text = format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{}}}"#, id(request));
    (connection.to_owned(), Incoming::Text(text))
}

fn error(connection: &str, request: &str, code: i64) -> (String, Incoming) {
    let text =
        format!(r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":"no"}},"id":{}}}"#, id(request));
    (connection.to_owned(), Incoming::Text(text))
}

/// Answers a fence as everybody does, everything else with `{}`.
fn polite(connection: &str, text: &str) -> Vec<(String, Incoming)> {
    match text {
        "connect" => Vec::new(),
        text if text.contains("hyperlab.fence") => vec![error(connection, text, -32601)],
        text => vec![result(connection, text, "{}")],
    }
}

#[test]
fn a_request_is_completed_and_its_answer_checked() {
    let case = case(
        r#">> rpc {"method": "state.createSession"}
<< rpc {"result": {"sessionId": "$bind S $nonempty", "createdAt": {"$should": "$iso8601"}}}
>> rpc {"method": "state.getSession", "params": {"sessionId": "$S"}}
<< rpc HSP-4.1-06 {"result": "$object"}"#,
    );
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        text => vec![result(connection, text, r#"{"sessionId":"s","createdAt":5}"#)],
    };
    let (report, log) = play(&case, Settings::default(), &mut reply);
    let sent = [
        "connect A Given",
        r#"A {"jsonrpc":"2.0","method":"state.createSession","id":1}"#,
        r#"A {"jsonrpc":"2.0","method":"state.getSession","params":{"sessionId":"s"},"id":2}"#,
    ];
    assert_eq!(log, sent);
    let wanted = ["HSP-4.1-01#2 fits ~$.result.createdAt an ISO 8601 time / 5", "HSP-4.1-06#4 fits"];
    assert_eq!(outcomes(&report), wanted);
    assert_eq!((report.violations.len(), report.answers, report.stopped), (0, 2, None));
    assert_eq!(report.transcript.len(), 5);
}

#[test]
fn requests_of_the_targets_own_are_answered() {
    let case = case(
        r#"@answer A tool.execute {"done": true}
>> rpc {"method": "tool.invoke"}
<< rpc {"result": {"done": true}}"#,
    );
    let mut invoked = String::new();
    let mut reply = |connection: &str, text: &str| {
        if text == "connect" {
            return vec![];
        }
        if text.contains("tool.invoke") {
            invoked = text.to_owned();
            let asked = r#"{"jsonrpc":"2.0","method":"tool.execute","id":"x","params":{}}"#;
            return vec![(connection.to_owned(), Incoming::Text(asked.to_owned()))];
        }
        vec![result(connection, &invoked, r#"{"done":true}"#)]
    };
    let (report, log) = play(&case, Settings::default(), &mut reply);
    assert_eq!(log[2..], [r#"A {"jsonrpc":"2.0","id":"x","result":{"done":true}}"#]);
    assert_eq!(outcomes(&report), ["HSP-4.1-01#3 fits"]);
    assert_eq!((report.violations.len(), report.answers), (0, 1));
}

#[test]
fn a_wrong_answer_fails_its_check_and_what_builds_on_it_is_untestable() {
    let case = case(
        r#">> rpc {"method": "state.createSession"}
<< rpc {"result": {"sessionId": "$bind S $nonempty"}}
>> rpc {"method": "a"}
<< rpc HSP-3-01 {"error": {"data": {"$about": {"id": "HSP-3-02", "is": "$object"}}}}
>> rpc {"method": "state.getSession", "params": {"sessionId": "$S"}}
<< rpc HSP-4.1-06 {"result": "$object"}"#,
    );
    let (report, _) = play(&case, Settings::default(), &mut polite);
    let wanted = [
        "HSP-4.1-01#2 differs $.result.sessionId a string that is not empty / absent",
        "HSP-3-01#4 differs $.error {\"data\":{\"$about\":{\"id\":\"HSP-3-02\",\"is\":\"$object\"}}} / absent",
        "HSP-3-02#4 untestable what it is about is not in the message",
        "HSP-4.1-06#6 untestable step 5 cannot run: there is no $S yet",
    ];
    assert_eq!(outcomes(&report), wanted);
}

#[test]
fn a_setup_that_fails_makes_the_case_untestable() {
    let case = case("@session S\n>> rpc {\"method\": \"a\"}\n<< rpc {\"result\": 1}");
    let (report, _) = play(&case, Settings::default(), &mut polite);
    let why = "step 1, which only prepares, went wrong: at $.result.sessionId expected a string that is not empty, got absent";
    assert_eq!(outcomes(&report), [format!("HSP-4.1-01#3 untestable {why}")]);
    assert_eq!(report.stopped, Some(Stop::Setup(why.into())));
}

#[test]
fn silence_ends_the_case_after_its_patience() {
    let case = case(
        ">> rpc {\"method\": \"a\"}\n<< rpc within=3s {}\n>> rpc {\"method\": \"b\"}\n<< rpc HSP-3-01 {}",
    );
    let (report, log) = play(&case, Settings::default(), &mut |_, _| vec![]);
    let wanted = [
        "HSP-4.1-01#2 differs $ an answer / nothing within 3 s",
        "HSP-3-01#4 untestable step 2 failed: nothing within 3 s",
    ];
    assert_eq!(outcomes(&report), wanted);
    assert_eq!(log.len(), 2);
    assert!(matches!(report.stopped, Some(Stop::Silence(_))));
}

#[test]
fn answers_may_come_in_any_order() {
    let case = case(
        r#">> rpc as=one {"method": "a"}
>> rpc as=two {"method": "b"}
<< rpc for=two {"result": "b"}
<< rpc for=one {"result": "a"}
@parallel 3 as I
>> rpc {"method": "echo", "params": {"n": "$I"}}
<< rpc {"result": "$append ALL"}
@end
@check {"value": "$ALL", "is": [0, 1, 2]}"#,
    );
    let mut held = Vec::new();
    let mut reply = |connection: &str, text: &str| {
        let json = Json::parse(text).unwrap_or(Json::Null);
        let value = match json.get("params").and_then(|params| params.get("n")) {
            Some(n) => n.to_string(),
            None => json.get("method").unwrap_or(&Json::Null).to_string(),
        };
        held.insert(0, result(connection, text, &value));
        let ready = text.contains(r#""b""#) || text.contains(r#""n":2"#);
        if ready { std::mem::take(&mut held) } else { vec![] }
    };
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        text => reply(connection, text),
    };
    let (report, _) = play(&case, Settings::default(), &mut reply);
    assert_eq!(report.stopped, None);
    assert!(outcomes(&report).iter().all(|outcome| outcome.ends_with("fits")), "{:?}", outcomes(&report));
}

#[test]
fn a_fence_decides_that_nothing_comes() {
    let case = case(
        r#">> json {"jsonrpc": "2.0", "method": "a"}
<< none until fence
>> json {"jsonrpc": "2.0", "method": "b"}
<< rpc|none HSP-2.2-12 {"error": {"code": -32600}}"#,
    );
    let mut silent = |connection: &str, text: &str| {
        if text.contains("fence") { polite(connection, text) } else { vec![] }
    };
    let (report, log) = play(&case, Settings::default(), &mut silent);
    assert_eq!(outcomes(&report), ["HSP-4.1-01#2 fits", "HSP-2.2-12#4 fits"]);
    assert_eq!(log.iter().filter(|line| line.contains("hyperlab.fence")).count(), 4);
    let mut talks = |connection: &str, text: &str| match text {
        "connect" => vec![],
        text if text.contains("fence") => polite(connection, text),
        _ => {
            vec![(connection.to_owned(), Incoming::Text(r#"{"jsonrpc":"2.0","result":1,"id":null}"#.into()))]
        }
    };
    let (report, _) = play(&case, Settings::default(), &mut talks);
    let wanted = [
        r#"HSP-4.1-01#2 differs $ no answer / {"jsonrpc":"2.0","result":1,"id":null}"#,
        r#"HSP-2.2-12#4 differs $.error {"code":-32600} / absent"#,
    ];
    assert_eq!(outcomes(&report), wanted);
}

#[test]
fn a_lost_connection_is_a_failure_unless_it_is_expected() {
    let case = case(
        ">> text nonsense\n<< rpc|close {\"error\": {\"code\": -32700}}\n@connect B\nB >> rpc {\"method\": \"a\"}\nB << rpc HSP-2.2-18 {}",
    );
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        _ => {
            let end = End { code: Some(1007), reason: "bad".into(), fault: false };
            vec![(connection.to_owned(), Incoming::Closed(end))]
        }
    };
    let (report, _) = play(&case, Settings::default(), &mut reply);
    let wanted =
        ["HSP-4.1-01#2 fits", "HSP-2.2-18#5 differs $ an answer / the connection ended with 1007: bad"];
    assert_eq!(outcomes(&report), wanted);
}

#[test]
fn every_answer_is_watched() {
    let case = case(
        ">> rpc {\"method\": \"a\"}\n<< rpc {}\n>> rpc {\"method\": \"b\"}\n<< rpc {}\n>> rpc {\"method\": \"c\"}\n<< rpc {}",
    );
    let mut answers = vec![
        r#"{"result":1,"error":{"code":1.5},"id":1}"#,
        r#"{"jsonrpc":"2.0","result":1,"id":"2"}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"},"id":3}"#,
    ];
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        _ => vec![(connection.to_owned(), Incoming::Text(answers.remove(0).into()))],
    };
    let (report, _) = play(&case, Settings::default(), &mut reply);
    let broken: Vec<_> = report.violations.iter().map(|v| (v.requirement, v.step)).collect();
    let wanted =
        [("HSP-2.2-04", 2), ("HSP-2.2-06", 2), ("HSP-2.2-16", 2), ("HSP-2.2-05", 4), ("HSP-8-13", 6)];
    assert_eq!(broken, wanted);
    assert_eq!(outcomes(&report), ["HSP-4.1-01#2 fits", "HSP-4.1-01#4 fits", "HSP-4.1-01#6 fits"]);
}

const BUDGET: &str = r#"@session S
@arrange budget($S) limit=1.00 consumed=0.88
>> rpc {"method": "guard.checkBudget", "params": {"sessionId": "$S", "estimatedCost": {"$L": 5.00}}}
<< rpc {"result": {"remaining": {"$L": 0.12}}}"#;

/// A budget of `limit` with 0 spent.
fn guard(limit: &str) -> impl FnMut(&str, &str) -> Vec<(String, Incoming)> {
    let limit = limit.to_owned();
    let mut consumed = "0".to_owned();
    move |connection, text| {
        let json = Json::parse(text).unwrap_or(Json::Null);
        let amount = || json.get("params").and_then(|params| params.get("amount")).map(ToString::to_string);
        let value = match json.get("method").and_then(Json::as_str) {
            Some("state.createSession") => r#"{"sessionId":"$odd"}"#.to_owned(),
            Some("guard.getBudgetStatus") => format!(r#"{{"limit":{limit},"consumed":{consumed}}}"#),
            Some("guard.consumeBudget") => {
                consumed = amount().unwrap_or_default();
                r#"{"remaining":0}"#.to_owned()
            }
            Some("guard.checkBudget") => r#"{"remaining":6.0}"#.to_owned(),
            _ if connection == "control" => return vec![(String::new(), Incoming::Text("{}".into()))],
            _ => return vec![],
        };
        vec![result(connection, text, &value)]
    }
}

#[test]
fn a_budget_is_calibrated() {
    let (report, log) = play(&case(BUDGET), Settings::default(), &mut guard("50"));
    assert_eq!(outcomes(&report), ["HSP-4.1-01#4 fits"]);
    assert!(
        log.iter().any(|line| line.contains(r#""amount":44"#) && line.contains(r#""sessionId":"$odd""#)),
        "{log:?}"
    );
    assert!(log.iter().any(|line| line.contains(r#""estimatedCost":250"#)), "{log:?}");
}

#[test]
fn a_budget_is_set_by_the_control_hook_where_there_is_one() {
    let mut settings = Settings::default();
    settings.abilities.controls = vec!["set_budget".into()];
    let (report, log) = play(&case(BUDGET), settings, &mut guard("50"));
    assert!(log.contains(
        &r#"control {"do":"set_budget","session":"$odd","limit":1.00,"consumed":0.88}"#.to_owned()
    ));
    // The pretended hook sets nothing, and that is seen.
    let why = "step 2, which only prepares, went wrong: at $.result.limit expected about 1.00, which is {\"$near\":1.00}, got 50";
    assert_eq!(outcomes(&report), [format!("HSP-4.1-01#4 untestable {why}")]);
}

#[test]
fn a_budget_without_a_limit_is_untestable() {
    for (limit, problem) in [("null", "tells no limit"), ("0", "tells no limit"), ("1e308", "tells no limit")]
    {
        let (report, _) = play(&case(BUDGET), Settings::default(), &mut guard(limit));
        let outcomes = outcomes(&report);
        assert!(outcomes[0].contains(problem) && outcomes[0].contains("--given budget=N"), "{outcomes:?}");
    }
}

#[test]
fn time_passes_in_the_way_that_there_is() {
    let case = case("@clock +300s\n>> rpc {\"method\": \"a\"}\n<< rpc {}");
    let (report, _) = play(&case, Settings::default(), &mut polite);
    assert!(
        matches!(&report.stopped, Some(Stop::Missing(why)) if why.starts_with("300 s of the target's time"))
    );
    let mut settings = Settings::default();
    settings.abilities.virtual_time = true;
    let (report, log) = play(&case, settings, &mut polite);
    assert!(report.stopped.is_none() && log.contains(&"advance 300s".to_owned()));
    let mut settings = Settings { clock_ahead_ms: 1000, ..Settings::default() };
    settings.abilities.controls = vec!["set_clock".into()];
    let (report, log) = play(&case, settings, &mut |connection, text| match connection {
        "control" => vec![(String::new(), Incoming::Text("{}".into()))],
        _ => polite(connection, text),
    });
    assert_eq!(report.clock_ahead_ms, 301_000);
    assert!(log.contains(&r#"control {"do":"set_clock","offset_ms":301000}"#.to_owned()), "{log:?}");
}

#[test]
fn what_is_missing_is_known_before_anything_is_sent() {
    let auth = case("@connect A auth=wrong\n<< close");
    let (report, log) = play(&auth, Settings::default(), &mut polite);
    assert!(log.is_empty() && matches!(report.checks[0].outcome, Outcome::NotApplicable(_)));
    let mut settings = Settings::default();
    settings.abilities.key = true;
    let (report, _) = play(&auth, settings, &mut |_, text| match text {
        "connect" => vec![(String::new(), Incoming::Text("HTTP 401".into()))],
        _ => vec![],
    });
    assert_eq!(outcomes(&report), ["HSP-4.1-01#2 fits"]);
    let frames = case(">> frame {\"opcode\": \"ping\"}\n<< frame {\"opcode\": \"pong\"}");
    let (report, _) = play(&frames, Settings::default(), &mut polite);
    assert!(matches!(report.checks[0].outcome, Outcome::Untestable(_)));
}

#[test]
fn a_flood_ends_the_case() {
    let one = case(">> rpc {\"method\": \"a\"}\n<< rpc {}");
    // The answers to two requests are none that either could be meant by.
    let two = case(">> rpc {\"method\": \"a\"}\n>> rpc {\"method\": \"a\"}\n<< rpc {}");
    let answer = |n| Incoming::Text(format!(r#"{{"jsonrpc":"2.0","result":1,"id":{n}}}"#));
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        _ => (100..5100).map(|n| (connection.to_owned(), answer(n))).collect(),
    };
    let (report, _) = play(&one, Settings::default(), &mut reply);
    assert_eq!(outcomes(&report), ["HSP-4.1-01#2 fits"]);
    let (report, _) = play(&two, Settings::default(), &mut reply);
    let flooded = matches!(&report.stopped, Some(Stop::Lost(why)) if why.contains("floods"));
    assert!(flooded, "{:?}", report.stopped);
    assert!(report.transcript.len() <= 5000 && report.violations.len() <= 20);
}

#[test]
fn the_same_step_many_times_is_one_check_with_its_worst_outcome() {
    let case = case(
        "@each N [1, 2, 3]\n>> rpc {\"method\": \"a\", \"params\": {\"n\": \"$N\"}}\n<< rpc {\"result\": \"$N\"}\n@end",
    );
    let mut reply = |connection: &str, text: &str| match text {
        "connect" => vec![],
        text => vec![result(
            connection,
            text,
            if text.contains("\"n\":3") {
                "9"
            } else if text.contains("\"n\":2") {
                "2"
            } else {
                "1"
            },
        )],
    };
    let (report, _) = play(&case, Settings::default(), &mut reply);
    assert_eq!(outcomes(&report), ["HSP-4.1-01#3 differs $.result 3, which is \"$N\" / 9"]);
}

#[test]
fn names_that_a_case_chooses_are_its_own() {
    let body = ">> json \"$UNIQUE\"\n<< json {}";
    let settings = |unique: &str| Settings { unique: unique.into(), ..Settings::default() };
    let sent = |case: &Case, unique: &str| {
        let (_, log) = play(case, settings(unique), &mut |_, _| vec![]);
        log.into_iter().find(|line| line.starts_with("A ")).unwrap_or_default()
    };
    let (one, mut other) = (case(body), case(body));
    other.id = "state/y".into();
    assert_eq!(sent(&one, "r1"), sent(&one, "r1"));
    assert_ne!(sent(&one, "r1"), sent(&one, "r2"));
    assert_ne!(sent(&one, "r1"), sent(&other, "r1"));
    assert!(sent(&one, "r1")[3..].trim_end_matches('"').chars().all(|c| c.is_ascii_alphanumeric()));
}

#[test]
fn what_the_control_hook_was_told_is_taken_back() {
    let body = "@control {\"do\": \"fail\", \"on\": true}\n>> rpc {\"method\": \"a\"}\n<< rpc setup {\"result\": 1}\n\
        @control {\"do\": \"other\"}\n@control {\"do\": \"fail\", \"on\": false}\n>> rpc {\"method\": \"b\"}\n<< rpc {}";
    let abilities = Abilities { controls: vec!["fail".into(), "other".into()], ..Abilities::default() };
    let settings = Settings { abilities, ..Settings::default() };
    let (report, log) = play(&case(body), settings, &mut |to, _| match to {
        "control" => vec![("control".into(), Incoming::Text("{}".into()))],
        _ => vec![],
    });
    assert!(report.stopped.is_some());
    let orders: Vec<&str> = log.iter().filter_map(|line| line.strip_prefix("control ")).collect();
    assert_eq!(orders, [r#"{"do":"fail","on":true}"#, r#"{"do":"fail","on":false}"#]);
    assert!(!log.iter().any(|line| line.contains("\"b\"")), "{log:?}");
}
