//! `micropayments.challenge`: what something costs, in a form that clients of x402 v2 can pay as well as our own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::store::{self, Kind};
use super::{Chain, Config, Currency, Live};
use crate::identity::PeerId;
use crate::payment::{Address, AddressError, Domain, Hex, keccak256};
use crate::primitive::Agent;
use crate::primitive::amount::{Decimal, decimal};
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::Error;
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Name, Note};
use crate::primitive::records::Table;
use crate::time::UnixMillis;

/// The delay of x402's `batch-settlement` that we ask for: its shortest, in seconds.
const WITHDRAW_DELAY: u64 = 900;

/// Makes a challenge: whoever gets it can pay one of its prices, once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// The price in points, with as many digits after the point as the setting says; 0 if points are not taken.
    pub price_points: Decimal,
    /// The price in USDC, with at most six digits after the point; 0 if USDC is not taken.
    pub price_usdc: Decimal,
    /// Who is paid: an address (`0x...`), or any other text such as a peer id (decision M6).
    pub payee_address: Name,
    /// What is paid for, such as a URL: an extension.
    pub resource: Option<Note>,
}

/// A challenge: `PaymentRequired` of x402 v2 with more members.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PayChallenge {
    /// Of this format: 1.
    pub version: u8,
    /// Keccak-256 of the rest in the canonical form of RFC 8785.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<String>,
    /// 2.
    pub x402_version: u8,
    /// `payment required`.
    pub error: &'static str,
    /// What is paid for.
    pub resource: Resource,
    /// What it costs: one of these.
    pub price: Price,
    /// Chains on which USDC is taken (CAIP-2).
    pub chains: Vec<String>,
    /// Who is paid.
    pub payee: Payee,
    /// The ways to pay.
    pub accepts: Vec<Accept>,
    /// What a receipt of our own has to say.
    pub receipt: ReceiptTerms,
    /// Random.
    pub nonce: String,
    /// Until when it can be paid, in Unix seconds.
    pub expires: u64,
    /// None.
    pub extensions: Map<String, Value>,
}

/// What is paid for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// The parameter, or a name made of the nonce.
    pub url: String,
    /// For people.
    pub description: &'static str,
    /// Of what is paid for.
    pub mime_type: &'static str,
}

/// Prices as decimal text.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Price {
    /// In points.
    pub points: String,
    /// In USDC.
    pub usdc: String,
}

/// Who is paid: at least one of these.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payee {
    /// As a peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// As the owner of an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// As any other text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// One way to pay: an entry of x402 v2.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accept {
    /// `exact`, `batch-settlement` or `hyperspace-points`.
    pub scheme: &'static str,
    /// CAIP-2, or `hyperspace:points`.
    pub network: String,
    /// In atomic units.
    pub amount: String,
    /// The token's contract, or `points`.
    pub asset: String,
    /// The payee.
    pub pay_to: String,
    /// How long an authorization may be valid.
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides.
    pub extra: Value,
}

/// What a `PaymentReceipt` has to say besides the price.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReceiptTerms {
    /// The name in the EIP-712 domain.
    pub name: &'static str,
    /// The version in the EIP-712 domain.
    pub version: &'static str,
    /// The payee's address, or what stands for it if it has none.
    pub payee: String,
}

/// What is kept of a challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Issued {
    /// Unix seconds.
    pub(super) expires: u64,
    pub(super) resource: String,
    /// Who is paid, as the caller named it.
    pub(super) payee: String,
    /// What a receipt of our own signs for it.
    pub(super) receipt_payee: Address,
    /// Where tokens may go.
    pub(super) address: Option<Address>,
    pub(super) points: u128,
    pub(super) usdc: u128,
    pub(super) paid: bool,
}

impl Issued {
    /// The price in a currency; `None` if it is not taken.
    pub(super) fn price(&self, currency: Currency) -> Option<u128> {
        let price = match currency {
            Currency::Usdc => self.usdc,
            Currency::Points => self.points,
            Currency::Usd => 0,
        };
        (price > 0).then_some(price)
    }

    /// Under what a challenge is found by a payment that does not name it: x402 names only these.
    fn terms(&self) -> Option<Vec<u8>> {
        Some(terms(&self.address?, self.usdc, Some(&self.resource)))
    }
}

fn terms(to: &Address, amount: u128, resource: Option<&str>) -> Vec<u8> {
    let mut key = [&b"t/"[..], &to.0, &amount.to_be_bytes()].concat();
    key.extend(resource.iter().flat_map(|resource| keccak256(resource.as_bytes())));
    key
}

/// A challenge that can be paid with this many atomic units of USDC to this address, for this resource if one is named:
/// of several, any.
pub(super) fn by_terms(
    env: &Env<'_>,
    to: &Address,
    amount: u128,
    resource: Option<&str>,
) -> Option<[u8; 32]> {
    let found = env.records.scan(Table::Receipt, &terms(to, amount, resource), None, 1);
    found.first()?.0.last_chunk().copied()
}

/// A challenge can no longer be found by its terms: it is paid, or about to be erased.
pub(super) fn forgotten(env: &mut Env<'_>, id: &[u8]) {
    let issued: Option<Issued> = store::load(env, Kind::Challenge, id);
    if let Some(terms) = issued.and_then(|issued| issued.terms()) {
        env.records.delete(Table::Receipt, &[&terms, id].concat());
    }
}

