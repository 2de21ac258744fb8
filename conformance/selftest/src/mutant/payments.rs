//! What goes wrong with payments.

use hyperspace_conformance::json::{Json, Number};

use super::mutants;
use super::state::same;
use crate::edit::{Change, double, inner, set};
use crate::rule::{When, code, fail, json, on, succeed};
use crate::seam::Exchange;

const PAY: &str = "micropayments.channel.pay";
const OPEN: &str = "micropayments.channel.open";
const CLOSE: &str = "micropayments.channel.close";
const CHALLENGE: &str = "micropayments.challenge";

fn amount(exchange: &Exchange) -> f64 {
    exchange.param("amount").and_then(Json::as_number).map_or(0.0, Number::to_f64)
}

fn shown(answer: &Json, name: &str) -> f64 {
    answer
        .get("result")
        .and_then(|result| result.get(name))
        .and_then(Json::as_number)
        .map_or(0.0, Number::to_f64)
}

fn put(answer: &mut Json, name: &str, value: f64) {
    if let Some(result) = inner(answer, "result") {
        set(result, name, double((value * 1e9).round() / 1e9));
    }
}

fn closed(exchange: &Exchange) -> String {
    format!("closed {}", exchange.param("channelId").map(ToString::to_string).unwrap_or_default())
}

