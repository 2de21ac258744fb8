//! Published results that the implementation must reproduce: rows A10, A11 and A12 of the evidence table.

use super::super::testing::{Peers, Perfect};
use super::super::{Config, KadKey, Limits, Lookup, Services, Step, Table};
use crate::rng::{Stream, purpose_key};
use crate::time::Instant;

/// A10: with N peers offered, bucket `i` of a table expects N / 2^(i+1) contacts, and holds no more than `k`. All
/// tables of four networks, so that the rarest bucket looked at has 8,000 contacts in all.
#[test]
fn buckets_of_a_table_hold_what_they_are_expected_to() {
    const N: u32 = 2048;
    const NETWORKS: u32 = 4;
    let config = Config { k: 20, waiting_max: 0, ..Config::spec() };
    let mut sizes = [0u32; KadKey::BITS];
    let mut full = [0u32; KadKey::BITS];
    for network in 0..NETWORKS {
        let peers = Peers::new(N, network.into());
        for own in 0..N {
            let (mut table, key) = (Table::default(), peers.key(own));
            for other in 0..N {
                table.seen(&key, other, &config, &peers);
            }
            for bucket in table.buckets() {
                sizes[bucket.depth] += bucket.contacts.len() as u32;
                full[bucket.depth] += u32::from(bucket.contacts.len() == 20);
            }
        }
    }
    for depth in 0..=10 {
        // The others fall into this bucket independently, each with p = 2^-(depth+1): a binomial, cut off at 20.
        let p = 1.0 / f64::from(2u32 << depth);
        let mut probability = power(1.0 - p, N as usize - 1);
        let (mut below, mut expected) = (0.0, 0.0);
        for size in 0..20u32 {
            below += probability;
            expected += probability * f64::from(size);
            probability *= f64::from(N - 1 - size) / f64::from(size + 1) * p / (1.0 - p);
        }
        expected += 20.0 * (1.0 - below);
        let mean = f64::from(sizes[depth]) / f64::from(N * NETWORKS);
        let plain = f64::from(N) * p;
        println!("bucket {depth}: {mean:.3}, expected {expected:.3}, plainly {plain:.3}");
        assert!((mean / expected - 1.0).abs() < 0.03, "bucket {depth}: {mean:.3}, expected {expected:.3}");
        if depth <= 4 {
            assert_eq!(full[depth], N * NETWORKS, "bucket {depth} expects {plain} contacts");
        } else if depth >= 7 {
            // The cut-off is out of reach: the plain N / 2^(i+1).
            assert!((mean / plain - 1.0).abs() < 0.03, "bucket {depth}: {mean:.3}, plainly {plain:.3}");
        }
    }
}

/// Mean length of the chain of referrals to a random peer in a network of perfect tables, over 400 lookups, all of
/// which must find it.
fn mean_hops(n: u32, k: usize) -> f64 {
    let config = Config { k, beta: k, alpha: 3, alpha_stalled: 3, ..Config::spec() };
    let net = Perfect::new(n, 7, config);
    let mut rng = Stream::new(purpose_key(1, "lookups"), 0);
    let lookups = 400;
    let mut hops = 0;
    for _ in 0..lookups {
        let (from, to) = (rng.below(n.into()) as u32, rng.below(n.into()) as u32);
        let path = net.lookup(from, net.peers.key(to));
        let found = path.closest().next().expect("somebody answered");
        assert!(found.contact == to || from == to, "{from} did not find {to}");
        hops += found.hops;
    }
    f64::from(hops) / f64::from(lookups)
}

/// A11: the idealised network of evidence section 4, and the law of Stutzbach and Rejaie (INFOCOM 2006) by which each
/// step gains 1.3327 + log2 k bits.
#[test]
fn lookups_take_as_many_hops_as_published() {
    let rows = [
        (1_000, 8, 2.27, 2.30),
        (10_000, 8, 2.93, 3.07),
        (100_000, 8, 3.55, 3.83),
        (1_000, 20, 1.91, 1.76),
        (10_000, 20, 2.41, 2.35),
        (100_000, 20, 2.87, 2.94),
    ];
    for (n, k, simulated, law) in rows {
        let hops = mean_hops(n, k);
        println!("N={n} k={k}: {hops:.3} hops, evidence {simulated}, law {law}");
        assert!((hops - simulated).abs() <= 0.25, "N={n} k={k}: {hops}, evidence {simulated}");
        assert!((hops - law).abs() <= 0.35, "N={n} k={k}: {hops}, law {law}");
    }
}

/// What liars do in the network of [`Attacked`].
struct Attacked<'a> {
    net: &'a Perfect,
    /// Whether a peer lies, by a number drawn for it.
    liars: &'a dyn Fn(u32) -> bool,
}

/// Invented peers have numbers from here on, and lie as close to the target as nobody honest.
const INVENTED: u32 = 1 << 31;

