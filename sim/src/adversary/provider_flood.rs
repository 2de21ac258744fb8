//! Peers that say of ever new keys that they provide them.
//!
//! Each draws a new key from time to time and sends ADD_PROVIDER for it to every DHT server that it is connected with,
//! wherever the key lies: storing it is up to the other side, whose bounds this is to reach. What it is asked it
//! answers with nothing, so that it is no dead weight in lookups: the attack is on stores alone.

use hyperspace_protocol::kad::{Key, Request};
use hyperspace_protocol::machine::Context;
use hyperspace_protocol::time::Duration;

use super::dht::{Attack, DhtAdversary};
use crate::message::SimMessage;

/// See the module's text.
pub type ProviderFlood = DhtAdversary<Flood>;

/// What a [`ProviderFlood`] does.
#[derive(Debug)]
pub struct Flood;

impl Attack for Flood {
    /// 50 keys a second, each to every server that it is connected with. Our choice: eight of them offer more keys in 3 s
    /// than a store holds by default (1,024).
    const EVERY: Duration = Duration::from_millis(20);

    fn request(cx: &mut Context<'_, SimMessage>) -> Request<u32> {
        let key = Key::new(&[cx.rng.next_u64(), cx.rng.next_u64()].map(u64::to_be_bytes).concat());
        Request::AddProvider { key, providers: vec![cx.own] }
    }

    fn referrals(_: &Context<'_, SimMessage>, _: &mut dyn Iterator<Item = u32>) -> Vec<u32> {
        Vec::new()
    }
}
