//! Hostile machines: one file each, one line in `build`.

mod dht_sybil;
mod provider_flood;
mod sybil_flood;

use std::sync::Arc;

pub use dht_sybil::DhtSybil;
pub use provider_flood::ProviderFlood;
pub use sybil_flood::SybilFlood;

use hyperspace_protocol::kad::{Key, Request as Ask, RequestId, Response as Answer};
use hyperspace_protocol::machine::{Context, Output, PeerRef};
use hyperspace_protocol::request::{Request, Response};

use crate::dht::Places;
use crate::host::Adversary;
use crate::message::SimMessage;
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

/// DHT servers that an adversary is connected with and that are not of its crew: at most as many as it has links.
#[derive(Debug)]
struct Victims {
    crew: Arc<Places>,
    open: Vec<(PeerRef, u32)>,
}

impl Victims {
    fn new(crew: &Arc<Places>) -> Self {
        Self { crew: Arc::clone(crew), open: Vec::new() }
    }

    /// Returns whether it is the first one.
    fn connected(&mut self, peer: PeerRef, server: Option<u32>) -> bool {
        let Some(server) = server.filter(|server| !self.crew.serves(*server)) else { return false };
        self.open.push((peer, server));
        self.open.len() == 1
    }

    fn disconnected(&mut self, peer: PeerRef) {
        self.open.retain(|(open, _)| *open != peer);
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        self.open.iter().map(|(_, server)| *server)
    }
}

/// Answers a request for what is stored or who is near with no record and these contacts, and no other request.
fn answer(
    cx: &mut Context<'_, SimMessage>,
    to: u32,
    id: RequestId,
    request: &Request<u32>,
    closest: impl Fn(&Key) -> Vec<u32>,
) {
    let response = match request {
        Request::Dht(Ask::FindNode(key)) => Answer::Nodes { closer: closest(key) },
        Request::Dht(Ask::GetValue(key)) => Answer::Value { record: None, closer: closest(key) },
        Request::Dht(Ask::GetProviders(key)) => {
            Answer::Providers { providers: Vec::new(), closer: closest(key) }
        }
        Request::Dht(Ask::PutValue(_) | Ask::AddProvider { .. }) | Request::Card => return,
    };
    cx.out.push(Output::Respond { to, id, response: Box::new(Response::Dht(response)) });
}
