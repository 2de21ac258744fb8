//! `improving.curate`, `augment`, `assessDifficulty` and `getLibraryStats`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Agent;
use super::super::env::{Env, Reply, Serving};
use super::super::error::Error;
use super::super::likeness::Grams;
use super::super::method::{Access, Method};
use super::super::params::{Json, Name, Whole};
use super::super::records::Table;
use super::library::{Held, Key, State, Step, Trajectory, Weights, task_prefix};
use super::record::{OUTCOMES_MAX, Outcomes};
use super::{Strategy, TaskType, rank};
use crate::identity::PeerId;

/// How many there are, and their mean reward; 0 if there are none.
pub(super) fn mean<'a>(all: impl Iterator<Item = (&'a Key, &'a Held)>) -> (u64, f64) {
    let (count, sum) = all.fold((0u64, 0.0), |(count, sum), (_, held)| (count + 1, sum + held.reward));
    (count, if count == 0 { 0.0 } else { sum / count as f64 })
}

/// Drops the trajectories of a task type that are not worth keeping. Own ones stay, but for copies of the same content.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curate {
    /// Of which kind of task.
    pub task_type: TaskType,
    /// What goes; `HYBRID` by default. `ACCUMULATE`: failures of others. `DATABASE_LEVEL`: besides, all of authors that
    /// have had at least five and are worth less than half of the best other author. `EXEMPLAR_LEVEL`: failures, and those that
    /// are worth less than 0.25. `HYBRID`: all of that.
    pub strategy: Option<Strategy>,
}

/// What [`Curate`] did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curated {
    /// How many stayed.
    pub kept: u64,
    /// How many went.
    pub pruned: u64,
    /// How many trajectories of the task type there are now.
    pub library_size: u64,
}

/// Trajectories of others that are worth less are pruned (our choice: what the least success of an unknown author is
/// worth).
const WORTH_MIN: f64 = 0.25;
/// Trajectories that an author must have here before it is judged by them all (our choice).
const CHANCES: usize = 5;

impl Method for Curate {
    const NAME: &'static str = "improving.curate";
    const CLAUSE: &'static str = "5.2, 9.4; P17";
    const ACCESS: Access = Access::Operator;
    type Result = Curated;

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Curated>, Error> {
        let strategy = self.strategy.unwrap_or(Strategy::Hybrid);
        let library = &mut agent.improving.library;
        let mut weights = Weights::default();
        let databases =
            rank::databases(env, &mut weights, library.of_task(&self.task_type).map(|(_, held)| held));
        let best = rank::best_of_others(env, &databases);
        let bad_author = |author: &PeerId| {
            databases
                .get(author)
                .is_some_and(|(worth, count)| *count >= CHANCES && *worth < best * rank::WORSE)
        };
        let mut gone = Vec::new();
        let (mut seen, mut kept) = (BTreeSet::new(), 0);
        for (key, held) in library.of_task(&self.task_type) {
            let own = held.head.author == env.own;
            let worth = weights.of(env, held.head.author) * held.utility();
            let goes = match strategy {
                Strategy::Accumulate => false,
                Strategy::DatabaseLevel => bad_author(&held.head.author),
                Strategy::ExemplarLevel => worth < WORTH_MIN,
                Strategy::Hybrid => bad_author(&held.head.author) || worth < WORTH_MIN,
            };
            let copy = !seen.insert(&held.head.hash);
            if copy || (!own && (goes || held.state == State::Failed)) {
                gone.push(*key);
            } else {
                kept += 1;
            }
        }
        for key in &gone {
            library.remove(env, key);
        }
        Ok(Curated { kept, pruned: gone.len() as u64, library_size: kept }.into())
    }
}

/// How far `improving.augment` goes (spec 5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Nothing is done.
    None,
    /// Says what went wrong.
    FeedbackOnly,
    /// Also mends it, if there is a success to take steps from.
    FullPipeline,
}

/// Mends a failed trajectory with the steps of the success most like it (after the three stages of arXiv:2502.04780, with
/// rules in the place of a model).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Augment {
    /// Which.
    pub trajectory_id: Name,
    /// How far; `FULL_PIPELINE` by default.
    pub mode: Option<Mode>,
}

/// What [`Augment`] did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Augmented {
    /// Whether it was mended: then, and only then, `newState` is `AUGMENTED` by this call.
    pub augmented: bool,
    /// How it stands now.
    pub new_state: State,
    /// What went wrong, unless the mode is `NONE`: an extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
}

/// An augmented trajectory is worth no more until it was tried (our choice).
const UNTRIED: f64 = 0.5;

