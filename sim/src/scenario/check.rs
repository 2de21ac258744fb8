//! What the values of a scenario mean together. Scenarios from files and scenarios built in Rust pass the same checks;
//! a [`Problem`] names the key to blame, from which the loader finds the line.

use hyperspace_protocol::time::Duration;

use super::metrics;
use super::model::{Action, Behaviour, Latency, LinkKind, Scenario, Side, Topology, Workload};
use crate::net::LATENCY_MAX;

/// Most links that each peer dials in a topology: a link's place has 16 bits, and as many links come in as go out. Our
/// bound.
const DIALS_MAX: u32 = 10_000;

/// A contradiction between values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key to blame, like `group.honest.count` or `workload.0.stop`.
    pub(super) path: String,
    /// What is wrong and what would be right.
    pub(super) message: String,
}

pub(super) type Checked = Result<(), Problem>;

pub(super) fn ensure(holds: bool, path: impl Into<String>, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Problem { path: path.into(), message: message() }) }
}

/// Names that become file names and path segments.
pub(super) fn name(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "the name of a {what} is 1 to 64 letters, digits, `-`, `_` or `.`, the first not a dot; got `{name}`"
    ))
}

impl Scenario {
    /// Most peers in one world. Our bound: block and peer numbers of the engine stay far below their 32 bits.
    pub const PEERS_MAX: u64 = 16_777_216;
    /// Most messages of all workloads together (our bound).
    pub const MESSAGES_MAX: u64 = 16_777_216;
    /// Longest run. Our bound: digests are kept for every epoch of a run.
    pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
    /// Largest payload: go-libp2p-pubsub's limit of a message.
    pub const SIZE_MAX: u32 = 1 << 20;

