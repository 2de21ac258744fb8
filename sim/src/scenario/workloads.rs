//! `[[workload]]`: which keys each kind takes, and reading, writing and checking them.

use core::num::NonZeroU16;

use hyperspace_protocol::envelope::sign::EMIT_MAX;
use hyperspace_protocol::ring::Vnodes;
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::topic::Topic;

use super::calls;
use super::check::{Checked, ensure};
use super::discovery::{CardTopics, CardsWorkload, Lookups, RecordKind, Records, RingWorkload};
use super::error::Fault;
use super::keys::{Field, Kind, field};
use super::model::{Behaviour, Group, Run, Scenario, Topology, Workload};
use super::parse::{both, group_index};
use super::reader::{Rate, Reader, Setting, Size, text};

/// Every kind with the keys it takes besides `kind`.
const KINDS: [(&str, &[&str]); 8] = [
    ("publish", &["from", "topic", "rate", "interval", "size", "sources", "start", "stop", "messages"]),
    ("g8", &["messages", "size"]),
    ("lookup", &["from", "rate", "interval", "start", "stop", "messages"]),
    ("provide", &["from", "keys", "copies", "rate", "interval", "start", "ask", "stop"]),
    ("put", &["from", "keys", "size", "rate", "interval", "start", "ask", "stop"]),
    ("cards", &["from", "followers", "follow", "topics"]),
    ("ring", &["from", "vnodes", "keys", "replicas"]),
    ("call", &["from", "method", "params", "rate", "interval", "start", "stop", "messages", "topics"]),
];

const NAMES: [&str; 8] = {
    let mut names = [""; 8];
    let mut at = 0;
    while at < names.len() {
        names[at] = KINDS[at].0;
        at += 1;
    }
    names
};

pub(super) static WORKLOAD: &[Field] = &[
    field(
        "kind",
        Kind::Choice(&NAMES),
        "\"publish\": messages at a steady rate, each by a random peer; \"g8\": the messages of the g8 workload; \"lookup\": random peers look for the DHT servers closest to random keys; \"provide\" and \"put\": peers store provider records or values in the DHT, which random peers then look up; \"cards\": every peer announces a capability card and follows some others; \"ring\": keys placed on the hash ring of those who are up; \"call\": random peers call a method of the primitives. Required.",
    ),
    field("from", Kind::Text, "Whose peers do it. Default \"honest\". All kinds but g8."),
    field("topic", Kind::Text, "publish. Default \"hyperspace/trajectories/web-research\" (our choice)."),
    field(
        "rate",
        Kind::Rate,
        "Messages or questions per time: \"10/s\", \"6/m\". This or `interval`. publish, lookup, provide, put, call.",
    ),
    field("interval", Kind::Duration, "Time between two. This or `rate`."),
    field(
        "size",
        Kind::Size,
        "Bytes of a payload; an envelope is filled up to this. publish, g8, put. Default \"1KiB\", as in the g8 workload.",
    ),
    field(
        "sources",
        Kind::Count,
        "publish: how many peers of the group publish, drawn once. Default 0: all may.",
    ),
    field(
        "start",
        Kind::Duration,
        "First message or question; provide, put: first record. Default: the end of the warmup.",
    ),
    field("stop", Kind::Duration, "None at or after this. Default: where the drain begins."),
    field(
        "messages",
        Kind::Count,
        "No more than this. publish, lookup, call: default 0, no limit. g8: default 10.",
    ),
    field(
        "keys",
        Kind::Count,
        "provide, put: how many records, stored one after the other between `start` and `ask`; ring: how many keys. Default 100; ring: 10000.",
    ),
    field("copies", Kind::Count, "provide: how many peers provide each key. Default 3 (our choice)."),
    field(
        "ask",
        Kind::Duration,
        "provide, put: the first question. Default: half of the way from `start` to `stop`.",
    ),
    field(
        "follow",
        Kind::Count,
        "cards: how many others each peer follows, drawn once. Default 20 (our choice).",
    ),
    field("followers", Kind::Text, "cards: the group whose peers follow. Default: the one that announces."),
    field(
        "topics",
        Kind::TextOrTexts,
        "cards: \"per-peer\", a topic for each peer as in the specification, or \"buckets:16\", so many topics that peers share. Default \"per-peer\". call: an array of the task types, or names of topics, that agents may gossip about besides memories. Default: none.",
    ),
    field("method", Kind::Choice(&calls::METHODS), "call: which method. Required there."),
    field(
        "params",
        Kind::Text,
        "call: its parameters, a JSON object as text, in which {n} stands for the call's number and {peer} for the caller's, both from 0 on. Default \"{}\".",
    ),
    field(
        "vnodes",
        Kind::Text,
        "ring: \"per-peer:150\", \"total-rendezvous:750\" or \"total-floor:750\". Default \"per-peer:150\".",
    ),
    field("replicas", Kind::Count, "ring: peers that hold each key. Default 3, as in the specification."),
];

