//! Which key ranges change hands when a member joins or leaves, so that a caller can move the data.

use core::fmt;
use core::{iter, mem};

use smallvec::SmallVec;

use super::member::tokens;
use super::table::{Table, Token, distinct};
use super::{Member, POSITIONS, Position, Ring, RingError, Vnodes};

/// The positions clockwise from just after `after` up to and including `upto`. Both ends equal mean the whole ring:
/// there is no empty range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyRange {
    /// The last position before the range.
    pub after: Position,
    /// The last position of the range.
    pub upto: Position,
}

impl KeyRange {
    pub(super) const fn new(after: u64, upto: u64) -> Self {
        Self { after: Position(after), upto: Position(upto) }
    }

    /// Whether `position` lies in the range.
    pub const fn contains(self, position: Position) -> bool {
        (position.0.wrapping_sub(self.after.0).wrapping_sub(1) as u128) < self.width()
    }

    /// How many of the 2^64 positions it has; at least 1.
    pub const fn width(self) -> u128 {
        if self.after.0 == self.upto.0 { POSITIONS } else { self.upto.0.wrapping_sub(self.after.0) as u128 }
    }
}

/// `(after, upto]` in hexadecimal.
impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}]", self.after, self.upto)
    }
}

/// A range that changes hands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved<K> {
    /// The keys.
    pub range: KeyRange,
    /// Who no longer has to hold them: after a crash it cannot be asked for them, but the other replicas can. None if
    /// there were fewer holders than wanted.
    pub from: Option<K>,
    /// Who has to hold them now. None if there are fewer holders than wanted.
    pub to: Option<K>,
}

impl<K: Member> Ring<K> {
    /// [`Ring::join`], and the ranges that have other holders now, of `replicas` each.
    ///
    /// With [`Vnodes::PerPeer`] all go to `member`, and finding them costs O(v `replicas`^2). Otherwise the whole ring
    /// is compared with what it was.
    ///
    /// # Errors
    /// [`RingError::AlreadyMember`]; nothing has changed then.
    pub fn join_moving(&mut self, member: K, replicas: usize) -> Result<Vec<Moved<K>>, RingError> {
        let before = self.table_to_compare();
        self.join(member.clone())?;
        let slot = self.roster.slot(&member).expect("it just joined");
        let changes = match before {
            Some(before) => difference(&before, &self.table, replicas, self.roster.slots()),
            None => {
                let mut changes = self.held_by(slot, &member, replicas);
                changes.iter_mut().for_each(|change| mem::swap(&mut change.lost, &mut change.gained));
                changes
            }
        };
        Ok(self.named(changes, slot, &member))
    }

    /// [`Ring::leave`], and the ranges that have other holders now, of `replicas` each. Costs as [`Ring::join_moving`].
    ///
    /// # Errors
    /// [`RingError::NotMember`].
    pub fn leave_moving(&mut self, member: &K, replicas: usize) -> Result<Vec<Moved<K>>, RingError> {
        let slot = self.roster.slot(member).ok_or(RingError::NotMember)?;
        let changes = match self.table_to_compare() {
            Some(before) => {
                self.leave(member)?;
                difference(&before, &self.table, replicas, self.roster.slots())
            }
            None => {
                let changes = self.held_by(slot, member, replicas);
                self.leave(member)?;
                changes
            }
        };
        Ok(self.named(changes, slot, member))
    }

    /// The table as it is, if a change can concern more than the neighbourhood of one member's tokens.
    fn table_to_compare(&self) -> Option<Table> {
        match self.vnodes {
            Vnodes::PerPeer(_) => None,
            Vnodes::TotalFloor(_) | Vnodes::TotalRendezvous(_) => Some(self.table.clone()),
        }
    }

