//! What every method keeps, whatever it does: walks them all by their schemas.

use schemars::SchemaGenerator;
use serde_json::json;

use super::*;

/// The schema of a method's parameters with everything inlined that it refers to.
fn schema(entry: &Entry) -> Value {
    let mut generator =
        SchemaGenerator::new(schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        }));
    (entry.params)(&mut generator).to_value()
}

/// A value that fits a schema, as far as our own schemas go.
fn sample(schema: &Value) -> Value {
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    if let Some(choice) = schema.get("enum").and_then(Value::as_array) {
        return choice[0].clone();
    }
    if let Some(choice) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array)
    {
        return sample(&choice[0]);
    }
    let kind = schema.get("type").map(|kind| kind.as_array().map_or(kind, |kinds| &kinds[0]));
    match kind.and_then(Value::as_str) {
        Some("string") => json!("x".repeat(schema["minLength"].as_u64().unwrap_or(0).max(1) as usize)),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => {
            let mut object = serde_json::Map::new();
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                object.insert(name.to_owned(), sample(&schema["properties"][name]));
            }
            Value::Object(object)
        }
        _ => json!(1),
    }
}

/// Something of another type than a schema allows; `None` if it allows everything.
fn wrong(schema: &Value) -> Option<Value> {
    let candidates = [json!(true), json!("\u{fffd}x"), json!([[1]]), json!({"a": 1}), json!(1.5), json!(-7)];
    candidates.into_iter().find(|value| !fits(schema, value))
}

fn fits(schema: &Value, value: &Value) -> bool {
    jsonschema::validator_for(schema).unwrap().is_valid(value)
}

#[test]
fn there_are_the_methods_of_the_spec() {
    // The signatures of spec 4 to 6.
    let counts = PRIMITIVES.map(|(primitive, entries)| (primitive, entries.len()));
    let spec = [("state", 6), ("guard", 6), ("tool", 5), ("memory", 6), ("recursive", 4), ("learning", 6)];
    assert_eq!(counts[..6], spec);
    assert_eq!(counts[6..], [("improving", 6), ("micropayments", 5)]);
    let mut seen = BTreeSet::new();
    for (primitive, entries) in PRIMITIVES {
        for entry in entries {
            assert_eq!(entry.name.split('.').next(), Some(primitive));
            assert!(seen.insert(entry.name), "{} twice", entry.name);
            assert!(!entry.clause.is_empty(), "{}", entry.name);
        }
    }
}

#[test]
fn a_wrong_parameter_is_named_and_changes_nothing() {
    for entry in methods() {
        let schema = schema(entry);
        let good = sample(&schema);
        let required: Vec<String> =
            serde_json::from_value(schema.get("required").cloned().unwrap_or(json!([]))).unwrap();
        let names: Vec<String> = schema
            .get("properties")
            .and_then(Value::as_object)
            .map_or_else(Vec::new, |p| p.keys().cloned().collect());
        for name in &names {
            let mut bad = Vec::new();
            if required.contains(name) {
                let mut without = good.clone();
                without.as_object_mut().unwrap().remove(name);
                bad.push(without);
            }
            if let Some(value) = wrong(&schema["properties"][name]) {
                let mut with = good.clone();
                with[name] = value;
                bad.push(with);
            }
            for params in bad {
                let mut bench = Bench::default();
                bench.run(|_, _| {});
                bench.net.did.clear();
                let before = bench.records.clone();
                let error = bench.call(entry.name, params.clone()).expect_err(entry.name);
                assert_eq!(error.code, Code::InvalidParams, "{} {params}", entry.name);
                assert!(
                    error.message.starts_with(name.as_str()),
                    "{} {params}: {}",
                    entry.name,
                    error.message
                );
                assert_eq!(bench.records, before, "{} {params}", entry.name);
                assert_eq!(bench.net.did, [], "{} {params}", entry.name);
            }
        }
    }
}

/// What the signatures of the spec have without a question mark, where it is easily taken for optional.
#[test]
fn what_the_spec_demands_is_required() {
    let of = |name: &str| schema(methods().find(|entry| entry.name == name).unwrap());
    assert_eq!(of("micropayments.channel.pay")["required"], json!(["channelId", "amount", "memo"]));
    let execution = of("learning.reflect")["properties"]["execution"]["required"].clone();
    assert_eq!(execution, json!(["input", "output", "steps", "outcome", "reward"]));
}

/// JSON Schema counts characters, and texts are bounded in bytes: the schema must not say otherwise.
#[test]
fn a_schema_allows_no_text_that_is_too_long() {
    let schema = schema(methods().find(|entry| entry.name == "state.setState").unwrap());
    assert_eq!(schema["properties"]["key"]["x-maxBytes"], 256);
    assert_eq!(schema["properties"]["key"].get("maxLength"), None);
    let mut bench = Bench::default();
    let id = bench.session();
    let mut set =
        |key: String| bench.call("state.setState", json!({"sessionId": id, "key": key, "value": 1}));
    assert!(set("é".repeat(128)).is_ok());
    assert_eq!(set("é".repeat(129)).unwrap_err().message, "key: has 258 bytes, must have at most 256");
}

#[test]
fn hostile_parameters_are_refused() {
    let deep = format!("{{\"sessionId\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let long = json!({"sessionId": "x".repeat(1 << 20)}).to_string();
    for entry in methods() {
        for params in [&deep, &long, "[]", "1", "null", "\"x\"", "{\"sessionId\":NaN}", "{", "\u{0}"] {
            let required = schema(entry).get("required").is_some();
            let mut bench = Bench::default();
            let id = bench.start_text(entry.name, params);
            match bench.answer(id) {
                Some(Err(error)) => assert!(
                    matches!(error.code, Code::InvalidParams | Code::SessionNotFound),
                    "{} {}: {error:?}",
                    entry.name,
                    &params[..params.len().min(40)]
                ),
                other => {
                    assert!(!required && params.starts_with("{\"s"), "{} {params:.40}: {other:?}", entry.name)
                }
            }
        }
    }
}

#[test]
fn no_session_no_service() {
    for entry in methods() {
        let schema = schema(entry);
        let required =
            schema.get("required").and_then(Value::as_array).is_some_and(|r| r.contains(&json!("sessionId")));
        if required {
            let mut bench = Bench::default();
            let error = bench.call(entry.name, sample(&schema)).expect_err(entry.name);
            assert_eq!(error.code, Code::SessionNotFound, "{}", entry.name);
            assert_eq!(bench.records, MemoryRecords::default(), "{}", entry.name);
        }
    }
}

#[test]
fn the_document_describes_every_method() {
    let document = openrpc();
    let described: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    assert_eq!(described, methods().map(|entry| entry.name).collect::<Vec<_>>());
    let text = document.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"") {
        let reference = text[at + 8..].split('"').next().unwrap();
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for method in document["methods"].as_array().unwrap() {
        assert!(method["summary"].as_str().is_some_and(|text| !text.is_empty()), "{}", method["name"]);
        for param in method["params"].as_array().unwrap() {
            assert!(param["description"].as_str().is_some_and(|text| !text.is_empty()), "{method}");
        }
    }
}
