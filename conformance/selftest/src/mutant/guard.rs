//! What goes wrong with budgets, rates and checks.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::{one_session, stale};
use crate::edit::{Change, double, inner, set};
use crate::rule::{Memory, When, code, fail, json, on, succeed};
use crate::seam::Exchange;

const BUDGET: &str = "guard.checkBudget guard.consumeBudget guard.getBudgetStatus";
const STANDING: &str = "guard.checkBudget guard.getBudgetStatus";

fn given(exchange: &Exchange, name: &str) -> f64 {
    exchange.param(name).and_then(Json::as_number).map_or(0.0, Number::to_f64)
}

fn shown(answer: &Json, name: &str) -> Option<f64> {
    answer.get("result")?.get(name)?.as_number().map(Number::to_f64)
}

fn session(exchange: &Exchange) -> String {
    exchange.param("sessionId").map(ToString::to_string).unwrap_or_default()
}

fn change(answer: &mut Json, name: &str, change: impl Fn(f64) -> f64) {
    if let Some(old) = shown(answer, name)
        && let Some(result) = inner(answer, "result")
    {
        set(result, name, double((change(old) * 1e9).round() / 1e9));
    }
}

/// Shows a budget from which more was spent than the target behind thinks.
fn shift(memory: &Memory, exchange: &Exchange, answer: &mut Json) {
    let more = memory.get(&session(exchange)).and_then(Json::as_number).map_or(0.0, Number::to_f64);
    change(answer, "remaining", |remaining| remaining - more);
    change(answer, "consumed", |consumed| consumed + more);
}

fn spend(memory: &mut Memory, exchange: &Exchange, amount: f64) {
    let name = session(exchange);
    let before = memory.get(&name).and_then(Json::as_number).map_or(0.0, Number::to_f64);
    memory.put(&name, double(before + amount));
}