    /// Whether the values fit together.
    ///
    /// # Errors
    /// The key to blame, what is wrong with it and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.problem().map_err(|problem| format!("{}: {}", problem.path, problem.message))
    }

    pub(super) fn problem(&self) -> Checked {
        name("scenario", &self.name).or_else(|message| ensure(false, "name", || message))?;
        if let Some(arm) = &self.arm {
            name("arm", arm).or_else(|message| ensure(false, "arm", || message))?;
        }
        self.check_run()?;
        self.check_network()?;
        self.check_groups()?;
        self.check_topology()?;
        self.check_gossip()?;
        self.check_discovery()?;
        for (index, workload) in self.workloads.iter().enumerate() {
            self.check_workload(&format!("workload.{index}"), workload)?;
        }
        self.check_load()?;
        for (index, Action::Partition { at, length, a, b, .. }) in self.timeline.iter().enumerate() {
            let path = format!("at.{index}");
            ensure(!length.is_zero(), format!("{path}.for"), || {
                "a partition must last longer than 0s".into()
            })?;
            ensure(*at + *length <= self.run.duration, format!("{path}.t"), || {
                format!("the partition from {at} for {length} ends after the run ({})", self.run.duration)
            })?;
            self.check_sides(&path, a, b)?;
        }
        for expectation in &self.expectations {
            self.check_measured(&expectation.metric)?;
            metrics::check_name(&expectation.metric)
                .or_else(|message| ensure(false, "expect", || message))?;
        }
        Ok(())
    }

    /// Whether a run measures something at all.
    fn check_measured(&self, metric: &str) -> Checked {
        let has = |wanted: fn(&Workload) -> bool| self.workloads.iter().any(wanted);
        let publishes = has(|w| matches!(w, Workload::Publish { .. } | Workload::G8 { .. }));
        let needs = [
            ("delivery.", publishes, "a publish or g8 workload"),
            ("sum_t", has(|w| matches!(w, Workload::G8 { .. })), "a g8 workload"),
            ("dht.", self.dht.is_some(), "a table [dht]"),
            ("churn.", self.groups.iter().any(|g| g.churn.is_some()), "a group with churn"),
            ("cards.", has(|w| matches!(w, Workload::Cards(_))), "a cards workload"),
            ("ring.", has(|w| matches!(w, Workload::Ring(_))), "a ring workload"),
            ("calls.", has(|w| matches!(w, Workload::Call(_))), "a call workload"),
            ("graph.", self.run.graph, "run.graph = true"),
        ];
        for (prefix, has, what) in needs {
            ensure(has || !metric.starts_with(prefix), "expect", || {
                format!("`{metric}` is measured only with {what}")
            })?;
        }
        Ok(())
    }

    fn check_run(&self) -> Checked {
        let run = &self.run;
        ensure(!run.duration.is_zero(), "run.duration", || "the run must last longer than 0s".into())?;
        ensure(run.duration <= Self::DURATION_MAX, "run.duration", || {
            format!("a run of {} is longer than 30 days", run.duration)
        })?;
        ensure(run.warmup < run.duration, "run.warmup", || {
            format!("the warmup ({}) must end before the run does ({})", run.warmup, run.duration)
        })?;
        ensure(run.warmup + run.drain < run.duration, "run.drain", || {
            format!(
                "warmup ({}) and drain ({}) leave nothing of the run ({}) to measure",
                run.warmup, run.drain, run.duration
            )
        })
    }

    fn check_network(&self) -> Checked {
        let network = &self.network;
        ensure((0.0..=10.0).contains(&network.jitter), "network.jitter", || {
            format!("jitter must be a share from 0 to 10 (1000%), got {}", network.jitter)
        })?;
        ensure((0.0..1.0).contains(&network.loss), "network.loss", || {
            format!("loss must be a probability from 0 to below 1, got {}", network.loss)
        })?;
        ensure(!network.latency_min.is_zero(), "network.latency_min", || {
            "latency_min must be above 0s: peers advance in steps of it".into()
        })?;
        let largest = match &network.latency {
            Latency::Constant(latency) => Some(*latency),
            Latency::Uniform(low, high) => {
                ensure(low <= high, "network.latency", || format!("the range {low}..{high} is empty"))?;
                Some(*high)
            }
            Latency::Regions(table) => Some(table.longest()),
            Latency::Topology => None,
        };
        let shares = [
            ("duplicate", network.duplicate),
            ("reorder", network.reorder),
            ("hole_punching", network.hole_punching),
        ];
        for (key, share) in shares {
            ensure((0.0..=1.0).contains(&share), format!("network.{key}"), || {
                format!("{key} must be a share from 0 to 1 (100%), got {share}")
            })?;
        }
        for (key, share) in &shares[..2] {
            ensure(*share == 0.0 || network.link == LinkKind::Datagram, format!("network.{key}"), || {
                format!("a stream does not {key} frames: set link = \"datagram\"")
            })?;
        }
        ensure(network.line_queue >= 65_536, "network.line_queue", || {
            format!("line_queue must hold a frame, at least 64KiB; got {}B", network.line_queue)
        })?;
        ensure(largest.is_none_or(|largest| !largest.is_zero()), "network.latency", || {
            "a latency must be above 0s: peers advance in steps of the smallest one".into()
        })?;
        let longest = largest.unwrap_or_default().max(network.latency_min);
        ensure(longest <= LATENCY_MAX, "network.latency", || {
            format!("a latency of {longest} is above the {LATENCY_MAX} that a link can have")
        })?;
        ensure(largest.is_none_or(|largest| network.latency_min <= largest), "network.latency_min", || {
            format!("latency_min ({}) is above every latency of the model", network.latency_min)
        })?;
        ensure(
            network.latency != Latency::Topology || network.topology == Topology::G8,
            "network.latency",
            || "latency \"topology\" needs a topology that gives latencies: only \"g8\" does".into(),
        )?;
        for (key, value) in [("retransmit", network.retransmit), ("stream_timeout", network.stream_timeout)] {
            ensure(!value.is_zero(), format!("network.{key}"), || format!("{key} must be above 0s"))?;
        }
        ensure(network.retransmit <= network.stream_timeout, "network.retransmit", || {
            format!(
                "retransmit ({}) must not be above stream_timeout ({})",
                network.retransmit, network.stream_timeout
            )
        })?;
        ensure((1..=u32::from(u16::MAX)).contains(&network.queue_max), "network.queue_max", || {
            format!("queue_max must be from 1 to {}, got {}", u16::MAX, network.queue_max)
        })
    }

    /// Peers of groups that take part in the topology.
    pub(super) fn dialable(&self) -> u64 {
        self.groups.iter().filter(|group| group.dials == 0).map(|group| u64::from(group.count)).sum()
    }

    fn check_topology(&self) -> Checked {
        let peers = self.dialable();
        let path = "network.topology";
        ensure(peers > 0, path, || "no peer takes part in the topology: every group has `dials`".into())?;
        match &self.network.topology {
            Topology::None => Ok(()),
            Topology::KOut(k) | Topology::Ring(k) | Topology::SmallWorld(k, _) | Topology::ScaleFree(k) => {
                if let Topology::SmallWorld(_, share) = self.network.topology {
                    ensure((0.0..=1.0).contains(&share), path, || {
                        format!("the share of links led astray must be from 0 to 1, got {share}")
                    })?;
                }
                ensure(*k <= DIALS_MAX, path, || {
                    format!("{k} links per peer are more than the {DIALS_MAX} that a peer may dial")
                })?;
                ensure(*k > 0, path, || "the number of links must be at least 1".into())?;
                ensure(u64::from(*k) < peers, path, || {
                    format!(
                        "each peer would dial {k} others, but only {peers} peers take part in the topology: set network.topology (\"k-out:10\" by default) to a smaller number of links"
                    )
                })
            }
            Topology::G8 => ensure(peers >= 3, path, || format!("g8 needs at least 3 peers, got {peers}")),
            Topology::Edges(edges) => {
                let mut seen = Vec::with_capacity(edges.len());
                for &(a, b) in edges {
                    ensure(a != b, path, || format!("peer {a} has a link to itself"))?;
                    ensure(u64::from(a.max(b)) < peers, path, || {
                        format!(
                            "the edge {a} {b} names peer {}, but peers are numbered 0 to {}",
                            a.max(b),
                            peers - 1
                        )
                    })?;
                    seen.push((a.min(b), a.max(b)));
                }
                let mut degrees = vec![0_u32; peers as usize];
                for &(a, b) in edges {
                    degrees[a as usize] += 1;
                    degrees[b as usize] += 1;
                }
                let crowded = degrees.iter().position(|d| *d > u32::from(u16::MAX));
                ensure(crowded.is_none(), path, || {
                    format!("peer {} has more than {} links", crowded.unwrap_or(0), u16::MAX)
                })?;
                seen.sort_unstable();
                let twice = seen.windows(2).find(|pair| pair[0] == pair[1]);
                ensure(twice.is_none(), path, || {
                    let (a, b) = twice.map_or((0, 0), |pair| pair[0]);
                    format!("the edge {a} {b} is there twice")
                })
            }
        }
    }

    /// The DHT and the cards.
    fn check_discovery(&self) -> Checked {
        if let Some(dht) = &self.dht {
            dht.config.check().or_else(|message| ensure(false, "dht", || message))?;
            ensure(dht.dial_round_trips <= 20, "dht.dial_round_trips", || {
                format!("a handshake takes at most 20 round trips, got {}", dht.dial_round_trips)
            })?;
            let intervals = [
                ("sweep_interval", dht.config.sweep_interval),
                ("refresh_interval", dht.config.refresh_interval),
                ("replicate_interval", dht.config.replicate_interval),
                ("republish_interval", dht.config.republish_interval),
                ("reprovide_interval", dht.config.reprovide_interval),
            ];
            for (key, interval) in intervals {
                let fits = interval.is_zero() || interval >= Duration::from_millis(100);
                ensure(fits, format!("dht.{key}"), || {
                    format!(
                        "an interval of {interval} would take all the time: at least 100ms, or 0s to switch it off"
                    )
                })?;
            }
            ensure((1..=64).contains(&dht.bootstrap), "dht.bootstrap", || {
                format!("a peer learns of 1 to 64 servers when it comes up, got {}", dht.bootstrap)
            })?;
            ensure(self.groups.iter().any(|group| !group.nat), "dht", || {
                "every group is behind a NAT: nobody could serve the DHT".into()
            })?;
        }
        self.cards.check().or_else(|message| ensure(false, "cards", || message))
    }

    fn check_gossip(&self) -> Checked {
        if let Err(message) = self.gossip.check() {
            return Err(Problem { path: "gossip".into(), message });
        }
        ensure(
            !self.gossip.heartbeat_interval.is_zero() || self.gossip.static_mesh,
            "gossip.heartbeat_interval",
            || "without heartbeats no mesh is kept: set static_mesh = true as well".into(),
        )?;
        ensure(
            self.gossip.heartbeat_interval.is_zero() || !self.gossip.static_mesh,
            "gossip.static_mesh",
            || "a static mesh has no heartbeats: set heartbeat_interval = \"0s\" as well".into(),
        )?;
        let sybil = self.groups.iter().any(|group| group.behaviour == Behaviour::SybilFlood);
        ensure(!(sybil && self.gossip.static_mesh), "gossip.static_mesh", || {
            "a sybil-flood grafts itself into meshes: a static mesh has no place to take".into()
        })
    }

    fn check_sides(&self, path: &str, a: &Side, b: &Side) -> Checked {
        for (key, side) in [("a", a), ("b", b)] {
            let path = format!("{path}.{key}");
            match side {
                Side::Group(index) => {
                    ensure((*index as usize) < self.groups.len(), path, || "no such group".into())?
                }
                Side::Region(index) => {
                    let regions = self.network.latency.region_names().len();
                    ensure((*index as usize) < regions, path, || {
                        "the latency model has no such region".into()
                    })?;
                }
                Side::Share(share) => ensure(*share > 0.0 && *share < 1.0, path, || {
                    format!("a share must be between 0 and 1, both excluded, got {share}")
                })?,
                Side::Rest => {}
            }
        }
        ensure(a != b, format!("{path}.b"), || "both sides of the partition are the same".into())?;
        let overlap = matches!((a, b), (Side::Share(_), Side::Share(_)));
        ensure(!overlap, format!("{path}.b"), || {
            "two shares overlap: the other side of a share is \"rest\"".into()
        })
    }
}
