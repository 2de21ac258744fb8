//! The records of one peer's primitives, made when the first is written: most peers of most runs have none.

use hyperspace_protocol::primitive::{MemoryRecords, Records, Table};

use crate::event::mix;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct HostRecords(Option<Box<MemoryRecords>>);

impl HostRecords {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// The digest `sum` with every record worked in, in the order of tables and keys.
    pub(crate) fn digest(&self, sum: u64) -> u64 {
        let records = self.0.iter().flat_map(|records| records.iter());
        records.fold(sum, |sum, (table, key, subject, value)| {
            let subject = subject.map_or(0, |subject| text(subject.as_bytes()) | 1);
            mix(mix(sum ^ table as u64 ^ text(key)) ^ subject ^ text(value).rotate_left(1))
        })
    }
}

/// A hash of some bytes.
pub(crate) fn text(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut part = [0; 8];
        part[..chunk.len()].copy_from_slice(chunk);
        mix(sum ^ u64::from_be_bytes(part))
    })
}

impl Records for HostRecords {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.as_ref()?.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], subject: Option<&str>, value: Vec<u8>) {
        self.0.get_or_insert_default().put(table, key, subject, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        if let Some(records) = &mut self.0 {
            records.delete(table, key);
        }
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.as_ref().map_or_else(Vec::new, |records| records.scan(table, prefix, after, limit))
    }

    fn count(&self, table: Table) -> u64 {
        self.0.as_ref().map_or(0, |records| records.count(table))
    }
}
