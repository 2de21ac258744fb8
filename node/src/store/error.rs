//! What can go wrong with the folder: each message says what, where, and what to do.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use hyperspace_protocol::primitive::Table;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has the folder open.
    #[error("{} is in use by another running node: stop that one, or choose another folder", .0.display())]
    Locked(PathBuf),
    /// The passphrase does not open the master key.
    #[error("the passphrase does not open {}: type it again, or name the folder that it belongs to", .0.display())]
    WrongPassphrase(PathBuf),
    /// The master key is protected, but no passphrase was given.
    #[error("{} is protected by a passphrase: give it", .0.display())]
    PassphraseNeeded(PathBuf),
    /// A passphrase was given, but the master key is not protected by one.
    #[error("{} is not protected by a passphrase: open the folder without one", .0.display())]
    PassphraseUnexpected(PathBuf),
    /// The master key is not the one that this folder was made with.
    #[error("{} does not fit the other files of its folder: put back the master.key that was made with them", .0.display())]
    WrongKey(PathBuf),
    /// Others may read a file of keys.
    #[error("{}: others may read these keys (mode {mode:o}): run chmod 600 on it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file has one of our names but is not ours.
    #[error("{} is not a file of this program ({detail}): choose another folder, or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How it shows.
        detail: String,
    },
    /// A file that must be there beside the others is not.
    #[error("{} is missing, but other files of the store are there: {advice}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// A file is ours, but damaged.
    #[error("{} is damaged ({detail}): move store.redb away and import an export into the folder", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// One record cannot be decrypted.
    #[error("a record of table {} cannot be decrypted (key {key}): it, or its key in record.keys, is damaged; stop the node and run 'hyperlab node check --repair', which moves such records out", table.name())]
    Damaged {
        /// The record's table.
        table: Table,
        /// The record's key, in hexadecimal digits.
        key: String,
    },
    /// The store was written by a later version of the program.
    #[error("{} has schema {found}, this program knows up to {known}: use a newer program", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// No space left.
    #[error("no space is left for {}: free some and start again; nothing acknowledged is lost", .0.display())]
    DiskFull(PathBuf),
    /// The operating system refuses access.
    #[error("access to {} is denied: it must belong to the user that runs the node", .0.display())]
    Denied(PathBuf),
    /// Any other error of the operating system.
    #[error("{} cannot be read or written: {source}; see to the disk and start again", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An earlier commit failed, so what is in memory and what is on disk may differ.
    #[error("the store stopped after an earlier failure: start the node again")]
    Poisoned,
    /// An export cannot be imported. Nothing was changed.
    #[error("line {line} of the export: {detail}; nothing was changed")]
    Export {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        detail: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

impl StoreError {
    /// An error of the operating system about a file.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull(path)
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            Self::Denied(path)
        } else {
            Self::Io { path, source }
        }
    }

    /// An error of the database about its file.
    pub(super) fn database(path: &Path, error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        if let redb::Error::Io(source) = error {
            // A file that ends too early or has no header is reported as an error of this kind.
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return Self::corrupt(path, "it ends too early");
            }
            if source.kind() == io::ErrorKind::InvalidData {
                return Self::corrupt(path, source);
            }
            return Self::io(path, source);
        }
        if matches!(error, redb::Error::DatabaseAlreadyOpen) {
            return Self::Locked(path.parent().unwrap_or(path).to_owned());
        }
        Self::corrupt(path, error)
    }

    /// A damaged file.
    pub(super) fn corrupt(path: &Path, detail: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.to_string() }
    }
}

/// Says which file an error of the database is about.
pub(super) trait At<T> {
    /// The same result with an error that names the file.
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<redb::Error>> At<T> for Result<T, E> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::database(path, error))
    }
}

/// Runs what reads or writes the database, which panics on some kinds of damage, and reports that as damage. The database
/// must not be used any more after that.
pub(super) fn caught<T>(path: &Path, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(StoreError::corrupt(path, format!("the database cannot make sense of it: {text}")))
    })
}
