//! The files of a data folder: which must be there, how they are created, who may open them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};

use super::StoreError;
use super::crypt::MasterKey;
use super::error::{At, caught};
use super::held::Held;
use super::master::{self, Unlock};
use super::schema;
use super::slots::{self, KeyFile};

/// The master key.
pub(super) const MASTER_KEY: &str = "master.key";
/// The slots.
pub(super) const RECORD_KEYS: &str = "record.keys";
/// The database.
pub(super) const DATABASE: &str = "store.redb";
/// Locked by whoever has the folder open; empty.
const LOCK: &str = "store.lock";
/// Bytes of the database that are kept in memory. Our choice.
const CACHE: usize = 64 << 20;

/// A locked data folder. The lock goes with the value, and with the process however it ends.
pub(super) struct Folder {
    dir: PathBuf,
    _lock: FileBackend,
}

impl Folder {
    /// Locks a folder, and makes it if it is not there.
    pub(super) fn lock(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|error| StoreError::io(dir, error))?;
        let path = dir.join(LOCK);
        let failed = |error| StoreError::io(&path, error);
        let file = private().create(true).truncate(false).open(&path).map_err(failed)?;
        let lock = FileBackend::new(file).at(&path)?;
        match lock.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(true) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Ok(false) => Err(StoreError::Locked(dir.to_owned())),
            Err(error) => Err(StoreError::io(&path, error.into())),
        }
    }

    /// The path of one of the files.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether one of the files is there.
    pub(super) fn has(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name);
        fs::exists(&path).map_err(|error| StoreError::io(&path, error))
    }

    /// The master key, and the key file that it opens. A folder that has neither, and no database, gets both.
    pub(super) fn keys(&self, unlock: &Unlock) -> Result<(MasterKey, KeyFile), StoreError> {
        let has_database = self.has(DATABASE)?;
        let has_keys = self.has(RECORD_KEYS)?;
        let path = self.path(MASTER_KEY);
        let master = if self.has(MASTER_KEY)? {
            let mut file = zeroize::Zeroizing::new(Vec::with_capacity(256));
            let mut opened = File::open(&path).map_err(|error| StoreError::io(&path, error))?;
            check_mode(&opened, &path)?;
            opened.read_to_end(&mut file).map_err(|error| StoreError::io(&path, error))?;
            master::parse(&path, &file, unlock)?
        } else if has_database || has_keys {
            let advice = "put it back; without it no record can be read";
            return Err(StoreError::Missing { path, advice });
        } else {
            let (master, file) = master::create(unlock)?;
            self.create(MASTER_KEY, &file)?;
            master
        };
        let master = MasterKey::new(&master);
        let path = self.path(RECORD_KEYS);
        if !has_keys {
            if has_database {
                let advice = "put it back; without it no record can be read";
                return Err(StoreError::Missing { path, advice });
            }
            self.create(RECORD_KEYS, &slots::new_header(&master)?)?;
        }
        let file = private().open(&path).map_err(|error| StoreError::io(&path, error))?;
        check_mode(&file, &path)?;
        let keys = KeyFile::open(Box::new(file), &path, &master)?;
        Ok((master, keys))
    }

    /// The database that is there, if it is sound and belongs to `keys`, with the newest schema. Otherwise it is left as it
    /// was.
    pub(super) fn database(&self, keys: &KeyFile) -> Result<Database, StoreError> {
        let path = self.path(DATABASE);
        let failed = |error| StoreError::io(&path, error);
        let mut file = private().open(&path).map_err(failed)?;
        let mut magic = [0; 4];
        match file.read_exact(&mut magic) {
            Ok(()) if magic == *b"redb" => {}
            Ok(()) => {
                return Err(StoreError::Foreign {
                    path,
                    detail: "it does not begin as a database does".into(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(StoreError::corrupt(&path, "it is cut short"));
            }
            Err(error) => return Err(failed(error)),
        }
        let held = Held::new(file).at(&path)?;
        caught(&path, || {
            let database =
                Builder::new().set_cache_size(CACHE).create_with_backend(held.clone()).at(&path)?;
            let schema = schema::verify(&database, &path, keys.id(), schema::MIGRATIONS)?;
            held.release().map_err(failed)?;
            schema::upgrade(&database, &path, schema, schema::MIGRATIONS)?;
            Ok(database)
        })
    }

    /// Makes a database and fills it under another name, so that it is there whole or not at all.
    pub(super) fn create_database<T>(
        &self,
        fill: impl FnOnce(&Database, &Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let new = self.path("store.redb.new");
        let failed = |error| StoreError::io(&new, error);
        let file = private().create(true).truncate(true).open(&new).map_err(failed)?;
        let again = file.try_clone().map_err(failed)?;
        let database = Builder::new().set_cache_size(CACHE).create_file(file).at(&new)?;
        let filled = fill(&database, &new);
        drop(database);
        let filled = filled.inspect_err(|_| {
            // What is left of it would be overwritten next time anyway.
            fs::remove_file(&new).ok();
        })?;
        again.sync_all().map_err(failed)?;
        fs::rename(&new, self.path(DATABASE)).map_err(failed)?;
        self.sync()?;
        Ok(filled)
    }

    /// Writes a new file so that it is there whole or not at all.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let new = self.path(&format!("{name}.new"));
        let write = || {
            let mut file = private().create(true).truncate(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, self.path(name))
        };
        write().map_err(|error| StoreError::io(&new, error))?;
        self.sync()
    }

    /// Makes the names in the folder durable.
    fn sync(&self) -> Result<(), StoreError> {
        // Elsewhere a folder cannot be opened as a file.
        if cfg!(unix) {
            let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
            synced.map_err(|error| StoreError::io(&self.dir, error))?;
        }
        Ok(())
    }
}

/// Keys that others may read are refused, as the node's own key is.
#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), StoreError> {
    let metadata = file.metadata().map_err(|error| StoreError::io(path, error))?;
    let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(StoreError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// Options for a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
