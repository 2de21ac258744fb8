//! Scenario files that are wrong: each mistake is reported at its place, with what would be right.

use std::path::Path;

use hyperspace_sim::scenario::{Overrides, ScenarioError, load, load_file, schema};
use serde_json::Value;

/// A valid scenario, line by line; tests replace one line.
const LINES: [&str; 28] = [
    "version = 1",
    "name = \"base\"",
    "[run]",
    "duration = \"60s\"",
    "warmup = \"10s\"",
    "[network]",
    "latency = \"aws-2019\"",
    "loss = \"1%\"",
    "topology = \"k-out:10\"",
    "[gossip]",
    "profile = \"spec\"",
    "[group.honest]",
    "count = 100",
    "[group.sybil]",
    "count = 50",
    "behaviour = \"sybil-flood\"",
    "dials = 20",
    "[[workload]]",
    "kind = \"publish\"",
    "from = \"honest\"",
    "rate = \"10/s\"",
    "[[at]]",
    "t = \"30s\"",
    "do = \"partition\"",
    "a = \"region:eu-west-2\"",
    "for = \"10s\"",
    "[arms.one]",
    "[arms.two]",
];

fn fail(text: &str) -> ScenarioError {
    load("test.toml", text, Path::new("."), &Overrides::default()).expect_err(text)
}

/// Loads the base with the line `old` replaced by `new`; the error must be in `new`'s first line, or where it says.
fn replaced(old: &str, new: &str) -> ScenarioError {
    let index = LINES.iter().position(|line| *line == old).unwrap_or_else(|| panic!("no line {old}"));
    let mut lines = LINES;
    lines[index] = new;
    fail(&lines.join("\n"))
}

#[test]
fn the_base_is_valid() {
    let loaded = load("test.toml", &LINES.join("\n"), Path::new("."), &Overrides::default());
    assert_eq!(loaded.map(|arms| arms.len()), Ok(2));
}

#[test]
fn an_error_shows_the_line_with_a_caret_and_the_nearest_name() {
    let error = replaced("warmup = \"10s\"", "warmpu = \"10s\"");
    let expected = "\
error: unknown key `warmpu` in [run]
 --> test.toml:5:1
  |
5 | warmpu = \"10s\"
  | ^^^^^^
  |
  = help: did you mean `warmup`?";
    assert_eq!(error.to_string(), expected);
    assert!(error.render(true).contains("\u{1b}["), "coloured only when asked");
}

