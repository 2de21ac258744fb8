use proptest::prelude::*;
use serde_json::json;

use super::super::*;

fn valid(bench: &mut Bench, schema: Value, data: Value) -> Value {
    bench.ok("guard.validate", json!({"schema": schema, "data": data}))
}

fn refused(schema: Value, data: Value) -> String {
    let mut bench = Bench::default();
    let (code, message) = bench.fails("guard.validate", json!({"schema": schema, "data": data}));
    assert_eq!(code, Code::InvalidParams);
    message.strip_prefix("schema: ").unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[test]
fn data_fits_or_not() {
    let mut bench = Bench::default();
    let schema = json!({"type": "object", "required": ["query"],
        "properties": {"query": {"type": "string", "pattern": "^[a-z ]+$"}, "n": {"minimum": 1}}});
    assert_eq!(
        valid(&mut bench, schema.clone(), json!({"query": "web search", "n": 1})),
        json!({"valid": true})
    );
    assert_eq!(
        valid(&mut bench, schema.clone(), json!({"query": "SECRET", "n": 0})),
        json!({"valid": false, "errors": [
            "/n: value is less than the minimum of 1",
            "/query: value does not match \"^[a-z ]+$\"",
        ]})
    );
    let said = valid(&mut bench, schema, json!([]));
    assert_eq!(said, json!({"valid": false, "errors": ["/: value is not of type \"object\""]}));
    assert_eq!(valid(&mut bench, json!(true), json!(null)), json!({"valid": true}));
    assert_eq!(valid(&mut bench, json!(false), json!(null))["valid"], false);
    assert_eq!(valid(&mut bench, json!({"format": "email"}), json!("x")), json!({"valid": true}));
}

#[test]
fn errors_are_in_order_and_few() {
    let mut bench = Bench::default();
    let items: Vec<_> = (0..200).map(|number| json!(number)).collect();
    let said = valid(&mut bench, json!({"items": {"type": "string"}}), json!(items));
    let errors: Vec<&str> = said["errors"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert_eq!(errors.len(), 100);
    assert!(errors.is_sorted());
    assert_eq!(errors[0], "/0: value is not of type \"string\"");
    let long = "x".repeat(1000);
    let said = valid(&mut bench, json!({"required": [long]}), json!({}));
    assert_eq!(said["errors"][0].as_str().unwrap().len(), 403);
}

#[test]
fn older_drafts_are_read_by_name() {
    let mut bench = Bench::default();
    let tuple = json!([{"type": "string"}]);
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": tuple});
    assert_eq!(valid(&mut bench, old, json!([1]))["valid"], false);
    let new = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": tuple});
    assert_eq!(valid(&mut bench, new, json!([1]))["valid"], false);
    assert!(refused(json!({"items": tuple}), json!([1])).starts_with("/items"));
    let meta = json!({"$ref": "https://json-schema.org/draft/2020-12/schema"});
    assert_eq!(valid(&mut bench, meta.clone(), json!({"type": "string"})), json!({"valid": true}));
    assert_eq!(valid(&mut bench, meta, json!({"type": "text"}))["valid"], false);
}

#[test]
fn references_stay_in_the_document() {
    let mut bench = Bench::default();
    let tree = json!({"$id": "https://example.com/tree", "$ref": "#/$defs/a%20b~1c",
        "$defs": {"a b/c": {"$anchor": "node", "properties": {"left": {"$ref": "#node"}, "v": {"type": "integer"}}}}});
    assert_eq!(valid(&mut bench, tree.clone(), json!({"left": {"v": 1}})), json!({"valid": true}));
    assert_eq!(valid(&mut bench, tree, json!({"left": {"v": "1"}}))["valid"], false);
    for away in ["https://example.com/x", "file:///etc/passwd", "other", "//example.com", "/x"] {
        assert_eq!(refused(json!({"items": {"$ref": away}}), json!(1)), "$ref leads out of the document");
    }
    assert!(refused(json!({"$schema": "https://example.com/x"}), json!(1)).starts_with("$schema is not"));
    let id = json!({"items": {"$id": "https://example.com/x"}});
    assert_eq!(refused(id, json!(1)), "$id may be at the top alone");
    let both = json!({"$dynamicAnchor": "meta", "$ref": "https://json-schema.org/draft/2020-12/schema"});
    assert!(refused(both, json!(1)).starts_with("refers to a metaschema"));
    for nowhere in ["#/nowhere", "#nowhere", "#/%zz"] {
        refused(json!({"$ref": nowhere}), json!(1));
    }
    for reference in ["nothing", "schema#/$defs/x", "schema#meta", "meta/core"] {
        let away = format!("https://json-schema.org/draft/2020-12/{reference}");
        assert_eq!(refused(json!({"$ref": away}), json!(1)), "$ref leads out of the document");
        assert!(refused(json!({"$schema": away}), json!(1)).starts_with("$schema is not"));
    }
    let seven = "http://json-schema.org/draft-07/schema#";
    let old = json!({"$schema": seven, "$ref": seven});
    assert_eq!(valid(&mut bench, old, json!({"type": "string"})), json!({"valid": true}));
}

/// What the price is reckoned by must be what the compiler will take.
#[test]
fn a_schema_cannot_pass_for_another() {
    let too_much = "would be too much work for this data";
    let costly = |reference: &str, last: Value| {
        let mut schema = doubling(60, "allOf", last);
        schema["$ref"] = json!(reference);
        schema
    };
    // Named like a metaschema, of which a reference has a fixed price.
    for id in ["https://json-schema.org/draft/2020-12/x", "https://json-schema.org/draft/2020-12/schema"] {
        let mut schema = costly(&format!("{id}#/$defs/0"), json!(true));
        schema["$id"] = json!(id);
        assert_eq!(refused(schema, json!(1)), "$ref leads out of the document");
        let mut schema = costly("#/$defs/0", json!(true));
        schema["$id"] = json!(id);
        assert_eq!(refused(schema, json!(1)), too_much);
    }
    let id = "https://json-schema.org/draft/2020-12/schema";
    let own = json!({"$id": id, "$ref": id, "type": "string"});
    let said = valid(&mut Bench::default(), own, json!("no schema"));
    assert_eq!(said["valid"], false, "the metaschema is meant");
    // An anchor that is none, in the place of the one that counts.
    for decoy in [json!({"$anchor": "a"}), json!({"$dynamicAnchor": "a"}), json!([{"$anchor": "a"}])] {
        let mut schema = costly("#a", json!(true));
        schema["$defs"]["0"]["$anchor"] = json!("a");
        assert_eq!(refused(schema.clone(), json!(1)), too_much);
        schema["zzz"] = decoy;
        assert!(refused(schema, json!(1)).ends_with(" is given twice"));
    }
    // A reference to the whole that says it is one to a part.
    let again = json!({"$recursiveRef": "#/$defs/none"});
    let schema = json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$defs": {"none": true},
        "properties": {"a": {"allOf": [again, again]}}});
    assert_eq!(refused(schema, json!({"a": {"a": {}}})), "$recursiveRef must be #");
    // A pointer that the compiler reads more generously.
    for index in ["+0", "00"] {
        let mut schema = costly(&format!("#/allOf/{index}"), json!(true));
        schema["allOf"] = json!([{"$ref": "#/$defs/0"}]);
        assert!(["has a reference that leads nowhere", too_much].contains(&&refused(schema, json!(1))[..]));
        let schema = json!({"prefixItems": [{"allOf": [{"type": "string"}]}],
            "items": {"$ref": format!("#/prefixItems/{index}")}});
        assert_eq!(refused(schema, json!(["a", "b"])), "has a reference that leads nowhere");
    }
}

