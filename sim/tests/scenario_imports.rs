//! What scenarios take from files of other programs: latency tables and GossipSub parameters. What they load as, that a
//! resolved scenario needs none of these files, and that mistakes are found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperspace_protocol::gossip::Config;
use hyperspace_protocol::time::Duration;
use hyperspace_sim::net::RegionTable;
use hyperspace_sim::scenario::{
    Action, Latency, Overrides, Regions, Scenario, ScenarioError, Side, load, resolved,
};
use hyperspace_sim::{RunOptions, Simulation};
use proptest::prelude::*;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn try_load(text: &str, base: &Path) -> Result<Scenario, ScenarioError> {
    load("test.toml", text, base, &Overrides::default()).map(|mut arms| arms.remove(0))
}

fn load_one(text: &str) -> Scenario {
    try_load(text, &data()).unwrap_or_else(|error| panic!("{error}"))
}

/// A scenario with this in `[network]`.
fn with(network: &str) -> String {
    format!("version = 1\nname = \"x\"\n[network]\n{network}\n[group.honest]\ncount = 20\n")
}

fn table(scenario: &Scenario) -> &RegionTable {
    scenario.network.latency.table().expect("a table")
}

/// The resolved text loads back to the same scenario where none of its files is.
fn resolves_to_itself(scenario: &Scenario) -> String {
    let text = resolved(scenario);
    match try_load(&text, Path::new("/no/such/folder")) {
        Ok(again) => assert_eq!(&again, scenario, "{text}"),
        Err(error) => panic!("{error}\n{text}"),
    }
    text
}

#[test]
fn named_tables_stay_names() {
    for name in RegionTable::NAMED {
        let scenario = load_one(&with(&format!("latency = \"{name}\"")));
        assert_eq!(table(&scenario).name(), name);
        assert_eq!(scenario.network.latency_min, Duration::from_millis(1));
        let text = resolves_to_itself(&scenario);
        assert!(text.contains(&format!("latency = \"{name}\"\n")) && !text.contains("[network.table]"));
    }
    let bootstrap = load_one(&with("latency = \"bootstrap-6\""));
    assert_eq!(bootstrap.network.latency, Latency::bootstrap_6());
    assert_eq!(table(&bootstrap).regions(), ["iad", "ams", "sin", "lax", "gru", "syd"]);
    assert_eq!(table(&bootstrap).one_way(0, 1), Duration::from_micros(44_857));
}

#[test]
fn a_csv_file_is_a_table_whose_regions_groups_and_partitions_name() {
    let text = with("latency = \"csv:sites.csv\"")
        + "regions = \"oslo\"\n[group.away]\ncount = 9\nregions = \"table\"\n\
           [[at]]\nt = \"5s\"\ndo = \"partition\"\na = \"region:quito\"\nfor = \"1s\"\n";
    let scenario = load_one(&text);
    assert_eq!(table(&scenario).one_way(2, 1), Duration::from_micros(96_250));
    assert_eq!(scenario.network.latency_min, Duration::from_micros(400), "no latency of a file is clamped");
    assert_eq!(
        (&scenario.groups[0].regions, &scenario.groups[1].regions),
        (&Regions::One(1), &Regions::Table)
    );
    assert!(matches!(scenario.timeline[..], [Action::Partition { a: Side::Region(2), .. }]));
    let text = resolves_to_itself(&scenario);
    let matrix = "\n[network.table]\nregions = [\"lisbon\", \"oslo\", \"quito\"]\none_way_ms = [\n\
        [0.4, 31.5, 88],\n[31.5, 0.6, 96.25],\n[88, 96.25, 0.9],\n]\n";
    assert!(text.contains("latency = \"table\"\n") && text.contains(matrix), "{text}");
    assert!(text.contains("regions = \"oslo\"\n") && text.contains("a = \"region:quito\"\n"));
}

#[test]
fn a_graph_of_shadow_is_a_table_with_bandwidth_and_loss() {
    let scenario = load_one(&with("latency = \"gml:sites.gml\""));
    let table = table(&scenario);
    assert_eq!(table.regions(), ["lisbon-supernode", "lisbon-fullnode", "quito-fullnode"]);
    // 2 + 95 ms there and 90 + 2 ms back.
    assert_eq!(
        (table.one_way(0, 2), table.one_way(1, 0)),
        (Duration::from_micros(94_500), Duration::from_millis(2))
    );
    assert_eq!((table.loss(2, 0), table.loss(1, 1)), (Some(0.01), Some(0.0)));
    assert_eq!(table.bandwidth().map(|all| all[2]), Some((25_000_000, 100_000_000)));
    let text = resolves_to_itself(&scenario);
    assert!(text.contains("bandwidth_down_bps = [1024000000, 50000000, 100000000]\n"), "{text}");
    assert!(text.contains("\nloss = [\n[0.0, 0.0, 0.01],\n"), "{text}");
}

