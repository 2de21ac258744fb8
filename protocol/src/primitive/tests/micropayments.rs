use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::payment::types::TransferWithAuthorization;
use crate::payment::{
    Address, ChannelAcceptor, ChannelTerms, ChannelVoucher, Domain, Hex, Key, PaymentReceipt, Signature,
    SignedVoucher, digest, keccak256,
};

const CHALLENGE: &str = "micropayments.challenge";
const VERIFY: &str = "micropayments.verify";
const OPEN: &str = "micropayments.channel.open";
const PAY: &str = "micropayments.channel.pay";
const CLOSE: &str = "micropayments.channel.close";
const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
const SEPOLIA: u64 = 84_532;

fn key(number: u8) -> Key {
    Key::from_secret(&[number; 32]).unwrap()
}

/// A node with a payment key.
fn bench() -> Bench {
    let mut bench = Bench::default();
    bench.config.micropayments.key = Some(key(1));
    bench
}

impl Bench {
    /// The same node after a crash: the records are all that is left.
    fn reborn(self) -> Self {
        Self { agent: Agent::default(), net: Around::default(), ..self }
    }

    fn seconds(&self) -> u64 {
        self.unix.0 / 1000
    }

    fn challenge(&mut self) -> Value {
        self.ok(CHALLENGE, json!({"pricePoints": 10, "priceUsdc": 0.01, "payeeAddress": PAYEE}))
    }

    fn verify(&mut self, credential: &Value) -> Value {
        self.ok(VERIFY, json!({ "credential": credential }))
    }

    /// Verifies and returns why not.
    fn reason(&mut self, credential: &Value) -> String {
        let verified = self.verify(credential);
        assert_eq!((&verified["accepted"], &verified["amount"]), (&json!(false), &json!(0)), "{verified}");
        verified["reason"].as_str().unwrap().to_owned()
    }

    fn open(&mut self, budget: &str) -> String {
        let params = format!(r#"{{"payee":"{}","budget":{budget},"currency":"USDC"}}"#, peer(2));
        let call = self.start_text(OPEN, &params);
        self.answer(call).unwrap().unwrap()["channelId"].as_str().unwrap().to_owned()
    }

    fn text(&mut self, method: &str, params: &str) -> Value {
        let call = self.start_text(method, params);
        self.answer(call).unwrap().unwrap()
    }
}

fn bytes<const N: usize>(text: &Value) -> [u8; N] {
    text.as_str().unwrap().parse::<Hex<N>>().unwrap().0
}

/// Pays in points with a receipt of our own.
fn receipt(bench: &Bench, challenge: &Value) -> PaymentReceipt {
    PaymentReceipt {
        challenge_id: bytes(&challenge["challengeId"]),
        payer: key(2).address(),
        payee: challenge["receipt"]["payee"].as_str().unwrap().parse().unwrap(),
        asset: "points".to_owned(),
        amount: 10_000_000,
        resource: challenge["resource"]["url"].as_str().unwrap().to_owned(),
        nonce: [7; 32],
        valid_after: 0,
        valid_before: u128::from(bench.seconds()) + 60,
    }
}

fn native(receipt: &PaymentReceipt, chain: u64) -> Value {
    json!({
        "version": 1,
        "challengeId": Hex(receipt.challenge_id),
        "chainId": chain,
        "receipt": {
            "challengeId": Hex(receipt.challenge_id), "payer": receipt.payer, "payee": receipt.payee,
            "asset": receipt.asset, "amount": receipt.amount.to_string(), "resource": receipt.resource,
            "nonce": Hex(receipt.nonce), "validAfter": receipt.valid_after.to_string(),
            "validBefore": receipt.valid_before.to_string(),
        },
        "signature": key(2).sign(&digest(&Domain::hyperspace(chain), receipt)),
    })
}

/// Pays in USDC as clients of x402 do.
fn x402(
    bench: &Bench,
    challenge: &Value,
    version: u64,
    change: impl Fn(&mut TransferWithAuthorization),
) -> Value {
    let entry = &challenge["accepts"][0];
    let mut signed = TransferWithAuthorization {
        from: key(2).address(),
        to: entry["payTo"].as_str().unwrap().parse().unwrap(),
        value: entry["amount"].as_str().unwrap().parse().unwrap(),
        valid_after: u128::from(bench.seconds()) - 600,
        valid_before: u128::from(bench.seconds()) + 60,
        nonce: [8; 32],
    };
    change(&mut signed);
    let token: Address = entry["asset"].as_str().unwrap().parse().unwrap();
    let domain = Domain { name: "USDC", version: "2", chain: SEPOLIA, contract: Some(token) };
    let payload = json!({
        "signature": key(2).sign(&digest(&domain, &signed)),
        "authorization": {
            "from": signed.from, "to": signed.to, "value": signed.value.to_string(),
            "validAfter": signed.valid_after.to_string(), "validBefore": signed.valid_before.to_string(),
            "nonce": Hex(signed.nonce),
        },
    });
    match version {
        1 => json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload}),
        _ => {
            json!({"x402Version": 2, "accepted": entry, "resource": challenge["resource"], "payload": payload})
        }
    }
}

