//! A real node: the machine of `hyperspace-protocol` driven over libp2p, its records on disk, its methods over JSON-RPC.

pub mod client;
pub mod control;
pub mod driver;
pub mod identity;
pub mod message;
pub mod net;
pub mod outside;
pub mod rpc;
pub mod serve;
pub mod services;
pub mod settings;
pub mod store;
pub mod topics;
