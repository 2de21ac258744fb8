//! What the network's tests share: nodes of ours, stock rust-libp2p peers at their defaults, and waiting with a deadline.

#![allow(unreachable_pub, reason = "what the tests share is all in this binary")]

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use hyperspace_node::driver::{Config, Event, Handle, Node, Running, Status};
use hyperspace_node::message::NodeMessage;
use hyperspace_protocol::envelope::{self, Dialect};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::time::UnixMillis;
use libp2p::gossipsub::{self, IdentTopic};
use libp2p::kad::store::MemoryStore;
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, identify, kad, noise, tcp, yamux};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// A topic of the specification.
pub const TOPIC: &str = "hyperspace/tasks/web-research";

/// No test waits longer for anything; on a fast machine nothing takes a tenth of it.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Waits for a future, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    timeout_at(deadline, future).await.unwrap_or_else(|_| panic!("still waiting for: {what}"))
}

/// Waits until a node's state is as wanted.
pub async fn until(what: &str, handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let status = handle.status().await.expect("the node runs");
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "still waiting for: {what}; {status:#?}");
        tick.tick().await;
    }
}

/// Settings of a node on loopback whose first heartbeats come soon.
pub fn config(seed: u8) -> Config {
    let mut config = Config::new([seed; 32]);
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    config
}

/// The id of the peer with this seed.
pub fn id_of(seed: u8) -> PeerId {
    Keypair::from_seed([seed; 32]).peer_id()
}

/// A node of ours, and its events from the start.
pub struct Ours {
    pub handle: Handle,
    pub running: Running,
    pub events: broadcast::Receiver<Event>,
    pub address: Multiaddr,
}

impl Ours {
    pub async fn start(seed: u8) -> Self {
        Self::with(config(seed)).await
    }

    pub async fn with(config: Config) -> Self {
        let (handle, running) = Node::start(config).await.expect("the node starts");
        let events = handle.events();
        let status = handle.status().await.expect("it runs");
        let address = status.listening.first().cloned().unwrap_or_else(Multiaddr::empty);
        Self { handle, running, events, address }
    }

    /// The next message that the node delivers.
    pub async fn message(&mut self) -> NodeMessage {
        within("a message", async {
            loop {
                if let Event::Message(message) = self.events.recv().await.expect("the node runs") {
                    return message;
                }
            }
        })
        .await
    }

    /// Waits until a peer is in the mesh of the topic on this side.
    pub async fn meshed(&self, peer: PeerId) {
        let meshed = |s: &Status| s.peer(&peer).is_some_and(|p| p.mesh.iter().any(|t| t == TOPIC));
        until("the mesh", &self.handle, meshed).await;
    }

    /// Stops it, and sees that it ends well.
    pub async fn stop(self) {
        self.handle.shutdown().await;
        within("the end", async { self.running.await }).await.expect("a clean end");
    }
}

/// The payload of an envelope.
pub fn payload(message: &NodeMessage) -> String {
    let envelope = envelope::SignedEnvelope::parse(message.data()).expect("checked before");
    envelope.d.to_owned()
}

/// An envelope of the peer with this seed.
pub fn sealed(seed: u8, topic: &str, d: &str) -> Vec<u8> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("random bytes");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let value: serde_json::Value = serde_json::from_str(d).expect("JSON");
    let unix = UnixMillis(since.as_millis() as u64);
    envelope::sign(&Keypair::from_seed([seed; 32]), topic, unix, nonce, &value, &Dialect::default())
        .expect("signable")
}

/// The behaviours of a stock peer.
#[derive(NetworkBehaviour)]
pub struct StockBehaviour {
    pub gossip: gossipsub::Behaviour,
    pub kad: kad::Behaviour<MemoryStore>,
    pub identify: identify::Behaviour,
}

type Task = Box<dyn FnOnce(&mut Swarm<StockBehaviour>) + Send>;

/// A stock rust-libp2p peer that runs by itself.
pub struct Stock {
    pub seed: u8,
    pub id: PeerId,
    pub address: Multiaddr,
    tasks: mpsc::UnboundedSender<Task>,
    events: mpsc::UnboundedReceiver<SwarmEvent<StockBehaviourEvent>>,
}

impl Stock {
    /// One with default settings, strict and signed.
    pub async fn start(seed: u8) -> Self {
        Self::with(seed, gossipsub::Config::default()).await
    }

