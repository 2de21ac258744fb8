//! Exports: a backup of the database that does not undo erasure.
//!
//! An export holds records as they are stored: encrypted, each under a key that stays in `record.keys`, with the number
//! of that key's slot. It can be imported only into the folder that it was made from, or what is left of it: `master.key`
//! and `record.keys` must be there, `store.redb` need not. A record that was erased or overwritten since has lost its key,
//! so it does not come back, and nobody can read it in the export either. Who loses `record.keys` cannot use any export.
//!
//! # Format, version 1
//!
//! Lines of JSON, each an object with one member. The first is `header` with `format`, `version` and `store` (the id of
//! the store), then one `record` each with `table`, `key`, `slot` and `sealed` (nonce and ciphertext), last `end` with the
//! number of `records`, so that a part of an export does not pass for the whole. Bytes are in base64.

use std::io::{BufRead, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyperspace_protocol::primitive::Table;
use redb::{Database, ReadableTable};
use serde::{Deserialize, Serialize};

use super::commit::{self, Index};
use super::crypt::MasterKey;
use super::error::{At, caught};
use super::folder::{DATABASE, Folder, MASTER_KEY, RECORD_KEYS};
use super::record::{self, Content};
use super::slots::{ID, KeyFile};
use super::{Store, StoreError, Unlock, schema};

const FORMAT: &str = "hyperlab store export";
const VERSION: u32 = 1;

/// One line of an export.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Header { format: String, version: u32, store: String },
    Record { table: String, key: String, slot: u64, sealed: String },
    End { records: u64 },
}

/// What [`import`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that are back.
    pub restored: u64,
    /// Records that the store has, as they are in the export or newer.
    pub present: u64,
    /// Records whose key is gone: erased or overwritten since the export was made.
    pub unreadable: u64,
}

/// Writes all committed records, and returns how many.
///
/// # Errors
///
/// Whatever reading the store or writing to `out` gives; for the latter the path in the message is `export`.
pub fn export(store: &Store, out: impl Write) -> Result<u64, StoreError> {
    let mut writer = Writer::begin(out, Path::new("export"), store.keys().id())?;
    for (table, _) in Table::NAMES {
        let Some(records) = store.committed(table)? else { continue };
        for entry in records.iter().at(&store.path)? {
            let (key, stored) = entry.at(&store.path)?;
            if record::split(stored.value()).is_some() {
                writer.record(table, key.value(), stored.value())?;
            }
        }
    }
    writer.end()
}

/// Writes an export, record by record.
pub(super) struct Writer<'p, W> {
    out: W,
    /// For messages.
    path: &'p Path,
    records: u64,
}

impl<'p, W: Write> Writer<'p, W> {
    /// Begins one of the store with this id.
    pub(super) fn begin(out: W, path: &'p Path, store: [u8; ID]) -> Result<Self, StoreError> {
        let mut writer = Self { out, path, records: 0 };
        let store = BASE64_STANDARD.encode(store);
        writer.line(&Line::Header { format: FORMAT.to_owned(), version: VERSION, store })?;
        Ok(writer)
    }

    /// Adds a record as it is stored. One too short to name a slot is given one that there is not.
    pub(super) fn record(&mut self, table: Table, key: &[u8], stored: &[u8]) -> Result<(), StoreError> {
        let (slot, sealed) = record::split(stored).unwrap_or((u64::MAX, stored));
        let (key, sealed) = (BASE64_STANDARD.encode(key), BASE64_STANDARD.encode(sealed));
        self.records += 1;
        self.line(&Line::Record { table: table.name().to_owned(), key, slot, sealed })
    }

    /// Ends it, and tells how many records it has.
    pub(super) fn end(mut self) -> Result<u64, StoreError> {
        self.line(&Line::End { records: self.records })?;
        self.out.flush().map_err(|error| StoreError::io(self.path, error))?;
        Ok(self.records)
    }

    fn line(&mut self, line: &Line) -> Result<(), StoreError> {
        let json = serde_json::to_string(line).expect("a line is plain data");
        writeln!(self.out, "{json}").map_err(|error| StoreError::io(self.path, error))
    }
}

