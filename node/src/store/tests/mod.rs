//! What the store promises: against a model, on disks that fail, and byte by byte.

mod disk;
mod erasure;
mod faults;
mod model;
mod opening;

use hyperspace_protocol::primitive::MemoryRecords;

use super::*;
use crate::store::crypt::{Key, NONCE};
use crate::store::slots::SLOT;

/// A generator for tests: SplitMix64.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Every record of a store.
fn contents(records: &dyn Records) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let tables = Table::NAMES.iter().map(|(table, _)| *table);
    let all = tables.flat_map(|table| {
        let found = records.scan(table, b"", None, usize::MAX);
        assert_eq!(found.len() as u64, records.count(table));
        found.into_iter().map(move |(key, value)| (table, key, value))
    });
    all.collect()
}

fn master() -> MasterKey {
    MasterKey::new(&Key::new([7; 32]))
}

/// What anybody with the master key could take for a record's key in the bytes of `record.keys`, whether or not the slot is
/// whole: decryption without a look at the tag. The flag tells whether the tag is right.
fn keys_in(file: &[u8], master: &MasterKey) -> Vec<(Vec<u8>, bool)> {
    use chacha20poly1305::aead::Aead;
    let slots = file.get(SLOT..).unwrap_or_default().chunks(SLOT).enumerate();
    let keys = slots.map(|(slot, bytes)| {
        let mut whole = [0; SLOT];
        whole[..bytes.len()].copy_from_slice(bytes);
        let (nonce, sealed) = whole.split_first_chunk::<NONCE>().unwrap();
        let plain = crypt::unseal(master.slots(), &(slot as u64).to_le_bytes(), &whole);
        // The cipher is its own inverse.
        let key = master.slots().encrypt(&(*nonce).into(), &sealed[..32]).unwrap();
        (key[..32].to_vec(), plain.is_some())
    });
    keys.collect()
}
