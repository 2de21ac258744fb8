//! The control hook: lets a test arrange what no method can, over a socket of this host (`hyperlab node --control
//! unix:PATH`). Off by default; whoever reaches the socket rules the node.
//!
//! One JSON object a line each way: `{"do": "set_budget", ...}` is answered with `{"ok": true, ...}` or
//! `{"ok": false, "error": "..."}`. `hello` lists what there is.

use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyperspace_protocol::primitive::{Arrange, amount::Budget};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::driver::Handle;
use crate::rpc::ApiKeys;

/// Longest line (our choice).
const LINE_MAX: u64 = 64 * 1024;

/// How long nobody is accepted after a failure (our choice).
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no control hook.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Something else is there.
    #[error("control: {} is not a socket: give a path that is free", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// The socket cannot be had.
    #[error("control: cannot listen on {}: {error}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What can be arranged.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Order {
    /// What is there?
    Hello {},
    /// A session may spend so much, and has spent so much of it.
    SetBudget {
        session: String,
        #[serde(deserialize_with = "budget")]
        limit: Budget,
        #[serde(deserialize_with = "budget")]
        consumed: Budget,
    },
    /// The wall clock is so many milliseconds ahead.
    SetClock { offset_ms: i64 },
    /// Everything kept is forgotten.
    Reset {},
    /// A new API key.
    IssueKey {},
    /// Replicas no longer take memories, or do again.
    FailReplication { on: bool },
    /// Who is connected?
    Peers {},
}

/// An exact amount wants the text of its number, which serde does not have in an enum with a tag inside.
fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Budget, D::Error> {
    let number = Value::deserialize(deserializer)?;
    serde_json::from_str(&number.to_string()).map_err(D::Error::custom)
}

const ORDERS: [&str; 7] =
    ["hello", "set_budget", "set_clock", "reset", "issue_key", "fail_replication", "peers"];

/// Binds a socket that only its owner can open, from the first moment on: in a folder that is closed to others, from where
/// it is moved to its place.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let private = path.with_file_name(format!(".{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&private)?;
    let inside = private.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_file(&inside);
    let _ = std::fs::remove_dir(&private);
    bound
}

/// A socket that waits for orders. Its file is removed at the end.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    handle: Handle,
    keys: ApiKeys,
}

impl Control {
    /// Opens the socket, readable and writable by its owner alone. One that a dead process left behind is replaced.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn bind(path: &Path, handle: Handle, keys: ApiKeys) -> Result<Self, ControlError> {
        let failed = |error| ControlError::Listen { path: path.to_owned(), error };
        match path.symlink_metadata() {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ControlError::Occupied { path: path.to_owned() });
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(failed(io::Error::new(io::ErrorKind::AddrInUse, "another node listens there")));
            }
            Ok(_) => std::fs::remove_file(path).map_err(failed)?,
            Err(_) => {}
        }
        let listener = bind_private(path).map_err(failed)?;
        tracing::warn!(path = %path.display(), "the control hook is on: whoever can open this socket rules the node");
        Ok(Self { listener, path: path.to_owned(), handle, keys })
    }

    /// Serves one visitor after the other until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let serve = async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        if let Err(error) = self.visit(stream).await {
                            tracing::debug!(%error, "control: the visitor is gone");
                        }
                    }
                    Err(error) => {
                        // Such as too many open files: until there are fewer, the next try fails as well.
                        tracing::warn!(%error, "control: cannot accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = serve => {}
            () = stop => {}
        }
        let _ = std::fs::remove_file(&self.path);
    }

    async fn visit(&self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        loop {
            let mut line = Vec::new();
            let length = (&mut read).take(LINE_MAX).read_until(b'\n', &mut line).await?;
            if length == 0 {
                return Ok(());
            }
            let answer = match serde_json::from_slice(&line) {
                Ok(order) => self.obey(order).await,
                Err(error) => Err(error.to_string()),
            };
            let answer = match answer {
                Ok(Value::Object(mut members)) => {
                    members.insert("ok".to_owned(), true.into());
                    Value::Object(members)
                }
                Ok(_) => json!({ "ok": true }),
                Err(error) => json!({ "ok": false, "error": error }),
            };
            write.write_all(format!("{answer}\n").as_bytes()).await?;
            if length as u64 == LINE_MAX {
                // What follows is the rest of a line that is too long.
                return Ok(());
            }
        }
    }

    async fn obey(&self, order: Order) -> Result<Value, String> {
        tracing::warn!(?order, "control");
        match order {
            Order::Hello {} => Ok(json!({ "can": ORDERS })),
            Order::SetBudget { session, limit, consumed } => {
                self.arrange(Arrange::Budget { session, limit, consumed }).await
            }
            Order::SetClock { offset_ms } => {
                self.handle.set_clock(offset_ms).await;
                Ok(Value::Null)
            }
            Order::Reset {} => self.arrange(Arrange::Reset).await,
            Order::IssueKey {} => {
                let mut key = [0; 24];
                getrandom::fill(&mut key).map_err(|error| error.to_string())?;
                let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                self.keys.issue(&key).map_err(|error| error.to_string())?;
                Ok(json!({ "key": key }))
            }
            Order::FailReplication { on } => self.arrange(Arrange::FailReplication(on)).await,
            Order::Peers {} => {
                let status = self.handle.status().await.map_err(|error| error.to_string())?;
                let peers = status.peers.iter().map(|peer| {
                    json!({ "peerId": peer.id.to_string(), "agent": peer.agent, "topics": peer.topics, "mesh": peer.mesh })
                });
                Ok(json!({ "peerId": status.own.to_string(), "peers": peers.collect::<Vec<_>>() }))
            }
        }
    }

    async fn arrange(&self, what: Arrange) -> Result<Value, String> {
        self.handle.arrange(what).await.map_err(|error| error.message)?;
        Ok(Value::Null)
    }
}
