//! A whole node: store, identity, network, JSON-RPC server and control hook, started in the order in which they can fail
//! without harm and stopped in the order in which nothing acknowledged is lost.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::primitive::{
    Answer, Call, Caller, ClientId, Execute, Executed, Fetch, Fetched, Tier, methods, openrpc, token,
};
use libp2p::Multiaddr;
use sha2::{Digest, Sha256};
use tokio::sync::{broadcast, watch};

use crate::control::{Control, ControlError};
use crate::driver::{self, Effects, Event, Handle, Node, NodeError, StartError};
use crate::identity::{self, IdentityError};
use crate::outside::{Outside, OutsideError, crypto_provider};
use crate::rpc::{Backend, BindError, Clients, Server};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// Where a node can be reached.
#[derive(Clone, Debug)]
pub struct Started {
    /// Its peer id.
    pub peer: PeerId,
    /// The URL of its JSON-RPC server, as seen from this host.
    pub rpc: String,
    /// Its multiaddrs, with its peer id at the end.
    pub addresses: Vec<String>,
    /// The control hook's socket.
    pub control: Option<PathBuf>,
}

/// Why a node did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node has no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The JSON-RPC server cannot begin.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The outside cannot be asked as the settings say.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The network did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control hook cannot be had.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The node stopped by itself.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No bootstrap peer answers.
    #[error("no bootstrap peer can be reached:{}", .0.iter().map(|(_, why)| format!("\n  {why}")).collect::<String>())]
    Bootstrap(Vec<(Multiaddr, String)>),
    /// The server stopped by itself.
    #[error("the JSON-RPC server stopped: {0}")]
    Server(std::io::Error),
}

impl ServeError {
    /// The exit code of a program that ends with it: 2 for settings that cannot be used, 3 if it cannot listen or find its
    /// peers, 5 for the store and for what should not happen.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Outside(_)
            | Self::Identity(IdentityError::Length { .. } | IdentityError::Mode { .. })
            | Self::Store(
                StoreError::WrongPassphrase { .. }
                | StoreError::PassphraseNeeded { .. }
                | StoreError::PassphraseUnexpected { .. }
                | StoreError::Mode { .. }
                | StoreError::Export { .. },
            )
            | Self::Start(StartError::Address { .. } | StartError::Settings(_) | StartError::Protocol(_)) => {
                2
            }
            Self::Bind(BindError::Listen(..)) | Self::Control(ControlError::Listen { .. }) => 3,
            Self::Bind(_) | Self::Control(_) => 2,
            Self::Start(StartError::Net(_) | StartError::Silent) | Self::Bootstrap(_) => 3,
            Self::Store(_) | Self::Identity(_) | Self::Start(_) | Self::Node(_) | Self::Server(_) => 5,
        }
    }
}

