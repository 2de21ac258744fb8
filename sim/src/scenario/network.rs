//! The tables `[dht]` and `[cards]`: every field of [`kad::Config`](hyperspace_protocol::kad::Config) and
//! [`card::Config`](hyperspace_protocol::card::Config) under its own name.

use hyperspace_protocol::card::Config as CardConfig;
use hyperspace_protocol::kad::Config;
use hyperspace_protocol::time::Duration;

use super::discovery::{Dht, DhtStart};
use super::error::Fault;
use super::keys::{Field, Kind, field};
use super::reader::{Reader, Setting, text};
use super::settings::settings;

settings!(DHT, read_dht, write_dht, Config {
    k: usize,
    alpha: usize,
    alpha_stalled: usize,
    beta: usize,
    paths: usize,
    request_timeout: Duration,
    query_timeout: Duration,
    requests_max: usize,
    queries_max: usize,
    waiting_max: usize,
    probe_interval: Duration,
    keep_stale: bool,
    group_bucket_max: usize,
    group_table_max: usize,
    refresh_interval: Duration,
    bootstrap_delay: Duration,
    records_max: usize,
    records_bytes_max: usize,
    value_bytes_max: usize,
    record_ttl: Duration,
    replicate_interval: Duration,
    republish_interval: Duration,
    provider_keys_max: usize,
    providers_per_key_max: usize,
    keys_per_provider_max: usize,
    provider_ttl: Duration,
    reprovide_interval: Duration,
    own_max: usize,
    sweep_interval: Duration,
    quorum: usize,
    cache_peers: usize,
    providers_enough: usize,
} also {} with {
    field("profile", Kind::Choice(&Config::PROFILES), "Whose defaults: see the protocol's `kad::Config`. Default \"spec\"."),
    field("start", DhtStart::KIND, "What routing tables hold at the start: \"perfect\": of every bucket `k` servers at random, or all, as in a network long at rest; \"join\": the bootstrap peers. Default \"join\"."),
    field("bootstrap", Kind::Count, "Servers that a peer learns of when it comes up, from the honest ones that are up. Default 4 (our choice)."),
    field("dial_round_trips", Kind::Count, "Round trips before a request to a peer without a connection. Default 4: TCP, multistream-select, Noise, and the stream's protocol (our choice).")
});

settings!(CARDS, read_cards, write_cards, CardConfig {
    heartbeat_interval: Duration,
    ttl: Duration,
    card_interval_min: Duration,
    fetch_interval: Duration,
    followed_max: usize,
} also {} with {});

/// Reads `[dht]`.
pub(super) fn dht(reader: &Reader<'_>) -> Result<Dht, Fault> {
    let mut config = match reader.get("profile") {
        None => Config::spec(),
        Some(node) => {
            let name = text(node)?;
            Config::profile(name)
                .ok_or_else(|| Fault::unknown(node.at, "profile", name, &Config::PROFILES))?
        }
    };
    read_dht(reader, &mut config)?;
    Ok(Dht {
        config,
        start: reader.or("start", DhtStart::Join)?,
        bootstrap: reader.or("bootstrap", 4)?,
        dial_round_trips: reader.or("dial_round_trips", 4)?,
    })
}

/// Reads `[cards]`.
pub(super) fn cards(reader: &Reader<'_>) -> Result<CardConfig, Fault> {
    let mut config = CardConfig::default();
    read_cards(reader, &mut config)?;
    Ok(config)
}

/// Writes both with every field.
pub(super) fn write(dht: Option<&Dht>, cards: &CardConfig, out: &mut String) {
    if let Some(dht) = dht {
        out.push_str("\n[dht]\n");
        write_dht(&dht.config, out);
        out.push_str(&format!("start = {}\n", dht.start.write()));
        out.push_str(&format!("bootstrap = {}\n", dht.bootstrap));
        out.push_str(&format!("dial_round_trips = {}\n", dht.dial_round_trips));
    }
    out.push_str("\n[cards]\n");
    write_cards(cards, out);
}
