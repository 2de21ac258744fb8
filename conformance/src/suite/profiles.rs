//! Which profiles a target serves: each method of each primitive is called once without parameters, which does nothing or next
//! to nothing, and whatever is not answered with -32601 is served (spec 8: "Unknown primitive method").

use core::time::Duration;

use crate::events::{CheckEvent, ProfileEvent, ProfileStatus};
use crate::json::Json;
use crate::level::Level;
use crate::registry::{self, Profile};
use crate::target::{Target, TargetError};
use crate::verdict::Verdict;

use super::ask::{Asker, code};
use super::check_of;

/// The code of a method that there is not.
const NO_METHOD: i64 = -32601;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) profiles: Vec<ProfileEvent>,
    pub(super) checks: Vec<CheckEvent>,
}

impl Found {
    pub(super) fn status(&self, name: &str) -> ProfileStatus {
        let profile = self.profiles.iter().find(|profile| profile.name == name);
        profile.map_or(ProfileStatus::NotClaimed, |profile| profile.status)
    }

    /// Is nothing of a profile served? That a run did not choose it does not matter.
    pub(super) fn lacks(&self, name: &str) -> bool {
        match self.profiles.iter().find(|profile| profile.name == name) {
            Some(profile) if profile.status == ProfileStatus::NotSelected => {
                Profile::parse(name).is_some_and(Profile::is_primitive) && profile.served.is_empty()
            }
            Some(profile) => {
                matches!(profile.status, ProfileStatus::NotClaimed | ProfileStatus::FalseClaim)
            }
            None => true,
        }
    }

    /// Is a method served, as far as we know? Methods that the text does not have are nobody's to serve.
    pub(super) fn serves(&self, method: &str) -> bool {
        registry::method(method).is_none()
            || self.profiles.iter().any(|p| p.served.iter().any(|one| one == method))
    }
}

/// Looks. `chosen` are the profiles of the run; none means all.
pub(super) fn detect(
    target: &mut dyn Target,
    chosen: &[String],
    patience: Duration,
) -> Result<Found, TargetError> {
    let mut found = Found::default();
    let mut asker = Asker::connect(target, patience)?;
    // How it answers what nobody has. Whoever is wrong about that answers the methods it lacks the same way.
    let unknown = asker.call("hyperlab.fence", Json::object::<String>([]))?;
    for profile in Profile::ALL {
        let name = profile.name();
        let selected = chosen.is_empty() || chosen.iter().any(|one| one == name);
        if !profile.is_primitive() {
            let status = match (profile, selected) {
                (_, false) => ProfileStatus::NotSelected,
                (Profile::Transport, true) => ProfileStatus::Claimed,
                // Nobody can reach these over JSON-RPC.
                (_, true) => ProfileStatus::NotClaimed,
            };
            found.profiles.push(ProfileEvent {
                name: name.to_owned(),
                status,
                served: Vec::new(),
                missing: Vec::new(),
            });
            continue;
        }
        let (served, missing) = ask(&mut asker, profile, code(&unknown))?;
        let status = match (selected, served.is_empty(), missing.is_empty()) {
            (false, ..) => ProfileStatus::NotSelected,
            (true, true, _) if chosen.is_empty() => ProfileStatus::NotClaimed,
            (true, true, _) => ProfileStatus::FalseClaim,
            (true, false, true) => ProfileStatus::Claimed,
            (true, false, false) => ProfileStatus::Partial,
        };
        found.profiles.push(ProfileEvent { name: name.to_owned(), status, served, missing });
    }
    asker.close();
    found.checks = found.profiles.iter().filter_map(judge).collect();
    Ok(found)
}

fn ask(
    asker: &mut Asker<'_>,
    profile: Profile,
    unknown: Option<i64>,
) -> Result<(Vec<String>, Vec<String>), TargetError> {
    let (mut served, mut missing) = (Vec::new(), Vec::new());
    for method in registry::methods().iter().filter(|method| method.primitive == profile) {
        let answer = asker.call(&method.name, Json::object::<String>([]))?;
        let code = code(&answer);
        let is_unknown =
            code == Some(NO_METHOD) || (code.is_some() && code == unknown && unknown != Some(-32602));
        if is_unknown { &mut missing } else { &mut served }.push(method.name.clone());
    }
    Ok((served, missing))
}

/// What the claim itself shows: all methods of a claimed primitive are there (HSP-3-05), and those of others are unknown
/// (HSP-3-06, which detection has just seen).
fn judge(profile: &ProfileEvent) -> Option<CheckEvent> {
    let check = |requirement: &str, verdict: Verdict| {
        check_of(requirement, &format!("profiles/{}", profile.name), 0, "transport", Level::Must, verdict)
    };
    let primitive = Profile::parse(&profile.name).is_some_and(Profile::is_primitive);
    let mut event = match profile.status {
        _ if !primitive => return None,
        ProfileStatus::NotSelected => return None,
        ProfileStatus::Claimed => check("HSP-3-05", Verdict::Pass),
        ProfileStatus::NotClaimed => check("HSP-3-06", Verdict::Pass),
        ProfileStatus::Partial | ProfileStatus::FalseClaim => {
            let mut event = check("HSP-3-05", Verdict::Fail);
            event.expected = format!("all methods of the primitive {}, or none", profile.name);
            event.actual =
                format!("{} served; -32601 from {}", profile.served.len(), profile.missing.join(", "));
            event
        }
    };
    if profile.status == ProfileStatus::FalseClaim {
        event.reason =
            format!("FALSE-CLAIM: --profile {} was given, and nothing of it is served", profile.name);
    }
    Some(event)
}
