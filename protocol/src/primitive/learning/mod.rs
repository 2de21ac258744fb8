//! `learning.*`: playbooks that evolve by reflection (spec 5.1).
//!
//! `playbook.rs`: bullets, scores, bounds, merging. `reflect.rs`: what a run teaches, by rules. A model can take the place
//! of the rules: then `learning.reflect` waits for it, and falls back to the rules if it says nothing useful. `replay.rs`: its
//! answers, kept for when the same is asked again.

mod playbook;
mod reflect;
mod replay;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use playbook::{Section, Shared, SharedBullet};

use super::Agent;
use super::call::{Answer, CallId, Fetched, Source};
use super::env::{Env, Reply, Serving};
use super::error::Error;
use super::method::{Access, Entry, Method, entry};
use super::params::{Json, Name, Note, Real, Reward, Text, Whole};
use playbook::Playbook;
use reflect::{CONTENT_MAX, Delta};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<GetPlaybook>(),
    entry::<Reflect>(),
    entry::<Curate>(),
    entry::<AddBullet>(),
    entry::<Feedback>(),
    entry::<GetStats>(),
];

/// How playbooks are trained (spec 5.1, decision P15).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Training {
    /// Reflection adds; what is bad goes when `learning.curate` is called.
    Offline,
    /// Reflection adds, and drops what is bad.
    #[default]
    Online,
    /// Reflection changes nothing.
    EvalOnly,
}

/// Settings of `learning.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// See [`Training`].
    pub training: Training,
    /// Whether a language model reflects, rather than the rules.
    pub model: bool,
    /// Most answers of the model kept, to be given again when just the same is asked; 0 to ask every time.
    pub answers_max: u64,
    /// Most tokens of a playbook: reflection drops what is worst beyond that, and so does `learning.curate` by default.
    pub token_budget: u64,
    /// Most bullets of a playbook; of more, the worst are dropped.
    pub bullets_max: usize,
    /// Most playbooks; one more is refused.
    pub playbooks_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Our choice: what an agent does all the time.
            training: Training::Online,
            model: false,
            answers_max: 0,
            // The default of ACE's code.
            token_budget: 80_000,
            // Our choice: the token budget holds some 2,000 bullets of the spec's example's length.
            bullets_max: 2_000,
            playbooks_max: 1_000,
        }
    }
}

/// Reflections that wait for the model.
#[derive(Debug, Default)]
pub(super) struct Live {
    waiting: BTreeMap<CallId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    call: CallId,
    reflect: Reflect,
    /// What was asked: see `replay.rs`.
    key: [u8; 32],
}

/// Tells what is in a playbook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetPlaybook {
    /// Which.
    pub playbook_id: Name,
}

/// A playbook.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaybookInfo {
    /// What it says, oldest first.
    pub bullets: Vec<BulletInfo>,
    /// How often it was changed.
    pub version: u64,
    /// What it takes of a prompt: a quarter of its bytes.
    pub token_count: u64,
}

/// A piece of what was learnt.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulletInfo {
    /// Its id: the section and a number of the playbook (decision P27).
    pub id: String,
    /// What it is about.
    pub section: Section,
    /// What it says.
    pub content: String,
    /// How often it helped.
    pub helpful_count: u64,
    /// How often it harmed.
    pub harmful_count: u64,
}

impl Method for GetPlaybook {
    const NAME: &'static str = "learning.getPlaybook";
    const CLAUSE: &'static str = "5.1; P28, J11";
    const ACCESS: Access = Access::Shared;
    type Result = PlaybookInfo;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<PlaybookInfo>, Error> {
        let playbook = Playbook::existing(env, &self.playbook_id)?;
        let (version, token_count) = (playbook.head.version, playbook.tokens());
        let bullets = playbook.bullets.into_values().map(|bullet| BulletInfo {
            id: bullet.id(),
            section: bullet.shared.section,
            helpful_count: bullet.helpful(),
            harmful_count: bullet.harmful(),
            content: bullet.shared.content,
        });
        Ok(PlaybookInfo { bullets: bullets.collect(), version, token_count }.into())
    }
}

/// Learns from a run: counts which bullets helped, adds new ones, drops bad ones. A playbook that is not there begins.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reflect {
    /// Which playbook.
    pub playbook_id: Name,
    /// What was done.
    pub execution: Execution,
}

/// A run of an agent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// What was asked for.
    pub input: Json,
    /// What came out.
    pub output: Json,
    /// What was done, in order.
    pub steps: Vec<StepDone>,
    /// How it went: `success`, or anything else.
    pub outcome: Name,
    /// How good that was.
    pub reward: Reward,
    /// The bullets that it was given, no more than a playbook may have: an extension.
    pub used_bullets: Option<Vec<Name>>,
    /// What people said about it: an extension.
    pub feedback: Option<Note>,
}

/// A step of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StepDone {
    /// What was done.
    pub action: Name,
    /// With which tool.
    pub tool: Option<Name>,
    /// How long that took, in milliseconds.
    pub duration: Option<Real<0, 1_000_000_000_000>>,
    /// What went wrong: an extension.
    pub error: Option<Json>,
}

