//! The network between peers: who is connected, how long a frame takes, and what is lost.

mod bootstrap;
mod g8;
mod latency;
mod partition;
mod regions;
mod topology;

pub use g8::G8;
pub(crate) use latency::LATENCY_MAX;
pub use latency::LatencyModel;
pub(crate) use partition::{Partitions, region_of};
pub use regions::RegionTable;
pub(crate) use topology::{Edge, edges, sample_distinct};
