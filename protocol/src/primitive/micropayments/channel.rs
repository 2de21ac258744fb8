//! `micropayments.channel.*`: the payer's side of a streaming channel (spec 6.4).
//!
//! Each payment signs a voucher for the sum of all so far; the best voucher is kept in the channel's record, so that the
//! payee can be given it again at any time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settlement::Settlement;
use super::store::Kind;
use super::{Config, Currency, Money};
use crate::payment::{
    Address, ChannelVoucher, Domain, Hex, Key, Signature, SignedVoucher, digest, keccak256, types,
};
use crate::primitive::amount::Decimal;
use crate::primitive::env::{Env, Reply, Serving};
use crate::primitive::error::{Code, Error};
use crate::primitive::method::{Access, Method};
use crate::primitive::params::{Name, Text};
use crate::primitive::records::Table;
use crate::primitive::{Agent, iso};
use crate::time::UnixMillis;

/// Most characters of a memo (decision M9).
const MEMO_MAX: usize = 256;

/// Opens a channel to a payee.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Open {
    /// Who is paid: a peer id, or any other text (decision M6).
    pub payee: Name,
    /// The most that can be paid; above 0, with no more digits after the point than the currency has.
    pub budget: Decimal,
    /// In what.
    pub currency: Currency,
}

/// A channel (decision M7).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PayChannelState {
    /// Its id.
    pub channel_id: String,
    /// This peer.
    pub payer: String,
    /// The address whose key signs the vouchers: an extension, as all that the payee needs to check them.
    pub payer_address: String,
    /// Who is paid.
    pub payee: String,
    /// The most that can be paid.
    pub budget: Money,
    /// In what.
    pub currency: Currency,
    /// The chain in the vouchers' EIP-712 domain; 1 for none.
    pub chain_id: u64,
    /// Random, part of what the id is made of.
    pub salt: String,
    /// What was paid.
    pub spent: Money,
    /// What can still be paid.
    pub remaining: Money,
    /// The number of the last payment; 0 before the first.
    pub nonce: u64,
    /// `open`.
    pub status: &'static str,
    /// When it was opened.
    pub opened_at: String,
}

/// The record of a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Channel {
    payer: Address,
    payee: String,
    budget: u128,
    currency: Currency,
    chain: u64,
    salt: Hex<32>,
    spent: u128,
    nonce: u64,
    /// Unix milliseconds.
    opened: u64,
    closed: bool,
    /// The last payment's.
    voucher: Option<Signed>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Signed {
    memo_hash: Hex<32>,
    digest: Hex<32>,
    signature: Signature,
}

/// Channels that the records have as open.
pub(super) fn count_open(env: &Env<'_>) -> u64 {
    let (mut open, mut last) = (0, None::<Vec<u8>>);
    loop {
        let page = env.records.load_all::<Channel>(Table::Channel, b"", last.as_deref(), 256);
        open += page.iter().filter(|(_, channel)| !channel.closed).count() as u64;
        match page.into_iter().next_back() {
            Some((key, _)) => last = Some(key),
            None => return open,
        }
    }
}

fn key(config: &Config) -> Result<&Key, Error> {
    let text = "this node has no payment key, so it cannot sign payments: give it one in its settings";
    config.key.as_ref().ok_or_else(|| Error::new(Code::Internal, text))
}

/// A channel that is open.
fn load(env: &Env<'_>, id: &str) -> Result<Channel, Error> {
    let channel: Channel =
        env.records.load(Table::Channel, id.as_bytes()).ok_or_else(|| Error::not_found("channel", id))?;
    if channel.closed {
        let data = json!({ "reason": "closed", "kind": "channel" });
        return Err(Error::new(Code::InvalidParams, "the channel is closed").with(data));
    }
    Ok(channel)
}

impl Method for Open {
    const NAME: &'static str = "micropayments.channel.open";
    const CLAUSE: &'static str = "6.2, 6.4; M6, M7, M10";
    const ACCESS: Access = Access::Operator;
    type Result = PayChannelState;

    fn call(
        self,
        agent: &mut Agent,
        env: &mut Env<'_>,
        _: Serving<'_>,
    ) -> Result<Reply<PayChannelState>, Error> {
        let config = &env.config.micropayments;
        let budget = self.currency.read(config, "budget", &self.budget)?;
        if budget == 0 {
            return Err(Error::param("budget", "must be above zero"));
        }
        let payer = key(config)?.address();
        if env.records.count(Table::Channel) >= config.channels_max {
            let text = format!("{} channels are open or just closed: close some first", config.channels_max);
            return Err(Error::full(text));
        }
        let mut salt = [0; 32];
        for part in salt.as_chunks_mut::<8>().0 {
            *part = env.rng.next_u64().to_be_bytes();
        }
        let chain = self.currency.chain(config);
        let terms = types::Channel {
            payer,
            payee: self.payee.to_string(),
            currency: self.currency.name().to_owned(),
            budget,
            salt,
        };
        let id = Hex(digest(&Domain::hyperspace(chain), &terms)).to_string();
        let channel = Channel {
            payer,
            payee: terms.payee,
            budget,
            currency: self.currency,
            chain,
            salt: Hex(salt),
            spent: 0,
            nonce: 0,
            opened: env.unix.0,
            closed: false,
            voucher: None,
        };
        env.records.save(Table::Channel, id.as_bytes(), None, &channel);
        agent.micropayments.open += 1;
        agent.follow_rounds(env);
        let money = |units| channel.currency.money(config, units);
        let state = PayChannelState {
            channel_id: id,
            payer: env.own.to_string(),
            payer_address: payer.to_string(),
            payee: channel.payee.clone(),
            budget: money(budget),
            currency: channel.currency,
            chain_id: chain,
            salt: channel.salt.to_string(),
            spent: money(0),
            remaining: money(budget),
            nonce: 0,
            status: "open",
            opened_at: iso(UnixMillis(channel.opened)),
        };
        Ok(state.into())
    }
}