/// What a run changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reflected {
    /// What is new.
    pub new_bullets: Vec<NewBullet>,
    /// The ids of what is gone.
    pub pruned_bullets: Vec<String>,
    /// The version now: one more if anything has changed.
    pub playbook_version: u64,
}

/// A new bullet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewBullet {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub section: Section,
    /// What it says.
    pub content: String,
}

impl Method for Reflect {
    const NAME: &'static str = "learning.reflect";
    const CLAUSE: &'static str = "5.1; P15, P27, P28, P29";
    const ACCESS: Access = Access::Operator;
    type Result = Reflected;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Reflected>, Error> {
        let most = env.config.learning.bullets_max;
        if self.execution.used_bullets.as_ref().is_some_and(|used| used.len() > most) {
            return Err(Error::param("execution.usedBullets", format!("has more than {most} elements")));
        }
        if env.config.learning.training == Training::EvalOnly {
            let version = Playbook::load(env, &self.playbook_id).map_or(0, |playbook| playbook.head.version);
            let (new_bullets, pruned_bullets) = Default::default();
            return Ok(Reflected { new_bullets, pruned_bullets, playbook_version: version }.into());
        }
        let playbook = Playbook::or_new(env, &self.playbook_id)?;
        if env.config.learning.model {
            let request = self.request(&playbook);
            let key = replay::key(&request);
            let kept = replay::answer(env, &key);
            if let Some(delta) = kept.and_then(|answer| Delta::by_model(&playbook, &answer)) {
                return Ok(self.apply(env, playbook, delta).into());
            }
            let waiting = super::agent::Waiting::Learning;
            if let Some(id) = agent.fetch(env, waiting, Source::Model, request.to_string()) {
                agent.learning.waiting.insert(id, Waiting { call: serving.id, reflect: self, key });
                return Ok(Reply::Later);
            }
        }
        let delta = Delta::by_rules(&playbook, &self.execution);
        Ok(self.apply(env, playbook, delta).into())
    }
}

impl Reflect {
    fn apply(&self, env: &mut Env<'_>, mut playbook: Playbook, delta: Delta) -> Reflected {
        let config = &env.config.learning;
        let mut new = delta.apply(&mut playbook, &env.own.to_string());
        let came: Vec<String> =
            new.iter().filter_map(|number| Some(playbook.bullets.get(number)?.id())).collect();
        let mut pruned_bullets =
            if config.training == Training::Online { playbook.prune() } else { Vec::new() };
        pruned_bullets.extend(playbook.shrink(config.token_budget, config.bullets_max, None));
        playbook.head.past.note(&self.execution);
        // What came and went at once was never there.
        pruned_bullets.retain(|id| !came.contains(id));
        new.retain(|number| playbook.bullets.contains_key(number));
        let new_bullets: Vec<NewBullet> = new
            .iter()
            .filter_map(|number| playbook.bullets.get(number))
            .map(|bullet| NewBullet {
                id: bullet.id(),
                section: bullet.shared.section,
                content: bullet.shared.content.clone(),
            })
            .collect();
        let playbook_version = playbook.save(env);
        Reflected { new_bullets, pruned_bullets, playbook_version }
    }

    /// The body of a chat completion with ACE's contract. The driver adds which model.
    fn request(&self, playbook: &Playbook) -> Value {
        const TASK: &str = "You maintain a playbook for an agent. Given the playbook and one execution, say which of \
            its used bullets helped or harmed, and what is worth adding. Answer with JSON only: {\"reasoning\": string, \
            \"bullet_tags\": [{\"id\": string, \"tag\": \"helpful\"|\"harmful\"|\"neutral\"}], \"operations\": \
            [{\"type\": \"ADD\", \"section\": \"str\"|\"cal\"|\"mis\"|\"fbk\", \"content\": string}]}. Sections: str \
            strategies, cal calculations and budgets, mis mistakes, fbk feedback.";
        let bullets: Vec<String> = playbook
            .bullets
            .values()
            .map(|bullet| {
                let (helpful, harmful) = (bullet.helpful(), bullet.harmful());
                format!("[{}] helpful={helpful} harmful={harmful} :: {}", bullet.id(), bullet.shared.content)
            })
            .collect();
        let user = json!({ "playbook": bullets, "execution": self.execution }).to_string();
        json!({
            "messages": [{ "role": "system", "content": TASK }, { "role": "user", "content": user }],
            "temperature": 0,
            "response_format": { "type": "json_object" },
        })
    }
}

impl Agent {
    pub(super) fn learning_fetched(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        let Some(Waiting { call, reflect, key }) = self.learning.waiting.remove(&id) else { return };
        let result = Playbook::or_new(env, &reflect.playbook_id).map(|playbook| {
            let reply = fetched.unwrap_or_default();
            let by_model = Delta::by_model(&playbook, &reply);
            if by_model.is_some() {
                replay::keep(env, &key, &reply);
            }
            let delta = by_model.unwrap_or_else(|| Delta::by_rules(&playbook, &reflect.execution));
            let reflected = reflect.apply(env, playbook, delta);
            serde_json::to_string(&reflected).expect("results are plain data").into()
        });
        env.net.answer(Answer { id: call, result });
    }
}

