//! A method: its parameters are a type that knows its name, its clause in the spec and what to do.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Agent;
use super::call::Tier;
use super::env::{Env, Reply, Serving};
use super::error::{Code, Error};
use super::params;

/// Which clients may call a method (spec 2.3, decision J10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Those with the API key, or with the token of the session that the parameters name.
    Session,
    /// Any: it only looks at what is shared, and costs little.
    Shared,
    /// Those with the API key: it changes what belongs to the node.
    Operator,
}

/// The parameters of one method, and the method.
pub trait Method: DeserializeOwned + JsonSchema + 'static {
    /// `{primitive}.{method}` (spec 3).
    const NAME: &'static str;
    /// Where the spec describes it, and the decisions it follows.
    const CLAUSE: &'static str;
    /// Who may call it.
    const ACCESS: Access;
    /// What it answers.
    type Result: Serialize + JsonSchema;

    /// The session that it is about, if any.
    fn session(&self) -> Option<&str> {
        None
    }

    /// Carries it out. Nothing has changed when it returns an error.
    ///
    /// # Errors
    /// Those that its clause names.
    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Self::Result>, Error>;
}

/// A method without its types.
#[derive(Clone, Copy)]
pub struct Entry {
    /// `{primitive}.{method}`.
    pub name: &'static str,
    /// Where the spec describes it, and the decisions it follows.
    pub clause: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The JSON Schema of its parameters.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON Schema of its result.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    pub(super) run: Run,
}

/// Parses, checks the right to call, carries out. `None`: the answer comes later.
type Run = fn(&mut Agent, &mut Env<'_>, Serving<'_>, Option<&str>) -> Result<Option<String>, Error>;

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name)
    }
}

/// The entry of a method.
pub(super) const fn entry<T: Method>() -> Entry {
    Entry {
        name: T::NAME,
        clause: T::CLAUSE,
        access: T::ACCESS,
        params: T::json_schema,
        result: <T::Result as JsonSchema>::json_schema,
        run: run::<T>,
    }
}

fn run<T: Method>(
    agent: &mut Agent,
    env: &mut Env<'_>,
    serving: Serving<'_>,
    params: Option<&str>,
) -> Result<Option<String>, Error> {
    let method: T = params::parse(params)?;
    if let Tier::Session(own) = &serving.caller.tier {
        let covered = match T::ACCESS {
            Access::Shared => method.session().is_none_or(|session| *session == **own),
            Access::Session => method.session() == Some(&**own),
            Access::Operator => false,
        };
        if !covered {
            let text = format!("{} needs the API key, or the token of the session it is about", T::NAME);
            return Err(Error::new(Code::Forbidden, text));
        }
        env.live_session(own)?;
    }
    Ok(match method.call(agent, env, serving)? {
        Reply::Now(result) => Some(serde_json::to_string(&result).expect("results are plain data")),
        Reply::Later => None,
    })
}
