//! The parser of `.case` files.

use crate::json::Json;
use crate::matcher::Matcher;
use crate::value::{Template, is_variable};

use super::line::{self, ExpectWords};
use super::{Action, AnswerTo, Case, Expect, FIRST, FrameTemplate, Kind, Need, Send, Step, Times};

/// Most steps of a case, those of repetitions counted each time.
const STEPS_MAX: usize = 20_000;
/// Deepest nesting of repetitions.
const BLOCKS_MAX: usize = 4;

/// A mistake in a case file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ParseError {
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// A line with what continues it.
struct Line {
    number: u32,
    text: String,
}

impl Case {
    /// Reads a case. `id` is its path below `cases/` without the ending; `file` is for messages.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(id: &str, file: &str, text: &str) -> Result<Self, ParseError> {
        let fail = |line: u32, problem: String| ParseError { file: file.to_owned(), line, problem };
        let lines = logical(text).map_err(|(line, problem)| fail(line, problem))?;
        let split = lines.iter().position(|line| is_step(&line.text)).unwrap_or(lines.len());
        let (head, body) = lines.split_at(split);
        let mut case = header(id, head).map_err(|(line, problem)| fail(line, problem))?;
        let mut reader = Reader { lines: body, at: 0, number: 0 };
        case.steps = reader.block(0).map_err(|(line, problem)| fail(line, problem))?;
        if let Some(line) = reader.lines.get(reader.at) {
            return Err(fail(line.number, "@end without @repeat, @each or @parallel".to_owned()));
        }
        let last = body.last().map_or(1, |line| line.number);
        check(&case).map_err(|(line, problem)| fail(if line == 0 { last } else { line }, problem))?;
        Ok(case)
    }
}

type Problem = (u32, String);

/// Joins a line with the indented ones after it; drops comments and empty lines.
fn logical(text: &str) -> Result<Vec<Line>, Problem> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if raw.starts_with([' ', '\t']) {
            let Some(last) = lines.last_mut() else {
                return Err((
                    number,
                    "an indented line continues the one before it, and there is none".to_owned(),
                ));
            };
            last.text.push('\n');
            last.text.push_str(trimmed);
        } else {
            lines.push(Line { number, text: trimmed.to_owned() });
        }
    }
    Ok(lines)
}

fn is_step(text: &str) -> bool {
    let second = || text.split_whitespace().nth(1).unwrap_or_default();
    text.starts_with(['@', '>', '<'])
        || (is_variable(text.split_whitespace().next().unwrap_or_default())
            && matches!(second(), ">>" | "<<"))
}

fn header(id: &str, lines: &[Line]) -> Result<Case, Problem> {
    let mut case = Case {
        id: id.to_owned(),
        title: String::new(),
        profile: String::new(),
        requires: Vec::new(),
        needs: Vec::new(),
        twin: None,
        steps: Vec::new(),
    };
    let mut seen: Vec<&str> = Vec::new();
    for line in lines {
        let at = |problem: String| (line.number, problem);
        let Some((key, value)) = line.text.split_once(':') else {
            return Err(at(format!("'{}' is neither 'key: value' nor a step (>>, <<, @...)", line.text)));
        };
        let value = value.split_whitespace().collect::<Vec<_>>();
        if seen.contains(&key) {
            return Err(at(format!("'{key}' is there twice")));
        }
        seen.push(key);
        if value.is_empty() {
            return Err(at(format!("'{key}' has no value")));
        }
        match key {
            "title" => case.title = value.join(" "),
            "profile" => case.profile = value.join(" "),
            "requires" => case.requires = line::cites(&value).map_err(at)?,
            "twin" => case.twin = Some(value.join(" ")),
            "needs" => {
                let known = "auth, budget, clock, restart, frames, control:VERB, profile:NAME";
                let need = |word: &&str| {
                    let word = word.trim_end_matches(',');
                    Need::parse(word)
                        .ok_or_else(|| at(format!("'{word}' is nothing to need; there are {known}")))
                };
                case.needs = value.iter().map(need).collect::<Result<_, _>>()?;
            }
            _ => {
                return Err(at(format!(
                    "'{key}' is unknown; there are title, profile, requires, needs, twin"
                )));
            }
        }
    }
    let first = lines.first().map_or(1, |line| line.number);
    for (key, value) in [("title", &case.title), ("profile", &case.profile)] {
        if value.is_empty() {
            return Err((first, format!("the case has no line '{key}: ...'")));
        }
    }
    Ok(case)
}

