//! Cases: what to say to a target, what to expect of it, and which requirement each expectation is about.
//!
//! [`Case::parse`] reads the text format that `conformance/cases/README.md` explains; every mistake is found there, with file
//! and line. A case is plain data: it can be made in Rust too, and written as JSON by `case.schema.json`, so that other
//! languages can read it.

mod frame;
mod line;
mod needs;
mod parse;

use serde::{Deserialize, Serialize};

use crate::json::{Json, Number};
use crate::matcher::{Cite, Matcher};
use crate::value::Template;

pub use frame::{FrameTemplate, Opcode, RawFrame, hex, opcode_name};
pub use needs::Need;
pub use parse::ParseError;

/// The connection that a step uses unless it names another. It is opened when the case begins.
pub const FIRST: &str = "A";

/// The variable that every case has: a text of letters and digits that no other run of a case has, so that what a case makes
/// under a name of its own choice is its own.
pub const UNIQUE: &str = "UNIQUE";

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its path below `cases/`, without the ending: `guard/over-budget`.
    pub id: String,
    /// What it shows, in a sentence.
    pub title: String,
    /// The profile that it belongs to: it is not run against a target that does not claim it.
    pub profile: String,
    /// The requirements of every expectation that names none itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Cite>,
    /// What it needs beyond what its steps show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Its positive twin: unless that passes, passing this one shows nothing. `self` if its own setup is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its number in the case, from 1; the ids of its checks end in it.
    pub number: u32,
    /// Its line in the file, from 1; 0 for a case that has none.
    #[serde(default)]
    pub line: u32,
    /// What to do.
    pub action: Action,
}

/// What a step does. More will come: what can be done on the peer side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Open a connection.
    Connect {
        /// Its name in the case.
        connection: String,
        /// With which key.
        auth: Auth,
    },
    /// Close a connection.
    Close {
        /// Which.
        connection: String,
    },
    /// Make a session, by `state.createSession` or as the operator promised, and bind its id.
    Session {
        /// On which connection.
        connection: String,
        /// The variable.
        bind: String,
    },
    /// Send something.
    Send {
        /// On which connection.
        connection: String,
        /// What.
        what: Send,
        /// A name by which an expectation can refer to this request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Expect something.
    Expect(Expect),
    /// Bring the budget of a session to so much, or a fraction of its limit to the same effect.
    Arrange {
        /// The session.
        session: Template,
        /// Its limit.
        limit: Number,
        /// What it has spent.
        consumed: Number,
    },
    /// Let time pass: on the target's clock if it can be set, else for real if it is short.
    Clock {
        /// How much, in milliseconds.
        advance_ms: u64,
    },
    /// Restart the target; connections are lost, what it keeps is kept.
    Restart {},
    /// An order to the control hook.
    Control {
        /// The order, an object with a member `do`.
        order: Template,
    },
    /// From now on, answer requests of the target's own: a node may ask the client that registered a tool to carry it out.
    Answer {
        /// On which connection.
        connection: String,
        /// Those of this method.
        method: String,
        /// With this result.
        result: Template,
    },
    /// Give a variable a value.
    Let {
        /// The variable.
        name: String,
        /// The value.
        value: Template,
    },
    /// Check a value that the case has learned.
    Check {
        /// What it is about.
        role: Role,
        /// The value.
        value: Template,
        /// What is expected of it.
        is: Matcher,
    },
    /// Steps several times, with a counter from 0, or with each of some values.
    Repeat {
        /// The variable that has the counter or the value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variable: Option<String>,
        /// How often, or with which values.
        times: Times,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Steps several times at once: everything is sent before anything is waited for.
    Parallel {
        /// The variable that has the counter or the value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variable: Option<String>,
        /// How often, or with which values.
        times: Times,
        /// The steps: only `>> rpc` and `<< rpc`.
        steps: Vec<Step>,
    },
}

impl Action {
    /// The verb, if this is an order to the control hook.
    #[must_use]
    pub fn order(&self) -> Option<&str> {
        match self {
            Self::Control { order } => order.source().get("do").and_then(Json::as_str),
            _ => None,
        }
    }
}

/// How often steps are repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// So often.
    Count(u32),
    /// Once with each of these.
    Each(Vec<Json>),
}

