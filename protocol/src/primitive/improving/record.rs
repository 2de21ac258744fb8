//! `improving.recordTrajectory`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::env::{Env, Reply, Serving};
use super::super::error::{Code, Error};
use super::super::method::{Access, Method};
use super::super::params::{Json, Name, Object, Real};
use super::super::records::Table;
use super::super::redact::{redact, text_redacted};
use super::super::{Agent, improving};
use super::library::{Content, Head, State, Step, Trajectory, task_prefix};
use super::{Key, TaskType};

/// Most steps of a trajectory (our choice).
pub(super) const STEPS_MAX: usize = 256;
/// Most bytes of what goes to other peers (our choice): with its frame it must fit into a response of 1 MiB.
pub(super) const CONTENT_MAX: usize = 960 * 1024;
/// Deepest nesting of what goes to other peers: an envelope may have 64 levels, of which it needs some itself.
const NESTING_MAX: usize = 48;
/// Outcomes kept per task type (our choice): more than `samples` of `improving.assessDifficulty` can ask for.
pub(super) const OUTCOMES_MAX: usize = 256;
/// Task types whose outcomes are kept (our choice); of one more, none is.
const OUTCOME_TASKS_MAX: u64 = 10_000;

/// Records how a task went, and shares it with the peers that listen to its type.
///
/// Personal data and secrets are taken out first; see `redact.rs` for what is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordTrajectory {
    /// What kind of task it was: letters, digits, `.`, `_` and `-`.
    pub task_type: TaskType,
    /// What was asked for.
    pub input: Json,
    /// What came out.
    pub output: Json,
    /// What was done, in order: 1 to 256 steps.
    pub steps: Vec<StepTaken>,
    /// How good it was: -1 (worst) to 1 (best).
    pub reward: f64,
    /// Of its members three are read. `share: false` keeps the trajectory here (decision T12); `subject` names whose data
    /// it is; `exemplars` lists the trajectory ids that helped, in place of those last handed out for the task type.
    pub metadata: Option<Object>,
}

/// A step as whoever took it reports it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StepTaken {
    /// What was done.
    pub action: Name,
    /// With which tool.
    pub tool: Option<Name>,
    /// How long that took, in milliseconds.
    pub duration: Option<Real<0, 1_000_000_000_000>>,
    /// What went wrong, if something did: an extension for `improving.augment`. Only that there was something is kept.
    pub error: Option<Json>,
}

/// A trajectory recorded.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Its id.
    pub trajectory_id: String,
    /// `SUCCESS` or `FAILED`, by its reward (decision P12).
    pub state: State,
    /// To how many peers it was handed (decision T14): 0 if it is not shared.
    pub gossiped_to: u64,
}

/// The outcomes of a task type's own runs, oldest first: `+` for a success, `-` for a failure.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Outcomes {
    pub(super) marks: String,
}

fn rejected(reason: &str, text: impl Into<String>) -> Error {
    Error::new(Code::TrajectoryRejected, text).with(serde_json::json!({ "reason": reason }))
}

/// The value as peers may see it.
fn clean(name: &str, value: &Json) -> Result<Json, Error> {
    let deep = || rejected("unredactable", format!("{name}: nested too deep to be redacted"));
    let mut parsed: Value = serde_json::from_str(value.get()).map_err(|_| deep())?;
    if depth(&parsed) > NESTING_MAX {
        return Err(deep());
    }
    redact(&mut parsed);
    Ok(Json::of(&parsed))
}

/// The parser allows 128 levels, so the recursion ends.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl RecordTrajectory {
    /// What is kept and shared of it (decision P11).
    fn content(&self, config: &improving::Config) -> Result<(Content, Option<usize>), Error> {
        if !(-1.0..=1.0).contains(&self.reward) {
            return Err(rejected("reward", format!("reward: is {}, must be from -1 to 1", self.reward)));
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let text = format!("steps: there are {}, must be 1 to {STEPS_MAX}", self.steps.len());
            return Err(rejected("steps", text));
        }
        let redacted = |text: &Name| text_redacted(text).unwrap_or_else(|| text.to_string());
        let steps = self.steps.iter().map(|step| Step {
            action: redacted(&step.action),
            tool: step.tool.as_ref().map(redacted),
            duration: step.duration.map(Real::get),
        });
        let content = Content {
            task_type: self.task_type.to_string(),
            input: clean("input", &self.input)?,
            output: clean("output", &self.output)?,
            steps: steps.collect(),
            reward: self.reward,
            state: if self.reward >= config.success_min { State::Success } else { State::Failed },
            derived_from: Vec::new(),
        };
        let size = serde_json::to_string(&content).map_or(usize::MAX, |text| text.len());
        if size > CONTENT_MAX {
            let text = format!("the trajectory has {size} bytes, must have at most {CONTENT_MAX}");
            return Err(rejected("size", text));
        }
        let went_wrong = |step: &StepTaken| step.error.as_ref().is_some_and(|error| error.get() != "null");
        Ok((content, self.steps.iter().position(went_wrong)))
    }

    /// Whose data it is: an object that says nothing of it is nobody's.
    fn metadata(&self, member: &str) -> Option<Value> {
        self.metadata.as_ref()?.members().remove(member)
    }
}

