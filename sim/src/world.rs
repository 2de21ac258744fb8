//! What is settled about a world before it runs, peer by peer: addresses, regions, lines, relays, sessions and whom each
//! peer dials.

use std::net::{IpAddr, Ipv4Addr};

use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::{Duration, Instant};

use crate::churn::{Session, Sessions, sessions as drawn};
use crate::net::{Edge, RegionTable, region_of};
use crate::scenario::{Behaviour, GroupChurn, Scenario};

/// One peer's fixed facts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) honest: bool,
    /// Whether others can dial it without a relay. Only such peers serve the DHT, as in libp2p.
    pub(crate) reachable: bool,
    pub(crate) region: u8,
    pub(crate) group: u16,
    pub(crate) ip: IpAddr,
    /// When its group starts.
    pub(crate) start: Instant,
}

pub(crate) fn facts(scenario: &Scenario) -> Vec<Facts> {
    let mut facts = Vec::with_capacity(scenario.peers() as usize);
    let mut next_ip = 0u32;
    for (index, group) in scenario.groups.iter().enumerate() {
        let addresses = if group.ips == 0 { group.count } else { group.ips };
        for i in 0..group.count {
            facts.push(Facts {
                honest: group.behaviour == Behaviour::Honest,
                reachable: !group.nat,
                region: region_of(scenario, group, i),
                group: index as u16,
                // Spread, so that neighbouring numbers lie in different networks.
                ip: IpAddr::V4(Ipv4Addr::from_bits((next_ip + i % addresses).reverse_bits())),
                start: Instant::ZERO + group.start,
            });
        }
        next_ip += addresses;
    }
    facts
}

/// Bits per second of a peer's own line, each way; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Lines {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Lines {
    /// What the peer's group says, else what the table of its region says.
    pub(crate) fn of(scenario: &Scenario, peer: u32, facts: &[Facts]) -> Self {
        let facts = &facts[peer as usize];
        let group = &scenario.groups[usize::from(facts.group)];
        let table = scenario.network.latency.table();
        let lines = table.and_then(RegionTable::bandwidth);
        let (up, down) = lines.map_or((0, 0), |lines| lines[usize::from(facts.region)]);
        let or = |mine: u64, regions: u64| if mine > 0 { mine } else { regions };
        Self { up: or(group.upload, up), down: or(group.download, down) }
    }
}

/// When every peer is up; `None` if nobody comes or goes but at the start of its group.
pub(crate) fn sessions(scenario: &Scenario, lookahead: Duration) -> Option<Sessions> {
    if scenario.groups.iter().all(|group| group.churn.is_none()) {
        return None;
    }
    let key = purpose_key(scenario.run.seed, "churn");
    let end = Instant::ZERO + scenario.run.duration;
    let mut all = Sessions::new(0);
    let mut peer = 0u32;
    for group in &scenario.groups {
        let start = Instant::ZERO + group.start;
        for i in 0..group.count {
            match &group.churn {
                None => all.push_always(start),
                Some(GroupChurn::Drawn(churn)) => {
                    let mut draws = Stream::new(key, peer.into());
                    all.push(&drawn(churn, &mut draws, start, end, lookahead));
                }
                Some(GroupChurn::Trace { trace, .. }) => {
                    let shift = |at: Instant| match at {
                        Instant::FAR_FUTURE => at,
                        at => at + group.start,
                    };
                    let ends =
                        |s: &Session| if shift(s.down) >= end { Instant::FAR_FUTURE } else { shift(s.down) };
                    let seen = trace.sessions(i).iter().filter(|s| shift(s.up) < end);
                    let seen: Vec<Session> =
                        seen.map(|s| Session { up: shift(s.up), down: ends(s), crash: s.crash }).collect();
                    all.push(&seen);
                }
            }
            peer += 1;
        }
    }
    Some(all)
}

/// The relay of each peer behind a NAT: one at random that has a reservation left after a few tries. Empty in a world
/// without NATs.
pub(crate) fn relays(scenario: &Scenario, facts: &[Facts]) -> Vec<Option<u32>> {
    const TRIES: u32 = 8;
    if scenario.groups.iter().all(|group| !group.nat) {
        return Vec::new();
    }
    let group_of = |peer: u32| &scenario.groups[usize::from(facts[peer as usize].group)];
    let willing: Vec<u32> = (0..scenario.peers()).filter(|peer| group_of(*peer).relay).collect();
    let mut reserved = vec![0; willing.len()];
    let key = purpose_key(scenario.run.seed, "relays");
    let reserve = |peer: u32| {
        if facts[peer as usize].reachable || willing.is_empty() {
            return None;
        }
        let mut draws = Stream::new(key, peer.into());
        for _ in 0..TRIES {
            let place = draws.below(willing.len() as u64) as usize;
            if reserved[place] < scenario.network.relay_reservations {
                reserved[place] += 1;
                return Some(willing[place]);
            }
        }
        None
    };
    (0..scenario.peers()).map(reserve).collect()
}

/// Whom each peer dials when it comes up, by the topology, and who takes part in that.
#[derive(Debug, Default)]
pub(crate) struct OutEdges {
    pub(crate) members: Vec<u32>,
    offsets: Vec<u32>,
    targets: Vec<u32>,
}

impl OutEdges {
    pub(crate) fn new(scenario: &Scenario, topology: &[Edge]) -> Self {
        let mut dials: Vec<(u32, u32)> = topology.iter().map(|edge| (edge.from, edge.to)).collect();
        let mut offsets = vec![0u32; scenario.peers() as usize + 1];
        for (from, _) in &dials {
            offsets[*from as usize + 1] += 1;
        }
        // Whoever dials nobody knows those who dial it.
        let back = topology.iter().filter(|edge| offsets[edge.to as usize + 1] == 0);
        let back: Vec<(u32, u32)> = back.map(|edge| (edge.to, edge.from)).collect();
        for (from, _) in &back {
            offsets[*from as usize + 1] += 1;
        }
        dials.extend(back);
        for peer in 1..offsets.len() {
            offsets[peer] += offsets[peer - 1];
        }
        let mut next = offsets.clone();
        let mut targets = vec![0; dials.len()];
        for (from, to) in dials {
            targets[next[from as usize] as usize] = to;
            next[from as usize] += 1;
        }
        Self { members: scenario.members(), offsets, targets }
    }

    /// Whom a peer dials.
    pub(crate) fn of(&self, peer: u32) -> &[u32] {
        let at = peer as usize;
        match self.offsets.get(at..at + 2) {
            Some([from, to]) => &self.targets[*from as usize..*to as usize],
            Some(_) | None => &[],
        }
    }
}