struct Reader<'a> {
    lines: &'a [Line],
    at: usize,
    number: u32,
}

impl Reader<'_> {
    /// Steps up to `@end`, which is taken if this is a block within another.
    fn block(&mut self, depth: usize) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            if line.text == "@end" {
                self.at += usize::from(depth > 0);
                return Ok(steps);
            }
            self.at += 1;
            self.number += 1;
            let number = self.number;
            let action = self.step(line, depth)?;
            steps.push(Step { number, line: line.number, action });
        }
        if depth > 0 {
            let last = self.lines.last().map_or(1, |line| line.number);
            return Err((last, "a block of @repeat, @each or @parallel has no @end".to_owned()));
        }
        Ok(steps)
    }

    fn step(&mut self, line: &Line, depth: usize) -> Result<Action, Problem> {
        let at = |problem: String| (line.number, problem);
        let text = line.text.as_str();
        if let Some(rest) = text.strip_prefix('@') {
            let (words, body) = line::words(rest);
            if let ["repeat" | "each" | "parallel", ..] = words.as_slice() {
                return self.repetition(&words, body, line.number, depth);
            }
            return directive(&words, body).map_err(at);
        }
        let (first, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (connection, arrow, rest) = match first {
            ">>" | "<<" => (FIRST, first, after),
            name if is_variable(name) => {
                let (arrow, rest) =
                    after.trim_start().split_once(char::is_whitespace).unwrap_or((after.trim_start(), ""));
                (name, arrow, rest)
            }
            _ => {
                return Err(at(format!(
                    "'{first}' begins no step: >> sends, << expects, @ does something else"
                )));
            }
        };
        match arrow {
            ">>" => send(connection, rest.trim_start()).map_err(at),
            "<<" => expect(connection, rest).map_err(at),
            _ => Err(at(format!("after the connection '{connection}' stands >> or <<"))),
        }
    }

    fn repetition(&mut self, words: &[&str], body: &str, line: u32, depth: usize) -> Result<Action, Problem> {
        let usage = "write @repeat 100, @repeat 100 as I, @each V [1, 2], @parallel 50 or @parallel 50 as I";
        let fail = |problem: &str| Err((line, problem.to_owned()));
        if depth >= BLOCKS_MAX {
            return fail("blocks are nested deeper than 4");
        }
        let (count, name) = match words {
            ["each", name] => (None, Some(*name)),
            ["repeat" | "parallel", count] => (Some(*count), None),
            ["repeat" | "parallel", count, "as", name] => (Some(*count), Some(*name)),
            _ => return fail(usage),
        };
        let variable =
            name.map(|name| line::name(Some(&name), "a counter")).transpose().map_err(|p| (line, p))?;
        let times = match count.map(str::parse::<u32>) {
            None => match Json::parse(body) {
                Ok(Json::Array(values)) if !values.is_empty() => Times::Each(values),
                _ => return fail("@each takes an array of values: @each V [1, 2]"),
            },
            Some(Ok(count @ 1..=10_000)) if body.is_empty() => Times::Count(count),
            Some(_) => return fail(usage),
        };
        let steps = self.block(depth + 1)?;
        if words[0] != "parallel" {
            return Ok(Action::Repeat { variable, times, steps });
        }
        let plain = |step: &Step| match &step.action {
            Action::Send { what: Send::Rpc(_), .. } => true,
            Action::Expect(expect) => expect.one_of == [Kind::Rpc],
            _ => false,
        };
        match steps.iter().find(|step| !plain(step)) {
            Some(step) => Err((step.line, "@parallel takes only >> rpc and << rpc".to_owned())),
            None => Ok(Action::Parallel { variable, times, steps }),
        }
    }
}

fn json(body: &str, what: &str) -> Result<Json, String> {
    if body.is_empty() {
        return Err(format!("{what} has no body: JSON, on this line or on indented ones after it"));
    }
    Json::parse(body).map_err(|error| {
        let at = (0..=error.at.min(body.len())).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
        let near: String = body[at..].chars().take(24).collect();
        format!("the body is not JSON: {}, at '{near}'", error.problem)
    })
}

