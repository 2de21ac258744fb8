use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::primitive::recursive::{Cycle, Iterations, find_cycle};

fn stack_of_the_spec() -> Value {
    json!([
        "plan-research",
        "web-search",
        "analyze-results",
        "refine-search-query",
        "web-search",
        "analyze-results",
        "refine-search-query"
    ])
}

fn looping(bench: &mut Bench, id: &str) -> bool {
    bench.run(|_, env| env.live_session(id).unwrap().looping)
}

#[test]
fn the_example_of_the_spec() {
    let mut bench = Bench::default();
    let id = bench.session();
    let before = bench.records.clone();
    let params = json!({"sessionId": id, "currentStep": "refine-search-query",
        "callStack": stack_of_the_spec(), "maxIterations": 10});
    let expected = json!({
        "isLooping": true,
        "pattern": "refine-search-query -> web-search -> analyze-results",
        "iterations": 3,
        "depth": 7,
        "recommendation": "warn"
    });
    assert_eq!(bench.ok("recursive.analyze", params.clone()), expected);
    assert_eq!(bench.records, before);
    bench.config.recursive.iterations = Iterations::Steps;
    assert_eq!(bench.ok("recursive.analyze", params), expected, "both readings fit the example");
}

#[test]
fn a_loop_is_aborted_until_it_is_none() {
    let mut bench = Bench::default();
    let id = bench.session();
    let analyze = |bench: &mut Bench, step: &str, stack: Value, max: Option<u64>| {
        let mut params = json!({"sessionId": id, "currentStep": step, "callStack": stack});
        if let Some(max) = max {
            params["maxIterations"] = json!(max);
        }
        let said = bench.ok("recursive.analyze", params);
        (said["recommendation"].as_str().unwrap().to_owned(), looping(bench, &id))
    };
    assert_eq!(analyze(&mut bench, "a", json!(["a", "a"]), Some(3)), ("abort".into(), true));
    assert_eq!(analyze(&mut bench, "a", json!(["a", "a"]), Some(4)), ("warn".into(), false));
    assert_eq!(analyze(&mut bench, "a", json!(["a", "a"]), Some(1)), ("abort".into(), true));
    assert_eq!(analyze(&mut bench, "b", json!(["a", "a"]), Some(1)), ("continue".into(), false));
    assert_eq!(analyze(&mut bench, "a", json!(vec!["a"; 8]), None), ("warn".into(), false));
    assert_eq!(analyze(&mut bench, "a", json!(vec!["a"; 9]), None), ("abort".into(), true));
    assert_eq!(analyze(&mut bench, "a", json!([]), None), ("continue".into(), false));
}

#[test]
fn no_step_twice_no_loop() {
    let mut bench = Bench::default();
    bench.config.recursive.stack_max = 3;
    let id = bench.session();
    let params = |stack: Value| json!({"sessionId": id, "currentStep": "c", "callStack": stack});
    assert_eq!(
        bench.ok("recursive.analyze", params(json!(["a", "b", "c"]))),
        json!({"isLooping": false, "depth": 3, "recommendation": "continue"})
    );
    let (code, message) = bench.fails("recursive.analyze", params(json!(["a", "b", "c", "d"])));
    assert_eq!((code, &message[..]), (Code::InvalidParams, "callStack: has 4 steps, must have at most 3"));
    let (code, message) = bench.fails("recursive.analyze", params(json!(["a", ""])));
    assert_eq!((code, &message[..]), (Code::InvalidParams, "callStack[1]: must not be empty"));
}

