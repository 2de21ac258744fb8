//! What was erased is nowhere in the folder, and an export does not bring it back.

use std::fs;
use std::io::Cursor;

use hyperspace_protocol::primitive::memory;

use super::*;

const PLANTED: &str = "planted: the user's own words, found nowhere else";
const WHO: &str = "planted subject";

/// The bytes of every file of a folder.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

fn master_of(dir: &Path) -> MasterKey {
    let path = dir.join(folder::MASTER_KEY);
    MasterKey::new(&master::parse(&path, &fs::read(&path).unwrap(), &Unlock::KeyFile).unwrap())
}

fn assert_nowhere(dir: &Path, export: &[u8], record_key: &Key) {
    for bytes in files(dir).iter().map(Vec::as_slice).chain([export]) {
        for secret in [PLANTED.as_bytes(), WHO.as_bytes(), &record_key[..]] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    let slots = fs::read(dir.join(folder::RECORD_KEYS)).unwrap();
    assert!(keys_in(&slots, &master_of(dir)).iter().all(|(key, _)| key[..] != record_key[..]));
}

/// The key under which a committed record is encrypted.
fn key_of(store: &Store, table: Table, key: &[u8]) -> Key {
    let records = store.committed(table).unwrap().unwrap();
    let stored = records.get(key).unwrap().unwrap();
    let (slot, _) = record::split(stored.value()).unwrap();
    store.keys().load(&store.master, slot).unwrap().unwrap()
}

/// Plants a record among others, exports, and lets `erase` do away with the planted one.
fn erase_by(erase: impl FnOnce(&mut Store)) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut store = Store::open(dir, &Unlock::KeyFile).unwrap();
    for number in 0..20u8 {
        store.put(Table::Memory, &[number], Some("somebody else"), vec![number; 100]);
    }
    store.put(Table::Memory, b"planted", Some(WHO), PLANTED.as_bytes().to_vec());
    store.commit().unwrap();
    let record_key = key_of(&store, Table::Memory, b"planted");
    let mut exported = Vec::new();
    assert_eq!(export(&store, &mut exported).unwrap(), 21);

    erase(&mut store);
    assert_nowhere(dir, &exported, &record_key);
    drop(store);
    assert_nowhere(dir, &exported, &record_key);

    // Into the folder as it is, and into one whose database is lost.
    let done = import(dir, &Unlock::KeyFile, Cursor::new(&exported)).unwrap();
    assert_eq!(done, Imported { restored: 0, present: 20, unreadable: 1 });
    fs::remove_file(dir.join(DATABASE)).unwrap();
    assert!(matches!(Store::open(dir, &Unlock::KeyFile), Err(StoreError::Missing { .. })));
    let done = import(dir, &Unlock::KeyFile, Cursor::new(&exported)).unwrap();
    assert_eq!(done, Imported { restored: 20, present: 0, unreadable: 1 });
    assert_nowhere(dir, &exported, &record_key);
    let mut store = Store::open(dir, &Unlock::KeyFile).unwrap();
    assert_eq!(store.get(Table::Memory, b"planted"), None);
    assert_eq!(store.get(Table::Memory, &[7]), Some(vec![7; 100]));
    assert_eq!(super::erase(&mut store, "somebody else").unwrap(), 20);
    drop(store);
    assert!(check(dir, &Unlock::KeyFile).unwrap().sound());
}

#[test]
fn a_deleted_record_is_nowhere() {
    erase_by(|store| {
        store.delete(Table::Memory, b"planted");
        store.commit().unwrap();
    });
}

#[test]
fn the_records_of_an_erased_subject_are_nowhere() {
    erase_by(|store| assert_eq!(erase(store, WHO).unwrap(), 1));
}