fn template(body: &Json) -> Result<Template, String> {
    Template::compile(body).map_err(|error| error.problem)
}

fn send(connection: &str, rest: &str) -> Result<Action, String> {
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let send = |what, name| Ok(Action::Send { connection: connection.to_owned(), what, name });
    if kind == "text" {
        return send(
            Send::Text(template(&Json::string(rest.trim().replacen(
                '$',
                "$$",
                usize::from(rest.trim().starts_with('$')),
            )))?),
            None,
        );
    }
    let (words, body) = line::words(rest);
    let name = match words.as_slice() {
        [] => None,
        [word] if word.starts_with("as=") && word.len() > 3 => Some(word[3..].to_owned()),
        _ => {
            return Err(format!(
                "'{}' does not belong here: >> {kind} takes as=NAME and a body",
                words.join(" ")
            ));
        }
    };
    let body = || json(body, &format!(">> {kind}"));
    match kind {
        "rpc" => {
            let body = body()?;
            match body.get("method") {
                Some(Json::String(_)) => send(Send::Rpc(template(&body)?), name),
                _ => Err(">> rpc takes an object with a method that is a string; >> json sends anything"
                    .to_owned()),
            }
        }
        "json" => send(Send::Json(template(&body()?)?), name),
        "string" => send(Send::Text(template(&body()?)?), name),
        "frame" => send(Send::Frames(FrameTemplate::read(&body()?)?), name),
        _ => Err(format!("'{kind}' is nothing to send; there are rpc, json, text, string, frame")),
    }
}

fn matcher(body: &Json) -> Result<Matcher, String> {
    Matcher::compile(body).map_err(|error| error.to_string())
}

fn expect(connection: &str, rest: &str) -> Result<Action, String> {
    let (words, body) = line::words(rest);
    let Some((kinds, words)) = words.split_first() else {
        return Err("<< says what to expect: rpc, json, frame, close or none".to_owned());
    };
    let one_of = line::kinds(kinds)?;
    let words = ExpectWords::read(words)?;
    let takes_body = one_of.iter().any(|kind| matches!(kind, Kind::Rpc | Kind::Json | Kind::Frame));
    let is = match (takes_body, body.is_empty()) {
        (_, true) => None,
        (true, false) => Some(matcher(&json(body, "<<")?)?),
        (false, false) => return Err(format!("<< {kinds} takes no body")),
    };
    Ok(Action::Expect(Expect {
        connection: connection.to_owned(),
        one_of,
        role: words.role(),
        answer_to: words.answer_to.unwrap_or(AnswerTo::Oldest),
        is,
        within_ms: words.within_ms,
    }))
}

fn directive(words: &[&str], body: &str) -> Result<Action, String> {
    let Some((verb, rest)) = words.split_first() else { return Err("@ has a word after it".to_owned()) };
    let bodiless = !matches!(*verb, "control" | "answer" | "let" | "check");
    if bodiless && !body.is_empty() {
        return Err(format!("@{verb} takes no body"));
    }
    match *verb {
        "connect" => {
            let connection = line::name(rest.first(), "a connection")?;
            Ok(Action::Connect { connection, auth: line::auth(&rest[1..])? })
        }
        "close" => Ok(Action::Close { connection: line::name(rest.first(), "a connection")? }),
        "session" => {
            let connection = rest.get(1).and_then(|word| word.strip_prefix("on=")).unwrap_or(FIRST);
            Ok(Action::Session {
                connection: connection.to_owned(),
                bind: line::name(rest.first(), "a session")?,
            })
        }
        "arrange" => {
            let (session, limit, consumed) = line::budget(rest)?;
            Ok(Action::Arrange { session, limit, consumed })
        }
        "clock" => match rest {
            [text] => Ok(Action::Clock { advance_ms: line::duration(text)? }),
            _ => Err("write @clock +300s".to_owned()),
        },
        "restart" if rest.is_empty() => Ok(Action::Restart {}),
        "control" => {
            let order = json(body, "@control")?;
            match order.get("do") {
                Some(Json::String(_)) => Ok(Action::Control { order: template(&order)? }),
                _ => Err("@control takes an order: {\"do\": \"fail_replication\", \"on\": true}".to_owned()),
            }
        }
        "answer" => {
            let connection = line::name(rest.first(), "a connection")?;
            let usage = "@answer A tool.execute {\"results\": []}";
            let [_, method] = rest else { return Err(format!("write {usage}")) };
            let result = template(&json(body, usage)?)?;
            Ok(Action::Answer { connection, method: (*method).to_owned(), result })
        }
        "let" => {
            let name = line::name(rest.first(), "a variable")?;
            let usage = "@let NAME JSON";
            Ok(Action::Let { name, value: template(&json(body, usage)?)? })
        }
        "check" => {
            let usage = "@check takes {\"value\": ..., \"is\": ...}";
            let body = json(body, "@check")?;
            let (Some(value), Some(is)) = (body.get("value"), body.get("is")) else {
                return Err(usage.to_owned());
            };
            let role = ExpectWords::read(rest)?.role();
            Ok(Action::Check { role, value: template(value)?, is: matcher(is)? })
        }
        _ => Err(format!(
            "'@{verb}' is unknown; there are @connect, @close, @session, @arrange, @clock, @restart, @control, @answer, @let, @check, @repeat, \
            @each, @parallel, @end"
        )),
    }
}