/// Reads one workload.
pub(super) fn read(reader: &Reader<'_>, run: &Run, groups: &[Group]) -> Result<Workload, Fault> {
    let kind = reader.get("kind").ok_or_else(|| reader.missing("kind"))?;
    let name = text(kind)?;
    let Some((_, keys)) = KINDS.iter().find(|(known, _)| *known == name) else {
        return Err(Fault::unknown(kind.at, "kind of workload", name, &NAMES));
    };
    for field in &WORKLOAD[1..] {
        if let Some(node) = reader.get(field.key).filter(|_| !keys.contains(&field.key)) {
            let message = format!("`{}` has no meaning in a {name} workload", field.key);
            return Err(Fault::new(node.at, message).help(format!("it takes {}", keys.join(", "))));
        }
    }
    let group = || {
        let (at, name) = match reader.get("from") {
            Some(node) => (node.at, text(node)?),
            None => (reader.at, "honest"),
        };
        group_index(at, name, groups)
    };
    let size = reader.or("size", Size(1024))?.0;
    let start = reader.or("start", run.warmup)?;
    let stop = reader.or("stop", run.duration.saturating_sub(run.drain))?;
    Ok(match name {
        "g8" => Workload::G8 { messages: reader.or("messages", 10)?, size },
        "lookup" => Workload::Lookups(Lookups {
            group: group()?,
            interval: interval(reader)?,
            start,
            stop,
            count: reader.or("messages", 0)?,
        }),
        "provide" | "put" => {
            Workload::Records(records(reader, name == "put", group()?, (size, start, stop))?)
        }
        "cards" => Workload::Cards(CardsWorkload {
            group: group()?,
            followers: match reader.get("followers") {
                Some(node) => group_index(node.at, text(node)?, groups)?,
                None => group()?,
            },
            follow: reader.or("follow", 20)?,
            topics: reader.or("topics", CardTopics::PerPeer)?,
        }),
        "ring" => Workload::Ring(RingWorkload {
            group: group()?,
            vnodes: reader.or("vnodes", Vnodes::default())?,
            keys: reader.or("keys", 10_000)?,
            replicas: reader.or("replicas", 3)?,
        }),
        "call" => Workload::Call(calls::read(reader, group()?, interval(reader)?, (start, stop))?),
        _ => Workload::Publish {
            group: group()?,
            topic: reader.or("topic", "hyperspace/trajectories/web-research".to_owned())?,
            interval: interval(reader)?,
            size,
            sources: reader.or("sources", 0)?,
            start,
            stop,
            messages: reader.or("messages", 0)?,
        },
    })
}

fn records(
    reader: &Reader<'_>,
    values: bool,
    group: u32,
    (size, start, stop): (u32, Duration, Duration),
) -> Result<Records, Fault> {
    let half = Duration::from_nanos(stop.saturating_sub(start).as_nanos() / 2);
    Ok(Records {
        kind: if values { RecordKind::Values } else { RecordKind::Providers },
        group,
        keys: reader.or("keys", 100)?,
        copies: if values { 1 } else { reader.or("copies", 3)? },
        size,
        start,
        ask: reader.or("ask", start + half)?,
        interval: interval(reader)?,
        stop,
    })
}

fn interval(reader: &Reader<'_>) -> Result<Duration, Fault> {
    match (reader.read::<Rate>("rate")?, reader.read::<Duration>("interval")?) {
        (Some(Rate(interval)), None) | (None, Some(interval)) => Ok(interval),
        (None, None) => Err(reader.missing("rate")),
        (Some(_), Some(_)) => Err(both(reader, "interval", "rate")),
    }
}