#[test]
fn a_challenge_says_all_that_a_payer_needs() {
    let mut bench = bench();
    let challenge = bench.challenge();
    assert_eq!(challenge["price"], json!({"points": "10", "usdc": "0.01"}));
    assert_eq!(challenge["chains"], json!(["eip155:84532"]));
    assert_eq!(challenge["payee"], json!({"address": PAYEE}));
    assert_eq!(challenge["expires"], 1_773_835_200 + 300);
    assert_eq!(
        challenge["accepts"][0],
        json!({"scheme": "exact", "network": "eip155:84532", "amount": "10000",
               "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "payTo": PAYEE,
               "maxTimeoutSeconds": 300, "extra": {"name": "USDC", "version": "2"}})
    );
    assert_eq!(challenge["accepts"][1]["scheme"], "batch-settlement");
    assert_eq!(challenge["accepts"][1]["extra"]["receiverAuthorizer"], json!(key(1).address()));
    assert_eq!(challenge["accepts"][1]["extra"]["withdrawDelay"], 900);
    let points = &challenge["accepts"][2];
    assert_eq!((&points["scheme"], &points["amount"]), (&json!("hyperspace-points"), &json!("10000000")));
    assert_eq!(points["extra"], json!({"decimals": 6}));
    let mut without = challenge.clone();
    let id = without.as_object_mut().unwrap().remove("challengeId").unwrap();
    let canonical = serde_json_canonicalizer::to_vec(&without).unwrap();
    assert_eq!(id, Hex(keccak256(&canonical)).to_string());
    assert_ne!(bench.challenge()["challengeId"], id, "no two are the same");
}

#[test]
fn a_payee_is_an_address_or_any_text() {
    let mut bench = bench();
    let own = bench.own.to_string();
    let address = key(1).address().to_string();
    let mut schemes = |payee: &str, points: u8, usdc: u8| {
        let params = json!({"pricePoints": points, "priceUsdc": usdc, "payeeAddress": payee});
        let challenge = bench.ok(CHALLENGE, params);
        let accepts = challenge["accepts"].as_array().unwrap();
        let schemes: Vec<_> =
            accepts.iter().map(|accept| accept["scheme"].as_str().unwrap().to_owned()).collect();
        (challenge["payee"].clone(), schemes)
    };
    let all = ["exact", "batch-settlement", "hyperspace-points"];
    assert_eq!(
        schemes(&own, 1, 1),
        (json!({"peerId": own, "address": address}), all.map(str::to_owned).to_vec())
    );
    assert_eq!(schemes(&address, 0, 1).0, json!({"peerId": own, "address": address}));
    assert_eq!(schemes(&address, 0, 1).1, all[..2]);
    assert_eq!(schemes(&address.to_lowercase(), 1, 0).1, all[2..]);
    let other = peer(9).to_string();
    assert_eq!(schemes(&other, 1, 1), (json!({"peerId": other}), vec![all[2].to_owned()]));
    assert_eq!(schemes("agent-7", 0, 1), (json!({"id": "agent-7"}), vec![]));
    bench.config.micropayments.key = None;
    let challenge = bench.ok(CHALLENGE, json!({"pricePoints": 1, "priceUsdc": 0, "payeeAddress": own}));
    assert_eq!(challenge["payee"], json!({"peerId": own}));
}

