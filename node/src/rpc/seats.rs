//! How many connections each session has, so that one token cannot take all the places.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyperspace_protocol::primitive::Tier;

use super::auth::Refusal;

/// Connections by session. As many entries as there are connections, at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<BTreeMap<Box<str>, usize>>>);

/// A session's place for one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    session: Box<str>,
}

impl Seats {
    /// A place for one more connection of a session; the operator needs none.
    pub(super) fn take(&self, tier: &Tier, most: usize) -> Result<Option<Seat>, Refusal> {
        let Tier::Session(session) = tier else { return Ok(None) };
        let session: Box<str> = (**session).into();
        let mut taken = self.lock();
        let count = taken.entry(session.clone()).or_default();
        if *count >= most {
            return Err(Refusal::SessionFull);
        }
        *count += 1;
        drop(taken);
        Ok(Some(Seat { seats: self.clone(), session }))
    }

    /// No invariant spans a panic under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if let Some(count) = taken.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.session);
            }
        }
    }
}
