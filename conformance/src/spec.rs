//! The specification as it is pinned in `spec/`: its text, its clauses, its method signatures and its JSON blocks.
//!
//! Everything that the suite claims about the specification is checked against this text, and quotes are looked up in it with
//! any run of white space read as one space ([`normalise`]), because the pinned text breaks lines where the page did.
//! Clauses are numbered as the text numbers them (`2.1`); the three examples of section 11 are `11.1` to `11.3`.

use std::sync::LazyLock;

use serde::Deserialize;

/// The pinned text, byte for byte.
pub const TEXT: &str = include_str!("../spec/hyperspace-spec.txt");

/// Where the pinned text comes from (`spec/origin.toml`).
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The text's title.
    pub title: String,
    /// The name of the pinned file.
    pub file: String,
    /// The page that it was taken from.
    pub url: String,
    /// When its authors announced it, year-month-day.
    pub announced: String,
    /// When it was pinned here, year-month-day.
    pub pinned: String,
    /// What was done to the page to get the text.
    pub form: String,
    /// SHA-256 of the pinned file, in lower-case hexadecimal.
    pub sha256: String,
}

/// Where the pinned text comes from.
pub fn origin() -> &'static Origin {
    static ORIGIN: LazyLock<Origin> = LazyLock::new(|| {
        toml::from_str(include_str!("../spec/origin.toml")).expect("the embedded spec/origin.toml is valid")
    });
    &ORIGIN
}

/// A numbered clause of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clause {
    /// Its number: `2`, `2.1`, `11.3`.
    pub id: String,
    /// Its heading without the number.
    pub title: String,
    /// The line of its heading in the pinned file, the first line being 1.
    pub line: usize,
    /// How many clauses it is inside of: 0 for `2`, 1 for `2.1`.
    pub depth: usize,
    /// The whole line of its heading.
    heading: &'static str,
    /// Bytes of the normalised text from its heading to the next clause that is not inside of it.
    span: (usize, usize),
}

/// A JSON block of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The clause that it stands in.
    pub clause: &'static str,
    /// Its first line in the pinned file, the first line being 1.
    pub line: usize,
    /// The block as it stands in the text, without the line break at its end.
    pub text: &'static str,
}

/// The text with its clauses, read once.
struct Index {
    /// The text with every run of white space as one space.
    normalised: String,
    clauses: Vec<Clause>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut normalised = String::with_capacity(TEXT.len());
    let mut clauses: Vec<Clause> = Vec::new();
    for (number, line) in TEXT.lines().enumerate() {
        let words = normalise(line);
        if words.is_empty() {
            continue;
        }
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        if let Some((id, title)) = heading(line, clauses.last()) {
            let depth = id.matches('.').count();
            let span = (normalised.len(), usize::MAX);
            for open in clauses.iter_mut().filter(|c| c.span.1 == usize::MAX && c.depth >= depth) {
                open.span.1 = span.0;
            }
            clauses.push(Clause { id, title, line: number + 1, depth, heading: line.trim_end(), span });
        }
        normalised.push_str(&words);
    }
    let end = normalised.len();
    for open in clauses.iter_mut().filter(|c| c.span.1 == usize::MAX) {
        open.span.1 = end;
    }
    Index { normalised, clauses }
});

/// Number and title, if the line is the heading of the clause that follows `last`. Numbered steps look like headings and are
/// told apart by not being the next number.
fn heading(line: &str, last: Option<&Clause>) -> Option<(String, String)> {
    let (mut section, mut sub) = (0, 0);
    if let Some(last) = last {
        let mut parts =
            last.id.split('.').map(|part| part.parse::<u32>().expect("clause numbers are numbers"));
        section = parts.next().unwrap_or(0);
        sub = parts.next().unwrap_or(0);
    }
    let next_section = format!("{}", section + 1);
    let next_sub = format!("{section}.{}", sub + 1);
    let prefixes = [
        (format!("{next_section}. "), &next_section),
        (format!("{next_sub} "), &next_sub),
        (format!("Example {}: ", sub + 1), &next_sub),
    ];
    prefixes.into_iter().find_map(|(prefix, id)| Some((id.clone(), line.strip_prefix(&prefix)?.to_owned())))
}

/// The text with every run of white space as one space, and none at its ends.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// All clauses, in the order of the text.
pub fn clauses() -> &'static [Clause] {
    &INDEX.clauses
}

/// The clause with this number, if the text has one.
pub fn clause(id: &str) -> Option<&'static Clause> {
    INDEX.clauses.iter().find(|clause| clause.id == id)
}

/// The innermost clause in which a quote stands: `prefer` or one inside of it if the quote occurs there, else the first in the text.
/// `None` if the text does not contain the quote, or only before the first clause.
pub fn locate(quote: &str, prefer: &str) -> Option<&'static Clause> {
    let quote = normalise(quote);
    if quote.is_empty() {
        return None;
    }
    let in_preferred = clause(prefer).and_then(|clause| {
        let (start, end) = clause.span;
        INDEX.normalised[start..end].find(&quote).map(|at| start + at)
    });
    let at = in_preferred.or_else(|| INDEX.normalised.find(&quote))?;
    INDEX.clauses.iter().filter(|c| (c.span.0..c.span.1).contains(&at)).max_by_key(|c| c.depth)
}

