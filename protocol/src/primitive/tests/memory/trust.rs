//! Who is shown what, and whose word counts.

use super::*;

/// What a peer of the mesh is told by another that it asks.
fn told(mesh: &mut Mesh, at: usize, by: PeerId, ask: &Value) -> Value {
    let bench = &mut mesh.peers[at];
    bench.run(|agent, env| agent.on_asked(env, by, RequestId(1), Protocol::Memory, &ask.to_string()));
    let Some(Did::Told(to, _, told)) = bench.net.did.pop() else { panic!("no answer") };
    assert_eq!(to, by);
    told
}

/// The memory as its first holder has it.
fn copy(mesh: &Mesh, id: &str) -> Value {
    let at = holders(mesh, id)[0];
    serde_json::from_slice(&mesh.peers[at].records.get(Table::Memory, id.as_bytes()).unwrap()).unwrap()
}

fn stamp(mesh: &Mesh, by: PeerId) -> String {
    format!("{:016x}.{by}", (mesh.peers[0].unix.0 + 1000) << 16)
}

/// A mesh of which some are far from a memory that 0 has stored: neither a replica nor soon to be one.
fn wide() -> (Mesh, String, usize) {
    let mut mesh = Mesh::new(12);
    let id = store(&mut mesh, 0, BACKOFF);
    let ring = Ring::build(Vnodes::default(), mesh.peers.iter().map(|bench| bench.own)).unwrap();
    let near = ring.replicas(Position::of(id.as_bytes()), 8).into_iter().copied().collect::<Vec<_>>();
    let far = (1..12).find(|at| !near.contains(&mesh.peers[*at].own)).unwrap();
    (mesh, id, far)
}

#[test]
fn what_is_a_sessions_is_shown_to_its_author_and_replicas_alone() {
    let mut mesh = Mesh::new(6);
    let session = mesh.peers[0].session();
    let stored = mesh.ok(0, "memory.store", json!({"content": BACKOFF, "sessionId": session}));
    let id = stored["id"].as_str().unwrap().to_owned();
    let far = (1..6).find(|at| !holders(&mesh, &id).contains(at)).unwrap();
    // As another peer would search that knows the session's id.
    mesh.peers[0].start("memory.search", json!({"query": BACKOFF, "sessionId": session}));
    let mut search = mesh.peers[0].net.did.iter();
    let search =
        search.find_map(|did| if let Did::Asked(.., body) = did { Some(body.clone()) } else { None });
    let asks = [json!({"get": id}), json!({"list": {"sessionId": session}}), search.unwrap()];
    let (author, far) = (mesh.peers[0].own, mesh.peers[far].own);
    let holding = holders(&mesh, &id);
    let replica = mesh.peers[holding[1]].own;
    let shows = |mesh: &mut Mesh, by| asks.each_ref().map(|ask| told(mesh, holding[0], by, ask) != json!({}));
    assert_eq!(shows(&mut mesh, author), [true; 3]);
    assert_eq!(shows(&mut mesh, replica), [true; 3]);
    assert_eq!(shows(&mut mesh, far), [false; 3]);
    assert_eq!(shows(&mut mesh, peer(99)), [false; 3]);
    mesh.peers[holding[0]].config.memory.readers.insert(far);
    assert_eq!(shows(&mut mesh, far), [true; 3]);
    // Archived by another holder it still belongs to its author.
    if let Some(other) = holding.iter().find(|at| **at != 0) {
        mesh.ok(*other, "memory.archive", json!({"id": id}));
        assert_eq!(told(&mut mesh, holding[0], author, &asks[0])["entries"][0]["memory"]["tier"], "archival");
    }
    assert_eq!(mesh.ok(0, "memory.list", json!({"sessionId": session}))["total"], 1);
}

