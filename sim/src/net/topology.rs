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
    let stream = |i: u32| Stream::new(purpose_key(seed, "topology"), u64::from(members[i as usize]));
    let by_place: Vec<(u32, u32)> = match topology {
        Topology::None => Vec::new(),
        Topology::KOut(k) => {
            let dials =
                |i: u32| sample_distinct(&mut stream(i), n, *k, Some(i)).into_iter().map(move |j| (i, j));
            (0..n).flat_map(dials).collect()
        }
        Topology::Ring(k) => (0..n).flat_map(|i| (1..=*k).map(move |s| (i, (i + s) % n))).collect(),
        Topology::SmallWorld(k, share) => {
            let dials = |i: u32| {
                let mut stream = stream(i);
                let ends = (1..=*k).map(|step| {
                    let astray = stream.chance(*share);
                    let random = stream.below(u64::from(n)) as u32;
                    (i, if astray { random } else { (i + step) % n })
                });
                ends.collect::<Vec<_>>()
            };
            (0..n).flat_map(dials).collect()
        }
        Topology::ScaleFree(m) => by_degree(n, *m, stream),
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

/// Peers that come one by one, each dialling `m` of those before it in proportion to their degree.
fn by_degree(n: u32, m: u32, stream: impl Fn(u32) -> Stream) -> Vec<(u32, u32)> {
    let first = (m + 1).min(n);
    let mut links: Vec<(u32, u32)> = (0..first).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    // Every peer once per link of its own: a uniform draw from it is one by degree.
    let mut ends: Vec<u32> = links.iter().flat_map(|(a, b)| [*a, *b]).collect();
    for peer in first..n {
        let mut stream = stream(peer);
        let mut chosen = BTreeSet::new();
        while chosen.len() < m as usize {
            chosen.insert(ends[stream.below(ends.len() as u64) as usize]);
        }
        for other in chosen {
            links.push((peer, other));
            ends.extend([peer, other]);
        }
    }
    links
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

    fn degrees(all: &[Edge], n: u32) -> Vec<usize> {
        (0..n).map(|p| all.iter().filter(|e| e.from == p || e.to == p).count()).collect()
    }

    #[test]
    fn a_small_world_is_a_ring_with_some_links_led_astray() {
        let members: Vec<u32> = (0..500).collect();
        let ring = edges(&Topology::Ring(4), &members, 1);
        assert_eq!(edges(&Topology::SmallWorld(4, 0.0), &members, 1), ring);
        let world = edges(&Topology::SmallWorld(4, 0.1), &members, 1);
        let astray = world.iter().filter(|e| !ring.contains(e)).count();
        // Binomial(2,000, 10 %), less the few that meet a link that is there: sd 13.
        assert!((150..240).contains(&astray), "{astray}");
        assert!(world.len() > 1_980);
    }

    #[test]
    fn a_scale_free_network_has_hubs() {
        let members: Vec<u32> = (0..1_000).collect();
        let all = edges(&Topology::ScaleFree(5), &members, 1);
        assert_eq!(all.len(), 15 + 994 * 5);
        let mut degrees = degrees(&all, 1_000);
        degrees.sort_unstable();
        assert_eq!(degrees[0], 5);
        // Degree distribution k^-3: the median stays near m, the largest grows with the square root of n.
        assert!(degrees[500] <= 8 && degrees[999] > 80, "{} {}", degrees[500], degrees[999]);
        assert_eq!(edges(&Topology::ScaleFree(5), &members[..3], 1).len(), 3);
    }

    #[test]
    fn a_ring_closes_and_small_networks_become_complete() {
        let ring = edges(&Topology::Ring(1), &[5, 6, 7], 1);
        let ends: Vec<_> = ring.iter().map(|e| (e.from, e.to)).collect();
        assert_eq!(ends, [(5, 6), (6, 7), (7, 5)]);
        assert_eq!(edges(&Topology::KOut(9), &[1, 2, 3], 1).len(), 3);
    }
}
