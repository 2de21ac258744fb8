//! Kademlia settings and the named profiles.
//!
//! As with GossipSub the text and the stacks disagree (parallelism, when a lookup ends, republishing), so a profile
//! names whose numbers they are. Sources: libp2p/specs@7740c07 kad-dht and, where it says "as in Kademlia", Maymounkov
//! and Mazieres, IPTPS 2002 (`spec`); go-libp2p-kad-dht@2a10abd with its `amino` defaults (`go`); rust-libp2p@6348a0b
//! protocols/kad (`rust`). Bounds that no source has are marked "our choice".

use crate::time::Duration;

const HOUR: u64 = 3600;

/// Settings of one Kademlia machine. Durations are virtual or real time of the driver's clock.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// k: contacts per bucket, contacts in a response, peers that store a value. 1 to 128.
    pub k: usize,
    /// alpha: requests of one lookup on their way at once. At least 1.
    pub alpha: usize,
    /// The same while alpha answers in a row brought nothing closer. At least `alpha`.
    pub alpha_stalled: usize,
    /// beta: a lookup has converged when so many of the closest contacts have answered; it then asks the rest of the
    /// `k` closest and learns no more from them. 1 to `k`; with `k` there is no rest.
    pub beta: usize,
    /// d of S/Kademlia (Baumgart and Mies, ICPADS 2007): disjoint paths per lookup, which share `alpha`. 1 to 16.
    pub paths: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long a query may take as a whole.
    pub query_timeout: Duration,
    /// Requests one lookup may make. Ends a lookup led on by ever closer invented contacts. At least `k`.
    pub requests_max: usize,
    /// Queries of the application at once; more are refused.
    pub queries_max: usize,

    /// Newcomers that wait for a place in a full bucket; the oldest goes first. 0 to 127.
    pub waiting_max: usize,
    /// Least time between two probes of the same bucket for the sake of newcomers.
    pub probe_interval: Duration,
    /// Whether a contact that fails stays in the table until somebody wants its place (else it goes at once).
    pub keep_stale: bool,
    /// Contacts of one address group in one bucket, waiting ones included; 0 for any number.
    pub group_bucket_max: usize,
    /// Contacts of one address group in the whole table, waiting ones included; 0 for any number.
    pub group_table_max: usize,

    /// Time between refreshes of the table (own key, then every bucket in use); zero switches them off.
    pub refresh_interval: Duration,
    /// From the first contact of an empty table to the first refresh, which is the bootstrap.
    pub bootstrap_delay: Duration,

    /// Values of others stored; the one farthest from our own key goes first.
    pub records_max: usize,
    /// Bytes of keys and values of others stored in all; the farthest goes first.
    pub records_bytes_max: usize,
    /// Bytes of one value; a longer one is refused.
    pub value_bytes_max: usize,
    /// How long a value lives after it was last put.
    pub record_ttl: Duration,
    /// How long after a value last came in its holder puts it to the `k` closest again (plus up to a quarter of that at
    /// random, so that one of `k` holders does it for all); zero switches it off.
    pub replicate_interval: Duration,
    /// How often we put our own values again; zero switches it off.
    pub republish_interval: Duration,

    /// Keys with providers stored; the one farthest from our own key goes first. At least 1.
    pub provider_keys_max: usize,
    /// Providers stored of one key; further ones are refused while those live. At least 1.
    pub providers_per_key_max: usize,
    /// Keys stored of one provider; further ones are refused while those live. At least 1.
    pub keys_per_provider_max: usize,
    /// How long a provider record lives after it last came in.
    pub provider_ttl: Duration,
    /// How often we announce again what we provide; zero switches it off.
    pub reprovide_interval: Duration,
    /// Our own values, and as many keys that we provide; more are refused.
    pub own_max: usize,
    /// How often expired records are thrown away. Before that they take up memory but are not served.
    pub sweep_interval: Duration,

    /// Answers with a value that end a GET_VALUE query. At least 1.
    pub quorum: usize,
    /// Peers closest to the key that had no value and get the one found.
    pub cache_peers: usize,
    /// Providers that end a GET_PROVIDERS query, and the most it returns. At least 1.
    pub providers_enough: usize,
}

