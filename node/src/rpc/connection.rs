//! One client: its messages, the calls they make, and why it ends.

use std::collections::VecDeque;
use std::error::Error as _;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::future::join_all;
use futures::{FutureExt, Stream, StreamExt};
use hyperspace_protocol::primitive::{Call, CallId, Caller, ClientId, Code, Error, Tier};
use hyperspace_protocol::rpc::{self, Id, Incoming, Item, Request};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::Backend;
use super::bucket::Bucket;
use super::clients::{Client, Clients};
use super::config::{RpcConfig, RpcLimits};
use super::metrics::Metrics;
use super::outbox::{Outbox, Outgoing};
use super::seats::{Seat, Seats};

/// How long the last messages and the closing handshake may each take. Our choice.
const FAREWELL: Duration = Duration::from_secs(1);

/// Messages of one connection that are carried out at once take up at most this many of the longest. Our choice.
const FRAMES_AT_ONCE: usize = 4;

/// What all connections of a server share.
pub(super) struct Shared<B> {
    pub(super) backend: Arc<B>,
    pub(super) config: RpcConfig,
    pub(super) clients: Clients,
    pub(super) metrics: Metrics,
    /// Becomes true when the server is to stop.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) next_client: AtomicU64,
    pub(super) next_call: AtomicU64,
    pub(super) seats: Seats,
}

/// A client that was let in.
pub(super) struct Visiting {
    pub(super) tier: Tier,
    pub(super) key: u64,
    pub(super) place: Arc<OwnedSemaphorePermit>,
    pub(super) seat: Option<Seat>,
}

/// How a connection ends.
enum End {
    /// The client went, or the network did.
    Gone,
    /// We close it, with a code of RFC 6455 and a reason.
    Close(u16, &'static str),
}

/// Serves one client until it goes or is closed.
pub(super) async fn serve<B: Backend>(socket: WebSocket, shared: Arc<Shared<B>>, visiting: Visiting) {
    let limits = shared.config.limits;
    let id = ClientId(shared.next_client.fetch_add(1, Ordering::Relaxed));
    let (outbox, outgoing) = Outbox::new(limits.outgoing_bytes, limits.slow_reader);
    let outbox = Arc::new(outbox);
    let client = shared.clients.enter(id, outbox.clone());
    let connected = (shared.metrics.connected(), Left { shared: &shared, id });
    let session = Arc::new(Session {
        shared: shared.clone(),
        caller: Caller { client: id, tier: visiting.tier, key: visiting.key },
        outbox: outbox.clone(),
        requests: Semaphore::new(limits.in_flight),
        _place: visiting.place,
        _seat: visiting.seat,
    });
    let mut reader = Reader::new(session, client, &limits);
    let went = converse(socket, &mut reader, &outbox, outgoing).await;
    // The socket is closed by now, and tools of the client are not asked any more.
    drop(connected);
    if went {
        reader.finish(limits.shutdown).await;
    }
}

/// Reads and writes until the connection ends. Whether the client went of itself.
async fn converse<B: Backend>(
    socket: WebSocket,
    reader: &mut Reader<B>,
    outbox: &Outbox,
    outgoing: Outgoing,
) -> bool {
    let shared = reader.session.shared.clone();
    let (sink, mut stream) = socket.split();
    let mut writer = pin!(outgoing.send_all(sink, |bytes| shared.metrics.sent(bytes)));
    let end = tokio::select! {
        end = reader.run(&mut stream) => end,
        () = &mut writer => End::Gone,
        () = outbox.stuck() => End::Close(1013, "slow reader"),
    };
    let End::Close(code, reason) = end else {
        outbox.give_up();
        return true;
    };
    shared.metrics.closed(reason);
    outbox.close(code, reason);
    if timeout(FAREWELL, writer).await.is_ok() {
        // Until the client's own close, which ends the stream.
        let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = stream.next().await {} }).await;
    }
    false
}

/// The client's tools are not asked any more, also if the connection's task is aborted.
struct Left<'s, B: Backend> {
    shared: &'s Shared<B>,
    id: ClientId,
}

impl<B: Backend> Drop for Left<'_, B> {
    fn drop(&mut self) {
        self.shared.clients.leave(self.id);
    }
}

/// What the calls of one client need, some of which outlive its connection.
struct Session<B: Backend> {
    shared: Arc<Shared<B>>,
    caller: Caller,
    outbox: Arc<Outbox>,
    /// One permit for each request that may be carried out at once.
    requests: Semaphore,
    /// The connection's place is taken while its calls go on.
    _place: Arc<OwnedSemaphorePermit>,
    _seat: Option<Seat>,
}

impl<B: Backend> Drop for Session<B> {
    /// Nothing can come of the client any more: a call of it that registers a tool is not overtaken by this.
    fn drop(&mut self) {
        self.shared.backend.client_gone(self.caller.client);
    }
}

