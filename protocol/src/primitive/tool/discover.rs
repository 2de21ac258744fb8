//! `tool.discover`: own tools, those of followed peers, and those whose tags the DHT knows.
//!
//! The DHT names providers of a tag; what they offer is in their cards, which come when they are followed. The call waits
//! for both, but not for long: an answer with what is there by then beats a complete one.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analytics::Experience;
use crate::card::{self, Ranking, TAGS_MAX, normal_tag, tag_key};
use crate::identity::PeerId;
use crate::primitive::QueryEnd;
use crate::primitive::agent::{Agent, Waiting};
use crate::primitive::call::{Answer, CallId};
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::Error;
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Json, Real, Share, Text, Whole};
use crate::request::Query;
use crate::time::Instant;

/// Most tags of one search that the DHT is asked about (our choice).
const LOOKUPS_MAX: usize = 8;
/// Most searches that wait; one more answers with what is known (our choice).
const SEARCHES_MAX: usize = 256;
/// Largest latency in milliseconds, as in a card: a day.
const LATENCY_MAX: i64 = card::LATENCY_MAX as i64;

/// A search that waits for the DHT or for cards.
#[derive(Debug)]
pub(super) struct Search {
    query: card::Query,
    /// Lookups under way.
    lookups: BTreeSet<u64>,
    /// Providers whose cards are not here yet.
    missing: BTreeSet<PeerId>,
    /// How many peers it began to follow.
    followed: usize,
    deadline: Instant,
}

/// Finds tools by what they are called, do and can.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discover {
    /// Words, each of which must begin a word of the tool's name, description or capabilities. Empty for any tool. Peers whose
    /// cards are not here yet are found by capabilities alone: those below, else those that are a word of this.
    pub query: Text<0, 1024>,
    /// What it must be capable of, all of it (decision T10).
    pub capabilities: Option<Vec<Text<1, { card::TAG_MAX }>>>,
    /// Least reputation of its peer, inclusive.
    pub min_reputation: Option<Share>,
    /// Greatest latency in milliseconds, inclusive. A tool of unknown latency does not pass.
    pub max_latency: Option<Real<0, LATENCY_MAX>>,
    /// A region to prefer, such as `us-east`.
    pub geo: Option<Text<1, { card::GEO_MAX }>>,
    /// Most results, 20 if absent (decision T10): an extension.
    pub limit: Option<Whole<1, 100>>,
}

/// Tools that match.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundTools {
    /// Best first: by reputation, then region, latency and id.
    pub tools: Vec<Found>,
}

/// A tool that matches.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its id, for `tool.invoke`.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Who carries it out.
    pub peer_id: String,
    /// What it does.
    pub description: String,
    /// Its tags.
    pub capabilities: Vec<String>,
    /// Its peer's, 0 to 1: from experience, else what the card claims up to where a reputation starts (decision T8).
    pub reputation: f64,
    /// In milliseconds: from experience, else what the card says; null if it does not, as of a tool that never ran. Own
    /// tools that never ran have 0.
    pub avg_latency: Option<f64>,
    /// What it takes and gives: `{input, output}`, as the peer wrote it.
    pub schema: Json,
}

impl Discover {
    fn query(&self) -> Result<card::Query, Error> {
        let capabilities = self.capabilities.as_deref().unwrap_or_default();
        if capabilities.len() > TAGS_MAX {
            return Err(Error::param("capabilities", format!("has more than {TAGS_MAX} elements")));
        }
        Ok(card::Query {
            text: self.query.to_string(),
            capabilities: capabilities.iter().map(ToString::to_string).collect(),
            min_reputation: self.min_reputation.map(Share::get),
            max_latency: self.max_latency.map(Real::get),
            geo: self.geo.as_ref().map(ToString::to_string),
            limit: self.limit.map_or(card::DEFAULT_LIMIT, |limit| limit.get() as usize),
        })
    }
}

/// The tags to ask the DHT about: those wanted, else the words of the query, as a tag often is one of them.
fn tags(query: &card::Query) -> BTreeSet<String> {
    let words = || query.text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let tags: BTreeSet<String> = match &query.capabilities[..] {
        [] => words().map(normal_tag).filter(|tag| tag.len() <= card::TAG_MAX).collect(),
        wanted => wanted.iter().map(|tag| normal_tag(tag)).collect(),
    };
    tags.into_iter().take(LOOKUPS_MAX).collect()
}

