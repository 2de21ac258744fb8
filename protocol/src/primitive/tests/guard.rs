mod safety;
mod validate;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::primitive::amount::Amount;

fn budget(bench: &mut Bench, id: &str, limit: u128, consumed: u128) {
    bench.run(|_, env| env.set_budget(id, Amount(limit), Amount(consumed))).unwrap();
}

#[test]
fn the_budgets_of_the_spec() {
    let mut bench = Bench::default();
    let id = bench.session();
    budget(&mut bench, &id, 1_000_000, 20_000);
    let before = bench.records.clone();
    let check = |cost: f64| json!({"sessionId": id, "estimatedCost": cost});
    let expected = json!({"allowed": true, "remaining": 0.98, "consumed": 0.02, "limit": 1});
    assert_eq!(bench.ok("guard.checkBudget", check(0.02)), expected);
    assert_eq!(bench.ok("guard.checkBudget", check(0.02)), expected, "a check spends nothing");
    budget(&mut bench, &id, 1_000_000, 880_000);
    assert_eq!(
        bench.ok("guard.checkBudget", check(5.0)),
        json!({"allowed": false, "remaining": 0.12, "consumed": 0.88, "limit": 1,
               "reason": "Estimated cost ($5.00) exceeds remaining budget ($0.12)"})
    );
    let spend = json!({"sessionId": id, "amount": 5.00, "description": "large-model-inference"});
    let error = bench.call("guard.consumeBudget", spend).unwrap_err();
    let data = json!({"remaining": 0.12, "requested": 5, "limit": 1});
    assert_eq!(error, Error::new(Code::BudgetExceeded, "Budget exceeded").with(data));
    assert_eq!(
        bench.ok("guard.getBudgetStatus", json!({"sessionId": id})),
        json!({"remaining": 0.12, "consumed": 0.88, "limit": 1})
    );
    budget(&mut bench, &id, 1_000_000, 20_000);
    assert_eq!(bench.records, before);
}

#[test]
fn a_cost_that_just_fits_is_allowed() {
    let mut bench = Bench::default();
    let (id, other) = (bench.session(), bench.session());
    let check = |cost: f64| json!({"sessionId": id, "estimatedCost": cost});
    assert_eq!(bench.ok("guard.checkBudget", check(1.0))["allowed"], true);
    let denied = bench.ok("guard.checkBudget", check(1.000001));
    assert_eq!(denied["reason"], "Estimated cost ($1.000001) exceeds remaining budget ($1.00)");
    assert_eq!(bench.ok("guard.consumeBudget", json!({"sessionId": id, "amount": 0.5}))["remaining"], 0.5);
    let denied = bench.ok("guard.checkBudget", check(1.0));
    assert_eq!(denied["reason"], "Estimated cost ($1.00) exceeds remaining budget ($0.50)");
    assert_eq!(bench.ok("guard.consumeBudget", json!({"sessionId": id, "amount": 0.5}))["remaining"], 0);
    assert_eq!(bench.ok("guard.consumeBudget", json!({"sessionId": id, "amount": 0}))["remaining"], 0);
    assert_eq!(bench.ok("guard.getBudgetStatus", json!({"sessionId": other}))["remaining"], 1);
}

