//! A judge for implementations of the Hyperspace Gossiping Agents Protocol, in any language, from outside: says whether one
//! keeps the specification, and shows the words that it does not keep.
//!
//! It shares no code with the other packages, because a mistake that the judge and the judged have in common stays unseen.
//!
//! * [`spec`]: the text that is judged against, pinned, its clauses and its JSON blocks.
//! * [`registry`]: what the text demands, row by row; its methods, ambiguities and examples; the lints that hold all of it
//!   to the text.
//! * [`case`](mod@case): cases, as text files; a body in them is JSON with places to fill in ([`value`]) where it is sent, and a
//!   [`matcher`] where it is received.
//! * [`runner`]: runs one case, without input or output of its own, against a [`target`]; [`suite`]: runs all of them.
//! * [`verdict`], [`baseline`]: what comes of it; [`events`]: the stream that a run writes and every [`report`] is made from.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "JSON, matchers and steps are matched for the few shapes that matter at a place"
)]

pub mod baseline;
pub mod case;
pub mod cases;
pub mod events;
pub mod json;
pub mod level;
pub mod matcher;
pub mod registry;
pub mod report;
pub mod runner;
pub mod spec;
pub mod suite;
pub mod target;
pub mod value;
pub mod verdict;

pub use level::Level;
