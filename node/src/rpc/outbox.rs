//! What waits to be sent on one connection, bounded in bytes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use futures::{Sink, SinkExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Where messages to a client are put.
pub(super) struct Outbox {
    queue: mpsc::UnboundedSender<Queued>,
    /// One permit for each byte that may wait: what bounds the queue.
    space: Arc<Semaphore>,
    capacity: u32,
    patience: Duration,
    stuck: Notify,
}

/// Where they are taken out.
pub(super) struct Outgoing(mpsc::UnboundedReceiver<Queued>);

struct Queued(Message, Option<OwnedSemaphorePermit>);

impl Outbox {
    /// An outbox of `capacity` bytes in which a message waits for its room for `patience` at most.
    pub(super) fn new(capacity: usize, patience: Duration) -> (Self, Outgoing) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        let space = Arc::new(Semaphore::new(capacity as usize));
        (Self { queue, space, capacity, patience, stuck: Notify::new() }, Outgoing(outgoing))
    }

    /// Puts a text in, once there is room; one longer than the outbox waits until all of it is free. `false` if the
    /// connection is over or the client does not read.
    pub(super) async fn push(&self, text: String) -> bool {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX).clamp(1, self.capacity);
        match timeout(self.patience, self.space.clone().acquire_many_owned(bytes)).await {
            Ok(Ok(room)) => self.queue.send(Queued(Message::Text(text.into()), Some(room))).is_ok(),
            Ok(Err(_)) => false,
            Err(_) => {
                self.stuck.notify_one();
                false
            }
        }
    }

    /// Puts a ping in. The caller bounds how many there are.
    pub(super) fn ping(&self) {
        let _ = self.queue.send(Queued(Message::Ping(Vec::new().into()), None));
    }

    /// Puts the last message in: what comes later is dropped.
    pub(super) fn close(&self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.queue.send(Queued(Message::Close(Some(frame)), None));
        self.space.close();
    }

    /// Drops what comes from now on.
    pub(super) fn give_up(&self) {
        self.space.close();
    }

    /// Ends when a message did not find room in time.
    pub(super) async fn stuck(&self) {
        self.stuck.notified().await;
    }
}

impl Outgoing {
    /// Sends everything up to the message that closes, or until the connection breaks.
    pub(super) async fn send_all(mut self, mut sink: impl Sink<Message> + Unpin, sent: impl Fn(usize)) {
        while let Some(Queued(message, _room)) = self.0.recv().await {
            let last = matches!(message, Message::Close(_));
            let bytes = if let Message::Text(text) = &message { text.len() } else { 0 };
            if sink.send(message).await.is_err() || last {
                return;
            }
            sent(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes() {
        let (outbox, mut outgoing) = Outbox::new(10, Duration::from_millis(50));
        assert!(outbox.push("123456".into()).await);
        assert!(outbox.push("1234".into()).await);
        assert!(!outbox.push("1".into()).await);
        outbox.stuck().await;
        let room = outgoing.0.recv().await;
        let (longer, ()) = tokio::join!(outbox.push("1".repeat(50)), async {
            drop(room);
            outgoing.0.recv().await;
        });
        assert!(longer, "waits until everything is sent");
        outbox.close(1000, "");
        assert!(!outbox.push("1".into()).await);
    }
}
