//! One connection of a case: which requests wait for an answer, what came and was not looked at yet, and the rules that every
//! answer keeps whatever the case is about (JSON-RPC 2.0, spec 2.2).

use std::collections::VecDeque;

use crate::case::{AnswerTo, Auth, RawFrame};
use crate::json::{Json, Number};
use crate::target::End;

use super::program::{Copy, in_copy};

/// Texts or frames that came and were not looked at, at most. What comes beyond them is a flood.
const QUEUE_MAX: usize = 4096;
/// Bytes of them, at most.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A rule of every answer that the target broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The requirement.
    pub requirement: &'static str,
    /// The step at which it was seen.
    pub step: u32,
    /// What should be.
    pub expected: String,
    /// What is.
    pub actual: String,
}

/// The requirements of every answer, with what is checked.
pub(crate) const EVERY_ANSWER: [&str; 5] =
    ["HSP-2.2-04", "HSP-2.2-05", "HSP-2.2-06", "HSP-2.2-16", "HSP-8-13"];

/// The name of the runner's own request that shows that what came before it stays unanswered.
pub(super) const FENCE: &str = "#fence";

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// None if it has none, or cannot be read.
    pub(super) id: Option<Json>,
    pub(super) name: Option<String>,
    /// May it be answered with `id: null`?
    pub(super) loose: bool,
}

/// What came.
#[derive(Clone, Debug)]
enum Arrival {
    Text(Json, usize),
    Frame(RawFrame),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) auth: Auth,
    pub(super) pending: Vec<Pending>,
    queue: VecDeque<Arrival>,
    queued_bytes: usize,
    /// Set when it is over, or was refused.
    pub(super) end: Option<End>,
    /// Ids that were answered.
    answered: Vec<Json>,
    /// Something that is no JSON came: shown if nothing better comes.
    pub(super) garbage: Option<String>,
}

impl Connection {
    pub(super) fn new(auth: Auth) -> Self {
        Self {
            auth,
            pending: Vec::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            end: None,
            answered: Vec::new(),
            garbage: None,
        }
    }

    /// Notes a text as sent: the ids that may be answered now.
    pub(super) fn sent_text(&mut self, text: &str, name: Option<String>, loose: bool) {
        let mut add = |id: Option<Json>, name| self.pending.push(Pending { id, name, loose });
        match Json::parse(text) {
            Ok(Json::Array(items)) if !items.is_empty() => {
                items.iter().for_each(|item| add(item.get("id").cloned(), None));
            }
            Ok(json) => add(json.get("id").cloned(), name),
            Err(_) => add(None, name),
        }
    }

    /// Takes a text. Gives false if there is no room for it.
    pub(super) fn received_text(&mut self, text: &str, step: u32, watch: &mut Watch) -> bool {
        match Json::parse(text) {
            Ok(json) => {
                self.queued_bytes += text.len();
                watch.text(self, &json, step);
                self.queue.push_back(Arrival::Text(json, text.len()));
            }
            Err(error) => {
                let shown: String = text.chars().take(200).collect();
                watch.broken("HSP-2.2-04", step, "JSON", format!("{error}: {shown}"));
                self.garbage = Some(shown);
            }
        }
        self.queue.len() <= QUEUE_MAX && self.queued_bytes <= QUEUE_BYTES_MAX
    }

    /// Takes a frame. Gives false if there is no room for it.
    pub(super) fn received_frame(&mut self, frame: RawFrame) -> bool {
        self.queued_bytes += frame.payload.len();
        self.queue.push_back(Arrival::Frame(frame));
        self.queue.len() <= QUEUE_MAX && self.queued_bytes <= QUEUE_BYTES_MAX
    }

    /// The place in `pending` of the request that an expectation waits for.
    pub(super) fn waiting(&self, wanted: &AnswerTo, copy: Option<Copy>) -> Option<usize> {
        match wanted {
            AnswerTo::Named(name) => self.pending.iter().position(|one| one.name.as_deref() == Some(name)),
            AnswerTo::Oldest => match copy {
                Some(copy) => self.pending.iter().position(|one| in_copy(one.name.as_deref(), copy)),
                None => self.pending.iter().position(|one| one.name.as_deref() != Some(FENCE)),
            },
            AnswerTo::Any | AnswerTo::Nobody => None,
        }
    }

