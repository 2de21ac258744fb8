//! Targets over sockets, lines and commands: that behave, that misbehave, and that are not there. Every run ends, with the right
//! exit code and a message that says what is wrong.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use hyperspace_conformance::json::Json;
use hyperspace_conformance::suite::Plan;
use hyperspace_conformance::target::{
    self, Address, ControlAddress, Incoming, Key, Outgoing, Target, TargetError, TargetOptions,
};
use hyperspace_conformance::verdict::Verdict;

use crate::support::{Fault, Run, case, quick, shipped, socket};

const PING: &str = r#"title: A ping is answered
profile: transport
requires: HSP-2.2-19
>> frame {"opcode": "ping", "text": "hi"}
<< frame {"opcode": "pong", "text": "hi"}
>> frame [{"opcode": "text", "fin": false, "text": "{\"jsonrpc\":\"2.0\",\"method\":\"nobody.kn"},
          {"opcode": "continuation", "text": "ows\",\"id\":7}"}]
<< rpc {"error": {"code": -32601}, "id": 7}
>> rpc {"method": "nobody.knows"}
<< rpc {"error": {"code": -32601}}
"#;

fn open(address: &str, options: TargetOptions) -> Result<Box<dyn Target>, TargetError> {
    target::open(&Address::parse(address).expect("an address"), options)
}

fn judge(address: &str, plan: &Plan) -> Run {
    let mut target = open(address, TargetOptions::default()).expect("a target");
    Run::of(&[case("transport/ping", PING)], plan, &mut *target)
}

/// The exit code and message of a run that could not begin.
fn refused(address: &str) -> String {
    let run = judge(address, &quick());
    assert_eq!((run.code(), run.events.len()), (3, 2), "{address}");
    run.summary.message
}

#[test]
fn a_right_node_passes_over_a_socket() {
    let run = judge(&socket::node(Fault::None), &Plan::default());
    assert_eq!(run.with(Verdict::Fail), Vec::<String>::new());
    assert_eq!(run.code(), 0, "{}", run.summary.message);
    let mut target = open(&socket::node(Fault::None), TargetOptions::default()).expect("a target");
    let run = Run::of(&shipped(&["state"]), &Plan::default(), &mut *target);
    assert_eq!((run.code(), run.with(Verdict::Fail)), (0, vec![]), "{}", run.summary.message);
}

#[test]
fn a_mistake_is_found_over_a_socket() {
    let run = judge(&socket::node(Fault::NoVersion), &Plan::default());
    assert_eq!((run.code(), run.summary.failed), (1, vec!["HSP-2.2-04".to_owned()]));
}

#[test]
fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("ws://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let message = refused(&address);
    assert!(
        message.contains("cannot reach 127.0.0.1:") && message.contains("is the node running"),
        "{message}"
    );
    let message = refused("ws://no-such-host.invalid:1");
    assert!(message.contains("cannot reach no-such-host.invalid:1"), "{message}");
}

#[test]
fn somebody_who_does_not_answer() {
    let message = refused(&socket::deaf());
    assert!(message.contains("does not answer the handshake"), "{message}");
    let message = refused(&socket::websocket(|mut socket| while socket.read().is_ok() {}));
    assert!(message.contains("hyperlab.fence has no answer within 0.3 s"), "{message}");
}

#[test]
fn somebody_who_speaks_something_else() {
    let message = refused(&socket::serve(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
    }));
    assert!(message.contains("listens but does not speak WebSocket"), "{message}");
    let message = refused(&socket::serve(|mut stream| {
        let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nno key");
    }));
    assert!(message.contains("HTTP 401") && message.contains("no key"), "{message}");
    let message = refused(&socket::says("hello"));
    assert!(message.contains("has no answer within 0.3 s, but this: hello"), "{message}");
}

