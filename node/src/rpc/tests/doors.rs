//! Who gets in, over which transport, and what is there for HTTP.

use crate::client::{CallError, Target, call};

use super::*;

#[tokio::test]
async fn keys_and_tokens_decide_who_gets_in() {
    let open = rig(|_| ());
    let keyed = rig(keyed);
    let bearer = &*format!("Bearer {KEY}");
    let operator = |keyed| Ok(("operator".to_owned(), keyed));
    let session = || Ok(("session s1".to_owned(), false));
    for (rig, path, headers, wanted) in [
        (&open, "/", &[][..], operator(false)),
        (&open, "/", &[("authorization", "Bearer the-token")][..], session()),
        (&open, "/", &[("authorization", "Bearer unknown")], Err(401)),
        (&open, "/?token=x", &[], Err(400)),
        (&open, "/", &[("host", "evil.org")], Err(403)),
        (&open, "/", &[("origin", "http://localhost")], Err(403)),
        (&keyed, "/", &[], Err(401)),
        (&keyed, "/", &[("authorization", bearer)], operator(true)),
        (&keyed, "/", &[("x-api-key", KEY)], operator(true)),
        (&keyed, "/", &[("x-api-key", "a-key-of-sixteen-characterS")], Err(401)),
        (&keyed, "/", &[("x-api-key", "the-token")], session()),
        (&keyed, "/", &[("x-api-key", KEY), ("origin", "null")], Err(403)),
        (&keyed, "/", &[("x-api-key", KEY), ("host", "any.name")], operator(true)),
        (&keyed, "/?api_key=a-key-of-sixteen-characters", &[("x-api-key", KEY)], Err(400)),
    ] {
        let got = match rig.connect_with(path, headers).await {
            Ok(mut ws) => {
                let who = ws.ask("whoami", "{}").await;
                Ok((who["tier"].as_str().unwrap().to_owned(), who["keyed"] == true))
            }
            Err(status) => Err(status),
        };
        assert_eq!(got, wanted, "{path} {headers:?}");
    }
    let (status, text) = keyed.http("GET /metrics", &[]).await;
    assert!(status == 401 && text.contains("www-authenticate: Bearer"), "{text}");
}

#[tokio::test]
async fn listed_origins_may_connect() {
    let rig = rig(|config| config.origins = vec!["https://app.example".into()]);
    for (origin, wanted) in
        [("https://app.example", None), ("https://app.example:8443", Some(403)), ("null", Some(403))]
    {
        assert_eq!(rig.connect_with("/", &[("origin", origin)]).await.err(), wanted, "{origin}");
    }
}

#[tokio::test]
async fn a_session_has_so_many_connections() {
    let rig = rig(|config| {
        keyed(config);
        config.limits.connections_per_session = 2;
    });
    let token = &[("x-api-key", "the-token")][..];
    let mut first = rig.connect_with("/", token).await.unwrap();
    let _second = rig.connect_with("/", token).await.unwrap();
    assert_eq!(rig.connect_with("/", token).await.err(), Some(429));
    let (status, _) = rig.http("GET /openrpc.json", token).await;
    assert_eq!(status, 200, "what is no connection needs no place");
    rig.connect_with("/", &[("x-api-key", KEY)]).await.unwrap();
    first.0.close(None).await.unwrap();
    first.closed().await;
    soon(async { while rig.connect_with("/", token).await.is_err() {} }).await;
}

