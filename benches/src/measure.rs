//! The short timer of `hyperlab bench`: the fastest of some samples per case. Whatever else the machine does only adds to
//! a time, so on a busy one the fastest sample says more than the mean or the median.

use std::time::{Duration, Instant};

use crate::{Case, Effort, Run, Timed};

/// How long a case is measured, unless its samples alone take longer.
const BUDGET: Duration = Duration::from_millis(150);
/// Time of one sample at least: long for a clock, short beside the slice of time that a scheduler gives.
const SAMPLE_MIN: Duration = Duration::from_millis(2);
/// Samples per case at least.
const SAMPLES_MIN: usize = 3;

/// A case and how it came out.
#[derive(Clone, Debug)]
pub struct Row {
    /// [`Case::what`].
    pub what: String,
    /// [`Case::n`].
    pub n: Option<u64>,
    /// The fastest sample.
    pub ns_per_op: f64,
    /// The floor in words, such as `150 x SHA-256 of a token`, and how many times as long this took.
    pub floor: Option<(String, f64)>,
}

/// Times all cases in order.
///
/// # Panics
/// If a floor is no earlier case.
pub fn measure(cases: &[Case], effort: Effort) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for case in cases {
        let ns_per_op = match effort {
            Effort::Quick => ns_per_op(case.make()(1)),
            Effort::Full => fastest(&mut case.make()),
        };
        let least: f64 = case.floor.iter().map(|(at, times)| rows[*at].ns_per_op * *times as f64).sum();
        let floor = (!case.floor.is_empty()).then(|| (floor_text(case, cases), ns_per_op / least));
        rows.push(Row { what: case.what.clone(), n: case.n, ns_per_op, floor });
    }
    rows
}

fn floor_text(case: &Case, cases: &[Case]) -> String {
    let part = |(at, times): &(usize, u64)| {
        let Case { what, n, .. } = &cases[*at];
        let size = n.filter(|_| *n != case.n).map_or_else(String::new, |n| format!(" ({n})"));
        let times = if *times == 1 { String::new() } else { format!("{times} x ") };
        format!("{times}{what}{size}")
    };
    case.floor.iter().map(part).collect::<Vec<_>>().join(" + ")
}

/// Finds how often to run for a sample that a clock can tell, then takes samples.
fn fastest(run: &mut Run) -> f64 {
    let mut times = 1;
    let mut timed = run(times);
    while timed.time < SAMPLE_MIN {
        times *= 2;
        timed = run(times);
    }
    let mut best = ns_per_op(timed);
    let start = Instant::now();
    let mut samples = 1;
    while samples < SAMPLES_MIN || start.elapsed() < BUDGET {
        best = best.min(ns_per_op(run(times)));
        samples += 1;
    }
    best
}

/// Never zero, however coarse the clock.
fn ns_per_op(timed: Timed) -> f64 {
    timed.time.max(Duration::from_nanos(1)).as_nanos() as f64 / timed.ops.max(1) as f64
}
