//! Hostile machines: one file each, one line in `build`.

mod sybil_flood;

pub use sybil_flood::SybilFlood;

use crate::lane::Adversary;
use crate::scenario::Behaviour;

/// The machine of a behaviour; `None` for the honest protocol.
pub(crate) fn build(behaviour: Behaviour) -> Option<Adversary> {
    match behaviour {
        Behaviour::Honest => None,
        Behaviour::SybilFlood => Some(Box::new(SybilFlood::default())),
    }
}
