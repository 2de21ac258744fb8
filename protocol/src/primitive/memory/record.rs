//! A memory and its deletion as registers that merge: whatever the order in which copies meet, all end up the same.

use core::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::embed::Vector;
use crate::identity::PeerId;
use crate::primitive::params::{Name, Object, Text};
use crate::time::UnixMillis;

/// Most bytes of a memory's text.
pub(super) const CONTENT_MAX: usize = 64 * 1024;
/// Most bytes of its metadata (our choice).
pub(super) const METADATA_MAX: usize = 16 * 1024;
/// How far ahead of our clock another's stamp may be, in milliseconds: as old as an envelope may be.
const AHEAD_MAX: u64 = 300_000;

/// When something was written by a hybrid logical clock, and by whom: no two are equal, and what was written in the
/// knowledge of another comes after it. Text of 16 hexadecimal digits and the peer's id, which sorts as it should.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Stamp {
    /// Unix milliseconds and a counter of 16 bits.
    pub(super) clock: u64,
    peer: PeerId,
}

impl Stamp {
    pub(super) const fn new(clock: u64, peer: PeerId) -> Self {
        Self { clock, peer }
    }

    pub(super) const fn unix(&self) -> u64 {
        self.clock >> 16
    }

    fn parse(text: &str) -> Option<Self> {
        let (clock, peer) = text.split_at_checked(16)?;
        let digits = clock.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let clock = u64::from_str_radix(clock, 16).ok().filter(|_| digits)?;
        Some(Self { clock, peer: peer.strip_prefix('.')?.parse().ok()? })
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}.{}", self.clock, self.peer))
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a stamp"))
    }
}

/// A peer's id as text.
pub(super) mod peer_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::identity::PeerId;

    pub(in crate::primitive::memory) fn serialize<S: Serializer>(
        peer: &Option<PeerId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match peer {
            Some(peer) => serializer.collect_str(peer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::primitive::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PeerId>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(|_| de::Error::custom("not a peer id"))).transpose()
    }
}

/// The clock of this peer's stamps. What it has seen is in the records; lost, the wall clock stands in.
#[derive(Debug, Default)]
pub(super) struct Clock(u64);

impl Clock {
    pub(super) fn next(&mut self, unix: UnixMillis) -> u64 {
        let wall = unix.0.saturating_mul(1 << 16);
        // After the wall clock was set back by much, others would not believe what comes after our last stamp.
        let last = if self.0 >> 16 > unix.0.saturating_add(AHEAD_MAX) { wall } else { self.0 };
        self.0 = last.saturating_add(1).max(wall);
        self.0
    }

    /// Whether another's stamp is not too far ahead.
    pub(super) const fn believes(&self, unix: UnixMillis, stamp: &Stamp) -> bool {
        stamp.unix() <= unix.0.saturating_add(AHEAD_MAX)
    }

    /// Notes another's stamp; false if it is too far ahead to be believed.
    pub(super) fn saw(&mut self, unix: UnixMillis, stamp: &Stamp) -> bool {
        let good = self.believes(unix, stamp);
        if good {
            self.0 = self.0.max(stamp.clock);
        }
        good
    }
}

/// A memory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    pub(super) id: Name,
    pub(super) content: Text<1, CONTENT_MAX>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Object>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<Name>,
    pub(super) tier: Text<1, 64>,
    /// Unix milliseconds.
    pub(super) created: u64,
    pub(super) stamp: Stamp,
    /// Who stored it, if another has changed it since. It stays the same for good.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "peer_text")]
    pub(super) author: Option<PeerId>,
    /// Of an outside embedder; the built-in one is asked again, as no peer need be believed about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vector: Option<String>,
}

impl Memory {
    pub(super) fn vector(&self) -> Option<Vector> {
        match &self.vector {
            Some(text) => Vector::parse(text),
            None => Some(Vector::of(&self.content)),
        }
    }

    /// Who stored it.
    pub(super) fn author(&self) -> PeerId {
        self.author.unwrap_or(self.stamp.peer)
    }

    /// The same in another tier, as written at `stamp`.
    pub(super) fn moved(self, tier: Text<1, 64>, stamp: Stamp) -> Self {
        let author = Some(self.author()).filter(|author| *author != stamp.peer);
        Self { tier, stamp, author, ..self }
    }

    /// Whose data it is, for erasure.
    pub(super) fn subject(&self) -> Option<String> {
        let named = self.metadata.as_ref().and_then(|metadata| metadata.text("subject"));
        named.or_else(|| self.session_id.as_ref().map(ToString::to_string))
    }

    pub(super) fn bytes(&self) -> usize {
        self.content.len() + self.metadata.as_ref().map_or(0, |metadata| metadata.get().len())
    }

    /// Whether one who speaks for a session (`None`: for nobody) finds it: those of no session are public.
    pub(super) fn found_by(&self, session: Option<&str>) -> bool {
        self.session_id.as_deref().is_none_or(|own| session == Some(own))
    }
}

/// That a memory was deleted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) id: Name,
    pub(super) stamp: Stamp,
}

/// What is known of an id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Entry {
    Memory(Memory),
    Tombstone(Tombstone),
}

impl Entry {
    pub(super) const fn id(&self) -> &Name {
        match self {
            Self::Memory(memory) => &memory.id,
            Self::Tombstone(tombstone) => &tombstone.id,
        }
    }

    pub(super) const fn stamp(&self) -> &Stamp {
        match self {
            Self::Memory(memory) => &memory.stamp,
            Self::Tombstone(tombstone) => &tombstone.stamp,
        }
    }

    /// Which of two of one id stays: a deletion before any memory, as ids are not used again; else the later.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let deleted = |entry: &Self| matches!(entry, Self::Tombstone(_));
        deleted(self).cmp(&deleted(other)).then_with(|| self.stamp().cmp(other.stamp()))
    }

    /// Whether a peer may have written it: its bounds beyond those of its types.
    pub(super) fn is_sound(&self) -> bool {
        let id = self.id();
        let known = id.strip_prefix("mem-").is_some_and(|hex| {
            hex.len() == 24 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        known
            && match self {
                Self::Tombstone(_) => true,
                Self::Memory(memory) => {
                    memory.metadata.as_ref().is_none_or(|metadata| metadata.get().len() <= METADATA_MAX)
                        && memory.vector.as_ref().is_none_or(|text| Vector::parse(text).is_some())
                }
            }
    }
}
