//! `latency = "csv:FILE"`: a matrix of one-way base latencies in milliseconds.
//!
//! The first line has a free first cell and then the names of the regions; each further line has the name of a region,
//! in the same order, and its latencies. A latency is the same both ways, so one of the two cells of a pair may be empty
//! or missing: a triangle with its diagonal will do. `#` starts a comment, blanks around a cell do not count.
//!
//! ```text
//! ms,      lisbon, oslo   # one way
//! lisbon,  0.4
//! oslo,    31.5,   0.6
//! ```

use hyperspace_protocol::time::Duration;

use super::error::TextError;
use super::units;
use crate::net::RegionTable;

/// The latencies of a region as far as its line gives them.
struct Row {
    line: usize,
    cells: Vec<Option<Duration>>,
}

/// Parses the text of `latency = "csv:FILE"`, a matrix of one-way latencies in milliseconds.
///
/// # Errors
/// If names or latencies are none that a [`RegionTable`] takes, or rows and cells do not make a symmetric matrix.
pub fn table(text: &str) -> Result<RegionTable, TextError> {
    let mut lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| (index + 1, line.split(',').map(str::trim)));
    let Some((header_at, header)) = lines.next() else {
        let message = "the file is empty: the first line names the regions, like `ms,lisbon,oslo`";
        return Err(TextError::new(1, message));
    };
    // One more than there may be, so that too many are an error.
    let regions: Vec<String> = header.skip(1).take(RegionTable::REGIONS_MAX + 1).map(str::to_owned).collect();
    RegionTable::check_regions(&regions).map_err(|message| TextError::new(header_at, message))?;
    let mut rows: Vec<Row> = Vec::with_capacity(regions.len());
    for (line, mut cells) in lines {
        let name = shortened(cells.next().unwrap_or_default());
        let Some(region) = regions.get(rows.len()) else {
            let message = format!("a line too many: the header names {} regions", regions.len());
            return Err(TextError::new(line, message));
        };
        if name != shortened(region) {
            let message = format!("the row of `{region}` is due here, as in the header; got `{name}`");
            return Err(TextError::new(line, message));
        }
        rows.push(Row {
            line,
            cells: latencies(cells, region, &regions).map_err(|m| TextError::new(line, m))?,
        });
    }
    if let Some(region) = regions.get(rows.len()) {
        let last = rows.last().map_or(header_at, |row| row.line);
        return Err(TextError::new(last, format!("the row of `{region}` is missing after this line")));
    }
    let one_way = both_ways(&regions, &rows)?;
    RegionTable::new(regions, &one_way).map_err(|message| TextError::new(header_at, message))
}

fn latencies<'a>(
    cells: impl Iterator<Item = &'a str>,
    region: &str,
    regions: &[String],
) -> Result<Vec<Option<Duration>>, String> {
    let mut latencies = vec![None; regions.len()];
    for (index, cell) in cells.enumerate().filter(|(_, cell)| !cell.is_empty()) {
        let Some(other) = regions.get(index) else {
            return Err(format!("the row of `{region}` has more than {} latencies", regions.len()));
        };
        let latency = units::milliseconds(&shortened(cell))
            .and_then(|latency| RegionTable::check_latency(latency).map(|()| latency))
            .map_err(|message| format!("`{region}` to `{other}`: {message}"))?;
        latencies[index] = Some(latency);
    }
    Ok(latencies)
}

/// The full matrix: what a cell leaves out is taken from the way back.
fn both_ways(regions: &[String], rows: &[Row]) -> Result<Vec<Vec<Duration>>, TextError> {
    let pair = |a: usize, b: usize| {
        let wrong = |message| Err(TextError::new(rows[a.max(b)].line, message));
        let (from, to) = (&regions[a], &regions[b]);
        match (rows[a].cells[b], rows[b].cells[a]) {
            (Some(there), Some(back)) if there != back => wrong(format!(
                "`{from}` to `{to}` takes {there}, but the way back {back}: a latency is the same both ways, so give the mean, or leave one of the two cells empty"
            )),
            (Some(latency), _) | (None, Some(latency)) => Ok(latency),
            (None, None) => wrong(format!("there is no latency between `{from}` and `{to}`")),
        }
    };
    (0..regions.len()).map(|a| (0..regions.len()).map(|b| pair(a, b)).collect()).collect()
}

