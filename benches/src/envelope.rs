//! The signed envelope, for payloads of three sizes.
//!
//! The floor of a check is Ed25519's `verify_strict` of the signed bytes and one SHA-256 of the payload; that of signing
//! is the plain signature and the same hash. The rest is JSON, base64, hexadecimal and the other checks.

use std::hint::black_box;

use hyperspace_protocol::envelope::dialect::Covered;
use hyperspace_protocol::envelope::{Dialect, Limits, inspect, sign};
use hyperspace_protocol::identity::{Keypair, verify_strict};
use hyperspace_protocol::time::UnixMillis;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Case, Effort, add, looped};

const TOPIC: &str = "hyperspace/trajectories/web-research";
const NONCE: [u8; 16] = [0xab; 16];
const UNIX: UnixMillis = UnixMillis(1_773_835_200_123);

/// All cases.
///
/// # Panics
/// If an envelope that was just signed is refused.
pub fn cases(effort: Effort) -> Vec<Case> {
    let sizes: &[usize] = match effort {
        Effort::Quick => &[64],
        Effort::Full => &[64, 1_024, 16_384],
    };
    let mut cases = Vec::new();
    let plain_sign = add(&mut cases, plain_sign());
    let plain_verify = add(&mut cases, plain_verify());
    for &size in sizes {
        let hash = add(&mut cases, payload_hash(size));
        cases.push(signing(size).over([(plain_sign, 1), (hash, 1)]));
        cases.push(inspection(size).over([(plain_verify, 1), (hash, 1)]));
    }
    cases
}

fn pair() -> Keypair {
    Keypair::from_seed([7; 32])
}

/// JSON text of exactly so many bytes, in the project's manner: a few members and one long string.
fn payload(size: usize) -> String {
    let head = r#"{"score":0.75,"step":12,"text":""#;
    format!("{head}{}\"}}", "x".repeat(size - head.len() - 2))
}

/// What a signature covers: as long for every payload, which is in it as a hash.
fn signed_bytes() -> Vec<u8> {
    let id = pair().peer_id();
    let (from, d) = (id.to_string(), payload(64));
    let covered = Covered { ts: UNIX.0, nonce: "abababababababababababababababab", from: &from, id, d: &d };
    Dialect::default().signed_bytes(TOPIC, &covered).expect("the dialect takes this nonce")
}

fn plain_sign() -> Case {
    Case::new("plain signature", None, || {
        let (pair, bytes) = (pair(), signed_bytes());
        looped(move || {
            black_box(pair.sign(black_box(&bytes)));
        })
    })
}

fn plain_verify() -> Case {
    Case::new("plain verify_strict", None, || {
        let (pair, bytes) = (pair(), signed_bytes());
        let (key, signature) = (pair.public_key(), pair.sign(&bytes));
        looped(move || assert!(verify_strict(black_box(&key), &bytes, &signature)))
    })
}

fn payload_hash(size: usize) -> Case {
    Case::new("SHA-256 of the payload", Some(size as u64), move || {
        let payload = payload(size);
        looped(move || {
            black_box(Sha256::digest(black_box(&payload)));
        })
    })
}

/// An envelope around a payload.
fn signed(d: &Value, pair: &Keypair) -> Vec<u8> {
    sign(pair, TOPIC, UNIX, NONCE, d, &Dialect::default()).expect("signable")
}

fn value(size: usize) -> Value {
    serde_json::from_str(&payload(size)).expect("is JSON")
}

fn signing(size: usize) -> Case {
    Case::new("sign", Some(size as u64), move || {
        let (pair, d) = (pair(), value(size));
        looped(move || {
            black_box(signed(black_box(&d), &pair));
        })
    })
}

fn inspection(size: usize) -> Case {
    Case::new("inspect", Some(size as u64), move || {
        let bytes = signed(&value(size), &pair());
        let (dialect, limits) = (Dialect::default(), Limits::default());
        looped(move || {
            black_box(inspect(TOPIC, black_box(&bytes), &dialect, &limits).expect("just signed"));
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_canonical_and_as_long_as_they_claim() {
        for size in [64, 1_024] {
            let bytes = signed(&value(size), &pair());
            let limits = Limits::default();
            let inspected = inspect(TOPIC, &bytes, &Dialect::default(), &limits).expect("just signed");
            assert_eq!((inspected.d, inspected.d.len()), (&*payload(size), size));
        }
    }
}