/// Where a failed trajectory went astray: at the step that failed, else where it parts from the success.
fn divergence(failed: &Trajectory, donor: Option<&Trajectory>) -> usize {
    let steps = &failed.content.steps;
    failed.failing.unwrap_or_else(|| match donor {
        Some(donor) => {
            let same = |(a, b): &(&Step, &Step)| a.action == b.action && a.tool == b.tool;
            steps.iter().zip(&donor.content.steps).take_while(same).count()
        }
        None => steps.len() - 1,
    })
}

fn feedback(failed: &Trajectory, donor: Option<&Trajectory>, at: usize) -> String {
    let name = |step: Option<&Step>| {
        step.map_or_else(|| "the end".to_owned(), |step| format!("\"{}\"", step.action))
    };
    let here = name(failed.content.steps.get(at));
    let what = if failed.failing.is_some() { "failed at" } else { "went another way at" };
    let text = format!("step {}: {what} {here}", at + 1);
    match donor {
        Some(donor) => {
            format!("{text}; {} went on with {}", donor.head.id, name(donor.content.steps.get(at)))
        }
        None => text,
    }
}

/// The steps up to the divergence, then those of the donor; a step twice in a row once.
fn spliced(failed: &Trajectory, donor: &Trajectory, at: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let good = failed.content.steps.iter().take(at);
    let rest = donor.content.steps.iter().skip(at.min(donor.content.steps.len() - 1));
    for step in good.chain(rest) {
        let again = steps.last().is_some_and(|last| last.action == step.action && last.tool == step.tool);
        if !again {
            steps.push(step.clone());
        }
    }
    steps.truncate(super::record::STEPS_MAX);
    steps
}

impl Agent {
    /// The success of the same task type that is most like a failed trajectory; of equals that of the higher utility.
    fn donor(&mut self, env: &Env<'_>, failed: &Trajectory) -> Option<Trajectory> {
        let library = &mut self.improving.library;
        let task = &failed.content.task_type;
        let mut candidates = rank::candidates(env, library, task, Strategy::ExemplarLevel, None);
        candidates.truncate(64);
        let grams = Grams::of(failed.content.input.get());
        let mut best: Option<(f64, Trajectory)> = None;
        for candidate in candidates {
            let Some(trajectory) = library.get(env, &candidate.key) else { continue };
            if trajectory.content.state != State::Success {
                continue;
            }
            let like = grams.cosine(&Grams::of(trajectory.content.input.get()));
            if best.as_ref().is_none_or(|(most, _)| like > *most) {
                best = Some((like, trajectory));
            }
        }
        best.map(|(_, trajectory)| trajectory)
    }
}

impl Method for Augment {
    const NAME: &'static str = "improving.augment";
    const CLAUSE: &'static str = "5.2; P14, J11";
    const ACCESS: Access = Access::Operator;
    type Result = Augmented;

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Augmented>, Error> {
        let key = agent.improving.library.with_id(&env.own, &self.trajectory_id);
        let found = key.and_then(|key| Some((key, agent.improving.library.get(env, &key)?)));
        let Some((key, mut failed)) = found else {
            return Err(Error::not_found("trajectory", &self.trajectory_id));
        };
        let mode = self.mode.unwrap_or(Mode::FullPipeline);
        if mode == Mode::None || failed.content.state != State::Failed {
            let new_state = failed.content.state;
            return Ok(Augmented { augmented: false, new_state, feedback: failed.feedback }.into());
        }
        let donor = agent.donor(env, &failed);
        let at = divergence(&failed, donor.as_ref());
        let text = feedback(&failed, donor.as_ref(), at);
        failed.feedback = Some(text.clone());
        let Some(donor) = donor.filter(|_| mode == Mode::FullPipeline) else {
            agent.improving.library.save(env, &failed);
            return Ok(Augmented { augmented: false, new_state: State::Failed, feedback: Some(text) }.into());
        };
        let steps = spliced(&failed, &donor, at);
        let content = &mut failed.content;
        // What came out is that of the success; of the failure's own nothing is left that could mislead.
        (content.steps, content.output) = (steps, donor.content.output);
        content.reward = donor.content.reward.min(UNTRIED);
        content.state = State::Augmented;
        content.derived_from = vec![failed.head.id.clone(), donor.head.id];
        failed.head.hash = content.hash().expect("both parts have a canonical form");
        failed.failing = None;
        // Nobody but this peer says that it goes like this, and not even this peer has tried.
        failed.head.author = env.own;
        failed.head.shared = false;
        agent.improving.library.remove(env, &key);
        agent.improving.library.save(env, &failed);
        Ok(Augmented { augmented: true, new_state: State::Augmented, feedback: Some(text) }.into())
    }
}

/// How hard a kind of task is (spec 5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Difficulty {
    /// More than 0.8 of the runs succeed.
    TooEasy,
    /// 0.3 to 0.8 do.
    Frontier,
    /// Less than 0.3 do.
    TooHard,
}

