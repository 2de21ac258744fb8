//! Answers of the model, kept by what was asked: a run that is repeated from the same records gets the same answers without
//! asking anybody. Off unless the setting `answers_max` says how many; of one more, none is kept.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::env::Env;
use super::super::records::Table;

/// Before the key of an answer; under it alone is how many there are.
const ANSWERS: &[u8] = b"learning/answer/";
/// Longest answer kept, in bytes: our choice, far more than eight bullets are.
const ANSWER_MAX: usize = 64 * 1024;

/// What identifies a request: SHA-256 of its canonical form (RFC 8785).
pub(super) fn key(request: &Value) -> [u8; 32] {
    let canonical = serde_json_canonicalizer::to_vec(request);
    Sha256::digest(canonical.unwrap_or_else(|_| request.to_string().into_bytes())).into()
}

fn place(key: &[u8; 32]) -> Vec<u8> {
    [ANSWERS, key].concat()
}

/// The answer to this request, if it is kept.
pub(super) fn answer(env: &Env<'_>, key: &[u8; 32]) -> Option<String> {
    if env.config.learning.answers_max == 0 {
        return None;
    }
    String::from_utf8(env.records.get(Table::Fact, &place(key))?).ok()
}

/// Keeps the answer to a request. The first stays.
pub(super) fn keep(env: &mut Env<'_>, key: &[u8; 32], answer: &str) {
    let kept: u64 = env.records.load(Table::Fact, ANSWERS).unwrap_or_default();
    let full = kept >= env.config.learning.answers_max;
    if full || answer.len() > ANSWER_MAX || env.records.get(Table::Fact, &place(key)).is_some() {
        return;
    }
    env.records.put(Table::Fact, &place(key), None, answer.as_bytes().to_vec());
    env.records.save(Table::Fact, ANSWERS, None, &(kept + 1));
}
