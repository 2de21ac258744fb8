//! What a settings file may say, and that the sample file says all of it.

use std::collections::BTreeSet;

use hyperspace_protocol::gossip;
use hyperspace_protocol::primitive::guard::Preset;
use hyperspace_protocol::primitive::memory::Quorum;
use toml::{Table, Value};

use super::*;

fn load(text: &str) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("keys"), "0123456789abcdef\n").unwrap();
    fs::write(folder.path().join("pass"), "open sesame\n").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    Settings::load("data".into(), Some(&path)).map_err(|error| error.to_string())
}

#[test]
fn a_file_says_what_it_wants_otherwise() {
    let settings = load(
        r#"
        [rpc]
        listen = "0.0.0.0:4100"
        api_key_file = "keys"
        origins = ["https://example.org"]
        [p2p]
        listen = ["/ip4/127.0.0.1/tcp/0"]
        bootstrap = ["/ip4/127.0.0.1/tcp/1"]
        gossip = "rust"
        dht = "off"
        [store]
        passphrase_file = "pass"
        [session]
        budget = 2.5
        [rpc.limits]
        rate = 7
        ping = "5m"
        [p2p.network]
        kad_protocol = "/mine/kad/1"
        connections_per_ip = 3
        ban = "1h"
        [envelope]
        past = "30s"
        [envelope.dialect]
        json = "jcs"
        placement = "hash-of-before"
        prefix = "mine:"
        [memory]
        store = false
        quorum = "majority"
        [tool]
        geo = "eu-west"
        task_types = ["web-research"]
        [guard]
        policy = { block = ["email"], allow = ["phone"] }
        [payments]
        chains = []
        [sharing]
        trajectories = false
        [outside]
        tool_hosts = ["tools.example"]
        "#,
    )
    .unwrap();
    assert_eq!(settings.rpc.addr.to_string(), "0.0.0.0:4100");
    assert!(settings.rpc.keys.find("0123456789abcdef").is_some());
    assert_eq!(settings.listen, ["/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(settings.protocol.gossip, gossip::Config::rust());
    assert_eq!(settings.protocol.dht, None);
    assert!(matches!(&settings.unlock, Unlock::Passphrase(text) if **text == "open sesame"));
    assert_eq!(settings.protocol.primitives.state.budget.0, 2_500_000);
    assert!(!settings.protocol.primitives.improving.publish);
    assert_eq!(settings.outside.tool_hosts, ["tools.example"]);
    assert_eq!((settings.rpc.limits.rate, settings.rpc.limits.ping.as_secs()), (7, 300));
    let net = &settings.net;
    assert_eq!((&net.kad_protocol[..], net.connections_per_ip, net.ban.as_secs()), ("/mine/kad/1", 3, 3600));
    assert_eq!(settings.protocol.replay.past.as_millis(), 30_000);
    assert_eq!(settings.protocol.replay.future.as_millis(), 60_000);
    assert_eq!(settings.dialect.prefix, "mine:");
    assert_eq!(settings.dialect.placement, hyperspace_protocol::envelope::dialect::Placement::HashOfBefore);
    let primitives = &settings.protocol.primitives;
    assert_eq!((primitives.memory.store, primitives.memory.quorum), (false, Quorum::Majority));
    assert_eq!(
        (&primitives.tool.geo[..], &primitives.tool.task_types[..]),
        ("eu-west", &["web-research".to_owned()][..])
    );
    assert_eq!((primitives.guard.policy.block.len(), primitives.guard.policy.allow.len()), (1, 1));
    assert!(primitives.micropayments.chains.is_empty());
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, what) in [
        ("[rpc]\nlisten = \"nowhere\"", "listen"),
        ("[rpc]\nlissten = \"127.0.0.1:1\"", "lissten"),
        ("[rcp]", "rcp"),
        ("[rpc]\ncertificate = \"c\"", "belong together"),
        ("[rpc]\napi_key_file = \"none\"", "none"),
        ("[p2p]\ngossip = \"best\"", "hyperspace"),
        ("[p2p]\ndht = \"best\"", "off"),
        #[cfg(not(feature = "mdns"))]
        ("[p2p]\nmdns = true", "--features mdns"),
        ("[session]\nbudget = -1", "negative"),
        ("[rpc.limits]\nping = \"soon\"", "no length of time"),
        ("[rpc.limits]\nratte = 1", "ratte"),
        ("[p2p.network]\nidle = 5", "idle"),
        ("[p2p.network]\nmdns = true", "mdns"),
        ("[envelope.dialect]\njson = \"xml\"", "jcs"),
        ("[memory]\nquorum = \"most\"", "majority"),
        ("[tool]\ntask_types = [\"a b\"]", "a b"),
        ("[guard]\npolicy = \"lax\"", "guard.policy"),
        ("[[payments.chains]]\nid = 1", "x402_v1"),
        ("[store]\npassphrase_file = \"empty\"", "no passphrase"),
        ("[store", "line 1"),
    ] {
        let error = load(text).expect_err(text);
        assert!(error.contains(what), "{text}: {error}");
    }
    let missing = Settings::load("data".into(), Some(Path::new("/none/node.toml"))).unwrap_err();
    assert!(missing.to_string().contains("/none/node.toml"));
}

const SAMPLE: &str = include_str!("../../node.toml");

#[test]
fn the_sample_says_what_is_so_without_it() {
    let sample = load(SAMPLE).unwrap();
    let defaults = Settings::load("data".into(), None).unwrap();
    let shown = |settings: &Settings| {
        let mut protocol = settings.protocol.clone();
        // The name of the policy that is meant when there is none.
        protocol.primitives.guard.policy.preset.get_or_insert(Preset::Default);
        format!(
            "{:#?}",
            (
                &settings.rpc,
                &settings.listen,
                &settings.bootstrap,
                &settings.net,
                protocol,
                &settings.dialect,
                &settings.unlock,
                &settings.outside
            )
        )
    };
    assert_eq!(shown(&sample), shown(&defaults));
}

/// The sample with all that is commented out.
fn whole() -> Table {
    let commented = |line: &&str| {
        let rest = line.strip_prefix("# ").unwrap_or_default();
        let key = rest.split(" = ").next().unwrap_or_default();
        rest.starts_with('[') && rest.ends_with(']')
            || rest.contains(" = ") && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let lines = SAMPLE.lines().map(|line| if commented(&line) { &line[2..] } else { line });
    lines.collect::<Vec<_>>().join("\n").parse().unwrap()
}

#[test]
fn the_sample_has_every_key() {
    let whole = whole();
    let _: File = Value::Table(whole.clone()).try_into().unwrap();
    let mut tables = 0;
    every_key(&mut Vec::new(), &whole, &mut tables);
    assert!(tables >= 15, "{tables}");
}

/// Whether a table of the sample has all keys that the parser says it knows there, when it is asked for one that it does not.
fn every_key(path: &mut Vec<String>, table: &Table, tables: &mut usize) {
    *tables += 1;
    let mut probe =
        Value::Table(table.clone().into_iter().chain([("nonsense".to_owned(), 1.into())]).collect());
    for name in path.iter().rev() {
        let of_many = name == "chains";
        let inner = if of_many { Value::Array(vec![probe]) } else { probe };
        probe = Value::Table([(name.clone(), inner)].into_iter().collect());
    }
    let error = probe.try_into::<File>().unwrap_err().to_string();
    // The rest says in which table.
    let (_, expected) = error.lines().next().and_then(|line| line.split_once("expected ")).expect(&error);
    let known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
    let there: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(there, known, "{path:?}");
    for (name, value) in table {
        let inner = match value {
            Value::Table(inner) => inner,
            Value::Array(all) if all.iter().any(Value::is_table) => all[0].as_table().unwrap(),
            Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => continue,
        };
        path.push(name.clone());
        every_key(path, inner, tables);
        path.pop();
    }
}
