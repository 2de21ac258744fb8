//! A TOML document as a tree that remembers where each key and value was written and in which order, so that arms and
//! overrides can be laid over it and errors still point at the right text.

use std::borrow::Cow;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Origin};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Origin,
}

/// What TOML can hold, as far as scenarios use it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Flag(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A date or time: valid TOML, but no scenario key takes one.
    Date,
}

/// One key of a table. Tables keep the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Origin,
    pub(super) node: Node,
}

impl Value {
    /// What messages call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
            Self::Date => "a date",
        }
    }
}

impl Node {
    /// Parses a document that is `sources[source]`.
    pub(super) fn parse(text: &str, source: usize) -> Result<Self, Fault> {
        let table = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            Fault::new(Origin::new(source, span), format!("not valid TOML: {}", error.message()))
        })?;
        let at = Origin::new(source, 0..0);
        Ok(Self { value: table_of(table.get_ref(), source)?, at })
    }

    /// The entries of this table; none if it is not one.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Table(entries) = &self.value { entries } else { &[] }
    }

    /// The keys of this table.
    pub(super) fn keys(&self) -> Vec<&str> {
        self.entries().iter().map(|entry| entry.key.as_str()).collect()
    }

    /// The entry of that name, if this is a table that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Whether `path` through tables is written.
    pub(super) fn has(&self, path: &str) -> bool {
        path.split('.').try_fold(self, |node, part| node.entry(part).map(|entry| &entry.node)).is_some()
    }

    /// Takes the entry of that name out of this table.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let Value::Table(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(index))
    }

    /// The place of `path` (`group.honest.count`, `workload.0.rate`), or of the longest part of it that is written.
    pub(super) fn place(&self, path: &str) -> Origin {
        let mut node = self;
        let mut at = self.at;
        for part in path.split('.') {
            match &node.value {
                Value::List(items) => {
                    let Some(item) = part.parse::<usize>().ok().and_then(|index| items.get(index)) else {
                        break;
                    };
                    (node, at) = (item, item.at);
                }
                Value::Table(_) => {
                    let Some(entry) = node.entry(part) else { break };
                    node = &entry.node;
                    // A table is best pointed at by its key, a plain value by itself.
                    at = if matches!(node.value, Value::Table(_) | Value::List(_)) {
                        entry.key_at
                    } else {
                        node.at
                    };
                }
                Value::Flag(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::Date => break,
            }
        }
        at
    }

    /// Replaces every plain value below by `leaf`.
    fn fill(&mut self, leaf: &Self) {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().for_each(|entry| entry.node.fill(leaf)),
            Value::Flag(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Date => {
                *self = leaf.clone();
            }
        }
    }

    /// Lays `change` over this: tables are merged key by key, a table of numbers changes items of an array, anything
    /// else is replaced.
    pub(super) fn merge(&mut self, change: &Self) -> Result<(), Fault> {
        match (&mut self.value, &change.value) {
            (Value::Table(entries), Value::Table(changes)) => {
                for entry in changes {
                    match entries.iter_mut().find(|old| old.key == entry.key) {
                        Some(old) => old.node.merge(&entry.node)?,
                        None => entries.push(entry.clone()),
                    }
                }
                Ok(())
            }
            (Value::List(items), Value::Table(changes)) => {
                for entry in changes {
                    let count = items.len();
                    let item = entry.key.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                    let Some(item) = item else {
                        let message = format!("there is no item `{}` in an array of {count}", entry.key);
                        return Err(Fault::new(entry.key_at, message).help("items are numbered from 0"));
                    };
                    item.merge(&entry.node)?;
                }
                Ok(())
            }
            (_, _) => {
                *self = change.clone();
                Ok(())
            }
        }
    }
}

/// Parses `PATH=VALUE` into the table that [`Node::merge`] lays over a document. The value is TOML if it parses as such,
/// else text.
pub(super) fn parse_override(text: &str, source: usize) -> Result<Node, Fault> {
    let whole = Origin::new(source, 0..text.len());
    let shape = || Fault::new(whole, "not an override").help("write PATH=VALUE, like run.duration=60s");
    let (path, _) = text.split_once('=').ok_or_else(shape)?;
    if text.contains(['\n', '\r']) || path.trim_start().starts_with(['[', '#']) {
        return Err(shape());
    }
    if let Ok(node) = Node::parse(text, source) {
        return Ok(node);
    }
    let mut node = Node::parse(&format!("{path}=0"), source).map_err(|_| shape())?;
    let value = Value::Text(text[path.len() + 1..].trim().into());
    node.fill(&Node { value, at: Origin::new(source, path.len() + 1..text.len()) });
    Ok(node)
}

