//! Words of a step's line before its body.

use crate::case::{AnswerTo, Auth, Kind, Role};
use crate::json::{Json, Number};
use crate::level::Level;
use crate::matcher::Cite;
use crate::value::{Template, is_variable};

/// Splits a line into words and its body, which begins with the first word that begins with `{`, `[` or `"`.
pub(super) fn words(line: &str) -> (Vec<&str>, &str) {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with(['{', '[', '"']) {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        words.push(word);
        rest = after.trim_start();
    }
    (words, rest)
}

/// What the words of an expectation say.
#[derive(Debug, Default)]
pub(super) struct ExpectWords {
    pub(super) setup: bool,
    pub(super) cites: Vec<Cite>,
    pub(super) answer_to: Option<AnswerTo>,
    pub(super) within_ms: Option<u64>,
}

impl ExpectWords {
    pub(super) fn read(words: &[&str]) -> Result<Self, String> {
        let mut out = Self::default();
        let mut cites = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some(("for", "any")) => out.answer_to = Some(AnswerTo::Any),
                Some(("for", "null")) => out.answer_to = Some(AnswerTo::Nobody),
                Some(("for", name)) if !name.is_empty() => {
                    out.answer_to = Some(AnswerTo::Named(name.to_owned()))
                }
                Some(("within", text)) => out.within_ms = Some(duration(text)?),
                None if *word == "setup" => out.setup = true,
                None if *word == "until" || *word == "fence" => {}
                _ => cites.push(*word),
            }
        }
        out.cites = self::cites(&cites)?;
        if out.setup && !out.cites.is_empty() {
            return Err("setup checks nothing: it takes no requirement".to_owned());
        }
        Ok(out)
    }

    pub(super) fn role(&self) -> Role {
        match (self.setup, self.cites.is_empty()) {
            (true, _) => Role::Setup,
            (false, true) => Role::Case,
            (false, false) => Role::About(self.cites.clone()),
        }
    }
}

/// Requirement ids; a level goes with the ids after it.
pub(super) fn cites(words: &[&str]) -> Result<Vec<Cite>, String> {
    let mut cites = Vec::new();
    let mut level = None;
    for word in words {
        let word = word.trim_end_matches(',');
        if let Some(named) = Level::parse(word) {
            level = Some(named);
        } else if is_requirement(word) {
            cites.push(Cite { id: word.to_owned(), level });
        } else {
            return Err(format!(
                "'{word}' is neither a requirement such as HSP-4.2-11 nor one of must, should, may, info, setup, for=NAME, within=5s"
            ));
        }
    }
    if level.is_some() && cites.is_empty() {
        return Err("a level stands before the requirements that it is for".to_owned());
    }
    Ok(cites)
}

/// Does it look like the id of a requirement: a prefix in capitals, a dash, and more?
fn is_requirement(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    word.split_once('-').is_some_and(|(prefix, rest)| {
        prefix.len() >= 2
            && prefix.chars().all(|c| c.is_ascii_uppercase())
            && !rest.is_empty()
            && rest.chars().all(plain)
    })
}

/// Kinds of an expectation, with `|` between.
pub(super) fn kinds(word: &str) -> Result<Vec<Kind>, String> {
    word.split('|')
        .map(|word| match word {
            "rpc" => Ok(Kind::Rpc),
            "json" => Ok(Kind::Json),
            "frame" => Ok(Kind::Frame),
            "close" => Ok(Kind::Close),
            "none" => Ok(Kind::None),
            _ => Err(format!(
                "'{word}' is nothing to expect; there are rpc, json, frame, close and none, as in rpc|none"
            )),
        })
        .collect()
}

/// `300s`, `5m`, `250ms`, with `+` before it or not; in milliseconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = plain.split_at(digits);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|ms| *ms > 0);
    // A year is more than any case waits.
    let ms = ms.filter(|ms| *ms <= 366 * 86_400_000);
    ms.ok_or_else(|| format!("'{text}' is no duration: write 250ms, 30s, 5m or 1h, at most a year"))
}

/// `auth=none`, `auth=wrong`, `auth=given`, `auth=$TOKEN`.
pub(super) fn auth(words: &[&str]) -> Result<Auth, String> {
    match words {
        [] | ["auth=given"] => Ok(Auth::Given),
        ["auth=none"] => Ok(Auth::None),
        ["auth=wrong"] => Ok(Auth::Wrong),
        [word] => match word.strip_prefix("auth=").filter(|value| value.starts_with('$')) {
            Some(value) => {
                Template::compile(&Json::string(value)).map(Auth::Token).map_err(|error| error.problem)
            }
            None => Err(format!("'{word}': write auth=given, auth=none, auth=wrong or auth=$NAME")),
        },
        _ => Err("@connect takes a name and, if need be, auth=...".to_owned()),
    }
}

/// `budget($S) limit=1.00 consumed=0.88`.
pub(super) fn budget(words: &[&str]) -> Result<(Template, Number, Number), String> {
    let usage = || "write @arrange budget($S) limit=1.00 consumed=0.88".to_owned();
    let [subject, limit, consumed] = words else { return Err(usage()) };
    let session =
        subject.strip_prefix("budget(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(usage)?;
    let session = Template::compile(&Json::string(session)).map_err(|error| error.problem)?;
    let number = |word: &str, name: &str| word.strip_prefix(name).and_then(Number::parse).ok_or_else(usage);
    Ok((session, number(limit, "limit=")?, number(consumed, "consumed=")?))
}

/// The name of a connection or variable at the front of a line.
pub(super) fn name(word: Option<&&str>, what: &str) -> Result<String, String> {
    match word {
        Some(word) if is_variable(word) => Ok((*word).to_owned()),
        _ => Err(format!("{what} has a name that begins with a capital letter")),
    }
}