/// Brings back what an export has and the folder's database has not. All of it is there afterwards, or nothing changed.
///
/// Import the newest export: keys that neither it nor the database has a record for are wiped when the store is opened.
///
/// # Errors
///
/// Those of [`Store::open`], and [`StoreError::Export`] for what is not a whole export of this store.
pub fn import(dir: &Path, unlock: &Unlock, from: impl BufRead) -> Result<Imported, StoreError> {
    for name in [MASTER_KEY, RECORD_KEYS] {
        let path = dir.join(name);
        if !path.exists() {
            let advice = "an export can only be read beside the keys of the store that it was made from";
            return Err(StoreError::Missing { path, advice });
        }
    }
    let folder = Folder::lock(dir)?;
    let (master, mut keys) = folder.keys(unlock)?;
    if folder.has(DATABASE)? {
        let database = folder.database(&keys)?;
        let path = folder.path(DATABASE);
        return caught(&path, || restore(&database, &path, &master, &mut keys, from));
    }
    folder.create_database(|database, path| {
        schema::create(database, path, keys.id())?;
        restore(database, path, &master, &mut keys, from)
    })
}

fn restore(
    database: &Database,
    path: &Path,
    master: &MasterKey,
    keys: &mut KeyFile,
    from: impl BufRead,
) -> Result<Imported, StoreError> {
    let mut done = Imported::default();
    let transaction = commit::begin(database, path)?;
    let mut whole = false;
    let mut at = 0;
    {
        let mut index = Index::open(&transaction, path)?;
        for line in from.lines() {
            at += 1;
            let bad = |detail: &str| StoreError::Export { line: at, detail: detail.to_owned() };
            let line = line.map_err(|error| bad(&error.to_string()))?;
            let line = serde_json::from_str(&line).map_err(|error| bad(&error.to_string()))?;
            match line {
                _ if whole => return Err(bad("it comes after the end")),
                Line::Header { format, version, store } if at == 1 => {
                    check_header(&format, version, &store, keys).map_err(bad)?;
                }
                Line::Record { table, key, slot, sealed } if at > 1 => {
                    let table = schema::table(&table).ok_or_else(|| bad("no such table"))?;
                    let bytes = |text| BASE64_STANDARD.decode(text).map_err(|_| bad("not base64"));
                    let (key, sealed) = (bytes(key)?, bytes(sealed)?);
                    let mut records = transaction.open_table(schema::records(table)).at(path)?;
                    let record_key = keys.load(master, slot)?;
                    let content = record_key.and_then(|own| Content::unseal(table, &key, &sealed, &own));
                    let Some(content) = content else {
                        done.unreadable += 1;
                        continue;
                    };
                    if records.get(&key[..]).at(path)?.is_some() {
                        done.present += 1;
                        continue;
                    }
                    records.insert(&key[..], &record::join(slot, &sealed)[..]).at(path)?;
                    let tag = content.subject.as_deref().map(|subject| master.tag(subject));
                    index.insert(slot, table, tag.as_ref(), &key)?;
                    done.restored += 1;
                }
                Line::End { records } if at > 1 => {
                    if records != done.restored + done.present + done.unreadable {
                        return Err(bad("it counts other records than there are"));
                    }
                    whole = true;
                }
                Line::Header { .. } | Line::Record { .. } | Line::End { .. } => {
                    return Err(bad("it is out of place"));
                }
            }
        }
    }
    if !whole {
        return Err(StoreError::Export { line: at, detail: "the export is cut short".to_owned() });
    }
    transaction.commit().at(path)?;
    Ok(done)
}

fn check_header(format: &str, version: u32, store: &str, keys: &KeyFile) -> Result<(), &'static str> {
    if format != FORMAT {
        return Err("this is not an export of a store");
    }
    if version > VERSION {
        return Err("it was made by a newer program");
    }
    if BASE64_STANDARD.decode(store).ok().as_deref() != Some(&keys.id()) {
        return Err("it was made from another store");
    }
    Ok(())
}
