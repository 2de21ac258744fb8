//! Engines: in which order lanes run. The order that a single peer sees is the contract of `crate::event`; everything
//! else is an engine's own business, and no result depends on it.

mod oracle;
mod ring;
mod window;

pub(crate) use oracle::Oracle;
pub(crate) use window::Windows;

use hyperspace_protocol::time::Instant;

use crate::event::Event;
use crate::lane::Lane;
use crate::shared::Shared;

/// Tells how far a run has come: virtual time, events and first deliveries so far.
pub(crate) type Tick<'a> = &'a mut dyn FnMut(Instant, u64, u64);

/// What the world needs from an engine.
pub(crate) trait Engine<P> {
    /// Adds events that come from outside the lanes.
    fn schedule(&mut self, events: Vec<Event>);
    /// Carries out everything before `until`.
    fn advance(&mut self, shared: &Shared, until: Instant, tick: Tick<'_>);
    /// Events under way.
    fn pending(&mut self) -> usize;
    /// Calls `each` with every lane in order, and where its events go.
    fn each_lane(&mut self, each: &mut dyn FnMut(&mut Lane<P>, &mut Vec<Event>));
}
