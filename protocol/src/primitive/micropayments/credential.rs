//! What a client presents as payment: a receipt of our own, or what x402's `exact` scheme signs (versions 1 and 2).

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Config, Currency};
use crate::envelope::encoding::from_base64;
use crate::payment::types::TransferWithAuthorization;
use crate::payment::{Address, Domain, Hex, PaymentReceipt, Signature, digest};
use crate::primitive::error::Error;

/// Longest credential read, in bytes. Those of real clients have about two thousand.
pub(super) const TEXT_MAX: usize = 64 << 10;

/// A payment as offered, whatever its dialect.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// The challenge that it names; x402 names none.
    pub(super) challenge: Option<[u8; 32]>,
    /// The resource that it names.
    pub(super) resource: Option<String>,
    pub(super) chain: u64,
    pub(super) payer: Address,
    pub(super) payee: Address,
    pub(super) currency: Currency,
    pub(super) amount: u128,
    /// What x402 v2 says that it accepted: address and amount.
    pub(super) accepted: Option<(Address, u128)>,
    pub(super) nonce: [u8; 32],
    /// Unix seconds: from the first on, before the second.
    pub(super) valid: (u128, u128),
    pub(super) digest: [u8; 32],
    pub(super) signature: Signature,
    /// A peer that says it pays, with its signature over the digest.
    pub(super) peer: Option<(String, Hex<64>)>,
}

/// Why a payment cannot even be looked at.
pub(super) enum Unread {
    /// It is not of any dialect's shape.
    Malformed(Error),
    /// It is, but of a kind that is not taken here.
    Refused(&'static str),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

/// An unsigned whole number as text or as a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uint(pub(super) u128);

impl<'de> Deserialize<'de> for Uint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = u128;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a whole number below 2^128, in decimal digits")
            }
            fn visit_u64<E>(self, number: u64) -> Result<u128, E> {
                Ok(number.into())
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u128, E> {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits);
                number.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str("other text"), &self))
            }
        }
        deserializer.deserialize_any(Digits).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Native {
    challenge_id: Option<Hex<32>>,
    chain_id: Option<u64>,
    receipt: Receipt,
    signature: Signature,
    payer_peer_id: Option<String>,
    peer_sig: Option<Hex<64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    challenge_id: Hex<32>,
    payer: Address,
    payee: Address,
    asset: String,
    amount: Uint,
    resource: String,
    nonce: Hex<32>,
    valid_after: Uint,
    valid_before: Uint,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct X402 {
    x402_version: u64,
    scheme: Option<String>,
    network: Option<String>,
    accepted: Option<Accepted>,
    resource: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    scheme: String,
    network: String,
    amount: Uint,
    asset: Address,
    pay_to: Address,
}

#[derive(Deserialize)]
struct WithPayload {
    payload: Exact,
}

#[derive(Deserialize)]
struct Exact {
    signature: Signature,
    authorization: Authorization,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: Address,
    to: Address,
    value: Uint,
    valid_after: Uint,
    valid_before: Uint,
    nonce: Hex<32>,
}

/// What tells the dialects apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dialect {
    x402_version: Option<u64>,
    version: Option<u64>,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Error> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
        let text = error.inner().to_string();
        let text = text.rsplit_once(" at line ").map_or(&text[..], |(text, _)| text);
        let path = match error.path().to_string() {
            path if path == "." => "credential".to_owned(),
            path => format!("credential.{path}"),
        };
        Error::param(&path, text)
    })
}

