//! A folder that cannot be opened is refused with a message that helps, and stays as it is.

use std::collections::BTreeMap;
use std::fs;

use redb::{TableDefinition, WriteTransaction};
use zeroize::Zeroizing;

use super::disk::Disk;
use super::*;

type Bytes = BTreeMap<String, Vec<u8>>;

/// The files of a folder with their bytes, apart from the lock.
fn snapshot(dir: &Path) -> Bytes {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let files = files.filter(|file| file.file_name() != "store.lock");
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Writes a file that only its owner may read.
fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create(true).truncate(true).open(dir.join(name)).unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
}

fn put_back(dir: &Path, files: &Bytes) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
    for (name, bytes) in files {
        put(dir, name, bytes);
    }
}

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Zeroizing::new(text.to_owned()))
}

/// A folder with some records, and its files: closed in order, or as a killed process leaves them.
fn filled(unlock: &Unlock, killed: bool) -> (tempfile::TempDir, Bytes) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), unlock).unwrap();
    for number in 0..200u8 {
        store.put(Table::Memory, &[number], Some("somebody"), vec![number; 300]);
    }
    store.commit().unwrap();
    store.delete(Table::Memory, &[9]);
    store.commit().unwrap();
    let files = snapshot(dir.path());
    drop(store);
    let files = if killed { files } else { snapshot(dir.path()) };
    put_back(dir.path(), &files);
    (dir, files)
}

/// Opening fails, and changes nothing.
fn refused(dir: &Path, unlock: &Unlock) -> StoreError {
    let before = snapshot(dir);
    let error = Store::open(dir, unlock).map(drop).unwrap_err();
    assert!(snapshot(dir) == before, "files changed: {error}");
    error
}

