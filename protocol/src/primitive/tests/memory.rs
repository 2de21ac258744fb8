mod trust;
mod upkeep;

use serde_json::json;

use super::mesh::Mesh;
use super::*;
use crate::primitive::memory::{Embedder, Quorum};
use crate::ring::{Position, Ring, Vnodes};

const BACKOFF: &str = "Exponential backoff with jitter prevents thundering herd on 429 responses.";

fn store(mesh: &mut Mesh, at: usize, content: &str) -> String {
    mesh.ok(at, "memory.store", json!({"content": content}))["id"].as_str().unwrap().to_owned()
}

/// Who holds a memory.
fn holders(mesh: &Mesh, id: &str) -> Vec<usize> {
    let holds = |at: &usize| mesh.peers[*at].records.get(Table::Memory, id.as_bytes()).is_some();
    (0..mesh.peers.len()).filter(holds).collect()
}

fn up(count: usize) -> Vec<Option<u8>> {
    vec![Some(0); count]
}

fn without(count: usize, gone: &[usize]) -> Vec<Option<u8>> {
    (0..count).map(|at| (!gone.contains(&at)).then_some(0)).collect()
}

#[test]
fn a_peer_alone_remembers() {
    let mut bench = Bench::default();
    let stored =
        bench.ok("memory.store", json!({"content": BACKOFF, "metadata": {"source": "web", "n": 1.50}}));
    assert_eq!(stored["replicas"], 1);
    assert_eq!(stored["peerId"], bench.own.to_string());
    let id = stored["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 28);
    let got = bench.ok("memory.get", json!({"id": id}));
    assert_eq!(got["content"], BACKOFF);
    assert_eq!(got["metadata"], json!({"source": "web", "n": 1.5}));
    bench.ok("memory.store", json!({"content": "The cat sat on the mat."}));
    let found = bench.ok("memory.search", json!({"query": "backoff for 429 responses", "limit": 1}));
    assert_eq!(found["memories"][0]["id"], id);
    assert_eq!(found["memories"][0]["createdAt"], "2026-03-18T12:00:00.000Z");
    assert_eq!(found["partial"], Value::Null);
    let same = bench.ok("memory.search", json!({"query": BACKOFF, "threshold": 0.999}));
    assert_eq!(same["memories"].as_array().unwrap().len(), 1);
    assert_eq!(bench.ok("memory.archive", json!({"id": id})), json!({"archived": true, "tier": "archival"}));
    let tier = |bench: &mut Bench, tier: &str| {
        let found = bench.ok("memory.search", json!({"query": BACKOFF, "threshold": 0.9, "tier": tier}));
        found["memories"].as_array().unwrap().len()
    };
    assert_eq!((tier(&mut bench, "working"), tier(&mut bench, "archival")), (0, 1));
    bench.agent = bench.agent.restarted();
    assert_eq!(tier(&mut bench, "archival"), 1, "it is still there after a restart");
    assert_eq!(bench.ok("memory.delete", json!({"id": id})), json!({"deleted": true}));
    assert_eq!(bench.ok("memory.delete", json!({"id": id})), json!({"deleted": false}));
    assert_eq!(bench.fails("memory.get", json!({"id": id})).0, Code::InvalidParams);
    assert_eq!(bench.fails("memory.archive", json!({"id": id})).0, Code::InvalidParams);
    assert_eq!(tier(&mut bench, "archival"), 0);
    let left = bench.records.iter().any(|(_, _, _, value)| String::from_utf8_lossy(value).contains("jitter"));
    assert!(!left, "nothing of the text is left");
}

#[test]
fn a_session_has_its_own_memories() {
    let mut mesh = Mesh::new(3);
    let session = mesh.peers[0].session();
    for at in 0..5 {
        mesh.ok(0, "memory.store", json!({"content": format!("note {at}"), "sessionId": session}));
        mesh.pass(Duration::from_millis(5));
    }
    let public = store(&mut mesh, 0, "note for all");
    let ids = |found: &Value| {
        found["memories"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect::<Vec<_>>()
    };
    let first = mesh.ok(0, "memory.list", json!({"sessionId": session, "limit": 3}));
    let second = mesh.ok(0, "memory.list", json!({"sessionId": session, "limit": 3, "offset": 3}));
    assert_eq!((first["total"].clone(), second["total"].clone()), (json!(5), json!(5)));
    assert_eq!(ids(&first), ["note 0", "note 1", "note 2"]);
    assert_eq!(ids(&second), ["note 3", "note 4"]);
    let own = mesh.ok(0, "memory.search", json!({"query": "note", "sessionId": session}));
    assert_eq!(ids(&own).len(), 5);
    let all = mesh.ok(1, "memory.search", json!({"query": "note"}));
    assert_eq!(ids(&all), ["note for all"]);
    assert_eq!(mesh.fails(1, "memory.list", json!({"sessionId": session})).code, Code::SessionNotFound);
    let secret = first["memories"][0]["id"].clone();
    let other = mesh.peers[0].session();
    mesh.peers[0].caller.tier = Tier::Session(other.into());
    assert_eq!(mesh.ok(0, "memory.get", json!({"id": public}))["content"], "note for all");
    assert_eq!(mesh.fails(0, "memory.get", json!({"id": secret})).code, Code::InvalidParams);
    let key = (Table::Memory, secret.as_str().unwrap().as_bytes());
    let subject = mesh.peers[0].records.iter().find(|(table, id, ..)| (*table, *id) == key).unwrap().2;
    assert_eq!(subject, Some(&*session));
}

#[test]
fn a_memory_survives_the_peer_it_was_stored_at() {
    let mut mesh = Mesh::new(3);
    let stored = mesh.ok(1, "memory.store", json!({"content": BACKOFF}));
    assert_eq!(stored["replicas"], 3);
    let id = stored["id"].as_str().unwrap();
    assert_eq!(holders(&mesh, id), [0, 1, 2]);
    mesh.part(&without(3, &[1]));
    let found = mesh.ok(2, "memory.search", json!({"query": "exponential backoff"}));
    assert_eq!(found["memories"][0]["id"], id);
    mesh.part(&without(3, &[0, 1]));
    assert_eq!(mesh.ok(2, "memory.get", json!({"id": id}))["content"], BACKOFF);
}

#[test]
fn three_of_many_hold_it_and_all_find_it() {
    let mut mesh = Mesh::new(6);
    for number in 0..12 {
        let id = store(&mut mesh, number % 6, &format!("{BACKOFF} {number}"));
        assert_eq!(holders(&mesh, &id).len(), 3);
        for at in 0..6 {
            assert!(mesh.ok(at, "memory.get", json!({"id": id}))["content"].is_string());
        }
    }
    for at in 0..6 {
        let found = mesh.ok(at, "memory.search", json!({"query": BACKOFF, "limit": 100}));
        assert_eq!(found["memories"].as_array().unwrap().len(), 12);
        assert!(found["searchTime"].as_u64().unwrap() <= 200);
    }
}

/// A peer that is connected, but does not answer.
fn deaf(mesh: &mut Mesh, at: usize) {
    mesh.deaf = Some(at);
}

#[test]
fn too_few_replicas_are_an_error_and_leave_nothing() {
    let mut mesh = Mesh::new(3);
    deaf(&mut mesh, 2);
    let error = mesh.fails(0, "memory.store", json!({"content": BACKOFF}));
    assert_eq!(error.code, Code::ReplicationFailed);
    assert_eq!(error.data, Some(json!({"required": 3, "achieved": 2})));
    mesh.deaf = None;
    mesh.pass(Duration::from_secs(1));
    let found = mesh.ok(1, "memory.search", json!({"query": BACKOFF}));
    assert_eq!(found["memories"], json!([]));
    let mut bench = Bench::default();
    bench.config.memory.held_max = 1;
    bench.ok("memory.store", json!({"content": "a"}));
    assert_eq!(bench.fails("memory.store", json!({"content": "b"})).0, Code::ReplicationFailed, "it is full");
    bench.config.memory.store = false;
    bench.agent = Agent::default();
    assert_eq!(bench.fails("memory.store", json!({"content": "b"})).0, Code::ReplicationFailed);
}

#[test]
fn what_a_replica_missed_is_kept_for_it() {
    let mut mesh = Mesh::new(3);
    for bench in &mut mesh.peers {
        bench.config.memory.quorum = Quorum::Majority;
        // No comparison shall do it.
        bench.config.memory.sync_interval = Duration::from_secs(100_000);
    }
    deaf(&mut mesh, 2);
    let stored = mesh.ok(0, "memory.store", json!({"content": BACKOFF}));
    assert_eq!(stored["replicas"], 2);
    mesh.pass(Duration::from_secs(11));
    assert_eq!(mesh.peers[0].records.count(Table::Hint), 1);
    let found = mesh.ok(0, "memory.search", json!({"query": BACKOFF}));
    assert_eq!((found["partial"].clone(), found["searchTime"].clone()), (json!(true), json!(200)));
    mesh.deaf = None;
    mesh.part(&without(3, &[2]));
    mesh.part(&up(3));
    mesh.pass(Duration::from_millis(100));
    assert_eq!(holders(&mesh, stored["id"].as_str().unwrap()), [0, 1, 2]);
    assert_eq!(mesh.peers[0].records.count(Table::Hint), 0);
}

#[test]
fn a_deletion_reaches_all_and_is_for_good() {
    let mut mesh = Mesh::new(4);
    let id = store(&mut mesh, 0, BACKOFF);
    let copy = holders(&mesh, &id)[0];
    let record = mesh.peers[copy].records.get(Table::Memory, id.as_bytes()).unwrap();
    assert_eq!(mesh.ok(3, "memory.delete", json!({"id": id})), json!({"deleted": true}));
    mesh.pass(Duration::from_secs(1));
    assert!(holders(&mesh, &id).is_empty());
    let again = format!(r#"{{"store":{{"memory":{}}}}}"#, String::from_utf8(record).unwrap());
    mesh.peers[1].run(|agent, env| agent.on_asked(env, peer(9), RequestId(7), Protocol::Memory, &again));
    assert_eq!(mesh.peers[1].net.did.pop(), Some(Did::Told(peer(9), RequestId(7), json!({"deleted": true}))));
    assert!(holders(&mesh, &id).is_empty());
    assert_eq!(mesh.ok(2, "memory.delete", json!({"id": id})), json!({"deleted": false}));
    let life = mesh.peers[0].config.memory.tombstone_life;
    mesh.pass(life + Duration::from_secs(1000));
    assert!(mesh.peers.iter().all(|bench| bench.records.count(Table::Tombstone) == 0));
}

#[test]
fn a_copy_that_is_lost_comes_back_when_the_memory_is_read() {
    let mut mesh = Mesh::new(5);
    for bench in &mut mesh.peers {
        bench.config.memory.sync_interval = Duration::from_secs(100_000);
    }
    let id = store(&mut mesh, 0, BACKOFF);
    let before = holders(&mesh, &id);
    let lost = before[1];
    mesh.peers[lost].records = MemoryRecords::default();
    mesh.peers[lost].agent = Agent::default();
    let reader = (0..5).find(|at| !before.contains(at)).unwrap();
    mesh.ok(reader, "memory.get", json!({"id": id}));
    mesh.pass(Duration::from_secs(1));
    assert_eq!(holders(&mesh, &id), before);
}

#[test]
fn copies_move_as_peers_come_and_go() {
    let mut mesh = Mesh::new(6);
    mesh.part(&without(6, &[4, 5]));
    let ids: Vec<String> = (0..10).map(|number| store(&mut mesh, 0, &format!("memory {number}"))).collect();
    mesh.part(&up(6));
    mesh.pass(Duration::from_secs(400));
    for id in &ids {
        assert_eq!(holders(&mesh, id).len(), 3, "{id}");
    }
    assert!(ids.iter().any(|id| holders(&mesh, id).iter().any(|at| *at >= 4)), "the new ones hold some");
    let (first, second) = (0, 1);
    mesh.part(&without(6, &[first, second]));
    mesh.pass(Duration::from_secs(400));
    for id in &ids {
        let left = holders(&mesh, id).into_iter().filter(|at| ![first, second].contains(at)).count();
        assert_eq!(left, 3, "{id} is copied again");
    }
}

#[test]
fn an_outside_embedder_is_waited_for() {
    let mut bench = Bench::default();
    bench.config.memory.embedder = Embedder::External;
    let mut with = |method: &str, params: Value, fetched: Fetched| {
        let call = bench.start(method, params);
        let fetch = bench
            .net
            .did
            .iter()
            .rev()
            .find_map(|did| if let Did::Fetched(fetch) = did { Some(fetch.clone()) } else { None });
        let fetch = fetch.unwrap();
        assert_eq!((fetch.from, json(&fetch.body)), (Source::Embedder, json!({"input": "x"})));
        bench.run(|agent, env| agent.on_fetched(env, fetch.id, fetched));
        bench.answer(call).unwrap()
    };
    let vector = |text: &str| Ok(format!(r#"{{"data":[{{"embedding":{text}}}]}}"#).into());
    with("memory.store", json!({"content": "x"}), vector("[0.5,0.5]")).unwrap();
    let found = with("memory.search", json!({"query": "x"}), vector("[1,0]")).unwrap();
    let similarity = found["memories"][0]["similarity"].as_f64().unwrap();
    assert!((similarity - 0.707).abs() < 0.001, "{similarity}");
    for bad in [Err("refused".into()), Ok("{}".into()), vector("[]"), vector("[1e999]")] {
        assert_eq!(with("memory.store", json!({"content": "x"}), bad).unwrap_err().code, Code::Internal);
    }
}

#[test]
fn hostile_words_change_nothing() {
    let mut bench = Bench::default();
    bench.run(|_, _| {});
    let good = json!({"id": format!("mem-{}", "0".repeat(24)), "content": "x", "tier": "working",
                      "created": 1, "stamp": format!("{:016x}.{}", 1, peer(2))});
    let with = |name: &str, value: Value| {
        let mut memory = good.clone();
        memory[name] = value;
        json!({"store": {"memory": memory}}).to_string()
    };
    let ahead = (1_773_835_200_000_u64 + 301_000) << 16;
    let bodies = [
        String::new(),
        "[".repeat(100_000),
        json!({"sync": {"held": [["mem-1", "x"]]}}).to_string(),
        json!({"search": {"vector": "!", "threshold": 0, "limit": 5}}).to_string(),
        json!({"search": {"vector": "", "threshold": 7, "limit": 5}}).to_string(),
        with("id", json!("mem-1")),
        with("id", json!("")),
        with("content", json!("x".repeat(70_000))),
        with("metadata", json!({"x": "x".repeat(20_000)})),
        with("vector", json!("")),
        with("stamp", json!("1.x")),
        with("stamp", json!(format!("{ahead:016x}.{}", peer(2)))),
    ];
    let before = bench.records.clone();
    for body in &bodies {
        bench.run(|agent, env| agent.on_asked(env, peer(2), RequestId(1), Protocol::Memory, body));
        let Some(Did::Told(_, _, told)) = bench.net.did.pop() else { panic!("no answer") };
        assert!(told["error"].is_string(), "{body:.80}: {told}");
        bench.run(|agent, env| agent.on_message(env, peer(2), &Topic::crdt_sync_memory(), body));
    }
    assert_eq!(bench.records, before);
    let fine = with("tier", json!("working"));
    bench.run(|agent, env| agent.on_asked(env, peer(2), RequestId(1), Protocol::Memory, &fine));
    assert_eq!(bench.records.count(Table::Memory), 1);
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Store(usize),
        Delete(usize, usize),
        Archive(usize, usize),
        Part(u8),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0usize..3).prop_map(Step::Store),
            1 => (0usize..3, 0usize..8).prop_map(|(at, which)| Step::Delete(at, which)),
            1 => (0usize..3, 0usize..8).prop_map(|(at, which)| Step::Archive(at, which)),
            2 => (0u8..8).prop_map(Step::Part),
            1 => (0u64..100).prop_map(Step::Pass),
        ]
    }

    /// Something about one id: a memory or its deletion, written by one of three peers at one of four times.
    fn entry() -> impl Strategy<Value = String> {
        (any::<bool>(), 0u64..4, 1u8..4).prop_map(|(deleted, clock, by)| {
            let (id, stamp) = (format!("mem-{}", "0".repeat(24)), format!("{clock:016x}.{}", peer(by)));
            let entry = if deleted {
                json!({"tombstone": {"id": id, "stamp": stamp}})
            } else {
                // What a peer wrote at one time is one thing.
                let content = format!("{clock} {by}");
                json!({"memory": {"id": id, "content": content, "tier": "working", "created": 1, "stamp": stamp,
                                  "author": peer(3).to_string()}})
            };
            json!({ "store": entry }).to_string()
        })
    }

    fn merged<'a>(entries: impl Iterator<Item = &'a String>) -> MemoryRecords {
        let mut bench = Bench::default();
        bench.net.subscribers.insert(Topic::crdt_sync_memory(), vec![peer(2)]);
        for body in entries {
            bench.run(|agent, env| agent.on_asked(env, peer(2), RequestId(1), Protocol::Memory, body));
        }
        bench.records
    }

    proptest! {
        /// Entries can come in any order, and twice.
        #[test]
        fn entries_merge_in_any_order(entries in proptest::collection::vec(entry(), 1..8), turn in 0usize..8) {
            let mut other = entries.clone();
            other.rotate_left(turn % entries.len());
            other.reverse();
            let once = merged(entries.iter());
            prop_assert_eq!(&merged(other.iter()), &once);
            prop_assert_eq!(&merged(entries.iter().chain(&other)), &once);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever happened while they were apart: once they are together again, all replicas hold the same, and what was
        /// deleted stays away.
        #[test]
        fn replicas_become_alike(steps in proptest::collection::vec(step(), 1..24)) {
            let mut mesh = Mesh::new(3);
            for bench in &mut mesh.peers {
                bench.config.memory.quorum = Quorum::One;
            }
            let (mut ids, mut deleted) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Store(at) => ids.push(store(&mut mesh, at, &format!("memory {}", ids.len()))),
                    Step::Delete(at, which) => {
                        let Some(id) = ids.get(which).cloned() else { continue };
                        if mesh.ok(at, "memory.delete", json!({"id": id}))["deleted"] == true {
                            deleted.push(id);
                        }
                    }
                    Step::Archive(at, which) => {
                        if let Some(id) = ids.get(which).cloned() {
                            let _ = mesh.call(at, "memory.archive", json!({"id": id}));
                        }
                    }
                    Step::Part(bits) => {
                        let groups: Vec<Option<u8>> = (0..3).map(|at| Some(bits >> at & 1)).collect();
                        mesh.part(&groups);
                    }
                    Step::Pass(seconds) => mesh.pass(Duration::from_secs(seconds)),
                }
            }
            mesh.part(&up(3));
            mesh.pass(Duration::from_secs(400));
            let state = |bench: &Bench| {
                let memories = bench.records.iter().filter(|(table, ..)| *table == Table::Memory);
                memories.map(|(_, key, _, value)| (key.to_vec(), value.to_vec())).collect::<Vec<_>>()
            };
            let first = state(&mesh.peers[0]);
            prop_assert_eq!(first.len(), ids.len() - deleted.iter().collect::<BTreeSet<_>>().len());
            for bench in &mesh.peers[1..] {
                prop_assert_eq!(&state(bench), &first);
            }
        }
    }
}
