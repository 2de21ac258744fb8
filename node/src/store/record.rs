//! What a record is on disk: the number of its slot, and subject and value sealed under the key in that slot, with table
//! and key of the record beside them.

use hyperspace_protocol::primitive::Table;
use zeroize::Zeroizing;

use super::StoreError;
use super::crypt::{self, Key};

/// In place of a subject's length: the record has none.
const NO_SUBJECT: u32 = u32::MAX;

/// Subject and value of a record.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Whose data it is.
    pub subject: Option<String>,
    /// What the record says.
    pub value: Vec<u8>,
}

impl Content {
    /// The record as it is stored: `slot` holds `key`, which encrypts this content and no other.
    pub(super) fn seal(
        &self,
        table: Table,
        record: &[u8],
        slot: u64,
        key: &Key,
    ) -> Result<Vec<u8>, StoreError> {
        let subject = self.subject.as_deref().unwrap_or_default().as_bytes();
        let len = match &self.subject {
            Some(_) => u32::try_from(subject.len()).expect("a subject comes from one message"),
            None => NO_SUBJECT,
        };
        // Allocated at once: growing would leave copies in freed memory.
        let mut plain = Zeroizing::new(Vec::with_capacity(4 + subject.len() + self.value.len()));
        plain.extend_from_slice(&len.to_le_bytes());
        plain.extend_from_slice(subject);
        plain.extend_from_slice(&self.value);
        let sealed = crypt::seal(&crypt::cipher(key), &beside(table, record), &plain)?;
        Ok(join(slot, &sealed))
    }

    /// The content of sealed bytes; `None` if they are damaged or the key is not theirs.
    pub(super) fn unseal(table: Table, record: &[u8], sealed: &[u8], key: &Key) -> Option<Self> {
        let plain = crypt::unseal(&crypt::cipher(key), &beside(table, record), sealed)?;
        let (len, rest) = plain.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len);
        if len == NO_SUBJECT {
            return Some(Self { subject: None, value: rest.to_vec() });
        }
        let (subject, value) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        Some(Self { subject: Some(str::from_utf8(subject).ok()?.to_owned()), value: value.to_vec() })
    }
}

/// Slot and sealed bytes as they are stored.
pub(super) fn join(slot: u64, sealed: &[u8]) -> Vec<u8> {
    [&slot.to_le_bytes(), sealed].concat()
}

/// Slot and sealed bytes of a stored record.
pub(super) fn split(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (slot, sealed) = stored.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*slot), sealed))
}

/// What ties a sealed content to its place. No table's name has a zero byte.
fn beside(table: Table, record: &[u8]) -> Vec<u8> {
    [table.name().as_bytes(), &[0], record].concat()
}
