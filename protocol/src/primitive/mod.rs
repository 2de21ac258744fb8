//! The eight primitives of spec 4 to 6, sans-IO.

mod call;
mod error;
mod records;

pub use call::{Answer, Call, CallId, Caller, ClientId, Execute, Executed, Tier};
pub use error::{Code, Error};
pub use records::{MemoryRecords, NoRecords, Records, Table};
