//! Waiting for what a step expects.

use core::time::Duration;

use crate::case::{Action, AnswerTo, Expect, Kind, Role};
use crate::json::Json;
use crate::matcher::{Checked as Matched, Finding, Weight};
use crate::target::Outgoing;

use super::connection::FENCE;
use super::program::{Copy, StepRef, answer_to};
use super::run::{CaseRun, State};
use super::{Output, Settings, Stop};

/// The method of a fence: nobody has it, so everybody answers it with an error at once.
const FENCE_METHOD: &str = "hyperlab.fence";
/// Fences sent one after the other's answer. A target may answer in any order; two round trips leave it some time.
const FENCES: u8 = 2;

/// A step that waits.
#[derive(Debug)]
pub(super) struct Waiting<'c> {
    step: StepRef<'c>,
    copy: Option<Copy>,
    deadline: Duration,
    patience: Duration,
    /// Fences answered, and the one that waits.
    passed: u8,
    fence: bool,
}

impl<'c> Waiting<'c> {
    pub(super) fn new(step: StepRef<'c>, copy: Option<Copy>, now: Duration, settings: &Settings) -> Self {
        let within = match &step.get().action {
            Action::Expect(expect) => expect.within_ms.map(Duration::from_millis),
            _ => None,
        };
        let patience = within.unwrap_or(settings.patience);
        Self { step, copy, deadline: now + patience, patience, passed: 0, fence: false }
    }
}

/// What a look at the connection gives.
enum Seen {
    Nothing,
    /// Something for the matcher.
    Value(Json),
    /// As expected, without anything to look at.
    Fits,
    /// Not what is expected; if the case cannot go on, why.
    Wrong(Finding, Option<fn(String) -> Stop>),
}

fn finding(expected: &str, actual: String) -> Finding {
    Finding {
        path: "$".to_owned(),
        expected: expected.to_owned(),
        actual,
        weight: Weight::Mismatch,
        about: Vec::new(),
    }
}

impl CaseRun<'_> {
    /// Looks whether what the step waits for is there; else says what to do.
    pub(super) fn expect(&mut self, now: Duration) -> Option<Output> {
        let State::Expecting(mut waiting) = core::mem::replace(&mut self.state, State::Ready) else {
            return None;
        };
        let Action::Expect(expect) = &waiting.step.get().action else { return None };
        let expect = expect.clone();
        let wanted = answer_to(&expect, waiting.copy);
        match self.look(&expect, &wanted, &mut waiting, now) {
            Seen::Nothing => {}
            Seen::Value(value) => {
                let matched = match &expect.is {
                    Some(matcher) => matcher.check(&value, &mut self.scope),
                    None => Matched::default(),
                };
                self.seen(&waiting, &expect, &matched);
                return None;
            }
            Seen::Fits => {
                self.seen(&waiting, &expect, &Matched::default());
                return None;
            }
            Seen::Wrong(finding, stop) => {
                self.wrong(&waiting, &expect, finding, stop);
                return None;
            }
        }
        if expect.one_of.contains(&Kind::None) && !waiting.fence {
            waiting.fence = true;
            let id = self.fresh_id();
            let text = Json::object([
                ("jsonrpc", Json::string("2.0")),
                ("method", Json::string(FENCE_METHOD)),
                ("id", id),
            ]);
            self.state = State::Expecting(waiting);
            self.put(&expect.connection, Outgoing::Text(text.to_string()), Some(FENCE.to_owned()), false, now)
        } else {
            let deadline = waiting.deadline;
            self.state = State::Expecting(waiting);
            Some(Output::Receive { deadline })
        }
    }

    fn look(&mut self, expect: &Expect, wanted: &AnswerTo, waiting: &mut Waiting<'_>, now: Duration) -> Seen {
        let has = |kind: Kind| expect.one_of.contains(&kind);
        let Some(connection) = self.connections.get_mut(&expect.connection) else {
            let why = format!("the case expects something on {}, which it has not opened", expect.connection);
            return Seen::Wrong(finding("a connection", why), Some(Stop::Failed));
        };
        if has(Kind::Json)
            && let Some(text) = connection.take_text()
        {
            return Seen::Value(text);
        }
        if has(Kind::Frame)
            && let Some(frame) = connection.take_frame()
        {
            return Seen::Value(frame.describe());
        }
        if (has(Kind::Rpc) || has(Kind::None))
            && let Some(answer) = connection.take_answer(wanted, waiting.copy)
        {
            return match has(Kind::Rpc) {
                true => Seen::Value(answer),
                false => Seen::Wrong(finding("no answer", answer.brief(300)), None),
            };
        }
        if let Some(end) = &connection.end {
            if has(Kind::Close) && !end.fault {
                return Seen::Fits;
            }
            let code = end.code.map_or(String::new(), |code| format!(" with {code}"));
            let actual = format!("the connection ended{code}: {}", end.reason);
            return Seen::Wrong(finding(expected(expect), actual), Some(Stop::Lost));
        }
        let fence = AnswerTo::Named(FENCE.to_owned());
        if waiting.fence && connection.take_answer(&fence, None).is_some() {
            waiting.passed += 1;
            waiting.fence = false;
            if waiting.passed >= FENCES {
                connection.forget(wanted, waiting.copy);
                return Seen::Fits;
            }
        }
        if now >= waiting.deadline {
            let mut actual = format!("nothing within {} s", waiting.patience.as_secs_f64());
            if waiting.fence {
                actual = format!("{actual}, not even an answer to a request that was sent after it");
            }
            if let Some(garbage) = &connection.garbage {
                actual = format!("{actual} but what is no JSON: {garbage}");
            }
            return Seen::Wrong(finding(expected(expect), actual), Some(Stop::Silence));
        }
        Seen::Nothing
    }

    fn seen(&mut self, waiting: &Waiting<'_>, expect: &Expect, matched: &Matched) {
        let number = waiting.step.get().number;
        if expect.role == Role::Setup
            && let Some(first) = matched.findings.iter().find(|finding| finding.weight == Weight::Mismatch)
        {
            let text = unprepared(number, first);
            self.stop(Stop::Setup(text));
            return;
        }
        self.judge.matched(number, &expect.role, expect.is.as_ref(), matched);
    }

    fn wrong(
        &mut self,
        waiting: &Waiting<'_>,
        expect: &Expect,
        finding: Finding,
        stop: Option<fn(String) -> Stop>,
    ) {
        let number = waiting.step.get().number;
        let text = if expect.role == Role::Setup {
            unprepared(number, &finding)
        } else {
            format!("step {number} failed: {}", finding.actual)
        };
        self.judge.missed(number, &expect.role, expect.is.as_ref(), &finding);
        match stop {
            Some(stop) => self.stop(stop(text)),
            None if expect.role == Role::Setup => self.stop(Stop::Setup(text)),
            None => {}
        }
    }
}

fn unprepared(step: u32, finding: &Finding) -> String {
    format!(
        "step {step}, which only prepares, went wrong: at {} expected {}, got {}",
        finding.path, finding.expected, finding.actual
    )
}

fn expected(expect: &Expect) -> &'static str {
    let has = |kind: Kind| expect.one_of.contains(&kind);
    match (has(Kind::Rpc), has(Kind::Json), has(Kind::Frame), has(Kind::Close)) {
        (true, _, _, true) => "an answer, or the end of the connection",
        (true, _, _, false) => "an answer",
        (false, true, ..) => "a message",
        (false, false, true, _) => "a frame",
        (false, false, false, true) => "the end of the connection",
        (false, false, false, false) => "nothing but the answer to the fence",
    }
}
