//! How much work it is to validate data by a schema, known before it is done.
//!
//! A schema of a few lines can ask for more work than there is time: each of `n` definitions refers to the next one twice,
//! and so the last is applied 2^n times. What counts is how often which part of the schema meets which part of the data.
//! There are only so many such pairs, so the number is had by adding up each pair once, however often it is met.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a byte matched with a regular expression costs. The engine has no backtracking, but may do several steps a byte.
const PATTERN_BYTE: u64 = 32;
/// What each value in the data costs if a metaschema is applied to it: about its number of keywords.
const METASCHEMA: u64 = 1000;
/// How many schemas deep a metaschema goes for each level of the data.
const METASCHEMA_DEPTH: usize = 6;

/// The ids of the metaschemas of the drafts that are read; an empty fragment may follow. Draft 4 has another way to name its
/// parts.
pub(super) const METASCHEMAS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];

const TOO_MUCH: &str = "would be too much work for this data";

/// How often a pair comes up, in units of about one keyword applied to one value.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// To say whether the data fits.
    verdict: u64,
    /// To say what in the data was looked at, for `unevaluatedProperties` and `unevaluatedItems`.
    marks: u64,
    /// To say what is wrong: verdicts on the way decide what is reported.
    errors: u64,
}

/// How a keyword applies another schema.
#[derive(Clone, Copy)]
enum How {
    /// To the same value, as part of its own verdict.
    Here,
    /// To the same value, to see whether it fits: that is asked again before anything else is.
    Tried,
    /// To a value within this one.
    Within,
    /// To a value within this one, to see whether it fits.
    TriedWithin,
}

/// Adds up.
pub(super) struct Work<'a> {
    root: &'a Value,
    anchors: BTreeMap<&'a str, &'a Value>,
    patterns: u64,
    sizes: BTreeMap<*const Value, u64>,
    /// `None` while a pair is being added up: a pair that leads to itself goes on forever.
    pairs: BTreeMap<(*const Value, *const Value), Option<Cost>>,
    steps: u64,
    work_max: u64,
    depth_max: usize,
}

/// Stands for the name of a property under `propertyNames`; what matching costs is counted with the object.
static NAME: Value = Value::String(String::new());

impl<'a> Work<'a> {
    /// For one schema. More than `work_max` units, or schemas more than `depth_max` deep in each other, are too much.
    pub(super) fn new(root: &'a Value, work_max: u64, depth_max: usize) -> Self {
        let mut work = Self {
            root,
            anchors: BTreeMap::new(),
            patterns: 0,
            sizes: BTreeMap::new(),
            pairs: BTreeMap::new(),
            steps: 0,
            work_max,
            depth_max,
        };
        work.survey(root);
        work
    }

