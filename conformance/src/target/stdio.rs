//! Targets that speak JSON lines on their standard input and output: one program, one connection at a time.

use core::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep_until};

use crate::json::Json;

use super::control::Control;
use super::lines::{Line, Lines};
use super::process::Process;
use super::{
    Abilities, ConnectionId, End, Identity, Incoming, Key, Outgoing, Target, TargetError, TargetOptions,
    runtime, within,
};

/// How long the control hook may take to say what it can.
const HELLO: Duration = Duration::from_secs(10);

/// A program that is spoken to by lines.
#[derive(Debug)]
pub struct StdioTarget {
    runtime: Runtime,
    begin: Instant,
    words: Vec<String>,
    running: Option<(Process, Lines)>,
    control: Option<Control>,
    controls: Vec<String>,
    open: Option<ConnectionId>,
    last: u64,
}

impl StdioTarget {
    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started, or the control hook is not there.
    pub fn new(words: &[String], options: TargetOptions) -> Result<Self, TargetError> {
        let runtime = runtime()?;
        let begin = Instant::now();
        let control = options.control.map(Control::new);
        let mut target = Self {
            runtime,
            begin,
            words: words.to_vec(),
            running: None,
            control,
            controls: Vec::new(),
            open: None,
            last: 0,
        };
        target.start()?;
        if let Some(control) = &mut target.control {
            target.controls = target.runtime.block_on(control.hello(Instant::now() + HELLO, true))?;
        }
        Ok(target)
    }

    fn start(&mut self) -> Result<(), TargetError> {
        let (process, lines) = self.runtime.block_on(async { Process::start(&self.words, true) })?;
        let lines = lines.ok_or_else(|| TargetError::Unreachable("the program has no output".to_owned()))?;
        self.running = Some((process, lines));
        Ok(())
    }

    fn over(&mut self, reason: String) -> Incoming {
        self.open = None;
        let death = match &mut self.running {
            Some((process, _)) => self.runtime.block_on(process.death_soon()),
            None => None,
        };
        let death = death.map(|death| format!("; {death}")).unwrap_or_default();
        Incoming::Closed(End { code: None, reason: format!("{reason}{death}"), fault: false })
    }
}

impl Target for StdioTarget {
    fn identity(&self) -> Identity {
        Identity { name: format!("stdio:{}", self.words.join(" ")), transport: "lines".to_owned() }
    }

    fn abilities(&self) -> Abilities {
        Abilities { restart: true, controls: self.controls.clone(), ..Abilities::default() }
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn connect(&mut self, _key: &Key, _deadline: Duration) -> Result<ConnectionId, TargetError> {
        if self.open.is_some() {
            let text = "a second connection: a program that is spoken to by lines has one";
            return Err(TargetError::Unsupported(text.to_owned()));
        }
        if let Some(death) = self.death() {
            return Err(TargetError::Unreachable(death));
        }
        self.last += 1;
        let id = ConnectionId(self.last);
        self.open = Some(id);
        Ok(id)
    }

    fn send(
        &mut self,
        _connection: ConnectionId,
        what: &Outgoing,
        deadline: Duration,
    ) -> Result<(), TargetError> {
        let at = self.begin + deadline;
        let Outgoing::Text(text) = what else {
            return Err(TargetError::Unsupported(
                "WebSocket frames: this target is spoken to by lines".to_owned(),
            ));
        };
        if text.contains('\n') {
            return Err(TargetError::Unsupported(
                "a text with a line break: this target is spoken to by lines".to_owned(),
            ));
        }
        let Some((_, lines)) = &mut self.running else {
            return Err(TargetError::Closed("the program is not running".to_owned()));
        };
        match within(&self.runtime, at, lines.send(text)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(TargetError::Closed(format!("the program reads no more: {error}"))),
            None => Err(TargetError::Timeout("the program does not read its input".to_owned())),
        }
    }

    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)> {
        let at = self.begin + deadline;
        let (Some((_, lines)), Some(id)) = (&mut self.running, self.open) else {
            self.runtime.block_on(async { sleep_until(at).await });
            return None;
        };
        match within(&self.runtime, at, lines.next())? {
            Line::Text(text) => Some((id, Incoming::Text(text))),
            Line::End(reason) => Some((id, self.over(reason))),
        }
    }

    fn close(&mut self, _connection: ConnectionId) {
        self.open = None;
    }

    fn control(&mut self, order: &Json, deadline: Duration) -> Result<Json, TargetError> {
        let at = self.begin + deadline;
        match &mut self.control {
            Some(control) => self.runtime.block_on(control.order(order, at)),
            None => {
                Err(TargetError::Unsupported("this target has no control hook: give --control".to_owned()))
            }
        }
    }

    fn restart(&mut self, _deadline: Duration) -> Result<(), TargetError> {
        self.open = None;
        if let Some((mut process, _)) = self.running.take() {
            self.runtime.block_on(process.kill());
        }
        if let Some(control) = &mut self.control {
            control.forget();
        }
        self.start()
    }

    fn death(&mut self) -> Option<String> {
        let (process, _) = self.running.as_mut()?;
        self.runtime.block_on(process.death())
    }
}