/// Drops what is bad, then the worst until the playbook fits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curate {
    /// Which playbook.
    pub playbook_id: Name,
    /// Most tokens that may be left; the setting `token_budget` by default.
    pub max_tokens: Option<Whole<0, 1_000_000_000>>,
}

/// What [`Curate`] did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Curated {
    /// The ids of what is gone, in the order it went.
    pub removed: Vec<String>,
    /// How many bullets are left.
    pub remaining: u64,
    /// How many tokens they have.
    pub token_count: u64,
}

impl Method for Curate {
    const NAME: &'static str = "learning.curate";
    const CLAUSE: &'static str = "5.1; P17, P29, J11";
    const ACCESS: Access = Access::Operator;
    type Result = Curated;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Curated>, Error> {
        let mut playbook = Playbook::existing(env, &self.playbook_id)?;
        let tokens = self.max_tokens.map_or(env.config.learning.token_budget, Whole::get);
        let mut removed = playbook.prune();
        removed.extend(playbook.shrink(tokens, env.config.learning.bullets_max, None));
        let (remaining, token_count) = (playbook.bullets.len() as u64, playbook.tokens());
        playbook.save(env);
        Ok(Curated { removed, remaining, token_count }.into())
    }
}

/// Adds a bullet. One that says just the same is not added again. A playbook that is not there begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddBullet {
    /// To which playbook.
    pub playbook_id: Name,
    /// What it is about.
    pub section: Section,
    /// What it says.
    pub content: Text<1, { CONTENT_MAX * 4 }>,
}

/// A bullet added.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// Its id, or that of the one that was there.
    pub bullet_id: String,
}

impl Method for AddBullet {
    const NAME: &'static str = "learning.addBullet";
    const CLAUSE: &'static str = "5.1; P27, P28";
    const ACCESS: Access = Access::Operator;
    type Result = Added;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Added>, Error> {
        let mut playbook = Playbook::or_new(env, &self.playbook_id)?;
        let number = match playbook.same(self.section, &self.content) {
            Some(number) => number,
            None => {
                let number = playbook.add(self.section, &self.content);
                playbook.shrink(u64::MAX, env.config.learning.bullets_max, Some(number));
                number
            }
        };
        let bullet_id = playbook.bullets.get(&number).expect("it is there").id();
        playbook.save(env);
        Ok(Added { bullet_id }.into())
    }
}

/// Counts that a bullet helped, or harmed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// In which playbook.
    pub playbook_id: Name,
    /// Which bullet.
    pub bullet_id: Name,
    /// Whether it helped.
    pub helpful: bool,
}

/// How a bullet stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// How often it helped.
    pub helpful_count: u64,
    /// How often it harmed.
    pub harmful_count: u64,
}

impl Method for Feedback {
    const NAME: &'static str = "learning.feedback";
    const CLAUSE: &'static str = "5.1; J11";
    const ACCESS: Access = Access::Operator;
    type Result = Counts;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Counts>, Error> {
        let mut playbook = Playbook::existing(env, &self.playbook_id)?;
        let number =
            playbook.number(&self.bullet_id).ok_or_else(|| Error::not_found("bullet", &self.bullet_id))?;
        playbook.count(number, &env.own.to_string(), self.helpful);
        let bullet = playbook.bullets.get(&number).expect("it was found");
        let counts = Counts { helpful_count: bullet.helpful(), harmful_count: bullet.harmful() };
        playbook.save(env);
        Ok(counts.into())
    }
}

/// Tells how a playbook stands.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetStats {
    /// Which.
    pub playbook_id: Name,
}

/// How a playbook stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// How many bullets.
    pub total_bullets: u64,
    /// How many in each section.
    pub by_section: BTreeMap<Section, u64>,
    /// The mean of their scores, `(helpful + 1) / (helpful + harmful + 2)`; 0 if there are none.
    pub avg_score: f64,
    /// How often it was changed.
    pub version: u64,
}

impl Method for GetStats {
    const NAME: &'static str = "learning.getStats";
    const CLAUSE: &'static str = "5.1; P29, J11";
    const ACCESS: Access = Access::Shared;
    type Result = Stats;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Stats>, Error> {
        let playbook = Playbook::existing(env, &self.playbook_id)?;
        let mut by_section: BTreeMap<Section, u64> = Section::ALL.map(|section| (section, 0)).into();
        for bullet in playbook.bullets.values() {
            *by_section.entry(bullet.shared.section).or_default() += 1;
        }
        let total_bullets = playbook.bullets.len() as u64;
        let sum: f64 = playbook.bullets.values().map(|bullet| bullet.score()).sum();
        let avg_score = if total_bullets == 0 { 0.0 } else { sum / total_bullets as f64 };
        Ok(Stats { total_bullets, by_section, avg_score, version: playbook.head.version }.into())
    }
}
