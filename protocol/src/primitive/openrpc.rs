//! The methods as an OpenRPC document (spec.open-rpc.org 1.3), made from their types: what a node serves at
//! `/openrpc.json`.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::error::Code;
use super::method::{Access, Entry};
use super::methods;

/// The document of all 44 methods.
pub fn openrpc() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = SchemaGenerator::new(settings);
    let methods: Vec<Value> = methods().map(|entry| method(&mut generator, entry)).collect();
    let errors: Map<String, Value> = Code::NAMES
        .iter()
        .map(|(code, name)| (name.replace(' ', ""), json!({ "code": code.number(), "message": name })))
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Hyperspace Gossiping Agents Protocol",
            "description": "The eight primitives over JSON-RPC 2.0. Parameters are passed by name.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "methods": methods,
        "components": { "schemas": generator.take_definitions(true), "errors": errors },
    })
}

fn method(generator: &mut SchemaGenerator, entry: &Entry) -> Value {
    let mut schema = (entry.params)(generator).to_value();
    let summary = schema.get("description").cloned().unwrap_or_default();
    let required = schema.get("required").cloned().unwrap_or(json!([]));
    let properties = match schema.get_mut("properties").map(Value::take) {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let (first, rest): (Vec<_>, Vec<_>) = properties.into_iter().partition(|(name, _)| is_required(name));
    // OpenRPC wants required parameters before optional ones.
    let params: Vec<Value> = first
        .into_iter()
        .chain(rest)
        .map(|(name, schema)| {
            let description = schema.get("description").cloned().unwrap_or_default();
            json!({ "name": name, "required": is_required(&name), "description": description, "schema": schema })
        })
        .collect();
    let access = match entry.access {
        Access::Session => "the API key, or the token of the session that the parameters name",
        Access::Shared => "the API key, or any session token",
        Access::Operator => "the API key",
    };
    json!({
        "name": entry.name,
        "summary": summary,
        "description": format!("Section and decisions: {}. Needs {access}.", entry.clause),
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": "result", "schema": (entry.result)(generator) },
    })
}
