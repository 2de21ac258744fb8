//! Whatever is wrong with the input, `hyperlab` exits with 2 and says what, without a panic.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const SMALL: &str = "version = 1\nname = \"small\"\n[run]\nduration = \"5s\"\n[group.honest]\ncount = 20\n";

fn hyperlab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperlab"))
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary of this package runs")
}

/// Exit code 2, nothing on stdout, no panic, and these words on stderr.
fn refused(args: &[&str], words: &[&str]) {
    let output = hyperlab(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}\n{stderr}");
    assert!(output.stdout.is_empty() && !stderr.contains("panicked"), "{args:?}\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: expected `{word}` in\n{stderr}");
    }
}

/// A scenario file with this text, and its path.
fn file(text: impl AsRef<[u8]>) -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("test.toml");
    fs::write(&path, text).expect("written");
    let shown = path.display().to_string();
    (dir, shown)
}

#[test]
fn files_that_cannot_be_read() {
    refused(&["run", "no/such/file.toml"], &["cannot read no/such/file.toml"]);
    refused(&["run", "convergance"], &["neither a file nor a shipped scenario", "convergence"]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    refused(&["run", &dir.path().display().to_string()], &["is a directory"]);
    let (_dir, path) = file([0xff, 0xfe, 0x00]);
    refused(&["run", &path], &["is not a text file", "byte 0"]);
    let (_dir, path) = file("");
    refused(&["run", &path], &["needs the key `version`"]);
    refused(&["verify", &path], &["needs the key `version`"]);
    refused(&["scenarios", "show", "g9"], &["`g9`", "shipped: "]);
}

#[test]
fn mistakes_in_a_scenario() {
    let small = |from: &str, to: &str| file(SMALL.replace(from, to));
    let (_dir, path) = small("count = 20", "count = 0");
    refused(&["run", &path], &["test.toml:6:9", "at least 1 peer", "6 | count = 0"]);
    let (_dir, path) = small("[run]", "[network]\nloss = 2\n[run]");
    refused(&["run", &path], &["test.toml:4:8", "a probability from 0 to below 1"]);
    let (_dir, path) = small("duration", "durration");
    refused(&["run", &path], &["unknown key `durration` in [run]", "did you mean `duration`?"]);
    let partition = "[[at]]\nt = \"1s\"\ndo = \"partition\"\na = \"martians\"\nfor = \"1s\"\n[group.honest]";
    let (_dir, path) = small("[group.honest]", partition);
    refused(&["run", &path], &["unknown group `martians`", "test.toml:8:5"]);
    let (_dir, path) =
        small("count = 20", "count = 20\n[[expect]]\nmetric = \"delivery.rate\"\nop = \">\"\nvalue = 1");
    refused(&["run", &path], &["unknown metric `delivery.rate`", "did you mean `delivery.ratio`?"]);
}

#[test]
fn mistakes_in_arguments() {
    let (_dir, path) = file(SMALL);
    refused(&[], &["Usage: hyperlab"]);
    refused(&["walk"], &["unrecognized subcommand 'walk'"]);
    refused(&["run"], &["<FILE>"]);
    refused(&["run", &path, "--threads", "0"], &["--threads", "1 to 256 threads"]);
    refused(&["run", &path, "--seeds", "5..5"], &["the range 5..5 is empty"]);
    refused(&["run", &path, "--seeds", "5..=4"], &["the range 5..=4 is empty"]);
    refused(&["run", &path, "--seeds", "1..3", "--seed", "1"], &["cannot be used with"]);
    refused(&["run", &path, "--seed", "-1"], &["-1"]);
    refused(&["run", &path, "--engine", "steam"], &["steam", "window, oracle"]);
    refused(&["run", &path, "--set", "gruop.honest.count=5"], &["--set:1:1", "did you mean `group`?"]);
    refused(&["run", &path, "--set", "run.duration"], &["write PATH=VALUE"]);
    refused(&["run", &path, "--set", "group.honest.count=99999999"], &["more than the 16777216"]);
}

#[test]
fn a_mistake_in_the_last_file_shows_before_the_first_is_run() {
    let (_dir, path) = file(SMALL);
    refused(&["run", &path, "no/such/file.toml", "--json"], &["cannot read no/such/file.toml"]);
}

#[test]
fn output_folders_are_not_taken_from_others() {
    let (dir, path) = file(SMALL);
    let out = dir.path().display().to_string();
    refused(&["run", &path, "--out", &out], &["is not empty", &out]);
    assert_eq!(fs::read_to_string(&path).expect("still there"), SMALL);
    refused(&["run", &path, "--out", &path], &["cannot use", &path]);
    refused(&["run", &path, &path, "--out", &format!("{out}/new")], &["two of the files", "`small`"]);
}

#[test]
fn a_trace_is_of_one_run_and_replaces_only_a_trace() {
    let (dir, path) = file(SMALL);
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (out, folder, lost) = (at("out.trace"), at(""), at("no/such/folder/out.trace"));
    let (_arms, arms) = file(format!("{SMALL}[arms.one]\n[arms.two]\n"));
    refused(&["run", &path, "--trace-events"], &["--trace-events <OUT>"]);
    refused(&["run", &path, &arms, "--trace-events", &out], &["for one run", "2 files"]);
    refused(
        &["run", &path, "--seeds", "1..=3", "--trace-events", &out],
        &["for one run", "3 seeds", "--seed"],
    );
    refused(
        &["run", &arms, "--trace-events", &out],
        &["`small` has the arms one, two", "scenario-ARM.toml", "--out"],
    );
    refused(&["run", &path, "--trace-events", "-"], &["needs a file: stdout is for the results"]);
    refused(&["run", &path, "--trace-events", &folder], &["is a directory", &folder]);
    refused(&["run", &path, "--trace-events", &lost], &["cannot write the trace to", &lost]);
    refused(&["run", &path, "--trace-every", "2"], &["--trace-events <OUT>"]);
    refused(&["run", &path, "--trace-events", &out, "--trace-every", "0"], &["--trace-every", "0"]);
    assert!(!Path::new(&out).exists());
    refused(&["run", &path, "--trace-events", &path], &["exists and is no trace", &path]);
    assert_eq!(fs::read_to_string(&path).expect("still there"), SMALL);
}

#[test]
fn folders_that_hold_no_runs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().display().to_string();
    refused(&["rerun", "no/such/folder"], &["no/such/folder is not a folder"]);
    refused(&["rerun", &out], &["not written by `hyperlab run --out`", "build.json"]);
    fs::write(dir.path().join("build.json"), "{\"made_by\": \"hyp").expect("written");
    refused(&["rerun", &out], &["build.json is corrupt or cut short"]);
}