    /// Takes the answer that an expectation waits for out of the queue, and its request out of those that wait.
    pub(super) fn take_answer(&mut self, wanted: &AnswerTo, copy: Option<Copy>) -> Option<Json> {
        let request = self.waiting(wanted, copy);
        let alone = self.pending.len() == 1;
        let pending = request.map(|at| self.pending[at].clone());
        let known = |id: &Json| self.pending.iter().any(|one| one.id.as_ref() == Some(id));
        let fits = |answer: &Json| {
            let id = answer.get("id").filter(|id| !matches!(id, Json::Null));
            match (wanted, &pending) {
                (AnswerTo::Any, _) => true,
                (AnswerTo::Nobody, _) => id.is_none(),
                (_, None) => false,
                (_, Some(pending)) => match id {
                    Some(id) if pending.id.as_ref() == Some(id) => true,
                    // An id that nobody has: it can only be meant for the one that waits. The rules above saw it.
                    Some(id) => alone && !known(id) && !self.answered.contains(id),
                    None => pending.loose || alone || matches!(pending.id, None | Some(Json::Null)),
                },
            }
        };
        let mut found = None;
        for (at, arrival) in self.queue.iter().enumerate() {
            let Arrival::Text(json, _) = arrival else { continue };
            found = match json {
                Json::Array(items) => {
                    items.iter().position(|item| is_answer(item) && fits(item)).map(|item| (at, Some(item)))
                }
                json if is_answer(json) && fits(json) => Some((at, None)),
                _ => None,
            };
            if found.is_some() {
                break;
            }
        }
        let (at, item) = found?;
        let answer = self.take(at, item)?;
        let id = answer.get("id").filter(|id| !matches!(id, Json::Null)).cloned();
        let request = request.or_else(|| self.pending.iter().position(|one| one.id == id));
        if let Some(request) = request {
            let request = self.pending.remove(request);
            self.answered.extend(request.id);
        }
        Some(answer)
    }

    fn take(&mut self, at: usize, item: Option<usize>) -> Option<Json> {
        if let (Some(item), Some(Arrival::Text(Json::Array(items), _))) = (item, self.queue.get_mut(at)) {
            let answer = items.remove(item);
            if items.is_empty() {
                self.drop_at(at);
            }
            return Some(answer);
        }
        match self.drop_at(at)? {
            Arrival::Text(json, _) => Some(json),
            Arrival::Frame(_) => None,
        }
    }

    fn drop_at(&mut self, at: usize) -> Option<Arrival> {
        let arrival = self.queue.remove(at)?;
        let length = match &arrival {
            Arrival::Text(_, length) => *length,
            Arrival::Frame(frame) => frame.payload.len(),
        };
        self.queued_bytes = self.queued_bytes.saturating_sub(length);
        Some(arrival)
    }

    /// Takes the next text, whatever it is. It answers what it may answer.
    pub(super) fn take_text(&mut self) -> Option<Json> {
        let at = self.queue.iter().position(|arrival| matches!(arrival, Arrival::Text(..)))?;
        let json = self.take(at, None)?;
        let answers = json.items().unwrap_or(core::slice::from_ref(&json));
        for id in answers.iter().filter_map(|answer| answer.get("id")) {
            if let Some(request) = self.pending.iter().position(|one| one.id.as_ref() == Some(id)) {
                self.pending.remove(request);
                self.answered.push(id.clone());
            }
        }
        // What could not be read by the target has its answer too.
        if let Some(request) = self.pending.iter().position(|one| one.loose) {
            self.pending.remove(request);
        }
        Some(json)
    }

    /// Takes the next frame that is not text.
    pub(super) fn take_frame(&mut self) -> Option<RawFrame> {
        let at = self.queue.iter().position(|arrival| matches!(arrival, Arrival::Frame(_)))?;
        match self.drop_at(at)? {
            Arrival::Frame(frame) => Some(frame),
            Arrival::Text(..) => None,
        }
    }

