//! The checks of an envelope, in order and as data (spec 9.2).
//!
//! [`inspect`] runs those that depend on the topic and the bytes alone. Its verdict never changes, so a driver may
//! remember it for a message. Freshness and replay depend on the receiver and its clock:
//! [`ReplayWindow`](super::ReplayWindow) runs them, for envelopes that passed here. Cheap checks come first, and a bad
//! signature is found before bad timing, because only the former is the forwarder's fault.

use super::parse::{Limits, Members, SignedEnvelope};
use super::{Dialect, DialectError, json};
use crate::identity::{PeerId, PeerIdError};
use crate::time::UnixMillis;
use crate::topic::{Family, Topic, TopicError};

/// One check of an envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Check {
    /// At most [`Limits::bytes`] (decision E17).
    Size,
    /// At most [`Limits::nesting`] levels. Our choice: no peer's parser shall fail where ours does not.
    Nesting,
    /// No object, `d` and its insides included, has two members of one name; no number beyond a double; no half
    /// surrogate pair. Our choice: parsers differ on all three, so one signature would cover two meanings.
    Ambiguity,
    /// `_v` is 2 (decision E12).
    Version,
    /// `nonce` has 8 to 128 characters (decision E3).
    Nonce,
    /// `ts` is at most 2^53 - 1 (decision E2).
    Timestamp,
    /// `from` is an Ed25519 peer id (decision E7). The signed text has no marks between nonce and `from`; this check is
    /// what fixes their boundary (decision E5).
    PeerId,
    /// `pk` is the key in `from` (decision E7).
    KeyBinding,
    /// The topic is one by spec 7.1, and on `capabilities/{peerId}` the sender is that peer (decision T3).
    Topic,
    /// The signature holds (spec 9.2).
    Signature,
    /// `ts` lies in the receiver's window (decision E13).
    Freshness,
    /// The receiver has not yet seen this nonce of this sender (decision E14).
    Replay,
}

/// All checks in the order in which they run.
///
/// Signed requests that are no gossip (with a protocol id in the place of the topic) run all but [`Check::Topic`].
pub const CHECKS: &[Check] = &[
    Check::Size,
    Check::Nesting,
    Check::Ambiguity,
    Check::Version,
    Check::Nonce,
    Check::Timestamp,
    Check::PeerId,
    Check::KeyBinding,
    Check::Topic,
    Check::Signature,
    Check::Freshness,
    Check::Replay,
];

/// Shortest nonce in characters (decision E3).
pub const NONCE_MIN: usize = 8;
/// Longest nonce in characters (decision E3).
pub const NONCE_MAX: usize = 128;
/// Largest `ts`: the largest whole number that JavaScript has exactly (decision E2).
pub const TS_MAX: u64 = (1 << 53) - 1;

/// Why an envelope is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// Too many bytes.
    #[error("{0} bytes are too many")]
    Size(usize),
    /// Too many levels.
    #[error("{0} levels of nesting are too many")]
    Nesting(usize),
    /// The bytes are not one JSON object in UTF-8, or hold a number or string that JSON parsers disagree on.
    #[error("not a JSON object")]
    NotJson,
    /// Two members of one object share a name.
    #[error("two members of one name")]
    Duplicate,
    /// `_v` is not 2, or missing.
    #[error("unsupported version")]
    Version,
    /// The named member is missing, has another type or does not decode.
    #[error("member {0} is missing or malformed")]
    Member(&'static str),
    /// The nonce has this many characters.
    #[error("a nonce of {0} characters")]
    Nonce(usize),
    /// `ts` is no whole number in range.
    #[error("ts is not a whole number from 0 to 2^53 - 1")]
    Timestamp,
    /// `from` is not an Ed25519 peer id.
    #[error("from: {0}")]
    PeerId(PeerIdError),
    /// `pk` is not the key of `from`.
    #[error("pk is not the key of from")]
    KeyBinding,
    /// The topic is none.
    #[error("topic: {0}")]
    Topic(TopicError),
    /// Another peer than the topic's own published on it.
    #[error("only the peer that the topic names may publish on it")]
    Publisher,
    /// The signature does not hold on this topic.
    #[error("bad signature")]
    Signature,
    /// The envelope has no signed bytes in this dialect.
    #[error("{0}")]
    Dialect(DialectError),
    /// Signed too long ago.
    #[error("signed {age_ms} ms ago")]
    Stale {
        /// Milliseconds since.
        age_ms: u64,
    },
    /// Signed too far ahead of the receiver's clock.
    #[error("signed {ahead_ms} ms ahead")]
    Future {
        /// Milliseconds to go.
        ahead_ms: u64,
    },
    /// The receiver has accepted this nonce of this sender before.
    #[error("replayed")]
    Replayed,
}