#[test]
fn a_wrong_price_or_payee_is_named() {
    let mut bench = bench();
    let mut refused = |params: &str| {
        let call = bench.start_text(CHALLENGE, params);
        let error = bench.answer(call).unwrap().unwrap_err();
        assert_eq!(error.code, Code::InvalidParams, "{params}");
        error.data.unwrap()["param"].as_str().unwrap().to_owned()
    };
    let with = |points: &str, usdc: &str, payee: &str| {
        format!(r#"{{"pricePoints":{points},"priceUsdc":{usdc},"payeeAddress":"{payee}"}}"#)
    };
    assert_eq!(refused(&with("0.0000001", "1", PAYEE)), "pricePoints");
    assert_eq!(refused(&with("1", "0.00000010", PAYEE)), "priceUsdc");
    assert_eq!(refused(&with("1", "-1", PAYEE)), "priceUsdc");
    assert_eq!(refused(&with("1", "\"1\"", PAYEE)), "priceUsdc");
    assert_eq!(refused(&with("0", "0.0", PAYEE)), "pricePoints");
    assert_eq!(refused(&with("1", "1", "0x209693bc6afc0C5328bA36FaF03C514EF312287C")), "payeeAddress");
    assert_eq!(refused(&with("1", "1", "0x2096")), "payeeAddress");
    assert_eq!(refused(&with("1", "1", "")), "payeeAddress");
    bench.config.micropayments.points_digits = 0;
    let params = json!({"pricePoints": 0.5, "priceUsdc": 0, "payeeAddress": PAYEE});
    assert_eq!(bench.fails(CHALLENGE, params).0, Code::InvalidParams);
    bench.config.micropayments.challenges_max = 1;
    bench.challenge();
    let params = json!({"pricePoints": 1, "priceUsdc": 0, "payeeAddress": PAYEE});
    assert_eq!(bench.fails(CHALLENGE, params.clone()).0, Code::RateLimited);
    bench.pass(Duration::from_secs(301));
    bench.ok(CHALLENGE, params);
}

#[test]
fn a_receipt_of_our_own_pays_once() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let credential = native(&receipt(&bench, &challenge), 1);
    let verified = bench.verify(&credential);
    assert_eq!(verified["accepted"], true, "{verified}");
    assert_eq!((&verified["amount"], &verified["currency"]), (&json!(10), &json!("points")));
    let Did::Published(topic, d) = bench.net.did.remove(0) else { panic!() };
    assert_eq!(topic, Topic::settlements(1_773_835_200 / 90));
    assert_eq!(d[0]["receiptId"], verified["receiptId"]);
    assert_eq!((&d[0]["payer"], &d[0]["payee"]), (&json!(key(2).address()), &json!(PAYEE)));
    assert_eq!((&d[0]["amount"], &d[0]["currency"]), (&json!("10000000"), &json!("points")));
    assert_eq!(d[0]["signature"], credential["signature"]);
    for _ in 0..2 {
        let again = bench.verify(&credential);
        assert_eq!((&again["reason"], &again["receiptId"]), (&json!("replay"), &verified["receiptId"]));
        bench = bench.reborn();
    }
    let mut other = receipt(&bench, &challenge);
    other.nonce = [9; 32];
    assert_eq!(bench.reason(&native(&other, 1)), "challenge_paid");
    other.challenge_id = bytes(&bench.challenge()["challengeId"]);
    other.nonce = [7; 32];
    // Another challenge has another resource too.
    assert_eq!(bench.reason(&native(&other, 1)), "resource");
    assert_eq!(bench.net.did, []);
}

