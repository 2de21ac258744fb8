//! `[gossip] interop = "FILE"`: the GossipSub parameters of a run of gossipsub-interop, the test plan that libp2p runs
//! its implementations through (libp2p/test-plans@f494257, `gossipsub-interop/script_instruction.py`).
//!
//! `FILE` is the `params.json` that its `run.py` writes: `{"script": [instruction, ...]}`. Read are the instructions
//! `initGossipSub`, alone or within `ifNodeIDEquals`; what else the script does, such as `connect` and `publish`, is the
//! scenario's own business here. A member of `gossipSubParams` has the name and unit that go-libp2p-pubsub's
//! `GossipSubParams` gives it: times are nanoseconds, `IDontWantMessageTTL` is heartbeats.
//!
//! All peers here have the same settings, so all instructions must agree, but in `HeartbeatInitialDelay`: the test plan
//! spreads the first heartbeats with it, and of the delays the smallest is taken, as every peer here adds a random phase
//! of its own. Members that stand for nothing here are passed over: `SlowHeartbeatWarning`, `Connectors`,
//! `MaxPendingConnections`, `ConnectionTimeout`, `DirectConnectInitialDelay`, `MaxIDontWantLength`. Any other member that
//! is not among [`MODELLED`] is an error, and so is an unknown instruction.

use hyperspace_protocol::gossip::Config;
use hyperspace_protocol::time::Duration;
use serde_json::{Map, Value as Json};

use super::error::nearest;

/// Members of `gossipSubParams` that have a counterpart here.
const MODELLED: [&str; 26] = [
    "D",
    "Dlo",
    "Dhi",
    "Dscore",
    "Dout",
    "Dlazy",
    "HistoryLength",
    "HistoryGossip",
    "GossipFactor",
    "GossipRetransmission",
    DELAY,
    "HeartbeatInterval",
    "FanoutTTL",
    "PrunePeers",
    "PruneBackoff",
    "UnsubscribeBackoff",
    "DirectConnectTicks",
    "OpportunisticGraftTicks",
    "OpportunisticGraftPeers",
    "GraftFloodThreshold",
    "MaxIHaveLength",
    "MaxIHaveMessages",
    "MaxIDontWantMessages",
    "IWantFollowupTime",
    "IDontWantMessageThreshold",
    "IDontWantMessageTTL",
];

/// The one in which instructions may differ.
const DELAY: &str = "HeartbeatInitialDelay";

/// Members that stand for nothing here: how connections are made, what is logged, and how many ids one IDONTWANT frame
/// may have, where the number per heartbeat is what is bounded.
const NOT_MODELLED: [&str; 6] = [
    "SlowHeartbeatWarning",
    "Connectors",
    "MaxPendingConnections",
    "ConnectionTimeout",
    "DirectConnectInitialDelay",
    "MaxIDontWantLength",
];

const INSTRUCTIONS: [&str; 9] = [
    "initGossipSub",
    "ifNodeIDEquals",
    "connect",
    "waitUntil",
    "publish",
    "subscribeToTopic",
    "setTopicValidationDelay",
    "addPartialMessage",
    "publishPartial",
];

/// An `initGossipSub`, and where it is in the file.
struct Init<'a> {
    place: String,
    params: &'a Map<String, Json>,
}

/// Lays the parameters of a `params.json` of gossipsub-interop over `config`, as `[gossip] interop = "FILE"` does.
///
/// # Errors
/// What is wrong and where in the file: no JSON, not of this form, an unknown name, a value of a wrong type or range, no
/// parameters at all, or instructions that contradict each other.
pub fn overlay(config: &mut Config, text: &str) -> Result<(), String> {
    let json: Json = serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))?;
    let root = object(&json, "the file")?;
    if let Some(key) = root.keys().find(|key| *key != "script") {
        return Err(format!("unknown member `{}` of the file; valid: script", shortened(key)));
    }
    let Some(Json::Array(script)) = root.get("script") else {
        return Err("the file needs the member `script`, an array of instructions".into());
    };
    let mut inits = Vec::new();
    for (index, instruction) in script.iter().enumerate() {
        collect(instruction, format!("script[{index}]"), &mut inits)?;
    }
    let Some(first) = inits.first() else {
        return Err("no instruction is `initGossipSub`, so there are no parameters".into());
    };
    let mut delay = Duration::MAX;
    for init in &inits {
        let mut own = config.clone();
        for (name, value) in init.params.iter().filter(|(_, value)| !value.is_null()) {
            set(&mut own, name, value).map_err(|message| format!("{}: {message}", init.place))?;
        }
        delay = delay.min(own.heartbeat_delay);
        if let Some(name) = MODELLED.into_iter().find(|name| *name != DELAY && differ(first, init, name)) {
            return Err(format!(
                "{}: `{name}` is not what it is at {}, but all peers here have the same settings",
                init.place, first.place
            ));
        }
    }
    for (name, value) in first.params.iter().filter(|(_, value)| !value.is_null()) {
        set(config, name, value)?;
    }
    config.heartbeat_delay = delay;
    Ok(())
}

