//! Settings of the primitives.

use super::{guard, improving, learning, memory, micropayments, recursive, state, tool};

/// What a driver tells the primitives. Each has its own part; defaults say where they come from there.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// The secret that session tokens are made with. A driver of a real node sets it; zeros are for the simulator.
    pub token_key: [u8; 32],
    /// `state.*`.
    pub state: state::Config,
    /// `guard.*`.
    pub guard: guard::Config,
    /// `tool.*`.
    pub tool: tool::Config,
    /// `memory.*`.
    pub memory: memory::Config,
    /// `recursive.*`.
    pub recursive: recursive::Config,
    /// `learning.*`.
    pub learning: learning::Config,
    /// `improving.*`.
    pub improving: improving::Config,
    /// `micropayments.*`.
    pub micropayments: micropayments::Config,
}
