//! The state of a case while it runs.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::case::{Action, Auth, Case, FIRST, Need, Send, UNIQUE};
use crate::json::{Decimal, Json};
use crate::target::{End, Incoming, Key, Outgoing, TargetError};
use crate::value::{ExprError, Scope, Template};

use super::connection::{Connection, Watch};
use super::judge::Judge;
use super::program::{Copy, Op, StepRef, program, request_name};
use super::{Input, Output, Report, Settings, Stop, arrange, expect};

/// What is sent as a key that is wrong.
const WRONG_KEY: &str = "not-the-key-of-this-node";

/// One case that runs. Call [`CaseRun::next`], do what it says, give the result to [`CaseRun::input`], until it is
/// [`Output::Done`]; then [`CaseRun::finish`].
#[derive(Debug)]
pub struct CaseRun<'c> {
    pub(super) settings: Settings,
    pub(super) ops: Vec<Op<'c>>,
    pub(super) scope: Scope,
    pub(super) connections: BTreeMap<String, Connection>,
    pub(super) state: State<'c>,
    pub(super) judge: Judge<'c>,
    pub(super) watch: Watch,
    pub(super) stopped: Option<Stop>,
    pub(super) clock_ahead_ms: u64,
    /// What to answer to requests of the target's own: connection, method, result.
    answers: Vec<(String, String, Json)>,
    /// The step that runs: its number and line.
    pub(super) at: (u32, u32),
    began: Option<Duration>,
    last_id: i64,
    /// Verbs of the control hook that the case has used.
    ordered: Vec<String>,
    /// The connection on which something is being sent.
    sending: Option<String>,
}

/// What the case waits for.
#[derive(Debug)]
pub(super) enum State<'c> {
    /// Nothing: the next operation can begin.
    Ready,
    Connecting(String),
    Sending,
    Expecting(expect::Waiting<'c>),
    /// That time passes.
    Passing(Duration),
    Ordering(Order),
    Restarting,
    Done,
}

/// What an order to the control hook is for.
#[derive(Debug)]
pub(super) enum Order {
    Plain,
    Clock(u64),
    Budget(Box<arrange::Budget>),
}

