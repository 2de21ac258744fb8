//! The readings of "SHA256(ts_8BE || nonce || from || SHA256(d_json))" and of "namespaced per topic" (spec 2.1).
//!
//! A [`Dialect`] says which bytes stand for each word of the formula and where the topic, which the formula leaves out,
//! enters. [`Dialect::signed_bytes`] is what Ed25519 signs under it. All parts are plain data, so that a probe can try
//! every reading against a captured envelope.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{encoding, json};
use crate::identity::PeerId;

/// One reading of the signature formula.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialect {
    /// Which text `d_json` is (decision E10).
    pub json: JsonForm,
    /// Which bytes the nonce contributes (decision E3).
    pub nonce: NonceForm,
    /// Which bytes `from` contributes (decision E4).
    pub from: FromForm,
    /// How `SHA256(d_json)` enters the outer hash.
    pub inner: InnerHash,
    /// How the outer hash enters the signed message (decision E9).
    pub message: MessageForm,
    /// Where the topic enters (decision E8).
    pub placement: Placement,
    /// Constant text in front of everything that is signed, such as `hyperspace-v2:`. Empty for none.
    pub prefix: Cow<'static, str>,
    /// Unit of the `ts` that a signer writes (decision E1). A verifier hashes the number as it stands.
    pub ts: TsUnit,
}

/// Which text of `d` is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonForm {
    /// The bytes of `d` in the envelope.
    AsReceived,
    /// The canonical form of RFC 8785.
    Jcs,
    /// As received, with every character but printable ASCII as a `\uxxxx` escape (Python's `ensure_ascii`).
    AsciiEscaped,
    /// As received, with `", "` and `": "` as the only white space between tokens (Python's default separators).
    Spaced,
}

/// Which bytes of the nonce are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NonceForm {
    /// The UTF-8 bytes of the JSON string's value.
    Utf8,
    /// What the string decodes to as hexadecimal.
    Hex,
    /// What the string decodes to as base64, either alphabet, padded or not.
    Base64,
}

/// Which bytes of the sender are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FromForm {
    /// The base58btc text.
    Base58Utf8,
    /// The 38 bytes that the text decodes to.
    Multihash,
}

/// The form of the hash of `d`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InnerHash {
    /// 32 bytes.
    Raw,
    /// 64 lower-case hexadecimal characters.
    LowerHex,
}

/// The form of the outer hash, `m` in [`Placement`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageForm {
    /// 32 bytes.
    Digest,
    /// 64 lower-case hexadecimal characters.
    LowerHexDigest,
}

/// Where the topic enters, with t = its UTF-8 bytes, m = the outer hash, b = what the outer hash is taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Not signed: m.
    Nowhere,
    /// t m.
    Before,
    /// t `:` m.
    BeforeColon,
    /// t `0x00` m. No topic has a zero byte, so no two topics share a signed message.
    BeforeNul,
    /// SHA256(t) m.
    HashedBefore,
    /// m t.
    After,
    /// SHA256(t m).
    HashOfBefore,
    /// SHA256(t `:` m).
    HashOfBeforeColon,
    /// m, with t b in the place of b.
    BodyBefore,
    /// m, with t `0x00` b in the place of b.
    BodyBeforeNul,
    /// m, with b t in the place of b.
    BodyAfter,
}

/// Unit of a written `ts`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TsUnit {
    /// Milliseconds since 1970.
    Millis,
    /// Whole seconds since 1970.
    Seconds,
}

/// The parts of an envelope that a signature covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Covered<'a> {
    /// The number in the envelope, whatever its unit.
    pub ts: u64,
    /// The value of the JSON string.
    pub nonce: &'a str,
    /// The value of the JSON string.
    pub from: &'a str,
    /// The sender.
    pub id: PeerId,
    /// The JSON text of `d`.
    pub d: &'a str,
}

/// Why an envelope has no signed bytes under a dialect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialectError {
    /// The nonce does not decode as the dialect wants.
    #[error("the nonce does not decode")]
    Nonce,
    /// `d` has no canonical form: a number beyond a double, half a surrogate pair, or too much nesting.
    #[error("d has no canonical form")]
    Canonical,
}

/// The project's decisions E1, E3, E4, E8, E9 and E10: the formula literally, over the bytes of `d` as received, signed
/// together with the topic and a zero byte in front. [`sign`](super::sign()) writes `d` in canonical form, so that a peer
/// that canonicalises or re-serialises before it hashes comes to the same bytes.
impl Default for Dialect {
    fn default() -> Self {
        Self {
            json: JsonForm::AsReceived,
            nonce: NonceForm::Utf8,
            from: FromForm::Base58Utf8,
            inner: InnerHash::Raw,
            message: MessageForm::Digest,
            placement: Placement::BeforeNul,
            prefix: Cow::Borrowed(""),
            ts: TsUnit::Millis,
        }
    }
}

