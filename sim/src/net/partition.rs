//! Partitions on the timeline, and the regions that they and latency tables speak of.

use hyperspace_protocol::time::Instant;

use crate::scenario::{Action, Group, Regions, Scenario, Side};

/// The region of peer `i` of a group (counted within the group).
pub(crate) fn region_of(scenario: &Scenario, group: &Group, i: u32) -> u8 {
    let Some(table) = scenario.network.latency.table() else { return 0 };
    let regions = table.regions().len();
    match &group.regions {
        Regions::One(r) => *r as u8,
        Regions::Table => match table.shares() {
            Some(shares) => by_share(shares, (f64::from(i) + 0.5) / f64::from(group.count)),
            None => (i as usize % regions) as u8,
        },
        Regions::Even => (i as usize % regions) as u8,
    }
}

fn by_share(shares: &[f64], at: f64) -> u8 {
    let mut sum = 0.0;
    for (region, share) in shares.iter().enumerate() {
        sum += share;
        if at < sum {
            return region as u8;
        }
    }
    (shares.len() - 1) as u8
}

#[derive(Debug)]
struct Partition {
    from: Instant,
    until: Instant,
    /// Whether only what goes from side a to side b is cut.
    one_way: bool,
    /// By peer: 1 for side a, 2 for side b, 3 for both, 0 for neither.
    sides: Vec<u8>,
}

/// All partitions of a run.
#[derive(Debug, Default)]
pub(crate) struct Partitions(Vec<Partition>);

impl Partitions {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let build = |action: &Action| {
            let Action::Partition { at, length, a, b, one_way } = action;
            let from = Instant::ZERO + *at;
            let mut sides = vec![0; scenario.peers() as usize];
            for (side, mark, other) in [(a, 1, b), (b, 2, a)] {
                for (peer, marks) in sides.iter_mut().enumerate() {
                    if on_side(scenario, side, other, peer as u32) {
                        *marks |= mark;
                    }
                }
            }
            Partition { from, until: from + *length, one_way: *one_way, sides }
        };
        Self(scenario.timeline.iter().map(build).collect())
    }

    /// Until when nothing passes from `a` to `b`, if that is so at `now`.
    #[inline]
    pub(crate) fn cut_until(&self, now: Instant, a: u32, b: u32) -> Option<Instant> {
        let mut until = None;
        for p in &self.0 {
            let sides = |from: u32, to: u32| p.sides[from as usize] & 1 != 0 && p.sides[to as usize] & 2 != 0;
            if p.from <= now && now < p.until && (sides(a, b) || !p.one_way && sides(b, a)) {
                until = until.max(Some(p.until));
            }
        }
        until
    }

    /// When partitions begin.
    pub(crate) fn starts(&self) -> impl Iterator<Item = Instant> + '_ {
        self.0.iter().map(|p| p.from)
    }
}

fn on_side(scenario: &Scenario, side: &Side, other: &Side, peer: u32) -> bool {
    let (group_index, group, place) = scenario.group_of(peer);
    match side {
        Side::Group(g) => *g == group_index,
        Side::Region(r) => *r == u32::from(region_of(scenario, group, place)),
        Side::Share(share) => f64::from(place) < share * f64::from(group.count),
        Side::Rest => matches!(other, Side::Rest) || !on_side(scenario, other, &Side::Rest, peer),
    }
}
