//! Single questions outside of cases: is the target there, does it answer, which methods does it have?

use core::time::Duration;

use crate::json::Json;
use crate::target::{ConnectionId, Incoming, Key, Outgoing, Target, TargetError};

/// What is looked at while waiting for one answer, at most.
const IGNORED_MAX: usize = 1000;

/// A connection to ask on.
pub(super) struct Asker<'t> {
    target: &'t mut dyn Target,
    connection: ConnectionId,
    patience: Duration,
    last: i64,
}

impl<'t> Asker<'t> {
    /// Opens a connection; not later than `deadline`, if that comes before our patience ends.
    pub(super) fn connect(target: &'t mut dyn Target, patience: Duration) -> Result<Self, TargetError> {
        let deadline = target.now() + patience;
        let connection = target.connect(&Key::Given, deadline)?;
        Ok(Self { target, connection, patience, last: 0 })
    }

    /// Calls a method; gives the whole answer.
    pub(super) fn call(&mut self, method: &str, params: Json) -> Result<Json, TargetError> {
        self.last += 1;
        let id = Json::string(format!("ask-{}", self.last));
        let request = Json::object([
            ("jsonrpc", Json::string("2.0")),
            ("method", Json::string(method)),
            ("params", params),
            ("id", id.clone()),
        ]);
        let deadline = self.target.now() + self.patience;
        self.target.send(self.connection, &Outgoing::Text(request.to_string()), deadline)?;
        let mut instead = None;
        for _ in 0..IGNORED_MAX {
            let Some((connection, what)) = self.target.receive(deadline) else {
                let seconds = self.patience.as_secs_f64();
                let instead = instead.map(|text| format!(", but this: {text}")).unwrap_or_default();
                let text = format!("{method} has no answer within {seconds} s{instead}");
                return Err(TargetError::Timeout(text));
            };
            if connection != self.connection {
                continue;
            }
            match what {
                Incoming::Closed(end) => {
                    return Err(TargetError::Closed(format!("{method} ends the connection: {}", end.reason)));
                }
                Incoming::Text(text) => {
                    // Somebody who gets ids wrong is told so by the cases; here the only answer is the answer.
                    match Json::parse(&text) {
                        Ok(json)
                            if (json.get("result").is_some() || json.get("error").is_some())
                                && self.is_ours(json.get("id"), &id) =>
                        {
                            return Ok(json);
                        }
                        _ => instead = Some(text.chars().take(200).collect::<String>()),
                    }
                }
                Incoming::Frame(frame) => instead = Some(frame.describe().brief(200)),
            }
        }
        Err(TargetError::Closed(format!("{method} is answered with a flood of other messages")))
    }

    fn is_ours(&self, id: Option<&Json>, wanted: &Json) -> bool {
        match id.and_then(Json::as_str) {
            Some(text) if text.starts_with("ask-") => id == Some(wanted),
            _ => true,
        }
    }

    /// Closes the connection.
    pub(super) fn close(self) {
        self.target.close(self.connection);
    }
}

/// Does the target take a connection and answer a request of which nobody knows the method?
pub(super) fn probe(target: &mut dyn Target, patience: Duration) -> Result<Json, TargetError> {
    let mut asker = Asker::connect(target, patience)?;
    let answer = asker.call("hyperlab.fence", Json::object::<String>([]));
    asker.close();
    answer
}

/// The code of an error, if the answer is one.
pub(super) fn code(answer: &Json) -> Option<i64> {
    answer.get("error")?.get("code")?.as_number()?.to_i64()
}
