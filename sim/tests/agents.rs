//! The primitives in whole worlds: what one agent records or remembers, others find, and calls are counted.

use std::sync::{Arc, Mutex};

use hyperspace_protocol::machine::{Context, Input, Machine, Output};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::primitive::{AgentOutput, Error};
use hyperspace_protocol::time::{Duration, Instant};
use hyperspace_sim::churn::{Begin, Churn, Lifetime};
use hyperspace_sim::message::SimMessage;
use hyperspace_sim::report::CallsReport;
use hyperspace_sim::scenario::{Calls, GroupChurn, Scenario, Topology, Workload, load, resolved};
use hyperspace_sim::{Outcome, RunOptions, Simulation, Subject};
use serde_json::Value;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The answer to a call: its number, who gave it, and what it says.
type Answered = (u64, u32, Result<Value, Error>);

/// An honest peer whose answers are written down.
struct Watched {
    peer: Peer<SimMessage>,
    answers: Arc<Mutex<Vec<Answered>>>,
}

impl Watched {
    fn watch(&self, cx: &Context<'_, SimMessage>) {
        for output in cx.out.iter() {
            if let Output::Agent(output) = output
                && let AgentOutput::Answer(answer) = &**output
            {
                let result = answer.result.clone().map(|text| serde_json::from_str(&text).unwrap());
                self.answers.lock().unwrap().push((answer.id.0, cx.own, result));
            }
        }
    }
}

impl Machine for Watched {
    type Message = SimMessage;

