//! Other ways to write the same JSON.

use core::fmt::Write;

use hyperspace_conformance::json::{Json, Number};

/// Numbers of a result otherwise; ids and codes as they are, since an id comes back as it was sent.
fn with_numbers(answer: &Json, write: &dyn Fn(&Number) -> Option<Number>) -> String {
    fn walk(value: &mut Json, write: &dyn Fn(&Number) -> Option<Number>) {
        if let Json::Array(items) = value {
            items.iter_mut().for_each(|item| walk(item, write));
        } else if let Json::Object(members) = value {
            members.iter_mut().for_each(|(_, inner)| walk(inner, write));
        } else if let Json::Number(number) = value
            && let Some(new) = write(number)
        {
            *number = new;
        }
    }
    let mut answer = answer.clone();
    if let Some(result) = crate::edit::inner(&mut answer, "result") {
        walk(result, write);
    }
    answer.to_string()
}

/// Whole numbers as `1.0`.
pub(super) fn decimals(answer: &Json) -> String {
    with_numbers(answer, &|number| {
        let text = number.as_str();
        if text.contains(['.', 'e', 'E']) { None } else { Number::parse(&format!("{text}.0")) }
    })
}

/// Numbers as `1e0`.
pub(super) fn exponents(answer: &Json) -> String {
    with_numbers(answer, &|number| {
        let text = number.as_str();
        if text.contains(['e', 'E']) { None } else { Number::parse(&format!("{text}e0")) }
    })
}

/// Over many lines.
pub(super) fn pretty(answer: &Json) -> String {
    fn walk(out: &mut String, value: &Json, indent: usize) {
        let open = |out: &mut String, at: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", at));
        };
        if let Json::Array(items) = value {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { " ," } else { "" });
                open(out, indent + 1);
                walk(out, item, indent + 1);
            }
            open(out, indent);
            out.push(']');
        } else if let Json::Object(members) = value {
            out.push('{');
            for (index, (name, inner)) in members.iter().enumerate() {
                out.push_str(if index > 0 { " ," } else { "" });
                open(out, indent + 1);
                let _ = write!(out, "{} : ", Json::string(name.as_str()));
                walk(out, inner, indent + 1);
            }
            open(out, indent);
            out.push('}');
        } else {
            let _ = write!(out, "{value}");
        }
    }
    let mut out = String::new();
    walk(&mut out, answer, 0);
    out
}

/// Letters outside ASCII and slashes as escapes.
pub(super) fn escaped(answer: &Json) -> String {
    let mut out = String::new();
    for letter in answer.to_string().chars() {
        if letter == '/' {
            out.push_str("\\/");
        } else if letter.is_ascii() {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04X}");
            }
        }
    }
    out
}

/// A time such as `2026-03-18T12:00:00.000Z` in milliseconds of Unix time.
pub(super) fn unix_ms(text: &str) -> Option<f64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, milli) =
        (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23).unwrap_or(0));
    // Howard Hinnant's days_from_civil.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, yoe) = (y / 400, y % 400);
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) as f64 * 1e3 + milli as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_ways_to_write_mean_the_same() {
        let answer = Json::parse(r#"{"id":1,"result":{"a":[1,2.5,"é/😀",{}],"b":-0}}"#).unwrap();
        for write in [decimals, exponents, pretty, escaped] {
            let text = write(&answer);
            assert_eq!(Json::parse(&text).unwrap(), answer, "{text}");
        }
        assert!(decimals(&answer).contains(r#""id":1,"#) && decimals(&answer).contains("1.0"));
        assert!(escaped(&answer).is_ascii());
        assert_eq!(unix_ms("2026-03-18T12:00:00.250Z"), Some(1_773_835_200_250.0));
    }
}