impl Payee {
    /// Who is paid, and where tokens may go.
    fn read(env: &Env<'_>, text: &str) -> Result<(Self, Option<Address>), Error> {
        let own_address = env.config.micropayments.key.as_ref().map(|key| key.address());
        let own = env.own.to_string();
        match text.parse::<Address>() {
            Ok(address) => {
                let peer_id = (own_address == Some(address)).then_some(own);
                Ok((Self { peer_id, address: Some(address.to_string()), id: None }, Some(address)))
            }
            // What looks like an address and is none is a slip, and money sent there would be lost.
            Err(problem @ AddressError::Checksum) => Err(Error::param("payeeAddress", problem)),
            Err(problem @ AddressError::Shape) if text.starts_with("0x") => {
                Err(Error::param("payeeAddress", problem))
            }
            Err(AddressError::Shape) if text == own => {
                let address = own_address.map(|address| address.to_string());
                Ok((Self { peer_id: Some(own), address, id: None }, own_address))
            }
            Err(AddressError::Shape) if text.parse::<PeerId>().is_ok() => {
                Ok((Self { peer_id: Some(text.to_owned()), address: None, id: None }, None))
            }
            Err(AddressError::Shape) => {
                Ok((Self { peer_id: None, address: None, id: Some(text.to_owned()) }, None))
            }
        }
    }
}

impl Issued {
    fn accepts(&self, config: &Config) -> Vec<Accept> {
        let seconds = config.challenge_life.as_secs();
        let mut accepts = Vec::new();
        if let (Some(to), true) = (self.address, self.usdc > 0) {
            let authorizer = config.key.as_ref().map_or(to, |key| key.address());
            for (scheme, chain) in ["exact", "batch-settlement"]
                .into_iter()
                .flat_map(|scheme| config.chains.iter().map(move |chain| (scheme, chain)))
            {
                let mut extra = json!({ "name": chain.token_name, "version": chain.token_version });
                if scheme == "batch-settlement" {
                    extra["receiverAuthorizer"] = json!(authorizer.to_string());
                    extra["withdrawDelay"] = json!(WITHDRAW_DELAY);
                }
                accepts.push(Accept {
                    scheme,
                    network: chain.network(),
                    amount: self.usdc.to_string(),
                    asset: chain.token.to_string(),
                    pay_to: to.to_string(),
                    max_timeout_seconds: seconds,
                    extra,
                });
            }
        }
        if self.points > 0 {
            accepts.push(Accept {
                scheme: "hyperspace-points",
                network: "hyperspace:points".to_owned(),
                amount: self.points.to_string(),
                asset: Currency::Points.name().to_owned(),
                pay_to: self.payee.clone(),
                max_timeout_seconds: seconds,
                extra: json!({ "decimals": Currency::Points.digits(config) }),
            });
        }
        accepts
    }
}

impl Method for Challenge {
    const NAME: &'static str = "micropayments.challenge";
    const CLAUSE: &'static str = "6.1, 6.2; M1, M6, M10";
    const ACCESS: Access = Access::Operator;
    type Result = PayChallenge;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        _: Serving<'_>,
    ) -> Result<Reply<PayChallenge>, Error> {
        let config = &env.config.micropayments;
        let points = Currency::Points.read(config, "pricePoints", &self.price_points)?;
        let usdc = Currency::Usdc.read(config, "priceUsdc", &self.price_usdc)?;
        if points == 0 && usdc == 0 {
            return Err(Error::param("pricePoints", "a price must be above zero, this one or priceUsdc"));
        }
        let (payee, address) = Payee::read(env, &self.payee_address)?;
        if agent.micropayments.count(Kind::Challenge) >= config.challenges_max {
            let text = format!("{} challenges wait for payment", config.challenges_max);
            return Err(Live::busy(env, Kind::Challenge, text));
        }
        let nonce = format!("0x{}", env.random_hex(32));
        let issued = Issued {
            expires: env.unix.plus(config.challenge_life).0 / 1000,
            resource: self.resource.map_or_else(|| format!("urn:hyperspace:pay:{nonce}"), |r| r.to_string()),
            receipt_payee: address.unwrap_or_else(|| Address::of_opaque(&self.payee_address)),
            payee: self.payee_address.to_string(),
            address,
            points,
            usdc,
            paid: false,
        };
        let domain = Domain::hyperspace(1);
        let mut challenge = PayChallenge {
            version: 1,
            challenge_id: None,
            x402_version: 2,
            error: "payment required",
            resource: Resource {
                url: issued.resource.clone(),
                description: "Service of a Hyperspace agent",
                mime_type: "application/json",
            },
            price: Price {
                points: decimal(points, Currency::Points.digits(config)),
                usdc: decimal(usdc, Currency::Usdc.digits(config)),
            },
            chains: config.chains.iter().map(Chain::network).collect(),
            payee,
            accepts: issued.accepts(config),
            receipt: ReceiptTerms {
                name: domain.name,
                version: domain.version,
                payee: issued.receipt_payee.to_string(),
            },
            nonce,
            expires: issued.expires,
            extensions: Map::new(),
        };
        let canonical = serde_json_canonicalizer::to_vec(&challenge).expect("plain data");
        let id = keccak256(&canonical);
        challenge.challenge_id = Some(Hex(id).to_string());
        // It can be paid throughout its last second.
        let expires = UnixMillis((issued.expires + 1) * 1000);
        agent.micropayments.keep(env, Kind::Challenge, &id, expires, &issued);
        if let Some(terms) = issued.terms().filter(|_| usdc > 0) {
            env.records.put(Table::Receipt, &[&terms[..], &id].concat(), None, Vec::new());
        }
        Ok(challenge.into())
    }
}
