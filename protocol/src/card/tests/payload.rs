//! What parses, what does not, and what is hashed.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// SHA-256 of [`text`] with its members sorted and no white space, by sha256sum.
const HASH: &str = "83eb9e47cca11265df402bef6e5593a736163cbafd5f1dda281d26bc0e08678a";
const ID: &str = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7";

fn text() -> Value {
    json!({
        "seq": 7, "peerId": ID, "taskTypes": ["web-research"], "reputation": 0.94, "geo": "us-east",
        "latency": 230, "metadata": {"v": 1}, "colour": "unknown",
        "tools": [{"id": "tool-8f3a2b", "name": "web-search", "capabilities": ["search"], "avgLatency": 12.5,
                   "schema": {"output": {}, "input": {"type": "object"}}}],
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Payload, CardError> {
    let mut value = text();
    change(&mut value);
    Payload::parse(&value.to_string())
}

#[test]
fn a_card_of_another_implementation_is_read_and_hashed_with_what_we_do_not_know() {
    let Ok(Payload::Card(card)) = with(|_| ()) else { panic!("a card") };
    let tool = Tool {
        id: "tool-8f3a2b".to_owned(),
        name: "web-search".to_owned(),
        description: String::new(),
        capabilities: vec!["search".to_owned()],
        avg_latency: Some(12.5),
        schema: Some(Json::new(r#"{"input":{"type":"object"},"output":{}}"#).expect("JSON")),
    };
    let expected = Card {
        seq: 7,
        peer_id: ID.parse().expect("valid"),
        tools: vec![tool],
        task_types: vec!["web-research".to_owned()],
        reputation: Some(0.94),
        geo: Some("us-east".to_owned()),
        latency: Some(230.0),
        metadata: Some(Json::new(r#"{"v":1}"#).expect("JSON")),
    };
    assert_eq!(card.card(), &expected);
    assert_eq!(card.hash().to_string(), HASH);
    // Order and white space do not matter, members unknown to us do.
    let pretty = serde_json::to_string_pretty(&text()).expect("JSON");
    assert_eq!(Published::parse(&pretty).as_ref(), Ok(&*card));
    let mut ours = Published::new(&expected).expect("within bounds");
    assert_ne!(ours.hash(), card.hash());
    ours = Published::parse(&serde_json::to_string(ours.card()).expect("JSON")).expect("its own text");
    assert_eq!(ours.card(), &expected);
}

#[test]
fn a_heartbeat_is_what_has_a_card_hash() {
    let beat = json!({"seq": 7, "cardHash": HASH, "ttlMs": 300_000, "more": []}).to_string();
    let Ok(Payload::Heartbeat(read)) = Payload::parse(&beat) else { panic!("a heartbeat") };
    assert_eq!((read.seq, read.card_hash.to_string().as_str(), read.ttl().as_secs()), (7, HASH, 300));
    let written = format!(r#"{{"seq":7,"cardHash":"{HASH}","ttlMs":300000}}"#);
    assert_eq!(serde_json::to_string(&read).expect("JSON"), written);
    let cut = &HASH[1..];
    for hash in [json!(HASH.to_uppercase()), json!(cut), json!(format!("{cut}gg")), json!(""), json!(5)] {
        let beat = json!({"seq": 7, "cardHash": hash, "ttlMs": 1}).to_string();
        assert_eq!(Payload::parse(&beat), Err(CardError::Json), "{beat}");
    }
}

#[test]
fn a_seq_that_json_does_not_keep_exact_is_refused() {
    assert!(with(|v| v["seq"] = json!(SEQ_MAX)).is_ok());
    assert_eq!(with(|v| v["seq"] = json!(SEQ_MAX + 1)), Err(CardError::Seq(SEQ_MAX + 1)));
    let beat = |seq: u64| Payload::parse(&json!({"seq": seq, "cardHash": HASH, "ttlMs": 1}).to_string());
    assert!(beat(SEQ_MAX).is_ok());
    assert_eq!(beat(SEQ_MAX + 1), Err(CardError::Seq(SEQ_MAX + 1)));
    for seq in [json!(u64::MAX), json!(-1), json!(1.5), json!("1"), Value::Null] {
        assert_eq!(with(|v| v["seq"] = seq.clone()), Err(CardError::Json), "{seq}");
    }
}

#[test]
fn every_bound_holds_at_its_value_and_not_above() {
    let text = |n: usize| json!("x".repeat(n));
    let list = |n: usize| Value::from((0..n).map(|i| json!(format!("t{i}"))).collect::<Vec<_>>());
    let tools = |n: usize| {
        Value::from((0..n).map(|i| json!({"id": format!("{i}"), "name": "n"})).collect::<Vec<_>>())
    };
    let member = |path: &'static str, value: Value| {
        let result = with(|v| {
            *v.pointer_mut(path).unwrap_or(&mut Value::Null) = value.clone();
            if path == "/tools/0/description" {
                v["tools"][0]["description"] = value;
            }
        });
        result.map(|_| ())
    };
    let cases = [
        ("/tools", tools(TOOLS_MAX), tools(TOOLS_MAX + 1)),
        ("/taskTypes", list(TASK_TYPES_MAX), list(TASK_TYPES_MAX + 1)),
        ("/taskTypes/0", text(128), text(129)),
        ("/geo", text(GEO_MAX), text(GEO_MAX + 1)),
        ("/tools/0/id", text(NAME_MAX), text(NAME_MAX + 1)),
        ("/tools/0/name", text(NAME_MAX), text(NAME_MAX + 1)),
        ("/tools/0/description", text(DESCRIPTION_MAX), text(DESCRIPTION_MAX + 1)),
        ("/tools/0/capabilities", list(TAGS_MAX), list(TAGS_MAX + 1)),
        ("/tools/0/capabilities/0", text(TAG_MAX), text(TAG_MAX + 1)),
    ];
    for (path, good, bad) in cases {
        assert_eq!(member(path, good), Ok(()), "{path}");
        assert!(matches!(member(path, bad), Err(CardError::Bound { .. })), "{path}");
    }
    for path in ["/taskTypes/0", "/geo", "/tools/0/id", "/tools/0/name", "/tools/0/capabilities/0"] {
        assert!(matches!(member(path, text(0)), Err(CardError::Bound { .. })), "{path}");
    }
    assert!(matches!(member("/taskTypes/0", json!("a/b")), Err(CardError::Bound { .. })));
    for (path, max) in [("/reputation", 1.0), ("/latency", LATENCY_MAX), ("/tools/0/avgLatency", LATENCY_MAX)]
    {
        assert_eq!((member(path, json!(0)), member(path, json!(max))), (Ok(()), Ok(())), "{path}");
        for bad in [-0.001, max + 0.001] {
            assert!(matches!(member(path, json!(bad)), Err(CardError::Range(_))), "{path}");
        }
    }
    let twins = with(|v| v["tools"] = json!([{"id": "a", "name": "x"}, {"id": "a", "name": "y"}]));
    assert_eq!(twins, Err(CardError::SameTool));
    assert_eq!(member("/peerId", json!("x")), Err(CardError::Json));
}

#[test]
fn a_long_payload_is_refused_before_and_after_it_is_brought_into_form() {
    let blob = |n: usize| with(|v| v["metadata"] = json!("x".repeat(n))).map(|_| ());
    let rest = text().to_string().len() - r#"{"v":1}"#.len() + 2;
    assert_eq!(blob(CARD_BYTES_MAX - rest), Ok(()));
    assert_eq!(blob(CARD_BYTES_MAX - rest + 1), Err(CardError::TooLong(CARD_BYTES_MAX + 1)));
    // 1e20 becomes 21 digits.
    let numbers = format!("[{}1]", "1e20,".repeat(6000));
    assert!(matches!(Payload::parse(&numbers), Err(CardError::TooLong(n)) if n > 6000 * 22));
    assert_eq!(Payload::parse(&"[".repeat(CARD_BYTES_MAX)), Err(CardError::Json));
}

#[test]
fn a_card_nests_no_deeper_than_an_envelope_can() {
    let nested = |levels: usize, inner: Value| (0..levels).fold(inner, |inner, _| json!([inner]));
    let of = |value: Value| with(|v| v["metadata"] = value).map(|_| ());
    let brackets = json!("]\\\"[[[");
    assert_eq!(of(nested(NESTING_MAX - 1, brackets)), Ok(()));
    let too_deep = CardError::Bound { what: "nesting", max: NESTING_MAX };
    assert_eq!(of(nested(NESTING_MAX, json!(1))), Err(too_deep));
    let card = Card {
        metadata: Some(Json::new(&nested(NESTING_MAX - 1, json!(1)).to_string()).expect("JSON")),
        ..card(1, 1)
    };
    let (pair, dialect) = (crate::identity::Keypair::from_seed([7; 32]), crate::envelope::Dialect::default());
    let topic = crate::topic::Topic::capabilities(peer(1)).to_string();
    let signed = crate::envelope::sign(&pair, &topic, UnixMillis(0), [0; 16], &card, &dialect);
    let signed = signed.expect("what is within our bounds can be signed");
    let envelope = crate::envelope::SignedEnvelope::parse(&signed).expect("readable");
    assert_eq!(Published::parse(envelope.d), Published::new(&card), "with one and the same hash");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_reads_back(
        d in "\\{\"(seq|cardHash|peerId)\":[0-9.e\"\\[{-]{0,9}\\}|.{0,40}",
        seq in 0..=SEQ_MAX, reputation in 0.0..=1.0, latency in 0.0..=LATENCY_MAX, geo in ".{1,16}",
    ) {
        let _ = Payload::parse(&d);
        let card = Card { reputation: Some(reputation), latency: Some(latency), geo: Some(geo), ..card(1, seq) };
        let published = Published::new(&card).expect("within bounds");
        prop_assert_eq!(published.card(), &card);
        let text = serde_json::to_string(&card).expect("JSON");
        prop_assert_eq!(Payload::parse(&text), Ok(Payload::Card(Arc::new(published))));
    }
}
