//! What peers ask each other over `/hyperspace/memory/1`, and how this peer answers.

use serde::{Deserialize, Serialize};

use super::held::{Merged, Shape, Wanted, held, known};
use super::record::{Entry, Memory, Stamp};
use super::{embed::Vector, methods::LIMIT_MAX};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::env::Env;
use crate::primitive::params::{Name, Share, Text};

/// Most bytes of memories in one answer (our choice: half of a frame, as JSON escapes take room).
const ANSWER_MAX: usize = 400 * 1024;
/// Most entries given at once (our choice).
pub(super) const GIVEN_MAX: usize = 512;
/// Most ids in one answer (our choice).
pub(super) const IDS_MAX: usize = 8192;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Ask {
    /// Hold this memory, or forget it for good.
    Store(Entry),
    /// What do you know of this id?
    Get(Name),
    /// Take these over, as many as you can. Whoever gives them does so to keep replicas alike.
    Give(Vec<Entry>),
    /// Which memories of this session do you hold?
    #[serde(rename_all = "camelCase")]
    List { session_id: Name },
    /// Which memories that you hold are like this?
    Search(Like),
    /// These are the memories that I hold of those which both of us should, after one id and up to another.
    Sync(Window),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Like {
    pub(super) vector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tier: Option<Text<1, 64>>,
    pub(super) threshold: Share,
    pub(super) limit: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Window {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upto: Option<String>,
    pub(super) held: Vec<(String, Stamp)>,
}

/// An answer; what is absent was not asked for or is not there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tell {
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The memory was deleted.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub(super) deleted: bool,
    /// What is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entries: Vec<Entry>,
    /// How similar each of them is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) similarities: Vec<Share>,
    /// Ids of a session, with the times of their creation in Unix milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<(Name, u64)>,
    /// Ids of memories that are wanted in return.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) want: Vec<Name>,
    /// Ids of memories that were given and not taken over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<Name>,
}

/// About how many bytes an entry takes in a message, escapes of JSON apart.
fn bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Memory(memory) => memory.bytes() + 512,
        Entry::Tombstone(_) => 256,
    }
}

/// Deals entries out to as few questions as can carry them, `most` at most; what is left over is not given.
pub(super) fn gifts(entries: impl IntoIterator<Item = Entry>, most: usize) -> Vec<Ask> {
    let (mut gifts, mut gift, mut room) = (Vec::new(), Vec::new(), ANSWER_MAX);
    for entry in entries {
        let bytes = bytes(&entry);
        if !gift.is_empty() && (bytes > room || gift.len() == GIVEN_MAX) {
            gifts.push(Ask::Give(core::mem::take(&mut gift)));
            room = ANSWER_MAX;
            if gifts.len() == most {
                return gifts;
            }
        }
        room = room.saturating_sub(bytes);
        gift.push(entry);
    }
    if !gift.is_empty() {
        gifts.push(Ask::Give(gift));
    }
    gifts
}

impl Tell {
    pub(super) fn refused(why: &str) -> Self {
        Self { error: Some(why.to_owned()), ..Self::default() }
    }

    /// Adds an entry if it fits; false if there is no more room.
    pub(super) fn add(&mut self, room: &mut usize, entry: Entry) -> bool {
        let bytes = bytes(&entry);
        let fits = bytes <= *room;
        if fits {
            *room -= bytes;
            self.entries.push(entry);
        }
        fits
    }

    pub(super) const fn room() -> usize {
        ANSWER_MAX
    }
}

impl Agent {
    /// Answers a question.
    pub(super) fn memory_serve(&mut self, env: &mut Env<'_>, from: PeerId, ask: Ask) -> Tell {
        if !env.config.memory.store {
            return Tell::refused("no memories are stored here");
        }
        self.round_soon_if_none(env);
        // What may be shown and believed depends on who the replicas are.
        self.memory.place.changed(env);
        match ask {
            Ask::Store(entry) => match self.memory.merge(env, from, &entry) {
                Merged::Held => Tell::default(),
                Merged::Deleted => Tell { deleted: true, ..Tell::default() },
                Merged::Refused => Tell::refused("there is no room for it, or it is not yours to change"),
            },
            Ask::Give(entries) => {
                let entries = entries.into_iter().take(GIVEN_MAX);
                let refused = entries.filter(|entry| self.memory.merge(env, from, entry) == Merged::Refused);
                Tell { refused: refused.map(|entry| entry.id().clone()).collect(), ..Tell::default() }
            }
            Ask::Get(id) => {
                let shown = known(env, &id).filter(|entry| match entry {
                    Entry::Memory(_) => self.shows(env, &from, &id),
                    Entry::Tombstone(_) => true,
                });
                Tell { entries: shown.into_iter().collect(), ..Tell::default() }
            }
            Ask::List { session_id } => {
                let own = self.memory.index.of_session(&session_id);
                let own = own.filter(|(_, shape)| self.memory.shows(env, &from, shape)).take(IDS_MAX);
                let ids = own.filter_map(|(id, shape)| Some((Name::new(id).ok()?, shape.created)));
                Tell { ids: ids.collect(), ..Tell::default() }
            }
            Ask::Search(like) => self.serve_search(env, from, &like),
            Ask::Sync(window) => self.serve_sync(env, from, &window),
        }
    }

    fn shows(&self, env: &Env<'_>, to: &PeerId, id: &str) -> bool {
        self.memory.index.shapes.get(id).is_some_and(|shape| self.memory.shows(env, to, shape))
    }

    fn serve_search(&self, env: &Env<'_>, from: PeerId, like: &Like) -> Tell {
        let Some(vector) = Vector::parse(&like.vector) else { return Tell::refused("not a vector") };
        let wanted = Wanted {
            vector: &vector,
            session: like.session_id.as_deref(),
            tier: like.tier.as_deref(),
            threshold: like.threshold.get(),
            limit: like.limit.min(LIMIT_MAX as usize),
        };
        let (mut tell, mut room) = (Tell::default(), Tell::room());
        for (similarity, memory) in self.matches(env, from, &wanted) {
            if !tell.add(&mut room, Entry::Memory(memory)) {
                break;
            }
            tell.similarities.push(Share::new(similarity).expect("a similarity is a share"));
        }
        tell
    }

    /// The memories held here that a search asks for and that may be shown to a peer, best first.
    pub(super) fn matches(&self, env: &Env<'_>, to: PeerId, wanted: &Wanted<'_>) -> Vec<(f64, Memory)> {
        let shows = |shape: &Shape| to == env.own || self.memory.shows(env, &to, shape);
        let found = self.memory.index.search(wanted, shows).into_iter();
        found.filter_map(|(similarity, id)| Some((similarity, held(env, id)?))).collect()
    }
}
