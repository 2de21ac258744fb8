//! Places in the 256-bit key space and the XOR distance between them (libp2p/specs kad-dht, "Distance").

use core::cmp::Ordering;
use core::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::identity::PeerId;

/// A place in the key space: SHA-256 of a peer id's binary form, or of whatever else a request is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KadKey([u8; 32]);

impl KadKey {
    /// Length of a place in bits, and with it the most buckets a table can have.
    pub const BITS: usize = 256;

    /// The place with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Where a thing of these bytes lies.
    pub fn hash_of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Where a peer lies: the hash of its id's multihash.
    pub fn of_peer(id: &PeerId) -> Self {
        Self::hash_of(&id.to_multihash())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// How far another place is.
    #[inline]
    pub fn distance(&self, other: &Self) -> Distance {
        let (mine, theirs) = (self.0.as_chunks::<8>().0, other.0.as_chunks::<8>().0);
        let word = |i: usize| u64::from_be_bytes(mine[i]) ^ u64::from_be_bytes(theirs[i]);
        Distance([word(0), word(1), word(2), word(3)])
    }

    /// How many leading bits two places share, 256 if they are the same: the number of the bucket one falls into in
    /// the other's table.
    #[inline]
    pub fn shared_bits(&self, other: &Self) -> usize {
        self.distance(other).leading_zeros()
    }
}

/// Short: the first four bytes in hex.
impl fmt::Debug for KadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}*")
    }
}

/// XOR of two places, as a number of 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u64; 4]);

impl Distance {
    /// From a place to itself.
    pub const ZERO: Self = Self([0; 4]);
    /// The longest.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// Leading zero bits, 256 for [`Distance::ZERO`].
    #[inline]
    pub fn leading_zeros(&self) -> usize {
        let words = self.0.iter().position(|word| *word != 0);
        words.map_or(KadKey::BITS, |i| 64 * i + self.0[i].leading_zeros() as usize)
    }

    /// Bit number `i`, counted from the most significant one; `i` below 256.
    #[inline]
    pub fn bit(&self, i: usize) -> bool {
        self.0[i / 64] >> (63 - i % 64) & 1 == 1
    }
}

/// Short: the leading word in hex.
impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}*", self.0[0])
    }
}

/// What a request is about: the bytes as they go over the wire (a peer id, a record's key, a multihash), and where they
/// lie. Cheap to clone; hashed once.
#[derive(Clone)]
pub struct Key(Arc<(KadKey, Box<[u8]>)>);

impl Key {
    /// The key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new((KadKey::hash_of(bytes), bytes.into())))
    }

    /// The key of a peer's id, to look for the peer.
    pub fn of_peer(id: &PeerId) -> Self {
        Self::new(&id.to_multihash())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0.1
    }

    /// Where they lie.
    pub fn place(&self) -> &KadKey {
        &self.0.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, <{}b>)", self.place(), self.bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From rust-libp2p and go-libp2p-kad-dht alike: SHA-256 over the binary id.
    #[test]
    fn a_peer_lies_at_the_hash_of_its_multihash() {
        let id: PeerId = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7".parse().expect("a valid id");
        let expected = Sha256::digest(bs58::decode(id.to_string()).into_vec().expect("base58"));
        assert_eq!(KadKey::of_peer(&id).as_bytes()[..], expected[..]);
        assert_eq!(Key::of_peer(&id).place(), &KadKey::of_peer(&id));
    }

    #[test]
    fn places_and_keys_print_short() {
        let key = Key::new(b"abc");
        assert_eq!(format!("{key:?}"), "Key(ba7816bf*, <3b>)");
        assert_eq!(format!("{:?}", key.place().distance(&KadKey::from_bytes([0; 32]))), "ba7816bf8f01cfea*");
    }

    proptest! {
        #[test]
        fn the_distance_is_a_metric_in_which_each_place_has_one_neighbour_at_each_distance(
            a: [u8; 32], b: [u8; 32], c: [u8; 32],
        ) {
            let [x, y, z] = [a, b, c].map(KadKey::from_bytes);
            prop_assert_eq!(x.distance(&y), y.distance(&x));
            prop_assert_eq!(x.distance(&y) == Distance::ZERO, x == y);
            prop_assert_eq!(x.distance(&y) == x.distance(&z), y == z);
            // The order is that of the XORed bytes.
            let xor = |p: [u8; 32], q: [u8; 32]| -> Vec<u8> { p.iter().zip(q).map(|(p, q)| p ^ q).collect() };
            prop_assert_eq!(x.distance(&y).cmp(&x.distance(&z)), xor(a, b).cmp(&xor(a, c)));
            let first = (0..256).find(|i| x.distance(&y).bit(*i));
            prop_assert_eq!(x.shared_bits(&y), first.unwrap_or(256));
        }
    }
}
