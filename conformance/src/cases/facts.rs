//! What the lints of the registry need to know of a case.

use crate::Level;
use crate::case::{Action, Case, Expect, Kind, Role};
use crate::json::Json;
use crate::registry;
use crate::registry::lint::CaseFacts;

/// The facts of a case.
#[must_use]
pub fn facts(case: &Case) -> CaseFacts {
    let requirements = case.cites().into_iter().map(|cite| {
        let of_row = || registry::requirement(&cite.id).map_or(Level::Info, |row| row.level);
        (cite.id.clone(), cite.level.unwrap_or_else(of_row))
    });
    let mut facts =
        CaseFacts { id: case.id.clone(), requirements: requirements.collect(), ..CaseFacts::default() };
    let mut shows_something = false;
    case.each_step(&mut |step| match &step.action {
        Action::Expect(expect) if expect.role != Role::Setup => {
            facts.asserts_codes.extend(code(expect));
            if is_refusal(expect) {
                facts.negative = true;
            } else {
                shows_something = true;
            }
        }
        Action::Check { .. } => shows_something = true,
        _ => {}
    });
    facts.asserts_codes.sort_unstable();
    facts.asserts_codes.dedup();
    // One that also has to be answered well is its own twin, one that cannot fail needs none, and of the transport an answer that
    // refuses shows as much as one that does not.
    let can_fail = facts.requirements.iter().any(|(_, level)| *level >= Level::Should);
    facts.negative &= !shows_something && can_fail && case.profile != "transport";
    facts.twin = case.twin.as_ref().map(|twin| if twin == "self" { case.id.clone() } else { twin.clone() });
    facts
}

/// The one error code that is demanded.
fn code(expect: &Expect) -> Option<i64> {
    if !matches!(expect.one_of[..], [Kind::Rpc | Kind::Json]) {
        return None;
    }
    let code = error(expect)?.get("code")?;
    // What part of a message is about another requirement is demanded all the same.
    let code = code.get("$about").and_then(|about| about.get("is")).unwrap_or(code);
    code.as_number()?.to_i64()
}

/// Whether nothing but a refusal, or silence, will do.
fn is_refusal(expect: &Expect) -> bool {
    let refused = |kind: &Kind| match kind {
        Kind::Rpc => error(expect).is_some_and(|error| error.as_str() != Some("$absent")),
        Kind::Close | Kind::None => true,
        Kind::Frame | Kind::Json => false,
    };
    expect.one_of.iter().all(refused)
}

fn error(expect: &Expect) -> Option<&Json> {
    expect.is.as_ref()?.source().get("error")
}