    fn handle_input(&mut self, cx: &mut Context<'_, SimMessage>, input: Input<SimMessage>) {
        self.peer.handle_input(cx, input);
        self.watch(cx);
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, SimMessage>) {
        self.peer.handle_timeout(cx);
        self.watch(cx);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

impl Subject for Watched {
    fn restart(&mut self, keeps_state: bool) {
        self.peer.restart(keeps_state);
    }
}

/// 30 peers for 60 s, with these calls. The numbers of the calls are in the order of their time.
fn world(envelopes: bool, calls: Vec<Calls>) -> Scenario {
    let mut s = Scenario::example();
    s.run.duration = secs(60);
    s.run.warmup = secs(5);
    s.run.drain = secs(10);
    s.network.topology = Topology::KOut(8);
    s.envelopes = envelopes;
    s.groups[0].count = 30;
    s.workloads = calls.into_iter().map(Workload::Call).collect();
    s
}

fn calls(method: &str, params: &str, (from, to): (u64, u64), count: u32) -> Calls {
    let interval = Duration::from_nanos(secs(to - from).as_nanos() / u64::from(count));
    let (method, params) = (method.to_owned(), params.to_owned());
    let topics = vec!["web-research".to_owned()];
    Calls { group: 0, method, params, interval, start: secs(from), stop: secs(to), count, topics }
}

fn watched(scenario: &Scenario) -> (Outcome, CallsReport, Vec<Answered>) {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let machine = |_, _: &_| Watched { peer: Peer::default(), answers: Arc::clone(&answers) };
    let simulation = Simulation::with_machine(scenario, &RunOptions::default(), machine).unwrap();
    let outcome = simulation.run(&mut |_| {}).unwrap();
    let report = outcome.report.calls.clone().unwrap();
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    answers.sort_by_key(|(number, ..)| *number);
    (outcome, report, answers)
}

const GET: (&str, &str) = ("improving.getExemplars", r#"{"taskType":"web-research"}"#);
const RECORD: (&str, &str) = (
    "improving.recordTrajectory",
    r#"{"taskType":"web-research","input":"question {n}","output":"answer of {peer}",
        "steps":[{"action":"search"}],"reward":0.9}"#,
);

#[test]
fn a_trajectory_recorded_at_one_peer_is_an_exemplar_at_the_others() {
    for envelopes in [false, true] {
        let asked = calls(GET.0, GET.1, (5, 15), 300);
        let recorded = calls(RECORD.0, RECORD.1, (20, 21), 1);
        let asked_again = calls(GET.0, GET.1, (30, 40), 100);
        let (_, report, answers) = watched(&world(envelopes, vec![asked, recorded, asked_again]));
        assert_eq!((report.made, report.answered), (401, 401));
        assert_eq!((report.errors, report.unfinished, report.skipped), (0, 0, 0));
        let (_, author, recorded) = &answers[300];
        let id = &recorded.as_ref().unwrap()["trajectoryId"];
        assert!(id.is_string());
        for (number, own, answer) in &answers[..300] {
            assert_eq!(answer.as_ref().unwrap()["librarySize"], 0, "{number} at {own}");
        }
        // Whoever asked before listens to the topic since.
        let listens = |peer: u32| answers[..300].iter().any(|(_, own, _)| *own == peer);
        let mut others = 0;
        for (number, own, answer) in answers[301..].iter().filter(|(_, own, _)| listens(*own)) {
            let exemplars = &answer.as_ref().unwrap()["exemplars"];
            assert_eq!(&exemplars[0]["trajectoryId"], id, "{number} at {own}");
            assert_eq!(exemplars[0]["output"], format!("answer of {author}"));
            others += u32::from(own != author);
        }
        assert!(others > 80, "{others}");
    }
}

#[test]
fn a_memory_stored_by_one_peer_is_found_by_the_others() {
    let stored = calls("memory.store", r#"{"content":"the eel number {n} lives in the pond"}"#, (10, 20), 10);
    let searched = calls("memory.search", r#"{"query":"the eel in the pond","threshold":0.1}"#, (30, 40), 60);
    let (_, report, answers) = watched(&world(true, vec![stored, searched]));
    assert_eq!((report.made, report.answered, report.errors), (70, 70, 0), "{report:?}");
    for (_, _, stored) in &answers[..10] {
        assert_eq!(stored.as_ref().unwrap()["replicas"], 3);
    }
    // A search ends after 200 ms, so it may miss what lies far away.
    let mut of_others = 0;
    for (number, own, found) in &answers[10..] {
        let found = found.as_ref().unwrap();
        let memories = found["memories"].as_array().unwrap();
        assert!(memories.len() >= 3, "{number} at {own}: {found}");
        let content = |memory: &Value| memory["content"].as_str().unwrap().starts_with("the eel number");
        assert!(memories.iter().all(content));
        let stored_here = answers[..10].iter().filter(|(_, storer, _)| storer == own).count();
        of_others += u32::from(memories.len() > stored_here);
    }
    assert_eq!(of_others, 60);
    assert!(report.requests > 20);
    assert!(report.p50_ms > 0.0 && report.p99_ms >= report.p50_ms);
}

#[test]
fn records_outlive_a_process_only_where_peers_keep_their_state() {
    let held = |keeps_state: bool| {
        let recorded = calls(RECORD.0, RECORD.1, (5, 20), 100);
        let asked = calls(GET.0, GET.1, (40, 50), 100);
        let mut s = world(false, vec![recorded, asked]);
        // Nobody hears of others' trajectories.
        s.network.topology = Topology::None;
        let (session, offline) = (Lifetime::Constant(secs(25)), Lifetime::Constant(secs(2)));
        s.groups[0].churn =
            Some(GroupChurn::Drawn(Churn { session, offline, crash: 1.0, keeps_state, begin: Begin::Up }));
        let (_, report, answers) = watched(&s);
        assert_eq!(report.errors, 0);
        let sizes = answers[100..].iter().map(|(.., a)| a.as_ref().unwrap()["librarySize"].as_u64().unwrap());
        sizes.sum::<u64>()
    };
    assert!(held(true) > 100);
    assert_eq!(held(false), 0);
}

#[test]
fn errors_are_counted_by_code_and_tools_have_no_clients() {
    let unknown = calls("state.getState", r#"{"sessionId":"{peer}"}"#, (10, 12), 5);
    let discovered = calls("tool.discover", r#"{"query":"weather"}"#, (15, 20), 5);
    let (_, report, answers) = watched(&world(false, vec![unknown, discovered]));
    assert_eq!(report.made, 10);
    let failed = answers.iter().filter(|(.., answer)| answer.is_err()).count() as u64;
    assert_eq!(report.errors, failed);
    assert!(report.errors >= 5);
    assert_eq!(report.by_code.iter().map(|(_, n)| n).sum::<u64>(), failed);
}

/// A peer's own messages have a bounded number of places in each interval; what is beyond stays with its author.
#[test]
fn a_flood_of_own_messages_is_not_published() {
    let asked = calls(GET.0, GET.1, (5, 9), 300);
    let mut flood = calls(RECORD.0, RECORD.1, (10, 20), 100);
    let mut s = world(false, vec![]);
    s.groups.push(hyperspace_sim::scenario::Group::new("one", 1));
    flood.group = 1;
    let later = calls(GET.0, GET.1, (30, 40), 30);
    s.workloads = [asked, flood, later].map(Workload::Call).into();
    let (_, report, answers) = watched(&s);
    assert_eq!(report.errors, 0);
    let told = answers[300..400].iter().filter(|(.., a)| a.as_ref().unwrap()["gossipedTo"] != 0).count();
    assert_eq!(told, 36);
}

fn scenario(workload: &str) -> Result<Scenario, String> {
    let text = format!(
        "version = 1\nname = \"x\"\nrun.duration = \"60s\"\ngroup.honest.count = 30\n\n[[workload]]\n{workload}\n"
    );
    let loaded = load("x", &text, "".as_ref(), &Default::default()).map_err(|error| error.to_string())?;
    Ok(loaded.into_iter().next().unwrap())
}

#[test]
fn a_call_workload_reads_and_writes() {
    let text = "kind = \"call\"\nmethod = \"improving.getExemplars\"\nparams = '{\"taskType\":\"a{n}\"}'\n\
        rate = \"2/s\"\nmessages = 9\ntopics = [\"a1\", \"hyperspace/settlements/7\"]";
    let read = scenario(text).unwrap();
    let Workload::Call(calls) = &read.workloads[0] else { panic!("a call workload") };
    assert_eq!((calls.count, calls.interval, calls.topics.len()), (9, Duration::from_millis(500), 2));
    let again = load("x", &resolved(&read), "".as_ref(), &Default::default()).unwrap();
    assert_eq!(again[0], read);
}

#[test]
fn what_cannot_be_called_is_said() {
    let said = |rest: &str| scenario(&format!("kind = \"call\"\nrate = \"1/s\"\n{rest}")).unwrap_err();
    assert!(said("").contains("method"));
    assert!(said("method = \"memory.serch\"").contains("did you mean `memory.search`?"));
    assert!(said("method = \"memory.search\"\nparams = \"[]\"").contains("no JSON object"));
    assert!(
        said("method = \"memory.search\"\ntopics = [\"a b\"]").contains("neither a task type nor a topic")
    );
    assert!(said("method = \"memory.search\"\nsize = 3").contains("has no meaning in a call workload"));
    let both = "method = \"memory.search\"\ntopics = [\"web-research\"]\n\n[[workload]]\nkind = \"publish\"\nrate = \"1/s\"";
    assert!(said(both).contains("agents need their topics for themselves"));
}
