//! What makes a batch durable, in the order that the module's documentation gives.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;

use hyperspace_protocol::primitive::{Records, Table, memory};
use redb::{Database, Durability, ReadableDatabase, WriteTransaction};
use zeroize::Zeroizing;

use super::crypt::{self, TAG};
use super::error::{At, caught};
use super::{Change, Health, Store, StoreError, record, schema};

impl Store {
    /// Makes every write since the last commit durable, or none of them. When it returns, what was deleted or overwritten
    /// cannot be had back.
    ///
    /// # Errors
    ///
    /// The first error of a read or write since the last commit, or what went wrong now. The store is of no use after
    /// that: every later commit fails too. Whether the batch is there shows when the store is opened again; what was
    /// committed before is.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let health = mem::replace(&mut *self.health(), Health::Stopped);
        match health {
            Health::Sound => {}
            Health::Failed(error) => return Err(error),
            Health::Stopped => return Err(StoreError::Poisoned),
        }
        let batch = mem::take(&mut self.batch);
        if !batch.is_empty() {
            caught(&self.path, || self.write(batch))?;
        }
        *self.health() = Health::Sound;
        Ok(())
    }

    fn write(&self, batch: BTreeMap<Table, BTreeMap<Vec<u8>, Change>>) -> Result<(), StoreError> {
        let path = &self.path;
        let transaction = begin(&self.database, path)?;
        let mut keys = self.keys();
        let mut gone = Vec::new();
        {
            let mut index = Index::open(&transaction, path)?;
            for (table, changes) in batch {
                let mut records = transaction.open_table(schema::records(table)).at(path)?;
                for (key, Change { content, .. }) in changes {
                    if let Some(stored) = records.remove(&key[..]).at(path)? {
                        gone.extend(index.remove(stored.value())?);
                    }
                    let Some(content) = content else { continue };
                    let record_key = Zeroizing::new(crypt::random()?);
                    let slot = keys.store(&self.master, &record_key)?;
                    let stored = content.seal(table, &key, slot, &record_key)?;
                    records.insert(&key[..], &stored[..]).at(path)?;
                    let tag = content.subject.map(|subject| self.master.tag(&subject));
                    index.insert(slot, table, tag.as_ref(), &key)?;
                }
            }
        }
        keys.sync()?;
        transaction.commit().at(path)?;
        keys.wipe(&gone)
    }
}

/// Erases every record of a subject and commits, together with what was not yet committed. Returns how many there were.
///
/// Of a memory other peers have copies. The same commit notes its id, so that the node deletes it there too when it runs
/// again, and takes no copy back. Memories of the subject that no copy is here of are not found.
///
/// # Errors
///
/// Those of [`Store::commit`].
pub fn erase(store: &mut Store, subject: &str) -> Result<usize, StoreError> {
    store.commit()?;
    let found = caught(&store.path, || find(store, subject))?;
    for (table, key) in &found {
        store.delete(*table, key);
        if let Some(fact) = memory::erased(*table, key) {
            store.put(Table::Fact, &fact, None, Vec::new());
        }
    }
    store.commit()?;
    Ok(found.len())
}

/// The committed records of a subject.
fn find(store: &Store, subject: &str) -> Result<Vec<(Table, Vec<u8>)>, StoreError> {
    let path = &store.path;
    let tag = store.master.tag(subject);
    let transaction = store.database.begin_read().at(path)?;
    let subjects = transaction.open_table(schema::SUBJECTS).at(path)?;
    let slots = transaction.open_table(schema::SLOTS).at(path)?;
    let mut found = Vec::new();
    for entry in subjects.range((&tag, 0)..=(&tag, u64::MAX)).at(path)? {
        let (_, slot) = entry.at(path)?.0.value();
        let usage = slots.get(slot).at(path)?;
        let usage = usage
            .ok_or_else(|| StoreError::corrupt(path, "a subject's record is not in the list of slots"))?;
        let (name, _, key) = usage.value();
        let table = schema::table(name);
        let table = table.ok_or_else(|| StoreError::corrupt(path, format!("it has a table {name:?}")))?;
        found.push((table, key.to_vec()));
    }
    Ok(found)
}

/// A transaction that is on disk once it is committed.
pub(super) fn begin(database: &Database, path: &Path) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().at(path)?;
    transaction.set_durability(Durability::Immediate).at(path)?;
    Ok(transaction)
}

/// The two tables that say what slots are used for.
pub(super) struct Index<'txn> {
    slots: redb::Table<'txn, u64, (&'static str, &'static [u8], &'static [u8])>,
    subjects: redb::Table<'txn, (&'static [u8; TAG], u64), ()>,
    path: &'txn Path,
}

impl<'txn> Index<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction, path: &'txn Path) -> Result<Self, StoreError> {
        let slots = transaction.open_table(schema::SLOTS).at(path)?;
        let subjects = transaction.open_table(schema::SUBJECTS).at(path)?;
        Ok(Self { slots, subjects, path })
    }

    /// Notes what a slot is used for.
    pub(super) fn insert(
        &mut self,
        slot: u64,
        table: Table,
        tag: Option<&[u8; TAG]>,
        key: &[u8],
    ) -> Result<(), StoreError> {
        let bytes = tag.map_or(&[][..], |tag| &tag[..]);
        self.slots.insert(slot, (table.name(), bytes, key)).at(self.path)?;
        if let Some(tag) = tag {
            self.subjects.insert((tag, slot), ()).at(self.path)?;
        }
        Ok(())
    }

    /// Forgets a stored record, and returns the slot to wipe. A record too short to name a slot has none.
    fn remove(&mut self, stored: &[u8]) -> Result<Option<u64>, StoreError> {
        let Some((slot, _)) = record::split(stored) else { return Ok(None) };
        if let Some(usage) = self.slots.remove(slot).at(self.path)?
            && let Ok(tag) = <&[u8; TAG]>::try_from(usage.value().1)
        {
            self.subjects.remove((tag, slot)).at(self.path)?;
        }
        Ok(Some(slot))
    }
}
