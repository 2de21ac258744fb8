//! `hyperlab node check`: is everything in a folder what it should be?

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hyperspace_protocol::primitive::Table;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::commit::{self, Index};
use super::error::{At, caught};
use super::folder::{self, DATABASE, Folder};
use super::transfer::Writer;
use super::{Store, StoreError, Unlock, record, schema};

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Records in the store, damaged ones too.
    pub records: u64,
    /// Records that cannot be decrypted: they, or their keys, are damaged.
    pub damaged: Vec<(Table, Vec<u8>)>,
    /// Records whose entry in the list of slots or of subjects is missing or wrong, and entries without a record.
    pub misplaced: u64,
    /// Slots with a key that no record refers to, left by a crash. Opening the store wipes them.
    pub stray: u64,
    /// Whether the database's own checksums are right.
    pub database: bool,
}

impl Report {
    /// Whether nothing needs attention.
    pub fn sound(&self) -> bool {
        self.damaged.is_empty() && self.misplaced == 0 && self.database
    }
}

/// Reads everything in a folder and compares it. Writes nothing, but that the database puts itself in order as whenever it
/// is opened after a crash.
///
/// # Errors
///
/// Those of [`Store::open`], and that there is no store in the folder.
pub fn check(dir: &Path, unlock: &Unlock) -> Result<Report, StoreError> {
    let (store, database) = open(dir, unlock)?;
    caught(&store.path.clone(), || inspect(&store, database))
}

/// The store as it is, with no slot swept, and whether the database's own checksums are right.
fn open(dir: &Path, unlock: &Unlock) -> Result<(Store, bool), StoreError> {
    let database = dir.join(DATABASE);
    if !database.exists() {
        return Err(StoreError::Missing { path: database, advice: "name the folder of a store" });
    }
    let folder = Folder::lock(dir)?;
    let (master, keys) = folder.keys(unlock)?;
    let mut database = folder.database(&keys)?;
    let path = folder.path(DATABASE);
    caught(&path.clone(), || {
        let sound = database.check_integrity().at(&path)?;
        let mut store = Store::assemble(database, path, keys, master);
        store._folder = Some(folder);
        Ok((store, sound))
    })
}

/// What [`repair`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// How it was before.
    pub before: Report,
    /// Where the records are that could not be decrypted, if there were any.
    pub moved_to: Option<PathBuf>,
    /// How it is now.
    pub after: Report,
}

/// Checks a folder, moves the records that cannot be decrypted into a file beside the store, and makes the lists of slots
/// and subjects anew from those that can. The file has the form of an export: if the damage was to `record.keys` and a
/// sound one is put back, [`import`](super::import) takes the records from it.
///
/// # Errors
///
/// Those of [`check`], and of writing. The records are in the file before they leave the database.
pub fn repair(dir: &Path, unlock: &Unlock) -> Result<Repaired, StoreError> {
    let (store, database) = open(dir, unlock)?;
    caught(&store.path.clone(), || {
        let before = inspect(&store, database)?;
        if before.damaged.is_empty() && before.misplaced == 0 {
            let after = Report { database: true, ..before.clone() };
            return Ok(Repaired { before, moved_to: None, after });
        }
        let moved_to = if before.damaged.is_empty() { None } else { Some(write_out(dir, &store, &before)?) };
        remove(&store, &before.damaged)?;
        store.sweep()?;
        let after = inspect(&store, true)?;
        Ok(Repaired { before, moved_to, after })
    })
}

/// Writes the damaged records to a new file, and returns where.
fn write_out(dir: &Path, store: &Store, report: &Report) -> Result<PathBuf, StoreError> {
    let (mut file, path) = create_new(dir)?;
    let mut writer = Writer::begin(&mut file, &path, store.keys().id())?;
    for (table, key) in &report.damaged {
        let Some(records) = store.committed(*table)? else { continue };
        if let Some(stored) = records.get(&key[..]).at(&store.path)? {
            writer.record(*table, key, stored.value())?;
        }
    }
    writer.end()?;
    let synced = file.sync_all().and_then(|()| File::open(dir)?.sync_all());
    synced.map_err(|error| StoreError::io(&path, error))?;
    Ok(path)
}

/// A file that was not there before: what an earlier repair moved out is kept.
fn create_new(dir: &Path) -> Result<(File, PathBuf), StoreError> {
    let mut number = 1u64;
    loop {
        let path = dir.join(format!("damaged-{number}.jsonl"));
        match folder::private().create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(StoreError::io(&path, error)),
        }
    }
}

/// Takes records out of the database and makes both lists anew, in one transaction.
fn remove(store: &Store, damaged: &[(Table, Vec<u8>)]) -> Result<(), StoreError> {
    let path = &store.path;
    let transaction = commit::begin(&store.database, path)?;
    transaction.delete_table(schema::SLOTS).at(path)?;
    transaction.delete_table(schema::SUBJECTS).at(path)?;
    {
        let mut index = Index::open(&transaction, path)?;
        for (table, key) in damaged {
            transaction.open_table(schema::records(*table)).at(path)?.remove(&key[..]).at(path)?;
        }
        for (table, _) in Table::NAMES {
            let records = transaction.open_table(schema::records(table)).at(path)?;
            for entry in records.iter().at(path)? {
                let (key, stored) = entry.at(path)?;
                let content = store.unseal(table, key.value(), stored.value())?;
                let (slot, _) = record::split(stored.value()).expect("it was decrypted");
                let tag = content.subject.map(|subject| store.master.tag(&subject));
                index.insert(slot, table, tag.as_ref(), key.value())?;
            }
        }
    }
    transaction.commit().at(path)
}

pub(super) fn inspect(store: &Store, database: bool) -> Result<Report, StoreError> {
    let path = &store.path;
    let transaction = store.database.begin_read().at(path)?;
    let slots = transaction.open_table(schema::SLOTS).at(path)?;
    let subjects = transaction.open_table(schema::SUBJECTS).at(path)?;
    let mut report = Report { records: 0, damaged: Vec::new(), misplaced: 0, stray: 0, database };
    let (mut in_place, mut with_subject) = (0, 0);
    for (table, name) in Table::NAMES {
        let Some(records) = store.committed(table)? else { continue };
        for entry in records.iter().at(path)? {
            let (key, stored) = entry.at(path)?;
            report.records += 1;
            let content = match store.unseal(table, key.value(), stored.value()) {
                Ok(content) => content,
                Err(StoreError::Damaged { .. }) => {
                    report.damaged.push((table, key.value().to_vec()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (slot, _) = record::split(stored.value()).expect("it was decrypted");
            let tag = content.subject.map(|subject| store.master.tag(&subject));
            let expected = (name, tag.as_ref().map_or(&[][..], |tag| &tag[..]), key.value());
            let mut right = slots.get(slot).at(path)?.is_some_and(|usage| usage.value() == expected);
            if let Some(tag) = &tag {
                right &= subjects.get((tag, slot)).at(path)?.is_some();
                with_subject += 1;
            }
            in_place += u64::from(right);
        }
    }
    let readable = report.records - report.damaged.len() as u64;
    report.misplaced = readable - in_place;
    if report.damaged.is_empty() {
        // A damaged record does not say whether it has a subject, so only then the numbers can be compared.
        report.misplaced += slots.len().at(path)?.saturating_sub(report.records);
        report.misplaced += subjects.len().at(path)?.saturating_sub(with_subject);
    }
    let mut keys = store.keys();
    for slot in 0..keys.slots() {
        if slots.get(slot).at(path)?.is_none() && keys.load(&store.master, slot)?.is_some() {
            report.stray += 1;
        }
    }
    Ok(report)
}
