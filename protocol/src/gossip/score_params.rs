//! Weights, decays and thresholds of the v1.1 peer score, with the published parameter sets.
//!
//! Names follow the specification: P1 time in mesh, P2 first deliveries, P3 mesh delivery deficit, P3b mesh failure, P4
//! invalid messages, P5 application, P6 IP colocation, P7 behaviour. A decay is the factor per decay interval.

use crate::time::Duration;

/// Parameters of the score of one neighbour. One set of topic parameters serves all topics.
#[derive(Clone, PartialEq, Debug)]
pub struct ScoreParams {
    /// Per-topic terms P1 to P4.
    pub topic: TopicScoreParams,
    /// Upper bound of the sum over topics; 0 means none.
    pub topic_cap: f64,
    /// P5 weight.
    pub app_weight: f64,
    /// P6 weight, at most 0.
    pub ip_weight: f64,
    /// P6: peers on one address above this count.
    pub ip_threshold: u32,
    /// P7 weight, at most 0.
    pub behaviour_weight: f64,
    /// P7: penalties up to this are free.
    pub behaviour_threshold: f64,
    /// P7 decay.
    pub behaviour_decay: f64,
    /// Time between two decays; carried out at the first heartbeat at or after it.
    pub decay_interval: Duration,
    /// Counters below this become zero.
    pub decay_to_zero: f64,
    /// How long a score outlives the connection.
    pub retain: Duration,
    /// Below this no gossip (IHAVE, IWANT) is exchanged; at most 0.
    pub gossip_threshold: f64,
    /// Below this own messages are not sent; at most `gossip_threshold`.
    pub publish_threshold: f64,
    /// Below this all frames are ignored; below `publish_threshold`.
    pub graylist_threshold: f64,
    /// From this score on, peers named in a PRUNE are dialled; at least 0.
    pub accept_px_threshold: f64,
    /// Median mesh score below which opportunistic grafting starts; at least 0.
    pub opportunistic_graft_threshold: f64,
}

/// P1 to P4 of one topic.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicScoreParams {
    /// Weight of the topic in the sum.
    pub weight: f64,
    /// P1 weight, at least 0.
    pub time_in_mesh_weight: f64,
    /// P1 unit of time.
    pub time_in_mesh_quantum: Duration,
    /// P1 cap, in quanta.
    pub time_in_mesh_cap: f64,
    /// P2 weight, at least 0.
    pub first_deliveries_weight: f64,
    /// P2 decay.
    pub first_deliveries_decay: f64,
    /// P2 cap.
    pub first_deliveries_cap: f64,
    /// P3 weight, at most 0; 0 switches P3 off.
    pub mesh_deliveries_weight: f64,
    /// P3 decay.
    pub mesh_deliveries_decay: f64,
    /// P3 cap.
    pub mesh_deliveries_cap: f64,
    /// P3: deliveries below this are a deficit.
    pub mesh_deliveries_threshold: f64,
    /// P3: time in the mesh before a deficit counts.
    pub mesh_deliveries_activation: Duration,
    /// P3: a duplicate this soon after the first copy still counts as delivered.
    pub mesh_deliveries_window: Duration,
    /// P3b weight, at most 0.
    pub mesh_failure_weight: f64,
    /// P3b decay.
    pub mesh_failure_decay: f64,
    /// P4 weight, at most 0.
    pub invalid_weight: f64,
    /// P4 decay.
    pub invalid_decay: f64,
}

impl ScoreParams {
    /// The configuration of all 13 saved experiments of Protocol Labs' v1.1 evaluation (libp2p/gossipsub-hardening).
    /// P7 has no value there: Eth2's weight and threshold, and a decay of our choice.
    pub fn evaluation() -> Self {
        Self {
            topic: TopicScoreParams {
                weight: 0.25,
                time_in_mesh_weight: 0.0027,
                time_in_mesh_quantum: Duration::from_secs(1),
                time_in_mesh_cap: 3600.0,
                first_deliveries_weight: 0.664,
                first_deliveries_decay: 0.9916,
                first_deliveries_cap: 1500.0,
                mesh_deliveries_weight: -0.25,
                mesh_deliveries_decay: 0.997,
                mesh_deliveries_cap: 400.0,
                mesh_deliveries_threshold: 10.0,
                mesh_deliveries_activation: Duration::from_secs(60),
                mesh_deliveries_window: Duration::from_millis(5),
                mesh_failure_weight: -0.25,
                mesh_failure_decay: 0.997,
                invalid_weight: -99.0,
                invalid_decay: 0.9994,
            },
            topic_cap: 0.0,
            app_weight: 0.0,
            ip_weight: 0.0,
            ip_threshold: 1,
            behaviour_weight: -15.92,
            behaviour_threshold: 6.0,
            behaviour_decay: 0.986,
            decay_interval: Duration::from_secs(1),
            decay_to_zero: 0.01,
            retain: Duration::from_secs(30),
            gossip_threshold: -4000.0,
            publish_threshold: -5000.0,
            graylist_threshold: -10_000.0,
            accept_px_threshold: 0.0,
            opportunistic_graft_threshold: 0.0,
        }
    }

