//! JSON Schemas of what tools take and give.
//!
//! Only schemas that were registered here are ever compiled: one from another peer's card is text that we pass on, as a
//! schema can be written to cost its reader much.

use crate::primitive::env::Env;
use crate::primitive::params::{Json, Object};

/// Most bytes of one schema as it was written (our choice: 64 tools then still fit into few cards' worth of text).
const BYTES_MAX: usize = 8 * 1024;
/// Longest report of what is wrong with a value, in characters.
const REPORT_MAX: usize = 300;

/// Whether this is a JSON Schema (2020-12, decision P8) that tools can be held to.
pub(super) fn check(env: &Env<'_>, schema: &Object) -> Result<(), String> {
    if schema.get().len() > BYTES_MAX {
        return Err(format!("has {} bytes, must have at most {BYTES_MAX}", schema.get().len()));
    }
    env.check_schema(&schema.members().into()).map_err(|problem| report(&problem))
}

/// Whether `value` is what the schema asks for.
pub(super) fn validate(env: &Env<'_>, schema: &Object, value: &Json) -> Result<(), String> {
    let found = env.validate(&schema.members().into(), &value.value())?;
    if found.valid { Ok(()) } else { Err(report(&found.errors.join("; "))) }
}

fn report(text: &str) -> String {
    text.chars().take(REPORT_MAX).collect()
}
