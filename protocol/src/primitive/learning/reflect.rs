//! What a run teaches: a pure function of the playbook and the run, without a model (after ACE, arXiv:2510.04618, whose
//! reflector and curator are prompts). Six rules, in this order:
//!
//! 1. `str`: a good run is a recipe. 2. `mis`: in a bad run, a step that failed. 3. `mis`: the same steps three times over.
//! 4. `cal`: a step that takes far longer than its tool usually does, or most of the run. 5. `fbk`: what people said.
//! 6. `str`: where good and bad runs part.
//!
//! The numbers are our choice; only whole numbers are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::recursive::find_cycle;
use super::super::redact::text_redacted;
use super::playbook::{Playbook, Section};
use super::{Execution, StepDone};

/// Runs remembered for comparison, durations per tool, tools and words (our choice).
const RUNS_MAX: usize = 16;
const DURATIONS_MAX: usize = 31;
const TOOLS_MAX: usize = 64;
const WORDS_MAX: usize = 512;
/// Steps named in a recipe, actions remembered of a run, characters of a person's words.
const RECIPE_MAX: usize = 12;
const ACTIONS_MAX: usize = 64;
const FEEDBACK_MAX: usize = 240;
/// Most bytes of a bullet, and most new ones of one run (our choice).
pub(super) const CONTENT_MAX: usize = 1024;
const NEW_MAX: usize = 8;

/// How a run went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Class {
    Success,
    Failure,
    Neither,
}

impl Class {
    pub(super) fn of(execution: &Execution) -> Self {
        let (said, reward) = (&*execution.outcome == "success", execution.reward.get());
        match said {
            true if reward >= 0.5 => Self::Success,
            true if reward >= 0.0 => Self::Neither,
            _ => Self::Failure,
        }
    }
}

/// What is known of earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    runs: u64,
    /// The sum of their rewards in millionths.
    rewards: i64,
    /// In how many inputs a word was.
    words: BTreeMap<String, u64>,
    /// The last durations of each tool in milliseconds.
    durations: BTreeMap<String, Vec<u64>>,
    /// How the last runs went, and their actions.
    last: Vec<(Class, Vec<String>)>,
}

fn millionths(reward: f64) -> i64 {
    (reward * 1_000_000.0) as i64
}

fn whole_ms(step: &StepDone) -> Option<u64> {
    step.duration.map(|duration| duration.get() as u64)
}

fn tool(step: &StepDone) -> &str {
    step.tool.as_deref().unwrap_or(&step.action)
}

impl Past {
    /// Remembers a run.
    pub(super) fn note(&mut self, execution: &Execution) {
        self.runs += 1;
        self.rewards += millionths(execution.reward.get());
        for word in words(execution).into_keys() {
            *self.words.entry(word).or_default() += 1;
        }
        while self.words.len() > WORDS_MAX {
            let rarest = self.words.iter().min_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
            let Some(rarest) = rarest.map(|(word, _)| word.clone()) else { break };
            self.words.remove(&rarest);
        }
        for step in &execution.steps {
            let Some(duration) = whole_ms(step) else { continue };
            if self.durations.len() >= TOOLS_MAX && !self.durations.contains_key(tool(step)) {
                continue;
            }
            let durations = self.durations.entry(tool(step).to_owned()).or_default();
            if durations.len() == DURATIONS_MAX {
                durations.remove(0);
            }
            durations.push(duration);
        }
        if self.last.len() == RUNS_MAX {
            self.last.remove(0);
        }
        self.last.push((Class::of(execution), actions(execution)));
    }

    /// The median duration of a tool, if it was used three times or more.
    fn median(&self, tool: &str) -> Option<u64> {
        let mut durations = self.durations.get(tool).filter(|all| all.len() >= 3)?.clone();
        durations.sort_unstable();
        Some(durations[durations.len() / 2])
    }

