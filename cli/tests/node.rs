//! `hyperlab node` and `hyperlab call` as processes: what they print, their exit codes, and the control hook.

#![cfg(feature = "node")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperlab"));
    command.args(args).env("NO_COLOR", "1");
    command
}

fn hyperlab(args: &[&str]) -> Output {
    command(args).output().expect("the binary of this package runs")
}

/// Ends with this code, without a panic, and says these words.
fn ends(args: &[&str], code: i32, words: &[&str]) -> String {
    let output = hyperlab(args);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}{stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}\n{stderr}");
    let said = if code == 0 { &stdout } else { &stderr };
    for word in words {
        assert!(said.contains(word), "{args:?}: expected `{word}` in\n{said}");
    }
    stdout.into_owned()
}

fn folder() -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("data").display().to_string();
    (dir, path)
}

/// A file beside the data folder.
fn file(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// Arguments of a node on free ports of loopback.
fn run<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let ports = ["--rpc", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--log", "error"];
    [&["node", "run", "--data", data], &ports[..], more].concat()
}

/// A node that runs.
struct Node {
    child: Child,
    /// What it printed at its start.
    peer: String,
    rpc: String,
}

impl Node {
    fn start(data: &str, more: &[&str]) -> Self {
        let mut child = command(&run(data, more)).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut next = |name: &str| {
            let line = lines.next().expect("it starts").expect("text");
            line.strip_prefix(name).unwrap_or_else(|| panic!("{name}: {line}")).trim().to_owned()
        };
        let (peer, rpc) = (next("peer"), next("rpc"));
        assert!(next("listen").ends_with(&format!("/p2p/{peer}")));
        Self { child, peer, rpc }
    }

    fn call(&self, method: &str, params: &Value) -> Value {
        let printed = ends(&["call", &self.rpc, method, &params.to_string()], 0, &[]);
        serde_json::from_str(&printed).expect("JSON")
    }

    /// Asks it to end, and sees that it ends well.
    fn terminate(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        assert_eq!(self.child.wait().expect("it is ours").code(), Some(0));
    }
}

impl Drop for Node {
    /// A test that failed leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn who_cannot_listen_or_find_a_peer_ends_with_3() {
    let (_dir, data) = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound");
    ends(&["node", "--data", &data, "--rpc", &addr.to_string()], 3, &["cannot listen on", &addr.to_string()]);
    let listen = format!("/ip4/127.0.0.1/tcp/{}", addr.port());
    let args = ["node", "--data", &data, "--rpc", "127.0.0.1:0", "--listen", &listen];
    ends(&args, 3, &[&listen, "in use"]);
    // No system gives this port to anybody unasked.
    let nobody = "/ip4/127.0.0.1/tcp/1";
    ends(&run(&data, &["--bootstrap", nobody]), 3, &["no bootstrap peer can be reached", nobody, "refused"]);
    ends(&["call", "ws://127.0.0.1:1", "state.createSession"], 3, &["cannot reach"]);
}

#[test]
fn mistakes_end_with_2() {
    let (dir, data) = folder();
    let empty = file(&dir, "empty", "# nothing\n");
    let config = file(&dir, "bad.toml", "[rpc]\nlissten = 1\n");
    let limits = file(&dir, "limits.toml", "[p2p.network]\nconnections_max = 0\n");
    for (more, words) in [
        (&["--listen", "nonsense"][..], &["nonsense: not a multiaddr"][..]),
        (&["--bootstrap", "127.0.0.1:1"], &["127.0.0.1:1: not a multiaddr"]),
        (&["--control", "/tmp/socket"], &["--control /tmp/socket", "unix:PATH"]),
        (&["--config", "/no/such/node.toml"], &["/no/such/node.toml"]),
        (&["--config", &config], &["bad.toml", "lissten", "line 2"]),
        (&["--config", &limits], &["connections_max"]),
        (&["--api-key-file", &empty], &["no key"]),
        (&["--api-key-file", "/no/such/file"], &["/no/such/file"]),
        (&["--passphrase-file", "/no/such/file"], &["/no/such/file"]),
        (&["--frobnicate"], &["--frobnicate"]),
    ] {
        ends(&run(&data, more), 2, words);
    }
    ends(&["node", "--data", &data, "--rpc", "0.0.0.0:0"], 2, &["--allow-public", "--api-key-file"]);
    ends(&["node", "--data", &data, "--rpc", "nowhere"], 2, &["nowhere"]);
    ends(&["node", "--data", &data, "--log", "a=b=c"], 2, &["--log a=b=c"]);
    ends(&["node", "--data", &empty], 2, &["not a folder"]);
    ends(&["node", "check", "--data", "/no/such/folder"], 2, &["not the data folder of a node"]);
    let call = ["call", "ws://127.0.0.1:1", "state.createSession"];
    ends(&[&call[..], &["[]"]].concat(), 2, &["must be a JSON object"]);
    ends(&[&call[..], &["{"]].concat(), 2, &["not JSON"]);
    ends(&[&call[..], &["--api-key-file", &empty]].concat(), 2, &["has no key in it"]);
    ends(&["call", "http://127.0.0.1:1", "state.createSession"], 2, &["not a URL"]);
}

#[test]
fn a_store_that_cannot_be_opened_is_left_as_it_is() {
    let (dir, data) = folder();
    let pass = file(&dir, "pass", "open sesame\n");
    let wrong = file(&dir, "wrong", "open barley\n");
    Node::start(&data, &["--passphrase-file", &pass]).terminate();
    ends(&run(&data, &["--passphrase-file", &wrong]), 2, &["the passphrase does not open"]);
    ends(&run(&data, &[]), 2, &["protected by a passphrase"]);
    ends(&["node", "check", "--data", &data, "--passphrase-file", &pass], 0, &["sound"]);
    let database = Path::new(&data).join("store.redb");
    let whole = fs::read(&database).expect("readable");
    for (bytes, words) in [
        (&whole[..whole.len() / 2], &["store.redb", "damaged", "import an export"][..]),
        (b"somebody else's file, of whatever kind", &["store.redb", "not a file of this program"]),
    ] {
        fs::write(&database, bytes).expect("written");
        ends(&run(&data, &["--passphrase-file", &pass]), 5, words);
        assert_eq!(fs::read(&database).expect("readable"), bytes);
    }
    fs::write(&database, &whole).expect("written");
    let keys = Path::new(&data).join("master.key");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).expect("ours");
    ends(&run(&data, &["--passphrase-file", &pass]), 2, &["master.key", "others may read", "chmod 600"]);
}

