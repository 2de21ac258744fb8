//! Groups of peers: reading, writing and checking `[group.NAME]` and its churn.

use std::path::Path;
use std::sync::Arc;

use hyperspace_protocol::time::Duration;

use super::check::{Checked, ensure, name};
use super::discovery::GroupChurn;
use super::error::Fault;
use super::keys::{Field, Kind, field};
use super::model::{Behaviour, Group, Regions, Scenario};
use super::parse::region;
use super::reader::{Bits, Reader, Setting, text};
use super::topology::read_text;
use crate::churn::{Begin, Churn, Lifetime, Session, Trace};
use crate::net::LatencyModel;

pub(super) static CHURN: &[Field] = &[
    field(
        "session",
        Kind::Text,
        "Time from coming up to going down: \"constant:10m\", \"exponential:10m\" (the mean), \"weibull:0.5:5000s\" (shape, scale), \"lognormal:10m:1.2\" (median, sigma), or a published fit: \"kad\", \"red-hat\", \"debian\", \"flatout\". Required, but for a trace.",
    ),
    field(
        "offline",
        Kind::Text,
        "Time from going down to coming up again, in the same way. Required, but for a trace.",
    ),
    field("crash", Kind::Number, "Share of departures without goodbye. Default 1."),
    field(
        "keeps_state",
        Kind::Flag,
        "Whether a peer that comes back has what was on its disk: routing table, records, its card. Default false.",
    ),
    field(
        "begin",
        Begin::KIND,
        "\"steady\": as if it had gone on for ever; \"up\": all are up at the group's start. Default \"steady\".",
    ),
    field(
        "trace",
        Kind::Text,
        "Sessions from a file of lines `peer,up_s,down_s` or `peer,up_s,down_s,crash`, peers and seconds counted from 0. Instead of `session` and `offline`.",
    ),
    field("sessions", Kind::Array(&Kind::Text), "The lines of such a file, in place of `trace`."),
];

/// Reads `[group.NAME]`.
pub(super) fn read(group: &str, reader: &Reader<'_>, regions: &[&str], base: &Path) -> Result<Group, Fault> {
    let churn = reader.get("churn").map(|_| churn(&reader.table("churn", CHURN)?, base)).transpose()?;
    let defaults = Group::new(group, reader.required("count")?);
    Ok(Group {
        behaviour: reader.or("behaviour", Behaviour::Honest)?,
        start: reader.or("start", Duration::ZERO)?,
        dials: reader.or("dials", 0)?,
        ips: reader.or("ips", 0)?,
        regions: match reader.get("regions") {
            None => Regions::Even,
            Some(node) => match text(node)? {
                "even" => Regions::Even,
                "table" => Regions::Table,
                name => Regions::One(region(node.at, name, regions)?),
            },
        },
        churn,
        nat: reader.or("nat", false)?,
        relay: reader.or("relay", false)?,
        upload: reader.or("upload", Bits(0))?.0,
        download: reader.or("download", Bits(0))?.0,
        clock_skew: reader.or("clock_skew", Duration::ZERO)?,
        clock_drift: reader.or("clock_drift", 0.0)?,
        ..defaults
    })
}

fn churn(reader: &Reader<'_>, base: &Path) -> Result<GroupChurn, Fault> {
    let keeps_state = reader.or("keeps_state", false)?;
    let (crash, begin) = (reader.or("crash", 1.0)?, reader.or("begin", Begin::Steady)?);
    let lines = match (reader.get("trace"), reader.get("sessions")) {
        (None, None) => None,
        (Some(node), None) => {
            let path = base.join(text(node)?.trim());
            let lines = read_text(&path).map_err(|message| Fault::new(node.at, message))?;
            Some((node.at, path.display().to_string(), lines))
        }
        (None, Some(node)) => Some((node.at, "sessions".to_owned(), Vec::<String>::read(node)?.join("\n"))),
        (Some(_), Some(node)) => {
            return Err(Fault::new(node.at, "`sessions` and `trace` say the same thing: give one of them"));
        }
    };
    if let Some((at, source, lines)) = lines {
        for key in ["session", "offline", "crash", "begin"] {
            if let Some(node) = reader.get(key) {
                return Err(Fault::new(node.at, format!("`{key}` has no meaning beside a trace")));
            }
        }
        let trace = Trace::parse(&lines)
            .map_err(|(line, what)| Fault::new(at, format!("{source}:{line}: {what}")))?;
        return Ok(GroupChurn::Trace { trace: Arc::new(trace), keeps_state });
    }
    let lifetime = |key: &str| match reader.get(key) {
        None => Ok(None),
        Some(node) => Lifetime::parse(text(node)?)
            .map(Some)
            .map_err(|message| Fault::new(node.at, format!("`{key}`: {message}"))),
    };
    let (session, offline) = (lifetime("session")?, lifetime("offline")?);
    let missing = |key: &str| reader.missing(key).help("or `trace`, a file of sessions");
    Ok(GroupChurn::Drawn(Churn {
        session: session.ok_or_else(|| missing("session"))?,
        offline: offline.ok_or_else(|| missing("offline"))?,
        crash,
        keeps_state,
        begin,
    }))
}

