//! TCP connections that come to an end.
//!
//! libp2p closes a connection by writing what is left over it, and counts it as open until that is done. A remote that has
//! stopped reading could keep it open for ever so: here closing has a time limit, after which the socket is dropped.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::{PeerId, identity, noise, tcp, yamux};
use tokio::time::{Sleep, sleep};

/// How long closing may take. Our choice.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a connection may take to be made, handshakes included: as libp2p's own default.
const MAKING: Duration = Duration::from_secs(10);

/// TCP with Noise and Yamux, closing in time.
///
/// # Errors
/// If the key cannot be used.
pub fn transport(
    pair: &identity::Keypair,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Box<dyn Error + Send + Sync>> {
    let noise = noise::Config::new(pair)?;
    let mut yamux = yamux::Config::default();
    // Every stream may hold a window of bytes that nobody has read.
    yamux.set_max_num_streams(STREAMS_MAX);
    let made = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(MAKING);
    Ok(made.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Ending { inner: muxer, limit: None }))).boxed())
}

/// Streams of one connection. Our choice: both sides' requests, gossip, identify and ping, and some that are closing.
const STREAMS_MAX: usize = 128;

struct Ending<M> {
    inner: M,
    limit: Option<Pin<Box<Sleep>>>,
}

impl<M: StreamMuxer<Error: Into<io::Error>> + Unpin> StreamMuxer for Ending<M> {
    type Substream = M::Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        Pin::new(&mut self.inner).poll_inbound(cx).map_err(Into::into)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<M::Substream>> {
        Pin::new(&mut self.inner).poll_outbound(cx).map_err(Into::into)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed.map_err(Into::into));
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        limit.poll_unpin(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx).map_err(Into::into)
    }
}