    /// With [`Vnodes::PerPeer`]: what `member` holds, and who would in its stead.
    fn held_by(&self, slot: u32, member: &K, replicas: usize) -> Vec<Change> {
        let Vnodes::PerPeer(count) = self.vnodes else { return Vec::new() };
        let places: Vec<u64> = tokens(member, count.get()).collect();
        let ends = (self.table.iter().next(), self.table.last());
        if let (Some(first), Some(last)) = ends
            && first.at == last.at
        {
            let mut without = self.table.clone();
            places.iter().for_each(|&at| _ = without.remove(Token { at, owner: slot }));
            return difference(&self.table, &without, replicas, self.roster.slots());
        }
        held_by(slot, places, replicas, &self.table, self.roster.slots())
    }

    /// `changes` with members for slots; `member` was or is in `slot`.
    fn named(&self, changes: Vec<Change>, slot: u32, member: &K) -> Vec<Moved<K>> {
        let name =
            |other: u32| if other == slot { member.clone() } else { self.roster.member(other).clone() };
        let moved = changes.into_iter().map(|Change { range, lost, gained }| Moved {
            range,
            from: lost.map(name),
            to: gained.map(name),
        });
        moved.collect()
    }
}

/// The part of a change that is about one range, by slots.
pub(super) struct Change {
    pub(super) range: KeyRange,
    pub(super) lost: Option<u32>,
    pub(super) gained: Option<u32>,
}

/// What `own`, with its tokens at `places`, holds as one of `replicas` replicas in `table`; and, as `gained`, who would
/// hold it if `own` were not on the ring. Ascending and disjoint. Looks at the neighbourhood of those tokens only.
/// Not all tokens may be equal.
pub(super) fn held_by(
    own: u32,
    mut places: Vec<u64>,
    replicas: usize,
    table: &Table,
    slots: usize,
) -> Vec<Change> {
    places.sort_unstable();
    places.dedup();
    let mut changes = Vec::new();
    for place in places {
        // Counterclockwise from the token: `own` is a replica of every arc until `replicas` others lie between.
        let token = Token { at: place, owner: own };
        let mut between = SmallVec::<[u32; 4]>::new();
        let mut upto = place;
        let back = table.counterclockwise(place.wrapping_add(1)).skip_while(|&other| other != token);
        for Token { at: after, owner } in back.skip_while(|&other| other == token).chain(iter::once(token)) {
            if between.len() >= replicas {
                break;
            }
            if after != upto {
                let heirs = table.clockwise(upto).filter(|other| other.owner != own);
                let gained = distinct(heirs, replicas, slots).get(replicas - 1).copied();
                changes.push(Change { range: KeyRange::new(after, upto), lost: Some(own), gained });
            }
            if owner == own {
                break;
            }
            if !between.contains(&owner) {
                between.push(owner);
            }
            upto = after;
        }
    }
    changes.sort_unstable_by_key(|change| change.range.upto);
    merge(changes)
}

/// Every range whose replicas differ between two tables that name members by the same slots. Looks at all of both.
pub(super) fn difference(old: &Table, new: &Table, replicas: usize, slots: usize) -> Vec<Change> {
    let mut ends: Vec<u64> = old.iter().chain(new.iter()).map(|token| token.at).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut changes = Vec::new();
    let Some(&last) = ends.last() else { return changes };
    let afters = iter::once(last).chain(ends.iter().copied());
    for (after, &upto) in afters.zip(&ends) {
        let was = distinct(old.clockwise(upto), replicas, slots);
        let is = distinct(new.clockwise(upto), replicas, slots);
        let mut lost = was.iter().filter(|slot| !is.contains(slot));
        let mut gained = is.iter().filter(|slot| !was.contains(slot));
        loop {
            let (lost, gained) = (lost.next().copied(), gained.next().copied());
            if lost.is_none() && gained.is_none() {
                break;
            }
            changes.push(Change { range: KeyRange::new(after, upto), lost, gained });
        }
    }
    merge(changes)
}

/// Joins neighbouring ranges with the same hands.
fn merge(changes: Vec<Change>) -> Vec<Change> {
    let mut merged: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes {
        match merged.last_mut() {
            Some(last)
                if last.range.upto == change.range.after
                    && last.range.after != change.range.upto
                    && (last.lost, last.gained) == (change.lost, change.gained) =>
            {
                last.range.upto = change.range.upto;
            }
            _ => merged.push(change),
        }
    }
    merged
}
