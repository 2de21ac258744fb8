//! Where a machine keeps what must survive its process: the store that the driver lends.
//!
//! A primitive reads and writes records through [`Records`] and keeps nothing else that matters, so what it holds in
//! memory is small and a restart loses nothing. A write is seen by every later read at once; the driver makes the writes
//! of one call durable before it lets anything else of that call out: a reply, a message, a request. If it cannot, nothing
//! of the call gets out.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a record is. The names are part of the format on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Sessions, by id.
    Session,
    /// Values kept in a session, by session and hash of the value's name.
    SessionValue,
    /// Episodes of a session.
    Episode,
    /// Steps of a session's trace.
    Step,
    /// Fixed windows of `guard.checkRateLimit`.
    RateWindow,
    /// Tools registered here.
    Tool,
    /// Memories held here, as primary or replica.
    Memory,
    /// Deleted memories.
    Tombstone,
    /// Memories kept for a replica that was away.
    Hint,
    /// Playbooks.
    Playbook,
    /// Bullets of playbooks.
    Bullet,
    /// Trajectories, own ones and those of other peers.
    Trajectory,
    /// Outcomes recorded per task type.
    Outcome,
    /// Ratings of peers.
    Reputation,
    /// Payment channels.
    Channel,
    /// Payment receipts and the nonces they used up.
    Receipt,
    /// Single facts of the node: counters, its own card.
    Fact,
}

impl Table {
    /// All of them with their names, in the order of [`Table`] as an index.
    pub const NAMES: [(Self, &'static str); 17] = [
        (Self::Session, "session"),
        (Self::SessionValue, "session-value"),
        (Self::Episode, "episode"),
        (Self::Step, "step"),
        (Self::RateWindow, "rate-window"),
        (Self::Tool, "tool"),
        (Self::Memory, "memory"),
        (Self::Tombstone, "tombstone"),
        (Self::Hint, "hint"),
        (Self::Playbook, "playbook"),
        (Self::Bullet, "bullet"),
        (Self::Trajectory, "trajectory"),
        (Self::Outcome, "outcome"),
        (Self::Reputation, "reputation"),
        (Self::Channel, "channel"),
        (Self::Receipt, "receipt"),
        (Self::Fact, "fact"),
    ];

    /// Its name on disk.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

/// A store of records, ordered by key within each table.
///
/// Keys are not secret: what a user wrote goes into the value, or into the key as a hash. A driver that fails to read or
/// write says so when it commits, and then nothing of the call gets out; so no method here returns an error.
pub trait Records {
    /// The value of a record.
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>>;

    /// Writes a record. `subject` is whose data it is, for erasure on request (spec 9.3): `metadata.subject`, else the
    /// session; `None` for what belongs to no one.
    fn put(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: Vec<u8>);

    /// Erases a record; what it said cannot be had back from the store. Nothing happens if there is none.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Up to `limit` records whose keys begin with `prefix` and come after `after`, in order of their keys.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// How many records a table has.
    fn count(&self, table: Table) -> u64;
}

impl dyn Records + '_ {
    /// Reads a record that `save` wrote. One that does not parse counts as absent: only a program of another
    /// version can have written it, and a version is checked when a store is opened.
    pub fn load<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Option<T> {
        serde_json::from_slice(&self.get(table, key)?).ok()
    }

    /// Writes a record as JSON.
    pub fn save(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: &impl Serialize) {
        let bytes = serde_json::to_vec(value).expect("records are plain data");
        self.put(table, key, subject, bytes);
    }

    /// Like [`Records::scan`], parsed.
    pub fn load_all<T: DeserializeOwned>(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, T)> {
        let found = self.scan(table, prefix, after, limit);
        found
            .into_iter()
            .filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?)))
            .collect()
    }

    /// Erases every record whose key begins with `prefix`.
    pub fn delete_all(&mut self, table: Table, prefix: &[u8]) {
        loop {
            let found = self.scan(table, prefix, None, 256);
            for (key, _) in &found {
                self.delete(table, key);
            }
            if found.len() < 256 {
                return;
            }
        }
    }
}

/// Records in memory, for the simulator and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRecords {
    /// Subject and value by table and key.
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Kept>>,
}

type Kept = (Option<String>, Vec<u8>);

impl MemoryRecords {
    /// Every record: table, key, subject, value.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&str>, &[u8])> {
        self.tables.iter().flat_map(|(table, records)| {
            records.iter().map(|(key, (subject, value))| (*table, &key[..], subject.as_deref(), &value[..]))
        })
    }
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        Some(self.tables.get(&table)?.get(key)?.1.clone())
    }

    fn put(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: Vec<u8>) {
        self.tables.entry(table).or_default().insert(key.to_vec(), (subject.map(str::to_owned), value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        if let Some(records) = self.tables.get_mut(&table) {
            records.remove(key);
            if records.is_empty() {
                self.tables.remove(&table);
            }
        }
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(records) = self.tables.get(&table) else { return Vec::new() };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = records.range::<[u8], _>((from, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix));
        found.take(limit).map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    fn count(&self, table: Table) -> u64 {
        self.tables.get(&table).map_or(0, |records| records.len() as u64)
    }
}

/// For machines that keep nothing: reads find nothing, writes are dropped.
#[derive(Clone, Copy, Debug)]
pub struct NoRecords;

impl Records for NoRecords {
    fn get(&self, _: Table, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn put(&mut self, _: Table, _: &[u8], _: Option<&str>, _: Vec<u8>) {}
    fn delete(&mut self, _: Table, _: &[u8]) {}
    fn scan(&self, _: Table, _: &[u8], _: Option<&[u8]>, _: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }
    fn count(&self, _: Table) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_tables() {
        for (index, (table, _)) in Table::NAMES.iter().enumerate() {
            assert_eq!(*table as usize, index);
        }
    }

    #[test]
    fn a_scan_pages_through_a_prefix() {
        let mut records = MemoryRecords::default();
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            records.put(Table::Fact, key.as_bytes(), None, key.as_bytes().to_vec());
        }
        let keys = |records: &MemoryRecords, after: Option<&str>, limit| {
            let found = records.scan(Table::Fact, b"a/", after.map(str::as_bytes), limit);
            found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&records, None, 2), ["a/1", "a/2"]);
        assert_eq!(keys(&records, Some("a/2"), 2), ["a/3"]);
        assert_eq!(keys(&records, Some("0"), 9), ["a/1", "a/2", "a/3"]);
        (&mut records as &mut dyn Records).delete_all(Table::Fact, b"a/");
        assert_eq!(records.count(Table::Fact), 1);
    }
}
