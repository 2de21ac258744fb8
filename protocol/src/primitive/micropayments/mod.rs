//! `micropayments.*`: challenges, receipts and streaming channels (spec 6).
//!
//! The node keeps books: it says what something costs, checks that a payment is signed for exactly that and has not been
//! used, and signs vouchers for what it pays itself. Moving tokens on a chain is somebody else's work. What is signed is
//! in [`payment`](crate::payment).

mod challenge;
mod channel;
mod credential;
mod settlement;
mod store;
mod verify;

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

pub use challenge::{Accept, Challenge, PayChallenge, Payee, Price, ReceiptTerms, Resource};
pub use channel::{Close, Closed, Open, Paid, Pay, PayChannelState, Voucher};
pub use credential::Credential;
pub use verify::{Verified, Verify};

use super::Agent;
use super::amount::{Decimal, decimal};
use super::env::Env;
use super::error::Error;
use super::method::{Entry, entry};
use crate::identity::PeerId;
use crate::payment::{Address, Domain, Key};
use crate::time::{Duration, Instant};

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] =
    &[entry::<Challenge>(), entry::<Verify>(), entry::<Open>(), entry::<Pay>(), entry::<Close>()];

/// A chain with the token that is USDC there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its number (EIP-155); `eip155:{id}` is its name (CAIP-2).
    pub id: u64,
    /// What x402 v1 calls it.
    pub x402_v1: String,
    /// The token's contract.
    pub token: Address,
    /// The token's name in its EIP-712 domain.
    pub token_name: String,
    /// The token's version in its EIP-712 domain.
    pub token_version: String,
}

impl Chain {
    /// USDC on Base Sepolia, a test network.
    pub fn base_sepolia() -> Self {
        const USDC: [u8; 20] = [
            0x03, 0x6c, 0xbd, 0x53, 0x84, 0x2c, 0x54, 0x26, 0x63, 0x4e, 0x79, 0x29, 0x54, 0x1e, 0xc2, 0x31,
            0x8f, 0x3d, 0xcf, 0x7e,
        ];
        Self {
            id: 84_532,
            x402_v1: "base-sepolia".to_owned(),
            token: Address(USDC),
            token_name: "USDC".to_owned(),
            token_version: "2".to_owned(),
        }
    }

    fn network(&self) -> String {
        format!("eip155:{}", self.id)
    }

    fn domain(&self) -> Domain<'_> {
        let (name, version) = (&self.token_name, &self.token_version);
        Domain { name, version, chain: self.id, contract: Some(self.token) }
    }
}

/// Settings of `micropayments.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The node's payment key. The driver sets it; without one, channels cannot be opened and this node has no address.
    pub key: Option<Key>,
    /// Chains on which USDC is taken, the preferred one first. Channels in USDC are under the first; with none, prices in
    /// USDC can only be paid by receipts that are on no chain.
    pub chains: Vec<Chain>,
    /// Digits after the point of an amount of points: 0 to 6.
    pub points_digits: u32,
    /// How long a challenge can be paid; whole seconds.
    pub challenge_life: Duration,
    /// Most challenges that can be paid; one more is refused.
    pub challenges_max: u64,
    /// How much later than now the validity of a payment may end; a later end is refused, because nonces are remembered
    /// until then.
    pub validity_max: Duration,
    /// How long after a payment's validity its nonce is still remembered, for clocks that are set back.
    pub skew: Duration,
    /// Most payments remembered; one more is refused.
    pub receipts_max: u64,
    /// Most channels, those remembered as closed included; one more is refused.
    pub channels_max: u64,
    /// How long a closed channel is remembered as closed; then there is no such channel.
    pub closed_kept: Duration,
    /// Most settlements of others remembered; of more, those that end first are forgotten.
    pub heard_max: u64,
    /// How long a settlement of others is remembered.
    pub heard_kept: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: None,
            chains: vec![Chain::base_sepolia()],
            // The finest that a budget has: no price is refused for its digits.
            points_digits: 6,
            // What follows is our choice. Five minutes are usual for x402.
            challenge_life: Duration::from_secs(300),
            challenges_max: 10_000,
            validity_max: Duration::from_secs(86_400),
            skew: Duration::from_secs(300),
            receipts_max: 100_000,
            channels_max: 100_000,
            closed_kept: Duration::from_secs(86_400),
            heard_max: 10_000,
            heard_kept: Duration::from_secs(3_600),
        }
    }
}