impl Times {
    /// How often that is.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count as usize,
            Self::Each(values) => values.len(),
        }
    }

    /// The value of the variable in round `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> Json {
        match self {
            Self::Count(_) => Json::integer(i64::try_from(index).unwrap_or(i64::MAX)),
            Self::Each(values) => values.get(index).cloned().unwrap_or(Json::Null),
        }
    }
}

/// With which key a connection is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// With the API key of the operator, if there is one.
    Given,
    /// With none.
    None,
    /// With a wrong one.
    Wrong,
    /// With a value that the case has learned, such as a session's token.
    Token(Template),
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Send {
    /// A request: `jsonrpc` and, unless it is there, `id` are added.
    Rpc(Template),
    /// A JSON text as it stands.
    Json(Template),
    /// Any text: a template that comes to a string.
    Text(Template),
    /// Frames as they stand.
    Frames(Vec<FrameTemplate>),
}

/// What is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// On which connection.
    pub connection: String,
    /// Any of these.
    pub one_of: Vec<Kind>,
    /// What it is about.
    pub role: Role,
    /// Which request the answer is for.
    pub answer_to: AnswerTo,
    /// What the answer, text or frame is; any if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Matcher>,
    /// How long to wait, in milliseconds, if not as long as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
}

/// Which request an answer is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerTo {
    /// The oldest one on the connection that has no answer yet. What was not sent as `rpc` may be answered with `id: null`.
    Oldest,
    /// The one of this name.
    Named(String),
    /// Any: the next answer on the connection.
    Any,
    /// None: an answer without an id, or with `id: null`.
    Nobody,
}

/// Kinds of things that can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An answer to a request.
    Rpc,
    /// The next text, whatever it is, read as JSON.
    Json,
    /// The next frame, described as an object: `{"opcode": "pong", "text": "hi"}`.
    Frame,
    /// The end of the connection, or that it was refused.
    Close,
    /// Nothing, before a fence is answered: a request sent now to see that what came before it stays unanswered.
    None,
}

/// What an expectation is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is what the case checks, for the case's requirements.
    Case,
    /// It is what the case checks, for these.
    About(Vec<Cite>),
    /// It only brings about what the case needs: if it fails the case shows nothing.
    Setup,
}

impl Case {
    /// The id of what a step shows of a requirement.
    #[must_use]
    pub fn check_id(&self, requirement: &str, step: u32) -> String {
        format!("{requirement}@{}#{step}", self.id)
    }

    /// Every requirement that it can show something of, each once.
    #[must_use]
    pub fn cites(&self) -> Vec<&Cite> {
        let mut found: Vec<&Cite> = Vec::new();
        self.each_step(&mut |step| {
            let (role, matcher) = match &step.action {
                Action::Expect(expect) => (&expect.role, expect.is.as_ref()),
                Action::Check { role, is, .. } => (role, Some(is)),
                _ => return,
            };
            let own: &[Cite] = match role {
                Role::Case => &self.requires,
                Role::About(cites) => cites,
                Role::Setup => &[],
            };
            let inside = matcher.map(Matcher::cites).unwrap_or_default();
            for cite in own.iter().chain(inside) {
                if !found.contains(&cite) {
                    found.push(cite);
                }
            }
        });
        found
    }

    /// Looks at every step, those within others too.
    pub fn each_step<'a>(&'a self, see: &mut impl FnMut(&'a Step)) {
        each_of(&self.steps, see);
    }
}

fn each_of<'a>(steps: &'a [Step], see: &mut impl FnMut(&'a Step)) {
    for step in steps {
        see(step);
        if let Action::Repeat { steps, .. } | Action::Parallel { steps, .. } = &step.action {
            each_of(steps, see);
        }
    }
}

/// JSON Schema of a parsed case.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Case)
}

#[cfg(test)]
mod tests;
