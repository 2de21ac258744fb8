//! Trace events of whole runs: the same bytes however the run is made, a story in which nothing happens that cannot, and
//! counts that are those of the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use hyperspace_protocol::gossip::Frame;
use hyperspace_protocol::machine::{Context, Input, Machine, Message, PeerRef, TopicRef};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::time::Instant;
use hyperspace_protocol::wire::trace::{PeerRpc, TraceEvent, What};
use hyperspace_sim::message::{MessageTable, SimMessage};
use hyperspace_sim::scenario::{Overrides, Scenario, load};
use hyperspace_sim::trace::Written;
use hyperspace_sim::{EngineKind, Outcome, RunError, RunOptions, Simulation, Subject};

/// Nothing gets lost, nobody leaves, and all of it is measured.
const QUIET: &str = r#"
version = 1
name = "quiet"
[run]
duration = "12s"
warmup = "0s"
drain = "2s"
[group.honest]
count = 60
[[workload]]
kind = "publish"
start = "4s"
rate = "10/s"
"#;

/// Half of the peers are cut off from the others for a while, with little room in the queues.
const CUT: &str = r#"
version = 1
name = "cut"
[run]
duration = "12s"
warmup = "0s"
[network]
queue_max = 5
[group.honest]
count = 40
[[workload]]
kind = "publish"
rate = "10/s"
[[at]]
t = "5s"
do = "partition"
a = "share:50%"
for = "4s"
"#;

/// Peers that come and go and follow each other's cards, others whose clocks are far off, Sybils, losses, a cut that
/// breaks connections, and processors that take their time.
const ROUGH: &str = r#"
version = 1
name = "rough"
[run]
duration = "20s"
warmup = "0s"
[network]
jitter = "50%"
loss = "5%"
redial = "500ms"
stream_timeout = "2s"
queue_max = 20
[cost]
frame = "20us"
verify = "1ms"
[cards]
heartbeat_interval = "2s"
ttl = "6s"
[group.honest]
count = 30
[group.honest.churn]
session = "exponential:6s"
offline = "exponential:3s"
crash = "50%"
[group.off]
count = 20
clock_skew = "20m"
[group.sybil]
count = 10
behaviour = "sybil-flood"
start = "3s"
dials = 10
[[workload]]
kind = "publish"
rate = "10/s"
[[workload]]
kind = "cards"
follow = 3
[[at]]
t = "8s"
do = "partition"
a = "share:50%"
for = "4s"
"#;

fn scenario(text: &str, changes: &[&str]) -> Scenario {
    let set = changes.iter().map(|change| (*change).to_owned()).collect();
    let mut arms = load("test", text, Path::new(""), &Overrides { seed: None, set }).expect("valid");
    arms.pop().expect("without arms there is one scenario")
}

/// Runs with a machine per peer and returns the outcome and the trace.
fn run<P: Subject + 'static>(
    scenario: &Scenario,
    options: RunOptions,
    machine: fn(u32, &Arc<MessageTable>) -> P,
) -> (Outcome, Vec<u8>) {
    let simulation = Simulation::with_machine(scenario, &options, machine).expect("valid");
    let (outcome, trace) = simulation.run_traced(&mut |_| {}).expect("no invariant breaks");
    let mut bytes = Vec::new();
    let Written { events, dropped } = trace.write(&mut bytes).expect("a vector takes everything");
    assert_eq!((events, dropped), (parsed(&bytes).len() as u64, 0));
    (outcome, bytes)
}

fn parsed(mut bytes: &[u8]) -> Vec<TraceEvent> {
    std::iter::from_fn(|| TraceEvent::parse_delimited(&mut bytes).expect("whole events")).collect()
}

fn every(n: u32) -> RunOptions {
    RunOptions { trace_every: Some(n), ..RunOptions::default() }
}

fn honest(_: u32, _: &Arc<MessageTable>) -> Peer<SimMessage> {
    Peer::default()
}

/// Takes part like anybody else until it publishes: then it sends its mesh a lie first, and leaves the topic afterwards.
struct Liar {
    peer: Peer<SimMessage>,
    lies: Option<(u32, Arc<MessageTable>)>,
}