    /// Lotus 2020, block topic. P6 weight -100, P7 as Eth2 with Lotus' own decay of an hour left out (our choice).
    pub fn filecoin() -> Self {
        Self {
            topic: TopicScoreParams {
                weight: 0.1,
                time_in_mesh_weight: 0.00027,
                time_in_mesh_quantum: Duration::from_secs(1),
                time_in_mesh_cap: 1.0,
                first_deliveries_weight: 25.0,
                first_deliveries_decay: 0.99972,
                first_deliveries_cap: 100.0,
                mesh_deliveries_weight: -576.0,
                mesh_deliveries_decay: 0.99972,
                mesh_deliveries_cap: 100.0,
                mesh_deliveries_threshold: 0.41666,
                mesh_deliveries_activation: Duration::from_secs(60),
                mesh_deliveries_window: Duration::from_millis(10),
                mesh_failure_weight: -576.0,
                mesh_failure_decay: 0.99888,
                invalid_weight: -1000.0,
                invalid_decay: 0.99972,
            },
            app_weight: 1.0,
            ip_weight: -100.0,
            ip_threshold: 1,
            retain: Duration::from_secs(6 * 3600),
            gossip_threshold: -500.0,
            publish_threshold: -1000.0,
            graylist_threshold: -2500.0,
            accept_px_threshold: 1000.0,
            opportunistic_graft_threshold: 2.5,
            ..Self::evaluation()
        }
    }

    /// rust-libp2p's default topic and peer parameters.
    pub fn rust() -> Self {
        Self {
            topic: TopicScoreParams {
                weight: 0.5,
                time_in_mesh_weight: 1.0,
                time_in_mesh_quantum: Duration::from_millis(1),
                time_in_mesh_cap: 3600.0,
                first_deliveries_weight: 1.0,
                first_deliveries_decay: 0.5,
                first_deliveries_cap: 2000.0,
                mesh_deliveries_weight: -1.0,
                mesh_deliveries_decay: 0.5,
                mesh_deliveries_cap: 100.0,
                mesh_deliveries_threshold: 20.0,
                mesh_deliveries_activation: Duration::from_secs(5),
                mesh_deliveries_window: Duration::from_millis(10),
                mesh_failure_weight: -1.0,
                mesh_failure_decay: 0.5,
                invalid_weight: -1.0,
                invalid_decay: 0.3,
            },
            topic_cap: 3600.0,
            app_weight: 10.0,
            ip_weight: -5.0,
            ip_threshold: 10,
            behaviour_weight: -10.0,
            behaviour_threshold: 0.0,
            behaviour_decay: 0.2,
            retain: Duration::from_secs(3600),
            gossip_threshold: -10.0,
            publish_threshold: -50.0,
            graylist_threshold: -80.0,
            accept_px_threshold: 10.0,
            opportunistic_graft_threshold: 20.0,
            ..Self::evaluation()
        }
    }

