use proptest::prelude::*;
use serde_json::json;

use super::super::learning::{Section, Shared, SharedBullet, Training};
use super::*;

const BOOK: &str = "web-research-v3";

/// The request of the spec's example 7.
fn example() -> Value {
    json!({
        "playbookId": BOOK,
        "execution": {
            "input": {"query": "quantum computing market size 2026"},
            "output": {"summary": "...", "sources": 12},
            "steps": [
                {"action": "search", "tool": "web-search", "duration": 340},
                {"action": "filter", "tool": "relevance-scorer", "duration": 120},
                {"action": "synthesize", "tool": "summarizer", "duration": 890},
            ],
            "outcome": "success",
            "reward": 0.92,
        },
    })
}

fn add(bench: &mut Bench, section: &str, content: &str) -> String {
    let params = json!({"playbookId": BOOK, "section": section, "content": content});
    bench.ok("learning.addBullet", params)["bulletId"].as_str().unwrap().to_owned()
}

fn feedback(bench: &mut Bench, id: &str, helpful: bool) -> Value {
    bench.ok("learning.feedback", json!({"playbookId": BOOK, "bulletId": id, "helpful": helpful}))
}

fn book(bench: &mut Bench) -> Value {
    bench.ok("learning.getPlaybook", json!({"playbookId": BOOK}))
}

fn ids(bench: &mut Bench) -> Vec<String> {
    let bullets = book(bench)["bullets"].clone();
    bullets.as_array().unwrap().iter().map(|bullet| bullet["id"].as_str().unwrap().to_owned()).collect()
}