impl Liar {
    fn some(number: u32, messages: &Arc<MessageTable>) -> Self {
        let lies = number.is_multiple_of(4).then(|| (number, Arc::clone(messages)));
        Self { peer: Peer::default(), lies }
    }
}

impl Machine for Liar {
    type Message = SimMessage;
    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        let mut left = None;
        if let (Input::Publish(message), Some((own, messages))) = (&input, &self.lies) {
            left = Some(message.topic());
            let text = format!("no envelope {}", message.index());
            let lie = messages.store(*own, message.topic(), cx.now, text.into_bytes().into());
            for peer in self.peer.mesh(message.topic()) {
                cx.send(*peer, Frame::Message(lie));
            }
        }
        self.peer.handle_input(cx, input);
        if let Some(topic) = left {
            self.peer.handle_input(cx, Input::Unsubscribe(topic));
        }
    }
    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.peer.handle_timeout(cx);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

impl Subject for Liar {
    fn mesh(&self, topic: TopicRef) -> &[PeerRef] {
        self.peer.mesh(topic)
    }
    fn meshes(&self, each: &mut dyn FnMut(TopicRef, &[PeerRef])) {
        self.peer.meshes(each);
    }
    fn restart(&mut self, keeps_state: bool) {
        Subject::restart(&mut self.peer, keeps_state);
    }
}

type Name = Vec<u8>;

/// What a trace says of one peer.
#[derive(Default)]
struct Seen {
    connected: BTreeSet<Name>,
    topics: BTreeSet<String>,
    mesh: BTreeSet<(String, Name)>,
}

/// What a trace of all peers comes to.
#[derive(Default)]
struct Story {
    peers: BTreeMap<Name, Seen>,
    published: BTreeSet<Name>,
    /// Events by kind.
    counts: [u64; 13],
    /// Reasons of rejections.
    reasons: BTreeMap<String, u64>,
    /// Sent and dropped frames: message, graft, prune, ihave, iwant, idontwant, subscribe.
    frames: [u64; 7],
}

const PUBLISH: usize = 0;
const REJECT: usize = 1;
const DUPLICATE: usize = 2;
const DELIVER: usize = 3;
const ADD_PEER: usize = 4;
const REMOVE_PEER: usize = 5;
const RECV_RPC: usize = 6;
const SEND_RPC: usize = 7;
const DROP_RPC: usize = 8;
const JOIN: usize = 9;
const LEAVE: usize = 10;
const GRAFT: usize = 11;
const PRUNE: usize = 12;

impl Story {
    /// Follows a trace event by event; panics at one that cannot happen where it stands.
    fn of(bytes: &[u8]) -> Self {
        let mut story = Self::default();
        let mut last = 0;
        for event in parsed(bytes) {
            let at = event.timestamp.expect("set");
            assert!(last <= at, "{event:?}");
            last = at;
            story.take(&event);
        }
        story
    }

    fn take(&mut self, event: &TraceEvent) {
        let (own, what) = (event.peer_id.clone().expect("set"), event.what.clone().expect("set"));
        assert_eq!(event.kind, Some(what.kind()));
        self.counts[what.kind() as usize] += 1;
        if let What::SendRpc(rpc) | What::DropRpc(rpc) = &what {
            self.frames[kind_of(rpc)] += 1;
        }
        let seen = self.peers.entry(own.clone()).or_default();
        let known = |peer: &Option<Name>| seen.connected.contains(peer.as_ref().expect("set"));
        let ok = match what {
            What::PublishMessage(message) => self.published.insert(message.message_id.expect("set")),
            What::DeliverMessage(message) => {
                let from = &message.received_from;
                self.published.contains(&message.message_id.expect("set"))
                    && (known(from) || *from == Some(own))
            }
            What::DuplicateMessage(message) => known(&message.received_from),
            What::RejectMessage(message) => {
                *self.reasons.entry(message.reason.expect("set")).or_default() += 1;
                known(&message.received_from)
            }
            What::RecvRpc(rpc) | What::SendRpc(rpc) | What::DropRpc(rpc) => known(&rpc.peer_id),
            What::AddPeer(peer) => seen.connected.insert(peer.peer_id.expect("set")),
            What::RemovePeer(peer) => {
                let peer = peer.peer_id.expect("set");
                seen.mesh.retain(|(_, link)| *link != peer);
                seen.connected.remove(&peer)
            }
            // Twice only if it was down in between.
            What::Join(join) => seen.topics.insert(join.topic.expect("set")) || seen.connected.is_empty(),
            What::Leave(leave) => seen.topics.remove(&leave.topic.expect("set")),
            What::Graft(graft) => {
                let ok = known(&graft.peer_id) && seen.topics.contains(graft.topic.as_ref().expect("set"));
                ok && seen.mesh.insert((graft.topic.expect("set"), graft.peer_id.expect("set")))
            }
            What::Prune(prune) => seen.mesh.remove(&(prune.topic.expect("set"), prune.peer_id.expect("set"))),
        };
        assert!(ok, "{event:?}");
    }
}

