//! The shape of a network: in how many pieces it is, how far apart peers are, which peers and links hold it together.
//!
//! [`Graph::of`] is a pure function of who is up and who is linked to whom; a simulation calls it on its links or on
//! the meshes of a topic. Time and memory grow with peers and links, except for the diameter, whose search is bounded
//! by [`EFFORT`].

use petgraph::Undirected;
use petgraph::algo::articulation_points::articulation_points;
use petgraph::algo::bridges;
use petgraph::csr::Csr;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use serde::Serialize;

/// Steps of the search for the diameter, a step being one look of one peer at one neighbour on behalf of up to 128
/// others. Our choice: about a second. It suffices if peers / 128 * (diameter + 1) * (peers + 2 * links) is less, as in
/// a random graph of 15,000 peers with 20 links each, and far beyond that where a few peers are in the middle of all
/// paths. A search that it cannot suffice for is given up after the first 128 peers.
pub const EFFORT: u64 = 1 << 28;

/// Peers whose distances are found in one pass.
const AT_ONCE: usize = u128::BITS as usize;

/// An undirected graph of peers in numbers. Counts are of peers that are up and links between two such peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Graph {
    /// Peers that are up.
    pub vertices: u64,
    /// Distinct links between them.
    pub links: u64,
    /// Mean number of links of a peer; 0 without peers.
    pub degree_mean: f64,
    /// Pieces without a link between them; a peer without links is one.
    pub components: u64,
    /// Share of the peers that are in the largest piece, in [0, 1]; 0 without peers.
    pub largest_share: f64,
    /// Links between the two peers farthest apart in the largest piece (the first of several by peer number).
    pub diameter: u64,
    /// Whether `diameter` is certain. If not, the search was cut off, and it is a lower bound.
    pub diameter_is_exact: bool,
    /// Peers whose loss splits a piece (articulation points).
    pub cut_peers: u64,
    /// Links whose loss splits a piece (bridges).
    pub cut_links: u64,
}

impl Graph {
    /// Measures the graph of the peers for which `up` holds and the `links` between them.
    ///
    /// Links count once, whichever way round and however often they are given. Those of a peer with itself, or with one
    /// that is down or not in `up`, are left out.
    pub fn of(up: &[bool], links: &[(u32, u32)]) -> Self {
        let network = network(up, links);
        let vertices = network.node_count();
        let mut search = Search::new(&network);
        let (mut components, mut largest, mut first) = (0, 0, 0);
        for start in 0..vertices as u32 {
            if !search.has_met(start) {
                search.order.clear();
                search.explore(start);
                components += 1;
                if search.order.len() > largest {
                    (largest, first) = (search.order.len(), start);
                }
            }
        }
        let (diameter, diameter_is_exact) =
            if vertices == 0 { (0, true) } else { search.diameter(first, EFFORT) };
        // Both ends list a link.
        let links = network.edge_references().count() as u64 / 2;
        let share = |part: u64| if vertices == 0 { 0.0 } else { part as f64 / vertices as f64 };
        Self {
            vertices: vertices as u64,
            links,
            degree_mean: share(2 * links),
            components,
            largest_share: share(largest as u64),
            diameter: diameter.into(),
            diameter_is_exact,
            cut_peers: articulation_points(&network).len() as u64,
            cut_links: bridges(&network).filter(|link| link.source() < link.target()).count() as u64,
        }
    }
}

type Network = Csr<(), (), Undirected, u32>;

/// The peers that are up, numbered anew, with sorted lists of neighbours.
fn network(up: &[bool], links: &[(u32, u32)]) -> Network {
    let mut numbers = vec![None; up.len()];
    let mut count = 0;
    for (number, _) in numbers.iter_mut().zip(up).filter(|(_, up)| **up) {
        *number = Some(count);
        count += 1;
    }
    let number = |peer: u32| *numbers.get(peer as usize)?;
    let mut ends: Vec<(u32, u32)> = links
        .iter()
        .filter_map(|(a, b)| Some((number(*a)?, number(*b)?)))
        .filter(|(a, b)| a != b)
        .flat_map(|(a, b)| [(a, b), (b, a)])
        .collect();
    ends.sort_unstable();
    ends.dedup();
    let mut network = Network::from_sorted_edges(&ends).expect("sorted and distinct");
    while network.node_count() < count as usize {
        network.add_node(());
    }
    network
}

