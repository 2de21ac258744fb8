//! `recursive.*`: finding loops and keeping recursion within a depth (spec 4.5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::env::{Env, Reply, Serving};
use super::error::{Code, Error};
use super::method::{Access, Entry, Method, entry};
use super::params::{Name, Whole};
use super::records::Table;
use super::sessions::under;
use super::{Agent, iso};
use crate::time::UnixMillis;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] =
    &[entry::<Analyze>(), entry::<Track>(), entry::<GetTrace>(), entry::<SetMaxDepth>()];

/// Settings of `recursive.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Iterations of a loop from which on to abort it, unless the call says otherwise.
    pub max_iterations: u64,
    /// What to count as iterations.
    pub iterations: Iterations,
    /// Longest call stack that is analysed, in steps.
    pub stack_max: usize,
    /// Deepest step that may be tracked, unless the session says otherwise.
    pub max_depth: u32,
    /// Most steps kept of a session's trace; of more, the oldest are forgotten.
    pub steps_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Decision P25; the spec's example passes the same number.
            max_iterations: 10,
            iterations: Iterations::Runs,
            // Our choice: a stack of this length is a runaway whatever its pattern.
            stack_max: 10_000,
            // Our choice: agents that call agents nest a few levels; the spec's example has seven.
            max_depth: 100,
            // Our choice: an answer of `getTrace` stays below half a megabyte.
            steps_max: 1_000,
        }
    }
}

/// Readings of `iterations`, between which the spec's only example does not decide (decision P24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iterations {
    /// How often the current step is on the call stack, and one more for the run it is about to begin.
    Runs,
    /// How many steps the loop has.
    Steps,
}

/// Looks for a loop in a call stack. A loop that is to be aborted is noted in the session, which calls no more tools until
/// an analysis finds otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analyze {
    /// Of which session.
    pub session_id: Name,
    /// The step about to run.
    pub current_step: Name,
    /// The steps that led to it, the outermost first.
    pub call_stack: Vec<Name>,
    /// Iterations from which on to abort; at least 1.
    pub max_iterations: Option<Whole<1, 1_000_000>>,
}

/// What to do about a call stack (decision P25).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Recommendation {
    /// There is no loop.
    Continue,
    /// There is one.
    Warn,
    /// It has run too often.
    Abort,
}

/// What a call stack looks like.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Whether the current step is on the stack more than once.
    pub is_looping: bool,
    /// If so, the steps of the loop: from the last but one run of the current step to before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// If so, how far it has gone (decision P24): an extension, as in the spec's example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Steps on the stack: an extension, as in the spec's example.
    pub depth: u64,
    /// What to do.
    pub recommendation: Recommendation,
}

impl Method for Analyze {
    const NAME: &'static str = "recursive.analyze";
    const CLAUSE: &'static str = "4.5; P24, P25";
    const ACCESS: Access = Access::Session;
    type Result = Analysis;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Analysis>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        let config = &env.config.recursive;
        let stack = &self.call_stack;
        if stack.len() > config.stack_max {
            let problem = format!("has {} steps, must have at most {}", stack.len(), config.stack_max);
            return Err(Error::param("callStack", problem));
        }
        let runs = stack.iter().filter(|step| **step == self.current_step).count() as u64;
        let mut latest = (0..stack.len()).rev().filter(|at| stack[*at] == self.current_step);
        let round = latest.next().zip(latest.next()).map(|(last, before)| &stack[before..last]);
        let iterations = round.map(|round| match config.iterations {
            Iterations::Runs => runs + 1,
            Iterations::Steps => round.len() as u64,
        });
        let max = self.max_iterations.map_or(config.max_iterations, Whole::get);
        let recommendation = match iterations {
            None => Recommendation::Continue,
            Some(iterations) if iterations < max => Recommendation::Warn,
            Some(_) => Recommendation::Abort,
        };
        let looping = recommendation == Recommendation::Abort;
        if session.looping != looping {
            session.looping = looping;
            env.save_session(&session);
        }
        let pattern = round.map(|round| {
            let names: Vec<&str> = round.iter().map(|step| &**step).collect();
            names.join(" -> ")
        });
        let depth = stack.len() as u64;
        Ok(Analysis { is_looping: round.is_some(), pattern, iterations, depth, recommendation }.into())
    }
}

/// Records a step in a session's trace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// Of which session.
    pub session_id: Name,
    /// The step.
    pub step: Name,
    /// How deep in recursion it is.
    pub depth: Whole<0, 0xffff_ffff>,
}

/// A step recorded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tracked {
    /// True.
    pub tracked: bool,
    /// How deep it is.
    pub depth: u32,
}

/// The record of a step.
#[derive(Serialize, Deserialize)]
struct Step {
    step: String,
    depth: u32,
    /// Unix milliseconds.
    at: u64,
}

