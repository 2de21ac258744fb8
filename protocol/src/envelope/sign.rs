//! Builds signed envelopes (spec 2.1).
//!
//! [`sign`] is for publishing: it brings the payload into canonical form, so that a receiver that hashes `d` as received,
//! one that canonicalises it and a JavaScript one that parses and prints it again come to the same bytes (decision E10;
//! JavaScript moves member names that look like array indices to the front, so avoid those). [`sign_as_is`] writes what
//! it is given, for probes and tests.

use serde::Serialize;
use serde_json::value::RawValue;

use super::dialect::{Covered, Dialect, DialectError, TsUnit};
use super::{Limits, encoding, json};
use crate::identity::Keypair;
use crate::time::UnixMillis;

/// Longest envelope that is emitted, in bytes: stock pubsub stacks take 64 KiB with their own framing, signature and
/// topic, so an envelope leaves 4 KiB for those.
pub const EMIT_MAX: usize = 60 * 1024;

/// Why no envelope came out. All are mistakes of the caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignError {
    /// The payload does not serialise, has two members of one name or a number that JSON does not have.
    #[error("the payload is no JSON: {0}")]
    Payload(String),
    /// The payload nests deeper than receivers accept.
    #[error("the payload nests {0} levels deep, envelope included")]
    Nesting(usize),
    /// The envelope is longer than [`EMIT_MAX`]. Publish a digest and let peers fetch the rest.
    #[error("the envelope is {0} bytes long, at most {EMIT_MAX} can be published")]
    TooLong(usize),
    /// The dialect wants a nonce or payload of another form.
    #[error(transparent)]
    Dialect(#[from] DialectError),
}

/// Signs `d` for `topic` and returns the envelope's bytes: compact JSON in the spec's order of members, `d` in canonical
/// form, key and signature in padded base64 (decision E6), the nonce as 32 lower-case hexadecimal characters (E3).
///
/// `nonce` must be fresh random bytes: a receiver drops the second envelope with the same one.
///
/// # Errors
/// See [`SignError`].
pub fn sign(
    keypair: &Keypair,
    topic: &str,
    unix: UnixMillis,
    nonce: [u8; 16],
    d: &impl Serialize,
    dialect: &Dialect,
) -> Result<Vec<u8>, SignError> {
    let ts = match dialect.ts {
        TsUnit::Millis => unix.0,
        TsUnit::Seconds => unix.0 / 1000,
    };
    let d = serde_json_canonicalizer::to_string(d).map_err(|e| SignError::Payload(e.to_string()))?;
    let bytes = sign_as_is(keypair, topic, ts, &encoding::to_hex(&nonce), &d, dialect)?;
    let nesting = json::nesting(&bytes);
    if nesting > Limits::default().nesting {
        return Err(SignError::Nesting(nesting));
    }
    if bytes.len() > EMIT_MAX {
        return Err(SignError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Signs with the number, nonce and JSON text of `d` exactly as given, of any size and form. What comes out may be an
/// envelope that receivers refuse.
///
/// # Errors
/// [`SignError::Payload`] if `d` is not JSON, or [`SignError::Dialect`].
pub fn sign_as_is(
    keypair: &Keypair,
    topic: &str,
    ts: u64,
    nonce: &str,
    d: &str,
    dialect: &Dialect,
) -> Result<Vec<u8>, SignError> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        _v: u8,
        ts: u64,
        nonce: &'a str,
        from: &'a str,
        pk: String,
        sig: String,
        d: &'a RawValue,
    }

    let payload = |e: serde_json::Error| SignError::Payload(e.to_string());
    let raw: &RawValue = serde_json::from_str(d).map_err(payload)?;
    let (id, key) = (keypair.peer_id(), keypair.public_key());
    let from = id.to_string();
    let covered = Covered { ts, nonce, from: &from, id, d: raw.get() };
    let sig = keypair.sign(&dialect.signed_bytes(topic, &covered)?);
    let (pk, sig) = (encoding::to_base64(&key), encoding::to_base64(&sig));
    serde_json::to_vec(&Envelope { _v: 2, ts, nonce, from: &from, pk, sig, d: raw }).map_err(payload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOPIC: &str = "hyperspace/tasks/web-research";

    fn pair() -> Keypair {
        Keypair::from_seed([7; 32])
    }

    #[test]
    fn the_emitted_text_is_exact() {
        let d = json!({ "b": 1.0, "a": ["é", { "y": 1, "x": null }] });
        let bytes = sign(&pair(), TOPIC, UnixMillis(1_773_835_200_123), [0xab; 16], &d, &Dialect::default());
        let text = String::from_utf8(bytes.expect("signable")).expect("UTF-8");
        let (head, tail) = text.split_once("\"sig\":\"").expect("signed");
        let (sig, d) = tail.split_once('"').expect("a string");
        assert_eq!(
            head,
            concat!(
                r#"{"_v":2,"ts":1773835200123,"nonce":"abababababababababababababababab","#,
                r#""from":"12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7","#,
                r#""pk":"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=","#
            )
        );
        assert_eq!(sig.len(), 88);
        assert_eq!(d, r#","d":{"a":["é",{"x":null,"y":1}],"b":1}}"#);
    }

    #[test]
    fn seconds_are_rounded_down() {
        let dialect = Dialect { ts: TsUnit::Seconds, ..Dialect::default() };
        let bytes = sign(&pair(), TOPIC, UnixMillis(1_773_835_200_999), [0; 16], &1, &dialect);
        let bytes = bytes.expect("signable");
        assert_eq!(crate::envelope::SignedEnvelope::parse(&bytes).expect("readable").ts, 1_773_835_200);
    }

    #[test]
    fn what_receivers_would_refuse_is_not_signed() {
        let signed = |d: &serde_json::Value| {
            sign(&pair(), TOPIC, UnixMillis(0), [0; 16], d, &Dialect::default()).map(|bytes| bytes.len())
        };
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(signed(&nested(63)).is_ok());
        assert_eq!(signed(&nested(64)), Err(SignError::Nesting(65)));
        let overhead = signed(&json!("")).expect("signable");
        assert_eq!(signed(&json!("x".repeat(EMIT_MAX - overhead))), Ok(EMIT_MAX));
        assert_eq!(
            signed(&json!("x".repeat(EMIT_MAX - overhead + 1))),
            Err(SignError::TooLong(EMIT_MAX + 1))
        );
        let nan = sign(&pair(), TOPIC, UnixMillis(0), [0; 16], &f64::NAN, &Dialect::default());
        assert!(matches!(nan, Err(SignError::Payload(_))), "{nan:?}");
        let torn = sign_as_is(&pair(), TOPIC, 0, "n", "{", &Dialect::default());
        assert!(matches!(torn, Err(SignError::Payload(_))), "{torn:?}");
    }
}