#[test]
fn a_nonce_is_used_up_across_challenges() {
    let mut bench = bench();
    let params = json!({"pricePoints": 10, "priceUsdc": 0.01, "payeeAddress": PAYEE, "resource": "/a"});
    let (first, second) = (bench.ok(CHALLENGE, params.clone()), bench.ok(CHALLENGE, params));
    assert_eq!(bench.verify(&native(&receipt(&bench, &first), 1))["accepted"], true);
    assert_eq!(bench.reason(&native(&receipt(&bench, &second), 1)), "replay");
    // Under another chain it is another nonce: a receipt for USDC.
    let mut usdc = receipt(&bench, &second);
    (usdc.asset, usdc.amount) = ("USDC".to_owned(), 10_000);
    let verified = bench.verify(&native(&usdc, SEPOLIA));
    assert_eq!((&verified["accepted"], &verified["amount"]), (&json!(true), &json!(0.01)), "{verified}");
}

#[test]
fn a_receipt_must_say_what_the_challenge_says() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let good = receipt(&bench, &challenge);
    let now = u128::from(bench.seconds());
    let mut reason = |change: &dyn Fn(&mut PaymentReceipt)| {
        let mut changed = good.clone();
        change(&mut changed);
        bench.reason(&native(&changed, if changed.asset == "USDC" { SEPOLIA } else { 1 }))
    };
    assert_eq!(reason(&|r| r.challenge_id = [0; 32]), "unknown_challenge");
    assert_eq!(reason(&|r| r.payer = key(3).address()), "signature");
    assert_eq!(reason(&|r| r.payee = key(3).address()), "payee");
    assert_eq!(reason(&|r| r.asset = "USD".to_owned()), "asset");
    assert_eq!(reason(&|r| r.asset = "DOGE".to_owned()), "asset");
    assert_eq!(reason(&|r| r.asset = "USDC".to_owned()), "amount");
    assert_eq!(reason(&|r| r.amount -= 1), "amount");
    assert_eq!(reason(&|r| r.amount += 1), "amount");
    assert_eq!(reason(&|r| r.resource.push('x')), "resource");
    assert_eq!(reason(&|r| r.valid_after = now + 1), "not_yet_valid");
    assert_eq!(reason(&|r| r.valid_before = now), "expired");
    assert_eq!(reason(&|r| r.valid_before = now + 86_401), "valid_too_long");
    assert_eq!(reason(&|r| r.valid_before = u128::MAX), "valid_too_long");
    assert_eq!(bench.reason(&native(&good, SEPOLIA)), "chain");
    let mut tampered = native(&good, 1);
    tampered["receipt"]["amount"] = json!("10000001");
    assert_eq!(bench.reason(&tampered), "signature");
    let mut malleated = native(&good, 1);
    let signature: Signature = serde_json::from_value(malleated["signature"].clone()).unwrap();
    malleated["signature"] = json!(crate::payment::tests::malleate(&signature));
    assert_eq!(bench.reason(&malleated), "signature");
    assert_eq!(bench.net.did, [], "none of these is told");
    bench.pass(Duration::from_secs(300));
    let mut late = good;
    late.valid_before += 400;
    assert_eq!(bench.verify(&native(&late, 1))["accepted"], true, "to the last second");
}

#[test]
fn a_challenge_expires_and_is_erased() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let mut late = receipt(&bench, &challenge);
    late.valid_before += 400;
    bench.unix = UnixMillis(bench.unix.0 + 301_000);
    assert_eq!(bench.reason(&native(&late, 1)), "challenge_expired");
    bench.unix = UnixMillis(bench.unix.0 - 301_000);
    bench.pass(Duration::from_secs(301));
    assert_eq!(bench.reason(&native(&late, 1)), "unknown_challenge");
    assert_eq!(bench.records, MemoryRecords::default(), "nothing is left of it");
    assert_eq!(bench.agent.poll_timeout(), None);
}