/// Which one of a report's frames an RPC is.
fn kind_of(rpc: &PeerRpc) -> usize {
    let meta = rpc.meta.as_ref().expect("set");
    let control = meta.control.clone().unwrap_or_default();
    let parts = [
        meta.messages.len(),
        control.graft.len(),
        control.prune.len(),
        control.ihave.len(),
        control.iwant.len(),
        control.idontwant.len(),
        meta.subscription.len().min(1),
    ];
    assert_eq!(parts.iter().sum::<usize>(), 1, "{rpc:?}");
    parts.iter().position(|n| *n == 1).expect("just counted")
}

/// The trace is the same under every option that must not matter.
fn all_agree<P: Subject + 'static>(
    scenario: &Scenario,
    n: u32,
    machine: fn(u32, &Arc<MessageTable>) -> P,
) -> Vec<u8> {
    let plain = every(n);
    let (_, bytes) = run(scenario, plain, machine);
    assert!(bytes.len() > 10_000);
    let oracle = EngineKind::Oracle;
    let variants = [
        ("again", plain),
        ("two threads", RunOptions { threads: 2, ..plain }),
        ("three threads", RunOptions { threads: 3, ..plain }),
        ("oracle", RunOptions { engine: oracle, ..plain }),
        ("wire", RunOptions { wire: true, ..plain }),
        ("oracle on the wire", RunOptions { engine: oracle, wire: true, ..plain }),
    ];
    for (name, options) in variants {
        assert!(run(scenario, options, machine).1 == bytes, "{name}");
    }
    bytes
}

#[test]
fn a_trace_depends_on_neither_engine_nor_threads_nor_encoding() {
    all_agree(&scenario(ROUGH, &[]), 7, honest);
    all_agree(&scenario(CUT, &[]), 1, honest);
    // Three lanes, so that threads share the work; the places of lies in the message table vary from run to run.
    let crowd = scenario(QUIET, &["group.honest.count=2100", "run.duration=7s", "workload.0.rate=40/s"]);
    let bytes = all_agree(&crowd, 50, Liar::some);
    let traced: BTreeSet<_> = parsed(&bytes).into_iter().map(|event| event.peer_id).collect();
    assert_eq!(traced.len(), 42);
}

#[test]
fn tracing_changes_no_result() {
    let rough = scenario(ROUGH, &[]);
    let untraced = Simulation::new(&rough, &RunOptions::default()).expect("valid");
    let untraced = untraced.run(&mut |_| {}).expect("no invariant breaks");
    assert_eq!(run(&rough, every(1), honest).0, untraced);
    assert_eq!(run(&rough, RunOptions::default(), honest), (untraced, Vec::new()));
    let nobody = Simulation::new(&rough, &every(0)).err();
    assert!(matches!(nobody, Some(RunError::Invalid(_))), "{nobody:?}");
}