#[test]
fn the_passphrase_opens_the_folder_and_nothing_else_does() {
    let (dir, _) = filled(&passphrase("right"), false);
    let error = refused(dir.path(), &passphrase("wrong"));
    assert!(matches!(error, StoreError::WrongPassphrase(_)), "{error}");
    let error = refused(dir.path(), &Unlock::KeyFile);
    assert!(matches!(error, StoreError::PassphraseNeeded(_)), "{error}");
    let store = Store::open(dir.path(), &passphrase("right")).unwrap();
    assert_eq!(store.count(Table::Memory), 199);
    assert_eq!(format!("{:?}", passphrase("right")), "Passphrase(..)");
    let (dir, _) = filled(&Unlock::KeyFile, false);
    let error = refused(dir.path(), &passphrase("any"));
    assert!(matches!(error, StoreError::PassphraseUnexpected(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &Unlock::KeyFile).unwrap());
    for file in fs::read_dir(dir.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    for name in [folder::MASTER_KEY, folder::RECORD_KEYS] {
        let set =
            |mode| fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        let error = refused(dir.path(), &Unlock::KeyFile);
        assert!(matches!(error, StoreError::Mode { mode: 0o640, .. }), "{error}");
        set(0o600);
    }
    Store::open(dir.path(), &Unlock::KeyFile).unwrap();
}

#[test]
fn a_folder_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    assert!(matches!(Store::open(dir.path(), &Unlock::KeyFile), Err(StoreError::Locked(_))));
    assert!(matches!(check(dir.path(), &Unlock::KeyFile), Err(StoreError::Locked(_))));
    assert!(matches!(import(dir.path(), &Unlock::KeyFile, &b""[..]), Err(StoreError::Locked(_))));
    drop(store);
    Store::open(dir.path(), &Unlock::KeyFile).unwrap();
}

#[test]
fn files_of_other_folders_and_programs_are_refused() {
    let (dir, files) = filled(&Unlock::KeyFile, false);
    let (other, others) = filled(&Unlock::KeyFile, false);
    drop(other);
    let dir = dir.path();
    for name in [folder::MASTER_KEY, folder::RECORD_KEYS] {
        fs::write(dir.join(name), &others[name]).unwrap();
        let error = refused(dir, &Unlock::KeyFile);
        assert!(matches!(error, StoreError::WrongKey(_)), "{error}");
        put_back(dir, &files);
    }
    for name in [folder::MASTER_KEY, folder::RECORD_KEYS, DATABASE] {
        fs::write(dir.join(name), "what somebody else keeps under this name, for whatever reason".repeat(9))
            .unwrap();
        let error = refused(dir, &Unlock::KeyFile);
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        fs::remove_file(dir.join(name)).unwrap();
        let error = refused(dir, &Unlock::KeyFile);
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        put_back(dir, &files);
    }
    fs::write(dir.join(DATABASE), &others[DATABASE]).unwrap();
    assert!(matches!(refused(dir, &Unlock::KeyFile), StoreError::Foreign { .. }));
    fs::remove_file(dir.join(DATABASE)).unwrap();
    let database = Database::create(dir.join(DATABASE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u32, u32>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refused(dir, &Unlock::KeyFile), StoreError::Foreign { .. }));
}

#[test]
fn a_database_that_is_cut_short_is_refused() {
    for killed in [false, true] {
        let (dir, files) = filled(&Unlock::KeyFile, killed);
        let whole = &files[DATABASE];
        let mut dice = Dice(1);
        let lengths = [0, 1, 4, 100, 320, 511, 4096, whole.len() - 1, whole.len() / 2];
        let more = (0..20).map(|_| dice.below(whole.len() as u64) as usize);
        for len in lengths.into_iter().chain(more) {
            fs::write(dir.path().join(DATABASE), &whole[..len]).unwrap();
            let error = refused(dir.path(), &Unlock::KeyFile);
            assert!(matches!(error, StoreError::Corrupt { .. }), "{len}: {error}");
        }
    }
}

#[test]
fn damage_is_told_and_never_passed_on() {
    for killed in [false, true] {
        let (dir, files) = filled(&Unlock::KeyFile, killed);
        let mut dice = Dice(2);
        let mut told = 0;
        for _ in 0..60 {
            put_back(dir.path(), &files);
            let name = [DATABASE, DATABASE, folder::RECORD_KEYS][dice.below(3) as usize];
            let mut bytes = files[name].clone();
            for _ in 0..1 + dice.below(40) {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 + dice.below(255) as u8;
            }
            fs::write(dir.path().join(name), &bytes).unwrap();
            let Ok(mut store) = Store::open(dir.path(), &Unlock::KeyFile) else {
                told += 1;
                continue;
            };
            for number in 0..200u8 {
                let value = store.get(Table::Memory, &[number]);
                let right = value.as_ref().is_none_or(|value| *value == vec![number; 300]);
                assert!(right, "a damaged value was passed on");
            }
            told += usize::from(store.commit().is_err());
        }
        assert!(told > 12, "{told}");
    }
}

#[test]
fn a_damaged_record_is_found_and_can_be_deleted() {
    let (dir, files) = filled(&Unlock::KeyFile, false);
    let mut slots = files[folder::RECORD_KEYS].clone();
    slots[SLOT * 4] ^= 1;
    fs::write(dir.path().join(folder::RECORD_KEYS), slots).unwrap();
    let report = check(dir.path(), &Unlock::KeyFile).unwrap();
    assert_eq!((report.damaged.len(), report.misplaced, report.database), (1, 0, true));
    let (table, key) = report.damaged[0].clone();
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    assert_eq!(store.get(table, &key), None);
    let error = store.commit().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("hyperlab node check --repair"), "{error}");
    drop(store);
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    store.delete(table, &key);
    store.commit().unwrap();
    drop(store);
    assert!(check(dir.path(), &Unlock::KeyFile).unwrap().sound());
}

