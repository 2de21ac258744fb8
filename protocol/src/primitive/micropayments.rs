//! `micropayments.*`: receipts and channels (spec 6).

use super::Agent;
use super::env::Env;
use super::method::Entry;
use crate::identity::PeerId;
use crate::time::Instant;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `micropayments.*`.
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
    pub(super) fn start_micropayments(&mut self, _: &mut Env<'_>) {}
    pub(super) fn micropayments_timeout(&mut self, _: &mut Env<'_>) {}
    pub(super) fn settlement_message(&mut self, _: &mut Env<'_>, _author: PeerId, _round: u64, _d: &str) {}
}
