//! The 33 JSON blocks of the text, and what to expect in the places whose values the text cannot fix: `examples/index.toml`.
//!
//! A block is taken from the pinned text itself; the file of its own in `examples/` is the same for users of other languages,
//! and a test compares the two. [`Example::pattern`] is the block with its matchers in place, which is what a node is judged by.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DataError;
use crate::spec;

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum ExampleKind {
    /// A request.
    Request,
    /// A response with a result.
    Result,
    /// A response with an error.
    Error,
}

/// A JSON block of the text with the matchers that go over it.
#[derive(Clone, PartialEq, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Its place in the text, from 1.
    pub number: usize,
    /// The name of its file in `examples/`.
    pub file: String,
    /// The clause that it stands in; 11.1 to 11.3 are the workflows.
    pub clause: String,
    /// What it is.
    pub kind: ExampleKind,
    /// The method that is called, or was.
    pub method: String,
    /// The number of the request that it answers.
    pub answers: Option<usize>,
    /// What has to be arranged before the request makes sense.
    pub given: Option<String>,
    /// A matcher for each place whose value is not meant literally, by JSON pointer. `$example` in a matcher is what stands in
    /// the place, `$example/0` its first item.
    #[serde(default)]
    pub overlay: BTreeMap<String, Value>,
    /// The block as it stands in the text.
    #[serde(skip)]
    pub text: &'static str,
    /// Its first line in the pinned file.
    #[serde(skip)]
    pub line: usize,
    /// The block with its matchers.
    #[serde(skip)]
    pattern: Value,
}

impl Example {
    /// The block, parsed.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text).expect("every block parsed when the examples were read")
    }

    /// The block with its matchers in place. For a request, the matchers are the variables that stand for ids.
    #[must_use]
    pub fn pattern(&self) -> &Value {
        &self.pattern
    }

    /// The workflow of section 11 that it belongs to: 1, 2 or 3.
    #[must_use]
    pub fn workflow(&self) -> Option<u8> {
        self.clause.strip_prefix("11.").and_then(|number| number.parse().ok())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    example: Vec<Example>,
}

/// Reads an index of the text's JSON blocks and lays its matchers over them.
///
/// # Errors
/// It is not TOML of this form, does not fit the blocks of the text one by one, or has a matcher for a place that is not there.
pub fn parse_examples(text: &str) -> Result<Vec<Example>, DataError> {
    let mut examples = toml::from_str::<File>(text)?.example;
    let blocks = spec::json_blocks();
    if examples.len() != blocks.len() {
        return Err(DataError(format!(
            "{} examples for {} JSON blocks of the text",
            examples.len(),
            blocks.len()
        )));
    }
    for (index, (example, block)) in examples.iter_mut().zip(blocks).enumerate() {
        let number = index + 1;
        let fail = |what: &str| {
            Err(DataError(format!("example {number} (line {} of the text): {what}", block.line)))
        };
        let json: Value = match serde_json::from_str(block.text) {
            Ok(json) => json,
            Err(error) => return fail(&format!("not JSON: {error}")),
        };
        let kind = match (json.get("method"), json.get("error")) {
            (Some(_), _) => ExampleKind::Request,
            (None, Some(_)) => ExampleKind::Error,
            (None, None) => ExampleKind::Result,
        };
        if example.number != number {
            return fail(&format!("numbered {}: examples are in the order of the text", example.number));
        }
        if example.clause != block.clause {
            return fail(&format!("stands in clause {}, not {}", block.clause, example.clause));
        }
        if example.kind != kind {
            return fail(&format!("is a {kind:?}, not a {:?}", example.kind));
        }
        if json.get("method").is_some_and(|method| *method != *example.method) {
            return fail(&format!("is not a call of {}", example.method));
        }
        example.text = block.text;
        example.line = block.line;
        example.pattern = match overlaid(json, &example.overlay) {
            Ok(pattern) => pattern,
            Err(error) => return fail(&error),
        };
    }
    for example in &examples {
        if let Err(error) = check_answer(example, &examples) {
            return Err(DataError(format!("example {}: {error}", example.number)));
        }
    }
    Ok(examples)
}

