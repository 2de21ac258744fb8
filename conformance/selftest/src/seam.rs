//! Between the judge and a target: a [`Deviation`] sees every text that goes by, and may change, answer, delay or drop it.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use hyperspace_conformance::json::Json;
use hyperspace_conformance::target::{
    Abilities, ConnectionId, End, Identity, Incoming, Key, Outgoing, Target, TargetError,
};

use crate::edit::{has_unicode, set};

/// A request that the judge sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// On which connection.
    pub connection: ConnectionId,
    /// Its id, if it has one.
    pub id: Option<Json>,
    /// Its method.
    pub method: String,
    /// The whole request.
    pub request: Json,
    /// How many of this method there were at this target, this one included.
    pub count: u32,
    /// Requests of the connection that have no answer yet, this one not counted.
    pub under_way: usize,
    /// Whether it has letters outside ASCII.
    pub unicode: bool,
}

impl Exchange {
    /// A parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Json> {
        self.request.get("params")?.get(name)
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It goes on, as it is now.
    Forward,
    /// It goes no further and is answered with this object, to which `jsonrpc` and `id` are added.
    Answer(Json),
    /// It is never answered.
    Silence,
    /// The connection is closed.
    Close,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It goes on, as it is now.
    Now,
    /// It goes on later.
    After(Duration),
    /// It waits for all other answers that are due on its connection, and goes after them.
    Last,
    /// It goes on twice.
    Twice,
    /// It is lost.
    Never,
}

/// What is otherwise than at the target behind the seam.
pub trait Deviation: Send {
    /// A text of the judge that is no request.
    fn on_text(&mut self, text: &str) -> Option<Fate> {
        let _ = text;
        None
    }

    /// A request; what is changed in it goes on changed.
    fn on_request(&mut self, exchange: &mut Exchange) -> Fate {
        let _ = exchange;
        Fate::Forward
    }

    /// An answer, to `exchange` if that is known.
    fn on_answer(&mut self, exchange: Option<&Exchange>, answer: &mut Json) -> Delivery {
        let _ = (exchange, answer);
        Delivery::Now
    }

    /// Something that the target asks of its client.
    fn on_order(&mut self, order: &mut Json) {
        let _ = order;
    }

    /// An answer as text.
    fn write(&mut self, answer: &Json) -> String {
        answer.to_string()
    }

    /// Whether the connection is let in though the target behind refuses it.
    fn lets_in(&mut self, key: &Key) -> bool {
        let _ = key;
        false
    }

    /// The target is restarted.
    fn on_restart(&mut self) -> Restart {
        Restart::Keeps
    }
}

/// What a restart does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// What was kept is there again.
    Keeps,
    /// Everything is forgotten.
    Forgets,
}

/// Longest time for which an answer waits for others.
const LAST: Duration = Duration::from_millis(100);

/// A target with a deviation.
pub struct Seam<T> {
    inner: T,
    name: String,
    deviation: Box<dyn Deviation>,
    /// Requests without an answer.
    open: Vec<Exchange>,
    counts: BTreeMap<String, u32>,
    /// What is to be received, and from when on.
    ready: VecDeque<(Duration, ConnectionId, Incoming)>,
    /// Answers that wait for others.
    last: Vec<(Duration, ConnectionId, Incoming)>,
    closed: Vec<ConnectionId>,
}

