use proptest::prelude::*;
use serde_json::json;

use super::super::redact::{redact, text_redacted};
use super::*;

#[test]
fn what_identifies_or_opens_is_found() {
    let iban = "Pay to DE89 3704 0044 0532 0130 00 NEXT week";
    let cases = [
        ("mail alice.b+x@mail.example.co.uk now", "mail [EMAIL] now"),
        ("call +14155550123 or +49 (30) 1234-567", "call [PHONE] or [PHONE]"),
        ("or (415) 555-0123, 415.555.0123", "or [PHONE], [PHONE]"),
        ("card 4111 1111 1111 1111, 5500-0000-0000-0004", "card [CARD], [CARD]"),
        ("amex 378282246310005.", "amex [CARD]."),
        (iban, "Pay to [IBAN] NEXT week"),
        ("GB82WEST12345698765432", "[IBAN]"),
        ("ssn 123-45-6789", "ssn [SSN]"),
        ("from 203.0.113.9 and 2001:db8::ff00:42:8329", "from [IP] and [IP]"),
        ("key sk-proj-abcdefghijklmnop123456 AKIAIOSFODNN7EXAMPLE", "key [API_KEY] [API_KEY]"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[API_KEY]"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer [API_KEY]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[TOKEN]"),
        ("password=hunter2 API_KEY: 'xyz12345'", "password=[SECRET] API_KEY: '[SECRET]'"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b", "a [PRIVATE_KEY] b"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "[PRIVATE_KEY]"),
        ("YWxpY2VAZXhhbXBsZS5jb20gaXMgaGVyZQ==", "[ENCODED]"),
    ];
    for (text, clean) in cases {
        assert_eq!(text_redacted(text).as_deref(), Some(clean), "{text}");
        assert_eq!(text_redacted(clean), None, "{clean}");
    }
}

#[test]
fn what_only_looks_alike_is_left_alone() {
    let peer = peer(3).to_string();
    let hash = "4111111111111111".repeat(4);
    for text in [
        "",
        "latest breakthroughs in solid-state batteries 2026",
        "2026-03-18T12:00:00.000Z",
        "order 4111 1111 1111 1112",
        "1234567890123456",
        "1773835200000",
        "1773835200000000000",
        "GB82WEST12345698765433",
        "000-12-3456, 987-65-4321, 123-00-4567",
        "version 1.2.3, 1.2.3.4.5, 300.1.2.3, 127.0.0.1, ::1",
        "std::vec::Vec, 12:30:45, a ratio of 3:1",
        "alice at example dot com, @alice, a@b",
        "a Bearer of news",
        "the password is secret",
        "skills-and-tasks-of-an-agent",
        "550e8400-e29b-41d4-a716-446655440000",
        "traj-7e2f9a1b4c5d6e7f",
        "c29saWQtc3RhdGUgYmF0dGVyaWVz",
        &peer,
        &hash,
    ] {
        assert_eq!(text_redacted(text), None, "{text}");
    }
}

#[test]
fn addresses_glued_to_labels_go() {
    for (text, clean) in [
        ("ip:2001:db8::7", "ip:[IP]"),
        ("src:fe80::1, dst:fe80::2:port", "src:[IP], dst:[IP]:port"),
        ("from:2001:db8::7:to:2001:db8:0:0:0:0:0:8", "from:[IP]:to:[IP]"),
        ("x:::ffff:0:1", "x:[IP]"),
    ] {
        assert_eq!(text_redacted(text).as_deref(), Some(clean), "{text}");
    }
    for text in ["local:::1", "at:12:30:45", "std::fc::be", "16:27:ac:a5:76:28:2d:36:63:1b", "x:1:2"] {
        assert_eq!(text_redacted(text), None, "{text}");
    }
}

#[test]
fn values_are_walked_to_their_leaves() {
    let mut value = json!({
        "to": ["bob@example.com", {"bob@example.com": 1, "note": "ok"}],
        "card": 4_111_111_111_111_111_u64,
        "count": 47, "ratio": 0.5, "none": null,
        "Password": "x", "api_key": "whatever", "phone": 4_155_550_123_u64, "pin": true,
    });
    assert_eq!(redact(&mut value), 6);
    let clean = json!({
        "to": ["[EMAIL]", {"[EMAIL]": 1, "note": "ok"}],
        "card": "[CARD]",
        "count": 47, "ratio": 0.5, "none": null,
        "Password": "[SECRET]", "api_key": "[API_KEY]", "phone": "[PHONE]", "pin": true,
    });
    assert_eq!(value, clean);
    assert_eq!(redact(&mut value), 0);
    let mut names = json!({"a@b.example": 1, "c@d.example": 2});
    redact(&mut names);
    assert_eq!(names, json!({"[EMAIL]": 1, "[EMAIL]'": 2}));
}

proptest! {
    #[test]
    fn once_is_enough(text in ".{0,60}|[0-9 .+@:a-f-]{0,60}|(bob@x\\.org|\\+14155550123|4111111111111111|[ ,:=./-]|password|1\\.2\\.3\\.4){0,9}") {
        if let Some(clean) = text_redacted(&text) {
            prop_assert_eq!(text_redacted(&clean), None);
        }
    }
}
