//! How a target is named on the command line, and what is known about reaching it.
//!
//! | address | is |
//! |---|---|
//! | `ws://HOST:PORT`, `wss://HOST:PORT` | a node that runs already |
//! | `cmd:COMMAND` | a node that the judge starts, and starts again when it crashes. `{port}` in the command becomes a free port, on which it has to serve WebSocket at 127.0.0.1; without it the port is 3100, the default of the specification. `{dir}` becomes a fresh folder |
//! | `stdio:COMMAND` | a program that reads one JSON text a line and writes one a line |

use core::time::Duration;
use std::path::PathBuf;

/// The port that the specification names (spec 2.2).
pub const DEFAULT_PORT: u16 = 3100;

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A URL that begins with `ws://` or `wss://`.
    Url(String),
    /// A command that serves WebSocket.
    Command(Vec<String>),
    /// A command that speaks JSON lines.
    Lines(Vec<String>),
}

/// Where a control hook is: JSON lines too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAddress {
    /// A socket of this host.
    Unix(String),
    /// A command.
    Lines(Vec<String>),
}

/// Where the API key goes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeyPlace {
    /// `Authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// A header of this name.
    Header(String),
    /// A parameter of this name in the query of the URL.
    Query(String),
    /// The subprotocol that is asked for.
    Subprotocol,
}

/// What the operator says about a target.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// The API key, if it wants one.
    pub key: Option<String>,
    /// Where the key goes.
    pub key_place: KeyPlace,
    /// The control hook, if it has one.
    pub control: Option<ControlAddress>,
    /// A PEM file of the certificates to trust for `wss://`, in the place of the system's.
    pub ca: Option<PathBuf>,
    /// How long a command may take until it serves.
    pub start_patience: Duration,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            key: None,
            key_place: KeyPlace::default(),
            control: None,
            ca: None,
            start_patience: Duration::from_secs(20),
        }
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let usage = "write ws://HOST:PORT, wss://HOST:PORT, cmd:COMMAND or stdio:COMMAND";
        match text.split_once(':') {
            Some(("ws" | "wss", rest)) if rest.starts_with("//") && rest.len() > 2 => {
                Ok(Self::Url(text.to_owned()))
            }
            Some(("cmd", command)) => words(command).map(Self::Command),
            Some(("stdio", command)) => words(command).map(Self::Lines),
            Some(("http" | "https", rest)) => {
                let scheme = if text.starts_with("https") { "wss" } else { "ws" };
                Err(format!("'{text}' is no WebSocket address: write {scheme}:{rest}"))
            }
            _ => Err(format!("'{text}' is no target: {usage}")),
        }
    }
}

impl ControlAddress {
    /// Reads an address of a control hook.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            Some(("stdio", command)) => words(command).map(Self::Lines),
            _ => Err(format!("'{text}' is no control hook: write unix:PATH or stdio:COMMAND")),
        }
    }
}

impl KeyPlace {
    /// Reads `bearer`, `header:NAME`, `query:NAME` or `subprotocol`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            None if text == "subprotocol" => Ok(Self::Subprotocol),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            _ => Err(format!(
                "'{text}' is no place for a key: write bearer, header:NAME, query:NAME or subprotocol"
            )),
        }
    }
}

/// Splits a command as a shell does, without anything else that a shell does: spaces separate, quotes and backslashes keep.
///
/// # Errors
/// Nothing is there, or a quote has no end.
pub fn words(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (end, Some(open)) if end == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (open @ ('\'' | '"'), None) => {
                quote = Some(open);
                word.get_or_insert_default();
            }
            (space, None) if space.is_whitespace() => words.extend(word.take()),
            (other, _) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(open), _) => Err(format!("in the command '{command}' a {open} has no end")),
        (None, true) => Err("there is no command after the colon".to_owned()),
        (None, false) => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(Address::parse("ws://a:1"), Ok(Address::Url("ws://a:1".into())));
        let command = r#"cmd:./node --name "a b" 'c\d' e\ f {port}"#;
        let parsed = owned(&["./node", "--name", "a b", r"c\d", "e f", "{port}"]);
        assert_eq!(Address::parse(command), Ok(Address::Command(parsed)));
        assert_eq!(Address::parse("stdio:python3 n.py"), Ok(Address::Lines(owned(&["python3", "n.py"]))));
        for wrong in ["", "ws:", "ws://", "localhost:3100", "cmd:", "cmd:'a", "http://a"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        let advice = "'http://a:1' is no WebSocket address: write ws://a:1";
        assert_eq!(Address::parse("http://a:1"), Err(advice.into()));
        assert_eq!(ControlAddress::parse("unix:/a"), Ok(ControlAddress::Unix("/a".into())));
        assert!(ControlAddress::parse("/a").is_err());
        assert_eq!(KeyPlace::parse("header:X-API-Key"), Ok(KeyPlace::Header("X-API-Key".into())));
        assert!(KeyPlace::parse("cookie").is_err());
    }
}
