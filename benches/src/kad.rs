//! Kademlia with the specification's settings: a routing table, and lookups over a network that stands still.
//!
//! In that network every bucket of every peer holds the `k` peers it may, or as many as there are, and everybody answers.
//! The floor of a lookup is what the asked tables have to do for its answers; the rest is the lookup's own
//! bookkeeping. An insert includes the SHA-256 that places the contact and a read of the table that of the key: their floor.

use std::collections::{BTreeSet, VecDeque};
use std::hint::black_box;

use hyperspace_protocol::kad::{ClosestPeers, Config, KadKey, Key, Limits, Services, Step, Table};
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::Instant;

use crate::{Case, Effort, add, in_turns, looped};

/// All cases.
pub fn cases(effort: Effort) -> Vec<Case> {
    let mut cases = Vec::new();
    let place = add(
        &mut cases,
        Case::new("SHA-256 of a peer id", None, || {
            looped(in_turns(ids(), |id| {
                black_box(KadKey::hash_of(id));
            }))
        }),
    );
    for what in [insert, closest] {
        cases.extend(effort.peers().iter().map(|peers| what(*peers).over([(place, 1)])));
    }
    for peers in &effort.peers()[1..] {
        let answers = add(&mut cases, answers(*peers));
        cases.push(lookup(*peers).over([(answers, 1)]));
    }
    cases
}

/// Contacts are offered in turns; after the last one the table starts empty again.
fn insert(peers: u32) -> Case {
    Case::new("table insert", Some(peers.into()), move || {
        let (world, config, own) = (Peers::new(peers), Config::spec(), KadKey::hash_of(b"own"));
        let mut table = Table::default();
        let contacts: Vec<(u32, Id)> = (0..peers).zip(ids().into_iter().cycle()).collect();
        looped(in_turns(contacts, move |(contact, id)| {
            if *contact == 0 {
                table = Table::default();
            }
            black_box(KadKey::hash_of(id));
            black_box(table.seen(&own, *contact, &config, &world));
        }))
    })
}

fn closest(peers: u32) -> Case {
    Case::new("closest 20 of a table", Some(peers.into()), move || {
        let (world, config, own) = (Peers::new(peers), Config::spec(), KadKey::hash_of(b"own"));
        let mut table = Table::default();
        for contact in 0..peers {
            table.seen(&own, contact, &config, &world);
        }
        looped(in_turns(ids(), move |id| {
            let target = KadKey::hash_of(id);
            black_box(table.closest(&own, &target, config.k, None, true, &world));
        }))
    })
}

fn lookup(peers: u32) -> Case {
    Case::new("lookup", Some(peers.into()), move || {
        let network = Network::new(peers);
        let tasks = network.tasks();
        looped(in_turns(tasks, move |(from, target)| {
            black_box(network.lookup(*from, target));
        }))
    })
}

/// The answers of the very peers that the same lookups ask.
fn answers(peers: u32) -> Case {
    Case::new("answers of a lookup", Some(peers.into()), move || {
        let network = Network::new(peers);
        let asked = |(from, target)| (from, target, network.lookup(from, &target));
        let tasks: Vec<_> = network.tasks().into_iter().map(asked).collect();
        looped(in_turns(tasks, move |(from, target, asked)| {
            black_box(network.answer(*from, target, None));
            for peer in asked {
                black_box(network.answer(*peer, target, Some(*from)));
            }
        }))
    })
}

/// As long as a peer id on the wire.
type Id = [u8; 38];

fn ids() -> Vec<Id> {
    (0..=u8::MAX).map(|byte| [byte; 38]).collect()
}

/// Peers 0, 1, ...: the id of each is its number.
#[derive(Debug)]
struct Peers(Vec<KadKey>);

impl Peers {
    fn new(peers: u32) -> Self {
        Self((0..peers).map(|peer| KadKey::hash_of(&peer.to_be_bytes())).collect())
    }
}

