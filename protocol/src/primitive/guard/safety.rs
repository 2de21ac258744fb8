//! `guard.checkSafety`, and the same question asked by other primitives.
//!
//! Two sources raise flags: the rules of this program, always, and a classifier outside it, if the operator has one. A
//! policy says which flags block. The spec names neither rules nor policies; all of this is our choice.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::super::Agent;
use super::super::agent::Waiting;
use super::super::call::{Answer, CallId, Fetched, Source};
use super::super::env::{Env, Reply, Serving};
use super::super::error::{Code, Error};
use super::super::method::{Access, Method};
use super::super::params::{Json, Text};
use super::rules::{self, Severity};
use super::value;

/// Most checks that wait for the classifier; of one more, the rules decide alone.
const WAITING_MAX: usize = 256;
/// Most flags taken from one answer of the classifier.
const CLASSIFIED_MAX: usize = 32;
/// Most names in a list of a policy.
const NAMES_MAX: usize = 64;

/// The name of a flag.
pub type Flag = Text<1, 64>;

/// Where a policy starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Blocks what is harmful: injected prompts, secrets, destructive commands, and whatever the classifier flags. Personal
    /// data is flagged but does not block.
    #[default]
    Default,
    /// Blocks personal data too.
    Strict,
    /// Looks for nothing.
    Off,
}

/// Which flags block. As a parameter, the name of a preset, or an object `{block, allow}` that changes the node's own
/// policy: `block` and `allow` list flags; what is allowed is not flagged at all, and wins over `block`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Where it starts from; `None` for the node's own policy.
    pub preset: Option<Preset>,
    /// Flags that block whatever the preset says.
    pub block: BTreeSet<Flag>,
    /// Flags that are not raised.
    pub allow: BTreeSet<Flag>,
}

#[derive(Deserialize)]
struct Lists {
    #[serde(default)]
    block: Vec<Flag>,
    #[serde(default)]
    allow: Vec<Flag>,
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        if let Ok(preset) = serde_json::from_str(json.get()) {
            return Ok(Self { preset: Some(preset), ..Self::default() });
        }
        if !json.get().starts_with('{') {
            return Err(D::Error::custom("must be default, strict, off or an object {block, allow}"));
        }
        let lists: Lists = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        if lists.block.len() + lists.allow.len() > NAMES_MAX {
            return Err(D::Error::custom(format_args!("lists more than {NAMES_MAX} flags")));
        }
        let (block, allow) = (lists.block.into_iter().collect(), lists.allow.into_iter().collect());
        Ok(Self { preset: None, block, allow })
    }
}

impl JsonSchema for Policy {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Policy".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let flags = json!({ "type": "array", "items": Flag::json_schema(generator), "maxItems": NAMES_MAX });
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["default", "strict", "off"] },
            { "type": "object", "properties": { "block": flags, "allow": flags } },
        ] })
    }
}

impl Policy {
    /// This policy on top of the node's own.
    fn over(mut self, own: &Self) -> Self {
        if self.preset.is_none() {
            self.preset = own.preset;
            self.block.extend(own.block.iter().cloned());
            self.allow.extend(own.allow.iter().cloned());
        }
        self
    }

    /// The flags that it raises among those found, and whether none of them blocks.
    fn judge(&self, found: BTreeSet<String>) -> Safety {
        let preset = self.preset.unwrap_or_default();
        let listed = |list: &BTreeSet<Flag>, flag: &str| list.iter().any(|listed| **listed == *flag);
        let blocks = |flag: &str| {
            listed(&self.block, flag)
                || match preset {
                    Preset::Off => false,
                    Preset::Default => rules::severity(flag) >= Severity::Harmful,
                    Preset::Strict => true,
                }
        };
        let flags: Vec<String> = found
            .into_iter()
            .filter(|flag| !listed(&self.allow, flag) && (preset != Preset::Off || blocks(flag)))
            .collect();
        Safety { safe: !flags.iter().any(|flag| blocks(flag)), flags }
    }
}

