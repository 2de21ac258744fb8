//! Replies and requests as text.

use serde_json::Value;

use super::Id;
use crate::primitive::Error;

/// The reply to the request `id`. A result is JSON text and is not checked.
pub fn reply(id: &Id, result: &Result<Box<str>, Error>) -> String {
    match result {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err(error) => {
            let error = serde_json::to_string(error).expect("text, a number and JSON");
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        }
    }
}

/// The one reply to a batch, of the replies to its requests. `None` if there are none: then nothing is sent, not even
/// an empty array.
pub fn batch(replies: impl IntoIterator<Item = String>) -> Option<String> {
    let mut out = String::new();
    for reply in replies {
        out.push(if out.is_empty() { '[' } else { ',' });
        out.push_str(&reply);
    }
    if out.is_empty() {
        return None;
    }
    out.push(']');
    Some(out)
}

/// A request. `params` is the JSON text of an object and is not checked.
pub fn request(id: &Id, method: &str, params: &str) -> String {
    let method = Value::from(method);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
}
