//! Changes to JSON values, as data: what a mutant or a legal variant does to a request or an answer.

use hyperspace_conformance::json::{Json, Number};

/// A change in one place, or in several.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Names of members, with `/` between; `*` is every item of an array or member of an object. Empty: the value itself.
    pub path: String,
    /// What is done there. Nothing where there is nothing.
    pub change: Change,
}

/// What is done in a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The member or item is gone.
    Drop,
    /// The member is called otherwise.
    Rename(String),
    /// Another value stands there, also if there was none.
    Set(Json),
    /// A value of another type: a number for a string, a string for everything else.
    Retype,
    /// So much is added to a number.
    Add(f64),
    /// A number is multiplied.
    Times(f64),
    /// An array is the other way round.
    Reverse,
    /// The first item of an array is gone.
    Behead,
    /// The first item of an array is there twice.
    Stutter,
    /// Letters outside ASCII are gone from strings.
    Ascii,
    /// A truth becomes the other one.
    Not,
    /// A member is copied to another name next to it.
    Copy(String),
}

impl Edit {
    /// A change in a place.
    pub fn new(path: impl Into<String>, change: Change) -> Self {
        Self { path: path.into(), change }
    }

    /// Carries it out. Whether anything is otherwise than before.
    pub fn apply(&self, value: &mut Json) -> bool {
        let steps: Vec<&str> = self.path.split('/').filter(|step| !step.is_empty()).collect();
        apply(value, &steps, &self.change)
    }
}

fn apply(value: &mut Json, steps: &[&str], change: &Change) -> bool {
    match steps {
        [] => at(value, change),
        [last] if *last != "*" => member(value, last, change),
        ["*", rest @ ..] => {
            let mut changed = false;
            if let Json::Array(items) = value {
                if rest.is_empty() && *change == Change::Drop {
                    changed = !items.is_empty();
                    items.clear();
                }
                for item in items {
                    changed |= apply(item, rest, change);
                }
            } else if let Json::Object(members) = value {
                for (_, inner) in members {
                    changed |= apply(inner, rest, change);
                }
            }
            changed
        }
        [name, rest @ ..] => inner(value, name).is_some_and(|inner| apply(inner, rest, change)),
    }
}

/// The member or item of this name, to be changed.
pub fn inner<'a>(value: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    if let Json::Array(items) = value {
        return items.get_mut(name.parse::<usize>().ok()?);
    }
    let Json::Object(members) = value else { return None };
    members.iter_mut().rev().find(|(member, _)| member == name).map(|(_, value)| value)
}

/// Gives a member a value, in place of the one it has.
pub fn set(value: &mut Json, name: &str, new: Json) {
    if let Some(old) = inner(value, name) {
        *old = new;
    } else if let Json::Object(members) = value {
        members.push((name.to_owned(), new));
    }
}

fn member(value: &mut Json, name: &str, change: &Change) -> bool {
    if let Change::Set(new) = change {
        set(value, name, new.clone());
        return true;
    }
    if let Json::Object(members) = value {
        let Some(place) = members.iter().position(|(member, _)| member == name) else { return false };
        if *change == Change::Drop {
            members.remove(place);
            return true;
        } else if let Change::Rename(new) = change {
            new.clone_into(&mut members[place].0);
            return true;
        } else if let Change::Copy(to) = change {
            let copy = members[place].1.clone();
            set(value, to, copy);
            return true;
        }
    } else if let (Json::Array(items), Ok(index), Change::Drop) = (&mut *value, name.parse::<usize>(), change)
    {
        let there = index < items.len();
        if there {
            items.remove(index);
        }
        return there;
    }
    inner(value, name).is_some_and(|inner| at(inner, change))
}

