//! One WebSocket connection (RFC 6455): the handshake, what comes, and frames as a case gives them.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::case::RawFrame;

use super::{ConnectionId, End, Incoming, Key, KeyPlace, Outgoing, TargetError, TargetOptions};

/// Longest message of a target, in bytes.
const MESSAGE_MAX: usize = 4 << 20;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The half of a connection that sends.
pub(super) type Sender = SplitSink<Socket, Message>;

/// Opens a connection. What comes goes to `events`, in a task that ends with the connection.
pub(super) async fn connect(
    url: &str,
    key: Option<&str>,
    options: &TargetOptions,
) -> Result<Socket, TargetError> {
    let request = request(url, key, &options.key_place)?;
    let connector = match (request.uri().scheme_str(), &options.ca) {
        (Some("wss"), Some(path)) => Some(Connector::Rustls(Arc::new(trusting(path)?))),
        (Some("wss"), None) => {
            // The library asks the process for a provider; whoever was first decides.
            let _ = rustls::crypto::ring::default_provider().install_default();
            None
        }
        _ => Some(Connector::Plain),
    };
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    match connect_async_tls_with_config(request, Some(config), true, connector).await {
        Ok((socket, _)) => Ok(socket),
        Err(error) => Err(refused(url, error)),
    }
}

fn request(url: &str, key: Option<&str>, place: &KeyPlace) -> Result<Request, TargetError> {
    let bad = |why: String| {
        TargetError::Unreachable(format!("'{url}' is no address such as ws://127.0.0.1:3100: {why}"))
    };
    let mut url = url.to_owned();
    if let (Some(key), KeyPlace::Query(name)) = (key, place) {
        // A query needs a path before it.
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let separator = match (rest.contains('?'), rest.contains('/')) {
            (true, _) => "&",
            (false, true) => "?",
            (false, false) => "/?",
        };
        url = format!("{url}{separator}{name}={key}");
    }
    let mut request = url.as_str().into_client_request().map_err(|error| bad(error.to_string()))?;
    let value = |text: String| {
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| bad("the key has characters that no header carries".to_owned()))?;
        value.set_sensitive(true);
        Ok::<_, TargetError>(value)
    };
    let Some(key) = key else { return Ok(request) };
    match place {
        KeyPlace::Bearer => {
            request.headers_mut().insert(header::AUTHORIZATION, value(format!("Bearer {key}"))?);
        }
        KeyPlace::Header(name) => {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(format!("'{name}' is no header")))?;
            request.headers_mut().insert(name, value(key.to_owned())?);
        }
        KeyPlace::Subprotocol => {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value(key.to_owned())?);
        }
        KeyPlace::Query(_) => {}
    }
    Ok(request)
}

fn trusting(path: &Path) -> Result<ClientConfig, TargetError> {
    let bad = |why: String| {
        TargetError::Unreachable(format!("cannot use {} as trusted certificates: {why}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn refused(url: &str, error: Error) -> TargetError {
    let place = url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    let place = place.unwrap_or_else(|| url.to_owned());
    let untrusted = |error: &dyn core::fmt::Display| {
        TargetError::Unreachable(format!(
            "{place} does not speak TLS that we trust: {error}; give --ca FILE if it has a certificate of its own"
        ))
    };
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let body: String = body.chars().take(300).collect();
            let advice = match response.status().as_u16() {
                401 | 403 => {
                    "; give --api-key, and --api-key-in if the key goes elsewhere than into a bearer token"
                }
                _ => "",
            };
            TargetError::Refused(format!(
                "{place} answers the handshake with HTTP {}: {body}{advice}",
                response.status()
            ))
        }
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            untrusted(&error)
        }
        Error::Io(error) => TargetError::Unreachable(format!(
            "cannot reach {place}: {error}; is the node running, and does it serve WebSocket there? (the specification's port is 3100)"
        )),
        Error::Tls(error) => untrusted(&error),
        other => TargetError::Unreachable(format!("{place} listens but does not speak WebSocket: {other}")),
    }
}

/// The key to show, if any.
pub(super) fn shown<'a>(key: &'a Key, options: &'a TargetOptions) -> Option<&'a str> {
    match key {
        Key::Given => options.key.as_deref(),
        Key::None => None,
        Key::Text(text) => Some(text),
    }
}

/// Reads until the connection is over.
pub(super) async fn read(
    id: ConnectionId,
    mut stream: SplitStream<Socket>,
    events: mpsc::Sender<(ConnectionId, Incoming)>,
) {
    loop {
        let what = match stream.next().await {
            Some(Ok(message)) => incoming(message),
            Some(Err(error)) => Incoming::Closed(broken(&error)),
            None => Incoming::Closed(End { code: None, reason: "it is over".to_owned(), fault: false }),
        };
        let over = matches!(what, Incoming::Closed(_));
        if events.send((id, what)).await.is_err() || over {
            return;
        }
    }
}

fn incoming(message: Message) -> Incoming {
    let frame =
        |opcode, payload: &[u8]| Incoming::Frame(RawFrame { opcode, fin: true, payload: payload.to_vec() });
    match message {
        Message::Text(text) => Incoming::Text(text.as_str().to_owned()),
        Message::Binary(bytes) => frame(2, &bytes),
        Message::Ping(bytes) => frame(9, &bytes),
        Message::Pong(bytes) => frame(10, &bytes),
        Message::Frame(raw) => frame(u8::from(raw.header().opcode), raw.payload()),
        Message::Close(close) => Incoming::Closed(match close {
            Some(close) => {
                End { code: Some(close.code.into()), reason: close.reason.as_str().to_owned(), fault: false }
            }
            None => End { code: None, reason: "a close frame without a code".to_owned(), fault: false },
        }),
    }
}

fn broken(error: &Error) -> End {
    let (reason, fault) = match error {
        Error::ConnectionClosed | Error::AlreadyClosed => ("it is over".to_owned(), false),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => (
            "cut without a close frame, perhaps by a crash, perhaps in the middle of a message".to_owned(),
            false,
        ),
        Error::Io(error) => (format!("cut without a close frame: {error}"), false),
        Error::Utf8(_) => ("a text message from the target is not UTF-8 (RFC 6455, 8.1)".to_owned(), true),
        Error::Capacity(error) => (format!("a message from the target is too long: {error}"), true),
        other => (format!("the target breaks the WebSocket protocol: {other}"), true),
    };
    End { code: None, reason, fault }
}

/// Sends what a case says.
pub(super) async fn send(sender: &mut Sender, what: &Outgoing) -> Result<(), Error> {
    match what {
        Outgoing::Text(text) => sender.send(Message::text(text.as_str())).await,
        Outgoing::Frames(frames) => {
            for frame in frames {
                let header = FrameHeader {
                    is_final: frame.fin,
                    opcode: (frame.opcode & 15).into(),
                    ..FrameHeader::default()
                };
                let frame = Frame::from_payload(header, frame.payload.clone().into());
                sender.feed(Message::Frame(frame)).await?;
            }
            sender.flush().await
        }
    }
}