/// Tells how hard a kind of task is for this peer, by its own last runs (decision P13).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssessDifficulty {
    /// Which kind.
    pub task_type: TaskType,
    /// What would be asked for. Runs are counted by task type alone.
    pub input: Json,
    /// How many of the last runs count: 1 to 256, 10 by default.
    pub samples: Option<Whole<1, { OUTCOMES_MAX as u64 }>>,
}

/// How hard a kind of task is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// The class that `passRate` is in.
    pub difficulty: Difficulty,
    /// The share of the runs that succeeded; 0.5 if there were none.
    pub pass_rate: f64,
    /// `skip` what is too easy, `train` at the frontier, `decompose` what is too hard, `explore` what was never tried.
    pub recommendation: &'static str,
}

impl Method for AssessDifficulty {
    const NAME: &'static str = "improving.assessDifficulty";
    const CLAUSE: &'static str = "5.2; P13";
    const ACCESS: Access = Access::Shared;
    type Result = Assessment;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Assessment>, Error> {
        let outcomes: Option<Outcomes> = env.records.load(Table::Outcome, &task_prefix(&self.task_type));
        let marks = outcomes.unwrap_or_default().marks;
        let samples = self.samples.map_or(10, Whole::get) as usize;
        let counted = marks.bytes().rev().take(samples);
        let (runs, passed) =
            counted.fold((0u64, 0u64), |(runs, passed), mark| (runs + 1, passed + u64::from(mark == b'+')));
        if runs == 0 {
            let recommendation = "explore";
            let assessment = Assessment { difficulty: Difficulty::Frontier, pass_rate: 0.5, recommendation };
            return Ok(assessment.into());
        }
        // In whole numbers, so that the bounds themselves are at the frontier.
        let (difficulty, recommendation) = if 10 * passed > 8 * runs {
            (Difficulty::TooEasy, "skip")
        } else if 10 * passed < 3 * runs {
            (Difficulty::TooHard, "decompose")
        } else {
            (Difficulty::Frontier, "train")
        };
        Ok(Assessment { difficulty, pass_rate: passed as f64 / runs as f64, recommendation }.into())
    }
}

/// Tells what is in the library.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetLibraryStats {
    /// Of one kind of task; of all by default.
    pub task_type: Option<TaskType>,
}

/// What is in the library.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LibraryStats {
    /// How many trajectories.
    pub total: u64,
    /// How many in each state.
    pub by_state: BTreeMap<State, u64>,
    /// Their mean reward; 0 if there are none.
    pub avg_reward: f64,
    /// The authors of the most, at most ten.
    pub top_contributors: Vec<Contributor>,
}

/// An author of trajectories.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contributor {
    /// Who.
    pub peer_id: String,
    /// How many trajectories.
    pub trajectories: u64,
    /// Their mean reward.
    pub avg_reward: f64,
}

/// Most authors that [`LibraryStats`] names (our choice).
const CONTRIBUTORS: usize = 10;

impl Method for GetLibraryStats {
    const NAME: &'static str = "improving.getLibraryStats";
    const CLAUSE: &'static str = "5.2";
    const ACCESS: Access = Access::Shared;
    type Result = LibraryStats;

    fn call(self, agent: &mut Agent, _: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<LibraryStats>, Error> {
        let library = &agent.improving.library;
        let all: Vec<(&Key, &Held)> = match &self.task_type {
            Some(task) => library.of_task(task).collect(),
            None => library.all().collect(),
        };
        let states = [State::Pending, State::Success, State::Failed, State::Augmented];
        let mut by_state: BTreeMap<State, u64> = states.into_iter().map(|state| (state, 0)).collect();
        let mut authors: BTreeMap<PeerId, (u64, f64)> = BTreeMap::new();
        for (_, held) in &all {
            *by_state.entry(held.state).or_default() += 1;
            let (count, sum) = authors.entry(held.head.author).or_default();
            (*count, *sum) = (*count + 1, *sum + held.reward);
        }
        let mut top: Vec<(PeerId, (u64, f64))> = authors.into_iter().collect();
        top.sort_by(|(a, (m, _)), (b, (n, _))| n.cmp(m).then(a.cmp(b)));
        let contributor = |(peer, (count, sum)): (PeerId, (u64, f64))| Contributor {
            peer_id: peer.to_string(),
            trajectories: count,
            avg_reward: sum / count as f64,
        };
        let top_contributors = top.into_iter().take(CONTRIBUTORS).map(contributor).collect();
        let (total, avg_reward) = mean(all.into_iter());
        Ok(LibraryStats { total, by_state, avg_reward, top_contributors }.into())
    }
}
