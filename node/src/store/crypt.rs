//! Keys and sealed bytes: XChaCha20-Poly1305 with random nonces, SHA-256 for what is derived.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::StoreError;

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes that [`seal`] adds: a nonce before the ciphertext, a tag after it.
pub(super) const OVERHEAD: usize = NONCE + 16;
/// Bytes of a nonce. Random ones of this length do not repeat.
pub(super) const NONCE: usize = 24;
/// Bytes of a subject's tag.
pub(super) const TAG: usize = 32;

/// A key that is wiped from memory when it is dropped.
pub(super) type Key = Zeroizing<[u8; KEY]>;

/// The keys that everything in a folder hangs on. They are derived from the master key once.
pub(super) struct MasterKey {
    /// Encrypts the slots of `record.keys`.
    slots: XChaCha20Poly1305,
    /// Keys the tags of subjects.
    subjects: Key,
}

impl MasterKey {
    pub(super) fn new(key: &Key) -> Self {
        Self {
            slots: cipher(&derive(key, b"hyperlab store: slots")),
            subjects: derive(key, b"hyperlab store: subjects"),
        }
    }

    /// What encrypts the slots.
    pub(super) fn slots(&self) -> &XChaCha20Poly1305 {
        &self.slots
    }

    /// The tag under which the records of a subject are found. It tells nothing without the master key.
    pub(super) fn tag(&self, subject: &str) -> [u8; TAG] {
        // Both hashes are of inputs of one length, so nothing can be appended to them.
        let subject = Sha256::digest(subject.as_bytes());
        Sha256::new().chain_update(&self.subjects[..]).chain_update(subject).finalize().into()
    }
}

fn derive(key: &Key, purpose: &[u8]) -> Key {
    Zeroizing::new(Sha256::new().chain_update(&key[..]).chain_update(purpose).finalize().into())
}

/// The cipher of a key.
pub(super) fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&**key).into())
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(bytes)
}

/// Encrypts and authenticates `plain`, and authenticates `beside` with it.
pub(super) fn seal(cipher: &XChaCha20Poly1305, beside: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce: [u8; NONCE] = random()?;
    let payload = Payload { msg: plain, aad: beside };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
    let sealed = sealed.expect("no value comes near the cipher's limit of 256 GiB");
    Ok([&nonce[..], &sealed].concat())
}

/// What [`seal`] encrypted; `None` if key, `beside` or sealed bytes are not those.
pub(super) fn unseal(cipher: &XChaCha20Poly1305, beside: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: beside };
    cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}
