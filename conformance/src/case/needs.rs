//! What a case needs that not every target has. Most of it shows in the steps.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Json;

use super::{Action, Auth, Case, Send};

/// Something that a case needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// An API key: without one, what is asked of targets that have one does not apply.
    Auth,
    /// A finite budget.
    Budget,
    /// Time that passes when we want it to, or soon.
    Clock,
    /// That the target can be restarted.
    Restart,
    /// WebSocket frames.
    Frames,
    /// A verb of the control hook.
    Control(String),
    /// That another profile is served too.
    Profile(String),
}

impl Need {
    /// Reads a word of the header line `needs:`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word.split_once(':') {
            Some(("control", verb)) if !verb.is_empty() => Some(Self::Control(verb.to_owned())),
            Some(("profile", profile)) if !profile.is_empty() => Some(Self::Profile(profile.to_owned())),
            Some(_) => None,
            None => match word {
                "auth" => Some(Self::Auth),
                "budget" => Some(Self::Budget),
                "clock" => Some(Self::Clock),
                "restart" => Some(Self::Restart),
                "frames" => Some(Self::Frames),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth => f.write_str("auth"),
            Self::Budget => f.write_str("budget"),
            Self::Clock => f.write_str("clock"),
            Self::Restart => f.write_str("restart"),
            Self::Frames => f.write_str("frames"),
            Self::Control(verb) => write!(f, "control:{verb}"),
            Self::Profile(profile) => write!(f, "profile:{profile}"),
        }
    }
}

impl Serialize for Need {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Need {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word)
            .ok_or_else(|| serde::de::Error::custom(format!("'{word}' is nothing that a case can need")))
    }
}

impl schemars::JsonSchema for Need {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Need".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(auth|budget|clock|restart|frames|control:.+|profile:.+)$"
        })
    }
}

impl Case {
    /// Everything that it needs, from its header and its steps, in order and each once.
    #[must_use]
    pub fn all_needs(&self) -> Vec<Need> {
        let mut needs = self.needs.clone();
        self.each_step(&mut |step| match &step.action {
            Action::Connect { auth: Auth::Wrong | Auth::None, .. } => needs.push(Need::Auth),
            Action::Arrange { .. } => needs.push(Need::Budget),
            Action::Clock { .. } => needs.push(Need::Clock),
            Action::Restart {} => needs.push(Need::Restart),
            Action::Send { what: Send::Frames(_), .. } => needs.push(Need::Frames),
            Action::Control { .. } => needs.extend(step.action.order().map(str::to_owned).map(Need::Control)),
            _ => {}
        });
        needs.sort();
        needs.dedup();
        needs
    }

    /// The methods that it calls by name, in order and each once.
    #[must_use]
    pub fn methods(&self) -> Vec<String> {
        let mut methods = Vec::new();
        self.each_step(&mut |step| {
            if let Action::Send { what: Send::Rpc(body), .. } = &step.action
                && let Some(method) = body.source().get("method").and_then(Json::as_str)
            {
                methods.push(method.to_owned());
            }
        });
        methods.sort();
        methods.dedup();
        methods
    }
}