impl Services<u32> for Peers {
    fn key(&self, contact: u32) -> KadKey {
        self.0[contact as usize]
    }
    fn id(&self, contact: u32) -> Key {
        Key::new(&contact.to_be_bytes())
    }
}

/// A network at rest.
#[derive(Debug)]
struct Network {
    peers: Peers,
    config: Config,
    tables: Vec<Table<u32>>,
}

impl Network {
    /// The network of so many peers.
    fn new(peers: u32) -> Self {
        let (peers, config) = (Peers::new(peers), Config::spec());
        let mut order: Vec<u32> = (0..peers.0.len() as u32).collect();
        order.sort_by_key(|peer| peers.key(*peer));
        let tables = (0..peers.0.len() as u32).map(|own| table(own, &order, &peers, &config)).collect();
        Self { peers, config, tables }
    }

    /// Who looks for what: lookups to do in turns.
    fn tasks(&self) -> Vec<(u32, KadKey)> {
        let mut rng = Stream::new(purpose_key(1, "lookups"), 0);
        let peers = self.tables.len() as u64;
        ids().iter().map(|id| (rng.below(peers) as u32, KadKey::hash_of(id))).collect()
    }

    /// Whom `of` knows closest to a place.
    fn answer(&self, of: u32, target: &KadKey, except: Option<u32>) -> Vec<(u32, KadKey)> {
        let own = self.peers.key(of);
        let table = &self.tables[of as usize];
        let closest = table.closest(&own, target, self.config.k, except, true, &self.peers);
        closest.into_iter().map(|peer| (peer, self.peers.key(peer))).collect()
    }

    /// Looks up the closest peers; returns who was asked.
    fn lookup(&self, from: u32, target: &KadKey) -> Vec<u32> {
        let seeds = self.answer(from, target, None);
        let mut lookup = ClosestPeers::new(*target, Limits::of(&self.config), seeds);
        let (mut asked, mut on_the_way) = (Vec::new(), VecDeque::new());
        loop {
            match lookup.next(Instant::ZERO) {
                Step::Ask(peer) => {
                    asked.push(peer);
                    on_the_way.push_back(peer);
                }
                Step::Wait => {
                    let peer = on_the_way.pop_front().expect("it waits for somebody");
                    lookup.on_success(&self.peers.key(peer), self.answer(peer, target, Some(from)));
                }
                Step::Late(_) => unreachable!("no time passes"),
                Step::Done => return asked,
            }
        }
    }
}

/// The table of `own` among all peers, given in the order of their keys.
fn table(own: u32, mut order: &[u32], peers: &Peers, config: &Config) -> Table<u32> {
    let mut rng = Stream::new(purpose_key(1, "tables"), own.into());
    let mut table = Table::default();
    let key = peers.key(own);
    for depth in 0..KadKey::BITS {
        if order.len() <= 1 {
            break;
        }
        let bit = |key: &KadKey| key.as_bytes()[depth / 8] >> (7 - depth % 8) & 1;
        let (zeros, ones) = order.split_at(order.partition_point(|peer| bit(&peers.key(*peer)) == 0));
        let (near, far) = if bit(&key) == 0 { (zeros, ones) } else { (ones, zeros) };
        let mut known: BTreeSet<u32> = BTreeSet::new();
        while known.len() < config.k.min(far.len()) {
            known.insert(far[rng.below(far.len() as u64) as usize]);
        }
        for contact in known {
            table.seen(&key, contact, config, peers);
        }
        order = near;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_ask_the_closest_peers() {
        let network = Network::new(1_000);
        for (from, target) in network.tasks() {
            let mut all: Vec<u32> = (0..1_000).filter(|peer| *peer != from).collect();
            all.sort_by_key(|peer| network.peers.key(*peer).distance(&target));
            let asked = network.lookup(from, &target);
            let found = all[..network.config.k].iter().filter(|peer| asked.contains(peer)).count();
            assert_eq!(found, network.config.k, "from {from}");
        }
    }
}
