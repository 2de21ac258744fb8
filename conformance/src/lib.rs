//! A judge for implementations of the Hyperspace Gossiping Agents Protocol, in any language, from outside: says whether one
//! keeps the specification, and shows the words that it does not keep.
//!
//! It shares no code with the other packages, because a mistake that the judge and the judged have in common stays unseen.
//!
//! * [`spec`]: the text that is judged against, pinned, its clauses and its JSON blocks.
//! * [`registry`]: what the text demands, row by row; its methods, ambiguities and examples; the lints that hold all of it
//!   to the text.

pub mod level;
pub mod registry;
pub mod spec;

pub use level::Level;
