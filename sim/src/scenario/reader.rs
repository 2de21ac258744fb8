//! Reads typed values out of the tree. Each table is opened with the list of its fields, so an unknown key is found
//! before anything else and the schema cannot drift from what is read.

use hyperspace_protocol::gossip::Version;
use hyperspace_protocol::time::Duration;

use super::discovery::DhtStart;
use super::error::{Fault, Origin, nearest};
use super::keys::{Field, Kind};
use super::model::{Behaviour, LinkKind, Op, Stat};
use super::tree::{Entry, Node, Value};
use super::units;
use crate::churn::Begin;

/// A table of the file whose keys are all known.
pub(super) struct Reader<'a> {
    node: &'a Node,
    fields: &'static [Field],
    /// Where to point when something is missing.
    pub(super) at: Origin,
    /// What messages call the table: `[run]`.
    name: String,
}

impl<'a> Reader<'a> {
    /// Opens a table, or reports the first key that is not among `fields`.
    pub(super) fn new(
        node: &'a Node,
        at: Origin,
        name: String,
        fields: &'static [Field],
    ) -> Result<Self, Fault> {
        let reader = Self { node, fields, at, name };
        for entry in entries(node, &reader.name)? {
            if !fields.iter().any(|field| field.key == entry.key) {
                let valid: Vec<&str> = fields.iter().map(|field| field.key).collect();
                let message = format!("unknown key `{}` in {}", entry.key, reader.name);
                return Err(Fault::new(entry.key_at, message).help(nearest(&entry.key, &valid)));
            }
        }
        Ok(reader)
    }

    /// The value of `key`, if it is written.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(self.fields.iter().any(|field| field.key == key), "{key} is missing in keys.rs");
        self.node.entry(key).map(|entry| &entry.node)
    }

    /// The value of `key` as a `T`, if it is written.
    pub(super) fn read<T: Setting>(&self, key: &str) -> Result<Option<T>, Fault> {
        self.get(key)
            .map(T::read)
            .transpose()
            .map_err(|fault| Fault { message: format!("`{key}`: {}", fault.message), ..fault })
    }

    /// The value of `key`, or its default.
    pub(super) fn or<T: Setting>(&self, key: &str, default: T) -> Result<T, Fault> {
        Ok(self.read(key)?.unwrap_or(default))
    }

    /// The value of `key`, which has no default.
    pub(super) fn required<T: Setting>(&self, key: &str) -> Result<T, Fault> {
        self.read(key)?.ok_or_else(|| self.missing(key))
    }

    /// The error that `key` is not written.
    pub(super) fn missing(&self, key: &str) -> Fault {
        Fault::new(self.at, format!("{} needs the key `{key}`", self.name))
    }

    /// Replaces the value of `slot` if `key` is written.
    pub(super) fn set<T: Setting>(&self, key: &str, slot: &mut T) -> Result<(), Fault> {
        if let Some(value) = self.read(key)? {
            *slot = value;
        }
        Ok(())
    }

    /// The table under `key`; an empty one if it is not written.
    pub(super) fn table(&self, key: &str, fields: &'static [Field]) -> Result<Self, Fault> {
        match self.node.entry(key) {
            Some(entry) => Self::new(&entry.node, entry.key_at, format!("[{key}]"), fields),
            None => Ok(Self { node: &EMPTY, fields, at: self.at, name: format!("[{key}]") }),
        }
    }

    /// The named tables under `key` (`[group.NAME]`), in the order of the file.
    pub(super) fn named(&self, key: &str, fields: &'static [Field]) -> Result<Vec<(&'a Entry, Self)>, Fault> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let open = |entry: &'a Entry| {
            let name = format!("[{key}.{}]", entry.key);
            Self::new(&entry.node, entry.key_at, name, fields).map(|reader| (entry, reader))
        };
        entries(node, &format!("[{key}]"))?.iter().map(open).collect()
    }

    /// The tables of the array under `key` (`[[workload]]`).
    pub(super) fn list(&self, key: &str, fields: &'static [Field]) -> Result<Vec<Self>, Fault> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let Value::List(items) = &node.value else {
            return Err(wrong(node, &format!("an array of tables, written [[{key}]]")));
        };
        items.iter().map(|item| Self::new(item, item.at, format!("[[{key}]]"), fields)).collect()
    }
}