fn table_of(table: &DeTable<'_>, source: usize) -> Result<Value, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table.iter() {
        entries.push(entry_of(key, value, source)?);
    }
    // The TOML crate sorts by name; we want the order of the file.
    entries.sort_by_key(|entry| entry.key_at.start);
    Ok(Value::Table(entries))
}

fn entry_of(
    key: &Spanned<Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    source: usize,
) -> Result<Entry, Fault> {
    Ok(Entry {
        key: key.get_ref().to_string(),
        key_at: Origin::new(source, key.span()),
        node: node_of(value, source)?,
    })
}

fn node_of(value: &Spanned<DeValue<'_>>, source: usize) -> Result<Node, Fault> {
    let at = Origin::new(source, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(Value::Integer)
            .map_err(|_| Fault::new(at, "this integer is too large"))?,
        DeValue::Float(number) => {
            let number: f64 = number.as_str().parse().map_err(|_| Fault::new(at, "not a number"))?;
            Value::Float(number)
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node_of(item, source)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => table_of(table, source)?,
    };
    Ok(Node { value, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(document: &str, change: &str) -> Result<Node, Fault> {
        let mut node = Node::parse(document, 0).expect("document");
        node.merge(&parse_override(change, 1)?).map(|()| node)
    }

    fn at<'a>(node: &'a Node, path: &[&str]) -> &'a Value {
        let leaf = path.iter().fold(node, |node, key| {
            if let Value::List(items) = &node.value {
                return &items[key.parse::<usize>().expect("index")];
            }
            &node.entry(key).expect(key).node
        });
        &leaf.value
    }

    #[test]
    fn tables_keep_the_order_of_the_file() {
        let node = Node::parse("[group.zeta]\ncount=1\n[group.alpha]\ncount=2\n[run]\nseed=1_000", 0)
            .expect("valid");
        let Value::Table(groups) = at(&node, &["group"]) else { panic!("a table") };
        assert_eq!(groups.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["zeta", "alpha"]);
        assert_eq!(at(&node, &["run", "seed"]), &Value::Integer(1000));
    }

    #[test]
    fn overrides_replace_create_and_index() {
        let document = "[run]\nduration = \"1s\"\n[[workload]]\nrate = \"1/s\"\n";
        let node = merged(document, "run.duration=60s").expect("replace");
        assert_eq!(at(&node, &["run", "duration"]), &Value::Text("60s".into()));
        let node = merged(document, "group.honest.count=5").expect("create");
        assert_eq!(at(&node, &["group", "honest", "count"]), &Value::Integer(5));
        let node = merged(document, "workload.0.rate = 20/s").expect("index");
        assert_eq!(at(&node, &["workload", "0", "rate"]), &Value::Text("20/s".into()));
        let node = merged(document, "gossip.scores=false").expect("flag");
        assert_eq!(at(&node, &["gossip", "scores"]), &Value::Flag(false));
        let node = merged(document, "network.loss=2%").expect("share");
        assert_eq!(at(&node, &["network", "loss"]), &Value::Text("2%".into()));
    }

    #[test]
    fn bad_overrides_are_named() {
        for text in ["", "run", "=5", "[run]=5", "#x=1", "run..seed=1", "a\n=1", "run seed=1"] {
            let fault = merged("", text).expect_err(text);
            assert_eq!((fault.message.as_str(), fault.at.source), ("not an override", 1), "{text}");
        }
        let fault = merged("workload = [{}]", "workload.1.rate=1/s").expect_err("index");
        assert_eq!(fault.message, "there is no item `1` in an array of 1");
    }

    #[test]
    fn places_fall_back_to_what_is_written() {
        let text = "[run]\nseed = 1\n[[workload]]\nrate = \"1/s\"\n";
        let node = Node::parse(text, 0).expect("valid");
        let shown = |path| {
            let at = node.place(path);
            &text[at.start..at.end]
        };
        assert_eq!(shown("run.seed"), "1");
        assert_eq!(shown("run.warmup"), "run");
        assert_eq!(shown("workload.0.rate"), "\"1/s\"");
        assert_eq!(shown("workload.0.stop"), "[[workload]]");
        assert_eq!(shown("network.loss"), "");
    }
}