/// Looks for what a policy forbids.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CheckSafety {
    /// Text, or any JSON: the names and strings in it are read.
    pub content: Json,
    /// Which flags block: `default`, `strict`, `off` or `{block, allow}`. The node's own policy if absent.
    pub policy: Option<Policy>,
}

/// Whether content may pass (decision P7).
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Safety {
    /// Whether no flag blocks.
    pub safe: bool,
    /// What was found, in order of the alphabet; absent if nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// Checks that wait for the classifier, by the number of the question.
#[derive(Debug, Default)]
pub(in super::super) struct Live(BTreeMap<CallId, Check>);

#[derive(Debug)]
struct Check {
    call: CallId,
    policy: Policy,
    found: BTreeSet<String>,
}

/// What the rules find in the names and strings of `content`.
fn find(content: &Value) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    // A stack of our own: content may come from a place that limits its depth less than this thread's stack does.
    let mut rest = vec![content];
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => rules::look(text, &mut flags),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => {
                for (name, value) in members {
                    rules::look(name, &mut flags);
                    rest.push(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    flags
}

impl Method for CheckSafety {
    const NAME: &'static str = "guard.checkSafety";
    const CLAUSE: &'static str = "4.2, 8; P7";
    const ACCESS: Access = Access::Shared;
    type Result = Safety;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Safety>, Error> {
        let content = value("content", &self.content, env.config.guard.content_max)?;
        let policy = self.policy.unwrap_or_default().over(&env.config.guard.policy);
        let found = find(&content);
        let off = policy.preset == Some(Preset::Off) && policy.block.is_empty();
        if env.config.guard.classifier && !off && agent.guard.0.len() < WAITING_MAX {
            let body = json!({ "content": content }).to_string();
            if let Some(id) = agent.fetch(env, Waiting::Guard, Source::Classifier, body) {
                agent.guard.0.insert(id, Check { call: serving.id, policy, found });
                return Ok(Reply::Later);
            }
        }
        Ok(policy.judge(found).into())
    }
}

/// What the classifier answers: `{"flags": ["name", ...]}`. Names are lower case, digits and hyphens; others are dropped.
#[derive(Deserialize)]
struct Classified {
    flags: Vec<String>,
}

impl Agent {
    /// The classifier has answered, or not: then the rules decide alone, so that an outage of it neither blocks everything
    /// nor lets everything pass (spec 1.3, principle 3).
    pub(in super::super) fn guard_fetched(&mut self, env: &mut Env<'_>, id: CallId, fetched: Fetched) {
        let Some(Check { call, policy, mut found }) = self.guard.0.remove(&id) else { return };
        let classified = fetched.ok().and_then(|body| serde_json::from_str::<Classified>(&body).ok());
        let named = |flag: &String| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !flag.is_empty() && flag.len() <= 64 && flag.bytes().all(plain)
        };
        found.extend(classified.into_iter().flat_map(|c| c.flags).filter(named).take(CLASSIFIED_MAX));
        let safety = policy.judge(found);
        let text = serde_json::to_string(&safety).expect("results are plain data");
        env.net.answer(Answer { id: call, result: Ok(text.into()) });
    }
}

impl Env<'_> {
    /// Refuses content that the node's own policy blocks, by the rules alone. What a session stores or a tool is called
    /// with goes through here.
    ///
    /// # Errors
    /// [`Code::SafetyViolation`] with `{flags}`.
    pub(in super::super) fn refuse_unsafe(&self, content: &Value) -> Result<(), Error> {
        let policy = &self.config.guard.policy;
        if policy.preset == Some(Preset::Off) && policy.block.is_empty() {
            return Ok(());
        }
        let safety = policy.judge(find(content));
        if safety.safe {
            return Ok(());
        }
        let text = format!("the content is blocked: {}", safety.flags.join(", "));
        Err(Error::new(Code::SafetyViolation, text).with(json!({ "flags": safety.flags })))
    }
}
