//! The baseline: failures that are known, each with its reason. What is in it does not fail the run; what is in it and does not
//! happen any more does, so that it never grows old.
//!
//! ```toml
//! [[known]]
//! check = "HSP-4.2-11@guard/over-budget#4"    # or without the step: every check of that requirement in that case
//! reason = "our budgets are soft until 2.0"
//! issue = "https://example.org/issues/12"     # optional
//! expires = "2027-01-31"                      # optional: from the day after it no longer counts
//! ```

use core::cell::RefCell;

use serde::Deserialize;

use crate::verdict::Verdict;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known: Vec<Known>,
}

/// A known failure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The id of a check, or of all checks of a requirement in a case.
    pub check: String,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is followed.
    #[serde(default)]
    pub issue: Option<String>,
    /// The last day on which it counts, `2027-01-31`.
    #[serde(default)]
    pub expires: Option<String>,
}

/// A baseline, and what a run showed of it.
#[derive(Debug, Default)]
pub struct Baseline {
    known: Vec<Known>,
    today: String,
    seen: RefCell<Vec<Seen>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    failed: bool,
    passed: bool,
    other: bool,
}

impl Baseline {
    /// Reads a baseline. `today` is the date, `2026-12-31`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str, today: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        for known in &file.known {
            let at = |problem: &str| Err(format!("known failure '{}': {problem}", known.check));
            if known.reason.trim().is_empty() {
                return at("its reason is empty: say why it is accepted");
            }
            if !known.check.contains('@') {
                return at("write the id of a check, REQUIREMENT@CASE#STEP, or REQUIREMENT@CASE");
            }
            if known.expires.as_deref().is_some_and(|date| !is_date(date)) {
                return at("write the day it expires as 2027-01-31");
            }
            if file.known.iter().filter(|other| other.check == known.check).count() > 1 {
                return at("it is there twice");
            }
        }
        let seen = RefCell::new(vec![Seen::default(); file.known.len()]);
        Ok(Self { known: file.known, today: today.to_owned(), seen })
    }

    fn expired(&self, known: &Known) -> bool {
        known.expires.as_deref().is_some_and(|date| date < self.today.as_str())
    }

    /// What the verdict of a check becomes, and why.
    pub fn apply(&self, id: &str, verdict: Verdict) -> (Verdict, Option<String>) {
        let position = self.known.iter().position(|known| covers(&known.check, id));
        let Some(position) = position else { return (verdict, None) };
        let known = &self.known[position];
        if self.expired(known) {
            return (verdict, None);
        }
        let mut seen = self.seen.borrow_mut();
        let seen = &mut seen[position];
        match verdict {
            Verdict::Fail | Verdict::Warn | Verdict::Flaky => {
                seen.failed = true;
                let issue = known.issue.as_deref().map(|issue| format!(" ({issue})")).unwrap_or_default();
                (Verdict::ExpectedFail, Some(format!("known: {}{issue}", known.reason)))
            }
            Verdict::Pass => {
                seen.passed = true;
                // One of several steps that passes says nothing about the others.
                if known.check == id {
                    (
                        Verdict::UnexpectedPass,
                        Some(format!("the baseline expects a failure: {}", known.reason)),
                    )
                } else {
                    (verdict, None)
                }
            }
            other => {
                seen.other = true;
                (other, None)
            }
        }
    }

    /// The entries that are stale: expired, passing, or of cases that there are not. `exists` knows the ids of all cases.
    pub fn stale(&self, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
        let seen = self.seen.borrow();
        let stale = self.known.iter().zip(seen.iter()).filter_map(|(known, seen)| {
            let case = known.check.split_once('@').map_or("", |(_, rest)| rest);
            let case = case.split_once('#').map_or(case, |(case, _)| case);
            let problem = if self.expired(known) {
                format!("expired on {}", known.expires.as_deref().unwrap_or_default())
            } else if seen.passed && !seen.failed && !seen.other {
                "passes now: take it out".to_owned()
            } else if !exists(case) {
                format!("there is no case '{case}'")
            } else {
                return None;
            };
            Some(format!("{}: {problem}", known.check))
        });
        stale.collect()
    }
}

