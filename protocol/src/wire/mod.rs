//! What goes over the network, byte for byte: one file per protocol, each type with `parse` and `emit`.
//!
//! * [`pubsub`]: the protobuf messages of libp2p pubsub, which GossipSub peers exchange (spec 2.1).

pub mod pubsub;
