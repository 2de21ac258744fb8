//! A peer that keeps no rule: raw streams over libp2p connections, to be fed with anything.

#![allow(unreachable_pub, reason = "what the tests share is all in this binary")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::StreamExt;
use hyperspace_node::net::frames::{read_frame, write_frame};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::wire::pubsub::{ControlMessage, ControlPrune, Message, Rpc, RpcLimits, SubOpts};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    SubstreamProtocol, Swarm, SwarmEvent, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, Stream, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;

use crate::support::{id_of, within};

/// A stream and the protocol it was opened for.
type Opened = (Stream, StreamProtocol);

#[derive(Clone)]
pub struct Names(Vec<StreamProtocol>);

impl UpgradeInfo for Names {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;
    fn protocol_info(&self) -> Vec<StreamProtocol> {
        self.0.clone()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = Opened;
    type Error = Infallible;
    type Future = Ready<Result<Opened, Infallible>>;
    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Names {
    type Output = Opened;
    type Error = Infallible;
    type Future = Ready<Result<Opened, Infallible>>;
    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

pub struct RawHandler {
    takes: Vec<StreamProtocol>,
    opens: Vec<StreamProtocol>,
    inbound: mpsc::UnboundedSender<Opened>,
    outbound: mpsc::UnboundedSender<Opened>,
}

impl ConnectionHandler for RawHandler {
    type FromBehaviour = StreamProtocol;
    type ToBehaviour = Infallible;
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names(self.takes.clone()), ())
    }
    fn connection_keep_alive(&self) -> bool {
        true
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Names, (), Infallible>> {
        match self.opens.pop() {
            Some(name) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Names(vec![name]), ()),
            }),
            None => Poll::Pending,
        }
    }
    fn on_behaviour_event(&mut self, name: StreamProtocol) {
        self.opens.push(name);
    }
    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Names, Names>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) = event {
            let _ = self.inbound.send(protocol);
        } else if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) =
            event
        {
            let _ = self.outbound.send(protocol);
        }
    }
}

pub struct RawBehaviour {
    takes: Vec<StreamProtocol>,
    opens: Vec<StreamProtocol>,
    inbound: mpsc::UnboundedSender<Opened>,
    outbound: mpsc::UnboundedSender<Opened>,
}

impl RawBehaviour {
    fn handler(&mut self) -> RawHandler {
        RawHandler {
            takes: self.takes.clone(),
            opens: self.opens.clone(),
            inbound: self.inbound.clone(),
            outbound: self.outbound.clone(),
        }
    }
}

impl NetworkBehaviour for RawBehaviour {
    type ConnectionHandler = RawHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(self.handler())
    }
    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<RawHandler, ConnectionDenied> {
        Ok(self.handler())
    }
    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}
    fn on_connection_handler_event(&mut self, _: libp2p::PeerId, _: ConnectionId, never: Infallible) {
        match never {}
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// A puppet connected to one node.
pub struct Puppet {
    pub pair: Keypair,
    pub id: PeerId,
    inbound: mpsc::UnboundedReceiver<Opened>,
    outbound: mpsc::UnboundedReceiver<Opened>,
    closed: mpsc::UnboundedReceiver<()>,
    _stop: mpsc::Sender<()>,
}

impl Puppet {
    /// Connects, takes streams of the first protocols and opens one of each of the second.
    pub async fn connect(seed: u8, to: &Multiaddr, takes: &[&'static str], opens: &[&'static str]) -> Self {
        let names =
            |all: &[&'static str]| all.iter().map(|name| StreamProtocol::new(name)).collect::<Vec<_>>();
        let ((inbound, from_in), (outbound, from_out)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let behaviour = RawBehaviour { takes: names(takes), opens: names(opens), inbound, outbound };
        let pair = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).expect("a key");
        let mut swarm: Swarm<RawBehaviour> = SwarmBuilder::with_existing_identity(pair)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|_| behaviour)
            .expect("a behaviour")
            .build();
        swarm.dial(to.clone()).expect("dialled");
        let (tell_closed, closed) = mpsc::unbounded_channel();
        let (stop, mut stopped) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stopped.recv() => return,
                    event = swarm.select_next_some() => {
                        if let SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } = event {
                            let _ = tell_closed.send(());
                        }
                    }
                }
            }
        });
        let (pair, id) = (Keypair::from_seed([seed; 32]), id_of(seed));
        Self { pair, id, inbound: from_in, outbound: from_out, closed, _stop: stop }
    }

    /// The next stream that the node opened.
    pub async fn taken(&mut self) -> Stream {
        within("a stream of the node", self.inbound.recv()).await.expect("connected").0
    }

    /// The next stream of our own.
    pub async fn opened(&mut self) -> Stream {
        within("a stream to the node", self.outbound.recv()).await.expect("connected").0
    }

    /// Whether the node lets this peer in: it opens a stream, or ends the connection.
    pub async fn is_let_in(&mut self) -> bool {
        let either = async {
            tokio::select! {
                opened = self.inbound.recv() => opened.is_some(),
                _ = self.closed.recv() => false,
            }
        };
        within("a stream of the node or the end", either).await
    }

    /// Waits until the node closes the connection, or refuses it.
    pub async fn closed(&mut self) {
        within("the end of the connection", self.closed.recv()).await.expect("told");
    }
}

/// Writes an RPC.
pub async fn send(stream: &mut Stream, rpc: &Rpc) {
    write_frame(stream, &rpc.emit()).await.expect("written");
}

/// Reads RPCs until one is as wanted.
pub async fn receive<R>(stream: &mut Stream, what: &str, mut wanted: impl FnMut(&Rpc) -> Option<R>) -> R {
    within(what, async {
        loop {
            let frame = read_frame(stream, 1 << 20).await.expect("open").expect("not at its end");
            let rpc = Rpc::parse(&frame, &RpcLimits::default()).expect("an RPC");
            if let Some(found) = wanted(&rpc) {
                return found;
            }
        }
    })
    .await
}

/// A subscription.
pub fn subscription(topic: &str) -> Rpc {
    let option = SubOpts { subscribe: Some(true), topicid: Some(topic.to_owned()) };
    Rpc { subscriptions: vec![option], ..Rpc::default() }
}

/// A PRUNE.
pub fn prune(topic: &str, seconds: u64) -> Rpc {
    let prune = ControlPrune { topic_id: Some(topic.to_owned()), peers: vec![], backoff: Some(seconds) };
    control(ControlMessage { prune: vec![prune], ..ControlMessage::default() })
}

/// Control messages.
pub fn control(control: ControlMessage) -> Rpc {
    Rpc { control: Some(control), ..Rpc::default() }
}

/// A message, signed as libp2p does.
pub fn message(pair: &Keypair, topic: &str, seqno: u64, data: Vec<u8>) -> Message {
    let topic_ref = hyperspace_protocol::machine::TopicRef(0);
    hyperspace_node::message::NodeMessage::publish(pair, topic_ref, topic.into(), seqno, data).to_wire()
}