/// Breadth-first searches of one network.
struct Search<'a> {
    network: &'a Network,
    /// Distance from where the search began.
    distance: Vec<u32>,
    /// Vertices met, nearest first.
    order: Vec<u32>,
}

const NOT_MET: u32 = u32::MAX;

impl<'a> Search<'a> {
    fn new(network: &'a Network) -> Self {
        Self { network, distance: vec![NOT_MET; network.node_count()], order: Vec::new() }
    }

    fn has_met(&self, vertex: u32) -> bool {
        self.distance[vertex as usize] != NOT_MET
    }

    /// Adds a piece that was not met before.
    fn explore(&mut self, start: u32) {
        let mut next = self.order.len();
        self.distance[start as usize] = 0;
        self.order.push(start);
        while let Some(vertex) = self.order.get(next).copied() {
            next += 1;
            for neighbour in self.network.neighbors_slice(vertex) {
                if self.distance[*neighbour as usize] == NOT_MET {
                    self.distance[*neighbour as usize] = self.distance[vertex as usize] + 1;
                    self.order.push(*neighbour);
                }
            }
        }
    }

    /// Finds all distances from `start`; returns the vertex farthest away and its distance.
    fn from(&mut self, start: u32) -> (u32, u32) {
        self.distance.fill(NOT_MET);
        self.order.clear();
        self.explore(start);
        let last = self.order[self.order.len() - 1];
        (last, self.distance[last as usize])
    }

    /// The vertex half way between `end` and where the search began.
    fn half_way(&self, end: u32) -> u32 {
        let mut at = end;
        for _ in 0..self.distance[end as usize] / 2 {
            let nearer = |v: &&u32| self.distance[**v as usize] < self.distance[at as usize];
            at = *self.network.neighbors_slice(at).iter().find(nearer).expect("a search came from somewhere");
        }
        at
    }

    /// The diameter of the piece that `start` is in, and whether it is certain (iFUB, Crescenzi and others 2013).
    ///
    /// Two double sweeps find a lower bound and a vertex in the middle. Of the others, those farthest from the middle
    /// are looked at first: two that are both within a radius of it are at most twice that apart.
    fn diameter(&mut self, start: u32, mut effort: u64) -> (u32, bool) {
        let (mut middle, mut longest) = (start, 0);
        for _ in 0..2 {
            let (one_end, _) = self.from(middle);
            let (other_end, apart) = self.from(one_end);
            longest = longest.max(apart);
            middle = self.half_way(other_end);
        }
        self.from(middle);
        let pass = self.order.iter().map(|v| self.steps(*v)).sum::<u64>();
        let mut rest = &self.order[..];
        loop {
            let settled = rest.partition_point(|v| 2 * self.distance[*v as usize] <= longest);
            let open = rest.len() - settled;
            if open == 0 {
                return (longest, true);
            }
            let looked_at = rest.len() < self.order.len();
            if looked_at && open.div_ceil(AT_ONCE) as u64 * pass > effort {
                return (longest, false);
            }
            let (others, sources) = rest.split_at(rest.len().saturating_sub(AT_ONCE));
            let (reach, steps) = self.reach(sources);
            longest = longest.max(reach);
            effort = effort.saturating_sub(steps);
            rest = others;
        }
    }

    /// What it takes to look at a vertex and its neighbours.
    fn steps(&self, vertex: u32) -> u64 {
        1 + self.network.out_degree(vertex) as u64
    }

