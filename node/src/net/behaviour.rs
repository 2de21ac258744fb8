//! Which connections are let in, and a handler for each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyperspace_protocol::identity::PeerId;
use libp2p::Multiaddr;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
    THandlerInEvent, ToSwarm,
};

use super::counts::Count;
use super::handler::{CloseMe, Handler};
use super::link::Link;
use super::queue::Bounds;
use super::{Inbox, Shared, book, from_libp2p};

/// See the module's text.
pub struct Behaviour {
    shared: Arc<Shared>,
    inbox: Inbox,
    connections: HashMap<ConnectionId, Place>,
    /// Connections whose handshake is under way.
    pending: HashMap<ConnectionId, Option<IpAddr>>,
    peers: BTreeMap<PeerId, usize>,
    ips: BTreeMap<IpAddr, usize>,
    closing: VecDeque<(libp2p::PeerId, CloseConnection)>,
    waker: Option<Waker>,
}

/// What is known of a connection.
struct Place {
    peer: PeerId,
    /// Whom it is counted for.
    ip: Option<IpAddr>,
    /// Whether it is being closed.
    leaving: bool,
}

/// Why a connection is refused.
#[derive(Debug)]
pub struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

impl Behaviour {
    /// A behaviour whose connections report to `inbox`.
    pub fn new(shared: Arc<Shared>, inbox: Inbox) -> Self {
        Self {
            shared,
            inbox,
            connections: HashMap::new(),
            pending: HashMap::new(),
            peers: BTreeMap::new(),
            ips: BTreeMap::new(),
            closing: VecDeque::new(),
            waker: None,
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, peer: libp2p::PeerId, connection: CloseConnection) {
        let id = from_libp2p(&peer);
        let ends = |conn: ConnectionId, place: &Place| match connection {
            CloseConnection::All => id == Some(place.peer),
            CloseConnection::One(one) => conn == one,
        };
        let ending = self.connections.iter_mut().filter(|(conn, place)| ends(**conn, place));
        ending.for_each(|(_, place)| place.leaving = true);
        self.closing.push_back((peer, connection));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether all connections with a peer are being closed.
    pub fn is_leaving(&self, peer: &libp2p::PeerId) -> bool {
        let id = from_libp2p(peer);
        self.connections.values().filter(|place| id == Some(place.peer)).all(|place| place.leaving)
    }

    fn refuse(&self, why: &'static str) -> ConnectionDenied {
        self.shared.counts.add(Count::Refused);
        ConnectionDenied::new(Refused(why))
    }

    /// What an address counts for: an IPv4 address, or the first 64 bits of an IPv6 address, because whoever has one of
    /// those has all that begin like it. Loopback is not counted: many nodes of one machine share it.
    fn counted(address: &Multiaddr) -> Option<IpAddr> {
        let ip = book::ip_of(address)?.to_canonical();
        let counted = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        };
        (!ip.is_loopback()).then_some(counted)
    }

    fn check_place(&self, address: &Multiaddr) -> Result<(), ConnectionDenied> {
        let settings = &self.shared.settings;
        if self.connections.len() >= settings.connections_max {
            return Err(self.refuse("this node has all the connections that it may have"));
        }
        let of_ip = Self::counted(address).and_then(|ip| self.ips.get(&ip)).copied().unwrap_or_default();
        if of_ip >= settings.connections_per_ip {
            return Err(self.refuse("this IP address has all the connections that it may have"));
        }
        Ok(())
    }

    fn admit(
        &mut self,
        conn: ConnectionId,
        peer: libp2p::PeerId,
        address: &Multiaddr,
        outbound: bool,
    ) -> Result<Handler, ConnectionDenied> {
        let Some(peer) = from_libp2p(&peer) else { return Err(self.refuse("only Ed25519 keys are taken")) };
        if self.shared.is_banned(&peer) {
            return Err(self.refuse("this peer misbehaved a short while ago"));
        }
        self.check_place(address)?;
        let settings = &self.shared.settings;
        if self.peers.get(&peer).is_some_and(|count| *count >= settings.connections_per_peer) {
            return Err(self.refuse("this peer has all the connections that it may have"));
        }
        let ip = Self::counted(address);
        self.connections.insert(conn, Place { peer, ip, leaving: false });
        *self.peers.entry(peer).or_default() += 1;
        if let Some(ip) = ip {
            *self.ips.entry(ip).or_default() += 1;
        }
        let bounds =
            Bounds { frames: settings.queue_frames, bytes: settings.queue_bytes, stall: settings.stall };
        let link = Arc::new(Link::new(conn, peer, outbound, address, bounds));
        Ok(Handler::new(link, Arc::clone(&self.shared), self.inbox.clone()))
    }

    /// A handshake is done, or will not be.
    fn no_longer_pending(&mut self, conn: ConnectionId) {
        if let Some(Some(ip)) = self.pending.remove(&conn) {
            leave(&mut self.ips, ip);
        }
    }

    fn forget(&mut self, conn: ConnectionId) {
        self.no_longer_pending(conn);
        let Some(Place { peer, ip, .. }) = self.connections.remove(&conn) else { return };
        leave(&mut self.peers, peer);
        if let Some(ip) = ip {
            leave(&mut self.ips, ip);
        }
    }
}

fn leave<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        conn: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // Before a handshake is paid for.
        self.check_place(remote)?;
        if self.pending.len() >= self.shared.settings.handshakes_max {
            return Err(self.refuse("too many handshakes are under way"));
        }
        let ip = Self::counted(remote);
        self.pending.insert(conn, ip);
        if let Some(ip) = ip {
            *self.ips.entry(ip).or_default() += 1;
        }
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        conn: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.no_longer_pending(conn);
        self.admit(conn, peer, remote, false)
    }

    fn handle_established_outbound_connection(
        &mut self,
        conn: ConnectionId,
        peer: libp2p::PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.admit(conn, peer, address, true)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) = event {
            self.forget(connection_id);
        } else if let FromSwarm::DialFailure(failed) = event {
            // Another behaviour may have refused it after us.
            self.forget(failed.connection_id);
        } else if let FromSwarm::ListenFailure(failed) = event {
            self.forget(failed.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, peer: libp2p::PeerId, conn: ConnectionId, _: CloseMe) {
        // A banned peer goes with all its connections, a slow one with the one that is stuck.
        let all = from_libp2p(&peer).is_none_or(|peer| self.shared.is_banned(&peer));
        self.close(peer, if all { CloseConnection::All } else { CloseConnection::One(conn) });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        if let Some((peer_id, connection)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_who_can_have_them() {
        let counted = |ip: &str| {
            let protocol = if ip.contains(':') { "ip6" } else { "ip4" };
            let address = format!("/{protocol}/{ip}/tcp/1").parse().expect("an address");
            Behaviour::counted(&address).map(|ip| ip.to_string())
        };
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
        ] {
            assert_eq!(counted(one) == counted(other), same, "{one} {other}");
        }
        assert_eq!((counted("127.0.0.1"), counted("::1"), counted("::ffff:127.0.0.1")), (None, None, None));
    }
}