/// Finds the `initGossipSub` in an instruction. JSON is parsed to a bounded depth, so this ends.
fn collect<'a>(instruction: &'a Json, place: String, inits: &mut Vec<Init<'a>>) -> Result<(), String> {
    let members = object(instruction, &place)?;
    let Some(Json::String(kind)) = members.get("type") else {
        return Err(format!("{place} needs the member `type`, the name of an instruction"));
    };
    let member = |key: &str| members.get(key).ok_or_else(|| format!("{place} needs the member `{key}`"));
    match kind.as_str() {
        "initGossipSub" => {
            let place = format!("{place}.gossipSubParams");
            let params = object(member("gossipSubParams")?, &place)?;
            inits.push(Init { place, params });
            Ok(())
        }
        "ifNodeIDEquals" => collect(member("instruction")?, format!("{place}.instruction"), inits),
        known if INSTRUCTIONS.contains(&known) => Ok(()),
        unknown => {
            let unknown = shortened(unknown);
            Err(format!("{place}: unknown instruction `{unknown}`; {}", nearest(&unknown, &INSTRUCTIONS)))
        }
    }
}

fn object<'a>(json: &'a Json, place: &str) -> Result<&'a Map<String, Json>, String> {
    json.as_object().ok_or_else(|| format!("{place} must be an object, {{...}}"))
}

/// Whether two instructions give a member different values; 1 and 1.0 are the same.
fn differ(a: &Init<'_>, b: &Init<'_>, name: &str) -> bool {
    let value = |init: &Init<'_>| init.params.get(name).and_then(Json::as_f64);
    value(a) != value(b)
}

fn set(config: &mut Config, name: &str, value: &Json) -> Result<(), String> {
    let c = config;
    let done = match name {
        "D" => count(value).map(|n| c.mesh_degree = n),
        "Dlo" => count(value).map(|n| c.mesh_degree_min = n),
        "Dhi" => count(value).map(|n| c.mesh_degree_max = n),
        "Dscore" => count(value).map(|n| c.mesh_degree_score = n),
        "Dout" => count(value).map(|n| c.mesh_degree_outbound = n),
        "Dlazy" => count(value).map(|n| c.mesh_degree_lazy = n),
        "HistoryLength" => count(value).map(|n| c.history_length = n),
        "HistoryGossip" => count(value).map(|n| c.history_gossip = n),
        "GossipFactor" => number(value).map(|n| c.gossip_factor = n),
        "GossipRetransmission" => count(value).map(|n| c.iwant_retransmissions = n),
        DELAY => nanos(value).map(|d| c.heartbeat_delay = d),
        "HeartbeatInterval" => nanos(value).map(|d| c.heartbeat_interval = d),
        "FanoutTTL" => nanos(value).map(|d| c.fanout_ttl = d),
        "PrunePeers" => count(value).map(|n| c.px_peers = n),
        "PruneBackoff" => nanos(value).map(|d| c.prune_backoff = d),
        "UnsubscribeBackoff" => nanos(value).map(|d| c.unsubscribe_backoff = d),
        "DirectConnectTicks" => count(value).map(|n| c.explicit_check_ticks = n),
        "OpportunisticGraftTicks" => count(value).map(|n| c.opportunistic_graft_ticks = n),
        "OpportunisticGraftPeers" => count(value).map(|n| c.opportunistic_graft_peers = n),
        "GraftFloodThreshold" => nanos(value).map(|d| c.graft_flood_threshold = d),
        "MaxIHaveLength" => count(value).map(|n| c.ihave_ids_max = n),
        "MaxIHaveMessages" => count(value).map(|n| c.ihave_messages_max = n),
        // Of the ids here and of the frames there; go's default of 1,000 is what the profiles have, too.
        "MaxIDontWantMessages" => count(value).map(|n| c.idontwant_max = n),
        "IWantFollowupTime" => nanos(value).map(|d| c.iwant_followup = d),
        "IDontWantMessageThreshold" => count(value).map(|n| c.idontwant_size_min = n),
        "IDontWantMessageTTL" => count(value).map(|n| c.idontwant_ttl = n),
        _ if NOT_MODELLED.contains(&name) => Ok(()),
        _ => {
            let all: Vec<&str> = MODELLED.into_iter().chain(NOT_MODELLED).collect();
            let name = shortened(name);
            return Err(format!("unknown member `{name}`; {}", nearest_exactly(&name, &all)));
        }
    };
    done.map_err(|wanted| format!("`{name}` must be {wanted}, got {}", shortened(&value.to_string())))
}

