//! Two files on a disk that fails: it loses or tears what was not synced, and returns errors.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::*;
use crate::store::slots::{self, Medium};

const SECTOR: usize = 512;
const DATABASE: usize = 0;
const KEYS: usize = 1;

/// When operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Never,
    /// That many operations go well, the next one fails, later ones go well again.
    Once(u64),
    /// That many operations go well, later ones fail.
    From(u64),
}

#[derive(Debug)]
enum Op {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Debug, Default)]
struct Contents {
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Op>,
}

impl Op {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let at = *at as usize;
                to.resize(to.len().max(at + bytes.len()), 0);
                to[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Len(len) => to.resize(*len as usize, 0),
        }
    }
}

#[derive(Debug)]
struct State {
    files: [Contents; 2],
    fault: Fault,
    kind: io::ErrorKind,
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.fault {
            Fault::Never => Ok(()),
            Fault::Once(0) => {
                self.fault = Fault::Never;
                Err(self.kind.into())
            }
            Fault::From(0) => Err(self.kind.into()),
            Fault::Once(left) | Fault::From(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// A disk with an empty store on it.
    pub(super) fn new() -> Self {
        let disk = Self::with([Contents::default(), Contents::default()]);
        let mut keys = disk.file(KEYS);
        keys.write_at(0, &slots::new_header(&master()).unwrap()).unwrap();
        Medium::sync(&mut keys).unwrap();
        let id = disk.key_file().unwrap().id();
        schema::create(&disk.open_database().unwrap(), Path::new("store.redb"), id).unwrap();
        disk
    }

    fn with(files: [Contents; 2]) -> Self {
        Self(Arc::new(Mutex::new(State { files, fault: Fault::Never, kind: io::ErrorKind::Other })))
    }

    pub(super) fn fail(&self, fault: Fault, kind: io::ErrorKind) {
        let mut state = self.0.lock().unwrap();
        state.fault = fault;
        state.kind = kind;
    }

    pub(super) fn open(&self) -> Result<Store, StoreError> {
        let keys = self.key_file()?;
        let path = Path::new("store.redb");
        let database = self.open_database().at(path)?;
        schema::verify(&database, path, keys.id(), schema::MIGRATIONS)?;
        let store = Store::assemble(database, path.to_owned(), keys, master());
        store.sweep()?;
        Ok(store)
    }

    fn open_database(&self) -> Result<Database, DatabaseError> {
        Builder::new().create_with_backend(self.file(DATABASE))
    }

    fn key_file(&self) -> Result<KeyFile, StoreError> {
        KeyFile::open(Box::new(self.file(KEYS)), Path::new("record.keys"), &master())
    }

    fn file(&self, file: usize) -> Handle {
        Handle { disk: self.clone(), file }
    }

    /// The bytes that a program would read from the key file now.
    pub(super) fn keys(&self) -> Vec<u8> {
        self.0.lock().unwrap().files[KEYS].now.clone()
    }

    /// The same, of the database.
    pub(super) fn database(&self) -> Vec<u8> {
        self.0.lock().unwrap().files[DATABASE].now.clone()
    }

    /// What is on the disk after the power failed: of what was not synced any sector, or part of it, or nothing.
    pub(super) fn crash(&self, dice: &mut Dice) -> Self {
        let state = self.0.lock().unwrap();
        // Out of four: how likely a piece survives.
        let odds = [0, 1, 2, 3, 4][dice.below(5) as usize];
        let files = [DATABASE, KEYS].map(|file| {
            let Contents { synced, pending, .. } = &state.files[file];
            let mut left = synced.clone();
            for op in pending {
                match op {
                    Op::Len(_) if dice.below(4) < odds => op.apply(&mut left),
                    Op::Len(_) => {}
                    Op::Write(at, bytes) => {
                        for piece in pieces(*at, bytes, dice) {
                            if dice.below(4) < odds {
                                piece.apply(&mut left);
                            }
                        }
                    }
                }
            }
            Contents { synced: left.clone(), now: left, pending: Vec::new() }
        });
        Self::with(files)
    }
}

/// A write cut at the borders of sectors, and now and then within one.
fn pieces(at: u64, bytes: &[u8], dice: &mut Dice) -> Vec<Op> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let border = SECTOR - (at as usize + from) % SECTOR;
        let mut len = border.min(bytes.len() - from);
        if dice.below(8) == 0 {
            len = 1 + dice.below(len as u64) as usize;
        }
        pieces.push(Op::Write(at + from as u64, bytes[from..from + len].to_vec()));
        from += len;
    }
    pieces
}

/// One of the two files.
#[derive(Debug)]
struct Handle {
    disk: Disk,
    file: usize,
}

impl Handle {
    fn with<T>(&self, then: impl FnOnce(&mut Contents) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock().unwrap();
        state.step()?;
        then(&mut state.files[self.file])
    }

    fn change(&self, op: Op) -> io::Result<()> {
        self.with(|file| {
            op.apply(&mut file.now);
            file.pending.push(op);
            Ok(())
        })
    }

    fn load(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| {
            let bytes = file.now.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn make_durable(&self) -> io::Result<()> {
        self.with(|file| {
            file.synced.clone_from(&file.now);
            file.pending.clear();
            Ok(())
        })
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.now.len() as u64))
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.load(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::Len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.make_durable()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Op::Write(offset, data.to_vec()))
    }
}

impl Medium for Handle {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.load(offset, out)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Op::Write(offset, bytes.to_vec()))
    }
    fn len(&mut self) -> io::Result<u64> {
        self.with(|file| Ok(file.now.len() as u64))
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.change(Op::Len(len))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.make_durable()
    }
}
