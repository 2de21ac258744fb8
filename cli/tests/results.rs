//! What `hyperlab` prints, writes and exits with when the input is right.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hyperspace_protocol::wire::trace::TraceEvent;
use serde_json::Value;

const SMALL: &str = "\
# Question: is it there?
version = 1
name = \"small\"
[run]
duration = \"5s\"
warmup = \"2s\"
drain = \"1s\"
[group.honest]
count = 20
[[workload]]
kind = \"publish\"
rate = \"5/s\"
[arms.one]
[arms.two]
gossip.scores = false
[[expect]]
metric = \"delivery.ratio\"
op = \"==\"
value = 1
";

fn hyperlab(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_hyperlab"))
        .args(args)
        .output()
        .expect("the binary of this package runs");
    (status.code(), String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

fn written(dir: &Path, text: &str) -> String {
    let path = dir.join("small.toml");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

#[test]
fn json_has_a_line_per_arm_and_seed_and_an_aggregate_per_arm() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = written(dir.path(), SMALL);
    let (code, stdout, stderr) = hyperlab(&["run", &path, "--json", "--seeds", "3..=4", "--threads", "1"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines = lines(&stdout);
    let heads: Vec<_> = lines.iter().map(|line| (line["arm"].as_str(), line["seed"].as_u64())).collect();
    let (one, two) = (Some("one"), Some("two"));
    assert_eq!(
        heads,
        [(one, Some(3)), (two, Some(3)), (one, Some(4)), (two, Some(4)), (one, None), (two, None)]
    );
    let fields = "scenario arm seed digest peers threads virtual_s setup_s wall_s cpu_s events events_per_s peak_rss_bytes \
        bytes_per_peer delivery hops_max duplicates_mean gossip expectations";
    for field in fields.split_whitespace() {
        assert!(lines[0].get(field).is_some(), "{field} in {}", lines[0]);
    }
    for field in ["ratio", "p50_ms", "p90_ms", "p99_ms", "max_ms"] {
        assert!(lines[0]["delivery"][field].is_number(), "{field} in {}", lines[0]);
    }
    for field in ["message", "graft", "prune", "ihave", "iwant", "idontwant"] {
        assert!(lines[0]["gossip"][field].is_number(), "{field} in {}", lines[0]);
    }
    let judged = &lines[0]["expectations"][0];
    assert_eq!(
        (&judged["metric"], &judged["op"], &judged["ok"]),
        (&"delivery.ratio".into(), &"==".into(), &true.into())
    );
    assert_eq!((judged["value"].as_f64(), judged["actual"].as_f64()), (Some(1.0), Some(1.0)));
    let aggregate = &lines[4];
    assert_eq!((&aggregate["aggregate"], &aggregate["seeds"]), (&true.into(), &serde_json::json!([3, 4])));
    assert_eq!(aggregate["metrics"]["delivery.ratio"]["min"].as_f64(), Some(1.0));
}

#[test]
fn a_failed_expectation_exits_with_1_and_says_how_to_see_it_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = written(dir.path(), &SMALL.replace("value = 1", "value = 2"));
    let (code, stdout, stderr) = hyperlab(&["run", &path, "--seed", "7", "--set", "network.loss=1%"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stdout.contains("FAIL  one: delivery.ratio == 2, measured 1"), "{stdout}");
    assert!(
        stderr.contains(&format!("reproduce: hyperlab run {path} --seed 7 --set network.loss=1%")),
        "{stderr}"
    );
}

#[test]
fn an_output_folder_stands_alone_and_runs_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = written(dir.path(), SMALL);
    let out = dir.path().join("out");
    let shown = out.display().to_string();
    let run = ["run", &path, "--seeds", "1..=2", "--out", &shown, "--quiet"];
    assert_eq!(hyperlab(&run).0, Some(0));
    // A second run takes the place of the first and leaves other files alone.
    fs::write(out.join("notes.txt"), "mine").expect("written");
    assert_eq!(hyperlab(&run).0, Some(0));
    assert!(out.join("notes.txt").exists());
    fs::remove_file(&path).expect("removed");
    let (code, stdout, stderr) = hyperlab(&["rerun", &shown]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 4), "{stderr}");
    let (code, _, stderr) = hyperlab(&["run", &out.join("scenario-two.toml").display().to_string()]);
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_damaged_output_folder_is_refused_and_a_changed_digest_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = written(dir.path(), SMALL);
    let out = dir.path().join("out");
    let shown = out.display().to_string();
    assert_eq!(hyperlab(&["run", &path, "--out", &shown]).0, Some(0));
    let damaged = |file: &str, change: &dyn Fn(&str) -> Option<String>, expected: i32, words: &str| {
        let file = out.join(file);
        let text = fs::read_to_string(&file).expect("written by run");
        match change(&text) {
            Some(changed) => fs::write(&file, changed).expect("written"),
            None => fs::remove_file(&file).expect("removed"),
        }
        let (code, _, stderr) = hyperlab(&["rerun", &shown]);
        assert_eq!(code, Some(expected), "{file:?}: {stderr}");
        assert!(
            stderr.contains(words) && !stderr.contains("panicked"),
            "{file:?}: expected `{words}` in\n{stderr}"
        );
        fs::write(&file, text).expect("restored");
    };
    let half = |text: &str| Some(text[..text.len() / 2].to_owned());
    let one_line = |text: &str| text.lines().next().map(|line| format!("{line}\n"));
    let gone = |_: &str| None;
    damaged(
        "runs.jsonl",
        &|text| Some(text[..text.len() - 20].to_owned()),
        2,
        "runs.jsonl:2: not a run, or cut short",
    );
    damaged("runs.jsonl", &one_line, 2, "it holds 1 of 2 runs");
    damaged("runs.jsonl", &gone, 2, "runs.jsonl");
    damaged("build.json", &half, 2, "build.json is corrupt or cut short");
    damaged("scenario-one.toml", &half, 2, "scenario-one.toml");
    damaged("scenario-one.toml", &gone, 2, "cannot read");
    damaged(
        "scenario-one.toml",
        &|text| Some(text.replace("\"one\"", "\"uno\"")),
        2,
        "not the scenario that runs.jsonl says",
    );
    let digests = "digests/digests-one-seed-1.json";
    damaged(digests, &half, 2, "corrupt or cut short");
    damaged(digests, &gone, 2, "cannot read");
    damaged(
        digests,
        &|text| Some(text.replacen("\"run\":\"", "\"run\":\"f", 1)),
        2,
        "not the one in runs.jsonl",
    );
    // The scenario says another run than the one whose digest was recorded.
    damaged(
        "scenario-one.toml",
        &|text| Some(text.replace("count = 20", "count = 21")),
        3,
        "recorded digest",
    );
    assert_eq!(hyperlab(&["rerun", &shown]).0, Some(0), "restored");
}

#[test]
fn verify_compares_six_variants_of_each_arm() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = written(dir.path(), SMALL);
    let (code, stdout, stderr) = hyperlab(&["verify", &path, "--json", "--seed", "5"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines = lines(&stdout);
    assert_eq!(lines.len(), 12);
    for arm in lines.chunks(6) {
        assert!(
            arm.iter().all(|line| line["digest"] == arm[0]["digest"] && line["arm"] == arm[0]["arm"]),
            "{stdout}"
        );
    }
}

/// One arm alone, and where its trace goes.
fn one_arm(dir: &Path) -> (String, String) {
    let path = written(dir, &SMALL.replace("[arms.two]\ngossip.scores = false\n", ""));
    (path, dir.join("out.trace").display().to_string())
}

#[test]
fn a_trace_of_some_peers_is_written_and_is_always_the_same() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (path, out) = one_arm(dir.path());
    let trace = |more: &[&str], told: &str| {
        let args = [&["run", &path, "--quiet", "--trace-events", &out], more].concat();
        let (code, stdout, stderr) = hyperlab(&args);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains(told) && stdout.contains("digest"), "{stderr}");
        fs::read(&out).expect("written by run")
    };
    let of = |bytes: &[u8]| {
        let mut rest = bytes;
        std::iter::from_fn(|| TraceEvent::parse_delimited(&mut rest).expect("whole events"))
            .collect::<Vec<_>>()
    };
    let bytes = trace(&["--threads", "1"], ", peers traced: 10\n");
    let events = of(&bytes);
    let peers: BTreeSet<_> = events.iter().map(|event| event.peer_id.clone()).collect();
    assert_eq!(peers.len(), 10);
    let told = format!("{out}: {} trace events, 0 dropped, peers traced: 10\n", events.len());
    // A later trace takes the place of an earlier one.
    let variants: [&[&str]; 4] =
        [&["--threads", "2"], &["--engine", "oracle"], &["--wire"], &["--trace-every", "2"]];
    for more in variants {
        assert!(trace(more, &told) == bytes, "{more:?}");
    }
    let one = of(&trace(&["--trace-every", "20"], ", peers traced: 1\n"));
    let first: Vec<_> = events.into_iter().filter(|event| event.peer_id == one[0].peer_id).collect();
    assert_eq!(one, first);
    // In the folder of `--out`, it does not disturb a rerun.
    let folder = dir.path().join("folder").display().to_string();
    let inside = dir.path().join("folder/a.trace").display().to_string();
    let (code, _, stderr) = hyperlab(&["run", &path, "--out", &folder, "--trace-events", &inside]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(fs::read(&inside).expect("written by run") == bytes);
    assert_eq!(hyperlab(&["rerun", &folder]).0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_trace_that_cannot_be_written_costs_the_exit_code_but_no_result() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (path, _) = one_arm(dir.path());
    let (code, stdout, stderr) = hyperlab(&["run", &path, "--json", "--trace-events", "/dev/full"]);
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.contains("cannot write the trace to /dev/full: No space left"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(lines(&stdout).len(), 1);
}

#[test]
fn shipped_scenarios_are_listed_shown_and_described() {
    let (code, stdout, _) = hyperlab(&["scenarios", "list"]);
    assert_eq!(code, Some(0));
    for name in
        ["g8", "convergence", "calibration-gossipsub-v1.0", "partition-heal", "lossy-wan", "sybil-flood"]
    {
        let line = stdout
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in\n{stdout}"));
        assert!(line.ends_with('?'), "{line}");
        let (code, text, _) = hyperlab(&["scenarios", "show", name]);
        assert!(code == Some(0) && text.starts_with("# Question: "), "{text}");
    }
    let (code, stdout, _) = hyperlab(&["scenarios", "schema"]);
    assert_eq!(code, Some(0));
    let schema: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(schema["properties"]["version"]["const"], 1);
}
