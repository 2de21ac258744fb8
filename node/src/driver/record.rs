//! Two hooks around the machine: what it was told and did can be recorded and played again, and what it did can be written
//! down before anybody sees it.

use futures::FutureExt;
use futures::future::BoxFuture;
use hyperspace_protocol::config::Config;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::{Context, Counted, Input, Machine, Output};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::{Instant, UnixMillis};

use crate::message::NodeMessage;
use crate::services::NodeServices;

/// What a machine was made with, besides what it is told later.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// This peer.
    pub own: PeerId,
    /// The seed of its random numbers.
    pub seed: u64,
    /// Its settings.
    pub config: Config,
}

/// One call of the machine, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The driver's clock.
    pub now: Instant,
    /// The wall clock.
    pub unix: UnixMillis,
    /// What it was told; `None` for a timeout.
    pub input: Option<&'a Input<NodeMessage>>,
    /// What it wants done.
    pub outputs: &'a [Output<NodeMessage>],
}

/// Sees every call of the machine, in order.
pub trait Recorder: Send {
    /// The machine is there. `services` are those that it will use.
    fn begin(&mut self, beginning: &Beginning, services: &std::sync::Arc<NodeServices>);
    /// It was called.
    fn call(&mut self, call: &Call<'_>);
}

/// A machine with all that has to be lent to it but the clock: the node's own, or one that plays a record.
#[derive(Debug)]
pub struct Driven {
    /// The machine.
    pub machine: Peer<NodeMessage>,
    /// What it dropped.
    pub counted: Counted,
    beginning: Beginning,
    rng: Stream,
}

impl Driven {
    /// A machine at its beginning; tell it [`Input::Start`] first.
    pub fn new(beginning: Beginning) -> Self {
        let rng = Stream::new(purpose_key(beginning.seed, "protocol"), 0);
        Self { machine: Peer::default(), counted: Counted::default(), beginning, rng }
    }

    /// Its settings.
    pub const fn config(&self) -> &Config {
        &self.beginning.config
    }

    /// Tells it something, or that time has passed, and appends what it wants done.
    pub fn call(
        &mut self,
        services: &NodeServices,
        (now, unix): (Instant, UnixMillis),
        input: Option<Input<NodeMessage>>,
        out: &mut Vec<Output<NodeMessage>>,
    ) {
        let mut cx = Context {
            own: self.beginning.own,
            now,
            unix,
            config: &self.beginning.config,
            rng: &mut self.rng,
            services,
            counters: &mut self.counted,
            out,
        };
        match input {
            Some(input) => self.machine.handle_input(&mut cx, input),
            None => self.machine.handle_timeout(&mut cx),
        }
    }
}

/// Why what a machine did could not be written down. The node stops: what it holds in memory may be ahead of the disk.
#[derive(Debug, thiserror::Error)]
#[error("the store: {0}")]
pub struct StoreError(pub String);

/// Writes down what has to outlive the process. The driver calls it with all outputs of a batch of inputs and releases
/// none of them, nor any reply to a caller, before it is done; what comes in meanwhile makes the next batch.
pub trait Store: Send {
    /// Writes down what `outputs` ask to be kept.
    ///
    /// # Errors
    /// Nothing of this batch is released then, and the node stops.
    fn commit<'a>(&'a mut self, outputs: &'a [Output<NodeMessage>]) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl Store for NoStore {
    fn commit<'a>(&'a mut self, _: &'a [Output<NodeMessage>]) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}
