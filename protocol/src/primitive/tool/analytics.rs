//! `tool.getAnalytics`: how often a tool ran, how long that took and how it went, as this peer saw it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::register;
use crate::card;
use crate::identity::PeerId;
use crate::primitive::Agent;
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::Error;
use crate::primitive::method::{Access, Method};
use crate::primitive::params::Name;
use crate::primitive::records::{Records, Table};
use crate::time::Duration;

/// What came of a tool so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    /// How often it ran to an end, or failed to.
    pub(super) calls: u64,
    /// How often it gave a result.
    good: u64,
    /// How long all of that took, in microseconds.
    micros: u64,
    /// The latest, Unix milliseconds.
    last: u64,
}

impl Usage {
    /// The mean time of a call in milliseconds; 0 before the first.
    pub(super) fn latency(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.micros as f64 / self.calls as f64 / 1000.0 }
    }

    /// Whether it ever gave a result.
    pub(super) const fn served(&self) -> bool {
        self.good > 0
    }

    pub(super) fn add(&mut self, unix: u64, took: Duration, good: bool) {
        self.calls += 1;
        self.good += u64::from(good);
        self.micros = self.micros.saturating_add(took.as_micros());
        self.last = unix;
    }
}

/// The key of what is known of another peer's tool. Ids of own tools begin otherwise.
fn key(peer: &PeerId, tool: &str) -> Vec<u8> {
    format!("{USED}{peer}/{tool}").into_bytes()
}

const USED: &str = "used/";

/// What is known of another peer's tool.
pub(super) fn used(records: &dyn Records, peer: &PeerId, tool: &str) -> Usage {
    records.load(Table::Tool, &key(peer, tool)).unwrap_or_default()
}

/// Notes a call of another peer's tool. The table is bounded: the least recently used gives way.
pub(super) fn note(env: &mut Env<'_>, peer: &PeerId, tool: &str, took: Duration, good: bool) {
    let mut usage = used(env.records, peer, tool);
    if usage.calls == 0 {
        let known = env.records.load_all::<Usage>(Table::Tool, USED.as_bytes(), None, usize::MAX);
        if known.len() as u64 >= env.config.tool.used_max
            && let Some((oldest, _)) = known.iter().min_by_key(|(key, usage)| (usage.last, key.clone()))
        {
            env.records.delete(Table::Tool, oldest);
        }
    }
    usage.add(env.unix.0, took, good);
    env.records.save(Table::Tool, &key(peer, tool), None, &usage);
}

/// What this peer knows itself, for the ranking of tools.
pub(super) struct Experience<'a, 'b>(pub(super) &'a Env<'b>);

impl card::Local for Experience<'_, '_> {
    /// This peer's own tools are as good as this peer, whom its clients trust.
    fn reputation(&self, peer: &PeerId) -> Option<f64> {
        if *peer == self.0.own { Some(1.0) } else { self.0.reputation(peer) }
    }

    /// An own tool that never ran counts as 0, so that whoever has just registered it finds it.
    fn latency(&self, peer: &PeerId, tool: &card::Tool) -> Option<f64> {
        if *peer == self.0.own {
            return register::load(self.0, &tool.id).map(|tool| tool.usage.latency());
        }
        let usage = used(self.0.records, peer, &tool.id);
        (usage.calls > 0).then(|| usage.latency())
    }
}

/// Tells how a tool has done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetAnalytics {
    /// Which: one registered here, or one of another peer that this peer knows.
    pub tool_id: Name,
}

/// How a tool has done, as far as this peer has seen: its own tools for whomever they ran, others' when invoked from here.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analytics {
    /// Calls that ended, well or not. Those with wrong parameters never began.
    pub invocations: u64,
    /// Their mean duration in milliseconds; 0 before the first.
    pub avg_latency: f64,
    /// Which share of them gave a result; 0 before the first.
    pub success_rate: f64,
}

impl Method for GetAnalytics {
    const NAME: &'static str = "tool.getAnalytics";
    const CLAUSE: &'static str = "4.3; J11, J13";
    const ACCESS: Access = Access::Shared;
    type Result = Analytics;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Analytics>, Error> {
        let usage = match register::load(env, &self.tool_id) {
            Some(tool) => tool.usage,
            None => {
                let peer = super::invoke::provider(env, &self.tool_id, None)?;
                used(env.records, &peer, &self.tool_id)
            }
        };
        let success_rate = if usage.calls == 0 { 0.0 } else { usage.good as f64 / usage.calls as f64 };
        Ok(Analytics { invocations: usage.calls, avg_latency: usage.latency(), success_rate }.into())
    }
}
