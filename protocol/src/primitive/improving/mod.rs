//! `improving.*`: trajectories of finished tasks, shared with peers, curated and handed out as examples (spec 5.2, 7.3,
//! 9.3, 9.4).
//!
//! * `library.rs`: the records and what goes when there are too many. `rank.rs`: which are the best examples.
//! * `record.rs`, `exemplars.rs`, `upkeep.rs`: the methods. `share.rs`: what goes to other peers and comes from them.
//! * `reputation.rs`: what is thought of the authors; other primitives use it through
//!   [`Env::reputation`] and [`Env::rate`].
//!
//! What is kept of a trajectory is what may be shared: personal data is taken out when it is recorded, and what steps were
//! given and returned is not kept at all. No method hands those out.

mod exemplars;
mod library;
mod rank;
mod record;
mod reputation;
mod share;
mod upkeep;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use exemplars::{Exemplar, Exemplars, GetExemplars};
pub use library::{State, Step};
pub use record::{RecordTrajectory, Recorded};
pub use upkeep::{
    AssessDifficulty, Assessment, Augment, Augmented, Contributor, Curate, Curated, Difficulty,
    GetLibraryStats, LibraryStats, Mode,
};

use super::Agent;
use super::env::Env;
use super::method::{Entry, entry};
use super::params::Text;
use super::records::Table;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::{Duration, Instant};
use crate::topic::{TOKEN_MAX, Topic};
use library::{Key, Library};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<RecordTrajectory>(),
    entry::<GetExemplars>(),
    entry::<Curate>(),
    entry::<Augment>(),
    entry::<AssessDifficulty>(),
    entry::<GetLibraryStats>(),
];

/// How a library is curated (spec 5.2; what each does is at [`Curate`] and [`GetExemplars`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    /// Every success counts by its claimed reward.
    Accumulate,
    /// By what all trajectories of an author are worth.
    DatabaseLevel,
    /// Each by what it is worth itself.
    ExemplarLevel,
    /// The better authors, then each by what it is worth.
    Hybrid,
}

/// Settings of `improving.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whether trajectories recorded here go to other peers, unless `metadata.share` is false (decision T12).
    pub publish: bool,
    /// Whether ratings of other peers go to other peers.
    pub publish_ratings: bool,
    /// The least reward of a success, -1 to 1.
    pub success_min: f64,
    /// Most trajectories of one task type.
    pub task_max: usize,
    /// Most trajectories in all.
    pub library_max: usize,
    /// Most bytes of all trajectories together, as they are stored; of one other author at most a fifth of that.
    pub library_bytes_max: u64,
    /// Most trajectories of one other author.
    pub author_max: usize,
    /// Most task types whose trajectories are listened to; of more, the one used longest ago is given up.
    pub interests_max: usize,
    /// How long a task type is listened to after it was last recorded or asked for.
    pub interest: Duration,
    /// Most authors whose reputation is listened to.
    pub subjects_max: usize,
    /// Least time between two reports of our ratings of one peer.
    pub reputation_interval: Duration,
    /// Most peers of whom something is known.
    pub rated_max: u64,
    /// Most raters whose counts of one peer are kept.
    pub raters_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The spec says "automatically" (5.2) and "opt-in" (9.3): decision T12.
            publish: true,
            publish_ratings: true,
            // Decision P12.
            success_min: 0.5,
            // Our choice: the spec's examples show 178 and 234; a trajectory is a few kilobytes.
            task_max: 500,
            library_max: 5_000,
            // Our choice: twice as much as those take at a usual 6 KiB.
            library_bytes_max: 64 << 20,
            // Our choice: no author can fill more than a fifth of a task type.
            author_max: 100,
            // Our choice: stock peers take about a hundred topics, and capability cards need most of those.
            interests_max: 32,
            interest: Duration::from_secs(3_600),
            subjects_max: 8,
            // Our choice.
            reputation_interval: Duration::from_secs(300),
            rated_max: 10_000,
            raters_max: 64,
        }
    }
}

/// A task type: one segment of a topic's name (decision T2).
#[derive(Clone, Debug, JsonSchema)]
#[schemars(transparent)]
pub struct TaskType(Text<1, TOKEN_MAX>);

impl<'de> Deserialize<'de> for TaskType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Topic::trajectories(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(text))
    }
}

impl core::ops::Deref for TaskType {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// What is under way, and what can be had from the records again.
#[derive(Debug, Default)]
pub(super) struct Live {
    library: Library,
    /// Task types listened to, and until when.
    interests: BTreeMap<String, Instant>,
    /// Authors whose reputation is listened to, and when something of them last came.
    subjects: BTreeMap<PeerId, Instant>,
    /// Exemplars handed out last for a task type, and when: the next run of that type tells what they are worth.
    handed: BTreeMap<String, (Instant, Vec<Key>)>,
    /// Digests whose content was asked for.
    fetching: BTreeMap<RequestId, share::Digest>,
    /// When it is looked whether ratings were held back.
    check: Option<Instant>,
}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        self.interests.values().copied().chain(self.check).min()
    }
}