impl Method for Track {
    const NAME: &'static str = "recursive.track";
    const CLAUSE: &'static str = "4.5; P25, P26";
    const ACCESS: Access = Access::Session;
    type Result = Tracked;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    /// A step beyond the session's depth is [`Code::LoopDetected`] with `{depth, maxDepth}`, and is not recorded.
    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Tracked>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        let depth = u32::try_from(self.depth.get()).expect("its range is that of u32");
        let max_depth = session.max_depth.unwrap_or(env.config.recursive.max_depth);
        if depth > max_depth {
            let text = format!("depth {depth} is beyond the maximum of {max_depth}");
            let data = json!({ "depth": depth, "maxDepth": max_depth });
            return Err(Error::new(Code::LoopDetected, text).with(data));
        }
        let place = |number: u64| under(&session.id, &number.to_be_bytes());
        let step = Step { step: self.step.to_string(), depth, at: env.unix.0 };
        env.records.save(Table::Step, &place(session.steps), Some(&session.subject()), &step);
        if let Some(oldest) = session.steps.checked_sub(env.config.recursive.steps_max) {
            env.records.delete(Table::Step, &place(oldest));
        }
        session.steps += 1;
        session.deepest = session.deepest.max(depth);
        env.save_session(&session);
        Ok(Tracked { tracked: true, depth }.into())
    }
}

/// Tells which steps a session has tracked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetTrace {
    /// Of which session.
    pub session_id: Name,
}

/// A session's trace.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The latest steps, the oldest first.
    pub steps: Vec<TraceStep>,
    /// How deep the session has been: the deepest step ever tracked, also if it is no longer listed.
    pub max_depth: u32,
    /// How deep it may go: an extension.
    pub depth_limit: u32,
    /// Steps ever tracked (decision P26).
    pub total_iterations: u64,
}

/// A step of a trace.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TraceStep {
    /// The step.
    pub step: String,
    /// How deep it was.
    pub depth: u32,
    /// When it was tracked.
    pub at: String,
}

impl Method for GetTrace {
    const NAME: &'static str = "recursive.getTrace";
    const CLAUSE: &'static str = "4.5; P26";
    const ACCESS: Access = Access::Session;
    type Result = Trace;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Trace>, Error> {
        let session = env.live_session(&self.session_id)?;
        let kept = usize::try_from(env.config.recursive.steps_max).unwrap_or(usize::MAX);
        let steps = env.records.load_all::<Step>(Table::Step, &under(&session.id, b""), None, kept);
        let steps = steps.into_iter().map(|(_, step)| TraceStep {
            step: step.step,
            depth: step.depth,
            at: iso(UnixMillis(step.at)),
        });
        let trace = Trace {
            steps: steps.collect(),
            max_depth: session.deepest,
            depth_limit: session.max_depth.unwrap_or(env.config.recursive.max_depth),
            total_iterations: session.steps,
        };
        Ok(trace.into())
    }
}

/// Sets how deep a session may go. Steps that are deeper already stay; the next such step fails (decision P26).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetMaxDepth {
    /// Which session.
    pub session_id: Name,
    /// The deepest step that may be tracked; at least 1.
    pub max_depth: Whole<1, 0xffff_ffff>,
}

/// Whether it was set.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Updated {
    /// True.
    pub updated: bool,
}

impl Method for SetMaxDepth {
    const NAME: &'static str = "recursive.setMaxDepth";
    const CLAUSE: &'static str = "4.5; P26";
    const ACCESS: Access = Access::Session;
    type Result = Updated;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Updated>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        session.max_depth = u32::try_from(self.max_depth.get()).ok();
        env.save_session(&session);
        Ok(Updated { updated: true }.into())
    }
}

/// A round of steps that is run several times in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cycle {
    /// Where its first round begins.
    pub(crate) start: usize,
    /// Steps in a round.
    pub(crate) period: usize,
}

/// Longest round that [`find_cycle`] looks for, so that its work is linear in the steps. Our choice.
const PERIOD_MAX: usize = 64;

/// The first run of at least `rounds_min` (two or more) equal rounds in a row, of the shortest rounds of which there are so
/// many. Rounds of more than 64 steps are not looked for.
pub(crate) fn find_cycle(steps: &[&str], rounds_min: usize) -> Option<Cycle> {
    let rounds_min = rounds_min.max(2);
    for period in 1..=(steps.len() / rounds_min).min(PERIOD_MAX) {
        // Steps in a row, up to here, that equal the one a round later.
        let mut equal = 0;
        for at in 0..=steps.len() - period {
            if at + period < steps.len() && steps[at] == steps[at + period] {
                equal += 1;
                continue;
            }
            let rounds = equal / period + 1;
            if rounds >= rounds_min {
                return Some(Cycle { start: at - equal, period });
            }
            equal = 0;
        }
    }
    None
}
