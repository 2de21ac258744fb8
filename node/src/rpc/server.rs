//! From a port to connections, and the end of all of them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::auth::ApiKeys;
use super::clients::Clients;
use super::config::{BindError, RpcConfig};
use super::connection::Shared;
use super::listener::{Door, Visitor, tls_config};
use super::metrics::Metrics;
use super::seats::Seats;
use super::{Backend, http};

/// What closing handshakes and last bytes may take at shutdown beyond the calls in flight. Our choice.
const FAREWELL: Duration = Duration::from_secs(3);

/// A server with its port open, not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    config: RpcConfig,
    tls: Option<Arc<rustls::ServerConfig>>,
    clients: Clients,
}

impl Server {
    /// Opens the port. Clients that connect before [`Server::run`] wait.
    ///
    /// # Errors
    /// If the configuration contradicts itself or would be open to everybody unasked, certificate or key cannot be used,
    /// or the address cannot be had.
    pub fn bind(config: RpcConfig) -> Result<Self, BindError> {
        config.check()?;
        let tls = config.tls.as_ref().map(tls_config).transpose()?.map(Arc::new);
        let at = |source| BindError::Listen(config.addr, source);
        let listener = TcpListener::bind(config.addr).map_err(at)?;
        listener.set_nonblocking(true).map_err(at)?;
        let addr = listener.local_addr().map_err(at)?;
        let clients = Clients::new(&config.limits);
        Ok(Self { listener, addr, config, tls, clients })
    }

    /// Where it listens, with the port that was chosen if 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL that clients on this host connect to.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "wss" } else { "ws" }, self.addr)
    }

    /// The API keys that it lets in.
    pub fn keys(&self) -> ApiKeys {
        self.config.keys.clone()
    }

    /// Its clients, for a backend that asks them to run their tools.
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Serves until `shutdown` ends, then takes no more connections or requests, lets calls in flight end for a while
    /// and closes every connection with 1001. Must run in a tokio runtime with time and IO.
    ///
    /// # Errors
    /// If the runtime does not take the port.
    pub async fn run<B: Backend>(
        self,
        backend: Arc<B>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let tcp = tokio::net::TcpListener::from_std(self.listener)?;
        let limits = self.config.limits;
        let places = Arc::new(Semaphore::new(limits.connections));
        let (stop, mut stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            metrics: Metrics::new(backend.methods()),
            backend,
            config: self.config,
            clients: self.clients,
            stop: stopped.clone(),
            next_client: AtomicU64::new(1),
            next_call: AtomicU64::new(1),
            seats: Seats::default(),
        });
        let door = Door::new(tcp, self.tls, &limits, places.clone());
        let routes = Router::new().fallback(http::handle::<B>).with_state(shared);
        let serve = axum::serve(door, routes.into_make_service_with_connect_info::<Visitor>())
            .with_graceful_shutdown(async move {
                shutdown.await;
                let _ = stop.send(true);
            });
        let (all, patience) = (limits.connections as u32, limits.shutdown + FAREWELL);
        let mut late = stopped.clone();
        let late = async {
            let _ = late.wait_for(|stop| *stop).await;
            sleep(patience).await;
        };
        let gone = async {
            let _ = stopped.wait_for(|stop| *stop).await;
            // Each connection and each call of one that is gone has a place.
            let _ = timeout(patience, places.acquire_many(all)).await;
        };
        let served = async {
            tokio::select! {
                served = serve => served,
                () = late => Ok(()),
            }
        };
        tokio::join!(served, gone).0
    }
}
