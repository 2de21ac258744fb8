//! What happens to a node: news of the network and calls of the application, as inputs of the machine.

use std::sync::Arc;
use std::time::Instant as Clock;

use hyperspace_protocol::gossip::{Frame, Version};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::codec;
use hyperspace_protocol::machine::{Input, Message, Output, PeerInfo, PeerRef};
use hyperspace_protocol::primitive::{self, AgentInput, CallId};
use hyperspace_protocol::request::{Command, Protocol, Request, RequestId, Response};
use hyperspace_protocol::topic::Topic;
use hyperspace_protocol::wire::kad::Message as KadMessage;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, StreamProtocol};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::NodeError;
use super::actor::{Actor, Dialler};
use super::asks::{Asker, KadNames, is_answered, parse_kad};
use super::handle::{Call, CallError, Event, MethodResult, PeerStatus, Status};
use super::peers::Conn;
use crate::message::{IdForm, MessageId};
use crate::net::counts::Count;
use crate::net::gossip::{Received, encode};
use crate::net::link::Link;
use crate::net::swarm::Order;
use crate::net::{AskError, CARD, KAD, MEMORY, NetEvent, Reply, TOOL, TRAJECTORY};

/// Peers and open dials up to which mDNS adds more: enough to be in a mesh. Our choice.
const NEARBY_PEERS_MAX: usize = 32;

