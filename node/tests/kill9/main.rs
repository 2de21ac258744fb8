//! A process that is killed at any instant has kept everything that it acknowledged.
//!
//! The test runs itself again as a child that commits batches and prints the number of each one after its commit. The
//! parent kills the child after some of them, without a chance to clean up, and looks at what it left. `node.rs` does the
//! same to a whole node and its answers.

mod node;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyperspace_node::store::{Store, Unlock, check};
use hyperspace_protocol::primitive::{Records, Table};

/// Names the folder to the child.
pub(crate) const DIR: &str = "HYPERLAB_KILL9_DIR";
pub(crate) const RUNS: usize = 100;
/// Batches go round among that many keys, so that records are overwritten and deleted all the time.
const KEYS: u64 = 40;

/// Held by a test as long as it runs: a child of another test that has not come to its own program yet shares the lock of a
/// store that is open here.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number below `end`.
pub(crate) fn random(end: u8) -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).expect("random bytes");
    byte[0] % end
}

/// What batch `number` does: two records written, one deleted.
fn apply(records: &mut dyn Records, number: u64) {
    for key in [number, number + 7] {
        let value = format!("batch {number} {}", "x".repeat(key as usize % 300));
        records.put(Table::Memory, &(key % KEYS).to_be_bytes(), Some("somebody"), value.into_bytes());
    }
    records.delete(Table::Memory, &((number + 3) % KEYS).to_be_bytes());
    records.put(Table::Fact, b"batch", None, number.to_be_bytes().to_vec());
}

/// The number of the last batch in a store.
fn last(records: &dyn Records) -> u64 {
    let bytes = records.get(Table::Fact, b"batch");
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut store = Store::open(Path::new(&dir), &Unlock::KeyFile).expect("the parent has closed it");
    for number in last(&store) + 1.. {
        apply(&mut store, number);
        store.commit().expect("the disk is sound");
        let mut out = std::io::stdout().lock();
        writeln!(out, "committed {number}").and_then(|()| out.flush()).expect("the parent reads");
    }
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a folder");
    let mut model = hyperspace_protocol::primitive::MemoryRecords::default();
    let mut reached = 0;
    for run in 0..RUNS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut acknowledged = 0;
        let mut left = 1 + random(6);
        for line in stdout.lines() {
            // The test harness may have begun the first line.
            let line = line.expect("text");
            let Some((_, number)) = line.rsplit_once("committed ") else { continue };
            acknowledged = number.parse().expect("a number");
            left = left.saturating_sub(1);
            if left == 0 {
                // More may be in the pipe, and counts.
                child.kill().expect("it runs");
            }
        }
        let status = child.wait().expect("it is ours");
        assert!(!status.success(), "the child ended by itself");
        assert!(acknowledged > reached, "nothing was acknowledged in run {run}");

        let store = Store::open(dir.path(), &Unlock::KeyFile).expect("it opens after a crash");
        let found = last(&store);
        assert!(found == acknowledged || found == acknowledged + 1, "run {run}: {found}, not {acknowledged}");
        for number in reached + 1..=found {
            apply(&mut model, number);
        }
        reached = found;
        let all = |records: &dyn Records| records.scan(Table::Memory, b"", None, usize::MAX);
        assert_eq!(all(&store), all(&model), "run {run}");
    }
    let report = check(dir.path(), &Unlock::KeyFile).expect("it opens");
    assert!(report.sound() && report.stray == 0, "{report:?}");
}