mutants! { "guard";
    "always-valid", "validate finds everything valid", "HSP-4.2-01" => [on("guard.validate").gives("valid", "true")];
    "never-valid", "validate finds nothing valid", "HSP-4.2-01" => [on("guard.validate").gives("valid", "false")];
    "valid-inverted", "validate says the opposite", "HSP-4.2-01" => [on("guard.validate").result("valid", Change::Not)];
    "schema-type-ignored", "validate does not look at types", "HSP-4.2-01" => [on("guard.validate").params("schema/type", Change::Drop), on("guard.validate").params("schema/properties/*/type", Change::Drop)];
    "schema-required-ignored", "validate does not look at what is required", "HSP-4.2-01" => [on("guard.validate").params("schema/required", Change::Drop)];
    "schema-properties-ignored", "validate does not look into objects", "HSP-4.2-01" => [on("guard.validate").params("schema/properties", Change::Drop)];
    "schema-items-ignored", "validate does not look into arrays", "HSP-4.2-01" => [on("guard.validate").params("schema/items", Change::Drop), on("guard.validate").params("schema/properties/*/items", Change::Drop)];
    "invalid-is-error", "invalid data are an error", "HSP-4.2-01" => [on("guard.validate").answer(|_, _, answer| {
        if answer.get("result").and_then(|result| result.get("valid")) == Some(&Json::Bool(false)) { fail(answer, -32602); }
    })];
    "errors-when-valid", "valid data have errors", "HSP-4.2-02" => [on("guard.validate").answer(|_, _, answer| {
        if answer.get("result").and_then(|result| result.get("valid")) == Some(&Json::Bool(true))
            && let Some(result) = inner(answer, "result")
        {
            set(result, "errors", json(r#"["something"]"#));
        }
    })];
    "no-errors-when-invalid", "invalid data have no errors", "HSP-4.2-02" => [on("guard.validate").result("errors", Change::Drop)];
    "policy-needed", "checkSafety needs a policy", "HSP-4.2-03" => [on("guard.checkSafety").when(When::Lacks("policy")).refuse(-32602)];
    "nothing-safe", "no text is safe", "HSP-4.2-27" => [on("guard.checkSafety").gives("safe", "false"), on("guard.checkSafety").gives("flags", r#"["unsafe"]"#)];
    "unsafe-is-error", "checkSafety refuses instead of answering", "HSP-4.2-03 HSP-4.2-27" => [on("guard.checkSafety").refuse(-32004)];
    "allowed-inverted", "checkBudget says the opposite", "HSP-4.2-06" => [on("guard.checkBudget").result("allowed", Change::Not)];
    "always-allowed", "checkBudget allows everything", "HSP-4.2-06 HSP-4.2-08" => [on("guard.checkBudget").gives("allowed", "true")];
    "never-allowed", "checkBudget allows nothing", "HSP-4.2-06" => [on("guard.checkBudget").gives("allowed", "false")];
    "equal-not-allowed", "checkBudget does not allow exactly what remains", "HSP-4.2-26" => [on("guard.checkBudget").answer(|_, exchange, answer| {
        if shown(answer, "remaining") == Some(given(exchange, "estimatedCost")) {
            change(answer, "allowed", |same| same);
            if let Some(result) = inner(answer, "result") { set(result, "allowed", Json::Bool(false)); }
        }
    })];
    "slightly-over-allowed", "checkBudget allows a little more than remains", "HSP-4.2-06" => [on("guard.checkBudget").answer(|_, exchange, answer| {
        if shown(answer, "remaining").is_some_and(|left| given(exchange, "estimatedCost") <= left * 1.2)
            && let Some(result) = inner(answer, "result")
        {
            set(result, "allowed", Json::Bool(true));
        }
    })];
    "slightly-under-denied", "checkBudget keeps a reserve", "HSP-4.2-06 HSP-4.2-26" => [on("guard.checkBudget").answer(|_, exchange, answer| {
        if shown(answer, "remaining").is_some_and(|left| given(exchange, "estimatedCost") >= left * 0.9)
            && let Some(result) = inner(answer, "result")
        {
            set(result, "allowed", Json::Bool(false));
        }
    })];
    "allowed-by-limit", "checkBudget compares with the limit, not with what remains", "HSP-4.2-06" => [on("guard.checkBudget").answer(|_, exchange, answer| {
        let allowed = shown(answer, "limit").is_some_and(|limit| given(exchange, "estimatedCost") <= limit);
        if let Some(result) = inner(answer, "result") { set(result, "allowed", Json::Bool(allowed)); }
    })];
    "check-spends", "checkBudget spends", "HSP-4.2-07" => [
        on(BUDGET).answer(|memory, exchange, answer| shift(memory, exchange, answer)),
        on("guard.checkBudget").answer(|memory, exchange, answer| {
            if answer.get("result").and_then(|result| result.get("allowed")) == Some(&Json::Bool(true)) {
                spend(memory, exchange, given(exchange, "estimatedCost"));
            }
        }),
    ];
    "denied-is-error", "a denied check is an error", "HSP-4.2-08" => [on("guard.checkBudget").answer(|_, _, answer| {
        if answer.get("result").and_then(|result| result.get("allowed")) == Some(&Json::Bool(false)) { fail(answer, -32002); }
    })];
    "sum-off", "remaining and consumed are more than the limit", "HSP-4.2-05" => [on(STANDING).result("limit", Change::Times(0.9))];
    "sum-off-status", "the status adds up to less than the limit", "HSP-4.2-05 HSP-4.2-14" => [on("guard.getBudgetStatus").result("limit", Change::Times(1.1))];
    "consumed-zero", "consumed is always 0", "HSP-4.2-05 HSP-4.2-14" => [on(STANDING).gives("consumed", "0")];
    "remaining-is-limit", "remaining is always the limit", "HSP-4.2-05 HSP-4.2-10 HSP-4.2-14" => [on(STANDING).answer(|_, _, answer| {
        if let Some(limit) = shown(answer, "limit") { change(answer, "remaining", |_| limit); }
    })];
    "swapped", "remaining and consumed are swapped", "HSP-4.2-10 HSP-4.2-14 HSP-4.2-06" => [on(STANDING).answer(|_, _, answer| {
        if let (Some(left), Some(spent)) = (shown(answer, "remaining"), shown(answer, "consumed")) {
            change(answer, "remaining", |_| spent);
            change(answer, "consumed", |_| left);
        }
    })];
    "rounded", "amounts are rounded to tenths", "HSP-4.2-10 HSP-4.2-14 HSP-4.2-19 HSP-4.2-05" => [on(BUDGET).answer(|_, _, answer| for name in ["remaining", "consumed"] {
        change(answer, name, |amount| (amount * 10.0).round() / 10.0);
    })];
    "consume-answers-before", "consumeBudget answers what remained before", "HSP-4.2-10" => [on("guard.consumeBudget").answer(|_, exchange, answer| {
        let amount = given(exchange, "amount");
        change(answer, "remaining", |left| left + amount);
    })];
    "consume-answers-spent", "consumeBudget answers the amount as what remains", "HSP-4.2-10" => [on("guard.consumeBudget").answer(|_, exchange, answer| {
        let amount = given(exchange, "amount");
        change(answer, "remaining", |_| amount);
    })];
    "consume-does-nothing", "consumeBudget answers rightly and spends nothing", "HSP-4.2-10 HSP-4.2-14" => [on("guard.consumeBudget").say(r#"{"remaining":0.5}"#)];
    "consume-twice", "consumeBudget spends double", "HSP-4.2-10 HSP-4.2-14" => [on("guard.consumeBudget").params("amount", Change::Times(2.0))];
    "consume-off-by-little", "consumeBudget answers a little less than remains", "HSP-4.2-10" => [on("guard.consumeBudget").result("remaining", Change::Add(-0.001))];
    "overdraws", "consumeBudget spends more than remains", "HSP-4.2-11 HSP-8-06" => [on("guard.consumeBudget").recover(&[-32002], r#"{"remaining":0}"#)];
    "overdraws-slightly", "consumeBudget spends a little more than remains", "HSP-4.2-11 HSP-8-06" => [on("guard.consumeBudget").answer(|_, exchange, answer| {
        let left = answer.get("error").and_then(|error| error.get("data")).and_then(|data| data.get("remaining")).and_then(Json::as_number).map(Number::to_f64);
        if code(answer) == Some(-32002) && left.is_some_and(|left| given(exchange, "amount") <= left * 1.2 + 1e-9) {
            succeed(answer, json(r#"{"remaining":0}"#));
        }
    })];
    "debt", "consumeBudget lets what remains go below zero", "HSP-4.2-11 HSP-8-06" => [on("guard.consumeBudget").recover(&[-32002], r#"{"remaining":-4.5}"#)];
    "last-bit-refused", "consumeBudget refuses exactly what remains", "HSP-4.2-10 HSP-4.2-11 HSP-4.2-19 HSP-4.2-26" => [on("guard.consumeBudget").answer(|_, _, answer| {
        if shown(answer, "remaining") == Some(0.0) { fail(answer, -32002); }
    })];
    "refusal-spends", "a refused consumption takes what is left", "HSP-4.2-13" => [
        on(BUDGET).answer(|memory, exchange, answer| shift(memory, exchange, answer)),
        on("guard.consumeBudget").answer(|memory, exchange, answer| if code(answer) == Some(-32002) { spend(memory, exchange, 0.05); }),
    ];
    "refusal-silent", "a refusal has no data", "HSP-4.2-12" => [on("guard.consumeBudget").error("data", Change::Drop)];
    "refusal-without-remaining", "a refusal does not say what remains", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/remaining", Change::Drop)];
    "refusal-without-requested", "a refusal does not say what was requested", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/requested", Change::Drop)];
    "refusal-without-limit", "a refusal does not say the limit", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/limit", Change::Drop)];
    "refusal-remaining-off", "a refusal says something else than remains", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/remaining", Change::Add(0.1))];
    "refusal-requested-off", "a refusal says something else than was requested", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/requested", Change::Times(2.0))];
    "refusal-limit-off", "a refusal says another limit", "HSP-4.2-12" => [on("guard.consumeBudget").error("data/limit", Change::Times(2.0))];
    "refusal-of-text", "a refusal has its data as text", "HSP-4.2-12" => [on("guard.consumeBudget").error("data", Change::Retype)];
    "status-stale", "getBudgetStatus always answers the same", "HSP-4.2-14" => [on("guard.getBudgetStatus").answer(stale)];
    "status-off", "getBudgetStatus is off by a hundredth", "HSP-4.2-14" => [on("guard.getBudgetStatus").result("remaining", Change::Add(0.01)), on("guard.getBudgetStatus").result("consumed", Change::Add(-0.01))];
    "check-stale", "checkBudget does not see what was spent since", "HSP-4.2-14 HSP-4.2-06" => [on("guard.checkBudget").answer(|memory, exchange, answer| for name in ["remaining", "consumed"] {
        let name_of = format!("{} {name}", session(exchange));
        if let Some(now) = shown(answer, name) {
            let first = memory.first(&name_of, &double(now)).as_number().map_or(0.0, Number::to_f64);
            change(answer, name, |_| first);
        }
    })];
    "budgets-shared", "all sessions spend from one budget", "HSP-4.2-17" => [on("guard.consumeBudget guard.getBudgetStatus guard.checkBudget").request(one_session)];
    "negative-taken", "a negative amount raises what remains", "HSP-4.2-16" => [on("guard.consumeBudget").given(|e| given(e, "amount") < 0.0).say(r#"{"remaining":2}"#)];
    "negative-absolute", "a negative amount is spent as if it were positive", "HSP-4.2-16" => [on("guard.consumeBudget").given(|e| given(e, "amount") < 0.0).params("amount", Change::Times(-1.0))];
    "negative-otherwise", "a negative amount is refused as too much", "HSP-4.2-16" => [on("guard.consumeBudget").given(|e| given(e, "amount") < 0.0).refuse(-32002)];
    "text-amount-taken", "an amount as text is spent", "HSP-4.2-25 HSP-8-04" => [on("guard.consumeBudget").given(|e| e.param("amount").is_some_and(|a| a.as_str().is_some())).say(r#"{"remaining":0.5}"#)];
    "null-amount-taken", "an amount of null spends nothing", "HSP-4.2-25 HSP-8-04" => [on("guard.consumeBudget").given(|e| e.param("amount").is_some_and(|a| matches!(a, Json::Null))).say(r#"{"remaining":0.5}"#)];
    "any-amount-type", "an amount that is no number spends nothing", "HSP-4.2-25 HSP-8-04" => [on("guard.consumeBudget").given(|e| e.param("amount").is_some_and(|a| a.as_number().is_none())).say(r#"{"remaining":0.5}"#)];
    "drift", "each consumption loses a millionth", "HSP-4.2-19 HSP-4.2-05" => [
        on(BUDGET).answer(|memory, exchange, answer| shift(memory, exchange, answer)),
        on("guard.consumeBudget").answer(|memory, exchange, answer| if answer.get("result").is_some() { spend(memory, exchange, 1e-5); }),
    ];
    "parallel-free", "a consumption while others are under way costs nothing", "HSP-4.2-15" => [on("guard.consumeBudget").when(When::Busy).params("amount", Change::Times(0.001))];
    "parallel-overdraws", "consumptions at once are not refused", "HSP-4.2-15" => [on("guard.consumeBudget").when(When::Busy).recover(&[-32002], r#"{"remaining":0}"#)];
    "parallel-unanswered", "consumptions while others are under way are lost", "HSP-4.2-15 HSP-2.2-15" => [on("guard.consumeBudget").given(|e| e.under_way > 8).act(crate::rule::Act::Hang)];
    "rate-always", "checkRateLimit allows everything", "HSP-4.2-21" => [on("guard.checkRateLimit").gives("allowed", "true")];
    "rate-never", "checkRateLimit allows nothing", "HSP-4.2-20 HSP-4.2-21 HSP-4.2-22 HSP-4.2-24" => [on("guard.checkRateLimit").gives("allowed", "false")];
    "rate-one-more", "checkRateLimit allows one more than the limit", "HSP-4.2-21" => [on("guard.checkRateLimit").params("limit", Change::Add(1.0))];
    "rate-one-less", "checkRateLimit allows one less than the limit", "HSP-4.2-21" => [on("guard.checkRateLimit").params("limit", Change::Add(-1.0))];
    "rate-ten-times", "checkRateLimit allows ten times the limit", "HSP-4.2-21" => [on("guard.checkRateLimit").params("limit", Change::Times(10.0))];
    "rate-for-ever", "a rate limit never ends", "HSP-4.2-22" => [on("guard.checkRateLimit").params("window", Change::Times(100_000.0))];
    "rate-window-short", "a window is a thousandth as long", "HSP-4.2-21" => [on("guard.checkRateLimit").params("window", Change::Times(0.001))];
    "rate-keys-shared", "all keys have one rate", "HSP-4.2-23 HSP-4.2-21" => [on("guard.checkRateLimit").params("key", Change::Set(Json::string("one")))];
    "rate-negative", "remaining of a rate goes below zero", "HSP-4.2-24" => [on("guard.checkRateLimit").result("remaining", Change::Add(-2.0))];
    "rate-constant", "remaining of a rate does not go down", "HSP-4.2-24" => [on("guard.checkRateLimit").gives("remaining", "3")];
    "rate-counts-up", "remaining of a rate goes up", "HSP-4.2-24" => [on("guard.checkRateLimit").answer(|_, exchange, answer| {
        let limit = given(exchange, "limit");
        change(answer, "remaining", |left| limit - left);
    })];
    "rate-reset-late", "resetAt is a day late", "HSP-4.2-22" => [on("guard.checkRateLimit").gives("resetAt", r#""2036-03-19T12:00:00.000Z""#)];
    "rate-denied-is-other-error", "a rate limit is refused with -32002", "HSP-4.2-21" => [on("guard.checkRateLimit").answer(|_, _, answer| {
        if answer.get("result").and_then(|result| result.get("allowed")) == Some(&Json::Bool(false)) { fail(answer, -32002); }
    })];
    "rate-parallel", "uses at once count once", "HSP-4.2-21" => [on("guard.checkRateLimit").when(When::Busy).result("allowed", Change::Set(Json::Bool(true)))];
}
