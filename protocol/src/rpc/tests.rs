use proptest::prelude::*;

use serde_json::value::RawValue;

use super::{request as write_request, *};
use crate::primitive::Error;

fn parsed(text: &str) -> Incoming {
    parse(text, &Limits::default())
}

/// What a server that carries out everything would send: `R` for each result, the code for each error.
fn replies(text: &str) -> Option<String> {
    let one = |item: Item| match item {
        Item::Request(Request { id, .. }) => id.map(|id| format!("{id}:R")),
        Item::Response(Response { id, result }) => Some(format!("{id}:{result:?}")),
        Item::Refused(id, error) => Some(format!("{id}:{}", error.code.number())),
        Item::Ignored => None,
    };
    match parsed(text) {
        Incoming::One(item) => one(item),
        Incoming::Batch(items) => batch(items.into_iter().filter_map(one)),
    }
}

/// Frames and what is sent for them: the corpus of the edge cases of JSON-RPC 2.0.
const FRAMES: &[(&str, Option<&str>)] = &[
    // Ids are echoed with type and spelling.
    (r#"{"jsonrpc":"2.0","method":"a","id":1}"#, Some("1:R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1.0}"#, Some("1.0:R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":-0}"#, Some("-0:R")),
    (r#"{"jsonrpc":"2.0","method":"a","id": 1E+400 }"#, Some("1E+400:R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":"1"}"#, Some("\"1\":R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":""}"#, Some("\"\":R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":"\u0061\n"}"#, Some(r#""\u0061\n":R"#)),
    (r#"{"jsonrpc":"2.0","method":"a","id":null}"#, Some("null:R")),
    (
        r#"{"jsonrpc":"2.0","method":"a","id":123456789012345678901234567890}"#,
        Some("123456789012345678901234567890:R"),
    ),
    (r#"{"jsonrpc":"2.0","method":"a","id":{}}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":[1]}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":true}"#, Some("null:-32600")),
    // Notifications.
    (r#"{"jsonrpc":"2.0","method":"a"}"#, None),
    (r#"{"jsonrpc":"2.0","method":"a","params":{}}"#, None),
    (r#"{"jsonrpc":"2.0","method":"a","params":[]}"#, None),
    // Versions.
    (r#"{"method":"a","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"1.0","method":"a","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":2.0,"method":"a","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":null,"method":"a","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2","method":"a"}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"\u0032.0","method":"a","id":1}"#, Some("1:R")),
    // Methods.
    (r#"{"jsonrpc":"2.0","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":1,"id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":null,"id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":"\ud800","id":1}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":"","id":1}"#, Some("1:R")),
    // Parameters.
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"params":[]}"#, Some("1:-32602")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"params":"x"}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"params":7}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"params":false}"#, Some("1:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"params":null}"#, Some("1:-32600")),
    // Other members, and members twice.
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"extra":1,"extra":2}"#, Some("1:R")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"id":2}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"\u0069d":1}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","method":"b","id":1}"#, Some("null:-32600")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,"\ud800":1}"#, Some("null:-32600")),
    // Not JSON, or not objects.
    ("", Some("null:-32700")),
    (" ", Some("null:-32700")),
    ("{", Some("null:-32700")),
    ("nul", Some("null:-32700")),
    ("\u{feff}{}", Some("null:-32700")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1} x"#, Some("null:-32700")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1}{}"#, Some("null:-32700")),
    (r#"{"jsonrpc":"2.0","method":"a","id":01}"#, Some("null:-32700")),
    (r#"{"jsonrpc":"2.0","method":"a","id":1,}"#, Some("null:-32700")),
    (r#"{'jsonrpc':'2.0'}"#, Some("null:-32700")),
    (r#"[{"jsonrpc":"2.0","method":"a","id":1},"#, Some("null:-32700")),
    ("1", Some("null:-32600")),
    ("null", Some("null:-32600")),
    (r#""a""#, Some("null:-32600")),
    ("{}", Some("null:-32600")),
    ("\n\t {\"jsonrpc\" : \"2.0\", \"method\":\"a\",\r\n\"id\" : 1 } ", Some("1:R")),
    // Batches.
    ("[]", Some("null:-32600")),
    (" [ ] ", Some("null:-32600")),
    ("[1]", Some("[null:-32600]")),
    ("[1,[],{}]", Some("[null:-32600,null:-32600,null:-32600]")),
    (r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#, None),
    (
        r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"b"},{"id":2},{"jsonrpc":"2.0","method":"c","id":1}]"#,
        Some("[1:R,2:-32600,1:R]"),
    ),
    // Responses: to us, to nobody, and no responses at all.
    (r#"{"jsonrpc":"2.0","id":"srv-7","result":{"a":1}}"#, Some(r#""srv-7":Ok("{\"a\":1}")"#)),
    (r#"{"jsonrpc":"2.0","id":"srv-7","error":{"code":1}}"#, Some(r#""srv-7":Err("{\"code\":1}")"#)),
    (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Some(r#"null:Err("{}")"#)),
    (r#"{"jsonrpc":"2.0","id":3,"error":{}}"#, Some(r#"3:Err("{}")"#)),
    (r#"{"jsonrpc":"2.0","id":3,"error":4}"#, Some("3:-32600")),
    (r#"{"jsonrpc":"2.0","id":3,"result":4}"#, Some("3:-32600")),
    (r#"{"jsonrpc":"2.0","id":"srv-7","result":4,"error":{}}"#, Some("\"srv-7\":-32600")),
    (r#"{"jsonrpc":"2.0","id":"srv-7","method":"a","result":4}"#, Some("\"srv-7\":R")),
];

#[test]
fn every_frame_gets_the_reply_that_json_rpc_wants() {
    for (frame, wanted) in FRAMES {
        assert_eq!(replies(frame).as_deref(), *wanted, "{frame}");
    }
}

#[test]
fn params_are_kept_as_text() {
    let frame = r#"{"params": {"b" :1.50,"a":"\u0061"} ,"id":"x","method":"m","jsonrpc":"2.0"}"#;
    let params = Some(r#"{"b" :1.50,"a":"\u0061"}"#.into());
    let wanted = Request { id: Some(Id("\"x\"".into())), method: "m".into(), params };
    assert_eq!(parsed(frame), Incoming::One(Item::Request(wanted)));
}

#[test]
fn depth_is_bounded_for_each_request_of_a_batch() {
    let at = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        format!(r#"{{"jsonrpc":"2.0","method":"a","id":5,"params":{{"x":{open}{close}}}}}"#)
    };
    assert_eq!(replies(&at(64)).as_deref(), Some("5:R"));
    assert_eq!(replies(&at(65)).as_deref(), Some("5:-32600"));
    assert_eq!(replies(&format!("[{},{}]", at(64), at(65))).as_deref(), Some("[5:R,5:-32600]"));
    // Deep enough to overflow any stack, had it been used.
    assert_eq!(replies(&at(1_000_000)).as_deref(), Some("5:-32600"));
    assert_eq!(replies(&"[".repeat(1_000_000)).as_deref(), Some("null:-32700"));
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    assert_eq!(replies(&deep).as_deref(), Some("[null:-32600]"));
}

#[test]
fn a_batch_that_is_too_long_is_refused_as_a_whole() {
    let of = |n: usize| format!("[{}]", vec![r#"{"jsonrpc":"2.0","method":"a","id":1}"#; n].join(","));
    assert_eq!(replies(&of(100)).map(|text| text.matches(":R").count()), Some(100));
    assert_eq!(replies(&of(101)).as_deref(), Some("null:-32600"));
    let none = Limits { batch: 0, ..Limits::default() };
    assert!(matches!(parse(&of(1), &none), Incoming::One(Item::Refused(..))));
}

#[test]
fn replies_have_the_members_of_json_rpc() {
    let id = Id("1.0".into());
    assert_eq!(reply(&id, &Ok("[1]".into())), r#"{"jsonrpc":"2.0","id":1.0,"result":[1]}"#);
    let error = Error::param("a\"", "odd");
    assert_eq!(
        reply(&Id::null(), &Err(error)),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"a\": odd","data":{"param":"a\""}}}"#
    );
    assert_eq!(batch([]), None);
    assert_eq!(batch(["{}".into(), "{}".into()]).as_deref(), Some("[{},{}]"));
}

#[test]
fn own_ids_have_one_spelling() {
    assert_eq!(Id::own(7).own_number(), Some(7));
    for other in ["7", "null", "\"7\"", "\"srv-\"", "\"srv-07\"", "\"srv-+7\"", "\"\\u0073rv-7\""] {
        assert_eq!(Id(other.into()).own_number(), None, "{other}");
    }
}

#[test]
fn what_we_ask_reads_as_a_request() {
    let text = write_request(&Id::own(3), "tool.execute", r#"{"toolId":"t"}"#);
    let wanted = Request {
        id: Some(Id::own(3)),
        method: "tool.execute".into(),
        params: Some(r#"{"toolId":"t"}"#.into()),
    };
    assert_eq!(parsed(&text), Incoming::One(Item::Request(wanted)));
}

fn id_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        Just("null".to_owned()),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_on_any_text(text in ".{0,80}") {
        let _ = replies(&text);
    }

    #[test]
    fn nothing_panics_on_what_looks_like_json(
        text in r#"(\{|\}|\[|\]|,|:|"|\\u|"jsonrpc":"2.0"|"id":|"srv-|"method":|"params":|"error":|[0-9a-f ]){0,60}"#
    ) {
        let _ = replies(&text);
    }

    /// Every frame of the corpus with a part left out, doubled or overwritten.
    #[test]
    fn nothing_panics_on_mutants(
        seed in 0..FRAMES.len(), from in any::<prop::sample::Index>(), len in 0..9usize, put in ".{0,4}"
    ) {
        let chars = FRAMES[seed].0.chars().collect::<Vec<_>>();
        let from = from.index(chars.len() + 1);
        let to = (from + len).min(chars.len());
        let join = |parts: [&[char]; 3]| parts.concat().iter().collect::<String>();
        let put = put.chars().collect::<Vec<_>>();
        let _ = replies(&join([&chars[..from], &put, &chars[to..]]));
        let _ = replies(&join([&chars[..to], &chars[from..to], &chars[to..]]));
    }

    #[test]
    fn an_id_is_echoed_byte_for_byte(id in id_text(), params in any::<bool>()) {
        let params = if params { r#","params":{"id":"other"}"# } else { "" };
        let frame = format!(r#"{{"jsonrpc":"2.0"{params}, "id" : {id} ,"method":"a"}}"#);
        let Incoming::One(Item::Request(request)) = parsed(&frame) else { panic!("{frame}") };
        let sent = request.id.expect("given");
        prop_assert_eq!(sent.as_json(), &id);
        let back = reply(&sent, &Ok("1".into()));
        let member = format!(r#""id":{id},"result""#);
        prop_assert!(back.contains(&member));
        prop_assert!(serde_json::from_str::<&RawValue>(&back).is_ok());
    }
}