impl Dialect {
    /// The "signing material" of spec 2.1: the outer hash, before message form and topic. The topic is part of it only
    /// under the three `Body` placements.
    ///
    /// # Errors
    /// If the dialect cannot read the nonce or canonicalise `d`.
    pub fn material(&self, topic: &str, covered: &Covered<'_>) -> Result<[u8; 32], DialectError> {
        let inner: [u8; 32] = match self.json {
            JsonForm::AsReceived => Sha256::digest(covered.d),
            JsonForm::Jcs => Sha256::digest(json::jcs(covered.d).ok_or(DialectError::Canonical)?),
            JsonForm::AsciiEscaped => Sha256::digest(json::ascii_escaped(covered.d)),
            JsonForm::Spaced => Sha256::digest(json::spaced(covered.d)),
        }
        .into();
        let mut hash = Sha256::new();
        match self.placement {
            Placement::BodyBefore => hash.update(topic),
            Placement::BodyBeforeNul => {
                hash.update(topic);
                hash.update([0]);
            }
            Placement::Nowhere
            | Placement::Before
            | Placement::BeforeColon
            | Placement::BeforeNul
            | Placement::HashedBefore
            | Placement::After
            | Placement::HashOfBefore
            | Placement::HashOfBeforeColon
            | Placement::BodyAfter => {}
        }
        hash.update(covered.ts.to_be_bytes());
        match self.nonce {
            NonceForm::Utf8 => hash.update(covered.nonce),
            NonceForm::Hex => hash.update(encoding::from_hex(covered.nonce).ok_or(DialectError::Nonce)?),
            NonceForm::Base64 => {
                hash.update(encoding::from_base64(covered.nonce).ok_or(DialectError::Nonce)?)
            }
        }
        match self.from {
            FromForm::Base58Utf8 => hash.update(covered.from),
            FromForm::Multihash => hash.update(covered.id.to_multihash()),
        }
        match self.inner {
            InnerHash::Raw => hash.update(inner),
            InnerHash::LowerHex => hash.update(encoding::to_hex(&inner)),
        }
        if self.placement == Placement::BodyAfter {
            hash.update(topic);
        }
        Ok(hash.finalize().into())
    }

    /// What Ed25519 signs.
    ///
    /// # Errors
    /// As [`Dialect::material`].
    pub fn signed_bytes(&self, topic: &str, covered: &Covered<'_>) -> Result<Vec<u8>, DialectError> {
        let material = self.material(topic, covered)?;
        let hex;
        let m: &[u8] = match self.message {
            MessageForm::Digest => &material,
            MessageForm::LowerHexDigest => {
                hex = encoding::to_hex(&material);
                hex.as_bytes()
            }
        };
        let t = topic.as_bytes();
        let p = self.prefix.as_bytes();
        Ok(match self.placement {
            Placement::Nowhere | Placement::BodyBefore | Placement::BodyBeforeNul | Placement::BodyAfter => {
                [p, m].concat()
            }
            Placement::Before => [p, t, m].concat(),
            Placement::BeforeColon => [p, t, b":", m].concat(),
            Placement::BeforeNul => [p, t, &[0], m].concat(),
            Placement::HashedBefore => [p, &Sha256::digest(t), m].concat(),
            Placement::After => [p, m, t].concat(),
            Placement::HashOfBefore => [p, &Sha256::digest([t, m].concat())].concat(),
            Placement::HashOfBeforeColon => [p, &Sha256::digest([t, b":", m].concat())].concat(),
        })
    }
}

impl JsonForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::AsReceived, Self::Jcs, Self::AsciiEscaped, Self::Spaced];
}

impl NonceForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Hex, Self::Base64];
}

impl Placement {
    /// Every placement.
    pub const ALL: [Self; 11] = [
        Self::Nowhere,
        Self::Before,
        Self::BeforeColon,
        Self::BeforeNul,
        Self::HashedBefore,
        Self::After,
        Self::HashOfBefore,
        Self::HashOfBeforeColon,
        Self::BodyBefore,
        Self::BodyBeforeNul,
        Self::BodyAfter,
    ];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::Keypair;

    fn all() -> Vec<Dialect> {
        let mut all = Vec::new();
        for json in JsonForm::ALL {
            for nonce in NonceForm::ALL {
                for from in [FromForm::Base58Utf8, FromForm::Multihash] {
                    for inner in [InnerHash::Raw, InnerHash::LowerHex] {
                        for message in [MessageForm::Digest, MessageForm::LowerHexDigest] {
                            for placement in Placement::ALL {
                                let rest = Dialect::default();
                                all.push(Dialect { json, nonce, from, inner, message, placement, ..rest });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// Unsorted members, a fraction and a character outside ASCII: one capture tells all readings apart.
    #[test]
    fn one_discriminating_payload_tells_all_1056_readings_apart() {
        let id = Keypair::from_seed([7; 32]).peer_id();
        let from = id.to_string();
        let covered = Covered {
            ts: 1,
            nonce: "000102030405060708090a0b0c0d0e0f",
            from: &from,
            id,
            d: r#"{"b":1.50,"a":["é",1]}"#,
        };
        let readings = all();
        let signed: BTreeSet<Vec<u8>> = readings
            .iter()
            .flat_map(|d| [d.clone(), Dialect { prefix: "hyperspace-v2:".into(), ..d.clone() }])
            .map(|d| d.signed_bytes("hyperspace/tasks/x", &covered).expect("representable"))
            .collect();
        assert_eq!(readings.len(), 1056);
        assert_eq!(signed.len(), 2 * 1056);
    }

    #[test]
    fn what_a_dialect_cannot_read_is_an_error() {
        let id = Keypair::from_seed([7; 32]).peer_id();
        let covered = Covered { ts: 1, nonce: "not hex, not base64", from: "", id, d: "1e999" };
        let error = |dialect: Dialect| dialect.material("t", &covered).expect_err("unreadable");
        assert_eq!(error(Dialect { nonce: NonceForm::Hex, ..Dialect::default() }), DialectError::Nonce);
        assert_eq!(error(Dialect { nonce: NonceForm::Base64, ..Dialect::default() }), DialectError::Nonce);
        assert_eq!(error(Dialect { json: JsonForm::Jcs, ..Dialect::default() }), DialectError::Canonical);
        assert!(Dialect::default().material("t", &covered).is_ok());
    }
}
