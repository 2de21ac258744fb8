//! The task that owns the machine. `incoming` is what happens to it, `outgoing` what comes of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant as Clock, SystemTime};

use futures::{FutureExt, StreamExt};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::kad::{Outcome, QueryStats};
use hyperspace_protocol::machine::{Input, Machine, Output};
use hyperspace_protocol::primitive::{AgentInput, CallId, NoRecords};
use hyperspace_protocol::time::{Instant, UnixMillis};
use libp2p::Multiaddr;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, sleep_until};

use super::asks::Asks;
use super::handle::{Answer, Call, Event, MethodResult, Snapshot};
use super::peers::{Connected, Peers};
use super::record::{Beginning, Call as Recorded, Driven, Durable, Recorder};
use super::{Config, Effects, NodeError, Served};
use crate::message::NodeMessage;
use crate::net::swarm::Order;
use crate::net::{AskError, NetEvent, Shared};

/// Inputs that are taken together, at most: their outputs wait for one commit.
const BATCH: usize = 64;

/// How often things are looked after that have no timer of their own.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often bootstrap peers are tried while nobody is connected. Our choice.
const BOOTSTRAP_AGAIN: Duration = Duration::from_secs(30);

/// The driver's ends of its channels.
pub(super) struct Ends {
    pub(super) inbox: futures::channel::mpsc::Receiver<NetEvent>,
    pub(super) calls: mpsc::Receiver<Call>,
    /// Where effects put what came of them; does not keep the node alive.
    pub(super) again: mpsc::WeakSender<Call>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) events: broadcast::Sender<Event>,
}

impl Ends {
    /// What is there already. Calls and the network take turns, so that neither the application nor remotes can keep the
    /// other waiting.
    fn waiting(&mut self, turn: usize) -> Option<Wake> {
        let calls = &mut self.calls;
        let mut call = || calls.try_recv().ok().map(|call| Wake::Call(Some(call)));
        let inbox = &mut self.inbox;
        let mut event = || inbox.next().now_or_never().map(Wake::Net);
        if turn.is_multiple_of(2) { call().or_else(event) } else { event().or_else(call) }
    }
}

/// Who waits for a dial by address.
pub(super) enum Dialler {
    Bootstrap(Multiaddr),
    Nearby,
    Application(Answer<PeerId>),
}

/// Peers to connect to at the start.
#[derive(Default)]
pub(super) struct Bootstrap {
    pub(super) addresses: Vec<Multiaddr>,
    /// Dials of this round that have not ended.
    pub(super) open: usize,
    pub(super) failed: Vec<(Multiaddr, String)>,
    last: Option<Clock>,
}

/// How long a connection is left alone, whatever it is good for. Our choice.
const SETTLING: Duration = Duration::from_secs(30);

/// What is told to somebody outside once the store has the batch.
pub(super) type Release = Box<dyn FnOnce() + Send>;

/// See the module's text.
pub(super) struct Actor {
    pub(super) driven: Driven,
    pub(super) shared: Arc<Shared>,
    pub(super) ends: Ends,
    pub(super) peers: Peers,
    pub(super) asks: Asks,
    pub(super) explicit: BTreeSet<PeerId>,
    pub(super) served: Vec<Served>,
    pub(super) queries: BTreeMap<u64, Answer<(Outcome<PeerId>, QueryStats)>>,
    pub(super) next_token: u64,
    /// Lookups for the addresses of peers that the machine wants to be connected to.
    pub(super) finding: BTreeMap<u64, PeerId>,
    pub(super) dials: BTreeMap<u64, Dialler>,
    pub(super) next_dial: u64,
    pub(super) bootstrap: Bootstrap,
    pub(super) listening: Vec<Multiaddr>,
    /// What the machine wants done, of this batch.
    pub(super) out: Vec<Output<NodeMessage>>,
    /// What callers are told, of this batch.
    pub(super) releases: Vec<Release>,
    /// What carrying out outputs has brought about, for the next batch.
    pub(super) again: VecDeque<Input<NodeMessage>>,
    pub(super) stopping: bool,
    /// Lent to the machine, and to a thread that commits.
    store: Box<dyn Durable>,
    pub(super) effects: Arc<dyn Effects>,
    /// Calls of methods under way.
    pub(super) methods: BTreeMap<CallId, oneshot::Sender<MethodResult>>,
    pub(super) next_call: u64,
    /// Milliseconds by which the machine sees the wall clock shifted.
    pub(super) clock_offset: i64,
    pub(super) snapshot: Snapshot,
    recorder: Option<Box<dyn Recorder>>,
    started: Clock,
}

enum Wake {
    Net(Option<NetEvent>),
    Call(Option<Call>),
    Timer,
    Upkeep,
    Again,
}

