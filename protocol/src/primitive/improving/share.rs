//! Trajectories between peers: gossip on `trajectories/{taskType}`, and `/hyperspace/trajectory/1` for those that are too
//! long for it.
//!
//! A message is `{trajectoryId, taskType, input, output, steps, reward, state, derivedFrom, contentHash}`. Without steps it
//! is a digest: the content is fetched from its author by hash, `{contentHash}` -> `{trajectory}` or `{error}`.
//!
//! What is received says whose it is, counts as nobody's experience, and is dropped if the same content is held already:
//! whoever's came first stays, also if that one copied it elsewhere.

use serde::{Deserialize, Serialize};

use super::super::Agent;
use super::super::env::Env;
use super::super::params::{Json, NAME_MAX};
use super::library::{Content, Head, State, Step, Trajectory, null};
use super::record::{CONTENT_MAX, STEPS_MAX};
use crate::identity::PeerId;
use crate::request::{Protocol, RequestId};
use crate::topic::Topic;

/// Most bytes of a payload that goes out whole: with its envelope it must stay below 60 KiB.
const GOSSIP_MAX: usize = 56 * 1024;
/// Most digests whose content is asked for at once (our choice); of more, the digest is dropped.
const FETCHING_MAX: usize = 64;
/// Most trajectories that one is derived from (our choice).
const DERIVED_MAX: usize = 16;

/// A trajectory as a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    trajectory_id: String,
    task_type: String,
    #[serde(default = "null")]
    input: Json,
    #[serde(default = "null")]
    output: Json,
    steps: Option<Vec<Step>>,
    #[serde(serialize_with = "super::library::plain")]
    reward: f64,
    state: State,
    #[serde(default)]
    derived_from: Vec<String>,
    content_hash: Option<String>,
}

/// A trajectory that is too long for a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Digest {
    trajectory_id: String,
    task_type: String,
    content_hash: String,
    #[serde(serialize_with = "super::library::plain")]
    reward: f64,
    state: State,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    content_hash: String,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    trajectory: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is wrong with a message of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// It may be of another dialect.
    Strange,
    /// Its author says what cannot be.
    Lie,
}