#[test]
fn receipts_are_forgotten_when_they_cannot_be_used_again() {
    let mut bench = bench();
    bench.config.micropayments.receipts_max = 1;
    let challenge = bench.challenge();
    assert_eq!(bench.verify(&native(&receipt(&bench, &challenge), 1))["accepted"], true);
    let mut bench = bench.reborn();
    let challenge = bench.challenge();
    let mut next = receipt(&bench, &challenge);
    next.nonce = [9; 32];
    let credential = native(&next, 1);
    let before = bench.records.clone();
    assert_eq!(bench.fails(VERIFY, json!({ "credential": credential })).0, Code::RateLimited);
    assert_eq!(bench.records, before);
    bench.pass(Duration::from_secs(700));
    assert_eq!(bench.records, MemoryRecords::default());
    let challenge = bench.challenge();
    assert_eq!(bench.verify(&native(&receipt(&bench, &challenge), 1))["accepted"], true);
}

#[test]
fn x402_clients_of_both_versions_pay() {
    for version in [1, 2] {
        let mut bench = bench();
        let challenge = bench.challenge();
        let credential = x402(&bench, &challenge, version, |_| {});
        let header = crate::envelope::encoding::to_base64(credential.to_string().as_bytes());
        let verified = bench.verify(&json!(header));
        assert_eq!((&verified["accepted"], &verified["amount"]), (&json!(true), &json!(0.01)), "{verified}");
        let again = bench.verify(&credential);
        assert_eq!((&again["reason"], &again["receiptId"]), (&json!("replay"), &verified["receiptId"]));
        let other = x402(&bench, &challenge, version, |signed| signed.nonce = [9; 32]);
        assert_eq!(bench.reason(&other), "unknown_challenge", "a challenge is paid once");
        bench.challenge();
        if version == 1 {
            assert_eq!(bench.verify(&other)["accepted"], true, "it names no resource");
        }
    }
}

#[test]
fn an_x402_payment_must_match() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let now = u128::from(bench.seconds());
    let mut reason = |change: &dyn Fn(&mut TransferWithAuthorization)| {
        let credential = x402(&bench, &challenge, 2, change);
        bench.reason(&credential)
    };
    assert_eq!(reason(&|signed| signed.from = key(3).address()), "signature");
    assert_eq!(reason(&|signed| signed.to = key(3).address()), "payee");
    assert_eq!(reason(&|signed| signed.value += 1), "amount");
    assert_eq!(reason(&|signed| signed.valid_after = now + 1), "not_yet_valid");
    assert_eq!(reason(&|signed| signed.valid_before = now), "expired");
    let good = x402(&bench, &challenge, 2, |_| {});
    let mut with = |place: &str, value: Value| {
        let mut credential = good.clone();
        *credential.pointer_mut(place).unwrap() = value;
        bench.reason(&credential)
    };
    assert_eq!(with("/accepted/scheme", json!("batch-settlement")), "unsupported_scheme");
    assert_eq!(with("/accepted/network", json!("eip155:1")), "chain");
    assert_eq!(with("/accepted/asset", json!(PAYEE)), "asset");
    assert_eq!(with("/accepted/amount", json!("1")), "unknown_challenge");
    assert_eq!(with("/accepted/payTo", json!(key(3).address())), "unknown_challenge");
    assert_eq!(with("/resource/url", json!("/other")), "unknown_challenge");
    assert_eq!(bench.verify(&good)["accepted"], true);
}

