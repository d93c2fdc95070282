//! When a policy's runs are due.
//!
//! [`Schedule::resolve`] turns what a user wrote into a [`ResolvedSchedule`], which answers for any moment; the clock is
//! never read here. A run has two times: `scheduled`, by which it is known and never made twice, and `start`, a little
//! later where the schedule has jitter. Three steps lead to them:
//!
//! 1. `rule`: the moments by the wall clock. What names an hour of the day runs once on each of its days, whatever
//!    daylight saving does: a time that is skipped runs when the clock has jumped, a time that comes twice runs at the
//!    first. What runs every hour follows the elapsed hours instead, so it runs in both of the equal hours.
//! 2. `blackout`: a moment within a blackout moves to its end; several that meet there are one run.
//! 3. Jitter: a share of the allowed delay that depends on the policy's name alone, cut so that no run starts in a
//!    blackout or later than the next one is due.
//!
//! Hence both times of successive runs strictly increase. `due` decides which of them is to be made now.

mod blackout;
mod due;
mod rule;

pub use due::{Due, History};

use crate::policy::{Frequency, Schedule, Weekday};
use blackout::Blackouts;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rule::Rule;
use serde::Serialize;

/// A schedule that cannot be followed, with the field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ScheduleError {
    /// Name of the field within the schedule: `at`, `cron`, `blackout`.
    pub field: &'static str,
    pub message: String,
}

impl ScheduleError {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { field, message }
    }
}

/// One run of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Run {
    /// By which the run is known.
    pub scheduled: Timestamp,
    /// When it is to start; `scheduled` and the jitter.
    pub start: Timestamp,
}

/// A schedule without doubt left in it.
#[derive(Debug, Clone)]
pub struct ResolvedSchedule {
    /// Absent of a schedule that runs on demand only.
    rule: Option<Rule>,
    zone: TimeZone,
    blackouts: Blackouts,
    jitter: SignedDuration,
    /// Of 2^32: which share of the jitter this policy takes.
    share: u32,
    catch_up: bool,
    words: String,
}

/// Jitter beyond this would reach into other days' runs.
const MOST_JITTER_SECS: u32 = 12 * 60 * 60;

impl Schedule {
    /// Checks the schedule and makes it ready to answer. `policy` is the name of the policy, by which the jitter differs.
    pub fn resolve(&self, policy: &str) -> Result<ResolvedSchedule, ScheduleError> {
        self.refuse_unused_fields()?;
        let zone = match self.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                let message = format!(
                    "time zone \"{name}\" is not known: write it like Europe/Berlin or UTC"
                );
                ScheduleError::new("time_zone", message)
            })?,
        };
        if self.jitter_secs > MOST_JITTER_SECS {
            let message = format!("is at most {MOST_JITTER_SECS} seconds, which is half a day");
            return Err(ScheduleError::new("jitter_secs", message));
        }
        Ok(ResolvedSchedule {
            rule: Rule::parse(self)?,
            blackouts: Blackouts::parse(&self.blackout)?,
            jitter: SignedDuration::from_secs(self.jitter_secs.into()),
            share: (hash(policy) >> 32) as u32,
            catch_up: self.catch_up,
            words: self.describe(),
            zone,
        })
    }

    /// A field that the frequency does not look at was meant for something.
    fn refuse_unused_fields(&self) -> Result<(), ScheduleError> {
        let only = |field, set: bool, of: &[Frequency], what: &str| match set
            && !of.contains(&self.frequency)
        {
            true => Err(ScheduleError::new(field, format!("is only for {what}"))),
            false => Ok(()),
        };
        let (weekly, monthly) = (Frequency::Weekly, Frequency::Monthly);
        let timed = [Frequency::Hourly, Frequency::Daily, weekly, monthly];
        only(
            "at",
            self.at.is_some(),
            &timed,
            "hourly, daily, weekly and monthly schedules",
        )?;
        let weekday = self.weekday.is_some();
        only("weekday", weekday, &[weekly], "weekly schedules")?;
        only("day", self.day.is_some(), &[monthly], "monthly schedules")?;
        let cron = self.cron.is_some();
        only("cron", cron, &[Frequency::Cron], "frequency \"cron\"")
    }

    /// The schedule in words: `weekly on Sunday at 03:00 (Europe/Berlin)`.
    pub fn describe(&self) -> String {
        let at = self.at.as_deref();
        let time = at.unwrap_or(rule::DEFAULT_TIME);
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let mut words = match self.frequency {
            Frequency::OnDemand => return "on demand".to_owned(),
            Frequency::Hourly => {
                let minute = at.and_then(|at| at.split_once(':')).map_or("00", |p| p.1);
                format!("hourly at minute {minute}")
            }
            Frequency::Daily => format!("daily at {time}"),
            Frequency::Weekly => {
                let day = self.weekday.unwrap_or(rule::DEFAULT_WEEKDAY).label();
                format!("weekly on {day} at {time}")
            }
            Frequency::Monthly => match self.day.unwrap_or(1) {
                31 => format!("monthly on the last day at {time}"),
                day => format!("monthly on day {day} at {time}"),
            },
            Frequency::Cron => format!("cron {}", self.cron.as_deref().unwrap_or_default().trim()),
        };
        words.push_str(&format!(" ({zone})"));
        if self.jitter_secs > 0 {
            words.push_str(&format!(", up to {} s later", self.jitter_secs));
        }
        for blackout in &self.blackout {
            words.push_str(&format!(
                ", never between {} and {}",
                blackout.from, blackout.to
            ));
            let days: Vec<&str> = blackout.days.iter().map(|day| day.label()).collect();
            if !days.is_empty() {
                words.push_str(&format!(" on {}", days.join(", ")));
            }
        }
        words
    }
}

