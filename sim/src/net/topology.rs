//! Who is connected to whom at the start.

use std::collections::BTreeSet;

use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::Duration;

use super::g8::G8;
use crate::scenario::Topology;

/// A link that `from` dials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Given by the topology itself.
    pub(crate) latency: Option<Duration>,
}

/// The links of a topology among `members`, each pair at most once, in a fixed order.
pub(crate) fn edges(topology: &Topology, members: &[u32], seed: u64) -> Vec<Edge> {
    let n = members.len() as u32;
    let by_place: Vec<(u32, u32)> = match topology {
        Topology::KOut(k) => {
            let key = purpose_key(seed, "topology");
            let dials = |i: u32| {
                let mut stream = Stream::new(key, u64::from(members[i as usize]));
                sample_distinct(&mut stream, n, *k, Some(i)).into_iter().map(move |j| (i, j))
            };
            (0..n).flat_map(dials).collect()
        }
        Topology::Ring(k) => (0..n).flat_map(|i| (1..=*k).map(move |s| (i, (i + s) % n))).collect(),
        Topology::Edges(list) => list.clone(),
        Topology::G8 => {
            let links = G8::draw(seed, n, 0).links.into_iter();
            return links.map(|(a, b, l)| Edge { from: a, to: b, latency: Some(l) }).collect();
        }
    };
    let mut met = BTreeSet::new();
    by_place
        .into_iter()
        .filter(|(a, b)| a != b && met.insert((*a.min(b), *a.max(b))))
        .map(|(a, b)| Edge { from: members[a as usize], to: members[b as usize], latency: None })
        .collect()
}

/// `k` distinct numbers below `n`, without `except`, in random order; all there are if that is fewer.
pub(crate) fn sample_distinct(stream: &mut Stream, n: u32, k: u32, except: Option<u32>) -> Vec<u32> {
    let available = n - u32::from(except.is_some_and(|e| e < n));
    if k >= available / 2 {
        let mut all: Vec<u32> = (0..n).filter(|i| Some(*i) != except).collect();
        stream.shuffle(&mut all);
        all.truncate(k as usize);
        return all;
    }
    let mut chosen = Vec::with_capacity(k as usize);
    let mut met = BTreeSet::new();
    while chosen.len() < k as usize {
        let candidate = stream.below(u64::from(n)) as u32;
        if Some(candidate) != except && met.insert(candidate) {
            chosen.push(candidate);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_of_a_k_out_topology_dials_k_distinct_others() {
        let members: Vec<u32> = (100..200).collect();
        let all = edges(&Topology::KOut(20), &members, 1);
        let pairs: BTreeSet<_> = all.iter().map(|e| (e.from.min(e.to), e.from.max(e.to))).collect();
        assert_eq!(pairs.len(), all.len());
        // 2,000 dials, of which 100 * 99 / 2 * (20/99)^2 = 202 pairs twice.
        assert!((1_750..1_850).contains(&all.len()), "{}", all.len());
        assert!(all.iter().all(|e| e.from != e.to && members.contains(&e.to)));
    }

    #[test]
    fn a_ring_closes_and_small_networks_become_complete() {
        let ring = edges(&Topology::Ring(1), &[5, 6, 7], 1);
        let ends: Vec<_> = ring.iter().map(|e| (e.from, e.to)).collect();
        assert_eq!(ends, [(5, 6), (6, 7), (7, 5)]);
        assert_eq!(edges(&Topology::KOut(9), &[1, 2, 3], 1).len(), 3);
    }
}
