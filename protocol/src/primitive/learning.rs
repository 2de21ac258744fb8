//! `learning.*`: playbooks that evolve by reflection (spec 5.1).

use super::Agent;
use super::call::{CallId, Fetched};
use super::env::Env;
use super::method::Entry;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `learning.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Live {}

impl Agent {
    pub(super) fn learning_fetched(&mut self, _: &mut Env<'_>, _id: CallId, _fetched: Fetched) {}
}
