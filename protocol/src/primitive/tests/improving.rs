mod bounds;

use serde_json::json;

use super::*;

const TASK: &str = "web-research";

fn topic() -> Topic {
    Topic::trajectories(TASK).unwrap()
}

/// The request of the spec's example 8, as a task of this number.
fn run(number: u32, reward: f64) -> Value {
    json!({
        "taskType": TASK,
        "input": {"query": format!("{number} {}", "abcdefghij".repeat(number as usize % 7))},
        "output": {"summary": "...", "confidence": 0.88},
        "steps": [
            {"action": "search", "tool": "web-search", "params": {"q": "canary-p"}, "result": {"count": 47}, "duration": 310},
            {"action": "synthesize", "tool": "summarizer", "result": "canary-r", "duration": 940.5},
        ],
        "reward": reward,
        "metadata": {"model": "gemma-3-27b", "totalDuration": 3735},
    })
}

fn bench(number: u8) -> Bench {
    Bench { own: peer(number), ..Bench::default() }
}

/// What a bench published on a topic since the last time.
fn published(bench: &mut Bench, on: &Topic) -> Vec<Value> {
    let mut found = Vec::new();
    bench.net.did.retain(|did| {
        let Did::Published(topic, d) = did else { return true };
        if topic == on {
            found.push(d.clone());
        }
        topic != on
    });
    found
}

fn deliver(bench: &mut Bench, author: PeerId, on: &Topic, d: &Value) {
    let text = d.to_string();
    bench.run(|agent, env| agent.on_message(env, author, on, &text));
}

fn exemplars(bench: &mut Bench) -> Vec<Value> {
    let found = bench.ok("improving.getExemplars", json!({"taskType": TASK, "limit": 64, "minReward": -1}));
    found["exemplars"].as_array().unwrap().clone()
}

fn authors(bench: &mut Bench) -> Vec<String> {
    exemplars(bench).iter().map(|exemplar| exemplar["peerId"].as_str().unwrap().to_owned()).collect()
}

/// What peer `number` publishes when it records this run.
fn message(number: u8, params: Value) -> Value {
    let mut bench = bench(number);
    bench.ok("improving.recordTrajectory", params);
    let mut message = published(&mut bench, &topic()).remove(0);
    // Benches draw the same random ids.
    message["trajectoryId"] = json!(format!("traj-{:.16}", message["contentHash"].as_str().unwrap()));
    message
}

#[test]
fn a_trajectory_is_recorded_and_shared() {
    let mut bench = bench(1);
    bench.net.subscribers.insert(topic(), vec![peer(2), peer(3)]);
    let recorded = bench.ok("improving.recordTrajectory", run(1, 0.88));
    assert_eq!((&recorded["state"], &recorded["gossipedTo"]), (&json!("SUCCESS"), &json!(2)));
    let id = recorded["trajectoryId"].as_str().unwrap();
    assert!(id.starts_with("traj-"));
    assert_eq!(bench.net.did[0], Did::Subscribed(topic()));
    let message = published(&mut bench, &topic()).remove(0);
    assert_eq!(message["trajectoryId"], id);
    assert_eq!(message["state"], "SUCCESS");
    assert_eq!(message["derivedFrom"], json!([]));
    let steps = json!([
        {"action": "search", "tool": "web-search", "duration": 310},
        {"action": "synthesize", "tool": "summarizer", "duration": 940.5},
    ]);
    assert_eq!(message["steps"], steps);
    assert!(!message.to_string().contains("canary"));
    let everything: Vec<u8> = bench.records.iter().flat_map(|(.., value)| value.to_vec()).collect();
    assert!(!String::from_utf8_lossy(&everything).contains("canary"), "what steps were given is not kept");
    let found = bench.ok("improving.getExemplars", json!({"taskType": TASK, "limit": 3, "minReward": 0.7}));
    assert_eq!((&found["librarySize"], &found["avgReward"]), (&json!(1), &json!(0.88)));
    let expected = json!({
        "trajectoryId": id, "input": {"query": "1 abcdefghij"}, "output": {"summary": "...", "confidence": 0.88},
        "steps": steps, "reward": 0.88, "utilityScore": 0.88, "usageCount": 1, "peerId": peer(1).to_string(),
    });
    assert_eq!(found["exemplars"], json!([expected]));
    assert_eq!(bench.ok("improving.recordTrajectory", run(2, 0.49))["state"], "FAILED");
    assert_eq!(bench.ok("improving.recordTrajectory", run(2, -1.0))["state"], "FAILED");
}

