//! Workloads: who publishes what, when; who asks what of the DHT; who announces a card; what lies on a ring; who calls which
//! method. Everything is drawn before the run, so that a message's place in the message table does not depend on the order in which peers run.

mod calls;
mod cards;
mod own;
mod queries;
mod ring;

pub(crate) use calls::CallPlan;
pub(crate) use cards::{CardPlan, CardTopicTable};
use own::OwnPlaces;
pub(crate) use own::agent_places;
pub(crate) use queries::Queries;
pub(crate) use ring::ring;
pub use ring::ring_advice;

use hyperspace_protocol::envelope;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::rng::{Stream, philox, purpose_key};
use hyperspace_protocol::time::{Duration, Instant};

use crate::churn::Sessions;
use crate::message::{MessageTable, SimMessage};
use crate::net::{G8, sample_distinct};
use crate::scenario::{Scenario, Workload};
use crate::shared::Shared;

/// One message to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Publish {
    pub(crate) at: Instant,
    pub(crate) peer: u32,
    pub(crate) topic: TopicRef,
    pub(crate) size: u32,
}

/// All messages of all workloads, in the order of their time.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) publishes: Vec<Publish>,
    /// Names of all topics: first those that workloads publish on, then those of capability cards, then
    /// those of the primitives.
    pub(crate) topic_names: Vec<String>,
    /// How many of them every honest peer subscribes to.
    subscribed: u32,
    /// What is asked of the DHT.
    pub(crate) queries: Queries,
    /// Who announces cards and follows whom.
    pub(crate) cards: Option<CardPlan>,
    /// On which topics.
    pub(crate) card_topics: Option<CardTopicTable>,
    /// Which methods are called.
    pub(crate) calls: Option<CallPlan>,
    /// Where machines' own messages go.
    own: Option<OwnPlaces>,
    /// Messages published in this span count for delivery.
    measured: (Instant, Instant),
    payload_key: u64,
    /// Whether this is the cross-simulator workload, which has a check value.
    pub(crate) is_g8: bool,
}

/// Topic of the cross-simulator workload.
const G8_TOPIC: &str = "hyperspace/tasks/g8";

impl Schedule {
    pub(crate) fn new(scenario: &Scenario, sessions: Option<&Sessions>, ids: &[PeerId]) -> Self {
        let mut topics: Vec<String> = Vec::new();
        let mut publishes = Vec::new();
        for (index, workload) in scenario.workloads.iter().enumerate() {
            let name = match workload {
                Workload::Publish { topic, .. } => topic,
                Workload::G8 { .. } => G8_TOPIC,
                Workload::Lookups(_)
                | Workload::Records(_)
                | Workload::Cards(_)
                | Workload::Ring(_)
                | Workload::Call(_) => continue,
            };
            let topic = topics.iter().position(|t| t == name).unwrap_or_else(|| {
                topics.push(name.to_owned());
                topics.len() - 1
            });
            let topic = TopicRef(topic as u32);
            if let Workload::G8 { messages, size } = workload {
                let drawn = G8::draw(scenario.run.seed, scenario.peers(), *messages);
                publishes.extend(drawn.publishers.iter().enumerate().map(|(k, &peer)| Publish {
                    at: Instant::ZERO + G8::INTERVAL.saturating_mul(k as u64),
                    peer,
                    topic,
                    size: *size,
                }));
            } else {
                steady(scenario, index, workload, (topic, sessions), &mut publishes);
            }
        }
        publishes.sort_by_key(|p| p.at);
        let run = &scenario.run;
        let last = if run.until_idle { Duration::MAX } else { run.duration.saturating_sub(run.drain) };
        let subscribed = topics.len() as u32;
        let cards = CardPlan::new(scenario);
        let card_topics = cards.as_ref().map(|plan| CardTopicTable::new(plan, ids, &mut topics));
        let calls = CallPlan::new(scenario, sessions, &mut topics);
        Self {
            publishes,
            topic_names: topics,
            subscribed,
            queries: Queries::new(scenario, sessions),
            cards,
            card_topics,
            calls,
            own: OwnPlaces::new(scenario),
            measured: (Instant::ZERO + run.warmup, Instant::ZERO + last),
            payload_key: purpose_key(run.seed, "payload"),
            is_g8: scenario.workloads.iter().any(|w| matches!(w, Workload::G8 { .. })),
        }
    }

    /// The topics that every honest peer subscribes to.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicRef> + use<> {
        (0..self.subscribed).map(TopicRef)
    }

    /// The topics that primitives may use.
    pub(crate) fn agent_topics(&self) -> impl Iterator<Item = TopicRef> + use<> {
        self.calls.as_ref().map(CallPlan::topics).into_iter().flatten()
    }

    /// Events that the workloads plan.
    pub(crate) fn events(&self) -> usize {
        let calls = self.calls.as_ref().map_or(0, |calls| calls.planned.len());
        self.publishes.len() + self.queries.planned.len() + calls
    }

    /// Places in the message table that are given to messages beforehand.
    pub(crate) fn reserved(&self) -> u32 {
        let own = self.own.as_ref().map_or(0, OwnPlaces::count);
        self.publishes.len() as u32 + own
    }

    /// See [`Shared::own_index`].
    pub(crate) fn own_index(&self, peer: u32, interval: u32, made: u32) -> Option<u32> {
        let place = self.own.as_ref()?.place(peer, interval, made)?;
        let index = self.publishes.len() as u32 + place;
        (index < MessageTable::CAPACITY).then_some(index)
    }

    /// Whether a message published at `at` counts for delivery.
    #[inline]
    pub(crate) fn is_measured(&self, at: Instant) -> bool {
        self.measured.0 <= at && at < self.measured.1
    }

    /// Makes the scheduled message of this index and stores it.
    pub(crate) fn make(&self, shared: &Shared, index: u32) -> SimMessage {
        let publish = self.publishes[index as usize];
        let topic = shared.messages.topic_name(publish.topic);
        let bytes = if shared.messages.signs() {
            signed(shared, self.payload_key, index, &publish, topic)
        } else {
            filler(self.payload_key, index, publish.size as usize).into_bytes()
        };
        let bytes = bytes.into_boxed_slice();
        shared.messages.store_at(index, publish.peer, publish.topic, publish.at, bytes)
    }
}

