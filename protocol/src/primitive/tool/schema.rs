//! JSON Schemas of what tools take and give.
//!
//! Only schemas that were registered here are ever compiled: one from another peer's card is text that we pass on, as a
//! schema can be written to cost its reader much.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::primitive::params::{Json, Object};

/// Most bytes of one schema as it was written (our choice: 64 tools then still fit into few cards' worth of text).
const BYTES_MAX: usize = 8 * 1024;
/// Longest report of what is wrong with a value, in characters.
const REPORT_MAX: usize = 300;

/// Nothing is fetched for a `$ref`, and patterns run in linear time.
fn compile(schema: &Object) -> Result<Validator, String> {
    if schema.get().len() > BYTES_MAX {
        return Err(format!("has {} bytes, must have at most {BYTES_MAX}", schema.get().len()));
    }
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20));
    options.build(&Value::Object(schema.members())).map_err(|error| report(&error.to_string()))
}

/// Whether this is a JSON Schema (2020-12, decision P8) that tools can be held to.
pub(super) fn check(schema: &Object) -> Result<(), String> {
    compile(schema).map(drop)
}

/// Whether `value` is what the schema asks for.
pub(super) fn validate(schema: &Object, value: &Json) -> Result<(), String> {
    let validator = compile(schema)?;
    validator.validate(&value.value()).map_err(|error| {
        let path = error.instance_path().to_string();
        report(&if path.is_empty() { error.to_string() } else { format!("{path}: {error}") })
    })
}

fn report(text: &str) -> String {
    text.chars().take(REPORT_MAX).collect()
}
