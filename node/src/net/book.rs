//! The address book: where peers can be reached, in bounded memory.
//!
//! What a peer says of itself (identify), what the operator configured and where a connection was made is kept apart from
//! hearsay, which anybody can make up: a flood of invented contacts pushes out hearsay only.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyperspace_protocol::identity::PeerId;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Peers known at first hand; the one noted longest ago goes first. Our choice.
pub const KNOWN_MAX: usize = 2048;
/// Peers known from hearsay; likewise. Our choice: a hundred responses full of strangers.
pub const HEARSAY_MAX: usize = 2048;
/// Addresses of one peer. Our choice: few honest peers have more.
pub const ADDRESSES_MAX: usize = 8;
/// Longest address in bytes. Our choice: a name of full length and two peer ids.
pub const ADDRESS_BYTES_MAX: usize = 384;

/// See the module's text. Shared by the driver and the network.
#[derive(Debug)]
pub struct Book {
    own: PeerId,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    known: Page,
    hearsay: Page,
    /// Configured by the operator, never forgotten.
    pinned: BTreeMap<PeerId, Vec<Multiaddr>>,
    listening: Vec<Multiaddr>,
}

/// Some peers with their addresses, the longest unchanged first out.
#[derive(Debug, Default)]
struct Page {
    peers: BTreeMap<PeerId, Vec<Multiaddr>>,
    order: VecDeque<PeerId>,
}

impl Page {
    fn put(&mut self, max: usize, peer: PeerId, addresses: Vec<Multiaddr>) {
        if self.peers.insert(peer, addresses).is_none() {
            self.order.push_back(peer);
        }
        if self.order.len() > max
            && let Some(oldest) = self.order.pop_front()
        {
            self.peers.remove(&oldest);
        }
    }

    fn get(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |addresses| addresses)
    }
}

impl Book {
    /// An empty book of the peer `own`.
    pub fn new(own: PeerId) -> Self {
        Self { own, pages: Mutex::default() }
    }

    /// Notes a configured address.
    pub fn pin(&self, peer: PeerId, address: Multiaddr) {
        if peer != self.own {
            let mut pages = self.pages();
            let addresses = pages.pinned.entry(peer).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }

    /// A connected peer says where it listens.
    pub fn identified(&self, peer: PeerId, addresses: &[Multiaddr]) {
        let addresses = usable(addresses.iter().cloned());
        if peer != self.own && !addresses.is_empty() {
            self.pages().known.put(KNOWN_MAX, peer, addresses);
        }
    }

    /// A connection to this address was made.
    pub fn reached(&self, peer: PeerId, address: &Multiaddr) {
        let mut pages = self.pages();
        let mut addresses = pages.known.get(&peer).to_vec();
        let Some(address) = usable([address.clone()]).pop() else { return };
        if peer != self.own && !addresses.contains(&address) {
            addresses.insert(0, address);
            addresses.truncate(ADDRESSES_MAX);
            pages.known.put(KNOWN_MAX, peer, addresses);
        }
    }

    /// Somebody names a peer and its addresses, in binary form.
    pub fn heard(&self, peer: PeerId, addresses: &[Vec<u8>]) {
        let fit = addresses.iter().filter(|bytes| bytes.len() <= ADDRESS_BYTES_MAX);
        let addresses = usable(fit.filter_map(|bytes| Multiaddr::try_from(bytes.clone()).ok()));
        if peer != self.own && !addresses.is_empty() {
            self.pages().hearsay.put(HEARSAY_MAX, peer, addresses);
        }
    }

    /// Where this node listens.
    pub fn set_listening(&self, addresses: Vec<Multiaddr>) {
        self.pages().listening = addresses;
    }

    /// Where a peer may be reached, the most trustworthy address first.
    pub fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let pages = self.pages();
        if *peer == self.own {
            return pages.listening.clone();
        }
        let mut all = pages.pinned.get(peer).cloned().unwrap_or_default();
        for address in pages.known.get(peer).iter().chain(pages.hearsay.get(peer)) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all.truncate(2 * ADDRESSES_MAX);
        all
    }

