//! How many requests a node answers, beside an echo server on the same WebSocket stack in the same run.
//!
//! `cargo run --release -p hyperspace-node --example load [SECONDS]`: each row is one method over one or 64 connections, one
//! request at a time on each. The store is a folder of the system's temporary files: commits are as durable as there.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message as Echoed, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures::{SinkExt, StreamExt};
use hyperspace_node::client::{Target, call};
use hyperspace_node::serve::{Started, serve};
use hyperspace_node::settings::Settings;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// Memories that a search looks through.
const MEMORIES: usize = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let span = Duration::from_secs(seconds);
    let echo = echo().await?;
    let folder = std::env::temp_dir().join(format!("hyperlab-load-{}", std::process::id()));
    let (node, stop) = node(&folder).await?;
    let target = Target::new(&node.rpc[..]);
    let session = call(&target, "state.createSession", json!({})).await?["sessionId"].clone();
    println!("{:<20} {:>12} {:>12} {:>10} {:>10}", "method", "connections", "requests/s", "p50 ms", "p99 ms");
    let set = request("state.setState", &json!({"sessionId": session, "key": "k", "value": {"step": 1}}));
    let check = request("guard.checkBudget", &json!({"sessionId": session, "estimatedCost": 0.02}));
    for connections in [1, 64] {
        row("echo", &echo, &check, connections, span).await?;
        row("guard.checkBudget", &node.rpc, &check, connections, span).await?;
        row("state.setState", &node.rpc, &set, connections, span).await?;
    }
    fill(&node.rpc).await?;
    let search =
        request("memory.search", &json!({"query": "retry with backoff after error 4711", "limit": 5}));
    for connections in [1, 64] {
        row("memory.search", &node.rpc, &search, connections, span).await?;
    }
    // The node may have stopped by itself.
    let _ = stop.send(());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn request(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// A node on free ports; ends when the sender is used or dropped.
async fn node(folder: &Path) -> Result<(Started, oneshot::Sender<()>), Failure> {
    let mut settings = Settings::load(folder.to_owned(), None)?;
    settings.rpc.addr = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.rpc.limits.rate = u32::MAX >> 3;
    settings.rpc.limits.burst = u32::MAX >> 3;
    settings.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
    let (stop, stopped) = oneshot::channel();
    let (ready, started) = oneshot::channel();
    let stopped = async move {
        let _ = stopped.await;
    };
    tokio::spawn(async move {
        let told = |at: &Started| drop(ready.send(at.clone()));
        if let Err(error) = serve(settings, stopped, told).await {
            eprintln!("the node: {error}");
        }
    });
    Ok((started.await?, stop))
}

/// Sends back what it gets.
async fn echo() -> Result<String, Failure> {
    async fn answer(mut socket: WebSocket) {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Echoed::Text(_)) && socket.send(message).await.is_err() {
                return;
            }
        }
    }
    let app = Router::new().route("/", any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(answer) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Stores the memories, 64 at a time.
async fn fill(url: &str) -> Result<(), Failure> {
    let (mut socket, _) = connect_async(url).await?;
    let mut under_way = 0;
    for n in 0..MEMORIES {
        let content =
            format!("Memory {n}: error {} of service {} is gone after a retry", n % 97 * 49, n % 13);
        socket.send(Message::text(request("memory.store", &json!({"content": content})))).await?;
        under_way += 1;
        if under_way == 64 {
            answered(&mut socket).await?;
            under_way -= 1;
        }
    }
    for _ in 0..under_way {
        answered(&mut socket).await?;
    }
    Ok(())
}

/// Reads one answer and sees that it is no error.
async fn answered<S>(socket: &mut S) -> Result<(), Failure>
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let message = socket.next().await.ok_or("the connection ended")??;
        if let Message::Text(text) = message {
            if text.contains("\"error\"") {
                return Err(text.to_string().into());
            }
            return Ok(());
        }
    }
}

/// Measures one method over so many connections, and prints the row.
async fn row(
    name: &str,
    url: &str,
    request: &str,
    connections: usize,
    span: Duration,
) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (mut socket, _) = connect_async(url).await?;
        let request = request.to_owned();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let end = Instant::now() + span;
            while Instant::now() < end {
                let sent = Instant::now();
                socket.send(Message::text(request.clone())).await?;
                answered(&mut socket).await?;
                times.push(sent.elapsed());
            }
            Ok::<_, Failure>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let rate = times.len() as f64 / span.as_secs_f64();
    println!("{name:<20} {connections:>12} {rate:>12.0} {:>10.3} {:>10.3}", at(50), at(99));
    Ok(())
}
