//! The `[gossip]` table: a named profile, the parameters of an interoperability test, and every field of
//! [`gossip::Config`](hyperspace_protocol::gossip::Config) under its own name.

use std::path::Path;

use hyperspace_protocol::gossip::{Config, ScoreParams, TopicScoreParams, Version};
use hyperspace_protocol::time::Duration;

use super::error::Fault;
use super::interop;
use super::keys::{Field, Kind, field};
use super::reader::{Reader, Setting, text};
use super::settings::settings;
use super::topology::read_text;

settings!(GOSSIP, read_config, write_config, Config {
    version: Version,
    heartbeat_interval: Duration,
    heartbeat_delay: Duration,
    mesh_degree: usize,
    mesh_degree_min: usize,
    mesh_degree_max: usize,
    mesh_degree_lazy: usize,
    mesh_degree_score: usize,
    mesh_degree_outbound: usize,
    history_length: usize,
    history_gossip: usize,
    seen_ttl: Duration,
    fanout_ttl: Duration,
    prune_backoff: Duration,
    unsubscribe_backoff: Duration,
    backoff_slack: Duration,
    gossip_factor: f64,
    flood_publish: bool,
    px_peers: usize,
    opportunistic_graft_ticks: u64,
    opportunistic_graft_peers: usize,
    explicit_check_ticks: u64,
    graft_flood_threshold: Duration,
    iwant_retransmissions: u32,
    iwant_followup: Duration,
    ihave_ids_max: usize,
    ihave_messages_max: u32,
    idontwant_size_min: usize,
    idontwant_max: u32,
    idontwant_ttl: u64,
    topics_max: usize,
    forward_to_author: bool,
    static_mesh: bool,
    scores: bool,
} also { score } with {
    field("profile", Kind::Choice(&Config::PROFILES), "Whose defaults: see the protocol's `Config`. Default \"hyperspace\" (our choice)."),
    field("interop", Kind::Text, "A `params.json` of gossipsub-interop in libp2p's test-plans: what its initGossipSub instructions set replaces the profile's values, before the keys of this table do. It leaves out what is go-libp2p's default, so use it with profile = \"go\". Default: none."),
    field("validation", Kind::Choice(&VALIDATION), "\"envelope\": payloads are signed envelopes that every peer verifies; \"none\": bare bytes. Default \"envelope\", as the specification demands."),
    field("score", Kind::Table(SCORE), "Weights and thresholds of the peer score.")
});

settings!(SCORE, read_score, write_score, ScoreParams {
    topic_cap: f64,
    app_weight: f64,
    ip_weight: f64,
    ip_threshold: u32,
    behaviour_weight: f64,
    behaviour_threshold: f64,
    behaviour_decay: f64,
    decay_interval: Duration,
    decay_to_zero: f64,
    retain: Duration,
    gossip_threshold: f64,
    publish_threshold: f64,
    graylist_threshold: f64,
    accept_px_threshold: f64,
    opportunistic_graft_threshold: f64,
} also { topic } with { field("topic", Kind::Table(TOPIC_SCORE), "The per-topic terms, P1 to P4.") });

settings!(TOPIC_SCORE, read_topic_score, write_topic_score, TopicScoreParams {
    weight: f64,
    time_in_mesh_weight: f64,
    time_in_mesh_quantum: Duration,
    time_in_mesh_cap: f64,
    first_deliveries_weight: f64,
    first_deliveries_decay: f64,
    first_deliveries_cap: f64,
    mesh_deliveries_weight: f64,
    mesh_deliveries_decay: f64,
    mesh_deliveries_cap: f64,
    mesh_deliveries_threshold: f64,
    mesh_deliveries_activation: Duration,
    mesh_deliveries_window: Duration,
    mesh_failure_weight: f64,
    mesh_failure_decay: f64,
    invalid_weight: f64,
    invalid_decay: f64,
} also {} with {});

const VALIDATION: [&str; 2] = ["envelope", "none"];

/// Reads `[gossip]`: the settings, and whether payloads are envelopes. `base` is where the scenario's files are.
pub(super) fn read(reader: &Reader<'_>, base: &Path) -> Result<(Config, bool), Fault> {
    let mut config = match reader.get("profile") {
        None => Config::hyperspace(),
        Some(node) => {
            let name = text(node)?;
            Config::profile(name)
                .ok_or_else(|| Fault::unknown(node.at, "profile", name, &Config::PROFILES))?
        }
    };
    let envelopes = match reader.get("validation") {
        None => true,
        Some(node) => match text(node)? {
            "envelope" => true,
            "none" => false,
            name => return Err(Fault::unknown(node.at, "validation", name, &VALIDATION)),
        },
    };
    if let Some(node) = reader.get("interop") {
        let path = base.join(text(node)?.trim());
        let json = read_text(&path).map_err(|message| Fault::new(node.at, message))?;
        interop::overlay(&mut config, &json)
            .map_err(|message| Fault::new(node.at, format!("{}: {message}", path.display())))?;
    }
    read_config(reader, &mut config)?;
    let score = reader.table("score", SCORE)?;
    read_score(&score, &mut config.score)?;
    read_topic_score(&score.table("topic", TOPIC_SCORE)?, &mut config.score.topic)?;
    Ok((config, envelopes))
}

/// Writes `[gossip]` with every field.
pub(super) fn write(config: &Config, envelopes: bool, out: &mut String) {
    out.push_str("\n[gossip]\n");
    out.push_str(if envelopes { "validation = \"envelope\"\n" } else { "validation = \"none\"\n" });
    write_config(config, out);
    out.push_str("\n[gossip.score]\n");
    write_score(&config.score, out);
    out.push_str("\n[gossip.score.topic]\n");
    write_topic_score(&config.score.topic, out);
}