/// What only shows when the whole case is read.
fn check(case: &Case) -> Result<(), Problem> {
    let mut bound: Vec<&str> = vec![super::UNIQUE];
    let mut problem: Option<Problem> = None;
    let mut checks = 0;
    case.each_step(&mut |step| {
        let used = used(&step.action);
        let unknown = used.into_iter().find(|name| !bound.contains(name));
        if let (Some(name), None) = (unknown, &problem) {
            problem = Some((step.line, format!("${name} has no value here: nothing before this line binds it")));
        }
        bound.extend(binds(&step.action));
        let role = match &step.action {
            Action::Expect(expect) => &expect.role,
            Action::Check { role, .. } => role,
            _ => return,
        };
        if matches!(role, super::Role::Case) && case.requires.is_empty() && problem.is_none() {
            let text = "this checks nothing: give the case a line 'requires: HSP-...', or the step a requirement, or 'setup'";
            problem = Some((step.line, text.to_owned()));
        }
        checks += usize::from(!matches!(role, super::Role::Setup));
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    if checks == 0 {
        return Err((0, "the case checks nothing: it has no << or @check that is not setup".to_owned()));
    }
    if count(&case.steps) > STEPS_MAX {
        return Err((0, format!("the case has more than {STEPS_MAX} steps")));
    }
    Ok(())
}

fn count(steps: &[Step]) -> usize {
    steps.iter().fold(0, |sum: usize, step| {
        sum.saturating_add(match &step.action {
            Action::Repeat { times, steps, .. } | Action::Parallel { times, steps, .. } => {
                times.count().saturating_mul(count(steps))
            }
            _ => 1,
        })
    })
}

/// The variables that a step needs.
fn used(action: &Action) -> Vec<&str> {
    match action {
        Action::Connect { auth: super::Auth::Token(value), .. }
        | Action::Arrange { session: value, .. }
        | Action::Control { order: value }
        | Action::Answer { result: value, .. }
        | Action::Let { value, .. } => value.variables(),
        Action::Send { what, .. } => match what {
            Send::Rpc(body) | Send::Json(body) | Send::Text(body) => body.variables(),
            Send::Frames(frames) => {
                frames.iter().filter_map(|frame| frame.text.as_ref()).flat_map(Template::variables).collect()
            }
        },
        Action::Expect(expect) => expect.is.as_ref().map(outer).unwrap_or_default(),
        Action::Check { value, is, .. } => [value.variables(), outer(is)].concat(),
        _ => Vec::new(),
    }
}

/// The variables that a matcher compares with and does not bind itself.
fn outer(matcher: &Matcher) -> Vec<&str> {
    let own = matcher.binds();
    matcher.variables().into_iter().filter(|name| !own.contains(name)).collect()
}

fn binds(action: &Action) -> Vec<&str> {
    match action {
        Action::Session { bind, .. } => vec![bind],
        Action::Let { name, .. } => vec![name],
        Action::Repeat { variable, .. } | Action::Parallel { variable, .. } => {
            variable.as_deref().into_iter().collect()
        }
        Action::Expect(expect) => expect.is.as_ref().map(Matcher::binds).unwrap_or_default(),
        Action::Check { is, .. } => is.binds(),
        _ => Vec::new(),
    }
}
