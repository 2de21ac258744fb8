//! Who stands on the ring and where: members, their tokens, and the positions of keys (decision P23).

use std::io::Write;

use sha2::{Digest, Sha256};

use super::Position;
use crate::identity::PeerId;

/// Something that can own a part of the ring: a peer id, or a compact stand-in for one.
///
/// The order (`Ord`) decides between two members with equal tokens, so it must be the same at every node; for peer ids
/// it is the order of the key bytes. Members that differ must have different labels.
pub trait Member: Ord + Clone {
    /// Appends the text that stands for this member in the input of the token hash.
    fn label(&self, out: &mut Vec<u8>);

    /// Token number `index` of the member with this `label`: SHA-256 of `label ":" index` (index in decimal), first 8
    /// bytes, big endian (decision P23). Also its weight for partition `index` under rendezvous.
    ///
    /// Nodes agree on owners only if all use this default. Override it to try another hash, or to force equal tokens in
    /// a test.
    fn token(label: &[u8], index: u16) -> u64 {
        let mut digits = [0; 5];
        let mut unused = &mut digits[..];
        write!(unused, "{index}").expect("a u16 has at most five digits");
        let digits_len = 5 - unused.len();
        let hash = Sha256::new().chain_update(label).chain_update(b":").chain_update(&digits[..digits_len]);
        leading(&hash.finalize())
    }
}

/// The label is the text form, `12D3KooW...`.
impl Member for PeerId {
    fn label(&self, out: &mut Vec<u8>) {
        write!(out, "{self}").expect("writing to memory");
    }
}

/// The label is the text itself.
impl Member for &str {
    fn label(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// The label is the text itself.
impl Member for String {
    fn label(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// The label is the number in decimal. The order is that of the numbers, not of their labels.
impl Member for u32 {
    fn label(&self, out: &mut Vec<u8>) {
        write!(out, "{self}").expect("writing to memory");
    }
}

impl Position {
    /// Where the key `id` lies: SHA-256 of its bytes, first 8 bytes, big endian (decision P23). In the memory primitive
    /// `id` is the memory's id, not its content.
    pub fn of(id: impl AsRef<[u8]>) -> Self {
        Self(leading(&Sha256::digest(id.as_ref())))
    }
}

/// The first 8 bytes of a digest, big endian.
fn leading(digest: &[u8]) -> u64 {
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// Tokens 0 to `count - 1` of `member`, in that order.
pub(super) fn tokens<K: Member>(member: &K, count: u16) -> impl Iterator<Item = u64> + use<K> {
    let label = label(member);
    (0..count).map(move |index| K::token(&label, index))
}

/// The label of `member` on its own.
pub(super) fn label<K: Member>(member: &K) -> Vec<u8> {
    let mut label = Vec::with_capacity(64);
    member.label(&mut label);
    label
}
