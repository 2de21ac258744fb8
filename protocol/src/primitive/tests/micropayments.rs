mod channels;

use serde_json::json;

use super::*;
use crate::payment::types::TransferWithAuthorization;
use crate::payment::{Address, Domain, Hex, Key, PaymentReceipt, Signature, digest, keccak256};

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
    bench.pass(Duration::from_secs(100));
    let busy = bench.call(CHALLENGE, params.clone()).unwrap_err();
    assert_eq!((busy.code, busy.data), (Code::RateLimited, Some(json!({"retryAfterMs": 201_000}))));
    bench.pass(Duration::from_secs(201));
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
    assert_eq!(bench.agent.micropayments.due(), None);
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
    let busy = bench.call(VERIFY, json!({ "credential": credential })).unwrap_err();
    assert_eq!(busy.code, Code::RateLimited);
    assert!(busy.data.unwrap()["retryAfterMs"].as_u64().is_some_and(|after| after <= 700_000));
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
