//! Writes `case.schema.json`, the JSON Schema of a parsed case: `cargo run -p hyperspace-conformance --example schema`.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let schema = serde_json::to_string_pretty(&hyperspace_conformance::case::schema())?;
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("case.schema.json"), schema + "\n")
}
