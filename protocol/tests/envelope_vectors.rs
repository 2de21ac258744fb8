//! The envelope signature against `data/envelope_vectors.json`: 40 envelopes signed by an independent implementation
//! (node:crypto), one per reading of the spec's formula (2 JSON forms x 2 nonce forms x 2 units of `ts` x 5 topic
//! placements).

use hyperspace_protocol::envelope::dialect::{Dialect, JsonForm, NonceForm, Placement, TsUnit};
use hyperspace_protocol::envelope::sign::sign_as_is;
use hyperspace_protocol::envelope::{Limits, Rejection, SignedEnvelope, inspect};
use hyperspace_protocol::identity::{Keypair, PeerId};
use hyperspace_protocol::time::UnixMillis;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    seed_hex: String,
    pk_hex: String,
    pk_b64: String,
    pk_proto_b64: String,
    pk_b58: String,
    from: String,
    topic: String,
    ts: u64,
    nonce: String,
    d: serde_json::Value,
    d_json_stringify: String,
    d_jcs: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    json: String,
    nonce: String,
    ts: String,
    domain: String,
    material_hex: String,
    sig_b64: String,
}

impl Vectors {
    fn load() -> Self {
        serde_json::from_str(include_str!("data/envelope_vectors.json")).expect("the file is well formed")
    }

    fn keypair(&self) -> Keypair {
        Keypair::from_seed(unhex(&self.seed_hex).try_into().expect("32 bytes"))
    }

    /// The envelope that `case`'s signer sends: `d` as JavaScript prints it.
    fn envelope(&self, case: &Case) -> Vec<u8> {
        let (dialect, ts) = (dialect(case), self.ts(case));
        sign_as_is(&self.keypair(), &self.topic, ts, &self.nonce, &self.d_json_stringify, &dialect)
            .expect("signable")
    }

    fn ts(&self, case: &Case) -> u64 {
        if case.ts == "s" { self.ts / 1000 } else { self.ts }
    }
}

