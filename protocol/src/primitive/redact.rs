//! What identifies a person or opens a door is taken out of what a peer shares (spec 9.3).
//!
//! [`redact`] walks a JSON value and puts a tag such as `[EMAIL]` in the place of what a rule finds, in strings, in the
//! names of members, in text that base64 hides once, and in numbers that are payment cards. What is named as a secret
//! (`{"password": ...}`) goes whatever it looks like. Doing it twice changes nothing more.
//!
//! Rules with a checksum (cards, IBANs) use it, and ids of this protocol, UUIDs and SHA-256 hashes are left alone.
//!
//! Limits: names, postal addresses, dates of birth and e-mail addresses outside ASCII are not found, nor numbers without
//! country or area code, nor what is encoded otherwise or spread over several values. Who must be sure does not share.

use core::ops::Range;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::Regex;
use serde_json::Value;

/// What to look for and what to put there.
struct Rule {
    tag: &'static str,
    /// Group 1 if it has one, else the whole, is what goes.
    pattern: LazyLock<Regex>,
    /// Which parts of what was found it really is, in order.
    check: fn(&str) -> Vec<Range<usize>>,
}

macro_rules! rule {
    ($tag:literal, $pattern:expr, $check:expr) => {
        Rule {
            tag: $tag,
            pattern: LazyLock::new(|| Regex::new($pattern).expect("the pattern is right")),
            check: $check,
        }
    };
}

/// In this order: what is longer and surer comes first.
static RULES: [Rule; 12] = [
    rule!(
        "[PRIVATE_KEY]",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z)",
        all
    ),
    rule!("[TOKEN]", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*", all),
    rule!(
        "[API_KEY]",
        concat!(
            r"\b(?:sk-[A-Za-z0-9_-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|gh[pousr]_[A-Za-z0-9]{20,}",
            r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}",
            r"|A[KS]IA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,})"
        ),
        all
    ),
    rule!("[API_KEY]", r"\b(?i-u:bearer) +([A-Za-z0-9._~+/-]{16,}=*)", all),
    rule!(
        "[SECRET]",
        concat!(
            r"\b(?i-u:pass(?:word|wd|phrase)|api[_ -]?key|(?:access|auth|refresh)[_ -]?token|client[_ -]?secret",
            r#"|secret[_ -]?key)["']? *[:=] *["']?([^\s"',;\[][^\s"',;]{3,})"#
        ),
        all
    ),
    rule!(
        "[EMAIL]",
        r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}",
        all
    ),
    rule!("[IBAN]", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", |found| start(iban(
        found
    ))),
    rule!("[CARD]", r"\b[2-6](?:[ -]?[0-9]){12,18}\b", |found| start(card(found))),
    rule!("[SSN]", r"\b[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}\b", |found| start(ssn(found))),
    rule!(
        "[PHONE]",
        r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}\b|\(?\b[2-9][0-9]{2}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}\b",
        all
    ),
    rule!("[IP]", r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3,9}\b", |found| start(ipv4(found))),
    rule!("[IP]", r"[0-9A-Za-z_:]*::?[0-9A-Za-z_:.]*[0-9A-Za-z]", ipv6),
];

/// What looks like a find and is none: peer ids, ids of this protocol, UUIDs, hashes.
static SPARED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:12D3KooW[1-9A-HJ-NP-Za-km-z]{44}",
        r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"|(?:0x)?[0-9a-f]{64}|(?:traj|sess|mem|tool|ep|chan|rcpt)-[0-9a-f]{8,64})\b"
    ))
    .expect("the pattern is right")
});

static ENCODED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{16,}={0,2}").expect("the pattern is right"));

/// Takes out of `value` what identifies a person or opens a door. Returns how many strings, numbers and names changed.
pub fn redact(value: &mut Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => {
            if card(&number.to_string()) != Some(number.to_string().len()) {
                return 0;
            }
            *value = Value::from("[CARD]");
            1
        }
        Value::String(text) => match text_redacted(text) {
            Some(clean) => {
                *text = clean;
                1
            }
            None => 0,
        },
        Value::Array(items) => items.iter_mut().map(redact).sum(),
        Value::Object(members) => {
            let mut found = 0;
            for (name, mut member) in core::mem::take(members) {
                found += match secret(&name) {
                    Some(tag) if holds_something(&member, tag) => {
                        member = Value::from(tag);
                        1
                    }
                    _ => redact(&mut member),
                };
                let clean = text_redacted(&name);
                found += usize::from(clean.is_some());
                let mut name = clean.unwrap_or(name);
                // Two names may become one.
                while members.contains_key(&name) {
                    name.push('\'');
                }
                members.insert(name, member);
            }
            found
        }
    }
}

/// The text without what identifies a person or opens a door; `None` if there was nothing.
pub fn text_redacted(text: &str) -> Option<String> {
    let mut clean = ruled(text).unwrap_or_else(|| text.to_owned());
    let encoded = |found: &str| {
        let found = found.trim_end_matches('=');
        let bytes = STANDARD_NO_PAD.decode(found).or_else(|_| URL_SAFE_NO_PAD.decode(found)).ok()?;
        ruled(str::from_utf8(&bytes).ok()?)
    };
    let hidden: Vec<_> = ENCODED
        .find_iter(&clean)
        .filter(|found| encoded(found.as_str()).is_some())
        .map(|m| m.range())
        .collect();
    for range in hidden.into_iter().rev() {
        clean.replace_range(range, "[ENCODED]");
    }
    (clean != text).then_some(clean)
}

