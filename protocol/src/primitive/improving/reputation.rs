//! Reputation (spec 9.4, decision P32): what this peer has seen of others, and what others say they have seen.
//!
//! Own experience is an average that forgets: it starts at 0.5 and each rating moves it by a tenth. What others say is only
//! a prior, worth two own ratings and never outside 0.3 to 0.6: a crowd of liars can make a stranger look slightly better
//! or somewhat worse, and after a few own ratings nothing. A rater counts as much as our own good experience with it lets
//! it; raters unknown to us count for little, however many there are.
//!
//! Counts are gossiped on `reputation/{peerId}` as a counter per rater that only grows, so messages may come twice and in
//! any order. Nobody rates itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Agent;
use super::super::env::Env;
use super::super::records::Table;
use crate::identity::PeerId;
use crate::time::Duration;
use crate::topic::Topic;

/// How far one rating moves the average (decision P32).
const ALPHA: f64 = 0.1;
/// Where a reputation starts (decision P32).
const START: f64 = 0.5;
/// What the word of others is worth, in own ratings (our choice).
const PRIOR: f64 = 2.0;
/// The range of what others can say (our choice): bad news may weigh more than praise, which costs nothing.
const PRIOR_RANGE: (f64, f64) = (0.3, 0.6);
/// How sure the prior is of [`START`] before anyone has spoken, in fully trusted raters (our choice).
const DOUBT: f64 = 2.0;
/// The weight of a rater that we know nothing good of (our choice), and of all of those together.
const STRANGER: f64 = 0.1;
const STRANGERS_MAX: f64 = 1.0;

/// What is known of one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rated {
    /// Own average, 0 to 1.
    score: f64,
    /// Own ratings.
    positive: u64,
    negative: u64,
    /// When the first of them was given, Unix milliseconds.
    since: u64,
    /// When they were last published.
    published: Option<u64>,
    /// Whether there are newer ones since.
    changed: bool,
    /// What others counted, by rater.
    raters: BTreeMap<String, (u64, u64)>,
}

impl Rated {
    const fn new(since: u64) -> Self {
        Self {
            score: START,
            positive: 0,
            negative: 0,
            since,
            published: None,
            changed: false,
            raters: BTreeMap::new(),
        }
    }

    /// Own average, if there is any.
    fn own(&self) -> Option<f64> {
        (self.positive + self.negative > 0).then_some(self.score)
    }
}

/// The payload on `reputation/{peerId}`.
#[derive(Debug, Serialize, Deserialize)]
struct Ratings {
    subject: String,
    rater: String,
    positive: u64,
    negative: u64,
    /// Over how many milliseconds the ratings were given.
    #[serde(default)]
    window: u64,
}

/// Marks subjects whose ratings wait to be published.
const UNSENT: &[u8] = b"reputation/unsent/";

fn unsent(subject: &PeerId) -> Vec<u8> {
    [UNSENT, subject.as_bytes()].concat()
}

