//! Bringing about what a case needs: a session, and a budget that is spent so far.
//!
//! A budget comes about by the control hook (`set_budget`); else by calibration: read the limit L of the fresh session, consume
//! the same share of it, and let `$L` scale every amount of the case by L over the limit that the case writes; else, where the
//! target does not tell its limit, with the one that the operator promises. Each way is checked by reading the status again.

use core::time::Duration;

use crate::case::{Action, AnswerTo, Expect, FIRST, Kind, Role, Send};
use crate::json::{Decimal, Json, Number};
use crate::matcher::Matcher;
use crate::value::{ExprError, Template};

use super::program::Op;
use super::run::{CaseRun, Order};
use super::{Output, Stop};

/// A budget to bring about.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    session: Json,
    limit: Number,
    consumed: Number,
}

/// Where calibration is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The status was asked for and is in [`STATUS`].
    Status(Budget),
}

/// The variable that has the answer with the status. No case has one of this name.
const STATUS: &str = "STATUS_OF_BUDGET";

/// What to give where a finite budget is missing.
const NO_BUDGET: &str =
    "start it with a finite budget for each session, or give --control with set_budget, or --given budget=N";

/// Makes a session and binds its id.
pub(super) fn session(run: &mut CaseRun<'_>, connection: &str, bind: &str) {
    if let Some(given) = &run.settings.given_session {
        let given = Json::string(given.as_str());
        run.scope.set(bind, given);
        return;
    }
    if !run.settings.sessions {
        let text =
            "a session: state.createSession is not served; name one that exists with --given session=ID";
        run.stop(Stop::Missing(text.to_owned()));
        return;
    }
    let body = Json::object([
        ("method", Json::string("state.createSession")),
        ("params", Json::object::<String>([])),
    ]);
    let wanted = Json::object([(
        "result",
        Json::object([("sessionId", Json::string(format!("$bind {bind} $nonempty")))]),
    )]);
    let exchange = exchange(connection, &body, &wanted);
    run.insert(exchange);
}

/// A request and what it must be answered with for the case to go on.
fn exchange(connection: &str, body: &Json, wanted: &Json) -> Vec<Action> {
    // Both are made here, of parts that are no words of templates or matchers; were one wrong, nothing would be sent.
    let (Ok(body), Ok(is)) = (Template::compile(body), Matcher::compile(wanted)) else { return Vec::new() };
    let connection = connection.to_owned();
    vec![
        Action::Send { connection: connection.clone(), what: Send::Rpc(body), name: None },
        Action::Expect(Expect {
            connection,
            one_of: vec![Kind::Rpc],
            role: Role::Setup,
            answer_to: AnswerTo::Oldest,
            is: Some(is),
            within_ms: None,
        }),
    ]
}

/// Literal text in a template or matcher.
fn literal(json: &Json) -> Json {
    match json {
        Json::String(text) if text.starts_with('$') => Json::string(format!("${text}")),
        other => other.clone(),
    }
}

fn call(method: &str, params: Json) -> Json {
    Json::object([("method", Json::string(method)), ("params", params)])
}

/// Begins to bring about a budget.
pub(super) fn begin(
    run: &mut CaseRun<'_>,
    session: &Template,
    limit: &Number,
    consumed: &Number,
    now: Duration,
) -> Result<Option<Output>, ExprError> {
    let session = session.fill(&run.scope)?;
    let budget = Budget { session, limit: limit.clone(), consumed: consumed.clone() };
    if run.settings.abilities.controls.iter().any(|verb| verb == "set_budget") {
        let order = Json::object([
            ("do", Json::string("set_budget")),
            ("session", budget.session.clone()),
            ("limit", Json::Number(limit.clone())),
            ("consumed", Json::Number(consumed.clone())),
        ]);
        return Ok(Some(run.order(order, Order::Budget(Box::new(budget)), now)));
    }
    calibrate(run, budget);
    Ok(None)
}

/// The control hook has answered.
pub(super) fn ordered(run: &mut CaseRun<'_>, budget: Budget, done: bool, now: Duration) {
    if !done {
        run.say_at(now, "@", "", "the control hook does not set this budget: calibrating instead");
        calibrate(run, budget);
        return;
    }
    run.set_scale(Decimal::ONE);
    let (limit, consumed) = (Json::Number(budget.limit), Json::Number(budget.consumed));
    let verify = status_is(&budget.session, &limit, &consumed);
    run.insert(verify);
}

