//! Topic names of spec 7.1: `hyperspace/{dataType}/{scope}`.
//!
//! [`Topic::parse`] reads a name, [`Display`](fmt::Display) prints the very same name, and [`Topic::family`] says which of
//! the six topics of spec 2.1 it is. A name is split at its first two slashes only, so that the scope of
//! `hyperspace/crdt/sync/memory` is `sync/memory` (decision T1). Data types that the spec does not list are allowed.

use core::fmt;
use core::str::FromStr;

use crate::identity::{PeerId, PeerIdError};

/// First segment of every topic (spec 7.1).
pub const ROOT: &str = "hyperspace";
/// Longest topic name in bytes. The spec has no bound: ours leaves room for a data type and two scope segments of full
/// length, and is checked before anything else.
pub const TOPIC_MAX: usize = 512;
/// Longest task type, data type or scope segment in bytes (decision T2).
pub const TOKEN_MAX: usize = 128;

/// A valid topic name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Family);

/// What a topic is for: the table of spec 2.1, and the rest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// `capabilities/{peerId}`: what that peer can do. Only that peer publishes there (decision T3).
    Capabilities(PeerId),
    /// `tasks/{taskType}`: requests and routing.
    Tasks(Token),
    /// `trajectories/{taskType}`: execution traces.
    Trajectories(Token),
    /// `reputation/{peerId}`: what others report about that peer (decision T4).
    Reputation(PeerId),
    /// `crdt/sync/memory`: anti-entropy of the distributed memory.
    CrdtSyncMemory,
    /// `settlements/{round}`: receipts of one round (decision T6).
    Settlements(u64),
    /// A data type outside the table, or `crdt` with another scope.
    Other {
        /// Second segment of the name.
        data_type: Token,
        /// All that follows.
        scope: Scope,
    },
}

/// One segment of a name: 1 to [`TOKEN_MAX`] bytes of `A-Z a-z 0-9 . _ -` (decision T2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Box<str>);

/// One or more [`Token`]s joined by slashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<str>);

/// Why a text is not a topic name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopicError {
    /// Longer than [`TOPIC_MAX`].
    #[error("{0} bytes are too long for a topic (at most {TOPIC_MAX})")]
    TooLong(usize),
    /// Fewer than three segments, or the first is not `hyperspace`.
    #[error("a topic reads hyperspace/{{dataType}}/{{scope}}")]
    Shape,
    /// A segment is empty, too long or has a character outside the set.
    #[error("{what} must be 1 to {TOKEN_MAX} characters of A-Z a-z 0-9 . _ -")]
    Token {
        /// Which segment.
        what: &'static str,
    },
    /// The scope of a per-peer topic is not a peer id.
    #[error("the scope must be a peer id: {0}")]
    PeerId(#[from] PeerIdError),
    /// The scope of a settlement topic is not a number as we print it.
    #[error("a round must be a decimal number below 2^64 without leading zeros")]
    Round,
}