    /// Eth2 block topic as in the formal model's Prysm fork, thresholds as in Lighthouse. The decay interval is a slot
    /// (12 s); P1's quantum is a slot; counters whose decay the source leaves out decay over 20 epochs (0.01^(1/640)). The source has P3's weight only: its cap,
    /// threshold, activation and window, and P7's decay, are our choice.
    pub fn eth2() -> Self {
        let twenty_epochs = 0.992_830_286;
        Self {
            topic: TopicScoreParams {
                weight: 0.8,
                time_in_mesh_weight: 0.0324,
                time_in_mesh_quantum: Duration::from_secs(12),
                time_in_mesh_cap: 300.0,
                first_deliveries_weight: 1.0,
                first_deliveries_decay: twenty_epochs,
                first_deliveries_cap: 23.0,
                mesh_deliveries_weight: -0.717,
                mesh_deliveries_decay: twenty_epochs,
                mesh_deliveries_cap: 139.0,
                mesh_deliveries_threshold: 14.0,
                mesh_deliveries_activation: Duration::from_secs(384),
                mesh_deliveries_window: Duration::from_secs(2),
                mesh_failure_weight: -0.717,
                mesh_failure_decay: twenty_epochs,
                invalid_weight: -140.4475,
                invalid_decay: twenty_epochs,
            },
            topic_cap: 32.72,
            app_weight: 1.0,
            ip_weight: -35.11,
            ip_threshold: 10,
            behaviour_weight: -15.92,
            behaviour_threshold: 6.0,
            behaviour_decay: 0.986,
            decay_interval: Duration::from_secs(12),
            decay_to_zero: 0.01,
            // 100 epochs of 384 s.
            retain: Duration::from_secs(38_400),
            gossip_threshold: -4000.0,
            publish_threshold: -8000.0,
            graylist_threshold: -16_000.0,
            accept_px_threshold: 100.0,
            opportunistic_graft_threshold: 5.0,
        }
    }

    /// What breaks the specification's rules for parameters, if anything.
    ///
    /// # Errors
    /// A sentence that names the parameter and its range.
    pub fn check(&self) -> Result<(), String> {
        let t = &self.topic;
        let not_negative = [
            ("topic_cap", self.topic_cap),
            ("time_in_mesh_weight", t.time_in_mesh_weight),
            ("first_deliveries_weight", t.first_deliveries_weight),
            ("time_in_mesh_cap", t.time_in_mesh_cap),
            ("first_deliveries_cap", t.first_deliveries_cap),
            ("mesh_deliveries_cap", t.mesh_deliveries_cap),
            ("mesh_deliveries_threshold", t.mesh_deliveries_threshold),
            ("behaviour_threshold", self.behaviour_threshold),
            ("accept_px_threshold", self.accept_px_threshold),
            ("opportunistic_graft_threshold", self.opportunistic_graft_threshold),
            ("decay_to_zero", self.decay_to_zero),
        ];
        let not_positive = [
            ("ip_weight", self.ip_weight),
            ("behaviour_weight", self.behaviour_weight),
            ("mesh_deliveries_weight", t.mesh_deliveries_weight),
            ("mesh_failure_weight", t.mesh_failure_weight),
            ("invalid_weight", t.invalid_weight),
            ("gossip_threshold", self.gossip_threshold),
        ];
        let decays = [
            ("first_deliveries_decay", t.first_deliveries_decay),
            ("mesh_deliveries_decay", t.mesh_deliveries_decay),
            ("mesh_failure_decay", t.mesh_failure_decay),
            ("invalid_decay", t.invalid_decay),
            ("behaviour_decay", self.behaviour_decay),
        ];
        for (name, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(format!("{name} must be a finite number of at least 0, got {value}"));
            }
        }
        for (name, value) in not_positive {
            if !(value <= 0.0 && value.is_finite()) {
                return Err(format!("{name} must be a finite number of at most 0, got {value}"));
            }
        }
        for (name, value) in decays {
            if !(value > 0.0 && value < 1.0) {
                return Err(format!("{name} must be between 0 and 1, both excluded, got {value}"));
            }
        }
        let ordered = self.graylist_threshold < self.publish_threshold
            && self.publish_threshold <= self.gossip_threshold;
        if !ordered {
            return Err(format!(
                "graylist_threshold < publish_threshold <= gossip_threshold must hold; got {} / {} / {}",
                self.graylist_threshold, self.publish_threshold, self.gossip_threshold
            ));
        }
        if t.time_in_mesh_quantum.is_zero() || self.decay_interval.is_zero() {
            return Err("time_in_mesh_quantum and decay_interval must not be zero".into());
        }
        if !(self.app_weight.is_finite() && t.weight.is_finite() && t.weight >= 0.0) {
            return Err("app_weight must be finite and the topic weight at least 0".into());
        }
        Ok(())
    }
}
