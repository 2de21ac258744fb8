//! The `d` of an envelope on `hyperspace/capabilities/{peerId}`: a [`Card`] or a [`Heartbeat`] (spec 2.4 and 7.4).
//!
//! The spec names members but no bounds: all bounds here are ours. They keep a card well below the 60 KiB of an envelope
//! and 64 followed cards below 2 MiB of text. Members that we do not know are ignored, but count for the card's hash.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::published::{CardHash, Published, Version};
use crate::identity::PeerId;
use crate::time::Duration;
use crate::topic::Topic;

/// Longest payload in bytes of JSON, as received and in canonical form.
pub const CARD_BYTES_MAX: usize = 32 * 1024;
/// Largest `seq`: 2^53 - 1, the largest integer that every JSON parser and RFC 8785 keep exact. A larger one is refused,
/// so no peer can be locked in at `u64::MAX`.
pub const SEQ_MAX: u64 = (1 << 53) - 1;
/// Most tools of a card.
pub const TOOLS_MAX: usize = 64;
/// Most capabilities of a tool. Times [`TOOLS_MAX`] these are the 1,024 keys that one peer may provide in the DHT.
pub const TAGS_MAX: usize = 16;
/// Most task types of a card.
pub const TASK_TYPES_MAX: usize = 64;
/// Longest id or name of a tool in bytes (as a topic segment's, decision T2).
pub const NAME_MAX: usize = 128;
/// Longest description of a tool in bytes.
pub const DESCRIPTION_MAX: usize = 1024;
/// Longest capability in bytes.
pub const TAG_MAX: usize = 64;
/// Longest `geo` in bytes.
pub const GEO_MAX: usize = 64;
/// Largest latency in milliseconds: a day.
pub const LATENCY_MAX: f64 = 86_400_000.0;

/// Deepest nesting of arrays and objects: what an envelope of 64 levels has room for.
pub const NESTING_MAX: usize = 63;

/// A capability card: what a peer says about itself. Nothing in it is proven but whose it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Grows with every change, at most [`SEQ_MAX`]. [`Announcer`](super::Announcer) sets it.
    pub seq: u64,
    /// Whose card.
    #[serde(with = "peer_text")]
    pub peer_id: PeerId,
    /// At most [`TOOLS_MAX`], no two with one id.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// At most [`TASK_TYPES_MAX`], each fit for a topic `tasks/{taskType}`.
    #[serde(default)]
    pub task_types: Vec<String>,
    /// The peer's own claim, 0 to 1: a hint at most (decision T8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reputation: Option<f64>,
    /// A region such as `us-east`, 1 to [`GEO_MAX`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geo: Option<String>,
    /// Usual latency in milliseconds by the peer's own claim, 0 to [`LATENCY_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// One tool of a card, with the members that `tool.discover` answers with (spec 4.3).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// 1 to [`NAME_MAX`] bytes. Unique in the card only: another peer may use the same.
    pub id: String,
    /// 1 to [`NAME_MAX`] bytes.
    pub name: String,
    /// At most [`DESCRIPTION_MAX`] bytes.
    #[serde(default)]
    pub description: String,
    /// Tags, at most [`TAGS_MAX`] of 1 to [`TAG_MAX`] bytes; case does not matter (decision T9).
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Its own usual latency in milliseconds, 0 to [`LATENCY_MAX`]; else the card's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_latency: Option<f64>,
    /// `{input, output}` as JSON schemas. Passed on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
}

/// JSON that we pass on without looking inside, kept as text. Canonical (RFC 8785) in every [`Published`] card.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Takes any JSON text.
    ///
    /// # Errors
    /// [`CardError::Json`] if it is none.
    pub fn new(text: &str) -> Result<Self, CardError> {
        RawValue::from_string(text.to_owned()).map(Self).map_err(|_| CardError::Json)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

/// As a value: serde_json alone can write raw text, the canonical form cannot.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(self.get()).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

/// Equality of texts.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl core::fmt::Debug for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "<{}b>", self.get().len())
    }
}

/// "I am still here, with this card" (decision T7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The card's.
    pub seq: u64,
    /// The card's.
    pub card_hash: CardHash,
    /// How long to keep the card without another heartbeat, in milliseconds.
    pub ttl_ms: u64,
}

impl Heartbeat {
    /// The version of the card that it is for.
    pub const fn version(&self) -> Version {
        Version { seq: self.seq, hash: self.card_hash }
    }
    /// `ttlMs` as a span.
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}

/// What an envelope on a capabilities topic may hold.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload {
    /// It has a member `cardHash`.
    Heartbeat(Heartbeat),
    /// Anything else must be a card.
    Card(Arc<Published>),
}