#[test]
fn damaged_records_are_moved_out_and_come_back_when_the_keys_do() {
    let (dir, files) = filled(&Unlock::KeyFile, false);
    let dir = dir.path();
    let untouched = repair(dir, &Unlock::KeyFile).unwrap();
    assert!(untouched.after.sound() && untouched.moved_to.is_none(), "{untouched:?}");
    let mut slots = files[folder::RECORD_KEYS].clone();
    for slot in [4, 50, 51] {
        slots[SLOT * slot] ^= 1;
    }
    put(dir, folder::RECORD_KEYS, &slots);
    let repaired = repair(dir, &Unlock::KeyFile).unwrap();
    assert_eq!(repaired.before.damaged.len(), 3);
    assert!(repaired.after.sound() && repaired.after.stray == 0, "{repaired:?}");
    assert_eq!(repaired.after.records, 196);
    let moved = repaired.moved_to.unwrap();
    assert_eq!(moved.parent(), Some(dir));
    let mut store = Store::open(dir, &Unlock::KeyFile).unwrap();
    for number in 0..200u8 {
        let there = number != 9 && !repaired.before.damaged.contains(&(Table::Memory, vec![number]));
        assert_eq!(store.get(Table::Memory, &[number]).is_some(), there, "{number}");
    }
    store.commit().unwrap();
    // What is left can still be erased by its subject.
    assert_eq!(erase(&mut store, "somebody").unwrap(), 196);
    drop(store);
    // The keys are gone from this folder; beside a sound copy of them the file is as good as an export.
    let lines = fs::read(&moved).unwrap();
    assert_eq!(import(dir, &Unlock::KeyFile, &lines[..]).unwrap().unreadable, 3);
    put_back(dir, &files);
    fs::remove_file(dir.join(DATABASE)).unwrap();
    assert_eq!(import(dir, &Unlock::KeyFile, &lines[..]).unwrap().restored, 3);
}

#[test]
fn a_second_repair_does_not_overwrite_what_the_first_moved_out() {
    let (dir, files) = filled(&Unlock::KeyFile, false);
    let dir = dir.path();
    let mut moved = Vec::new();
    for slot in [4, 5] {
        let mut slots = fs::read(dir.join(folder::RECORD_KEYS)).unwrap();
        slots[SLOT * slot] ^= 1;
        put(dir, folder::RECORD_KEYS, &slots);
        moved.push(repair(dir, &Unlock::KeyFile).unwrap().moved_to.unwrap());
    }
    assert_ne!(moved[0], moved[1]);
    assert!(moved.iter().all(|path| path.exists()));
    // Damage to a record itself, whose key is whole, and to the lists: neither stays.
    put_back(dir, &files);
    let store = Store::open(dir, &Unlock::KeyFile).unwrap();
    let transaction = commit::begin(&store.database, &store.path).unwrap();
    transaction.open_table(schema::records(Table::Memory)).unwrap().insert(&[7][..], &b"short"[..]).unwrap();
    transaction.open_table(schema::SLOTS).unwrap().remove(20).unwrap();
    transaction.commit().unwrap();
    drop(store);
    assert!(!check(dir, &Unlock::KeyFile).unwrap().sound());
    let repaired = repair(dir, &Unlock::KeyFile).unwrap();
    assert_eq!(repaired.before.damaged, [(Table::Memory, vec![7])]);
    assert!(repaired.before.misplaced > 0 && repaired.after.sound(), "{repaired:?}");
    assert_eq!(repaired.after.records, 198);
}

#[test]
fn a_key_file_that_is_cut_short_costs_its_records_only() {
    let (dir, files) = filled(&Unlock::KeyFile, false);
    let slots = &files[folder::RECORD_KEYS];
    fs::write(dir.path().join(folder::RECORD_KEYS), &slots[..slots.len() / 2]).unwrap();
    let damaged = check(dir.path(), &Unlock::KeyFile).unwrap().damaged;
    assert!(damaged.len() > 90);
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    store.put(Table::Fact, b"new", None, b"value".to_vec());
    store.commit().unwrap();
    for (table, key) in &damaged {
        store.delete(*table, key);
    }
    store.commit().unwrap();
    drop(store);
    assert!(check(dir.path(), &Unlock::KeyFile).unwrap().sound());
    let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    assert_eq!(store.get(Table::Fact, b"new"), Some(b"value".to_vec()));
    assert_eq!(store.count(Table::Memory), 199 - damaged.len() as u64);
}

#[test]
fn slots_of_deleted_records_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    for number in 0..100u8 {
        store.put(Table::Fact, &[number], None, Vec::new());
    }
    store.commit().unwrap();
    store.delete_all_but_one();
    drop(store);
    let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
    assert_eq!(store.keys().slots(), 1);
    assert_eq!(store.get(Table::Fact, &[0]), Some(Vec::new()));
}

impl Store {
    fn delete_all_but_one(&mut self) {
        for number in 1..100u8 {
            self.delete(Table::Fact, &[number]);
        }
        self.commit().unwrap();
    }
}

