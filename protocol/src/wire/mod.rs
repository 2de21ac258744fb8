//! What goes over the network, byte for byte: one file per protocol, each type with `parse` and `emit`.
//!
//! * [`kad`]: the protobuf message of libp2p's Kademlia DHT.
//! * [`pubsub`]: the protobuf messages of libp2p pubsub, which GossipSub peers exchange (spec 2.1).
//! * [`trace`]: the events of go-libp2p-pubsub's traces.

mod fields;
pub mod kad;
pub mod pubsub;
pub mod trace;

pub use fields::{WireError, field, varint};
