//! `improving.getExemplars`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Agent;
use super::super::call::Tier;
use super::super::env::{Env, Reply, Serving};
use super::super::error::Error;
use super::super::method::{Access, Method};
use super::super::params::{Json, Reward, Whole};
use super::library::Step;
use super::{Strategy, TaskType, rank};

/// Most exemplars of one answer (our choice), and how many there are unless the call says otherwise. The spec's examples
/// ask for 3; a prompt rarely has room for more than a handful.
pub(super) const LIMIT_MAX: u64 = 64;
const LIMIT: u64 = 5;

/// Hands out the best trajectories of a task type as examples, and listens to that type from now on.
///
/// The next run of the type recorded here tells what they were worth.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetExemplars {
    /// Of which kind of task.
    pub task_type: TaskType,
    /// Most of them: 1 to 64, 5 by default. There are fewer if the best together have more than 4 MiB.
    pub limit: Option<Whole<1, LIMIT_MAX>>,
    /// By what they are chosen; `EXEMPLAR_LEVEL` by default. `ACCUMULATE`: the claimed reward; `DATABASE_LEVEL`: what the
    /// author's trajectories are worth together; `EXEMPLAR_LEVEL`: what each is worth itself; `HYBRID`: the same among
    /// the better authors. All are weighted with the author's reputation.
    pub strategy: Option<Strategy>,
    /// Their least reward, inclusive. By default failures are left out, whatever their reward.
    pub min_reward: Option<Reward>,
}

/// The best trajectories of a task type.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exemplars {
    /// Highest `utilityScore` first.
    pub exemplars: Vec<Exemplar>,
    /// How many trajectories of the task type there are.
    pub library_size: u64,
    /// Their mean reward; 0 if there are none.
    pub avg_reward: f64,
}

/// A trajectory as an example.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exemplar {
    /// Its id.
    pub trajectory_id: String,
    /// What was asked for, without personal data.
    pub input: Json,
    /// What came out, without personal data.
    pub output: Json,
    /// What was done.
    pub steps: Vec<Step>,
    /// What its author says it was worth.
    #[serde(serialize_with = "super::library::plain")]
    pub reward: f64,
    /// What it is worth here, 0 to 1: the outcomes of own runs that had it as an exemplar, with the reward as a prior,
    /// times the author's reputation (decision P16).
    pub utility_score: f64,
    /// How often it was handed out here, this time included.
    pub usage_count: u64,
    /// Its author.
    pub peer_id: String,
}

impl Method for GetExemplars {
    const NAME: &'static str = "improving.getExemplars";
    const CLAUSE: &'static str = "5.2, 9.4; P16, T13";
    const ACCESS: Access = Access::Shared;
    type Result = Exemplars;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Exemplars>, Error> {
        // What this peer listens to is the operator's affair.
        if serving.caller.tier == Tier::Operator {
            agent.take_interest(env, &self.task_type);
        }
        let limit = self.limit.map_or(LIMIT, Whole::get) as usize;
        let strategy = self.strategy.unwrap_or(Strategy::ExemplarLevel);
        let min_reward = self.min_reward.map(Reward::get);
        let library = &mut agent.improving.library;
        let candidates = rank::candidates(env, library, &self.task_type, strategy, min_reward);
        let mut exemplars = Vec::new();
        let mut keys = Vec::new();
        for (ranked, mut trajectory) in rank::choose(env, library, candidates, limit) {
            library.note_use(env, &ranked.key, &mut trajectory);
            keys.push(ranked.key);
            let (head, content) = (trajectory.head, trajectory.content);
            exemplars.push(Exemplar {
                trajectory_id: head.id,
                input: content.input,
                output: content.output,
                steps: content.steps,
                reward: content.reward,
                utility_score: ranked.score,
                usage_count: head.uses,
                peer_id: head.author.to_string(),
            });
        }
        let (library_size, avg_reward) = super::upkeep::mean(library.of_task(&self.task_type));
        // Interests are few, so these are.
        let interested = agent.improving.interests.contains_key(&*self.task_type);
        if serving.caller.tier == Tier::Operator && interested && !keys.is_empty() {
            agent.improving.handed.insert(self.task_type.to_string(), (env.now, keys));
        }
        Ok(Exemplars { exemplars, library_size, avg_reward }.into())
    }
}