/// Applies the rules until nothing changes: a tag may uncover the edge of another find. Each round leaves less to find.
fn ruled(text: &str) -> Option<String> {
    let mut clean = text.to_owned();
    loop {
        let mut changed = false;
        for rule in &RULES {
            changed |= rule.apply(&mut clean);
        }
        if !changed {
            return (clean != text).then_some(clean);
        }
    }
}

impl Rule {
    fn apply(&self, text: &mut String) -> bool {
        let spared: Vec<_> = SPARED.find_iter(text).map(|found| found.range()).collect();
        let mut finds = Vec::new();
        for captures in self.pattern.captures_iter(text) {
            let Some(found) = captures.get(1).or_else(|| captures.get(0)) else { continue };
            for part in (self.check)(found.as_str()) {
                let range = found.start() + part.start..found.start() + part.end;
                if !spared.iter().any(|spared| spared.start < range.end && range.start < spared.end) {
                    finds.push(range);
                }
            }
        }
        for range in finds.iter().rev() {
            text.replace_range(range.clone(), self.tag);
        }
        !finds.is_empty()
    }
}

/// Whether a member's name says that its value is nobody else's business, and the tag for it.
fn secret(name: &str) -> Option<&'static str> {
    // A tag in the place of a name says nothing about the value.
    if name.starts_with('[') {
        return None;
    }
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    Some(match &name[..] {
        "password" | "passwd" | "passphrase" | "secret" | "secretkey" | "clientsecret" | "privatekey"
        | "mnemonic" | "cvv" | "pin" => "[SECRET]",
        "apikey" | "xapikey" | "accesstoken" | "refreshtoken" | "authtoken" | "sessiontoken"
        | "authorization" => "[API_KEY]",
        "email" | "emailaddress" => "[EMAIL]",
        "phone" | "phonenumber" => "[PHONE]",
        "ssn" | "socialsecuritynumber" => "[SSN]",
        "iban" => "[IBAN]",
        "cardnumber" | "creditcard" => "[CARD]",
        _ => return None,
    })
}

fn holds_something(value: &Value, tag: &str) -> bool {
    match value {
        Value::String(text) => !text.is_empty() && text != tag,
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn all(found: &str) -> Vec<Range<usize>> {
    start(Some(found.len()))
}

/// So many bytes from the start, or nothing.
fn start(length: Option<usize>) -> Vec<Range<usize>> {
    length.map(|length| 0..length).into_iter().collect()
}

/// The longest beginning of `found`, cut at a space or hyphen, that passes.
fn longest(found: &str, passes: impl Fn(&str) -> bool) -> Option<usize> {
    let mut cuts: Vec<usize> = found.match_indices([' ', '-']).map(|(at, _)| at).collect();
    cuts.push(found.len());
    cuts.into_iter().rev().find(|cut| passes(&found[..*cut]))
}

/// ISO 13616: 15 to 34 characters, and as a number, with the first four behind the rest, 1 modulo 97.
fn iban(found: &str) -> Option<usize> {
    longest(found, |text| {
        let text: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
        if !(15..=34).contains(&text.len()) {
            return false;
        }
        let digits = text[4..].iter().chain(&text[..4]);
        let rest = digits.fold(0u32, |rest, b| match b {
            b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
            _ => (rest * 100 + u32::from(b - b'A') + 10) % 97,
        });
        rest == 1
    })
}

/// 13 to 19 digits that begin as issuers' numbers do (2 to 6, ISO 7812) and pass the Luhn check.
fn card(found: &str) -> Option<usize> {
    longest(found, |text| {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
        if !(13..=19).contains(&digits.len()) || !(2..=6).contains(&digits[0]) {
            return false;
        }
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(
                |(place, digit)| {
                    if place.is_multiple_of(2) { *digit } else { digit * 2 / 10 + digit * 2 % 10 }
                },
            )
            .sum();
        sum.is_multiple_of(10)
    })
}

/// US social security numbers: no area 000, 666 or 900 to 999, no group 00, no serial 0000.
fn ssn(found: &str) -> Option<usize> {
    let (area, group, serial) = (&found[..3], &found[4..6], &found[7..]);
    let issued =
        !matches!(area, "000" | "666") && !area.starts_with('9') && group != "00" && serial != "0000";
    issued.then_some(found.len())
}

/// Addresses that many hosts have say nothing about anyone.
fn ipv4(found: &str) -> Option<usize> {
    let address: Ipv4Addr = found.parse().ok()?;
    (!address.is_loopback() && !address.is_unspecified()).then_some(found.len())
}

/// Labels may be glued to an address, as in `ip:2001:db8::7`: what counts is what is between segments that none can have.
fn ipv6(found: &str) -> Vec<Range<usize>> {
    let segment = |text: &str| {
        (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_hexdigit())) || text.parse::<Ipv4Addr>().is_ok()
    };
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut at, mut goes_on) = (0, false);
    for text in found.split(':') {
        let end = at + text.len();
        let fits = segment(text);
        match runs.last_mut() {
            Some(run) if fits && goes_on => run.end = end,
            _ if fits => runs.push(at..end),
            _ => {}
        }
        (at, goes_on) = (end + 1, fits);
    }
    let public = |run: &Range<usize>| {
        let address = found[run.clone()].parse::<Ipv6Addr>();
        address.is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
    };
    runs.retain(public);
    runs
}