/// What a missing table reads as.
static EMPTY: Node = Node { value: Value::Table(Vec::new()), at: Origin { source: 0, start: 0, end: 0 } };

fn entries<'a>(node: &'a Node, name: &str) -> Result<&'a [Entry], Fault> {
    match &node.value {
        Value::Table(entries) => Ok(entries),
        Value::Flag(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Date => Err(wrong(node, &format!("the table {name}"))),
    }
}

/// The error that a value has the wrong type.
pub(super) fn wrong(node: &Node, wanted: &str) -> Fault {
    Fault::new(node.at, format!("expected {wanted}, found {}", node.value.kind()))
}

/// A value that a key can have.
pub(super) trait Setting: Sized {
    /// What the schema says of it.
    const KIND: Kind;
    /// Reads it.
    fn read(node: &Node) -> Result<Self, Fault>;
    /// Writes it as TOML that reads back the same.
    fn write(&self) -> String;
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;
    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Flag(flag) = node.value { Ok(flag) } else { Err(wrong(node, "true or false")) }
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            const KIND: Kind = Kind::Count;
            fn read(node: &Node) -> Result<Self, Fault> {
                let Value::Integer(number) = node.value else { return Err(wrong(node, "a whole number")) };
                Self::try_from(number).map_err(|_| {
                    Fault::new(node.at, format!("{number} is out of range")).help(format!("0 to {}", Self::MAX))
                })
            }
            fn write(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
integers!(u32, u64, usize);

impl Setting for f64 {
    const KIND: Kind = Kind::Number;
    fn read(node: &Node) -> Result<Self, Fault> {
        let number = match &node.value {
            Value::Integer(number) => *number as Self,
            Value::Float(number) => *number,
            Value::Text(text) => units::percent(text).map_err(|message| Fault::new(node.at, message))?,
            Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Date => {
                return Err(wrong(node, "a number"));
            }
        };
        if number.is_finite() { Ok(number) } else { Err(Fault::new(node.at, "expected a finite number")) }
    }
    fn write(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
    fn read(node: &Node) -> Result<Self, Fault> {
        text(node).map(str::to_owned)
    }
    fn write(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

impl Setting for Duration {
    const KIND: Kind = Kind::Duration;
    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Integer(_) | Value::Float(_) = node.value {
            return Err(
                wrong(node, "a duration").help("a duration is text with a unit, like \"90s\" or \"500ms\"")
            );
        }
        units::duration(text(node)?).map_err(|message| Fault::new(node.at, message))
    }
    fn write(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A duration, written as a number of milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Ms(pub(super) Duration);

impl Setting for Ms {
    const KIND: Kind = Kind::Milliseconds;
    fn read(node: &Node) -> Result<Self, Fault> {
        let shown = match &node.value {
            Value::Integer(number) => number.to_string(),
            // Displayed without exponent and with as few digits as tell it from others: what was written, if that was fit.
            Value::Float(number) => number.to_string(),
            Value::Flag(_) | Value::Text(_) | Value::List(_) | Value::Table(_) | Value::Date => {
                return Err(wrong(node, "a number of milliseconds"));
            }
        };
        units::milliseconds(&shown).map(Self).map_err(|message| Fault::new(node.at, message))
    }
    fn write(&self) -> String {
        let nanos = self.0.as_nanos();
        let decimals = format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
        decimals.trim_end_matches('0').trim_end_matches('.').into()
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);
    fn read(node: &Node) -> Result<Self, Fault> {
        let Value::List(items) = &node.value else { return Err(wrong(node, "an array")) };
        items.iter().map(T::read).collect()
    }
    fn write(&self) -> String {
        format!("[{}]", self.iter().map(T::write).collect::<Vec<_>>().join(", "))
    }
}

/// Bytes.
pub(super) struct Size(pub(super) u32);

impl Setting for Size {
    const KIND: Kind = Kind::Size;
    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Integer(_) = node.value {
            return u32::read(node).map(Self);
        }
        let bytes = units::size(text(node)?).map_err(|message| Fault::new(node.at, message))?;
        u32::try_from(bytes).map(Self).map_err(|_| Fault::new(node.at, "this size is 4 GiB or more"))
    }
    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// Bits per second; 0 for no limit.
pub(super) struct Bits(pub(super) u64);

impl Setting for Bits {
    const KIND: Kind = Kind::Bandwidth;
    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Integer(0) = node.value {
            return Ok(Self(0));
        }
        if let Value::Integer(_) | Value::Float(_) = node.value {
            return Err(wrong(node, "a bandwidth").help("a bandwidth is text with a unit, like \"20Mbit/s\""));
        }
        units::bits(text(node)?).map(Self).map_err(|message| Fault::new(node.at, message))
    }
    fn write(&self) -> String {
        if self.0 == 0 { "0".into() } else { format!("\"{}bit/s\"", self.0) }
    }
}

/// The time between two, written as a rate.
pub(super) struct Rate(pub(super) Duration);

impl Setting for Rate {
    const KIND: Kind = Kind::Rate;
    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Integer(_) | Value::Float(_) = node.value {
            return Err(wrong(node, "a rate").help("a rate is text with a unit, like \"20/s\" or \"6/m\""));
        }
        units::rate(text(node)?).map(Self).map_err(|message| Fault::new(node.at, message))
    }
    fn write(&self) -> String {
        self.0.write()
    }
}

/// The text of a value.
pub(super) fn text(node: &Node) -> Result<&str, Fault> {
    if let Value::Text(text) = &node.value { Ok(text) } else { Err(wrong(node, "text in quotes")) }
}

/// A value with a fixed set of names.
macro_rules! choices {
    ($type:ty, $what:literal, $($name:literal => $value:path),+) => {
        impl Setting for $type {
            const KIND: Kind = Kind::Choice(&[$($name),+]);
            fn read(node: &Node) -> Result<Self, Fault> {
                // A name like "1.1" may be written as the number that it looks like.
                let shown = if let Value::Float(number) = node.value { format!("{number:?}") } else { String::new() };
                match if shown.is_empty() { text(node)? } else { &shown } {
                    $($name => Ok($value),)+
                    name => Err(Fault::unknown(node.at, $what, name, &[$($name),+])),
                }
            }
            fn write(&self) -> String {
                match self { $($value => concat!("\"", $name, "\"").into()),+ }
            }
        }
    };
}
choices!(LinkKind, "link", "stream" => LinkKind::Stream, "datagram" => LinkKind::Datagram);
choices!(
    Behaviour, "behaviour",
    "honest" => Behaviour::Honest, "sybil-flood" => Behaviour::SybilFlood,
    "dht-sybil" => Behaviour::DhtSybil, "provider-flood" => Behaviour::ProviderFlood
);
choices!(Version, "version", "1.0" => Version::V1_0, "1.1" => Version::V1_1, "1.2" => Version::V1_2);
choices!(DhtStart, "start", "perfect" => DhtStart::Perfect, "join" => DhtStart::Join);
choices!(Begin, "begin", "steady" => Begin::Steady, "up" => Begin::Up);
choices!(Stat, "statistic", "mean" => Stat::Mean, "min" => Stat::Min, "max" => Stat::Max, "p95" => Stat::P95);
choices!(Op, "comparison", "<" => Op::Less, "<=" => Op::AtMost, "==" => Op::Equal, ">=" => Op::AtLeast, ">" => Op::Greater);
