//! `micropayments.verify`: whether a payment is good, and good for the first time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::challenge::{self, Issued};
use super::credential::{self, Credential, Offer, Unread};
use super::settlement::Settlement;
use super::store::{self, Kind};
use super::{Currency, Live, Money};
use crate::identity::{PeerId, verify_strict};
use crate::payment::{Address, Hex, Signature, keccak256};
use crate::primitive::Agent;
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::Error;
use crate::primitive::method::{Access, Method};
use crate::time::UnixMillis;

/// Checks a payment and uses up its nonce.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Verify {
    /// The credential as an object, or as base64 of its text (the `X-Payment` header of spec 6.3).
    pub credential: Credential,
}

/// Whether a payment was accepted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Whether it counts.
    pub accepted: bool,
    /// The payment's id: the same whenever it is presented. Null if there is none.
    pub receipt_id: Option<String>,
    /// What it pays; 0 if it was not accepted.
    pub amount: Money,
    /// In what: an extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Why it was not accepted (decision M5): an extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// What is kept of a payment.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    challenge: Hex<32>,
    chain: u64,
    payer: Address,
    payee: String,
    amount: u128,
    currency: Currency,
    digest: Hex<32>,
    signature: Signature,
    /// Unix milliseconds.
    at: u64,
}

/// What a nonce is used up in; also the id of the receipt.
fn receipt_id(offer: &Offer) -> [u8; 32] {
    keccak256(&[&offer.chain.to_be_bytes()[..], &offer.payer.0, &offer.nonce].concat())
}

/// The challenge that an offer answers. x402 names none, so one with its terms is taken; if the nonce is used up, the one
/// that it was used for.
fn find(env: &Env<'_>, offer: &Offer, used: Option<&Receipt>) -> Option<([u8; 32], Issued)> {
    let (to, amount) = offer.accepted.unwrap_or((offer.payee, offer.amount));
    let resource = offer.resource.as_deref();
    let by_terms =
        || used.map(|used| used.challenge.0).or_else(|| challenge::by_terms(env, &to, amount, resource));
    let id = offer.challenge.or_else(by_terms)?;
    Some((id, store::load(env, Kind::Challenge, &id)?))
}

/// Whether the payment is what the challenge asks for.
fn matches(offer: &Offer, issued: &Issued) -> Result<(), &'static str> {
    let payee = match offer.challenge {
        Some(_) => Some(issued.receipt_payee),
        None => issued.address,
    };
    if payee != Some(offer.payee) || offer.accepted.is_some_and(|(to, _)| Some(to) != payee) {
        return Err("payee");
    }
    let price = issued.price(offer.currency).ok_or("asset")?;
    if price != offer.amount || offer.accepted.is_some_and(|(_, amount)| amount != price) {
        return Err("amount");
    }
    if offer.resource.as_ref().is_some_and(|resource| *resource != issued.resource) {
        return Err("resource");
    }
    Ok(())
}

/// The checks in their order. Returns the challenge that is paid.
fn judge(env: &Env<'_>, offer: &Offer, used: Option<&Receipt>) -> Result<([u8; 32], Issued), &'static str> {
    let (id, issued) = find(env, offer, used).ok_or("unknown_challenge")?;
    let now = u128::from(env.unix.0 / 1000);
    if u128::from(issued.expires) < now {
        return Err("challenge_expired");
    }
    if offer.signature.recover(&offer.digest) != Ok(offer.payer) {
        return Err("signature");
    }
    if let Some((peer, signature)) = &offer.peer {
        let peer = peer.parse::<PeerId>().map_err(|_| "peer_signature")?;
        if !verify_strict(peer.as_bytes(), &offer.digest, &signature.0) {
            return Err("peer_signature");
        }
    }
    matches(offer, &issued)?;
    let (after, before) = offer.valid;
    if now < after {
        return Err("not_yet_valid");
    }
    if now >= before {
        return Err("expired");
    }
    if before - now > u128::from(env.config.micropayments.validity_max.as_secs()) {
        return Err("valid_too_long");
    }
    if used.is_some() {
        return Err("replay");
    }
    if issued.paid {
        return Err("challenge_paid");
    }
    Ok((id, issued))
}

impl Verify {
    fn refused(env: &Env<'_>, offer: Option<&Offer>, reason: &'static str) -> Verified {
        let currency = offer.map(|offer| offer.currency);
        Verified {
            accepted: false,
            receipt_id: offer.map(|offer| Hex(receipt_id(offer)).to_string()),
            amount: currency.unwrap_or(Currency::Usdc).money(&env.config.micropayments, 0),
            currency,
            reason: Some(reason),
        }
    }
}

impl Method for Verify {
    const NAME: &'static str = "micropayments.verify";
    const CLAUSE: &'static str = "6.1, 6.2, 6.3; M2, M3, M5";
    const ACCESS: Access = Access::Operator;
    type Result = Verified;

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Verified>, Error> {
        let config = &env.config.micropayments;
        let offer = match credential::read(config, &self.credential.0) {
            Ok(offer) => offer,
            Err(Unread::Malformed(error)) => return Err(error),
            Err(Unread::Refused(reason)) => return Ok(Self::refused(env, None, reason).into()),
        };
        let id = receipt_id(&offer);
        let used: Option<Receipt> = store::load(env, Kind::Receipt, &id);
        let (challenge, issued) = match judge(env, &offer, used.as_ref()) {
            Ok(found) => found,
            Err(reason) => return Ok(Self::refused(env, Some(&offer), reason).into()),
        };
        if agent.micropayments.count(Kind::Receipt) >= config.receipts_max {
            let text = format!("{} payments are remembered", config.receipts_max);
            return Err(Live::busy(env, Kind::Receipt, text));
        }
        challenge::forgotten(env, &challenge);
        store::change(env, Kind::Challenge, &challenge, &Issued { paid: true, ..issued.clone() });
        // The nonce is remembered as long as either end of time could let it in again. `judge` has bounded both.
        let until = u64::try_from(offer.valid.1).unwrap_or(u64::MAX).max(issued.expires + 1);
        let expires = UnixMillis(until.saturating_mul(1000)).plus(config.skew);
        let receipt = Receipt {
            challenge: Hex(challenge),
            chain: offer.chain,
            payer: offer.payer,
            payee: issued.payee.clone(),
            amount: offer.amount,
            currency: offer.currency,
            digest: Hex(offer.digest),
            signature: offer.signature,
            at: env.unix.0,
        };
        agent.micropayments.keep(env, Kind::Receipt, &id, expires, &receipt);
        Settlement {
            receipt_id: Hex(id),
            channel_id: None,
            payer: offer.payer,
            payee: issued.payee,
            amount: offer.amount,
            currency: offer.currency,
            digest: Hex(offer.digest),
            signature: offer.signature,
        }
        .publish(env);
        let verified = Verified {
            accepted: true,
            receipt_id: Some(Hex(id).to_string()),
            amount: offer.currency.money(config, offer.amount),
            currency: Some(offer.currency),
            reason: None,
        };
        Ok(verified.into())
    }
}
