//! Runs a case against a target.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::target::{ConnectionId, Incoming, Target};

use super::{CaseRun, Input, Output};

/// Runs a case to its end; not beyond `limit`, as the target's clock counts. All connections are closed after it. Gives by how
/// much the case has moved that clock: such time is no time spent.
pub fn drive(run: &mut CaseRun<'_>, target: &mut dyn Target, limit: Duration) -> Duration {
    let mut moved = Duration::ZERO;
    let mut open: BTreeMap<String, ConnectionId> = BTreeMap::new();
    loop {
        let now = target.now();
        let limit = limit.saturating_add(moved);
        if now >= limit {
            run.abort("the time for the whole run is over");
        }
        let before = |deadline: Duration| deadline.min(limit);
        let input = match run.next(now) {
            Output::Done => break,
            Output::Connect { connection, key, deadline } => {
                if let Some(id) = open.remove(&connection) {
                    target.close(id);
                }
                let result = target.connect(&key, before(deadline));
                if let Ok(id) = result {
                    open.insert(connection, id);
                }
                Input::Connected(result.map(|_| ()))
            }
            Output::Send { connection, what, deadline } => match open.get(&connection) {
                Some(id) => Input::Sent(target.send(*id, &what, before(deadline))),
                None => Input::Sent(Ok(())),
            },
            Output::Close { connection } => {
                if let Some(id) = open.remove(&connection) {
                    target.close(id);
                }
                continue;
            }
            Output::Receive { deadline } => received(target, &mut open, before(deadline)),
            Output::Control { order, deadline } => Input::Answered(target.control(&order, before(deadline))),
            Output::Advance { by } => {
                target.advance(by);
                moved = moved.saturating_add(by);
                continue;
            }
            Output::Restart { deadline } => {
                open.clear();
                Input::Restarted(target.restart(before(deadline)))
            }
        };
        let now = target.now();
        run.input(now, input);
    }
    for id in open.into_values() {
        target.close(id);
    }
    moved
}

fn received(target: &mut dyn Target, open: &mut BTreeMap<String, ConnectionId>, deadline: Duration) -> Input {
    let Some((id, what)) = target.receive(deadline) else { return Input::Elapsed };
    // What comes from connections of earlier cases is nobody's.
    let Some(connection) = open.iter().find(|(_, open)| **open == id).map(|(name, _)| name.clone()) else {
        return Input::Elapsed;
    };
    if matches!(what, Incoming::Closed(_)) {
        open.remove(&connection);
    }
    Input::Received { connection, what }
}
