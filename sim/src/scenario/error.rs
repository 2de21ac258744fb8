//! What is wrong with a scenario, shown at the place in the file or on the command line where it was written.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Where a key or a value was written: which text, and which bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// Index into [`Sources`]: 0 is the file, then one per override.
    pub(super) source: usize,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

impl Origin {
    pub(super) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }
}

/// The texts a scenario comes from, each with the name that messages give it.
pub(super) struct Sources {
    texts: Vec<(String, String)>,
}

impl Sources {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { texts: vec![(name.into(), text.into())] }
    }

    /// Adds a text and returns its index.
    pub(super) fn add(&mut self, name: &str, text: &str) -> usize {
        self.texts.push((name.into(), text.into()));
        self.texts.len() - 1
    }

    /// The error that `fault` is, with the text around it.
    pub(super) fn locate(&self, fault: Fault) -> ScenarioError {
        let (source, text) = &self.texts[fault.at.source];
        let start = fault.at.start.min(text.len());
        let mut end = fault.at.end.clamp(start, text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        end = end.min(line_end.max(start));
        let excerpt = text[line_start..line_end].trim_end_matches('\r');
        let shown = |at: usize| (at - line_start).min(excerpt.len());
        ScenarioError {
            source: source.clone(),
            line: 1 + text[..line_start].matches('\n').count() as u32,
            column: 1 + excerpt[..shown(start)].chars().count() as u32,
            excerpt: excerpt.into(),
            span: shown(start)..shown(end),
            message: shortened(fault.message),
            help: fault.help.map(shortened),
        }
    }
}

/// Something wrong at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) at: Origin,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(at: Origin, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None }
    }

    /// With a sentence on what would be right.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An unknown name: lists the valid ones, the nearest first if it is near.
    pub(super) fn unknown(at: Origin, what: &str, name: &str, valid: &[&str]) -> Self {
        Self::new(at, format!("unknown {what} `{name}`")).help(nearest(name, valid))
    }
}

/// A message may quote what the file says, and that may be long.
fn shortened(message: String) -> String {
    const MAX: usize = 500;
    if message.chars().nth(MAX).is_none() {
        return message;
    }
    message.chars().take(MAX).chain(['…']).collect()
}

/// "did you mean ...?", or the list of what there is.
pub(super) fn nearest(name: &str, valid: &[&str]) -> String {
    let near = valid
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if valid.is_empty() => "there are none here".into(),
        None => format!("valid: {}", valid.join(", ")),
    }
}

/// A mistake in a file that a scenario names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl TextError {
    pub(super) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

/// A scenario that cannot be used. [`Display`](fmt::Display) shows the line with a caret and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, or the `--set` that is to blame.
    pub source: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    excerpt: String,
    span: Range<usize>,
}

impl ScenarioError {
    /// Lines longer than this are not shown.
    const EXCERPT_MAX: usize = 2000;

    /// An error about a file as a whole.
    pub(super) fn whole(source: &str, message: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            line: 1,
            column: 1,
            message: message.into(),
            help: None,
            excerpt: String::new(),
            span: 0..0,
        }
    }

    /// The message with its source line, coloured for a terminal if asked.
    pub fn render(&self, colour: bool) -> String {
        if self.excerpt.trim().is_empty() || self.excerpt.len() > Self::EXCERPT_MAX {
            let place = if self.excerpt.is_empty() {
                String::new()
            } else {
                format!(":{}:{}", self.line, self.column)
            };
            let help = self.help.as_ref().map_or(String::new(), |help| format!("\n = help: {help}"));
            return format!("error: {}\n --> {}{place}{help}", self.message, self.source);
        }
        let snippet = Snippet::source(&self.excerpt)
            .path(&self.source)
            .line_start(self.line as usize)
            .annotation(AnnotationKind::Primary.span(self.span.clone()));
        let mut group = Level::ERROR.primary_title(&self.message).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ScenarioError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_after_what_is_shown_of_its_line_can_be_shown() {
        let at = |at| Sources::new("f", "a = \"x\r\r\r\n").locate(Fault::new(Origin::new(0, at), "torn"));
        for place in [9..9, 8..99] {
            let error = at(place);
            assert!(error.column == 7 && error.to_string().contains("--> f:1:7\n"), "{error}");
        }
    }
}
