//! What the network is told of payments: `settlements/{round}` (spec 2.1, decision T6).
//!
//! A payload is a list of settlements. The payer's signature says that it signed that digest, no more: what else a message
//! claims is its author's word, so nothing here is decided by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::store::{self, Kind};
use super::{Currency, credential::Uint};
use crate::identity::PeerId;
use crate::payment::{Address, Hex, Signature};
use crate::primitive::Agent;
use crate::primitive::env::Env;
use crate::time::{Duration, UnixMillis};
use crate::topic::Topic;

/// Seconds of a round (decision T6).
pub(super) const ROUND: u64 = 90;
/// Most settlements taken from one message: our choice.
const LIST_MAX: usize = 64;
/// Most settlements of one author that are looked at in a round, and most authors heard: our choice. An author
/// is who was paid (spec 2.1); of more, the rest of the round is not heard.
const AUTHOR_MAX: u32 = 256;
const AUTHORS_MAX: usize = 1024;
/// Longest payee taken.
const PAYEE_MAX: usize = 256;

/// The round of a time.
pub(super) const fn round(unix: UnixMillis) -> u64 {
    unix.0 / 1000 / ROUND
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settlement {
    pub(super) receipt_id: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_id: Option<Hex<32>>,
    pub(super) payer: Address,
    pub(super) payee: String,
    /// Atomic units, as text.
    #[serde(serialize_with = "digits", deserialize_with = "from_digits")]
    pub(super) amount: u128,
    pub(super) currency: Currency,
    /// What the payer signed.
    pub(super) digest: Hex<32>,
    pub(super) signature: Signature,
}

fn digits<S: serde::Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

fn from_digits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    Uint::deserialize(deserializer).map(|uint| uint.0)
}

/// What is kept of a settlement that another peer told of.
#[derive(Debug, Serialize, Deserialize)]
struct Heard {
    author: String,
    round: u64,
    settlement: Settlement,
}

impl Settlement {
    /// Tells the network.
    pub(super) fn publish(self, env: &mut Env<'_>) {
        let d = serde_json::to_string(&[self]).expect("plain data");
        env.net.publish(&Topic::settlements(round(env.unix)), &d);
    }

    fn holds(&self) -> bool {
        self.payee.len() <= PAYEE_MAX
            && self.amount > 0
            && self.signature.recover(&self.digest.0) == Ok(self.payer)
    }
}

/// How many settlements of each author were looked at in the present round. After a restart it begins anew.
#[derive(Debug, Default)]
pub(super) struct HeardOf {
    round: u64,
    authors: BTreeMap<PeerId, u32>,
}

impl HeardOf {
    /// Counts one more, if there is room for it.
    fn admit(&mut self, round: u64, author: PeerId) -> bool {
        if self.round != round {
            *self = Self { round, authors: BTreeMap::new() };
        }
        if self.authors.len() >= AUTHORS_MAX && !self.authors.contains_key(&author) {
            return false;
        }
        let count = self.authors.entry(author).or_default();
        *count = count.saturating_add(1);
        *count <= AUTHOR_MAX
    }
}

impl Agent {
    /// Settlements that another peer tells of: kept if the round is the present one or next to it, the list is no longer
    /// than allowed, and the payer signed. They go by what was signed, whatever receipt they claim to be, so one signature is
    /// kept once. The first to tell of a payment is believed.
    pub(super) fn hear_settlements(&mut self, env: &mut Env<'_>, author: PeerId, in_round: u64, d: &str) {
        if author == env.own || in_round.abs_diff(round(env.unix)) > 1 {
            return;
        }
        let Ok(list) = serde_json::from_str::<Vec<Settlement>>(d) else { return };
        if list.len() > LIST_MAX {
            return;
        }
        let config = &env.config.micropayments;
        let expires = env.unix.plus(config.heard_kept);
        for settlement in list {
            let id = settlement.digest.0;
            let known = store::load::<Heard>(env, Kind::Heard, &id).is_some();
            if known || config.heard_max == 0 {
                continue;
            }
            // What does not hold counts too: to find that out is most of the work.
            if !self.micropayments.heard.admit(round(env.unix), author) {
                return;
            }
            if !settlement.holds() {
                continue;
            }
            if self.micropayments.count(Kind::Heard) >= config.heard_max {
                self.micropayments.evict(env, Kind::Heard);
            }
            let heard = Heard { author: author.to_string(), round: in_round, settlement };
            self.micropayments.keep(env, Kind::Heard, &id, expires, &heard);
        }
    }

    /// Subscribes to the round before, the present and the next while a channel is open: messages are late, and a mesh
    /// takes time to form.
    pub(super) fn follow_rounds(&mut self, env: &mut Env<'_>) {
        let now = round(env.unix);
        let open = self.micropayments.open > 0;
        let wanted = if open { now.saturating_sub(1)..now + 2 } else { 0..0 };
        let rounds = &mut self.micropayments.rounds;
        rounds.retain(|round| {
            let keep = wanted.contains(round);
            if !keep {
                env.net.unsubscribe(&Topic::settlements(*round));
            }
            keep
        });
        for round in wanted {
            if !rounds.contains(&round) && env.net.subscribe(&Topic::settlements(round)) {
                rounds.insert(round);
            }
        }
        let left = (now + 1) * ROUND * 1000 - env.unix.0;
        self.micropayments.next_round = open.then(|| env.now + Duration::from_millis(left));
    }
}