    /// The first IP address a peer is known by.
    pub fn ip(&self, peer: &PeerId) -> Option<IpAddr> {
        self.addresses(peer).iter().find_map(ip_of)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses that a dialler can make anything of, without the peer id at their end, each once.
fn usable(addresses: impl IntoIterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    let mut fit: Vec<Multiaddr> = Vec::new();
    for mut address in addresses {
        if let Some(Protocol::P2p(_)) = address.iter().last() {
            address.pop();
        }
        if address.len() <= ADDRESS_BYTES_MAX && is_dialable(&address) && !fit.contains(&address) {
            fit.push(address);
        }
        if fit.len() == ADDRESSES_MAX {
            break;
        }
    }
    fit
}

/// Whether this is an address or name with a TCP port, or a UDP port for QUIC: no relays, no other transports.
fn is_dialable(address: &Multiaddr) -> bool {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    match &parts[..] {
        [Protocol::Ip4(ip), rest @ ..] => !ip.is_unspecified() && is_transport(rest),
        [Protocol::Ip6(ip), rest @ ..] => !ip.is_unspecified() && is_transport(rest),
        [Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_), rest @ ..] => is_transport(rest),
        _ => false,
    }
}

fn is_transport(rest: &[Protocol<'_>]) -> bool {
    match rest {
        [Protocol::Tcp(port)] => *port != 0,
        [Protocol::Udp(port), Protocol::QuicV1] => *port != 0 && cfg!(feature = "quic"),
        _ => false,
    }
}

/// The IP address at the start of an address.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    let first = address.iter().next()?;
    if let Protocol::Ip4(ip) = first {
        return Some(ip.into());
    }
    if let Protocol::Ip6(ip) = first { Some(ip.to_canonical()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u16) -> PeerId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        PeerId::from_public_key(key)
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn hearsay_pushes_out_nothing_but_hearsay() {
        let book = Book::new(peer(0));
        book.identified(peer(1), &[address("/ip4/1.2.3.4/tcp/1")]);
        book.pin(peer(2), address("/dns4/example.org/tcp/2"));
        book.heard(peer(3), &[address("/ip4/1.2.3.4/tcp/3").to_vec()]);
        for n in 0..HEARSAY_MAX as u16 {
            book.heard(peer(1000 + n), &[address("/ip4/9.9.9.9/tcp/9").to_vec()]);
        }
        assert_eq!(book.addresses(&peer(1)), [address("/ip4/1.2.3.4/tcp/1")]);
        assert_eq!(book.addresses(&peer(2)), [address("/dns4/example.org/tcp/2")]);
        assert_eq!(book.addresses(&peer(3)), []);
        assert_eq!(book.pages().hearsay.order.len(), HEARSAY_MAX);
        assert_eq!(book.pages().hearsay.peers.len(), HEARSAY_MAX);
    }

    #[test]
    fn only_what_can_be_dialled_is_kept() {
        let book = Book::new(peer(0));
        let id = libp2p::PeerId::random();
        let all = [
            address("/ip4/0.0.0.0/tcp/1"),
            address("/ip4/1.2.3.4/tcp/0"),
            address("/ip4/1.2.3.4/udp/1"),
            address("/ip4/1.2.3.4/tcp/1/ws"),
            address(&format!("/ip4/1.2.3.4/tcp/1/p2p/{id}")),
            address("/ip4/1.2.3.4/tcp/1"),
            address(&format!("/ip4/1.2.3.4/tcp/1/p2p/{id}/p2p-circuit")),
            address("/memory/7"),
        ];
        book.identified(peer(1), &all);
        assert_eq!(book.addresses(&peer(1)), [address("/ip4/1.2.3.4/tcp/1")]);
        assert_eq!(book.ip(&peer(1)), Some([1, 2, 3, 4].into()));
        book.heard(peer(2), &[vec![0xff; 20], vec![], vec![4; 10_000]]);
        assert_eq!(book.addresses(&peer(2)), []);
        let many: Vec<Vec<u8>> =
            (1..50).map(|n| address(&format!("/ip4/1.2.3.4/tcp/{n}")).to_vec()).collect();
        book.heard(peer(2), &many);
        assert_eq!(book.addresses(&peer(2)).len(), ADDRESSES_MAX);
    }

    #[test]
    fn our_own_addresses_are_where_we_listen() {
        let book = Book::new(peer(0));
        book.heard(peer(0), &[address("/ip4/6.6.6.6/tcp/6").to_vec()]);
        book.set_listening(vec![address("/ip4/1.2.3.4/tcp/1")]);
        assert_eq!(book.addresses(&peer(0)), [address("/ip4/1.2.3.4/tcp/1")]);
    }
}