#[test]
fn what_cannot_be_is_rejected() {
    let mut bench = bench(1);
    let with = |name: &str, value: Value| {
        let mut params = run(1, 0.5);
        params[name] = value;
        params
    };
    for (name, value) in [("reward", json!(7)), ("reward", json!(-1.001)), ("steps", json!([]))] {
        let (code, text) = bench.fails("improving.recordTrajectory", with(name, value));
        assert_eq!(code, Code::TrajectoryRejected, "{text}");
        assert!(text.starts_with(name), "{text}");
    }
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    for wrong in [with("input", deep), with("output", json!("x".repeat(1 << 20)))] {
        assert_eq!(bench.fails("improving.recordTrajectory", wrong).0, Code::TrajectoryRejected);
    }
    for (name, value) in [
        ("reward", json!("high")),
        ("steps", json!([{"tool": "web-search"}])),
        ("steps", json!([{"action": "a", "duration": -1}])),
        ("taskType", json!("a/b")),
        ("taskType", json!("")),
        ("taskType", json!("x".repeat(129))),
    ] {
        let (code, text) = bench.fails("improving.recordTrajectory", with(name, value));
        assert_eq!(code, Code::InvalidParams, "{text}");
        assert!(text.starts_with(name), "{text}");
    }
    let params = json!({"taskType": TASK, "strategy": "BEST"});
    assert_eq!(bench.fails("improving.getExemplars", params.clone()).0, Code::InvalidParams);
    assert_eq!(bench.fails("improving.curate", params).0, Code::InvalidParams);
    assert_eq!(bench.records, MemoryRecords::default());
    assert_eq!(bench.net.did, []);
    let (code, _) = bench.fails("improving.augment", json!({"trajectoryId": "traj-0"}));
    assert_eq!(code, Code::InvalidParams);
}

#[test]
fn a_received_trajectory_is_an_exemplar_of_its_author() {
    let (mut a, mut b) = (bench(1), bench(2));
    for (from, to, number) in [(1u8, &mut b, 1), (2, &mut a, 2)] {
        let said = message(from, run(number, 0.9));
        deliver(to, peer(from), &topic(), &said);
        deliver(to, peer(from), &topic(), &said);
        let found = exemplars(to);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["peerId"], peer(from).to_string());
        assert_eq!(found[0]["trajectoryId"], said["trajectoryId"]);
        assert_eq!(found[0]["utilityScore"], 0.45, "an unknown author counts half");
        assert!(to.net.did.contains(&Did::Subscribed(Topic::reputation(peer(from)))));
        let assessed = to.ok("improving.assessDifficulty", json!({"taskType": TASK, "input": 1}));
        assert_eq!(assessed["recommendation"], "explore", "the success of another is not ours");
        // The same content from someone else, also under another id, is nothing new.
        let mut copy = said.clone();
        copy["trajectoryId"] = json!("traj-copy");
        deliver(to, peer(9), &topic(), &copy);
        assert_eq!(authors(to), [peer(from).to_string()]);
    }
}

