//! `record.keys`: one slot of fixed size for the key of each record.
//!
//! The file is a header and then slots of [`SLOT`] bytes: a record's key, encrypted under the master key with the slot's
//! number beside it. A slot without a record holds random bytes. Which slots have a record is for the database to say;
//! this file only keeps what must be forgettable.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::StoreError;
use super::crypt::{self, KEY, Key, MasterKey, OVERHEAD};

/// Bytes of a slot.
pub(super) const SLOT: usize = KEY + OVERHEAD;
/// Bytes of the header: magic, version, the store's id, and a seal of these under the master key. As long as a slot.
const HEADER: usize = SLOT;
const MAGIC: &[u8; 12] = b"hyperlab key";
const VERSION: u32 = 1;
/// Bytes of a store's id.
pub(super) const ID: usize = 16;
/// How many slots are wiped with one write.
const WIPE_AT_ONCE: u64 = 1024;

/// Where the slots are: a file, or in tests something that fails. Bytes that are not yet synced may be lost, or be there
/// in part, after a crash.
pub(super) trait Medium: Send {
    /// Reads exactly `out.len()` bytes.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`, and makes the medium longer if needed.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Its length in bytes.
    fn len(&mut self) -> io::Result<u64>;
    /// Cuts it off at a length.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Returns when everything written is durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl Medium for File {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(out)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The header of a new file, and the id in it.
pub(super) fn new_header(master: &MasterKey) -> Result<Vec<u8>, StoreError> {
    let id: [u8; ID] = crypt::random()?;
    let mut header = [&MAGIC[..], &VERSION.to_le_bytes(), &id].concat();
    let seal = crypt::seal(master.slots(), &header, &[])?;
    header.extend_from_slice(&seal);
    debug_assert_eq!(header.len(), HEADER);
    Ok(header)
}

/// The open key file.
pub(super) struct KeyFile {
    medium: Box<dyn Medium>,
    path: PathBuf,
    id: [u8; ID],
    /// Slots in the file, used or not.
    slots: u64,
    /// Slots that hold no key, wiped and synced.
    free: Vec<u64>,
}

impl KeyFile {
    /// Opens a file that begins with [`new_header`]. No slot is free before [`sweep`](Self::sweep) said so.
    pub(super) fn open(
        mut medium: Box<dyn Medium>,
        path: &Path,
        master: &MasterKey,
    ) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let foreign = |detail: &str| StoreError::Foreign { path: path.clone(), detail: detail.to_owned() };
        let len = medium.len().map_err(|error| StoreError::io(&path, error))?;
        if len < HEADER as u64 {
            return Err(foreign("it is too short"));
        }
        let mut header = [0; HEADER];
        medium.read_at(0, &mut header).map_err(|error| StoreError::io(&path, error))?;
        let (head, seal) = header.split_at(MAGIC.len() + 4 + ID);
        let (head_magic, rest) = head.split_at(MAGIC.len());
        let (version, id) = rest.split_at(4);
        if head_magic != MAGIC {
            return Err(foreign("it does not begin as a key file does"));
        }
        if version != VERSION.to_le_bytes() {
            let found = u32::from_le_bytes(version.try_into().expect("split off as four bytes"));
            return Err(StoreError::NewerSchema { path, found, known: VERSION });
        }
        if crypt::unseal(master.slots(), head, seal).is_none() {
            return Err(StoreError::WrongKey(path.with_file_name(super::folder::MASTER_KEY)));
        }
        let id = id.try_into().expect("the rest of the head is the id");
        // A crash while the file grew may have left part of a slot at its end; nothing refers to it.
        let slots = (len - HEADER as u64).div_ceil(SLOT as u64);
        Ok(Self { medium, path, id, slots, free: Vec::new() })
    }

    /// The id of the store that the file belongs to.
    pub(super) fn id(&self) -> [u8; ID] {
        self.id
    }

    /// Slots in the file, used or not.
    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// Puts a key into a free slot, or into a new one. It is durable after the next [`sync`](Self::sync).
    pub(super) fn store(&mut self, master: &MasterKey, key: &Key) -> Result<u64, StoreError> {
        let slot = self.free.pop().unwrap_or(self.slots);
        let sealed = crypt::seal(master.slots(), &slot.to_le_bytes(), &key[..])?;
        self.write(slot, &sealed)?;
        self.slots = self.slots.max(slot + 1);
        Ok(slot)
    }

    /// The key in a slot; `None` if the slot holds none.
    pub(super) fn load(&mut self, master: &MasterKey, slot: u64) -> Result<Option<Key>, StoreError> {
        if slot >= self.slots {
            return Ok(None);
        }
        let mut sealed = [0; SLOT];
        match self.medium.read_at(offset(slot), &mut sealed) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(StoreError::io(&self.path, error)),
        }
        let plain = crypt::unseal(master.slots(), &slot.to_le_bytes(), &sealed);
        Ok(plain.map(|plain| Zeroizing::new(plain[..].try_into().expect("a slot holds one key"))))
    }

    /// Overwrites slots with random bytes, durably, and makes them free. Up to then their keys can be read.
    pub(super) fn wipe(&mut self, slots: &[u64]) -> Result<(), StoreError> {
        if slots.is_empty() {
            return Ok(());
        }
        for &slot in slots {
            self.write(slot, &crypt::random::<SLOT>()?)?;
        }
        self.sync()?;
        self.free.extend_from_slice(slots);
        Ok(())
    }

    /// Makes free, and wipes again, every slot that is not in `used`, which is in ascending order: a crash can leave a key
    /// in a slot whose record is gone or never came, whole or in part, and what is left in part cannot be told from random
    /// bytes.
    pub(super) fn sweep(&mut self, used: &[u64]) -> Result<(), StoreError> {
        self.free.clear();
        // A record beyond the end has lost its key, but its slot is not for another record.
        self.slots = self.slots.max(used.last().map_or(0, |last| last + 1));
        let mut used = used.iter().copied().peekable();
        let mut wiped = false;
        let mut at = 0;
        while at < self.slots {
            if used.next_if_eq(&at).is_some() {
                at += 1;
                continue;
            }
            let end = used.peek().map_or(self.slots, |next| *next).min(at + WIPE_AT_ONCE).min(self.slots);
            let count = usize::try_from(end - at).expect("at most as many as are wiped at once");
            let mut noise = vec![0; count * SLOT];
            getrandom::fill(&mut noise).map_err(StoreError::Random)?;
            self.write(at, &noise)?;
            self.free.extend(at..end);
            wiped = true;
            at = end;
        }
        if wiped {
            self.sync()?;
            self.cut_off()?;
        }
        // Low slots are taken first, so that the file can shrink again.
        self.free.reverse();
        Ok(())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.medium.sync().map_err(|error| StoreError::io(&self.path, error))
    }

    /// Gives back the free slots at the end of the file.
    fn cut_off(&mut self) -> Result<(), StoreError> {
        while self.slots > 0 && self.free.last() == Some(&(self.slots - 1)) {
            self.free.pop();
            self.slots -= 1;
        }
        let shorter = self.medium.set_len(offset(self.slots)).and_then(|()| self.medium.sync());
        shorter.map_err(|error| StoreError::io(&self.path, error))
    }

    fn write(&mut self, slot: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.medium.write_at(offset(slot), bytes).map_err(|error| StoreError::io(&self.path, error))
    }
}

fn offset(slot: u64) -> u64 {
    HEADER as u64 + slot * SLOT as u64
}
