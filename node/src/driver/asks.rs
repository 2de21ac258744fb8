//! Requests either way: ours on their way, others' that wait for the machine, and both as bytes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Clock};

use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{self, codec};
use hyperspace_protocol::request::{Protocol, RequestId};
use hyperspace_protocol::wire::kad::{Limits, Message as KadMessage};
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;

use super::handle::Answer;
use crate::net::Reply;
use crate::net::book::{ADDRESSES_MAX, Book};
use crate::net::link::Ask;

/// Requests that may wait for connections that are being made, all peers together. Our choice.
pub(super) const WAITING_MAX: usize = 256;

/// How long a request waits for a connection. Our choice: longer than a dial, with the look-up of names and handshakes, of
/// all addresses of a peer.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// Whose request it is.
#[derive(Debug)]
pub(super) enum Asker {
    /// The machine's.
    Machine(Protocol, RequestId),
    /// The application's.
    Application(Answer<Vec<u8>>),
}

/// A request of ours on its way.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) to: PeerId,
    pub(super) asker: Asker,
    /// The connection it went out over; none while one is being made.
    pub(super) conn: Option<ConnectionId>,
    /// Whether an answer is due.
    pub(super) answer: bool,
}

/// A request of a peer that the machine has to answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) reply: oneshot::Sender<Reply>,
    /// The request, for answers that echo it.
    pub(super) echo: KadMessage,
    /// Place of the protocol in the list.
    pub(super) protocol: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Asks {
    pub(super) tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    /// Waiting for a connection, by peer, with the time since when.
    waiting: BTreeMap<PeerId, Vec<(Clock, Ask)>>,
    pub(super) pending: BTreeMap<RequestId, Pending>,
    next_pending: u32,
}

impl Asks {
    pub(super) fn ticket(&mut self, to: PeerId, asker: Asker, answer: bool) -> u64 {
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(number, Ticket { to, asker, conn: None, answer });
        number
    }

    /// Has a request wait for a connection. Gives it back if there is no room; else tells whether it is the peer's first.
    pub(super) fn wait(&mut self, now: Clock, peer: PeerId, ask: Ask) -> Result<bool, Ask> {
        if self.waiting.values().map(Vec::len).sum::<usize>() >= WAITING_MAX {
            return Err(ask);
        }
        let asks = self.waiting.entry(peer).or_default();
        asks.push((now, ask));
        Ok(asks.len() == 1)
    }

    /// Takes out what waits for a connection with a peer.
    pub(super) fn waiting(&mut self, peer: &PeerId) -> Vec<Ask> {
        let asks = self.waiting.remove(peer).unwrap_or_default();
        asks.into_iter().map(|(_, ask)| ask).collect()
    }

    /// Takes out what has waited for longer than [`WAIT`], whatever became of the connection that it waits for.
    pub(super) fn overdue(&mut self, now: Clock) -> Vec<Ask> {
        let mut overdue = Vec::new();
        self.waiting.retain(|_, asks| {
            let late = asks.extract_if(.., |(since, _)| now.duration_since(*since) >= WAIT);
            overdue.extend(late.map(|(_, ask)| ask));
            !asks.is_empty()
        });
        overdue
    }

    /// The tickets that went out over a connection.
    pub(super) fn of_conn(&self, conn: ConnectionId) -> Vec<u64> {
        let of = |(number, ticket): (&u64, &Ticket)| (ticket.conn == Some(conn)).then_some(*number);
        self.tickets.iter().filter_map(of).collect()
    }

    /// Notes a request that the machine has to answer.
    pub(super) fn pend(
        &mut self,
        protocol: usize,
        reply: oneshot::Sender<Reply>,
        echo: KadMessage,
    ) -> RequestId {
        // Numbers come round after four billion requests; the oldest was given up long before.
        let id = RequestId(self.next_pending);
        self.next_pending = self.next_pending.wrapping_add(1);
        self.pending.insert(id, Pending { reply, echo, protocol });
        id
    }
}

/// The DHT's names: a contact is a peer id, addresses are the book's.
pub(super) struct KadNames<'a>(pub(super) &'a Book);

impl codec::Names<PeerId> for KadNames<'_> {
    fn id(&self, contact: PeerId) -> PeerId {
        contact
    }
    fn addresses(&self, contact: PeerId) -> Vec<Vec<u8>> {
        let addresses = self.0.addresses(&contact);
        addresses.iter().take(ADDRESSES_MAX).map(libp2p::Multiaddr::to_vec).collect()
    }
    fn find(&self, id: &PeerId, addresses: &[Vec<u8>]) -> Option<PeerId> {
        self.0.heard(*id, addresses);
        Some(*id)
    }
}

/// Reads a Kademlia message; `None` for one that is none.
pub(super) fn parse_kad(bytes: &[u8]) -> Option<KadMessage> {
    KadMessage::parse(bytes, &Limits { bytes: usize::MAX, ..Limits::default() }).ok()
}

/// Whether a request has an answer.
pub(super) const fn is_answered(request: &kad::Request<PeerId>) -> bool {
    !matches!(request, kad::Request::AddProvider { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_ever_and_room_comes_back() {
        let start = Clock::now();
        let peer = |n| PeerId::from_public_key([n; 32]);
        let ask = |ticket| Ask { ticket, protocol: 0, body: Vec::new(), wants_answer: true };
        let mut asks = Asks::default();
        for ticket in 0..WAITING_MAX as u64 {
            let to = (ticket % 3) as u8;
            let first = asks.wait(start, peer(to), ask(ticket)).expect("room");
            assert_eq!(first, ticket < 3);
        }
        let later = start + WAIT / 2;
        assert!(asks.wait(later, peer(9), ask(999)).is_err());
        assert_eq!(asks.waiting(&peer(0)).len(), WAITING_MAX.div_ceil(3));
        assert!(asks.wait(later, peer(1), ask(1000)).is_ok());
        assert!(asks.overdue(later).is_empty());
        assert_eq!(asks.overdue(start + WAIT).len(), WAITING_MAX - WAITING_MAX.div_ceil(3));
        let left: Vec<u64> = asks.waiting(&peer(1)).iter().map(|ask| ask.ticket).collect();
        assert_eq!(left, [1000]);
        assert!(asks.waiting.is_empty());
    }
}
