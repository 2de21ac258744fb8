//! What runs on one connection: one long-lived gossip stream out, the remote's gossip streams in, and a stream for each
//! request either way.
//!
//! Streams are read no faster than the driver takes what comes in: every task here waits for room in the driver's inbox.
//! What a remote may open at once is bounded per connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::io::BufReader;
use futures::stream::FuturesUnordered;
use futures::{AsyncWriteExt, FutureExt, SinkExt, StreamExt};
use hyperspace_protocol::gossip::Version;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::counts::Count;
use super::frames::{Held, ReadError, read_frame, read_frame_within, write_frame};
use super::link::{Ask, Link};
use super::{AskError, Inbox, NetEvent, Reply, Shared, Spec, gossip};

/// GossipSub's protocol ids, the best first.
pub const MESHSUB: [(&str, Version); 3] =
    [("/meshsub/1.2.0", Version::V1_2), ("/meshsub/1.1.0", Version::V1_1), ("/meshsub/1.0.0", Version::V1_0)];

/// Gossip streams that the remote may have open at once: a second one replaces the first at stock peers, whose end we may
/// not have seen yet.
const GOSSIP_IN_MAX: usize = 3;

/// How often the outbound gossip stream is opened anew after it broke, before the connection is given up.
const GOSSIP_OUT_ATTEMPTS: u32 = 5;

/// How long a request stream of the remote may lie idle between two requests: go-libp2p uses one stream for several.
const IDLE_STREAM: Duration = Duration::from_secs(60);

