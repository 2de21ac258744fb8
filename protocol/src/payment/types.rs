//! The structs that are signed: two of our own, and those of released wallets and servers.
//!
//! Amounts and times are 128 bits wide: no more is ever due, and what a wallet signs beyond that is refused as out of
//! range when it is read.

use super::address::Address;
use super::eip712::{Domain, Typed, Words, digest};
use super::keccak256;

/// What a payer signs under [`Domain::hyperspace`] for one challenge: our own form of spec 6.1's receipt, for currencies
/// without a token contract and for payees without an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaymentReceipt {
    /// The challenge that it answers.
    pub challenge_id: [u8; 32],
    /// Who pays.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// In what: `USDC`, `points`.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: u128,
    /// For what: the challenge's resource.
    pub resource: String,
    /// Never used before by this payer on this chain.
    pub nonce: [u8; 32],
    /// Valid from this Unix second on.
    pub valid_after: u128,
    /// Valid before this Unix second.
    pub valid_before: u128,
}

impl Typed for PaymentReceipt {
    const TYPE: &'static str = "PaymentReceipt(bytes32 challengeId,address payer,address payee,string asset,\
        uint256 amount,string resource,bytes32 nonce,uint256 validAfter,uint256 validBefore)";

    fn members(&self, words: &mut Words) {
        words.word(&self.challenge_id).address(&self.payer).address(&self.payee).text(&self.asset);
        words.number(self.amount).text(&self.resource).word(&self.nonce);
        words.number(self.valid_after).number(self.valid_before);
    }
}

/// What a payer signs with each payment of a channel (spec 6.4) under [`Domain::hyperspace`]: the sum of all so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelVoucher {
    /// Which channel.
    pub channel_id: [u8; 32],
    /// The payment's number, from 1.
    pub nonce: u64,
    /// All that was paid up to this payment, in atomic units.
    pub cumulative: u128,
    /// Keccak-256 of the memo.
    pub memo_hash: [u8; 32],
}

impl Typed for ChannelVoucher {
    const TYPE: &'static str =
        "ChannelVoucher(bytes32 channelId,uint64 nonce,uint256 cumulativeAmount,bytes32 memoHash)";

    fn members(&self, words: &mut Words) {
        words.word(&self.channel_id).number(self.nonce.into()).number(self.cumulative);
        words.word(&self.memo_hash);
    }
}

/// What a channel of ours is; the digest under [`Domain::hyperspace`] is its id, so that no other terms have that id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// Who signs the vouchers.
    pub payer: Address,
    /// Who is paid, as the caller named it (decision M6).
    pub payee: String,
    /// In what.
    pub currency: String,
    /// The most that can be paid, in atomic units.
    pub budget: u128,
    /// Random.
    pub salt: [u8; 32],
}

impl Typed for Channel {
    const TYPE: &'static str =
        "Channel(address payer,string payee,string currency,uint256 budget,bytes32 salt)";

    fn members(&self, words: &mut Words) {
        words.address(&self.payer).text(&self.payee).text(&self.currency).number(self.budget);
        words.word(&self.salt);
    }
}

/// EIP-3009, what x402's `exact` scheme signs. Its domain is the token's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferWithAuthorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's atomic units.
    pub value: u128,
    /// Valid after this Unix second.
    pub valid_after: u128,
    /// Valid before this Unix second.
    pub valid_before: u128,
    /// Never used before by this payer with this token.
    pub nonce: [u8; 32],
}

impl Typed for TransferWithAuthorization {
    const TYPE: &'static str = "TransferWithAuthorization(address from,address to,uint256 value,\
        uint256 validAfter,uint256 validBefore,bytes32 nonce)";

    fn members(&self, words: &mut Words) {
        words.address(&self.from).address(&self.to).number(self.value);
        words.number(self.valid_after).number(self.valid_before).word(&self.nonce);
    }
}

/// The contract of x402's `batch-settlement`, the same on every chain.
pub const BATCH_SETTLEMENT: Address = Address([
    0x40, 0x20, 0x07, 0x4e, 0x9d, 0xf2, 0xce, 0x1d, 0xee, 0x5a, 0x9c, 0x1b, 0x5c, 0x3f, 0x54, 0x1d, 0x02,
    0xa1, 0x00, 0x03,
]);

