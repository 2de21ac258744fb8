//! What content is looked for: a table of rules, and the engine that applies it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// How bad a finding is, from which a preset decides whether it blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Personal data: wrong in a trajectory, ordinary in a letter.
    Personal,
    /// Gives away a secret, or is made to do harm.
    Harmful,
}

/// One rule. Several may raise the same flag.
struct Rule {
    flag: &'static str,
    severity: Severity,
    /// ASCII regular expression, case-insensitive.
    pattern: &'static str,
    /// What a match must satisfy besides.
    check: Option<fn(&str) -> bool>,
}

const fn harmful(flag: &'static str, pattern: &'static str) -> Rule {
    Rule { flag, severity: Severity::Harmful, pattern, check: None }
}

const fn personal(flag: &'static str, pattern: &'static str, check: Option<fn(&str) -> bool>) -> Rule {
    Rule { flag, severity: Severity::Personal, pattern, check }
}

/// The rules. Our choice: the spec names none. Each is narrow, since what it flags may be refused.
const RULES: &[Rule] = &[
    harmful(
        "prompt-injection",
        r"\b(ignore|disregard|forget|override|bypass)\s+(all\s+|any\s+|everything\s+)?(of\s+)?(the\s+|your\s+|my\s+)?(previous|prior|above|earlier|preceding|system)\s+(instructions?|prompts?|messages?|directions?|rules?)\b",
    ),
    harmful(
        "prompt-injection",
        r"\b(reveal|print|repeat|show|output|leak)\s+(me\s+)?(your|the)\s+(hidden\s+|entire\s+|full\s+)?(system\s+prompt|system\s+message|hidden\s+instructions|initial\s+instructions)\b",
    ),
    harmful(
        "prompt-injection",
        r"\byou\s+are\s+now\s+(in\s+)?(dan|jailbroken|developer\s+mode|unrestricted)\b",
    ),
    harmful("prompt-injection", r"<\|(im_start|im_end|system|endoftext)\|>|\[/?inst\]|<</?sys>>"),
    harmful(
        "private-key",
        r"-----begin\s+((rsa|ec|dsa|openssh|encrypted|pgp)\s+)?private\s+key(\s+block)?-----",
    ),
    harmful("api-key", r"\b(akia|asia)[0-9a-z]{16}\b"),
    harmful("api-key", r"\b(ghp|gho|ghu|ghs|ghr)_[0-9a-z]{36}\b|\bgithub_pat_[0-9a-z_]{22,}"),
    harmful("api-key", r"\bsk-(ant-|proj-)?[0-9a-z_-]{20,}|\b(sk|rk)_live_[0-9a-z]{16,}"),
    harmful("api-key", r"\baiza[0-9a-z_-]{35}|\bxox[abprs]-[0-9a-z-]{10,}"),
    harmful("token", r"\beyj[0-9a-z_-]{8,}\.eyj[0-9a-z_-]{8,}\.[0-9a-z_-]{8,}"),
    harmful("token", r"\bauthorization:\s*(bearer|basic)\s+[0-9a-z._~+/=-]{16,}"),
    harmful(
        "password",
        r#"\b(password|passwd|pwd|client_secret|secret_key)["']?\s*[:=]\s*["']?[0-9a-z!#$%&*+./?@^_~-]{8,}"#,
    ),
    harmful("password", r"\b[a-z][a-z0-9+.-]{1,15}://[0-9a-z._-]{1,64}:[0-9a-z!$%&*+_~-]{4,64}@[0-9a-z.-]+"),
    harmful(
        "destructive-command",
        r"\brm\s+(-[a-z-]+\s+)*-[a-z]*(rf|fr)[a-z]*\s+(--no-preserve-root\s+)?(/|~|\$home)/?\*?(\s|;|&|$)",
    ),
    harmful(
        "destructive-command",
        r":\(\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:|\bmkfs(\.[a-z0-9]+)?\s+/dev/|\bdd\s+if=[!-~]{1,64}\s+of=/dev/",
    ),
    harmful(
        "destructive-command",
        r"\b(curl|wget)\s[0-9a-z\s:/._?=&%~'-]{1,200}\|\s*(sudo\s+)?(ba|z|da)?sh\b",
    ),
    harmful(
        "destructive-command",
        r"\bdrop\s+(table|database|schema)\s+(if\s+exists\s+)?[0-9a-z_.]+\s*(cascade\s*)?;",
    ),
    personal("email", r"\b[0-9a-z._%+-]{1,64}@[0-9a-z-]{1,63}(\.[0-9a-z-]{1,63}){0,4}\.[a-z]{2,24}\b", None),
    personal("phone", r"\+[1-9][0-9]{0,2}[ .-]?\(?[0-9]{2,4}\)?([ .-]?[0-9]{2,4}){2,4}\b", None),
    personal("phone", r"\(?\b[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b", None),
    personal("credit-card", r"\b[3-6][0-9]{3}([ -]?[0-9]){9,15}\b", Some(luhn)),
    personal("social-security-number", r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b", None),
    personal("iban", r"\b[a-z]{2}[0-9]{2}([ ]?[0-9a-z]{4}){3,7}([ ]?[0-9a-z]{1,3})?\b", Some(iban)),
    personal(
        "ip-address",
        r"\b(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}\b",
        None,
    ),
];

/// Whether the digits have the check digit of ISO/IEC 7812.
fn luhn(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the text begins with the right check digits of ISO 13616; words may follow that the pattern cannot tell apart.
fn iban(text: &str) -> bool {
    let ends = text.match_indices(' ').map(|(end, _)| end).chain([text.len()]);
    ends.map(|end| text[..end].replace(' ', "")).any(|text| {
        let Some((head, rest)) = text.split_at_checked(4) else { return false };
        let digits = rest.chars().chain(head.chars()).filter_map(|c| c.to_digit(36));
        let rest = digits.fold(0, |sum, digit| (sum * if digit > 9 { 100 } else { 10 } + digit) % 97);
        text.len() >= 15 && rest == 1
    })
}

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let mut builder = RegexSetBuilder::new(RULES.iter().map(|rule| rule.pattern));
    builder.unicode(false).case_insensitive(true).build().expect("tests build it")
});

/// The rules that check their matches, each alone.
static CHECKED: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    let build = |rule: &Rule| {
        let mut builder = RegexBuilder::new(rule.pattern);
        builder.unicode(false).case_insensitive(true).build().expect("tests build it")
    };
    RULES.iter().map(|rule| rule.check.map(|_| build(rule))).collect()
});

/// Characters that show nothing and so can hide a phrase from the rules.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Adds the flags of a text. The work is linear in its length: the expressions have no backtracking.
pub(super) fn look(text: &str, flags: &mut BTreeSet<String>) {
    let visible: String;
    let text = if text.contains(invisible) {
        visible = text.replace(invisible, "");
        &visible
    } else {
        text
    };
    for index in SET.matches(text) {
        let rule = &RULES[index];
        let real = match (&CHECKED[index], rule.check) {
            (Some(regex), Some(check)) => regex.find_iter(text).any(|found| check(found.as_str())),
            _ => true,
        };
        if real && !flags.contains(rule.flag) {
            flags.insert(rule.flag.to_owned());
        }
    }
}

/// How bad a flag is; of a flag that no rule raises, such as one of a classifier, the worst is assumed.
pub(super) fn severity(flag: &str) -> Severity {
    RULES.iter().find(|rule| rule.flag == flag).map_or(Severity::Harmful, |rule| rule.severity)
}
