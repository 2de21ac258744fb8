//! A small JSON-RPC 2.0 client over WebSocket (spec 2.2): one connection, one call. It is what `hyperlab call` uses.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// Longest message of a server, in bytes: 16 MiB, our choice.
pub const REPLY_BYTES_MAX: usize = 16 << 20;

/// How to reach a node.
#[derive(Clone)]
pub struct Target {
    /// `ws://HOST:PORT` or `wss://HOST:PORT`, with a path or without.
    pub url: String,
    /// The API key or a session's token, sent as `Authorization: Bearer`. Never part of the URL.
    pub key: Option<String>,
    /// A PEM file of the certificates to trust for `wss://`, in the place of the system's: for a node that has its own.
    pub ca: Option<PathBuf>,
    /// For everything, from the first packet to the answer.
    pub timeout: Duration,
}

impl Target {
    /// A node at `url`, without a key, with the system's certificates and 30 s.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), key: None, ca: None, timeout: Duration::from_secs(30) }
    }
}

impl core::fmt::Debug for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let key = self.key.as_ref().map(|_| "...");
        f.debug_struct("Target").field("url", &self.url).field("key", &key).field("ca", &self.ca).finish()
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL is none for WebSocket, or has a key in it.
    #[error("'{0}' is not a URL like ws://127.0.0.1:3100 or wss://host:port")]
    Url(String),
    /// The key cannot be sent in a header.
    #[error("the API key has characters that no header can carry")]
    Key,
    /// The file of trusted certificates cannot be used.
    #[error("cannot use {path} as trusted certificates: {1}", path = .0.display())]
    Ca(PathBuf, String),
    /// Nobody listens there, or the name is unknown.
    #[error("cannot reach {0}: {1}")]
    Unreachable(String, String),
    /// The server cannot show that it is whom we call.
    #[error("{0} does not show a certificate that is trusted for this name: {1}")]
    Certificate(String, String),
    /// The server did not let us in. Its own words, if it says why.
    #[error("refused with HTTP {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server says, cut to 1,024 characters.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection ended before the answer.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// The answer is no JSON-RPC.
    #[error("the answer is not JSON-RPC 2.0: {0}")]
    NotJsonRpc(String),
    /// The node answered with an error (spec 8).
    #[error("error {code}: {message}")]
    Reply {
        /// The code.
        code: i64,
        /// The message.
        message: String,
        /// Its data, or null.
        data: Value,
    },
}

/// Calls one method and waits for its result. `params` is an object, or null for none.
///
/// # Errors
/// See [`CallError`].
pub async fn call(target: &Target, method: &str, params: Value) -> Result<Value, CallError> {
    timeout(target.timeout, run(target, method, params))
        .await
        .unwrap_or(Err(CallError::Timeout(target.timeout)))
}

