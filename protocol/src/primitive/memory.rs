//! `memory.*`: memories placed on the hash ring, replicated and searched (spec 4.4).

use super::Agent;
use super::call::{CallId, Fetched};
use super::env::Env;
use super::method::Entry;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::Instant;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `memory.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Whether replicas count as unable to take memories, for tests from outside.
    pub(super) failing: bool,
}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        None
    }
}

impl Agent {
    pub(super) fn start_memory(&mut self, _: &mut Env<'_>) {}
    pub(super) fn memory_timeout(&mut self, _: &mut Env<'_>) {}
    pub(super) fn memory_asked(&mut self, _: &mut Env<'_>, _from: PeerId, _id: RequestId, _body: &str) {}
    pub(super) fn memory_told(
        &mut self,
        _: &mut Env<'_>,
        _from: PeerId,
        _id: RequestId,
        _body: Option<&str>,
    ) {
    }
    pub(super) fn memory_fetched(&mut self, _: &mut Env<'_>, _id: CallId, _fetched: Fetched) {}
    pub(super) fn memory_message(&mut self, _: &mut Env<'_>, _author: PeerId, _d: &str) {}
    pub(super) fn memory_peer(&mut self, _: &mut Env<'_>, _peer: PeerId, _connected: bool) {}
}
