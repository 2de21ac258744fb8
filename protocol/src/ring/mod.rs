//! The consistent hash ring of spec 4.4: which peers hold a memory.
//!
//! Every member stands on a circle of 2^64 positions at the places of its tokens (virtual nodes). A key belongs to the
//! first token at or after it, clockwise, and is copied to the next distinct members ([`REPLICAS`] holders in all).
//! Tokens and keys are SHA-256, see [`Member::token`] and [`Position::of`].
//!
//! The spec's "750 virtual nodes across physical peers" can be read in three ways, see [`Vnodes`]; [`advice()`] says
//! from the parameters alone what a reading cannot do. A [`Ring`] is a plain value with one entry of 12 bytes per
//! token: all peers with the same view can share one.
//!
//! ```
//! use hyperspace_protocol::ring::{Position, REPLICAS, Ring, Vnodes};
//!
//! let mut ring = Ring::build(Vnodes::default(), ["ann", "bob", "cid", "dot"])?;
//! let holders = ring.replicas(Position::of("mem-f29c1a"), REPLICAS);
//! assert_eq!(holders[..], [&"ann", &"bob", &"dot"]);
//! for moved in ring.leave_moving(&"bob", REPLICAS)? {
//!     assert_eq!(moved.from, Some("bob"));
//! }
//! # Ok::<(), hyperspace_protocol::ring::RingError>(())
//! ```

mod advice;
mod load;
mod member;
mod moved;
mod place;
mod roster;
mod table;
#[cfg(test)]
mod tests;

use core::fmt;
use core::num::NonZeroU16;

pub use self::advice::{Advice, Forecast, advice};
pub use self::load::Spread;
pub use self::member::Member;
pub use self::moved::{KeyRange, Moved};
use self::place::Winner;
use self::roster::Roster;
use self::table::{Table, distinct};

/// Holders of a key: the primary and 2 replicas (spec 4.4).
pub const REPLICAS: usize = 3;

/// How many positions the ring has.
pub const POSITIONS: u128 = 1 << 64;

/// A place on the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(pub u64);

/// 16 hexadecimal digits.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where members stand: the readings of "750 virtual nodes across physical peers" (decision P21). All nodes of a mesh
/// have to use the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Vnodes {
    /// Each member has so many tokens. Joins and leaves move the minimum, at any number of members. The default, with
    /// 150: five peers then have the spec's 750 in all.
    PerPeer(NonZeroU16),
    /// The ring is cut into so many equal partitions for good. Each belongs to the member with the highest weight for
    /// it ([`Member::token`] of the partition's number). Moves the minimum, but at most so many members own anything.
    ///
    /// The heir of a partition is the next highest weight, which need not be the next replica: after a crash the new
    /// primary may have to fetch from a replica first. With [`Vnodes::PerPeer`] the heir is always the next replica.
    TotalRendezvous(NonZeroU16),
    /// The ring has so many tokens in all: each member has the floor of its share of them, and the first members in
    /// order (`Ord`) take up the rest with one each. **Breaks consistency**: a join or leave changes the number of
    /// tokens of members it does not concern, so keys move between these too, about as many again as have to. Joins and
    /// leaves lay the whole ring anew.
    TotalFloor(NonZeroU16),
}

impl Vnodes {
    /// The default: 150 tokens per peer.
    pub const SPEC_PER_PEER: Self = Self::PerPeer(NonZeroU16::new(150).unwrap());
    /// The literal reading: 750 partitions, however many peers there are.
    pub const SPEC_LITERAL: Self = Self::TotalRendezvous(NonZeroU16::new(750).unwrap());
}

impl Default for Vnodes {
    fn default() -> Self {
        Self::SPEC_PER_PEER
    }
}

impl fmt::Display for Vnodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerPeer(n) => write!(f, "{n} virtual nodes per peer"),
            Self::TotalRendezvous(n) => write!(f, "{n} virtual nodes in all, by rendezvous"),
            Self::TotalFloor(n) => write!(f, "{n} virtual nodes in all, by floor"),
        }
    }
}

/// Why the members of a ring could not be changed so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RingError {
    /// It joins a second time.
    #[error("is a member of the ring already")]
    AlreadyMember,
    /// It leaves without having joined.
    #[error("is no member of the ring")]
    NotMember,
}

