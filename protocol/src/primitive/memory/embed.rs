//! Vectors of texts, and how alike two are.
//!
//! The built-in embedder hashes words and runs of three characters into 256 signed counters. It knows no synonyms, but is
//! the same everywhere: all is integers, up to the one division and root of the cosine, which IEEE 754 makes exact.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

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
        let mut add = |feature: &[char], weight: i32| {
            let hash = hash(feature);
            let at = (hash >> 1) as usize % DIMENSIONS;
            sums[at] += if hash & 1 == 0 { weight } else { -weight };
        };
        let text = text.to_lowercase();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let edged: Vec<char> = ['^'].into_iter().chain(word.chars()).chain(['$']).collect();
            add(&edged, WORD);
            for run in edged.windows(3) {
                add(run, 1);
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

/// FNV-1a over the characters, then the finisher of SplitMix64 to spread it: whoever asks can send much text, so this has
/// to be quick, and need not withstand anybody, as who writes a text decides what it is like anyway.
fn hash(feature: &[char]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for char in feature {
        hash = (hash ^ u64::from(u32::from(*char))).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_words_in_common_are_alike() {
        let text = Vector::of("Retry with exponential backoff and jitter.");
        let alike = |other: &str| text.similarity(&Vector::of(other));
        assert!((alike("retry: WITH exponential backoff, and jitter") - 1.0).abs() < 1e-9);
        assert!(alike("exponential backoffs") > alike("bread with butter"));
        assert!(alike("bread and butter") < 0.4);
        assert_eq!(alike(""), 0.0);
        assert_eq!(Vector::parse(&text.text()), Some(text));
    }
}
