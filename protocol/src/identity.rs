//! Identities of spec 9.1: Ed25519 key pairs and the libp2p peer ids derived from them.
//!
//! A [`PeerId`] is the public key itself. Its text form is base58btc over the identity multihash of the key's protobuf
//! (`0x00 0x24 0x08 0x01 0x12 0x20 || key`), which always reads `12D3KooW...`, 52 characters. Ids of any other key type
//! are refused, because their key is not in the id (decision E7). Use [`Keypair`] to sign and [`verify_strict`] to check.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// What comes before the 32 key bytes in the binary id: identity multihash of 36 bytes (`00 24`), holding the protobuf
/// `KeyType = Ed25519` (`08 01`) and `Data` of 32 bytes (`12 20`).
const MULTIHASH_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// An Ed25519 peer id: the raw public key. Ordered by its bytes.
///
/// The bytes need not be a point of the curve: a key that is none simply never verifies a signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Bytes of the binary form.
    pub const MULTIHASH_LEN: usize = 38;
    /// Characters of the text form; the same for every key.
    pub const TEXT_LEN: usize = 52;
    /// Texts longer than this many bytes are refused before they are decoded. No libp2p id in use is longer than 59.
    pub const TEXT_MAX: usize = 64;

    /// The id of the peer with this public key.
    pub const fn from_public_key(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The binary form, as libp2p puts it on the wire.
    pub fn to_multihash(self) -> [u8; Self::MULTIHASH_LEN] {
        let mut bytes = [0; Self::MULTIHASH_LEN];
        bytes[..MULTIHASH_PREFIX.len()].copy_from_slice(&MULTIHASH_PREFIX);
        bytes[MULTIHASH_PREFIX.len()..].copy_from_slice(&self.0);
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// Why `bytes` are not an Ed25519 id; see [`PeerIdError`].
    pub fn from_multihash(bytes: &[u8]) -> Result<Self, PeerIdError> {
        if let Some(key) = bytes.strip_prefix(&MULTIHASH_PREFIX)
            && let Ok(key) = key.try_into()
        {
            return Ok(Self(key));
        }
        Err(match bytes {
            [0x12, 0x20, digest @ ..] if digest.len() == 32 => PeerIdError::Hashed,
            [0x00, length, 0x08, kind, rest @ ..] if usize::from(*length) == rest.len() + 2 && *kind != 1 => {
                PeerIdError::KeyType(*kind)
            }
            _ => PeerIdError::Malformed,
        })
    }
}

/// Why something is not an Ed25519 peer id (decision E7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerIdError {
    /// The text is longer than any peer id; it was not decoded.
    #[error("{0} bytes are too long for a peer id, which has 52")]
    TooLong(usize),
    /// The text has a character outside the base58btc alphabet.
    #[error("not base58btc")]
    NotBase58,
    /// The id is the hash of a key (RSA, `Qm...`), from which the key cannot be had.
    #[error("a hashed key (RSA or the like), not an Ed25519 key")]
    Hashed,
    /// The id holds a key of another libp2p key type (0 RSA, 2 secp256k1, 3 ECDSA).
    #[error("a key of libp2p key type {0}, not Ed25519 (1)")]
    KeyType(u8),
    /// Anything else, a cut or padded id included.
    #[error("not a peer id")]
    Malformed,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bs58::encode(self.to_multihash()).into_string())
    }
}

/// Short: the last six characters of the text form.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "12D3*{}", &text[text.len() - 6..])
    }
}

/// Accepts exactly what [`Display`](fmt::Display) prints: no multibase prefix, no CID, no spaces.
impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if text.len() > Self::TEXT_MAX {
            return Err(PeerIdError::TooLong(text.len()));
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| PeerIdError::NotBase58)?;
        Self::from_multihash(&bytes)
    }
}

/// An Ed25519 key pair. The secret is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct Keypair(SigningKey);

impl Keypair {
    /// The pair of this 32-byte secret (the "seed" of RFC 8032). The caller brings the randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The id derived from the public half (spec 9.1).
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.public_key())
    }

    /// The Ed25519 signature of `message` (RFC 8032, neither prehashed nor with a context; decision E9).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({:?})", self.peer_id())
    }
}

