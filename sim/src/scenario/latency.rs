//! The `latency` key: constants, ranges, tables that come with the simulator, tables from files, and the table
//! `[network.table]` of the scenario itself, in which tables from files are written out with a result.

use std::path::Path;
use std::sync::Arc;

use hyperspace_protocol::time::Duration;

use super::error::{Fault, TextError};
use super::keys::TABLE;
use super::model::Latency;
use super::reader::{Ms, Reader, Setting, text};
use super::shadow::GmlNetwork;
use super::topology::read_text;
use super::tree::Node;
use super::{csv, units};
use crate::net::RegionTable;

const MODELS: &str = "constant:20ms, uniform:10ms..150ms, aws-2019, simblock-2019, bootstrap-6, csv:FILE, gml:FILE, table or topology";

/// Reads `latency` and `table` of `[network]`; `base` is where the scenario's files are.
pub(super) fn read(network: &Reader<'_>, base: &Path) -> Result<Latency, Fault> {
    let own = network.get("table").map(|_| table(&network.table("table", TABLE)?)).transpose()?;
    let Some(node) = network.get("latency") else {
        let uniform = || Latency::Uniform(Duration::from_millis(10), Duration::from_millis(150));
        return Ok(own.map_or_else(uniform, by_region));
    };
    let shown = text(node)?;
    let duration = |text: &str| {
        units::duration(text).map_err(|message| Fault::new(node.at, format!("`latency`: {message}")))
    };
    match shown.split_once(':').map_or((shown, None), |(kind, rest)| (kind, Some(rest))) {
        ("constant", Some(time)) => Ok(Latency::Constant(duration(time)?)),
        ("uniform", Some(range)) => {
            let Some((low, high)) = range.split_once("..") else {
                return Err(
                    Fault::new(node.at, format!("`{shown}` has no range")).help("write uniform:10ms..150ms")
                );
            };
            Ok(Latency::Uniform(duration(low)?, duration(high)?))
        }
        ("csv", Some(path)) => file(node, &base.join(path.trim()), csv::table).map(by_region),
        ("gml", Some(path)) => {
            let network = |text: &str| GmlNetwork::parse(text)?.table();
            file(node, &base.join(path.trim()), network).map(by_region)
        }
        ("table", None) => own.map(by_region).ok_or_else(|| {
            Fault::new(node.at, "latency `table`, but there is no [network.table]")
                .help("write [network.table] with `regions` and `one_way_ms`")
        }),
        ("topology", None) => Ok(Latency::Topology),
        _ => match RegionTable::named(shown) {
            Some(table) => Ok(by_region(table)),
            None => Err(Fault::new(node.at, format!("unknown latency `{shown}`")).help(MODELS)),
        },
    }
}

fn by_region(table: RegionTable) -> Latency {
    Latency::Regions(Arc::new(table))
}

fn file(
    node: &Node,
    path: &Path,
    parse: impl Fn(&str) -> Result<RegionTable, TextError>,
) -> Result<RegionTable, Fault> {
    let text = read_text(path).map_err(|message| Fault::new(node.at, message))?;
    parse(&text).map_err(|TextError { line, message }| {
        Fault::new(node.at, format!("{}:{line}: {message}", path.display()))
    })
}

/// Reads `[network.table]`.
fn table(reader: &Reader<'_>) -> Result<RegionTable, Fault> {
    let at = |key: &'static str| {
        move |message: String| {
            let place = reader.get(key).map_or(reader.at, |node| node.at);
            Fault::new(place, format!("`{key}`: {message}"))
        }
    };
    // Types first, so that a value of the wrong one is blamed before a key that is missing.
    let one_way: Option<Vec<Vec<Ms>>> = reader.read("one_way_ms")?;
    let shares: Option<Vec<f64>> = reader.read("shares")?;
    let up: Option<Vec<u64>> = reader.read("bandwidth_up_bps")?;
    let down: Option<Vec<u64>> = reader.read("bandwidth_down_bps")?;
    let loss: Option<Vec<Vec<f64>>> = reader.read("loss")?;
    let regions: Vec<String> = reader.required("regions")?;
    let one_way = one_way.ok_or_else(|| reader.missing("one_way_ms"))?;
    RegionTable::check_regions(&regions).map_err(at("regions"))?;
    let one_way: Vec<Vec<Duration>> =
        one_way.into_iter().map(|row| row.into_iter().map(|ms| ms.0).collect()).collect();
    let mut table = RegionTable::new(regions, &one_way).map_err(at("one_way_ms"))?;
    if let Some(shares) = shares {
        table = table.with_shares(shares).map_err(at("shares"))?;
    }
    table = match (up, down) {
        (None, None) => table,
        (Some(up), Some(down)) if up.len() == down.len() => {
            table.with_bandwidth(up.into_iter().zip(down).collect()).map_err(at("bandwidth_up_bps"))?
        }
        (Some(_), Some(_)) => {
            return Err(at("bandwidth_down_bps")("as many numbers as in `bandwidth_up_bps`".into()));
        }
        (Some(_), None) => return Err(reader.missing("bandwidth_down_bps")),
        (None, Some(_)) => return Err(reader.missing("bandwidth_up_bps")),
    };
    match loss {
        Some(loss) => table.with_loss(&loss).map_err(at("loss")),
        None => Ok(table),
    }
}

/// What the `latency` key says of a model.
pub(super) fn name(latency: &Latency) -> String {
    match latency {
        Latency::Constant(time) => format!("constant:{time}"),
        Latency::Uniform(low, high) => format!("uniform:{low}..{high}"),
        Latency::Regions(table) => table.name().into(),
        Latency::Topology => "topology".into(),
    }
}

/// Writes `[network.table]` for a table that no name stands for.
pub(super) fn write_table(latency: &Latency, out: &mut String) {
    let Some(table) = latency.table().filter(|table| !table.is_named()) else { return };
    let n = table.regions().len();
    out.push_str("\n[network.table]\n");
    out.push_str(&format!("regions = {}\n", table.regions().to_vec().write()));
    write_matrix("one_way_ms", n, |a, b| Ms(table.one_way(a, b)), out);
    if let Some(shares) = table.shares() {
        out.push_str(&format!("shares = {}\n", shares.to_vec().write()));
    }
    if let Some(bandwidth) = table.bandwidth() {
        let (up, down): (Vec<u64>, Vec<u64>) = bandwidth.iter().copied().unzip();
        out.push_str(&format!("bandwidth_up_bps = {}\n", up.write()));
        out.push_str(&format!("bandwidth_down_bps = {}\n", down.write()));
    }
    if table.loss(0, 0).is_some() {
        write_matrix("loss", n, |a, b| table.loss(a, b).unwrap_or_default(), out);
    }
}

/// Writes a matrix with a line per row.
fn write_matrix<T: Setting>(key: &str, n: usize, value: impl Fn(usize, usize) -> T, out: &mut String) {
    out.push_str(&format!("{key} = [\n"));
    for a in 0..n {
        let row: Vec<T> = (0..n).map(|b| value(a, b)).collect();
        out.push_str(&format!("{},\n", row.write()));
    }
    out.push_str("]\n");
}
