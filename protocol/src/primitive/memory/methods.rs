//! The methods of spec 4.4: their parameters, results and answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Embedder;
use super::embed::Vector;
use super::place::Place;
use super::record::{CONTENT_MAX, Entry, METADATA_MAX, Memory};
use super::search::Question;
use super::write::Kind;
use crate::identity::PeerId;
use crate::primitive::agent::{Agent, Waiting};
use crate::primitive::call::{self, CallId, Caller, Fetched, Source, Tier};
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::{Code, Error};
use crate::primitive::iso;
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Name, Object, Share, Text, Whole};
use crate::primitive::records::Table;
use crate::ring::Position;
use crate::time::UnixMillis;

/// The tier of a memory that does not say (decision P19).
const WORKING: &str = "working";
/// The tier that `memory.archive` moves to.
pub(super) const ARCHIVAL: &str = "archival";
/// Most results of a search or a page.
pub(super) const LIMIT_MAX: u64 = 100;
/// Results of a search that does not say (our choice).
const SEARCH_LIMIT: u64 = 10;
/// Length of a page that does not say (our choice).
const LIST_LIMIT: u64 = 50;

/// What waits for an outside embedder.
#[derive(Debug)]
pub(super) enum Embedding {
    Store(CallId, Box<Memory>),
    Search(CallId, Question),
}

/// What a memory is looked up for, and on behalf of which session; `None` for the operator.
#[derive(Debug)]
pub(super) enum Purpose {
    Get(Option<String>),
    Delete(Option<String>),
    Archive(Option<String>),
}

impl Purpose {
    /// Whether whoever calls may do that to this memory. What is public can be read by all, but a session changes only its
    /// own.
    pub(super) fn allows(&self, memory: &Memory) -> bool {
        match self {
            Self::Get(session) => session.is_none() || memory.found_by(session.as_deref()),
            Self::Delete(session) | Self::Archive(session) => {
                session.is_none() || memory.session_id.as_deref() == session.as_deref()
            }
        }
    }
}

/// For whom a call speaks: the session it names, else the one whose token it came with.
fn session_of(session: Option<Name>, caller: &Caller) -> Option<String> {
    session.map(|session| session.to_string()).or_else(|| match &caller.tier {
        Tier::Session(own) => Some(own.to_string()),
        Tier::Operator => None,
    })
}

pub(super) fn answer(env: &mut Env<'_>, id: CallId, result: Result<String, Error>) {
    env.net.answer(call::Answer { id, result: result.map(Into::into) });
}

fn answer_with(env: &mut Env<'_>, id: CallId, result: &impl Serialize) {
    answer(env, id, Ok(serde_json::to_string(result).expect("results are plain data")));
}

fn text_of(peer: Option<PeerId>) -> String {
    peer.map(|peer| peer.to_string()).unwrap_or_default()
}

/// Remembers something.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// What.
    pub content: Text<1, CONTENT_MAX>,
    /// Whose it is: only this session finds it. Absent: it is public in the mesh.
    pub session_id: Option<Name>,
    /// Anything else. `subject` names whose data it is, for erasure.
    pub metadata: Option<Object>,
    /// Where it belongs, `working` if absent (decision P19).
    pub tier: Option<Text<1, 64>>,
}

/// A memory is stored.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// The primary.
    pub peer_id: String,
    /// How many hold it by now, the primary included (decision P17).
    pub replicas: usize,
}

impl Method for Store {
    const NAME: &'static str = "memory.store";
    const CLAUSE: &'static str = "4.4; P17, P18, P19";
    const ACCESS: Access = Access::Session;
    type Result = Stored;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Stored>, Error> {
        if let Some(session) = &self.session_id {
            env.live_session(session)?;
        }
        if self.metadata.as_ref().is_some_and(|metadata| metadata.get().len() > METADATA_MAX) {
            return Err(Error::param("metadata", format!("must have at most {METADATA_MAX} bytes")));
        }
        env.refuse_unsafe(&self.content.to_string().into())?;
        let id = env.fresh_id(Table::Memory, "mem-", 12);
        let memory = Memory {
            id: Name::new(id).expect("it is short"),
            content: self.content,
            metadata: self.metadata,
            session_id: self.session_id,
            tier: self.tier.unwrap_or_else(|| Text::new(WORKING).expect("not empty")),
            created: env.unix.0,
            stamp: agent.memory.stamp(env),
            author: None,
            vector: None,
        };
        match env.config.memory.embedder {
            Embedder::Hashing => agent.write(env, serving.id, Kind::Store, Entry::Memory(memory), None),
            Embedder::External => {
                let text = memory.content.to_string();
                agent.embed(env, &text, Embedding::Store(serving.id, Box::new(memory)))?;
            }
        }
        Ok(Reply::Later)
    }
}

