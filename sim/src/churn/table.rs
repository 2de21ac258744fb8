//! The sessions of all peers of a run in one table.

use core::ops::Range;

use hyperspace_protocol::time::Instant;

use super::Session;

/// The sessions of a range of peers: where each peer's are in one list of all. Peers that are always up from one start
/// share an entry, so such a peer costs 16 bytes.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    first: u32,
    rows: Vec<Range<usize>>,
    all: Vec<Session>,
    /// Place of the entry for peers that are always up.
    always: Option<usize>,
}

/// What happens to a peer at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It comes up.
    Up,
    /// It takes leave and goes down.
    Leave,
    /// It goes down without a word.
    Crash,
}

impl Sessions {
    /// An empty table whose first peer will be `first`.
    pub const fn new(first: u32) -> Self {
        Self { first, rows: Vec::new(), all: Vec::new(), always: None }
    }

    /// Adds the next peer. Its sessions are in order and apart, as [`sessions`](super::sessions()) and
    /// [`Trace`](super::Trace) give them; none at all is a peer that never comes up.
    pub fn push(&mut self, sessions: &[Session]) {
        let from = self.all.len();
        self.all.extend_from_slice(sessions);
        self.rows.push(from..self.all.len());
    }

    /// Adds the next peer, which is always up from `start`.
    pub fn push_always(&mut self, start: Instant) {
        let endless = Session::endless(start);
        let place = self.always.filter(|place| self.all[*place] == endless).unwrap_or_else(|| {
            self.all.push(endless);
            self.all.len() - 1
        });
        self.always = Some(place);
        self.rows.push(place..place + 1);
    }

    /// A peer's sessions in order; none for a peer outside the table.
    pub fn of(&self, peer: u32) -> &[Session] {
        let row = peer.checked_sub(self.first).and_then(|place| self.rows.get(place as usize));
        row.map_or(&[], |row| &self.all[row.clone()])
    }

    /// Whether a peer is up: from the instant at which it comes up to before the one at which it goes down.
    pub fn is_up(&self, peer: u32, at: Instant) -> bool {
        self.is_up_throughout(peer, at, at)
    }

    /// Whether a peer is up at `from`, at `to` and all the time between.
    pub fn is_up_throughout(&self, peer: u32, from: Instant, to: Instant) -> bool {
        let sessions = self.of(peer);
        let begun = sessions.partition_point(|session| session.up <= from);
        sessions[..begun].last().is_some_and(|session| from.max(to) < session.down)
    }

    /// How many peers are up; looks at every peer.
    pub fn online(&self, at: Instant) -> usize {
        self.peers().filter(|peer| self.is_up(*peer, at)).count()
    }

    /// Every coming and going in order of time, and of peers within an instant. Departures in the far future are none.
    pub fn changes(&self) -> Vec<(Instant, u32, Change)> {
        let mut changes = Vec::new();
        for peer in self.peers() {
            for session in self.of(peer) {
                changes.push((session.up, peer, Change::Up));
                if session.down < Instant::FAR_FUTURE {
                    let change = if session.crash { Change::Crash } else { Change::Leave };
                    changes.push((session.down, peer, change));
                }
            }
        }
        changes.sort_unstable();
        changes
    }

    fn peers(&self) -> impl Iterator<Item = u32> {
        (self.first..).take(self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_who_is_up_and_what_changes() {
        let at = Instant::from_nanos;
        let mut table = Sessions::new(5);
        table.push(&[Session { up: at(10), down: at(20), crash: true }, Session::endless(at(30))]);
        table.push_always(at(3));
        table.push_always(at(3));
        table.push(&[]);
        table.push_always(at(10));
        table.push(&[Session { up: at(3), down: at(10), crash: false }]);
        assert_eq!(table.all.len(), 5);

        let up = [9, 10, 19, 20, 29, 30].map(|t| table.is_up(5, at(t)));
        assert_eq!(up, [false, true, true, false, false, true]);
        let throughout = |from, to| table.is_up_throughout(5, at(from), at(to));
        assert_eq!(
            [(10, 19), (10, 20), (9, 11), (19, 30), (30, 99)].map(|(from, to)| throughout(from, to)),
            [true, false, false, false, true]
        );
        assert!(table.of(8).is_empty() && table.of(4).is_empty() && table.of(11).is_empty());
        assert_eq!([0, 3, 10, 20, 30].map(|t| table.online(at(t))), [0, 3, 4, 3, 4]);
        assert_eq!(
            table.changes(),
            [
                (at(3), 6, Change::Up),
                (at(3), 7, Change::Up),
                (at(3), 10, Change::Up),
                (at(10), 5, Change::Up),
                (at(10), 9, Change::Up),
                (at(10), 10, Change::Leave),
                (at(20), 5, Change::Crash),
                (at(30), 5, Change::Up),
            ]
        );
    }
}
