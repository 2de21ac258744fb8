//! `tool.register` and `tool.listRegistered`, and the card that says what is registered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analytics::Usage;
use super::schema;
use crate::card::{self, Card, Published, TAGS_MAX, TOOLS_MAX};
use crate::primitive::Agent;
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::Error;
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Object, Text};
use crate::primitive::records::Table;

/// The record of a tool registered here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tool {
    pub(super) id: String,
    name: String,
    description: String,
    pub(super) schema: Schemas,
    capabilities: Vec<String>,
    pub(super) endpoint: Option<String>,
    /// Who may take it over.
    owner: u64,
    /// When it was registered last, Unix milliseconds.
    registered: u64,
    pub(super) usage: Usage,
}

impl Tool {
    /// Its latency for the card, in milliseconds, if it ever ran: rounded to two digits, so that the card changes rarely.
    pub(super) fn latency(&self) -> Option<f64> {
        if self.usage.calls == 0 {
            return None;
        }
        let latency = self.usage.latency().min(card::LATENCY_MAX);
        let mut step = 1.0;
        while step * 100.0 <= latency {
            step *= 10.0;
        }
        Some((latency / step).round() * step)
    }

    /// Its entry in the card.
    fn listed(&self) -> card::Tool {
        card::Tool {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            capabilities: self.capabilities.clone(),
            avg_latency: self.latency(),
            schema: Some(self.schema.text()),
        }
    }
}

/// All ids of own tools begin so.
const ID: &str = "tool-";

/// A tool registered here.
pub(super) fn load(env: &Env<'_>, id: &str) -> Option<Tool> {
    if !id.starts_with(ID) {
        return None;
    }
    env.records.load(Table::Tool, id.as_bytes())
}

pub(super) fn save(env: &mut Env<'_>, tool: &Tool) {
    env.records.save(Table::Tool, tool.id.as_bytes(), None, tool);
}

/// All tools registered here, by id.
pub(super) fn all(env: &Env<'_>) -> Vec<Tool> {
    let found = env.records.load_all(Table::Tool, ID.as_bytes(), None, TOOLS_MAX);
    found.into_iter().map(|(_, tool)| tool).collect()
}

/// This peer's card with these tools.
fn card<'a>(env: &Env<'_>, tools: impl Iterator<Item = &'a Tool>) -> Card {
    let config = &env.config.tool;
    Card {
        seq: 0,
        peer_id: env.own,
        tools: tools.map(Tool::listed).collect(),
        task_types: config.task_types.clone(),
        reputation: None,
        geo: (!config.geo.is_empty()).then(|| config.geo.clone()),
        latency: None,
        metadata: None,
    }
}

impl Agent {
    /// This peer's card with the tools that can be had now.
    pub(super) fn own_card(&self, env: &Env<'_>) -> Card {
        let all = all(env);
        card(env, all.iter().filter(|tool| self.tool_available(tool)))
    }

    fn tool_available(&self, tool: &Tool) -> bool {
        tool.endpoint.is_some() || self.tool.clients.contains_key(&tool.id)
    }

    pub(super) fn announce_tools(&mut self, env: &mut Env<'_>) {
        self.tool.announce = None;
        let card = self.own_card(env);
        env.net.announce(card);
    }
}

/// Registers a tool that this client, or an endpoint, carries out. The same name from the same owner takes the tool over,
/// with its id and analytics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// What it is called.
    pub name: Text<1, { card::NAME_MAX }>,
    /// What it does.
    pub description: Text<0, { card::DESCRIPTION_MAX }>,
    /// What it takes and gives.
    pub schema: Schemas,
    /// Tags to find it by.
    pub capabilities: Vec<Text<1, { card::TAG_MAX }>>,
    /// Where to post calls to, instead of having this client carry them out: an extension.
    pub endpoint: Option<Text<1, 2048>>,
}

/// What a tool takes and gives, as JSON Schemas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schemas {
    /// Of its parameters.
    pub input: Object,
    /// Of its result.
    pub output: Object,
}

impl Schemas {
    fn text(&self) -> card::Json {
        let text = serde_json::to_string(self).expect("plain data");
        card::Json::new(&text).expect("what was just written is JSON")
    }
}

/// A tool is registered.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// Its id, in the whole mesh together with this peer's.
    pub tool_id: String,
}

