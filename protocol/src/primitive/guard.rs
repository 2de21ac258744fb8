//! `guard.*`: validation, safety, budgets and rate limits (spec 4.2).

mod budget;
mod rate;
mod rules;
mod safety;
mod validate;
mod work;

pub use budget::{BudgetCheck, CheckBudget, ConsumeBudget, GetBudgetStatus, Remaining};
pub use rate::{CheckRateLimit, Rate};
pub use rules::Severity;
pub(super) use safety::Live;
pub use safety::{CheckSafety, Flag, Policy, Preset, Safety};
pub use validate::{JsonSchemaText, Validate, Validity};

use serde_json::Value;

use super::error::Error;
use super::method::{Entry, entry};
use super::params::Json;

/// The methods of this primitive.
pub(super) const METHODS: &[Entry] = &[
    entry::<Validate>(),
    entry::<CheckSafety>(),
    entry::<CheckBudget>(),
    entry::<ConsumeBudget>(),
    entry::<CheckRateLimit>(),
    entry::<GetBudgetStatus>(),
];

/// Settings of `guard.*`. Sizes are bytes of JSON text.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Largest schema.
    pub schema_max: usize,
    /// Most values in each other in a schema.
    pub schema_levels: usize,
    /// Most regular expressions in a schema.
    pub patterns_max: u64,
    /// Largest program of a regular expression, in bytes of memory.
    pub pattern_size: usize,
    /// Largest data to validate.
    pub data_max: usize,
    /// Most work of one validation, in units of about one keyword applied to one value; known before it is begun.
    pub work_max: u64,
    /// Most schemas applied within each other, which bounds the stack.
    pub depth_max: usize,
    /// Largest content to check.
    pub content_max: usize,
    /// What is checked content blocked by, unless a call says otherwise; and what tools and memories take.
    pub policy: Policy,
    /// Whether there is a classifier to ask besides the rules.
    pub classifier: bool,
    /// Most windows of `checkRateLimit` kept at once; of more, those that end first are forgotten.
    pub windows_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // All of these are our choice. The largest schemas in public collections are larger, those of tools far smaller.
            schema_max: 64 << 10,
            schema_levels: 64,
            patterns_max: 64,
            // Enough for `.{1,255}`, which needs more than a quarter of a megabyte.
            pattern_size: 512 << 10,
            data_max: 1 << 20,
            // Below a second: the worst found took a quarter of one.
            work_max: 1_000_000,
            // Half a megabyte of stack, of the two that a thread usually has.
            depth_max: 256,
            content_max: 256 << 10,
            policy: Policy::default(),
            classifier: false,
            // A window is about a hundred bytes.
            windows_max: 100_000,
        }
    }
}

/// The value of a parameter, if it has at most `max` bytes.
fn value(name: &str, json: &Json, max: usize) -> Result<Value, Error> {
    let bytes = json.get().len();
    if bytes > max {
        return Err(Error::param(name, format_args!("has {bytes} bytes, must have at most {max}")));
    }
    Ok(json.value())
}