#[test]
fn somebody_who_breaks_the_protocol() {
    // A text frame of 3 bytes that are not UTF-8; a reserved opcode; a length of 2^63; half a frame.
    let cases: [(&[u8], &str); 4] = [
        (b"\x81\x03\xff\xfe\xfd", "not UTF-8"),
        (b"\x83\x00", "breaks the WebSocket protocol"),
        (b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\x81\x05he", "without a close frame"),
    ];
    for (bytes, problem) in cases {
        let message = refused(&socket::bytes(bytes));
        assert!(
            message.contains("hyperlab.fence ends the connection") && message.contains(problem),
            "{message}"
        );
    }
}

#[test]
fn somebody_who_floods() {
    let address = socket::websocket(|mut socket| {
        let _ = socket.read();
        let text = r#"{"jsonrpc":"2.0","method":"news","params":{}}"#;
        while socket.send(tokio_tungstenite::tungstenite::Message::text(text)).is_ok() {}
    });
    let message = refused(&address);
    assert!(message.contains("flood") || message.contains("has no answer"), "{message}");
}

#[test]
fn somebody_who_goes_away_in_the_middle() {
    let address = socket::node(Fault::SilentAfter(45));
    let run = judge(&address, &quick());
    assert_eq!(run.code(), 1);
    let failed = run.with(Verdict::Fail);
    assert!(failed[0].contains("an answer / nothing within 0.3 s"), "{failed:?}");
    assert!(run.summary.message.contains("HSP-2.2-19"), "{}", run.summary.message);
}

/// A node of one line of sed, which serves nothing.
const SED: &str = r#"stdio:sed -u -n 's/.*"id":\("[^"]*"\|[0-9]*\).*/{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":\1}/p'"#;

#[test]
fn a_program_is_judged_by_lines() {
    let text = "title: t\nprofile: transport\nrequires: HSP-3-01\n>> rpc {\"method\": \"nobody.knows\"}\n<< rpc {\"error\": {\"code\": -32601}}";
    let mut target = open(SED, TargetOptions::default()).expect("a target");
    let cases = [case("transport/x", text), case("transport/ping", PING)];
    let run = Run::of(&cases, &Plan::default(), &mut *target);
    assert_eq!((run.code(), run.with(Verdict::Fail)), (0, vec![]), "{}", run.summary.message);
    let untestable = run.with(Verdict::Untestable);
    assert!(
        untestable.iter().all(|one| one.contains("WebSocket frames")) && untestable.len() == 3,
        "{untestable:?}"
    );
    assert!(target.restart(Duration::MAX).is_ok());
    assert!(target.connect(&Key::Given, Duration::MAX).is_ok());
}

#[test]
fn a_program_that_ends_or_is_not_there() {
    let message = refused("stdio:sh -c 'echo broken >&2; exit 3'");
    assert!(message.contains("ended with exit status: 3") && message.contains("broken"), "{message}");
    let error =
        open("stdio:/no/such/program", TargetOptions::default()).map(|_| ()).expect_err("nothing there");
    assert!(error.to_string().contains("cannot start '/no/such/program'"), "{error}");
    let message = refused("stdio:yes");
    assert!(message.contains("flood") || message.contains("but this: y"), "{message}");
    let message = refused("stdio:cat /dev/zero");
    assert!(message.contains("longer than 4194304 bytes") || message.contains("has no answer"), "{message}");
}

#[test]
fn a_command_that_does_not_serve() {
    let options = || TargetOptions { start_patience: Duration::from_millis(200), ..TargetOptions::default() };
    let error = |address| open(address, options()).map(|_| ()).expect_err(address).to_string();
    let text = error("cmd:sh -c 'echo no licence >&2; exit 3' {port}");
    assert!(text.contains("no licence") && text.contains("before it listened"), "{text}");
    let text = error("cmd:sleep 1000 {port}");
    assert!(text.contains("sleep") || text.contains("ended"), "{text}");
    let text = error("cmd:cat - {port}");
    assert!(text.contains("before it listened") || text.contains("put {port} into the command"), "{text}");
    assert!(error("cmd:/no/such/program").contains("give a path that exists"));
}

#[test]
fn a_certificate_of_its_own_has_to_be_given() {
    let (address, pem) = socket::tls();
    let message = refused(&address);
    assert!(message.contains("give --ca FILE"), "{message}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pem).expect("written");
    let options = TargetOptions { ca: Some(file.path().to_owned()), ..TargetOptions::default() };
    let mut target = open(&address, options).expect("a target");
    let run = Run::of(&[case("transport/ping", PING)], &Plan::default(), &mut *target);
    assert_eq!((run.code(), run.with(Verdict::Fail)), (0, vec![]), "{}", run.summary.message);
    std::fs::write(file.path(), "no certificate").expect("written");
    let options = TargetOptions { ca: Some(file.path().to_owned()), ..TargetOptions::default() };
    let mut target = open(&address, options).expect("a target");
    let run = Run::of(&[], &Plan::default(), &mut *target);
    assert_eq!(run.code(), 3);
}

/// A control hook that answers each line with what `answer` gives.
fn control(answer: impl Fn(&str) -> String + Send + 'static) -> (tempfile::TempDir, ControlAddress) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("control");
    let listener = UnixListener::bind(&path).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut write = stream.try_clone().expect("a clone");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = writeln!(write, "{}", answer(&line));
            }
        }
    });
    (dir, ControlAddress::Unix(path.display().to_string()))
}

