//! Tests of the card machines, and what they share.

mod announcer;
mod discover;
mod evidence;
mod hostile;
mod laws;
mod payload;
mod tracker;

use std::sync::Arc;

use super::*;
use crate::identity::PeerId;
use crate::rng::{Stream, purpose_key};
use crate::time::{Duration, Instant, UnixMillis};

/// The peer of number `n`; peers are ordered as their numbers.
pub(super) fn peer(n: u32) -> PeerId {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_public_key(key)
}

/// A small card with one tool.
pub(super) fn card(n: u32, seq: u64) -> Card {
    Card {
        seq,
        peer_id: peer(n),
        tools: vec![tool("web-search", &["search", "scrape"])],
        task_types: vec!["web-research".to_owned()],
        reputation: Some(0.9),
        geo: Some("us-east".to_owned()),
        latency: Some(230.0),
        metadata: None,
    }
}

fn tool(name: &str, tags: &[&str]) -> Tool {
    Tool {
        id: format!("tool-{name}"),
        name: name.to_owned(),
        description: "Full-text web search".to_owned(),
        capabilities: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        avg_latency: None,
        schema: None,
    }
}

/// [`card`], ready to be heard.
fn published(n: u32, seq: u64) -> Arc<Published> {
    Arc::new(Published::new(&card(n, seq)).expect("within bounds"))
}

/// Another card with the same `seq`.
fn rival(n: u32, seq: u64) -> Arc<Published> {
    let other = Card { geo: None, ..card(n, seq) };
    Arc::new(Published::new(&other).expect("within bounds"))
}

fn beat(card: &Published) -> Heartbeat {
    Heartbeat { seq: card.seq, card_hash: card.hash(), ttl_ms: 300_000 }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// A driver: lends what a machine needs and holds what it gave back.
struct Rig {
    now: Instant,
    unix: UnixMillis,
    config: Config,
    rng: Stream,
    counters: Counters,
    out: Vec<Output>,
}

impl Rig {
    fn new() -> Self {
        Self {
            now: Instant::ZERO,
            unix: UnixMillis(1000),
            config: Config::default(),
            rng: Stream::new(purpose_key(1, "card"), 0),
            counters: Counters::default(),
            out: Vec::new(),
        }
    }

    fn cx(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            unix: self.unix,
            config: &self.config,
            rng: &mut self.rng,
            counters: &mut self.counters,
            out: &mut self.out,
        }
    }

    /// The same at another time.
    fn at(&mut self, now: Instant) -> Context<'_> {
        self.now = now;
        self.cx()
    }

    fn take(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.out)
    }

    /// All counters that are not zero.
    fn counted(&self) -> Vec<(Count, u64)> {
        let counts = Count::NAMES.iter().map(|(count, _)| (*count, self.counters.get(*count)));
        counts.filter(|(_, n)| *n > 0).collect()
    }
}
