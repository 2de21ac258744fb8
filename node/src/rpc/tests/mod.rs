//! The server over real sockets, before a backend that does what the tests tell it. Nothing sleeps: everything waits for
//! an event, and fails if that does not come within [`DEADLINE`].

mod doors;
mod frames;
mod pressure;
mod tools;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use hyperspace_protocol::primitive::{Answer, Call, CallId, ClientId, Code, Error, Execute, Executed, Tier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

const KEY: &str = "a-key-of-sixteen-characters";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("within the deadline")
}

/// A backend whose methods are made for tests.
struct Fake {
    clients: OnceLock<Clients>,
    /// Lets calls of `slow` end.
    gate: Semaphore,
    /// How often `count` was called, how many calls of `slow` run, how many ran at once.
    counted: watch::Sender<usize>,
    running: watch::Sender<usize>,
    peak: watch::Sender<usize>,
    gone: watch::Sender<Vec<ClientId>>,
    /// How often `count` had been called when each of them went.
    counted_when_gone: watch::Sender<Vec<usize>>,
    ill: AtomicBool,
}

impl Fake {
    fn new() -> Self {
        Self {
            clients: OnceLock::new(),
            gate: Semaphore::new(0),
            counted: watch::Sender::default(),
            running: watch::Sender::default(),
            peak: watch::Sender::default(),
            gone: watch::Sender::default(),
            counted_when_gone: watch::Sender::default(),
            ill: AtomicBool::new(false),
        }
    }

    async fn run(&self, call: &Call) -> Result<Value, Error> {
        let params = serde_json::from_str::<Value>(call.params.as_deref().unwrap_or("null"))
            .map_err(|error| Error::new(Code::InvalidParams, error.to_string()))?;
        match &*call.method {
            "echo" => Ok(params),
            "fail" => Err(Error::session("s")),
            "panic" => panic!("asked for by the test"),
            "big" => Ok("x".repeat(params["n"].as_u64().unwrap() as usize).into()),
            "count" => {
                self.counted.send_modify(|n| *n += 1);
                Ok(Value::Null)
            }
            "slow" => {
                self.running.send_modify(|n| *n += 1);
                self.peak.send_modify(|peak| *peak = (*peak).max(*self.running.borrow()));
                self.gate.acquire().await.unwrap().forget();
                self.running.send_modify(|n| *n -= 1);
                Ok(json!("done"))
            }
            "whoami" => {
                let tier = match &call.caller.tier {
                    Tier::Operator => "operator".to_owned(),
                    Tier::Session(id) => format!("session {id}"),
                };
                Ok(json!({ "tier": tier, "keyed": call.caller.key != 0, "client": call.caller.client.0 }))
            }
            "invoke" => {
                let client = params["client"].as_u64().map_or(call.caller.client, ClientId);
                let execute = Execute { id: CallId(9), client, params: r#"{"toolId":"t"}"#.into() };
                Ok(match self.clients.get().unwrap().execute(execute).await {
                    Executed::Result(output) => json!({ "output": output }),
                    Executed::Failed(error) => json!({ "failed": error }),
                    Executed::Unavailable => json!("unavailable"),
                })
            }
            _ => Err(Error::new(Code::MethodNotFound, "no such method")),
        }
    }
}

impl Backend for Fake {
    async fn call(&self, call: Call) -> Answer {
        Answer { id: call.id, result: self.run(&call).await.map(|value| value.to_string().into()) }
    }
    fn client_gone(&self, client: ClientId) {
        self.counted_when_gone.send_modify(|counted| counted.push(*self.counted.borrow()));
        self.gone.send_modify(|gone| gone.push(client));
    }
    fn methods(&self) -> &[&'static str] {
        &["slow", "echo"]
    }
    fn openrpc(&self) -> String {
        r#"{"openrpc":"1.3.2"}"#.into()
    }
    fn metrics(&self) -> String {
        "# HELP fake Of the fake.\nfake 1\n# EOF\n".into()
    }
    fn healthy(&self) -> Result<(), String> {
        if self.ill.load(Ordering::Relaxed) { Err("the disk is full".into()) } else { Ok(()) }
    }
    async fn session_of(&self, token: &str) -> Option<String> {
        (token == "the-token").then(|| "s1".into())
    }
}

/// A server that runs.
struct Rig {
    addr: SocketAddr,
    backend: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Begins a server with these changes to the defaults.
fn rig(change: impl FnOnce(&mut RpcConfig)) -> Rig {
    let mut config = RpcConfig { addr: ([127, 0, 0, 1], 0).into(), ..RpcConfig::default() };
    change(&mut config);
    let server = Server::bind(config).unwrap();
    let addr = server.local_addr();
    let backend = Arc::new(Fake::new());
    backend.clients.set(server.clients()).unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(backend.clone(), async {
        let _ = stopped.await;
    }));
    Rig { addr, backend, stop: Some(stop), task }
}

fn keyed(config: &mut RpcConfig) {
    config.keys = ApiKeys::new([KEY]).unwrap();
}

impl Rig {
    async fn connect(&self) -> Ws {
        self.connect_with("/", &[]).await.unwrap()
    }

    /// The connection, or the HTTP status.
    async fn connect_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Ws, u16> {
        let mut request = format!("ws://{}{path}", self.addr).into_client_request().unwrap();
        for (name, value) in headers {
            let name = name.parse::<HeaderName>().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match soon(connect_async(request)).await {
            Ok((socket, _)) => Ok(Ws(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends the head of a request and reads the response to its end.
    async fn http(&self, line: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut head = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += "host: localhost\r\n";
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut tcp = soon(TcpStream::connect(self.addr)).await.unwrap();
        tcp.write_all((head + "\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        soon(tcp.read_to_string(&mut text)).await.unwrap();
        (text.get(9..12).expect(&text).parse().unwrap(), text)
    }

    async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        soon(&mut self.task).await.unwrap().unwrap();
    }

    async fn until_gone(&self, clients: usize) {
        soon(self.backend.gone.subscribe().wait_for(|gone| gone.len() >= clients)).await.unwrap();
    }

    async fn until_running(&self, calls: usize) {
        soon(self.backend.running.subscribe().wait_for(|n| *n == calls)).await.unwrap();
    }
}

/// A client.
struct Ws(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    async fn send(&mut self, text: impl Into<String>) {
        soon(self.0.send(Message::text(text.into()))).await.unwrap();
    }

    async fn call(&mut self, id: u32, method: &str, params: &str) {
        self.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)).await;
    }

    /// The next text.
    async fn text(&mut self) -> String {
        loop {
            match soon(self.0.next()).await.expect("not the end").unwrap() {
                Message::Text(text) => return text.as_str().to_owned(),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The code of the error that comes next, with its id.
    async fn error(&mut self) -> (Value, i64) {
        let reply = self.json().await;
        (reply["id"].clone(), reply["error"]["code"].as_i64().expect("an error"))
    }

    async fn ask(&mut self, method: &str, params: &str) -> Value {
        self.call(1, method, params).await;
        self.json().await["result"].clone()
    }

    /// The code with which the server closes; 1006 if it just goes.
    async fn closed(&mut self) -> u16 {
        loop {
            match soon(self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 1006,
            }
        }
    }
}