const TABLE: &str = "[network.table]\nregions = [\"a\", \"b\"]\none_way_ms = [[1, 2.5], [2.5, 3]]\n";

#[test]
fn a_scenario_may_write_its_own_table() {
    let all = "shares = [\"25%\", 0.75]\nbandwidth_up_bps = [8, 9]\nbandwidth_down_bps = [10, 11]\nloss = [[0, 0.5], [0.5, 1]]";
    let scenario = load_one(&with(&format!("latency = \"table\"\n{TABLE}{all}")));
    let expected = RegionTable::new(
        vec!["a".into(), "b".into()],
        &[[1_000, 2_500], [2_500, 3_000]].map(|row| row.map(Duration::from_micros).to_vec()),
    );
    let expected = expected.and_then(|table| table.with_shares(vec![0.25, 0.75]));
    let expected = expected.and_then(|table| table.with_bandwidth(vec![(8, 10), (9, 11)]));
    let expected =
        expected.and_then(|table| table.with_loss(&[vec![0.0, 0.5], vec![0.5, 1.0]])).expect("valid");
    assert_eq!(scenario.network.latency, Latency::Regions(Arc::new(expected)));
    resolves_to_itself(&scenario);
    // It is the default where it is, and another model may stand beside it.
    assert_eq!(load_one(&with(&format!("{TABLE}{all}"))), scenario);
    let other = load_one(&with(&format!("latency = \"constant:5ms\"\n{TABLE}")));
    assert_eq!(other.network.latency, Latency::Constant(Duration::from_millis(5)));
    assert!(!resolves_to_itself(&other).contains("table"));
}

prop_compose! {
    fn tables()(n in 1usize..5)(
        names in prop::collection::btree_set("\\PC{1,20}", n),
        nanos in prop::collection::vec(1..=u64::from(u32::MAX), n * n),
        bandwidth in prop::option::of(prop::collection::vec((1..=RegionTable::BANDWIDTH_MAX, 1u64..9), n)),
        loss in prop::option::of(prop::collection::vec(0.0..=1.0, n * n)),
    ) -> RegionTable {
        let n = names.len();
        let names = names.iter().map(|name| format!("<{name}>")).collect();
        let at = |a: usize, b: usize| a.min(b) * n + a.max(b);
        let rows: Vec<Vec<_>> =
            (0..n).map(|a| (0..n).map(|b| Duration::from_nanos(nanos[at(a, b)])).collect()).collect();
        let mut table = RegionTable::new(names, &rows).expect("valid");
        if let Some(bandwidth) = bandwidth {
            table = table.with_bandwidth(bandwidth).expect("valid");
        }
        if let Some(loss) = loss {
            let rows: Vec<Vec<f64>> = (0..n).map(|a| (0..n).map(|b| loss[at(a, b)]).collect()).collect();
            table = table.with_loss(&rows).expect("valid");
        }
        table
    }
}

proptest! {
    #[test]
    fn any_table_resolves_to_itself(table in tables()) {
        let mut scenario = Scenario::example();
        scenario.groups[0].regions = Regions::One(table.regions().len() as u32 - 1);
        scenario.timeline.push(Action::Partition {
            at: Duration::from_secs(9),
            length: Duration::from_secs(1),
            a: Side::Region(0),
            b: Side::Rest,
            one_way: false,
        });
        scenario.network.latency_min = table.shortest();
        scenario.network.latency = Latency::Regions(Arc::new(table));
        resolves_to_itself(&scenario);
    }
}