/// An envelope that passed every content check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspected<'a> {
    /// Who signed it.
    pub from: PeerId,
    /// Its nonce. Remember it together with `from`, never alone (decision E14).
    pub nonce: String,
    /// When it was signed, in milliseconds whatever unit it came in (decision E1).
    pub ts: UnixMillis,
    /// The JSON text of the payload.
    pub d: &'a str,
    /// Whether a peer reports about itself on its own reputation topic. Such an envelope is valid and forwarded like any
    /// other, since the text leaves open who publishes there; reputation does not count it (decision T4).
    pub self_report: bool,
}

/// Runs all content checks of [`CHECKS`] on an envelope that came in on `topic`.
///
/// # Errors
/// The first check that failed.
pub fn inspect<'a>(
    topic: &str,
    bytes: &'a [u8],
    dialect: &Dialect,
    limits: &Limits,
) -> Result<Inspected<'a>, Rejection> {
    inspect_with(CHECKS, topic, bytes, dialect, limits)
}

/// Runs the content checks among `checks`, in their order as far as they need the same parts of
/// it: bytes first, then the members, then their values. Receiver checks are left
/// to [`ReplayWindow`](super::ReplayWindow). Without [`Check::PeerId`], `pk` stands in for an unreadable `from`.
///
/// # Errors
/// The first check that failed, or what kept the envelope from being read at all.
pub fn inspect_with<'a>(
    checks: &[Check],
    topic: &str,
    bytes: &'a [u8],
    dialect: &Dialect,
    limits: &Limits,
) -> Result<Inspected<'a>, Rejection> {
    for check in checks {
        if let Stage::Bytes(run) = check.stage() {
            run(bytes, limits)?;
        }
    }
    let members = Members::split(bytes)?;
    for check in checks {
        if let Stage::Members(run) = check.stage() {
            run(&members)?;
        }
    }
    let envelope = members.read()?;
    for check in checks {
        if let Stage::Envelope(run) = check.stage() {
            run(&envelope, topic, dialect)?;
        }
    }
    let (ts, from) = (envelope.time(), envelope.covered().id);
    let self_report =
        Topic::parse(topic).is_ok_and(|topic| matches!(topic.family(), Family::Reputation(p) if *p == from));
    Ok(Inspected { from, ts, d: envelope.d, nonce: envelope.nonce, self_report })
}

type Verdict = Result<(), Rejection>;