#[test]
fn a_stranger_neither_deletes_nor_changes_nor_forges() {
    let (mut mesh, id, far) = wide();
    let stranger = mesh.peers[far].own;
    let before = copy(&mesh, &id);
    let holding = holders(&mesh, &id);
    let tombstone = json!({"id": id, "stamp": stamp(&mesh, stranger)});
    let mut forged = before.clone();
    forged["stamp"] = json!(stamp(&mesh, stranger));
    forged["content"] = json!("forged");
    let mut in_its_name = forged.clone();
    in_its_name["author"] = json!(mesh.peers[0].own.to_string());
    let entries =
        [json!({"tombstone": tombstone}), json!({"memory": forged}), json!({"memory": in_its_name})];
    for at in holding.clone() {
        for entry in &entries {
            assert!(told(&mut mesh, at, stranger, &json!({"store": entry}))["error"].is_string(), "{entry}");
        }
        let refused = told(&mut mesh, at, stranger, &json!({"give": entries}))["refused"].clone();
        assert_eq!(refused, json!([id, id, id]));
    }
    // Nor does a replica that believed it somewhere spread what is another's.
    let replica = mesh.peers[holding[1]].own;
    assert!(told(&mut mesh, holding[0], replica, &json!({"store": entries[1]}))["error"].is_string());
    let d = json!({"tombstones": [tombstone]}).to_string();
    for bench in &mut mesh.peers {
        bench.run(|agent, env| agent.on_message(env, stranger, &Topic::crdt_sync_memory(), &d));
        assert_eq!(bench.records.count(Table::Tombstone), 0, "none remembers it for later either");
    }
    // Where it is not held, nobody takes it in the author's name.
    let elsewhere = (0..12).find(|at| !holding.contains(at)).unwrap();
    assert!(told(&mut mesh, elsewhere, stranger, &json!({"store": entries[2]}))["error"].is_string());
    mesh.pass(Duration::from_secs(400));
    assert_eq!((holders(&mesh, &id), copy(&mesh, &id)), (holding, before));
    for method in ["memory.delete", "memory.archive"] {
        assert_eq!(mesh.fails(far, method, json!({"id": id})).code, Code::Forbidden);
    }
    assert_eq!(mesh.ok(0, "memory.delete", json!({"id": id})), json!({"deleted": true}));
    assert_eq!(holders(&mesh, &id), [0; 0], "its author may");
}

#[test]
fn a_replica_may_delete_and_archive() {
    let (mut mesh, id, _) = wide();
    let replica = *holders(&mesh, &id).last().unwrap();
    mesh.ok(replica, "memory.archive", json!({"id": id}));
    let holding = holders(&mesh, &id);
    for at in holding {
        let record = mesh.peers[at].records.get(Table::Memory, id.as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&record).unwrap()["tier"], "archival");
    }
    assert_eq!(mesh.ok(replica, "memory.delete", json!({"id": id})), json!({"deleted": true}));
    assert_eq!(holders(&mesh, &id), [0; 0]);
}

/// A tombstone of a number, written so many milliseconds after the beginning.
fn tombstone(number: u64, after: u64) -> Value {
    let clock = (1_773_835_200_000 + after) << 16;
    json!({"tombstone": {"id": format!("mem-{number:024x}"), "stamp": format!("{clock:016x}.{}", peer(2))}})
}

fn buried(bench: &Bench) -> Vec<u64> {
    let tombstones = bench.records.iter().filter(|(table, ..)| *table == Table::Tombstone);
    let ids = tombstones.map(|(_, id, ..)| str::from_utf8(&id[4..]).unwrap());
    ids.map(|id| u64::from_str_radix(id, 16).unwrap()).collect()
}

fn take(bench: &mut Bench, from: u8, entry: &Value) {
    let ask = json!({"store": entry}).to_string();
    bench.run(|agent, env| agent.on_asked(env, peer(from), RequestId(1), Protocol::Memory, &ask));
    assert_eq!(bench.net.did.pop(), Some(Did::Told(peer(from), RequestId(1), json!({}))));
}

#[test]
fn the_oldest_deletions_make_room_first_of_the_peer_that_brought_most() {
    let mut bench = Bench::default();
    bench.net.subscribers.insert(Topic::crdt_sync_memory(), vec![peer(2), peer(3)]);
    bench.config.memory.tombstones_per_peer_max = 3;
    bench.config.memory.tombstones_max = 5;
    take(&mut bench, 3, &tombstone(1, 0));
    for number in 2..7 {
        take(&mut bench, 2, &tombstone(number, 1000 - number));
    }
    assert_eq!(buried(&bench), [1, 2, 3, 4], "of the peer's own the oldest go, though they came last");
    bench.agent = bench.agent.restarted();
    take(&mut bench, 2, &tombstone(7, 2000));
    assert_eq!(buried(&bench), [1, 2, 3, 7], "a restart forgives nothing");
    for number in 8..10 {
        take(&mut bench, 3, &tombstone(number, 2000));
    }
    assert_eq!(buried(&bench), [2, 3, 7, 8, 9], "then the oldest of all");
    take(&mut bench, 3, &tombstone(2, 3000));
    assert_eq!(buried(&bench).len(), 5);
}

#[test]
fn every_deletion_is_forgotten_in_time() {
    let mut bench = Bench::default();
    bench.net.subscribers.insert(Topic::crdt_sync_memory(), vec![peer(2)]);
    let life = bench.config.memory.tombstone_life;
    for number in 1000..1300 {
        take(&mut bench, 2, &tombstone(number, 0));
    }
    bench.pass(life);
    // Those that come first by their ids are too young.
    for number in 0..300 {
        take(&mut bench, 2, &tombstone(number, life.as_millis()));
    }
    bench.pass(Duration::from_secs(100));
    assert_eq!(buried(&bench), (0..300).collect::<Vec<_>>());
    bench.pass(life + Duration::from_secs(100));
    assert_eq!(buried(&bench), [0; 0]);
}
