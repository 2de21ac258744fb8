//! Connections before they are WebSockets: TLS, a deadline for the whole of HTTP, bounds of its bytes, and how many
//! there may be.
//!
//! The deadline and the count of bytes sit below TLS and HTTP, so that whatever is slow or endless up there ends here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::config::{BindError, RpcLimits, TlsFiles};

/// Connections beyond the limit that are accepted to be told so. Our choice.
const TURNED_AWAY: usize = 32;

/// How long, and for how many bytes, a connection that we close is still read, because closing a socket with unread
/// bytes discards what we sent last. Our choice.
const LINGER: (Duration, u64) = (Duration::from_millis(500), 4 << 20);

/// Reads certificates and key.
pub(super) fn tls_config(files: &TlsFiles) -> Result<rustls::ServerConfig, BindError> {
    let at = |path: &std::path::Path, problem: String| BindError::Tls(path.into(), problem);
    let path = &files.certificates;
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(path, error.to_string()))?;
    if chain.is_empty() {
        return Err(at(path, "there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| at(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| at(path, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| at(path, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes connections up to the limit and a few more.
pub(super) struct Door {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    deadline: Duration,
    bytes: usize,
    places: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Door {
    /// `places` has a permit for each connection that may be there.
    pub(super) fn new(
        tcp: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &RpcLimits,
        places: Arc<Semaphore>,
    ) -> Self {
        Self {
            tcp,
            tls: tls.map(TlsAcceptor::from),
            deadline: limits.handshake,
            // Twice, that TLS and a polite refusal have room.
            bytes: 2 * limits.header_bytes + 16 * 1024,
            places,
            beyond: Arc::new(Semaphore::new(TURNED_AWAY)),
        }
    }

    async fn place(&self) -> (OwnedSemaphorePermit, bool) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return (place, false);
        }
        let beyond = self.beyond.clone().acquire_owned().await.expect("never closed");
        // One may have become free since.
        match self.places.clone().try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => (beyond, true),
        }
    }
}

impl Listener for Door {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        let (tcp, addr) = Listener::accept(&mut self.tcp).await;
        // Requests and answers are small and somebody waits for each.
        let _ = tcp.set_nodelay(true);
        let (place, full) = self.place().await;
        let visit = Arc::new(Visit { addr, full, upgraded: AtomicBool::new(false), place: Arc::new(place) });
        let deadline = Box::pin(sleep(self.deadline));
        let guarded = Guarded { tcp: Some(tcp), visit: visit.clone(), deadline, read: 0, bytes: self.bytes };
        let layer = match &self.tls {
            None => Layer::Plain(guarded),
            Some(tls) => Layer::Handshake(Box::new(tls.accept(guarded))),
        };
        (Io { layer, visit }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// What is known of a connection, for those who handle its request.
pub(super) struct Visit {
    /// From where.
    pub(super) addr: SocketAddr,
    /// It is beyond the limit and is only to be told so.
    pub(super) full: bool,
    upgraded: AtomicBool,
    /// Its place among the connections, given back when all who hold it are done.
    pub(super) place: Arc<OwnedSemaphorePermit>,
}

impl Visit {
    /// From now on it is a WebSocket, with deadlines of its own.
    pub(super) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }
}

/// The `Visit` of a request, put there by axum.
#[derive(Clone)]
pub(super) struct Visitor(pub(super) Arc<Visit>);

impl Connected<IncomingStream<'_, Door>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.io().visit.clone())
    }
}

/// A TCP stream that ends at its deadline or after too many bytes unless it becomes a WebSocket.
struct Guarded {
    /// Always there until it is dropped.
    tcp: Option<TcpStream>,
    visit: Arc<Visit>,
    deadline: Pin<Box<Sleep>>,
    read: usize,
    bytes: usize,
}

impl Guarded {
    fn stream(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        if !self.visit.upgraded.load(Ordering::Relaxed)
            && (self.read > self.bytes || self.deadline.as_mut().poll(cx).is_ready())
        {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Pin::new(self.tcp.as_mut().expect("taken by drop alone")))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.stream(cx)?.poll_read(cx, buf))?;
        self.read = self.read.saturating_add(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream(cx)?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let (Some(mut tcp), Ok(runtime)) = (self.tcp.take(), Handle::try_current()) {
            let visit = self.visit.clone();
            runtime.spawn(async move {
                let (time, bytes) = LINGER;
                let _ = timeout(time, async {
                    tcp.shutdown().await?;
                    tokio::io::copy(&mut (&mut tcp).take(bytes), &mut tokio::io::sink()).await
                })
                .await;
                drop(visit);
            });
        }
    }
}

/// One connection. TLS begins when it is first read, in the connection's own task, so that a slow one delays nobody.
pub(super) struct Io {
    layer: Layer,
    visit: Arc<Visit>,
}

enum Layer {
    Plain(Guarded),
    Handshake(Box<Accept<Guarded>>),
    Tls(Box<TlsStream<Guarded>>),
    Broken,
}

impl Io {
    /// The stream, once TLS stands.
    fn stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut (dyn Duplex + Unpin)>>> {
        if let Layer::Handshake(accept) = &mut self.layer {
            self.layer = match ready!(Pin::new(&mut **accept).poll(cx)) {
                Ok(stream) => Layer::Tls(Box::new(stream)),
                Err(_) => Layer::Broken,
            };
        }
        Poll::Ready(match &mut self.layer {
            Layer::Plain(stream) => Ok(Pin::new(stream)),
            Layer::Tls(stream) => Ok(Pin::new(&mut **stream)),
            Layer::Handshake(_) | Layer::Broken => Err(io::ErrorKind::ConnectionAborted.into()),
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Duplex for T {}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.stream(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.stream(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream(cx))?.poll_shutdown(cx)
    }
}