/// As [`nearest`], for names that have capitals.
fn nearest_exactly(name: &str, all: &[&str]) -> String {
    match all.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => nearest(name, all),
    }
}

fn count<T: TryFrom<u64>>(value: &Json) -> Result<T, &'static str> {
    let count = value.as_u64().and_then(|count| T::try_from(count).ok());
    count.ok_or("a whole number of at least 0")
}

fn number(value: &Json) -> Result<f64, &'static str> {
    value.as_f64().ok_or("a number")
}

/// Python writes whole nanoseconds as `1000000000` or as `1000000000.0`.
fn nanos(value: &Json) -> Result<Duration, &'static str> {
    // 2^63 ns, the largest duration of Go.
    const END: f64 = 9_223_372_036_854_775_808.0;
    let nanos = value.as_u64().or_else(|| {
        let whole = value.as_f64().filter(|n| (0.0..END).contains(n) && n.fract() == 0.0);
        whole.map(|n| n as u64)
    });
    nanos.map(Duration::from_nanos).ok_or("a whole number of nanoseconds, at least 0")
}

/// What is quoted from a file may be as long as the file.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn init(params: &str) -> String {
        format!(r#"{{"type": "initGossipSub", "gossipSubParams": {{{params}}}}}"#)
    }

    fn on(node: u32, instruction: &str) -> String {
        format!(r#"{{"type": "ifNodeIDEquals", "nodeID": {node}, "instruction": {instruction}}}"#)
    }

    fn laid_over_go(instructions: &[String]) -> Result<Config, String> {
        let mut config = Config::go();
        overlay(&mut config, &format!(r#"{{"script": [{}]}}"#, instructions.join(", "))).map(|()| config)
    }

    #[test]
    fn every_member_has_its_place() {
        for name in MODELLED {
            let value = if name == "GossipFactor" { "0.125" } else { "77000" };
            let config = laid_over_go(&[init(&format!("\"{name}\": {value}"))]).expect(name);
            assert_ne!(config, Config::go(), "{name}");
            assert_eq!(laid_over_go(&[init(&format!("\"{name}\": null"))]), Ok(Config::go()));
            assert!(laid_over_go(&[init(&format!("\"{name}\": -1"))]).is_err() || name == "GossipFactor");
        }
        for name in NOT_MODELLED {
            assert_eq!(laid_over_go(&[init(&format!("\"{name}\": 1"))]), Ok(Config::go()), "{name}");
        }
    }

    #[test]
    fn units_are_those_of_go() {
        let params =
            "\"D\": 8, \"HeartbeatInterval\": 700000000.0, \"IDontWantMessageTTL\": 5, \"GossipFactor\": 0";
        let expected = Config {
            mesh_degree: 8,
            heartbeat_interval: Duration::from_millis(700),
            idontwant_ttl: 5,
            gossip_factor: 0.0,
            ..Config::go()
        };
        assert_eq!(laid_over_go(&[init(params)]), Ok(expected));
    }

    #[test]
    fn first_heartbeats_may_differ_and_nothing_else() {
        let delayed = |node, ns| on(node, &init(&format!("\"Dlazy\": 0, \"HeartbeatInitialDelay\": {ns}")));
        let connect = r#"{"type": "connect", "connectTo": [1, 2]}"#.to_owned();
        let script = [delayed(0, 100_200_000), connect, delayed(1, 100_100_000)];
        let config = laid_over_go(&script).expect("valid");
        assert_eq!((config.mesh_degree_lazy, config.heartbeat_delay.as_micros()), (0, 100_100));
        let other = on(2, &init("\"Dlazy\": 1"));
        let message = laid_over_go(&[script[0].clone(), other]).expect_err("two settings");
        assert_eq!(
            message,
            "script[1].instruction.gossipSubParams: `Dlazy` is not what it is at \
             script[0].instruction.gossipSubParams, but all peers here have the same settings"
        );
        assert_eq!(
            laid_over_go(&[init("\"D\": 7"), init("\"D\": 7.0")]),
            Err("script[1].gossipSubParams: `D` must be a whole number of at least 0, got 7.0".into())
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str, words: &str| {
            let message = overlay(&mut Config::go(), text).expect_err(words);
            assert!(message.contains(words), "{message}");
        };
        wrong("", "not valid JSON: EOF while parsing a value at line 1 column 0");
        wrong(&"[".repeat(100_000), "not valid JSON: recursion limit exceeded");
        wrong("[]", "the file must be an object");
        wrong("{}", "needs the member `script`");
        wrong(r#"{"script": {}}"#, "needs the member `script`, an array");
        wrong(r#"{"script": [], "nodes": 5}"#, "unknown member `nodes` of the file");
        wrong(r#"{"script": []}"#, "no instruction is `initGossipSub`");
        wrong(r#"{"script": [5]}"#, "script[0] must be an object");
        wrong(r#"{"script": [{}]}"#, "script[0] needs the member `type`");
        wrong(r#"{"script": [{"type": "initGosipSub"}]}"#, "did you mean `initGossipSub`?");
        wrong(r#"{"script": [{"type": "initGossipSub"}]}"#, "needs the member `gossipSubParams`");
        wrong(r#"{"script": [{"type": "ifNodeIDEquals"}]}"#, "needs the member `instruction`");
        for (params, words) in [
            ("\"dlo\": 1", "script[0].gossipSubParams: unknown member `dlo`; did you mean `Dlo`?"),
            ("\"HistoryLenght\": 1", "did you mean `HistoryLength`?"),
            ("\"Heap\": 1", "unknown member `Heap`; valid: D, Dlo, "),
            ("\"D\": \"8\"", "`D` must be a whole number of at least 0, got \"8\""),
            ("\"MaxIHaveMessages\": 4294967296", "`MaxIHaveMessages` must be a whole number"),
            ("\"FanoutTTL\": 0.5", "`FanoutTTL` must be a whole number of nanoseconds"),
            ("\"FanoutTTL\": 1e300", "`FanoutTTL` must be a whole number of nanoseconds"),
            ("\"GossipFactor\": []", "`GossipFactor` must be a number, got []"),
        ] {
            wrong(&format!("{{\"script\": [{}]}}", init(params)), words);
        }
    }

    fn json() -> impl Strategy<Value = Json> {
        let name =
            prop::sample::select(vec!["type", "script", "gossipSubParams", "instruction", "D", "FanoutTTL"]);
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<f64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            prop::sample::select(INSTRUCTIONS.to_vec()).prop_map(Json::from),
        ];
        leaf.prop_recursive(6, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(name.clone(), inner, 0..4).prop_map(|members| members
                    .into_iter()
                    .map(|(name, json)| (name.to_owned(), json))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_it_panic(script in json(), params in json(), text in any::<String>()) {
            let scripted = serde_json::json!({ "script": [script] });
            let inner = serde_json::json!({ "script": [{ "type": "initGossipSub", "gossipSubParams": params }] });
            for text in [text, script.to_string(), scripted.to_string(), inner.to_string()] {
                let _ = overlay(&mut Config::go(), &text);
            }
        }
    }
}
