//! Latency between regions, as others measured it.
//!
//! * AWS, 11 regions: round-trip times in ms of January 2019 from cloudping.co, as collected in ConsenSys' Wittgenstein
//!   simulator. Half of each is the one-way latency. The table has no entry for two peers of one region: our choice is a
//!   round trip of 2 ms.
//! * SimBlock, 6 regions: one-way latencies in ms and the shares of Bitcoin nodes of 2019 from SimBlock
//!   (dsg-titech/simblock, Copyright 2019 Distributed Systems Group, Tokyo Institute of Technology, Apache-2.0).

use hyperspace_protocol::time::Duration;

use crate::scenario::Latency;

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

/// The regions of a latency model, by index; none for models without regions.
pub fn region_names(latency: &Latency) -> &'static [&'static str] {
    match latency {
        Latency::Aws2019 => &AWS_NAMES,
        Latency::Simblock2019 => &SIMBLOCK_NAMES,
        Latency::Constant(_) | Latency::Uniform(..) | Latency::Topology => &[],
    }
}

/// The shares of peers that come with a latency table, if it has them.
pub fn region_shares(latency: &Latency) -> Option<&'static [f64]> {
    match latency {
        Latency::Simblock2019 => Some(&SIMBLOCK_SHARES),
        Latency::Aws2019 | Latency::Constant(_) | Latency::Uniform(..) | Latency::Topology => None,
    }
}

/// One-way base latency between two regions, by index; `None` for models without regions.
pub fn one_way(latency: &Latency, a: usize, b: usize) -> Option<Duration> {
    match latency {
        Latency::Aws2019 if a == b => Some(Duration::from_micros(AWS_SAME_REGION_MS * 500)),
        Latency::Aws2019 => {
            let (low, high) = (a.min(b), a.max(b));
            Some(Duration::from_micros(AWS_ROUND_TRIPS_MS[low][high - low - 1] * 500))
        }
        Latency::Simblock2019 => Some(Duration::from_millis(SIMBLOCK_ONE_WAY_MS[a][b])),
        Latency::Constant(_) | Latency::Uniform(..) | Latency::Topology => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aws_table_reads_the_same_both_ways() {
        let ms = |a, b| one_way(&Latency::Aws2019, a, b).expect("a table").as_micros() / 500;
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
        let ms = |a, b| one_way(&Latency::Simblock2019, a, b).expect("a table");
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
            assert_eq!(ms(a, b), ms(b, a));
        }
        let sum: f64 = SIMBLOCK_SHARES.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}
