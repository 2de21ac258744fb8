//! `tool.*`: tools found over the mesh and carried out by whoever registered them (spec 4.3).

use super::Agent;
use super::QueryEnd;
use super::call::{CallId, ClientId, Executed, Fetched};
use super::env::Env;
use super::method::Entry;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::Instant;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `tool.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Live {}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        None
    }
}

impl Agent {
    pub(super) fn start_tool(&mut self, _: &mut Env<'_>) {}
    pub(super) fn tool_timeout(&mut self, _: &mut Env<'_>) {}
    pub(super) fn tool_asked(&mut self, _: &mut Env<'_>, _from: PeerId, _id: RequestId, _body: &str) {}
    pub(super) fn tool_told(&mut self, _: &mut Env<'_>, _from: PeerId, _id: RequestId, _body: Option<&str>) {}
    pub(super) fn tool_executed(&mut self, _: &mut Env<'_>, _id: CallId, _executed: Executed) {}
    pub(super) fn tool_fetched(&mut self, _: &mut Env<'_>, _id: CallId, _fetched: Fetched) {}
    pub(super) fn tool_query(&mut self, _: &mut Env<'_>, _token: u64, _end: QueryEnd) {}
    pub(super) fn tool_client_gone(&mut self, _: &mut Env<'_>, _client: ClientId) {}
}
