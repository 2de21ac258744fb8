//! Deviations as data: for these methods, under this condition, do that.

use std::collections::BTreeMap;

use hyperspace_conformance::json::Json;
use hyperspace_conformance::target::Key;

use crate::edit::{Change, Edit, inner, set};
use crate::seam::{Delivery, Deviation, Exchange, Fate, Restart};

/// What a deviation remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<String, Json>);

impl Memory {
    /// What was kept under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// Keeps something.
    pub fn put(&mut self, name: &str, value: Json) {
        self.0.insert(name.to_owned(), value);
    }

    /// Keeps something unless there is something already; what is kept.
    pub fn first(&mut self, name: &str, value: &Json) -> Json {
        self.0.entry(name.to_owned()).or_insert_with(|| value.clone()).clone()
    }

    /// Counts; how often by now.
    pub fn count(&mut self, name: &str) -> i64 {
        let count = self.get(name).and_then(Json::as_number).and_then(|n| n.to_i64()).unwrap_or(0) + 1;
        self.put(name, Json::integer(count));
        count
    }
}

/// When a rule holds.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Always.
    Always,
    /// From this call of the method on, counted from 1.
    From(u32),
    /// Where the request has letters outside ASCII.
    Unicode,
    /// While other requests of the connection are under way.
    Busy,
    /// Where the parameter is there.
    Has(&'static str),
    /// Where it is not.
    Lacks(&'static str),
    /// Where this says so.
    If(fn(&Exchange) -> bool),
}

/// What happens to a request on its way.
pub type OnRequest = fn(&mut Memory, &mut Exchange) -> Fate;

/// What happens to an answer on its way.
pub type OnAnswer = fn(&mut Memory, &Exchange, &mut Json);

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Act {
    /// The parameters are changed.
    Params(Edit),
    /// The result is changed.
    Result(Edit),
    /// The error is changed.
    Error(Edit),
    /// The whole answer is changed.
    Whole(Edit),
    /// The request is refused with this code, and goes no further.
    Refuse(i64),
    /// The request goes no further; this is the result.
    Say(Json),
    /// An error with one of these codes, or with any, becomes this result.
    Recover(&'static [i64], Json),
    /// Errors with the one code get the other.
    Code(i64, i64),
    /// No answer.
    Hang,
    /// The connection is closed.
    Close,
    /// Something else is done to the request.
    Request(OnRequest),
    /// Something else is done to the answer.
    Answer(OnAnswer),
    /// Something is done to what a client is asked to do.
    Order(fn(&mut Json)),
    /// Something is done to a text that is no request.
    Text(fn(&str) -> Option<Fate>),
    /// Somebody is let in who should not be.
    LetIn(fn(&Key) -> bool),
    /// A restart forgets everything.
    Forget,
    /// The answer comes as this says.
    Deliver(Delivery),
    /// Answers are written so.
    Write(fn(&Json) -> String),
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Rule {
    methods: Vec<String>,
    when: When,
    act: Act,
}

/// A rule for these methods: names with a space between, `guard.*` for all of a primitive, `*` for all.
#[must_use]
pub fn on(methods: &str) -> Rule {
    Rule {
        methods: methods.split_whitespace().map(str::to_owned).collect(),
        when: When::Always,
        act: Act::Deliver(Delivery::Now),
    }
}

/// A JSON value of the program.
///
/// # Panics
/// It is none.
#[must_use]
pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|error| panic!("{text} is not JSON: {error}"))
}

/// What an error of this code says.
#[must_use]
pub fn refusal(code: i64) -> Json {
    json(&format!(r#"{{"error":{{"code":{code},"message":"refused"}}}}"#))
}

impl Rule {
    /// The same under a condition.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// The same where `holds` says so.
    #[must_use]
    pub fn given(self, holds: fn(&Exchange) -> bool) -> Self {
        self.when(When::If(holds))
    }

    /// The same with another act.
    #[must_use]
    pub fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }

    /// See [`Act::Params`].
    #[must_use]
    pub fn params(self, path: &str, change: Change) -> Self {
        self.act(Act::Params(Edit::new(path, change)))
    }

    /// See [`Act::Result`].
    #[must_use]
    pub fn result(self, path: &str, change: Change) -> Self {
        self.act(Act::Result(Edit::new(path, change)))
    }

    /// See [`Act::Error`].
    #[must_use]
    pub fn error(self, path: &str, change: Change) -> Self {
        self.act(Act::Error(Edit::new(path, change)))
    }

    /// See [`Act::Whole`].
    #[must_use]
    pub fn whole(self, path: &str, change: Change) -> Self {
        self.act(Act::Whole(Edit::new(path, change)))
    }

    /// Puts this value into a member of the result.
    #[must_use]
    pub fn gives(self, path: &str, value: &str) -> Self {
        self.result(path, Change::Set(json(value)))
    }

    /// See [`Act::Refuse`].
    #[must_use]
    pub fn refuse(self, code: i64) -> Self {
        self.act(Act::Refuse(code))
    }

    /// See [`Act::Say`].
    #[must_use]
    pub fn say(self, result: &str) -> Self {
        self.act(Act::Say(json(result)))
    }

    /// See [`Act::Recover`].
    #[must_use]
    pub fn recover(self, codes: &'static [i64], result: &str) -> Self {
        self.act(Act::Recover(codes, json(result)))
    }

    /// See [`Act::Request`].
    #[must_use]
    pub fn request(self, act: OnRequest) -> Self {
        self.act(Act::Request(act))
    }

    /// See [`Act::Answer`].
    #[must_use]
    pub fn answer(self, act: OnAnswer) -> Self {
        self.act(Act::Answer(act))
    }

    /// The methods that it is about, as they were given.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    fn is_about(&self, method: &str) -> bool {
        self.methods.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => method.starts_with(start),
            None => name == method,
        })
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        self.is_about(&exchange.method)
            && match self.when {
                When::Always => true,
                When::From(count) => exchange.count >= count,
                When::Unicode => exchange.unicode,
                When::Busy => exchange.under_way > 0,
                When::Has(name) => exchange.param(name).is_some(),
                When::Lacks(name) => exchange.param(name).is_none(),
                When::If(holds) => holds(exchange),
            }
    }

    fn is_general(&self) -> bool {
        self.methods.iter().any(|name| name == "*") && matches!(self.when, When::Always)
    }
}

