//! The payee's side of a streaming channel (spec 6.4).
//!
//! A voucher carries the sum of all payments so far, so the best one delivered is worth as much as all of them: lost,
//! repeated and late vouchers change nothing. The payee claims that one when the channel closes.

use super::address::Address;
use super::eip712::{Domain, digest};
use super::key::{Key, Signature};
use super::types::ChannelVoucher;
use crate::time::{Duration, UnixMillis};

/// How long a payee has to claim when the payer closes alone, unless the terms say otherwise: the shortest delay of x402's
/// `batch-settlement`.
pub const GRACE: Duration = Duration::from_secs(900);

/// What both sides know of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelTerms {
    /// Its id.
    pub id: [u8; 32],
    /// Who signs its vouchers.
    pub payer: Address,
    /// Under which chain; 1 for none.
    pub chain: u64,
    /// The most that can be paid, in atomic units.
    pub deposit: u128,
    /// From the payer's request to close until the channel closes.
    pub grace: Duration,
}

/// A voucher with its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedVoucher {
    /// What was signed.
    pub voucher: ChannelVoucher,
    /// By the payer.
    pub signature: Signature,
}

impl SignedVoucher {
    /// Signs a voucher.
    pub fn new(key: &Key, chain: u64, voucher: ChannelVoucher) -> Self {
        Self { voucher, signature: key.sign(&digest(&Domain::hyperspace(chain), &voucher)) }
    }
}

/// Why a voucher is refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is another channel's.
    #[error("channel-not-found")]
    ChannelNotFound,
    /// The signature is nobody's.
    #[error("invalid-signature")]
    InvalidSignature,
    /// Somebody else signed it.
    #[error("signer-mismatch")]
    SignerMismatch,
    /// It is worth more than the best one but its number is not higher: the payer signed two histories.
    #[error("nonce-replay")]
    NonceReplay,
    /// More than the deposit.
    #[error("amount-exceeds-deposit")]
    AmountExceedsDeposit,
    /// The channel is closing or closed.
    #[error("channel-finalized")]
    ChannelFinalized,
    /// More was to be charged than the vouchers are worth.
    #[error("insufficient-balance")]
    InsufficientBalance,
}

/// How a channel ends; the two sum up to the deposit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// What the payee gets: the sum of the best voucher.
    pub total_spent: u128,
    /// What the payer gets back.
    pub refund: u128,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// The payer wants to close; closed at this time.
    Closing(UnixMillis),
    Closed,
}

/// See the module's text. `spent <= accepted <= deposit` at all times.
#[derive(Clone, Debug)]
pub struct ChannelAcceptor {
    terms: ChannelTerms,
    best: Option<SignedVoucher>,
    spent: u128,
    phase: Phase,
}

impl ChannelAcceptor {
    /// A channel without payments.
    pub const fn new(terms: ChannelTerms) -> Self {
        Self { terms, best: None, spent: 0, phase: Phase::Open }
    }

    /// Takes a voucher, and says by how much it raises what was accepted: nothing for one that is worth no more than the
    /// best. The signature is checked first even then, so that an answer tells a stranger nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn on_voucher(&mut self, signed: &SignedVoucher) -> Result<u128, Refusal> {
        let voucher = &signed.voucher;
        if voucher.channel_id != self.terms.id {
            return Err(Refusal::ChannelNotFound);
        }
        let hash = digest(&Domain::hyperspace(self.terms.chain), voucher);
        let signer = signed.signature.recover(&hash).map_err(|_| Refusal::InvalidSignature)?;
        if signer != self.terms.payer {
            return Err(Refusal::SignerMismatch);
        }
        let Some(raise) = voucher.cumulative.checked_sub(self.accepted()).filter(|raise| *raise > 0) else {
            return Ok(0);
        };
        if voucher.nonce <= self.best.map_or(0, |best| best.voucher.nonce) {
            return Err(Refusal::NonceReplay);
        }
        if voucher.cumulative > self.terms.deposit {
            return Err(Refusal::AmountExceedsDeposit);
        }
        if self.phase != Phase::Open {
            return Err(Refusal::ChannelFinalized);
        }
        self.best = Some(*signed);
        Ok(raise)
    }

    /// Counts service rendered.
    ///
    /// # Errors
    /// [`Refusal::InsufficientBalance`] if the vouchers do not cover it.
    pub fn charge(&mut self, amount: u128) -> Result<(), Refusal> {
        let spent = self.spent.checked_add(amount).filter(|spent| *spent <= self.accepted());
        self.spent = spent.ok_or(Refusal::InsufficientBalance)?;
        Ok(())
    }

    /// The payee closes: at once, since it has nothing to wait for.
    pub fn close(&mut self) -> Claim {
        self.phase = Phase::Closed;
        self.claim()
    }

    /// The payer wants to close without the payee; returns when the channel will be closed. Asking again does not
    /// postpone it. `None` if it is closed.
    pub fn request_close(&mut self, now: UnixMillis) -> Option<UnixMillis> {
        match self.phase {
            Phase::Open => {
                let due = now.plus(self.terms.grace);
                self.phase = Phase::Closing(due);
                Some(due)
            }
            Phase::Closing(due) => Some(due),
            Phase::Closed => None,
        }
    }

    /// Closes the channel if its time has come.
    pub fn handle_timeout(&mut self, now: UnixMillis) -> Option<Claim> {
        let due = self.poll_timeout().is_some_and(|due| due <= now);
        due.then(|| self.close())
    }

    /// When to call [`Self::handle_timeout`].
    pub const fn poll_timeout(&self) -> Option<UnixMillis> {
        match self.phase {
            Phase::Closing(due) => Some(due),
            Phase::Open | Phase::Closed => None,
        }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// What was paid so far, in atomic units.
    pub fn accepted(&self) -> u128 {
        self.best.map_or(0, |best| best.voucher.cumulative)
    }

    /// Of that, what was charged for.
    pub const fn spent(&self) -> u128 {
        self.spent
    }

    /// The voucher to claim with.
    pub const fn best(&self) -> Option<&SignedVoucher> {
        self.best.as_ref()
    }

    fn claim(&self) -> Claim {
        let total_spent = self.accepted();
        Claim { total_spent, refund: self.terms.deposit - total_spent }
    }
}
