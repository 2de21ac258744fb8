//! What fits and what does not, and what is said about it.

use proptest::prelude::*;

use super::*;
use crate::json::tests::any_json;
use crate::value::Scope;

fn json(text: &str) -> Json {
    Json::parse(text).expect("JSON")
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.set("S", json(r#""sess-1""#));
    scope.set_scale(Number::parse("2").and_then(|n| n.decimal()).expect("a number"));
    scope
}

/// `path: expected / actual` of every finding.
fn found(matcher: &str, actual: &str) -> Vec<String> {
    let matcher = Matcher::compile(&json(matcher)).expect("a matcher");
    let findings = matcher.check(&json(actual), &mut scope()).findings;
    let mark = |weight| match weight {
        Weight::Mismatch => "",
        Weight::Should => "should ",
        Weight::Info => "info ",
    };
    findings.iter().map(|f| format!("{}{}: {} / {}", mark(f.weight), f.path, f.expected, f.actual)).collect()
}

#[test]
fn what_fits_is_silent() {
    let cases = [
        (r#"{"a":1}"#, r#"{"b":2,"a":1.00}"#),
        (r#"4.994"#, "4.9940"),
        (r#""$string""#, r#""""#),
        (r#""$nonempty""#, r#""x""#),
        (r#""$int""#, "3.0"),
        (r#"{"$num":{"min":0,"below":1}}"#, "0.5"),
        (r#"{"$num":{"whole":true}}"#, "1e2"),
        (r#""$bool""#, "false"),
        (r#"{"$enum":["a",1]}"#, "1.0"),
        (r#""$iso8601""#, r#""2026-03-18T12:00:00.000Z""#),
        (r#"{"$iso8601":{"utc":true,"ms":true}}"#, r#""2026-03-18T12:00:00.000Z""#),
        (r#"{"$each":{"id":"$nonempty"}}"#, r#"[{"id":"a"},{"id":"b"}]"#),
        (r#"{"$each":"$int"}"#, r#"{"a":1,"b":2}"#),
        (r#"{"$keys":{"$enum":["a","b"]}}"#, r#"{"a":1}"#),
        (r#"{"$len":{"min":1,"max":2}}"#, "[1,2]"),
        (r#"{"$len":3}"#, r#""äöü""#),
        (r#"{"$contains":{"id":"b"}}"#, r#"[{"id":"a"},{"id":"b"}]"#),
        (r#"{"$contains":"budget"}"#, r#""over budget""#),
        (r#"{"$somewhere":{"$enum":[37,"37"]}}"#, r#"{"price":[{"points":"37"}]}"#),
        (r#"{"$starts":"ov"}"#, r#""over""#),
        (r#"{"$superset":["a"]}"#, r#"["b","a"]"#),
        (
            r#"{"$sorted":{"by":"reputation","order":"desc"}}"#,
            r#"[{"reputation":0.9},{"reputation":0.9},{"reputation":0.1}]"#,
        ),
        (r#"{"$unique":true}"#, r#"["a","b"]"#),
        (r#"{"$count":{"is":{"result":"$any"},"max":1}}"#, r#"[{"result":1},{"error":{}}]"#),
        (r#"{"a":{"$opt":"$string"},"b":"$absent"}"#, "{}"),
        (r#"{"$any_of":[{"a":1},{"b":"$int"}]}"#, r#"{"b":5}"#),
        (r#"{"a":{"$any_of":["$absent",null]}}"#, "{}"),
        (r#"{"$not":{"result":"$any"}}"#, r#"{"error":1}"#),
        (r#"{"$closed":{"a":1}}"#, r#"{"a":1}"#),
        (r#"{"s":"$S"}"#, r#"{"s":"sess-1"}"#),
        (r#"{"$L":0.12}"#, "0.24000000000000002"),
        (r#"{"$approx":[1,0.1]}"#, "1.1"),
        (r#"{"$expr":"a + b ~= c"}"#, r#"{"a":0.1,"b":0.2,"c":0.30000000000000004}"#),
        (r#""$$S""#, r#""$S""#),
        (r#"{"$$id":1}"#, r#"{"$id":1}"#),
        (r#""$peerid""#, r#""12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA""#),
    ];
    for (matcher, actual) in cases {
        assert_eq!(found(matcher, actual), Vec::<String>::new(), "{matcher} {actual}");
    }
}

#[test]
fn a_mismatch_says_path_expected_and_actual() {
    let cases = [
        (
            r#"{"result":{"id":"$nonempty"}}"#,
            r#"{"result":{"id":""}}"#,
            r#"$.result.id: a string that is not empty / "" (a string)"#,
        ),
        (r#"{"a":1}"#, "{}", "$.a: 1 / absent"),
        (r#"{"a":1}"#, "[]", "$: an object / [] (an array)"),
        (r#"[1,2]"#, "[1]", "$: 2 items / 1 items: [1]"),
        (r#"{"$each":{"x y":true}}"#, r#"[{"x y":false}]"#, r#"$[0]["x y"]: true / false"#),
        (r#"{"s":"$S"}"#, r#"{"s":"t"}"#, r#"$.s: "sess-1", which is "$S" / "t" (a string)"#),
        (r#"{"$L":0.12}"#, "0.12", r#"$: about 0.24, which is {"$L":0.12} / 0.12"#),
        (r#"{"$num":{"min":0}}"#, "-1", "$: a number (at least 0) / -1"),
        (r#"{"$somewhere":5}"#, r#"{"5":[4]}"#, r#"$: 5 somewhere in it / {"5":[4]} (an object)"#),
        (r#""$int""#, "1.5", "$: a whole number / 1.5"),
        (r#"{"a":"$absent"}"#, r#"{"a":null}"#, "$.a: no such member / null"),
        (r#"{"$closed":{"a":1}}"#, r#"{"a":1,"b":2}"#, "$.b: no such member / 2"),
        (r#"{"$any_of":[1,"$string"]}"#, "null", "$: 1, or a string / null"),
        (r#"{"$expr":"a < b"}"#, r#"{"a":2,"b":1}"#, r#"$: that a < b / {"a":2,"b":1} (an object)"#),
        (r#"{"$expr":"a < b"}"#, r#"{"a":2}"#, "$: a < b / there is no 'b'"),
        (r#"{"a":"$T"}"#, r#"{"a":2}"#, "$.a: a value to compare with / there is no $T yet"),
        (r#"{"a":{"$should":{"b":1}}}"#, "{}", r#"should $.a: {"b":1} / absent"#),
        (r#"{"a":{"$info":"$any"}}"#, r#"{"a":5}"#, "info $.a: recorded / 5"),
        (
            r#"{"$iso8601":{"utc":true}}"#,
            r#""yesterday""#,
            r#"$: an ISO 8601 time in UTC, ending in Z / "yesterday" (a string)"#,
        ),
    ];
    for (matcher, actual, finding) in cases {
        assert_eq!(found(matcher, actual), [finding], "{matcher} {actual}");
    }
}

#[test]
fn bound_values_come_back() {
    let mut scope = Scope::default();
    let matcher = r#"{"id":"$bind S $nonempty","t":{"$bind":{"as":"T","is":{"x":"$int"}}},"u":"$append U"}"#;
    let matcher = Matcher::compile(&json(matcher)).expect("a matcher");
    assert_eq!(matcher.binds(), ["S", "T", "U"]);
    let _ = matcher.check(&json(r#"{"id":"a","t":{"x":1},"u":1}"#), &mut scope);
    let _ = matcher.check(&json(r#"{"id":"","t":{"x":"no"},"u":2}"#), &mut scope);
    // What does not fit is not bound.
    assert_eq!(scope.get("S"), Some(&json(r#""a""#)));
    assert_eq!(scope.get("T"), Some(&json(r#"{"x":1}"#)));
    assert_eq!(scope.get("U"), Some(&json("[1,2]")));
}

#[test]
fn a_part_may_be_about_another_requirement() {
    let matcher = r#"{"error":{"code":-32002,"data":{"$about":{"id":"HSP-4.2-12","level":"should","is":{"limit":1}}}}}"#;
    let matcher = Matcher::compile(&json(matcher)).expect("a matcher");
    let cite = Cite { id: "HSP-4.2-12".into(), level: Some(Level::Should) };
    assert_eq!(matcher.cites(), [&cite]);
    let checked = matcher.check(&json(r#"{"error":{"code":-32002}}"#), &mut Scope::default());
    assert_eq!(checked.seen, std::slice::from_ref(&cite));
    let found = checked.findings;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].about.as_slice()), ("$.error.data", &[cite][..]));
    // What is not there to be looked at is not seen.
    let checked = matcher.check(&json(r#"{"result":1}"#), &mut Scope::default());
    assert_eq!((checked.seen, checked.findings.len()), (vec![], 1));
}

#[test]
fn mistakes_in_a_matcher_say_where_and_what_to_write() {
    let cases = [
        (r#"{"a":"$strnig"}"#, "$.a: '$strnig' is no word for matchers"),
        (r#"{"a":[{"$num":{"mni":1}}]}"#, "$.a[0]: 'mni' is no bound"),
        (r#""$bind s""#, "$: 's' is no name for a variable"),
        (r#""$bind""#, "$: write \"$bind NAME\""),
        (r#"{"a":{"$opt":1,"b":2}}"#, "$.a: '$opt' stands beside other members"),
        (r#"{"a":1,"a":2}"#, "$: 'a' is there twice"),
        (r#"{"$expr":"1 +"}"#, "$: the expression ends"),
        (r#"{"$enum":[]}"#, "$: with this argument, '$enum' is no word"),
        (r#"{"$about":{"is":1}}"#, "$: write {\"$about\""),
    ];
    for (matcher, problem) in cases {
        let error = Matcher::compile(&json(matcher)).expect_err(matcher).to_string();
        assert!(error.starts_with(problem), "{matcher}: {error}");
    }
}

#[test]
fn a_flood_of_mismatches_is_cut() {
    let actual = format!("[{}1]", "1,".repeat(5000));
    assert_eq!(found(r#"{"$each":"$string"}"#, &actual).len(), 32);
}

#[test]
fn a_big_answer_is_searched_in_reasonable_time() {
    // What is known is big as well; were it copied for each item, this would not end.
    let items = format!("[{}1]", "1,".repeat(200_000));
    let mut scope = scope();
    scope.set("BIG", json(&items));
    let matcher = r#"{"$all_of":[{"$count":{"is":2,"exactly":0}},{"$not":{"$contains":{"$any_of":[2,3]}}},{"$not":{"$somewhere":2}}]}"#;
    let matcher = Matcher::compile(&json(matcher)).expect("a matcher");
    assert!(matcher.check(&json(&items), &mut scope).fits());
    let name = "x".repeat(100_000);
    let found = found(r#"{"$each":{"$each":1}}"#, &format!(r#"{{"{name}":{{"{name}":2}}}}"#));
    assert!(found.len() == 1 && found[0].len() < 1000);
}

proptest! {
    #[test]
    fn a_value_fits_itself(value in any_json()) {
        if let Ok(matcher) = Matcher::compile(&value) && !value.to_string().contains('$') {
            prop_assert_eq!(matcher.check(&value, &mut Scope::default()).findings, vec![]);
        }
    }

    #[test]
    fn nothing_panics(matcher in any_json(), actual in any_json()) {
        if let Ok(matcher) = Matcher::compile(&matcher) {
            let _ = matcher.check(&actual, &mut scope());
        }
    }

    #[test]
    fn words_do_not_panic(word in "(num|len|near|each|keys|sorted|unique|count|superset|contains|somewhere|expr|enum|L|approx)", argument in any_json(), actual in any_json()) {
        let matcher = Json::object([(format!("${word}"), argument)]);
        if let Ok(matcher) = Matcher::compile(&matcher) {
            let _ = matcher.check(&actual, &mut scope());
        }
    }
}