impl Topic {
    /// Reads a topic name.
    ///
    /// # Errors
    /// What is wrong with `name`; see [`TopicError`].
    pub fn parse(name: &str) -> Result<Self, TopicError> {
        if name.len() > TOPIC_MAX {
            return Err(TopicError::TooLong(name.len()));
        }
        let mut parts = name.splitn(3, '/');
        let (Some(ROOT), Some(data_type), Some(scope)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TopicError::Shape);
        };
        Ok(Self(match data_type {
            "capabilities" => Family::Capabilities(scope.parse()?),
            "tasks" => Family::Tasks(Token::new("the task type", scope)?),
            "trajectories" => Family::Trajectories(Token::new("the task type", scope)?),
            "reputation" => Family::Reputation(scope.parse()?),
            "crdt" if scope == "sync/memory" => Family::CrdtSyncMemory,
            "settlements" => Family::Settlements(parse_round(scope)?),
            _ => Family::Other {
                data_type: Token::new("the data type", data_type)?,
                scope: Scope::new(scope)?,
            },
        }))
    }

    /// `hyperspace/capabilities/{peerId}`.
    pub const fn capabilities(peer: PeerId) -> Self {
        Self(Family::Capabilities(peer))
    }

    /// `hyperspace/tasks/{taskType}`.
    ///
    /// # Errors
    /// [`TopicError::Token`] if the task type is not a token.
    pub fn tasks(task_type: &str) -> Result<Self, TopicError> {
        Ok(Self(Family::Tasks(Token::new("the task type", task_type)?)))
    }

    /// `hyperspace/trajectories/{taskType}`.
    ///
    /// # Errors
    /// [`TopicError::Token`] if the task type is not a token.
    pub fn trajectories(task_type: &str) -> Result<Self, TopicError> {
        Ok(Self(Family::Trajectories(Token::new("the task type", task_type)?)))
    }

    /// `hyperspace/reputation/{peerId}`, where the peer is the one reported about (decision T4).
    pub const fn reputation(subject: PeerId) -> Self {
        Self(Family::Reputation(subject))
    }

    /// `hyperspace/crdt/sync/memory`.
    pub const fn crdt_sync_memory() -> Self {
        Self(Family::CrdtSyncMemory)
    }

    /// `hyperspace/settlements/{round}`.
    pub const fn settlements(round: u64) -> Self {
        Self(Family::Settlements(round))
    }

    /// `hyperspace/{dataType}/{scope}` for any data type; one that the spec lists gives that family, with its rules.
    ///
    /// # Errors
    /// As [`Topic::parse`]; a data type with a slash is [`TopicError::Token`].
    pub fn other(data_type: &str, scope: &str) -> Result<Self, TopicError> {
        let data_type = Token::new("the data type", data_type)?;
        Self::parse(&format!("{ROOT}/{data_type}/{scope}"))
    }

    /// Which topic this is.
    pub const fn family(&self) -> &Family {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Family::Capabilities(peer) => write!(f, "{ROOT}/capabilities/{peer}"),
            Family::Tasks(task_type) => write!(f, "{ROOT}/tasks/{task_type}"),
            Family::Trajectories(task_type) => write!(f, "{ROOT}/trajectories/{task_type}"),
            Family::Reputation(peer) => write!(f, "{ROOT}/reputation/{peer}"),
            Family::CrdtSyncMemory => write!(f, "{ROOT}/crdt/sync/memory"),
            Family::Settlements(round) => write!(f, "{ROOT}/settlements/{round}"),
            Family::Other { data_type, scope } => write!(f, "{ROOT}/{data_type}/{scope}"),
        }
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({self})")
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(name: &str) -> Result<Self, TopicError> {
        Self::parse(name)
    }
}

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(what: &'static str, text: &str) -> Result<Self, TopicError> {
        if is_token(text) { Ok(Self(text.into())) } else { Err(TopicError::Token { what }) }
    }
}

