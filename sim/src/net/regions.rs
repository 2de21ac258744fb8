//! Latency between regions: the type of a table, and tables that others measured.
//!
//! * AWS, 11 regions: round-trip times in ms of January 2019 from cloudping.co, as collected in ConsenSys' Wittgenstein
//!   simulator. Half of each is the one-way latency. The table has no entry for two peers of one region: our choice is a
//!   round trip of 2 ms.
//! * SimBlock, 6 regions: one-way latencies in ms and the shares of Bitcoin nodes of 2019 from SimBlock
//!   (dsg-titech/simblock, Copyright 2019 Distributed Systems Group, Tokyo Institute of Technology, Apache-2.0).
//! * The modelled table `bootstrap-6` is in [`bootstrap`]; tables from files are read in `scenario/latency.rs`.

use hyperspace_protocol::time::Duration;

use super::{LATENCY_MAX, bootstrap};

const AWS_NAMES: [&str; 11] = [
    "us-west-2",
    "us-east-1",
    "ap-south-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
];

/// Round trips between region i and the regions after it.
const AWS_ROUND_TRIPS_MS: [&[u64]; 11] = [
    &[81, 216, 126, 165, 138, 97, 64, 164, 131, 141],
    &[182, 181, 232, 195, 167, 13, 88, 80, 75],
    &[152, 62, 223, 123, 194, 111, 122, 113],
    &[97, 133, 35, 184, 259, 254, 264],
    &[169, 69, 218, 162, 174, 171],
    &[105, 210, 282, 269, 271],
    &[156, 235, 222, 234],
    &[101, 78, 87],
    &[24, 13],
    &[12],
    &[],
];

const AWS_SAME_REGION_MS: u64 = 2;

const SIMBLOCK_NAMES: [&str; 6] =
    ["north-america", "europe", "south-america", "asia-pacific", "japan", "australia"];

const SIMBLOCK_ONE_WAY_MS: [[u64; 6]; 6] = [
    [32, 124, 184, 198, 151, 189],
    [124, 11, 227, 237, 252, 294],
    [184, 227, 88, 325, 301, 322],
    [198, 237, 325, 85, 58, 198],
    [151, 252, 301, 58, 12, 126],
    [189, 294, 322, 198, 126, 16],
];

const SIMBLOCK_SHARES: [f64; 6] = [0.3316, 0.4998, 0.0090, 0.1177, 0.0224, 0.0195];

/// What a table is called that has no name of its own.
const NAMELESS: &str = "table";

/// Named regions and the one-way base latency between any two of them, the same both ways. What it holds is checked when
/// it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionTable {
    name: &'static str,
    regions: Vec<String>,
    /// Row by row.
    one_way: Vec<Duration>,
    shares: Option<Vec<f64>>,
    bandwidth: Option<Vec<(u64, u64)>>,
    /// Row by row.
    loss: Option<Vec<f64>>,
}

