//! Replicas that are kept alike: erasure behind the machine's back, read repair, hints, what fails half way, whom to ask.

use super::*;
use crate::primitive::memory::erased;

fn record(mesh: &Mesh, at: usize, id: &str) -> Value {
    let record = mesh.peers[at].records.get(Table::Memory, id.as_bytes());
    record.map_or(Value::Null, |record| serde_json::from_slice(&record).unwrap())
}

fn quiet(mesh: &mut Mesh) {
    for bench in &mut mesh.peers {
        // No comparison shall do it.
        bench.config.memory.sync_interval = Duration::from_secs(100_000);
    }
}

fn asked(bench: &Bench) -> Vec<(PeerId, Value)> {
    let asked = bench.net.did.iter().filter_map(|did| {
        if let Did::Asked(to, _, Protocol::Memory, body) = did { Some((*to, body.clone())) } else { None }
    });
    asked.collect()
}

#[test]
fn what_a_store_erases_is_deleted_everywhere() {
    let mut mesh = Mesh::new(5);
    let id = store(&mut mesh, 0, BACKOFF);
    let other = store(&mut mesh, 0, "something else");
    let at = holders(&mesh, &id)[1];
    // The process is down, and the operator erases.
    let mut apart: Vec<Option<u8>> = up(5);
    apart[at] = None;
    mesh.part(&apart);
    let bench = &mut mesh.peers[at];
    bench.records.delete(Table::Memory, id.as_bytes());
    bench.records.put(Table::Fact, &erased(Table::Memory, id.as_bytes()).unwrap(), None, Vec::new());
    bench.agent = bench.agent.restarted();
    mesh.part(&up(5));
    mesh.pass(Duration::from_secs(2));
    assert_eq!(holders(&mesh, &id), [0; 0], "at once, and before any comparison");
    mesh.pass(Duration::from_secs(400));
    assert_eq!(holders(&mesh, &id), [0; 0]);
    assert_eq!(mesh.peers[at].records.count(Table::Fact), 0, "it is done");
    assert_eq!(mesh.fails(at, "memory.get", json!({"id": id})).code, Code::InvalidParams);
    assert_eq!(holders(&mesh, &other).len(), 3);
}

