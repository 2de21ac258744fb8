//! Which trajectories of a task type are the best examples (spec 5.2: utility, diversity, least reward).
//!
//! A claimed reward is only a prior: what counts besides are outcomes of own runs and the author's reputation. Of the best
//! by that, each next one is the one that is good and unlike those chosen (maximal marginal relevance). Floats are added,
//! multiplied, divided and rooted only, and equals go by their ids, so every platform chooses the same.

use std::collections::BTreeMap;

use super::super::env::Env;
use super::super::likeness::Grams;
use super::Strategy;
use super::library::{Held, Key, Library, State, Trajectory, Weights};
use crate::identity::PeerId;

/// What relevance and likeness to those chosen count (our choice; usual for this method).
const RELEVANCE: f64 = 0.7;
const LIKENESS: f64 = 0.3;
/// Of how many, the best by relevance, the choice is made (our choice).
const SHORT_LIST: usize = 64;
/// Most bytes of records that are read for a choice (our choice): of more, the best by relevance.
const READ_MAX: u64 = 4 << 20;

/// A trajectory with what it is worth here.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    pub(super) key: Key,
    pub(super) id: String,
    /// Utility times the author's weight, 0 to 1.
    pub(super) score: f64,
    /// By what the strategy chooses, 0 to 1.
    relevance: f64,
    /// How long its record is.
    bytes: u64,
}

/// What an author's trajectories of one task type are worth in the mean, times its weight; and how many there are. Failures
/// are left out: who shares them too is no worse for it.
pub(super) fn databases<'a>(
    env: &Env<'_>,
    weights: &mut Weights,
    all: impl Iterator<Item = &'a Held>,
) -> BTreeMap<PeerId, (f64, usize)> {
    let mut sums: BTreeMap<PeerId, (f64, usize)> = BTreeMap::new();
    for held in all.filter(|held| held.state != State::Failed) {
        let (sum, count) = sums.entry(held.head.author).or_default();
        *sum += held.utility();
        *count += 1;
    }
    for (author, (sum, count)) in &mut sums {
        *sum = *sum / *count as f64 * weights.of(env, *author);
    }
    sums
}

/// The best of the other peers' databases. Our own, of full weight, is no measure for peers not yet known.
pub(super) fn best_of_others(env: &Env<'_>, databases: &BTreeMap<PeerId, (f64, usize)>) -> f64 {
    let others = databases.iter().filter(|(author, _)| **author != env.own);
    others.fold(0.0, |best, (_, (worth, _))| best.max(*worth))
}

/// Other authors that are worth less than this share of the best are left out by [`Strategy::Hybrid`], and pruned by
/// [`Strategy::DatabaseLevel`] if they have had enough chances (our choice).
pub(super) const WORSE: f64 = 0.5;

/// The trajectories that may serve as examples, best first by the strategy's measure; of the same content one.
pub(super) fn candidates(
    env: &Env<'_>,
    library: &Library,
    task: &str,
    strategy: Strategy,
    min_reward: Option<f64>,
) -> Vec<Ranked> {
    let mut weights = Weights::default();
    let databases = databases(env, &mut weights, library.of_task(task).map(|(_, held)| held));
    let best = best_of_others(env, &databases);
    let mut found: Vec<(Ranked, &str)> = Vec::new();
    for (key, held) in library.of_task(task) {
        // Without a bound of its own, a failure is no example to follow.
        let fits = match min_reward {
            Some(min) => held.reward >= min,
            None => matches!(held.state, State::Success | State::Augmented),
        };
        let weight = weights.of(env, held.head.author);
        let database = databases.get(&held.head.author).map_or(0.0, |(worth, _)| *worth);
        let worse = held.head.author != env.own && database < best * WORSE;
        if !fits || (strategy == Strategy::Hybrid && worse) {
            continue;
        }
        let score = (weight * held.utility()).clamp(0.0, 1.0);
        let relevance = match strategy {
            Strategy::Accumulate => weight * held.reward.max(0.0),
            Strategy::DatabaseLevel => database,
            Strategy::ExemplarLevel | Strategy::Hybrid => score,
        };
        found.push((
            Ranked { key: *key, id: held.head.id.clone(), score, relevance, bytes: held.bytes },
            &held.head.hash,
        ));
    }
    found.sort_by(|(a, _), (b, _)| {
        b.relevance.total_cmp(&a.relevance).then(b.score.total_cmp(&a.score)).then_with(|| order(a, b))
    });
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|(_, hash)| seen.insert(*hash));
    found.into_iter().map(|(ranked, _)| ranked).collect()
}

/// Equals go by their ids.
fn order(a: &Ranked, b: &Ranked) -> core::cmp::Ordering {
    a.id.cmp(&b.id).then(a.key.cmp(&b.key))
}

/// Chooses up to `limit` that are good and unlike each other, with their records, highest score first.
pub(super) fn choose(
    env: &Env<'_>,
    library: &mut Library,
    mut candidates: Vec<Ranked>,
    limit: usize,
) -> Vec<(Ranked, Trajectory)> {
    candidates.truncate(SHORT_LIST.max(limit));
    let mut read = 0;
    candidates.retain(|ranked| {
        read += ranked.bytes;
        read <= READ_MAX
    });
    let mut left: Vec<(Ranked, Trajectory, Grams, f64)> = Vec::new();
    for ranked in candidates {
        if let Some(trajectory) = library.get(env, &ranked.key) {
            let grams = Grams::of(&trajectory.content.text());
            left.push((ranked, trajectory, grams, 0.0));
        }
    }
    let mut chosen = Vec::new();
    while chosen.len() < limit {
        let worth = |(ranked, _, _, like): &(Ranked, Trajectory, Grams, f64)| {
            RELEVANCE * ranked.relevance - LIKENESS * like
        };
        let next = (0..left.len()).reduce(|best, next| {
            let by_worth = worth(&left[next]).total_cmp(&worth(&left[best]));
            if by_worth.then_with(|| order(&left[best].0, &left[next].0)).is_gt() { next } else { best }
        });
        let Some(next) = next else { break };
        let (ranked, trajectory, grams, _) = left.remove(next);
        for (_, _, other, like) in &mut left {
            *like = like.max(grams.cosine(other));
        }
        chosen.push((ranked, trajectory));
    }
    chosen.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score).then_with(|| order(a, b)));
    chosen
}
