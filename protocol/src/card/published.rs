//! A card with its hash, in a form that every peer agrees on.

use core::fmt;
use core::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::payload::{Card, CardError, canonical, check};

/// SHA-256 of a card's canonical form (RFC 8785), members we do not know included. 64 lower-case hexadecimal characters
/// in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardHash([u8; 32]);

impl CardHash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> = pairs.iter().map(|&[a, b]| Some(digit(a)? << 4 | digit(b)?)).collect();
        Some(Self(bytes?.try_into().ok()?))
    }
}

impl fmt::Display for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Short: the first four bytes.
impl fmt::Debug for CardHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}*")
    }
}

impl Serialize for CardHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CardHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256 in lower-case hex"))
    }
}

/// Which card of a peer: of two, the greater one counts. The hash decides only between cards of one `seq`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// The card's.
    pub seq: u64,
    /// The card's.
    pub hash: CardHash,
}

/// A card within all bounds, with its hash. Reads as the [`Card`].
#[derive(Clone, PartialEq, Debug)]
pub struct Published {
    card: Card,
    hash: CardHash,
    bytes: usize,
}

impl Published {
    /// A card of our own.
    ///
    /// # Errors
    /// The bound it breaks.
    pub fn new(card: &Card) -> Result<Self, CardError> {
        Self::parse(&serde_json::to_string(card).map_err(|_| CardError::Json)?)
    }

    /// Reads a card's JSON text. Whether its peer signed it is for the caller.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn parse(text: &str) -> Result<Self, CardError> {
        Self::from_canonical(&canonical(text)?)
    }

    /// The hash of the card.
    pub const fn hash(&self) -> CardHash {
        self.hash
    }

    /// Its place in the order of this peer's cards.
    pub const fn version(&self) -> Version {
        Version { seq: self.card.seq, hash: self.hash }
    }

    /// Length of the canonical form in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The card.
    pub const fn card(&self) -> &Card {
        &self.card
    }

    pub(super) fn from_canonical(text: &str) -> Result<Self, CardError> {
        let card: Card = serde_json::from_str(text).map_err(|_| CardError::Json)?;
        check(&card)?;
        Ok(Self { card, hash: CardHash(Sha256::digest(text).into()), bytes: text.len() })
    }
}

impl Deref for Published {
    type Target = Card;
    fn deref(&self) -> &Card {
        &self.card
    }
}
