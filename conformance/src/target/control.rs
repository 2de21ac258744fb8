//! The client of a control hook: one JSON object a line each way. `{"do": "hello"}` is answered with the verbs that there are;
//! an order is answered with `{"ok": true, ...}` or `{"ok": false, "error": "..."}`. All verbs are optional.

use core::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::json::Json;

use super::lines::{Line, Lines};
use super::process::Process;
use super::{ControlAddress, TargetError};

/// A control hook, connected when it is first used.
#[derive(Debug)]
pub(super) struct Control {
    address: ControlAddress,
    lines: Option<Lines>,
    process: Option<Process>,
}

impl Control {
    pub(super) fn new(address: ControlAddress) -> Self {
        Self { address, lines: None, process: None }
    }

    /// Forgets the connection: the other side was restarted.
    pub(super) fn forget(&mut self) {
        self.lines = None;
        self.process = None;
    }

    /// The verbs that there are. One of a node that begins just now may not be there yet: `patient` waits for it.
    pub(super) async fn hello(
        &mut self,
        deadline: Instant,
        patient: bool,
    ) -> Result<Vec<String>, TargetError> {
        let hello = Json::object([("do", Json::string("hello"))]);
        let answer = loop {
            match self.order(&hello, deadline).await {
                Err(TargetError::Unreachable(_)) if patient && Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                other => break other?,
            }
        };
        let can = answer.get("can").and_then(Json::items).unwrap_or_default();
        Ok(can.iter().filter_map(Json::as_str).map(str::to_owned).collect())
    }

    /// Gives an order and waits for the answer.
    pub(super) async fn order(&mut self, order: &Json, deadline: Instant) -> Result<Json, TargetError> {
        let done = self.exchange(order, deadline).await;
        if matches!(done, Err(TargetError::Closed(_) | TargetError::Timeout(_))) {
            // What comes later would be taken for the answer to the next order.
            self.forget();
        }
        done
    }

    async fn exchange(&mut self, order: &Json, deadline: Instant) -> Result<Json, TargetError> {
        let late = || TargetError::Timeout(format!("no answer to {} in time", order.brief(80)));
        let closed = |why: String| TargetError::Closed(format!("the control hook is gone: {why}"));
        let lines = self.connect().await?;
        timeout_at(deadline, lines.send(&order.to_string()))
            .await
            .map_err(|_| late())?
            .map_err(|error| closed(error.to_string()))?;
        let text = match timeout_at(deadline, lines.next()).await.map_err(|_| late())? {
            Line::Text(text) => text,
            Line::End(why) => return Err(closed(why)),
        };
        let answer =
            Json::parse(&text).map_err(|error| closed(format!("it answers what is no JSON: {error}")))?;
        match answer.get("ok") {
            Some(Json::Bool(true)) => Ok(answer),
            _ => {
                let why = answer.get("error").and_then(Json::as_str).unwrap_or("without a reason");
                Err(TargetError::Declined(format!("{} is declined: {why}", order.brief(120))))
            }
        }
    }

    async fn connect(&mut self) -> Result<&mut Lines, TargetError> {
        if self.lines.is_none() {
            let lines = match &self.address {
                ControlAddress::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(|error| {
                        TargetError::Unreachable(format!(
                            "no control hook at {path}: {error}; start the node with its control hook there, or leave --control away"
                        ))
                    })?;
                    let (read, write) = stream.into_split();
                    Lines::new(read, write)
                }
                ControlAddress::Lines(words) => {
                    let (process, lines) = Process::start(words, true)?;
                    self.process = Some(process);
                    lines.ok_or_else(|| {
                        TargetError::Unreachable("the control hook has no output".to_owned())
                    })?
                }
            };
            self.lines = Some(lines);
        }
        self.lines.as_mut().ok_or_else(|| TargetError::Unreachable("no control hook".to_owned()))
    }
}
