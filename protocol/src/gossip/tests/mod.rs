//! One test per rule of the GossipSub specifications, and per profile or version where those differ.

mod backoff;
mod bounds;
mod exchange;
mod explicit;
mod heartbeat;
mod idontwant;
mod lazy;
mod mesh;
mod publish;
mod score;
mod upkeep;
mod validation;

use super::score_params::{ScoreParams, TopicScoreParams};
use super::testing::Lab;
use super::{Config, Version};
use crate::time::Duration;

pub(super) const VERSIONS: [Version; 3] = [Version::V1_0, Version::V1_1, Version::V1_2];

/// Every profile with its name.
fn profiles() -> [(&'static str, Config); 6] {
    Config::PROFILES.map(|name| (name, Config::profile(name).expect("listed")))
}

/// Hyperspace's settings without scores, in one version.
fn plain(version: Version) -> Config {
    Config { version, scores: false, ..Config::hyperspace() }
}

/// Hyperspace's settings with scores one can add up in the head: `firsts - invalid² + app - behaviour²`, never decayed.
pub(super) fn scored() -> Config {
    let evaluation = ScoreParams::evaluation();
    let topic = TopicScoreParams {
        weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_deliveries_weight: 1.0,
        mesh_deliveries_weight: 0.0,
        mesh_failure_weight: 0.0,
        invalid_weight: -1.0,
        ..evaluation.topic
    };
    let score = ScoreParams {
        topic,
        app_weight: 1.0,
        behaviour_weight: -1.0,
        behaviour_threshold: 0.0,
        decay_interval: Duration::from_secs(1 << 30),
        ..evaluation
    };
    Config { score, ..Config::hyperspace() }
}

/// A machine that is not subscribed to anything, with `n` connected peers 0..n of topic 0; even ones are outbound.
fn outsider(config: Config, n: u32) -> Lab {
    let mut lab = Lab::new(config);
    for peer in 0..n {
        assert_eq!(lab.connect(peer, peer.is_multiple_of(2)), []);
        lab.frame(peer, super::testing::subscribe(0));
    }
    lab
}
