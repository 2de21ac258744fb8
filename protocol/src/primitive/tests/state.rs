use serde_json::json;

use super::*;

#[test]
fn a_session_lives_until_it_is_ended() {
    let mut bench = Bench::default();
    let created = bench.ok(
        "state.createSession",
        json!({"agentName": "web-researcher", "agentType": "autonomous", "model": "gemma-3-27b",
               "metadata": {"task": "market-analysis"}}),
    );
    assert_eq!(created["createdAt"], "2026-03-18T12:00:00.000Z");
    let id = created["sessionId"].as_str().unwrap().to_owned();
    let token = created["sessionToken"].as_str().unwrap();
    assert_eq!(token::session(&bench.config.token_key, token), Some(&id[..]));
    let info = bench.ok("state.getSession", json!({"sessionId": id}));
    assert_eq!(info["agentName"], "web-researcher");
    assert_eq!(info["metadata"], json!({"task": "market-analysis"}));
    assert_eq!(info["status"], "active");
    assert_eq!(info["budget"], json!({"remaining": 1, "consumed": 0, "limit": 1}));
    bench.ok("state.setState", json!({"sessionId": id, "key": "a", "value": [1, null]}));
    bench.ok("state.recordEpisode", json!({"sessionId": id, "outcome": "success", "reward": 0.85}));
    bench.pass(Duration::from_millis(3420));
    let ended = bench.ok("state.endSession", json!({"sessionId": id}));
    assert_eq!(ended, json!({"ended": true, "duration": 3420}));
    for (method, extra) in [
        ("state.getSession", json!({})),
        ("state.setState", json!({"key": "a", "value": 1})),
        ("state.getState", json!({"key": "a"})),
        ("state.recordEpisode", json!({"outcome": "success", "reward": 0})),
        ("state.endSession", json!({})),
    ] {
        let mut params = extra;
        params["sessionId"] = json!(id);
        assert_eq!(bench.fails(method, params).0, Code::SessionNotFound, "{method}");
    }
    assert_eq!(bench.records, MemoryRecords::default(), "nothing is left of it");
}

#[test]
fn values_are_kept_as_they_were_written() {
    let mut bench = Bench::default();
    let id = bench.session();
    let set = format!(r#"{{"sessionId":"{id}","key":"k","value":{{"b":1.00,"a":12345678901234567890123}}}}"#);
    let call = bench.start_text("state.setState", &set);
    assert_eq!(bench.answer(call), Some(Ok(json!({"updated": true}))));
    let record = bench.records.iter().find(|(table, ..)| *table == Table::SessionValue).unwrap();
    assert!(std::str::from_utf8(record.3).unwrap().contains(r#"{"b":1.00,"a":12345678901234567890123}"#));
    assert!(!record.1.ends_with(b"k"), "a name is not in the key");
    assert_eq!(record.2, Some(&id[..]));
    assert_eq!(bench.ok("state.getState", json!({"sessionId": id, "key": "other"})), json!({"value": null}));
    bench.ok("state.setState", json!({"sessionId": id, "key": "k", "value": null}));
    assert_eq!(bench.ok("state.getState", json!({"sessionId": id, "key": "k"})), json!({"value": null}));
}

#[test]
fn a_session_keeps_so_much_and_no_more() {
    let mut bench = Bench::default();
    bench.config.state.values_max = 2;
    bench.config.state.bytes_max = 20;
    bench.config.state.episodes_max = 2;
    let id = bench.session();
    let mut set = |key: &str, value: &str| {
        bench
            .call("state.setState", json!({"sessionId": id, "key": key, "value": value}))
            .map_err(|e| e.message)
    };
    set("a", "1").unwrap();
    set("b", "12").unwrap();
    assert!(set("c", "").unwrap_err().contains("at most 2 values"));
    assert!(set("b", "0123456789abcd").unwrap_err().contains("at most 20 bytes"));
    set("b", "0123456789ab").unwrap();
    set("b", "1").unwrap();
    for reward in [-1.0, 0.0, 1.0] {
        bench.ok("state.recordEpisode", json!({"sessionId": id, "outcome": "partial", "reward": reward}));
    }
    assert_eq!(bench.records.count(Table::Episode), 2);
    bench.config.state.sessions_max = 1;
    assert_eq!(bench.fails("state.createSession", json!({})).0, Code::Full);
}

#[test]
fn a_budget_comes_from_the_parameter_or_the_metadata() {
    let mut bench = Bench::default();
    let mut limit = |params: Value| {
        let id = bench.call("state.createSession", params).map_err(|e| e.message)?;
        let info = bench.ok("state.getSession", json!({"sessionId": id["sessionId"]}));
        Ok::<_, String>(info["budget"]["limit"].as_f64().unwrap())
    };
    assert_eq!(limit(json!({"budget": {"max": 2.5}, "metadata": {"budget": 3}})), Ok(2.5));
    assert_eq!(limit(json!({"metadata": {"budget": 3}})), Ok(3.0));
    assert_eq!(limit(json!({"metadata": {"budget": {"max": 0.000001}}})), Ok(0.000001));
    assert!(limit(json!({"metadata": {"budget": "much"}})).unwrap_err().starts_with("metadata.budget: "));
    assert!(limit(json!({"budget": {"max": 0.0000001}})).unwrap_err().starts_with("budget.max: "));
    assert!(limit(json!({"budget": {"max": -1}})).is_err());
}

#[test]
fn a_session_token_covers_its_session() {
    let mut bench = Bench::default();
    let (own, other) = (bench.session(), bench.session());
    bench.caller.tier = Tier::Session(own.clone().into());
    bench.ok("state.setState", json!({"sessionId": own, "key": "a", "value": 1}));
    let forbidden =
        [("state.getState", json!({"sessionId": other, "key": "a"})), ("state.createSession", json!({}))];
    for (method, params) in forbidden {
        assert_eq!(bench.fails(method, params).0, Code::Forbidden, "{method}");
    }
    bench.ok("state.endSession", json!({"sessionId": own}));
    assert_eq!(bench.fails("state.getSession", json!({"sessionId": own})).0, Code::SessionNotFound);
}
