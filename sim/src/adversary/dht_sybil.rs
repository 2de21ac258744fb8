//! Sybils that get into routing tables and lead lookups astray.
//!
//! The attack that S/Kademlia (Baumgart and Mies, ICPADS 2007) calls eclipse and adversarial routing. A Sybil asks honest
//! peers something now and then, so that it is not the first to lose its place in a table. Whoever asks it for the peers
//! closest to a key hears of the `k` Sybils of its group closest to that key and of nobody else. Its identity is as random
//! as anybody's: it does not choose where it lies.

use hyperspace_protocol::kad::Request;
use hyperspace_protocol::machine::Context;
use hyperspace_protocol::time::Duration;

use super::dht::{Attack, DhtAdversary};
use crate::message::SimMessage;

/// See the module's text.
pub type DhtSybil = DhtAdversary<LeadAstray>;

/// What a [`DhtSybil`] does.
#[derive(Debug)]
pub struct LeadAstray;

impl Attack for LeadAstray {
    /// Our choice: half of the time after which stock peers probe the least recently seen contact of a full bucket again.
    const EVERY: Duration = Duration::from_secs(30);

    /// For itself, as a peer does that joins.
    fn request(cx: &mut Context<'_, SimMessage>) -> Request<u32> {
        Request::FindNode(cx.services.id(cx.own))
    }

    fn referrals(cx: &Context<'_, SimMessage>, nearest: &mut dyn Iterator<Item = u32>) -> Vec<u32> {
        nearest.take(cx.config.dht.as_ref().map_or(0, |dht| dht.k)).collect()
    }
}
