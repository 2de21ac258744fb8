//! What goes wrong with trajectories.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::same;
use crate::edit::{Change, double, inner, set};
use crate::rule::{When, on, refusal};
use crate::seam::{Exchange, Fate};

fn text<'a>(exchange: &'a Exchange, name: &str) -> &'a str {
    exchange.param(name).and_then(Json::as_str).unwrap_or_default()
}

fn reward(exchange: &Exchange) -> f64 {
    exchange.param("reward").and_then(Json::as_number).map_or(0.0, Number::to_f64)
}

fn steps(exchange: &Exchange) -> &[Json] {
    exchange.param("steps").and_then(Json::items).unwrap_or_default()
}

const STRATEGIES: [&str; 4] = ["ACCUMULATE", "DATABASE_LEVEL", "EXEMPLAR_LEVEL", "HYBRID"];
const MODES: [&str; 3] = ["NONE", "FEEDBACK_ONLY", "FULL_PIPELINE"];
const CHOOSERS: &str = "improving.getExemplars improving.curate";
const RECORDED: &str = r#"{"trajectoryId":"traj-1","state":"FAILED","gossipedTo":0}"#;

mutants! { "improving";
    "id-empty", "trajectory ids are empty", "HSP-5.2-01" => [on("improving.recordTrajectory").gives("trajectoryId", r#""""#)];
    "id-same", "every trajectory gets the id of the first", "HSP-5.2-01 HSP-5.2-22" => [on("improving.recordTrajectory").answer(same)];
    "record-forgets", "a recorded trajectory is forgotten", "HSP-5.2-10 HSP-5.2-11 HSP-5.2-18" => [on("improving.recordTrajectory").say(RECORDED)];
    "state-lower", "states are in small letters", "HSP-5.2-02" => [on("improving.recordTrajectory").gives("state", r#""success""#)];
    "state-numbered", "states are numbers", "HSP-5.2-02" => [on("improving.recordTrajectory").gives("state", "1")];
    "gossiped-negative", "gossipedTo is negative", "HSP-5.2-01 HSP-5.2-04" => [on("improving.recordTrajectory").gives("gossipedTo", "-1")];
    "gossiped-half", "gossipedTo has a fraction", "HSP-5.2-04 HSP-5.2-01" => [on("improving.recordTrajectory").gives("gossipedTo", "1.5")];
    "gossiped-list", "gossipedTo is a list of peers", "HSP-5.2-04 HSP-5.2-01" => [on("improving.recordTrajectory").gives("gossipedTo", "[]")];
    "no-steps-taken", "a trajectory without steps is taken", "HSP-5.2-06 HSP-8-12" => [on("improving.recordTrajectory").given(|e| steps(e).is_empty()).say(RECORDED)];
    "any-reward-taken", "an impossible reward is taken", "HSP-5.2-06 HSP-8-12" => [on("improving.recordTrajectory").given(|e| !(-1.0..=1.0).contains(&reward(e))).say(RECORDED)];
    "any-step-taken", "a step without an action is taken", "HSP-5.2-06 HSP-8-12" => [on("improving.recordTrajectory").given(|e| steps(e).iter().any(|step| step.get("action").is_none())).say(RECORDED)];
    "invalid-otherwise", "an invalid trajectory is refused with -32603", "HSP-5.2-06 HSP-8-12" => [on("improving.recordTrajectory").act(crate::rule::Act::Code(-32008, -32603)), on("improving.recordTrajectory").act(crate::rule::Act::Code(-32602, -32603))];
    "failure-refused", "a trajectory with a low reward is refused", "HSP-5.2-01 HSP-5.2-02" => [on("improving.recordTrajectory").given(|e| reward(e) < 0.5).refuse(-32008)];
    "metadata-refused", "a trajectory with metadata is refused", "HSP-5.2-01" => [on("improving.recordTrajectory").when(When::Has("metadata")).refuse(-32602)];
    "metadata-needed", "a trajectory without metadata is refused", "HSP-5.2-01" => [on("improving.recordTrajectory").when(When::Lacks("metadata")).refuse(-32602)];
    "exemplars-none", "there are no exemplars", "HSP-5.2-10 HSP-5.2-11" => [on("improving.getExemplars").gives("exemplars", "[]")];
    "exemplars-unlimited", "getExemplars ignores limit", "HSP-5.2-07" => [on("improving.getExemplars").params("limit", Change::Drop)];
    "exemplars-one-more", "getExemplars answers one more than limit", "HSP-5.2-07" => [on("improving.getExemplars").params("limit", Change::Add(1.0))];
    "exemplars-any-reward", "getExemplars ignores minReward", "HSP-5.2-08" => [on("improving.getExemplars").params("minReward", Change::Drop)];
    "exemplars-low", "getExemplars answers rewards below minReward", "HSP-5.2-08" => [on("improving.getExemplars").when(When::Has("minReward")).gives("exemplars/*/reward", "-1")];
    "exemplars-reward-above-only", "getExemplars wants more than minReward", "HSP-5.2-08 HSP-5.2-11" => [on("improving.getExemplars").when(When::Has("minReward")).params("minReward", Change::Add(0.05))];
    "exemplars-of-all", "all task types are one", "HSP-5.2-09 HSP-5.2-18" => [on("improving.*").request(|_, exchange| {
        if let Some(params) = inner(&mut exchange.request, "params") && params.get("taskType").and_then(Json::as_str).is_some() {
            set(params, "taskType", Json::string("the-one"));
        }
        Fate::Forward
    })];
    "exemplars-of-another", "getExemplars answers those of the task type that was asked for first", "HSP-5.2-09" => [on("improving.getExemplars").request(|memory, exchange| {
        if let Some(task) = inner(&mut exchange.request, "params").and_then(|params| inner(params, "taskType")) && task.as_str().is_some() {
            *task = memory.first("task", task);
        }
        Fate::Forward
    })];
    "exemplars-ascii", "inputs lose letters outside ASCII", "HSP-5.2-10" => [on("improving.recordTrajectory").when(When::Unicode).params("input", Change::Ascii)];
    "exemplars-input-text", "inputs come back as text", "HSP-5.2-10" => [on("improving.getExemplars").answer(|_, _, answer| {
        if let Some(Json::Array(found)) = inner(answer, "result").and_then(|result| inner(result, "exemplars")) {
            for exemplar in found { let text = exemplar.get("input").map(ToString::to_string).unwrap_or_default(); set(exemplar, "input", Json::string(text)); }
        }
    })];
    "exemplars-steps-lost", "exemplars have no steps", "HSP-5.2-10" => [on("improving.getExemplars").gives("exemplars/*/steps", "[]")];
    "exemplars-reward-off", "exemplars have another reward", "HSP-5.2-10 HSP-5.2-08" => [on("improving.getExemplars").result("exemplars/*/reward", Change::Add(-0.2))];
    "exemplars-id-other", "exemplars have another id than was recorded", "HSP-5.2-10" => [on("improving.getExemplars").gives("exemplars/*/trajectoryId", r#""traj-other""#)];
    "exemplars-twice", "the first exemplar is there twice", "HSP-5.2-07 HSP-5.2-11 HSP-5.2-10" => [on("improving.getExemplars").result("exemplars", Change::Stutter)];
    "library-small", "librarySize is below the number of exemplars", "HSP-5.2-11" => [on("improving.getExemplars").gives("librarySize", "0")];
    "average-percent", "avgReward is in percent", "HSP-5.2-11" => [on("improving.getExemplars").result("avgReward", Change::Times(100.0))];
    "accumulate-refused", "the strategy ACCUMULATE is refused", "HSP-5.2-14" => [on(CHOOSERS).given(|e| text(e, "strategy") == "ACCUMULATE").refuse(-32602)];
    "database-refused", "the strategy DATABASE_LEVEL is refused", "HSP-5.2-14" => [on(CHOOSERS).given(|e| text(e, "strategy") == "DATABASE_LEVEL").refuse(-32602)];
    "exemplar-refused", "the strategy EXEMPLAR_LEVEL is refused", "HSP-5.2-14" => [on(CHOOSERS).given(|e| text(e, "strategy") == "EXEMPLAR_LEVEL").refuse(-32602)];
    "hybrid-refused", "the strategy HYBRID is refused", "HSP-5.2-14" => [on(CHOOSERS).given(|e| text(e, "strategy") == "HYBRID").refuse(-32602)];
    "none-refused", "the mode NONE is refused", "HSP-5.2-14 HSP-5.2-16" => [on("improving.augment").given(|e| text(e, "mode") == "NONE").refuse(-32602)];
    "feedback-refused", "the mode FEEDBACK_ONLY is refused", "HSP-5.2-14" => [on("improving.augment").given(|e| text(e, "mode") == "FEEDBACK_ONLY").refuse(-32602)];
    "pipeline-refused", "the mode FULL_PIPELINE is refused", "HSP-5.2-14" => [on("improving.augment").given(|e| text(e, "mode") == "FULL_PIPELINE").refuse(-32602)];
    "any-strategy", "a strategy that there is not is taken by getExemplars", "HSP-5.2-21" => [on("improving.getExemplars").given(|e| e.param("strategy").is_some() && !STRATEGIES.contains(&text(e, "strategy"))).params("strategy", Change::Drop)];
    "any-strategy-curate", "a strategy that there is not is taken by curate", "HSP-5.2-21" => [on("improving.curate").given(|e| e.param("strategy").is_some() && !STRATEGIES.contains(&text(e, "strategy"))).params("strategy", Change::Drop)];
    "any-mode", "a mode that there is not is taken", "HSP-5.2-21" => [on("improving.augment").given(|e| e.param("mode").is_some() && !MODES.contains(&text(e, "mode"))).params("mode", Change::Drop)];
    "curate-kept-off", "kept is one too many", "HSP-5.2-15" => [on("improving.curate").result("kept", Change::Add(1.0))];
    "curate-pruned-off", "pruned is one too many", "HSP-5.2-15" => [on("improving.curate").result("pruned", Change::Add(1.0))];
    "curate-size-off", "librarySize after curation is one too many", "HSP-5.2-15" => [on("improving.curate").result("librarySize", Change::Add(1.0))];
    "curate-size-before", "librarySize after curation is that before", "HSP-5.2-15" => [on("improving.curate").answer(|_, _, answer| {
        let number = |name| answer.get("result").and_then(|result| result.get(name)).and_then(Json::as_number).map_or(0.0, Number::to_f64);
        let all = number("kept") + number("pruned") + 1.0;
        if let Some(result) = inner(answer, "result") { set(result, "librarySize", double(all)); }
    })];
    "curate-lists", "kept is a list", "HSP-5.2-15" => [on("improving.curate").gives("kept", "[]")];
    "augment-none-augments", "augmenting with mode NONE changes the state", "HSP-5.2-16" => [on("improving.augment").given(|e| text(e, "mode") == "NONE").gives("newState", r#""AUGMENTED""#)];
    "augment-stays", "a successful augmentation leaves the state", "HSP-5.2-16" => [on("improving.augment").given(|e| text(e, "mode") != "NONE").gives("newState", r#""PENDING""#)];
    "augment-unknown", "a trajectory that does not exist can be augmented", "HSP-5.2-22 HSP-5.2-16 HSP-8-04 HSP-5.2-21" => [on("improving.augment").recover(&[-32602], r#"{"augmented":true,"newState":"AUGMENTED"}"#)];
    "difficulty-frontier", "everything is FRONTIER", "HSP-5.2-17" => [on("improving.assessDifficulty").gives("difficulty", r#""FRONTIER""#)];
    "difficulty-easy", "everything is TOO_EASY", "HSP-5.2-17" => [on("improving.assessDifficulty").gives("difficulty", r#""TOO_EASY""#)];
    "difficulty-hard", "everything is TOO_HARD", "HSP-5.2-17" => [on("improving.assessDifficulty").gives("difficulty", r#""TOO_HARD""#)];
    "difficulty-swapped", "what is too easy is called too hard", "HSP-5.2-17" => [on("improving.assessDifficulty").answer(|_, _, answer| {
        if let Some(Json::String(word)) = inner(answer, "result").and_then(|result| inner(result, "difficulty")) {
            *word = match word.as_str() { "TOO_EASY" => "TOO_HARD", "TOO_HARD" => "TOO_EASY", same => same }.to_owned();
        }
    })];
    "difficulty-lower", "difficulties are in small letters", "HSP-5.2-17 HSP-5.2-23" => [on("improving.assessDifficulty").gives("difficulty", r#""frontier""#)];
    "pass-percent", "passRate is in percent", "HSP-5.2-23 HSP-5.2-17" => [on("improving.assessDifficulty").gives("passRate", "50")];
    "samples-needed", "assessDifficulty needs samples", "HSP-5.2-23" => [on("improving.assessDifficulty").when(When::Lacks("samples")).refuse(-32602)];
    "stats-off", "total is one too many", "HSP-5.2-18" => [on("improving.getLibraryStats").result("total", Change::Add(1.0))];
    "stats-states-off", "byState has one too many of each", "HSP-5.2-18" => [on("improving.getLibraryStats").result("byState/*", Change::Add(1.0))];
    "stats-states-lower", "byState has states in small letters", "HSP-5.2-18" => [on("improving.getLibraryStats").answer(|_, _, answer| {
        if let Some(Json::Object(states)) = inner(answer, "result").and_then(|result| inner(result, "byState")) { states.iter_mut().for_each(|(name, _)| *name = name.to_lowercase()); }
    })];
    "stats-states-unknown", "byState has a state that there is not", "HSP-5.2-18" => [on("improving.getLibraryStats").gives("byState/DONE", "0")];
    "stats-states-empty", "byState is empty", "HSP-5.2-18" => [on("improving.getLibraryStats").gives("byState", "{}")];
    "stats-of-all", "getLibraryStats ignores the task type", "HSP-5.2-18" => [on("improving.getLibraryStats").params("taskType", Change::Drop)];
    "stats-task-needed", "getLibraryStats needs a task type", "HSP-5.2-24 HSP-2.2-10 HSP-5.2-18" => [on("improving.getLibraryStats").request(|_, exchange| {
        if exchange.param("taskType").is_none() { Fate::Answer(refusal(-32602)) } else { Fate::Forward }
    })];
    "stats-stale", "stats do not change", "HSP-5.2-18" => [on("improving.getLibraryStats").answer(super::state::stale)];
    "parallel-lost", "a trajectory recorded while other requests are under way is lost", "HSP-2.2-15 HSP-5.2-18 HSP-5.2-11" => [on("improving.recordTrajectory").when(When::Busy).say(RECORDED)];
}
