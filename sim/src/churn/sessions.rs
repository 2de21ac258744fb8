//! One peer's sessions, drawn from its settings.

use hyperspace_protocol::rng::Stream;
use hyperspace_protocol::time::{Duration, Instant};

use super::lifetime::{LONGEST, span};
use super::{Begin, Churn, Session};

/// Most sessions of one peer; the last of so many goes on to the end. Our bound: one per 26 s of the longest run.
pub const SESSIONS_MAX: usize = 100_000;

/// Draws one peer's sessions from `start` to before `end`, in order. Sessions and the times between them are at least
/// `floor` long (the engine's lookahead); one that would end at `end` or later has no end.
///
/// The draws of a session are a crash (one), the time away after it (two) and the next session's length (two), so the
/// share of crashes changes no time.
pub fn sessions(
    churn: &Churn,
    stream: &mut Stream,
    start: Instant,
    end: Instant,
    floor: Duration,
) -> Vec<Session> {
    let (mut at, mut length) = match churn.begin {
        Begin::Up => (start, churn.session.sample(stream)),
        Begin::Steady => match steady(churn, stream) {
            (true, left) => (start, left),
            (false, left) => (start + left.max(floor), churn.session.sample(stream)),
        },
    };
    let mut all = Vec::new();
    while at < end {
        let crash = stream.chance(churn.crash);
        let down = at + length.max(floor);
        if down >= end || all.len() + 1 == SESSIONS_MAX {
            all.push(Session::endless(at));
            break;
        }
        all.push(Session { up: at, down, crash });
        at = down + churn.offline.sample(stream).max(floor);
        length = churn.session.sample(stream);
    }
    all
}