/// Writes `[group.NAME]` with every field.
pub(super) fn write(group: &Group, regions: &[String], out: &mut String) {
    let mut line = |key: &str, value: String| out.push_str(&format!("{key} = {value}\n"));
    line("count", group.count.write());
    line("behaviour", group.behaviour.write());
    line("start", group.start.write());
    line("dials", group.dials.write());
    line("ips", group.ips.write());
    let place = match group.regions {
        Regions::Even => "even",
        Regions::Table => "table",
        Regions::One(index) => &regions[index as usize],
    };
    line("regions", place.to_owned().write());
    line("nat", group.nat.write());
    line("relay", group.relay.write());
    line("upload", Bits(group.upload).write());
    line("download", Bits(group.download).write());
    line("clock_skew", group.clock_skew.write());
    line("clock_drift", group.clock_drift.write());
    let Some(churn) = &group.churn else { return };
    out.push_str(&format!("\n[group.{}.churn]\n", group.name));
    let mut line = |key: &str, value: String| out.push_str(&format!("{key} = {value}\n"));
    line("keeps_state", churn.keeps_state().write());
    match churn {
        GroupChurn::Drawn(churn) => {
            line("session", churn.session.to_string().write());
            line("offline", churn.offline.to_string().write());
            line("crash", churn.crash.write());
            line("begin", churn.begin.write());
        }
        GroupChurn::Trace { trace, .. } => {
            let rows =
                (0..trace.peers()).flat_map(|peer| trace.sessions(peer).iter().map(move |s| row(peer, s)));
            line("sessions", rows.collect::<Vec<_>>().write());
        }
    }
}

fn row(peer: u32, session: &Session) -> String {
    let seconds = |nanos: u64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (up, down) = (session.up.as_nanos(), session.down.as_nanos());
    format!("{peer},{},{},{}", seconds(up), seconds(down), session.crash)
}

impl Scenario {
    /// What a group's settings mean together.
    pub(super) fn check_group(&self, path: &str, group: &Group) -> Checked {
        ensure(group.count > 0, format!("{path}.count"), || "a group needs at least 1 peer".into())?;
        ensure(group.start < self.run.duration, format!("{path}.start"), || {
            format!("the group starts at {}, after the end of the run ({})", group.start, self.run.duration)
        })?;
        ensure(u64::from(group.dials) <= self.dialable(), format!("{path}.dials"), || {
            format!(
                "{} dials, but only {} peers can be dialled (those of groups without `dials`)",
                group.dials,
                self.dialable()
            )
        })?;
        let regions = self.network.latency.region_names();
        let known = match group.regions {
            Regions::Even => true,
            Regions::Table => !regions.is_empty(),
            Regions::One(index) => (index as usize) < regions.len(),
        };
        ensure(known, format!("{path}.regions"), || "the latency model has no such regions".into())?;
        self.check_place(path, group)?;
        self.check_behaviour(path, group)?;
        match &group.churn {
            None => Ok(()),
            Some(churn) => self.check_churn(&format!("{path}.churn"), group, churn),
        }
    }

