//! Addresses: how Ethereum names the owner of a secp256k1 key, with the checksum of EIP-55.

use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::keccak256;
use crate::envelope::encoding::{from_hex, to_hex};

/// The last 20 bytes of the Keccak-256 of a public key (or of a contract's creation).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 20]);

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// Not `0x` and 40 hexadecimal digits.
    #[error("must be 0x and 40 hexadecimal digits")]
    Shape,
    /// Written in both cases, but not in those that EIP-55 asks for: most likely a slip.
    #[error("has a wrong checksum (EIP-55)")]
    Checksum,
}

impl Address {
    /// Nobody's.
    pub const ZERO: Self = Self([0; 20]);

    /// The address of the public key with these coordinates (64 bytes, `x || y`).
    pub(super) fn of_point(point: &[u8]) -> Self {
        Self::last_of(keccak256(point))
    }

    /// The address that stands for a payee which has none, such as an opaque id (decision M6), where a signed struct needs
    /// one. Nobody has its key.
    pub fn of_opaque(payee: &str) -> Self {
        Self::last_of(keccak256(format!("hyperlab/payee/1\0{payee}").as_bytes()))
    }

    fn last_of(hash: [u8; 32]) -> Self {
        let mut address = [0; 20];
        address.copy_from_slice(&hash[12..]);
        Self(address)
    }
}

/// With the checksum.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = to_hex(&self.0);
        let hash = to_hex(&keccak256(digits.as_bytes()));
        f.write_str("0x")?;
        for (digit, of_hash) in digits.chars().zip(hash.chars()) {
            let upper = of_hash >= '8';
            write!(f, "{}", if upper { digit.to_ascii_uppercase() } else { digit })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes all lower case, all upper case, or the checksum.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
        let bytes = digits.and_then(from_hex).and_then(|bytes| bytes.try_into().ok());
        let (Some(digits), Some(bytes)) = (digits, bytes) else { return Err(AddressError::Shape) };
        let address = Self(bytes);
        let mixed = digits.contains(|c: char| c.is_ascii_lowercase())
            && digits.contains(|c: char| c.is_ascii_uppercase());
        if mixed && address.to_string() != text { Err(AddressError::Checksum) } else { Ok(address) }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
