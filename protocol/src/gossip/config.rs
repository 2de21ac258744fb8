//! GossipSub settings and the named profiles.
//!
//! The specification text and the stacks in use disagree on several defaults (D_lo, seen TTL, first heartbeat, peer
//! exchange), so there is no one default: a profile names whose numbers they are. Sources: libp2p/specs@7740c07 (`spec`),
//! go-libp2p-pubsub (`go`), rust-libp2p gossipsub 0.50 (`rust`), the Eth2 consensus specs and Lighthouse (`eth2`), Lotus
//! and the gossipsub formal model (`filecoin`), libp2p/gossipsub-hardening@784dce6 (`hyperspace`, see
//! [`Config::hyperspace`]). Where a source says nothing, go's value is used.

use super::score_params::ScoreParams;
use crate::time::Duration;

/// Which revision of GossipSub a machine speaks: the features of later ones are off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// Mesh and gossip only: no scores, backoff, peer exchange, flood publishing, outbound quota nor adaptive gossip.
    V1_0,
    /// The hardening extensions.
    V1_1,
    /// With IDONTWANT.
    V1_2,
}

/// Settings of one GossipSub machine. Durations are virtual or real time of the driver's clock.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Protocol revision.
    pub version: Version,
    /// Time between heartbeats, at least 10 ms (our choice); zero switches them off (for fixed meshes).
    pub heartbeat_interval: Duration,
    /// First heartbeat after the start, to which a random phase below one interval is added.
    pub heartbeat_delay: Duration,
    /// D: mesh links per topic wanted.
    pub mesh_degree: usize,
    /// D_lo: below this the heartbeat grafts up to `mesh_degree`.
    pub mesh_degree_min: usize,
    /// D_hi: above this the heartbeat prunes down to `mesh_degree`.
    pub mesh_degree_max: usize,
    /// D_lazy: at least this many peers outside the mesh get IHAVE each heartbeat.
    pub mesh_degree_lazy: usize,
    /// D_score: how many of the best-scored links survive an oversubscription prune.
    pub mesh_degree_score: usize,
    /// D_out: mesh links that this side dialled, at least.
    pub mesh_degree_outbound: usize,
    /// mcache_len: heartbeats for which a message can be asked for by IWANT.
    pub history_length: usize,
    /// mcache_gossip: heartbeats for which a message is advertised by IHAVE.
    pub history_gossip: usize,
    /// How long a message id is remembered.
    pub seen_ttl: Duration,
    /// How long fanout peers of a topic not subscribed to are kept after the last publish.
    pub fanout_ttl: Duration,
    /// Backoff after a PRUNE.
    pub prune_backoff: Duration,
    /// Backoff after leaving a topic.
    pub unsubscribe_backoff: Duration,
    /// How long past its end a backoff still keeps this side from grafting.
    pub backoff_slack: Duration,
    /// Share of the eligible peers that get IHAVE when that is more than `mesh_degree_lazy`; in [0, 1].
    pub gossip_factor: f64,
    /// Whether own messages go to all peers of the topic above the publish threshold.
    pub flood_publish: bool,
    /// Peers offered in a PRUNE (peer exchange); 0 switches it off.
    pub px_peers: usize,
    /// Heartbeats between opportunistic grafts; 0 switches them off.
    pub opportunistic_graft_ticks: u64,
    /// Peers grafted opportunistically at a time.
    pub opportunistic_graft_peers: usize,
    /// Heartbeats between attempts to reconnect explicit peers.
    pub explicit_check_ticks: u64,
    /// A GRAFT this soon after our PRUNE costs twice (GRAFT flood).
    pub graft_flood_threshold: Duration,
    /// How often one peer may get the same message by IWANT.
    pub iwant_retransmissions: u32,
    /// How long after an IWANT the message must have come, or the promise is broken (P7).
    pub iwant_followup: Duration,
    /// Ids taken from one peer's IHAVEs, and put into one IHAVE, per heartbeat.
    pub ihave_ids_max: usize,
    /// IHAVE frames taken from one peer per heartbeat.
    pub ihave_messages_max: u32,
    /// Messages of at least this many bytes are announced by IDONTWANT (v1.2).
    pub idontwant_size_min: usize,
    /// IDONTWANT ids taken from one peer per heartbeat.
    pub idontwant_max: u32,
    /// Heartbeats for which an IDONTWANT is honoured.
    pub idontwant_ttl: u64,
    /// Subscriptions taken from one peer; more are dropped and counted.
    pub topics_max: usize,
    /// Whether a message may be forwarded to its author (who drops it). Stock stacks do not.
    pub forward_to_author: bool,
    /// The mesh of a topic is every connected peer, for good: no subscriptions, GRAFT nor PRUNE are exchanged. For
    /// workloads that fix the overlay.
    pub static_mesh: bool,
    /// Whether peers are scored (v1.1); without it every score is zero.
    pub scores: bool,
    /// Score weights and thresholds.
    pub score: ScoreParams,
}

