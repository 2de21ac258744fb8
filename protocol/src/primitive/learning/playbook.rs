//! Playbooks: their bullets, how those are scored, kept few and merged.
//!
//! A bullet's id, such as `str-00042`, is this peer's alone. What identifies it between peers is a hash of its content,
//! and what it scored is a counter per peer that only grows; so playbooks of several peers can be merged in any order and
//! any number of times ([`Shared::merge`]).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::env::Env;
use super::super::error::Error;
use super::super::likeness::{Grams, normal};
use super::super::records::Table;

/// What a bullet is about (spec 5.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// A strategy that worked.
    Str,
    /// What to reckon with: times and the like.
    Cal,
    /// A mistake to avoid.
    Mis,
    /// What people said.
    Fbk,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Str, Self::Cal, Self::Mis, Self::Fbk];

    /// As in ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Cal => "cal",
            Self::Mis => "mis",
            Self::Fbk => "fbk",
        }
    }
}

/// Counts by peer. They only grow; of two counts of a peer the higher is the newer.
type Counter = BTreeMap<String, u64>;

/// A bullet as peers share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedBullet {
    /// What it is about.
    pub section: Section,
    /// What it says.
    pub content: String,
    /// How often it helped, by peer.
    pub helpful: Counter,
    /// How often it harmed, by peer.
    pub harmful: Counter,
}

impl SharedBullet {
    /// What identifies it between peers: `b-` and 16 bytes of a hash of section and content, in hex. Letter case and white
    /// space make no difference.
    pub fn identity(section: Section, content: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(section.name());
        hash.update([0]);
        hash.update(normal(content));
        let digest = hash.finalize();
        let mut text = "b-".to_owned();
        digest[..16].iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
        text
    }

    fn merge(&mut self, other: &Self) {
        // The same but for letter case and white space.
        if other.content < self.content {
            self.content.clone_from(&other.content);
        }
        for (mine, theirs) in [(&mut self.helpful, &other.helpful), (&mut self.harmful, &other.harmful)] {
            for (peer, count) in theirs {
                let mine = mine.entry(peer.clone()).or_default();
                *mine = (*mine).max(*count);
            }
        }
    }
}

/// What peers share of a playbook: its bullets by [`SharedBullet::identity`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The bullets.
    pub bullets: BTreeMap<String, SharedBullet>,
}

impl Shared {
    /// Takes in what another knows: all bullets of both, and of each peer's counts the highest.
    pub fn merge(&mut self, other: &Self) {
        for (identity, bullet) in &other.bullets {
            match self.bullets.get_mut(identity) {
                Some(mine) => mine.merge(bullet),
                None => {
                    self.bullets.insert(identity.clone(), bullet.clone());
                }
            }
        }
    }
}

/// The record of a bullet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bullet {
    pub(super) number: u32,
    pub(super) identity: String,
    pub(super) shared: SharedBullet,
}

impl Bullet {
    pub(super) fn id(&self) -> String {
        format!("{}-{:05}", self.shared.section.name(), self.number)
    }

    pub(super) fn helpful(&self) -> u64 {
        self.shared.helpful.values().sum()
    }

    pub(super) fn harmful(&self) -> u64 {
        self.shared.harmful.values().sum()
    }

    /// How good it is as a fraction: `(helpful + 1) / (helpful + harmful + 2)` (decision P29).
    fn fraction(&self) -> (u128, u128) {
        let (helpful, harmful) = (u128::from(self.helpful()), u128::from(self.harmful()));
        (helpful + 1, helpful + harmful + 2)
    }

    pub(super) fn score(&self) -> f64 {
        let (over, under) = self.fraction();
        over as f64 / under as f64
    }

    /// What it takes of a prompt: a quarter of its bytes (decision P29).
    pub(super) fn tokens(&self) -> u64 {
        self.shared.content.len().div_ceil(4) as u64
    }

    /// Whether it has done more harm than good: of five uses or more less than 0.4 by the score, or three more harmful
    /// than helpful (our choice, after
    /// the "problematic" bullets of ACE, arXiv:2510.04618).
    fn is_bad(&self) -> bool {
        let (helpful, harmful) = (self.helpful(), self.harmful());
        let (over, under) = self.fraction();
        (helpful + harmful >= 5 && over * 10 < under * 4) || harmful >= helpful + 3
    }
}

/// The record of a playbook; bullets have their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: String,
    /// Rises by one with every call that changes what the playbook says.
    pub(super) version: u64,
    /// The number of the next bullet, in all sections.
    next: u32,
    /// What reflection knows of earlier runs.
    pub(super) past: super::reflect::Past,
}

/// A playbook with its bullets by number, and which of them were changed.
#[derive(Clone, Debug)]
pub(super) struct Playbook {
    pub(super) head: Head,
    pub(super) bullets: BTreeMap<u32, Bullet>,
    touched: std::collections::BTreeSet<u32>,
}

/// Likeness from which two bullets of a section say the same, in percent (the deduplication of ACE).
const SAME: u64 = 90;

