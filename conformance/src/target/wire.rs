//! Targets over WebSocket: nodes that run already, and nodes that the judge starts.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::TcpListener;

use futures::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::json::Json;

use super::address::DEFAULT_PORT;
use super::control::Control;
use super::process::Process;
use super::socket::{self, Sender};
use super::{
    Abilities, Address, ConnectionId, ControlAddress, Identity, Incoming, Key, Outgoing, Target, TargetError,
    TargetOptions, runtime, within,
};

/// Messages that wait to be looked at; when there are as many, we read no more.
const QUEUE: usize = 16;
/// How long a polite end of a connection may take.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long the control hook may take to say what it can.
const HELLO: Duration = Duration::from_secs(10);

/// What came, and where.
type Arrival = (ConnectionId, Incoming);

/// A connection that is open.
struct Open {
    sender: Sender,
    reader: JoinHandle<()>,
}

/// A node that the judge starts.
struct Launched {
    words: Vec<String>,
    port: u16,
    process: Option<Process>,
    /// Kept as long as the node.
    _dir: TempDir,
}

/// A target over WebSocket.
pub struct WebSocketTarget {
    runtime: Runtime,
    begin: Instant,
    name: String,
    url: String,
    options: TargetOptions,
    launched: Option<Launched>,
    control: Option<Control>,
    controls: Vec<String>,
    open: BTreeMap<ConnectionId, Open>,
    last: u64,
    events: (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>),
}

impl core::fmt::Debug for WebSocketTarget {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocketTarget").field("name", &self.name).finish_non_exhaustive()
    }
}

impl WebSocketTarget {
    /// A node at a URL, or one to start. Starts it, and asks the control hook what it can.
    ///
    /// # Errors
    /// It cannot be started, or the control hook is not there.
    pub fn new(address: &Address, options: TargetOptions) -> Result<Self, TargetError> {
        let runtime = runtime()?;
        let begin = Instant::now();
        let (name, url, launched, control) = match address {
            Address::Url(url) => (url.clone(), url.clone(), None, options.control.clone()),
            Address::Command(words) | Address::Lines(words) => {
                let (launched, url, control) = prepare(words, options.control.as_ref())?;
                (format!("cmd:{}", words.join(" ")), url, Some(launched), control)
            }
        };
        let mut target = Self {
            runtime,
            begin,
            name,
            url,
            options,
            launched,
            control: control.map(Control::new),
            controls: Vec::new(),
            open: BTreeMap::new(),
            last: 0,
            events: mpsc::channel(QUEUE),
        };
        let launched = target.launched.is_some();
        target.launch()?;
        if let Some(control) = &mut target.control {
            target.controls = target.runtime.block_on(control.hello(Instant::now() + HELLO, launched))?;
        }
        Ok(target)
    }

    fn launch(&mut self) -> Result<(), TargetError> {
        let Some(launched) = &mut self.launched else { return Ok(()) };
        let patience = self.options.start_patience;
        self.runtime.block_on(async {
            let (mut process, _) = Process::start(&launched.words, false)?;
            let ready = process.wait_for(launched.port, Instant::now() + patience, patience).await;
            launched.process = Some(process);
            ready
        })
    }

    fn at(&self, deadline: Duration) -> Instant {
        self.begin + deadline
    }
}

/// Fills in the places of a command.
fn prepare(
    words: &[String],
    control: Option<&ControlAddress>,
) -> Result<(Launched, String, Option<ControlAddress>), TargetError> {
    let failed = |what: &str, error: std::io::Error| TargetError::Unreachable(format!("no {what}: {error}"));
    let dir = tempfile::Builder::new().prefix("hyperlab-conform-").tempdir();
    let dir = dir.map_err(|error| failed("folder for the node", error))?;
    let port = if words.iter().any(|word| word.contains("{port}")) {
        // Free now, and so soon again hardly taken by anybody else.
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| failed("free port", error))?;
        listener.local_addr().map_err(|error| failed("free port", error))?.port()
    } else {
        DEFAULT_PORT
    };
    let path = dir.path().display().to_string();
    let filled = |word: &String| word.replace("{port}", &port.to_string()).replace("{dir}", &path);
    let control = control.map(|control| match control {
        ControlAddress::Unix(path) => ControlAddress::Unix(filled(path)),
        ControlAddress::Lines(words) => ControlAddress::Lines(words.iter().map(filled).collect()),
    });
    let words = words.iter().map(filled).collect();
    let launched = Launched { words, port, process: None, _dir: dir };
    Ok((launched, format!("ws://127.0.0.1:{port}"), control))
}