    /// Takes a request of the target's own for a method, and gives its id.
    pub(super) fn take_request(&mut self, method: &str) -> Option<Json> {
        let asks = |arrival: &Arrival| match arrival {
            Arrival::Text(json, _) if !is_answer(json) => {
                json.get("method").and_then(Json::as_str) == Some(method) && json.get("id").is_some()
            }
            _ => false,
        };
        let at = self.queue.iter().position(asks)?;
        self.take(at, None)?.get("id").cloned()
    }

    /// Drops the request that an expectation waited for: it stays without an answer.
    pub(super) fn forget(&mut self, wanted: &AnswerTo, copy: Option<Copy>) {
        if let Some(request) = self.waiting(wanted, copy) {
            self.pending.remove(request);
        }
    }
}

/// Is this an answer, and not a request of the target's own?
fn is_answer(json: &Json) -> bool {
    json.members().is_some()
        && (json.get("method").is_none() || json.get("result").is_some() || json.get("error").is_some())
}

/// Watches the rules of every answer.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) violations: Vec<Violation>,
    pub(super) answers: u64,
}

/// Violations kept of a case, at most.
const VIOLATIONS_MAX: usize = 20;

impl Watch {
    pub(super) fn broken(&mut self, requirement: &'static str, step: u32, expected: &str, actual: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { requirement, step, expected: expected.to_owned(), actual });
        }
    }

    fn text(&mut self, connection: &Connection, json: &Json, step: u32) {
        match json {
            Json::Array(items) if !items.is_empty() => {
                items.iter().for_each(|item| self.answer(connection, item, step));
            }
            // A request or notification of the target's own is no answer; the text has none, and does not forbid them.
            json if json.members().is_some() && !is_answer(json) => {}
            json => self.answer(connection, json, step),
        }
    }

    fn answer(&mut self, connection: &Connection, json: &Json, step: u32) {
        self.answers += 1;
        let shown = || json.brief(300);
        if json.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
            self.broken("HSP-2.2-04", step, "an object with \"jsonrpc\": \"2.0\"", shown());
        }
        if json.members().is_none() {
            return;
        }
        if json.get("result").is_some() == json.get("error").is_some() {
            self.broken("HSP-2.2-06", step, "exactly one of result and error", shown());
        }
        if let Some(error) = json.get("error") {
            self.error(error, step);
        }
        self.id(connection, json, step);
    }

    fn error(&mut self, error: &Json, step: u32) {
        let code = error.get("code").and_then(Json::as_number);
        let message = error.get("message").and_then(Json::as_str);
        if !code.is_some_and(Number::is_whole) || message.is_none() {
            let expected = "an error that is an object with an integer code and a string message";
            self.broken("HSP-2.2-16", step, expected, error.brief(300));
        }
        // The rest of the codes that JSON-RPC reserves is for what it defines itself.
        let assigned = |code: i64| matches!(code, -32099..=-32001 | -32700 | -32603..=-32600);
        if let Some(code) = code.and_then(Number::to_i64).filter(|code| !assigned(*code)) {
            let expected = "a code of JSON-RPC 2.0 or one from -32099 to -32001";
            self.broken("HSP-8-13", step, expected, code.to_string());
        }
    }

    fn id(&mut self, connection: &Connection, json: &Json, step: u32) {
        let expected = "the id of a request that waits for its answer, with the same value and type";
        let id = match json.get("id") {
            None | Some(Json::Null) => {
                // Only what could not be read may be answered without an id.
                let excused = connection.pending.iter().any(|one| one.loose) || connection.pending.is_empty();
                if !excused {
                    self.broken("HSP-2.2-05", step, expected, format!("no id, in {}", json.brief(300)));
                }
                return;
            }
            Some(id) => id,
        };
        // An id may be used again once it has its answer.
        let waits = connection.pending.iter().any(|one| one.id.as_ref() == Some(id));
        if !waits && connection.answered.contains(id) {
            self.broken(
                "HSP-2.2-05",
                step,
                "one answer for each request",
                format!("a second answer with id {}", id.brief(60)),
            );
        } else if !waits {
            self.broken("HSP-2.2-05", step, expected, format!("id {}, in {}", id.brief(60), json.brief(300)));
        }
    }
}