impl Payload {
    /// Reads the text of `d`. Of two members with one name the last counts; the envelope check refuses such texts.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn parse(d: &str) -> Result<Self, CardError> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "cardHash")]
            hash: Option<serde::de::IgnoredAny>,
        }
        let text = canonical(d)?;
        let kind: Kind = serde_json::from_str(&text).map_err(|_| CardError::Json)?;
        if kind.hash.is_none() {
            return Published::from_canonical(&text).map(|card| Self::Card(Arc::new(card)));
        }
        let heartbeat: Heartbeat = serde_json::from_str(&text).map_err(|_| CardError::Json)?;
        check_seq(heartbeat.seq)?;
        Ok(Self::Heartbeat(heartbeat))
    }
}

/// Why a payload is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CardError {
    /// Longer than [`CARD_BYTES_MAX`]; it was not parsed.
    #[error("{0} bytes are too long for a card (at most {CARD_BYTES_MAX})")]
    TooLong(usize),
    /// Not JSON, or a member is missing or of the wrong type.
    #[error("not a card or heartbeat")]
    Json,
    /// Beyond [`SEQ_MAX`].
    #[error("seq {0} is above 2^53 - 1")]
    Seq(u64),
    /// Too many of something, or a text that is too short, too long or of the wrong characters.
    #[error("{what} must have 1 to {max} elements or bytes")]
    Bound {
        /// Which member.
        what: &'static str,
        /// Its bound.
        max: usize,
    },
    /// A number outside its range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// Two tools with one id.
    #[error("two tools have the same id")]
    SameTool,
}

/// The canonical form of a text that is not too long before nor after.
pub(super) fn canonical(text: &str) -> Result<String, CardError> {
    let fits = |n: usize| if n <= CARD_BYTES_MAX { Ok(()) } else { Err(CardError::TooLong(n)) };
    fits(text.len())?;
    let canonical = serde_json_canonicalizer::pipe(text).map_err(|_| CardError::Json)?;
    fits(canonical.len())?;
    at_most("nesting", nesting(&canonical), NESTING_MAX)?;
    Ok(canonical)
}

/// The deepest nesting of a valid JSON text.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut inside, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !inside => depth -= 1,
            _ => {}
        }
    }
    deepest
}

fn check_seq(seq: u64) -> Result<(), CardError> {
    if seq <= SEQ_MAX { Ok(()) } else { Err(CardError::Seq(seq)) }
}

/// All bounds of a card but its length.
pub(super) fn check(card: &Card) -> Result<(), CardError> {
    check_seq(card.seq)?;
    at_most("tools", card.tools.len(), TOOLS_MAX)?;
    at_most("taskTypes", card.task_types.len(), TASK_TYPES_MAX)?;
    if card.task_types.iter().any(|t| Topic::tasks(t).is_err()) {
        return Err(CardError::Bound { what: "a task type", max: crate::topic::TOKEN_MAX });
    }
    if let Some(geo) = &card.geo {
        text("geo", geo, GEO_MAX)?;
    }
    number("reputation", card.reputation, 1.0)?;
    number("latency", card.latency, LATENCY_MAX)?;
    for (i, tool) in card.tools.iter().enumerate() {
        text("a tool's id", &tool.id, NAME_MAX)?;
        text("a tool's name", &tool.name, NAME_MAX)?;
        at_most("a tool's description", tool.description.len(), DESCRIPTION_MAX)?;
        at_most("a tool's capabilities", tool.capabilities.len(), TAGS_MAX)?;
        for tag in &tool.capabilities {
            text("a capability", tag, TAG_MAX)?;
        }
        number("a tool's avgLatency", tool.avg_latency, LATENCY_MAX)?;
        if card.tools[..i].iter().any(|other| other.id == tool.id) {
            return Err(CardError::SameTool);
        }
    }
    Ok(())
}

fn at_most(what: &'static str, n: usize, max: usize) -> Result<(), CardError> {
    if n <= max { Ok(()) } else { Err(CardError::Bound { what, max }) }
}

fn text(what: &'static str, text: &str, max: usize) -> Result<(), CardError> {
    if text.is_empty() { Err(CardError::Bound { what, max }) } else { at_most(what, text.len(), max) }
}

fn number(what: &'static str, value: Option<f64>, max: f64) -> Result<(), CardError> {
    if value.is_none_or(|v| (0.0..=max).contains(&v)) { Ok(()) } else { Err(CardError::Range(what)) }
}

/// A peer id as JSON text.
mod peer_text {
    use super::{Deserialize, Deserializer, PeerId, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &PeerId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PeerId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
