//! Reads an envelope's bytes into a [`SignedEnvelope`] (spec 2.1).
//!
//! Reading finds the members and their types, nothing more: whether the content holds together is for
//! [`inspect`](super::inspect). The text of `d` is kept as it stands, because a signature may cover it. Reading does not
//! recurse and allocates no more than its input.

use core::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::dialect::{Covered, Dialect, DialectError};
use super::encoding;
use super::verify::Rejection;
use crate::identity::{PeerId, PeerIdError, verify_strict};
use crate::time::UnixMillis;

/// A `ts` below this is in seconds, from here on in milliseconds (decision E1). As milliseconds it is a day in 1973, as
/// seconds one in the year 5138.
pub const TS_SECONDS_BELOW: u64 = 100_000_000_000;

/// Bounds of what is read at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest envelope in bytes.
    pub bytes: usize,
    /// Deepest nesting of arrays and objects, the envelope's own braces included. Above 127 it changes nothing: the
    /// parser stops there.
    pub nesting: usize,
}

/// 64 KiB (decision E17). 64 levels: our choice, half of what common parsers take, so that none of them fails on it.
impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, nesting: 64 }
    }
}

/// An envelope as read, believed in no respect.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedEnvelope<'a> {
    /// The number, in whatever unit the signer used.
    pub ts: u64,
    /// The value of the string.
    pub nonce: String,
    /// The value of the string. See [`SignedEnvelope::peer_id`].
    pub from: String,
    /// The key; if the text can be read as two different ones, the one that fits `from`.
    pub pk: [u8; 32],
    /// The signature.
    pub sig: [u8; 64],
    /// The JSON text of the payload.
    pub d: &'a str,
    id: Result<PeerId, PeerIdError>,
}

impl<'a> SignedEnvelope<'a> {
    /// Reads an envelope of version 2. No bound on its size: use [`inspect`](super::inspect) for bytes from outside.
    ///
    /// # Errors
    /// [`Rejection::NotJson`], [`Rejection::Version`], [`Rejection::Member`] or [`Rejection::Timestamp`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let members = Members::split(bytes)?;
        members.check_version()?;
        members.read()
    }

    /// The sender, if `from` is an Ed25519 peer id (decision E7).
    ///
    /// # Errors
    /// Why it is not.
    pub const fn peer_id(&self) -> Result<PeerId, PeerIdError> {
        self.id
    }

    /// The moment of signing, by the size of the number (decision E1).
    pub const fn time(&self) -> UnixMillis {
        UnixMillis(if self.ts < TS_SECONDS_BELOW { self.ts * 1000 } else { self.ts })
    }

    /// Whether `sig` is `pk`'s over this envelope on `topic`. Does not ask whose key it is.
    ///
    /// # Errors
    /// If the envelope cannot be read in this dialect.
    pub fn signature_holds(&self, topic: &str, dialect: &Dialect) -> Result<bool, DialectError> {
        let message = dialect.signed_bytes(topic, &self.covered())?;
        Ok(verify_strict(&self.pk, &message, &self.sig))
    }

    /// What the signature covers. An unreadable `from` counts as the id of `pk`, which matters only to callers that did
    /// not check it.
    pub fn covered(&self) -> Covered<'_> {
        let id = self.id.unwrap_or(PeerId::from_public_key(self.pk));
        Covered { ts: self.ts, nonce: &self.nonce, from: &self.from, id, d: self.d }
    }
}

impl fmt::Debug for SignedEnvelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({} {} {} <{}b>)", self.from, self.ts, self.nonce, self.d.len())
    }
}

/// The members of the outer object that the spec names, as JSON texts. Others are unsigned and ignored (decision E12).
#[derive(Default)]
pub(super) struct Members<'a> {
    version: Option<&'a RawValue>,
    ts: Option<&'a RawValue>,
    nonce: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
    pk: Option<&'a RawValue>,
    sig: Option<&'a RawValue>,
    d: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    /// Finds the members. Of two members with one name the last counts, as in JavaScript; such envelopes are refused by
    /// [`Check::Ambiguity`](super::Check::Ambiguity) before.
    pub(super) fn split(bytes: &'a [u8]) -> Result<Self, Rejection> {
        serde_json::from_slice(bytes).map_err(|_| Rejection::NotJson)
    }

    /// Decision E12: `_v` is the number 2, written so.
    pub(super) fn check_version(&self) -> Result<(), Rejection> {
        if self.version.is_some_and(|raw| raw.get() == "2") { Ok(()) } else { Err(Rejection::Version) }
    }

    /// Reads the members' values.
    pub(super) fn read(&self) -> Result<SignedEnvelope<'a>, Rejection> {
        let from = string("from", self.from)?;
        let id = from.parse::<PeerId>();
        let mut keys = encoding::public_keys(&string("pk", self.pk)?).collect::<Vec<_>>();
        if let Ok(id) = &id {
            keys.sort_by_key(|key| key != id.as_bytes());
        }
        Ok(SignedEnvelope {
            ts: integer(self.ts.ok_or(Rejection::Member("ts"))?.get())?,
            nonce: string("nonce", self.nonce)?,
            from,
            pk: *keys.first().ok_or(Rejection::Member("pk"))?,
            sig: encoding::raw(&string("sig", self.sig)?).next().ok_or(Rejection::Member("sig"))?,
            d: self.d.ok_or(Rejection::Member("d"))?.get(),
            id,
        })
    }
}

fn string(name: &'static str, raw: Option<&RawValue>) -> Result<String, Rejection> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or(Rejection::Member(name))
}