/// Runs a node until `stop` ends, which stops it in good order, or until it cannot go on. `ready` is called once it serves.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    settings: Settings,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(&Started),
) -> Result<(), ServeError> {
    crypto_provider();
    let store = Store::open(&settings.data, &settings.unlock)?;
    let seed = identity::load_or_create(&settings.data)?;
    let wallet = identity::wallet(&settings.data)?;
    let server = Server::bind(settings.rpc)?;
    let outside = Arc::new(Outside::new(&settings.outside)?);
    let token_key = derived(&seed, "session tokens");
    let mut config = driver::Config::new(*seed);
    config.listen = settings.listen;
    config.bootstrap = settings.bootstrap;
    config.net = settings.net;
    config.dialect = settings.dialect;
    config.protocol = settings.protocol;
    config.protocol.primitives.token_key = token_key;
    config.protocol.primitives.micropayments.key = Some(wallet);
    settings.outside.tell(&mut config.protocol.primitives);
    config.store = Box::new(store);
    config.effects = Arc::new(Reach { clients: server.clients(), outside });
    let (handle, running) = Node::start(config).await?;
    let news = handle.events();
    let control = match &settings.control {
        Some(path) => Some(Control::bind(path, handle.clone(), server.keys())?),
        None => None,
    };
    ready(&started(&handle, &server, settings.control).await);
    let (end, ended) = watch::channel(false);
    let over = |mut ended: watch::Receiver<bool>| async move {
        // The sender is dropped only after it has sent.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let backend =
        Arc::new(Front { handle: handle.clone(), token_key, methods: methods().map(|m| m.name).collect() });
    let mut served = tokio::spawn(server.run(backend, over(ended.clone())));
    let hook = control.map(|control| tokio::spawn(control.run(over(ended))));
    let mut running = Box::pin(running.into_future());
    let mut result = tokio::select! {
        () = stop => Ok(()),
        result = &mut running => {
            // The node is gone already: what is left ends at once, and the hook takes its socket away.
            end.send_replace(true);
            if let Some(hook) = hook {
                let _ = hook.await;
            }
            return result.map_err(Into::into);
        }
        result = &mut served => Err(server_error(result)),
        failed = no_bootstrap(news) => Err(ServeError::Bootstrap(failed)),
    };
    // Calls in flight end first, while the node can still answer them.
    end.send_replace(true);
    if !served.is_finished()
        && let Ok(Err(error)) = served.await
    {
        result = result.and(Err(ServeError::Server(error)));
    }
    if let Some(hook) = hook {
        let _ = hook.await;
    }
    handle.shutdown().await;
    drop(handle);
    result.and(running.await.map_err(Into::into))
}

fn server_error(result: Result<std::io::Result<()>, tokio::task::JoinError>) -> ServeError {
    ServeError::Server(match result {
        Ok(Ok(())) => std::io::Error::other("it ended unasked"),
        Ok(Err(error)) => error,
        Err(error) => std::io::Error::other(error),
    })
}

async fn started(handle: &Handle, server: &Server, control: Option<PathBuf>) -> Started {
    let listening = handle.status().await.map(|status| status.listening).unwrap_or_default();
    let peer = handle.own();
    let addresses = listening.iter().map(|address| format!("{address}/p2p/{peer}")).collect();
    Started { peer, rpc: server.url(), addresses, control }
}

/// Ends when the first round of bootstrap has failed. Later ones are tried again and again: peers come and go. Listens no
/// longer than until then, because whoever listens and does not read holds on to messages.
async fn no_bootstrap(mut news: broadcast::Receiver<Event>) -> Vec<(Multiaddr, String)> {
    loop {
        match news.recv().await {
            Ok(Event::BootstrapFailed(failed)) => return failed,
            Ok(Event::PeerConnected(_)) | Err(broadcast::error::RecvError::Closed) => break,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        }
    }
    drop(news);
    std::future::pending().await
}

/// A secret for one purpose, from the node's own.
fn derived(seed: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"hyperlab/secret/1\0");
    hash.update(seed);
    hash.update(purpose);
    hash.finalize().into()
}

/// What the primitives reach beyond the network.
struct Reach {
    clients: Clients,
    outside: Arc<Outside>,
}

impl Effects for Reach {
    fn execute(&self, execute: Execute) -> BoxFuture<'static, Executed> {
        let clients = self.clients.clone();
        Box::pin(async move { clients.execute(execute).await })
    }

    fn fetch(&self, fetch: Fetch) -> BoxFuture<'static, Fetched> {
        let outside = Arc::clone(&self.outside);
        Box::pin(async move { outside.fetch(&fetch).await })
    }
}

/// Stands for no client: the server numbers them from 1.
const NOBODY: ClientId = ClientId(0);

/// The node as its clients see it.
struct Front {
    handle: Handle,
    token_key: [u8; 32],
    methods: Vec<&'static str>,
}

impl Backend for Front {
    async fn call(&self, call: Call) -> Answer {
        let result = self.handle.method(call.caller, &call.method, call.params).await;
        Answer { id: call.id, result }
    }

    fn client_gone(&self, client: ClientId) {
        self.handle.client_gone(client);
    }

    fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    fn openrpc(&self) -> String {
        openrpc().to_string()
    }

    fn metrics(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (name, count) in self.handle.counts() {
            let _ = writeln!(text, "# TYPE hyperspace_{name} counter\nhyperspace_{name}_total {count}");
        }
        text
    }

    fn healthy(&self) -> Result<(), String> {
        if self.handle.is_stopped() { Err("the node has stopped".to_owned()) } else { Ok(()) }
    }

    async fn session_of(&self, text: &str) -> Option<String> {
        let session = token::session(&self.token_key, text)?;
        // A token is good as long as its session lives, which only the machine knows.
        let caller = Caller { client: NOBODY, tier: Tier::Session(session.into()), key: 0 };
        let params = serde_json::json!({ "sessionId": session }).to_string();
        let found = self.handle.method(caller, "state.getSession", Some(params.into())).await;
        found.is_ok().then(|| session.to_owned())
    }
}
