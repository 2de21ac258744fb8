//! JUnit XML, as build servers read it: a suite for each case, a test for each check. What failed is a failure, what could not be
//! made or is known is skipped, warnings and readings are output.

use std::collections::BTreeMap;
use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::events::{CheckEvent, Event};
use crate::verdict::Verdict;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[error("the JUnit report cannot be made: {0}")]
pub struct JunitError(#[from] io::Error);

/// Writes the report.
///
/// # Errors
/// None that we know of: it is written to memory.
pub fn junit(events: &[Event]) -> Result<String, JunitError> {
    let mut cases: BTreeMap<&str, Vec<&CheckEvent>> = BTreeMap::new();
    let mut target = "";
    for event in events {
        match event {
            Event::Header(header) => target = &header.target.name,
            Event::Check(check) => cases.entry(&check.case).or_default().push(check),
            Event::Case(_) | Event::Step(_) | Event::Footer(_) => {}
        }
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    let all: Vec<&CheckEvent> = cases.values().flatten().copied().collect();
    let name = clean(&format!("hyperlab conform {target}"));
    let element = writer.create_element("testsuites").with_attribute(("name", name.as_str()));
    let counts = counts(&all);
    element.with_attributes(counts.iter().map(|(name, count)| (*name, count.as_str()))).write_inner_content(
        |writer| {
            for (case, checks) in &cases {
                suite(writer, case, checks)?;
            }
            Ok(())
        },
    )?;
    let body = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}\n"))
}

fn counts(checks: &[&CheckEvent]) -> [(&'static str, String); 4] {
    let count =
        |kind: Kind| checks.iter().filter(|check| Kind::of(check.verdict) == kind).count().to_string();
    [
        ("tests", checks.len().to_string()),
        ("failures", count(Kind::Failure)),
        ("errors", count(Kind::Error)),
        ("skipped", count(Kind::Skipped)),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Output,
    Skipped,
    Failure,
    Error,
}

impl Kind {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Plain,
            Verdict::Info | Verdict::Warn => Self::Output,
            Verdict::NotApplicable | Verdict::Untestable | Verdict::ExpectedFail => Self::Skipped,
            Verdict::Fail | Verdict::Flaky | Verdict::UnexpectedPass => Self::Failure,
            Verdict::Error => Self::Error,
        }
    }
}

fn suite(writer: &mut Writer<Vec<u8>>, case: &str, checks: &[&CheckEvent]) -> io::Result<()> {
    let counts = counts(checks);
    let element = writer.create_element("testsuite").with_attribute(("name", case));
    element
        .with_attributes(counts.iter().map(|(name, count)| (*name, count.as_str())))
        .write_inner_content(|writer| checks.iter().try_for_each(|check| test(writer, check)))?;
    Ok(())
}

fn test(writer: &mut Writer<Vec<u8>>, check: &CheckEvent) -> io::Result<()> {
    let class = format!("{}.{}", check.profile, check.case.replace('/', "."));
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", check.id.as_str()))
        .with_attribute(("classname", class.as_str()));
    let kind = Kind::of(check.verdict);
    if kind == Kind::Plain {
        element.write_empty()?;
        return Ok(());
    }
    let message = clean(&headline(check));
    let text = clean(&body(check));
    element.write_inner_content(|writer| {
        let name = match kind {
            Kind::Plain | Kind::Output => "system-out",
            Kind::Skipped => "skipped",
            Kind::Failure => "failure",
            Kind::Error => "error",
        };
        let mut element = writer.create_element(name);
        if kind != Kind::Output {
            element = element.with_attribute(("message", message.as_str()));
        }
        if matches!(kind, Kind::Failure | Kind::Error) {
            element = element.with_attribute(("type", check.verdict.name()));
        }
        if kind == Kind::Skipped {
            element.write_empty()?;
        } else {
            element.write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn headline(check: &CheckEvent) -> String {
    let mut parts = vec![check.verdict.name().to_owned()];
    if !check.expected.is_empty() {
        parts.push(format!("at {} expected {}, got {}", check.path, check.expected, check.actual));
    }
    if !check.reason.is_empty() {
        parts.push(check.reason.clone());
    }
    parts.join(": ")
}

fn body(check: &CheckEvent) -> String {
    let mut lines = vec![headline(check)];
    lines.extend(check.notes.iter().cloned());
    lines.join("\n")
}

/// Without the characters that XML 1.0 cannot carry.
fn clean(text: &str) -> String {
    let fits = |letter: char| matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|letter| if fits(letter) { letter } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event as Xml;

    use super::*;
    use crate::level::Level;

    fn check(id: &str, verdict: Verdict, actual: &str) -> Event {
        Event::Check(CheckEvent {
            id: format!("{id}@a/b#1"),
            requirement: id.into(),
            case: "a/b".into(),
            step: 1,
            profile: "state".into(),
            level: Level::Must,
            verdict,
            path: "$".into(),
            expected: "x".into(),
            actual: actual.into(),
            reason: String::new(),
            notes: vec!["n".into()],
        })
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "]]></failure><x a='\"&amp;\u{0}\u{1b}[31m\u{fffe}";
        let verdicts = Verdict::ALL.iter().map(|verdict| check(verdict.name(), *verdict, hostile));
        let text = junit(&verdicts.collect::<Vec<_>>()).expect("a report");
        let mut reader = Reader::from_str(&text);
        reader.config_mut().check_end_names = true;
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            match reader.read_event().expect("well-formed XML") {
                Xml::Start(tag) | Xml::Empty(tag) => {
                    let name = tag.name().as_ref().to_owned();
                    *names.entry(name).or_default() += 1;
                    assert!(tag.attributes().all(|attribute| attribute.is_ok()));
                }
                Xml::Eof => break,
                _ => {}
            }
        }
        let counts: Vec<_> = names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let wanted = [
            ("error", 1),
            ("failure", 3),
            ("skipped", 3),
            ("system-out", 2),
            ("testcase", 10),
            ("testsuite", 1),
            ("testsuites", 1),
        ];
        assert_eq!(counts, wanted);
        assert!(!text.contains('\u{0}') && !text.contains('\u{1b}'));
        assert!(text.contains(r#"tests="10" failures="3" errors="1" skipped="3""#), "{text}");
    }
}