impl Config {
    /// The names of all profiles, as scenario files use them.
    pub const PROFILES: [&'static str; 3] = ["spec", "go", "rust"];

    /// The profile of that name.
    pub fn profile(name: &str) -> Option<Self> {
        Some(match name {
            "spec" => Self::spec(),
            "go" => Self::go(),
            "rust" => Self::rust(),
            _ => return None,
        })
    }

    /// The text: k = 20, alpha = 10, a lookup ends when the k closest have answered, contacts that fail stay until
    /// somebody wants their place, refresh every 10 min, providers again after 22 h and expired after 48 h. The paper's
    /// values are put again every hour by their holders. Bounds of the stores are rust-libp2p's.
    pub fn spec() -> Self {
        Self {
            alpha: 10,
            alpha_stalled: 10,
            // "A replacement cache", of no given size: our choice.
            waiting_max: 8,
            keep_stale: true,
            refresh_interval: Duration::from_secs(600),
            reprovide_interval: Duration::from_secs(22 * HOUR),
            // The text has no caching but correction of those "among the closest".
            cache_peers: 20,
            ..Self::rust()
        }
    }

    /// go-libp2p-kad-dht: alpha = 10 and beta = 3, contacts that fail are removed, holders do not put values again, no
    /// more than 3 contacts of an address group (2 per bucket) as kubo has it.
    pub fn go() -> Self {
        Self {
            alpha: 10,
            alpha_stalled: 10,
            beta: 3,
            group_bucket_max: 2,
            group_table_max: 3,
            refresh_interval: Duration::from_secs(600),
            replicate_interval: Duration::ZERO,
            reprovide_interval: Duration::from_secs(22 * HOUR),
            // GetValue without options asks until the lookup ends.
            quorum: 20,
            cache_peers: 20,
            ..Self::rust()
        }
    }

    /// rust-libp2p's defaults: alpha = 3, up to k requests while a lookup stalls, one newcomer waiting per bucket.
    pub fn rust() -> Self {
        Self {
            k: 20,
            alpha: 3,
            alpha_stalled: 20,
            beta: 20,
            paths: 1,
            // ClosestPeersIterConfig::peer_timeout; a minute for the whole (QueryConfig).
            request_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(60),
            // Our choice: several times what a lookup among a million peers takes when half of them are gone.
            requests_max: 400,
            // Our choice.
            queries_max: 64,
            // One pending node, for 60 s.
            waiting_max: 1,
            probe_interval: Duration::from_secs(60),
            keep_stale: false,
            group_bucket_max: 0,
            group_table_max: 0,
            // periodic_bootstrap_interval, and its automatic_bootstrap_throttle.
            refresh_interval: Duration::from_secs(300),
            bootstrap_delay: Duration::from_millis(500),
            // MemoryStoreConfig; the bytes in all are our choice.
            records_max: 1024,
            records_bytes_max: 16 << 20,
            value_bytes_max: 65 * 1024,
            record_ttl: Duration::from_secs(48 * HOUR),
            replicate_interval: Duration::from_secs(HOUR),
            republish_interval: Duration::from_secs(22 * HOUR),
            provider_keys_max: 1024,
            providers_per_key_max: 20,
            // Our choice: an eighth of the keys.
            keys_per_provider_max: 128,
            provider_ttl: Duration::from_secs(48 * HOUR),
            reprovide_interval: Duration::from_secs(12 * HOUR),
            own_max: 1024,
            // As go's provider garbage collection.
            sweep_interval: Duration::from_secs(HOUR),
            quorum: 1,
            // Caching::Enabled { max_peers: 1 }.
            cache_peers: 1,
            providers_enough: 20,
        }
    }

    /// What contradicts itself in these settings, if anything.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("k", self.k, 1, 128),
            ("alpha", self.alpha, 1, usize::MAX),
            ("alpha_stalled", self.alpha_stalled, self.alpha, usize::MAX),
            ("beta", self.beta, 1, self.k),
            ("paths", self.paths, 1, 16),
            ("requests_max", self.requests_max, self.k, usize::MAX),
            ("queries_max", self.queries_max, 1, usize::MAX),
            ("waiting_max", self.waiting_max, 0, 127),
            ("providers_per_key_max", self.providers_per_key_max, 1, usize::MAX),
            ("keys_per_provider_max", self.keys_per_provider_max, 1, usize::MAX),
            ("provider_keys_max", self.provider_keys_max, 1, usize::MAX),
            ("quorum", self.quorum, 1, usize::MAX),
            ("providers_enough", self.providers_enough, 1, usize::MAX),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let most = if most == usize::MAX { String::new() } else { format!(" and at most {most}") };
                return Err(format!("{name} must be at least {least}{most}, got {value}"));
            }
        }
        let times = [
            ("request_timeout", self.request_timeout),
            ("query_timeout", self.query_timeout),
            ("record_ttl", self.record_ttl),
            ("provider_ttl", self.provider_ttl),
            ("sweep_interval", self.sweep_interval),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(format!("{name} must not be zero")),
            None => Ok(()),
        }
    }
}

/// The specification's text.
impl Default for Config {
    fn default() -> Self {
        Self::spec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_sound_and_has_its_source_s_numbers() {
        let table = Config::PROFILES.map(|name| {
            let c = Config::profile(name).expect("listed");
            assert_eq!(c.check(), Ok(()), "{name}");
            (
                (c.k, c.alpha, c.alpha_stalled, c.beta, c.waiting_max, c.keep_stale),
                (c.query_timeout.as_secs(), c.refresh_interval.as_secs()),
                [c.record_ttl, c.replicate_interval, c.republish_interval].map(|d| d.as_secs() / HOUR),
                [c.provider_ttl, c.reprovide_interval].map(|d| d.as_secs() / HOUR),
                (c.quorum, c.group_table_max),
            )
        });
        assert_eq!(
            table,
            [
                ((20, 10, 10, 20, 8, true), (60, 600), [48, 1, 22], [48, 22], (1, 0)),
                ((20, 10, 10, 3, 1, false), (60, 600), [48, 0, 22], [48, 22], (20, 3)),
                ((20, 3, 20, 20, 1, false), (60, 300), [48, 1, 22], [48, 12], (1, 0)),
            ]
        );
        assert_eq!(Config::profile("nonsense"), None);
    }

    #[test]
    fn contradictions_are_named() {
        let spec = Config::spec;
        let cases = [
            (Config { k: 0, ..spec() }, "k must be"),
            (Config { k: 129, requests_max: 999, ..spec() }, "k must be"),
            (Config { alpha: 0, ..spec() }, "alpha must be"),
            (Config { alpha_stalled: 9, ..spec() }, "alpha_stalled must be at least 10"),
            (Config { beta: 21, ..spec() }, "beta must be at least 1 and at most 20"),
            (Config { paths: 17, ..spec() }, "paths"),
            (Config { requests_max: 19, ..spec() }, "requests_max"),
            (Config { waiting_max: 128, ..spec() }, "waiting_max"),
            (Config { request_timeout: Duration::ZERO, ..spec() }, "request_timeout must not be zero"),
        ];
        for (config, start) in cases {
            let error = config.check().expect_err(start);
            assert!(error.starts_with(start), "{error}");
        }
    }
}