fn key(id: &str) -> [u8; 16] {
    Sha256::digest(id)[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

impl Playbook {
    pub(super) fn load(env: &Env<'_>, id: &str) -> Option<Self> {
        let key = key(id);
        let head: Head = env.records.load(Table::Playbook, &key)?;
        let found = env.records.load_all::<Bullet>(Table::Bullet, &key, None, usize::MAX);
        let bullets = found.into_iter().map(|(_, bullet)| (bullet.number, bullet)).collect();
        Some(Self { head, bullets, touched: Default::default() })
    }

    /// One that must be there (decision J11).
    pub(super) fn existing(env: &Env<'_>, id: &str) -> Result<Self, Error> {
        Self::load(env, id).ok_or_else(|| Error::not_found("playbook", id))
    }

    /// One that is there, or a new one (decision P28).
    pub(super) fn or_new(env: &Env<'_>, id: &str) -> Result<Self, Error> {
        if let Some(playbook) = Self::load(env, id) {
            return Ok(playbook);
        }
        let max = env.config.learning.playbooks_max;
        if env.records.count(Table::Playbook) >= max {
            return Err(Error::full(format!("there are {max} playbooks, the most there can be")));
        }
        let head = Head { id: id.to_owned(), version: 0, next: 1, past: Default::default() };
        Ok(Self { head, bullets: BTreeMap::new(), touched: Default::default() })
    }

    /// Keeps it, one version on if what it says has changed.
    pub(super) fn save(mut self, env: &mut Env<'_>) -> u64 {
        let key = key(&self.head.id);
        self.head.version += u64::from(!self.touched.is_empty());
        env.records.save(Table::Playbook, &key, None, &self.head);
        for number in self.touched {
            let place = [&key[..], &number.to_be_bytes()].concat();
            match self.bullets.get(&number) {
                Some(bullet) => env.records.save(Table::Bullet, &place, None, bullet),
                None => env.records.delete(Table::Bullet, &place),
            }
        }
        self.head.version
    }

    pub(super) fn tokens(&self) -> u64 {
        self.bullets.values().map(Bullet::tokens).sum()
    }

    pub(super) fn number(&self, id: &str) -> Option<u32> {
        let number = id.rsplit_once('-')?.1.parse().ok()?;
        self.bullets.get(&number).filter(|bullet| bullet.id() == id).map(|bullet| bullet.number)
    }

    /// Counts one use of a bullet.
    pub(super) fn count(&mut self, number: u32, by: &str, helpful: bool) {
        let Some(bullet) = self.bullets.get_mut(&number) else { return };
        let shared = &mut bullet.shared;
        let counter = if helpful { &mut shared.helpful } else { &mut shared.harmful };
        *counter.entry(by.to_owned()).or_default() += 1;
        self.touched.insert(number);
    }

    /// The bullet of this section that says the same in the same words.
    pub(super) fn same(&self, section: Section, content: &str) -> Option<u32> {
        let identity = SharedBullet::identity(section, content);
        self.bullets.values().find(|bullet| bullet.identity == identity).map(|bullet| bullet.number)
    }

    /// The bullet of this section that says the same in almost the same words.
    pub(super) fn alike(&self, section: Section, content: &str) -> Option<u32> {
        self.same(section, content).or_else(|| {
            let grams = Grams::of(content);
            let mut of_section = self.bullets.values().filter(|bullet| bullet.shared.section == section);
            of_section.find(|b| Grams::of(&b.shared.content).at_least(&grams, SAME)).map(|b| b.number)
        })
    }

    pub(super) fn add(&mut self, section: Section, content: &str) -> u32 {
        let number = self.head.next;
        self.head.next += 1;
        let identity = SharedBullet::identity(section, content);
        let (helpful, harmful) = Default::default();
        let shared = SharedBullet { section, content: content.to_owned(), helpful, harmful };
        self.bullets.insert(number, Bullet { number, identity, shared });
        self.touched.insert(number);
        number
    }

    /// Drops what did more harm than good.
    pub(super) fn prune(&mut self) -> Vec<String> {
        let bad: Vec<u32> =
            self.bullets.values().filter(|bullet| bullet.is_bad()).map(|bullet| bullet.number).collect();
        bad.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Drops the worst, of equals the oldest, until there are no more than so many tokens and bullets. `keep` is not
    /// dropped.
    pub(super) fn shrink(&mut self, tokens: u64, bullets: usize, keep: Option<u32>) -> Vec<String> {
        let mut order: Vec<(u32, (u128, u128), u64)> = self
            .bullets
            .values()
            .filter(|bullet| keep != Some(bullet.number))
            .map(|bullet| (bullet.number, bullet.fraction(), bullet.tokens()))
            .collect();
        order.sort_by(|(a, (p, q), _), (b, (r, s), _)| (p * s).cmp(&(r * q)).then(a.cmp(b)));
        let (mut now, mut dropped) = (self.tokens(), Vec::new());
        for (number, _, size) in order {
            if now <= tokens && self.bullets.len() <= bullets {
                break;
            }
            now -= size;
            dropped.extend(self.remove(number));
        }
        dropped
    }

    fn remove(&mut self, number: u32) -> Option<String> {
        let bullet = self.bullets.remove(&number)?;
        self.touched.insert(number);
        Some(bullet.id())
    }
}