#[test]
fn a_message_that_cannot_be_is_dropped_and_a_lie_remembered() {
    let said = message(2, run(1, 0.9));
    let strange = |change: &dyn Fn(&mut Value)| {
        let mut message = said.clone();
        message.as_object_mut().unwrap().remove("contentHash");
        change(&mut message);
        message
    };
    let drop = [
        strange(&|m| m["taskType"] = json!("other")),
        strange(&|m| m["state"] = json!("PENDING")),
        strange(&|m| m["state"] = json!("GREAT")),
        strange(&|m| m["trajectoryId"] = json!("")),
        strange(&|m| m["steps"][0]["action"] = json!("x".repeat(1000))),
        strange(&|m| m["derivedFrom"] = json!(vec!["x"; 17])),
        json!([1]),
    ];
    let mut bench = bench(1);
    for message in &drop {
        deliver(&mut bench, peer(2), &topic(), message);
    }
    let reputation = |bench: &mut Bench| bench.run(|_, env| env.reputation(&peer(2)));
    assert_eq!((authors(&mut bench).len(), reputation(&mut bench)), (0, None));
    let mut forged = said.clone();
    forged["reward"] = json!(1);
    for lie in [forged, strange(&|m| m["reward"] = json!(7)), strange(&|m| m["steps"] = json!([]))] {
        let before = reputation(&mut bench).unwrap_or(0.5);
        deliver(&mut bench, peer(2), &topic(), &lie);
        assert!(reputation(&mut bench).unwrap() < before, "{lie}");
    }
    assert_eq!(published(&mut bench, &Topic::reputation(peer(2))).len(), 1, "once in a while is enough");
    // Another dialect: no hash, more members. What is not ours to see is not kept.
    let open = strange(&|m| m["steps"][0]["params"] = json!("canary"));
    deliver(&mut bench, peer(2), &topic(), &open);
    assert_eq!(
        exemplars(&mut bench)[0]["steps"][0],
        json!({"action": "search", "tool": "web-search", "duration": 310})
    );
    // A second text under the same id does not replace the first.
    let mut second = message(2, run(2, 0.9));
    second["trajectoryId"] = said["trajectoryId"].clone();
    deliver(&mut bench, peer(2), &topic(), &second);
    assert_eq!(exemplars(&mut bench).len(), 1);
}

#[test]
fn what_identifies_people_does_not_leave() {
    let mut params = run(1, 0.9);
    params["input"] = json!({"query": "about alice@example.com", "card": {"nested": "4111 1111 1111 1111"}});
    params["output"] = json!({"bob@example.com": ["+14155550123", "sk-abcdefghijklmnop0123456789"]});
    params["steps"][0]["action"] = json!("mail carol@example.com");
    let text = message(1, params).to_string();
    for canary in ["alice", "4111", "bob", "415", "sk-abc", "carol"] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}

#[test]
fn who_opts_out_shares_nothing() {
    let mut own = run(1, 0.9);
    own["metadata"]["share"] = json!(false);
    let mut bench = bench(1);
    bench.net.subscribers.insert(topic(), vec![peer(2)]);
    assert_eq!(bench.ok("improving.recordTrajectory", own)["gossipedTo"], 0);
    bench.config.improving.publish = false;
    assert_eq!(bench.ok("improving.recordTrajectory", run(2, 0.9))["gossipedTo"], 0);
    assert_eq!(published(&mut bench, &topic()), [] as [Value; 0]);
    // Nor does it answer who guesses the hash.
    let heads: Vec<Value> = bench
        .records
        .iter()
        .filter(|(table, ..)| *table == Table::Trajectory)
        .map(|(.., value)| serde_json::from_slice(value).unwrap())
        .collect();
    assert_eq!(heads.len(), 2);
    for head in heads {
        let question = json!({"contentHash": head["head"]["hash"]}).to_string();
        bench.run(|agent, env| agent.on_asked(env, peer(2), RequestId(7), Protocol::Trajectory, &question));
        assert_eq!(
            bench.net.did.pop(),
            Some(Did::Told(peer(2), RequestId(7), json!({"error": "not_found"})))
        );
    }
}