impl Payload {
    fn of(trajectory: &Trajectory) -> Self {
        let content = trajectory.content.clone();
        Self {
            trajectory_id: trajectory.head.id.clone(),
            task_type: content.task_type,
            input: content.input,
            output: content.output,
            steps: Some(content.steps),
            reward: content.reward,
            state: content.state,
            derived_from: content.derived_from,
            content_hash: Some(trajectory.head.hash.clone()),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    fn digest(&self) -> Option<Digest> {
        Some(Digest {
            trajectory_id: self.trajectory_id.clone(),
            task_type: self.task_type.clone(),
            content_hash: self.content_hash.clone()?,
            reward: self.reward,
            state: self.state,
        })
    }

    /// What every message has to keep, whole or digest.
    fn check(&self, task: &str) -> Result<(), Fault> {
        let name = |text: &str| (1..=NAME_MAX).contains(&text.len());
        if self.task_type != task
            || !name(&self.trajectory_id)
            || !self.derived_from.iter().all(|id| name(id))
        {
            return Err(Fault::Strange);
        }
        if self.derived_from.len() > DERIVED_MAX || self.state == State::Pending {
            return Err(Fault::Strange);
        }
        if (-1.0..=1.0).contains(&self.reward) { Ok(()) } else { Err(Fault::Lie) }
    }

    /// What it says, if its hash is right. Members of steps that are not ours to see were not read.
    fn content(self) -> Result<(String, String, Content), Fault> {
        let steps = self.steps.ok_or(Fault::Strange)?;
        let named = |text: &str| (1..=NAME_MAX).contains(&text.len());
        if steps.is_empty() || steps.len() > STEPS_MAX {
            return Err(Fault::Lie);
        }
        let sound = |step: &Step| {
            named(&step.action)
                && step.tool.as_deref().is_none_or(named)
                && step.duration.is_none_or(|duration| (0.0..=1e12).contains(&duration))
        };
        if !steps.iter().all(sound) {
            return Err(Fault::Strange);
        }
        let content = Content {
            task_type: self.task_type,
            input: self.input,
            output: self.output,
            steps,
            reward: self.reward,
            state: self.state,
            derived_from: self.derived_from,
        };
        let hash = content.hash().ok_or(Fault::Strange)?;
        // A dialect without hashes is as good: the envelope is signed.
        if self.content_hash.is_some_and(|claimed| claimed != hash) {
            return Err(Fault::Lie);
        }
        Ok((self.trajectory_id, hash, content))
    }
}

impl Agent {
    /// Tells those who listen. Returns to how many peers the message was handed.
    pub(super) fn publish_trajectory(&mut self, env: &mut Env<'_>, trajectory: &Trajectory) -> usize {
        let topic = Topic::trajectories(&trajectory.content.task_type).expect("a task type is a token");
        let payload = Payload::of(trajectory);
        let mut text = payload.text();
        if text.len() > GOSSIP_MAX {
            text = serde_json::to_string(&payload.digest()).expect("plain data");
        }
        env.net.publish(&topic, &text).unwrap_or(0)
    }

    /// A peer has recorded a trajectory.
    pub(in super::super) fn trajectory_message(
        &mut self,
        env: &mut Env<'_>,
        author: PeerId,
        task: &str,
        d: &str,
    ) {
        // What we said ourselves comes back in a loop, or after our records were lost.
        if author == env.own {
            return;
        }
        let Ok(payload) = serde_json::from_str::<Payload>(d) else { return };
        let result = payload.check(task).and_then(|()| match (&payload.steps, payload.digest()) {
            (None, Some(digest)) => {
                self.fetch_trajectory(env, author, digest);
                Ok(())
            }
            _ => self.receive(env, author, payload),
        });
        if result == Err(Fault::Lie) {
            env.rate(&author, false);
        }
    }

    fn fetch_trajectory(&mut self, env: &mut Env<'_>, author: PeerId, digest: Digest) {
        let improving = &self.improving;
        let known = improving.library.with_hash(&digest.content_hash).next().is_some()
            || improving.fetching.values().any(|other| other.content_hash == digest.content_hash);
        // A task type that nobody here cares for any more is not worth a request.
        if known
            || improving.fetching.len() >= FETCHING_MAX
            || !improving.interests.contains_key(&digest.task_type)
        {
            return;
        }
        let question = Question { content_hash: digest.content_hash.clone() };
        let body = serde_json::to_string(&question).expect("plain data");
        if let Some(id) = self.ask(env, author, Protocol::Trajectory, body) {
            self.improving.fetching.insert(id, digest);
        }
    }

    /// A peer wants the content of a digest. Only what was recorded here and is shared goes out.
    pub(in super::super) fn trajectory_asked(
        &mut self,
        env: &mut Env<'_>,
        from: PeerId,
        id: RequestId,
        body: &str,
    ) {
        let own = env.own;
        let found = serde_json::from_str::<Question>(body).ok().and_then(|question| {
            let mut found = self.improving.library.with_hash(&question.content_hash);
            found.find(|(_, held)| held.head.author == own && held.head.shared).map(|(key, _)| *key)
        });
        let found = found.and_then(|key| self.improving.library.get(env, &key));
        let reply = match found {
            Some(trajectory) => Reply { trajectory: Some(Json::of(&Payload::of(&trajectory))), error: None },
            None => Reply { trajectory: None, error: Some("not_found".to_owned()) },
        };
        env.net.tell(&from, id, serde_json::to_string(&reply).expect("plain data"));
    }

    /// The content of a digest is here, or will not come. Its author has vouched for the hash; the answer must have it.
    pub(in super::super) fn trajectory_told(
        &mut self,
        env: &mut Env<'_>,
        from: PeerId,
        id: RequestId,
        body: Option<&str>,
    ) {
        let Some(digest) = self.improving.fetching.remove(&id) else { return };
        let Some(reply) = body.and_then(|body| serde_json::from_str::<Reply>(body).ok()) else { return };
        let Some(trajectory) = reply.trajectory else { return };
        let payload = serde_json::from_str::<Payload>(trajectory.get()).map_err(|_| Fault::Lie);
        let result = payload.and_then(|mut payload| {
            payload.check(&digest.task_type)?;
            // It goes by the hash that was promised, not by the one that came along.
            payload.content_hash = Some(digest.content_hash.clone());
            if payload.digest().as_ref() != Some(&digest) {
                return Err(Fault::Lie);
            }
            self.receive(env, from, payload)
        });
        if result == Err(Fault::Lie) {
            env.rate(&from, false);
        }
    }

    /// Takes a peer's trajectory into the library.
    fn receive(&mut self, env: &mut Env<'_>, author: PeerId, payload: Payload) -> Result<(), Fault> {
        let (id, hash, content) = payload.content()?;
        let size = content.input.get().len() + content.output.get().len();
        if size > CONTENT_MAX {
            return Err(Fault::Strange);
        }
        if self.improving.library.with_hash(&hash).next().is_some() {
            return Ok(());
        }
        let head =
            Head { id, author, hash, shared: false, seen: env.unix.0, uses: 0, weight: 0.0, outcomes: 0.0 };
        // What an author said under an id stays said: a second text would wipe out what we learnt of the first.
        if self.improving.library.holds(&content.task_type, &head) {
            return Err(Fault::Strange);
        }
        let trajectory = Trajectory { head, content, failing: None, subject: None, feedback: None };
        let key = self.improving.library.save(env, &trajectory);
        self.improving.library.evict(env, &key);
        // What gave way at once is no reason to listen.
        if self.improving.library.has(&key) {
            self.listen_about(env, author);
        }
        Ok(())
    }
}