/// A line of the base, what replaces it, where the error points as line:column, words of the message and its help.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("version = 1", "version = 2", "1:11", "version 2 is unknown"),
    ("name = \"base\"", "name = \"a b\"", "2:8", "is 1 to 64 letters"),
    ("name = \"base\"", "name = 5", "2:8", "`name`: expected text in quotes, found an integer"),
    ("[run]", "[rum]", "3:2", "did you mean `run`?"),
    ("duration = \"60s\"", "duration = \"60\"", "4:12", "has no unit"),
    ("duration = \"60s\"", "duration = 60", "4:12", "a duration is text with a unit"),
    ("duration = \"60s\"", "duration = \"60 sec\"", "4:12", "unknown unit `sec`"),
    ("duration = \"60s\"", "duration = \"0s\"", "4:12", "longer than 0s"),
    ("duration = \"60s\"", "duration = 2026-11-20", "4:12", "found a date"),
    ("duration = \"60s\"", "duration = \"9999h\"", "4:12", "longer than 30 days"),
    ("warmup = \"10s\"", "warmup = \"60s\"", "5:10", "must end before the run does"),
    ("warmup = \"10s\"", "drain = \"60s\"", "5:9", "leave nothing of the run"),
    ("latency = \"aws-2019\"", "latency = \"uniform:20ms..10ms\"", "25:5", "no regions"),
    ("latency = \"aws-2019\"", "latency = \"csv:x\"", "7:11", "cannot read ./x"),
    ("latency = \"aws-2019\"", "latency = \"gml:x\"", "7:11", "cannot read ./x"),
    ("latency = \"aws-2019\"", "latency = \"table\"", "7:11", "there is no [network.table]"),
    ("latency = \"aws-2019\"", "latency = \"bootstrap-6\"", "25:5", "unknown region `eu-west-2`"),
    ("latency = \"aws-2019\"", "latency = \"aws\"", "7:11", "constant:20ms, uniform"),
    ("loss = \"1%\"", "loss = 1", "8:8", "a probability from 0 to below 1"),
    ("loss = \"1%\"", "loss = 2.0", "8:8", "a probability from 0 to below 1"),
    ("loss = \"1%\"", "loss = \"-1%\"", "8:8", "a probability from 0 to below 1"),
    ("loss = \"1%\"", "loss = nan", "8:8", "a finite number"),
    ("loss = \"1%\"", "jitter = -0.1", "8:10", "from 0 to 10"),
    ("loss = \"1%\"", "latency_min = \"0s\"", "8:15", "above 0s"),
    ("loss = \"1%\"", "link = \"strem\"", "8:8", "did you mean `stream`?"),
    ("loss = \"1%\"", "retransmit = \"11s\"", "8:14", "must not be above stream_timeout (10s)"),
    ("topology = \"k-out:10\"", "topology = \"k-out:100\"", "9:12", "only 100 peers take part"),
    ("topology = \"k-out:10\"", "topology = \"k-out:0\"", "9:12", "at least 1"),
    ("topology = \"k-out:10\"", "topology = \"ring:-1\"", "9:12", "not a number of peers"),
    ("topology = \"k-out:10\"", "topology = \"star\"", "9:12", "k-out:20, ring:2, small-world"),
    ("topology = \"k-out:10\"", "topology = \"file:missing.txt\"", "9:12", "cannot read ./missing.txt"),
    ("topology = \"k-out:10\"", "topology = [[0, 100]]", "9:1", "peers are numbered 0 to 99"),
    ("topology = \"k-out:10\"", "topology = [[0, 1], [1, 0]]", "9:1", "is there twice"),
    ("topology = \"k-out:10\"", "topology = [[0]]", "9:13", "two ends"),
    ("profile = \"spec\"", "profile = \"gogo\"", "11:11", "unknown profile `gogo`"),
    ("profile = \"spec\"", "mesh_degree_min = 20", "11:19", "mesh_degree_min <= mesh_degree"),
    ("profile = \"spec\"", "score.behaviour_decay = 1.5", "11:25", "between 0 and 1"),
    ("profile = \"spec\"", "meshdegree = 8", "11:1", "did you mean `mesh_degree`?"),
    ("profile = \"spec\"", "static_mesh = true", "11:15", "heartbeat_interval = \"0s\" as well"),
    ("profile = \"spec\"", "heartbeat_interval = \"0s\"", "11:22", "static_mesh = true as well"),
    ("profile = \"spec\"", "topics_max = 0", "11:14", "1 topics, but a peer takes only 0"),
    ("profile = \"spec\"", "version = \"1.3\"", "11:11", "unknown version `1.3`"),
    ("count = 100", "count = 0", "13:9", "at least 1 peer"),
    ("count = 100", "count = -1", "13:9", "-1 is out of range"),
    ("count = 100", "count = \"many\"", "13:9", "expected a whole number, found text"),
    ("count = 100", "count = 16777167", "13:9", "16777217 peers are more than the 16777216"),
    ("count = 100", "ips = 3", "12:8", "[group.honest] needs the key `count`"),
    ("count = 100", "count = 100\nregions = \"eu-west-3\"", "14:11", "did you mean `eu-west-1`?"),
    ("[group.sybil]", "[group.rest]", "14:8", "a group cannot be named `rest`"),
    ("[group.sybil]", "[group.honest]", "14:8", "not valid TOML: duplicate key"),
    ("behaviour = \"sybil-flood\"", "behaviour = \"sybil\"", "16:13", "unknown behaviour `sybil`"),
    ("behaviour = \"sybil-flood\"", "behaviour = \"dht-sybil\"", "16:13", "add a table [dht]"),
    ("behaviour = \"sybil-flood\"", "behaviour = \"provider-flood\"", "16:13", "add a table [dht]"),
    ("dials = 20", "dials = 101", "17:9", "only 100 peers can be dialled"),
    ("dials = 20", "start = \"60s\"", "17:9", "after the end of the run"),
    ("kind = \"publish\"", "kind = \"pubish\"", "19:8", "did you mean `publish`?"),
    ("kind = \"publish\"", "kind = \"g8\"", "20:8", "no meaning in a g8 workload"),
    ("from = \"honest\"", "from = \"nobody\"", "20:8", "unknown group `nobody`"),
    ("from = \"honest\"", "from = \"sybil\"", "20:8", "not honest"),
    ("from = \"honest\"", "sources = 101", "20:11", "has 100 peers"),
    ("from = \"honest\"", "size = \"2MiB\"", "20:8", "1 byte to 1048576"),
    ("from = \"honest\"", "size = \"2 K\"", "20:8", "unknown unit `K`"),
    ("from = \"honest\"", "stop = \"10s\"", "20:8", "stops (10s) before it starts (10s)"),
    ("from = \"honest\"", "stop = \"61s\"", "20:8", "after the end of the run"),
    ("from = \"honest\"", "interval = \"1s\"", "20:12", "give one of them"),
    ("rate = \"10/s\"", "", "18:1", "needs the key `rate`"),
    ("rate = \"10/s\"", "rate = \"0/s\"", "21:8", "publishes nothing"),
    ("rate = \"10/s\"", "rate = \"9/us\"", "18:1", "a run holds 16777216"),
    ("[[at]]", "[at]", "22:1", "expected an array of tables, written [[at]]"),
    ("t = \"30s\"", "t = \"55s\"", "23:5", "ends after the run"),
    ("do = \"partition\"", "do = \"partion\"", "24:6", "did you mean `partition`?"),
    ("a = \"region:eu-west-2\"", "a = \"attackers\"", "25:5", "unknown group `attackers`"),
    ("a = \"region:eu-west-2\"", "a = \"region:mars\"", "25:5", "unknown region `mars`"),
    ("a = \"region:eu-west-2\"", "a = \"rest\"", "22:1", "both sides of the partition are the same"),
    ("a = \"region:eu-west-2\"", "a = \"share:100%\"", "25:5", "between 0 and 1"),
    ("a = \"region:eu-west-2\"", "a = \"share:50%\"\nb = \"share:20%\"", "26:5", "two shares overlap"),
    ("for = \"10s\"", "for = \"0s\"", "26:7", "longer than 0s"),
    ("[arms.one]", "[arms.one]\nrun.seeds = 3", "28:5", "unknown key `seeds` in [run]"),
    ("[arms.one]", "[arms.one]\nrun.warmup = \"2m\"", "28:14", "(arm `one`)"),
    ("[arms.one]", "[arms.one]\nworkload.3.rate = \"1/s\"", "28:10", "no item `3` in an array of 1"),
    ("[arms.one]", "[arms.\"a/b\"]", "27:7", "is 1 to 64 letters"),
    ("[arms.one]", "[arms.one", "27:10", "not valid TOML"),
];

