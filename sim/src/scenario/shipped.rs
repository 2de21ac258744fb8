//! The scenarios that come with the binary.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("calibration-gossipsub-v1.0", include_str!("../../../scenarios/calibration-gossipsub-v1.0.toml")),
    ("convergence", include_str!("../../../scenarios/convergence.toml")),
    ("g8", include_str!("../../../scenarios/g8.toml")),
    ("lossy-wan", include_str!("../../../scenarios/lossy-wan.toml")),
    ("partition-heal", include_str!("../../../scenarios/partition-heal.toml")),
    ("sybil-flood", include_str!("../../../scenarios/sybil-flood.toml")),
];

/// The text of the shipped scenario of that name.
pub fn shipped(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}
