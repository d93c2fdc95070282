//! Which run is to be made now.

use super::{ResolvedSchedule, Run};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// A run that starts this much late was not missed: the scheduler only had its hands full, or restarted.
const LATE: SignedDuration = SignedDuration::from_mins(5);

/// Counting of missed runs ends here.
const MOST_MISSED: usize = 10_000;

/// What is known of a policy's past.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// Since when the schedule is as it is; what it names before was never meant.
    pub since: Timestamp,
    /// Scheduled times of the runs that were made. More than the last one is needed where a clock was set back.
    pub made: &'a BTreeSet<Timestamp>,
}

/// What a schedule asks for at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    Nothing {
        /// The run that comes next; none of a schedule that runs on demand only.
        next: Option<Run>,
    },
    Now {
        run: Run,
        /// Earlier runs that were not made, for which this one stands.
        missed: u32,
    },
}

impl ResolvedSchedule {
    /// Decides which run is to be made at `now`.
    ///
    /// Of several that are due only the newest is made. One whose time has passed is made where the schedule catches
    /// up. Runs that were made are never made again, even when the clock was set back; and a clock that had been ahead
    /// stops nothing, because only what lies before `now` counts as the past.
    pub fn due(&self, history: &History<'_>, now: Timestamp) -> Due {
        let last_made = history.made.range(..=now).next_back();
        let since = history.since.min(now);
        let floor = last_made.map_or(since, |made| since.max(*made));
        let newest = self
            .newest_started(floor, now)
            .filter(|run| self.catch_up || now.duration_since(run.start) <= LATE);
        match newest {
            Some(run) => {
                let earlier = self
                    .runs_scheduled_after(floor)
                    .take(MOST_MISSED)
                    .take_while(|other| other.scheduled < run.scheduled);
                let missed = earlier.count() as u32;
                Due::Now { run, missed }
            }
            None => Due::Nothing {
                next: self
                    .runs_after(now)
                    .take(history.made.len() + 1)
                    .find(|run| !history.made.contains(&run.scheduled)),
            },
        }
    }

    /// The newest run that was scheduled after `floor` and has started by `now`.
    pub fn newest_started(&self, floor: Timestamp, now: Timestamp) -> Option<Run> {
        // Looks at the near past first: a machine may have been off for years, with a run every minute.
        let mut reach = SignedDuration::from_hours(1) + self.jitter;
        loop {
            let from = now.checked_sub(reach).unwrap_or(Timestamp::MIN).max(floor);
            let started = self
                .runs_scheduled_after(from)
                .take_while(|run| run.start <= now);
            if let Some(run) = started.last() {
                return Some(run);
            }
            if from <= floor {
                return None;
            }
            reach = reach.checked_mul(8).unwrap_or(SignedDuration::MAX);
        }
    }

    /// The first run that should have been made after `done`, the newest that was.
    pub fn first_after(&self, done: Timestamp) -> Option<Run> {
        self.runs_scheduled_after(done).next()
    }
}
