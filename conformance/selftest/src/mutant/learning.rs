//! What goes wrong with playbooks.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::{same, stale};
use crate::edit::{Change, double, inner, set};
use crate::rule::{When, on};
use crate::seam::{Exchange, Fate};

fn section(exchange: &Exchange) -> &str {
    exchange.param("section").and_then(Json::as_str).unwrap_or_default()
}

fn count(answer: &Json, name: &str) -> f64 {
    answer
        .get("result")
        .and_then(|result| result.get(name))
        .and_then(Json::as_number)
        .map_or(0.0, Number::to_f64)
}

fn put(answer: &mut Json, name: &str, value: f64) {
    if let Some(result) = inner(answer, "result") {
        set(result, name, double(value));
    }
}

mutants! { "learning";
    "bullet-id-empty", "bullet ids are empty", "HSP-5.1-02" => [on("learning.addBullet").gives("bulletId", r#""""#)];
    "bullet-id-same", "every bullet gets the id of the first", "HSP-5.1-02" => [on("learning.addBullet").answer(same)];
    "bullet-forgotten", "an added bullet is forgotten", "HSP-5.1-02" => [on("learning.addBullet").say(r#"{"bulletId":"str-00001"}"#)];
    "bullet-section-lost", "every bullet is a strategy", "HSP-5.1-02" => [on("learning.addBullet").params("section", Change::Set(Json::string("str")))];
    "bullet-ascii", "content loses letters outside ASCII", "HSP-5.1-02" => [on("learning.addBullet").when(When::Unicode).params("content", Change::Ascii)];
    "bullet-short", "content is cut after 16 letters", "HSP-5.1-02" => [on("learning.getPlaybook").answer(|_, _, answer| {
        if let Some(Json::Array(bullets)) = inner(answer, "result").and_then(|result| inner(result, "bullets")) {
            for bullet in bullets { if let Some(Json::String(text)) = inner(bullet, "content") { *text = text.chars().take(16).collect(); } }
        }
    })];
    "bullet-content-lost", "bullets in a playbook have no content", "HSP-5.1-02 HSP-5.1-01" => [on("learning.getPlaybook").result("bullets/*/content", Change::Drop)];
    "bullet-section-gone", "bullets in a playbook have no section", "HSP-5.1-02 HSP-5.1-01" => [on("learning.getPlaybook").result("bullets/*/section", Change::Drop)];
    "bullet-id-gone", "bullets in a playbook have no id", "HSP-5.1-02 HSP-5.1-01" => [on("learning.getPlaybook").result("bullets/*/id", Change::Drop)];
    "str-refused", "no strategy is taken", "HSP-5.1-03 HSP-5.1-02" => [on("learning.addBullet").given(|e| section(e) == "str").refuse(-32602)];
    "cal-refused", "no calculation is taken", "HSP-5.1-03" => [on("learning.addBullet").given(|e| section(e) == "cal").refuse(-32602)];
    "mis-refused", "no mistake is taken", "HSP-5.1-03" => [on("learning.addBullet").given(|e| section(e) == "mis").refuse(-32602)];
    "fbk-refused", "no feedback is taken", "HSP-5.1-03" => [on("learning.addBullet").given(|e| section(e) == "fbk").refuse(-32602)];
    "any-section", "a section that there is not is taken", "HSP-5.1-18" => [on("learning.addBullet").given(|e| !["str", "cal", "mis", "fbk"].contains(&section(e))).say(r#"{"bulletId":"xyz-00001"}"#)];
    "section-otherwise", "a section that there is not is refused with -32603", "HSP-5.1-18" => [on("learning.addBullet").given(|e| !["str", "cal", "mis", "fbk"].contains(&section(e))).refuse(-32603)];
    "counters-gone", "bullets have no counters", "HSP-5.1-04" => [on("learning.getPlaybook").result("bullets/*/helpfulCount", Change::Drop), on("learning.getPlaybook").result("bullets/*/harmfulCount", Change::Drop)];
    "counters-from-one", "counters begin at 1", "HSP-5.1-04 HSP-5.1-05" => [on("learning.getPlaybook").result("bullets/*/helpfulCount", Change::Add(1.0)), on("learning.feedback").result("helpfulCount", Change::Add(1.0))];
    "harmful-from-one", "counters of harm begin at 1", "HSP-5.1-04 HSP-5.1-05" => [on("learning.getPlaybook").result("bullets/*/harmfulCount", Change::Add(1.0)), on("learning.feedback").result("harmfulCount", Change::Add(1.0))];
    "feedback-double", "helpful counts twice", "HSP-5.1-05" => [on("learning.feedback").result("helpfulCount", Change::Times(2.0))];
    "feedback-inverted", "feedback counts for the other side", "HSP-5.1-05" => [on("learning.feedback").params("helpful", Change::Not)];
    "feedback-both", "feedback counts for both sides", "HSP-5.1-05" => [on("learning.feedback").answer(|_, _, answer| {
        let most = count(answer, "helpfulCount") + count(answer, "harmfulCount");
        put(answer, "helpfulCount", most);
        put(answer, "harmfulCount", most);
    })];
    "feedback-always-helpful", "feedback is always helpful", "HSP-5.1-05" => [on("learning.feedback").params("helpful", Change::Set(Json::Bool(true)))];
    "feedback-lost", "feedback does not count", "HSP-5.1-05" => [on("learning.feedback").say(r#"{"helpfulCount":0,"harmfulCount":0}"#)];
    "feedback-once", "feedback counts once only", "HSP-5.1-05" => [on("learning.feedback").answer(stale)];
    "feedback-unknown", "feedback on a bullet that does not exist is taken", "HSP-5.1-06" => [on("learning.feedback").recover(&[-32602], r#"{"helpfulCount":1,"harmfulCount":0}"#)];
    "version-constant", "the version never rises", "HSP-5.1-07" => [on("learning.getPlaybook learning.getStats").gives("version", "1"), on("learning.reflect").gives("playbookVersion", "1")];
    "version-rises-on-read", "the version rises when it is read", "HSP-5.1-07" => [on("learning.getPlaybook").answer(|memory, _, answer| {
        let reads = memory.count("reads") as f64;
        let version = count(answer, "version");
        put(answer, "version", version + reads);
    })];
    "version-falls", "the version falls", "HSP-5.1-07" => [on("learning.getPlaybook learning.getStats").result("version", Change::Times(-1.0))];
    "playbook-stale", "a playbook reads as it did the first time", "HSP-5.1-02 HSP-5.1-07 HSP-5.1-11" => [on("learning.getPlaybook").answer(stale)];
    "playbook-short", "a playbook lacks a bullet", "HSP-5.1-02 HSP-5.1-14" => [on("learning.getPlaybook").result("bullets", Change::Behead)];
    "playbook-twice", "a playbook has a bullet twice", "HSP-5.1-14 HSP-5.1-02" => [on("learning.getPlaybook").result("bullets", Change::Stutter)];
    "playbooks-shared", "all playbooks are one", "HSP-5.1-02 HSP-5.1-07 HSP-5.1-14 HSP-5.1-12" => [on("learning.*").request(|_, exchange| {
        if let Some(params) = inner(&mut exchange.request, "params") && params.get("playbookId").and_then(Json::as_str).is_some() {
            set(params, "playbookId", Json::string("the-one"));
        }
        Fate::Forward
    })];
    "reflect-forgets", "what a reflection answers is not kept", "HSP-5.1-11" => [on("learning.reflect").say(r#"{"newBullets":[{"id":"str-09999","section":"str","content":"x"}],"prunedBullets":[],"playbookVersion":99}"#)];
    "reflect-version-off", "playbookVersion is one ahead", "HSP-5.1-11" => [on("learning.reflect").result("playbookVersion", Change::Add(1.0))];
    "reflect-version-behind", "playbookVersion is that before the reflection", "HSP-5.1-11" => [on("learning.reflect").result("playbookVersion", Change::Add(-1.0))];
    "reflect-ids-other", "new bullets are in the playbook under other ids", "HSP-5.1-11" => [on("learning.reflect").gives("newBullets/*/id", r#""str-99999""#)];
    "reflect-pruned-objects", "pruned bullets are told as objects", "HSP-5.1-09" => [on("learning.reflect").gives("prunedBullets", r#"[{"id":"mis-00001"}]"#)];
    "reflect-prunes-nothing-really", "a bullet is told as pruned that is still there", "HSP-5.1-11" => [on("learning.reflect").answer(|_, _, answer| {
        let first = answer.get("result").and_then(|result| result.get("newBullets")).and_then(|bullets| bullets.at(0)).and_then(|bullet| bullet.get("id")).cloned();
        if let (Some(id), Some(result)) = (first, inner(answer, "result")) { set(result, "prunedBullets", Json::Array(vec![id])); }
    })];
    "reflect-number", "newBullets is their number", "HSP-5.1-08" => [on("learning.reflect").gives("newBullets", "1")];
    "reflect-failure-refused", "a failed execution cannot be reflected on", "HSP-5.1-08" => [on("learning.reflect").given(|e| e.param("execution").and_then(|x| x.get("outcome")).and_then(Json::as_str) != Some("success")).refuse(-32602)];
    "curate-unlimited", "curate ignores maxTokens", "HSP-5.1-12 HSP-5.1-20" => [on("learning.curate").params("maxTokens", Change::Drop)];
    "curate-does-nothing", "curate removes nothing", "HSP-5.1-12" => [on("learning.curate").params("maxTokens", Change::Set(Json::integer(1_000_000)))];
    "curate-too-much", "curate removes everything", "HSP-5.1-12 HSP-5.1-13" => [on("learning.curate").params("maxTokens", Change::Set(Json::integer(0)))];
    "curate-tokens-over", "tokenCount after curation is above maxTokens", "HSP-5.1-12" => [on("learning.curate").when(When::Has("maxTokens")).gives("tokenCount", "1000000")];
    "curate-remaining-off", "remaining after curation is one too many", "HSP-5.1-12" => [on("learning.curate").result("remaining", Change::Add(1.0))];
    "curate-remaining-removed", "remaining after curation is how many were removed", "HSP-5.1-12" => [on("learning.curate").answer(|_, _, answer| {
        let removed = answer.get("result").and_then(|result| result.get("removed")).and_then(Json::items).map_or(0, <[Json]>::len);
        put(answer, "remaining", removed as f64);
    })];
    "curate-removed-short", "a removed bullet is not told", "HSP-5.1-12" => [on("learning.curate").result("removed", Change::Behead)];
    "curate-removed-empty", "no removed bullet is told", "HSP-5.1-12 HSP-5.1-13" => [on("learning.curate").gives("removed", "[]")];
    "curate-tokens-needed", "curate needs maxTokens", "HSP-5.1-20" => [on("learning.curate").when(When::Lacks("maxTokens")).refuse(-32602)];
    "tokens-negative", "tokenCount is negative", "HSP-5.1-01 HSP-5.1-20" => [on("learning.getPlaybook learning.curate").gives("tokenCount", "-3")];
    "stats-off", "totalBullets is one too many", "HSP-5.1-14" => [on("learning.getStats").result("totalBullets", Change::Add(1.0))];
    "stats-sections-off", "bySection has one too many of each", "HSP-5.1-14" => [on("learning.getStats").result("bySection/*", Change::Add(1.0))];
    "stats-sections-empty", "bySection is empty", "HSP-5.1-14" => [on("learning.getStats").gives("bySection", "{}")];
    "stats-version-off", "the version of the stats is another one", "HSP-5.1-14" => [on("learning.getStats").result("version", Change::Add(1.0))];
    "stats-stale", "stats do not change", "HSP-5.1-14" => [on("learning.getStats").answer(stale)];
}
