//! What the parser takes, what it refuses, and what it says.

use proptest::prelude::*;

use super::*;
use crate::level::Level;

const CASE: &str = r#"
# A comment.
title: A consume above what remains is refused
  and changes nothing
profile: guard
requires: HSP-4.2-11
needs: budget
twin: guard/consume

@session S
@arrange budget($S) limit=1.00 consumed=0.88
>> rpc {"method": "guard.consumeBudget",
        "params": {"sessionId": "$S", "amount": {"$L": 5.00}}}
<< rpc must HSP-4.2-11 should HSP-8-06 within=5s
   {"error": {"code": -32002, "data": {"$about": {"id": "HSP-4.2-12", "level": "should", "is": {"limit": {"$L": 1}}}}}}
@connect B auth=none
B >> rpc as=q {"method": "guard.getBudgetStatus", "params": {"sessionId": "$S"}}
B << rpc|close setup for=q {"result": {"remaining": "$bind R"}}
@repeat 3 as I
@each V [1.5, "x"]
>> json {"jsonrpc": "2.0", "id": "$I", "method": "$V"}
<< rpc HSP-3-01 {"error": {"code": -32601}}
@end
@end
>> text {"jsonrpc": "2.0", "method"
<< rpc HSP-8-01 for=null {"id": null}
>> frame [{"opcode": "text", "fin": false, "text": "a"}, {"opcode": "continuation", "hex": "ff fe"}]
<< none until fence
@parallel 5
>> rpc {"method": "state.createSession"}
<< rpc "$append ALL"
@end
@check HSP-4.1-02 {"value": "$ALL", "is": {"$unique": {"by": "result.sessionId"}}}
"#;

fn parse(text: &str) -> Result<Case, ParseError> {
    Case::parse("guard/x", "x.case", text)
}

#[test]
fn a_case_is_read() {
    let case = parse(CASE).expect("a case");
    assert_eq!(case.title, "A consume above what remains is refused and changes nothing");
    assert_eq!(case.check_id("HSP-4.2-11", 4), "HSP-4.2-11@guard/x#4");
    let cites: Vec<String> = case
        .cites()
        .iter()
        .map(|cite| format!("{} {}", cite.level.map_or("-", Level::name), cite.id))
        .collect();
    let wanted = [
        "must HSP-4.2-11",
        "should HSP-8-06",
        "should HSP-4.2-12",
        "- HSP-3-01",
        "- HSP-8-01",
        "- HSP-4.2-11",
        "- HSP-4.1-02",
    ];
    assert_eq!(cites, wanted);
    assert_eq!(case.all_needs(), [Need::Auth, Need::Budget, Need::Frames]);
    assert_eq!(case.methods(), ["guard.consumeBudget", "guard.getBudgetStatus", "state.createSession"]);
    let mut numbers = Vec::new();
    case.each_step(&mut |step| numbers.push(step.number));
    assert_eq!(numbers, (1..=19).collect::<Vec<u32>>());
}

#[test]
fn a_case_survives_json_and_fits_the_schema() {
    let case = parse(CASE).expect("a case");
    let text = serde_json::to_string(&case).expect("JSON");
    let back: Case = serde_json::from_str(&text).expect("a case");
    assert_eq!(back, case);
    let now = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/case.schema.json");
    if std::env::var_os("WRITE_SCHEMA").is_some() {
        std::fs::write(path, &now).expect("the schema is written");
    }
    let kept = std::fs::read_to_string(path).expect("case.schema.json");
    assert_eq!(kept, now, "case.schema.json is old: run this test with WRITE_SCHEMA=1");
}

#[test]
fn mistakes_have_a_line_and_say_what_to_write() {
    let head = "title: t\nprofile: guard\nrequires: HSP-1-01\n";
    let cases = [
        ("", "x.case:1: the case has no line 'title: ...'"),
        ("title: t\nprofil: x", "x.case:2: 'profil' is unknown; there are title"),
        ("title: t\ntitle: u", "x.case:2: 'title' is there twice"),
        ("title: t\nprofile: guard\nneeds: money", "x.case:3: 'money' is nothing to need"),
        ("title: t\nprofile: guard\nrequires: 4.2", "x.case:3: '4.2' is neither a requirement"),
        ("  x", "x.case:1: an indented line"),
        ("title: t\nprofile: guard\n<< close", "x.case:3: this checks nothing"),
        ("@H", "x.case:4: '@H' is unknown"),
        (">> rpc {\"method\":\"a\"}", "x.case:4: the case checks nothing"),
        (">> rpc {\"method\":\"a\"", "x.case:4: the body is not JSON: an object has neither comma nor brace"),
        (">> rpc", "x.case:4: >> rpc has no body"),
        (">> rpc []", "x.case:4: >> rpc takes an object with a method"),
        (">> rcp {}", "x.case:4: 'rcp' is nothing to send"),
        ("<< rcp {}", "x.case:4: 'rcp' is nothing to expect"),
        ("<< rpc {\"a\":\"$strin\"}", "x.case:4: $.a: '$strin' is no word"),
        ("<< rpc must {}", "x.case:4: a level stands before"),
        ("<< rpc within=5 {}", "x.case:4: '5' is no duration"),
        ("<< rpc setup HSP-1-02 {}", "x.case:4: setup checks nothing"),
        ("<< rpc {\"a\":\"$S\"}", "x.case:4: $S has no value here"),
        ("<< close {}", "x.case:4: << close takes no body"),
        ("@end", "x.case:4: @end without"),
        ("@repeat 2\n<< close", "x.case:5: a block of @repeat"),
        ("@repeat 0\n@end", "x.case:4: write @repeat 100"),
        ("@parallel 2\n<< close\n@end", "x.case:5: @parallel takes only"),
        ("@arrange budget(S) limit=1", "x.case:4: write @arrange"),
        ("@answer A {}", "x.case:4: write @answer A tool.execute"),
        ("@clock 5", "x.case:4: '5' is no duration"),
        ("B <> rpc", "x.case:4: 'B <> rpc' is neither 'key: value' nor a step"),
        (">> frame {\"opcode\":\"txt\"}", "x.case:4: the opcode is none of"),
        (">> frame {\"opcode\":1,\"hex\":\"f\"}", "x.case:4: hex is pairs"),
        ("<< close\nx", "x.case:5: 'x' begins no step"),
    ];
    for (body, problem) in cases {
        let whole = if body.starts_with("title") || body.is_empty() || body.starts_with(' ') {
            body.to_owned()
        } else {
            format!("{head}{body}")
        };
        let error = parse(&whole).expect_err(body).to_string();
        assert!(error.starts_with(problem), "{body}\n  {error}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(lines in proptest::collection::vec("(>> |<< |@|B >> |title: |)(rpc|json|text|frame|repeat 2|each V|end|connect B|clock|check|close|none|) ?[\\[{\"]?.{0,12}", 0..8)) {
        let _ = parse(&format!("title: t\nprofile: p\nrequires: HSP-1\n{}", lines.join("\n")));
    }
}