/// Pays in a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pay {
    /// Which.
    pub channel_id: Name,
    /// How much more; above 0.
    pub amount: Decimal,
    /// For what, in at most 256 characters (decision M9), which may be none; the voucher has its hash.
    pub memo: Text<0, { 4 * MEMO_MAX }>,
}

/// A payment made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Paid {
    /// Its number: 1 for a channel's first.
    pub nonce: u64,
    /// What can still be paid.
    pub remaining: Money,
    /// For the payee: an extension.
    pub voucher: Voucher,
}

/// What the payee checks and keeps.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// Which channel.
    pub channel_id: String,
    /// The payment's number.
    pub nonce: u64,
    /// The sum of all payments so far, in atomic units.
    pub cumulative_amount: String,
    /// Keccak-256 of the memo.
    pub memo_hash: String,
    /// The payer's.
    pub signature: String,
}

impl Method for Pay {
    const NAME: &'static str = "micropayments.channel.pay";
    const CLAUSE: &'static str = "6.2, 6.4; M8, M9, M10";
    const ACCESS: Access = Access::Operator;
    type Result = Paid;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Paid>, Error> {
        let config = &env.config.micropayments;
        let mut channel = load(env, &self.channel_id)?;
        let amount = channel.currency.read(config, "amount", &self.amount)?;
        if amount == 0 {
            return Err(Error::param("amount", "must be above zero"));
        }
        let memo = &*self.memo;
        if memo.chars().count() > MEMO_MAX {
            return Err(Error::param("memo", format!("must have at most {MEMO_MAX} characters")));
        }
        let money = |units| channel.currency.money(config, units);
        let remaining = channel.budget - channel.spent;
        if amount > remaining {
            let data = json!({
                "remaining": money(remaining).value(),
                "requested": money(amount).value(),
                "limit": money(channel.budget).value(),
            });
            let text = format!("the channel has {} left, not {}", money(remaining), money(amount));
            return Err(Error::new(Code::BudgetExceeded, text).with(data));
        }
        let key = key(config)?;
        if key.address() != channel.payer {
            let text = "the channel was opened with another payment key than this node has now";
            return Err(Error::new(Code::Internal, text));
        }
        let channel_id: Hex<32> = self.channel_id.parse().expect("ids of channels are such texts");
        channel.spent += amount;
        channel.nonce += 1;
        let voucher = ChannelVoucher {
            channel_id: channel_id.0,
            nonce: channel.nonce,
            cumulative: channel.spent,
            memo_hash: types::memo_hash(memo),
        };
        let signature = SignedVoucher::new(key, channel.chain, voucher).signature;
        channel.voucher = Some(Signed {
            memo_hash: Hex(voucher.memo_hash),
            digest: Hex(digest(&Domain::hyperspace(channel.chain), &voucher)),
            signature,
        });
        env.records.save(Table::Channel, self.channel_id.as_bytes(), None, &channel);
        let paid = Paid {
            nonce: channel.nonce,
            remaining: channel.currency.money(config, remaining - amount),
            voucher: Voucher {
                channel_id: channel_id.to_string(),
                nonce: channel.nonce,
                cumulative_amount: channel.spent.to_string(),
                memo_hash: Hex(voucher.memo_hash).to_string(),
                signature: signature.0.to_string(),
            },
        };
        Ok(paid.into())
    }
}

/// Closes a channel: what was not paid goes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Close {
    /// Which.
    pub channel_id: Name,
}

/// A channel closed. The two sum up to its budget, exactly.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// What was paid.
    pub total_spent: Money,
    /// What was not.
    pub refund: Money,
}

impl Method for Close {
    const NAME: &'static str = "micropayments.channel.close";
    const CLAUSE: &'static str = "6.2, 6.4; M8";
    const ACCESS: Access = Access::Operator;
    type Result = Closed;

    fn call(self, agent: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Closed>, Error> {
        let config = &env.config.micropayments;
        let mut channel = load(env, &self.channel_id)?;
        channel.closed = true;
        let forgotten = env.unix.plus(config.closed_kept);
        let place = self.channel_id.as_bytes();
        agent.micropayments.keep(env, Kind::Closed, place, forgotten, &channel);
        agent.micropayments.open = agent.micropayments.open.saturating_sub(1);
        agent.follow_rounds(env);
        if let Some(signed) = channel.voucher {
            let channel_id: Hex<32> = self.channel_id.parse().expect("ids of channels are such texts");
            Settlement {
                receipt_id: Hex(keccak256(&[&channel_id.0[..], &channel.nonce.to_be_bytes()].concat())),
                channel_id: Some(channel_id),
                payer: channel.payer,
                payee: channel.payee.clone(),
                amount: channel.spent,
                currency: channel.currency,
                digest: signed.digest,
                signature: signed.signature,
            }
            .publish(env);
        }
        let closed = Closed {
            total_spent: channel.currency.money(config, channel.spent),
            refund: channel.currency.money(config, channel.budget - channel.spent),
        };
        Ok(closed.into())
    }
}
