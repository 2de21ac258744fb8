//! What the judge itself is judged by.
//!
//! * [`mod@reference`] is our own implementation in this process, in virtual time: the judge must find nothing wrong with it.
//! * [`mutant`]: nodes that are right but for one thing, which the judge must find.
//! * [`tolerance`]: nodes that do otherwise what the text leaves open, with which the judge must find nothing wrong.
//! * [`run`] puts the judge on trial with all of them; [`trial`] is one judgement.
//! * [`seam`], [`rule`] and [`edit`]: how they deviate: between the judge and the node, where only JSON is seen.

pub mod edit;
pub mod mutant;
pub mod reference;
pub mod rule;
pub mod seam;
mod selftest;
pub mod tolerance;
pub mod trial;

pub use selftest::{ATTRIBUTED_MIN, Fate, KILLED_MIN, Options, Report, Tolerated, Tried, run};
