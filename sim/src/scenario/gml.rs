//! The syntax of GML, the Graph Modelling Language: keys, each followed by a number, a text in quotes or a list in square
//! brackets. What the keys mean is the reader's business: see `shadow`.
//!
//! As in Himsolt's report, `#` starts a comment; as in Shadow, `\"` and `\\` stand for quote and backslash within a text.

use super::error::TextError;

/// Deepest nesting of lists (our bound): graphs need two, drawings in them a few more.
const DEPTH_MAX: usize = 16;

/// Most keys of a file (our bound), ten times what a table of 255 regions needs.
const ITEMS_MAX: usize = 1 << 22;

/// A key with its value.
#[derive(Debug, PartialEq)]
pub(super) struct Item<'a> {
    pub(super) key: &'a str,
    pub(super) line: usize,
    pub(super) value: Value<'a>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// As it is written: `10`, `-0.5`, `1e3`.
    Number(&'a str),
    Text(String),
    List(Vec<Item<'a>>),
}

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Item<'_>>, TextError> {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    Parser { rest, line: 1, items: 0 }.list(0)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    items: usize,
}

impl<'a> Parser<'a> {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, TextError> {
        Err(TextError::new(self.line, message))
    }

    /// Takes what comes before the first character that does not belong.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes this character if it is next.
    fn next_is(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.take(char::is_whitespace);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    /// Keys and values up to the end of the list, whose bracket is taken, or of the file at depth 0.
    fn list(&mut self, depth: usize) -> Result<Vec<Item<'a>>, TextError> {
        let opened = self.line;
        let mut items = Vec::new();
        loop {
            self.skip_blanks_and_comments();
            let Some(next) = self.rest.chars().next() else {
                if depth == 0 {
                    return Ok(items);
                }
                return Err(TextError::new(opened, "the list that begins here has no `]`"));
            };
            if next == ']' && depth > 0 {
                self.next_is(']');
                return Ok(items);
            }
            if !(next.is_ascii_alphabetic() || next == '_') {
                return self.wrong(format!("expected a key, found `{}`", next.escape_debug()));
            }
            self.items += 1;
            if self.items > ITEMS_MAX {
                return self.wrong(format!("more than {ITEMS_MAX} keys"));
            }
            let line = self.line;
            let key = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
            self.skip_blanks_and_comments();
            items.push(Item { key, line, value: self.value(key, depth)? });
        }
    }

    fn value(&mut self, key: &str, depth: usize) -> Result<Value<'a>, TextError> {
        if self.next_is('[') {
            if depth == DEPTH_MAX {
                return self.wrong(format!("lists are nested more than {DEPTH_MAX} deep"));
            }
            return self.list(depth + 1).map(Value::List);
        }
        if self.next_is('"') {
            return self.text().map(Value::Text);
        }
        let number = self.take(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
        // A word after a key can be taken for a number that begins with `e`.
        if number.parse::<f64>().is_err() {
            let key: String = key.chars().take(40).collect();
            return self.wrong(format!("`{key}` needs a number, a text in quotes or a list in [ ] after it"));
        }
        Ok(Value::Number(number))
    }

    /// The rest of a text whose opening quote is taken.
    fn text(&mut self) -> Result<String, TextError> {
        let opened = self.line;
        let mut text = String::new();
        loop {
            text.push_str(self.take(|c| c != '"' && c != '\\'));
            if self.next_is('"') {
                return Ok(text);
            }
            if !self.next_is('\\') {
                return Err(TextError::new(opened, "the text that begins here has no closing quote"));
            }
            match ['"', '\\'].into_iter().find(|escaped| self.next_is(*escaped)) {
                Some(escaped) => text.push(escaped),
                None => text.push('\\'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_numbers_texts_and_lists() {
        let text = "Creator \"me\" # who\ngraph [\n  a -1.5e3 b[c \"x \\\"y\\\" \\\\ \\z\n\"]\n]";
        let item = |key, line, value| Item { key, line, value };
        let c = item("c", 3, Value::Text("x \"y\" \\ \\z\n".into()));
        let graph = vec![item("a", 3, Value::Number("-1.5e3")), item("b", 3, Value::List(vec![c]))];
        let whole = vec![item("Creator", 1, Value::Text("me".into())), item("graph", 2, Value::List(graph))];
        assert_eq!(parse(text), Ok(whole));
        assert_eq!(parse("\u{feff} # nothing"), Ok(vec![]));
    }

    #[test]
    fn what_breaks_the_syntax_is_said_with_its_line() {
        let deep = "a [\n".repeat(17);
        let cases = [
            ("graph [\n a 1\n", 1, "the list that begins here has no `]`"),
            ("a 1\n]", 2, "expected a key, found `]`"),
            ("a 1 2", 1, "expected a key, found `2`"),
            ("\na \"x\n\n", 2, "the text that begins here has no closing quote"),
            ("a\nb 1", 2, "`a` needs a number, a text in quotes or a list"),
            ("a 1.2.3", 1, "`a` needs a number"),
            ("a e", 1, "`a` needs a number"),
            ("a", 1, "`a` needs a number"),
            (&deep, 17, "nested more than 16 deep"),
        ];
        for (text, line, words) in cases {
            let error = parse(text).expect_err(words);
            assert!(error.line == line && error.message.contains(words), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-ce0-9.\"\\\\#\\[\\] \n-]{0,80}", other in any::<String>()) {
            let _ = (parse(&text), parse(&other));
        }
    }
}
