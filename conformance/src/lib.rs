//! The judge: says whether an implementation keeps the Hyperspace specification, and shows the words that it does not keep.
//!
//! It shares no code with the other packages, because a mistake that the judge and the judged have in common stays unseen.
//!
//! * [`spec`]: the text that is judged against, pinned, its clauses and its JSON blocks.

pub mod spec;