async fn run(target: &Target, method: &str, params: Value) -> Result<Value, CallError> {
    let mut socket = connect(target).await?;
    let mut request = json!({ "jsonrpc": "2.0", "id": 1, "method": method });
    if !params.is_null() {
        request["params"] = params;
    }
    let closed = |error: tungstenite::Error| CallError::Closed(error.to_string());
    socket.send(Message::text(request.to_string())).await.map_err(closed)?;
    while let Some(message) = socket.next().await {
        let text = match message.map_err(closed)? {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let reason = frame
                    .map_or_else(|| "no reason".into(), |frame| format!("{} {}", frame.code, frame.reason));
                return Err(CallError::Closed(reason));
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if let Some(result) = read(&text)? {
            // The answer is there: nothing hangs on a polite end.
            let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
            return result;
        }
    }
    Err(CallError::Closed("without an answer".into()))
}

/// The answer, unless the text is something else that a node may send.
fn read(text: &str) -> Result<Option<Result<Value, CallError>>, CallError> {
    let odd = |problem: &str| CallError::NotJsonRpc(problem.into());
    let mut reply: Value = serde_json::from_str(text).map_err(|error| odd(&error.to_string()))?;
    let object = reply.as_object_mut().ok_or_else(|| odd("not an object"))?;
    if object.contains_key("method") {
        return Ok(None);
    }
    if object.get("jsonrpc") != Some(&json!("2.0")) {
        return Err(odd("no jsonrpc"));
    }
    // An error without an id is about the one request that there is.
    let ours = object.get("id").is_some_and(|id| id == 1 || id.is_null());
    match (object.remove("result"), object.remove("error")) {
        _ if !ours => Ok(None),
        (Some(result), None) => Ok(Some(Ok(result))),
        (None, Some(error)) => {
            let code = error["code"].as_i64().ok_or_else(|| odd("an error without a code"))?;
            let message = error["message"].as_str().unwrap_or_default().to_owned();
            Ok(Some(Err(CallError::Reply { code, message, data: error["data"].clone() })))
        }
        (Some(_), Some(_)) => Err(odd("both a result and an error")),
        (None, None) => Err(odd("neither a result nor an error")),
    }
}

async fn connect(target: &Target) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, CallError> {
    let url = target.url.as_str();
    let request = request(target)?;
    let tls = match (&target.ca, request.uri().scheme_str()) {
        (_, Some("ws")) => Some(Connector::Plain),
        (Some(path), _) => Some(Connector::Rustls(Arc::new(trusting(path)?))),
        (None, _) => {
            // The library makes its own settings then and asks the process for a provider. Whoever was first decides.
            let _ = rustls::crypto::ring::default_provider().install_default();
            None
        }
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(REPLY_BYTES_MAX))
        .max_frame_size(Some(REPLY_BYTES_MAX))
        .read_buffer_size(16 * 1024);
    match connect_async_tls_with_config(request, Some(config), true, tls).await {
        Ok((socket, _)) => Ok(socket),
        Err(error) => Err(refused(url, error)),
    }
}

fn request(target: &Target) -> Result<Request, CallError> {
    let url = || CallError::Url(target.url.clone());
    let mut request = target.url.as_str().into_client_request().map_err(|_| url())?;
    let uri = request.uri();
    // What stands before an @ would be lost without a word.
    let user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    if !matches!(uri.scheme_str(), Some("ws" | "wss")) || uri.host().is_none_or(str::is_empty) || user {
        return Err(url());
    }
    if let Some(key) = &target.key {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| CallError::Key)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

fn trusting(path: &PathBuf) -> Result<ClientConfig, CallError> {
    let odd = |problem: String| CallError::Ca(path.clone(), problem);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| odd(error.to_string()))? {
        let certificate = certificate.map_err(|error| odd(error.to_string()))?;
        roots.add(certificate).map_err(|error| odd(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(odd("there is no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| odd(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn refused(url: &str, error: tungstenite::Error) -> CallError {
    use tungstenite::Error as E;
    match error {
        E::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body);
            let told = serde_json::from_slice::<Value>(body).ok();
            let told = told.as_ref().and_then(|body| body["message"].as_str()).unwrap_or(&text);
            let message = told.chars().filter(|c| !c.is_control()).take(1_024).collect();
            CallError::Refused { status: response.status().as_u16(), message }
        }
        E::Io(error) => {
            // A broken handshake comes as an error of IO with one of TLS inside.
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(rustls::Error::InvalidCertificate(_)) => {
                    CallError::Certificate(url.into(), error.to_string())
                }
                _ => CallError::Unreachable(url.into(), error.to_string()),
            }
        }
        error @ (E::Protocol(_) | E::HttpFormat(_) | E::Utf8(_) | E::Capacity(_)) => {
            CallError::NotJsonRpc(error.to_string())
        }
        E::Url(_) => CallError::Url(url.into()),
        error @ (E::ConnectionClosed
        | E::AlreadyClosed
        | E::Tls(_)
        | E::WriteBufferFull(_)
        | E::AttackAttempt) => {
            let source = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            CallError::Unreachable(url.into(), source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_sent() {
        for bad in
            ["", "127.0.0.1:3100", "http://a", "ws://", "wss:///path", "ws://user:pass@host", "ws://a b"]
        {
            assert!(matches!(request(&Target::new(bad)), Err(CallError::Url(_))), "{bad}");
        }
        for fine in ["ws://127.0.0.1:3100", "wss://[::1]:3100/any/path", "ws://localhost"] {
            assert!(request(&Target::new(fine)).is_ok(), "{fine}");
        }
        let target = Target { key: Some("a\nb".into()), ..Target::new("ws://a") };
        assert!(matches!(request(&target), Err(CallError::Key)));
        let target = Target { key: Some("secret".into()), ..target };
        assert!(!format!("{target:?} {:?}", request(&target).unwrap()).contains("secret"));
    }

    #[test]
    fn answers_are_told_from_other_messages() {
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap().unwrap().unwrap(), Value::Null);
        for other in
            [r#"{"jsonrpc":"2.0","id":"srv-1","method":"x"}"#, r#"{"jsonrpc":"2.0","id":2,"result":1}"#]
        {
            assert!(read(other).unwrap().is_none());
        }
        for odd in ["", "1", "{}", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":1,"error":1}"#] {
            assert!(matches!(read(odd), Err(CallError::NotJsonRpc(_))), "{odd}");
        }
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"m","data":{"a":1}}}"#;
        let CallError::Reply { code: -32001, data, .. } = read(error).unwrap().unwrap().unwrap_err() else {
            panic!()
        };
        assert_eq!(data, json!({"a": 1}));
    }
}
