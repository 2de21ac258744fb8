//! Signatures of secp256k1 that say who made them.

use core::fmt;

use k256::ecdsa::{RecoveryId, Signature as Inner, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::hex::Hex;

/// A secret key. Wiped from memory on drop and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(SigningKey);

impl Key {
    /// The key with this secret; `None` for zero and for what is not below the order of the group. The caller brings the
    /// randomness.
    pub fn from_secret(secret: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(secret).ok().map(Self)
    }

    /// Its owner.
    pub fn address(&self) -> Address {
        address(self.0.verifying_key())
    }

    /// Signs a digest of 32 bytes. Deterministic (RFC 6979), with a low `s`.
    pub fn sign(&self, digest: &[u8; 32]) -> Signature {
        let (signature, id) = self.0.sign_prehash_recoverable(digest);
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + u8::from(id.is_y_odd());
        Signature(Hex(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.address())
    }
}

fn address(key: &VerifyingKey) -> Address {
    // The first byte says that the point is written in full.
    Address::of_point(&key.to_sec1_point(false).as_bytes()[1..])
}

/// `r || s || v` in 65 bytes; `v` is 27 or 28, and 0 or 1 are taken for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(pub Hex<65>);

/// Why a signature is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// `v` is none of 0, 1, 27, 28.
    #[error("the last byte must be 27 or 28")]
    Parity,
    /// `r` or `s` is zero or not below the order of the group.
    #[error("r or s is out of range")]
    Range,
    /// `s` is in the upper half (EIP-2): anybody can make that second form from the first one.
    #[error("s is in the upper half")]
    HighS,
    /// No key can have made it.
    #[error("no key recovers from it")]
    NoKey,
}

impl Signature {
    /// Who signed this digest. Another digest gives another address, so the result is to be compared with the one expected.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn recover(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        let bytes = &self.0.0;
        let odd = match bytes[64] {
            0 | 27 => false,
            1 | 28 => true,
            _ => return Err(SignatureError::Parity),
        };
        let inner = Inner::from_slice(&bytes[..64]).map_err(|_| SignatureError::Range)?;
        if inner.normalize_s() != inner {
            return Err(SignatureError::HighS);
        }
        let key = VerifyingKey::recover_from_prehash(digest, &inner, RecoveryId::new(odd, false));
        key.map(|key| address(&key)).map_err(|_| SignatureError::NoKey)
    }
}