/// The domain of x402's `batch-settlement`.
pub const fn batch_settlement(chain: u64) -> Domain<'static> {
    Domain { name: "x402 Batch Settlement", version: "1", chain, contract: Some(BATCH_SETTLEMENT) }
}

/// What a channel of x402's `batch-settlement` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelConfig {
    /// Whose money it is.
    pub payer: Address,
    /// Who signs the vouchers.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// Who signs claims for the receiver.
    pub receiver_authorizer: Address,
    /// In what.
    pub token: Address,
    /// How long the payer waits for its money when the receiver does not cooperate: seconds, 900 to 2 592 000 (40 bits on
    /// the wire).
    pub withdraw_delay: u64,
    /// Tells channels of the same ends apart.
    pub salt: [u8; 32],
}

impl Typed for ChannelConfig {
    const TYPE: &'static str = "ChannelConfig(address payer,address payerAuthorizer,address receiver,\
        address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)";

    fn members(&self, words: &mut Words) {
        words.address(&self.payer).address(&self.payer_authorizer).address(&self.receiver);
        words.address(&self.receiver_authorizer).address(&self.token);
        words.number(self.withdraw_delay.into()).word(&self.salt);
    }
}

impl ChannelConfig {
    /// The channel's id on a chain.
    pub fn id(&self, chain: u64) -> [u8; 32] {
        digest(&batch_settlement(chain), self)
    }
}

/// A payment in a channel of x402's `batch-settlement`, under [`batch_settlement`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchVoucher {
    /// Which channel.
    pub channel_id: [u8; 32],
    /// All that the receiver may claim.
    pub max_claimable: u128,
}

impl Typed for BatchVoucher {
    const TYPE: &'static str = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)";

    fn members(&self, words: &mut Words) {
        words.word(&self.channel_id).number(self.max_claimable);
    }
}

/// The domain of MPP's `evm/session` under an escrow contract.
pub const fn evm_session(chain: u64, escrow: Address) -> Domain<'static> {
    Domain { name: "EVM Payment Channel", version: "1", chain, contract: Some(escrow) }
}

/// What a channel of MPP's `evm/session` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionChannel {
    /// Whose money it is.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Address,
    /// Tells channels of the same ends apart.
    pub salt: [u8; 32],
    /// Who signs the vouchers; zero for the payer.
    pub authorized_signer: Address,
}

impl SessionChannel {
    /// The channel's id under an escrow contract.
    pub fn id(&self, chain: u64, escrow: &Address) -> [u8; 32] {
        let mut words = Words::bare();
        words.address(&self.payer).address(&self.payee).address(&self.token).word(&self.salt);
        words.address(&self.authorized_signer).address(escrow).number(chain.into());
        words.hash()
    }
}

/// A payment in a channel of MPP's `evm/session`, under [`evm_session`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionVoucher {
    /// Which channel.
    pub channel_id: [u8; 32],
    /// All that was paid so far.
    pub cumulative: u128,
}

impl Typed for SessionVoucher {
    const TYPE: &'static str = "Voucher(bytes32 channelId,uint128 cumulativeAmount)";

    fn members(&self, words: &mut Words) {
        words.word(&self.channel_id).number(self.cumulative);
    }
}

/// The domain of x402's `offer-receipt` extension; its chain is 1 whatever the payment's is.
pub const OFFER_RECEIPT: Domain<'static> =
    Domain { name: "x402 receipt", version: "1", chain: 1, contract: None };

/// What a server signs for a payer under [`OFFER_RECEIPT`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerReceipt {
    /// Of the format: 1.
    pub version: u64,
    /// CAIP-2, such as `eip155:84532`.
    pub network: String,
    /// What was paid for.
    pub resource_url: String,
    /// Who paid: the text is signed, so its case matters.
    pub payer: String,
    /// Unix seconds.
    pub issued_at: u64,
    /// The transaction, or empty for privacy.
    pub transaction: String,
}

impl Typed for ServerReceipt {
    const TYPE: &'static str = "Receipt(uint256 version,string network,string resourceUrl,string payer,\
        uint256 issuedAt,string transaction)";

    fn members(&self, words: &mut Words) {
        words.number(self.version.into()).text(&self.network).text(&self.resource_url).text(&self.payer);
        words.number(self.issued_at.into()).text(&self.transaction);
    }
}

/// What stands for a memo in a [`ChannelVoucher`].
pub fn memo_hash(memo: &str) -> [u8; 32] {
    keccak256(memo.as_bytes())
}