/// Offers protocols and hands over the bare stream.
#[derive(Clone, Debug)]
pub struct Offer(Arc<[StreamProtocol]>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Vec<StreamProtocol> {
        self.0.to_vec()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

/// The connection is to be closed: the peer is banned or does not read.
#[derive(Clone, Copy, Debug)]
pub struct CloseMe;

/// What an outbound stream is for.
#[derive(Debug)]
pub enum Purpose {
    /// Gossip, for as long as the connection lives.
    Gossip,
    /// One request.
    Ask(Ask),
}

/// What a task came to.
enum Done {
    Opened,
    GossipIn,
    /// Whether the peer did not read in time.
    GossipOut {
        stalled: bool,
    },
    Served,
    Asked,
    Told,
    /// A stream of the peer was garbage, and the peer is banned by now.
    Banned(Box<Self>),
}

/// How far a connection has come; tasks wait for the stage they need.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    New,
    Opened,
    /// The driver knows that gossip may come.
    Gossip,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GossipOut {
    Wanted,
    Opening,
    Open,
    Unsupported,
}

/// See the module's text.
pub struct Handler {
    link: Arc<Link>,
    shared: Arc<Shared>,
    inbox: Inbox,
    listen: Offer,
    tasks: FuturesUnordered<BoxFuture<'static, Done>>,
    stage: watch::Sender<Stage>,
    gossip_out: GossipOut,
    failures: u32,
    gossip_in: usize,
    serving: usize,
    asking: usize,
    closing: VecDeque<CloseMe>,
}

impl Handler {
    /// A handler for this connection.
    pub(super) fn new(link: Arc<Link>, shared: Arc<Shared>, inbox: Inbox) -> Self {
        let requests = shared.specs.iter().filter(|spec| spec.serve).map(|spec| spec.name.clone());
        let listen: Vec<_> =
            MESHSUB.iter().map(|(name, _)| StreamProtocol::new(name)).chain(requests).collect();
        let tasks = FuturesUnordered::new();
        let (mut to, opened) = (inbox.clone(), NetEvent::Opened(Arc::clone(&link)));
        tasks.push(async move { to.send(opened).map(|_| Done::Opened).await }.boxed());
        Self {
            link,
            shared,
            inbox,
            listen: Offer(listen.into()),
            tasks,
            stage: watch::Sender::new(Stage::New),
            gossip_out: GossipOut::Wanted,
            failures: 0,
            gossip_in: 0,
            serving: 0,
            asking: 0,
            closing: VecDeque::new(),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Opened => {
                self.stage.send_replace(Stage::Opened);
            }
            Done::GossipIn => self.gossip_in -= 1,
            Done::GossipOut { stalled: true } => {
                self.shared.counts.add(Count::Slow);
                self.closing.push_back(CloseMe);
            }
            Done::GossipOut { stalled: false } => self.retry_gossip(),
            Done::Served => self.serving -= 1,
            Done::Asked => self.asking -= 1,
            Done::Told => {}
            Done::Banned(inner) => {
                self.closing.push_back(CloseMe);
                self.done(*inner);
            }
        }
    }

    fn retry_gossip(&mut self) {
        self.failures += 1;
        if self.failures < GOSSIP_OUT_ATTEMPTS {
            self.gossip_out = GossipOut::Wanted;
        } else {
            self.closing.push_back(CloseMe);
        }
    }

    fn on_inbound(&mut self, stream: Stream, name: &StreamProtocol) {
        if MESHSUB.iter().any(|(mesh, _)| *mesh == name.as_ref()) {
            if self.gossip_in < GOSSIP_IN_MAX {
                self.gossip_in += 1;
                let (link, shared) = (Arc::clone(&self.link), Arc::clone(&self.shared));
                let (inbox, stage) = (self.inbox.clone(), self.stage.subscribe());
                self.tasks.push(read_gossip(stream, link, shared, inbox, stage).boxed());
            }
            return;
        }
        let Some(protocol) = self.shared.specs.iter().position(|spec| spec.name == *name) else { return };
        if self.serving >= self.shared.settings.streams_max {
            self.shared.counts.add(Count::RequestsRefused);
            return;
        }
        self.serving += 1;
        let (link, shared) = (Arc::clone(&self.link), Arc::clone(&self.shared));
        let (inbox, stage) = (self.inbox.clone(), self.stage.subscribe());
        self.tasks.push(serve(stream, protocol, link, shared, inbox, stage).boxed());
    }

    fn on_outbound(&mut self, stream: Stream, name: &StreamProtocol, purpose: Purpose) {
        match purpose {
            Purpose::Gossip => {
                self.gossip_out = GossipOut::Open;
                let mesh = MESHSUB.iter().find(|(mesh, _)| *mesh == name.as_ref());
                let version = mesh.map_or(Version::V1_0, |(_, version)| *version);
                let ready = NetEvent::Ready { link: Arc::clone(&self.link), version };
                let (link, stall) = (Arc::clone(&self.link), self.shared.settings.stall);
                let (mut inbox, stage) = (self.inbox.clone(), self.stage.clone());
                let write = async move {
                    // A closed inbox is the node's end; the connection goes with it.
                    let _ = inbox.send(ready).await;
                    stage.send_replace(Stage::Gossip);
                    write_gossip(stream, &link, stall).await
                };
                self.tasks.push(write.boxed());
            }
            Purpose::Ask(ask) => {
                let spec = self.shared.specs[ask.protocol].clone();
                let (ticket, mut inbox) = (ask.ticket, self.inbox.clone());
                let mut held = self.shared.bodies.nothing();
                let asked = async move {
                    let asking = timeout(spec.timeout, exchange(stream, &spec, &ask, &mut held));
                    let result = asking.await.unwrap_or(Err(AskError::Timeout));
                    let _ = inbox.send(NetEvent::Answered { ticket, result, held }).await;
                    Done::Asked
                };
                self.tasks.push(asked.boxed());
            }
        }
    }

    fn on_failed(&mut self, purpose: Purpose, unsupported: bool) {
        match purpose {
            Purpose::Gossip if unsupported => self.gossip_out = GossipOut::Unsupported,
            Purpose::Gossip => self.retry_gossip(),
            Purpose::Ask(ask) => {
                self.asking -= 1;
                let mut inbox = self.inbox.clone();
                let error = if unsupported { AskError::Unsupported } else { AskError::Broken };
                let held = self.shared.bodies.nothing();
                let tell = async move {
                    let failed = NetEvent::Answered { ticket: ask.ticket, result: Err(error), held };
                    inbox.send(failed).map(|_| Done::Told).await
                };
                self.tasks.push(tell.boxed());
            }
        }
    }
}

async fn reach(stage: &mut watch::Receiver<Stage>, wanted: Stage) -> bool {
    stage.wait_for(|stage| *stage >= wanted).await.is_ok()
}

/// What to answer to a stream that broke a rule.
fn offence(error: &ReadError) -> Option<Count> {
    match error {
        ReadError::TooLong => Some(Count::Oversized),
        ReadError::Garbage => Some(Count::Garbage),
        ReadError::Io(_) | ReadError::Crowded => None,
    }
}

async fn read_gossip(
    stream: Stream,
    link: Arc<Link>,
    shared: Arc<Shared>,
    mut inbox: Inbox,
    mut stage: watch::Receiver<Stage>,
) -> Done {
    if !reach(&mut stage, Stage::Gossip).await {
        return Done::GossipIn;
    }
    let mut stream = BufReader::new(stream);
    loop {
        let frame = match read_frame(&mut stream, shared.settings.frame_max()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Done::GossipIn,
            Err(error) => {
                let banned = offence(&error).is_some_and(|what| shared.offend(link.peer, what));
                return if banned { Done::Banned(Box::new(Done::GossipIn)) } else { Done::GossipIn };
            }
        };
        let offence = match gossip::decode(&shared, &link, &frame) {
            Ok((received, offence)) => {
                if inbox.send(NetEvent::Rpc { link: Arc::clone(&link), received }).await.is_err() {
                    return Done::GossipIn;
                }
                offence.map(|what| (what, false))
            }
            Err(what) => Some((what, true)),
        };
        if let Some((what, reset)) = offence {
            if shared.offend(link.peer, what) {
                return Done::Banned(Box::new(Done::GossipIn));
            }
            if reset {
                return Done::GossipIn;
            }
        }
    }
}

async fn write_gossip(mut stream: Stream, link: &Link, stall: Duration) -> Done {
    loop {
        let mut frame = link.queue.next().await;
        let written = timeout(stall, async {
            // Whatever waits goes out before the flush, up to about one window.
            let mut room = 128 * 1024usize;
            loop {
                stream.write_all(frame.as_slice()).await?;
                link.queue.progressed();
                room = room.saturating_sub(frame.as_slice().len());
                match if room > 0 { link.queue.try_next() } else { None } {
                    Some(next) => frame = next,
                    None => return stream.flush().await,
                }
            }
        });
        match written.await {
            Ok(Ok(())) => link.queue.progressed(),
            Ok(Err(_)) => return Done::GossipOut { stalled: false },
            Err(_) => return Done::GossipOut { stalled: true },
        }
    }
}

async fn exchange(mut stream: Stream, spec: &Spec, ask: &Ask, held: &mut Held) -> Result<Vec<u8>, AskError> {
    write_frame(&mut stream, &ask.body).await.map_err(|_| AskError::Broken)?;
    if !ask.wants_answer {
        stream.close().await.map_err(|_| AskError::Broken)?;
        return Ok(Vec::new());
    }
    let answer = match read_frame_within(&mut stream, spec.bytes_max, held).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(AskError::Refused),
        Err(ReadError::Crowded) => return Err(AskError::NoRoom),
        Err(ReadError::Io(_)) => return Err(AskError::Broken),
        Err(ReadError::TooLong | ReadError::Garbage) => return Err(AskError::Garbage),
    };
    // The answer is there, whatever becomes of the stream.
    let _ = stream.close().await;
    Ok(answer)
}

async fn serve(
    mut stream: Stream,
    protocol: usize,
    link: Arc<Link>,
    shared: Arc<Shared>,
    mut inbox: Inbox,
    mut stage: watch::Receiver<Stage>,
) -> Done {
    let spec = &shared.specs[protocol];
    let mut patience = spec.timeout;
    while reach(&mut stage, Stage::Opened).await {
        // For the request as it comes in and then the reply, until that is written.
        let mut held = shared.bodies.nothing();
        let body = match timeout(patience, read_frame_within(&mut stream, spec.bytes_max, &mut held)).await {
            Ok(Ok(Some(body))) => body,
            Ok(Err(ReadError::Crowded)) => {
                shared.counts.add(Count::RequestsRefused);
                return Done::Served;
            }
            Ok(Err(error)) => {
                let banned = offence(&error).is_some_and(|what| shared.offend(link.peer, what));
                return if banned { Done::Banned(Box::new(Done::Served)) } else { Done::Served };
            }
            Ok(Ok(None)) | Err(_) => break,
        };
        let (reply, answer) = oneshot::channel();
        let asked = NetEvent::Asked { link: Arc::clone(&link), protocol, body, reply };
        if inbox.send(asked).await.is_err() {
            break;
        }
        match timeout(spec.timeout, answer).await {
            Ok(Ok(Reply::Answer(body))) => {
                if !held.take(body.len()) {
                    shared.counts.add(Count::RequestsRefused);
                    break;
                }
                if !matches!(timeout(spec.timeout, write_frame(&mut stream, &body)).await, Ok(Ok(()))) {
                    break;
                }
            }
            Ok(Ok(Reply::Nothing)) => {}
            Ok(Err(_)) | Err(_) => break,
        }
        if !spec.repeats {
            break;
        }
        patience = IDLE_STREAM;
    }
    // The remote may have gone already.
    let _ = timeout(spec.timeout, stream.close()).await;
    Done::Served
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = CloseMe;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer, ()> {
        SubstreamProtocol::new(self.listen.clone(), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.asking > 0
            || self.link.is_asking()
            || matches!(self.gossip_out, GossipOut::Wanted | GossipOut::Opening | GossipOut::Open)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Purpose, CloseMe>> {
        loop {
            if let Some(close) = self.closing.pop_front() {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(close));
            }
            if let Poll::Ready(Some(done)) = self.tasks.poll_next_unpin(cx) {
                self.done(done);
                continue;
            }
            if self.gossip_out == GossipOut::Wanted && *self.stage.borrow() >= Stage::Opened {
                self.gossip_out = GossipOut::Opening;
                let mesh: Vec<_> = MESHSUB.iter().map(|(name, _)| StreamProtocol::new(name)).collect();
                let protocol = SubstreamProtocol::new(Offer(mesh.into()), Purpose::Gossip);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            if self.asking < self.shared.settings.streams_max
                && let Some(ask) = self.link.next_ask(cx.waker())
            {
                self.asking += 1;
                let spec = &self.shared.specs[ask.protocol];
                let (name, patience) = (spec.name.clone(), spec.timeout);
                let protocol =
                    SubstreamProtocol::new(Offer([name].into()), Purpose::Ask(ask)).with_timeout(patience);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            return Poll::Pending;
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Purpose>) {
        // More kinds may come with a later libp2p; none of those of today but these concern us.
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
            protocol: (stream, name),
            ..
        }) = event
        {
            self.on_inbound(stream, &name);
        } else if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
            protocol: (stream, name),
            info,
        }) = event
        {
            self.on_outbound(stream, &name, info);
        } else if let ConnectionEvent::DialUpgradeError(failed) = event {
            let unsupported = matches!(failed.error, StreamUpgradeError::NegotiationFailed);
            self.on_failed(failed.info, unsupported);
        }
    }
}