    pub async fn with(seed: u8, config: gossipsub::Config) -> Self {
        let pair = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).expect("a key");
        let builder = SwarmBuilder::with_existing_identity(pair)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("a transport");
        #[cfg(feature = "quic")]
        let builder = builder.with_quic();
        let mut swarm = builder
            .with_behaviour(|pair| {
                let signed = gossipsub::MessageAuthenticity::Signed(pair.clone());
                let own = pair.public().to_peer_id();
                let mut kad_config = kad::Config::new(StreamProtocol::new("/hyperspace/kad/1.0.0"));
                kad_config.set_periodic_bootstrap_interval(None);
                let mut kad = kad::Behaviour::with_config(own, MemoryStore::new(own), kad_config);
                kad.set_mode(Some(kad::Mode::Server));
                StockBehaviour {
                    gossip: gossipsub::Behaviour::new(signed, config).expect("sound settings"),
                    kad,
                    identify: identify::Behaviour::new(identify::Config::new(
                        "/test/1".to_owned(),
                        pair.public(),
                    )),
                }
            })
            .expect("behaviours")
            .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("free");
        let (tasks, mut todo) = mpsc::unbounded_channel::<Task>();
        let (tell, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    task = todo.recv() => match task {
                        Some(task) => task(&mut swarm),
                        None => return,
                    },
                    event = swarm.select_next_some() => {
                        // As rust-libp2p's documentation tells applications to.
                        if let SwarmEvent::Behaviour(StockBehaviourEvent::Identify(identify::Event::Received {
                            peer_id, ref info, ..
                        })) = event
                        {
                            for address in &info.listen_addrs {
                                swarm.behaviour_mut().kad.add_address(&peer_id, address.clone());
                            }
                        }
                        drop(tell.send(event));
                    }
                }
            }
        });
        let mut stock = Self { seed, id: id_of(seed), address: Multiaddr::empty(), tasks, events };
        stock.address = stock
            .wait("an address", |event| match event {
                SwarmEvent::NewListenAddr { address, .. } => Some(address.clone()),
                _ => None,
            })
            .await;
        stock
    }

    /// Does something with the swarm.
    pub async fn run<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Swarm<StockBehaviour>) -> R + Send + 'static,
    ) -> R {
        let (tell, told) = oneshot::channel();
        self.tasks.send(Box::new(move |swarm| drop(tell.send(task(swarm))))).expect("it runs");
        told.await.expect("it runs")
    }

    /// Waits for an event.
    pub async fn wait<R>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&SwarmEvent<StockBehaviourEvent>) -> Option<R>,
    ) -> R {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("it runs");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        })
        .await
    }

    pub async fn subscribe(&self, topic: &str) {
        let topic = IdentTopic::new(topic);
        self.run(move |swarm| swarm.behaviour_mut().gossip.subscribe(&topic).map(drop))
            .await
            .expect("subscribed");
    }

    pub async fn dial(&self, address: &Multiaddr) {
        let address = address.clone();
        self.run(move |swarm| swarm.dial(address)).await.expect("dialled");
    }

    /// Publishes bytes as they are.
    pub async fn publish_raw(
        &self,
        topic: &str,
        data: Vec<u8>,
    ) -> Result<gossipsub::MessageId, gossipsub::PublishError> {
        let topic = IdentTopic::new(topic);
        self.run(move |swarm| swarm.behaviour_mut().gossip.publish(topic, data)).await
    }

    /// Publishes a payload in an envelope, as soon as the peer knows of a subscriber.
    pub async fn publish(&self, topic: &str, d: &str) -> gossipsub::MessageId {
        let data = sealed(self.seed, topic, d);
        within("a subscriber", async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                match self.publish_raw(topic, data.clone()).await {
                    Ok(id) => return id,
                    Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => tick.tick().await,
                    Err(error) => panic!("{error}"),
                };
            }
        })
        .await
    }

    /// The next gossip message.
    pub async fn message(&mut self) -> gossipsub::Message {
        self.wait("a message at the stock peer", |event| match event {
            SwarmEvent::Behaviour(StockBehaviourEvent::Gossip(gossipsub::Event::Message {
                message, ..
            })) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until a peer is in the mesh of the topic on this side.
    pub async fn meshed(&self, peer: PeerId) {
        let peer = hyperspace_node::net::to_libp2p(&peer);
        within("the stock peer's mesh", async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                let hash = IdentTopic::new(TOPIC).hash();
                let there = move |s: &mut Swarm<StockBehaviour>| {
                    s.behaviour().gossip.mesh_peers(&hash).any(|p| *p == peer)
                };
                if self.run(there).await {
                    return;
                }
                tick.tick().await;
            }
        })
        .await;
    }
}

/// The payload of an envelope that a stock peer received.
pub fn payload_of(message: &gossipsub::Message) -> String {
    let envelope = envelope::SignedEnvelope::parse(&message.data).expect("an envelope");
    envelope.d.to_owned()
}