/// A request answers nothing; anything else an earlier request of its clause, method and JSON-RPC id.
fn check_answer(example: &Example, examples: &[Example]) -> Result<(), String> {
    let (kind, answers) = (example.kind, example.answers);
    let Some(number) = answers else {
        return if kind == ExampleKind::Request {
            Ok(())
        } else {
            Err("does not say what it answers".to_owned())
        };
    };
    let request =
        number.checked_sub(1).and_then(|index| examples.get(index)).filter(|_| number < example.number);
    let fits = request.is_some_and(|request| {
        request.kind == ExampleKind::Request
            && (&request.clause, &request.method) == (&example.clause, &example.method)
            && request.json()["id"] == example.json()["id"]
    });
    if kind != ExampleKind::Request && fits {
        Ok(())
    } else {
        Err(format!("does not answer example {number}"))
    }
}

/// A block with matchers laid over it, the innermost place first.
fn overlaid(mut block: Value, overlay: &BTreeMap<String, Value>) -> Result<Value, String> {
    let mut places: Vec<_> = overlay.iter().collect();
    places.sort_by_key(|(place, _)| core::cmp::Reverse(place.matches('/').count()));
    for (place, matcher) in places {
        let Some(target) = block.pointer_mut(place) else {
            return Err(format!("a matcher for '{place}', which is not there"));
        };
        let filled = fill(matcher, target).map_err(|error| format!("the matcher for '{place}': {error}"))?;
        *target = filled;
    }
    Ok(block)
}

/// A matcher with `$example` replaced.
fn fill(matcher: &Value, example: &Value) -> Result<Value, String> {
    Ok(match matcher {
        Value::String(text) => match text.strip_prefix("$example") {
            None => matcher.clone(),
            Some(pointer) => {
                let found = example.pointer(pointer).ok_or_else(|| format!("'{text}' is not there"))?;
                found.clone()
            }
        },
        Value::Array(items) => items.iter().map(|item| fill(item, example)).collect::<Result<_, _>>()?,
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| Ok((name.clone(), fill(value, example)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => matcher.clone(),
    })
}

static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
    parse_examples(include_str!("../../examples/index.toml"))
        .unwrap_or_else(|error| panic!("the embedded examples/index.toml: {error}"))
});

/// All JSON blocks, in the order of the text.
#[must_use]
pub fn examples() -> &'static [Example] {
    &EXAMPLES
}

