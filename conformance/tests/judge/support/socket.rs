//! Servers that behave and that misbehave, each in a thread of its own for as long as the test runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{Fault, Node};

/// Serves every connection in a thread; gives the address.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = Arc::clone(&handle);
            thread::spawn(move || handle(stream));
        }
    });
    format!("ws://{address}")
}

/// Serves WebSocket: `handle` gets each connection after the handshake.
pub(crate) fn websocket(handle: impl Fn(WebSocket<TcpStream>) + Send + Sync + 'static) -> String {
    serve(move |stream| {
        if let Ok(socket) = tungstenite::accept(stream) {
            handle(socket);
        }
    })
}

/// A node over WebSocket.
pub(crate) fn node(fault: Fault) -> String {
    let node = Arc::new(Mutex::new(Node::new(fault)));
    websocket(move |mut socket| {
        while let Ok(message) = socket.read() {
            let Message::Text(text) = message else { continue };
            let answer = node.lock().expect("no panic").answer(text.as_str());
            if answer.is_some_and(|answer| socket.send(Message::text(answer)).is_err()) {
                return;
            }
        }
    })
}

/// Answers every text with this one; `{id}` is the id of the request.
pub(crate) fn says(answer: &'static str) -> String {
    websocket(move |mut socket| {
        while let Ok(message) = socket.read() {
            let Message::Text(text) = message else { continue };
            let request: serde_json::Value = serde_json::from_str(text.as_str()).unwrap_or_default();
            if socket.send(Message::text(answer.replace("{id}", &request["id"].to_string()))).is_err() {
                return;
            }
        }
    })
}

/// After each request writes these bytes as they stand, and closes.
pub(crate) fn bytes(bytes: &'static [u8]) -> String {
    websocket(move |mut socket| {
        let _ = socket.read();
        let _ = socket.get_mut().write_all(bytes);
    })
}

/// Reads and says nothing, from the first byte on.
pub(crate) fn deaf() -> String {
    serve(|mut stream| while matches!(stream.read(&mut [0; 512]), Ok(1..)) {})
}
