//! Text forms of keys, signatures and nonces. The spec says "string" only; decision E6 lists what is accepted.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest key or signature text that is decoded at all: 64 bytes in hexadecimal, with the scheme in front.
const TEXT_MAX: usize = 128 + SCHEME.len();
/// May stand in front of a key or a signature.
const SCHEME: &str = "ed25519:";
/// libp2p's protobuf around an Ed25519 key; gives `CAES` in base64.
const PROTOBUF_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Base64 with the standard alphabet and padding: the form in which keys and signatures are written.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 in either alphabet, padded or not.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok()
}

/// Lower-case hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Hexadecimal in either case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|n| n as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Every way to read `text` as `N` raw bytes, most usual first: base64, hexadecimal, base58btc, each with or without
/// `ed25519:` in front. A short text can have two readings (one base58 key in about seventy is also base64).
pub(super) fn raw<const N: usize>(text: &str) -> impl Iterator<Item = [u8; N]> {
    readings(text).into_iter().filter_map(|bytes| bytes.try_into().ok())
}

/// Every way to read `text` as a public key: as [`raw`], or the same forms of libp2p's protobuf.
pub(super) fn public_keys(text: &str) -> impl Iterator<Item = [u8; 32]> {
    readings(text)
        .into_iter()
        .filter_map(|bytes| bytes.strip_prefix(&PROTOBUF_PREFIX).unwrap_or(&bytes).try_into().ok())
}

fn readings(text: &str) -> Vec<Vec<u8>> {
    if text.len() > TEXT_MAX {
        return Vec::new();
    }
    let text = text.strip_prefix(SCHEME).unwrap_or(text);
    [from_base64(text), from_hex(text), bs58::decode(text).into_vec().ok()].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key of seed 07..07 in every form of decision E6, from an independent implementation.
    #[test]
    fn every_form_of_one_key_is_read() {
        let hex = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
        let forms = [
            hex.to_owned(),
            hex.to_uppercase(),
            format!("ed25519:{hex}"),
            "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=".to_owned(),
            "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw".to_owned(),
            "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw".to_owned(),
            "CAESIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs".to_owned(),
            "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB".to_owned(),
            "ed25519:GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB".to_owned(),
        ];
        for form in forms {
            let keys: Vec<String> = public_keys(&form).map(|key| to_hex(&key)).collect();
            assert_eq!(keys, [hex], "{form}");
        }
    }

    #[test]
    fn wrong_lengths_and_alphabets_are_no_key() {
        for text in ["", "ea", "zz", "6kps", "ed25519:", &"a".repeat(TEXT_MAX + 1), &"1".repeat(TEXT_MAX)] {
            assert_eq!(public_keys(text).count(), 0, "{text}");
        }
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("+f"), None);
    }

    proptest! {
        #[test]
        fn every_form_of_any_signature_is_read(bytes: [u8; 64]) {
            let base64 = to_base64(&bytes);
            let bare = base64.trim_end_matches('=').to_owned();
            for form in [to_hex(&bytes), bs58::encode(bytes).into_string(), bare, base64] {
                prop_assert!(raw(&form).any(|read: [u8; 64]| read == bytes), "{}", form);
            }
        }
    }
}