/// The JSON block of this number, from 1.
#[must_use]
pub fn example(number: usize) -> Option<&'static Example> {
    EXAMPLES.get(number.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::registry::method;

    const INDEX: &str = include_str!("../../examples/index.toml");

    #[test]
    fn the_files_are_the_blocks_of_the_text_and_none_is_missing_or_left_over() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut files: BTreeSet<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".json"))
            .collect();
        for example in examples() {
            let found = fs::read_to_string(folder.join(&example.file)).unwrap_or_default();
            assert_eq!(found, format!("{}\n", example.text), "{} is not the block of the text", example.file);
            assert!(files.remove(&example.file), "{} stands for two blocks", example.file);
        }
        assert_eq!(files, BTreeSet::new(), "files that are no block of the text");
    }

    #[test]
    fn there_are_17_requests_15_results_and_an_error() {
        let count = |kind| examples().iter().filter(|e| e.kind == kind).count();
        assert_eq!([ExampleKind::Request, ExampleKind::Result, ExampleKind::Error].map(count), [17, 15, 1]);
        let workflow = |n| examples().iter().filter(|e| e.workflow() == n).count();
        assert_eq!([None, Some(1), Some(2), Some(3)].map(workflow), [17, 10, 2, 4]);
        let methods: BTreeSet<_> = examples().iter().map(|e| &e.method).collect();
        assert_eq!(methods.len(), 12);
        assert_eq!(example(33).unwrap().kind, ExampleKind::Error);
        assert!(example(0).is_none() && example(34).is_none());
    }

    #[test]
    fn the_table_of_methods_fits_the_examples() {
        for example in examples() {
            let (json, method) = (example.json(), method(&example.method).unwrap());
            let fields = match example.kind {
                ExampleKind::Request => (&method.params, &json["params"]),
                ExampleKind::Result => (&method.result, &json["result"]),
                ExampleKind::Error => continue,
            };
            for (name, value) in fields.1.as_object().unwrap() {
                let field = fields.0.iter().find(|field| field.name == *name);
                assert!(field.is_some_and(|f| f.accepts(value)), "{}: {name} = {value}", example.file);
            }
            for field in fields.0.iter().filter(|field| field.required) {
                assert!(fields.1.get(&field.name).is_some(), "{}: no {}", example.file, field.name);
            }
        }
    }

    /// Names of members whose values nobody can know beforehand.
    const GENERATED: [&str; 22] = [
        "sessionId",
        "createdAt",
        "peerId",
        "toolId",
        "trajectoryId",
        "gossipedTo",
        "reputation",
        "avgLatency",
        "similarity",
        "searchTime",
        "utilityScore",
        "usageCount",
        "librarySize",
        "avgReward",
        "playbookVersion",
        "remaining",
        "consumed",
        "limit",
        "requested",
        "iterations",
        "pattern",
        "recommendation",
    ];

    /// Values of a pattern that are still taken literally though no node can know them.
    fn literal(value: &Value, place: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, inner) in
                    members.iter().filter(|(name, _)| !name.starts_with('$') || *name == "$each")
                {
                    let is_matcher =
                        inner.is_object() || inner.as_str().is_some_and(|text| text.starts_with('$'));
                    if GENERATED.contains(&name.as_str()) && !is_matcher {
                        found.push(format!("{place}/{name}"));
                    }
                    literal(inner, &format!("{place}/{name}"), found);
                }
                for inner in members.iter().filter(|(name, _)| name.starts_with('$')).map(|(_, inner)| inner)
                {
                    literal(inner, place, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| literal(item, &format!("{place}/*"), found)),
            Value::String(text) if text.starts_with("12D3") => found.push(place.to_owned()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn no_generated_value_is_expected_literally() {
        for example in examples().iter().filter(|e| e.kind != ExampleKind::Request) {
            let mut found = Vec::new();
            literal(example.pattern(), "", &mut found);
            assert_eq!(found, Vec::<String>::new(), "{}", example.file);
        }
        let mut found = Vec::new();
        literal(&json!({"tools": {"$each": {"peerId": "12D3KooW..."}}}), "", &mut found);
        assert!(!found.is_empty(), "a planted one is found");
    }

    #[test]
    fn no_request_carries_an_id_that_only_the_example_knows() {
        for example in examples().iter().filter(|e| e.kind == ExampleKind::Request) {
            for name in ["sessionId", "toolId"] {
                let value = &example.pattern()["params"][name];
                assert!(value.is_null() || value.as_str().unwrap().starts_with('$'), "{}", example.file);
            }
        }
    }

    #[test]
    fn matchers_are_laid_over_the_innermost_place_first() {
        let overlay =
            |rows: &[(&str, Value)]| rows.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let block = json!({"tools": [{"id": "t", "name": "n"}], "n": 1});
        let rows = [("/tools", json!({"$contains": "$example/0"})), ("/tools/0/id", json!("$nonempty"))];
        let pattern = overlaid(block.clone(), &overlay(&rows)).unwrap();
        assert_eq!(pattern, json!({"tools": {"$contains": {"id": "$nonempty", "name": "n"}}, "n": 1}));
        let both = overlaid(json!(1), &overlay(&[("", json!({"$all_of": ["$example", "$any"]}))])).unwrap();
        assert_eq!(both, json!({"$all_of": [1, "$any"]}));
        assert!(
            overlaid(block.clone(), &overlay(&[("/toolz", json!("$any"))])).unwrap_err().contains("/toolz")
        );
        assert!(
            overlaid(block, &overlay(&[("/tools", json!("$example/7"))])).unwrap_err().contains("$example/7")
        );
    }

    #[test]
    fn an_index_that_does_not_fit_the_text_is_refused() {
        let refused = |from: &str, to: &str| {
            let broken = INDEX.replacen(from, to, 1);
            assert_ne!(broken, INDEX, "{from}");
            parse_examples(&broken).unwrap_err().to_string()
        };
        assert!(refused("number = 2\n", "number = 3\n").contains("order of the text"));
        assert!(refused("clause = \"4.1\"", "clause = \"4.2\"").contains("stands in clause 4.1"));
        assert!(refused("kind = \"result\"", "kind = \"error\"").contains("is a Result"));
        assert!(refused("\"state.createSession\"", "\"state.getSession\"").contains("not a call of"));
        assert!(refused("answers = 4\n", "answers = 3\n").contains("does not answer"));
        assert!(refused("answers = 1\n", "").contains("does not say what it answers"));
        assert!(refused("/result/sessionId", "/result/session").contains("not there"));
        let last = INDEX.rfind("[[example]]").unwrap();
        assert!(parse_examples(&INDEX[..last]).unwrap_err().to_string().contains("32 examples for 33"));
    }
}
