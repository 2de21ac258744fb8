//! Requests of the node to its clients: `tool.execute` on the socket of the client that registered the tool.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyperspace_protocol::primitive::{ClientId, Execute, Executed};
use hyperspace_protocol::rpc::{Id, Response, request};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::config::RpcLimits;
use super::outbox::Outbox;

/// The clients that are connected. Copies are of the same.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    clients: Mutex<BTreeMap<ClientId, Arc<Client>>>,
    next: AtomicU64,
    patience: Duration,
    at_once: usize,
}

/// One of them, as far as it is asked.
pub(super) struct Client {
    outbox: Arc<Outbox>,
    /// Who waits for which answer; `None` once the client is gone.
    waiting: Mutex<Option<BTreeMap<u64, oneshot::Sender<Executed>>>>,
}

/// No invariant spans a panic under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        let (patience, at_once) = (limits.execute, limits.executes);
        Self(Arc::new(Inner { clients: Mutex::default(), next: AtomicU64::new(1), patience, at_once }))
    }

    /// Asks the client to run a tool of its own. [`Executed::Unavailable`] if it is not connected or goes, does not
    /// answer in time, or is asked as much as it may be already. Dropping the future forgets the answer.
    pub async fn execute(&self, execute: Execute) -> Executed {
        let Some(client) = lock(&self.0.clients).get(&execute.client).cloned() else {
            return Executed::Unavailable;
        };
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        if !client.expect(number, sender, self.0.at_once) {
            return Executed::Unavailable;
        }
        let _expected = Expected { client: &client, number };
        let asked = async {
            if !client.outbox.push(request(&Id::own(number), "tool.execute", &execute.params)).await {
                return Executed::Unavailable;
            }
            answer.await.unwrap_or(Executed::Unavailable)
        };
        timeout(self.0.patience, asked).await.unwrap_or(Executed::Unavailable)
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        lock(&self.0.clients).len()
    }

    /// Whether none is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn enter(&self, id: ClientId, outbox: Arc<Outbox>) -> Arc<Client> {
        let client = Arc::new(Client { outbox, waiting: Mutex::new(Some(BTreeMap::new())) });
        lock(&self.0.clients).insert(id, client.clone());
        client
    }

    pub(super) fn leave(&self, id: ClientId) {
        if let Some(client) = lock(&self.0.clients).remove(&id) {
            // Those who wait learn it by their senders being dropped.
            lock(&client.waiting).take();
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients(<{}>)", self.len())
    }
}

impl Client {
    fn expect(&self, number: u64, sender: oneshot::Sender<Executed>, at_once: usize) -> bool {
        match &mut *lock(&self.waiting) {
            Some(waiting) if waiting.len() < at_once => waiting.insert(number, sender).is_none(),
            Some(_) | None => false,
        }
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<Executed>> {
        lock(&self.waiting).as_mut()?.remove(&number)
    }

    /// Hands an answer to whoever waits for it. Answers to nothing are dropped: they may be late.
    pub(super) fn answered(&self, response: Response) {
        let Some(sender) = response.id.own_number().and_then(|number| self.take(number)) else { return };
        let _ = sender.send(match response.result {
            Ok(result) => Executed::Result(result),
            Err(error) => Executed::Failed(error),
        });
    }
}

/// Nobody waits any longer when this is dropped.
struct Expected<'c> {
    client: &'c Client,
    number: u64,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.client.take(self.number);
    }
}