#[test]
fn each_mistake_is_found_where_it_is() {
    let mut wrong = String::new();
    for (old, new, place, words) in MISTAKES {
        let error = replaced(old, new);
        let shown = error.to_string();
        if !shown.contains(words) || !shown.contains(&format!("test.toml:{place}\n")) {
            wrong.push_str(&format!("{new}: expected {place} and `{words}` in\n{shown}\n\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn expectations_are_checked() {
    let with = |expect: &str| fail(&format!("{}\n[[expect]]\n{expect}", LINES.join("\n"))).to_string();
    let cases = [
        ("metric = \"delivery.rato\"\nop = \">\"\nvalue = 1", "did you mean `delivery.ratio`?"),
        ("metric = \"rmr\"\nop = \"=>\"\nvalue = 1", "unknown comparison `=>`"),
        ("metric = \"rmr\"\nop = \">\"", "needs the key `value`"),
        ("metric = \"rmr\"\nvalue = 1", "needs the key `op`"),
        ("metric = \"rmr\"\nop = \">\"\nvalue = 1\nof = \"one\"", "give one of them"),
        ("metric = \"rmr\"\nop = \">\"\nvalue = 1\nfactor = 2", "only with `of`"),
        ("metric = \"rmr\"\nop = \">\"\nof = \"one\"", "name the arm that must meet this"),
        ("metric = \"rmr\"\nop = \">\"\nof = \"one\"\narm = \"one\"", "compared with another one"),
        ("metric = \"rmr\"\nop = \">\"\nvalue = 1\narm = \"thre\"", "unknown arm `thre`"),
        (
            "metric = \"rmr\"\nop = \">\"\nvalue = 1\ngroup = \"sybil\"",
            "measurements are of the honest peers",
        ),
        ("metric = \"rmr\"\nop = \">\"\nvalue = 1\nstat = \"median\"", "unknown statistic `median`"),
    ];
    for (expect, words) in cases {
        let shown = with(expect);
        assert!(shown.contains(words), "{expect}: expected `{words}` in\n{shown}");
    }
}

#[test]
fn an_override_is_blamed_by_its_text() {
    let set = |set: &str| {
        let overrides = Overrides { seed: None, set: vec!["run.seed=4".into(), set.into()] };
        load("test.toml", &LINES.join("\n"), Path::new("."), &overrides).expect_err(set).to_string()
    };
    let expected = "\
error: unknown key `gruop` in the file
 --> --set:1:1
  |
1 | gruop.honest.count=5
  | ^^^^^
  |
  = help: did you mean `group`?";
    assert_eq!(set("gruop.honest.count=5"), expected);
    assert!(set("run.duration=60").contains("--set:1:14"));
    assert!(set("run").contains("write PATH=VALUE"));
    assert!(set("run.seed.x=1").contains("expected a whole number, found a table"));
    assert!(set("workload.7.rate=1/s").contains("no item `7`"));
    assert!(set("group.honest.count=0").contains("at least 1 peer"));
}

#[test]
fn degenerate_files_are_errors() {
    let words = |text: &str| fail(text).to_string();
    let empty_range =
        "version = 1\nname = \"x\"\nnetwork.latency = \"uniform:9ms..2ms\"\n[group.h]\ncount = 20";
    assert!(words(empty_range).contains("the range 9ms..2ms is empty"));
    assert!(words("").contains("the file needs the key `version`"));
    assert!(words("\u{0}\u{1}").contains("not valid TOML"));
    assert!(words("version = 1\nname = \"x\"").contains("there is no group"));
    assert!(words("version = 1\nname = \"x\"\n[group]").contains("there is no group"));
    assert!(
        words("version = 1\nname = \"x\"\ngroup = 5")
            .contains("expected the table [group], found an integer")
    );
    assert!(
        words("version = 1\nname = \"x\"\n[group.s]\ncount = 5\nbehaviour = \"sybil-flood\"")
            .contains("no group is honest")
    );
    assert!(words("version = 1\nname = \"x\"\n[group.h]\ncount = 20\n[arms]").contains("[arms] is empty"));
    let topology = "version = 1\nname = \"x\"\nnetwork.latency = \"topology\"\n[group.h]\ncount = 20";
    assert!(words(topology).contains("needs a topology that gives latencies"));
    // Deep nesting and long lines end in an error, not in a full stack or screen.
    assert!(words(&format!("x = {}", "[".repeat(100_000))).contains("not valid TOML"));
    let long = words(&format!("version = 1\nname = \"{}\"\n[group.h]\ncount = 20", "x".repeat(10_000_000)));
    assert!(long.contains("is 1 to 64 letters") && long.len() < 1000, "{} bytes", long.len());
    assert!(words(&"a.".repeat(5_000_000)).len() < 1000);
}

#[test]
fn unreadable_files_are_named() {
    let shown = |path: &str| load_file(Path::new(path), &Overrides::default()).expect_err(path).to_string();
    assert!(shown("/no/such/file.toml").contains("cannot read /no/such/file.toml"));
    assert!(shown("/").contains("it is a directory"));
    let binary = std::env::current_exe().expect("the test has a path");
    assert!(shown(&binary.display().to_string()).contains("is not a text file"));
}

/// Walks the schema and gives every leaf key a value of no valid type: the parser must blame that very key. So each key
/// of the schema is one that the parser reads.
#[test]
fn the_parser_reads_every_key_of_the_schema() {
    fn leaves(schema: &Value, path: &str, out: &mut Vec<String>) {
        for (key, field) in schema["properties"].as_object().expect("an object") {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if field.get("properties").is_some() {
                leaves(field, &path, out);
            } else if field["additionalProperties"].get("properties").is_some() {
                leaves(&field["additionalProperties"], &format!("{path}.honest"), out);
            } else if field["items"].get("properties").is_some() {
                leaves(&field["items"], &format!("{path}.0"), out);
            } else if key != "arms" {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    leaves(&schema(), "", &mut paths);
    assert!(paths.len() > 100, "{paths:?}");
    let base = "version = 1\nname = \"x\"\nworkload = [{ kind = \"publish\", rate = \"1/s\" }]\n\
        at = [{ t = \"1s\", do = \"partition\", a = \"share:0.5\", for = \"1s\" }]\n\
        expect = [{ metric = \"rmr\", op = \"<\", value = 1 }]\n[group.honest]\ncount = 20\n";
    for path in paths {
        // Alternatives to a key that the base has, and a key that needs another one, are told apart by their message.
        let value = if path == "expect.0.factor" { "2" } else { "2026-11-20" };
        let overrides = Overrides { seed: None, set: vec![format!("{path}={value}")] };
        let error = load("test.toml", base, Path::new("."), &overrides).expect_err(&path);
        assert_eq!(
            (error.source.as_str(), error.column as usize),
            ("--set", path.len() + 2),
            "{path}: {error}"
        );
        assert!(!error.message.contains("unknown key"), "{path}: {error}");
    }
}