impl Actor {
    pub(super) fn new(
        beginning: Beginning,
        shared: Arc<Shared>,
        ends: Ends,
        config: Config,
        bootstrap: Vec<Multiaddr>,
    ) -> Self {
        let mut recorder = config.recorder;
        if let Some(recorder) = &mut recorder {
            recorder.begin(&beginning, &shared.services);
        }
        Self {
            driven: Driven::new(beginning),
            shared,
            ends,
            peers: Peers::default(),
            asks: Asks::default(),
            explicit: config.explicit,
            served: config.protocols,
            queries: BTreeMap::new(),
            // Far from the numbers that an application gives its own commands; the highest bit marks the primitives' own.
            next_token: 1 << 62,
            finding: BTreeMap::new(),
            dials: BTreeMap::new(),
            next_dial: 0,
            bootstrap: Bootstrap { addresses: bootstrap, ..Bootstrap::default() },
            listening: Vec::new(),
            out: Vec::new(),
            releases: Vec::new(),
            again: VecDeque::new(),
            stopping: false,
            store: config.store,
            effects: config.effects,
            methods: BTreeMap::new(),
            next_call: 0,
            clock_offset: 0,
            snapshot: Snapshot::default(),
            recorder,
            started: Clock::now(),
        }
    }

    /// Runs until the last handle is gone, somebody says so, or the store fails.
    pub(super) async fn run(mut self) -> Result<(), NodeError> {
        self.input(Input::Start);
        self.input(Input::Agent(Box::new(AgentInput::Start)));
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.finish_batch().await?;
        while !self.stopping {
            let due = self.driven.machine.poll_timeout();
            let deadline = due.map(|due| self.started + Duration::from_nanos(due.as_nanos()));
            let wake = tokio::select! {
                () = std::future::ready(()), if !(self.again.is_empty() && self.out.is_empty()) => Wake::Again,
                event = self.ends.inbox.next() => Wake::Net(event),
                call = self.ends.calls.recv() => Wake::Call(call),
                () = sleep_until(deadline.unwrap_or(self.started).into()), if deadline.is_some() => Wake::Timer,
                _ = upkeep.tick() => Wake::Upkeep,
            };
            self.take(wake).await?;
            for turn in 1..BATCH {
                let Some(wake) = self.ends.waiting(turn) else { break };
                self.take(wake).await?;
            }
            if self.driven.machine.poll_timeout().is_some_and(|due| due <= self.now()) {
                self.call_machine(None);
            }
            self.finish_batch().await?;
        }
        Ok(())
    }

    async fn take(&mut self, wake: Wake) -> Result<(), NodeError> {
        match wake {
            Wake::Net(Some(event)) => self.on_net(event).await,
            Wake::Call(Some(call)) => self.on_call(call).await?,
            Wake::Net(None) | Wake::Call(None) => self.stopping = true,
            // The due time is looked at after the batch.
            Wake::Timer => {}
            Wake::Upkeep => self.upkeep().await,
            Wake::Again => {
                while let Some(input) = self.again.pop_front() {
                    self.input(input);
                }
            }
        }
        Ok(())
    }

    /// The barrier: the store first, then everybody else. Calls that come in while it writes wait in their channel and
    /// make up the next batch.
    async fn finish_batch(&mut self) -> Result<(), NodeError> {
        let outputs = std::mem::take(&mut self.out);
        self.commit().await?;
        for output in outputs {
            self.carry_out(output).await;
        }
        self.peers.reuse();
        for release in std::mem::take(&mut self.releases) {
            release();
        }
        Ok(())
    }

    /// Disks block, so a thread that may block does it.
    async fn commit(&mut self) -> Result<(), NodeError> {
        if !self.store.is_changed() {
            return Ok(());
        }
        let mut store = std::mem::replace(&mut self.store, Box::new(NoRecords));
        let (store, result) = tokio::task::spawn_blocking(move || {
            let result = store.commit();
            (store, result)
        })
        .await?;
        self.store = store;
        Ok(result?)
    }

    /// Tells the machine something.
    pub(super) fn input(&mut self, input: Input<NodeMessage>) {
        self.call_machine(Some(input));
    }

    fn call_machine(&mut self, input: Option<Input<NodeMessage>>) {
        let (now, unix) = (self.now(), self.unix());
        let before = self.out.len();
        let copy = self.recorder.is_some().then(|| input.clone()).flatten();
        self.driven.call(&self.shared.services, &mut *self.store, (now, unix), input, &mut self.out);
        if let Some(recorder) = &mut self.recorder {
            recorder.call(&Recorded { now, unix, input: copy.as_ref(), outputs: &self.out[before..] });
        }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn unix(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(self.clock_offset),
        )
    }