fn calibrate(run: &mut CaseRun<'_>, budget: Budget) {
    let params = Json::object([("sessionId", literal(&budget.session))]);
    let bind = Json::string(format!("$bind {STATUS}"));
    let ask = exchange(FIRST, &call("guard.getBudgetStatus", params), &bind);
    run.ops.push(Op::Budget(Phase::Status(budget)));
    run.insert(ask);
}

fn status_is(session: &Json, limit: &Json, consumed: &Json) -> Vec<Action> {
    let near = |value: &Json| Json::object([("$near", value.clone())]);
    let wanted = Json::object([("limit", near(limit)), ("consumed", near(consumed))]);
    let params = Json::object([("sessionId", literal(session))]);
    exchange(FIRST, &call("guard.getBudgetStatus", params), &Json::object([("result", wanted)]))
}

/// Goes on once the status is there.
pub(super) fn go_on(run: &mut CaseRun<'_>, phase: Phase) -> Option<Output> {
    let Phase::Status(budget) = phase;
    let answer = run.scope.get(STATUS).cloned().unwrap_or(Json::Null);
    match plan(&answer, &budget, run.settings.given_budget.as_ref()) {
        Err(stop) => run.stop(stop),
        Ok(plan) => {
            run.set_scale(plan.scale);
            let number = |value: Decimal| Json::Number(value.number());
            let mut steps = Vec::new();
            if plan.amount.is_positive() {
                let params =
                    Json::object([("sessionId", literal(&budget.session)), ("amount", number(plan.amount))]);
                let wanted = Json::object([("result", Json::string("$any"))]);
                steps = exchange(FIRST, &call("guard.consumeBudget", params), &wanted);
            }
            if plan.told {
                steps.extend(status_is(&budget.session, &number(plan.limit), &number(plan.consumed)));
            }
            run.insert(steps);
        }
    }
    None
}

/// How to get where the case wants to be.
struct Plan {
    scale: Decimal,
    limit: Decimal,
    consumed: Decimal,
    /// What is still to be consumed.
    amount: Decimal,
    /// Does the target tell its limit?
    told: bool,
}

fn plan(answer: &Json, budget: &Budget, given: Option<&Number>) -> Result<Plan, Stop> {
    let missing = |what: String| Stop::Missing(format!("a finite budget: {what}: {NO_BUDGET}"));
    let result = answer.get("result");
    let number = |name: &str| {
        result.and_then(|result| result.get(name)).and_then(Json::as_number).and_then(Number::decimal)
    };
    let told = number("limit").filter(|limit| limit.is_positive());
    let limit = told.or_else(|| given.and_then(Number::decimal)).filter(|limit| limit.is_positive());
    let Some(limit) = limit else {
        return Err(match answer.get("error").and_then(|error| error.get("code")) {
            None => {
                missing(format!("guard.getBudgetStatus tells no limit to work with: {}", answer.brief(200)))
            }
            Some(code) if *code == Json::integer(-32601) => {
                missing("guard.getBudgetStatus is not served".to_owned())
            }
            Some(_) => Stop::Setup(format!(
                "guard.getBudgetStatus of a fresh session answered {}",
                answer.brief(200)
            )),
        });
    };
    let zero = Decimal::ONE.minus(Decimal::ONE).unwrap_or(Decimal::ONE);
    let spent = number("consumed").unwrap_or(zero);
    let arithmetic = || {
        let scale = limit.over(budget.limit.decimal()?)?;
        let consumed = budget.consumed.decimal()?.times(scale)?;
        Some((scale, consumed, consumed.minus(spent)?))
    };
    let Some((scale, consumed, amount)) = arithmetic() else {
        return Err(missing(format!("the limit {} is beyond arithmetic", limit.number())));
    };
    if zero.minus(amount).is_some_and(Decimal::is_positive) {
        let text = format!("a fresh session has spent {} already, more than the case needs", spent.number());
        return Err(Stop::Missing(text));
    }
    Ok(Plan { scale, limit, consumed, amount, told: told.is_some() })
}
