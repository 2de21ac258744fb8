//! Channels, and what is told of settlements.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::payment::{ChannelAcceptor, ChannelTerms, ChannelVoucher, Hex, SignedVoucher, keccak256};

#[test]
fn the_channel_of_the_spec() {
    let mut bench = bench();
    let payee = peer(2).to_string();
    let state = bench.text(OPEN, &format!(r#"{{"payee":"{payee}","budget":5.0,"currency":"USDC"}}"#));
    assert_eq!((&state["payee"], &state["payer"]), (&json!(payee), &json!(peer(1).to_string())));
    assert_eq!((&state["budget"], &state["remaining"], &state["spent"]), (&json!(5), &json!(5), &json!(0)));
    assert_eq!((&state["status"], &state["nonce"]), (&json!("open"), &json!(0)));
    assert_eq!(state["openedAt"], "2026-03-18T12:00:00.000Z");
    let id = state["channelId"].as_str().unwrap().to_owned();
    let pay = json!({"channelId": id, "amount": 0.003, "memo": "42 tokens"});
    let first = bench.ok(PAY, pay.clone());
    assert_eq!((&first["nonce"], first["remaining"].to_string()), (&json!(1), "4.997".to_owned()));
    let mut bench = bench.reborn();
    let second = bench.ok(PAY, pay.clone());
    assert_eq!((&second["nonce"], second["remaining"].to_string()), (&json!(2), "4.994".to_owned()));
    assert_eq!(second["voucher"]["cumulativeAmount"], "6000");
    bench.net.did.clear();
    let call = bench.start(CLOSE, json!({"channelId": id}));
    assert_eq!(bench.answer(call).unwrap().unwrap().to_string(), r#"{"refund":4.994,"totalSpent":0.006}"#);
    let told: Vec<_> = bench.net.did.iter().filter(|did| matches!(did, Did::Published(..))).collect();
    let [Did::Published(topic, d)] = told[..] else { panic!() };
    assert_eq!(*topic, Topic::settlements(1_773_835_200 / 90));
    assert_eq!((&d[0]["channelId"], &d[0]["amount"]), (&json!(id), &json!("6000")));
    assert_eq!(d[0]["signature"], second["voucher"]["signature"]);
    for (method, params) in [(PAY, pay), (CLOSE, json!({"channelId": id}))] {
        let error = bench.call(method, params.clone()).unwrap_err();
        assert_eq!((error.code, &error.data.unwrap()["reason"]), (Code::InvalidParams, &json!("closed")));
        let mut other = params;
        other["channelId"] = json!("none");
        let error = bench.call(method, other).unwrap_err();
        assert_eq!(error.data.unwrap(), json!({"reason": "not_found", "kind": "channel"}));
    }
    bench.pass(Duration::from_secs(86_400));
    let error = bench.call(CLOSE, json!({"channelId": id})).unwrap_err();
    assert_eq!(error.data.unwrap()["reason"], "not_found");
    assert_eq!(bench.records, MemoryRecords::default());
}

#[test]
fn a_payment_that_cannot_be_made_changes_nothing() {
    let mut bench = bench();
    let id = bench.open("1");
    bench.ok(PAY, json!({"channelId": id, "amount": 0.4, "memo": ""}));
    let before = bench.records.clone();
    let error = bench.call(PAY, json!({"channelId": id, "amount": 0.600001, "memo": ""})).unwrap_err();
    assert_eq!(error.code, Code::BudgetExceeded);
    assert_eq!(error.data, Some(json!({"remaining": 0.6, "requested": 0.600001, "limit": 1})));
    for (amount, memo, param) in [
        (json!(0), "", "amount"),
        (json!(-0.1), "", "amount"),
        (json!(0.0000001), "", "amount"),
        (json!("1"), "", "amount"),
        (json!(0.1), &*"é".repeat(257), "memo"),
        (json!(0.1), &*"x".repeat(2_000), "memo"),
    ] {
        let params = json!({"channelId": id, "amount": amount, "memo": memo});
        let error = bench.call(PAY, params).unwrap_err();
        assert_eq!((error.code, &error.data.unwrap()["param"]), (Code::InvalidParams, &json!(param)));
    }
    for other in [None, Some(key(2))] {
        bench.config.micropayments.key = other;
        let (code, message) = bench.fails(PAY, json!({"channelId": id, "amount": 0.1, "memo": ""}));
        assert!(code == Code::Internal && message.contains("payment key"), "{message}");
    }
    assert_eq!(bench.records, before);
    bench.config.micropayments.key = Some(key(1));
    let paid = bench.ok(PAY, json!({"channelId": id, "amount": 0.6, "memo": "é".repeat(256)}));
    assert_eq!((&paid["nonce"], &paid["remaining"]), (&json!(2), &json!(0)), "the number was not used up");
}

#[test]
fn no_digit_of_a_large_sum_is_lost() {
    let mut bench = bench();
    let id = bench.open("100000000000000000000000.000003");
    let amount = "50000000000000000000000.000001";
    let pay = format!(r#"{{"channelId":"{id}","amount":{amount},"memo":""}}"#);
    bench.text(PAY, &pay);
    let second = bench.text(PAY, &pay);
    assert_eq!(second["voucher"]["cumulativeAmount"], "100000000000000000000000000002");
    assert_eq!(second["remaining"].to_string(), "1e-6");
    let call = bench.start_text(PAY, &pay);
    let data = bench.answer(call).unwrap().unwrap_err().data.unwrap();
    assert_eq!(data["remaining"].to_string(), "1e-6", "a number");
    assert_eq!(data["requested"], amount, "text, for the value type would round it");
}

#[test]
fn a_channel_that_cannot_be_opened() {
    let mut bench = bench();
    let mut refused = |budget: &str, currency: &str| {
        let params = format!(r#"{{"payee":"p","budget":{budget},"currency":"{currency}"}}"#);
        let call = bench.start_text(OPEN, &params);
        let error = bench.answer(call).unwrap().unwrap_err();
        error.data.unwrap()["param"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("0", "USDC"), "budget");
    assert_eq!(refused("-1", "USDC"), "budget");
    assert_eq!(refused("0.0000001", "points"), "budget");
    assert_eq!(refused("0.001", "USD"), "budget");
    assert_eq!(refused("1e40", "USDC"), "budget");
    assert_eq!(refused("1", "DOGE"), "currency");
    let params = json!({"payee": "p", "budget": 1.25, "currency": "usd"});
    bench.config.micropayments.channels_max = 1;
    let state = bench.ok(OPEN, params.clone());
    assert_eq!((&state["currency"], &state["chainId"]), (&json!("USD"), &json!(1)));
    assert_eq!(bench.fails(OPEN, params.clone()).0, Code::Full);
    bench.config.micropayments.key = None;
    assert_eq!(bench.fails(OPEN, params.clone()).0, Code::Internal);
    let closed = bench.ok(CLOSE, json!({"channelId": state["channelId"]}));
    assert_eq!(closed, json!({"totalSpent": 0, "refund": 1.25}));
    assert!(!bench.net.did.iter().any(|did| matches!(did, Did::Published(..))), "nothing was paid");
    bench.caller.tier = Tier::Session(bench.session().into());
    assert_eq!(bench.fails(OPEN, params).0, Code::Forbidden);
}

#[test]
fn vouchers_convince_a_payee() {
    let mut bench = bench();
    let state = bench.text(OPEN, r#"{"payee":"p","budget":1,"currency":"USDC"}"#);
    let terms = ChannelTerms {
        id: bytes(&state["channelId"]),
        payer: state["payerAddress"].as_str().unwrap().parse().unwrap(),
        chain: state["chainId"].as_u64().unwrap(),
        deposit: 1_000_000,
        grace: Duration::from_secs(900),
    };
    let mut payee = ChannelAcceptor::new(terms);
    for expected in [300_000, 700_000] {
        let params = json!({"channelId": state["channelId"], "amount": expected as f64 / 1e6, "memo": "m"});
        let voucher = bench.ok(PAY, params)["voucher"].clone();
        let signed = SignedVoucher {
            voucher: ChannelVoucher {
                channel_id: bytes(&voucher["channelId"]),
                nonce: voucher["nonce"].as_u64().unwrap(),
                cumulative: voucher["cumulativeAmount"].as_str().unwrap().parse().unwrap(),
                memo_hash: bytes(&voucher["memoHash"]),
            },
            signature: serde_json::from_value(voucher["signature"].clone()).unwrap(),
        };
        assert_eq!(signed.voucher.memo_hash, keccak256(b"m"));
        assert_eq!(payee.on_voucher(&signed), Ok(expected));
    }
    assert_eq!(payee.close().refund, 0);
}

#[test]
fn rounds_are_followed_while_a_channel_is_open() {
    let mut bench = bench();
    let now = 1_773_835_200 / 90;
    let of = |did: &[Did]| -> Vec<(bool, u64)> {
        did.iter()
            .filter_map(|did| {
                if let Did::Subscribed(topic) = did {
                    return Some((true, topic));
                }
                if let Did::Unsubscribed(topic) = did { Some((false, topic)) } else { None }
            })
            .map(|(on, topic)| (on, topic.to_string().rsplit('/').next().unwrap().parse().unwrap()))
            .collect()
    };
    let id = bench.open("1");
    assert_eq!(of(&bench.net.did), [(true, now - 1), (true, now), (true, now + 1)]);
    bench.net.did.clear();
    bench.pass(Duration::from_secs(90));
    assert_eq!(of(&bench.net.did), [(false, now - 1), (true, now + 2)]);
    let mut bench = bench.reborn();
    bench.run(|_, _| {});
    assert_eq!(of(&bench.net.did).len(), 3, "after a restart");
    bench.net.did.clear();
    bench.ok(CLOSE, json!({"channelId": id}));
    assert_eq!(of(&bench.net.did), [(false, now), (false, now + 1), (false, now + 2)]);
}

fn settlement(number: u8) -> Value {
    let hash = keccak256(&[number]);
    json!({"receiptId": Hex([number; 32]), "payer": key(2).address(), "payee": "p", "amount": "5",
           "currency": "USDC", "digest": Hex(hash), "signature": key(2).sign(&hash), "more": 1})
}

#[test]
fn settlements_of_others_are_kept_for_a_while() {
    let mut bench = bench();
    bench.config.micropayments.heard_max = 2;
    let now = 1_773_835_200 / 90;
    fn hear(bench: &mut Bench, author: PeerId, round: u64, d: Value) -> usize {
        bench.run(|agent, env| agent.on_message(env, author, &Topic::settlements(round), &d.to_string()));
        bench.records.iter().filter(|(_, key, ..)| key.starts_with(b"h/")).count()
    }
    let mut forged = settlement(1);
    forged["digest"] = json!(Hex([0u8; 32]));
    let mut free = settlement(1);
    free["amount"] = json!("0");
    let mut long = settlement(1);
    long["payee"] = json!("p".repeat(257));
    for d in [json!([forged]), json!([free]), json!([long]), settlement(1), json!("x"), json!([])] {
        assert_eq!(hear(&mut bench, peer(3), now, d.clone()), 0, "{d}");
    }
    let many: Vec<_> = (0..65).map(settlement).collect();
    assert_eq!(hear(&mut bench, peer(3), now, json!(many)), 0);
    assert_eq!(hear(&mut bench, peer(3), now + 2, json!([settlement(1)])), 0);
    assert_eq!(hear(&mut bench, peer(1), now, json!([settlement(1)])), 0, "our own");
    assert_eq!(hear(&mut bench, peer(3), now + 1, json!([settlement(1)])), 1);
    assert_eq!(hear(&mut bench, peer(4), now, json!([settlement(1)])), 1, "known");
    bench.pass(Duration::from_secs(1));
    assert_eq!(hear(&mut bench, peer(3), now - 1, json!([settlement(2), settlement(3)])), 2);
    assert!(
        !bench.records.iter().any(|(_, key, ..)| key == [&b"h/"[..], &keccak256(&[1])].concat()),
        "the oldest"
    );
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.records, MemoryRecords::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    // Up to 15 digits: what reads the answers here keeps no more.
    #[test]
    fn money_is_neither_made_nor_lost(budget in 1u128..1 << 49, pays in prop::collection::vec(0u128..1 << 49, 0..8)) {
        let mut bench = bench();
        let text = |units| amount::decimal(units, 6);
        let units = |number: &str| amount::Decimal::new(number).unwrap().units(6).unwrap();
        let id = bench.open(&text(budget));
        let (mut spent, mut nonce) = (0, 0);
        for pay in pays {
            let params = format!(r#"{{"channelId":"{id}","amount":{},"memo":""}}"#, text(pay));
            let call = bench.start_text(PAY, &params);
            match bench.answer(call).unwrap() {
                Ok(paid) => {
                    spent += pay;
                    nonce += 1;
                    prop_assert_eq!(&paid["nonce"], &json!(nonce));
                    prop_assert_eq!(&paid["voucher"]["cumulativeAmount"], &json!(spent.to_string()));
                }
                Err(error) => {
                    let over = pay > budget - spent;
                    prop_assert_eq!(error.code, if over { Code::BudgetExceeded } else { Code::InvalidParams });
                    prop_assert!(over || pay == 0);
                }
            }
        }
        let closed = bench.ok(CLOSE, json!({"channelId": id}));
        let (spent_text, refund) = (closed["totalSpent"].to_string(), closed["refund"].to_string());
        prop_assert_eq!(units(&spent_text), spent);
        prop_assert_eq!(spent + units(&refund), budget);
    }
}

#[test]
fn a_signature_is_kept_once_and_an_author_is_heard_so_often() {
    let mut bench = bench();
    let now = 1_773_835_200 / 90;
    let mut hear = |author: u8, list: Vec<Value>| {
        let d = json!(list).to_string();
        bench.run(|agent, env| agent.on_message(env, peer(author), &Topic::settlements(now), &d));
        bench.records.iter().filter(|(_, key, ..)| key.starts_with(b"h/")).count()
    };
    let renamed = (0..64).map(|number| {
        let mut again = settlement(1);
        again["receiptId"] = json!(Hex([number; 32]));
        again
    });
    assert_eq!(hear(3, renamed.collect()), 1);
    let signed = |number: u16| {
        let hash = keccak256(&number.to_be_bytes());
        let mut settlement = settlement(0);
        (settlement["digest"], settlement["signature"]) = (json!(Hex(hash)), json!(key(2).sign(&hash)));
        settlement
    };
    let all: Vec<Value> = (0..300).map(signed).collect();
    let kept = all.chunks(64).map(|list| hear(3, list.to_vec())).last();
    assert_eq!(kept, Some(256), "the first and 255 more");
    assert_eq!(hear(4, all[299..].to_vec()), 257, "another author is heard");
}
