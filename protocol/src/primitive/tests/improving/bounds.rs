//! What a library costs: how much is stored, and how much a call writes.

use serde_json::json;

use super::*;

/// The records of one table.
fn table(bench: &Bench, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    bench.records.scan(table, b"", None, usize::MAX)
}

#[test]
fn handing_out_exemplars_writes_little() {
    let mut bench = bench(1);
    bench.ok("improving.recordTrajectory", run(1, 0.88));
    let (before, session) = (table(&bench, Table::Trajectory), bench.session());
    bench.caller.tier = Tier::Session(session.into());
    for uses in 1..4 {
        assert_eq!(exemplars(&mut bench)[0]["usageCount"], uses);
    }
    assert_eq!(table(&bench, Table::Trajectory), before, "the trajectory itself is not written again");
    bench.agent = bench.agent.restarted();
    assert_eq!(exemplars(&mut bench)[0]["usageCount"], 4, "a restart forgets none");
    bench.caller.tier = Tier::Operator;
    bench.ok("improving.recordTrajectory", run(2, -0.5));
    assert_eq!(exemplars(&mut bench)[0]["usageCount"], 5, "nor does a change of the whole");
    bench.config.improving.library_max = 0;
    bench.ok("improving.recordTrajectory", run(3, 0.5));
    assert_eq!(table(&bench, Table::Trajectory), []);
    let uses = bench.records.scan(Table::Fact, b"improving/uses/", None, 9);
    assert_eq!(uses, [], "what is known of it goes with it");
}

#[test]
fn a_library_has_only_so_many_bytes() {
    let mut bench = bench(1);
    bench.config.improving.library_bytes_max = 20_000;
    let long = |number: u32, bytes: usize| {
        let mut params = run(number, 0.9);
        params["output"] = json!("long ".repeat(bytes / 5));
        params
    };
    for author in 2..12 {
        deliver(&mut bench, peer(author), &topic(), &message(author, long(author.into(), 3000)));
    }
    let bytes = |bench: &Bench| table(bench, Table::Trajectory).iter().map(|(_, v)| v.len()).sum::<usize>();
    assert!((15_000..=20_000).contains(&bytes(&bench)), "{}", bytes(&bench));
    let held = table(&bench, Table::Trajectory).len();
    bench.net.did.clear();
    deliver(&mut bench, peer(20), &topic(), &message(20, long(20, 5000)));
    assert_eq!(table(&bench, Table::Trajectory).len(), held, "more than a fifth of it is of no author");
    assert_eq!(bench.net.did, [], "what gave way at once is no reason to listen");
    for number in 30..33 {
        deliver(&mut bench, peer(21), &topic(), &message(21, long(number, 1500)));
    }
    let own = peer(21).to_string();
    let of_author = authors(&mut bench).into_iter().filter(|author| *author == own).count();
    assert!((1..=2).contains(&of_author), "{of_author}");
    for number in 40..46 {
        bench.ok("improving.recordTrajectory", long(number, 3000));
    }
    assert!(bytes(&bench) <= 20_000);
    let own = bench.own.to_string();
    assert!(authors(&mut bench).iter().filter(|author| **author == own).count() >= 5, "others go first");
}
