//! The shape of what `hyperlab bench` prints. Times are the machine's affair and are not judged.

use std::process::{Command, Output};

use serde_json::Value;

fn hyperlab(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_hyperlab"))
        .args(args)
        .output()
        .expect("the binary of this package runs");
    (status.code(), String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

#[test]
fn json_has_an_object_per_row_of_every_subject() {
    let (code, stdout, stderr) = hyperlab(&["bench", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines = stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object"));
    let rows: Vec<Value> = lines.collect();
    for (subject, what, unit) in [
        ("envelope", "inspect", "ns/op"),
        ("ring", "replicas(3)", "ns/op"),
        ("kad", "lookup", "ns/op"),
        ("gossip", "convergence, scores", "events/s"),
    ] {
        let row = rows.iter().find(|row| row["subject"] == subject && row["what"] == what);
        let row = row.unwrap_or_else(|| panic!("no row `{what}` of {subject} in\n{stdout}"));
        assert_eq!(row["unit"], unit, "{row}");
        assert!(row["n"].is_u64() && row["floor"].is_string() && row["ratio"].is_f64(), "{row}");
    }
    for row in &rows {
        assert!(row["value"].as_f64().is_some_and(|value| value > 0.0), "{row}");
        assert_eq!(row["floor"].is_null(), row["ratio"].is_null(), "{row}");
    }
}

#[test]
fn the_table_of_one_subject_lines_up() {
    let (code, stdout, stderr) = hyperlab(&["bench", "ring", "--quick"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let titles: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(titles, ["ring", "peers", "ns/op", "x", "floor", "floor"], "{stdout}");
    let end = lines[0].find("ns/op").expect("a column") + "ns/op".len();
    for line in &lines[1..] {
        let (cells, rest) = line.split_at(end);
        assert!(cells.ends_with(|c: char| c.is_ascii_digit()), "{stdout}");
        assert!(rest.is_empty() || rest.starts_with(' '), "{stdout}");
    }
    for what in ["lookup", "replicas(3)", "join", "build"] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(what)).count(), 2, "{what} in\n{stdout}");
    }
    assert!(stdout.contains("150 x SHA-256 of a token") && !stdout.contains("envelope"), "{stdout}");
}

#[test]
fn an_unknown_subject_is_bad_input() {
    let (code, stdout, stderr) = hyperlab(&["bench", "rign"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    for words in ["'rign'", "gossip, ring, kad, envelope", "a similar value exists: 'ring'"] {
        assert!(stderr.contains(words), "expected `{words}` in\n{stderr}");
    }
    let (code, stdout, _) = hyperlab(&["bench", "--help"]);
    assert_eq!(code, Some(0));
    for words in ["gossip:", "ring:", "kad:", "envelope:", "--json", "--quick"] {
        assert!(stdout.contains(words), "expected `{words}` in\n{stdout}");
    }
}