impl Setting for CardTopics {
    const KIND: Kind = Kind::Text;
    fn read(node: &super::tree::Node) -> Result<Self, Fault> {
        let shown = text(node)?;
        let buckets = shown.strip_prefix("buckets:").and_then(|n| n.trim().parse().ok());
        match (shown, buckets) {
            ("per-peer", _) => Ok(Self::PerPeer),
            (_, Some(n)) => Ok(Self::Buckets(n)),
            (_, None) => {
                Err(Fault::new(node.at, format!("unknown topics `{shown}`")).help("per-peer or buckets:16"))
            }
        }
    }
    fn write(&self) -> String {
        match self {
            Self::PerPeer => "\"per-peer\"".into(),
            Self::Buckets(n) => format!("\"buckets:{n}\""),
        }
    }
}

impl Setting for Vnodes {
    const KIND: Kind = Kind::Text;
    fn read(node: &super::tree::Node) -> Result<Self, Fault> {
        let shown = text(node)?;
        let number = |n: &str| n.trim().parse::<NonZeroU16>().ok();
        let parsed = shown.split_once(':').and_then(|(kind, n)| match kind {
            "per-peer" => number(n).map(Self::PerPeer),
            "total-rendezvous" => number(n).map(Self::TotalRendezvous),
            "total-floor" => number(n).map(Self::TotalFloor),
            _ => None,
        });
        parsed.ok_or_else(|| {
            Fault::new(node.at, format!("unknown virtual nodes `{shown}`"))
                .help("per-peer:150, total-rendezvous:750 or total-floor:750; 1 to 65535 of them")
        })
    }
    fn write(&self) -> String {
        match self {
            Self::PerPeer(n) => format!("\"per-peer:{n}\""),
            Self::TotalRendezvous(n) => format!("\"total-rendezvous:{n}\""),
            Self::TotalFloor(n) => format!("\"total-floor:{n}\""),
        }
    }
}

/// Writes a workload with every key.
pub(super) fn write(workload: &Workload, groups: &[Group], out: &mut String) {
    let mut line = |key: &str, value: String| out.push_str(&format!("{key} = {value}\n"));
    let name = |group: u32| groups[group as usize].name.write();
    match workload {
        Workload::Publish { group, topic, interval, size, sources, start, stop, messages } => {
            line("kind", "\"publish\"".into());
            line("from", name(*group));
            line("topic", topic.write());
            line("interval", interval.write());
            line("size", Size(*size).write());
            line("sources", sources.write());
            line("start", start.write());
            line("stop", stop.write());
            line("messages", messages.write());
        }
        Workload::G8 { messages, size } => {
            line("kind", "\"g8\"".into());
            line("messages", messages.write());
            line("size", Size(*size).write());
        }
        Workload::Lookups(Lookups { group, interval, start, stop, count }) => {
            line("kind", "\"lookup\"".into());
            line("from", name(*group));
            line("interval", interval.write());
            line("start", start.write());
            line("stop", stop.write());
            line("messages", count.write());
        }
        Workload::Records(Records { kind, group, keys, copies, size, start, ask, interval, stop }) => {
            match kind {
                RecordKind::Providers => {
                    line("kind", "\"provide\"".into());
                    line("copies", copies.write());
                }
                RecordKind::Values => {
                    line("kind", "\"put\"".into());
                    line("size", Size(*size).write());
                }
            }
            line("from", name(*group));
            line("keys", keys.write());
            line("start", start.write());
            line("ask", ask.write());
            line("interval", interval.write());
            line("stop", stop.write());
        }
        Workload::Cards(CardsWorkload { group, followers, follow, topics }) => {
            line("kind", "\"cards\"".into());
            line("from", name(*group));
            line("followers", name(*followers));
            line("follow", follow.write());
            line("topics", topics.write());
        }
        Workload::Ring(RingWorkload { group, vnodes, keys, replicas }) => {
            line("kind", "\"ring\"".into());
            line("from", name(*group));
            line("vnodes", vnodes.write());
            line("keys", keys.write());
            line("replicas", replicas.write());
        }
        Workload::Call(calls) => calls::write(calls, name(calls.group), &mut line),
    }
}

