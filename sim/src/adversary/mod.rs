//! Hostile machines: one file each, one line in `build`.

mod dht;
mod dht_sybil;
mod provider_flood;
mod sybil_flood;

use std::sync::Arc;

pub use dht::{Attack, DhtAdversary};
pub use dht_sybil::{DhtSybil, LeadAstray};
pub use provider_flood::{Flood, ProviderFlood};
pub use sybil_flood::SybilFlood;

use crate::dht::Places;
use crate::host::Adversary;
use crate::scenario::{Behaviour, Scenario};
use crate::shared::Shared;

/// The machine of a behaviour, in a group with this crew; `None` for the honest protocol.
pub(crate) fn build(behaviour: Behaviour, crew: &Arc<Places>) -> Option<Adversary> {
    match behaviour {
        Behaviour::Honest => None,
        Behaviour::SybilFlood => Some(Box::new(SybilFlood::default())),
        Behaviour::DhtSybil => Some(Box::new(DhtSybil::new(crew))),
        Behaviour::ProviderFlood => Some(Box::new(ProviderFlood::new(crew))),
    }
}

/// Of each group the DHT servers in it, which know each other if they are adversaries. Empty for honest groups.
pub(crate) fn crews(scenario: &Scenario, shared: &Shared) -> Vec<Arc<Places>> {
    let crew = |index: usize| match scenario.groups[index].behaviour {
        Behaviour::Honest => Arc::default(),
        Behaviour::SybilFlood | Behaviour::DhtSybil | Behaviour::ProviderFlood => {
            Arc::new(shared.dht.only(|peer| usize::from(shared.facts[peer as usize].group) == index))
        }
    };
    (0..scenario.groups.len()).map(crew).collect()
}