#[test]
fn a_budget_takes_no_wrong_amount() {
    let mut bench = Bench::default();
    let id = bench.session();
    for amount in ["-0.01", "\"1\"", "null", "0.0000001", "1e99", "[1]"] {
        for (method, name) in [("guard.consumeBudget", "amount"), ("guard.checkBudget", "estimatedCost")] {
            let call = bench.start_text(method, &format!(r#"{{"sessionId":"{id}","{name}":{amount}}}"#));
            let error = bench.answer(call).unwrap().unwrap_err();
            assert_eq!(error.code, Code::InvalidParams, "{amount}");
            assert!(error.message.starts_with(name), "{}", error.message);
        }
    }
    assert_eq!(bench.ok("guard.getBudgetStatus", json!({"sessionId": id}))["remaining"], 1);
    let set = |bench: &mut Bench, id: &str| bench.run(|_, env| env.set_budget(id, Amount(1), Amount(2)));
    assert_eq!(set(&mut bench, &id).unwrap_err().code, Code::InvalidParams);
    assert_eq!(set(&mut bench, "other").unwrap_err().code, Code::SessionNotFound);
}

fn hit(bench: &mut Bench, key: &str, limit: u64, window: u64) -> (bool, u64, String) {
    let said = bench.ok("guard.checkRateLimit", json!({"key": key, "limit": limit, "window": window}));
    let reset = said["resetAt"].as_str().unwrap().to_owned();
    (said["allowed"].as_bool().unwrap(), said["remaining"].as_u64().unwrap(), reset)
}

#[test]
fn a_window_begins_with_its_first_hit() {
    let mut bench = Bench::default();
    let end = "2026-03-18T12:00:01.000Z".to_owned();
    assert_eq!(hit(&mut bench, "k", 2, 1000), (true, 1, end.clone()));
    bench.pass(Duration::from_millis(999));
    assert_eq!(hit(&mut bench, "k", 2, 1000), (true, 0, end.clone()));
    assert_eq!(hit(&mut bench, "k", 2, 1000), (false, 0, end.clone()));
    assert_eq!(hit(&mut bench, "k", 4, 1000), (true, 1, end.clone()), "a refused hit is not counted");
    assert_eq!(hit(&mut bench, "k", 2, 1000), (false, 0, end), "the limit is now below the hits");
    assert!(hit(&mut bench, "other", 2, 1000).0);
    assert!(hit(&mut bench, "k", 2, 1001).0, "another window");
    bench.pass(Duration::from_millis(1));
    assert_eq!(hit(&mut bench, "k", 2, 1000), (true, 1, "2026-03-18T12:00:02.000Z".into()));
    assert!(bench.records.iter().all(|(_, key, _, _)| !key.ends_with(b"k")), "a key is kept as a hash");
    assert_eq!(bench.records.count(Table::RateWindow), 6);
}

#[test]
fn no_hits_no_window() {
    let mut bench = Bench::default();
    assert_eq!(hit(&mut bench, "k", 0, 1000), (false, 0, "2026-03-18T12:00:01.000Z".into()));
    assert_eq!(bench.records, MemoryRecords::default());
    for params in [json!({"key": "k", "limit": 1, "window": 0}), json!({"key": "", "limit": 1, "window": 1})]
    {
        assert_eq!(bench.fails("guard.checkRateLimit", params).0, Code::InvalidParams);
    }
}

#[test]
fn a_clock_set_back_begins_a_window() {
    let mut bench = Bench::default();
    assert!(hit(&mut bench, "k", 1, 1000).0);
    bench.unix = UnixMillis(bench.unix.0 - 60_000);
    assert_eq!(hit(&mut bench, "k", 1, 1000), (true, 0, "2026-03-18T11:59:01.000Z".into()));
    assert_eq!(bench.records.count(Table::RateWindow), 2);
}

#[test]
fn a_session_has_keys_of_its_own() {
    let mut bench = Bench::default();
    let id = bench.session();
    assert!(hit(&mut bench, "k", 1, 1000).0);
    bench.caller.tier = Tier::Session(id.into());
    assert!(hit(&mut bench, "k", 1, 1000).0);
    assert!(!hit(&mut bench, "k", 1, 1000).0);
}

#[test]
fn of_too_many_windows_those_that_end_first_go() {
    let mut bench = Bench::default();
    bench.config.guard.windows_max = 3;
    for (key, window) in [("a", 4000), ("b", 1000), ("c", 2000), ("d", 3000)] {
        assert!(hit(&mut bench, key, 1, window).0);
    }
    assert_eq!(bench.records.count(Table::RateWindow), 6);
    for (key, window) in [("a", 4000), ("c", 2000), ("d", 3000)] {
        assert!(!hit(&mut bench, key, 1, window).0, "{key}");
    }
    bench.pass(Duration::from_millis(3500));
    assert!(hit(&mut bench, "b", 1, 1000).0);
    assert_eq!(bench.records.count(Table::RateWindow), 4, "those that have ended go too");
}

#[test]
fn a_session_pushes_out_only_its_own_windows() {
    let mut bench = Bench::default();
    let (id, other) = (bench.session(), bench.session());
    assert!(hit(&mut bench, "k", 1, 1000).0);
    bench.caller.tier = Tier::Session(other.clone().into());
    assert!(hit(&mut bench, "k", 1, 1000).0);
    bench.caller.tier = Tier::Session(id.clone().into());
    for number in 0..300 {
        assert!(hit(&mut bench, &number.to_string(), 1, 10_000 + number).0);
    }
    assert_eq!(bench.records.count(Table::RateWindow), 2 * (256 + 2), "of its own those that end first went");
    assert!(!hit(&mut bench, "299", 1, 10_299).0);
    // The same when there is no room at all.
    bench.config.guard.windows_max = 258;
    assert!(hit(&mut bench, "more", 1, 20_000).0);
    assert_eq!(bench.records.count(Table::RateWindow), 2 * 258);
    for tier in [Tier::Operator, Tier::Session(other.into())] {
        bench.caller.tier = tier;
        assert!(!hit(&mut bench, "k", 1, 1000).0, "the others' windows are still there");
    }
    bench.caller.tier = Tier::Operator;
    bench.ok("state.endSession", json!({"sessionId": id}));
    assert_eq!(bench.records.count(Table::RateWindow), 2 * 2, "they go with the session");
}

proptest! {
    #[test]
    fn nothing_is_spent_twice_or_over(amounts in proptest::collection::vec(0u128..400_000, 1..40)) {
        let mut bench = Bench::default();
        let id = bench.session();
        let mut consumed = 0;
        for units in amounts {
            let params = format!(r#"{{"sessionId":"{id}","amount":{}}}"#, Amount::<6>(units));
            let call = bench.start_text("guard.consumeBudget", &params);
            match bench.answer(call).unwrap() {
                Ok(_) => consumed += units,
                Err(error) => {
                    prop_assert_eq!(error.code, Code::BudgetExceeded);
                    prop_assert!(consumed + units > 1_000_000);
                }
            }
            let session = bench.run(|_, env| env.live_session(&id)).unwrap();
            prop_assert_eq!(session.consumed, Amount(consumed));
            prop_assert_eq!(session.remaining(), Amount(1_000_000 - consumed));
        }
    }

    #[test]
    fn hits_are_counted_as_by_a_naive_model(
        hits in proptest::collection::vec((0usize..3, 0u64..400, 0u64..4, 1u64..3), 1..60),
    ) {
        let mut bench = Bench::default();
        let mut model = BTreeMap::<(usize, u64), (u64, u64)>::new();
        for (key, pass, limit, length) in hits {
            bench.pass(Duration::from_millis(pass));
            let (now, window) = (bench.unix.0, length * 300);
            let open = model.get(&(key, window)).copied().filter(|(start, _)| now < start + window);
            let (start, count) = open.unwrap_or((now, 0));
            let allowed = count < limit;
            if allowed {
                model.insert((key, window), (start, count + 1));
            }
            let left = if allowed { limit - count - 1 } else { 0 };
            let said = hit(&mut bench, &key.to_string(), limit, window);
            prop_assert_eq!(said, (allowed, left, iso(UnixMillis(start + window))));
        }
    }
}
