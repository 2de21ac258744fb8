//! `kind = "call"`: agents that call methods of the primitives.

use hyperspace_protocol::primitive::PRIMITIVES;
use hyperspace_protocol::time::Duration;
use hyperspace_protocol::topic::{Topic, TopicError};

use super::check::{Checked, ensure};
use super::error::{Fault, nearest};
use super::model::{Scenario, Workload};
use super::reader::{Reader, Setting, text};

/// `kind = "call"`: random peers of a group call a method of the primitives.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    /// Index of the calling group.
    pub group: u32,
    /// `{primitive}.{method}`.
    pub method: String,
    /// The parameters as JSON text, in which `{n}` stands for the call's number and `{peer}` for the caller's.
    pub params: String,
    /// Time between two.
    pub interval: Duration,
    /// The first.
    pub start: Duration,
    /// None at or after this.
    pub stop: Duration,
    /// No more than this; 0 means no limit.
    pub count: u32,
    /// Topics that primitives may use in this run besides the one of memories: task types, or whole names.
    pub topics: Vec<String>,
}

const COUNT: usize = {
    let (mut sum, mut at) = (0, 0);
    while at < PRIMITIVES.len() {
        sum += PRIMITIVES[at].1.len();
        at += 1;
    }
    sum
};

/// The names of all methods.
pub(super) const METHODS: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let (mut primitive, mut place) = (0, 0);
    while primitive < PRIMITIVES.len() {
        let (methods, mut at) = (PRIMITIVES[primitive].1, 0);
        while at < methods.len() {
            names[place] = methods[at].name;
            (place, at) = (place + 1, at + 1);
        }
        primitive += 1;
    }
    names
};

impl Calls {
    /// The parameters of one call.
    pub(crate) fn params_of(&self, number: u32, peer: u32) -> String {
        self.params.replace("{n}", &number.to_string()).replace("{peer}", &peer.to_string())
    }

    /// The topics that primitives may use on its account.
    pub(crate) fn topics(&self) -> impl Iterator<Item = Result<Topic, TopicError>> {
        let named = self.topics.iter().map(|name| match name.contains('/') {
            true => Topic::parse(name),
            false => Topic::trajectories(name),
        });
        named.chain([Ok(Topic::crdt_sync_memory())])
    }
}

pub(super) fn read(
    reader: &Reader<'_>,
    group: u32,
    interval: Duration,
    (start, stop): (Duration, Duration),
) -> Result<Calls, Fault> {
    let node = reader.get("method").ok_or_else(|| reader.missing("method"))?;
    let method = text(node)?;
    if !METHODS.contains(&method) {
        return Err(Fault::unknown(node.at, "method", method, &METHODS));
    }
    Ok(Calls {
        group,
        method: method.to_owned(),
        params: reader.or("params", "{}".to_owned())?,
        interval,
        start,
        stop,
        count: reader.or("messages", 0)?,
        topics: reader.or("topics", Vec::new())?,
    })
}

pub(super) fn write(calls: &Calls, from: String, line: &mut impl FnMut(&str, String)) {
    let Calls { group: _, method, params, interval, start, stop, count, topics } = calls;
    line("kind", "\"call\"".into());
    line("from", from);
    line("method", method.write());
    line("params", params.write());
    line("interval", interval.write());
    line("start", start.write());
    line("stop", stop.write());
    line("messages", count.write());
    line("topics", topics.write());
}

impl Scenario {
    pub(super) fn check_calls(&self, path: &str, calls: &Calls) -> Checked {
        let Calls { group, interval, start, stop, .. } = *calls;
        self.check_from(path, group)?;
        self.check_times(path, (group, interval, start, stop))?;
        ensure(METHODS.contains(&&*calls.method), format!("{path}.method"), || {
            format!("unknown method `{}`; {}", calls.method, nearest(&calls.method, &METHODS))
        })?;
        let params = serde_json::from_str::<serde_json::Value>(&calls.params_of(0, 0));
        ensure(params.is_ok_and(|params| params.is_object()), format!("{path}.params"), || {
            format!("`{}` is no JSON object", calls.params)
        })?;
        for (index, topic) in calls.topics().enumerate() {
            let name = || calls.topics.get(index).map_or("hyperspace/crdt/sync/memory", |name| name);
            let topic = match topic {
                Ok(topic) => topic.to_string(),
                Err(error) => {
                    return ensure(false, format!("{path}.topics"), || {
                        format!("`{}` is neither a task type nor a topic: {error}", name())
                    });
                }
            };
            // An agent that no longer wants such a topic would leave it, and the workload's messages would not arrive.
            let taken = |w: &Workload| matches!(w, Workload::Publish { topic: other, .. } if *other == topic);
            ensure(!self.workloads.iter().any(taken), format!("{path}.topics"), || {
                format!("a workload publishes on {topic}: agents need their topics for themselves")
            })?;
        }
        Ok(())
    }

    /// The names of all topics that primitives may use, in no order but each once.
    pub(crate) fn agent_topics(&self) -> std::collections::BTreeSet<String> {
        let calls = self.workloads.iter().filter_map(Workload::calls);
        calls.flat_map(Calls::topics).flatten().map(|topic| topic.to_string()).collect()
    }
}

impl Workload {
    /// The calls that it makes, if that is its kind.
    pub(crate) const fn calls(&self) -> Option<&Calls> {
        match self {
            Self::Call(calls) => Some(calls),
            Self::Publish { .. }
            | Self::G8 { .. }
            | Self::Lookups(_)
            | Self::Records(_)
            | Self::Cards(_)
            | Self::Ring(_) => None,
        }
    }
}