impl Actor {
    pub(super) async fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Opened(link) => self.on_opened(link),
            NetEvent::Ready { link, version } => self.on_ready(&link, version),
            NetEvent::Rpc { link, received } => self.on_rpc(&link, received),
            NetEvent::Asked { link, protocol, body, reply } => {
                self.on_asked(&link, protocol, body, reply).await
            }
            NetEvent::Answered { ticket, result, held } => {
                self.on_answered(ticket, result).await;
                drop(held);
            }
            NetEvent::Closed { conn, peer } => self.on_closed(conn, peer),
            NetEvent::Identified { conn, peer, agent, protocols } => {
                self.on_identified(conn, peer, agent, &protocols);
            }
            NetEvent::Unreachable { peer, error } => self.on_unreachable(peer, &error),
            NetEvent::Dialled { number, result } => self.on_dialled(number, result),
            NetEvent::Nearby(address) => self.on_nearby(address).await,
            NetEvent::Listening(addresses) => {
                self.listening.clone_from(&addresses);
                self.tell(Event::Listening(addresses));
            }
        }
    }

    fn on_opened(&mut self, link: Arc<Link>) {
        let peer = link.peer;
        let connected = self.peers.entry(peer);
        connected.conns.push(Conn { link, version: None });
        connected.since.get_or_insert_with(Clock::now);
        for ask in self.asks.waiting(&peer) {
            self.send_ask(peer, ask);
        }
    }

    fn on_ready(&mut self, link: &Arc<Link>, version: Version) {
        if !self.peers.knows(link) {
            return;
        }
        let connected = self.peers.entry(link.peer);
        if let Some(conn) = connected.conns.iter_mut().find(|conn| conn.link.conn == link.conn) {
            conn.version = Some(version);
        }
        let server = connected.server.then_some(link.peer);
        if connected.handle.is_some() {
            // Perhaps the peer has started anew and the other connection is what is left of its former life: it has to
            // hear what we subscribe to. If not, it hears it twice.
            return self.greet_again(link, version);
        }
        let handle = self.peers.allot(link.peer);
        self.peers.entry(link.peer).handle = Some(handle);
        let explicit = self.explicit.contains(&link.peer);
        let info = PeerInfo { id: link.peer, outbound: link.outbound, explicit, ip: link.ip };
        self.input(Input::Connected { peer: handle, info, server });
        self.tell(Event::PeerConnected(link.peer));
    }

    fn greet_again(&self, link: &Link, version: Version) {
        let wanted: Vec<_> = self.driven.machine.gossip.meshes().map(|(topic, _)| (topic, true)).collect();
        if !wanted.is_empty() {
            for (class, bytes) in encode(&self.shared, link, version, &Frame::Subscriptions(Arc::new(wanted)))
            {
                link.queue.push(class, bytes);
            }
        }
    }

    fn on_rpc(&mut self, link: &Link, received: Received) {
        if !self.peers.knows(link) {
            return;
        }
        let Some(handle) = self.peers.entry(link.peer).handle else { return };
        let changes = self.take_up_topics(link.peer, received.subscriptions);
        if !changes.is_empty() {
            self.input(Input::Frame { from: handle, frame: Frame::Subscriptions(Arc::new(changes)) });
        }
        for frame in received.frames {
            self.input(Input::Frame { from: handle, frame });
        }
    }

    /// Names become handles, within the bounds of what one peer and all of them may hold.
    fn take_up_topics(
        &mut self,
        peer: PeerId,
        changes: Vec<(String, bool)>,
    ) -> Vec<(hyperspace_protocol::machine::TopicRef, bool)> {
        let most = self.driven.config().gossip.topics_max;
        let connected = self.peers.entry(peer);
        let counts = &self.shared.counts;
        self.shared.services.topics().write(|topics| {
            let mut taken = Vec::with_capacity(changes.len().min(most));
            for (name, wanted) in changes {
                match topics.find(&name).filter(|topic| connected.topics.contains(topic)) {
                    Some(topic) => {
                        if !wanted {
                            connected.topics.remove(&topic);
                            topics.release(topic);
                        }
                        taken.push((topic, wanted));
                    }
                    None if !wanted => {}
                    None if connected.topics.len() >= most => counts.add(Count::TopicBound),
                    None => match topics.hold(&name) {
                        Some(topic) => {
                            connected.topics.insert(topic);
                            taken.push((topic, true));
                        }
                        None => counts.add(Count::TopicBound),
                    },
                }
            }
            taken
        })
    }

    fn on_closed(&mut self, conn: ConnectionId, peer: PeerId) {
        for ticket in self.asks.of_conn(conn) {
            self.fail(ticket, AskError::Broken);
        }
        if !self.peers.drop_conn(&peer, conn) {
            return;
        }
        let Some(connected) = self.peers.get_mut(&peer) else { return };
        if connected.gossip().is_none() {
            self.leave_gossip(peer);
        }
        if self.peers.get(&peer).is_some_and(|connected| connected.conns.is_empty()) {
            self.peers.remove(&peer);
        }
    }

    /// The machine no longer has this peer.
    pub(super) fn leave_gossip(&mut self, peer: PeerId) {
        let Some(connected) = self.peers.get_mut(&peer) else { return };
        let (handle, topics) = (connected.handle.take(), std::mem::take(&mut connected.topics));
        self.shared
            .services
            .topics()
            .write(|known| topics.into_iter().for_each(|topic| known.release(topic)));
        if let Some(handle) = handle {
            self.peers.retire(handle);
            self.input(Input::Disconnected { peer: handle });
            self.tell(Event::PeerDisconnected(peer));
        }
    }

    fn on_identified(
        &mut self,
        conn: ConnectionId,
        peer: PeerId,
        agent: String,
        protocols: &[StreamProtocol],
    ) {
        let server = protocols.contains(&self.shared.specs[KAD].name);
        let Some(connected) = self.peers.get_mut(&peer) else { return };
        if let Some(known) = connected.conns.iter().find(|known| known.link.conn == conn)
            && agent.starts_with("rust-libp2p")
        {
            known.link.guess_form(IdForm::Text);
        }
        // A remote's text: only so much of it is kept.
        connected.agent = agent.chars().take(64).collect();
        let newly = server && !connected.server;
        connected.server = server;
        if newly && self.driven.config().dht.is_some() {
            self.input(Input::Discovered(peer));
        }
    }

    fn on_unreachable(&mut self, peer: PeerId, error: &str) {
        tracing::debug!(%peer, error, "a peer cannot be reached");
        // A connection that the peer made meanwhile serves as well.
        let connected = self.peers.get(&peer).is_some_and(|connected| !connected.conns.is_empty());
        for ask in self.asks.waiting(&peer) {
            if connected {
                self.send_ask(peer, ask);
            } else {
                self.fail(ask.ticket, AskError::Unreachable);
            }
        }
    }

    fn on_dialled(&mut self, number: u64, result: Result<PeerId, String>) {
        match self.dials.remove(&number) {
            Some(Dialler::Application(answer)) => {
                let result = result.map_err(CallError::Unreachable);
                self.releases.push(Box::new(move || drop(answer.send(result))));
            }
            Some(Dialler::Bootstrap(address)) => {
                self.bootstrap.open -= 1;
                if let Err(why) = result {
                    self.bootstrap.failed.push((address, why));
                }
                if self.bootstrap.open == 0 && self.bootstrap.failed.len() == self.bootstrap.addresses.len() {
                    for (address, why) in &self.bootstrap.failed {
                        tracing::warn!(%address, why, "a bootstrap peer cannot be reached");
                    }
                    let failed = std::mem::take(&mut self.bootstrap.failed);
                    self.tell(Event::BootstrapFailed(failed));
                }
            }
            Some(Dialler::Nearby) | None => {}
        }
    }

    /// A node alone on its network joins it; one that has peers learns of others from them.
    async fn on_nearby(&mut self, address: Multiaddr) {
        if self.peers.len() + self.dials.len() < NEARBY_PEERS_MAX {
            self.dial_address(Dialler::Nearby, address).await;
        }
    }

    /// Closes all connections with a peer, and behaves at once as if they were.
    pub(super) async fn give_up(&mut self, peer: PeerId) {
        let conns: Vec<_> =
            self.peers.get(&peer).map(|c| c.conns.iter().map(|c| c.link.conn).collect()).unwrap_or_default();
        for conn in conns {
            self.on_closed(conn, peer);
        }
        self.order(Order::Close(peer)).await;
    }

    async fn offend(&mut self, peer: PeerId) {
        if self.shared.offend(peer, Count::Garbage) {
            self.give_up(peer).await;
        }
    }

    async fn on_asked(
        &mut self,
        link: &Arc<Link>,
        protocol: usize,
        body: Vec<u8>,
        reply: oneshot::Sender<Reply>,
    ) {
        if !self.peers.knows(link) {
            return;
        }
        let from = link.peer;
        match protocol {
            KAD => {
                let Some(message) = parse_kad(&body) else { return self.offend(from).await };
                let request = codec::decode_request(&message, &KadNames(&self.shared.book));
                // A PING, or what contradicts itself: the stream is closed.
                let Some(request) = request else { return };
                if !is_answered(&request) {
                    // The stream may go on at once.
                    let _ = reply.send(Reply::Nothing);
                    let id = self.asks.pend(KAD, oneshot::channel().0, KadMessage::default());
                    self.asks.pending.remove(&id);
                    return self.request(from, id, Request::Dht(request));
                }
                let id = self.asks.pend(KAD, reply, message);
                self.request(from, id, Request::Dht(request));
            }
            CARD | TOOL | MEMORY | TRAJECTORY => {
                let Some(d) = self.open(protocol, from, &body) else { return self.offend(from).await };
                let id = self.asks.pend(protocol, reply, KadMessage::default());
                let request = match protocol {
                    TOOL => Request::Agent { protocol: Protocol::Tool, body: d },
                    MEMORY => Request::Agent { protocol: Protocol::Memory, body: d },
                    TRAJECTORY => Request::Agent { protocol: Protocol::Trajectory, body: d },
                    _ => Request::Card,
                };
                self.request(from, id, request);
            }
            other => {
                let place = other.checked_sub(TRAJECTORY + 1).and_then(|place| self.served.get(place));
                let Some(serve) = place.and_then(|served| served.serve.clone()) else { return };
                let patience = self.shared.specs[other].timeout;
                tokio::spawn(async move {
                    // Nobody waits longer than the stream does, so that tasks are no more than streams.
                    if let Ok(Some(answer)) = timeout(patience, serve(from, body)).await {
                        // The stream may be gone.
                        let _ = reply.send(Reply::Answer(answer));
                    }
                });
            }
        }
    }

    /// What a peer says on one of our JSON protocols, if it signed it.
    fn open(&self, protocol: usize, from: PeerId, body: &[u8]) -> Option<Arc<str>> {
        let name = self.shared.specs[protocol].name.as_ref();
        Some(self.shared.services.open(name, from, body).ok()?.d.into())
    }

    /// Hands a peer's request to the machine. One that it does not answer at once it never answers, and the stream is
    /// closed; but for the primitives, whose answers may take until the stream is given up.
    fn request(&mut self, from: PeerId, id: RequestId, request: Request<PeerId>) {
        let server = self.peers.get(&from).is_some_and(|connected| connected.server);
        let before = self.out.len();
        let may_wait = matches!(request, Request::Agent { .. });
        self.input(Input::Request { from, server, id, request: Box::new(request) });
        let answered = self.out[before..]
            .iter()
            .any(|output| matches!(output, Output::Respond { id: i, .. } if *i == id));
        if !answered && !may_wait {
            self.asks.pending.remove(&id);
        }
    }

    async fn on_answered(&mut self, number: u64, result: Result<Vec<u8>, AskError>) {
        let Some(ticket) = self.asks.tickets.remove(&number) else { return };
        if result == Err(AskError::Garbage) {
            self.offend(ticket.to).await;
        }
        let (protocol, id) = match ticket.asker {
            Asker::Application(answer) => {
                self.releases.push(Box::new(move || drop(answer.send(result.map_err(CallError::Ask)))));
                return;
            }
            Asker::Machine(protocol, id) => (protocol, id),
        };
        if !ticket.answer && result.is_ok() {
            return;
        }
        let response = match result {
            Ok(body) => self.response(protocol, ticket.to, &body).await,
            Err(_) => None,
        };
        match response {
            Some(response) => {
                self.input(Input::Response { from: ticket.to, id, response: Box::new(response) })
            }
            None => {
                self.shared.counts.add(Count::RequestsFailed);
                self.input(Input::RequestFailed { protocol, id });
            }
        }
    }

    async fn response(&mut self, protocol: Protocol, from: PeerId, body: &[u8]) -> Option<Response<PeerId>> {
        let response = match protocol {
            Protocol::Dht => {
                let message = parse_kad(body);
                message
                    .and_then(|m| codec::decode_response(&m, &KadNames(&self.shared.book)))
                    .map(Response::Dht)
            }
            Protocol::Card => {
                let card = self.shared.services.open_card(from, body).ok();
                card.map(|card| Response::Card(card.map(Arc::new)))
            }
            Protocol::Tool => self.open(TOOL, from, body).map(Response::Agent),
            Protocol::Memory => self.open(MEMORY, from, body).map(Response::Agent),
            Protocol::Trajectory => self.open(TRAJECTORY, from, body).map(Response::Agent),
        };
        if response.is_none() {
            self.offend(from).await;
        }
        response
    }

    pub(super) async fn on_call(&mut self, call: Call) -> Result<(), NodeError> {
        match call {
            Call::Publish { topic, d, answer } => {
                let result = self.publish(&topic, &d)?;
                self.releases.push(Box::new(move || drop(answer.send(result))));
            }
            Call::Subscribe { topic, wanted, answer } => {
                let result = self.subscribe(&topic, wanted);
                self.releases.push(Box::new(move || drop(answer.send(result))));
            }
            Call::Command { command, answer } => {
                self.input(Input::Command(command));
                self.releases.push(Box::new(move || drop(answer.send(Ok(())))));
            }
            Call::Query { query, answer } => {
                let token = self.next_token;
                self.next_token += 1;
                self.queries.insert(token, answer);
                self.input(Input::Command(Box::new(Command::Query { token, query })));
            }
            Call::Ask { peer, protocol, body, answer } => {
                let place = self.shared.specs.iter().position(|spec| spec.name.as_ref() == protocol);
                match place {
                    Some(place) => self.ask(peer, place, Asker::Application(answer), body, true).await,
                    None => drop(answer.send(Err(CallError::UnknownProtocol))),
                }
            }
            Call::Connect { address, answer } => {
                self.dial_address(Dialler::Application(answer), address).await
            }
            Call::Disconnect { peer, answer } => {
                self.give_up(peer).await;
                self.releases.push(Box::new(move || drop(answer.send(Ok(())))));
            }
            // Of what was released so far, as everybody else sees it.
            Call::Status { answer } => drop(answer.send(Ok(self.status()))),
            Call::Arrange { what, answer } => {
                let id = self.method(answer);
                self.input(Input::Agent(Box::new(AgentInput::Arrange(id, what))));
            }
            Call::Method { caller, method, params, answer } => {
                let id = self.method(answer);
                let call = primitive::Call { id, caller, method, params };
                self.input(Input::Agent(Box::new(AgentInput::Call(call))));
            }
            Call::Agent(input) => self.input(Input::Agent(Box::new(input))),
            Call::SetClock { offset } => self.clock_offset = offset,
            Call::Shutdown => self.stopping = true,
        }
        Ok(())
    }

    /// Notes who waits for the end of a call.
    fn method(&mut self, answer: oneshot::Sender<MethodResult>) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.methods.insert(id, answer);
        id
    }

    fn publish(&mut self, topic: &str, d: &str) -> Result<Result<MessageId, CallError>, NodeError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(NodeError::Random)?;
        if let Err(error) = Topic::parse(topic) {
            return Ok(Err(error.into()));
        }
        let Some(topic) = self.shared.services.topics().own(topic) else {
            return Ok(Err(CallError::TooManyTopics));
        };
        let sealed = self.shared.services.seal_message(topic, self.unix(), d, nonce);
        let message = match sealed {
            Ok(message) => message,
            Err(error) => return Ok(Err(error.into())),
        };
        let (length, most) = (message.frame().len(), self.shared.settings.transmit_max);
        if length > most {
            return Ok(Err(CallError::TooLong(length, most)));
        }
        let id = message.id();
        self.input(Input::Publish(message));
        Ok(Ok(id))
    }

    fn subscribe(&mut self, topic: &str, wanted: bool) -> Result<(), CallError> {
        Topic::parse(topic)?;
        let (topic, _) = self.shared.services.topics().own(topic).ok_or(CallError::TooManyTopics)?;
        self.input(if wanted { Input::Subscribe(topic) } else { Input::Unsubscribe(topic) });
        Ok(())
    }

    fn status(&self) -> Status {
        let (machine, shared) = (&self.driven.machine, &self.shared);
        let name =
            |topic| shared.services.topics().read(|t| t.get(topic).map(|entry| entry.name.to_string()));
        let mesh = |handle: PeerRef| {
            let of = machine.gossip.meshes().filter(|(_, peers)| peers.contains(&handle));
            of.filter_map(|(topic, _)| name(topic)).collect()
        };
        let peers = self.peers.iter().map(|(id, connected)| PeerStatus {
            id: *id,
            connections: connected.conns.len(),
            gossip: connected.gossip().map(|(_, version)| version),
            server: connected.server,
            agent: connected.agent.clone(),
            topics: connected.topics.iter().filter_map(|topic| name(*topic)).collect(),
            mesh: connected.handle.map(mesh).unwrap_or_default(),
            waiting: connected.conns.iter().map(|conn| conn.link.queue.bytes()).sum(),
        });
        Status {
            own: shared.services.own(),
            listening: self.listening.clone(),
            peers: peers.collect(),
            topics: machine.gossip.meshes().filter_map(|(topic, _)| name(topic)).collect(),
            contacts: machine.dht().map_or(0, |dht| dht.table().len()),
            counts: self.driven.counted.named().chain(shared.counts.named()).collect(),
        }
    }
}
