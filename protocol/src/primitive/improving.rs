//! `improving.*`: trajectories, gossiped and curated (spec 5.2).

use super::Agent;
use super::call::{CallId, Fetched};
use super::env::Env;
use super::method::Entry;
use crate::identity::PeerId;
use crate::request::RequestId;
use crate::time::Instant;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `improving.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// Whether trajectories recorded here are gossiped (decision T12).
    pub publish: bool,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Live {}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        None
    }
}

impl Agent {
    pub(super) fn start_improving(&mut self, _: &mut Env<'_>) {}
    pub(super) fn improving_timeout(&mut self, _: &mut Env<'_>) {}
    pub(super) fn trajectory_asked(&mut self, _: &mut Env<'_>, _from: PeerId, _id: RequestId, _body: &str) {}
    pub(super) fn trajectory_told(
        &mut self,
        _: &mut Env<'_>,
        _from: PeerId,
        _id: RequestId,
        _body: Option<&str>,
    ) {
    }
    pub(super) fn improving_fetched(&mut self, _: &mut Env<'_>, _id: CallId, _fetched: Fetched) {}
    pub(super) fn trajectory_message(&mut self, _: &mut Env<'_>, _author: PeerId, _task: &str, _d: &str) {}
    pub(super) fn reputation_message(
        &mut self,
        _: &mut Env<'_>,
        _author: PeerId,
        _subject: PeerId,
        _d: &str,
    ) {
    }
}
