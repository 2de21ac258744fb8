//! The v1.1 peer score: what one neighbour has earned, term by term.
//!
//! Floats here are added, multiplied and divided only, in one fixed order, so that every platform gets the same bits.

use super::score_params::{ScoreParams, TopicScoreParams};
use crate::machine::TopicRef;
use crate::time::{Duration, Instant};

/// Counters of one neighbour in one topic, and its backoff there.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TopicStats {
    pub(super) topic: TopicRef,
    /// Since when the neighbour is in our mesh; the far future if it is not.
    mesh_since: Instant,
    /// P1's time in the mesh, as of the last decay.
    mesh_time: Duration,
    /// P2.
    first_deliveries: f64,
    /// P3.
    mesh_deliveries: f64,
    /// P3 counts: the neighbour was in the mesh for the activation time.
    mesh_deliveries_active: bool,
    /// P3b.
    mesh_failure: f64,
    /// P4.
    invalid: f64,
    /// Neither side grafts before this.
    pub(super) backoff_until: Instant,
}

impl TopicStats {
    pub(super) const fn new(topic: TopicRef) -> Self {
        Self {
            topic,
            mesh_since: Instant::FAR_FUTURE,
            mesh_time: Duration::ZERO,
            first_deliveries: 0.0,
            mesh_deliveries: 0.0,
            mesh_deliveries_active: false,
            mesh_failure: 0.0,
            invalid: 0.0,
            backoff_until: Instant::ZERO,
        }
    }

    /// Whether the neighbour is in our mesh.
    pub(super) fn in_mesh(&self) -> bool {
        self.mesh_since != Instant::FAR_FUTURE
    }

    pub(super) fn grafted(&mut self, now: Instant) {
        self.mesh_since = now;
        self.mesh_time = Duration::ZERO;
        self.mesh_deliveries_active = false;
    }

    /// Leaves the mesh; a deficit at this moment becomes a mesh failure (P3b).
    pub(super) fn pruned(&mut self, params: &TopicScoreParams) {
        self.mesh_since = Instant::FAR_FUTURE;
        let deficit = self.deficit(params);
        self.mesh_failure += deficit * deficit;
    }

    /// The neighbour was first with a valid message.
    pub(super) fn first_delivery(&mut self, params: &TopicScoreParams) {
        self.first_deliveries = (self.first_deliveries + 1.0).min(params.first_deliveries_cap);
        self.mesh_delivery(params);
    }

    /// The neighbour delivered a valid message, first or in time after it.
    pub(super) fn mesh_delivery(&mut self, params: &TopicScoreParams) {
        if self.in_mesh() {
            self.mesh_deliveries = (self.mesh_deliveries + 1.0).min(params.mesh_deliveries_cap);
        }
    }

    /// The neighbour delivered an invalid message.
    pub(super) fn invalid_delivery(&mut self) {
        self.invalid += 1.0;
    }

    /// One decay interval has passed.
    pub(super) fn decay(&mut self, now: Instant, params: &ScoreParams) {
        let t = &params.topic;
        decay(&mut self.first_deliveries, t.first_deliveries_decay, params.decay_to_zero);
        decay(&mut self.mesh_deliveries, t.mesh_deliveries_decay, params.decay_to_zero);
        decay(&mut self.mesh_failure, t.mesh_failure_decay, params.decay_to_zero);
        decay(&mut self.invalid, t.invalid_decay, params.decay_to_zero);
        if self.in_mesh() {
            self.mesh_time = now.since(self.mesh_since);
            self.mesh_deliveries_active |= self.mesh_time > t.mesh_deliveries_activation;
        }
    }

    /// What a disconnected peer keeps: its faults.
    pub(super) fn disconnected(&mut self, params: &TopicScoreParams) {
        self.first_deliveries = 0.0;
        if self.in_mesh() {
            self.pruned(params);
        }
    }

    /// Forgets everything but the backoff.
    pub(super) fn forgive(&mut self) {
        *self = Self { backoff_until: self.backoff_until, ..Self::new(self.topic) };
    }

    fn deficit(&self, params: &TopicScoreParams) -> f64 {
        if self.mesh_deliveries_active && self.mesh_deliveries < params.mesh_deliveries_threshold {
            params.mesh_deliveries_threshold - self.mesh_deliveries
        } else {
            0.0
        }
    }

    /// `t * (w1 P1 + w2 P2 + w3 P3 + w3b P3b + w4 P4)`.
    pub(super) fn score(&self, params: &TopicScoreParams) -> f64 {
        let mut sum = 0.0;
        if self.in_mesh() {
            let quanta = self.mesh_time.as_nanos() / params.time_in_mesh_quantum.as_nanos();
            sum += (quanta as f64).min(params.time_in_mesh_cap) * params.time_in_mesh_weight;
        }
        sum += self.first_deliveries * params.first_deliveries_weight;
        let deficit = self.deficit(params);
        sum += deficit * deficit * params.mesh_deliveries_weight;
        sum += self.mesh_failure * params.mesh_failure_weight;
        sum += self.invalid * self.invalid * params.invalid_weight;
        sum * params.weight
    }

    /// Whether nothing is left that the next contact has to know.
    pub(super) fn is_blank(&self, now: Instant) -> bool {
        !self.in_mesh()
            && self.first_deliveries == 0.0
            && self.mesh_deliveries == 0.0
            && self.mesh_failure == 0.0
            && self.invalid == 0.0
            && self.backoff_until <= now
    }
}

