//! Two hooks around the machine: what it was told and did can be recorded and played again, and what it did can be written
//! down before anybody sees it.

use hyperspace_protocol::config::Config;
use hyperspace_protocol::identity::PeerId;
use hyperspace_protocol::machine::{Context, Counted, Input, Machine, Output};
use hyperspace_protocol::peer::Peer;
use hyperspace_protocol::primitive::{MemoryRecords, NoRecords, Records};
use hyperspace_protocol::rng::{Stream, purpose_key};
use hyperspace_protocol::time::{Instant, UnixMillis};

use crate::message::NodeMessage;
use crate::services::NodeServices;
use crate::store::{Store, StoreError};

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
        records: &mut dyn Records,
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
            records,
            out,
        };
        match input {
            Some(input) => self.machine.handle_input(&mut cx, input),
            None => self.machine.handle_timeout(&mut cx),
        }
    }
}

/// Records that outlive the process. The driver lends them to the machine, and has the changes of a batch of inputs made
/// durable before it releases anything that came of the batch; what comes in meanwhile makes the next one.
pub trait Durable: Records + Send + 'static {
    /// Whether there is something to make durable.
    fn is_changed(&self) -> bool;

    /// Makes all changes since the last time durable. Blocks.
    ///
    /// # Errors
    /// Nothing of the batch is released then, and the node stops: what it holds in memory may be ahead of the disk.
    fn commit(&mut self) -> Result<(), StoreError>;
}

impl Durable for Store {
    fn is_changed(&self) -> bool {
        Self::is_changed(self)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Self::commit(self)
    }
}

/// Nothing is kept.
impl Durable for NoRecords {
    fn is_changed(&self) -> bool {
        false
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Nothing outlives the process.
impl Durable for MemoryRecords {
    fn is_changed(&self) -> bool {
        false
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
