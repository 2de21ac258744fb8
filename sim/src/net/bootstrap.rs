//! `bootstrap-6`: the six sites that the Hyperspace announcement names for its bootstrap nodes, by their airports.
//! **Modelled, not measured**: nobody published latencies between all six.
//!
//! The model is the line that ConsenSys' Wittgenstein simulator takes for round trips: 4.862 ms, and 0.022 ms more per
//! mile of great circle. Half of it is the one-way latency, rounded to a microsecond. Two peers of one site are zero miles
//! apart and get the intercept alone (our choice). Positions are those of OurAirports to four decimals, about 10 m; the
//! earth is a ball of its mean radius, 6,371.0088 km.

/// The sites in the order of the announcement: Washington, Amsterdam, Singapore, Los Angeles, São Paulo, Sydney.
pub(super) const NAMES: [&str; 6] = ["iad", "ams", "sin", "lax", "gru", "syd"];

/// One-way latency between two peers of one site.
pub(super) const SAME_SITE_US: u64 = 2_431;

/// One-way latency between site i and the sites after it; the test recomputes it.
pub(super) const ONE_WAY_US: [&[u64]; 6] = [
    &[44_857, 108_594, 27_543, 54_713, 109_612],
    &[74_295, 63_646, 69_244, 116_294],
    &[98_816, 111_759, 45_447],
    &[70_225, 84_870],
    &[93_796],
    &[],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Latitude north and longitude east in degrees.
    const POSITIONS: [(f64, f64); 6] = [
        (38.9445, -77.4558),
        (52.3086, 4.7639),
        (1.3502, 103.9940),
        (33.9425, -118.4080),
        (-23.4356, -46.4731),
        (-33.9461, 151.1770),
    ];

    /// Great-circle distance by the haversine formula.
    fn miles(a: (f64, f64), b: (f64, f64)) -> f64 {
        const RADIUS_MILES: f64 = 6_371.008_8 / 1.609_344;
        let half_sine = |x: f64, y: f64| {
            let sine = libm::sin((y - x).to_radians() / 2.0);
            sine * sine
        };
        let along = libm::cos(a.0.to_radians()) * libm::cos(b.0.to_radians());
        2.0 * RADIUS_MILES * libm::asin((half_sine(a.0, b.0) + along * half_sine(a.1, b.1)).sqrt())
    }

    #[test]
    fn the_table_is_the_model_applied_to_the_positions() {
        for (a, row) in ONE_WAY_US.iter().enumerate() {
            let modelled = |b: usize| {
                let round_trip_ms = 0.022 * miles(POSITIONS[a], POSITIONS[b]) + 4.862;
                (round_trip_ms / 2.0 * 1000.0).round() as u64
            };
            assert_eq!(row.to_vec(), (a + 1..6).map(modelled).collect::<Vec<_>>(), "{}", NAMES[a]);
            assert_eq!(modelled(a), SAME_SITE_US);
        }
        // Washington to Amsterdam is 3,857 miles.
        assert!((miles(POSITIONS[0], POSITIONS[1]) - 3_857.0).abs() < 1.0);
    }
}