/// A message that is to be carried out.
struct Frame {
    bytes: usize,
    batch: bool,
    todos: Vec<Todo>,
}

enum Todo {
    Call(Request),
    /// A reply that is known already.
    Say(String),
}

impl<B: Backend> Session<B> {
    fn refusal(&self, id: &Id, error: Error) -> String {
        self.shared.metrics.error(&error);
        rpc::reply(id, &Err(error))
    }

    async fn carry_out(self: Arc<Self>, frame: Frame, slot: Slot) {
        let mut replies =
            join_all(frame.todos.into_iter().map(|todo| self.answer(todo))).await.into_iter().flatten();
        let reply = if frame.batch { rpc::batch(replies) } else { replies.next() };
        if let Some(reply) = reply {
            self.outbox.push(reply).await;
        }
        drop(slot);
    }

    async fn answer(&self, todo: Todo) -> Option<String> {
        let request = match todo {
            Todo::Say(reply) => return Some(reply),
            Todo::Call(request) => request,
        };
        let _turn = self.requests.acquire().await.expect("never closed");
        let Request { id, method, params } = request;
        let begun = Instant::now();
        let call = Call {
            id: CallId(self.shared.next_call.fetch_add(1, Ordering::Relaxed)),
            caller: self.caller.clone(),
            method: method.as_str().into(),
            params,
        };
        let called = AssertUnwindSafe(async { self.shared.backend.call(call).await }).catch_unwind().await;
        let result = called
            .map_or_else(|_| Err(Error::new(Code::Internal, "the call failed")), |answer| answer.result);
        self.shared.metrics.called(&method, begun.elapsed().as_secs_f64());
        if let Err(error) = &result {
            self.shared.metrics.error(error);
        }
        id.map(|id| rpc::reply(&id, &result))
    }
}

/// Ends when the server is to stop. Gives the lock that `wait_for` returns back at once.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How many messages may be carried out at once, and how long they may be together.
struct Admission {
    frames: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    most: u32,
    most_bytes: u32,
}

/// The room that a message takes up until it is answered.
type Slot = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Admission {
    fn new(limits: &RpcLimits) -> Self {
        // Checked to be far below 2^32, by `RpcConfig::check`.
        let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (most, most_bytes) =
            (clamp(limits.in_flight), clamp(limits.frame_bytes.saturating_mul(FRAMES_AT_ONCE)));
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { frames: semaphore(most), bytes: semaphore(most_bytes), most, most_bytes }
    }

    async fn slot(&self, bytes: usize) -> Slot {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most_bytes);
        let frame = self.frames.clone().acquire_owned().await.expect("never closed");
        (frame, self.bytes.clone().acquire_many_owned(bytes).await.expect("never closed"))
    }

    /// Ends when nothing is carried out.
    async fn idle(&self) {
        drop(self.frames.acquire_many(self.most).await.expect("never closed"));
    }
}

/// Takes what a client sends.
struct Reader<B: Backend> {
    session: Arc<Session<B>>,
    client: Arc<Client>,
    limits: RpcLimits,
    bucket: Bucket,
    admission: Admission,
    /// Read, but not yet begun, with their bytes. Bounded by [`Reader::has_room`].
    parked: VecDeque<Frame>,
    parked_bytes: usize,
    stopping: bool,
}

impl<B: Backend> Reader<B> {
    fn new(session: Arc<Session<B>>, client: Arc<Client>, limits: &RpcLimits) -> Self {
        Self {
            session,
            client,
            limits: *limits,
            bucket: Bucket::new(limits.rate, limits.burst, Instant::now()),
            admission: Admission::new(limits),
            parked: VecDeque::new(),
            parked_bytes: 0,
            stopping: false,
        }
    }

    /// Whether another message may be read.
    fn has_room(&self) -> bool {
        self.parked.len() < self.limits.in_flight && self.parked_bytes < self.limits.frame_bytes
    }

