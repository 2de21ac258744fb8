//! What a session may spend: three methods on the two amounts in `Session`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::amount::Budget;
use super::super::env::{Env, Reply, Serving};
use super::super::error::Error;
use super::super::method::{Access, Method};
use super::super::params::{Name, Note};
use super::super::{Agent, state};

/// Asks whether a cost fits into what a session may still spend. Spends nothing: the reading in which two checks in a row
/// agree (decision P3).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckBudget {
    /// Which session.
    pub session_id: Name,
    /// What it would cost, with at most six digits after the point.
    pub estimated_cost: Budget,
}

/// Whether the cost fits, and how the budget stands before it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BudgetCheck {
    /// Whether it costs at most what remains (decision P4).
    pub allowed: bool,
    /// What may still be spent.
    pub remaining: Budget,
    /// What was spent.
    pub consumed: Budget,
    /// What may be spent in all.
    pub limit: Budget,
    /// Why not, if it is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An amount with at least two digits after the point.
fn dollars(amount: Budget) -> String {
    let text = amount.to_string();
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match digits {
        0 => format!("${text}.00"),
        1 => format!("${text}0"),
        _ => format!("${text}"),
    }
}

impl Method for CheckBudget {
    const NAME: &'static str = "guard.checkBudget";
    const CLAUSE: &'static str = "4.2, 11 example 3; P3, P4";
    const ACCESS: Access = Access::Session;
    type Result = BudgetCheck;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<BudgetCheck>, Error> {
        let session = env.live_session(&self.session_id)?;
        let remaining = session.remaining();
        let allowed = self.estimated_cost <= remaining;
        let reason = (!allowed).then(|| {
            let (cost, left) = (dollars(self.estimated_cost), dollars(remaining));
            format!("Estimated cost ({cost}) exceeds remaining budget ({left})")
        });
        Ok(BudgetCheck { allowed, remaining, consumed: session.consumed, limit: session.limit, reason }
            .into())
    }
}

/// Spends from a session's budget: all of the amount, or nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsumeBudget {
    /// Which session.
    pub session_id: Name,
    /// How much, with at most six digits after the point.
    pub amount: Budget,
    /// What for. It is for whoever reads the call; it is not kept.
    pub description: Option<Note>,
}

/// What is left.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Remaining {
    /// What may still be spent.
    pub remaining: Budget,
}

impl Method for ConsumeBudget {
    const NAME: &'static str = "guard.consumeBudget";
    const CLAUSE: &'static str = "4.2, 11 example 3; P5";
    const ACCESS: Access = Access::Session;
    type Result = Remaining;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Remaining>, Error> {
        let mut session = env.live_session(&self.session_id)?;
        session.spend(self.amount)?;
        env.save_session(&session);
        Ok(Remaining { remaining: session.remaining() }.into())
    }
}

/// Tells how a session's budget stands.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetBudgetStatus {
    /// Which session.
    pub session_id: Name,
}

impl Method for GetBudgetStatus {
    const NAME: &'static str = "guard.getBudgetStatus";
    const CLAUSE: &'static str = "4.2; P2";
    const ACCESS: Access = Access::Session;
    type Result = state::BudgetInfo;

    fn session(&self) -> Option<&str> {
        Some(&self.session_id)
    }

    fn call(
        self,
        _: &mut Agent,
        env: &mut Env<'_>,
        _: Serving<'_>,
    ) -> Result<Reply<state::BudgetInfo>, Error> {
        Ok(state::BudgetInfo::from(&env.live_session(&self.session_id)?).into())
    }
}
