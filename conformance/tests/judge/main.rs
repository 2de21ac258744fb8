//! The judge judged: whole runs against small targets that are right, wrong in one way, or worse.

#![allow(clippy::wildcard_enum_match_arm, reason = "JSON is matched for the few shapes that matter")]

mod runs;
mod support;
mod wire;
