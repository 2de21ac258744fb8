//! `hyperlab node check`: is everything in a folder what it should be?

use std::path::Path;

use hyperspace_protocol::primitive::Table;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::error::{At, caught};
use super::folder::{DATABASE, Folder};
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
        inspect(&store, sound)
    })
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