#[test]
fn a_schema_must_be_one() {
    let mut bench = Bench::default();
    assert!(refused(json!({"type": "text"}), json!(1)).starts_with("/type: "));
    for schema in [json!(1), json!("x"), json!([]), json!(null)] {
        let said = refused(schema, json!(1));
        assert_eq!(said, "must be a JSON Schema: an object, true or false");
    }
    bench.config.guard.schema_max = 10;
    bench.config.guard.data_max = 3;
    let mut fails =
        |schema: Value, data: Value| bench.fails("guard.validate", json!({"schema": schema, "data": data})).1;
    assert_eq!(fails(json!({"a": "0123456789"}), json!(1)), "schema: has 18 bytes, must have at most 10");
    assert_eq!(fails(json!({}), json!("0123")), "data: has 6 bytes, must have at most 3");
}

#[test]
fn ordinary_data_is_not_too_much() {
    let mut bench = Bench::default();
    let order = json!({"id": "order-1", "lines": [{"sku": "a-1", "count": 2}, {"sku": "b-2", "count": 1}],
        "note": null, "address": {"city": "Utrecht", "street": "Oudegracht"}});
    let text = json!({"type": "string", "minLength": 1, "maxLength": 64});
    let line = json!({"type": "object", "required": ["sku", "count"], "additionalProperties": false,
        "properties": {"sku": {"type": "string", "pattern": "^[a-z]-[0-9]+$"}, "count": {"type": "integer", "minimum": 1}}});
    let schema = json!({"type": "array", "items": {"$ref": "#/$defs/order"}, "$defs": {"text": text, "line": line, "order": {
        "type": "object", "required": ["id", "lines"], "unevaluatedProperties": false, "properties": {
            "id": {"$ref": "#/$defs/text"}, "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            "note": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/text"}]},
            "address": {"type": "object", "additionalProperties": {"$ref": "#/$defs/text"}}}}}});
    let orders = vec![order; 1000];
    assert_eq!(valid(&mut bench, schema, json!(orders)), json!({"valid": true}));
    let note = json!({"pattern": "^.{1,255}$"});
    assert_eq!(valid(&mut bench, note, json!("x".repeat(255))), json!({"valid": true}));
    let mut tree = json!({"value": 1});
    for _ in 0..50 {
        tree = json!({"value": 1, "left": tree});
    }
    let schema = json!({"properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
        "unevaluatedProperties": false});
    assert_eq!(valid(&mut bench, schema, tree), json!({"valid": true}));
}