/// The ring. Two rings are equal if they have the same members and placement, however they came about.
#[derive(Clone)]
pub struct Ring<K> {
    vnodes: Vnodes,
    roster: Roster<K>,
    table: Table,
    /// By partition; empty unless [`Vnodes::TotalRendezvous`].
    winners: Vec<Option<Winner>>,
}

impl<K: Member> Ring<K> {
    /// A ring without members.
    pub fn new(vnodes: Vnodes) -> Self {
        let partitions = match vnodes {
            Vnodes::TotalRendezvous(n) => usize::from(n.get()),
            Vnodes::PerPeer(_) | Vnodes::TotalFloor(_) => 0,
        };
        Self { vnodes, roster: Roster::new(), table: Table::new(), winners: vec![None; partitions] }
    }

    /// The ring of these members, whatever their order. Takes twice the memory of the ring while it sorts.
    ///
    /// # Errors
    /// [`RingError::AlreadyMember`] if one comes twice.
    pub fn build(vnodes: Vnodes, members: impl IntoIterator<Item = K>) -> Result<Self, RingError> {
        let mut ring = Self::new(vnodes);
        for member in members {
            let slot = ring.roster.insert(member).ok_or(RingError::AlreadyMember)?;
            ring.bid(slot);
        }
        ring.lay();
        Ok(ring)
    }

    /// Puts `member` on the ring. O(v) for v tokens per peer, whatever the number of members; n hashes for a total of
    /// n.
    ///
    /// # Errors
    /// [`RingError::AlreadyMember`]; nothing has changed then.
    pub fn join(&mut self, member: K) -> Result<(), RingError> {
        let slot = self.roster.insert(member).ok_or(RingError::AlreadyMember)?;
        self.enter(slot);
        Ok(())
    }

    /// Takes `member` off the ring. Costs as [`Ring::join`] does, except that rendezvous asks every other member for
    /// its weights of the partitions that `member` had: n hashes in expectation, and every member's label.
    ///
    /// # Errors
    /// [`RingError::NotMember`].
    pub fn leave(&mut self, member: &K) -> Result<(), RingError> {
        let slot = self.roster.slot(member).ok_or(RingError::NotMember)?;
        self.exit(slot);
        Ok(())
    }

    /// Where members stand.
    pub const fn vnodes(&self) -> Vnodes {
        self.vnodes
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.roster.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens or owned partitions there are (the V of the spec's O(log V)).
    pub const fn tokens(&self) -> usize {
        self.table.len()
    }

    /// Whether `member` is on the ring.
    pub fn contains(&self, member: &K) -> bool {
        self.roster.slot(member).is_some()
    }

    /// All members, ascending, those that own nothing included.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &K> {
        self.roster.iter().map(|(member, _)| member)
    }

    /// The primary of a key: the owner of the first token at or after it. None only if the ring is empty.
    ///
    /// O(1) expected, whatever the number of tokens.
    pub fn owner(&self, key: Position) -> Option<&K> {
        self.table.clockwise(key.0).next().map(|token| self.roster.member(token.owner))
    }

    /// The holders of a key: the primary, then the next distinct members clockwise, `wanted` in all. Fewer if there are
    /// fewer members, or fewer that own anything. Usually [`REPLICAS`] are wanted.
    pub fn replicas(&self, key: Position, wanted: usize) -> Vec<&K> {
        let wanted = wanted.min(self.roster.len());
        let slots = distinct(self.table.clockwise(key.0), wanted, self.roster.slots());
        slots.into_iter().map(|slot| self.roster.member(slot)).collect()
    }

    /// All ranges with their primaries, ascending by their last position. They cover the ring and do not overlap;
    /// neighbours can have the same primary.
    pub fn ranges(&self) -> impl Iterator<Item = (KeyRange, &K)> {
        self.table
            .arcs()
            .map(|(after, token)| (KeyRange::new(after, token.at), self.roster.member(token.owner)))
    }
}

impl<K: Member> PartialEq for Ring<K> {
    fn eq(&self, other: &Self) -> bool {
        self.vnodes == other.vnodes
            && self.members().eq(other.members())
            && self.table.len() == other.table.len()
            && self.table.iter().zip(other.table.iter()).all(|(mine, theirs)| {
                mine.at == theirs.at && self.roster.member(mine.owner) == other.roster.member(theirs.owner)
            })
    }
}

impl<K: Member> Eq for Ring<K> {}

/// Short: how many members and tokens.
impl<K: Member> fmt::Debug for Ring<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} members, {} tokens: {})", self.len(), self.tokens(), self.vnodes)
    }
}
