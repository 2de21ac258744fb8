//! Crashes and errors at every point: nothing committed is lost, nothing erased comes back.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::disk::{Disk, Fault};
use super::*;

/// One store through batches, faults and crashes.
struct Run {
    dice: Dice,
    disk: Disk,
    /// What the last commit that returned left.
    acknowledged: MemoryRecords,
    /// What a commit that failed would have left.
    attempted: MemoryRecords,
    /// Every record's key that was ever in the key file.
    seen: BTreeSet<Vec<u8>>,
    /// Those of them that records had after the last commit that returned.
    live: BTreeSet<Vec<u8>>,
    /// Those that no record had any more by then.
    gone: BTreeSet<Vec<u8>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (acknowledged, attempted) = Default::default();
        let (seen, live, gone) = Default::default();
        Self { dice: Dice(seed), disk: Disk::new(), acknowledged, attempted, seen, live, gone }
    }

    /// Writes a batch to the store and to the model.
    fn batch(&mut self, store: &mut Store) {
        self.attempted = self.acknowledged.clone();
        for _ in 0..=self.dice.below(6) {
            let table = [Table::Memory, Table::Session][self.dice.below(2) as usize];
            let key = [self.dice.below(12) as u8];
            if self.dice.below(3) == 0 {
                store.delete(table, &key);
                self.attempted.delete(table, &key);
            } else {
                let subject = ["a", "b"].get(self.dice.below(3) as usize).copied();
                let value = self.dice.next().to_le_bytes().repeat(1 + self.dice.below(90) as usize);
                store.put(table, &key, subject, value.clone());
                self.attempted.put(table, &key, subject, value);
            }
        }
    }

    fn note_keys(&mut self) {
        let keys = keys_in(&self.disk.keys(), &master());
        self.live = keys.into_iter().filter_map(|(key, valid)| valid.then_some(key)).collect();
        self.seen.extend(self.live.iter().cloned());
        self.gone = self.seen.difference(&self.live).cloned().collect();
        self.assert_forgotten();
    }

    /// Nothing on the disk can be taken for a key that no record has any more.
    fn assert_forgotten(&self) {
        for (key, _) in keys_in(&self.disk.keys(), &master()) {
            assert!(!self.gone.contains(&key), "an erased record's key is back");
        }
    }

    /// Commits batches until one fails; at most a few.
    fn work(&mut self, store: &mut Store) {
        for _ in 0..8 {
            self.batch(store);
            if let Err(error) = store.commit() {
                assert!(matches!(error, StoreError::Io { .. } | StoreError::Corrupt { .. }), "{error}");
                assert!(matches!(store.commit(), Err(StoreError::Poisoned)));
                // Keys that were written for nothing must go as well.
                let keys = keys_in(&self.disk.keys(), &master());
                self.seen.extend(keys.into_iter().filter_map(|(key, valid)| valid.then_some(key)));
                return;
            }
            self.acknowledged = self.attempted.clone();
            self.note_keys();
            assert_eq!(self.live.len(), self.acknowledged.iter().count());
        }
    }

    fn fault(&mut self) {
        let after = self.dice.below(200);
        let faults = [Fault::Once(after), Fault::From(after), Fault::From(after)];
        self.disk.fail(faults[self.dice.below(3) as usize], ErrorKind::Other);
    }

    /// The process dies; the machine may or may not.
    fn crash(&mut self) {
        if self.dice.below(4) == 0 {
            self.disk.fail(Fault::Never, ErrorKind::Other);
        } else {
            self.disk = self.disk.crash(&mut self.dice);
        }
        self.assert_forgotten();
    }

    /// Opens the store after a crash and compares it.
    fn recover(&mut self) -> Store {
        let store = self.disk.open().unwrap();
        let found = contents(&store);
        if found != contents(&self.acknowledged) {
            assert_eq!(found, contents(&self.attempted), "neither before nor after the batch");
            self.acknowledged = self.attempted.clone();
        }
        self.attempted = self.acknowledged.clone();
        self.note_keys();
        assert_eq!(self.live.len(), found.len());
        let report = check::inspect(&store, true).unwrap();
        assert!(report.sound() && report.stray == 0, "{report:?}");
        store
    }
}

#[test]
fn no_crash_or_error_loses_what_was_committed_or_brings_back_what_was_erased() {
    for seed in 0..400 {
        let mut run = Run::new(seed);
        for _ in 0..4 {
            let mut store = run.recover();
            run.fault();
            run.work(&mut store);
            // A process that dies writes nothing more, but one that stops in order closes its files.
            if run.dice.below(2) == 0 {
                run.disk.fail(Fault::From(0), ErrorKind::Other);
            }
            drop(store);
            run.crash();
            // Opening writes too, and may be cut short in turn.
            run.fault();
            drop(run.disk.open());
            run.crash();
        }
        let mut store = run.recover();
        run.batch(&mut store);
        store.commit().unwrap();
    }
}

#[test]
fn a_read_that_fails_is_told_by_the_next_commit() {
    let disk = Disk::new();
    let mut store = disk.open().unwrap();
    store.put(Table::Fact, b"key", None, b"value".to_vec());
    store.commit().unwrap();
    disk.fail(Fault::Once(0), ErrorKind::Other);
    assert_eq!(store.get(Table::Fact, b"key"), None);
    assert_eq!(store.get(Table::Fact, b"key"), None);
    store.put(Table::Fact, b"other", None, b"value".to_vec());
    assert!(matches!(store.commit(), Err(StoreError::Io { .. })));
    assert!(matches!(store.commit(), Err(StoreError::Poisoned)));
    drop(store);
    let store = disk.open().unwrap();
    assert_eq!(contents(&store), [(Table::Fact, b"key".to_vec(), b"value".to_vec())]);
}

#[test]
fn a_full_disk_is_named_as_such() {
    for after in 0..40 {
        let disk = Disk::new();
        let mut store = disk.open().unwrap();
        store.put(Table::Fact, b"key", None, b"value".to_vec());
        disk.fail(Fault::From(after), ErrorKind::StorageFull);
        match store.commit() {
            Ok(()) => assert!(after > 5, "nothing failed"),
            Err(error) => assert!(matches!(error, StoreError::DiskFull(_)), "{after}: {error}"),
        }
    }
}
