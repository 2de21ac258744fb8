//! Ties a payment key to a peer: each of the two keys signs the name of the other, so that neither can be claimed by
//! somebody who does not have it (decision M6).

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::hex::Hex;
use super::keccak256;
use super::key::{Key, Signature};
use crate::identity::{Keypair, PeerId, verify_strict};

/// Separates these signatures from all others of the same keys.
const PURPOSE: &[u8] = b"hyperlab/payment-key/1\0";

/// "This peer is paid at this address", signed by both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The peer id as text.
    pub peer_id: String,
    /// The address of its payment key.
    pub address: Address,
    /// Ed25519 by the peer.
    pub peer_sig: Hex<64>,
    /// secp256k1 by the payment key.
    pub address_sig: Signature,
}

fn by_peer(address: &Address) -> Vec<u8> {
    [PURPOSE, &address.0].concat()
}

fn by_address(peer: &PeerId) -> [u8; 32] {
    keccak256(&[PURPOSE, peer.as_bytes()].concat())
}

impl Binding {
    /// Ties the two keys together.
    pub fn new(peer: &Keypair, key: &Key) -> Self {
        Self {
            peer_id: peer.peer_id().to_string(),
            address: key.address(),
            peer_sig: Hex(peer.sign(&by_peer(&key.address()))),
            address_sig: key.sign(&by_address(&peer.peer_id())),
        }
    }

    /// The peer, if both signatures hold.
    pub fn verify(&self) -> Option<PeerId> {
        let peer: PeerId = self.peer_id.parse().ok()?;
        let by_key = self.address_sig.recover(&by_address(&peer)) == Ok(self.address);
        let both = by_key && verify_strict(peer.as_bytes(), &by_peer(&self.address), &self.peer_sig.0);
        both.then_some(peer)
    }
}