#[test]
fn a_quiet_run_has_the_counts_of_its_report() {
    let (Outcome { report, .. }, bytes) = run(&scenario(QUIET, &[]), every(1), honest);
    let story = Story::of(&bytes);
    let count = |kind: usize| story.counts[kind];
    assert_eq!((report.delivery.messages, report.delivery.ratio), (60, 1.0));
    assert_eq!(count(PUBLISH), 60);
    assert_eq!(count(DELIVER), 60 * 60);
    assert_eq!(count(DUPLICATE), report.counts["duplicate"]);
    assert_eq!(count(JOIN), 60);
    assert_eq!([REJECT, REMOVE_PEER, DROP_RPC, LEAVE].map(count), [0; 4]);
    let connected = story.peers.values().map(|seen| seen.connected.len());
    assert_eq!(count(ADD_PEER), connected.sum::<usize>() as u64);
    let gossip = report.gossip;
    let sent = [gossip.message, gossip.graft, gossip.prune, gossip.ihave, gossip.iwant, gossip.idontwant];
    assert_eq!((&story.frames[..6], story.frames[6]), (&sent[..], gossip.subscribe));
    assert_eq!(count(SEND_RPC), sent.iter().sum::<u64>() + gossip.subscribe);
    // What is missing was still under way.
    assert!(count(RECV_RPC) <= count(SEND_RPC) && count(RECV_RPC) > count(SEND_RPC) * 99 / 100);
    let links: usize = story.peers.values().map(|seen| seen.mesh.len()).sum();
    assert_eq!(links as u64, count(GRAFT) - count(PRUNE));
    assert_eq!(links as f64 / 60.0, report.mesh.degree_mean);
}

#[test]
fn a_sample_is_what_the_whole_trace_has_of_these_peers() {
    let rough = scenario(ROUGH, &[]);
    let (whole, sample) = (run(&rough, every(1), honest).1, run(&rough, every(9), honest).1);
    // Sequence numbers of messages do not depend on who is traced: all are of the schedule.
    let sample = parsed(&sample);
    let traced: BTreeSet<_> = sample.iter().map(|event| event.peer_id.clone()).collect();
    assert_eq!(traced.len(), 60usize.div_ceil(9));
    let whole: Vec<_> = parsed(&whole).into_iter().filter(|event| traced.contains(&event.peer_id)).collect();
    assert!(whole == sample);
}

#[test]
fn frames_that_find_no_room_are_dropped_and_not_sent() {
    let (Outcome { report, .. }, bytes) = run(&scenario(CUT, &[]), every(1), honest);
    let story = Story::of(&bytes);
    assert!(story.counts[DROP_RPC] > 100);
    assert_eq!(story.counts[DROP_RPC], report.counts["net_queue_overflow"]);
    let gossip = report.gossip;
    let control = gossip.graft + gossip.prune + gossip.ihave + gossip.iwant + gossip.idontwant;
    let frames = gossip.message + control + gossip.subscribe;
    assert_eq!(story.counts[SEND_RPC] + story.counts[DROP_RPC], frames);
}

#[test]
fn peers_that_come_and_go_tell_a_story_without_contradictions() {
    let (Outcome { report, .. }, bytes) = run(&scenario(ROUGH, &[]), every(1), honest);
    let story = Story::of(&bytes);
    let churn = report.churn.expect("peers come and go");
    assert!(churn.left > 5 && churn.crashed > 5);
    for kind in [ADD_PEER, REMOVE_PEER, JOIN, GRAFT, PRUNE] {
        assert!(story.counts[kind] > 10, "{kind}: {:?}", story.counts);
    }
    // Clocks that are off make messages too old or too new, which is nobody's fault.
    assert_eq!(story.reasons.get("validation ignored").copied(), Some(report.counts["ignored"]));
    assert_eq!(story.reasons.len(), 1);
    assert_eq!(story.counts[DUPLICATE], report.counts["duplicate"]);
    // Heartbeats and cards, on topics of their own.
    assert!(story.published.len() as u64 > 200 && story.peers.values().any(|seen| seen.topics.len() > 3));
}

#[test]
fn lies_are_rejected_and_liars_leave() {
    let (Outcome { report, .. }, bytes) = run(&scenario(QUIET, &[]), every(1), Liar::some);
    let story = Story::of(&bytes);
    assert!(report.counts["rejected"] > 50);
    assert_eq!(story.reasons, BTreeMap::from([("validation failed".to_owned(), report.counts["rejected"])]));
    assert_eq!(story.counts[REJECT], report.counts["rejected"]);
    let gone: Vec<_> = story.peers.values().filter(|seen| seen.topics.is_empty()).collect();
    assert!(gone.len() > 5 && gone.iter().all(|seen| seen.mesh.is_empty()));
    assert_eq!(story.counts[LEAVE], gone.len() as u64);
}