impl Scenario {
    /// What one workload's settings mean together with the rest.
    pub(super) fn check_workload(&self, path: &str, workload: &Workload) -> Checked {
        match workload {
            Workload::Publish { .. } => self.check_publish(path, workload),
            Workload::G8 { messages, size } => self.check_g8(path, *messages, *size),
            Workload::Lookups(lookups) => {
                let Lookups { group, interval, start, stop, .. } = *lookups;
                self.check_dht_workload(path, group)?;
                self.check_times(path, (group, interval, start, stop))
            }
            Workload::Records(records) => self.check_records(path, records),
            Workload::Cards(cards) => self.check_cards(path, cards),
            Workload::Ring(ring) => {
                self.check_from(path, ring.group)?;
                ensure((1..=1_000_000).contains(&ring.keys), format!("{path}.keys"), || {
                    format!("1 to 1,000,000 keys lie on a ring, got {}", ring.keys)
                })?;
                ensure((1..=16).contains(&ring.replicas), format!("{path}.replicas"), || {
                    format!("1 to 16 peers hold a key, got {}", ring.replicas)
                })?;
                let twice = self.workloads.iter().filter(|w| matches!(w, Workload::Ring(_))).count() > 1;
                ensure(!twice, path, || "a run has one ring: put the other into an arm".into())
            }
            Workload::Call(calls) => self.check_calls(path, calls),
        }
    }

    pub(super) fn check_from(&self, path: &str, group: u32) -> Checked {
        let Some(group) = self.groups.get(group as usize) else {
            return ensure(false, format!("{path}.from"), || format!("there is no group number {group}"));
        };
        ensure(group.behaviour == Behaviour::Honest, format!("{path}.from"), || {
            format!("the group `{}` is not honest: it does nothing of the kind", group.name)
        })
    }

    fn check_dht_workload(&self, path: &str, group: u32) -> Checked {
        self.check_from(path, group)?;
        ensure(self.dht.is_some(), format!("{path}.kind"), || {
            "this network has no DHT: add a table [dht]".into()
        })
    }

    fn check_records(&self, path: &str, records: &Records) -> Checked {
        let Records { group, keys, copies, size, start, ask, interval, stop, kind } = *records;
        self.check_dht_workload(path, group)?;
        self.check_times(path, (group, interval, ask, stop))?;
        ensure(start <= ask, format!("{path}.ask"), || {
            format!("the first question ({ask}) comes before the first record ({start})")
        })?;
        ensure((1..=1_000_000).contains(&keys), format!("{path}.keys"), || {
            format!("a workload stores 1 to 1,000,000 records, got {keys}")
        })?;
        let peers = self.groups[group as usize].count;
        ensure((1..=peers).contains(&copies), format!("{path}.copies"), || {
            format!("1 to {peers} peers of the group can provide a key, got {copies}")
        })?;
        let most = self.dht.as_ref().map_or(0, |dht| dht.config.value_bytes_max);
        ensure(kind == RecordKind::Providers || size as usize <= most, format!("{path}.size"), || {
            format!("a value has at most {most} bytes (dht.value_bytes_max), got {size}")
        })
    }

    fn check_cards(&self, path: &str, cards: &CardsWorkload) -> Checked {
        self.check_from(path, cards.group)?;
        self.check_from(path, cards.followers)?;
        let peers = self.groups[cards.group as usize].count;
        ensure(cards.follow < peers, format!("{path}.follow"), || {
            format!("a peer follows fewer than the {peers} peers of the group, got {}", cards.follow)
        })?;
        let most = self.cards.followed_max;
        ensure(cards.follow as usize <= most, format!("{path}.follow"), || {
            format!(
                "a peer follows at most {most} others (cards.followed_max), got {}: raise that or follow fewer",
                cards.follow
            )
        })?;
        let buckets = match cards.topics {
            CardTopics::PerPeer => 1,
            CardTopics::Buckets(n) => n,
        };
        ensure((1..=10_000).contains(&buckets), format!("{path}.topics"), || {
            format!("cards share 1 to 10,000 topics, got {buckets}")
        })?;
        let twice = self.workloads.iter().filter(|w| matches!(w, Workload::Cards(_))).count() > 1;
        ensure(!twice, path, || "every peer has one card: a run has one cards workload".into())
    }

    pub(super) fn check_times(
        &self,
        path: &str,
        (group, interval, start, stop): (u32, Duration, Duration, Duration),
    ) -> Checked {
        let group = &self.groups[group as usize];
        ensure(!interval.is_zero(), format!("{path}.interval"), || "the interval must be above 0s".into())?;
        ensure(start < stop, format!("{path}.stop"), || {
            format!(
                "the workload stops ({stop}) before it starts ({start}); both have defaults: end of warmup, begin of drain"
            )
        })?;
        ensure(stop <= self.run.duration, format!("{path}.stop"), || {
            format!("the workload stops at {stop}, after the end of the run ({})", self.run.duration)
        })?;
        ensure(group.start <= start, format!("{path}.start"), || {
            format!("the workload starts at {start}, before its group comes up ({})", group.start)
        })
    }