impl Target for WebSocketTarget {
    fn identity(&self) -> Identity {
        Identity { name: self.name.clone(), transport: "websocket".to_owned() }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            frames: true,
            restart: self.launched.is_some(),
            virtual_time: false,
            key: self.options.key.is_some(),
            controls: self.controls.clone(),
        }
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn connect(&mut self, key: &Key, deadline: Duration) -> Result<ConnectionId, TargetError> {
        let at = self.at(deadline);
        let shown = socket::shown(key, &self.options);
        let socket = within(&self.runtime, at, socket::connect(&self.url, shown, &self.options));
        let socket = socket.unwrap_or_else(|| {
            let text =
                "accepts no WebSocket connection in time: it listens, but does not answer the handshake";
            Err(TargetError::Unreachable(format!("{} {text}", self.url)))
        })?;
        self.last += 1;
        let id = ConnectionId(self.last);
        let (sender, stream) = socket.split();
        let reader = self.runtime.spawn(socket::read(id, stream, self.events.0.clone()));
        self.open.insert(id, Open { sender, reader });
        Ok(id)
    }

    fn send(
        &mut self,
        connection: ConnectionId,
        what: &Outgoing,
        deadline: Duration,
    ) -> Result<(), TargetError> {
        let at = self.at(deadline);
        let closed = |why: String| TargetError::Closed(format!("cannot send: {why}"));
        let Some(open) = self.open.get_mut(&connection) else {
            return Err(closed("the connection is over".to_owned()));
        };
        match within(&self.runtime, at, socket::send(&mut open.sender, what)) {
            Some(sent) => sent.map_err(|error| closed(error.to_string())),
            None => Err(TargetError::Timeout(
                "the target does not take what we send: it reads too slowly or not at all".to_owned(),
            )),
        }
    }

    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)> {
        let at = self.at(deadline);
        let event = within(&self.runtime, at, self.events.1.recv()).flatten()?;
        if matches!(event.1, Incoming::Closed(_)) {
            self.open.remove(&event.0);
        }
        Some(event)
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(mut open) = self.open.remove(&connection) {
            open.reader.abort();
            within(&self.runtime, Instant::now() + FAREWELL, open.sender.close());
        }
    }

    fn control(&mut self, order: &Json, deadline: Duration) -> Result<Json, TargetError> {
        let at = self.at(deadline);
        match &mut self.control {
            Some(control) => self.runtime.block_on(control.order(order, at)),
            None => {
                Err(TargetError::Unsupported("this target has no control hook: give --control".to_owned()))
            }
        }
    }

    fn restart(&mut self, _deadline: Duration) -> Result<(), TargetError> {
        if self.launched.is_none() {
            let text = "this target cannot be restarted from here: start it with cmd: to let the judge do so";
            return Err(TargetError::Unsupported(text.to_owned()));
        }
        for (_, open) in core::mem::take(&mut self.open) {
            open.reader.abort();
        }
        // What is still queued is of connections that nobody knows any more.
        while self.events.1.try_recv().is_ok() {}
        if let Some(control) = &mut self.control {
            control.forget();
        }
        if let Some(process) = self.launched.as_mut().and_then(|launched| launched.process.as_mut()) {
            self.runtime.block_on(process.kill());
        }
        self.launch()
    }

    fn death(&mut self) -> Option<String> {
        let process = self.launched.as_mut()?.process.as_mut()?;
        self.runtime.block_on(process.death())
    }
}
