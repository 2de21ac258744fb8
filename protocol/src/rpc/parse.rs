//! Frames as text: requests, responses, batches, and what is wrong with everything else.
//!
//! Nothing here recurses, whatever the nesting, and nothing is allocated beyond a multiple of the input: members are
//! found as texts (`RawValue`) and only those that JSON-RPC names are looked into.

use core::fmt;
use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Id, Incoming, Item, Limits, OWN_ID_PREFIX, Request, Response};
use crate::envelope::nesting;
use crate::primitive::{Code, Error};

/// Reads one frame. Never fails: what cannot be read becomes the error that is to be sent.
pub fn parse(text: &str, limits: &Limits) -> Incoming {
    let Ok(frame) = serde_json::from_str::<&RawValue>(text) else {
        return Incoming::One(Item::Refused(
            Id::null(),
            Error::new(Code::ParseError, "the frame is not JSON"),
        ));
    };
    let frame = frame.get();
    if !frame.starts_with('[') {
        return Incoming::One(item(frame, limits));
    }
    let elements = Elements::split(frame, limits.batch);
    if elements.count == 0 {
        return Incoming::One(invalid(Id::null(), "the batch is empty"));
    }
    if elements.count > limits.batch {
        let problem =
            format!("the batch has {} requests; at most {} are taken", elements.count, limits.batch);
        return Incoming::One(invalid(Id::null(), problem));
    }
    Incoming::Batch(elements.kept.into_iter().map(|element| item(element.get(), limits)).collect())
}

fn invalid(id: Id, problem: impl Into<String>) -> Item {
    Item::Refused(id, Error::new(Code::InvalidRequest, problem))
}

/// Reads what should be one request or response.
fn item(text: &str, limits: &Limits) -> Item {
    if !text.starts_with('{') {
        return invalid(Id::null(), "a request is an object");
    }
    let members = match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) if members.repeated => {
            return invalid(Id::null(), "a member of the request is there twice");
        }
        Ok(members) => members,
        // The frame is JSON: only a member's name can be unreadable now, by a half surrogate pair.
        Err(_) => return invalid(Id::null(), "a member's name is not Unicode"),
    };
    let id = match members.id.map(|raw| read_id(raw.get())) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return invalid(Id::null(), "id is neither a string nor a number"),
    };
    // Before anything else is looked at, so that no reader behind this one meets a text that is too deep for it.
    if nesting(text.as_bytes()) > limits.depth {
        let problem = format!("the request is nested more than {} levels deep", limits.depth);
        return invalid(id.unwrap_or_else(Id::null), problem);
    }
    if members.method.is_none()
        && let Some(response) = response(&members, id.as_ref())
    {
        return response;
    }
    match request(&members, id.clone()) {
        Ok(item) => item,
        Err(problem) => invalid(id.unwrap_or_else(Id::null), problem),
    }
}

/// An object with a method, or with nothing that a response has.
fn request(members: &Members<'_>, id: Option<Id>) -> Result<Item, &'static str> {
    let version = members.jsonrpc.ok_or("the member jsonrpc is missing")?;
    if string(version).as_deref() != Some("2.0") {
        return Err("jsonrpc is not \"2.0\"");
    }
    let method =
        string(members.method.ok_or("the member method is missing")?).ok_or("method is not a string")?;
    let params = match members.params.map(RawValue::get) {
        None => None,
        Some(params) if params.starts_with('{') => Some(params.into()),
        Some(params) if params.starts_with('[') => {
            let error = Error::param("params", "parameters are taken by name, as an object");
            return Ok(id.map_or(Item::Ignored, |id| Item::Refused(id, error)));
        }
        Some(_) => return Err("params is not an object"),
    };
    Ok(Item::Request(Request { id, method, params }))
}

/// An object without a method: a response, if it looks like one to us.
fn response(members: &Members<'_>, id: Option<&Id>) -> Option<Item> {
    let own = id.is_some_and(|id| id.as_json()[1..].starts_with(OWN_ID_PREFIX));
    let result = match (members.result, members.error) {
        (Some(result), None) if own => Ok(result.get().into()),
        (None, Some(error)) if error.get().starts_with('{') => Err(error.get().into()),
        _ => return None,
    };
    Some(Item::Response(Response { id: id.cloned().unwrap_or_else(Id::null), result }))
}

/// The id as it stands, if its type is one that ids may have.
fn read_id(raw: &str) -> Option<Id> {
    let first = raw.bytes().next()?;
    (first == b'"' || first == b'-' || first == b'n' || first.is_ascii_digit()).then(|| Id(raw.into()))
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The members that JSON-RPC names, as JSON texts.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    /// One of them is there twice.
    repeated: bool,
}

impl<'a> Members<'a> {
    fn place(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        Some(match name {
            "jsonrpc" => &mut self.jsonrpc,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "params" => &mut self.params,
            "result" => &mut self.result,
            "error" => &mut self.error,
            _ => return None,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some(Name(name)) = map.next_key()? {
                    let value = map.next_value::<&RawValue>()?;
                    if let Some(place) = members.place(&name)
                        && place.replace(value).is_some()
                    {
                        members.repeated = true;
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A member's name, borrowed unless it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The elements of an array.
struct Elements<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

impl<'a> Elements<'a> {
    /// Keeps the first `most` of the array `text`, which is valid JSON.
    fn split(text: &'a str, most: usize) -> Self {
        struct Reader(usize);
        impl<'de> Visitor<'de> for Reader {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Elements { kept: Vec::new(), count: 0 };
                while elements.kept.len() < self.0
                    && let Some(element) = seq.next_element()?
                {
                    elements.kept.push(element);
                }
                elements.count = elements.kept.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    elements.count += 1;
                }
                Ok(elements)
            }
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        parser.deserialize_seq(Reader(most)).expect("the grammar was checked and elements are kept as text")
    }
}