#[test]
fn what_is_erased_alone_stays_so() {
    let mut bench = Bench::default();
    let id = bench.ok("memory.store", json!({"content": BACKOFF}))["id"].as_str().unwrap().to_owned();
    let fact = erased(Table::Memory, id.as_bytes()).unwrap();
    assert_eq!(erased(Table::Hint, format!("{}/{id}", peer(2)).as_bytes()), Some(fact.clone()));
    assert_eq!(erased(Table::Memory, b"mem-1"), None);
    assert_eq!(erased(Table::Session, id.as_bytes()), None);
    let memory = bench.records.get(Table::Memory, id.as_bytes()).unwrap();
    bench.records.delete(Table::Memory, id.as_bytes());
    bench.records.put(Table::Fact, &fact, None, Vec::new());
    bench.agent = bench.agent.restarted();
    let again = format!(r#"{{"store":{{"memory":{}}}}}"#, String::from_utf8(memory).unwrap());
    bench.run(|agent, env| agent.on_asked(env, peer(1), RequestId(1), Protocol::Memory, &again));
    assert_eq!(bench.net.did.pop(), Some(Did::Told(peer(1), RequestId(1), json!({"deleted": true}))));
    bench.pass(bench.config.memory.tombstone_life + Duration::from_secs(100));
    assert_eq!(bench.records, MemoryRecords::default(), "nothing is kept for ever");
}

#[test]
fn a_reader_gets_the_newest_and_repairs_what_is_stale() {
    let mut mesh = Mesh::new(3);
    quiet(&mut mesh);
    let id = store(&mut mesh, 0, BACKOFF);
    let stale = mesh.peers[2].records.clone();
    mesh.ok(0, "memory.archive", json!({"id": id}));
    let restore = |mesh: &mut Mesh| {
        mesh.peers[2].records = stale.clone();
        mesh.peers[2].agent = mesh.peers[2].agent.restarted();
    };
    restore(&mut mesh);
    assert_eq!(mesh.ok(2, "memory.get", json!({"id": id}))["tier"], "archival");
    assert_eq!(record(&mesh, 2, &id), record(&mesh, 0, &id), "the reader's own copy");
    restore(&mut mesh);
    mesh.ok(0, "memory.get", json!({"id": id}));
    mesh.pass(Duration::from_secs(1));
    assert_eq!(record(&mesh, 2, &id), record(&mesh, 0, &id), "another's copy");
    // Nobody else answers: what is here has to do, after a while or, if none can be asked, at once.
    restore(&mut mesh);
    mesh.deaf = Some(0);
    mesh.part(&without(3, &[1]));
    let took = |mesh: &mut Mesh| {
        let began = mesh.peers[2].now;
        assert_eq!(mesh.ok(2, "memory.get", json!({"id": id}))["tier"], "working");
        mesh.peers[2].now.since(began).as_millis()
    };
    assert_eq!(took(&mut mesh), 200);
    mesh.part(&without(3, &[0, 1]));
    assert_eq!(took(&mut mesh), 0);
    mesh.deaf = None;
    mesh.part(&up(3));
    mesh.ok(0, "memory.delete", json!({"id": id}));
    restore(&mut mesh);
    assert_eq!(mesh.fails(2, "memory.get", json!({"id": id})).code, Code::InvalidParams);
    assert_eq!(record(&mesh, 2, &id), Value::Null, "a deletion is the newest");
}

#[test]
fn an_archive_that_fails_changes_nothing() {
    let mut mesh = Mesh::new(3);
    let id = store(&mut mesh, 0, BACKOFF);
    mesh.deaf = Some(2);
    let error = mesh.fails(0, "memory.archive", json!({"id": id}));
    assert_eq!(
        (error.code, error.data),
        (Code::ReplicationFailed, Some(json!({"required": 3, "achieved": 2})))
    );
    mesh.deaf = None;
    mesh.pass(Duration::from_secs(1));
    assert_eq!(mesh.ok(1, "memory.get", json!({"id": id}))["tier"], "working");
    mesh.pass(Duration::from_secs(400));
    for at in 0..3 {
        assert_eq!(record(&mesh, at, &id)["tier"], "working");
        assert_eq!(record(&mesh, at, &id), record(&mesh, 0, &id));
    }
}

#[test]
fn a_hint_goes_with_what_is_deleted_and_with_time() {
    let mut mesh = Mesh::new(3);
    quiet(&mut mesh);
    for bench in &mut mesh.peers {
        bench.config.memory.quorum = Quorum::Majority;
    }
    deaf(&mut mesh, 2);
    let id = store(&mut mesh, 0, BACKOFF);
    let lasting = store(&mut mesh, 0, "something else");
    mesh.pass(Duration::from_secs(11));
    let hints = |mesh: &Mesh| {
        let hints = mesh.peers[0].records.iter().filter(|(table, ..)| *table == Table::Hint);
        hints
            .map(|(_, key, ..)| str::from_utf8(key).unwrap().split_once('/').unwrap().1.to_owned())
            .collect::<BTreeSet<String>>()
    };
    assert_eq!(hints(&mesh), BTreeSet::from([id.clone(), lasting.clone()]));
    mesh.ok(1, "memory.delete", json!({"id": id}));
    mesh.pass(Duration::from_millis(100));
    assert_eq!(hints(&mesh), BTreeSet::from([lasting.clone()]));
    mesh.pass(mesh.peers[0].config.memory.hint_life);
    mesh.pass(Duration::from_secs(200_000));
    assert_eq!(hints(&mesh), BTreeSet::new());
    assert_eq!(holders(&mesh, &lasting), [0, 1]);
}

#[test]
fn hints_for_the_dead_do_not_keep_others_from_theirs() {
    let mut bench = Bench::default();
    let (dead, live) =
        if peer(2).to_string() < peer(3).to_string() { (peer(2), peer(3)) } else { (peer(3), peer(2)) };
    bench.net.unreachable = vec![dead];
    let stamp = format!("{:016x}.{}", bench.unix.0 << 16, bench.own);
    for (to, number) in (0..300).map(|number| (dead, number)).chain([(live, 300)]) {
        let id = format!("mem-{number:024x}");
        let entry =
            json!({"memory": {"id": id, "content": "x", "tier": "working", "created": 1, "stamp": stamp}});
        bench.records.put(Table::Hint, format!("{to}/{id}").as_bytes(), None, entry.to_string().into_bytes());
    }
    bench.run(|_, _| {});
    bench.pass(Duration::from_secs(160));
    let to: Vec<PeerId> = asked(&bench).into_iter().map(|(to, _)| to).collect();
    assert!(to.contains(&live), "it is its turn in the second round");
}

#[test]
fn one_answer_leads_to_few_questions() {
    let mut bench = Bench::default();
    bench.net.subscribers.insert(Topic::crdt_sync_memory(), vec![peer(2)]);
    let stamp = format!("{:016x}.{}", bench.unix.0 << 16, peer(2));
    let id = |number: usize| format!("mem-{number:024x}");
    let memory = |number: usize| {
        json!({"memory": {"id": id(number), "content": "x".repeat(20_000), "tier": "working", "created": 1,
                          "stamp": stamp}})
    };
    let tombstone = |number: usize| json!({"tombstone": {"id": id(number), "stamp": stamp}});
    let store = |bench: &mut Bench, entry: Value| {
        let ask = json!({"store": entry}).to_string();
        bench.run(|agent, env| agent.on_asked(env, peer(2), RequestId(1), Protocol::Memory, &ask));
    };
    for number in 0..400 {
        store(&mut bench, memory(number));
        store(&mut bench, tombstone(1000 + number));
    }
    bench.net.did.clear();
    let range = json!({"ranges": [{"range": bench.own.to_string(), "digest": "other"}]}).to_string();
    bench.run(|agent, env| agent.on_message(env, peer(2), &Topic::crdt_sync_memory(), &range));
    let Some(Did::Asked(_, request, ..)) = bench.net.did.pop() else { panic!("nothing is compared") };
    let want: Vec<String> = (0..400).chain(0..400).map(id).collect();
    let entries: Vec<Value> = (1000..1400).chain(1000..1400).map(memory).collect();
    let told = json!({"want": want, "entries": entries}).to_string();
    bench.run(|agent, env| agent.on_told(env, Some(peer(2)), request, Some(&told)));
    let asked = asked(&bench);
    assert_eq!(asked.len(), 8);
    let given: Vec<&Value> = asked.iter().flat_map(|(_, ask)| ask["give"].as_array().unwrap()).collect();
    let ids: BTreeSet<String> = given
        .iter()
        .map(|entry| {
            let entry = entry.as_object().unwrap().values().next().unwrap();
            entry["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(given.len(), ids.len(), "each once");
    // It takes all of them over: the deletions, and as many memories as there was room for.
    let mut other = Bench { own: peer(2), ..Bench::default() };
    other.net.subscribers.insert(Topic::crdt_sync_memory(), vec![peer(1)]);
    for (_, ask) in &asked {
        let ask = ask.to_string();
        other.run(|agent, env| agent.on_asked(env, peer(1), RequestId(1), Protocol::Memory, &ask));
        assert_eq!(other.net.did.pop(), Some(Did::Told(peer(1), RequestId(1), json!({}))));
    }
    assert_eq!(other.records.count(Table::Tombstone), 256);
    assert_eq!(other.records.count(Table::Memory) as usize, given.len() - 256);
    assert!(given.len() > 256 + 100, "{}", given.len());
}

#[test]
fn of_many_peers_others_are_asked_each_time_and_it_is_said() {
    let mut mesh = Mesh::new(12);
    let session = mesh.peers[0].session();
    for number in 0..24 {
        mesh.ok(0, "memory.store", json!({"content": format!("{BACKOFF} {number}"), "sessionId": session}));
    }
    let search = json!({"query": BACKOFF, "sessionId": session, "limit": 100});
    let list = json!({"sessionId": session, "limit": 100});
    let mut ever = BTreeSet::new();
    let mut found = 0;
    for fan_out in [5; 8] {
        mesh.peers[0].config.memory.fan_out = fan_out;
        let call = mesh.peers[0].start("memory.search", search.clone());
        let now: BTreeSet<PeerId> = asked(&mesh.peers[0]).into_iter().map(|(to, _)| to).collect();
        assert_eq!(now.len(), fan_out);
        ever.extend(now);
        mesh.pass(Duration::from_millis(100));
        let answer = mesh.peers[0].answer(call).unwrap().unwrap();
        assert_eq!(answer["partial"], true);
        found += answer["memories"].as_array().unwrap().len();
    }
    assert_eq!(ever.len(), 11, "each has its turn");
    assert!(found > 175, "five of eleven, well spread, have most: {found}");
    assert_eq!(mesh.ok(0, "memory.list", list.clone())["partial"], true);
    // Nine of eleven: no memory has all its replicas at the other two.
    mesh.peers[0].config.memory.fan_out = 9;
    let answer = mesh.ok(0, "memory.search", search);
    assert_eq!((answer["memories"].as_array().unwrap().len(), &answer["partial"]), (24, &Value::Null));
    let answer = mesh.ok(0, "memory.list", list);
    assert_eq!((&answer["total"], &answer["partial"]), (&json!(24), &Value::Null));
}

#[test]
fn a_slow_embedder_takes_no_time_from_the_search() {
    let mut mesh = Mesh::new(5);
    for bench in &mut mesh.peers {
        bench.config.memory.embedder = Embedder::External;
    }
    let embedded = |mesh: &mut Mesh, at: usize, method: &str, params: Value| {
        let call = mesh.peers[at].start(method, params);
        mesh.pass(Duration::from_secs(3));
        let place = mesh.peers[at].net.did.iter().position(|did| matches!(did, Did::Fetched(_))).unwrap();
        let Did::Fetched(fetch) = mesh.peers[at].net.did.remove(place) else { unreachable!() };
        let vector: Fetched = Ok(r#"{"data":[{"embedding":[1,0]}]}"#.into());
        mesh.peers[at].run(|agent, env| agent.on_fetched(env, fetch.id, vector));
        mesh.pass(Duration::from_millis(100));
        mesh.peers[at].answer(call).unwrap().unwrap()
    };
    let id = embedded(&mut mesh, 0, "memory.store", json!({"content": BACKOFF}))["id"].clone();
    let reader = (0..5).find(|at| !holders(&mesh, id.as_str().unwrap()).contains(at)).unwrap();
    let found = embedded(&mut mesh, reader, "memory.search", json!({"query": "backoff"}));
    assert_eq!(found["memories"][0]["id"], id);
    assert_eq!((found["searchTime"].clone(), found["partial"].clone()), (json!(3020), Value::Null));
}