#[test]
fn mistakes_in_a_table_are_found_where_they_are() {
    // (what replaces which part of the table, where the error points, words of the message)
    let cases = [
        ("[\"a\", \"b\"]", "[]", "5:11", "a table has 1 to 255 regions, got 0"),
        ("[\"a\", \"b\"]", "[\"a\", \"a\"]", "5:11", "two regions are called `a`"),
        ("[\"a\", \"b\"]", "[\"a\", 5]", "5:17", "`regions`: expected text in quotes, found an integer"),
        ("[\"a\", \"b\"]", "\"a\"", "5:11", "`regions`: expected an array, found text"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, 2.5]]", "6:14", "got 1 rows"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, 2.5], [2.6, 3]]", "6:14", "but the way back 2600us"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, 2], [2, 0]]", "6:14", "`b` to `b`: a latency must be above 0"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, -2], [-2, 1]]", "6:19", "`-2` is not a number of milliseconds"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, 1e-7], [1e-7, 1]]", "6:19", "finer than 1ns"),
        ("[[1, 2.5], [2.5, 3]]", "[[1, inf], [inf, 1]]", "6:19", "`inf` is not a number of milliseconds"),
        (
            "[[1, 2.5], [2.5, 3]]",
            "[[1, \"2\"], [2, 1]]",
            "6:19",
            "expected a number of milliseconds, found text",
        ),
        ("[[1, 2.5], [2.5, 3]]", "[[5000, 2], [2, 1]]", "6:14", "a latency of 5s is above"),
        ("one_way_ms = [[1, 2.5], [2.5, 3]]", "", "4:10", "needs the key `one_way_ms`"),
        ("\n[network.table]\n", "\n[network.table]\nshares = [1]\n", "5:10", "one share per region"),
        (
            "\n[network.table]\n",
            "\n[network.table]\nbandwidth_up_bps = [1, 1]\n",
            "4:10",
            "needs the key `bandwidth_down_bps`",
        ),
        ("\n[network.table]\n", "\n[network.table]\nloss = [[0]]\n", "5:8", "one row per region"),
        ("\n[network.table]\n", "\n[network.table]\nlose = [[0]]\n", "5:1", "did you mean `loss`?"),
    ];
    let mut wrong = String::new();
    for (old, new, place, words) in cases {
        let text = with(&format!("{}\n", TABLE.trim_end())).replacen(old, new, 1);
        let shown = try_load(&text, &data()).expect_err(words).to_string();
        if !shown.contains(words) || !shown.contains(&format!("test.toml:{place}\n")) {
            wrong.push_str(&format!("{new}: expected {place} and `{words}` in\n{shown}\n\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_mistake_in_a_file_is_shown_with_file_and_line() {
    let shown = |network: &str| try_load(&with(network), &data()).expect_err(network).to_string();
    let csv = shown("latency = \"csv:triangle.txt\"");
    assert!(csv.contains("triangle.txt:2: a table has 1 to 255 regions, got 0"), "{csv}");
    assert!(csv.contains("--> test.toml:4:11"), "{csv}");
    assert!(shown("latency = \"gml:sites.csv\"").contains("sites.csv:2: `ms` needs a number"));
    assert!(shown("latency = \"csv:none.csv\"").contains("none.csv: No such file"));
    let unknown = try_load(&(with("latency = \"csv:sites.csv\"") + "regions = \"osl\"\n"), &data());
    assert!(unknown.expect_err("region").to_string().contains("did you mean `oslo`?"));
}

/// A table of the scenario's own gives the run that the built-in table of the same numbers gives.
#[test]
fn a_run_does_not_depend_on_where_its_table_came_from() {
    let digest = |latency: &Latency| {
        let mut scenario = Scenario::example();
        scenario.network.latency = latency.clone();
        let simulation = Simulation::new(&scenario, &RunOptions::default()).expect("valid");
        simulation.run(&mut |_| {}).expect("no invariant breaks").digests.run
    };
    let aws = Latency::aws_2019();
    let named = aws.table().expect("a table");
    let n = named.regions().len();
    let rows: Vec<Vec<Duration>> = (0..n).map(|a| (0..n).map(|b| named.one_way(a, b)).collect()).collect();
    let copy = RegionTable::new(named.regions().to_vec(), &rows).expect("valid");
    assert_eq!(digest(&Latency::Regions(Arc::new(copy))), digest(&aws));
    assert_ne!(digest(&Latency::bootstrap_6()), digest(&aws));
}

#[test]
fn interoperability_parameters_lie_between_profile_and_keys() {
    let gossip =
        |rest: &str| with("") + &format!("[gossip]\nprofile = \"go\"\ninterop = \"interop.json\"\n{rest}");
    let scenario = load_one(&gossip("mesh_degree_max = 20\n"));
    let expected = Config {
        mesh_degree: 9,
        mesh_degree_max: 20,
        gossip_factor: 0.4,
        heartbeat_delay: Duration::from_millis(150),
        prune_backoff: Duration::from_secs(30),
        ..Config::go()
    };
    assert_eq!(scenario.gossip, expected);
    assert!(!resolves_to_itself(&scenario).contains("interop"));
    // What does not fit together is blamed on a key that says it, else on the file.
    let blamed = |rest: &str| try_load(&gossip(rest), &data()).expect_err(rest).to_string();
    let shown = blamed("mesh_degree_max = 8\n");
    assert!(shown.contains("must hold") && shown.contains("10:19"), "{shown}");
    let shown =
        try_load(&gossip("").replace("\"go\"", "\"rust\"").replace("interop.json", "none.json"), &data());
    assert!(shown.expect_err("no file").to_string().contains("none.json: No such file"));
    let shown = try_load(&gossip("").replace("interop.json", "sites.csv"), &data()).expect_err("not JSON");
    assert!(shown.to_string().contains("sites.csv: not valid JSON"), "{shown}");
}
