//! Vectors of texts, and how alike two are.
//!
//! The built-in embedder hashes words and runs of three characters into 256 signed counters. It knows no synonyms, but is
//! the same everywhere: all is integers, up to the one division and root of the cosine, which IEEE 754 makes exact.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

/// Counters of the built-in embedder (our choice).
const DIMENSIONS: usize = 256;
/// Most dimensions of an outside embedder's vectors (our choice: the largest in common use).
const DIMENSIONS_MAX: usize = 4096;
/// What a whole word counts, against one run of characters (our choice).
const WORD: i32 = 4;

/// A text's place in the space of meanings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Vector {
    values: Box<[i8]>,
    /// The square of its length.
    square: i64,
}

impl Vector {
    fn new(values: Vec<i8>) -> Self {
        let square = values.iter().map(|value| i64::from(*value) * i64::from(*value)).sum();
        Self { values: values.into(), square }
    }

    /// The built-in embedding.
    pub(super) fn of(text: &str) -> Self {
        let mut sums = vec![0i32; DIMENSIONS];
        let mut add = |feature: &str, weight: i32| {
            let digest = Sha256::digest(feature);
            let at = usize::from(digest[0]);
            sums[at] += if digest[1] & 1 == 0 { weight } else { -weight };
        };
        let text = text.to_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            add(word, WORD);
            let edged: Vec<char> = format!("^{word}$").chars().collect();
            for run in edged.windows(3) {
                add(&run.iter().collect::<String>(), 1);
            }
        }
        Self::scaled(&sums.into_iter().map(f64::from).collect::<Vec<_>>())
    }

    /// An outside embedder's vector; `None` if it has no or too many dimensions or an infinite one.
    pub(super) fn from_reals(values: &[f64]) -> Option<Self> {
        let good =
            (1..=DIMENSIONS_MAX).contains(&values.len()) && values.iter().all(|value| value.is_finite());
        good.then(|| Self::scaled(values))
    }

    /// The largest value becomes 127.
    fn scaled(values: &[f64]) -> Self {
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let scale = |value: &f64| if largest == 0.0 { 0 } else { (value / largest * 127.0).round() as i8 };
        Self::new(values.iter().map(scale).collect())
    }

    /// As text for the wire.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.values.iter().map(|value| value.cast_unsigned()).collect();
        BASE64_STANDARD.encode(bytes)
    }

    /// Reads [`Self::text`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let good = (1..=DIMENSIONS_MAX).contains(&bytes.len());
        good.then(|| Self::new(bytes.into_iter().map(u8::cast_signed).collect()))
    }

    /// The cosine of the angle between two, from 0 (nothing in common, or not comparable) to 1 (the same direction).
    pub(super) fn similarity(&self, other: &Self) -> f64 {
        if self.values.len() != other.values.len() || self.square == 0 || other.square == 0 {
            return 0.0;
        }
        // At most 4096 * 127 * 127: fits.
        let pairs = self.values.iter().zip(&other.values);
        let dot: i32 = pairs.map(|(left, right)| i32::from(*left) * i32::from(*right)).sum();
        let cosine = f64::from(dot) / ((self.square as f64).sqrt() * (other.square as f64).sqrt());
        cosine.clamp(0.0, 1.0)
    }
}