/// Decision E2: digits only. `1.0` and `1e3` are whole numbers too, but no signer prints a `ts` so.
fn integer(raw: &str) -> Result<u64, Rejection> {
    raw.parse().map_err(|_| Rejection::Timestamp)
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    let place = match name.as_str() {
                        "_v" => &mut members.version,
                        "ts" => &mut members.ts,
                        "nonce" => &mut members.nonce,
                        "from" => &mut members.from,
                        "pk" => &mut members.pk,
                        "sig" => &mut members.sig,
                        "d" => &mut members.d,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Outer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PK: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";

    fn envelope(replace: &str, by: &str) -> String {
        let sig = encoding::to_base64(&[7; 64]);
        format!(r#"{{"_v":2,"ts":5,"nonce":"n\u006e","from":"x","pk":"{PK}","sig":"{sig}","x":[{{}}],"d": [1, 2.50] }}"#)
            .replace(replace, by)
    }

    fn error(replace: &str, by: &str) -> Rejection {
        let text = envelope(replace, by);
        SignedEnvelope::parse(text.as_bytes()).expect_err(by)
    }

    #[test]
    fn members_are_found_and_the_payload_is_kept_as_it_stands() {
        let text = envelope("", "");
        let read = SignedEnvelope::parse(text.as_bytes()).expect("readable");
        assert_eq!((read.ts, read.nonce.as_str(), read.from.as_str(), read.sig), (5, "nn", "x", [7; 64]));
        assert_eq!(read.d, "[1, 2.50]");
        assert_eq!(format!("{read:?}"), "Envelope(x 5 nn <9b>)");
        let null = envelope("[1, 2.50]", "null");
        assert_eq!(SignedEnvelope::parse(null.as_bytes()).expect("any payload").d, "null");
    }

    #[test]
    fn a_missing_or_mistyped_member_is_named() {
        for name in ["nonce", "from", "pk", "sig", "d"] {
            assert_eq!(error(&format!("\"{name}\":"), "\"y\":"), Rejection::Member(name));
        }
        assert_eq!(error("\"ts\":", "\"y\":"), Rejection::Member("ts"));
        assert_eq!(error("\"x\",", "7,"), Rejection::Member("from"));
        assert_eq!(error(r"n\u006e", r"\ud800"), Rejection::Member("nonce"));
        assert_eq!(error(PK, &PK[1..]), Rejection::Member("pk"));
        assert_eq!(error("BwcH", "!!!!"), Rejection::Member("sig"));
    }

    #[test]
    fn other_versions_are_told_apart_from_other_errors() {
        for by in ["\"_v\":1,", "\"_v\":3,", "\"_v\":\"2\",", "\"_v\":2.0,", "\"_v\":null,", ""] {
            assert_eq!(error("\"_v\":2,", by), Rejection::Version);
        }
        // Version 1 is not public and may well have other members (decision E16).
        assert_eq!(SignedEnvelope::parse(br#"{"_v":1}"#), Err(Rejection::Version));
    }

    #[test]
    fn a_timestamp_is_a_plain_whole_number() {
        for by in ["-1", "1.0", "1e3", "1.5", "\"5\"", "null", "18446744073709551616", "-0", "[]"] {
            assert_eq!(error("\"ts\":5", &format!("\"ts\":{by}")), Rejection::Timestamp, "{by}");
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_not_read() {
        for text in ["", "[]", "2", "{", "{}{}", "{\"_v\":2,}", "\u{feff}{}"] {
            assert_eq!(SignedEnvelope::parse(text.as_bytes()), Err(Rejection::NotJson), "{text}");
        }
        assert_eq!(SignedEnvelope::parse(b"{\"_v\":2,\"\xff\":1}"), Err(Rejection::NotJson));
        assert_eq!(SignedEnvelope::parse(&vec![b'['; 10_000_000]), Err(Rejection::NotJson));
    }

    #[test]
    fn a_timestamp_s_unit_goes_by_its_size() {
        let at = |ts: u64| {
            let text = envelope("\"ts\":5", &format!("\"ts\":{ts}"));
            SignedEnvelope::parse(text.as_bytes()).expect("readable").time().0
        };
        assert_eq!(at(0), 0);
        assert_eq!(at(1_773_835_200), 1_773_835_200_000);
        assert_eq!(at(99_999_999_999), 99_999_999_999_000);
        assert_eq!(at(100_000_000_000), 100_000_000_000);
        assert_eq!(at(u64::MAX), u64::MAX);
    }

    /// A base58 key of 43 characters can be base64 as well: `from` decides.
    #[test]
    fn an_ambiguous_key_is_read_as_the_one_that_fits() {
        let (key, text) = (0u8..=255)
            .flat_map(|a| (0u8..=255).map(move |b| [a, b]))
            .map(|[a, b]| {
                let mut key = [9; 32];
                (key[0], key[31]) = (a, b);
                (key, bs58::encode(key).into_string())
            })
            .find(|(_, text)| encoding::public_keys(text).count() == 2)
            .expect("one in about seventy is");
        let id = PeerId::from_public_key(key).to_string();
        let read = envelope(PK, &text).replace("\"x\",\"pk\"", &format!("\"{id}\",\"pk\""));
        assert_eq!(SignedEnvelope::parse(read.as_bytes()).expect("readable").pk, key);
        let other = envelope(PK, &text);
        assert_ne!(SignedEnvelope::parse(other.as_bytes()).expect("readable").pk, key);
    }
}
