//! Nodes on loopback: with stock rust-libp2p peers, with each other, and with peers that keep no rule.
//!
//! One binary for all, because most of what it takes to build is libp2p.

#![allow(clippy::wildcard_enum_match_arm, reason = "the enums of stock peers are large and may grow")]

mod dials;
mod examples;
mod gossip;
mod hostile;
mod kad;
mod mesh;
#[cfg(feature = "mdns")]
mod nearby;
mod puppet;
#[cfg(feature = "quic")]
mod quic;
mod record;
mod start;
mod support;
