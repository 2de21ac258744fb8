//! The Hyperspace Gossiping Agents Protocol as sans-IO state machines.
//!
//! Nothing in this crate reads a clock, draws from a global generator, opens a socket or starts a thread. A driver (the
//! simulator's virtual time, or a real node) feeds inputs and carries out outputs; [`machine`] is that boundary.
//!
//! * [`identity`]: peer ids. [`envelope`]: the signed envelope v2 of spec 2.1 and 9.2.
//! * [`topic`]: the topic grammar of spec 7.1. [`wire`]: what goes over the network, byte for byte.
//! * [`gossip`]: GossipSub v1.0, v1.1 and v1.2. [`peer`]: all of one participant.
//! * [`ring`]: the consistent hash ring of spec 4.4.
//! * [`kad`]: the Kademlia DHT of libp2p, with S/Kademlia's disjoint paths.
//! * [`request`]: what peers ask of each other apart from gossip, and applications of their peer.
//! * [`primitive`]: the eight primitives of spec 4 to 6 and their 44 methods.
//! * [`rpc`]: JSON-RPC 2.0 as text, of spec 2.2 and 8.
//! * [`payment`]: what payments sign (EIP-712 over secp256k1), and the payee's side of a channel, of spec 6.
//! * [`card`]: capability cards and `tool.discover`'s ranking, of spec 7.4 and 4.3.

pub mod card;
pub mod config;
mod counters;
pub mod envelope;
pub mod gossip;
pub mod identity;
pub mod kad;
pub mod machine;
pub mod payment;
pub mod peer;
pub mod primitive;
pub mod request;
pub mod ring;
pub mod rng;
pub mod rpc;
pub mod time;
pub mod topic;
pub mod wire;