    fn check_size(&self, path: &str, size: u32) -> Checked {
        ensure((1..=Self::SIZE_MAX).contains(&size), format!("{path}.size"), || {
            format!("a payload has 1 byte to {} (1 MiB), got {size}", Self::SIZE_MAX)
        })
    }

    fn check_g8(&self, path: &str, messages: u32, size: u32) -> Checked {
        self.check_size(path, size)?;
        ensure(self.network.topology == Topology::G8, format!("{path}.kind"), || {
            "the messages of the g8 workload are drawn with its graph: set topology = \"g8\"".into()
        })?;
        let last = Duration::from_millis(100).saturating_mul(u64::from(messages).saturating_sub(1));
        ensure(messages > 0, format!("{path}.messages"), || "publishes nothing: leave it out".into())?;
        ensure(last < self.run.duration, format!("{path}.messages"), || {
            format!(
                "message {messages} would come at {last}, after the end of the run ({})",
                self.run.duration
            )
        })
    }

    fn check_publish(&self, path: &str, workload: &Workload) -> Checked {
        let Workload::Publish { group, topic, interval, sources, start, stop, size, .. } = workload else {
            return Ok(());
        };
        self.check_size(path, *size)?;
        self.check_from(path, *group)?;
        let publishers = &self.groups[*group as usize];
        ensure(*sources <= publishers.count, format!("{path}.sources"), || {
            format!("{sources} sources, but the group `{}` has {} peers", publishers.name, publishers.count)
        })?;
        if let Err(error) = Topic::parse(topic) {
            return ensure(false, format!("{path}.topic"), || format!("`{topic}` is no topic: {error}"));
        }
        ensure(!self.envelopes || *size as usize <= EMIT_MAX, format!("{path}.size"), || {
            format!(
                "a signed envelope has at most {EMIT_MAX} bytes, got {size}; bare payloads (validation = \"none\") may be larger"
            )
        })?;
        self.check_times(path, (*group, *interval, *start, *stop))
    }

    /// All workloads together: topics, messages and questions.
    pub(super) fn check_load(&self) -> Checked {
        let agents = self.agent_topics();
        let mut topics: Vec<&String> = agents.iter().collect();
        let mut total = crate::workload::agent_places(self);
        let many = |start: Duration, stop: Duration, interval: Duration, most: u32| {
            let all = stop.saturating_sub(start).as_nanos().div_ceil(interval.as_nanos());
            if most == 0 { all } else { all.min(u64::from(most)) }
        };
        for (index, workload) in self.workloads.iter().enumerate() {
            total = total.saturating_add(match workload {
                Workload::G8 { messages, .. } => u64::from(*messages),
                Workload::Publish { topic, interval, start, stop, messages, .. } => {
                    topics.push(topic);
                    many(*start, *stop, *interval, *messages)
                }
                Workload::Lookups(l) => many(l.start, l.stop, l.interval, l.count),
                Workload::Records(r) => {
                    u64::from(r.keys) * u64::from(r.copies) + many(r.ask, r.stop, r.interval, 0)
                }
                Workload::Cards(_) => crate::workload::expected_heartbeats(self).saturating_mul(4),
                Workload::Ring(_) => 0,
                Workload::Call(c) => many(c.start, c.stop, c.interval, c.count),
            });
            ensure(total <= Self::MESSAGES_MAX, format!("workload.{index}"), || {
                format!(
                    "the workloads make {total} messages and questions; a run holds {}",
                    Self::MESSAGES_MAX
                )
            })?;
        }
        topics.sort_unstable();
        topics.dedup();
        ensure(topics.len() <= self.gossip.topics_max, "gossip.topics_max", || {
            format!("{} topics, but a peer takes only {} (topics_max)", topics.len(), self.gossip.topics_max)
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn more_heartbeats_than_a_number_holds_are_too_many() {
        let text = "version = 1\nname = \"x\"\nrun.duration = \"720h\"\ncards.heartbeat_interval = \"1ns\"\n\
            group.honest.count = 16777216\nworkload = [{ kind = \"cards\" }]\n";
        let error = crate::scenario::load("x", text, "".as_ref(), &Default::default()).expect_err("too many");
        assert!(error.message.contains("messages and questions; a run holds"), "{error}");
    }
}
