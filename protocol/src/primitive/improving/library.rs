//! The library of trajectories: the records, what is kept of each in memory, and what goes when there are too many.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::super::env::Env;
use super::super::params::Json;
use super::super::records::Table;
use crate::identity::PeerId;

/// How a trajectory stands (spec 5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// A verdict is outstanding. No trajectory here ever is: its reward is the verdict (decision P12).
    Pending,
    /// The reward is as high as the setting `success_min`, or higher.
    Success,
    /// The reward is lower.
    Failed,
    /// A failed one mended with the steps of another; not yet tried.
    Augmented,
}

/// A step as peers see it: its parameters and result stay with whoever took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What was done.
    pub action: String,
    /// With which tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// How long that took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "plain_option")]
    pub duration: Option<f64>,
}

/// What a trajectory says, apart from who says it. Its hash identifies it in the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    pub(super) task_type: String,
    #[serde(default = "null")]
    pub(super) input: Json,
    #[serde(default = "null")]
    pub(super) output: Json,
    pub(super) steps: Vec<Step>,
    #[serde(serialize_with = "plain")]
    pub(super) reward: f64,
    pub(super) state: State,
    #[serde(default)]
    pub(super) derived_from: Vec<String>,
}

impl Content {
    /// SHA-256 over its canonical form (RFC 8785) in hex; `None` if it has none.
    pub(super) fn hash(&self) -> Option<String> {
        let text = serde_json::to_string(self).ok()?;
        let canonical = serde_json_canonicalizer::pipe(&text).ok()?;
        Some(hex(&Sha256::digest(canonical)))
    }

    /// Input and actions as one text, for likeness.
    pub(super) fn text(&self) -> String {
        let mut text = self.input.get().to_owned();
        for step in &self.steps {
            text.push(' ');
            text.push_str(&step.action);
        }
        text
    }
}

pub(super) fn null() -> Json {
    Json::of(&())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole numbers as such, as peers write them: 340 and not 340.0.
pub(super) fn plain<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Below 2^53 every whole float is an integer.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return serializer.serialize_i64(*number as i64);
    }
    serializer.serialize_f64(*number)
}

fn plain_option<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => plain(number, serializer),
        None => serializer.serialize_none(),
    }
}

/// What this peer knows of a trajectory beyond its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Its author's id of it: two authors may have the same.
    pub(super) id: String,
    #[serde(serialize_with = "peer_text", deserialize_with = "text_peer")]
    pub(super) author: PeerId,
    /// The content's hash in hex.
    pub(super) hash: String,
    /// Whether it may go to other peers. Only what was recorded here can.
    pub(super) shared: bool,
    /// When it came, Unix milliseconds.
    pub(super) seen: u64,
    /// How often it was handed out as an exemplar.
    pub(super) uses: u64,
    /// How many own runs followed it, each counted as its share among the exemplars of the run.
    pub(super) weight: f64,
    /// The sum of those runs' outcomes, counted likewise.
    pub(super) outcomes: f64,
}

fn peer_text<S: Serializer>(peer: &PeerId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(peer)
}

fn text_peer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// The record of a trajectory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trajectory {
    pub(super) head: Head,
    pub(super) content: Content,
    /// The first step that failed, as far as the caller said.
    pub(super) failing: Option<usize>,
    /// Whose data it is, for erasure.
    pub(super) subject: Option<String>,
    /// What `improving.augment` found wrong with it.
    pub(super) feedback: Option<String>,
}

/// How much the reward that an author claims counts against outcomes of own runs, in runs. Our choice: the exemplar
/// curation of arXiv:2505.00234 weighs by retrieval too, but gives no prior.
const PRIOR: f64 = 3.0;

/// What is kept in memory of each record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) head: Head,
    pub(super) reward: f64,
    pub(super) state: State,
    /// How many bytes the record has.
    pub(super) bytes: u64,
}

impl Held {
    fn of(trajectory: &Trajectory, bytes: u64) -> Self {
        let Content { reward, state, .. } = trajectory.content;
        Self { head: trajectory.head.clone(), reward, state, bytes }
    }

    /// What it is worth, 0 to 1: the mean outcome of own runs that had it as an exemplar, with the claimed reward as
    /// [`PRIOR`] (decision P16).
    pub(super) fn utility(&self) -> f64 {
        (PRIOR * self.reward.max(0.0) + self.head.outcomes) / (PRIOR + self.head.weight)
    }
}

/// The key of a record: the task type's hash first, so that its library is one range.
pub(super) type Key = [u8; 32];

