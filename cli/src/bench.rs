//! `hyperlab bench`: times the parts of the protocol and prints a table.

use hyperspace_benches::{Effort, Row, Subject, measure};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Stdout, note};
use crate::sim_args::BenchArgs;
use crate::table::align;

/// `hyperlab bench`. A subject's rows are printed when all of them are known.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        note("note: hyperlab was built for debugging; times of a release build are far shorter");
    }
    let effort = if args.quick { Effort::Quick } else { Effort::Full };
    let one = args.subject.map(|subject| [subject.subject()]);
    let subjects = one.as_ref().map_or(&Subject::ALL[..], |one| one);
    let mut out = Stdout::default();
    for (index, &subject) in subjects.iter().enumerate() {
        let rows = measure(&subject.cases(effort), effort);
        if args.json {
            for row in &rows {
                out.json(&Line::new(subject, row))?;
            }
        } else {
            let gap = if index > 0 { "\n" } else { "" };
            out.line(&format!("{gap}{}", table(subject, &rows)))?;
        }
    }
    Ok(())
}

/// One row as JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    subject: &'a str,
    what: &'a str,
    /// How many of `counts`; null if that means nothing here.
    n: Option<u64>,
    counts: &'a str,
    value: f64,
    unit: String,
    /// The least that it can cost, in words; null if it has no floor.
    floor: Option<&'a str>,
    /// How many times as long as the floor it took.
    ratio: Option<f64>,
}

impl<'a> Line<'a> {
    fn new(subject: Subject, row: &'a Row) -> Self {
        Self {
            subject: subject.name(),
            what: &row.what,
            n: row.n,
            counts: subject.counts(),
            value: subject.unit().of(row.ns_per_op),
            unit: subject.unit().to_string(),
            floor: row.floor.as_ref().map(|(text, _)| text.as_str()),
            ratio: row.floor.as_ref().map(|(_, ratio)| *ratio),
        }
    }
}

/// For people: a line of titles and one per row.
fn table(subject: Subject, rows: &[Row]) -> String {
    let titles = [subject.name(), subject.counts(), &subject.unit().to_string(), "x floor", "floor"];
    let mut cells = vec![titles.map(str::to_owned).to_vec()];
    for row in rows {
        let (floor, ratio) = row
            .floor
            .as_ref()
            .map_or_else(Default::default, |(text, ratio)| (text.clone(), short(*ratio, 2)));
        let n = row.n.map_or_else(String::new, |n| n.to_string());
        cells.push(vec![row.what.clone(), n, short(subject.unit().of(row.ns_per_op), 1), ratio, floor]);
    }
    // Words read better from the left; `align` puts all columns but the first to the right.
    let width = cells.iter().map(|row| row[4].chars().count()).max().unwrap_or(0);
    for row in &mut cells {
        row[4] = format!("{:width$}", row[4]);
    }
    align(&cells)
}

/// With decimals only where they say something.
fn short(value: f64, decimals: usize) -> String {
    if value < 100.0 { format!("{value:.decimals$}") } else { format!("{value:.0}") }
}