    /// The longest distance from any of `sources`, at most [`AT_ONCE`], and the steps that took: a bit for each of them
    /// travels from vertex to vertex, one link a round.
    fn reach(&self, sources: &[u32]) -> (u32, u64) {
        let mut near = vec![0u128; self.distance.len()];
        let mut new = near.clone();
        let mut next = near.clone();
        let (mut active, mut woken) = (sources.to_vec(), Vec::new());
        for (bit, source) in sources.iter().enumerate() {
            new[*source as usize] = 1 << bit;
        }
        let (mut rounds, mut steps) = (0, 0);
        loop {
            for vertex in &active {
                near[*vertex as usize] |= new[*vertex as usize];
            }
            for vertex in active.drain(..) {
                let bits = std::mem::take(&mut new[vertex as usize]);
                for neighbour in self.network.neighbors_slice(vertex) {
                    let fresh = bits & !near[*neighbour as usize];
                    if fresh != 0 {
                        let waiting = &mut next[*neighbour as usize];
                        if *waiting == 0 {
                            woken.push(*neighbour);
                        }
                        *waiting |= fresh;
                    }
                }
                steps += self.steps(vertex);
            }
            if woken.is_empty() {
                return (rounds, steps);
            }
            rounds += 1;
            std::mem::swap(&mut new, &mut next);
            std::mem::swap(&mut active, &mut woken);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn graph(n: usize, links: &[(u32, u32)]) -> Graph {
        Graph::of(&vec![true; n], links)
    }

    fn path(n: u32) -> Vec<(u32, u32)> {
        (1..n).map(|i| (i - 1, i)).collect()
    }

    fn ring(n: u32) -> Vec<(u32, u32)> {
        (0..n).map(|i| (i, (i + 1) % n)).collect()
    }

    fn whole(vertices: u64, links: u64, diameter: u64) -> Graph {
        Graph {
            vertices,
            links,
            degree_mean: 2.0 * links as f64 / vertices as f64,
            components: 1,
            largest_share: 1.0,
            diameter,
            diameter_is_exact: true,
            ..Graph::default()
        }
    }

    #[test]
    fn known_graphs_measure_as_they_should() {
        let nothing = Graph { diameter_is_exact: true, ..Graph::default() };
        assert_eq!(graph(0, &[]), nothing);
        assert_eq!(graph(1, &[]), whole(1, 0, 0));
        assert_eq!(graph(9, &path(9)), Graph { cut_peers: 7, cut_links: 8, ..whole(9, 8, 8) });
        assert_eq!(graph(9, &ring(9)), whole(9, 9, 4));
        assert_eq!(graph(1_000, &ring(1_000)), whole(1_000, 1_000, 500));
        let star: Vec<_> = (1..9).map(|i| (0, i)).collect();
        assert_eq!(graph(9, &star), Graph { cut_peers: 1, cut_links: 8, ..whole(9, 8, 2) });
        let clique = |from: u32| (from..from + 5).flat_map(move |a| (from..a).map(move |b| (a, b)));
        let two: Vec<_> = clique(0).chain(clique(5)).chain([(2, 7)]).collect();
        assert_eq!(graph(10, &two), Graph { cut_peers: 2, cut_links: 1, ..whole(10, 21, 3) });
    }

    #[test]
    fn pieces_are_told_apart() {
        let links = [(0, 1), (3, 4), (4, 5), (5, 3), (5, 6)];
        let expected = Graph {
            vertices: 8,
            links: 5,
            degree_mean: 1.25,
            components: 4,
            largest_share: 0.5,
            diameter: 2,
            diameter_is_exact: true,
            cut_peers: 1,
            cut_links: 2,
        };
        assert_eq!(graph(8, &links), expected);
    }

    #[test]
    fn what_is_no_link_between_two_peers_that_are_up_is_left_out() {
        let up = [true, true, false, true];
        let links = [(0, 1), (1, 0), (0, 1), (1, 1), (1, 2), (2, 3), (3, 9), (u32::MAX, 0), (3, 1)];
        assert_eq!(Graph::of(&up, &links), graph(3, &path(3)));
    }

    #[test]
    fn a_search_that_is_cut_off_says_so_and_gives_a_lower_bound() {
        // In a ring no peer is in the middle.
        let network = network(&[true; 1_001], &ring(1_001));
        assert_eq!(Search::new(&network).diameter(0, EFFORT), (500, true));
        assert_eq!(Search::new(&network).diameter(0, 10_000), (500, false));
    }

    #[test]
    fn a_long_path_takes_no_deep_stack() {
        let n = 300_000;
        let expected = whole(n, n - 1, n - 1);
        assert_eq!(
            graph(n as usize, &path(n as u32)),
            Graph { cut_peers: n - 2, cut_links: n - 1, ..expected }
        );
    }

    /// Distances by Floyd and Warshall; `None` without a path.
    fn distances(n: usize, links: &[(u32, u32)]) -> Vec<Vec<Option<u64>>> {
        let mut d = vec![vec![None; n]; n];
        for (a, b) in links {
            d[*a as usize][*b as usize] = Some(1);
            d[*b as usize][*a as usize] = Some(1);
        }
        for (i, row) in d.iter_mut().enumerate() {
            row[i] = Some(0);
        }
        for via in 0..n {
            for a in 0..n {
                for b in 0..n {
                    if let (Some(x), Some(y)) = (d[a][via], d[via][b]) {
                        d[a][b] = Some(d[a][b].map_or(x + y, |z: u64| z.min(x + y)));
                    }
                }
            }
        }
        d
    }

    /// The pieces among `members`, each once, ordered by their first vertex.
    fn pieces(d: &[Vec<Option<u64>>], members: &[usize]) -> Vec<Vec<usize>> {
        let of = |a: usize| members.iter().copied().filter(|b| d[a][*b].is_some()).collect::<Vec<_>>();
        members
            .iter()
            .map(|a| of(*a))
            .enumerate()
            .filter(|(i, p)| p[0] == members[*i])
            .map(|(_, p)| p)
            .collect()
    }

    fn naive(n: usize, links: &[(u32, u32)]) -> Graph {
        let mut links: Vec<_> =
            links.iter().filter(|(a, b)| a != b).map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        links.sort_unstable();
        links.dedup();
        let all: Vec<usize> = (0..n).collect();
        let d = distances(n, &links);
        let found = pieces(&d, &all);
        let size = found.iter().map(Vec::len).max().unwrap_or(0);
        let largest = found.iter().find(|p| p.len() == size).expect("there are vertices");
        let splits_without_peer = |v: usize| {
            let rest: Vec<_> =
                links.iter().filter(|(a, b)| *a as usize != v && *b as usize != v).copied().collect();
            let others: Vec<usize> = all.iter().copied().filter(|o| *o != v).collect();
            pieces(&distances(n, &rest), &others).len() > found.len()
        };
        let splits_without_link = |link: &(u32, u32)| {
            let rest: Vec<_> = links.iter().filter(|l| *l != link).copied().collect();
            pieces(&distances(n, &rest), &all).len() > found.len()
        };
        Graph {
            vertices: n as u64,
            links: links.len() as u64,
            degree_mean: 2.0 * links.len() as f64 / n as f64,
            components: found.len() as u64,
            largest_share: size as f64 / n as f64,
            diameter: largest
                .iter()
                .flat_map(|a| largest.iter().filter_map(|b| d[*a][*b]))
                .max()
                .expect("not empty"),
            diameter_is_exact: true,
            cut_peers: all.iter().filter(|v| splits_without_peer(**v)).count() as u64,
            cut_links: links.iter().filter(|l| splits_without_link(l)).count() as u64,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definitions(
            (n, links) in (1u32..14).prop_flat_map(|n| (Just(n), vec((0..n, 0..n), 0..24)))
        ) {
            prop_assert_eq!(graph(n as usize, &links), naive(n as usize, &links));
        }

        /// Enough vertices for several passes of the search for the diameter.
        #[test]
        fn the_diameter_is_that_of_all_searches(links in vec((0u32..300, 0u32..300), 280..900)) {
            let network = network(&[true; 300], &links);
            let mut search = Search::new(&network);
            let (_, found) = (search.from(0), search.order.clone());
            let expected = found.iter().map(|v| search.from(*v).1).max().expect("not empty");
            prop_assert_eq!(search.diameter(0, EFFORT), (expected, true));
        }
    }
}
