//! What the judge itself is judged by.
//!
//! * [`mod@reference`] is our own implementation in this process, in virtual time: the judge must find nothing wrong with it.
//! * [`mutant`]: nodes that are right but for one thing, which the judge must find.
//! * [`seam`], [`rule`] and [`edit`]: how they deviate: between the judge and the node, where only JSON is seen.

pub mod edit;
pub mod mutant;
pub mod reference;
pub mod rule;
pub mod seam;