    fn check_place(&self, path: &str, group: &Group) -> Checked {
        ensure(!(group.nat && group.relay), format!("{path}.relay"), || {
            "a peer behind a NAT cannot relay for others: give relays a group of their own".into()
        })?;
        ensure(!group.nat || self.groups.iter().any(|g| g.relay), format!("{path}.nat"), || {
            "nobody could reach these peers: set relay = true in another group".into()
        })?;
        ensure((0.0..=0.01).contains(&group.clock_drift), format!("{path}.clock_drift"), || {
            format!("a drift is a share of time from 0 to 0.01 (10,000 ppm), got {}", group.clock_drift)
        })?;
        let day = Duration::from_secs(86_400);
        ensure(group.clock_skew <= day, format!("{path}.clock_skew"), || {
            format!("a clock is off by a day at most, got {}", group.clock_skew)
        })?;
        for (key, bits) in [("upload", group.upload), ("download", group.download)] {
            ensure(
                bits == 0 || (1_000..=1_000_000_000_000).contains(&bits),
                format!("{path}.{key}"),
                || format!("a bandwidth is from 1kbit/s to 1000Gbit/s, got {bits}bit/s"),
            )?;
        }
        Ok(())
    }

    fn check_behaviour(&self, path: &str, group: &Group) -> Checked {
        match group.behaviour {
            Behaviour::Honest | Behaviour::SybilFlood => Ok(()),
            Behaviour::DhtSybil | Behaviour::ProviderFlood => {
                ensure(self.dht.is_some(), format!("{path}.behaviour"), || {
                    "this network has no DHT to attack: add a table [dht]".into()
                })?;
                let serves = !group.nat || group.behaviour == Behaviour::ProviderFlood;
                ensure(serves, format!("{path}.nat"), || {
                    "a dht-sybil behind a NAT would serve no DHT, and get into no table".into()
                })
            }
        }
    }

    fn check_churn(&self, path: &str, group: &Group, churn: &GroupChurn) -> Checked {
        ensure(group.behaviour == Behaviour::Honest, path, || {
            "only honest peers come and go: an adversary's time is its own".into()
        })?;
        let until_idle = "run.until_idle";
        ensure(!self.run.until_idle, until_idle, || "peers that come and go never become idle".into())?;
        let lookahead = LatencyModel::new(&self.network, 0).lower_bound();
        match churn {
            GroupChurn::Drawn(churn) => {
                churn.check().or_else(|message| ensure(false, path, || message))?;
                let sessions = churn.expected_sessions(self.run.duration) * f64::from(group.count);
                ensure(sessions <= 20e6, path, || {
                    format!("about {sessions:.0} sessions in all are more than the 20 million of a run")
                })
            }
            GroupChurn::Trace { trace, .. } => {
                ensure(trace.shortest() >= lookahead, path, || {
                    format!(
                        "a session or gap of {} is shorter than the least latency ({lookahead}), in steps of which peers advance",
                        trace.shortest()
                    )
                })?;
                ensure(trace.peers() > 0, path, || {
                    "the trace has no sessions: nobody would ever be up".into()
                })?;
                ensure(trace.peers() <= group.count, path, || {
                    let (seen, count) = (trace.peers(), group.count);
                    format!("the trace has {seen} peers, the group only {count}: set count = {seen}")
                })
            }
        }
    }

    /// Names and numbers of all groups.
    pub(super) fn check_groups(&self) -> Checked {
        let total: u64 = self.groups.iter().map(|group| u64::from(group.count)).sum();
        for (index, group) in self.groups.iter().enumerate() {
            let path = format!("group.{}", group.name);
            name("group", &group.name).or_else(|message| ensure(false, path.as_str(), || message))?;
            ensure(group.name != "rest" && !group.name.contains('.'), path.as_str(), || {
                format!(
                    "a group cannot be named `{}`: \"rest\" is a side of partitions, and dots part the keys of a path",
                    group.name
                )
            })?;
            ensure(self.groups[..index].iter().all(|other| other.name != group.name), path.as_str(), || {
                format!("there are two groups named `{}`", group.name)
            })?;
            self.check_group(&path, group)?;
        }
        ensure(total <= Self::PEERS_MAX, largest_group(&self.groups), || {
            format!("{total} peers are more than the {} that one world holds", Self::PEERS_MAX)
        })?;
        ensure(self.groups.iter().any(|group| group.behaviour == Behaviour::Honest), "group", || {
            "no group is honest: there would be nothing to measure".into()
        })
    }
}

/// The path to blame for too many peers.
fn largest_group(groups: &[Group]) -> String {
    let largest = groups.iter().max_by_key(|group| group.count);
    largest.map_or("group".into(), |group| format!("group.{}.count", group.name))
}
