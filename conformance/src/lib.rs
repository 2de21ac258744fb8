//! A judge for implementations of the Hyperspace Gossiping Agents Protocol, in any language, from outside.
//!
//! Cases are text files ([`case`]); a body in them is JSON with places to fill in ([`value`]) when it is sent, and a
//! [`matcher`] when it is received. A case runs against a [`target`]. Nothing here shares code with our own implementation.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "JSON, matchers and steps are matched for the few shapes that matter at a place"
)]

pub mod case;
pub mod json;
pub mod level;
pub mod matcher;
pub mod runner;
pub mod target;
pub mod value;
pub mod verdict;

pub use level::Level;