impl Weekday {
    /// `Monday`
    pub fn label(self) -> &'static str {
        match self {
            Weekday::Monday => "Monday",
            Weekday::Tuesday => "Tuesday",
            Weekday::Wednesday => "Wednesday",
            Weekday::Thursday => "Thursday",
            Weekday::Friday => "Friday",
            Weekday::Saturday => "Saturday",
            Weekday::Sunday => "Sunday",
        }
    }

    pub(crate) fn civil(self) -> jiff::civil::Weekday {
        match self {
            Weekday::Monday => jiff::civil::Weekday::Monday,
            Weekday::Tuesday => jiff::civil::Weekday::Tuesday,
            Weekday::Wednesday => jiff::civil::Weekday::Wednesday,
            Weekday::Thursday => jiff::civil::Weekday::Thursday,
            Weekday::Friday => jiff::civil::Weekday::Friday,
            Weekday::Saturday => jiff::civil::Weekday::Saturday,
            Weekday::Sunday => jiff::civil::Weekday::Sunday,
        }
    }
}

impl ResolvedSchedule {
    /// When the next run starts, after `time`; `None` of a schedule that runs on demand only.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.runs_after(time).next().map(|run| run.start)
    }

    /// The time between the next two runs after `time`; `None` of a schedule that runs on demand only.
    pub fn interval_after(&self, time: Timestamp) -> Option<SignedDuration> {
        let mut runs = self.runs_after(time);
        let first = runs.next()?;
        Some(runs.next()?.start.duration_since(first.start))
    }

    /// The next `count` runs that start after `time`.
    pub fn next(&self, count: usize, time: Timestamp) -> Vec<Run> {
        self.runs_after(time).take(count).collect()
    }

    /// All runs that start after `time`, in order.
    pub fn runs_after(&self, time: Timestamp) -> impl Iterator<Item = Run> + '_ {
        // A run that was scheduled before may start after.
        let from = time.checked_sub(self.jitter).unwrap_or(Timestamp::MIN);
        self.runs_scheduled_after(from)
            .skip_while(move |run| run.start <= time)
    }

    /// All runs whose scheduled time lies after `time`, in order.
    pub fn runs_scheduled_after(&self, time: Timestamp) -> impl Iterator<Item = Run> + '_ {
        let mut base = self.base_after(time);
        std::iter::from_fn(move || {
            let scheduled = base?;
            base = self.base_after(scheduled);
            Some(Run {
                scheduled,
                start: self.start_of(scheduled, base),
            })
        })
    }

    /// The first moment after `time` that the rule names, moved out of blackouts.
    fn base_after(&self, time: Timestamp) -> Option<Timestamp> {
        let rule = self.rule.as_ref()?;
        // What the rule names earlier within the blackout that holds `time` runs at its end, which lies after `time`.
        let from = match self.blackouts.begin_of(time, &self.zone) {
            Some(begin) => begin.checked_sub(SignedDuration::from_nanos(1)).ok()?,
            None => time,
        };
        let named = rule.next_after(from, &self.zone)?;
        self.blackouts.free_from(named, &self.zone)
    }

    /// Adds this policy's share of the jitter, which ends before the next blackout and the next run.
    fn start_of(&self, scheduled: Timestamp, next: Option<Timestamp>) -> Timestamp {
        if self.jitter.is_zero() {
            return scheduled;
        }
        let limit = scheduled.checked_add(self.jitter).unwrap_or(Timestamp::MAX);
        let limit = next.map_or(limit, |next| next.min(limit));
        let limit = self
            .blackouts
            .next_begin(scheduled, limit, &self.zone)
            .unwrap_or(limit);
        let window = limit.duration_since(scheduled).as_secs();
        let delay = (i128::from(window) * i128::from(self.share)) >> 32;
        scheduled + SignedDuration::from_secs(delay as i64)
    }

    /// Tells whether nothing may start at `time`, and until when.
    pub fn blacked_out_until(&self, time: Timestamp) -> Option<Timestamp> {
        self.blackouts
            .free_from(time, &self.zone)
            .filter(|free| *free > time)
    }

    /// Tells whether the schedule makes no runs by itself.
    pub fn is_on_demand(&self) -> bool {
        self.rule.is_none()
    }

    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The schedule in words.
    pub fn describe(&self) -> &str {
        &self.words
    }
}

/// FNV-1a with a finishing mix: stable over versions of this program, unlike the standard library's hashes.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
