//! The ranking of `tool.discover` (spec 4.3, decision T10), as a pure function over cards.
//!
//! What a card says about its own reputation is a hint at most (decision T8): what we know ourselves takes its place,
//! and of a peer we know nothing about a claim counts only up to [`Ranking::claim_max`].

use core::cmp::Ordering;

use super::payload::{Card, Tool};
use super::tags::normal_tag;
use crate::identity::PeerId;

/// Most results if the caller does not say (decision T10).
pub const DEFAULT_LIMIT: usize = 20;

/// The parameters of `tool.discover`.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// Each of its words must begin a word of the tool's name, description or capabilities; case does not matter. Words
    /// are runs of letters and digits. The spec does not say what matches; this is our choice.
    pub text: String,
    /// The tool must have all of these; case does not matter.
    pub capabilities: Vec<String>,
    /// Least reputation, inclusive.
    pub min_reputation: Option<f64>,
    /// Greatest latency in milliseconds, inclusive. A tool of unknown latency does not pass.
    pub max_latency: Option<f64>,
    /// Preferred region: `us` prefers `us` and `us-east`; case does not matter.
    pub geo: Option<String>,
    /// Most results.
    pub limit: usize,
}

/// Everything, up to [`DEFAULT_LIMIT`].
impl Default for Query {
    fn default() -> Self {
        Self {
            text: String::new(),
            capabilities: Vec::new(),
            min_reputation: None,
            max_latency: None,
            geo: None,
            limit: DEFAULT_LIMIT,
        }
    }
}

/// Settings of the ranking.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranking {
    /// Most that a claimed reputation counts for, 0 to 1.
    pub claim_max: f64,
    /// Added to the reputation of a tool in the preferred region for the order alone, 0 or more. Whatever it is, of two
    /// tools that are equal then the one in the region comes first.
    pub geo_boost: f64,
}

/// 0.5: where a reputation starts (decision P32). No boost beyond equals: results must come in the order of the
/// reputation that they show (HSP-4.3-08), and a region is claimed, not proven.
impl Default for Ranking {
    fn default() -> Self {
        Self { claim_max: 0.5, geo_boost: 0.0 }
    }
}

/// What this peer knows from its own experience.
pub trait Local {
    /// A peer's reputation, 0 to 1; `None` if there is nothing to go by.
    fn reputation(&self, peer: &PeerId) -> Option<f64>;
    /// Latency of a peer's tool in milliseconds as measured here, in the place of what the card says.
    fn latency(&self, _peer: &PeerId, _tool: &Tool) -> Option<f64> {
        None
    }
}

/// Reputation alone.
impl<F: Fn(&PeerId) -> Option<f64>> Local for F {
    fn reputation(&self, peer: &PeerId) -> Option<f64> {
        self(peer)
    }
}

/// One result.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranked<'a> {
    /// Who offers it.
    pub peer: PeerId,
    /// What it is.
    pub tool: &'a Tool,
    /// The reputation it was ranked by, 0 to 1, without any boost.
    pub reputation: f64,
    /// The latency it was ranked by, in milliseconds.
    pub avg_latency: Option<f64>,
    /// Whether it is in the preferred region.
    pub in_region: bool,
}

/// The tools that match, best first: by reputation (highest first), region, latency (lowest first, unknown last), id, and
/// at last the peer's id, so that the order of `cards` does not matter. Bring each peer's card once.
pub fn discover<'a>(
    query: &Query,
    ranking: &Ranking,
    cards: impl IntoIterator<Item = &'a Card>,
    local: &impl Local,
) -> Vec<Ranked<'a>> {
    let words: Vec<String> = words(&query.text).collect();
    let tags: Vec<String> = query.capabilities.iter().map(|tag| normal_tag(tag)).collect();
    let mut found = Vec::new();
    for card in cards {
        let reputation = reputation(card, ranking, local);
        if query.min_reputation.is_some_and(|min| reputation < min) {
            continue;
        }
        let in_region = query.geo.as_deref().is_some_and(|want| is_within(card.geo.as_deref(), want));
        for tool in card.tools.iter().filter(|tool| has_all(tool, &tags) && speaks_of(tool, &words)) {
            let stated = || tool.avg_latency.or(card.latency);
            let avg_latency = local.latency(&card.peer_id, tool).or_else(stated);
            if query.max_latency.is_none_or(|max| avg_latency.is_some_and(|latency| latency <= max)) {
                found.push(Ranked { peer: card.peer_id, tool, reputation, avg_latency, in_region });
            }
        }
    }
    found.sort_by(|a, b| order(ranking, a, b));
    found.truncate(query.limit);
    found
}

fn order(ranking: &Ranking, a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
    let rank = |r: &Ranked<'_>| r.reputation + if r.in_region { ranking.geo_boost } else { 0.0 };
    let latency = |r: &Ranked<'_>| r.avg_latency.unwrap_or(f64::INFINITY);
    rank(b)
        .total_cmp(&rank(a))
        .then(b.in_region.cmp(&a.in_region))
        .then(latency(a).total_cmp(&latency(b)))
        .then_with(|| a.tool.id.cmp(&b.tool.id))
        .then(a.peer.cmp(&b.peer))
}

/// Decision T8.
fn reputation(card: &Card, ranking: &Ranking, local: &impl Local) -> f64 {
    let own = local.reputation(&card.peer_id).filter(|own| own.is_finite());
    own.unwrap_or_else(|| card.reputation.unwrap_or(ranking.claim_max).min(ranking.claim_max)).clamp(0.0, 1.0)
}

fn has_all(tool: &Tool, tags: &[String]) -> bool {
    tags.iter().all(|tag| tool.capabilities.iter().any(|has| normal_tag(has) == *tag))
}

fn speaks_of(tool: &Tool, query: &[String]) -> bool {
    let texts = || [&tool.name, &tool.description].into_iter().chain(&tool.capabilities);
    query.iter().all(|word| texts().flat_map(|text| words(text)).any(|has| has.starts_with(word)))
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(normal_tag)
}

fn is_within(geo: Option<&str>, want: &str) -> bool {
    let (Some(geo), want) = (geo.map(normal_tag), normal_tag(want)) else { return false };
    geo.strip_prefix(&want).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
