//! Which cases run, and in which order.

use std::collections::BTreeMap;

use crate::case::Case;

/// Does a name fit a pattern? `*` is any text, `?` any letter.
#[must_use]
pub fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// The cases that run: those that a glob fits (all if there is none), and their twins. Twins come before what needs them;
/// otherwise they are in the order of their ids, or for a seed other than 0 in an order of its own.
pub(super) fn select<'c>(cases: &'c [Case], globs: &[String], seed: u64) -> Vec<&'c Case> {
    let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.id.as_str(), case)).collect();
    let mut wanted: Vec<&Case> = by_id
        .values()
        .copied()
        .filter(|case| globs.is_empty() || globs.iter().any(|pattern| glob(pattern, &case.id)))
        .collect();
    if seed != 0 {
        wanted.sort_by_key(|case| mix(seed, &case.id));
    }
    let mut ordered: Vec<&Case> = Vec::new();
    for case in wanted {
        // The chain of twins, deepest first; a circle ends where it began.
        let mut chain = vec![case];
        while let Some(twin) = chain.last().and_then(|case| case.twin.as_deref()).and_then(|id| by_id.get(id))
        {
            if chain.iter().any(|case| case.id == twin.id) {
                break;
            }
            chain.push(twin);
        }
        for case in chain.into_iter().rev() {
            if !ordered.iter().any(|there| there.id == case.id) {
                ordered.push(case);
            }
        }
    }
    ordered
}

/// A number that depends on seed and id alone (FNV-1a, then SplitMix64's finish).
fn mix(seed: u64, id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, twin: Option<&str>) -> Case {
        let mut case =
            Case::parse(id, "x", "title: t\nprofile: state\nrequires: HSP-1\n<< close").expect("a case");
        case.twin = twin.map(str::to_owned);
        case
    }

    fn ids(cases: &[&Case]) -> Vec<String> {
        cases.iter().map(|case| case.id.clone()).collect()
    }

    #[test]
    fn globs_fit() {
        for (pattern, name) in [
            ("*", "a/b"),
            ("guard/*", "guard/x"),
            ("*budget*", "guard/over-budget"),
            ("a?c", "abc"),
            ("a*b*c", "axbxbc"),
        ] {
            assert!(glob(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("guard", "guard/x"), ("a?c", "ac"), ("a*b", "abc")] {
            assert!(!glob(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn twins_come_along_and_first() {
        let cases = [case("a", Some("c")), case("b", None), case("c", Some("d")), case("d", Some("c"))];
        assert_eq!(ids(&select(&cases, &[], 0)), ["d", "c", "a", "b"]);
        assert_eq!(ids(&select(&cases, &["a".into()], 0)), ["d", "c", "a"]);
        assert_eq!(ids(&select(&cases, &["x".into()], 0)), Vec::<String>::new());
        let shuffled: Vec<_> = (1..20).map(|seed| ids(&select(&cases, &[], seed))).collect();
        assert!(shuffled.iter().any(|order| order[0] == "b"));
        for order in shuffled {
            let at = |id: &str| order.iter().position(|one| one == id);
            assert!(at("c") < at("a") && order.len() == 4);
        }
    }
}