    /// Tells the application.
    pub(super) fn tell(&self, event: Event) {
        // Nobody listens: so be it.
        let _ = self.ends.events.send(event);
    }

    pub(super) async fn order(&mut self, order: Order) {
        // The network's task ends after this one.
        let _ = self.ends.orders.send(order).await;
    }

    async fn upkeep(&mut self) {
        // Streams and callers that are gone wait for no answer.
        self.asks.pending.retain(|_, pending| !pending.reply.is_closed());
        self.methods.retain(|_, caller| !caller.is_closed());
        for ask in self.asks.overdue(Clock::now()) {
            self.fail(ask.ticket, AskError::Unreachable);
        }
        let counted = self.driven.counted.named().chain(self.shared.counts.named()).collect();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = counted;
        let gossip = &self.driven.machine.gossip;
        self.shared.services.topics().write(|topics| {
            if topics.is_crowded() {
                topics.keep_own(|topic| gossip.mesh_peers(topic).is_some());
            }
        });
        self.make_room().await;
        let due = self.bootstrap.last.is_none_or(|last| last.elapsed() >= BOOTSTRAP_AGAIN);
        if self.peers.is_empty() && self.bootstrap.open == 0 && due {
            self.bootstrap.last = Some(Clock::now());
            self.bootstrap.failed.clear();
            for address in self.bootstrap.addresses.clone() {
                self.bootstrap.open += 1;
                self.dial_address(Dialler::Bootstrap(address.clone()), address).await;
            }
        }
    }

    /// Before all places are taken, connections of no use to gossip go, the oldest first: a lookup in the DHT leaves one
    /// with everybody it has asked, and strangers could take them all.
    async fn make_room(&mut self) {
        for peer in self.dispensable() {
            self.give_up(peer).await;
        }
    }

    /// Whom to let go to have half of the places free again; nobody while a quarter of them is.
    fn dispensable(&self) -> Vec<PeerId> {
        let most = self.shared.settings.connections_max;
        let count: usize = self.peers.iter().map(|(_, connected)| connected.conns.len()).sum();
        if count < most - most / 4 {
            return Vec::new();
        }
        let busy: BTreeSet<PeerId> = self.asks.tickets.values().map(|ticket| ticket.to).collect();
        let gossip = &self.driven.machine.gossip;
        let of_use = |id: &PeerId, connected: &Connected| {
            let shares = connected.topics.iter().any(|topic| gossip.mesh_peers(*topic).is_some());
            shares || busy.contains(id) || self.explicit.contains(id)
        };
        let since = |(id, connected): (&PeerId, &Connected)| {
            let since = connected.since.filter(|since| since.elapsed() >= SETTLING)?;
            (!of_use(id, connected)).then_some((since, *id))
        };
        let mut idle: Vec<(Clock, PeerId)> = self.peers.iter().filter_map(since).collect();
        idle.sort_unstable();
        idle.into_iter().map(|(_, peer)| peer).take(count - most / 2).collect()
    }

    pub(super) async fn dial_address(&mut self, dialler: Dialler, address: Multiaddr) {
        let number = self.next_dial;
        self.next_dial += 1;
        self.dials.insert(number, dialler);
        self.order(Order::DialAddress { number, address }).await;
    }
}

#[cfg(test)]
mod tests {
    use hyperspace_protocol::primitive::AgentInput;
    use hyperspace_protocol::primitive::ClientId;

    use super::*;

    #[test]
    fn calls_and_the_network_take_turns() {
        let (mut to_inbox, inbox) = futures::channel::mpsc::channel(20);
        let (to_calls, calls) = mpsc::channel(20);
        let mut ends = Ends {
            inbox,
            again: to_calls.downgrade(),
            calls,
            orders: mpsc::channel(1).0,
            events: broadcast::channel(1).0,
        };
        for n in 0..10 {
            to_inbox.try_send(NetEvent::Listening(Vec::new())).expect("room");
            to_calls.try_send(Call::Agent(AgentInput::ClientGone(ClientId(n)))).expect("room");
        }
        let mut taken = |turn| match ends.waiting(turn) {
            Some(Wake::Call(_)) => "call",
            Some(Wake::Net(_)) => "net",
            Some(Wake::Timer | Wake::Upkeep | Wake::Again) | None => "nothing",
        };
        for turn in (1..13).step_by(2) {
            assert_eq!((taken(turn), taken(turn + 1)), ("net", "call"));
        }
        for turn in 13..21 {
            assert_ne!(taken(turn), "nothing");
        }
        assert_eq!((taken(21), taken(22)), ("nothing", "nothing"));
    }
}