/// The code of an answer that is an error.
#[must_use]
pub fn code(answer: &Json) -> Option<i64> {
    answer.get("error")?.get("code")?.as_number()?.to_i64()
}

/// The deviation that these rules make.
#[derive(Clone, Debug)]
pub struct Ruled {
    rules: Vec<Rule>,
    memory: Memory,
}

impl Ruled {
    /// See the type's text.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, memory: Memory::default() }
    }
}

/// Turns an answer into a result.
pub fn succeed(answer: &mut Json, result: Json) {
    Edit::new("error", Change::Drop).apply(answer);
    set(answer, "result", result);
}

/// Turns an answer into an error.
pub fn fail(answer: &mut Json, code: i64) {
    Edit::new("result", Change::Drop).apply(answer);
    if let Some(error) = refusal(code).get("error") {
        set(answer, "error", error.clone());
    }
}

impl Deviation for Ruled {
    fn on_text(&mut self, text: &str) -> Option<Fate> {
        self.rules.iter().find_map(|rule| if let Act::Text(act) = &rule.act { act(text) } else { None })
    }

    fn on_request(&mut self, exchange: &mut Exchange) -> Fate {
        for rule in &self.rules {
            if !rule.holds(exchange) {
                continue;
            }
            let fate = if let Act::Params(edit) = &rule.act {
                if let Some(params) = inner(&mut exchange.request, "params") {
                    edit.apply(params);
                }
                Fate::Forward
            } else if let Act::Refuse(code) = &rule.act {
                Fate::Answer(refusal(*code))
            } else if let Act::Say(result) = &rule.act {
                Fate::Answer(Json::object([("result", result.clone())]))
            } else if let Act::Request(act) = &rule.act {
                act(&mut self.memory, exchange)
            } else if matches!(rule.act, Act::Hang) {
                Fate::Silence
            } else if matches!(rule.act, Act::Close) {
                Fate::Close
            } else {
                Fate::Forward
            };
            if fate != Fate::Forward {
                return fate;
            }
        }
        Fate::Forward
    }

    fn on_answer(&mut self, exchange: Option<&Exchange>, answer: &mut Json) -> Delivery {
        let mut delivery = Delivery::Now;
        for rule in &self.rules {
            if !exchange.map_or(rule.is_general(), |exchange| rule.holds(exchange)) {
                continue;
            }
            if let Act::Result(edit) = &rule.act {
                if let Some(result) = inner(answer, "result") {
                    edit.apply(result);
                }
            } else if let Act::Error(edit) = &rule.act {
                if let Some(error) = inner(answer, "error") {
                    edit.apply(error);
                }
            } else if let Act::Whole(edit) = &rule.act {
                edit.apply(answer);
            } else if let Act::Recover(codes, result) = &rule.act {
                if code(answer).is_some_and(|code| codes.is_empty() || codes.contains(&code)) {
                    succeed(answer, result.clone());
                }
            } else if let Act::Code(from, to) = &rule.act {
                if code(answer) == Some(*from) {
                    Edit::new("error/code", Change::Set(Json::integer(*to))).apply(answer);
                }
            } else if let (Act::Answer(act), Some(exchange)) = (&rule.act, exchange) {
                act(&mut self.memory, exchange, answer);
            } else if let Act::Deliver(how) = &rule.act {
                delivery = *how;
            }
        }
        delivery
    }

    fn on_order(&mut self, order: &mut Json) {
        for rule in &self.rules {
            if let Act::Order(act) = &rule.act {
                act(order);
            }
        }
    }

    fn write(&mut self, answer: &Json) -> String {
        let write =
            self.rules.iter().find_map(|rule| if let Act::Write(act) = &rule.act { Some(act) } else { None });
        write.map_or_else(|| answer.to_string(), |write| write(answer))
    }

    fn lets_in(&mut self, key: &Key) -> bool {
        self.rules.iter().any(|rule| matches!(&rule.act, Act::LetIn(act) if act(key)))
    }

    fn on_restart(&mut self) -> Restart {
        let forgets = self.rules.iter().any(|rule| matches!(rule.act, Act::Forget));
        if forgets { Restart::Forgets } else { Restart::Keeps }
    }
}
