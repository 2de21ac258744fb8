//! The scenarios that come with the binary.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("asymmetric-partition", include_str!("../../../scenarios/asymmetric-partition.toml")),
    ("calibration-gossipsub-v1.0", include_str!("../../../scenarios/calibration-gossipsub-v1.0.toml")),
    ("capability-ttl", include_str!("../../../scenarios/capability-ttl.toml")),
    ("churn", include_str!("../../../scenarios/churn.toml")),
    ("cold-start", include_str!("../../../scenarios/cold-start.toml")),
    ("collective-learning", include_str!("../../../scenarios/collective-learning.toml")),
    ("convergence", include_str!("../../../scenarios/convergence.toml")),
    ("dht-churn", include_str!("../../../scenarios/dht-churn.toml")),
    ("g8", include_str!("../../../scenarios/g8.toml")),
    ("kademlia-lookup", include_str!("../../../scenarios/kademlia-lookup.toml")),
    ("lossy-wan", include_str!("../../../scenarios/lossy-wan.toml")),
    ("nat-majority", include_str!("../../../scenarios/nat-majority.toml")),
    ("partition-heal", include_str!("../../../scenarios/partition-heal.toml")),
    ("ring-750-literal", include_str!("../../../scenarios/ring-750-literal.toml")),
    ("ring-rebalance", include_str!("../../../scenarios/ring-rebalance.toml")),
    ("sybil-flood", include_str!("../../../scenarios/sybil-flood.toml")),
    ("topic-caps", include_str!("../../../scenarios/topic-caps.toml")),
];

/// The text of the shipped scenario of that name.
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}
