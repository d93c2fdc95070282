//! Starting later than planned while a database is busy, and sooner while much is written.

use crate::policy::{Adaptive, LoadLimit};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// How busy things are; what is not known does not hold a start back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Active sessions in the app's databases, other than pgkeep's.
    pub active_sessions: Option<u32>,
    /// One-minute load average in hundredths.
    pub load_percent: Option<u32>,
}

/// Whether a run that is due starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    Now,
    /// Busy, but it has waited for long enough.
    Deadline {
        busy: String,
    },
    Wait {
        busy: String,
        /// It starts at the latest then.
        until: Timestamp,
    },
}

/// Decides whether a run that was to start at `start` waits for a quieter moment.
pub fn start(limit: &LoadLimit, load: Load, start: Timestamp, now: Timestamp) -> Start {
    let mut busy = Vec::new();
    if let (Some(most), Some(active)) = (limit.active_sessions, load.active_sessions)
        && active > most
    {
        busy.push(format!("{active} sessions are active, more than {most}"));
    }
    if let (Some(most), Some(percent)) = (limit.load_percent, load.load_percent)
        && percent > most
    {
        let shown = |percent: u32| format!("{}.{:02}", percent / 100, percent % 100);
        busy.push(format!(
            "the load average is {}, above {}",
            shown(percent),
            shown(most)
        ));
    }
    if busy.is_empty() {
        return Start::Now;
    }
    let busy = busy.join("; ");
    let until = start
        .checked_add(SignedDuration::from_secs(limit.deadline_secs.into()))
        .unwrap_or(Timestamp::MAX);
    match now < until {
        true => Start::Wait { busy, until },
        false => Start::Deadline { busy },
    }
}

/// Why a run is due besides the schedule's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Early {
    /// Enough was written since the last run.
    Written,
    /// The longest time between two runs is over.
    Interval,
}

/// Decides whether much was written since the run at `last`, or whether it is too long ago.
///
/// `written` is the growth of the server's WAL since then; where it is unknown, only the longest interval counts. A
/// `last` in the future, after a clock was set back, is as good as one at this moment.
pub fn early(
    adaptive: &Adaptive,
    last: Timestamp,
    written: Option<u64>,
    now: Timestamp,
) -> Option<Early> {
    let passed = now.duration_since(last.min(now)).as_secs();
    if passed >= i64::from(adaptive.at_least_every_secs) {
        return Some(Early::Interval);
    }
    let soonest = passed >= i64::from(adaptive.at_most_every_secs);
    let enough = written.is_some_and(|bytes| bytes >= adaptive.bytes_changed);
    (soonest && enough).then_some(Early::Written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).expect("in range")
    }

    #[test]
    fn a_busy_server_delays_a_start_until_the_deadline() {
        let limit = LoadLimit {
            active_sessions: Some(10),
            load_percent: Some(200),
            deadline_secs: 600,
        };
        let check = |active, load, now, expected: &str| {
            let load = Load {
                active_sessions: active,
                load_percent: load,
            };
            let word = match start(&limit, load, at(0), at(now)) {
                Start::Now => "now".to_owned(),
                Start::Deadline { busy } => format!("deadline, {busy}"),
                Start::Wait { busy, until } => {
                    assert_eq!(until, at(600));
                    format!("wait, {busy}")
                }
            };
            assert_eq!(word, expected);
        };
        check(None, None, 0, "now");
        check(Some(10), Some(200), 0, "now");
        check(Some(0), Some(0), 0, "now");
        check(
            Some(11),
            Some(200),
            0,
            "wait, 11 sessions are active, more than 10",
        );
        check(
            None,
            Some(205),
            599,
            "wait, the load average is 2.05, above 2.00",
        );
        check(
            Some(11),
            Some(1234),
            599,
            "wait, 11 sessions are active, more than 10; the load average is 12.34, above 2.00",
        );
        check(
            Some(11),
            None,
            600,
            "deadline, 11 sessions are active, more than 10",
        );
        check(Some(10), None, 601, "now");
    }

    #[test]
    fn a_limit_that_is_not_set_is_not_looked_at() {
        let limit = LoadLimit {
            active_sessions: None,
            load_percent: Some(100),
            deadline_secs: 60,
        };
        let load = Load {
            active_sessions: Some(5_000),
            load_percent: Some(100),
        };
        assert_eq!(start(&limit, load, at(0), at(1)), Start::Now);
    }

    #[test]
    fn runs_come_sooner_while_much_is_written_within_both_bounds() {
        let adaptive = Adaptive {
            at_least_every_secs: 3600,
            at_most_every_secs: 300,
            bytes_changed: 1000,
        };
        let check = |now, written, expected| {
            assert_eq!(
                early(&adaptive, at(0), written, at(now)),
                expected,
                "{now} {written:?}"
            );
        };
        for (now, written, expected) in [
            (0, Some(5000), None),
            (299, Some(5000), None),
            (300, Some(5000), Some(Early::Written)),
            (300, Some(1000), Some(Early::Written)),
            (300, Some(999), None),
            (300, Some(0), None),
            (300, None, None),
            (3599, Some(999), None),
            (3599, Some(1000), Some(Early::Written)),
            (3600, Some(0), Some(Early::Interval)),
            (3600, None, Some(Early::Interval)),
            (3600, Some(9999), Some(Early::Interval)),
            (-500, Some(9999), None),
            (-500_000, None, None),
        ] {
            check(now, written, expected);
        }
    }
}