impl<'c> CaseRun<'c> {
    /// A case that has not begun.
    #[must_use]
    pub fn new(case: &'c Case, settings: Settings) -> Self {
        let mut ops = program(case);
        let first = case.steps.first().map(|step| &step.action);
        if !matches!(first, Some(Action::Connect { connection, .. }) if connection == FIRST) {
            ops.push(Op::own(0, 0, Action::Connect { connection: FIRST.to_owned(), auth: Auth::Given }));
        }
        let mut scope = Scope::default();
        scope.set(UNIQUE, Json::string(unique(case, &settings)));
        let stopped = case.all_needs().iter().find_map(|need| unmet(need, &settings));
        Self {
            clock_ahead_ms: settings.clock_ahead_ms,
            settings,
            ops,
            scope,
            connections: BTreeMap::new(),
            state: if stopped.is_some() { State::Done } else { State::Ready },
            judge: Judge::new(case),
            watch: Watch::default(),
            answers: Vec::new(),
            stopped,
            at: (0, 0),
            began: None,
            last_id: 0,
            ordered: Vec::new(),
            sending: None,
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Output {
        self.began.get_or_insert(now);
        loop {
            let output = match &self.state {
                State::Done => return Output::Done,
                State::Ready => match self.ops.pop() {
                    None => {
                        self.state = State::Done;
                        None
                    }
                    Some(op) => self.begin(op, now),
                },
                State::Expecting(_) => self.reply(now).or_else(|| self.expect(now)),
                State::Passing(until) if now >= *until => {
                    self.state = State::Ready;
                    None
                }
                State::Passing(until) => Some(Output::Receive { deadline: *until }),
                // The driver owes an input; time must not pass over it.
                State::Connecting(_) | State::Sending | State::Ordering(_) | State::Restarting => {
                    Some(Output::Receive { deadline: now })
                }
            };
            if let Some(output) = output {
                return output;
            }
        }
    }

    /// What came of the last output.
    pub fn input(&mut self, now: Duration, input: Input) {
        match input {
            Input::Received { connection, what } => self.received(now, &connection, what),
            Input::Elapsed => {}
            Input::Connected(result) => self.connected(now, result),
            Input::Sent(result) => {
                if matches!(self.state, State::Sending) {
                    self.state = State::Ready;
                }
                if let Some(connection) = self.sending.take() {
                    self.sent(&connection, result);
                }
            }
            Input::Answered(result) => self.ordered(now, result),
            Input::Restarted(result) => match result {
                Ok(()) => self.reconnect(),
                Err(error) => self.stop(Stop::Missing(format!("a restart: {error}"))),
            },
        }
    }

    /// Ends the case early: the suite has no time left.
    pub fn abort(&mut self, why: &str) {
        self.stop(Stop::Missing(why.to_owned()));
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self) -> Report {
        let (checks, transcript) = self.judge.finish(self.stopped.as_ref());
        Report {
            checks,
            transcript,
            violations: self.watch.violations,
            answers: self.watch.answers,
            stopped: self.stopped,
            clock_ahead_ms: self.clock_ahead_ms,
        }
    }

    pub(super) fn stop(&mut self, why: Stop) {
        self.say("@", "", &format!("stopped: {}", why.text()));
        self.stopped.get_or_insert(why);
        // What the control hook was told is taken back, if the case does so later: other cases come after it.
        let given = &self.ordered;
        self.ops.retain(|op| op.order().is_some_and(|verb| given.iter().any(|before| before == verb)));
        self.state = if self.ops.is_empty() { State::Done } else { State::Ready };
    }

    pub(super) fn say(&mut self, direction: &'static str, connection: &str, text: &str) {
        self.say_at(self.began.unwrap_or_default(), direction, connection, text);
    }

    pub(super) fn say_at(&mut self, now: Duration, direction: &'static str, connection: &str, text: &str) {
        let since = now.saturating_sub(self.began.unwrap_or(now));
        self.judge.say(self.at.0, direction, connection, since, text);
    }

    fn begin(&mut self, op: Op<'c>, now: Duration) -> Option<Output> {
        match op {
            Op::Set { name, value } => {
                self.scope.set(name, value);
                None
            }
            Op::Budget(phase) => arrange::go_on(self, phase),
            Op::Step { step, copy } => {
                let (number, line) = (step.get().number, step.get().line);
                if line > 0 || number > 0 {
                    self.at = (number, line);
                }
                if let Action::Expect(_) = &step.get().action {
                    self.state = State::Expecting(expect::Waiting::new(step, copy, now, &self.settings));
                    return None;
                }
                self.step(step, copy, now).unwrap_or_else(|error| {
                    self.stop(Stop::Failed(format!("step {number} cannot run: {}", error.0)));
                    None
                })
            }
        }
    }

    fn step(
        &mut self,
        step: StepRef<'c>,
        copy: Option<Copy>,
        now: Duration,
    ) -> Result<Option<Output>, ExprError> {
        let deadline = now + self.settings.patience;
        let own = step.get().clone();
        match own.action {
            Action::Connect { connection, auth } => {
                let key = self.key(&auth)?;
                self.say_at(now, "@", &connection, "connect");
                self.connections.insert(connection.clone(), Connection::new(auth));
                self.state = State::Connecting(connection.clone());
                return Ok(Some(Output::Connect { connection, key, deadline }));
            }
            Action::Close { connection } => {
                self.say_at(now, "@", &connection, "close");
                self.connections.remove(&connection);
                return Ok(Some(Output::Close { connection }));
            }
            Action::Session { connection, bind } => arrange::session(self, &connection, &bind),
            Action::Send { connection, what, name } => {
                let name = request_name(step.get(), name.as_deref(), copy);
                return self.send(&connection, &what, name, now);
            }
            Action::Arrange { session, limit, consumed } => {
                return arrange::begin(self, &session, &limit, &consumed, now);
            }
            Action::Clock { advance_ms } => return Ok(self.pass(advance_ms, now)),
            Action::Restart {} => {
                self.say_at(now, "@", "", "restart");
                self.state = State::Restarting;
                return Ok(Some(Output::Restart { deadline: now + self.settings.patience * 4 }));
            }
            Action::Control { order } => {
                let order = order.fill(&self.scope)?;
                self.ordered.extend(step.get().action.order().map(str::to_owned));
                return Ok(Some(self.order(order, Order::Plain, now)));
            }
            Action::Answer { connection, method, result } => {
                let result = result.fill(&self.scope)?;
                self.answers.push((connection, method, result));
            }
            Action::Let { name, value } => {
                let value = value.fill(&self.scope)?;
                self.scope.set(name, value);
            }
            Action::Check { role, value, is } => {
                let value = value.fill(&self.scope)?;
                let matched = is.check(&value, &mut self.scope);
                self.judge.matched(own.number, &role, Some(&is), &matched);
            }
            // Expectations are begun elsewhere, repetitions are written out, and there is nothing else yet.
            _ => {}
        }
        Ok(None)
    }

    fn key(&self, auth: &Auth) -> Result<Key, ExprError> {
        Ok(match auth {
            Auth::Given => Key::Given,
            Auth::None => Key::None,
            Auth::Wrong => Key::Text(WRONG_KEY.to_owned()),
            Auth::Token(token) => match token.fill(&self.scope)? {
                Json::String(text) => Key::Text(text),
                other => return Err(ExprError(format!("a token is a text, not {}", other.brief(60)))),
            },
        })
    }

    /// The next id of a request of ours.
    pub(super) fn fresh_id(&mut self) -> Json {
        self.last_id += 1;
        Json::integer(self.last_id)
    }

    fn send(
        &mut self,
        connection: &str,
        what: &Send,
        name: Option<String>,
        now: Duration,
    ) -> Result<Option<Output>, ExprError> {
        let outgoing = match what {
            Send::Rpc(body) => {
                let body = body.fill(&self.scope)?;
                Outgoing::Text(self.request(body).to_string())
            }
            Send::Json(body) => Outgoing::Text(body.fill(&self.scope)?.to_string()),
            Send::Text(text) => Outgoing::Text(plain(text, &self.scope)?),
            Send::Frames(frames) => Outgoing::Frames(
                frames.iter().map(|frame| frame.fill(&self.scope)).collect::<Result<_, _>>()?,
            ),
        };
        let loose = !matches!(what, Send::Rpc(_));
        Ok(self.put(connection, outgoing, name, loose, now))
    }

    /// Adds what a request has and the case leaves to us.
    fn request(&mut self, body: Json) -> Json {
        let Json::Object(mut members) = body else { return body };
        let has = |members: &[(String, Json)], name: &str| members.iter().any(|(member, _)| member == name);
        if !has(&members, "jsonrpc") {
            members.insert(0, ("jsonrpc".to_owned(), Json::string("2.0")));
        }
        if !has(&members, "id") {
            let id = self.fresh_id();
            members.push(("id".to_owned(), id));
        }
        Json::Object(members)
    }

    /// Answers a request of the target's own, if one came that the case has an answer to.
    fn reply(&mut self, now: Duration) -> Option<Output> {
        let asked = self.answers.iter().find_map(|(connection, method, result)| {
            let there = self.connections.get_mut(connection).filter(|there| there.end.is_none())?;
            let id = there.take_request(method)?;
            let members = [("jsonrpc", Json::string("2.0")), ("id", id), ("result", result.clone())];
            Some((connection.clone(), Json::object(members).to_string()))
        });
        let (connection, text) = asked?;
        self.say_at(now, ">>", &connection, &text);
        self.sending = Some(connection.clone());
        let deadline = now + self.settings.patience;
        Some(Output::Send { connection, what: Outgoing::Text(text), deadline })
    }

    /// Sends on a connection that is open; on one that ended nothing happens, the next expectation says so.
    pub(super) fn put(
        &mut self,
        connection: &str,
        what: Outgoing,
        name: Option<String>,
        loose: bool,
        now: Duration,
    ) -> Option<Output> {
        let shown = match &what {
            Outgoing::Text(text) => text.clone(),
            Outgoing::Frames(frames) => {
                frames.iter().map(|frame| frame.describe().to_string()).collect::<Vec<_>>().join(" ")
            }
        };
        self.say_at(now, ">>", connection, &shown);
        let Some(there) = self.connections.get_mut(connection) else {
            self.stop(Stop::Failed(format!("the case sends on {connection}, which it has not opened")));
            return None;
        };
        if there.end.is_some() {
            return None;
        }
        match &what {
            Outgoing::Text(text) => there.sent_text(text, name, loose),
            Outgoing::Frames(frames) => {
                let message: Vec<u8> =
                    frames.iter().filter(|f| f.opcode < 3).flat_map(|f| f.payload.clone()).collect();
                if !message.is_empty() {
                    there.sent_text(&String::from_utf8_lossy(&message), name, true);
                }
            }
        }
        // A fence is sent while its expectation goes on waiting.
        if !matches!(self.state, State::Expecting(_)) {
            self.state = State::Sending;
        }
        self.sending = Some(connection.to_owned());
        Some(Output::Send { connection: connection.to_owned(), what, deadline: now + self.settings.patience })
    }

    fn sent(&mut self, connection: &str, result: Result<(), TargetError>) {
        let Err(error) = result else { return };
        match error {
            TargetError::Unsupported(why) => self.stop(Stop::Missing(why)),
            other => {
                if let Some(there) = self.connections.get_mut(connection) {
                    let end = End { code: None, reason: other.to_string(), fault: false };
                    there.end.get_or_insert(end);
                }
            }
        }
    }

    fn connected(&mut self, now: Duration, result: Result<(), TargetError>) {
        let State::Connecting(connection) = &self.state else { return };
        let connection = connection.clone();
        self.state = State::Ready;
        let Err(error) = result else { return };
        self.say_at(now, "@", &connection, &format!("no connection: {error}"));
        match error {
            TargetError::Refused(why) => {
                if let Some(there) = self.connections.get_mut(&connection) {
                    there.end = Some(End { code: None, reason: format!("refused: {why}"), fault: false });
                }
            }
            TargetError::Unsupported(why) => self.stop(Stop::Missing(why)),
            other => self.stop(Stop::Lost(format!("no connection to the target: {other}"))),
        }
    }

    fn received(&mut self, now: Duration, connection: &str, what: Incoming) {
        let shown = match &what {
            Incoming::Text(text) => text.clone(),
            Incoming::Frame(frame) => frame.describe().to_string(),
            Incoming::Closed(end) => {
                format!("closed{}: {}", end.code.map_or(String::new(), |code| format!(" {code}")), end.reason)
            }
        };
        self.say_at(now, "<<", connection, &shown);
        let step = self.at.0;
        let Some(there) = self.connections.get_mut(connection) else { return };
        let room = match what {
            Incoming::Text(text) => there.received_text(&text, step, &mut self.watch),
            Incoming::Frame(frame) => there.received_frame(frame),
            Incoming::Closed(end) => {
                there.end.get_or_insert(end);
                true
            }
        };
        if !room {
            let text = "more than 4096 messages or 64 MiB that nobody asked for";
            self.stop(Stop::Lost(format!("the target floods the connection: {text}")));
        }
    }

    pub(super) fn order(&mut self, order: Json, what: Order, now: Duration) -> Output {
        self.say_at(now, "@", "", &format!("control {order}"));
        self.state = State::Ordering(what);
        Output::Control { order, deadline: now + self.settings.patience }
    }

    fn ordered(&mut self, now: Duration, result: Result<Json, TargetError>) {
        let State::Ordering(what) = core::mem::replace(&mut self.state, State::Ready) else { return };
        match &result {
            Ok(answer) => self.say_at(now, "@", "", &format!("control answers {}", answer.brief(500))),
            Err(error) => self.say_at(now, "@", "", &format!("control: {error}")),
        }
        match (what, result) {
            (Order::Clock(ahead), Ok(_)) => self.clock_ahead_ms = ahead,
            (Order::Plain, Ok(_)) => {}
            (Order::Budget(budget), result) => arrange::ordered(self, *budget, result.is_ok(), now),
            (Order::Plain | Order::Clock(_), Err(error)) => {
                self.stop(Stop::Missing(format!("control hook: {error}")))
            }
        }
    }

    fn pass(&mut self, ms: u64, now: Duration) -> Option<Output> {
        self.say_at(now, "@", "", &format!("clock +{ms} ms"));
        let by = Duration::from_millis(ms);
        if self.settings.abilities.virtual_time {
            return Some(Output::Advance { by });
        }
        if self.settings.abilities.controls.iter().any(|verb| verb == "set_clock") {
            let ahead = self.clock_ahead_ms.saturating_add(ms);
            let offset = Json::integer(i64::try_from(ahead).unwrap_or(i64::MAX));
            let order = Json::object([("do", Json::string("set_clock")), ("offset_ms", offset)]);
            return Some(self.order(order, Order::Clock(ahead), now));
        }
        if by <= self.settings.real_wait {
            self.state = State::Passing(now + by);
            return None;
        }
        let text = format!(
            "{} s of the target's time: it has no control hook with set_clock, and that is too long to wait",
            by.as_secs_f64()
        );
        self.stop(Stop::Missing(text));
        None
    }

    /// After a restart all connections are over. The first is opened again, the others are the case's affair.
    fn reconnect(&mut self) {
        self.state = State::Ready;
        let auth = self.connections.remove(FIRST).map_or(Auth::Given, |connection| connection.auth);
        for connection in self.connections.values_mut() {
            let end = End { code: None, reason: "the target was restarted".to_owned(), fault: false };
            connection.end.get_or_insert(end);
        }
        let (number, line) = self.at;
        self.ops.push(Op::own(number, line, Action::Connect { connection: FIRST.to_owned(), auth }));
    }

    /// One unit of scaled amounts.
    pub(super) fn set_scale(&mut self, scale: Decimal) {
        self.scope.set_scale(scale);
    }

    /// Puts steps of the runner's own before what follows.
    pub(super) fn insert(&mut self, actions: Vec<Action>) {
        let (number, line) = self.at;
        self.ops.extend(actions.into_iter().rev().map(|action| Op::own(number, line, action)));
    }
}

/// What names of a case are made of so that they are its own: FNV-1a of its id after what is the run's own.
fn unique(case: &Case, settings: &Settings) -> String {
    let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = case.id.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{}{hash:016x}", settings.unique)
}

fn plain(text: &Template, scope: &Scope) -> Result<String, ExprError> {
    Ok(match text.fill(scope)? {
        Json::String(text) => text,
        other => other.to_string(),
    })
}

/// What of a need is known to be missing before the case begins.
fn unmet(need: &Need, settings: &Settings) -> Option<Stop> {
    let abilities = &settings.abilities;
    match need {
        Need::Auth if !abilities.key => Some(Stop::NotApplicable(
            "the target has no API key, as far as we are told: give --api-key to check this".to_owned(),
        )),
        Need::Frames if !abilities.frames => {
            Some(Stop::Missing("WebSocket frames: this target is reached otherwise".to_owned()))
        }
        Need::Restart if !abilities.restart => Some(Stop::Missing(
            "a restart: start the target with cmd: so that the judge can restart it".to_owned(),
        )),
        Need::Control(verb) if !abilities.controls.contains(verb) => {
            Some(Stop::Missing(format!("the verb {verb} of a control hook: give --control")))
        }
        _ => None,
    }
}