    /// Up to three words of the input that say most: often here, rarely elsewhere.
    fn keywords(&self, execution: &Execution) -> String {
        let weight = |word: &str, count: u64| count * 1000 / (1 + self.words.get(word).copied().unwrap_or(0));
        let mut found: Vec<(u64, String)> =
            words(execution).into_iter().map(|(word, count)| (weight(&word, count), word)).collect();
        found.sort_by(|(a, word), (b, other)| b.cmp(a).then_with(|| word.cmp(other)));
        let found: Vec<String> = found.into_iter().take(3).map(|(_, word)| word).collect();
        if found.is_empty() { "such".to_owned() } else { found.join(", ") }
    }
}

fn actions(execution: &Execution) -> Vec<String> {
    execution.steps.iter().take(ACTIONS_MAX).map(|step| step.action.to_string()).collect()
}

/// The words of the input with their counts: of four letters or more, without what says nothing.
fn words(execution: &Execution) -> BTreeMap<String, u64> {
    const EMPTY: [&str; 12] = [
        "about", "from", "have", "into", "latest", "please", "that", "this", "what", "when", "which", "with",
    ];
    fn strings(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => {
                out.push(' ');
                out.push_str(text);
            }
            Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
            Value::Object(members) => members.values().for_each(|member| strings(member, out)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut text = String::new();
    strings(&execution.input.value(), &mut text);
    let text = text_redacted(&text).unwrap_or(text).to_lowercase();
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '-').take(1000) {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        if (4..=40).contains(&letters) && word.len() <= 64 && !EMPTY.contains(&word) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// What a run changes in a playbook.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delta {
    /// Bullets that were used, and whether they helped.
    pub(super) tags: Vec<(u32, bool)>,
    /// What to add, unless the playbook says it already.
    pub(super) new: Vec<(Section, String)>,
}

impl Delta {
    /// What the rules make of a run.
    pub(super) fn by_rules(playbook: &Playbook, execution: &Execution) -> Self {
        let (class, past) = (Class::of(execution), &playbook.head.past);
        let keywords = past.keywords(execution);
        let rules = [
            recipe(past, class, execution, &keywords),
            failed_step(class, execution, &keywords),
            repetition(execution),
            slow_step(past, execution),
            execution.feedback.as_deref().and_then(feedback),
            parting(past, class, execution),
        ];
        let used: BTreeSet<u32> =
            execution.used_bullets.iter().flatten().filter_map(|id| playbook.number(id)).collect();
        let tags = match class {
            Class::Success => used.into_iter().map(|number| (number, true)).collect(),
            Class::Failure => used.into_iter().map(|number| (number, false)).collect(),
            Class::Neither => Vec::new(),
        };
        Self { tags, new: rules.into_iter().flatten().collect() }
    }

    /// What a model made of it: ACE's `{bullet_tags: [{id, tag}], operations: [{type: "ADD", section, content}]}` as the
    /// content of a chat completion. `None` if it is anything else.
    pub(super) fn by_model(playbook: &Playbook, reply: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Reflection {
            #[serde(default)]
            bullet_tags: Vec<Tag>,
            #[serde(default)]
            operations: Vec<Operation>,
        }
        #[derive(Deserialize)]
        struct Tag {
            id: String,
            tag: String,
        }
        #[derive(Deserialize)]
        struct Operation {
            r#type: String,
            section: Section,
            content: String,
        }
        let reply: Value = serde_json::from_str(reply).ok()?;
        let text = reply.pointer("/choices/0/message/content")?.as_str()?;
        let reflection: Reflection = serde_json::from_str(text).ok()?;
        let tags: BTreeMap<u32, bool> = reflection
            .bullet_tags
            .iter()
            .filter(|tag| matches!(&tag.tag[..], "helpful" | "harmful"))
            .filter_map(|tag| Some((playbook.number(&tag.id)?, tag.tag == "helpful")))
            .collect();
        let adds = reflection.operations.into_iter().filter(|operation| operation.r#type == "ADD");
        let new = adds.map(|operation| (operation.section, operation.content)).take(NEW_MAX).collect();
        Some(Self { tags: tags.into_iter().collect(), new })
    }

    /// Changes the playbook; returns the numbers of new bullets.
    pub(super) fn apply(self, playbook: &mut Playbook, own: &str) -> Vec<u32> {
        for (number, helpful) in self.tags {
            playbook.count(number, own, helpful);
        }
        let mut new = Vec::new();
        for (section, content) in self.new {
            // Playbooks are made to be shared.
            let content = text_redacted(&content).unwrap_or(content);
            let content = cut(content.trim(), CONTENT_MAX);
            if !content.is_empty() && playbook.alike(section, content).is_none() {
                new.push(playbook.add(section, content));
            }
        }
        new
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn recipe(past: &Past, class: Class, execution: &Execution, keywords: &str) -> Option<(Section, String)> {
    let reward = millionths(execution.reward.get());
    let mean = past.runs == 0 || i128::from(reward) * i128::from(past.runs) >= i128::from(past.rewards);
    if class != Class::Success || reward < 800_000 || !mean || execution.steps.is_empty() {
        return None;
    }
    let name = |step: &StepDone| match &step.tool {
        Some(tool) => format!("{}({})", &*step.action, &**tool),
        None => step.action.to_string(),
    };
    let steps: Vec<String> = execution.steps.iter().take(RECIPE_MAX).map(name).collect();
    Some((Section::Str, format!("For {keywords} tasks: {}.", steps.join(" → "))))
}

fn failed_step(class: Class, execution: &Execution, keywords: &str) -> Option<(Section, String)> {
    if class != Class::Failure {
        return None;
    }
    let (step, error) = execution.steps.iter().find_map(|step| {
        let error = step.error.as_ref().filter(|error| error.get() != "null")?.value();
        Some((step, error.as_str().map_or_else(|| error.to_string(), str::to_owned)))
    })?;
    // What comes before the first detail.
    let kind = error.split([':', '\n', '(']).next().unwrap_or_default().trim();
    let text = format!("Avoid {} with {} on {keywords}: {}.", &*step.action, tool(step), cut(kind, 80));
    Some((Section::Mis, text))
}

fn repetition(execution: &Execution) -> Option<(Section, String)> {
    let actions = actions(execution);
    let names: Vec<&str> = actions.iter().map(String::as_str).collect();
    let found = find_cycle(&names, 3)?;
    let cycle = actions[found.start..found.start + found.period].join(" → ");
    Some((Section::Mis, format!("Stop repeating {cycle}; change the input or the tool.")))
}

fn slow_step(past: &Past, execution: &Execution) -> Option<(Section, String)> {
    let timed: Vec<(&StepDone, u64)> =
        execution.steps.iter().filter_map(|step| Some((step, whole_ms(step)?))).collect();
    let total: u64 = timed.iter().map(|(_, duration)| duration).sum();
    let slower = timed.iter().find_map(|(step, duration)| {
        let median = past.median(tool(step))?;
        (*duration > 3 * median).then_some((step, median))
    });
    if let Some((step, median)) = slower {
        return Some((
            Section::Cal,
            format!("Budget {}: usually {median} ms, at times thrice that.", tool(step)),
        ));
    }
    let (step, duration) = timed.iter().find(|(_, duration)| 2 * duration > total)?;
    (timed.len() > 1)
        .then(|| (Section::Cal, format!("Budget {}: {duration} ms, more than half of the run.", tool(step))))
}

fn feedback(text: &str) -> Option<(Section, String)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(FEEDBACK_MAX).collect();
    (!text.is_empty()).then_some((Section::Fbk, text))
}

/// Where this run parts from two or more runs of the other kind: they went the same way up to some step and then another.
fn parting(past: &Past, class: Class, execution: &Execution) -> Option<(Section, String)> {
    let other = match class {
        Class::Success => Class::Failure,
        Class::Failure => Class::Success,
        Class::Neither => return None,
    };
    let own = actions(execution);
    let mut seen: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    for (_, theirs) in past.last.iter().filter(|(class, _)| *class == other) {
        let same = own.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        if let (Some(before), Some(ours), Some(theirs)) =
            (same.checked_sub(1), own.get(same), theirs.get(same))
        {
            *seen.entry((&own[before], ours, theirs)).or_default() += 1;
        }
    }
    let (&(after, ours, theirs), _) =
        seen.iter().filter(|(_, count)| **count >= 2).max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)))?;
    let (good, bad) = if class == Class::Success { (ours, theirs) } else { (theirs, ours) };
    Some((Section::Str, format!("After {after} do {good}, not {bad}.")))
}