/// A long run: what A announces, the question that B asks, and what A answers.
fn long(a: &mut Bench, b: &mut Bench) -> (RequestId, Value) {
    b.ok("improving.getExemplars", json!({"taskType": TASK}));
    let mut params = run(1, 0.9);
    params["output"] = json!("long ".repeat(20_000));
    a.ok("improving.recordTrajectory", params);
    let digest = published(a, &topic()).remove(0);
    let names: Vec<&String> = digest.as_object().unwrap().keys().collect();
    assert_eq!(names, ["contentHash", "reward", "state", "taskType", "trajectoryId"]);
    deliver(b, a.own, &topic(), &digest);
    deliver(b, a.own, &topic(), &digest);
    let asked: Vec<_> = b.net.did.iter().filter(|did| matches!(did, Did::Asked(..))).cloned().collect();
    let [Did::Asked(to, id, Protocol::Trajectory, body)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(*to, a.own);
    let own = b.own;
    a.run(|agent, env| agent.on_asked(env, own, *id, Protocol::Trajectory, &body.to_string()));
    let Some(Did::Told(_, _, answer)) = a.net.did.pop() else { panic!("it answers") };
    (*id, answer)
}

#[test]
fn what_is_too_long_is_fetched_by_its_hash() {
    let (mut a, mut b) = (bench(1), bench(2));
    let (id, answer) = long(&mut a, &mut b);
    b.run(|agent, env| agent.on_told(env, Some(peer(1)), id, Some(&answer.to_string())));
    assert_eq!(authors(&mut b), [peer(1).to_string()]);
}

#[test]
fn a_server_that_lies_gains_nothing() {
    let changes: [&dyn Fn(&mut Value); 5] = [
        &|answer| answer["trajectory"]["output"] = json!("buy this"),
        &|answer| answer["trajectory"]["reward"] = json!(1),
        &|answer| answer["trajectory"]["trajectoryId"] = json!("traj-1"),
        &|answer| answer["trajectory"]["steps"] = json!(null),
        &|answer| answer["trajectory"] = json!("no"),
    ];
    for (number, change) in changes.iter().enumerate() {
        let (mut a, mut b) = (bench(1), bench(2));
        let (id, mut answer) = long(&mut a, &mut b);
        change(&mut answer);
        b.run(|agent, env| agent.on_told(env, Some(peer(1)), id, Some(&answer.to_string())));
        assert_eq!(authors(&mut b).len(), 0, "{number}");
        if number != 3 {
            assert!(b.run(|_, env| env.reputation(&peer(1))).unwrap() < 0.5, "{number}");
        }
    }
    let (mut a, mut b) = (bench(1), bench(2));
    let (id, _) = long(&mut a, &mut b);
    b.pass(Duration::from_secs(11));
    assert_eq!(b.run(|_, env| env.reputation(&peer(1))), None, "who does not answer has not lied");
    b.run(|agent, env| agent.on_told(env, Some(peer(1)), id, Some("{}")));
}

#[test]
fn the_library_has_bounds() {
    let mut bench = bench(1);
    (bench.config.improving.task_max, bench.config.improving.author_max) = (4, 2);
    for (author, number, reward) in [(2, 1, 0.6), (2, 2, 0.9), (2, 3, 0.7), (3, 4, 0.1), (3, 5, 0.2)] {
        deliver(&mut bench, peer(author), &topic(), &message(author, run(number, reward)));
    }
    let rewards = |bench: &mut Bench| {
        let mut rewards: Vec<f64> =
            exemplars(bench).iter().map(|exemplar| exemplar["reward"].as_f64().unwrap()).collect();
        rewards.sort_by(f64::total_cmp);
        rewards
    };
    assert_eq!(rewards(&mut bench), [0.1, 0.2, 0.7, 0.9], "of an author's three the least went");
    for number in 6..9 {
        bench.ok("improving.recordTrajectory", run(number, -0.5));
    }
    assert_eq!(rewards(&mut bench), [-0.5, -0.5, -0.5, 0.9], "own ones stay longest");
    for number in 9..12 {
        bench.ok("improving.recordTrajectory", run(number, 0.3));
    }
    assert_eq!(rewards(&mut bench), [-0.5, 0.3, 0.3, 0.3]);
    bench.config.improving.library_max = 3;
    let mut other = run(20, 0.2);
    other["taskType"] = json!("other");
    bench.ok("improving.recordTrajectory", other);
    assert_eq!(bench.records.count(Table::Trajectory), 3);
}

#[test]
fn exemplars_are_worth_what_came_of_them() {
    let mut bench = bench(1);
    for (author, number) in [(2, 1), (3, 2)] {
        deliver(&mut bench, peer(author), &topic(), &message(author, run(number, 0.9)));
    }
    let score = |bench: &mut Bench, author: u8| {
        let found = exemplars(bench);
        let found = found.iter().find(|exemplar| exemplar["peerId"] == peer(author).to_string()).unwrap();
        found["utilityScore"].as_f64().unwrap()
    };
    let id =
        exemplars(&mut bench).iter().find(|e| e["peerId"] == peer(3).to_string()).unwrap()["trajectoryId"]
            .clone();
    for number in 10..20 {
        let mut params = run(number, -1.0);
        params["metadata"] = json!({"exemplars": [id]});
        bench.ok("improving.recordTrajectory", params);
    }
    assert_eq!(score(&mut bench, 2), 0.45);
    assert!(score(&mut bench, 3) < 0.1);
    let ratings = published(&mut bench, &Topic::reputation(peer(3)));
    assert_eq!(ratings.len(), 1);
    assert_eq!((&ratings[0]["positive"], &ratings[0]["negative"]), (&json!(0), &json!(1)));
    // What was held back comes later, once.
    bench.pass(Duration::from_secs(1000));
    let ratings = published(&mut bench, &Topic::reputation(peer(3)));
    assert_eq!(ratings.len(), 1);
    assert_eq!((&ratings[0]["positive"], &ratings[0]["negative"]), (&json!(0), &json!(10)));
    // Without names, those handed out last share the credit.
    exemplars(&mut bench);
    bench.ok("improving.recordTrajectory", run(30, 1.0));
    assert!(score(&mut bench, 2) > 0.45);
    let sorted = exemplars(&mut bench);
    let scores: Vec<f64> = sorted.iter().map(|e| e["utilityScore"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for strategy in ["ACCUMULATE", "DATABASE_LEVEL", "EXEMPLAR_LEVEL", "HYBRID"] {
        let params = json!({"taskType": TASK, "strategy": strategy, "limit": 2});
        let found = bench.ok("improving.getExemplars", params.clone());
        assert_eq!(found["exemplars"].as_array().unwrap().len(), 2, "{strategy}");
        let before = found["librarySize"].as_u64().unwrap();
        let curated = bench.ok("improving.curate", params);
        let [kept, pruned] = ["kept", "pruned"].map(|name| curated[name].as_u64().unwrap());
        assert_eq!((kept + pruned, &curated["librarySize"]), (before, &curated["kept"]), "{strategy}");
    }
    assert!(!authors(&mut bench).contains(&peer(3).to_string()), "curated away");
}

#[test]
fn unlike_examples_come_before_copies() {
    let mut bench = bench(1);
    let task = |query: &str, reward: f64| {
        let mut params = run(1, reward);
        params["input"] = json!(query);
        params
    };
    for query in
        ["market size of solar cells", "market size of solar cells 2", "market size of solar cells 3"]
    {
        bench.ok("improving.recordTrajectory", task(query, 0.9));
    }
    bench.ok("improving.recordTrajectory", task("write a haiku about winter", 0.8));
    let found = bench.ok("improving.getExemplars", json!({"taskType": TASK, "limit": 2}));
    let rewards: Vec<&Value> = found["exemplars"].as_array().unwrap().iter().map(|e| &e["reward"]).collect();
    assert_eq!(rewards, [&json!(0.9), &json!(0.8)]);
}

#[test]
fn difficulty_is_that_of_the_last_own_runs() {
    let mut bench = bench(1);
    let assess = |bench: &mut Bench, samples: u64| {
        let found = bench
            .ok("improving.assessDifficulty", json!({"taskType": TASK, "input": {}, "samples": samples}));
        (found["difficulty"].as_str().unwrap().to_owned(), found["passRate"].as_f64().unwrap())
    };
    assert_eq!(assess(&mut bench, 10), ("FRONTIER".to_owned(), 0.5));
    for number in 0..10 {
        bench.ok("improving.recordTrajectory", run(number, if number < 8 { 0.9 } else { 0.0 }));
    }
    assert_eq!(assess(&mut bench, 10), ("FRONTIER".to_owned(), 0.8));
    assert_eq!(assess(&mut bench, 2), ("TOO_HARD".to_owned(), 0.0));
    for number in 10..15 {
        bench.ok("improving.recordTrajectory", run(number, 0.0));
    }
    assert_eq!(assess(&mut bench, 10), ("FRONTIER".to_owned(), 0.3));
    bench.ok("improving.recordTrajectory", run(15, 0.0));
    assert_eq!(assess(&mut bench, 10), ("TOO_HARD".to_owned(), 0.2));
    for number in 16..25 {
        bench.ok("improving.recordTrajectory", run(number, 1.0));
    }
    assert_eq!(assess(&mut bench, 10), ("TOO_EASY".to_owned(), 0.9));
}

#[test]
fn a_failure_is_mended_with_a_success() {
    let mut bench = bench(1);
    let mut failed = run(1, -0.2);
    failed["steps"] = json!([
        {"action": "search", "tool": "web-search"},
        {"action": "guess", "tool": "llm", "error": "timeout"},
    ]);
    let id = bench.ok("improving.recordTrajectory", failed)["trajectoryId"].clone();
    let augment = |bench: &mut Bench, mode: Value| {
        bench.ok("improving.augment", json!({"trajectoryId": id, "mode": mode}))
    };
    assert_eq!(augment(&mut bench, json!("NONE")), json!({"augmented": false, "newState": "FAILED"}));
    let feedback = augment(&mut bench, json!("FEEDBACK_ONLY"));
    assert_eq!((&feedback["augmented"], &feedback["newState"]), (&json!(false), &json!("FAILED")));
    assert!(feedback["feedback"].as_str().unwrap().contains("guess"));
    assert_eq!(augment(&mut bench, json!(null))["augmented"], false, "there is nothing to learn from");
    bench.ok("improving.recordTrajectory", run(2, 0.9));
    let mended = augment(&mut bench, json!("FULL_PIPELINE"));
    assert_eq!((&mended["augmented"], &mended["newState"]), (&json!(true), &json!("AUGMENTED")));
    let found = exemplars(&mut bench);
    let mended = found.iter().find(|e| e["trajectoryId"] == id).unwrap();
    assert_eq!(mended["reward"], 0.5);
    let actions: Vec<&Value> = mended["steps"].as_array().unwrap().iter().map(|s| &s["action"]).collect();
    assert_eq!(actions, ["search", "synthesize"]);
    assert_eq!(augment(&mut bench, json!("FULL_PIPELINE"))["augmented"], false);
    let stats = bench.ok("improving.getLibraryStats", json!({}));
    assert_eq!(stats["byState"], json!({"PENDING": 0, "SUCCESS": 1, "FAILED": 0, "AUGMENTED": 1}));
    assert_eq!(stats["total"], 2);
    assert_eq!(stats["topContributors"][0]["peerId"], peer(1).to_string());
    assert_eq!(bench.ok("improving.getLibraryStats", json!({"taskType": "x"}))["total"], 0);
}

#[test]
fn listens_to_what_was_used_in_the_last_hour() {
    let mut bench = bench(1);
    bench.config.improving.interests_max = 2;
    let topic = |task: &str| Topic::trajectories(task).unwrap();
    for task in ["a", "b", "a", "c"] {
        bench.ok("improving.getExemplars", json!({"taskType": task}));
        bench.pass(Duration::from_secs(60));
    }
    let did = [
        Did::Subscribed(topic("a")),
        Did::Subscribed(topic("b")),
        Did::Unsubscribed(topic("b")),
        Did::Subscribed(topic("c")),
    ];
    assert_eq!(core::mem::take(&mut bench.net.did), did);
    // After a restart it goes on.
    bench.agent = bench.agent.restarted();
    bench.pass(Duration::from_secs(600));
    bench.run(|_, _| {});
    let mut did = core::mem::take(&mut bench.net.did);
    did.sort_by_key(|did| format!("{did:?}"));
    assert_eq!(did, [Did::Subscribed(topic("a")), Did::Subscribed(topic("c"))]);
    bench.pass(Duration::from_secs(3600));
    let did = core::mem::take(&mut bench.net.did);
    assert_eq!(did, [Did::Unsubscribed(topic("a")), Did::Unsubscribed(topic("c"))]);
    assert_eq!(bench.records, MemoryRecords::default());
    // One with a session's token alone reads, and changes nothing of that.
    let session = bench.session();
    bench.caller.tier = Tier::Session(session.into());
    bench.ok("improving.getExemplars", json!({"taskType": "a"}));
    assert_eq!(bench.net.did, []);
}

#[test]
fn reputation_is_own_experience_first() {
    let mut bench = bench(1);
    let reputation = |bench: &mut Bench, of: u8| bench.run(|_, env| env.reputation(&peer(of)));
    assert_eq!(reputation(&mut bench, 2), None);
    bench.run(|_, env| env.rate(&peer(1), true));
    assert_eq!(reputation(&mut bench, 1), None, "nobody rates itself");
    for _ in 0..50 {
        bench.run(|_, env| env.rate(&peer(2), true));
        bench.run(|_, env| env.rate(&peer(3), false));
    }
    let (good, bad) = (reputation(&mut bench, 2).unwrap(), reputation(&mut bench, 3).unwrap());
    assert!(good > 0.9 && bad < 0.1, "{good} {bad}");
    let said = |rater: u8, subject: u8, positive: u64, negative: u64| {
        json!({"subject": peer(subject).to_string(), "rater": peer(rater).to_string(),
               "positive": positive, "negative": negative, "window": 1})
    };
    let say = |bench: &mut Bench, author: u8, on: u8, d: Value| {
        deliver(bench, peer(author), &Topic::reputation(peer(on)), &d);
        reputation(bench, on)
    };
    // Only of others, by themselves, on the right topic.
    assert_eq!(say(&mut bench, 4, 4, said(4, 4, 9, 0)), None);
    assert_eq!(say(&mut bench, 4, 5, said(6, 5, 9, 0)), None);
    assert_eq!(say(&mut bench, 4, 5, said(4, 6, 9, 0)), None);
    assert_eq!(say(&mut bench, 4, 1, said(4, 1, 9, 0)), None);
    // One that we trust counts, one that we do not does not, and a crowd of strangers hardly.
    let trusted = say(&mut bench, 2, 5, said(2, 5, 0, 100)).unwrap();
    assert!(trusted < 0.4, "{trusted}");
    assert_eq!(say(&mut bench, 2, 5, said(2, 5, 0, 1)), Some(trusted), "counters only grow");
    assert_eq!(say(&mut bench, 3, 5, said(3, 5, 1000, 0)), Some(trusted));
    for liar in 10..90 {
        say(&mut bench, liar, 6, said(liar, 6, 1_000_000, 0));
        say(&mut bench, liar, 2, said(liar, 2, 0, u64::MAX));
    }
    assert!(reputation(&mut bench, 6).unwrap() <= 0.6);
    assert!(good - reputation(&mut bench, 2).unwrap() < 0.02, "own experience stands");
}

#[test]
fn the_same_happens_again() {
    let work = || {
        let mut bench = bench(1);
        for number in 1..12 {
            deliver(&mut bench, peer(2), &topic(), &message(2, run(number, 0.05 * f64::from(number))));
            bench.ok("improving.recordTrajectory", run(100 + number, 0.7));
            exemplars(&mut bench);
        }
        bench.ok("improving.curate", json!({"taskType": TASK}));
        (bench.records, format!("{:?}", bench.net.did))
    };
    assert_eq!(work(), work());
}

#[test]
fn nothing_breaks_on_any_message() {
    let mut bench = bench(1);
    for d in ["", "{", "null", "[]", "{}", "\"x\"", &"[".repeat(100_000), "{\"steps\":[{}]}"] {
        bench.run(|agent, env| {
            agent.on_message(env, peer(2), &topic(), d);
            agent.on_message(env, peer(2), &Topic::reputation(peer(3)), d);
            agent.on_asked(env, peer(2), RequestId(1), Protocol::Trajectory, d);
        });
    }
    assert_eq!(bench.records, MemoryRecords::default());
}