fn order(verb: &str) -> Json {
    Json::object([("do", Json::string(verb))])
}

#[test]
fn a_control_hook_is_asked_what_it_can() {
    let (_dir, address) = control(|line| match line.contains("hello") {
        true => r#"{"ok":true,"can":["hello","reset"]}"#.into(),
        false if line.contains("reset") => r#"{"ok":true,"done":1}"#.into(),
        false => r#"{"ok":false,"error":"cannot dance"}"#.into(),
    });
    let options = TargetOptions { control: Some(address), ..TargetOptions::default() };
    let mut target = open(&socket::node(Fault::None), options).expect("a target");
    assert_eq!(target.abilities().controls, ["hello", "reset"]);
    let deadline = target.now() + Duration::from_secs(60);
    assert_eq!(
        target.control(&order("reset"), deadline).map(|answer| answer.get("done").cloned()),
        Ok(Some(Json::integer(1)))
    );
    let declined = target.control(&order("dance"), deadline);
    assert!(
        matches!(&declined, Err(TargetError::Declined(why)) if why.contains("cannot dance")),
        "{declined:?}"
    );
}

#[test]
fn a_control_hook_that_is_not_there_or_talks_nonsense() {
    let with = |control| {
        open("ws://127.0.0.1:1", TargetOptions { control: Some(control), ..TargetOptions::default() })
    };
    let error = with(ControlAddress::Unix("/no/such/socket".into())).map(|_| ()).expect_err("not there");
    assert!(error.to_string().contains("no control hook at /no/such/socket"), "{error}");
    let (_dir, address) = control(|_| "hello yourself".into());
    let error = with(address).map(|_| ()).expect_err("nonsense");
    assert!(error.to_string().contains("no JSON"), "{error}");
}

#[test]
fn a_key_goes_where_it_is_said() {
    let (send, receive) = std::sync::mpsc::channel();
    let send = std::sync::Mutex::new(send);
    let address = socket::serve(move |mut stream| {
        let mut head = String::new();
        for line in BufReader::new(stream.try_clone().expect("a clone")).lines().map_while(Result::ok) {
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_lowercase());
            head.push('\n');
        }
        let _ = send.lock().expect("no panic").send(head);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    let places = [
        ("bearer", "authorization: bearer k1"),
        ("header:X-API-Key", "x-api-key: k1"),
        ("query:key", "get /?key=k1 "),
        ("subprotocol", "sec-websocket-protocol: k1"),
    ];
    for (place, wanted) in places {
        let key_place = target::KeyPlace::parse(place).expect("a place");
        let options = TargetOptions { key: Some("k1".into()), key_place, ..TargetOptions::default() };
        let mut target = open(&address, options).expect("a target");
        let deadline = target.now() + Duration::from_secs(60);
        let refused = target.connect(&Key::Given, deadline);
        assert!(matches!(refused, Err(TargetError::Refused(_))), "{refused:?}");
        let head = receive.recv().expect("a request");
        assert!(head.contains(wanted), "{place}: {head}");
        let _ = target.connect(&Key::None, deadline);
        assert!(!receive.recv().expect("a request").contains("k1"));
    }
}

#[test]
fn what_comes_is_given_as_it_came() {
    let address = socket::websocket(|mut socket| {
        use tokio_tungstenite::tungstenite::Message;
        let _ = socket.send(Message::binary(vec![0, 255]));
        let _ = socket.send(Message::Ping(vec![7].into()));
        let _ = socket.send(Message::text("é"));
        let _ = socket.close(None);
        while socket.read().is_ok() {}
    });
    let mut target = open(&address, TargetOptions::default()).expect("a target");
    let deadline = target.now() + Duration::from_secs(60);
    let connection = target.connect(&Key::Given, deadline).expect("a connection");
    let mut came = Vec::new();
    while let Some((id, what)) = target.receive(deadline) {
        assert_eq!(id, connection);
        let over = matches!(what, Incoming::Closed(_));
        came.push(what);
        if over {
            break;
        }
    }
    let opcodes: Vec<u8> = came
        .iter()
        .filter_map(|what| match what {
            Incoming::Frame(frame) => Some(frame.opcode),
            Incoming::Text(_) | Incoming::Closed(_) => None,
        })
        .collect();
    assert_eq!((opcodes, came.len()), (vec![2, 9], 4));
    assert_eq!(came[2], Incoming::Text("é".into()));
    let sent = target.send(connection, &Outgoing::Text("x".into()), deadline);
    assert!(matches!(sent, Err(TargetError::Closed(_))), "{sent:?}");
}