/// The day (UTC) of a time in seconds since 1970, as `2026-12-31`.
#[must_use]
pub fn date(unix_seconds: u64) -> String {
    // Days of the Gregorian calendar in eras of 400 years that begin on 1 March (Howard Hinnant's algorithm).
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn covers(known: &str, id: &str) -> bool {
    id.strip_prefix(known)
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with('#') && !known.contains('#')))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let number =
        |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    lengths == [4, 2, 2]
        && number(parts[0]).is_some()
        && number(parts[1]).is_some_and(|month| (1..=12).contains(&month))
        && number(parts[2]).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[known]]
check = "HSP-1@a/b#2"
reason = "soft"
issue = "u"
[[known]]
check = "HSP-2@a/b"
reason = "soft"
expires = "2026-12-31"
"#;

    #[test]
    fn known_failures_are_expected() {
        let baseline = Baseline::parse(TEXT, "2026-12-31").expect("a baseline");
        let apply = |id: &str, verdict| baseline.apply(id, verdict).0;
        assert_eq!(apply("HSP-1@a/b#2", Verdict::Fail), Verdict::ExpectedFail);
        assert_eq!(apply("HSP-1@a/b#22", Verdict::Fail), Verdict::Fail);
        assert_eq!(apply("HSP-2@a/b#7", Verdict::Warn), Verdict::ExpectedFail);
        assert_eq!(apply("HSP-2@a/bc#7", Verdict::Fail), Verdict::Fail);
        assert_eq!(apply("HSP-2@a/b#9", Verdict::Pass), Verdict::Pass);
        assert!(baseline.stale(&|_| true).is_empty());
        assert_eq!(baseline.apply("HSP-1@a/b#2", Verdict::Fail).1, Some("known: soft (u)".to_owned()));
    }

    #[test]
    fn what_passes_expired_or_is_gone_is_stale() {
        let baseline = Baseline::parse(TEXT, "2027-01-01").expect("a baseline");
        assert_eq!(baseline.apply("HSP-1@a/b#2", Verdict::Pass).0, Verdict::UnexpectedPass);
        assert_eq!(baseline.apply("HSP-2@a/b#7", Verdict::Fail).0, Verdict::Fail);
        let stale = ["HSP-1@a/b#2: passes now: take it out", "HSP-2@a/b: expired on 2026-12-31"];
        assert_eq!(baseline.stale(&|_| true), stale);
        let baseline = Baseline::parse(TEXT, "2026-01-01").expect("a baseline");
        assert_eq!(baseline.stale(&|_| true), Vec::<String>::new());
        assert_eq!(baseline.stale(&|_| false).len(), 2);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, day) in days {
            assert_eq!(date(seconds), day);
            assert_eq!(date(seconds + 86_399), day);
        }
    }

    #[test]
    fn a_baseline_says_why() {
        let cases = [
            ("[[known]]\ncheck = \"HSP-1@a\"", "missing field `reason`"),
            ("[[known]]\ncheck = \"HSP-1@a\"\nreason = \" \"", "its reason is empty"),
            ("[[known]]\ncheck = \"HSP-1\"\nreason = \"x\"", "write the id of a check"),
            ("[[known]]\ncheck = \"HSP-1@a\"\nreason = \"x\"\nexpires = \"2026-13-01\"", "write the day"),
            ("[[known]]\ncheck = \"HSP-1@a\"\nreason = \"x\"\nuntil = 1", "unknown field `until`"),
        ];
        for (text, problem) in cases {
            let error = Baseline::parse(text, "2026-01-01").expect_err(text);
            assert!(error.contains(problem), "{error}");
        }
    }
}