impl Method for RecordTrajectory {
    const NAME: &'static str = "improving.recordTrajectory";
    const CLAUSE: &'static str = "5.2, 7.3, 9.3; P11, P12, T2, T12, T13, T14";
    const ACCESS: Access = Access::Operator;
    type Result = Recorded;

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Recorded>, Error> {
        let (content, failing) = self.content(&env.config.improving)?;
        let hash =
            content.hash().ok_or_else(|| rejected("unredactable", "the trajectory has no canonical form"))?;
        let share = env.config.improving.publish && self.metadata("share") != Some(Value::Bool(false));
        let subject = self.metadata("subject").and_then(|subject| subject.as_str().map(str::to_owned));
        let mut id = format!("traj-{}", env.random_hex(8));
        while agent.improving.library.with_id(&env.own, &id).is_some() {
            id = format!("traj-{}", env.random_hex(8));
        }
        let success = content.state == State::Success;
        agent.credit_exemplars(env, &self.task_type, self.metadata("exemplars"), self.reward);
        note_outcome(env, &self.task_type, success);
        agent.take_interest(env, &self.task_type);
        let head = Head {
            id: id.clone(),
            author: env.own,
            hash,
            shared: share,
            seen: env.unix.0,
            uses: 0,
            weight: 0.0,
            outcomes: 0.0,
        };
        let trajectory = Trajectory { head, content, failing, subject, feedback: None };
        let key = agent.improving.library.save(env, &trajectory);
        agent.improving.library.evict(env, &key);
        let gossiped_to = if share { agent.publish_trajectory(env, &trajectory) } else { 0 };
        let state = trajectory.content.state;
        Ok(Recorded { trajectory_id: id, state, gossiped_to: gossiped_to as u64 }.into())
    }
}

fn note_outcome(env: &mut Env<'_>, task: &str, success: bool) {
    let key = task_prefix(task);
    let before: Option<Outcomes> = env.records.load(Table::Outcome, &key);
    if before.is_none() && env.records.count(Table::Outcome) >= OUTCOME_TASKS_MAX {
        return;
    }
    let mut outcomes = before.unwrap_or_default();
    outcomes.marks.push(if success { '+' } else { '-' });
    if outcomes.marks.len() > OUTCOMES_MAX {
        outcomes.marks.remove(0);
    }
    env.records.save(Table::Outcome, &key, None, &outcomes);
}

impl Agent {
    /// A run of a task type came out like this: the exemplars it had share the credit, and their authors the praise.
    fn credit_exemplars(&mut self, env: &mut Env<'_>, task: &str, named: Option<Value>, reward: f64) {
        let handed = self.improving.handed.remove(task);
        let keys: Vec<Key> = match named {
            Some(Value::Array(ids)) => {
                let ids = ids.iter().filter_map(Value::as_str).take(super::exemplars::LIMIT_MAX as usize);
                let mut keys: Vec<Key> =
                    ids.filter_map(|id| self.improving.library.with_id(&env.own, id)).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            _ => match handed {
                Some((at, keys)) if env.now.since(at) <= env.config.improving.interest => keys,
                _ => Vec::new(),
            },
        };
        let share = 1.0 / keys.len().max(1) as f64;
        let mut authors = std::collections::BTreeSet::new();
        for key in keys {
            let Some(mut trajectory) = self.improving.library.get(env, &key) else { continue };
            trajectory.head.weight += share;
            trajectory.head.outcomes += share * reward.max(0.0);
            authors.insert(trajectory.head.author);
            self.improving.library.save(env, &trajectory);
        }
        let good = reward >= env.config.improving.success_min;
        for author in authors {
            env.rate(&author, good);
        }
    }
}