/// The JSON of a credential: itself, or what its base64 says.
pub(super) fn text(raw: &str) -> Result<String, String> {
    if raw.len() > TEXT_MAX {
        return Err(format!("has {} bytes, must have at most {TEXT_MAX}", raw.len()));
    }
    if raw.starts_with('{') {
        return Ok(raw.to_owned());
    }
    let encoded: String = serde_json::from_str(raw).map_err(|_| "must be an object or base64 of one")?;
    let decoded = from_base64(encoded.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.filter(|json| json.starts_with('{')).ok_or_else(|| "is not base64 of a JSON object".to_owned())
}

/// Reads a credential.
pub(super) fn read(config: &Config, json: &str) -> Result<Offer, Unread> {
    let dialect: Dialect = parse(json)?;
    match (dialect.x402_version, dialect.version) {
        (None, Some(1)) => native(config, json),
        (Some(1 | 2), _) => exact(config, json),
        (None, None) => Err(Error::param("credential", "has neither version nor x402Version").into()),
        (Some(_), _) => Err(Error::param("credential.x402Version", "must be 1 or 2").into()),
        (None, Some(_)) => Err(Error::param("credential.version", "must be 1").into()),
    }
}

fn native(config: &Config, json: &str) -> Result<Offer, Unread> {
    let native: Native = parse(json)?;
    let receipt = native.receipt;
    if native.challenge_id.is_some_and(|id| id != receipt.challenge_id) {
        return Err(Error::param("credential.challengeId", "is not the receipt's").into());
    }
    let peer = match (native.payer_peer_id, native.peer_sig) {
        (Some(peer), Some(signature)) => Some((peer, signature)),
        (None, None) => None,
        (Some(_), None) => return Err(Error::param("credential.peerSig", "is missing").into()),
        (None, Some(_)) => return Err(Error::param("credential.payerPeerId", "is missing").into()),
    };
    let Some(currency) = Currency::NAMES.iter().find(|(_, name)| *name == receipt.asset) else {
        return Err(Unread::Refused("asset"));
    };
    let currency = currency.0;
    let chain = native.chain_id.unwrap_or_else(|| currency.chain(config));
    let known = match currency {
        Currency::Usdc if !config.chains.is_empty() => config.chains.iter().any(|known| known.id == chain),
        Currency::Usdc | Currency::Points | Currency::Usd => chain == currency.chain(config),
    };
    if !known {
        return Err(Unread::Refused("chain"));
    }
    let signed = PaymentReceipt {
        challenge_id: receipt.challenge_id.0,
        payer: receipt.payer,
        payee: receipt.payee,
        asset: receipt.asset,
        amount: receipt.amount.0,
        resource: receipt.resource,
        nonce: receipt.nonce.0,
        valid_after: receipt.valid_after.0,
        valid_before: receipt.valid_before.0,
    };
    Ok(Offer {
        challenge: Some(signed.challenge_id),
        chain,
        payer: signed.payer,
        payee: signed.payee,
        currency,
        amount: signed.amount,
        accepted: None,
        nonce: signed.nonce,
        valid: (signed.valid_after, signed.valid_before),
        digest: digest(&Domain::hyperspace(chain), &signed),
        signature: native.signature,
        peer,
        resource: Some(signed.resource),
    })
}

fn exact(config: &Config, json: &str) -> Result<Offer, Unread> {
    let x402: X402 = parse(json)?;
    let (scheme, network) = match (x402.x402_version, &x402.accepted) {
        (2, Some(accepted)) => (accepted.scheme.clone(), accepted.network.clone()),
        (2, None) => return Err(Error::param("credential.accepted", "is missing").into()),
        _ => {
            let missing = |name: &str| Error::param(&format!("credential.{name}"), "is missing");
            let scheme = x402.scheme.ok_or_else(|| missing("scheme"))?;
            (scheme, x402.network.ok_or_else(|| missing("network"))?)
        }
    };
    if scheme != "exact" {
        return Err(Unread::Refused("unsupported_scheme"));
    }
    let version = x402.x402_version;
    let chain = config
        .chains
        .iter()
        .find(|chain| if version == 2 { chain.network() == network } else { chain.x402_v1 == network })
        .ok_or(Unread::Refused("chain"))?;
    if x402.accepted.as_ref().is_some_and(|accepted| accepted.asset != chain.token) {
        return Err(Unread::Refused("asset"));
    }
    let payload = parse::<WithPayload>(json)?.payload;
    let given = payload.authorization;
    let signed = TransferWithAuthorization {
        from: given.from,
        to: given.to,
        value: given.value.0,
        valid_after: given.valid_after.0,
        valid_before: given.valid_before.0,
        nonce: given.nonce.0,
    };
    Ok(Offer {
        challenge: None,
        resource: x402.resource.and_then(|resource| resource.url),
        chain: chain.id,
        payer: signed.from,
        payee: signed.to,
        currency: Currency::Usdc,
        amount: signed.value,
        accepted: x402.accepted.map(|accepted| (accepted.pay_to, accepted.amount.0)),
        nonce: signed.nonce,
        valid: (signed.valid_after, signed.valid_before),
        digest: digest(&chain.domain(), &signed),
        signature: payload.signature,
        peer: None,
    })
}

/// The parameter: an object, or text.
#[derive(Debug)]
pub struct Credential(pub(super) String);

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        text(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Credential {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Credential".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["object", "string"], "minLength": 1, "maxLength": TEXT_MAX })
    }
}