impl<T: Target> Seam<T> {
    /// A target called `name` that deviates from `inner`.
    pub fn new(inner: T, name: impl Into<String>, deviation: Box<dyn Deviation>) -> Self {
        Self {
            inner,
            name: name.into(),
            deviation,
            open: Vec::new(),
            counts: BTreeMap::new(),
            ready: VecDeque::new(),
            last: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn exchange(&mut self, connection: ConnectionId, request: Json) -> Option<Exchange> {
        let method = request.get("method")?.as_str()?.to_owned();
        let count = self.counts.entry(method.clone()).or_default();
        *count += 1;
        Some(Exchange {
            connection,
            id: request.get("id").cloned(),
            count: *count,
            under_way: self.open.iter().filter(|open| open.connection == connection).count(),
            unicode: has_unicode(&request),
            method,
            request,
        })
    }

    fn carry_out(&mut self, connection: ConnectionId, id: Option<&Json>, fate: Fate) {
        let now = self.inner.now();
        match fate {
            Fate::Forward | Fate::Silence => {}
            Fate::Answer(mut answer) => {
                if answer.get("jsonrpc").is_none() {
                    set(&mut answer, "jsonrpc", Json::string("2.0"));
                }
                if answer.get("id").is_none() {
                    set(&mut answer, "id", id.cloned().unwrap_or(Json::Null));
                }
                let text = self.deviation.write(&answer);
                self.ready.push_back((now, connection, Incoming::Text(text)));
            }
            Fate::Close => {
                self.inner.close(connection);
                self.closed.push(connection);
                let end = End { code: None, reason: "it went away".to_owned(), fault: true };
                self.ready.push_back((now, connection, Incoming::Closed(end)));
            }
        }
    }

    /// Takes what the target behind the seam says.
    fn take(&mut self, connection: ConnectionId, incoming: Incoming) {
        let now = self.inner.now();
        let Incoming::Text(text) = &incoming else {
            self.ready.push_back((now, connection, incoming));
            return;
        };
        let Ok(mut json) = Json::parse(text) else {
            self.ready.push_back((now, connection, incoming));
            return;
        };
        let mut delivery = Delivery::Now;
        if let Json::Array(answers) = &mut json {
            for answer in answers {
                delivery = self.answered(connection, answer);
            }
        } else if json.get("method").is_none() {
            delivery = self.answered(connection, &mut json);
        } else {
            self.deviation.on_order(&mut json);
        }
        let text = Incoming::Text(self.deviation.write(&json));
        match delivery {
            Delivery::Now => self.ready.push_back((now, connection, text)),
            Delivery::After(wait) => self.ready.push_back((now + wait, connection, text)),
            Delivery::Twice => {
                self.ready.push_back((now, connection, text.clone()));
                self.ready.push_back((now, connection, text));
            }
            Delivery::Last => self.last.push((now, connection, text)),
            Delivery::Never => {}
        }
        self.release();
    }

    fn answered(&mut self, connection: ConnectionId, answer: &mut Json) -> Delivery {
        let id = answer.get("id");
        let place = self
            .open
            .iter()
            .position(|open| open.connection == connection && open.id.is_some() && open.id.as_ref() == id);
        let exchange = place.map(|place| self.open.remove(place));
        self.deviation.on_answer(exchange.as_ref(), answer)
    }

    /// Gives out answers that have waited for others long enough, the last one first.
    fn release(&mut self) {
        let now = self.inner.now();
        let open = &self.open;
        let due = |at: &Duration, connection: &ConnectionId| {
            now >= *at + LAST || !open.iter().any(|open| open.connection == *connection && open.id.is_some())
        };
        let (due, wait): (Vec<_>, Vec<_>) =
            self.last.drain(..).partition(|(at, connection, _)| due(at, connection));
        self.last = wait;
        self.ready.extend(due.into_iter().rev().map(|(_, connection, text)| (now, connection, text)));
    }

    fn next_due(&self) -> Option<Duration> {
        let ready = self.ready.iter().map(|(due, ..)| *due);
        ready.chain(self.last.iter().map(|(at, ..)| *at + LAST)).min()
    }
}

impl<T: Target> Target for Seam<T> {
    fn identity(&self) -> Identity {
        Identity { name: self.name.clone(), ..self.inner.identity() }
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn connect(&mut self, key: &Key, deadline: Duration) -> Result<ConnectionId, TargetError> {
        match self.inner.connect(key, deadline) {
            Err(TargetError::Refused(_)) if self.deviation.lets_in(key) => {
                self.inner.connect(&Key::Given, deadline)
            }
            other => other,
        }
    }

    fn send(
        &mut self,
        connection: ConnectionId,
        what: &Outgoing,
        deadline: Duration,
    ) -> Result<(), TargetError> {
        if self.closed.contains(&connection) {
            return Err(TargetError::Closed("the connection is over".to_owned()));
        }
        let Outgoing::Text(text) = what else { return self.inner.send(connection, what, deadline) };
        let Some(mut exchange) = Json::parse(text).ok().and_then(|json| self.exchange(connection, json))
        else {
            return match self.deviation.on_text(text) {
                None | Some(Fate::Forward) => self.inner.send(connection, what, deadline),
                Some(fate) => {
                    self.carry_out(connection, None, fate);
                    Ok(())
                }
            };
        };
        let before = exchange.request.clone();
        match self.deviation.on_request(&mut exchange) {
            Fate::Forward => {
                // What is not changed goes on as it was written.
                let changed =
                    (exchange.request != before).then(|| Outgoing::Text(exchange.request.to_string()));
                if exchange.id.is_some() {
                    self.open.push(exchange);
                }
                self.inner.send(connection, changed.as_ref().unwrap_or(what), deadline)
            }
            fate @ (Fate::Answer(_) | Fate::Silence | Fate::Close) => {
                self.carry_out(connection, exchange.id.as_ref(), fate);
                Ok(())
            }
        }
    }

    fn receive(&mut self, deadline: Duration) -> Option<(ConnectionId, Incoming)> {
        loop {
            let now = self.inner.now();
            self.release();
            // Of those that are due, the one that came first.
            let due = self
                .ready
                .iter()
                .enumerate()
                .filter(|(_, (due, ..))| *due <= now)
                .min_by_key(|(index, (due, ..))| (*due, *index))
                .map(|(index, _)| index);
            if let Some((_, connection, incoming)) = due.and_then(|index| self.ready.remove(index)) {
                return Some((connection, incoming));
            }
            let until = self.next_due().map_or(deadline, |due| due.min(deadline));
            match self.inner.receive(until) {
                Some((connection, incoming)) => self.take(connection, incoming),
                None if until >= deadline && self.next_due().is_none_or(|due| due > deadline) => return None,
                None => {}
            }
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        self.inner.close(connection);
        self.ready.retain(|(_, other, _)| *other != connection);
        self.last.retain(|(_, other, _)| *other != connection);
        self.open.retain(|open| open.connection != connection);
        self.closed.push(connection);
    }

    fn control(&mut self, order: &Json, deadline: Duration) -> Result<Json, TargetError> {
        self.inner.control(order, deadline)
    }

    fn advance(&mut self, by: Duration) {
        self.inner.advance(by);
    }

    fn restart(&mut self, deadline: Duration) -> Result<(), TargetError> {
        self.open.clear();
        self.ready.clear();
        self.last.clear();
        self.inner.restart(deadline)?;
        if self.deviation.on_restart() == Restart::Forgets {
            self.inner.control(&Json::object([("do", Json::string("reset"))]), deadline)?;
        }
        Ok(())
    }

    fn death(&mut self) -> Option<String> {
        self.inner.death()
    }
}