#[tokio::test]
async fn http_has_three_things_to_get() {
    let open = rig(|_| ());
    let keyed = rig(keyed);
    let key = &[("x-api-key", KEY)][..];
    let token = &[("x-api-key", "the-token")][..];
    let upgrade = &[("upgrade", "websocket"), ("connection", "upgrade")][..];
    for (rig, line, headers, status, has) in [
        (&open, "GET /healthz", &[][..], 200, r#"{"status":"ok"}"#),
        (&open, "GET /openrpc.json", &[], 200, r#"{"openrpc":"1.3.2"}"#),
        (&open, "GET /metrics", &[], 200, "fake 1\n# EOF\n"),
        (&open, "GET /", &[], 404, "WebSocket"),
        (&open, "GET /other", &[], 404, "openrpc.json"),
        (&open, "POST /", &[("content-length", "0")], 405, "allow: GET, HEAD"),
        (&open, "GET /", upgrade, 400, "sec-websocket-version: 13"),
        (&open, "GET /healthz", &[("host", "evil.org")], 403, "foreign_host"),
        (&keyed, "GET /healthz", &[], 200, "ok"),
        (&keyed, "GET /openrpc.json", &[], 401, "X-API-Key"),
        (&keyed, "GET /other", &[], 401, "no_key"),
        (&keyed, "GET /openrpc.json", key, 200, "openrpc"),
        (&keyed, "GET /metrics", key, 200, "hyperspace_rpc_connections 0"),
        (&keyed, "GET /openrpc.json", token, 200, "openrpc"),
        (&keyed, "GET /metrics", token, 403, "operator_only"),
    ] {
        let (got, text) = rig.http(line, headers).await;
        assert!(got == status && text.contains(has) && text.contains("connection: close"), "{line}: {text}");
    }
    open.backend.ill.store(true, Ordering::Relaxed);
    let (status, text) = open.http("GET /healthz", &[]).await;
    assert!(status == 503 && text.contains("the disk is full"), "{text}");
}

#[tokio::test]
async fn metrics_count_and_do_not_grow() {
    let rig = rig(|_| ());
    let mut ws = rig.connect().await;
    for method in ["echo", "echo", "made-up-1", "made-up-2"] {
        ws.ask(method, "{}").await;
    }
    ws.send("nonsense").await;
    ws.text().await;
    assert_eq!(rig.connect_with("/", &[("origin", "null")]).await.err(), Some(403));
    let (_, text) = rig.http("GET /metrics", &[]).await;
    for line in [
        "hyperspace_rpc_connections 1\n",
        "hyperspace_rpc_connected_total 1\n",
        "hyperspace_rpc_requests_total{method=\"echo\"} 2\n",
        "hyperspace_rpc_requests_total{method=\"unknown\"} 2\n",
        "hyperspace_rpc_errors_total{code=\"-32601\"} 2\n",
        "hyperspace_rpc_errors_total{code=\"-32700\"} 1\n",
        "hyperspace_rpc_refused_total{reason=\"foreign_origin\"} 1\n",
        "hyperspace_rpc_call_seconds_count 4\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(!text.contains("made-up") && text.matches("# EOF").count() == 1, "{text}");
}

fn tls(dir: &tempfile::TempDir, names: &[&str]) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap();
    let files = TlsFiles { certificates: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    std::fs::write(&files.certificates, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

#[tokio::test]
async fn calls_go_over_tls_to_whom_the_certificate_names() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = tls(&dir, &["localhost"]);
    let foreign = tls(&other, &["localhost"]).certificates;
    let rig = rig(|config| config.tls = Some(files.clone()));
    // A client that never says anything delays nobody.
    let _silent = TcpStream::connect(rig.addr).await.unwrap();
    let port = rig.addr.port();
    let target = |host: &str, ca: &std::path::Path| Target {
        ca: Some(ca.into()),
        ..Target::new(format!("wss://{host}:{port}"))
    };
    let mine = &files.certificates;
    assert_eq!(call(&target("localhost", mine), "echo", json!({ "a": 1 })).await.unwrap(), json!({ "a": 1 }));
    for wrong in [target("127.0.0.1", mine), target("localhost", &foreign)] {
        let error = call(&wrong, "echo", json!({})).await.unwrap_err();
        assert!(matches!(error, CallError::Certificate(..)), "{error:?}");
    }
    let error = call(&target("localhost", &files.key), "echo", json!({})).await.unwrap_err();
    assert!(matches!(error, CallError::Ca(..)), "{error:?}");
    let plain = Target::new(format!("ws://localhost:{port}"));
    assert!(call(&plain, "echo", json!({})).await.is_err());
    let bad = |certificates: &std::path::Path, key: &std::path::Path| {
        let tls = Some(TlsFiles { certificates: certificates.into(), key: key.into() });
        Server::bind(RpcConfig { addr: ([127, 0, 0, 1], 0).into(), tls, ..RpcConfig::default() }).unwrap_err()
    };
    for error in
        [bad(&files.key, mine), bad(mine, mine), bad(&foreign, &files.key), bad("/no/file".as_ref(), mine)]
    {
        assert!(matches!(error, BindError::Tls(..)), "{error}");
    }
}

#[tokio::test]
async fn the_client_says_what_went_wrong() {
    let rig = rig(keyed);
    let url = format!("ws://{}", rig.addr);
    let target = Target { key: Some(KEY.into()), ..Target::new(&url) };
    assert_eq!(call(&target, "echo", Value::Null).await.unwrap(), Value::Null);
    let error = call(&target, "fail", Value::Null).await.unwrap_err();
    assert!(matches!(error, CallError::Reply { code: -32001, .. }), "{error:?}");
    let error = call(&target, "echo", json!([1])).await.unwrap_err();
    assert!(matches!(error, CallError::Reply { code: -32602, .. }), "{error:?}");
    let error = call(&Target::new(&url), "echo", Value::Null).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused { status: 401, message } if message.contains("API key")),
        "{error:?}"
    );
    let hasty = Target { timeout: Duration::from_millis(50), ..target.clone() };
    let error = call(&hasty, "slow", Value::Null).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout(_)), "{error:?}");
    rig.backend.gate.add_permits(1);
    rig.stop().await;
    // Bound, so that nobody else is given it, but nobody listens.
    let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let at = nobody.local_addr().unwrap().as_socket().unwrap();
    let error = call(&Target::new(format!("ws://{at}")), "echo", Value::Null).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(..)), "{error:?}");
    let wrong = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error =
        Server::bind(RpcConfig { addr: wrong.local_addr().unwrap(), ..RpcConfig::default() }).unwrap_err();
    assert!(matches!(error, BindError::Listen(..)), "{error}");
}
