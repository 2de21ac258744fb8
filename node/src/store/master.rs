//! `master.key`: the one key that the others hang on, as it is or wrapped by a passphrase.
//!
//! The file is a magic number, one byte for how the key is kept, and the key: as it is, or the costs of Argon2id, a salt
//! and the key encrypted under what Argon2id makes of passphrase and salt.

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::StoreError;
use super::crypt::{self, KEY, Key, OVERHEAD};

const MAGIC: &[u8; 15] = b"hyperlab master";
/// The key as it is.
const PLAIN: u8 = 1;
/// The key wrapped by a passphrase.
const WRAPPED: u8 = 2;
const SALT: usize = 16;
/// Memory in KiB, passes, lanes: the first recommendation of OWASP's cheat sheet on storing passwords.
const COSTS: [u32; 3] = [19 * 1024, 2, 1];
/// The most memory in KiB and passes that a file may ask for, so that a foreign one cannot stop the node.
const MOST: [u32; 3] = [4 * 1024 * 1024, 64, 64];

/// How the master key is protected.
#[derive(Clone)]
pub enum Unlock {
    /// By the permissions of its file alone.
    KeyFile,
    /// Also by a passphrase.
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "KeyFile",
            Self::Passphrase(_) => "Passphrase(..)",
        })
    }
}

/// A new random key, and the bytes of its file.
pub(super) fn create(unlock: &Unlock) -> Result<(Key, Zeroizing<Vec<u8>>), StoreError> {
    let key = Zeroizing::new(crypt::random::<KEY>()?);
    let mut file = Zeroizing::new(Vec::with_capacity(128));
    file.extend_from_slice(MAGIC);
    match unlock {
        Unlock::KeyFile => {
            file.push(PLAIN);
            file.extend_from_slice(&key[..]);
        }
        Unlock::Passphrase(passphrase) => {
            let salt: [u8; SALT] = crypt::random()?;
            file.push(WRAPPED);
            file.extend(COSTS.iter().flat_map(|cost| cost.to_le_bytes()));
            file.extend_from_slice(&salt);
            let wrap = stretch(passphrase, &salt, COSTS).expect("the costs are within Argon2's range");
            let sealed = crypt::seal(&crypt::cipher(&wrap), &file, &key[..])?;
            file.extend_from_slice(&sealed);
        }
    }
    Ok((key, file))
}

/// The key in the bytes of a file.
pub(super) fn parse(path: &Path, file: &[u8], unlock: &Unlock) -> Result<Key, StoreError> {
    let foreign = |detail: &str| StoreError::Foreign { path: path.to_owned(), detail: detail.to_owned() };
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| foreign("it does not begin as a master key does"))?;
    let (kind, rest) = rest.split_first().ok_or_else(|| foreign("it ends too early"))?;
    let key = match (*kind, unlock) {
        (PLAIN, Unlock::KeyFile) => rest.try_into().map_err(|_| foreign("its length is wrong"))?,
        (PLAIN, Unlock::Passphrase(_)) => return Err(StoreError::PassphraseUnexpected(path.to_owned())),
        (WRAPPED, Unlock::KeyFile) => return Err(StoreError::PassphraseNeeded(path.to_owned())),
        (WRAPPED, Unlock::Passphrase(passphrase)) => {
            if rest.len() != 12 + SALT + KEY + OVERHEAD {
                return Err(foreign("its length is wrong"));
            }
            let (beside, sealed) = file.split_at(file.len() - KEY - OVERHEAD);
            let cost = |index: usize| {
                u32::from_le_bytes(rest[4 * index..][..4].try_into().expect("a slice of four bytes"))
            };
            let wrap = stretch(passphrase, &rest[12..][..SALT], [cost(0), cost(1), cost(2)]);
            let wrap = wrap.ok_or_else(|| foreign("its costs are out of range"))?;
            let plain = crypt::unseal(&crypt::cipher(&wrap), beside, sealed);
            let plain = plain.ok_or_else(|| StoreError::WrongPassphrase(path.to_owned()))?;
            plain[..].try_into().expect("the sealed length was checked")
        }
        _ => return Err(foreign("it keeps its key in a way that this program does not know")),
    };
    Ok(Zeroizing::new(key))
}

/// What Argon2id makes of a passphrase; `None` if the costs are out of range.
fn stretch(passphrase: &str, salt: &[u8], costs: [u32; 3]) -> Option<Key> {
    if costs.iter().zip(MOST).any(|(cost, most)| *cost > most) {
        return None;
    }
    let [memory, passes, lanes] = costs;
    let params = Params::new(memory, passes, lanes, Some(KEY)).ok()?;
    let mut key = Zeroizing::new([0; KEY]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut key[..]).ok()?;
    Some(key)
}