mutants! { "micropayments";
    "challenge-empty", "a challenge says nothing", "HSP-6-10" => [on(CHALLENGE).say("{}")];
    "challenge-points-off", "a challenge has another price in points", "HSP-6-10" => [on(CHALLENGE).params("pricePoints", Change::Add(5.0))];
    "challenge-usdc-off", "a challenge has another price in USDC", "HSP-6-10" => [on(CHALLENGE).params("priceUsdc", Change::Times(2.0))];
    "challenge-payee-off", "a challenge has another payee", "HSP-6-10" => [on(CHALLENGE).params("payeeAddress", Change::Set(Json::string("0x2222222222222222222222222222222222222222")))];
    "challenge-stale", "every challenge is the first one", "HSP-6-10" => [on(CHALLENGE).answer(same)];
    "verify-accepts-all", "every credential is accepted", "HSP-6-11" => [on("micropayments.verify").say(r#"{"accepted":true,"receiptId":"r-1","amount":1}"#)];
    "verify-accepts", "a bad credential is accepted", "HSP-6-11" => [on("micropayments.verify").gives("accepted", "true")];
    "open-nameless", "a channel has no id", "HSP-6-12" => [on(OPEN).result("channelId", Change::Drop)];
    "open-empty-id", "channel ids are empty", "HSP-6-12" => [on(OPEN).gives("channelId", r#""""#)];
    "open-same", "every channel is the first one", "HSP-6-12 HSP-6-13 HSP-6-14" => [on(OPEN).answer(same)];
    "open-forgets", "an opened channel is forgotten", "HSP-6-13 HSP-6-12" => [on(OPEN).result("channelId", Change::Set(Json::string("0x0000000000000000000000000000000000000000000000000000000000000001")))];
    "nonce-from-zero", "nonces begin at 0", "HSP-6-13" => [on(PAY).result("nonce", Change::Add(-1.0))];
    "nonce-from-two", "nonces begin at 2", "HSP-6-13" => [on(PAY).result("nonce", Change::Add(1.0))];
    "nonce-by-two", "nonces go up by two", "HSP-6-13" => [on(PAY).answer(|_, _, answer| { let nonce = shown(answer, "nonce"); if nonce > 0.0 { put(answer, "nonce", nonce * 2.0 - 1.0); } })];
    "nonce-constant", "nonces are always 1", "HSP-6-13 HSP-6-18" => [on(PAY).gives("nonce", "1")];
    "nonce-global", "all channels have one counter of nonces", "HSP-6-13 HSP-6-18" => [on(PAY).answer(|memory, _, answer| if answer.get("result").is_some() { let next = memory.count("nonce"); put(answer, "nonce", next as f64); })];
    "nonce-text", "nonces are texts", "HSP-6-13" => [on(PAY).answer(|_, _, answer| if let Some(nonce) = inner(answer, "result").and_then(|result| inner(result, "nonce")) { *nonce = Json::string(nonce.to_string()); })];
    "nonce-skipped-on-refusal", "a refused payment uses up a nonce", "HSP-6-15" => [on(PAY).answer(|memory, exchange, answer| {
        if code(answer) == Some(-32002) { memory.count(&closed(exchange)); }
        let skipped = memory.get(&closed(exchange)).and_then(Json::as_number).map_or(0.0, Number::to_f64);
        if answer.get("result").is_some() { let nonce = shown(answer, "nonce"); put(answer, "nonce", nonce + skipped); }
    })];
    "remaining-before", "remaining is that before the payment", "HSP-6-14" => [on(PAY).answer(|_, exchange, answer| if answer.get("result").is_some() { let left = shown(answer, "remaining"); put(answer, "remaining", left + amount(exchange)); })];
    "remaining-off", "remaining is a little less", "HSP-6-14" => [on(PAY).result("remaining", Change::Add(-0.0001))];
    "remaining-rounded", "remaining is rounded to hundredths", "HSP-6-14 HSP-6-16" => [on(PAY).answer(|_, _, answer| if answer.get("result").is_some() { let left = shown(answer, "remaining"); put(answer, "remaining", (left * 100.0).round() / 100.0); })];
    "remaining-spent", "remaining is what was paid", "HSP-6-14" => [on(PAY).answer(|_, exchange, answer| if answer.get("result").is_some() { put(answer, "remaining", amount(exchange)); })];
    "pays-double", "a payment is paid twice", "HSP-6-14 HSP-6-16" => [on(PAY).params("amount", Change::Times(2.0))];
    "overpays", "more than remains is paid", "HSP-6-15 HSP-6-22" => [on(PAY).answer(|_, _, answer| if code(answer) == Some(-32002) { succeed(answer, json(r#"{"nonce":9,"remaining":0}"#)); })];
    "overpays-on-credit", "remaining goes below zero", "HSP-6-15 HSP-6-22" => [on(PAY).answer(|_, _, answer| if code(answer) == Some(-32002) { succeed(answer, json(r#"{"nonce":2,"remaining":-1}"#)); })];
    "overpay-otherwise", "a payment above what remains is refused with -32602", "HSP-6-22" => [on(PAY).act(crate::rule::Act::Code(-32002, -32602))];
    "zero-paid", "a payment of 0 is taken", "HSP-6-19" => [on(PAY).given(|e| e.param("amount").is_some_and(|a| *a == Json::integer(0))).say(r#"{"nonce":1,"remaining":5}"#)];
    "negative-paid", "a negative payment is taken", "HSP-6-19" => [on(PAY).given(|e| amount(e) < 0.0).say(r#"{"nonce":1,"remaining":6}"#)];
    "last-refused", "a payment of all that remains is refused", "HSP-6-14 HSP-6-15" => [on(PAY).answer(|_, _, answer| if answer.get("result").is_some() && shown(answer, "remaining") == 0.0 { fail(answer, -32002); })];
    "pay-stale", "a second payment is answered as the first", "HSP-6-13 HSP-6-14" => [on(PAY).answer(super::state::stale)];
    "pay-forgets", "payments are answered and not made", "HSP-6-16 HSP-6-13" => [on(PAY).say(r#"{"nonce":1,"remaining":4.997}"#)];
    "memo-needed-long", "a memo with letters outside ASCII is refused", "HSP-6-13" => [on(PAY).when(When::Unicode).refuse(-32602)];
    "close-total-off", "totalSpent is off", "HSP-6-16" => [on(CLOSE).result("totalSpent", Change::Add(0.001))];
    "close-refund-off", "refund is off", "HSP-6-16" => [on(CLOSE).result("refund", Change::Add(0.001))];
    "close-refunds-all", "refund is the whole budget", "HSP-6-16" => [on(CLOSE).answer(|_, _, answer| if answer.get("result").is_some() { let all = shown(answer, "totalSpent") + shown(answer, "refund"); put(answer, "refund", all); })];
    "close-swapped", "totalSpent and refund are swapped", "HSP-6-16" => [on(CLOSE).answer(|_, _, answer| if answer.get("result").is_some() {
        let (spent, back) = (shown(answer, "totalSpent"), shown(answer, "refund"));
        put(answer, "totalSpent", back);
        put(answer, "refund", spent);
    })];
    "close-refunds-nothing", "refund is 0", "HSP-6-16" => [on(CLOSE).gives("refund", "0")];
    "close-does-nothing", "a closed channel lives on", "HSP-6-17" => [on(CLOSE).say(r#"{"totalSpent":0.006,"refund":4.994}"#)];
    "close-twice", "a channel can be closed twice", "HSP-6-17" => [on(CLOSE).answer(|memory, exchange, answer| {
        if answer.get("error").is_some() && let Some(first) = memory.get(&closed(exchange)).cloned() { succeed(answer, first); }
        else if let Some(result) = answer.get("result").cloned() { memory.put(&closed(exchange), result); }
    })];
    "pay-after-close", "a closed channel can be paid on", "HSP-6-17" => [
        on(CLOSE).answer(|memory, exchange, _| memory.put(&closed(exchange), Json::Bool(true))),
        on(PAY).answer(|memory, exchange, answer| if memory.get(&closed(exchange)).is_some() { succeed(answer, json(r#"{"nonce":9,"remaining":1}"#)); }),
    ];
    "unknown-paid", "a channel that does not exist is paid on", "HSP-6-20" => [on(PAY).answer(|_, _, answer| if code(answer) == Some(-32602) { succeed(answer, json(r#"{"nonce":1,"remaining":1}"#)); })];
    "unknown-closed", "a channel that does not exist is closed", "HSP-6-20" => [on(CLOSE).recover(&[-32602], r#"{"totalSpent":0,"refund":0}"#)];
    "any-currency", "any currency is taken", "HSP-6-23" => [on(OPEN).given(|e| e.param("currency").and_then(Json::as_str).is_some_and(|c| c != "USDC")).params("currency", Change::Set(Json::string("USDC")))];
    "parallel-nonces", "payments at once get one nonce", "HSP-6-18" => [on(PAY).when(When::Busy).gives("nonce", "1")];
    "parallel-lost", "a payment while others are under way is answered and not made", "HSP-6-18" => [on(PAY).when(When::Busy).say(r#"{"nonce":2,"remaining":1}"#)];
    "parallel-gap", "payments at once leave gaps between nonces", "HSP-6-18" => [on(PAY).when(When::Busy).result("nonce", Change::Add(1.0))];
    "parallel-unpaid", "payments at once cost a tenth", "HSP-6-18 HSP-6-14" => [on(PAY).when(When::Busy).params("amount", Change::Times(0.1))];
}