/// Whether a peer that has come and gone for ever is up, and how long that lasts.
///
/// The equilibrium is drawn exactly: up with the share of time that it is up, then what is left of the time that the
/// moment falls into. A burn-in would cost a million peers tens of steps each and still be wrong for heavy tails, whose
/// longest sessions began long before it. What exceeds the bound of a sample is drawn again, state and time, which is
/// exact for the bounded spans: it leaves densities in proportion to P(span > x) below the bound. At the worst
/// parameters that pass the checks one trial in a hundred is good; a thousand in vain count as the bound. Neglected is
/// only that short spans are lengthened to 1 ms or the floor, which adds less than that to a mean.
fn steady(churn: &Churn, stream: &mut Stream) -> (bool, Duration) {
    let availability = churn.availability();
    let mut up = false;
    for _ in 0..1_000 {
        up = stream.chance(availability);
        let left = if up { churn.session } else { churn.offline }.residual(stream);
        if left < LONGEST.as_secs_f64() {
            return (up, span(left));
        }
    }
    (up, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::{Lifetime, Sessions};
    use proptest::prelude::*;

    const FLOOR: Duration = Duration::from_millis(1);

    fn churn(session: &str, offline: &str, begin: Begin) -> Churn {
        let parse = |text| Lifetime::parse(text).expect(text);
        Churn { session: parse(session), offline: parse(offline), crash: 0.3, keeps_state: false, begin }
    }

    fn hours(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n * 3600)
    }

    fn table(churn: &Churn, peers: u32, end: Instant) -> Sessions {
        let mut table = Sessions::new(0);
        for peer in 0..peers {
            table.push(&sessions(churn, &mut Stream::new(11, peer.into()), Instant::ZERO, end, FLOOR));
        }
        table
    }

    #[test]
    fn the_steady_state_is_steady_from_the_first_moment() {
        for (session, offline) in [("red-hat", "1h"), ("weibull:0.7:10m", "5m"), ("lognormal:10m:1.5", "30m")]
        {
            for offline in [format!("exponential:{offline}"), format!("constant:{offline}"), "debian".into()]
            {
                let steady = churn(session, &offline, Begin::Steady);
                let table = table(&steady, 20_000, hours(24));
                for at in [0, 1, 6, 23] {
                    let up = table.online(hours(at)) as f64 / 20_000.0;
                    // Three sigma of a share are at most 0.011.
                    assert!((up - steady.availability()).abs() < 0.011, "{session} {offline} {at} {up}");
                }
                let count: usize = (0..20_000).map(|peer| table.of(peer).len()).sum();
                let wanted = steady.expected_sessions(hours(24).since(Instant::ZERO));
                assert!((count as f64 / 20_000.0 / wanted - 1.0).abs() < 0.02, "{session} {offline} {count}");
            }
        }
    }

    /// A mean of 8.5 years that comes from spans beyond 10 years: what counts is the mean of bounded spans.
    #[test]
    fn the_bound_of_a_sample_holds_in_the_steady_state_too() {
        let wide = churn("lognormal:1000s:5", "constant:8000h", Begin::Steady);
        let mut stream = Stream::new(3, 3);
        let sum: f64 = (0..400_000).map(|_| wide.session.sample(&mut stream).as_secs_f64()).sum();
        let bounded = sum / 4e5 / (sum / 4e5 + wide.offline.mean());
        let up = (0..100_000).filter(|_| steady(&wide, &mut stream).0).count() as f64 / 1e5;
        assert!(wide.availability() > 0.9 && (up / bounded - 1.0).abs() < 0.05, "{up} {bounded}");
    }

    #[test]
    fn peers_that_begin_up_wear_off_and_crash_in_their_share() {
        let up = churn("red-hat", "exponential:1h", Begin::Up);
        let table = table(&up, 5_000, hours(24));
        assert_eq!(table.online(Instant::ZERO), 5_000);
        // Half are gone after the median of 7.25 min, a few of them are back already.
        assert!((2_450..2_800).contains(&table.online(Instant::from_nanos(435_000_000_000))));
        let ended = |s: &&Session| s.down < Instant::FAR_FUTURE;
        let all: Vec<Session> = (0..5_000).flat_map(|p| table.of(p).iter().filter(ended)).copied().collect();
        let crashes = all.iter().filter(|s| s.crash).count() as f64 / all.len() as f64;
        assert!((crashes - 0.3).abs() < 0.01, "{crashes}");
    }

    #[test]
    fn a_peer_has_a_bounded_number_of_sessions() {
        let churn = churn("constant:1ms", "constant:1ms", Begin::Up);
        let all =
            sessions(&churn, &mut Stream::new(1, 1), Instant::ZERO, Instant::FAR_FUTURE, Duration::ZERO);
        assert_eq!(all.len(), SESSIONS_MAX);
        assert_eq!(all.last().map(|s| s.down), Some(Instant::FAR_FUTURE));
        assert_eq!(sessions(&churn, &mut Stream::new(1, 1), hours(1), hours(1), FLOOR), []);
    }

    /// Values that `check` refuses, as a caller may build them, end all the same.
    #[test]
    fn nonsense_neither_panics_nor_hangs() {
        let wrong = Lifetime::Weibull { shape: f64::NAN, scale: Duration::MAX };
        let wide = Lifetime::LogNormal { median: Duration::MAX, sigma: 1e300 };
        for (session, offline) in [(wrong, wide), (wide, wrong), (wrong, wrong)] {
            let churn = Churn { session, offline, crash: f64::NAN, keeps_state: true, begin: Begin::Steady };
            assert!(churn.check().is_err());
            sessions(&churn, &mut Stream::new(1, 1), Instant::ZERO, hours(1), FLOOR);
        }
    }

    proptest! {
        #[test]
        fn sessions_are_ordered_apart_and_no_shorter_than_the_floor(
            shape in 0.1f64..3.0, up in 1u64..600_000, off in 1u64..600_000, sigma in 0.0f64..3.0,
            floor in 0u64..2_000, owner in any::<u64>(), is_steady in any::<bool>(),
        ) {
            let churn = Churn {
                session: Lifetime::Weibull { shape, scale: Duration::from_millis(up) },
                offline: Lifetime::LogNormal { median: Duration::from_millis(off), sigma },
                crash: 0.5,
                keeps_state: false,
                begin: if is_steady { Begin::Steady } else { Begin::Up },
            };
            let (floor, start, end) = (Duration::from_millis(floor), hours(1), hours(3));
            let all = sessions(&churn, &mut Stream::new(5, owner), start, end, floor);
            let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(()) };
            prop_assert!(first.up == start || is_steady && first.up >= start + floor);
            prop_assert!(last.up < end && (last.down < end || *last == Session::endless(last.up)));
            prop_assert!(all.iter().all(|s| s.down.since(s.up) >= floor.max(Duration::from_millis(1))));
            prop_assert!(all.windows(2).all(|s| s[1].up.since(s[0].down) >= floor.max(Duration::from_millis(1))));
        }
    }
}