/// Whether the text contains the quote.
pub fn contains(quote: &str) -> bool {
    let quote = normalise(quote);
    !quote.is_empty() && INDEX.normalised.contains(&quote)
}

/// Whether the words are a clause's heading and nothing else; a requirement cannot rest on that.
pub fn is_heading(quote: &str) -> bool {
    let quote = normalise(quote);
    INDEX.clauses.iter().any(|c| quote == c.title || quote == normalise(c.heading))
}

/// The innermost clause at a line of the pinned file, the first line being 1.
fn clause_at_line(line: usize) -> &'static str {
    INDEX.clauses.iter().rev().find(|c| c.line <= line).map_or("", |c| c.id.as_str())
}

/// The JSON blocks, in the order of the text: from a line that is `{` to the next line that is `}`.
pub fn json_blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = None;
    let mut offset = 0;
    for (number, line) in TEXT.split_inclusive('\n').enumerate() {
        match line.trim_end() {
            "{" if open.is_none() => open = Some((number + 1, offset)),
            "}" => {
                if let Some((line, start)) = open.take() {
                    let text = &TEXT[start..=offset];
                    blocks.push(Block { clause: clause_at_line(line), line, text });
                }
            }
            _ => {}
        }
        offset += line.len();
    }
    blocks
}

/// The lines that are method signatures (`primitive.method(…) → …`) with the clause they stand in, in the order of the text.
pub fn signatures() -> Vec<(&'static str, &'static str)> {
    let is_signature = |line: &str| {
        line.split_once('(').is_some_and(|(name, rest)| {
            name.contains('.')
                && name.chars().all(|c| c.is_ascii_alphabetic() || c == '.')
                && rest.contains(") → ")
        })
    };
    TEXT.lines()
        .enumerate()
        .filter(|(_, line)| is_signature(line))
        .map(|(number, line)| (clause_at_line(number + 1), line))
        .collect()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_pinned_text_is_the_one_that_its_origin_names() {
        let digest: String = Sha256::digest(TEXT).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest,
            origin().sha256,
            "spec/hyperspace-spec.txt has changed: it is pinned and never edited"
        );
        assert_eq!(origin().file, "hyperspace-spec.txt");
    }

    #[test]
    fn clauses_are_those_of_the_text() {
        let sections: Vec<_> = clauses().iter().filter(|c| c.depth == 0).map(|c| c.title.as_str()).collect();
        assert_eq!(sections.len(), 11);
        assert_eq!((sections[0], sections[10]), ("Introduction", "Wire Format Examples"));
        let subclauses: Vec<_> = clauses().iter().filter(|c| c.depth == 1).map(|c| c.id.as_str()).collect();
        assert_eq!(
            subclauses.join(" "),
            "1.1 1.2 1.3 1.4 2.1 2.2 2.3 2.4 4.1 4.2 4.3 4.4 4.5 5.1 5.2 6.1 6.2 6.3 6.4 7.1 7.2 7.3 7.4 \
             9.1 9.2 9.3 9.4 10.1 10.2 10.3 11.1 11.2 11.3"
        );
        assert_eq!(clause("11.3").unwrap().title, "Budget Guard with Error");
        assert!(clause("12").is_none() && clause("4.6").is_none());
    }

    #[test]
    fn quotes_are_found_over_line_breaks_and_in_the_clause_that_is_meant() {
        assert!(contains("Default port:\n  3100"));
        assert!(!contains("Default port: 3101") && !contains("") && !contains(" \n"));
        let twice = "No central";
        assert_eq!(locate(twice, "2.4").unwrap().id, "2.4");
        assert_eq!(locate(twice, "9").unwrap().id, "9.1");
        assert_eq!(locate("Default port: 3100", "9.1").unwrap().id, "2.2");
        assert_eq!(locate("GossipSub", "2").unwrap().id, "2.1", "a heading belongs to its clause");
        assert!(locate("View on GitHub", "1").is_none(), "it stands before the first clause");
        assert!(is_heading("4.1 State Primitive") && is_heading("State  Primitive") && !is_heading("State"));
        assert!(is_heading("8. Error Codes") && is_heading("Example 3: Budget Guard with Error"));
    }

    #[test]
    fn blocks_and_signatures_are_all_there() {
        let blocks = json_blocks();
        assert_eq!(blocks.len(), 33);
        for block in &blocks {
            let parsed = serde_json::from_str::<serde_json::Value>(block.text);
            assert!(parsed.is_ok(), "line {}: {parsed:?}", block.line);
        }
        assert_eq!((blocks[0].clause, blocks[32].clause), ("4.1", "11.3"));
        assert_eq!(blocks[32].text.lines().count(), TEXT.lines().count() + 1 - blocks[32].line);
        assert_eq!(signatures().len(), 44);
        assert_eq!(signatures()[43].0, "6.2");
    }
}