/// Definitions each of which applies the next twice.
fn doubling(levels: usize, keyword: &str, last: Value) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        defs.insert(level.to_string(), json!({keyword: [next, next]}));
    }
    defs.insert(levels.to_string(), last);
    json!({"$ref": "#/$defs/0", "$defs": defs})
}

#[test]
fn hostile_schemas_are_refused_before_they_run() {
    let too_much = "would be too much work for this data";
    let mut bench = Bench::default();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        assert_eq!(valid(&mut bench, doubling(6, keyword, json!(false)), json!(1))["valid"], false);
        assert_eq!(refused(doubling(60, keyword, json!(false)), json!(1)), too_much);
        let fine = bench.run(|_, env| env.check_schema(&doubling(60, keyword, json!(false))));
        assert_eq!(fine, Ok(()), "it is only the data that makes it too much");
    }
    let node = json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}],
        "required": ["b"]});
    let mut deep = json!({});
    for _ in 0..60 {
        deep = json!({"a": deep});
    }
    assert_eq!(refused(node, deep.clone()), too_much);
    let named = json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"},
        "prefixItems": [{"$ref": "#"}], "items": {"$ref": "#"}});
    let said = valid(&mut bench, named, deep.clone());
    assert_eq!(said, json!({"valid": true}), "deep but no more work than there is data");
    let nested =
        json!({"properties": {"a": {"$ref": "#"}}, "allOf": [{"unevaluatedProperties": {"$ref": "#"}}]});
    assert_eq!(refused(nested, deep), too_much);
    assert_eq!(refused(json!({"pattern": "a{1000}{1000}"}), json!("a")).split(':').next(), Some("/pattern"));
    assert_eq!(refused(json!({"pattern": "(a+)+$"}), json!("a".repeat(40_000))), too_much);
    refused(json!({"pattern": "(?=a)a"}), json!("a"));
    refused(json!({"pattern": "(a)\\1"}), json!("aa"));
    let patterns: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!({}))).collect();
    assert_eq!(
        refused(json!({"patternProperties": patterns}), json!(1)),
        "has more than 64 regular expressions"
    );
    let trues = json!({"allOf": vec![json!({"items": true}); 400]});
    assert_eq!(refused(trues, json!(vec![1; 5000])), too_much);
    let many: Vec<_> = (0..5000).map(|number| json!(number)).collect();
    assert_eq!(refused(json!({"items": {"enum": many}}), json!(many)), too_much);
    assert_eq!(
        valid(&mut bench, json!({"items": {"uniqueItems": true}}), json!([many])),
        json!({"valid": true})
    );
}

#[test]
fn schemas_without_end_are_refused() {
    let endless = "refers to itself without end";
    assert_eq!(refused(json!({"$ref": "#"}), json!(1)), endless);
    assert_eq!(refused(json!({"allOf": [{"not": {"$ref": "#"}}]}), json!(1)), endless);
    let mut schema = json!({});
    for _ in 0..70 {
        schema = json!({"not": schema});
    }
    assert_eq!(refused(schema, json!(1)), "is more than 64 levels deep");
    let chain = |length: usize| {
        let mut defs = serde_json::Map::new();
        for level in 0..length {
            defs.insert(level.to_string(), json!({"$ref": format!("#/$defs/{}", level + 1)}));
        }
        defs.insert(length.to_string(), json!({"type": "string"}));
        json!({"$ref": "#/$defs/0", "$defs": defs})
    };
    let mut bench = Bench::default();
    assert_eq!(valid(&mut bench, chain(253), json!(1))["valid"], false, "the deepest fits on the stack");
    assert_eq!(refused(chain(1000), json!(1)), "goes more than 256 schemas deep for this data");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_schema_of_a_number_says_what_it_says(low in -50i64..50, high in -50i64..50, number in -60i64..60) {
        let mut bench = Bench::default();
        let schema = json!({"anyOf": [{"maximum": low}, {"allOf": [{"minimum": high}, {"type": "integer"}]}]});
        let said = valid(&mut bench, schema, json!(number));
        prop_assert_eq!(&said["valid"], &json!(number <= low || number >= high));
        prop_assert_eq!(said.get("errors").is_none(), said["valid"] == true);
    }
}