/// Finds memories that are like a text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// The text.
    pub query: Text<1, CONTENT_MAX>,
    /// Only memories of this session; absent, only those of none.
    pub session_id: Option<Name>,
    /// Most results, 10 if absent.
    pub limit: Option<Whole<1, LIMIT_MAX>>,
    /// Least similarity, inclusive, 0 if absent (decision P20).
    pub threshold: Option<Share>,
    /// Only of this tier; absent, of all (decision P19).
    pub tier: Option<Text<1, 64>>,
}

/// What a search found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchResult {
    /// The most similar first.
    pub memories: Vec<Similar>,
    /// How long it took, in milliseconds.
    pub search_time: u64,
    /// True if not all storage peers that had to be asked answered in time, or if there are so many that some memory may
    /// lie only at others: an extension, absent otherwise.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
}

/// A memory that a search found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Similar {
    /// Its id.
    pub id: String,
    /// Its text.
    pub content: String,
    /// The cosine of its vector and the query's, 0 to 1.
    pub similarity: f64,
    /// As it was stored.
    pub metadata: Option<Object>,
    /// The primary.
    pub peer_id: String,
    /// When it was stored.
    pub created_at: String,
}

impl Method for Search {
    const NAME: &'static str = "memory.search";
    const CLAUSE: &'static str = "4.4; J13, P19, P20";
    const ACCESS: Access = Access::Shared;
    type Result = SearchResult;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<SearchResult>, Error> {
        if let Some(session) = &self.session_id {
            env.live_session(session)?;
        }
        let question = Question {
            session: self.session_id,
            tier: self.tier,
            threshold: self.threshold.unwrap_or_else(|| Share::new(0.0).expect("in range")),
            limit: self.limit.map_or(SEARCH_LIMIT, Whole::get) as usize,
            began: env.now,
        };
        match env.config.memory.embedder {
            Embedder::Hashing => agent.search(env, serving.id, question, Vector::of(&self.query)),
            Embedder::External => agent.embed(env, &self.query, Embedding::Search(serving.id, question))?,
        }
        Ok(Reply::Later)
    }
}

impl Agent {
    /// Has the outside embedder make a vector.
    fn embed(&mut self, env: &mut Env<'_>, text: &str, waits: Embedding) -> Result<(), Error> {
        let body = json!({ "input": text }).to_string();
        let id = self.fetch(env, Waiting::Memory, Source::Embedder, body);
        let id = id.ok_or_else(|| Error::new(Code::RateLimited, "too much is under way"))?;
        self.memory.embedding.insert(id, waits);
        Ok(())
    }

    /// The outside embedder made a vector, or did not.
    pub(super) fn embedded(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        let Some(waits) = self.memory.embedding.remove(&id) else { return };
        let vector = fetched.map_err(String::from).and_then(|text| {
            vector_of(&text).ok_or_else(|| "the embedder's answer has no vector".to_owned())
        });
        match (waits, vector) {
            (Embedding::Store(call, mut memory), Ok(vector)) => {
                memory.vector = Some(vector.text());
                self.write(env, call, Kind::Store, Entry::Memory(*memory), None);
            }
            (Embedding::Search(call, question), Ok(vector)) => self.search(env, call, question, vector),
            (Embedding::Store(call, _) | Embedding::Search(call, _), Err(problem)) => {
                let text = format!("the embedder failed: {problem}");
                answer(env, call, Err(Error::new(Code::Internal, text)));
            }
        }
    }
}

/// The first vector of an answer of `/v1/embeddings`.
fn vector_of(text: &str) -> Option<Vector> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        embedding: Vec<f64>,
    }
    let answer: Answer = serde_json::from_str(text).ok()?;
    Vector::from_reals(&answer.data.first()?.embedding)
}

pub(super) fn answer_search(
    env: &mut Env<'_>,
    call: CallId,
    found: Vec<(f64, Memory)>,
    (search_time, partial): (u64, bool),
    place: &mut Place,
) {
    let similar = |(similarity, memory): (f64, Memory)| Similar {
        similarity,
        peer_id: text_of(place.replicas(env, Position::of(memory.id.as_bytes())).first().copied()),
        id: memory.id.to_string(),
        content: memory.content.to_string(),
        metadata: memory.metadata,
        created_at: iso(UnixMillis(memory.created)),
    };
    let memories = found.into_iter().map(similar).collect();
    answer_with(env, call, &SearchResult { memories, search_time, partial });
}

/// Tells a memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Get {
    /// Which.
    pub id: Name,
    /// On behalf of which session: an extension.
    pub session_id: Option<Name>,
}

/// A memory.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its id.
    pub id: String,
    /// As it was stored.
    pub content: String,
    /// As it was stored.
    pub metadata: Option<Object>,
    /// The primary.
    pub peer_id: String,
    /// Whose it is, if it is not public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where it belongs.
    pub tier: String,
    /// When it was stored.
    pub created_at: String,
}

impl Told {
    fn new(memory: Memory, primary: Option<PeerId>) -> Self {
        Self {
            id: memory.id.to_string(),
            content: memory.content.to_string(),
            metadata: memory.metadata,
            peer_id: text_of(primary),
            session_id: memory.session_id.map(|session| session.to_string()),
            tier: memory.tier.to_string(),
            created_at: iso(UnixMillis(memory.created)),
        }
    }
}

