//! Reports, made from the events of a run alone.

mod console;
mod junit;

pub use console::console;
pub use junit::{JunitError, junit};

/// A text that may have come from a target, for a terminal: line breaks stay, other control characters, marks that change the
/// direction of writing and the like are shown as what they are.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if letter != '\n' && (letter.is_control() || hidden) {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(printable("é\n\u{1b}[2J\r\u{9b}1m\u{202e}x"), "é\n\\u{1b}[2J\\u{d}\\u{9b}1m\\u{202e}x");
    }
}