/// A cell may be as long as the file.
fn shortened(cell: &str) -> String {
    cell.chars().take(RegionTable::NAME_MAX + 1).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SQUARE: &str =
        "\u{feff}ms, a, b c, d\r\na, 1, 20.5, 30\r\nb c, 20.5, 2, 40.000001\r\nd,30,40.000001,3\r\n";

    #[test]
    fn a_square_and_its_triangles_are_the_same_table() {
        let table = table(SQUARE).expect("valid");
        assert_eq!(table.regions(), ["a", "b c", "d"]);
        assert_eq!(
            (table.one_way(0, 1), table.one_way(2, 2)),
            (Duration::from_micros(20_500), Duration::from_millis(3))
        );
        assert_eq!(table.one_way(2, 1).as_nanos(), 40_000_001);
        assert_eq!((table.name(), table.shares(), table.bandwidth()), ("table", None, None));
        let lower = "# one way\n,a,b c,d\n\na,1 # here\nb c,20.5,2,\nd,30,40.000001,3,,\n";
        let upper = "to,a,b c,d\na,1,20.5,30\nb c,,2,40.000001\nd,,,3";
        assert_eq!(super::table(lower).expect("lower"), table);
        assert_eq!(super::table(upper).expect("upper"), table);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let many: String = (0..256).map(|i| format!(",r{i}")).collect();
        let cases = [
            ("", 1, "the file is empty"),
            ("# nothing\n\n", 1, "the file is empty"),
            ("ms", 1, "1 to 255 regions, got 0"),
            (&many, 1, "1 to 255 regions, got 256"),
            ("ms,a,a", 1, "two regions are called `a`"),
            ("ms,a,,b", 1, "the name of a region is 1 to 64 characters"),
            ("\nms,even", 2, "cannot be called `even`"),
            ("ms,a,b\nb,1,2\na,2,1", 2, "the row of `a` is due here, as in the header; got `b`"),
            ("ms,a,b\n# a\na,1,2", 3, "the row of `b` is missing after this line"),
            ("ms,a,b", 1, "the row of `a` is missing after this line"),
            ("ms,a\na,1\nb,2", 3, "a line too many: the header names 1 regions"),
            ("ms,a\na,1,2", 2, "more than 1 latencies"),
            ("ms,a\na,fast", 2, "`a` to `a`: `fast` is not a number of milliseconds"),
            ("ms,a\na,-1", 2, "`-1` is not a number of milliseconds"),
            ("ms,a\na,1e3", 2, "`1e3` is not a number of milliseconds"),
            ("ms,a\na,0", 2, "a latency must be above 0"),
            ("ms,a\na,0.0000001", 2, "finer than 1ns"),
            ("ms,a\na,4294.967296", 2, "above the 4294967295ns that a link can have"),
            ("ms,a\na,", 2, "there is no latency between `a` and `a`"),
            ("ms,a,b\na,1,\n\nb,,1", 4, "there is no latency between `a` and `b`"),
            ("ms,a,b\na,1,2\nb,3,1", 3, "`a` to `b` takes 2ms, but the way back 3ms"),
        ];
        for (text, line, words) in cases {
            let error = table(text).expect_err(words);
            assert!(error.line == line && error.message.contains(words), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c0-9.,#\n -]{0,60}", other in any::<String>()) {
            let _ = (table(&text), table(&other), table(&format!("ms,a,b\na,{text}\nb,{other}")));
        }
    }
}