impl Env<'_> {
    fn rated(&self, peer: &PeerId) -> Option<Rated> {
        self.records.load(Table::Reputation, peer.as_bytes())
    }

    /// What to think of a peer, 0 (bad) to 1 (good); `None` if there is nothing to go by, and for this peer itself.
    pub fn reputation(&self, peer: &PeerId) -> Option<f64> {
        let rated = self.rated(peer)?;
        let prior = self.prior(&rated);
        let ratings = (rated.positive + rated.negative) as f64;
        if rated.own().is_none() && rated.raters.is_empty() {
            return None;
        }
        Some((rated.score * ratings + prior * PRIOR) / (ratings + PRIOR))
    }

    /// What others say, as far as we believe them.
    fn prior(&self, rated: &Rated) -> f64 {
        let (mut weight, mut sum, mut strangers, mut said) = (DOUBT, DOUBT * START, 0.0, 0.0);
        for (rater, (positive, negative)) in &rated.raters {
            let share = (*positive as f64 + 1.0) / (*positive as f64 + *negative as f64 + 2.0);
            let own = rater.parse().ok().and_then(|rater| self.rated(&rater)).and_then(|rater| rater.own());
            match own {
                Some(own) if own > START => {
                    let trust = (own - START) / (1.0 - START);
                    weight += trust;
                    sum += trust * share;
                }
                // Known, and not to be believed.
                Some(_) => {}
                None => {
                    strangers += STRANGER;
                    said += STRANGER * share;
                }
            }
        }
        if strangers > 0.0 {
            let scale = (STRANGERS_MAX / strangers).min(1.0);
            weight += strangers * scale;
            sum += said * scale;
        }
        (sum / weight).clamp(PRIOR_RANGE.0, PRIOR_RANGE.1)
    }

    /// Own experience with a peer: it did well, or not. It is published at once if that was not done for a while, else
    /// later. Nothing happens for this peer itself, nor for one more stranger when the table is full.
    pub fn rate(&mut self, peer: &PeerId, good: bool) {
        if *peer == self.own {
            return;
        }
        let mut rated = match self.rated(peer) {
            Some(rated) => rated,
            None if self.records.count(Table::Reputation) >= self.config.improving.rated_max => return,
            None => Rated::new(self.unix.0),
        };
        if rated.own().is_none() {
            rated.since = self.unix.0;
        }
        rated.score += ALPHA * (if good { 1.0 } else { 0.0 } - rated.score);
        *(if good { &mut rated.positive } else { &mut rated.negative }) += 1;
        rated.changed = true;
        self.publish_ratings(peer, rated);
    }

    /// Publishes if it is time, and keeps the record either way.
    fn publish_ratings(&mut self, peer: &PeerId, mut rated: Rated) {
        let interval = self.config.improving.reputation_interval.as_millis();
        let due = rated.published.is_none_or(|at| self.unix.0.saturating_sub(at) >= interval);
        if rated.changed && due && self.config.improving.publish_ratings {
            let ratings = Ratings {
                subject: peer.to_string(),
                rater: self.own.to_string(),
                positive: rated.positive,
                negative: rated.negative,
                window: self.unix.0.saturating_sub(rated.since),
            };
            let text = serde_json::to_string(&ratings).expect("plain data");
            if self.net.publish(&Topic::reputation(*peer), &text).is_some() {
                (rated.published, rated.changed) = (Some(self.unix.0), false);
            }
        }
        let (mark, marked) = (unsent(peer), rated.changed && self.config.improving.publish_ratings);
        if marked {
            self.records.put(Table::Fact, &mark, None, b"1".to_vec());
        } else if self.records.get(Table::Fact, &mark).is_some() {
            self.records.delete(Table::Fact, &mark);
        }
        self.records.save(Table::Reputation, peer.as_bytes(), None, &rated);
    }

    /// Publishes what was held back and is now due.
    pub(super) fn publish_held_back(&mut self) {
        for (mark, _) in self.records.scan(Table::Fact, UNSENT, None, 256) {
            let Ok(key) = <[u8; 32]>::try_from(&mark[UNSENT.len()..]) else { continue };
            let peer = PeerId::from_public_key(key);
            match self.rated(&peer) {
                Some(rated) => self.publish_ratings(&peer, rated),
                None => self.records.delete(Table::Fact, &mark),
            }
        }
    }
}

/// How often it is looked whether ratings were held back. Never without a pause, whatever the setting.
pub(super) fn check_interval(config: &super::Config) -> Duration {
    config.reputation_interval.max(Duration::from_secs(1))
}

impl Agent {
    /// What a rater counted of a peer. Only the rater itself may say so, of another, on that one's topic.
    pub(in super::super) fn reputation_message(
        &mut self,
        env: &mut Env<'_>,
        author: PeerId,
        subject: PeerId,
        d: &str,
    ) {
        let Ok(said) = serde_json::from_str::<Ratings>(d) else { return };
        let honest = said.rater == author.to_string() && said.subject == subject.to_string();
        // What is said of us is of no use to us; and we know our own ratings.
        if !honest || author == subject || subject == env.own || author == env.own {
            return;
        }
        let before = env.rated(&subject);
        if before.is_none() && env.records.count(Table::Reputation) >= env.config.improving.rated_max {
            return;
        }
        let mut rated = before.clone().unwrap_or_else(|| Rated::new(env.unix.0));
        // Numbers that a peer can have counted.
        let (positive, negative) = (said.positive.min(1 << 40), said.negative.min(1 << 40));
        if !rated.raters.contains_key(&said.rater)
            && rated.raters.len() >= env.config.improving.raters_max
            && !make_room(env, &mut rated, &said.rater)
        {
            return;
        }
        let counted = rated.raters.entry(said.rater).or_default();
        *counted = (counted.0.max(positive), counted.1.max(negative));
        if before.as_ref() != Some(&rated) {
            env.records.save(Table::Reputation, subject.as_bytes(), None, &rated);
        }
    }
}

/// Forgets the rater of whom our own opinion is lowest, if it is lower than that of the new one: a crowd of new identities
/// pushes out nobody.
fn make_room(env: &Env<'_>, rated: &mut Rated, new: &str) -> bool {
    let opinion = |rater: &str| {
        let own = rater.parse().ok().and_then(|rater| env.rated(&rater)).and_then(|rater| rater.own());
        own.unwrap_or(START)
    };
    let all = rated.raters.keys().map(|rater| (opinion(rater), rater));
    let least = all.reduce(|least, next| if next.0 < least.0 { next } else { least });
    match least.map(|(least, rater)| (least, rater.clone())) {
        Some((least, rater)) if least < opinion(new) => rated.raters.remove(&rater).is_some(),
        _ => false,
    }
}
