//! The placement policies: what a member's coming and going does to the token table.

use super::member::{label, tokens};
use super::roster::Roster;
use super::table::{Table, Token};
use super::{Member, POSITIONS, Ring, Vnodes};

/// Who has the highest weight for a partition.
#[derive(Clone, Copy)]
pub(super) struct Winner {
    weight: u64,
    slot: u32,
}

impl<K: Member> Ring<K> {
    /// Puts the tokens of the new member in `slot` on the ring.
    pub(super) fn enter(&mut self, slot: u32) {
        match self.vnodes {
            Vnodes::PerPeer(count) => {
                for at in tokens(self.roster.member(slot), count.get()) {
                    self.table.insert(Token { at, owner: slot }, |left, right| self.roster.rank(left, right));
                }
            }
            Vnodes::TotalRendezvous(_) | Vnodes::TotalFloor(_) => {
                self.bid(slot);
                self.lay();
            }
        }
    }

    /// Takes the member in `slot` off the ring and the roster.
    pub(super) fn exit(&mut self, slot: u32) {
        match self.vnodes {
            Vnodes::PerPeer(count) => {
                for at in tokens(self.roster.member(slot), count.get()) {
                    self.table.remove(Token { at, owner: slot });
                }
                self.roster.remove(slot);
            }
            Vnodes::TotalRendezvous(_) | Vnodes::TotalFloor(_) => {
                self.roster.remove(slot);
                self.give_up(slot);
                self.lay();
            }
        }
    }

    /// Lays the whole table anew, from the roster and the winners of partitions.
    pub(super) fn lay(&mut self) {
        let members = self.roster.iter();
        let rank = |left, right| self.roster.rank(left, right);
        self.table = match self.vnodes {
            Vnodes::PerPeer(count) => {
                let all = members.flat_map(|(member, owner)| {
                    tokens(member, count.get()).map(move |at| Token { at, owner })
                });
                Table::collect(all, rank)
            }
            Vnodes::TotalRendezvous(_) => {
                let count = self.winners.len();
                let owned = self.winners.iter().enumerate().filter_map(|(index, winner)| {
                    winner.map(|winner| Token { at: partition_end(index, count), owner: winner.slot })
                });
                Table::collect(owned, rank)
            }
            Vnodes::TotalFloor(total) => {
                let total = usize::from(total.get());
                let share = total.checked_div(members.len()).unwrap_or(0);
                let rest = total.checked_rem(members.len()).unwrap_or(0);
                let dealt = members.take(total).enumerate().flat_map(|(place, (member, owner))| {
                    let count = share + usize::from(place < rest);
                    let count = u16::try_from(count).expect("no more than the total");
                    tokens(member, count).map(move |at| Token { at, owner })
                });
                Table::collect(dealt, rank)
            }
        };
    }

    /// Rendezvous: gives the member in `slot` the partitions for which it has the highest weight.
    pub(super) fn bid(&mut self, slot: u32) {
        // There are no winners to beat with the other policies.
        let count = self.winners.len() as u16;
        for (winner, weight) in self.winners.iter_mut().zip(tokens(self.roster.member(slot), count)) {
            contest(winner, Winner { weight, slot }, &self.roster);
        }
    }

    /// Rendezvous: finds heirs for the partitions of the member that was in `slot`.
    fn give_up(&mut self, slot: u32) {
        let mut lost = Vec::new();
        for (index, winner) in (0..).zip(&mut self.winners) {
            if winner.is_some_and(|winner| winner.slot == slot) {
                *winner = None;
                lost.push(index);
            }
        }
        if lost.is_empty() {
            return;
        }
        for (member, heir) in self.roster.iter() {
            let label = label(member);
            for &index in &lost {
                let bid = Winner { weight: K::token(&label, index), slot: heir };
                contest(&mut self.winners[usize::from(index)], bid, &self.roster);
            }
        }
    }
}

/// Gives the partition to `bid` if its weight is higher; at equal weights to the lower member.
fn contest<K: Member>(winner: &mut Option<Winner>, bid: Winner, roster: &Roster<K>) {
    let wins = winner.is_none_or(|held| {
        bid.weight.cmp(&held.weight).then_with(|| roster.rank(held.slot, bid.slot)).is_gt()
    });
    if wins {
        *winner = Some(bid);
    }
}

/// The last position of partition `index` of `count` equal ones (to the rounding of positions).
fn partition_end(index: usize, count: usize) -> u64 {
    let end = (POSITIONS * (index as u128 + 1)).div_ceil(count as u128) - 1;
    u64::try_from(end).expect("the last partition ends with the ring")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_equal_and_end_with_the_ring() {
        assert_eq!([0, 1, 2, 3].map(|index| partition_end(index, 4) >> 56), [0x3f, 0x7f, 0xbf, 0xff]);
        for count in [1, 3, 750, 65_535] {
            assert_eq!(partition_end(count - 1, count), u64::MAX);
            assert!((1..count).all(|index| {
                let width = partition_end(index, count) - partition_end(index - 1, count);
                width.abs_diff((POSITIONS / count as u128) as u64) <= 1
            }));
        }
    }
}
