//! How envelopes are read and written, as a table of a settings file: the same names in lower case with dashes.

use std::borrow::Cow;

use hyperspace_protocol::envelope::dialect::{
    Dialect, FromForm, InnerHash, JsonForm, MessageForm, NonceForm, Placement, TsUnit,
};
use serde::Deserialize;

/// A [`Dialect`], for serde.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Form {
    #[serde(with = "Json")]
    json: JsonForm,
    #[serde(with = "Nonce")]
    nonce: NonceForm,
    #[serde(with = "From")]
    from: FromForm,
    #[serde(with = "Inner")]
    inner: InnerHash,
    #[serde(with = "Message")]
    message: MessageForm,
    #[serde(with = "Topic")]
    placement: Placement,
    prefix: Cow<'static, str>,
    #[serde(with = "Ts")]
    ts: TsUnit,
}

impl Default for Form {
    fn default() -> Self {
        let Dialect { json, nonce, from, inner, message, placement, prefix, ts } = Dialect::default();
        Self { json, nonce, from, inner, message, placement, prefix, ts }
    }
}

impl Form {
    pub(super) fn dialect(self) -> Dialect {
        let Self { json, nonce, from, inner, message, placement, prefix, ts } = self;
        Dialect { json, nonce, from, inner, message, placement, prefix, ts }
    }
}

#[derive(Deserialize)]
#[serde(remote = "JsonForm", rename_all = "kebab-case")]
enum Json {
    AsReceived,
    Jcs,
    AsciiEscaped,
    Spaced,
}

#[derive(Deserialize)]
#[serde(remote = "NonceForm", rename_all = "kebab-case")]
enum Nonce {
    Utf8,
    Hex,
    Base64,
}

#[derive(Deserialize)]
#[serde(remote = "FromForm", rename_all = "kebab-case")]
enum From {
    Base58Utf8,
    Multihash,
}

#[derive(Deserialize)]
#[serde(remote = "InnerHash", rename_all = "kebab-case")]
enum Inner {
    Raw,
    LowerHex,
}

#[derive(Deserialize)]
#[serde(remote = "MessageForm", rename_all = "kebab-case")]
enum Message {
    Digest,
    LowerHexDigest,
}

#[derive(Deserialize)]
#[serde(remote = "Placement", rename_all = "kebab-case")]
enum Topic {
    Nowhere,
    Before,
    BeforeColon,
    BeforeNul,
    HashedBefore,
    After,
    HashOfBefore,
    HashOfBeforeColon,
    BodyBefore,
    BodyBeforeNul,
    BodyAfter,
}

#[derive(Deserialize)]
#[serde(remote = "TsUnit", rename_all = "kebab-case")]
enum Ts {
    Millis,
    Seconds,
}
