//! `guard.*`: validation, safety, budgets and rate limits (spec 4.2).

use super::method::Entry;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `guard.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {}
