//! The one stream that a run writes, one JSON object a line, and that every report is made from: a header, cases with their steps
//! and checks, a footer. A stream without its footer is of a run that did not come to its end, and no report is made from it.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::level::Level;
use crate::target::Identity;
use crate::verdict::{Exit, Verdict};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Header(Header),
    /// A case begins.
    Case(CaseEvent),
    /// Something was said or done in a case.
    Step(StepEvent),
    /// What came of a check.
    Check(CheckEvent),
    /// The last line.
    Footer(Footer),
}

/// What ran against what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the judge.
    pub judge: String,
    /// The SHA-256 of the specification's text.
    pub spec_sha256: String,
    /// The target.
    pub target: Identity,
    /// When it began, in milliseconds of Unix time. None in virtual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix_ms: Option<u64>,
    /// The seed of the order of cases; 0 is the order of their ids.
    pub seed: u64,
    /// How often each case ran.
    pub repeat: u32,
    /// Whether warnings count.
    pub strict: bool,
    /// What the target claims.
    pub profiles: Vec<ProfileEvent>,
    /// How to run this again, as a command without the choice of a case.
    pub command: String,
}

/// What became of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileEvent {
    /// Its name.
    pub name: String,
    /// Whether it is claimed and served.
    pub status: ProfileStatus,
    /// Methods that are served, of those that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<String>,
    /// Methods that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Whether a profile is claimed and served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileStatus {
    /// It is served.
    Claimed,
    /// Some of its methods are served.
    Partial,
    /// The operator says that it is there, and none of its methods is served.
    FalseClaim,
    /// None of its methods is served, or there is no way to reach it.
    NotClaimed,
    /// It was not chosen for this run.
    NotSelected,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseEvent {
    /// Its id.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Its profile.
    pub profile: String,
    /// Which repetition, from 1.
    pub round: u32,
}

/// A line of a transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEvent {
    /// The case.
    pub case: String,
    /// The number of the step; 0 for what the runner does by itself.
    pub step: u32,
    /// `>>`, `<<` or `@`.
    pub direction: String,
    /// The connection, if it is on one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub connection: String,
    /// Microseconds since the case began.
    pub at_us: u64,
    /// What; cut if it is long.
    pub text: String,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckEvent {
    /// Its id, the same in every run: `HSP-4.2-11@guard/over-budget#4`.
    pub id: String,
    /// The requirement.
    pub requirement: String,
    /// The case.
    pub case: String,
    /// The number of the step.
    pub step: u32,
    /// The profile of the case.
    pub profile: String,
    /// How binding it is here.
    pub level: Level,
    /// What came of it.
    pub verdict: Verdict,
    /// Where in the message, such as `$.result.id`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What should be there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What is there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actual: String,
    /// Why there is no verdict, or why it is not the plain one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What else was seen: further mismatches, warnings, readings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What came of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footer {
    /// Checks by verdict.
    pub counts: BTreeMap<String, u64>,
    /// How the process ends.
    pub exit: Exit,
    /// Why, in words.
    pub message: String,
    /// Entries of the baseline that are stale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// How long it took, in milliseconds of the target's time.
    pub elapsed_ms: u64,
}

/// Takes events as they come.
pub trait Sink {
    /// One event.
    fn event(&mut self, event: &Event);
}

impl Sink for Vec<Event> {
    fn event(&mut self, event: &Event) {
        self.push(event.clone());
    }
}

/// Writes events as lines. The first error is kept for the end; the run goes on.
#[derive(Debug)]
pub struct Writer<W> {
    write: W,
    error: Option<io::Error>,
}

impl<W: io::Write> Writer<W> {
    /// Writes to this.
    pub fn new(write: W) -> Self {
        Self { write, error: None }
    }

    /// Flushes.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish(mut self) -> io::Result<()> {
        match self.error {
            Some(error) => Err(error),
            None => self.write.flush(),
        }
    }
}

impl<W: io::Write> Sink for Writer<W> {
    fn event(&mut self, event: &Event) {
        if self.error.is_none() {
            let written = serde_json::to_writer(&mut self.write, event)
                .map_err(io::Error::from)
                .and_then(|()| self.write.write_all(b"\n"));
            self.error = written.err();
        }
    }
}

/// Why a stream cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A line is no event.
    #[error("line {line} is no event of a run: {problem}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// Why.
        problem: String,
    },
    /// It does not begin with a header.
    #[error("the file does not begin with the header of a run")]
    NoHeader,
    /// The header is of another format.
    #[error("the file has format {0} and this program reads format {FORMAT}")]
    Format(u32),
    /// It does not end with a footer, or goes on after it.
    #[error(
        "the file does not end with the footer of a run: the run did not come to its end, so it shows nothing"
    )]
    NoFooter,
}

/// Reads a whole stream.
///
/// # Errors
/// It is none, or is not whole.
pub fn read(text: &str) -> Result<Vec<Event>, StreamError> {
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let event = serde_json::from_str(line)
            .map_err(|error| StreamError::Line { line: index + 1, problem: error.to_string() })?;
        events.push(event);
    }
    match events.first() {
        Some(Event::Header(header)) if header.format == FORMAT => {}
        Some(Event::Header(header)) => return Err(StreamError::Format(header.format)),
        _ => return Err(StreamError::NoHeader),
    }
    let footers = events.iter().filter(|event| matches!(event, Event::Footer(_))).count();
    let last = events.last().is_some_and(|event| matches!(event, Event::Footer(_)));
    if last && footers == 1 { Ok(events) } else { Err(StreamError::NoFooter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: u32) -> Event {
        Event::Header(Header {
            format,
            judge: "0".into(),
            spec_sha256: "0".into(),
            target: Identity::default(),
            unix_ms: None,
            seed: 0,
            repeat: 1,
            strict: false,
            profiles: vec![],
            command: String::new(),
        })
    }

    fn footer() -> Event {
        let counts = BTreeMap::from([(Verdict::Pass.name().to_owned(), 1)]);
        Event::Footer(Footer {
            counts,
            exit: Exit::Conformant,
            message: "m".into(),
            stale: vec![],
            elapsed_ms: 1,
        })
    }

    fn text(events: &[Event]) -> String {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        events.iter().for_each(|event| writer.event(event));
        writer.finish().expect("written");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_stream_is_read_if_it_is_whole() {
        let whole = [header(FORMAT), footer()];
        assert_eq!(read(&text(&whole)), Ok(whole.to_vec()));
        assert_eq!(read(&text(&whole[..1])), Err(StreamError::NoFooter));
        assert_eq!(read(&text(&[header(FORMAT), footer(), footer()])), Err(StreamError::NoFooter));
        assert_eq!(read(&text(&whole[1..])), Err(StreamError::NoHeader));
        assert_eq!(read(""), Err(StreamError::NoHeader));
        assert_eq!(read(&text(&[header(9), footer()])), Err(StreamError::Format(9)));
        assert!(matches!(read("{}"), Err(StreamError::Line { line: 1, .. })));
    }
}