#[test]
fn schemas_are_brought_up_to_date_and_newer_ones_are_refused() {
    const EXTRA: TableDefinition<'_, u32, u32> = TableDefinition::new("extra");
    fn second(transaction: &WriteTransaction) -> Result<(), redb::Error> {
        transaction.open_table(EXTRA)?.insert(1, 2)?;
        Ok(())
    }
    fn third(transaction: &WriteTransaction) -> Result<(), redb::Error> {
        transaction.open_table(EXTRA)?.insert(1, 3)?;
        Ok(())
    }
    fn broken(transaction: &WriteTransaction) -> Result<(), redb::Error> {
        transaction.open_table(EXTRA)?.insert(1, 4)?;
        Err(redb::Error::Corrupted("on purpose".to_owned()))
    }
    let (dir, _) = filled(&Unlock::KeyFile, false);
    let folder = Folder::lock(dir.path()).unwrap();
    let (_, keys) = folder.keys(&Unlock::KeyFile).unwrap();
    let database = folder.database(&keys).unwrap();
    let path = folder.path(DATABASE);
    let upgrade = |steps: &[schema::Migration]| {
        let found = schema::verify(&database, &path, keys.id(), steps)?;
        schema::upgrade(&database, &path, found, steps)
    };
    let extra = || {
        let transaction = database.begin_read().unwrap();
        transaction.open_table(EXTRA).ok().map(|table| table.get(1).unwrap().unwrap().value())
    };
    upgrade(&[]).unwrap();
    assert!(upgrade(&[second, broken]).is_err());
    assert_eq!(extra(), None, "both steps or none");
    upgrade(&[second]).unwrap();
    assert_eq!(extra(), Some(2));
    upgrade(&[second, third]).unwrap();
    upgrade(&[broken, broken]).unwrap();
    assert_eq!(extra(), Some(3));
    drop((database, folder, keys));
    let error = refused(dir.path(), &Unlock::KeyFile);
    assert!(matches!(error, StoreError::NewerSchema { found: 3, known: SCHEMA, .. }), "{error}");
}

#[test]
fn a_disk_for_tests_holds_no_plain_text() {
    let disk = Disk::new();
    let mut store = disk.open().unwrap();
    store.put(Table::Fact, b"key", Some("a subject in plain words"), b"a value in plain words".to_vec());
    store.commit().unwrap();
    for bytes in [disk.database(), disk.keys()] {
        assert!(!bytes.windows(14).any(|window| window == b"in plain words"));
    }
}

#[test]
fn what_the_operating_system_says_is_named() {
    use std::io::{Error, ErrorKind};
    let of = |kind: ErrorKind| StoreError::io(Path::new("some/file"), Error::from(kind));
    assert!(matches!(of(ErrorKind::PermissionDenied), StoreError::Denied(_)));
    assert!(matches!(of(ErrorKind::StorageFull), StoreError::DiskFull(_)));
    assert!(matches!(of(ErrorKind::NotConnected), StoreError::Io { .. }));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(file.path(), &Unlock::KeyFile).map(drop).unwrap_err();
    assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error}");
}

#[test]
fn a_folder_whose_making_was_interrupted_is_made_to_the_end() {
    let (_, files) = filled(&Unlock::KeyFile, false);
    let empty = files[folder::RECORD_KEYS][..SLOT].to_vec();
    let master = files[folder::MASTER_KEY].clone();
    let torn = |name: &str| (format!("{name}.new"), b"torn".to_vec());
    let stages: [Vec<(String, Vec<u8>)>; 4] = [
        vec![torn(folder::MASTER_KEY)],
        vec![(folder::MASTER_KEY.into(), master.clone())],
        vec![(folder::MASTER_KEY.into(), master.clone()), torn(folder::RECORD_KEYS)],
        vec![(folder::MASTER_KEY.into(), master), (folder::RECORD_KEYS.into(), empty), torn(DATABASE)],
    ];
    for stage in stages {
        let dir = tempfile::tempdir().unwrap();
        put_back(dir.path(), &stage.into_iter().collect());
        let mut store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
        store.put(Table::Fact, b"key", None, b"value".to_vec());
        store.commit().unwrap();
        drop(store);
        let store = Store::open(dir.path(), &Unlock::KeyFile).unwrap();
        assert_eq!(store.get(Table::Fact, b"key"), Some(b"value".to_vec()));
    }
}

#[test]
fn a_store_can_be_lent_to_another_thread() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Store>();
}
