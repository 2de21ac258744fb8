//! `recursive.*`: loop detection (spec 4.5).

use super::method::Entry;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[];

/// Settings of `recursive.*`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {}
