//! WebSocket frames as a case gives them: any opcode, any bytes, in any order, right or wrong.

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::value::{ExprError, Scope, Template};

/// A frame to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameTemplate {
    /// `continuation`, `text`, `binary`, `close`, `ping`, `pong`, or a number to 15.
    pub opcode: Opcode,
    /// Is it the last of its message? It is unless this says no.
    #[serde(default = "yes")]
    pub fin: bool,
    /// The payload, a template that comes to a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    /// The payload as hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// For `close`: the status code before the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

fn yes() -> bool {
    true
}

/// An opcode, by name or number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Opcode {
    /// By number.
    Number(u8),
    /// By name.
    Name(String),
}

const NAMES: [(&str, u8); 6] =
    [("continuation", 0), ("text", 1), ("binary", 2), ("close", 8), ("ping", 9), ("pong", 10)];

impl Opcode {
    /// The number.
    #[must_use]
    pub fn number(&self) -> Option<u8> {
        match self {
            Self::Number(number) => Some(*number).filter(|number| *number < 16),
            Self::Name(name) => NAMES.iter().find(|(known, _)| known == name).map(|(_, number)| *number),
        }
    }
}

/// The name of an opcode.
#[must_use]
pub fn opcode_name(number: u8) -> String {
    NAMES
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// A frame as it goes to the wire, but for its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// 0 to 15.
    pub opcode: u8,
    /// Is it the last of its message?
    pub fin: bool,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl FrameTemplate {
    /// Reads the body of `>> frame`: one frame, or an array of them.
    pub(super) fn read(body: &Json) -> Result<Vec<Self>, String> {
        let items = match body {
            Json::Array(items) => items.iter().collect(),
            one => vec![one],
        };
        items.into_iter().map(Self::one).collect()
    }

    fn one(body: &Json) -> Result<Self, String> {
        let usage = "a frame is {\"opcode\": \"text\", \"fin\": true, \"text\": \"...\"}, with hex in the place of text for any \
            bytes, and code for a close";
        let frame: Self =
            serde_json::from_str(&body.to_string()).map_err(|error| format!("{error}; {usage}"))?;
        if frame.opcode.number().is_none() {
            return Err(
                "the opcode is none of continuation, text, binary, close, ping, pong, or 0 to 15".to_owned()
            );
        }
        if frame.text.is_some() && frame.hex.is_some() {
            return Err(format!("a frame has text or hex, not both; {usage}"));
        }
        if frame.hex.as_deref().is_some_and(|digits| unhex(digits).is_none()) {
            return Err("hex is pairs of hexadecimal digits, with spaces between if you like".to_owned());
        }
        Ok(frame)
    }

    /// The frame now.
    ///
    /// # Errors
    /// As [`Template::fill`].
    pub fn fill(&self, scope: &Scope) -> Result<RawFrame, ExprError> {
        let mut payload = self.code.map(u16::to_be_bytes).map(Vec::from).unwrap_or_default();
        if let Some(text) = &self.text {
            match text.fill(scope)? {
                Json::String(text) => payload.extend(text.into_bytes()),
                other => payload.extend(other.to_string().into_bytes()),
            }
        }
        payload.extend(self.hex.as_deref().and_then(unhex).unwrap_or_default());
        Ok(RawFrame { opcode: self.opcode.number().unwrap_or(1), fin: self.fin, payload })
    }
}

impl RawFrame {
    /// As an object that a matcher can look at: `opcode`, `fin`, `hex`, `text` if it is UTF-8, `code` and `reason` of a close.
    #[must_use]
    pub fn describe(&self) -> Json {
        let mut members = vec![
            ("opcode", Json::string(opcode_name(self.opcode))),
            ("fin", Json::Bool(self.fin)),
            ("hex", Json::string(hex(&self.payload))),
        ];
        if let Ok(text) = core::str::from_utf8(&self.payload) {
            members.push(("text", Json::string(text)));
        }
        Json::object(members)
    }
}

/// Hexadecimal digits of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|letter| *letter != ' ')
        .map(|letter| letter.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}