/// What is under way: only what can be had from the records again.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// How many records there are of each kind.
    counts: store::Counts,
    /// When the next of them expires.
    expiry: Option<Instant>,
    /// Channels open.
    open: u64,
    /// Rounds whose settlements are subscribed to, and when that changes.
    rounds: BTreeSet<u64>,
    next_round: Option<Instant>,
    /// Whose settlements were heard lately.
    heard: settlement::HeardOf,
}

impl Live {
    pub(super) fn due(&self) -> Option<Instant> {
        self.expiry.into_iter().chain(self.next_round).min()
    }
}

impl Agent {
    pub(super) fn start_micropayments(&mut self, env: &mut Env<'_>) {
        self.micropayments = Live { open: channel::count_open(env), ..store::start(env) };
        self.follow_rounds(env);
    }

    /// No channel is open any more, so no round is listened to.
    pub(super) fn reset_micropayments(&mut self, env: &mut Env<'_>) {
        self.micropayments.open = 0;
        self.follow_rounds(env);
    }

    pub(super) fn settlement_message(&mut self, env: &mut Env<'_>, author: PeerId, round: u64, d: &str) {
        self.hear_settlements(env, author, round, d);
    }

    pub(super) fn micropayments_timeout(&mut self, env: &mut Env<'_>) {
        if self.micropayments.expiry.is_some_and(|due| due <= env.now) {
            self.micropayments.sweep(env);
        }
        if self.micropayments.next_round.is_some_and(|due| due <= env.now) {
            self.follow_rounds(env);
        }
    }
}

/// What something is paid in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Currency {
    /// The token: 6 digits after the point.
    Usdc,
    /// Points of the network: the setting's digits.
    Points,
    /// US dollars: cents.
    Usd,
}

impl Currency {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::Usdc, "USDC"), (Self::Points, "points"), (Self::Usd, "USD")];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(currency, _)| *currency == self).map_or("", |(_, name)| name)
    }

    const fn digits(self, config: &Config) -> u32 {
        match self {
            Self::Usdc => 6,
            Self::Points if config.points_digits > 6 => 6,
            Self::Points => config.points_digits,
            Self::Usd => 2,
        }
    }

    /// The chain under which our own structs are signed: 1 for what is on none.
    fn chain(self, config: &Config) -> u64 {
        match self {
            Self::Usdc => config.chains.first().map_or(1, |chain| chain.id),
            Self::Points | Self::Usd => 1,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(currency, _)| *currency)
    }

    /// Reads a parameter as an amount.
    fn read(self, config: &Config, param: &str, number: &Decimal) -> Result<u128, Error> {
        number.units(self.digits(config)).map_err(|problem| Error::param(param, problem))
    }

    const fn money(self, config: &Config, units: u128) -> Money {
        Money { units, digits: self.digits(config) }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Box::<str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| D::Error::custom("must be one of USDC, points, USD"))
    }
}

impl JsonSchema for Currency {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::NAMES.map(|(_, name)| name) })
    }
}

/// An amount of some currency: an exact JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Money {
    units: u128,
    digits: u32,
}

impl Money {
    /// For an error's data: a number if the value type keeps it exactly, else text.
    fn value(self) -> Value {
        let text = self.to_string();
        let number: Value = serde_json::from_str(&text).expect("a decimal is JSON");
        let kept = Decimal::new(&number.to_string()).and_then(|kept| kept.units(self.digits));
        if kept == Ok(self.units) { number } else { Value::String(text) }
    }
}

impl core::fmt::Display for Money {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&decimal(self.units, self.digits))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).expect("a decimal is JSON").serialize(serializer)
    }
}

impl JsonSchema for Money {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Decimal::json_schema(generator)
    }
}