impl Method for Get {
    const NAME: &'static str = "memory.get";
    const CLAUSE: &'static str = "4.4; J11, P31";
    const ACCESS: Access = Access::Shared;
    type Result = Told;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, serving: Serving<'_>) -> Result<Reply<Told>, Error> {
        let purpose = Purpose::Get(session_of(self.session_id, serving.caller));
        agent.find(env, serving.id, self.id, purpose);
        Ok(Reply::Later)
    }
}

pub(super) fn answer_get(env: &mut Env<'_>, call: CallId, memory: &Memory, primary: Option<PeerId>) {
    answer_with(env, call, &Told::new(memory.clone(), primary));
}

/// The memory is there and the caller may change it, but this peer cannot: the others would not believe it.
pub(super) fn answer_not_ours(env: &mut Env<'_>, call: CallId) {
    let text = "only the peer that stored a memory and its replicas can change it";
    answer(env, call, Err(Error::new(Code::Forbidden, text)));
}

/// The memory is not there, or not for the caller.
pub(super) fn answer_missing(env: &mut Env<'_>, call: CallId, purpose: &Purpose, id: &str) {
    match purpose {
        Purpose::Delete(_) => answer_with(env, call, &Deleted { deleted: false }),
        Purpose::Get(_) | Purpose::Archive(_) => answer(env, call, Err(Error::not_found("memory", id))),
    }
}

/// Lists the memories of a session, in the order in which they were stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// Which session.
    pub session_id: Name,
    /// Length of the page, 50 if absent.
    pub limit: Option<Whole<1, LIMIT_MAX>>,
    /// How many come before the page, 0 if absent.
    pub offset: Option<Whole<0, 1_000_000>>,
}

/// A page of a session's memories.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Listed {
    /// The oldest first.
    pub memories: Vec<Told>,
    /// How many there are on all pages.
    pub total: usize,
    /// As in [`SearchResult`]: an extension, absent unless true.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub partial: bool,
}

impl Method for List {
    const NAME: &'static str = "memory.list";
    const CLAUSE: &'static str = "4.4";
    const ACCESS: Access = Access::Session;
    type Result = Listed;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Listed>, Error> {
        env.live_session(&self.session_id)?;
        let limit = self.limit.map_or(LIST_LIMIT, Whole::get) as usize;
        let offset = self.offset.map_or(0, Whole::get) as usize;
        agent.list(env, serving.id, self.session_id, (limit, offset));
        Ok(Reply::Later)
    }
}

pub(super) fn answer_list(
    env: &mut Env<'_>,
    call: CallId,
    texts: Vec<Memory>,
    (total, partial): (usize, bool),
    place: &mut Place,
) {
    let told = |memory: Memory| {
        let primary = place.replicas(env, Position::of(memory.id.as_bytes())).first().copied();
        Told::new(memory, primary)
    };
    let memories = texts.into_iter().map(told).collect();
    answer_with(env, call, &Listed { memories, total, partial });
}

/// Deletes a memory everywhere, for good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// Which.
    pub id: Name,
    /// On behalf of which session, whose it must be then: an extension.
    pub session_id: Option<Name>,
}

/// Whether a memory was deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deleted {
    /// False if it was not there.
    pub deleted: bool,
}

impl Method for Delete {
    const NAME: &'static str = "memory.delete";
    const CLAUSE: &'static str = "4.4, 9.3";
    const ACCESS: Access = Access::Session;
    type Result = Deleted;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Deleted>, Error> {
        let purpose = Purpose::Delete(session_of(self.session_id, serving.caller));
        agent.find(env, serving.id, self.id, purpose);
        Ok(Reply::Later)
    }
}

/// Moves a memory to the tier `archival`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Which.
    pub id: Name,
    /// On behalf of which session, whose it must be then: an extension.
    pub session_id: Option<Name>,
}

/// A memory was archived.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Archived {
    /// True.
    pub archived: bool,
    /// `archival`.
    pub tier: &'static str,
}

impl Method for Archive {
    const NAME: &'static str = "memory.archive";
    const CLAUSE: &'static str = "4.4; J11, P19";
    const ACCESS: Access = Access::Session;
    type Result = Archived;

    fn session(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Archived>, Error> {
        let purpose = Purpose::Archive(session_of(self.session_id, serving.caller));
        agent.find(env, serving.id, self.id, purpose);
        Ok(Reply::Later)
    }
}

pub(super) fn answer_write(
    env: &mut Env<'_>,
    call: CallId,
    kind: Kind,
    entry: &Entry,
    primary: Option<PeerId>,
    replicas: usize,
) {
    match kind {
        Kind::Store => {
            let stored = Stored { id: entry.id().to_string(), peer_id: text_of(primary), replicas };
            answer_with(env, call, &stored);
        }
        Kind::Archive => answer_with(env, call, &Archived { archived: true, tier: ARCHIVAL }),
        Kind::Delete => answer_with(env, call, &Deleted { deleted: true }),
    }
}