/// Task types listened to, so that a restart goes on listening.
const INTEREST: &[u8] = b"improving/interest/";

#[derive(Serialize, Deserialize)]
struct Interest {
    task: String,
    /// Unix milliseconds.
    until: u64,
}

fn interest_key(task: &str) -> Vec<u8> {
    [INTEREST, &library::task_prefix(task)].concat()
}

impl Agent {
    pub(super) fn start_improving(&mut self, env: &mut Env<'_>) {
        self.improving.library = Library::load(env);
        for (key, interest) in env.records.load_all::<Interest>(Table::Fact, INTEREST, None, 4096) {
            let left = Duration::from_millis(interest.until.saturating_sub(env.unix.0));
            let topic = Topic::trajectories(&interest.task);
            // A clock that was set back must not make us listen for ever.
            let left = left.min(env.config.improving.interest);
            match topic {
                Ok(topic) if left > Duration::ZERO && env.net.subscribe(&topic) => {
                    self.improving.interests.insert(interest.task, env.now + left);
                }
                _ => env.records.delete(Table::Fact, &key),
            }
        }
        // The authors held most of.
        let mut authors: Vec<(usize, PeerId)> =
            self.improving.library.authors().iter().map(|(author, held)| (held.count, *author)).collect();
        authors.sort_unstable_by(|a, b| b.cmp(a));
        for (_, author) in authors.into_iter().take(env.config.improving.subjects_max) {
            self.listen_about(env, author);
        }
        self.improving.check = Some(env.now + reputation::check_interval(&env.config.improving));
    }

    /// Listens to nothing any more.
    pub(super) fn reset_improving(&mut self, env: &mut Env<'_>) {
        let tasks: Vec<String> = self.improving.interests.keys().cloned().collect();
        for task in tasks {
            self.lose_interest(env, &task);
        }
        for author in core::mem::take(&mut self.improving.subjects).into_keys() {
            env.net.unsubscribe(&Topic::reputation(author));
        }
    }

    pub(super) fn improving_timeout(&mut self, env: &mut Env<'_>) {
        let over: Vec<String> = self
            .improving
            .interests
            .iter()
            .filter(|(_, until)| **until <= env.now)
            .map(|(task, _)| task.clone())
            .collect();
        for task in over {
            self.lose_interest(env, &task);
        }
        if self.improving.check.is_some_and(|check| check <= env.now) {
            env.publish_held_back();
            self.improving.check = Some(env.now + reputation::check_interval(&env.config.improving));
        }
    }

    /// Listens to a task type from now on, because it was recorded or asked for.
    fn take_interest(&mut self, env: &mut Env<'_>, task: &str) {
        let length = env.config.improving.interest;
        let until = env.now + length;
        let before = self.improving.interests.get(task).copied();
        if before.is_none() {
            while self.improving.interests.len() >= env.config.improving.interests_max.max(1) {
                let oldest = self.improving.interests.iter().min_by_key(|(_, until)| **until);
                let Some(oldest) = oldest.map(|(task, _)| task.clone()) else { break };
                self.lose_interest(env, &oldest);
            }
            let topic = Topic::trajectories(task).expect("a task type is a token");
            if !env.net.subscribe(&topic) {
                return;
            }
        }
        self.improving.interests.insert(task.to_owned(), until);
        // A busy agent asks every second; a minute more or less after a restart is no matter.
        if before.is_none_or(|before| until.since(before) >= Duration::from_secs(60)) {
            let interest = Interest { task: task.to_owned(), until: env.unix.plus(length).0 };
            env.records.save(Table::Fact, &interest_key(task), None, &interest);
        }
    }

    fn lose_interest(&mut self, env: &mut Env<'_>, task: &str) {
        self.improving.interests.remove(task);
        self.improving.handed.remove(task);
        env.records.delete(Table::Fact, &interest_key(task));
        env.net.unsubscribe(&Topic::trajectories(task).expect("a task type is a token"));
    }

    /// Listens to what is said about an author, because something of it is held here.
    fn listen_about(&mut self, env: &mut Env<'_>, author: PeerId) {
        let max = env.config.improving.subjects_max;
        if author == env.own || max == 0 {
            return;
        }
        if !self.improving.subjects.contains_key(&author) {
            while self.improving.subjects.len() >= max {
                let oldest = self.improving.subjects.iter().min_by_key(|(_, last)| **last);
                let Some(oldest) = oldest.map(|(author, _)| *author) else { break };
                self.improving.subjects.remove(&oldest);
                env.net.unsubscribe(&Topic::reputation(oldest));
            }
            if !env.net.subscribe(&Topic::reputation(author)) {
                return;
            }
        }
        self.improving.subjects.insert(author, env.now);
    }
}
