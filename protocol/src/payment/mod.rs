//! What payments of spec 6 sign and check, without IO: typed data of EIP-712 under keys of secp256k1.
//!
//! The spec says "EIP-712" and names no type, so the formats are those that released wallets already sign, and two of our
//! own for what they do not cover: [`PaymentReceipt`] and [`ChannelVoucher`].
//!
//! * [`Key`] signs, [`Signature::recover`] says who signed. [`Address`] is how a signer is named.
//! * [`eip712`] turns a struct and a domain into the digest that is signed; [`types`] are the structs.
//! * [`ChannelAcceptor`] is the payee's side of a streaming channel.
//! * [`Binding`] ties a payment key to the Ed25519 key of a peer.

mod address;
mod binding;
mod channel;
pub mod eip712;
mod hex;
mod key;
#[cfg(test)]
pub(crate) mod tests;
pub mod types;

pub use address::{Address, AddressError};
pub use binding::Binding;
pub use channel::{ChannelAcceptor, ChannelTerms, Claim, GRACE, Refusal, SignedVoucher};
pub use eip712::{Domain, Typed, digest};
pub use hex::{Hex, HexError};
pub use key::{Key, Signature, SignatureError};
pub use types::{ChannelVoucher, PaymentReceipt};

use sha3::{Digest, Keccak256};

/// Keccak-256 as Ethereum has it (not the SHA3-256 of FIPS 202, which pads otherwise).
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}