fn at(value: &mut Json, change: &Change) -> bool {
    match change {
        Change::Set(new) => {
            *value = new.clone();
            true
        }
        Change::Retype => {
            *value = if value.as_str().is_some() { Json::integer(7) } else { Json::string("retyped") };
            true
        }
        Change::Add(more) => number(value, |old| old + more),
        Change::Times(by) => number(value, |old| old * by),
        Change::Reverse => items(value, |items| items.reverse()),
        Change::Behead => items(value, |items| drop(items.remove(0))),
        Change::Stutter => items(value, |items| items.insert(0, items[0].clone())),
        Change::Ascii => ascii(value),
        Change::Not => {
            let Json::Bool(truth) = value else { return false };
            *truth = !*truth;
            true
        }
        Change::Drop | Change::Rename(_) | Change::Copy(_) => false,
    }
}

/// A number in the shortest form that reads as this double.
#[must_use]
pub fn double(value: f64) -> Json {
    Number::parse(&value.to_string()).map_or(Json::Null, Json::Number)
}

fn number(value: &mut Json, change: impl Fn(f64) -> f64) -> bool {
    let Some(old) = value.as_number().map(Number::to_f64) else { return false };
    // A billionth is below what any amount here can mean; without it sums of doubles would show.
    *value = double((change(old) * 1e9).round() / 1e9);
    true
}

fn items(value: &mut Json, change: impl Fn(&mut Vec<Json>)) -> bool {
    let Json::Array(items) = value else { return false };
    if items.is_empty() {
        return false;
    }
    change(items);
    true
}

fn ascii(value: &mut Json) -> bool {
    if let Json::String(text) = value {
        let before = text.len();
        text.retain(|letter| letter.is_ascii());
        return text.len() != before;
    }
    let mut changed = false;
    if let Json::Array(items) = value {
        for item in items {
            changed |= ascii(item);
        }
    } else if let Json::Object(members) = value {
        for (_, inner) in members {
            changed |= ascii(inner);
        }
    }
    changed
}

/// Whether a text in it has letters outside ASCII.
#[must_use]
pub fn has_unicode(value: &Json) -> bool {
    if let Json::String(text) = value {
        return !text.is_ascii();
    }
    value.items().is_some_and(|items| items.iter().any(has_unicode))
        || value
            .members()
            .is_some_and(|members| members.iter().any(|(name, inner)| !name.is_ascii() || has_unicode(inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(value: &str, path: &str, change: Change) -> String {
        let mut json = Json::parse(value).unwrap();
        Edit::new(path, change).apply(&mut json);
        json.to_string()
    }

    #[test]
    fn edits_do_what_they_say_where_they_say() {
        let value = r#"{"a":[{"b":1,"c":"é"},{"b":2}],"d":true}"#;
        let cases = [
            ("a/*/b", Change::Drop, r#"{"a":[{"c":"é"},{}],"d":true}"#),
            ("a/0/b", Change::Add(0.1), r#"{"a":[{"b":1.1,"c":"é"},{"b":2}],"d":true}"#),
            ("a/*/b", Change::Rename("x".into()), r#"{"a":[{"x":1,"c":"é"},{"x":2}],"d":true}"#),
            ("a", Change::Behead, r#"{"a":[{"b":2}],"d":true}"#),
            ("a", Change::Reverse, r#"{"a":[{"b":2},{"b":1,"c":"é"}],"d":true}"#),
            ("a/*", Change::Drop, r#"{"a":[],"d":true}"#),
            ("d", Change::Not, r#"{"a":[{"b":1,"c":"é"},{"b":2}],"d":false}"#),
            ("d", Change::Copy("e".into()), r#"{"a":[{"b":1,"c":"é"},{"b":2}],"d":true,"e":true}"#),
            ("", Change::Ascii, r#"{"a":[{"b":1,"c":""},{"b":2}],"d":true}"#),
            ("x/y", Change::Retype, value),
        ];
        for (path, change, after) in cases {
            assert_eq!(changed(value, path, change.clone()), after, "{path} {change:?}");
        }
    }
}
