//! Where a node keeps its records: a database of encrypted values, and a file of keys that can be forgotten one by one.
//!
//! [`Store`] implements [`Records`]. Writes are gathered in memory, where every read sees them, and
//! [`commit`](Store::commit) makes all of them durable, or none.
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `master.key` | the master key, 32 random bytes, as it is or wrapped by a passphrase |
//! | `record.keys` | one slot per record with the record's own key, encrypted under the master key |
//! | `store.redb` | the records: keys in the clear, subject and value encrypted under the record's own key |
//! | `store.lock` | nothing; whoever has the folder open holds a lock on it |
//! | `damaged-N.jsonl` | records that [`repair`] moved out because they could not be decrypted, as in an [`export`] |
//!
//! Whoever loses `master.key`, the passphrase or `record.keys` loses every record. A backup of the records is an
//! [`export`]; `record.keys` must not be copied, because a copy of it undoes every later erasure.
//!
//! # Erasure (specification 9.3)
//!
//! A database writes to new pages and leaves the old ones until it needs the space, so removing a record does not remove
//! its bytes. What erases it is that its key is overwritten in `record.keys`. Every write of a record uses a new key in a
//! new slot, so what a record said before is erased as well. A commit goes in this order:
//!
//! 1. new keys are written to free slots and synced;
//! 2. the database commits, durably;
//! 3. slots that no record refers to any more are overwritten and synced; then they are free.
//!
//! After a crash between 1 and 3 some slots have keys without a record. Nothing tells such a slot from a free one for
//! certain, as half an overwritten slot may still give away its key, so opening a store overwrites every slot that no
//! record refers to. Opening an old copy of `store.redb` therefore forgets the keys of all that was written since.
//!
//! # Limits
//!
//! * A file system that copies on write or keeps snapshots (Btrfs, ZFS, APFS), and a flash drive that spreads writes,
//!   keep overwritten sectors for a while. An erased record's key in them is still encrypted under the master key. Where
//!   that matters, use a passphrase, and an encrypted disk.
//! * Values are in memory while they are used, and the operating system may swap them out.
//! * Keys of records, sizes, and the tag of a subject (a hash keyed with the master key) may stay in unused pages of the
//!   database after erasure. Whoever has the master key can test a guess of a subject against such a tag.
//! * Eight bytes per free slot, and the batch, are in memory; keys of records are read when they are needed.

mod check;
mod commit;
mod crypt;
mod error;
mod folder;
mod held;
mod master;
mod record;
mod schema;
mod slots;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyperspace_protocol::primitive::{Records, Table};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError};

pub use check::{Repaired, Report, check, repair};
pub use commit::erase;
pub use error::StoreError;
pub use master::Unlock;
pub use schema::SCHEMA;
pub use transfer::{Imported, export, import};

use crypt::MasterKey;
use error::{At, caught};
use folder::{DATABASE, Folder};
use held::Closing;
use record::Content;
use slots::KeyFile;

/// The records of a table as of the last commit.
type Committed = ReadOnlyTable<&'static [u8], &'static [u8]>;
/// Keys and values of records.
type Found = Vec<(Vec<u8>, Vec<u8>)>;

/// What a batch does to one record.
struct Change {
    /// What it writes; nothing if it erases the record.
    content: Option<Content>,
    /// Whether the record was there at the last commit.
    replaces: bool,
}

/// Whether the store can go on.
enum Health {
    Sound,
    /// A read or write failed; the next commit tells.
    Failed(StoreError),
    /// The failure was told.
    Stopped,
}

/// The records of one node, on disk.
///
/// Once a read or write fails, reads find nothing and writes do nothing, so that a commit can say so before anything that
/// was made of them gets out.
pub struct Store {
    database: Closing,
    /// Of the database, for messages.
    path: PathBuf,
    keys: Mutex<KeyFile>,
    master: MasterKey,
    batch: BTreeMap<Table, BTreeMap<Vec<u8>, Change>>,
    health: Mutex<Health>,
    /// Dropped last, after the database has closed its file. Tests go without.
    _folder: Option<Folder>,
}

impl Store {
    /// Whether a commit has something to do: writes, or an error to tell of.
    pub fn is_changed(&self) -> bool {
        !self.batch.is_empty() || !matches!(*self.health(), Health::Sound)
    }

    /// Opens the store in a folder, or makes one.
    ///
    /// # Errors
    ///
    /// Says what is wrong with which file and what to do. A folder that is refused is left as it was.
    pub fn open(dir: &Path, unlock: &Unlock) -> Result<Self, StoreError> {
        let folder = Folder::lock(dir)?;
        let (master, keys) = folder.keys(unlock)?;
        if !folder.has(DATABASE)? {
            if keys.slots() > 0 {
                let advice = "import an export, or move record.keys away to start with nothing";
                return Err(StoreError::Missing { path: folder.path(DATABASE), advice });
            }
            folder.create_database(|database, path| schema::create(database, path, keys.id()))?;
        }
        let database = folder.database(&keys)?;
        let mut store = Self::assemble(database, folder.path(DATABASE), keys, master);
        store._folder = Some(folder);
        store.sweep()?;
        Ok(store)
    }

