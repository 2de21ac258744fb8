//! The JSON-RPC 2.0 server of a node, over WebSocket (spec 2.2, 2.3 and 8).
//!
//! [`Server::bind`] opens the port, [`Server::run`] serves a [`Backend`] on it. Text goes through
//! `hyperspace_protocol::rpc`, which decides what is a request; here is who may come and how much they may take up:
//!
//! * `config`: where to listen and every bound, with its default and its origin. `auth`: who is let in.
//! * `listener`: TLS, and the deadline until a connection is a WebSocket. `http`: the upgrade, and the few routes beside
//!   it: `/openrpc.json`, `/healthz`, `/metrics`.
//! * `seats`: how many connections a session has.
//! * `connection`: one client, from its messages to its calls. `outbox`: what is sent to it. `clients`: what it is asked.
//!
//! A connection reads while fewer than `in_flight` of its messages are carried out. Beyond, it reads on for a frame's
//! worth, because among what comes may be answers to `tool.execute` on which its calls depend, and then stops, so that
//! TCP holds the client back. Answers to a client that does not read wait in its outbox, then in their calls, then close
//! the connection. A call goes on when its client leaves; the connection's place is free when all its calls have ended, and only
//! then the backend hears that the client is gone.

mod auth;
mod bucket;
mod clients;
mod config;
mod connection;
mod http;
mod listener;
mod metrics;
mod outbox;
mod seats;
mod server;
#[cfg(test)]
mod tests;

pub use auth::{ApiKeys, KEY_BYTES_MAX, KEY_BYTES_MIN, KeysError};
pub use clients::Clients;
pub use config::{BindError, RpcConfig, RpcLimits, TlsFiles};
pub use server::Server;

use hyperspace_protocol::primitive::{Answer, Call, ClientId};

/// What is behind the server: the node, or something in its place.
pub trait Backend: Send + Sync + 'static {
    /// Carries out a call. The future runs to its end even if the client goes. A panic is answered with -32603 and does
    /// not reach the server. The result must be JSON text. Parameters are JSON by grammar only: a number may be beyond a
    /// double and a string may have half a surrogate pair.
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// A client is gone and all its calls have ended: its tools are unavailable for good, and nothing comes of it any more.
    fn client_gone(&self, client: ClientId);

    /// All methods there are: the names under which metrics count. Others count as `unknown`, so that no client can make
    /// the metrics grow.
    fn methods(&self) -> &[&'static str];

    /// The OpenRPC document, as JSON text.
    fn openrpc(&self) -> String;

    /// The node's own metrics in the OpenMetrics text format, with or without `# EOF` at their end.
    fn metrics(&self) -> String;

    /// Whether the node can do its work.
    ///
    /// # Errors
    /// What is wrong, for people; anybody on this host can read it.
    fn healthy(&self) -> Result<(), String>;

    /// The id of the live session that `token` belongs to (decision J10). Compare in constant time.
    fn session_of(&self, token: &str) -> impl Future<Output = Option<String>> + Send;
}