#[test]
fn a_folder_is_named_exported_checked_imported_and_erased() {
    let (dir, data) = folder();
    let id = ends(&["node", "id", "--data", &data], 0, &["12D3KooW"]);
    let node = Node::start(&data, &[]);
    assert_eq!(node.peer, id.trim());
    let session = node.call("state.createSession", &json!({"agentName": "a"}));
    let name = session["sessionId"].as_str().expect("an id").to_owned();
    node.call("state.setState", &json!({"sessionId": name, "key": "k", "value": 1}));
    ends(&["node", "check", "--data", &data], 5, &["in use by another running node"]);
    ends(&["call", &node.rpc, "state.getSession", r#"{"sessionId": "none"}"#], 1, &["error -32001"]);
    // A token lets in as long as its session lives.
    let token = file(&dir, "token", session["sessionToken"].as_str().expect("a token"));
    let own = json!({"sessionId": name}).to_string();
    let call = |code, words: &[&str]| {
        ends(&["call", &node.rpc, "state.getSession", &own, "--api-key-file", &token], code, words)
    };
    call(0, &[&name]);
    let other = node.call("state.createSession", &json!({"agentName": "b"}));
    node.terminate();

    let export = ["node", "export", "--data", &data];
    let lines = ends(&export, 0, &["\"header\"", "\"end\""]);
    let backup = file(&dir, "backup", &lines);
    ends(&["node", "import", "--data", &data, &backup], 0, &["0 records restored"]);
    let cut = file(&dir, "cut", &lines[..lines.len() / 2]);
    ends(&["node", "import", "--data", &data, &cut], 2, &["nothing was changed"]);
    ends(&["node", "import", "--data", &data, "/no/such/file"], 2, &["/no/such/file"]);
    ends(&["node", "check", "--data", &data], 0, &["sound"]);
    ends(&["node", "check", "--data", &data, "--repair"], 0, &["sound"]);
    let erased = ends(&["node", "erase", "--data", &data, "--subject", &name], 0, &["erased"]);
    assert!(!erased.starts_with("erased 0 "), "{erased}");
    // The backup does not bring back what was erased.
    ends(&["node", "import", "--data", &data, &backup], 0, &["0 records restored", "have no key any more"]);

    let node = Node::start(&data, &[]);
    ends(
        &["call", &node.rpc, "state.getSession", &own, "--api-key-file", &token],
        3,
        &["refused with HTTP 401"],
    );
    let other = json!({"sessionId": other["sessionId"]});
    assert_eq!(node.call("state.getSession", &other)["agentName"], "b");
    node.terminate();
}

#[test]
fn damaged_records_are_moved_out_so_that_a_node_can_run() {
    let (_dir, data) = folder();
    let node = Node::start(&data, &[]);
    let create = |n: u32| node.call("state.createSession", &json!({"agentName": n.to_string()}));
    let sessions: Vec<Value> = (0..20).map(create).collect();
    node.terminate();
    let path = Path::new(&data).join("record.keys");
    let mut keys = fs::read(&path).expect("readable");
    let place = keys.len() / 2;
    keys[place] ^= 1;
    fs::write(&path, &keys).expect("written");
    // A node that comes across it ends, says what to do, and leaves no socket behind.
    let (dir, _) = folder();
    let socket = dir.path().join("control.sock");
    let unix = format!("unix:{}", socket.display());
    let mut node = Node::start(&data, &["--control", &unix]);
    for session in &sessions {
        let params = json!({"sessionId": session["sessionId"]}).to_string();
        hyperlab(&["call", &node.rpc, "state.getSession", &params]);
    }
    assert_eq!(node.child.wait().expect("it is ours").code(), Some(5));
    assert!(!socket.exists());
    ends(&["node", "check", "--data", &data], 5, &["1 records cannot be read", "check --repair"]);
    let said = ends(
        &["node", "check", "--data", &data, "--repair"],
        0,
        &["moved 1 records to", "damaged-1.jsonl", "sound"],
    );
    assert!(said.contains("damaged: "), "{said}");
    Node::start(&data, &[]).terminate();
}

#[test]
fn the_methods_are_listed() {
    let document: Value = serde_json::from_str(&ends(&["node", "openrpc"], 0, &[])).expect("JSON");
    assert_eq!(document["methods"].as_array().expect("a list").len(), 44);
}

/// A visitor of the control hook.
struct Visitor(BufReader<UnixStream>);

impl Visitor {
    fn say(&mut self, order: &str) -> Value {
        self.0.get_mut().write_all(format!("{order}\n").as_bytes()).expect("it listens");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("JSON")
    }
}

#[test]
fn the_control_hook_arranges_what_no_method_can() {
    let (dir, data) = folder();
    let socket = dir.path().join("control.sock");
    let unix = format!("unix:{}", socket.display());
    let occupied = format!("unix:{}", file(&dir, "occupied", ""));
    ends(&run(&data, &["--control", &occupied]), 2, &["occupied", "is not a socket"]);
    let node = Node::start(&data, &["--control", &unix]);
    assert_eq!(fs::metadata(&socket).expect("there").permissions().mode() & 0o777, 0o600);
    let (_other, other) = folder();
    ends(&run(&other, &["--control", &unix]), 3, &["another node listens there"]);

    let mut visitor = Visitor(BufReader::new(UnixStream::connect(&socket).expect("it listens")));
    let hello = visitor.say(r#"{"do": "hello"}"#);
    assert_eq!(hello["ok"], true);
    assert_eq!(hello["can"].as_array().expect("a list").len(), 7);
    assert_eq!(visitor.say(r#"{"do": "peers"}"#), json!({"ok": true, "peerId": node.peer, "peers": []}));
    for wrong in ["nonsense", r#"{"do": "dance"}"#, r#"{"do": "peers", "more": 1}"#, "[]"] {
        let answer = visitor.say(wrong);
        assert!(answer["ok"] == false && answer["error"].is_string(), "{wrong}: {answer}");
    }
    let budget = |session: &str| {
        json!({"do": "set_budget", "session": session, "limit": 2, "consumed": 1.5}).to_string()
    };
    assert_eq!(visitor.say(&budget("none"))["ok"], false);
    let session = node.call("state.createSession", &json!({}))["sessionId"].clone();
    assert_eq!(visitor.say(&budget(session.as_str().expect("an id"))), json!({"ok": true}));
    let status = node.call("guard.getBudgetStatus", &json!({"sessionId": session}));
    assert_eq!(status, json!({"limit": 2, "consumed": 1.5, "remaining": 0.5}));
    assert_eq!(visitor.say(r#"{"do": "set_clock", "offset_ms": 86400000000}"#), json!({"ok": true}));
    let later = node.call("state.createSession", &json!({}))["createdAt"].clone();
    let year = later.as_str().and_then(|at| at[..4].parse::<u32>().ok()).expect("a date");
    assert!(year >= 2028, "{later}");
    for on in [true, false] {
        let order = json!({"do": "fail_replication", "on": on}).to_string();
        assert_eq!(visitor.say(&order), json!({"ok": true}));
    }
    let key = visitor.say(r#"{"do": "issue_key"}"#);
    let key = file(&dir, "key", key["key"].as_str().expect("a key"));
    ends(&["call", &node.rpc, "state.createSession", "--api-key-file", &key], 0, &["sessionId"]);
    assert_eq!(visitor.say(r#"{"do": "reset"}"#), json!({"ok": true}));
    let gone = json!({"sessionId": session}).to_string();
    ends(&["call", &node.rpc, "state.getSession", &gone], 1, &["error -32001"]);
    node.terminate();
    assert!(!socket.exists(), "the socket is taken away at the end");
}