/// The new bullets of a run as `id: content`.
fn reflect(bench: &mut Bench, params: Value) -> Vec<String> {
    let found = bench.ok("learning.reflect", params);
    let text = |bullet: &Value| {
        format!("{}: {}", bullet["id"].as_str().unwrap(), bullet["content"].as_str().unwrap())
    };
    found["newBullets"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_run_is_reflected_as_in_the_spec() {
    let mut bench = Bench::default();
    let reflected = bench.ok("learning.reflect", example());
    let recipe = "For 2026, computing, market tasks: search(web-search) → filter(relevance-scorer) → \
        synthesize(summarizer).";
    let recipe = recipe.replace("2026, computing, market", "computing, market, quantum");
    assert_eq!(
        reflected,
        json!({
            "newBullets": [
                {"id": "str-00001", "section": "str", "content": recipe},
                {"id": "cal-00002", "section": "cal", "content": "Budget summarizer: 890 ms, more than half of the run."},
            ],
            "prunedBullets": [],
            "playbookVersion": 1,
        })
    );
    // The same again teaches nothing.
    let again = bench.ok("learning.reflect", example());
    assert_eq!(again, json!({"newBullets": [], "prunedBullets": [], "playbookVersion": 1}));
    let info = book(&mut bench);
    assert_eq!(info["version"], 1);
    assert_eq!(info["bullets"][0]["helpfulCount"], 0);
    let bytes: usize = ["newBullets"]
        .iter()
        .flat_map(|name| reflected[*name].as_array().unwrap())
        .map(|b| b["content"].as_str().unwrap().len().div_ceil(4))
        .sum();
    assert_eq!(info["tokenCount"], bytes);
}

#[test]
fn every_rule_speaks() {
    let mut bench = Bench::default();
    let run = |steps: Value, outcome: &str, reward: f64| {
        json!({"playbookId": BOOK, "execution": {"input": "solid-state batteries", "output": 1, "steps": steps,
               "outcome": outcome, "reward": reward}})
    };
    let mut failed = run(
        json!([{"action": "search", "tool": "web", "error": "timeout: after 30 s"}, {"action": "guess"}]),
        "failure",
        -0.5,
    );
    failed["execution"]["feedback"] = json!("  ask  carol@example.com \n first ");
    let new = reflect(&mut bench, failed);
    assert_eq!(
        new,
        [
            "mis-00001: Avoid search with web on batteries, solid-state: timeout.",
            "fbk-00002: ask [EMAIL] first",
        ]
    );
    let steps: Vec<Value> = ["a", "b", "a", "b", "a", "b"].map(|action| json!({"action": action})).into();
    let new = reflect(&mut bench, run(json!(steps), "partial", 0.1));
    assert_eq!(new, ["mis-00003: Stop repeating a → b; change the input or the tool."]);
    for duration in [100, 110, 90] {
        reflect(
            &mut bench,
            run(json!([{"action": "x", "tool": "slow", "duration": duration}]), "success", 0.6),
        );
    }
    let new =
        reflect(&mut bench, run(json!([{"action": "x", "tool": "slow", "duration": 301}]), "success", 0.6));
    assert_eq!(new, ["cal-00004: Budget slow: usually 100 ms, at times thrice that."]);
    for _ in 0..2 {
        let steps = json!([{"action": "read"}, {"action": "guess"}]);
        assert_eq!(reflect(&mut bench, run(steps, "failure", -1.0)).len(), 0);
    }
    let new = reflect(&mut bench, run(json!([{"action": "read"}, {"action": "check"}]), "success", 0.7));
    assert_eq!(new, ["str-00005: After read do check, not guess."]);
}

#[test]
fn bullets_that_were_used_are_counted_and_bad_ones_go() {
    let mut bench = Bench::default();
    let (good, bad) = (add(&mut bench, "str", "Prefer primary sources."), add(&mut bench, "mis", "Guess."));
    assert_eq!((&good[..], &bad[..]), ("str-00001", "mis-00002"));
    assert_eq!(add(&mut bench, "str", "prefer  primary sources."), good, "it is there already");
    assert_eq!(book(&mut bench)["version"], 2);
    let mut params = example();
    params["execution"]["usedBullets"] = json!([good, "str-99999"]);
    bench.ok("learning.reflect", params.clone());
    params["execution"]["usedBullets"] = json!([bad]);
    params["execution"]["outcome"] = json!("failure");
    for round in 1..=3 {
        let found = bench.ok("learning.reflect", params.clone());
        let pruned = if round == 3 { json!([bad]) } else { json!([]) };
        assert_eq!((&found["prunedBullets"], &found["playbookVersion"]), (&pruned, &json!(3 + round)));
    }
    assert_eq!(feedback(&mut bench, &good, true), json!({"helpfulCount": 2, "harmfulCount": 0}));
    assert_eq!(feedback(&mut bench, &good, false), json!({"helpfulCount": 2, "harmfulCount": 1}));
    assert_eq!(ids(&mut bench), ["str-00001", "str-00003", "cal-00004"]);
    let stats = bench.ok("learning.getStats", json!({"playbookId": BOOK}));
    assert_eq!(stats["totalBullets"], 3);
    assert_eq!(stats["bySection"], json!({"str": 2, "cal": 1, "mis": 0, "fbk": 0}));
    assert_eq!(stats["version"], book(&mut bench)["version"]);
    assert!((stats["avgScore"].as_f64().unwrap() - (0.6 + 0.5 + 0.5) / 3.0).abs() < 1e-12);
}

#[test]
fn curating_drops_the_worst_until_it_fits() {
    let mut bench = Bench::default();
    let all: Vec<String> =
        (0..6).map(|n| add(&mut bench, "str", &format!("{n}{}", "x".repeat(39)))).collect();
    feedback(&mut bench, &all[0], true);
    feedback(&mut bench, &all[4], false);
    let version = book(&mut bench)["version"].as_u64().unwrap();
    let curated = bench.ok("learning.curate", json!({"playbookId": BOOK, "maxTokens": 35}));
    let removed = json!([all[4], all[1], all[2]]);
    assert_eq!(curated, json!({"removed": removed, "remaining": 3, "tokenCount": 30}));
    assert_eq!(ids(&mut bench), [&all[0][..], &all[3], &all[5]]);
    assert_eq!(book(&mut bench)["version"], version + 1);
    bench.ok("learning.curate", json!({"playbookId": BOOK}));
    assert_eq!(book(&mut bench)["version"], version + 1, "nothing has changed");
    assert_eq!(add(&mut bench, "fbk", "new"), "fbk-00007", "numbers are not used again");
    bench.ok("learning.curate", json!({"playbookId": BOOK, "maxTokens": 0}));
    assert_eq!(ids(&mut bench).len(), 0);
}

#[test]
fn a_run_uses_no_more_than_a_playbook_has() {
    let mut bench = Bench::default();
    bench.config.learning.bullets_max = 3;
    let mut params = example();
    params["execution"]["usedBullets"] = json!(["str-00001", "cal-00001", "str-1", "str", "str-99999999999"]);
    let (code, message) = bench.fails("learning.reflect", params.clone());
    assert_eq!(code, Code::InvalidParams);
    assert!(message.starts_with("execution.usedBullets: "), "{message}");
    assert_eq!(bench.records, MemoryRecords::default());
    let id = add(&mut bench, "str", "Prefer primary sources.");
    assert_eq!(id, "str-00001");
    params["execution"]["usedBullets"] = json!(["cal-00001", "str-1", "str"]);
    bench.ok("learning.reflect", params.clone());
    assert_eq!(book(&mut bench)["bullets"][0]["helpfulCount"], 0, "only its own id names it");
    params["execution"]["usedBullets"] = json!([id, id]);
    bench.ok("learning.reflect", params);
    assert_eq!(book(&mut bench)["bullets"][0]["helpfulCount"], 1);
}

#[test]
fn a_playbook_has_bounds() {
    let mut bench = Bench::default();
    (bench.config.learning.bullets_max, bench.config.learning.playbooks_max) = (3, 1);
    for content in ["one", "two", "three", "four"] {
        add(&mut bench, "cal", content);
    }
    assert_eq!(ids(&mut bench), ["cal-00002", "cal-00003", "cal-00004"], "of equals the oldest goes");
    let params = json!({"playbookId": "other", "section": "str", "content": "x"});
    assert_eq!(bench.fails("learning.addBullet", params).0, Code::Full);
    bench.config.learning.token_budget = 30;
    let found = bench.ok("learning.reflect", example());
    assert!(book(&mut bench)["tokenCount"].as_u64().unwrap() <= 30);
    let gone = found["prunedBullets"].as_array().unwrap();
    assert!(gone.contains(&json!("cal-00002")), "{found}");
}

#[test]
fn what_is_not_there_or_wrong_is_refused() {
    let mut bench = Bench::default();
    for (method, more) in [
        ("learning.getPlaybook", json!({})),
        ("learning.getStats", json!({})),
        ("learning.curate", json!({})),
        ("learning.feedback", json!({"bulletId": "str-00001", "helpful": true})),
    ] {
        let mut params = more;
        params["playbookId"] = json!(BOOK);
        let error = bench.call(method, params).unwrap_err();
        assert_eq!(
            (error.code, &error.data.unwrap()["kind"]),
            (Code::InvalidParams, &json!("playbook")),
            "{method}"
        );
    }
    let wrong = json!({"playbookId": BOOK, "section": "tip", "content": "x"});
    assert!(bench.fails("learning.addBullet", wrong).1.starts_with("section"));
    let mut wrong = example();
    wrong["execution"]["reward"] = json!(1.5);
    assert!(bench.fails("learning.reflect", wrong).1.starts_with("execution.reward"));
    assert_eq!(bench.records, MemoryRecords::default());
    add(&mut bench, "str", "x");
    let error = bench
        .call("learning.feedback", json!({"playbookId": BOOK, "bulletId": "str-00002", "helpful": true}));
    assert_eq!(error.unwrap_err().data.unwrap()["kind"], "bullet");
}

#[test]
fn an_evaluation_changes_nothing() {
    let mut bench = Bench::default();
    bench.config.learning.training = Training::EvalOnly;
    let nothing = json!({"newBullets": [], "prunedBullets": [], "playbookVersion": 0});
    assert_eq!(bench.ok("learning.reflect", example()), nothing);
    assert_eq!(bench.records, MemoryRecords::default());
    // Offline, what is bad goes when asked.
    bench.config.learning.training = Training::Offline;
    let id = add(&mut bench, "mis", "Guess.");
    for _ in 0..3 {
        feedback(&mut bench, &id, false);
    }
    assert_eq!(bench.ok("learning.reflect", example())["prunedBullets"], json!([]));
    assert_eq!(bench.ok("learning.curate", json!({"playbookId": BOOK}))["removed"], json!([id]));
}

#[test]
fn a_model_may_reflect_and_the_rules_stand_in() {
    let mut bench = Bench::default();
    bench.config.learning.model = true;
    let id = add(&mut bench, "str", "Prefer primary sources.");
    let reply = |content: &str| -> Fetched {
        Ok(json!({"choices": [{"message": {"content": content}}]}).to_string().into())
    };
    let said = json!({
        "reasoning": "...", "bullet_tags": [{"id": id, "tag": "helpful"}, {"id": "x", "tag": "harmful"}],
        "operations": [{"type": "ADD", "section": "mis", "content": "Do not ask dave@example.com."},
                       {"type": "DELETE", "section": "str", "content": "?"}],
    });
    let ask = |bench: &mut Bench, fetched: Fetched| {
        let call = bench.start("learning.reflect", example());
        assert_eq!(bench.answer(call), None);
        let Some(Did::Fetched(Fetch { id, from: Source::Model, body })) = bench.net.did.pop() else {
            panic!("it asks the model")
        };
        assert!(body.contains("Prefer primary sources"));
        bench.run(|agent, env| agent.on_fetched(env, id, fetched.clone()));
        bench.run(|agent, env| agent.on_fetched(env, id, fetched));
        bench.answer(call).unwrap().unwrap()
    };
    let found = ask(&mut bench, reply(&said.to_string()));
    assert_eq!(
        found["newBullets"],
        json!([{"id": "mis-00002", "section": "mis", "content": "Do not ask [EMAIL]."}])
    );
    assert_eq!(found["playbookVersion"], 2);
    assert_eq!(book(&mut bench)["bullets"][0]["helpfulCount"], 1);
    let found = ask(&mut bench, reply("I think..."));
    assert_eq!(found["newBullets"].as_array().unwrap().len(), 2, "by the rules");
    assert_eq!(ask(&mut bench, Err("down".into()))["newBullets"], json!([]));
    let call = bench.start("learning.reflect", example());
    bench.pass(Duration::from_secs(31));
    assert!(bench.answer(call).unwrap().is_ok(), "a model that is silent is waited for no longer");
}

#[test]
fn the_same_happens_again() {
    let work = || {
        let mut bench = Bench::default();
        for number in 0..20 {
            let mut params = example();
            params["execution"]["reward"] = json!(f64::from(number) / 10.0 - 1.0);
            params["execution"]["input"] = json!(format!("query number{number} about batteries"));
            params["execution"]["usedBullets"] = json!(["str-00001"]);
            bench.ok("learning.reflect", params);
        }
        bench.records
    };
    assert_eq!(work(), work());
}

fn shared() -> impl Strategy<Value = Shared> {
    let counter = || prop::collection::btree_map("[a-c]", 0u64..5, 0..3);
    let section = prop::sample::select(&Section::ALL[..]);
    // Some differ in letter case and white space alone.
    let bullet = (section, "[xX] ?[yY]", counter(), counter());
    prop::collection::vec(bullet, 0..5).prop_map(|bullets| {
        let mut shared = Shared::default();
        for (section, content, helpful, harmful) in bullets {
            let one = SharedBullet { section, content: content.clone(), helpful, harmful };
            let bullets = [(SharedBullet::identity(section, &content), one)].into();
            shared.merge(&Shared { bullets });
        }
        shared
    })
}

proptest! {
    #[test]
    fn playbooks_merge_in_any_order(a in shared(), b in shared(), c in shared()) {
        let merge = |a: &Shared, b: &Shared| {
            let mut merged = a.clone();
            merged.merge(b);
            merged
        };
        prop_assert_eq!(merge(&a, &b), merge(&b, &a));
        prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
        prop_assert_eq!(merge(&a, &a), a);
    }
}

#[test]
fn what_a_model_said_is_said_again_when_a_run_is_repeated() {
    let said =
        json!({"operations": [{"type": "ADD", "section": "str", "content": "Ask twice."}]}).to_string();
    let reply = json!({"choices": [{"message": {"content": said}}]}).to_string();
    let mut bench = Bench::default();
    (bench.config.learning.model, bench.config.learning.answers_max) = (true, 1);
    let ask = |bench: &mut Bench, params: Value, reply: &str| {
        let call = bench.start("learning.reflect", params);
        if let Some(Did::Fetched(fetch)) = bench.net.did.iter().find(|did| matches!(did, Did::Fetched(_))) {
            let (id, reply) = (fetch.id, Ok(reply.into()));
            bench.run(|agent, env| agent.on_fetched(env, id, reply));
        }
        let asked = bench.net.did.iter().any(|did| matches!(did, Did::Fetched(_)));
        let found = bench.answer(call).unwrap().unwrap();
        bench.net.did.clear();
        (asked, found)
    };
    assert!(ask(&mut bench, example(), "nonsense").0);
    let answers = |bench: &Bench| bench.records.scan(Table::Fact, b"learning/answer/", None, 9).len();
    assert_eq!(answers(&bench), 0, "what was of no use is not kept");
    let mut other = example();
    other["playbookId"] = json!("other");
    let (asked, first) = ask(&mut bench, other.clone(), &reply);
    assert!(asked);
    assert_eq!(first["newBullets"][0]["content"], "Ask twice.");
    assert!(ask(&mut bench, other, &reply).0, "the playbook is another now");
    assert_eq!(answers(&bench), 2, "one answer, and how many there are");

    // The same run again: all that is left of the first is what the model said.
    let mut again = Bench { config: bench.config.clone(), ..Bench::default() };
    for (key, value) in bench.records.scan(Table::Fact, b"learning/answer/", None, 9) {
        again.records.put(Table::Fact, &key, None, value);
    }
    assert_eq!(ask(&mut again, example(), "nobody is asked"), (false, first));
    again.config.learning.answers_max = 0;
    let mut third = example();
    third["playbookId"] = json!("third");
    assert!(ask(&mut again, third, &reply).0, "off, it asks every time");
}
