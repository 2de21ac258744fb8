//! One connection as the driver and the connection's own task share it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::task::AtomicWaker;
use hyperspace_protocol::identity::PeerId;
use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use super::queue::{Bounds, SendQueue};
use crate::message::IdForm;

/// Requests that may wait for a stream of one connection, beside those on their way. Our choice.
pub const ASKS_WAITING_MAX: usize = 64;

/// A request on its way out.
#[derive(Debug)]
pub struct Ask {
    /// The driver's number of it.
    pub ticket: u64,
    /// Its place in the list of protocols.
    pub protocol: usize,
    /// What is sent.
    pub body: Vec<u8>,
    /// Whether an answer is due.
    pub wants_answer: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    /// The connection's name.
    pub conn: ConnectionId,
    /// The other end.
    pub peer: PeerId,
    /// Whether we dialled.
    pub outbound: bool,
    /// The other end's IP address; unspecified if the transport has none.
    pub ip: IpAddr,
    /// Gossip on its way out.
    pub queue: SendQueue,
    asks: Mutex<VecDeque<Ask>>,
    waker: AtomicWaker,
    /// 0 unknown, 1 binary, 2 text.
    form: AtomicU8,
}

impl Link {
    /// A new connection.
    pub fn new(
        conn: ConnectionId,
        peer: PeerId,
        outbound: bool,
        address: &Multiaddr,
        bounds: Bounds,
    ) -> Self {
        let ip = super::book::ip_of(address).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        Self {
            conn,
            peer,
            outbound,
            ip,
            queue: SendQueue::new(bounds),
            asks: Mutex::default(),
            waker: AtomicWaker::new(),
            form: AtomicU8::new(0),
        }
    }

    /// Wants a request sent. Gives it back if too many wait.
    pub fn ask(&self, ask: Ask) -> Result<(), Ask> {
        let mut asks = self.asks();
        if asks.len() >= ASKS_WAITING_MAX {
            return Err(ask);
        }
        asks.push_back(ask);
        drop(asks);
        self.waker.wake();
        Ok(())
    }

    /// Takes the next request; `waker` is told when there is one.
    pub fn next_ask(&self, waker: &Waker) -> Option<Ask> {
        self.waker.register(waker);
        self.asks().pop_front()
    }

    /// Whether requests wait.
    pub fn is_asking(&self) -> bool {
        !self.asks().is_empty()
    }

    /// How the peer spells message ids, by what it sent or said of itself.
    pub fn form(&self) -> IdForm {
        if self.form.load(Ordering::Relaxed) == 2 { IdForm::Text } else { IdForm::Binary }
    }

    /// The peer has sent an id in this form.
    pub fn learn_form(&self, form: IdForm) {
        self.form.store(if form == IdForm::Text { 2 } else { 1 }, Ordering::Relaxed);
    }

    /// The peer's program uses this form by default: believed until it sends an id.
    pub fn guess_form(&self, form: IdForm) {
        let guess = if form == IdForm::Text { 2 } else { 1 };
        let _ = self.form.compare_exchange(0, guess, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn asks(&self) -> MutexGuard<'_, VecDeque<Ask>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
