//! The database's file while nobody knows yet whether it is sound, and when it turned out not to be.
//!
//! Opening a database writes to it: a repair after a crash, a mark that it is open. Until it has proved to be whole and
//! ours, such writes are held back in memory, so that a file that is refused is left as it was.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend};

#[derive(Debug)]
enum Op {
    Write(u64, Vec<u8>),
    Len(u64),
    Sync,
}

impl Op {
    /// What the operation does to the bytes from `offset` on.
    fn apply(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        let within =
            |at: u64| usize::try_from(at.clamp(offset, end) - offset).expect("no longer than a slice");
        match self {
            Self::Write(at, bytes) => {
                let (from, to) = (within(*at), within(at + bytes.len() as u64));
                if from < to {
                    let skip = usize::try_from(offset.saturating_sub(*at)).expect("no longer than a slice");
                    out[from..to].copy_from_slice(&bytes[skip..][..to - from]);
                }
            }
            Self::Len(len) => out[within(*len)..].fill(0),
            Self::Sync => {}
        }
    }
}

#[derive(Debug)]
struct Inner {
    file: FileBackend,
    /// What is held back, in order; nothing once it was let through.
    held: RwLock<Option<Vec<Op>>>,
}

/// A file whose writes are held back until [`release`](Self::release). Clones are the same file.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<Inner>);

impl Held {
    pub(super) fn new(file: File) -> Result<Self, DatabaseError> {
        let held = RwLock::new(Some(Vec::new()));
        Ok(Self(Arc::new(Inner { file: FileBackend::new(file)?, held })))
    }

    /// Lets through what was held back, and everything that follows.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        for op in held.take().into_iter().flatten() {
            match op {
                Op::Write(at, bytes) => self.0.file.write(at, &bytes)?,
                Op::Len(len) => self.0.file.set_len(len)?,
                Op::Sync => self.0.file.sync_data()?,
            }
        }
        Ok(())
    }

    /// Whether the operation was held back; otherwise it is for the file.
    fn hold(&self, op: impl FnOnce() -> Op) -> bool {
        // The common case, once everything is let through, excludes nobody.
        if self.0.held.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return false;
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().map(|held| held.push(op())).is_some()
    }
}

/// An open database, which panics on some kinds of damage when it is closed. Such a panic ends here: what was committed is
/// on disk, and opening the database again finds the damage.
pub(super) struct Closing(Option<Database>);

impl Closing {
    pub(super) fn new(database: Database) -> Self {
        Self(Some(database))
    }
}

impl Deref for Closing {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("only dropping takes it")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let database = self.0.take();
        drop(panic::catch_unwind(AssertUnwindSafe(|| drop(database))));
    }
}

/// The length of the file when all of `held` were let through.
fn len(file: &FileBackend, held: &[Op]) -> io::Result<u64> {
    Ok(held.iter().fold(file.len()?, |len, op| match op {
        Op::Write(at, bytes) => len.max(at + bytes.len() as u64),
        Op::Len(len) => *len,
        Op::Sync => len,
    }))
}

impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        len(&self.0.file, held.as_deref().unwrap_or_default())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = &*held else { return self.0.file.read(offset, out) };
        if offset.saturating_add(out.len() as u64) > len(&self.0.file, held)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = self.0.file.len()?.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        self.0.file.read(offset, &mut out[..there])?;
        out[there..].fill(0);
        held.iter().for_each(|op| op.apply(offset, out));
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.hold(|| Op::Len(len)) { Ok(()) } else { self.0.file.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.hold(|| Op::Sync) { Ok(()) } else { self.0.file.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.hold(|| Op::Write(offset, data.to_vec())) { Ok(()) } else { self.0.file.write(offset, data) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::*;

    fn op() -> impl Strategy<Value = Op> {
        let bytes = prop::collection::vec(1..=255u8, 1..30);
        prop_oneof![
            3 => (0..100u64, bytes).prop_map(|(at, bytes)| Op::Write(at, bytes)),
            1 => (0..120u64).prop_map(Op::Len),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_held_back_reads_as_if_it_were_written(ops in prop::collection::vec(op(), 0..12)) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[9; 60]).unwrap();
            file.rewind().unwrap();
            let again = file.try_clone().unwrap();
            let held = Held::new(file).unwrap();
            for op in &ops {
                match op {
                    Op::Write(at, bytes) => held.write(*at, bytes).unwrap(),
                    Op::Len(len) => held.set_len(*len).unwrap(),
                    Op::Sync => held.sync_data().unwrap(),
                }
            }
            let read = |held: &Held| {
                let len = held.len().unwrap();
                let all = |from: u64| {
                    let mut bytes = vec![0; (len - from) as usize];
                    held.read(from, &mut bytes).map(|()| bytes).unwrap()
                };
                (all(0), all(len / 2))
            };
            let before = read(&held);
            prop_assert_eq!(again.metadata().unwrap().len(), 60);
            held.release().unwrap();
            prop_assert_eq!(before, read(&held));
        }
    }
}