/// Whether `signature` over `message` is `public_key`'s, without the freedoms that RFC 8032 leaves to verifiers: S must
/// be below the group order, and neither the key nor R may be a point of small order. So nobody but the key's owner can
/// make a second signature of the same message, and no key verifies everything.
pub fn verify_strict(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED_7_ID: &str = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7";

    /// Adds the group order L to the S half of a signature: the same equation modulo L, another text.
    pub(crate) fn malleate(mut signature: [u8; 64]) -> [u8; 64] {
        let order: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        signature
    }

    #[test]
    fn the_id_of_a_known_key_is_the_published_one() {
        let pair = Keypair::from_seed([7; 32]);
        assert_eq!(pair.peer_id().to_string(), SEED_7_ID);
        assert_eq!(SEED_7_ID.parse(), Ok(pair.peer_id()));
        assert_eq!(format!("{:?}", pair.peer_id()), "12D3*to4Az7");
        assert_eq!(format!("{pair:?}"), "Keypair(12D3*to4Az7)");
        assert_eq!(pair.peer_id().as_bytes(), &pair.public_key());
        assert_eq!(PeerId::from_multihash(&pair.peer_id().to_multihash()), Ok(pair.peer_id()));
    }

    #[test]
    fn other_ids_are_refused_with_the_reason() {
        // From the libp2p peer id specification: an RSA key's hash, and a secp256k1 key.
        let rsa = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        let secp = "16Uiu2HAmPB4MkBDtaxgttZxQ7Md1VKyaMbbwMGMuYmkVFiLYVgQE";
        let cases = [
            (rsa.to_owned(), PeerIdError::Hashed),
            (secp.to_owned(), PeerIdError::KeyType(2)),
            (String::new(), PeerIdError::Malformed),
            (SEED_7_ID[..51].to_owned(), PeerIdError::Malformed),
            (format!("{SEED_7_ID}1"), PeerIdError::Malformed),
            (format!("1{SEED_7_ID}"), PeerIdError::Malformed),
            (format!(" {SEED_7_ID}"), PeerIdError::NotBase58),
            (format!("z{SEED_7_ID}"), PeerIdError::Malformed),
            (SEED_7_ID.replace('R', "0"), PeerIdError::NotBase58),
            ("1".repeat(65), PeerIdError::TooLong(65)),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<PeerId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_binary_form_is_exact() {
        let good = Keypair::from_seed([7; 32]).peer_id().to_multihash();
        for cut in 0..good.len() {
            assert!(PeerId::from_multihash(&good[..cut]).is_err(), "{cut}");
        }
        // Consistent lengths around a key of 31 bytes.
        let short = [&[0x00, 0x23, 0x08, 0x01, 0x12, 0x1f], &good[6..37]].concat();
        assert_eq!(PeerId::from_multihash(&short), Err(PeerIdError::Malformed));
        let longer = [&good[..], &[0]].concat();
        assert_eq!(PeerId::from_multihash(&longer), Err(PeerIdError::Malformed));
    }

    #[test]
    fn a_signature_verifies_for_its_key_and_message_only() {
        let (pair, other) = (Keypair::from_seed([7; 32]), Keypair::from_seed([8; 32]));
        let signature = pair.sign(b"hello");
        assert!(verify_strict(&pair.public_key(), b"hello", &signature));
        assert!(!verify_strict(&pair.public_key(), b"hellO", &signature));
        assert!(!verify_strict(&other.public_key(), b"hello", &signature));
        assert!(!verify_strict(&pair.public_key(), b"hello", &malleate(signature)));
    }

    #[test]
    fn small_order_keys_verify_nothing() {
        // The neutral element as key and as R with S = 0 satisfies the plain verification equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!verify_strict(&neutral, b"anything", &signature));
    }

    proptest! {
        #[test]
        fn text_and_binary_forms_round_trip(key: [u8; 32]) {
            let id = PeerId::from_public_key(key);
            let text = id.to_string();
            prop_assert_eq!(text.len(), PeerId::TEXT_LEN);
            prop_assert!(text.starts_with("12D3KooW"));
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(PeerId::from_multihash(&id.to_multihash()), Ok(id));
        }

        #[test]
        fn whatever_parses_prints_as_it_was(text in "[1-9A-HJ-NP-Za-km-z]{0,70}|.{0,70}") {
            if let Ok(id) = text.parse::<PeerId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
