//! Who announces a capability card, on which topic, and who follows whom.

use std::ops::Range;

use hyperspace_protocol::card::{Card, Tool};
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::TopicRef;
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::Duration;

use crate::event::mix;
use crate::net::sample_distinct;
use crate::scenario::{CardTopics, Scenario, Workload};
use crate::shared::Shared;

/// The cards workload of a run, of which there is at most one.
#[derive(Debug)]
pub(crate) struct CardPlan {
    peers: Range<u32>,
    followers: Range<u32>,
    follow: u32,
    topics: CardTopics,
    key: u64,
}

impl CardPlan {
    pub(super) fn new(scenario: &Scenario) -> Option<Self> {
        let cards = scenario.workloads.iter().find_map(|workload| match workload {
            Workload::Cards(cards) => Some(cards),
            Workload::Publish { .. }
            | Workload::G8 { .. }
            | Workload::Lookups(_)
            | Workload::Records(_)
            | Workload::Ring(_)
            | Workload::Call(_) => None,
        })?;
        Some(Self {
            peers: scenario.peers_of(cards.group),
            followers: scenario.peers_of(cards.followers),
            follow: cards.follow,
            topics: cards.topics,
            key: purpose_key(scenario.run.seed, "followed"),
        })
    }

    /// Whether a peer announces a card.
    pub(crate) fn takes_part(&self, peer: u32) -> bool {
        self.peers.contains(&peer)
    }

    /// Whom a peer follows: the same whenever it comes up.
    pub(crate) fn followed_by(&self, peer: u32) -> impl Iterator<Item = u32> {
        let (first, count) = (self.peers.start, self.peers.end - self.peers.start);
        let mut draws = Stream::new(self.key, peer.into());
        let wanted = if self.followers.contains(&peer) { self.follow } else { 0 };
        let itself = peer.checked_sub(first).filter(|place| *place < count);
        sample_distinct(&mut draws, count, wanted, itself).into_iter().map(move |p| first + p)
    }

    /// A card like any other: one tool with two tags.
    pub(crate) fn card_of(&self, peer: u32, shared: &Shared) -> Card {
        Card {
            seq: 0,
            peer_id: shared.messages.ids()[peer as usize],
            tools: vec![Tool {
                id: format!("tool-{peer}"),
                name: format!("search-{peer}"),
                description: "Looks things up.".into(),
                capabilities: vec!["search".into(), format!("domain-{}", peer % 16)],
                avg_latency: None,
                schema: None,
            }],
            task_types: vec!["web-research".into()],
            reputation: None,
            geo: None,
            latency: Some(Duration::from_millis(100).as_millis_f64()),
            metadata: None,
        }
    }
}

/// The topics of capability cards: a range of the run's topics.
#[derive(Debug)]
pub(crate) struct CardTopicTable {
    first: u32,
    count: u32,
    peers: Range<u32>,
    topics: CardTopics,
}

impl CardTopicTable {
    /// Adds the topics to those that there are already.
    pub(super) fn new(plan: &CardPlan, ids: &[PeerId], names: &mut Vec<String>) -> Self {
        let first = names.len() as u32;
        match plan.topics {
            CardTopics::PerPeer => {
                let name = |peer: u32| format!("hyperspace/capabilities/{}", ids[peer as usize]);
                names.extend(plan.peers.clone().map(name));
            }
            CardTopics::Buckets(n) => {
                names.extend((0..n).map(|bucket| format!("hyperspace/capabilities/bucket-{bucket}")));
            }
        }
        let count = names.len() as u32 - first;
        Self { first, count, peers: plan.peers.clone(), topics: plan.topics }
    }

    /// Where a peer announces its card.
    pub(crate) fn of(&self, peer: u32) -> Option<TopicRef> {
        let place = peer.checked_sub(self.peers.start).filter(|_| self.peers.contains(&peer))?;
        let place = match self.topics {
            CardTopics::PerPeer => place,
            CardTopics::Buckets(n) => (mix(peer.into()) % u64::from(n)) as u32,
        };
        Some(TopicRef(self.first + place))
    }

    /// Whether cards are announced there.
    pub(crate) const fn holds(&self, topic: TopicRef) -> bool {
        self.first <= topic.0 && topic.0 < self.first + self.count
    }

    /// The one peer that may announce there, if there is only one.
    pub(crate) fn owner(&self, topic: TopicRef) -> Option<u32> {
        match self.topics {
            CardTopics::PerPeer if self.holds(topic) => Some(self.peers.start + topic.0 - self.first),
            CardTopics::PerPeer | CardTopics::Buckets(_) => None,
        }
    }
}
