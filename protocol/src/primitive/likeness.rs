//! How alike two texts are, without a model: character trigrams hashed into a vector of counts, compared by the cosine.
//!
//! Integers all the way, so every machine finds the same.

/// Length of a vector. Our choice: texts here have some hundred characters, so few trigrams share a place.
const SIZE: usize = 256;

/// Most bytes of a text that count.
const TEXT_MAX: usize = 4096;

/// A text as counts of its trigrams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Grams {
    counts: Box<[u16; SIZE]>,
    /// Sum of squares.
    square: u64,
}

impl Grams {
    /// Letter case and runs of white space make no difference.
    pub(super) fn of(text: &str) -> Self {
        let text = normal(text);
        let bytes = text.as_bytes();
        let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
        let mut counts = Box::new([0u16; SIZE]);
        for gram in bytes.windows(3) {
            // FNV-1a.
            let hash =
                gram.iter().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193));
            let place = (hash ^ (hash >> 16)) as usize % SIZE;
            counts[place] += 1;
        }
        let square = counts.iter().map(|count| u64::from(*count) * u64::from(*count)).sum();
        Self { counts, square }
    }

    fn dot(&self, other: &Self) -> u64 {
        self.counts.iter().zip(other.counts.iter()).map(|(a, b)| u64::from(*a) * u64::from(*b)).sum()
    }

    /// Whether the cosine is `percent` / 100 or more. A text of fewer than three bytes is like none.
    pub(super) fn at_least(&self, other: &Self, percent: u64) -> bool {
        let dot = u128::from(self.dot(other));
        let squares = u128::from(self.square) * u128::from(other.square);
        squares > 0 && dot * dot * 10_000 >= squares * u128::from(percent * percent)
    }

    /// The cosine, 0 to 1. Division and square root are exact to the last bit on every platform.
    pub(super) fn cosine(&self, other: &Self) -> f64 {
        if self.square == 0 || other.square == 0 {
            return 0.0;
        }
        let cosine = self.dot(other) as f64 / (self.square as f64 * other.square as f64).sqrt();
        cosine.min(1.0)
    }
}

/// Lower case, with single spaces between words and none around: texts that differ in nothing else are the same.
pub(super) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_is_what_shares_trigrams() {
        let text = Grams::of("Prefer analyst reports over news articles");
        let same = Grams::of("  prefer analyst\nreports over news ARTICLES");
        let near = Grams::of("Prefer analyst reports over news articles.");
        let other = Grams::of("Budget 340 ms for the search tool");
        assert_eq!(text, same);
        assert!(text.at_least(&same, 100) && text.cosine(&same) == 1.0);
        assert!(text.at_least(&near, 90) && !text.at_least(&near, 100));
        assert!(!text.at_least(&other, 50), "{}", text.cosine(&other));
        assert!(!Grams::of("ab").at_least(&Grams::of("ab"), 1));
        assert_eq!(Grams::of("").cosine(&text), 0.0);
    }
}