impl RegionTable {
    /// Most regions of a table: a peer's region is one byte.
    pub const REGIONS_MAX: usize = 255;
    /// Most characters of a region's name (our choice).
    pub const NAME_MAX: usize = 64;
    /// Largest bandwidth in bits per second, a petabit (our choice).
    pub const BANDWIDTH_MAX: u64 = 1_000_000_000_000_000;
    /// The tables that come with the simulator, as scenario files name them.
    pub const NAMED: [&'static str; 3] = ["aws-2019", "simblock-2019", "bootstrap-6"];

    /// The table that comes with the simulator under this name, if one does.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "aws-2019" => Self::triangle("aws-2019", &AWS_NAMES, AWS_SAME_REGION_MS * 500, |a, b| {
                AWS_ROUND_TRIPS_MS[a][b - a - 1] * 500
            }),
            "simblock-2019" => Self {
                one_way: SIMBLOCK_ONE_WAY_MS.concat().into_iter().map(Duration::from_millis).collect(),
                shares: Some(SIMBLOCK_SHARES.to_vec()),
                ..Self::triangle("simblock-2019", &SIMBLOCK_NAMES, 0, |_, _| 0)
            },
            "bootstrap-6" => {
                Self::triangle("bootstrap-6", &bootstrap::NAMES, bootstrap::SAME_SITE_US, |a, b| {
                    bootstrap::ONE_WAY_US[a][b - a - 1]
                })
            }
            _ => return None,
        })
    }

    /// A table that comes with the simulator, from its latencies in µs: `same` within a region, else `between` a region
    /// and a later one.
    fn triangle(
        name: &'static str,
        regions: &[&str],
        same: u64,
        between: impl Fn(usize, usize) -> u64,
    ) -> Self {
        let n = regions.len();
        let micros = |a: usize, b: usize| if a == b { same } else { between(a.min(b), a.max(b)) };
        let one_way = (0..n * n).map(|at| Duration::from_micros(micros(at / n, at % n))).collect();
        let regions = regions.iter().map(|name| (*name).to_owned()).collect();
        Self { name, regions, one_way, shares: None, bandwidth: None, loss: None }
    }

    /// A table of its own: `one_way[a][b]` is the latency between `regions[a]` and `regions[b]`.
    ///
    /// # Errors
    /// If [`check_regions`](Self::check_regions) refuses the names, if the matrix is not square or not the same both ways
    /// (the pair is named), or if a latency is zero or longer than a link can have (just above 4 s).
    pub fn new(regions: Vec<String>, one_way: &[Vec<Duration>]) -> Result<Self, String> {
        Self::check_regions(&regions)?;
        let one_way = square(&regions, one_way, "latency", |latency| Self::check_latency(*latency))?;
        Ok(Self { name: NAMELESS, regions, one_way, shares: None, bandwidth: None, loss: None })
    }

    /// With the share of the peers that is in each region.
    ///
    /// # Errors
    /// If there is not one share per region, or they are not in [0, 1] with a sum of 1.
    pub fn with_shares(self, shares: Vec<f64>) -> Result<Self, String> {
        one_each(&self.regions, shares.len(), "share")?;
        if let Some(wrong) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(format!("a share must be from 0 to 1, got {wrong}"));
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("the shares must add up to 1, got {sum}"));
        }
        Ok(Self { shares: Some(shares), ..self })
    }

    /// With what a peer of each region can send and receive, (up, down) in bits per second.
    ///
    /// # Errors
    /// If there is not one pair per region, or a bandwidth is 0 or above [`BANDWIDTH_MAX`](Self::BANDWIDTH_MAX).
    pub fn with_bandwidth(self, bandwidth: Vec<(u64, u64)>) -> Result<Self, String> {
        one_each(&self.regions, bandwidth.len(), "bandwidth")?;
        let all = bandwidth.iter().flat_map(|(up, down)| [*up, *down]);
        for bits in all {
            Self::check_bandwidth(bits)?;
        }
        Ok(Self { bandwidth: Some(bandwidth), ..self })
    }

    /// With the probability `loss[a][b]` that a packet between two regions is lost.
    ///
    /// # Errors
    /// If the matrix is not square or not the same both ways, or a probability is not in [0, 1].
    pub fn with_loss(self, loss: &[Vec<f64>]) -> Result<Self, String> {
        let loss = square(&self.regions, loss, "loss", |loss| Self::check_loss(*loss))?;
        Ok(Self { loss: Some(loss), ..self })
    }

    /// Whether these can be the names of a table's regions.
    ///
    /// # Errors
    /// If there are none or more than [`REGIONS_MAX`](Self::REGIONS_MAX), if two are the same, or if one is empty, longer
    /// than [`NAME_MAX`](Self::NAME_MAX), has control characters or blanks at its ends, or means something else where
    /// scenarios name regions.
    pub fn check_regions(regions: &[String]) -> Result<(), String> {
        if regions.is_empty() || regions.len() > Self::REGIONS_MAX {
            return Err(format!("a table has 1 to {} regions, got {}", Self::REGIONS_MAX, regions.len()));
        }
        for name in regions {
            Self::check_name(name)?;
        }
        let mut sorted: Vec<&String> = regions.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two regions are called `{}`: give each a name of its own", pair[0])),
            None => Ok(()),
        }
    }

    pub(crate) fn check_name(name: &str) -> Result<(), String> {
        let length = name.chars().count();
        if length == 0 || length > Self::NAME_MAX || name.chars().any(char::is_control) {
            return Err(format!(
                "the name of a region is 1 to {} characters, none of them a control character; got `{}`",
                Self::NAME_MAX,
                name.escape_debug()
            ));
        }
        if name.trim() != name {
            return Err(format!("the name of a region has no blanks at its ends; got `{name}`"));
        }
        if matches!(name, "even" | "table") {
            return Err(format!(
                "a region cannot be called `{name}`, which `regions` of a group takes for something else"
            ));
        }
        Ok(())
    }

    pub(crate) fn check_latency(latency: Duration) -> Result<(), String> {
        if latency.is_zero() {
            return Err("a latency must be above 0".into());
        }
        if latency > LATENCY_MAX {
            return Err(format!("a latency of {latency} is above the {LATENCY_MAX} that a link can have"));
        }
        Ok(())
    }

    pub(crate) fn check_loss(loss: f64) -> Result<(), String> {
        if (0.0..=1.0).contains(&loss) {
            return Ok(());
        }
        Err(format!("a loss is a probability from 0 to 1, got {loss}"))
    }

    pub(crate) fn check_bandwidth(bits: u64) -> Result<(), String> {
        if (1..=Self::BANDWIDTH_MAX).contains(&bits) {
            return Ok(());
        }
        Err(format!("a bandwidth is 1 to {} bits per second, got {bits}", Self::BANDWIDTH_MAX))
    }

    /// One of [`NAMED`](Self::NAMED), or `table` for a table that was made with [`new`](Self::new).
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this is one of [`NAMED`](Self::NAMED).
    pub fn is_named(&self) -> bool {
        self.name != NAMELESS
    }

    /// The names of the regions; everything else names a region by its index here.
    pub fn regions(&self) -> &[String] {
        &self.regions
    }

    /// One-way base latency between two regions.
    ///
    /// # Panics
    /// If there is no such region.
    pub fn one_way(&self, a: usize, b: usize) -> Duration {
        self.one_way[self.place(a, b)]
    }

    /// The smallest latency.
    pub fn shortest(&self) -> Duration {
        self.one_way.iter().copied().min().unwrap_or_default()
    }

    /// The largest latency.
    pub fn longest(&self) -> Duration {
        self.one_way.iter().copied().max().unwrap_or_default()
    }

    /// The share of the peers that is in each region, if the table says so.
    pub fn shares(&self) -> Option<&[f64]> {
        self.shares.as_deref()
    }

    /// What a peer of each region can send and receive, (up, down) in bits per second, if the table says so.
    pub fn bandwidth(&self) -> Option<&[(u64, u64)]> {
        self.bandwidth.as_deref()
    }

    /// The probability that a packet between two regions is lost, if the table says so.
    ///
    /// # Panics
    /// If there is no such region.
    pub fn loss(&self, a: usize, b: usize) -> Option<f64> {
        let place = self.place(a, b);
        self.loss.as_ref().map(|loss| loss[place])
    }

    fn place(&self, a: usize, b: usize) -> usize {
        assert!(a.max(b) < self.regions.len(), "region {} of {}", a.max(b), self.regions.len());
        a * self.regions.len() + b
    }
}