impl Attacked<'_> {
    fn key(&self, contact: u32, to: &KadKey) -> KadKey {
        if contact < INVENTED {
            return self.net.peers.key(contact);
        }
        let mut bytes = *to.as_bytes();
        for (byte, flip) in bytes[28..].iter_mut().zip(contact.to_be_bytes()) {
            *byte ^= flip;
        }
        KadKey::from_bytes(bytes)
    }

    /// Runs a lookup of one request at a time per path; returns whether the honest peer closest to `to` was named to us.
    fn finds(&self, paths: usize, from: u32, to: KadKey, wanted: u32) -> bool {
        let k = self.net.config.k;
        let limits = Limits { alpha: 1, alpha_stalled: 1, ..Limits::of(&self.net.config) };
        let seeds = self.net.answer(from, &to, None);
        if seeds.iter().any(|(c, _)| *c == wanted) {
            return true;
        }
        let mut lookup = Lookup::new(to, paths, limits, &seeds);
        loop {
            match lookup.next(Instant::ZERO, |c| self.key(c, &to)) {
                Step::Ask(contact) => {
                    let lies = contact >= INVENTED || (self.liars)(contact);
                    let named = if lies {
                        (0..k as u32).map(|i| (INVENTED | i, self.key(INVENTED | i, &to))).collect()
                    } else {
                        self.net.answer(contact, &to, Some(from))
                    };
                    if named.iter().any(|(c, _)| *c == wanted) {
                        return true;
                    }
                    lookup.on_success(&self.key(contact, &to), named);
                }
                Step::Done => return false,
                Step::Wait | Step::Late(_) => panic!("every question is answered at once"),
            }
        }
    }

    /// Peers asked one after another until one names `wanted`, in a network without liars.
    fn length(net: &Perfect, from: u32, to: KadKey, wanted: u32) -> usize {
        let mut length = 0;
        let mut known = net.answer(from, &to, None);
        let mut asked = Vec::new();
        while !known.iter().any(|(c, _)| *c == wanted) {
            let next = known.iter().find(|(c, _)| !asked.contains(c)).expect("it is found in the end").0;
            asked.push(next);
            known.extend(net.answer(next, &to, Some(from)));
            known.sort_by_key(|(_, key)| key.distance(&to));
            known.dedup();
            length += 1;
        }
        length
    }
}

/// `x` to the power of `n`.
fn power(x: f64, n: usize) -> f64 {
    (0..n).fold(1.0, |product, _| product * x)
}

/// A12: P = sum h_i (1 - (1 - (1 - m)^i)^d) for the measured histogram h of path lengths (S/Kademlia). "Independent":
/// each of the `d` paths meets its own draw of liars, as the formula assumes. A liar names only invented peers closer
/// than anybody, so a path that meets one is lost.
#[test]
fn paths_survive_liars_as_s_kademlia_s_formula_says() {
    let config = Config { k: 8, beta: 8, ..Config::spec() };
    let net = Perfect::new(2_000, 11, config);
    let mut rng = Stream::new(purpose_key(1, "pairs"), 0);
    let pairs: Vec<_> = (0..1_500)
        .map(|_| {
            let from = rng.below(2_000) as u32;
            let to = KadKey::hash_of(&rng.next_u64().to_be_bytes());
            (from, to, net.peers.closest(&to, 1, from)[0])
        })
        .collect();
    let lengths: Vec<_> = pairs.iter().map(|(from, to, w)| Attacked::length(&net, *from, *to, *w)).collect();
    let mut table = String::new();
    for m in [0.05, 0.1, 0.2, 0.3, 0.5] {
        let mut last = 0.0;
        for d in [1, 2, 4, 8] {
            let draw = |peer: u32, trial: usize| {
                Stream::new(purpose_key(trial as u64, "liars"), peer.into()).chance(m)
            };
            let mut found = 0;
            for (i, (from, to, wanted)) in pairs.iter().enumerate() {
                let survives = |path: usize| {
                    let liars = |peer| draw(peer, i * 8 + path);
                    Attacked { net: &net, liars: &liars }.finds(1, *from, *to, *wanted)
                };
                found += u32::from((0..d).any(survives));
            }
            let measured = f64::from(found) / pairs.len() as f64;
            let lost = |i: &usize| power(1.0 - power(1.0 - m, *i), d);
            let formula = lengths.iter().map(|i| 1.0 - lost(i)).sum::<f64>() / pairs.len() as f64;
            assert!((measured - formula).abs() <= 0.02, "m={m} d={d}: {measured:.3}, formula {formula:.3}");

            // The real thing: disjoint paths through one draw of liars, from seeds that are dealt out.
            let liars = |peer| draw(peer, usize::MAX);
            let attacked = Attacked { net: &net, liars: &liars };
            let real = pairs.iter().filter(|(f, t, w)| attacked.finds(d, *f, *t, *w)).count();
            let real = real as f64 / pairs.len() as f64;
            table += &format!(
                "m={m} d={d}: independent {measured:.3}, formula {formula:.3}, disjoint {real:.3}\n"
            );
            assert!(real >= last - 0.02, "more paths must not do worse:\n{table}");
            last = real;
        }
    }
    println!("{table}");
}