/// Counters of one neighbour over all topics.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct PeerStats {
    /// P5.
    pub(super) app: f64,
    /// P7.
    behaviour: f64,
}

impl PeerStats {
    /// P7: the neighbour misbehaved `times` over.
    pub(super) fn penalise(&mut self, times: u32) {
        self.behaviour += f64::from(times);
    }

    pub(super) fn decay(&mut self, params: &ScoreParams) {
        decay(&mut self.behaviour, params.behaviour_decay, params.decay_to_zero);
    }

    /// The whole score, given the sum over topics and how many neighbours share this one's address (itself included).
    pub(super) fn total(&self, topics: f64, ip_peers: u32, params: &ScoreParams) -> f64 {
        let mut sum = topics;
        if params.topic_cap > 0.0 && sum > params.topic_cap {
            sum = params.topic_cap;
        }
        sum += self.app * params.app_weight;
        if ip_peers > params.ip_threshold {
            let surplus = f64::from(ip_peers - params.ip_threshold);
            sum += surplus * surplus * params.ip_weight;
        }
        if self.behaviour > params.behaviour_threshold {
            let excess = self.behaviour - params.behaviour_threshold;
            sum += excess * excess * params.behaviour_weight;
        }
        sum
    }
}

fn decay(counter: &mut f64, factor: f64, to_zero: f64) {
    *counter *= factor;
    if *counter < to_zero {
        *counter = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> ScoreParams {
        ScoreParams::evaluation()
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} != {b}");
    }

    #[test]
    fn time_in_mesh_counts_whole_quanta_up_to_the_cap() {
        let p = params();
        let mut stats = TopicStats::new(TopicRef(0));
        stats.grafted(at(1));
        // P3 would mix in: deliver enough to have no deficit.
        for _ in 0..400 {
            stats.mesh_delivery(&p.topic);
        }
        stats.decay(Instant::from_nanos(11_900_000_000), &p);
        close(stats.score(&p.topic), 0.25 * 10.0 * 0.0027);
        stats.decay(at(1 + 10_000), &p);
        stats.mesh_deliveries = 400.0;
        close(stats.score(&p.topic), 0.25 * 3600.0 * 0.0027);
    }

    #[test]
    fn first_deliveries_are_capped_and_decay_geometrically() {
        let p = params();
        let mut stats = TopicStats::new(TopicRef(0));
        for _ in 0..2000 {
            stats.first_delivery(&p.topic);
        }
        close(stats.score(&p.topic), 0.25 * 1500.0 * 0.664);
        stats.decay(at(1), &p);
        stats.decay(at(2), &p);
        close(stats.score(&p.topic), 0.25 * 1500.0 * 0.9916 * 0.9916 * 0.664);
    }

    /// The specification's tuning text computes 120 * 0.97 wrongly as 110.4.
    #[test]
    fn decay_of_120_by_three_percent_is_116_4() {
        let mut counter = 120.0;
        decay(&mut counter, 0.97, 0.01);
        close(counter, 116.4);
        let mut small = 0.0101;
        decay(&mut small, 0.97, 0.01);
        close(small, 0.0);
    }

    #[test]
    fn a_delivery_deficit_counts_only_after_activation_and_squared() {
        let p = params();
        let mut stats = TopicStats::new(TopicRef(0));
        stats.grafted(at(0));
        for _ in 0..4 {
            stats.mesh_delivery(&p.topic);
        }
        stats.decay(at(60), &p);
        close(stats.deficit(&p.topic), 0.0);
        stats.decay(at(61), &p);
        let deficit = 10.0 - 4.0 * 0.997 * 0.997;
        close(stats.score(&p.topic), 0.25 * (61.0 * 0.0027 - 0.25 * deficit * deficit));
        stats.pruned(&p.topic);
        // P3 itself stays until the next graft, and P3b comes on top.
        close(stats.score(&p.topic), 0.25 * (-0.25 * deficit * deficit - 0.25 * deficit * deficit));
    }

    #[test]
    fn invalid_messages_count_squared() {
        let p = params();
        let mut stats = TopicStats::new(TopicRef(0));
        for _ in 0..3 {
            stats.invalid_delivery();
        }
        close(stats.score(&p.topic), 0.25 * 9.0 * -99.0);
    }

    #[test]
    fn address_sharing_and_misbehaviour_count_squared_beyond_their_thresholds() {
        let p = ScoreParams { ip_weight: -10.0, ip_threshold: 2, ..params() };
        let mut stats = PeerStats::default();
        close(stats.total(1.0, 2, &p), 1.0);
        close(stats.total(1.0, 5, &p), 1.0 - 90.0);
        stats.penalise(6);
        close(stats.total(1.0, 0, &p), 1.0);
        stats.penalise(2);
        close(stats.total(1.0, 0, &p), 1.0 - 4.0 * 15.92);
    }

    /// The formal model's worked example for an Eth2 peer (gossipsubfm): five topics, 8.29 in all.
    #[test]
    fn topic_scores_of_the_formal_model_add_up() {
        let topics = 22.21 - 4.5 + 7.80 - 25.0 + 7.78;
        close(PeerStats::default().total(topics, 1, &ScoreParams::eth2()), 8.29);
        close(PeerStats::default().total(40.0, 1, &ScoreParams::eth2()), 32.72);
    }
}