impl Register {
    fn check(&self, env: &Env<'_>) -> Result<(), Error> {
        schema::check(env, &self.schema.input).map_err(|problem| Error::param("schema.input", problem))?;
        schema::check(env, &self.schema.output).map_err(|problem| Error::param("schema.output", problem))?;
        if self.capabilities.len() > TAGS_MAX {
            return Err(Error::param("capabilities", format!("has more than {TAGS_MAX} elements")));
        }
        let web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if self.endpoint.as_ref().is_some_and(|url| !web(url)) {
            return Err(Error::param("endpoint", "must be an http or https URL"));
        }
        Ok(())
    }
}

impl Method for Register {
    const NAME: &'static str = "tool.register";
    const CLAUSE: &'static str = "4.3; P8, T9";
    const ACCESS: Access = Access::Operator;
    type Result = Registered;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        serving: Serving<'_>,
    ) -> Result<Reply<Registered>, Error> {
        self.check(env)?;
        let mut tools = all(env);
        let owner = serving.caller.key;
        let before = tools.iter().position(|tool| *tool.name == *self.name).map(|at| tools.remove(at));
        if before.as_ref().is_some_and(|tool| tool.owner != owner) {
            return Err(Error::param("name", "is the name of a tool that another key registered"));
        }
        // What nobody carries out any more gives way, the oldest first.
        let mut gone = None;
        if tools.len() >= TOOLS_MAX {
            let idle = tools.iter().filter(|tool| !agent.tool_available(tool));
            let Some(id) = idle.min_by_key(|tool| (tool.registered, tool.id.clone())).map(|t| t.id.clone())
            else {
                let text = format!("{TOOLS_MAX} tools are registered and available: no more fit in a card");
                return Err(Error::full(text));
            };
            tools.retain(|tool| tool.id != id);
            gone = Some(id);
        }
        let (id, usage) = match before {
            Some(tool) => (tool.id, tool.usage),
            None => (env.fresh_id(Table::Tool, ID, 8), Usage::default()),
        };
        let tool = Tool {
            id: id.clone(),
            name: self.name.to_string(),
            description: self.description.to_string(),
            schema: self.schema,
            capabilities: self.capabilities.iter().map(ToString::to_string).collect(),
            endpoint: self.endpoint.map(|url| url.to_string()),
            owner,
            registered: env.unix.0,
            usage,
        };
        // All that may ever be in the card together must fit in it.
        tools.push(tool);
        Published::new(&card(env, tools.iter()))
            .map_err(|error| Error::param("schema", format!("does not fit in this peer's card: {error}")))?;
        if let Some(gone) = gone {
            env.records.delete(Table::Tool, gone.as_bytes());
        }
        if let Some(tool) = tools.last() {
            save(env, tool);
        }
        agent.tool.clients.insert(id.clone(), serving.caller.client);
        agent.announce_tools(env);
        Ok(Registered { tool_id: id }.into())
    }
}

/// Lists the tools registered at this peer.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRegistered {}

/// The tools registered at this peer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegisteredTools {
    /// By id.
    pub tools: Vec<RegisteredTool>,
}

/// A tool registered at this peer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredTool {
    /// Its id.
    pub id: String,
    /// As it was registered.
    pub name: String,
    /// This peer.
    pub peer_id: String,
    /// As it was registered.
    pub description: String,
    /// As it was registered.
    pub capabilities: Vec<String>,
    /// As it was registered.
    pub schema: Schemas,
    /// Its mean duration in milliseconds; 0 before it first ran.
    pub avg_latency: f64,
    /// Whether somebody is there to carry it out.
    pub available: bool,
}

impl Method for ListRegistered {
    const NAME: &'static str = "tool.listRegistered";
    const CLAUSE: &'static str = "4.3";
    const ACCESS: Access = Access::Shared;
    type Result = RegisteredTools;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        _: Serving<'_>,
    ) -> Result<Reply<RegisteredTools>, Error> {
        let listed = |tool: Tool| RegisteredTool {
            available: agent.tool_available(&tool),
            peer_id: env.own.to_string(),
            avg_latency: tool.usage.latency(),
            id: tool.id,
            name: tool.name,
            description: tool.description,
            capabilities: tool.capabilities,
            schema: tool.schema,
        };
        Ok(RegisteredTools { tools: all(env).into_iter().map(listed).collect() }.into())
    }
}