impl Method for Discover {
    const NAME: &'static str = "tool.discover";
    const CLAUSE: &'static str = "4.3; T8, T9, T10";
    const ACCESS: Access = Access::Shared;
    type Result = FoundTools;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<FoundTools>, Error> {
        let query = self.query()?;
        let mut lookups = BTreeSet::new();
        if agent.tool.searches.len() < SEARCHES_MAX {
            for tag in tags(&query) {
                lookups.extend(agent.query(env, Waiting::Tool, Query::FindProviders(tag_key(&tag))));
            }
        }
        if lookups.is_empty() {
            return Ok(agent.found(env, &query).into());
        }
        let deadline = env.now + env.config.tool.discover_wait;
        let search = Search { query, lookups, missing: BTreeSet::new(), followed: 0, deadline };
        agent.tool.searches.insert(serving.id, search);
        agent.tool.checks.insert((deadline, serving.id));
        Ok(Reply::Later)
    }
}

impl Agent {
    /// The DHT has answered one of a search's lookups.
    pub(super) fn search_query(&mut self, env: &mut Env<'_>, token: u64, end: QueryEnd) {
        let Some((&call, search)) =
            self.tool.searches.iter_mut().find(|(_, search)| search.lookups.contains(&token))
        else {
            return;
        };
        search.lookups.remove(&token);
        if let QueryEnd::Providers(providers) = end {
            let known: BTreeSet<PeerId> = env.net.cards().iter().map(|card| card.card().peer_id).collect();
            for peer in providers {
                let news = peer != env.own && !known.contains(&peer) && !search.missing.contains(&peer);
                if news && search.followed < env.config.tool.discover_peers_max {
                    search.followed += 1;
                    search.missing.insert(peer);
                    env.net.follow(&peer);
                }
            }
        }
        if search.lookups.is_empty() {
            self.check_search(env, call);
        }
    }

    /// Answers if all that was wanted is here, or time is up; else looks again later.
    pub(super) fn check_search(&mut self, env: &mut Env<'_>, call: CallId) {
        let Some(search) = self.tool.searches.get_mut(&call) else { return };
        for card in env.net.cards() {
            search.missing.remove(&card.card().peer_id);
        }
        let waits = !search.lookups.is_empty() || !search.missing.is_empty();
        if waits && env.now < search.deadline {
            let check = (env.now + env.config.tool.discover_check).min(search.deadline);
            self.tool.checks.insert((check, call));
            return;
        }
        if let Some(search) = self.tool.searches.remove(&call) {
            self.tool.checks.retain(|(_, waiting)| *waiting != call);
            let found = self.found(env, &search.query);
            let text = serde_json::to_string(&found).expect("results are plain data");
            env.net.answer(Answer { id: call, result: Ok(text.into()) });
        }
    }

    /// What is known here.
    fn found(&self, env: &Env<'_>, query: &card::Query) -> FoundTools {
        let own = self.own_card(env);
        let others = env.net.cards();
        let others = others.iter().map(|card| card.card()).filter(|card| card.peer_id != env.own);
        let experience = Experience(env);
        let cards = others.chain([&own]);
        let ranked = card::discover(query, &Ranking::default(), cards, &experience);
        let tools = ranked.into_iter().map(|ranked| Found {
            id: ranked.tool.id.clone(),
            name: ranked.tool.name.clone(),
            peer_id: ranked.peer.to_string(),
            description: ranked.tool.description.clone(),
            capabilities: ranked.tool.capabilities.clone(),
            reputation: ranked.reputation,
            avg_latency: ranked.avg_latency,
            schema: schema(ranked.tool),
        });
        FoundTools { tools: tools.collect() }
    }
}

/// `{}` takes and gives anything: the schema of a tool whose card does not say.
fn schema(tool: &card::Tool) -> Json {
    let text = tool.schema.as_ref().map_or(r#"{"input":{},"output":{}}"#, |schema| schema.get());
    serde_json::from_str(text).expect("a card holds JSON")
}
