//! Sessions from a trace, one line each: `peer,up_s,down_s` or `peer,up_s,down_s,crash`.
//!
//! Peers are numbered from 0, times are seconds since the trace's start with up to 9 decimals, `crash` is `true`,
//! `false`, `1` or `0` (left out: `false`). `#` starts a comment, a first line that begins with `peer` is a header, and
//! lines may come in any order.

use hyperspace_protocol::time::{Duration, Instant};

use super::Session;
use crate::scenario::Scenario;
use crate::scenario::units::duration;

/// Most sessions of one trace (our bound).
const TRACE_MAX: usize = 5_000_000;

/// A checked trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In the order of peers and time.
    sessions: Vec<Session>,
    /// Whose each session is.
    owners: Vec<u32>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// The line, counted from 1, and what is wrong there: not a session, down before up, a session of the same peer
    /// that begins before the one before it has ended or just then, or more than 5,000,000 sessions.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut rows = Vec::new();
        let mut header = true;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() || core::mem::take(&mut header) && content.starts_with("peer") {
                continue;
            }
            let (peer, session) = row(content).map_err(|wrong| (line, wrong))?;
            if rows.len() == TRACE_MAX {
                return Err((line, format!("a trace has at most {TRACE_MAX} sessions")));
            }
            rows.push((peer, session, line));
        }
        rows.sort_unstable();
        for pair in rows.windows(2) {
            let ((peer, before, line_before), (same, after, line)) = (pair[0], pair[1]);
            if peer == same && after.up <= before.down {
                let wrong = format!(
                    "peer {peer} comes up at {} while it is up until {} (line {line_before})",
                    after.up, before.down
                );
                return Err((line, wrong));
            }
        }
        Ok(Self {
            sessions: rows.iter().map(|(_, session, _)| *session).collect(),
            owners: rows.iter().map(|(peer, ..)| *peer).collect(),
        })
    }

    /// A peer's sessions in order; none for a peer without lines, which never comes up.
    pub fn sessions(&self, peer: u32) -> &[Session] {
        let from = self.owners.partition_point(|owner| *owner < peer);
        let to = self.owners.partition_point(|owner| *owner <= peer);
        &self.sessions[from..to]
    }

    /// One more than the highest number of a peer; 0 for a trace without sessions.
    pub fn peers(&self) -> u32 {
        self.owners.last().map_or(0, |peer| peer + 1)
    }

    /// The shortest session or time between two of one peer, which must not be below the engine's lookahead;
    /// [`Duration::MAX`] for a trace without sessions.
    pub fn shortest(&self) -> Duration {
        let lengths = self.sessions.iter().map(|session| session.down.since(session.up));
        let apart = self.owners.windows(2).zip(self.sessions.windows(2));
        let gaps = apart.filter(|(owners, _)| owners[0] == owners[1]).map(|(_, s)| s[1].up.since(s[0].down));
        lengths.chain(gaps).min().unwrap_or(Duration::MAX)
    }
}

fn row(content: &str) -> Result<(u32, Session), String> {
    let mut fields = content.split(',').map(str::trim);
    let (Some(peer), Some(up), Some(down), crash, None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(format!(
            "`{}` is not a session: write peer,up_s,down_s or peer,up_s,down_s,crash, like 0,12.5,60,true",
            shown(content)
        ));
    };
    let number = peer.parse().ok().filter(|number| u64::from(*number) < Scenario::PEERS_MAX);
    let peer: u32 = number.ok_or_else(|| {
        format!("`{}` is not a peer: write a number from 0 to {}", shown(peer), Scenario::PEERS_MAX - 1)
    })?;
    let crash = match crash {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(other) => return Err(format!("crash is true, false, 1 or 0; got `{}`", shown(other))),
    };
    let session = Session { up: time(up)?, down: time(down)?, crash };
    if session.down <= session.up {
        return Err(format!("a session ends after it begins; this one lasts from {up} to {down}"));
    }
    Ok((peer, session))
}

fn time(text: &str) -> Result<Instant, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let span = plain.then(|| duration(&format!("{text}s")).ok()).flatten();
    span.map(|span| Instant::ZERO + span).ok_or_else(|| {
        format!("`{}` is not a time: write seconds like 12.5, with at most 9 decimals", shown(text))
    })
}

/// The beginning of a text, for messages.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_come_in_any_order_with_header_and_comments() {
        let text = "# measured\npeer,up_s,down_s,crash\n2, 30, 40.5, true\r\n0,0,1,1\n\n2,10,29.9 # first\n";
        let trace = Trace::parse(text).expect("a trace");
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let first = Session { up: at(10_000), down: at(29_900), crash: false };
        let second = Session { up: at(30_000), down: at(40_500), crash: true };
        assert_eq!(trace.sessions(2), [first, second]);
        assert_eq!(
            (trace.sessions(0).len(), trace.sessions(1), trace.sessions(u32::MAX)),
            (1, &[][..], &[][..])
        );
        assert_eq!((trace.peers(), trace.shortest()), (3, Duration::from_millis(100)));
        assert_eq!(
            Trace::parse("# nothing").map(|trace| (trace.peers(), trace.shortest())),
            Ok((0, Duration::MAX))
        );
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line, message) in [
            ("0,1", 1, "`0,1` is not a session: write peer,up_s,down_s or"),
            ("\n0,1,2,true,3", 2, "is not a session"),
            ("0,1,2\npeer,up_s,down_s", 2, "`peer` is not a peer"),
            ("-1,1,2", 1, "write a number from 0 to 16777215"),
            ("16777216,1,2", 1, "is not a peer"),
            ("0,,2", 1, "`` is not a time"),
            ("0,1m,2", 1, "`1m` is not a time: write seconds like 12.5"),
            ("0,1,1e9", 1, "`1e9` is not a time"),
            ("0,1,0.0000000001", 1, "at most 9 decimals"),
            ("0,1,99999999999999999", 1, "is not a time"),
            ("0,1,2,maybe", 1, "crash is true, false, 1 or 0; got `maybe`"),
            ("0,2,2", 1, "a session ends after it begins; this one lasts from 2 to 2"),
            (
                "1,5,9\n0,0,9\n1,1,6",
                1,
                "peer 1 comes up at 5.000000000s while it is up until 6.000000000s (line 3)",
            ),
            ("0,0,9\n0,9,10", 2, "while it is up until 9"),
        ] {
            let (at, wrong) = Trace::parse(text).expect_err(text);
            assert!(at == line && wrong.contains(message), "{text:?}: {at} {wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_in_order(
            text in prop_oneof!["([0-3],[0-9]{1,2},[0-9]{1,3}(\\.5)?(,[01])?\n){0,8}", "[0-9,.#\n a-zµ-]{0,80}", ".*"]
        ) {
            let Ok(trace) = Trace::parse(&text) else { return Ok(()) };
            for peer in 0..trace.peers().min(10) {
                let sessions = trace.sessions(peer);
                prop_assert!(sessions.iter().all(|s| s.up < s.down));
                prop_assert!(sessions.windows(2).all(|s| s[0].down < s[1].up));
            }
        }
    }
}