pub(super) fn task_prefix(task: &str) -> [u8; 16] {
    Sha256::digest(task)[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

fn key(task: &str, head: &Head) -> Key {
    let mut hash = Sha256::new();
    hash.update(head.author.as_bytes());
    hash.update(&head.id);
    let mut key = [0; 32];
    key[..16].copy_from_slice(&task_prefix(task));
    key[16..].copy_from_slice(&hash.finalize()[..16]);
    key
}

/// Where it is noted how often a trajectory was handed out, so that handing it out does not write the whole of it again. The
/// number in the trajectory's own record is that of when it was last written.
const USES: &[u8] = b"improving/uses/";

fn uses_key(key: &Key) -> Vec<u8> {
    [USES, key].concat()
}

/// How much there is of something.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) count: usize,
    pub(super) bytes: u64,
}

/// One author's part of the bytes of a library is at most one in so many (our choice).
const AUTHORS_LEAST: u64 = 5;

/// The index over the records. It is made from them at a start and follows every change.
#[derive(Debug, Default)]
pub(super) struct Library {
    held: BTreeMap<Key, Held>,
    by_id: BTreeSet<(String, Key)>,
    by_hash: BTreeSet<(String, Key)>,
    /// How much of each author.
    authors: BTreeMap<PeerId, Amount>,
    /// How many bytes the records have together.
    bytes: u64,
}

impl Library {
    /// Reads the records.
    pub(super) fn load(env: &Env<'_>) -> Self {
        let mut library = Self::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let found = env.records.scan(Table::Trajectory, b"", after.as_deref(), 256);
            for (key, value) in &found {
                let Ok(key) = Key::try_from(&key[..]) else { continue };
                if let Ok(mut trajectory) = serde_json::from_slice::<Trajectory>(value) {
                    let noted = env.records.load::<u64>(Table::Fact, &uses_key(&key)).unwrap_or_default();
                    trajectory.head.uses = trajectory.head.uses.max(noted);
                    library.index(key, Held::of(&trajectory, value.len() as u64));
                }
            }
            match found.last() {
                Some((key, _)) if found.len() == 256 => after = Some(key.clone()),
                _ => return library,
            }
        }
    }

    fn index(&mut self, key: Key, held: Held) {
        self.forget(&key);
        self.by_id.insert((held.head.id.clone(), key));
        self.by_hash.insert((held.head.hash.clone(), key));
        let of_author = self.authors.entry(held.head.author).or_default();
        of_author.count += 1;
        of_author.bytes += held.bytes;
        self.bytes += held.bytes;
        self.held.insert(key, held);
    }

    fn forget(&mut self, key: &Key) {
        let Some(held) = self.held.remove(key) else { return };
        self.by_id.remove(&(held.head.id, *key));
        self.by_hash.remove(&(held.head.hash, *key));
        self.bytes -= held.bytes;
        if let Some(of_author) = self.authors.get_mut(&held.head.author) {
            of_author.count -= 1;
            of_author.bytes -= held.bytes;
            if of_author.count == 0 {
                self.authors.remove(&held.head.author);
            }
        }
    }

    /// Writes a record, new or changed.
    pub(super) fn save(&mut self, env: &mut Env<'_>, trajectory: &Trajectory) -> Key {
        let key = key(&trajectory.content.task_type, &trajectory.head);
        let bytes = serde_json::to_vec(trajectory).expect("records are plain data");
        self.index(key, Held::of(trajectory, bytes.len() as u64));
        env.records.put(Table::Trajectory, &key, trajectory.subject.as_deref(), bytes);
        key
    }

    /// Notes that a trajectory was handed out.
    pub(super) fn note_use(&mut self, env: &mut Env<'_>, key: &Key, trajectory: &mut Trajectory) {
        let Some(held) = self.held.get_mut(key) else { return };
        held.head.uses += 1;
        trajectory.head.uses = held.head.uses;
        env.records.save(Table::Fact, &uses_key(key), trajectory.subject.as_deref(), &held.head.uses);
    }

    /// Reads a record. One that was erased behind our back is forgotten.
    pub(super) fn get(&mut self, env: &Env<'_>, key: &Key) -> Option<Trajectory> {
        let Some(mut found) = env.records.load::<Trajectory>(Table::Trajectory, key) else {
            self.forget(key);
            return None;
        };
        if let Some(held) = self.held.get(key) {
            found.head.uses = held.head.uses;
        }
        Some(found)
    }

    /// Whether it is still here.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.held.contains_key(key)
    }

    /// Whether there is something of this author under this id.
    pub(super) fn holds(&self, task: &str, head: &Head) -> bool {
        self.held.contains_key(&key(task, head))
    }

    /// Erases a record.
    pub(super) fn remove(&mut self, env: &mut Env<'_>, key: &Key) {
        env.records.delete(Table::Trajectory, key);
        env.records.delete(Table::Fact, &uses_key(key));
        self.forget(key);
    }

    /// Those of a task type, in order of their keys.
    pub(super) fn of_task(&self, task: &str) -> impl Iterator<Item = (&Key, &Held)> {
        let prefix = task_prefix(task);
        let mut from = [0; 32];
        from[..16].copy_from_slice(&prefix);
        self.held.range(from..).take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Held)> {
        self.held.iter()
    }

    /// Where the trajectory with this id is: an own one, else of the author that comes first.
    pub(super) fn with_id(&self, own: &PeerId, id: &str) -> Option<Key> {
        let found: Vec<&Key> = Self::under(&self.by_id, id).collect();
        let is_own = |key: &&&Key| self.held.get(**key).is_some_and(|held| held.head.author == *own);
        found.iter().find(is_own).or_else(|| found.first()).map(|key| **key)
    }

    /// Where content with this hash is.
    pub(super) fn with_hash(&self, hash: &str) -> impl Iterator<Item = (&Key, &Held)> {
        Self::under(&self.by_hash, hash).filter_map(|key| Some((key, self.held.get(key)?)))
    }

    fn under<'a>(index: &'a BTreeSet<(String, Key)>, text: &str) -> impl Iterator<Item = &'a Key> {
        let text = text.to_owned();
        let from = (text.clone(), [0; 32]);
        index.range(from..).take_while(move |(found, _)| *found == text).map(|(_, key)| key)
    }

    /// The authors, and how much of each is held.
    pub(super) fn authors(&self) -> &BTreeMap<PeerId, Amount> {
        &self.authors
    }

    /// Drops what is too much after `key` came, in number or bytes: first of its author (others only), then of its task type,
    /// then of all. What goes is worth least by utility and its author's reputation; of equals the oldest; own ones when
    /// nothing else is left.
    pub(super) fn evict(&mut self, env: &mut Env<'_>, key: &Key) {
        let config = &env.config.improving;
        let (of_author, of_task, in_all) = (config.author_max, config.task_max, config.library_max);
        let bytes = config.library_bytes_max;
        let Some(author) = self.held.get(key).map(|held| held.head.author) else { return };
        let too_much = |held: &Amount| held.count > of_author || held.bytes > bytes / AUTHORS_LEAST;
        while author != env.own && self.authors.get(&author).is_some_and(too_much) {
            self.evict_worst(env, |_, held| held.head.author == author);
        }
        let prefix: [u8; 16] = key[..16].try_into().expect("a key has 32 bytes");
        let end = |mut key: Key| {
            key[16..].fill(0xff);
            key
        };
        let mut begin = end(*key);
        begin[16..].fill(0);
        while self.held.range(begin..=end(*key)).count() > of_task {
            self.evict_worst(env, |key, _| key.starts_with(&prefix));
        }
        while self.held.len() > in_all || self.bytes > bytes {
            self.evict_worst(env, |_, _| true);
        }
    }

    fn evict_worst(&mut self, env: &mut Env<'_>, among: impl Fn(&Key, &Held) -> bool) {
        let mut weights = Weights::default();
        let mut worst: Option<((bool, f64, u64), Key)> = None;
        for (key, held) in self.held.iter().filter(|(key, held)| among(key, held)) {
            let worth = held.utility() * weights.of(env, held.head.author);
            let rank = (held.head.author == env.own, worth, held.head.seen);
            let worse = worst.as_ref().is_none_or(|(least, _)| {
                rank.0.cmp(&least.0).then(rank.1.total_cmp(&least.1)).then(rank.2.cmp(&least.2)).is_lt()
            });
            if worse {
                worst = Some((rank, *key));
            }
        }
        if let Some((_, key)) = worst {
            self.remove(env, &key);
        }
    }
}

/// How much authors' trajectories count (spec 9.4): the reputation, 0.5 for one that nothing is known of (decision P32), 1
/// for this peer. Each is looked up once.
#[derive(Default)]
pub(super) struct Weights(BTreeMap<PeerId, f64>);

impl Weights {
    pub(super) fn of(&mut self, env: &Env<'_>, author: PeerId) -> f64 {
        if author == env.own {
            return 1.0;
        }
        *self.0.entry(author).or_insert_with(|| env.reputation(&author).unwrap_or(0.5))
    }
}