/// How many messages a scenario's workloads publish.
pub(crate) fn expected_messages(scenario: &Scenario) -> u64 {
    let of = |workload: &Workload| match workload {
        Workload::G8 { messages, .. } => u64::from(*messages),
        Workload::Publish { interval, start, stop, messages, .. } => {
            let span = stop.saturating_sub(*start).as_nanos();
            let fit = span.div_ceil(interval.as_nanos().max(1));
            if *messages == 0 { fit } else { fit.min(u64::from(*messages)) }
        }
        Workload::Lookups(_)
        | Workload::Records(_)
        | Workload::Cards(_)
        | Workload::Ring(_)
        | Workload::Call(_) => 0,
    };
    scenario.workloads.iter().map(of).sum()
}

/// About how many heartbeats of capability cards there are.
pub(crate) fn expected_heartbeats(scenario: &Scenario) -> u64 {
    let of = |workload: &Workload| match workload {
        Workload::Cards(cards) => {
            let peers = u64::from(scenario.groups[cards.group as usize].count);
            let interval = scenario.cards.heartbeat_interval.as_nanos().max(1);
            peers.saturating_mul(scenario.run.duration.as_nanos() / interval + 1)
        }
        Workload::Publish { .. }
        | Workload::G8 { .. }
        | Workload::Lookups(_)
        | Workload::Records(_)
        | Workload::Ring(_)
        | Workload::Call(_) => 0,
    };
    scenario.workloads.iter().map(of).sum()
}

/// Messages at a steady rate.
fn steady(
    scenario: &Scenario,
    index: usize,
    workload: &Workload,
    (topic, sessions): (TopicRef, Option<&Sessions>),
    publishes: &mut Vec<Publish>,
) {
    let Workload::Publish { group, interval, size, sources, start, stop, messages, .. } = workload else {
        return;
    };
    let count = scenario.groups[*group as usize].count;
    let first = scenario.first_peer(*group);
    let mut draws = Stream::new(purpose_key(scenario.run.seed, "workload"), index as u64);
    let sources = match *sources {
        0 => Vec::new(),
        n => sample_distinct(&mut draws, count, n, None),
    };
    let limit = if *messages == 0 { u64::MAX } else { u64::from(*messages) };
    let mut at = *start;
    for _ in 0..limit {
        if at >= *stop {
            break;
        }
        let peer = someone_up(sessions, first, Instant::ZERO + at, || match sources.len() {
            0 => draws.below(u64::from(count)) as u32,
            n => sources[draws.below(n as u64) as usize],
        });
        publishes.push(Publish { at: Instant::ZERO + at, peer: first + peer, topic, size: *size });
        at = at + *interval;
    }
}

/// A peer that is up, by drawing until one is; whoever was drawn last if hardly anybody is. `draw` counts from `first`.
fn someone_up(sessions: Option<&Sessions>, first: u32, at: Instant, mut draw: impl FnMut() -> u32) -> u32 {
    const TRIES: u32 = 50;
    let mut peer = draw();
    if let Some(sessions) = sessions {
        for _ in 0..TRIES {
            if sessions.is_up(first + peer, at) {
                break;
            }
            peer = draw();
        }
    }
    peer
}

/// Pseudo-random lower-case letters: unlike zeros, different for each message.
fn filler(key: u64, index: u32, length: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    let mut n = 0;
    while text.len() < length {
        let [a, b] = philox([u64::from(index), n], key);
        text.push_str(&format!("{a:016x}{b:016x}"));
        n += 1;
    }
    text.truncate(length);
    text
}

/// A signed envelope of `size` bytes, or of its smallest size if that is more.
fn signed(shared: &Shared, key: u64, index: u32, publish: &Publish, topic: &str) -> Vec<u8> {
    let keypair = shared.keypair(publish.peer);
    let [a, b] = philox([u64::from(index), u64::MAX], key);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&a.to_be_bytes());
    nonce[8..].copy_from_slice(&b.to_be_bytes());
    let unix = shared.unix_of(publish.peer, publish.at);
    let seal = |padding: usize| {
        let d = serde_json::json!({ "filler": filler(key, index, padding), "number": index });
        envelope::sign(&keypair, topic, unix, nonce, &d, &envelope::Dialect::default())
            .expect("sizes are checked when the scenario is")
    };
    let bare = seal(0).len();
    seal((publish.size as usize).saturating_sub(bare))
}