impl Scope {
    /// The text, slashes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    fn new(text: &str) -> Result<Self, TopicError> {
        if text.split('/').all(is_token) {
            Ok(Self(text.into()))
        } else {
            Err(TopicError::Token { what: "each segment of the scope" })
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Decision T6: only the text that the number prints as, so that no round has two topics.
fn parse_round(text: &str) -> Result<u64, TopicError> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().map_err(|_| TopicError::Round) } else { Err(TopicError::Round) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7";

    fn token(text: &str) -> Token {
        Token::new("test", text).expect("a token")
    }

    #[test]
    fn the_six_topics_of_the_spec_are_known() {
        let peer: PeerId = PEER.parse().expect("valid");
        let cases = [
            (format!("hyperspace/capabilities/{PEER}"), Family::Capabilities(peer)),
            ("hyperspace/tasks/web-research".to_owned(), Family::Tasks(token("web-research"))),
            ("hyperspace/trajectories/a.b_C-9".to_owned(), Family::Trajectories(token("a.b_C-9"))),
            (format!("hyperspace/reputation/{PEER}"), Family::Reputation(peer)),
            ("hyperspace/crdt/sync/memory".to_owned(), Family::CrdtSyncMemory),
            ("hyperspace/settlements/0".to_owned(), Family::Settlements(0)),
            (format!("hyperspace/settlements/{}", u64::MAX), Family::Settlements(u64::MAX)),
        ];
        for (name, family) in cases {
            let topic = Topic::parse(&name).expect("valid");
            assert_eq!(topic.family(), &family);
            assert_eq!(topic.to_string(), name);
        }
    }

    #[test]
    fn unknown_data_types_are_allowed() {
        let topic = Topic::parse("hyperspace/playbooks/v1/abc").expect("valid");
        let Family::Other { data_type, scope } = topic.family() else { panic!("{topic:?}") };
        assert_eq!((data_type.as_str(), scope.as_str()), ("playbooks", "v1/abc"));
        assert_eq!(scope.segments().collect::<Vec<_>>(), ["v1", "abc"]);
        assert!(matches!(
            Topic::parse("hyperspace/crdt/sync").expect("valid").family(),
            Family::Other { .. }
        ));
        assert_eq!(Topic::other("tasks", "x"), Topic::tasks("x"));
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        let token_error = |what| TopicError::Token { what };
        let long = "a".repeat(TOKEN_MAX + 1);
        let cases = [
            (String::new(), TopicError::Shape),
            ("hyperspace".to_owned(), TopicError::Shape),
            ("hyperspace/tasks".to_owned(), TopicError::Shape),
            ("Hyperspace/tasks/x".to_owned(), TopicError::Shape),
            ("/hyperspace/tasks/x".to_owned(), TopicError::Shape),
            ("hyperspace/tasks/".to_owned(), token_error("the task type")),
            ("hyperspace/tasks/a/b".to_owned(), token_error("the task type")),
            ("hyperspace/tasks/a b".to_owned(), token_error("the task type")),
            ("hyperspace/tasks/é".to_owned(), token_error("the task type")),
            (format!("hyperspace/trajectories/{long}"), token_error("the task type")),
            ("hyperspace//x".to_owned(), token_error("the data type")),
            ("hyperspace/other/a//b".to_owned(), token_error("each segment of the scope")),
            ("hyperspace/other/a/".to_owned(), token_error("each segment of the scope")),
            ("hyperspace/capabilities/x".to_owned(), PeerIdError::Malformed.into()),
            (format!("hyperspace/reputation/{PEER}/x"), PeerIdError::NotBase58.into()),
            ("hyperspace/settlements/".to_owned(), TopicError::Round),
            ("hyperspace/settlements/007".to_owned(), TopicError::Round),
            ("hyperspace/settlements/+1".to_owned(), TopicError::Round),
            ("hyperspace/settlements/18446744073709551616".to_owned(), TopicError::Round),
            ("x".repeat(TOPIC_MAX + 1), TopicError::TooLong(TOPIC_MAX + 1)),
        ];
        for (name, error) in cases {
            assert_eq!(Topic::parse(&name), Err(error), "{name}");
        }
        assert_eq!(Topic::other("a/b", "c"), Err(token_error("the data type")));
    }

    fn any_topic() -> impl Strategy<Value = Topic> {
        let word = "[A-Za-z0-9._-]{1,128}";
        prop_oneof![
            any::<[u8; 32]>().prop_map(|key| Topic::capabilities(PeerId::from_public_key(key))),
            any::<[u8; 32]>().prop_map(|key| Topic::reputation(PeerId::from_public_key(key))),
            word.prop_map(|task| Topic::tasks(&task).expect("a token")),
            word.prop_map(|task| Topic::trajectories(&task).expect("a token")),
            Just(Topic::crdt_sync_memory()),
            any::<u64>().prop_map(Topic::settlements),
            ("x[A-Za-z0-9._-]{0,50}", "[A-Za-z0-9._-]{1,9}(/[A-Za-z0-9._-]{1,9}){0,5}")
                .prop_map(|(data_type, scope)| Topic::other(&data_type, &scope).expect("valid")),
        ]
    }

    proptest! {
        #[test]
        fn every_topic_reads_back_as_itself(topic in any_topic()) {
            prop_assert_eq!(Topic::parse(&topic.to_string()), Ok(topic));
        }

        #[test]
        fn whatever_parses_prints_as_it_was(name in "(hyperspace/)?(settlements|crdt|tasks|[a-z]{0,3})/.{0,9}|.{0,99}") {
            if let Ok(topic) = Topic::parse(&name) {
                prop_assert_eq!(topic.to_string(), name);
            }
        }
    }
}
