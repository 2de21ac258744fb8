//! JSON as text: the forms of `d` that dialects hash, and the checks that the usual parser leaves out.

use core::cell::Cell;
use core::fmt::{self, Write};
use std::collections::BTreeSet;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The canonical form of RFC 8785, or `None` if there is none.
pub(super) fn jcs(raw: &str) -> Option<String> {
    serde_json_canonicalizer::pipe(raw).ok()
}

/// `raw` with every character outside printable ASCII as `\uxxxx`, in UTF-16 pairs above U+FFFF.
pub(super) fn ascii_escaped(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        // White space between tokens stays; inside strings valid JSON has no raw control characters.
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        }
    }
    out
}

/// `raw` with `", "` and `": "` between tokens and no other white space.
pub(super) fn spaced(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + raw.len() / 4);
    let mut strings = Strings::default();
    for c in raw.chars() {
        let inside = strings.step(c);
        match c {
            ' ' | '\t' | '\n' | '\r' if !inside => {}
            ',' if !inside => out.push_str(", "),
            ':' if !inside => out.push_str(": "),
            _ => out.push(c),
        }
    }
    out
}

/// The deepest nesting of arrays and objects, without recursion. Meaningful for valid JSON only.
pub(crate) fn nesting(bytes: &[u8]) -> usize {
    let mut strings = Strings::default();
    let (mut depth, mut deepest) = (0usize, 0);
    for &byte in bytes {
        let inside = strings.step(char::from(byte));
        match byte {
            b'[' | b'{' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What is wrong with a JSON text that peers with different parsers may read differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Not JSON, or with numbers beyond a double, half surrogate pairs or more than 127 levels.
    Syntax,
    /// An object, at any depth, has two members of the same name.
    Duplicate,
}

/// Whether all parsers agree on what `text` says (I-JSON, RFC 7493).
pub(super) fn check(text: &str) -> Result<(), Fault> {
    let duplicate = Cell::new(false);
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = Unambiguous { duplicate: &duplicate }.deserialize(&mut parser).and_then(|()| parser.end());
    match read {
        Ok(()) => Ok(()),
        Err(_) if duplicate.get() => Err(Fault::Duplicate),
        Err(_) => Err(Fault::Syntax),
    }
}

/// Follows a JSON text in and out of its strings.
#[derive(Default)]
struct Strings {
    inside: bool,
    escaped: bool,
}

impl Strings {
    /// Takes the next character. Whether it belongs to a string, quotes included.
    fn step(&mut self, c: char) -> bool {
        let was_inside = self.inside;
        if self.escaped {
            self.escaped = false;
        } else if c == '"' {
            self.inside = !self.inside;
        } else if c == '\\' && self.inside {
            self.escaped = true;
        }
        was_inside || self.inside
    }
}

/// Walks any JSON value and keeps nothing. The parser itself stops at 128 levels, so the recursion is bounded.
#[derive(Clone, Copy)]
struct Unambiguous<'f> {
    duplicate: &'f Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Unambiguous<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::<String>::new();
        while let Some(name) = members.next_key()? {
            if !names.insert(name) {
                self.duplicate.set(true);
                return Err(A::Error::custom("two members of the same name"));
            }
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_change_what_they_say_and_nothing_else() {
        let raw = "{\"b\" :1.50,\n\"a,:\\\"{\":[\"é😀\u{7f}\",1e2]}";
        assert_eq!(ascii_escaped(raw), "{\"b\" :1.50,\n\"a,:\\\"{\":[\"\\u00e9\\ud83d\\ude00\\u007f\",1e2]}");
        assert_eq!(spaced(raw), "{\"b\": 1.50, \"a,:\\\"{\": [\"é😀\u{7f}\", 1e2]}");
        assert_eq!(jcs(raw).as_deref(), Some("{\"a,:\\\"{\":[\"é😀\u{7f}\",100],\"b\":1.5}"));
    }

    /// RFC 8785, 3.2.2 and 3.2.3: numbers as ECMAScript prints them, members in the order of their UTF-16 units.
    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        let raw = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let canonical = concat!(
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(jcs(raw).as_deref(), Some(canonical));
        assert_eq!(jcs(r#"{"\ufb33":0,"😀":0}"#).as_deref(), Some("{\"😀\":0,\"\u{fb33}\":0}"));
    }

    #[test]
    fn nesting_counts_brackets_outside_strings() {
        assert_eq!(nesting(b"1"), 0);
        assert_eq!(nesting(br#"{"a":[[],"[[[[\"[",{}]}"#), 3);
        assert_eq!(nesting(&vec![b'['; 10_000_000]), 10_000_000);
        assert_eq!(nesting(b"]]]["), 1);
    }

    #[test]
    fn ambiguous_texts_are_found() {
        assert_eq!(check(r#"{"a":[{"b":1,"c":null}],"b":-1.5e3}"#), Ok(()));
        assert_eq!(check(r#"{"a":1,"a":1}"#), Err(Fault::Duplicate));
        assert_eq!(check(r#"[{"x":{"a":1,"\u0061":2}}]"#), Err(Fault::Duplicate));
        for bad in ["", "{", "1 2", "1e999", r#""\ud800""#, "[01]", "{'a':1}", "nul", "[1,]", "\"\n\""] {
            assert_eq!(check(bad), Err(Fault::Syntax), "{bad}");
        }
        assert_eq!(check(&"[".repeat(1_000_000)), Err(Fault::Syntax));
    }

    proptest! {
        #[test]
        fn nothing_panics_on_any_text(text in ".{0,60}|[\\[\\]{}\",:\\\\0-9 a]{0,60}") {
            let _ = (jcs(&text), ascii_escaped(&text), spaced(&text), nesting(text.as_bytes()), check(&text));
        }

        #[test]
        fn spacing_and_escaping_keep_the_value(text in "[\\[\\]{}\",:0-9 é]{0,40}") {
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&spaced(&text)).ok(), Some(value.clone()));
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ascii_escaped(&text)).ok(), Some(value));
            }
        }
    }
}
