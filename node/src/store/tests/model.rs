//! The store does what records in memory do, across commits and restarts.

use proptest::prelude::*;

use super::disk::Disk;
use super::*;

const TABLES: [Table; 3] = [Table::Session, Table::Memory, Table::Fact];

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<u8>, Option<u8>, Vec<u8>),
    Delete(usize, Vec<u8>),
    Scan(usize, Vec<u8>, Option<Vec<u8>>, usize),
    Commit,
    Erase(u8),
    /// Without a commit: what was not committed is gone.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let table = 0..TABLES.len();
    let key = || prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 255]), 0..4);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        8 => (table.clone(), key(), prop::option::of(0..3u8), value)
            .prop_map(|(table, key, subject, value)| Step::Put(table, key, subject, value)),
        4 => (table.clone(), key()).prop_map(|(table, key)| Step::Delete(table, key)),
        4 => (table, key(), prop::option::of(key()), 0..6usize)
            .prop_map(|(table, prefix, after, limit)| Step::Scan(table, prefix, after, limit)),
        3 => Just(Step::Commit),
        1 => (0..3u8).prop_map(Step::Erase),
        1 => Just(Step::Reopen),
    ]
}

fn subject(number: u8) -> String {
    format!("subject {number}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_records_in_memory_do(steps in prop::collection::vec(step(), 1..60)) {
        let disk = Disk::new();
        let mut store = disk.open().unwrap();
        let mut model = MemoryRecords::default();
        let mut committed = model.clone();
        for step in steps {
            match step {
                Step::Put(table, key, of, value) => {
                    let of = of.map(subject);
                    store.put(TABLES[table], &key, of.as_deref(), value.clone());
                    model.put(TABLES[table], &key, of.as_deref(), value);
                    prop_assert_eq!(store.get(TABLES[table], &key), model.get(TABLES[table], &key));
                }
                Step::Delete(table, key) => {
                    store.delete(TABLES[table], &key);
                    model.delete(TABLES[table], &key);
                    prop_assert_eq!(store.get(TABLES[table], &key), None);
                }
                Step::Scan(table, prefix, after, limit) => {
                    let table = TABLES[table];
                    let found = store.scan(table, &prefix, after.as_deref(), limit);
                    prop_assert_eq!(found, model.scan(table, &prefix, after.as_deref(), limit));
                    prop_assert_eq!(store.count(table), model.count(table));
                }
                Step::Commit => {
                    store.commit().unwrap();
                    committed = model.clone();
                }
                Step::Erase(of) => {
                    let of = subject(of);
                    let gone = model.iter().filter(|(_, _, subject, _)| *subject == Some(&of));
                    let gone: Vec<_> = gone.map(|(table, key, _, _)| (table, key.to_vec())).collect();
                    gone.iter().for_each(|(table, key)| model.delete(*table, key));
                    prop_assert_eq!(erase(&mut store, &of).unwrap(), gone.len());
                    committed = model.clone();
                }
                Step::Reopen => {
                    drop(store);
                    store = disk.open().unwrap();
                    model = committed.clone();
                }
            }
            prop_assert_eq!(contents(&store), contents(&model));
        }
        store.commit().unwrap();
        let keys = keys_in(&disk.keys(), &master());
        let valid = keys.iter().filter(|(_, valid)| *valid).count();
        prop_assert_eq!(valid, model.iter().count());
        let report = check::inspect(&store, true).unwrap();
        prop_assert!(report.sound() && report.stray == 0, "{report:?}");
    }
}