    fn survey(&mut self, schema: &'a Value) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| self.survey(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    match (&name[..], value) {
                        ("$anchor" | "$dynamicAnchor", Value::String(anchor)) => {
                            self.anchors.insert(anchor, schema);
                        }
                        ("pattern", Value::String(_)) => self.patterns += 1,
                        ("patternProperties", Value::Object(patterns)) => {
                            self.patterns += patterns.len() as u64;
                        }
                        _ => {}
                    }
                    self.survey(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Regular expressions in the schema.
    pub(super) const fn patterns(&self) -> u64 {
        self.patterns
    }

    /// Checks that it is not too much to validate `data` and to say what is wrong with it.
    ///
    /// # Errors
    /// What makes it endless or too much.
    pub(super) fn bound(&mut self, data: &Value) -> Result<(), String> {
        let cost = self.pair(self.root, data, 0)?;
        let work = cost.verdict.saturating_add(cost.errors);
        if work > self.work_max { Err(TOO_MUCH.to_owned()) } else { Ok(()) }
    }

    /// What a fragment within the document refers to.
    fn target(&self, fragment: &str) -> Option<&'a Value> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(&unescape(fragment)?);
        }
        self.anchors.get(fragment).copied()
    }

    fn pair(&mut self, schema: &'a Value, data: &Value, depth: usize) -> Result<Cost, String> {
        let Value::Object(keywords) = schema else {
            return Ok(Cost { verdict: 1, marks: 1, errors: 1 });
        };
        let key = (core::ptr::from_ref(schema), core::ptr::from_ref(data));
        match self.pairs.get(&key) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err("refers to itself without end".to_owned()),
            None => {}
        }
        if depth >= self.depth_max {
            return Err(format!("goes more than {} schemas deep for this data", self.depth_max));
        }
        self.pairs.insert(key, None);
        let mut sum = Cost::default();
        for (keyword, argument) in keywords {
            self.keyword((keyword, argument), keywords, data, depth + 1, &mut sum)?;
        }
        let own = self.own(keywords, data);
        let unevaluated =
            keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems");
        let marks = sum.marks.saturating_add(own);
        let extra = if unevaluated { marks } else { 0 };
        let cost = Cost {
            verdict: sum.verdict.saturating_add(own).saturating_add(extra),
            marks,
            errors: sum.errors.saturating_add(own).saturating_add(extra),
        };
        self.pairs.insert(key, Some(cost));
        Ok(cost)
    }

    /// Adds what a keyword has other schemas do.
    fn keyword(
        &mut self,
        (keyword, argument): (&str, &'a Value),
        beside: &Map<String, Value>,
        data: &Value,
        depth: usize,
        sum: &mut Cost,
    ) -> Result<(), String> {
        let mut add = |how, schema, value| self.add(how, schema, value, depth, sum);
        let named = beside.get("properties").and_then(Value::as_object);
        let unnamed = |name: &String| !named.is_some_and(|named| named.contains_key(name));
        match (keyword, argument, data) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference), _) => {
                // Only a metaschema is outside the document and was let through.
                let Some(fragment) = reference.strip_prefix('#') else {
                    return self.metaschema(data, depth, sum);
                };
                // The compiler reads some pointers more generously; what it would find there has no price.
                let target = self.target(fragment).ok_or("has a reference that leads nowhere")?;
                self.add(How::Here, target, data, depth, sum)
            }
            ("then" | "else", schema, _) => add(How::Here, schema, data),
            ("not" | "if", schema, _) => add(How::Tried, schema, data),
            ("allOf", Value::Array(schemas), _) => {
                schemas.iter().try_for_each(|schema| add(How::Here, schema, data))
            }
            ("anyOf" | "oneOf", Value::Array(schemas), _) => {
                schemas.iter().try_for_each(|schema| add(How::Tried, schema, data))
            }
            ("dependentSchemas" | "dependencies", Value::Object(schemas), Value::Object(_)) => {
                schemas.values().try_for_each(|schema| add(How::Here, schema, data))
            }
            ("properties", Value::Object(schemas), Value::Object(members)) => {
                let mut both = schemas.iter().filter_map(|(name, schema)| Some((schema, members.get(name)?)));
                both.try_for_each(|(schema, value)| add(How::Within, schema, value))
            }
            ("patternProperties", Value::Object(schemas), Value::Object(members)) => {
                let mut both = schemas.values().flat_map(|schema| members.values().map(move |v| (schema, v)));
                both.try_for_each(|(schema, value)| add(How::Within, schema, value))
            }
            ("additionalProperties" | "unevaluatedProperties", schema, Value::Object(members)) => {
                let how = if keyword == "additionalProperties" { How::Within } else { How::TriedWithin };
                let mut others = members.iter().filter(|(name, _)| unnamed(name));
                others.try_for_each(|(_, value)| add(how, schema, value))
            }
            ("propertyNames", schema, Value::Object(members)) => {
                members.keys().try_for_each(|_| add(How::Within, schema, &NAME))
            }
            ("prefixItems" | "items", Value::Array(schemas), Value::Array(items)) => {
                schemas.iter().zip(items).try_for_each(|(schema, item)| add(How::Within, schema, item))
            }
            ("items" | "additionalItems", schema, Value::Array(items)) => {
                let first = if keyword == "items" { "prefixItems" } else { "items" };
                let placed = beside.get(first).and_then(Value::as_array).map_or(0, Vec::len);
                items.iter().skip(placed).try_for_each(|item| add(How::Within, schema, item))
            }
            ("unevaluatedItems" | "contains", schema, Value::Array(items)) => {
                items.iter().try_for_each(|item| add(How::TriedWithin, schema, item))
            }
            _ => Ok(()),
        }
    }

    fn add(
        &mut self,
        how: How,
        schema: &'a Value,
        data: &Value,
        depth: usize,
        sum: &mut Cost,
    ) -> Result<(), String> {
        // Each step is part of the work, so it is not more work to count them.
        self.steps += 1;
        if self.steps > self.work_max {
            return Err(TOO_MUCH.to_owned());
        }
        let Cost { verdict, marks, errors } = self.pair(schema, data, depth)?;
        let twice = verdict.saturating_mul(2);
        let (marks, errors) = match how {
            How::Here => (verdict.saturating_add(marks), errors),
            How::Tried => (twice.saturating_add(marks), twice.saturating_add(errors)),
            How::Within => (0, errors),
            How::TriedWithin => (verdict, twice),
        };
        sum.verdict = sum.verdict.saturating_add(verdict);
        sum.marks = sum.marks.saturating_add(marks);
        sum.errors = sum.errors.saturating_add(errors);
        Ok(())
    }

    fn metaschema(&mut self, data: &Value, depth: usize, sum: &mut Cost) -> Result<(), String> {
        if depth + METASCHEMA_DEPTH * levels(data) > self.depth_max {
            return Err(format!("goes more than {} schemas deep for this data", self.depth_max));
        }
        let cost = self.size(data).saturating_mul(METASCHEMA);
        for part in [&mut sum.verdict, &mut sum.marks, &mut sum.errors] {
            *part = part.saturating_add(cost);
        }
        Ok(())
    }

    /// What the keywords do by themselves.
    fn own(&mut self, keywords: &Map<String, Value>, data: &Value) -> u64 {
        let mut own = 1 + keywords.len() as u64;
        for (keyword, argument) in keywords {
            own = own.saturating_add(match (&keyword[..], argument, data) {
                ("enum" | "const" | "required" | "dependentRequired" | "type", argument, _) => {
                    self.size(argument)
                }
                ("properties", Value::Object(schemas), _) => schemas.len() as u64,
                ("pattern", _, Value::String(text)) => PATTERN_BYTE * text.len() as u64,
                (_, _, Value::String(text)) => text.len() as u64 / 8,
                ("patternProperties", Value::Object(patterns), Value::Object(members)) => {
                    PATTERN_BYTE.saturating_mul(names(members)).saturating_mul(patterns.len() as u64)
                }
                ("propertyNames", _, Value::Object(members)) => {
                    PATTERN_BYTE.saturating_mul(names(members)).saturating_mul(self.patterns + 1)
                }
                ("uniqueItems", _, Value::Array(_)) => self.size(data).saturating_mul(4),
                (_, _, Value::Array(items)) => items.len() as u64 / 4,
                (_, _, Value::Object(members)) => members.len() as u64 / 4,
                _ => 0,
            });
        }
        own
    }

    /// How many values there are in a value, itself included; long strings count for more.
    fn size(&mut self, value: &Value) -> u64 {
        let inner: Box<dyn Iterator<Item = &Value>> = match value {
            Value::String(text) => return 1 + text.len() as u64 / 64,
            Value::Null | Value::Bool(_) | Value::Number(_) => return 1,
            Value::Array(items) => Box::new(items.iter()),
            Value::Object(members) => Box::new(members.values()),
        };
        let key = core::ptr::from_ref(value);
        if let Some(size) = self.sizes.get(&key) {
            return *size;
        }
        let size = 1 + inner.map(|value| 1 + self.size(value)).sum::<u64>();
        self.sizes.insert(key, size);
        size
    }
}

/// How long the names of an object are together.
fn names(members: &Map<String, Value>) -> u64 {
    members.keys().map(|name| 1 + name.len() as u64).sum()
}

/// How deep values are in each other.
pub(super) fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Undoes the percent encoding of a fragment.
fn unescape(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let code = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(code).ok()?);
    }
    String::from_utf8(bytes).ok()
}