impl Config {
    /// The names of all profiles, as scenario files use them.
    pub const PROFILES: [&'static str; 6] = ["spec", "go", "rust", "eth2", "filecoin", "hyperspace"];

    /// The profile of that name.
    pub fn profile(name: &str) -> Option<Self> {
        Some(match name {
            "spec" => Self::spec(),
            "go" => Self::go(),
            "rust" => Self::rust(),
            "eth2" => Self::eth2(),
            "filecoin" => Self::filecoin(),
            "hyperspace" => Self::hyperspace(),
            _ => return None,
        })
    }

    /// go-libp2p-pubsub's defaults. Scores are off there until an application gives parameters.
    pub fn go() -> Self {
        Self {
            version: Version::V1_2,
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_delay: Duration::from_millis(100),
            mesh_degree: 6,
            mesh_degree_min: 5,
            mesh_degree_max: 12,
            mesh_degree_lazy: 6,
            mesh_degree_score: 4,
            mesh_degree_outbound: 2,
            history_length: 5,
            history_gossip: 3,
            seen_ttl: Duration::from_secs(120),
            fanout_ttl: Duration::from_secs(60),
            prune_backoff: Duration::from_secs(60),
            unsubscribe_backoff: Duration::from_secs(10),
            backoff_slack: Duration::from_secs(1),
            gossip_factor: 0.25,
            flood_publish: false,
            px_peers: 16,
            opportunistic_graft_ticks: 60,
            opportunistic_graft_peers: 2,
            // "Every 5 minutes" at a heartbeat of one second.
            explicit_check_ticks: 300,
            graft_flood_threshold: Duration::from_secs(10),
            iwant_retransmissions: 3,
            iwant_followup: Duration::from_secs(3),
            ihave_ids_max: 5000,
            ihave_messages_max: 10,
            idontwant_size_min: 1024,
            idontwant_max: 1000,
            idontwant_ttl: 3,
            // js-libp2p's byte cap comes to about this many; go has none by default.
            topics_max: 1000,
            forward_to_author: false,
            static_mesh: false,
            scores: false,
            score: ScoreParams::evaluation(),
        }
    }

    /// The text of the v1.0 to v1.2 specifications, D_lo = 4 included. Peer exchange names "more than D_hi" peers: 13.
    pub fn spec() -> Self {
        Self {
            mesh_degree_min: 4,
            flood_publish: true,
            px_peers: 13,
            // "Every minute" at a heartbeat of one second.
            opportunistic_graft_ticks: 60,
            heartbeat_delay: Duration::ZERO,
            ..Self::go()
        }
    }

    /// rust-libp2p's defaults: first heartbeat after 5 s, one minute of memory, no peer exchange, 100 topics per peer.
    pub fn rust() -> Self {
        Self {
            heartbeat_delay: Duration::from_secs(5),
            seen_ttl: Duration::from_secs(60),
            flood_publish: true,
            px_peers: 0,
            idontwant_size_min: 1000,
            topics_max: 100,
            score: ScoreParams::rust(),
            ..Self::go()
        }
    }

    /// Eth2 consensus layer: 0.7 s heartbeats, 550 of them of memory, no peer exchange.
    pub fn eth2() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(700),
            backoff_slack: Duration::from_millis(700),
            mesh_degree: 8,
            mesh_degree_min: 6,
            mesh_degree_max: 12,
            mesh_degree_lazy: 6,
            history_length: 6,
            seen_ttl: Duration::from_secs(385),
            px_peers: 0,
            scores: true,
            score: ScoreParams::eth2(),
            ..Self::go()
        }
    }

    /// Filecoin (Lotus 2020, block topic).
    pub fn filecoin() -> Self {
        Self {
            version: Version::V1_1,
            mesh_degree: 8,
            mesh_degree_min: 6,
            mesh_degree_max: 12,
            mesh_degree_lazy: 12,
            history_length: 10,
            flood_publish: true,
            scores: true,
            score: ScoreParams::filecoin(),
            ..Self::go()
        }
    }

    /// Our choice for Hyperspace, whose specification gives no numbers: the settings under which Protocol Labs
    /// evaluated v1.1 against attacks, with IDONTWANT, and a cap of 100 topics so that rust-libp2p peers stay content.
    ///
    /// But without the penalty for delivering too little in the mesh (P3, P3b), as in Filecoin's later settings: with the
    /// evaluation's window of 5 ms, between regions and at a few messages a second, it drives honest peers out of the mesh
    /// for being far away (scenario `cold-start`: a mesh degree of 1.1 instead of 7.6).
    pub fn hyperspace() -> Self {
        let mut score = ScoreParams::evaluation();
        score.topic.mesh_deliveries_weight = 0.0;
        score.topic.mesh_failure_weight = 0.0;
        Self {
            mesh_degree: 8,
            mesh_degree_min: 6,
            mesh_degree_max: 12,
            mesh_degree_lazy: 12,
            mesh_degree_score: 6,
            mesh_degree_outbound: 3,
            flood_publish: true,
            px_peers: 0,
            topics_max: 100,
            scores: true,
            score,
            ..Self::go()
        }
    }

    /// Whether revision 1.1's rules are in force.
    pub fn hardened(&self) -> bool {
        self.version >= Version::V1_1
    }

    /// Whether peers are scored.
    pub fn scoring(&self) -> bool {
        self.scores && self.hardened()
    }

    /// What contradicts itself in these settings, if anything.
    ///
    /// # Errors
    /// A sentence that names the two settings at odds.
    pub fn check(&self) -> Result<(), String> {
        let ordered = self.mesh_degree_min <= self.mesh_degree && self.mesh_degree <= self.mesh_degree_max;
        if !ordered || self.mesh_degree == 0 {
            return Err(format!(
                "mesh_degree_min <= mesh_degree <= mesh_degree_max must hold, and mesh_degree be at least 1; got {} / {} / {}",
                self.mesh_degree_min, self.mesh_degree, self.mesh_degree_max
            ));
        }
        if self.mesh_degree_score > self.mesh_degree {
            return Err(format!(
                "mesh_degree_score ({}) must not exceed mesh_degree ({})",
                self.mesh_degree_score, self.mesh_degree
            ));
        }
        // v1.1: "D_out must be set below D_lo, and must not exceed D / 2".
        if self.hardened()
            && self.mesh_degree_outbound > 0
            && (self.mesh_degree_outbound >= self.mesh_degree_min
                || self.mesh_degree_outbound > self.mesh_degree / 2)
        {
            return Err(format!(
                "mesh_degree_outbound ({}) must be below mesh_degree_min ({}) and at most half of mesh_degree ({})",
                self.mesh_degree_outbound, self.mesh_degree_min, self.mesh_degree
            ));
        }
        if self.history_gossip > self.history_length || self.history_length == 0 {
            return Err(format!(
                "history_gossip ({}) must not exceed history_length ({}), which must be at least 1",
                self.history_gossip, self.history_length
            ));
        }
        if !(0.0..=1.0).contains(&self.gossip_factor) {
            return Err(format!("gossip_factor must be in [0, 1], got {}", self.gossip_factor));
        }
        let beat = self.heartbeat_interval;
        if !beat.is_zero() && beat < Duration::from_millis(10) {
            return Err(format!("heartbeat_interval must be 0s (none) or at least 10ms, got {beat}"));
        }
        if self.seen_ttl < Duration::from_millis(8) {
            return Err(format!("seen_ttl must be at least 8ms, got {}", self.seen_ttl));
        }
        self.score.check()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::hyperspace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_sound_and_has_its_source_s_numbers() {
        for name in Config::PROFILES {
            let config = Config::profile(name).expect("listed");
            assert_eq!(config.check(), Ok(()), "{name}");
        }
        let table = Config::PROFILES.map(|name| {
            let c = Config::profile(name).expect("listed");
            (
                c.mesh_degree,
                c.mesh_degree_min,
                c.mesh_degree_max,
                c.mesh_degree_lazy,
                c.heartbeat_interval.as_millis(),
                c.heartbeat_delay.as_millis(),
                c.seen_ttl.as_secs(),
                c.px_peers,
                c.flood_publish,
            )
        });
        assert_eq!(
            table,
            [
                (6, 4, 12, 6, 1000, 0, 120, 13, true),
                (6, 5, 12, 6, 1000, 100, 120, 16, false),
                (6, 5, 12, 6, 1000, 5000, 60, 0, true),
                (8, 6, 12, 6, 700, 100, 385, 0, false),
                (8, 6, 12, 12, 1000, 100, 120, 16, true),
                (8, 6, 12, 12, 1000, 100, 120, 0, true),
            ]
        );
    }

    #[test]
    fn contradictions_are_named() {
        let low = Config { mesh_degree_min: 9, ..Config::hyperspace() };
        assert!(low.check().expect_err("D_lo > D").contains("mesh_degree_min"));
        let out = Config { mesh_degree_outbound: 5, ..Config::hyperspace() };
        assert!(out.check().expect_err("D_out > D/2").contains("mesh_degree_outbound"));
        let history = Config { history_gossip: 6, ..Config::hyperspace() };
        assert!(history.check().expect_err("gossip > len").contains("history_gossip"));
        let factor = Config { gossip_factor: f64::NAN, ..Config::hyperspace() };
        assert!(factor.check().expect_err("NaN").contains("gossip_factor"));
    }
}