    /// A store of parts that are open and fit each other.
    fn assemble(database: Database, path: PathBuf, keys: KeyFile, master: MasterKey) -> Self {
        let health = Mutex::new(Health::Sound);
        let keys = Mutex::new(keys);
        let database = Closing::new(database);
        Self { database, path, keys, master, batch: BTreeMap::new(), health, _folder: None }
    }

    /// Wipes and frees every slot that no record refers to.
    fn sweep(&self) -> Result<(), StoreError> {
        let path = &self.path;
        let used = caught(path, || {
            let transaction = self.database.begin_read().at(path)?;
            let slots = transaction.open_table(schema::SLOTS).at(path)?;
            let slots = slots.iter().at(path)?.map(|entry| Ok(entry.at(path)?.0.value()));
            slots.collect::<Result<Vec<u64>, StoreError>>()
        })?;
        self.keys().sweep(&used)
    }

    fn keys(&self) -> MutexGuard<'_, KeyFile> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of a read, unless it or an earlier one failed.
    fn attempt<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        if !matches!(*self.health(), Health::Sound) {
            return None;
        }
        caught(&self.path, read).map_err(|error| *self.health() = Health::Failed(error)).ok()
    }

    /// A table as of the last commit; `None` if no record was ever put into it.
    fn committed(&self, table: Table) -> Result<Option<Committed>, StoreError> {
        let transaction = self.database.begin_read().at(&self.path)?;
        match transaction.open_table(schema::records(table)) {
            Ok(records) => Ok(Some(records)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(StoreError::database(&self.path, error)),
        }
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(records) = self.committed(table)? else { return Ok(None) };
        let Some(stored) = records.get(key).at(&self.path)? else { return Ok(None) };
        self.unseal(table, key, stored.value()).map(|content| Some(content.value))
    }

    fn exists(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let Some(records) = self.committed(table)? else { return Ok(false) };
        Ok(records.get(key).at(&self.path)?.is_some())
    }

    /// The content of a stored record.
    fn unseal(&self, table: Table, key: &[u8], stored: &[u8]) -> Result<Content, StoreError> {
        let content = record::split(stored).map(|(slot, sealed)| {
            let record_key = self.keys().load(&self.master, slot)?;
            Ok(record_key.and_then(|record_key| Content::unseal(table, key, sealed, &record_key)))
        });
        content.transpose()?.flatten().ok_or_else(|| {
            let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
            StoreError::Damaged { table, key }
        })
    }

    fn find(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let none = BTreeMap::new();
        let changes = self.batch.get(&table).unwrap_or(&none);
        let changes = changes.range::<[u8], _>((from, Bound::Unbounded));
        let mut changes = changes.take_while(|(key, _)| key.starts_with(prefix)).peekable();
        let records = self.committed(table)?;
        let range = records.as_ref().map(|records| records.range::<&[u8]>((from, Bound::Unbounded)));
        let mut stored = range.transpose().at(&self.path)?.into_iter().flatten();
        let mut next = None;
        let mut found = Vec::new();
        while found.len() < limit {
            if next.is_none() {
                next = stored.next().transpose().at(&self.path)?;
                next = next.filter(|(key, _)| key.value().starts_with(prefix));
            }
            // A change comes before the record that it replaces, which is then passed over.
            let changed =
                changes.next_if(|(key, _)| next.as_ref().is_none_or(|(at, _)| key.as_slice() <= at.value()));
            if let Some((key, change)) = changed {
                next = next.filter(|(at, _)| at.value() != key.as_slice());
                found.extend(change.content.as_ref().map(|content| (key.clone(), content.value.clone())));
            } else if let Some((key, stored)) = next.take() {
                let content = self.unseal(table, key.value(), stored.value())?;
                found.push((key.value().to_vec(), content.value));
            } else {
                break;
            }
        }
        Ok(found)
    }
}

impl Records for Store {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.attempt(|| match self.batch.get(&table).and_then(|changes| changes.get(key)) {
            Some(change) => Ok(change.content.as_ref().map(|content| content.value.clone())),
            None => self.read(table, key),
        })
        .flatten()
    }

    fn put(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: Vec<u8>) {
        let content = Some(Content { subject: subject.map(str::to_owned), value });
        if let Some(change) = self.batch.get_mut(&table).and_then(|changes| changes.get_mut(key)) {
            change.content = content;
        } else if let Some(replaces) = self.attempt(|| self.exists(table, key)) {
            self.batch.entry(table).or_default().insert(key.to_vec(), Change { content, replaces });
        }
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        if let Some(change) = self.batch.get_mut(&table).and_then(|changes| changes.get_mut(key)) {
            change.content = None;
        } else if self.attempt(|| self.exists(table, key)) == Some(true) {
            let change = Change { content: None, replaces: true };
            self.batch.entry(table).or_default().insert(key.to_vec(), change);
        }
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.attempt(|| self.find(table, prefix, after, limit)).unwrap_or_default()
    }

    fn count(&self, table: Table) -> u64 {
        let committed =
            self.attempt(|| self.committed(table)?.map_or(Ok(0), |records| records.len().at(&self.path)));
        let changes = self.batch.get(&table).into_iter().flat_map(BTreeMap::values);
        changes.fold(committed.unwrap_or(0), |count, change| match (change.replaces, &change.content) {
            (false, Some(_)) => count + 1,
            (true, None) => count.saturating_sub(1),
            (false, None) | (true, Some(_)) => count,
        })
    }
}