fn dialect(case: &Case) -> Dialect {
    let (placement, prefix) = match case.domain.as_str() {
        "none" => (Placement::Nowhere, ""),
        "topic||0x00||material" => (Placement::BeforeNul, ""),
        "topic||\":\"||material" => (Placement::BeforeColon, ""),
        "\"hyperspace-v2:\"||topic||\":\"||material" => (Placement::BeforeColon, "hyperspace-v2:"),
        "sha256(topic||material)" => (Placement::HashOfBefore, ""),
        other => panic!("unknown domain {other}"),
    };
    Dialect {
        json: match case.json.as_str() {
            "stringify" => JsonForm::AsReceived,
            "jcs" => JsonForm::Jcs,
            other => panic!("unknown JSON form {other}"),
        },
        nonce: match case.nonce.as_str() {
            "utf8" => NonceForm::Utf8,
            "hex" => NonceForm::Hex,
            other => panic!("unknown nonce form {other}"),
        },
        ts: match case.ts.as_str() {
            "ms" => TsUnit::Millis,
            "s" => TsUnit::Seconds,
            other => panic!("unknown unit {other}"),
        },
        placement,
        prefix: prefix.into(),
        ..Dialect::default()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

#[test]
fn the_identity_is_the_vectors_one() {
    let vectors = Vectors::load();
    let pair = vectors.keypair();
    assert_eq!(pair.public_key().to_vec(), unhex(&vectors.pk_hex));
    assert_eq!(pair.peer_id().to_string(), vectors.from);
    assert_eq!(vectors.from.parse(), Ok(pair.peer_id()));
    assert_eq!(bs58::decode(&vectors.pk_b58).into_vec().expect("base58"), pair.public_key());
}

#[test]
fn all_forty_signatures_are_reproduced() {
    let vectors = Vectors::load();
    assert_eq!(vectors.cases.len(), 40);
    for case in &vectors.cases {
        let bytes = vectors.envelope(case);
        let envelope = SignedEnvelope::parse(&bytes).expect("readable");
        let material = dialect(case).material(&vectors.topic, &envelope.covered()).expect("representable");
        assert_eq!(material.to_vec(), unhex(&case.material_hex), "{:?}", dialect(case));
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert!(text.contains(&format!("\"sig\":\"{}\"", case.sig_b64)), "{:?}", dialect(case));
    }
}

/// A verifier hashes `ts` as it stands, so dialects that differ in its unit alone accept each other's envelopes; any other
/// difference is noticed.
#[test]
fn each_envelope_verifies_in_its_own_dialect_only() {
    let vectors = Vectors::load();
    let from = PeerId::from_public_key(vectors.keypair().public_key());
    let mut refused = 0;
    for case in &vectors.cases {
        let bytes = vectors.envelope(case);
        for other in &vectors.cases {
            let verdict = inspect(&vectors.topic, &bytes, &dialect(other), &Limits::default());
            let same = Dialect { ts: TsUnit::Millis, ..dialect(case) }
                == Dialect { ts: TsUnit::Millis, ..dialect(other) };
            if same {
                let inspected = verdict.expect("its own dialect");
                assert_eq!((inspected.from, inspected.ts), (from, UnixMillis(vectors.ts)));
                assert_eq!(
                    (inspected.nonce, inspected.d),
                    (vectors.nonce.clone(), vectors.d_json_stringify.as_str())
                );
            } else {
                refused += 1;
                assert_eq!(verdict, Err(Rejection::Signature), "{:?} as {:?}", dialect(case), dialect(other));
            }
        }
    }
    assert_eq!(refused, 40 * 38);
}

/// What the project emits reads the same to a peer that hashes `d` as received and to one that canonicalises it: it is
/// the vectors' JCS case signed over bytes as they stand.
#[test]
fn our_own_envelope_is_the_canonical_case_of_the_default_dialect() {
    let vectors = Vectors::load();
    let nonce = unhex(&vectors.nonce).try_into().expect("16 bytes");
    let signed = hyperspace_protocol::envelope::sign(
        &vectors.keypair(),
        &vectors.topic,
        UnixMillis(vectors.ts),
        nonce,
        &vectors.d,
        &Dialect::default(),
    );
    let text = String::from_utf8(signed.expect("signable")).expect("UTF-8");
    let case = vectors
        .cases
        .iter()
        .find(|c| {
            (c.json.as_str(), c.domain.as_str()) == ("jcs", "topic||0x00||material")
                && c.ts == "ms"
                && c.nonce == "utf8"
        })
        .expect("listed");
    let expected = format!(
        r#"{{"_v":2,"ts":{},"nonce":"{}","from":"{}","pk":"{}","sig":"{}","d":{}}}"#,
        vectors.ts, vectors.nonce, vectors.from, vectors.pk_b64, case.sig_b64, vectors.d_jcs
    );
    assert_eq!(text, expected);
    let jcs = Dialect { json: JsonForm::Jcs, ..Dialect::default() };
    assert!(inspect(&vectors.topic, text.as_bytes(), &jcs, &Limits::default()).is_ok());
}

#[test]
fn every_listed_form_of_the_key_is_accepted() {
    let vectors = Vectors::load();
    let text = String::from_utf8(vectors.envelope(&vectors.cases[1])).expect("UTF-8");
    for form in [&vectors.pk_b64, &vectors.pk_hex, &vectors.pk_proto_b64, &vectors.pk_b58] {
        for form in [form.clone(), format!("ed25519:{form}")] {
            let other = text.replace(&vectors.pk_b64, &form);
            let verdict =
                inspect(&vectors.topic, other.as_bytes(), &dialect(&vectors.cases[1]), &Limits::default());
            assert!(verdict.is_ok(), "{form}: {verdict:?}");
        }
    }
}