#[test]
fn a_step_too_deep_is_not_recorded() {
    let mut bench = Bench::default();
    bench.config.recursive.max_depth = 5;
    let id = bench.session();
    let track = |depth: u32| json!({"sessionId": id, "step": "s", "depth": depth});
    assert_eq!(bench.ok("recursive.track", track(5)), json!({"tracked": true, "depth": 5}));
    let error = bench.call("recursive.track", track(6)).unwrap_err();
    assert_eq!(error.code, Code::LoopDetected);
    assert_eq!(error.data, Some(json!({"depth": 6, "maxDepth": 5})));
    let set = |depth: u32| json!({"sessionId": id, "maxDepth": depth});
    assert_eq!(bench.ok("recursive.setMaxDepth", set(9)), json!({"updated": true}));
    bench.pass(Duration::from_millis(7));
    bench.ok("recursive.track", track(9));
    bench.ok("recursive.setMaxDepth", set(1));
    assert_eq!(bench.fails("recursive.setMaxDepth", set(0)).0, Code::InvalidParams);
    assert_eq!(bench.fails("recursive.track", track(2)).0, Code::LoopDetected);
    bench.ok("recursive.track", track(0));
    assert_eq!(
        bench.ok("recursive.getTrace", json!({"sessionId": id})),
        json!({
            "steps": [
                {"step": "s", "depth": 5, "at": "2026-03-18T12:00:00.000Z"},
                {"step": "s", "depth": 9, "at": "2026-03-18T12:00:00.007Z"},
                {"step": "s", "depth": 0, "at": "2026-03-18T12:00:00.007Z"}
            ],
            "maxDepth": 9,
            "depthLimit": 1,
            "totalIterations": 3
        })
    );
}

#[test]
fn the_oldest_steps_are_forgotten() {
    let mut bench = Bench::default();
    bench.config.recursive.steps_max = 300;
    let (id, other) = (bench.session(), bench.session());
    bench.ok("recursive.track", json!({"sessionId": other, "step": "other", "depth": 0}));
    for number in 0..310 {
        bench.ok(
            "recursive.track",
            json!({"sessionId": id, "step": number.to_string(), "depth": number % 100}),
        );
    }
    let trace = bench.ok("recursive.getTrace", json!({"sessionId": id}));
    let steps = trace["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["step"], &steps[299]["step"]), (300, &json!("10"), &json!("309")));
    assert_eq!((&trace["maxDepth"], &trace["totalIterations"]), (&json!(99), &json!(310)));
    assert_eq!(bench.records.count(Table::Step), 301);
    bench.ok("state.endSession", json!({"sessionId": id}));
    assert_eq!(bench.records.count(Table::Step), 1);
}

/// All runs of rounds, the slow way.
fn cycles(steps: &[&str], rounds_min: usize) -> Option<Cycle> {
    let rounds = |start: usize, period: usize| {
        let mut chunks = steps[start..].chunks_exact(period);
        let first = chunks.next()?;
        Some(1 + chunks.take_while(|chunk| *chunk == first).count())
    };
    (1..=steps.len()).find_map(|period| {
        (0..steps.len()).find_map(|start| {
            rounds(start, period).filter(|rounds| *rounds >= rounds_min)?;
            Some(Cycle { start, period })
        })
    })
}

proptest! {
    #[test]
    fn cycles_are_found_as_by_brute_force(
        steps in proptest::collection::vec(proptest::sample::select(&["a", "b", "c"][..]), 0..24),
        rounds_min in 2usize..5,
    ) {
        prop_assert_eq!(find_cycle(&steps, rounds_min), cycles(&steps, rounds_min));
    }

    #[test]
    fn what_repeats_loops_and_what_does_not_does_not(period in 1usize..6, rounds in 2usize..5, turn in 0usize..5) {
        let names = ["a", "b", "c", "d", "e"];
        let mut bench = Bench::default();
        let id = bench.session();
        let current = names[turn % period];
        let stack = names[..period].repeat(rounds);
        let said = bench.ok("recursive.analyze",
            json!({"sessionId": id, "currentStep": current, "callStack": stack}));
        prop_assert_eq!(&said["isLooping"], &json!(true));
        prop_assert_eq!(&said["iterations"], &json!(rounds + 1));
        prop_assert_eq!(said["pattern"].as_str().unwrap().split(" -> ").count(), period);
        let said = bench.ok("recursive.analyze",
            json!({"sessionId": id, "currentStep": current, "callStack": names[..period]}));
        prop_assert_eq!(&said["isLooping"], &json!(false));
    }
}
