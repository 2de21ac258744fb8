//! Random numbers as a pure function of (purpose, owner, count): Philox2x64-10 of Salmon et al., "Parallel random
//! numbers: as easy as 1, 2, 3" (SC'11).
//!
//! A [`Stream`] is a key and a counter, so a million peers can each have several, adding a draw in one place shifts no
//! draw anywhere else, and two runs that differ in one setting still share all other randomness.

use sha2::{Digest, Sha256};

const MULTIPLIER: u64 = 0xD2B7_4407_B1CE_6E93;
const WEYL: u64 = 0x9E37_79B9_7F4A_7C15;
const ROUNDS: u32 = 10;

/// Philox2x64 with ten rounds: 128 random bits for this counter under this key.
#[inline]
pub fn philox(counter: [u64; 2], key: u64) -> [u64; 2] {
    let [mut left, mut right] = counter;
    let mut key = key;
    for round in 0..ROUNDS {
        if round > 0 {
            key = key.wrapping_add(WEYL);
        }
        let product = u128::from(left) * u128::from(MULTIPLIER);
        left = (product >> 64) as u64 ^ key ^ right;
        right = product as u64;
    }
    [left, right]
}

/// The key of one purpose (`"topology"`, `"protocol"`, ...) under one seed.
pub fn purpose_key(seed: u64, purpose: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"hyperlab/stream/1\0");
    hash.update(seed.to_be_bytes());
    hash.update(purpose.as_bytes());
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// One stream of random numbers: the purpose's key, its owner and how many were drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
    owner: u64,
    drawn: u64,
}

impl Stream {
    /// The stream of `owner` for the purpose whose key is `key`, from its start.
    pub const fn new(key: u64, owner: u64) -> Self {
        Self { key, owner, drawn: 0 }
    }

    /// The same stream after `drawn` draws, for owners that keep only the count.
    pub const fn resume(key: u64, owner: u64, drawn: u64) -> Self {
        Self { key, owner, drawn }
    }

    /// How many numbers were drawn.
    pub const fn drawn(&self) -> u64 {
        self.drawn
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [word, _] = philox([self.owner, self.drawn], self.key);
        self.drawn += 1;
        word
    }

    /// A number below `bound`: see [`scale()`].
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// Whether an event of probability `p` happens; always draws once.
    #[inline]
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A float in [0, 1): see [`unit()`].
    #[inline]
    pub fn unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// Puts `items` in random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// 64 random bits as a number below `bound` (0 for a bound of 0). The bias of the multiplication is under `bound / 2^64`.
#[inline]
pub fn scale(word: u64, bound: u64) -> u64 {
    ((u128::from(word) * u128::from(bound)) >> 64) as u64
}

/// 64 random bits as a float in [0, 1), of which it has 53.
#[inline]
pub fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with Random123 (`kat_vectors`, philox2x64 10).
    #[test]
    fn philox_matches_the_published_known_answers() {
        assert_eq!(philox([0, 0], 0), [0xca00_a045_9843_d731, 0x66c2_4222_c9a8_45b5]);
        assert_eq!(philox([u64::MAX; 2], u64::MAX), [0x65b0_21d6_0cd8_310f, 0x4d02_f322_2f86_df20]);
        assert_eq!(
            philox([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344], 0xa409_3822_299f_31d0),
            [0x0a5e_742c_2997_341c, 0xb0f8_83d3_8000_de5d]
        );
    }

    #[test]
    fn streams_are_what_they_were_and_differ_by_purpose_owner_and_seed() {
        let topology = purpose_key(1, "topology");
        let draws = [
            Stream::new(topology, 0).next_u64(),
            Stream::new(topology, 1).next_u64(),
            Stream::new(purpose_key(1, "loss"), 0).next_u64(),
            Stream::new(purpose_key(2, "topology"), 0).next_u64(),
        ];
        assert_eq!(
            draws,
            [
                8_129_685_928_792_949_897,
                8_343_334_830_803_962_394,
                9_704_572_899_220_484_351,
                16_426_528_094_793_829_520
            ]
        );
    }

    #[test]
    fn a_resumed_stream_goes_on_where_it_stopped() {
        let mut whole = Stream::new(9, 9);
        let _ = (whole.next_u64(), whole.next_u64());
        let mut resumed = Stream::resume(9, 9, whole.drawn());
        assert_eq!(resumed.next_u64(), whole.next_u64());
    }

    #[test]
    fn below_is_uniform_within_four_sigma() {
        let mut stream = Stream::new(purpose_key(1, "test"), 0);
        let mut counts = [0i64; 10];
        for _ in 0..100_000 {
            counts[stream.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (n - 10_000).abs() < 4 * 95), "{counts:?}");
    }
}
