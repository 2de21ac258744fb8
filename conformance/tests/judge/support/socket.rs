//! Servers that behave and that misbehave, each in a thread of its own for as long as the test runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::{SinkExt, StreamExt};
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

/// A node over WebSocket and TLS, with a certificate of its own; gives that too, as PEM.
pub(crate) fn tls() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
                let mut node = Node::new(Fault::None);
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    if let Some(answer) = node.answer(text.as_str()) {
                        let _ = socket.send(Message::text(answer)).await;
                    }
                }
            }
        });
    });
    (format!("wss://localhost:{port}"), own.cert.pem())
}