    async fn run(&mut self, stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin)) -> End {
        let mut stop = self.session.shared.stop.clone();
        let mut ping = interval_at(Instant::now() + self.limits.ping, self.limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        loop {
            let bytes = self.parked.front().map(|frame| frame.bytes);
            tokio::select! {
                slot = self.admission.slot(bytes.unwrap_or(0)), if bytes.is_some() => self.begin(slot),
                message = stream.next(), if self.has_room() => {
                    silent = 0;
                    ping.reset();
                    if let ControlFlow::Break(end) = self.take(message).await {
                        return end;
                    }
                }
                // While we do not read, no pong can be seen.
                _ = ping.tick(), if self.has_room() => {
                    if silent == 2 {
                        return End::Close(1001, "no answer to pings");
                    }
                    silent += 1;
                    self.session.outbox.ping();
                }
                () = stopped(&mut stop) => break,
            }
        }
        self.stopping = true;
        let wait = tokio::time::sleep(self.limits.shutdown);
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                () = self.admission.idle() => break,
                () = &mut wait => break,
                message = stream.next() => {
                    if let ControlFlow::Break(end) = self.take(message).await {
                        return end;
                    }
                }
            }
        }
        End::Close(1001, "the node stops")
    }

    /// Carries out what was read before the client went: notifications among it are as good as any.
    async fn finish(&mut self, patience: Duration) {
        let _ = timeout(patience, async {
            while let Some(frame) = self.parked.front() {
                let slot = self.admission.slot(frame.bytes).await;
                self.begin(slot);
            }
        })
        .await;
    }

    /// Begins the message that has waited longest.
    fn begin(&mut self, slot: Slot) {
        if let Some(frame) = self.parked.pop_front() {
            self.parked_bytes -= frame.bytes;
            tokio::spawn(self.session.clone().carry_out(frame, slot));
        }
    }

    async fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> ControlFlow<End> {
        match message {
            Some(Ok(Message::Text(text))) => self.take_text(&text).await,
            Some(Ok(Message::Binary(bytes))) => match str::from_utf8(&bytes) {
                Ok(text) => self.take_text(text).await,
                Err(_) => self.say(Error::new(Code::ParseError, "the frame is not UTF-8")).await,
            },
            // The library answers both; the stream ends after a close.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
            Some(Err(error)) => return ControlFlow::Break(self.broken(error).await),
            None => return ControlFlow::Break(End::Gone),
        }
        ControlFlow::Continue(())
    }

    async fn broken(&self, error: axum::Error) -> End {
        use tungstenite::Error as E;
        match error.source().and_then(|source| source.downcast_ref::<E>()) {
            Some(E::Capacity(_)) => {
                let most = self.limits.frame_bytes;
                self.say(Error::new(
                    Code::InvalidRequest,
                    format!("the message is longer than {most} bytes"),
                ))
                .await;
                End::Close(1009, "message too long")
            }
            Some(E::Utf8(_)) => {
                self.say(Error::new(Code::ParseError, "the frame is not UTF-8")).await;
                End::Close(1007, "not UTF-8")
            }
            Some(E::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => End::Gone,
            Some(E::Protocol(_)) => End::Close(1002, "not WebSocket"),
            _ => End::Gone,
        }
    }

    /// Sends an error about something that has no id.
    async fn say(&self, error: Error) {
        let reply = self.session.refusal(&Id::null(), error);
        self.session.outbox.push(reply).await;
    }

    async fn take_text(&mut self, text: &str) {
        self.session.shared.metrics.received(text.len());
        let limits = rpc::Limits { depth: self.limits.depth, batch: self.limits.batch };
        let (batch, items) = match rpc::parse(text, &limits) {
            Incoming::One(item) => (false, vec![item]),
            Incoming::Batch(items) => (true, items),
        };
        let todos = items.into_iter().filter_map(|item| self.consider(item)).collect::<Vec<_>>();
        let frame = Frame { bytes: text.len(), batch, todos };
        if frame.todos.iter().any(|todo| matches!(todo, Todo::Call(_))) {
            self.parked_bytes += frame.bytes;
            self.parked.push_back(frame);
            return;
        }
        // Nothing to carry out. Waiting here for room in the outbox is what holds back who sends nothing but mistakes.
        let mut replies = frame.todos.into_iter().filter_map(|todo| match todo {
            Todo::Say(reply) => Some(reply),
            Todo::Call(_) => None,
        });
        if let Some(reply) = if batch { rpc::batch(replies) } else { replies.next() } {
            self.session.outbox.push(reply).await;
        }
    }

    /// What is to be done about one object of a message.
    fn consider(&mut self, item: Item) -> Option<Todo> {
        match item {
            Item::Response(response) => {
                self.client.answered(response);
                None
            }
            // New work would only delay the end; the client learns by the close that it was not done.
            _ if self.stopping => None,
            Item::Ignored => {
                let _ = self.bucket.take(Instant::now());
                None
            }
            Item::Refused(id, error) => {
                let _ = self.bucket.take(Instant::now());
                Some(Todo::Say(self.session.refusal(&id, error)))
            }
            Item::Request(request) => match (self.bucket.take(Instant::now()), request.id.as_ref()) {
                (Ok(()), _) => Some(Todo::Call(request)),
                (Err(_), None) => None,
                (Err(wait), Some(id)) => {
                    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
                    let error = Error::new(Code::RateLimited, "too many requests on this connection")
                        .with(json!({ "retryAfterMs": millis }));
                    Some(Todo::Say(self.session.refusal(id, error)))
                }
            },
        }
    }
}