#[test]
fn a_peer_may_sign_that_it_pays() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let receipt = receipt(&bench, &challenge);
    let hash = digest(&Domain::hyperspace(1), &receipt);
    let mut credential = native(&receipt, 1);
    credential["payerPeerId"] = json!(peer(2).to_string());
    assert!(bench.fails(VERIFY, json!({"credential": credential})).1.contains("peerSig"));
    credential["peerSig"] = json!(Hex(Keypair::from_seed([3; 32]).sign(&hash)));
    assert_eq!(bench.reason(&credential), "peer_signature");
    credential["peerSig"] = json!(Hex(Keypair::from_seed([2; 32]).sign(&hash)));
    assert_eq!(bench.verify(&credential)["accepted"], true);
}

#[test]
fn what_is_no_credential_is_an_error() {
    let mut bench = bench();
    let challenge = bench.challenge();
    let good = native(&receipt(&bench, &challenge), 1);
    let x402 = x402(&bench, &challenge, 2, |_| {});
    let mut bad = vec![json!("!"), json!("e30x"), json!(""), json!([]), json!({}), json!({"version": 2})];
    bad.push(json!("A".repeat(100_000)));
    bad.push(json!({"x402Version": 3}));
    bad.push(json!({"x402Version": 1, "scheme": "exact"}));
    bad.push(json!({"x402Version": 2}));
    for (place, value) in [
        ("/signature", json!("0x00")),
        ("/challengeId", json!(Hex([0u8; 32]))),
        ("/receipt/payer", json!("0x1")),
        ("/receipt/amount", json!("-1")),
        ("/receipt/amount", json!("+1")),
        ("/receipt/amount", json!("")),
        ("/receipt/amount", json!("340282366920938463463374607431768211456")),
        ("/receipt/amount", json!(1.5)),
        ("/receipt/nonce", json!(7)),
    ] {
        let mut credential = good.clone();
        *credential.pointer_mut(place).unwrap() = value;
        bad.push(credential);
    }
    for place in ["/payload/authorization/value", "/payload/signature", "/accepted/asset"] {
        let mut credential = x402.clone();
        *credential.pointer_mut(place).unwrap() = json!("x");
        bad.push(credential);
    }
    let before = bench.records.clone();
    for credential in bad {
        let (code, message) = bench.fails(VERIFY, json!({ "credential": credential }));
        assert!(
            code == Code::InvalidParams && message.starts_with("credential"),
            "{credential:.80}: {message}"
        );
    }
    assert_eq!(bench.records, before);
}

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
    bench.ok(PAY, json!({"channelId": id, "amount": 0.4}));
    let before = bench.records.clone();
    let error = bench.call(PAY, json!({"channelId": id, "amount": 0.600001})).unwrap_err();
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
        let (code, message) = bench.fails(PAY, json!({"channelId": id, "amount": 0.1}));
        assert!(code == Code::Internal && message.contains("payment key"), "{message}");
    }
    assert_eq!(bench.records, before);
    bench.config.micropayments.key = Some(key(1));
    let paid = bench.ok(PAY, json!({"channelId": id, "amount": 0.6, "memo": "é".repeat(256)}));
    assert_eq!((&paid["nonce"], &paid["remaining"]), (&json!(2), &json!(0)), "the number was not used up");
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
    assert_eq!(bench.fails(OPEN, params.clone()).0, Code::RateLimited);
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
            .filter_map(|did| match did {
                Did::Subscribed(topic) => Some((true, topic)),
                Did::Unsubscribed(topic) => Some((false, topic)),
                _ => None,
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
    assert!(!bench.records.iter().any(|(_, key, ..)| key == [&b"h/"[..], &[1; 32]].concat()), "the oldest");
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.records, MemoryRecords::default());
}

#[test]
fn secrets_are_not_printed() {
    let mut bench = bench();
    bench.config.micropayments.key = Some(key(0xac));
    let text = format!("{:?}", bench.config.micropayments);
    assert!(
        text.contains("0xe57E649e59FBeD533F165eA135261236c39c2797") && !text.contains("172, 172"),
        "{text}"
    );
    assert!(!text.contains("acacac"), "{text}");
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
            let params = format!(r#"{{"channelId":"{id}","amount":{}}}"#, text(pay));
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