fn one_each(regions: &[String], count: usize, what: &str) -> Result<(), String> {
    if count == regions.len() {
        return Ok(());
    }
    Err(format!("one {what} per region: there are {} regions, got {count}", regions.len()))
}

/// A symmetric matrix over the regions, row by row.
fn square<T: Clone + PartialEq + std::fmt::Debug>(
    regions: &[String],
    rows: &[Vec<T>],
    what: &str,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Vec<T>, String> {
    let n = regions.len();
    if rows.len() != n {
        return Err(format!("one row per region: there are {n} regions, got {} rows", rows.len()));
    }
    for (a, row) in rows.iter().enumerate() {
        if row.len() != n {
            return Err(format!("the row of `{}` needs {n} numbers, got {}", regions[a], row.len()));
        }
        for (b, value) in row.iter().enumerate() {
            check(value).map_err(|why| format!("`{}` to `{}`: {why}", regions[a], regions[b]))?;
            if b < a && rows[b][a] != *value {
                return Err(format!(
                    "`{}` to `{}` is {:?}, but the way back {value:?}: a {what} is the same both ways",
                    regions[b], regions[a], rows[b][a]
                ));
            }
        }
    }
    Ok(rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aws_table_reads_the_same_both_ways() {
        let aws = RegionTable::named("aws-2019").expect("a table");
        let ms = |a, b| aws.one_way(a, b).as_micros() / 500;
        assert_eq!(aws.regions(), AWS_NAMES);
        assert_eq!(ms(0, 1), 81);
        assert_eq!(ms(5, 8), 282);
        assert_eq!(ms(8, 10), 13);
        assert_eq!(ms(9, 10), 12);
        for (a, row) in AWS_ROUND_TRIPS_MS.iter().enumerate() {
            assert_eq!((row.len(), ms(a, a)), (10 - a, 2));
            assert!((0..11).all(|b| ms(a, b) == ms(b, a)));
        }
    }

    #[test]
    fn the_simblock_table_is_symmetric_and_its_shares_add_up() {
        let simblock = RegionTable::named("simblock-2019").expect("a table");
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
            assert_eq!(simblock.one_way(a, b), simblock.one_way(b, a));
            assert_eq!(simblock.one_way(a, b).as_millis(), SIMBLOCK_ONE_WAY_MS[a][b]);
        }
        let sum: f64 = simblock.shares().expect("shares").iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_named_table_would_pass_the_checks_of_others() {
        for name in RegionTable::NAMED {
            let table = RegionTable::named(name).expect(name);
            let n = table.regions().len();
            let rows: Vec<Vec<Duration>> =
                (0..n).map(|a| (0..n).map(|b| table.one_way(a, b)).collect()).collect();
            let same = RegionTable::new(table.regions().to_vec(), &rows).expect(name);
            assert_eq!((same.longest(), same.shortest()), (table.longest(), table.shortest()));
            assert_eq!((table.name(), same.name(), table.is_named()), (name, "table", true));
            if let Some(shares) = table.shares() {
                assert!(same.with_shares(shares.to_vec()).is_ok());
            }
        }
        assert_eq!(RegionTable::named("aws"), None);
    }

    fn table(names: &[&str], micros: &[&[u64]]) -> Result<RegionTable, String> {
        let row = |row: &&[u64]| row.iter().map(|us| Duration::from_micros(*us)).collect();
        let rows: Vec<Vec<Duration>> = micros.iter().map(row).collect();
        RegionTable::new(names.iter().map(|name| (*name).to_owned()).collect(), &rows)
    }

    #[test]
    fn a_table_holds_what_it_was_made_of() {
        let made = table(&["a", "b c"], &[&[5, 7], &[7, 9]]).expect("valid");
        let made = made.with_shares(vec![0.25, 0.75]).expect("shares");
        let made = made.with_bandwidth(vec![(1, 2), (3, 4)]).expect("bandwidth");
        assert_eq!(made.loss(0, 1), None);
        let made = made.with_loss(&[vec![0.0, 0.5], vec![0.5, 1.0]]).expect("loss");
        assert_eq!(
            (made.one_way(0, 1), made.one_way(1, 1)),
            (Duration::from_micros(7), Duration::from_micros(9))
        );
        assert_eq!((made.loss(1, 0), made.loss(1, 1)), (Some(0.5), Some(1.0)));
        assert_eq!(made.bandwidth(), Some(&[(1, 2), (3, 4)][..]));
    }

    #[test]
    fn what_is_wrong_with_a_table_is_named() {
        let wrong = |names: &[&str], micros: &[&[u64]], words: &str| {
            let message = table(names, micros).expect_err(words);
            assert!(message.contains(words), "{message}");
        };
        wrong(&[], &[], "1 to 255 regions, got 0");
        wrong(&["r"; 256], &[], "1 to 255 regions, got 256");
        wrong(&["a", "a"], &[], "two regions are called `a`");
        wrong(&["a\n"], &[], "control character; got `a\\n`");
        wrong(&[" a"], &[], "no blanks");
        wrong(&["even"], &[], "cannot be called `even`");
        wrong(&["a", "b"], &[&[1, 1]], "got 1 rows");
        wrong(&["a", "b"], &[&[1, 1], &[1]], "the row of `b` needs 2 numbers, got 1");
        wrong(&["a", "b"], &[&[1, 2], &[3, 1]], "`a` to `b` is 2us, but the way back 3us");
        wrong(&["a"], &[&[0]], "`a` to `a`: a latency must be above 0");
        wrong(&["a"], &[&[5_000_000]], "above the 4294967295ns that a link can have");
        let one = || table(&["a"], &[&[1]]).expect("valid");
        assert!(one().with_shares(vec![0.5]).expect_err("sum").contains("add up to 1, got 0.5"));
        assert!(one().with_shares(vec![f64::NAN]).expect_err("NaN").contains("from 0 to 1"));
        assert!(one().with_bandwidth(vec![]).expect_err("none").contains("one bandwidth per region"));
        assert!(one().with_bandwidth(vec![(1, 0)]).expect_err("zero").contains("got 0"));
        assert!(one().with_loss(&[vec![1.5]]).expect_err("range").contains("from 0 to 1, got 1.5"));
    }
}