/// What a check needs, and the check.
enum Stage {
    Bytes(fn(&[u8], &Limits) -> Verdict),
    Members(fn(&Members<'_>) -> Verdict),
    Envelope(fn(&SignedEnvelope<'_>, &str, &Dialect) -> Verdict),
    Receiver,
}

impl Check {
    fn stage(self) -> Stage {
        match self {
            Self::Size => Stage::Bytes(size),
            Self::Nesting => Stage::Bytes(nesting),
            Self::Ambiguity => Stage::Bytes(ambiguity),
            Self::Version => Stage::Members(|members| members.check_version()),
            Self::Nonce => Stage::Envelope(nonce),
            Self::Timestamp => Stage::Envelope(timestamp),
            Self::PeerId => Stage::Envelope(peer_id),
            Self::KeyBinding => Stage::Envelope(key_binding),
            Self::Topic => Stage::Envelope(publisher),
            Self::Signature => Stage::Envelope(signature),
            Self::Freshness | Self::Replay => Stage::Receiver,
        }
    }
}

fn size(bytes: &[u8], limits: &Limits) -> Verdict {
    if bytes.len() > limits.bytes { Err(Rejection::Size(bytes.len())) } else { Ok(()) }
}

fn nesting(bytes: &[u8], limits: &Limits) -> Verdict {
    match json::nesting(bytes) {
        levels if levels > limits.nesting => Err(Rejection::Nesting(levels)),
        _ => Ok(()),
    }
}

fn ambiguity(bytes: &[u8], _: &Limits) -> Verdict {
    let text = str::from_utf8(bytes).map_err(|_| Rejection::NotJson)?;
    json::check(text).map_err(|fault| match fault {
        json::Fault::Syntax => Rejection::NotJson,
        json::Fault::Duplicate => Rejection::Duplicate,
    })
}

fn nonce(envelope: &SignedEnvelope<'_>, _: &str, _: &Dialect) -> Verdict {
    match envelope.nonce.chars().count() {
        NONCE_MIN..=NONCE_MAX => Ok(()),
        other => Err(Rejection::Nonce(other)),
    }
}

fn timestamp(envelope: &SignedEnvelope<'_>, _: &str, _: &Dialect) -> Verdict {
    if envelope.ts > TS_MAX { Err(Rejection::Timestamp) } else { Ok(()) }
}

fn peer_id(envelope: &SignedEnvelope<'_>, _: &str, _: &Dialect) -> Verdict {
    envelope.peer_id().map(drop).map_err(Rejection::PeerId)
}

fn key_binding(envelope: &SignedEnvelope<'_>, _: &str, _: &Dialect) -> Verdict {
    if envelope.covered().id.as_bytes() == &envelope.pk { Ok(()) } else { Err(Rejection::KeyBinding) }
}

fn publisher(envelope: &SignedEnvelope<'_>, topic: &str, _: &Dialect) -> Verdict {
    let topic = Topic::parse(topic).map_err(Rejection::Topic)?;
    if let Family::Capabilities(peer) = topic.family()
        && *peer != envelope.covered().id
    {
        return Err(Rejection::Publisher);
    }
    Ok(())
}

fn signature(envelope: &SignedEnvelope<'_>, topic: &str, dialect: &Dialect) -> Verdict {
    match envelope.signature_holds(topic, dialect) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Rejection::Signature),
        Err(error) => Err(Rejection::Dialect(error)),
    }
}

impl Rejection {
    /// Which check failed. Envelopes that cannot be read at all count under the check that is about their form.
    pub const fn check(&self) -> Check {
        match self {
            Self::Size(_) => Check::Size,
            Self::Nesting(_) => Check::Nesting,
            Self::NotJson | Self::Duplicate | Self::Member(_) => Check::Ambiguity,
            Self::Version => Check::Version,
            Self::Nonce(_) => Check::Nonce,
            Self::Timestamp => Check::Timestamp,
            Self::PeerId(_) => Check::PeerId,
            Self::KeyBinding => Check::KeyBinding,
            Self::Topic(_) | Self::Publisher => Check::Topic,
            Self::Signature | Self::Dialect(_) => Check::Signature,
            Self::Stale { .. } | Self::Future { .. } => Check::Freshness,
            Self::Replayed => Check::Replay,
        }
    }

    /// Whether whoever sent the bytes is to blame: any peer would have refused them, at any time. Late, early and
    /// repeated envelopes are nobody's provable fault; they are dropped without a penalty.
    pub const fn blames_sender(&self) -> bool {
        !matches!(self.check(), Check::Freshness | Check::Replay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::envelope::sign;
    use crate::envelope::sign::sign_as_is;
    use crate::identity::Keypair;
    use crate::identity::tests::malleate;

    const TOPIC: &str = "hyperspace/tasks/web-research";
    const NOW: UnixMillis = UnixMillis(1_773_835_200_000);

    fn pair() -> Keypair {
        Keypair::from_seed([7; 32])
    }

    fn signed_on(topic: &str) -> String {
        let d = json!({ "task": "t", "list": [1, 2.5, "é"] });
        String::from_utf8(sign(&pair(), topic, NOW, [1; 16], &d, &Dialect::default()).expect("signable"))
            .expect("UTF-8")
    }

    fn without(check: Check) -> Vec<Check> {
        CHECKS.iter().copied().filter(|c| *c != check).collect()
    }

    fn look<'a>(checks: &[Check], text: &'a str) -> Result<Inspected<'a>, Rejection> {
        inspect_with(checks, TOPIC, text.as_bytes(), &Dialect::default(), &Limits::default())
    }

    /// Exactly the named check refuses `text`: with it out of the list, the envelope passes.
    fn only(check: Check, text: &str) -> Rejection {
        let rejection = look(CHECKS, text).expect_err("must be refused");
        assert_eq!(rejection.check(), check, "{rejection}");
        let mutant = look(&without(check), text);
        assert!(mutant.is_ok(), "{check:?} is not the only one: {mutant:?}");
        rejection
    }

    fn sign_raw(ts: u64, nonce: &str, d: &str) -> String {
        let bytes = sign_as_is(&pair(), TOPIC, ts, nonce, d, &Dialect::default()).expect("JSON");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_good_envelope_passes_and_says_what_it_holds() {
        let text = signed_on(TOPIC);
        let inspected = look(CHECKS, &text).expect("valid");
        let expected = Inspected {
            from: pair().peer_id(),
            nonce: "01".repeat(16),
            ts: NOW,
            d: r#"{"list":[1,2.5,"é"],"task":"t"}"#,
            self_report: false,
        };
        assert_eq!(inspected, expected);
    }

    #[test]
    fn unsigned_freedoms_do_not_invalidate() {
        let text = signed_on(TOPIC);
        let hex: String = pair().public_key().iter().map(|b| format!("{b:02X}")).collect();
        let rewritten = text
            .replace("6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=", &hex)
            .replace("{\"_v\"", "\n{ \"extra\": [{}], \"_v\"");
        assert!(look(CHECKS, &rewritten).is_ok());
        let seconds = sign_raw(NOW.0 / 1000, "12345678", "1");
        assert_eq!(look(CHECKS, &seconds).expect("valid").ts, NOW);
    }

    #[test]
    fn each_content_check_is_needed() {
        let good = signed_on(TOPIC);
        let padding = format!("{}{}", good, " ".repeat(64 * 1024 + 1 - good.len()));
        assert_eq!(only(Check::Size, &padding), Rejection::Size(64 * 1024 + 1));
        assert!(look(CHECKS, &padding[..padding.len() - 1]).is_ok());

        let deep = |levels: usize| sign_raw(NOW.0, "12345678", &("[".repeat(levels) + &"]".repeat(levels)));
        assert!(look(CHECKS, &deep(63)).is_ok());
        assert_eq!(only(Check::Nesting, &deep(64)), Rejection::Nesting(65));

        let twice = good.replace("{\"_v\"", "{\"ts\":1,\"_v\"");
        assert_eq!(only(Check::Ambiguity, &twice), Rejection::Duplicate);
        let unknown_twice = good.replace("{\"_v\"", "{\"x\":1,\"x\":1,\"_v\"");
        assert_eq!(only(Check::Ambiguity, &unknown_twice), Rejection::Duplicate);
        let inside = sign_raw(NOW.0, "12345678", r#"[{"a":1,"\u0061":2}]"#);
        assert_eq!(only(Check::Ambiguity, &inside), Rejection::Duplicate);
        assert_eq!(only(Check::Ambiguity, &sign_raw(NOW.0, "12345678", "1e999")), Rejection::NotJson);
        assert_eq!(only(Check::Ambiguity, &sign_raw(NOW.0, "12345678", r#""\udead""#)), Rejection::NotJson);

        // The version is not signed (spec 2.1).
        assert_eq!(only(Check::Version, &good.replace("\"_v\":2", "\"_v\":3")), Rejection::Version);
        assert_eq!(only(Check::Nonce, &sign_raw(NOW.0, "1234567", "1")), Rejection::Nonce(7));
        assert_eq!(only(Check::Nonce, &sign_raw(NOW.0, &"é".repeat(129), "1")), Rejection::Nonce(129));
        assert!(look(CHECKS, &sign_raw(NOW.0, &"é".repeat(128), "1")).is_ok());
        assert_eq!(only(Check::Timestamp, &sign_raw(TS_MAX + 1, "12345678", "1")), Rejection::Timestamp);
        assert!(look(CHECKS, &sign_raw(TS_MAX, "12345678", "1")).is_ok());
        let forged = good.replace("web", "bew").replace("\"task\"", "\"tusk\"");
        assert_eq!(only(Check::Signature, &forged), Rejection::Signature);
    }

    /// S + L satisfies the same equation: who does not look closer lets anybody make a second envelope out of one.
    #[test]
    fn a_second_signature_of_the_same_envelope_is_refused() {
        let good = signed_on(TOPIC);
        let sig = SignedEnvelope::parse(good.as_bytes()).expect("readable").sig;
        let [sig, other] = [sig, malleate(sig)].map(|sig| crate::envelope::encoding::to_base64(&sig));
        assert_eq!(only(Check::Signature, &good.replace(&sig, &other)), Rejection::Signature);
    }

    /// Decision E7: a valid signature by somebody else's key under the victim's name.
    #[test]
    fn another_key_under_a_victim_s_name_is_refused() {
        let (mallory, victim) = (Keypair::from_seed([8; 32]), pair());
        let covered_by_mallory = |d: &str| {
            let from = victim.peer_id().to_string();
            let covered = crate::envelope::dialect::Covered {
                ts: NOW.0,
                nonce: "12345678",
                from: &from,
                id: victim.peer_id(),
                d,
            };
            let sig = mallory.sign(&Dialect::default().signed_bytes(TOPIC, &covered).expect("readable"));
            let pk = crate::envelope::encoding::to_base64(&mallory.public_key());
            let sig = crate::envelope::encoding::to_base64(&sig);
            let ts = NOW.0;
            format!(
                r#"{{"_v":2,"ts":{ts},"nonce":"12345678","from":"{from}","pk":"{pk}","sig":"{sig}","d":{d}}}"#
            )
        };
        assert_eq!(only(Check::KeyBinding, &covered_by_mallory("1")), Rejection::KeyBinding);
    }

    /// Decision E5: the formula joins nonce and `from` without a mark, so their boundary can be moved under a signature
    /// that still holds. Only the exact form of `from` stops it.
    #[test]
    fn the_boundary_of_nonce_and_from_cannot_slide() {
        let good = signed_on(TOPIC);
        let (nonce, from) = ("01".repeat(16), pair().peer_id().to_string());
        let slid = |new_nonce: &str, new_from: &str| {
            assert_eq!(format!("{new_nonce}{new_from}"), format!("{nonce}{from}"));
            good.replace(&from, new_from).replace(&nonce, new_nonce)
        };
        for at in 1..9 {
            let right = slid(&format!("{nonce}{}", &from[..at]), &from[at..]);
            assert!(matches!(only(Check::PeerId, &right), Rejection::PeerId(_)));
            let (kept, moved) = nonce.split_at(nonce.len() - at);
            let left = slid(kept, &format!("{moved}{from}"));
            assert!(matches!(only(Check::PeerId, &left), Rejection::PeerId(_)));
        }
    }

    #[test]
    fn an_envelope_holds_on_its_own_topic_only() {
        let text = signed_on(TOPIC);
        let on = |topic: &str| inspect(topic, text.as_bytes(), &Dialect::default(), &Limits::default());
        assert_eq!(on("hyperspace/tasks/web-researc"), Err(Rejection::Signature));
        assert_eq!(on("hyperspace/trajectories/web-research"), Err(Rejection::Signature));
        assert_eq!(on("tasks"), Err(Rejection::Topic(TopicError::Shape)));
    }

    #[test]
    fn only_the_named_peer_publishes_its_capabilities() {
        let (own, other) = (pair().peer_id(), Keypair::from_seed([8; 32]).peer_id());
        let on = |topic: Topic| {
            let (topic, dialect) = (topic.to_string(), Dialect::default());
            let text = signed_on(&topic);
            inspect(&topic, text.as_bytes(), &dialect, &Limits::default()).map(|i| i.self_report)
        };
        assert_eq!(on(Topic::capabilities(own)), Ok(false));
        assert_eq!(on(Topic::capabilities(other)), Err(Rejection::Publisher));
        assert_eq!(on(Topic::reputation(other)), Ok(false));
        assert_eq!(on(Topic::reputation(own)), Ok(true));
    }

    /// Requests are signed for a protocol id, which is no topic.
    #[test]
    fn requests_run_all_checks_but_the_topic_s() {
        let text = signed_on("/hyperspace/card/1");
        let run = |checks: &[Check]| {
            inspect_with(
                checks,
                "/hyperspace/card/1",
                text.as_bytes(),
                &Dialect::default(),
                &Limits::default(),
            )
            .map(|i| i.from)
        };
        assert_eq!(run(CHECKS), Err(Rejection::Topic(TopicError::Shape)));
        assert_eq!(run(&without(Check::Topic)), Ok(pair().peer_id()));
    }

    #[test]
    fn huge_and_hollow_inputs_are_refused() {
        let look =
            |bytes: &[u8]| inspect(TOPIC, bytes, &Dialect::default(), &Limits::default()).expect_err("bad");
        let huge = Limits { bytes: usize::MAX, nesting: usize::MAX };
        for byte in [b'[', b'{', b'"', b'0', 0xff] {
            let bytes = vec![byte; 10_000_000];
            assert_eq!(look(&bytes), Rejection::Size(10_000_000));
            let unbounded = inspect(TOPIC, &bytes, &Dialect::default(), &huge);
            assert_eq!(unbounded, Err(Rejection::NotJson));
            assert_eq!(inspect_with(&[], TOPIC, &bytes, &Dialect::default(), &huge), Err(Rejection::NotJson));
        }
        assert_eq!(look(b"{}"), Rejection::Version);
        assert_eq!(look(b""), Rejection::NotJson);
    }

    proptest! {
        #[test]
        fn random_bytes_are_refused(bytes: Vec<u8>) {
            prop_assert!(inspect(TOPIC, &bytes, &Dialect::default(), &Limits::default()).is_err());
        }

        /// One changed byte either leaves everything that is signed as it was or is noticed.
        #[test]
        fn a_changed_byte_is_noticed(at: proptest::sample::Index, by in 1u8..) {
            let text = signed_on(TOPIC);
            let good = look(CHECKS, &text).expect("valid");
            let mut bytes = text.clone().into_bytes();
            *at.get_mut(&mut bytes) ^= by;
            if let Ok(changed) = inspect(TOPIC, &bytes, &Dialect::default(), &Limits::default()) {
                prop_assert_eq!(changed, good);
            }
        }

        #[test]
        fn a_cut_or_doubled_piece_is_noticed(a: proptest::sample::Index, b: proptest::sample::Index) {
            let text = signed_on(TOPIC);
            let good = look(CHECKS, &text).expect("valid");
            let (a, b) = (a.index(text.len()), b.index(text.len()));
            let (from, to) = (a.min(b), a.max(b) + 1);
            let whole = text.as_bytes();
            let cut = [&whole[..from], &whole[to..]].concat();
            let doubled = [&whole[..to], &whole[from..]].concat();
            for bytes in [cut, doubled] {
                if let Ok(changed) = inspect(TOPIC, &bytes, &Dialect::default(), &Limits::default()) {
                    prop_assert_eq!(&changed, &good);
                }
            }
        }
    }
}
