//! Values read, compare and write as they should; nothing panics.

use proptest::prelude::*;

use super::{Decimal, Json, Number};

fn number(text: &str) -> Number {
    Number::parse(text).expect("a number")
}

fn decimal(text: &str) -> Decimal {
    number(text).decimal().expect("of everyday size")
}

#[test]
fn numbers_are_equal_by_value() {
    for (a, b) in [("4.994", "4.9940"), ("1", "1.00"), ("100", "1e2"), ("0", "-0.0"), ("1e400", "10E+399")] {
        assert_eq!(number(a), number(b), "{a} {b}");
    }
    for (a, b) in [("4.994", "4.994000000000000001"), ("9007199254740992", "9007199254740993"), ("1", "-1")] {
        assert_ne!(number(a), number(b), "{a} {b}");
    }
    let ordered = ["-1e999999999999999999999", "-2", "-1.5", "0", "1e-7", "0.9", "1", "9.99", "10", "1e400"];
    for pair in ordered.windows(2) {
        assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "1 "] {
        assert!(Number::parse(text).is_none(), "{text}");
        assert!(text.trim_end().len() != text.len() || Json::parse(text).is_err(), "{text}");
    }
}

#[test]
fn arithmetic_is_exact() {
    let text = |value: Option<Decimal>| value.expect("fits").number().to_string();
    assert_eq!(text(decimal("0.1").plus(decimal("0.2"))), "0.3");
    assert_eq!(text(decimal("5").minus(decimal("0.006"))), "4.994");
    assert_eq!(text(decimal("0.88").times(decimal("1e3"))), "880");
    assert_eq!(text(decimal("1").over(decimal("3"))), "0.33333333333333333333");
    assert_eq!(text(decimal("-1.5").over(decimal("0.5"))), "-3");
    assert!(decimal("1").over(decimal("0")).is_none());
    assert!(decimal("0.30000000000000004").near(decimal("0.3")));
    assert!(!decimal("0.3001").near(decimal("0.3")));
    assert!(number("1e400").decimal().is_none());
    assert_eq!(number("1.0").to_i64(), Some(1));
    assert_eq!([number("1.5").to_i64(), number("1e30").to_i64()], [None, None]);
    assert!(number("1e3").is_whole() && number("0.0").is_whole() && !number("1e-3").is_whole());
}

#[test]
fn documents_that_are_wrong_are_refused() {
    let deep = "[".repeat(300);
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "nul",
        "nulls",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\ud800""#,
        "1 2",
        &deep,
    ] {
        assert!(Json::parse(text).is_err(), "{text}");
    }
    assert_eq!(
        Json::parse("[1,]").expect_err("a comma too many").to_string(),
        "no JSON value begins here at byte 3"
    );
}

#[test]
fn members_compare_without_order_and_the_last_of_two_counts() {
    let parse = |text| Json::parse(text).expect("JSON");
    assert_eq!(parse(r#"{"a":1,"b":[true,null]}"#), parse(r#"{ "b" : [true, null], "a": 1.0 }"#));
    assert_eq!(parse(r#"{"a":1,"a":2}"#), parse(r#"{"a":2}"#));
    assert_eq!(parse(r#""\u00e9\ud83d\ude00\n""#), Json::string("é😀\n"));
    assert_eq!(parse(r#"[1,"abc"]"#).brief(4), "[1,\"...");
}

pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::integer),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| {
            Json::Number(Number::parse(&serde_json::to_string(&n).expect("finite")).expect("a number"))
        }),
        ".{0,8}".prop_map(Json::String),
        "\\$[a-zA-Z]{0,8}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            proptest::collection::vec(("[$a-z]{0,6}", inner), 0..6).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(value in any_json()) {
        prop_assert_eq!(Json::parse(&value.to_string()).expect("our own text"), value);
    }

    #[test]
    fn reading_never_panics(text in ".{0,64}") {
        let _ = Json::parse(&text);
    }

    #[test]
    fn we_read_what_serde_reads(text in r#"[\[\]{}",:0-9eE.+\-a-z\\ ]{0,24}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let ours = Json::parse(&text);
        // They refuse numbers that no double can hold.
        if theirs.is_ok() || !text.contains(['e', 'E']) {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
        }
    }
}
