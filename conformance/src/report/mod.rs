//! Reports, made from the events of a run alone.

mod console;
mod junit;

pub use console::console;
pub use junit::{JunitError, junit};
