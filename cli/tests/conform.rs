//! `hyperlab conform` from outside: exit codes, reports, messages.

#![cfg(feature = "conform")]

use std::process::{Command, Output};

use serde_json::Value;

/// A node of one line of sed: it answers every request with -32601.
const SED: &str = r#"stdio:sed -u -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":\1}/p'"#;

fn conform(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperlab"))
        .arg("conform")
        .args(arguments)
        .output()
        .expect("hyperlab runs")
}

/// Exit code, and all that is printed.
fn failed(arguments: &[&str]) -> (Option<i32>, String) {
    let output = conform(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn what_cannot_be_used_exits_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("baseline.toml");
    std::fs::write(&file, "[[known]]\ncheck = \"HSP-1@a/b\"\n").expect("written");
    let file = file.display().to_string();
    let cases: [(&[&str], &str); 7] = [
        (&["localhost:3100"], "write ws://HOST:PORT"),
        (&["http://localhost:3100"], "write ws://localhost:3100"),
        (&[SED, "--profile", "states"], "'states' is no profile; there are state, guard"),
        (&[SED, "--given", "luck=1"], "write session=ID or budget=LIMIT"),
        (&[SED, "--control", "/tmp/x"], "write unix:PATH or stdio:COMMAND"),
        (&[SED, "--baseline", &file], "missing field `reason`"),
        (&[SED, "--junit", "/no/such/folder/x"], "cannot write /no/such/folder/x"),
    ];
    for (arguments, problem) in cases {
        let (code, text) = failed(arguments);
        assert!(code == Some(2) && text.contains(problem), "{arguments:?}: {code:?} {text}");
    }
}

#[test]
fn nobody_there_exits_with_3() {
    let (code, text) = failed(&["ws://127.0.0.1:1"]);
    assert!(code == Some(3) && text.contains("cannot reach 127.0.0.1:1"), "{code:?} {text}");
    let (code, text) = failed(&["cmd:/no/such/node"]);
    assert!(code == Some(3) && text.contains("cannot start '/no/such/node'"), "{code:?} {text}");
}

#[test]
fn a_node_is_judged_and_reported_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (junit, events) = (path("junit.xml"), path("events.jsonl"));
    let arguments = [SED, "--json", "--profile", "state", "--junit", &junit, "--events", &events];
    let output = conform(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&line["code"], &line["exit"]), (&1.into(), &"fail".into()));
    assert!(line["failed"].as_array().is_some_and(|failed| failed.contains(&"HSP-3-05".into())), "{line}");
    let junit = std::fs::read_to_string(junit).expect("a report");
    assert!(junit.starts_with("<?xml") && junit.contains("HSP-3-05@profiles/state#0"), "{junit}");
    let events = std::fs::read_to_string(events).expect("events");
    assert!(events.lines().last().is_some_and(|line| line.starts_with(r#"{"type":"footer""#)), "{events}");

    // Nothing that it serves has a case of this name.
    let output = conform(&[SED, "--case", "state/*"]);
    assert_eq!(output.status.code(), Some(6));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("does not serve, or not over this connection: state, guard"), "{text}");
}
