//! `guard.validate`: JSON Schema, with a bound on the work that a stranger's schema can ask for.

use std::collections::BTreeSet;

use jsonschema::{PatternOptions, ValidationError, Validator};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::super::Agent;
use super::super::env::{Env, Reply, Serving};
use super::super::error::Error;
use super::super::method::{Access, Method};
use super::super::params::Json;
use super::work::{METASCHEMAS, Work, levels};
use super::{Config, value};

/// Most errors reported.
const ERRORS_MAX: usize = 100;
/// Longest error, in characters.
const ERROR_MAX: usize = 400;

/// A JSON Schema: an object or a truth value.
#[derive(Clone, Debug)]
pub struct JsonSchemaText(Json);

impl<'de> Deserialize<'de> for JsonSchemaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        match json.get() {
            "true" | "false" => Ok(Self(json)),
            text if text.starts_with('{') => Ok(Self(json)),
            _ => Err(D::Error::custom("must be a JSON Schema: an object, true or false")),
        }
    }
}

impl JsonSchema for JsonSchemaText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonSchemaText".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "boolean"] })
    }
}

/// Validates data by a JSON Schema: 2020-12, unless its `$schema` names an older draft (decision P8). `format` is not
/// checked, as 2020-12 has it by default.
///
/// Nothing is fetched: a reference must stay in the document (`#...`) or be the id of the metaschema of a draft. `$id` may be
/// at the top alone and names nothing; an anchor may be given once. A regular expression may not look around or refer back,
/// so that matching takes linear time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Validate {
    /// The data: any JSON.
    pub data: Json,
    /// The schema.
    pub schema: JsonSchemaText,
}

/// Whether data fits a schema.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Validity {
    /// Whether it does.
    pub valid: bool,
    /// If not, what is wrong and where in the data (a JSON Pointer), without the data itself: at most 100 errors in order
    /// of the alphabet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Method for Validate {
    const NAME: &'static str = "guard.validate";
    const CLAUSE: &'static str = "4.2; P8";
    const ACCESS: Access = Access::Shared;
    type Result = Validity;

    fn call(self, _: &mut Agent, env: &mut Env<'_>, _: Serving<'_>) -> Result<Reply<Validity>, Error> {
        let config = &env.config.guard;
        let schema = value("schema", &self.schema.0, config.schema_max)?;
        let data = value("data", &self.data, config.data_max)?;
        Ok(env.validate(&schema, &data).map_err(|problem| Error::param("schema", problem))?.into())
    }
}

impl Env<'_> {
    /// Validates data by a schema, for whoever has both already: a tool's output by the schema it registered.
    ///
    /// # Errors
    /// What is wrong with the schema, or that it would be too much work for the data.
    pub(in super::super) fn validate(&self, schema: &Value, data: &Value) -> Result<Validity, String> {
        let validator = compile(&self.config.guard, schema, Some(data))?;
        let mut errors = BTreeSet::new();
        let valid = validator.is_valid(data);
        if !valid {
            for error in validator.iter_errors(data) {
                errors.insert(sentence(&error));
                if errors.len() > ERRORS_MAX {
                    errors.pop_last();
                }
            }
        }
        Ok(Validity { valid, errors: errors.into_iter().collect() })
    }

    /// Checks that a schema is one, and within the bounds that hold for any data; its size is the caller's to check.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in super::super) fn check_schema(&self, schema: &Value) -> Result<(), String> {
        compile(&self.config.guard, schema, None).map(|_| ())
    }
}

fn compile(config: &Config, schema: &Value, data: Option<&Value>) -> Result<Validator, String> {
    if levels(schema) > config.schema_levels {
        return Err(format!("is more than {} levels deep", config.schema_levels));
    }
    let mut seen = Seen::default();
    seen.walk(schema, true)?;
    // Nothing may refer to it, so it only could lead the compiler to take something else for this document.
    let nameless = schema.get("$id").is_some_and(Value::is_string).then(|| {
        let mut schema = schema.clone();
        schema.as_object_mut().map(|members| members.remove("$id"));
        schema
    });
    let schema = nameless.as_ref().unwrap_or(schema);
    if seen.metaschema && seen.dynamic {
        return Err("refers to a metaschema and has a dynamic anchor, which would change it".to_owned());
    }
    let mut work = Work::new(schema, config.work_max, config.depth_max);
    if work.patterns() > config.patterns_max {
        return Err(format!("has more than {} regular expressions", config.patterns_max));
    }
    if let Some(data) = data {
        work.bound(data)?;
    }
    let patterns =
        PatternOptions::regex().size_limit(config.pattern_size).dfa_size_limit(config.pattern_size);
    let options =
        jsonschema::options().offline().with_pattern_options(patterns).should_validate_formats(false);
    options.build(schema).map_err(|error| sentence(&error))
}

/// What a schema has anywhere in it. Values of `enum` and the like count too: a reference may lead into them.
#[derive(Default)]
struct Seen<'a> {
    metaschema: bool,
    dynamic: bool,
    anchors: BTreeSet<&'a str>,
}

impl<'a> Seen<'a> {
    fn walk(&mut self, schema: &'a Value, top: bool) -> Result<(), String> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item, false)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.member(name, value, top)?;
                self.walk(value, false)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn member(&mut self, name: &str, value: &'a Value, top: bool) -> Result<(), String> {
        let Value::String(text) = value else {
            self.dynamic |= name == "$recursiveAnchor" && value.is_boolean();
            return Ok(());
        };
        let known = METASCHEMAS.contains(&text.strip_suffix('#').unwrap_or(text));
        match name {
            "$ref" | "$dynamicRef" if known => self.metaschema = true,
            "$ref" | "$dynamicRef" if !text.starts_with('#') => {
                return Err(format!("{name} leads out of the document"));
            }
            // The compiler takes it for that whatever it says.
            "$recursiveRef" if text != "#" => return Err("$recursiveRef must be #".to_owned()),
            "$schema" if !known => return Err("$schema is not a draft that is known here".to_owned()),
            "$schema" if !top => return Err("$schema may be at the top alone".to_owned()),
            "$id" if !top => return Err("$id may be at the top alone".to_owned()),
            // Which of two is meant depends on which of them are in schemas, and not in values of `const` and the like.
            "$anchor" | "$dynamicAnchor" if !self.anchors.insert(text) => {
                return Err(format!("{name} is given twice"));
            }
            _ => {}
        }
        self.dynamic |= name == "$dynamicAnchor";
        Ok(())
    }
}

/// An error without the data that it is about.
fn sentence(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let text = format!("{}: {}", if place.is_empty() { "/" } else { &place }, error.masked());
    match text.char_indices().nth(ERROR_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
