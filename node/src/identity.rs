//! The node's key on disk: 32 bytes of an Ed25519 secret, readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use hyperspace_protocol::payment::Key;
use zeroize::Zeroizing;

/// The file of the Ed25519 key in the data folder.
pub const FILE: &str = "identity.key";

/// The file of the secp256k1 key that payments are signed with.
pub const WALLET: &str = "wallet.key";

/// Bytes of the secret, the "seed" of RFC 8032.
pub const SEED_LEN: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file or its folder cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is no key. It is left as it is: it may be another program's.
    #[error("{path}: a key file has {SEED_LEN} bytes, this one has not; move it away to have a new key made")]
    Length {
        /// Which.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error(
        "{path}: others may read this key (mode {mode:o}); run chmod 600 on it, or move it away if it was seen"
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(getrandom::Error),
}

/// Reads the Ed25519 key in the data folder, or makes one if there is none. The folder is made if need be.
///
/// # Errors
/// See [`IdentityError`]; a file that is there is never replaced.
pub fn load_or_create(folder: &Path) -> Result<Zeroizing<[u8; SEED_LEN]>, IdentityError> {
    load_or_create_in(folder, FILE)
}

/// Reads the secret of the secp256k1 key in the data folder, or makes one if there is none.
///
/// # Errors
/// See [`IdentityError`]; a file that is there is never replaced.
pub fn wallet(folder: &Path) -> Result<Key, IdentityError> {
    let secret = load_or_create_in(folder, WALLET)?;
    // Random bytes are no key once in 2^128 times.
    Key::from_secret(&secret).ok_or_else(|| IdentityError::Length { path: folder.join(WALLET) })
}

fn load_or_create_in(folder: &Path, file: &str) -> Result<Zeroizing<[u8; SEED_LEN]>, IdentityError> {
    let path = folder.join(file);
    let failed = |error| IdentityError::Io { path: path.clone(), error };
    match File::open(&path) {
        Ok(file) => read(file, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(failed)?;
            create(folder, &path)
        }
        Err(error) => Err(failed(error)),
    }
}

fn read(file: File, path: &Path) -> Result<Zeroizing<[u8; SEED_LEN]>, IdentityError> {
    let failed = |error| IdentityError::Io { path: path.to_owned(), error };
    check_mode(&file, path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(SEED_LEN + 1));
    file.take(SEED_LEN as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let seed = bytes[..].try_into().map_err(|_| IdentityError::Length { path: path.to_owned() })?;
    Ok(Zeroizing::new(seed))
}

/// Written under another name and linked into place, so that a crash leaves a whole key or none, and of two nodes
/// started at once in one folder the second reads the first one's.
fn create(folder: &Path, path: &Path) -> Result<Zeroizing<[u8; SEED_LEN]>, IdentityError> {
    let mut seed = Zeroizing::new([0; SEED_LEN]);
    getrandom::fill(&mut seed[..]).map_err(IdentityError::Random)?;
    let draft =
        folder.join(format!("{}.{}", path.file_name().unwrap_or_default().display(), std::process::id()));
    let failed = |error| IdentityError::Io { path: draft.clone(), error };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    let mut file = options.open(&draft).map_err(failed)?;
    file.write_all(&seed[..]).and_then(|()| file.sync_all()).map_err(failed)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Ok(()) => {
            // Without this the name may be gone after a power cut, and with it the identity that peers have met.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(seed)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(File::open(path).map_err(failed)?, path)
        }
        Err(error) => Err(IdentityError::Io { path: path.to_owned(), error }),
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), IdentityError> {
    let failed = |error| IdentityError::Io { path: path.to_owned(), error };
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().map_err(failed)?) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(IdentityError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path) -> Result<(), IdentityError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_from_then_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("data");
        let made = load_or_create(&inner).expect("made");
        assert_eq!(load_or_create(&inner).expect("read")[..], made[..]);
        assert_ne!(made[..], [0; SEED_LEN]);
        assert_eq!(fs::read_dir(&inner).expect("readable").count(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        for bytes in [&[][..], &[1; 31], &[1; 33], &[1; 5000]] {
            let path = folder.path().join(FILE);
            let mut options = OpenOptions::new();
            private(&mut options);
            let mut file = options.write(true).create(true).truncate(true).open(&path).expect("writable");
            file.write_all(bytes).expect("written");
            assert!(matches!(load_or_create(folder.path()), Err(IdentityError::Length { .. })));
            assert_eq!(fs::read(&path).expect("there"), bytes);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        load_or_create(folder.path()).expect("made");
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(matches!(load_or_create(folder.path()), Err(IdentityError::Mode { mode: 0o644, .. })));
    }
}