#[test]
fn erased_memories_are_noted_for_the_other_replicas() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    let id = |number: u8| format!("mem-{number:024x}");
    for number in 0..3 {
        store.put(Table::Memory, id(number).as_bytes(), Some(WHO), PLANTED.as_bytes().to_vec());
    }
    let hint = format!("12D3KooW/{}", id(3));
    store.put(Table::Hint, hint.as_bytes(), Some(WHO), PLANTED.as_bytes().to_vec());
    store.put(Table::Memory, id(4).as_bytes(), Some("somebody else"), b"theirs".to_vec());
    store.put(Table::Playbook, b"planted", Some(WHO), PLANTED.as_bytes().to_vec());
    assert_eq!(erase(&mut store, WHO).unwrap(), 5);
    drop(store);
    // As a node that starts finds it.
    let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    let facts = store.scan(Table::Fact, b"", None, 9).into_iter().map(|(key, _)| key);
    let noted = (0..4).map(|number| memory::erased(Table::Memory, id(number).as_bytes()).unwrap());
    assert_eq!(facts.collect::<Vec<_>>(), noted.collect::<Vec<_>>());
    assert_eq!(
        (store.count(Table::Memory), store.count(Table::Hint), store.count(Table::Playbook)),
        (1, 0, 0)
    );
}

#[test]
fn what_a_record_said_before_is_nowhere() {
    erase_by(|store| {
        store.put(Table::Memory, b"planted", None, b"something else".to_vec());
        store.commit().unwrap();
        // Gone as well, for `erase_by` counts the others only.
        store.delete(Table::Memory, b"planted");
        store.commit().unwrap();
    });
}

#[test]
fn an_overwritten_record_is_not_brought_back_though_its_slot_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    store.put(Table::Memory, b"one", None, PLANTED.as_bytes().to_vec());
    store.commit().unwrap();
    let record_key = key_of(&store, Table::Memory, b"one");
    let mut exported = Vec::new();
    export(&store, &mut exported).unwrap();
    for text in ["two", "three"] {
        store.put(Table::Memory, b"one", None, text.as_bytes().to_vec());
        store.commit().unwrap();
    }
    assert_eq!(store.keys().slots(), 2);
    drop(store);
    let done = import(dir.path(), &Unlock::KeyFile, Cursor::new(&exported)).unwrap();
    assert_eq!(done, Imported { unreadable: 1, ..Imported::default() });
    assert_nowhere(dir.path(), &exported, &record_key);
    let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    assert_eq!(store.get(Table::Memory, b"one"), Some(b"three".to_vec()));
}

#[test]
fn an_export_that_is_not_whole_or_not_ours_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut store = Store::open(dir, &Unlock::KeyFile).unwrap();
    for number in 0..5u8 {
        store.put(Table::Fact, &[number], None, vec![number]);
    }
    store.commit().unwrap();
    let mut exported = Vec::new();
    export(&store, &mut exported).unwrap();
    drop(store);
    fs::remove_file(dir.join(DATABASE)).unwrap();
    let text = String::from_utf8(exported).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |gone: usize| {
        let left = lines.iter().enumerate().filter(|(at, _)| *at != gone);
        left.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let other = tempfile::tempdir().unwrap();
    let mut foreign = Vec::new();
    export(&Store::open(other.path(), &Unlock::KeyFile).unwrap(), &mut foreign).unwrap();
    let foreign = String::from_utf8(foreign).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":2");
    let cut = text[..text.len() - 20].to_owned();
    let bad = [without(0), without(2), without(6), foreign, newer, cut, String::new(), text.repeat(2)];
    for bad in bad {
        let error = import(dir, &Unlock::KeyFile, Cursor::new(&bad)).unwrap_err();
        assert!(matches!(error, StoreError::Export { .. }), "{error}");
        assert!(!dir.join(DATABASE).exists());
    }
    let done = import(dir, &Unlock::KeyFile, Cursor::new(&text)).unwrap();
    assert_eq!(done, Imported { restored: 5, ..Imported::default() });
    let no_keys = tempfile::tempdir().unwrap();
    let error = import(no_keys.path(), &Unlock::KeyFile, Cursor::new(&text)).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}
